// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device /dev/goalloc: ioctl, read and write.
 *
 * Every open file is a sparse heap of its own, made at open() and freed, with
 * all that lives in it, at the last close(). An object's address in the heap
 * is its offset in the file.
 *
 * What every ioctl has in common is in goalloc_fops_ioctl() and its table: the
 * size of the struct is checked, the struct copied in, the function run on the
 * copy, and as much of the copy as the caller has room for copied back. So a
 * function sees neither user memory nor old or new sizes, and reads no field
 * that is behind "out" in the struct. One whose results cannot be copied back
 * is undone. Batches alone touch user memory themselves, namely their arrays.
 *
 * Any number of threads may use one file at once. Nothing here has a lock: the
 * heap looks after itself, and it lives as long as the file, which the VFS
 * holds on to during every call.
 */
#include <linux/build_bug.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <uapi/linux/goalloc.h>

#include "backing.h"
#include "chardev.h"
#include "layout.h"
#include "malloc.h"
#include "mheap.h"
#include "mstats.h"
#include "sizeclass.h"

/* Objects a batch may have; users learn it from INFO. */
#define GOALLOC_BATCH_MAX	1024

/* A batch lets others run after so many objects. */
#define GOALLOC_BATCH_BREATH	64

/*
 * No struct will ever be this long. The tail of a longer one is not looked
 * through for zeroes: that could take seconds.
 */
#define GOALLOC_STRUCT_MAX	SZ_64K

#define GOALLOC_ALLOC_FLAGS	(GOALLOC_SCAN | GOALLOC_UNINIT)
#define GOALLOC_ALIGN_MAX	SZ_2M

/* File heaps are accounted to memory control groups. */
#define GOALLOC_FILE_GFP	GFP_KERNEL_ACCOUNT

/*
 * The uapi structs have one layout everywhere, without holes. These are the
 * sizes of ABI version 1, which no later version goes below.
 */
static_assert(sizeof(struct goalloc_info) == 48);
static_assert(sizeof(struct goalloc_alloc) == 40);
static_assert(sizeof(struct goalloc_free) == 16);
static_assert(sizeof(struct goalloc_batch) == 32);
static_assert(sizeof(struct goalloc_query) == 56);
static_assert(sizeof(struct goalloc_by_size) == 24);
static_assert(sizeof(struct goalloc_memstats) ==
	      8 + 28 * 8 + GOALLOC_BY_SIZE_MAX * sizeof(struct goalloc_by_size));
static_assert(GOALLOC_BY_SIZE_MAX == GOALLOC_NUM_SIZE_CLASSES);

/**
 * struct goalloc_ucmd - an ioctl under way
 * @heap: the file's heap
 * @ubuffer: the caller's struct
 * @cmd: the kernel's copy of it
 * @made: ALLOC_BATCH: the addresses of the objects it made
 */
struct goalloc_ucmd {
	struct goalloc_heap *heap;
	void __user *ubuffer;
	void *cmd;
	u64 *made;
};

static int goalloc_ioctl_info(struct goalloc_ucmd *ucmd)
{
	struct goalloc_info *cmd = ucmd->cmd;

	cmd->abi_version = GOALLOC_ABI_VERSION;
	cmd->features = 0;
	cmd->heap_base = GOALLOC_HEAP_BASE;
	cmd->heap_max = GOALLOC_HEAP_SPACE;
	cmd->page_size = GOALLOC_PAGE_SIZE;
	cmd->max_small_size = GOALLOC_MAX_SMALL_SIZE;
	cmd->num_size_classes = GOALLOC_NUM_SIZE_CLASSES;
	cmd->batch_max = GOALLOC_BATCH_MAX;
	return 0;
}

