/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands behind heap pages (Go: mem.go, mem_linux.go).
 *
 *	linear	blocks of 2 MiB down to 128 KiB from alloc_pages(), used
 *		through the direct map; a span larger than a block has pages
 *		of its own, mapped by vmalloc(). Of a block in use in part
 *		single pages may go back: holes (pallocbits.h)
 *	sparse	each heap page on its own, zeroed, at its first touch: sparse.h
 *
 * Kernel address to span: an index over the direct map. Each 2 MiB of it in
 * which a heap has a block have a leaf with the span of each heap page. Go's
 * index has an entry for 64 MiB; here blocks may lie anywhere in memory, and a
 * leaf should cost no more than what it describes is worth. Mapped spans are
 * in a latched tree. A look-up reads no memory but the index, so it is safe for
 * any value, and waits for nobody, so it is safe in any context.
 */
#ifndef GOALLOC_BACKING_H
#define GOALLOC_BACKING_H

#include <linux/mm.h>
#include <linux/types.h>

#include "layout.h"
#include "mspan.h"

struct goalloc_heap;

#define SPANMAP_LEAF_SHIFT	21
#define SPANMAP_LEAF_PAGES	(1 << (SPANMAP_LEAF_SHIFT - GOALLOC_PAGE_SHIFT))

/**
 * struct spanmap_leaf - the spans of 2 MiB of the direct map
 * @spans: by heap page, written by whoever makes or returns the span;
 *	&goalloc_emptymspan where there is none
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
 * @leaves: by 2 MiB from PAGE_OFFSET on; where there is none, one without spans
 * @nleaves: how many
 * @bytes: of all leaves
 */
struct spanmap {
	struct {
		DECLARE_FLEX_ARRAY(struct spanmap_leaf *, at);
	} *leaves;
	unsigned long nleaves;
	atomic64_t bytes;
};

extern struct spanmap goalloc_spanmap;

int backing_module_init(void);
void backing_module_exit(void);

int backing_commit(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
void *backing_block(struct goalloc_heap *heap, u64 addr);
int backing_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
bool backing_unmap_span(struct goalloc_heap *heap, struct mspan *s, bool may_sleep);
void backing_decommit(struct goalloc_heap *heap, struct mspan *s);
void linear_release(struct goalloc_heap *heap, u64 addr, u32 npages,
		    const unsigned long *holes);
void linear_punch(struct goalloc_heap *heap, u64 addr, u32 npages);
unsigned long linear_drop(struct goalloc_heap *heap, u64 addr);
void linear_dropped(unsigned long base);
void linear_released(struct goalloc_heap *heap, u64 addr, u64 npages);
bool backing_is_thin(const struct mspan *s);
bool backing_is_thinner(const struct mspan *s);
void backing_thin(struct goalloc_heap *heap, struct mspan *s);
bool backing_end_thin(struct goalloc_heap *heap, struct mspan *s, u32 page);
void backing_destroy(struct goalloc_heap *heap);

struct mspan *span_of_mapped(unsigned long addr);

/**
 * span_of_direct - finds the span of an address in the direct map
 * @addr: any value
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span, of whatever heap, or &goalloc_emptymspan, for a mapped span's
 * address, too.
 */
static __always_inline struct mspan *span_of_direct(unsigned long addr)
{
	unsigned long page = (addr - PAGE_OFFSET) >> GOALLOC_PAGE_SHIFT, i, in_leaf;

	/* In this order, or the compiler shifts anew, and copies first. */
	OPTIMIZER_HIDE_VAR(page);
	in_leaf = page % SPANMAP_LEAF_PAGES;
	OPTIMIZER_HIDE_VAR(in_leaf);
	i = page / SPANMAP_LEAF_PAGES;
	if (unlikely(i >= goalloc_spanmap.nleaves))
		return &goalloc_emptymspan;
	return READ_ONCE(READ_ONCE(goalloc_spanmap.leaves->at[i])->spans[in_leaf]);
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
	struct mspan *s = span_of_direct(addr);

	return s == &goalloc_emptymspan ? span_of_mapped(addr) : s;
}

#endif /* GOALLOC_BACKING_H */
