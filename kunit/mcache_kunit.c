// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mcache: the caches of each CPU and context.
 *
 * Every case is bound to CPU 0, so that its own allocations are all from one
 * mcache. What another CPU or context does, it does by a call there that is
 * waited for: the order of things is fixed.
 */
#include <linux/cpu.h>
#include <linux/module.h>

#include "../goalloc/compat.h"
#include "../goalloc/fixalloc.h"
#include "heap_kunit.h"
#include "test_heap.h"

/* 1152 bytes: 7 objects in a span, in one word. 128 bytes: 64, in two. */
#define FEW_SIZE	1152
#define FEW		7
#define FEW_SPC		make_spanclass(33, false)
#define TWO_SIZE	128
#define TWO		64
#define TWO_SPC		make_spanclass(10, false)

/* What the shared empty mcache and span are to be for ever. */
static struct mcache *empty_before;
static u8 empty_span_before[MSPAN_RECORD_SIZE(1)];

static int mcache_suite_init(struct kunit_suite *suite)
{
	empty_before = kmemdup(&goalloc_emptymcache, sizeof(*empty_before), GFP_KERNEL);
	memcpy(empty_span_before, goalloc_emptymcache.alloc[0].span, sizeof(empty_span_before));
	return empty_before ? 0 : -ENOMEM;
}

static void mcache_suite_exit(struct kunit_suite *suite)
{
	kfree(empty_before);
}

static void expect_empty_untouched(struct kunit *test)
{
	struct mspan *s = goalloc_emptymcache.alloc[0].span;

	KUNIT_EXPECT_MEMEQ(test, &goalloc_emptymcache, empty_before, sizeof(*empty_before));
	KUNIT_EXPECT_MEMEQ(test, s, empty_span_before, sizeof(empty_span_before));
	KUNIT_EXPECT_EQ(test, s->nelems, 0);
	KUNIT_EXPECT_EQ(test, s->words[0].both, 0);
}

static int mcache_test_init(struct kunit *test)
{
	test_pin(test, 0);
	return 0;
}

static struct mcache *mcache_of(struct goalloc_heap *heap, int cpu, enum mcache_context ctx)
{
	return per_cpu_ptr(heap->mcache, cpu)->ctx[ctx];
}

static struct mcache_alloc *entry_of(struct goalloc_heap *heap, int cpu,
				     enum mcache_context ctx, u8 spc)
{
	return &mcache_of(heap, cpu, ctx)->alloc[spc];
}

/* A small object that may hold pointers, so of any size a slot of its own. */
static void *make(struct kunit *test, struct goalloc_heap *heap, size_t size)
{
	void *obj = goalloc_heap_alloc(heap, size, GOALLOC_SCAN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, obj);
	return obj;
}

static void *make_tiny(struct kunit *test, struct goalloc_heap *heap, size_t size)
{
	void *obj = heap_kunit_tiny(heap, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, obj);
	return obj;
}

/* An entry that has nothing, in an mcache that was built. */
static void expect_entry_empty(struct kunit *test, const struct mcache_alloc *a)
{
	KUNIT_EXPECT_PTR_EQ(test, a->span, goalloc_emptymcache.alloc[0].span);
	KUNIT_EXPECT_PTR_EQ(test, a->word, goalloc_emptymcache.alloc[0].word);
	KUNIT_EXPECT_EQ(test, a->base, 0);
}

