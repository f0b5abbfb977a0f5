// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module that holds all suites. They run when it is loaded; the kernel
 * parameter kunit.filter_glob selects among them.
 */
#include <linux/module.h>

#include "compat.h"

MODULE_DESCRIPTION("KUnit suites of goalloc");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
GOALLOC_KUNIT_IMPORT;
