// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_ring: the spans that an mcache has besides the one it takes slots
 * from, and the spans of large objects that a CPU keeps.
 *
 * Every case is bound to CPU 0; what another CPU or context does it does by a
 * call there that is waited for. How many spans an mcache may have is set by
 * hand, so that nothing here depends on what is best.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/string.h>

#include "../goalloc/compat.h"
#include "../goalloc/param.h"
#include "../goalloc/scavenge.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"
#include "test_heap.h"

/* 1152 bytes: 7 objects in a span, in one word. 128 bytes: 64, in two. */
#define FEW_SIZE	1152
#define FEW		7
#define FEW_SPC		make_spanclass(33, false)
#define TWO_SIZE	128
#define TWO		64
#define TWO_SPC		make_spanclass(10, false)

#define OBJS_MAX	(8 * FEW)

static int ring_test_init(struct kunit *test)
{
	test_pin(test, 0);
	return 0;
}

/* A heap whose mcaches have so many spans of a class. */
static struct goalloc_heap *ring_heap(struct kunit *test, u8 spc, u32 max)
{
	struct goalloc_heap *heap = test_heap(test);

	heap->central[spc].maxcached = max;
	return heap;
}

static struct mcache *mcache_of(struct goalloc_heap *heap, int cpu, enum mcache_context ctx)
{
	return per_cpu_ptr(heap->mcache, cpu)->ctx[ctx];
}

static struct mcache_alloc *ring_of(struct goalloc_heap *heap, u8 spc)
{
	return &mcache_of(heap, 0, MCACHE_TASK)->alloc[spc];
}

static void *make(struct kunit *test, struct goalloc_heap *heap, size_t size)
{
	void *obj = goalloc_heap_alloc(heap, size, GOALLOC_SCAN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, obj);
	return obj;
}

/* Objects that fill so many spans, in order. */
static void fill(struct kunit *test, struct goalloc_heap *heap, void **objs, struct mspan **s,
		 u32 spans)
{
	for (u32 i = 0; i < spans * FEW; i++) {
		objs[i] = make(test, heap, FEW_SIZE);
		s[i / FEW] = test_span(objs[i]);
		KUNIT_ASSERT_PTR_EQ(test, objs[i], (void *)s[i / FEW]->base + i % FEW * FEW_SIZE);
	}
}

/* All that an entry has is cached, ours, and linked as it should be. */
static u32 expect_ring(struct kunit *test, struct goalloc_heap *heap, u8 spc)
{
	struct mcache *mc = mcache_of(heap, 0, MCACHE_TASK);
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *s = a->span, *next = a->more;
	u32 n = 0, tiny = spc == GOALLOC_TINY_SPAN_CLASS ? MSPAN_TINY_OWNER : 0;

	for (;;) {
		if (s != &goalloc_emptymspan) {
			n++;
			KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
			KUNIT_EXPECT_EQ(test, s->owner, mc->id | tiny);
			KUNIT_EXPECT_PTR_EQ(test, s->cache, a);
			KUNIT_EXPECT_EQ(test, s->spanclass, spc);
			KUNIT_EXPECT_TRUE(test, list_empty(&s->list));
		}
		if (!next || n > 100)
			break;
		s = next;
		next = s->next;
		if (!next)
			KUNIT_EXPECT_PTR_EQ(test, a->last, s);
	}
	KUNIT_EXPECT_EQ(test, n, a->nmore + (a->span != &goalloc_emptymspan));
	KUNIT_EXPECT_LE(test, n, heap->central[spc].maxcached);
	return n;
}

static void expect_given_up(struct kunit *test, const struct mspan *s)
{
	KUNIT_EXPECT_EQ(test, s->owner, MSPAN_NO_OWNER);
	KUNIT_EXPECT_NULL(test, s->next);
	KUNIT_EXPECT_EQ(test, s->sweepgen, s->heap->sweepgen);
}

