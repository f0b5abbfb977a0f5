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
_Static_assert(sizeof(struct goalloc_memstats) == 1864, "goalloc_memstats");
_Static_assert(offsetof(struct goalloc_memstats, alloc) == 8, "alloc");
_Static_assert(offsetof(struct goalloc_memstats, by_size) == 232, "by_size");
_Static_assert(GOALLOC_IOC_INFO == 0xb900, "INFO");
_Static_assert(GOALLOC_IOC_ALLOC == 0xb901, "ALLOC");
_Static_assert(GOALLOC_IOC_FREE == 0xb902, "FREE");
_Static_assert(GOALLOC_IOC_ALLOC_BATCH == 0xb903, "ALLOC_BATCH");
_Static_assert(GOALLOC_IOC_FREE_BATCH == 0xb904, "FREE_BATCH");
_Static_assert(GOALLOC_IOC_QUERY == 0xb905, "QUERY");
_Static_assert(GOALLOC_IOC_MEMSTATS == 0xb908, "MEMSTATS");

/* Where a caller's struct may be of any length; the largest is below this. */
#define ARG_MAX_SIZE	8192

static int fd;
static uint64_t kept;	/* a live object for FREE and QUERY */

static void setup(void)
{
	fd = heap_open();
	kept = heap_new(fd, 100);
}

static void prepare_alloc(void *arg)
{
	((struct goalloc_alloc *)arg)->bytes = 100;
}

static void prepare_free(void *arg)
{
	((struct goalloc_free *)arg)->addr = kept;
}

static uint64_t batch_sizes[2] = { 100, 5 }, batch_addrs[2];

static void prepare_alloc_batch(void *arg)
{
	struct goalloc_batch *batch = arg;

	batch->sizes = (uintptr_t)batch_sizes;
	batch->addrs = (uintptr_t)batch_addrs;
	batch->count = 2;
}

static void prepare_free_batch(void *arg)
{
	struct goalloc_batch *batch = arg;

	batch->addrs = (uintptr_t)&kept;
	batch->count = 1;
}

static void prepare_query(void *arg)
{
	((struct goalloc_query *)arg)->addr = kept;
}

static void prepare_nothing(void *arg)
{
	(void)arg;
}

/* Every ioctl, with a request that succeeds. */
static const struct call {
	const char *name;
	unsigned long cmd;
	uint32_t size;
	bool answers;		/* has fields that the kernel writes */
	void (*prepare)(void *arg);
} calls[] = {
	{ "INFO", GOALLOC_IOC_INFO, 48, true, prepare_nothing },
	{ "ALLOC", GOALLOC_IOC_ALLOC, 40, true, prepare_alloc },
	{ "FREE", GOALLOC_IOC_FREE, 16, false, prepare_free },
	{ "ALLOC_BATCH", GOALLOC_IOC_ALLOC_BATCH, 32, true, prepare_alloc_batch },
	{ "FREE_BATCH", GOALLOC_IOC_FREE_BATCH, 32, true, prepare_free_batch },
	{ "QUERY", GOALLOC_IOC_QUERY, 56, true, prepare_query },
	{ "MEMSTATS", GOALLOC_IOC_MEMSTATS, 1864, true, prepare_nothing },
};

/* The one after @c, the first after NULL; NULL after the last. */
static const struct call *next_call(const struct call *c)
{
	if (!c)
		return calls;
	return c + 1 < calls + ARRAY_SIZE(calls) ? c + 1 : NULL;
}

static void request(const struct call *c, void *arg, uint32_t size)
{
	memset(arg, 0, c->size);
	c->prepare(arg);
	memcpy(arg, &size, sizeof(size));
}

static bool frees(const struct call *c)
{
	return c->cmd == GOALLOC_IOC_FREE || c->cmd == GOALLOC_IOC_FREE_BATCH;
}

/* Calls, and names the ioctl when the answer is not the one wanted. */
static void expect(const struct call *c, void *arg, long wanted, const char *about)
{
	long ret = heap_ioctl(fd, c->cmd, arg);

	if (ret != wanted && tap_fail())
		tap_note("%s, %s: %ld (%s), not %ld (%s)", c->name, about, ret,
			 tap_errno_name(ret), wanted, tap_errno_name(wanted));
	if (frees(c) && !ret)
		kept = heap_new(fd, 100);
}

