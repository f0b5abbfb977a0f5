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

#include "backing.h"
#include "compat.h"
#include "counter.h"
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
/* spans that may be closed; */
#define CLOSE_LOOKS	4
/* spans of a band for one on its own node. */
#define NODE_LOOKS	8

/* Bytes of spans that an mcache may have of one class, and how many at most. */
u32 goalloc_mcache_bytes = SZ_128K;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_mcache_bytes);

#define MCACHE_MAX_SPANS	32

/**
 * mcentral_set_bounds - how many spans of the class are kept at hand
 * @c: the mcentral
 *
 * By an mcache, and here with nothing live in them. On a file heap every free is a
 * remote one, and more than the one span that slots are taken from is of no use.
 *
 * Context: any; nobody uses the class yet.
 */
void mcentral_set_bounds(struct mcentral *c)
{
	u32 bytes = c->npages << GOALLOC_PAGE_SHIFT;

	c->maxcached = 1;
	if (c->heap->backing == BACKING_LINEAR && c->heap->page_caches && bytes)
		c->maxcached = clamp(goalloc_mcache_bytes / bytes, 1U, (u32)MCACHE_MAX_SPANS);
	/* A large object's span has no second use and is returned at once. */
	c->maxempty = c->spanclass < 2 ? 0 : DIV_ROUND_UP(c->maxcached, 2);
}

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
	mcentral_set_bounds(c);
}

static __always_inline unsigned long mcentral_lock_inline(struct mcentral *c) __acquires(&c->lock)
{
	unsigned long flags;
	bool contended;

	local_irq_save(flags);
	contended = !raw_spin_trylock(&c->lock);
	if (unlikely(contended))
		raw_spin_lock(&c->lock);
	one_writer_add(c->contended, contended);
	one_writer_add(c->locks, 1);
	return flags;
}

static unsigned long mcentral_lock(struct mcentral *c) __acquires(&c->lock)
{
	return mcentral_lock_inline(c);
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

	/* Some look without the lock whether it is closed. */
	WRITE_ONCE(s->band, band);
	one_writer_add(c->npartial[band], 1);
	if (band == MCENTRAL_FEW)
		list_add_tail(&s->list, list);
	else
		list_add(&s->list, list);
}

