// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc: the Go runtime's memory allocator in the kernel. malloc.c has the
 * map of it.
 */
#include <linux/capability.h>
#include <linux/init.h>
#include <linux/module.h>

#include "backing.h"
#include "chardev.h"
#include "debugfs.h"
#include "fixalloc.h"
#include "mheap.h"
#include "pagealloc.h"

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

module_param_cb(panic_on_fault, &goalloc_panic_on_fault_ops, &goalloc_panic_on_fault, 0644);
__MODULE_PARM_TYPE(panic_on_fault, "bool");
MODULE_PARM_DESC(panic_on_fault, "panic when a kernel caller frees what is no live object");

static int __init goalloc_init(void)
{
	int ret;

	ret = fixalloc_module_init();
	if (ret)
		return ret;
	ret = pagealloc_module_init();
	if (ret)
		goto err_fixalloc;
	ret = backing_module_init();
	if (ret)
		goto err_pagealloc;
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
