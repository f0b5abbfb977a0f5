// SPDX-License-Identifier: MIT
/*
 * /dev/goalloc: opening and mapping it, its ioctls, and batches from and to it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fast.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* Programs close the low ones, all of them, before they become daemons. */
#define FD_LOW	1000

static int fd_next = FD_LOW;

/**
 * goa_device_keep() - a number of our own for an open file
 * @fd: the file
 *
 * No number is used twice while there are others: who still has an old one then
 * gets EBADF, not another heap.
 *
 * Return: a duplicate that exec() closes, or a negative errno.
 */
int goa_device_keep(int fd)
{
	int low = __atomic_load_n(&fd_next, __ATOMIC_RELAXED);
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, low);

	if (kept < 0) {
		__atomic_store_n(&fd_next, FD_LOW, __ATOMIC_RELAXED);
		kept = fcntl(fd, F_DUPFD_CLOEXEC, FD_LOW);
	}
	/* The limit is below that. */
	if (kept < 0)
		kept = fcntl(fd, F_DUPFD_CLOEXEC, 64);
	if (kept < 0)
		kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (kept < 0)
		return goa_fail(errno, "cannot duplicate the heap's file: %s",
				goalloc_strerror(errno));
	if (kept >= FD_LOW)
		__atomic_store_n(&fd_next, kept + 1, __ATOMIC_RELAXED);
	return kept;
}

static const char *open_advice(int error)
{
	switch (error) {
	case ENOENT:
		return "no such file: is the module loaded? try: modprobe goalloc";
	case ENXIO:
	case ENODEV:
		return "no such device: is the module loaded? try: modprobe goalloc";
	case EACCES:
	case EPERM:
		return "permission denied: be root, or a member of the group that owns it";
	case EMFILE:
		return "too many open files: try: ulimit -n";
	default:
		return goalloc_strerror(error);
	}
}

/**
 * goa_device_open() - a new heap
 * @path: of the device
 *
 * Return: its file descriptor, or a negative errno.
 */
int goa_device_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), kept;

	if (fd < 0)
		return goa_fail(errno, "%s: %s", path, open_advice(errno));
	kept = goa_device_keep(fd);
	close(fd);
	return kept;
}

/* Where there is room, at a multiple of an arena. */
static void *map_anywhere(struct goalloc_heap *heap, uint64_t base, size_t bytes)
{
	size_t room = bytes + GOA_ARENA;
	char *start, *aligned;
	void *map;

	start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return MAP_FAILED;
	aligned = (char *)(((uintptr_t)start + GOA_ARENA - 1) & ~(GOA_ARENA - 1));
	map = mmap(aligned, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
		   heap->fd, base);
	if (map == MAP_FAILED) {
		munmap(start, room);
		return MAP_FAILED;
	}
	if (aligned > start)
		munmap(start, aligned - start);
	munmap(aligned + bytes, start + room - (aligned + bytes));
	return map;
}

/**
 * goa_device_map() - map all of a heap's address space
 * @heap: its file is open
 * @info: what the kernel says of it
 *
 * Return: 0 or a negative errno.
 */
int goa_device_map(struct goalloc_heap *heap, const struct goalloc_info *info)
{
	void *base = (void *)info->heap_base, *map;

	map = mmap(base, info->heap_max, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, heap->fd, info->heap_base);
	/* A kernel before 4.17 takes the address for a hint. */
	if (map != MAP_FAILED && map != base) {
		munmap(map, info->heap_max);
		map = MAP_FAILED;
		errno = EEXIST;
	}
	if (map == MAP_FAILED && errno == EEXIST) {
		if (heap->flags & GOALLOC_HEAP_AT_BASE)
			return goa_fail(EEXIST, "something else is mapped at %p", base);
		map = map_anywhere(heap, info->heap_base, info->heap_max);
	}
	if (map == MAP_FAILED)
		return goa_fail(errno, "cannot map %llu bytes of address space: %s%s",
				(unsigned long long)info->heap_max, goalloc_strerror(errno),
				errno == ENOMEM ? ": is it limited? try: ulimit -v unlimited" : "");
	heap->bytes = info->heap_max;
	heap->delta = (uintptr_t)map - info->heap_base;
	__atomic_store_n(&heap->start, (uintptr_t)map, __ATOMIC_RELEASE);
	return 0;
}

