// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_holes: single pages of a kernel heap's blocks go back.
 *
 * What a hole is to the page allocator and to addresses, when a block that has
 * some goes or is split, when the background makes one and when it does not, and
 * what remains when the address space is used up. Which pages become holes for how
 * many bytes is goalloc_scavenge's. heap_kunit_check() looks at every page after it.
 *
 * Units: heap pages unless a name says bytes.
 */
#include <kunit/test.h>
#include <linux/goalloc.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../goalloc/scavenge.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

#define PAGE_BYTES	GOALLOC_PAGE_SIZE
#define ALL		GOALLOC_NO_LIMIT
#define UNIT		SPARSE_UNIT_PAGES

static u64 request(struct goalloc_heap *heap, u64 npages)
{
	return scavenge(heap, npages == ALL ? ALL : npages * PAGE_BYTES, SCAVENGE_REQUEST) /
		PAGE_BYTES;
}

static void stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

static void quiet(void *unused)
{
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	goalloc_kernel_heap->bg_next = jiffies;
}

/*
 * A heap with @n blocks of @pages, each in two spans, the lower ones free again.
 * The first half chunk is not theirs if they are small.
 */
static struct goalloc_heap *halves(struct kunit *test, u32 pages, u32 n, struct mspan **s)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	if (pages < PALLOC_HALF_PAGES) {
		KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, PALLOC_HALF_PAGES));
		/* The first allocation is the span's record. */
		goalloc_fail_run(2, ilog2(PALLOC_HALF_PAGES / pages));
	}
	for (u32 i = 0; i < 2 * n; i++) {
		s[i] = sparse_kunit_span(heap, pages / 2);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		goalloc_fail_nth(0);
		memset((void *)s[i]->base, 0x30 + i, mspan_bytes(s[i]));
	}
	for (u32 i = 0; i < 2 * n; i += 2)
		mheap_return_span(s[i]);
	return heap;
}

static bool intact(const struct mspan *s, u32 i)
{
	return !memchr_inv((void *)s->base, 0x30 + i, mspan_bytes(s));
}

/* No run has a hole, whatever becomes free around it, before its block has gone. */
static void holes_stay(struct kunit *test)
{
	struct mspan *s[4], *t;
	struct goalloc_heap *heap = halves(test, 256, 2, s);
	u64 sys = heap->pages_sys;

	KUNIT_EXPECT_EQ(test, request(heap, 128 + 64), 128 + 64);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 192);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 64);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 * SZ_2M - 192 * PAGE_BYTES);
	KUNIT_EXPECT_TRUE(test, intact(s[1], 1) && intact(s[3], 3));
	heap_kunit_check(test, heap, 0);

	/* What is left of the first block, and then new ones: the holes are 64 to 127. */
	t = sparse_kunit_span(heap, 64);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(t->start_addr), 0);
	mheap_return_span(t);
	t = sparse_kunit_span(heap, 65);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(t->start_addr), 512);
	KUNIT_EXPECT_EQ(test, heap->pages_sys, sys + PALLOC_CHUNK_PAGES);
	mheap_return_span(t);
	/* 64 idle ones on one side of the holes, 128 on the other. */
	mheap_return_span(s[1]);
	t = sparse_kunit_span(heap, 129);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(t->start_addr), 512);
	mheap_return_span(t);
	t = sparse_kunit_span(heap, 128);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(t->start_addr), 128);
	mheap_return_span(t);
	heap_kunit_check(test, heap, 0);

	/* Nothing else is in the block: it goes whole, and its holes with it. */
	KUNIT_EXPECT_EQ(test, heap->pages_whole, 256 + 192);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 256 + 192);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 128);
	heap_kunit_check(test, heap, 0);
	t = sparse_kunit_span(heap, 256);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(t->start_addr), 0);
	KUNIT_EXPECT_TRUE(test, intact(s[3], 3));
	heap_kunit_check(test, heap, 0);
}

