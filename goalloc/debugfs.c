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
 * during a read or write, and answers EIO when it has gone. It does so by
 * waiting for those who do in goalloc_debugfs_remove(), which is called without
 * a lock, and before the heap's end takes one for good.
 *
 * Addresses shown are heap addresses. Kernel pointers stay in the kernel.
 *
 * An entry costs an inode, a dentry and what security modules add: 940 bytes
 * on Debian's 6.12, so the 47 of a heap cost 43 KiB, 27 of them for memstats/.
 * All are made with the heap. debugfs can only put off the making of entries
 * by an automount, and a mount would hold on to the module. So nothing is
 * added to that: no entry has data of its own, a file's heap is its inode's
 * private pointer, and the field that it shows is told by its name.
 */
#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/goalloc.h>

#include "class.h"
#include "debugfs.h"
#include "debugfs_files.h"
#include "mheap.h"
#include "mstats.h"
#include "param.h"
#include "scavenge.h"

static struct dentry *debugfs_root;
static struct dentry *debugfs_heaps;

static u64 field_value(const struct goalloc_memstats *ms, const struct mstats_field *f)
{
	return *(const u64 *)((const char *)ms + f->offset);
}

/**
 * debugfs_books - takes the snapshot that a file's lines are made of
 * @heap: the heap
 *
 * It is too large for the stack.
 *
 * Context: task, sleeps.
 * Return: the snapshot, which the caller gives to kfree(), or NULL.
 */
struct goalloc_memstats *debugfs_books(struct goalloc_heap *heap)
{
	struct goalloc_memstats *ms = kzalloc(sizeof(*ms), GFP_KERNEL | __GFP_NOWARN);

	if (ms)
		readmemstats(heap, ms);
	return ms;
}

static int version_show(struct seq_file *m, void *v)
{
	seq_puts(m, GOALLOC_VERSION "\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version);

/* memstats/ and what else is made of the books */

static int memstats_show(struct seq_file *m, void *v)
{
	const char *name = file_dentry(m->file)->d_name.name;
	struct goalloc_memstats *ms;
	unsigned int i;

	ms = debugfs_books(m->private);
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

	ms = debugfs_books(m->private);
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

	ms = debugfs_books(m->private);
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
	struct class_sums sums = {};
	struct goalloc_memstats *ms;
	u64 allocs, frees, inuse;
	unsigned long flags;
	unsigned int i;

	ms = debugfs_books(m->private);
	if (!ms)
		return -ENOMEM;
	flags = mheap_lock(heap);
	class_counts_all(heap, &sums);
	mheap_unlock(heap, flags);
	allocs = sums.mallocs;
	frees = sums.frees;
	/* What is made and freed meanwhile is no more than there are pages for. */
	inuse = min(ms->heap_alloc, ms->heap_inuse);
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
	metric(m, "/memory/classes/heap/objects:bytes", inuse);
	metric(m, "/memory/classes/heap/released:bytes", ms->heap_released);
	metric(m, "/memory/classes/heap/unused:bytes", ms->heap_inuse - inuse);
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

/*
 * What can be written: limit, max, gc_percent; name; scavenge. A write is one
 * value. The mode of a file can be changed, what is asked of the writer cannot.
 */

#define DEFINE_WRITABLE(name)						\
static int name ## _open(struct inode *inode, struct file *file)	\
{									\
	return single_open(file, name ## _show, inode->i_private);	\
}									\
									\
static const struct file_operations name ## _fops = {			\
	.owner		= THIS_MODULE,					\
	.open		= name ## _open,				\
	.read		= seq_read,					\
	.write		= name ## _write,				\
	.llseek		= seq_lseek,					\
	.release	= single_release,				\
}

/*
 * What was written, as a string without the newline behind it. A 0 within it
 * would hide what follows.
 */
static int written(char *buf, size_t size, const char __user *from, size_t len)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len >= size)
		return -EINVAL;
	if (copy_from_user(buf, from, len))
		return -EFAULT;
	if (memchr(buf, 0, len))
		return -EINVAL;
	if (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return 0;
}

static const struct heap_param {
	const char *name;
	u32 id;
} heap_params[] = {
	{ "limit",	GOALLOC_PARAM_LIMIT },
	{ "max",	GOALLOC_PARAM_MAX },
	{ "gc_percent",	GOALLOC_PARAM_GC_PERCENT },
};

/* The parameter that a file is for; 0 is none. */
static u32 param_of(const struct file *file)
{
	const char *name = file_dentry(file)->d_name.name;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heap_params); i++)
		if (!strcmp(name, heap_params[i].name))
			return heap_params[i].id;
	return 0;
}

