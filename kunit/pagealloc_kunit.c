// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_pagealloc: the radix tree over the chunks.
 *
 * A test heap is a page allocator with its own lock and chunks at chosen
 * places, and beside it a slow twin: two bytes a page, looked at page by page.
 * Whatever is done is done to both, and after it every bit, every summary on
 * the way from those chunks to the root, search_addr and the bounds are
 * compared with what the bytes say.
 *
 * Tables first: chunks before, calls and their answers, chunks after; a case
 * is added by a row. Bits are written as bitmap_parselist() reads them and
 * %*pbl prints them. Then random work, broken calls, failing allocation of
 * nodes, and chunks that come and go from several threads at once.
 *
 * Units: heap pages, chunks by their index. The seed of random cases is
 * printed; the parameter pagealloc_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu_counter.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../goalloc/compat.h"
#include "../goalloc/pagealloc.h"

#define PAGES		PALLOC_CHUNK_PAGES
#define LAST_CHUNK	(GOALLOC_NR_CHUNKS - 1)
#define NOWHERE		(~0U)

static ulong pagealloc_seed;
module_param(pagealloc_seed, ulong, 0444);
MODULE_PARM_DESC(pagealloc_seed, "seed of goalloc_pagealloc, 0 for any");

struct chunk {
	u32 idx;
	u8 used[PAGES];
	u8 scavenged[PAGES];
	u32 block[2];
	struct palloc_chunk *c;
};

/* Chunks are in order of their index, all of them grown. */
struct heap {
	struct pagealloc p;
	raw_spinlock_t lock;
	u32 nr_chunks;
	struct chunk *chunks;
	struct percpu_counter meta_total;
	struct pagealloc_set set;	/* of a table's call */
	u32 found_elsewhere;	/* than where the run then was */
	u32 nodes_asked;
	u32 fail_at;	/* which of them is to fail, from 1 */
};

static u64 page_at(u32 chunk, u32 i)
{
	return ((u64)chunk << PALLOC_CHUNK_PAGE_SHIFT) + i;
}

static u64 addr_at(u32 chunk, u32 i)
{
	return goalloc_page_addr(page_at(chunk, i));
}

/* The calls, each under the lock: nothing may be asserted while it is held. */
static int heap_grow(struct heap *h, u64 base, u64 n)
{
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_grow(&h->p, base, n);
	raw_spin_unlock(&h->lock);
	return ret;
}

static u64 heap_alloc(struct heap *h, u64 n, u64 align, u64 *scav)
{
	u64 found, addr;

	*scav = 0;
	raw_spin_lock(&h->lock);
	found = pagealloc_find_run(&h->p, n, align ?: 1);
	if (align)
		addr = pagealloc_alloc_aligned(&h->p, n, align, scav);
	else
		addr = pagealloc_alloc(&h->p, n, scav);
	raw_spin_unlock(&h->lock);
	h->found_elsewhere += found != addr;
	return addr;
}

static u64 heap_alloc_range(struct heap *h, u64 base, u64 n)
{
	u64 scav;

	raw_spin_lock(&h->lock);
	scav = pagealloc_alloc_range(&h->p, base, n);
	raw_spin_unlock(&h->lock);
	return scav;
}

static u64 heap_try_range(struct heap *h, u64 base, u64 n)
{
	u64 scav;

	raw_spin_lock(&h->lock);
	scav = pagealloc_try_range(&h->p, base, n);
	raw_spin_unlock(&h->lock);
	return scav;
}

static int heap_ungrow(struct heap *h, u64 base)
{
	struct pagealloc_node *gone = NULL;
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_ungrow(&h->p, base, &gone);
	raw_spin_unlock(&h->lock);
	/* Nobody reads. */
	pagealloc_free_nodes(&h->p, gone);
	return ret;
}

static int heap_free(struct heap *h, u64 base, u64 n)
{
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_free(&h->p, base, n);
	raw_spin_unlock(&h->lock);
	return ret;
}

static int heap_set_block(struct heap *h, u64 addr, u16 block)
{
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_set_block(&h->p, addr, block);
	raw_spin_unlock(&h->lock);
	return ret;
}

static bool heap_take_set(struct heap *h, struct pagealloc_set *set)
{
	bool ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_take_set(&h->p, set);
	raw_spin_unlock(&h->lock);
	return ret;
}

static int heap_give_set(struct heap *h, const struct pagealloc_set *set)
{
	int ret;

	raw_spin_lock(&h->lock);
	ret = pagealloc_give_set(&h->p, set);
	raw_spin_unlock(&h->lock);
	return ret;
}

typedef u64 (*scavenged_fn)(struct pagealloc *p, u64 base, u64 n);

static u64 heap_scavenged(struct heap *h, scavenged_fn fn, u64 base, u64 n)
{
	u64 count;

	raw_spin_lock(&h->lock);
	count = fn(&h->p, base, n);
	raw_spin_unlock(&h->lock);
	return count;
}

/* The slow twin. */
static struct chunk *slow_chunk(struct heap *h, u32 idx)
{
	for (u32 k = 0; k < h->nr_chunks; k++)
		if (h->chunks[k].idx == idx)
			return &h->chunks[k];
	return NULL;
}

/* NULL if the page was not grown. */
static u8 *slow_page(struct heap *h, u64 page, bool scavenged)
{
	struct chunk *k = slow_chunk(h, page / PAGES);

	if (!k)
		return NULL;
	return scavenged ? &k->scavenged[page % PAGES] : &k->used[page % PAGES];
}

/* Set the bytes of a range; returns how many changed. */
static u64 slow_set(struct heap *h, u64 page, u64 n, bool scavenged, u8 to)
{
	u64 changed = 0;

	while (n) {
		u64 part = min_t(u64, n, PAGES - page % PAGES);
		u8 *bytes = slow_page(h, page, scavenged);

		page += part;
		n -= part;
		while (part--) {
			changed += *bytes != to;
			*bytes++ = to;
		}
	}
	return changed;
}

static u64 slow_count(struct heap *h, u64 page, u64 n, bool scavenged)
{
	u64 count = 0;

	while (n--)
		count += *slow_page(h, page++, scavenged);
	return count;
}

/* A wall of the chunk's own below page @i of it. */
static bool slow_wall(const struct chunk *k, u32 i)
{
	for (u32 half = 0; half < 2; half++) {
		u32 lo = half * 256;

		if (k->block[half] && i >= lo && i <= lo + 256 &&
		    (i - lo) % k->block[half] == 0)
			return true;
	}
	return false;
}

/* The lowest run; GOALLOC_NR_PAGES if there is none. */
static u64 slow_find(struct heap *h, u64 n, u64 align)
{
	u64 base = 0, run = 0;

	for (u32 k = 0; k < h->nr_chunks; k++) {
		struct chunk *c = &h->chunks[k];

		if (k && c->idx != c[-1].idx + 1)
			run = 0;
		for (u32 i = 0; i < PAGES; i++) {
			if (slow_wall(c, i))
				run = 0;
			if (c->used[i]) {
				run = 0;
				continue;
			}
			if (!run++)
				base = page_at(c->idx, i);
			if (roundup(base, align) + n <= base + run)
				return roundup(base, align);
		}
		if (slow_wall(c, PAGES))
			run = 0;
	}
	return GOALLOC_NR_PAGES;
}

/* The summary of the chunks [lo, hi). */
static pallocsum slow_summary(struct heap *h, u32 lo, u32 hi)
{
	u32 start = 0, max = 0, run = 0, next = lo;
	bool first = true;

	for (u32 k = 0; k < h->nr_chunks; k++) {
		struct chunk *c = &h->chunks[k];

		if (c->idx < lo || c->idx >= hi)
			continue;
		if (c->idx != next) {
			first = false;
			run = 0;
		}
		for (u32 i = 0; i <= PAGES; i++) {
			if (slow_wall(c, i)) {
				first = false;
				run = 0;
			}
			if (i == PAGES)
				break;
			if (c->used[i]) {
				first = false;
				run = 0;
				continue;
			}
			run++;
			start += first;
			max = max(max, run);
		}
		next = c->idx + 1;
	}
	return pallocsum_pack(start, max, next == hi ? run : 0);
}

static void check_bytes(struct kunit *test, u32 idx, const char *what,
			const u8 *want, const struct palloc_bits *got)
{
	struct palloc_bits bits, diff;

	for (u32 i = 0; i < PAGES; i++)
		__assign_bit(i, bits.b, want[i]);
	if (bitmap_equal(bits.b, got->b, PAGES))
		return;
	bitmap_xor(diff.b, bits.b, got->b, PAGES);
	KUNIT_FAIL(test, "chunk %u: %s differ at %*pbl\n got: %*pbl\nwant: %*pbl\n",
		   idx, what, PAGES, diff.b, PAGES, got->b, PAGES, bits.b);
}

/* The nodes there are if each has a chunk below it. */
static u32 slow_nodes(struct heap *h)
{
	u32 nodes = 0;

	for (u32 level = 1; level < PAGEALLOC_LEVELS; level++) {
		u32 shift = 3 * (PAGEALLOC_LEVELS - level);

		for (u32 k = 0; k < h->nr_chunks; k++)
			nodes += !k || h->chunks[k].idx >> shift !=
				       h->chunks[k - 1].idx >> shift;
	}
	return nodes;
}

