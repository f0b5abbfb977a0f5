// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle memory back to the system (Go: mgcscavenge.go).
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>

#include "backing.h"
#include "compat.h"
#include "counter.h"
#include "mcentral.h"
#include "scavenge.h"
#include "sparse.h"

/* What is given back at once for a limit's sake, at least and at most. */
#define SCAVENGE_LIMIT_BYTES	SZ_128K
#define SCAVENGE_LIMIT_MOST	SZ_1M

/*
 * What no heap has: all that is idle, and nothing is made idle for it. What was given
 * back may have been taken off.
 */
#define SCAVENGE_IDLE		(GOALLOC_NO_LIMIT - 1)
#define SCAVENGE_IS_ALL(bytes)	((bytes) > GOALLOC_NO_LIMIT / 2)

/* Runs in a row that stay because somebody has references to their pages, */
#define SCAVENGE_LIMIT_TRIES	16

/* and heaps of which all stay, before who wants a bounded piece gives up. */
#define SCAVENGE_HEAP_TRIES	16

/* What the background gives back between two looks at the clock (Go: scavengeQuantum). */
#define SCAVENGE_QUANTUM	SZ_64K

/* How long it works before it sleeps (Go: minScavWorkTime). */
#define SCAVENGE_WORK_NS	NSEC_PER_MSEC

/*
 * A turn looks at the clock so often that none works this long: it waited, for RCU or
 * for its CPU. For that the background need not sleep by the minute.
 */
#define SCAVENGE_WAITED_NS	(100 * SCAVENGE_WORK_NS)

/* Of what is in use so much may be idle (Go: retainExtraPercent). */
#define SCAVENGE_RETAIN_PERCENT	10

/*
 * Of blocks in use in part so much stays, or a small heap would take a block anew
 * each time it grows a little.
 */
#define SCAVENGE_KEEP_IDLE	PALLOC_HALF_PAGES

/*
 * After it gave something back the background looks, so many times, whether there are
 * spans to close of classes that were not in use for a second; and not of classes so
 * small that a page of the system holds more slots than this.
 */
#define SCAVENGE_THIN_LOOKS	4
#define SCAVENGE_THIN_SLOTS	32

/* Of a limit so much is kept free (Go: reduceExtraPercent). */
#define SCAVENGE_REDUCE_PERCENT	5

/* Address space that a heap keeps the tables of, beyond what is in use. */
#define SCAVENGE_KEEP_PAGES	(16 * PALLOC_CHUNK_PAGES)

/**
 * struct scavenge_run - pages on their way out
 * @addr: heap address of the first
 * @npages: how many: up to 64 of a chunk, or a linear block
 * @punch: they are part of a linear block, and will be holes
 * @nholes: how many of a block are holes
 * @holes: and which
 */
