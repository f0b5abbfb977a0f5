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
 * @word: the word of @span that slots are taken from
 * @base: address of @word's first slot
 * @elemsize: bytes of a slot
 * @span: the span; its place is CACHED and its owner this mcache
 * @nmalloc: slots taken here since the mcache was made
 * @nfree: slots freed here, of this class, in whatever span
 */
struct mcache_alloc {
	union mspan_word *word;
	unsigned long base;
	u32 elemsize;
	struct mspan *span;
	u64 nmalloc;
	u64 nfree;
} __aligned(64);	/* a cache line, and an index by a shift */

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
	struct mcache_alloc alloc[GOALLOC_ALL_CENTRALS];
};

/**
 * struct mcache_pcpu - what a heap has on one CPU
 * @ctx: its mcaches, by context; never NULL
 * @pages: its page cache
 */
struct mcache_pcpu {
	struct mcache *ctx[MCACHE_CONTEXTS];
	struct page_cache pages;
};

extern struct mcache goalloc_emptymcache;

/* Those of heap 0, where the compiler knows their address. */
DECLARE_PER_CPU(struct mcache_pcpu, goalloc_kernel_mcache);

/* Does a task run here, and no interrupt? */
static __always_inline bool mcache_in_task(void)
{
	return !(preempt_count() & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET));
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
 * Takes the next free slot of the current word, or returns 0 (next_free_fast in
 * Go). A slot whose remote bit is set as well waits for the merge of the two
 * halves: see the head of mspan.h.
 */
static __always_inline unsigned long next_free_fast(struct mcache_alloc *a)
{
	union mspan_word *w = a->word;
	u32 free = READ_ONCE(w->free);
	u32 bit;

	if (unlikely(!free))
		return 0;
	bit = __builtin_ctz(free);
	if (unlikely(READ_ONCE(w->remote) & BIT(bit)))
		return 0;
	WRITE_ONCE(w->free, free & (free - 1));
	a->nmalloc++;
	return a->base + bit * a->elemsize;
}

int mcache_init(struct goalloc_heap *heap, struct mcache_pcpu __percpu *own);
void mcache_destroy(struct goalloc_heap *heap);
bool mcache_build(struct goalloc_heap *heap, gfp_t gfp);
bool mcache_next_word(struct mcache *mc, u8 spc);
unsigned long mcache_next_free(struct goalloc_heap *heap, u8 spc, gfp_t gfp,
			       struct mspan **span);
void mcache_release_tiny(struct mcache *mc);
void mcache_flush(struct goalloc_heap *heap, struct mcache *mc);
void mcache_flush_cpu(struct goalloc_heap *heap, int cpu);
void mcache_flush_all(struct goalloc_heap *heap);

#endif /* GOALLOC_MCACHE_H */
