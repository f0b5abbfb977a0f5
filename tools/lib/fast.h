/* SPDX-License-Identifier: MIT */
/*
 * The short ways: a pointer from or to the thread's stock, and the bit that
 * says whose it is.
 */
#ifndef GOA_FAST_H
#define GOA_FAST_H

#include <sys/single_threaded.h>

#include "internal.h"

static inline struct goa_arena *goa_arena_of(const void *ptr)
{
	size_t i = (uintptr_t)ptr >> GOA_ARENA_SHIFT;

	if (goa_unlikely(i >= GOA_ARENAS))
		return NULL;
	return __atomic_load_n(&goa_arenas[i], __ATOMIC_ACQUIRE);
}

static inline size_t goa_page_of(const void *ptr)
{
	return ((uintptr_t)ptr >> GOA_PAGE_SHIFT) % GOA_ARENA_PAGES;
}

static inline uint64_t *goa_live_word(struct goa_arena *arena, const void *ptr)
{
	return &arena->live[(uintptr_t)ptr % GOA_ARENA >> GOA_ALIGN_SHIFT >> 6];
}

static inline uint64_t goa_live_bit(const void *ptr)
{
	return (uint64_t)1 << ((uintptr_t)ptr >> GOA_ALIGN_SHIFT) % 64;
}

/* Nobody else can be at the arena's bits. */
static inline bool goa_alone(const struct goa_arena *arena)
{
	return __libc_single_threaded && !arena->shared;
}

/* The caller gets an object. Its word has bits of objects that others have. */
static inline void goa_set_live(struct goa_arena *arena, const void *ptr)
{
	uint64_t *word = goa_live_word(arena, ptr);

	if (goa_alone(arena))
		*word |= goa_live_bit(ptr);
	else
		__atomic_fetch_or(word, goa_live_bit(ptr), __ATOMIC_RELAXED);
}

/* The caller gives it back. Of two who do so at once one is told false. */
static inline bool goa_clear_live(struct goa_arena *arena, const void *ptr)
{
	uint64_t *word = goa_live_word(arena, ptr);
	uint64_t bit = goa_live_bit(ptr);

	if (goa_alone(arena)) {
		if (!(*word & bit))
			return false;
		*word &= ~bit;
		return true;
	}
	return __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED) & bit;
}

static inline bool goa_is_live(struct goa_arena *arena, const void *ptr)
{
	return !((uintptr_t)ptr % GOA_ALIGN) &&
	       __atomic_load_n(goa_live_word(arena, ptr), __ATOMIC_RELAXED) & goa_live_bit(ptr);
}

/* @heap's arena if @ptr is an object of it that the caller has, or NULL. */
static inline struct goa_arena *goa_owner(struct goalloc_heap *heap, const void *ptr)
{
	struct goa_arena *arena = goa_arena_find(heap, ptr);

	return arena && goa_is_live(arena, ptr) ? arena : NULL;
}

/* Usable bytes of what begins at @ptr, live or in stock. */
static inline size_t goa_object_size(struct goalloc_heap *heap, struct goa_arena *arena,
				     const void *ptr)
{
	size_t page = goa_page_of(ptr);
	uint8_t class = arena->class[page];

	if (class == GOA_CLASS_LARGE)
		return (size_t)arena->pages[page] << GOA_PAGE_SHIFT;
	return heap->class_size[class];
}

/* The class of a size up to max_small, which is not smaller than it. */
static inline unsigned int goa_class_of(const struct goalloc_heap *heap, size_t size)
{
	return heap->class_of[(size + GOA_ALIGN - 1) >> GOA_ALIGN_SHIFT];
}

/*
 * Takes one from a stock that is not empty. The counters have one writer, and
 * readers that bear an old value; plain additions do.
 */
static inline void *goa_pop(struct goa_cache *cache, struct goa_bin *bin)
{
	void *ptr = (void *)bin->slot[bin->n - 1];

	bin->n--;
	cache->mallocs++;
	goa_set_live(goa_arenas[(uintptr_t)ptr >> GOA_ARENA_SHIFT], ptr);
	return ptr;
}

/*
 * Puts one into a stock that is not full. A child of fork() looks at the stocks
 * of threads it does not have: the slot has to be written before it counts.
 */
static inline void goa_push(struct goa_cache *cache, struct goa_bin *bin, void *ptr)
{
	bin->slot[bin->n] = (uintptr_t)ptr;
	__atomic_store_n(&bin->n, bin->n + 1, __ATOMIC_RELEASE);
	cache->frees++;
}

/* Return: an object, or NULL if that takes more than a look into the stock. */
static inline void *goa_malloc_fast(struct goalloc_heap *heap, size_t size)
{
	struct goa_cache *cache = goa_self->cache[heap->id];
	struct goa_bin *bin;

	if (goa_unlikely(!cache || size > heap->max_small))
		return NULL;
	bin = &cache->bin[goa_class_of(heap, size)];
	if (goa_unlikely(!bin->n))
		return NULL;
	return goa_pop(cache, bin);
}

/* Return: false if nothing has been done, for that takes more. */
static inline bool goa_free_fast(struct goalloc_heap *heap, void *ptr)
{
	struct goa_cache *cache = goa_self->cache[heap->id];
	struct goa_arena *arena = goa_arena_of(ptr);
	struct goa_bin *bin;
	unsigned int class;

	if (goa_unlikely(!cache || !arena || arena->heap != heap || (uintptr_t)ptr % GOA_ALIGN))
		return false;
	class = arena->class[goa_page_of(ptr)];
	if (goa_unlikely(class == GOA_CLASS_LARGE))
		return false;
	bin = &cache->bin[class];
	if (goa_unlikely(bin->n >= bin->limit || !goa_clear_live(arena, ptr)))
		return false;
	goa_push(cache, bin, ptr);
	return true;
}

static inline void *goa_malloc(struct goalloc_heap *heap, size_t size)
{
	void *ptr = goa_malloc_fast(heap, size);

	return goa_likely(ptr) ? ptr : goa_malloc_slow(heap, size);
}

static inline int goa_free(struct goalloc_heap *heap, void *ptr)
{
	return goa_likely(goa_free_fast(heap, ptr)) ? 0 : goa_free_slow(heap, ptr);
}

#endif /* GOA_FAST_H */