struct scavenge_run {
	u64 addr;
	u32 npages;
	bool punch;
	u32 nholes;
	DECLARE_BITMAP(holes, PALLOC_HALF_PAGES);
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

static unsigned int scavenge_percent(void)
{
	/* What sets the parameter does so with a plain store. */
	return data_race(READ_ONCE(goalloc_scavenge_percent));
}

/* Of the background: the heap that had its turn last, and what all took. */
static u64 bg_last_id;
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

/* Does the heap hold more than its goal? */
static bool scavenge_over(struct goalloc_heap *heap)
{
	u64 limit = READ_ONCE(heap->limit);

	return scavenge_all_over(0) ||
	       (limit != GOALLOC_NO_LIMIT && mheap_held(heap) > scavenge_goal(limit));
}

/*
 * So many pages may be idle: a part of those in use, what has gone of closed spans
 * taken off.
 */
static u64 scavenge_kept(struct goalloc_heap *heap)
{
	u64 thin = (u64)atomic64_read(&heap->thin_bytes) >> GOALLOC_PAGE_SHIFT;
	u64 in_use = mheap_pages_in_use(heap);

	return (in_use - min(thin, in_use)) / (100 / SCAVENGE_RETAIN_PERCENT);
}

/* How many of so many idle pages the background may make holes of. */
static u64 scavenge_spare(struct goalloc_heap *heap, u64 idle)
{
	u64 kept = max_t(u64, scavenge_kept(heap), SCAVENGE_KEEP_IDLE);

	return idle > kept ? idle - kept : 0;
}

/* How many holes may be made now. */
static u64 scavenge_holes(struct goalloc_heap *heap, enum goalloc_scavenge_cause cause)
{
	u64 holes = READ_ONCE(heap->pages_holes), most = READ_ONCE(heap->holes_max);
	u64 low = min(READ_ONCE(heap->idle_low), READ_ONCE(heap->idle_before));

	most = most > holes ? most - holes : 0;
	if (cause != SCAVENGE_BACKGROUND || scavenge_over(heap))
		return most;
	return min(most, scavenge_spare(heap, low));
}

/**
 * scavenge_excess - what the background is to give back of a heap
 * @heap: the heap
 *
 * Context: any. Not exact while others allocate.
 * Return: bytes that can be given back and are more than the heap is to keep:
 * 10 % of what is in use, of blocks in use in part 2 MiB at least, and 95 % of its
 * soft limit.
 */
u64 scavenge_excess(struct goalloc_heap *heap)
{
	u64 idle = READ_ONCE(heap->pages_idle), kept = scavenge_kept(heap);
	u64 limit = READ_ONCE(heap->limit), goal, held, excess;

	if (!idle)
		return 0;
	if (scavenge_all_over(0))
		return idle << GOALLOC_PAGE_SHIFT;
	excess = idle > kept ? idle - kept : 0;
	if (heap->backing == BACKING_LINEAR) {
		u64 whole = min(excess, READ_ONCE(heap->pages_whole));
		u64 spare = scavenge_spare(heap, idle);

		if (READ_ONCE(heap->pages_holes) >= READ_ONCE(heap->holes_max))
			spare = 0;
		excess = max(whole, spare);
	}
	excess <<= GOALLOC_PAGE_SHIFT;
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
 * Also what cannot be given back as it is: pages set aside by CPUs. Over a soft limit
 * it is to keep none.
 *
 * Context: any. Not exact while others allocate.
 * Return: true if so.
 */
bool scavenge_retains(struct goalloc_heap *heap)
{
	s64 in_use = mheap_pages_in_use(heap);
	s64 idle = (s64)READ_ONCE(heap->pages_sys) - in_use - (s64)mheap_pages_released(heap);

	return idle > in_use / (100 / SCAVENGE_RETAIN_PERCENT) ||
	       (idle > 0 && scavenge_over(heap)) || scavenge_excess(heap);
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_retains);

/* The highest block of half a chunk, below @end, with nothing in use. */
static u32 scavenge_block(const struct goalloc_chunk *c, u32 half, u32 end,
			  struct scavenge_run *run)
{
	u32 pages = c->palloc.block_pages[half], lo = half * PALLOC_HALF_PAGES, i;

	for (i = lo + PALLOC_HALF_PAGES; pages && i > lo; i -= pages) {
		u32 first = i - pages;

		if (i > end || !c->granule[first / GOALLOC_GRANULE_PAGES] ||
		    palloc_any_used(&c->palloc, first, pages))
			continue;
		run->npages = pages;
		return first;
	}
	return PALLOC_NONE;
}

/* The highest idle pages of a chunk, below @end, of one block if it has blocks. */
static u32 scavenge_pages(const struct goalloc_heap *heap, const struct goalloc_chunk *c,
			  u32 end, u32 max, struct scavenge_run *run)
{
	u32 first = palloc_find_scavenge_candidate(&c->palloc, 0, end, SPARSE_UNIT_PAGES, max,
						   &run->npages);
	u32 last, pages, low;

	if (first == PALLOC_NONE || heap->backing == BACKING_SPARSE)
		return first;
	last = first + run->npages - 1;
	pages = c->palloc.block_pages[last / PALLOC_HALF_PAGES];
	low = max(first, round_down(last, pages));
	run->npages = last + 1 - low;
	return low;
}

/* The highest pages of a chunk below @end that can be given back. */
static bool scavenge_candidate(const struct goalloc_heap *heap, const struct goalloc_chunk *c,
			       enum mheap_index index, u32 end, u32 max,
			       struct scavenge_run *run)
{
	u32 first = PALLOC_NONE;
	int half;

	run->punch = heap->backing == BACKING_LINEAR && index == INDEX_IDLE;
	if (index == INDEX_IDLE)
		first = scavenge_pages(heap, c, end, max, run);
	for (half = 1; index != INDEX_IDLE && half >= 0 && first == PALLOC_NONE; half--)
		if (index == INDEX_BLOCK || c->palloc.block_pages[half] == PALLOC_HALF_PAGES)
			first = scavenge_block(c, half, end, run);
	run->addr = first;
	return first != PALLOC_NONE;
}

/*
 * Takes pages out of the page allocator. The holes among them are no longer holes
 * to anybody else, as long as they are on their way.
 */
static void scavenge_hide(struct goalloc_heap *heap, const struct goalloc_chunk *c,
			  struct scavenge_run *run)
{
	DECLARE_BITMAP(holes, PALLOC_CHUNK_PAGES);
	u64 n;

	run->nholes = 0;
	if (heap->backing == BACKING_LINEAR && !run->punch) {
		bitmap_and(holes, c->palloc.data.alloc.b, c->palloc.data.scavenged.b,
			   PALLOC_CHUNK_PAGES);
		bitmap_shift_right(holes, holes, goalloc_chunk_page(run->addr),
				   PALLOC_CHUNK_PAGES);
		bitmap_copy(run->holes, holes, run->npages);
		run->nholes = bitmap_weight(holes, run->npages);
	}
	if (run->nholes)
		one_writer_add(heap->pages_holes,
			       -pagealloc_open_holes(&heap->pages, run->addr, run->npages));
	atomic64_sub(pagealloc_alloc_range(&heap->pages, run->addr, run->npages),
		     &heap->pages_released);
	/* Those that were not wanted are as many less. */
	n = run->npages - run->nholes;
	one_writer_add(heap->idle_low, -min(heap->idle_low, n));
	one_writer_add(heap->idle_before, -min(heap->idle_before, n));
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
			scavenge_hide(heap, c, run);
			mheap_chunk_changed(heap, c, base);
			*below = run->addr;
		}
		mheap_unlock(heap, flags);
		cond_resched();
	}
	return found;
}

