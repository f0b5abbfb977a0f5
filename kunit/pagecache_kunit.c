// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_pagecache: a CPU's pages set aside.
 *
 * Tables first: what a cache holds, the runs asked of it and where they are
 * found, what is left; a case is added by a row. Then the way of pages from a
 * page allocator through caches and back, by random work of several caches on
 * one heap, against plain arrays: a byte for each page says where it is, and
 * another whether it is scavenged.
 *
 * The heap is a page allocator and its chunks, with nothing behind them, so
 * that it may lie anywhere in the address space.
 *
 * Units: heap pages, chunks by their index. The seed of random cases is
 * printed; the parameter pagecache_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../goalloc/compat.h"
#include "../goalloc/pagealloc.h"
#include "../goalloc/pagecache.h"

#define PAGES		PALLOC_CHUNK_PAGES
#define LAST_CHUNK	(GOALLOC_NR_CHUNKS - 1)
#define NONE		(~0U)

static ulong pagecache_seed;
module_param(pagecache_seed, ulong, 0444);
MODULE_PARM_DESC(pagecache_seed, "seed of goalloc_pagecache, 0 for any");

static u64 addr_at(u32 chunk, u32 i)
{
	return goalloc_chunk_base(chunk) + (u64)i * GOALLOC_PAGE_SIZE;
}

/* The calls, each under the lock: nothing may be asserted while it is held. */
static u64 cache_alloc(struct page_cache *c, u32 n, u32 block, u32 *scav)
{
	unsigned long flags;
	u64 addr;

	*scav = 0;
	raw_spin_lock_irqsave(&c->lock, flags);
	addr = page_cache_take(c, n, block, scav);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return addr;
}

static u32 cache_back(struct page_cache *c, u64 addr, u32 n)
{
	unsigned long flags;
	u32 changed;

	raw_spin_lock_irqsave(&c->lock, flags);
	changed = page_cache_back(c, addr, n);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return changed;
}

/*
 * What a cache does. @pages and @scavenged are lists of the 64 pages, as
 * bitmap_parselist() reads them; each call asks for @n pages that do not cross
 * between blocks of @block, expects them at @at (NONE: there are none) with
 * @scav of them scavenged; B says that @n pages from page @at of the chunk on,
 * which may be anywhere, have memory now.
 */
struct cache_call {
	char op;
	u32 n, block, at, scav;
};

