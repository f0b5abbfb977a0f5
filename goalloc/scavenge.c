// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle memory back to the system (Go: mgcscavenge.go).
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>

#include "backing.h"
#include "compat.h"
#include "mcentral.h"
#include "scavenge.h"
#include "sparse.h"

/* What is given back at once for a limit's sake, at least and at most. */
#define SCAVENGE_LIMIT_BYTES	SZ_128K
#define SCAVENGE_LIMIT_MOST	SZ_1M

/* Runs in a row that stay because somebody has references to their pages. */
#define SCAVENGE_LIMIT_TRIES	16

/* What the background gives back between two looks at the clock (Go: scavengeQuantum). */
#define SCAVENGE_QUANTUM	SZ_64K

/* How long it works before it sleeps (Go: minScavWorkTime). */
#define SCAVENGE_WORK_NS	NSEC_PER_MSEC

/* Of what is in use so much may be idle (Go: retainExtraPercent). */
#define SCAVENGE_RETAIN_PERCENT	10

/* Of a limit so much is kept free (Go: reduceExtraPercent). */
#define SCAVENGE_REDUCE_PERCENT	5

/* Address space that a heap keeps the tables of, beyond what is in use. */
#define SCAVENGE_KEEP_PAGES	(16 * PALLOC_CHUNK_PAGES)

/**
 * struct scavenge_run - pages on their way out
 * @addr: heap address of the first
 * @npages: how many: up to 64 of a sparse chunk, or a linear block
 */
struct scavenge_run {
	u64 addr;
	u32 npages;
};

u64 goalloc_limit = GOALLOC_NO_LIMIT;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_limit);
unsigned int goalloc_scavenge_percent = 1;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_scavenge_percent);

static void bgscavenge(struct work_struct *work);
static void bgscavenge_again(unsigned long delay);
struct delayed_work goalloc_bgscavenge =
	__DELAYED_WORK_INITIALIZER(goalloc_bgscavenge, bgscavenge, 0);
GOALLOC_EXPORT_FOR_KUNIT(goalloc_bgscavenge);

/* Of the background: the heap that had its turn last, and what all took. */
static u32 bg_last_id;
static u64 bg_ns;

/* Counts the searches for the emptiest heap. */
static atomic64_t scav_pass;

static struct shrinker *shrinker;

/**
 * mheap_held - how much memory a heap has (Go: what GOMEMLIMIT is about)
 * @heap: the heap
 *
 * Context: any. Not exact while others allocate.
 * Return: bytes of pages behind it and of all that describes them.
 */
u64 mheap_held(struct goalloc_heap *heap)
{
	return atomic64_read(&heap->backed) + atomic64_read(&heap->mspan_bytes) +
	       atomic64_read(&heap->mcache_bytes) + atomic64_read(&heap->gc_bytes) +
	       atomic64_read(&heap->other_bytes) + atomic64_read(&heap->pages.meta_bytes);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_held);

/**
 * scavenge_goal - what to hold under a soft limit
 * @limit: the limit in bytes
 *
 * Return: 95 % of it, as in Go; no limit stays none.
 */
u64 scavenge_goal(u64 limit)
{
	return limit == GOALLOC_NO_LIMIT ? limit :
		limit - limit / (100 / SCAVENGE_REDUCE_PERCENT);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_goal);

/* Do all heaps together hold more than their goal, with @bytes more? */
static bool scavenge_all_over(u64 bytes)
{
	u64 limit = READ_ONCE(goalloc_limit), goal = scavenge_goal(limit);

	if (likely(limit == GOALLOC_NO_LIMIT))
		return false;
	return bytes > goal ||
	       __percpu_counter_compare(&goalloc_held, min_t(u64, goal - bytes, S64_MAX),
					GOALLOC_HELD_BATCH) > 0;
}

/**
 * scavenge_excess - what the background is to give back of a heap
 * @heap: the heap
 *
 * Context: any. Not exact while others allocate.
 * Return: bytes that can be given back and are more than the heap is to keep:
 * 10 % of what is in use, and 95 % of its soft limit.
 */
u64 scavenge_excess(struct goalloc_heap *heap)
{
	u64 idle = READ_ONCE(heap->pages_idle), in_use = mheap_pages_in_use(heap);
	u64 kept = in_use / (100 / SCAVENGE_RETAIN_PERCENT);
	u64 limit = READ_ONCE(heap->limit), goal, held, excess;

	if (!idle)
		return 0;
	if (scavenge_all_over(0))
		return idle << GOALLOC_PAGE_SHIFT;
	excess = idle > kept ? (idle - kept) << GOALLOC_PAGE_SHIFT : 0;
	if (limit != GOALLOC_NO_LIMIT) {
		goal = scavenge_goal(limit);
		held = mheap_held(heap);
		if (held > goal)
			excess = max(excess, min(held - goal, idle << GOALLOC_PAGE_SHIFT));
	}
	return excess;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_excess);

