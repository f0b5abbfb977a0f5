// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_tables: what a heap knows of its chunks, and the tables that go again.
 *
 * The index that says which chunks have memory to give back, against a plain
 * array, in a heap that reaches over all of its 1 TiB: there the chunks are
 * built where they are used only, and no memory is behind any. Then tables of
 * chunks that are empty: which go, and what comes into the gaps.
 *
 * Layouts are strings, a number and a letter for so many chunks of a kind:
 *
 *	U	in use
 *	B	idle, a page of it is backed
 *	E	empty
 *	-	not there
 *
 * Units: chunks unless a name says pages. The seed of random cases is printed;
 * the parameter tables_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/ctype.h>
#include <linux/goalloc.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "heap_kunit.h"
#include "sparse_kunit.h"

static ulong tables_seed;
module_param(tables_seed, ulong, 0444);
MODULE_PARM_DESC(tables_seed, "seed of goalloc_tables, 0 for any");

static void seed_random(struct kunit *test, struct rnd_state *rnd)
{
	ulong seed = tables_seed ?: get_random_u32() | 1;

	prandom_seed_state(rnd, seed);
	kunit_info(test, "tables_seed=%lu\n", seed);
}

static void stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

/* What a chunk can be like, and which indices it is in then. */
enum kind {
	IN_USE,
	EMPTY,
	PARTLY,		/* in use in part, the rest not backed */
	IDLE_PAGES,	/* some pages idle; of a linear heap a small block */
	IDLE_USED,	/* a backed block of which a page is in use */
	IDLE_WHOLE,	/* 2 MiB; only linear heaps tell */
	HOLES,		/* but one page a block of holes; of a sparse heap in use */
	IDLE_HOLES,	/* but one page, which is idle; likewise */
	KINDS,
};

static const u8 kind_index[2][KINDS] = {
	[BACKING_LINEAR] = {
		[EMPTY] = BIT(INDEX_EMPTY),
		[IDLE_PAGES] = BIT(INDEX_IDLE) | BIT(INDEX_BLOCK),
		[IDLE_USED] = BIT(INDEX_IDLE),
		[IDLE_WHOLE] = BIT(INDEX_IDLE) | BIT(INDEX_BLOCK) | BIT(INDEX_WHOLE),
		[IDLE_HOLES] = BIT(INDEX_IDLE) | BIT(INDEX_BLOCK) | BIT(INDEX_WHOLE),
	},
	[BACKING_SPARSE] = {
		[EMPTY] = BIT(INDEX_EMPTY),
		[IDLE_PAGES] = BIT(INDEX_IDLE),
		[IDLE_USED] = BIT(INDEX_IDLE),
		[IDLE_WHOLE] = BIT(INDEX_IDLE),
	},
};

/* Pages that can be given back. */
static const u32 kind_idle[2][KINDS] = {
	[BACKING_LINEAR] = {
		[IDLE_PAGES] = 16,
		[IDLE_USED] = 256 - SPARSE_UNIT_PAGES,
		[IDLE_WHOLE] = 256,
		[IDLE_HOLES] = SPARSE_UNIT_PAGES,
	},
	[BACKING_SPARSE] = {
		[IDLE_PAGES] = 16,
		[IDLE_USED] = 256 - SPARSE_UNIT_PAGES,
		[IDLE_WHOLE] = 256,
	},
};

#define INDEX_CHUNKS	120
#define INDEX_OPS	4000

struct index_model {
	struct goalloc_heap *heap;
	u32 n;
	u32 chunk[INDEX_CHUNKS];	/* ascending */
	enum kind kind[INDEX_CHUNKS];
};

static int compare_u32(const void *a, const void *b)
{
	return *(const u32 *)a < *(const u32 *)b ? -1 : *(const u32 *)a > *(const u32 *)b;
}

