// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-CPU caches of spans (Go: mcache.go). The fast path is in mcache.h and
 * malloc.c; this is what happens when a word, or a span, is used up.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "checkers.h"
#include "compat.h"
#include "fixalloc.h"
#include "mcache.h"
#include "mheap.h"
#include "scavenge.h"
#include "sweep.h"

/* Of the other spans of a class so many are looked at before a new one is got; */
#define MCACHE_LOOKS		2
/* and a span with at most 1/16 of its slots free is left alone. */
#define MCACHE_FEW_SHIFT	4

/*
 * A span without a free slot, and an mcache made of it, shared by all and never
 * written (Go: emptymspan). Its one word lies in the padding of the record.
 */
static_assert(MSPAN_RECORD_SIZE(1) <= sizeof(struct mspan));
struct mspan goalloc_emptymspan = { .owner = MSPAN_NO_OWNER };
GOALLOC_EXPORT_FOR_KUNIT(goalloc_emptymspan);

struct mcache goalloc_emptymcache = {
	.alloc = {
		[0 ... GOALLOC_ALL_CENTRALS - 1] = {
			.word = goalloc_emptymspan.words,
			.span = &goalloc_emptymspan,
		},
	},
};

GOALLOC_EXPORT_FOR_KUNIT(goalloc_emptymcache);

DEFINE_PER_CPU(struct mcache_pcpu, goalloc_kernel_mcache);

static void mcache_entry_clear(struct mcache_alloc *a)
{
	a->word = goalloc_emptymspan.words;
	a->base = 0;
	a->elemsize = 0;
	WRITE_ONCE(a->span, &goalloc_emptymspan);
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
		heap->mcache = alloc_percpu_gfp(struct mcache_pcpu,
						GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!heap->mcache)
			return -ENOMEM;
	}
	mheap_count(&heap->other_bytes, sizeof(struct mcache_pcpu) * num_possible_cpus());
	for_each_possible_cpu(cpu) {
		struct mcache_pcpu *pcpu = per_cpu_ptr(heap->mcache, cpu);

		for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++)
			pcpu->ctx[ctx] = &goalloc_emptymcache;
		memset(pcpu->large, 0, sizeof(pcpu->large));
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

	/* Whoever is on another CPU by now finds out below. */
	if (READ_ONCE(raw_cpu_ptr(heap->mcache)->ctx[ctx]) != &goalloc_emptymcache)
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
		if (v.free & v.kept) {
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
	if (tiny_release(s, mc->tinyslot)) {
		checkers_tiny_dead(s, mc->tinyslot);
		mspan_free_owned(s, mc->tinyslot);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_release_tiny);

static void mcache_append(struct mcache_alloc *a, struct mspan *s)
{
	if (a->nmore)
		a->last->next = s;
	else
		a->more = s;
	a->last = s;
	one_writer_add(a->nmore, 1);
}

/*
 * The span that slots are taken from joins the others, as the last one. Its entry is
 * still filled: what comes next is another span, or mcache_entry_clear().
 */
static __always_inline void mcache_join(struct mcache *mc, u8 spc)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *s = a->span;

	if (s == &goalloc_emptymspan)
		return;
	if (unlikely(spc == GOALLOC_TINY_SPAN_CLASS))
		mcache_release_tiny(mc);
	s->next = NULL;
	mcache_append(a, s);
}

static void mcache_put_aside(struct mcache *mc, u8 spc)
{
	mcache_join(mc, spc);
	mcache_entry_clear(&mc->alloc[spc]);
}

static struct mspan *mcache_take_aside(struct mcache_alloc *a)
{
	struct mspan *s = a->more;

	a->more = s->next;
	s->next = NULL;
	one_writer_add(a->nmore, -1);
	return s;
}

