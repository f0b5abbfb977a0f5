/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the library share.
 *
 *	goa_arenas	one table for the process: 64 MiB of address space -> arena
 *	arena		what is known of these 64 MiB: whose they are, for each
 *			heap page the class of the objects that begin in it, and
 *			for each 16 bytes a bit: an object the caller has begins
 *			here. The bit is what catches bad frees.
 *	cache		a thread's stock of one heap: for each class an array of
 *			pointers to free objects
 *	range		a piece of address space whose objects the kernel does not
 *			know any more, after fork() or when the file was closed
 *			behind our back: they live on in user space alone
 *
 * Locks, outermost first: goa_lock (heaps and threads), a heap's common_lock
 * (the cache of those who have none), a heap's lock (its caches, ranges,
 * recycled objects, and the file), the lock of the threads' records. A thread's
 * cache needs no lock: only its thread touches it, others read its counters.
 *
 * Nothing here may call malloc(): the library may be malloc().
 */
#ifndef GOA_INTERNAL_H
#define GOA_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/goalloc.h>

#include "goalloc.h"

#if UINTPTR_MAX != UINT64_MAX
#error "A heap's address space needs 64-bit pointers"
#endif

static inline size_t goa_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t goa_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

#pragma GCC visibility push(hidden)

#define GOA_PAGE_SHIFT		13	/* a heap page */
#define GOA_PAGE		((size_t)1 << GOA_PAGE_SHIFT)
#define GOA_ARENA_SHIFT		26
#define GOA_ARENA		((size_t)1 << GOA_ARENA_SHIFT)
#define GOA_ARENA_PAGES		(GOA_ARENA >> GOA_PAGE_SHIFT)
#define GOA_ARENAS		((size_t)1 << (47 - GOA_ARENA_SHIFT))
#define GOA_ALIGN_SHIFT		4	/* of every object */
#define GOA_ALIGN		((size_t)1 << GOA_ALIGN_SHIFT)
#define GOA_ALIGN_MAX		((size_t)2 << 20)	/* the kernel's */

#define GOA_CLASSES		GOALLOC_BY_SIZE_MAX
#define GOA_CLASS_NONE		0	/* no object of ours begins in the page */
#define GOA_CLASS_LARGE		0xff	/* one does, of arena.pages[] pages */
#define GOA_SMALL_MAX		((size_t)32 << 10)	/* goalloc_info.max_small_size */

#define GOA_HEAPS		128	/* open at once: address space for no more */
#define GOA_BATCH_MAX		1024

#define goa_likely(x)		__builtin_expect(!!(x), 1)
#define goa_unlikely(x)		__builtin_expect(!!(x), 0)

/*
 * An arena. @pages and @class are written before an object of the page is first
 * handed out, by whoever got it from the kernel; all objects of a page are of
 * one class for as long as one lives. @live is changed atomically.
 */
struct goa_arena {
	struct goalloc_heap *heap;
	bool shared;		/* with other processes: bits are always atomic */
	bool detached;		/* the kernel does not know the objects any more */
	uint8_t class[GOA_ARENA_PAGES];
	uint32_t pages[GOA_ARENA_PAGES];
	uint64_t live[GOA_ARENA >> GOA_ALIGN_SHIFT >> 6];
};

extern struct goa_arena *goa_arenas[GOA_ARENAS];

/* Free objects of a class in stock: @slot[0] to @slot[@n - 1], the last first. */
struct goa_bin {
	uint32_t n;
	uint32_t limit;		/* of @n for now; grows up to the class's cap */
	uint64_t *slot;
};

#define GOA_LARGE_SLOTS	8

/* A free large object in stock. */
struct goa_large {
	void *ptr;
	size_t bytes;
};

