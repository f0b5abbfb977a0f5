// SPDX-License-Identifier: GPL-2.0-only
/*
 * The books: exact after a known script, and balanced after random work
 * (invariant I6).
 */
#define _GNU_SOURCE
#include "heap.h"

FIXTURE(books)
{
	int fd;
};

FIXTURE_SETUP(books)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(books)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

/* What holds of the books of any heap at rest. */
static void identities(struct __test_metadata *_metadata, int fd)
{
	struct goalloc_memstats ms = heap_stats(fd);
	uint64_t small = 0, live = 0, bytes = 0;
	unsigned int i;

	EXPECT_EQ(ms.mallocs - ms.frees, ms.heap_objects);
	EXPECT_EQ(ms.heap_alloc, ms.alloc);
	EXPECT_EQ(ms.heap_sys, ms.heap_inuse + ms.heap_idle);
	EXPECT_LE(ms.heap_released, ms.heap_idle);
	EXPECT_LE(ms.heap_alloc, ms.heap_inuse);
	EXPECT_LE(ms.heap_alloc, ms.total_alloc);
	EXPECT_EQ(0, ms.heap_inuse % HEAP_PAGE);
	EXPECT_EQ(0, ms.heap_idle % HEAP_PAGE);
	EXPECT_EQ(0, ms.heap_released % HEAP_PAGE);
	EXPECT_LE(ms.mspan_inuse, ms.mspan_sys);
	EXPECT_LE(ms.mcache_inuse, ms.mcache_sys);
	EXPECT_EQ(ms.heap_sys + ms.stack_sys + ms.mspan_sys + ms.mcache_sys +
		  ms.buck_hash_sys + ms.gc_sys + ms.other_sys, ms.sys);
	EXPECT_EQ(0, ms.stack_inuse);
	EXPECT_EQ(0, ms.stack_sys);
	EXPECT_EQ(0, ms.buck_hash_sys);
	EXPECT_EQ(0, ms.enable_gc);

	for (i = 1; i < GOALLOC_BY_SIZE_MAX; i++) {
		EXPECT_LE(ms.by_size[i].frees, ms.by_size[i].mallocs);
		EXPECT_GT(ms.by_size[i].object_size, ms.by_size[i - 1].object_size);
		small += ms.by_size[i].mallocs;
		live += ms.by_size[i].mallocs - ms.by_size[i].frees;
		bytes += (ms.by_size[i].mallocs - ms.by_size[i].frees) *
			 ms.by_size[i].object_size;
	}
	EXPECT_EQ(0, ms.by_size[0].object_size);
	EXPECT_EQ(8, ms.by_size[1].object_size);
	EXPECT_EQ(32768, ms.by_size[67].object_size);
	EXPECT_LE(bytes, ms.heap_alloc);
	/* Slots are never more than objects: a tiny block has one at least. */
	EXPECT_LE(small + ms.by_size[0].mallocs, ms.mallocs);
	EXPECT_LE(live, ms.heap_objects);
}

TEST_F(books, fresh_heap)
{
	struct goalloc_memstats ms;

	identities(_metadata, self->fd);
	ms = heap_stats(self->fd);
	EXPECT_EQ(0, ms.mallocs);
	EXPECT_EQ(0, ms.frees);
	EXPECT_EQ(0, ms.total_alloc);
	EXPECT_EQ(0, ms.heap_alloc);
	EXPECT_EQ(0, ms.heap_inuse);
	EXPECT_EQ(0, ms.heap_objects);
	EXPECT_EQ(0, ms.lookups);
	EXPECT_EQ(0, ms.num_gc);
	EXPECT_EQ(0, ms.num_forced_gc);
	EXPECT_EQ(~0ULL, ms.next_gc);
	EXPECT_EQ(0, ms.last_gc);
	TH_LOG("an idle heap is %llu bytes", (unsigned long long)ms.sys);
	EXPECT_LT(ms.sys, 64 * KIB);
}