/* Slots are taken from @s from now on, which is cached and no other. */
static void mcache_switch(struct mcache *mc, u8 spc, struct mspan *s)
{
	struct mcache_alloc *a = &mc->alloc[spc];

	mcache_join(mc, spc);
	/* Who shows what CPUs have must not see it before what is in it. */
	smp_store_release(&a->span, s);
	a->elemsize = s->elemsize32;
	mcache_set_word(a, 0);
	if (!READ_ONCE(a->word->free) || READ_ONCE(a->word->kept) != mspan_word_slots(s, 0))
		mcache_next_word(mc, spc);
}

/* The mcache has @s from now on, and allocates from it. Preemption off. */
static void mcache_install(struct mcache *mc, u8 spc, struct mspan *s)
{
	s->cache = &mc->alloc[spc];
	/* From here on a free by this CPU and context is the holder's (I1). */
	WRITE_ONCE(s->owner, mc->id | (s->tiny ? MSPAN_TINY_OWNER : 0));
	mcache_switch(mc, spc, s);
}

/* Slots that are free, by whomever. */
static u32 mspan_free_slots(const struct mspan *s)
{
	return s->nelems - mspan_live(s);
}

/**
 * mcache_next_span - goes on with another cached span that has free slots
 * @mc: an mcache of this CPU and context
 * @spc: span class, whose span is used up
 *
 * Those used up first come first. One with but a few free slots would be used up
 * at once; it gets more while it waits. A span that a cycle found cached is not
 * allocated from before it is swept (I5), and that is done where it is given up.
 *
 * Context: the mcache's own, preemption off.
 * Return: false if there is none.
 */
bool mcache_next_span(struct mcache *mc, u8 spc)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	u32 looks = min_t(u32, a->nmore, MCACHE_LOOKS);

	for (; looks; looks--) {
		struct mspan *s = mcache_take_aside(a);

		if (mspan_free_slots(s) << MCACHE_FEW_SHIFT > s->nelems &&
		    s->sweepgen == READ_ONCE(s->heap->sweepgen) + 3) {
			mcache_switch(mc, spc, s);
			return true;
		}
		mcache_append(a, s);
	}
	return false;
}

/*
 * This CPU and context do not allocate from the span any more. Its @cache stays: at the
 * end of a heap a free that should not be may have seen the owner just before.
 */
static void mcache_disown(struct mspan *s)
{
	WRITE_ONCE(s->owner, MSPAN_NO_OWNER);
}

/*
 * Before a span more is cached: if there are as many as there may be, half of
 * them go, so that the next ones find room and the lock is taken once for all.
 * Those used up first go. Returns them, linked by their @next. Preemption off.
 */
static struct mspan *mcache_make_room(struct mcache *mc, u8 spc, u32 max)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *first, *s;
	u32 n = (max + 1) / 2;

	if (a->span == &goalloc_emptymspan || a->nmore + 1 < max)
		return NULL;
	mcache_put_aside(mc, spc);
	/* Our last frees before the looks of mspan_merge(), or one of two is not told. */
	smp_mb();
	first = a->more;
	for (s = first;; s = s->next) {
		mcache_disown(s);
		/* Double frees not told yet: once it is out nobody would find them. */
		mspan_merge(s);
		one_writer_add(a->nmore, -1);
		if (!--n)
			break;
	}
	a->more = s->next;
	s->next = NULL;
	return first;
}

/* Takes all spans of a class out of the mcache, linked by their @next. */
static struct mspan *mcache_remove_all(struct mcache *mc, u8 spc)
{
	struct mcache_alloc *a = &mc->alloc[spc];
	struct mspan *first, *s;

	mcache_put_aside(mc, spc);
	first = a->nmore ? a->more : NULL;
	for (s = first; s; s = s->next)
		mcache_disown(s);
	a->more = NULL;
	WRITE_ONCE(a->nmore, 0);
	return first;
}

/* Gives spans back that are linked by their @next. */
static void mcache_uncache(struct mcentral *c, struct mspan *s)
{
	while (s) {
		struct mspan *next = s->next;

		s->next = NULL;
		mcentral_uncache_span(c, s);
		s = next;
	}
}

