// SPDX-License-Identifier: GPL-2.0-only
/*
 * Central sets of spans (Go: mcentral.go).
 */
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/numa.h>
#include <linux/sched.h>
#include <linux/topology.h>

#include "compat.h"
#include "mcentral.h"
#include "mheap.h"
#include "sweep.h"

/* Spans that one refill sweeps in vain before it makes a new one, as in Go. */
#define SWEEP_BUDGET	100

/* A span with at most 1/16 of its slots free is not worth a refill. */
#define FEW_SHIFT	4

/* What one refill looks at: spans that wait for frees, the oldest ones first; */
#define FEW_LOOKS	2
/* spans that are emptier than their band says; */
#define STALE_TRIES	4
/* spans of a band for one on its own node. */
#define NODE_LOOKS	8

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
	int i, band;

	raw_spin_lock_init(&c->lock);
	c->heap = heap;
	c->spanclass = spc;
	for (i = 0; i < 2; i++) {
		for (band = 0; band < MCENTRAL_BANDS; band++)
			INIT_LIST_HEAD(&c->partial[i][band]);
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

static u32 mcentral_band_of(const struct mspan *s, u32 live)
{
	u32 n = s->nelems;

	if ((n - live) << FEW_SHIFT <= n)
		return MCENTRAL_FEW;
	return live * 2 >= n ? MCENTRAL_HALF : MCENTRAL_LESS;
}

static inline void mcentral_enlist(struct mcentral *c, struct mspan *s, u32 band)
{
	struct list_head *list = &c->partial[mcentral_set(s)][band];

	s->band = band;
	c->npartial[band]++;
	if (band == MCENTRAL_FEW)
		list_add_tail(&s->list, list);
	else
		list_add(&s->list, list);
}

static inline void mcentral_delist(struct mcentral *c, struct mspan *s)
{
	list_del_init(&s->list);
	c->npartial[s->band]--;
}

/*
 * Decides anew which band a span belongs to. It is not one of those kept with
 * nothing live: these have a place of their own. True if it moved.
 */
static bool mcentral_reband(struct mcentral *c, struct mspan *s)
{
	u32 band = mcentral_band_of(s, mspan_live(s));

	lockdep_assert_held(&c->lock);
	if (band == s->band)
		return false;
	mcentral_delist(c, s);
	mcentral_enlist(c, s, band);
	return true;
}

static void mcentral_push_partial(struct mcentral *c, struct mspan *s, u32 live)
{
	lockdep_assert_held(&c->lock);
	mspan_set_place(s, MSPAN_PARTIAL);
	mcentral_enlist(c, s, mcentral_band_of(s, live));
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
	if (s->place == MSPAN_FULL) {
		list_del_init(&s->list);
		c->nfull--;
	} else {
		mcentral_delist(c, s);
	}
	if (s->empty) {
		s->empty = 0;
		c->nempty--;
	}
}

/*
 * The span is in the partial set: if nothing in it lives it is kept as one of
 * the few spares, behind all others of the emptier band, or taken out, and then
 * true says that the caller returns it to the heap once the lock is free (I4).
 */
static bool mcentral_retire(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (s->empty || !mspan_all_free(s))
		return false;
	if (c->nempty < c->maxempty) {
		s->empty = 1;
		c->nempty++;
		mcentral_reband(c, s);
		list_move_tail(&s->list, &c->partial[mcentral_set(s)][s->band]);
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
 * and comes for the lock (I3). @full: it was just found full, one look will do.
 */
static bool mcentral_put_locked(struct mcentral *c, struct mspan *s, bool full)
{
	u32 live = full ? s->nelems : mspan_live(s);

	lockdep_assert_held(&c->lock);
	if (live == s->nelems) {
		mcentral_looked(s);
		mcentral_push_full(c, s);
		smp_mb(); /* place before bits, see above */
		if (!mspan_has_free(s))
			return false;
		mcentral_remove(c, s);
		live--;
	}
	mcentral_push_partial(c, s, live);
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
	bool gone = mcentral_put_locked(c, s, false);

	mcentral_unlock(c, flags);
	if (gone)
		mheap_free_span(s);
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_put);

#if IS_ENABLED(CONFIG_KUNIT)
/* A test says where this CPU is. */
int mcentral_on_node = NUMA_NO_NODE;

GOALLOC_EXPORT_FOR_KUNIT(mcentral_on_node);
#else
#define mcentral_on_node	NUMA_NO_NODE
#endif

/* The node whose spans this CPU prefers, if there is more than one. */
static inline int mcentral_node(void)
{
	if (likely(nr_online_nodes == 1))
		return mcentral_on_node;
	return numa_mem_id();
}

static struct mspan *mcentral_near(struct list_head *list, int node)
{
	struct mspan *s;
	int looks = NODE_LOOKS;

	list_for_each_entry(s, list, list) {
		if (s->empty || !looks--)
			break;
		if (s->nid == node)
			return s;
	}
	return list_first_entry(list, struct mspan, list);
}

/*
 * The first span of a list, or one of the next few that lies on the node. Not
 * one that is kept with nothing live: these are behind the others.
 */
static inline struct mspan *mcentral_first(struct list_head *list, int node)
{
	struct mspan *first = list_first_entry(list, struct mspan, list);

	if (list_empty(list) || first->empty)
		return NULL;
	return likely(node == NUMA_NO_NODE) ? first : mcentral_near(list, node);
}

/*
 * Some of those that had few free slots have more by now, the oldest ones most
 * likely. Without this look they would wait until nothing else is left.
 */
static void mcentral_look_at_few(struct mcentral *c, u32 set)
{
	struct list_head *few = &c->partial[set][MCENTRAL_FEW];
	struct mspan *s, *next;
	int looks = FEW_LOOKS;

	list_for_each_entry_safe(s, next, few, list) {
		if (!mcentral_reband(c, s))
			list_move_tail(&s->list, few);
		if (!--looks)
			break;
	}
}

/*
 * The span of a set that a refill should take. What looks at spans is bounded,
 * and after STALE_TRIES of them a span is taken though it belongs further down.
 */
static struct mspan *mcentral_choose(struct mcentral *c, u32 set)
{
	struct list_head *bands = c->partial[set];
	int tries = STALE_TRIES, node = mcentral_node();
	bool looked = false;
	struct mspan *s;
	u32 band;

	lockdep_assert_held(&c->lock);
	for (band = 0; band < MCENTRAL_FEW; band++) {
		while ((s = mcentral_first(&bands[band], node))) {
			if (!looked && !list_empty(&bands[MCENTRAL_FEW])) {
				looked = true;
				mcentral_look_at_few(c, set);
				/* One of them may be better. */
				band = 0;
				continue;
			}
			if (!tries-- || !mcentral_reband(c, s))
				return s;
		}
	}
	s = mcentral_first(&bands[MCENTRAL_FEW], node);
	/* Nothing is left but a spare. */
	return s ?: list_first_entry_or_null(&bands[MCENTRAL_LESS], struct mspan, list);
}

/* Takes a span of a set, for an mcache. */
static struct mspan *mcentral_pop_partial(struct mcentral *c, u32 set)
{
	struct mspan *s = mcentral_choose(c, set);

	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_CACHED);
	}
	return s;
}

/* The first span of a set, in no particular order. */
static struct mspan *mcentral_any_partial(struct mcentral *c, u32 set)
{
	struct mspan *s = NULL;
	u32 band;

	for (band = 0; band < MCENTRAL_BANDS && !s; band++)
		s = list_first_entry_or_null(&c->partial[set][band], struct mspan, list);
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
 * @old: the span the mcache gives up, its owner gone, or NULL; all its slots
 *	taken, but for those freed in this moment
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
			gone = mcentral_put_locked(c, old, true);
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

/* Without the lock: a span may come or go at this moment. */
static bool mcentral_set_empty(struct mcentral *c, bool partial, u32 set)
{
	u32 band;

	if (!partial)
		return list_empty_careful(&c->full[set]);
	for (band = 0; band < MCENTRAL_BANDS; band++)
		if (!list_empty_careful(&c->partial[set][band]))
			return false;
	return true;
}

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
	unsigned long flags;
	struct mspan *s;

	if (mcentral_set_empty(c, partial, set))
		return NULL;
	flags = mcentral_lock(c);
	s = partial ? mcentral_any_partial(c, set) :
	    list_first_entry_or_null(&c->full[set], struct mspan, list);
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
		s = mcentral_any_partial(c, i);
		s = s ?: list_first_entry_or_null(&c->full[i], struct mspan, list);
	}
	if (s) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
	}
	mcentral_unlock(c, flags);
	return s;
}

/* Takes a span that is kept in reserve; those are the last ones of their band. */
static struct mspan *mcentral_take_empty(struct mcentral *c)
{
	unsigned long flags = mcentral_lock(c);
	struct mspan *s = NULL;
	int set;

	for (set = 0; set < 2 && !(s && s->empty); set++) {
		struct list_head *last = &c->partial[set][MCENTRAL_LESS];

		s = list_empty(last) ? NULL : list_last_entry(last, struct mspan, list);
	}
	if (s && s->empty) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
	} else {
		s = NULL;
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
	if (!s)
		return NULL;
	if (heap->backing == BACKING_LINEAR)
		s->nid = page_to_nid(virt_to_page((void *)s->base));
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
 * has to be done. Where a word is all free the span may belong in another band.
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
		/* This free, and hardly more. */
		mcentral_push_partial(c, s, s->nelems - 1);
		gone = mcentral_retire(c, s);
	} else if (s->place == MSPAN_PARTIAL) {
		gone = mcentral_retire(c, s);
		if (!gone && !s->empty)
			mcentral_reband(c, s);
	}
	mcentral_unlock(c, flags);
	return gone;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_freed);
