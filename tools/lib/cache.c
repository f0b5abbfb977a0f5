// SPDX-License-Identifier: MIT
/*
 * A thread's stock of free objects of one heap.
 *
 * A class's stock begins small and doubles its limit each time it proves too
 * small, in either direction, up to CACHE_BYTES or the kernel's batch_max. A
 * refill fetches half of the limit, an overflow gives the older half back: after
 * either there is room for both. No stock is ever linked through its objects.
 */
#define _GNU_SOURCE
#include "fast.h"

/* The most a thread keeps of a class, unless that were less than two objects. */
#define CACHE_BYTES	(64u << 10)

#define LIMIT_FIRST	8u

/**
 * goa_class_cap() - the most objects of a class that a thread keeps
 * @heap: the heap
 * @size: of the class's objects
 *
 * Return: entries of a bin.
 */
uint32_t goa_class_cap(const struct goalloc_heap *heap, size_t size)
{
	uint32_t n = CACHE_BYTES / size;

	return goa_max(2, goa_min(n, heap->batch_max));
}

static size_t cache_bytes(const struct goalloc_heap *heap)
{
	size_t slots = 0;
	unsigned int i;

	for (i = 0; i < heap->classes; i++)
		slots += heap->class_cap[i];
	return sizeof(struct goa_cache) + slots * sizeof(uint64_t);
}

/* @heap->lock is held. */
static struct goa_cache *cache_new(struct goalloc_heap *heap)
{
	struct goa_cache *cache = heap->spare;
	uint64_t *slot;
	unsigned int i;

	if (cache) {
		heap->spare = cache->next;
	} else {
		cache = goa_map(cache_bytes(heap));
		if (!cache)
			return NULL;
	}
	cache->heap = heap;
	cache->epoch = heap->epoch;
	slot = cache->slots;
	for (i = 0; i < heap->classes; i++) {
		cache->bin[i].slot = slot;
		cache->bin[i].limit = goa_min(heap->class_cap[i], LIMIT_FIRST);
		slot += heap->class_cap[i];
	}
	cache->next = heap->caches;
	heap->caches = cache;
	return cache;
}

/* A cache, empty, among the heap's. Return: NULL without memory. */
struct goa_cache *goa_cache_make(struct goalloc_heap *heap)
{
	struct goa_cache *cache;

	pthread_mutex_lock(&heap->lock);
	cache = cache_new(heap);
	pthread_mutex_unlock(&heap->lock);
	return cache;
}

/* A cache without an owner: its figures remain, it is kept for the next thread. */
void goa_cache_retire(struct goa_cache *cache)
{
	struct goalloc_heap *heap = cache->heap;
	struct goa_cache **link;

	pthread_mutex_lock(&heap->lock);
	for (link = &heap->caches; *link != cache; link = &(*link)->next)
		;
	*link = cache->next;
	heap->gone_mallocs += cache->mallocs;
	heap->gone_frees += cache->frees;
	heap->gone_system_calls += cache->system_calls;
	heap->gone_refills += cache->refills;
	heap->gone_drains += cache->drains;
	cache->mallocs = 0;
	cache->frees = 0;
	cache->system_calls = 0;
	cache->refills = 0;
	cache->drains = 0;
	cache->owner = NULL;
	cache->next = heap->spare;
	heap->spare = cache;
	pthread_mutex_unlock(&heap->lock);
}

static void caches_unmap(struct goalloc_heap *heap, struct goa_cache *cache)
{
	struct goa_cache *next;

	for (; cache; cache = next) {
		next = cache->next;
		goa_unmap(cache, cache_bytes(heap));
	}
}

/* All caches of a heap that is being closed. */
void goa_caches_drop(struct goalloc_heap *heap)
{
	caches_unmap(heap, heap->caches);
	caches_unmap(heap, heap->spare);
}

/* Gives the @n oldest of a class back. */
static void drain(struct goa_cache *cache, unsigned int class, uint32_t n)
{
	struct goa_bin *bin = &cache->bin[class];
	uint32_t i;

	goa_free_batch(cache, bin->slot, n);
	for (i = n; i < bin->n; i++)
		bin->slot[i - n] = bin->slot[i];
	bin->n -= n;
}