/* Spans that are used up stay, and what is freed in them is used again. */
static void ring_order(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	struct mcentral *c = &heap->central[FEW_SPC];
	void *objs[OBJS_MAX];
	struct mspan *s[4];
	u64 locks;
	u32 i;

	fill(test, heap, objs, s, 4);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 4);
	KUNIT_EXPECT_EQ(test, c->nfull, 0);
	KUNIT_EXPECT_PTR_EQ(test, ring_of(heap, FEW_SPC)->span, s[3]);
	KUNIT_EXPECT_PTR_EQ(test, ring_of(heap, FEW_SPC)->more, s[0]);
	test_books(test, heap, 4 * FEW);

	/* Frees in spans that are set aside are the holder's. */
	locks = c->locks;
	goalloc_free(objs[FEW + 2]);
	goalloc_free(objs[FEW + 5]);
	KUNIT_EXPECT_EQ(test, test_word(s[1], 0).free, BIT(2) | BIT(5));
	KUNIT_EXPECT_EQ(test, test_word(s[1], 0).kept, GENMASK(FEW - 1, 0));
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[FEW + 2]), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[FEW + 2] + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, ring_of(heap, FEW_SPC)->nfree, 2);
	/* They are found again, and no lock is taken for any of that. */
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, FEW_SIZE), objs[FEW + 2]);
	KUNIT_EXPECT_PTR_EQ(test, ring_of(heap, FEW_SPC)->span, s[1]);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, FEW_SIZE), objs[FEW + 5]);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 4);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 4);
	test_books(test, heap, 4 * FEW);

	/* Of two the one that was used up first. */
	for (i = 0; i < 3; i++) {
		goalloc_free(objs[2 * FEW + i]);
		goalloc_free(objs[3 * FEW + i]);
	}
	for (i = 0; i < 6; i++)
		make(test, heap, FEW_SIZE);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 4);
	KUNIT_EXPECT_EQ(test, mspan_live(s[2]) + mspan_live(s[3]), 2 * FEW);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 4);
	test_books(test, heap, 4 * FEW);
}

/* With no room left half of the spans go, under one taking of the lock. */
static void ring_evicts_half(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	struct mcentral *c = &heap->central[FEW_SPC];
	u32 i, gone = 0, freed = 0;
	void *objs[OBJS_MAX];
	struct mspan *s[4];
	u64 locks;

	fill(test, heap, objs, s, 4);
	locks = c->locks;
	objs[4 * FEW] = make(test, heap, FEW_SIZE);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 3);
	/* Once for the two, once for one more look, once for the new span. */
	KUNIT_EXPECT_LE(test, c->locks - locks, 3);
	KUNIT_EXPECT_EQ(test, c->nfull, 2);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 5);
	for (i = 0; i < 4; i++) {
		if (s[i]->place == MSPAN_CACHED)
			continue;
		gone++;
		KUNIT_EXPECT_EQ(test, s[i]->place, MSPAN_FULL);
		expect_given_up(test, s[i]);
	}
	KUNIT_EXPECT_EQ(test, gone, 2);
	/* The one that was used last stays. */
	KUNIT_EXPECT_EQ(test, s[3]->place, MSPAN_CACHED);
	test_books(test, heap, 4 * FEW + 1);

	/* A free in one of those that went is remote, and it comes back by a refill. */
	for (i = 0; i < 4; i++) {
		if (s[i]->place == MSPAN_CACHED)
			continue;
		goalloc_free(objs[i * FEW + 1]);
		KUNIT_EXPECT_EQ(test, test_word(s[i], 0).free, 0);
		KUNIT_EXPECT_EQ(test, s[i]->place, MSPAN_PARTIAL);
		freed++;
	}
	for (i = 0; i < FEW - 1 + freed; i++)
		make(test, heap, FEW_SIZE);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 5);
	expect_ring(test, heap, FEW_SPC);
	test_books(test, heap, 5 * FEW);
}

/* Many more spans than there is room for: each is somewhere, none twice. */
static void ring_turns(struct kunit *test)
{
	enum { SPANS = 40 };
	void **objs = kunit_kcalloc(test, SPANS * FEW, sizeof(*objs), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, objs);
	for (u32 max = 1; max <= 32; max = max * 2 + (max == 2)) {
		struct goalloc_heap *heap = ring_heap(test, FEW_SPC, max);
		u32 i, k;

		for (i = 0; i < SPANS * FEW; i++)
			objs[i] = make(test, heap, FEW_SIZE);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS);
		expect_ring(test, heap, FEW_SPC);
		test_books(test, heap, SPANS * FEW);
		/* 3 and 280 have no divisor in common: another order. */
		for (i = 0; i < SPANS * FEW; i++) {
			k = i * 3 % (SPANS * FEW);
			goalloc_free(objs[k]);
			if (i % 4 == 3)
				continue;
			objs[k] = make(test, heap, FEW_SIZE);
		}
		expect_ring(test, heap, FEW_SPC);
		test_books(test, heap, SPANS * FEW * 3 / 4);
		KUNIT_EXPECT_LE(test, mheap_nspans(heap), SPANS);
		for (i = 0; i < SPANS * FEW; i++)
			if (i % 4 != 3)
				KUNIT_ASSERT_EQ(test, goalloc_try_free(objs[i * 3 % (SPANS * FEW)]),
						0);
		test_books(test, heap, 0);
		mcache_flush_all(heap);
		/* But for the spare. */
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
	}
}

