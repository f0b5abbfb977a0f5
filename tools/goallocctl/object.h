/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One object made, freed, looked up, and what came of it said in a line.
 */
#ifndef OBJECT_H
#define OBJECT_H

#include <stdbool.h>
#include <stdint.h>

bool object_alloc(int fd, uint64_t bytes, uint64_t align, uint32_t flags, uint64_t *addr);
bool object_free(int fd, uint64_t addr);
bool object_query(int fd, uint64_t addr);

#endif /* OBJECT_H */