struct goa_cache {
	struct goa_bin bin[GOA_CLASSES];
	uint64_t mallocs;
	uint64_t frees;
	uint64_t system_calls;
	uint64_t refills;
	uint64_t drains;
	uint64_t large_bytes;
	uint32_t large_n;
	uint32_t epoch;		/* of the heap when it was last looked at */
	struct goa_large large[GOA_LARGE_SLOTS];
	struct goalloc_heap *heap;
	struct goa_thread *owner;
	struct goa_cache *next;	/* of the heap's caches, or of its spare ones */
	uint64_t scratch[GOA_BATCH_MAX];
	uint64_t slots[];
};

struct goa_thread {
	struct goa_cache *cache[GOA_HEAPS];
	struct goa_thread *next;	/* of all threads, or of the spare records */
	char error[384];
};

/*
 * The calling thread's record. goa_nobody until it needs one and goa_gone when
 * it is about to end: both have no caches, so the way through the heap's common
 * cache is taken without another test.
 */
extern __thread struct goa_thread *goa_self;
extern struct goa_thread goa_nobody, goa_gone;

/* Objects the kernel does not know and nobody uses, of one class. */
struct goa_stack {
	uint64_t *slot;
	size_t n;
	size_t room;
};

struct goa_range {
	uintptr_t start;
	size_t bytes;
	bool shared;		/* the old file's mapping still, not private memory */
	void *mirror;		/* between the handlers of fork() */
	size_t mirror_bytes;
	struct goa_range *next;
};

struct goalloc_heap {
	/* Written when the heap is opened, or by fork(). */
	unsigned int id;
	unsigned int classes;
	size_t max_small;
	bool shared;
	bool adopted;
	uint32_t batch_max;
	uint32_t class_size[GOA_CLASSES];
	uint32_t class_cap[GOA_CLASSES];	/* entries of a bin; 0: not used */
	uint8_t class_of[(GOA_SMALL_MAX >> GOA_ALIGN_SHIFT) + 1];	/* by size in 16 bytes */

	pthread_mutex_t common_lock;
	struct goa_cache *common;	/* of threads that have no cache */

	pthread_mutex_t lock;
	/* Protected by lock, read without by those who can bear a change. */
	int fd;				/* -1: none now */
	dev_t device;			/* what the file has to be */
	uintptr_t start;		/* the mapping; 0: none now */
	size_t bytes;
	uint64_t delta;			/* pointer - address */
	size_t top;			/* bytes of the mapping up to the last arena in use */
	char *tables;			/* a shared heap's arenas, one after the other */
	struct goa_cache *caches;
	struct goa_cache *spare;
	struct goa_range *ranges;
	struct goa_stack recycled[GOA_CLASSES];
	bool recycles;			/* there are or were ranges */

	/* What the file is to have when it is opened anew. */
	char path[64];
	char name[GOALLOC_NAME_MAX];
	uint64_t limit;
	uint64_t max;
	unsigned int flags;

	/* Atomic. */
	uint32_t epoch;			/* grows when all stocks are to be given back */
	uint64_t faults;
	uint64_t held;			/* bytes the kernel has given us */
	uint64_t peak;
	uint64_t gone_mallocs;		/* of caches whose threads are gone; @lock */
	uint64_t gone_frees;
	uint64_t gone_system_calls;
	uint64_t gone_refills;
	uint64_t gone_drains;

	void (*on_fault)(struct goalloc_heap *heap, const struct goalloc_fault *fault, void *arg);
	void *on_fault_arg;

	/* Between the handlers of fork(). */
	void *mirror;
	size_t mirror_bytes;
	bool mirror_failed;
};

/* error.c */
extern int goa_stderr;		/* where messages go */
int goa_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *goa_no_memory(size_t size, int error);
int goa_fault(struct goalloc_heap *heap, const void *ptr, const char *function, int error);
int goa_find_fault(struct goalloc_heap *heap, const void *ptr, struct goalloc_fault *fault);
void goa_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void goa_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* memory.c */
void *goa_map(size_t bytes);
void goa_unmap(void *ptr, size_t bytes);
int goa_stack_push(struct goa_stack *stack, uint64_t value);
void goa_stack_destroy(struct goa_stack *stack);

