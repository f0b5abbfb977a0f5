// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps, and spans out of runs of pages (Go: mheap.go).
 */
#include <linux/cpuhotplug.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait_bit.h>

#include "backing.h"
#include "checkers.h"
#include "class.h"
#include "compat.h"
#include "counter.h"
#include "debugfs.h"
#include "fixalloc.h"
#include "mheap.h"
#include "pagecache.h"
#include "scavenge.h"
#include "sparse.h"
#include "sweep.h"

/* A span of more pages is returned where that may take its time. */
#define MHEAP_INLINE_PAGES	PALLOC_CHUNK_PAGES

/* Protects the list of heaps and their ids. */
DEFINE_MUTEX(goalloc_heaps_mutex);
LIST_HEAD(goalloc_heaps);
struct goalloc_heap *goalloc_kernel_heap;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_kernel_heap);
struct workqueue_struct *goalloc_wq;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_wq);
struct workqueue_struct *goalloc_flush_wq;
struct percpu_counter goalloc_held;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_held);
struct percpu_counter goalloc_idle;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_idle);
atomic64_t goalloc_pages_charged;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_pages_charged);
u64 goalloc_max = GOALLOC_NO_LIMIT;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_max);
static u64 next_heap_id;	/* no number comes twice */
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
	bool contended;

	local_irq_save(flags);
	contended = !raw_spin_trylock(&heap->lock);
	if (unlikely(contended))
		raw_spin_lock(&heap->lock);
	heap->contended += contended;
	heap->locks++;
#ifdef GOALLOC_LOCK_TIMES
	heap->lock_since = ktime_get_mono_fast_ns();
#endif
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
#ifdef GOALLOC_LOCK_TIMES
	heap->lock_max = max(heap->lock_max, ktime_get_mono_fast_ns() - heap->lock_since);
#endif
	raw_spin_unlock_irqrestore(&heap->lock, flags);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_unlock);

/*
 * The scavenged bits of a run of a linear heap: pages without a block behind
 * them have them set. The heap lock is held.
 */
static void linear_mark_scavenged(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 end = addr + (npages << GOALLOC_PAGE_SHIFT);

	while (addr < end) {
		u32 half = goalloc_chunk_page(addr) / PALLOC_HALF_PAGES;
		u64 pages = mheap_chunk(heap, addr)->palloc.block_pages[half] ?: PALLOC_HALF_PAGES;
		u64 next = min(end, (addr | ((pages << GOALLOC_PAGE_SHIFT) - 1)) + 1);

		if (!backing_block(heap, addr))
			pagealloc_set_scavenged(&heap->pages, addr,
						(next - addr) >> GOALLOC_PAGE_SHIFT);
		addr = next;
	}
}

/*
 * Gives pages back to the page allocator. They count as in use, and on a sparse
 * heap their scavenged bits are right. A long run is freed piece by piece, so that
 * the lock is held for a piece only; each is a run.
 */
static void mheap_give_run(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	while (npages) {
		u64 n = min_t(u64, npages, MHEAP_PIECE_PAGES);
		unsigned long flags = mheap_lock(heap);

		if (heap->backing == BACKING_LINEAR)
			linear_mark_scavenged(heap, addr, n);
		atomic64_sub(n, &heap->pages_in_use);
		atomic64_add(pagealloc_count_scavenged(&heap->pages, addr, n),
			     &heap->pages_released);
		pagealloc_free(&heap->pages, addr, n);
		if (heap->backing == BACKING_LINEAR)
			linear_released(heap, addr, n);
		mheap_range_changed(heap, addr, n);
		mheap_unlock(heap, flags);
		npages -= n;
		addr += n << GOALLOC_PAGE_SHIFT;
		/* Long ones are only returned where that may sleep. */
		if (npages)
			cond_resched();
	}
	scavenge_wake(heap);
}

/*
 * Gives the pages of a closed span back to the page allocator. Where some memory
 * has gone the rest goes, too, and the page is a hole, or its block goes.
 */
