// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exact size classes: a size of the caller's own has its own spans.
 *
 * Go has none; its table is fixed. Here a heap has places for a few more
 * classes behind those of the table, and what is true of a span class is true
 * of them: an mcache entry on each CPU and context, an mcentral, spans whose
 * every free is checked. Only where slots per span and pages per span come from
 * differs: they are kept in the mcentral (see mcentral_init()).
 */
#include <linux/align.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "checkers.h"
#include "class.h"
#include "compat.h"
#include "fixalloc.h"
#include "mcache.h"
#include "mheap.h"
#include "sweep.h"

/* A span is as short as keeps its tail under this share of it, if it can be. */
#define CLASS_MAX_WASTE		128

#define CLASSES_SIZE		(GOALLOC_MAX_EXACT * sizeof(struct goalloc_class *))

/*
 * Pages of a span of this slot size: the fewest whose tail is under 1/128, else
 * those with the least tail, relatively.
 */
static u32 class_pages(u32 elemsize)
{
	u64 best_tail = 1, best_bytes = 1;
	u32 best = 0, n;

	for (n = DIV_ROUND_UP(elemsize, (u32)GOALLOC_PAGE_SIZE); n <= GOALLOC_GRANULE_PAGES; n++) {
		u64 bytes = (u64)n << GOALLOC_PAGE_SHIFT, tail = bytes % elemsize;

		if (best && bytes / elemsize > GOALLOC_MAX_OBJS_PER_SPAN)
			break;
		if (!best || tail * best_bytes < best_tail * bytes) {
			best = n;
			best_tail = tail;
			best_bytes = bytes;
		}
		if (tail * CLASS_MAX_WASTE <= bytes)
			break;
	}
	return best;
}

/**
 * goalloc_class_create - makes a size class of the caller's own
 * @heap: the heap, or NULL for the module's own
 * @name: shown in debugfs and in messages; copied
 * @size: bytes of an object, 1 to 32768
 * @align: what an object's address is to be a multiple of, a power of two up to
 *	8192; 0 for 8
 * @flags: GOALLOC_SCAN if the objects may hold pointers to others of the heap
 *
 * A slot is @size rounded up to @align and no more.
 *
 * Context: task, sleeps.
 * Return: the class, the caller's until goalloc_class_destroy(); or
 * ERR_PTR(-EINVAL) for a bad size, alignment or flag, ERR_PTR(-ENOSPC) if the
 * heap has GOALLOC_MAX_EXACT classes already, ERR_PTR(-ENOMEM).
 */
