/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sparse backing: the memory of file heaps, a unit at a time (Go: mem_linux.go,
 * where the operating system does this). A unit is a heap page, or a page where
 * PAGE_SIZE is larger than that: then several heap pages share it, of which some
 * may be of one span, some of another, and some idle.
 *
 * Each chunk has a table of the pages behind its units, built at the first touch
 * in it. The heap has a reference to each of its pages, every mapping of a process
 * has one, and so has whoever uses a page just now. What holds:
 *
 *  - A page is entered with the chunk's lock held and a span in use found under
 *    that lock. Whoever takes a span away first makes it impossible to be found,
 *    then takes that lock. So once he has had it there are no more pages behind
 *    the span than there are then, until another span comes: idle memory is not
 *    touched.
 *  - A page leaves the heap only while the heap's reference is the only one
 *    (page_ref_freeze()). So nobody ever sees a page that is no longer the
 *    heap's, whatever mapping or reference they kept.
 *  - Where PAGE_SIZE is smaller than a heap page, its pages leave together, when
 *    all of them can. So a reference to one of them keeps them all.
 *  - Where it is larger, a page leaves when all heap pages of the unit are idle;
 *    and one that comes backs the idle ones as well, as their scavenged bits say.
 *  - An entry with whose page somebody has a reference does not change.
 *  - A page is put into page tables (by the kernel, after sparse_fault()) with its
 *    lock held and its span found in use under that lock. Whoever takes a span
 *    away first makes it impossible to be found, then waits for pages that are
 *    just entered, takes and releases the lock of each of its pages, and then
 *    takes the range out of all page tables: nothing can come after that, but for
 *    a neighbour's sake where a page is shared.
 *  - A chunk and its table may go once all of it is idle and nothing is backed.
 *    They are looked at under RCU, or by somebody who has a span there, or pages.
 *
 * Lock order: mmap_lock of a process, then the lock of a page; the mapping's
 * i_mmap_rwsem and page tables, as everywhere in the kernel. None of the heap's
 * locks is held when one of these is taken. A chunk's lock is outside the heap
 * lock.
 */
#ifndef GOALLOC_SPARSE_H
#define GOALLOC_SPARSE_H

#include <linux/math.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include <linux/uio.h>

#include "layout.h"

struct goalloc_chunk;
struct goalloc_heap;
struct mspan;

/* Heap pages of a unit, its bytes, and units of a chunk. */
#define SPARSE_UNIT_PAGES	((u32)DIV_ROUND_UP(PAGE_SIZE, GOALLOC_PAGE_SIZE))
#define SPARSE_UNIT_SIZE	(SPARSE_UNIT_PAGES * GOALLOC_PAGE_SIZE)
#define SPARSE_CHUNK_UNITS	(PALLOC_CHUNK_PAGES / SPARSE_UNIT_PAGES)

/* A word of a chunk's bits has whole units. */
static_assert(SPARSE_UNIT_PAGES <= 32);

/* The index of an address's unit in its chunk. */
static inline u32 sparse_unit(u64 addr)
{
	return goalloc_chunk_page(addr) / SPARSE_UNIT_PAGES;
}

/* Of the bits of 64 heap pages those in units of which all are set. */
static inline u64 sparse_whole_units(u64 bits)
{
	u32 n;

	for (n = 1; n < SPARSE_UNIT_PAGES; n *= 2)
		bits &= bits >> n;
	/* Now the first bit of a unit says it for all. */
	if (SPARSE_UNIT_PAGES > 1)
		bits &= ~0ULL / ((1ULL << SPARSE_UNIT_PAGES) - 1);
	for (n = 1; n < SPARSE_UNIT_PAGES; n *= 2)
		bits |= bits << n;
	return bits;
}

int sparse_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
bool sparse_unmap_span(struct goalloc_heap *heap, struct mspan *s, bool may_sleep);
void sparse_decommit(struct goalloc_heap *heap, struct mspan *s);
bool sparse_zero(struct goalloc_heap *heap, u64 addr, u64 len);
u32 sparse_release(struct goalloc_heap *heap, u64 addr, u32 npages);
bool sparse_is_backed(struct goalloc_heap *heap, u64 addr);
void sparse_free_chunk_pages(struct goalloc_heap *heap, struct goalloc_chunk *c);
void sparse_destroy(struct goalloc_heap *heap);

void sparse_mmap(struct goalloc_heap *heap);
vm_fault_t sparse_fault(struct goalloc_heap *heap, struct vm_fault *vmf);
ssize_t sparse_iter(struct goalloc_heap *heap, u64 addr, struct iov_iter *iter, bool write);
u64 sparse_seek(struct goalloc_heap *heap, u64 addr, bool data);
#if IS_ENABLED(CONFIG_KUNIT)
extern void (*sparse_after_look)(struct goalloc_heap *heap, struct page *page);
extern void (*sparse_after_unset)(struct goalloc_heap *heap);
extern void (*sparse_before_entry)(struct goalloc_heap *heap, struct page *page);
#endif

#endif /* GOALLOC_SPARSE_H */