/* Makes a chunk what it is to be, bit by bit, whatever it was. */
static void index_set(struct index_model *m, u32 i, enum kind kind, u32 r)
{
	bool linear = m->heap->backing == BACKING_LINEAR;
	u64 base = goalloc_chunk_base(m->chunk[i]), half = r & 1 ? SZ_2M : 0;
	struct goalloc_chunk *c = mheap_chunk(m->heap, base);
	struct pagealloc *p = &m->heap->pages;
	u32 granule = goalloc_chunk_page(base + half) / GOALLOC_GRANULE_PAGES;
	unsigned long flags = mheap_lock(m->heap);
	u32 page;

	for (page = 0; page < PALLOC_CHUNK_PAGES; page++)
		if (test_bit(page, c->palloc.data.alloc.b))
			pagealloc_free(p, base + page * GOALLOC_PAGE_SIZE, 1);
	pagealloc_set_scavenged(p, base, PALLOC_CHUNK_PAGES);
	if (linear) {
		pagealloc_set_block(p, base, 0);
		pagealloc_set_block(p, base + SZ_2M, 0);
		memset(c->granule, 0, GOALLOC_CHUNK_GRANULES * sizeof(*c->granule));
	}
	switch (kind) {
	case IN_USE:
		pagealloc_alloc_range(p, base, PALLOC_CHUNK_PAGES);
		break;
	case PARTLY:
		pagealloc_alloc_range(p, base + half, 1 + (r >> 8) % 250);
		break;
	case IDLE_PAGES:
		if (linear) {
			pagealloc_set_block(p, base + half, 16);
			/* Something, which nobody looks at. */
			c->granule[granule + (r >> 8) % 16] = m;
		}
		pagealloc_clear_scavenged(p, base + half + (r >> 8) % 16 * SZ_128K, 16);
		break;
	case IDLE_USED:
	case IDLE_WHOLE:
		if (linear) {
			pagealloc_set_block(p, base + half, 256);
			c->granule[granule] = m;
		}
		pagealloc_clear_scavenged(p, base + half, 256);
		if (kind == IDLE_USED)
			pagealloc_alloc_range(p, base + half + (r >> 8) % 256 *
					      GOALLOC_PAGE_SIZE, 1);
		break;
	case HOLES:
	case IDLE_HOLES:
		pagealloc_alloc_range(p, base + half, 256);
		if (!linear)
			break;
		pagealloc_set_block(p, base + half, 256);
		c->granule[granule] = m;
		page = (r >> 8) % (256 / SPARSE_UNIT_PAGES) * SPARSE_UNIT_PAGES;
		pagealloc_set_scavenged(p, base + half, 256);
		pagealloc_clear_scavenged(p, base + half + page * GOALLOC_PAGE_SIZE,
					  SPARSE_UNIT_PAGES);
		if (kind == IDLE_HOLES)
			pagealloc_free(p, base + half + page * GOALLOC_PAGE_SIZE,
				       SPARSE_UNIT_PAGES);
		break;
	default:
		break;
	}
	mheap_chunk_changed(m->heap, c, base);
	mheap_unlock(m->heap, flags);
	m->kind[i] = kind;
}

/* Chunks here and there: beside each other, in an arena, an entry, anywhere. */
static void index_places(struct index_model *m, struct rnd_state *rnd)
{
	u32 n = 0, all = 0;

	m->chunk[n++] = 0;
	m->chunk[n++] = GOALLOC_NR_CHUNKS - 1;
	while (n < INDEX_CHUNKS) {
		u32 r = prandom_u32_state(rnd), near = m->chunk[(r >> 8) % n], at;

		switch (r % 4) {
		case 0:
			at = near + 1;
			break;
		case 1:
			at = round_down(near, GOALLOC_ARENA_CHUNKS) +
				(r >> 16) % GOALLOC_ARENA_CHUNKS;
			break;
		case 2:
			at = round_down(near, GOALLOC_L2_CHUNKS) + (r >> 16) % GOALLOC_L2_CHUNKS;
			break;
		default:
			at = prandom_u32_state(rnd) % GOALLOC_NR_CHUNKS;
		}
		m->chunk[n++] = min(at, GOALLOC_NR_CHUNKS - 1);
	}
	sort(m->chunk, n, sizeof(*m->chunk), compare_u32, NULL);
	for (u32 i = 0; i < n; i++)
		if (!i || m->chunk[i] != m->chunk[i - 1])
			m->chunk[all++] = m->chunk[i];
	m->n = all;
}

static u64 index_want(const struct index_model *m, enum mheap_index index, u64 below)
{
	for (u32 i = m->n; i--;) {
		u64 base = goalloc_chunk_base(m->chunk[i]);

		if (base < below && kind_index[m->heap->backing][m->kind[i]] & BIT(index))
			return base;
	}
	return 0;
}

