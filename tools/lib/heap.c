// SPDX-License-Identifier: MIT
/*
 * Heaps: opening, mapping and closing them, their limits and names; and what
 * happens when the file behind one is not there any more.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fast.h"

pthread_mutex_t goa_lock = PTHREAD_MUTEX_INITIALIZER;
struct goalloc_heap *goa_heaps[GOA_HEAPS];	/* protected by goa_lock */

/* The size classes, and which of them malloc() uses: what is a multiple of 16. */
static int classes_read(struct goalloc_heap *heap)
{
	struct goalloc_memstats stats = { .size = sizeof(stats) };
	unsigned int i, slot = 0;
	int ret = goa_ioctl(heap, GOALLOC_IOC_MEMSTATS, &stats);

	if (ret)
		return goa_fail(-ret, "cannot read the size classes: %s", goalloc_strerror(ret));
	heap->classes = goa_min(stats.by_size_count, GOA_CLASSES);
	for (i = 1; i < heap->classes; i++) {
		size_t size = stats.by_size[i].object_size;

		heap->class_size[i] = size;
		if (!size || size % GOA_ALIGN || size > heap->max_small)
			continue;
		heap->class_cap[i] = goa_class_cap(heap, size);
		while (slot <= size >> GOA_ALIGN_SHIFT)
			heap->class_of[slot++] = i;
	}
	if (slot != (heap->max_small >> GOA_ALIGN_SHIFT) + 1)
		return goa_fail(EOPNOTSUPP, "the size classes end below %zu bytes",
				heap->max_small);
	return 0;
}

/* What the kernel says of the heap, if this library can live with it. */
static int info_read(struct goalloc_heap *heap, struct goalloc_info *info)
{
	*info = (struct goalloc_info){ .size = sizeof(*info) };
	if (goa_ioctl(heap, GOALLOC_IOC_INFO, info))
		return goa_fail(ENOTTY, "%s is no goalloc heap",
				heap->adopted ? "the file" : heap->path);
	if (info->page_size != GOA_PAGE || info->heap_base % GOA_ARENA ||
	    info->heap_max % GOA_ARENA || info->max_small_size > GOA_SMALL_MAX ||
	    info->batch_max < 2 || !(info->features & GOALLOC_FEATURE_SEEK))
		return goa_fail(EOPNOTSUPP,
				"the module's heaps are not as this library knows them: update it");
	heap->max_small = info->max_small_size;
	heap->batch_max = goa_min(info->batch_max, GOA_BATCH_MAX);
	return 0;
}

/* Name and limits, those that were given. */
static int params_write(struct goalloc_heap *heap)
{
	struct goalloc_name name = { .size = sizeof(name) };
	int ret = 0;

	if (heap->name[0]) {
		memcpy(name.name, heap->name, sizeof(name.name));
		ret = goa_ioctl(heap, GOALLOC_IOC_SET_NAME, &name);
		if (ret)
			return goa_fail(-ret, "cannot name the heap \"%s\": %s", heap->name,
					goalloc_strerror(ret));
	}
	if (heap->limit)
		ret = goa_set_param(heap, GOALLOC_PARAM_LIMIT, heap->limit);
	if (!ret && heap->max)
		ret = goa_set_param(heap, GOALLOC_PARAM_MAX, heap->max);
	return ret ? goa_fail(-ret, "cannot limit the heap: %s", goalloc_strerror(ret)) : 0;
}

/* Maps the open file and makes it what it has to be. */
static int heap_setup(struct goalloc_heap *heap)
{
	struct goalloc_info info;
	struct stat stat;
	int ret;

	if (fstat(heap->fd, &stat))
		return goa_fail(errno, "cannot look at the heap's file: %s",
				goalloc_strerror(errno));
	if (!S_ISCHR(stat.st_mode))
		return goa_fail(ENOTTY, "%s is no goalloc heap",
				heap->adopted ? "the file" : heap->path);
	heap->device = stat.st_rdev;
	ret = info_read(heap, &info);
	if (!ret)
		ret = params_write(heap);
	if (!ret)
		ret = goa_device_map(heap, &info);
	return ret;
}

