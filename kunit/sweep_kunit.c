// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_sweep: cycles, with marks set by hand.
 *
 * The background sweeper is kept out, except where it is what is tested, so
 * that a span is swept when a case says so. The seed of random cases is
 * printed; the parameter sweep_seed repeats a run.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../goalloc/checkers.h"
#include "../goalloc/compat.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"
#include "test_heap.h"

static ulong sweep_seed;
module_param(sweep_seed, ulong, 0444);
MODULE_PARM_DESC(sweep_seed, "seed of goalloc_sweep, 0 for any");

/* 1152 bytes: 7 objects in a span of one page. */
#define SIZE	1152
#define NELEMS	7
#define SPC	make_spanclass(33, false)
#define SWEPT	(~0ULL)		/* sweepone(): none is left */

static int sweep_test_init(struct kunit *test)
{
	test_pin(test, 0);
	return 0;
}

static struct goalloc_heap *quiet_heap(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);

	disable_delayed_work(&heap->bgsweep);
	return heap;
}

static void *make(struct kunit *test, struct goalloc_heap *heap, size_t size)
{
	void *obj = goalloc_heap_alloc(heap, size, size < 16 ? 0 : GOALLOC_SCAN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, obj);
	return obj;
}

static void mark(struct kunit *test, struct goalloc_heap *heap, void *obj)
{
	KUNIT_ASSERT_EQ(test, gc_mark(heap, (unsigned long)obj), 0);
}

static u32 sweep_all(struct goalloc_heap *heap)
{
	u32 n = 0;

	while (sweepone(heap) != SWEPT)
		n++;
	return n;
}

/* Is it an object now? */
static bool lives(void *obj)
{
	return goalloc_usable_size(obj);
}

/* Marks: on live objects only, anywhere in them. */
static void sweep_marks(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test), *other = test_heap(test);
	void *obj = make(test, heap, SIZE), *dead = make(test, heap, SIZE);
	void *foreign = make(test, other, SIZE);
	unsigned long tail = (unsigned long)obj + NELEMS * SIZE;

	goalloc_free(dead);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)dead), -ENOENT);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)foreign), -ENOENT);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)test), -ENOENT);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, tail), -ENOENT);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, 0), -ENOENT);
	KUNIT_EXPECT_NULL(test, test_span(obj)->gcmark_bits);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)obj + SIZE - 1), 0);
	KUNIT_EXPECT_NOT_NULL(test, test_span(obj)->gcmark_bits);
	gc_sweep_start(heap);
	sweep_all(heap);
	KUNIT_EXPECT_TRUE(test, lives(obj));
	KUNIT_EXPECT_NULL(test, test_span(obj)->gcmark_bits);
	test_books(test, heap, 1);
}

/* The next cycle's marks would be taken for those of the one being swept. */
static void sweep_marks_wait(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test);
	void *obj = make(test, heap, SIZE);

	mark(test, heap, obj);
	gc_sweep_start(heap);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)obj), -EBUSY);
	sweep_all(heap);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)obj), 0);
	gc_sweep_start(heap);
	sweep_all(heap);
	KUNIT_EXPECT_TRUE(test, lives(obj));
	test_books(test, heap, 1);
}

