// SPDX-License-Identifier: GPL-2.0-only
/*
 * Central sets of spans (Go: mcentral.go).
 */
#include <linux/lockdep.h>
#include <linux/sched.h>

#include "compat.h"
#include "mcentral.h"
#include "mheap.h"
#include "sweep.h"

/* Spans that one refill sweeps in vain before it makes a new one, as in Go. */
#define SWEEP_BUDGET	100

/**
 * mcentral_init - makes the mcentral of a span class
 * @c: the mcentral
 * @heap: its heap
 * @spc: its span class
 *
 * Context: any.
 */
void mcentral_init(struct mcentral *c, struct goalloc_heap *heap, u8 spc)
{
	int i;

	raw_spin_lock_init(&c->lock);
	c->heap = heap;
	c->spanclass = spc;
	for (i = 0; i < 2; i++) {
		INIT_LIST_HEAD(&c->partial[i]);
		INIT_LIST_HEAD(&c->full[i]);
	}
	if (!spanclass_is_exact(spc)) {
		u8 class = spanclass_sizeclass(spc);

		c->noscan = spanclass_noscan(spc);
		c->elemsize = goalloc_class_to_size[class];
		c->npages = goalloc_class_to_allocnpages[class];
		c->nelems = goalloc_class_to_nelems[class];
		c->divmul = goalloc_class_to_divmagic[class];
	}
	/* A large object's span has no second use and is returned at once. */
	c->maxempty = spc < 2 ? 0 : 1;
}

static unsigned long mcentral_lock(struct mcentral *c) __acquires(&c->lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&c->lock, flags);
	c->locks++;
	return flags;
}

static void mcentral_unlock(struct mcentral *c, unsigned long flags) __releases(&c->lock)
{
	raw_spin_unlock_irqrestore(&c->lock, flags);
}

/* The set a span belongs to goes by its own generation: see sweep.h. */
static u32 mcentral_set(const struct mspan *s)
{
	return (READ_ONCE(s->sweepgen) / 2) & 1;
}

/*
 * Into the sets. Spans with nothing live go behind the others: those are
 * better used, and these better returned.
 */
static void mcentral_push_partial(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	mspan_set_place(s, MSPAN_PARTIAL);
	list_add(&s->list, &c->partial[mcentral_set(s)]);
	c->npartial++;
}

static void mcentral_push_full(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	mspan_set_place(s, MSPAN_FULL);
	list_add_tail(&s->list, &c->full[mcentral_set(s)]);
	c->nfull++;
}

static void mcentral_remove(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	list_del_init(&s->list);
	if (s->place == MSPAN_FULL)
		c->nfull--;
	else
		c->npartial--;
	if (s->empty) {
		s->empty = 0;
		c->nempty--;
	}
}

/*
 * The span is in the partial set: if nothing in it lives it is kept as one of
 * the few spares, or taken out, and then true says that the caller returns it
 * to the heap once the lock is free (I4).
 */
static bool mcentral_retire(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (s->empty || !mspan_all_free(s))
		return false;
	if (c->nempty < c->maxempty) {
		s->empty = 1;
		c->nempty++;
		list_move_tail(&s->list, &c->partial[mcentral_set(s)]);
		return false;
	}
	mcentral_remove(c, s);
	mspan_set_place(s, MSPAN_HELD);
	return true;
}

#if IS_ENABLED(CONFIG_KUNIT)
/* A test acts between the two looks of mcentral_put_locked(). */
void (*mcentral_between_looks)(struct mspan *s);

GOALLOC_EXPORT_FOR_KUNIT(mcentral_between_looks);

static void mcentral_looked(struct mspan *s)
{
	void (*act)(struct mspan *s) = READ_ONCE(mcentral_between_looks);

	if (act)
		act(s);
}
#else
static void mcentral_looked(struct mspan *s)
{
}
#endif

/*
 * Puts a span that the caller holds into the set it belongs to. The place is
 * stored before the remote bits are looked at, with a full barrier between;
 * a remote free does both the other way round, in mspan_free_remote() and
 * mcentral_freed(). So either its bit is seen here, or it sees the new place
 * and comes for the lock (I3).
 */
static bool mcentral_put_locked(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (!mspan_has_free(s)) {
		mcentral_looked(s);
		mcentral_push_full(c, s);
		smp_mb(); /* place before bits, see above */
		if (!mspan_has_free(s))
			return false;
		mcentral_remove(c, s);
	}
	mcentral_push_partial(c, s);
	smp_mb(); /* place before bits, see above */
	return mcentral_retire(c, s);
}

