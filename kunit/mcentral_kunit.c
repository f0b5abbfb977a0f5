// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mcentral: the sets of each span class, and what makes a span change
 * sets.
 *
 * Spans are of a heap of the test's own; the bits of those that a case needs
 * in a given state are set by hand while it holds them.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>

#include "../goalloc/compat.h"
#include "../goalloc/sweep.h"
#include "test_heap.h"

/* 1152 bytes: 7 objects in a span of one page. */
#define SIZE	1152
#define NELEMS	7
#define SPC	make_spanclass(33, false)
#define ALL	((u32)GENMASK(NELEMS - 1, 0))

static int mcentral_test_init(struct kunit *test)
{
	test_pin(test, 0);
	return 0;
}

/* A span that the test holds, with these slots free. */
static struct mspan *held_span(struct kunit *test, struct goalloc_heap *heap, u32 free)
{
	struct mspan *s = mheap_alloc_span(heap, 1, 1, SPC, SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_EQ(test, s->nelems, NELEMS);
	KUNIT_ASSERT_EQ(test, s->place, MSPAN_HELD);
	KUNIT_ASSERT_EQ(test, s->sweepgen, heap->sweepgen);
	s->words[0].free = free;
	return s;
}

/* What goalloc_free() does of a slot of a span that is not its own. */
static bool freed(struct mspan *s)
{
	bool gone;

	rcu_read_lock();
	gone = mcentral_freed(s, 0);
	rcu_read_unlock();
	if (gone)
		mheap_free_span(s);
	return gone;
}

/* Spans in a partial set, whatever their bands. */
static u64 in_partial(struct mcentral *c, u32 set)
{
	u64 n = 0;

	for (u32 band = 0; band < MCENTRAL_BANDS; band++)
		n += list_count_nodes(&c->partial[set][band]);
	return n;
}

static void expect_counts(struct kunit *test, struct mcentral *c, u64 npartial, u64 nfull,
			  u32 nempty)
{
	KUNIT_EXPECT_EQ(test, mcentral_npartial(c), npartial);
	KUNIT_EXPECT_EQ(test, c->nfull, nfull);
	KUNIT_EXPECT_EQ(test, c->nempty, nempty);
	KUNIT_EXPECT_EQ(test, in_partial(c, 0) + in_partial(c, 1), npartial);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&c->full[0]) + list_count_nodes(&c->full[1]),
			nfull);
}

/* Where a span goes by its bits. */
static const struct put_case {
	const char *name;
	u32 free, remote;
	u32 spares;	/* kept before */
	enum mspan_place place;
	bool gone;
} put_cases[] = {
	{ "full", 0, 0, 0, MSPAN_FULL },
	{ "a free slot", 0x4, 0, 0, MSPAN_PARTIAL },
	{ "a remote free", 0, 0x40, 0, MSPAN_PARTIAL },
	{ "both", 0x1, 0x40, 0, MSPAN_PARTIAL },
	{ "one live", ALL & ~1U, 0, 0, MSPAN_PARTIAL },
	{ "none live, none kept yet", ALL, 0, 0, MSPAN_PARTIAL },
	{ "none live, by remote frees", 0x3, ALL & ~3U, 0, MSPAN_PARTIAL },
	{ "none live, one kept", ALL, 0, 1, MSPAN_HELD, true },
	{ "none live by remote frees, one kept", 0, ALL, 1, MSPAN_HELD, true },
	{ "one live, one kept", ALL & ~1U, 0, 1, MSPAN_PARTIAL },
};

KUNIT_ARRAY_PARAM_DESC(put, put_cases, name);

static void mcentral_puts(struct kunit *test)
{
	const struct put_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s;
	bool empty;

	KUNIT_ASSERT_EQ(test, c->maxempty, 1);
	if (row->spares)
		mcentral_put(c, held_span(test, heap, ALL));
	expect_counts(test, c, row->spares, 0, row->spares);
	s = held_span(test, heap, row->free);
	s->words[0].kept &= ~row->remote;
	empty = mspan_all_free(s);
	mcentral_put(c, s);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), row->spares + !row->gone);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), row->spares + !row->gone);
	if (!row->gone) {
		KUNIT_EXPECT_EQ(test, s->place, row->place);
		KUNIT_EXPECT_EQ(test, s->empty, empty);
	}
	expect_counts(test, c, row->spares + (row->place == MSPAN_PARTIAL),
		      row->place == MSPAN_FULL, row->spares ? 1 : empty);
}

/*
 * The counts show no span, as they may while one moves: the lock is not taken for that,
 * but where no span can be made it is.
 */
