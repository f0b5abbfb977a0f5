/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A heap's pages, to be drawn.
 */
#ifndef MAP_H
#define MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "heap.h"
#include "tables.h"

#define MAP_BASE	0xc000000000ULL

enum map_state { MAP_INUSE, MAP_IDLE, MAP_RELEASED };

/**
 * struct map_run - pages that look the same
 * @addr: where they begin
 * @pages: how many
 * @state: in a span, free with memory behind them, free without
 * @backed: whether there is memory behind them
 * @span: of pages in use the span, else NULL
 */
struct map_run {
	uint64_t addr;
	uint64_t pages;
	enum map_state state;
	bool backed;
	const struct span_row *span;
};

/**
 * struct map - a heap at one moment
 * @heap: which
 * @runs: what was grown, by address
 * @n: how many
 * @spans: those that the runs refer to
 * @num_spans: how many
 * @pages: in all, by state
 * @untouched: pages in use with no memory behind them
 * @live: bytes of live slots
 * @largest: pages of the longest free run
 * @backing_known: whether it is known which free pages have memory behind them
 */
struct map {
	const struct heap *heap;
	struct map_run *runs;
	size_t n;
	struct span_row *spans;
	size_t num_spans;
	uint64_t pages[MAP_RELEASED + 1];
	uint64_t untouched;
	uint64_t live;
	uint64_t largest;
	bool backing_known;
};

/* Classes of about the same size share a colour in the terminal. */
enum map_band {
	BAND_TINY,
	BAND_64,
	BAND_512,
	BAND_4K,
	BAND_32K,
	BAND_LARGE,
	BAND_EXACT,
	NUM_BANDS,
};

bool map_take(struct heap *h, struct map *map);
void map_end(struct map *map);
enum map_band map_band(const struct span_row *s);

/* map_text.c */
int map_print(const struct map *map, uint64_t cell_pages, bool ascii);

/* map_svg.c */
void map_svg(const struct map *map, uint64_t row_pages, FILE *to);

#endif /* MAP_H */