/* All that pagealloc.h says holds, and that the twins agree. */
static void check(struct kunit *test, struct heap *h)
{
	u64 lowest = GOALLOC_HEAP_END;

	for (u32 k = h->nr_chunks; k--;) {
		struct chunk *c = &h->chunks[k];
		const u8 *free = memchr(c->used, 0, PAGES);

		if (free)
			lowest = addr_at(c->idx, free - c->used);
		check_bytes(test, c->idx, "pages in use", c->used,
			    &c->c->data.alloc);
		check_bytes(test, c->idx, "scavenged pages", c->scavenged,
			    &c->c->data.scavenged);
	}
	KUNIT_EXPECT_LE_MSG(test, h->p.search_addr, lowest,
			    "a free page below search_addr");

	if (h->nr_chunks) {
		KUNIT_EXPECT_EQ(test, h->p.start, addr_at(h->chunks[0].idx, 0));
		KUNIT_EXPECT_EQ(test, h->p.end,
				addr_at(h->chunks[h->nr_chunks - 1].idx + 1, 0));
	} else {
		KUNIT_EXPECT_EQ(test, h->p.start, h->p.end);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes),
			slow_nodes(h) * sizeof(struct pagealloc_node));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&h->meta_total),
			atomic64_read(&h->p.meta_bytes));
	KUNIT_EXPECT_EQ_MSG(test, h->found_elsewhere, 0,
			    "pagealloc_find_run() found another run");

	for (u32 level = 0; level < PAGEALLOC_LEVELS; level++) {
		u32 shift = 3 * (PAGEALLOC_LEVELS - 1 - level);
		u32 done = NOWHERE;

		for (u32 k = 0; k < h->nr_chunks; k++) {
			u32 idx = h->chunks[k].idx >> shift;
			pallocsum got, want;

			if (idx == done)
				continue;
			done = idx;
			got = pagealloc_level_summary(&h->p, level, idx);
			want = slow_summary(h, idx << shift, (idx + 1) << shift);
			KUNIT_EXPECT_EQ_MSG(test, got, want,
					    "level %u, entry %u: got (%u, %u, %u), want (%u, %u, %u)",
					    level, idx, pallocsum_start(got),
					    pallocsum_max(got),
					    pallocsum_end(got),
					    pallocsum_start(want),
					    pallocsum_max(want),
					    pallocsum_end(want));
		}
	}
}

/* Prepare and grow a chunk, in both. */
static void add_chunk(struct kunit *test, struct heap *h, u32 idx)
{
	struct palloc_chunk *pc = kunit_kzalloc(test, sizeof(*pc), GFP_KERNEL);
	u32 k;

	KUNIT_ASSERT_NOT_NULL(test, pc);
	KUNIT_ASSERT_EQ(test, pagealloc_prepare(&h->p, addr_at(idx, 0), pc,
						GFP_KERNEL), 0);
	KUNIT_ASSERT_PTR_EQ(test, pagealloc_chunk(&h->p, addr_at(idx, 511)), pc);
	KUNIT_ASSERT_EQ(test, heap_grow(h, addr_at(idx, 0), 1), 0);

	for (k = h->nr_chunks; k && h->chunks[k - 1].idx > idx; k--)
		h->chunks[k] = h->chunks[k - 1];
	h->nr_chunks++;
	h->chunks[k] = (struct chunk){ .idx = idx, .c = pc };
	memset(h->chunks[k].scavenged, 1, PAGES);
}

/* Ungrow it, in both; the twin has nothing of it in use. */
static void remove_chunk(struct kunit *test, struct heap *h, u32 idx)
{
	struct chunk *k = slow_chunk(h, idx);
	struct palloc_chunk *pc = k->c;

	KUNIT_ASSERT_EQ(test, heap_ungrow(h, addr_at(idx, 0)), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(pc, 0, sizeof(*pc)));
	KUNIT_EXPECT_NULL(test, pagealloc_chunk(&h->p, addr_at(idx, 0)));
	KUNIT_EXPECT_EQ(test, heap_ungrow(h, addr_at(idx, 0)), -EINVAL);
	kunit_kfree(test, pc);

	h->nr_chunks--;
	for (; k < &h->chunks[h->nr_chunks]; k++)
		k[0] = k[1];
}

static struct heap *new_heap(struct kunit *test, u32 max_chunks)
{
	struct heap *h = test->priv;

	h->chunks = kvcalloc(max_chunks, sizeof(*h->chunks), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, h->chunks);
	return h;
}

static int pagealloc_test_init(struct kunit *test)
{
	struct heap *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);

	if (!h)
		return -ENOMEM;
	raw_spin_lock_init(&h->lock);
	if (percpu_counter_init(&h->meta_total, 0, GFP_KERNEL))
		return -ENOMEM;
	pagealloc_init(&h->p, &h->lock);
	/* Broken calls are part of the tests. */
	h->p.test = true;
	h->p.meta_total = &h->meta_total;
	/* The twin looks everywhere. */
	h->p.align_looks = U32_MAX;
	test->priv = h;
	return 0;
}

/* Runs after a failed assertion as well. */
static void pagealloc_test_exit(struct kunit *test)
{
	struct heap *h = test->priv;

	if (!h)
		return;
	pagealloc_destroy(&h->p);
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), 0);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&h->meta_total), 0);
	percpu_counter_destroy(&h->meta_total);
	kvfree(h->chunks);
}

/*
 * The tables. A row lists chunks by index, in order, with their pages in use
 * (none is "") and their scavenged pages. Those not given are all pages that
 * are free before, and are not looked at after.
 *
 * Calls, with @n pages at @page of @chunk (NOWHERE: nothing fits):
 *
 *	A	allocates; @count of the pages were scavenged
 *	L	the same, aligned to @align
 *	F	frees
 *	B	sets the blocks of a half to @n
 *	S	sets scavenged; @count of the pages were not yet
 *	G	grows by a chunk
 *	U	ungrows one
 *	T	takes a set: the pages of it @n, those scavenged @align, as bits
 *	P	puts pages of that set back: those of @n, as bits
 */
struct row_chunk {
	u32 idx;
	const char *used, *scavenged;
	u32 block[2];
};

struct call {
	char op;
	u64 n;
	u32 chunk, page;
	u64 count;
	u64 align;
};

struct row {
	const char *name;
	struct row_chunk before[6];
	struct call calls[10];
	struct row_chunk after[6];
};

