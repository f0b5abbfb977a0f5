// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps, arenas, spans of pages (Go: mheap.go).
 */
#include <linux/cpuhotplug.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/nodemask.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "backing.h"
#include "checkers.h"
#include "class.h"
#include "compat.h"
#include "counter.h"
#include "debugfs.h"
#include "fixalloc.h"
#include "mheap.h"
#include "pagecache.h"
#include "scavenge.h"
#include "sparse.h"
#include "sweep.h"

/* Pages that are freed, or added to the heap, under one taking of the lock. */
#define MHEAP_PIECE_PAGES	(8 * PALLOC_CHUNK_PAGES)

/* A span of more pages is returned where that may take its time. */
#define MHEAP_INLINE_PAGES	PALLOC_CHUNK_PAGES

/* A gap is looked for in so many places before the heap grows at its end. */
#define MHEAP_GAP_TRIES		64

/* Chunks that leave the heap before an RCU grace period is waited for. */
#define MHEAP_GONE_CHUNKS	16384

/* Sets of pages on other nodes that a page cache passes by. */
#define MHEAP_FAR_SETS		3

/* Protects the list of heaps and their ids. */
DEFINE_MUTEX(goalloc_heaps_mutex);
LIST_HEAD(goalloc_heaps);
struct goalloc_heap *goalloc_kernel_heap;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_kernel_heap);
struct workqueue_struct *goalloc_wq;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_wq);
struct percpu_counter goalloc_held;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_held);
struct percpu_counter goalloc_idle;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_idle);
atomic64_t goalloc_pages_charged;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_pages_charged);
u64 goalloc_max = GOALLOC_NO_LIMIT;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_max);
static u64 next_heap_id;	/* no number comes twice */
static bool cpu_dead;	/* spans come from a CPU that died (goalloc_heaps_mutex) */
static enum cpuhp_state cpuhp_state;

/**
 * mheap_lock - takes the heap lock
 * @heap: the heap
 *
 * Context: any but NMI. Interrupts are off until mheap_unlock().
 * Return: what mheap_unlock() needs.
 */
unsigned long mheap_lock(struct goalloc_heap *heap) __acquires(&heap->lock)
{
	unsigned long flags;
	bool contended;

	local_irq_save(flags);
	contended = !raw_spin_trylock(&heap->lock);
	if (unlikely(contended))
		raw_spin_lock(&heap->lock);
	heap->contended += contended;
	heap->locks++;
#ifdef GOALLOC_LOCK_TIMES
	heap->lock_since = ktime_get_mono_fast_ns();
#endif
	return flags;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_lock);

/**
 * mheap_unlock - releases the heap lock
 * @heap: the heap
 * @flags: from mheap_lock()
 *
 * Context: the lock held.
 */
void mheap_unlock(struct goalloc_heap *heap, unsigned long flags) __releases(&heap->lock)
{
#ifdef GOALLOC_LOCK_TIMES
	heap->lock_max = max(heap->lock_max, ktime_get_mono_fast_ns() - heap->lock_since);
#endif
	raw_spin_unlock_irqrestore(&heap->lock, flags);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_unlock);

/**
 * mheap_chunk - finds a chunk
 * @heap: the heap
 * @addr: any value
 *
 * Context: any; what keeps the chunk is said at the head of mheap.h.
 * Return: the chunk's table, or NULL if there is none.
 */
struct goalloc_chunk *mheap_chunk(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_arena_l2 *l2;
	struct goalloc_arena *arena;
	u32 ai;

	if (!goalloc_addr_in_space(addr))
		return NULL;
	/* The address may be anybody's, and what it leads to is followed (Spectre v1). */
	ai = array_index_nospec(goalloc_arena_index(addr), GOALLOC_ARENA_L1 * GOALLOC_ARENA_L2);
	l2 = READ_ONCE(heap->arenas[ai >> GOALLOC_ARENA_L2_BITS]);
	if (!l2)
		return NULL;
	arena = READ_ONCE(l2->arenas[ai & (GOALLOC_ARENA_L2 - 1)]);
	if (!arena)
		return NULL;
	return READ_ONCE(arena->chunks[goalloc_chunk_index(addr) & (GOALLOC_ARENA_CHUNKS - 1)]);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_chunk);

/**
 * span_of_heap - finds the span of a heap address
 * @heap: a sparse heap
 * @addr: any value
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span in use or NULL.
 */
struct mspan *span_of_heap(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	struct mspan __rcu **spans;
	struct mspan *s;

	if (!c)
		return NULL;
	s = rcu_dereference_check(c->whole, rcu_read_lock_sched_held());
	if (s)
		return s;
	spans = READ_ONCE(c->spans);
	return spans ? rcu_dereference_check(spans[goalloc_chunk_page(addr)],
					     rcu_read_lock_sched_held()) : NULL;
}

GOALLOC_EXPORT_FOR_KUNIT(span_of_heap);

/*
 * The span that covers a page in use, if there is one: pages may be set aside in
 * a page cache, or be on their way into a span or out of one. A page of a linear
 * heap is looked up by what it is to the kernel, which may change meanwhile: so
 * see whose the span is.
 */
static struct mspan *mheap_span_at(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr)
{
	u32 page = goalloc_chunk_page(addr), half = page / PALLOC_HALF_PAGES;
	void *base = NULL;
	struct mspan *s;
	u32 pages;

	if (heap->backing == BACKING_SPARSE)
		return span_of_heap(heap, addr);
	s = rcu_dereference(c->mapped[half]);
	if (s)
		return s;
	pages = READ_ONCE(c->palloc.block_pages[half]);
	if (pages) {
		u32 first = round_down(page, pages);

		base = granule_base(READ_ONCE(c->granule[first / GOALLOC_GRANULE_PAGES]));
		page -= first;
	}
	if (!base)
		return NULL;
	s = span_of((unsigned long)base + ((unsigned long)page << GOALLOC_PAGE_SHIFT));
	return s && s->heap == heap && addr - s->start_addr < mspan_bytes(s) ? s : NULL;
}

/**
 * mheap_span_in_chunk - the first span at or after an address, in its chunk
 * @heap: the heap
 * @addr: heap address to begin at; set to where the span ends, or the chunk
 *
 * The bits say where to look, without the lock.
 *
 * Context: any; rcu_read_lock() held as long as the span is looked at.
 * Return: the span, or NULL if no more begins in the chunk.
 */
struct mspan *mheap_span_in_chunk(struct goalloc_heap *heap, u64 *addr)
{
	u64 base = goalloc_chunk_base(goalloc_chunk_index(*addr));
	struct goalloc_chunk *c = mheap_chunk(heap, base);
	unsigned long i = goalloc_chunk_page(*addr), *bits;
	struct mspan *s;

	*addr = base + PALLOC_CHUNK_SIZE;
	if (!c || !READ_ONCE(c->palloc.ready))
		return NULL;
	bits = c->palloc.data.alloc.b;
	/* A bit that changes just now is for mheap_span_at() to see to. */
	for (; (i = data_race(find_next_bit(bits, PALLOC_CHUNK_PAGES, i))) < PALLOC_CHUNK_PAGES;
	     i++) {
		s = mheap_span_at(heap, c, base + ((u64)i << GOALLOC_PAGE_SHIFT));
		if (s) {
			*addr = s->start_addr + mspan_bytes(s);
			return s;
		}
	}
	return NULL;
}

/**
 * mheap_next_span - the first span at or after an address
 * @heap: a heap that nobody else returns spans of
 * @addr: heap address to begin at; set to where the span ends
 *
 * Context: task, may sleep.
 * Return: the span, or NULL if there is none.
 */
struct mspan *mheap_next_span(struct goalloc_heap *heap, u64 *addr)
{
	struct mspan *s = NULL;

	*addr = max(*addr, READ_ONCE(heap->pages.start));
	while (!s && *addr < READ_ONCE(heap->pages.end)) {
		rcu_read_lock();
		s = mheap_span_in_chunk(heap, addr);
		rcu_read_unlock();
		cond_resched();
	}
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_next_span);

/*
 * The blocks of half a chunk that can be given back whole: how many idle pages
 * they have.
 */