/* As expect() for a call that must fail, and must change nothing by it. */
static void expect_refused(const struct call *c, void *arg, long wanted, const char *about)
{
	struct goalloc_memstats before = heap_stats(fd);

	expect(c, arg, wanted, about);
	heap_check_unchanged(&before, fd);
}

static void info(void)
{
	struct goalloc_info info;

	fd = heap_open();
	memset(&info, 0xff, sizeof(info));
	info.size = sizeof(info);
	CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_INFO, &info), 0);
	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.abi_version, 1);
	CHECK_EQ(info.abi_version, GOALLOC_ABI_VERSION);
	CHECK_EQ(info.heap_base, HEAP_BASE);
	CHECK_EQ(info.heap_max, HEAP_MAX);
	CHECK_EQ(info.page_size, HEAP_PAGE);
	CHECK_EQ(info.max_small_size, MAX_SMALL);
	CHECK_EQ(info.num_size_classes, GOALLOC_BY_SIZE_MAX);
	CHECK(info.batch_max >= 1024);
	tap_note("features %#llx, batch_max %u", (unsigned long long)info.features,
		 info.batch_max);
}

/* Every field after "out" is written, every one before it left alone. */
static void answers_are_whole(void)
{
	struct goalloc_memstats ms;
	struct goalloc_alloc a;
	struct goalloc_query q;
	size_t i;

	setup();
	memset(&a, 0xff, sizeof(a));
	a.size = sizeof(a);
	a.flags = GOALLOC_UNINIT;
	a.bytes = 24;
	a.align = 8;
	CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_ALLOC, &a), 0);
	CHECK_EQ(a.size, sizeof(a));
	CHECK_EQ(a.flags, GOALLOC_UNINIT);
	CHECK_EQ(a.bytes, 24);
	CHECK_EQ(a.align, 8);
	CHECK(a.addr - HEAP_BASE < HEAP_MAX);
	CHECK_EQ(a.usable, 24);

	CHECK_RET(heap_query(fd, a.addr, &q), 0);
	CHECK_EQ(q.size, sizeof(q));
	CHECK_EQ(q.addr, a.addr);
	CHECK_EQ(q.base, a.addr);
	CHECK_EQ(q.usable, 24);
	CHECK_EQ(q.span_base % HEAP_PAGE, 0);
	CHECK_EQ(q.span_pages, 1);
	CHECK_EQ(q.spanclass, 3 << 1 | 1);
	CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
	CHECK_EQ(q.reserved, 0);

	memset(&ms, 0xa5, sizeof(ms));
	ms.size = sizeof(ms);
	CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_MEMSTATS, &ms), 0);
	CHECK_EQ(ms.size, sizeof(ms));
	CHECK_EQ(ms.by_size_count, 68);
	for (i = offsetof(struct goalloc_memstats, alloc); i < sizeof(ms); i += 8)
		if (!memcmp((char *)&ms + i, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8) && tap_fail())
			tap_note("MEMSTATS does not write the field at %zu", i);
	for (i = 0; i < 68; i++)
		CHECK_EQ(ms.by_size[i].reserved, 0);
}

static void short_struct(void)
{
	static const uint32_t sizes[] = { 0, 1, 4, 8, 12 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	setup();
	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			request(c, arg, sizes[i]);
			expect_refused(c, arg, -EINVAL, "far too short");
		}
		request(c, arg, c->size - 1);
		expect_refused(c, arg, -EINVAL, "a byte too short");
		request(c, arg, c->size - 8);
		expect_refused(c, arg, -EINVAL, "a field too short");
		request(c, arg, c->size);
		expect(c, arg, 0, "as version 1 has it");
	}
}

