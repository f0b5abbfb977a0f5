// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap's pages as SVG: rows of pages, each span in the colour of its class,
 * dark from below as far as it is live; what it is appears under the mouse.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "map.h"

#define LEFT		136	/* of the rows: addresses stand there */
#define RIGHT		28
#define WIDTH		1024	/* of a row */
#define TOP		116
#define ROW		18	/* from row to row */
#define BAR		15	/* of it, what is drawn */
#define GAP		20	/* where rows are left out */
#define NARROW		0.9	/* what would be narrower is made as wide as this */
#define LEGEND_LINE	24
#define LEGEND_COLUMNS	5

#define FEW_ROWS	64

/* One for each size class, and the others. */
#define SORT_TINY	GOALLOC_BY_SIZE_MAX
#define SORT_EXACT	(SORT_TINY + 1)
#define NUM_SORTS	(SORT_EXACT + 1)

/**
 * struct drawing - the picture
 * @to: where it goes
 * @map: what is drawn
 * @row_pages: pages a row
 * @sizes: object sizes by sort
 * @pages: by sort, pages in use
 * @y: where the next row is
 * @height: of all
 */
struct drawing {
	FILE *to;
	const struct map *map;
	uint64_t row_pages;
	uint64_t sizes[NUM_SORTS];
	uint64_t pages[NUM_SORTS];
	double y;
	double height;
};

static unsigned int sort_of(const struct span_row *s)
{
	if (s->tiny)
		return SORT_TINY;
	return span_is_exact(s) ? SORT_EXACT : s->spanclass >> 1;
}

static double clamp(double value, double least, double most)
{
	return value < least ? least : value > most ? most : value;
}

static int channel(double hue, double saturation, double light, int n)
{
	double k = n + hue / 30, a = saturation * (light < 0.5 ? light : 1 - light);

	if (k >= 12)
		k -= 12;
	return 255 * (light - a * clamp(k - 3 < 9 - k ? k - 3 : 9 - k, -1, 1)) + 0.5;
}

/* Hue in degrees, the others from 0 to 1, as #rrggbb. */
static void write_color(FILE *to, double hue, double saturation, double light)
{
	fprintf(to, "#%02x%02x%02x", channel(hue, saturation, light, 0),
		channel(hue, saturation, light, 8), channel(hue, saturation, light, 4));
}

/* From blue for the smallest class to red for the largest, neighbours unlike. */
static void sort_color(FILE *to, unsigned int sort, bool pale)
{
	double light = sort % 2 ? 0.42 : 0.52;

	if (pale)
		light = 0.84;
	if (!sort)
		write_color(to, 285, 0.45, pale ? 0.86 : 0.48);
	else if (sort == SORT_TINY)
		write_color(to, 330, 0.75, pale ? 0.88 : 0.52);
	else if (sort == SORT_EXACT)
		write_color(to, 25, 0.35, pale ? 0.82 : 0.32);
	else
		write_color(to, 225 - 217.0 * (sort - 1) / (GOALLOC_BY_SIZE_MAX - 2), 0.72, light);
}

static void write_text(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			fputs("&lt;", to);
		else if (*s == '>')
			fputs("&gt;", to);
		else if (*s == '&')
			fputs("&amp;", to);
		else
			putc(*s, to);
	}
}

static void write_styles(struct drawing *d)
{
	unsigned int i;

	fprintf(d->to,
		"<style>\n"
		"text{font-family:\"DejaVu Sans\",Helvetica,Arial,sans-serif;fill:#222}\n"
		".h{font-size:20px;font-weight:600}\n"
		".p{font-size:14px}\n.b{font-weight:600}\n"
		".a{font-size:12px;text-anchor:end;\n"
		"font-family:\"DejaVu Sans Mono\",Menlo,Consolas,monospace}\n"
		".g{font-size:12px;fill:#777;font-style:italic}\n"
		".f{fill:#c4c8cc}\n.r{fill:url(#hatch)}\n.n{fill:#eef0f2}\n"
		"rect.e{fill:none;stroke:#fff;stroke-width:.6}\n");
	for (i = 0; i < NUM_SORTS; i++) {
		if (!d->pages[i])
			continue;
		fprintf(d->to, ".c%u{fill:", i);
		sort_color(d->to, i, false);
		fprintf(d->to, "}.p%u{fill:", i);
		sort_color(d->to, i, true);
		fputs("}\n", d->to);
	}
	fputs("</style>\n", d->to);
}

