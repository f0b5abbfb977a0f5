// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-CPU page caches: see pagecache.h.
 */
#include <linux/bitops.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/topology.h>

#include "backing.h"
#include "compat.h"
#include "counter.h"
#include "mcache.h"
#include "mheap.h"
#include "pagecache.h"
#include "scavenge.h"

/* Sets of pages on other nodes that a page cache passes by. */
#define MHEAP_FAR_SETS		3

/**
 * page_cache_init - makes an empty cache
 * @c: the cache
 *
 * Context: any.
 */
void page_cache_init(struct page_cache *c)
{
	raw_spin_lock_init(&c->lock);
	c->set = (struct pagealloc_set) {};
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_init);

/*
 * The lowest place where @n pages in a row are set and lie in one block, or 64
 * (Go: findBitRange64). A run of a + b is one of a with one of b right above,
 * so the length at hand doubles with each step.
 */
static u32 find_run(u64 pages, u32 n, u32 block_pages)
{
	u32 have = 1, i;

	while (pages && have < n) {
		u32 step = min(have, n - have);

		pages &= pages >> step;
		have += step;
	}
	/* Where a run may begin in a block, the same in each of them. */
	if (block_pages < PAGE_CACHE_PAGES) {
		u64 starts = 0;

		for (i = 0; i < PAGE_CACHE_PAGES; i += block_pages)
			starts |= GENMASK_ULL(block_pages - n, 0) << i;
		pages &= starts;
	}
	return pages ? __ffs64(pages) : PAGE_CACHE_PAGES;
}

/**
 * page_cache_take - takes a run of pages (Go: pageCache.alloc, allocN)
 * @c: the cache
 * @npages: heap pages, 1 to PAGE_CACHE_RUN_MAX
 * @block_pages: the length of the blocks that the run must not cross between, a
 *	power of two of at least PALLOC_BLOCK_MIN
 * @scav: how many of the pages had their scavenged bit set
 *
 * Context: any but NMI; the cache's lock held.
 * Return: the address of the lowest run, or 0 if there is none that long.
 */
u64 page_cache_take(struct page_cache *c, u32 npages, u32 block_pages, u32 *scav)
{
	u32 i = find_run(c->set.pages, npages, block_pages);
	u64 run;

	lockdep_assert_held(&c->lock);
	if (i == PAGE_CACHE_PAGES)
		return 0;
	run = GENMASK_ULL(i + npages - 1, i);
	*scav = hweight64(c->set.scavenged & run);
	c->set.pages &= ~run;
	c->set.scavenged &= ~run;
	return c->set.base + ((u64)i << GOALLOC_PAGE_SHIFT);
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_take);

/**
 * page_cache_back - pages have memory now
 * @c: the cache
 * @addr: heap address of the first
 * @npages: how many
 *
 * Context: any but NMI; the cache's lock held.
 * Return: how many pages of the cache had their scavenged bit set till now.
 */
u32 page_cache_back(struct page_cache *c, u64 addr, u32 npages)
{
	u64 end = addr + ((u64)npages << GOALLOC_PAGE_SHIFT);
	u64 base = c->set.base, last = base + ((u64)PAGE_CACHE_PAGES << GOALLOC_PAGE_SHIFT);
	u64 mask;
	u32 n;

	lockdep_assert_held(&c->lock);
	if (!c->set.scavenged || end <= base || addr >= last)
		return 0;
	addr = max(addr, base);
	end = min(end, last);
	mask = GENMASK_ULL(((end - base) >> GOALLOC_PAGE_SHIFT) - 1,
			   (addr - base) >> GOALLOC_PAGE_SHIFT);
	n = hweight64(c->set.scavenged & mask);
	c->set.scavenged &= ~mask;
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_back);

/*
 * Pages set aside may have got memory since. The heap lock and the cache's are
 * held.
 */
static void page_cache_refresh(struct goalloc_heap *heap, struct page_cache *pc)
{
	u32 i;

	for (i = 0; i < PAGE_CACHE_PAGES && pc->set.scavenged; i += GOALLOC_GRANULE_PAGES) {
		u64 addr = pc->set.base + ((u64)i << GOALLOC_PAGE_SHIFT);

		if (backing_block(heap, addr))
			atomic64_sub(page_cache_back(pc, addr, GOALLOC_GRANULE_PAGES),
				     &heap->pages_released);
	}
}

