// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps, arenas, spans of pages (Go: mheap.go).
 */
#include <linux/cpuhotplug.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "backing.h"
#include "class.h"
#include "compat.h"
#include "debugfs.h"
#include "fixalloc.h"
#include "mheap.h"
#include "scavenge.h"
#include "sweep.h"

/* Pages that are freed, or added to the heap, under one taking of the lock. */
#define MHEAP_PIECE_PAGES	(16 * PALLOC_CHUNK_PAGES)

/* A span of more pages is returned where that may take its time. */
#define MHEAP_INLINE_PAGES	PALLOC_CHUNK_PAGES

/* Protects the list of heaps and their ids. */
DEFINE_MUTEX(goalloc_heaps_mutex);
LIST_HEAD(goalloc_heaps);
struct goalloc_heap *goalloc_kernel_heap;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_kernel_heap);
struct workqueue_struct *goalloc_wq;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_wq);
static u32 next_heap_id;
static bool cpu_dead;	/* spans come from a CPU that died (goalloc_heaps_mutex) */
static enum cpuhp_state cpuhp_state;

/**
 * mheap_lock - takes the heap lock
 * @heap: the heap
 *
 * Context: any but NMI. Interrupts are off until mheap_unlock().
 * Return: what mheap_unlock() needs.
 */
unsigned long mheap_lock(struct goalloc_heap *heap) __acquires(&heap->lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&heap->lock, flags);
	heap->locks++;
	return flags;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_lock);

/**
 * mheap_unlock - releases the heap lock
 * @heap: the heap
 * @flags: from mheap_lock()
 *
 * Context: the lock held.
 */
void mheap_unlock(struct goalloc_heap *heap, unsigned long flags) __releases(&heap->lock)
{
	raw_spin_unlock_irqrestore(&heap->lock, flags);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_unlock);

/**
 * mheap_chunk - finds a chunk
 * @heap: the heap
 * @addr: any value
 *
 * Context: any.
 * Return: the chunk's table, or NULL if there is none.
 */
struct goalloc_chunk *mheap_chunk(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_arena_l2 *l2;
	struct goalloc_arena *arena;
	u32 ai;

	if (!goalloc_addr_in_space(addr))
		return NULL;
	ai = goalloc_arena_index(addr);
	l2 = READ_ONCE(heap->arenas[ai >> GOALLOC_ARENA_L2_BITS]);
	if (!l2)
		return NULL;
	arena = READ_ONCE(l2->arenas[ai & (GOALLOC_ARENA_L2 - 1)]);
	if (!arena)
		return NULL;
	return READ_ONCE(arena->chunks[goalloc_chunk_index(addr) & (GOALLOC_ARENA_CHUNKS - 1)]);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_chunk);

/**
 * span_of_heap - finds the span of a heap address
 * @heap: a sparse heap
 * @addr: any value
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span in use or NULL.
 */
struct mspan *span_of_heap(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	struct mspan __rcu **spans;
	struct mspan *s;

	if (!c)
		return NULL;
	s = rcu_dereference_check(c->whole, rcu_read_lock_sched_held());
	if (s)
		return s;
	spans = READ_ONCE(c->spans);
	return spans ? rcu_dereference_check(spans[goalloc_chunk_page(addr)],
					     rcu_read_lock_sched_held()) : NULL;
}

GOALLOC_EXPORT_FOR_KUNIT(span_of_heap);

/*
 * Makes the tables above a chunk, and its own. Entries are installed by
 * compare-and-swap, and stay until the heap ends.
 */
static struct goalloc_chunk *mheap_build_chunk(struct goalloc_heap *heap, u64 addr, gfp_t gfp)
{
	u32 ai = goalloc_arena_index(addr);
	struct goalloc_arena_l2 **l2p = &heap->arenas[ai >> GOALLOC_ARENA_L2_BITS], *l2;
	struct goalloc_arena **ap, *arena;
	struct goalloc_chunk **cp, *c;

