// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl with every kind of bad argument: the exact errno, and a heap that
 * is as it was.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "device.h"

#define STRUCT_MAX	65536	/* no struct will ever be longer */
#define PAGE		4096

/* What a request needs of the heap it is made in. */
struct request {
	int fd;
	uint64_t kept;		/* a live object */
	uint64_t *sizes;	/* two sizes, and room for two addresses */
	uint64_t *addrs;
};

FIXTURE(op)
{
	int fd;
	struct request req;
	struct goalloc_memstats before;
	char *room;	/* STRUCT_MAX and a page on both sides, the last not mapped */
};

FIXTURE_VARIANT(op)
{
	unsigned long cmd;
	uint32_t size;		/* of its struct in ABI version 1 */
	bool answers;		/* has fields that the kernel writes */
	void (*prepare)(const struct request *req, void *arg);
};

static void prepare_alloc(const struct request *req, void *arg)
{
	(void)req;
	((struct goalloc_alloc *)arg)->bytes = 100;
}

static void prepare_free(const struct request *req, void *arg)
{
	((struct goalloc_free *)arg)->addr = req->kept;
}

static void prepare_alloc_batch(const struct request *req, void *arg)
{
	struct goalloc_batch *batch = arg;

	batch->sizes = (uintptr_t)req->sizes;
	batch->addrs = (uintptr_t)req->addrs;
	batch->count = 2;
}

static void prepare_free_batch(const struct request *req, void *arg)
{
	struct goalloc_batch *batch = arg;

	batch->addrs = (uintptr_t)&req->kept;
	batch->count = 1;
}

static void prepare_query(const struct request *req, void *arg)
{
	((struct goalloc_query *)arg)->addr = req->kept;
}

static void prepare_set_param(const struct request *req, void *arg)
{
	struct goalloc_param *param = arg;

	(void)req;
	param->id = GOALLOC_PARAM_MAX;
	param->value = 1ULL << 50;
}

static void prepare_get_param(const struct request *req, void *arg)
{
	(void)req;
	((struct goalloc_param *)arg)->id = GOALLOC_PARAM_GC_PERCENT;
}

static void prepare_scavenge(const struct request *req, void *arg)
{
	(void)req;
	((struct goalloc_scavenge *)arg)->bytes = 8192;
}

static void prepare_set_name(const struct request *req, void *arg)
{
	(void)req;
	strcpy((char *)((struct goalloc_name *)arg)->name, "errors");
}

static void prepare_nothing(const struct request *req, void *arg)
{
	(void)req;
	(void)arg;
}

#define OP(_name, _size, _answers, _prepare)				\
	FIXTURE_VARIANT_ADD(op, _name) {				\
		.cmd = GOALLOC_IOC_##_name, .size = _size,		\
		.answers = _answers, .prepare = _prepare,		\
	}

_Static_assert(sizeof(struct goalloc_info) == 48, "info");
_Static_assert(sizeof(struct goalloc_alloc) == 40, "alloc");
_Static_assert(sizeof(struct goalloc_free) == 16, "free");
_Static_assert(sizeof(struct goalloc_batch) == 32, "batch");
_Static_assert(sizeof(struct goalloc_query) == 56, "query");
_Static_assert(sizeof(struct goalloc_param) == 16, "param");
_Static_assert(sizeof(struct goalloc_memstats) == 1864, "memstats");
_Static_assert(sizeof(struct goalloc_scavenge) == 24, "scavenge");
_Static_assert(sizeof(struct goalloc_name) == 56, "name");

OP(INFO, 48, true, prepare_nothing);
OP(ALLOC, 40, true, prepare_alloc);
OP(FREE, 16, false, prepare_free);
OP(ALLOC_BATCH, 32, true, prepare_alloc_batch);
OP(FREE_BATCH, 32, true, prepare_free_batch);
OP(QUERY, 56, true, prepare_query);
OP(SET_PARAM, 16, false, prepare_set_param);
OP(GET_PARAM, 16, true, prepare_get_param);
OP(MEMSTATS, 1864, true, prepare_nothing);
OP(SCAVENGE, 24, true, prepare_scavenge);
OP(SET_NAME, 56, false, prepare_set_name);

FIXTURE_SETUP(op)
{
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	self->room = mmap(NULL, STRUCT_MAX + 3 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->room);
	ASSERT_EQ(0, munmap(self->room + STRUCT_MAX + 2 * PAGE, PAGE));
	/* Another CPU would have spans of its own. */
	ASSERT_TRUE(dev_stay());
	self->req.fd = self->fd;
	self->req.kept = dev_new(self->fd, 100);
	/* And another one in its span, so that this stays in use. */
	ASSERT_NE(0, dev_new(self->fd, 100));
	ASSERT_NE(0, self->req.kept);
	self->req.sizes = calloc(2, 8);
	self->req.addrs = calloc(2, 8);
	self->req.sizes[0] = 100;
	self->req.sizes[1] = 5;
	self->before = dev_stats(self->fd);
}

FIXTURE_TEARDOWN(op)
{
	close(self->fd);
}

/* Makes a request of @size bytes in which only zeroes follow what is known. */
static void make(const FIXTURE_VARIANT(op) * variant, FIXTURE_DATA(op) * self, char *arg,
		 uint32_t size)
{
	/* The struct of version 1, as far as there is room. */
	char whole[2048] = { 0 };
	size_t len = size < variant->size ? size : variant->size;

	variant->prepare(&self->req, whole);
	memcpy(whole, &size, sizeof(size));
	if (size > STRUCT_MAX)
		len = variant->size;
	if (len < sizeof(size))
		len = sizeof(size);
	memcpy(arg, whole, len);
}

