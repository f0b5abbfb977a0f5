/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page allocator: runs of heap pages, first fit by address.
 *
 * The 2^18 chunks of the address space are the leaves of a radix tree of
 * summaries (pallocbits.h). A search goes down from the root by what the
 * summaries say and looks at the bits of one chunk at most:
 *
 *	level	entries			an entry covers
 *	0	64, in the struct	16 GiB
 *	1	8 a node		2 GiB
 *	2	8 a node		256 MiB
 *	3	8 a node		32 MiB
 *	4	8 a node		4 MiB: a chunk
 *
 * Nodes below the root are built when a chunk below them is prepared, and
 * leave when the last chunk below them has left. After Go's mpagealloc.go,
 * which keeps a level as one array instead, and never shrinks it.
 *
 * What holds whenever the lock is free:
 *  - a summary says of the pages below it what their bits say; that of a
 *    chunk that was not grown, and that of a missing node, is 0;
 *  - a node has at least one child;
 *  - no page below search_addr is free;
 *  - a page that is free lies in [start, end).
 *
 * Units: addresses are heap addresses (u64, see layout.h) of whole heap
 * pages, lengths are in heap pages unless a name says chunks or bytes.
 *
 * Locks: the owner's, given to pagealloc_init() by pointer, so that a test
 * runs without a heap. Whatever has "Context: lock held" takes no lock,
 * allocates nothing and does not sleep. Preparing takes the lock itself.
 *
 * Who may look into the tree: whoever holds the lock; a reader inside
 * rcu_read_lock(), for a node that has left the tree is freed after a grace
 * period; and, at one chunk, whoever has pages of it, which keep it there. The
 * bits and sums a reader without the lock finds need not fit together.
 */
#ifndef GOALLOC_PAGEALLOC_H
#define GOALLOC_PAGEALLOC_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/gfp_types.h>
#include <linux/percpu_counter.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "layout.h"
#include "pallocbits.h"

#define PAGEALLOC_LEVELS	5
#define PAGEALLOC_LEAF		(PAGEALLOC_LEVELS - 1)
#define PAGEALLOC_NODE_BITS	3
#define PAGEALLOC_NODE_ENTRIES	8U
#define PAGEALLOC_ROOT_BITS	6
#define PAGEALLOC_ROOT_ENTRIES	64U

/* What is answered to a wish for a range that is not all free. */
#define PAGEALLOC_REFUSED	(~0ULL)

/* search_addr when nothing is free. */
#define PAGEALLOC_NOTHING_FREE	GOALLOC_HEAP_END

/**
 * struct pagealloc_node - eight neighbouring entries of a level
 * @sum: their summaries, one cache line; protected by the lock
 * @child: nodes of the next level, or chunks in a leaf, or NULL; written with
 *	the lock held, read with it or under RCU
 * @gone: the next node that left the tree. In no other member, as a reader
 *	may still be at this node
 */
struct pagealloc_node {
	pallocsum sum[PAGEALLOC_NODE_ENTRIES];
	void *child[PAGEALLOC_NODE_ENTRIES];
	struct pagealloc_node *gone;
} ____cacheline_aligned;

/**
 * struct pagealloc - a heap's page allocator
 * @lock: the owner's lock, which protects what does not say otherwise
 * @search_addr: no page below it is free; PAGEALLOC_NOTHING_FREE when none
 *	at all is. It may point at a page in use, or one never grown
 * @start: no address below it is grown; equal to @end while nothing is
 * @end: no address from it on is grown
 * @refused: broken calls that were refused
 * @meta_bytes: what the nodes take; atomic
 * @meta_total: where what is added to @meta_bytes is added as well, or NULL;
 *	set before use
 * @align_looks: how many nodes and chunks that may have no aligned run a search
 *	for one looks into; a test changes it
 * @test: no warnings for broken calls, a test makes them; set before use
 * @fail_node: a test's: true makes the allocation of a node fail; else NULL
 * @sum: the summaries of the root level
 * @child: the nodes of level 1; as those of a node
 */
