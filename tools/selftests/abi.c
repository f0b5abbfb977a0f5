// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctl contract of /dev/goalloc: every mistake has its errno and changes
 * nothing; structs of other lengths and in odd places are taken as the header
 * promises.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include "heap.h"

/* The layout of ABI version 1 is for ever. */
_Static_assert(sizeof(struct goalloc_info) == 48, "goalloc_info");
_Static_assert(offsetof(struct goalloc_info, features) == 8, "features");
_Static_assert(offsetof(struct goalloc_info, batch_max) == 44, "batch_max");
_Static_assert(sizeof(struct goalloc_alloc) == 40, "goalloc_alloc");
_Static_assert(offsetof(struct goalloc_alloc, bytes) == 8, "bytes");
_Static_assert(offsetof(struct goalloc_alloc, addr) == 24, "addr");
_Static_assert(sizeof(struct goalloc_free) == 16, "goalloc_free");
_Static_assert(offsetof(struct goalloc_free, addr) == 8, "addr");
_Static_assert(sizeof(struct goalloc_batch) == 32, "goalloc_batch");
_Static_assert(offsetof(struct goalloc_batch, done) == 28, "done");
_Static_assert(sizeof(struct goalloc_query) == 56, "goalloc_query");
_Static_assert(offsetof(struct goalloc_query, base) == 16, "base");
_Static_assert(offsetof(struct goalloc_query, state) == 48, "state");
_Static_assert(sizeof(struct goalloc_param) == 16, "goalloc_param");
_Static_assert(offsetof(struct goalloc_param, id) == 4, "id");
_Static_assert(offsetof(struct goalloc_param, value) == 8, "value");
_Static_assert(sizeof(struct goalloc_scavenge) == 24, "goalloc_scavenge");
_Static_assert(offsetof(struct goalloc_scavenge, released) == 16, "released");
_Static_assert(sizeof(struct goalloc_name) == 56, "goalloc_name");
_Static_assert(offsetof(struct goalloc_name, name) == 8, "name");
_Static_assert(sizeof(struct goalloc_memstats) == 1864, "goalloc_memstats");
_Static_assert(offsetof(struct goalloc_memstats, alloc) == 8, "alloc");
_Static_assert(offsetof(struct goalloc_memstats, by_size) == 232, "by_size");
_Static_assert(GOALLOC_IOC_INFO == 0xb900, "INFO");
_Static_assert(GOALLOC_IOC_ALLOC == 0xb901, "ALLOC");
_Static_assert(GOALLOC_IOC_FREE == 0xb902, "FREE");
_Static_assert(GOALLOC_IOC_ALLOC_BATCH == 0xb903, "ALLOC_BATCH");
_Static_assert(GOALLOC_IOC_FREE_BATCH == 0xb904, "FREE_BATCH");
_Static_assert(GOALLOC_IOC_QUERY == 0xb905, "QUERY");
_Static_assert(GOALLOC_IOC_SET_PARAM == 0xb906, "SET_PARAM");
_Static_assert(GOALLOC_IOC_GET_PARAM == 0xb907, "GET_PARAM");
_Static_assert(GOALLOC_IOC_MEMSTATS == 0xb908, "MEMSTATS");
_Static_assert(GOALLOC_IOC_SCAVENGE == 0xb909, "SCAVENGE");
_Static_assert(GOALLOC_IOC_SET_NAME == 0xb90a, "SET_NAME");

/* Where a caller's struct may be of any length; the largest is below this. */
#define ARG_MAX_SIZE	8192

FIXTURE(abi)
{
	int fd;
	uint64_t kept;		/* a live object for FREE and QUERY */
};

FIXTURE_SETUP(abi)
{
	self->fd = heap_open();
	self->kept = heap_new(self->fd, 100);
}

FIXTURE_TEARDOWN(abi)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

/* A heap that never had an object. */
FIXTURE(fresh)
{
	int fd;
};

FIXTURE_SETUP(fresh)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(fresh)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

static void prepare_alloc(void *arg, uint64_t *kept)
{
	struct goalloc_alloc *alloc = arg;

	(void)kept;
	alloc->bytes = 100;
}

static void prepare_free(void *arg, uint64_t *kept)
{
	struct goalloc_free *free = arg;

	free->addr = *kept;
}

