/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites that work on whole heaps share: heaps that end with their
 * test, and a look at every page, block and span of a heap that says if its
 * books are right (I6) and if each address finds its span and no other.
 */
#ifndef GOALLOC_HEAP_KUNIT_H
#define GOALLOC_HEAP_KUNIT_H

#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "../goalloc/backing.h"
#include "../goalloc/checkers.h"
#include "../goalloc/compat.h"
#include "../goalloc/malloc.h"
#include "../goalloc/mcache.h"
#include "../goalloc/mheap.h"
#include "../goalloc/mspan.h"
#include "../goalloc/mstats.h"
#include "../goalloc/sparse.h"

/* How many objects live is not known to the caller. */
#define ANY_OBJECTS	(~0ULL)

/* Of a span of more pages only some are looked up. */
#define LOOKUPS_MAX	2048

static inline void heap_kunit_destroy(void *heap)
{
	mheap_destroy(heap, true);
}

/*
 * For a suite's init: a case stays on its CPU, so that what it frees is where it allocates
 * next, whoever else wants the CPU.
 */
static inline int heap_kunit_stay(struct kunit *test)
{
	return set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
}

/* A CPU has some seconds to come up, and cannot before it has gone for good. */
static inline int heap_kunit_add_cpu(int cpu)
{
	unsigned long end = jiffies + 60 * HZ;
	int ret;

	for (;;) {
		ret = add_cpu(cpu);
		if ((ret != -EIO && ret != -EAGAIN) || time_after(jiffies, end))
			return ret;
		schedule_timeout_uninterruptible(HZ / 10);
	}
}

/* A heap that ends with the test, or with heap_kunit_end(). */
static inline struct goalloc_heap *heap_kunit_create(struct kunit *test,
						     enum goalloc_backing backing, u64 max)
{
	struct goalloc_heap_params params = { .name = test->name, .max = max };
	struct goalloc_heap *heap = mheap_create(&params, backing);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_kunit_destroy, heap), 0);
	return heap;
}

static inline void heap_kunit_end(struct kunit *test, struct goalloc_heap *heap)
{
	kunit_release_action(test, heap_kunit_destroy, heap);
}

/*
 * An object in a tiny block, of any size below 16 bytes, as programs get it: modules get
 * slots for most of these sizes.
 */
static inline void *heap_kunit_tiny(struct goalloc_heap *heap, size_t size, gfp_t gfp)
{
	unsigned long addr;
	u64 usable;

	if (mallocgc(heap, size, 0, 0, gfp, &addr, &usable))
		return NULL;
	return checkers_made(addr, size, gfp);
}

/*
 * A span for the test itself, in whose memory no object lives that KASAN was told of.
 * A span knows its mcentral, which a heap makes with its first small object.
 */
static inline struct mspan *heap_kunit_span(struct goalloc_heap *heap, u64 npages, u64 align)
{
	struct mspan *s;

	if (!mheap_build_central(heap, GFP_KERNEL))
		return NULL;
	s = mheap_alloc_span(heap, npages, align, 1, npages << GOALLOC_PAGE_SHIFT, GFP_KERNEL);
	if (s && heap->backing == BACKING_LINEAR)
		checkers_open(s->base, s->elemsize);
	return s;
}

/* The same without page caches: each run is the lowest that fits. */
static inline struct goalloc_heap *heap_kunit_first_fit(struct kunit *test,
							enum goalloc_backing backing, u64 max)
{
	struct goalloc_heap *heap = heap_kunit_create(test, backing, max);

	heap->page_caches = false;
	return heap;
}

/* Nothing is cached or on its way back to the heap. */
static inline void heap_kunit_settle(struct goalloc_heap *heap)
{
	mcache_flush_all(heap);
	flush_workqueue(goalloc_wq);
	mheap_flush_page_caches(heap);
}

static inline u64 heap_kunit_faults(struct goalloc_heap *heap)
{
	u64 n = 0;

	for (u32 i = 0; i < GOALLOC_NUM_FAULTS; i++)
		n += atomic64_read(&heap->faults[i]);
	return n;
}

/* Is the page a hole: its memory went back, and that of its block did not? */
static inline bool heap_kunit_hole(const struct goalloc_chunk *c, u32 page)
{
	return test_bit(page, c->palloc.data.alloc.b) &&
	       test_bit(page, c->palloc.data.scavenged.b);
}

/*
 * Kernel address of an idle or used linear page, or NULL if none is behind it. That
 * of a hole is somebody else's.
 */