static u32 mheap_look_at_blocks(const struct goalloc_chunk *c, u32 half, u8 *indexed)
{
	const struct palloc_chunk *p = &c->palloc;
	u32 pages = p->block_pages[half], n = 0, i;

	for (i = half * PALLOC_HALF_PAGES; pages && i < (half + 1) * PALLOC_HALF_PAGES;
	     i += pages) {
		if (!c->granule[i / GOALLOC_GRANULE_PAGES] || palloc_any_used(p, i, pages))
			continue;
		n += pages - palloc_count_holes(p, i, pages);
		*indexed |= BIT(INDEX_BLOCK);
		if (pages == PALLOC_HALF_PAGES)
			*indexed |= BIT(INDEX_WHOLE);
	}
	return n;
}

/*
 * Which indices a chunk belongs into, how much of it can be given back, and how
 * much of that in whole blocks.
 */
static u8 mheap_look(const struct goalloc_heap *heap, const struct goalloc_chunk *c, u16 *idle,
		     u16 *whole)
{
	const struct palloc_chunk *p = &c->palloc;
	u8 indexed = 0;

	*idle = 0;
	*whole = 0;
	if (!p->ready)
		return 0;
	*idle = palloc_count_idle(p, 0, PALLOC_CHUNK_PAGES, SPARSE_UNIT_PAGES);
	if (*idle && heap->backing == BACKING_LINEAR)
		*whole = mheap_look_at_blocks(c, 0, &indexed) +
			 mheap_look_at_blocks(c, 1, &indexed);
	if (*idle)
		indexed |= BIT(INDEX_IDLE);
	else if (bitmap_empty(p->data.alloc.b, PALLOC_CHUNK_PAGES) &&
		 bitmap_full(p->data.scavenged.b, PALLOC_CHUNK_PAGES))
		indexed |= BIT(INDEX_EMPTY);
	return indexed;
}

/**
 * mheap_chunk_changed - keeps count after a chunk's bits changed
 * @heap: the heap
 * @c: the chunk
 * @addr: an address in it
 *
 * Context: the heap lock held.
 */