/* A span with at most 1/16 of its slots free waits for more. */
static void ring_threshold(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, TWO_SPC, 8);
	void *objs[2 * TWO + 1];
	struct mspan *s[2], *t;
	u32 i;

	for (i = 0; i < 2 * TWO; i++) {
		objs[i] = make(test, heap, TWO_SIZE);
		s[i / TWO] = test_span(objs[i]);
	}
	for (i = 0; i < 4; i++)
		goalloc_free(objs[40 + i]);
	t = test_span(make(test, heap, TWO_SIZE));
	KUNIT_EXPECT_PTR_NE(test, t, s[0]);
	KUNIT_EXPECT_PTR_NE(test, t, s[1]);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, TWO_SPC), 3);
	for (i = 1; i < TWO; i++)
		KUNIT_ASSERT_PTR_EQ(test, test_span(make(test, heap, TWO_SIZE)), t);

	/* One more, by whomever, and it is worth while. */
	if (num_online_cpus() > 1)
		test_free_on(test, 1, MCACHE_TASK, objs[50]);
	else
		goalloc_free(objs[50]);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[40 + i]);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[50]);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, TWO_SPC), 3);
	test_books(test, heap, 3 * TWO);
	KUNIT_EXPECT_NULL(test, ring_of(heap, TWO_SPC)->last->next);
}

/* Others free in spans that are set aside: bits only, found at their turn (I3). */
static void ring_remote(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	struct mcentral *c = &heap->central[FEW_SPC];
	void *objs[OBJS_MAX], *got;
	struct mspan *s[3];
	u64 locks;
	u32 i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	fill(test, heap, objs, s, 3);
	locks = c->locks;
	test_free_on(test, 1, MCACHE_TASK, objs[1]);
	test_free_on(test, 0, MCACHE_SOFTIRQ, objs[2]);
	test_free_on(test, 0, MCACHE_HARDIRQ, objs[4]);
	KUNIT_EXPECT_EQ(test, s[0]->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, test_word(s[0], 0).free, 0);
	KUNIT_EXPECT_EQ(test, test_word(s[0], 0).kept,
			GENMASK(FEW - 1, 0) & ~(BIT(1) | BIT(2) | BIT(4)));
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[1]), -EALREADY);
	goalloc_free(objs[3]);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	test_books(test, heap, 3 * FEW - 4);
	for (i = 1; i <= 4; i++) {
		got = make(test, heap, FEW_SIZE);
		KUNIT_EXPECT_PTR_EQ(test, test_span(got), s[0]);
		KUNIT_EXPECT_EQ(test, goalloc_usable_size(got), FEW_SIZE);
	}
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	KUNIT_EXPECT_EQ(test, mspan_live(s[0]), FEW);

	/* Nothing lives in it any more, and still it is this mcache's. */
	for (i = 0; i < FEW; i++)
		test_free_on(test, 1, MCACHE_TASK, objs[FEW + i]);
	KUNIT_EXPECT_EQ(test, s[1]->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 3);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 3);
	test_books(test, heap, 2 * FEW);
}

/* A flush gives all of them back, each to where its bits say. */
static void ring_flush(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 8);
	struct mcentral *c = &heap->central[FEW_SPC];
	struct mcache_alloc *a;
	void *objs[OBJS_MAX];
	struct mspan *s[6];
	u32 i;

	fill(test, heap, objs, s, 6);
	/* Full; one free; one live; none; none. And the last is used up. */
	goalloc_free(objs[FEW]);
	for (i = 1; i < FEW; i++)
		goalloc_free(objs[2 * FEW + i]);
	for (i = 0; i < 2 * FEW; i++)
		goalloc_free(objs[3 * FEW + i]);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 6);
	KUNIT_EXPECT_EQ(test, c->maxempty, 1);
	mcache_flush_all(heap);
	a = ring_of(heap, FEW_SPC);
	KUNIT_EXPECT_EQ(test, a->nmore, 0);
	KUNIT_EXPECT_NULL(test, a->more);
	KUNIT_EXPECT_PTR_EQ(test, a->span, &goalloc_emptymspan);
	KUNIT_EXPECT_PTR_EQ(test, a->word, &goalloc_emptymspan.words[0]);
	KUNIT_EXPECT_EQ(test, s[0]->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, s[1]->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, s[2]->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, s[5]->place, MSPAN_FULL);
	for (i = 0; i < 3; i++)
		expect_given_up(test, s[i]);
	expect_given_up(test, s[5]);
	/* Of the two that are empty one is the spare. */
	KUNIT_EXPECT_EQ(test, c->nempty, 1);
	KUNIT_EXPECT_EQ(test, c->nfull, 2);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(c), 3);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 5);
	test_books(test, heap, 3 * FEW - 1 - (FEW - 1) + FEW);
	/* Nothing is left of the order there was. */
	make(test, heap, FEW_SIZE);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 1);
}

/*
 * A cycle begins while spans are set aside, which gc_sweep_start() does not let
 * happen but where a span is cached behind its back: by hand. None of them is
 * allocated from before it is swept (I5), and each is swept where it is given up.
 */
