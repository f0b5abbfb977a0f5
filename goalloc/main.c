// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc: the Go runtime's memory allocator in the kernel. malloc.c has the
 * map of it.
 */
#include <linux/capability.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "backing.h"
#include "chardev.h"
#include "debugfs.h"
#include "fixalloc.h"
#include "malloc.h"
#include "mheap.h"
#include "pagealloc.h"
#include "scavenge.h"

bool goalloc_panic_on_fault;

/* Root in a container may write to sysfs, and this is about the machine. */
static int goalloc_set_panic_on_fault(const char *val, const struct kernel_param *kp)
{
	return capable(CAP_SYS_ADMIN) ? param_set_bool(val, kp) : -EPERM;
}

static const struct kernel_param_ops goalloc_panic_on_fault_ops = {
	.flags	= KERNEL_PARAM_OPS_FL_NOARG,
	.set	= goalloc_set_panic_on_fault,
	.get	= param_get_bool,
};

/* Bytes: memparse() would take what does not fit into 64 bits as well. */
static int goalloc_parse_bytes(const char *val, u64 *bytes)
{
	size_t len = strspn(val, "0123456789");
	char digits[24], *end;
	int ret;

	if (len >= sizeof(digits))
		return -EINVAL;
	strscpy(digits, val, len + 1);
	ret = kstrtou64(digits, 10, bytes);
	if (ret)
		return -EINVAL;
	/* Of "1" the suffix makes what it multiplies by. */
	digits[0] = '1';
	digits[1] = val[len];
	digits[2] = '\0';
	if (!sysfs_streq(val + len, "") && (!val[len + 1] || sysfs_streq(val + len + 1, ""))) {
		u64 unit = memparse(digits, &end);

		return *end || check_mul_overflow(*bytes, unit, bytes) ? -EINVAL : 0;
	}
	return sysfs_streq(val + len, "") ? 0 : -EINVAL;
}

/* Limits of all heaps together: bytes, with a suffix if liked, or "none". */
static int goalloc_set_limit(const char *val, const struct kernel_param *kp)
{
	u64 value = GOALLOC_NO_LIMIT;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!sysfs_streq(val, "none") && goalloc_parse_bytes(val, &value))
		return -EINVAL;
	WRITE_ONCE(*(u64 *)kp->arg, value);
	/* The soft one is for the background to come to; see scavenge_make_room(). */
	scavenge_now();
	return 0;
}

static int goalloc_get_limit(char *buffer, const struct kernel_param *kp)
{
	u64 value = READ_ONCE(*(u64 *)kp->arg);

	return value == GOALLOC_NO_LIMIT ? sysfs_emit(buffer, "none\n") :
		sysfs_emit(buffer, "%llu\n", value);
}

static const struct kernel_param_ops goalloc_limit_ops = {
	.set	= goalloc_set_limit,
	.get	= goalloc_get_limit,
};

static int goalloc_set_scavenge_percent(const char *val, const struct kernel_param *kp)
{
	int ret = capable(CAP_SYS_ADMIN) ? param_set_uint_minmax(val, kp, 0, 100) : -EPERM;

	if (!ret)
		scavenge_now();
	return ret;
}

static const struct kernel_param_ops goalloc_scavenge_percent_ops = {
	.set	= goalloc_set_scavenge_percent,
	.get	= param_get_uint,
};

module_param_cb(limit, &goalloc_limit_ops, &goalloc_limit, 0644);
__MODULE_PARM_TYPE(limit, "bytes");
MODULE_PARM_DESC(limit, "soft limit for the memory of all heaps together, or none");
module_param_cb(max, &goalloc_limit_ops, &goalloc_max, 0644);
__MODULE_PARM_TYPE(max, "bytes");
MODULE_PARM_DESC(max, "hard limit for the memory in use in all heaps together, or none");
module_param_cb(scavenge_percent, &goalloc_scavenge_percent_ops, &goalloc_scavenge_percent, 0644);
__MODULE_PARM_TYPE(scavenge_percent, "uint");
MODULE_PARM_DESC(scavenge_percent, "share of one CPU for giving idle memory back; 0 for never");
module_param_cb(panic_on_fault, &goalloc_panic_on_fault_ops, &goalloc_panic_on_fault, 0644);
__MODULE_PARM_TYPE(panic_on_fault, "bool");
MODULE_PARM_DESC(panic_on_fault, "panic when a kernel caller frees what is no live object");

static int __init goalloc_init(void)
{
	int ret;

	malloc_module_init();
	ret = fixalloc_module_init();
	if (ret)
		return ret;
	ret = pagealloc_module_init();
	if (ret)
		goto err_fixalloc;
	ret = backing_module_init();
	if (ret)
		goto err_pagealloc;
	ret = scavenge_module_init();
	if (ret)
		goto err_backing;
	goalloc_debugfs_init();
	ret = mheap_module_init();
	if (ret)
		goto err_debugfs;
	ret = goalloc_chardev_init();
	if (ret)
		goto err_mheap;
	return 0;

err_mheap:
	mheap_module_exit();
err_debugfs:
	goalloc_debugfs_exit();
	scavenge_module_exit();
err_backing:
	backing_module_exit();
err_pagealloc:
	pagealloc_module_exit();
err_fixalloc:
	fixalloc_module_exit();
	return ret;
}

static void __exit goalloc_exit(void)
{
	goalloc_chardev_exit();
	mheap_module_exit();
	goalloc_debugfs_exit();
	scavenge_module_exit();
	backing_module_exit();
	pagealloc_module_exit();
	fixalloc_module_exit();
}

module_init(goalloc_init);
module_exit(goalloc_exit);

MODULE_DESCRIPTION("The Go runtime's memory allocator");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(GOALLOC_VERSION);