static int goalloc_ioctl_alloc(struct goalloc_ucmd *ucmd)
{
	struct goalloc_alloc *cmd = ucmd->cmd;
	unsigned long addr;
	u64 usable;
	int err;

	if (cmd->flags & ~GOALLOC_ALLOC_FLAGS)
		return -EOPNOTSUPP;
	if (cmd->align && (!is_power_of_2(cmd->align) || cmd->align > GOALLOC_ALIGN_MAX))
		return -EINVAL;

	err = mallocgc(ucmd->heap, cmd->bytes, cmd->align, cmd->flags, GOALLOC_FILE_GFP,
		       &addr, &usable);
	if (err)
		return err;
	cmd->addr = addr;
	cmd->usable = usable;
	return 0;
}

/* Nobody has been told the address. */
static void goalloc_ioctl_alloc_undo(struct goalloc_ucmd *ucmd)
{
	struct goalloc_alloc *cmd = ucmd->cmd;

	mallocgc_free(ucmd->heap, cmd->addr);
}

static int goalloc_ioctl_free(struct goalloc_ucmd *ucmd)
{
	struct goalloc_free *cmd = ucmd->cmd;

	if (cmd->flags)
		return -EOPNOTSUPP;
	return mallocgc_free(ucmd->heap, cmd->addr);
}

/*
 * Batches. Sizes and addresses go to and from user memory one by one, so that
 * what was done before the first failure is known and told exactly.
 */
static int goalloc_batch_alloc_one(struct goalloc_ucmd *ucmd, u32 i)
{
	const struct goalloc_batch *cmd = ucmd->cmd;
	const u64 __user *sizes = u64_to_user_ptr(cmd->sizes);
	u64 __user *addrs = u64_to_user_ptr(cmd->addrs);
	unsigned long addr;
	u64 bytes, usable;
	int err;

	if (get_user(bytes, sizes + i))
		return -EFAULT;
	err = mallocgc(ucmd->heap, bytes, 0, cmd->flags, GOALLOC_FILE_GFP, &addr, &usable);
	if (err)
		return err;
	if (put_user(addr, addrs + i)) {
		mallocgc_free(ucmd->heap, addr);
		return -EFAULT;
	}
	ucmd->made[i] = addr;
	return 0;
}

static int goalloc_batch_free_one(struct goalloc_ucmd *ucmd, u32 i)
{
	const struct goalloc_batch *cmd = ucmd->cmd;
	const u64 __user *addrs = u64_to_user_ptr(cmd->addrs);
	u64 addr;

	if (get_user(addr, addrs + i))
		return -EFAULT;
	return mallocgc_free(ucmd->heap, addr);
}

static int goalloc_batch_check(const struct goalloc_batch *cmd, bool alloc)
{
	if (cmd->flags & ~(alloc ? GOALLOC_ALLOC_FLAGS : 0))
		return -EOPNOTSUPP;
	if (!alloc && cmd->sizes)
		return -EOPNOTSUPP;
	if (!cmd->count || cmd->count > GOALLOC_BATCH_MAX)
		return -EINVAL;
	return 0;
}

static int goalloc_batch_run(struct goalloc_ucmd *ucmd,
			     int (*one)(struct goalloc_ucmd *ucmd, u32 i))
{
	struct goalloc_batch __user *ubatch = ucmd->ubuffer;
	struct goalloc_batch *cmd = ucmd->cmd;
	int err;

	/* Frees cannot be undone: see beforehand that they can be told. */
	if (put_user(0, &ubatch->done))
		return -EFAULT;

	for (cmd->done = 0; cmd->done < cmd->count; cmd->done++) {
		if (cmd->done && cmd->done % GOALLOC_BATCH_BREATH == 0) {
			if (fatal_signal_pending(current))
				break;
			cond_resched();
		}
		err = one(ucmd, cmd->done);
		if (err)
			return cmd->done ? 0 : err;
	}
	return 0;
}

