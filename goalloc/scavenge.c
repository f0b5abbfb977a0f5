// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle memory back to the system (Go: mgcscavenge.go).
 */
#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>

#include "backing.h"
#include "compat.h"
#include "mcentral.h"
#include "scavenge.h"
#include "sparse.h"

/* What is given back at once for the limit's sake, if as much is idle. */
#define SCAVENGE_LIMIT_BYTES	SZ_128K

/**
 * struct scavenge_run - pages on their way out
 * @addr: heap address of the first
 * @npages: how many: up to 64 of a word of a sparse chunk, or a linear block
 */
struct scavenge_run {
	u64 addr;
	u32 npages;
};

/**
 * mheap_held - how much memory a heap has (Go: what GOMEMLIMIT is about)
 * @heap: the heap
 *
 * Context: any. Not exact while others allocate.
 * Return: bytes of pages behind it and of all that describes them.
 */
u64 mheap_held(struct goalloc_heap *heap)
{
	return atomic64_read(&heap->backed) + atomic64_read(&heap->mspan_bytes) +
	       atomic64_read(&heap->mcache_bytes) + atomic64_read(&heap->gc_bytes) +
	       atomic64_read(&heap->other_bytes) + atomic64_read(&heap->pages.meta_bytes);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_held);

/**
 * scavenge_goal - what to hold under a soft limit
 * @limit: the limit in bytes
 *
 * Return: 95 % of it, as in Go; no limit stays none.
 */
u64 scavenge_goal(u64 limit)
{
	return limit == GOALLOC_NO_LIMIT ? limit : limit - limit / 20;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_goal);

/* Idle and backed, in bytes. */
static u64 scavenge_idle(struct goalloc_heap *heap)
{
	unsigned long flags = mheap_lock(heap);
	u64 pages = heap->pages_sys - heap->pages_in_use - heap->pages_released;

	mheap_unlock(heap, flags);
	return pages << GOALLOC_PAGE_SHIFT;
}

/* The highest pages of a word that are idle and backed; at most @max. */
static bool sparse_candidate(const struct palloc_chunk *c, u32 below, u32 max, u32 *first,
			     u32 *n)
{
	u32 word;

	for (word = DIV_ROUND_UP(below, 64); word--;) {
		u64 can = ~(u64)c->data.alloc.b[word] & ~(u64)c->data.scavenged.b[word];
		u64 stop;
		u32 last;

		if (below < (word + 1) * 64)
			can &= BIT_ULL(below % 64) - 1;
		if (!can)
			continue;
		last = __fls(can);
		stop = ~(can << (63 - last));
		*n = min_t(u32, stop ? 63 - __fls(stop) : 64, max);
		*first = word * 64 + last + 1 - *n;
		return true;
	}
	return false;
}

/* The highest block that is idle as a whole. */
static bool linear_candidate(const struct goalloc_chunk *c, u32 below, u32 *first, u32 *n)
{
	int half;

	for (half = 1; half >= 0; half--) {
		u32 base = half * PALLOC_HALF_PAGES;
		u32 pages = c->palloc.block_pages[half];
		u32 i;

		if (!pages || below <= base)
			continue;
		i = round_down(min(below - base, PALLOC_HALF_PAGES), pages);
		while (i) {
			i -= pages;
			if (!c->granule[(base + i) / GOALLOC_GRANULE_PAGES])
				continue;
			if (find_next_bit(c->palloc.data.alloc.b, base + i + pages, base + i) <
			    base + i + pages)
				continue;
			*first = base + i;
			*n = pages;
			return true;
		}
	}
	return false;
}

/*
 * Takes the highest pages below *@below that can be given back out of the page
 * allocator, and lowers *@below to them. The search goes down chunk by chunk,
 * and the lock is free between two.
 */