static void mcentral_counts_late(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s = held_span(test, heap, 0x4);
	u32 *count;
	u64 locks;

	mcentral_put(c, s);
	count = &c->npartial[s->band];
	KUNIT_ASSERT_EQ(test, *count, 1);
	*count = 0;
	locks = c->locks;
	KUNIT_EXPECT_NULL(test, mcentral_cache_span_fast(c, NULL));
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	heap->max = mheap_pages_in_use(heap) << GOALLOC_PAGE_SHIFT;
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span(c, GFP_KERNEL), s);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	*count += 1;
	expect_counts(test, c, 0, 0, 0);
	/* Now there is none, wherever one looks. */
	KUNIT_EXPECT_NULL(test, mcentral_cache_span(c, GFP_KERNEL));
	heap->max = GOALLOC_NO_LIMIT;
	mcentral_uncache_span(c, s);
	expect_counts(test, c, 1, 0, 0);
}

/* A full span is found again at its first free (I4). */
static void mcentral_full_to_partial(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	void *objs[NELEMS + 1];
	struct mspan *s;
	u64 locks;

	KUNIT_ASSERT_EQ(test, test_fill_span(test, heap, SIZE, objs), NELEMS);
	s = test_span(objs[0]);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_FULL);
	expect_counts(test, c, 0, 1, 0);
	/* No free has come: nothing is done, nothing handed out. */
	KUNIT_EXPECT_FALSE(test, freed(s));
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_FULL);
	KUNIT_EXPECT_NULL(test, mcentral_cache_span_fast(c, NULL));

	goalloc_free(objs[3]);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_PARTIAL);
	expect_counts(test, c, 1, 0, 0);
	/* The second one only sets its bit: the lock is not taken for it. */
	locks = c->locks;
	goalloc_free(objs[4]);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	KUNIT_EXPECT_EQ(test, ~s->words[0].kept, BIT(3) | BIT(4) | ~ALL);
	expect_counts(test, c, 1, 0, 0);

	/* It is what the next refill gets. */
	preempt_disable();
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span_fast(c, NULL), s);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	expect_counts(test, c, 0, 0, 0);
	mcentral_uncache_span(c, s);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_PARTIAL);
	test_books(test, heap, NELEMS - 1);
}

/* Spans with nothing live go back to the page heap, but for the spare (I4). */
static void mcentral_all_free(struct kunit *test)
{
	enum { SPANS = 5 };
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s[SPANS];
	u32 i, slot;

	for (i = 0; i < SPANS; i++) {
		s[i] = held_span(test, heap, 0);
		mcentral_put(c, s[i]);
	}
	expect_counts(test, c, 0, SPANS, 0);
	for (i = 0; i < SPANS; i++) {
		for (slot = 0; slot < NELEMS; slot++) {
			bool last = slot == NELEMS - 1;

			KUNIT_ASSERT_EQ(test, mspan_free_remote(s[i], slot), 0);
			KUNIT_EXPECT_EQ(test, freed(s[i]), last && i >= c->maxempty);
			if (!last)
				KUNIT_EXPECT_EQ(test, s[i]->place, MSPAN_PARTIAL);
		}
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS - i);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), SPANS - i);
		expect_counts(test, c, 1, SPANS - 1 - i, 1);
	}
	KUNIT_EXPECT_EQ(test, s[0]->empty, 1);

	/* A spare that is used is none any more, and then another is kept. */
	preempt_disable();
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span_fast(c, NULL), s[0]);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, s[0]->empty, 0);
	expect_counts(test, c, 0, 0, 0);
	s[1] = held_span(test, heap, ALL);
	mcentral_put(c, s[1]);
	expect_counts(test, c, 1, 0, 1);
	mcentral_uncache_span(c, s[0]);
	expect_counts(test, c, 1, 0, 1);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
}

/* By the API: every object of many spans freed, in two orders. */
static void mcentral_drain(struct kunit *test)
{
	enum { OBJS = 40 * NELEMS };
	struct goalloc_heap *heap = test_heap(test);
	void **objs = kunit_kcalloc(test, OBJS, sizeof(*objs), GFP_KERNEL);
	struct mcentral *c = &heap->central[SPC];

	KUNIT_ASSERT_NOT_NULL(test, objs);
	for (u32 step = 1; step <= 11; step += 10) {
		for (u32 i = 0; i < OBJS; i++) {
			objs[i] = goalloc_heap_alloc(heap, SIZE, GOALLOC_SCAN, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, objs[i]);
		}
		test_books(test, heap, OBJS);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 40);
		/* 11 has no divisor in common with 280. */
		for (u32 i = 0; i < OBJS; i++)
			goalloc_free(objs[i * step % OBJS]);
		test_books(test, heap, 0);
		mcache_flush_all(heap);
		expect_counts(test, c, 1, 0, 1);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 1);
	}
}