struct pagealloc {
	raw_spinlock_t *lock;
	u64 search_addr;
	u64 start;
	u64 end;
	u64 refused;
	atomic64_t meta_bytes;
	struct percpu_counter *meta_total;
	u32 align_looks;
	bool test;
	bool (*fail_node)(struct pagealloc *p);
	pallocsum sum[PAGEALLOC_ROOT_ENTRIES] ____cacheline_aligned;
	void *child[PAGEALLOC_ROOT_ENTRIES];
};

/**
 * struct pagealloc_set - pages out of 64 neighbouring ones
 * @base: address of the first of the 64, which is aligned to 64 pages
 * @pages: which of them are in the set
 * @scavenged: which of those are not backed
 */
struct pagealloc_set {
	u64 base;
	u64 pages;
	u64 scavenged;
};

static_assert(PAGEALLOC_NODE_ENTRIES >> PAGEALLOC_NODE_BITS == 1);
static_assert(PAGEALLOC_ROOT_ENTRIES >> PAGEALLOC_ROOT_BITS == 1);

int pagealloc_module_init(void);
void pagealloc_module_exit(void);

void pagealloc_init(struct pagealloc *p, raw_spinlock_t *lock);
void pagealloc_destroy(struct pagealloc *p);

/* Growing: prepare without the lock, then grow with it. */
int pagealloc_prepare(struct pagealloc *p, u64 chunk_addr,
		      struct palloc_chunk *c, gfp_t gfp);
int pagealloc_grow(struct pagealloc *p, u64 base, u64 nchunks);

/* The way back: ungrow with the lock, free nodes after a grace period. */
int pagealloc_ungrow(struct pagealloc *p, u64 base,
		     struct pagealloc_node **gone);
void pagealloc_free_nodes(struct pagealloc *p, struct pagealloc_node *gone);

/* Runs; the caller holds the lock. */
u64 pagealloc_alloc(struct pagealloc *p, u64 npages, u64 *scav);
u64 pagealloc_alloc_aligned(struct pagealloc *p, u64 npages, u64 align_pages,
			    u64 *scav);
u64 pagealloc_alloc_range(struct pagealloc *p, u64 base, u64 npages);
u64 pagealloc_find_run(struct pagealloc *p, u64 npages, u64 align_pages);
u64 pagealloc_try_range(struct pagealloc *p, u64 base, u64 npages);
int pagealloc_free(struct pagealloc *p, u64 base, u64 npages);
int pagealloc_set_block(struct pagealloc *p, u64 addr, u16 block_pages);

/* What a page cache takes and gives back; the caller holds the lock. */
bool pagealloc_take_set(struct pagealloc *p, struct pagealloc_set *set);
int pagealloc_give_set(struct pagealloc *p, const struct pagealloc_set *set);

/* Scavenged bits; the caller holds the lock. */
u64 pagealloc_set_scavenged(struct pagealloc *p, u64 base, u64 npages);
u64 pagealloc_clear_scavenged(struct pagealloc *p, u64 base, u64 npages);
u64 pagealloc_count_scavenged(struct pagealloc *p, u64 base, u64 npages);

/* Holes; the caller holds the lock. */
u64 pagealloc_open_holes(struct pagealloc *p, u64 base, u64 npages);

/* Looking, with the lock or under RCU. */
struct palloc_chunk *pagealloc_chunk(struct pagealloc *p, u64 addr);
pallocsum pagealloc_level_summary(struct pagealloc *p, u32 level, u32 idx);

/* In heap pages, log2: what an entry of @level covers. */
static inline u32 pagealloc_level_shift(u32 level)
{
	return PALLOC_CHUNK_PAGE_SHIFT +
	       (PAGEALLOC_LEAF - level) * PAGEALLOC_NODE_BITS;
}

/* The index on @level of the entry that covers @addr. */
static inline u32 pagealloc_level_index(u32 level, u64 addr)
{
	return goalloc_page_index(addr) >> pagealloc_level_shift(level);
}

/* How many entries @level has, built or not. */
static inline u32 pagealloc_level_entries(u32 level)
{
	return PAGEALLOC_ROOT_ENTRIES << (level * PAGEALLOC_NODE_BITS);
}

#endif
