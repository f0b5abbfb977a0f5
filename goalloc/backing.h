/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands behind heap pages (Go: mem.go, mem_linux.go).
 *
 *	linear	blocks of 2 MiB down to 128 KiB from alloc_pages(), used
 *		through the direct map; a span larger than a block has pages
 *		of its own, mapped by vmalloc()
 *	sparse	each heap page on its own, zeroed, at its first touch: sparse.h
 *
 * Kernel address to span: an index over the direct map. Each 2 MiB of it in
 * which a heap has a block have a leaf with the span of each heap page. Go's
 * index has an entry for 64 MiB; here blocks may lie anywhere in memory, and a
 * leaf should cost no more than what it describes is worth. Mapped spans are
 * in a maple tree. A look-up reads no memory but the index, so it is safe for
 * any value.
 */
#ifndef GOALLOC_BACKING_H
#define GOALLOC_BACKING_H

#include <linux/mm.h>
#include <linux/types.h>

#include "layout.h"

struct goalloc_heap;
struct mspan;

#define SPANMAP_LEAF_SHIFT	21
#define SPANMAP_LEAF_PAGES	(1 << (SPANMAP_LEAF_SHIFT - GOALLOC_PAGE_SHIFT))

/**
 * struct spanmap_leaf - the spans of 2 MiB of the direct map
 * @spans: by heap page, written by whoever makes or returns the span
 * @blocks: blocks of heaps that lie in it (spanmap_lock)
 * @rcu: frees it
 */
struct spanmap_leaf {
	struct mspan *spans[SPANMAP_LEAF_PAGES];
	u32 blocks;
	struct rcu_head rcu;
};

/**
 * struct spanmap - the index over the direct map
 * @leaves: by 2 MiB from PAGE_OFFSET on
 * @nleaves: how many
 * @bytes: of all leaves
 */
struct spanmap {
	struct spanmap_leaf **leaves;
	unsigned long nleaves;
	atomic64_t bytes;
};

extern struct spanmap goalloc_spanmap;

int backing_module_init(void);
void backing_module_exit(void);

int backing_commit(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
void *backing_block(struct goalloc_heap *heap, u64 addr);
int backing_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
void backing_unmap_span(struct goalloc_heap *heap, struct mspan *s);
void backing_decommit(struct goalloc_heap *heap, struct mspan *s);
void linear_release(struct goalloc_heap *heap, u64 addr, u32 npages);
void linear_released(struct goalloc_heap *heap, u64 addr, u64 npages);
void backing_destroy(struct goalloc_heap *heap);

struct mspan *span_of_mapped(unsigned long addr);

/**
 * span_of_direct - finds the span of an address in the direct map
 * @addr: any value
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span, of whatever heap, or NULL; a mapped span is not found.
 */
static __always_inline struct mspan *span_of_direct(unsigned long addr)
{
	unsigned long off = addr - PAGE_OFFSET;
	struct spanmap_leaf *leaf;

	if (unlikely(off >> SPANMAP_LEAF_SHIFT >= goalloc_spanmap.nleaves))
		return NULL;
	leaf = READ_ONCE(goalloc_spanmap.leaves[off >> SPANMAP_LEAF_SHIFT]);
	if (unlikely(!leaf))
		return NULL;
	return READ_ONCE(leaf->spans[(off >> GOALLOC_PAGE_SHIFT) & (SPANMAP_LEAF_PAGES - 1)]);
}

/**
 * span_of - finds the span of a kernel address (Go: spanOf)
 * @addr: any value
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span, of whatever heap, or NULL.
 */
static inline struct mspan *span_of(unsigned long addr)
{
	unsigned long off = addr - PAGE_OFFSET;

	if (off >> SPANMAP_LEAF_SHIFT < goalloc_spanmap.nleaves)
		return span_of_direct(addr);
	return span_of_mapped(addr);
}

#endif /* GOALLOC_BACKING_H */