/* Gives all of a stock back, in as few batches as can be. It begins small again. */
void goa_cache_flush(struct goa_cache *cache)
{
	struct goalloc_heap *heap = cache->heap;
	uint32_t i, n = 0;

	goa_large_flush(cache);
	for (i = 1; i < heap->classes; i++) {
		struct goa_bin *bin = &cache->bin[i];

		while (bin->n) {
			if (n == heap->batch_max) {
				goa_free_batch(cache, cache->scratch, n);
				n = 0;
			}
			cache->scratch[n++] = bin->slot[--bin->n];
		}
		bin->limit = goa_min(heap->class_cap[i], LIMIT_FIRST);
	}
	goa_free_batch(cache, cache->scratch, n);
}

/* Leaves a stock to another process, whose it is. */
void goa_cache_forget(struct goa_cache *cache)
{
	unsigned int i;

	cache->large_n = 0;
	cache->large_bytes = 0;
	for (i = 0; i < cache->heap->classes; i++)
		cache->bin[i].n = 0;
}

static void limit_raise(struct goa_cache *cache, unsigned int class)
{
	struct goa_bin *bin = &cache->bin[class];
	uint32_t cap = cache->heap->class_cap[class];

	bin->limit = goa_min(2 * bin->limit, cap);
}

/* Somebody has asked for everything that is in stock. */
static void epoch_look(struct goa_cache *cache)
{
	uint32_t epoch = __atomic_load_n(&cache->heap->epoch, __ATOMIC_RELAXED);

	if (goa_likely(cache->epoch == epoch))
		return;
	cache->epoch = epoch;
	goa_cache_flush(cache);
}

/**
 * goa_make_room() - there is no memory, or not within the heap's max
 * @cache: all it has is given back, as other stocks are as soon as their owners
 *	look at them
 */
void goa_make_room(struct goa_cache *cache)
{
	struct goalloc_heap *heap = cache->heap;

	cache->epoch = __atomic_add_fetch(&heap->epoch, 1, __ATOMIC_RELAXED);
	goa_cache_flush(cache);
	if (cache != heap->common && !pthread_mutex_trylock(&heap->common_lock)) {
		goa_cache_flush(heap->common);
		pthread_mutex_unlock(&heap->common_lock);
	}
}

/* Fetches up to @n objects of a class from the kernel, the lowest on top. */
static int fetch(struct goa_cache *cache, unsigned int class, uint32_t n)
{
	struct goalloc_heap *heap = cache->heap;
	size_t size = heap->class_size[class];
	struct goa_bin *bin = &cache->bin[class];
	uint64_t *slot = bin->slot;
	int i, got = goa_alloc_batch(cache, size, slot, n);

	for (i = 0; i < got; i++) {
		if (!goa_arena_note(heap, (void *)slot[i], class, 0))
			continue;
		/* What cannot be written down cannot be used. */
		for (n = i; n < (uint32_t)got; n++)
			goa_free_one(cache, (void *)slot[n], size);
		got = i ? i : -ENOMEM;
	}
	for (i = 0; i < got / 2; i++) {
		uint64_t swap = slot[i];

		slot[i] = slot[got - 1 - i];
		slot[got - 1 - i] = swap;
	}
	return got;
}

/**
 * goa_refill() - objects for a stock that is empty
 * @cache: the stock
 * @class: of it
 *
 * Return: 0, and there is at least one; or a negative errno.
 */
int goa_refill(struct goa_cache *cache, unsigned int class)
{
	struct goalloc_heap *heap = cache->heap;
	struct goa_bin *bin = &cache->bin[class];
	int got = 0;

	epoch_look(cache);
	if (heap->recycles)
		got = goa_recycle_take(heap, class, bin->slot, bin->limit / 2);
	if (!got)
		got = fetch(cache, class, bin->limit / 2);
	if (got == -ENOMEM) {
		goa_make_room(cache);
		got = fetch(cache, class, 1);
	}
	if (got < 0)
		return got;
	bin->n = got;
	limit_raise(cache, class);
	return 0;
}

/* Makes room in a stock that is full. */
void goa_overflow(struct goa_cache *cache, unsigned int class)
{
	struct goa_bin *bin = &cache->bin[class];

	epoch_look(cache);
	if (bin->limit < cache->heap->class_cap[class])
		limit_raise(cache, class);
	else if (bin->n >= bin->limit)
		drain(cache, class, (bin->n + 1) / 2);
}