static void index_random(struct kunit *test, enum goalloc_backing backing)
{
	struct index_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	struct goalloc_heap *heap = heap_kunit_create(test, backing, 0);
	u64 idle = 0, all = percpu_counter_sum(&goalloc_idle);
	u32 found = 0, none = 0, wrong = 0;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = heap;
	/* Nobody who is short of memory is to come for what the index only pretends. */
	heap->scav_again = jiffies + 3600 * HZ;
	seed_random(test, &rnd);
	index_places(m, &rnd);
	/* A heap that has come so far stands in for one that grew so far. */
	for (u32 i = 0; i < m->n; i++) {
		u64 base = goalloc_chunk_base(m->chunk[i]);
		struct goalloc_chunk *c;

		/* Built by whom it belongs to, taken by the test. */
		heap->cur_arena = base;
		if (backing == BACKING_SPARSE) {
			KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap,
								      PALLOC_CHUNK_PAGES));
		} else {
			KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, PALLOC_HALF_PAGES));
			KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, PALLOC_HALF_PAGES));
		}
		c = mheap_chunk(heap, base);
		KUNIT_ASSERT_NOT_NULL(test, c);
		KUNIT_ASSERT_TRUE(test, bitmap_full(c->palloc.data.alloc.b, PALLOC_CHUNK_PAGES));
	}
	for (u64 next = 0, i = 0; i < 2 * INDEX_CHUNKS; i++) {
		struct mspan *s = mheap_next_span(heap, &next);

		if (!s)
			break;
		mheap_return_span(s);
	}
	scavenge(heap, GOALLOC_NO_LIMIT - 1, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	KUNIT_ASSERT_EQ(test, atomic64_read(&heap->backed), 0);
	for (u32 i = 0; i < m->n; i++) {
		m->kind[i] = EMPTY;
		KUNIT_EXPECT_EQ(test, mheap_chunk(heap, goalloc_chunk_base(m->chunk[i]))->indexed,
				BIT(INDEX_EMPTY));
	}

	for (u32 op = 0; op < INDEX_OPS; op++) {
		u32 r = prandom_u32_state(&rnd), i = (r >> 8) % m->n;
		enum mheap_index index = r % MHEAP_INDICES;
		u64 below = goalloc_chunk_base(m->chunk[(r >> 16) % m->n]) +
			((r >> 4) % 3 - 1) * (r & 64 ? PALLOC_CHUNK_SIZE : 1), got;
		unsigned long flags;

		/* Few of a kind in some stretches, many in others. */
		r = prandom_u32_state(&rnd);
		if (op / 500 % 2 && r & 7)
			r = 0;
		idle -= kind_idle[backing][m->kind[i]];
		index_set(m, i, r % KINDS, prandom_u32_state(&rnd));
		idle += kind_idle[backing][m->kind[i]];
		if (!(op % 16))
			below = op % 32 ? GOALLOC_HEAP_END : GOALLOC_HEAP_BASE + op % 3;
		flags = mheap_lock(heap);
		got = mheap_find_chunk(heap, index, below);
		mheap_unlock(heap, flags);
		if (got != index_want(m, index, below))
			KUNIT_FAIL(test, "op %u: index %u below %#llx: %#llx, want %#llx", op,
				   index, below, got, index_want(m, index, below));
		wrong += got != index_want(m, index, below) || heap->pages_idle != idle ||
			mheap_chunk(heap, goalloc_chunk_base(m->chunk[i]))->indexed !=
			kind_index[backing][m->kind[i]];
		KUNIT_ASSERT_EQ_MSG(test, wrong, 0, "op %u", op);
		found += !!got;
		none += !got;
	}
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&goalloc_idle) - all, idle);
	kunit_info(test, "%u chunks, %u found, %u times none\n", m->n, found, none);
	KUNIT_EXPECT_GT(test, found, INDEX_OPS / 4);
	KUNIT_EXPECT_GT(test, none, 0);
	/* As a heap knows it, so that it can end. */
	for (u32 i = 0; i < m->n; i++)
		index_set(m, i, EMPTY, 0);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	heap_kunit_end(test, heap);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&goalloc_idle), all);
}

static void tables_index_linear(struct kunit *test)
{
	index_random(test, BACKING_LINEAR);
}