static void mcache_first(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcache *mc;
	void *obj, *next;
	int cpu, ctx, i;

	for_each_possible_cpu(cpu)
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
			KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, cpu, ctx),
					    &goalloc_emptymcache);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mcache_bytes), 0);

	obj = make(test, heap, TWO_SIZE);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	KUNIT_ASSERT_PTR_NE(test, mc, &goalloc_emptymcache);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mcache_bytes), sizeof(*mc));
	KUNIT_EXPECT_EQ(test, mc->id, 0);
	for_each_possible_cpu(cpu)
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
			KUNIT_EXPECT_EQ(test, mcache_of(heap, cpu, ctx) != &goalloc_emptymcache,
					!cpu && !ctx);
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		if (i != TWO_SPC)
			expect_entry_empty(test, &mc->alloc[i]);

	KUNIT_EXPECT_PTR_EQ(test, mc->alloc[TWO_SPC].span, test_span(obj));
	KUNIT_EXPECT_EQ(test, mc->alloc[TWO_SPC].nmalloc, 1);
	KUNIT_EXPECT_EQ(test, test_span(obj)->owner, mc->id);
	KUNIT_EXPECT_PTR_EQ(test, test_span(obj)->cache, &mc->alloc[TWO_SPC]);
	KUNIT_EXPECT_EQ(test, test_span(obj)->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, test_span(obj)->sweepgen, heap->sweepgen + 3);

	/* No second one is built, and the next slot is the next. */
	next = make(test, heap, TWO_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, next, obj + TWO_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_TASK), mc);
	KUNIT_EXPECT_TRUE(test, mcache_build(heap, GFP_KERNEL));
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_TASK), mc);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mcache_bytes), sizeof(*mc));
	test_books(test, heap, 2);
	expect_empty_untouched(test);
}

/* No memory for the mcache: nothing happened, and later it is built. */
static void mcache_first_fails(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);

	if (!IS_ENABLED(CONFIG_FAULT_INJECTION))
		kunit_skip(test, "needs fault injection");
	goalloc_fail_nth(1);
	KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(heap, TWO_SIZE, GOALLOC_SCAN, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
	goalloc_fail_nth(0);
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_TASK), &goalloc_emptymcache);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mcache_bytes), 0);
	test_books(test, heap, 0);
	make(test, heap, TWO_SIZE);
	test_books(test, heap, 1);
	expect_empty_untouched(test);
}

/* A free here, where there is no mcache, leaves the empty one alone. */
static void mcache_empty(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj, *tiny;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	obj = test_alloc_on(test, 1, MCACHE_TASK, heap, TWO_SIZE);
	tiny = test_alloc_on(test, 1, MCACHE_TASK, heap, 4);
	test_books(test, heap, 2);
	goalloc_free(obj);
	goalloc_free(tiny);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(tiny), -EALREADY);
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_TASK), &goalloc_emptymcache);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->frees[TWO_SPC]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->tinyfrees), 1);
	mcache_flush(heap, &goalloc_emptymcache);
	mcache_flush_cpu(heap, 0);
	test_books(test, heap, 0);
	expect_empty_untouched(test);
}

/* Slots come in order, over the words, and then those freed meanwhile. */
static void mcache_words(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcache_alloc *a;
	struct mspan *s;
	void *objs[TWO];
	u32 i;

	for (i = 0; i < TWO; i++) {
		objs[i] = make(test, heap, TWO_SIZE);
		KUNIT_ASSERT_PTR_EQ(test, objs[i], objs[0] + i * TWO_SIZE);
		a = entry_of(heap, 0, MCACHE_TASK, TWO_SPC);
		KUNIT_ASSERT_EQ(test, a->word - a->span->words, i / 32);
	}
	s = a->span;
	KUNIT_EXPECT_EQ(test, mspan_live(s), TWO);

	/* Freed here, by the holder, before the current word: found again. */
	goalloc_free(objs[3]);
	KUNIT_EXPECT_EQ(test, test_word(s, 3).free, BIT(3));
	KUNIT_EXPECT_EQ(test, ~test_word(s, 3).kept, 0);
	KUNIT_EXPECT_EQ(test, a->nfree, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[3]), -EALREADY);
	/* Its free half alone is no word to stay in once it is used up. */
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[3]);
	KUNIT_EXPECT_PTR_EQ(test, entry_of(heap, 0, MCACHE_TASK, TWO_SPC)->span, s);
	test_books(test, heap, TWO);

	/* Freed elsewhere: the holder takes it over when it has nothing else (I3). */
	if (num_online_cpus() < 2)
		return;
	test_free_on(test, 1, MCACHE_TASK, objs[40]);
	test_free_on(test, 1, MCACHE_TASK, objs[7]);
	KUNIT_EXPECT_EQ(test, test_word(s, 40).free, 0);
	KUNIT_EXPECT_EQ(test, ~test_word(s, 40).kept, BIT(8));
	goalloc_free(objs[41]);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[41]);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[7]);
	KUNIT_EXPECT_EQ(test, test_word(s, 40).free, BIT(8));
	KUNIT_EXPECT_EQ(test, ~test_word(s, 40).kept, 0);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), objs[40]);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	KUNIT_EXPECT_PTR_NE(test, test_span(make(test, heap, TWO_SIZE)), s);
	test_books(test, heap, TWO + 1);
}