/* Undoes what succeeded, so that the heap is as it was; then sees that it is. */
static void expect_same(struct __test_metadata *_metadata, const FIXTURE_VARIANT(op) * variant,
			FIXTURE_DATA(op) * self, long ret, const char *arg)
{
	struct goalloc_memstats now;

	if (!ret && variant->cmd == GOALLOC_IOC_ALLOC) {
		struct goalloc_alloc done;

		memcpy(&done, arg, sizeof(done));
		EXPECT_EQ(0, dev_free(self->fd, done.addr));
	} else if (!ret && variant->cmd == GOALLOC_IOC_ALLOC_BATCH) {
		EXPECT_EQ(2, dev_free_batch(self->fd, self->req.addrs, 2));
	} else if (!ret && (variant->cmd == GOALLOC_IOC_FREE ||
			    variant->cmd == GOALLOC_IOC_FREE_BATCH)) {
		self->req.kept = dev_new(self->fd, 100);
		EXPECT_NE(0, self->req.kept);
	}
	now = dev_stats(self->fd);
	EXPECT_EQ(self->before.heap_objects, now.heap_objects);
	EXPECT_EQ(self->before.heap_alloc, now.heap_alloc);
	/* The sizes of a batch bring spans of their own. */
	if (variant->cmd != GOALLOC_IOC_ALLOC_BATCH)
		EXPECT_EQ(self->before.heap_inuse, now.heap_inuse);
	if (ret && ret != -EFAULT) {
		EXPECT_EQ(self->before.mallocs, now.mallocs);
		EXPECT_EQ(self->before.frees, now.frees);
	}
	self->before = now;
}

/* Where the struct lies. */
enum place {
	WELL,			/* in the middle of memory */
	UNALIGNED_1, UNALIGNED_2, UNALIGNED_3, UNALIGNED_4, UNALIGNED_7,
	READ_ONLY,
	NO_ACCESS,
	AT_A_HOLE,		/* it ends where memory ends */
	ENDS_IN_A_HOLE,		/* its last byte is behind the end of memory */
	HALF_IN_A_HOLE,
	SIZE_BEFORE_A_HOLE,	/* nothing but its size is in memory */
	SIZE_IN_A_HOLE,		/* not even all of that */
	IN_A_HOLE,
	NULL_POINTER,
	NEAR_NULL,
	NON_CANONICAL,
	KERNEL,
	KERNEL_TEXT,
	TOP,
	MINUS_1,
	PLACES
};

static const char * const place_names[PLACES] = {
	"well", "at +1", "at +2", "at +3", "at +4", "at +7", "read-only", "PROT_NONE",
	"before a hole", "a byte in a hole", "half in a hole", "its size before a hole",
	"its size in a hole", "in a hole", "NULL", "NULL + 8", "non-canonical", "kernel",
	"kernel text", "the last 8 bytes", "~0",
};

/* What its first field says. */
enum says {
	SAYS_0, SAYS_1, SAYS_3, SAYS_4, SAYS_8, MIN_MINUS_8, MIN_MINUS_1, MIN,
	LONGER_BY_1, LONGER_BY_8, LONGER_BY_4096, LONGEST, TOO_LONG, SAYS_2G, SAYS_ALL_ONES,
	SAYS
};

static uint32_t said_size(enum says says, uint32_t size)
{
	switch (says) {
	case SAYS_0:		return 0;
	case SAYS_1:		return 1;
	case SAYS_3:		return 3;
	case SAYS_4:		return 4;
	case SAYS_8:		return 8;
	case MIN_MINUS_8:	return size - 8;
	case MIN_MINUS_1:	return size - 1;
	case MIN:		return size;
	case LONGER_BY_1:	return size + 1;
	case LONGER_BY_8:	return size + 8;
	case LONGER_BY_4096:	return size + 4096;
	case LONGEST:		return STRUCT_MAX;
	case TOO_LONG:		return STRUCT_MAX + 1;
	case SAYS_2G:		return 1U << 31;
	default:		return ~0U;
	}
}

static bool is_wild(enum place place)
{
	return place >= NULL_POINTER;
}

static char *wild_pointer(enum place place)
{
	switch (place) {
	case NULL_POINTER:	return NULL;
	case NEAR_NULL:		return (char *)8;
	case NON_CANONICAL:	return (char *)0x8000000000000000;
	case KERNEL:		return (char *)0xffff888000001000;
	case KERNEL_TEXT:	return (char *)0xffffffff81000000;
	case TOP:		return (char *)-8L;
	default:		return (char *)-1L;
	}
}

/* Bytes of a struct of @size bytes that lie before the hole. */
static uint32_t before_hole(enum place place, uint32_t size)
{
	switch (place) {
	case AT_A_HOLE:		return size;
	case ENDS_IN_A_HOLE:	return size - 1;
	case HALF_IN_A_HOLE:	return size / 2;
	case SIZE_BEFORE_A_HOLE: return 4;
	case SIZE_IN_A_HOLE:	return 3;
	default:		return 0;
	}
}

/* The rule, in one place: the order in which things are looked at. */
static long answer(const FIXTURE_VARIANT(op) * variant, enum place place, uint32_t size)
{
	uint32_t span = size > variant->size ? size : variant->size;

	if (is_wild(place) || place == NO_ACCESS)
		return -EFAULT;
	if (place >= AT_A_HOLE && before_hole(place, span) < 4)
		return -EFAULT;
	if (size < variant->size)
		return -EINVAL;
	if (size > STRUCT_MAX)
		return -E2BIG;
	if (place > AT_A_HOLE)
		return -EFAULT;
	if (place == READ_ONLY && variant->answers)
		return -EFAULT;
	return 0;
}

/*
 * All sizes in all places. A struct may lie anywhere, at odd addresses as well;
 * one without answers may be in read-only memory. All else is EFAULT, unless the
 * size can be read and is wrong by itself.
 */