static void write_head(struct drawing *d)
{
	const struct map *m = d->map;
	uint64_t inuse = m->pages[MAP_INUSE] * HEAP_PAGE;
	uint64_t idle = m->pages[MAP_IDLE] * HEAP_PAGE;
	uint64_t released = m->pages[MAP_RELEASED] * HEAP_PAGE;
	char when[32] = "";
	time_t now = time(NULL);

	strftime(when, sizeof(when), "%F %T", localtime(&now));
	fprintf(d->to,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\"\n"
		" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n<defs>\n"
		"<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\n"
		"<rect width=\"6\" height=\"6\" fill=\"#fff\"/>\n"
		"<path d=\"M-1 1l2-2M0 6l6-6M5 7l2-2\" stroke=\"#c9ced3\" stroke-width=\"1\"/>\n"
		"</pattern>\n</defs>\n", LEFT + WIDTH + RIGHT, d->height, LEFT + WIDTH + RIGHT,
		d->height);
	write_styles(d);
	fprintf(d->to, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text class=\"h\" x=\"16\" y=\"34\">goalloc, ");
	write_text(d->to, heap_text(m->heap));
	fputs("</text>\n<text class=\"p\" x=\"16\" y=\"60\">", d->to);
	fprintf(d->to, "%s in %s span%s, %.1f %% of it live",
		bytes_text(inuse), count_text(m->num_spans), m->num_spans == 1 ? "" : "s",
		inuse ? 100.0 * m->live / inuse : 0);
	if (m->untouched)
		fprintf(d->to, ", %s never touched", bytes_text(m->untouched * HEAP_PAGE));
	fprintf(d->to, "; %s free with memory behind it, %s released; largest free run %s</text>\n",
		bytes_text(idle), bytes_text(released), bytes_text(m->largest * HEAP_PAGE));
	fputs("<text class=\"p\" x=\"16\" y=\"82\">", d->to);
	fprintf(d->to, "A row is %s, a page is 8 KiB. %s</text>\n",
		bytes_text(d->row_pages * HEAP_PAGE), when);
}

static double page_x(const struct drawing *d, uint64_t page)
{
	return LEFT + (double)WIDTH * page / d->row_pages;
}

static void write_rect(struct drawing *d, const char *class, double x, double width, double top,
		       double height)
{
	fprintf(d->to, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
		class, x, d->y + top, width, height);
}

static void write_title(struct drawing *d, const struct map_run *r)
{
	const struct span_row *s = r->span;

	fputs("<title>", d->to);
	if (r->state != MAP_INUSE) {
		fprintf(d->to, "%#" PRIx64 ": %s free page%s, %s, %s", r->addr,
			count_text(r->pages), r->pages == 1 ? "" : "s",
			bytes_text(r->pages * HEAP_PAGE), r->state == MAP_IDLE ?
			"memory behind it" : "no memory behind it");
	} else {
		fprintf(d->to, "%#" PRIx64 ": span of %s page%s, class %s, ", s->addr,
			count_text(s->pages), s->pages == 1 ? "" : "s", span_class_text(s));
		if (span_is_large(s))
			fprintf(d->to, "one object of %s", bytes_text(s->size));
		else
			fprintf(d->to, "%u of %u slots of %" PRIu64 " bytes live (%.0f %%), %s",
				s->live, s->slots, s->size,
				s->slots ? 100.0 * s->live / s->slots : 0, s->place);
		if (!r->backed)
			fputs("; these pages were never touched", d->to);
	}
	fputs("</title>", d->to);
}

