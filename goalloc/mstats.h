/* SPDX-License-Identifier: GPL-2.0-only */
/* The books, as Go's MemStats keeps them (Go: mstats.go). */
#ifndef GOALLOC_MSTATS_H
#define GOALLOC_MSTATS_H

#include <linux/types.h>

struct goalloc_heap;
struct goalloc_memstats;
struct seq_file;

/* Name and place of each field, in the order of struct goalloc_memstats. */
struct mstats_field {
	const char *name;
	size_t offset;
};

extern const struct mstats_field mstats_fields[];
extern const unsigned int mstats_num_fields;

void readmemstats(struct goalloc_heap *heap, struct goalloc_memstats *ms);

#endif /* GOALLOC_MSTATS_H */
