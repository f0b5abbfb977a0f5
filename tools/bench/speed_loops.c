// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loops of speed.h for all allocators and sizes. What has no use for a size
 * that is a constant, a cache or a class, has one function for all.
 */
#include "speed.h"

/* X(prefix, flags, allocator in names, allocator, bytes, ...) for each. */
#define SMALL(X, prefix, gfp, bytes)						\
	X(prefix, gfp, goalloc, SPEED_GOALLOC, bytes)				\
	X(prefix, gfp, kmalloc, SPEED_KMALLOC, bytes)

#define LARGE(X, prefix, gfp, bytes)						\
	SMALL(X, prefix, gfp, bytes)						\
	X(prefix, gfp, pages, SPEED_PAGES, bytes)				\
	X(prefix, gfp, kvmalloc, SPEED_KVMALLOC, bytes)

#define TINY_SIZES(X, prefix, gfp)						\
	SMALL(X, prefix, gfp, 1)						\
	SMALL(X, prefix, gfp, 2)						\
	SMALL(X, prefix, gfp, 4)						\
	SMALL(X, prefix, gfp, 12)

#define SMALL_SIZES(X, prefix, gfp)						\
	SMALL(X, prefix, gfp, 8)						\
	SMALL(X, prefix, gfp, 16)						\
	SMALL(X, prefix, gfp, 32)						\
	SMALL(X, prefix, gfp, 48)						\
	SMALL(X, prefix, gfp, 64)						\
	SMALL(X, prefix, gfp, 100)						\
	SMALL(X, prefix, gfp, 128)						\
	SMALL(X, prefix, gfp, 256)						\
	SMALL(X, prefix, gfp, 512)						\
	SMALL(X, prefix, gfp, 1024)						\
	SMALL(X, prefix, gfp, 2048)						\
	SMALL(X, prefix, gfp, 4096)						\
	SMALL(X, prefix, gfp, 8192)

#define LARGE_SIZES(X, prefix, gfp)						\
	LARGE(X, prefix, gfp, 16384)						\
	LARGE(X, prefix, gfp, 32768)						\
	LARGE(X, prefix, gfp, 65536)						\
	LARGE(X, prefix, gfp, 1048576)

#define SOFTIRQ_SIZES(X, prefix, gfp)						\
	SMALL(X, prefix, gfp, 16)						\
	SMALL(X, prefix, gfp, 64)						\
	SMALL(X, prefix, gfp, 256)						\
	SMALL(X, prefix, gfp, 512)						\
	SMALL(X, prefix, gfp, 1024)						\
	SMALL(X, prefix, gfp, 2048)						\
	SMALL(X, prefix, gfp, 4096)

/* Nothing, and those that are told a size or a cache when they run. */
#define ANY_SIZE(X, prefix, gfp)						\
	X(prefix, gfp, nothing, SPEED_NOTHING, 0)				\
	X(prefix, gfp, goalloc_class, SPEED_GOALLOC_CLASS, 0)			\
	X(prefix, gfp, goalloc_variable, SPEED_GOALLOC_VARIABLE, 0)		\
	X(prefix, gfp, kmalloc_variable, SPEED_KMALLOC_VARIABLE, 0)		\
	X(prefix, gfp, cache, SPEED_CACHE, 0)

#define FUNCTIONS(prefix, gfp, name, what, bytes)				\
	SPEED_FUNCTIONS(prefix##_##name##_##bytes, what, bytes, gfp, false)
#define ENTRY(prefix, gfp, name, what, bytes)					\
	SPEED_ENTRY(prefix##_##name##_##bytes, what, bytes)

ANY_SIZE(FUNCTIONS, task, GFP_KERNEL)
SMALL_SIZES(FUNCTIONS, task, GFP_KERNEL)
LARGE_SIZES(FUNCTIONS, task, GFP_KERNEL)

const struct speed_loops speed_task[] = {
	ANY_SIZE(ENTRY, task, GFP_KERNEL)
	SMALL_SIZES(ENTRY, task, GFP_KERNEL)
	LARGE_SIZES(ENTRY, task, GFP_KERNEL)
};

const u32 speed_nr_task = ARRAY_SIZE(speed_task);

TINY_SIZES(FUNCTIONS, task, GFP_KERNEL)

const struct speed_loops speed_tiny[] = {
	ANY_SIZE(ENTRY, task, GFP_KERNEL)
	TINY_SIZES(ENTRY, task, GFP_KERNEL)
};

const u32 speed_nr_tiny = ARRAY_SIZE(speed_tiny);

ANY_SIZE(FUNCTIONS, softirq, GFP_ATOMIC)
SOFTIRQ_SIZES(FUNCTIONS, softirq, GFP_ATOMIC)

const struct speed_loops speed_softirq[] = {
	ANY_SIZE(ENTRY, softirq, GFP_ATOMIC)
	SOFTIRQ_SIZES(ENTRY, softirq, GFP_ATOMIC)
};

const u32 speed_nr_softirq = ARRAY_SIZE(speed_softirq);

/* Sizes that differ are not constants. */
SPEED_FUNCTIONS(random_nothing, SPEED_NOTHING, 0, GFP_KERNEL, true)
SPEED_FUNCTIONS(random_goalloc, SPEED_GOALLOC, 0, GFP_KERNEL, true)
SPEED_FUNCTIONS(random_kmalloc, SPEED_KMALLOC, 0, GFP_KERNEL, true)

const struct speed_loops speed_random[] = {
	SPEED_ENTRY(random_nothing, SPEED_NOTHING, 0)
	SPEED_ENTRY(random_goalloc, SPEED_GOALLOC, 0)
	SPEED_ENTRY(random_kmalloc, SPEED_KMALLOC, 0)
};

const u32 speed_nr_random = ARRAY_SIZE(speed_random);