/* The heap's open file, which a child of fork() opens when it first needs it. */
static int device_fd(struct goalloc_heap *heap)
{
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_ACQUIRE);

	return goa_likely(fd >= 0) ? fd : goa_heap_attach(heap);
}

/* Return: 0, a negative errno, or -ESTALE if it was not the heap's file. */
static int device_call(struct goalloc_heap *heap, int fd, unsigned long op, void *arg)
{
	int error;

	if (goa_likely(!ioctl(fd, op, arg)))
		return 0;
	error = errno;
	if (error != ENOMEM && error != EALREADY && goa_heap_lost(heap, fd))
		return -ESTALE;
	return -error;
}

/**
 * goa_ioctl() - an ioctl of the heap
 * @heap: the heap
 * @op: GOALLOC_IOC_*
 * @arg: its struct, whose size is set
 *
 * Return: 0 or a negative errno.
 */
int goa_ioctl(struct goalloc_heap *heap, unsigned long op, void *arg)
{
	int fd, ret;

	do {
		fd = device_fd(heap);
		if (fd < 0)
			return fd;
		ret = device_call(heap, fd, op, arg);
	} while (ret == -ESTALE);
	return ret;
}

int goa_get_param(struct goalloc_heap *heap, uint32_t id, uint64_t *value)
{
	struct goalloc_param param = { .size = sizeof(param), .id = id };
	int ret = goa_ioctl(heap, GOALLOC_IOC_GET_PARAM, &param);

	if (!ret)
		*value = param.value;
	return ret;
}

int goa_set_param(struct goalloc_heap *heap, uint32_t id, uint64_t value)
{
	struct goalloc_param param = { .size = sizeof(param), .id = id, .value = value };

	return goa_ioctl(heap, GOALLOC_IOC_SET_PARAM, &param);
}

