// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-CPU caches of spans (Go: mcache.go). The fast path is in mcache.h and
 * malloc.c; this is what happens when a word, or a span, is used up.
 */
#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "fixalloc.h"
#include "mcache.h"
#include "mheap.h"
#include "sweep.h"

/*
 * One word without a free slot, and a span and an mcache made of it, shared
 * by all and never written (Go: emptymspan).
 */
static union {
	struct mspan span;
	u8 room[sizeof(struct mspan) + sizeof(union mspan_word)];
} emptymspan = {
	.span = { .owner = MSPAN_NO_OWNER },
};

struct mcache goalloc_emptymcache = {
	.alloc = {
		[0 ... GOALLOC_ALL_CENTRALS - 1] = {
			.word = emptymspan.span.words,
			.span = &emptymspan.span,
		},
	},
};

GOALLOC_EXPORT_FOR_KUNIT(goalloc_emptymcache);

DEFINE_PER_CPU(struct mcache_pcpu, goalloc_kernel_mcache);

static void mcache_entry_clear(struct mcache_alloc *a)
{
	a->word = emptymspan.span.words;
	a->base = 0;
	a->elemsize = 0;
	a->span = &emptymspan.span;
}

/**
 * mcache_init - gives a heap its per-CPU pointers
 * @heap: the heap
 * @own: the pointers, or NULL to allocate them
 *
 * Context: task, may sleep.
 * Return: 0 or -ENOMEM.
 */
int mcache_init(struct goalloc_heap *heap, struct mcache_pcpu __percpu *own)
{
	int cpu, ctx;

	heap->mcache = own;
	if (!own) {
		if (goalloc_should_fail())
			return -ENOMEM;
		heap->mcache = alloc_percpu_gfp(struct mcache_pcpu, GFP_KERNEL_ACCOUNT);
		if (!heap->mcache)
			return -ENOMEM;
	}
	mheap_count(&heap->other_bytes, sizeof(struct mcache_pcpu) * num_possible_cpus());
	for_each_possible_cpu(cpu) {
		struct mcache_pcpu *pcpu = per_cpu_ptr(heap->mcache, cpu);

		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
			pcpu->ctx[ctx] = &goalloc_emptymcache;
		page_cache_init(&pcpu->pages);
	}
	return 0;
}

/**
 * mcache_destroy - frees a heap's mcaches, not what is cached
 * @heap: the heap, which nobody uses any more
 *
 * Context: task, may sleep.
 */
void mcache_destroy(struct goalloc_heap *heap)
{
	int cpu, ctx;

	if (!heap->mcache)
		return;
	for_each_possible_cpu(cpu) {
		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
			struct mcache *mc = per_cpu_ptr(heap->mcache, cpu)->ctx[ctx];

			if (mc != &goalloc_emptymcache)
				fixalloc_mcache_free(heap, mc);
		}
	}
	if (heap->mcache != &goalloc_kernel_mcache)
		free_percpu(heap->mcache);
}

/**
 * mcache_build - makes the mcache of this CPU and context if there is none
 * @heap: the heap
 * @gfp: how to allocate it
 *
 * Context: any but NMI, preemption on if @gfp may block.
 * Return: false if there is no memory.
 */
bool mcache_build(struct goalloc_heap *heap, gfp_t gfp)
{
	enum mcache_context ctx = mcache_context();
	struct mcache_pcpu *p;
	struct mcache *mc;
	int i;

	if (raw_cpu_ptr(heap->mcache)->ctx[ctx] != &goalloc_emptymcache)
		return true;
	if (!fixalloc_allowed() || !mheap_build_central(heap, gfp))
		return false;
	mc = fixalloc_mcache(heap, gfp);
	if (!mc)
		return false;
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		mcache_entry_clear(&mc->alloc[i]);

	/* The task may have moved, and another one may have been here first. */
	preempt_disable();
	p = this_cpu_ptr(heap->mcache);
	mc->id = smp_processor_id() | ctx << MCACHE_CONTEXT_SHIFT;
	if (p->ctx[ctx] == &goalloc_emptymcache) {
		/* Pairs with the address dependency of the readers of the books. */
		smp_store_release(&p->ctx[ctx], mc);
		mc = NULL;
	}
	preempt_enable();
	if (mc)
		fixalloc_mcache_free(heap, mc);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_build);

