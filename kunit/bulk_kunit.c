// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_bulk: goalloc_alloc_bulk() and goalloc_free_bulk(), word by word.
 *
 * Cases are bound to CPU 0. Work in other contexts is done by a call that is waited
 * for; there nothing is asserted, only counted. Bad frees are meant and counted
 * instead of warned of. The seed of random cases is printed; the parameter
 * bulk_seed repeats a run.
 */
#include <linux/atomic.h>
#include <linux/goalloc.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/string.h>

#include "../goalloc/compat.h"
#include "../goalloc/malloc.h"
#include "heap_kunit.h"
#include "test_heap.h"

static ulong bulk_seed;
module_param(bulk_seed, ulong, 0444);
MODULE_PARM_DESC(bulk_seed, "seed of goalloc_bulk, 0 for any");

/* 64 bytes: 128 slots in 4 words. 1152 bytes: 7 in one. */
#define SIZE		64
#define SLOTS		128
#define SPC		make_spanclass(6, true)
#define FEW_SIZE	1152
#define FEW		7

#define OBJS		600

static atomic_t bad_frees;

static void end_counting(void *unused)
{
	WRITE_ONCE(malloc_expected_faults, NULL);
}

static int bulk_test_init(struct kunit *test)
{
	test_pin(test, 0);
	atomic_set(&bad_frees, 0);
	WRITE_ONCE(malloc_expected_faults, &bad_frees);
	return kunit_add_action_or_reset(test, end_counting, NULL);
}

static void **new_array(struct kunit *test)
{
	void **objs = kunit_kcalloc(test, OBJS, sizeof(*objs), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, objs);
	return objs;
}

static void take(struct kunit *test, struct goalloc_heap *heap, size_t size, u32 n, void **objs)
{
	KUNIT_ASSERT_EQ(test, goalloc_alloc_bulk(heap, size, 0, GFP_KERNEL, n, objs), n);
}

static struct mcache_alloc *entry_of(struct goalloc_heap *heap, u8 spc)
{
	return &per_cpu_ptr(heap->mcache, 0)->ctx[MCACHE_TASK]->alloc[spc];
}

/* Bad frees so far: by the hook, and by the books of the heap. */
static void expect_bad(struct kunit *test, struct goalloc_heap *heap, u32 doubles, u32 strays)
{
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_DOUBLE]), doubles);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_STRAY]), strays);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad_frees), doubles + strays);
}

/* In the order of addresses, over words and spans, nothing left out. */
static void bulk_order(struct kunit *test)
{
	static const u32 sizes[] = { 1, 3, 31, 32, 33, 64, 100, 128, 129, 256, 500 };
	void **objs = new_array(test);

	for (u32 k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct goalloc_heap *heap = test_heap(test);
		u32 n = sizes[k], i;

		/* One first, so that the mcache is there and the word begun. */
		take(test, heap, SIZE, 1, objs);
		take(test, heap, SIZE, n, objs + 1);
		for (i = 1; i <= n; i++) {
			if (i % SLOTS)
				KUNIT_ASSERT_PTR_EQ(test, objs[i], objs[i - 1] + SIZE);
			else
				KUNIT_ASSERT_PTR_NE(test, test_span(objs[i]),
						    test_span(objs[i - 1]));
			KUNIT_ASSERT_EQ(test, goalloc_usable_size(objs[i]), SIZE);
		}
		KUNIT_EXPECT_EQ(test, entry_of(heap, SPC)->nmalloc, n + 1);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), DIV_ROUND_UP(n + 1, SLOTS));
		test_books(test, heap, n + 1);
		goalloc_free_bulk(n + 1, objs);
		test_books(test, heap, 0);
		expect_bad(test, heap, 0, 0);
	}
}