static inline void *heap_kunit_linear_page(const struct goalloc_chunk *c, u32 page)
{
	u32 block = c->palloc.block_pages[page / PALLOC_HALF_PAGES];
	u32 first;

	if (!block)
		return NULL;
	first = round_down(page, block);
	if (!granule_base(c->granule[first / GOALLOC_GRANULE_PAGES]))
		return NULL;
	return granule_base(c->granule[first / GOALLOC_GRANULE_PAGES]) +
	       ((unsigned long)(page - first) << GOALLOC_PAGE_SHIFT);
}

/* What the look found. Counts of pages unless a name says otherwise. */
struct heap_kunit_found {
	u64 inuse;
	u64 released;
	u64 span_pages;
	u64 backed;			/* bytes */
	u64 live[GOALLOC_NUM_SIZE_CLASSES];	/* slots */
	u64 live_bytes;
	u64 nspans;
	u64 doubly;			/* in two spans */
	u64 strange;			/* bits are not what the spans say */
	u64 gaps;			/* chunks that are not there */
	u64 idle;			/* can be given back */
	u64 whole;			/* and is in blocks with nothing in use */
	u64 idle_bad;			/* chunks that say otherwise */
	u64 holes;
	u64 holes_bad;			/* not in a block, or all of one */
	u64 thin;			/* bytes of closed spans that went back */
	u64 thin_bad;			/* slots that live there */
	u64 lookups_bad;
	u64 scavenged_bad;
	u64 places_bad;
	u64 runs_bad;
};

static inline struct mspan *heap_kunit_span_of(struct goalloc_heap *heap, u64 addr)
{
	struct mspan *s;

	rcu_read_lock();
	s = heap->backing == BACKING_SPARSE ? span_of_heap(heap, addr) : span_of(addr);
	rcu_read_unlock();
	return s;
}

/* The blocks of a chunk, @spans with those of its pages that spans have. */
static inline void heap_kunit_look_at_blocks(struct goalloc_chunk *c, const unsigned long *spans,
					     struct heap_kunit_found *f)
{
	u32 p, i, block, whole = 0;
	u8 indexed = 0;

	for (p = 0; p < PALLOC_CHUNK_PAGES; p += block) {
		u32 holes = 0;

		block = c->palloc.block_pages[p / PALLOC_HALF_PAGES] ?: PALLOC_HALF_PAGES;
		for (i = p; i < p + block; i++)
			holes += heap_kunit_hole(c, i);
		f->holes += holes;
		if (!heap_kunit_linear_page(c, p)) {
			f->holes_bad += holes;
			continue;
		}
		f->holes_bad += holes == block;
		f->holes_bad += holes && !granule_is_split(c->granule[p / GOALLOC_GRANULE_PAGES]);
		f->backed += (u64)(block - holes) << GOALLOC_PAGE_SHIFT;
		if (find_next_bit(spans, PALLOC_CHUNK_PAGES, p) < p + block)
			continue;
		whole += block - holes;
		indexed |= BIT(INDEX_BLOCK);
		if (block == PALLOC_HALF_PAGES)
			indexed |= BIT(INDEX_WHOLE);
	}
	f->whole += whole;
	f->idle_bad += whole != c->idle_whole ||
		       indexed != (c->indexed & (BIT(INDEX_BLOCK) | BIT(INDEX_WHOLE)));
}

static inline void heap_kunit_look_at_chunk(struct goalloc_heap *heap, u64 base,
					    struct heap_kunit_found *f)
{
	struct goalloc_chunk *c = mheap_chunk(heap, base);
	DECLARE_BITMAP(spans, PALLOC_CHUNK_PAGES) = {};
	struct mspan *s;
	u32 p, unit, idle = 0;

	if (!c || !c->palloc.ready) {
		f->gaps++;
		return;
	}
	for (u64 next = GOALLOC_HEAP_BASE; (s = mheap_next_span(heap, &next));) {
		u64 from = max(s->start_addr, base);
		u64 to = min(s->start_addr + mspan_bytes(s), base + PALLOC_CHUNK_SIZE);

		if (from >= to)
			continue;
		p = goalloc_chunk_page(from);
		if (find_next_bit(spans, PALLOC_CHUNK_PAGES, p) <
		    p + ((to - from) >> GOALLOC_PAGE_SHIFT))
			f->doubly++;
		bitmap_set(spans, p, (to - from) >> GOALLOC_PAGE_SHIFT);
	}
	for (p = 0; p < PALLOC_CHUNK_PAGES; p++)
		f->strange += test_bit(p, spans) !=
			      (test_bit(p, c->palloc.data.alloc.b) &&
			       !(heap->backing == BACKING_LINEAR && heap_kunit_hole(c, p)));
	f->inuse += bitmap_weight(spans, PALLOC_CHUNK_PAGES);