/**
 * mcache_next_free - takes a free slot, whatever has to be done for it
 * @heap: the heap
 * @spc: span class
 * @gfp: how to get memory, if it comes to that
 * @span: the span that the slot is of
 *
 * Go's nextFree and refill. What is used up goes to its mcentral and the next
 * span comes from there under one taking of the lock; only when the mcentral
 * has none is preemption switched on, and the span that is then swept or made
 * goes to whatever CPU the task is on by then.
 *
 * Context: any; from NMI it fails. May sleep if @gfp may block. On success
 * preemption is off, and the caller switches it on when it is done with @span.
 * Return: the slot's address, or 0 and preemption is as it was.
 */
unsigned long mcache_next_free(struct goalloc_heap *heap, u8 spc, gfp_t gfp,
			       struct mspan **span)
{
	enum mcache_context ctx = mcache_context();
	struct mspan *s = NULL, *old;
	struct mcache_alloc *a;
	struct mcentral *c;
	struct mcache *mc;
	unsigned long v;

	*span = NULL;
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
			if (next_free_fast(a, &v)) {
				/* Another task filled this entry meanwhile. */
				if (s)
					mcentral_uncache_span(c, s);
				*span = a->span;
				return v;
			}
			/* What there is was looked at before @s was got. */
			if (!s && (mcache_next_word(mc, spc) || mcache_next_span(mc, spc)))
				continue;
			old = mcache_make_room(mc, spc, c->maxcached);
			if (s)
				mcache_uncache(c, old);
			else
				s = mcentral_cache_span_fast(c, old);
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

/* Gives up all spans that an mcache has of a class, in its context. */
static void mcache_flush_class(struct goalloc_heap *heap, struct mcache *mc, u8 spc)
{
	struct mspan *first, *s;

	if (mc == &goalloc_emptymcache)
		return;
	first = mcache_remove_all(mc, spc);
	/* As in mcache_make_room(). */
	smp_mb();
	/* Double frees not told yet: once it is out nobody would find them. */
	for (s = first; s; s = s->next)
		mspan_merge(s);
	mcache_uncache(&heap->central[spc], first);
}

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
	int spc;

	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++)
		mcache_flush_class(heap, mc, spc);
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_flush);

/*
 * Large objects: a span that was just freed is kept on the CPU that did it, all of
 * it as it was but its slot free, so that a second free is still told from others
 * (I2), and the next object of its size takes it. To the books its pages are in use.
 */

/**
 * large_cache_take - takes a span that was freed here
 * @heap: the heap
 * @spc: span class
 * @npages: heap pages it must have
 * @align: what its address must be a multiple of, in bytes, a power of two
 *
 * Context: any.
 * Return: the span, HELD, or NULL.
 */
struct mspan *large_cache_take(struct goalloc_heap *heap, u8 spc, u64 npages, u64 align)
{
	struct mspan *s = NULL, **slot, **end;