static void begin_cycle(struct goalloc_heap *heap)
{
	unsigned long flags = mheap_lock(heap);

	WRITE_ONCE(heap->sweepgen, heap->sweepgen + 2);
	WRITE_ONCE(heap->sweepdone, false);
	mheap_unlock(heap, flags);
}

static void ring_cycle(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	void *objs[OBJS_MAX], *obj;
	struct mspan *s[2], *t;
	u32 i;

	disable_delayed_work(&heap->bgsweep);
	fill(test, heap, objs, s, 2);
	for (i = 0; i < 2 * FEW; i++)
		if (i % FEW != 5)
			KUNIT_ASSERT_EQ(test, gc_mark(heap, (unsigned long)objs[i]), 0);
	begin_cycle(heap);
	for (i = 0; i < 3; i++)
		goalloc_free(objs[i]);
	KUNIT_EXPECT_EQ(test, sweepone(heap), ~0ULL);

	obj = make(test, heap, FEW_SIZE);
	t = test_span(obj);
	KUNIT_EXPECT_PTR_NE(test, t, s[0]);
	KUNIT_EXPECT_PTR_NE(test, t, s[1]);
	KUNIT_EXPECT_EQ(test, t->sweepgen, heap->sweepgen + 3);
	KUNIT_EXPECT_EQ(test, s[0]->sweepgen, heap->sweepgen + 1);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 3);
	test_books(test, heap, 2 * FEW - 3 + 1);

	mcache_flush_all(heap);
	test_books(test, heap, 2 * FEW - 3 + 1 - 2);
	for (i = 0; i < 2 * FEW; i++)
		KUNIT_EXPECT_EQ(test, !!goalloc_usable_size(objs[i]), i >= 3 && i % FEW != 5);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(obj), FEW_SIZE);
	expect_given_up(test, s[0]);
	expect_given_up(test, s[1]);
	expect_given_up(test, t);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[5]), -EALREADY);
}

/* As above, with no room: the first one goes, is swept, and is the next. */
static void ring_cycle_evicts(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 2);
	void *objs[OBJS_MAX];
	struct mspan *s[2];
	u32 i;

	disable_delayed_work(&heap->bgsweep);
	fill(test, heap, objs, s, 2);
	for (i = 0; i < 2 * FEW; i++)
		if (i % FEW != 5)
			KUNIT_ASSERT_EQ(test, gc_mark(heap, (unsigned long)objs[i]), 0);
	begin_cycle(heap);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, FEW_SIZE), objs[5]);
	KUNIT_EXPECT_EQ(test, s[0]->sweepgen, heap->sweepgen + 3);
	KUNIT_EXPECT_EQ(test, s[1]->sweepgen, heap->sweepgen + 1);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 2);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, FEW_SPC), 2);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), 1);
	test_books(test, heap, 2 * FEW);
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), 2);
	test_books(test, heap, 2 * FEW - 1);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(objs[FEW + 5]), 0);
}

/* A tiny block is released before its span is set aside. */
static void ring_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, GOALLOC_TINY_SPAN_CLASS, 3);
	struct mcentral *c = &heap->central[GOALLOC_TINY_SPAN_CLASS];
	void **objs = kunit_kcalloc(test, 2 * TINY_BLOCKS, sizeof(*objs), GFP_KERNEL);
	struct mcache *mc;
	struct mspan *s;
	u64 locks;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, objs);
	for (i = 0; i <= TINY_BLOCKS; i++) {
		objs[i] = heap_kunit_tiny(heap, 15, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objs[i]);
	}
	s = test_span(objs[0]);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	KUNIT_EXPECT_PTR_EQ(test, test_span(objs[TINY_BLOCKS - 1]), s);
	KUNIT_EXPECT_PTR_EQ(test, ring_of(heap, GOALLOC_TINY_SPAN_CLASS)->more, s);
	KUNIT_EXPECT_PTR_NE(test, mc->alloc[GOALLOC_TINY_SPAN_CLASS].span, s);
	KUNIT_EXPECT_EQ(test, mc->tiny, (unsigned long)objs[TINY_BLOCKS]);
	KUNIT_EXPECT_EQ(test, s->owner, mc->id | MSPAN_TINY_OWNER);
	for (i = 0; i < TINY_BLOCKS; i++)
		KUNIT_ASSERT_FALSE(test, s->tiny->word[i] & TINY_HELD);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, GOALLOC_TINY_SPAN_CLASS), 2);
	test_books(test, heap, TINY_BLOCKS + 1);

	/* Freed there, by the holder and others; and used again, without a lock. */
	locks = c->locks;
	for (i = 0; i < TINY_BLOCKS / 4; i++) {
		if (i % 8 == 7)
			test_free_on(test, 0, MCACHE_SOFTIRQ, objs[i]);
		else
			goalloc_free(objs[i]);
		KUNIT_ASSERT_EQ(test, goalloc_try_free(objs[i]), -EALREADY);
	}
	for (i = 1; i < TINY_BLOCKS; i++) {
		objs[TINY_BLOCKS + i] = heap_kunit_tiny(heap, 15, GFP_KERNEL);
		KUNIT_ASSERT_PTR_NE(test, test_span(objs[TINY_BLOCKS + i]), s);
	}
	for (i = 0; i < TINY_BLOCKS / 4; i++) {
		objs[i] = heap_kunit_tiny(heap, 15, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, test_span(objs[i]), s);
	}
	KUNIT_EXPECT_EQ(test, c->locks, locks);
	test_books(test, heap, 2 * TINY_BLOCKS);
	for (i = 0; i < 2 * TINY_BLOCKS; i++)
		KUNIT_ASSERT_EQ(test, goalloc_try_free(objs[i]), 0);
	test_books(test, heap, 0);
	KUNIT_EXPECT_EQ(test, expect_ring(test, heap, GOALLOC_TINY_SPAN_CLASS), 2);
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
}

