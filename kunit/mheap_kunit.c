// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mheap: address space, spans, and the beginning and end of heaps.
 *
 * heap_kunit_check() walks every page of a heap: each is in one span or idle,
 * each address finds its span and no other, runs lie inside blocks, and the
 * books say what was found (I6).
 *
 * Units: heap pages. The seed of random cases is printed; the parameter
 * mheap_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/cpu.h>
#include <linux/goalloc.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/random.h>

#include "../goalloc/malloc.h"
#include "../goalloc/scavenge.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

#define SPANS		120
#define SPAN_OPS	1500

static ulong mheap_seed;
module_param(mheap_seed, ulong, 0444);
MODULE_PARM_DESC(mheap_seed, "seed of goalloc_mheap, 0 for any");

static struct mspan *new_span(struct goalloc_heap *heap, u64 npages, u64 align)
{
	return heap_kunit_span(heap, npages, align);
}

static void mheap_params(struct kunit *test)
{
	struct goalloc_heap_params params = { .name = "params", .flags = 1 };
	char long_name[100];
	struct goalloc_heap *heap;

	KUNIT_EXPECT_EQ(test, PTR_ERR(goalloc_heap_create(&params)), -EINVAL);
	params.flags = BIT(31);
	KUNIT_EXPECT_EQ(test, PTR_ERR(goalloc_heap_create(&params)), -EINVAL);

	params.flags = 0;
	params.limit = 1 << 20;
	params.max = 2 << 20;
	heap = goalloc_heap_create(&params);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_EXPECT_STREQ(test, heap->name, "params");
	KUNIT_EXPECT_EQ(test, heap->limit, 1 << 20);
	KUNIT_EXPECT_EQ(test, heap->max, 2 << 20);
	KUNIT_EXPECT_EQ(test, heap->backing, BACKING_LINEAR);
	goalloc_heap_destroy(heap);

	/* A name that is too long is cut; no limit is none, said either way. */
	memset(long_name, 'n', sizeof(long_name));
	long_name[99] = 0;
	params = (struct goalloc_heap_params){ .name = long_name, .limit = GOALLOC_NO_LIMIT };
	heap = goalloc_heap_create(&params);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_EXPECT_EQ(test, strlen(heap->name), sizeof(heap->name) - 1);
	KUNIT_EXPECT_EQ(test, heap->limit, GOALLOC_NO_LIMIT);
	KUNIT_EXPECT_EQ(test, heap->max, GOALLOC_NO_LIMIT);
	goalloc_heap_destroy(heap);

	heap = goalloc_heap_create(NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_EXPECT_GT(test, strlen(heap->name), 0);
	goalloc_heap_destroy(heap);
	goalloc_heap_destroy(NULL);
	goalloc_heap_destroy(ERR_PTR(-ENOMEM));
}

/* Runs of all lengths and alignments, taken and returned in any order. */
static void random_spans(struct kunit *test, enum goalloc_backing backing)
{
	struct goalloc_heap *heap = heap_kunit_create(test, backing, 0);
	struct mspan **s = kunit_kcalloc(test, SPANS, sizeof(*s), GFP_KERNEL);
	ulong seed = mheap_seed ?: get_random_u32() | 1;
	struct rnd_state rnd;
	u32 n = 0;

	KUNIT_ASSERT_NOT_NULL(test, s);
	prandom_seed_state(&rnd, seed);
	kunit_info(test, "mheap_seed=%lu\n", seed);
	for (u32 op = 0; op < SPAN_OPS; op++) {
		u32 r = prandom_u32_state(&rnd);

		if (!n || (n < SPANS && r % 100 < 53)) {
			u64 npages = 1 + (r >> 8) % 20, align = 1;

			if (!(r & 0x70000000))
				npages = 1 + (r >> 8) % 600;
			if (backing == BACKING_SPARSE && !(r & 0x03000000))
				align = 1 << ((r >> 8) % 9);
			s[n] = new_span(heap, npages, align);
			KUNIT_ASSERT_NOT_NULL(test, s[n]);
			KUNIT_EXPECT_GE(test, s[n]->npages, npages);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED(s[n]->start_addr,
							   align << GOALLOC_PAGE_SHIFT));
			KUNIT_EXPECT_EQ(test, s[n]->place, MSPAN_HELD);
			KUNIT_EXPECT_EQ(test, s[n]->sweepgen, heap->sweepgen);
			KUNIT_EXPECT_TRUE(test, mspan_all_free(s[n]));
			n++;
		} else {
			u32 i = (r >> 8) % n;

			mheap_return_span(s[i]);
			s[i] = s[--n];
		}
		if (op % 250 == 249)
			heap_kunit_check(test, heap, 0);
		cond_resched();
	}
	while (n)
		mheap_return_span(s[--n]);
	heap_kunit_check(test, heap, 0);
}

static void mheap_spans_linear(struct kunit *test)
{
	random_spans(test, BACKING_LINEAR);
}

static void mheap_spans_sparse(struct kunit *test)
{
	random_spans(test, BACKING_SPARSE);
}