	l2 = READ_ONCE(*l2p);
	if (!l2) {
		l2 = persistentalloc(heap, &heap->gc_bytes, sizeof(*l2), gfp);
		if (!l2)
			return NULL;
		if (cmpxchg(l2p, NULL, l2)) {
			persistentfree(&heap->gc_bytes, l2, sizeof(*l2));
			l2 = READ_ONCE(*l2p);
		}
	}
	ap = &l2->arenas[ai & (GOALLOC_ARENA_L2 - 1)];
	arena = READ_ONCE(*ap);
	if (!arena) {
		arena = persistentalloc(heap, &heap->gc_bytes, sizeof(*arena), gfp);
		if (!arena)
			return NULL;
		if (cmpxchg(ap, NULL, arena)) {
			persistentfree(&heap->gc_bytes, arena, sizeof(*arena));
			arena = READ_ONCE(*ap);
		}
	}
	cp = &arena->chunks[goalloc_chunk_index(addr) & (GOALLOC_ARENA_CHUNKS - 1)];
	c = READ_ONCE(*cp);
	if (!c) {
		c = fixalloc_chunk(heap, gfp);
		if (!c)
			return NULL;
		if (cmpxchg(cp, NULL, c)) {
			fixalloc_chunk_free(heap, c);
			c = READ_ONCE(*cp);
		}
	}
	return c;
}

/*
 * Adds address space for npages to the page allocator (Go: mheap.grow). The
 * range is reserved first, so its tables are ours to build without the lock.
 * If they cannot be built it is given up again; were it no longer the last
 * one, what has tables is kept as idle pages and the rest is lost to the heap.
 */
static bool mheap_grow(struct goalloc_heap *heap, u64 npages, gfp_t gfp)
{
	u64 n = DIV_ROUND_UP(npages, PALLOC_CHUNK_PAGES), bytes = n << PALLOC_CHUNK_SHIFT;
	unsigned long flags;
	u64 base, i;
	bool ok;

	flags = mheap_lock(heap);
	base = heap->cur_arena;
	ok = bytes <= GOALLOC_HEAP_END - base;
	if (ok)
		heap->cur_arena += bytes;
	mheap_unlock(heap, flags);
	if (!ok)
		return false;

	for (i = 0; i < n; i++) {
		u64 addr = base + (i << PALLOC_CHUNK_SHIFT);
		struct goalloc_chunk *c = mheap_build_chunk(heap, addr, gfp);

		if (!c || pagealloc_prepare(&heap->pages, addr, &c->palloc, gfp))
			break;
		if (gfpflags_allow_blocking(gfp)) {
			cond_resched();
			if (fatal_signal_pending(current))
				break;
		}
	}

	flags = mheap_lock(heap);
	ok = i == n;
	if (!ok && heap->cur_arena == base + bytes) {
		heap->cur_arena = base;
		i = 0;
	}
	while (i) {
		u64 piece = min_t(u64, i, MHEAP_PIECE_PAGES / PALLOC_CHUNK_PAGES);

		pagealloc_grow(&heap->pages, base, piece);
		heap->pages_sys += piece * PALLOC_CHUNK_PAGES;
		heap->pages_released += piece * PALLOC_CHUNK_PAGES;
		i -= piece;
		base += piece << PALLOC_CHUNK_SHIFT;
		if (i) {
			/* What is in already may be taken; then we grow again. */
			mheap_unlock(heap, flags);
			flags = mheap_lock(heap);
		}
	}
	mheap_unlock(heap, flags);
	return ok;
}

/*
 * The run is not needed after all, or the span is done with. A long one is freed
 * piece by piece, so that the lock is held for a piece only; each is a run.
 */