/* Gives the pages of a cache back (Go: pageCache.flush). Its lock is held. */
static void mheap_give_set(struct goalloc_heap *heap, struct page_cache *pc)
{
	unsigned long flags;

	if (!pc->set.pages)
		return;
	flags = mheap_lock(heap);
	if (heap->backing == BACKING_LINEAR)
		page_cache_refresh(heap, pc);
	pagealloc_give_set(&heap->pages, &pc->set);
	if (heap->backing == BACKING_LINEAR)
		linear_released(heap, pc->set.base, 1);
	mheap_chunk_changed(heap, mheap_chunk(heap, pc->set.base), pc->set.base);
	mheap_unlock(heap, flags);
	pc->set = (struct pagealloc_set) {};
}

/**
 * mheap_flush_page_cache - gives the pages that a CPU has set aside back
 * @heap: the heap
 * @pc: the CPU's
 *
 * Context: any but NMI; no lock held.
 */
void mheap_flush_page_cache(struct goalloc_heap *heap, struct page_cache *pc)
{
	unsigned long flags;

	if (page_cache_empty(pc))
		return;
	raw_spin_lock_irqsave(&pc->lock, flags);
	mheap_give_set(heap, pc);
	raw_spin_unlock_irqrestore(&pc->lock, flags);
}

/**
 * mheap_flush_page_caches - gives the pages that CPUs have set aside back
 * @heap: the heap
 *
 * Those of spans that are kept for large objects, too.
 *
 * Context: any but NMI; no lock held.
 */
void mheap_flush_page_caches(struct goalloc_heap *heap)
{
	int cpu;

	large_cache_flush(heap);
	for_each_possible_cpu(cpu)
		mheap_flush_page_cache(heap, &per_cpu_ptr(heap->mcache, cpu)->pages);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_flush_page_caches);

/**
 * mheap_back_cached - a block is behind pages that CPUs may have set aside
 * @heap: a linear heap
 * @addr: heap address of the block
 * @npages: its length
 *
 * Context: any but NMI; no lock held.
 */
void mheap_back_cached(struct goalloc_heap *heap, u64 addr, u32 npages)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct page_cache *pc = &per_cpu_ptr(heap->mcache, cpu)->pages;
		unsigned long flags;

		if (page_cache_empty(pc))
			continue;
		raw_spin_lock_irqsave(&pc->lock, flags);
		atomic64_sub(page_cache_back(pc, addr, npages), &heap->pages_released);
		raw_spin_unlock_irqrestore(&pc->lock, flags);
	}
}

/* Is the memory behind a page of this CPU's node, or will it be when it comes? */
static bool linear_is_near(struct goalloc_heap *heap, u64 addr)
{
	const void *base = backing_block(heap, addr);

	return !base || page_to_nid(virt_to_page(base)) == numa_mem_id();
}

/*
 * Pages for a cache, the lowest there are. With several nodes the lowest of a few
 * sets whose memory is near; on one node nothing of this is looked at. The heap
 * lock is held.
 */
static bool mheap_take_set(struct goalloc_heap *heap, struct pagealloc_set *set)
{
	struct pagealloc_set far[MHEAP_FAR_SETS];
	bool found = pagealloc_take_set(&heap->pages, set);
	u32 n = 0;

	if (nr_online_nodes == 1 || heap->backing == BACKING_SPARSE)
		return found;
	while (found && n < MHEAP_FAR_SETS && !linear_is_near(heap, set->base)) {
		far[n++] = *set;
		found = pagealloc_take_set(&heap->pages, set);
	}
	/* None near: the lowest after all. */
	if (n && (!found || !linear_is_near(heap, set->base))) {
		if (found)
			pagealloc_give_set(&heap->pages, set);
		*set = far[0];
		far[0] = far[--n];
		found = true;
	}
	while (n)
		pagealloc_give_set(&heap->pages, &far[--n]);
	return found;
}

