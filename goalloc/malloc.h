/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allocator's front: tiny, small and large objects (Go: malloc.go).
 * linux/goalloc.h declares what other modules may call; these are the same on
 * any heap and by address.
 */
#ifndef GOALLOC_MALLOC_H
#define GOALLOC_MALLOC_H

#include <linux/types.h>

struct goalloc_heap;
struct goalloc_query;

void malloc_module_init(void);
int mallocgc(struct goalloc_heap *heap, u64 size, u64 align, u32 flags, gfp_t gfp,
	     unsigned long *addr, u64 *usable);
int mallocgc_free(struct goalloc_heap *heap, u64 addr);
size_t mallocgc_free_bulk(struct goalloc_heap *heap, size_t n, const u64 *addrs);
int mallocgc_query(struct goalloc_heap *heap, u64 addr, struct goalloc_query *q);
#if IS_ENABLED(CONFIG_KUNIT)
extern atomic_t *malloc_expected_faults;
#endif

#endif /* GOALLOC_MALLOC_H */
