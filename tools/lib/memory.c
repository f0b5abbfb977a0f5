// SPDX-License-Identifier: MIT
/*
 * Memory for the library's own books: pages of the system, since there may be
 * no other malloc().
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "internal.h"

/* Zeroed and paid for at first touch. Return: NULL if there is none. */
void *goa_map(size_t bytes)
{
	void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

void goa_unmap(void *ptr, size_t bytes)
{
	if (ptr)
		munmap(ptr, bytes);
}

/* Return: 0 or -ENOMEM. */
int goa_stack_push(struct goa_stack *stack, uint64_t value)
{
	if (stack->n == stack->room) {
		size_t room = stack->room ? 2 * stack->room : 4096 / sizeof(value);
		void *slot;

		if (stack->slot)
			slot = mremap(stack->slot, stack->room * sizeof(value),
				      room * sizeof(value), MREMAP_MAYMOVE);
		else
			slot = mmap(NULL, room * sizeof(value), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (slot == MAP_FAILED)
			return -ENOMEM;
		stack->slot = slot;
		stack->room = room;
	}
	stack->slot[stack->n++] = value;
	return 0;
}

void goa_stack_destroy(struct goa_stack *stack)
{
	goa_unmap(stack->slot, stack->room * sizeof(*stack->slot));
	*stack = (struct goa_stack){};
}
