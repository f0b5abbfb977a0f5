// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sweeping (Go: mgcsweep.go).
 *
 * Marks are kept beside the span, one bit a slot, from the first mark of a
 * cycle until the span is swept. Sweeping frees what lives and is not marked.
 * A span nobody marked in has no bits: all of it is dead. Whoever sweeps a
 * span holds it (I1): it is in no set and in no mcache.
 */
#include <linux/bitmap.h>
#include <linux/jiffies.h>
#include <linux/kmemleak.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "backing.h"
#include "checkers.h"
#include "compat.h"
#include "fixalloc.h"
#include "mcache.h"
#include "mheap.h"
#include "sweep.h"

/* No span is left to sweep. */
#define SWEEP_NONE	(~0ULL)

/* Spans that the background sweeper sweeps between two looks at the clock. */
#define BGSWEEP_BATCH	32

/* The share of one CPU that it may have: 1 of so many. */
#define BGSWEEP_SHARE	100

/* Spans that an allocation sweeps where it must not take long. */
#define SWEEP_ATOMIC_BUDGET	4

/* The least growth over which sweeping is spread out, in bytes, as in Go. */
#define SWEEP_MIN_DISTANCE	BIT_ULL(20)

static size_t gc_bits_size(const struct mspan *s)
{
	return struct_size(s->gcmark_bits, bits, BITS_TO_LONGS(s->nelems));
}

/**
 * gc_bits_free - frees the marks of a span
 * @s: the span, held by the caller
 *
 * Context: any but NMI.
 */
void gc_bits_free(struct mspan *s)
{
	if (!s->gcmark_bits)
		return;
	mheap_count(&s->heap->gc_bytes, -(s64)gc_bits_size(s));
	kfree_rcu(s->gcmark_bits, rcu);
	s->gcmark_bits = NULL;
}

/**
 * gc_mark - marks the object at an address
 * @heap: the heap
 * @addr: any address inside the object
 *
 * Marks are set while nobody uses the heap, before gc_sweep_start(),
 * and not before the last cycle is swept to its end, or that would free by them.
 *
 * Context: task, may sleep.
 * Return: 0; -EBUSY while the last cycle is being swept, -ENOENT if no object is
 * there, -ENOMEM.
 */
int gc_mark(struct goalloc_heap *heap, unsigned long addr)
{
	struct gc_bits *bits;
	struct mspan *s;
	u64 slot;
	int ret = -ENOENT;

	/* Pairs with sweepone(): who still sweeps is seen below. */
	if (!smp_load_acquire(&heap->sweepdone))
		return -EBUSY;
	/*
	 * All sets are swept. Whoever has taken the last spans out of them counted before
	 * that, and is at it.
	 */
	while (atomic_read_acquire(&heap->sweepers))
		schedule_timeout_uninterruptible(1);
	rcu_read_lock();
	s = heap->backing == BACKING_SPARSE ? span_of_heap(heap, addr) : span_of(addr);
	if (!s || s->heap != heap)
		goto out;
	slot = mspan_is_large(s) ? 0 : goalloc_div(addr - s->base, s->divmul);
	if (slot >= s->nelems || !mspan_slot_live(s, slot))
		goto out;
	ret = -ENOMEM;
	if (!READ_ONCE(s->gcmark_bits)) {
		bits = persistentalloc(heap, &heap->gc_bytes, gc_bits_size(s), GFP_NOWAIT);
		if (!bits)
			goto out;
		/* Only the span's record refers to it. */
		kmemleak_not_leak(bits);
		if (cmpxchg(&s->gcmark_bits, NULL, bits))
			persistentfree(&heap->gc_bytes, bits, gc_bits_size(s));
	}
	set_bit(slot, s->gcmark_bits->bits);
	ret = 0;
out:
	rcu_read_unlock();
	return ret;
}

GOALLOC_EXPORT_FOR_KUNIT(gc_mark);

/* The marks of the 32 slots of a word. */
static u32 mark_word(const struct mspan *s, u32 w)
{
	u32 bit = w * MSPAN_WORD_SLOTS;

	if (!s->gcmark_bits)
		return 0;
	return s->gcmark_bits->bits[bit / BITS_PER_LONG] >> (bit % BITS_PER_LONG);
}

/*
 * Kills the tiny blocks of a word that are not marked. Whoever takes the last
 * object of a block is the one to free its slot: a block with none left is
 * being freed by somebody else just now, and is struck off @blocks.
 */
