/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Central lists of spans, one for each span class (Go: mcentral.go).
 *
 * As in Go there are two partial and two full sets, of swept and of unswept
 * spans, which change roles each cycle: a span is in set
 * [span->sweepgen / 2 % 2], and that of the heap's sweepgen is the swept one.
 * Go keeps them as lock-free stacks; here they are lists under a short raw
 * lock, because a free must be able to take a span out of the middle (I4).
 */
#ifndef GOALLOC_MCENTRAL_H
#define GOALLOC_MCENTRAL_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "mspan.h"

/**
 * struct mcentral - the spans of one class that no mcache has
 * @lock: protects all below, and the place of the class's spans. Raw, taken
 *	with interrupts off, in any context but NMI; inside it the heap lock
 *	is not taken.
 * @spanclass: which class
 * @noscan: its objects hold no pointers
 * @heap: whose
 * @elemsize: bytes of a slot; 0 for large objects and for no exact class
 * @npages: heap pages of a span
 * @nelems: slots of a span
 * @divmul: 2^32 / @elemsize, rounded up
 * @nspans: spans of the class wherever they are; atomic
 * @partial: spans with free slots, by sweep generation
 * @full: spans without, by sweep generation
 * @npartial: spans in @partial
 * @nfull: spans in @full
 * @nempty: of @npartial those all of whose slots are free; they are kept, up
 *	to @maxempty, so that a class does not take and return one span for
 *	ever
 * @maxempty: most of them
 * @locks: how often the lock was taken
 */
struct mcentral {
	raw_spinlock_t lock;
	u8 spanclass;
	bool noscan;
	struct goalloc_heap *heap;
	u32 elemsize;
	u32 npages;
	u32 nelems;
	u32 divmul;
	atomic_t nspans;
	u32 npartial;
	u32 nfull;
	u32 nempty;
	u32 maxempty;
	struct list_head partial[2];
	struct list_head full[2];
	u64 locks;
} ____cacheline_aligned_in_smp;

void mcentral_init(struct mcentral *c, struct goalloc_heap *heap, u8 spc);
struct mspan *mcentral_cache_span_fast(struct mcentral *c, struct mspan *old);
struct mspan *mcentral_cache_span(struct mcentral *c, gfp_t gfp);
void mcentral_uncache_span(struct mcentral *c, struct mspan *s);
void mcentral_put(struct mcentral *c, struct mspan *s);
bool mcentral_freed(struct mspan *s, u32 w);
#if IS_ENABLED(CONFIG_KUNIT)
extern void (*mcentral_between_looks)(struct mspan *s);
#endif

struct mspan *mcentral_take_any(struct mcentral *c);
void mcentral_release_empty(struct goalloc_heap *heap);
struct mspan *mcentral_take_unswept(struct mcentral *c, bool partial, u32 sg);

#endif /* GOALLOC_MCENTRAL_H */
