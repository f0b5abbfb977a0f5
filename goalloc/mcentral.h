/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Central lists of spans, one for each span class (Go: mcentral.go).
 *
 * As in Go there are two partial and two full sets, of swept and of unswept
 * spans, which change roles each cycle: a span is in set
 * [span->sweepgen / 2 % 2], and that of the heap's sweepgen is the swept one.
 * Go keeps them as lock-free stacks; here they are lists under a short raw
 * lock, because a free must be able to take a span out of the middle (I4).
 *
 * Of the spans with free slots the fullest are used first, so that the others
 * drain and their pages go back. A partial set is a list for each band:
 *
 *	HALF	at least half of the slots live
 *	LESS	fewer. Behind them are the spans with nothing live.
 *	FEW	at most 1/16 of the slots free: each would soon bring the next
 *		refill. They wait for more frees, the longest waiting first in the
 *		list.
 *
 * They are used up in this order, but for the spans with nothing live, which
 * come last. Within HALF and LESS the last one put is the first taken. More
 * bands made no difference to what is held after any trace of frees that was
 * tried, and each is a list more in every mcentral.
 *
 * The band is decided where a span is put. Later frees only set bits, so a span
 * may be emptier than its band says, never fuller. It is looked at again when a
 * refill comes upon it, and when a free takes the lock for other reasons.
 */
#ifndef GOALLOC_MCENTRAL_H
#define GOALLOC_MCENTRAL_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "mspan.h"

enum mcentral_band {
	MCENTRAL_HALF,
	MCENTRAL_LESS,
	MCENTRAL_FEW,
	MCENTRAL_BANDS,
};

/**
 * struct mcentral - the spans of one class that no mcache has
 * @lock: protects all below, and the place of the class's spans. Raw, taken
 *	with interrupts off, in any context but NMI; inside it the heap lock
 *	is not taken.
 * @spanclass: which class
 * @noscan: its objects hold no pointers
 * @heap: whose
 * @nelems: slots of a span
 * @elemsize: bytes of a slot; 0 for large objects and for no exact class
 * @divmul: 2^64 / @elemsize, rounded up
 * @npages: heap pages of a span
 * @nempty: spans in @partial all of whose slots are free; they are kept, up
 *	to @maxempty, so that a class does not take and return one span for
 *	ever
 * @maxempty: most of them
 * @maxcached: most spans that one mcache has of the class
 * @nspans: spans of the class wherever they are; atomic
 * @nfull: spans in @full
 * @nclosed: of those the closed ones, but for one that somebody has HELD
 * @npartial: spans in @partial, by band
 * @locks: how often the lock was taken
 * @contended: and how often somebody else had it
 * @refills: spans handed out
 * @seen: that, when the background was here last (background)
 * @quiet: none was handed out between its last two visits (background)
 * @partial: spans with free slots, by sweep generation and band
 * @full: spans without, by sweep generation
 */
struct mcentral {
	raw_spinlock_t lock;
	u8 spanclass;
	bool noscan;
	u16 nelems;
	struct goalloc_heap *heap;
	u64 divmul;
	u32 elemsize;
	u16 npages;
	u8 nempty;
	u8 maxempty;
	u8 maxcached;
	atomic_t nspans;
	u32 nfull;
	u32 nclosed;
	u32 npartial[MCENTRAL_BANDS];
	u64 locks;
	u64 contended;
	u32 refills;
	u32 seen;
	bool quiet;
	struct list_head partial[2][MCENTRAL_BANDS];
	struct list_head full[2];
} ____cacheline_aligned_in_smp;

/* All spans with free slots that no mcache has. Racy without the lock. */
static inline u32 mcentral_npartial(const struct mcentral *c)
{
	u32 n = 0, band;

	for (band = 0; band < MCENTRAL_BANDS; band++)
		n += READ_ONCE(c->npartial[band]);
	return n;
}

extern u32 goalloc_mcache_bytes;

void mcentral_init(struct mcentral *c, struct goalloc_heap *heap, u8 spc);
void mcentral_set_bounds(struct mcentral *c);
struct mspan *mcentral_cache_span_fast(struct mcentral *c, struct mspan *old);
struct mspan *mcentral_cache_span(struct mcentral *c, gfp_t gfp);
void mcentral_uncache_span(struct mcentral *c, struct mspan *s);
void mcentral_put(struct mcentral *c, struct mspan *s);
void mcentral_put_large(struct mspan *s);
bool mcentral_freed_large(struct mspan *s);
bool mcentral_freed(struct mspan *s, u32 w);
#if IS_ENABLED(CONFIG_KUNIT)
extern void (*mcentral_between_looks)(struct mspan *s);
extern int mcentral_on_node;
#endif

struct mspan *mcentral_take_any(struct mcentral *c);
void mcentral_release_spares(struct mcentral *c);
void mcentral_release_empty(struct goalloc_heap *heap);
bool mcentral_close_some(struct mcentral *c, u8 band, u32 *looks);
bool mcentral_thin_some(struct mcentral *c, u32 *looks);
void mcentral_end_span(struct mspan *s);
struct mspan *mcentral_take_unswept(struct mcentral *c, bool partial, u32 sg);
struct mspan *mcentral_find_unswept(struct mcentral *c, bool partial, u32 sg);

#endif /* GOALLOC_MCENTRAL_H */