static void mheap_give_closed(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr = s->start_addr;
	u32 i;

	for (i = 0; i < s->npages; i++, addr += GOALLOC_PAGE_SIZE) {
		unsigned long flags, base;

		if (!backing_end_thin(heap, s, i)) {
			mheap_give_run(heap, addr, 1);
			continue;
		}
		flags = mheap_lock(heap);
		atomic64_dec(&heap->pages_in_use);
		atomic64_add(pagealloc_set_scavenged(&heap->pages, addr, 1),
			     &heap->pages_released);
		one_writer_add(heap->pages_holes, 1);
		base = linear_drop(heap, addr);
		mheap_chunk_changed(heap, mheap_chunk(heap, addr), addr);
		mheap_unlock(heap, flags);
		linear_dropped(base);
	}
	atomic64_sub((u64)hweight64(s->gone) << PAGE_SHIFT, &heap->thin_bytes);
}

/* Reserves pages under a limit; never over it, however many do. */
static bool charge(atomic64_t *charged, u64 npages, const u64 *max)
{
	s64 old = atomic64_read(charged);

	do {
		u64 most = READ_ONCE(*max) >> GOALLOC_PAGE_SHIFT;

		if (npages > most || old > most - npages)
			return false;
	} while (!atomic64_try_cmpxchg(charged, &old, old + npages));
	return true;
}

static bool mheap_charge(struct goalloc_heap *heap, u64 npages)
{
	if (!charge(&heap->pages_charged, npages, &heap->max))
		return false;
	if (charge(&goalloc_pages_charged, npages, &goalloc_max))
		return true;
	atomic64_sub(npages, &heap->pages_charged);
	return false;
}

/* If nothing else were in use. */
static bool mheap_could_charge(struct goalloc_heap *heap, u64 npages)
{
	return npages <= READ_ONCE(heap->max) >> GOALLOC_PAGE_SHIFT &&
	       npages <= READ_ONCE(goalloc_max) >> GOALLOC_PAGE_SHIFT;
}

static void mheap_uncharge(struct goalloc_heap *heap, u64 npages)
{
	atomic64_sub(npages, &goalloc_pages_charged);
	atomic64_sub(npages, &heap->pages_charged);
}

/**
 * linear_wall - pages of half a chunk were taken
 * @heap: a linear heap
 * @addr: heap address of one of them
 *
 * If it has no blocks yet it is walled off for those of the largest size (see
 * pallocbits.h).
 *
 * Context: the heap lock held.
 */
void linear_wall(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);

	if (!c->palloc.block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES])
		pagealloc_set_block(&heap->pages, addr, PALLOC_HALF_PAGES);
}

/* A run from the page allocator, in one piece under the heap lock. */
static u64 mheap_take_run(struct goalloc_heap *heap, u64 npages, u64 align_pages, bool block,
			  u64 *scav)
{
	unsigned long flags = mheap_lock(heap);
	u64 addr = align_pages > 1 ?
		pagealloc_alloc_aligned(&heap->pages, npages, align_pages, scav) :
		pagealloc_alloc(&heap->pages, npages, scav);

	if (addr) {
		if (block)
			linear_wall(heap, addr);
		mheap_use_pages(heap, npages, *scav);
		mheap_range_changed(heap, addr, npages);
	}
	mheap_unlock(heap, flags);
	return addr;
}

/*
 * A long run, piece by piece, so that the lock is held for a piece only. If
 * somebody takes a page of it meanwhile, what was taken till then is in @s for the
 * caller to give back.
 */
static u64 mheap_take_long(struct goalloc_heap *heap, struct mspan *s, u64 npages,
			   u64 align_pages, u64 *scav)
{
	unsigned long flags = mheap_lock(heap);
	u64 addr = pagealloc_find_run(&heap->pages, npages, align_pages);

	s->start_addr = addr;
	s->npages = 0;
	*scav = 0;
	while (addr && s->npages < npages) {
		u64 n = min_t(u64, npages - s->npages, MHEAP_PIECE_PAGES);
		u64 at = addr + mspan_bytes(s), x = pagealloc_try_range(&heap->pages, at, n);

		if (x == PAGEALLOC_REFUSED) {
			addr = 0;
			break;
		}
		mheap_use_pages(heap, n, x);
		mheap_range_changed(heap, at, n);
		*scav += x;
		s->npages += n;
		mheap_unlock(heap, flags);
		cond_resched();
		flags = mheap_lock(heap);
	}
	mheap_unlock(heap, flags);
	return addr;
}

