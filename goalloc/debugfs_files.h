/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of a heap's directory in debugfs: debugfs.c makes the directory and
 * has the books and what can be written, debugfs_classes.c the tables by size
 * class, debugfs_pages.c those by address.
 */
#ifndef GOALLOC_DEBUGFS_FILES_H
#define GOALLOC_DEBUGFS_FILES_H

#include <linux/fs.h>
#include <linux/types.h>

#include "mspan.h"

struct goalloc_heap;
struct goalloc_memstats;

/**
 * struct debugfs_file - a file that every heap has
 * @name: its name; NULL ends an array of them
 * @mode: who may open it
 * @fops: what it does; the heap is the inode's private pointer
 */
struct debugfs_file {
	const char *name;
	umode_t mode;
	const struct file_operations *fops;
};

extern const struct debugfs_file debugfs_class_files[];
extern const struct debugfs_file debugfs_page_files[];

struct goalloc_memstats *debugfs_books(struct goalloc_heap *heap);

/* What a table shows as a span class. */
static inline u8 debugfs_spanclass(u8 spc)
{
	return spanclass_is_exact(spc) ? spc : spanclass_public(spc);
}

#endif /* GOALLOC_DEBUGFS_FILES_H */