/* mcache_next_word() on its own, on an mcache made by hand. */
static void mcache_next_word_by_hand(struct kunit *test)
{
	struct mcache *mc = kunit_kzalloc(test, sizeof(*mc), GFP_KERNEL);
	struct goalloc_heap *heap = test_heap(test);
	struct mspan *s = fixalloc_mspan(heap, TWO_SPC, GFP_KERNEL);
	struct mcache_alloc *a = &mc->alloc[TWO_SPC];

	KUNIT_ASSERT_NOT_NULL(test, mc);
	KUNIT_ASSERT_NOT_NULL(test, s);
	mspan_init(s, heap, TWO_SPC, GOALLOC_HEAP_BASE, 1, TWO_SIZE);
	s->base = PAGE_SIZE;
	*a = (struct mcache_alloc){
		.span = s, .word = s->words, .base = s->base, .elemsize = TWO_SIZE,
	};

	/* Forward, */
	s->words[0].free = 0;
	s->words[1].free = BIT(4);
	KUNIT_EXPECT_TRUE(test, mcache_next_word(mc, TWO_SPC));
	KUNIT_EXPECT_PTR_EQ(test, a->word, &s->words[1]);
	KUNIT_EXPECT_EQ(test, a->base, s->base + 32 * TWO_SIZE);
	KUNIT_EXPECT_EQ(test, test_next_free(a), s->base + 36 * TWO_SIZE);
	/* to nothing, */
	KUNIT_EXPECT_FALSE(test, mcache_next_word(mc, TWO_SPC));
	KUNIT_EXPECT_PTR_EQ(test, a->word, &s->words[1]);
	/* back to what was freed before, */
	s->words[0].free = BIT(31);
	KUNIT_EXPECT_TRUE(test, mcache_next_word(mc, TWO_SPC));
	KUNIT_EXPECT_PTR_EQ(test, a->word, &s->words[0]);
	KUNIT_EXPECT_EQ(test, a->base, s->base);
	KUNIT_EXPECT_EQ(test, test_next_free(a), s->base + 31 * TWO_SIZE);
	/* to a remote free of the current word, */
	s->words[0].kept = (u32)~BIT(1);
	KUNIT_EXPECT_TRUE(test, mcache_next_word(mc, TWO_SPC));
	KUNIT_EXPECT_EQ(test, test_next_free(a), s->base + TWO_SIZE);
	/* and over a word in which only a slot freed twice looks free. */
	s->words[1].free = BIT(2);
	s->words[1].kept = (u32)~BIT(2);
	KUNIT_EXPECT_TRUE(test, mcache_next_word(mc, TWO_SPC));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 1);
	KUNIT_EXPECT_EQ(test, test_next_free(a), s->base + 34 * TWO_SIZE);
	KUNIT_EXPECT_FALSE(test, mcache_next_word(mc, TWO_SPC));
	fixalloc_mspan_free_now(heap, s);
}

