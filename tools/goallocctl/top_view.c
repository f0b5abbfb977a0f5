// SPDX-License-Identifier: GPL-2.0-only
/*
 * top: a table of heaps, and the screen it stands on.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "screen.h"
#include "term.h"
#include "top.h"

static void style(FILE *to, const struct top_view *v, const char *codes)
{
	if (v->color)
		fprintf(to, "\033[%sm", codes);
}

/* So many columns of a name; what is cut off is told by a sign at the end. */
static void write_name(FILE *to, const char *name, unsigned int width, bool utf8)
{
	unsigned int len = 0, n = 0;
	const char *s;

	for (s = name; *s; s++)
		len += (*s & 0xc0) != 0x80;
	for (s = name; *s && (n < width - (len > width) || (*s & 0xc0) == 0x80); s++) {
		n += (*s & 0xc0) != 0x80;
		putc(*s, to);
	}
	if (len > width) {
		fputs(utf8 ? "…" : "~", to);
		n++;
	}
	fprintf(to, "%*s", (int)(width - n), "");
}

/* In use, idle and released as parts of a bar. */
static void write_bar(FILE *to, const struct top_view *v, const struct list_heap *h,
		      unsigned int width)
{
	static const struct {
		const char *block;
		char letter;
		const char *color;
	} parts[] = { { "█", '#', "32" }, { "▒", '=', "33" }, { "·", '.', "90" } };
	uint64_t idle = h->idle > h->released ? h->idle - h->released : 0;
	uint64_t bytes[] = { h->inuse, idle, h->released };
	uint64_t all = bytes[0] + bytes[1] + bytes[2], sum = 0;
	unsigned int drawn = 0, i, end;

	for (i = 0; all && i < ARRAY_SIZE(parts); i++) {
		sum += bytes[i];
		end = (double)sum * width / all + 0.5;
		/* Whatever there is of it can be seen. */
		if (bytes[i] && end == drawn && end < width)
			end++;
		style(to, v, parts[i].color);
		for (; drawn < end; drawn++) {
			if (v->utf8)
				fputs(parts[i].block, to);
			else
				putc(parts[i].letter, to);
		}
	}
	style(to, v, "0");
}

static void widths(const struct top_view *v, unsigned int *name, unsigned int *bar)
{
	unsigned int fixed = 0, left;
	size_t i;

	for (i = 0; i < NUM_COLUMNS; i++)
		fixed += top_columns[i].width + 1;
	left = v->columns > fixed ? v->columns - fixed : 0;
	*name = left * 2 / 3;
	if (*name < 10)
		*name = 10;
	if (*name > 24)
		*name = 24;
	*bar = left > *name ? left - *name : 0;
	if (*bar > 40)
		*bar = 40;
}

/* A line of the terminal ends where the terminal does. */
static void end_line(FILE *to, const struct top_view *v)
{
	fputs(v->lines ? "\033[K\r\n" : "\n", to);
}

static void write_titles(FILE *to, const struct top_view *v)
{
	unsigned int name, bar;
	size_t i;

	widths(v, &name, &bar);
	style(to, v, "7");
	for (i = 0; i < NUM_COLUMNS; i++) {
		if (i == v->key)
			style(to, v, "1;4");
		if (top_columns[i].width)
			fprintf(to, "%*s", top_columns[i].width, top_columns[i].name);
		else
			fprintf(to, "%-*s", (int)name, top_columns[i].name);
		if (i == v->key)
			style(to, v, "0;7");
		putc(' ', to);
	}
	if (bar)
		fprintf(to, "%-*.*s", (int)bar, (int)bar, bar >= 22 ? "in use, idle, released" :
			"use");
	style(to, v, "0");
	end_line(to, v);
}

static void write_heap(FILE *to, const struct top_view *v, const struct top_heap *t, bool selected)
{
	const struct list_heap *h = &t->h;
	unsigned int name, bar;

	widths(v, &name, &bar);
	if (selected)
		style(to, v, "1;48;5;237");
	fprintf(to, "%4u ", h->id);
	write_name(to, h->name, name, v->utf8);
	if (h->pid)
		fprintf(to, " %7d", h->pid);
	else
		fprintf(to, " %7s", "-");
	fprintf(to, " %5s %5s %5s %5s %5s %5s %5s %5s ", number_text(h->objects),
		size_text(h->alloc), size_text(h->inuse), size_text(h->idle),
		size_text(h->released), size_text(h->held), number_text(t->mallocs),
		number_text(t->frees));
	if (selected)
		style(to, v, "0");
	write_bar(to, v, h, bar);
	end_line(to, v);
}

