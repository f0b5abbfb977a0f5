// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device /dev/goalloc: open files, reading, writing, mapping.
 *
 * Every open file is a sparse heap of its own, made at open() and freed, with
 * all that lives in it, at the last close(). An object's address in the heap
 * is its offset in the file.
 *
 * Any number of threads may use one file at once. Nothing here has a lock: the
 * heap looks after itself, and it lives as long as the file, which the VFS
 * holds on to during every call and every mapping.
 *
 * All files of the device have one inode, and with it one tree of mappings.
 * Each heap gets an inode of its own for that, so that to take pages out of its
 * mappings does not mean to look at everybody's.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/memcontrol.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <uapi/linux/goalloc.h>

#include "chardev.h"
#include "compat.h"
#include "ioctl.h"
#include "layout.h"
#include "mheap.h"
#include "mstats.h"
#include "param.h"
#include "scavenge.h"
#include "sparse.h"

#define GOALLOC_FS_MAGIC	0x476f616c	/* "Goal" */

/* The heaps' inodes. Mounted while files are open, seen by nobody. */
static struct vfsmount *goalloc_mnt;
static int goalloc_mnt_count;

static int goalloc_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, GOALLOC_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type goalloc_fs_type = {
	.name			= "goalloc",
	.owner			= THIS_MODULE,
	.init_fs_context	= goalloc_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static struct inode *goalloc_inode_new(void)
{
	struct inode *inode;
	int err;

	err = simple_pin_fs(&goalloc_fs_type, &goalloc_mnt, &goalloc_mnt_count);
	if (err)
		return ERR_PTR(err);
	inode = alloc_anon_inode(goalloc_mnt->mnt_sb);
	if (IS_ERR(inode))
		simple_release_fs(&goalloc_mnt, &goalloc_mnt_count);
	return inode;
}

static void goalloc_inode_put(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&goalloc_mnt, &goalloc_mnt_count);
}

/* "<comm>:<pid>"; comm is what the process likes it to be. */
static void goalloc_default_name(char *name, size_t size)
{
	char comm[TASK_COMM_LEN], *c;

	get_task_comm(comm, current);
	for (c = comm; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	snprintf(name, size, "%s:%d", comm, task_tgid_nr(current));
}

static int goalloc_fops_open(struct inode *inode, struct file *file)
{
	struct goalloc_heap_params params = {};
	char name[GOALLOC_NAME_MAX];
	struct goalloc_heap *heap;
	struct inode *own;

	own = goalloc_inode_new();
	if (IS_ERR(own))
		return PTR_ERR(own);
	goalloc_default_name(name, sizeof(name));
	params.name = name;
	heap = mheap_create(&params, BACKING_SPARSE);
	if (IS_ERR(heap)) {
		goalloc_inode_put(own);
		return PTR_ERR(heap);
	}
	heap->mapping = own->i_mapping;
	heap->memcg = get_mem_cgroup_from_mm(current->mm);
	file->f_mapping = own->i_mapping;
	file->private_data = heap;
	return 0;
}

/* What a process leaves behind when it closes its heap is no leak. */
static int goalloc_fops_release(struct inode *inode, struct file *file)
{
	struct goalloc_heap *heap = file->private_data;
	struct inode *own = heap->mapping->host;
	struct mem_cgroup *memcg = heap->memcg;

	mheap_destroy(heap, true);
	mem_cgroup_put(memcg);
	goalloc_inode_put(own);
	return 0;
}

static ssize_t goalloc_rw(struct kiocb *iocb, struct iov_iter *iter, bool write)
{
	struct goalloc_heap *heap = iocb->ki_filp->private_data;
	ssize_t done;

	if (!iov_iter_count(iter))
		return 0;
	done = sparse_iter(heap, iocb->ki_pos, iter, write);
	if (done > 0)
		iocb->ki_pos += done;
	return done;
}

static ssize_t goalloc_fops_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	return goalloc_rw(iocb, to, false);
}

static ssize_t goalloc_fops_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	return goalloc_rw(iocb, from, true);
}

/* SEEK_DATA and SEEK_HOLE: data is a page of a span that has memory. */
static loff_t goalloc_seek_data(struct file *file, loff_t offset, bool data)
{
	u64 addr;

	if (offset < 0 || offset >= GOALLOC_HEAP_END)
		return -ENXIO;
	if (offset < GOALLOC_HEAP_BASE && !data)
		addr = offset;
	else
		addr = sparse_seek(file->private_data,
				   max_t(u64, offset, GOALLOC_HEAP_BASE), data);
	if (addr >= GOALLOC_HEAP_END && data)
		return -ENXIO;
	return vfs_setpos(file, addr, MAX_LFS_FILESIZE);
}

/*
 * Any offset there is can be sought, as in any file; reading decides whether
 * something is there. The end of the file is that of the address space.
 */
static loff_t goalloc_fops_llseek(struct file *file, loff_t offset, int whence)
{
	switch (whence) {
	case SEEK_SET:
	case SEEK_CUR:
	case SEEK_END:
		return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE,
						GOALLOC_HEAP_END);
	case SEEK_DATA:
	case SEEK_HOLE:
		return goalloc_seek_data(file, offset, whence == SEEK_DATA);
	default:
		return -EINVAL;
	}
}

static vm_fault_t goalloc_vm_fault(struct vm_fault *vmf)
{
	return sparse_fault(vmf->vma->vm_private_data, vmf);
}