static void mcache_refill(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcentral *c = &heap->central[FEW_SPC];
	struct mspan *first, *second;
	void *objs[FEW + 1];
	struct mcache *mc;

	KUNIT_ASSERT_EQ(test, test_fill_span(test, heap, FEW_SIZE, objs), FEW);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	first = test_span(objs[0]);
	second = test_span(objs[FEW]);
	/* The used-up span is full in its mcentral, and nobody's. */
	KUNIT_EXPECT_EQ(test, first->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, first->owner, MSPAN_NO_OWNER);
	KUNIT_EXPECT_EQ(test, first->sweepgen, heap->sweepgen);
	KUNIT_EXPECT_EQ(test, c->nfull, 1);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(c), 0);
	/* The other is this mcache's, and swept. */
	KUNIT_EXPECT_EQ(test, second->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, second->owner, mc->id);
	KUNIT_EXPECT_PTR_EQ(test, second->cache, &mc->alloc[FEW_SPC]);
	KUNIT_EXPECT_EQ(test, second->sweepgen, heap->sweepgen + 3);
	KUNIT_EXPECT_EQ(test, mc->alloc[FEW_SPC].nmalloc, FEW + 1);

	/* A free in the first one is remote now, and makes it the next one. */
	goalloc_free(objs[2]);
	KUNIT_EXPECT_EQ(test, test_word(first, 2).free, 0);
	KUNIT_EXPECT_EQ(test, first->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, mc->alloc[FEW_SPC].nfree, 1);
	for (u32 i = 0; i < FEW - 1; i++)
		KUNIT_EXPECT_PTR_EQ(test, test_span(make(test, heap, FEW_SIZE)), second);
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, FEW_SIZE), objs[2]);
	KUNIT_EXPECT_EQ(test, second->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, first->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 2);
	test_books(test, heap, 2 * FEW);
	expect_empty_untouched(test);
}

/* The slot and the span that the slow path names; preemption is off. */
static void mcache_next_free_answer(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mspan *s = NULL;
	unsigned long v;
	bool off;

	v = mcache_next_free(heap, FEW_SPC, GFP_KERNEL, &s);
	off = !preemptible();
	if (v)
		preempt_enable();
	KUNIT_ASSERT_NE(test, v, 0);
	KUNIT_EXPECT_TRUE(test, off);
	KUNIT_EXPECT_PTR_EQ(test, s, test_span((void *)v));
	KUNIT_EXPECT_EQ(test, s->base, v);
	KUNIT_EXPECT_TRUE(test, preemptible());
	test_books(test, heap, 1);
}

static void mcache_flush_hands_back(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mspan *two, *few, *all;
	void *objs[FEW + 1], *obj;
	struct mcache *mc;
	u32 i;

	/* One partly used, one full but not known as such, one with nothing live. */
	obj = make(test, heap, TWO_SIZE);
	two = test_span(obj);
	for (i = 0; i < FEW; i++)
		objs[i] = make(test, heap, FEW_SIZE);
	few = test_span(objs[0]);
	objs[FEW] = make(test, heap, 64);
	all = test_span(objs[FEW]);
	goalloc_free(objs[FEW]);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	test_books(test, heap, 1 + FEW);

	mcache_flush_all(heap);
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		expect_entry_empty(test, &mc->alloc[i]);
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_TASK), mc);
	KUNIT_EXPECT_EQ(test, two->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, few->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, all->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, all->empty, 1);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(&heap->central[TWO_SPC]), 1);
	KUNIT_EXPECT_EQ(test, heap->central[FEW_SPC].nfull, 1);
	KUNIT_EXPECT_EQ(test, two->owner, MSPAN_NO_OWNER);
	KUNIT_EXPECT_EQ(test, two->sweepgen, heap->sweepgen);
	test_books(test, heap, 1 + FEW);

	/* It is the same span that comes back, and goes on where it was. */
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, TWO_SIZE), obj + TWO_SIZE);
	KUNIT_EXPECT_EQ(test, two->place, MSPAN_CACHED);
	test_books(test, heap, 2 + FEW);
	expect_empty_untouched(test);
}

/* Where tiny objects go, by size: offsets from the first one's block. */
static const struct pack_case {
	const char *name;
	u8 size[8];
	s8 at[8];	/* in the first block; -1: in another */
	u32 left;	/* bytes taken of the block that is kept */
} pack_cases[] = {
	{ "ones", { 1, 1, 1 }, { 0, 1, 2 }, 3 },
	{ "aligned by size", { 1, 2, 4, 6 }, { 0, 2, 4, 8 }, 14 },
	{ "odd sizes are not aligned", { 1, 7, 5, 3 }, { 0, 1, 8, 13 }, 16 },
	{ "twelve", { 1, 12 }, { 0, 4 }, 16 },
	{ "six after eleven", { 11, 6 }, { 0, -1 }, 6 },
	{ "eight", { 3, 8, 3 }, { 0, 8, -1 }, 3 },
	{ "the emptier one is kept: the new", { 15, 2, 2 }, { 0, -1, -1 }, 4 },
	{ "the emptier one is kept: the old", { 4, 15, 4 }, { 0, -1, 4 }, 8 },
	{ "as full: the old", { 10, 10, 6 }, { 0, -1, 10 }, 16 },
};

