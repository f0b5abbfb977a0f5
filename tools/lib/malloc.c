// SPDX-License-Identifier: MIT
/*
 * malloc() and its relatives: the longer ways, and the functions of the library.
 */
#define _GNU_SOURCE
#include <string.h>

#include "fast.h"

/* A small object of @class, with a refill if need be. */
static void *small_malloc(struct goa_cache *cache, unsigned int class)
{
	int ret;

	if (!cache->bin[class].n) {
		ret = goa_refill(cache, class);
		if (ret)
			return goa_no_memory(cache->heap->class_size[class], ret);
	}
	return goa_pop(cache, &cache->bin[class]);
}

/**
 * goa_malloc_slow() - goa_malloc() without a stock, or of a large object
 * @heap: the heap
 * @size: in bytes
 *
 * Return: the object, or NULL with errno set.
 */
void *goa_malloc_slow(struct goalloc_heap *heap, size_t size)
{
	struct goa_cache *cache = goa_cache_begin(heap);
	void *ptr;

	if (size > heap->max_small)
		ptr = goa_large_malloc(cache, size, 0, false);
	else
		ptr = small_malloc(cache, goa_class_of(heap, size));
	goa_cache_end(heap, cache);
	return ptr;
}

/**
 * goa_free_slow() - goa_free() of whatever it did not know how to
 * @heap: the heap
 * @ptr: anything
 *
 * Return: 0 or the kind of mistake.
 */
int goa_free_slow(struct goalloc_heap *heap, void *ptr)
{
	struct goa_arena *arena;
	struct goa_cache *cache;
	struct goalloc_fault fault;
	int saved = errno;
	int ret = 0;

	if (!ptr)
		return 0;
	arena = goa_arena_find(heap, ptr);
	if (arena && !((uintptr_t)ptr % GOA_ALIGN) && goa_clear_live(arena, ptr)) {
		unsigned int class = arena->class[goa_page_of(ptr)];

		cache = goa_cache_begin(heap);
		if (class == GOA_CLASS_LARGE) {
			goa_large_free(cache, ptr);
		} else {
			if (cache->bin[class].n >= cache->bin[class].limit)
				goa_overflow(cache, class);
			goa_push(cache, &cache->bin[class], ptr);
		}
		goa_cache_end(heap, cache);
	} else if (heap->adopted && (uintptr_t)ptr - heap->start < heap->bytes &&
		   (!arena || !arena->class[goa_page_of(ptr)])) {
		/* In a page nobody here has anything of: it is for the kernel to say. */
		struct goalloc_free free = {
			.size = sizeof(free),
			.addr = (uintptr_t)ptr - heap->delta,
		};

		ret = goa_ioctl(heap, GOALLOC_IOC_FREE, &free);
	} else {
		ret = goa_find_fault(heap, ptr, &fault);
	}
	if (ret)
		__atomic_fetch_add(&heap->faults, 1, __ATOMIC_RELAXED);
	errno = saved;
	return ret;
}

/**
 * goa_calloc() - a zeroed array
 * @heap: the heap
 * @count: of elements
 * @size: of each
 *
 * Small objects are cleared here: fetched zeroed, all of a batch would have to
 * be, whoever asks for them. Large ones are the kernel's to zero, for it knows
 * which pages never had memory.
 *
 * Return: the array, or NULL with errno set.
 */
void *goa_calloc(struct goalloc_heap *heap, size_t count, size_t size)
{
	struct goa_cache *cache;
	size_t bytes;
	void *ptr;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		goa_fail(ENOMEM, "%zu times %zu bytes are more than there can be", count, size);
		return NULL;
	}
	if (bytes <= heap->max_small) {
		ptr = goa_malloc(heap, bytes);
		return ptr ? memset(ptr, 0, bytes) : NULL;
	}
	cache = goa_cache_begin(heap);
	ptr = goa_large_malloc(cache, bytes, 0, true);
	goa_cache_end(heap, cache);
	return ptr;
}

/* As large as that an object may well have pages that nobody has touched. */
#define SPARSE	((size_t)1 << 20)

/*
 * A new size for a large object that grows: with room to grow again. What is not
 * touched of it has no memory, but counts for the heap's max.
 */
static size_t size_to_grow(struct goalloc_heap *heap, size_t old, size_t size)
{
	if (old <= heap->max_small || size <= old || size > heap->bytes / 2)
		return size;
	return goa_max(size, old + old / (old < SPARSE ? 8 : 2));
}

/**
 * goa_realloc() - change the size of an object
 * @heap: the heap
 * @ptr: an object of it that the caller has
 * @size: not 0
 *
 * Return: the object, or NULL with errno set; EFAULT is told by nobody else than
 * this for a @ptr that is no object.
 */