static uint64_t batch_sizes[2] = { 100, 5 }, batch_addrs[2];

static void prepare_alloc_batch(void *arg, uint64_t *kept)
{
	struct goalloc_batch *batch = arg;

	(void)kept;
	batch->sizes = (uintptr_t)batch_sizes;
	batch->addrs = (uintptr_t)batch_addrs;
	batch->count = 2;
}

static void prepare_free_batch(void *arg, uint64_t *kept)
{
	struct goalloc_batch *batch = arg;

	batch->addrs = (uintptr_t)kept;
	batch->count = 1;
}

static void prepare_query(void *arg, uint64_t *kept)
{
	struct goalloc_query *query = arg;

	query->addr = *kept;
}

static void prepare_param(void *arg, uint64_t *kept)
{
	struct goalloc_param *param = arg;

	(void)kept;
	param->id = GOALLOC_PARAM_LIMIT;
	param->value = GOALLOC_NO_LIMIT;
}

static void prepare_scavenge(void *arg, uint64_t *kept)
{
	struct goalloc_scavenge *scavenge = arg;

	(void)kept;
	scavenge->bytes = HEAP_PAGE;
}

static void prepare_name(void *arg, uint64_t *kept)
{
	struct goalloc_name *name = arg;

	(void)kept;
	strcpy((char *)name->name, "abi");
}

static void prepare_nothing(void *arg, uint64_t *kept)
{
	(void)arg;
	(void)kept;
}

/* The word after the size is no flags, and is written. */
#define NO_FLAGS	(~0U)

/* The parameters whose numbers are one bit. */
#define PARAMS		(GOALLOC_PARAM_LIMIT | GOALLOC_PARAM_MAX)

/* Every ioctl, with a request that succeeds. */
static const struct call {
	const char *name;
	unsigned long cmd;
	uint32_t size;
	uint32_t known;		/* flags, or ids that are one bit */
	bool answers;		/* has fields that the kernel writes */
	void (*prepare)(void *arg, uint64_t *kept);
} calls[] = {
	{ "INFO", GOALLOC_IOC_INFO, 48, NO_FLAGS, true, prepare_nothing },
	{ "ALLOC", GOALLOC_IOC_ALLOC, 40, GOALLOC_SCAN | GOALLOC_UNINIT, true, prepare_alloc },
	{ "FREE", GOALLOC_IOC_FREE, 16, 0, false, prepare_free },
	{ "ALLOC_BATCH", GOALLOC_IOC_ALLOC_BATCH, 32, GOALLOC_SCAN | GOALLOC_UNINIT, true,
	  prepare_alloc_batch },
	{ "FREE_BATCH", GOALLOC_IOC_FREE_BATCH, 32, 0, true, prepare_free_batch },
	{ "QUERY", GOALLOC_IOC_QUERY, 56, 0, true, prepare_query },
	{ "SET_PARAM", GOALLOC_IOC_SET_PARAM, 16, PARAMS, false, prepare_param },
	{ "GET_PARAM", GOALLOC_IOC_GET_PARAM, 16, PARAMS, true, prepare_param },
	{ "MEMSTATS", GOALLOC_IOC_MEMSTATS, 1864, NO_FLAGS, true, prepare_nothing },
	{ "SCAVENGE", GOALLOC_IOC_SCAVENGE, 24, 0, true, prepare_scavenge },
	{ "SET_NAME", GOALLOC_IOC_SET_NAME, 56, 0, false, prepare_name },
};

/* The one after @c, the first after NULL; NULL after the last. */
static const struct call *next_call(const struct call *c)
{
	if (!c)
		return calls;
	return c + 1 < calls + ARRAY_SIZE(calls) ? c + 1 : NULL;
}

static void request(uint64_t *kept, const struct call *c, void *arg, uint32_t size)
{
	memset(arg, 0, c->size);
	c->prepare(arg, kept);
	memcpy(arg, &size, sizeof(size));
}

static bool frees(const struct call *c)
{
	return c->cmd == GOALLOC_IOC_FREE || c->cmd == GOALLOC_IOC_FREE_BATCH;
}