static const struct max_row {
	const char *what;
	enum goalloc_backing backing;
	u64 max;		/* bytes */
	u64 size;		/* of each object */
	u32 fit;		/* objects */
} max_rows[] = {
	{ "kernel heap, pages", BACKING_LINEAR, 300 << 13, 8192, 300 },
	{ "kernel heap, part of a page", BACKING_LINEAR, (3 << 13) + 8191, 8192, 3 },
	{ "kernel heap, large", BACKING_LINEAR, 100 << 13, 33 << 13, 3 },
	{ "kernel heap, exactly", BACKING_LINEAR, 99 << 13, 33 << 13, 3 },
	{ "kernel heap, one page short", BACKING_LINEAR, 98 << 13, 33 << 13, 2 },
	{ "kernel heap, mapped, whole halves", BACKING_LINEAR, 8 << 20, 3 << 20, 2 },
	{ "kernel heap, nothing fits", BACKING_LINEAR, 8191, 8192, 0 },
	{ "file heap, pages", BACKING_SPARSE, 300 << 13, 8192, 300 },
	{ "file heap, exactly", BACKING_SPARSE, 64 << 20, 32 << 20, 2 },
	{ "file heap, one byte short", BACKING_SPARSE, (64 << 20) - 1, 32 << 20, 1 },
};

KUNIT_ARRAY_PARAM_DESC(max, max_rows, what);

static u64 alloc_addr(struct goalloc_heap *heap, u64 size)
{
	unsigned long addr;
	u64 usable;

	if (heap->backing == BACKING_LINEAR)
		return (unsigned long)goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
	return mallocgc(heap, size, 0, 0, GFP_KERNEL, &addr, &usable) == 0 ? addr : 0;
}

/* The hard limit is one to the page, and what it refuses changes nothing. */
static void mheap_max(struct kunit *test)
{
	const struct max_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_create(test, row->backing, row->max);
	u64 *addr = kunit_kcalloc(test, row->fit + 1, sizeof(*addr), GFP_KERNEL);
	struct goalloc_memstats *ms = kunit_kcalloc(test, 2, sizeof(*ms), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	for (u32 i = 0; i < row->fit; i++) {
		addr[i] = alloc_addr(heap, row->size);
		KUNIT_ASSERT_NE_MSG(test, addr[i], 0, "object %u", i);
	}
	heap_kunit_check(test, heap, row->fit);
	readmemstats(heap, &ms[0]);
	for (u32 i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, alloc_addr(heap, row->size), 0);
	heap_kunit_check(test, heap, row->fit);
	readmemstats(heap, &ms[1]);
	/* The first failure on this CPU may have made its mcache. */
	ms[0].mcache_inuse = ms[1].mcache_inuse;
	ms[0].mcache_sys = ms[1].mcache_sys;
	ms[0].other_sys = ms[1].other_sys;
	ms[0].sys = ms[1].sys;
	KUNIT_EXPECT_MEMEQ(test, &ms[0], &ms[1], sizeof(*ms));

	/* One goes, one comes; and a higher max lets more through. */
	if (row->fit) {
		if (row->backing == BACKING_LINEAR)
			KUNIT_EXPECT_EQ(test, goalloc_try_free((void *)addr[0]), 0);
		else
			KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr[0]), 0);
		heap_kunit_settle(heap);
		addr[0] = alloc_addr(heap, row->size);
		KUNIT_EXPECT_NE(test, addr[0], 0);
		KUNIT_EXPECT_EQ(test, alloc_addr(heap, row->size), 0);
	}
	heap->max = GOALLOC_NO_LIMIT;
	KUNIT_EXPECT_NE(test, alloc_addr(heap, row->size), 0);
	heap_kunit_check(test, heap, row->fit + 1);
}

/* The heap grows by chunks, and an arena's tables come with its first one. */
static void mheap_growth(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct mspan *s[20];
	u64 bytes, last = 0;

	KUNIT_EXPECT_EQ(test, heap->cur_arena, GOALLOC_HEAP_BASE);
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, GOALLOC_HEAP_BASE));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), 0);
	for (u32 i = 0; i < ARRAY_SIZE(s); i++) {
		u64 base = goalloc_chunk_base(i);

		s[i] = new_span(heap, PALLOC_CHUNK_PAGES, 1);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_EXPECT_EQ(test, s[i]->start_addr, base);
		KUNIT_EXPECT_EQ(test, heap->cur_arena, base + PALLOC_CHUNK_SIZE);
		KUNIT_EXPECT_NOT_NULL(test, mheap_chunk(heap, base));
		KUNIT_EXPECT_NULL(test, mheap_chunk(heap, base + PALLOC_CHUNK_SIZE));
		bytes = atomic64_read(&heap->gc_bytes);
		if (i)
			KUNIT_EXPECT_EQ(test, bytes - last, sizeof(struct goalloc_chunk) +
					(i % GOALLOC_ARENA_CHUNKS ? 0 :
					 sizeof(struct goalloc_arena)));
		last = bytes;
	}
	KUNIT_EXPECT_EQ(test, heap->pages_sys, ARRAY_SIZE(s) * PALLOC_CHUNK_PAGES);
	for (u32 i = 0; i < ARRAY_SIZE(s); i++)
		mheap_return_span(s[i]);
	/* What was grown stays, and is used before more is. */
	KUNIT_EXPECT_EQ(test, heap->pages_sys, ARRAY_SIZE(s) * PALLOC_CHUNK_PAGES);
	s[0] = new_span(heap, ARRAY_SIZE(s) * PALLOC_CHUNK_PAGES, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_EXPECT_EQ(test, s[0]->start_addr, GOALLOC_HEAP_BASE);
	heap_kunit_check(test, heap, 0);
	mheap_return_span(s[0]);

	/* Addresses that are none. */
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, 0));
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, GOALLOC_HEAP_BASE - 1));
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, GOALLOC_HEAP_END));
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, GOALLOC_HEAP_END - 1));
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, U64_MAX));
}