/* A span's sweepgen against the heap's, step by step (I5). */
static void sweep_generations(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test);
	struct mcentral *c = &heap->central[SPC];
	u32 sg = heap->sweepgen, i;
	struct mspan *full, *part, *s;
	void *objs[NELEMS + 1];

	KUNIT_EXPECT_TRUE(test, heap->sweepdone);
	KUNIT_EXPECT_EQ(test, sweepone(heap), SWEPT);
	KUNIT_ASSERT_EQ(test, test_fill_span(test, heap, SIZE, objs), NELEMS);
	full = test_span(objs[0]);
	part = test_span(objs[NELEMS]);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg);
	KUNIT_EXPECT_EQ(test, part->sweepgen, sg + 3);
	for (i = 0; i <= NELEMS; i++)
		if (i != 5)
			mark(test, heap, objs[i]);

	/* The heap moves by 2; the caches were emptied before. */
	gc_sweep_start(heap);
	KUNIT_EXPECT_EQ(test, heap->sweepgen, sg + 2);
	KUNIT_EXPECT_FALSE(test, heap->sweepdone);
	KUNIT_EXPECT_EQ(test, heap->num_gc, 1);
	sg += 2;
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg - 2);
	KUNIT_EXPECT_EQ(test, part->sweepgen, sg - 2);
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_FULL);
	KUNIT_EXPECT_EQ(test, part->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_TRUE(test, lives(objs[5]));

	/* Being swept, by one only. */
	s = mcentral_take_unswept(c, false, sg);
	KUNIT_EXPECT_PTR_EQ(test, s, full);
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg - 1);
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_HELD);
	KUNIT_EXPECT_NULL(test, mcentral_take_unswept(c, false, sg));
	/* Swept, and kept by the sweeper. */
	KUNIT_EXPECT_TRUE(test, mspan_sweep(full, true));
	KUNIT_EXPECT_EQ(test, full->sweepgen, sg);
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_HELD);
	KUNIT_EXPECT_EQ(test, full->words[0].free, BIT(5));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), 1);
	mcentral_put(c, full);
	KUNIT_EXPECT_EQ(test, full->place, MSPAN_PARTIAL);

	/* The other one, by whoever comes. */
	KUNIT_EXPECT_EQ(test, sweepone(heap), 1);
	KUNIT_EXPECT_EQ(test, part->sweepgen, sg);
	KUNIT_EXPECT_EQ(test, part->place, MSPAN_PARTIAL);
	KUNIT_EXPECT_EQ(test, part->words[0].free, GENMASK(NELEMS - 1, 1));
	KUNIT_EXPECT_FALSE(test, heap->sweepdone);
	KUNIT_EXPECT_EQ(test, sweepone(heap), SWEPT);
	KUNIT_EXPECT_TRUE(test, heap->sweepdone);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), 2);

	/* Swept, then cached. */
	s = test_span(make(test, heap, SIZE));
	KUNIT_EXPECT_EQ(test, s->sweepgen, sg + 3);
	KUNIT_EXPECT_EQ(test, s->place, MSPAN_CACHED);
	mcache_flush_all(heap);
	KUNIT_EXPECT_EQ(test, s->sweepgen, sg);
	test_books(test, heap, NELEMS + 1);
}

/*
 * A span cached when the cycle began is swept when it is given up. Cycles
 * empty the caches first, so the generation is moved by hand.
 */
static void sweep_cached(struct kunit *test)
{
	for (u32 refill = 0; refill < 2; refill++) {
		struct goalloc_heap *heap = quiet_heap(test);
		struct mspan *s = NULL;
		void *objs[NELEMS];
		unsigned long flags;
		u32 n = refill ? NELEMS : 3;

		for (u32 i = 0; i < n; i++)
			objs[i] = make(test, heap, SIZE);
		s = test_span(objs[0]);
		mark(test, heap, objs[1]);
		flags = mheap_lock(heap);
		WRITE_ONCE(heap->sweepgen, heap->sweepgen + 2);
		WRITE_ONCE(heap->sweepdone, false);
		mheap_unlock(heap, flags);
		KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen + 1);

		/* Not before: it is in no set. */
		KUNIT_EXPECT_EQ(test, sweepone(heap), SWEPT);
		KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen + 1);
		test_books(test, heap, n);
		if (refill) {
			/* The used-up span is swept, and so is the next one, too. */
			void *next = make(test, heap, SIZE);

			KUNIT_EXPECT_PTR_EQ(test, next, objs[0]);
			KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
			KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen + 3);
			test_books(test, heap, 2);
		}
		mcache_flush_all(heap);
		test_books(test, heap, 1 + refill);
		KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen);
		KUNIT_EXPECT_EQ(test, s->place, MSPAN_PARTIAL);
		for (u32 i = 0; i < n; i++)
			KUNIT_EXPECT_EQ(test, lives(objs[i]), i == 1 || (refill && !i));
	}
}