/* Spans with live objects are used first, so that the others stay empty. */
static void mcentral_prefers_live(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *live[2], *spare;

	live[0] = held_span(test, heap, 0x1);
	spare = held_span(test, heap, ALL);
	live[1] = held_span(test, heap, ALL & ~1U);
	mcentral_put(c, live[0]);
	mcentral_put(c, spare);
	mcentral_put(c, live[1]);
	expect_counts(test, c, 3, 0, 1);
	preempt_disable();
	KUNIT_EXPECT_PTR_NE(test, mcentral_cache_span_fast(c, NULL), spare);
	KUNIT_EXPECT_PTR_NE(test, mcentral_cache_span_fast(c, NULL), spare);
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span_fast(c, NULL), spare);
	KUNIT_EXPECT_NULL(test, mcentral_cache_span_fast(c, NULL));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, live[0]->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, live[1]->place, MSPAN_CACHED);
	mcentral_uncache_span(c, live[0]);
	mcentral_uncache_span(c, live[1]);
	mcentral_uncache_span(c, spare);
	expect_counts(test, c, 3, 0, 1);
	/* A span that becomes empty in the sets goes behind as well. */
	KUNIT_ASSERT_EQ(test, list_is_last(&spare->list, &c->partial[(heap->sweepgen / 2) & 1]
					   [MCENTRAL_LESS]), 1);
}

/* Sizes of the cases below: 512, 16, 7 and 1 slots in a span. */
#define S512	16
#define S16	512
#define S7	SIZE
#define S1	8192

static u8 spc_of(u32 size)
{
	return make_spanclass(goalloc_size_to_class(size), false);
}

/* A span that the test holds, its first @live slots live. */
static struct mspan *live_span(struct kunit *test, struct goalloc_heap *heap, u32 size, u32 live)
{
	struct mspan *s = mheap_alloc_span(heap, 1, 1, spc_of(size), size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_LE(test, live, s->nelems);
	for (u32 slot = 0; slot < live; slot++)
		s->words[slot / MSPAN_WORD_SLOTS].free &= ~BIT(slot % MSPAN_WORD_SLOTS);
	KUNIT_ASSERT_EQ(test, mspan_live(s), live);
	return s;
}

/* Somebody else frees the first @n of the live slots. */
static void free_live(struct kunit *test, struct mspan *s, u32 n)
{
	for (u32 slot = 0; n && slot < s->nelems; slot++) {
		if (!mspan_slot_live(s, slot))
			continue;
		n--;
		rcu_read_lock();
		KUNIT_EXPECT_EQ(test, mspan_free_remote(s, slot), 0);
		KUNIT_EXPECT_FALSE(test, mcentral_freed(s, slot / MSPAN_WORD_SLOTS));
		rcu_read_unlock();
	}
	KUNIT_ASSERT_EQ(test, n, 0);
}

static struct mspan *refill(struct mcentral *c)
{
	struct mspan *s;

