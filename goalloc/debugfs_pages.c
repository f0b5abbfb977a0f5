// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of a heap in debugfs: tables by address, and what gives memory back.
 *
 * A position in a table is 0 for its header and 1 + i for the line of the
 * page, arena or chunk with the index i.
 */
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "backing.h"
#include "debugfs_files.h"
#include "layout.h"
#include "mheap.h"
#include "mspan.h"
#include "pagealloc.h"
#include "pallocbits.h"
#include "scavenge.h"
#include "sparse.h"

/**
 * struct table_iter - a line of a table by address
 * @heap: whose
 * @find: makes the line of the first page, arena or chunk at or after an
 *	index; false if there is none
 * @index: where the line is; never before what @find was asked for, so that a
 *	table whose heap changes all the time still comes to an end
 * @next: the first index behind it
 * @span: a line of spans
 * @run: a line of pages
 * @arena: a line of arenas
 * @chunk: a line of pagealloc
 */
struct table_iter {
	struct goalloc_heap *heap;
	bool (*find)(struct table_iter *it, u64 index);
	u64 index;
	u64 next;
	union {
		struct {
			u64 addr;
			u64 npages;
			u64 elemsize;
			u32 slots;
			u32 live;
			u32 sweepgen;
			u8 spanclass;
			u8 place;
			bool tiny;
		} span;
		struct {
			u32 npages;
			bool inuse;
			bool backed;
		} run;
		struct {
			u32 chunks;
			u32 inuse;
			u32 free;
			u32 scavenged;
		} arena;
		struct palloc_chunk chunk;
	};
};

static void *table_start(struct seq_file *m, loff_t *pos)
{
	struct table_iter *it = m->private;

	if (*pos == 0)
		return SEQ_START_TOKEN;
	if (!it->find(it, *pos - 1))
		return NULL;
	*pos = 1 + it->index;
	return it;
}

static void *table_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct table_iter *it = m->private;

	*pos = v == SEQ_START_TOKEN ? 1 : 1 + it->next;
	return table_start(m, pos);
}

static void table_stop(struct seq_file *m, void *v)
{
}

static int table_open(struct inode *inode, struct file *file,
		      const struct seq_operations *sops,
		      bool (*find)(struct table_iter *it, u64 index))
{
	struct table_iter *it = __seq_open_private(file, sops, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->heap = inode->i_private;
	it->find = find;
	return 0;
}

#define DEFINE_TABLE(name)						\
static const struct seq_operations name ## _sops = {			\
	.start	= table_start,						\
	.next	= table_next,						\
	.stop	= table_stop,						\
	.show	= name ## _show,					\
};									\
									\
static int name ## _open(struct inode *inode, struct file *file)	\
{									\
	return table_open(inode, file, &name ## _sops, name ## _find);	\
}									\
									\
static const struct file_operations name ## _fops = {			\
	.owner		= THIS_MODULE,					\
	.open		= name ## _open,				\
	.read		= seq_read,					\
	.llseek		= seq_lseek,					\
	.release	= seq_release_private,				\
}

/* Copies the state of a chunk's pages; false if it was not grown. */
static bool chunk_copy(struct goalloc_heap *heap, u64 addr, struct palloc_chunk *copy)
{
	unsigned long flags = mheap_lock(heap);
	struct palloc_chunk *c = pagealloc_chunk(&heap->pages, addr);

	if (c)
		*copy = *c;
	mheap_unlock(heap, flags);
	return c && copy->ready;
}

/* What was grown lies between the two. Without the lock: growing moves them out. */
static u64 grown_start(struct goalloc_heap *heap)
{
	return READ_ONCE(heap->pages.start);
}

static u64 grown_end(struct goalloc_heap *heap)
{
	return READ_ONCE(heap->pages.end);
}

/* spans */

static const char * const place_names[] = {
	[MSPAN_HELD]	= "held",
	[MSPAN_CACHED]	= "cached",
	[MSPAN_PARTIAL]	= "partial",
	[MSPAN_FULL]	= "full",
};

/* Takes what is to be shown of the first span from an address on, in its chunk. */
static bool spans_take(struct table_iter *it, u64 *addr)
{
	u64 from = *addr;
	const struct mspan *s;

	rcu_read_lock();
	s = mheap_span_in_chunk(it->heap, addr);
	if (s) {
		it->index = goalloc_page_index(max(from, s->start_addr));
		it->next = goalloc_page_index(s->start_addr) + s->npages;
		it->span.addr = s->start_addr;
		it->span.npages = s->npages;
		it->span.elemsize = s->elemsize;
		it->span.slots = s->nelems;
		it->span.live = mspan_live(s);
		it->span.sweepgen = READ_ONCE(s->sweepgen);
		it->span.spanclass = debugfs_spanclass(s->spanclass);
		it->span.place = READ_ONCE(s->place);
		it->span.tiny = s->spanclass == GOALLOC_TINY_SPAN_CLASS;
	}
	rcu_read_unlock();
	return s;
}