void *goa_realloc(struct goalloc_heap *heap, void *ptr, size_t size)
{
	struct goa_arena *arena = goa_owner(heap, ptr);
	size_t old, wanted;
	bool sparse;
	void *new;

	if (!arena) {
		__atomic_fetch_add(&heap->faults, 1, __ATOMIC_RELAXED);
		goa_fail(EFAULT, "%p is no object of the heap", ptr);
		return NULL;
	}
	old = goa_object_size(heap, arena, ptr);
	if (size <= old && size >= old / 2)
		return ptr;
	sparse = old >= SPARSE && size >= SPARSE;
	wanted = size_to_grow(heap, old, size);
	new = sparse ? goa_calloc(heap, 1, wanted) : goa_malloc(heap, wanted);
	if (!new && wanted != size)
		new = sparse ? goa_calloc(heap, 1, size) : goa_malloc(heap, size);
	if (!new)
		return size <= old ? ptr : NULL;
	if (sparse)
		goa_large_copy(heap, new, ptr, goa_min(old, size));
	else
		memcpy(new, ptr, goa_min(old, size));
	goa_free(heap, ptr);
	return new;
}

/* The smallest class for @size whose slots are all multiples of @align, or 0. */
static unsigned int class_aligned(const struct goalloc_heap *heap, size_t align, size_t size)
{
	unsigned int class;

	if (size > heap->max_small || align > GOA_PAGE)
		return 0;
	for (class = goa_class_of(heap, size); class < heap->classes; class++)
		if (heap->class_cap[class] && !(heap->class_size[class] % align))
			return class;
	return 0;
}

/**
 * goa_aligned() - an object at a multiple of something
 * @heap: the heap
 * @align: a power of two
 * @size: in bytes
 *
 * Return: the object, or NULL with errno set.
 */
void *goa_aligned(struct goalloc_heap *heap, size_t align, size_t size)
{
	struct goa_cache *cache;
	unsigned int class;
	void *ptr;

	if (align <= GOA_ALIGN)
		return goa_malloc(heap, size);
	class = class_aligned(heap, align, size);
	cache = goa_cache_begin(heap);
	if (class)
		ptr = small_malloc(cache, class);
	else
		ptr = goa_large_malloc(cache, size, align, false);
	goa_cache_end(heap, cache);
	return ptr;
}

void *goalloc_malloc(struct goalloc_heap *heap, size_t size)
{
	return goa_malloc(heap, size);
}

void *goalloc_calloc(struct goalloc_heap *heap, size_t count, size_t size)
{
	return goa_calloc(heap, count, size);
}

void *goalloc_realloc(struct goalloc_heap *heap, void *ptr, size_t size)
{
	void *new;

	if (!ptr)
		return goa_malloc(heap, size);
	if (!size) {
		goalloc_free(heap, ptr);
		return NULL;
	}
	new = goa_realloc(heap, ptr, size);
	if (!new && errno == EFAULT) {
		goa_fault(heap, ptr, "goalloc_realloc", 0);
		errno = EFAULT;
	}
	return new;
}

void *goalloc_reallocarray(struct goalloc_heap *heap, void *ptr, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		goa_fail(ENOMEM, "%zu times %zu bytes are more than there can be", count, size);
		return NULL;
	}
	return goalloc_realloc(heap, ptr, bytes);
}

void *goalloc_aligned_alloc(struct goalloc_heap *heap, size_t align, size_t size)
{
	if (!align || align & (align - 1)) {
		goa_fail(EINVAL, "an alignment of %zu bytes: it has to be a power of two", align);
		return NULL;
	}
	return goa_aligned(heap, align, size);
}

int goalloc_try_free(struct goalloc_heap *heap, void *ptr)
{
	return goa_free(heap, ptr);
}

static void __attribute__((noinline)) free_or_fault(struct goalloc_heap *heap, void *ptr)
{
	int saved = errno;
	int error = goa_free_slow(heap, ptr);

	if (error)
		goa_fault(heap, ptr, "goalloc_free", error);
	errno = saved;
}

void goalloc_free(struct goalloc_heap *heap, void *ptr)
{
	if (goa_unlikely(!goa_free_fast(heap, ptr)))
		free_or_fault(heap, ptr);
}

size_t goalloc_usable_size(struct goalloc_heap *heap, const void *ptr)
{
	struct goa_arena *arena = goa_owner(heap, ptr);

	return arena ? goa_object_size(heap, arena, ptr) : 0;
}

size_t goalloc_good_size(struct goalloc_heap *heap, size_t size)
{
	if (size <= heap->max_small)
		return heap->class_size[goa_class_of(heap, size)];
	if (size > heap->bytes)
		return 0;
	return (size + GOA_PAGE - 1) & ~(GOA_PAGE - 1);
}

int goalloc_flush(struct goalloc_heap *heap)
{
	struct goa_cache *cache = goa_cache_begin(heap);

	goa_cache_flush(cache);
	goa_cache_end(heap, cache);
	return 0;
}