static const struct row rows[] = {
	{
		"single pages",
		{ { 0, "", "0,2-3" } },
		{ { 'A', 1, 0, 0, 1 }, { 'A', 1, 0, 1, 0 }, { 'A', 1, 0, 2, 1 },
		  { 'A', 1, 0, 3, 1 }, { 'A', 1, 0, 4, 0 } },
		{ { 0, "0-4" } },
	}, {
		"lengths of words",
		{ { 0, "", "21,63-127" } },
		{ { 'A', 64, 0, 0, 2 }, { 'A', 65, 0, 64, 64 },
		  { 'A', 5, 0, 129, 0 }, { 'A', 63, 0, 134, 0 } },
		{ { 0, "0-196" } },
	}, {
		"a whole chunk",
		{ { 3, "" } },
		{ { 'A', 513, NOWHERE }, { 'A', 512, 3, 0, 512 },
		  { 'A', 1, NOWHERE }, { 'F', 512, 3, 0 },
		  { 'A', 512, 3, 0, 0 } },
		{ { 3, "0-511", "" } },
	}, {
		"all but three",
		{ { 0, "", "10" } },
		{ { 'A', 509, 0, 0, 1 }, { 'A', 509, NOWHERE },
		  { 'A', 1, 0, 509, 0 }, { 'A', 2, 0, 510, 0 },
		  { 'A', 1, NOWHERE }, { 'A', 509, NOWHERE } },
		{ { 0, "0-511" } },
	}, {
		"the last page of many",
		{ { 4, "0-511" }, { 5, "0-511" }, { 6, "0-510" } },
		{ { 'A', 1, 6, 511, 1 }, { 'A', 1, NOWHERE } },
		{ { 4, "0-511" }, { 5, "0-511" }, { 6, "0-511" } },
	}, {
		"chunks far apart do not join",
		{ { 0, "0-500" }, { 2, "" }, { 300, "" }, { LAST_CHUNK, "" } },
		{ { 'A', 513, NOWHERE }, { 'A', 512, 2, 0, 512 },
		  { 'A', 512, 300, 0, 512 }, { 'A', 11, 0, 501, 11 },
		  { 'A', 511, LAST_CHUNK, 0, 511 },
		  { 'A', 1, LAST_CHUNK, 511, 1 }, { 'A', 1, NOWHERE } },
		{ { 0, "0-511" }, { 2, "0-511" }, { 300, "0-511" },
		  { LAST_CHUNK, "0-511" } },
	}, {
		/* Go's issue 40191: the address found leads to nothing. */
		"search_addr where nothing was grown",
		{ { 0, "0-510", "" }, { 0x10503, "0-501,511", "" },
		  { 0x20000, "", "" } },
		{ { 'A', 1, 0, 511, 0 }, { 'A', 100, 0x20000, 0, 0 },
		  { 'A', 9, 0x10503, 502, 0 }, { 'A', 1, 0x20000, 100, 0 } },
		{ { 0, "0-511" }, { 0x10503, "0-511" }, { 0x20000, "0-100" } },
	}, {
		"over three chunks",
		{ { 8, "0-255" }, { 9, "" }, { 10, "256-511" } },
		{ { 'A', 1025, NOWHERE }, { 'A', 1024, 8, 256, 1024 },
		  { 'F', 512, 9, 0 }, { 'A', 1, 9, 0, 0 },
		  { 'A', 511, 9, 1, 0 } },
		{ { 8, "0-511", "" }, { 9, "0-511", "" }, { 10, "0-511", "" } },
	}, {
		"the lowest that fits, not the first free",
		{ { 0, "0-99,101-511" }, { 1, "0-9,12-511" },
		  { 2, "0-19,40-511" } },
		{ { 'A', 2, 1, 10, 2 }, { 'A', 2, 2, 20, 2 },
		  { 'A', 1, 0, 100, 1 }, { 'A', 18, 2, 22, 18 },
		  { 'A', 1, NOWHERE } },
		{ { 0, "0-511" }, { 1, "0-511" }, { 2, "0-511" } },
	}, {
		"runs stay inside blocks",
		{ { 0, "1-255", NULL, { 256, 128 } },
		  { 1, "", NULL, { 256, 256 } } },
		{ { 'A', 257, NOWHERE }, { 'A', 200, 1, 0, 200 },
		  { 'A', 100, 0, 256, 100 }, { 'A', 100, 0, 384, 100 },
		  { 'A', 60, 1, 256, 60 }, { 'A', 1, 0, 0, 1 },
		  { 'A', 28, 0, 356, 28 }, { 'A', 29, 1, 200, 29 } },
		{ { 0, "0-483" }, { 1, "0-228,256-315" } },
	}, {
		"a half without blocks joins its neighbour",
		{ { 0, "", NULL, { 256, 0 } }, { 1, "", NULL, { 0, 256 } } },
		{ { 'A', 513, NOWHERE }, { 'A', 512, 0, 256, 512 },
		  { 'A', 256, 0, 0, 256 }, { 'A', 256, 1, 256, 256 },
		  { 'A', 1, NOWHERE } },
		{ { 0, "0-511" }, { 1, "0-511" } },
	}, {
		"blocks change",
		{ { 0, "" }, { 1, "" } },
		{ { 'B', 16, 0, 0 }, { 'A', 17, 0, 256, 17 },
		  { 'B', 64, 0, 255 }, { 'A', 64, 0, 0, 64 },
		  { 'B', 0, 0, 0 }, { 'A', 192, 0, 64, 192 },
		  { 'A', 700, 0, 273, 700 }, { 'B', 32, 1, 511 },
		  { 'A', 32, 1, 480, 32 }, { 'A', 18, 1, 461, 18 } },
		{ { 0, "0-511" }, { 1, "0-478,480-511" } },
	}, {
		"aligned",
		{ { 0, "0" }, { 1, "" } },
		{ { 'L', 3, 0, 4, 3, 4 }, { 'L', 1, 0, 256, 1, 256 },
		  { 'L', 512, NOWHERE, 0, 0, 1024 },
		  { 'L', 512, 1, 0, 512, 512 }, { 'L', 8, 0, 8, 8, 8 },
		  { 'L', 2, 0, 2, 2, 2 }, { 'A', 1, 0, 1, 1 },
		  { 'L', 1, 0, 7, 1, 1 } },
		{ { 0, "0-15,256" }, { 1, "0-511" } },
	}, {
		"aligned, past runs that are not",
		{ { 0, "0,256" }, { 1, "0,256" }, { 7, "0,256" },
		  { 8, "0-100,256" }, { 9, "0-99,256" } },
		{ { 'L', 200, NOWHERE, 0, 0, 512 },
		  { 'L', 1, NOWHERE, 0, 0, 256 },
		  { 'L', 100, 0, 128, 100, 128 },
		  { 'L', 60, 0, 64, 60, 64 }, { 'L', 128, 0, 384, 128, 128 },
		  { 'L', 128, 1, 128, 128, 128 } },
		{ { 0, "0,64-123,128-227,256,384-511" }, { 1, "0,128-256" },
		  { 7, "0,256" }, { 8, "0-100,256" }, { 9, "0-99,256" } },
	}, {
		"aligned, over chunks and arenas",
		{ { 14, "0-10" }, { 15, "" }, { 16, "" }, { 17, "" },
		  { 18, "1-511" } },
		{ { 'L', 1025, 16, 0, 1025, 1024 },
		  { 'L', 600, 14, 256, 600, 256 },
		  { 'L', 1, NOWHERE, 0, 0, 512 } },
		{ { 14, "0-10,256-511" }, { 15, "0-343" }, { 16, "0-511" },
		  { 17, "0-511" }, { 18, "0-511" } },
	}, {
		"aligned, inside blocks",
		{ { 0, "1-10", NULL, { 256, 256 } },
		  { 1, "256", NULL, { 64, 256 } } },
		{ { 'L', 256, 0, 256, 256, 256 }, { 'L', 64, 0, 64, 64, 64 },
		  { 'L', 65, 0, 128, 65, 64 }, { 'L', 65, 1, 320, 65, 64 },
		  { 'L', 1, 0, 0, 1, 512 }, { 'L', 1, 1, 0, 1, 512 } },
		{ { 0, "0-10,64-192,256-511" }, { 1, "0,256,320-384" } },
	}, {
		"aligned beyond a chunk, inside blocks",
		{ { 15, "", NULL, { 256, 256 } },
		  { 16, "", NULL, { 16, 256 } } },
		{ { 'L', 17, NOWHERE, 0, 0, 1024 },
		  { 'L', 16, 16, 0, 16, 1024 }, { 'L', 1, NOWHERE, 0, 0, 1024 },
		  { 'L', 256, 15, 0, 256, 512 } },
		{ { 15, "0-255" }, { 16, "0-15" } },
	}, {
		"search_addr comes back",
		{ { 5, "0-511" }, { 100, "" } },
		{ { 'A', 10, 100, 0, 10 }, { 'F', 3, 5, 17 },
		  { 'A', 4, 100, 10, 4 }, { 'A', 3, 5, 17, 0 },
		  { 'F', 1, 5, 511 }, { 'F', 1, 100, 3 },
		  { 'A', 1, 5, 511, 0 }, { 'A', 1, 100, 3, 0 },
		  { 'G', 1, 2 }, { 'A', 20, 2, 0, 20 } },
		{ { 2, "0-19" }, { 5, "0-511" }, { 100, "0-13" } },
	}, {
		"scavenged pages",
		{ { 0, "", "" }, { 1, "", "" } },
		{ { 'S', 100, 0, 450, 100 }, { 'S', 10, 0, 445, 5 },
		  { 'S', 10, 0, 445, 0 }, { 'A', 448, 0, 0, 3 },
		  { 'A', 100, 0, 448, 100 }, { 'F', 548, 0, 0 },
		  { 'S', 2, 1, 0, 2 }, { 'A', 514, 0, 0, 2 } },
		{ { 0, "0-511", "" }, { 1, "0-1", "36-37" } },
	}, {
		"a set of 64, and all of it back",
		{ { 0, "" } },
		{ { 'T', ~0ULL, 0, 0, 0, ~0ULL }, { 'A', 1, 0, 64, 1 },
		  { 'P', ~0ULL }, { 'A', 1, 0, 0, 1 }, { 'A', 64, 0, 65, 64 },
		  { 'A', 63, 0, 1, 63 } },
		{ { 0, "0-128", "129-511" } },
	}, {
		"a set with holes",
		{ { 0, "0-9,12-20,60-70", "10,30-40,500" } },
		{ { 'T', BIT_ULL(10) | BIT_ULL(11) | GENMASK_ULL(59, 21), 0, 0,
		    0, BIT_ULL(10) | GENMASK_ULL(40, 30) },
		  { 'P', BIT_ULL(11) | GENMASK_ULL(35, 22) },
		  { 'A', 2, 0, 22, 0 }, { 'A', 12, 0, 24, 6 },
		  { 'T', BIT_ULL(11), 0, 0, 0, 0 },
		  { 'T', GENMASK_ULL(63, 7), 0, 64, 0, 0 } },
		{ { 0, "0-127", "500" } },
	}, {
		"sets at the ends of chunks",
		{ { 6, "0-510", "" }, { LAST_CHUNK, "0-447,449-511" } },
		{ { 'T', BIT_ULL(63), 6, 448, 0, 0 },
		  { 'T', 1, LAST_CHUNK, 448, 0, 1 }, { 'P', 1 },
		  { 'T', 1, LAST_CHUNK, 448, 0, 1 }, { 'T', 0, NOWHERE },
		  { 'F', 1, 6, 511 }, { 'T', BIT_ULL(63), 6, 448, 0, 0 },
		  { 'A', 1, NOWHERE } },
		{ { 6, "0-511" }, { LAST_CHUNK, "0-511" } },
	}, {
		"a set knows no walls",
		{ { 1, "0-65", NULL, { 16, 16 } } },
		{ { 'T', GENMASK_ULL(63, 2), 1, 64, 0, GENMASK_ULL(63, 2) },
		  { 'P', GENMASK_ULL(40, 10) }, { 'A', 16, 1, 80, 16 },
		  { 'A', 17, NOWHERE }, { 'A', 9, 1, 96, 9 },
		  { 'A', 6, 1, 74, 6 } },
		{ { 1, "0-127" } },
	}, {
		"a set from a chunk that has left",
		{ { 0, "0-511" }, { 5, "" } },
		{ { 'T', ~0ULL, 5, 0, 0, ~0ULL }, { 'P', ~0ULL },
		  { 'U', 1, 5, 0 }, { 'T', 0, NOWHERE }, { 'G', 1, 4, 0 },
		  { 'T', ~0ULL, 4, 0, 0, ~0ULL } },
		{ { 0, "0-511" }, { 4, "0-63" } },
	}, {
		"sets while nothing is grown",
		{},
		{ { 'T', 0, NOWHERE } },
		{},
	}, {
		"chunks leave and come back",
		{ { 0, "511" }, { 1, "" }, { 64, "", "7" }, { 70000, "" } },
		{ { 'U', 1, 64, 0 }, { 'A', 512, 1, 0, 512 },
		  { 'U', 1, 70000, 0 }, { 'A', 512, NOWHERE },
		  { 'G', 1, 64 }, { 'A', 512, 64, 0, 512 },
		  { 'F', 512, 1, 0 }, { 'U', 1, 1, 0 },
		  { 'A', 511, 0, 0, 511 } },
		{ { 0, "0-511" }, { 64, "0-511" } },
	}, {
		"the last chunk leaves",
		{ { 9, "" } },
		{ { 'A', 3, 9, 0, 3 }, { 'F', 3, 9, 0 }, { 'U', 1, 9, 0 },
		  { 'A', 1, NOWHERE }, { 'G', 1, 8 }, { 'U', 1, 8, 0 },
		  { 'G', 1, LAST_CHUNK }, { 'A', 3, LAST_CHUNK, 0, 3 } },
		{ { LAST_CHUNK, "0-2" } },
	}, {
		"a chunk leaves with its walls",
		{ { 2, "", NULL, { 16, 16 } }, { 3, "" } },
		{ { 'U', 1, 2, 0 }, { 'G', 1, 2, 0 },
		  { 'A', 1024, 2, 0, 1024 } },
		{ { 2, "0-511" }, { 3, "0-511" } },
	}, {
		"nothing grown",
		{},
		{ { 'A', 1, NOWHERE }, { 'A', 100000, NOWHERE },
		  { 'L', 1, NOWHERE, 0, 0, 16 } },
		{},
	},
};