/* Objects that nobody touches cost their tables. */
static void mheap_huge(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	static const u32 shifts[] = { 30, 36 };
	struct goalloc_query q;
	unsigned long addr;
	u64 usable;

	for (u32 i = 0; i < ARRAY_SIZE(shifts); i++) {
		u64 size = BIT_ULL(shifts[i]) + 1, begin = ktime_get_ns(), tables;

		KUNIT_ASSERT_EQ(test, mallocgc(heap, size, 0, 0, GFP_KERNEL, &addr, &usable), 0);
		KUNIT_EXPECT_EQ(test, usable, size - 1 + GOALLOC_PAGE_SIZE);
		for (u64 off = 0; off < size; off += size / 7) {
			KUNIT_EXPECT_EQ(test, mallocgc_query(heap, addr + off, &q), 0);
			KUNIT_EXPECT_EQ(test, q.base, addr);
			KUNIT_EXPECT_EQ(test, q.state, GOALLOC_QUERY_LIVE);
		}
		KUNIT_EXPECT_EQ(test, mallocgc_query(heap, addr + usable - 1, &q), 0);
		KUNIT_EXPECT_EQ(test, mallocgc_query(heap, addr + usable, &q), -ENOENT);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr + (1 << 20)), -EINVAL);
		tables = atomic64_read(&heap->gc_bytes) +
			 atomic64_read(&heap->pages.meta_bytes);
		kunit_info(test, "2^%u bytes: %llu us, %llu bytes of tables\n", shifts[i],
			   (ktime_get_ns() - begin) / 1000, tables);
		KUNIT_EXPECT_LT(test, tables, size >> 10);
		heap_kunit_check(test, heap, 1);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr), 0);
		heap_kunit_settle(heap);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr), -ENOENT);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
		/* Page by page, eight million of them would take too long. */
		if (shifts[i] < 32)
			heap_kunit_check(test, heap, 0);
	}
}

/*
 * The end of the address space. A heap that begins just before it stands in
 * for one that came so far: to grow through 1 TiB takes a minute here.
 */
static void mheap_space_end(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	static const u64 left = 20 * PALLOC_CHUNK_SIZE;
	struct goalloc_memstats *ms = kunit_kcalloc(test, 2, sizeof(*ms), GFP_KERNEL);
	unsigned long addr[5], other;
	struct goalloc_query q;
	u64 usable;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	heap->cur_arena = GOALLOC_HEAP_END - left;
	for (u32 i = 0; i < ARRAY_SIZE(addr); i++) {
		KUNIT_ASSERT_EQ(test, mallocgc(heap, left / 5, 0, 0, GFP_KERNEL, &addr[i],
					       &usable), 0);
		KUNIT_EXPECT_EQ(test, addr[i], GOALLOC_HEAP_END - left + i * left / 5);
	}
	KUNIT_EXPECT_EQ(test, mallocgc_query(heap, GOALLOC_HEAP_END - 1, &q), 0);
	KUNIT_EXPECT_EQ(test, q.base, addr[4]);
	KUNIT_EXPECT_EQ(test, heap->cur_arena, GOALLOC_HEAP_END);
	readmemstats(heap, &ms[0]);
	KUNIT_EXPECT_EQ(test, ms[0].heap_inuse, left);
	KUNIT_EXPECT_EQ(test, ms[0].heap_idle, 0);

	/* Not a page, and not all there could ever be; nothing changes. */
	KUNIT_EXPECT_EQ(test, mallocgc(heap, 40000, 0, 0, GFP_KERNEL, &other, &usable), -ENOMEM);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, GOALLOC_HEAP_SPACE, 0, 0, GFP_KERNEL, &other,
				       &usable), -ENOMEM);
	readmemstats(heap, &ms[1]);
	KUNIT_EXPECT_MEMEQ(test, &ms[0], &ms[1], sizeof(*ms));
	KUNIT_EXPECT_EQ(test, heap->cur_arena, GOALLOC_HEAP_END);

	/* What is freed serves again. */
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr[2]), 0);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, left / 5 + 1, 0, 0, GFP_KERNEL, &other, &usable),
			-ENOMEM);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, left / 5, 0, 0, GFP_KERNEL, &other, &usable), 0);
	KUNIT_EXPECT_EQ(test, other, addr[2]);
}