static void tables_index_sparse(struct kunit *test)
{
	index_random(test, BACKING_SPARSE);
}

/* What the heap says can be given back is what is given back, at any time. */
static void idle_random(struct kunit *test, enum goalloc_backing backing)
{
	struct goalloc_heap *heap = heap_kunit_create(test, backing, 0);
	struct mspan *s[40];
	struct rnd_state rnd;
	u64 given = 0;
	u32 n = 0;

	seed_random(test, &rnd);
	for (u32 op = 0; op < 1500; op++) {
		u32 r = prandom_u32_state(&rnd), i = n ? (r >> 8) % n : 0;
		u64 idle;

		if (r % 10 < 5 && n < ARRAY_SIZE(s)) {
			u64 npages = 1 + (r >> 8) % (r & BIT(30) ? 300 : 30);

			if (backing == BACKING_LINEAR)
				npages = min(npages, PALLOC_HALF_PAGES);
			s[n] = sparse_kunit_span(heap, npages);
			KUNIT_ASSERT_NOT_NULL(test, s[n]);
			for (u32 p = 0; backing == BACKING_SPARSE && p < npages; p += 1 + r % 3)
				sparse_kunit_touch(heap, s[n]->start_addr +
						   p * GOALLOC_PAGE_SIZE, 1);
			n++;
		} else if (r % 10 < 9 && n) {
			mheap_return_span(s[i]);
			s[i] = s[--n];
		} else {
			if (r & 256)
				mheap_flush_page_caches(heap);
			idle = heap->pages_idle << GOALLOC_PAGE_SHIFT;
			/* Without a request what CPUs have set aside stays. */
			KUNIT_ASSERT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT - 1,
						       r & 256 ? SCAVENGE_REQUEST :
								 SCAVENGE_LIMIT), idle);
			KUNIT_ASSERT_EQ(test, heap->pages_idle, 0);
			given += idle;
		}
		if (op % 500 == 499)
			heap_kunit_check(test, heap, 0);
	}
	KUNIT_EXPECT_GT(test, given, 0);
}

static void tables_idle_linear(struct kunit *test)
{
	idle_random(test, BACKING_LINEAR);
}

static void tables_idle_sparse(struct kunit *test)
{
	idle_random(test, BACKING_SPARSE);
}

#define LAYOUT_MAX	2200

/* A layout written out. Returns how many there are. */
static u32 layout_expand(struct kunit *test, const char *layout, char *out)
{
	u32 len = 0;

	while (*layout) {
		u32 n = 0;

		while (isdigit(*layout))
			n = n * 10 + *layout++ - '0';
		n = n ?: 1;
		KUNIT_ASSERT_LE(test, len + n, LAYOUT_MAX);
		memset(out + len, *layout++, n);
		len += n;
	}
	out[len] = 0;
	return len;
}

/* What tables of these chunks take; entries of the first level stay. */
static u64 tables_bytes(const char *layout, u32 l2)
{
	u64 bytes = l2 * sizeof(struct goalloc_arena_l2);
	u32 len = strlen(layout);

	for (u32 i = 0; i < len; i += GOALLOC_ARENA_CHUNKS) {
		u32 n = 0;

		for (u32 j = i; j < min(len, i + GOALLOC_ARENA_CHUNKS); j++) {
			n += layout[j] != '-';
			/* Only a chunk that has one or had has a table of its pages. */
			if (layout[j] == 'B')
				bytes += SPARSE_CHUNK_UNITS * sizeof(struct page *);
		}
		bytes += n * sizeof(struct goalloc_chunk);
		bytes += n ? sizeof(struct goalloc_arena) : 0;
	}
	return bytes;
}