/* device.c */
int goa_device_open(const char *path);
int goa_device_keep(int fd);
int goa_device_map(struct goalloc_heap *heap, const struct goalloc_info *info);
int goa_ioctl(struct goalloc_heap *heap, unsigned long op, void *arg);
int goa_get_param(struct goalloc_heap *heap, uint32_t id, uint64_t *value);
int goa_set_param(struct goalloc_heap *heap, uint32_t id, uint64_t value);
int goa_alloc_batch(struct goa_cache *cache, size_t size, uint64_t *addrs, uint32_t n);
int goa_alloc(struct goa_cache *cache, size_t size, size_t align, bool zero, void **ptr,
	      size_t *usable);
void goa_free_batch(struct goa_cache *cache, uint64_t *ptrs, uint32_t n);
int goa_free_one(struct goa_cache *cache, void *ptr, size_t bytes);

/* heap.c */
extern pthread_mutex_t goa_lock;
extern struct goalloc_heap *goa_heaps[GOA_HEAPS];
int goa_heap_attach(struct goalloc_heap *heap);
bool goa_heap_lost(struct goalloc_heap *heap, int fd);
void goa_heap_detach(struct goalloc_heap *heap, size_t bytes, bool shared);
void goa_heap_look(struct goalloc_heap *heap);

/* arena.c */
int goa_arena_note(struct goalloc_heap *heap, void *ptr, unsigned int class, size_t bytes);
struct goa_arena *goa_arena_find(struct goalloc_heap *heap, const void *ptr);
int goa_tables_make(struct goalloc_heap *heap);
void goa_arenas_drop(struct goalloc_heap *heap);
void goa_arenas_detach(uintptr_t start, size_t bytes);
void *goa_object_at(struct goalloc_heap *heap, const void *ptr, size_t *size);

/* cache.c */
struct goa_cache *goa_cache_make(struct goalloc_heap *heap);
void goa_cache_retire(struct goa_cache *cache);
void goa_caches_drop(struct goalloc_heap *heap);
uint32_t goa_class_cap(const struct goalloc_heap *heap, size_t size);
void goa_make_room(struct goa_cache *cache);
int goa_refill(struct goa_cache *cache, unsigned int class);
void goa_overflow(struct goa_cache *cache, unsigned int class);
void goa_cache_flush(struct goa_cache *cache);
void goa_cache_forget(struct goa_cache *cache);

/* large.c */
void *goa_large_malloc(struct goa_cache *cache, size_t size, size_t align, bool zero);
void goa_large_copy(struct goalloc_heap *heap, void *to, const void *from, size_t bytes);
void goa_large_free(struct goa_cache *cache, void *ptr);
void goa_large_flush(struct goa_cache *cache);
void goa_large_inherit(struct goa_cache *cache);

/* recycle.c */
void goa_recycle(struct goalloc_heap *heap, uint64_t ptr);
uint32_t goa_recycle_take(struct goalloc_heap *heap, unsigned int class, uint64_t *slot,
			  uint32_t n);

/* thread.c */
struct goa_thread *goa_thread_self(void);
struct goa_cache *goa_thread_cache(struct goalloc_heap *heap);
struct goa_cache *goa_cache_begin(struct goalloc_heap *heap);
void goa_cache_end(struct goalloc_heap *heap, struct goa_cache *cache);
void goa_threads_drop_heap(struct goalloc_heap *heap);
void goa_threads_lock(void);
void goa_threads_unlock(void);
void goa_threads_after_fork(void);

/* fork.c */
void goa_fork_register(void);

/* malloc.c */
void *goa_malloc_slow(struct goalloc_heap *heap, size_t size);
int goa_free_slow(struct goalloc_heap *heap, void *ptr);
void *goa_calloc(struct goalloc_heap *heap, size_t count, size_t size);
void *goa_realloc(struct goalloc_heap *heap, void *ptr, size_t size);
void *goa_aligned(struct goalloc_heap *heap, size_t align, size_t size);

#pragma GCC visibility pop

#endif /* GOA_INTERNAL_H */