static void mheap_free_run(struct goalloc_heap *heap, struct mspan *s)
{
	bool linear = heap->backing == BACKING_LINEAR;
	u64 addr = s->start_addr, left = s->npages, n;
	unsigned long flags;

	flags = mheap_lock(heap);
	if (!list_empty(&s->allspans)) {
		list_del_init(&s->allspans);
		heap->nspans--;
	}
	for (;;) {
		n = min_t(u64, left, MHEAP_PIECE_PAGES);
		/* A run that was never backed has its scavenged bits set again. */
		if (linear && !backing_is_backed(heap, s->start_addr))
			pagealloc_set_scavenged(&heap->pages, addr, n);
		heap->pages_released += pagealloc_count_scavenged(&heap->pages, addr, n);
		heap->pages_in_use -= n;
		scavenge_freed(heap, addr, n);
		pagealloc_free(&heap->pages, addr, n);
		mheap_unlock(heap, flags);
		left -= n;
		if (!left)
			return;
		addr += n << GOALLOC_PAGE_SHIFT;
		flags = mheap_lock(heap);
	}
}

/*
 * Takes a run of pages for a span, under the heap lock. On a linear heap a run
 * that fits into a block goes where blocks are or can be: a half chunk that has
 * none yet is walled off for blocks of the largest size (see pallocbits.h).
 */
static u64 mheap_take_run(struct goalloc_heap *heap, u64 npages, u64 align_pages, bool block,
			  u64 *scav)
{
	u64 addr;

	lockdep_assert_held(&heap->lock);
	addr = align_pages > 1 ?
		pagealloc_alloc_aligned(&heap->pages, npages, align_pages, scav) :
		pagealloc_alloc(&heap->pages, npages, scav);
	if (addr && block) {
		struct palloc_chunk *c = pagealloc_chunk(&heap->pages, addr);

		if (!c->block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES])
			pagealloc_set_block(&heap->pages, addr, PALLOC_HALF_PAGES);
	}
	return addr;
}

/* As mheap_alloc_span(); @vmapped: with pages of its own, mapped by vmalloc(). */
static struct mspan *mheap_try_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
				    u8 spc, u64 elemsize, bool vmapped, gfp_t gfp)
{
	bool linear = heap->backing == BACKING_LINEAR;
	u64 run = npages, addr, scav = 0, maxpages;
	struct mspan *s;
	unsigned long flags;

	/* Whole halves, so that what is left of one can have blocks. */
	if (vmapped)
		run = round_up(npages, PALLOC_HALF_PAGES);
	s = fixalloc_mspan(heap, spc, gfp);
	if (!s)
		return NULL;

	flags = mheap_lock(heap);
	for (;;) {
		maxpages = READ_ONCE(heap->max) >> GOALLOC_PAGE_SHIFT;
		if (run > maxpages || heap->pages_in_use > maxpages - run) {
			addr = 0;
			break;
		}
		addr = mheap_take_run(heap, run, align_pages, linear && !vmapped, &scav);
		if (addr)
			break;
		mheap_unlock(heap, flags);
		if (!mheap_grow(heap, run + align_pages - 1, gfp)) {
			fixalloc_mspan_free_now(heap, s);
			return NULL;
		}
		flags = mheap_lock(heap);
	}
	if (addr) {
		heap->pages_in_use += run;
		heap->pages_released -= scav;
	}
	mheap_unlock(heap, flags);
	if (!addr) {
		fixalloc_mspan_free_now(heap, s);
		return NULL;
	}

	mspan_init(s, heap, spc, addr, run, elemsize);
	s->vmapped = vmapped;
	s->needzero = scav != run;
	WRITE_ONCE(s->sweepgen, READ_ONCE(heap->sweepgen));
	if (backing_commit(heap, s, gfp))
		goto fail;
	WRITE_ONCE(s->state, MSPAN_IN_USE);
	if (backing_map_span(heap, s, gfp)) {
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s);
		backing_decommit(heap, s);
		goto fail;
	}

	flags = mheap_lock(heap);
	list_add_tail(&s->allspans, &heap->allspans);
	heap->nspans++;
	atomic_inc(&s->central->nspans);
	mheap_unlock(heap, flags);
	/* Records and tables count too. */
	if (!linear)
		scavenge_at_limit(heap);
	return s;

