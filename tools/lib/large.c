// SPDX-License-Identifier: MIT
/*
 * Large objects: whole heap pages, each asked for on its own. A thread keeps the
 * few it freed last, for a program that makes and frees a buffer in a loop would
 * otherwise have its pages taken away and given back each time.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fast.h"

#define KEEP_OBJECT	((size_t)4 << 20)	/* the largest kept */
#define KEEP_BYTES	((size_t)8 << 20)	/* by a thread, in all */

static void stock_remove(struct goa_cache *cache, uint32_t i)
{
	cache->large_bytes -= cache->large[i].bytes;
	cache->large_n--;
	memmove(&cache->large[i], &cache->large[i + 1],
		(cache->large_n - i) * sizeof(cache->large[0]));
}

/* The object in stock that fits @size best, wasting an eighth at most, or NULL. */
static void *stock_take(struct goa_cache *cache, size_t size, size_t *bytes)
{
	uint32_t i, best = cache->large_n;
	void *ptr;

	for (i = 0; i < cache->large_n; i++)
		if (cache->large[i].bytes >= size &&
		    cache->large[i].bytes <= size + size / 8 + GOA_PAGE &&
		    (best == cache->large_n || cache->large[i].bytes < cache->large[best].bytes))
			best = i;
	if (best == cache->large_n)
		return NULL;
	ptr = cache->large[best].ptr;
	*bytes = cache->large[best].bytes;
	stock_remove(cache, best);
	return ptr;
}

/* Gives an object back that nobody has. */
static void release(struct goa_cache *cache, void *ptr, size_t bytes)
{
	struct goa_arena *arena = goa_arena_of(ptr);
	int ret;

	/* Before somebody else can get these pages. */
	arena->class[goa_page_of(ptr)] = GOA_CLASS_NONE;
	if (arena->detached) {
		/* Its memory goes, its addresses stay unused. */
		madvise(ptr, bytes, MADV_DONTNEED);
		return;
	}
	ret = goa_free_one(cache, ptr, bytes);
	if (ret && ret != -ESTALE) {
		__atomic_fetch_add(&cache->heap->faults, 1, __ATOMIC_RELAXED);
		goa_fault(cache->heap, ptr, "free", ret);
	}
}

static void stock_put(struct goa_cache *cache, void *ptr, size_t bytes)
{
	struct goa_large oldest;

	while (cache->large_n == GOA_LARGE_SLOTS ||
	       (cache->large_n && cache->large_bytes + bytes > KEEP_BYTES)) {
		oldest = cache->large[0];
		stock_remove(cache, 0);
		release(cache, oldest.ptr, oldest.bytes);
	}
	cache->large[cache->large_n++] = (struct goa_large){ ptr, bytes };
	cache->large_bytes += bytes;
}

void goa_large_flush(struct goa_cache *cache)
{
	struct goa_large last;

	while (cache->large_n) {
		last = cache->large[cache->large_n - 1];
		stock_remove(cache, cache->large_n - 1);
		release(cache, last.ptr, last.bytes);
	}
}

/*
 * In a child of fork(): what a thread had in stock that the child does not have.
 * It may have been about to take or put one.
 */
void goa_large_inherit(struct goa_cache *cache)
{
	uint32_t i;

	for (i = 0; i < goa_min(cache->large_n, GOA_LARGE_SLOTS); i++) {
		void *ptr = cache->large[i].ptr;
		struct goa_arena *arena = goa_arena_of(ptr);

		if (arena && arena->detached && !goa_is_live(arena, ptr) &&
		    arena->class[goa_page_of(ptr)] == GOA_CLASS_LARGE)
			release(cache, ptr, cache->large[i].bytes);
	}
}

static int fetch(struct goa_cache *cache, size_t size, size_t align, bool zero, void **ptr,
		 size_t *bytes)
{
	int ret = goa_alloc(cache, size, align, zero, ptr, bytes);

	if (ret)
		return ret;
	ret = goa_arena_note(cache->heap, *ptr, GOA_CLASS_LARGE, *bytes);
	if (ret)
		goa_free_one(cache, *ptr, *bytes);
	return ret;
}

/**
 * goa_large_malloc() - an object of whole heap pages
 * @cache: the thread's stock
 * @size: in bytes
 * @align: a power of two; heap pages are aligned to themselves anyway
 * @zero: whether it has to be zeroed. The kernel does not touch pages for that
 *	which had no memory yet
 *
 * Return: the object, or NULL with errno set.
 */
void *goa_large_malloc(struct goa_cache *cache, size_t size, size_t align, bool zero)
{
	struct goalloc_heap *heap = cache->heap;
	void *ptr = NULL;
	size_t bytes = 0;
	int ret;

	if (align > GOA_ALIGN_MAX) {
		goa_fail(ENOMEM, "no object can be aligned to %zu bytes, 2 MiB is the most", align);
		return NULL;
	}
	/* What is no more than a slot would come from one. */
	size = goa_max(size, heap->max_small + 1);
	if (align <= GOA_PAGE && size <= KEEP_OBJECT)
		ptr = stock_take(cache, size, &bytes);
	if (ptr) {
		if (zero)
			memset(ptr, 0, bytes);
	} else {
		ret = fetch(cache, size, align > GOA_PAGE ? align : 0, zero, &ptr, &bytes);
		if (ret == -ENOMEM) {
			goa_make_room(cache);
			ret = fetch(cache, size, align > GOA_PAGE ? align : 0, zero, &ptr, &bytes);
		}
		if (ret)
			return goa_no_memory(size, ret);
	}
	cache->mallocs++;
	goa_set_live(goa_arena_of(ptr), ptr);
	return ptr;
}

/**
 * goa_large_copy() - what one large object holds, to another that is zeroed
 * @heap: of both
 * @to: the copy
 * @from: the object
 * @bytes: how many
 *
 * Pages that have no memory hold zeroes; to read them would give them some.
 */
void goa_large_copy(struct goalloc_heap *heap, void *to, const void *from, size_t bytes)
{
	off_t begin = (uintptr_t)from - heap->delta, end = begin + bytes;
	off_t data, hole = begin;

	if (goa_arena_of(from)->detached || heap->fd < 0) {
		memcpy(to, from, bytes);
		return;
	}
	while (hole < end) {
		data = lseek(heap->fd, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return;
		if (data >= end)
			return;
		hole = data < 0 ? -1 : lseek(heap->fd, data, SEEK_HOLE);
		if (hole < 0) {
			memcpy(to, from, bytes);
			return;
		}
		memcpy((char *)to + (data - begin), (const char *)from + (data - begin),
		       goa_min(hole, end) - data);
	}
}

/* Frees an object of whole heap pages, which is not live any more. */
void goa_large_free(struct goa_cache *cache, void *ptr)
{
	struct goa_arena *arena = goa_arena_of(ptr);
	size_t bytes = goa_object_size(cache->heap, arena, ptr);

	cache->frees++;
	if (bytes <= KEEP_OBJECT)
		stock_put(cache, ptr, bytes);
	else
		release(cache, ptr, bytes);
}