/* Points an entry at a word of its span. */
static void mcache_set_word(struct mcache_alloc *a, u32 w)
{
	struct mspan *s = a->span;

	a->word = &s->words[w];
	a->base = s->base + (unsigned long)w * MSPAN_WORD_SLOTS * s->elemsize32;
}

/**
 * mcache_next_word - finds a word with a free slot in the cached span
 * @mc: an mcache of this CPU and context
 * @spc: span class
 *
 * Goes on from the current word as Go's nextFreeIndex does, then looks at the
 * whole span once more: frees may have come before that word, and others'
 * frees are taken over now (I3).
 *
 * Context: the mcache's own, preemption off.
 * Return: false if no slot of the span is free.
 */
bool mcache_next_word(struct mcache *mc, u8 spc)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *s = a->span;
	u32 w, cur = a->word - s->words;

	for (w = cur + 1; w < s->nwords; w++) {
		union mspan_word v;

		v.both = READ_ONCE(s->words[w].both);
		if (v.free & ~v.remote) {
			mcache_set_word(a, w);
			return true;
		}
	}
	if (s->nwords == 0 || !mspan_merge(s))
		return false;
	for (w = 0; !READ_ONCE(s->words[w].free); w++)
		;
	mcache_set_word(a, w);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_next_word);

/* The entry allocates from @s from now on. Preemption off. */
static void mcache_install(struct mcache *mc, u8 spc, struct mspan *s)
{
	struct mcache_alloc *a = &mc->alloc[spc];

	a->span = s;
	a->elemsize = s->elemsize32;
	s->cache = a;
	/* From here on a free by this CPU and context is the holder's (I1). */
	WRITE_ONCE(s->owner, mc->id | (s->tiny ? MSPAN_TINY_OWNER : 0));
	mcache_set_word(a, 0);
	if (!READ_ONCE(a->word->free) || READ_ONCE(a->word->remote))
		mcache_next_word(mc, spc);
}

/* The entry lets go of its span, which is returned, or NULL. Preemption off. */
static struct mspan *mcache_remove(struct mcache *mc, u8 spc)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *s = a->span;

	if (s == &emptymspan.span)
		return NULL;
	if (spc == GOALLOC_TINY_SPAN_CLASS)
		mcache_release_tiny(mc);
	mcache_entry_clear(a);
	WRITE_ONCE(s->owner, MSPAN_NO_OWNER);
	s->cache = NULL;
	return s;
}

/**
 * mcache_release_tiny - stops packing objects into the tiny block
 * @mc: an mcache of this CPU and context
 *
 * Context: the mcache's own, preemption off.
 */
void mcache_release_tiny(struct mcache *mc)
{
	struct mspan *s = mc->alloc[GOALLOC_TINY_SPAN_CLASS].span;

	if (!mc->tiny)
		return;
	mc->tiny = 0;
	if (tiny_release(s, mc->tinyslot))
		mspan_free_owned(s, mc->tinyslot);
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_release_tiny);

/**
 * mcache_next_free - takes a free slot, whatever has to be done for it
 * @heap: the heap
 * @spc: span class
 * @gfp: how to get memory, if it comes to that
 * @span: the span that the slot is of
 *
 * Go's nextFree and refill. The used-up span goes to its mcentral and the
 * next one comes from there under one taking of the lock; only when the
 * mcentral has none is preemption switched on, and the span that is then
 * swept or made goes to whatever CPU the task is on by then.
 *
 * Context: any; from NMI it fails. May sleep if @gfp may block. On success
 * preemption is off, and the caller switches it on when it is done with @span.
 * Return: the slot's address, or 0 and preemption is as it was.
 */
unsigned long mcache_next_free(struct goalloc_heap *heap, u8 spc, gfp_t gfp,
			       struct mspan **span)
{
	enum mcache_context ctx = mcache_context();
	struct mspan *s = NULL;
	struct mcache_alloc *a;
	struct mcentral *c;
	struct mcache *mc;
	unsigned long v;