static const struct cache_case {
	const char *name;
	u32 chunk, word;
	const char *pages, *scavenged;
	struct cache_call calls[10];
	const char *pages_after, *scavenged_after;
} cache_cases[] = {
	{
		"nothing in it", 0, 0, "", "",
		{ { 'A', 1, 256, NONE }, { 'A', 15, 256, NONE },
		  { 'B', 512, 0, 0, 0 } },
		"", "",
	}, {
		"the lowest page, the highest page", 3, 7, "0,63", "63",
		{ { 'A', 2, 256, NONE }, { 'A', 1, 256, 0, 0 },
		  { 'A', 1, 256, 63, 1 }, { 'A', 1, 256, NONE } },
		"", "",
	}, {
		"one after the other", LAST_CHUNK, 2, "0-63", "3-4",
		{ { 'A', 1, 256, 0, 0 }, { 'A', 2, 256, 1, 0 },
		  { 'A', 3, 256, 3, 2 }, { 'A', 15, 256, 6, 0 },
		  { 'A', 15, 256, 21, 0 }, { 'A', 15, 256, 36, 0 },
		  { 'A', 15, 256, NONE }, { 'A', 12, 256, 51, 0 },
		  { 'A', 1, 256, 63, 0 } },
		"", "",
	}, {
		"the lowest that fits", 0, 1, "1,4-5,8-10,20-34,40-63", "0-63",
		{ { 'A', 4, 256, 20, 4 }, { 'A', 3, 256, 8, 3 },
		  { 'A', 2, 256, 4, 2 }, { 'A', 12, 256, 40, 12 },
		  { 'A', 12, 256, 52, 12 }, { 'A', 12, 256, NONE },
		  { 'A', 11, 256, 24, 11 }, { 'A', 1, 256, 1, 1 },
		  { 'A', 1, 256, NONE } },
		"", "",
	}, {
		"every other page", 9, 0, "0-63:1/2", "0-63:1/4",
		{ { 'A', 2, 256, NONE }, { 'A', 1, 256, 0, 1 },
		  { 'A', 1, 256, 2, 0 }, { 'A', 1, 256, 4, 1 } },
		"6-63:1/2", "8-63:1/4",
	}, {
		"of all lengths one page too short", 0x10000, 5,
		"0-13,15-28,30-43,45-58,60-63", "0-13",
		{ { 'A', 15, 256, NONE }, { 'A', 14, 256, 0, 14 },
		  { 'A', 14, 256, 15, 0 }, { 'A', 5, 256, 30, 0 },
		  { 'A', 10, 256, 45, 0 }, { 'A', 9, 256, 35, 0 } },
		"55-58,60-63", "",
	}, {
		"blocks of 16", 1, 0, "9-63", "15-16,20-40",
		{ { 'A', 8, 16, 16, 5 }, { 'A', 7, 16, 9, 1 },
		  { 'A', 9, 16, 32, 9 }, { 'A', 8, 16, 24, 8 },
		  { 'A', 8, 16, 48, 0 }, { 'A', 8, 16, 56, 0 },
		  { 'A', 8, 16, NONE }, { 'A', 7, 16, 41, 0 } },
		"", "",
	}, {
		"blocks of 16 with room at both their ends", 1, 3, "10-21", "",
		{ { 'A', 7, 16, NONE }, { 'A', 7, 32, 10, 0 },
		  { 'A', 5, 16, 17, 0 } },
		"", "",
	}, {
		"blocks of 32", 2, 4, "0-63", "31-32",
		{ { 'A', 15, 32, 0, 0 }, { 'A', 15, 32, 15, 0 },
		  { 'A', 4, 32, 32, 1 }, { 'A', 2, 32, 30, 1 },
		  { 'A', 15, 32, 36, 0 }, { 'A', 14, 32, NONE },
		  { 'A', 13, 32, 51, 0 } },
		"", "",
	}, {
		"blocks of a set", 2, 6, "20-40,60-63", "",
		{ { 'A', 15, 64, 20, 0 }, { 'A', 6, 64, 35, 0 },
		  { 'A', 5, 64, NONE }, { 'A', 4, 64, 60, 0 } },
		"", "",
	}, {
		"pages get memory", 70000, 2, "0-9,20-63", "5,20-63",
		{ { 'B', 1, 0, 128 + 4, 0 }, { 'B', 2, 0, 128 + 4, 1 },
		  { 'B', 16, 0, 128 + 16, 12 }, { 'B', 16, 0, 128 + 16, 0 },
		  { 'B', 2, 0, 126, 0 }, { 'B', 64, 0, 192, 0 },
		  { 'B', 12, 0, 128 + 60, 4 }, { 'A', 14, 256, 20, 2 },
		  { 'B', 512, 0, 0, 26 } },
		"0-9,34-63", "",
	}, {
		"memory from below, from above, all around", 0, 0, "0-63",
		"0-63",
		{ { 'B', 1, 0, 0, 1 }, { 'B', 1, 0, 63, 1 },
		  { 'B', 256, 0, 60, 3 }, { 'B', 256, 0, 256, 0 },
		  { 'B', 256, 0, 0, 59 }, { 'A', 10, 256, 0, 0 } },
		"10-63", "",
	},
};

KUNIT_ARRAY_PARAM_DESC(cache, cache_cases, name);

static u64 parse(struct kunit *test, const char *list)
{
	DECLARE_BITMAP(bits, 64);

	KUNIT_ASSERT_EQ_MSG(test, bitmap_parselist(list, bits, 64), 0,
			    "the table says \"%s\"", list);
	return bits[0];
}

