// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_thin: kernel heaps' spans in which few slots live are closed, and the
 * pages of the system behind none of them go back.
 *
 * What goes, of every class and many patterns of live slots; that what lives is not
 * touched, and what is free is not handed out; sweeping, the end of spans, classes
 * and heaps; and when the background does it. heap_kunit_check() looks at every
 * span after it: memory behind each live slot, and the books.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/goalloc.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../goalloc/param.h"
#include "../goalloc/scavenge.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

#define ALL	GOALLOC_NO_LIMIT

/* Is a heap page several of the system's? */
static const bool fine = GOALLOC_PAGE_SIZE / 2 >= PAGE_SIZE;

static ulong thin_seed;
module_param(thin_seed, ulong, 0444);
MODULE_PARM_DESC(thin_seed, "seed of goalloc_thin, 0 for any");

static void seed_random(struct kunit *test, struct rnd_state *rnd)
{
	ulong seed = thin_seed ?: get_random_u32() | 1;

	prandom_seed_state(rnd, seed);
	kunit_info(test, "thin_seed=%lu\n", seed);
}

/* Objects of a heap, each full of bytes that say which it is. */
struct objects {
	struct goalloc_heap *heap;
	u32 n, size;
	u8 **o;
};

static struct objects *objects_new(struct kunit *test, u32 n, u32 size)
{
	struct objects *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, x);
	x->heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	x->n = n;
	x->size = size;
	x->o = kunit_kcalloc(test, n, sizeof(*x->o), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, x->o);
	return x;
}

static u8 object_byte(u32 i)
{
	return i * 37 + 1;
}

static void objects_make(struct kunit *test, struct objects *x)
{
	for (u32 i = 0; i < x->n; i++) {
		if (x->o[i])
			continue;
		x->o[i] = goalloc_heap_alloc(x->heap, x->size, 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, x->o[i]);
		memset(x->o[i], object_byte(i), x->size);
	}
}

static u32 objects_live(const struct objects *x)
{
	u32 n = 0;

	for (u32 i = 0; i < x->n; i++)
		n += !!x->o[i];
	return n;
}

static void objects_check(struct kunit *test, struct objects *x)
{
	u32 wrong = 0;

	for (u32 i = 0; i < x->n; i++)
		if (x->o[i])
			wrong += !!memchr_inv(x->o[i], object_byte(i), x->size);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	heap_kunit_check(test, x->heap, objects_live(x));
}

static void objects_free(struct kunit *test, struct objects *x, u32 i)
{
	KUNIT_EXPECT_EQ(test, goalloc_try_free(x->o[i]), 0);
	x->o[i] = NULL;
}

/* Frees so many of a hundred, which ones is chance. */
static void objects_thin(struct kunit *test, struct objects *x, struct rnd_state *rnd, u32 percent)
{
	for (u32 i = 0; i < x->n; i++)
		if (x->o[i] && prandom_u32_state(rnd) % 100 < percent)
			objects_free(test, x, i);
	heap_kunit_settle(x->heap);
}

static void objects_end(struct kunit *test, struct objects *x)
{
	for (u32 i = 0; i < x->n; i++)
		if (x->o[i])
			objects_free(test, x, i);
	heap_kunit_settle(x->heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&x->heap->thin_bytes), 0);
	scavenge(x->heap, ALL, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(x->heap), 0);
	KUNIT_EXPECT_EQ(test, x->heap->pages_holes, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&x->heap->backed), 0);
	heap_kunit_check(test, x->heap, 0);
}

/* Closes all that is to be closed; how many spans were. */
static u32 close_all(struct goalloc_heap *heap)
{
	u32 closed = 0;

	for (u32 i = 2; i < GOALLOC_ALL_CENTRALS; i++) {
		struct mcentral *c = &heap->central[i];

		for (u8 band = 0; band < MCENTRAL_BANDS; band++)
			for (u32 looks = c->npartial[band]; looks;)
				closed += mcentral_close_some(c, band, &looks);
		for (u32 looks = c->nfull; looks;)
			mcentral_thin_some(c, &looks);
	}
	return closed;
}