/* What is free in a word is taken, and only that, lowest first. */
static void bulk_partial_words(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void **objs = new_array(test), *again[SLOTS];
	struct mspan *s;
	u32 i, n = 0;

	take(test, heap, SIZE, SLOTS, objs);
	s = test_span(objs[0]);
	KUNIT_ASSERT_PTR_EQ(test, test_span(objs[SLOTS - 1]), s);
	for (i = 0; i < SLOTS; i++)
		if (i % 3 == 1 || (i >= 64 && i < 96))
			again[n++] = objs[i];
	goalloc_free_bulk(n, again);
	for (i = 0; i < SLOTS; i++)
		KUNIT_ASSERT_EQ(test, mspan_slot_live(s, i), !(i % 3 == 1 || (i >= 64 && i < 96)));
	test_books(test, heap, SLOTS - n);
	KUNIT_EXPECT_EQ(test, entry_of(heap, SPC)->nfree, n);
	/* All of them come again, and only then another span is begun. */
	take(test, heap, SIZE, n, again);
	for (i = 0; i < n; i++) {
		u32 slot = mspan_slot_of(s, (unsigned long)again[i]);

		KUNIT_ASSERT_PTR_EQ(test, test_span(again[i]), s);
		KUNIT_ASSERT_TRUE(test, slot % 3 == 1 || (slot >= 64 && slot < 96));
		KUNIT_ASSERT_PTR_EQ(test, again[i], objs[slot]);
	}
	KUNIT_EXPECT_EQ(test, mspan_live(s), SLOTS);
	test_books(test, heap, SLOTS);
	take(test, heap, SIZE, 1, again);
	KUNIT_EXPECT_PTR_NE(test, test_span(again[0]), s);
}

/* A slot that is free and not kept waits for the merge; others do not. */
static void bulk_late(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void **objs = new_array(test), *again[4];
	struct mspan *s;

	take(test, heap, SIZE, SLOTS, objs);
	s = test_span(objs[0]);
	/* Both halves of slot 40, as two frees at one instant leave them. */
	goalloc_free(objs[40]);
	goalloc_free(objs[41]);
	s->words[1].kept &= ~BIT(8);
	atomic64_inc(&heap->frees[SPC]);
	/* As if slots were taken from this word. */
	entry_of(heap, SPC)->word = &s->words[1];
	entry_of(heap, SPC)->base = s->base + 32 * SIZE;
	take(test, heap, SIZE, 1, again);
	KUNIT_EXPECT_PTR_EQ(test, again[0], objs[41]);
	KUNIT_EXPECT_EQ(test, test_word(s, 40).free, BIT(8));
	/* A free in bulk finds it not live. */
	goalloc_free_bulk(1, &objs[40]);
	expect_bad(test, heap, 1, 0);
	KUNIT_EXPECT_EQ(test, test_word(s, 40).free, BIT(8));
	KUNIT_EXPECT_EQ(test, test_word(s, 40).kept, ~BIT(8) & U32_MAX);
	take(test, heap, SIZE, 1, again);
	KUNIT_EXPECT_PTR_EQ(test, again[0], objs[40]);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 1);
	test_books(test, heap, SLOTS);
}

/* Frees in every order, and mixed up over words and spans. */
static void bulk_free_orders(struct kunit *test)
{
	static const struct {
		const char *name;
		u32 n, step;	/* object i * step % n is the i-th */
	} orders[] = {
		{ "up", 300, 1 }, { "down", 300, 299 }, { "each 7th", 300, 7 },
		{ "words in turn", 256, 33 }, { "spans in turn", 256, 129 }, { "one", 1, 1 },
	};
	void **objs = new_array(test), **mixed = new_array(test);

	for (u32 k = 0; k < ARRAY_SIZE(orders); k++) {
		struct goalloc_heap *heap = test_heap(test);
		u32 n = orders[k].n, i;

		heap->central[SPC].maxcached = 8;
		take(test, heap, SIZE, n, objs);
		for (i = 0; i < n; i++) {
			mixed[i] = objs[(u64)i * orders[k].step % n];
			memset(objs[i], i, SIZE);
		}
		goalloc_free_bulk(n / 2, mixed);
		test_books(test, heap, n - n / 2);
		for (i = n / 2; i < n; i++) {
			u32 which = (u64)i * orders[k].step % n;

			KUNIT_ASSERT_EQ(test, goalloc_usable_size(mixed[i]), SIZE);
			KUNIT_ASSERT_NULL(test, memchr_inv(mixed[i], (u8)which, SIZE));
		}
		goalloc_free_bulk(n - n / 2, mixed + n / 2);
		test_books(test, heap, 0);
		expect_bad(test, heap, 0, 0);
		/* Each of them once. */
		for (i = 0; i < n; i++)
			KUNIT_ASSERT_NE(test, goalloc_try_free(objs[i]), 0);
	}
}