/* Calls, and names the ioctl when the answer is not the one wanted. */
#define EXPECT_CALL(wanted, which, arg, about) do {			\
	const struct call *_call = (which);				\
	long _want = (wanted), _got = heap_ioctl(self->fd, _call->cmd, arg); \
									\
	EXPECT_EQ(_want, _got)						\
		TH_LOG("%s, %s: %ld (%s), not %ld (%s)", _call->name, about, \
		       _got, errno_name(_got), _want, errno_name(_want)); \
	if (frees(_call) && !_got)					\
		self->kept = heap_new(self->fd, 100);			\
} while (0)

/* As EXPECT_CALL() for a call that must fail, and must change nothing by it. */
#define EXPECT_REFUSED(wanted, which, arg, about) do {			\
	struct goalloc_memstats _before = heap_stats(self->fd);		\
									\
	EXPECT_CALL(wanted, which, arg, about);				\
	EXPECT_UNCHANGED(&_before, self->fd);				\
} while (0)

TEST_F(fresh, info)
{
	struct goalloc_info info;

	memset(&info, 0xff, sizeof(info));
	info.size = sizeof(info);
	EXPECT_RET(0, heap_ioctl(self->fd, GOALLOC_IOC_INFO, &info));
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(1, info.abi_version);
	EXPECT_EQ(GOALLOC_ABI_VERSION, info.abi_version);
	EXPECT_EQ(HEAP_BASE, info.heap_base);
	EXPECT_EQ(HEAP_MAX, info.heap_max);
	EXPECT_EQ(HEAP_PAGE, info.page_size);
	EXPECT_EQ(MAX_SMALL, info.max_small_size);
	EXPECT_EQ(GOALLOC_BY_SIZE_MAX, info.num_size_classes);
	EXPECT_GE(info.batch_max, 1024);
	EXPECT_EQ(GOALLOC_FEATURE_NAME | GOALLOC_FEATURE_SEEK | GOALLOC_FEATURE_POLL,
		  info.features);
	TH_LOG("features %#llx, batch_max %u", (unsigned long long)info.features,
	       info.batch_max);
}

/* Every field after "out" is written, every one before it left alone. */
TEST_F(abi, answers_are_whole)
{
	struct goalloc_memstats ms;
	struct goalloc_alloc a;
	struct goalloc_query q;
	size_t i;

	memset(&a, 0xff, sizeof(a));
	a.size = sizeof(a);
	a.flags = GOALLOC_UNINIT;
	a.bytes = 24;
	a.align = 8;
	EXPECT_RET(0, heap_ioctl(self->fd, GOALLOC_IOC_ALLOC, &a));
	EXPECT_EQ(sizeof(a), a.size);
	EXPECT_EQ(GOALLOC_UNINIT, a.flags);
	EXPECT_EQ(24, a.bytes);
	EXPECT_EQ(8, a.align);
	EXPECT_LT(a.addr - HEAP_BASE, HEAP_MAX);
	EXPECT_EQ(24, a.usable);

	EXPECT_RET(0, heap_query(self->fd, a.addr, &q));
	EXPECT_EQ(sizeof(q), q.size);
	EXPECT_EQ(a.addr, q.addr);
	EXPECT_EQ(a.addr, q.base);
	EXPECT_EQ(24, q.usable);
	EXPECT_EQ(0, q.span_base % HEAP_PAGE);
	EXPECT_EQ(1, q.span_pages);
	EXPECT_EQ(3 << 1 | 1, q.spanclass);
	EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
	EXPECT_EQ(0, q.reserved);

	memset(&ms, 0xa5, sizeof(ms));
	ms.size = sizeof(ms);
	EXPECT_RET(0, heap_ioctl(self->fd, GOALLOC_IOC_MEMSTATS, &ms));
	EXPECT_EQ(sizeof(ms), ms.size);
	EXPECT_EQ(68, ms.by_size_count);
	for (i = offsetof(struct goalloc_memstats, alloc); i < sizeof(ms); i += 8) {
		EXPECT_NE(0, memcmp((char *)&ms + i, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8))
			TH_LOG("MEMSTATS does not write the field at %zu", i);
	}
	for (i = 0; i < 68; i++)
		EXPECT_EQ(0, ms.by_size[i].reserved);
}