/*
 * The pages are holes now, and if nothing else is in their block it goes. Others may have
 * made it several meanwhile.
 */
static void scavenge_punched(struct goalloc_heap *heap, const struct scavenge_run *run)
{
	const u64 step = PALLOC_BLOCK_MIN << GOALLOC_PAGE_SHIFT;
	u64 addr, end = run->addr + ((u64)run->npages << GOALLOC_PAGE_SHIFT);
	unsigned long gone[64 / PALLOC_BLOCK_MIN + 1];
	unsigned long flags = mheap_lock(heap);
	u32 n = 0;

	pagealloc_set_scavenged(&heap->pages, run->addr, run->npages);
	atomic64_add(run->npages, &heap->pages_released);
	one_writer_add(heap->pages_holes, run->npages);
	for (addr = round_down(run->addr, step); addr < end; addr += step)
		gone[n++] = linear_drop(heap, addr);
	mheap_chunk_changed(heap, mheap_chunk(heap, run->addr), run->addr);
	mheap_unlock(heap, flags);
	while (n)
		linear_dropped(gone[--n]);
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
	bool some = cause == SCAVENGE_LIMIT || cause == SCAVENGE_BACKGROUND ||
		    (cause == SCAVENGE_RECLAIM && !SCAVENGE_IS_ALL(bytes));
	u64 released = 0, below = some ? READ_ONCE(heap->scav_below) : GOALLOC_HEAP_END;
	bool again = below != GOALLOC_HEAP_END;
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
			if (!again || released)
				break;
			/* It began in the middle: what is above comes last. */
			again = false;
			below = GOALLOC_HEAP_END;
			continue;
		}
		if (heap->backing == BACKING_SPARSE) {
			n = sparse_release(heap, run.addr, run.npages);
			scavenge_give(heap, &run);
		} else if (run.punch) {
			n = run.npages;
			linear_punch(heap, run.addr, n);
			scavenge_punched(heap, &run);
		} else {
			n = run.npages - run.nholes;
			linear_release(heap, run.addr, run.npages, run.holes);
			scavenge_give(heap, &run);
		}
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
	       /* Without the lock: a bit that comes or goes just now may be seen or not. */
	       !data_race(bitmap_empty(heap->index[INDEX_EMPTY], GOALLOC_ARENA_L1));
}

