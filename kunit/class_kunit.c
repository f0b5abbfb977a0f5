// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suite goalloc_class: exact size classes.
 */
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/goalloc.h>

#include "../goalloc/class.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"
#include "test_heap.h"

GOALLOC_KUNIT_IMPORT;

static void class_kunit_destroy(void *cls)
{
	goalloc_class_destroy(cls);
}

/* A class that ends with the test: after its objects, before its heap. */
static struct goalloc_class *class_kunit_create(struct kunit *test, struct goalloc_heap *heap,
						size_t size, size_t align)
{
	struct goalloc_class *cls = goalloc_class_create(heap, test->name, size, align, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cls);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, class_kunit_destroy, cls), 0);
	return cls;
}

static void **class_kunit_array(struct kunit *test, size_t n)
{
	void **objs = kunit_kcalloc(test, n, sizeof(*objs), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, objs);
	return objs;
}

static void class_refuses(struct kunit *test)
{
	static const struct {
		size_t size, align;
		u32 flags;
	} bad[] = {
		{ 0, 0, 0 },
		{ GOALLOC_MAX_SMALL_SIZE + 1, 0, 0 },
		{ SIZE_MAX, 0, 0 },
		{ 64, 3, 0 },
		{ 64, 48, 0 },
		{ 64, 2 * GOALLOC_PAGE_SIZE, 0 },
		{ 64, SIZE_MAX, 0 },
		{ 64, 0, GOALLOC_UNINIT },
		{ 64, 0, BIT(31) },
	};
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR(goalloc_class_create(heap, "bad", bad[i].size,
								       bad[i].align,
								       bad[i].flags)),
				    -EINVAL, "size %zu align %zu", bad[i].size, bad[i].align);
	goalloc_class_destroy(NULL);
	goalloc_class_destroy(ERR_PTR(-ENOMEM));
}

static void class_places(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls[GOALLOC_MAX_EXACT];
	u32 i;

	for (i = 0; i < GOALLOC_MAX_EXACT; i++)
		cls[i] = class_kunit_create(test, heap, 100 + i, 0);
	KUNIT_EXPECT_EQ(test, PTR_ERR(goalloc_class_create(heap, "one more", 8, 0, 0)), -ENOSPC);

	/* A place that was used begins again, with another size. */
	for (i = 0; i < 3; i++) {
		void *p = goalloc_class_alloc(cls[7], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ(test, goalloc_usable_size(p), i ? 4008 : 112);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
		kunit_release_action(test, class_kunit_destroy, cls[7]);
		cls[7] = class_kunit_create(test, heap, 4001, 0);
	}
}

/*
 * Slots and spans by size: the slot is no larger than asked for and aligned,
 * and the tail is what the header of class.c promises.
 */
static void class_sizes(struct kunit *test)
{
	static const struct {
		size_t size, align, slot;
	} cases[] = {
		{ 1, 0, 8 },		{ 8, 0, 8 },		{ 9, 0, 16 },
		{ 24, 0, 24 },		{ 33, 16, 48 },		{ 100, 0, 104 },
		{ 100, 64, 128 },	{ 704, 0, 704 },	{ 1000, 0, 1000 },
		{ 1500, 0, 1504 },	{ 2305, 0, 2312 },	{ 3584, 0, 3584 },
		{ 3584, 512, 3584 },	{ 4097, 0, 4104 },	{ 5000, 4096, 8192 },
		{ 8192, 8192, 8192 },	{ 9000, 0, 9000 },	{ 20000, 0, 20000 },
		{ 32768, 0, 32768 },	{ 32761, 8, 32768 },
	};
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct goalloc_class *cls = class_kunit_create(test, heap, cases[i].size,
							       cases[i].align);
		const struct mcentral *c = &heap->central[cls->spc];
		u32 bytes = c->npages << GOALLOC_PAGE_SHIFT, n = 2 * c->nelems, off, j;
		void **objs = class_kunit_array(test, n);

		KUNIT_EXPECT_EQ(test, c->elemsize, cases[i].slot);
		KUNIT_EXPECT_LE(test, c->nelems * c->elemsize, bytes);
		KUNIT_EXPECT_LE_MSG(test, (bytes - c->nelems * c->elemsize) * 8, bytes,
				    "size %zu: %u slots in %u bytes", cases[i].size, c->nelems,
				    bytes);
		for (off = 0; off < bytes; off++)
			if (goalloc_div(off, c->divmul) != off / c->elemsize)
				break;
		KUNIT_EXPECT_EQ(test, off, bytes);

		for (j = 0; j < n; j++) {
			objs[j] = goalloc_class_alloc(cls, GFP_KERNEL | __GFP_ZERO);
			KUNIT_ASSERT_NOT_NULL(test, objs[j]);
			KUNIT_EXPECT_EQ(test, goalloc_usable_size(objs[j]), c->elemsize);
			KUNIT_EXPECT_NULL(test, memchr_inv(objs[j], 0, c->elemsize));
			if (cases[i].align)
				KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)objs[j],
								   cases[i].align));
			memset(objs[j], j + 1, c->elemsize);
		}
		for (j = 0; j < n; j++) {
			KUNIT_EXPECT_NULL(test, memchr_inv(objs[j], (u8)(j + 1), c->elemsize));
			KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[j] + 1), -EINVAL);
			KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[j]), 0);
		}
		kunit_release_action(test, class_kunit_destroy, cls);
		kunit_kfree(test, objs);
	}
	heap_kunit_settle(heap);
	/* Only the spares of other classes could be left, and there are none. */
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
}