/* Exactly what is not marked becomes free, and only that is handed out again. */
static void sweep_exact(struct kunit *test)
{
	static const u32 sizes[] = { 16, 128, SIZE, 5376, 32768 };
	enum { SPANS = 3 };

	for (u32 k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct goalloc_heap *heap = quiet_heap(test);
		u8 class = goalloc_size_to_class(sizes[k]);
		u32 nelems = goalloc_class_to_nelems[class], n = SPANS * nelems, dead = 0, i, d;
		void **objs = kunit_kcalloc(test, n, sizeof(*objs), GFP_KERNEL);
		u8 *is_dead = kunit_kzalloc(test, n, GFP_KERNEL);
		struct rnd_state rnd;

		KUNIT_ASSERT_NOT_NULL(test, objs);
		KUNIT_ASSERT_NOT_NULL(test, is_dead);
		prandom_seed_state(&rnd, k + 1);
		/* In order, so that an address tells which it is. */
		for (i = 0; i < n; i++)
			objs[i] = make(test, heap, sizes[k]);
		KUNIT_ASSERT_EQ(test, mheap_nspans(heap), SPANS);
		for (i = 0; i < n; i++) {
			/* The first one of each span is kept, and so its pages. */
			is_dead[i] = i % nelems && prandom_u32_state(&rnd) % 3;
			dead += is_dead[i];
			if (!is_dead[i])
				mark(test, heap, objs[i]);
		}
		gc_sweep_start(heap);
		KUNIT_EXPECT_EQ(test, sweep_all(heap), SPANS);
		test_books(test, heap, n - dead);
		for (i = 0; i < n; i++)
			KUNIT_ASSERT_EQ_MSG(test, lives(objs[i]), !is_dead[i], "object %u of %u",
					    i, sizes[k]);
		for (d = 0; d < dead; d++) {
			void *obj = make(test, heap, sizes[k]);
			struct mspan *s = test_span(obj);

			for (i = 0; i < n && test_span(objs[i]) != s; i += nelems)
				;
			i += mspan_slot_of(s, (unsigned long)obj);
			KUNIT_ASSERT_LT(test, i, n);
			KUNIT_ASSERT_TRUE_MSG(test, is_dead[i], "object %u of %u", i, sizes[k]);
			is_dead[i] = 0;
		}
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS);
		make(test, heap, sizes[k]);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS + 1);
		test_books(test, heap, n + 1);
	}
}

/* An explicit free and the sweep, in every order, of a marked object and not. */
static const struct order_case {
	const char *name;
	bool marked;
	u32 when;	/* 0: before the cycle, 1: before the sweep, 2: after it */
	int ret;
} order_cases[] = {
	{ "marked, freed before the cycle", true, 0, 0 },
	{ "marked, freed before the sweep", true, 1, 0 },
	{ "marked, freed after the sweep", true, 2, 0 },
	{ "not marked, freed before the cycle", false, 0, 0 },
	{ "not marked, freed before the sweep", false, 1, 0 },
	{ "not marked, freed after the sweep", false, 2, -EALREADY },
};

KUNIT_ARRAY_PARAM_DESC(order, order_cases, name);

static void sweep_and_free(struct kunit *test)
{
	const struct order_case *row = test->param_value;
	struct goalloc_heap *heap = quiet_heap(test);
	void *kept = make(test, heap, SIZE), *obj = make(test, heap, SIZE);

	mark(test, heap, kept);
	if (row->marked)
		mark(test, heap, obj);
	for (u32 when = 0; when < 3; when++) {
		if (when == 1)
			gc_sweep_start(heap);
		if (when == 2)
			KUNIT_EXPECT_EQ(test, sweep_all(heap), 1);
		if (when == row->when) {
			KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), row->ret);
			KUNIT_EXPECT_EQ(test, goalloc_try_free(obj), -EALREADY);
		}
	}
	test_books(test, heap, 1);
	KUNIT_EXPECT_TRUE(test, lives(kept));
	KUNIT_EXPECT_PTR_EQ(test, make(test, heap, SIZE), obj);
	test_books(test, heap, 2);
}