static void expect_pages(struct kunit *test, const char *what, u64 got, u64 want)
{
	unsigned long g = got, w = want;

	if (got != want)
		KUNIT_FAIL(test, "%s: got %*pbl, want %*pbl\n", what, 64, &g,
			   64, &w);
}

static void pagecache_table(struct kunit *test)
{
	const struct cache_case *row = test->param_value;
	struct page_cache *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	u32 scav;

	KUNIT_ASSERT_NOT_NULL(test, c);
	page_cache_init(c);
	KUNIT_EXPECT_TRUE(test, page_cache_empty(c));
	c->set.base = addr_at(row->chunk, row->word * 64);
	c->set.pages = parse(test, row->pages);
	c->set.scavenged = parse(test, row->scavenged) & c->set.pages;

	for (u32 k = 0; k < ARRAY_SIZE(row->calls) && row->calls[k].op; k++) {
		const struct cache_call *call = &row->calls[k];
		u64 want = 0;

		if (call->op == 'B') {
			scav = cache_back(c, addr_at(row->chunk, call->at),
					  call->n);
		} else {
			if (call->at != NONE)
				want = addr_at(row->chunk,
					       row->word * 64 + call->at);
			KUNIT_EXPECT_EQ_MSG(test,
					    cache_alloc(c, call->n,
							call->block, &scav),
					    want, "call %u", k);
		}
		KUNIT_EXPECT_EQ_MSG(test, scav, call->scav, "call %u", k);
		KUNIT_EXPECT_EQ(test, page_cache_empty(c), !c->set.pages);
	}
	expect_pages(test, "pages", c->set.pages, parse(test, row->pages_after));
	expect_pages(test, "scavenged", c->set.scavenged,
		     parse(test, row->scavenged_after));
}

/* Several caches on one heap, and where each page of it is. */
#define CACHES		4
#define CHUNKS		4

enum {
	IN_HEAP,		/* free */
	IN_RUN,			/* allocated */
	IN_CACHE,		/* and those after it: in that cache */
};

struct run {
	u64 addr;
	u32 n;
};

struct heap {
	struct pagealloc p;
	raw_spinlock_t lock;
	struct page_cache caches[CACHES];
	struct palloc_chunk *chunk[CHUNKS];
	u32 block[CHUNKS][2];
	u8 where[CHUNKS][PAGES];
	u8 scavenged[CHUNKS][PAGES];
	struct run runs[500];
	u32 nr_runs;
	u32 hits, fills, flushes, backed;
	struct rnd_state rnd;
};

/* None is another's neighbour, so runs end with their chunk. */
static const u32 heap_chunks[CHUNKS] = { 0, 7, 100000, LAST_CHUNK };

static u32 below(struct heap *h, u32 n)
{
	return prandom_u32_state(&h->rnd) % n;
}

static u32 chunk_of(u64 addr)
{
	u32 k = 0;

	while (heap_chunks[k] != goalloc_chunk_index(addr))
		k++;
	return k;
}

/* Is there a wall below the page, inside its chunk? */
static bool slow_wall(const struct heap *h, u32 k, u32 i)
{
	u32 above = h->block[k][i / 256];
	u32 beneath = i ? h->block[k][(i - 1) / 256] : 0;

	return (above && i % above == 0) || (beneath && i % beneath == 0);
}

/*
 * The lowest run of @n in [lo, hi) of a chunk that is all at @where, and does
 * not cross a wall, or a multiple of @block; or NONE.
 */
static u32 slow_find(const struct heap *h, u32 k, u32 lo, u32 hi, u32 n,
		     u32 where, u32 block)
{
	u32 run = 0;

	for (u32 i = lo; i < hi; i++) {
		if (block ? i % block == 0 : slow_wall(h, k, i))
			run = 0;
		run = h->where[k][i] == where ? run + 1 : 0;
		if (run == n)
			return i + 1 - n;
	}
	return NONE;
}

/* Pages move; returns how many of them are scavenged. */
static u32 slow_move(struct heap *h, u64 addr, u32 n, u8 where)
{
	u32 k = chunk_of(addr), i = goalloc_chunk_page(addr), scav = 0;

	for (; n--; i++) {
		h->where[k][i] = where;
		scav += h->scavenged[k][i];
		if (where == IN_RUN)
			h->scavenged[k][i] = 0;
	}
	return scav;
}

