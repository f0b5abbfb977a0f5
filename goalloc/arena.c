// SPDX-License-Identifier: GPL-2.0-only
/*
 * The address space of a heap: arenas and their chunks, which span lies where, which
 * chunks have something to give back, and tables that come and go (Go: heapArena and
 * grow of mheap.go, sysAlloc of malloc.go).
 */
#include <linux/bitmap.h>
#include <linux/ktime.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "backing.h"
#include "compat.h"
#include "counter.h"
#include "fixalloc.h"
#include "mheap.h"
#include "sparse.h"

/* A gap is looked for in so many places before the heap grows at its end. */
#define MHEAP_GAP_TRIES		64

/* Chunks that leave the heap before an RCU grace period is waited for. */
#define MHEAP_GONE_CHUNKS	16384

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

/**
 * mheap_range_changed - the bits of the pages of a range have changed
 * @heap: the heap
 * @addr: heap address of the first
 * @npages: how many
 *
 * Context: the heap lock held.
 */
void mheap_range_changed(struct goalloc_heap *heap, u64 addr, u64 npages)
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

/**
 * mheap_grow - adds address space to the page allocator (Go: mheap.grow)
 * @heap: the heap
 * @npages: how much, in heap pages
 * @gfp: how to get memory for the tables
 *
 * The range is reserved first, so its tables are ours to build without the lock.
 * If they cannot be built, what has some becomes idle pages, to be given back
 * right away if that may sleep, and the rest is there for the next one.
 *
 * Context: any but NMI, as @gfp says; no lock held.
 * Return: false if there is no address space, or no memory for all tables.
 */
bool mheap_grow(struct goalloc_heap *heap, u64 npages, gfp_t gfp)
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
					    fixalloc_gfp(heap, gfp)))
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

/**
 * mheap_destroy_tables - frees all tables of a heap that ends
 * @heap: the heap, in which nothing is left
 *
 * Context: task, sleeps.
 */
void mheap_destroy_tables(struct goalloc_heap *heap)
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
