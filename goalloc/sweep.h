/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sweeping (Go: mgcsweep.go). With h the heap's sweepgen, a span's is
 *
 *	h-2	it needs sweeping
 *	h-1	it is being swept
 *	h	it is swept and ready
 *	h+1	it was cached before the cycle began and needs sweeping
 *	h+3	it was swept, then cached
 *
 * and h moves by 2 a cycle (I5).
 */
#ifndef GOALLOC_SWEEP_H
#define GOALLOC_SWEEP_H

#include <linux/types.h>

#include "mheap.h"

struct mspan;

void sweep_init(struct goalloc_heap *heap);
void sweep_stop(struct goalloc_heap *heap);

void gc_bits_free(struct mspan *s);
int gc_mark(struct goalloc_heap *heap, unsigned long addr);
void gc_sweep_start(struct goalloc_heap *heap);

/* Whoever takes a span out of a set to sweep it does both, around it: see gc_mark(). */
static inline void sweep_begin(struct goalloc_heap *heap)
{
	/* The lock of the set orders: who sees the span gone sees this. */
	atomic_inc(&heap->sweepers);
}

static inline void sweep_end(struct goalloc_heap *heap)
{
	/* Pairs with gc_mark(). */
	atomic_dec_return_release(&heap->sweepers);
}

bool mspan_sweep(struct mspan *s, bool preserve);
u64 sweepone(struct goalloc_heap *heap);
void sweep_finish(struct goalloc_heap *heap);
void deduct_sweep_credit(struct goalloc_heap *heap, u64 span_bytes);

#endif /* GOALLOC_SWEEP_H */