static int param_show(struct seq_file *m, void *v)
{
	u64 value;
	int err;

	err = mheap_get_param(m->private, param_of(m->file), &value);
	if (!err)
		seq_printf(m, "%llu\n", value);
	return err;
}

static ssize_t param_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	u64 value = GOALLOC_NO_LIMIT;
	char buf[32];
	int err;

	err = written(buf, sizeof(buf), from, len);
	if (!err && strcmp(buf, "none") && strcmp(buf, "max"))
		err = kstrtou64(buf, 0, &value);
	if (!err)
		err = mheap_set_param(file_inode(file)->i_private, param_of(file), value);
	return err ?: len;
}

DEFINE_WRITABLE(param);

/* A name may come from outside: its bytes are any. */
static int name_show(struct seq_file *m, void *v)
{
	char name[GOALLOC_NAME_MAX];

	mheap_get_name(m->private, name);
	seq_escape(m, name, "\n\\");
	seq_putc(m, '\n');
	return 0;
}

static ssize_t name_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	char name[GOALLOC_NAME_MAX + 1];	/* and a newline */
	int err;

	err = written(name, sizeof(name), from, len);
	if (!err)
		err = mheap_set_name(file_inode(file)->i_private, name);
	return err ?: len;
}

DEFINE_WRITABLE(name);

static ssize_t scavenge_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	u64 bytes = GOALLOC_NO_LIMIT;
	char buf[32];
	int err;

	err = written(buf, sizeof(buf), from, len);
	if (!err && strcmp(buf, "all"))
		err = kstrtou64(buf, 0, &bytes);
	if (err)
		return err;
	scavenge(file_inode(file)->i_private, bytes, SCAVENGE_REQUEST);
	return len;
}

static const struct file_operations scavenge_fops = {
	.owner		= THIS_MODULE,
	.write		= scavenge_write,
	.llseek		= noop_llseek,
};

static const struct debugfs_file heap_files[] = {
	{ "name",		0600, &name_fops },
	{ "summary",		0400, &summary_fops },
	{ "metrics",		0400, &metrics_fops },
	{ "faults",		0400, &faults_fops },
	{ "limit",		0600, &param_fops },
	{ "max",		0600, &param_fops },
	{ "gc_percent",		0600, &param_fops },
	{ "scavenge",		0200, &scavenge_fops },
	{ }
};

/*
 * False if no more are to be made: there was no memory for one, of which debugfs has
 * said something in the log, or the task is to end.
 */
static bool add_file(struct goalloc_heap *heap, struct dentry *dir, const char *name,
		     umode_t mode, const struct file_operations *fops)
{
	return !fatal_signal_pending(current) &&
	       !IS_ERR(debugfs_create_file(name, mode, dir, heap, fops));
}

static bool add_files(struct goalloc_heap *heap, const struct debugfs_file *f)
{
	while (f->name && add_file(heap, heap->debugfs, f->name, f->mode, f->fops))
		f++;
	return !f->name;
}

static void add_memstats(struct goalloc_heap *heap)
{
	struct dentry *dir = debugfs_create_dir("memstats", heap->debugfs);
	unsigned int i;

	for (i = 0; i < mstats_num_fields; i++)
		if (!add_file(heap, dir, mstats_fields[i].name, 0400, &memstats_fops))
			return;
	add_file(heap, dir, "by_size", 0400, &by_size_fops);
}

/**
 * goalloc_debugfs_add() - make a heap's directory
 * @heap: the heap, complete; its id is the directory's name
 *
 * Failure is not reported, as debugfs would have it: nothing depends on files
 * in it. After the first one no more are tried, or each would say so in the log.
 *
 * Context: Task. Sleeps. No lock held: it allocates in the caller's name.
 */
void goalloc_debugfs_add(struct goalloc_heap *heap)
{
	char id[21];

	if (fatal_signal_pending(current))
		return;
	snprintf(id, sizeof(id), "%llu", heap->id);
	heap->debugfs = debugfs_create_dir(id, debugfs_heaps);
	if (!IS_ERR(heap->debugfs) && add_files(heap, heap_files) &&
	    add_files(heap, debugfs_class_files) && add_files(heap, debugfs_page_files))
		add_memstats(heap);
}

/**
 * goalloc_debugfs_remove() - take a heap's directory away
 * @heap: the heap
 *
 * Waits for those who are in one of its files just now, which may take as long
 * as scavenging the heap does. The heap may be freed afterwards, though files may
 * still be open.
 *
 * Context: Task. Sleeps. The heap is no longer in the list of heaps, and
 * goalloc_heaps_mutex not held.
 */
void goalloc_debugfs_remove(struct goalloc_heap *heap)
{
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
