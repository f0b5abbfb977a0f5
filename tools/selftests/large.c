// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects above the largest size class: whole heap pages, memory only where
 * they are touched, and sizes near the end of the address space.
 */
#define _GNU_SOURCE
#include "heap.h"

FIXTURE(large)
{
	int fd;
};

FIXTURE_SETUP(large)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(large)
{
	if (self->fd >= 0)
		EXPECT_RET(0, IO_RET(close(self->fd)));
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Whole pages, a span for each. */
TEST_F(large, whole_pages)
{
	static const uint64_t sizes[] = {
		MAX_SMALL + 1, 5 * HEAP_PAGE - 1, 5 * HEAP_PAGE, 5 * HEAP_PAGE + 1, 100000,
		1 * MIB, 2 * MIB, 2 * MIB + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 10 * MIB,
		64 * MIB - 1, 64 * MIB, 64 * MIB + 1, 130 * MIB,
	};
	struct obj objs[2 * ARRAY_SIZE(sizes)];
	struct goalloc_query q;
	uint64_t inuse = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		uint64_t bytes = sizes[i / 2];
		uint32_t scan = i % 2 ? GOALLOC_SCAN : 0;

		ASSERT_RET(0, heap_alloc(self->fd, bytes, scan, &objs[i].addr, &objs[i].usable));
		objs[i].bytes = objs[i].usable;
		EXPECT_EQ(round_up(bytes, HEAP_PAGE), objs[i].usable);
		EXPECT_EQ(0, objs[i].addr % HEAP_PAGE);
		ASSERT_RET(0, heap_query(self->fd, objs[i].addr + bytes - 1, &q));
		EXPECT_EQ(objs[i].addr, q.base);
		EXPECT_EQ(objs[i].usable, q.usable);
		EXPECT_EQ(objs[i].addr, q.span_base);
		EXPECT_EQ(objs[i].usable / HEAP_PAGE, q.span_pages);
		EXPECT_EQ(!scan, q.spanclass);
		EXPECT_EQ(GOALLOC_QUERY_LIVE, q.state);
		inuse += objs[i].usable;
		EXPECT_EQ(inuse, heap_stats(self->fd).heap_inuse);
		EXPECT_EQ(inuse, heap_stats(self->fd).heap_alloc);
	}
	EXPECT_EQ(0, obj_overlaps(objs, ARRAY_SIZE(objs)));
	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
		inuse -= objs[i].usable;
		EXPECT_EQ(inuse, heap_stats(self->fd).heap_inuse);
	}
	EXPECT_EMPTY(self->fd);
}

/* Every byte of an object that crosses arenas. */
TEST_F_TIMEOUT(large, contents, LONG_TEST)
{
	uint64_t a, b;

	a = heap_new(self->fd, 96 * MIB);
	b = heap_new(self->fd, 5 * MIB + 123);
	ASSERT_TRUE(a && b);
	EXPECT_TRUE(obj_write(self->fd, a, 96 * MIB, 1));
	EXPECT_TRUE(obj_write(self->fd, b, 5 * MIB + 123, 2));
	EXPECT_TRUE(obj_is(self->fd, a, 96 * MIB, 1));
	EXPECT_TRUE(obj_is(self->fd, b, 5 * MIB + 123, 2));
	EXPECT_RET(0, heap_free(self->fd, a));
	EXPECT_TRUE(obj_is(self->fd, b, 5 * MIB + 123, 2));
	EXPECT_RET(0, heap_free(self->fd, b));
	EXPECT_EMPTY(self->fd);
}

/* Freed with data in it, handed out again: zero. */
TEST_F_TIMEOUT(large, zeroed_on_reuse, LONG_TEST)
{
	static const uint64_t sizes[] = { 40000, 1 * MIB, 6 * MIB };
	uint64_t addr, again;
	bool reused = false;
	size_t k;
	int i;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (i = 0; i < 4; i++) {
			addr = heap_new(self->fd, sizes[k]);
			ASSERT_TRUE(addr);
			EXPECT_TRUE(obj_write(self->fd, addr, sizes[k], i));
			EXPECT_RET(0, heap_free(self->fd, addr));
			/* Another size over the same pages. */
			again = heap_new(self->fd, sizes[k] + HEAP_PAGE);
			ASSERT_TRUE(again);
			reused |= again == addr;
			EXPECT_TRUE(obj_is_zero(self->fd, again, sizes[k] + HEAP_PAGE));
			EXPECT_RET(0, heap_free(self->fd, again));
		}
	}
	EXPECT_TRUE(reused);
	EXPECT_EMPTY(self->fd);
}

