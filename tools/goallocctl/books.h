/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The books of a heap, from MEMSTATS or from debugfs.
 */
#ifndef BOOKS_H
#define BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/goalloc.h>

enum books_unit { BOOKS_BYTES, BOOKS_COUNT, BOOKS_NS, BOOKS_DATE, BOOKS_PPM };

struct books_field {
	const char *name;
	size_t offset;
	enum books_unit unit;
};

extern const struct books_field books_fields[];
extern const size_t books_num_fields;

uint64_t books_get(const struct goalloc_memstats *ms, const struct books_field *f);
bool books_parse(const char *summary, struct goalloc_memstats *ms);
const struct books_field *books_differ(const struct goalloc_memstats *a,
				       const struct goalloc_memstats *b);
void books_print(const char * const *titles, const struct goalloc_memstats *columns, size_t n);
void books_print_sizes(const struct goalloc_memstats *ms, unsigned int most);

void books_print_human(const struct goalloc_memstats *ms);
void books_json(const struct goalloc_memstats *ms);

#endif /* BOOKS_H */
