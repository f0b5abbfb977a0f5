// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of a heap in debugfs: tables by size class.
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "class.h"
#include "debugfs_files.h"
#include "layout.h"
#include "mcache.h"
#include "mcentral.h"
#include "mheap.h"
#include "mspan.h"
#include "sizeclass.h"

static int size_classes_show(struct seq_file *m, void *v)
{
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = debugfs_books(m->private);
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
		u32 elemsize, bytes, nelems;
		unsigned long flags;
		u64 mallocs, frees;
		bool noscan;

		flags = mheap_lock(heap);
		cls = mheap_class(heap, spc - GOALLOC_NUM_CENTRALS);
		if (cls) {
			const struct mcentral *c = &heap->central[spc];

			/* The rest of it is under a lock of its own. */
			elemsize = c->elemsize;
			bytes = c->npages << GOALLOC_PAGE_SHIFT;
			nelems = c->nelems;
			noscan = c->noscan;
			copy = *cls;
			class_counts(heap, spc, &mallocs, &frees);
		}
		mheap_unlock(heap, flags);
		if (!cls)
			continue;
		seq_printf(m, "%9u %11u %9u %10u %5u %6s %12llu %12llu %12llu ", spc, copy.size,
			   elemsize, bytes, nelems, noscan ? "yes" : "no", mallocs, frees,
			   mallocs - frees);
		seq_escape(m, copy.name, "\n\\");
		seq_putc(m, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(exact_classes);

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
		   debugfs_spanclass(spc), spc == GOALLOC_TINY_SPAN_CLASS ? "yes" : "no",
		   shown_size(heap, spc));
	if (slots)
		seq_printf(m, "%#16llx %5u %5u", addr, slots, live);
	else
		seq_printf(m, "%16s %5u %5u", "-", 0, 0);
	seq_printf(m, " %12llu %12llu %5u\n", nmalloc, nfree, READ_ONCE(a->nmore));
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
		seq_puts(m, "cpu context spanclass tiny object_size             span slots  live      mallocs        frees  more\n");
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
	int spc, band;

	seq_puts(m, "spanclass tiny noscan object_size    partial       full      empty        locks        1/2          0        few    contended\n");
	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++) {
		const struct mcentral *c = central ? &central[spc] : &none;

		if (spanclass_is_exact(spc) && !READ_ONCE(c->elemsize))
			continue;
		seq_printf(m, "%9u %4s %6s %11u %10u %10u %10u %12llu",
			   debugfs_spanclass(spc),
			   spc == GOALLOC_TINY_SPAN_CLASS ? "yes" : "no",
			   (central ? c->noscan : spanclass_noscan(spc)) ? "yes" : "no",
			   shown_size(heap, spc),
			   mcentral_npartial(c), READ_ONCE(c->nfull),
			   READ_ONCE(c->nempty), READ_ONCE(c->locks));
		for (band = 0; band < MCENTRAL_BANDS; band++)
			seq_printf(m, " %10u", READ_ONCE(c->npartial[band]));
		seq_printf(m, " %12llu\n", READ_ONCE(c->contended));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mcentral);

const struct debugfs_file debugfs_class_files[] = {
	{ "size_classes",	0400, &size_classes_fops },
	{ "exact_classes",	0400, &exact_classes_fops },
	{ "mcache",		0400, &mcache_fops },
	{ "mcentral",		0400, &mcentral_fops },
	{ }
};