	preempt_disable();
	s = mcentral_cache_span_fast(c, NULL);
	preempt_enable();
	return s;
}

static void expect_bands(struct kunit *test, struct mcentral *c, const u32 *n)
{
	u32 set = (c->heap->sweepgen / 2) & 1;

	for (u32 band = 0; band < MCENTRAL_BANDS; band++) {
		KUNIT_EXPECT_EQ_MSG(test, c->npartial[band], n[band], "band %u", band);
		KUNIT_EXPECT_EQ_MSG(test, list_count_nodes(&c->partial[set][band]), n[band],
				    "band %u", band);
	}
}

/* Which band so many live slots make. */
static const struct band_case {
	const char *name;
	u32 size, live, band;
} band_cases[] = {
	{ "511 of 512", S512, 511, MCENTRAL_FEW },
	{ "480 of 512", S512, 480, MCENTRAL_FEW },
	{ "479 of 512", S512, 479, MCENTRAL_HALF },
	{ "256 of 512", S512, 256, MCENTRAL_HALF },
	{ "255 of 512", S512, 255, MCENTRAL_LESS },
	{ "1 of 512", S512, 1, MCENTRAL_LESS },
	{ "0 of 512", S512, 0, MCENTRAL_LESS },
	{ "15 of 16", S16, 15, MCENTRAL_FEW },
	{ "14 of 16", S16, 14, MCENTRAL_HALF },
	{ "8 of 16", S16, 8, MCENTRAL_HALF },
	{ "7 of 16", S16, 7, MCENTRAL_LESS },
	/* One slot of seven is more than 1/16, and no refill finds better. */
	{ "6 of 7", S7, 6, MCENTRAL_HALF },
	{ "4 of 7", S7, 4, MCENTRAL_HALF },
	{ "3 of 7", S7, 3, MCENTRAL_LESS },
	{ "1 of 7", S7, 1, MCENTRAL_LESS },
	{ "0 of 1", S1, 0, MCENTRAL_LESS },
};

KUNIT_ARRAY_PARAM_DESC(band, band_cases, name);

static void mcentral_band(struct kunit *test)
{
	const struct band_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[spc_of(row->size)];
	struct mspan *s = live_span(test, heap, row->size, row->live);
	u32 n[MCENTRAL_BANDS] = {};

	n[row->band] = 1;
	mcentral_put(c, s);
	KUNIT_EXPECT_EQ(test, s->band, row->band);
	expect_bands(test, c, n);
	KUNIT_EXPECT_PTR_EQ(test, refill(c), s);
	n[row->band] = 0;
	expect_bands(test, c, n);
	mcentral_uncache_span(c, s);
}

/*
 * Spans are put in this order, then slots of them freed by somebody else, and
 * then taken: a table of live slots, frees, and who is taken when.
 */
#define ORDER_SPANS	8

static const struct occupancy_case {
	const char *name;
	u32 size, n;
	u32 live[ORDER_SPANS];
	u32 frees[ORDER_SPANS];
	u32 order[ORDER_SPANS];
} occupancy_cases[] = {
	{ "fuller first", S16, 4, { 2, 6, 10, 14 }, {}, { 3, 2, 1, 0 } },
	{ "however they came", S16, 4, { 14, 2, 10, 6 }, {}, { 2, 0, 3, 1 } },
	{ "the last one of a band", S16, 4, { 12, 13, 8, 12 }, {}, { 3, 2, 1, 0 } },
	{ "few free slots behind", S16, 4, { 1, 15, 14, 15 }, {}, { 2, 0, 1, 3 } },
	{ "the spare last", S16, 4, { 0, 1, 15, 2 }, {}, { 3, 1, 2, 0 } },
	{ "nothing but few", S16, 3, { 15, 15, 15 }, {}, { 0, 1, 2 } },
	{ "one slot of seven", S7, 3, { 6, 3, 6 }, {}, { 2, 0, 1 } },
	{ "full, one freed", S16, 3, { 16, 16, 8 }, { 1, 1 }, { 2, 0, 1 } },
	{ "full, one freed of seven", S7, 3, { 7, 7, 4 }, { 1, 1 }, { 1, 0, 2 } },
	{ "full, many freed", S16, 3, { 16, 16, 8 }, { 4, 10 }, { 0, 2, 1 } },
	{ "full, nothing else", S16, 3, { 16, 16, 16 }, { 1, 12, 4 }, { 0, 1, 2 } },
	{ "one that drained", S16, 3, { 8, 14, 4 }, { 0, 12 }, { 0, 1, 2 } },
	{ "few that drained", S16, 4, { 15, 15, 15, 4 }, { 3, 9 }, { 0, 1, 3, 2 } },
	{ "drained, yet no worse", S16, 2, { 15, 14 }, { 3, 2 }, { 0, 1 } },
	{ "all drained", S16, 3, { 14, 10, 6 }, { 13, 9, 5 }, { 0, 1, 2 } },
	{ "words that drained", S512, 3, { 479, 300, 200 }, { 448 }, { 1, 0, 2 } },
	{ "words of few", S512, 3, { 500, 500, 200 }, { 20, 300 }, { 1, 2, 0 } },
	{ "one slot a span", S1, 1, { 0 }, {}, { 0 } },
};

KUNIT_ARRAY_PARAM_DESC(occupancy, occupancy_cases, name);

static void mcentral_occupancy(struct kunit *test)
{
	const struct occupancy_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[spc_of(row->size)];
	struct mspan *s[ORDER_SPANS], *t;
	u32 i, j;

	for (i = 0; i < row->n; i++) {
		s[i] = live_span(test, heap, row->size, row->live[i]);
		mcentral_put(c, s[i]);
	}
	for (i = 0; i < row->n; i++)
		free_live(test, s[i], row->frees[i]);
	for (i = 0; i < row->n; i++) {
		t = refill(c);
		for (j = 0; j < row->n && s[j] != t; j++)
			;
		KUNIT_EXPECT_EQ_MSG(test, j, row->order[i], "refill %u", i);
	}
	KUNIT_EXPECT_NULL(test, refill(c));
	expect_counts(test, c, 0, 0, 0);
	for (i = 0; i < row->n; i++)
		mcentral_uncache_span(c, s[i]);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(c), row->n);
}

/* A refill moves only so many spans that are emptier than their band says. */
static void mcentral_bounded(struct kunit *test)
{
	enum { STALE = 8, FEW = 5 };
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[spc_of(S16)];
	struct mspan *stale[STALE], *few[FEW], *better, *s;
	u32 i;

	/* The last one of the band. */
	better = live_span(test, heap, S16, 8);
	mcentral_put(c, better);
	for (i = 0; i < STALE; i++) {
		stale[i] = live_span(test, heap, S16, 14);
		mcentral_put(c, stale[i]);
	}
	for (i = 0; i < FEW; i++) {
		few[i] = live_span(test, heap, S16, 15);
		mcentral_put(c, few[i]);
	}
	expect_bands(test, c, (u32[]){ STALE + 1, 0, FEW });
	for (i = 0; i < STALE; i++)
		free_live(test, stale[i], 12);
	for (i = 0; i < FEW; i++)
		free_live(test, few[i], 10);
	/* Nobody has taken the lock for that. */
	expect_bands(test, c, (u32[]){ STALE + 1, 0, FEW });

	/* Two of the few and four of the others move, then one is taken. */
	s = refill(c);
	KUNIT_EXPECT_PTR_EQ(test, s, stale[STALE - 5]);
	expect_bands(test, c, (u32[]){ STALE - 4, 6, FEW - 2 });
	mcentral_uncache_span(c, s);
	expect_bands(test, c, (u32[]){ STALE - 4, 7, FEW - 2 });

	/* The next one comes to the end of the band and takes the better one. */
	s = refill(c);
	KUNIT_EXPECT_PTR_EQ(test, s, better);
	expect_bands(test, c, (u32[]){ 0, STALE + 4, FEW - 4 });
	mcentral_uncache_span(c, s);
}

