/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top: what is looked at, and how it is shown.
 */
#ifndef TOP_H
#define TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "goallocctl.h"
#include "list.h"

enum top_column {
	COL_ID, COL_NAME, COL_PID, COL_OBJECTS, COL_ALLOC, COL_INUSE, COL_IDLE, COL_RELEASED,
	COL_HELD, COL_MALLOCS, COL_FREES, NUM_COLUMNS,
};

/* A heap with its rates. */
struct top_heap {
	struct list_heap h;
	double mallocs;
	double frees;
};

/**
 * struct top_look - all heaps at one moment
 * @heaps: they, in the order wanted
 * @n: how many
 * @all: whether these are all there are
 * @when: ticks_now()
 * @seconds: since the last look, on which the rates are based
 */
struct top_look {
	struct top_heap *heaps;
	size_t n;
	bool all;
	double when;
	double seconds;
};

/**
 * struct top_view - how they are shown
 * @columns: of the terminal
 * @lines: of the terminal
 * @color: with colours
 * @utf8: with block characters
 * @key: the column they are sorted by
 * @reverse: the other way round
 * @selected: the line with the cursor
 * @first: the line shown first
 */
struct top_view {
	unsigned int columns;
	unsigned int lines;
	bool color;
	bool utf8;
	enum top_column key;
	bool reverse;
	size_t selected;
	size_t first;
};

struct top_column_title {
	const char *name;
	int width;		/* 0 for the name's, which varies */
};

extern const struct top_column_title top_columns[NUM_COLUMNS];

/* top_look.c */
bool top_find_column(const char *name, enum top_column *column);
bool top_take(struct top_look *l, const struct top_look *last);
void top_sort(struct top_look *l, const struct top_view *v);

/* top_view.c */
void top_write(FILE *to, const struct top_view *v, const struct top_look *l);
size_t top_room(const struct top_view *v);
bool top_draw(struct top_view *v, const struct top_look *l);

#endif /* TOP_H */
