/* SPDX-License-Identifier: MIT */
/* The C library's own malloc(), under the names it has when it is not the malloc. */
#ifndef GOA_PRELOAD_H
#define GOA_PRELOAD_H

#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *ptr);

#endif /* GOA_PRELOAD_H */