static u32 tiny_kill_word(struct mspan *s, u32 w, u32 *blocks)
{
	u32 killed = 0, left = *blocks;

	checkers_freeing_slots(s, w, left);
	for (; left; left &= left - 1) {
		u32 bit = __ffs(left), n = tiny_kill(s, w * MSPAN_WORD_SLOTS + bit);

		if (!n)
			*blocks &= ~BIT(bit);
		killed += n;
	}
	return killed;
}

/**
 * mspan_sweep - frees what lives in a span and is not marked (Go: sweep)
 * @s: the span, HELD by the caller, with a sweepgen one below its next
 * @preserve: the caller keeps it; else it goes to its mcentral, or to the heap
 *
 * What somebody frees meanwhile is free whether marked or not: both are one
 * swap of the word.
 *
 * Context: any but NMI; bounded.
 * Return: true if a slot became free.
 */
bool mspan_sweep(struct mspan *s, bool preserve)
{
	struct goalloc_heap *heap = s->heap;
	u64 npages = s->npages;
	u32 nfreed = 0, ntiny = 0, w;

	for (w = 0; w < s->nwords; w++) {
		union mspan_word *word = &s->words[w];
		u32 mark = mark_word(s, w), ours = ~0U, dead;
		union mspan_word old, new;

		old.both = READ_ONCE(word->both);
		if (s->tiny) {
			ours = mspan_word_live(old) & ~mark;
			ntiny += tiny_kill_word(s, w, &ours);
		}
		do {
			dead = mspan_word_live(old) & ~mark & ours;
			if (!s->tiny)
				checkers_freeing_slots(s, w, dead);
			new = old;
			new.free |= dead;
		} while (dead && !try_cmpxchg(&word->both, &old.both, new.both));
		nfreed += hweight32(dead);
	}
	gc_bits_free(s);
	if (nfreed) {
		WRITE_ONCE(s->needzero, 1);
		if (mspan_is_large(s)) {
			atomic64_add(s->elemsize, &heap->large_free);
			atomic64_inc(&heap->large_free_count);
		} else {
			atomic64_add(nfreed, &heap->frees[s->spanclass]);
			atomic64_add(ntiny, &heap->tinyfrees);
		}
	}
	atomic64_add(npages, &heap->pages_swept);
	/* Swept: whoever gets the span from here on may allocate (I5). */
	smp_store_release(&s->sweepgen, s->sweepgen + 1);
	if (!preserve)
		mcentral_put(s->central, s);
	return nfreed;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_sweep);

/* A span of the sets that needs sweeping, HELD; full ones first: frees make them partial. */
static struct mspan *sweep_take(struct goalloc_heap *heap, u32 sg,
				struct mspan *(*take)(struct mcentral *c, bool partial, u32 sg))
{
	u32 first = READ_ONCE(heap->sweep_index), i;

	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++) {
		u32 spc = (first + i) % GOALLOC_ALL_CENTRALS;
		struct mcentral *c = &heap->central[spc];
		struct mspan *s = take(c, false, sg) ?: take(c, true, sg);

		if (s) {
			WRITE_ONCE(heap->sweep_index, spc);
			return s;
		}
	}
	return NULL;
}

/**
 * sweepone - sweeps one span (Go: sweepone)
 * @heap: the heap
 *
 * Context: any but NMI; not beside gc_sweep_start().
 * Return: its pages, or ~0 if none is left.
 */
u64 sweepone(struct goalloc_heap *heap)
{
	u32 sg = READ_ONCE(heap->sweepgen);
	u64 npages = SWEEP_NONE;
	struct mspan *s;

	if (READ_ONCE(heap->sweepdone) || !READ_ONCE(heap->central))
		return SWEEP_NONE;
	sweep_begin(heap);
	s = sweep_take(heap, sg, mcentral_take_unswept);
	/* A span on its way from one list to another is in none of them without the lock. */
	if (!s)
		s = sweep_take(heap, sg, mcentral_find_unswept);
	if (s) {
		npages = s->npages;
		mspan_sweep(s, false);
	} else if (READ_ONCE(heap->sweepgen) == sg) {
		/* Pairs with gc_mark(). */
		smp_store_release(&heap->sweepdone, true);
	}
	sweep_end(heap);
	return npages;
}

GOALLOC_EXPORT_FOR_KUNIT(sweepone);

/**
 * sweep_finish - sweeps all that a cycle has left over
 * @heap: the heap
 *
 * Others may still have a span that they sweep.
 *
 * Context: task, sleeps; not beside gc_sweep_start().
 */
void sweep_finish(struct goalloc_heap *heap)
{
	while (sweepone(heap) != SWEEP_NONE)
		cond_resched();
}

