// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mcentral: the sets of each span class, and what makes a span change
 * sets.
 *
 * Spans are of a heap of the test's own; the bits of those that a case needs
 * in a given state are set by hand while it holds them.
 */
#include <linux/module.h>

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

static void expect_counts(struct kunit *test, struct mcentral *c, u64 npartial, u64 nfull,
			  u32 nempty)
{
	KUNIT_EXPECT_EQ(test, c->npartial, npartial);
	KUNIT_EXPECT_EQ(test, c->nfull, nfull);
	KUNIT_EXPECT_EQ(test, c->nempty, nempty);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&c->partial[0]) +
			list_count_nodes(&c->partial[1]), npartial);
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
	s->words[0].remote |= row->remote;
	empty = mspan_all_free(s);
	mcentral_put(c, s);
	KUNIT_EXPECT_EQ(test, heap->nspans, row->spares + !row->gone);
	KUNIT_EXPECT_EQ(test, heap->pages_in_use, row->spares + !row->gone);
	if (!row->gone) {
		KUNIT_EXPECT_EQ(test, s->place, row->place);
		KUNIT_EXPECT_EQ(test, s->empty, empty);
	}
	expect_counts(test, c, row->spares + (row->place == MSPAN_PARTIAL),
		      row->place == MSPAN_FULL, row->spares ? 1 : empty);
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
	KUNIT_EXPECT_EQ(test, s->words[0].remote, BIT(3) | BIT(4) | ~ALL);
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
		KUNIT_EXPECT_EQ(test, heap->nspans, SPANS - i);
		KUNIT_EXPECT_EQ(test, heap->pages_in_use, SPANS - i);
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
	KUNIT_EXPECT_EQ(test, heap->nspans, 1);
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
		KUNIT_EXPECT_EQ(test, heap->nspans, 40);
		/* 11 has no divisor in common with 280. */
		for (u32 i = 0; i < OBJS; i++)
			goalloc_free(objs[i * step % OBJS]);
		test_books(test, heap, 0);
		mcache_flush_all(heap);
		expect_counts(test, c, 1, 0, 1);
		KUNIT_EXPECT_EQ(test, heap->nspans, 1);
		KUNIT_EXPECT_EQ(test, heap->pages_in_use, 1);
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
	KUNIT_ASSERT_EQ(test, list_is_last(&spare->list, &c->partial[(heap->sweepgen / 2) & 1]),
			1);
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
	KUNIT_EXPECT_EQ(test, heap->nspans, row->spares + 1 - row->gone);
	expect_counts(test, c, heap->nspans, 0, row->spares ? 1 : mspan_all_free(s));
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
	KUNIT_EXPECT_EQ(test, heap->nspans, 1);
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
	KUNIT_EXPECT_TRUE(test, list_is_singular(&c->partial[set]));
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
	KUNIT_EXPECT_EQ(test, list_count_nodes(&c->partial[set]), 2);
	KUNIT_EXPECT_TRUE(test, list_empty(&c->partial[!set]));
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
	KUNIT_EXPECT_EQ(test, list_count_nodes(&c->partial[!set]), 2);
	preempt_disable();
	KUNIT_EXPECT_PTR_EQ(test, mcentral_cache_span_fast(c, NULL), full);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg + 3);
	mcentral_uncache_span(c, full);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg);
}

/* A large object's span: full, and gone at its free. No spare is kept. */
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
		inuse = heap->pages_in_use;
		test_books(test, heap, 1);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), 0);
		expect_counts(test, &heap->central[noscan], 0, 0, 0);
		KUNIT_EXPECT_EQ(test, inuse - heap->pages_in_use, DIV_ROUND_UP(100000, 8192));
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -ENOENT);
		test_books(test, heap, 0);
	}
}

static struct kunit_case mcentral_cases[] = {
	KUNIT_CASE_PARAM(mcentral_puts, put_gen_params),
	KUNIT_CASE(mcentral_full_to_partial),
	KUNIT_CASE(mcentral_all_free),
	KUNIT_CASE(mcentral_drain),
	KUNIT_CASE(mcentral_prefers_live),
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
