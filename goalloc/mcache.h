/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Per-CPU caches of spans (Go: mcache.go).
 *
 * Go has one mcache for each P. A P here is a CPU times the context that runs
 * on it: a task with preemption off, a softirq and a hardirq each have an
 * mcache of their own, so nothing disables interrupts and an interrupt in the
 * middle of an allocation does no harm. Only its CPU and context touch an
 * mcache, with three exceptions, each exclusive by other means: the flush of
 * a dead CPU's, the flush on its own CPU by a task that keeps the other
 * contexts out, and the end of the heap.
 *
 * An mcache is built when its CPU and context first allocate from the heap.
 * Until then goalloc_emptymcache stands in for it: every entry of it points
 * at goalloc_emptymspan, which has no free slot (Go: emptymspan), so that the
 * fast path has no case of its own for it.
 */
#ifndef GOALLOC_MCACHE_H
#define GOALLOC_MCACHE_H

#include <linux/percpu.h>
#include <linux/preempt.h>

#include "compat.h"
#include "counter.h"
#include "mspan.h"
#include "pagecache.h"

enum mcache_context {
	MCACHE_TASK,
	MCACHE_SOFTIRQ,
	MCACHE_HARDIRQ,
	MCACHE_NMI,		/* has none: goalloc_emptymcache for ever */
	MCACHE_CONTEXTS,
};

#define MCACHE_CONTEXT_SHIFT	28

/**
 * struct mcache_alloc - what an mcache has of one span class
 *
 * Go has one span here. Where others wait for a lock meanwhile more of them pay:
 * an object's free is the short one only as long as its span is cached, and spans
 * that are used up soon have free slots again.
 *
 * @word: the word of @span that slots are taken from
 * @base: address of @word's first slot
 * @nmalloc: slots taken here since the mcache was made
 * @elemsize: bytes of a slot
 * @nmore: spans in @more
 * @nfree: slots freed here, of this class, in whatever span
 * @span: the span slots are taken from; the place of all that are cached is
 *	CACHED and their owner this mcache
 * @more: the others, linked by their @next, what was used up first comes first
 * @last: the last of @more
 */
struct mcache_alloc {
	union mspan_word *word;
	unsigned long base;
	u64 nmalloc;
	u32 elemsize;
	u32 nmore;
	u64 nfree;
	struct mspan *span;
	struct mspan *more;
	struct mspan *last;
};

/* So that an index is a shift, and an entry a cache line. */
#define MCACHE_ENTRY_SIZE	64

static_assert(sizeof(struct mcache_alloc) == MCACHE_ENTRY_SIZE);

/**
 * struct mcache - Go's mcache
 * @id: cpu | context << MCACHE_CONTEXT_SHIFT
 * @tinyslot: slot of the tiny block in the tiny entry's span
 * @tiny: address of the tiny block, or 0. It always lies in the span of the
 *	tiny entry: a span is not given up before its block is released.
 * @tinyoffset: bytes of it that are taken
 * @tinyallocs: tiny objects made here
 * @tinyfrees: tiny objects freed here
 * @alloc: one entry a span class
 */
struct mcache {
	u32 id;
	u32 tinyslot;
	unsigned long tiny;
	u32 tinyoffset;
	u64 tinyallocs;
	u64 tinyfrees;
	struct mcache_alloc alloc[GOALLOC_ALL_CENTRALS] __aligned(MCACHE_ENTRY_SIZE);
};

/* Where the entry of a span class lies in an mcache; entry 0 never has a span. */
#define MCACHE_ENTRY(spc)	(((spc) + 1) * MCACHE_ENTRY_SIZE)

static_assert(offsetof(struct mcache, alloc) == MCACHE_ENTRY(0));

/* Large objects' spans that a CPU keeps, and the pages of the largest. */
#define LARGE_CACHE_SPANS	4
#define LARGE_CACHE_PAGES	128

/**
 * struct mcache_pcpu - what a heap has on one CPU
 * @ctx: its mcaches, by context; never NULL
 * @large: spans of large objects that were freed, HELD; entries are swapped in
 *	and out, by anybody
 * @pages: its page cache
 */