void mheap_chunk_changed(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr)
{
	u32 ai = goalloc_arena_index(addr), l1 = ai >> GOALLOC_ARENA_L2_BITS;
	struct goalloc_arena *arena;
	struct goalloc_arena_l2 *l2;
	u16 idle, whole, bit;
	u8 indexed, i;

	lockdep_assert_held(&heap->lock);
	indexed = mheap_look(heap, c, &idle, &whole);
	if (idle != c->idle) {
		one_writer_add(heap->pages_idle, idle - c->idle);
		WRITE_ONCE(heap->idle_low, min(heap->idle_low, heap->pages_idle));
		percpu_counter_add(&goalloc_idle, idle - c->idle);
		c->idle = idle;
	}
	one_writer_add(heap->pages_whole, whole - c->idle_whole);
	c->idle_whole = whole;
	if (indexed == c->indexed)
		return;
	c->indexed = indexed;
	l2 = READ_ONCE(heap->arenas[l1]);
	ai &= GOALLOC_ARENA_L2 - 1;
	arena = l2->arenas[ai];
	bit = BIT(goalloc_chunk_index(addr) & (GOALLOC_ARENA_CHUNKS - 1));
	for (i = 0; i < MHEAP_INDICES; i++) {
		if (indexed & BIT(i)) {
			arena->index[i] |= bit;
			__set_bit(ai, l2->index[i]);
			__set_bit(l1, heap->index[i]);
			continue;
		}
		arena->index[i] &= ~bit;
		if (arena->index[i])
			continue;
		__clear_bit(ai, l2->index[i]);
		if (bitmap_empty(l2->index[i], GOALLOC_ARENA_L2))
			__clear_bit(l1, heap->index[i]);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_chunk_changed);

/* The bits of the pages of a range have changed. */
static void mheap_range_changed(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 end = addr + (npages << GOALLOC_PAGE_SHIFT);

	for (; addr < end; addr = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1)
		mheap_chunk_changed(heap, mheap_chunk(heap, addr), addr);
}

/**
 * mheap_find_chunk - finds the highest chunk of an index
 * @heap: the heap
 * @index: which index
 * @below: heap address: only chunks that begin below it
 *
 * Context: the heap lock held. Takes a few steps, however large the heap is.
 * Return: the chunk's address, or 0 if there is none.
 */
u64 mheap_find_chunk(struct goalloc_heap *heap, enum mheap_index index, u64 below)
{
	const struct goalloc_arena_l2 *l2;
	u32 ci, l1, ai, n;
	u16 bits;

	lockdep_assert_held(&heap->lock);
	if (below <= GOALLOC_HEAP_BASE)
		return 0;
	ci = (min(below, GOALLOC_HEAP_END) - 1 - GOALLOC_HEAP_BASE) >> PALLOC_CHUNK_SHIFT;
	l1 = ci / GOALLOC_L2_CHUNKS;
	ai = (ci / GOALLOC_ARENA_CHUNKS) % GOALLOC_ARENA_L2;

	/* The arena that @below is in, the others of its entry, the other entries. */
	if (test_bit(l1, heap->index[index])) {
		l2 = READ_ONCE(heap->arenas[l1]);
		bits = GENMASK(ci % GOALLOC_ARENA_CHUNKS, 0);
		if (test_bit(ai, l2->index[index]))
			bits &= l2->arenas[ai]->index[index];
		else
			bits = 0;
		if (bits)
			goto found;
		n = find_last_bit(l2->index[index], ai);
		if (n < ai) {
			ai = n;
			bits = l2->arenas[ai]->index[index];
			goto found;
		}
	}
	n = find_last_bit(heap->index[index], l1);
	if (n == l1)
		return 0;
	l1 = n;
	l2 = READ_ONCE(heap->arenas[l1]);
	ai = find_last_bit(l2->index[index], GOALLOC_ARENA_L2);
	bits = l2->arenas[ai]->index[index];
found:
	ci = (l1 * GOALLOC_ARENA_L2 + ai) * GOALLOC_ARENA_CHUNKS + __fls(bits);
	return goalloc_chunk_base(ci);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_find_chunk);

static struct goalloc_arena_l2 *mheap_l2(struct goalloc_heap *heap, u32 chunk)
{
	return READ_ONCE(heap->arenas[chunk / GOALLOC_L2_CHUNKS]);
}

/* Chunks below cur_arena that are nobody's: not grown, or given back. */
static void mheap_add_gap(struct goalloc_heap *heap, u32 chunk)
{
	struct goalloc_arena_l2 *l2 = mheap_l2(heap, chunk);

	/* Without a table to say so the address space is lost to the heap. */
	if (!l2 || __test_and_set_bit(chunk % GOALLOC_L2_CHUNKS, l2->gaps))
		return;
	l2->ngaps++;
	heap->ngaps++;
	heap->gap_first = min(heap->gap_first, chunk / GOALLOC_L2_CHUNKS);
}

/* Address space that is nobody's is about to be somebody's. */
static void mheap_del_gaps(struct goalloc_heap *heap, u32 chunk, u32 n)
{
	heap->ngaps -= n;
	while (n) {
		struct goalloc_arena_l2 *l2 = mheap_l2(heap, chunk);
		u32 i = chunk % GOALLOC_L2_CHUNKS, some = min_t(u32, n, GOALLOC_L2_CHUNKS - i);

		bitmap_clear(l2->gaps, i, some);
		l2->ngaps -= some;
		chunk += some;
		n -= some;
	}
}

/*
 * A gap of @n chunks, as low as is found soon, or 0. Of many small ones not all
 * are looked at: address space is not short.
 */
static u64 mheap_take_gap(struct goalloc_heap *heap, u32 n)
{
	u32 tries = MHEAP_GAP_TRIES, base = 0, len = 0, l1;

	if (n > heap->ngaps)
		return 0;
	for (l1 = heap->gap_first; l1 < GOALLOC_ARENA_L1 && tries; l1++) {
		/* One that comes just now has no gaps. */
		const struct goalloc_arena_l2 *l2 = READ_ONCE(heap->arenas[l1]);
		u32 begin, end = 0;

		if (!l2 || !l2->ngaps) {
			len = 0;
			if (l1 == heap->gap_first)
				heap->gap_first++;
			continue;
		}
		for (; tries; tries--) {
			begin = find_next_bit(l2->gaps, GOALLOC_L2_CHUNKS, end);
			/* What reached the end of the entry before goes on here, or not. */
			if (begin || !len) {
				base = l1 * GOALLOC_L2_CHUNKS + begin;
				len = 0;
			}
			if (begin == GOALLOC_L2_CHUNKS)
				break;
			end = find_next_zero_bit(l2->gaps, GOALLOC_L2_CHUNKS, begin);
			len += end - begin;
			if (len >= n) {
				mheap_del_gaps(heap, base, n);
				return goalloc_chunk_base(base);
			}
			if (end == GOALLOC_L2_CHUNKS)
				break;
			len = 0;
		}
	}
	return 0;
}

/* Address space for @n chunks that nobody else will take, or 0. */
static u64 mheap_reserve(struct goalloc_heap *heap, u64 n)
{
	unsigned long flags = mheap_lock(heap);
	u64 base = n <= GOALLOC_NR_CHUNKS ? mheap_take_gap(heap, n) : 0;

	if (!base && n << PALLOC_CHUNK_SHIFT <= GOALLOC_HEAP_END - heap->cur_arena) {
		base = heap->cur_arena;
		one_writer_add(heap->cur_arena, n << PALLOC_CHUNK_SHIFT);
	}
	mheap_unlock(heap, flags);
	return base;
}

/* The heap lock is held: chunk by chunk the end of the address space comes down. */
static void mheap_lower_end(struct goalloc_heap *heap)
{
	u32 steps = MHEAP_GAP_TRIES;

	while (steps-- && heap->cur_arena > GOALLOC_HEAP_BASE) {
		u32 last = goalloc_chunk_index(heap->cur_arena - 1);
		const struct goalloc_arena_l2 *l2 = mheap_l2(heap, last);

		if (!l2 || !test_bit(last % GOALLOC_L2_CHUNKS, l2->gaps))
			break;
		mheap_del_gaps(heap, last, 1);
		one_writer_add(heap->cur_arena, -PALLOC_CHUNK_SIZE);
	}
}

/* Address space that was reserved and has no chunks, piece by piece. */
static void mheap_unreserve(struct goalloc_heap *heap, u64 base, u64 n)
{
	unsigned long flags = mheap_lock(heap);

	if (heap->cur_arena == base + (n << PALLOC_CHUNK_SHIFT)) {
		WRITE_ONCE(heap->cur_arena, base);
		n = 0;
	}
	while (n--) {
		mheap_add_gap(heap, goalloc_chunk_index(base) + n);
		if (n && !(n % MHEAP_GAP_TRIES)) {
			mheap_unlock(heap, flags);
			flags = mheap_lock(heap);
		}
	}
	mheap_lower_end(heap);
	mheap_unlock(heap, flags);
}

/* Makes the table of the 8 GiB that an address lies in, if there is none. */
static bool mheap_build_l2(struct goalloc_heap *heap, u64 addr, gfp_t gfp)
{
	struct goalloc_arena_l2 **l2p = &heap->arenas[goalloc_arena_index(addr) >>
						      GOALLOC_ARENA_L2_BITS];
	struct goalloc_arena_l2 *l2;

	if (READ_ONCE(*l2p))
		return true;
	l2 = persistentalloc(heap, &heap->gc_bytes, sizeof(*l2), gfp);
	if (!l2)
		return false;
	if (cmpxchg(l2p, NULL, l2))
		persistentfree(&heap->gc_bytes, l2, sizeof(*l2));
	return true;
}

/*
 * Makes a chunk's arena and its table, in address space that the caller has
 * reserved. Tables with nothing in them may be given back by others all the
 * while, so what is missing is seen under the lock, made without it, and entered
 * with it, all at once.
 */
static struct goalloc_chunk *mheap_build_chunk(struct goalloc_heap *heap, u64 addr, gfp_t gfp)
{
	struct goalloc_arena_l2 *l2 = mheap_l2(heap, goalloc_chunk_index(addr));
	struct goalloc_arena **ap = &l2->arenas[goalloc_arena_index(addr) &
						(GOALLOC_ARENA_L2 - 1)];
	u32 i = goalloc_chunk_index(addr) & (GOALLOC_ARENA_CHUNKS - 1);
	struct goalloc_chunk *c, *new = fixalloc_chunk(heap, gfp);
	struct goalloc_arena *arena = NULL;
	unsigned long flags;

	if (!new)
		return NULL;
	for (;;) {
		c = NULL;
		flags = mheap_lock(heap);
		if (!*ap && arena) {
			/* Readers must not see it before its zeroes. */
			smp_store_release(ap, arena);
			arena = NULL;
		}
		if (*ap) {
			/* There may be one that a growth which failed has left. */
			c = (*ap)->chunks[i];
			if (!c) {
				c = new;
				new = NULL;
				/* As above. */
				smp_store_release(&(*ap)->chunks[i], c);
			}
		}
		mheap_unlock(heap, flags);
		if (c)
			break;
		arena = persistentalloc(heap, &heap->gc_bytes, sizeof(*arena), gfp);
		if (!arena)
			break;
	}
	if (arena)
		persistentfree(&heap->gc_bytes, arena, sizeof(*arena));
	if (new)
		fixalloc_chunk_free(heap, new);
	return c;
}

/*
 * Adds address space for npages to the page allocator (Go: mheap.grow). The
 * range is reserved first, so its tables are ours to build without the lock.
 * If they cannot be built, what has some becomes idle pages, to be given back
 * right away if that may sleep, and the rest is there for the next one.
 */
static bool mheap_grow(struct goalloc_heap *heap, u64 npages, gfp_t gfp)
{
	u64 n = DIV_ROUND_UP(npages, PALLOC_CHUNK_PAGES);
	u64 base = mheap_reserve(heap, n), addr, i, left;
	unsigned long flags;
	bool tables;

	if (!base)
		return false;
	/* First the tables that can say what is a gap. */
	tables = mheap_build_l2(heap, base + ((n - 1) << PALLOC_CHUNK_SHIFT), gfp);
	for (i = 0; i < n && tables; i += GOALLOC_L2_CHUNKS)
		tables = mheap_build_l2(heap, base + (i << PALLOC_CHUNK_SHIFT), gfp);
	for (i = 0; i < n && tables; i++) {
		struct goalloc_chunk *c;

		addr = base + (i << PALLOC_CHUNK_SHIFT);
		c = mheap_build_chunk(heap, addr, gfp);
		if (!c || pagealloc_prepare(&heap->pages, addr, &c->palloc,
					    (gfp & FIXALLOC_GFP) | __GFP_NOWARN))
			break;
		if (gfpflags_allow_blocking(gfp)) {
			cond_resched();
			/* Who is killed does not wait for much, but has what is made. */
			if (i + 1 < n && fatal_signal_pending(current)) {
				i++;
				break;
			}
		}
	}
	if (i < n)
		mheap_unreserve(heap, base + (i << PALLOC_CHUNK_SHIFT), n - i);

	for (left = i, addr = base; left;) {
		u64 piece = min_t(u64, left, MHEAP_PIECE_PAGES / PALLOC_CHUNK_PAGES);
		u64 pages = piece * PALLOC_CHUNK_PAGES;

		/* What is in already may be taken meanwhile; then we grow again. */
		flags = mheap_lock(heap);
		pagealloc_grow(&heap->pages, addr, piece);
		one_writer_add(heap->pages_sys, pages);
		atomic64_add(pages, &heap->pages_released);
		mheap_range_changed(heap, addr, pages);
		mheap_unlock(heap, flags);
		left -= piece;
		addr += piece << PALLOC_CHUNK_SHIFT;
		if (left)
			cond_resched();
	}
	if (i == n)
		return true;
	if (i && gfpflags_allow_blocking(gfp))
		mheap_release_tables(heap, 0, base);
	return false;
}

/* What has left the heap and goes once nobody looks at it any more. */
struct mheap_gone {
	struct goalloc_chunk *chunks;
	struct goalloc_arena *arenas;
	struct pagealloc_node *nodes;
	u64 n;
};

/* Takes the highest chunk that has nothing in it out of the heap. */
static bool mheap_take_empty(struct goalloc_heap *heap, u64 keep_pages, u64 from, u64 *below,
			     struct mheap_gone *gone)
{
	struct goalloc_arena **ap, *arena;
	struct goalloc_chunk *c;
	unsigned long flags;
	u32 chunk;
	u64 addr;

	flags = mheap_lock(heap);
	addr = heap->pages_sys > keep_pages ?
		mheap_find_chunk(heap, INDEX_EMPTY, *below) : 0;
	if (addr < max(from, GOALLOC_HEAP_BASE)) {
		mheap_unlock(heap, flags);
		return false;
	}
	*below = addr;
	c = mheap_chunk(heap, addr);
	if (!pagealloc_ungrow(&heap->pages, addr, &gone->nodes)) {
		mheap_chunk_changed(heap, c, addr);
		one_writer_add(heap->pages_sys, -(u64)PALLOC_CHUNK_PAGES);
		atomic64_sub(PALLOC_CHUNK_PAGES, &heap->pages_released);

		chunk = goalloc_chunk_index(addr);
		ap = &mheap_l2(heap, chunk)->arenas[chunk / GOALLOC_ARENA_CHUNKS %
						    GOALLOC_ARENA_L2];
		arena = *ap;
		WRITE_ONCE(arena->chunks[chunk % GOALLOC_ARENA_CHUNKS], NULL);
		if (!memchr_inv(arena->chunks, 0, sizeof(arena->chunks))) {
			WRITE_ONCE(*ap, NULL);
			arena->next = gone->arenas;
			gone->arenas = arena;
		}
		c->next = gone->chunks;
		gone->chunks = c;
		gone->n++;
		mheap_add_gap(heap, chunk);
		mheap_lower_end(heap);
	}
	mheap_unlock(heap, flags);
	return true;
}

static void mheap_free_chunk(struct goalloc_heap *heap, struct goalloc_chunk *c)
{
	if (heap->backing == BACKING_SPARSE) {
		persistentfree(&heap->gc_bytes, (void *)c->spans,
			       PALLOC_CHUNK_PAGES * sizeof(*c->spans));
		sparse_free_chunk_pages(heap, c);
	} else {
		WARN_ON_ONCE(memchr_inv(c->granule, 0,
					GOALLOC_CHUNK_GRANULES * sizeof(*c->granule)));
	}
	fixalloc_chunk_free(heap, c);
}

/**
 * mheap_release_tables_until - gives tables back as long as there is time
 * @heap: the heap
 * @keep_pages: as for mheap_release_tables()
 * @from: as for mheap_release_tables()
 * @until: what ktime_get_ns() is then
 *
 * Context: as mheap_release_tables().
 * Return: how many chunks went.
 */
u64 mheap_release_tables_until(struct goalloc_heap *heap, u64 keep_pages, u64 from, u64 until)
{
	u64 below = GOALLOC_HEAP_END, n = 0;
	struct mheap_gone gone;

	do {
		memset(&gone, 0, sizeof(gone));
		while (gone.n < MHEAP_GONE_CHUNKS &&
		       mheap_take_empty(heap, keep_pages, from, &below, &gone))
			cond_resched();
		if (!gone.n)
			break;
		n += gone.n;
		synchronize_rcu();
		pagealloc_free_nodes(&heap->pages, gone.nodes);
		while (gone.chunks) {
			struct goalloc_chunk *c = gone.chunks;

			gone.chunks = c->next;
			mheap_free_chunk(heap, c);
			cond_resched();
		}
		while (gone.arenas) {
			struct goalloc_arena *arena = gone.arenas;

			gone.arenas = arena->next;
			persistentfree(&heap->gc_bytes, arena, sizeof(*arena));
		}
	} while (gone.n == MHEAP_GONE_CHUNKS && ktime_get_ns() < until);
	return n;
}

/**
 * mheap_release_tables - gives the tables of empty chunks back
 * @heap: the heap
 * @keep_pages: as long as it has more heap pages of address space than this
 * @from: only chunks at or above this address
 *
 * Go keeps what it has mapped for ever. The highest addresses go first.
 *
 * Context: task, sleeps for an RCU grace period; no lock held.
 * Return: how many chunks went.
 */
u64 mheap_release_tables(struct goalloc_heap *heap, u64 keep_pages, u64 from)
{
	return mheap_release_tables_until(heap, keep_pages, from, U64_MAX);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_release_tables);

/*
 * The scavenged bits of a run of a linear heap: pages without a block behind
 * them have them set. The heap lock is held.
 */
static void linear_mark_scavenged(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 end = addr + (npages << GOALLOC_PAGE_SHIFT);

	while (addr < end) {
		u32 half = goalloc_chunk_page(addr) / PALLOC_HALF_PAGES;
		u64 pages = mheap_chunk(heap, addr)->palloc.block_pages[half] ?: PALLOC_HALF_PAGES;
		u64 next = min(end, (addr | ((pages << GOALLOC_PAGE_SHIFT) - 1)) + 1);

		if (!backing_block(heap, addr))
			pagealloc_set_scavenged(&heap->pages, addr,
						(next - addr) >> GOALLOC_PAGE_SHIFT);
		addr = next;
	}
}

/*
 * Gives pages back to the page allocator. They count as in use, and on a sparse
 * heap their scavenged bits are right. A long run is freed piece by piece, so that
 * the lock is held for a piece only; each is a run.
 */
static void mheap_give_run(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	while (npages) {
		u64 n = min_t(u64, npages, MHEAP_PIECE_PAGES);
		unsigned long flags = mheap_lock(heap);

		if (heap->backing == BACKING_LINEAR)
			linear_mark_scavenged(heap, addr, n);
		atomic64_sub(n, &heap->pages_in_use);
		atomic64_add(pagealloc_count_scavenged(&heap->pages, addr, n),
			     &heap->pages_released);
		pagealloc_free(&heap->pages, addr, n);
		if (heap->backing == BACKING_LINEAR)
			linear_released(heap, addr, n);
		mheap_range_changed(heap, addr, n);
		mheap_unlock(heap, flags);
		npages -= n;
		addr += n << GOALLOC_PAGE_SHIFT;
		/* Long ones are only returned where that may sleep. */
		if (npages)
			cond_resched();
	}
	scavenge_wake(heap);
}

/*
 * Gives the pages of a closed span back to the page allocator. Where some memory
 * has gone the rest goes, too, and the page is a hole, or its block goes.
 */
static void mheap_give_closed(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr = s->start_addr;
	u32 i;

	for (i = 0; i < s->npages; i++, addr += GOALLOC_PAGE_SIZE) {
		unsigned long flags, base;

		if (!backing_end_thin(heap, s, i)) {
			mheap_give_run(heap, addr, 1);
			continue;
		}
		flags = mheap_lock(heap);
		atomic64_dec(&heap->pages_in_use);
		atomic64_add(pagealloc_set_scavenged(&heap->pages, addr, 1),
			     &heap->pages_released);
		one_writer_add(heap->pages_holes, 1);
		base = linear_drop(heap, addr);
		mheap_chunk_changed(heap, mheap_chunk(heap, addr), addr);
		mheap_unlock(heap, flags);
		linear_dropped(base);
	}
	atomic64_sub((u64)hweight64(s->gone) << PAGE_SHIFT, &heap->thin_bytes);
}

/* Reserves pages under a limit; never over it, however many do. */
static bool charge(atomic64_t *charged, u64 npages, const u64 *max)
{
	s64 old = atomic64_read(charged);

	do {
		u64 most = READ_ONCE(*max) >> GOALLOC_PAGE_SHIFT;

		if (npages > most || old > most - npages)
			return false;
	} while (!atomic64_try_cmpxchg(charged, &old, old + npages));
	return true;
}

static bool mheap_charge(struct goalloc_heap *heap, u64 npages)
{
	if (!charge(&heap->pages_charged, npages, &heap->max))
		return false;
	if (charge(&goalloc_pages_charged, npages, &goalloc_max))
		return true;
	atomic64_sub(npages, &heap->pages_charged);
	return false;
}

static void mheap_uncharge(struct goalloc_heap *heap, u64 npages)
{
	atomic64_sub(npages, &goalloc_pages_charged);
	atomic64_sub(npages, &heap->pages_charged);
}

/* Pages are in a span now; @scav of them count as released until here. */
static void mheap_use_pages(struct goalloc_heap *heap, u64 npages, u64 scav)
{
	atomic64_sub(scav, &heap->pages_released);
	smp_mb__after_atomic(); /* for readmemstats() released pages are idle */
	atomic64_add(npages, &heap->pages_in_use);
}

/*
 * A half chunk of a linear heap that pages were taken of, and that has no blocks
 * yet, is walled off for those of the largest size (see pallocbits.h).
 */
static void linear_wall(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);

	if (!c->palloc.block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES])
		pagealloc_set_block(&heap->pages, addr, PALLOC_HALF_PAGES);
}

