/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All heaps with what is told of each.
 */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct list_heap - a heap in a list
 * @id: its number in debugfs
 * @pid: a process that has it open, its opener if that does; 0 if none is known
 * @fd: as which file
 * @name: its name
 * @objects: live objects
 * @alloc: bytes of them
 * @inuse: bytes in spans
 * @idle: bytes in none
 * @released: bytes of those with no memory behind them
 * @held: bytes of memory behind all of it
 * @mallocs: objects made
 * @frees: objects freed
 */
struct list_heap {
	unsigned int id;
	int pid;
	int fd;
	char name[64];
	uint64_t objects;
	uint64_t alloc;
	uint64_t inuse;
	uint64_t idle;
	uint64_t released;
	uint64_t held;
	uint64_t mallocs;
	uint64_t frees;
};

bool list_heaps(struct list_heap **heaps, size_t *n, int *partial);

void list_json(const struct list_heap *h);

#endif /* LIST_H */
