// SPDX-License-Identifier: MIT
/*
 * Arenas: what is known of 64 MiB of address space each. They are made when the
 * first object in them arrives, and stay until the heap is closed.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "fast.h"

struct goa_arena *goa_arenas[GOA_ARENAS];

/* A shared heap's arenas lie where every process that has the heap finds them. */
static size_t arena_stride(void)
{
	return (sizeof(struct goa_arena) + 4095) & ~(size_t)4095;
}

static size_t tables_bytes(const struct goalloc_heap *heap)
{
	return (heap->bytes >> GOA_ARENA_SHIFT) * arena_stride();
}

/* Return: 0 or -ENOMEM. */
int goa_tables_make(struct goalloc_heap *heap)
{
	void *tables;

	if (!heap->shared)
		return 0;
	tables = mmap(NULL, tables_bytes(heap), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tables == MAP_FAILED)
		return goa_fail(ENOMEM, "no memory for a shared heap's tables");
	heap->tables = tables;
	return 0;
}

static struct goa_arena *arena_new(struct goalloc_heap *heap, const void *ptr)
{
	size_t offset = (uintptr_t)ptr - heap->start;
	struct goa_arena *arena;

	if (!heap->shared) {
		arena = goa_map(sizeof(*arena));
	} else {
		if (offset >= heap->bytes || !heap->tables)
			return NULL;
		arena = (void *)(heap->tables + (offset >> GOA_ARENA_SHIFT) * arena_stride());
	}
	if (arena) {
		arena->heap = heap;
		arena->shared = heap->shared;
	}
	return arena;
}

static void top_raise(struct goalloc_heap *heap, const void *ptr)
{
	size_t top = (((uintptr_t)ptr - heap->start) | (GOA_ARENA - 1)) + 1;

	if (top > heap->top && top <= heap->bytes)
		heap->top = top;
}

/* Return: the arena @ptr lies in, made if need be; NULL without memory. */
static struct goa_arena *arena_get(struct goalloc_heap *heap, const void *ptr)
{
	struct goa_arena *arena = goa_arena_of(ptr);

	if (goa_likely(arena))
		return arena;
	pthread_mutex_lock(&heap->lock);
	arena = goa_arena_of(ptr);
	if (!arena) {
		arena = arena_new(heap, ptr);
		if (arena) {
			/* The file may have been lost since it gave us @ptr. */
			if ((uintptr_t)ptr - heap->start >= heap->bytes)
				arena->detached = true;
			else
				top_raise(heap, ptr);
			__atomic_store_n(&goa_arenas[(uintptr_t)ptr >> GOA_ARENA_SHIFT], arena,
					 __ATOMIC_RELEASE);
		}
	}
	pthread_mutex_unlock(&heap->lock);
	return arena;
}

/**
 * goa_arena_note() - write down what begins at an address
 * @heap: whose it is
 * @ptr: the object, new from the kernel
 * @class: its class or GOA_CLASS_LARGE
 * @bytes: of a large object, whole heap pages
 *
 * Return: 0 or -ENOMEM.
 */
int goa_arena_note(struct goalloc_heap *heap, void *ptr, unsigned int class, size_t bytes)
{
	struct goa_arena *arena = arena_get(heap, ptr);
	size_t page = goa_page_of(ptr);

	if (!arena)
		return -ENOMEM;
	if (class == GOA_CLASS_LARGE)
		arena->pages[page] = bytes >> GOA_PAGE_SHIFT;
	if (arena->class[page] != class)
		arena->class[page] = class;
	return 0;
}

/**
 * goa_arena_find() - the arena of an address, one that another process of a
 *	shared heap has made included
 * @heap: the heap
 * @ptr: any address
 *
 * Return: the arena, if it is @heap's; otherwise NULL.
 */
struct goa_arena *goa_arena_find(struct goalloc_heap *heap, const void *ptr)
{
	struct goa_arena *arena = goa_arena_of(ptr);

	if (!arena && heap->shared && heap->tables &&
	    (uintptr_t)ptr - heap->start < heap->bytes)
		arena = arena_get(heap, ptr);
	return arena && arena->heap == heap ? arena : NULL;
}

/* The kernel does not know the objects between @start and @start + @bytes any more. */
void goa_arenas_detach(uintptr_t start, size_t bytes)
{
	size_t i, end = (start + bytes) >> GOA_ARENA_SHIFT;

	for (i = start >> GOA_ARENA_SHIFT; i < end; i++)
		if (goa_arenas[i])
			goa_arenas[i]->detached = true;
}

static void arenas_drop(struct goalloc_heap *heap, uintptr_t start, size_t bytes)
{
	size_t i, end = (start + bytes) >> GOA_ARENA_SHIFT;

	for (i = start >> GOA_ARENA_SHIFT; i < end; i++) {
		struct goa_arena *arena = goa_arenas[i];

		if (!arena)
			continue;
		__atomic_store_n(&goa_arenas[i], NULL, __ATOMIC_RELEASE);
		if (!heap->shared)
			goa_unmap(arena, sizeof(*arena));
	}
}

/* All arenas of a heap that is being closed. */
void goa_arenas_drop(struct goalloc_heap *heap)
{
	struct goa_range *range;

	if (heap->start)
		arenas_drop(heap, heap->start, heap->bytes);
	for (range = heap->ranges; range; range = range->next)
		arenas_drop(heap, range->start, range->bytes);
	goa_unmap(heap->tables, tables_bytes(heap));
}

/* The highest object that begins in @arena at or below @offset, or -1. */
static long live_below(const struct goa_arena *arena, size_t offset)
{
	size_t slot = offset >> GOA_ALIGN_SHIFT;
	long word = slot / 64;
	uint64_t bits = arena->live[word] & (~(uint64_t)0 >> (63 - slot % 64));

	while (!bits && --word >= 0)
		bits = arena->live[word];
	if (word < 0)
		return -1;
	return (word * 64 + 63 - __builtin_clzll(bits)) << GOA_ALIGN_SHIFT;
}

/**
 * goa_object_at() - the object an address lies in
 * @heap: the heap
 * @ptr: any address
 * @size: the object's usable bytes
 *
 * For messages: it may look at a good part of the heap's bits.
 *
 * Return: the object's first byte, or NULL.
 */
void *goa_object_at(struct goalloc_heap *heap, const void *ptr, size_t *size)
{
	uintptr_t at = (uintptr_t)ptr, low = at - at % GOA_ARENA;
	size_t i = at >> GOA_ARENA_SHIFT, reach = heap->bytes >> GOA_ARENA_SHIFT;

	if (i >= GOA_ARENAS)
		return NULL;
	/* An object lies in its first arena and in those that follow it. */
	for (; reach && i; reach--, i--, low -= GOA_ARENA) {
		struct goa_arena *arena = goa_arenas[i];
		long offset = -1;

		if (arena && arena->heap == heap)
			offset = live_below(arena, at < low + GOA_ARENA ? at - low : GOA_ARENA - 1);
		if (offset < 0)
			continue;
		*size = goa_object_size(heap, arena, (void *)(low + offset));
		return at - (low + offset) < *size ? (void *)(low + offset) : NULL;
	}
	return NULL;
}