/*
 * Pages set aside may have got memory since. The heap lock and the cache's are
 * held.
 */
static void page_cache_refresh(struct goalloc_heap *heap, struct page_cache *pc)
{
	u32 i;

	for (i = 0; i < PAGE_CACHE_PAGES && pc->set.scavenged; i += GOALLOC_GRANULE_PAGES) {
		u64 addr = pc->set.base + ((u64)i << GOALLOC_PAGE_SHIFT);

		if (backing_block(heap, addr))
			atomic64_sub(page_cache_back(pc, addr, GOALLOC_GRANULE_PAGES),
				     &heap->pages_released);
	}
}

/* Gives the pages of a cache back (Go: pageCache.flush). Its lock is held. */
static void mheap_give_set(struct goalloc_heap *heap, struct page_cache *pc)
{
	unsigned long flags;

	if (!pc->set.pages)
		return;
	flags = mheap_lock(heap);
	if (heap->backing == BACKING_LINEAR)
		page_cache_refresh(heap, pc);
	pagealloc_give_set(&heap->pages, &pc->set);
	if (heap->backing == BACKING_LINEAR)
		linear_released(heap, pc->set.base, 1);
	mheap_chunk_changed(heap, mheap_chunk(heap, pc->set.base), pc->set.base);
	mheap_unlock(heap, flags);
	pc->set = (struct pagealloc_set) {};
}