/* Each context has spans of its own, and a flush empties them all. */
static void ring_contexts(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	void *objs[MCACHE_NMI][3 * FEW];
	u32 ctx, i;

	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		for (i = 0; i < 3 * FEW; i++) {
			objs[ctx][i] = test_alloc_on(test, 0, ctx, heap, FEW_SIZE);
			KUNIT_EXPECT_EQ(test, test_span(objs[ctx][i])->owner,
					ctx << MCACHE_CONTEXT_SHIFT);
		}
		KUNIT_EXPECT_EQ(test, mcache_of(heap, 0, ctx)->alloc[FEW_SPC].nmore, 2);
	}
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 9);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		struct mspan *s = test_span(objs[ctx][0]);

		test_free_on(test, 0, ctx, objs[ctx][0]);
		test_free_on(test, 0, (ctx + 1) % MCACHE_NMI, objs[ctx][1]);
		KUNIT_EXPECT_EQ(test, test_word(s, 0).free, BIT(0));
		KUNIT_EXPECT_EQ(test, test_word(s, 0).kept, GENMASK(FEW - 1, 0) & ~BIT(1));
		KUNIT_EXPECT_PTR_EQ(test, test_alloc_on(test, 0, ctx, heap, FEW_SIZE),
				    objs[ctx][0]);
	}
	mcache_flush_all(heap);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++)
		for (i = 0; i < 3; i++)
			KUNIT_EXPECT_EQ(test, test_span(objs[ctx][i * FEW])->owner,
					MSPAN_NO_OWNER);
	KUNIT_EXPECT_EQ(test, heap->central[FEW_SPC].nfull, 6);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(&heap->central[FEW_SPC]), 3);
	test_books(test, heap, 3 * (3 * FEW - 1));
}

static void cpu_back(void *cpu)
{
	heap_kunit_add_cpu((long)cpu);
}

/* A CPU that goes leaves nothing behind: spans set aside, and large ones. */
static void ring_cpu_offline(struct kunit *test)
{
	struct goalloc_heap *heap = ring_heap(test, FEW_SPC, 4);
	const int cpu = 1;
	void *objs[3 * FEW], *large;
	u64 inuse;
	u32 i;

	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || num_online_cpus() < 2)
		kunit_skip(test, "needs a CPU that can go");
	for (i = 0; i < 3 * FEW; i++)
		objs[i] = test_alloc_on(test, cpu, MCACHE_TASK, heap, FEW_SIZE);
	test_free_on(test, cpu, MCACHE_TASK, objs[1]);
	large = test_alloc_on(test, cpu, MCACHE_TASK, heap, 100000);
	test_free_on(test, cpu, MCACHE_TASK, large);
	inuse = mheap_pages_in_use(heap);
	KUNIT_EXPECT_EQ(test, inuse, 3 + DIV_ROUND_UP(100000, 8192));
	KUNIT_EXPECT_EQ(test, goalloc_try_free(large), -EALREADY);

	if (remove_cpu(cpu))
		kunit_skip(test, "the CPU cannot go");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, cpu_back, (void *)(long)cpu), 0);
	for (i = 0; i < 3; i++) {
		struct mspan *s = test_span(objs[i * FEW]);

		KUNIT_EXPECT_EQ(test, s->place, i ? MSPAN_FULL : MSPAN_PARTIAL);
		expect_given_up(test, s);
	}
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 3);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(large), -ENOENT);
	KUNIT_EXPECT_EQ(test, mcache_of(heap, cpu, MCACHE_TASK)->alloc[FEW_SPC].nmore, 0);
	test_books(test, heap, 3 * FEW - 1);
	kunit_release_action(test, cpu_back, (void *)(long)cpu);
	objs[0] = test_alloc_on(test, cpu, MCACHE_TASK, heap, FEW_SIZE);
	KUNIT_EXPECT_EQ(test, test_span(objs[0])->owner, cpu);
	test_books(test, heap, 3 * FEW);
}