/* 3584 bytes: an eighth is lost in Go's table, nothing here. */
static void class_wastes_nothing(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls = class_kunit_create(test, heap, 3584, 0);
	const struct mcentral *c = &heap->central[cls->spc];

	KUNIT_EXPECT_EQ(test, c->nelems * 3584, c->npages << GOALLOC_PAGE_SHIFT);
}

/* Where the tail begins, and where another slot behind it would, no slot is. */
static void class_expect_tail(struct kunit *test, struct goalloc_heap *heap, size_t size, bool all)
{
	struct goalloc_class *cls = goalloc_class_create(heap, test->name, size, 0, 0);
	struct mcentral *c;
	struct mspan *s;
	u64 slot, off;
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cls);
	c = &heap->central[cls->spc];
	p = goalloc_class_alloc(cls, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	if (!p)
		goto out;
	s = heap_kunit_span_of(heap, (unsigned long)p);
	/* No room is lost, and nothing is counted that is not there. */
	KUNIT_EXPECT_EQ(test, s->nelems, min_t(u64, mspan_bytes(s) / c->elemsize,
					       GOALLOC_MAX_OBJS_PER_SPAN));
	KUNIT_EXPECT_EQ(test, s->nwords, DIV_ROUND_UP(s->nelems, MSPAN_WORD_SLOTS));
	for (off = all ? 0 : (u64)s->nelems * c->elemsize; off < mspan_bytes(s);
	     off += all ? 8 : c->elemsize) {
		bool first = mspan_divide(s, s->base + off, &slot);

		KUNIT_EXPECT_EQ(test, slot, off / c->elemsize);
		KUNIT_EXPECT_EQ(test, first, off % c->elemsize == 0);
		if (slot < s->nelems)
			continue;
		KUNIT_EXPECT_FALSE(test, mspan_slot_live(s, slot));
		KUNIT_EXPECT_FALSE(test, READ_ONCE(s->words[slot / 32].free) >> (slot % 32) & 1);
		KUNIT_EXPECT_EQ(test, goalloc_try_free((void *)s->base + off), -EINVAL);
		KUNIT_EXPECT_EQ(test, READ_ONCE(s->words[slot / 32].both) >> (slot % 32) &
				0x100000001, 0);
	}
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
out:
	goalloc_class_destroy(cls);
}

static void class_tails(struct kunit *test)
{
	/* 31, 32, 33, 64 and 96 slots, some with a tail; 127 to 129, 512, 1024. */
	static const u32 sizes[] = {
		1272, 504, 1016, 2040, 1528, 248, 256, 264, 512, 1024, 64, 56, 72, 16, 8, 24,
		760, 768, 776, 3584, 9000, 32768,
	};
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		class_expect_tail(test, heap, sizes[i], true);
	for (u32 size = 8; size <= GOALLOC_MAX_SMALL_SIZE; size += size < 2048 ? 24 : 264) {
		class_expect_tail(test, heap, size, false);
		cond_resched();
	}
}

/* Objects of a class in every context; the first way and the last give the same. */
struct class_work {
	struct goalloc_class *cls;
	void *objs[70];
	u32 missing, refused, strange;
	u32 bulk;		/* made so many at once; 0: each by itself */
	bool frees;
};