/* A block whose last used pages become holes one after the other. */
static void holes_all(struct kunit *test)
{
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);
	struct mspan *s[2], *t;
	struct goalloc_heap *heap = halves(test, 256, 1, s);
	struct goalloc_chunk *c = mheap_chunk(heap, GOALLOC_HEAP_BASE);
	unsigned long flags;

	KUNIT_EXPECT_EQ(test, request(heap, ALL), 128);
	/* As if it were taken by one and freed while another has given back all but it. */
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 128);
	mheap_return_span(s[1]);
	flags = mheap_lock(heap);
	KUNIT_EXPECT_EQ(test, linear_drop(heap, GOALLOC_HEAP_BASE), 0);
	mheap_unlock(heap, flags);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 128);
	/* A byte is enough for all of it. */
	KUNIT_EXPECT_EQ(test, request(heap, 1), 128);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 0);
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[0], 0);
	KUNIT_EXPECT_EQ(test, c->indexed, BIT(INDEX_EMPTY));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	t = sparse_kunit_span(heap, 256);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, t->start_addr, GOALLOC_HEAP_BASE);
	heap_kunit_check(test, heap, 0);
	heap_kunit_end(test, heap);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/*
 * Some give back the idle pages of a block, piece by piece, while another uses the
 * rest for a moment. In the end it may be all holes, and has to go then.
 */
static void holes_crew(struct crew *crew, u32 who)
{
	struct goalloc_heap *heap = crew->arg;
	struct mspan *s;

	for (u32 i = 0; i < 400; i++) {
		if (who) {
			scavenge(heap, UNIT * PAGE_BYTES, SCAVENGE_LIMIT);
			continue;
		}
		s = sparse_kunit_span(heap, 1 + i % 8);
		if (s)
			mheap_return_span(s);
		else
			atomic_inc(&crew->bad);
	}
}