KUNIT_ARRAY_PARAM_DESC(pack, pack_cases, name);

static void mcache_tiny_pack(struct kunit *test)
{
	const struct pack_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	void *objs[8], *first;
	struct mcache *mc;
	u32 n;

	for (n = 0; n < 8 && row->size[n]; n++) {
		objs[n] = make_tiny(test, heap, row->size[n]);
		first = objs[0];
		if (row->at[n] >= 0)
			KUNIT_EXPECT_PTR_EQ_MSG(test, objs[n], first + row->at[n], "object %u", n);
		else
			KUNIT_EXPECT_TRUE_MSG(test, objs[n] < first || objs[n] >= first + 16,
					      "object %u", n);
	}
	mc = mcache_of(heap, 0, MCACHE_TASK);
	KUNIT_EXPECT_EQ(test, mc->tinyoffset, row->left);
	KUNIT_EXPECT_EQ(test, mc->tinyallocs, n);
	KUNIT_EXPECT_TRUE(test, test_span(first)->tiny->word[mc->tinyslot] & TINY_HELD);
	test_books(test, heap, n);
	/* Each dies on its own, in another order. */
	for (u32 i = 0; i < n; i++) {
		u32 k = (i * 3 + 1) % n;

		if (n % 3 == 0)
			k = n - 1 - i;
		KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[k]), 0);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[k]), -EALREADY);
		test_books(test, heap, n - 1 - i);
	}
	mcache_flush_all(heap);
	test_books(test, heap, 0);
}

/* A held block with nothing in it: kept, packed on, released at a flush. */
static void mcache_tiny_release(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcache *mc;
	struct mspan *s;
	void *a, *b;
	u32 slot;

	a = make_tiny(test, heap, 6);
	s = test_span(a);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	slot = mc->tinyslot;
	goalloc_free(a);
	KUNIT_EXPECT_EQ(test, mc->tiny, (unsigned long)a);
	KUNIT_EXPECT_TRUE(test, mspan_slot_live(s, slot));
	test_books(test, heap, 0);
	b = make_tiny(test, heap, 4);
	KUNIT_EXPECT_PTR_EQ(test, b, a + 8);
	test_books(test, heap, 1);

	/* Flushed with an object in it: the slot stays, and goes with the object. */
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, mc->tiny, 0);
	KUNIT_EXPECT_TRUE(test, mspan_slot_live(s, slot));
	KUNIT_EXPECT_FALSE(test, s->tiny->word[slot] & TINY_HELD);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(a), -EALREADY);
	goalloc_free(b);
	KUNIT_EXPECT_FALSE(test, mspan_slot_live(s, slot));
	KUNIT_EXPECT_TRUE(test, mspan_all_free(s));
	test_books(test, heap, 0);

	/* Flushed with none: the slot goes at once. */
	a = make_tiny(test, heap, 6);
	KUNIT_EXPECT_PTR_EQ(test, test_span(a), s);
	slot = mc->tinyslot;
	goalloc_free(a);
	mcache_flush_all(heap);
	KUNIT_EXPECT_FALSE(test, mspan_slot_live(s, slot));
	KUNIT_EXPECT_TRUE(test, mspan_all_free(s));
	test_books(test, heap, 0);
}