TEST_F(abi, short_struct)
{
	static const uint32_t sizes[] = { 0, 1, 4, 8, 12 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			request(&self->kept, c, arg, sizes[i]);
			EXPECT_REFUSED(-EINVAL, c, arg, "far too short");
		}
		request(&self->kept, c, arg, c->size - 1);
		EXPECT_REFUSED(-EINVAL, c, arg, "a byte too short");
		request(&self->kept, c, arg, c->size - 8);
		EXPECT_REFUSED(-EINVAL, c, arg, "a field too short");
		request(&self->kept, c, arg, c->size);
		EXPECT_CALL(0, c, arg, "as version 1 has it");
	}
}

/* A caller built with a later header: fields this kernel does not know are 0. */
TEST_F(abi, long_struct)
{
	static const uint32_t more[] = { 1, 4, 8, 100, 2000, 4096 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(more); i++) {
			uint32_t size = c->size + more[i];

			memset(arg, 0, sizeof(arg));
			memset(arg + size, 0xee, sizeof(arg) - size);
			request(&self->kept, c, arg, size);
			EXPECT_CALL(0, c, arg, "longer, the rest 0");
			EXPECT_TRUE(is_zero(arg + c->size, more[i]));
			EXPECT_EQ((char)0xee, arg[size]);
			EXPECT_EQ((char)0xee, arg[sizeof(arg) - 1]);
			EXPECT_EQ(0, memcmp(arg, &size, sizeof(size)));
		}
	}
}

TEST_F(abi, long_struct_unknown)
{
	static const uint32_t more[] = { 1, 4, 8, 100, 2000, 4096 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(more); i++) {
			memset(arg, 0, sizeof(arg));
			request(&self->kept, c, arg, c->size + more[i]);
			arg[c->size] = 1;
			EXPECT_REFUSED(-E2BIG, c, arg, "an unknown field at once");
			arg[c->size] = 0;
			arg[c->size + more[i] - 1] = -128;
			EXPECT_REFUSED(-E2BIG, c, arg, "an unknown field at the end");
		}
	}
}

/* Sizes that no memory can have: refused, whichever of the reasons comes first. */
TEST_F(abi, absurd_size)
{
	static const uint32_t sizes[] = { ~0U, ~0U - 7, 1U << 31, 1U << 30 };
	const struct call *c = NULL;
	char *arg;
	size_t i;

	/* One page, and none behind it. */
	arg = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	ASSERT_EQ(0, munmap(arg + 4096, 4096));
	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct goalloc_memstats before = heap_stats(self->fd);
			long ret;

			memset(arg, 0, 4096);
			request(&self->kept, c, arg, sizes[i]);
			ret = heap_ioctl(self->fd, c->cmd, arg);
			EXPECT_TRUE(ret == -E2BIG || ret == -EFAULT || ret == -EINVAL)
				TH_LOG("%s gave %ld (%s)", c->name, ret, errno_name(ret));
			EXPECT_UNCHANGED(&before, self->fd);
		}
	}
	munmap(arg, 4096);
}

TEST_F(abi, bad_pointer)
{
	static const uintptr_t pointers[] = {
		0, 1, 8, 4088, 0x7ffffffff000, 0x8000000000000000, 0xffff888000000000,
		0xffffffff81000000, 0xfffffffffffffff8, 0xffffffffffffffff,
	};
	const struct call *c = NULL;
	size_t i;

	while ((c = next_call(c)))
		for (i = 0; i < ARRAY_SIZE(pointers); i++)
			EXPECT_REFUSED(-EFAULT, c, (void *)pointers[i], "a bad pointer");
}

TEST_F(abi, unaligned_struct)
{
	_Alignas(16) char room[ARG_MAX_SIZE];
	const struct call *c = NULL;
	int shift;

	while ((c = next_call(c))) {
		for (shift = 1; shift < 16; shift++) {
			memset(room, 0xee, sizeof(room));
			request(&self->kept, c, room + shift, c->size);
			EXPECT_CALL(0, c, room + shift, "at an odd address");
			EXPECT_EQ((char)0xee, room[shift - 1]);
			EXPECT_EQ((char)0xee, room[shift + c->size]);
		}
	}
}

/* A struct that only begins in mapped memory. */
TEST_F(abi, truncated_struct)
{
	char room[ARG_MAX_SIZE], *end;
	const struct call *c = NULL;
	uint32_t have;

	end = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += 4096;
	ASSERT_EQ(0, munmap(end, 4096));
	while ((c = next_call(c))) {
		for (have = 1; have < c->size; have += have < 64 ? 1 : 97) {
			request(&self->kept, c, room, c->size);
			memcpy(end - have, room, have);
			EXPECT_REFUSED(-EFAULT, c, end - have, "cut off by a hole");
		}
		request(&self->kept, c, end - c->size, c->size);
		EXPECT_CALL(0, c, end - c->size, "up to a hole");
	}
	munmap(end - 4096, 4096);
}