TEST_F(op, sizes_and_places)
{
	static const int shifts[] = { 1, 2, 3, 4, 7 };
	char *end = self->room + STRUCT_MAX + 2 * PAGE;
	enum place place;
	enum says says;

	for (place = 0; place < PLACES; place++) {
		for (says = 0; says < SAYS; says++) {
			uint32_t size = said_size(says, variant->size);
			uint32_t real = size > STRUCT_MAX || size < variant->size ?
					variant->size : size;
			long wanted = answer(variant, place, size), ret;
			char *arg = self->room + PAGE, copy[STRUCT_MAX + 16];

			ASSERT_EQ(0, mprotect(self->room, STRUCT_MAX + 2 * PAGE,
					      PROT_READ | PROT_WRITE));
			memset(self->room, 0, STRUCT_MAX + 2 * PAGE);
			if (place >= UNALIGNED_1 && place <= UNALIGNED_7)
				arg += shifts[place - UNALIGNED_1];
			if (is_wild(place)) {
				arg = wild_pointer(place);
			} else if (place >= AT_A_HOLE) {
				memset(copy, 0, real);
				make(variant, self, copy, size);
				arg = end - before_hole(place, real);
				memcpy(arg, copy, end - arg);
			} else {
				make(variant, self, arg, size);
			}
			if (place == READ_ONLY || place == NO_ACCESS)
				ASSERT_EQ(0, mprotect(self->room, STRUCT_MAX + 2 * PAGE,
						      place == READ_ONLY ? PROT_READ : PROT_NONE));

			ret = dev_ioctl(self->fd, variant->cmd, arg);
			EXPECT_EQ(wanted, ret)
				TH_LOG("size %u, %s: %s", size, place_names[place], strerror(-ret));
			/* No more is written than the caller has room for. */
			if (!ret && place != READ_ONLY && place != AT_A_HOLE) {
				EXPECT_EQ(0, memcmp(arg, &size, 4));
				EXPECT_TRUE(bytes_are(arg + variant->size,
						      STRUCT_MAX - variant->size, 0));
				EXPECT_TRUE(bytes_are(self->room, arg - self->room, 0));
			}
			expect_same(_metadata, variant, self, ret, arg);
		}
	}
}

/* A tail that is not zero is a wish that cannot be fulfilled. */
TEST_F(op, unknown_tail)
{
	static const uint32_t more[] = { 1, 2, 8, 100, 4096, 30000 };
	char *arg = self->room + PAGE;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(more); i++) {
		uint32_t size = variant->size + more[i], at;

		for (at = variant->size; at < size; at += at + 1 < size ? size - 1 - at : 1) {
			memset(self->room, 0, STRUCT_MAX + 2 * PAGE);
			make(variant, self, arg, size);
			arg[at] = -128;
			EXPECT_EQ(-E2BIG, dev_ioctl(self->fd, variant->cmd, arg));
			expect_same(_metadata, variant, self, -E2BIG, arg);
		}
		/* Behind the struct may be anything. */
		memset(self->room, 0, STRUCT_MAX + 2 * PAGE);
		make(variant, self, arg, size);
		memset(arg + size, 0xee, 100);
		EXPECT_EQ(0, dev_ioctl(self->fd, variant->cmd, arg));
		EXPECT_TRUE(bytes_are(arg + size, 100, 0xee));
		expect_same(_metadata, variant, self, 0, arg);
	}
	/* To the last byte of the longest. */
	memset(self->room, 0, STRUCT_MAX + 2 * PAGE);
	make(variant, self, arg, STRUCT_MAX);
	arg[STRUCT_MAX - 1] = 1;
	EXPECT_EQ(-E2BIG, dev_ioctl(self->fd, variant->cmd, arg));
	expect_same(_metadata, variant, self, -E2BIG, arg);
}

/* The second word of a struct: flags and what must be 0, except where it is an out field. */
TEST_F(op, flags)
{
	char *arg = self->room + PAGE;
	unsigned int bit;

	if (variant->cmd == GOALLOC_IOC_INFO || variant->cmd == GOALLOC_IOC_MEMSTATS)
		SKIP(return, "it has no flags");
	for (bit = 0; bit < 32; bit++) {
		bool makes = variant->cmd == GOALLOC_IOC_ALLOC ||
			     variant->cmd == GOALLOC_IOC_ALLOC_BATCH;
		bool id = variant->cmd == GOALLOC_IOC_SET_PARAM ||
			  variant->cmd == GOALLOC_IOC_GET_PARAM;
		uint32_t flags = 1U << bit;
		long wanted = -EOPNOTSUPP;

		if (makes && flags <= GOALLOC_UNINIT)
			continue;	/* known */
		if (id && flags <= GOALLOC_PARAM_GC_PERCENT)
			continue;	/* they have an id there */
		memset(self->room, 0, STRUCT_MAX + 2 * PAGE);
		make(variant, self, arg, variant->size);
		memcpy(arg + 4, &flags, sizeof(flags));
		EXPECT_EQ(wanted, dev_ioctl(self->fd, variant->cmd, arg))
			TH_LOG("bit %u", bit);
		expect_same(_metadata, variant, self, wanted, arg);
		/* An unknown flag is told before a bad value is. */
		if (makes) {
			memset(arg + 8, 0xff, variant->size - 8);
			EXPECT_EQ(wanted, dev_ioctl(self->fd, variant->cmd, arg));
			expect_same(_metadata, variant, self, wanted, arg);
		}
	}
}

FIXTURE(errors)
{
	int fd;
	uint64_t kept;
	uint32_t batch_max;
};