KUNIT_ARRAY_PARAM_DESC(row, rows, name);

static void parse(struct kunit *test, struct palloc_bits *bits, const char *list)
{
	KUNIT_ASSERT_EQ_MSG(test, bitmap_parselist(list, bits->b, PAGES), 0,
			    "the table says \"%s\"", list);
}

static u32 row_chunks(const struct row_chunk *chunks)
{
	u32 n = 0;

	while (n < 6 && chunks[n].used)
		n++;
	return n;
}

static void row_before(struct kunit *test, struct heap *h,
		       const struct row_chunk *r)
{
	struct palloc_bits used, scavenged;
	struct chunk *k;

	add_chunk(test, h, r->idx);
	k = slow_chunk(h, r->idx);

	parse(test, &used, r->used);
	for (u32 i = 0; i < PAGES; i++) {
		if (!test_bit(i, used.b))
			continue;
		KUNIT_ASSERT_EQ(test,
				heap_alloc_range(h, addr_at(r->idx, i), 1), 1);
		k->used[i] = 1;
		k->scavenged[i] = 0;
	}
	for (u32 half = 0; half < 2; half++) {
		KUNIT_ASSERT_EQ(test,
				heap_set_block(h, addr_at(r->idx, half * 256),
					       r->block[half]), 0);
		k->block[half] = r->block[half];
	}

	if (!r->scavenged)
		return;
	parse(test, &scavenged, r->scavenged);
	heap_scavenged(h, pagealloc_clear_scavenged, addr_at(r->idx, 0), PAGES);
	for (u32 i = 0; i < PAGES; i++) {
		k->scavenged[i] = test_bit(i, scavenged.b);
		if (k->scavenged[i])
			heap_scavenged(h, pagealloc_set_scavenged,
				       addr_at(r->idx, i), 1);
	}
}

/* What a set does to the twin: taken pages, and pages that are put back. */
static void slow_take(struct heap *h, u64 page, u64 pages)
{
	for (u32 i = 0; i < 64; i++) {
		if (!(pages & BIT_ULL(i)))
			continue;
		slow_set(h, page + i, 1, false, 1);
		slow_set(h, page + i, 1, true, 0);
	}
}

static void slow_give(struct heap *h, const struct pagealloc_set *set)
{
	u64 page = goalloc_page_index(set->base);

	for (u32 i = 0; i < 64; i++) {
		if (set->pages & BIT_ULL(i))
			slow_set(h, page + i, 1, false, 0);
		if (set->scavenged & BIT_ULL(i))
			slow_set(h, page + i, 1, true, 1);
	}
}

static void row_call(struct kunit *test, struct heap *h, const struct call *c,
		     u32 nr)
{
	u64 addr = c->chunk == NOWHERE ? 0 : addr_at(c->chunk, c->page);
	u64 page = page_at(c->chunk, c->page);
	u64 got, scav;

	switch (c->op) {
	case 'A':
	case 'L':
		got = heap_alloc(h, c->n, c->align, &scav);
		KUNIT_ASSERT_EQ_MSG(test, got, addr,
				    "call %u: at chunk %u, page %u", nr,
				    goalloc_chunk_index(got),
				    goalloc_chunk_page(got));
		if (!got)
			break;
		KUNIT_ASSERT_EQ_MSG(test, scav, c->count, "call %u", nr);
		slow_set(h, page, c->n, false, 1);
		slow_set(h, page, c->n, true, 0);
		break;
	case 'F':
		KUNIT_ASSERT_EQ_MSG(test, heap_free(h, addr, c->n), 0,
				    "call %u", nr);
		slow_set(h, page, c->n, false, 0);
		break;
	case 'B':
		KUNIT_ASSERT_EQ_MSG(test, heap_set_block(h, addr, c->n), 0,
				    "call %u", nr);
		slow_chunk(h, c->chunk)->block[c->page / 256] = c->n;
		break;
	case 'S':
		got = heap_scavenged(h, pagealloc_set_scavenged, addr, c->n);
		KUNIT_ASSERT_EQ_MSG(test, got, c->count, "call %u", nr);
		slow_set(h, page, c->n, true, 1);
		break;
	case 'G':
		add_chunk(test, h, c->chunk);
		break;
	case 'U':
		remove_chunk(test, h, c->chunk);
		break;
	case 'T':
		KUNIT_ASSERT_EQ_MSG(test, heap_take_set(h, &h->set), !!addr,
				    "call %u", nr);
		if (!addr)
			break;
		KUNIT_ASSERT_EQ_MSG(test, h->set.base, addr, "call %u", nr);
		KUNIT_ASSERT_EQ_MSG(test, h->set.pages, c->n, "call %u", nr);
		KUNIT_ASSERT_EQ_MSG(test, h->set.scavenged, c->align,
				    "call %u", nr);
		slow_take(h, page, c->n);
		break;
	case 'P':
		h->set.pages &= c->n;
		h->set.scavenged &= c->n;
		KUNIT_ASSERT_EQ_MSG(test, heap_give_set(h, &h->set), 0,
				    "call %u", nr);
		slow_give(h, &h->set);
		break;
	default:
		KUNIT_FAIL(test, "call %u: what is '%c'?", nr, c->op);
	}
}

static void run_row(struct kunit *test, const struct row *row)
{
	struct heap *h = new_heap(test, 16);
	struct palloc_bits bits;
	u32 n;

	n = row_chunks(row->before);
	for (u32 k = 0; k < n; k++)
		row_before(test, h, &row->before[k]);
	check(test, h);

	for (u32 k = 0; k < ARRAY_SIZE(row->calls) && row->calls[k].op; k++) {
		row_call(test, h, &row->calls[k], k);
		check(test, h);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "after call %u\n", k);
			return;
		}
	}

	n = row_chunks(row->after);
	KUNIT_ASSERT_EQ(test, h->nr_chunks, n);
	for (u32 k = 0; k < n; k++) {
		struct chunk *c = &h->chunks[k];
		u8 bytes[PAGES];

		KUNIT_ASSERT_EQ(test, c->idx, row->after[k].idx);
		parse(test, &bits, row->after[k].used);
		for (u32 i = 0; i < PAGES; i++)
			bytes[i] = test_bit(i, bits.b);
		check_bytes(test, c->idx, "pages in use", bytes,
			    &c->c->data.alloc);
		if (!row->after[k].scavenged)
			continue;
		parse(test, &bits, row->after[k].scavenged);
		for (u32 i = 0; i < PAGES; i++)
			bytes[i] = test_bit(i, bits.b);
		check_bytes(test, c->idx, "scavenged pages", bytes,
			    &c->c->data.scavenged);
	}
}

static void pagealloc_table(struct kunit *test)
{
	run_row(test, test->param_value);
}

/*
 * Ten free pages either side of a boundary between chunks. Without a wall they
 * are one run; @low and @high are the blocks right below and right above.
 */
static const struct boundary {
	const char *name;
	u32 below;
	u32 low, high;
} boundaries[] = {
	{ "inside a leaf node", 0 },
	{ "leaf nodes", 7 },
	{ "arenas", 15 },
	{ "level 3 nodes", 63 },
	{ "level 2 nodes", 511 },
	{ "root entries", 4095 },
	{ "last of the space", LAST_CHUNK - 1 },
	{ "wall below", 7, 256, 0 },
	{ "wall above", 15, 0, 256 },
	{ "walls on both sides", 4095, 64, 16 },
};

KUNIT_ARRAY_PARAM_DESC(boundary, boundaries, name);

static void pagealloc_boundary(struct kunit *test)
{
	const struct boundary *at = test->param_value;
	const u32 below = at->below, above = below + 1;
	const struct row joined = {
		at->name,
		{ { below, "0-501" }, { above, "10-511" } },
		{ { 'A', 21, NOWHERE }, { 'A', 20, below, 502, 20 },
		  { 'A', 1, NOWHERE }, { 'F', 20, below, 502 },
		  { 'A', 11, below, 502, 0 }, { 'A', 9, above, 1, 0 } },
		{ { below, "0-511", "" }, { above, "0-511", "" } },
	};
	const struct row walled = {
		at->name,
		{ { below, "0-501", NULL, { 0, at->low } },
		  { above, "10-511", NULL, { at->high, 0 } } },
		{ { 'A', 11, NOWHERE }, { 'A', 10, below, 502, 10 },
		  { 'A', 2, above, 0, 2 }, { 'F', 10, below, 502 },
		  { 'A', 9, below, 502, 0 }, { 'A', 8, above, 2, 8 } },
		{ { below, "0-510", "" }, { above, "0-511", "" } },
	};

	run_row(test, at->low || at->high ? &walled : &joined);
}

/*
 * Runs of one length until nothing fits: each right above the one before, and
 * as many as there is room for. Four chunks around a root entry's end, with
 * nothing else far and wide, and then with the space's last one.
 */
static const struct exhaust {
	const char *name;
	u32 n, runs, last;
} exhausts[] = {
	{ "1", 1, 2048, 512 }, { "2", 2, 1024, 256 }, { "3", 3, 682, 170 },
	{ "5", 5, 409, 102 }, { "8", 8, 256, 64 }, { "15", 15, 136, 34 },
	{ "16", 16, 128, 32 }, { "63", 63, 32, 8 }, { "64", 64, 32, 8 },
	{ "65", 65, 31, 7 }, { "511", 511, 4, 1 }, { "512", 512, 4, 1 },
	{ "513", 513, 3, 0 }, { "1024", 1024, 2, 0 }, { "1025", 1025, 1, 0 },
	{ "2047", 2047, 1, 0 }, { "2048", 2048, 1, 0 }, { "2049", 2049, 0, 0 },
};

