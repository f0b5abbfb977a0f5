// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree /sys/kernel/debug/goalloc; Documentation/ABI/testing/debugfs-goalloc
 * says what each file of it shows.
 *
 * Reading stops nobody. The books are read as MEMSTATS reads them; spans are
 * looked up one by one under RCU; a chunk's bits are copied under the heap lock
 * and counted without it. So a long table is true of each of its lines, at the
 * moment the line was made, and not of the heap at one moment.
 *
 * A position in a long table is an address, never a pointer: between two
 * reads of an open file nothing is held on to. debugfs keeps the heap alive
 * during a read, and answers EIO when it has gone. It does so by waiting for
 * readers in goalloc_debugfs_remove(), which is called under
 * goalloc_heaps_mutex, hence no file here takes that.
 *
 * Addresses shown are heap addresses. Kernel pointers stay in the kernel.
 *
 * An entry costs an inode, a dentry and what security modules add: 940 bytes
 * on Debian's 6.12, so the 44 of a heap cost 41 KiB, 28 of them for memstats/.
 * All are made with the heap. debugfs can only put off the making of entries
 * by an automount, and a mount would hold on to the module. So nothing is
 * added to that: no entry has data of its own, a file's heap is its inode's
 * private pointer, and the field that it shows is told by its name.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/goalloc.h>

#include "backing.h"
#include "class.h"
#include "debugfs.h"
#include "layout.h"
#include "mcache.h"
#include "mcentral.h"
#include "mheap.h"
#include "mspan.h"
#include "mstats.h"
#include "pagealloc.h"
#include "pallocbits.h"
#include "sizeclass.h"

static struct dentry *debugfs_root;
static struct dentry *debugfs_heaps;

static u64 field_value(const struct goalloc_memstats *ms, const struct mstats_field *f)
{
	return *(const u64 *)((const char *)ms + f->offset);
}

/*
 * The snapshot that the file's lines are made of, or NULL; kfree() it. It is
 * too large for the stack.
 */
static struct goalloc_memstats *books_of(struct seq_file *m)
{
	struct goalloc_memstats *ms = kzalloc(sizeof(*ms), GFP_KERNEL);

	if (ms)
		readmemstats(m->private, ms);
	return ms;
}

/* version, name */

