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

struct goalloc_heap;
struct mspan;

void sweep_init(struct goalloc_heap *heap);
void sweep_stop(struct goalloc_heap *heap);

void gc_bits_free(struct mspan *s);
int gc_mark(struct goalloc_heap *heap, unsigned long addr);
void gc_sweep_start(struct goalloc_heap *heap);

bool mspan_sweep(struct mspan *s, bool preserve);
u64 sweepone(struct goalloc_heap *heap);
void deduct_sweep_credit(struct goalloc_heap *heap, u64 span_bytes);

#endif /* GOALLOC_SWEEP_H */
