// SPDX-License-Identifier: MIT
/*
 * Errors in words, and what happens to a pointer that is none of ours.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fast.h"

/**
 * goa_fail() - note what went wrong
 * @error: an errno, positive
 * @format: what, and what to do
 *
 * Return: -@error, which is in errno too.
 */
int goa_fail(int error, const char *format, ...)
{
	struct goa_thread *self = goa_thread_self();
	va_list args;

	if (self) {
		va_start(args, format);
		vsnprintf(self->error, sizeof(self->error), format, args);
		va_end(args);
	}
	errno = error;
	return -error;
}

/*
 * No object of @size bytes, because of @error. Other errors than these have words
 * already: there is no file, and no other to be had. Return: NULL.
 */
void *goa_no_memory(size_t size, int error)
{
	if (error == -ENOMEM || error == -EFBIG)
		goa_fail(ENOMEM, "no object of %zu bytes: %s", size, goalloc_strerror(error));
	errno = ENOMEM;
	return NULL;
}

const char *goalloc_last_error(void)
{
	return goa_self->error;
}

const char *goalloc_strerror(int error)
{
	const char *text;

	switch (error < 0 ? -error : error) {
	case 0:
		return "no error";
	case EALREADY:
		return "double free: the object was freed already";
	case EINVAL:
		return "bad argument, or an address inside an object";
	case ENOENT:
		return "no object is there, or no such file";
	case ENOMEM:
		return "out of memory, or the heap's max is reached";
	case EFBIG:
		return "larger than a heap's address space";
	case EOPNOTSUPP:
		return "the kernel module cannot do that";
	default:
		text = strerrordesc_np(error < 0 ? -error : error);
		return text ? text : "unknown error";
	}
}

int goa_stderr = STDERR_FILENO;

static void say(const char *format, va_list args)
{
	static const char prefix[] = "goalloc: ";
	char text[512] = "goalloc: ";
	int n;

	n = vsnprintf(text + sizeof(prefix) - 1, sizeof(text) - sizeof(prefix), format, args);
	n = goa_min(n + sizeof(prefix) - 1, sizeof(text) - 2);
	text[n++] = '\n';
	while (write(goa_stderr, text, n) < 0 && errno == EINTR)
		;
}

/* A line on stderr. */
void goa_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void goa_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	abort();
}

/**
 * goa_find_fault() - tell what kind of mistake a pointer is
 * @heap: the heap
 * @ptr: no object of it that the caller has
 * @fault: everything but the function is filled in
 *
 * Return: the error, negative.
 */
int goa_find_fault(struct goalloc_heap *heap, const void *ptr, struct goalloc_fault *fault)
{
	struct goalloc_query query = { .size = sizeof(query) };
	struct goa_arena *arena = goa_arena_find(heap, ptr);
	size_t size = 0;
	void *object;

	*fault = (struct goalloc_fault){ .error = -ENOENT, .ptr = ptr };
	object = goa_object_at(heap, ptr, &size);
	if (object) {
		fault->error = object == ptr ? -EALREADY : -EINVAL;
		fault->object = object;
		fault->size = size;
		return fault->error;
	}
	if (!arena)
		return fault->error;
	if (!arena->detached) {
		query.addr = (uintptr_t)ptr - heap->delta;
		if (goa_ioctl(heap, GOALLOC_IOC_QUERY, &query))
			return fault->error;
		fault->object = (void *)(query.base + heap->delta);
		fault->size = query.usable;
		fault->error = fault->object == ptr ? -EALREADY : -EINVAL;
	} else if (arena->class[goa_page_of(ptr)]) {
		/* Where slots begin nobody can tell any more. */
		fault->object = (void *)((uintptr_t)ptr & ~(GOA_ALIGN - 1));
		fault->size = goa_object_size(heap, arena, ptr);
		fault->error = fault->object == ptr ? -EALREADY : -EINVAL;
	}
	return fault->error;
}

static void fault_say(const struct goalloc_fault *fault)
{
	switch (fault->error) {
	case -EALREADY:
		goa_die("%s(%p): double free: this object of %zu bytes was freed already",
			fault->function, fault->ptr, fault->size);
	case -EINVAL:
		goa_die("%s(%p): no object begins here: %zu bytes into one of %zu bytes at %p",
			fault->function, fault->ptr,
			(size_t)((const char *)fault->ptr - (const char *)fault->object),
			fault->size, fault->object);
	default:
		goa_die("%s(%p): wild pointer: there is no object of this heap, or none any more",
			fault->function, fault->ptr);
	}
}

/**
 * goa_fault() - a bad pointer, to be told to whoever wants to know
 * @heap: the heap
 * @ptr: the pointer
 * @function: what was called
 * @error: what the kernel said, or 0 to find out
 *
 * Return: the error, if the heap's handler returns.
 */
int goa_fault(struct goalloc_heap *heap, const void *ptr, const char *function, int error)
{
	struct goalloc_fault fault;

	goa_find_fault(heap, ptr, &fault);
	if (error)
		fault.error = error;
	fault.function = function;
	if (heap->on_fault)
		heap->on_fault(heap, &fault, heap->on_fault_arg);
	else
		fault_say(&fault);
	return fault.error;
}