/**
 * scavenge_retains - does a heap hold more idle memory than it is to keep
 * @heap: the heap
 *
 * Also what cannot be given back as it is: pages set aside by CPUs, and blocks
 * that are idle in part.
 *
 * Context: any. Not exact while others allocate.
 * Return: true if so.
 */
bool scavenge_retains(struct goalloc_heap *heap)
{
	s64 in_use = mheap_pages_in_use(heap);
	s64 idle = (s64)READ_ONCE(heap->pages_sys) - in_use - (s64)mheap_pages_released(heap);

	return idle > in_use / (100 / SCAVENGE_RETAIN_PERCENT) || scavenge_excess(heap);
}

/* The highest pages of a chunk below @end that can be given back. */
static bool scavenge_candidate(const struct goalloc_heap *heap, const struct goalloc_chunk *c,
			       enum mheap_index index, u32 end, u32 max,
			       struct scavenge_run *run)
{
	const struct palloc_chunk *p = &c->palloc;
	u32 first = PALLOC_NONE;
	int half;

	if (heap->backing == BACKING_SPARSE)
		first = palloc_find_scavenge_candidate(p, 0, end, SPARSE_UNIT_PAGES, max,
						       &run->npages);
	for (half = 1; heap->backing == BACKING_LINEAR && half >= 0 && first == PALLOC_NONE;
	     half--) {
		u32 pages = p->block_pages[half], lo = half * PALLOC_HALF_PAGES;

		if (!pages || end <= lo || (index == INDEX_WHOLE && pages < PALLOC_HALF_PAGES))
			continue;
		first = palloc_find_scavenge_candidate(p, lo, min(end, lo + PALLOC_HALF_PAGES),
						       pages, pages, &run->npages);
	}
	run->addr = first;
	return first != PALLOC_NONE;
}

/*
 * Takes the highest pages below *@below that can be given back out of the page
 * allocator, and lowers *@below to them. The lock is free between two chunks.
 */
static bool scavenge_take(struct goalloc_heap *heap, enum mheap_index index, u64 *below, u32 max,
			  struct scavenge_run *run)
{
	bool found = false;

	while (!found) {
		unsigned long flags = mheap_lock(heap);
		u64 base = mheap_find_chunk(heap, index, *below);
		struct goalloc_chunk *c;
		u32 end;

		if (!base) {
			mheap_unlock(heap, flags);
			break;
		}
		c = mheap_chunk(heap, base);
		end = min_t(u64, (*below - base) >> GOALLOC_PAGE_SHIFT, PALLOC_CHUNK_PAGES);
		*below = base;
		found = scavenge_candidate(heap, c, index, end, max, run);
		if (found) {
			run->addr = base + (run->addr << GOALLOC_PAGE_SHIFT);
			atomic64_sub(pagealloc_alloc_range(&heap->pages, run->addr, run->npages),
				     &heap->pages_released);
			mheap_chunk_changed(heap, c, base);
			*below = run->addr;
		}
		mheap_unlock(heap, flags);
		cond_resched();
	}
	return found;
}

/*
 * The pages are idle again, and those that have no memory now are scavenged:
 * some may stay because somebody has a reference to them.
 */
static void scavenge_give(struct goalloc_heap *heap, const struct scavenge_run *run)
{
	DECLARE_BITMAP(stay, PALLOC_HALF_PAGES) = {};
	unsigned long flags, first, end = 0;
	u32 i;

	/* Nobody else can enter or take a page of them. */
	for (i = 0; heap->backing == BACKING_SPARSE && i < run->npages; i++)
		if (sparse_is_backed(heap, run->addr + i * GOALLOC_PAGE_SIZE))
			__set_bit(i, stay);
	flags = mheap_lock(heap);
	for (;;) {
		first = find_next_zero_bit(stay, run->npages, end);
		if (first >= run->npages)
			break;
		end = find_next_bit(stay, run->npages, first);
		pagealloc_set_scavenged(&heap->pages, run->addr + first * GOALLOC_PAGE_SIZE,
					end - first);
	}
	atomic64_add(pagealloc_count_scavenged(&heap->pages, run->addr, run->npages),
		     &heap->pages_released);
	pagealloc_free(&heap->pages, run->addr, run->npages);
	if (heap->backing == BACKING_LINEAR)
		linear_released(heap, run->addr, run->npages);
	mheap_chunk_changed(heap, mheap_chunk(heap, run->addr), run->addr);
	mheap_unlock(heap, flags);
}