FIXTURE_SETUP(errors)
{
	struct goalloc_info info = { .size = sizeof(info) };

	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_INFO, &info));
	self->batch_max = info.batch_max;
	ASSERT_LE(1024, self->batch_max);
	ASSERT_TRUE(dev_stay());
	self->kept = dev_new(self->fd, 100);
	ASSERT_NE(0, self->kept);
	probe_begin();
}

FIXTURE_TEARDOWN(errors)
{
	close(self->fd);
}

static void expect_books(struct __test_metadata *_metadata, int fd,
			 const struct goalloc_memstats *before)
{
	struct goalloc_memstats now = dev_stats(fd);

	EXPECT_EQ(before->mallocs, now.mallocs);
	EXPECT_EQ(before->frees, now.frees);
	EXPECT_EQ(before->heap_objects, now.heap_objects);
	EXPECT_EQ(before->heap_inuse, now.heap_inuse);
	EXPECT_EQ(before->heap_sys, now.heap_sys);
}

TEST_F(errors, unknown_ioctl)
{
	struct goalloc_memstats before = dev_stats(self->fd);
	static const unsigned int sizes[] = { 1, 8, 40, 4096, 16383 };
	static const unsigned int dirs[] = { _IOC_READ, _IOC_WRITE, _IOC_READ | _IOC_WRITE };
	char arg[8192] = { 0 };
	unsigned int nr, i, k;
	unsigned long cmd;

	for (nr = 0x0b; nr <= 0xff; nr++) {
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC, nr), arg));
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC, nr), NULL));
	}
	for (nr = 0; nr <= 0x0a; nr++) {
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC - 1, nr), arg));
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC + 1, nr), arg));
		for (i = 0; i < ARRAY_SIZE(dirs); i++)
			for (k = 0; k < ARRAY_SIZE(sizes); k++) {
				cmd = _IOC(dirs[i], GOALLOC_IOC_MAGIC, nr, sizes[k]);
				EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, cmd, arg));
			}
		cmd = _IOC(0, GOALLOC_IOC_MAGIC, nr, 8);
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, cmd, arg));
	}
	expect_books(_metadata, self->fd, &before);
}

/*
 * Section 10's table. What is asked for is a row of an ioctl's fields; struct
 * sizes and pointers are above.
 */
TEST_F(errors, values)
{
	static const struct {
		uint64_t bytes, align;
		long ret;
	} allocs[] = {
		/* A bad alignment. */
		{ 100, 3, -EINVAL }, { 100, 6, -EINVAL }, { 100, 24, -EINVAL },
		{ 100, 2 * DEV_MIB + 1, -EINVAL }, { 100, 2 * DEV_MIB - 1, -EINVAL },
		{ 100, 4 * DEV_MIB, -EINVAL }, { 100, 1ULL << 32, -EINVAL },
		{ 100, 1ULL << 63, -EINVAL }, { 100, ~0ULL, -EINVAL },
		{ 0, 3, -EINVAL }, { 1ULL << 60, 3, -EINVAL },
		/* Those that are good. */
		{ 100, 1, 0 }, { 1, 2 * DEV_MIB, 0 }, { 100, 4096, 0 }, { 0, 2 * DEV_MIB, 0 },
		{ 40000, 16384, 0 },
		/* Larger than the address space. */
		{ DEV_SPACE + 1, 0, -EFBIG }, { DEV_SPACE + DEV_PAGE, 0, -EFBIG },
		{ DEV_SPACE + 1, 2 * DEV_MIB, -EFBIG }, { 1ULL << 41, 0, -EFBIG },
		{ 1ULL << 63, 0, -EFBIG }, { (1ULL << 63) - 1, 8192, -EFBIG },
		{ ~0ULL, 0, -EFBIG }, { ~0ULL - 1, 1, -EFBIG }, { ~0ULL - DEV_PAGE + 2, 0, -EFBIG },
		{ ~0ULL - 2 * DEV_MIB + 2, 2 * DEV_MIB, -EFBIG },
		/* As large, but something is there already. */
		{ DEV_SPACE, 0, -ENOMEM }, { DEV_SPACE - 1, 0, -ENOMEM },
		{ DEV_SPACE - DEV_PAGE + 1, 2 * DEV_MIB, -ENOMEM },
	};
	struct goalloc_memstats before;
	struct goalloc_alloc arg;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(allocs); i++) {
		before = dev_stats(self->fd);
		arg = (struct goalloc_alloc){
			.size = sizeof(arg), .bytes = allocs[i].bytes, .align = allocs[i].align,
			.addr = 0xdead, .usable = 0xbeef,
		};
		EXPECT_EQ(allocs[i].ret, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC, &arg))
			TH_LOG("%" PRIu64 " bytes, alignment %" PRIu64, allocs[i].bytes,
			       allocs[i].align);
		if (allocs[i].ret) {
			EXPECT_TRUE(arg.addr == 0xdead && arg.usable == 0xbeef);
			expect_books(_metadata, self->fd, &before);
		} else {
			EXPECT_LE(allocs[i].bytes, arg.usable);
			if (allocs[i].bytes)
				EXPECT_EQ(0, allocs[i].align ? arg.addr % allocs[i].align : 0);
			EXPECT_EQ(0, dev_free(self->fd, arg.addr));
		}
	}
}

