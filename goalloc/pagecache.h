/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Per-CPU page caches (Go: mpagecache.go).
 *
 * A CPU sets up to 64 neighbouring heap pages aside and makes short runs of
 * them without the heap lock; on linear heaps those of short spans return
 * there, too. In the page allocator those pages are in use; in the books they are
 * idle, and their scavenged bits come along with them.
 *
 * The lock is one CPU's own but for the rare moments when somebody wants the
 * pages of all CPUs back, so it is taken uncontended.
 */
#ifndef GOALLOC_PAGECACHE_H
#define GOALLOC_PAGECACHE_H

#include <linux/spinlock.h>
#include <linux/types.h>

#include "pagealloc.h"

/* Pages of a cache: a word of a chunk's bitmap. */
#define PAGE_CACHE_PAGES	64

/* Longer runs come from the page allocator, as in Go. */
#define PAGE_CACHE_RUN_MAX	(PAGE_CACHE_PAGES / 4 - 1)

/**
 * struct page_cache - Go's pageCache
 * @lock: protects the rest; raw, outside the heap lock
 * @set: the pages. On a linear heap a scavenged bit says that the page counts
 *	as released; block by block that is what is backed
 */
struct page_cache {
	raw_spinlock_t lock;
	struct pagealloc_set set;
};

void page_cache_init(struct page_cache *c);
u64 page_cache_take(struct page_cache *c, u32 npages, u32 block_pages, u32 *scav);
u32 page_cache_back(struct page_cache *c, u64 addr, u32 npages);

static inline bool page_cache_empty(const struct page_cache *c)
{
	/* Without the lock a guess. */
	return !data_race(READ_ONCE(c->set.pages));
}

#endif /* GOALLOC_PAGECACHE_H */