/* A list of spans of every kind is given up at once, for one in return. */
static void ring_list(struct kunit *test)
{
	/* Free slots, and whether a cycle began since it was cached. */
	static const struct {
		u32 free;
		bool stale;
		enum mspan_place place;
	} kinds[] = {
		{ 0x00, false, MSPAN_FULL },
		{ 0x01, false, MSPAN_PARTIAL },
		{ 0x7f, false, MSPAN_PARTIAL },		/* the spare */
		{ 0x00, true, MSPAN_FULL },
		{ 0x07, false, MSPAN_CACHED },		/* the last of the fuller ones */
	};
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[FEW_SPC];
	struct mspan *s[ARRAY_SIZE(kinds)], *t, *gone;
	u64 locks;
	u32 i;

	disable_delayed_work(&heap->bgsweep);
	begin_cycle(heap);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		s[i] = mheap_alloc_span(heap, 1, 1, FEW_SPC, FEW_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		s[i]->words[0].free = kinds[i].free;
		mspan_set_place(s[i], MSPAN_CACHED);
		s[i]->sweepgen = heap->sweepgen + (kinds[i].stale ? 1 : 3);
		if (i)
			s[i - 1]->next = s[i];
	}
	/* All of the stale one is marked. */
	heap->sweepdone = true;
	for (i = 0; i < FEW; i++)
		KUNIT_EXPECT_EQ(test, gc_mark(heap, s[3]->base + i * FEW_SIZE), 0);
	heap->sweepdone = false;
	/* One more that is empty, for which there is no room. */
	gone = mheap_alloc_span(heap, 1, 1, FEW_SPC, FEW_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, gone);
	mspan_set_place(gone, MSPAN_CACHED);
	gone->sweepgen = heap->sweepgen + 3;
	gone->next = s[3];
	s[2]->next = gone;

	locks = c->locks;
	preempt_disable();
	t = mcentral_cache_span_fast(c, s[0]);
	preempt_enable();
	/* And once for the one that was swept. */
	KUNIT_EXPECT_EQ(test, c->locks, locks + 2);
	KUNIT_EXPECT_PTR_EQ(test, t, s[4]);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		KUNIT_EXPECT_EQ_MSG(test, s[i]->place, kinds[i].place, "span %u", i);
		KUNIT_EXPECT_EQ(test, s[i]->sweepgen, heap->sweepgen + (i == 4 ? 3 : 0));
		KUNIT_EXPECT_NULL(test, s[i]->next);
	}
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), ARRAY_SIZE(kinds));
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), ARRAY_SIZE(kinds));
	KUNIT_EXPECT_EQ(test, c->nfull, 2);
	KUNIT_EXPECT_EQ(test, c->nempty, 1);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(c), 2);
	mcentral_uncache_span(c, t);
}

/* How many spans fit is what is said, and one on file heaps. */
static void ring_bounds(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_heap *file = heap_kunit_create(test, BACKING_SPARSE, 0);

	KUNIT_ASSERT_TRUE(test, mheap_build_central(heap, GFP_KERNEL));
	KUNIT_ASSERT_TRUE(test, mheap_build_central(file, GFP_KERNEL));
	for (u32 i = 2; i < GOALLOC_NUM_CENTRALS; i++) {
		const struct mcentral *c = &heap->central[i];
		u32 bytes = c->npages << GOALLOC_PAGE_SHIFT;

		KUNIT_EXPECT_GE(test, c->maxcached, 1);
		KUNIT_EXPECT_LE(test, (c->maxcached - 1) * bytes, goalloc_mcache_bytes);
		KUNIT_EXPECT_EQ(test, file->central[i].maxcached, 1);
	}
}

#define LARGE_PAGES	7
#define LARGE_SIZE	(LARGE_PAGES * 8192)

static struct mspan **large_of(struct goalloc_heap *heap, int cpu)
{
	return per_cpu_ptr(heap->mcache, cpu)->large;
}

static u32 nlarge(struct goalloc_heap *heap)
{
	u32 n = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		for (u32 i = 0; i < LARGE_CACHE_SPANS; i++)
			n += !!large_of(heap, cpu)[i];
	return n;
}