/* Gives back what is idle, of one index, from the highest address down. */
static u64 scavenge_index(struct goalloc_heap *heap, enum mheap_index index, u64 bytes,
			  enum goalloc_scavenge_cause cause)
{
	bool some = cause == SCAVENGE_LIMIT || cause == SCAVENGE_BACKGROUND;
	u64 released = 0, below = some ? READ_ONCE(heap->scav_below) : GOALLOC_HEAP_END;
	u32 tries = SCAVENGE_LIMIT_TRIES;
	struct scavenge_run run;

	while (released < bytes) {
		u64 left = (bytes - released - 1) / GOALLOC_PAGE_SIZE + 1;
		u32 n;

		/* A task that is killed still has to find memory to end with. */
		if (cause != SCAVENGE_RECLAIM && fatal_signal_pending(current))
			break;
		if (!scavenge_take(heap, index, &below, min(left, 64ULL), &run)) {
			WRITE_ONCE(heap->scav_below, GOALLOC_HEAP_END);
			break;
		}
		if (heap->backing == BACKING_SPARSE) {
			n = sparse_release(heap, run.addr, run.npages);
		} else {
			linear_release(heap, run.addr, run.npages);
			n = run.npages;
		}
		scavenge_give(heap, &run);
		released += (u64)n << GOALLOC_PAGE_SHIFT;
		/* Who wants some does not look at all; the next one goes on here. */
		if (some && !n && !--tries) {
			WRITE_ONCE(heap->scav_below, below);
			break;
		}
		cond_resched();
	}
	return released;
}

/* Address space of a heap whose tables it keeps though nothing is there. */
static u64 scavenge_keep_pages(struct goalloc_heap *heap)
{
	u64 in_use = mheap_pages_in_use(heap);

	return in_use + in_use / (100 / SCAVENGE_RETAIN_PERCENT) + SCAVENGE_KEEP_PAGES;
}

/**
 * scavenge_has_tables - has a heap more tables of empty chunks than it is to keep
 * @heap: the heap
 *
 * Context: any. Not exact while others allocate.
 * Return: true if so.
 */
bool scavenge_has_tables(struct goalloc_heap *heap)
{
	return READ_ONCE(heap->pages_sys) > scavenge_keep_pages(heap) &&
	       !bitmap_empty(heap->index[INDEX_EMPTY], GOALLOC_ARENA_L1);
}

/* All that is idle was given back; the tables go with it, but not at once. */
static void scavenge_tables(struct goalloc_heap *heap)
{
	if (!READ_ONCE(goalloc_scavenge_percent))
		mheap_release_tables(heap, scavenge_keep_pages(heap), 0);
	else if (scavenge_has_tables(heap))
		scavenge_kick(HZ);
}

/**
 * scavenge - gives idle memory back (Go: pageAlloc.scavenge)
 * @heap: the heap
 * @bytes: how much is wanted; GOALLOC_NO_LIMIT for all that is idle
 * @cause: why, for the books
 *
 * Whole blocks of 2 MiB go first, then what else is idle. Stops early when a fatal
 * signal comes. With @bytes of GOALLOC_NO_LIMIT the pages that CPUs have set aside
 * and the spans that classes keep in reserve though nothing lives in them go first;
 * the tables of what is empty then follow in the background.
 *
 * Context: task, sleeps; no lock held but mmap_lock. Allocates no memory.
 * Return: bytes given back: @bytes or more, unless less was idle or somebody
 * still had references to some of it.
 */
u64 scavenge(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause)
{
	u64 released = 0;

	if (bytes == GOALLOC_NO_LIMIT) {
		mcentral_release_empty(heap);
		mheap_flush_page_caches(heap);
	}
	if (heap->backing == BACKING_LINEAR)
		released = scavenge_index(heap, INDEX_WHOLE, bytes, cause);
	if (released < bytes)
		released += scavenge_index(heap, INDEX_IDLE, bytes - released, cause);
	if (bytes == GOALLOC_NO_LIMIT)
		scavenge_tables(heap);
	atomic64_inc(&heap->scav_count[cause]);
	atomic64_add(released, &heap->scav_bytes[cause]);
	return released;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge);