static int goalloc_ioctl_alloc_batch(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;
	int err;

	err = goalloc_batch_check(cmd, true);
	if (err)
		return err;
	ucmd->made = kmalloc_array(cmd->count, sizeof(*ucmd->made), GFP_KERNEL);
	if (!ucmd->made)
		return -ENOMEM;
	return goalloc_batch_run(ucmd, goalloc_batch_alloc_one);
}

/* Without their number, which could not be told, none of them counts. */
static void goalloc_ioctl_alloc_batch_undo(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;

	while (cmd->done)
		mallocgc_free(ucmd->heap, ucmd->made[--cmd->done]);
}

static int goalloc_ioctl_free_batch(struct goalloc_ucmd *ucmd)
{
	int err;

	err = goalloc_batch_check(ucmd->cmd, false);
	if (err)
		return err;
	return goalloc_batch_run(ucmd, goalloc_batch_free_one);
}

static int goalloc_ioctl_query(struct goalloc_ucmd *ucmd)
{
	struct goalloc_query *cmd = ucmd->cmd;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->reserved = 0;
	return mallocgc_query(ucmd->heap, cmd->addr, cmd);
}

static int goalloc_ioctl_memstats(struct goalloc_ucmd *ucmd)
{
	struct goalloc_memstats *cmd = ucmd->cmd;

	readmemstats(ucmd->heap, cmd);
	cmd->by_size_count = GOALLOC_BY_SIZE_MAX;
	return 0;
}

/* Room for the short structs. Longer ones are not for the stack. */
union goalloc_ucmd_buffer {
	struct goalloc_info info;
	struct goalloc_alloc alloc;
	struct goalloc_free free;
	struct goalloc_batch batch;
	struct goalloc_query query;
};

/**
 * struct goalloc_ioctl_op - what is to be known of an ioctl
 * @size: bytes of its struct
 * @min_size: bytes of its struct in ABI version 1
 * @large: the struct does not fit union goalloc_ucmd_buffer
 * @out: the struct has fields for the kernel to write
 * @execute: does it; 0 or an errno
 * @undo: undoes it when the struct could not be copied back; may be NULL
 */
struct goalloc_ioctl_op {
	unsigned int size;
	unsigned int min_size;
	bool large;
	bool out;
	int (*execute)(struct goalloc_ucmd *ucmd);
	void (*undo)(struct goalloc_ucmd *ucmd);
};

/* By number. @_last is the last field of ABI version 1. */
#define IOCTL_OP(_cmd, _fn, _struct, _last, ...)			\
	[_IOC_NR(_cmd)] = {						\
		.size = sizeof(_struct) +				\
			BUILD_BUG_ON_ZERO(offsetof(_struct, size)) +	\
			BUILD_BUG_ON_ZERO(sizeof(_struct) >		\
					  GOALLOC_STRUCT_MAX),		\
		.min_size = offsetofend(_struct, _last),		\
		.large = sizeof(_struct) >				\
			 sizeof(union goalloc_ucmd_buffer),		\
		.execute = _fn,						\
		__VA_ARGS__						\
	}

static const struct goalloc_ioctl_op goalloc_ioctl_ops[] = {
	IOCTL_OP(GOALLOC_IOC_INFO, goalloc_ioctl_info, struct goalloc_info,
		 batch_max, .out = true),
	IOCTL_OP(GOALLOC_IOC_ALLOC, goalloc_ioctl_alloc, struct goalloc_alloc,
		 usable, .out = true, .undo = goalloc_ioctl_alloc_undo),
	IOCTL_OP(GOALLOC_IOC_FREE, goalloc_ioctl_free, struct goalloc_free,
		 addr),
	IOCTL_OP(GOALLOC_IOC_ALLOC_BATCH, goalloc_ioctl_alloc_batch,
		 struct goalloc_batch, done, .out = true,
		 .undo = goalloc_ioctl_alloc_batch_undo),
	IOCTL_OP(GOALLOC_IOC_FREE_BATCH, goalloc_ioctl_free_batch,
		 struct goalloc_batch, done, .out = true),
	IOCTL_OP(GOALLOC_IOC_QUERY, goalloc_ioctl_query, struct goalloc_query,
		 reserved, .out = true),
	IOCTL_OP(GOALLOC_IOC_MEMSTATS, goalloc_ioctl_memstats,
		 struct goalloc_memstats, by_size, .out = true),
};