	preempt_disable();
	slot = this_cpu_ptr(heap->mcache)->large;
	for (end = slot + LARGE_CACHE_SPANS; slot < end; slot++) {
		s = READ_ONCE(*slot);
		/* Its record stays as long as preemption is off. */
		if (s && s->npages == npages && s->spanclass == spc &&
		    IS_ALIGNED(s->base, align) && cmpxchg(slot, s, NULL) == s)
			break;
		s = NULL;
	}
	preempt_enable();
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(large_cache_take);

static_assert(LARGE_CACHE_PAGES < PALLOC_HALF_PAGES);

/**
 * large_cache_put - keeps a large object's span on this CPU
 * @s: the span of a linear heap, HELD, nothing in it live, or any other's
 *
 * If there is no room another one is given back for it.
 *
 * Context: any but NMI; no lock held.
 * Return: false if the span is none to be kept: the caller gives it back.
 */
bool large_cache_put(struct mspan *s)
{
	struct goalloc_heap *heap = s->heap;
	struct mspan **slots, *old;
	int i;

	/* Mapped ones are longer than any that is kept. */
	if (!mspan_is_large(s) || s->npages > LARGE_CACHE_PAGES || !heap->page_caches ||
	    s->gcmark_bits)
		return false;
	preempt_disable();
	slots = this_cpu_ptr(heap->mcache)->large;
	for (i = 0; i < LARGE_CACHE_SPANS - 1 && READ_ONCE(slots[i]); i++)
		;
	old = xchg(&slots[i], s);
	preempt_enable();
	/*
	 * The xchg() orders the span before this look; large_cache_settle() clears the flag
	 * before it looks for spans. One of the two sees the other.
	 */
	if (unlikely(!READ_ONCE(heap->large_kept))) {
		WRITE_ONCE(heap->large_kept, true);
		scavenge_kick(HZ);
	}
	if (old)
		mheap_free_span(old);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(large_cache_put);

static void large_cache_flush_cpu(struct goalloc_heap *heap, int cpu)
{
	struct mspan **slots = per_cpu_ptr(heap->mcache, cpu)->large;
	int i;

	for (i = 0; i < LARGE_CACHE_SPANS; i++) {
		struct mspan *s = READ_ONCE(slots[i]) ? xchg(&slots[i], NULL) : NULL;

		if (s)
			mheap_free_span(s);
	}
}

/**
 * large_cache_flush - gives up all large objects' spans that CPUs keep
 * @heap: the heap
 *
 * Context: any but NMI; no lock held.
 */
void large_cache_flush(struct goalloc_heap *heap)
{
	int cpu;

	for_each_possible_cpu(cpu)
		large_cache_flush_cpu(heap, cpu);
}

GOALLOC_EXPORT_FOR_KUNIT(large_cache_flush);

/**
 * large_cache_settle - gives those spans up if nobody made a large object for a while
 * @heap: the heap
 *
 * Context: task, the background; called a second or more apart.
 */
void large_cache_settle(struct goalloc_heap *heap)
{
	u64 made = atomic64_read(&heap->large_alloc_count);
	bool quiet = made == heap->large_seen;

	heap->large_seen = made;
	if (!quiet || !READ_ONCE(heap->large_kept))
		return;
	WRITE_ONCE(heap->large_kept, false);
	/* A span that is put and not seen here finds the background told: large_cache_put(). */
	smp_mb();
	large_cache_flush(heap);
}

GOALLOC_EXPORT_FOR_KUNIT(large_cache_settle);

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
	large_cache_flush_cpu(heap, cpu);
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
	int spc;

	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++) {
		/* In this order: on PREEMPT_RT the first may have to wait. */
		local_bh_disable();
		preempt_disable();
		p = this_cpu_ptr(heap->mcache);
		mcache_flush_class(heap, p->ctx[MCACHE_TASK], spc);
		mcache_flush_class(heap, p->ctx[MCACHE_SOFTIRQ], spc);
		local_irq_save(flags);
		mcache_flush_class(heap, p->ctx[MCACHE_HARDIRQ], spc);
		local_irq_restore(flags);
		preempt_enable();
		local_bh_enable();
	}
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
 * mcache_flush_own - gives up all spans that this CPU and context has cached
 * @heap: the heap
 *
 * Context: any; no lock held.
 */
void mcache_flush_own(struct goalloc_heap *heap)
{
	int spc;

	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++) {
		preempt_disable();
		/* From NMI this is the empty one. */
		mcache_flush_class(heap, this_cpu_ptr(heap->mcache)->ctx[mcache_context()], spc);
		preempt_enable();
	}
}

/* CPUs do not come or go. */
static void mcache_flush_cpus(struct goalloc_heap *heap)
{
	struct mcache_flush_work f = { .heap = heap };
	int cpu;

	for_each_possible_cpu(cpu) {
		if (!mcache_present(heap, cpu))
			continue;
		if (!cpu_online(cpu)) {
			mcache_flush_cpu(heap, cpu);
			continue;
		}
		INIT_WORK_ONSTACK(&f.work, mcache_flush_workfn);
		queue_work_on(cpu, goalloc_flush_wq, &f.work);
		flush_work(&f.work);
		destroy_work_on_stack(&f.work);
	}
}