static int version_show(struct seq_file *m, void *v)
{
	seq_puts(m, GOALLOC_VERSION "\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version);

/* A file heap is named by its opener, who may choose any bytes. */
static int name_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;

	seq_escape(m, heap->name, "\n\\");
	seq_putc(m, '\n');
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(name);

/* memstats/ and what else is made of the books */

static int memstats_show(struct seq_file *m, void *v)
{
	const char *name = file_dentry(m->file)->d_name.name;
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = books_of(m);
	if (!ms)
		return -ENOMEM;
	for (i = 0; i < mstats_num_fields; i++)
		if (!strcmp(name, mstats_fields[i].name))
			seq_printf(m, "%llu\n", field_value(ms, &mstats_fields[i]));
	kfree(ms);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(memstats);

static int by_size_show(struct seq_file *m, void *v)
{
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = books_of(m);
	if (!ms)
		return -ENOMEM;
	seq_puts(m, "class object_size      mallocs        frees\n");
	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++)
		seq_printf(m, "%5u %11u %12llu %12llu\n", i, ms->by_size[i].object_size,
			   ms->by_size[i].mallocs, ms->by_size[i].frees);
	kfree(ms);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(by_size);

static int summary_show(struct seq_file *m, void *v)
{
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = books_of(m);
	if (!ms)
		return -ENOMEM;
	for (i = 0; i < mstats_num_fields; i++)
		seq_printf(m, "%s %llu\n", mstats_fields[i].name,
			   field_value(ms, &mstats_fields[i]));
	kfree(ms);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(summary);

static void metric(struct seq_file *m, const char *name, u64 value)
{
	seq_printf(m, "%s %llu\n", name, value);
}

/* The books are read while they change: what is for a moment below 0 is 0. */
static u64 rest(u64 whole, u64 part)
{
	return whole > part ? whole - part : 0;
}

/*
 * Go's metrics that have a meaning here, by name (Go: metrics.go), and the two
 * of later releases that say what the heap was told to do. Those of
 * /memory/classes add up to their total, as in Go.
 */
static int metrics_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;
	u64 allocs = 0, frees = 0;
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = books_of(m);
	if (!ms)
		return -ENOMEM;
	/* In Go's metrics tiny objects count by the block. */
	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		allocs += ms->by_size[i].mallocs;
		frees += ms->by_size[i].frees;
	}

	metric(m, "/gc/cycles/automatic:gc-cycles", ms->num_gc - ms->num_forced_gc);
	metric(m, "/gc/cycles/forced:gc-cycles", ms->num_forced_gc);
	metric(m, "/gc/cycles/total:gc-cycles", ms->num_gc);
	metric(m, "/gc/gogc:percent", READ_ONCE(heap->gc_percent));
	metric(m, "/gc/gomemlimit:bytes", READ_ONCE(heap->limit));
	metric(m, "/gc/heap/allocs:bytes", ms->total_alloc);
	metric(m, "/gc/heap/allocs:objects", allocs);
	metric(m, "/gc/heap/frees:bytes", ms->total_alloc - ms->heap_alloc);
	metric(m, "/gc/heap/frees:objects", frees);
	metric(m, "/gc/heap/goal:bytes", ms->next_gc);
	metric(m, "/gc/heap/objects:objects", allocs - frees);
	/* Those that found room in a block that was there already. */
	metric(m, "/gc/heap/tiny/allocs:objects", rest(ms->mallocs, allocs));
	metric(m, "/memory/classes/heap/free:bytes", ms->heap_idle - ms->heap_released);
	metric(m, "/memory/classes/heap/objects:bytes", ms->heap_alloc);
	metric(m, "/memory/classes/heap/released:bytes", ms->heap_released);
	metric(m, "/memory/classes/heap/unused:bytes", rest(ms->heap_inuse, ms->heap_alloc));
	metric(m, "/memory/classes/metadata/mcache/free:bytes",
	       ms->mcache_sys - ms->mcache_inuse);
	metric(m, "/memory/classes/metadata/mcache/inuse:bytes", ms->mcache_inuse);
	metric(m, "/memory/classes/metadata/mspan/free:bytes", ms->mspan_sys - ms->mspan_inuse);
	metric(m, "/memory/classes/metadata/mspan/inuse:bytes", ms->mspan_inuse);
	metric(m, "/memory/classes/metadata/other:bytes", ms->gc_sys);
	metric(m, "/memory/classes/other:bytes", ms->other_sys);
	metric(m, "/memory/classes/total:bytes", ms->sys);
	kfree(ms);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(metrics);

static int size_classes_show(struct seq_file *m, void *v)
{
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = books_of(m);
	if (!ms)
		return -ENOMEM;
	seq_puts(m, "class object_size span_bytes slots  tail align      mallocs        frees         live   live_bytes\n");
	for (i = 1; i < GOALLOC_NUM_SIZE_CLASSES; i++) {
		u32 size = goalloc_class_to_size[i];
		u32 bytes = goalloc_class_to_allocnpages[i] << GOALLOC_PAGE_SHIFT;
		u32 slots = goalloc_class_to_nelems[i];
		u64 mallocs = ms->by_size[i].mallocs;
		u64 frees = ms->by_size[i].frees;

		seq_printf(m, "%5u %11u %10u %5u %5u %5u %12llu %12llu %12llu %12llu\n",
			   i, size, bytes, slots, bytes - size * slots,
			   goalloc_class_align(i), mallocs, frees, mallocs - frees,
			   (mallocs - frees) * size);
	}
	kfree(ms);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(size_classes);

/*
 * exact_classes: a line for each class that a user of the heap made. A class
 * is there as long as the heap lock is held.
 */
static int exact_classes_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;
	unsigned int spc;

	seq_puts(m, "spanclass object_size slot_size span_bytes slots noscan      mallocs        frees         live name\n");
	for (spc = GOALLOC_NUM_CENTRALS; spc < GOALLOC_ALL_CENTRALS; spc++) {
		const struct goalloc_class *cls;
		struct goalloc_class copy;
		struct mcentral c;
		unsigned long flags;
		u64 mallocs, frees;

		flags = mheap_lock(heap);
		cls = mheap_class(heap, spc - GOALLOC_NUM_CENTRALS);
		if (cls) {
			copy = *cls;
			c = heap->central[spc];
			class_counts(heap, spc, &mallocs, &frees);
		}
		mheap_unlock(heap, flags);
		if (!cls)
			continue;
		seq_printf(m, "%9u %11u %9u %10u %5u %6s %12llu %12llu %12llu ", spc, copy.size,
			   c.elemsize, c.npages << GOALLOC_PAGE_SHIFT, c.nelems,
			   c.noscan ? "yes" : "no", mallocs, frees, mallocs - frees);
		seq_escape(m, copy.name, "\n\\");
		seq_putc(m, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(exact_classes);

/* What a table shows as a span class, and the size of its slots. */
static u8 shown_spanclass(u8 spc)
{
	return spanclass_is_exact(spc) ? spc : spanclass_public(spc);
}

static u32 shown_size(const struct goalloc_heap *heap, u8 spc)
{
	return spanclass_is_exact(spc) ? READ_ONCE(heap->central[spc].elemsize) :
	       goalloc_class_to_size[spanclass_sizeclass(spc)];
}

/* mcache: a line for each span class of each CPU and context that was used */

static const char * const context_names[] = {
	[MCACHE_TASK]		= "task",
	[MCACHE_SOFTIRQ]	= "softirq",
	[MCACHE_HARDIRQ]	= "hardirq",
};

static void mcache_show_class(struct seq_file *m, int cpu, int ctx,
			      const struct mcache *mc, u8 spc)
{
	const struct goalloc_heap *heap = m->private;
	const struct mcache_alloc *a = &mc->alloc[spc];
	u64 nmalloc = READ_ONCE(a->nmalloc);
	u64 nfree = READ_ONCE(a->nfree);
	const struct mspan *s;
	u32 slots, live;
	u64 addr;

	/* The owner may give the span up now; its record stays for a while. */
	rcu_read_lock();
	s = READ_ONCE(a->span);
	slots = s->nelems;
	addr = s->start_addr;
	live = mspan_live(s);
	rcu_read_unlock();
	if (!slots && !nmalloc && !nfree)
		return;

	seq_printf(m, "%3d %-7s %9u %4s %11u ", cpu, context_names[ctx],
		   shown_spanclass(spc), spc == GOALLOC_TINY_SPAN_CLASS ? "yes" : "no",
		   shown_size(heap, spc));
	if (slots)
		seq_printf(m, "%#16llx %5u %5u", addr, slots, live);
	else
		seq_printf(m, "%16s %5u %5u", "-", 0, 0);
	seq_printf(m, " %12llu %12llu\n", nmalloc, nfree);
}

/* A position is 1 + the CPU's number; an mcache lives as long as its heap. */
static void *mcache_seq_start(struct seq_file *m, loff_t *pos)
{
	if (*pos == 0)
		return SEQ_START_TOKEN;
	if (*pos > nr_cpu_ids)
		return NULL;
	*pos = cpumask_next(*pos - 2, cpu_possible_mask) + 1;
	return *pos > nr_cpu_ids ? NULL : pos;
}

static void *mcache_seq_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return mcache_seq_start(m, pos);
}

static void mcache_seq_stop(struct seq_file *m, void *v)
{
}

static int mcache_seq_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;
	int cpu, ctx, spc;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "cpu context spanclass tiny object_size             span slots  live      mallocs        frees\n");
		return 0;
	}

	cpu = *(loff_t *)v - 1;
	for (ctx = 0; ctx < MCACHE_CONTEXTS; ctx++) {
		const struct mcache *mc = READ_ONCE(per_cpu_ptr(heap->mcache, cpu)->ctx[ctx]);

		if (mc == &goalloc_emptymcache)
			continue;
		for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++)
			mcache_show_class(m, cpu, ctx, mc, spc);
	}
	return 0;
}

static const struct seq_operations mcache_sops = {
	.start	= mcache_seq_start,
	.next	= mcache_seq_next,
	.stop	= mcache_seq_stop,
	.show	= mcache_seq_show,
};
DEFINE_SEQ_ATTRIBUTE(mcache);

/* mcentral: a line for each list of spans, the tiny spans' and exact ones last */

static int mcentral_show(struct seq_file *m, void *v)
{
	static const struct mcentral none;	/* a heap that never had an object */
	struct goalloc_heap *heap = m->private;
	const struct mcentral *central = READ_ONCE(heap->central);
	int spc;

	seq_puts(m, "spanclass tiny noscan object_size    partial       full      empty        locks\n");
	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++) {
		const struct mcentral *c = central ? &central[spc] : &none;

		if (spanclass_is_exact(spc) && !READ_ONCE(c->elemsize))
			continue;
		seq_printf(m, "%9u %4s %6s %11u %10u %10u %10u %12llu\n",
			   shown_spanclass(spc),
			   spc == GOALLOC_TINY_SPAN_CLASS ? "yes" : "no",
			   (central ? c->noscan : spanclass_noscan(spc)) ? "yes" : "no",
			   shown_size(heap, spc),
			   READ_ONCE(c->npartial), READ_ONCE(c->nfull),
			   READ_ONCE(c->nempty), READ_ONCE(c->locks));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mcentral);

/*
 * The tables by address: spans, arenas, pagealloc's chunks. Position 0 is the
 * header, 1 + i the line of the page, arena or chunk with the index i.
 */

/**
 * struct table_iter - a line of a table by address
 * @heap: whose
 * @find: makes the line of the first page, arena or chunk at or after an
 *	index; false if there is none
 * @index: where the line is; never before what @find was asked for, so that a
 *	table whose heap changes all the time still comes to an end
 * @next: the first index behind it
 * @span: a line of spans
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
	struct palloc_chunk *c = pagealloc_chunk(&heap->pages, addr);
	unsigned long flags;

	if (!c)
		return false;
	flags = mheap_lock(heap);
	*copy = *c;
	mheap_unlock(heap, flags);
	return copy->ready;
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

/*
 * The span that covers a page. A page of a linear heap is looked up by what it
 * is to the kernel, which may change meanwhile: so see whose the span is.
 */
static const struct mspan *span_at(struct goalloc_heap *heap, u64 addr)
{
	const struct goalloc_chunk *c;
	const struct mspan *s = NULL;
	u32 page, pages, granule;
	const void *base = NULL;

	if (heap->backing == BACKING_SPARSE)
		return span_of_heap(heap, addr);

	c = mheap_chunk(heap, addr);
	if (!c)
		return NULL;
	page = goalloc_chunk_page(addr);
	pages = READ_ONCE(c->palloc.block_pages[page / PALLOC_HALF_PAGES]);
	if (pages) {
		granule = round_down(page, pages) / GOALLOC_GRANULE_PAGES;
		base = READ_ONCE(c->granule[granule]);
		page -= granule * GOALLOC_GRANULE_PAGES;
	}
	if (base)
		s = span_of((unsigned long)base + ((unsigned long)page << GOALLOC_PAGE_SHIFT));
	if (s && s->heap == heap && addr - s->start_addr < mspan_bytes(s))
		return s;
	/* A mapped span may lie where a block is, too. */
	return backing_mapped_span_at(heap, addr);
}

/* Takes what is to be shown of the span that covers a page, if one does. */
static bool spans_take(struct table_iter *it, u64 addr)
{
	const struct mspan *s;

	rcu_read_lock();
	s = span_at(it->heap, addr);
	if (s) {
		it->index = goalloc_page_index(addr);
		it->next = goalloc_page_index(s->start_addr) + s->npages;
		it->span.addr = s->start_addr;
		it->span.npages = s->npages;
		it->span.elemsize = s->elemsize;
		it->span.slots = s->nelems;
		it->span.live = mspan_live(s);
		it->span.sweepgen = READ_ONCE(s->sweepgen);
		it->span.spanclass = shown_spanclass(s->spanclass);
		it->span.place = READ_ONCE(s->place);
		it->span.tiny = s->spanclass == GOALLOC_TINY_SPAN_CLASS;
	}
	rcu_read_unlock();
	return s;
}

/*
 * Pages of a span are in use in their chunk's bitmap, which is read without
 * the lock: it only says where to look.
 */
static bool spans_find(struct table_iter *it, u64 index)
{
	u64 addr = max(goalloc_page_addr(index), grown_start(it->heap));

	while (addr < grown_end(it->heap)) {
		const struct palloc_chunk *c = pagealloc_chunk(&it->heap->pages, addr);
		u64 base = goalloc_chunk_base(goalloc_chunk_index(addr));
		unsigned long i = c ? goalloc_chunk_page(addr) : PALLOC_CHUNK_PAGES;

		if (c) {
			for_each_set_bit_from(i, c->data.alloc.b, PALLOC_CHUNK_PAGES)
				if (spans_take(it, base + (i << GOALLOC_PAGE_SHIFT)))
					return true;
		}
		addr = base + PALLOC_CHUNK_SIZE;
		cond_resched();
		if (fatal_signal_pending(current))
			break;
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
			most = max(most, pallocsum_max(pagealloc_level_summary(p, level, i)));
			cond_resched();
		}
	}
	seq_printf(m, "%5u %7u %11llu %6u %12u\n", level, pagealloc_level_entries(level),
		   1ULL << pagealloc_level_shift(level), used, most);
}