struct goalloc_class *goalloc_class_create(struct goalloc_heap *heap, const char *name,
					   size_t size, size_t align, u32 flags)
{
	struct goalloc_class *cls, **table = NULL;
	struct mcentral *c;
	u32 i;

	heap = heap ?: goalloc_kernel_heap;
	if (!size || size > GOALLOC_MAX_SMALL_SIZE || (align && !is_power_of_2(align)) ||
	    align > GOALLOC_PAGE_SIZE || (flags & ~GOALLOC_SCAN))
		return ERR_PTR(-EINVAL);
	align = max_t(size_t, align, 8);
	if (goalloc_should_fail())
		return ERR_PTR(-ENOMEM);
	cls = kzalloc(sizeof(*cls), GFP_KERNEL);
	if (!cls || !mheap_build_central(heap, GFP_KERNEL)) {
		kfree(cls);
		return ERR_PTR(-ENOMEM);
	}
	cls->heap = heap;
	cls->size = size;
	cls->flags = flags;
	strscpy(cls->name, name ?: "", sizeof(cls->name));

	/* Not under the mutex: who may not wait for what is reclaimed may wait for that. */
	if (!READ_ONCE(heap->classes))
		table = persistentalloc(heap, &heap->other_bytes, CLASSES_SIZE, GFP_KERNEL);
	mutex_lock(&goalloc_heaps_mutex);
	if (!heap->classes && table) {
		/* Readers must not see it before its zeroes. */
		smp_store_release(&heap->classes, table);
		table = NULL;
	}
	for (i = 0; i < GOALLOC_MAX_EXACT && mheap_class(heap, i); i++)
		;
	if (!heap->classes || i == GOALLOC_MAX_EXACT) {
		int err = heap->classes ? -ENOSPC : -ENOMEM;

		mutex_unlock(&goalloc_heaps_mutex);
		persistentfree(&heap->other_bytes, table, CLASSES_SIZE);
		kfree(cls);
		return ERR_PTR(err);
	}
	cls->spc = GOALLOC_NUM_CENTRALS + i;
	cls->mcache = heap->mcache;
	cls->entry = MCACHE_ENTRY(cls->spc);
	c = &heap->central[cls->spc];
	WRITE_ONCE(c->elemsize, ALIGN(size, align));
	c->npages = class_pages(c->elemsize);
	c->nelems = min_t(u32, (c->npages << GOALLOC_PAGE_SHIFT) / c->elemsize,
			  GOALLOC_MAX_OBJS_PER_SPAN);
	/*
	 * Where a tail follows, mspan_divide() finds a slot behind the last one there.
	 * It has bits in the record even if the last word is full: of 128 slots and
	 * more, which fill a record, none leaves a tail, as sizes are multiples of 8.
	 */
	/* Exact for all offsets of a span: they are below 2^64 / elemsize. */
	c->divmul = ~0ULL / c->elemsize + 1;
	c->noscan = !(flags & GOALLOC_SCAN);
	mcentral_set_bounds(c);
	/* Nor the class before it is complete, its mcentral, too: pairs with mheap_class(). */
	smp_store_release(&heap->classes[i], cls);
	mutex_unlock(&goalloc_heaps_mutex);
	persistentfree(&heap->other_bytes, table, CLASSES_SIZE);
	return cls;
}
EXPORT_SYMBOL_GPL(goalloc_class_create);

/*
 * What was counted for the class goes to the heap's totals, and its place
 * begins again at 0. Nobody uses the class.
 */
static void class_fold(struct goalloc_heap *heap, u8 spc)
{
	u64 mallocs, frees;
	unsigned long flags;
	int cpu, ctx;

	class_counts(heap, spc, &mallocs, &frees);
	flags = mheap_lock(heap);
	heap->exact_mallocs += mallocs;
	heap->exact_frees += frees;
	heap->exact_bytes += mallocs * heap->central[spc].elemsize;
	for_each_possible_cpu(cpu) {
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
			struct mcache *mc = READ_ONCE(per_cpu_ptr(heap->mcache, cpu)->ctx[ctx]);

			if (mc == &goalloc_emptymcache)
				continue;
			WRITE_ONCE(mc->alloc[spc].nmalloc, 0);
			WRITE_ONCE(mc->alloc[spc].nfree, 0);
		}
	}
	atomic64_set(&heap->frees[spc], 0);
	WRITE_ONCE(heap->central[spc].elemsize, 0);
	WRITE_ONCE(heap->classes[spc - GOALLOC_NUM_CENTRALS], NULL);
	mheap_unlock(heap, flags);
}

/**
 * class_counts - adds up the counters of an exact class
 * @heap: its heap
 * @spc: its span class
 * @mallocs: slots taken
 * @frees: slots freed, not more than @mallocs
 *
 * Context: any; exact while nobody uses the class.
 */
void class_counts(struct goalloc_heap *heap, u8 spc, u64 *mallocs, u64 *frees)
{
	int cpu, ctx;

	*mallocs = 0;
	*frees = atomic64_read(&heap->frees[spc]);
	for_each_possible_cpu(cpu) {
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
			struct mcache *mc = READ_ONCE(per_cpu_ptr(heap->mcache, cpu)->ctx[ctx]);

			*frees += READ_ONCE(mc->alloc[spc].nfree);
			*mallocs += READ_ONCE(mc->alloc[spc].nmalloc);
		}
	}
	/* As in readmemstats(). */
	*frees = min(*frees, *mallocs);
}