fail:
	mheap_free_run(heap, s);
	fixalloc_mspan_free(heap, s);
	return NULL;
}

/**
 * mheap_alloc_span - makes a span (Go: mheap.alloc, allocSpan)
 * @heap: the heap
 * @npages: heap pages
 * @align_pages: a power of two, what the first page's address is a multiple of
 * @spc: span class
 * @elemsize: bytes of a slot, or of the large object
 * @gfp: the caller's flags
 *
 * Context: any but NMI, as @gfp says; no lock held.
 * Return: the span, HELD, all slots free, swept, to be found by its addresses;
 * or NULL with nothing changed, when there is no memory, no address space, or
 * the heap's max would be passed.
 */
struct mspan *mheap_alloc_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
			       u8 spc, u64 elemsize, gfp_t gfp)
{
	bool map = heap->backing == BACKING_LINEAR && spc < 2 && gfpflags_allow_blocking(gfp);
	struct mspan *s = NULL;

	if (!fixalloc_allowed() || !mheap_build_central(heap, gfp))
		return NULL;
	if (npages <= PALLOC_HALF_PAGES || heap->backing == BACKING_SPARSE)
		s = mheap_try_span(heap, npages, align_pages, spc, elemsize, false, gfp);
	/* No block holds it, or none that does is to be had. */
	if (!s && map && npages > PALLOC_BLOCK_MIN)
		s = mheap_try_span(heap, npages, align_pages, spc, elemsize, true, gfp);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_alloc_span);

/**
 * mheap_return_span - returns a span to the page heap (Go: freeSpan)
 * @s: the span, HELD by the caller, nothing in it live
 *
 * Until an RCU grace period is over others may look at the record, and find
 * every slot free (I2).
 *
 * Context: any but NMI if the span has a block behind it or is short, and no
 * process has mapped the heap; else a task that may sleep; no lock held.
 */
void mheap_return_span(struct mspan *s)
{
	struct goalloc_heap *heap = s->heap;

	WRITE_ONCE(s->state, MSPAN_DEAD);
	backing_unmap_span(heap, s);
	backing_decommit(heap, s);
	mheap_free_run(heap, s);
	gc_bits_free(s);
	atomic_dec(&s->central->nspans);
	fixalloc_mspan_free(heap, s);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_return_span);

static void mheap_return_workfn(struct work_struct *work)
{
	mheap_return_span(container_of(work, struct mspan, work));
}

/**
 * mheap_free_span - returns a span to the page heap, from wherever
 * @s: the span, HELD by the caller, nothing in it live
 *
 * As mheap_return_span(), but a span that takes long to return, or has to
 * sleep for it, goes by way of a work item unless the caller may sleep.
 *
 * Context: any but NMI; no lock held.
 */
void mheap_free_span(struct mspan *s)
{
	if ((s->vmapped || s->npages > MHEAP_INLINE_PAGES || READ_ONCE(s->heap->mapped)) &&
	    (!preemptible() || rcu_preempt_depth() || READ_ONCE(cpu_dead))) {
		INIT_WORK(&s->work, mheap_return_workfn);
		queue_work(goalloc_wq, &s->work);
		return;
	}
	mheap_return_span(s);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_free_span);

/**
 * mheap_fault - counts a bad free
 * @heap: the heap it concerns, or NULL if that is not known
 * @fault: what was wrong
 *
 * Context: any.
 */
void mheap_fault(struct goalloc_heap *heap, enum goalloc_fault fault)
{
	atomic64_inc(&(heap ?: goalloc_kernel_heap)->faults[fault]);
}