/* Addresses: no span, not a first byte, freed, never handed out, nothing at all. */
TEST_F(errors, addresses)
{
	uint64_t addr = dev_new(self->fd, 1000), usable = 1024, large, tiny;
	struct goalloc_memstats before;
	struct goalloc_query q;
	size_t i;

	/* Its neighbour keeps its span in use. */
	ASSERT_NE(0, dev_new(self->fd, 1000));
	tiny = dev_new(self->fd, 5);
	/* The last one: there is nothing behind it. */
	large = dev_new(self->fd, 100000);
	ASSERT_TRUE(addr && large && tiny);
	ASSERT_EQ(0, dev_query(self->fd, addr, &q));
	ASSERT_EQ(usable, q.usable);
	before = dev_stats(self->fd);

	const struct {
		uint64_t addr;
		long free_ret, query_ret;
	} rows[] = {
		{ 1, -ENOENT, -ENOENT },
		{ DEV_BASE - 1, -ENOENT, -ENOENT },
		{ DEV_BASE + DEV_GIB, -ENOENT, -ENOENT },
		{ DEV_BASE + DEV_SPACE - 1, -ENOENT, -ENOENT },
		{ DEV_BASE + DEV_SPACE, -ENOENT, -ENOENT },
		{ 1ULL << 63, -ENOENT, -ENOENT },
		{ ~0ULL, -ENOENT, -ENOENT },
		{ (uintptr_t)&q, -ENOENT, -ENOENT },
		{ 0xffff888000001000, -ENOENT, -ENOENT },
		{ addr + 1, -EINVAL, 0 },
		{ addr + 8, -EINVAL, 0 },
		{ addr + usable - 1, -EINVAL, 0 },
		{ large + 1, -EINVAL, 0 },
		{ large + 8192, -EINVAL, 0 },
		{ large + 106495, -EINVAL, 0 },
		{ large + 106496, -ENOENT, -ENOENT },
		{ tiny + 1, -EINVAL, 0 },
	};

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].query_ret, dev_query(self->fd, rows[i].addr, &q))
			TH_LOG("query of %#" PRIx64, rows[i].addr);
		EXPECT_EQ(rows[i].free_ret, dev_free(self->fd, rows[i].addr))
			TH_LOG("free of %#" PRIx64, rows[i].addr);
	}
	expect_books(_metadata, self->fd, &before);

	ASSERT_EQ(0, dev_free(self->fd, addr));
	before = dev_stats(self->fd);
	EXPECT_EQ(-EALREADY, dev_free(self->fd, addr));
	EXPECT_EQ(-EALREADY, dev_free_batch(self->fd, &addr, 1));
	EXPECT_EQ(-EINVAL, dev_free(self->fd, addr + 1));
	ASSERT_EQ(0, dev_query(self->fd, addr, &q));
	EXPECT_EQ(GOALLOC_QUERY_FREE, q.state);
	/* The last slot of its span was never anything. */
	EXPECT_EQ(-EALREADY, dev_free(self->fd, q.span_base + 7 * 1024));
	EXPECT_EQ(0, dev_free(self->fd, 0));
	EXPECT_EQ(0, dev_free(self->fd, GOALLOC_ZERO_ADDR));
	EXPECT_EQ(-ENOENT, dev_free(self->fd, GOALLOC_ZERO_ADDR + 1));
	expect_books(_metadata, self->fd, &before);
	/* A large object's span is gone with it. */
	ASSERT_EQ(0, dev_free(self->fd, large));
	EXPECT_EQ(-ENOENT, dev_free(self->fd, large));
	EXPECT_EQ(-ENOENT, dev_query(self->fd, large, &q));
}

TEST_F(errors, over_max)
{
	struct goalloc_memstats before;
	uint64_t sizes[3] = { 40960, 40960, 40960 }, addrs[3] = { 1, 2, 3 }, addr;

	before = dev_stats(self->fd);
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, before.heap_inuse + 2 * 40960));
	EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, 3 * 40960, 0, &addr));
	EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, DEV_GIB, 0, &addr));
	expect_books(_metadata, self->fd, &before);
	/* A batch goes as far as it can. */
	EXPECT_EQ(2, dev_alloc_batch(self->fd, sizes, addrs, 3));
	EXPECT_EQ(3, addrs[2]);
	EXPECT_EQ(-ENOMEM, dev_alloc_batch(self->fd, sizes, addrs + 2, 1));
	EXPECT_EQ(2, dev_free_batch(self->fd, addrs, 2));
	EXPECT_EQ(before.heap_inuse, dev_stats(self->fd).heap_inuse);
	EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
}

/* Batches. */

static void fill_sizes(uint64_t *sizes, uint32_t n, uint64_t bytes)
{
	while (n--)
		sizes[n] = bytes;
}

TEST_F(errors, batch_counts)
{
	const struct {
		uint32_t count;
		long ret;
	} rows[] = {
		{ 0, -EINVAL }, { 1, 1 }, { 2, 2 }, { self->batch_max - 1, self->batch_max - 1 },
		{ self->batch_max, self->batch_max }, { self->batch_max + 1, -EINVAL },
		{ 1U << 31, -EINVAL }, { (1U << 29) + 1, -EINVAL }, { ~0U, -EINVAL },
	};
	uint64_t *sizes = malloc((self->batch_max + 1) * 8);
	uint64_t *addrs = malloc((self->batch_max + 1) * 8);
	struct goalloc_memstats before;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fill_sizes(sizes, self->batch_max + 1, 64);
		memset(addrs, 0xee, (self->batch_max + 1) * 8);
		before = dev_stats(self->fd);
		EXPECT_EQ(rows[i].ret, dev_alloc_batch(self->fd, sizes, addrs, rows[i].count))
			TH_LOG("count %u", rows[i].count);
		if (rows[i].ret < 0) {
			EXPECT_TRUE(bytes_are(addrs, (self->batch_max + 1) * 8, 0xee));
			EXPECT_EQ(rows[i].ret, dev_free_batch(self->fd, addrs, rows[i].count));
			expect_books(_metadata, self->fd, &before);
		} else {
			EXPECT_TRUE(bytes_are(addrs + rows[i].count, 8, 0xee));
			EXPECT_EQ(before.heap_objects + rows[i].ret,
				  dev_stats(self->fd).heap_objects);
			EXPECT_EQ(rows[i].ret, dev_free_batch(self->fd, addrs, rows[i].count));
			EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
		}
	}
}