/* Alloc bits of the heap: all that is not in it; scavenged bits: where it is. */
static void check(struct kunit *test, struct heap *h)
{
	for (u32 k = 0; k < CHUNKS; k++) {
		DECLARE_BITMAP(used, PAGES);
		DECLARE_BITMAP(scavenged, PAGES);

		for (u32 i = 0; i < PAGES; i++) {
			__assign_bit(i, used, h->where[k][i] != IN_HEAP);
			__assign_bit(i, scavenged,
				     h->scavenged[k][i] &&
				     h->where[k][i] < IN_CACHE);
		}
		if (!bitmap_equal(used, h->chunk[k]->data.alloc.b, PAGES))
			KUNIT_FAIL(test, "chunk %u in use: got %*pbl, want %*pbl\n",
				   heap_chunks[k], PAGES,
				   h->chunk[k]->data.alloc.b, PAGES, used);
		if (!bitmap_equal(scavenged, h->chunk[k]->data.scavenged.b,
				  PAGES))
			KUNIT_FAIL(test, "chunk %u scavenged: got %*pbl, want %*pbl\n",
				   heap_chunks[k], PAGES,
				   h->chunk[k]->data.scavenged.b, PAGES,
				   scavenged);
	}

	for (u32 c = 0; c < CACHES; c++) {
		const struct pagealloc_set *set = &h->caches[c].set;
		u64 pages = 0, scavenged = 0, base = 0;

		for (u32 k = 0; k < CHUNKS; k++) {
			for (u32 i = 0; i < PAGES; i++) {
				if (h->where[k][i] != IN_CACHE + c)
					continue;
				base = addr_at(heap_chunks[k], i & ~63U);
				pages |= BIT_ULL(i % 64);
				if (h->scavenged[k][i])
					scavenged |= BIT_ULL(i % 64);
			}
		}
		if (pages)
			KUNIT_EXPECT_EQ(test, set->base, base);
		expect_pages(test, "pages of a cache", set->pages, pages);
		expect_pages(test, "scavenged pages of a cache", set->scavenged,
			     scavenged);
	}
}

static void random_fill(struct kunit *test, struct heap *h, u32 c)
{
	struct page_cache *cache = &h->caches[c];
	struct pagealloc_set set;
	u32 k, i = NONE;
	bool got;

	if (!page_cache_empty(cache))
		return;
	for (k = 0; k < CHUNKS; k++) {
		i = slow_find(h, k, 0, PAGES, 1, IN_HEAP, 0);
		if (i != NONE)
			break;
	}
	raw_spin_lock(&h->lock);
	got = pagealloc_take_set(&h->p, &set);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, got, i != NONE);
	if (!got)
		return;
	cache->set = set;
	h->fills++;
	i &= ~63U;
	KUNIT_ASSERT_EQ(test, set.base, addr_at(heap_chunks[k], i));
	for (u32 at = i; at < i + 64; at++)
		if (h->where[k][at] == IN_HEAP)
			h->where[k][at] = IN_CACHE + c;
}

static void random_flush(struct kunit *test, struct heap *h, u32 c)
{
	struct pagealloc_set *set = &h->caches[c].set;
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_give_set(&h->p, set);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, ret, 0);
	*set = (struct pagealloc_set){};
	for (u32 k = 0; k < CHUNKS; k++)
		for (u32 i = 0; i < PAGES; i++)
			if (h->where[k][i] == IN_CACHE + c)
				h->where[k][i] = IN_HEAP;
	h->flushes++;
}

