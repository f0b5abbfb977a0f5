/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What users set of a heap: its limits, its name. Go has environment variables
 * and runtime/debug for it.
 */
#ifndef GOALLOC_PARAM_H
#define GOALLOC_PARAM_H

#include <linux/types.h>

struct goalloc_heap;

int mheap_set_param(struct goalloc_heap *heap, u32 id, u64 value);
int mheap_get_param(struct goalloc_heap *heap, u32 id, u64 *value);
int mheap_set_name(struct goalloc_heap *heap, const char *name);
void mheap_get_name(struct goalloc_heap *heap, char *name);

#endif /* GOALLOC_PARAM_H */