static bool spans_find(struct table_iter *it, u64 index)
{
	u64 addr = max(goalloc_page_addr(index), grown_start(it->heap));

	while (addr < grown_end(it->heap) && !fatal_signal_pending(current)) {
		if (spans_take(it, &addr))
			return true;
		cond_resched();
	}
	return false;
}

static int spans_show(struct seq_file *m, void *v)
{
	const struct table_iter *it = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "       address      pages spanclass tiny   object_size slots  live place   sweepgen\n");
		return 0;
	}
	seq_printf(m, "%#14llx %10llu %9u %4s %13llu %5u %5u %-7s %8u\n", it->span.addr,
		   it->span.npages, it->span.spanclass, it->span.tiny ? "yes" : "no",
		   it->span.elemsize, it->span.slots, it->span.live,
		   place_names[it->span.place], it->span.sweepgen);
	return 0;
}

DEFINE_TABLE(spans);

/* pages */

/*
 * Whether memory is behind a page. The bit of an idle page says so; for a page
 * in use of a sparse heap it has no meaning. Such a one may be touched and
 * released while this looks, so nothing is done with its entry but to see if
 * there is one.
 */
static bool page_backed(struct goalloc_heap *heap, const struct palloc_chunk *chunk, u64 addr)
{
	u32 i = goalloc_chunk_page(addr);
	bool backed;

	if (!palloc_bits_test(&chunk->data.alloc, i) || heap->backing == BACKING_LINEAR)
		return !palloc_bits_test(&chunk->data.scavenged, i);
	rcu_read_lock();
	backed = sparse_is_backed(heap, addr);
	rcu_read_unlock();
	return backed;
}

/* Holes are idle. */
static bool page_inuse(struct goalloc_heap *heap, const struct palloc_chunk *chunk, u32 i)
{
	return palloc_bits_test(&chunk->data.alloc, i) &&
	       (heap->backing == BACKING_SPARSE || !palloc_bits_test(&chunk->data.scavenged, i));
}

/* The run of like pages that begins at an address; it ends with its chunk. */
static bool pages_take(struct table_iter *it, u64 addr)
{
	struct palloc_chunk chunk;
	u32 i = goalloc_chunk_page(addr);

	if (!chunk_copy(it->heap, addr, &chunk))
		return false;
	it->index = goalloc_page_index(addr);
	it->run.inuse = page_inuse(it->heap, &chunk, i);
	it->run.backed = page_backed(it->heap, &chunk, addr);
	it->run.npages = 0;
	do {
		it->run.npages++;
		addr += GOALLOC_PAGE_SIZE;
	} while (++i < PALLOC_CHUNK_PAGES &&
		 page_inuse(it->heap, &chunk, i) == it->run.inuse &&
		 page_backed(it->heap, &chunk, addr) == it->run.backed);
	it->next = it->index + it->run.npages;
	return true;
}

static bool pages_find(struct table_iter *it, u64 index)
{
	u64 addr = max(goalloc_page_addr(index), grown_start(it->heap));

	while (addr < grown_end(it->heap) && !fatal_signal_pending(current)) {
		if (pages_take(it, addr))
			return true;
		addr = goalloc_chunk_base(goalloc_chunk_index(addr)) + PALLOC_CHUNK_SIZE;
		cond_resched();
	}
	return false;
}

static int pages_show(struct seq_file *m, void *v)
{
	const struct table_iter *it = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "       address      pages state backed\n");
		return 0;
	}
	seq_printf(m, "%#14llx %10u %-5s %6s\n", goalloc_page_addr(it->index), it->run.npages,
		   it->run.inuse ? "inuse" : "idle", it->run.backed ? "yes" : "no");
	return 0;
}

DEFINE_TABLE(pages);

/* arenas */

static bool arenas_take(struct table_iter *it, u64 addr)
{
	struct palloc_chunk chunk;
	u32 i;

	memset(&it->arena, 0, sizeof(it->arena));
	for (i = 0; i < GOALLOC_ARENA_CHUNKS; i++, addr += PALLOC_CHUNK_SIZE) {
		u32 inuse;

		if (!chunk_copy(it->heap, addr, &chunk))
			continue;
		inuse = palloc_bits_popcount(&chunk.data.alloc, 0, PALLOC_CHUNK_PAGES);
		if (it->heap->backing == BACKING_LINEAR)
			inuse -= palloc_count_holes(&chunk, 0, PALLOC_CHUNK_PAGES);
		it->arena.chunks++;
		it->arena.inuse += inuse;
		it->arena.free += PALLOC_CHUNK_PAGES - inuse;
		it->arena.scavenged += palloc_scavenged_count(&chunk, 0, PALLOC_CHUNK_PAGES);
	}
	return it->arena.chunks;
}