static void mheap_flush_page_cache(struct goalloc_heap *heap, struct page_cache *pc)
{
	unsigned long flags;

	if (page_cache_empty(pc))
		return;
	raw_spin_lock_irqsave(&pc->lock, flags);
	mheap_give_set(heap, pc);
	raw_spin_unlock_irqrestore(&pc->lock, flags);
}

/**
 * mheap_flush_page_caches - gives the pages that CPUs have set aside back
 * @heap: the heap
 *
 * Those of spans that are kept for large objects, too.
 *
 * Context: any but NMI; no lock held.
 */
void mheap_flush_page_caches(struct goalloc_heap *heap)
{
	int cpu;

	large_cache_flush(heap);
	for_each_possible_cpu(cpu)
		mheap_flush_page_cache(heap, &per_cpu_ptr(heap->mcache, cpu)->pages);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_flush_page_caches);

/**
 * mheap_back_cached - a block is behind pages that CPUs may have set aside
 * @heap: a linear heap
 * @addr: heap address of the block
 * @npages: its length
 *
 * Context: any but NMI; no lock held.
 */
void mheap_back_cached(struct goalloc_heap *heap, u64 addr, u32 npages)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct page_cache *pc = &per_cpu_ptr(heap->mcache, cpu)->pages;
		unsigned long flags;

		if (page_cache_empty(pc))
			continue;
		raw_spin_lock_irqsave(&pc->lock, flags);
		atomic64_sub(page_cache_back(pc, addr, npages), &heap->pages_released);
		raw_spin_unlock_irqrestore(&pc->lock, flags);
	}
}

/* Is the memory behind a page of this CPU's node, or will it be when it comes? */
static bool linear_is_near(struct goalloc_heap *heap, u64 addr)
{
	const void *base = backing_block(heap, addr);

	return !base || page_to_nid(virt_to_page(base)) == numa_mem_id();
}

/*
 * Pages for a cache, the lowest there are. With several nodes the lowest of a few
 * sets whose memory is near; on one node nothing of this is looked at. The heap
 * lock is held.
 */
static bool mheap_take_set(struct goalloc_heap *heap, struct pagealloc_set *set)
{
	struct pagealloc_set far[MHEAP_FAR_SETS];
	bool found = pagealloc_take_set(&heap->pages, set);
	u32 n = 0;

	if (nr_online_nodes == 1 || heap->backing == BACKING_SPARSE)
		return found;
	while (found && n < MHEAP_FAR_SETS && !linear_is_near(heap, set->base)) {
		far[n++] = *set;
		found = pagealloc_take_set(&heap->pages, set);
	}
	/* None near: the lowest after all. */
	if (n && (!found || !linear_is_near(heap, set->base))) {
		if (found)
			pagealloc_give_set(&heap->pages, set);
		*set = far[0];
		far[0] = far[--n];
		found = true;
	}
	while (n)
		pagealloc_give_set(&heap->pages, &far[--n]);
	return found;
}

/* A short run, of the pages this CPU has set aside (Go: mheap.allocSpan). */
static u64 mheap_take_cached(struct goalloc_heap *heap, u64 npages, u64 *scav)
{
	bool linear = heap->backing == BACKING_LINEAR;
	unsigned long flags, inner;
	u32 n = 0, block = PAGE_CACHE_PAGES;
	struct page_cache *pc;
	u64 addr = 0;

	/* Of the CPU that this runs on, so that it is none that is dead. */
	local_irq_save(flags);
	pc = &this_cpu_ptr(heap->mcache)->pages;
	raw_spin_lock(&pc->lock);
	if (!pc->set.pages) {
		inner = mheap_lock(heap);
		one_writer_add(heap->refills, 1);
		if (mheap_take_set(heap, &pc->set)) {
			if (linear)
				linear_wall(heap, pc->set.base);
			mheap_chunk_changed(heap, mheap_chunk(heap, pc->set.base), pc->set.base);
		}
		mheap_unlock(heap, inner);
	}
	if (pc->set.pages) {
		if (linear) {
			struct goalloc_chunk *c = mheap_chunk(heap, pc->set.base);

			/* Should it get shorter just now, linear_commit() sees to that. */
			block = READ_ONCE(c->palloc.block_pages[goalloc_chunk_page(pc->set.base) /
								PALLOC_HALF_PAGES]);
		}
		addr = page_cache_take(pc, npages, block, &n);
	}
	*scav = n;
	if (addr)
		mheap_use_pages(heap, npages, n);
	raw_spin_unlock(&pc->lock);
	local_irq_restore(flags);
	return addr;
}

/*
 * A short run goes to the pages that this CPU has set aside; if these lie elsewhere they
 * are given back for it. In Go each run goes to the page allocator. Here spans come and
 * go one by one, and what is freed in a row lies close together: of 64 pages the heap
 * lock is taken for one.
 */
static void mheap_put_cached(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 first = goalloc_page_index(addr), base = round_down(first, PAGE_CACHE_PAGES);
	struct page_cache *pc;
	unsigned long flags;

	/* Of the CPU that this runs on, so that it is none that is dead. */
	local_irq_save(flags);
	pc = &this_cpu_ptr(heap->mcache)->pages;
	raw_spin_lock(&pc->lock);
	if (pc->set.base != goalloc_page_addr(base)) {
		mheap_give_set(heap, pc);
		pc->set.base = goalloc_page_addr(base);
	}
	/* The block behind them is there as long as they are in no summary. */
	pc->set.pages |= GENMASK_ULL(npages - 1, 0) << (first - base);
	atomic64_sub(npages, &heap->pages_in_use);
	raw_spin_unlock(&pc->lock);
	local_irq_restore(flags);
	scavenge_wake(heap);
}

/* Is a span's run one that a CPU sets aside when it is returned? */
static bool mheap_puts_cached(struct goalloc_heap *heap, const struct mspan *s)
{
	u64 first = goalloc_page_index(s->start_addr);

	return heap->backing == BACKING_LINEAR && heap->page_caches && !s->vmapped &&
	       s->npages <= PAGE_CACHE_RUN_MAX &&
	       !((first ^ (first + s->npages - 1)) & ~(u64)(PAGE_CACHE_PAGES - 1)) &&
	       (nr_online_nodes == 1 ||
		page_to_nid(virt_to_page((void *)s->base)) == numa_mem_id());
}