/*
 * What cannot be reported is undone: the object was made and freed again. FREE
 * reports nothing but its errno, so for it such a struct is as good as another.
 */
TEST_F(abi, readonly_struct)
{
	struct goalloc_memstats before, after;
	const struct call *c = NULL;
	char *arg;

	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	while ((c = next_call(c))) {
		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		request(&self->kept, c, arg, c->size);
		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ));
		before = heap_stats(self->fd);
		EXPECT_CALL(c->answers ? -EFAULT : 0, c, arg, "read-only");
		after = heap_stats(self->fd);
		EXPECT_EQ(before.heap_objects, after.heap_objects);
		EXPECT_EQ(before.heap_alloc, after.heap_alloc);
		EXPECT_EQ(before.mallocs - before.frees, after.mallocs - after.frees);
	}
	munmap(arg, 4096);
}

/* The same for every kind of object, and often: nothing may pile up. */
TEST_F_TIMEOUT(fresh, unreported_alloc, LONG_TEST)
{
	static const uint64_t bytes[] = { 1, 8, 15, 16, 100, 1024, 32768, 32769, 8 * MIB };
	struct goalloc_memstats before;
	struct goalloc_alloc *arg;
	int round;
	size_t i;

	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	/* Another CPU would have spans of its own. */
	EXPECT_TRUE(pin_to_cpu(0));
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		*arg = (struct goalloc_alloc){ .size = sizeof(*arg), .bytes = bytes[i] };
		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ));
		before = heap_stats(self->fd);
		for (round = 0; round < 500; round++)
			EXPECT_RET(-EFAULT, heap_ioctl(self->fd, GOALLOC_IOC_ALLOC, arg));
		EXPECT_EQ(0, heap_stats(self->fd).heap_objects);
		EXPECT_EQ(before.heap_alloc, heap_stats(self->fd).heap_alloc);
		EXPECT_LE(heap_stats(self->fd).heap_inuse, before.heap_inuse + 2 * 80 * KIB);
	}
	unpin();
	EXPECT_EMPTY(self->fd);
	munmap(arg, 4096);
}

TEST_F(abi, unknown_ioctl)
{
	char arg[ARG_MAX_SIZE];
	unsigned int nr;

	memset(arg, 0, sizeof(arg));
	for (nr = 0x0b; nr <= 0xff; nr++)
		EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC, nr), arg));
	/* Another magic, and the numbers with a direction and a size in them. */
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IO(0xb8, 0), arg));
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IO(0xba, 1), arg));
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IO(0, 0), arg));
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IOR(0xb9, 0, struct goalloc_info), arg));
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IOWR(0xb9, 1, struct goalloc_alloc), arg));
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IOW(0xb9, 2, struct goalloc_free), arg));
	/* An unknown one is unknown wherever its argument points. */
	EXPECT_RET(-ENOTTY, heap_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC, 0xff), NULL));
}

TEST_F(abi, unknown_flag)
{
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	unsigned int bit;

	while ((c = next_call(c))) {
		if (c->known == NO_FLAGS)
			continue;
		for (bit = 0; bit < 32; bit++) {
			uint32_t flags = 1U << bit;

			request(&self->kept, c, arg, c->size);
			memcpy(arg + 4, &flags, sizeof(flags));
			if (flags & c->known)
				EXPECT_CALL(0, c, arg, "a known flag");
			else
				EXPECT_REFUSED(-EOPNOTSUPP, c, arg, "an unknown flag");
		}
	}
}

TEST_F(abi, bad_align)
{
	static const uint64_t bad[] = {
		3, 5, 6, 7, 9, 12, 24, 100, 4095, 4097, 12288, 2 * MIB - 1, 2 * MIB + 1,
		3 * MIB, 4 * MIB, 1ULL << 40, 1ULL << 63, ~0ULL, (1ULL << 63) + 1,
	};
	static const uint64_t bytes[] = { 0, 1, 16, 100, 8192, 32768, 100000 };
	struct goalloc_memstats before;
	uint64_t addr;
	size_t i, j;

	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (j = 0; j < ARRAY_SIZE(bytes); j++)
			EXPECT_RET(-EINVAL, heap_alloc_aligned(self->fd, bytes[j], bad[i], 0,
							       &addr, NULL));
	EXPECT_UNCHANGED(&before, self->fd);
}