/* What was not freed is named by class, and freed. */
static void mheap_leaks(struct kunit *test)
{
	static const struct goalloc_heap_params params = { .name = "leaky" };
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);
	struct goalloc_heap *heap = goalloc_heap_create(&params);
	void *p[8];

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	p[0] = goalloc_heap_alloc(heap, 64, 0, GFP_KERNEL);
	p[1] = goalloc_heap_alloc(heap, 64, GOALLOC_SCAN, GFP_KERNEL);
	p[2] = goalloc_heap_alloc(heap, 1000, 0, GFP_KERNEL);
	p[3] = goalloc_heap_alloc(heap, 100000, 0, GFP_KERNEL);
	p[4] = goalloc_heap_alloc(heap, 3 << 20, 0, GFP_KERNEL);
	p[5] = goalloc_heap_alloc(heap, 500, 0, GFP_KERNEL);
	/* Two tiny objects in one block. */
	p[6] = goalloc_heap_alloc(heap, 3, 0, GFP_KERNEL);
	p[7] = goalloc_heap_alloc(heap, 5, 0, GFP_KERNEL);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_NOT_NULL(test, p[i]);
	goalloc_free(p[5]);

	pr_info("goalloc-expect: 1 heap [0-9]+ \"leaky\" destroyed with 7 objects, 3253392 bytes, not freed\n");
	pr_info("goalloc-expect: 1 goalloc:   class 0 .*: 2 not freed\n");
	pr_info("goalloc-expect: 1 goalloc:   class 2 .16 bytes.: 2 not freed\n");
	pr_info("goalloc-expect: 1 goalloc:   class 6 .64 bytes.: 2 not freed\n");
	pr_info("goalloc-expect: 1 goalloc:   class 32 .1024 bytes.: 1 not freed\n");
	goalloc_heap_destroy(heap);

	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p[i]), -ENOENT);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/* Page caches: the tests stay on one CPU, so that they know whose is used. */
static int cache_pin(struct kunit *test, u32 nth)
{
	int cpu = cpumask_nth(nth, cpu_online_mask);

	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpu)), 0);
	return cpu;
}

static u32 cache_pages(struct goalloc_heap *heap, int cpu)
{
	return hweight64(per_cpu_ptr(heap->mcache, cpu)->pages.set.pages);
}

/*
 * Spans of so many pages in a heap without any. @free: how many come without
 * the heap lock once the first one has made this CPU set 64 pages aside.
 */
static const struct cache_row {
	const char *what;
	enum goalloc_backing backing;
	u32 npages;
	u32 free;
} cache_rows[] = {
	{ "kernel heap, 1 page", BACKING_LINEAR, 1, 63 },
	{ "kernel heap, 2 pages", BACKING_LINEAR, 2, 31 },
	{ "kernel heap, 3 pages", BACKING_LINEAR, 3, 20 },
	{ "kernel heap, 8 pages", BACKING_LINEAR, 8, 7 },
	{ "kernel heap, 15 pages", BACKING_LINEAR, 15, 3 },
	{ "kernel heap, 16 pages", BACKING_LINEAR, 16, 0 },
	{ "file heap, 1 page", BACKING_SPARSE, 1, 63 },
	{ "file heap, 5 pages", BACKING_SPARSE, 5, 11 },
	{ "file heap, 7 pages", BACKING_SPARSE, 7, 8 },
	{ "file heap, 15 pages", BACKING_SPARSE, 15, 3 },
	{ "file heap, 16 pages", BACKING_SPARSE, 16, 0 },
	{ "file heap, 17 pages", BACKING_SPARSE, 17, 0 },
};

KUNIT_ARRAY_PARAM_DESC(cache, cache_rows, what);

static void mheap_cache_locks(struct kunit *test)
{
	const struct cache_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_create(test, row->backing, 0);
	int cpu = cache_pin(test, 0);
	struct mspan *s[64], *last;
	u64 locks;

	/* On larger pages file heaps have no page caches. */
	if (!heap->page_caches)
		kunit_skip(test, "no page caches");
	s[0] = new_span(heap, row->npages, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	for (u32 i = 1; i <= row->free; i++) {
		locks = heap->locks;
		s[i] = new_span(heap, row->npages, 1);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_EXPECT_EQ_MSG(test, heap->locks, locks, "span %u", i);
		KUNIT_EXPECT_EQ(test, s[i]->start_addr, s[i - 1]->start_addr +
				row->npages * GOALLOC_PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), (i + 1) * row->npages);
	}
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), row->npages > PAGE_CACHE_RUN_MAX ? 0 :
			PAGE_CACHE_PAGES - (row->free + 1) * row->npages);
	/* The next one takes it: for 64 more, or for itself. */
	locks = heap->locks;
	last = new_span(heap, row->npages, 1);
	KUNIT_ASSERT_NOT_NULL(test, last);
	KUNIT_EXPECT_EQ(test, heap->locks, locks + 1);
	KUNIT_EXPECT_EQ(test, last->start_addr, GOALLOC_HEAP_BASE + GOALLOC_PAGE_SIZE *
			(row->npages > PAGE_CACHE_RUN_MAX ? (row->free + 1) * row->npages :
			 PAGE_CACHE_PAGES));
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	mheap_return_span(last);
	for (u32 i = 0; i <= row->free; i++)
		mheap_return_span(s[i]);
	heap_kunit_check(test, heap, 0);
}

