// SPDX-License-Identifier: GPL-2.0-only
/*
 * The books (Go: mstats.go).
 *
 * Slots are counted where they are taken and freed, in the mcache of the CPU
 * and context that does it, without a locked instruction. Reading adds up the
 * mcaches while others go on: the sum is exact when nobody allocates or frees.
 * Frees are read before mallocs, so that live objects are never negative; but a second
 * free that is told late (see mspan.h) is counted until then, and left out here.
 */
#include <linux/build_bug.h>
#include <linux/percpu.h>
#include <linux/stddef.h>

#include "backing.h"
#include "class.h"
#include "compat.h"
#include "mcache.h"
#include "mheap.h"
#include "mstats.h"

static_assert(GOALLOC_BY_SIZE_MAX == GOALLOC_NUM_SIZE_CLASSES);

#define FIELD(f)	{ #f, offsetof(struct goalloc_memstats, f) }

const struct mstats_field mstats_fields[] = {
	FIELD(alloc),
	FIELD(total_alloc),
	FIELD(sys),
	FIELD(lookups),
	FIELD(mallocs),
	FIELD(frees),
	FIELD(heap_alloc),
	FIELD(heap_sys),
	FIELD(heap_idle),
	FIELD(heap_inuse),
	FIELD(heap_released),
	FIELD(heap_objects),
	FIELD(stack_inuse),
	FIELD(stack_sys),
	FIELD(mspan_inuse),
	FIELD(mspan_sys),
	FIELD(mcache_inuse),
	FIELD(mcache_sys),
	FIELD(buck_hash_sys),
	FIELD(gc_sys),
	FIELD(other_sys),
	FIELD(next_gc),
	FIELD(last_gc),
	FIELD(pause_total_ns),
	FIELD(num_gc),
	FIELD(num_forced_gc),
	FIELD(gc_cpu_fraction),
	FIELD(enable_gc),
};

const unsigned int mstats_num_fields = ARRAY_SIZE(mstats_fields);

/* Adds up one side of the mcaches' counters. */
static void sum_mcaches(struct goalloc_heap *heap, struct goalloc_memstats *ms, bool frees,
			u64 *tiny, u64 *blocks)
{
	int cpu, ctx, i;

	for_each_possible_cpu(cpu) {
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
			struct mcache *mc = READ_ONCE(per_cpu_ptr(heap->mcache, cpu)->ctx[ctx]);

			if (mc == &goalloc_emptymcache)
				continue;
			*tiny += READ_ONCE(*(frees ? &mc->tinyfrees : &mc->tinyallocs));
			for (i = 2; i < GOALLOC_NUM_CENTRALS; i++) {
				struct goalloc_by_size *b =
					&ms->by_size[spanclass_sizeclass(i)];
				u64 n = READ_ONCE(*(frees ? &mc->alloc[i].nfree :
						    &mc->alloc[i].nmalloc));

				*(frees ? &b->frees : &b->mallocs) += n;
				if (i == GOALLOC_TINY_SPAN_CLASS)
					*blocks += n;
			}
		}
	}
}

/**
 * readmemstats - reads the books of a heap (Go: ReadMemStats)
 * @heap: the heap
 * @ms: where they go; its size field is left alone
 *
 * Exact when nobody allocates, frees or grows the heap. Stops nobody.
 *
 * Context: any; the heap lock is taken for a few loads.
 */