/* All that is idle was given back; the tables go with it, but not at once. */
static void scavenge_tables(struct goalloc_heap *heap)
{
	if (!scavenge_percent())
		mheap_release_tables(heap, scavenge_keep_pages(heap), 0);
	else if (scavenge_has_tables(heap))
		scavenge_kick(HZ);
}

/* Whole blocks first, then smaller ones, then pages. */
static u64 scavenge_indexes(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause)
{
	u64 released = 0, most = GOALLOC_NO_LIMIT;

	if (heap->backing == BACKING_LINEAR) {
		released = scavenge_index(heap, INDEX_WHOLE, bytes, cause);
		if (released < bytes)
			released += scavenge_index(heap, INDEX_BLOCK, bytes - released, cause);
		most = scavenge_holes(heap, cause) << GOALLOC_PAGE_SHIFT;
	}
	if (released < bytes)
		released += scavenge_index(heap, INDEX_IDLE, min(bytes - released, most), cause);
	return released;
}

/**
 * scavenge - gives idle memory back (Go: pageAlloc.scavenge)
 * @heap: the heap
 * @bytes: how much is wanted; GOALLOC_NO_LIMIT for all that is idle
 * @cause: why, for the books
 *
 * On linear heaps whole blocks of 2 MiB go first, then smaller ones, then single
 * pages of blocks in use in part. Stops early when a fatal
 * signal comes. With @bytes of GOALLOC_NO_LIMIT the pages that CPUs have set aside
 * and the spans that classes keep in reserve though nothing lives in them go first;
 * the tables of what is empty then follow in the background. Who asks for less gets
 * what CPUs have set aside if there is not enough without.
 *
 * Context: task, sleeps; no lock held but mmap_lock. Allocates no memory.
 * Return: bytes given back: @bytes or more, unless less was idle or somebody
 * still had references to some of it.
 */
u64 scavenge(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause)
{
	u64 released;

	if (bytes == GOALLOC_NO_LIMIT) {
		mcentral_release_empty(heap);
		mheap_flush_page_caches(heap);
	}
	released = scavenge_indexes(heap, bytes, cause);
	if (bytes == GOALLOC_NO_LIMIT) {
		scavenge_tables(heap);
	} else if (released < bytes && cause == SCAVENGE_REQUEST) {
		mheap_flush_page_caches(heap);
		released += scavenge_indexes(heap, bytes - released, cause);
	}
	atomic64_inc(&heap->scav_count[cause]);
	atomic64_add(released, &heap->scav_bytes[cause]);
	return released;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge);

/**
 * scavenge_blocks - gives blocks back in which nothing is in use
 * @heap: the heap
 *
 * With them their holes become addresses that can be used again. For who finds no
 * address space left.
 *
 * Context: task, sleeps; no lock held but mmap_lock. Allocates no memory.
 */
