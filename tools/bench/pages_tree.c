// SPDX-License-Identifier: GPL-2.0-only
/* The module's own, once more: what pages_bench.c measures. */
#include "../../goalloc/pagealloc.c"
