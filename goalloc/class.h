/* SPDX-License-Identifier: GPL-2.0-only */
/* Exact size classes: see class.c. */
#ifndef GOALLOC_CLASS_H
#define GOALLOC_CLASS_H

#include <linux/types.h>

struct goalloc_heap;
struct mcache_pcpu;

/**
 * struct goalloc_class - an exact class
 * @mcache: the heap's mcaches
 * @entry: where its entry lies in one, in bytes
 * @heap: whose
 * @spc: its span class, GOALLOC_NUM_CENTRALS or above
 * @flags: GOALLOC_SCAN
 * @size: bytes of an object, as asked for
 * @name: shown to people
 */
struct goalloc_class {
	struct mcache_pcpu __percpu *mcache;
	unsigned long entry;
	struct goalloc_heap *heap;
	u8 spc;
	u32 flags;
	u32 size;
	char name[32];
};

/**
 * struct class_sums - what all exact classes of a heap count together
 * @mallocs: objects made
 * @frees: objects freed
 * @total_alloc: bytes of @mallocs
 * @heap_alloc: bytes of those that live
 */
struct class_sums {
	u64 mallocs;
	u64 frees;
	u64 total_alloc;
	u64 heap_alloc;
};

void class_counts(struct goalloc_heap *heap, u8 spc, u64 *mallocs, u64 *frees);
void class_counts_all(struct goalloc_heap *heap, struct class_sums *all);
void class_destroy_all(struct goalloc_heap *heap, bool quiet);

#endif /* GOALLOC_CLASS_H */