static void class_work_fn(void *arg)
{
	struct class_work *w = arg;
	gfp_t zero = w->bulk & 1 ? __GFP_ZERO : 0;

	for (u32 i = 0; w->bulk && !w->frees && i < ARRAY_SIZE(w->objs); i += w->bulk) {
		u32 n = min_t(u32, w->bulk, ARRAY_SIZE(w->objs) - i);

		w->missing += n - goalloc_class_alloc_bulk(w->cls, GFP_ATOMIC | zero, n,
							   w->objs + i);
		for (u32 k = i; k < i + n && !w->missing; k++) {
			w->strange += zero && memchr_inv(w->objs[k], 0, 1000);
			memset(w->objs[k], 0xa5, 1000);
		}
	}
	for (u32 i = 0; (!w->bulk || w->frees) && i < ARRAY_SIZE(w->objs); i++) {
		if (w->frees) {
			w->strange += goalloc_try_free(w->objs[i] + 8) != -EINVAL;
			w->refused += !!goalloc_try_free(w->objs[i]);
			w->strange += goalloc_try_free(w->objs[i]) != -EALREADY;
			continue;
		}
		/* What is inlined, the function, and zeroed by it. */
		if (i % 3 == 0)
			w->objs[i] = goalloc_class_alloc(w->cls, GFP_ATOMIC);
		else if (i % 3 == 1)
			w->objs[i] = (goalloc_class_alloc)(w->cls, GFP_ATOMIC);
		else
			w->objs[i] = (goalloc_class_alloc)(w->cls, GFP_ATOMIC | __GFP_ZERO);
		w->missing += !w->objs[i];
		if (!w->objs[i])
			continue;
		w->strange += i % 3 == 2 && memchr_inv(w->objs[i], 0, 1000);
		memset(w->objs[i], 0xa5, 1000);
	}
}

static void class_contexts(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct goalloc_class *cls = class_kunit_create(test, heap, 1000, 0);
	struct class_work *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->cls = cls;
	KUNIT_EXPECT_EQ(test, cls->entry, MCACHE_ENTRY(cls->spc));
	KUNIT_EXPECT_TRUE(test, cls->mcache == heap->mcache);
	for (u32 max = 1; max < 40; max += 19) {
		/* One by one, and some at once, zeroed or not. */
		w->bulk = max == 1 ? 0 : max;
		heap->central[cls->spc].maxcached = max;
		for (u32 ctx = 0; ctx < MCACHE_NMI; ctx++) {
			for (u32 to = 0; to < MCACHE_NMI; to++) {
				w->frees = false;
				test_call_on(test, 0, ctx, class_work_fn, w);
				KUNIT_ASSERT_EQ(test, w->missing, 0);
				for (u32 i = 0; i < ARRAY_SIZE(w->objs); i++)
					KUNIT_EXPECT_EQ(test, test_span(w->objs[i])->spanclass,
							cls->spc);
				test_books(test, heap, ARRAY_SIZE(w->objs));
				w->frees = true;
				test_call_on(test, num_online_cpus() > 1 ? to & 1 : 0, to,
					     class_work_fn, w);
				test_books(test, heap, 0);
			}
		}
	}
	KUNIT_EXPECT_EQ(test, w->refused, 0);
	KUNIT_EXPECT_EQ(test, w->strange, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 0);
	mcache_flush_all(heap);
	heap_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), heap->central[cls->spc].nempty);
}

static void class_frees_checked(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls = class_kunit_create(test, heap, 1000, 0);
	void *p = goalloc_class_alloc(cls, GFP_KERNEL);
	void *keep = goalloc_class_alloc(cls, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, keep);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p + 8), -EINVAL);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), -EALREADY);
	KUNIT_EXPECT_EQ(test, heap_kunit_faults(heap), 2);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(keep), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(keep), -EALREADY);
}