/* A caller built with a later header: fields this kernel does not know are 0. */
static void long_struct(void)
{
	static const uint32_t more[] = { 1, 4, 8, 100, 2000, 4096 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	setup();
	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(more); i++) {
			uint32_t size = c->size + more[i];

			memset(arg, 0, sizeof(arg));
			memset(arg + size, 0xee, sizeof(arg) - size);
			request(c, arg, size);
			expect(c, arg, 0, "longer, the rest 0");
			CHECK(is_zero(arg + c->size, more[i]));
			CHECK(arg[size] == (char)0xee && arg[sizeof(arg) - 1] == (char)0xee);
			CHECK(!memcmp(arg, &size, sizeof(size)));
		}
	}
}

static void long_struct_unknown(void)
{
	static const uint32_t more[] = { 1, 4, 8, 100, 2000, 4096 };
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	size_t i;

	setup();
	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(more); i++) {
			memset(arg, 0, sizeof(arg));
			request(c, arg, c->size + more[i]);
			arg[c->size] = 1;
			expect_refused(c, arg, -E2BIG, "an unknown field at once");
			arg[c->size] = 0;
			arg[c->size + more[i] - 1] = -128;
			expect_refused(c, arg, -E2BIG, "an unknown field at the end");
		}
	}
}

/* Sizes that no memory can have: refused, whichever of the reasons comes first. */
static void absurd_size(void)
{
	static const uint32_t sizes[] = { ~0U, ~0U - 7, 1U << 31, 1U << 30 };
	const struct call *c = NULL;
	char *arg;
	size_t i;

	setup();
	/* One page, and none behind it. */
	arg = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(arg != MAP_FAILED);
	REQUIRE(!munmap(arg + 4096, 4096));
	while ((c = next_call(c))) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct goalloc_memstats before = heap_stats(fd);
			long ret;

			memset(arg, 0, 4096);
			request(c, arg, sizes[i]);
			ret = heap_ioctl(fd, c->cmd, arg);
			CHECK(ret == -E2BIG || ret == -EFAULT || ret == -EINVAL);
			heap_check_unchanged(&before, fd);
		}
	}
	munmap(arg, 4096);
}

static void bad_pointer(void)
{
	static const uintptr_t pointers[] = {
		0, 1, 8, 4088, 0x7ffffffff000, 0x8000000000000000, 0xffff888000000000,
		0xffffffff81000000, 0xfffffffffffffff8, 0xffffffffffffffff,
	};
	const struct call *c = NULL;
	size_t i;

	setup();
	while ((c = next_call(c)))
		for (i = 0; i < ARRAY_SIZE(pointers); i++)
			expect_refused(c, (void *)pointers[i], -EFAULT, "a bad pointer");
}

static void unaligned_struct(void)
{
	_Alignas(16) char room[ARG_MAX_SIZE];
	const struct call *c = NULL;
	int shift;

	setup();
	while ((c = next_call(c))) {
		for (shift = 1; shift < 16; shift++) {
			memset(room, 0xee, sizeof(room));
			request(c, room + shift, c->size);
			expect(c, room + shift, 0, "at an odd address");
			CHECK(room[shift - 1] == (char)0xee);
			CHECK(room[shift + c->size] == (char)0xee);
		}
	}
}

/* A struct that only begins in mapped memory. */
static void truncated_struct(void)
{
	char room[ARG_MAX_SIZE], *end;
	const struct call *c = NULL;
	uint32_t have;

	setup();
	end = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(end != MAP_FAILED);
	end += 4096;
	REQUIRE(!munmap(end, 4096));
	while ((c = next_call(c))) {
		for (have = 1; have < c->size; have += have < 64 ? 1 : 97) {
			request(c, room, c->size);
			memcpy(end - have, room, have);
			expect_refused(c, end - have, -EFAULT, "cut off by a hole");
		}
		request(c, end - c->size, c->size);
		expect(c, end - c->size, 0, "up to a hole");
	}
	munmap(end - 4096, 4096);
}

/*
 * What cannot be reported is undone: the object was made and freed again. FREE
 * reports nothing but its errno, so for it such a struct is as good as another.
 */