/* A span whose objects are all freed before it is swept goes, marks and all. */
static void sweep_freed_span(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test);
	void *objs[3 * NELEMS];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		objs[i] = make(test, heap, SIZE);
		mark(test, heap, objs[i]);
	}
	gc_sweep_start(heap);
	for (i = 0; i < ARRAY_SIZE(objs); i++)
		goalloc_free(objs[i]);
	test_books(test, heap, 0);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
	KUNIT_EXPECT_EQ(test, sweep_all(heap), 1);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 1);
	test_books(test, heap, 0);
}

/* Tiny objects: a block lives as long as one of them is marked. */
static void sweep_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test);
	void *obj[3][4];
	struct mspan *s;
	u32 b, i;

	for (b = 0; b < 3; b++)
		for (i = 0; i < 4; i++)
			obj[b][i] = make(test, heap, 4);
	s = test_span(obj[0][0]);
	KUNIT_ASSERT_PTR_EQ(test, obj[1][0], obj[0][0] + 16);
	goalloc_free(obj[0][1]);
	goalloc_free(obj[1][1]);
	mark(test, heap, obj[1][2]);
	test_books(test, heap, 10);
	gc_sweep_start(heap);
	sweep_all(heap);
	test_books(test, heap, 3);
	for (b = 0; b < 3; b++) {
		KUNIT_EXPECT_EQ(test, mspan_slot_live(s, b), b == 1);
		for (i = 0; i < 4; i++)
			KUNIT_EXPECT_EQ(test, lives(obj[b][i]), b == 1 && i != 1);
	}
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[0][0]), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[2][3]), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[1][1]), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[1][0]), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[1][2]), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(obj[1][3]), 0);
	KUNIT_EXPECT_FALSE(test, mspan_slot_live(s, 1));
	test_books(test, heap, 0);
}

/*
 * Somebody has just freed the last object of a block, and is about to free its
 * slot, when the block is swept: the slot is left to him.
 */
static void sweep_tiny_last_free(struct kunit *test)
{
	struct goalloc_heap *heap = quiet_heap(test);
	void *obj[2] = {
		heap_kunit_tiny(heap, 7, GFP_KERNEL), heap_kunit_tiny(heap, 10, GFP_KERNEL),
	};
	struct mspan *s;

	KUNIT_ASSERT_NOT_NULL(test, obj[0]);
	KUNIT_ASSERT_NOT_NULL(test, obj[1]);
	s = test_span(obj[0]);
	KUNIT_ASSERT_PTR_EQ(test, test_span(obj[1]), s);
	mark(test, heap, obj[1]);
	gc_sweep_start(heap);
	checkers_tiny_freeing(s, 0, 0);
	KUNIT_ASSERT_EQ(test, tiny_free(s, 0, 0), TINY_SLOT_FREE);
	sweep_all(heap);
	KUNIT_EXPECT_TRUE(test, mspan_slot_live(s, 0));
	/* His part of the books, too. */
	atomic64_inc(&heap->tinyfrees);
	atomic64_inc(&heap->frees[GOALLOC_TINY_SPAN_CLASS]);
	KUNIT_EXPECT_EQ(test, mspan_free_remote(s, 0), 0);
	rcu_read_lock();
	KUNIT_EXPECT_FALSE(test, mcentral_freed(s, 0));
	rcu_read_unlock();
	test_books(test, heap, 1);
}