static void holes_race(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	for (u32 round = 0; round < 12; round++) {
		struct mspan *s[32];
		struct goalloc_heap *heap = halves(test, round & 1 ? 16 : 256,
						   round & 1 ? 16 : 4, s);
		u32 n = round & 1 ? 32 : 8;
		u64 used = mheap_pages_in_use(heap) - (round & 1 ? 16 * 8 : 4 * 128);

		KUNIT_EXPECT_GT(test, request(heap, 4 * UNIT), 0);
		for (u32 i = 1; i < n; i += 2)
			mheap_return_span(s[i]);
		crew_run(test, crew, 3, 0, holes_crew, heap);
		heap_kunit_check(test, heap, 0);
		request(heap, ALL);
		KUNIT_EXPECT_EQ(test, heap->pages_holes, 0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), used * PAGE_BYTES);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

/*
 * Blocks with holes are made shorter: of those that are all holes now nothing
 * remains, and the others keep what they have.
 */
static const struct split_row {
	const char *what;
	u32 block, to;
	u32 idle, used;		/* of its pages; the others are holes */
	u32 holes;		/* afterwards */
} split_rows[] = {
	{ "upper part used", 128, 64, 0, 64, 0 },
	{ "upper part used, to small ones", 128, 16, 0, 16, 0 },
	{ "some idle", 128, 32, 8, 32, 24 },
	{ "used but for one", 64, 32, 0, 64 - UNIT, UNIT },
};

KUNIT_ARRAY_PARAM_DESC(split, split_rows, what);

static void holes_split(struct kunit *test)
{
	const struct split_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	u32 low = row->block - row->used, end = PALLOC_HALF_PAGES + row->block;
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes), backed;
	struct mspan *first, *idle = NULL, *holes, *used, *next;
	struct goalloc_chunk *c;

	if (row->idle % UNIT || low % UNIT)
		kunit_skip(test, "holes are of several heap pages");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	first = sparse_kunit_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, first);
	c = mheap_chunk(heap, GOALLOC_HEAP_BASE);
	goalloc_fail_run(2, ilog2(PALLOC_HALF_PAGES / row->block));
	if (row->idle)
		idle = sparse_kunit_span(heap, row->idle);
	holes = sparse_kunit_span(heap, low - row->idle);
	goalloc_fail_nth(0);
	used = sparse_kunit_span(heap, row->used);
	KUNIT_ASSERT_NOT_NULL(test, holes);
	KUNIT_ASSERT_NOT_NULL(test, used);
	KUNIT_ASSERT_EQ(test, c->palloc.block_pages[1], row->block);
	KUNIT_ASSERT_EQ(test, goalloc_page_index(used->start_addr), end - row->used);
	memset((void *)used->base, 0x5b, mspan_bytes(used));
	mheap_return_span(holes);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), low - row->idle);
	if (idle)
		mheap_return_span(idle);
	backed = (PALLOC_HALF_PAGES + row->idle + row->used) * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&heap->backed), backed);
	heap_kunit_check(test, heap, 0);

	/* Longer than what is idle, shorter than the blocks it ends with. */
	goalloc_fail_run(2, ilog2(row->block / row->to));
	next = sparse_kunit_span(heap, 12);
	KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
	goalloc_fail_nth(0);
	KUNIT_ASSERT_NOT_NULL(test, next);
	KUNIT_EXPECT_EQ(test, goalloc_page_index(next->start_addr), end);
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], row->to);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, row->holes);
	backed += row->to * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&heap->backed), backed);
	KUNIT_EXPECT_NULL(test, memchr_inv((void *)used->base, 0x5b, mspan_bytes(used)));
	heap_kunit_check(test, heap, 0);

	/* The addresses of what is gone serve again. */
	first = sparse_kunit_span(heap, min(row->to, 16U));
	KUNIT_ASSERT_NOT_NULL(test, first);
	if (!row->holes)
		KUNIT_EXPECT_EQ(test, goalloc_page_index(first->start_addr), PALLOC_HALF_PAGES);
	heap_kunit_check(test, heap, 0);
	mheap_return_span(first);
	mheap_return_span(next);
	mheap_return_span(used);
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), SZ_2M);
	heap_kunit_check(test, heap, 0);
	heap_kunit_end(test, heap);
	rcu_barrier();
	KUNIT_EXPECT_LE(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/* A heap ends with holes, in blocks of all sizes; its own memory goes, and no other. */
static void holes_end(struct kunit *test)
{
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);

	for (u32 pages = 16; pages <= 256; pages *= 2) {
		struct mspan *s[8];
		struct goalloc_heap *heap = halves(test, pages, 4 / (pages / 128 ?: 1), s);
		u64 n = request(heap, 3 * UNIT);

		KUNIT_EXPECT_EQ(test, n, 3 * UNIT);
		KUNIT_EXPECT_EQ(test, request(heap, ALL), heap->pages_holes - n);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/*
 * The memory of holes serves somebody else, this heap too, at another address; an
 * address finds the span that has the memory now, and a hole none.
 */
static void holes_addresses(struct kunit *test)
{
	struct mspan *s[8], *t[64] = {};
	struct goalloc_heap *heap = halves(test, 256, 4, s);
	unsigned long old[4];
	u32 found = 0;

	for (u32 i = 0; i < 4; i++)
		old[i] = s[2 * i + 1]->base - 128 * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 4 * 128);
	for (u32 i = 0; i < 4; i++)
		for (u32 p = 0; p < 128; p++)
			KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, old[i] +
								   p * PAGE_BYTES));
	for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
		t[i] = sparse_kunit_span(heap, 8);
		KUNIT_ASSERT_NOT_NULL(test, t[i]);
		memset((void *)t[i]->base, i, mspan_bytes(t[i]));
		for (u32 k = 0; k < 4; k++)
			found += t[i]->base - old[k] < 128 * PAGE_BYTES;
	}
	kunit_info(test, "%u spans lie where holes are\n", found);
	heap_kunit_check(test, heap, 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv((void *)t[i]->base, i, mspan_bytes(t[i])));
		mheap_return_span(t[i]);
	}
	for (u32 i = 1; i < 8; i += 2) {
		KUNIT_EXPECT_TRUE(test, intact(s[i], i));
		mheap_return_span(s[i]);
	}
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);
}

/* One turn of the background, a second after the last one or at once. */
static void turn(struct goalloc_heap *heap, bool later)
{
	/* Never two at once, and it is not another heap's. */
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	goalloc_kernel_heap->bg_next = jiffies + 3600 * HZ;
	heap->idle_since = later ? jiffies - HZ : jiffies + 3600 * HZ;
	heap->bg_next = jiffies;
	goalloc_bgscavenge.work.func(&goalloc_bgscavenge.work);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	heap->idle_since = jiffies + 3600 * HZ;
}

static u64 by_background(const struct goalloc_heap *heap)
{
	return atomic64_read(&heap->scav_bytes[SCAVENGE_BACKGROUND]) / PAGE_BYTES;
}

/*
 * The background makes holes of what was idle for a second or more, and of that
 * only what is more than a tenth of what is in use, or a block.
 */