static void random_alloc(struct kunit *test, struct heap *h, u32 c)
{
	u32 n = 1 + below(h, PAGE_CACHE_RUN_MAX), block, k, i, scav, want;
	struct page_cache *cache = &h->caches[c];
	u64 addr;

	if (h->nr_runs == ARRAY_SIZE(h->runs) || page_cache_empty(cache))
		return;
	k = chunk_of(cache->set.base);
	i = goalloc_chunk_page(cache->set.base);
	block = h->block[k][i / 256] ?: 256;
	want = slow_find(h, k, i, i + 64, n, IN_CACHE + c, block);

	addr = cache_alloc(cache, n, block, &scav);
	KUNIT_ASSERT_EQ_MSG(test, addr, want == NONE ? 0 :
			    addr_at(heap_chunks[k], want), "%u pages", n);
	if (!addr)
		return;
	KUNIT_ASSERT_EQ(test, slow_move(h, addr, n, IN_RUN), scav);
	h->runs[h->nr_runs++] = (struct run){ addr, n };
	h->hits++;
}

/* Past the caches. */
static void random_alloc_long(struct kunit *test, struct heap *h)
{
	u32 n = 1 + below(h, below(h, 2) ? 300 : 20), k, i = NONE;
	u64 addr, scav = 0;

	if (h->nr_runs == ARRAY_SIZE(h->runs))
		return;
	for (k = 0; k < CHUNKS; k++) {
		i = slow_find(h, k, 0, PAGES, n, IN_HEAP, 0);
		if (i != NONE)
			break;
	}
	raw_spin_lock(&h->lock);
	addr = pagealloc_alloc(&h->p, n, &scav);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, addr,
			i == NONE ? 0 : addr_at(heap_chunks[k], i));
	if (!addr)
		return;
	KUNIT_ASSERT_EQ(test, slow_move(h, addr, n, IN_RUN), scav);
	h->runs[h->nr_runs++] = (struct run){ addr, n };
}

static void random_free(struct kunit *test, struct heap *h)
{
	struct run *run;
	int ret;

	if (!h->nr_runs)
		return;
	run = &h->runs[below(h, h->nr_runs)];
	raw_spin_lock(&h->lock);
	ret = pagealloc_free(&h->p, run->addr, run->n);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, ret, 0);
	slow_move(h, run->addr, run->n, IN_HEAP);
	*run = h->runs[--h->nr_runs];
}

/* A range gets memory, wherever its pages are: as when a block is backed. */
static void random_back(struct kunit *test, struct heap *h)
{
	u32 k = below(h, CHUNKS), i = below(h, PAGES);
	u32 n = 1 + below(h, PAGES - i), want[CACHES + IN_CACHE] = {};
	u64 addr = addr_at(heap_chunks[k], i), got;

	for (u32 at = i; at < i + n; at++) {
		want[h->where[k][at]] += h->scavenged[k][at];
		h->scavenged[k][at] = 0;
	}
	raw_spin_lock(&h->lock);
	got = pagealloc_clear_scavenged(&h->p, addr, n);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, got, want[IN_HEAP] + want[IN_RUN]);
	for (u32 c = 0; c < CACHES; c++) {
		KUNIT_ASSERT_EQ(test, cache_back(&h->caches[c], addr, n),
				want[IN_CACHE + c]);
		h->backed += want[IN_CACHE + c];
	}
}

/* Free pages lose their memory. */
static void random_scavenge(struct kunit *test, struct heap *h)
{
	u32 k = below(h, CHUNKS), hi = 1 + below(h, PAGES), i, n;
	u64 got;

	i = palloc_find_scavenge_candidate(h->chunk[k], 0, hi,
					   1U << below(h, 5),
					   1 + below(h, 200), &n);
	if (i == PALLOC_NONE)
		return;
	raw_spin_lock(&h->lock);
	got = pagealloc_set_scavenged(&h->p, addr_at(heap_chunks[k], i), n);
	raw_spin_unlock(&h->lock);
	KUNIT_ASSERT_EQ(test, got, n);
	for (u32 at = i; at < i + n; at++) {
		KUNIT_ASSERT_EQ(test, h->where[k][at], IN_HEAP);
		KUNIT_ASSERT_EQ(test, h->scavenged[k][at], 0);
		h->scavenged[k][at] = 1;
	}
}

