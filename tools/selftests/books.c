// SPDX-License-Identifier: GPL-2.0-only
/*
 * The books: exact after a known script, and balanced after random work
 * (invariant I6).
 */
#define _GNU_SOURCE
#include "heap.h"

static int fd;

/* What holds of the books of any heap at rest. */
static void identities(void)
{
	struct goalloc_memstats ms = heap_stats(fd);
	uint64_t small = 0, live = 0, bytes = 0;
	unsigned int i;

	CHECK_EQ(ms.heap_objects, ms.mallocs - ms.frees);
	CHECK_EQ(ms.alloc, ms.heap_alloc);
	CHECK_EQ(ms.heap_inuse + ms.heap_idle, ms.heap_sys);
	CHECK(ms.heap_released <= ms.heap_idle);
	CHECK(ms.heap_alloc <= ms.heap_inuse);
	CHECK(ms.heap_alloc <= ms.total_alloc);
	CHECK_EQ(ms.heap_inuse % HEAP_PAGE, 0);
	CHECK_EQ(ms.heap_idle % HEAP_PAGE, 0);
	CHECK_EQ(ms.heap_released % HEAP_PAGE, 0);
	CHECK(ms.mspan_inuse <= ms.mspan_sys);
	CHECK(ms.mcache_inuse <= ms.mcache_sys);
	CHECK_EQ(ms.sys, ms.heap_sys + ms.stack_sys + ms.mspan_sys + ms.mcache_sys +
		 ms.buck_hash_sys + ms.gc_sys + ms.other_sys);
	CHECK_EQ(ms.stack_inuse, 0);
	CHECK_EQ(ms.stack_sys, 0);
	CHECK_EQ(ms.buck_hash_sys, 0);
	CHECK_EQ(ms.enable_gc, 0);

	for (i = 1; i < GOALLOC_BY_SIZE_MAX; i++) {
		CHECK(ms.by_size[i].frees <= ms.by_size[i].mallocs);
		CHECK(ms.by_size[i].object_size > ms.by_size[i - 1].object_size);
		small += ms.by_size[i].mallocs;
		live += ms.by_size[i].mallocs - ms.by_size[i].frees;
		bytes += (ms.by_size[i].mallocs - ms.by_size[i].frees) *
			 ms.by_size[i].object_size;
	}
	CHECK_EQ(ms.by_size[0].object_size, 0);
	CHECK_EQ(ms.by_size[1].object_size, 8);
	CHECK_EQ(ms.by_size[67].object_size, 32768);
	CHECK(bytes <= ms.heap_alloc);
	/* Slots are never more than objects: a tiny block has one at least. */
	CHECK(small + ms.by_size[0].mallocs <= ms.mallocs);
	CHECK(live <= ms.heap_objects);
}

static void fresh_heap(void)
{
	struct goalloc_memstats ms;

	fd = heap_open();
	identities();
	ms = heap_stats(fd);
	CHECK_EQ(ms.mallocs, 0);
	CHECK_EQ(ms.frees, 0);
	CHECK_EQ(ms.total_alloc, 0);
	CHECK_EQ(ms.heap_alloc, 0);
	CHECK_EQ(ms.heap_inuse, 0);
	CHECK_EQ(ms.heap_objects, 0);
	CHECK_EQ(ms.lookups, 0);
	CHECK_EQ(ms.num_gc, 0);
	CHECK_EQ(ms.num_forced_gc, 0);
	CHECK_EQ(ms.next_gc, ~0ULL);
	CHECK_EQ(ms.last_gc, 0);
	tap_note("an idle heap is %llu bytes", (unsigned long long)ms.sys);
	CHECK(ms.sys < 64 * KIB);
}