static void holes_background(struct kunit *test)
{
	struct mspan *s[24], *t;
	struct goalloc_heap *heap;

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, quiet, NULL), 0);
	scavenge(goalloc_kernel_heap, ALL, SCAVENGE_REQUEST);
	scavenge_all(ALL - 1, SCAVENGE_REQUEST);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	heap = halves(test, 256, 12, s);
	WRITE_ONCE(goalloc_scavenge_percent, 1);
	KUNIT_EXPECT_EQ(test, scavenge_excess(heap), (12 * 128 - 256) * PAGE_BYTES);

	/* All were in use since the heap began. */
	for (u32 i = 0; i < 3; i++)
		turn(heap, false);
	KUNIT_EXPECT_EQ(test, by_background(heap), 0);
	turn(heap, true);
	KUNIT_EXPECT_EQ(test, by_background(heap), 0);
	/* For a second some are wanted again and again. */
	t = sparse_kunit_span(heap, 128);
	KUNIT_ASSERT_NOT_NULL(test, t);
	mheap_return_span(t);
	for (u32 i = 0; i < 600; i++)
		turn(heap, i == 0);
	KUNIT_EXPECT_EQ(test, by_background(heap), 12 * 128 - 256 - 128);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 12 * 128 - 256 - 128);
	/* And then no more. */
	turn(heap, true);
	for (u32 i = 0; i < 100; i++)
		turn(heap, i == 0);
	KUNIT_EXPECT_EQ(test, by_background(heap), 12 * 128 - 256);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 256);
	KUNIT_EXPECT_EQ(test, scavenge_excess(heap), 0);
	heap_kunit_check(test, heap, 0);

	/* The memory of a limit does not wait for that. */
	mheap_return_span(s[1]);
	t = sparse_kunit_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, t);
	heap->limit = mheap_held(heap) / 2;
	for (u32 i = 0; i < 200; i++)
		turn(heap, false);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	for (u32 i = 3; i < 24; i += 2)
		KUNIT_EXPECT_TRUE(test, intact(s[i], i));
	heap_kunit_check(test, heap, 0);
}

/* What is too much of a kernel heap. Pages. */
static const struct excess_row {
	const char *what;
	u64 idle, whole, in_use;
	u64 holes, holes_max;
	u64 excess;
} excess_rows[] = {
	{ "nothing idle", 0, 0, 1000, 0, 1000, 0 },
	{ "a whole block, nothing in use", 256, 256, 0, 0, 1000, 256 },
	{ "a whole block of many", 256, 256, 2560, 0, 1000, 0 },
	{ "a whole block, and a tenth idle", 256 + 100, 256, 1000, 0, 1000, 256 },
	{ "a whole block, less than a tenth besides", 256 + 50, 256, 1000, 0, 1000, 206 },
	{ "parts, less than a block", 255, 0, 10, 0, 1000, 0 },
	{ "parts, a block", 256, 0, 10, 0, 1000, 0 },
	{ "parts, more than a block", 260, 0, 10, 0, 1000, 4 },
	{ "parts, of many", 1000, 0, 9000, 0, 1000, 100 },
	{ "parts and a block", 1000, 256, 100, 0, 1000, 744 },
	{ "no address space for holes", 1000, 256, 100, 1000, 1000, 256 },
};

KUNIT_ARRAY_PARAM_DESC(excess, excess_rows, what);

static void holes_excess(struct kunit *test)
{
	const struct excess_row *row = test->param_value;
	struct goalloc_heap *heap = kunit_kzalloc(test, sizeof(*heap), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, heap);
	heap->backing = BACKING_LINEAR;
	heap->limit = ALL;
	heap->pages_idle = row->idle;
	heap->pages_whole = row->whole;
	heap->pages_holes = row->holes;
	heap->holes_max = row->holes_max;
	atomic64_set(&heap->pages_in_use, row->in_use);
	KUNIT_EXPECT_EQ(test, scavenge_excess(heap), row->excess * PAGE_BYTES);
}

/* So many holes and no more; and what has gone makes room for others. */
static void holes_most(struct kunit *test)
{
	struct mspan *s[8];
	struct goalloc_heap *heap = halves(test, 256, 4, s);
	u64 idle;

	heap->holes_max = 200 / UNIT * UNIT;
	KUNIT_EXPECT_EQ(test, request(heap, ALL), heap->holes_max);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, heap->holes_max);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, ALL, SCAVENGE_RECLAIM), 0);
	heap_kunit_check(test, heap, 0);
	/* The highest has 128 of them. */
	mheap_return_span(s[7]);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 128 + 128);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, heap->holes_max);
	heap->holes_max = 0;
	mheap_return_span(s[1]);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 256);
	heap_kunit_check(test, heap, 0);
	heap->holes_max = GOALLOC_NR_PAGES;
	idle = heap->pages_idle;
	KUNIT_EXPECT_GT(test, idle, 0);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), idle);
	heap_kunit_check(test, heap, 0);
}