/* An object twice in one call: beside itself, in its word, in another. */
static void bulk_doubles(struct kunit *test)
{
	static const u32 lists[][8] = {
		{ 3, 3 },			/* at once */
		{ 3, 4, 5, 3 },			/* later in its word */
		{ 3, 40, 3, 41 },		/* after another word */
		{ 127, 0, 127, 0, 31, 32, 31, 32 },
		{ 5, 5, 5, 5, 5, 5, 5, 5 },
		{ 128, 0, 128 },		/* another span */
	};
	static const struct {
		u32 n, doubles;
	} is[] = { { 2, 1 }, { 4, 1 }, { 4, 1 }, { 8, 4 }, { 8, 7 }, { 3, 1 } };
	void **objs = new_array(test), *list[8];

	for (u32 ring = 1; ring <= 4; ring += 3) {
		for (u32 k = 0; k < ARRAY_SIZE(lists); k++) {
			struct goalloc_heap *heap = test_heap(test);
			u32 i;

			atomic_set(&bad_frees, 0);
			heap->central[SPC].maxcached = ring;
			take(test, heap, SIZE, 2 * SLOTS, objs);
			for (i = 0; i < is[k].n; i++)
				list[i] = objs[lists[k][i]];
			goalloc_free_bulk(is[k].n, list);
			expect_bad(test, heap, is[k].doubles, 0);
			test_books(test, heap, 2 * SLOTS - (is[k].n - is[k].doubles));
			/* And all of it once more. */
			goalloc_free_bulk(is[k].n, list);
			expect_bad(test, heap, is[k].doubles + is[k].n, 0);
			test_books(test, heap, 2 * SLOTS - (is[k].n - is[k].doubles));
			for (i = 0; i < 2 * SLOTS; i++)
				goalloc_try_free(objs[i]);
			test_books(test, heap, 0);
		}
	}
}

/* What is no object among objects: inside them, behind them, of nobody. */
static void bulk_strays(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	void **objs = new_array(test), *list[16];
	u64 wild = atomic64_read(&goalloc_kernel_heap->faults[GOALLOC_FAULT_WILD]);
	u32 n = 0;

	take(test, heap, FEW_SIZE, 2 * FEW, objs);
	take(test, heap, SIZE, 40, objs + 50);
	list[n++] = objs[0];
	list[n++] = objs[1] + 1;			/* stray */
	list[n++] = objs[1];
	list[n++] = objs[1] + FEW_SIZE / 2;		/* stray */
	list[n++] = NULL;
	list[n++] = objs[0] + FEW * FEW_SIZE;		/* the tail: stray */
	list[n++] = objs[2];
	list[n++] = ZERO_SIZE_PTR;
	list[n++] = test;				/* nobody's */
	list[n++] = objs[50] + SIZE - 1;		/* stray */
	list[n++] = objs[50];
	list[n++] = objs[50] + 40 * SIZE;		/* never handed out: double */
	list[n++] = objs[51];
	list[n++] = (void *)1;				/* nobody's */
	goalloc_free_bulk(n, list);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_STRAY]), 4);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_DOUBLE]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_kernel_heap->faults[GOALLOC_FAULT_WILD]),
			wild + 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad_frees), 7);
	test_books(test, heap, 2 * FEW + 40 - 5);
	goalloc_free_bulk(2 * FEW - 3, objs + 3);
	goalloc_free_bulk(38, objs + 52);
	test_books(test, heap, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad_frees), 7);
}