/* Small objects, one by one. */
static void small_objects(void)
{
	static const struct {
		uint64_t bytes, usable;
		unsigned int class;
	} rows[] = {
		{ 16, 16, 2 }, { 17, 24, 3 }, { 100, 112, 9 }, { 1000, 1024, 32 },
		{ 1025, 1152, 33 }, { 9000, 9472, 52 }, { 32768, 32768, 67 },
	};
	enum { N = 30 };
	struct goalloc_memstats before, after;
	uint64_t addr[N];
	size_t i, k;

	fd = heap_open();
	for (k = 0; k < ARRAY_SIZE(rows); k++) {
		struct goalloc_by_size *b = &before.by_size[rows[k].class];
		struct goalloc_by_size *a = &after.by_size[rows[k].class];

		before = heap_stats(fd);
		for (i = 0; i < N; i++)
			addr[i] = heap_new(fd, rows[k].bytes);
		after = heap_stats(fd);
		CHECK_EQ(after.mallocs - before.mallocs, N);
		CHECK_EQ(after.frees, before.frees);
		CHECK_EQ(after.heap_objects - before.heap_objects, N);
		CHECK_EQ(after.heap_alloc - before.heap_alloc, N * rows[k].usable);
		CHECK_EQ(after.total_alloc - before.total_alloc, N * rows[k].usable);
		CHECK_EQ(a->object_size, rows[k].usable);
		CHECK_EQ(a->mallocs - b->mallocs, N);
		CHECK_EQ(a->frees, b->frees);
		identities();

		for (i = 0; i < N; i += 2)
			CHECK_RET(heap_free(fd, addr[i]), 0);
		after = heap_stats(fd);
		CHECK_EQ(after.frees - before.frees, N / 2);
		CHECK_EQ(after.heap_objects - before.heap_objects, N / 2);
		CHECK_EQ(after.heap_alloc - before.heap_alloc, N / 2 * rows[k].usable);
		CHECK_EQ(after.total_alloc - before.total_alloc, N * rows[k].usable);
		CHECK_EQ(a->mallocs - b->mallocs, N);
		CHECK_EQ(a->frees - b->frees, N / 2);
		identities();

		for (i = 1; i < N; i += 2)
			CHECK_RET(heap_free(fd, addr[i]), 0);
		after = heap_stats(fd);
		CHECK_EQ(a->frees - b->frees, N);
		CHECK_EQ(after.heap_alloc, 0);
		identities();
	}
	heap_check_empty(fd);
}

/* Each tiny object counts; by_size counts their blocks. */
static void tiny_objects(void)
{
	struct goalloc_memstats before, after;
	uint64_t addr[64];
	size_t i;

	if (!pin_to_cpu(0))
		SKIP("cannot stay on one CPU");
	fd = heap_open();
	before = heap_stats(fd);
	for (i = 0; i < 64; i++)
		addr[i] = heap_new(fd, 4);
	after = heap_stats(fd);
	CHECK_EQ(after.mallocs - before.mallocs, 64);
	CHECK_EQ(after.heap_objects, 64);
	CHECK_EQ(after.by_size[2].mallocs - before.by_size[2].mallocs, 16);
	CHECK_EQ(after.by_size[2].frees, before.by_size[2].frees);
	CHECK_EQ(after.heap_alloc - before.heap_alloc, 256);
	CHECK_EQ(after.total_alloc - before.total_alloc, 256);
	identities();
	/* One of each block: no block is free by that. */
	for (i = 0; i < 64; i += 4)
		CHECK_RET(heap_free(fd, addr[i]), 0);
	after = heap_stats(fd);
	CHECK_EQ(after.frees, 16);
	CHECK_EQ(after.heap_objects, 48);
	CHECK_EQ(after.by_size[2].mallocs - after.by_size[2].frees, 16);
	identities();
	for (i = 0; i < 64; i++)
		if (i % 4)
			CHECK_RET(heap_free(fd, addr[i]), 0);
	after = heap_stats(fd);
	CHECK_EQ(after.mallocs, 64);
	CHECK_EQ(after.frees, 64);
	CHECK_EQ(after.by_size[2].mallocs, after.by_size[2].frees);
	heap_check_empty(fd);
	unpin();
}