/**
 * mheap_next - goes through all heaps
 * @heap: where it is, from mheap_next(), or NULL to begin
 *
 * Who ends before the last one calls mheap_put().
 *
 * Context: any.
 * Return: the next heap by number, which stays until it is given to mheap_next() again
 * or to mheap_put(); NULL behind the last one.
 */
struct goalloc_heap *mheap_next(struct goalloc_heap *heap)
{
	struct goalloc_heap *next = NULL, *h = heap;
	u64 id = heap ? heap->id + 1 : 0;

	rcu_read_lock();
	/*
	 * What follows a heap that has left the list may have left it, too, and be gone.
	 * One that has not left when we ask here is followed by one that stays for us.
	 */
	if (!heap || READ_ONCE(heap->ending))
		h = list_entry(&goalloc_heaps, typeof(*h), list);
	list_for_each_entry_continue_rcu(h, &goalloc_heaps, list) {
		/* Heaps are in the list in the order of their numbers. */
		if (h->id >= id && mheap_get(h)) {
			next = h;
			break;
		}
	}
	rcu_read_unlock();
	if (heap)
		mheap_put(heap);
	return next;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_next);

/* Would so many pages more pass the bound of all heaps? */
static bool mheap_all_full(u64 npages)
{
	u64 most = READ_ONCE(goalloc_max) >> GOALLOC_PAGE_SHIFT;

	return npages > most || atomic64_read(&goalloc_pages_charged) > (s64)(most - npages);
}

/*
 * Spans that are kept for large objects go; of all heaps, if the bound of all is met
 * and there is time for it. File heaps keep none.
 */
static void mheap_flush_large(struct goalloc_heap *heap, u64 npages, gfp_t gfp)
{
	struct goalloc_heap *h = NULL;

	large_cache_flush(heap);
	if (!gfpflags_allow_blocking(gfp) || !mheap_all_full(npages))
		return;
	while ((h = mheap_next(h))) {
		if (h->backing == BACKING_LINEAR)
			large_cache_flush(h);
		cond_resched();
	}
}

/* Until a moment at which no span is on its way back; or a fatal signal comes. */
static void mheap_wait_returning(struct goalloc_heap *heap)
{
	smp_mb(); /* pairs with the one in mheap_returning() */
	wait_var_event_killable(&heap->returning, !atomic_read_acquire(&heap->returning));
}