/* A free that takes the lock as a word drains moves the span, others do not. */
static void mcentral_reband_freed(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[spc_of(S512)];
	struct mspan *s = live_span(test, heap, S512, 512);
	u64 locks;

	mcentral_put(c, s);
	free_live(test, s, 1);
	KUNIT_EXPECT_EQ(test, s->band, MCENTRAL_FEW);
	locks = c->locks;
	free_live(test, s, 30);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	free_live(test, s, 1);
	KUNIT_EXPECT_EQ(test, c->locks, locks + 1);
	KUNIT_EXPECT_EQ(test, mspan_live(s), 480);
	KUNIT_EXPECT_EQ(test, s->band, MCENTRAL_FEW);
	for (u32 live = 448; live; live -= 32) {
		u32 band = s->band;

		free_live(test, s, 31);
		KUNIT_EXPECT_EQ(test, s->band, band);
		free_live(test, s, 1);
		KUNIT_EXPECT_EQ(test, mspan_live(s), live);
		KUNIT_EXPECT_EQ(test, s->band, live < 256);
	}
	free_live(test, s, 32);
	KUNIT_EXPECT_EQ(test, s->empty, 1);
	expect_bands(test, c, (u32[]){ 0, 1, 0 });
	expect_counts(test, c, 1, 0, 1);
}

/* Nodes of spans of 16 slots, the last one put is the first of its band. */
#define NODE_SPANS	10

static const struct node_case {
	const char *name;
	int node;	/* where the refill is */
	u32 n;
	u32 live[NODE_SPANS];
	int nid[NODE_SPANS];
	u32 order[NODE_SPANS];
} node_cases[] = {
	{ "one node", NUMA_NO_NODE, 3, { 12, 12, 12 }, { 1, 0, 1 }, { 2, 1, 0 } },
	{ "its own first", 1, 4, { 12, 12, 12, 12 }, { 1, 0, 1, 0 }, { 2, 0, 3, 1 } },
	{ "none of its own", 2, 3, { 12, 12, 12 }, { 1, 0, 1 }, { 2, 1, 0 } },
	{ "of no node", 0, 3, { 12, 12, 12 },
	  { NUMA_NO_NODE, NUMA_NO_NODE, NUMA_NO_NODE }, { 2, 1, 0 } },
	{ "the fuller one all the same", 1, 3, { 4, 12, 5 }, { 1, 0, 0 }, { 1, 0, 2 } },
	{ "of the few as well", 1, 3, { 15, 15, 15 }, { 0, 1, 0 }, { 1, 0, 2 } },
	{ "the spare last all the same", 1, 3, { 0, 3, 3 }, { 1, 0, 0 }, { 2, 1, 0 } },
	{ "the eighth", 1, 9, { 9, 9, 9, 9, 9, 9, 9, 9, 9 }, { 0, 1, 0, 0, 0, 0, 0, 0, 0 },
	  { 1, 8, 7, 6, 5, 4, 3, 2, 0 } },
	{ "not the ninth", 1, 9, { 9, 9, 9, 9, 9, 9, 9, 9, 9 }, { 1, 0, 0, 0, 0, 0, 0, 0, 0 },
	  { 8, 0, 7, 6, 5, 4, 3, 2, 1 } },
};

KUNIT_ARRAY_PARAM_DESC(node, node_cases, name);

static void mcentral_node_end(void *unused)
{
	mcentral_on_node = NUMA_NO_NODE;
}

static void mcentral_nodes(struct kunit *test)
{
	const struct node_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[spc_of(S16)];
	struct mspan *s[NODE_SPANS], *t;
	u32 i, j;

	if (nr_online_nodes > 1)
		kunit_skip(test, "needs a machine with one node");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, mcentral_node_end, NULL), 0);
	for (i = 0; i < row->n; i++) {
		s[i] = live_span(test, heap, S16, row->live[i]);
		KUNIT_ASSERT_EQ(test, s[i]->nid, NUMA_NO_NODE);
		s[i]->nid = row->nid[i];
		mcentral_put(c, s[i]);
	}
	mcentral_on_node = row->node;
	for (i = 0; i < row->n; i++) {
		t = refill(c);
		for (j = 0; j < row->n && s[j] != t; j++)
			;
		KUNIT_EXPECT_EQ_MSG(test, j, row->order[i], "refill %u", i);
	}
	for (i = 0; i < row->n; i++)
		mcentral_uncache_span(c, s[i]);
}

