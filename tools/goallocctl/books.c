// SPDX-License-Identifier: GPL-2.0-only
/*
 * The books of a heap: fields by name, tables of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "books.h"
#include "goallocctl.h"
#include "json.h"

#define FIELD(name, unit) { #name, offsetof(struct goalloc_memstats, name), BOOKS_ ## unit }

const struct books_field books_fields[] = {
	FIELD(alloc, BYTES), FIELD(total_alloc, BYTES), FIELD(sys, BYTES), FIELD(lookups, COUNT),
	FIELD(mallocs, COUNT), FIELD(frees, COUNT), FIELD(heap_alloc, BYTES),
	FIELD(heap_sys, BYTES), FIELD(heap_idle, BYTES), FIELD(heap_inuse, BYTES),
	FIELD(heap_released, BYTES), FIELD(heap_objects, COUNT), FIELD(stack_inuse, BYTES),
	FIELD(stack_sys, BYTES), FIELD(mspan_inuse, BYTES), FIELD(mspan_sys, BYTES),
	FIELD(mcache_inuse, BYTES), FIELD(mcache_sys, BYTES), FIELD(buck_hash_sys, BYTES),
	FIELD(gc_sys, BYTES), FIELD(other_sys, BYTES), FIELD(next_gc, BYTES),
	FIELD(last_gc, DATE), FIELD(pause_total_ns, NS), FIELD(num_gc, COUNT),
	FIELD(num_forced_gc, COUNT), FIELD(gc_cpu_fraction, PPM), FIELD(enable_gc, COUNT),
};

const size_t books_num_fields = ARRAY_SIZE(books_fields);

uint64_t books_get(const struct goalloc_memstats *ms, const struct books_field *f)
{
	uint64_t value;

	memcpy(&value, (const char *)ms + f->offset, sizeof(value));
	return value;
}

/* Reads "name value" lines. Return: whether every field was among them. */
bool books_parse(const char *summary, struct goalloc_memstats *ms)
{
	size_t found = 0, i;
	uint64_t value;
	char name[64];
	int end;

	memset(ms, 0, sizeof(*ms));
	while (sscanf(summary, "%63s %" SCNu64 " %n", name, &value, &end) == 2) {
		for (i = 0; i < books_num_fields; i++) {
			if (strcmp(books_fields[i].name, name))
				continue;
			memcpy((char *)ms + books_fields[i].offset, &value, sizeof(value));
			found++;
		}
		summary += end;
	}
	return found == books_num_fields && !*summary;
}

/* The first field in which two books differ, or NULL. */
const struct books_field *books_differ(const struct goalloc_memstats *a,
				       const struct goalloc_memstats *b)
{
	size_t i;

	for (i = 0; i < books_num_fields; i++)
		if (books_get(a, &books_fields[i]) != books_get(b, &books_fields[i]))
			return &books_fields[i];
	return NULL;
}

/*
 * Books side by side, without the fields that are 0 in all. @titles may be
 * NULL.
 */
void books_print(const char * const *titles, const struct goalloc_memstats *columns, size_t n)
{
	size_t i, k, zero = 0;

	if (titles) {
		printf("  %-16s", "");
		for (k = 0; k < n; k++)
			printf(" %18s", titles[k]);
		putchar('\n');
	}
	for (i = 0; i < books_num_fields; i++) {
		uint64_t any = 0;

		for (k = 0; k < n; k++)
			any |= books_get(&columns[k], &books_fields[i]);
		if (!any) {
			zero++;
			continue;
		}
		printf("  %-16s", books_fields[i].name);
		for (k = 0; k < n; k++) {
			uint64_t value = books_get(&columns[k], &books_fields[i]);

			printf(" %18s", value == UINT64_MAX ? "none" : count_text(value));
		}
		putchar('\n');
	}
	if (zero)
		printf("  and %zu more that are 0\n", zero);
}

static void print_human(enum books_unit unit, uint64_t value)
{
	time_t seconds = value / 1000000000;
	char date[32];

	switch (unit) {
	case BOOKS_BYTES:
		if (value >= 1024 && value != UINT64_MAX)
			printf("   %10s", bytes_text(value));
		break;
	case BOOKS_NS:
		printf("   %7.3f ms", value / 1e6);
		break;
	case BOOKS_DATE:
		if (strftime(date, sizeof(date), "%F %T", localtime(&seconds)))
			printf("   %s", date);
		break;
	case BOOKS_PPM:
		printf("   %8.4f %%", value / 1e4);
		break;
	case BOOKS_COUNT:
		break;
	}
}

/* Each field exactly and as people say it. */
void books_print_human(const struct goalloc_memstats *ms)
{
	size_t i, zero = 0;

	for (i = 0; i < books_num_fields; i++) {
		uint64_t value = books_get(ms, &books_fields[i]);

		if (!value) {
			zero++;
			continue;
		}
		printf("  %-16s %18s", books_fields[i].name,
		       value == UINT64_MAX ? "none" : count_text(value));
		print_human(books_fields[i].unit, value);
		putchar('\n');
	}
	if (zero)
		printf("  and %zu more that are 0\n", zero);
}

/* All fields and used classes as members of an object that has been begun. */
void books_json(const struct goalloc_memstats *ms)
{
	size_t i;

	for (i = 0; i < books_num_fields; i++)
		json_limit(books_fields[i].name, books_get(ms, &books_fields[i]));
	json_array("by_size");
	for (i = 0; i < ms->by_size_count && i < GOALLOC_BY_SIZE_MAX; i++) {
		if (!ms->by_size[i].mallocs)
			continue;
		json_object(NULL);
		json_number("class", i);
		json_number("object_size", ms->by_size[i].object_size);
		json_number("mallocs", ms->by_size[i].mallocs);
		json_number("frees", ms->by_size[i].frees);
		json_end();
	}
	json_end();
}

static const struct goalloc_memstats *sorted_books;

static int by_mallocs(const void *a, const void *b)
{
	const struct goalloc_by_size *x = &sorted_books->by_size[*(const unsigned int *)a];
	const struct goalloc_by_size *y = &sorted_books->by_size[*(const unsigned int *)b];

	return x->mallocs < y->mallocs ? 1 : x->mallocs > y->mallocs ? -1 : 0;
}

/* The size classes that were used most. */
void books_print_sizes(const struct goalloc_memstats *ms, unsigned int most)
{
	unsigned int order[GOALLOC_BY_SIZE_MAX], i, used = 0;

	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		order[i] = i;
		used += ms->by_size[i].mallocs != 0;
	}
	sorted_books = ms;
	qsort(order, GOALLOC_BY_SIZE_MAX, sizeof(order[0]), by_mallocs);

	printf("  %5s %8s %12s %12s %12s %16s\n", "class", "bytes", "made", "freed", "live",
	       "live bytes");
	for (i = 0; i < most && i < used; i++) {
		const struct goalloc_by_size *b = &ms->by_size[order[i]];
		uint64_t live = b->mallocs - b->frees;

		if (order[i])
			printf("  %5u %8u %12s %12s %12s %16s\n", order[i], b->object_size,
			       count_text(b->mallocs), count_text(b->frees), count_text(live),
			       count_text(live * b->object_size));
		else
			printf("  %5u %8s %12s %12s %12s\n", 0, "large", count_text(b->mallocs),
			       count_text(b->frees), count_text(live));
	}
	if (used > most)
		printf("  and %u more classes that were used\n", used - most);
}