/* What goes of a span by its live bytes, page by page; all of it looked at. */
static void expect_thin(struct kunit *test, struct goalloc_heap *heap)
{
	u64 addr = GOALLOC_HEAP_BASE;
	struct mspan *s;
	u32 wrong = 0;

	while ((s = mheap_next_span(heap, &addr))) {
		u32 pages = mspan_bytes(s) / PAGE_SIZE, used = 0, dead;
		u64 map = 0;

		if (mspan_bytes(s) % PAGE_SIZE || s->base % PAGE_SIZE || mspan_is_large(s)) {
			wrong += mspan_is_closed(s);
			continue;
		}
		for (u32 off = 0; off < s->nelems * s->elemsize; off += 8)
			if (mspan_slot_live(s, off / s->elemsize))
				map |= BIT_ULL(off / PAGE_SIZE);
		used = hweight64(map);
		dead = pages - used;
		if (mspan_is_closed(s))
			wrong += s->gone != (~map & GENMASK_ULL(pages - 1, 0)) ||
				 s->place != MSPAN_FULL;
		else
			wrong += used && dead * 2 >= pages && !s->empty;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* Every class with pages that can go, and some of less. */
static void thin_classes(struct kunit *test)
{
	u32 closed = 0, spans = 0;
	struct rnd_state rnd;

	seed_random(test, &rnd);
	for (u8 class = 2; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u32 size = goalloc_class_to_size[class], n = goalloc_class_to_nelems[class];
		struct objects *x = objects_new(test, 5 * n, size);

		objects_make(test, x);
		objects_thin(test, x, &rnd, class % 3 ? 90 : 60);
		closed += close_all(x->heap);
		spans += mheap_nspans(x->heap);
		expect_thin(test, x->heap);
		objects_check(test, x);
		/* Another half of them. */
		objects_thin(test, x, &rnd, 50);
		close_all(x->heap);
		expect_thin(test, x->heap);
		objects_check(test, x);
		objects_end(test, x);
		heap_kunit_end(test, x->heap);
	}
	kunit_info(test, "%u of %u spans closed\n", closed, spans);
	if (fine)
		KUNIT_EXPECT_GT(test, closed, 20);
}

/* What is free in a closed span is not handed out, and cannot be freed again. */
static void thin_closed(struct kunit *test)
{
	struct objects *x = objects_new(test, 400, 2048);
	struct goalloc_heap *heap = x->heap;
	u8 **dead = kunit_kcalloc(test, x->n, sizeof(*dead), GFP_KERNEL);
	u64 doubles = atomic64_read(&heap->faults[GOALLOC_FAULT_DOUBLE]);
	u32 again = 0, ndead = 0, told = 0;

	KUNIT_ASSERT_NOT_NULL(test, dead);
	objects_make(test, x);
	/* Of each 8 objects one lives, so of the spans half. */
	for (u32 i = 0; i < x->n; i++) {
		if (i % 8 == 3)
			continue;
		dead[i] = x->o[i];
		objects_free(test, x, i);
	}
	heap_kunit_settle(heap);
	if (!close_all(heap))
		kunit_skip(test, "a page holds a span");
	objects_check(test, x);
	for (u32 i = 0; i < x->n; i++) {
		struct mspan *s = dead[i] ? heap_kunit_span_of(heap, (unsigned long)dead[i]) : NULL;

		if (!s || !mspan_is_closed(s)) {
			dead[i] = NULL;
			continue;
		}
		ndead++;
		told += goalloc_try_free(dead[i]) == -EALREADY;
	}
	KUNIT_EXPECT_GT(test, ndead, 0);
	KUNIT_EXPECT_EQ(test, told, ndead);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_DOUBLE]) - doubles, ndead);
	objects_make(test, x);
	for (u32 i = 0; i < x->n; i++)
		for (u32 k = 0; dead[i] && k < x->n; k++)
			again += x->o[k] == dead[i];
	KUNIT_EXPECT_EQ(test, again, 0);
	objects_check(test, x);
	objects_end(test, x);
}