/* Objects of all kinds in one call. */
static void bulk_mixed(struct kunit *test)
{
	static const size_t sizes[] = {
		1, 8, 8, 13, 16, 48, 100, 1152, 8192, 32768, 50000, 200000,
	};
	struct goalloc_heap *heap = test_heap(test), *other = test_heap(test);
	struct goalloc_class *cls = goalloc_class_create(heap, "bulk", 1000, 0, 0);
	void **objs = new_array(test);
	u64 ours = 0, theirs = 0;
	u32 n = 0, i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(cls));
	for (u32 round = 0; round < 12; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			bool which = (round + i) % 3;

			objs[n] = goalloc_heap_alloc(which ? heap : other, sizes[i],
						     round & 1 ? GOALLOC_SCAN : 0, GFP_KERNEL);
			KUNIT_EXPECT_NOT_NULL(test, objs[n]);
			*(which ? &ours : &theirs) += !!objs[n];
			n++;
		}
		objs[n] = goalloc_class_alloc(cls, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, objs[n]);
		ours += !!objs[n++];
		objs[n++] = NULL;
		objs[n++] = goalloc_alloc(round * 50, GFP_KERNEL);
		/* Somebody else's span. */
		if (num_online_cpus() > 1) {
			objs[n++] = test_alloc_on(test, 1, MCACHE_TASK, heap, SIZE);
			ours++;
		}
		objs[n++] = test_alloc_on(test, 0, MCACHE_SOFTIRQ, heap, SIZE);
		ours++;
	}
	KUNIT_ASSERT_LE(test, n, OBJS);
	test_books(test, other, theirs);
	/* A step that has no divisor in common with it. */
	for (i = 0; i < n; i++)
		swap(objs[i], objs[(u64)i * 7919 % n]);
	goalloc_free_bulk(n / 3, objs);
	goalloc_free_bulk(n - n / 3, objs + n / 3);
	expect_bad(test, heap, 0, 0);
	expect_bad(test, other, 0, 0);
	goalloc_class_destroy(cls);
	test_books(test, heap, 0);
	test_books(test, other, 0);
}

/* Zeroed over all of the usable size, wherever it was dirty before (I7). */
static void bulk_zeroed(struct kunit *test)
{
	static const size_t sizes[] = { 1, 7, 8, 16, 50, 100, 1100, 8192, 20000, 40000 };
	struct goalloc_heap *heap = test_heap(test);
	void **objs = new_array(test);

	for (u32 k = 0; k < ARRAY_SIZE(sizes); k++) {
		u32 n = sizes[k] > 2000 ? 10 : 150, dirty = 0;

		for (u32 round = 0; round < 3; round++) {
			u32 got = goalloc_alloc_bulk(heap, sizes[k], 0, GFP_KERNEL | __GFP_ZERO, n,
						     objs);

			KUNIT_ASSERT_EQ(test, got, n);
			for (u32 i = 0; i < n; i++) {
				dirty += !!memchr_inv(objs[i], 0, goalloc_usable_size(objs[i]));
				memset(objs[i], 0xa5, goalloc_usable_size(objs[i]));
			}
			goalloc_free_bulk(n, objs);
		}
		KUNIT_EXPECT_EQ_MSG(test, dirty, 0, "%zu bytes", sizes[k]);
	}
	test_books(test, heap, 0);
}

/* As many as the heap's max lets through, whatever the context. */
static void bulk_short(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 3 * GOALLOC_PAGE_SIZE);
	void **objs = new_array(test);

	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(heap, SIZE, 0, GFP_KERNEL, 0, objs), 0);
	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(heap, SIZE, 0, GFP_KERNEL, OBJS, objs), 3 * SLOTS);
	KUNIT_EXPECT_NOT_NULL(test, objs[3 * SLOTS - 1]);
	KUNIT_EXPECT_NULL(test, objs[3 * SLOTS]);
	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(heap, SIZE, 0, GFP_NOWAIT | __GFP_NOWARN, 1,
						 objs + 500), 0);
	test_books(test, heap, 3 * SLOTS);
	goalloc_free_bulk(3 * SLOTS, objs);
	expect_bad(test, heap, 0, 0);
	heap_kunit_check(test, heap, 0);
}

