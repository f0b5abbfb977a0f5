// SPDX-License-Identifier: MIT
/*
 * libgoalloc-preload.so: an unmodified program's malloc() from a heap of its own.
 *
 * The heap is opened by the first call. What is asked for while that happens
 * comes from a small array. When there is no heap to be had, at the start or in
 * a child of fork() that has given up its privileges, the C library's own malloc
 * takes over, unless GOALLOC_PRELOAD=strict. A pointer that is in no arena of
 * ours is then taken to be one of its.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fast.h"
#include "preload.h"

enum state { UNTRIED, TRYING, DONE };

static struct goalloc_heap *heap;	/* NULL: none yet, or none to be had */
static int state;
static bool libc_used;			/* its malloc is, for some objects or for all */
static bool strict;
static __thread bool trying;

/* What is needed on the way to a heap. Never freed. */
static char early[16384] __attribute__((aligned(64)));
static size_t early_used;

static bool is_early(const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)early < sizeof(early);
}

static void *early_malloc(size_t align, size_t size)
{
	size_t at = (early_used + align - 1) & ~(align - 1);

	if (align > 64 || at > sizeof(early) || size > sizeof(early) - at)
		goa_die("preload: %zu bytes wanted before there is a heap", size);
	early_used = at + size;
	return early + at;
}

/* What the user has asked for cannot be. */
#define refuse(...)				\
do {						\
	goa_say("preload: " __VA_ARGS__);	\
	_exit(127);				\
} while (0)

/* "64M" in bytes; 0 if there is none, or it is no number. */
static uint64_t size_from(const char *name)
{
	static const char units[] = "KMGT";
	const char *text = secure_getenv(name), *unit;
	char *end;
	uint64_t n;

	if (!text)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 0);
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		unsigned int shift = 10 * (unit - units + 1);

		end++;
		n = n > UINT64_MAX >> shift ? UINT64_MAX : n << shift;
	}
	if (errno || end == text || *end)
		refuse("%s=%s is no size: write it like 67108864 or 64M", name, text);
	return n;
}

static void no_heap(void)
{
	if (strict)
		refuse("%s", goalloc_last_error());
	if (!__atomic_exchange_n(&libc_used, true, __ATOMIC_RELAXED))
		goa_say("preload: %s; going on with the C library's malloc",
			goalloc_last_error());
}

static bool stats_wanted(void)
{
	const char *stats = secure_getenv("GOALLOC_PRELOAD_STATS");

	return stats && strcmp(stats, "0") && strcmp(stats, "");
}

static void heap_try(void)
{
	const char *how = secure_getenv("GOALLOC_PRELOAD");
	struct goalloc_options options = {
		.size = sizeof(options),
		.name = secure_getenv("GOALLOC_PRELOAD_NAME"),
		.limit = size_from("GOALLOC_PRELOAD_LIMIT"),
		.max = size_from("GOALLOC_PRELOAD_MAX"),
	};
	struct goalloc_heap *opened;

	strict = how && !strcmp(how, "strict");
	opened = goalloc_open(&options);
	if (!opened)
		no_heap();
	/* Many a program closes its stderr at its end. */
	if (stats_wanted()) {
		int fd = goa_device_keep(STDERR_FILENO);

		if (fd >= 0)
			goa_stderr = fd;
	}
	__atomic_store_n(&heap, opened, __ATOMIC_RELEASE);
}

/* Return: the heap; or NULL, and the C library's malloc or early[] is to be used. */
static struct goalloc_heap *heap_open(void)
{
	int expected = UNTRIED, saved = errno;

	if (trying)
		return NULL;
	if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == DONE)
		return heap;
	if (__atomic_compare_exchange_n(&state, &expected, TRYING, false, __ATOMIC_ACQUIRE,
					__ATOMIC_ACQUIRE)) {
		trying = true;
		heap_try();
		trying = false;
		__atomic_store_n(&state, DONE, __ATOMIC_RELEASE);
	} else {
		while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != DONE)
			sched_yield();
	}
	errno = saved;
	return heap;
}