/* The caller's struct has been found to be @user_size bytes long. */
static int goalloc_ioctl_run(const struct goalloc_ioctl_op *op,
			     struct goalloc_ucmd *ucmd, u32 user_size)
{
	int err;

	err = copy_struct_from_user(ucmd->cmd, op->size, ucmd->ubuffer, user_size);
	if (err)
		return err;
	/* It is first in every struct, and may have been changed meanwhile. */
	*(u32 *)ucmd->cmd = user_size;

	err = op->execute(ucmd);
	if (err || !op->out)
		return err;

	if (copy_to_user(ucmd->ubuffer, ucmd->cmd, min(user_size, op->size))) {
		if (op->undo)
			op->undo(ucmd);
		return -EFAULT;
	}
	return 0;
}

static long goalloc_fops_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct goalloc_ucmd ucmd = {
		.heap = file->private_data,
		.ubuffer = (void __user *)arg,
	};
	const struct goalloc_ioctl_op *op;
	union goalloc_ucmd_buffer buffer;
	u32 user_size;
	int err;

	if (cmd != _IO(GOALLOC_IOC_MAGIC, _IOC_NR(cmd)) ||
	    _IOC_NR(cmd) >= ARRAY_SIZE(goalloc_ioctl_ops))
		return -ENOTTY;
	op = &goalloc_ioctl_ops[array_index_nospec(_IOC_NR(cmd), ARRAY_SIZE(goalloc_ioctl_ops))];
	if (!op->execute)
		return -ENOTTY;

	if (get_user(user_size, (u32 __user *)ucmd.ubuffer))
		return -EFAULT;
	if (user_size < op->min_size)
		return -EINVAL;
	if (user_size > GOALLOC_STRUCT_MAX)
		return -E2BIG;

	ucmd.cmd = op->large ? kmalloc(op->size, GFP_KERNEL) : &buffer;
	if (!ucmd.cmd)
		return -ENOMEM;
	err = goalloc_ioctl_run(op, &ucmd, user_size);
	if (op->large)
		kfree(ucmd.cmd);
	kfree(ucmd.made);
	return err;
}

static int goalloc_fops_open(struct inode *inode, struct file *file)
{
	struct goalloc_heap_params params = {};
	char comm[TASK_COMM_LEN];
	char name[TASK_COMM_LEN + 16];
	struct goalloc_heap *heap;

	get_task_comm(comm, current);
	snprintf(name, sizeof(name), "%s:%d", comm, task_tgid_nr(current));
	params.name = name;

	heap = mheap_create(&params, BACKING_SPARSE);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	file->private_data = heap;
	return 0;
}

/* What a process leaves behind when it closes its heap is no leak. */
static int goalloc_fops_release(struct inode *inode, struct file *file)
{
	mheap_destroy(file->private_data, true);
	return 0;
}

static ssize_t goalloc_rw(struct kiocb *iocb, struct iov_iter *iter, bool write)
{
	struct goalloc_heap *heap = iocb->ki_filp->private_data;
	ssize_t done;

	if (!iov_iter_count(iter))
		return 0;
	done = backing_sparse_iter(heap, iocb->ki_pos, iter, write);
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
	default:
		return -EINVAL;
	}
}

static const struct file_operations goalloc_fops = {
	.owner		= THIS_MODULE,
	.open		= goalloc_fops_open,
	.release	= goalloc_fops_release,
	.llseek		= goalloc_fops_llseek,
	.read_iter	= goalloc_fops_read_iter,
	.write_iter	= goalloc_fops_write_iter,
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