KUNIT_ARRAY_PARAM_DESC(exhaust, exhausts, name);

static void pagealloc_exhaust(struct kunit *test)
{
	const struct exhaust *e = test->param_value;
	struct heap *h = new_heap(test, 5);
	u64 n = e->n, scav, page;
	const u32 first = 4094;

	for (u32 k = 0; k < 4; k++)
		add_chunk(test, h, first + k);
	add_chunk(test, h, LAST_CHUNK);

	for (u32 i = 0; i < e->runs + e->last; i++) {
		page = i < e->runs ? page_at(first, 0) + i * n :
				     page_at(LAST_CHUNK, 0) + (i - e->runs) * n;
		KUNIT_ASSERT_EQ_MSG(test, heap_alloc(h, n, 0, &scav),
				    goalloc_page_addr(page), "run %u", i);
		KUNIT_ASSERT_EQ(test, scav, n);
		slow_set(h, page, n, false, 1);
		slow_set(h, page, n, true, 0);
	}
	KUNIT_EXPECT_EQ(test, heap_alloc(h, n, 0, &scav), 0);
	check(test, h);

	/* Every other one back, which is where the next ones go. */
	for (u32 i = 1; i < e->runs; i += 2) {
		KUNIT_ASSERT_EQ(test, heap_free(h, addr_at(first, i * n), n),
				0);
		slow_set(h, page_at(first, i * n), n, false, 0);
	}
	check(test, h);
	for (u32 i = 1; i < e->runs; i += 2) {
		KUNIT_ASSERT_EQ(test, heap_alloc(h, n, 0, &scav),
				addr_at(first, i * n));
		KUNIT_ASSERT_EQ(test, scav, 0);
		slow_set(h, page_at(first, i * n), n, false, 1);
	}
	KUNIT_EXPECT_EQ(test, heap_alloc(h, n, 0, &scav), 0);
	check(test, h);
}

/* An allocated run, or a part of one. */
struct run {
	u64 page, n;
};

/* Neighbours over every kind of boundary, some alone, both ends. */
static const u32 random_chunks[] = {
	6, 7, 8, 14, 15, 16, 62, 63, 64, 65, 511, 512, 4094, 4095, 4096, 4097,
	70000, LAST_CHUNK - 1, LAST_CHUNK, 0, 5, 513, 66, 100000,
};

struct random {
	struct rnd_state rnd;
	struct run runs[400];
	u32 nr_runs;
	struct pagealloc_set sets[4];
	u32 nr_sets;
	u32 ungrown;
};

static u32 below(struct random *r, u32 n)
{
	return prandom_u32_state(&r->rnd) % n;
}

static u64 random_length(struct random *r)
{
	switch (below(r, 16)) {
	case 0:
		return 1 + below(r, 3 * PAGES);
	case 1 ... 3:
		return 1 + below(r, PAGES);
	case 4 ... 8:
		return 1 + below(r, 64);
	default:
		return 1 + below(r, 12);
	}
}

/* A range that was grown, as long as one that is free would be. */
static void random_range(struct heap *h, struct random *r, u64 *page, u64 *n)
{
	struct chunk *k = &h->chunks[below(r, h->nr_chunks)];
	u32 i = below(r, PAGES);

	*page = page_at(k->idx, i);
	*n = min_t(u64, random_length(r), PAGES - i);
}

static void random_alloc(struct kunit *test, struct heap *h, struct random *r)
{
	u64 n = random_length(r), align, page, addr, scav;

	if (r->nr_runs == ARRAY_SIZE(r->runs))
		return;
	align = below(r, 3) ? 0 : 1ULL << below(r, 11);
	page = slow_find(h, n, align ?: 1);
	addr = heap_alloc(h, n, align, &scav);
	KUNIT_ASSERT_EQ_MSG(test, addr, page == GOALLOC_NR_PAGES ?
			    0 : goalloc_page_addr(page),
			    "%llu pages, aligned to %llu", n, align);
	if (!addr)
		return;
	KUNIT_ASSERT_EQ(test, slow_set(h, page, n, false, 1), n);
	KUNIT_ASSERT_EQ(test, slow_set(h, page, n, true, 0), scav);
	r->runs[r->nr_runs++] = (struct run){ page, n };
}

static void random_alloc_range(struct kunit *test, struct heap *h,
			       struct random *r)
{
	u64 page, n, want, got, used, refused;

	if (r->nr_runs == ARRAY_SIZE(r->runs))
		return;
	random_range(h, r, &page, &n);
	want = PAGEALLOC_REFUSED;
	used = slow_count(h, page, n, false);
	if (!used) {
		want = slow_set(h, page, n, true, 0);
		slow_set(h, page, n, false, 1);
	}

	refused = h->p.refused;
	if (below(r, 2)) {
		got = heap_try_range(h, goalloc_page_addr(page), n);
		KUNIT_ASSERT_EQ(test, h->p.refused, refused);
	} else {
		got = heap_alloc_range(h, goalloc_page_addr(page), n);
		KUNIT_ASSERT_EQ(test, h->p.refused, refused + !!used);
	}
	KUNIT_ASSERT_EQ(test, got, want);
	if (used)
		return;
	r->runs[r->nr_runs++] = (struct run){ page, n };
}

static void random_free(struct kunit *test, struct heap *h, struct random *r)
{
	struct run *run;
	u64 page, n;

	if (!r->nr_runs)
		return;
	run = &r->runs[below(r, r->nr_runs)];
	page = run->page;
	n = run->n;
	switch (below(r, 8)) {
	case 0:		/* its end */
		n = 1 + below(r, n);
		page += run->n - n;
		run->n -= n;
		break;
	case 1:		/* its beginning */
		n = 1 + below(r, n);
		run->page += n;
		run->n -= n;
		break;
	default:
		run->n = 0;
	}
	if (!run->n)
		*run = r->runs[--r->nr_runs];

	KUNIT_ASSERT_EQ(test, heap_free(h, goalloc_page_addr(page), n), 0);
	KUNIT_ASSERT_EQ(test, slow_set(h, page, n, false, 0), n);
	/* And once more. */
	KUNIT_ASSERT_EQ(test, heap_free(h, goalloc_page_addr(page), n),
			-EINVAL);
}

static void random_block(struct kunit *test, struct heap *h, struct random *r)
{
	static const u32 blocks[] = { 0, 0, 0, 16, 32, 64, 128, 256 };
	struct chunk *k = &h->chunks[below(r, h->nr_chunks)];
	u32 i = below(r, PAGES), block = blocks[below(r, ARRAY_SIZE(blocks))];

	KUNIT_ASSERT_EQ(test, heap_set_block(h, addr_at(k->idx, i), block), 0);
	k->block[i / 256] = block;
}

/* One is grown that was not, or one leaves: if any is free, one of those. */
static void random_ungrow(struct kunit *test, struct heap *h, struct random *r)
{
	u32 idx = random_chunks[below(r, ARRAY_SIZE(random_chunks))];

	if (!slow_chunk(h, idx)) {
		add_chunk(test, h, idx);
		return;
	}
	for (u32 k = 0; k < h->nr_chunks && h->nr_chunks > 1; k++) {
		idx = h->chunks[k].idx;
		if (!memchr_inv(h->chunks[k].used, 0, PAGES)) {
			remove_chunk(test, h, idx);
			r->ungrown++;
			return;
		}
	}
	/* The last one stays, in use or not. */
	if (h->nr_chunks == 1)
		return;
	KUNIT_ASSERT_EQ(test, heap_ungrow(h, addr_at(idx, 0)), -EINVAL);
}

static void random_scavenged(struct kunit *test, struct heap *h,
			     struct random *r)
{
	u64 page, n, got, want;

	random_range(h, r, &page, &n);
	switch (below(r, 3)) {
	case 0:
		got = heap_scavenged(h, pagealloc_set_scavenged,
				     goalloc_page_addr(page), n);
		want = slow_set(h, page, n, true, 1);
		break;
	case 1:
		got = heap_scavenged(h, pagealloc_clear_scavenged,
				     goalloc_page_addr(page), n);
		want = slow_set(h, page, n, true, 0);
		break;
	default:
		got = heap_scavenged(h, pagealloc_count_scavenged,
				     goalloc_page_addr(page), n);
		want = slow_count(h, page, n, true);
	}
	KUNIT_ASSERT_EQ(test, got, want);
}

/* What the scavenger does: the highest run that can go, from the chunk's end. */
static void random_scavenge(struct kunit *test, struct heap *h,
			    struct random *r)
{
	struct chunk *k = &h->chunks[below(r, h->nr_chunks)];
	u32 min = 1U << below(r, 9), max = below(r, PAGES), i, n, whole = 0;
	u64 addr;

	i = palloc_find_scavenge_candidate(k->c, 0, PAGES, min, max, &n);

	/* Each unit above the run has a page that cannot go. */
	for (u32 unit = 0; unit < PAGES; unit += min) {
		u32 idle = 0;

		for (u32 at = unit; at < unit + min; at++)
			idle += !k->used[at] && !k->scavenged[at];
		whole += idle == min ? min : 0;
		if (idle == min)
			KUNIT_ASSERT_NE(test, i, PALLOC_NONE);
		if (idle == min)
			KUNIT_ASSERT_LE(test, unit + min, i + n);
		else if (i != PALLOC_NONE)
			KUNIT_ASSERT_FALSE(test, unit >= i && unit < i + n);
	}
	KUNIT_ASSERT_EQ(test, palloc_count_idle(k->c, 0, PAGES, min), whole);
	if (i == PALLOC_NONE)
		return;
	KUNIT_ASSERT_TRUE(test, IS_ALIGNED(i, min) && IS_ALIGNED(n, min));
	KUNIT_ASSERT_TRUE(test, n && n < max + min + !max);