static void new_heap(struct kunit *test, struct heap *h)
{
	static const u32 blocks[] = { 0, 0, 16, 32, 64, 128, 256 };

	raw_spin_lock_init(&h->lock);
	pagealloc_init(&h->p, &h->lock);
	for (u32 c = 0; c < CACHES; c++)
		page_cache_init(&h->caches[c]);
	memset(h->scavenged, 1, sizeof(h->scavenged));

	for (u32 k = 0; k < CHUNKS; k++) {
		u64 addr = addr_at(heap_chunks[k], 0);
		int ret;

		h->chunk[k] = kunit_kzalloc(test, sizeof(*h->chunk[k]),
					    GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, h->chunk[k]);
		KUNIT_ASSERT_EQ(test, pagealloc_prepare(&h->p, addr,
							h->chunk[k],
							GFP_KERNEL), 0);
		raw_spin_lock(&h->lock);
		ret = pagealloc_grow(&h->p, addr, 1);
		for (u32 half = 0; half < 2; half++) {
			h->block[k][half] = blocks[below(h, ARRAY_SIZE(blocks))];
			ret = ret ?: pagealloc_set_block(&h->p,
					addr_at(heap_chunks[k], half * 256),
					h->block[k][half]);
		}
		raw_spin_unlock(&h->lock);
		KUNIT_ASSERT_EQ(test, ret, 0);
	}
}

static int pagecache_test_init(struct kunit *test)
{
	test->priv = NULL;
	return 0;
}

/* Runs after a failed assertion as well. */
static void pagecache_test_exit(struct kunit *test)
{
	struct heap *h = test->priv;

	if (h && h->p.lock)
		pagealloc_destroy(&h->p);
}

static void pagecache_random(struct kunit *test)
{
	struct heap *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	ulong seed = pagecache_seed ?: get_random_u32() | 1;
	u32 frees = 2;

	KUNIT_ASSERT_NOT_NULL(test, h);
	test->priv = h;
	prandom_seed_state(&h->rnd, seed);
	kunit_info(test, "pagecache_seed=%lu\n", seed);
	new_heap(test, h);

	for (u32 step = 0; step < 12000; step++) {
		u32 c = below(h, CACHES);

		/* The heap fills up and empties by turns. */
		if (step % 400 == 0)
			frees = 1 + below(h, 9);
		switch (below(h, 32)) {
		case 0:
			random_flush(test, h, c);
			break;
		case 1:
			random_back(test, h);
			break;
		case 2:
		case 8:
			random_scavenge(test, h);
			break;
		case 3:
			random_alloc_long(test, h);
			break;
		case 4 ... 7:
			random_fill(test, h, c);
			break;
		default:
			if (below(h, 10) < frees)
				random_free(test, h);
			else
				random_alloc(test, h, c);
		}
		if (step % 16 == 0)
			check(test, h);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "step %u\n", step);
			return;
		}
	}
	check(test, h);
	kunit_info(test, "%u runs of caches, filled %u times, flushed %u times, %u pages backed in them\n",
		   h->hits, h->fills, h->flushes, h->backed);
	KUNIT_EXPECT_GT(test, h->hits, 0);

	/* All of it back: no page is lost, and none is there twice. */
	for (u32 c = 0; c < CACHES; c++)
		random_flush(test, h, c);
	while (h->nr_runs)
		random_free(test, h);
	check(test, h);
	for (u32 k = 0; k < CHUNKS; k++)
		KUNIT_EXPECT_TRUE(test, bitmap_empty(h->chunk[k]->data.alloc.b,
						     PAGES));
}

static struct kunit_case pagecache_cases[] = {
	KUNIT_CASE_PARAM(pagecache_table, cache_gen_params),
	KUNIT_CASE_SLOW(pagecache_random),
	{}
};

static struct kunit_suite pagecache_suite = {
	.name = "goalloc_pagecache",
	.init = pagecache_test_init,
	.exit = pagecache_test_exit,
	.test_cases = pagecache_cases,
};

kunit_test_suite(pagecache_suite);

GOALLOC_KUNIT_IMPORT;
