// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap's pages in a terminal: a character stands for a cell of one or more
 * pages and shows what most of them are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map.h"
#include "term.h"

/* Rows that are not too many to look at. */
#define FEW_ROWS	40
#define MOST_CELLS	(1 << 20)

/**
 * struct cell - some pages
 * @pages: in use, by band
 * @touched: of those, with memory behind them
 * @live: pages' worth of live slots
 * @idle: free with memory behind them
 * @released: free without
 */
struct cell {
	double pages[NUM_BANDS];
	double touched;
	double live;
	double idle;
	double released;
};

/**
 * struct picture - how it is drawn
 * @cells: of all rows
 * @cell_pages: pages a cell
 * @columns: cells a row
 * @rows: rows
 * @start: address of the first cell
 * @color: with colours
 * @ascii: with letters
 */
struct picture {
	struct cell *cells;
	uint64_t cell_pages;
	unsigned int columns;
	uint64_t rows;
	uint64_t start;
	bool color;
	bool ascii;
};

static const struct {
	const char *label;
	unsigned char color;	/* of xterm's 256 */
	char letter;
} bands[NUM_BANDS] = {
	[BAND_TINY]	= { "tiny objects", 51, 't' },
	[BAND_64]	= { "to 64 bytes", 33, 'a' },
	[BAND_512]	= { "to 512", 42, 'b' },
	[BAND_4K]	= { "to 4 KiB", 220, 'c' },
	[BAND_32K]	= { "to 32 KiB", 208, 'd' },
	[BAND_LARGE]	= { "large", 170, 'l' },
	[BAND_EXACT]	= { "exact classes", 252, 'e' },
};

#define GRAY	240

/* Only what is new is sent; -1 is no colour. */
static void color(const struct picture *p, int number)
{
	static int now = -1;

	if (!p->color || number == now)
		return;
	now = number;
	if (number < 0)
		fputs("\033[0m", stdout);
	else
		printf("\033[38;5;%dm", number);
}

/* Pages of a run in a cell. */
static void add_pages(struct cell *c, const struct map_run *r, double pages)
{
	double live = 1;

	switch (r->state) {
	case MAP_IDLE:
		c->idle += pages;
		return;
	case MAP_RELEASED:
		c->released += pages;
		return;
	case MAP_INUSE:
		break;
	}
	if (!span_is_large(r->span))
		live = (double)r->span->live * r->span->size / (r->span->pages * HEAP_PAGE);
	c->pages[map_band(r->span)] += pages;
	c->live += pages * live;
	if (r->backed)
		c->touched += pages;
}

static void fill(struct picture *p, const struct map *map)
{
	uint64_t bytes = p->cell_pages * HEAP_PAGE, addr, end, until;
	size_t i;

	for (i = 0; i < map->n; i++) {
		const struct map_run *r = &map->runs[i];

		addr = r->addr;
		end = addr + r->pages * HEAP_PAGE;
		for (; addr < end; addr = until) {
			uint64_t cell = (addr - p->start) / bytes;

			until = p->start + (cell + 1) * bytes;
			if (until > end)
				until = end;
			add_pages(&p->cells[cell], r, (double)(until - addr) / HEAP_PAGE);
		}
	}
}

static double pages_inuse(const struct cell *c, enum map_band *most)
{
	double all = 0;
	unsigned int i;

	*most = 0;
	for (i = 0; i < NUM_BANDS; i++) {
		all += c->pages[i];
		if (c->pages[i] > c->pages[*most])
			*most = i;
	}
	return all;
}

static void draw_cell(const struct picture *p, const struct cell *c)
{
	static const char heights[][4] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	enum map_band band;
	double inuse = pages_inuse(c, &band), share;
	int height;

	/* A page in use is worth seeing among any number of free ones. */
	if (inuse > 0) {
		share = c->live / (inuse + c->idle + c->released);
		height = share * 8 - 0.01;
		color(p, bands[band].color);
		if (c->touched < inuse / 2)
			fputs(p->ascii ? "o" : "▒", stdout);
		else if (p->ascii)
			putchar(share >= 0.5 ? bands[band].letter & ~32 : bands[band].letter);
		else
			fputs(heights[height < 0 ? 0 : height > 7 ? 7 : height], stdout);
	} else if (c->idle > 0) {
		color(p, GRAY + 6);
		fputs(p->ascii ? "-" : "░", stdout);
	} else if (c->released > 0) {
		color(p, GRAY);
		fputs(p->ascii ? "." : "·", stdout);
	} else {
		putchar(' ');
	}
}

static bool is_grown(const struct cell *c)
{
	enum map_band most;

	return c->idle > 0 || c->released > 0 || pages_inuse(c, &most) > 0;
}