/* A span with half its slots free and a live one in each page stays as it is. */
static void thin_not(struct kunit *test)
{
	struct objects *x = objects_new(test, 256, 1024);
	u64 backed;

	objects_make(test, x);
	for (u32 i = 0; i < x->n; i++)
		if (i % 2)
			objects_free(test, x, i);
	heap_kunit_settle(x->heap);
	backed = atomic64_read(&x->heap->backed);
	KUNIT_EXPECT_EQ(test, close_all(x->heap), 0);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&x->heap->backed), backed);
	objects_check(test, x);
	KUNIT_EXPECT_EQ(test, atomic64_read(&x->heap->thin_bytes), 0);
	objects_end(test, x);
}

/* Closed spans are swept like others, stay closed, and go when nothing is left. */
static void thin_swept(struct kunit *test)
{
	struct objects *x = objects_new(test, 600, 1360);
	struct goalloc_heap *heap = x->heap;
	u32 closed, left = 0;

	objects_make(test, x);
	for (u32 i = 0; i < x->n; i++)
		if (i % 12)
			objects_free(test, x, i);
	heap_kunit_settle(heap);
	closed = close_all(heap);
	if (!closed)
		kunit_skip(test, "a page holds a span");
	for (u32 round = 0; round < 3; round++) {
		left = 0;
		/* Those that are not marked die: half of them in each round. */
		for (u32 i = 0; i < x->n; i += 12 << round) {
			if (i % (24 << round)) {
				x->o[i] = NULL;
				continue;
			}
			KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)x->o[i]), 0);
			left++;
		}
		gc_sweep_start(heap);
		while (sweepone(heap) != ~0ULL)
			;
		KUNIT_EXPECT_EQ(test, objects_live(x), left);
		objects_check(test, x);
		close_all(heap);
		expect_thin(test, heap);
		objects_check(test, x);
	}
	objects_end(test, x);
}

/* A heap, and an exact class, that end with closed spans. */
static void thin_end(struct kunit *test)
{
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);
	struct objects *x = objects_new(test, 300, 4096);
	struct goalloc_class *cls;
	void *o[200];

	objects_make(test, x);
	for (u32 i = 0; i < x->n; i++)
		if (i % 5)
			objects_free(test, x, i);
	cls = goalloc_class_create(x->heap, "thin", 3000, 0, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cls);
	for (u32 i = 0; i < ARRAY_SIZE(o); i++) {
		o[i] = goalloc_class_alloc(cls, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, o[i]);
	}
	for (u32 i = 0; i < ARRAY_SIZE(o); i++)
		if (i % 9)
			goalloc_free(o[i]);
	heap_kunit_settle(x->heap);
	if (fine)
		KUNIT_EXPECT_GT(test, close_all(x->heap), 0);
	for (u32 i = 0; i < ARRAY_SIZE(o); i += 9)
		if (i % 2)
			goalloc_free(o[i]);
	heap_kunit_settle(x->heap);
	for (u32 i = 0; i < ARRAY_SIZE(o); i += 9)
		if (!(i % 2))
			goalloc_free(o[i]);
	goalloc_class_destroy(cls);
	objects_check(test, x);
	/* Some of its spans go, the others end with it. */
	for (u32 i = 0; i < x->n; i += 10)
		objects_free(test, x, i);
	objects_check(test, x);
	heap_kunit_end(test, x->heap);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/* Some free objects of the spans that another one closes just then. */
#define BUSY_OBJECTS	3000

struct busy {
	struct objects *x;
	u32 closed;
};

static void busy_crew(struct crew *crew, u32 who)
{
	struct busy *b = crew->arg;
	struct objects *x = b->x;

	if (!who) {
		while (crew_go_on(crew))
			b->closed += close_all(x->heap);
		return;
	}
	for (u32 i = who; i < x->n; i += 3) {
		if (!x->o[i] || i % 16 == 0)
			continue;
		if (memchr_inv(x->o[i], object_byte(i), x->size) || goalloc_try_free(x->o[i]))
			atomic_inc(&crew->bad);
		x->o[i] = NULL;
		if (!(i % 64))
			usleep_range(10, 50);
	}
	if (who == 1)
		WRITE_ONCE(crew->stop, true);
}