/* The empty mcache is as it was, whoever comes first. */
static void bulk_first(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mcache *before = kunit_kmalloc(test, sizeof(*before), GFP_KERNEL);
	void *objs[3];

	KUNIT_ASSERT_NOT_NULL(test, before);
	memcpy(before, &goalloc_emptymcache, sizeof(*before));
	goalloc_free_bulk(0, objs);
	take(test, heap, SIZE, 3, objs);
	goalloc_free_bulk(3, objs);
	KUNIT_EXPECT_MEMEQ(test, before, &goalloc_emptymcache, sizeof(*before));
	KUNIT_EXPECT_EQ(test, goalloc_emptymspan.words[0].both, 0);
	test_books(test, heap, 0);
}

/* Work in a context, which is counted and not asserted. */
struct work {
	struct goalloc_heap *heap;
	void **objs;
	u32 n, got;
	size_t size;
	bool frees;
};

static void work_fn(void *arg)
{
	struct work *w = arg;

	if (w->frees)
		goalloc_free_bulk(w->n, w->objs);
	else
		w->got = goalloc_alloc_bulk(w->heap, w->size, 0, GFP_ATOMIC, w->n, w->objs);
}

static void work_on(struct kunit *test, int cpu, enum mcache_context ctx, struct work *w)
{
	test_call_on(test, cpu, ctx, work_fn, w);
}

/* Made in each context, freed in each other; twice in each. */
static void bulk_contexts(struct kunit *test)
{
	int cpus = min(num_online_cpus(), 2U);

	for (u32 from = 0; from < MCACHE_NMI; from++) {
		for (u32 to = 0; to < MCACHE_NMI * cpus; to++) {
			struct goalloc_heap *heap = test_heap(test);
			struct work w = {
				.heap = heap, .objs = new_array(test), .n = 200, .size = SIZE,
			};
			u32 ctx = to % MCACHE_NMI;
			int cpu = to / MCACHE_NMI;

			atomic_set(&bad_frees, 0);
			heap->central[SPC].maxcached = 4;
			work_on(test, 0, from, &w);
			KUNIT_ASSERT_EQ(test, w.got, 200);
			for (u32 i = 0; i < 200; i++)
				KUNIT_ASSERT_EQ(test, test_span(w.objs[i])->owner,
						from << MCACHE_CONTEXT_SHIFT);
			test_books(test, heap, 200);
			w.frees = true;
			w.n = 150;
			work_on(test, cpu, ctx, &w);
			test_books(test, heap, 50);
			expect_bad(test, heap, 0, 0);
			/* By the owner, which has not looked since: 150 doubles. */
			w.n = 200;
			work_on(test, 0, from, &w);
			test_books(test, heap, 0);
			expect_bad(test, heap, 150, 0);
			/* By somebody else. */
			work_on(test, cpu, ctx, &w);
			expect_bad(test, heap, 350, 0);
			/* All of them are there to be used, once. */
			w.frees = false;
			work_on(test, 0, from, &w);
			KUNIT_ASSERT_EQ(test, w.got, 200);
			KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 2);
			test_books(test, heap, 200);
			goalloc_free_bulk(200, w.objs);
			test_books(test, heap, 0);
			kunit_kfree(test, w.objs);
		}
	}
}

/* Against an array: random numbers of random sizes, in bulk and one by one. */
struct known {
	void *obj;
	u32 size;
	u8 fill;
};