static void write_head(FILE *to, const struct top_view *v, const struct top_look *l)
{
	double mallocs = 0, frees = 0;
	struct list_heap sum = { 0 };
	char clock[16] = "", line[512];
	time_t now = time(NULL);
	size_t i;

	for (i = 0; i < l->n; i++) {
		const struct top_heap *t = &l->heaps[i];

		sum.objects += t->h.objects;
		sum.inuse += t->h.inuse;
		sum.idle += t->h.idle;
		sum.released += t->h.released;
		sum.held += t->h.held;
		mallocs += t->mallocs;
		frees += t->frees;
	}
	strftime(clock, sizeof(clock), "%T", localtime(&now));
	snprintf(line, sizeof(line), "goalloc %s  %zu heap%s%s, %s object%s, %s made/s, %s freed/s",
		 clock, l->n, l->n == 1 ? "" : "s", l->all ? "" : " of yours",
		 number_text(sum.objects), sum.objects == 1 ? "" : "s", number_text(mallocs),
		 number_text(frees));
	fprintf(to, "%.*s", (int)v->columns, line);
	end_line(to, v);
	snprintf(line, sizeof(line), "%s in use, %s idle, %s of it released; %s of memory held",
		 bytes_text(sum.inuse), bytes_text(sum.idle), bytes_text(sum.released),
		 bytes_text(sum.held));
	fprintf(to, "%.*s", (int)v->columns, line);
	end_line(to, v);
}

void top_write(FILE *to, const struct top_view *v, const struct top_look *l)
{
	size_t i;

	write_head(to, v, l);
	write_titles(to, v);
	for (i = 0; i < l->n; i++)
		write_heap(to, v, &l->heaps[i], false);
}

/* Lines above and below the heaps. */
#define HEAD_LINES	3
#define FOOT_LINES	2

size_t top_room(const struct top_view *v)
{
	return v->lines > HEAD_LINES + FOOT_LINES ? v->lines - HEAD_LINES - FOOT_LINES : 1;
}

/* Keeps the cursor on a heap, and that in sight. */
static void scroll(struct top_view *v, const struct top_look *l)
{
	if (v->selected >= l->n)
		v->selected = l->n ? l->n - 1 : 0;
	if (v->selected < v->first)
		v->first = v->selected;
	if (v->selected >= v->first + top_room(v))
		v->first = v->selected - top_room(v) + 1;
	if (v->first && v->first + top_room(v) > l->n)
		v->first = l->n > top_room(v) ? l->n - top_room(v) : 0;
}

static void write_foot(FILE *to, const struct top_view *v, const struct top_look *l)
{
	char line[256] = "";

	if (l->n) {
		const struct list_heap *h = &l->heaps[v->selected].h;
		int len = snprintf(line, sizeof(line), "heap %u %s", h->id, h->name);

		if (h->pid)
			snprintf(line + len, sizeof(line) - len, ", file %d of process %d", h->fd,
				 h->pid);
	}
	fputs(" ", to);
	write_name(to, line, v->columns - 2, v->utf8);
	end_line(to, v);
	style(to, v, "2");
	snprintf(line, sizeof(line), " q quit  %s move  s < > sort (%s)  r reverse%s",
		 v->utf8 ? "↑↓" : "up/down", top_columns[v->key].name, v->reverse ? "d" : "");
	write_name(to, line, v->columns - 1, v->utf8);
	style(to, v, "0");
	fputs("\033[K", to);
}

bool top_draw(struct top_view *v, const struct top_look *l)
{
	char *frame = NULL;
	size_t len, i;
	FILE *to;
	bool done;

	term_size(&v->columns, &v->lines);
	scroll(v, l);
	to = open_memstream(&frame, &len);
	if (!to)
		return false;
	fputs("\033[H", to);
	write_head(to, v, l);
	write_titles(to, v);
	for (i = v->first; i < l->n && i < v->first + top_room(v); i++)
		write_heap(to, v, &l->heaps[i], i == v->selected);
	for (i -= v->first; i < top_room(v); i++)
		end_line(to, v);
	write_foot(to, v, l);
	done = !fclose(to) && screen_write(frame, len);
	free(frame);
	return done;
}