static u64 arena_addr(u64 index)
{
	return GOALLOC_HEAP_BASE + (index << GOALLOC_ARENA_SHIFT);
}

static bool arenas_find(struct table_iter *it, u64 index)
{
	u64 start = grown_start(it->heap);

	if (arena_addr(index) < start)
		index = goalloc_arena_index(start);
	for (; arena_addr(index) < grown_end(it->heap); index++) {
		if (arenas_take(it, arena_addr(index))) {
			it->index = index;
			it->next = index + 1;
			return true;
		}
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return false;
}

static int arenas_show(struct seq_file *m, void *v)
{
	const struct table_iter *it = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "arena        address chunks pages_inuse pages_free pages_scavenged\n");
		return 0;
	}
	seq_printf(m, "%5llu %#14llx %6u %11u %10u %15u\n", it->index, arena_addr(it->index),
		   it->arena.chunks, it->arena.inuse, it->arena.free, it->arena.scavenged);
	return 0;
}

DEFINE_TABLE(arenas);

/* pagealloc: the whole, the levels of the tree, the chunks */

/* Chunks with nothing in use and nothing behind them are left out. */
static bool pagealloc_take(struct table_iter *it, u64 addr)
{
	return chunk_copy(it->heap, addr, &it->chunk) &&
	       (!bitmap_empty(it->chunk.data.alloc.b, PALLOC_CHUNK_PAGES) ||
		!bitmap_full(it->chunk.data.scavenged.b, PALLOC_CHUNK_PAGES));
}

