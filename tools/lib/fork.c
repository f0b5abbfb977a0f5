// SPDX-License-Identifier: MIT
/*
 * fork(): mappings of the device are shared memory, and a child has to have
 * memory of its own.
 *
 * Before fork() everything is locked, and what the heap holds is copied into
 * private memory, the mirror: only pages that have memory, told by SEEK_DATA and
 * SEEK_HOLE, and read through the file, for pages can leave the mapping while
 * another thread frees. The parent drops the mirror. The child moves it to where
 * the heap was, so that pointers remain what they are, and closes the file: the
 * objects are its own now and the kernel does not know them (struct goa_range).
 * New ones come from a heap of its own, opened when it first needs one.
 *
 * A heap that children share is left alone, but stocks remain the parent's.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fast.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23	/* Linux 5.14 */
#endif

#define MIRROR_ALIGN	((size_t)2 << 20)	/* whole page tables move, and huge pages */

static void *mirror_map(size_t bytes)
{
	size_t room = bytes + MIRROR_ALIGN;
	char *map = goa_map(room), *mirror;

	if (!map)
		return NULL;
	mirror = (char *)(((uintptr_t)map + MIRROR_ALIGN - 1) & ~(MIRROR_ALIGN - 1));
	if (mirror > map)
		munmap(map, mirror - map);
	munmap(mirror + bytes, map + room - (mirror + bytes));
	return mirror;
}

/* Memory for a part of the mirror at once, where a fault a page would be slow. */
static void mirror_populate(char *from, size_t bytes)
{
	uintptr_t begin = (uintptr_t)from, end = begin + bytes;
	uintptr_t first = (begin + MIRROR_ALIGN - 1) & ~(MIRROR_ALIGN - 1);
	uintptr_t last = end & ~(MIRROR_ALIGN - 1);

	/* If the kernel cannot, it is only slower. */
	if (first < last)
		madvise((void *)first, last - first, MADV_HUGEPAGE);
	madvise(from, bytes, MADV_POPULATE_WRITE);
}

/* Copies the data between two offsets of the file. Return: 0 or a negative errno. */
static int copy_extent(int fd, off_t from, off_t to, char *mirror, off_t base)
{
	while (from < to) {
		ssize_t n = pread(fd, mirror + (from - base), to - from, from);

		if (n > 0)
			from += n;
		else if (n < 0 && errno == EFAULT)
			/* A page that is in no object. */
			from = (from + GOA_PAGE) & ~(GOA_PAGE - 1);
		else if (n == 0 || errno != EINTR)
			return n ? -errno : 0;
	}
	return 0;
}

