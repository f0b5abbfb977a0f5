/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layout of a heap's address space.
 *
 * A heap address is a u64 of the heap's own address space, no pointer. The
 * space begins at GOALLOC_HEAP_BASE, Go's first arena hint on 64-bit Linux,
 * and its address less the base is the offset from which all indices come:
 *
 *	arena	offset >> GOALLOC_ARENA_SHIFT	64 MiB, 16 chunks
 *	chunk	offset >> PALLOC_CHUNK_SHIFT	4 MiB, 512 heap pages
 *	page	offset >> GOALLOC_PAGE_SHIFT	8 KiB, whatever PAGE_SIZE is
 *
 * Ranges are half open: the first address belongs to them, the last not.
 * The base is a multiple of every alignment up to 2^38 bytes, so an offset
 * and its address are aligned alike.
 */
#ifndef GOALLOC_LAYOUT_H
#define GOALLOC_LAYOUT_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#define GOALLOC_HEAP_BASE	0xc000000000ULL

/* The size of the address space, 1 TiB, in bits and in bytes. */
#define GOALLOC_HEAP_SHIFT	40
#define GOALLOC_HEAP_SPACE	BIT_ULL(GOALLOC_HEAP_SHIFT)
#define GOALLOC_HEAP_END	(GOALLOC_HEAP_BASE + GOALLOC_HEAP_SPACE)

#define GOALLOC_ARENA_SHIFT	26
#define GOALLOC_ARENA_SIZE	BIT_ULL(GOALLOC_ARENA_SHIFT)
#define GOALLOC_NR_ARENAS	(1U << (GOALLOC_HEAP_SHIFT - GOALLOC_ARENA_SHIFT))

#define GOALLOC_PAGE_SHIFT	13
#define GOALLOC_PAGE_SIZE	BIT_ULL(GOALLOC_PAGE_SHIFT)
#define GOALLOC_NR_PAGES	BIT_ULL(GOALLOC_HEAP_SHIFT - GOALLOC_PAGE_SHIFT)

#define PALLOC_CHUNK_SHIFT	22
#define PALLOC_CHUNK_SIZE	BIT_ULL(PALLOC_CHUNK_SHIFT)
#define PALLOC_CHUNK_PAGE_SHIFT	(PALLOC_CHUNK_SHIFT - GOALLOC_PAGE_SHIFT)
#define PALLOC_CHUNK_PAGES	512U
#define GOALLOC_NR_CHUNKS	(1U << (GOALLOC_HEAP_SHIFT - PALLOC_CHUNK_SHIFT))
#define GOALLOC_ARENA_CHUNKS	(1U << (GOALLOC_ARENA_SHIFT - PALLOC_CHUNK_SHIFT))

static_assert(PALLOC_CHUNK_PAGES << GOALLOC_PAGE_SHIFT == PALLOC_CHUNK_SIZE);

static inline bool goalloc_addr_in_space(u64 addr)
{
	return addr - GOALLOC_HEAP_BASE < GOALLOC_HEAP_SPACE;
}

/* The functions below take addresses of the space. */
static inline u32 goalloc_arena_index(u64 addr)
{
	return (addr - GOALLOC_HEAP_BASE) >> GOALLOC_ARENA_SHIFT;
}

static inline u32 goalloc_chunk_index(u64 addr)
{
	return (addr - GOALLOC_HEAP_BASE) >> PALLOC_CHUNK_SHIFT;
}

static inline u64 goalloc_chunk_base(u32 chunk)
{
	return GOALLOC_HEAP_BASE + ((u64)chunk << PALLOC_CHUNK_SHIFT);
}

/* Counted from the base of the space. */
static inline u64 goalloc_page_index(u64 addr)
{
	return (addr - GOALLOC_HEAP_BASE) >> GOALLOC_PAGE_SHIFT;
}

static inline u64 goalloc_page_addr(u64 page)
{
	return GOALLOC_HEAP_BASE + (page << GOALLOC_PAGE_SHIFT);
}

/* Counted from the beginning of the address's chunk. */
static inline u32 goalloc_chunk_page(u64 addr)
{
	return goalloc_page_index(addr) & (PALLOC_CHUNK_PAGES - 1);
}

#endif