static bool pagealloc_find(struct table_iter *it, u64 index)
{
	u64 start = grown_start(it->heap);

	if (goalloc_chunk_base(index) < start)
		index = goalloc_chunk_index(start);
	for (; goalloc_chunk_base(index) < grown_end(it->heap); index++) {
		if (pagealloc_take(it, goalloc_chunk_base(index))) {
			it->index = index;
			it->next = index + 1;
			return true;
		}
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return false;
}

static void pagealloc_show_level(struct seq_file *m, struct pagealloc *p, u32 level,
				 u64 start, u64 end)
{
	u32 used = 0, most = 0, i, last;

	if (start < end) {
		last = pagealloc_level_index(level, end - 1);
		for (i = pagealloc_level_index(level, start); i <= last; i++) {
			used++;
			rcu_read_lock();
			most = max(most, pallocsum_max(pagealloc_level_summary(p, level, i)));
			rcu_read_unlock();
			if (fatal_signal_pending(current))
				break;
			cond_resched();
		}
	}
	seq_printf(m, "%5u %7u %11llu %6u %12u\n", level, pagealloc_level_entries(level),
		   1ULL << pagealloc_level_shift(level), used, most);
}

/* Pages that CPUs have set aside. Nobody is kept from taking more meanwhile. */
static u64 pages_cached(struct goalloc_heap *heap)
{
	u64 n = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		/* A guess. */
		n += hweight64(data_race(READ_ONCE(per_cpu_ptr(heap->mcache,
							       cpu)->pages.set.pages)));
	return n;
}

static void pagealloc_show_head(struct seq_file *m, struct goalloc_heap *heap)
{
	struct pagealloc *p = &heap->pages;
	u64 start, end, search_addr, refused, pages[5], locks, contended, gaps;
	unsigned long flags;
	u32 level;

	flags = mheap_lock(heap);
	start = p->start;
	end = p->end;
	search_addr = p->search_addr;
	refused = p->refused;
	pages[0] = heap->pages_sys;
	pages[1] = mheap_pages_in_use(heap);
	smp_rmb();	/* as in readmemstats() */
	pages[2] = mheap_pages_released(heap);
	pages[3] = heap->pages_idle;
	pages[4] = heap->pages_holes;
	locks = heap->locks;
	contended = heap->contended;
	gaps = heap->ngaps;
	mheap_unlock(heap, flags);

	seq_puts(m, "name           value\n");
	seq_printf(m, "start          %#llx\n", start);
	seq_printf(m, "end            %#llx\n", end);
	seq_printf(m, "search_addr    %#llx\n", search_addr);
	seq_printf(m, "pages_sys      %llu\n", pages[0]);
	seq_printf(m, "pages_inuse    %llu\n", pages[1]);
	seq_printf(m, "pages_released %llu\n", pages[2]);
	seq_printf(m, "node_bytes     %lld\n", (s64)atomic64_read(&p->meta_bytes));
	seq_printf(m, "refused        %llu\n", refused);
	seq_printf(m, "locks          %llu\n", locks);
	seq_printf(m, "contended      %llu\n", contended);
	seq_printf(m, "pages_givable  %llu\n", pages[3]);
	seq_printf(m, "pages_cached   %llu\n", pages_cached(heap));
	seq_printf(m, "gap_chunks     %llu\n", gaps);
	seq_printf(m, "pages_holes    %llu\n", pages[4]);
#ifdef GOALLOC_LOCK_TIMES
	seq_printf(m, "lock_max_ns    %llu\n", READ_ONCE(heap->lock_max));
#endif

	seq_puts(m, "\nlevel entries entry_pages   used largest_free\n");
	for (level = 0; level < PAGEALLOC_LEVELS; level++)
		pagealloc_show_level(m, p, level, start, end);

	seq_puts(m, "\n         chunk free scavenged largest_free block_pages holes\n");
}

static int pagealloc_show(struct seq_file *m, void *v)
{
	const struct table_iter *it = v;
	u32 free, holes = 0;

	if (v == SEQ_START_TOKEN) {
		it = m->private;
		pagealloc_show_head(m, it->heap);
		return 0;
	}
	free = PALLOC_CHUNK_PAGES -
	       palloc_bits_popcount(&it->chunk.data.alloc, 0, PALLOC_CHUNK_PAGES);
	if (it->heap->backing == BACKING_LINEAR)
		holes = palloc_count_holes(&it->chunk, 0, PALLOC_CHUNK_PAGES);
	seq_printf(m, "%#14llx %4u %9u %12u %5u,%5u %5u\n", goalloc_chunk_base(it->index), free,
		   palloc_scavenged_count(&it->chunk, 0, PALLOC_CHUNK_PAGES),
		   pallocsum_max(palloc_summarize(&it->chunk)),
		   it->chunk.block_pages[0], it->chunk.block_pages[1], holes);
	return 0;
}

DEFINE_TABLE(pagealloc);

/* scavenger: what it goes by, and what was given back by cause */

static const char * const cause_names[] = {
	[SCAVENGE_REQUEST]	= "request",
	[SCAVENGE_LIMIT]	= "limit",
	[SCAVENGE_BACKGROUND]	= "background",
	[SCAVENGE_RECLAIM]	= "reclaim",
};

static_assert(ARRAY_SIZE(cause_names) == SCAVENGE_CAUSES);

static int scavenger_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;
	u64 limit = READ_ONCE(heap->limit), all = READ_ONCE(goalloc_limit);
	u64 idle, givable, holes, search_addr;
	unsigned long flags;
	int i;

	flags = mheap_lock(heap);
	idle = heap->pages_sys - mheap_pages_in_use(heap);
	smp_rmb();	/* as in readmemstats() */
	idle -= mheap_pages_released(heap);
	givable = heap->pages_idle;
	holes = heap->pages_holes;
	search_addr = mheap_find_chunk(heap, INDEX_IDLE, GOALLOC_HEAP_END);
	if (search_addr)
		search_addr += PALLOC_CHUNK_SIZE;
	mheap_unlock(heap, flags);

	seq_puts(m, "name          value\n");
	seq_printf(m, "limit         %llu\n", limit);
	seq_printf(m, "goal          %llu\n", scavenge_goal(limit));
	seq_printf(m, "held          %llu\n", mheap_held(heap));
	seq_printf(m, "idle_backed   %llu\n", idle << GOALLOC_PAGE_SHIFT);
	seq_printf(m, "search_addr   %#llx\n", search_addr);
	seq_printf(m, "givable       %llu\n", givable << GOALLOC_PAGE_SHIFT);
	seq_printf(m, "excess        %llu\n", scavenge_excess(heap));
	seq_printf(m, "all_limit     %llu\n", all);
	seq_printf(m, "all_goal      %llu\n", scavenge_goal(all));
	seq_printf(m, "all_held      %lld\n", percpu_counter_sum_positive(&goalloc_held));
	seq_printf(m, "background_ns %llu\n", scavenge_background_ns());
	seq_printf(m, "holes         %llu\n", holes << GOALLOC_PAGE_SHIFT);
	seq_printf(m, "closed        %lld\n", (s64)atomic64_read(&heap->thin_bytes));

	seq_puts(m, "\ncause             count            bytes\n");
	for (i = 0; i < SCAVENGE_CAUSES; i++)
		seq_printf(m, "%-10s %12lld %16lld\n", cause_names[i],
			   (s64)atomic64_read(&heap->scav_count[i]),
			   (s64)atomic64_read(&heap->scav_bytes[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(scavenger);

const struct debugfs_file debugfs_page_files[] = {
	{ "spans",		0400, &spans_fops },
	{ "pages",		0400, &pages_fops },
	{ "arenas",		0400, &arenas_fops },
	{ "pagealloc",		0400, &pagealloc_fops },
	{ "scavenger",		0400, &scavenger_fops },
	{ }
};