/*
 * Maps nothing around. That it is there says that faults can be handled under the
 * lock of the VMA instead of the whole process's (since 6.6).
 */
static vm_fault_t goalloc_vm_map_pages(struct vm_fault *vmf, pgoff_t first, pgoff_t last)
{
	return 0;
}

static const struct vm_operations_struct goalloc_vm_ops = {
	.fault		= goalloc_vm_fault,
	.map_pages	= goalloc_vm_map_pages,
};

/* Do pages of the file from there on lie in the heap? */
static bool goalloc_in_range(unsigned long pgoff, unsigned long npages)
{
	return pgoff >= GOALLOC_HEAP_BASE >> PAGE_SHIFT &&
	       pgoff < GOALLOC_HEAP_END >> PAGE_SHIFT &&
	       npages <= (GOALLOC_HEAP_END >> PAGE_SHIFT) - pgoff;
}

/*
 * The offset is a heap address; 0 stands for the base. The mapping is one of
 * ordinary pages, with all that the kernel does for those: it may join it with a
 * neighbour without asking goalloc_fops_mmap(), so the range is looked at here. It may
 * also let it grow where it is. What then lies outside the heap has no span, and
 * sparse_fault() refuses it.
 */
static unsigned long goalloc_fops_get_unmapped_area(struct file *file, unsigned long addr,
						    unsigned long len, unsigned long pgoff,
						    unsigned long flags)
{
	if (!goalloc_in_range(pgoff ?: GOALLOC_HEAP_BASE >> PAGE_SHIFT, len >> PAGE_SHIFT))
		return -EINVAL;
	return mm_get_unmapped_area(current->mm, file, addr, len, pgoff, flags);
}

static int goalloc_fops_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (!vma->vm_pgoff)
		vma->vm_pgoff = GOALLOC_HEAP_BASE >> PAGE_SHIFT;
	if (!goalloc_in_range(vma->vm_pgoff, vma_pages(vma)))
		return -EINVAL;

	vma->vm_private_data = file->private_data;
	vma->vm_ops = &goalloc_vm_ops;
	sparse_mmap(file->private_data);
	return 0;
}

/* Reading and writing never wait; what can be waited for is the soft limit. */
static __poll_t goalloc_fops_poll(struct file *file, poll_table *wait)
{
	struct goalloc_heap *heap = file->private_data;
	__poll_t events = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
	u64 limit;

	poll_wait(file, &heap->limit_wait, wait);
	limit = READ_ONCE(heap->limit);
	if (limit != GOALLOC_NO_LIMIT && mheap_held(heap) >= limit)
		events |= EPOLLPRI;
	return events;
}

static void goalloc_fops_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct goalloc_heap *heap = file->private_data;
	struct goalloc_memstats *ms = kzalloc(sizeof(*ms), GFP_KERNEL | __GFP_NOWARN);
	char name[GOALLOC_NAME_MAX];

	mheap_get_name(heap, name);
	seq_printf(m, "heap-id:\t%llu\n", heap->id);
	seq_printf(m, "heap-name:\t%s\n", name);
	if (ms) {
		readmemstats(heap, ms);
		seq_printf(m, "heap-objects:\t%llu\n", ms->heap_objects);
		seq_printf(m, "heap-alloc:\t%llu\n", ms->heap_alloc);
		seq_printf(m, "heap-inuse:\t%llu\n", ms->heap_inuse);
		seq_printf(m, "heap-idle:\t%llu\n", ms->heap_idle);
		seq_printf(m, "heap-released:\t%llu\n", ms->heap_released);
		seq_printf(m, "heap-mallocs:\t%llu\n", ms->mallocs);
		seq_printf(m, "heap-frees:\t%llu\n", ms->frees);
		kfree(ms);
	}
	seq_printf(m, "heap-backed:\t%llu\n", atomic64_read(&heap->backed));
	seq_printf(m, "heap-limit:\t%llu\n", READ_ONCE(heap->limit));
	seq_printf(m, "heap-max:\t%llu\n", READ_ONCE(heap->max));
}

static const struct file_operations goalloc_fops = {
	.owner		= THIS_MODULE,
	.open		= goalloc_fops_open,
	.release	= goalloc_fops_release,
	.llseek		= goalloc_fops_llseek,
	.read_iter	= goalloc_fops_read_iter,
	.write_iter	= goalloc_fops_write_iter,
	.mmap		= goalloc_fops_mmap,
	.get_unmapped_area = goalloc_fops_get_unmapped_area,
	.poll		= goalloc_fops_poll,
	.fsync		= noop_fsync,
	.show_fdinfo	= goalloc_fops_show_fdinfo,
	.unlocked_ioctl	= goalloc_fops_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice goalloc_miscdev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "goalloc",
	.fops	= &goalloc_fops,
	.mode	= 0600,
};

/**
 * goalloc_chardev_init() - make /dev/goalloc appear
 *
 * Files can be opened before this returns, so all else has to be ready.
 *
 * Context: Module init. Sleeps.
 * Return: 0 or an errno.
 */
int __init goalloc_chardev_init(void)
{
	return misc_register(&goalloc_miscdev);
}

/**
 * goalloc_chardev_exit() - take /dev/goalloc away
 *
 * No file is open any more: each holds a reference to the module.
 *
 * Context: Module exit, or init that failed. Sleeps.
 */
void goalloc_chardev_exit(void)
{
	misc_deregister(&goalloc_miscdev);
}