/* A span that is made for a refill knows where its memory is. */
static void mcentral_knows_node(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test), *file;
	struct mspan *s = mcentral_cache_span(&heap->central[SPC], GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, s->nid, page_to_nid(virt_to_page((void *)s->base)));
	mcentral_uncache_span(s->central, s);

	file = mheap_create(NULL, BACKING_SPARSE);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, test_heap_end, file), 0);
	KUNIT_ASSERT_TRUE(test, mheap_build_central(file, GFP_KERNEL));
	s = mcentral_cache_span(&file->central[SPC], GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, s->nid, NUMA_NO_NODE);
	mcentral_uncache_span(s->central, s);
}

/* Of a span that somebody holds a free is only a bit. */
static void mcentral_freed_elsewhere(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s = held_span(test, heap, 0);
	u64 locks = c->locks;
	u32 slot;

	for (slot = 0; slot < NELEMS; slot++) {
		KUNIT_ASSERT_EQ(test, mspan_free_remote(s, slot), 0);
		KUNIT_EXPECT_FALSE(test, freed(s));
	}
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_HELD);
	mspan_set_place(s, MSPAN_CACHED);
	KUNIT_EXPECT_FALSE(test, freed(s));
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	/* The holder sees it when it gives the span up. */
	mcentral_put(c, s);
	expect_counts(test, c, 1, 0, 1);
}

/*
 * A free is two steps: B sets the bit, L looks at the place. P puts the span
 * in the sets. Whatever their order, and however many free: at the end the
 * span is where its bits say, and whoever took out the last object of an
 * unwanted span disposes of it (I3).
 */
static const struct order_case {
	const char *order;	/* digits name who frees: "B0" */
	u32 live;		/* slots live before, from 0 on */
	u32 spares;
	enum mspan_place place;
	u32 gone;
} order_cases[] = {
	{ "B0 L0 P", 7, 0, MSPAN_PARTIAL },
	{ "B0 P L0", 7, 0, MSPAN_PARTIAL },
	{ "P B0 L0", 7, 0, MSPAN_PARTIAL },
	{ "B0 B1 P L1 L0", 7, 0, MSPAN_PARTIAL },
	{ "B0 P B1 L1 L0", 7, 0, MSPAN_PARTIAL },
	{ "P B0 B1 L1 L0", 7, 0, MSPAN_PARTIAL },
	{ "P B1 L1 B0 L0", 7, 0, MSPAN_PARTIAL },
	{ "B0 L0 P", 1, 0, MSPAN_PARTIAL },
	{ "B0 L0 P", 1, 1, MSPAN_HELD, 1 },
	{ "B0 P L0", 1, 1, MSPAN_HELD, 1 },
	{ "P B0 L0", 1, 1, MSPAN_HELD, 1 },
	{ "B0 B1 P L1 L0", 2, 1, MSPAN_HELD, 1 },
	{ "B0 P B1 L1 L0", 2, 1, MSPAN_HELD, 1 },
	{ "B0 P L0 B1 L1", 2, 1, MSPAN_HELD, 1 },
	{ "P B0 L0 B1 L1", 2, 1, MSPAN_HELD, 1 },
	{ "P B0 B1 L0 L1", 2, 1, MSPAN_HELD, 1 },
	{ "P B0 B1 L0 L1", 2, 0, MSPAN_PARTIAL },
};

KUNIT_ARRAY_PARAM_DESC(order, order_cases, order);

static void mcentral_orders(struct kunit *test)
{
	const struct order_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s, *t;
	u32 gone = 0;

	if (row->spares)
		mcentral_put(c, held_span(test, heap, ALL));
	s = held_span(test, heap, ALL & ~GENMASK(row->live - 1, 0));
	/* Where slots are free the frees must be in a full word all the same. */
	if (row->live == NELEMS)
		KUNIT_ASSERT_FALSE(test, mspan_has_free(s));

	/* As every freer in malloc.c: RCU keeps the record. */
	rcu_read_lock();
	for (const char *p = row->order; *p; p++) {
		switch (*p) {
		case 'B':
			KUNIT_EXPECT_EQ(test, mspan_free_remote(s, *++p - '0'), 0);
			break;
		case 'L':
			p++;
			if (mcentral_freed(s, 0)) {
				gone++;
				mheap_free_span(s);
			}
			break;
		case 'P':
			mcentral_put(c, s);
			break;
		}
	}
	KUNIT_EXPECT_EQ(test, s->place, row->place);
	rcu_read_unlock();
	KUNIT_EXPECT_LE(test, gone, row->gone);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), row->spares + 1 - row->gone);
	expect_counts(test, c, mheap_nspans(heap), 0, row->spares ? 1 : mspan_all_free(s));
	if (row->gone)
		return;
	preempt_disable();
	t = mcentral_cache_span_fast(c, NULL);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, t, s);
	KUNIT_EXPECT_TRUE(test, mspan_merge(s));
	mcentral_uncache_span(c, s);
}

/*
 * The one order that no caller can bring about by calls: the freer's bit comes
 * when the span has been found full, and the freer has read its place before
 * that is stored, so it goes away. The second look must see the bit (I3).
 */
static struct mspan *between_looks_span;
static int between_looks_freed;