static void readonly_struct(void)
{
	struct goalloc_memstats before, after;
	const struct call *c = NULL;
	char *arg;

	setup();
	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(arg != MAP_FAILED);
	while ((c = next_call(c))) {
		REQUIRE(!mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		request(c, arg, c->size);
		REQUIRE(!mprotect(arg, 4096, PROT_READ));
		before = heap_stats(fd);
		expect(c, arg, c->answers ? -EFAULT : 0, "read-only");
		after = heap_stats(fd);
		CHECK_EQ(after.heap_objects, before.heap_objects);
		CHECK_EQ(after.heap_alloc, before.heap_alloc);
		CHECK_EQ(after.mallocs - after.frees, before.mallocs - before.frees);
	}
	munmap(arg, 4096);
}

/* The same for every kind of object, and often: nothing may pile up. */
static void unreported_alloc(void)
{
	static const uint64_t bytes[] = { 1, 8, 15, 16, 100, 1024, 32768, 32769, 8 * MIB };
	struct goalloc_memstats before;
	struct goalloc_alloc *arg;
	int round;
	size_t i;

	fd = heap_open();
	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(arg != MAP_FAILED);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		REQUIRE(!mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		*arg = (struct goalloc_alloc){ .size = sizeof(*arg), .bytes = bytes[i] };
		REQUIRE(!mprotect(arg, 4096, PROT_READ));
		before = heap_stats(fd);
		for (round = 0; round < 500; round++)
			CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_ALLOC, arg), -EFAULT);
		CHECK_EQ(heap_stats(fd).heap_objects, 0);
		CHECK_EQ(heap_stats(fd).heap_alloc, before.heap_alloc);
		CHECK(heap_stats(fd).heap_inuse <= before.heap_inuse + 2 * 80 * KIB);
	}
	heap_check_empty(fd);
	munmap(arg, 4096);
}

static void unknown_ioctl(void)
{
	char arg[ARG_MAX_SIZE];
	unsigned int nr;

	setup();
	memset(arg, 0, sizeof(arg));
	for (nr = 0x0a; nr <= 0xff; nr++)
		CHECK_RET(heap_ioctl(fd, _IO(GOALLOC_IOC_MAGIC, nr), arg), -ENOTTY);
	/* Another magic, and the numbers with a direction and a size in them. */
	CHECK_RET(heap_ioctl(fd, _IO(0xb8, 0), arg), -ENOTTY);
	CHECK_RET(heap_ioctl(fd, _IO(0xba, 1), arg), -ENOTTY);
	CHECK_RET(heap_ioctl(fd, _IO(0, 0), arg), -ENOTTY);
	CHECK_RET(heap_ioctl(fd, _IOR(0xb9, 0, struct goalloc_info), arg), -ENOTTY);
	CHECK_RET(heap_ioctl(fd, _IOWR(0xb9, 1, struct goalloc_alloc), arg), -ENOTTY);
	CHECK_RET(heap_ioctl(fd, _IOW(0xb9, 2, struct goalloc_free), arg), -ENOTTY);
	/* An unknown one is unknown wherever its argument points. */
	CHECK_RET(heap_ioctl(fd, _IO(GOALLOC_IOC_MAGIC, 0xff), NULL), -ENOTTY);
}

static void unknown_flag(void)
{
	char arg[ARG_MAX_SIZE];
	const struct call *c = NULL;
	unsigned int bit;

	setup();
	while ((c = next_call(c))) {
		bool makes = c->cmd == GOALLOC_IOC_ALLOC || c->cmd == GOALLOC_IOC_ALLOC_BATCH;
		uint32_t known = makes ? GOALLOC_SCAN | GOALLOC_UNINIT : 0;

		if (c->cmd == GOALLOC_IOC_INFO || c->cmd == GOALLOC_IOC_MEMSTATS)
			continue;	/* they have no flags */
		for (bit = 0; bit < 32; bit++) {
			uint32_t flags = 1U << bit;

			request(c, arg, c->size);
			memcpy(arg + 4, &flags, sizeof(flags));
			if (flags & known)
				expect(c, arg, 0, "a known flag");
			else
				expect_refused(c, arg, -EOPNOTSUPP, "an unknown flag");
		}
	}
}