static void sweep_large(struct kunit *test)
{
	/* In a block, and in pages of its own. */
	static const size_t sizes[] = { 40000, 1 << 20, 3 << 20 };

	for (u32 k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct goalloc_heap *heap = quiet_heap(test);
		void *kept = make(test, heap, sizes[k]), *dead = make(test, heap, sizes[k]);
		u64 pages = test_span(dead)->npages;

		mark(test, heap, kept + sizes[k] - 1);
		test_books(test, heap, 2);
		gc_sweep_start(heap);
		KUNIT_EXPECT_EQ(test, test_span(dead)->sweepgen, heap->sweepgen - 2);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 2 * pages);
		KUNIT_EXPECT_EQ(test, sweep_all(heap), 2);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), pages);
		KUNIT_EXPECT_EQ(test, test_span(kept)->sweepgen, heap->sweepgen);
		KUNIT_EXPECT_EQ(test, test_span(kept)->place, MSPAN_FULL);
		KUNIT_EXPECT_NULL(test, test_span(dead));
		KUNIT_EXPECT_EQ(test, goalloc_try_free(dead), -ENOENT);
		test_books(test, heap, 1);
		goalloc_free(kept);
		test_books(test, heap, 0);
	}
}

/* Full spans, with as many marked in each; the objects of the last are cached. */
static void fill(struct kunit *test, struct goalloc_heap *heap, u32 spans, u32 marked)
{
	for (u32 i = 0; i < spans * NELEMS; i++) {
		void *obj = make(test, heap, SIZE);

		if (i % NELEMS < marked)
			mark(test, heap, obj);
	}
	KUNIT_ASSERT_EQ(test, mheap_nspans(heap), spans);
}

/* At a refill a span is swept and handed out, before a new one is made. */
static void sweep_lazy(struct kunit *test)
{
	enum { SPANS = 4, MARKED = 5 };
	struct goalloc_heap *heap = quiet_heap(test);
	u32 n;

	fill(test, heap, SPANS, MARKED);
	gc_sweep_start(heap);
	/* Not by the bytes allocated. */
	heap->sweep_pages_per_byte = 0;
	for (n = 0; n < SPANS * (NELEMS - MARKED); n++) {
		struct mspan *s = test_span(make(test, heap, SIZE));

		KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen + 3);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept),
				n / (NELEMS - MARKED) + 1);
	}
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS);
	KUNIT_EXPECT_EQ(test, sweepone(heap), SWEPT);
	test_books(test, heap, SPANS * NELEMS);
	make(test, heap, SIZE);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS + 1);
}

/* Spans without a dead object are swept in vain, and become swept full ones. */
static void sweep_lazy_full(struct kunit *test)
{
	enum { SPANS = 4 };
	struct goalloc_heap *heap = quiet_heap(test);
	struct mspan *s;

	fill(test, heap, SPANS, NELEMS);
	gc_sweep_start(heap);
	heap->sweep_pages_per_byte = 0;
	s = test_span(make(test, heap, SIZE));
	KUNIT_EXPECT_EQ(test, s->sweepgen, heap->sweepgen + 3);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), SPANS + 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), SPANS);
	KUNIT_EXPECT_EQ(test, heap->central[SPC].nfull, SPANS);
	KUNIT_EXPECT_EQ(test, sweepone(heap), SWEPT);
	test_books(test, heap, SPANS * NELEMS + 1);
}

/* In proportion to the bytes that are taken. */
static void sweep_proportional(struct kunit *test)
{
	enum { SPANS = 16 };
	struct goalloc_heap *heap = quiet_heap(test);
	u32 step;

	fill(test, heap, SPANS, 1);
	deduct_sweep_credit(heap, 1 << 20);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), 0);
	gc_sweep_start(heap);
	/* 16 pages over the least distance, a MiB: one each 64 KiB. */
	KUNIT_EXPECT_EQ(test, heap->sweep_pages_per_byte, ((u64)SPANS << 32) >> 20);
	for (step = 1; step <= 2 * SPANS; step++) {
		deduct_sweep_credit(heap, 32 << 10);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), step / 2);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->sweep_span_bytes), step << 15);
	}
	KUNIT_EXPECT_NE(test, heap->sweep_pages_per_byte, 0);
	deduct_sweep_credit(heap, 64 << 10);
	KUNIT_EXPECT_EQ(test, heap->sweep_pages_per_byte, 0);
	KUNIT_EXPECT_TRUE(test, heap->sweepdone);
	test_books(test, heap, SPANS);

	/* A large object counts with its bytes. */
	gc_sweep_start(heap);
	make(test, heap, 512 << 10);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), SPANS / 2);
}