static inline struct goalloc_heap *heap_get(void)
{
	struct goalloc_heap *h = __atomic_load_n(&heap, __ATOMIC_ACQUIRE);

	return goa_likely(h) ? h : heap_open();
}

/* Without a heap, or after one could not be opened again. */
static void *other_malloc(size_t align, size_t size)
{
	if (trying)
		return early_malloc(align, size);
	return align > GOA_ALIGN ? __libc_memalign(align, size) : __libc_malloc(size);
}

/* No memory; but if that is because there is no file, there may be other memory. */
static bool heap_gone(void)
{
	if (heap->fd >= 0)
		return false;
	no_heap();
	return true;
}

/* As above, and that is known: it need not be tried again and again. */
static bool heap_given_up(void)
{
	return __atomic_load_n(&libc_used, __ATOMIC_RELAXED) && heap->fd < 0;
}

/* A pointer that is in no arena. */
static bool is_libc(const void *ptr)
{
	return __atomic_load_n(&libc_used, __ATOMIC_RELAXED) && !goa_arena_of(ptr);
}

static __attribute__((noinline)) void *malloc_slow(size_t size)
{
	struct goalloc_heap *h = heap_get();
	void *ptr;

	if (!h)
		return other_malloc(GOA_ALIGN, size);
	if (heap_given_up())
		return __libc_malloc(size);
	ptr = goa_malloc_slow(h, size);
	if (!ptr && heap_gone())
		return __libc_malloc(size);
	return ptr;
}

void *malloc(size_t size)
{
	struct goalloc_heap *h = __atomic_load_n(&heap, __ATOMIC_ACQUIRE);
	void *ptr = goa_likely(h) ? goa_malloc_fast(h, size) : NULL;

	return goa_likely(ptr) ? ptr : malloc_slow(size);
}

static void __attribute__((noinline)) free_slow(void *ptr)
{
	int error;

	if (!ptr || is_early(ptr))
		return;
	if (is_libc(ptr)) {
		__libc_free(ptr);
		return;
	}
	/* Before there is any heap there is no object either. */
	if (!heap)
		goa_die("free(%p): wild pointer: nothing has been allocated yet", ptr);
	error = goa_free_slow(heap, ptr);
	if (error)
		goa_fault(heap, ptr, "free", error);
}

void free(void *ptr)
{
	struct goalloc_heap *h = __atomic_load_n(&heap, __ATOMIC_ACQUIRE);

	if (goa_unlikely(!h || !goa_free_fast(h, ptr)))
		free_slow(ptr);
}

void *calloc(size_t count, size_t size)
{
	struct goalloc_heap *h = heap_get();
	size_t bytes;
	void *ptr;

	if (goa_unlikely(!h)) {
		if (!trying)
			return __libc_calloc(count, size);
		/* early[] is zeroed. */
		return __builtin_mul_overflow(count, size, &bytes) ?
		       NULL : early_malloc(GOA_ALIGN, bytes);
	}
	if (goa_unlikely(heap_given_up()))
		return __libc_calloc(count, size);
	ptr = goa_calloc(h, count, size);
	if (goa_unlikely(!ptr) && heap_gone())
		return __libc_calloc(count, size);
	return ptr;
}

static void *move(void *ptr, size_t old, size_t size)
{
	void *new = malloc(size);

	if (new) {
		memcpy(new, ptr, goa_min(old, size));
		free(ptr);
	}
	return new;
}