static void free_between_looks(struct mspan *s)
{
	if (s == between_looks_span)
		between_looks_freed = mspan_free_remote(s, 1) ?: 1;
}

static void mcentral_second_look(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *s = held_span(test, heap, 0), *t;

	between_looks_span = s;
	between_looks_freed = 0;
	WRITE_ONCE(mcentral_between_looks, free_between_looks);
	mcentral_put(c, s);
	WRITE_ONCE(mcentral_between_looks, NULL);
	KUNIT_EXPECT_EQ(test, between_looks_freed, 1);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_PARTIAL);

	preempt_disable();
	t = mcentral_cache_span_fast(c, NULL);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, t, s);
	if (!t)
		return;
	KUNIT_EXPECT_TRUE(test, mspan_merge(s));
	mcentral_uncache_span(c, s);
}

/*
 * The same on two CPUs at once: one puts a full span, the other frees one of
 * its objects at some moment around it. Afterwards a refill must find the
 * span, and the object (I3).
 */
#define RACE_ROUNDS	20000

struct race {
	struct mspan *s;
	struct mcentral *c;
	u32 refused, gone, lost, left_full, not_found;
};

static void race_spin(u32 n)
{
	while (n--)
		cpu_relax();
}

static void race_fn(struct test_pair *p, int who)
{
	struct race *r = p->arg;
	struct mspan *s = r->s;
	u32 round = 0;

	for (u32 k = 0; k < RACE_ROUNDS && test_pair_again(p, who, ++round); k++) {
		u32 slot = k % NELEMS;

		if (who) {
			race_spin(k / 3 % 37);
			rcu_read_lock();
			r->refused += !!mspan_free_remote(s, slot);
			r->gone += mcentral_freed(s, 0);
			rcu_read_unlock();
		} else {
			race_spin(k % 23);
			mcentral_put(r->c, s);
		}
		test_pair_meet(p, ++round);
		if (who)
			continue;
		r->left_full += s->place == MSPAN_FULL;
		preempt_disable();
		r->not_found += mcentral_cache_span_fast(r->c, NULL) != s;
		preempt_enable();
		if (s->place != MSPAN_CACHED) {
			/* Lost as it is, go on with it. */
			freed(s);
			mcentral_cache_span_fast(r->c, NULL);
		}
		mspan_merge(s);
		r->lost += s->words[0].free != BIT(slot);
		s->words[0].free = 0;
		WRITE_ONCE(s->sweepgen, s->heap->sweepgen);
	}
}

static void mcentral_race_put(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct race r = { .c = &heap->central[SPC] };

	r.s = held_span(test, heap, 0);
	test_pair_run(test, race_fn, &r);
	KUNIT_EXPECT_EQ(test, r.refused, 0);
	KUNIT_EXPECT_EQ(test, r.gone, 0);
	KUNIT_EXPECT_EQ(test, r.left_full, 0);
	KUNIT_EXPECT_EQ(test, r.not_found, 0);
	KUNIT_EXPECT_EQ(test, r.lost, 0);
	mcentral_put(r.c, r.s);
	expect_counts(test, r.c, 0, 1, 0);
}

/* Two CPUs free the last two objects of a span: it goes once, or is kept. */
#define LAST_ROUNDS	3000

struct last {
	struct goalloc_heap *heap;
	struct mspan *s;
	u32 gone[2];
	u32 wrong, failed;
};

static void last_fn(struct test_pair *p, int who)
{
	struct last *l = p->arg;
	u32 round = 0;

	for (u32 k = 0; k < LAST_ROUNDS && test_pair_again(p, who, ++round); k++) {
		struct mspan *s;

		if (!who) {
			s = mheap_alloc_span(l->heap, 1, 1, SPC, SIZE, GFP_KERNEL);
			if (s) {
				s->words[0].free = k & 1 ? ALL & ~3U : 0;
				mcentral_put(s->central, s);
			} else {
				l->failed++;
			}
			l->s = s;
		}
		test_pair_meet(p, ++round);
		s = READ_ONCE(l->s);
		l->gone[who] = 0;
		for (u32 slot = who; s && slot < (k & 1 ? 2 : NELEMS); slot += 2) {
			bool gone;

			rcu_read_lock();
			mspan_free_remote(s, slot);
			gone = mcentral_freed(s, 0);
			rcu_read_unlock();
			if (gone) {
				l->gone[who]++;
				mheap_free_span(s);
			}
		}
		test_pair_meet(p, ++round);
		if (!who && s && l->gone[0] + l->gone[1] != 1)
			l->wrong++;
	}
}

static void mcentral_race_last(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct last l = { .heap = heap };

	/* The spare is there already. */
	mcentral_put(&heap->central[SPC], held_span(test, heap, ALL));
	test_pair_run(test, last_fn, &l);
	KUNIT_EXPECT_EQ(test, l.failed, 0);
	KUNIT_EXPECT_EQ(test, l.wrong, 0);
	expect_counts(test, &heap->central[SPC], 1, 0, 1);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
}