static void thin_busy(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	static const u32 sizes[] = { 512, 1000, 2000, 3000, 4096, 4600 };
	u32 closed = 0;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct busy b = { .x = objects_new(test, BUSY_OBJECTS, sizes[i]) };

		objects_make(test, b.x);
		heap_kunit_settle(b.x->heap);
		crew_run(test, crew, 4, 4000, busy_crew, &b);
		closed += b.closed;
		objects_check(test, b.x);
		close_all(b.x->heap);
		objects_check(test, b.x);
		objects_end(test, b.x);
		heap_kunit_end(test, b.x->heap);
	}
	kunit_info(test, "%u closed while others freed\n", closed);
}

static void quiet(void *unused)
{
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	goalloc_kernel_heap->bg_next = jiffies;
}

/* Turns of the background, a second after the last ones. */
static void turns(struct goalloc_heap *heap)
{
	/*
	 * Never two at once; none of them is another heap's, and the heap is looked at in
	 * the first only.
	 */
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	goalloc_kernel_heap->bg_next = jiffies + 3600 * HZ;
	for (u32 i = 0; i < 300; i++) {
		heap->idle_since = i ? jiffies + 3600 * HZ : jiffies - HZ;
		heap->bg_next = jiffies;
		goalloc_bgscavenge.work.func(&goalloc_bgscavenge.work);
		cancel_delayed_work_sync(&goalloc_bgscavenge);
	}
	heap->idle_since = jiffies + 3600 * HZ;
}

/* The background closes, once it has anything to do, what a class has not used since. */
static void thin_background(struct kunit *test)
{
	struct objects *x = objects_new(test, 4000, 2048);
	struct goalloc_heap *heap = x->heap;

	if (!fine)
		kunit_skip(test, "a page holds a span");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, quiet, NULL), 0);
	scavenge(goalloc_kernel_heap, ALL, SCAVENGE_REQUEST);
	scavenge_all(ALL - 1, SCAVENGE_REQUEST);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	objects_make(test, x);
	for (u32 i = 0; i < x->n; i++)
		if (i % 16)
			objects_free(test, x, i);
	heap_kunit_settle(heap);
	WRITE_ONCE(goalloc_scavenge_percent, 1);
	/* It gives back what is idle, and then begins to count. */
	turns(heap);
	turns(heap);
	KUNIT_EXPECT_GT(test, heap->thin_looks, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->thin_bytes), 0);
	/* All of the class were made since. */
	turns(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->thin_bytes), 0);
	/* One more is made. */
	x->o[1] = goalloc_heap_alloc(heap, x->size, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, x->o[1]);
	memset(x->o[1], object_byte(1), x->size);
	heap_kunit_settle(heap);
	turns(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->thin_bytes), 0);
	/* And near a hard limit nothing is closed. */
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX, SZ_4M), 0);
	heap->thin_looks = 1;
	turns(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->thin_bytes), 0);
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX, ALL), 0);
	heap->thin_looks = 2;
	turns(heap);
	turns(heap);
	KUNIT_EXPECT_GT(test, atomic64_read(&heap->thin_bytes), 200 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, heap->thin_looks, 0);
	expect_thin(test, heap);
	objects_check(test, x);
	objects_end(test, x);
}

static struct kunit_case thin_cases[] = {
	KUNIT_CASE_SLOW(thin_classes),
	KUNIT_CASE(thin_closed),
	KUNIT_CASE(thin_not),
	KUNIT_CASE(thin_swept),
	KUNIT_CASE(thin_end),
	KUNIT_CASE_SLOW(thin_busy),
	KUNIT_CASE_SLOW(thin_background),
	{}
};

static struct kunit_suite thin_suite = {
	.name = "goalloc_thin",
	.init = heap_kunit_stay,
	.test_cases = thin_cases,
};

kunit_test_suite(thin_suite);

GOALLOC_KUNIT_IMPORT;