/**
 * goa_heap_attach() - a new file for a heap that has none: in a child of fork(),
 *	or when the old one was closed
 * @heap: the heap
 *
 * Return: the file descriptor, or a negative errno.
 */
int goa_heap_attach(struct goalloc_heap *heap)
{
	struct goalloc_heap fresh;
	int ret;

	pthread_mutex_lock(&heap->lock);
	if (heap->fd < 0) {
		/* Not for the others to see until all of it is there. */
		memcpy(&fresh, heap, sizeof(fresh));
		fresh.flags &= ~GOALLOC_HEAP_AT_BASE;
		fresh.shared = true;	/* no attaching, no losing in between */
		fresh.fd = goa_device_open(heap->path);
		ret = fresh.fd;
		if (ret >= 0)
			ret = heap_setup(&fresh);
		if (!ret) {
			heap->bytes = fresh.bytes;
			heap->delta = fresh.delta;
			heap->device = fresh.device;
			heap->top = 0;
			__atomic_store_n(&heap->start, fresh.start, __ATOMIC_SEQ_CST);
			__atomic_store_n(&heap->fd, fresh.fd, __ATOMIC_RELEASE);
			__atomic_store_n(&heap->held, 0, __ATOMIC_RELAXED);
		} else if (fresh.fd >= 0) {
			close(fresh.fd);
		}
	} else {
		ret = 0;
	}
	if (!ret)
		ret = heap->fd;
	pthread_mutex_unlock(&heap->lock);
	return ret;
}

/**
 * goa_heap_detach() - leave the objects there are to user space
 * @heap: its lock is held
 * @bytes: of the mapping that remain
 * @shared: they are the file's mapping still, not private memory
 */
void goa_heap_detach(struct goalloc_heap *heap, size_t bytes, bool shared)
{
	struct goa_range *range = goa_map(sizeof(*range));
	uintptr_t start = heap->start;

	__atomic_store_n(&heap->recycles, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&heap->start, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&heap->fd, -1, __ATOMIC_SEQ_CST);
	goa_arenas_detach(start, bytes);
	if (bytes < heap->bytes)
		munmap((void *)(start + bytes), heap->bytes - bytes);
	heap->top = 0;
	if (!range)
		return;		/* nobody will unmap it */
	*range = (struct goa_range){
		.start = start,
		.bytes = bytes,
		.shared = shared,
		.next = heap->ranges,
	};
	heap->ranges = range;
}

/**
 * goa_heap_look() - is the file the heap's still?
 * @heap: its lock is held, and it is not shared
 *
 * A program may close files it does not know. The mapping keeps the heap's
 * memory; only nothing new comes from it, and nothing goes back. All of it
 * stays mapped: a thread may be about to get an object anywhere.
 */
void goa_heap_look(struct goalloc_heap *heap)
{
	struct stat stat;

	if (heap->fd >= 0 && (fstat(heap->fd, &stat) || !S_ISCHR(stat.st_mode) ||
			      stat.st_rdev != heap->device))
		goa_heap_detach(heap, heap->bytes, true);
}

/**
 * goa_heap_lost() - was a call's file not the heap's any more?
 * @heap: the heap
 * @fd: which a call of it has failed for
 *
 * Return: true if the call is worth another try, with another file.
 */
bool goa_heap_lost(struct goalloc_heap *heap, int fd)
{
	bool lost;

	if (heap->shared)
		return false;
	pthread_mutex_lock(&heap->lock);
	if (heap->fd == fd)
		goa_heap_look(heap);
	lost = heap->fd != fd;
	pthread_mutex_unlock(&heap->lock);
	return lost;
}