/* Copies what the heap's file has, up to the last arena in use. */
static int copy_file(struct goalloc_heap *heap, char *mirror)
{
	off_t base = heap->start - heap->delta;
	off_t end = base + heap->top;
	off_t data, hole;
	int ret;

	for (hole = base; hole < end;) {
		data = lseek(heap->fd, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			return -errno;
		if (data >= end)
			return 0;
		hole = lseek(heap->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		hole = goa_min(hole, end);
		mirror_populate(mirror + (data - base), hole - data);
		ret = copy_extent(heap->fd, data, hole, mirror, base);
		if (ret)
			return ret;
	}
	return 0;
}

/* Copies a page, or leaves it out if it is none. */
static void copy_page(void *from, void *to, size_t bytes)
{
	struct iovec local = { to, bytes }, remote = { from, bytes };

	while (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 && errno == EINTR)
		;
}

/* The bytes of a range up to its last arena in use. */
static size_t range_top(const struct goa_range *range)
{
	size_t bytes = range->bytes;

	while (bytes && !goa_arena_of((void *)(range->start + bytes - GOA_ARENA)))
		bytes -= GOA_ARENA;
	return bytes;
}

/* Copies what objects lie in, where there is no file to ask any more. */
static void copy_range(const struct goa_range *range)
{
	size_t at, bytes;

	for (at = 0; at < range->mirror_bytes; at += GOA_PAGE) {
		char *page = (char *)range->start + at;
		struct goa_arena *arena = goa_arena_of(page);
		unsigned int class;

		if (!arena) {
			at += GOA_ARENA - GOA_PAGE;
			continue;
		}
		class = arena->class[goa_page_of(page)];
		if (class == GOA_CLASS_NONE)
			continue;
		/* The last object may end in another page. */
		bytes = goa_object_size(arena->heap, arena, page);
		if (class != GOA_CLASS_LARGE)
			bytes += GOA_PAGE;
		bytes = goa_min(bytes, range->mirror_bytes - at);
		copy_page(page, (char *)range->mirror + at, bytes);
	}
}

/* Return: false without memory. */
static bool range_mirror(struct goa_range *range)
{
	range->mirror_bytes = range_top(range);
	if (!range->shared || !range->mirror_bytes)
		return true;
	range->mirror = mirror_map(range->mirror_bytes);
	if (!range->mirror)
		return false;
	copy_range(range);
	return true;
}

static bool file_mirror(struct goalloc_heap *heap)
{
	heap->mirror_bytes = heap->top;
	if (heap->fd < 0 || !heap->top)
		return true;
	heap->mirror = mirror_map(heap->mirror_bytes);
	return heap->mirror && !copy_file(heap, heap->mirror);
}

/* Nothing can be said to the caller of fork() from here; the child will. */
static void heap_mirror(struct goalloc_heap *heap)
{
	struct goa_range *range;

	goa_heap_look(heap);
	heap->mirror_failed = !file_mirror(heap);
	if (heap->mirror_failed) {
		/* Unless somebody has closed it while we were at it. */
		goa_heap_look(heap);
		heap->mirror_failed = heap->fd >= 0;
	}
	for (range = heap->ranges; range; range = range->next)
		if (!range_mirror(range))
			heap->mirror_failed = true;
}

static void heap_unmirror(struct goalloc_heap *heap)
{
	struct goa_range *range;

	goa_unmap(heap->mirror, heap->mirror_bytes);
	heap->mirror = NULL;
	for (range = heap->ranges; range; range = range->next) {
		goa_unmap(range->mirror, range->mirror_bytes);
		range->mirror = NULL;
	}
}

static void mirror_place(void *mirror, uintptr_t start, size_t bytes)
{
	if (mremap(mirror, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) ==
	    MAP_FAILED)
		goa_die("fork: no memory for the child's copy of the heap");
}

/* The copy takes the heap's place. */
static void heap_unshare(struct goalloc_heap *heap)
{
	struct goa_range *range;

	if (heap->mirror_failed)
		goa_die("fork: no memory for the child's copy of the heap");
	for (range = heap->ranges; range; range = range->next) {
		if (!range->shared)
			continue;
		munmap((void *)range->start, range->bytes);
		if (range->mirror)
			mirror_place(range->mirror, range->start, range->mirror_bytes);
		range->bytes = range->mirror_bytes;
		range->mirror = NULL;
		range->shared = false;
	}
	if (heap->fd < 0) {
		heap_unmirror(heap);
		return;
	}
	close(heap->fd);
	if (heap->mirror)
		mirror_place(heap->mirror, heap->start, heap->mirror_bytes);
	heap->mirror = NULL;
	goa_heap_detach(heap, heap->top, false);
}

/*
 * What a thread had in stock that the child does not have. It may have been
 * about to take or put one: none counts that is live, and none twice.
 */
static void cache_inherit(struct goa_cache *cache)
{
	struct goalloc_heap *heap = cache->heap;
	unsigned int class;
	uint32_t i;

	goa_large_inherit(cache);
	for (class = 1; class < heap->classes; class++) {
		struct goa_bin *bin = &cache->bin[class];

		for (i = 0; i < goa_min(bin->n, heap->class_cap[class]); i++) {
			void *ptr = (void *)bin->slot[i];
			struct goa_arena *arena = goa_arena_of(ptr);

			if (!arena || goa_is_live(arena, ptr))
				continue;
			goa_set_live(arena, ptr);
			goa_stack_push(&heap->recycled[class], bin->slot[i]);
		}
	}
}

/* Undoes the marks above. */
static void recycled_unmark(struct goalloc_heap *heap)
{
	unsigned int class;
	size_t i;

	for (class = 1; class < heap->classes; class++)
		for (i = 0; i < heap->recycled[class].n; i++) {
			void *ptr = (void *)heap->recycled[class].slot[i];

			goa_clear_live(goa_arena_of(ptr), ptr);
		}
}

/* Caches of threads that are not here: their stocks, and themselves. */
static void caches_inherit(struct goalloc_heap *heap)
{
	struct goa_cache *own = goa_self->cache[heap->id], *cache, *next;

	for (cache = heap->caches; cache; cache = cache->next) {
		if (heap->shared)
			goa_cache_forget(cache);
		else if (cache != own && cache != heap->common)
			cache_inherit(cache);
	}
	if (!heap->shared)
		recycled_unmark(heap);
	for (cache = heap->caches; cache; cache = next) {
		next = cache->next;
		if (cache == own || cache == heap->common)
			continue;
		goa_cache_forget(cache);
		goa_cache_retire(cache);
	}
}

static void before_fork(void)
{
	unsigned int i;

	pthread_mutex_lock(&goa_lock);
	for (i = 0; i < GOA_HEAPS; i++) {
		if (!goa_heaps[i])
			continue;
		pthread_mutex_lock(&goa_heaps[i]->common_lock);
		pthread_mutex_lock(&goa_heaps[i]->lock);
		if (!goa_heaps[i]->shared)
			heap_mirror(goa_heaps[i]);
	}
	goa_threads_lock();
}

static void in_parent(void)
{
	unsigned int i;

	goa_threads_unlock();
	for (i = GOA_HEAPS; i--;) {
		if (!goa_heaps[i])
			continue;
		heap_unmirror(goa_heaps[i]);
		pthread_mutex_unlock(&goa_heaps[i]->lock);
		pthread_mutex_unlock(&goa_heaps[i]->common_lock);
	}
	pthread_mutex_unlock(&goa_lock);
}

static void in_child(void)
{
	unsigned int i;

	/* All memory of our own first: what follows may look at any. */
	for (i = 0; i < GOA_HEAPS; i++)
		if (goa_heaps[i] && !goa_heaps[i]->shared)
			heap_unshare(goa_heaps[i]);
	for (i = 0; i < GOA_HEAPS; i++) {
		struct goalloc_heap *heap = goa_heaps[i];

		if (!heap)
			continue;
		pthread_mutex_init(&heap->lock, NULL);
		pthread_mutex_init(&heap->common_lock, NULL);
		caches_inherit(heap);
	}
	goa_threads_after_fork();
	pthread_mutex_init(&goa_lock, NULL);
}

static void handlers_register(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

/* Once, however often it is called. */
void goa_fork_register(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, handlers_register);
}
