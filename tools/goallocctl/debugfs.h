/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /sys/kernel/debug/goalloc.
 */
#ifndef DEBUGFS_H
#define DEBUGFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/goalloc.h>

int debugfs_heaps(unsigned int **ids, size_t *n);
void debugfs_complain(int err);
bool debugfs_readable(void);
char *debugfs_read(unsigned int heap, const char *file);
char *debugfs_need(unsigned int heap, const char *file);
bool debugfs_write(unsigned int heap, const char *file, const char *value);
bool debugfs_number(unsigned int heap, const char *file, uint64_t *value);
bool debugfs_name(unsigned int heap, char *name, size_t size);
bool debugfs_summary(unsigned int heap, struct goalloc_memstats *ms);
bool debugfs_by_size(unsigned int heap, struct goalloc_memstats *ms);
bool debugfs_own_heap(unsigned int *heap);
bool debugfs_has_heap(unsigned int heap);

#endif /* DEBUGFS_H */