static int options_read(struct goalloc_heap *heap, const struct goalloc_options *given)
{
	struct goalloc_options options = { .size = sizeof(options) };

	if (given) {
		/* A newer caller may know more than we do, but not want it. */
		const char *tail = (const char *)given + sizeof(options);
		size_t i;

		if (given->size < offsetof(struct goalloc_options, device))
			return goa_fail(EINVAL, "the size of the options is not set");
		for (i = sizeof(options); i < given->size; i++)
			if (*tail++)
				return goa_fail(E2BIG, "options that this library does not know");
		memcpy(&options, given, goa_min(given->size, sizeof(options)));
	}
	if (options.flags & ~(GOALLOC_HEAP_AT_BASE | GOALLOC_HEAP_SHARED))
		return goa_fail(EINVAL, "unknown flags %#x", options.flags);
	if (!options.device)
		options.device = GOALLOC_DEVICE;
	if (strlen(options.device) >= sizeof(heap->path))
		return goa_fail(ENAMETOOLONG, "the device's path is longer than %zu bytes",
				sizeof(heap->path) - 1);
	strcpy(heap->path, options.device);
	if (options.name) {
		if (!options.name[0] || strlen(options.name) >= sizeof(heap->name))
			return goa_fail(EINVAL, "a heap's name has 1 to %zu bytes",
					sizeof(heap->name) - 1);
		strcpy(heap->name, options.name);
	}
	heap->limit = options.limit;
	heap->max = options.max;
	heap->flags = options.flags;
	heap->shared = options.flags & GOALLOC_HEAP_SHARED;
	heap->on_fault = options.on_fault;
	heap->on_fault_arg = options.on_fault_arg;
	return 0;
}

/* Return: 0, and the heap has a number, or -EMFILE. */
static int heap_register(struct goalloc_heap *heap)
{
	int ret = -EMFILE;
	unsigned int i;

	goa_fork_register();
	pthread_mutex_lock(&goa_lock);
	for (i = 0; i < GOA_HEAPS; i++)
		if (!goa_heaps[i])
			break;
	if (i < GOA_HEAPS) {
		heap->id = i;
		goa_heaps[i] = heap;
		ret = 0;
	}
	pthread_mutex_unlock(&goa_lock);
	return ret ? goa_fail(EMFILE, "%u heaps are open: close some", GOA_HEAPS) : 0;
}

static void heap_destroy(struct goalloc_heap *heap)
{
	struct goa_range *range;
	unsigned int i;

	goa_arenas_drop(heap);
	goa_caches_drop(heap);
	if (heap->start)
		munmap((void *)heap->start, heap->bytes);
	while ((range = heap->ranges)) {
		heap->ranges = range->next;
		munmap((void *)range->start, range->bytes);
		goa_unmap(range, sizeof(*range));
	}
	for (i = 0; i < GOA_CLASSES; i++)
		goa_stack_destroy(&heap->recycled[i]);
	if (heap->fd >= 0)
		close(heap->fd);
	goa_unmap(heap, sizeof(*heap));
}

/* A heap of the file that the library has as @fd now, or of a new one if -1. */
static struct goalloc_heap *heap_make(int fd, const struct goalloc_options *options)
{
	struct goalloc_heap *heap = goa_map(sizeof(*heap));
	int ret;

	if (!heap) {
		if (fd >= 0)
			close(fd);
		goa_fail(ENOMEM, "no memory for a heap's record");
		return NULL;
	}
	heap->fd = fd;
	pthread_mutex_init(&heap->lock, NULL);
	pthread_mutex_init(&heap->common_lock, NULL);
	ret = options_read(heap, options);
	if (fd >= 0) {
		heap->adopted = true;
		heap->shared = true;
	} else if (!ret) {
		heap->fd = goa_device_open(heap->path);
		ret = heap->fd < 0 ? heap->fd : 0;
	}
	if (!ret)
		ret = heap_setup(heap);
	if (!ret)
		ret = classes_read(heap);
	if (!ret)
		ret = goa_tables_make(heap);
	if (!ret) {
		heap->common = goa_cache_make(heap);
		ret = heap->common ? 0 : goa_fail(ENOMEM, "no memory for a cache");
	}
	if (!ret)
		ret = heap_register(heap);
	if (ret) {
		heap_destroy(heap);
		errno = -ret;
		return NULL;
	}
	return heap;
}