/**
 * mheap_take_cached - takes a short run of pages that this CPU has set aside
 * @heap: the heap
 * @npages: heap pages, 1 to PAGE_CACHE_RUN_MAX
 * @scav: how many of them counted as released until here
 *
 * If it has none left it sets some aside first (Go: mheap.allocSpan, allocToCache).
 *
 * Context: any but NMI; no lock held.
 * Return: the address, or 0 if there is no such run.
 */
u64 mheap_take_cached(struct goalloc_heap *heap, u64 npages, u64 *scav)
{
	bool linear = heap->backing == BACKING_LINEAR;
	unsigned long flags, inner;
	u32 n = 0, block = PAGE_CACHE_PAGES;
	struct page_cache *pc;
	u64 addr = 0;

	/* Of the CPU that this runs on, so that it is none that is dead. */
	local_irq_save(flags);
	pc = &this_cpu_ptr(heap->mcache)->pages;
	raw_spin_lock(&pc->lock);
	if (!pc->set.pages) {
		inner = mheap_lock(heap);
		one_writer_add(heap->refills, 1);
		if (mheap_take_set(heap, &pc->set)) {
			if (linear)
				linear_wall(heap, pc->set.base);
			mheap_chunk_changed(heap, mheap_chunk(heap, pc->set.base), pc->set.base);
		}
		mheap_unlock(heap, inner);
	}
	if (pc->set.pages) {
		if (linear) {
			struct goalloc_chunk *c = mheap_chunk(heap, pc->set.base);

			/* Should it get shorter just now, linear_commit() sees to that. */
			block = READ_ONCE(c->palloc.block_pages[goalloc_chunk_page(pc->set.base) /
								PALLOC_HALF_PAGES]);
		}
		addr = page_cache_take(pc, npages, block, &n);
	}
	*scav = n;
	if (addr)
		mheap_use_pages(heap, npages, n);
	raw_spin_unlock(&pc->lock);
	local_irq_restore(flags);
	return addr;
}

/**
 * mheap_put_cached - gives a short run to the pages that this CPU has set aside
 * @heap: the heap
 * @addr: heap address of the run, as mheap_puts_cached() wants it
 * @npages: heap pages
 *
 * If these lie elsewhere they are given back for it. In Go each run goes to the page
 * allocator. Here spans come and go one by one, and what is freed in a row lies close
 * together: of 64 pages the heap lock is taken for one.
 *
 * Context: any but NMI; no lock held.
 */
void mheap_put_cached(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 first = goalloc_page_index(addr), base = round_down(first, PAGE_CACHE_PAGES);
	struct page_cache *pc;
	unsigned long flags;

	/* Of the CPU that this runs on, so that it is none that is dead. */
	local_irq_save(flags);
	pc = &this_cpu_ptr(heap->mcache)->pages;
	raw_spin_lock(&pc->lock);
	if (pc->set.base != goalloc_page_addr(base)) {
		mheap_give_set(heap, pc);
		pc->set.base = goalloc_page_addr(base);
	}
	/* The block behind them is there as long as they are in no summary. */
	pc->set.pages |= GENMASK_ULL(npages - 1, 0) << (first - base);
	atomic64_sub(npages, &heap->pages_in_use);
	raw_spin_unlock(&pc->lock);
	local_irq_restore(flags);
	scavenge_wake(heap);
}

/**
 * mheap_puts_cached - is a span's run one that a CPU sets aside when it is returned
 * @heap: the heap
 * @s: the span
 *
 * Context: any.
 * Return: true if so.
 */
bool mheap_puts_cached(struct goalloc_heap *heap, const struct mspan *s)
{
	u64 first = goalloc_page_index(s->start_addr);

	return heap->backing == BACKING_LINEAR && heap->page_caches && !s->vmapped &&
	       s->npages <= PAGE_CACHE_RUN_MAX &&
	       !((first ^ (first + s->npages - 1)) & ~(u64)(PAGE_CACHE_PAGES - 1)) &&
	       (nr_online_nodes == 1 ||
		page_to_nid(virt_to_page((void *)s->base)) == numa_mem_id());
}