/* A span is not given up at a refill before its block is released. */
static void mcache_tiny_refill(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void **objs = kunit_kcalloc(test, TINY_BLOCKS + 1, sizeof(*objs), GFP_KERNEL);
	struct mcache *mc;
	struct mspan *s;
	u32 n;

	KUNIT_ASSERT_NOT_NULL(test, objs);
	for (n = 0; n <= TINY_BLOCKS; n++)
		objs[n] = make_tiny(test, heap, 15);
	s = test_span(objs[0]);
	mc = mcache_of(heap, 0, MCACHE_TASK);
	KUNIT_EXPECT_PTR_EQ(test, test_span(objs[TINY_BLOCKS - 1]), s);
	KUNIT_EXPECT_PTR_NE(test, test_span(objs[TINY_BLOCKS]), s);
	KUNIT_EXPECT_PTR_EQ(test, mc->alloc[GOALLOC_TINY_SPAN_CLASS].span,
			    test_span(objs[TINY_BLOCKS]));
	KUNIT_EXPECT_EQ(test, mc->tiny, (unsigned long)objs[TINY_BLOCKS]);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_FULL);
	for (u32 i = 0; i < TINY_BLOCKS; i++)
		KUNIT_ASSERT_FALSE(test, s->tiny->word[i] & TINY_HELD);
	test_books(test, heap, TINY_BLOCKS + 1);
	for (n = 0; n <= TINY_BLOCKS; n++)
		KUNIT_ASSERT_EQ(test, goalloc_try_free(objs[n]), 0);
	test_books(test, heap, 0);
	expect_empty_untouched(test);
}

/* Each context has an mcache of its own and is the holder of its spans (I1). */
static void mcache_contexts(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj[MCACHE_NMI][2];
	struct mcache *mc;
	int ctx, other;

	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		obj[ctx][0] = test_alloc_on(test, 0, ctx, heap, TWO_SIZE);
		obj[ctx][1] = test_alloc_on(test, 0, ctx, heap, TWO_SIZE);
		mc = mcache_of(heap, 0, ctx);
		KUNIT_ASSERT_PTR_NE(test, mc, &goalloc_emptymcache);
		KUNIT_EXPECT_EQ(test, mc->id, ctx << MCACHE_CONTEXT_SHIFT);
		KUNIT_EXPECT_EQ(test, mc->alloc[TWO_SPC].nmalloc, 2);
		KUNIT_EXPECT_PTR_EQ(test, mc->alloc[TWO_SPC].span, test_span(obj[ctx][0]));
		KUNIT_EXPECT_PTR_EQ(test, test_span(obj[ctx][0]), test_span(obj[ctx][1]));
		KUNIT_EXPECT_EQ(test, test_span(obj[ctx][0])->owner, mc->id);
		for (other = 0; other < ctx; other++)
			KUNIT_EXPECT_PTR_NE(test, test_span(obj[other][0]), test_span(obj[ctx][0]));
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mcache_bytes), 3 * sizeof(*mc));
	test_books(test, heap, 6);

	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		struct mspan *s = test_span(obj[ctx][0]);

		/* By its own context: the free half. By the next one: the remote half. */
		test_free_on(test, 0, ctx, obj[ctx][0]);
		KUNIT_EXPECT_EQ(test, test_word(s, 0).free & 3, 1);
		KUNIT_EXPECT_EQ(test, ~test_word(s, 0).kept & 3U, 0);
		test_free_on(test, 0, (ctx + 1) % MCACHE_NMI, obj[ctx][1]);
		KUNIT_EXPECT_EQ(test, test_word(s, 0).free & 3, 1);
		KUNIT_EXPECT_EQ(test, ~test_word(s, 0).kept & 3U, 2);
		KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	}
	test_books(test, heap, 0);
	KUNIT_EXPECT_PTR_EQ(test, mcache_of(heap, 0, MCACHE_NMI), &goalloc_emptymcache);
	expect_empty_untouched(test);
}

struct own_frees {
	struct goalloc_heap *heap;
	void *objs[8];
	int ret[3];
};

static void own_frees_alloc(void *arg)
{
	struct own_frees *f = arg;

	for (u32 i = 0; i < ARRAY_SIZE(f->objs); i++)
		f->objs[i] = goalloc_heap_alloc(f->heap, TWO_SIZE, GOALLOC_SCAN, GFP_ATOMIC);
}

static void own_frees_free(void *arg)
{
	struct own_frees *f = arg;

	goalloc_free_bulk(4, f->objs);
	f->ret[0] = goalloc_try_free(f->objs[4]);
	f->ret[1] = goalloc_try_free(f->objs[4]);
	f->ret[2] = goalloc_try_free(f->objs[5] + 8);
}