/**
 * mheap_build_central - makes a heap's mcentrals if it has none
 * @heap: the heap
 * @gfp: how to allocate them
 *
 * They are most of what a heap without objects would cost, and a file that was
 * opened and is idle should cost little.
 *
 * Context: any but NMI, as @gfp says.
 * Return: false if there is no memory.
 */
bool mheap_build_central(struct goalloc_heap *heap, gfp_t gfp)
{
	const size_t size = GOALLOC_ALL_CENTRALS * sizeof(struct mcentral);
	struct mcentral *central;
	int i;

	if (READ_ONCE(heap->central))
		return true;
	if (!fixalloc_allowed() || goalloc_should_fail())
		return false;
	gfp &= FIXALLOC_GFP;
	central = alloc_pages_exact(size, gfp | __GFP_ZERO | __GFP_NOWARN);
	if (!central)
		return false;
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		mcentral_init(&central[i], heap, i);
	/* Full barrier: whoever sees the pointer sees the locks. */
	if (cmpxchg(&heap->central, NULL, central))
		free_pages_exact(central, size);
	else
		atomic64_add(size, &heap->other_bytes);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_build_central);

/* The page allocator's nodes fail for tests as all other metadata does. */
static bool mheap_fail_node(struct pagealloc *p)
{
	return goalloc_should_fail();
}

/* As mheap_create(); @own: its per-CPU pointers, or NULL. */
static struct goalloc_heap *heap_create(const struct goalloc_heap_params *params,
					enum goalloc_backing backing,
					struct mcache_pcpu __percpu *own)
{
	gfp_t gfp = backing == BACKING_SPARSE ? GFP_KERNEL_ACCOUNT : GFP_KERNEL;
	struct goalloc_heap *heap;

	if (params && params->flags)
		return ERR_PTR(-EINVAL);
	if (goalloc_should_fail())
		return ERR_PTR(-ENOMEM);
	heap = kvzalloc(sizeof(*heap), gfp);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	atomic64_set(&heap->other_bytes, sizeof(*heap));
	raw_spin_lock_init(&heap->lock);
	heap->backing = backing;
	heap->limit = params && params->limit ? params->limit : GOALLOC_NO_LIMIT;
	heap->max = params && params->max ? params->max : GOALLOC_NO_LIMIT;
	heap->gc_percent = GOALLOC_NO_LIMIT;
	heap->cur_arena = GOALLOC_HEAP_BASE;
	INIT_LIST_HEAD(&heap->allspans);
	pagealloc_init(&heap->pages, &heap->lock);
	if (IS_ENABLED(CONFIG_FAULT_INJECTION))
		heap->pages.fail_node = mheap_fail_node;
	init_waitqueue_head(&heap->limit_wait);
	heap->scav_addr = GOALLOC_HEAP_BASE;
	sweep_init(heap);
	if (mcache_init(heap, own)) {
		kvfree(heap);
		return ERR_PTR(-ENOMEM);
	}

	mutex_lock(&goalloc_heaps_mutex);
	heap->id = next_heap_id++;
	if (params && params->name)
		strscpy(heap->name, params->name, sizeof(heap->name));
	else
		snprintf(heap->name, sizeof(heap->name), "heap%u", heap->id);
	list_add_tail(&heap->list, &goalloc_heaps);
	goalloc_debugfs_add(heap);
	mutex_unlock(&goalloc_heaps_mutex);
	return heap;
}

/**
 * mheap_create - makes a heap
 * @params: what it is to be; NULL for a kernel heap without limits
 * @backing: which kind
 *
 * Context: task, sleeps.
 * Return: the heap, or ERR_PTR(-EINVAL) or ERR_PTR(-ENOMEM).
 */
struct goalloc_heap *mheap_create(const struct goalloc_heap_params *params,
				  enum goalloc_backing backing)
{
	return heap_create(params, backing, NULL);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_create);

