/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Heaps that processes have open, from /proc/PID/fdinfo.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A heap as one file of one process shows it. */
struct proc_heap {
	int pid;
	int fd;
	unsigned int id;
	char name[64];
	uint64_t objects;
	uint64_t alloc;
	uint64_t inuse;
	uint64_t idle;
	uint64_t released;
	uint64_t backed;
	uint64_t mallocs;
	uint64_t frees;
};

bool proc_heap_read(int pid, int fd, struct proc_heap *h);
bool proc_heap_first(int pid, struct proc_heap *h);
bool proc_heap_of(int pid, unsigned int id, struct proc_heap *h);
bool proc_heaps(struct proc_heap **heaps, size_t *n);

#endif /* PROC_H */