/* What of a run lies in the row from @first on. */
static void draw_run(struct drawing *d, const struct map_run *r, uint64_t first, double width)
{
	double x = page_x(d, first % d->row_pages);
	unsigned int sort;
	double live = 1;
	char class[8];

	fputs("<g>", d->to);
	write_title(d, r);
	if (r->state != MAP_INUSE) {
		write_rect(d, r->state == MAP_IDLE ? "f" : "r", x, width, 0, BAR);
	} else {
		sort = sort_of(r->span);
		if (!span_is_large(r->span) && r->span->slots)
			live = (double)r->span->live / r->span->slots;
		if (!r->backed)
			live = 0;
		snprintf(class, sizeof(class), "p%u", sort);
		write_rect(d, class, x, width, 0, BAR);
		snprintf(class, sizeof(class), "c%u", sort);
		if (live > 0)
			write_rect(d, class, x, width, BAR * (1 - live), BAR * live);
		if (width >= 3)
			write_rect(d, "e", x, width, 0, BAR);
	}
	fputs("</g>\n", d->to);
}

static double run_width(const struct drawing *d, uint64_t first, uint64_t last)
{
	return (double)WIDTH * (last - first) / d->row_pages;
}

static void draw_wide(struct drawing *d, const struct map_run *r, uint64_t first, uint64_t last)
{
	double width = run_width(d, first, last);

	if (width >= NARROW)
		draw_run(d, r, first, width);
}

/* Over the others, and wide enough to be seen. */
static void draw_narrow(struct drawing *d, const struct map_run *r, uint64_t first, uint64_t last)
{
	if (run_width(d, first, last) < NARROW)
		draw_run(d, r, first, NARROW);
}

static uint64_t page_of(uint64_t addr)
{
	return (addr - MAP_BASE) / HEAP_PAGE;
}

/* Runs by row; calls @row before a row, @run for each piece in it. */
static void each_row(struct drawing *d,
		     void (*begin_row)(struct drawing *d, uint64_t row, uint64_t skipped),
		     void (*piece)(struct drawing *d, const struct map_run *r, uint64_t first,
				   uint64_t last))
{
	uint64_t row = UINT64_MAX;
	size_t i;

	for (i = 0; i < d->map->n; i++) {
		const struct map_run *r = &d->map->runs[i];
		uint64_t first = page_of(r->addr), end = first + r->pages, last;

		for (; first < end; first = last) {
			uint64_t its = first / d->row_pages;

			last = (its + 1) * d->row_pages;
			if (last > end)
				last = end;
			if (its != row)
				begin_row(d, its, row == UINT64_MAX ? 0 : its - row - 1);
			row = its;
			piece(d, r, first, last);
		}
	}
}

static void count_row(struct drawing *d, uint64_t row, uint64_t skipped)
{
	(void)row;
	d->y += ROW + (skipped ? GAP : 0);
}

static void count_piece(struct drawing *d, const struct map_run *r, uint64_t first, uint64_t last)
{
	unsigned int sort;

	if (r->state != MAP_INUSE)
		return;
	sort = sort_of(r->span);
	d->pages[sort] += last - first;
	d->sizes[sort] = r->span->size;
}

static void draw_row(struct drawing *d, uint64_t row, uint64_t skipped)
{
	d->y += ROW;
	if (skipped) {
		fprintf(d->to, "<text class=\"g\" x=\"%d\" y=\"%.0f\">%s not grown</text>\n", LEFT,
			d->y + 13, bytes_text(skipped * d->row_pages * HEAP_PAGE));
		d->y += GAP;
	}
	fprintf(d->to, "<text class=\"a\" x=\"%d\" y=\"%.0f\">%#" PRIx64 "</text>", LEFT - 8,
		d->y + BAR - 3, (uint64_t)(MAP_BASE + row * d->row_pages * HEAP_PAGE));
	write_rect(d, "n", LEFT, WIDTH, 0, BAR);
	putc('\n', d->to);
}

struct legend {
	struct drawing *d;
	unsigned int n;
};