/* A run from the page allocator, in one piece under the heap lock. */
static u64 mheap_take_run(struct goalloc_heap *heap, u64 npages, u64 align_pages, bool block,
			  u64 *scav)
{
	unsigned long flags = mheap_lock(heap);
	u64 addr = align_pages > 1 ?
		pagealloc_alloc_aligned(&heap->pages, npages, align_pages, scav) :
		pagealloc_alloc(&heap->pages, npages, scav);

	if (addr) {
		if (block)
			linear_wall(heap, addr);
		mheap_use_pages(heap, npages, *scav);
		mheap_range_changed(heap, addr, npages);
	}
	mheap_unlock(heap, flags);
	return addr;
}

/*
 * A long run, piece by piece, so that the lock is held for a piece only. If
 * somebody takes a page of it meanwhile, what was taken till then is in @s for the
 * caller to give back.
 */
static u64 mheap_take_long(struct goalloc_heap *heap, struct mspan *s, u64 npages,
			   u64 align_pages, u64 *scav)
{
	unsigned long flags = mheap_lock(heap);
	u64 addr = pagealloc_find_run(&heap->pages, npages, align_pages);

	s->start_addr = addr;
	s->npages = 0;
	*scav = 0;
	while (addr && s->npages < npages) {
		u64 n = min_t(u64, npages - s->npages, MHEAP_PIECE_PAGES);
		u64 at = addr + mspan_bytes(s), x = pagealloc_try_range(&heap->pages, at, n);

		if (x == PAGEALLOC_REFUSED) {
			addr = 0;
			break;
		}
		mheap_use_pages(heap, n, x);
		mheap_range_changed(heap, at, n);
		*scav += x;
		s->npages += n;
		mheap_unlock(heap, flags);
		cond_resched();
		flags = mheap_lock(heap);
	}
	mheap_unlock(heap, flags);
	return addr;
}

/**
 * mheap_from - the first heap from a number on
 * @id: the number
 *
 * Context: any.
 * Return: the heap, which stays until mheap_put(), or NULL.
 */
struct goalloc_heap *mheap_from(u64 id)
{
	struct goalloc_heap *heap, *next = NULL;

	/* Heaps are in the list in the order of their numbers. */
	rcu_read_lock();
	list_for_each_entry_rcu(heap, &goalloc_heaps, list) {
		if (heap->id >= id && mheap_get(heap)) {
			next = heap;
			break;
		}
	}
	rcu_read_unlock();
	return next;
}

/* Would so many pages more pass the bound of all heaps? */
static bool mheap_all_full(u64 npages)
{
	u64 most = READ_ONCE(goalloc_max) >> GOALLOC_PAGE_SHIFT;

	return npages > most || atomic64_read(&goalloc_pages_charged) > (s64)(most - npages);
}

/*
 * Spans that are kept for large objects go; of all heaps, if the bound of all is met
 * and there is time for it. File heaps keep none.
 */
static void mheap_flush_large(struct goalloc_heap *heap, u64 npages, gfp_t gfp)
{
	struct goalloc_heap *h;
	u64 id = 0;

	large_cache_flush(heap);
	if (!gfpflags_allow_blocking(gfp) || !mheap_all_full(npages))
		return;
	while ((h = mheap_from(id))) {
		if (h->backing == BACKING_LINEAR)
			large_cache_flush(h);
		id = h->id + 1;
		mheap_put(h);
		cond_resched();
	}
}

/* As mheap_alloc_span(); @vmapped: with pages of its own, mapped by vmalloc(). */
static struct mspan *mheap_try_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
				    u8 spc, u64 elemsize, bool vmapped, gfp_t gfp)
{
	bool linear = heap->backing == BACKING_LINEAR, flushed = false, ok;
	u64 run = npages, addr, scav = 0;
	struct mspan *s;
	int ret;

	/* Whole halves, so that what is left of one can have blocks. */
	if (vmapped)
		run = round_up(npages, PALLOC_HALF_PAGES);
	s = fixalloc_mspan(heap, spc, gfp);
	if (!s)
		return NULL;
	ok = mheap_charge(heap, run);
	if (!ok && (linear || gfpflags_allow_blocking(gfp))) {
		/* What CPUs and classes keep at hand may be what is missing. */
		mheap_flush_large(heap, run, gfp);
		mcache_flush_own(heap);
		mcentral_release_empty(heap);
		ok = mheap_charge(heap, run);
	}
	if (!ok && linear && gfpflags_allow_blocking(gfp) && mcache_flush_others(heap, gfp)) {
		mcentral_release_empty(heap);
		ok = mheap_charge(heap, run);
	}
	if (!ok) {
		fixalloc_mspan_free_now(heap, s);
		return NULL;
	}
again:
	for (;;) {
		addr = 0;
		if (run <= PAGE_CACHE_RUN_MAX && align_pages == 1 && heap->page_caches)
			addr = mheap_take_cached(heap, run, &scav);
		if (!addr && run <= MHEAP_PIECE_PAGES)
			addr = mheap_take_run(heap, run, align_pages, linear && !vmapped, &scav);
		if (!addr && run > MHEAP_PIECE_PAGES) {
			addr = mheap_take_long(heap, s, run, align_pages, &scav);
			if (!addr && s->npages) {
				backing_decommit(heap, s);
				mheap_give_run(heap, s->start_addr, s->npages);
				continue;
			}
		}
		if (addr)
			break;
		/* Others may take what we made, again and again. */
		if (mheap_grow(heap, run + align_pages - 1, gfp) &&
		    !(gfpflags_allow_blocking(gfp) && fatal_signal_pending(current)))
			continue;
		if (flushed) {
			mheap_uncharge(heap, run);
			fixalloc_mspan_free_now(heap, s);
			return NULL;
		}
		/*
		 * What CPUs have set aside may be what is missing, or the address
		 * space of holes, or that between a gap and chunks that are empty.
		 */
		mheap_flush_page_caches(heap);
		if (gfpflags_allow_blocking(gfp)) {
			scavenge_blocks(heap);
			mheap_release_tables(heap, 0, 0);
		}
		flushed = true;
	}

	mspan_init(s, heap, spc, addr, run, elemsize);
	s->vmapped = vmapped;
	s->needzero = scav != run || (!linear && SPARSE_UNIT_PAGES > 1);
	WRITE_ONCE(s->sweepgen, READ_ONCE(heap->sweepgen));
	ret = backing_commit(heap, s, gfp);
	if (ret == -EAGAIN) {
		/* Blocks got shorter meanwhile, and the run lies in two of them. */
		mheap_give_run(heap, addr, run);
		goto again;
	}
	if (ret)
		goto fail;
	WRITE_ONCE(s->state, MSPAN_IN_USE);
	if (backing_map_span(heap, s, gfp)) {
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s);
		backing_decommit(heap, s);
		goto fail;
	}
	checkers_span(s);
	atomic64_inc(&heap->nspans);
	atomic_inc(&s->central->nspans);
	/* Records and tables count too. */
	if (!linear)
		scavenge_at_limit(heap);
	return s;

fail:
	mheap_give_run(heap, addr, run);
	mheap_uncharge(heap, run);
	fixalloc_mspan_free(heap, s);
	return NULL;
}

/**
 * mheap_alloc_span - makes a span (Go: mheap.alloc, allocSpan)
 * @heap: the heap
 * @npages: heap pages
 * @align_pages: a power of two, what the first page's address is a multiple of
 * @spc: span class
 * @elemsize: bytes of a slot, or of the large object
 * @gfp: the caller's flags
 *
 * Context: any but NMI, as @gfp says; no lock held.
 * Return: the span, HELD, all slots free, swept, to be found by its addresses;
 * or NULL with nothing changed, when there is no memory, no address space, or
 * a max would be passed.
 */
