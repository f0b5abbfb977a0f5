/* SPDX-License-Identifier: MIT */
/*
 * libgoalloc: heaps of /dev/goalloc as memory of a process.
 *
 * A heap is opened, and from then on malloc() and its relatives exist for it,
 * with the heap as their first argument. Its memory is the kernel's, laid out
 * as the Go runtime would; each thread keeps a stock of free objects, so that
 * most calls make no system call. No object has a header: a write beyond its
 * end cannot reach the allocator's books.
 *
 * Errors: a function that returns int returns 0 or a negative errno; one that
 * returns a pointer returns NULL and sets errno. goalloc_last_error() has the
 * same in words, with what to do about it.
 *
 * Threads: every function may be called by any thread at any time, for any
 * heap that is open; only goalloc_close() needs the heap for itself. None may
 * be called by a signal handler, as malloc() may not.
 *
 * fork(): unless a heap was opened with GOALLOC_HEAP_SHARED the child has a
 * copy of it, as of all other memory; objects keep their addresses. What other
 * threads write during fork() may be missing in the copy.
 */
#ifndef GOALLOC_H
#define GOALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GOALLOC_DEVICE		"/dev/goalloc"

/* No limit. */
#define GOALLOC_UNLIMITED	UINT64_MAX

/* The longest name of a heap, its terminating NUL included. */
#define GOALLOC_HEAP_NAME_MAX	48

/* goalloc_options.flags */
#define GOALLOC_HEAP_AT_BASE	0x1	/* pointers are heap addresses, or no heap */
#define GOALLOC_HEAP_SHARED	0x2	/* children of fork() share it on purpose */

struct goalloc_heap;

/**
 * struct goalloc_fault - a pointer that is not what free() or realloc() need
 * @error: -EALREADY for an object that was freed already, -EINVAL for an
 *	address inside one, -ENOENT for one that is in no object of the heap
 * @ptr: what was passed
 * @object: the object that @ptr lies in or was, NULL if unknown
 * @size: its usable bytes, 0 if unknown
 * @function: the function that was called
 */
struct goalloc_fault {
	int error;
	const void *ptr;
	const void *object;
	size_t size;
	const char *function;
};

/**
 * struct goalloc_options - how a heap is to be; zeroes are the defaults
 * @size: sizeof(struct goalloc_options); new fields come at the end
 * @flags: GOALLOC_HEAP_AT_BASE, GOALLOC_HEAP_SHARED
 * @device: the device file, NULL for GOALLOC_DEVICE
 * @name: what the heap is called in debugfs and by goallocctl, NULL for
 *	"command:pid"
 * @limit: soft limit of the memory the heap holds, in bytes; 0 for none
 * @max: hard limit of the heap's pages in use, in bytes; 0 for none
 * @on_fault: called by goalloc_free() and goalloc_realloc() for a bad pointer,
 *	by the thread that passed it, with nothing locked. If it returns, the
 *	call has changed nothing. NULL: a message on stderr and abort()
 * @on_fault_arg: the last argument of @on_fault
 */
struct goalloc_options {
	size_t size;
	unsigned int flags;
	const char *device;
	const char *name;
	uint64_t limit;
	uint64_t max;
	void (*on_fault)(struct goalloc_heap *heap, const struct goalloc_fault *fault, void *arg);
	void *on_fault_arg;
};

/**
 * goalloc_open() - make a heap and map it
 * @options: NULL for the defaults; not used after the call
 *
 * The heap is mapped at its base, 0xc000000000, where pointers are the kernel's
 * heap addresses, or, when that is taken (by another heap, for example),
 * anywhere. Nothing is paid for the address space.
 *
 * Return: the heap, for goalloc_close(); or NULL. errno is ENOENT or ENXIO
 * without the module, EACCES without permission, EEXIST if the base is taken
 * and GOALLOC_HEAP_AT_BASE wants it, ENOMEM, EMFILE if there are too many
 * heaps, EINVAL for bad options.
 */
struct goalloc_heap *goalloc_open(const struct goalloc_options *options);

/**
 * goalloc_adopt() - use a heap that is open already, such as one received from
 *	another process
 * @fd: an open /dev/goalloc. The library keeps a duplicate; @fd remains the
 *	caller's
 * @options: as for goalloc_open(); @device is ignored. Name and limits are
 *	changed only if given
 *
 * The heap is always taken as GOALLOC_HEAP_SHARED. Objects that were not made
 * through the returned heap are freed with the kernel's checks alone, and only
 * if no library of another process has them in its books.
 *
 * Return: as goalloc_open(); errno is EBADF or ENOTTY if @fd is no such file.
 */
struct goalloc_heap *goalloc_adopt(int fd, const struct goalloc_options *options);

/**
 * goalloc_close() - give a heap and all of its objects back
 * @heap: not used by anybody any more, in no thread; NULL is fine
 */
void goalloc_close(struct goalloc_heap *heap);