static void own_frees_rest(void *arg)
{
	struct own_frees *f = arg;

	goalloc_free_bulk(3, f->objs + 5);
}

/* What a context made it frees by plain stores, one by one and many at once. */
static void mcache_contexts_own(struct kunit *test)
{
	struct own_frees *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	const struct mcache_alloc *a;
	struct mspan *s;
	u32 ctx, i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->heap = test_heap(test);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		test_call_on(test, 0, ctx, own_frees_alloc, f);
		for (i = 0; i < ARRAY_SIZE(f->objs); i++)
			KUNIT_ASSERT_NOT_NULL(test, f->objs[i]);
		s = test_span(f->objs[0]);
		a = &mcache_of(f->heap, 0, ctx)->alloc[TWO_SPC];
		KUNIT_ASSERT_PTR_EQ(test, a->span, s);
		KUNIT_EXPECT_EQ(test, a->nfree, 0);

		test_call_on(test, 0, ctx, own_frees_free, f);
		KUNIT_EXPECT_EQ(test, f->ret[0], 0);
		KUNIT_EXPECT_EQ(test, f->ret[1], -EALREADY);
		KUNIT_EXPECT_EQ(test, f->ret[2], -EINVAL);
		KUNIT_EXPECT_EQ(test, a->nfree, 5);
		KUNIT_EXPECT_EQ(test, test_word(s, 0).free & GENMASK(7, 0), GENMASK(4, 0));
		KUNIT_EXPECT_EQ(test, test_word(s, 0).kept & GENMASK(7, 0), GENMASK(7, 0));
		test_books(test, f->heap, 3);

		/* Another one takes the kept bits. */
		test_call_on(test, 0, (ctx + 1) % MCACHE_NMI, own_frees_rest, f);
		KUNIT_EXPECT_EQ(test, a->nfree, 5);
		KUNIT_EXPECT_EQ(test, test_word(s, 0).free & GENMASK(7, 0), GENMASK(4, 0));
		KUNIT_EXPECT_EQ(test, test_word(s, 0).kept & GENMASK(7, 0), GENMASK(4, 0));
		test_books(test, f->heap, 0);
	}
}

/* Tiny objects of the contexts are not packed together. */
static void mcache_contexts_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void *obj[MCACHE_NMI];
	int ctx;

	for (ctx = 0; ctx < MCACHE_NMI; ctx++)
		obj[ctx] = test_alloc_on(test, 0, ctx, heap, 4);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		KUNIT_EXPECT_PTR_EQ(test, test_alloc_on(test, 0, ctx, heap, 4), obj[ctx] + 4);
		KUNIT_EXPECT_EQ(test, mcache_of(heap, 0, ctx)->tinyallocs, 2);
	}
	test_books(test, heap, 6);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		test_free_on(test, 0, (ctx + 1) % MCACHE_NMI, obj[ctx]);
		test_free_on(test, 0, (ctx + 2) % MCACHE_NMI, obj[ctx] + 4);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[ctx]), -EALREADY);
	}
	test_books(test, heap, 0);
	mcache_flush_all(heap);
	test_books(test, heap, 0);
}

/* What all CPUs and contexts have comes back at a flush. */
static void mcache_flush_everything(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	int cpu, ctx, i, n = 0;

	for_each_online_cpu(cpu) {
		for (ctx = 0; ctx < MCACHE_NMI; ctx++, n++) {
			struct mspan *s = test_span(test_alloc_on(test, cpu, ctx, heap, TWO_SIZE));

			KUNIT_EXPECT_EQ(test, s->owner, cpu | ctx << MCACHE_CONTEXT_SHIFT);
			test_alloc_on(test, cpu, ctx, heap, 1);
		}
	}
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 2 * n);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(&heap->central[TWO_SPC]), 0);
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(&heap->central[TWO_SPC]), n);
	KUNIT_EXPECT_EQ(test, mcentral_npartial(&heap->central[GOALLOC_TINY_SPAN_CLASS]), n);
	for_each_online_cpu(cpu)
		for (ctx = 0; ctx < MCACHE_NMI; ctx++)
			for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
				expect_entry_empty(test, entry_of(heap, cpu, ctx, i));
	test_books(test, heap, 2 * n);
	expect_empty_untouched(test);
}