static void tables_check(struct kunit *test, struct goalloc_heap *heap, const char *layout)
{
	u32 len = strlen(layout), gaps = 0, wrong = 0;

	for (u32 i = 0; i < len; i++) {
		struct goalloc_chunk *c = mheap_chunk(heap, goalloc_chunk_base(i));
		char is = !c ? '-' : c->indexed == BIT(INDEX_EMPTY) ? 'E' : c->idle ? 'B' : 'U';

		if (is != layout[i] && !wrong++)
			KUNIT_FAIL(test, "chunk %u: %c, want %c", i, is, layout[i]);
		gaps += layout[i] == '-';
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_NULL(test, mheap_chunk(heap, goalloc_chunk_base(len)));
	KUNIT_EXPECT_EQ(test, goalloc_chunk_index(heap->cur_arena), len);
	KUNIT_EXPECT_EQ(test, heap->ngaps, gaps);
	KUNIT_EXPECT_EQ(test, heap->pages_sys, (len - gaps) * PALLOC_CHUNK_PAGES);
}

/*
 * @keep, @from: what mheap_release_tables() is told. @spans: of so many chunks
 * one after the other come then, the digit's worth each, and where they begin.
 */
static const struct release_row {
	const char *what;
	const char *before;
	u32 keep, from;
	u32 gone;
	const char *after;
	const char *spans;
	u32 at[6];
} release_rows[] = {
	{ "one", "E", 0, 0, 1, "", "11", { 0, 1 } },
	{ "all", "4E", 0, 0, 4, "", "21", { 0, 2 } },
	{ "none is empty", "3UB", 0, 0, 0, "3UB", "1", { 3 } },
	{ "what is backed stays", "EBEB", 0, 0, 2, "-B-B", "" },
	{ "above what is used", "U3E", 0, 0, 3, "U", "11", { 1, 2 } },
	{ "below what is used", "3EU", 0, 0, 3, "3-U", "1113", { 0, 1, 2, 4 } },
	{ "gaps, lowest first", "EUEUEU", 0, 0, 3, "-U-U-U", "1111", { 0, 2, 4, 6 } },
	{ "the first gap that is long enough", "EU2EUE2UEU", 0, 0, 5, "-U2-U-2U-U", "2111",
	  { 2, 0, 5, 8 } },
	{ "no gap is long enough", "EU2EU", 0, 0, 3, "-U2-U", "32", { 5, 2 } },
	{ "part of a gap", "U5EU", 0, 0, 5, "U5-U", "231", { 1, 3, 7 } },
	{ "so much is kept", "2EUE", 2, 0, 2, "E-U", "11", { 0, 1 } },
	{ "all is kept", "2EUE", 4, 0, 0, "2EUE", "1", { 0 } },
	{ "more is kept than there is", "2E", 9, 0, 0, "2E", "2", { 0 } },
	{ "from the middle on", "4E", 0, 2, 2, "2E", "3", { 0 } },
	{ "from the middle on, used above", "4EU", 0, 2, 2, "2E2-U", "22", { 0, 2 } },
	{ "from behind the end on", "4E", 0, 4, 0, "4E", "4", { 0 } },
	{ "keep and from", "6EU", 6, 3, 1, "5E-U", "5", { 0 } },
	{ "an arena", "16U16E16U", 0, 0, 16, "16U16-16U", "9", { 16 } },
	{ "an arena's last", "16UE15U", 0, 0, 1, "16U-15U", "11", { 16, 32 } },
	{ "arenas", "U100EU", 0, 0, 100, "U100-U", "911", { 1, 10, 11 } },
	{ "an entry of the first level", "2060E", 0, 0, 2060, "", "1", { 0 } },
	{ "over its end", "2040U20E", 0, 0, 20, "2040U", "9", { 2040 } },
	{ "a gap that reaches over its end", "2040U16EU", 0, 0, 16, "2040U16-U", "98",
	  { 2040, 2057 } },
};

KUNIT_ARRAY_PARAM_DESC(release, release_rows, what);

static void tables_release(struct kunit *test)
{
	const struct release_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_SPARSE, 0);
	struct mspan **s = kunit_kcalloc(test, LAYOUT_MAX, sizeof(*s), GFP_KERNEL);
	char *layout = kunit_kzalloc(test, LAYOUT_MAX + 1, GFP_KERNEL);
	u32 n = layout_expand(test, row->before, layout), l2, built;
	u64 nodes;

	KUNIT_ASSERT_NOT_NULL(test, s);
	l2 = DIV_ROUND_UP(n, GOALLOC_L2_CHUNKS);
	for (u32 i = 0; i < n; i++) {
		s[i] = sparse_kunit_span(heap, PALLOC_CHUNK_PAGES);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		if (layout[i] == 'B')
			sparse_kunit_touch(heap, s[i]->start_addr, 1);
	}
	for (u32 i = n; i--;)
		if (layout[i] != 'U')
			mheap_return_span(s[i]);
	tables_check(test, heap, layout);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), tables_bytes(layout, l2));

	KUNIT_EXPECT_EQ(test, mheap_release_tables(heap, row->keep * PALLOC_CHUNK_PAGES,
						   goalloc_chunk_base(row->from)), row->gone);
	n = layout_expand(test, row->after, layout);
	tables_check(test, heap, layout);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), tables_bytes(layout, l2));
	if (n < 100)
		heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, !atomic64_read(&heap->pages.meta_bytes), !heap->pages_sys);
	nodes = atomic64_read(&heap->pages.meta_bytes);

	/* What comes next, and goes again. */
	built = strlen(row->spans);
	for (u32 i = 0; i < built; i++) {
		s[i] = sparse_kunit_span(heap, (row->spans[i] - '0') * PALLOC_CHUNK_PAGES);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_EXPECT_EQ_MSG(test, goalloc_chunk_index(s[i]->start_addr), row->at[i],
				    "span %u", i);
	}
	if (n < 100)
		heap_kunit_check(test, heap, 0);
	while (built--)
		mheap_return_span(s[built]);
	if (row->keep || row->from)
		return;
	mheap_release_tables(heap, 0, 0);
	tables_check(test, heap, layout);
	l2 = max(l2, DIV_ROUND_UP(row->at[0] + 1, GOALLOC_L2_CHUNKS));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), tables_bytes(layout, l2));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages.meta_bytes), nodes);
}