/* The heap stays until scavenge_put(); false if it is just being ended. RCU held. */
static bool scavenge_get(struct goalloc_heap *heap)
{
	return refcount_inc_not_zero(&heap->users);
}

static void scavenge_put(struct goalloc_heap *heap)
{
	if (refcount_dec_and_test(&heap->users))
		complete(&heap->unused);
}

/* Is a smaller part of what @a has in use than of what @b has? */
static bool emptier(u64 a_idle, u64 a_in_use, u64 b_idle, u64 b_in_use)
{
	/* idle / (idle + in_use), compared crosswise. Pages: no overflow. */
	return a_idle * (b_idle + b_in_use) > b_idle * (a_idle + a_in_use);
}

/*
 * A search has had the heap. Marks only go up, so that none takes it twice; a
 * search that began later may take it first.
 */
static void scavenge_visit(struct goalloc_heap *heap, u64 pass)
{
	s64 old = atomic64_read(&heap->scav_pass);

	while (old < pass && !atomic64_try_cmpxchg(&heap->scav_pass, &old, pass))
		;
}

/* The emptiest heap with idle memory that no search from this one on has had. */
static struct goalloc_heap *scavenge_emptiest(u64 pass)
{
	struct goalloc_heap *heap, *best = NULL;
	u64 best_idle = 0, best_in_use = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(heap, &goalloc_heaps, list) {
		u64 idle = READ_ONCE(heap->pages_idle), in_use = mheap_pages_in_use(heap);

		if (!idle || atomic64_read(&heap->scav_pass) >= pass)
			continue;
		if (best && !emptier(idle, in_use, best_idle, best_in_use))
			continue;
		if (!scavenge_get(heap))
			continue;
		if (best)
			scavenge_put(best);
		best = heap;
		best_idle = idle;
		best_in_use = in_use;
	}
	rcu_read_unlock();
	if (best)
		scavenge_visit(best, pass);
	return best;
}

/**
 * scavenge_all - gives idle memory back, of the emptiest heap first
 * @bytes: how much is wanted
 * @cause: why
 *
 * Context: task, sleeps; no lock of ours held. Allocates no memory.
 * Return: bytes given back.
 */
u64 scavenge_all(u64 bytes, enum goalloc_scavenge_cause cause)
{
	u64 pass = atomic64_inc_return(&scav_pass);
	struct goalloc_heap *heap;
	u64 released = 0;

	while (released < bytes && (heap = scavenge_emptiest(pass))) {
		released += scavenge(heap, bytes - released, cause);
		scavenge_put(heap);
		cond_resched();
	}
	return released;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_all);

/* The first heap from a number on; it stays until scavenge_put(). */
static struct goalloc_heap *scavenge_from(u32 id)
{
	struct goalloc_heap *heap, *next = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(heap, &goalloc_heaps, list) {
		if (heap->id >= id && scavenge_get(heap)) {
			next = heap;
			break;
		}
	}
	rcu_read_unlock();
	return next;
}

/*
 * Makes all idle that is kept in reserve: the pages that CPUs have set aside, and
 * on linear heaps spans with nothing in them; those of a file may be in page tables,
 * and whoever is short of memory may have the locks that go with that. Seldom: each
 * heap and CPU is looked at.
 */
static void scavenge_reserves(void)
{
	static unsigned long next;
	struct goalloc_heap *heap;
	u32 id = 0;

	if (time_before(jiffies, READ_ONCE(next)))
		return;
	WRITE_ONCE(next, jiffies + HZ);
	while ((heap = scavenge_from(id))) {
		if (heap->backing == BACKING_LINEAR)
			mcentral_release_empty(heap);
		mheap_flush_page_caches(heap);
		id = heap->id + 1;
		scavenge_put(heap);
		cond_resched();
	}
}

/**
 * scavenge_make_room - idle memory goes before a soft limit is passed
 * @heap: the heap
 * @bytes: what it is about to get
 *
 * However far a limit was passed, who allocates gives back a bounded piece, and
 * the background the rest.
 *
 * Context: task, sleeps; no lock held but mmap_lock.
 */