/* As mheap_alloc_span(); @vmapped: with pages of its own, mapped by vmalloc(). */
static struct mspan *mheap_try_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
				    u8 spc, u64 elemsize, bool vmapped, gfp_t gfp)
{
	bool linear = heap->backing == BACKING_LINEAR, flushed = false, ok;
	u64 run = npages, addr, scav = 0;
	struct mspan *s;
	int ret;

	/* Whole halves, so that what is left of one can have blocks. */
	if (vmapped)
		run = round_up(npages, PALLOC_HALF_PAGES);
	s = fixalloc_mspan(heap, spc, gfp);
	if (!s)
		return NULL;
	ok = mheap_charge(heap, run);
	if (!ok && (linear || gfpflags_allow_blocking(gfp))) {
		/* What CPUs and classes keep at hand may be what is missing. */
		mheap_flush_large(heap, run, gfp);
		if (!linear)
			mheap_returning(heap);
		mcache_flush_own(heap);
		if (!linear)
			mheap_returned(heap);
		mcentral_release_empty(heap);
		ok = mheap_charge(heap, run);
	}
	if (!ok && gfpflags_allow_blocking(gfp) && mheap_could_charge(heap, run)) {
		mcache_flush_others(heap, gfp);
		/* What was flushed of a heap that is mapped returns by work items. */
		if (!linear)
			mheap_wait_returning(heap);
		mcentral_release_empty(heap);
		ok = mheap_charge(heap, run);
	}
	if (!ok) {
		fixalloc_mspan_free_now(heap, s);
		return NULL;
	}
again:
	for (;;) {
		addr = 0;
		if (run <= PAGE_CACHE_RUN_MAX && align_pages == 1 && heap->page_caches)
			addr = mheap_take_cached(heap, run, &scav);
		if (!addr && run <= MHEAP_PIECE_PAGES)
			addr = mheap_take_run(heap, run, align_pages, linear && !vmapped, &scav);
		if (!addr && run > MHEAP_PIECE_PAGES) {
			addr = mheap_take_long(heap, s, run, align_pages, &scav);
			if (!addr && s->npages) {
				backing_decommit(heap, s);
				mheap_give_run(heap, s->start_addr, s->npages);
				continue;
			}
		}
		if (addr)
			break;
		/* Others may take what we made, again and again. */
		if (mheap_grow(heap, run + align_pages - 1, gfp) &&
		    !(gfpflags_allow_blocking(gfp) && fatal_signal_pending(current)))
			continue;
		if (flushed) {
			mheap_uncharge(heap, run);
			fixalloc_mspan_free_now(heap, s);
			return NULL;
		}
		/*
		 * What CPUs have set aside may be what is missing, or the address
		 * space of holes, or that between a gap and chunks that are empty.
		 */
		mheap_flush_page_caches(heap);
		if (gfpflags_allow_blocking(gfp)) {
			scavenge_blocks(heap);
			mheap_release_tables(heap, 0, 0);
		}
		flushed = true;
	}

	mspan_init(s, heap, spc, addr, run, elemsize);
	s->vmapped = vmapped;
	s->needzero = scav != run || (!linear && SPARSE_UNIT_PAGES > 1);
	WRITE_ONCE(s->sweepgen, READ_ONCE(heap->sweepgen));
	ret = backing_commit(heap, s, gfp);
	if (ret == -EAGAIN) {
		/* Blocks got shorter meanwhile, and the run lies in two of them. */
		mheap_give_run(heap, addr, run);
		goto again;
	}
	if (ret)
		goto fail;
	WRITE_ONCE(s->state, MSPAN_IN_USE);
	if (backing_map_span(heap, s, gfp)) {
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s, true);
		backing_decommit(heap, s);
		goto fail;
	}
	checkers_span(s);
	atomic64_inc(&heap->nspans);
	atomic_inc(&s->central->nspans);
	/* Records and tables count too. */
	if (!linear)
		scavenge_at_limit(heap);
	return s;

fail:
	mheap_give_run(heap, addr, run);
	mheap_uncharge(heap, run);
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
 * a max would be passed.
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
	/*
	 * No block holds it, or none that does is to be had. For more than the machine has
	 * tables would be made, and idle memory given back, in vain.
	 */
	if (!s && map && npages > PALLOC_BLOCK_MIN &&
	    npages << GOALLOC_PAGE_SHIFT >> PAGE_SHIFT <= totalram_pages())
		s = mheap_try_span(heap, npages, align_pages, spc, elemsize, true, gfp);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_alloc_span);

/* As mheap_return_span(). False if the caller may not sleep, and it takes that. */
static bool mheap_try_return(struct mspan *s, bool may_sleep)
{
	struct goalloc_heap *heap = s->heap;

	WRITE_ONCE(s->state, MSPAN_DEAD);
	if (!backing_unmap_span(heap, s, may_sleep))
		return false;
	backing_decommit(heap, s);
	atomic64_dec(&heap->nspans);
	if (unlikely(mspan_is_closed(s)))
		mheap_give_closed(heap, s);
	else if (mheap_puts_cached(heap, s))
		mheap_put_cached(heap, s->start_addr, s->npages);
	else
		mheap_give_run(heap, s->start_addr, s->npages);
	mheap_uncharge(heap, s->npages);
	gc_bits_free(s);
	atomic_dec(&s->central->nspans);
	fixalloc_mspan_free(heap, s);
	return true;
}

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
	mheap_try_return(s, true);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_return_span);

/**
 * mheap_returning - a span, or several, are on their way back
 * @heap: the heap
 *
 * Before they leave the mcache or the set they are in. Who meets the max of a file
 * heap waits for them, and so does a heap's end. Ended by mheap_returned().
 *
 * Context: any but NMI.
 */
void mheap_returning(struct goalloc_heap *heap)
{
	atomic_inc(&heap->returning);
	/* Who no longer sees them there sees that: mheap_wait_returning(). */
	smp_mb__after_atomic();
}

/**
 * mheap_returned - they have been returned
 * @heap: the heap, which may end with that
 *
 * Context: task.
 */