/* A CPU goes offline: its spans come back, and others use them. */
static void cpu_back(void *cpu)
{
	heap_kunit_add_cpu((long)cpu);
}

static void mcache_cpu_offline(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	const int cpu = 1;
	struct mspan *s[MCACHE_NMI];
	void *obj[MCACHE_NMI], *tiny;
	int ctx, i;

	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || num_online_cpus() < 2)
		kunit_skip(test, "needs a CPU that can go");
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		obj[ctx] = test_alloc_on(test, cpu, ctx, heap, TWO_SIZE);
		s[ctx] = test_span(obj[ctx]);
		KUNIT_EXPECT_EQ(test, s[ctx]->place, MSPAN_CACHED);
	}
	tiny = test_alloc_on(test, cpu, MCACHE_TASK, heap, 4);

	if (remove_cpu(cpu))
		kunit_skip(test, "the CPU cannot go");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, cpu_back, (void *)(long)cpu), 0);
	KUNIT_ASSERT_FALSE(test, cpu_online(cpu));
	for (ctx = 0; ctx < MCACHE_NMI; ctx++) {
		KUNIT_EXPECT_EQ(test, s[ctx]->place, MSPAN_PARTIAL);
		KUNIT_EXPECT_EQ(test, s[ctx]->owner, MSPAN_NO_OWNER);
		for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
			expect_entry_empty(test, entry_of(heap, cpu, ctx, i));
	}
	KUNIT_EXPECT_EQ(test, mcache_of(heap, cpu, MCACHE_TASK)->tiny, 0);
	test_books(test, heap, 4);

	/* Another CPU goes on in its spans, and frees its objects. */
	KUNIT_EXPECT_EQ(test, test_span(make(test, heap, TWO_SIZE))->place, MSPAN_CACHED);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 4);
	for (ctx = 0; ctx < MCACHE_NMI; ctx++)
		goalloc_free(obj[ctx]);
	goalloc_free(tiny);
	test_books(test, heap, 1);
	/* A second flush, and one of all with the CPU gone, do nothing. */
	mcache_flush_cpu(heap, cpu);
	mcache_flush_all(heap);
	test_books(test, heap, 1);

	kunit_release_action(test, cpu_back, (void *)(long)cpu);
	KUNIT_ASSERT_TRUE(test, cpu_online(cpu));
	KUNIT_EXPECT_EQ(test, test_span(test_alloc_on(test, cpu, MCACHE_TASK, heap, 64))->owner,
			cpu);
	test_books(test, heap, 2);
	expect_empty_untouched(test);
}

static struct kunit_case mcache_cases[] = {
	KUNIT_CASE(mcache_first),
	KUNIT_CASE(mcache_first_fails),
	KUNIT_CASE(mcache_empty),
	KUNIT_CASE(mcache_words),
	KUNIT_CASE(mcache_next_word_by_hand),
	KUNIT_CASE(mcache_refill),
	KUNIT_CASE(mcache_next_free_answer),
	KUNIT_CASE(mcache_flush_hands_back),
	KUNIT_CASE_PARAM(mcache_tiny_pack, pack_gen_params),
	KUNIT_CASE(mcache_tiny_release),
	KUNIT_CASE(mcache_tiny_refill),
	KUNIT_CASE(mcache_contexts),
	KUNIT_CASE(mcache_contexts_own),
	KUNIT_CASE(mcache_contexts_tiny),
	KUNIT_CASE(mcache_flush_everything),
	KUNIT_CASE_SLOW(mcache_cpu_offline),
	{}
};

static struct kunit_suite mcache_suite = {
	.name = "goalloc_mcache",
	.suite_init = mcache_suite_init,
	.suite_exit = mcache_suite_exit,
	.init = mcache_test_init,
	.test_cases = mcache_cases,
};

kunit_test_suite(mcache_suite);

GOALLOC_KUNIT_IMPORT;
