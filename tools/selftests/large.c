// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects above the largest size class: whole heap pages, memory only where
 * they are touched, and sizes near the end of the address space.
 */
#define _GNU_SOURCE
#include "heap.h"

static int fd;

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Whole pages, a span for each. */
static void whole_pages(void)
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

	fd = heap_open();
	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		uint64_t bytes = sizes[i / 2];
		uint32_t scan = i % 2 ? GOALLOC_SCAN : 0;

		REQUIRE(CHECK_RET(heap_alloc(fd, bytes, scan, &objs[i].addr, &objs[i].usable), 0));
		objs[i].bytes = objs[i].usable;
		CHECK_EQ(objs[i].usable, round_up(bytes, HEAP_PAGE));
		CHECK_EQ(objs[i].addr % HEAP_PAGE, 0);
		REQUIRE(CHECK_RET(heap_query(fd, objs[i].addr + bytes - 1, &q), 0));
		CHECK_EQ(q.base, objs[i].addr);
		CHECK_EQ(q.usable, objs[i].usable);
		CHECK_EQ(q.span_base, objs[i].addr);
		CHECK_EQ(q.span_pages, objs[i].usable / HEAP_PAGE);
		CHECK_EQ(q.spanclass, !scan);
		CHECK_EQ(q.state, GOALLOC_QUERY_LIVE);
		inuse += objs[i].usable;
		CHECK_EQ(heap_stats(fd).heap_inuse, inuse);
		CHECK_EQ(heap_stats(fd).heap_alloc, inuse);
	}
	CHECK_EQ(obj_overlaps(objs, ARRAY_SIZE(objs)), 0);
	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
		inuse -= objs[i].usable;
		CHECK_EQ(heap_stats(fd).heap_inuse, inuse);
	}
	heap_check_empty(fd);
}

/* Every byte of an object that crosses arenas. */
static void contents(void)
{
	uint64_t a, b;

	fd = heap_open();
	a = heap_new(fd, 96 * MIB);
	b = heap_new(fd, 5 * MIB + 123);
	REQUIRE(a && b);
	CHECK(obj_write(fd, a, 96 * MIB, 1));
	CHECK(obj_write(fd, b, 5 * MIB + 123, 2));
	CHECK(obj_is(fd, a, 96 * MIB, 1));
	CHECK(obj_is(fd, b, 5 * MIB + 123, 2));
	CHECK_RET(heap_free(fd, a), 0);
	CHECK(obj_is(fd, b, 5 * MIB + 123, 2));
	CHECK_RET(heap_free(fd, b), 0);
	heap_check_empty(fd);
}

/* Freed with data in it, handed out again: zero. */
static void zeroed_on_reuse(void)
{
	static const uint64_t sizes[] = { 40000, 1 * MIB, 6 * MIB };
	uint64_t addr, again;
	bool reused = false;
	size_t k;
	int i;

	fd = heap_open();
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (i = 0; i < 4; i++) {
			addr = heap_new(fd, sizes[k]);
			REQUIRE(addr);
			CHECK(obj_write(fd, addr, sizes[k], i));
			CHECK_RET(heap_free(fd, addr), 0);
			/* Another size over the same pages. */
			again = heap_new(fd, sizes[k] + HEAP_PAGE);
			REQUIRE(again);
			reused |= again == addr;
			CHECK(obj_is_zero(fd, again, sizes[k] + HEAP_PAGE));
			CHECK_RET(heap_free(fd, again), 0);
		}
	}
	CHECK(reused);
	heap_check_empty(fd);
}

static void mistakes(void)
{
	static const uint64_t offsets[] = {
		1, 8, 16, 4096, HEAP_PAGE, 1 * MIB, 2 * MIB, 4 * MIB, 8 * MIB - 1,
	};
	struct goalloc_memstats before;
	uint64_t addr, other;
	size_t i;
	long ret;

	fd = heap_open();
	addr = heap_new(fd, 8 * MIB);
	other = heap_new(fd, 8 * MIB);
	REQUIRE(addr && other);
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		CHECK_RET(heap_free(fd, addr + offsets[i]), -EINVAL);
	heap_check_unchanged(&before, fd);
	CHECK_RET(heap_free(fd, addr), 0);
	before = heap_stats(fd);
	/* Its span may have gone back to the page heap by now, or not yet. */
	ret = heap_free(fd, addr);
	CHECK(ret == -EALREADY || ret == -ENOENT);
	ret = heap_free(fd, addr + HEAP_PAGE);
	CHECK(ret == -EINVAL || ret == -ENOENT);
	heap_check_unchanged(&before, fd);
	CHECK_RET(heap_free(fd, other), 0);
	heap_check_empty(fd);
}

/* What is not touched takes tables only. */
static void untouched(void)
{
	uint64_t bytes = 512 * MIB, free_before, free_after, addr;
	struct goalloc_memstats before, after;

	fd = heap_open();
	before = heap_stats(fd);
	free_before = memory_free();
	addr = heap_new(fd, bytes);
	REQUIRE(addr);
	free_after = memory_free();
	after = heap_stats(fd);
	CHECK_EQ(after.heap_inuse, bytes);
	CHECK_EQ(after.heap_inuse + after.heap_idle, after.heap_sys);
	tap_note("free memory fell by %lld KiB, gc_sys grew by %llu KiB",
		 ((long long)free_before - (long long)free_after) / 1024,
		 (unsigned long long)(after.gc_sys - before.gc_sys) / 1024);
	CHECK(free_after + 4 * MIB > free_before);
	CHECK(after.gc_sys - before.gc_sys < 4 * MIB);
	CHECK_RET(heap_free(fd, addr), 0);
	heap_check_empty(fd);
}

