/* SPDX-License-Identifier: GPL-2.0-only */
/* The tree /sys/kernel/debug/goalloc. */
#ifndef GOALLOC_DEBUGFS_H
#define GOALLOC_DEBUGFS_H

struct goalloc_heap;

void goalloc_debugfs_init(void);
void goalloc_debugfs_exit(void);
void goalloc_debugfs_add(struct goalloc_heap *heap);
void goalloc_debugfs_remove(struct goalloc_heap *heap);

#endif /* GOALLOC_DEBUGFS_H */