/**
 * deduct_sweep_credit - sweeps in proportion before the heap grows
 * @heap: the heap
 * @span_bytes: bytes of the span about to be made or refilled
 *
 * Sweeping a cycle's spans is spread over the bytes that may be allocated
 * until the next: whoever takes a span first sweeps what is due.
 *
 * Context: any but NMI.
 */
void deduct_sweep_credit(struct goalloc_heap *heap, u64 span_bytes)
{
	u64 ratio = READ_ONCE(heap->sweep_pages_per_byte), due;
	u32 budget = preemptible() ? U32_MAX : SWEEP_ATOMIC_BUDGET;

	if (!ratio)
		return;
	due = mul_u64_u64_shr(atomic64_add_return(span_bytes, &heap->sweep_span_bytes), ratio, 32);
	while (due > (u64)atomic64_read(&heap->pages_swept) && budget--) {
		if (sweepone(heap) == SWEEP_NONE) {
			WRITE_ONCE(heap->sweep_pages_per_byte, 0);
			break;
		}
	}
}

GOALLOC_EXPORT_FOR_KUNIT(deduct_sweep_credit);

/*
 * The background sweeper. It measures what it takes and sleeps 99 times as
 * long, so it has one hundredth of a CPU (Go: bgsweep).
 */
static void bgsweep(struct work_struct *work)
{
	struct goalloc_heap *heap = container_of(to_delayed_work(work), struct goalloc_heap,
						 bgsweep);
	u64 begin = ktime_get_ns();
	int i;

	for (i = 0; i < BGSWEEP_BATCH; i++) {
		if (sweepone(heap) == SWEEP_NONE)
			return;
		cond_resched();
	}
	queue_delayed_work(goalloc_wq, &heap->bgsweep,
			   nsecs_to_jiffies((ktime_get_ns() - begin) * (BGSWEEP_SHARE - 1)) + 1);
}

/**
 * gc_sweep_start - begins a cycle: all spans need sweeping (Go: gcSweep)
 * @heap: the heap, in which the live objects are marked, and from which
 *	nobody allocates meanwhile; frees do no harm
 *
 * Context: task, sleeps.
 */
void gc_sweep_start(struct goalloc_heap *heap)
{
	u64 begin = ktime_get_ns(), pages, live, percent;
	unsigned long flags;

	mutex_lock(&heap->thin_mutex);
	/* The last cycle's end, before its sets become those of this one. */
	while (sweepone(heap) != SWEEP_NONE)
		cond_resched();
	cancel_delayed_work_sync(&heap->bgsweep);
	mcache_flush_all(heap);

	flags = mheap_lock(heap);
	pages = mheap_pages_in_use(heap);
	live = pages << GOALLOC_PAGE_SHIFT;
	atomic64_set(&heap->pages_swept, 0);
	atomic64_set(&heap->sweep_span_bytes, 0);
	WRITE_ONCE(heap->sweep_index, 0);
	heap->num_gc++;
	heap->num_forced_gc++;
	heap->last_gc = ktime_get_real_ns();
	percent = READ_ONCE(heap->gc_percent);
	if (percent != GOALLOC_NO_LIMIT)
		live = mul_u64_u64_div_u64(live, percent, 100);
	WRITE_ONCE(heap->sweep_pages_per_byte,
		   div64_u64(pages << 32, max(live, SWEEP_MIN_DISTANCE)));
	WRITE_ONCE(heap->sweepgen, heap->sweepgen + 2);
	WRITE_ONCE(heap->sweepdone, false);
	heap->pause_total_ns += ktime_get_ns() - begin;
	mheap_unlock(heap, flags);
	mutex_unlock(&heap->thin_mutex);

	queue_delayed_work(goalloc_wq, &heap->bgsweep, 1);
}

GOALLOC_EXPORT_FOR_KUNIT(gc_sweep_start);

/**
 * sweep_init - readies a heap's sweeping
 * @heap: the heap
 *
 * Context: any.
 */
void sweep_init(struct goalloc_heap *heap)
{
	/* As in Go: the first span's generation is not below 0. */
	heap->sweepgen = 2;
	heap->sweepdone = true;
	mutex_init(&heap->thin_mutex);
	INIT_DELAYED_WORK(&heap->bgsweep, bgsweep);
}

/**
 * sweep_stop - ends a heap's background sweeping
 * @heap: the heap
 *
 * Context: task, sleeps.
 */
void sweep_stop(struct goalloc_heap *heap)
{
	cancel_delayed_work_sync(&heap->bgsweep);
}

GOALLOC_EXPORT_FOR_KUNIT(sweep_stop);