	addr = addr_at(k->idx, i);
	KUNIT_ASSERT_EQ(test, heap_alloc_range(h, addr, n), 0);
	KUNIT_ASSERT_EQ(test, heap_scavenged(h, pagealloc_set_scavenged, addr,
					     n), n);
	KUNIT_ASSERT_EQ(test, heap_free(h, addr, n), 0);
	slow_set(h, page_at(k->idx, i), n, true, 1);
}

static void random_take_set(struct kunit *test, struct heap *h,
			    struct random *r)
{
	u64 page = slow_find(h, 1, 1), pages = 0, scavenged = 0;
	struct pagealloc_set *set = &r->sets[r->nr_sets];

	if (r->nr_sets == ARRAY_SIZE(r->sets))
		return;
	if (page == GOALLOC_NR_PAGES) {
		KUNIT_ASSERT_FALSE(test, heap_take_set(h, set));
		return;
	}
	page -= page % 64;
	for (u32 i = 0; i < 64; i++) {
		if (slow_set(h, page + i, 1, false, 1)) {
			pages |= BIT_ULL(i);
			if (slow_set(h, page + i, 1, true, 0))
				scavenged |= BIT_ULL(i);
		}
	}
	KUNIT_ASSERT_TRUE(test, heap_take_set(h, set));
	KUNIT_ASSERT_EQ(test, set->base, goalloc_page_addr(page));
	KUNIT_ASSERT_EQ(test, set->pages, pages);
	KUNIT_ASSERT_EQ(test, set->scavenged, scavenged);
	r->nr_sets++;
}

static void random_give_set(struct kunit *test, struct heap *h,
			    struct random *r)
{
	struct pagealloc_set set;
	u64 page;

	if (!r->nr_sets)
		return;
	set = r->sets[--r->nr_sets];
	page = goalloc_page_index(set.base);

	/* Some of its pages were allocated meanwhile, one by one. */
	for (u32 i = 0; i < 64; i++) {
		u64 bit = BIT_ULL(i);

		if (!(set.pages & bit))
			continue;
		if (!below(r, 4) && r->nr_runs < ARRAY_SIZE(r->runs)) {
			set.pages &= ~bit;
			set.scavenged &= ~bit;
			r->runs[r->nr_runs++] = (struct run){ page + i, 1 };
			continue;
		}
		slow_set(h, page + i, 1, false, 0);
		/* Scavenged bits may have been set in the heap as well. */
		if (set.scavenged & bit)
			slow_set(h, page + i, 1, true, 1);
	}
	KUNIT_ASSERT_EQ(test, heap_give_set(h, &set), 0);
	if (set.pages)
		KUNIT_ASSERT_EQ(test, heap_give_set(h, &set), -EINVAL);
}

static void pagealloc_random(struct kunit *test)
{
	ulong seed = pagealloc_seed ?: get_random_u32() | 1;
	struct heap *h = new_heap(test, ARRAY_SIZE(random_chunks));
	struct random *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	u32 frees = 2;

	KUNIT_ASSERT_NOT_NULL(test, r);
	prandom_seed_state(&r->rnd, seed);
	kunit_info(test, "pagealloc_seed=%lu\n", seed);

	add_chunk(test, h, random_chunks[0]);
	for (u32 step = 0; step < 12000; step++) {
		/* The heap fills up and empties by turns. */
		if (step % 400 == 0) {
			frees = 1 + below(r, 10);
			random_ungrow(test, h, r);
		}
		switch (below(r, 24)) {
		case 0:
			random_block(test, h, r);
			break;
		case 1:
			random_scavenged(test, h, r);
			break;
		case 2:
			random_take_set(test, h, r);
			break;
		case 3:
			random_give_set(test, h, r);
			break;
		case 4:
			random_alloc_range(test, h, r);
			break;
		case 5:
			random_ungrow(test, h, r);
			break;
		case 6:
			random_scavenge(test, h, r);
			break;
		default:
			if (below(r, 10) < frees)
				random_free(test, h, r);
			else
				random_alloc(test, h, r);
		}
		if (step % 16 == 0)
			check(test, h);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "step %u\n", step);
			return;
		}
	}
	check(test, h);

	kunit_info(test, "%u chunks ungrown\n", r->ungrown);
	KUNIT_EXPECT_GT(test, r->ungrown, 0);

	/* All of it back: one run again wherever there are no walls. */
	while (r->nr_sets)
		random_give_set(test, h, r);
	while (r->nr_runs)
		random_free(test, h, r);
	for (u32 k = 0; k < h->nr_chunks; k++)
		KUNIT_EXPECT_EQ(test,
				slow_count(h, page_at(h->chunks[k].idx, 0),
					   PAGES, false), 0);
	check(test, h);

	/* And then nothing is left of the tree. */
	while (h->nr_chunks && test->status != KUNIT_FAILURE) {
		remove_chunk(test, h, h->chunks[below(r, h->nr_chunks)].idx);
		check(test, h);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(h->p.child, 0, sizeof(h->p.child)));
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), 0);
}

/* A root entry that is free altogether, the one summary of 2^21 pages. */
static void pagealloc_root_entry(struct kunit *test)
{
	const u32 first = 4096 - 1, nr = 4096 + 2;
	struct heap *h = test->priv;
	struct palloc_chunk *chunks;
	u64 scav, addr;
	u32 full = 0;

	chunks = kvcalloc(nr, sizeof(*chunks), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, chunks);
	/* No assertion below: they would leave the chunks behind. */
	for (u32 i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test,
				pagealloc_prepare(&h->p, addr_at(first + i, 0),
						  &chunks[i], GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, heap_grow(h, addr_at(first, 0), nr), 0);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 1),
			PALLOCSUM_ALL_FREE);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 0),
			pallocsum_pack(0, PAGES, PAGES));
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 2),
			pallocsum_pack(PAGES, PAGES, 0));

	/* All of it is one run; one page more does not fit. */
	addr = heap_alloc(h, nr * PAGES + 1, 0, &scav);
	KUNIT_EXPECT_EQ(test, addr, 0);
	addr = heap_alloc(h, nr * PAGES, 0, &scav);
	KUNIT_EXPECT_EQ(test, addr, addr_at(first, 0));
	KUNIT_EXPECT_EQ(test, scav, nr * PAGES);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 1), 0);
	for (u32 i = 0; i < nr; i++)
		full += bitmap_full(chunks[i].data.alloc.b, PAGES);
	KUNIT_EXPECT_EQ(test, full, nr);

	/* One page back in its middle, and the rest. */
	KUNIT_EXPECT_EQ(test, heap_free(h, addr_at(5000, 9), 1), 0);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 1),
			pallocsum_pack(0, 1, 0));
	KUNIT_EXPECT_EQ(test, heap_free(h, addr_at(first, 0), nr * PAGES),
			-EINVAL);
	addr = heap_alloc(h, 1, 0, &scav);
	KUNIT_EXPECT_EQ(test, addr, addr_at(5000, 9));
	KUNIT_EXPECT_EQ(test, heap_free(h, addr_at(first, 0), nr * PAGES), 0);

	/* Aligned as far as is allowed: the root entry itself. */
	addr = heap_alloc(h, PAGES, BIT_ULL(21), &scav);
	KUNIT_EXPECT_EQ(test, addr, addr_at(4096, 0));
	KUNIT_EXPECT_EQ(test, scav, 0);
	addr = heap_alloc(h, 1, BIT_ULL(21), &scav);
	KUNIT_EXPECT_EQ(test, addr, addr_at(8192, 0));

	pagealloc_destroy(&h->p);
	kvfree(chunks);
}

/*
 * Many chunks with free pages and none where it is wanted: a search gives up, but
 * finds what is long enough that it cannot miss, so what is grown for it.
 */
static void pagealloc_aligned_looks(struct kunit *test)
{
	const u32 nr = 60;
	struct heap *h = new_heap(test, nr + 2);
	const u32 looks = h->p.align_looks;
	struct pagealloc fresh;
	u64 scav;

	pagealloc_init(&fresh, &h->lock);
	for (u32 k = 0; k < nr; k++) {
		add_chunk(test, h, k);
		KUNIT_ASSERT_EQ(test, heap_alloc_range(h, addr_at(k, 0), 1), 1);
		KUNIT_ASSERT_EQ(test, heap_alloc_range(h, addr_at(k, 256), 1),
				1);
		for (u32 i = 0; i < PAGES; i += 256) {
			h->chunks[k].used[i] = 1;
			h->chunks[k].scavenged[i] = 0;
		}
	}
	h->p.align_looks = fresh.align_looks;
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 1, 256, &scav), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 255, 256, &scav), 0);

	/* One is aligned, but far from where the search begins. */
	KUNIT_ASSERT_EQ(test, heap_free(h, addr_at(50, 256), 1), 0);
	h->chunks[50].used[256] = 0;
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 1, 256, &scav), addr_at(50, 256));
	h->chunks[50].used[256] = 1;
	check(test, h);
	KUNIT_ASSERT_EQ(test, heap_free(h, addr_at(50, 256), 1), 0);
	h->chunks[50].used[256] = 0;

	/* Only there is an aligned one for certain. */
	add_chunk(test, h, 70);
	h->p.align_looks = 0;
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 257, 256, &scav), addr_at(70, 0));
	slow_set(h, page_at(70, 0), 257, false, 1);
	slow_set(h, page_at(70, 0), 257, true, 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 1, 256, &scav), addr_at(50, 256));
	slow_set(h, page_at(50, 256), 1, false, 1);
	slow_set(h, page_at(50, 256), 1, true, 0);

	/* Nearer ones are found by a look. */
	KUNIT_ASSERT_EQ(test, heap_free(h, addr_at(1, 0), 1), 0);
	h->chunks[1].used[0] = 0;
	h->p.align_looks = looks;
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 1, 256, &scav), addr_at(1, 0));
	h->chunks[1].used[0] = 1;
	check(test, h);
}