static void draw_rows(const struct picture *p)
{
	uint64_t row, skipped = 0, bytes = p->columns * p->cell_pages * HEAP_PAGE;
	unsigned int i, last;

	for (row = 0; row < p->rows; row++) {
		const struct cell *cells = p->cells + row * p->columns;

		for (i = last = 0; i < p->columns; i++)
			if (is_grown(&cells[i]))
				last = i + 1;
		if (!last) {
			skipped++;
			continue;
		}
		if (skipped)
			printf("%14s %s not grown\n", "...", bytes_text(skipped * bytes));
		skipped = 0;
		printf("%#14" PRIx64 " ", p->start + row * bytes);
		for (i = 0; i < last; i++)
			draw_cell(p, &cells[i]);
		color(p, -1);
		putchar('\n');
	}
}

static void draw_sample(const struct picture *p, int number, const char *block, char letter,
			const char *label)
{
	fputs("  ", stdout);
	color(p, number);
	if (p->ascii)
		putchar(letter);
	else
		fputs(block, stdout);
	color(p, -1);
	printf(" %s", label);
}

static void draw_legend(const struct picture *p, const struct map *map)
{
	uint64_t pages[NUM_BANDS] = { 0 };
	unsigned int b;
	size_t i;

	for (i = 0; i < map->n; i++)
		if (map->runs[i].state == MAP_INUSE)
			pages[map_band(map->runs[i].span)] += map->runs[i].pages;
	printf("\n%14s", "in spans");
	for (b = 0; b < NUM_BANDS; b++)
		if (pages[b])
			draw_sample(p, bands[b].color, "█", bands[b].letter & ~32,
				    bands[b].label);
	printf("\n%14s", "else");
	if (map->untouched)
		draw_sample(p, bands[BAND_LARGE].color, "▒", 'o', "in a span, never touched");
	draw_sample(p, GRAY + 6, "░", '-', "free, memory behind it");
	draw_sample(p, GRAY, "·", '.', "free, none behind it");
	printf("\n%14s  %s page%s of 8 KiB; %s\n", "a character",
	       p->cell_pages == 1 ? "a" : plain_text(p->cell_pages),
	       p->cell_pages == 1 ? "" : "s",
	       p->ascii ? "a capital: at least half of it is live" :
	       "the higher, the more of it is live");
}

static void print_figures(const struct map *map)
{
	uint64_t inuse = map->pages[MAP_INUSE] * HEAP_PAGE, idle, released, all;

	idle = map->pages[MAP_IDLE] * HEAP_PAGE;
	released = map->pages[MAP_RELEASED] * HEAP_PAGE;
	all = idle + released;
	printf("%14s  %s in %s span%s, %.1f %% of it live", "in use", bytes_text(inuse),
	       count_text(map->num_spans), map->num_spans == 1 ? "" : "s",
	       inuse ? 100.0 * map->live / inuse : 0);
	if (map->untouched)
		printf(", %s never touched", bytes_text(map->untouched * HEAP_PAGE));
	printf("\n%14s  %s idle, %s released; largest free run %s", "free", bytes_text(idle),
	       bytes_text(released), bytes_text(map->largest * HEAP_PAGE));
	if (all)
		printf(", %.1f %% of all that is free", 100.0 * map->largest * HEAP_PAGE / all);
	putchar('\n');
}

/* So many columns that rows begin at round addresses. */
static unsigned int fitting_columns(void)
{
	unsigned int columns, lines, n = 16;

	term_size(&columns, &lines);
	while (n < 512 && n * 2 + 15 <= columns)
		n *= 2;
	return n;
}

static bool lay_out(struct picture *p, const struct map *map, uint64_t cell_pages)
{
	uint64_t first = map->runs[0].addr - MAP_BASE, end, bytes;
	const struct map_run *last = &map->runs[map->n - 1];

	end = last->addr + last->pages * HEAP_PAGE - MAP_BASE;
	p->cell_pages = cell_pages ? cell_pages : 1;
	for (;; p->cell_pages *= 2) {
		bytes = p->columns * p->cell_pages * HEAP_PAGE;
		p->start = MAP_BASE + first / bytes * bytes;
		p->rows = (end - first / bytes * bytes + bytes - 1) / bytes;
		if (cell_pages || p->rows <= FEW_ROWS)
			break;
	}
	if (p->rows > MOST_CELLS / p->columns) {
		complain("that would be %s rows: choose a larger --cell", count_text(p->rows));
		return false;
	}
	p->cells = calloc(p->rows * p->columns, sizeof(*p->cells));
	if (!p->cells)
		complain("out of memory");
	return p->cells;
}

int map_print(const struct map *map, uint64_t cell_pages, bool ascii)
{
	struct picture p = {
		.columns = fitting_columns(), .color = term_color(), .ascii = ascii || !term_utf8(),
	};

	printf("%s\n", heap_text(map->heap));
	if (!map->n) {
		printf("Nothing has been grown.\n");
		return DONE;
	}
	if (!lay_out(&p, map, cell_pages))
		return FAILED;
	fill(&p, map);
	draw_rows(&p);
	draw_legend(&p, map);
	print_figures(map);
	free(p.cells);
	return DONE;
}