void scavenge_blocks(struct goalloc_heap *heap)
{
	if (heap->backing == BACKING_LINEAR && READ_ONCE(heap->pages_holes))
		scavenge_index(heap, INDEX_BLOCK, GOALLOC_NO_LIMIT, SCAVENGE_LIMIT);
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

/*
 * The emptiest heap with idle memory that no search from this one on has had. @some: one
 * that gave nothing a moment ago is passed by.
 */
static struct goalloc_heap *scavenge_emptiest(u64 pass, bool some)
{
	struct goalloc_heap *heap, *best = NULL;
	u64 best_idle = 0, best_in_use = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(heap, &goalloc_heaps, list) {
		u64 idle = READ_ONCE(heap->pages_idle), in_use = mheap_pages_in_use(heap);

		if (!idle || atomic64_read(&heap->scav_pass) >= pass)
			continue;
		if (some && time_before(jiffies, READ_ONCE(heap->scav_again)))
			continue;
		if (best && !emptier(idle, in_use, best_idle, best_in_use))
			continue;
		if (!mheap_get(heap))
			continue;
		if (best)
			mheap_put(best);
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
 * Of heaps whose idle pages all stay, because others have references to them, a few are
 * tried, others the next time: there may be many. Who wants all does not give up.
 *
 * Context: task, sleeps; no lock of ours held. Allocates no memory.
 * Return: bytes given back.
 */
u64 scavenge_all(u64 bytes, enum goalloc_scavenge_cause cause)
{
	u64 pass = atomic64_inc_return(&scav_pass), released = 0, n;
	bool some = !SCAVENGE_IS_ALL(bytes);
	u32 tries = SCAVENGE_HEAP_TRIES;
	struct goalloc_heap *heap;

	while (released < bytes && tries && (heap = scavenge_emptiest(pass, some))) {
		n = scavenge(heap, bytes - released, cause);
		released += n;
		/* As scavenge_index(), which does not stop what comes after it. */
		if (cause != SCAVENGE_RECLAIM && fatal_signal_pending(current))
			tries = 0;
		/* What is in somebody's hands just now is not idle. */
		if (some && !n && tries && READ_ONCE(heap->pages_idle)) {
			WRITE_ONCE(heap->scav_again, jiffies + HZ);
			tries--;
		}
		mheap_put(heap);
		cond_resched();
	}
	return released;
}

GOALLOC_EXPORT_FOR_KUNIT(scavenge_all);

/*
 * Makes all idle that is kept in reserve: the pages that CPUs have set aside, and
 * on linear heaps spans with nothing in them; those of a file may be in page tables,
 * and whoever is short of memory may have the locks that go with that.
 */
static void scavenge_reserves_now(void)
{
	struct goalloc_heap *heap = NULL;

	while ((heap = mheap_next(heap))) {
		u64 idle = READ_ONCE(heap->pages_idle);

		if (heap->backing == BACKING_LINEAR)
			mcentral_release_empty(heap);
		mheap_flush_page_caches(heap);
		if (READ_ONCE(heap->pages_idle) > idle)
			WRITE_ONCE(heap->scav_again, jiffies);
		cond_resched();
	}
}

/* Seldom: each heap and CPU is looked at. */
static void scavenge_reserves(void)
{
	static unsigned long next;

	if (time_before(jiffies, READ_ONCE(next)))
		return;
	WRITE_ONCE(next, jiffies + HZ);
	scavenge_reserves_now();
}

/* Do CPUs keep something that would be idle otherwise: spans, or pages? */
static bool scavenge_has_reserves(struct goalloc_heap *heap)
{
	return READ_ONCE(heap->large_kept) || scavenge_retains(heap);
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
	if (over && !READ_ONCE(heap->pages_idle) && scavenge_has_reserves(heap))
		mheap_flush_page_caches(heap);
	if (over && READ_ONCE(heap->pages_idle)) {
		released = scavenge(heap, clamp_t(u64, over, SCAVENGE_LIMIT_BYTES, most),
				    SCAVENGE_LIMIT);
		if (over > released)
			scavenge_kick(1);
	}
	if (!scavenge_all_over(bytes))
		return;
	if (percpu_counter_compare(&goalloc_idle, 0) <= 0)
		scavenge_reserves();
	if (percpu_counter_compare(&goalloc_idle, 0) > 0) {
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

	if (held > goal && scavenge_has_reserves(heap))
		mheap_flush_page_caches(heap);
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
	if (held > scavenge_goal(limit) &&
	    (READ_ONCE(heap->pages_idle) || scavenge_has_reserves(heap)))
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

	if (wq && scavenge_percent())
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

GOALLOC_EXPORT_FOR_KUNIT(scavenge_background_ns);

/* Has a CPU set pages of the heap aside that somebody has not just used up? */
static bool scavenge_has_cached(struct goalloc_heap *heap)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (!page_cache_empty(&per_cpu_ptr(heap->mcache, cpu)->pages))
			return true;
	return false;
}

/* Did the background begin to look for spans to close, and not end? */
static bool bgscavenge_is_thinning(const struct goalloc_heap *heap)
{
	return heap->thin_class && heap->thin_class < GOALLOC_ALL_CENTRALS;
}

static bool scavenge_wanted(struct goalloc_heap *heap)
{
	return scavenge_excess(heap) || scavenge_has_tables(heap) || heap->thin_looks ||
	       bgscavenge_is_thinning(heap) || READ_ONCE(heap->large_kept) ||
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
		if ((next && !later) || !mheap_get(heap))
			continue;
		if (!scavenge_wanted(heap) || time_before(jiffies, heap->bg_next)) {
			*waiting |= scavenge_wanted(heap);
			mheap_put(heap);
			continue;
		}
		if (next)
			mheap_put(next);
		next = heap;
		if (later)
			break;
	}
	rcu_read_unlock();
	if (next)
		bg_last_id = next->id;
	return next;
}

/*
 * A second later: which classes were not in use since the last time? While the
 * background goes through them there are only fewer.
 */
static void bgscavenge_begin_thin(struct goalloc_heap *heap)
{
	struct mcentral *central = READ_ONCE(heap->central);
	bool begun = bgscavenge_is_thinning(heap);
	u32 i, refills;

	/* Without classes there is nothing to look at, nor to wait for. */
	if (!central)
		heap->thin_looks = 0;
	if (!heap->thin_looks && !begun)
		return;
	for (i = 2; i < GOALLOC_ALL_CENTRALS; i++) {
		refills = READ_ONCE(central[i].refills);
		central[i].quiet = central[i].seen == refills && (central[i].quiet || !begun);
		central[i].seen = refills;
	}
	if (begun)
		return;
	heap->thin_looks--;
	/*
	 * Of a closed span all pages are in use: where there is a bound to that, who
	 * frees objects and makes others of their size would meet it early.
	 */
	if (READ_ONCE(heap->max) != GOALLOC_NO_LIMIT ||
	    READ_ONCE(goalloc_max) != GOALLOC_NO_LIMIT)
		return;
	heap->thin_list = 0;
	heap->thin_class = 2;
}

/*
 * What was idle all the while since the last turn but one, a second or more, is
 * not wanted soon.
 */
static void bgscavenge_look(struct goalloc_heap *heap)
{
	unsigned long flags;

	if (time_before(jiffies, READ_ONCE(heap->idle_since) + HZ))
		return;
	flags = mheap_lock(heap);
	WRITE_ONCE(heap->idle_before, heap->idle_low);
	WRITE_ONCE(heap->idle_low, heap->pages_idle);
	heap->idle_since = jiffies;
	mheap_unlock(heap, flags);
	large_cache_settle(heap);
	bgscavenge_begin_thin(heap);
}

static bool thin_is_quiet(const struct mcentral *c)
{
	return c->quiet && READ_ONCE(c->refills) == c->seen;
}

/* The next list of the class: its bands, and the full spans if some are closed. */
static void thin_next_list(struct goalloc_heap *heap, const struct mcentral *c)
{
	u32 band = heap->thin_list++;

	if (band < MCENTRAL_BANDS)
		heap->thin_left = READ_ONCE(c->npartial[band]);
	else
		heap->thin_left = READ_ONCE(c->nclosed) ? READ_ONCE(c->nfull) : 0;
}

/* A few spans of the list that is gone through. */
static void thin_some(struct goalloc_heap *heap, struct mcentral *c)
{
	u32 band = heap->thin_list - 1;

	if (!thin_is_quiet(c))
		heap->thin_left = 0;
	else if (band < MCENTRAL_BANDS)
		mcentral_close_some(c, band, &heap->thin_left);
	else
		mcentral_thin_some(c, &heap->thin_left);
}

/*
 * Closes spans, and gives back those in reserve, class by class, until its time is
 * over; the next turn goes on there. Returns true if there is more to do.
 */
static bool bgscavenge_thin(struct goalloc_heap *heap, u64 begin)
{
	struct mcentral *central = READ_ONCE(heap->central);

	for (; heap->thin_class < GOALLOC_ALL_CENTRALS; heap->thin_class++) {
		struct mcentral *c = &central[heap->thin_class];

		if (!heap->thin_list) {
			if (!thin_is_quiet(c))
				continue;
			mcentral_release_spares(c);
			if (c->elemsize * SCAVENGE_THIN_SLOTS < PAGE_SIZE)
				continue;
			thin_next_list(heap, c);
		}
		for (;;) {
			while (heap->thin_left) {
				thin_some(heap, c);
				if (ktime_get_ns() - begin >= SCAVENGE_WORK_NS)
					return true;
				cond_resched();
			}
			if (heap->thin_list > MCENTRAL_BANDS)
				break;
			thin_next_list(heap, c);
		}
		heap->thin_list = 0;
	}
	return false;
}

/* A heap's turn. Returns false if it had nothing to give, or others hold on to it. */
static bool bgscavenge_heap(struct goalloc_heap *heap, u64 begin)
{
	u64 excess, refills = READ_ONCE(heap->refills);
	bool any = false;

	bgscavenge_look(heap);
	/* Pages that were set aside and nobody has come for since the last turn. */
	if (!scavenge_excess(heap) && scavenge_retains(heap) && refills == heap->bg_refills)
		mheap_flush_page_caches(heap);
	heap->bg_refills = refills;
	while ((excess = scavenge_excess(heap))) {
		if (!scavenge(heap, min_t(u64, excess, SCAVENGE_QUANTUM), SCAVENGE_BACKGROUND))
			break;
		any = true;
		if (heap->backing == BACKING_LINEAR)
			heap->thin_looks = SCAVENGE_THIN_LOOKS;
		if (ktime_get_ns() - begin >= SCAVENGE_WORK_NS)
			return true;
		cond_resched();
	}
	if (bgscavenge_is_thinning(heap) && bgscavenge_thin(heap, begin))
		return true;
	if (scavenge_has_tables(heap))
		any |= mheap_release_tables_until(heap, scavenge_keep_pages(heap), 0,
						  begin + SCAVENGE_WORK_NS);
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
 * long (10 s at most), so it has one hundredth of a CPU (Go: scavengerState.run).
 * When no heap has too much it ends, until scavenge_wake().
 */
static void bgscavenge(struct work_struct *work)
{
	unsigned int percent = min(scavenge_percent(), 100U);
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
	mheap_put(heap);
	took = min_t(u64, ktime_get_ns() - begin, SCAVENGE_WAITED_NS);
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
	/*
	 * They are in no list that is reclaimed, and who sees no progress does not wait
	 * for free pages of other CPUs, and soon has somebody killed.
	 */
	mm_account_reclaimed_pages(released >> PAGE_SHIFT);
	return released ? released >> PAGE_SHIFT : SHRINK_STOP;
}

/*
 * Somebody is about to be killed for want of memory. All that is idle goes before, what
 * the shrinker was not asked for, or had no time for, with it. Once a second that is
 * said: who may only have memory of some nodes has no use for that of others, and would
 * try again for ever.
 *
 * Context: as shrink_scan(), and the OOM killer's lock held.
 */
static int scavenge_oom(struct notifier_block *nb, unsigned long event, void *data)
{
	static unsigned long next;
	struct goalloc_heap *heap = NULL;
	unsigned long *freed = data;
	u64 released = 0;

	scavenge_reserves_now();
	while ((heap = mheap_next(heap))) {
		if (READ_ONCE(heap->pages_idle))
			released += scavenge(heap, SCAVENGE_IDLE, SCAVENGE_RECLAIM);
		cond_resched();
	}
	if (released && time_after_eq(jiffies, next)) {
		next = jiffies + HZ;
		*freed += released >> PAGE_SHIFT;
	}
	return NOTIFY_OK;
}

struct notifier_block goalloc_oom_notifier = {
	.notifier_call = scavenge_oom,
};

GOALLOC_EXPORT_FOR_KUNIT(goalloc_oom_notifier);

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
	ret = register_oom_notifier(&goalloc_oom_notifier);
	if (ret)
		goto err_shrinker;
	return 0;

err_shrinker:
	goalloc_shrinker_unregister(shrinker);
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
	unregister_oom_notifier(&goalloc_oom_notifier);
	goalloc_shrinker_unregister(shrinker);
	percpu_counter_destroy(&goalloc_idle);
	percpu_counter_destroy(&goalloc_held);
}