void readmemstats(struct goalloc_heap *heap, struct goalloc_memstats *ms)
{
	u64 tinyallocs = 0, tinyfrees = 0, ablocks = 0, fblocks = 0;
	struct class_sums exact = {};
	u64 inuse, sys, released;
	unsigned long flags;
	u32 size = ms->size;
	u64 nodes;
	int i;

	memset(ms, 0, sizeof(*ms));
	ms->size = size;
	ms->by_size_count = GOALLOC_NUM_SIZE_CLASSES;

	tinyfrees = atomic64_read(&heap->tinyfrees);
	for (i = 2; i < GOALLOC_NUM_CENTRALS; i++)
		ms->by_size[spanclass_sizeclass(i)].frees += atomic64_read(&heap->frees[i]);
	fblocks = atomic64_read(&heap->frees[GOALLOC_TINY_SPAN_CLASS]);
	sum_mcaches(heap, ms, true, &tinyfrees, &fblocks);
	ms->by_size[0].frees = atomic64_read(&heap->large_free_count);
	ms->heap_alloc = -atomic64_read(&heap->large_free);
	/* Pairs with the order in which an object is first made and then freed. */
	smp_rmb();
	sum_mcaches(heap, ms, false, &tinyallocs, &ablocks);
	ms->by_size[0].mallocs = atomic64_read(&heap->large_alloc_count);
	ms->total_alloc = atomic64_read(&heap->large_alloc);
	ms->heap_alloc += ms->total_alloc;

	for (i = 0; i < GOALLOC_NUM_SIZE_CLASSES; i++) {
		struct goalloc_by_size *b = &ms->by_size[i];

		b->object_size = goalloc_class_to_size[i];
		b->frees = min(b->frees, b->mallocs);
		ms->mallocs += b->mallocs;
		ms->frees += b->frees;
		ms->total_alloc += b->mallocs * b->object_size;
		ms->heap_alloc += (b->mallocs - b->frees) * b->object_size;
	}
	/* Each tiny object counts, and the block it lies in does not. */
	ms->mallocs += tinyallocs - ablocks;
	ms->frees += tinyfrees - fblocks;
	/* Exact classes are in no size class of the table, only in the totals. */
	flags = mheap_lock(heap);
	class_counts_all(heap, &exact);
	inuse = mheap_pages_in_use(heap);
	smp_rmb(); /* spans are made without the lock: pairs with mheap_use_pages() */
	released = mheap_pages_released(heap);
	sys = heap->pages_sys;
	ms->num_gc = heap->num_gc;
	ms->num_forced_gc = heap->num_forced_gc;
	ms->last_gc = heap->last_gc;
	ms->pause_total_ns = heap->pause_total_ns;
	nodes = atomic64_read(&heap->pages.meta_bytes);
	mheap_unlock(heap, flags);

	ms->mallocs += exact.mallocs;
	ms->frees += exact.frees;
	ms->total_alloc += exact.total_alloc;
	ms->heap_alloc += exact.heap_alloc;
	ms->frees = min(ms->frees, ms->mallocs);
	ms->heap_objects = ms->mallocs - ms->frees;
	ms->alloc = ms->heap_alloc;
	ms->heap_inuse = inuse << GOALLOC_PAGE_SHIFT;
	ms->heap_sys = sys << GOALLOC_PAGE_SHIFT;
	ms->heap_idle = (sys - inuse) << GOALLOC_PAGE_SHIFT;
	ms->heap_released = released << GOALLOC_PAGE_SHIFT;
	ms->lookups = atomic64_read(&heap->lookups);
	ms->mspan_inuse = atomic64_read(&heap->mspan_bytes);
	ms->mspan_sys = ms->mspan_inuse;
	ms->mcache_inuse = atomic64_read(&heap->mcache_bytes);
	ms->mcache_sys = ms->mcache_inuse;
	ms->gc_sys = atomic64_read(&heap->gc_bytes) + nodes;
	ms->other_sys = atomic64_read(&heap->other_bytes);
	if (heap == goalloc_kernel_heap)
		ms->other_sys += goalloc_spanmap.nleaves * sizeof(goalloc_spanmap.leaves->at[0]) +
				 atomic64_read(&goalloc_spanmap.bytes);
	ms->sys = ms->heap_sys + ms->mspan_sys + ms->mcache_sys + ms->gc_sys + ms->other_sys;
	/* No collector plans a next cycle yet; cycles are begun by request. */
	ms->next_gc = GOALLOC_NO_LIMIT;
}

GOALLOC_EXPORT_FOR_KUNIT(readmemstats);