/* What was not freed, by class, in one line each. */
static void mheap_report_leaks(struct goalloc_heap *heap)
{
	u64 live[GOALLOC_NUM_SIZE_CLASSES] = {}, bytes = 0, all = 0;
	struct mspan *s;
	u8 class;

	list_for_each_entry(s, &heap->allspans, allspans) {
		u32 n = mspan_objects(s);

		live[spanclass_sizeclass(s->spanclass)] += n;
		bytes += mspan_live(s) * s->elemsize;
		all += n;
	}
	if (!all)
		return;
	pr_warn("goalloc: heap %u \"%s\" destroyed with %llu objects, %llu bytes, not freed\n",
		heap->id, heap->name, all, bytes);
	for (class = 0; class < GOALLOC_NUM_SIZE_CLASSES; class++)
		if (live[class])
			pr_warn("goalloc:   class %u (%u bytes): %llu not freed\n", class,
				goalloc_class_to_size[class], live[class]);
}

static void mheap_destroy_tables(struct goalloc_heap *heap)
{
	u32 i, j, k;

	pagealloc_destroy(&heap->pages);
	for (i = 0; i < GOALLOC_ARENA_L1; i++) {
		struct goalloc_arena_l2 *l2 = heap->arenas[i];

		if (!l2)
			continue;
		for (j = 0; j < GOALLOC_ARENA_L2; j++) {
			struct goalloc_arena *arena = l2->arenas[j];

			if (!arena)
				continue;
			for (k = 0; k < GOALLOC_ARENA_CHUNKS; k++) {
				struct goalloc_chunk *c = arena->chunks[k];

				if (!c)
					continue;
				persistentfree(&heap->gc_bytes, (void *)c->spans,
					       PALLOC_CHUNK_PAGES * sizeof(*c->spans));
				persistentfree(&heap->gc_bytes, c->pages,
					       PALLOC_CHUNK_PAGES * sizeof(*c->pages));
				fixalloc_chunk_free(heap, c);
			}
			persistentfree(&heap->gc_bytes, arena, sizeof(*arena));
			cond_resched();
		}
		persistentfree(&heap->gc_bytes, l2, sizeof(*l2));
	}
}

/**
 * mheap_destroy - ends a heap and frees all there is in it
 * @heap: the heap, which nobody uses or will use
 * @quiet: objects left over are no leak
 *
 * Context: task, sleeps. Never fails.
 */
void mheap_destroy(struct goalloc_heap *heap, bool quiet)
{
	struct mspan *s, *next;
	int cpu;

	mutex_lock(&goalloc_heaps_mutex);
	list_del(&heap->list);
	mutex_unlock(&goalloc_heaps_mutex);
	/* Waits for whoever is in one of its files: others go on meanwhile. */
	goalloc_debugfs_remove(heap);

	/* No mapping is left, or the file would still be open. */
	heap->mapped = false;
	sweep_stop(heap);
	for_each_possible_cpu(cpu)
		mcache_flush_cpu(heap, cpu);
	flush_workqueue(goalloc_wq);
	class_destroy_all(heap, quiet);
	if (!quiet)
		mheap_report_leaks(heap);

	list_for_each_entry_safe(s, next, &heap->allspans, allspans) {
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s);
		if (s->vmapped)
			backing_decommit(heap, s);
		list_del(&s->allspans);
		gc_bits_free(s);
		fixalloc_mspan_free(heap, s);
		cond_resched();
	}
	backing_destroy(heap);
	mheap_destroy_tables(heap);
	/*
	 * A bad free of one of the heap's addresses, by somebody with another
	 * heap, may have found a span just before. A file's objects have no
	 * addresses outside the file.
	 */
	if (heap->backing == BACKING_LINEAR)
		synchronize_rcu();
	mcache_destroy(heap);
	WARN_ONCE(atomic64_read(&heap->backed) || atomic64_read(&heap->mspan_bytes) ||
		  atomic64_read(&heap->mcache_bytes) || atomic64_read(&heap->gc_bytes),
		  "goalloc: heap %u ends with %lld bytes of pages, %lld of spans, %lld of mcaches, %lld of tables\n",
		  heap->id, atomic64_read(&heap->backed), atomic64_read(&heap->mspan_bytes),
		  atomic64_read(&heap->mcache_bytes), atomic64_read(&heap->gc_bytes));
	if (heap->central)
		free_pages_exact(heap->central, GOALLOC_ALL_CENTRALS * sizeof(*heap->central));
	kvfree(heap);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_destroy);