static void sweep_background(struct kunit *test)
{
	enum { SPANS = 50 };
	struct goalloc_heap *heap = test_heap(test);
	u32 ms;

	fill(test, heap, SPANS, 2);
	gc_sweep_start(heap);
	for (ms = 0; ms < 30000 && !READ_ONCE(heap->sweepdone); ms += 10)
		msleep(20);
	KUNIT_ASSERT_TRUE(test, heap->sweepdone);
	sweep_stop(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_swept), SPANS);
	test_books(test, heap, 2 * SPANS);
}

/*
 * Cycles over random objects, which are made, marked and freed all the while:
 * each lives until it is freed or a cycle began without its mark. Every object
 * has its number in its first and last bytes.
 */
#define RANDOM_OBJS	400

struct live {
	u32 *obj;
	u32 size;
	u32 number;
	bool marked;
};

static void random_make(struct kunit *test, struct goalloc_heap *heap, struct rnd_state *rnd,
			struct live *l, u32 number)
{
	static const u32 sizes[] = { 8, 48, 128, 520, SIZE, 5000, 20000, 50000 };

	l->size = sizes[prandom_u32_state(rnd) % ARRAY_SIZE(sizes)];
	l->obj = goalloc_heap_alloc(heap, l->size, GOALLOC_SCAN, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, l->obj);
	KUNIT_ASSERT_GE(test, goalloc_usable_size(l->obj), l->size);
	l->number = number;
	l->obj[0] = number;
	l->obj[l->size / 4 - 1] = number;
	l->marked = true;
}

static void random_check(struct kunit *test, struct goalloc_heap *heap, struct live *live,
			 bool books)
{
	u32 n = 0;

	for (u32 i = 0; i < RANDOM_OBJS; i++) {
		struct live *l = &live[i];

		if (!l->obj)
			continue;
		n++;
		KUNIT_ASSERT_GE(test, goalloc_usable_size(l->obj), l->size);
		KUNIT_ASSERT_EQ(test, l->obj[0], l->number);
		KUNIT_ASSERT_EQ(test, l->obj[l->size / 4 - 1], l->number);
	}
	if (books)
		test_books(test, heap, n);
}

static void sweep_random(struct kunit *test)
{
	struct live *live = kunit_kcalloc(test, RANDOM_OBJS, sizeof(*live), GFP_KERNEL);
	struct goalloc_heap *heap = quiet_heap(test);
	u64 seed = sweep_seed ?: get_random_u64();
	struct rnd_state rnd;
	u32 number = 0, i;

	KUNIT_ASSERT_NOT_NULL(test, live);
	kunit_info(test, "sweep_seed=%llu\n", seed);
	prandom_seed_state(&rnd, seed);
	for (u32 cycle = 0; cycle < 12; cycle++) {
		u32 share = 1 + prandom_u32_state(&rnd) % 4;

		sweep_all(heap);
		for (i = 0; i < RANDOM_OBJS; i++)
			if (!live[i].obj && prandom_u32_state(&rnd) % 4)
				random_make(test, heap, &rnd, &live[i], ++number);
		random_check(test, heap, live, true);
		for (i = 0; i < RANDOM_OBJS; i++) {
			struct live *l = &live[i];

			l->marked = l->obj && prandom_u32_state(&rnd) % 4 < share;
			if (l->marked)
				mark(test, heap, (void *)l->obj +
						 prandom_u32_state(&rnd) % l->size);
		}
		gc_sweep_start(heap);
		KUNIT_ASSERT_EQ(test, heap->sweepgen, 2 * cycle + 4);
		for (u32 step = 0; step < 300; step++) {
			struct live *l = &live[prandom_u32_state(&rnd) % RANDOM_OBJS];

			switch (prandom_u32_state(&rnd) % 16) {
			case 0:
				sweepone(heap);
				break;
			case 1:
				deduct_sweep_credit(heap, prandom_u32_state(&rnd) % 30000);
				break;
			case 2:
				mcache_flush_all(heap);
				break;
			case 3 ... 8:
				if (!l->obj || !l->marked)
					break;
				KUNIT_ASSERT_EQ(test, goalloc_try_free(l->obj), 0);
				l->obj = NULL;
				break;
			default:
				/* An unmarked one is forgotten: the sweep frees it. */
				if (!l->obj || !l->marked)
					random_make(test, heap, &rnd, l, ++number);
			}
		}
		for (i = 0; i < RANDOM_OBJS; i++)
			if (!live[i].marked)
				live[i].obj = NULL;
		random_check(test, heap, live, false);
		sweep_all(heap);
		random_check(test, heap, live, true);
	}
	KUNIT_EXPECT_EQ(test, heap->num_gc, 12);
	for (i = 0; i < RANDOM_OBJS; i++)
		goalloc_free(live[i].obj);
	test_books(test, heap, 0);
}