TEST_F(large, mistakes)
{
	static const uint64_t offsets[] = {
		1, 8, 16, 4096, HEAP_PAGE, 1 * MIB, 2 * MIB, 4 * MIB, 8 * MIB - 1,
	};
	struct goalloc_memstats before;
	uint64_t addr, other;
	size_t i;
	long ret;

	addr = heap_new(self->fd, 8 * MIB);
	other = heap_new(self->fd, 8 * MIB);
	ASSERT_TRUE(addr && other);
	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		EXPECT_RET(-EINVAL, heap_free(self->fd, addr + offsets[i]));
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_RET(0, heap_free(self->fd, addr));
	before = heap_stats(self->fd);
	/* Its span may have gone back to the page heap by now, or not yet. */
	ret = heap_free(self->fd, addr);
	EXPECT_TRUE(ret == -EALREADY || ret == -ENOENT)
		TH_LOG("it gave %ld (%s)", ret, errno_name(ret));
	ret = heap_free(self->fd, addr + HEAP_PAGE);
	EXPECT_TRUE(ret == -EINVAL || ret == -ENOENT)
		TH_LOG("it gave %ld (%s)", ret, errno_name(ret));
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_RET(0, heap_free(self->fd, other));
	EXPECT_EMPTY(self->fd);
}

/* What is not touched takes tables only. */
TEST_F(large, untouched)
{
	uint64_t bytes = 512 * MIB, free_before, free_after, addr;
	struct goalloc_memstats before, after;

	before = heap_stats(self->fd);
	free_before = memory_free();
	addr = heap_new(self->fd, bytes);
	ASSERT_TRUE(addr);
	free_after = memory_free();
	after = heap_stats(self->fd);
	EXPECT_EQ(bytes, after.heap_inuse);
	EXPECT_EQ(after.heap_sys, after.heap_inuse + after.heap_idle);
	TH_LOG("free memory fell by %lld KiB, gc_sys grew by %llu KiB",
	       ((long long)free_before - (long long)free_after) / 1024,
	       (unsigned long long)(after.gc_sys - before.gc_sys) / 1024);
	EXPECT_GT(free_after + bytes / 8, free_before);
	EXPECT_LT(after.gc_sys - before.gc_sys, 4 * MIB);
	EXPECT_RET(0, heap_free(self->fd, addr));
	EXPECT_EMPTY(self->fd);
}

/* What is touched takes the pages touched. */
TEST_F_TIMEOUT(large, partly_touched, LONG_TEST)
{
	uint64_t bytes = 512 * MIB, free_before, addr, off;
	char page[4096];

	addr = heap_new(self->fd, bytes);
	ASSERT_TRUE(addr);
	free_before = memory_free();
	for (off = 0; off + 5000 <= bytes; off += 3 * MIB + 1111)
		EXPECT_TRUE(obj_write(self->fd, addr + off, 5000, off));
	EXPECT_TRUE(obj_write(self->fd, addr + bytes - 100, 100, 1));
	EXPECT_GT(memory_free() + bytes / 8, free_before);
	for (off = 0; off + 5000 <= bytes; off += 3 * MIB + 1111) {
		EXPECT_TRUE(obj_is(self->fd, addr + off, 5000, off));
		EXPECT_TRUE(obj_is_zero(self->fd, addr + off + 5000, 100));
		EXPECT_EQ(sizeof(page), pread(self->fd, page, sizeof(page), addr + off + 1 * MIB));
		EXPECT_TRUE(is_zero(page, sizeof(page)));
	}
	EXPECT_TRUE(obj_is(self->fd, addr + bytes - 100, 100, 1));
	EXPECT_RET(0, heap_free(self->fd, addr));
	EXPECT_EMPTY(self->fd);
}

