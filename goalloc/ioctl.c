// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of /dev/goalloc.
 *
 * What every ioctl has in common is in goalloc_fops_ioctl() and its table: the
 * size of the struct is checked, the struct copied in, the function run on the
 * copy, and as much of the copy as the caller has room for copied back. So a
 * function sees neither user memory nor old or new sizes, and reads no field
 * that is behind "out" in the struct. One whose results cannot be copied back
 * is undone. Batches alone touch user memory themselves, namely their arrays.
 */
#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <uapi/linux/goalloc.h>

#include "ioctl.h"
#include "layout.h"
#include "malloc.h"
#include "mheap.h"
#include "mstats.h"
#include "param.h"
#include "scavenge.h"
#include "sizeclass.h"

/* Objects a batch may have; users learn it from INFO. */
#define GOALLOC_BATCH_MAX	1024

/* So many are copied at once; a batch lets others run between two of them. */
#define GOALLOC_BATCH_BLOCK	64

/*
 * No struct will ever be this long. The tail of a longer one is not looked
 * through for zeroes: that could take seconds.
 */
#define GOALLOC_STRUCT_MAX	SZ_64K

#define GOALLOC_ALLOC_FLAGS	(GOALLOC_SCAN | GOALLOC_UNINIT)
#define GOALLOC_ALIGN_MAX	SZ_2M

/*
 * File heaps are accounted to the memory cgroup of who opened the file. An ioctl
 * that wants more than the cgroup has fails; nobody is killed for it.
 */
#define GOALLOC_FILE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL)

/* What an INFO says there is beyond ABI version 1. */
#define GOALLOC_FEATURES \
	(GOALLOC_FEATURE_NAME | GOALLOC_FEATURE_SEEK | GOALLOC_FEATURE_POLL)

/*
 * The uapi structs have one layout everywhere, without holes. These are the
 * sizes of ABI version 1, which no later version goes below.
 */
static_assert(sizeof(struct goalloc_info) == 48);
static_assert(sizeof(struct goalloc_alloc) == 40);
static_assert(sizeof(struct goalloc_free) == 16);
static_assert(sizeof(struct goalloc_batch) == 32);
static_assert(sizeof(struct goalloc_query) == 56);
static_assert(sizeof(struct goalloc_param) == 16);
static_assert(sizeof(struct goalloc_scavenge) == 24);
static_assert(sizeof(struct goalloc_name) == 56);
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
	cmd->features = GOALLOC_FEATURES;
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
	struct mem_cgroup *old;
	unsigned long addr;
	u64 usable;
	int err;

	if (cmd->flags & ~GOALLOC_ALLOC_FLAGS)
		return -EOPNOTSUPP;
	if (cmd->align && (!is_power_of_2(cmd->align) || cmd->align > GOALLOC_ALIGN_MAX))
		return -EINVAL;

	old = set_active_memcg(ucmd->heap->memcg);
	err = mallocgc(ucmd->heap, cmd->bytes, cmd->align, cmd->flags, GOALLOC_FILE_GFP,
		       &addr, &usable);
	set_active_memcg(old);
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
 * Batches. The arrays are copied block by block, and what was done before the
 * first failure is known and told exactly, whether it is an object that could
 * not be made or a part of an array that is not there.
 */
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

/* Frees cannot be undone: see beforehand that all of the answer can be given. */
static int goalloc_batch_begin(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;

	cmd->done = 0;
	return copy_to_user(ucmd->ubuffer, cmd, sizeof(*cmd)) ? -EFAULT : 0;
}

/* Another block, unless somebody wants this process to end. */
static bool goalloc_batch_go_on(const struct goalloc_batch *cmd)
{
	if (cmd->done == cmd->count || (cmd->done && fatal_signal_pending(current)))
		return false;
	cond_resched();
	return true;
}

/*
 * Copies the next block of an array in. Returns how many elements there are,
 * which are fewer than wanted where user memory ends.
 */
static u32 goalloc_batch_get(const struct goalloc_batch *cmd, u64 array, u64 *to)
{
	const u64 __user *from = (const u64 __user *)u64_to_user_ptr(array) + cmd->done;
	u32 n = min_t(u32, cmd->count - cmd->done, GOALLOC_BATCH_BLOCK);

	return n - DIV_ROUND_UP(copy_from_user(to, from, n * sizeof(*to)), sizeof(*to));
}

/* Makes objects until one cannot be made; counts them. */
static int goalloc_batch_make(struct goalloc_ucmd *ucmd, const u64 *sizes, u64 *made, u32 n,
			      u32 *done)
{
	struct mem_cgroup *old = set_active_memcg(ucmd->heap->memcg);
	const struct goalloc_batch *cmd = ucmd->cmd;
	unsigned long addr;
	int err = 0;
	u64 usable;
	u32 i;

	for (i = 0; i < n; i++) {
		/* One alone may take long: see mheap_grow(). */
		if (i && fatal_signal_pending(current))
			break;
		err = mallocgc(ucmd->heap, sizes[i], 0, cmd->flags, GOALLOC_FILE_GFP, &addr,
			       &usable);
		if (err)
			break;
		made[i] = addr;
	}
	set_active_memcg(old);
	*done = i;
	return err;
}

static void goalloc_batch_unmake(struct goalloc_ucmd *ucmd, const u64 *made, u32 n)
{
	while (n)
		mallocgc_free(ucmd->heap, made[--n]);
}