/* Spans that are returned in a row: the heap lock is taken once for 64 pages. */
static void mheap_cache_returned(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u32 n = 3 * PAGE_CACHE_PAGES, order, i;
	int cpu = cache_pin(test, 0);
	struct mspan **s;
	u64 locks, idle;

	s = kunit_kcalloc(test, n, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	/* From the first to the last, and back; in both nothing was set aside before. */
	for (order = 0; order < 2; order++) {
		for (i = 0; i < n; i++) {
			s[i] = new_span(heap, 1, 1);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			KUNIT_ASSERT_EQ(test, s[i]->start_addr, goalloc_page_addr(i));
		}
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
		locks = heap->locks;
		for (i = 0; i < n; i++) {
			mheap_return_span(s[order ? n - 1 - i : i]);
			KUNIT_ASSERT_EQ(test, heap->locks, locks + i / PAGE_CACHE_PAGES);
			KUNIT_ASSERT_EQ(test, mheap_pages_in_use(heap), n - 1 - i);
			KUNIT_ASSERT_EQ(test, cache_pages(heap, cpu), i % PAGE_CACHE_PAGES + 1);
		}
		/* Any other span takes them, and nothing is looked for. */
		s[0] = new_span(heap, 1, 1);
		KUNIT_ASSERT_NOT_NULL(test, s[0]);
		KUNIT_EXPECT_EQ(test, s[0]->start_addr, goalloc_page_addr(order ? 0 :
				n - PAGE_CACHE_PAGES));
		mheap_return_span(s[0]);
		KUNIT_EXPECT_EQ(test, heap->locks, locks + n / PAGE_CACHE_PAGES - 1);
		idle = heap->pages_idle;
		mheap_flush_page_caches(heap);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, idle + PAGE_CACHE_PAGES);
		KUNIT_EXPECT_EQ(test, heap->pages_idle + mheap_pages_released(heap),
				heap->pages_sys);
		heap_kunit_check(test, heap, 0);
	}
}

/* What a page cache has no place for goes to the page allocator; so on a file heap. */
static void mheap_cache_not_returned(struct kunit *test)
{
	static const u32 npages[] = { PAGE_CACHE_PAGES - 3, 5, PAGE_CACHE_RUN_MAX + 1 };
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_heap *file = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct mspan *s[ARRAY_SIZE(npages)], *of_file;
	int cpu = cache_pin(test, 0);
	u64 locks;
	u32 i;

	/* The second one lies in two words. */
	heap->page_caches = false;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = new_span(heap, npages[i], 1);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	KUNIT_ASSERT_EQ(test, s[1]->start_addr, goalloc_page_addr(npages[0]));
	heap->page_caches = true;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		locks = heap->locks;
		mheap_return_span(s[i]);
		KUNIT_EXPECT_EQ(test, heap->locks, locks + 1);
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
		heap_kunit_check(test, heap, 0);
	}

	of_file = new_span(file, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, of_file);
	i = cache_pages(file, cpu);
	mheap_return_span(of_file);
	KUNIT_EXPECT_EQ(test, cache_pages(file, cpu), i);
	heap_kunit_check(test, file, 0);
}

/* Who returns a span sets its pages aside, whoever made it. */
static void mheap_cache_returned_elsewhere(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct mspan *s[4];
	int cpu, other;
	u32 i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	cpu = cache_pin(test, 0);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = new_span(heap, i + 1, 1);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), PAGE_CACHE_PAGES - 10);
	other = cache_pin(test, 1);
	mheap_return_span(s[1]);
	mheap_return_span(s[3]);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), PAGE_CACHE_PAGES - 10);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, other), 6);
	/* The longest run first: the shorter one would be cut out of it. */
	s[3] = new_span(heap, 4, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[3]);
	KUNIT_EXPECT_EQ(test, s[3]->start_addr, goalloc_page_addr(6));
	s[1] = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_EXPECT_EQ(test, s[1]->start_addr, goalloc_page_addr(1));
	KUNIT_EXPECT_EQ(test, cache_pages(heap, other), 1);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		mheap_return_span(s[i]);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, other), 10);
	heap_kunit_check(test, heap, 0);
	mheap_flush_page_caches(heap);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu) + cache_pages(heap, other), 0);
	heap_kunit_check(test, heap, 0);
}