TEST_F(errors, batch_sizes)
{
	static const struct {
		uint64_t third;		/* the size of the third of five objects */
		long done, alone;	/* how far it comes; what it is by itself */
	} rows[] = {
		{ 0, 5, 1 },
		{ 100000, 5, 1 },
		{ DEV_SPACE, 2, -ENOMEM },
		{ DEV_SPACE + 1, 2, -EFBIG },
		{ 1ULL << 63, 2, -EFBIG },
		{ ~0ULL, 2, -EFBIG },
		{ ~0ULL - 4096, 2, -EFBIG },
	};
	uint64_t sizes[5], addrs[5];
	uint64_t before = dev_stats(self->fd).heap_objects;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fill_sizes(sizes, 5, 48);
		sizes[2] = rows[i].third;
		EXPECT_EQ(rows[i].done, dev_alloc_batch(self->fd, sizes, addrs, 5));
		if (!rows[i].third)
			EXPECT_EQ(GOALLOC_ZERO_ADDR, addrs[2]);
		EXPECT_EQ(rows[i].done, dev_free_batch(self->fd, addrs, rows[i].done));
		EXPECT_EQ(rows[i].alone, dev_alloc_batch(self->fd, sizes + 2, addrs, 1));
		if (rows[i].alone > 0)
			EXPECT_EQ(1, dev_free_batch(self->fd, addrs, 1));
		EXPECT_EQ(before, dev_stats(self->fd).heap_objects);
	}
	/* Sizes whose sum is more than 64 bits have: none of them is made. */
	fill_sizes(sizes, 5, 1ULL << 62);
	EXPECT_EQ(-EFBIG, dev_alloc_batch(self->fd, sizes, addrs, 5));
	/* Nothing but nothings. */
	fill_sizes(sizes, 5, 0);
	EXPECT_EQ(5, dev_alloc_batch(self->fd, sizes, addrs, 5));
	EXPECT_EQ(5, dev_free_batch(self->fd, addrs, 5));
	EXPECT_EQ(before, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* Arrays that cannot be read or written, as a whole and from some element on. */
TEST_F(errors, batch_arrays)
{
	static char *const wild[] = {
		NULL, (char *)8, (char *)0x8000000000000000, (char *)0xffff888000001000,
		(char *)0xffffffff81000000, (char *)-8L, (char *)-1L,
	};
	enum { N = 300 };
	static const int at[] = { 1, 2, 63, 64, 65, 128, 200, 299 };
	uint64_t sizes[N], addrs[N], *end;
	struct goalloc_memstats before;
	char *room;
	size_t i;

	room = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room + 2 * PAGE, PAGE));
	end = (uint64_t *)(room + 2 * PAGE);
	fill_sizes(sizes, N, 64);
	before = dev_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		EXPECT_EQ(-EFAULT, dev_alloc_batch(self->fd, (uint64_t *)wild[i], addrs, N));
		EXPECT_EQ(-EFAULT, dev_alloc_batch(self->fd, sizes, (uint64_t *)wild[i], N));
		EXPECT_EQ(-EFAULT, dev_free_batch(self->fd, (uint64_t *)wild[i], N));
		EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
	}
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		int n = at[i];

		fill_sizes(end - n, n, 64);
		EXPECT_EQ(n, dev_alloc_batch(self->fd, end - n, addrs, N));
		EXPECT_EQ(n, dev_free_batch(self->fd, addrs, n));
		EXPECT_EQ(n, dev_alloc_batch(self->fd, sizes, end - n, N));
		EXPECT_EQ(before.heap_objects + n, dev_stats(self->fd).heap_objects);
		EXPECT_EQ(n, dev_free_batch(self->fd, end - n, N));
		EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
		/* An element across the end of memory is none. */
		room = (char *)end - n * 8 + 4;
		memmove(room, sizes, (n - 1) * 8);
		EXPECT_EQ(n - 1 ? n - 1 : -EFAULT,
			  dev_alloc_batch(self->fd, (uint64_t *)room, addrs, N));
		if (n > 1)
			EXPECT_EQ(n - 1, dev_free_batch(self->fd, addrs, n - 1));
		EXPECT_EQ(n - 1 ? n - 1 : -EFAULT,
			  dev_alloc_batch(self->fd, sizes, (uint64_t *)room, N));
		if (n > 1)
			EXPECT_EQ(n - 1, dev_free_batch(self->fd, (uint64_t *)room, N));
		EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
	}
	/* Read-only: sizes and addresses can be read, none can be written. */
	fill_sizes(end - 100, 100, 64);
	ASSERT_EQ(0, mprotect((char *)end - 2 * PAGE, 2 * PAGE, PROT_READ));
	EXPECT_EQ(100, dev_alloc_batch(self->fd, end - 100, addrs, N));
	EXPECT_EQ(100, dev_free_batch(self->fd, addrs, 100));
	EXPECT_EQ(-EFAULT, dev_alloc_batch(self->fd, sizes, end - 100, 100));
	EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* A struct that cannot be written: what was made is unmade, and nothing is freed. */
TEST_F(errors, batch_unreported)
{
	uint64_t sizes[200], addrs[200], before = dev_stats(self->fd).heap_objects;
	struct goalloc_batch *arg;
	int round;

	fill_sizes(sizes, 200, 128);
	arg = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	for (round = 0; round < 5; round++) {
		*arg = (struct goalloc_batch){
			.size = sizeof(*arg), .sizes = (uintptr_t)sizes,
			.addrs = (uintptr_t)addrs, .count = 200,
		};
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
		EXPECT_EQ(-EFAULT, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC_BATCH, arg));
		EXPECT_EQ(before, dev_stats(self->fd).heap_objects);

		EXPECT_EQ(200, dev_alloc_batch(self->fd, sizes, addrs, 200));
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ | PROT_WRITE));
		arg->sizes = 0;
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
		EXPECT_EQ(-EFAULT, dev_ioctl(self->fd, GOALLOC_IOC_FREE_BATCH, arg));
		EXPECT_EQ(before + 200, dev_stats(self->fd).heap_objects);
		EXPECT_EQ(200, dev_free_batch(self->fd, addrs, 200));
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ | PROT_WRITE));
	}
}