/* Small objects, one by one. */
TEST_F(books, small_objects)
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

	for (k = 0; k < ARRAY_SIZE(rows); k++) {
		struct goalloc_by_size *b = &before.by_size[rows[k].class];
		struct goalloc_by_size *a = &after.by_size[rows[k].class];

		before = heap_stats(self->fd);
		for (i = 0; i < N; i++)
			addr[i] = heap_new(self->fd, rows[k].bytes);
		after = heap_stats(self->fd);
		EXPECT_EQ(N, after.mallocs - before.mallocs);
		EXPECT_EQ(before.frees, after.frees);
		EXPECT_EQ(N, after.heap_objects - before.heap_objects);
		EXPECT_EQ(N * rows[k].usable, after.heap_alloc - before.heap_alloc);
		EXPECT_EQ(N * rows[k].usable, after.total_alloc - before.total_alloc);
		EXPECT_EQ(rows[k].usable, a->object_size);
		EXPECT_EQ(N, a->mallocs - b->mallocs);
		EXPECT_EQ(b->frees, a->frees);
		identities(_metadata, self->fd);

		for (i = 0; i < N; i += 2)
			EXPECT_RET(0, heap_free(self->fd, addr[i]));
		after = heap_stats(self->fd);
		EXPECT_EQ(N / 2, after.frees - before.frees);
		EXPECT_EQ(N / 2, after.heap_objects - before.heap_objects);
		EXPECT_EQ(N / 2 * rows[k].usable, after.heap_alloc - before.heap_alloc);
		EXPECT_EQ(N * rows[k].usable, after.total_alloc - before.total_alloc);
		EXPECT_EQ(N, a->mallocs - b->mallocs);
		EXPECT_EQ(N / 2, a->frees - b->frees);
		identities(_metadata, self->fd);

		for (i = 1; i < N; i += 2)
			EXPECT_RET(0, heap_free(self->fd, addr[i]));
		after = heap_stats(self->fd);
		EXPECT_EQ(N, a->frees - b->frees);
		EXPECT_EQ(0, after.heap_alloc);
		identities(_metadata, self->fd);
	}
	EXPECT_EMPTY(self->fd);
}

/* Each tiny object counts; by_size counts their blocks. */
TEST_F(books, tiny_objects)
{
	struct goalloc_memstats before, after;
	uint64_t addr[64];
	size_t i;

	if (!pin_to_cpu(0))
		SKIP(return, "cannot stay on one CPU");
	before = heap_stats(self->fd);
	for (i = 0; i < 64; i++)
		addr[i] = heap_new(self->fd, 4);
	after = heap_stats(self->fd);
	EXPECT_EQ(64, after.mallocs - before.mallocs);
	EXPECT_EQ(64, after.heap_objects);
	EXPECT_EQ(16, after.by_size[2].mallocs - before.by_size[2].mallocs);
	EXPECT_EQ(before.by_size[2].frees, after.by_size[2].frees);
	EXPECT_EQ(256, after.heap_alloc - before.heap_alloc);
	EXPECT_EQ(256, after.total_alloc - before.total_alloc);
	identities(_metadata, self->fd);
	/* One of each block: no block is free by that. */
	for (i = 0; i < 64; i += 4)
		EXPECT_RET(0, heap_free(self->fd, addr[i]));
	after = heap_stats(self->fd);
	EXPECT_EQ(16, after.frees);
	EXPECT_EQ(48, after.heap_objects);
	EXPECT_EQ(16, after.by_size[2].mallocs - after.by_size[2].frees);
	identities(_metadata, self->fd);
	for (i = 0; i < 64; i++)
		if (i % 4)
			EXPECT_RET(0, heap_free(self->fd, addr[i]));
	after = heap_stats(self->fd);
	EXPECT_EQ(64, after.mallocs);
	EXPECT_EQ(64, after.frees);
	EXPECT_EQ(after.by_size[2].frees, after.by_size[2].mallocs);
	EXPECT_EMPTY(self->fd);
	unpin();
}

TEST_F(books, large_objects)
{
	static const uint64_t bytes[] = { 32769, 100000, 4 * MIB, 100 * MIB };
	struct goalloc_memstats before, after;
	uint64_t addr[ARRAY_SIZE(bytes)], sum = 0;
	size_t i;

	before = heap_stats(self->fd);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		addr[i] = heap_new(self->fd, bytes[i]);
		sum += (bytes[i] + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
		after = heap_stats(self->fd);
		EXPECT_EQ(i + 1, after.mallocs - before.mallocs);
		EXPECT_EQ(i + 1, after.by_size[0].mallocs - before.by_size[0].mallocs);
		EXPECT_EQ(sum, after.heap_alloc);
		EXPECT_EQ(sum, after.total_alloc);
		EXPECT_EQ(sum, after.heap_inuse);
		identities(_metadata, self->fd);
	}
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		EXPECT_RET(0, heap_free(self->fd, addr[i]));
		sum -= (bytes[i] + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
		after = heap_stats(self->fd);
		EXPECT_EQ(i + 1, after.by_size[0].frees - before.by_size[0].frees);
		EXPECT_EQ(sum, after.heap_inuse);
		EXPECT_EQ(sum, after.heap_alloc);
		identities(_metadata, self->fd);
	}
	EXPECT_EMPTY(self->fd);
}