/* Few pages that a CPU has set aside: over its soft limit a heap keeps none of them. */
static void mheap_cache_over_limit(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct mspan **s, *large[12];
	int cpu = cache_pin(test, 0);
	u32 i, turn;

	s = kunit_kcalloc(test, PALLOC_HALF_PAGES, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	for (i = 0; i < ARRAY_SIZE(large); i++) {
		large[i] = new_span(heap, PALLOC_HALF_PAGES, 1);
		KUNIT_ASSERT_NOT_NULL(test, large[i]);
	}
	for (i = 0; i < PALLOC_HALF_PAGES; i++) {
		s[i] = new_span(heap, 1, 1);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	/* By who allocates, and by who sets the limit. */
	for (turn = 0; turn < 2; turn++) {
		for (i = 0; i < PAGE_CACHE_PAGES; i++)
			mheap_return_span(s[turn * PAGE_CACHE_PAGES + i]);
		KUNIT_ASSERT_EQ(test, cache_pages(heap, cpu), PAGE_CACHE_PAGES);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
		KUNIT_EXPECT_FALSE(test, scavenge_retains(heap));
		scavenge_make_room(heap, 0);
		scavenge_to_limit(heap);
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), PAGE_CACHE_PAGES);

		heap->limit = mheap_held(heap);
		KUNIT_EXPECT_TRUE(test, scavenge_retains(heap));
		if (turn)
			scavenge_to_limit(heap);
		else
			scavenge_make_room(heap, GOALLOC_PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
		KUNIT_EXPECT_LE(test, mheap_held(heap), heap->limit -
				PAGE_CACHE_PAGES * GOALLOC_PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
		heap->limit = GOALLOC_NO_LIMIT;
		heap_kunit_check(test, heap, 0);
	}
	for (i = 2 * PAGE_CACHE_PAGES; i < PALLOC_HALF_PAGES; i++)
		mheap_return_span(s[i]);
	for (i = 0; i < ARRAY_SIZE(large); i++)
		mheap_return_span(large[i]);
	heap_kunit_check(test, heap, 0);
}

/* Aligned runs, and heaps that have no page caches, do without them. */
static void mheap_cache_unused(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	int cpu = cache_pin(test, 0);
	struct mspan *s;

	s = new_span(heap, 1, 4);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	heap->page_caches = false;
	s = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, s->start_addr, GOALLOC_HEAP_BASE + GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	heap_kunit_check(test, heap, 0);
}

/* In the pages set aside each knows if it has memory: by a pattern of 64 bits. */
static const u64 cache_touched[] = {
	0, ~0ULL, 0x5555555555555555ULL, 0xffff0000ffff0000ULL, 0x8000000000000001ULL,
	0x7ffffffffffffffeULL, 0x0123456789abcdefULL,
};

static void mheap_cache_scavenged(struct kunit *test)
{
	int cpu = cache_pin(test, 0);

	for (u32 row = 0; row < ARRAY_SIZE(cache_touched); row++) {
		struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
		u64 touched = cache_touched[row], released;
		u32 backed = hweight64(touched);
		struct mspan *s[64];

		if (!heap->page_caches)
			kunit_skip(test, "no page caches");
		for (u32 i = 0; i < 64; i++) {
			s[i] = new_span(heap, 1, 1);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			KUNIT_EXPECT_EQ(test, s[i]->needzero, 0);
			if (touched & BIT_ULL(i))
				KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, s[i]->start_addr,
									 1), 1);
		}
		for (u32 i = 0; i < 64; i++)
			mheap_return_span(s[i]);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, backed);
		released = PALLOC_CHUNK_PAGES - backed;
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);

		/* What is set aside counts as before, but is not to be given back. */
		for (u32 i = 0; i < 64; i++) {
			bool has = touched & BIT_ULL(i);

			s[i] = new_span(heap, 1, 1);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			KUNIT_EXPECT_EQ(test, s[i]->start_addr, goalloc_page_addr(i));
			KUNIT_EXPECT_EQ_MSG(test, s[i]->needzero, has, "page %u", i);
			released -= !has;
			KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
			KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
		}
		for (u32 i = 0; i < 64; i++)
			mheap_return_span(s[i]);
		/* Half of them taken again, the rest goes back as it was. */
		for (u32 i = 0; i < 32; i++) {
			s[i] = new_span(heap, 1, 1);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
		}
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 32);
		mheap_flush_page_caches(heap);
		KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, hweight64(touched >> 32));
		heap_kunit_check(test, heap, 0);
		for (u32 i = 0; i < 32; i++)
			mheap_return_span(s[i]);
		KUNIT_EXPECT_EQ(test, heap->pages_idle, backed);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

static void cache_stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

/*
 * A CPU has pages set aside that have no block; others put blocks behind them.
 * No memory for the first span, so that the half has blocks of 16 pages.
 */
static void mheap_cache_block(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	int cpu = cache_pin(test, 0);
	u64 released = PALLOC_CHUNK_PAGES;
	struct mspan *s[6];

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, cache_stop_failing, NULL), 0);
	/* Its tables first. */
	s[0] = new_span(heap, PALLOC_HALF_PAGES, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	released -= PALLOC_HALF_PAGES;
	goalloc_fail_run(2, 5);
	KUNIT_EXPECT_NULL(test, new_span(heap, 1, 1));
	KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
	goalloc_fail_nth(0);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);

	/* The first block: a page in the allocator, one in the span, 14 set aside. */
	s[1] = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_EXPECT_EQ(test, s[1]->start_addr, goalloc_page_addr(PALLOC_HALF_PAGES + 1));
	released -= 16;
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), SZ_2M + SZ_128K);
	/* Not in the first block any more, nor over its end. */
	s[2] = new_span(heap, 15, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[2]);
	KUNIT_EXPECT_EQ(test, s[2]->start_addr, goalloc_page_addr(PALLOC_HALF_PAGES + 16));
	released -= 16;
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	s[3] = new_span(heap, 14, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[3]);
	KUNIT_EXPECT_EQ(test, s[3]->start_addr, goalloc_page_addr(PALLOC_HALF_PAGES + 2));
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	/* A block that none of them is in. */
	s[4] = new_span(heap, 16, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[4]);
	KUNIT_EXPECT_EQ(test, s[4]->start_addr,
			goalloc_page_addr(PALLOC_HALF_PAGES + PAGE_CACHE_PAGES));
	released -= 16;
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 64 - 1 - 1 - 15 - 14);
	/* The block was left with one page set aside: that is backed, too. */
	s[5] = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[5]);
	KUNIT_EXPECT_EQ(test, s[5]->start_addr, goalloc_page_addr(PALLOC_HALF_PAGES + 31));
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	mheap_flush_page_caches(heap);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
	KUNIT_EXPECT_EQ(test, heap->pages_whole, 0);
	KUNIT_EXPECT_EQ(test, heap->pages_idle,
			heap->pages_sys - mheap_pages_in_use(heap) - released);
	heap_kunit_check(test, heap, 0);
	for (u32 i = 0; i < ARRAY_SIZE(s); i++)
		mheap_return_span(s[i]);
	mheap_flush_page_caches(heap);
	KUNIT_EXPECT_EQ(test, heap->pages_whole, PALLOC_HALF_PAGES + 3 * 16);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, PALLOC_HALF_PAGES + 3 * 16);
	heap_kunit_check(test, heap, 0);
	scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
	heap_kunit_check(test, heap, 0);
}