GOALLOC_EXPORT_FOR_KUNIT(class_counts);

/**
 * class_counts_all - adds up what a heap's exact classes count
 * @heap: the heap, its lock held
 * @all: is added to; what classes that are gone counted is in it, too
 *
 * Context: any; exact while nobody uses the classes.
 */
void class_counts_all(struct goalloc_heap *heap, struct class_sums *all)
{
	int i;

	lockdep_assert_held(&heap->lock);
	all->mallocs += heap->exact_mallocs;
	all->frees += heap->exact_frees;
	all->total_alloc += heap->exact_bytes;
	for (i = GOALLOC_NUM_CENTRALS; i < GOALLOC_ALL_CENTRALS; i++) {
		u64 mallocs, frees, size;

		if (!mheap_class(heap, i - GOALLOC_NUM_CENTRALS))
			continue;
		size = heap->central[i].elemsize;
		class_counts(heap, i, &mallocs, &frees);
		all->mallocs += mallocs;
		all->frees += frees;
		all->total_alloc += mallocs * size;
		all->heap_alloc += (mallocs - frees) * size;
	}
}

/*
 * Ends a class that nobody uses, and of which no mcache has spans; @quiet: what
 * is left over is no leak.
 */
static void class_destroy_locked(struct goalloc_class *cls, bool quiet)
{
	struct goalloc_heap *heap = cls->heap;
	struct mcentral *c = &heap->central[cls->spc];
	struct mspan *s;
	u64 live = 0;

	lockdep_assert_held(&goalloc_heaps_mutex);
	while (atomic_read(&c->nspans)) {
		u32 n;

		s = mcentral_take_any(c);
		if (!s) {
			/* A sweeper has it, or a work item that returns it. */
			usleep_range(100, 1000);
			continue;
		}
		n = mspan_live(s);
		checkers_span_ends(s);
		live += n;
		atomic64_add(n, &heap->frees[cls->spc]);
		mheap_return_span(s);
	}
	if (live && !quiet)
		pr_warn("goalloc: class \"%s\" of heap %llu destroyed with %llu objects of %u bytes not freed\n",
			cls->name, heap->id, live, c->elemsize);
	class_fold(heap, cls->spc);
	kfree(cls);
}

/**
 * class_destroy_all - ends what classes a heap has left
 * @heap: the heap, which nobody uses any more
 * @quiet: objects left over are no leak
 *
 * Context: task, sleeps. No mcache has spans of the heap.
 */
void class_destroy_all(struct goalloc_heap *heap, bool quiet)
{
	u32 i;

	mutex_lock(&goalloc_heaps_mutex);
	for (i = 0; i < GOALLOC_MAX_EXACT; i++)
		if (mheap_class(heap, i))
			class_destroy_locked(heap->classes[i], quiet);
	mutex_unlock(&goalloc_heaps_mutex);
	persistentfree(&heap->other_bytes, heap->classes, CLASSES_SIZE);
}

/**
 * goalloc_class_destroy - ends a class
 * @cls: from goalloc_class_create(); an ERR_PTR or NULL is fine
 *
 * Frees what is left of it, and says so in the kernel log, but for what a cycle
 * of sweeping has found dead: that is finished before. Nobody may use the
 * class or an object of it any more. Classes end before their heap.
 *
 * Context: task, sleeps. Never fails.
 */
void goalloc_class_destroy(struct goalloc_class *cls)
{
	if (IS_ERR_OR_NULL(cls))
		return;
	mcache_flush_all(cls->heap);
	/* What a cycle found dead is no leak. */
	sweep_finish(cls->heap);
	mutex_lock(&goalloc_heaps_mutex);
	class_destroy_locked(cls, false);
	mutex_unlock(&goalloc_heaps_mutex);
}
EXPORT_SYMBOL_GPL(goalloc_class_destroy);