/* Larger than the address space, with sums that would overflow among them. */
TEST_F(abi, too_large)
{
	static const uint64_t bytes[] = {
		HEAP_MAX + 1, HEAP_MAX + HEAP_PAGE, 2 * HEAP_MAX, 1ULL << 44, 1ULL << 48,
		1ULL << 62, (1ULL << 63) - 1, 1ULL << 63, (1ULL << 63) + 1,
		~0ULL - HEAP_PAGE, ~0ULL - HEAP_PAGE + 2, ~0ULL - 15, ~0ULL - 1, ~0ULL,
	};
	static const uint64_t align[] = { 0, 1, 16, 8192, 2 * MIB };
	struct goalloc_memstats before;
	uint64_t addr;
	size_t i, j;

	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++)
		for (j = 0; j < ARRAY_SIZE(align); j++)
			EXPECT_RET(-EFBIG, heap_alloc_aligned(self->fd, bytes[i], align[j], 0,
							      &addr, NULL));
	EXPECT_UNCHANGED(&before, self->fd);
}

/* Not larger than the address space, but than what is left of it. */
TEST_F(abi, no_room)
{
	static const uint64_t bytes[] = {
		HEAP_MAX, HEAP_MAX - 1, HEAP_MAX - HEAP_PAGE + 1,
	};
	struct goalloc_memstats before;
	uint64_t addr;
	size_t i;

	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		EXPECT_RET(-ENOMEM, heap_alloc(self->fd, bytes[i], 0, &addr, NULL));
		EXPECT_RET(-ENOMEM, heap_alloc_aligned(self->fd, bytes[i], 2 * MIB, 0,
						       &addr, NULL));
	}
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_EQ(before.heap_sys, heap_stats(self->fd).heap_sys);
	EXPECT_RET(0, heap_free(self->fd, self->kept));
}

static const uint64_t wild[] = {
	1, 2, 8, 15, 17, 4096, 8192, 0x7fffffffffff, HEAP_BASE - 1, HEAP_BASE - HEAP_PAGE,
	HEAP_BASE + 64 * MIB, HEAP_BASE + HEAP_MAX - 1, HEAP_BASE + HEAP_MAX - HEAP_PAGE,
	HEAP_BASE + HEAP_MAX, HEAP_BASE + HEAP_MAX + HEAP_PAGE, 1ULL << 63, ~0ULL, ~0ULL - 15,
	0xffff888000000000, 0xffffffff81000000, 0xdead000000000100,
};

TEST_F(fresh, wild_address)
{
	struct goalloc_memstats before;
	struct goalloc_query q;
	size_t i;

	/* In a heap that never had an object, and in one that has. */
	EXPECT_RET(-ENOENT, heap_free(self->fd, HEAP_BASE));
	EXPECT_RET(-ENOENT, heap_query(self->fd, HEAP_BASE, &q));
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		EXPECT_RET(-ENOENT, heap_free(self->fd, wild[i]));
		EXPECT_RET(-ENOENT, heap_query(self->fd, wild[i], &q));
	}
	EXPECT_NE(0, heap_new(self->fd, 100));
	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		EXPECT_RET(-ENOENT, heap_free(self->fd, wild[i]));
		EXPECT_RET(-ENOENT, heap_query(self->fd, wild[i], &q));
	}
	EXPECT_UNCHANGED(&before, self->fd);
}

TEST_F(abi, free_of_nothing)
{
	struct goalloc_memstats before;
	int i;

	before = heap_stats(self->fd);
	for (i = 0; i < 3; i++) {
		EXPECT_RET(0, heap_free(self->fd, 0));
		EXPECT_RET(0, heap_free(self->fd, GOALLOC_ZERO_ADDR));
	}
	EXPECT_UNCHANGED(&before, self->fd);
}