/**
 * mcentral_put - puts a span into the set it belongs to
 * @c: its mcentral
 * @s: the span, held by the caller, with its sweepgen set
 *
 * A span with nothing live may go back to the heap at once.
 *
 * Context: any but NMI.
 */
void mcentral_put(struct mcentral *c, struct mspan *s)
{
	unsigned long flags = mcentral_lock(c);
	bool gone = mcentral_put_locked(c, s);

	mcentral_unlock(c, flags);
	if (gone)
		mheap_free_span(s);
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_put);

/* Takes the first span of a set, for an mcache. */
static struct mspan *mcentral_pop_partial(struct mcentral *c, u32 set)
{
	struct mspan *s = list_first_entry_or_null(&c->partial[set], struct mspan, list);

	lockdep_assert_held(&c->lock);
	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_CACHED);
	}
	return s;
}

/*
 * A span goes from an mcache back to its mcentral. If a cycle began while it
 * was cached it was not swept in time and is swept now (Go: uncacheSpan).
 * Returns true if the span is for mcentral_put_locked().
 */
static bool mcentral_uncache_sweepgen(struct mspan *s)
{
	u32 sg = READ_ONCE(s->heap->sweepgen);

	if (s->sweepgen == sg + 1) {
		WRITE_ONCE(s->sweepgen, sg - 1);
		return false;
	}
	WRITE_ONCE(s->sweepgen, sg);
	return true;
}

/**
 * mcentral_uncache_span - takes a span back from an mcache
 * @c: its mcentral
 * @s: the span, CACHED, its owner gone (Go: uncacheSpan)
 *
 * Context: any but NMI.
 */
void mcentral_uncache_span(struct mcentral *c, struct mspan *s)
{
	if (mcentral_uncache_sweepgen(s)) {
		mcentral_put(c, s);
	} else {
		unsigned long flags = mcentral_lock(c);

		mspan_set_place(s, MSPAN_HELD);
		mcentral_unlock(c, flags);
		mspan_sweep(s, false);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_uncache_span);

/**
 * mcentral_cache_span_fast - swaps a used-up span for a swept one
 * @c: the mcentral
 * @old: the span the mcache gives up, its owner gone, or NULL
 *
 * The lock is taken once for both.
 *
 * Context: any but NMI, preemption off; bounded.
 * Return: a CACHED span with a free slot, or NULL.
 */
struct mspan *mcentral_cache_span_fast(struct mcentral *c, struct mspan *old)
{
	bool stale = old && !mcentral_uncache_sweepgen(old);
	bool gone = false;
	unsigned long flags;
	struct mspan *s;
	u32 sg;

	flags = mcentral_lock(c);
	if (old) {
		if (stale)
			mspan_set_place(old, MSPAN_HELD);
		else
			gone = mcentral_put_locked(c, old);
	}
	sg = READ_ONCE(c->heap->sweepgen);
	s = mcentral_pop_partial(c, (sg / 2) & 1);
	if (s)
		WRITE_ONCE(s->sweepgen, s->sweepgen + 3);
	mcentral_unlock(c, flags);

	if (gone)
		mheap_free_span(old);
	if (stale)
		mspan_sweep(old, false);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_cache_span_fast);

/**
 * mcentral_take_unswept - takes a span that needs sweeping
 * @c: the mcentral
 * @partial: from the partial set, else from the full one
 * @sg: the heap's sweepgen
 *
 * Context: any but NMI.
 * Return: the span, HELD and with sweepgen @sg - 1: the caller sweeps it. Or
 * NULL if there is none.
 */
struct mspan *mcentral_take_unswept(struct mcentral *c, bool partial, u32 sg)
{
	u32 set = !((sg / 2) & 1);
	struct list_head *list = partial ? &c->partial[set] : &c->full[set];
	unsigned long flags;
	struct mspan *s;

	if (list_empty_careful(list))
		return NULL;
	flags = mcentral_lock(c);
	s = list_first_entry_or_null(list, struct mspan, list);
	/* If a cycle began just now, this is the swept set: leave it. */
	if (s && s->sweepgen != sg - 2)
		s = NULL;
	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
		WRITE_ONCE(s->sweepgen, sg - 1);
	}
	mcentral_unlock(c, flags);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_take_unswept);

/**
 * mcentral_take_any - takes a span out of the sets, whatever its state
 * @c: the mcentral of a class that nobody uses any more
 *
 * Context: any but NMI.
 * Return: the span, HELD, or NULL if there is none.
 */
struct mspan *mcentral_take_any(struct mcentral *c)
{
	unsigned long flags = mcentral_lock(c);
	struct mspan *s = NULL;
	int i;