/* Each is refused, counted, and changes nothing. */
static void pagealloc_broken_calls(struct kunit *test)
{
	static const struct {
		char op;
		u32 chunk, page, add;
		u64 n;
	} calls[] = {
		{ 'F', 2, 100, 0, 1 },			/* not allocated */
		{ 'F', 2, 0, 0, 101 },			/* the last is not */
		{ 'F', 2, 99, 0, 2 },
		{ 'F', 3, 511, 0, 2 },			/* runs out of the heap */
		{ 'F', 4, 0, 0, 1 },			/* prepared only */
		{ 'F', 1, 0, 0, 1 },			/* nothing there */
		{ 'F', 2, 0, 1, 1 },			/* no page's address */
		{ 'F', 2, 0, 0, 0 },			/* nothing to free */
		{ 'F', 2, 0, 0, ~0ULL },
		{ 'F', GOALLOC_NR_CHUNKS, 0, 0, 1 },	/* behind the space */
		{ 'F', LAST_CHUNK, 511, 0, 2 },
		{ 'R', 2, 99, 0, 2 },			/* allocated */
		{ 'R', 3, 511, 0, 2 },
		{ 'R', 4, 0, 0, 1 },
		{ 'R', 2, 100, 1, 1 },
		{ 'R', 2, 100, 0, 0 },
		{ 'G', 2, 0, 0, 1 },			/* grown before */
		{ 'G', 4, 0, 0, 2 },			/* 5 is not prepared */
		{ 'G', 3, 0, 0, 2 },
		{ 'G', 4, 1, 0, 1 },			/* no chunk's address */
		{ 'G', 4, 0, 0, 0 },
		{ 'G', 4, 0, 0, 1ULL << 55 },		/* 0 in pages */
		{ 'G', LAST_CHUNK, 0, 0, 2 },
		{ 'B', 2, 0, 0, 8 },			/* no such blocks */
		{ 'B', 2, 0, 0, 24 },
		{ 'B', 2, 0, 0, 512 },
		{ 'B', 1, 0, 0, 16 },			/* nothing there */
		{ 'S', 4, 0, 0, 1 },			/* not grown */
		{ 'S', 3, 511, 0, 2 },
		{ 'C', 4, 0, 0, 1 },
		{ 'N', 4, 0, 0, 1 },
		{ 'L', 0, 0, 0, 0 },			/* no alignments */
		{ 'L', 0, 0, 0, 3 },
		{ 'L', 0, 0, 0, 1ULL << 22 },
		{ 'T', 2, 64, 0, BIT_ULL(36) },		/* page 100 is free */
		{ 'T', 2, 32, 0, 1 },			/* not 64 pages' address */
		{ 'T', 4, 0, 0, 1 },
		{ 'T', 1, 0, 0, 1 },
		{ 'U', 2, 0, 0, 1 },			/* pages in use */
		{ 'U', 3, 0, 0, 1 },
		{ 'U', 4, 0, 0, 1 },			/* prepared only */
		{ 'U', 1, 0, 0, 1 },			/* nothing there */
		{ 'U', 3, 1, 0, 1 },			/* no chunk's address */
		{ 'U', GOALLOC_NR_CHUNKS, 0, 0, 1 },
		{ 'f', 0, 0, 0, 3 },			/* no alignments */
		{ 'f', 0, 0, 0, 1ULL << 22 },
		{ 't', 2, 100, 1, 1 },			/* no page's address */
		{ 't', 2, 100, 0, 0 },
		{ 't', GOALLOC_NR_CHUNKS, 0, 0, 1 },
	};
	struct heap *h = new_heap(test, 4);
	struct palloc_chunk *only_prepared;
	u64 scav;

	only_prepared = kunit_kzalloc(test, sizeof(*only_prepared), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, only_prepared);
	KUNIT_ASSERT_EQ(test, pagealloc_prepare(&h->p, addr_at(4, 0),
						only_prepared, GFP_KERNEL), 0);
	add_chunk(test, h, 2);
	add_chunk(test, h, 3);
	KUNIT_ASSERT_EQ(test, heap_alloc(h, 100, 0, &scav), addr_at(2, 0));
	KUNIT_ASSERT_EQ(test, heap_alloc_range(h, addr_at(3, 500), 12), 12);
	slow_set(h, page_at(2, 0), 100, false, 1);
	slow_set(h, page_at(2, 0), 100, true, 0);
	slow_set(h, page_at(3, 500), 12, false, 1);
	slow_set(h, page_at(3, 500), 12, true, 0);
	check(test, h);

	for (u32 k = 0; k < ARRAY_SIZE(calls); k++) {
		u64 addr = addr_at(calls[k].chunk, calls[k].page) + calls[k].add;
		u64 n = calls[k].n, search_addr = h->p.search_addr;
		u64 refused = h->p.refused;
		struct pagealloc_set set = { .base = addr, .pages = n };
		s64 got = 0, want = -EINVAL;

		switch (calls[k].op) {
		case 'F':
			got = heap_free(h, addr, n);
			break;
		case 'R':
			got = heap_alloc_range(h, addr, n);
			want = PAGEALLOC_REFUSED;
			break;
		case 'G':
			got = heap_grow(h, addr, n);
			break;
		case 'B':
			got = heap_set_block(h, addr, n);
			break;
		case 'S':
			got = heap_scavenged(h, pagealloc_set_scavenged, addr,
					     n);
			want = 0;
			break;
		case 'C':
			got = heap_scavenged(h, pagealloc_clear_scavenged, addr,
					     n);
			want = 0;
			break;
		case 'N':
			got = heap_scavenged(h, pagealloc_count_scavenged, addr,
					     n);
			want = 0;
			break;
		case 'L':
			raw_spin_lock(&h->lock);
			got = pagealloc_alloc_aligned(&h->p, 1, n, &scav);
			raw_spin_unlock(&h->lock);
			want = 0;
			break;
		case 'T':
			got = heap_give_set(h, &set);
			break;
		case 'U':
			got = heap_ungrow(h, addr);
			break;
		case 'f':
			raw_spin_lock(&h->lock);
			got = pagealloc_find_run(&h->p, 1, n);
			raw_spin_unlock(&h->lock);
			want = 0;
			break;
		case 't':
			got = heap_try_range(h, addr, n);
			want = PAGEALLOC_REFUSED;
			break;
		}
		KUNIT_EXPECT_EQ_MSG(test, got, want, "call %u", k);
		KUNIT_EXPECT_EQ_MSG(test, h->p.refused, refused + 1, "call %u",
				    k);
		KUNIT_EXPECT_EQ_MSG(test, h->p.search_addr, search_addr,
				    "call %u", k);
		KUNIT_EXPECT_FALSE(test, only_prepared->ready);
		check(test, h);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "after call %u\n", k);
			return;
		}
	}

	/* Lengths that fit nowhere are no mistake. */
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 0, 0, &scav), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, GOALLOC_NR_PAGES, 0, &scav), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, ~0ULL, 0, &scav), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, ~0ULL, 2, &scav), 0);
	KUNIT_EXPECT_EQ(test, h->p.refused, ARRAY_SIZE(calls));
	check(test, h);
}

static void pagealloc_prepares(struct kunit *test)
{
	struct heap *h = new_heap(test, 2);
	struct palloc_chunk *c, *other;
	u64 scav, meta;

	c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c);
	other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, other);

	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(9, 1), c,
						GFP_KERNEL), -EINVAL);
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, GOALLOC_HEAP_END, c,
						GFP_KERNEL), -EINVAL);
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, 0, c, GFP_KERNEL),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), 0);

	/* Nothing is free before growth, walls or not. */
	KUNIT_EXPECT_NULL(test, pagealloc_chunk(&h->p, addr_at(9, 0)));
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(9, 0), c,
						GFP_KERNEL), 0);
	meta = atomic64_read(&h->p.meta_bytes);
	KUNIT_EXPECT_EQ(test, meta, 4 * sizeof(struct pagealloc_node));
	KUNIT_EXPECT_PTR_EQ(test, pagealloc_chunk(&h->p, addr_at(9, 0)), c);
	KUNIT_EXPECT_NULL(test, pagealloc_chunk(&h->p, addr_at(10, 0)));
	KUNIT_EXPECT_NULL(test, pagealloc_chunk(&h->p, GOALLOC_HEAP_END));
	KUNIT_EXPECT_EQ(test, heap_set_block(h, addr_at(9, 0), 64), 0);
	for (u32 level = 0; level < PAGEALLOC_LEVELS; level++) {
		u32 idx = pagealloc_level_index(level, addr_at(9, 0));

		KUNIT_EXPECT_EQ(test,
				pagealloc_level_summary(&h->p, level, idx), 0);
	}
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 1, 0, &scav), 0);

	/* Again: the same is fine, and costs nothing; another one is not. */
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(9, 0), c,
						GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(9, 0), other,
						GFP_KERNEL), -EEXIST);
	KUNIT_EXPECT_PTR_EQ(test, pagealloc_chunk(&h->p, addr_at(9, 0)), c);
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), meta);

	/* And after growth it keeps what the chunk has become. */
	KUNIT_EXPECT_EQ(test, heap_grow(h, addr_at(9, 0), 1), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 64, 0, &scav), addr_at(9, 0));
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(9, 0), c,
						GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 65, 0, &scav), addr_at(9, 256));
	KUNIT_EXPECT_EQ(test, heap_alloc(h, 64, 0, &scav), addr_at(9, 64));

	/* A neighbour needs no node of its own; summaries out of range are 0. */
	KUNIT_EXPECT_EQ(test, pagealloc_prepare(&h->p, addr_at(10, 0), other,
						GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), meta);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 5, 0), 0);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 0, 64), 0);
	KUNIT_EXPECT_EQ(test, pagealloc_level_summary(&h->p, 4,
						      GOALLOC_NR_CHUNKS), 0);
}

static bool fail_node(struct pagealloc *p)
{
	struct heap *h = container_of(p, struct heap, p);

	return ++h->nodes_asked == h->fail_at;
}