/* Two CPUs sweep and allocate, and free what is marked, at the same time. */
#define RACE_OBJS	(30 * NELEMS)

struct race {
	struct goalloc_heap *heap;
	void *objs[RACE_OBJS];
	u32 refused, failed;
};

static void race_fn(struct test_pair *p, int who)
{
	struct race *r = p->arg;

	test_pair_meet(p, 1);
	if (who) {
		for (u32 i = 0; i < RACE_OBJS; i += 2)
			r->refused += !!goalloc_try_free(r->objs[i]);
		sweep_all(r->heap);
	} else {
		for (u32 i = 0; i < 3 * NELEMS; i++)
			r->failed += !goalloc_heap_alloc(r->heap, SIZE, GOALLOC_SCAN, GFP_KERNEL);
		sweep_all(r->heap);
	}
}

static void sweep_race(struct kunit *test)
{
	struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	u32 dead, i;

	KUNIT_ASSERT_NOT_NULL(test, r);
	for (u32 round = 0; round < 6; round++) {
		dead = 0;
		r->heap = quiet_heap(test);
		for (i = 0; i < RACE_OBJS; i++) {
			r->objs[i] = make(test, r->heap, SIZE);
			/* Every even one is marked, and freed; of the others a third. */
			if (i % 2 == 0 || i % 3 == 0)
				mark(test, r->heap, r->objs[i]);
			else
				dead++;
		}
		gc_sweep_start(r->heap);
		test_pair_run(test, race_fn, r);
		sweep_all(r->heap);
		KUNIT_ASSERT_EQ(test, r->refused, 0);
		KUNIT_ASSERT_EQ(test, r->failed, 0);
		for (i = 3; i < RACE_OBJS; i += 6)
			KUNIT_ASSERT_TRUE(test, lives(r->objs[i]));
		test_books(test, r->heap, RACE_OBJS / 2 - dead + 3 * NELEMS);
	}
}

static struct kunit_case sweep_cases[] = {
	KUNIT_CASE(sweep_marks),
	KUNIT_CASE(sweep_marks_wait),
	KUNIT_CASE(sweep_generations),
	KUNIT_CASE(sweep_cached),
	KUNIT_CASE_SLOW(sweep_exact),
	KUNIT_CASE_PARAM(sweep_and_free, order_gen_params),
	KUNIT_CASE(sweep_freed_span),
	KUNIT_CASE(sweep_tiny),
	KUNIT_CASE(sweep_tiny_last_free),
	KUNIT_CASE_SLOW(sweep_large),
	KUNIT_CASE(sweep_lazy),
	KUNIT_CASE(sweep_lazy_full),
	KUNIT_CASE(sweep_proportional),
	KUNIT_CASE_SLOW(sweep_background),
	KUNIT_CASE_SLOW(sweep_random),
	KUNIT_CASE_SLOW(sweep_race),
	{}
};

static struct kunit_suite sweep_suite = {
	.name = "goalloc_sweep",
	.init = sweep_test_init,
	.test_cases = sweep_cases,
};

kunit_test_suite(sweep_suite);

GOALLOC_KUNIT_IMPORT;