void *realloc(void *ptr, size_t size)
{
	struct goalloc_heap *h = heap_get();
	void *new;

	if (!ptr)
		return malloc(size);
	if (is_early(ptr))
		return move(ptr, early + early_used - (char *)ptr, size);
	if (is_libc(ptr))
		return __libc_realloc(ptr, size);
	if (!size) {
		free(ptr);
		return NULL;
	}
	new = goa_realloc(h, ptr, size);
	if (goa_unlikely(!new)) {
		if (errno == EFAULT)
			goa_fault(h, ptr, "realloc", 0);
		else if (heap_gone())
			return move(ptr, goalloc_usable_size(h, ptr), size);
	}
	return new;
}

void *reallocarray(void *ptr, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(ptr, bytes);
}

/* The next power of two, as the C library does it. */
void *memalign(size_t align, size_t size)
{
	struct goalloc_heap *h = heap_get();
	void *ptr;

	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (align < GOA_ALIGN)
		align = GOA_ALIGN;
	if (align & (align - 1))
		align = (size_t)1 << (64 - __builtin_clzll(align));
	if (goa_unlikely(!h))
		return other_malloc(align, size);
	if (goa_unlikely(heap_given_up()))
		return __libc_memalign(align, size);
	ptr = goa_aligned(h, align, size);
	if (goa_unlikely(!ptr) && heap_gone())
		return __libc_memalign(align, size);
	return ptr;
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **ptr, size_t align, size_t size)
{
	int saved = errno, error = EINVAL;
	void *new;

	if (align && !(align % sizeof(void *)) && !(align & (align - 1))) {
		new = memalign(align, size);
		error = new ? 0 : ENOMEM;
		if (new)
			*ptr = new;
	}
	errno = saved;
	return error;
}

void *valloc(size_t size)
{
	return memalign(sysconf(_SC_PAGESIZE), size);
}

void *pvalloc(size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (size > SIZE_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return memalign(page, (size + page - 1) & ~(page - 1));
}

size_t malloc_usable_size(void *ptr)
{
	size_t (*libc_usable_size)(void *ptr);

	if (!ptr || is_early(ptr))
		return 0;
	if (is_libc(ptr)) {
		libc_usable_size = dlsym(RTLD_NEXT, "malloc_usable_size");
		return libc_usable_size ? libc_usable_size(ptr) : 0;
	}
	return goalloc_usable_size(heap, ptr);
}

int malloc_trim(size_t pad)
{
	uint64_t released = 0;

	(void)pad;
	if (heap)
		goalloc_trim(heap, &released);
	return released != 0;
}

struct mallinfo2 mallinfo2(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };
	struct mallinfo2 info = {};

	if (!heap || goalloc_get_stats(heap, &stats))
		return info;
	info.arena = stats.heap_sys - stats.heap_released;
	info.ordblks = stats.cached_objects;
	info.uordblks = stats.heap_alloc - stats.cached_bytes;
	info.fordblks = info.arena > info.uordblks ? info.arena - info.uordblks : 0;
	info.keepcost = stats.heap_idle - stats.heap_released;
	return info;
}

void malloc_stats(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };

	if (!heap || goalloc_get_stats(heap, &stats))
		return;
	goa_say("%s[%d]: %ju mallocs, %ju frees, %ju system calls, peak %ju KiB",
		program_invocation_short_name, (int)getpid(), (uintmax_t)stats.mallocs,
		(uintmax_t)stats.frees, (uintmax_t)stats.system_calls,
		(uintmax_t)stats.peak_bytes >> 10);
	goa_say("%s[%d]: now %ju KiB in use, %ju KiB of that in stock, %ju KiB idle",
		program_invocation_short_name, (int)getpid(), (uintmax_t)stats.heap_inuse >> 10,
		(uintmax_t)stats.cached_bytes >> 10, (uintmax_t)stats.heap_idle >> 10);
}

/* Before any other library's, so that our handlers of fork() are next to it. */
static void __attribute__((constructor)) preload_begin(void)
{
	goa_fork_register();
}

static void __attribute__((destructor)) preload_end(void)
{
	if (stats_wanted())
		malloc_stats();
}