struct mcache_flush_wait {
	struct mcache_flush_work f;
	struct completion done;
};

static void mcache_flush_wait_workfn(struct work_struct *work)
{
	struct mcache_flush_wait *w = container_of(work, struct mcache_flush_wait, f.work);
	bool sparse = w->f.heap->backing == BACKING_SPARSE;

	/* Another who looks for what can be given up finds it neither here nor free yet. */
	if (sparse)
		mheap_returning(w->f.heap);
	mcache_flush_here(w->f.heap);
	if (sparse)
		mheap_returned(w->f.heap);
	complete(&w->done);
}

/* Has this CPU a span of the heap in an mcache? Racy: one that comes now may be missed. */
static bool mcache_holds(struct goalloc_heap *heap, int cpu)
{
	struct mcache_pcpu *p = per_cpu_ptr(heap->mcache, cpu);
	int ctx, spc;

	for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
		const struct mcache *mc = READ_ONCE(p->ctx[ctx]);

		for (spc = 0; mc != &goalloc_emptymcache && spc < GOALLOC_ALL_CENTRALS; spc++) {
			const struct mcache_alloc *a = &mc->alloc[spc];

			/* Its owner's, who may be changing it. */
			if (data_race(a->nmore || a->span != &goalloc_emptymspan))
				return true;
		}
	}
	return false;
}

/*
 * Has a CPU flush its mcaches, unless it is gone: they are flushed as it dies. One that
 * goes away meanwhile leaves the work to another, which flushes its own in vain. Nobody
 * else who wants CPUs to stay or go waits for this one. False if a fatal signal came:
 * some realtime tasks let no other run.
 */
static bool mcache_flush_wait(struct goalloc_heap *heap, int cpu)
{
	struct mcache_flush_wait w = { .f.heap = heap };
	bool killed;

	if (!cpu_online(cpu)) {
		cpus_read_unlock();
		return true;
	}
	init_completion(&w.done);
	INIT_WORK_ONSTACK(&w.f.work, mcache_flush_wait_workfn);
	queue_work_on(cpu, goalloc_flush_wq, &w.f.work);
	cpus_read_unlock();
	killed = wait_for_completion_killable(&w.done);
	/* One that has not begun never does, and else this is its end. */
	cancel_work_sync(&w.f.work);
	destroy_work_on_stack(&w.f.work);
	return !killed;
}

/**
 * mcache_flush_others - gives up all cached spans of a heap if that can be done
 * @heap: the heap
 * @gfp: the caller's flags
 *
 * Whoever allocates may be what the workers of other CPUs wait for: reclaim, a work
 * item, or one who takes a CPU down. So is whoever may not go into file systems or block
 * devices: a CPU may have to make a worker first, and reclaim memory for that. A fatal
 * signal ends it.
 *
 * Context: task, sleeps; no lock of ours held.
 */
void mcache_flush_others(struct goalloc_heap *heap, gfp_t gfp)
{
	const gfp_t all = __GFP_IO | __GFP_FS;
	int cpu;

	if (current->flags & (PF_MEMALLOC | PF_WQ_WORKER) ||
	    (current_gfp_context(gfp) & all) != all)
		return;
	for_each_possible_cpu(cpu) {
		if (!mcache_holds(heap, cpu))
			continue;
		if (fatal_signal_pending(current) || !cpus_read_trylock() ||
		    !mcache_flush_wait(heap, cpu))
			return;
	}
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
	cpus_read_lock();
	mcache_flush_cpus(heap);
	cpus_read_unlock();
	large_cache_flush(heap);
}

GOALLOC_EXPORT_FOR_KUNIT(mcache_flush_all);