/**
 * goalloc_malloc() - an object of at least @size bytes
 * @heap: the heap
 * @size: 0 is taken as 1
 *
 * Return: the object, aligned to 16 bytes and not initialised, for
 * goalloc_free(). NULL with errno ENOMEM when the heap's max would be
 * exceeded or there is no memory.
 */
void *goalloc_malloc(struct goalloc_heap *heap, size_t size);

/**
 * goalloc_calloc() - a zeroed array
 * @heap: the heap
 * @count: of elements
 * @size: of an element
 *
 * Large arrays cost no memory until they are written to.
 *
 * Return: as goalloc_malloc(); ENOMEM too when the product overflows.
 */
void *goalloc_calloc(struct goalloc_heap *heap, size_t count, size_t size);

/**
 * goalloc_realloc() - change the size of an object
 * @heap: the heap
 * @ptr: an object of @heap, or NULL for a new one
 * @size: 0 frees @ptr
 *
 * Return: the object, maybe elsewhere, with its old contents up to the smaller
 * of both sizes. NULL: with @size 0 it is freed, otherwise errno is set and
 * @ptr is what it was; errno is EFAULT after on_fault has been told of @ptr.
 */
void *goalloc_realloc(struct goalloc_heap *heap, void *ptr, size_t size);

/**
 * goalloc_reallocarray() - goalloc_realloc() to @count times @size bytes
 * @heap: the heap
 * @ptr: as for goalloc_realloc()
 * @count: of elements
 * @size: of an element
 *
 * Return: as goalloc_realloc(); ENOMEM too when the product overflows.
 */
void *goalloc_reallocarray(struct goalloc_heap *heap, void *ptr, size_t count, size_t size);

/**
 * goalloc_aligned_alloc() - an object at a multiple of @align
 * @heap: the heap
 * @align: a power of two, up to 2 MiB
 * @size: in bytes
 *
 * Return: as goalloc_malloc(); EINVAL if @align is no power of two, ENOMEM if
 * it is larger than 2 MiB.
 */
void *goalloc_aligned_alloc(struct goalloc_heap *heap, size_t align, size_t size);

/**
 * goalloc_free() - free an object
 * @heap: the heap it is from
 * @ptr: the object, or NULL; made by any thread
 *
 * Anything else is refused, always, and goes to the heap's on_fault. errno is
 * left alone.
 */
void goalloc_free(struct goalloc_heap *heap, void *ptr);

/**
 * goalloc_try_free() - free an object, and say so if it is none
 * @heap: the heap
 * @ptr: as for goalloc_free()
 *
 * Return: 0, or one of the errors of struct goalloc_fault. Then nothing has
 * changed.
 */
int goalloc_try_free(struct goalloc_heap *heap, void *ptr);

/**
 * goalloc_usable_size() - how many bytes of an object may be used
 * @heap: the heap
 * @ptr: an object of it, or NULL
 *
 * Return: the bytes, at least what was asked for; 0 if @ptr is no object.
 */
size_t goalloc_usable_size(struct goalloc_heap *heap, const void *ptr);

/**
 * goalloc_good_size() - what an object of @size bytes really gets
 * @heap: the heap
 * @size: in bytes
 *
 * Return: the usable size a new object of @size bytes has at least; 0 if there
 * can be none.
 */
size_t goalloc_good_size(struct goalloc_heap *heap, size_t size);

/**
 * goalloc_flush() - give back what the calling thread has in stock
 * @heap: the heap
 *
 * Good before a thread goes to sleep for long.
 *
 * Return: 0 or a negative errno.
 */
int goalloc_flush(struct goalloc_heap *heap);

/**
 * goalloc_trim() - give idle memory back to the system
 * @heap: the heap
 * @released: bytes that were given back, unless NULL
 *
 * The calling thread's stock goes first; other threads give theirs back when
 * they next need more or have too much.
 *
 * Return: 0 or a negative errno.
 */
int goalloc_trim(struct goalloc_heap *heap, uint64_t *released);

/**
 * goalloc_set_limit() - the soft limit of the memory a heap holds
 * @heap: the heap
 * @bytes: GOALLOC_UNLIMITED for none
 *
 * Return: 0 or a negative errno.
 */
int goalloc_set_limit(struct goalloc_heap *heap, uint64_t bytes);

/**
 * goalloc_get_limit() - read it
 * @heap: the heap
 * @bytes: the soft limit
 *
 * Return: 0 or a negative errno.
 */
int goalloc_get_limit(struct goalloc_heap *heap, uint64_t *bytes);

/**
 * goalloc_set_max() - the hard limit of a heap's pages in use
 * @heap: the heap
 * @bytes: GOALLOC_UNLIMITED for none. Less than there is now only means that
 *	nothing new can be had
 *
 * Return: 0 or a negative errno.
 */
int goalloc_set_max(struct goalloc_heap *heap, uint64_t bytes);

/**
 * goalloc_get_max() - read it
 * @heap: the heap
 * @bytes: the hard limit
 *
 * Return: 0 or a negative errno.
 */