void scavenge_make_room(struct goalloc_heap *heap, u64 bytes)
{
	u64 goal = scavenge_goal(READ_ONCE(heap->limit));
	u64 held = mheap_held(heap), over = 0, most, released;

	if (goal != GOALLOC_NO_LIMIT && held + bytes > goal)
		over = held + bytes - goal;
	most = max_t(u64, 2 * bytes, SCAVENGE_LIMIT_MOST);
	if (over && !READ_ONCE(heap->pages_idle) && scavenge_retains(heap))
		mheap_flush_page_caches(heap);
	if (over && READ_ONCE(heap->pages_idle)) {
		released = scavenge(heap, clamp_t(u64, over, SCAVENGE_LIMIT_BYTES, most),
				    SCAVENGE_LIMIT);
		if (over > released)
			scavenge_kick(1);
	}
	if (scavenge_all_over(bytes) && percpu_counter_compare(&goalloc_idle, 0) > 0) {
		scavenge_all(max_t(u64, bytes, SCAVENGE_LIMIT_BYTES), SCAVENGE_LIMIT);
		scavenge_kick(1);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_make_room);

/**
 * scavenge_to_limit - idle memory goes until the heap is under its soft limit
 * @heap: the heap
 *
 * Context: task, sleeps; no lock held.
 */
void scavenge_to_limit(struct goalloc_heap *heap)
{
	u64 goal = scavenge_goal(READ_ONCE(heap->limit)), held = mheap_held(heap);

	if (held > goal && READ_ONCE(heap->pages_idle))
		scavenge(heap, max_t(u64, held - goal, SCAVENGE_LIMIT_BYTES), SCAVENGE_LIMIT);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_to_limit);

/**
 * scavenge_tell - wakes those who want to know, if the soft limit is reached
 * @heap: the heap
 *
 * Context: any but NMI.
 */
void scavenge_tell(struct goalloc_heap *heap)
{
	u64 held = mheap_held(heap), limit = READ_ONCE(heap->limit);

	if (wq_has_sleeper(&heap->limit_wait) && held >= limit)
		wake_up_interruptible_poll(&heap->limit_wait, EPOLLPRI);
	/* Who may not sleep has not given anything back before. */
	if (held > scavenge_goal(limit) && READ_ONCE(heap->pages_idle))
		scavenge_kick(1);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_tell);

/**
 * scavenge_kick - lets the background scavenger work (Go: scavenger.wake)
 * @delay: in so many jiffies, unless it is due before
 *
 * Context: any but NMI.
 */
void scavenge_kick(unsigned long delay)
{
	struct workqueue_struct *wq = READ_ONCE(goalloc_wq);

	if (wq && READ_ONCE(goalloc_scavenge_percent))
		queue_delayed_work(wq, &goalloc_bgscavenge, delay);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_kick);

/**
 * scavenge_now - lets the background scavenger look at what it is to do anew
 *
 * Context: task.
 */
void scavenge_now(void)
{
	bgscavenge_again(1);
}

/**
 * scavenge_background_ns - what the background scavenger took till now
 *
 * Context: any.
 * Return: ns of one CPU.
 */
u64 scavenge_background_ns(void)
{
	return READ_ONCE(bg_ns);
}

/* Has a CPU set pages of the heap aside that somebody has not just used up? */
static bool scavenge_has_cached(struct goalloc_heap *heap)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (!page_cache_empty(&per_cpu_ptr(heap->mcache, cpu)->pages))
			return true;
	return false;
}

static bool scavenge_wanted(struct goalloc_heap *heap)
{
	return scavenge_excess(heap) || scavenge_has_tables(heap) ||
	       (scavenge_retains(heap) && scavenge_has_cached(heap));
}

/*
 * The next heap, by its number, that has something to give back. One that others
 * hold on to the idle memory of is not asked all the time; if there is one it is
 * to be waited for.
 */
static struct goalloc_heap *scavenge_next(bool *waiting)
{
	struct goalloc_heap *heap, *next = NULL;

	/* Heaps are in the list in the order of their numbers. */
	rcu_read_lock();
	list_for_each_entry_rcu(heap, &goalloc_heaps, list) {
		bool later = heap->id > bg_last_id;

		/* Of one that is just being ended the caches may be gone. */
		if ((next && !later) || !scavenge_get(heap))
			continue;
		if (!scavenge_wanted(heap) || time_before(jiffies, heap->bg_next)) {
			*waiting |= scavenge_wanted(heap);
			scavenge_put(heap);
			continue;
		}
		if (next)
			scavenge_put(next);
		next = heap;
		if (later)
			break;
	}
	rcu_read_unlock();
	if (next)
		bg_last_id = next->id;
	return next;
}