static void pagealloc_show_head(struct seq_file *m, struct goalloc_heap *heap)
{
	struct pagealloc *p = &heap->pages;
	u64 start, end, search_addr, refused, pages[3], locks;
	unsigned long flags;
	u32 level;

	flags = mheap_lock(heap);
	start = p->start;
	end = p->end;
	search_addr = p->search_addr;
	refused = p->refused;
	pages[0] = heap->pages_sys;
	pages[1] = heap->pages_in_use;
	pages[2] = heap->pages_released;
	locks = heap->locks;
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

	seq_puts(m, "\nlevel entries entry_pages   used largest_free\n");
	for (level = 0; level < PAGEALLOC_LEVELS; level++)
		pagealloc_show_level(m, p, level, start, end);

	seq_puts(m, "\n         chunk free scavenged largest_free block_pages\n");
}

static int pagealloc_show(struct seq_file *m, void *v)
{
	const struct table_iter *it = v;
	u32 free;

	if (v == SEQ_START_TOKEN) {
		it = m->private;
		pagealloc_show_head(m, it->heap);
		return 0;
	}
	free = PALLOC_CHUNK_PAGES -
	       palloc_bits_popcount(&it->chunk.data.alloc, 0, PALLOC_CHUNK_PAGES);
	seq_printf(m, "%#14llx %4u %9u %12u %5u,%5u\n", goalloc_chunk_base(it->index), free,
		   palloc_scavenged_count(&it->chunk, 0, PALLOC_CHUNK_PAGES),
		   pallocsum_max(palloc_summarize(&it->chunk)),
		   it->chunk.block_pages[0], it->chunk.block_pages[1]);
	return 0;
}