	if (ctx == MCACHE_NMI)
		return 0;
	for (;;) {
		preempt_disable();
		mc = this_cpu_ptr(heap->mcache)->ctx[ctx];
		if (unlikely(mc == &goalloc_emptymcache)) {
			preempt_enable();
			if (!mcache_build(heap, gfp)) {
				if (s)
					mcentral_uncache_span(&heap->central[spc], s);
				return 0;
			}
			continue;
		}
		c = &heap->central[spc];
		a = &mc->alloc[spc];
		for (;;) {
			v = next_free_fast(a);
			if (v) {
				/* Another task filled this entry meanwhile. */
				if (s)
					mcentral_uncache_span(c, s);
				*span = a->span;
				return v;
			}
			if (mcache_next_word(mc, spc))
				continue;
			if (s) {
				struct mspan *old = mcache_remove(mc, spc);

				mcache_install(mc, spc, s);
				s = NULL;
				if (old)
					mcentral_uncache_span(c, old);
				continue;
			}
			s = mcentral_cache_span_fast(c, mcache_remove(mc, spc));
			if (!s)
				break;
			mcache_install(mc, spc, s);
			s = NULL;
		}
		preempt_enable();

		s = mcentral_cache_span(c, gfp);
		if (!s)
			return 0;
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_next_free);

/**
 * mcache_flush - gives up all spans of an mcache (Go: releaseAll)
 * @heap: the heap
 * @mc: the mcache
 *
 * Context: the mcache's own with preemption off, or any that keeps the owner
 * out.
 */
void mcache_flush(struct goalloc_heap *heap, struct mcache *mc)
{
	int i;

	if (mc == &goalloc_emptymcache)
		return;
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++) {
		struct mspan *s = mcache_remove(mc, i);

		if (!s)
			continue;
		/* Double frees not told yet: once it is out nobody would find them. */
		mspan_merge(s);
		mcentral_uncache_span(&heap->central[i], s);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_flush);

/**
 * mcache_flush_cpu - gives up all spans of a dead CPU
 * @heap: the heap
 * @cpu: the CPU, which is offline
 *
 * Context: task; the CPU cannot come back meanwhile.
 */
void mcache_flush_cpu(struct goalloc_heap *heap, int cpu)
{
	int ctx;

	for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
		mcache_flush(heap, per_cpu_ptr(heap->mcache, cpu)->ctx[ctx]);
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_flush_cpu);

struct mcache_flush_work {
	struct work_struct work;
	struct goalloc_heap *heap;
};

/*
 * On the CPU itself, from a task: with softirqs and preemption off no other
 * task and no softirq is in the middle of an allocation, and with interrupts
 * off no hardirq is.
 */
static void mcache_flush_here(struct goalloc_heap *heap)
{
	struct mcache_pcpu *p;
	unsigned long flags;

	/* In this order: on PREEMPT_RT the first may have to wait. */
	local_bh_disable();
	preempt_disable();
	p = this_cpu_ptr(heap->mcache);
	mcache_flush(heap, p->ctx[MCACHE_TASK]);
	mcache_flush(heap, p->ctx[MCACHE_SOFTIRQ]);
	local_irq_save(flags);
	mcache_flush(heap, p->ctx[MCACHE_HARDIRQ]);
	local_irq_restore(flags);
	preempt_enable();
	local_bh_enable();
}

static void mcache_flush_workfn(struct work_struct *work)
{
	mcache_flush_here(container_of(work, struct mcache_flush_work, work)->heap);
}

/* Has this CPU anything of the heap? Racy: one that begins now may be missed. */
static bool mcache_present(struct goalloc_heap *heap, int cpu)
{
	struct mcache_pcpu *p = per_cpu_ptr(heap->mcache, cpu);
	int ctx;

	for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
		if (READ_ONCE(p->ctx[ctx]) != &goalloc_emptymcache)
			return true;
	return false;
}

/**
 * mcache_flush_all - gives up all cached spans of a heap
 * @heap: the heap
 *
 * Each CPU flushes its own mcaches, one after the other. What is cached while
 * this runs may stay.
 *
 * Context: task, sleeps.
 */
void mcache_flush_all(struct goalloc_heap *heap)
{
	struct mcache_flush_work f = { .heap = heap };
	int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		if (!mcache_present(heap, cpu))
			continue;
		if (!cpu_online(cpu)) {
			mcache_flush_cpu(heap, cpu);
			continue;
		}
		INIT_WORK_ONSTACK(&f.work, mcache_flush_workfn);
		schedule_work_on(cpu, &f.work);
		flush_work(&f.work);
		destroy_work_on_stack(&f.work);
	}
	cpus_read_unlock();
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_flush_all);
