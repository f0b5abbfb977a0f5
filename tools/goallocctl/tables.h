/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tables of debugfs by line.
 */
#ifndef TABLES_H
#define TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line of spans; the columns are those of the file. */
struct span_row {
	uint64_t addr;
	uint64_t pages;
	uint64_t size;
	uint32_t slots;
	uint32_t live;
	uint32_t sweepgen;
	uint16_t spanclass;
	bool tiny;
	char place[12];
};

/* A line of pages: a run of heap pages of which all is the same. */
struct page_run {
	uint64_t addr;
	uint64_t pages;
	bool inuse;
	bool backed;
};

/* A line of size_classes; those of the books are left out. */
struct class_row {
	uint32_t size;
	uint32_t span_bytes;
	uint32_t slots;
	uint32_t tail;
};

/* A line of exact_classes. */
struct exact_row {
	uint32_t spanclass;
	uint32_t size;
	uint32_t slot_size;
	uint32_t span_bytes;
	uint32_t slots;
	bool noscan;
	uint64_t mallocs;
	uint64_t frees;
	char name[64];
};

/* Size classes and what else debugfs numbers in the same way. */
#define SPANCLASS_EXACT	137

bool tables_spans(unsigned int heap, struct span_row **rows, size_t *n);
int tables_pages(unsigned int heap, struct page_run **runs, size_t *n);
bool tables_grown(unsigned int heap, uint64_t *start, uint64_t *end);
bool tables_classes(unsigned int heap, struct class_row *rows, size_t n);
bool tables_exact(unsigned int heap, struct exact_row **rows, size_t *n);

bool span_is_exact(const struct span_row *s);
bool span_is_large(const struct span_row *s);
const char *span_class_text(const struct span_row *s);

#endif /* TABLES_H */
