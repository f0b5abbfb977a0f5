/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allocator's front: tiny, small and large objects (Go: malloc.go).
 * linux/goalloc.h declares what other modules may call; these are the same on
 * any heap and by address.
 */
#ifndef GOALLOC_MALLOC_H
#define GOALLOC_MALLOC_H

#include <linux/percpu.h>
#include <linux/types.h>

#include "mcache.h"
#include "mheap.h"

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

/* What malloc.c and bulk.c share. */
bool malloc_zero(struct goalloc_heap *heap, unsigned long addr, u64 len);
unsigned long malloc_small_slow(struct goalloc_heap *heap, u8 spc, gfp_t gfp, bool *needzero);
void free_elsewhere_or_warn(const void *obj, struct mspan *s);

/* This CPU's; preemption off. */
static __always_inline struct mcache *this_mcache(struct goalloc_heap *heap,
						  enum mcache_context ctx)
{
	return this_cpu_ptr(heap->mcache)->ctx[ctx];
}

/* Whose spans this CPU allocates from in this context, tiny ones apart. Preemption off. */
static __always_inline u32 owner_here(void)
{
	return smp_processor_id() | mcache_context() << MCACHE_CONTEXT_SHIFT;
}

/*
 * On kernel heaps only what a tiny block has three of at least shares one. Two in a
 * block, or one, lie no closer than slots of 8 and 16 bytes, and are made and freed
 * in a fifth of the instructions there.
 */
static __always_inline bool is_packed(size_t size)
{
	return size <= __GOALLOC_PACKED_MAX;
}

static_assert(3 * __GOALLOC_PACKED_MAX <= GOALLOC_TINY_SIZE &&
	      3 * (__GOALLOC_PACKED_MAX + 1) > GOALLOC_TINY_SIZE);

#endif /* GOALLOC_MALLOC_H */