	for_each_clear_bit(p, spans, PALLOC_CHUNK_PAGES) {
		bool scavenged = test_bit(p, c->palloc.data.scavenged.b);
		u64 addr = base + ((u64)p << GOALLOC_PAGE_SHIFT);
		void *page;

		f->released += scavenged;
		if (heap->backing == BACKING_SPARSE) {
			page = c->pages ? c->pages[p / SPARSE_UNIT_PAGES] : NULL;
			f->lookups_bad += !!heap_kunit_span_of(heap, addr);
		} else {
			page = heap_kunit_linear_page(c, p);
			s = page ? heap_kunit_span_of(heap, (unsigned long)page) : NULL;
			if (heap_kunit_hole(c, p)) {
				/* Others may have it, or this heap elsewhere. */
				f->lookups_bad += s && s->heap == heap &&
						  addr - s->start_addr < mspan_bytes(s);
				page = NULL;
			} else {
				f->lookups_bad += !!s;
			}
		}
		f->scavenged_bad += scavenged == !!page;
	}

	for (p = 0; p < PALLOC_CHUNK_PAGES; p += unit) {
		unit = SPARSE_UNIT_PAGES;
		if (find_next_bit(spans, PALLOC_CHUNK_PAGES, p) >= p + unit &&
		    find_next_bit(c->palloc.data.scavenged.b, PALLOC_CHUNK_PAGES, p) >= p + unit)
			idle += unit;
	}
	f->idle += idle;
	f->idle_bad += idle != c->idle || !!idle != !!(c->indexed & BIT(INDEX_IDLE));

	if (heap->backing == BACKING_LINEAR) {
		heap_kunit_look_at_blocks(c, spans, f);
		return;
	}
	for (p = 0; c->pages && p < SPARSE_CHUNK_UNITS; p++)
		f->backed += c->pages[p] ? SPARSE_UNIT_SIZE : 0;
}

/* Has a page gone that a slot of a closed span lies in? */
static inline bool heap_kunit_gone(const struct mspan *s, u32 slot)
{
	unsigned long first = mspan_slot_addr(s, slot), origin = s->base & PAGE_MASK;
	unsigned long last = first + s->elemsize - 1;

	return s->gone & GENMASK_ULL((last - origin) / PAGE_SIZE, (first - origin) / PAGE_SIZE);
}

static inline void heap_kunit_look_at_span(struct goalloc_heap *heap, struct mspan *s,
					   struct heap_kunit_found *f)
{
	u64 bytes = s->vmapped ? s->elemsize : mspan_bytes(s);
	u64 step = max(GOALLOC_PAGE_SIZE, round_up(bytes / LOOKUPS_MAX, GOALLOC_PAGE_SIZE));
	u32 page = goalloc_chunk_page(s->start_addr);

	for (u64 off = 0; off < bytes; off += step)
		f->lookups_bad += heap_kunit_span_of(heap, s->base + off) != s;
	f->lookups_bad += heap_kunit_span_of(heap, s->base + bytes - 1) != s;

	if (s->vmapped) {
		f->backed += PAGE_ALIGN(s->elemsize);
	} else if (heap->backing == BACKING_LINEAR) {
		struct goalloc_chunk *c = mheap_chunk(heap, s->start_addr);

		/* In one block, or in the pieces of one that was split since. */
		for (u32 p = 0; p < s->npages; p++)
			f->runs_bad += (page + p) / PALLOC_HALF_PAGES !=
				       page / PALLOC_HALF_PAGES ||
				       heap_kunit_hole(c, page + p) ||
				       heap_kunit_linear_page(c, page + p) !=
				       (void *)s->base + p * GOALLOC_PAGE_SIZE;
	}
	f->places_bad += s->state != MSPAN_IN_USE || s->place == MSPAN_CACHED ||
			 s->owner != MSPAN_NO_OWNER ||
			 (s->place == MSPAN_FULL && mspan_has_free(s) && !mspan_is_closed(s)) ||
			 (s->place == MSPAN_PARTIAL && mspan_is_closed(s)) ||
			 (s->place == MSPAN_PARTIAL && !mspan_has_free(s));
	if (mspan_is_closed(s)) {
		f->backed -= hweight64(s->gone) * PAGE_SIZE;
		f->thin += hweight64(s->gone) * PAGE_SIZE;
		for (u32 i = 0; i < s->nelems; i++)
			f->thin_bad += mspan_slot_live(s, i) && heap_kunit_gone(s, i);
	}
	f->span_pages += s->npages;
	f->live[spanclass_sizeclass(s->spanclass)] += mspan_live(s);
	f->live_bytes += mspan_live(s) * s->elemsize;
	f->nspans++;
}