void mheap_returned(struct goalloc_heap *heap)
{
	/* What waits is known by its address alone. */
	if (atomic_dec_and_test(&heap->returning))
		wake_up_var(&heap->returning);
}

static void mheap_return_workfn(struct work_struct *work)
{
	struct mspan *s = container_of(work, struct mspan, work);
	struct goalloc_heap *heap = s->heap;

	mheap_return_span(s);
	mheap_returned(heap);
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
	bool may_sleep = preemptible() && !rcu_preempt_depth() && !READ_ONCE(cpu_dead);
	bool sleeps = s->vmapped || s->npages > MHEAP_INLINE_PAGES || mspan_is_closed(s) ||
		      READ_ONCE(s->heap->mapped);

	/* It may be mapped just now. */
	if ((may_sleep || !sleeps) && mheap_try_return(s, may_sleep))
		return;
	mheap_returning(s->heap);
	INIT_WORK(&s->work, mheap_return_workfn);
	queue_work(goalloc_wq, &s->work);
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
	central = alloc_pages_exact(size, fixalloc_gfp(heap, gfp));
	if (!central)
		return false;
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		mcentral_init(&central[i], heap, i);
	/*
	 * Full barrier: whoever sees the pointer sees the locks. Who comes second writes
	 * nothing; those who read it plainly have seen it.
	 */
	if (data_race(cmpxchg(&heap->central, NULL, central)))
		free_pages_exact(central, size);
	else
		mheap_count(&heap->other_bytes, size);
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
	heap = kvzalloc(sizeof(*heap), gfp | __GFP_NOWARN);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	mheap_count(&heap->other_bytes, sizeof(*heap));
	raw_spin_lock_init(&heap->lock);
	heap->backing = backing;
	heap->limit = params && params->limit ? params->limit : GOALLOC_NO_LIMIT;
	heap->max = params && params->max ? params->max : GOALLOC_NO_LIMIT;
	heap->gc_percent = GOALLOC_NO_LIMIT;
	/* Where several heap pages share a page their bits could go stale in a cache. */
	heap->page_caches = backing == BACKING_LINEAR || SPARSE_UNIT_PAGES == 1;
	heap->cur_arena = GOALLOC_HEAP_BASE;
	refcount_set(&heap->users, 1);
	init_completion(&heap->unused);
	pagealloc_init(&heap->pages, &heap->lock);
	heap->pages.meta_total = &goalloc_held;
	if (IS_ENABLED(CONFIG_FAULT_INJECTION))
		heap->pages.fail_node = mheap_fail_node;
	init_waitqueue_head(&heap->limit_wait);
	heap->bg_next = jiffies;
	heap->scav_again = jiffies;
	heap->scav_below = GOALLOC_HEAP_END;
	/* Half of the address space remains for what is in use. */
	heap->holes_max = GOALLOC_NR_PAGES / 2;
	heap->idle_since = jiffies;
	sweep_init(heap);
	if (mcache_init(heap, own)) {
		mheap_count(&heap->other_bytes, -(s64)sizeof(*heap));
		kvfree(heap);
		return ERR_PTR(-ENOMEM);
	}

	mutex_lock(&goalloc_heaps_mutex);
	heap->id = next_heap_id++;
	if (params && params->name)
		strscpy(heap->name, params->name, sizeof(heap->name));
	else
		snprintf(heap->name, sizeof(heap->name), "heap%llu", heap->id);
	list_add_tail_rcu(&heap->list, &goalloc_heaps);
	mutex_unlock(&goalloc_heaps_mutex);
	/* It allocates, for the opener of a file, and nobody is to wait for that. */
	goalloc_debugfs_add(heap);
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
	u64 addr = GOALLOC_HEAP_BASE;
	struct mspan *s;
	u8 class;

	while ((s = mheap_next_span(heap, &addr))) {
		u32 n = mspan_objects(s);

		live[spanclass_sizeclass(s->spanclass)] += n;
		bytes += mspan_live(s) * s->elemsize;
		all += n;
	}
	if (!all)
		return;
	pr_warn("goalloc: heap %llu \"%s\" destroyed with %llu objects, %llu bytes, not freed\n",
		heap->id, heap->name, all, bytes);
	for (class = 0; class < GOALLOC_NUM_SIZE_CLASSES; class++)
		if (live[class])
			pr_warn("goalloc:   class %u (%u bytes): %llu not freed\n", class,
				goalloc_class_to_size[class], live[class]);
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
	u64 addr = GOALLOC_HEAP_BASE;
	struct mspan *s;
	int cpu;

	mutex_lock(&goalloc_heaps_mutex);
	/* Before it leaves: see mheap_next(). */
	WRITE_ONCE(heap->ending, true);
	list_del_rcu(&heap->list);
	mutex_unlock(&goalloc_heaps_mutex);
	/* Nobody finds it any more, and who did gives its memory back. */
	if (!refcount_dec_and_test(&heap->users))
		wait_for_completion(&heap->unused);
	/* Waits for whoever is in one of its files: others go on meanwhile. */
	goalloc_debugfs_remove(heap);

	/* No mapping is left, or the file would still be open. */
	WRITE_ONCE(heap->mapped, false);
	sweep_stop(heap);
	for_each_possible_cpu(cpu)
		mcache_flush_cpu(heap, cpu);
	/* What a cycle found dead is no leak. */
	if (!quiet)
		sweep_finish(heap);
	/* Its own spans on their way back, and nobody else's. */
	wait_var_event(&heap->returning, !atomic_read_acquire(&heap->returning));
	class_destroy_all(heap, quiet);
	if (!quiet)
		mheap_report_leaks(heap);

	while ((s = mheap_next_span(heap, &addr))) {
		checkers_span_ends(s);
		mcentral_end_span(s);
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s, true);
		if (s->vmapped)
			backing_decommit(heap, s);
		if (mspan_is_closed(s))
			mheap_give_closed(heap, s);
		gc_bits_free(s);
		fixalloc_mspan_free(heap, s);
		cond_resched();
	}
	backing_destroy(heap);
	percpu_counter_sub(&goalloc_idle, heap->pages_idle);
	atomic64_sub(atomic64_read(&heap->pages_charged), &goalloc_pages_charged);
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
		  "goalloc: heap %llu ends with %lld bytes of pages, %lld of spans, %lld of mcaches, %lld of tables\n",
		  heap->id, atomic64_read(&heap->backed), atomic64_read(&heap->mspan_bytes),
		  atomic64_read(&heap->mcache_bytes), atomic64_read(&heap->gc_bytes));
	if (heap->central)
		free_pages_exact(heap->central, GOALLOC_ALL_CENTRALS * sizeof(*heap->central));
	mheap_count(&heap->other_bytes, -atomic64_read(&heap->other_bytes));
	/* A search of the heaps may be looking at it. */
	kvfree_rcu(heap, rcu);
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

