// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module that holds all suites. They run when it is loaded; the kernel
 * parameter kunit.filter_glob selects among them.
 */
#include <linux/module.h>

#include "compat.h"
#include "scavenge.h"

static unsigned int percent;

/* Nothing happens by itself; the cases that are about that turn it on. */
static int __init goalloc_kunit_init(void)
{
	percent = goalloc_scavenge_percent;
	goalloc_scavenge_percent = 0;
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	return 0;
}

static void __exit goalloc_kunit_exit(void)
{
	goalloc_scavenge_percent = percent;
}

module_init(goalloc_kunit_init);
module_exit(goalloc_kunit_exit);

MODULE_DESCRIPTION("KUnit suites of goalloc");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
GOALLOC_KUNIT_IMPORT;