static inline void mcentral_delist(struct mcentral *c, struct mspan *s)
{
	list_del_init(&s->list);
	one_writer_add(c->npartial[s->band], -1);
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

/* All that is to be done for a large object's span, which is never closed or empty. */
static __always_inline void mcentral_push_large(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	mspan_set_place(s, MSPAN_FULL);
	list_add_tail(&s->list, &c->full[mcentral_set(s)]);
	one_writer_add(c->nfull, 1);
}

static __always_inline void mcentral_remove_large(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	list_del_init(&s->list);
	one_writer_add(c->nfull, -1);
}

static void mcentral_push_full(struct mcentral *c, struct mspan *s)
{
	mcentral_push_large(c, s);
	one_writer_add(c->nclosed, mspan_is_closed(s));
}

static void mcentral_remove(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (s->place == MSPAN_FULL) {
		mcentral_remove_large(c, s);
		one_writer_add(c->nclosed, -mspan_is_closed(s));
	} else {
		mcentral_delist(c, s);
	}
	if (s->empty) {
		s->empty = 0;
		one_writer_add(c->nempty, -1);
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
		one_writer_add(c->nempty, 1);
		mcentral_reband(c, s);
		list_move_tail(&s->list, &c->partial[mcentral_set(s)][s->band]);
		return false;
	}
	mcentral_remove(c, s);
	mspan_set_place(s, MSPAN_HELD);
	return true;
}

/* The same of a closed span. */
static bool mcentral_is_over(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (!mspan_all_free(s))
		return false;
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
	if (unlikely(mspan_is_closed(s))) {
		mcentral_push_full(c, s);
		smp_mb(); /* place before bits, see above */
		return mcentral_is_over(c, s);
	}
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
		one_writer_add(c->refills, 1);
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

/* Gives the spans @old up, and takes another: see below. */
static struct mspan *mcentral_swap(struct mcentral *c, struct mspan *old)
{
	struct mspan *gone = NULL, *stale = NULL, *next, *s;
	bool single = old && !old->next;
	unsigned long flags;
	u32 sg;

	flags = mcentral_lock(c);
	for (; old; old = next) {
		next = old->next;
		old->next = NULL;
		if (!mcentral_uncache_sweepgen(old)) {
			mspan_set_place(old, MSPAN_HELD);
			old->next = stale;
			stale = old;
		} else if (mcentral_put_locked(c, old, single)) {
			old->next = gone;
			gone = old;
		}
	}
	sg = READ_ONCE(c->heap->sweepgen);
	s = mcentral_pop_partial(c, (sg / 2) & 1);
	if (s)
		WRITE_ONCE(s->sweepgen, s->sweepgen + 3);
	mcentral_unlock(c, flags);

	for (; gone; gone = next) {
		next = gone->next;
		mheap_free_span(gone);
	}
	for (; stale; stale = next) {
		next = stale->next;
		stale->next = NULL;
		mspan_sweep(stale, false);
	}
	return s;
}

/**
 * mcentral_cache_span_fast - swaps used-up spans for a swept one
 * @c: the mcentral
 * @old: the spans the mcache gives up, linked by their @next, their owner gone,
 *	or NULL; a single one has all its slots taken, but for those freed in this
 *	moment
 *
 * The lock is taken once for all.
 *
 * Context: any but NMI, preemption off; bounded.
 * Return: a CACHED span with a free slot, or NULL.
 */
struct mspan *mcentral_cache_span_fast(struct mcentral *c, struct mspan *old)
{
	/* One that comes or moves just now is for the next who asks. */
	if (!old && !mcentral_npartial(c))
		return NULL;
	return mcentral_swap(c, old);
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_cache_span_fast);

/* Without the lock: a span may come or go at this moment. */
static bool mcentral_set_empty(struct mcentral *c, bool partial, u32 set)
{
	u32 band;

	if (!partial)
		/* Of the two pointers of a list that are looked at one is stored plainly. */
		return data_race(list_empty_careful(&c->full[set]));
	for (band = 0; band < MCENTRAL_BANDS; band++)
		/* As above. */
		if (!data_race(list_empty_careful(&c->partial[set][band])))
			return false;
	return true;
}

/**
 * mcentral_find_unswept - takes a span that needs sweeping
 * @c: the mcentral
 * @partial: from the partial set, else from the full one
 * @sg: the heap's sweepgen
 *
 * Context: any but NMI.
 * Return: the span, HELD and with sweepgen @sg - 1: the caller sweeps it. Or
 * NULL if there is none, and none is on its way from the full set to the partial.
 */
struct mspan *mcentral_find_unswept(struct mcentral *c, bool partial, u32 sg)
{
	unsigned long flags = mcentral_lock(c);
	u32 set = !((sg / 2) & 1);
	struct mspan *s;

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

GOALLOC_EXPORT_FOR_KUNIT(mcentral_find_unswept);

/**
 * mcentral_take_unswept - takes a span that needs sweeping, if one is seen
 * @c: the mcentral
 * @partial: from the partial set, else from the full one
 * @sg: the heap's sweepgen
 *
 * Does not take the lock for a set that looks empty: one whose span is just on its
 * way into another one does.
 *
 * Context: any but NMI.
 * Return: as mcentral_find_unswept().
 */
struct mspan *mcentral_take_unswept(struct mcentral *c, bool partial, u32 sg)
{
	if (mcentral_set_empty(c, partial, !((sg / 2) & 1)))
		return NULL;
	return mcentral_find_unswept(c, partial, sg);
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
 * mcentral_release_spares - gives the spans back that a class keeps in reserve
 * @c: its mcentral
 *
 * Context: no lock held; any but NMI if the heap is linear, else a task, which sleeps.
 */
void mcentral_release_spares(struct mcentral *c)
{
	bool linear = c->heap->backing == BACKING_LINEAR;
	u32 n = READ_ONCE(c->nempty);
	struct mspan *s;

	if (!n)
		return;
	/* Of a heap that is mapped they leave all mappings first, which takes a while. */
	if (!linear)
		mheap_returning(c->heap);
	/* Not those, too, that others leave here meanwhile. */
	while (n--) {
		s = mcentral_take_empty(c);
		if (!s)
			break;
		if (linear)
			mheap_free_span(s);
		else
			mheap_return_span(s);
	}
	if (!linear)
		mheap_returned(c->heap);
}

/**
 * mcentral_end_span - what lives in a span is over, and nobody finds it any more
 * @s: a span of a heap that ends
 *
 * A free that should not be, and found the span just before, meets no live object,
 * or a span that is in no set: it does not touch the others, which go one by one.
 *
 * Context: task; no lock held.
 */
void mcentral_end_span(struct mspan *s)
{
	struct mcentral *c = s->central;
	unsigned long flags = mcentral_lock(c);
	union mspan_word none;
	u32 w;

	if (s->place == MSPAN_PARTIAL || s->place == MSPAN_FULL) {
		mcentral_remove(c, s);
		mspan_set_place(s, MSPAN_HELD);
	}
	mcentral_unlock(c, flags);
	for (w = 0; w < s->nwords; w++) {
		none.free = mspan_word_slots(s, w);
		none.kept = none.free;
		xchg(&s->words[w].both, none.both);
	}
}

/**
 * mcentral_release_empty - gives the spans back that are kept in reserve
 * @heap: the heap, all classes of it
 *
 * Context: no lock held; any but NMI if the heap is linear, else a task, which sleeps.
 */
void mcentral_release_empty(struct goalloc_heap *heap)
{
	struct mcentral *central = READ_ONCE(heap->central);
	int i;

	for (i = 2; central && i < GOALLOC_ALL_CENTRALS; i++)
		mcentral_release_spares(&central[i]);
}

/*
 * The oldest span of a list that is to be closed, HELD; looked at ones go to the
 * front. Spares, which are behind all others, are none.
 */
static struct mspan *mcentral_take_thin(struct mcentral *c, u8 band, u32 *looks)
{
	unsigned long flags = mcentral_lock(c);
	struct list_head *list = &c->partial[(READ_ONCE(c->heap->sweepgen) / 2) & 1][band];
	u32 budget = CLOSE_LOOKS;
	struct mspan *s;

	while (*looks && budget--) {
		list_for_each_entry_reverse(s, list, list)
			if (!s->empty)
				break;
		--*looks;
		if (list_entry_is_head(s, list, list)) {
			*looks = 0;
			break;
		}
		if (backing_is_thin(s)) {
			mcentral_remove(c, s);
			mspan_set_place(s, MSPAN_HELD);
			s->gone = 0;
			WRITE_ONCE(s->band, MSPAN_CLOSED);
			mcentral_unlock(c, flags);
			return s;
		}
		list_move(&s->list, list);
	}
	mcentral_unlock(c, flags);
	return NULL;
}

/*
 * What is behind no live slot of a closed span goes, and the span where it belongs. No
 * cycle begins meanwhile, whose sweepers would not find the span (I5).
 */
static void mcentral_thin(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->heap->thin_mutex);
	backing_thin(c->heap, s);
	mcentral_put(c, s);
}

/**
 * mcentral_close_some - gives back memory behind spans in which few slots live
 * @c: the mcentral of a kernel heap's class
 * @band: of which list
 * @looks: how many spans are still to be looked at
 *
 * Context: task, sleeps; no lock held.
 * Return: true if a span was closed.
 */
bool mcentral_close_some(struct mcentral *c, u8 band, u32 *looks)
{
	struct mspan *s;

	mutex_lock(&c->heap->thin_mutex);
	s = mcentral_take_thin(c, band, looks);
	if (s)
		mcentral_thin(c, s);
	mutex_unlock(&c->heap->thin_mutex);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_close_some);

/* A closed span of which more can go back than did, HELD. */
static struct mspan *mcentral_take_thinner(struct mcentral *c, u32 *looks)
{
	unsigned long flags = mcentral_lock(c);
	struct list_head *list = &c->full[(READ_ONCE(c->heap->sweepgen) / 2) & 1];
	u32 budget = CLOSE_LOOKS;
	struct mspan *s;

	while (*looks && budget--) {
		--*looks;
		s = list_first_entry_or_null(list, struct mspan, list);
		if (!s) {
			*looks = 0;
			break;
		}
		if (mspan_is_closed(s) && backing_is_thinner(s)) {
			mcentral_remove(c, s);
			mspan_set_place(s, MSPAN_HELD);
			mcentral_unlock(c, flags);
			return s;
		}
		list_move_tail(&s->list, list);
	}
	mcentral_unlock(c, flags);
	return NULL;
}

/**
 * mcentral_thin_some - gives back what of closed spans became free since
 * @c: the mcentral of a kernel heap's class
 * @looks: how many spans are still to be looked at, full ones, too
 *
 * Context: task, sleeps; no lock held.
 * Return: true if of a span something went back.
 */
bool mcentral_thin_some(struct mcentral *c, u32 *looks)
{
	struct mspan *s;

	mutex_lock(&c->heap->thin_mutex);
	s = mcentral_take_thinner(c, looks);
	if (s)
		mcentral_thin(c, s);
	mutex_unlock(&c->heap->thin_mutex);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_thin_some);

/* A span just swept, or made, with a free slot: to the mcache with it. */
static void mcentral_hand_out(struct mcentral *c, struct mspan *s)
{
	unsigned long flags = mcentral_lock(c);

	mspan_set_place(s, MSPAN_CACHED);
	one_writer_add(c->refills, 1);
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
		sweep_begin(heap);
		s = mcentral_take_unswept(c, true, sg);
		if (!s)
			s = mcentral_take_unswept(c, false, sg);
		if (s)
			mspan_sweep(s, true);
		sweep_end(heap);
		if (!s)
			break;
		if (!mspan_is_closed(s) && mspan_merge(s)) {
			mcentral_hand_out(c, s);
			return s;
		}
		mcentral_put(c, s);
	}

	s = mheap_alloc_span(heap, c->npages, 1, c->spanclass, c->elemsize, gfp);
	/* The counts may have shown none while one moved from band to band. */
	if (!s)
		return mcentral_swap(c, NULL);
	if (heap->backing == BACKING_LINEAR)
		s->nid = page_to_nid(virt_to_page((void *)s->base));
	mcentral_hand_out(c, s);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_cache_span);

/* Takes a large object's span out of its set if the object was freed. */
static __always_inline bool mcentral_take_freed(struct mcentral *c, struct mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (s->place != MSPAN_FULL || mspan_large_live(s))
		return false;
	mcentral_remove_large(c, s);
	mspan_set_place(s, MSPAN_HELD);
	return true;
}

/**
 * mcentral_put_large - puts a large object's span where it belongs
 * @s: the span, held by the caller, with its sweepgen set, its slot just taken
 *
 * What mcentral_put() does, of which most is not needed here.
 *
 * Context: any but NMI.
 */
void mcentral_put_large(struct mspan *s)
{
	struct mcentral *c = s->central;
	unsigned long flags = mcentral_lock_inline(c);
	bool gone;

	mcentral_push_large(c, s);
	smp_mb(); /* place before bits, see mcentral_put_locked() */
	/* A second free of what was there before may have come too late to see it. */
	gone = mcentral_take_freed(c, s);
	mcentral_unlock(c, flags);
	if (unlikely(gone))
		mheap_free_span(s);
}

/**
 * mcentral_freed_large - looks after a large object's span that was just freed
 * @s: the span
 *
 * Context: as mcentral_freed().
 * Return: true if it was taken out of the sets: it is the caller's, HELD.
 */
bool mcentral_freed_large(struct mspan *s)
{
	struct mcentral *c = s->central;
	unsigned long flags;
	bool gone;

	/* Who holds it looks at its bit afterwards. */
	if (READ_ONCE(s->place) != MSPAN_FULL)
		return false;
	flags = mcentral_lock_inline(c);
	gone = mcentral_take_freed(c, s);
	mcentral_unlock(c, flags);
	return gone;
}

/**
 * mcentral_freed - looks after a span in which a slot was just freed remotely
 * @s: the span
 * @w: the word the slot is in
 *
 * Of a cached or held span the holder will see the bit. A full one becomes
 * partial, and one that has nothing live any more goes back to the heap (I3,
 * I4), a full one of one slot at once. Which it is, is decided under the lock;
 * without it only that nothing has to be done. Where a word is all free the span
 * may belong in another band.
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
		if (unlikely(mspan_is_closed(s)) && !mspan_word_all_free(s, w))
			return false;
		break;
	case MSPAN_PARTIAL:
		if (mspan_word_all_free(s, w))
			break;
		return false;
	default:
		return false;
	}

	flags = mcentral_lock(c);
	if (s->place == MSPAN_FULL) {
		bool closed = mspan_is_closed(s);

		/* It may have had one slot, and go without having been partial. */
		if (closed || c->nempty >= c->maxempty)
			gone = mcentral_is_over(c, s);
		if (!gone && !closed && mspan_has_free(s)) {
			mcentral_remove(c, s);
			/* This free, and hardly more. */
			mcentral_push_partial(c, s, s->nelems - 1);
			gone = mcentral_retire(c, s);
		}
	} else if (s->place == MSPAN_PARTIAL) {
		gone = mcentral_retire(c, s);
		if (!gone && !s->empty)
			mcentral_reband(c, s);
	}
	mcentral_unlock(c, flags);
	return gone;
}

GOALLOC_EXPORT_FOR_KUNIT(mcentral_freed);
