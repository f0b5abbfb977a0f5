/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bitmaps of a chunk, and summaries of them.
 *
 * A chunk is 512 heap pages (4 MiB) with two bits each: in use or free, and
 * scavenged (not backed by memory) or not. A summary tells of a stretch of
 * pages how many of them are free at its beginning, in its longest run and at
 * its end. This file knows chunks and numbers; pagealloc.h makes a tree of
 * them. After Go's mpallocbits.go, and pallocSum of mpagealloc.go.
 *
 * Walls. The memory of a linear heap comes in blocks, and a run never crosses
 * from one block to another. A chunk has two halves of 256 pages (2 MiB), and
 * block_pages of each says how it is backed:
 *
 *	0	by no block: its runs join those of its neighbours
 *	2^n	by blocks of that many pages, PALLOC_BLOCK_MIN to
 *		PALLOC_HALF_PAGES: there is a wall at each multiple of it, so
 *		at both ends of the half as well
 *
 * The beginning and the end of a summary are what can join a neighbour, so
 * they are 0 where there is a wall.
 *
 * Holes. A page that is in use and scavenged is a hole: its memory went back
 * while other pages of its block were in use, and as a block's pages lie where
 * they lie, no other memory can take its place. It counts as idle, no run has
 * it, and it is free again when the rest of the block has gone.
 *
 * Units: indices and lengths are in heap pages, indices counted from the
 * chunk's first page. The caller sees to it that ranges are inside the chunk
 * and not empty, and holds the lock that protects the chunk: nothing here
 * takes one, sleeps or allocates.
 */
#ifndef GOALLOC_PALLOCBITS_H
#define GOALLOC_PALLOCBITS_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#include "layout.h"

#define PALLOC_HALF_PAGES	(PALLOC_CHUNK_PAGES / 2)
#define PALLOC_BLOCK_MIN	16

/* No such page. */
#define PALLOC_NONE		(~0U)

struct palloc_bits {
	DECLARE_BITMAP(b, PALLOC_CHUNK_PAGES);
};

/**
 * struct palloc_data - a chunk's bits
 * @alloc: set: the page is in use
 * @scavenged: set: the page is not backed
 */
struct palloc_data {
	struct palloc_bits alloc;
	struct palloc_bits scavenged;
};

/**
 * struct palloc_chunk - the state of a chunk's pages
 * @data: the bits; without meaning while @ready is false
 * @block_pages: where each half has its walls, see above
 * @ready: the chunk was grown into its heap
 *
 * A chunk begins its life filled with zeroes: not ready, nothing of it free.
 */
struct palloc_chunk {
	struct palloc_data data;
	u16 block_pages[2];
	bool ready;
};

/*
 * A summary: start, max and end in 21 bits each, from bit 0 up. Bit 63 stands
 * for all three being 2^21, the one case where 21 bits are too few: a root
 * entry that is free altogether. 0 is a stretch without a free page, and only
 * that.
 */
typedef u64 pallocsum;

#define PALLOCSUM_BITS		21
#define PALLOCSUM_MAX		0x200000U
#define PALLOCSUM_ALL_FREE	BIT_ULL(63)

static_assert(PALLOCSUM_MAX >> PALLOCSUM_BITS == 1);

static inline pallocsum pallocsum_pack(u32 start, u32 max, u32 end)
{
	if (max == PALLOCSUM_MAX)
		return PALLOCSUM_ALL_FREE;
	return (u64)start | (u64)max << PALLOCSUM_BITS |
	       (u64)end << (2 * PALLOCSUM_BITS);
}

static inline u32 pallocsum_field(pallocsum sum, u32 field)
{
	if (sum & PALLOCSUM_ALL_FREE)
		return PALLOCSUM_MAX;
	return (sum >> (field * PALLOCSUM_BITS)) & (PALLOCSUM_MAX - 1);
}

static inline void pallocsum_unpack(pallocsum sum, u32 *start, u32 *max, u32 *end)
{
	if (sum & PALLOCSUM_ALL_FREE) {
		*start = PALLOCSUM_MAX;
		*max = PALLOCSUM_MAX;
		*end = PALLOCSUM_MAX;
		return;
	}
	*start = sum & (PALLOCSUM_MAX - 1);
	*max = (sum >> PALLOCSUM_BITS) & (PALLOCSUM_MAX - 1);
	*end = (sum >> (2 * PALLOCSUM_BITS)) & (PALLOCSUM_MAX - 1);
}

static inline u32 pallocsum_start(pallocsum sum)
{
	return pallocsum_field(sum, 0);
}

static inline u32 pallocsum_max(pallocsum sum)
{
	return pallocsum_field(sum, 1);
}

static inline u32 pallocsum_end(pallocsum sum)
{
	return pallocsum_field(sum, 2);
}

pallocsum pallocsum_merge(const pallocsum *sums, u32 n, u32 log_pages);

/* Bits of a range. */
static inline void palloc_bits_set(struct palloc_bits *bits, u32 i, u32 n)
{
	bitmap_set(bits->b, i, n);
}

static inline void palloc_bits_clear(struct palloc_bits *bits, u32 i, u32 n)
{
	bitmap_clear(bits->b, i, n);
}

static inline bool palloc_bits_test(const struct palloc_bits *bits, u32 i)
{
	return test_bit(i, bits->b);
}

u32 palloc_bits_popcount(const struct palloc_bits *bits, u32 i, u32 n);

/* Pages of a chunk. */
bool palloc_wall(const struct palloc_chunk *c, u32 i);
pallocsum palloc_summarize(const struct palloc_chunk *c);
u32 palloc_find(const struct palloc_chunk *c, u32 npages, u32 search_idx,
		u32 *first_free);
u32 palloc_find_aligned(const struct palloc_chunk *c, u32 npages,
			u32 align_pages);
u32 palloc_alloc_range(struct palloc_chunk *c, u32 i, u32 n);
void palloc_free_range(struct palloc_chunk *c, u32 i, u32 n);

/* Scavenged bits; setting and clearing return how many bits changed. */
u32 palloc_scavenged_set(struct palloc_chunk *c, u32 i, u32 n);
u32 palloc_scavenged_clear(struct palloc_chunk *c, u32 i, u32 n);
u32 palloc_scavenged_count(const struct palloc_chunk *c, u32 i, u32 n);

/* What can be given back: pages free and not scavenged, in whole units. */
u32 palloc_find_scavenge_candidate(const struct palloc_chunk *c, u32 lo, u32 hi,
				   u32 min, u32 max, u32 *n);
u32 palloc_count_idle(const struct palloc_chunk *c, u32 lo, u32 hi, u32 min);

/* Holes: see above. */
u32 palloc_count_holes(const struct palloc_chunk *c, u32 i, u32 n);
bool palloc_any_used(const struct palloc_chunk *c, u32 i, u32 n);
void palloc_open_holes(struct palloc_chunk *c, u32 i, u32 n);

#endif