/*
 * A struct of which only the end can be written, where the number done is. The
 * answer as a whole cannot be given, so nothing may have been done.
 */
TEST_F(errors, batch_half_unreported)
{
	uint64_t sizes[200], addrs[200], before = dev_stats(self->fd).heap_objects;
	struct goalloc_batch *arg;
	char *room;
	long ret;

	fill_sizes(sizes, 200, 128);
	room = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	arg = (struct goalloc_batch *)(room + PAGE - offsetof(struct goalloc_batch, addrs));
	*arg = (struct goalloc_batch){
		.size = sizeof(*arg), .sizes = (uintptr_t)sizes, .addrs = (uintptr_t)addrs,
		.count = 200,
	};
	ASSERT_EQ(0, mprotect(room, PAGE, PROT_READ));
	ret = dev_ioctl(self->fd, GOALLOC_IOC_ALLOC_BATCH, arg);
	EXPECT_TRUE(ret == -EFAULT || (!ret && arg->done == 200));
	EXPECT_EQ(before + (ret ? 0 : 200), dev_stats(self->fd).heap_objects);

	if (ret)
		EXPECT_EQ(200, dev_alloc_batch(self->fd, sizes, addrs, 200));
	ASSERT_EQ(0, mprotect(room, PAGE, PROT_READ | PROT_WRITE));
	arg->sizes = 0;
	arg->done = 0;
	ASSERT_EQ(0, mprotect(room, PAGE, PROT_READ));
	ret = dev_ioctl(self->fd, GOALLOC_IOC_FREE_BATCH, arg);
	EXPECT_TRUE(ret == -EFAULT || (!ret && arg->done == 200));
	EXPECT_EQ(before + (ret ? 200 : 0), dev_stats(self->fd).heap_objects);
}