/* A heap's turn. Returns false if it had nothing to give, or others hold on to it. */
static bool bgscavenge_heap(struct goalloc_heap *heap, u64 begin)
{
	u64 excess, refills = READ_ONCE(heap->refills);
	bool any = false;

	/* Pages that were set aside and nobody has come for since the last turn. */
	if (!scavenge_excess(heap) && scavenge_retains(heap) && refills == heap->bg_refills)
		mheap_flush_page_caches(heap);
	heap->bg_refills = refills;
	while ((excess = scavenge_excess(heap))) {
		if (!scavenge(heap, min_t(u64, excess, SCAVENGE_QUANTUM), SCAVENGE_BACKGROUND))
			break;
		any = true;
		if (ktime_get_ns() - begin >= SCAVENGE_WORK_NS)
			return true;
		cond_resched();
	}
	if (scavenge_has_tables(heap))
		any |= mheap_release_tables(heap, scavenge_keep_pages(heap), 0);
	return any;
}

static void bgscavenge_again(unsigned long delay)
{
	struct workqueue_struct *wq = READ_ONCE(goalloc_wq);

	if (wq)
		mod_delayed_work(wq, &goalloc_bgscavenge, delay);
}

/*
 * The background scavenger, one for all heaps. It gives back quantum by quantum
 * what a heap has too much of, measures what that takes, and sleeps 99 times as
 * long, so it has one hundredth of a CPU (Go: scavengerState.run). When no heap
 * has too much it ends, until scavenge_wake().
 */
static void bgscavenge(struct work_struct *work)
{
	unsigned int percent = min(READ_ONCE(goalloc_scavenge_percent), 100U);
	struct goalloc_heap *heap;
	bool waiting = false;
	u64 begin, took;

	if (!percent)
		return;
	begin = ktime_get_ns();
	heap = scavenge_next(&waiting);
	if (!heap) {
		if (waiting)
			bgscavenge_again(HZ);
		return;
	}
	if (!bgscavenge_heap(heap, begin))
		heap->bg_next = jiffies + HZ;
	scavenge_put(heap);
	took = ktime_get_ns() - begin;
	WRITE_ONCE(bg_ns, bg_ns + took);
	/* Whoever kicked meanwhile does not change the pace. */
	bgscavenge_again(nsecs_to_jiffies(took * (100 - percent) / percent) + 1);
}

static unsigned long shrink_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	s64 pages = percpu_counter_sum_positive(&goalloc_idle);

	/* With nothing to count nobody would ask for more. */
	if (!pages) {
		scavenge_reserves();
		pages = percpu_counter_sum_positive(&goalloc_idle);
	}
	return pages << GOALLOC_PAGE_SHIFT >> PAGE_SHIFT;
}

/*
 * The system is short of memory. Whoever asks may be inside one of our own page
 * allocations, and in any file system: nothing here allocates or takes a lock that
 * is held over an allocation.
 */
static unsigned long shrink_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	u64 bytes = (u64)sc->nr_to_scan << PAGE_SHIFT;
	u64 released = scavenge_all(bytes, SCAVENGE_RECLAIM);

	if (!released) {
		scavenge_reserves();
		released = scavenge_all(bytes, SCAVENGE_RECLAIM);
	}
	/* A block is more than was asked for. */
	sc->nr_scanned = max_t(unsigned long, sc->nr_to_scan, released >> PAGE_SHIFT);
	return released ? released >> PAGE_SHIFT : SHRINK_STOP;
}

/**
 * scavenge_module_init - readies what all heaps share
 *
 * Context: task, sleeps; before the first heap.
 * Return: 0 or -ENOMEM.
 */
int scavenge_module_init(void)
{
	int ret;

	ret = percpu_counter_init(&goalloc_held, 0, GFP_KERNEL);
	if (ret)
		return ret;
	ret = percpu_counter_init(&goalloc_idle, 0, GFP_KERNEL);
	if (ret)
		goto err_held;
	ret = -ENOMEM;
	/* Idle pages cost nothing to make again: 0 seeks. */
	shrinker = goalloc_shrinker_register("goalloc", shrink_count, shrink_scan, 0);
	if (!shrinker)
		goto err_idle;
	return 0;

err_idle:
	percpu_counter_destroy(&goalloc_idle);
err_held:
	percpu_counter_destroy(&goalloc_held);
	return ret;
}

/**
 * scavenge_module_exit - undoes scavenge_module_init()
 *
 * Context: task, sleeps; no heap is left.
 */
void scavenge_module_exit(void)
{
	goalloc_shrinker_unregister(shrinker);
	percpu_counter_destroy(&goalloc_idle);
	percpu_counter_destroy(&goalloc_held);
}