/* A sparse heap on this CPU, all of whose first 64 pages are backed and set aside. */
static struct goalloc_heap *cache_full(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct mspan *s = new_span(heap, 64, 1);

	if (!heap->page_caches)
		kunit_skip(test, "no page caches");
	KUNIT_ASSERT_NOT_NULL(test, s);
	for (u32 i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, goalloc_page_addr(i), 1), 1);
	mheap_return_span(s);
	s = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s);
	mheap_return_span(s);
	return heap;
}

/*
 * Who wants so many bytes has what is idle first, then what is set aside; without a
 * request what is set aside stays.
 */
static void mheap_cache_scavenge(struct kunit *test)
{
	int cpu = cache_pin(test, 0);
	struct goalloc_heap *heap = cache_full(test);

	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 1);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT - 1, SCAVENGE_LIMIT),
			GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 3 * GOALLOC_PAGE_SIZE, SCAVENGE_REQUEST),
			3 * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT - 1, SCAVENGE_REQUEST),
			60 * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);

	heap = cache_full(test);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
			64 * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	heap_kunit_check(test, heap, 0);
}

/* Without address space for more what others have set aside is not lost. */
static void mheap_cache_others(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	int cpu = cache_pin(test, 0);
	u64 last = GOALLOC_HEAP_END - PALLOC_CHUNK_SIZE;
	struct mspan *s[3];

	if (num_online_cpus() < 2 || !heap->page_caches)
		kunit_skip(test, "needs two CPUs with page caches");
	heap->cur_arena = last;
	s[0] = new_span(heap, 2, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 62);
	cache_pin(test, 1);
	s[1] = new_span(heap, PALLOC_CHUNK_PAGES - 64, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	s[2] = new_span(heap, 62, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[2]);
	KUNIT_EXPECT_EQ(test, s[2]->start_addr, last + 2 * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), PALLOC_CHUNK_PAGES);
	KUNIT_EXPECT_NULL(test, new_span(heap, 1, 1));
	for (u32 i = 0; i < ARRAY_SIZE(s); i++)
		mheap_return_span(s[i]);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_CHUNK_PAGES);
}

static void cache_cpu_back(void *cpu)
{
	heap_kunit_add_cpu((long)cpu);
}

/* A CPU goes: what it has set aside comes back, and only that. */
static void mheap_cache_cpu_dead(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0), *other;
	struct mspan *s[2], *t;
	int cpu, cpu0;

	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || num_online_cpus() < 2)
		kunit_skip(test, "needs a CPU that can go");
	other = heap_kunit_create(test, BACKING_LINEAR, 0);
	cpu = cache_pin(test, 1);
	s[1] = new_span(heap, 1, 1);
	t = new_span(other, 3, 1);
	cpu0 = cache_pin(test, 0);
	s[0] = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	KUNIT_EXPECT_EQ(test, cache_pages(other, cpu), 61);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu0), 63);

	if (remove_cpu(cpu))
		kunit_skip(test, "the CPU cannot go");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, cache_cpu_back,
							(void *)(long)cpu), 0);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 0);
	KUNIT_EXPECT_EQ(test, cache_pages(other, cpu), 0);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu0), 63);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_HALF_PAGES);
	/* Its pages are the lowest that are free. */
	KUNIT_EXPECT_EQ(test, heap->pages.search_addr, GOALLOC_HEAP_BASE + GOALLOC_PAGE_SIZE);
	heap_kunit_check(test, heap, 0);
	heap_kunit_check(test, other, 0);
	mheap_return_span(s[1]);
	mheap_flush_page_caches(heap);
	kunit_release_action(test, cache_cpu_back, (void *)(long)cpu);
	KUNIT_ASSERT_TRUE(test, cpu_online(cpu));
	cache_pin(test, 1);
	s[1] = new_span(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_EXPECT_EQ(test, cache_pages(heap, cpu), 63);
	heap_kunit_check(test, heap, 0);
}

/*
 * All CPUs make and return spans, most of them short, each page with a byte of
 * its own in it; somebody flushes and gives back.
 */
#define CACHE_SPANS	24
#define CACHE_OPS	1000

struct cache_work {
	struct goalloc_heap *heap;
	atomic_t left;		/* who still works */
};

static bool cache_write(struct goalloc_heap *heap, struct mspan *s, u8 byte)
{
	if (heap->backing == BACKING_SPARSE)
		return sparse_kunit_touch(heap, s->start_addr, byte) == 1;
	*(u8 *)s->base = byte;
	return true;
}

static bool cache_is(struct goalloc_heap *heap, struct mspan *s, u8 byte)
{
	u8 is = 0;

	if (heap->backing == BACKING_SPARSE)
		return sparse_kunit_move(heap, s->start_addr, &is, 1, false) == 1 && is == byte;
	return *(u8 *)s->base == byte;
}