struct mcache_pcpu {
	struct mcache *ctx[MCACHE_CONTEXTS];
	struct mspan *large[LARGE_CACHE_SPANS];
	struct page_cache pages;
};

extern struct mcache goalloc_emptymcache;

/* Those of heap 0, where the compiler knows their address. */
DECLARE_PER_CPU(struct mcache_pcpu, goalloc_kernel_mcache);

/* Does a task run here, and no interrupt? */
static __always_inline bool mcache_in_task(void)
{
	return !goalloc_preempt_count_has(NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET);
}

/*
 * The context that runs here. On PREEMPT_RT softirqs are tasks and share the
 * task's mcache, which preemption off makes safe.
 */
static __always_inline enum mcache_context mcache_context(void)
{
	unsigned int pc = preempt_count();

	if (likely(mcache_in_task()))
		return MCACHE_TASK;
	if (pc & NMI_MASK)
		return MCACHE_NMI;
	return pc & HARDIRQ_MASK ? MCACHE_HARDIRQ : MCACHE_SOFTIRQ;
}

/*
 * Bits of a word that is in a register. The lowest five bits of a slot's number say
 * which. Of what is one instruction here the compiler makes two to four.
 */
static __always_inline u32 first_slot(u32 word)
{
#ifdef __x86_64__
	u32 slot;

	/* Or tzcnt, as in __ffs(). */
	asm("rep; bsfl %1, %0" : "=r" (slot) : "r" (word));
	return slot;
#else
	return __ffs(word);
#endif
}

static __always_inline bool test_and_set_slot(u32 *word, u32 slot)
{
	bool old;
#ifdef __x86_64__
	asm("btsl %2, %1" : "=@ccc" (old), "+r" (*word) : "r" (slot));
#else
	old = *word >> slot % MSPAN_WORD_SLOTS & 1;
	*word |= 1U << slot % MSPAN_WORD_SLOTS;
#endif
	return old;
}

static __always_inline bool test_and_clear_slot(u32 *word, u32 slot)
{
	bool old;
#ifdef __x86_64__
	asm("btrl %2, %1" : "=@ccc" (old), "+r" (*word) : "r" (slot));
#else
	old = *word >> slot % MSPAN_WORD_SLOTS & 1;
	*word &= ~(1U << slot % MSPAN_WORD_SLOTS);
#endif
	return old;
}

/*
 * Takes the next free slot of the current word (nextFreeFast in Go). A slot that is
 * free but not kept waits for the merge of the two halves: see the head of mspan.h.
 */
static __always_inline bool next_free_fast(struct mcache_alloc *a, unsigned long *v)
{
	union mspan_word *w = a->word;
	u32 free = READ_ONCE(w->free), can = free & READ_ONCE(w->kept), slot;

	if (unlikely(!can))
		return false;
	slot = first_slot(can);
	test_and_clear_slot(&free, slot);
	WRITE_ONCE(w->free, free);
	one_writer_add(a->nmalloc, 1);
	*v = a->base + slot * a->elemsize;
	return true;
}

int mcache_init(struct goalloc_heap *heap, struct mcache_pcpu __percpu *own);
void mcache_destroy(struct goalloc_heap *heap);
bool mcache_build(struct goalloc_heap *heap, gfp_t gfp);
bool mcache_next_word(struct mcache *mc, u8 spc);
bool mcache_next_span(struct mcache *mc, u8 spc);
unsigned long mcache_next_free(struct goalloc_heap *heap, u8 spc, gfp_t gfp,
			       struct mspan **span);
void mcache_release_tiny(struct mcache *mc);
void mcache_flush(struct goalloc_heap *heap, struct mcache *mc);
void mcache_flush_cpu(struct goalloc_heap *heap, int cpu);
void mcache_flush_own(struct goalloc_heap *heap);
void mcache_flush_others(struct goalloc_heap *heap, gfp_t gfp);
void mcache_flush_all(struct goalloc_heap *heap);
struct mspan *large_cache_take(struct goalloc_heap *heap, u8 spc, u64 npages, u64 align);
bool large_cache_put(struct mspan *s);
void large_cache_flush(struct goalloc_heap *heap);
void large_cache_settle(struct goalloc_heap *heap);

#endif /* GOALLOC_MCACHE_H */