/* A heap that was large for once: by request it is what it was before. */
static void tables_shrink_heap(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };

	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		struct goalloc_heap *heap = heap_kunit_create(test, backings[b], 0);
		struct mspan *low = sparse_kunit_span(heap, 16), *s[60];
		s64 before, nodes;
		u64 held;

		KUNIT_ASSERT_NOT_NULL(test, low);
		scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		before = atomic64_read(&heap->gc_bytes);
		nodes = atomic64_read(&heap->pages.meta_bytes);
		rcu_barrier();
		held = mheap_held(heap);
		for (u32 i = 0; i < ARRAY_SIZE(s); i++) {
			/* Of the linear heap some are mapped, and some have blocks. */
			s[i] = sparse_kunit_span(heap, i % 3 ? 200 : 700);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
		}
		KUNIT_EXPECT_GT(test, atomic64_read(&heap->gc_bytes), before);
		for (u32 i = 0; i < ARRAY_SIZE(s); i++)
			mheap_return_span(s[i]);
		heap_kunit_check(test, heap, 0);
		scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		/* It keeps tables of 16 chunks more than it needs. */
		KUNIT_EXPECT_LE(test, heap->pages_sys, 17 * PALLOC_CHUNK_PAGES);
		mheap_release_tables(heap, 1, 0);
		KUNIT_EXPECT_EQ(test, heap->pages_sys, PALLOC_CHUNK_PAGES);
		KUNIT_EXPECT_EQ(test, heap->ngaps, 0);
		KUNIT_EXPECT_EQ(test, heap->cur_arena, goalloc_chunk_base(1));
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), before);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages.meta_bytes), nodes);
		rcu_barrier();
		KUNIT_EXPECT_EQ(test, mheap_held(heap), held);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

/* Growth fails at any of its allocations: what it had made is the heap's or gone. */
static void tables_growth_fails(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		bool failed = true;

		for (u32 nth = 1; failed; nth += nth < 8 ? 1 : 9) {
			struct goalloc_heap *heap = heap_kunit_first_fit(test, backings[b], 0);
			struct mspan *s, *low = sparse_kunit_span(heap, PALLOC_HALF_PAGES);
			s64 bytes, nodes;

			KUNIT_ASSERT_NOT_NULL(test, low);
			bytes = atomic64_read(&heap->gc_bytes);
			nodes = atomic64_read(&heap->pages.meta_bytes);
			/* And those after it: what is missing once may be had again. */
			goalloc_fail_run(nth, 1000);
			s = sparse_kunit_span(heap, 20 * PALLOC_CHUNK_PAGES);
			failed = goalloc_fail_left() < 1000;
			goalloc_fail_nth(0);
			KUNIT_EXPECT_EQ_MSG(test, !s, failed, "allocation %u", nth);
			if (!s && backings[b] == BACKING_SPARSE && heap->pages_sys <=
			    PALLOC_CHUNK_PAGES) {
				KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), bytes);
				KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages.meta_bytes),
						nodes);
			}
			if (s)
				mheap_return_span(s);
			mheap_release_tables(heap, 0, 0);
			KUNIT_EXPECT_EQ(test, heap->pages_sys, PALLOC_CHUNK_PAGES);
			KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes), bytes);
			KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages.meta_bytes), nodes);
			heap_kunit_check(test, heap, 0);
			heap_kunit_end(test, heap);
			KUNIT_ASSERT_LT(test, nth, 200);
			if (!failed)
				KUNIT_EXPECT_GT(test, nth, 20);
		}
	}
}