TEST_F(books, zero_size)
{
	struct goalloc_memstats before;

	before = heap_stats(self->fd);
	EXPECT_EQ(GOALLOC_ZERO_ADDR, heap_new(self->fd, 0));
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_RET(0, heap_free(self->fd, GOALLOC_ZERO_ADDR));
	EXPECT_UNCHANGED(&before, self->fd);
}

TEST_F(books, lookups)
{
	struct goalloc_query q;
	uint64_t addr, before;
	int i;

	addr = heap_new(self->fd, 100);
	before = heap_stats(self->fd).lookups;
	for (i = 0; i < 17; i++)
		EXPECT_RET(0, heap_query(self->fd, addr + i, &q));
	EXPECT_EQ(17, heap_stats(self->fd).lookups - before);
}

/* What is refused leaves the books as they were. */
TEST_F(books, refused)
{
	struct goalloc_memstats before;
	uint64_t addr, other, tiny;

	addr = heap_new(self->fd, 100);
	other = heap_new(self->fd, 100);
	tiny = heap_new(self->fd, 5);
	EXPECT_RET(0, heap_free(self->fd, addr));
	before = heap_stats(self->fd);
	EXPECT_RET(-EALREADY, heap_free(self->fd, addr));
	EXPECT_RET(-EINVAL, heap_free(self->fd, other + 1));
	EXPECT_RET(-EINVAL, heap_free(self->fd, tiny + 1));
	EXPECT_RET(-ENOENT, heap_free(self->fd, HEAP_BASE + 1 * GIB));
	EXPECT_UNCHANGED(&before, self->fd);
	identities(_metadata, self->fd);
	EXPECT_RET(0, heap_free(self->fd, other));
	EXPECT_RET(0, heap_free(self->fd, tiny));
	EXPECT_EMPTY(self->fd);
}

/* Against a list of what lives: every sum, class by class. */
TEST_F_TIMEOUT(books, random_work, LONG_TEST)
{
	enum { N = 800, ROUNDS = 8000 };
	uint64_t state = rnd_seed(), made = 0, freed = 0, bytes, live, total = 0;
	uint64_t class_live[GOALLOC_BY_SIZE_MAX];
	struct goalloc_memstats ms;
	struct goalloc_query q;
	struct obj *objs;
	unsigned int round, i;

	objs = calloc(N, sizeof(*objs));
	for (round = 1; round <= ROUNDS; round++) {
		struct obj *o = &objs[rnd_below(&state, N)];

		if (o->addr) {
			EXPECT_RET(0, heap_free(self->fd, o->addr));
			o->addr = 0;
			freed++;
		} else {
			o->bytes = rnd_size(&state, 18);
			ASSERT_RET(0, heap_alloc(self->fd, o->bytes, rnd(&state) & GOALLOC_SCAN,
						 &o->addr, &o->usable));
			made++;
			if (o->bytes >= TINY_BLOCK)
				total += o->usable;
		}
		if (round % 1000)
			continue;
		identities(_metadata, self->fd);
		ms = heap_stats(self->fd);
		EXPECT_EQ(made, ms.mallocs);
		EXPECT_EQ(freed, ms.frees);
		memset(class_live, 0, sizeof(class_live));
		for (i = bytes = live = 0; i < N; i++) {
			if (!objs[i].addr)
				continue;
			live++;
			ASSERT_RET(0, heap_query(self->fd, objs[i].addr, &q));
			ASSERT_LT(q.spanclass, 2 * GOALLOC_BY_SIZE_MAX);
			if (q.state == GOALLOC_QUERY_TINY)
				continue;
			class_live[q.spanclass >> 1]++;
			bytes += objs[i].usable;
		}
		EXPECT_EQ(live, ms.heap_objects);
		EXPECT_GE(ms.total_alloc, total);
		for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
			uint64_t have = ms.by_size[i].mallocs - ms.by_size[i].frees;

			if (i == 2) {	/* with the tiny blocks */
				EXPECT_GE(have, class_live[i]);
				bytes += (have - class_live[i]) * TINY_BLOCK;
			} else {
				EXPECT_EQ(class_live[i], have)
					TH_LOG("class %u", i);
			}
		}
		EXPECT_EQ(bytes, ms.heap_alloc);
	}
	for (i = 0; i < N; i++)
		EXPECT_RET(0, heap_free(self->fd, objs[i].addr));
	identities(_metadata, self->fd);
	EXPECT_EMPTY(self->fd);
	free(objs);
}

TEST_HARNESS_MAIN