static void bad_align(void)
{
	static const uint64_t bad[] = {
		3, 5, 6, 7, 9, 12, 24, 100, 4095, 4097, 12288, 2 * MIB - 1, 2 * MIB + 1,
		3 * MIB, 4 * MIB, 1ULL << 40, 1ULL << 63, ~0ULL, (1ULL << 63) + 1,
	};
	static const uint64_t bytes[] = { 0, 1, 16, 100, 8192, 32768, 100000 };
	struct goalloc_memstats before;
	uint64_t addr;
	size_t i, j;

	setup();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		for (j = 0; j < ARRAY_SIZE(bytes); j++)
			CHECK_RET(heap_alloc_aligned(fd, bytes[j], bad[i], 0, &addr, NULL),
				  -EINVAL);
	heap_check_unchanged(&before, fd);
}

/* Larger than the address space, with sums that would overflow among them. */
static void too_large(void)
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

	setup();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++)
		for (j = 0; j < ARRAY_SIZE(align); j++)
			CHECK_RET(heap_alloc_aligned(fd, bytes[i], align[j], 0, &addr, NULL),
				  -EFBIG);
	heap_check_unchanged(&before, fd);
}

/* Not larger than the address space, but than what is left of it. */
static void no_room(void)
{
	static const uint64_t bytes[] = {
		HEAP_MAX, HEAP_MAX - 1, HEAP_MAX - HEAP_PAGE + 1,
	};
	struct goalloc_memstats before;
	uint64_t addr;
	size_t i;

	setup();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		CHECK_RET(heap_alloc(fd, bytes[i], 0, &addr, NULL), -ENOMEM);
		CHECK_RET(heap_alloc_aligned(fd, bytes[i], 2 * MIB, 0, &addr, NULL), -ENOMEM);
	}
	heap_check_unchanged(&before, fd);
	CHECK_EQ(heap_stats(fd).heap_sys, before.heap_sys);
	CHECK_RET(heap_free(fd, kept), 0);
}

static const uint64_t wild[] = {
	1, 2, 8, 15, 17, 4096, 8192, 0x7fffffffffff, HEAP_BASE - 1, HEAP_BASE - HEAP_PAGE,
	HEAP_BASE + 64 * MIB, HEAP_BASE + HEAP_MAX - 1, HEAP_BASE + HEAP_MAX - HEAP_PAGE,
	HEAP_BASE + HEAP_MAX, HEAP_BASE + HEAP_MAX + HEAP_PAGE, 1ULL << 63, ~0ULL, ~0ULL - 15,
	0xffff888000000000, 0xffffffff81000000, 0xdead000000000100,
};

static void wild_address(void)
{
	struct goalloc_memstats before;
	struct goalloc_query q;
	size_t i;

	/* In a heap that never had an object, and in one that has. */
	fd = heap_open();
	CHECK_RET(heap_free(fd, HEAP_BASE), -ENOENT);
	CHECK_RET(heap_query(fd, HEAP_BASE, &q), -ENOENT);
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		CHECK_RET(heap_free(fd, wild[i]), -ENOENT);
		CHECK_RET(heap_query(fd, wild[i], &q), -ENOENT);
	}
	setup();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		CHECK_RET(heap_free(fd, wild[i]), -ENOENT);
		CHECK_RET(heap_query(fd, wild[i], &q), -ENOENT);
	}
	heap_check_unchanged(&before, fd);
}

static void free_of_nothing(void)
{
	struct goalloc_memstats before;
	int i;

	setup();
	before = heap_stats(fd);
	for (i = 0; i < 3; i++) {
		CHECK_RET(heap_free(fd, 0), 0);
		CHECK_RET(heap_free(fd, GOALLOC_ZERO_ADDR), 0);
	}
	heap_check_unchanged(&before, fd);
}

