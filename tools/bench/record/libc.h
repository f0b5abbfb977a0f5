/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * malloc() and its relatives of the C library, by the names that they have besides.
 */
#ifndef RECORD_LIBC_H
#define RECORD_LIBC_H

#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *ptr);

#endif /* RECORD_LIBC_H */