/*
 * Looks at all of a heap that nobody uses meanwhile, and compares what there
 * is with the books. @objects are live by the test's own count.
 */
static inline void heap_kunit_check(struct kunit *test, struct goalloc_heap *heap, u64 objects)
{
	struct heap_kunit_found *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	struct mspan *s;
	u64 addr;

	KUNIT_ASSERT_NOT_NULL(test, f);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	heap_kunit_settle(heap);
	readmemstats(heap, ms);

	for (addr = GOALLOC_HEAP_BASE; addr < heap->cur_arena; addr += PALLOC_CHUNK_SIZE) {
		heap_kunit_look_at_chunk(heap, addr, f);
		cond_resched();
	}
	for (u64 next = GOALLOC_HEAP_BASE; (s = mheap_next_span(heap, &next));) {
		heap_kunit_look_at_span(heap, s, f);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, f->doubly, 0);
	KUNIT_EXPECT_EQ(test, f->strange, 0);
	KUNIT_EXPECT_EQ(test, f->lookups_bad, 0);
	KUNIT_EXPECT_EQ(test, f->scavenged_bad, 0);
	KUNIT_EXPECT_EQ(test, f->places_bad, 0);
	KUNIT_EXPECT_EQ(test, f->runs_bad, 0);
	KUNIT_EXPECT_EQ(test, f->nspans, mheap_nspans(heap));
	KUNIT_EXPECT_EQ(test, f->idle_bad, 0);
	KUNIT_EXPECT_EQ(test, f->idle, heap->pages_idle);
	KUNIT_EXPECT_EQ(test, f->whole, heap->pages_whole);
	KUNIT_EXPECT_EQ(test, f->holes, heap->pages_holes);
	KUNIT_EXPECT_EQ(test, f->holes_bad, 0);
	KUNIT_EXPECT_EQ(test, f->thin, atomic64_read(&heap->thin_bytes));
	KUNIT_EXPECT_EQ(test, f->thin_bad, 0);

	KUNIT_EXPECT_EQ(test, ms->heap_inuse, f->inuse << GOALLOC_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse, f->span_pages << GOALLOC_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse + ms->heap_idle, ms->heap_sys);
	/* What a growth that failed, or tables that went, have left behind. */
	KUNIT_EXPECT_EQ(test, f->gaps, heap->ngaps);
	KUNIT_EXPECT_EQ(test, ms->heap_sys, heap->cur_arena - GOALLOC_HEAP_BASE -
			heap->ngaps * PALLOC_CHUNK_SIZE);
	KUNIT_EXPECT_LE(test, ms->heap_released, ms->heap_idle);
	KUNIT_EXPECT_EQ(test, ms->heap_released, f->released << GOALLOC_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&heap->backed), f->backed);
	KUNIT_EXPECT_EQ(test, ms->sys, ms->heap_sys + ms->stack_sys + ms->mspan_sys +
			ms->mcache_sys + ms->buck_hash_sys + ms->gc_sys + ms->other_sys);

	KUNIT_EXPECT_EQ(test, ms->heap_objects, ms->mallocs - ms->frees);
	KUNIT_EXPECT_EQ(test, ms->alloc, ms->heap_alloc);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, f->live_bytes);
	for (u32 c = 0; c < GOALLOC_NUM_SIZE_CLASSES; c++)
		KUNIT_EXPECT_EQ_MSG(test, ms->by_size[c].mallocs - ms->by_size[c].frees,
				    f->live[c], "class %u", c);
	if (objects != ANY_OBJECTS)
		KUNIT_EXPECT_EQ(test, ms->heap_objects, objects);
	kunit_kfree(test, ms);
	kunit_kfree(test, f);
}

#endif /* GOALLOC_HEAP_KUNIT_H */