/* Bytes the kernel gave us (or got back), and the most there ever were. */
static void held_add(struct goalloc_heap *heap, uint64_t bytes)
{
	uint64_t held = __atomic_add_fetch(&heap->held, bytes, __ATOMIC_RELAXED);
	uint64_t peak = __atomic_load_n(&heap->peak, __ATOMIC_RELAXED);

	while ((int64_t)bytes > 0 && held > peak &&
	       !__atomic_compare_exchange_n(&heap->peak, &peak, held, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

/**
 * goa_alloc_batch() - objects of one size
 * @cache: whose counters and scratch space are used
 * @size: of each, in bytes
 * @addrs: where their addresses go
 * @n: how many, up to the kernel's batch_max
 *
 * Return: how many were made, at least 1, or a negative errno.
 */
int goa_alloc_batch(struct goa_cache *cache, size_t size, uint64_t *addrs, uint32_t n)
{
	struct goalloc_heap *heap = cache->heap;
	struct goalloc_batch batch = {
		.size = sizeof(batch),
		.flags = GOALLOC_UNINIT,
		.sizes = (uintptr_t)cache->scratch,
		.addrs = (uintptr_t)addrs,
		.count = n,
	};
	uint64_t delta;
	uint32_t i;
	int fd, ret;

	for (i = 0; i < n; i++)
		cache->scratch[i] = size;
	do {
		fd = device_fd(heap);
		if (fd < 0)
			return fd;
		delta = heap->delta;
		cache->system_calls++;
		ret = device_call(heap, fd, GOALLOC_IOC_ALLOC_BATCH, &batch);
	} while (ret == -ESTALE);
	if (ret)
		return ret;
	cache->refills++;
	held_add(heap, batch.done * size);
	if (delta)
		for (i = 0; i < batch.done; i++)
			addrs[i] += delta;
	return batch.done;
}

/**
 * goa_alloc() - one object
 * @cache: whose counters are used
 * @size: in bytes
 * @align: 0 or a power of two up to GOA_ALIGN_MAX
 * @zero: whether it has to be zeroed
 * @ptr: the object
 * @usable: its bytes
 *
 * Return: 0 or a negative errno.
 */
int goa_alloc(struct goa_cache *cache, size_t size, size_t align, bool zero, void **ptr,
	      size_t *usable)
{
	struct goalloc_heap *heap = cache->heap;
	struct goalloc_alloc alloc = {
		.size = sizeof(alloc),
		.flags = zero ? 0 : GOALLOC_UNINIT,
		.bytes = size,
		.align = align,
	};
	uint64_t delta;
	int fd, ret;

	do {
		fd = device_fd(heap);
		if (fd < 0)
			return fd;
		delta = heap->delta;
		cache->system_calls++;
		ret = device_call(heap, fd, GOALLOC_IOC_ALLOC, &alloc);
	} while (ret == -ESTALE);
	if (ret)
		return ret;
	held_add(heap, alloc.usable);
	*ptr = (void *)(alloc.addr + delta);
	*usable = alloc.usable;
	return 0;
}

/*
 * Those of @ptrs that the kernel knows become addresses in @addrs, the others
 * are kept for the next who needs one. Return: how many addresses.
 */
static uint32_t addresses(struct goalloc_heap *heap, const uint64_t *ptrs, uint32_t n,
			  uint64_t *addrs)
{
	uint32_t i, count = 0;

	for (i = 0; i < n; i++) {
		if (goa_arena_of((void *)ptrs[i])->detached)
			goa_recycle(heap, ptrs[i]);
		else
			addrs[count++] = ptrs[i] - heap->delta;
	}
	return count;
}

/* Bytes of small objects of ours, of any classes. */
static uint64_t bytes_at(struct goalloc_heap *heap, const uint64_t *addrs, uint32_t n,
			 uint64_t delta)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const void *ptr = (void *)(addrs[i] + delta);

		bytes += goa_object_size(heap, goa_arena_of(ptr), ptr);
	}
	return bytes;
}

/**
 * goa_free_batch() - give objects back that nobody has
 * @cache: whose counters and scratch space are used
 * @ptrs: the objects, of size classes; may be the scratch space
 * @n: how many, up to the kernel's batch_max
 */
void goa_free_batch(struct goa_cache *cache, uint64_t *ptrs, uint32_t n)
{
	struct goalloc_heap *heap = cache->heap;
	struct goalloc_batch batch = { .size = sizeof(batch) };
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_ACQUIRE);
	uint64_t delta = heap->delta;
	uint64_t *addrs = ptrs, bytes, left;
	uint32_t i = 0;
	int ret;

	if (heap->recycles || delta) {
		addrs = cache->scratch;
		n = addresses(heap, ptrs, n, addrs);
	}
	if (n)
		cache->drains++;
	/* While they are ours: later their pages may be of another class. */
	bytes = bytes_at(heap, addrs, n, delta);
	while (i < n) {
		batch.addrs = (uintptr_t)(addrs + i);
		batch.count = n - i;
		cache->system_calls++;
		ret = fd < 0 ? -ESTALE : device_call(heap, fd, GOALLOC_IOC_FREE_BATCH, &batch);
		if (!ret) {
			i += batch.done;
			left = bytes_at(heap, addrs + i, n - i, delta);
			held_add(heap, left - bytes);
			bytes = left;
			continue;
		}
		if (ret == -ESTALE) {
			/* Nothing is lost: who needs one will get it. */
			for (; i < n; i++)
				goa_recycle(heap, addrs[i] + delta);
			return;
		}
		/* The file of a shared heap is gone, and they with it. */
		if (ret != -EALREADY && ret != -EINVAL && ret != -ENOENT)
			return;
		/* Somebody has freed it by an ioctl of his own. */
		__atomic_fetch_add(&heap->faults, 1, __ATOMIC_RELAXED);
		goa_fault(heap, (void *)(addrs[i] + delta), "free", ret);
		i++;
	}
}

/**
 * goa_free_one() - give one object back that nobody has
 * @cache: whose counters are used
 * @ptr: the object
 * @bytes: its usable bytes
 *
 * Return: 0 or a negative errno: there was none.
 */
int goa_free_one(struct goa_cache *cache, void *ptr, size_t bytes)
{
	struct goalloc_heap *heap = cache->heap;
	struct goalloc_free free = {
		.size = sizeof(free),
		.addr = (uintptr_t)ptr - heap->delta,
	};
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_ACQUIRE);
	int ret;

	if (fd < 0)
		return -ENOENT;
	cache->system_calls++;
	ret = device_call(heap, fd, GOALLOC_IOC_FREE, &free);
	if (!ret)
		held_add(heap, -bytes);
	return ret;
}