/* A span that was freed is the next one of its length and kind. */
static void large_again(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj = make(test, heap, LARGE_SIZE), *other, *same;
	struct mspan *s = test_span(obj);

	KUNIT_EXPECT_EQ(test, s->place, MSPAN_FULL);
	memset(obj, 0xa5, LARGE_SIZE);
	test_books(test, heap, 1);
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_HELD);
	KUNIT_EXPECT_EQ(test, s->state, MSPAN_IN_USE);
	KUNIT_EXPECT_PTR_EQ(test, test_span(obj), s);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(obj), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), LARGE_PAGES);
	test_books(test, heap, 0);
	/* While it is kept a second free is one; from elsewhere, too. */
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj + 8192), -EINVAL);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);

	/* Not for other lengths, nor for other kinds. */
	other = make(test, heap, LARGE_SIZE + 1);
	KUNIT_EXPECT_PTR_NE(test, other, obj);
	goalloc_free(other);
	other = make(test, heap, LARGE_SIZE - 8192);
	KUNIT_EXPECT_PTR_NE(test, other, obj);
	goalloc_free(other);
	other = goalloc_heap_alloc(heap, LARGE_SIZE, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_EXPECT_PTR_NE(test, other, obj);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 4 * LARGE_PAGES);
	goalloc_free(other);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 4);

	/* For this one, a little shorter, and zeroed if that is asked for. */
	same = goalloc_heap_alloc(heap, LARGE_SIZE - 8191, GOALLOC_SCAN, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_PTR_EQ(test, same, obj);
	KUNIT_EXPECT_PTR_EQ(test, test_span(obj), s);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(same), LARGE_SIZE);
	KUNIT_EXPECT_NULL(test, memchr_inv(same, 0, LARGE_SIZE));
	KUNIT_EXPECT_EQ(test, nlarge(heap), 3);
	test_books(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(same), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(same), -EALREADY);
	test_books(test, heap, 0);

	large_cache_flush(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -ENOENT);
	test_books(test, heap, 0);
	heap_kunit_check(test, heap, 0);
}

static void *make_and_free(struct kunit *test, struct goalloc_heap *heap)
{
	void *obj = make(test, heap, LARGE_SIZE);

	goalloc_free(obj);
	return obj;
}

/* They go when no large object was made between two looks. */
static void large_settles(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj;

	KUNIT_EXPECT_FALSE(test, heap->large_kept);
	obj = make_and_free(test, heap);
	KUNIT_EXPECT_TRUE(test, heap->large_kept);
	large_cache_settle(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	KUNIT_EXPECT_PTR_EQ(test, make_and_free(test, heap), obj);
	large_cache_settle(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	KUNIT_EXPECT_TRUE(test, heap->large_kept);
	large_cache_settle(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	KUNIT_EXPECT_FALSE(test, heap->large_kept);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
	/* One that is freed long after it was made is looked for, too. */
	obj = make(test, heap, LARGE_SIZE);
	large_cache_settle(heap);
	goalloc_free(obj);
	KUNIT_EXPECT_TRUE(test, heap->large_kept);
	large_cache_settle(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	test_books(test, heap, 0);
	heap_kunit_check(test, heap, 0);
}

static void ring_no_background(void *unused)
{
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
}

/* By itself, and the memory goes with them. */
static void large_settles_by_itself(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	unsigned long end = jiffies + 60 * HZ;

	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, ring_no_background, NULL));
	WRITE_ONCE(goalloc_scavenge_percent, 100);
	make_and_free(test, heap);
	while (atomic64_read(&heap->backed) && time_before(jiffies, end))
		msleep(20);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	heap_kunit_check(test, heap, 0);
}

/* They are no reason to be over a soft limit. */
static void large_limit(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);

	make_and_free(test, heap);
	KUNIT_EXPECT_GE(test, atomic64_read(&heap->backed), LARGE_PAGES * 8192);
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, LARGE_PAGES * 8192), 0);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);
}

/* When all places are taken one of them is given back. */
static void large_replaces(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj[LARGE_CACHE_SPANS + 3];
	u32 i, kept = 0, gone = 0, n = ARRAY_SIZE(obj);

	for (i = 0; i < n; i++)
		obj[i] = make(test, heap, LARGE_SIZE + i * 8192);
	for (i = 0; i < n; i++)
		goalloc_free(obj[i]);
	KUNIT_EXPECT_EQ(test, nlarge(heap), LARGE_CACHE_SPANS);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), LARGE_CACHE_SPANS);
	test_books(test, heap, 0);
	for (i = 0; i < n; i++) {
		int ret = goalloc_try_free(obj[i]);

		kept += ret == -EALREADY;
		gone += ret == -ENOENT;
	}
	KUNIT_EXPECT_EQ(test, kept, LARGE_CACHE_SPANS);
	KUNIT_EXPECT_EQ(test, gone, n - LARGE_CACHE_SPANS);
	/* The last one that was freed is one of them. */
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[n - 1]), -EALREADY);
	/* They end with the heap. */
}