DEFINE_TABLE(pagealloc);

/* faults */

static const char * const fault_names[] = {
	[GOALLOC_FAULT_DOUBLE]	= "double_free",
	[GOALLOC_FAULT_STRAY]	= "stray_free",
	[GOALLOC_FAULT_WILD]	= "wild_free",
	[GOALLOC_FAULT_LATE]	= "late_double_free",
};

static_assert(ARRAY_SIZE(fault_names) == GOALLOC_NUM_FAULTS);

static int faults_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;
	int i;

	seq_puts(m, "fault                   count\n");
	for (i = 0; i < GOALLOC_NUM_FAULTS; i++)
		seq_printf(m, "%-16s %12lld\n", fault_names[i],
			   (s64)atomic64_read(&heap->faults[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(faults);

/* limit, max, gc_percent */

static int limit_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;

	seq_printf(m, "%llu\n", READ_ONCE(heap->limit));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(limit);

static int gc_percent_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;

	seq_printf(m, "%llu\n", READ_ONCE(heap->gc_percent));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(gc_percent);

static int max_show(struct seq_file *m, void *v)
{
	struct goalloc_heap *heap = m->private;

	seq_printf(m, "%llu\n", READ_ONCE(heap->max));
	return 0;
}

static int max_open(struct inode *inode, struct file *file)
{
	return single_open(file, max_show, inode->i_private);
}

static ssize_t max_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	struct goalloc_heap *heap = file_inode(file)->i_private;
	unsigned long flags;
	char buf[32];
	u64 value;
	int err;

	if (len >= sizeof(buf))
		return -EINVAL;
	if (copy_from_user(buf, from, len))
		return -EFAULT;
	buf[len] = '\0';

	if (sysfs_streq(buf, "none") || sysfs_streq(buf, "max")) {
		value = GOALLOC_NO_LIMIT;
	} else {
		err = kstrtou64(buf, 0, &value);
		if (err)
			return err;
	}

	flags = mheap_lock(heap);
	WRITE_ONCE(heap->max, value);
	mheap_unlock(heap, flags);
	return len;
}

static const struct file_operations max_fops = {
	.owner		= THIS_MODULE,
	.open		= max_open,
	.read		= seq_read,
	.write		= max_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static const struct heap_file {
	const char *name;
	umode_t mode;
	const struct file_operations *fops;
} heap_files[] = {
	{ "name",		0400, &name_fops },
	{ "summary",		0400, &summary_fops },
	{ "metrics",		0400, &metrics_fops },
	{ "size_classes",	0400, &size_classes_fops },
	{ "exact_classes",	0400, &exact_classes_fops },
	{ "mcache",		0400, &mcache_fops },
	{ "mcentral",		0400, &mcentral_fops },
	{ "spans",		0400, &spans_fops },
	{ "arenas",		0400, &arenas_fops },
	{ "pagealloc",		0400, &pagealloc_fops },
	{ "faults",		0400, &faults_fops },
	{ "limit",		0400, &limit_fops },
	{ "max",		0600, &max_fops },
	{ "gc_percent",		0400, &gc_percent_fops },
};

/**
 * goalloc_debugfs_add() - make a heap's directory
 * @heap: the heap, complete; its id is the directory's name
 *
 * Failure is not reported, as debugfs would have it: nothing depends on files
 * in it.
 *
 * Context: Task. Sleeps. The caller holds goalloc_heaps_mutex.
 */
void goalloc_debugfs_add(struct goalloc_heap *heap)
{
	struct dentry *memstats;
	char id[11];
	unsigned int i;

	lockdep_assert_held(&goalloc_heaps_mutex);

	snprintf(id, sizeof(id), "%u", heap->id);
	heap->debugfs = debugfs_create_dir(id, debugfs_heaps);
	for (i = 0; i < ARRAY_SIZE(heap_files); i++)
		debugfs_create_file(heap_files[i].name, heap_files[i].mode, heap->debugfs,
				    heap, heap_files[i].fops);

	memstats = debugfs_create_dir("memstats", heap->debugfs);
	for (i = 0; i < mstats_num_fields; i++)
		debugfs_create_file(mstats_fields[i].name, 0400, memstats, heap,
				    &memstats_fops);
	debugfs_create_file("by_size", 0400, memstats, heap, &by_size_fops);
}

/**
 * goalloc_debugfs_remove() - take a heap's directory away
 * @heap: the heap
 *
 * Waits for those who are reading one of its files just now. The heap may be
 * freed afterwards, though files may still be open.
 *
 * Context: Task. Sleeps. The caller holds goalloc_heaps_mutex.
 */
void goalloc_debugfs_remove(struct goalloc_heap *heap)
{
	lockdep_assert_held(&goalloc_heaps_mutex);

	debugfs_remove(heap->debugfs);
	heap->debugfs = NULL;
}

/**
 * goalloc_debugfs_init() - make the tree, without any heap
 *
 * Context: Module init, before the first heap is made. Sleeps.
 */
void __init goalloc_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir("goalloc", NULL);
	debugfs_create_file("version", 0400, debugfs_root, NULL, &version_fops);
	debugfs_heaps = debugfs_create_dir("heaps", debugfs_root);
}

/**
 * goalloc_debugfs_exit() - take the tree away
 *
 * Context: Module exit, or init that failed, after the last heap has gone.
 * Sleeps.
 */
void goalloc_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}