/*
 * Tables go while others make spans of many chunks and of few pages, return
 * them, and look addresses up; and now and then there is no memory for tables.
 */
#define TABLES_SPANS	10

struct tables_work {
	struct goalloc_heap *heap;
	u32 ops;
	unsigned long end;	/* as many as they can until then */
	atomic_t left;		/* who still works */
	atomic64_t gone, missing;
	ulong seed;
};

static void tables_other(struct tables_work *w, struct crew *crew, u32 who, struct rnd_state *rnd)
{
	u32 r = prandom_u32_state(rnd);

	if (who) {
		for (u32 i = 0; i < 200; i++) {
			u64 addr = goalloc_page_addr(prandom_u32_state(rnd) % (40 * 512));
			struct goalloc_chunk *c;
			struct mspan *s;

			rcu_read_lock();
			if (w->heap->backing == BACKING_SPARSE) {
				s = span_of_heap(w->heap, addr);
				if (s && s->heap != w->heap)
					atomic_inc(&crew->bad);
			}
			c = mheap_chunk(w->heap, addr);
			if (c && READ_ONCE(c->palloc.block_pages[0]) > PALLOC_HALF_PAGES)
				atomic_inc(&crew->bad);
			rcu_read_unlock();
		}
		if (!(r & 15))
			goalloc_fail_run(1 + (r >> 8) % 20, 1 + (r >> 16) % 3);
		return;
	}
	if (r & 1)
		atomic64_add(mheap_release_tables(w->heap, (r >> 8) % 20 * PALLOC_CHUNK_PAGES,
						  goalloc_chunk_base((r >> 16) % 8)), &w->gone);
	else
		scavenge(w->heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
}

static void tables_crew(struct crew *crew, u32 who)
{
	struct tables_work *w = crew->arg;
	struct mspan *s[TABLES_SPANS] = {};
	struct rnd_state rnd;

	prandom_seed_state(&rnd, w->seed + who);
	for (u32 op = 0; who < 2 ? atomic_read(&w->left) :
	     op < w->ops && (op < 60 || time_before(jiffies, w->end)); op++) {
		u32 r = prandom_u32_state(&rnd), i = (r >> 8) % TABLES_SPANS, n;

		cond_resched();
		if (READ_ONCE(crew->stop))
			break;
		if (who < 2) {
			tables_other(w, crew, who, &rnd);
			continue;
		}
		if (s[i]) {
			mheap_return_span(s[i]);
			s[i] = NULL;
			continue;
		}
		n = r & 3 ? 1 + (r >> 16) % 40 : 1 + (r >> 16) % 3000;
		if (w->heap->backing == BACKING_LINEAR)
			n = min(n, PALLOC_HALF_PAGES);
		s[i] = sparse_kunit_span(w->heap, n);
		if (!s[i])
			atomic64_inc(&w->missing);
		else if (w->heap->backing == BACKING_LINEAR)
			*(u64 *)s[i]->base = op;
		else if (heap_kunit_span_of(w->heap, s[i]->start_addr +
					    (n - 1) * GOALLOC_PAGE_SIZE) != s[i])
			atomic_inc(&crew->bad);
	}
	for (u32 i = 0; i < TABLES_SPANS; i++)
		if (s[i])
			mheap_return_span(s[i]);
	if (who > 1)
		atomic_dec(&w->left);
}

static void tables_threads(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct rnd_state rnd;
	u64 gone = 0;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	seed_random(test, &rnd);
	for (u32 round = 0; round < 4; round++) {
		struct tables_work w = {
			.heap = heap_kunit_create(test, backings[round % 2], 0),
			.ops = 600,
			/* Others may be given more of the lock than they are. */
			.end = jiffies + 15 * HZ,
			.left = ATOMIC_INIT(3),
			.seed = prandom_u32_state(&rnd),
		};
		struct mspan *s = sparse_kunit_span(w.heap, 16);

		KUNIT_ASSERT_NOT_NULL(test, s);
		crew_run(test, crew, 5, 0, tables_crew, &w);
		goalloc_fail_nth(0);
		kunit_info(test, "%lld chunks went, %lld spans were not to be had\n",
			   atomic64_read(&w.gone), atomic64_read(&w.missing));
		gone += atomic64_read(&w.gone);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(w.heap), 16);
		heap_kunit_check(test, w.heap, 0);
		mheap_return_span(s);
		scavenge(w.heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		mheap_release_tables(w.heap, 0, 0);
		KUNIT_EXPECT_EQ(test, w.heap->pages_sys, 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(w.heap), 0);
		KUNIT_EXPECT_EQ(test, w.heap->ngaps, 0);
		KUNIT_EXPECT_EQ(test, w.heap->cur_arena, GOALLOC_HEAP_BASE);
		/* A growth that failed may leave a chunk in its gap, for the next one. */
		KUNIT_EXPECT_LE(test, atomic64_read(&w.heap->gc_bytes),
				sizeof(struct goalloc_arena_l2) + 8 * SZ_1K);
		KUNIT_EXPECT_EQ(test, atomic64_read(&w.heap->pages.meta_bytes), 0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&w.heap->backed), 0);
		heap_kunit_check(test, w.heap, 0);
		/* And from nothing again. */
		s = sparse_kunit_span(w.heap, 1);
		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_EXPECT_EQ(test, s->start_addr, GOALLOC_HEAP_BASE);
		heap_kunit_check(test, w.heap, 0);
		heap_kunit_end(test, w.heap);
	}
	KUNIT_EXPECT_GT(test, gone, 0);
}

