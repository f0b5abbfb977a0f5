/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel API of goalloc. Every function is described where it is defined
 * (goalloc/malloc.c, mheap.c and class.c); Documentation/kernel-api.rst has the
 * whole in one place.
 */
#ifndef _LINUX_GOALLOC_H
#define _LINUX_GOALLOC_H

#include <linux/gfp.h>
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
void goalloc_class_destroy(struct goalloc_class *cls);

#endif /* _LINUX_GOALLOC_H */