int goalloc_get_max(struct goalloc_heap *heap, uint64_t *bytes);

/**
 * goalloc_set_name() - what the heap is called
 * @heap: the heap
 * @name: shorter than GOALLOC_HEAP_NAME_MAX, not empty, no control characters
 *
 * Return: 0 or a negative errno.
 */
int goalloc_set_name(struct goalloc_heap *heap, const char *name);

/**
 * struct goalloc_stats - the figures of a heap
 * @size: sizeof(struct goalloc_stats), set by the caller
 * @mallocs: objects the callers got
 * @frees: objects the callers gave back
 * @faults: bad pointers refused
 * @system_calls: made to allocate and to free
 * @refills: batches fetched
 * @drains: batches given back
 * @threads: that have a stock
 * @cached_objects: free objects in stock
 * @cached_bytes: their bytes
 * @heap_alloc: bytes of objects, as the kernel sees it: those in stock, too
 * @heap_objects: objects, as the kernel sees it
 * @heap_inuse: bytes of pages in spans
 * @heap_idle: bytes of pages in no span
 * @heap_released: part of @heap_idle that has no memory
 * @heap_sys: @heap_inuse + @heap_idle
 * @sys: @heap_sys and the kernel's books
 * @peak_bytes: the most bytes of objects, those in stock included, that the
 *	library ever had from the kernel at once
 *
 * While other threads are at work figures that belong together can be apart by
 * what happened during the call. A child of fork() begins with its parent's
 * figures in the part the library counts.
 */
struct goalloc_stats {
	size_t size;
	uint64_t mallocs;
	uint64_t frees;
	uint64_t faults;
	uint64_t system_calls;
	uint64_t refills;
	uint64_t drains;
	uint64_t threads;
	uint64_t cached_objects;
	uint64_t cached_bytes;
	uint64_t heap_alloc;
	uint64_t heap_objects;
	uint64_t heap_inuse;
	uint64_t heap_idle;
	uint64_t heap_released;
	uint64_t heap_sys;
	uint64_t sys;
	uint64_t peak_bytes;
};

/**
 * goalloc_get_stats() - read the figures
 * @heap: the heap
 * @stats: its size set; fields beyond that size are not written
 *
 * Return: 0 or a negative errno; -EINVAL if @stats is smaller than its size.
 */
int goalloc_get_stats(struct goalloc_heap *heap, struct goalloc_stats *stats);

/**
 * struct goalloc_size_class - one size of slots
 * @size: sizeof(struct goalloc_size_class), set by the caller
 * @object_size: bytes of a slot
 * @mallocs: slots the kernel has handed out
 * @frees: slots it got back
 * @cached: slots in stock
 * @used: 1 if goalloc_malloc() uses the class: its slots are multiples of 16
 */
struct goalloc_size_class {
	size_t size;
	uint64_t object_size;
	uint64_t mallocs;
	uint64_t frees;
	uint64_t cached;
	unsigned int used;
};

/**
 * goalloc_next_class() - the size classes, smallest first
 * @heap: the heap
 * @index: 0 for the first; moved on by each call
 * @size_class: its size set
 *
 * Return: 1 if there was one more, 0 at the end, or a negative errno.
 */
int goalloc_next_class(struct goalloc_heap *heap, unsigned int *index,
		       struct goalloc_size_class *size_class);

/**
 * goalloc_fd() - the open file behind a heap
 * @heap: the heap
 *
 * For poll(), for sending it to another process, for ioctls of one's own.
 * Objects made by an own ioctl are to be freed by one. It remains the library's
 * and changes when a private heap goes through fork().
 *
 * Return: the file descriptor, or -EBADF in a child that has made no new object
 * yet.
 */
int goalloc_fd(struct goalloc_heap *heap);

/**
 * goalloc_address() - an object's address in the kernel's heap
 * @heap: the heap
 * @ptr: an object of it
 *
 * Return: the address, which is the object's offset in the file too; 0 for what
 * lies in no mapped heap, or was made before the fork() of this process.
 */
uint64_t goalloc_address(struct goalloc_heap *heap, const void *ptr);

/**
 * goalloc_pointer() - where an address of the kernel's heap is mapped
 * @heap: the heap
 * @address: from goalloc_address(), maybe in another process
 *
 * Return: the pointer, or NULL if @address is outside.
 */
void *goalloc_pointer(struct goalloc_heap *heap, uint64_t address);

/**
 * goalloc_strerror() - an error of this library in words
 * @error: an errno, negative or not
 *
 * Return: text that is never freed.
 */
const char *goalloc_strerror(int error);

/**
 * goalloc_last_error() - what went wrong last in this thread, and what to do
 *
 * Return: text that is good until the thread's next call of the library; ""
 * if nothing went wrong yet.
 */
const char *goalloc_last_error(void);

/**
 * goalloc_version() - the library's version
 *
 * Return: text like "0.1.0".
 */
const char *goalloc_version(void);

#ifdef __cplusplus
}
#endif

#endif /* GOALLOC_H */