/* Nothing outlives a heap that others give tables of back until its end. */
static void tables_end(struct kunit *test)
{
	s64 idle = percpu_counter_sum(&goalloc_idle), charged, held;

	rcu_barrier();
	held = percpu_counter_sum(&goalloc_held);
	charged = atomic64_read(&goalloc_pages_charged);
	for (u32 round = 0; round < 20; round++) {
		struct goalloc_heap *heap = heap_kunit_create(test, round & 1 ? BACKING_LINEAR :
							      BACKING_SPARSE, 0);
		struct mspan *s[6];

		for (u32 i = 0; i < ARRAY_SIZE(s); i++) {
			s[i] = sparse_kunit_span(heap, 1 + (round * 7 + i * 113) % 700);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			if (heap->backing == BACKING_SPARSE)
				sparse_kunit_touch(heap, s[i]->start_addr, 1);
		}
		for (u32 i = round % 3; i < ARRAY_SIZE(s); i += 2)
			mheap_return_span(s[i]);
		if (round & 2)
			mheap_release_tables(heap, 0, 0);
		heap_kunit_end(test, heap);
		rcu_barrier();
		KUNIT_EXPECT_EQ(test, percpu_counter_sum(&goalloc_held), held);
		KUNIT_EXPECT_EQ(test, percpu_counter_sum(&goalloc_idle), idle);
		KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), charged);
	}
}

static struct kunit_case tables_cases[] = {
	KUNIT_CASE_SLOW(tables_index_linear),
	KUNIT_CASE_SLOW(tables_index_sparse),
	KUNIT_CASE_SLOW(tables_idle_linear),
	KUNIT_CASE_SLOW(tables_idle_sparse),
	KUNIT_CASE_PARAM(tables_release, release_gen_params),
	KUNIT_CASE_SLOW(tables_shrink_heap),
	KUNIT_CASE_SLOW(tables_growth_fails),
	KUNIT_CASE_SLOW(tables_threads),
	KUNIT_CASE_SLOW(tables_end),
	{}
};

static struct kunit_suite tables_suite = {
	.name = "goalloc_tables",
	.test_cases = tables_cases,
};

kunit_test_suite(tables_suite);

GOALLOC_KUNIT_IMPORT;
