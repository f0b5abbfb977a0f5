// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-CPU page caches: see pagecache.h.
 */
#include <linux/bitops.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>

#include "compat.h"
#include "pagecache.h"

/**
 * page_cache_init - makes an empty cache
 * @c: the cache
 *
 * Context: any.
 */
void page_cache_init(struct page_cache *c)
{
	raw_spin_lock_init(&c->lock);
	c->set = (struct pagealloc_set) {};
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_init);

/*
 * The lowest place where @n pages in a row are set and lie in one block, or 64
 * (Go: findBitRange64). A run of a + b is one of a with one of b right above,
 * so the length at hand doubles with each step.
 */
static u32 find_run(u64 pages, u32 n, u32 block_pages)
{
	u32 have = 1, i;

	while (pages && have < n) {
		u32 step = min(have, n - have);

		pages &= pages >> step;
		have += step;
	}
	/* Where a run may begin in a block, the same in each of them. */
	if (block_pages < PAGE_CACHE_PAGES) {
		u64 starts = 0;

		for (i = 0; i < PAGE_CACHE_PAGES; i += block_pages)
			starts |= GENMASK_ULL(block_pages - n, 0) << i;
		pages &= starts;
	}
	return pages ? __ffs64(pages) : PAGE_CACHE_PAGES;
}

/**
 * page_cache_take - takes a run of pages (Go: pageCache.alloc, allocN)
 * @c: the cache
 * @npages: heap pages, 1 to PAGE_CACHE_RUN_MAX
 * @block_pages: the length of the blocks that the run must not cross between, a
 *	power of two of at least PALLOC_BLOCK_MIN
 * @scav: how many of the pages had their scavenged bit set
 *
 * Context: any but NMI; the cache's lock held.
 * Return: the address of the lowest run, or 0 if there is none that long.
 */
u64 page_cache_take(struct page_cache *c, u32 npages, u32 block_pages, u32 *scav)
{
	u32 i = find_run(c->set.pages, npages, block_pages);
	u64 run;

	lockdep_assert_held(&c->lock);
	if (i == PAGE_CACHE_PAGES)
		return 0;
	run = GENMASK_ULL(i + npages - 1, i);
	*scav = hweight64(c->set.scavenged & run);
	c->set.pages &= ~run;
	c->set.scavenged &= ~run;
	return c->set.base + ((u64)i << GOALLOC_PAGE_SHIFT);
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_take);

/**
 * page_cache_back - pages have memory now
 * @c: the cache
 * @addr: heap address of the first
 * @npages: how many
 *
 * Context: any but NMI; the cache's lock held.
 * Return: how many pages of the cache had their scavenged bit set till now.
 */
u32 page_cache_back(struct page_cache *c, u64 addr, u32 npages)
{
	u64 end = addr + ((u64)npages << GOALLOC_PAGE_SHIFT);
	u64 base = c->set.base, last = base + ((u64)PAGE_CACHE_PAGES << GOALLOC_PAGE_SHIFT);
	u64 mask;
	u32 n;

	lockdep_assert_held(&c->lock);
	if (!c->set.scavenged || end <= base || addr >= last)
		return 0;
	addr = max(addr, base);
	end = min(end, last);
	mask = GENMASK_ULL(((end - base) >> GOALLOC_PAGE_SHIFT) - 1,
			   (addr - base) >> GOALLOC_PAGE_SHIFT);
	n = hweight64(c->set.scavenged & mask);
	c->set.scavenged &= ~mask;
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(page_cache_back);