/*
 * The address space is used up, by holes mostly. Who wants memory has the blocks
 * with nothing in use go first, and fails only when there is none.
 */
static void holes_no_space(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *s[4], *t;

	/* A heap that has come so far stands in for one that grew so far. */
	heap->cur_arena = GOALLOC_HEAP_END - PALLOC_CHUNK_SIZE;
	for (u32 i = 0; i < 4; i++) {
		s[i] = sparse_kunit_span(heap, 128);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	mheap_return_span(s[0]);
	mheap_return_span(s[2]);
	KUNIT_EXPECT_EQ(test, request(heap, ALL), 256);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 256);
	/* Nothing is free, and nothing can be. */
	KUNIT_EXPECT_NULL(test, sparse_kunit_span(heap, 1));
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 256);
	/* 128 are, and the other half of their block is holes. */
	mheap_return_span(s[1]);
	t = sparse_kunit_span(heap, 200);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, t->start_addr, GOALLOC_HEAP_END - PALLOC_CHUNK_SIZE);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 128);
	mheap_return_span(t);
	mheap_return_span(s[3]);
	t = sparse_kunit_span(heap, 256);
	KUNIT_ASSERT_NOT_NULL(test, t);
	s[0] = sparse_kunit_span(heap, 256);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 0);
	KUNIT_EXPECT_NULL(test, sparse_kunit_span(heap, 1));
	mheap_return_span(t);
	mheap_return_span(s[0]);
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
}

/* Objects come and go at random, and all idle memory each time: none is harmed. */
#define OBJECTS	1500

static void holes_objects(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u32 **o = kunit_kcalloc(test, OBJECTS, sizeof(*o), GFP_KERNEL), wrong = 0;
	u64 made = 0, rounds = 24;

	KUNIT_ASSERT_NOT_NULL(test, o);
	for (u32 round = 0; round < rounds; round++) {
		for (u32 i = 0; i < OBJECTS; i++) {
			u32 size = 16 + i * 7919 % 6000;

			if (o[i])
				continue;
			o[i] = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL | __GFP_ZERO);
			KUNIT_ASSERT_NOT_NULL(test, o[i]);
			wrong += !!memchr_inv(o[i], 0, size);
			o[i][0] = i;
			o[i][size / 4 - 1] = ~i;
		}
		/* Most of them, others each round. */
		for (u32 i = 0; i < OBJECTS; i++) {
			u32 size = 16 + i * 7919 % 6000;

			wrong += o[i][size / 4 - 1] != ~i;
			if (!((i * 2654435761U + round * 40503U) >> 8) % 10)
				continue;
			if ((i + round * 7) % 10 == 0)
				continue;
			wrong += !!goalloc_try_free(o[i]);
			o[i] = NULL;
		}
		heap_kunit_settle(heap);
		request(heap, ALL);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
		made += heap->pages_holes;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_GT(test, made, 0);
	heap_kunit_check(test, heap, ANY_OBJECTS);
	for (u32 i = 0; i < OBJECTS; i++)
		if (o[i])
			goalloc_free(o[i]);
	heap_kunit_settle(heap);
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case holes_cases[] = {
	KUNIT_CASE(holes_stay),
	KUNIT_CASE(holes_all),
	KUNIT_CASE_SLOW(holes_race),
	KUNIT_CASE_PARAM(holes_split, split_gen_params),
	KUNIT_CASE(holes_end),
	KUNIT_CASE(holes_addresses),
	KUNIT_CASE(holes_background),
	KUNIT_CASE_PARAM(holes_excess, excess_gen_params),
	KUNIT_CASE(holes_most),
	KUNIT_CASE(holes_no_space),
	KUNIT_CASE(holes_objects),
	{}
};

static struct kunit_suite holes_suite = {
	.name = "goalloc_holes",
	.init = heap_kunit_stay,
	.test_cases = holes_cases,
};

kunit_test_suite(holes_suite);

GOALLOC_KUNIT_IMPORT;