static void bulk_random(struct kunit *test)
{
	static const u32 sizes[] = { 4, 8, 16, 48, 64, 100, 704, 1152, 8192, 40000 };
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct known *known = kunit_kcalloc(test, OBJS, sizeof(*known), GFP_KERNEL);
	void **objs = new_array(test);
	ulong seed = bulk_seed ?: get_random_u32() | 1;
	u32 n = 0, bad = 0;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, known);
	kunit_info(test, "bulk_seed=%lu\n", seed);
	prandom_seed_state(&rnd, seed);
	for (u32 step = 0; step < 600; step++) {
		u32 size = sizes[prandom_u32_state(&rnd) % ARRAY_SIZE(sizes)], i, k, many;

		many = 1 + prandom_u32_state(&rnd) % (size > 2000 ? 5 : 90);
		if (n + many <= OBJS && prandom_u32_state(&rnd) % 2) {
			KUNIT_ASSERT_EQ(test, goalloc_alloc_bulk(heap, size, 0, GFP_KERNEL, many,
								 objs), many);
			for (i = 0; i < many; i++) {
				known[n] = (struct known){ objs[i], size, prandom_u32_state(&rnd) };
				memset(objs[i], known[n].fill, size);
				n++;
			}
		} else {
			many = min(many, n);
			for (i = 0; i < many; i++) {
				/* Those last made, in their order, or any. */
				k = step % 3 ? n - 1 : prandom_u32_state(&rnd) % n;
				bad += !!memchr_inv(known[k].obj, known[k].fill, known[k].size);
				objs[i] = known[k].obj;
				known[k] = known[--n];
			}
			if (step % 5)
				goalloc_free_bulk(many, objs);
			for (i = 0; i < many && step % 5 == 0; i++)
				goalloc_free(objs[i]);
		}
		if (step % 100 == 99)
			heap_kunit_check(test, heap, n);
		cond_resched();
	}
	for (u32 i = 0; i < n; i++)
		objs[i] = known[i].obj;
	goalloc_free_bulk(n, objs);
	KUNIT_EXPECT_EQ(test, bad, 0);
	expect_bad(test, heap, 0, 0);
	heap_kunit_check(test, heap, 0);
}

/*
 * Two CPUs free the same objects in bulk, one of them their owner. Of the two
 * one is refused, or both halves of the slot say so and the merge finds it.
 */
#define RACE_OBJS	96

struct race {
	struct goalloc_heap *heap;
	void *objs[RACE_OBJS];
	u64 freed;
	u32 short_of;
};

static void race_fn(struct test_pair *p, int who)
{
	struct race *r = p->arg;
	u32 round = 0;

	while (test_pair_again(p, who, ++round)) {
		if (!who) {
			r->short_of += goalloc_alloc_bulk(r->heap, SIZE, 0, GFP_KERNEL, RACE_OBJS,
							  r->objs) != RACE_OBJS;
			r->freed += RACE_OBJS;
		}
		test_pair_meet(p, ++round);
		goalloc_free_bulk(RACE_OBJS, r->objs);
		test_pair_meet(p, ++round);
	}
}

static void bulk_race(struct kunit *test)
{
	struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	u64 late, doubles;

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->heap = test_heap(test);
	r->heap->central[SPC].maxcached = 4;
	test_pair_run(test, race_fn, r);
	mcache_flush_all(r->heap);
	late = atomic64_read(&r->heap->faults[GOALLOC_FAULT_LATE]);
	doubles = atomic64_read(&r->heap->faults[GOALLOC_FAULT_DOUBLE]);
	kunit_info(test, "%llu objects freed twice, of %llu both were told so\n", r->freed, late);
	KUNIT_EXPECT_EQ(test, r->short_of, 0);
	KUNIT_EXPECT_GT(test, r->freed, 0);
	KUNIT_EXPECT_EQ(test, late + doubles, r->freed);
	KUNIT_EXPECT_EQ(test, atomic_read(&bad_frees), doubles);
	test_books(test, r->heap, 0);
}

static struct kunit_case bulk_cases[] = {
	KUNIT_CASE(bulk_order),
	KUNIT_CASE(bulk_partial_words),
	KUNIT_CASE(bulk_late),
	KUNIT_CASE(bulk_free_orders),
	KUNIT_CASE(bulk_doubles),
	KUNIT_CASE(bulk_strays),
	KUNIT_CASE(bulk_mixed),
	KUNIT_CASE(bulk_zeroed),
	KUNIT_CASE(bulk_short),
	KUNIT_CASE(bulk_first),
	KUNIT_CASE_SLOW(bulk_contexts),
	KUNIT_CASE_SLOW(bulk_random),
	KUNIT_CASE_SLOW(bulk_race),
	{}
};

static struct kunit_suite bulk_suite = {
	.name = "goalloc_bulk",
	.init = bulk_test_init,
	.test_cases = bulk_cases,
};

kunit_test_suite(bulk_suite);

GOALLOC_KUNIT_IMPORT;
