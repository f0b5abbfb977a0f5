/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The heap that a command works on. Functions that return a bool have said
 * what went wrong.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/goalloc.h>

#include "goallocctl.h"

#define HEAP_NO_ID	UINT32_MAX

/**
 * struct heap - a heap
 * @id: its number in debugfs, or HEAP_NO_ID
 * @name: its name, or ""
 * @pid: a process that has it open, 0 for this one or if there is none
 * @file: as which file
 * @fd: the heap as a file of ours, or -1 as long as none is needed
 */
struct heap {
	unsigned int id;
	char name[64];
	int pid;
	int file;
	int fd;
};

bool heap_is_chosen(const struct heap_choice *c);
bool heap_choose(const struct heap_choice *c, struct heap *h);
bool heap_new(struct heap *h);
bool heap_choose_or_new(const struct heap_choice *c, struct heap *h);
bool heap_open(struct heap *h);
void heap_close(struct heap *h);
bool heap_need_id(const struct heap *h, const char *what);
bool heap_is_gone(const struct heap *h);
const char *heap_text(const struct heap *h);

bool heap_stats(struct heap *h, struct goalloc_memstats *ms);
bool heap_get_param(struct heap *h, uint32_t id, uint64_t *value);
bool heap_set_param(struct heap *h, uint32_t id, uint64_t value);
bool heap_scavenge(struct heap *h, uint64_t bytes, uint64_t *released);

void heap_json(const struct heap *h);

#endif /* HEAP_H */
