// SPDX-License-Identifier: MIT
/* Figures: the library's own, summed over the caches, and the kernel's. */
#define _GNU_SOURCE
#include <string.h>

#include "fast.h"

static int memstats_read(struct goalloc_heap *heap, struct goalloc_memstats *memstats)
{
	int ret;

	*memstats = (struct goalloc_memstats){ .size = sizeof(*memstats) };
	ret = goa_ioctl(heap, GOALLOC_IOC_MEMSTATS, memstats);
	if (ret)
		return goa_fail(-ret, "cannot read the heap's figures: %s", goalloc_strerror(ret));
	return 0;
}

static void cache_add(const struct goa_cache *cache, struct goalloc_stats *stats)
{
	unsigned int i;

	stats->mallocs += cache->mallocs;
	stats->frees += cache->frees;
	stats->system_calls += cache->system_calls;
	stats->refills += cache->refills;
	stats->drains += cache->drains;
	stats->threads += !!cache->owner;
	stats->cached_objects += cache->large_n;
	stats->cached_bytes += cache->large_bytes;
	for (i = 1; i < cache->heap->classes; i++) {
		stats->cached_objects += cache->bin[i].n;
		stats->cached_bytes += (uint64_t)cache->bin[i].n * cache->heap->class_size[i];
	}
}

static void caches_add(struct goalloc_heap *heap, struct goalloc_stats *stats)
{
	const struct goa_cache *cache;

	pthread_mutex_lock(&heap->lock);
	stats->mallocs = heap->gone_mallocs;
	stats->frees = heap->gone_frees;
	stats->system_calls = heap->gone_system_calls;
	stats->refills = heap->gone_refills;
	stats->drains = heap->gone_drains;
	for (cache = heap->caches; cache; cache = cache->next)
		cache_add(cache, stats);
	pthread_mutex_unlock(&heap->lock);
}

int goalloc_get_stats(struct goalloc_heap *heap, struct goalloc_stats *given)
{
	struct goalloc_stats stats = {};
	struct goalloc_memstats memstats;
	int ret;

	if (given->size < offsetof(struct goalloc_stats, frees))
		return goa_fail(EINVAL, "the size of the statistics is not set");
	/* A child of fork() need not open a heap to be told that it is empty. */
	memstats = (struct goalloc_memstats){};
	if (heap->fd >= 0) {
		ret = memstats_read(heap, &memstats);
		if (ret)
			return ret;
	}
	caches_add(heap, &stats);
	stats.size = given->size;
	stats.faults = __atomic_load_n(&heap->faults, __ATOMIC_RELAXED);
	stats.heap_alloc = memstats.heap_alloc;
	stats.heap_objects = memstats.heap_objects;
	stats.heap_inuse = memstats.heap_inuse;
	stats.heap_idle = memstats.heap_idle;
	stats.heap_released = memstats.heap_released;
	stats.heap_sys = memstats.heap_sys;
	stats.sys = memstats.sys;
	stats.peak_bytes = __atomic_load_n(&heap->peak, __ATOMIC_RELAXED);
	memcpy(given, &stats, goa_min(given->size, sizeof(stats)));
	return 0;
}

static uint64_t cached_of(struct goalloc_heap *heap, unsigned int class)
{
	const struct goa_cache *cache;
	uint64_t n = 0;

	pthread_mutex_lock(&heap->lock);
	for (cache = heap->caches; cache; cache = cache->next)
		n += cache->bin[class].n;
	pthread_mutex_unlock(&heap->lock);
	return n;
}

int goalloc_next_class(struct goalloc_heap *heap, unsigned int *index,
		       struct goalloc_size_class *given)
{
	struct goalloc_size_class class = {};
	struct goalloc_memstats memstats;
	int ret;

	if (given->size < sizeof(class.size))
		return goa_fail(EINVAL, "the size of the size class is not set");
	/* Class 0 is that of large objects. */
	if (*index >= heap->classes - 1)
		return 0;
	ret = memstats_read(heap, &memstats);
	if (ret)
		return ret;
	++*index;
	class.size = given->size;
	class.object_size = memstats.by_size[*index].object_size;
	class.mallocs = memstats.by_size[*index].mallocs;
	class.frees = memstats.by_size[*index].frees;
	class.cached = cached_of(heap, *index);
	class.used = heap->class_cap[*index] != 0;
	memcpy(given, &class, goa_min(given->size, sizeof(class)));
	return 1;
}