/* What is touched takes the pages touched. */
static void partly_touched(void)
{
	uint64_t bytes = 512 * MIB, free_before, addr, off;
	char page[4096];

	fd = heap_open();
	addr = heap_new(fd, bytes);
	REQUIRE(addr);
	free_before = memory_free();
	for (off = 0; off + 5000 <= bytes; off += 3 * MIB + 1111)
		CHECK(obj_write(fd, addr + off, 5000, off));
	CHECK(obj_write(fd, addr + bytes - 100, 100, 1));
	CHECK(memory_free() + 8 * MIB > free_before);
	for (off = 0; off + 5000 <= bytes; off += 3 * MIB + 1111) {
		CHECK(obj_is(fd, addr + off, 5000, off));
		CHECK(obj_is_zero(fd, addr + off + 5000, 100));
		CHECK_EQ(pread(fd, page, sizeof(page), addr + off + 1 * MIB), sizeof(page));
		CHECK(is_zero(page, sizeof(page)));
	}
	CHECK(obj_is(fd, addr + bytes - 100, 100, 1));
	CHECK_RET(heap_free(fd, addr), 0);
	heap_check_empty(fd);
}

/* Touched, freed, closed: the machine has its memory again. */
static void memory_comes_back(void)
{
	uint64_t bytes = 128 * MIB, before = memory_free(), addr;
	int wait;

	fd = heap_open();
	addr = heap_new(fd, bytes);
	REQUIRE(addr);
	CHECK(obj_write(fd, addr, bytes, 3));
	CHECK(memory_free() + bytes / 2 < before);
	heap_close(fd);
	for (wait = 0; wait < 50 && memory_free() + 4 * MIB < before; wait++)
		usleep(100000);
	tap_note("it is back within %lld KiB",
		 ((long long)before - (long long)memory_free()) / 1024);
	CHECK(memory_free() + 4 * MIB > before);
}

/* Far apart in the address space; the holes between are filled again. */
static void many_gigabytes(void)
{
	uint64_t addr[12], again;
	size_t i;

	fd = heap_open();
	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		addr[i] = heap_new(fd, 2 * GIB);
		REQUIRE(addr[i]);
		CHECK(i == 0 || addr[i] != addr[i - 1]);
		CHECK(obj_write(fd, addr[i] + i * 100 * MIB, 1000, i));
	}
	for (i = 0; i < ARRAY_SIZE(addr); i += 2)
		CHECK_RET(heap_free(fd, addr[i]), 0);
	for (i = 1; i < ARRAY_SIZE(addr); i += 2)
		CHECK(obj_is(fd, addr[i] + i * 100 * MIB, 1000, i));
	/* First fit: the lowest hole, and nothing of what was in it. */
	again = heap_new(fd, 1 * GIB);
	CHECK_EQ(again, addr[0]);
	CHECK(obj_is_zero(fd, again, 1000));
	CHECK_RET(heap_free(fd, again), 0);
	for (i = 1; i < ARRAY_SIZE(addr); i += 2)
		CHECK_RET(heap_free(fd, addr[i]), 0);
	heap_check_empty(fd);
}

/*
 * All of the address space at once. Its tables alone are some 100 MiB, so
 * there may be no memory for them; either way the heap goes on as before.
 */
static void whole_address_space(void)
{
	uint64_t addr, small;
	long ret;

	if (slow_kernel())
		SKIP("a kernel with checkers in it takes minutes");
	if (meminfo("MemAvailable") < 640 * MIB)
		SKIP("too little memory to try");
	fd = heap_open();
	ret = heap_alloc(fd, HEAP_MAX, 0, &addr, NULL);
	CHECK(ret == 0 || ret == -ENOMEM);
	tap_note("1 TiB: %s", tap_errno_name(ret));
	if (!ret) {
		CHECK_EQ(addr, HEAP_BASE);
		CHECK(obj_write(fd, addr + HEAP_MAX - 100, 100, 1));
		CHECK(obj_is(fd, addr + HEAP_MAX - 100, 100, 1));
		CHECK_RET(heap_alloc(fd, 1, 0, &small, NULL), -ENOMEM);
		CHECK_RET(heap_free(fd, addr), 0);
	}
	heap_check_empty(fd);
	small = heap_new(fd, 100);
	CHECK(obj_write(fd, small, 100, 2));
	CHECK(obj_is(fd, small, 100, 2));
	CHECK_RET(heap_free(fd, small), 0);
}

static void too_large(void)
{
	uint64_t addr;

	fd = heap_open();
	CHECK_RET(heap_alloc(fd, HEAP_MAX + 1, 0, &addr, NULL), -EFBIG);
	CHECK_RET(heap_alloc(fd, 1ULL << 63, 0, &addr, NULL), -EFBIG);
	CHECK_RET(heap_alloc(fd, ~0ULL, 0, &addr, NULL), -EFBIG);
	heap_new(fd, 1);
	CHECK_RET(heap_alloc(fd, HEAP_MAX, 0, &addr, NULL), -ENOMEM);
	CHECK_RET(heap_alloc(fd, HEAP_MAX + 1, 0, &addr, NULL), -EFBIG);
	CHECK_EQ(heap_stats(fd).heap_objects, 1);
}

static const struct tap_test tests[] = {
	TEST(whole_pages),
	TEST(contents),
	TEST(zeroed_on_reuse),
	TEST(mistakes),
	TEST(untouched),
	TEST(partly_touched),
	TEST(memory_comes_back),
	TEST(many_gigabytes),
	TEST(whole_address_space),
	TEST(too_large),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
