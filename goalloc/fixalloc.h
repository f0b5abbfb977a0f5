/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metadata, counted (Go: mfixalloc.go). Go's fixalloc is a free list of
 * objects of one size that counts what is in use; the kernel's kmem_cache is
 * that already, so these are kmem_caches with the heap's counters beside them.
 */
#ifndef GOALLOC_FIXALLOC_H
#define GOALLOC_FIXALLOC_H

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/preempt.h>
#include <linux/types.h>

#include "compat.h"
#include "mspan.h"

struct goalloc_chunk;
struct goalloc_heap;
struct mcache;

/* What of a caller's flags is about how to get memory, not which. */
#define FIXALLOC_GFP	(__GFP_RECLAIM | __GFP_HIGH | __GFP_IO | __GFP_FS | __GFP_NORETRY | \
			 __GFP_RETRY_MAYFAIL | __GFP_MEMALLOC | __GFP_NOMEMALLOC | \
			 __GFP_ACCOUNT | GOALLOC_GFP_ATOMIC)

/*
 * On PREEMPT_RT neither the slab nor the page allocator may be called with
 * preemption off, whatever the caller's flags. There an allocation that cannot
 * be met from what is cached fails.
 */
static inline bool fixalloc_allowed(void)
{
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible();
}

int fixalloc_module_init(void);
void fixalloc_module_exit(void);

/*
 * True when the test that runs wants this allocation to fail. Every
 * allocation of metadata and of backing pages asks. See fixalloc.c.
 */
#ifdef CONFIG_FAULT_INJECTION
bool goalloc_should_fail(void);
void goalloc_fail_nth(int nth);
void goalloc_fail_run(int nth, int times);
int goalloc_fail_left(void);
#else
static inline bool goalloc_should_fail(void)
{
	return false;
}
#endif

gfp_t fixalloc_gfp(const struct goalloc_heap *heap, gfp_t gfp);
struct mspan *fixalloc_mspan(struct goalloc_heap *heap, u8 spc, gfp_t gfp);
void fixalloc_mspan_free(struct goalloc_heap *heap, struct mspan *s);
void fixalloc_mspan_free_now(struct goalloc_heap *heap, struct mspan *s);
struct mcache *fixalloc_mcache(struct goalloc_heap *heap, gfp_t gfp);
void fixalloc_mcache_free(struct goalloc_heap *heap, struct mcache *mc);
struct goalloc_chunk *fixalloc_chunk(struct goalloc_heap *heap, gfp_t gfp);
void fixalloc_chunk_free(struct goalloc_heap *heap, struct goalloc_chunk *c);

void *persistentalloc(struct goalloc_heap *heap, atomic64_t *stat, size_t size, gfp_t gfp);
void persistentfree(atomic64_t *stat, const void *p, size_t size);

#endif /* GOALLOC_FIXALLOC_H */