/* The next place of the legend, with a sample of two colours. */
static void legend_sample(struct legend *l, const char *below, const char *above,
			  const char *label)
{
	struct drawing *d = l->d;
	unsigned int column = l->n % LEGEND_COLUMNS;
	double x = 16 + column * (double)(LEFT + WIDTH + RIGHT - 32) / LEGEND_COLUMNS;

	if (l->n && !column)
		d->y += LEGEND_LINE;
	l->n++;
	if (!d->to)
		return;
	write_rect(d, above, x, 26, 0, BAR);
	write_rect(d, below, x, 26, BAR / 3.0, BAR * 2 / 3.0);
	fprintf(d->to, "<text class=\"p\" x=\"%.1f\" y=\"%.1f\">", x + 34, d->y + 12);
	write_text(d->to, label);
	fputs("</text>\n", d->to);
}

static void legend_sort(struct legend *l, unsigned int sort)
{
	char label[96], above[8], below[8];
	struct drawing *d = l->d;
	const char *of = bytes_text(d->pages[sort] * HEAP_PAGE);

	if (sort == SORT_TINY)
		snprintf(label, sizeof(label), "tiny blocks: %s", of);
	else if (sort == SORT_EXACT)
		snprintf(label, sizeof(label), "exact classes: %s", of);
	else if (!sort)
		snprintf(label, sizeof(label), "large objects: %s", of);
	else
		snprintf(label, sizeof(label), "%u, %" PRIu64 " bytes: %s", sort, d->sizes[sort],
			 of);
	snprintf(above, sizeof(above), "p%u", sort);
	snprintf(below, sizeof(below), "c%u", sort);
	legend_sample(l, below, above, label);
}

static void legend_line(struct legend *l, const char *title)
{
	struct drawing *d = l->d;

	if (d->to)
		fprintf(d->to, "<text class=\"p b\" x=\"16\" y=\"%.0f\">%s</text>\n", d->y + 16,
			title);
	d->y += LEGEND_LINE + 2;
	l->n = 0;
}

/* Only counts its lines when there is nowhere to draw it. */
static void draw_legend(struct drawing *d)
{
	struct legend l = { .d = d };
	unsigned int i;

	legend_line(&l, "Spans by size class: dark is live, pale free, all pale never touched");
	if (d->pages[SORT_TINY])
		legend_sort(&l, SORT_TINY);
	if (d->pages[0])
		legend_sort(&l, 0);
	for (i = 1; i < NUM_SORTS; i++)
		if (d->pages[i] && i != SORT_TINY)
			legend_sort(&l, i);
	d->y += LEGEND_LINE + 6;
	legend_line(&l, "Pages in no span");
	legend_sample(&l, "f", "f", "free, memory behind it");
	legend_sample(&l, "r", "r", "released: none behind it");
	legend_sample(&l, "n", "n", "not grown");
	d->y += LEGEND_LINE;
}

static void choose_rows(struct drawing *d)
{
	uint64_t rows = UINT64_MAX;

	for (d->row_pages = 64; d->row_pages < 1 << 20; d->row_pages *= 2) {
		d->y = 0;
		memset(d->pages, 0, sizeof(d->pages));
		each_row(d, count_row, count_piece);
		rows = d->y / ROW;
		if (rows <= FEW_ROWS)
			break;
	}
}

void map_svg(const struct map *map, uint64_t row_pages, FILE *to)
{
	struct drawing d = { .map = map, .row_pages = row_pages };

	if (!row_pages)
		choose_rows(&d);
	memset(d.pages, 0, sizeof(d.pages));
	d.y = TOP - ROW;
	each_row(&d, count_row, count_piece);
	d.y += 2 * ROW;
	draw_legend(&d);
	d.height = d.y + 12;

	d.to = to;
	write_head(&d);
	d.y = TOP - ROW;
	each_row(&d, draw_row, draw_wide);
	d.y = TOP - ROW;
	each_row(&d, count_row, draw_narrow);
	d.y += 2 * ROW;
	draw_legend(&d);
	fputs("</svg>\n", to);
}
