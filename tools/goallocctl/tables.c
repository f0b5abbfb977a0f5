// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of debugfs by line. Lines that are not understood are left out: a
 * header is one of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugfs.h"
#include "goallocctl.h"
#include "tables.h"

static size_t lines(const char *text)
{
	size_t n = 1;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/*
 * Makes an array of the lines of a text, which is freed; @take says whether a
 * line is one of them. NULL if there is no memory, which has been said.
 */
static void *take_lines(char *text, size_t size, size_t *n,
			bool (*take)(const char *line, void *row))
{
	char *rows = calloc(lines(text), size), *line, *rest = text;

	*n = 0;
	while (rows && (line = strsep(&rest, "\n")))
		if (take(line, rows + *n * size))
			++*n;
	free(text);
	if (!rows)
		complain("out of memory");
	return rows;
}

static bool take_span(const char *line, void *row)
{
	struct span_row *s = row;
	char tiny[4];

	if (sscanf(line, "%" SCNx64 " %" SCNu64 " %hu %3s %" SCNu64 " %u %u %11s %u", &s->addr,
		   &s->pages, &s->spanclass, tiny, &s->size, &s->slots, &s->live, s->place,
		   &s->sweepgen) != 9)
		return false;
	s->tiny = !strcmp(tiny, "yes");
	return true;
}

/* By address; free() them. */
bool tables_spans(unsigned int heap, struct span_row **rows, size_t *n)
{
	char *text = debugfs_need(heap, "spans");

	if (!text)
		return false;
	*rows = take_lines(text, sizeof(**rows), n, take_span);
	return *rows;
}

static bool take_run(const char *line, void *row)
{
	struct page_run *r = row;
	char state[8], backed[8];

	if (sscanf(line, "%" SCNx64 " %" SCNu64 " %7s %7s", &r->addr, &r->pages, state,
		   backed) != 4)
		return false;
	r->inuse = !strcmp(state, "inuse");
	r->backed = !strcmp(backed, "yes");
	return true;
}

/* Return: 0, or a negative errno, -ENOENT if debugfs has no such table. Silent. */
int tables_pages(unsigned int heap, struct page_run **runs, size_t *n)
{
	char *text = debugfs_read(heap, "pages");

	if (!text)
		return -errno;
	*runs = take_lines(text, sizeof(**runs), n, take_run);
	return *runs ? 0 : -ENOMEM;
}

/* What lies between is grown, but for holes. */
bool tables_grown(unsigned int heap, uint64_t *start, uint64_t *end)
{
	char *text = debugfs_need(heap, "pagealloc"), *at;
	bool found;

	if (!text)
		return false;
	at = strstr(text, "\nstart ");
	found = at && sscanf(at, " start %" SCNx64 " end %" SCNx64, start, end) == 2;
	free(text);
	if (!found)
		complain("pagealloc of heap %u says neither start nor end", heap);
	return found;
}

/* Rows by their class, row 0 and what is beyond the table stay 0. */
bool tables_classes(unsigned int heap, struct class_row *rows, size_t n)
{
	char *text = debugfs_need(heap, "size_classes"), *line, *rest;
	struct class_row r;
	unsigned int class;

	if (!text)
		return false;
	memset(rows, 0, n * sizeof(*rows));
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (sscanf(line, "%u %u %u %u %u", &class, &r.size, &r.span_bytes, &r.slots,
			   &r.tail) == 5 && class < n)
			rows[class] = r;
	free(text);
	return true;
}

static bool take_exact(const char *line, void *row)
{
	struct exact_row *e = row;
	char noscan[4];
	int name;

	if (sscanf(line, "%u %u %u %u %u %3s %" SCNu64 " %" SCNu64 " %*u %n", &e->spanclass,
		   &e->size, &e->slot_size, &e->span_bytes, &e->slots, noscan, &e->mallocs,
		   &e->frees, &name) != 8)
		return false;
	e->noscan = !strcmp(noscan, "yes");
	snprintf(e->name, sizeof(e->name), "%s", line + name);
	clean_text(e->name);
	return true;
}

bool tables_exact(unsigned int heap, struct exact_row **rows, size_t *n)
{
	char *text = debugfs_need(heap, "exact_classes");

	if (!text)
		return false;
	*rows = take_lines(text, sizeof(**rows), n, take_exact);
	return *rows;
}

bool span_is_exact(const struct span_row *s)
{
	return s->spanclass >= SPANCLASS_EXACT;
}

bool span_is_large(const struct span_row *s)
{
	return s->spanclass < 2;
}

/* "9", "9 scan", "tiny", "large", "exact 137". */
const char *span_class_text(const struct span_row *s)
{
	static char text[24];
	const char *scan = s->spanclass & 1 ? "" : " scan";

	if (s->tiny)
		return "tiny";
	if (span_is_exact(s))
		snprintf(text, sizeof(text), "exact %u", s->spanclass);
	else if (span_is_large(s))
		snprintf(text, sizeof(text), "large%s", scan);
	else
		snprintf(text, sizeof(text), "%u%s", s->spanclass >> 1, scan);
	return text;
}
