/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel API of goalloc. Every function is described where it is defined
 * (goalloc/malloc.c, mheap.c and class.c); Documentation/kernel-api.rst has the
 * whole in one place.
 */
#ifndef _LINUX_GOALLOC_H
#define _LINUX_GOALLOC_H

#include <linux/gfp.h>
#include <linux/goalloc_sizeclass.h>
#include <linux/kconfig.h>
#include <linux/types.h>
#include <uapi/linux/goalloc.h>

struct goalloc_heap;
struct goalloc_class;

/**
 * struct goalloc_heap_params - what a new heap is to be
 * @name: shown in debugfs and in messages; copied
 * @limit: soft limit in bytes (GOMEMLIMIT); 0 or GOALLOC_NO_LIMIT for none
 * @max: hard limit in bytes of spans in use; 0 or GOALLOC_NO_LIMIT for none
 * @flags: 0
 */
struct goalloc_heap_params {
	const char *name;
	u64 limit;
	u64 max;
	u32 flags;
};

struct goalloc_heap *goalloc_heap_create(const struct goalloc_heap_params *params);
void goalloc_heap_destroy(struct goalloc_heap *heap);

void *goalloc_heap_alloc(struct goalloc_heap *heap, size_t size, u32 flags, gfp_t gfp);
void *goalloc_alloc(size_t size, gfp_t gfp);
void goalloc_free(const void *obj);
int goalloc_try_free(const void *obj);
void *goalloc_realloc(const void *obj, size_t size, gfp_t gfp);
size_t goalloc_usable_size(const void *obj);

size_t goalloc_alloc_bulk(struct goalloc_heap *heap, size_t size, u32 flags, gfp_t gfp,
			  size_t n, void **objs);
void goalloc_free_bulk(size_t n, void **objs);

struct goalloc_class *goalloc_class_create(struct goalloc_heap *heap, const char *name,
					   size_t size, size_t align, u32 flags);
void *goalloc_class_alloc(struct goalloc_class *cls, gfp_t gfp);
size_t goalloc_class_alloc_bulk(struct goalloc_class *cls, gfp_t gfp, size_t n, void **objs);
void goalloc_class_destroy(struct goalloc_class *cls);

/*
 * An object whose size is known when it is compiled needs no look at a table: the
 * entry of its class lies so many bytes into an mcache. Only what callers see as
 * goalloc_alloc() uses this.
 */
#define __GOALLOC_ENTRY_SIZE	64

/* Smaller objects, and those of this size, have no slot of their own, if noscan. */
#define __GOALLOC_PACKED_MAX	5

void *__goalloc_alloc_entry(unsigned long entry, gfp_t gfp);

static __always_inline void *__goalloc_alloc(size_t size, gfp_t gfp)
{
	/* KASAN is told of the size itself. */
	if (!IS_ENABLED(CONFIG_KASAN_GENERIC) && __builtin_constant_p(size) &&
	    __builtin_constant_p(gfp) && !(gfp & __GFP_ZERO)) {
		unsigned int class = size <= __GOALLOC_PACKED_MAX ? 0 :
				     __goalloc_constant_class(size);

		/* Behind entry 0 and those of the span classes before it. */
		if (class)
			return __goalloc_alloc_entry((class * 2 + 2) * __GOALLOC_ENTRY_SIZE, gfp);
	}
	return goalloc_alloc(size, gfp);
}

#define goalloc_alloc(size, gfp)	__goalloc_alloc(size, gfp)

/* Nor does it need a look at flags that are known. */
void *__goalloc_class_alloc_uninit(struct goalloc_class *cls, gfp_t gfp);

static __always_inline void *__goalloc_class_alloc(struct goalloc_class *cls, gfp_t gfp)
{
	if (__builtin_constant_p(gfp) && !(gfp & __GFP_ZERO))
		return __goalloc_class_alloc_uninit(cls, gfp);
	return goalloc_class_alloc(cls, gfp);
}

#define goalloc_class_alloc(cls, gfp)	__goalloc_class_alloc(cls, gfp)

#endif /* _LINUX_GOALLOC_H */