/* Touched, freed, closed: the machine has its memory again. */
TEST_F_TIMEOUT(large, memory_comes_back, LONG_TEST)
{
	uint64_t bytes = 128 * MIB, before = memory_free(), addr;
	int wait;

	addr = heap_new(self->fd, bytes);
	ASSERT_TRUE(addr);
	EXPECT_TRUE(obj_write(self->fd, addr, bytes, 3));
	EXPECT_LT(memory_free() + bytes / 2, before);
	EXPECT_RET(0, IO_RET(close(self->fd)));
	self->fd = -1;
	for (wait = 0; wait < 600 && memory_free() + bytes / 8 < before; wait++)
		usleep(100000);
	TH_LOG("it is back within %lld KiB",
	       ((long long)before - (long long)memory_free()) / 1024);
	EXPECT_GT(memory_free() + bytes / 8, before);
}

/* Far apart in the address space; the holes between are filled again. */
TEST_F_TIMEOUT(large, many_gigabytes, LONG_TEST)
{
	uint64_t addr[12], again;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		addr[i] = heap_new(self->fd, 2 * GIB);
		ASSERT_TRUE(addr[i]);
		EXPECT_TRUE(i == 0 || addr[i] != addr[i - 1]);
		EXPECT_TRUE(obj_write(self->fd, addr[i] + i * 100 * MIB, 1000, i));
	}
	for (i = 0; i < ARRAY_SIZE(addr); i += 2)
		EXPECT_RET(0, heap_free(self->fd, addr[i]));
	for (i = 1; i < ARRAY_SIZE(addr); i += 2)
		EXPECT_TRUE(obj_is(self->fd, addr[i] + i * 100 * MIB, 1000, i));
	/* First fit: the lowest hole, and nothing of what was in it. */
	again = heap_new(self->fd, 1 * GIB);
	EXPECT_EQ(addr[0], again);
	EXPECT_TRUE(obj_is_zero(self->fd, again, 1000));
	EXPECT_RET(0, heap_free(self->fd, again));
	for (i = 1; i < ARRAY_SIZE(addr); i += 2)
		EXPECT_RET(0, heap_free(self->fd, addr[i]));
	EXPECT_EMPTY(self->fd);
}

/*
 * All of the address space at once. Its tables alone are some 100 MiB, so
 * there may be no memory for them; either way the heap goes on as before.
 */
TEST_F_TIMEOUT(large, whole_address_space, LONG_TEST)
{
	uint64_t addr, small;
	long ret;

	if (slow_kernel())
		SKIP(return, "a kernel with checkers in it takes minutes");
	if (meminfo("MemAvailable") < 640 * MIB)
		SKIP(return, "too little memory to try");
	ret = heap_alloc(self->fd, HEAP_MAX, 0, &addr, NULL);
	TH_LOG("1 TiB: %s", errno_name(ret));
	EXPECT_TRUE(ret == 0 || ret == -ENOMEM);
	if (!ret) {
		EXPECT_EQ(HEAP_BASE, addr);
		EXPECT_TRUE(obj_write(self->fd, addr + HEAP_MAX - 100, 100, 1));
		EXPECT_TRUE(obj_is(self->fd, addr + HEAP_MAX - 100, 100, 1));
		EXPECT_RET(-ENOMEM, heap_alloc(self->fd, 1, 0, &small, NULL));
		EXPECT_RET(0, heap_free(self->fd, addr));
	}
	EXPECT_EMPTY(self->fd);
	small = heap_new(self->fd, 100);
	EXPECT_TRUE(obj_write(self->fd, small, 100, 2));
	EXPECT_TRUE(obj_is(self->fd, small, 100, 2));
	EXPECT_RET(0, heap_free(self->fd, small));
}

TEST_F(large, too_large)
{
	uint64_t addr;

	EXPECT_RET(-EFBIG, heap_alloc(self->fd, HEAP_MAX + 1, 0, &addr, NULL));
	EXPECT_RET(-EFBIG, heap_alloc(self->fd, 1ULL << 63, 0, &addr, NULL));
	EXPECT_RET(-EFBIG, heap_alloc(self->fd, ~0ULL, 0, &addr, NULL));
	heap_new(self->fd, 1);
	EXPECT_RET(-ENOMEM, heap_alloc(self->fd, HEAP_MAX, 0, &addr, NULL));
	EXPECT_RET(-EFBIG, heap_alloc(self->fd, HEAP_MAX + 1, 0, &addr, NULL));
	EXPECT_EQ(1, heap_stats(self->fd).heap_objects);
}

TEST_HARNESS_MAIN