/* Swept and unswept sets: a cycle turns the one into the other. */
static void mcentral_sets(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[SPC];
	struct mspan *part = held_span(test, heap, 1), *full = held_span(test, heap, 0);
	u32 sg = heap->sweepgen, set = (sg / 2) & 1;

	mcentral_put(c, part);
	mcentral_put(c, full);
	KUNIT_EXPECT_EQ(test, in_partial(c, set), 1);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&c->full[set]));
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, true, sg));
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, false, sg));

	/* By hand, without what else a cycle does. */
	sg += 2;
	WRITE_ONCE(heap->sweepgen, sg);
	preempt_disable();
	KUNIT_EXPECT_NULL(test, mcentral_cache_span_fast(c, NULL));
	preempt_enable();
	/* A free of an unswept full span: partial, and still unswept. */
	KUNIT_ASSERT_EQ(test, mspan_free_remote(full, 2), 0);
	KUNIT_EXPECT_FALSE(test, freed(full));
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg - 2);
	KUNIT_EXPECT_EQ(test, in_partial(c, set), 2);
	KUNIT_EXPECT_EQ(test, in_partial(c, !set), 0);
	preempt_disable();
	KUNIT_EXPECT_NULL(test, mcentral_cache_span_fast(c, NULL));
	preempt_enable();

	/* A caller whose cycle is over takes nothing. */
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, true, sg - 2));
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, false, sg));
	KUNIT_EXPECT_PTR_EQ(test, mcentral_take_unswept(c, true, sg), full);
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_HELD);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg - 1);
	KUNIT_EXPECT_PTR_EQ(test, mcentral_take_unswept(c, true, sg), part);
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, true, sg));
	expect_counts(test, c, 0, 0, 0);

	/* Swept, each is in the other set. */
	WRITE_ONCE(part->sweepgen, sg);
	WRITE_ONCE(full->sweepgen, sg);
	mcentral_put(c, part);
	mcentral_put(c, full);
	KUNIT_EXPECT_EQ(test, in_partial(c, !set), 2);
	preempt_disable();
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span_fast(c, NULL), full);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg + 3);
	mcentral_uncache_span(c, full);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg);
}

/*
 * A large object's span: full, and in no set after its free. The CPU keeps it for
 * the next one, and then it is gone; the mcentral has no spare.
 */
static void mcentral_large(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	u64 inuse;
	void *obj;

	for (u32 noscan = 0; noscan < 2; noscan++) {
		KUNIT_EXPECT_EQ(test, heap->central[noscan].maxempty, 0);
		obj = goalloc_heap_alloc(heap, 100000, noscan ? 0 : GOALLOC_SCAN, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, obj);
		KUNIT_EXPECT_EQ(test, test_span(obj)->place, MSPAN_FULL);
		expect_counts(test, &heap->central[noscan], 0, 1, 0);
		inuse = mheap_pages_in_use(heap);
		test_books(test, heap, 1);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), 0);
		expect_counts(test, &heap->central[noscan], 0, 0, 0);
		KUNIT_EXPECT_EQ(test, test_span(obj)->place, MSPAN_HELD);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), inuse);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -EALREADY);
		test_books(test, heap, 0);
		large_cache_flush(heap);
		expect_counts(test, &heap->central[noscan], 0, 0, 0);
		KUNIT_EXPECT_EQ(test, inuse - mheap_pages_in_use(heap), DIV_ROUND_UP(100000, 8192));
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -ENOENT);
		test_books(test, heap, 0);
	}
}

static struct kunit_case mcentral_cases[] = {
	KUNIT_CASE_PARAM(mcentral_puts, put_gen_params),
	KUNIT_CASE(mcentral_counts_late),
	KUNIT_CASE(mcentral_full_to_partial),
	KUNIT_CASE(mcentral_all_free),
	KUNIT_CASE(mcentral_drain),
	KUNIT_CASE(mcentral_prefers_live),
	KUNIT_CASE_PARAM(mcentral_band, band_gen_params),
	KUNIT_CASE_PARAM(mcentral_occupancy, occupancy_gen_params),
	KUNIT_CASE(mcentral_bounded),
	KUNIT_CASE(mcentral_reband_freed),
	KUNIT_CASE_PARAM(mcentral_nodes, node_gen_params),
	KUNIT_CASE(mcentral_knows_node),
	KUNIT_CASE(mcentral_freed_elsewhere),
	KUNIT_CASE_PARAM(mcentral_orders, order_gen_params),
	KUNIT_CASE(mcentral_second_look),
	KUNIT_CASE(mcentral_sets),
	KUNIT_CASE(mcentral_large),
	KUNIT_CASE_SLOW(mcentral_race_put),
	KUNIT_CASE_SLOW(mcentral_race_last),
	{}
};

static struct kunit_suite mcentral_suite = {
	.name = "goalloc_mcentral",
	.init = mcentral_test_init,
	.test_cases = mcentral_cases,
};

kunit_test_suite(mcentral_suite);

GOALLOC_KUNIT_IMPORT;
