// SPDX-License-Identifier: MIT
/*
 * Small objects that the kernel does not know any more, because they were made
 * before fork(), or because the file was closed behind the library's back. Who
 * frees one leaves it here for the next who needs one of its class.
 */
#define _GNU_SOURCE
#include "fast.h"

/* @ptr is in nobody's stock any more. Without memory for the list it is lost. */
void goa_recycle(struct goalloc_heap *heap, uint64_t ptr)
{
	struct goa_arena *arena = goa_arena_of((void *)ptr);
	unsigned int class = arena->class[goa_page_of((void *)ptr)];

	pthread_mutex_lock(&heap->lock);
	if (class < heap->classes)
		goa_stack_push(&heap->recycled[class], ptr);
	pthread_mutex_unlock(&heap->lock);
}

/* Up to @n objects of a class for @slot. Return: how many there were. */
uint32_t goa_recycle_take(struct goalloc_heap *heap, unsigned int class, uint64_t *slot,
			  uint32_t n)
{
	struct goa_stack *stack = &heap->recycled[class];
	uint32_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < n && stack->n; i++)
		slot[i] = stack->slot[--stack->n];
	pthread_mutex_unlock(&heap->lock);
	return i;
}