/* Inside a span, and inside its tail behind the last slot, but no object's first byte. */
static void stray_address(void)
{
	static const uint64_t bytes[] = {
		16, 24, 48, 100, 1000, 1024, 5000, 32768, 100000, 4 * MIB,
	};
	struct goalloc_memstats before;
	struct goalloc_query q;
	uint64_t addr, usable, off;
	size_t i;

	fd = heap_open();
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		REQUIRE(CHECK_RET(heap_alloc(fd, bytes[i], 0, &addr, &usable), 0));
		before = heap_stats(fd);
		for (off = 1; off < usable; off += 1 + usable / 100)
			CHECK_RET(heap_free(fd, addr + off), -EINVAL);
		CHECK_RET(heap_free(fd, addr + usable - 1), -EINVAL);
		if (usable <= MAX_SMALL) {
			uint64_t tail;

			REQUIRE(CHECK_RET(heap_query(fd, addr, &q), 0));
			tail = q.span_pages * HEAP_PAGE % usable;
			if (tail) {
				uint64_t end = q.span_base + q.span_pages * HEAP_PAGE;

				CHECK_RET(heap_free(fd, end - tail), -EINVAL);
				CHECK_RET(heap_free(fd, end - 1), -EINVAL);
			}
		}
		heap_check_unchanged(&before, fd);
		CHECK_RET(heap_free(fd, addr), 0);
	}
	heap_check_empty(fd);
}

/* Freed already, and never handed out. */
static void double_free(void)
{
	static const uint64_t bytes[] = { 16, 48, 100, 1024, 2048 };
	struct goalloc_memstats before;
	uint64_t addr, neighbour, usable;
	struct goalloc_query q;
	size_t i;

	fd = heap_open();
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		/* Its neighbour keeps the span in use. */
		neighbour = heap_new(fd, bytes[i]);
		REQUIRE(CHECK_RET(heap_alloc(fd, bytes[i], 0, &addr, &usable), 0));
		REQUIRE(CHECK_RET(heap_free(fd, addr), 0));
		before = heap_stats(fd);
		CHECK_RET(heap_free(fd, addr), -EALREADY);
		CHECK_RET(heap_free(fd, addr), -EALREADY);
		CHECK_RET(heap_free(fd, addr + 1), -EINVAL);
		/* The span's last slot was never handed out. */
		REQUIRE(CHECK_RET(heap_query(fd, neighbour, &q), 0));
		addr = q.span_base + (q.span_pages * HEAP_PAGE / usable - 1) * usable;
		CHECK_RET(heap_free(fd, addr), -EALREADY);
		heap_check_unchanged(&before, fd);
		CHECK_RET(heap_free(fd, neighbour), 0);
	}
	heap_check_empty(fd);
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

static void caller_32bit(void)
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
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		SKIP("this kernel runs no 32-bit programs");

	setup();
	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	REQUIRE(arg != MAP_FAILED);
	while ((c = next_call(c))) {
		request(c, arg, c->size);
		CHECK_RET(ioctl_32bit(fd, c->cmd, (uintptr_t)arg), 0);
		if (frees(c))
			kept = heap_new(fd, 100);
		if (c->cmd == GOALLOC_IOC_ALLOC)
			CHECK_RET(heap_free(fd, ((struct goalloc_alloc *)arg)->addr), 0);
		request(c, arg, c->size - 1);
		CHECK_RET(ioctl_32bit(fd, c->cmd, (uintptr_t)arg), -EINVAL);
	}
	CHECK_RET(ioctl_32bit(fd, 0xb9ff, (uintptr_t)arg), -ENOTTY);
	munmap(arg, 4096);
}
#else
static void caller_32bit(void)
{
	SKIP("x86 only");
}
#endif

static const struct tap_test tests[] = {
	TEST(info),
	TEST(answers_are_whole),
	TEST(short_struct),
	TEST(long_struct),
	TEST(long_struct_unknown),
	TEST(absurd_size),
	TEST(bad_pointer),
	TEST(unaligned_struct),
	TEST(truncated_struct),
	TEST(readonly_struct),
	TEST(unreported_alloc),
	TEST(unknown_ioctl),
	TEST(unknown_flag),
	TEST(bad_align),
	TEST(too_large),
	TEST(no_room),
	TEST(wild_address),
	TEST(free_of_nothing),
	TEST(stray_address),
	TEST(double_free),
	TEST(caller_32bit),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