TEST_F(errors, batch_overlapping)
{
	enum { N = 256 };
	uint64_t room[N + 8], i, before = dev_stats(self->fd).heap_objects;
	struct goalloc_query q;
	long done;

	/* Nothing that a size read from an address could cost much. */
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 64 * DEV_MIB));

	/* Addresses in the place of the sizes. */
	for (i = 0; i < N; i++)
		room[i] = 16 + i * 16;
	ASSERT_EQ(N, dev_alloc_batch(self->fd, room, room, N));
	for (i = 0; i < N; i++) {
		ASSERT_EQ(0, dev_query(self->fd, room[i], &q));
		ASSERT_EQ(room[i], q.base);
		ASSERT_LE(16 + i * 16, q.usable);
	}
	ASSERT_EQ(N, dev_free_batch(self->fd, room, N));

	/* One before: no size is overwritten before it is read. */
	for (i = 0; i < N; i++)
		room[i + 1] = 16 + i * 16;
	ASSERT_EQ(N, dev_alloc_batch(self->fd, room + 1, room, N));
	ASSERT_EQ(N, dev_free_batch(self->fd, room, N));

	/*
	 * One behind: sizes may be overwritten by addresses, which are sizes of
	 * hundreds of GiB and end the batch. Whatever was done is told.
	 */
	for (i = 0; i < N; i++)
		room[i] = 16 + i * 16;
	done = dev_alloc_batch(self->fd, room, room + 1, N);
	ASSERT_LT(0, done);
	EXPECT_EQ(before + done, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(done, dev_free_batch(self->fd, room + 1, done));
	EXPECT_EQ(before, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* Arrays that are the struct itself: the kernel goes by what the struct was. */
TEST_F(errors, batch_self_referencing)
{
	uint64_t sizes[8], before = dev_stats(self->fd).heap_objects, max;
	struct {
		struct goalloc_batch batch;
		uint64_t more[4];
	} arg;

	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 64 * DEV_MIB));
	fill_sizes(sizes, 8, 64);
	/* Addresses over the struct and beyond. Its answer is written last. */
	arg.batch = (struct goalloc_batch){
		.size = sizeof(arg.batch), .count = 8, .sizes = (uintptr_t)sizes,
		.addrs = (uintptr_t)&arg.batch,
	};
	EXPECT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC_BATCH, &arg.batch));
	EXPECT_EQ(8, arg.batch.done);
	EXPECT_EQ(before + 8, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(4, dev_free_batch(self->fd, arg.more, 4));
	/* Where the struct was there is no telling any more. */
	EXPECT_EQ(before + 4, dev_stats(self->fd).heap_objects);

	/*
	 * The struct as its own sizes: size and flags are one size of 32 bytes,
	 * the pointers to it and to the addresses are too large.
	 */
	arg.batch = (struct goalloc_batch){
		.size = sizeof(arg.batch), .count = 4, .sizes = (uintptr_t)&arg.batch,
		.addrs = (uintptr_t)arg.more,
	};
	EXPECT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC_BATCH, &arg.batch));
	EXPECT_EQ(1, arg.batch.done);
	EXPECT_EQ(1, dev_free_batch(self->fd, arg.more, 1));

	/* A batch of frees of which the struct is a part: no addresses of anything. */
	max = dev_stats(self->fd).frees;
	arg.batch = (struct goalloc_batch){
		.size = sizeof(arg.batch), .count = 4, .addrs = (uintptr_t)&arg.batch,
	};
	EXPECT_EQ(-ENOENT, dev_ioctl(self->fd, GOALLOC_IOC_FREE_BATCH, &arg.batch));
	EXPECT_EQ(max, dev_stats(self->fd).frees);

	/* The same object twice, at once and later. */
	sizes[0] = dev_new(self->fd, 64);
	sizes[1] = sizes[0];
	sizes[2] = dev_new(self->fd, 64);
	EXPECT_EQ(1, dev_free_batch(self->fd, sizes, 3));
	EXPECT_EQ(-EALREADY, dev_free_batch(self->fd, sizes + 1, 2));
	EXPECT_EQ(1, dev_free_batch(self->fd, sizes + 2, 1));
	EXPECT_EQ(before + 4, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* Arrays and structs in the heap itself, where a fault is one of the same heap. */
TEST_F(errors, arguments_in_the_heap)
{
	uint64_t before = dev_stats(self->fd).heap_objects, home;
	uint64_t *sizes, *addrs;
	struct goalloc_batch *arg;
	struct goalloc_alloc *a;
	long done;

	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	home = dev_new(self->fd, 10 * DEV_PAGE);
	ASSERT_NE(0, home);
	/* All in pages that nobody touched. */
	sizes = (uint64_t *)(home + DEV_PAGE);
	addrs = (uint64_t *)(home + 4 * DEV_PAGE);
	EXPECT_EQ(1024, dev_alloc_batch(self->fd, sizes, addrs, 1024));
	EXPECT_EQ(GOALLOC_ZERO_ADDR, addrs[1023]);
	fill_sizes(sizes, 1024, 200);
	EXPECT_EQ(1024, dev_alloc_batch(self->fd, sizes, addrs + 512, 1024));
	EXPECT_EQ(before + 1 + 1024, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(1024, dev_free_batch(self->fd, addrs + 512, 1024));

	/* Structs in a page of the heap, across two, and touched by nobody else. */
	a = (struct goalloc_alloc *)(home + 8 * DEV_PAGE - 20);
	a->size = sizeof(*a);
	a->bytes = 3000;
	EXPECT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC, a));
	EXPECT_EQ(0, dev_free(self->fd, a->addr));
	EXPECT_EQ(-EINVAL, dev_ioctl(self->fd, GOALLOC_IOC_MEMSTATS,
				     (void *)(home + 9 * DEV_PAGE)));
	arg = (struct goalloc_batch *)(home + 7 * DEV_PAGE);
	*arg = (struct goalloc_batch){
		.size = sizeof(*arg), .count = 100, .sizes = (uintptr_t)sizes,
		.addrs = (uintptr_t)addrs,
	};
	EXPECT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC_BATCH, arg));
	EXPECT_EQ(100, arg->done);
	EXPECT_EQ(100, dev_free_batch(self->fd, addrs, 100));

	/*
	 * The object in which the addresses are is the first to be freed: the
	 * others are freed as far as they had been read by then.
	 */
	fill_sizes(sizes, 512, 32);
	EXPECT_EQ(512, dev_alloc_batch(self->fd, sizes, addrs, 512));
	addrs[0] = home;
	done = dev_free_batch(self->fd, addrs, 512);
	EXPECT_LE(1, done);
	EXPECT_LE(done, 512);
	EXPECT_EQ(before + 513 - done, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(SIGBUS, probe_read(addrs, NULL));
	EXPECT_EQ(-EFAULT, dev_free_batch(self->fd, addrs, 512));

	/* The struct itself in the object that is freed: it cannot be written back. */
	home = dev_new(self->fd, 10 * DEV_PAGE);
	arg = (struct goalloc_batch *)home;
	*arg = (struct goalloc_batch){
		.size = sizeof(*arg), .count = 1, .addrs = (uintptr_t)&home,
	};
	EXPECT_EQ(-EFAULT, dev_ioctl(self->fd, GOALLOC_IOC_FREE_BATCH, arg));
	EXPECT_EQ(-ENOENT, dev_free(self->fd, home));
	/* And one that is not written back. */
	home = dev_new(self->fd, 10 * DEV_PAGE);
	((struct goalloc_free *)home)->size = sizeof(struct goalloc_free);
	((struct goalloc_free *)home)->addr = home;
	EXPECT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_FREE, (void *)home));
	EXPECT_EQ(-EFAULT, dev_ioctl(self->fd, GOALLOC_IOC_FREE, (void *)home));
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* A struct that somebody else changes while it is looked at. */
TEST_F(errors, changing_struct)
{
	uint64_t before = dev_stats(self->fd).heap_objects, made = 0;
	volatile struct goalloc_alloc *shared;
	volatile bool *stop;
	double until;
	pid_t pid;

	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)shared);
	shared->size = sizeof(*shared);
	shared->bytes = 64;
	stop = (volatile bool *)shared + PAGE / 2;
	until = dev_seconds() + (dev_slow() ? 1.5 : 0.8);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		while (!*stop && dev_seconds() < until + 60) {
			int i;

			for (i = 0; i < 1000; i++) {
				shared->size = i % 3 ? 40 : i % 7 ? ~0U : 60000;
				shared->bytes = i % 2 ? 64 : ~0ULL;
				shared->flags = i % 5 ? 0 : ~0U;
			}
		}
		_exit(0);
	}
	while (dev_seconds() < until || (!made && dev_seconds() < until + 60)) {
		long ret = dev_ioctl(self->fd, GOALLOC_IOC_ALLOC, (void *)shared);

		if (!ret)
			made++;
		else
			ASSERT_TRUE(ret == -E2BIG || ret == -EFBIG || ret == -EOPNOTSUPP ||
				    ret == -EFAULT);
	}
	*stop = true;
	EXPECT_EQ(0, dev_wait(pid));
	EXPECT_LT(0, made);
	EXPECT_EQ(before + made, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

TEST_HARNESS_MAIN