static int goalloc_ioctl_alloc_batch(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;
	u64 sizes[GOALLOC_BATCH_BLOCK];
	int err;

	err = goalloc_batch_check(cmd, true) ?: goalloc_batch_begin(ucmd);
	if (err)
		return err;
	ucmd->made = kmalloc_array(cmd->count, sizeof(*ucmd->made),
				   GFP_KERNEL | __GFP_NOWARN);
	if (!ucmd->made)
		return -ENOMEM;
	while (!err && goalloc_batch_go_on(cmd)) {
		u64 __user *to = (u64 __user *)u64_to_user_ptr(cmd->addrs) + cmd->done;
		u64 *made = ucmd->made + cmd->done;
		u32 n = goalloc_batch_get(cmd, cmd->sizes, sizes);
		u32 done, told;

		if (!n)
			err = -EFAULT;
		else
			err = goalloc_batch_make(ucmd, sizes, made, n, &done);
		if (!n || !done)
			break;
		told = done - DIV_ROUND_UP(copy_to_user(to, made, done * sizeof(*made)),
					   sizeof(*made));
		if (told < done) {
			goalloc_batch_unmake(ucmd, made + told, done - told);
			err = -EFAULT;
		}
		cmd->done += told;
	}
	return cmd->done ? 0 : err;
}

/* Without their number, which could not be told, none of them counts. */
static void goalloc_ioctl_alloc_batch_undo(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;

	goalloc_batch_unmake(ucmd, ucmd->made, cmd->done);
}

static int goalloc_ioctl_free_batch(struct goalloc_ucmd *ucmd)
{
	struct goalloc_batch *cmd = ucmd->cmd;
	u64 addrs[GOALLOC_BATCH_BLOCK];
	u32 freed;
	int err;

	err = goalloc_batch_check(cmd, false) ?: goalloc_batch_begin(ucmd);
	if (err)
		return err;
	while (!err && goalloc_batch_go_on(cmd)) {
		u32 n = goalloc_batch_get(cmd, cmd->addrs, addrs), i;

		if (!n)
			err = -EFAULT;
		for (i = 0; i < n; i += freed, cmd->done += freed) {
			freed = mallocgc_free_bulk(ucmd->heap, n - i, addrs + i);
			if (freed)
				continue;
			/* A large one is taken out of every mapping, which may take long. */
			if (cmd->done && fatal_signal_pending(current))
				break;
			err = mallocgc_free(ucmd->heap, addrs[i]);
			if (err)
				break;
			freed = 1;
		}
	}
	return cmd->done ? 0 : err;
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

static int goalloc_ioctl_set_param(struct goalloc_ucmd *ucmd)
{
	const struct goalloc_param *cmd = ucmd->cmd;

	return mheap_set_param(ucmd->heap, cmd->id, cmd->value);
}

static int goalloc_ioctl_get_param(struct goalloc_ucmd *ucmd)
{
	struct goalloc_param *cmd = ucmd->cmd;

	return mheap_get_param(ucmd->heap, cmd->id, &cmd->value);
}

static int goalloc_ioctl_scavenge(struct goalloc_ucmd *ucmd)
{
	struct goalloc_scavenge *cmd = ucmd->cmd;

	if (cmd->flags)
		return -EOPNOTSUPP;
	cmd->released = scavenge(ucmd->heap, cmd->bytes, SCAVENGE_REQUEST);
	return 0;
}

static int goalloc_ioctl_set_name(struct goalloc_ucmd *ucmd)
{
	const struct goalloc_name *cmd = ucmd->cmd;

	if (cmd->flags)
		return -EOPNOTSUPP;
	return mheap_set_name(ucmd->heap, (const char *)cmd->name);
}

/* Room for the short structs. Longer ones are not for the stack. */
union goalloc_ucmd_buffer {
	struct goalloc_info info;
	struct goalloc_alloc alloc;
	struct goalloc_free free;
	struct goalloc_batch batch;
	struct goalloc_query query;
	struct goalloc_param param;
	struct goalloc_scavenge scavenge;
	struct goalloc_name name;
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
	IOCTL_OP(GOALLOC_IOC_SET_PARAM, goalloc_ioctl_set_param, struct goalloc_param,
		 value),
	IOCTL_OP(GOALLOC_IOC_GET_PARAM, goalloc_ioctl_get_param, struct goalloc_param,
		 value, .out = true),
	IOCTL_OP(GOALLOC_IOC_MEMSTATS, goalloc_ioctl_memstats,
		 struct goalloc_memstats, by_size, .out = true),
	IOCTL_OP(GOALLOC_IOC_SCAVENGE, goalloc_ioctl_scavenge, struct goalloc_scavenge,
		 released, .out = true),
	IOCTL_OP(GOALLOC_IOC_SET_NAME, goalloc_ioctl_set_name, struct goalloc_name, name),
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

/**
 * goalloc_fops_ioctl - an ioctl of /dev/goalloc
 * @file: the file, whose heap it is about
 * @cmd: which
 * @arg: user address of its struct
 *
 * Context: task, sleeps.
 * Return: 0 or an errno, see Documentation/uapi.rst.
 */
long goalloc_fops_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
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

	ucmd.cmd = op->large ? kmalloc(op->size, GFP_KERNEL | __GFP_NOWARN) : &buffer;
	if (!ucmd.cmd)
		return -ENOMEM;
	err = goalloc_ioctl_run(op, &ucmd, user_size);
	if (op->large)
		kfree(ucmd.cmd);
	kfree(ucmd.made);
	return err;
}