struct goalloc_heap *goalloc_open(const struct goalloc_options *options)
{
	return heap_make(-1, options);
}

struct goalloc_heap *goalloc_adopt(int fd, const struct goalloc_options *options)
{
	int kept = goa_device_keep(fd);

	return kept < 0 ? NULL : heap_make(kept, options);
}

void goalloc_close(struct goalloc_heap *heap)
{
	if (!heap)
		return;
	pthread_mutex_lock(&goa_lock);
	goa_heaps[heap->id] = NULL;
	goa_threads_drop_heap(heap);
	pthread_mutex_unlock(&goa_lock);
	heap_destroy(heap);
}

static int limit_write(struct goalloc_heap *heap, uint32_t id, uint64_t bytes, uint64_t *kept)
{
	int ret = goa_set_param(heap, id, bytes);

	if (ret)
		return goa_fail(-ret, "cannot limit the heap: %s", goalloc_strerror(ret));
	*kept = bytes;
	return 0;
}

static int limit_read(struct goalloc_heap *heap, uint32_t id, uint64_t *bytes)
{
	int ret = goa_get_param(heap, id, bytes);

	return ret ? goa_fail(-ret, "cannot read the limit: %s", goalloc_strerror(ret)) : 0;
}

int goalloc_set_limit(struct goalloc_heap *heap, uint64_t bytes)
{
	return limit_write(heap, GOALLOC_PARAM_LIMIT, bytes, &heap->limit);
}

int goalloc_get_limit(struct goalloc_heap *heap, uint64_t *bytes)
{
	return limit_read(heap, GOALLOC_PARAM_LIMIT, bytes);
}

int goalloc_set_max(struct goalloc_heap *heap, uint64_t bytes)
{
	return limit_write(heap, GOALLOC_PARAM_MAX, bytes, &heap->max);
}

int goalloc_get_max(struct goalloc_heap *heap, uint64_t *bytes)
{
	return limit_read(heap, GOALLOC_PARAM_MAX, bytes);
}

int goalloc_set_name(struct goalloc_heap *heap, const char *name)
{
	struct goalloc_name arg = { .size = sizeof(arg) };
	int ret;

	if (!name || !name[0] || strlen(name) >= sizeof(arg.name))
		return goa_fail(EINVAL, "a heap's name has 1 to %zu bytes", sizeof(arg.name) - 1);
	strcpy((char *)arg.name, name);
	ret = goa_ioctl(heap, GOALLOC_IOC_SET_NAME, &arg);
	if (ret)
		return goa_fail(-ret, "cannot name the heap \"%s\": %s", name,
				goalloc_strerror(ret));
	memcpy(heap->name, arg.name, sizeof(heap->name));
	return 0;
}

int goalloc_trim(struct goalloc_heap *heap, uint64_t *released)
{
	struct goalloc_scavenge arg = { .size = sizeof(arg), .bytes = GOALLOC_NO_LIMIT };
	struct goa_cache *cache = goa_cache_begin(heap);
	int ret;

	goa_make_room(cache);
	goa_cache_end(heap, cache);
	ret = goa_ioctl(heap, GOALLOC_IOC_SCAVENGE, &arg);
	if (ret)
		return goa_fail(-ret, "cannot give memory back: %s", goalloc_strerror(ret));
	if (released)
		*released = arg.released;
	return 0;
}

int goalloc_fd(struct goalloc_heap *heap)
{
	return heap->fd >= 0 ? heap->fd : -EBADF;
}

uint64_t goalloc_address(struct goalloc_heap *heap, const void *ptr)
{
	return (uintptr_t)ptr - heap->start < heap->bytes ? (uintptr_t)ptr - heap->delta : 0;
}

void *goalloc_pointer(struct goalloc_heap *heap, uint64_t address)
{
	uintptr_t ptr = address + heap->delta;

	return heap->start && ptr - heap->start < heap->bytes ? (void *)ptr : NULL;
}

const char *goalloc_version(void)
{
	return GOALLOC_LIB_VERSION;
}