/* What is kept and what is not, and for whom it is. */
static void large_kinds(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct goalloc_heap *bare = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	size_t most = LARGE_CACHE_PAGES * 8192UL;
	unsigned long align;
	struct mspan *s;
	void *obj;

	/* The largest; one more page; a small object's; one mapped; one marked. */
	obj = make(test, heap, most);
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -EALREADY);
	obj = make(test, heap, most + 1);
	KUNIT_EXPECT_FALSE(test, large_cache_put(test_span(obj)));
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -ENOENT);
	obj = make(test, heap, 32768);
	KUNIT_EXPECT_FALSE(test, large_cache_put(test_span(obj)));
	goalloc_free(obj);
	obj = make(test, heap, 3 << 20);
	KUNIT_EXPECT_FALSE(test, large_cache_put(test_span(obj)));
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	obj = make(test, heap, LARGE_SIZE);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)obj), 0);
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -ENOENT);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	test_books(test, heap, 0);
	/* A heap without page caches keeps none. */
	obj = make(test, bare, LARGE_SIZE);
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, nlarge(bare), 0);

	/* By length, class and alignment. */
	obj = make(test, heap, LARGE_SIZE);
	s = test_span(obj);
	align = (unsigned long)obj & -(unsigned long)obj;
	goalloc_free(obj);
	KUNIT_EXPECT_NULL(test, large_cache_take(heap, 0, LARGE_PAGES + 1, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, large_cache_take(heap, 1, LARGE_PAGES, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, large_cache_take(heap, 0, LARGE_PAGES, align * 2));
	KUNIT_EXPECT_PTR_EQ(test, large_cache_take(heap, 0, LARGE_PAGES, align), s);
	KUNIT_EXPECT_NULL(test, large_cache_take(heap, 0, LARGE_PAGES, align));
	KUNIT_EXPECT_TRUE(test, large_cache_put(s));
	KUNIT_EXPECT_PTR_EQ(test, large_cache_take(heap, 0, LARGE_PAGES, 1), s);
	mheap_free_span(s);
	test_books(test, heap, 0);
}

/* Each CPU its own; all contexts of it share them; a flush finds all. */
static void large_cpus(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj, *again;

	for (u32 ctx = 0; ctx < MCACHE_NMI; ctx++) {
		obj = test_alloc_on(test, 0, ctx, heap, LARGE_SIZE);
		test_free_on(test, 0, (ctx + 1) % MCACHE_NMI, obj);
		KUNIT_EXPECT_EQ(test, nlarge(heap), 1);
	}
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
	test_books(test, heap, 0);
	if (num_online_cpus() < 2)
		return;
	again = test_alloc_on(test, 1, MCACHE_TASK, heap, LARGE_SIZE);
	KUNIT_EXPECT_PTR_NE(test, again, obj);
	test_free_on(test, 1, MCACHE_HARDIRQ, again);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 2);
	KUNIT_EXPECT_NOT_NULL(test, large_of(heap, 1)[0]);
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, nlarge(heap), 0);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 0);
	heap_kunit_check(test, heap, 0);
}

/* A heap that has reached its max gives up what is kept, and tries again. */
static void large_max(struct kunit *test)
{
	for (u32 atomic = 0; atomic < 2; atomic++) {
		gfp_t gfp = atomic ? GFP_ATOMIC : GFP_KERNEL;
		struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 11 * 8192);
		void *obj = goalloc_heap_alloc(heap, LARGE_SIZE, 0, gfp);

		KUNIT_ASSERT_NOT_NULL(test, obj);
		KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(heap, 10 * 8192, 0, gfp | __GFP_NOWARN));
		KUNIT_EXPECT_EQ(test, goalloc_usable_size(obj), LARGE_SIZE);
		goalloc_free(obj);
		obj = goalloc_heap_alloc(heap, 10 * 8192, 0, gfp | __GFP_NOWARN);
		KUNIT_EXPECT_NOT_NULL_MSG(test, obj, "%s", atomic ? "atomic" : "may sleep");
		goalloc_free(obj);
		heap_kunit_check(test, heap, 0);
	}
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(ring_order),
	KUNIT_CASE(ring_evicts_half),
	KUNIT_CASE(ring_turns),
	KUNIT_CASE(ring_threshold),
	KUNIT_CASE(ring_remote),
	KUNIT_CASE(ring_flush),
	KUNIT_CASE(ring_cycle),
	KUNIT_CASE(ring_cycle_evicts),
	KUNIT_CASE(ring_tiny),
	KUNIT_CASE(ring_contexts),
	KUNIT_CASE_SLOW(ring_cpu_offline),
	KUNIT_CASE(ring_list),
	KUNIT_CASE(ring_bounds),
	KUNIT_CASE(large_again),
	KUNIT_CASE(large_settles),
	KUNIT_CASE_SLOW(large_settles_by_itself),
	KUNIT_CASE(large_limit),
	KUNIT_CASE(large_replaces),
	KUNIT_CASE(large_kinds),
	KUNIT_CASE(large_cpus),
	KUNIT_CASE(large_max),
	{}
};

static struct kunit_suite ring_suite = {
	.name = "goalloc_ring",
	.init = ring_test_init,
	.test_cases = ring_cases,
};

kunit_test_suite(ring_suite);

GOALLOC_KUNIT_IMPORT;