static void large_objects(void)
{
	static const uint64_t bytes[] = { 32769, 100000, 4 * MIB, 100 * MIB };
	struct goalloc_memstats before, after;
	uint64_t addr[ARRAY_SIZE(bytes)], sum = 0;
	size_t i;

	fd = heap_open();
	before = heap_stats(fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		addr[i] = heap_new(fd, bytes[i]);
		sum += (bytes[i] + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
		after = heap_stats(fd);
		CHECK_EQ(after.mallocs - before.mallocs, i + 1);
		CHECK_EQ(after.by_size[0].mallocs - before.by_size[0].mallocs, i + 1);
		CHECK_EQ(after.heap_alloc, sum);
		CHECK_EQ(after.total_alloc, sum);
		CHECK_EQ(after.heap_inuse, sum);
		identities();
	}
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		CHECK_RET(heap_free(fd, addr[i]), 0);
		sum -= (bytes[i] + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
		after = heap_stats(fd);
		CHECK_EQ(after.by_size[0].frees - before.by_size[0].frees, i + 1);
		CHECK_EQ(after.heap_inuse, sum);
		CHECK_EQ(after.heap_alloc, sum);
		identities();
	}
	heap_check_empty(fd);
}

static void zero_size(void)
{
	struct goalloc_memstats before;

	fd = heap_open();
	before = heap_stats(fd);
	CHECK_EQ(heap_new(fd, 0), GOALLOC_ZERO_ADDR);
	heap_check_unchanged(&before, fd);
	CHECK_RET(heap_free(fd, GOALLOC_ZERO_ADDR), 0);
	heap_check_unchanged(&before, fd);
}

static void lookups(void)
{
	struct goalloc_query q;
	uint64_t addr, before;
	int i;

	fd = heap_open();
	addr = heap_new(fd, 100);
	before = heap_stats(fd).lookups;
	for (i = 0; i < 17; i++)
		CHECK_RET(heap_query(fd, addr + i, &q), 0);
	CHECK_EQ(heap_stats(fd).lookups - before, 17);
}

/* What is refused leaves the books as they were. */
static void refused(void)
{
	struct goalloc_memstats before;
	uint64_t addr, other, tiny;

	fd = heap_open();
	addr = heap_new(fd, 100);
	other = heap_new(fd, 100);
	tiny = heap_new(fd, 5);
	CHECK_RET(heap_free(fd, addr), 0);
	before = heap_stats(fd);
	CHECK_RET(heap_free(fd, addr), -EALREADY);
	CHECK_RET(heap_free(fd, other + 1), -EINVAL);
	CHECK_RET(heap_free(fd, tiny + 1), -EINVAL);
	CHECK_RET(heap_free(fd, HEAP_BASE + 1 * GIB), -ENOENT);
	heap_check_unchanged(&before, fd);
	identities();
	CHECK_RET(heap_free(fd, other), 0);
	CHECK_RET(heap_free(fd, tiny), 0);
	heap_check_empty(fd);
}

/* Against a list of what lives: every sum, class by class. */
static void random_work(void)
{
	enum { N = 800, ROUNDS = 8000 };
	uint64_t state = rnd_seed(), made = 0, freed = 0, bytes, live, total = 0;
	uint64_t class_live[GOALLOC_BY_SIZE_MAX];
	struct goalloc_memstats ms;
	struct goalloc_query q;
	struct obj *objs;
	unsigned int round, i;

	fd = heap_open();
	objs = calloc(N, sizeof(*objs));
	for (round = 1; round <= ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];

		if (o->addr) {
			CHECK_RET(heap_free(fd, o->addr), 0);
			o->addr = 0;
			freed++;
		} else {
			o->bytes = rnd_size(&state, 18);
			REQUIRE(CHECK_RET(heap_alloc(fd, o->bytes, rnd(&state) & GOALLOC_SCAN,
						     &o->addr, &o->usable), 0));
			made++;
			if (o->bytes >= TINY_BLOCK)
				total += o->usable;
		}
		if (round % 1000)
			continue;
		identities();
		ms = heap_stats(fd);
		CHECK_EQ(ms.mallocs, made);
		CHECK_EQ(ms.frees, freed);
		memset(class_live, 0, sizeof(class_live));
		for (i = bytes = live = 0; i < N; i++) {
			if (!objs[i].addr)
				continue;
			live++;
			REQUIRE(CHECK_RET(heap_query(fd, objs[i].addr, &q), 0));
			REQUIRE(CHECK(q.spanclass < 2 * GOALLOC_BY_SIZE_MAX));
			if (q.state == GOALLOC_QUERY_TINY)
				continue;
			class_live[q.spanclass >> 1]++;
			bytes += objs[i].usable;
		}
		CHECK_EQ(ms.heap_objects, live);
		CHECK(ms.total_alloc >= total);
		for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
			uint64_t have = ms.by_size[i].mallocs - ms.by_size[i].frees;

			if (i == 2) {	/* with the tiny blocks */
				CHECK(have >= class_live[i]);
				bytes += (have - class_live[i]) * TINY_BLOCK;
			} else if (!CHECK_EQ(have, class_live[i])) {
				tap_note("class %u", i);
			}
		}
		CHECK_EQ(ms.heap_alloc, bytes);
	}
	for (i = 0; i < N; i++)
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
	identities();
	heap_check_empty(fd);
	free(objs);
}

static const struct tap_test tests[] = {
	TEST(fresh_heap),
	TEST(small_objects),
	TEST(tiny_objects),
	TEST(large_objects),
	TEST(zero_size),
	TEST(lookups),
	TEST(refused),
	TEST(random_work),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