/* Every allocation of a node fails in turn, and once the next one too. */
static void pagealloc_fails(struct kunit *test)
{
	/* Nothing built; all but the leaf there; all but the last two. */
	static const struct {
		u32 there, chunk, nodes;
	} paths[] = {
		{ NOWHERE, 77, 4 }, { 64, 77, 1 }, { 0, 77, 2 },
		{ 77, 4096 + 77, 4 }, { 76, 77, 0 },
	};
	struct heap *h = new_heap(test, 4);

	h->p.fail_node = fail_node;
	for (u32 k = 0; k < ARRAY_SIZE(paths); k++) {
		u32 failures = 0;

		for (u32 fail_at = 1; ; fail_at++) {
			u64 addr = addr_at(paths[k].chunk, 0), scav, meta;
			struct palloc_chunk *c;
			int ret;

			c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, c);
			h->fail_at = 0;
			if (paths[k].there != NOWHERE) {
				add_chunk(test, h, paths[k].there);
				KUNIT_ASSERT_EQ(test,
						heap_alloc(h, PAGES, 0, &scav),
						addr_at(paths[k].there, 0));
				slow_set(h, page_at(paths[k].there, 0), PAGES,
					 false, 1);
				slow_set(h, page_at(paths[k].there, 0), PAGES,
					 true, 0);
			}
			h->nodes_asked = 0;
			h->fail_at = fail_at;
			meta = atomic64_read(&h->p.meta_bytes);
			ret = pagealloc_prepare(&h->p, addr, c, GFP_KERNEL);
			if (ret) {
				failures++;
				KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
				KUNIT_EXPECT_EQ(test, h->nodes_asked, fail_at);
				KUNIT_EXPECT_NULL(test,
						  pagealloc_chunk(&h->p, addr));
				KUNIT_EXPECT_EQ(test,
						heap_alloc(h, 1, 0, &scav), 0);
				KUNIT_EXPECT_EQ(test, heap_grow(h, addr, 1),
						-EINVAL);
				check(test, h);

				/* Nothing was built. */
				h->nodes_asked = 0;
				h->fail_at = 0;
				KUNIT_EXPECT_EQ(test,
						pagealloc_prepare(&h->p, addr,
								  c,
								  GFP_KERNEL),
						0);
				KUNIT_EXPECT_EQ(test, h->nodes_asked,
						paths[k].nodes);
			}
			KUNIT_EXPECT_EQ(test,
					atomic64_read(&h->p.meta_bytes) - meta,
					paths[k].nodes *
					sizeof(struct pagealloc_node));
			KUNIT_EXPECT_EQ(test, heap_grow(h, addr, 1), 0);
			KUNIT_EXPECT_EQ(test, heap_alloc(h, PAGES, 0, &scav),
					addr);

			pagealloc_destroy(&h->p);
			h->p.test = true;
			h->p.fail_node = fail_node;
			h->p.meta_total = &h->meta_total;
			h->nr_chunks = 0;
			KUNIT_EXPECT_EQ(test,
					atomic64_read(&h->p.meta_bytes), 0);
			if (!ret)
				break;
		}
		KUNIT_EXPECT_EQ_MSG(test, failures, paths[k].nodes, "path %u",
				    k);
	}
}

#define RACE_THREADS	4
#define RACE_CHUNKS	256
#define RACE_STRIDE	37	/* chunks; odd, so all nodes come up */

struct racer {
	struct heap *h;
	struct palloc_chunk *chunks;
	struct completion *start, done;
	u32 nr;
	int ret;
};

static int race(void *data)
{
	struct racer *racer = data;

	wait_for_completion(racer->start);
	for (u32 i = 0; i < RACE_CHUNKS; i++) {
		int ret = pagealloc_prepare(&racer->h->p,
					    addr_at(i * RACE_STRIDE, 0),
					    &racer->chunks[i], GFP_KERNEL);

		if (ret)
			racer->ret = ret;
	}
	complete(&racer->done);
	return 0;
}

#define SHRINK_ROUNDS	24

/*
 * Neighbours of what the others have: chunks come into the tree and leave it,
 * and with the last one their nodes, which wait for readers. Answers go to
 * the thread that started this one.
 */
static int shrink_race(void *data)
{
	struct racer *racer = data;
	struct pagealloc *p = &racer->h->p;
	struct pagealloc_node *gone = NULL;
	unsigned long flags;
	int ret;

	wait_for_completion(racer->start);
	for (u32 i = 0; i < SHRINK_ROUNDS * RACE_CHUNKS; i++) {
		u32 k = i % (RACE_CHUNKS / RACE_THREADS) * RACE_THREADS +
			racer->nr;
		struct palloc_chunk *c = &racer->chunks[k];
		u64 addr = addr_at(k, 0);

		ret = pagealloc_prepare(p, addr, c, GFP_KERNEL);
		raw_spin_lock_irqsave(p->lock, flags);
		if (!ret && !c->ready)
			ret = pagealloc_grow(p, addr, 1);
		else if (!ret)
			ret = pagealloc_ungrow(p, addr, &gone);
		raw_spin_unlock_irqrestore(p->lock, flags);
		if (ret)
			racer->ret = ret;

		rcu_read_lock();
		for (u32 at = 0; at < RACE_CHUNKS; at += 7) {
			c = pagealloc_chunk(p, addr_at(at, 0));
			if (c && c != &racer->chunks[at])
				racer->ret = -EUCLEAN;
			for (u32 level = 0; level < PAGEALLOC_LEVELS; level++)
				pagealloc_level_summary(p, level, at >> 3 *
							(PAGEALLOC_LEAF - level));
		}
		rcu_read_unlock();

		if (i % RACE_CHUNKS == RACE_CHUNKS - 1) {
			synchronize_rcu();
			pagealloc_free_nodes(p, gone);
			gone = NULL;
		}
	}
	complete(&racer->done);
	return 0;
}

/* Runs @fn in several threads on @chunks; true if none of them met an error. */
static bool run_race(struct kunit *test, int (*fn)(void *data),
		     struct palloc_chunk *chunks)
{
	DECLARE_COMPLETION_ONSTACK(start);
	struct racer *racers;
	u32 started;
	bool ok;

	racers = kunit_kcalloc(test, RACE_THREADS, sizeof(*racers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, racers);
	for (started = 0; started < RACE_THREADS; started++) {
		struct racer *racer = &racers[started];
		struct task_struct *task;

		*racer = (struct racer){ .h = test->priv, .chunks = chunks,
					 .start = &start, .nr = started };
		init_completion(&racer->done);
		task = kthread_run(fn, racer, "goalloc_racer/%u", started);
		if (IS_ERR(task))
			break;
	}
	ok = started == RACE_THREADS;
	complete_all(&start);
	for (u32 i = 0; i < started; i++) {
		wait_for_completion(&racers[i].done);
		if (racers[i].ret)
			kunit_info(test, "racer %u: %d\n", i, racers[i].ret);
		ok &= !racers[i].ret;
	}
	return ok;
}

/* All prepare the same chunks: no node is built twice and kept, or lost. */
static void pagealloc_race(struct kunit *test)
{
	struct heap *h = test->priv, *alone;
	struct palloc_chunk *chunks;
	raw_spinlock_t lock;

	chunks = kunit_kcalloc(test, RACE_CHUNKS, sizeof(*chunks), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, chunks);
	alone = kunit_kzalloc(test, sizeof(*alone), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, alone);
	KUNIT_EXPECT_TRUE(test, run_race(test, race, chunks));

	raw_spin_lock_init(&lock);
	pagealloc_init(&alone->p, &lock);
	for (u32 i = 0; i < RACE_CHUNKS; i++) {
		u64 addr = addr_at(i * RACE_STRIDE, 0);

		KUNIT_EXPECT_PTR_EQ(test, pagealloc_chunk(&h->p, addr),
				    &chunks[i]);
		KUNIT_EXPECT_EQ(test,
				pagealloc_prepare(&alone->p, addr, &chunks[i],
						  GFP_KERNEL), 0);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes),
			atomic64_read(&alone->p.meta_bytes));
	pagealloc_destroy(&alone->p);
}

/* Neighbours come and go, an even number of times: nothing is left. */
static void pagealloc_shrink_race(struct kunit *test)
{
	struct heap *h = test->priv;
	struct palloc_chunk *chunks;

	chunks = kunit_kcalloc(test, RACE_CHUNKS, sizeof(*chunks), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, chunks);
	KUNIT_EXPECT_TRUE(test, run_race(test, shrink_race, chunks));

	KUNIT_EXPECT_EQ(test, atomic64_read(&h->p.meta_bytes), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(h->p.child, 0, sizeof(h->p.child)));
	KUNIT_EXPECT_NULL(test, memchr_inv(chunks, 0,
					   RACE_CHUNKS * sizeof(*chunks)));
	check(test, h);
}

static struct kunit_case pagealloc_cases[] = {
	KUNIT_CASE_PARAM(pagealloc_table, row_gen_params),
	KUNIT_CASE_PARAM(pagealloc_boundary, boundary_gen_params),
	KUNIT_CASE_PARAM(pagealloc_exhaust, exhaust_gen_params),
	KUNIT_CASE_SLOW(pagealloc_random),
	KUNIT_CASE(pagealloc_root_entry),
	KUNIT_CASE(pagealloc_aligned_looks),
	KUNIT_CASE(pagealloc_broken_calls),
	KUNIT_CASE(pagealloc_prepares),
	KUNIT_CASE(pagealloc_fails),
	KUNIT_CASE(pagealloc_race),
	KUNIT_CASE_SLOW(pagealloc_shrink_race),
	{}
};

static struct kunit_suite pagealloc_suite = {
	.name = "goalloc_pagealloc",
	.init = pagealloc_test_init,
	.exit = pagealloc_test_exit,
	.test_cases = pagealloc_cases,
};

kunit_test_suite(pagealloc_suite);

GOALLOC_KUNIT_IMPORT;