/* The totals of the books have the class, also when it is gone. */
static void class_books(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls = class_kunit_create(test, heap, 1000, 0);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	void **objs = class_kunit_array(test, 100);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	for (i = 0; i < 100; i++) {
		objs[i] = goalloc_class_alloc(cls, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objs[i]);
	}
	for (i = 0; i < 30; i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[i]), 0);

	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->mallocs, 100);
	KUNIT_EXPECT_EQ(test, ms->frees, 30);
	KUNIT_EXPECT_EQ(test, ms->heap_objects, 70);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, 70 * 1000);
	KUNIT_EXPECT_EQ(test, ms->total_alloc, 100 * 1000);
	for (i = 0; i < GOALLOC_NUM_SIZE_CLASSES; i++)
		KUNIT_EXPECT_EQ(test, ms->by_size[i].mallocs, 0);

	for (i = 30; i < 95; i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[i]), 0);
	pr_info("goalloc-expect: 1 class \"%s\" of heap [0-9]+ destroyed with 5 objects of 1000 bytes not freed\n",
		test->name);
	kunit_release_action(test, class_kunit_destroy, cls);

	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->mallocs, 100);
	KUNIT_EXPECT_EQ(test, ms->frees, 100);
	KUNIT_EXPECT_EQ(test, ms->heap_objects, 0);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, 0);
	KUNIT_EXPECT_EQ(test, ms->total_alloc, 100 * 1000);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse, 0);
	/* What was left is no object of anybody's any more. */
	KUNIT_EXPECT_EQ(test, goalloc_try_free(objs[99]), -ENOENT);
}

/* Two classes of one size, and the table's, have nothing in common. */
static void class_apart(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *a = class_kunit_create(test, heap, 512, 0);
	struct goalloc_class *b = class_kunit_create(test, heap, 512, 0);
	void *p = goalloc_class_alloc(a, GFP_KERNEL);
	void *q = goalloc_class_alloc(b, GFP_KERNEL);
	void *r = goalloc_heap_alloc(heap, 512, 0, GFP_KERNEL);
	struct mspan *sp = heap_kunit_span_of(heap, (unsigned long)p);
	struct mspan *sq = heap_kunit_span_of(heap, (unsigned long)q);
	struct mspan *sr = heap_kunit_span_of(heap, (unsigned long)r);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_ASSERT_NOT_NULL(test, r);
	KUNIT_EXPECT_PTR_NE(test, sp, sq);
	KUNIT_EXPECT_PTR_NE(test, sp, sr);
	KUNIT_EXPECT_PTR_NE(test, sq, sr);
	goalloc_free(p);
	goalloc_free(q);
	goalloc_free(r);
}

/* What a cycle found dead is no leak, swept or not: nothing is in the kernel log. */
static void class_ends_in_a_cycle(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls = goalloc_class_create(heap, test->name, 568, 0, 0);
	void *live, *dead;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cls);
	live = goalloc_class_alloc(cls, GFP_KERNEL);
	dead = goalloc_class_alloc(cls, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, dead);
	KUNIT_EXPECT_EQ(test, gc_mark(heap, (unsigned long)live), 0);
	disable_delayed_work(&heap->bgsweep);
	gc_sweep_start(heap);
	KUNIT_EXPECT_FALSE(test, heap->sweepdone);
	goalloc_free(live);
	goalloc_class_destroy(cls);
	KUNIT_EXPECT_TRUE(test, heap->sweepdone);
	heap_kunit_check(test, heap, 0);
}

/* A heap that ends takes its classes along. */
static void class_ends_with_heap(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_class *cls = goalloc_class_create(heap, "rest", 200, 0, GOALLOC_SCAN);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cls);
	KUNIT_EXPECT_FALSE(test, heap->central[cls->spc].noscan);
	KUNIT_EXPECT_NOT_NULL(test, goalloc_class_alloc(cls, GFP_KERNEL));
	heap_kunit_end(test, heap);
}

static struct kunit_case class_cases[] = {
	KUNIT_CASE(class_refuses),
	KUNIT_CASE(class_places),
	KUNIT_CASE_SLOW(class_sizes),
	KUNIT_CASE(class_wastes_nothing),
	KUNIT_CASE_SLOW(class_tails),
	KUNIT_CASE(class_contexts),
	KUNIT_CASE(class_frees_checked),
	KUNIT_CASE(class_books),
	KUNIT_CASE(class_apart),
	KUNIT_CASE(class_ends_in_a_cycle),
	KUNIT_CASE(class_ends_with_heap),
	{}
};

static struct kunit_suite class_suite = {
	.name = "goalloc_class",
	.init = heap_kunit_stay,
	.test_cases = class_cases,
};

kunit_test_suite(class_suite);