	for (i = 0; i < 2 && !s; i++) {
		s = list_first_entry_or_null(&c->partial[i], struct mspan, list);
		s = s ?: list_first_entry_or_null(&c->full[i], struct mspan, list);
	}
	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
	}
	mcentral_unlock(c, flags);
	return s;
}

/* Takes a span that is kept in reserve; those are the last ones of a set. */
static struct mspan *mcentral_take_empty(struct mcentral *c)
{
	unsigned long flags = mcentral_lock(c);
	struct mspan *s = NULL, *i;
	int set;

	for (set = 0; set < 2 && !s; set++) {
		list_for_each_entry_reverse(i, &c->partial[set], list) {
			if (i->empty) {
				s = i;
				break;
			}
		}
	}
	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
	}
	mcentral_unlock(c, flags);
	return s;
}

/**
 * mcentral_release_empty - gives the spans back that are kept in reserve
 * @heap: the heap, all size classes of it
 *
 * Context: task, sleeps; no lock held.
 */
void mcentral_release_empty(struct goalloc_heap *heap)
{
	struct mcentral *central = READ_ONCE(heap->central);
	struct mspan *s;
	int i;

	for (i = 2; central && i < GOALLOC_NUM_CENTRALS; i++) {
		while (READ_ONCE(central[i].nempty)) {
			s = mcentral_take_empty(&central[i]);
			if (!s)
				break;
			mheap_return_span(s);
		}
	}
}

/* A span just swept, or made, with a free slot: to the mcache with it. */
static void mcentral_hand_out(struct mcentral *c, struct mspan *s)
{
	unsigned long flags = mcentral_lock(c);

	mspan_set_place(s, MSPAN_CACHED);
	/* From its own generation: if a cycle began just now it is stale. */
	WRITE_ONCE(s->sweepgen, s->sweepgen + 3);
	mcentral_unlock(c, flags);
}

/**
 * mcentral_cache_span - gets a span for an mcache (Go: cacheSpan)
 * @c: the mcentral
 * @gfp: how to get memory if a span must be made
 *
 * Swept spans first, then unswept ones, which are swept for it, and if that
 * does not bring a free slot soon, a new one from the page heap.
 *
 * Context: any but NMI; may sleep if @gfp may block.
 * Return: a CACHED span with a free slot, or NULL.
 */
struct mspan *mcentral_cache_span(struct mcentral *c, gfp_t gfp)
{
	struct goalloc_heap *heap = c->heap;
	int budget = SWEEP_BUDGET;
	struct mspan *s;
	u32 sg;

	deduct_sweep_credit(heap, (u64)c->npages << GOALLOC_PAGE_SHIFT);

	s = mcentral_cache_span_fast(c, NULL);
	if (s)
		return s;

	sg = READ_ONCE(heap->sweepgen);
	while (!READ_ONCE(heap->sweepdone) && budget-- > 0) {
		s = mcentral_take_unswept(c, true, sg);
		if (!s)
			s = mcentral_take_unswept(c, false, sg);
		if (!s)
			break;
		mspan_sweep(s, true);
		if (mspan_merge(s)) {
			mcentral_hand_out(c, s);
			return s;
		}
		mcentral_put(c, s);
	}

	s = mheap_alloc_span(heap, c->npages, 1, c->spanclass, c->elemsize, gfp);
	if (s)
		mcentral_hand_out(c, s);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_cache_span);

/**
 * mcentral_freed - looks after a span in which a slot was just freed remotely
 * @s: the span
 * @w: the word the slot is in
 *
 * Of a cached or held span the holder will see the bit. A full one becomes
 * partial, and one that has nothing live any more goes back to the heap (I3,
 * I4). Which it is, is decided under the lock; without it only that nothing
 * has to be done.
 *
 * Context: any but NMI; mspan_free_remote() was called before, and RCU keeps
 * @s: preemption off or rcu_read_lock() held.
 * Return: true if nothing in it lives any more and it was taken out of the
 * sets: the caller gives it back with mheap_free_span() where that may sleep.
 */
bool mcentral_freed(struct mspan *s, u32 w)
{
	struct mcentral *c = s->central;
	unsigned long flags;
	bool gone = false;

	switch (READ_ONCE(s->place)) {
	case MSPAN_FULL:
		break;
	case MSPAN_PARTIAL:
		if (mspan_word_all_free(s, w))
			break;
		return false;
	default:
		return false;
	}

	flags = mcentral_lock(c);
	if (s->place == MSPAN_FULL && mspan_has_free(s)) {
		mcentral_remove(c, s);
		mcentral_push_partial(c, s);
	}
	if (s->place == MSPAN_PARTIAL)
		gone = mcentral_retire(c, s);
	mcentral_unlock(c, flags);
	return gone;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_freed);