static void cache_crew(struct crew *crew, u32 who)
{
	struct cache_work *w = crew->arg;
	struct mspan *s[CACHE_SPANS] = {};
	struct rnd_state rnd;

	prandom_seed_state(&rnd, mheap_seed + who);
	for (u32 op = 0; who ? op < CACHE_OPS : atomic_read(&w->left); op++) {
		u32 r = prandom_u32_state(&rnd), i = (r >> 8) % CACHE_SPANS;

		cond_resched();
		if (READ_ONCE(crew->stop))
			break;
		if (!who) {
			if (r & 1)
				mheap_flush_page_caches(w->heap);
			else
				scavenge(w->heap, r & 2 ? GOALLOC_NO_LIMIT : SZ_64K,
					 SCAVENGE_REQUEST);
			schedule_timeout_uninterruptible(1);
			continue;
		}
		if (s[i]) {
			if (!cache_is(w->heap, s[i], who * CACHE_SPANS + i))
				atomic_inc(&crew->bad);
			mheap_return_span(s[i]);
			s[i] = NULL;
			continue;
		}
		s[i] = new_span(w->heap, 1 + (r >> 16) % (r & 7 ? 6 : 40), 1);
		if (!s[i] || !cache_write(w->heap, s[i], who * CACHE_SPANS + i))
			atomic_inc(&crew->bad);
	}
	for (u32 i = 0; i < CACHE_SPANS; i++)
		if (s[i])
			mheap_return_span(s[i]);
	if (who)
		atomic_dec(&w->left);
}

static void mheap_cache_threads(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	for (u32 round = 0; round < 4; round++) {
		struct cache_work w = {
			.heap = heap_kunit_create(test, backings[round % 2], 0),
			.left = ATOMIC_INIT(4),
		};

		crew_run(test, crew, 5, 0, cache_crew, &w);
		heap_kunit_check(test, w.heap, 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(w.heap), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(w.heap) + w.heap->pages_idle,
				w.heap->pages_sys);
		scavenge(w.heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		KUNIT_EXPECT_EQ(test, atomic64_read(&w.heap->backed), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(w.heap), w.heap->pages_sys);
		heap_kunit_check(test, w.heap, 0);
		heap_kunit_end(test, w.heap);
	}
}

/* All heaps by number, each once; from one that has left its place, too. */
static void mheap_all_heaps(struct kunit *test)
{
	struct goalloc_heap *mine[4], *heap = NULL;
	u64 last = 0;
	u32 n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(mine); i++)
		mine[i] = heap_kunit_create(test, i & 1 ? BACKING_LINEAR : BACKING_SPARSE, 0);
	while ((heap = mheap_next(heap))) {
		KUNIT_EXPECT_TRUE(test, heap == goalloc_kernel_heap || heap->id > last);
		last = heap->id;
		if (n < ARRAY_SIZE(mine) && heap == mine[n])
			n++;
		if (heap != mine[1])
			continue;
		/* As if somebody waited for us to end it, and its neighbour had gone. */
		WRITE_ONCE(heap->ending, true);
		heap_kunit_end(test, mine[2]);
		mine[2] = mine[3];
	}
	WRITE_ONCE(mine[1]->ending, false);
	KUNIT_EXPECT_EQ(test, n, 3);
	for (u32 i = 0; i < ARRAY_SIZE(mine); i++)
		KUNIT_EXPECT_EQ(test, refcount_read(&mine[i]->users), 1);
}

/* For what cannot be had nothing is built. */
static void mheap_hopeless(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u64 most = totalram_pages() << PAGE_SHIFT;

	KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(heap, most + 1, 0, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(heap, 1ULL << 40, 0, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, heap->pages_sys, 0);
	KUNIT_EXPECT_EQ(test, heap->cur_arena, GOALLOC_HEAP_BASE);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case mheap_cases[] = {
	KUNIT_CASE(mheap_params),
	KUNIT_CASE(mheap_growth),
	KUNIT_CASE_SLOW(mheap_spans_linear),
	KUNIT_CASE_SLOW(mheap_spans_sparse),
	KUNIT_CASE_PARAM(mheap_max, max_gen_params),
	KUNIT_CASE_SLOW(mheap_huge),
	KUNIT_CASE(mheap_space_end),
	KUNIT_CASE(mheap_leaks),
	KUNIT_CASE(mheap_all_heaps),
	KUNIT_CASE(mheap_hopeless),
	KUNIT_CASE_PARAM(mheap_cache_locks, cache_gen_params),
	KUNIT_CASE(mheap_cache_returned),
	KUNIT_CASE(mheap_cache_not_returned),
	KUNIT_CASE(mheap_cache_returned_elsewhere),
	KUNIT_CASE(mheap_cache_over_limit),
	KUNIT_CASE(mheap_cache_unused),
	KUNIT_CASE(mheap_cache_scavenged),
	KUNIT_CASE(mheap_cache_block),
	KUNIT_CASE(mheap_cache_scavenge),
	KUNIT_CASE(mheap_cache_others),
	KUNIT_CASE_SLOW(mheap_cache_cpu_dead),
	KUNIT_CASE_SLOW(mheap_cache_threads),
	{}
};

static struct kunit_suite mheap_suite = {
	.name = "goalloc_mheap",
	.init = heap_kunit_stay,
	.test_cases = mheap_cases,
};

kunit_test_suite(mheap_suite);

GOALLOC_KUNIT_IMPORT;