/* A CPU is dead: its caches hold spans and pages that others can use. */
static int mheap_cpu_dead(unsigned int cpu)
{
	struct goalloc_heap *heap;

	mutex_lock(&goalloc_heaps_mutex);
	/* Nothing that takes long, or locks of mappings, under hotplug's lock. */
	WRITE_ONCE(cpu_dead, true);
	list_for_each_entry(heap, &goalloc_heaps, list) {
		mcache_flush_cpu(heap, cpu);
		mheap_flush_page_cache(heap, &per_cpu_ptr(heap->mcache, cpu)->pages);
	}
	WRITE_ONCE(cpu_dead, false);
	mutex_unlock(&goalloc_heaps_mutex);
	return 0;
}

/* Parameters can still be set, and would let the background scavenger run. */
static void mheap_end_wq(void)
{
	struct workqueue_struct *wq = goalloc_wq;

	kernel_param_lock(THIS_MODULE);
	WRITE_ONCE(goalloc_wq, NULL);
	kernel_param_unlock(THIS_MODULE);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	destroy_workqueue(wq);
	destroy_workqueue(goalloc_flush_wq);
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

	/* Memory comes back by them, and reclaim may be what waits. */
	goalloc_flush_wq = alloc_workqueue("goalloc_flush", WQ_MEM_RECLAIM, 0);
	if (!goalloc_flush_wq)
		return -ENOMEM;
	goalloc_wq = alloc_workqueue("goalloc", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!goalloc_wq) {
		destroy_workqueue(goalloc_flush_wq);
		return -ENOMEM;
	}
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
	mheap_end_wq();
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
	mheap_end_wq();
}