static bool scavenge_take(struct goalloc_heap *heap, u64 *below, u32 max,
			  struct scavenge_run *run)
{
	while (*below > GOALLOC_HEAP_BASE && !fatal_signal_pending(current)) {
		u64 base = round_down(*below - 1, PALLOC_CHUNK_SIZE);
		struct goalloc_chunk *c = mheap_chunk(heap, base);
		u32 end = (*below - base) >> GOALLOC_PAGE_SHIFT, first;
		unsigned long flags = mheap_lock(heap);
		bool found = false;

		if (c && c->palloc.ready)
			found = heap->backing == BACKING_SPARSE ?
				sparse_candidate(&c->palloc, end, max, &first, &run->npages) :
				linear_candidate(c, end, &first, &run->npages);
		if (found) {
			run->addr = base + ((u64)first << GOALLOC_PAGE_SHIFT);
			heap->pages_released -=
				pagealloc_alloc_range(&heap->pages, run->addr, run->npages);
			*below = run->addr;
		} else {
			/* All of the chunk was looked at, and those above before. */
			if (end == PALLOC_CHUNK_PAGES && heap->scav_addr == *below)
				heap->scav_addr = base;
			*below = base;
		}
		mheap_unlock(heap, flags);
		if (found)
			return true;
		cond_resched();
	}
	return false;
}

/*
 * The pages are idle again, and those that have no memory now are scavenged. A
 * slow first touch of a span that is long gone may have put a page where one was
 * just given back; it is asked for here, under the lock that the slow one takes
 * next to say so.
 */
static void scavenge_give(struct goalloc_heap *heap, const struct scavenge_run *run)
{
	unsigned long flags = mheap_lock(heap);
	u64 addr = run->addr;
	u32 i, stay = 0;

	if (heap->backing == BACKING_LINEAR)
		pagealloc_set_scavenged(&heap->pages, addr, run->npages);
	else
		for (i = 0; i < run->npages; i++, addr += GOALLOC_PAGE_SIZE) {
			if (sparse_is_backed(heap, addr))
				stay++;
			else
				pagealloc_set_scavenged(&heap->pages, addr, 1);
		}
	/* Another search may have passed by what stays. */
	if (stay)
		scavenge_freed(heap, run->addr, run->npages);
	heap->pages_released += pagealloc_count_scavenged(&heap->pages, run->addr, run->npages);
	pagealloc_free(&heap->pages, run->addr, run->npages);
	mheap_unlock(heap, flags);
}

/**
 * scavenge - gives idle memory back (Go: pageAlloc.scavenge)
 * @heap: the heap
 * @bytes: how much is wanted; GOALLOC_NO_LIMIT for all that is idle
 * @cause: why, for the books
 *
 * Stops early when a fatal signal comes. With @bytes of GOALLOC_NO_LIMIT the
 * spans go first that classes keep in reserve though nothing lives in them.
 *
 * Context: task, sleeps; no lock held but mmap_lock.
 * Return: bytes given back: @bytes or more, unless less was idle or somebody
 * still had references to some of it.
 */
u64 scavenge(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause)
{
	struct scavenge_run run;
	u64 released = 0, below;

	if (bytes == GOALLOC_NO_LIMIT)
		mcentral_release_empty(heap);
	below = READ_ONCE(heap->scav_addr);
	while (released < bytes) {
		u64 left = (bytes - released - 1) / GOALLOC_PAGE_SIZE + 1;
		u64 n;

		if (!scavenge_take(heap, &below, min(left, 64ULL), &run))
			break;
		if (heap->backing == BACKING_SPARSE) {
			n = sparse_release(heap, run.addr, run.npages);
		} else {
			linear_release(heap, run.addr);
			n = run.npages;
		}
		scavenge_give(heap, &run);
		released += n << GOALLOC_PAGE_SHIFT;
		cond_resched();
	}
	atomic64_inc(&heap->scav_count[cause]);
	atomic64_add(released, &heap->scav_bytes[cause]);
	return released;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge);

/**
 * scavenge_make_room - idle memory goes before the soft limit is passed
 * @heap: the heap
 * @bytes: what it is about to get
 *
 * Context: task, sleeps; no lock held but mmap_lock.
 */
void scavenge_make_room(struct goalloc_heap *heap, u64 bytes)
{
	u64 goal = scavenge_goal(READ_ONCE(heap->limit));
	u64 held = mheap_held(heap);

	if (held + bytes <= goal || !scavenge_idle(heap))
		return;
	scavenge(heap, max_t(u64, held + bytes - goal, SCAVENGE_LIMIT_BYTES), SCAVENGE_LIMIT);
}

/**
 * scavenge_tell - wakes those who poll, if the soft limit is reached
 * @heap: the heap
 *
 * Context: task.
 */
void scavenge_tell(struct goalloc_heap *heap)
{
	if (wq_has_sleeper(&heap->limit_wait) && mheap_held(heap) >= READ_ONCE(heap->limit))
		wake_up_interruptible_poll(&heap->limit_wait, EPOLLPRI);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_tell);