/**
 * goalloc_heap_create - makes a heap for objects with kernel pointers
 * @params: its name and limits; NULL for none
 *
 * Context: task, sleeps.
 * Return: the heap, or ERR_PTR(-EINVAL) for an unknown flag, or
 * ERR_PTR(-ENOMEM). It belongs to the caller until goalloc_heap_destroy().
 */
struct goalloc_heap *goalloc_heap_create(const struct goalloc_heap_params *params)
{
	return mheap_create(params, BACKING_LINEAR);
}
EXPORT_SYMBOL_GPL(goalloc_heap_create);

/**
 * goalloc_heap_destroy - ends a heap
 * @heap: from goalloc_heap_create(); an ERR_PTR or NULL is fine
 *
 * Frees what is left in it, and names it by class in the kernel log. Nobody
 * may use the heap or an object of it any more.
 *
 * Context: task, sleeps. Never fails.
 */
void goalloc_heap_destroy(struct goalloc_heap *heap)
{
	if (!IS_ERR_OR_NULL(heap))
		mheap_destroy(heap, false);
}
EXPORT_SYMBOL_GPL(goalloc_heap_destroy);

/* A CPU is dead: its mcaches hold spans that others can use. */
static int mheap_cpu_dead(unsigned int cpu)
{
	struct goalloc_heap *heap;

	mutex_lock(&goalloc_heaps_mutex);
	/* Nothing that takes long, or locks of mappings, under hotplug's lock. */
	WRITE_ONCE(cpu_dead, true);
	list_for_each_entry(heap, &goalloc_heaps, list)
		mcache_flush_cpu(heap, cpu);
	WRITE_ONCE(cpu_dead, false);
	mutex_unlock(&goalloc_heaps_mutex);
	return 0;
}

/**
 * mheap_module_init - makes what all heaps share, and heap 0
 *
 * Context: task, sleeps.
 * Return: 0 or a negative errno.
 */
int mheap_module_init(void)
{
	static const struct goalloc_heap_params kernel = { .name = "kernel" };
	struct goalloc_heap *heap;
	int ret;

	goalloc_wq = alloc_workqueue("goalloc", WQ_UNBOUND, 0);
	if (!goalloc_wq)
		return -ENOMEM;
	/* The teardown of a "prepare" state runs once the CPU is dead. */
	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "mm/goalloc:dead", NULL,
					mheap_cpu_dead);
	if (ret < 0)
		goto err_wq;
	cpuhp_state = ret;
	heap = heap_create(&kernel, BACKING_LINEAR, &goalloc_kernel_mcache);
	if (IS_ERR(heap)) {
		ret = PTR_ERR(heap);
		goto err_cpuhp;
	}
	goalloc_kernel_heap = heap;
	return 0;

err_cpuhp:
	cpuhp_remove_state_nocalls(cpuhp_state);
err_wq:
	destroy_workqueue(goalloc_wq);
	return ret;
}

/**
 * mheap_module_exit - ends heap 0 and frees what all heaps shared
 *
 * Context: task, sleeps; no other heap is left.
 */
void mheap_module_exit(void)
{
	mheap_destroy(goalloc_kernel_heap, false);
	cpuhp_remove_state_nocalls(cpuhp_state);
	destroy_workqueue(goalloc_wq);
}
