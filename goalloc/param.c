// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits and names of heaps.
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/string.h>

#include "compat.h"
#include "mheap.h"
#include "param.h"
#include "scavenge.h"

static_assert(sizeof_field(struct goalloc_heap, name) == GOALLOC_NAME_MAX);

/**
 * mheap_set_param - sets a parameter of a heap
 * @heap: the heap
 * @id: GOALLOC_PARAM_LIMIT (Go: GOMEMLIMIT), _MAX or _GC_PERCENT (Go: GOGC)
 * @value: bytes, or per cent; GOALLOC_NO_LIMIT for none
 *
 * A soft limit under what the heap holds gives idle memory back at once. A hard
 * one under what is in use keeps the heap from growing.
 *
 * Context: task, sleeps.
 * Return: 0, -EOPNOTSUPP for an unknown @id, -EINVAL for a @value it cannot have.
 */
int mheap_set_param(struct goalloc_heap *heap, u32 id, u64 value)
{
	switch (id) {
	case GOALLOC_PARAM_LIMIT:
		WRITE_ONCE(heap->limit, value);
		scavenge_to_limit(heap);
		scavenge_tell(heap);
		return 0;
	case GOALLOC_PARAM_MAX:
		WRITE_ONCE(heap->max, value);
		return 0;
	case GOALLOC_PARAM_GC_PERCENT:
		if (value > GOALLOC_GC_PERCENT_MAX && value != GOALLOC_NO_LIMIT)
			return -EINVAL;
		WRITE_ONCE(heap->gc_percent, value);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_set_param);

/**
 * mheap_get_param - reads a parameter of a heap
 * @heap: the heap
 * @id: as for mheap_set_param()
 * @value: where it goes
 *
 * Context: any.
 * Return: 0, or -EOPNOTSUPP for an unknown @id.
 */
int mheap_get_param(struct goalloc_heap *heap, u32 id, u64 *value)
{
	switch (id) {
	case GOALLOC_PARAM_LIMIT:
		*value = READ_ONCE(heap->limit);
		return 0;
	case GOALLOC_PARAM_MAX:
		*value = READ_ONCE(heap->max);
		return 0;
	case GOALLOC_PARAM_GC_PERCENT:
		*value = READ_ONCE(heap->gc_percent);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_get_param);

/**
 * mheap_set_name - names a heap
 * @heap: the heap
 * @name: bytes of any kind but control characters, which would let a name look
 *	like something else where names are shown
 *
 * Context: any but NMI.
 * Return: 0, or -EINVAL if it is empty, too long or has control characters.
 */
int mheap_set_name(struct goalloc_heap *heap, const char *name)
{
	size_t len = strnlen(name, GOALLOC_NAME_MAX), i;
	unsigned long flags;

	if (!len || len == GOALLOC_NAME_MAX)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return -EINVAL;
	flags = mheap_lock(heap);
	strscpy(heap->name, name, sizeof(heap->name));
	mheap_unlock(heap, flags);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_set_name);

/**
 * mheap_get_name - reads a heap's name
 * @heap: the heap
 * @name: room for GOALLOC_NAME_MAX bytes
 *
 * Context: any but NMI.
 */
void mheap_get_name(struct goalloc_heap *heap, char *name)
{
	unsigned long flags = mheap_lock(heap);

	strscpy(name, heap->name, GOALLOC_NAME_MAX);
	mheap_unlock(heap, flags);
}

GOALLOC_EXPORT_FOR_KUNIT(mheap_get_name);