/* Inside a span, and inside its tail behind the last slot, but no object's first byte. */
TEST_F(fresh, stray_address)
{
	static const uint64_t bytes[] = {
		16, 24, 48, 100, 1000, 1024, 5000, 32768, 100000, 4 * MIB,
	};
	struct goalloc_memstats before;
	struct goalloc_query q;
	uint64_t addr, usable, off;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		ASSERT_RET(0, heap_alloc(self->fd, bytes[i], 0, &addr, &usable));
		before = heap_stats(self->fd);
		for (off = 1; off < usable; off += 1 + usable / 100)
			EXPECT_RET(-EINVAL, heap_free(self->fd, addr + off));
		EXPECT_RET(-EINVAL, heap_free(self->fd, addr + usable - 1));
		if (usable <= MAX_SMALL) {
			uint64_t tail;

			ASSERT_RET(0, heap_query(self->fd, addr, &q));
			tail = q.span_pages * HEAP_PAGE % usable;
			if (tail) {
				uint64_t end = q.span_base + q.span_pages * HEAP_PAGE;

				EXPECT_RET(-EINVAL, heap_free(self->fd, end - tail));
				EXPECT_RET(-EINVAL, heap_free(self->fd, end - 1));
			}
		}
		EXPECT_UNCHANGED(&before, self->fd);
		EXPECT_RET(0, heap_free(self->fd, addr));
	}
	EXPECT_EMPTY(self->fd);
}

/* Freed already, and never handed out. */
TEST_F(fresh, double_free)
{
	static const uint64_t bytes[] = { 16, 48, 100, 1024, 2048 };
	struct goalloc_memstats before;
	uint64_t addr, neighbour, usable;
	struct goalloc_query q;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		/* Its neighbour keeps the span in use. */
		neighbour = heap_new(self->fd, bytes[i]);
		ASSERT_RET(0, heap_alloc(self->fd, bytes[i], 0, &addr, &usable));
		ASSERT_RET(0, heap_free(self->fd, addr));
		before = heap_stats(self->fd);
		EXPECT_RET(-EALREADY, heap_free(self->fd, addr));
		EXPECT_RET(-EALREADY, heap_free(self->fd, addr));
		EXPECT_RET(-EINVAL, heap_free(self->fd, addr + 1));
		/* The span's last slot was never handed out. */
		ASSERT_RET(0, heap_query(self->fd, neighbour, &q));
		addr = q.span_base + (q.span_pages * HEAP_PAGE / usable - 1) * usable;
		EXPECT_RET(-EALREADY, heap_free(self->fd, addr));
		EXPECT_UNCHANGED(&before, self->fd);
		EXPECT_RET(0, heap_free(self->fd, neighbour));
	}
	EXPECT_EMPTY(self->fd);
}

#ifdef __x86_64__
/* The 32-bit entry of the kernel, as a 32-bit program comes in by it. */
static long ioctl_32bit(int fd, uint32_t cmd, uint32_t arg)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (54), "b" (fd), "c" (cmd), "d" (arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void no_32bit_entry(int sig)
{
	(void)sig;
	_exit(2);
}

TEST_F(abi, caller_32bit)
{
	const struct call *c = NULL;
	int status;
	char *arg;
	pid_t pid;

	pid = fork();
	if (!pid) {
		signal(SIGSEGV, no_32bit_entry);
		/* An answer from ioctl() and not from its absence. */
		_exit(ioctl_32bit(-1, 0, 0) == -EBADF ? 0 : 2);
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		SKIP(return, "this kernel runs no 32-bit programs");

	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	while ((c = next_call(c))) {
		request(&self->kept, c, arg, c->size);
		EXPECT_RET(0, ioctl_32bit(self->fd, c->cmd, (uintptr_t)arg));
		if (frees(c))
			self->kept = heap_new(self->fd, 100);
		if (c->cmd == GOALLOC_IOC_ALLOC)
			EXPECT_RET(0, heap_free(self->fd, ((struct goalloc_alloc *)arg)->addr));
		request(&self->kept, c, arg, c->size - 1);
		EXPECT_RET(-EINVAL, ioctl_32bit(self->fd, c->cmd, (uintptr_t)arg));
	}
	EXPECT_RET(-ENOTTY, ioctl_32bit(self->fd, 0xb9ff, (uintptr_t)arg));
	munmap(arg, 4096);
}
#else
TEST_F(abi, caller_32bit)
{
	SKIP(return, "x86 only");
}
#endif

TEST_HARNESS_MAIN