struct mspan *mheap_alloc_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
			       u8 spc, u64 elemsize, gfp_t gfp)
{
	bool map = heap->backing == BACKING_LINEAR && spc < 2 && gfpflags_allow_blocking(gfp);
	struct mspan *s = NULL;

	if (!fixalloc_allowed() || !mheap_build_central(heap, gfp))
		return NULL;
	if (npages <= PALLOC_HALF_PAGES || heap->backing == BACKING_SPARSE)
		s = mheap_try_span(heap, npages, align_pages, spc, elemsize, false, gfp);
	/* No block holds it, or none that does is to be had. */
	if (!s && map && npages > PALLOC_BLOCK_MIN)
		s = mheap_try_span(heap, npages, align_pages, spc, elemsize, true, gfp);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_alloc_span);

/**
 * mheap_return_span - returns a span to the page heap (Go: freeSpan)
 * @s: the span, HELD by the caller, nothing in it live
 *
 * Until an RCU grace period is over others may look at the record, and find
 * every slot free (I2).
 *
 * Context: any but NMI if the span has a block behind it or is short, and no
 * process has mapped the heap; else a task that may sleep; no lock held.
 */
void mheap_return_span(struct mspan *s)
{
	struct goalloc_heap *heap = s->heap;

	WRITE_ONCE(s->state, MSPAN_DEAD);
	backing_unmap_span(heap, s);
	backing_decommit(heap, s);
	atomic64_dec(&heap->nspans);
	if (unlikely(mspan_is_closed(s)))
		mheap_give_closed(heap, s);
	else if (mheap_puts_cached(heap, s))
		mheap_put_cached(heap, s->start_addr, s->npages);
	else
		mheap_give_run(heap, s->start_addr, s->npages);
	mheap_uncharge(heap, s->npages);
	gc_bits_free(s);
	atomic_dec(&s->central->nspans);
	fixalloc_mspan_free(heap, s);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_return_span);

static void mheap_return_workfn(struct work_struct *work)
{
	mheap_return_span(container_of(work, struct mspan, work));
}

/**
 * mheap_free_span - returns a span to the page heap, from wherever
 * @s: the span, HELD by the caller, nothing in it live
 *
 * As mheap_return_span(), but a span that takes long to return, or has to
 * sleep for it, goes by way of a work item unless the caller may sleep.
 *
 * Context: any but NMI; no lock held.
 */
void mheap_free_span(struct mspan *s)
{
	if ((s->vmapped || s->npages > MHEAP_INLINE_PAGES || mspan_is_closed(s) ||
	     READ_ONCE(s->heap->mapped)) &&
	    (!preemptible() || rcu_preempt_depth() || READ_ONCE(cpu_dead))) {
		INIT_WORK(&s->work, mheap_return_workfn);
		queue_work(goalloc_wq, &s->work);
		return;
	}
	mheap_return_span(s);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_free_span);

/**
 * mheap_fault - counts a bad free
 * @heap: the heap it concerns, or NULL if that is not known
 * @fault: what was wrong
 *
 * Context: any.
 */
void mheap_fault(struct goalloc_heap *heap, enum goalloc_fault fault)
{
	atomic64_inc(&(heap ?: goalloc_kernel_heap)->faults[fault]);
}

/**
 * mheap_build_central - makes a heap's mcentrals if it has none
 * @heap: the heap
 * @gfp: how to allocate them
 *
 * They are most of what a heap without objects would cost, and a file that was
 * opened and is idle should cost little.
 *
 * Context: any but NMI, as @gfp says.
 * Return: false if there is no memory.
 */
bool mheap_build_central(struct goalloc_heap *heap, gfp_t gfp)
{
	const size_t size = GOALLOC_ALL_CENTRALS * sizeof(struct mcentral);
	struct mcentral *central;
	int i;

	if (READ_ONCE(heap->central))
		return true;
	if (!fixalloc_allowed() || goalloc_should_fail())
		return false;
	gfp &= FIXALLOC_GFP;
	central = alloc_pages_exact(size, gfp | __GFP_ZERO | __GFP_NOWARN);
	if (!central)
		return false;
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++)
		mcentral_init(&central[i], heap, i);
	/*
	 * Full barrier: whoever sees the pointer sees the locks. Who comes second writes
	 * nothing; those who read it plainly have seen it.
	 */
	if (data_race(cmpxchg(&heap->central, NULL, central)))
		free_pages_exact(central, size);
	else
		mheap_count(&heap->other_bytes, size);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_build_central);

/* The page allocator's nodes fail for tests as all other metadata does. */
static bool mheap_fail_node(struct pagealloc *p)
{
	return goalloc_should_fail();
}

/* As mheap_create(); @own: its per-CPU pointers, or NULL. */
static struct goalloc_heap *heap_create(const struct goalloc_heap_params *params,
					enum goalloc_backing backing,
					struct mcache_pcpu __percpu *own)
{
	gfp_t gfp = backing == BACKING_SPARSE ? GFP_KERNEL_ACCOUNT : GFP_KERNEL;
	struct goalloc_heap *heap;

	if (params && params->flags)
		return ERR_PTR(-EINVAL);
	if (goalloc_should_fail())
		return ERR_PTR(-ENOMEM);
	heap = kvzalloc(sizeof(*heap), gfp | __GFP_NOWARN);
	if (!heap)
		return ERR_PTR(-ENOMEM);
	mheap_count(&heap->other_bytes, sizeof(*heap));
	raw_spin_lock_init(&heap->lock);
	heap->backing = backing;
	heap->limit = params && params->limit ? params->limit : GOALLOC_NO_LIMIT;
	heap->max = params && params->max ? params->max : GOALLOC_NO_LIMIT;
	heap->gc_percent = GOALLOC_NO_LIMIT;
	/* Where several heap pages share a page their bits could go stale in a cache. */
	heap->page_caches = backing == BACKING_LINEAR || SPARSE_UNIT_PAGES == 1;
	heap->cur_arena = GOALLOC_HEAP_BASE;
	refcount_set(&heap->users, 1);
	init_completion(&heap->unused);
	pagealloc_init(&heap->pages, &heap->lock);
	heap->pages.meta_total = &goalloc_held;
	if (IS_ENABLED(CONFIG_FAULT_INJECTION))
		heap->pages.fail_node = mheap_fail_node;
	init_waitqueue_head(&heap->limit_wait);
	heap->bg_next = jiffies;
	heap->scav_below = GOALLOC_HEAP_END;
	/* Half of the address space remains for what is in use. */
	heap->holes_max = GOALLOC_NR_PAGES / 2;
	heap->idle_since = jiffies;
	sweep_init(heap);
	if (mcache_init(heap, own)) {
		mheap_count(&heap->other_bytes, -(s64)sizeof(*heap));
		kvfree(heap);
		return ERR_PTR(-ENOMEM);
	}

	mutex_lock(&goalloc_heaps_mutex);
	heap->id = next_heap_id++;
	if (params && params->name)
		strscpy(heap->name, params->name, sizeof(heap->name));
	else
		snprintf(heap->name, sizeof(heap->name), "heap%llu", heap->id);
	list_add_tail_rcu(&heap->list, &goalloc_heaps);
	mutex_unlock(&goalloc_heaps_mutex);
	/* It allocates, for the opener of a file, and nobody is to wait for that. */
	goalloc_debugfs_add(heap);
	return heap;
}

/**
 * mheap_create - makes a heap
 * @params: what it is to be; NULL for a kernel heap without limits
 * @backing: which kind
 *
 * Context: task, sleeps.
 * Return: the heap, or ERR_PTR(-EINVAL) or ERR_PTR(-ENOMEM).
 */
struct goalloc_heap *mheap_create(const struct goalloc_heap_params *params,
				  enum goalloc_backing backing)
{
	return heap_create(params, backing, NULL);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_create);

/* What was not freed, by class, in one line each. */
static void mheap_report_leaks(struct goalloc_heap *heap)
{
	u64 live[GOALLOC_NUM_SIZE_CLASSES] = {}, bytes = 0, all = 0;
	u64 addr = GOALLOC_HEAP_BASE;
	struct mspan *s;
	u8 class;

	while ((s = mheap_next_span(heap, &addr))) {
		u32 n = mspan_objects(s);

		live[spanclass_sizeclass(s->spanclass)] += n;
		bytes += mspan_live(s) * s->elemsize;
		all += n;
	}
	if (!all)
		return;
	pr_warn("goalloc: heap %llu \"%s\" destroyed with %llu objects, %llu bytes, not freed\n",
		heap->id, heap->name, all, bytes);
	for (class = 0; class < GOALLOC_NUM_SIZE_CLASSES; class++)
		if (live[class])
			pr_warn("goalloc:   class %u (%u bytes): %llu not freed\n", class,
				goalloc_class_to_size[class], live[class]);
}

