// SPDX-License-Identifier: GPL-2.0-only
/*
 * top: all heaps at one moment, with what has changed since the last, in order.
 */
#include <stdlib.h>
#include <string.h>

#include "ticks.h"
#include "top.h"

const struct top_column_title top_columns[NUM_COLUMNS] = {
	[COL_ID]	= { "id", 4 },
	[COL_NAME]	= { "name", 0 },
	[COL_PID]	= { "pid", 7 },
	[COL_OBJECTS]	= { "objs", 5 },
	[COL_ALLOC]	= { "alloc", 5 },
	[COL_INUSE]	= { "inuse", 5 },
	[COL_IDLE]	= { "idle", 5 },
	[COL_RELEASED]	= { "rel", 5 },
	[COL_HELD]	= { "held", 5 },
	[COL_MALLOCS]	= { "mal/s", 5 },
	[COL_FREES]	= { "fre/s", 5 },
};

static double figure(const struct top_heap *t, enum top_column column)
{
	switch (column) {
	case COL_ID:
		return t->h.id;
	case COL_PID:
		return t->h.pid;
	case COL_OBJECTS:
		return t->h.objects;
	case COL_ALLOC:
		return t->h.alloc;
	case COL_INUSE:
		return t->h.inuse;
	case COL_IDLE:
		return t->h.idle;
	case COL_RELEASED:
		return t->h.released;
	case COL_HELD:
		return t->h.held;
	case COL_MALLOCS:
		return t->mallocs;
	case COL_FREES:
		return t->frees;
	default:
		return 0;
	}
}

/* Numbers and names go up, all else goes down. */
static int by_column(const struct top_heap *x, const struct top_heap *y, enum top_column column)
{
	double a = figure(x, column), b = figure(y, column);

	if (column == COL_NAME)
		return strcmp(x->h.name, y->h.name);
	if (column == COL_ID || column == COL_PID)
		return a < b ? -1 : a > b;
	return a < b ? 1 : a > b ? -1 : 0;
}

/* Other words for some of them. */
static const struct {
	const char *name;
	const char *column;
} sort_words[] = {
	{ "objects", "objs" }, { "released", "rel" }, { "mallocs", "mal/s" },
	{ "mallocs/s", "mal/s" }, { "frees", "fre/s" }, { "frees/s", "fre/s" },
};

bool top_find_column(const char *name, enum top_column *column)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sort_words); i++)
		if (!strcmp(sort_words[i].name, name))
			name = sort_words[i].column;
	for (i = 0; i < NUM_COLUMNS; i++) {
		if (!strcmp(top_columns[i].name, name)) {
			*column = i;
			return true;
		}
	}
	return false;
}

static const struct top_view *sorted_by;

static int compare(const void *a, const void *b)
{
	const struct top_heap *x = a, *y = b;
	int d = by_column(x, y, sorted_by->key);

	if (sorted_by->reverse)
		d = -d;
	return d ? d : by_column(x, y, COL_ID);
}

void top_sort(struct top_look *l, const struct top_view *v)
{
	sorted_by = v;
	if (l->n)
		qsort(l->heaps, l->n, sizeof(*l->heaps), compare);
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before && seconds > 0 ? (now - before) / seconds : 0;
}

/* Heaps as they are now, with rates since @last. */
bool top_take(struct top_look *l, const struct top_look *last)
{
	struct list_heap *heaps;
	int partial;
	size_t i, k;

	*l = (struct top_look){ 0 };
	if (!list_heaps(&heaps, &l->n, &partial))
		return false;
	l->all = !partial;
	l->when = ticks_now();
	l->seconds = last->when > 0 ? l->when - last->when : 0;
	l->heaps = calloc(l->n + 1, sizeof(*l->heaps));
	for (i = 0; l->heaps && i < l->n; i++) {
		struct top_heap *t = &l->heaps[i];

		t->h = heaps[i];
		for (k = 0; k < last->n && last->heaps[k].h.id != t->h.id; k++)
			;
		/* One that is new has made all of its objects since. */
		t->mallocs = rate(t->h.mallocs, k < last->n ? last->heaps[k].h.mallocs : 0,
				  l->seconds);
		t->frees = rate(t->h.frees, k < last->n ? last->heaps[k].h.frees : 0, l->seconds);
	}
	free(heaps);
	if (!l->heaps)
		complain("out of memory");
	return l->heaps;
}