static void mheap_destroy_tables(struct goalloc_heap *heap)
{
	u32 i, j, k;

	pagealloc_destroy(&heap->pages);
	for (i = 0; i < GOALLOC_ARENA_L1; i++) {
		struct goalloc_arena_l2 *l2 = heap->arenas[i];

		if (!l2)
			continue;
		for (j = 0; j < GOALLOC_ARENA_L2; j++) {
			struct goalloc_arena *arena = l2->arenas[j];

			if (!arena)
				continue;
			for (k = 0; k < GOALLOC_ARENA_CHUNKS; k++)
				if (arena->chunks[k])
					mheap_free_chunk(heap, arena->chunks[k]);
			persistentfree(&heap->gc_bytes, arena, sizeof(*arena));
			cond_resched();
		}
		persistentfree(&heap->gc_bytes, l2, sizeof(*l2));
	}
}

/**
 * mheap_destroy - ends a heap and frees all there is in it
 * @heap: the heap, which nobody uses or will use
 * @quiet: objects left over are no leak
 *
 * Context: task, sleeps. Never fails.
 */
void mheap_destroy(struct goalloc_heap *heap, bool quiet)
{
	u64 addr = GOALLOC_HEAP_BASE;
	struct mspan *s;
	int cpu;

	mutex_lock(&goalloc_heaps_mutex);
	list_del_rcu(&heap->list);
	mutex_unlock(&goalloc_heaps_mutex);
	/* Nobody finds it any more, and who did gives its memory back. */
	if (!refcount_dec_and_test(&heap->users))
		wait_for_completion(&heap->unused);
	/* Waits for whoever is in one of its files: others go on meanwhile. */
	goalloc_debugfs_remove(heap);

	/* No mapping is left, or the file would still be open. */
	WRITE_ONCE(heap->mapped, false);
	sweep_stop(heap);
	for_each_possible_cpu(cpu)
		mcache_flush_cpu(heap, cpu);
	/* What a cycle found dead is no leak. */
	if (!quiet)
		sweep_finish(heap);
	flush_workqueue(goalloc_wq);
	class_destroy_all(heap, quiet);
	if (!quiet)
		mheap_report_leaks(heap);

	while ((s = mheap_next_span(heap, &addr))) {
		checkers_span_ends(s);
		mcentral_end_span(s);
		WRITE_ONCE(s->state, MSPAN_DEAD);
		backing_unmap_span(heap, s);
		if (s->vmapped)
			backing_decommit(heap, s);
		if (mspan_is_closed(s))
			mheap_give_closed(heap, s);
		gc_bits_free(s);
		fixalloc_mspan_free(heap, s);
		cond_resched();
	}
	backing_destroy(heap);
	percpu_counter_sub(&goalloc_idle, heap->pages_idle);
	atomic64_sub(atomic64_read(&heap->pages_charged), &goalloc_pages_charged);
	mheap_destroy_tables(heap);
	/*
	 * A bad free of one of the heap's addresses, by somebody with another
	 * heap, may have found a span just before. A file's objects have no
	 * addresses outside the file.
	 */
	if (heap->backing == BACKING_LINEAR)
		synchronize_rcu();
	mcache_destroy(heap);
	WARN_ONCE(atomic64_read(&heap->backed) || atomic64_read(&heap->mspan_bytes) ||
		  atomic64_read(&heap->mcache_bytes) || atomic64_read(&heap->gc_bytes),
		  "goalloc: heap %llu ends with %lld bytes of pages, %lld of spans, %lld of mcaches, %lld of tables\n",
		  heap->id, atomic64_read(&heap->backed), atomic64_read(&heap->mspan_bytes),
		  atomic64_read(&heap->mcache_bytes), atomic64_read(&heap->gc_bytes));
	if (heap->central)
		free_pages_exact(heap->central, GOALLOC_ALL_CENTRALS * sizeof(*heap->central));
	mheap_count(&heap->other_bytes, -atomic64_read(&heap->other_bytes));
	/* A search of the heaps may be looking at it. */
	kvfree_rcu(heap, rcu);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_destroy);

/**
 * goalloc_heap_create - makes a heap for objects with kernel pointers
 * @params: its name and limits; NULL for none
 *
 * Context: task, sleeps.
 * Return: the heap, or ERR_PTR(-EINVAL) for an unknown flag, or
 * ERR_PTR(-ENOMEM). It belongs to the caller until goalloc_heap_destroy().
 */
struct goalloc_heap *goalloc_heap_create(const struct goalloc_heap_params *params)
{
	return mheap_create(params, BACKING_LINEAR);
}
EXPORT_SYMBOL_GPL(goalloc_heap_create);

/**
 * goalloc_heap_destroy - ends a heap
 * @heap: from goalloc_heap_create(); an ERR_PTR or NULL is fine
 *
 * Frees what is left in it, and names it by class in the kernel log. Nobody
 * may use the heap or an object of it any more.
 *
 * Context: task, sleeps. Never fails.
 */
void goalloc_heap_destroy(struct goalloc_heap *heap)
{
	if (!IS_ERR_OR_NULL(heap))
		mheap_destroy(heap, false);
}
EXPORT_SYMBOL_GPL(goalloc_heap_destroy);

/* A CPU is dead: its caches hold spans and pages that others can use. */
static int mheap_cpu_dead(unsigned int cpu)
{
	struct goalloc_heap *heap;

	mutex_lock(&goalloc_heaps_mutex);
	/* Nothing that takes long, or locks of mappings, under hotplug's lock. */
	WRITE_ONCE(cpu_dead, true);
	list_for_each_entry(heap, &goalloc_heaps, list) {
		mcache_flush_cpu(heap, cpu);
		mheap_flush_page_cache(heap, &per_cpu_ptr(heap->mcache, cpu)->pages);
	}
	WRITE_ONCE(cpu_dead, false);
	mutex_unlock(&goalloc_heaps_mutex);
	return 0;
}

/* Parameters can still be set, and would let the background scavenger run. */
static void mheap_end_wq(void)
{
	struct workqueue_struct *wq = goalloc_wq;

	kernel_param_lock(THIS_MODULE);
	WRITE_ONCE(goalloc_wq, NULL);
	kernel_param_unlock(THIS_MODULE);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	destroy_workqueue(wq);
}

/**
 * mheap_module_init - makes what all heaps share, and heap 0
 *
 * Context: task, sleeps.
 * Return: 0 or a negative errno.
 */
int mheap_module_init(void)
{
	static const struct goalloc_heap_params kernel = { .name = "kernel" };
	struct goalloc_heap *heap;
	int ret;

	goalloc_wq = alloc_workqueue("goalloc", WQ_UNBOUND, 0);
	if (!goalloc_wq)
		return -ENOMEM;
	/* The teardown of a "prepare" state runs once the CPU is dead. */
	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "mm/goalloc:dead", NULL,
					mheap_cpu_dead);
	if (ret < 0)
		goto err_wq;
	cpuhp_state = ret;
	heap = heap_create(&kernel, BACKING_LINEAR, &goalloc_kernel_mcache);
	if (IS_ERR(heap)) {
		ret = PTR_ERR(heap);
		goto err_cpuhp;
	}
	goalloc_kernel_heap = heap;
	return 0;

err_cpuhp:
	cpuhp_remove_state_nocalls(cpuhp_state);
err_wq:
	mheap_end_wq();
	return ret;
}

/**
 * mheap_module_exit - ends heap 0 and frees what all heaps shared
 *
 * Context: task, sleeps; no other heap is left.
 */
void mheap_module_exit(void)
{
	mheap_destroy(goalloc_kernel_heap, false);
	cpuhp_remove_state_nocalls(cpuhp_state);
	mheap_end_wq();
}
