// SPDX-License-Identifier: GPL-2.0-only
/*
 * top: heaps and how they change, live.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "goallocctl.h"
#include "list.h"
#include "screen.h"
#include "term.h"
#include "ticks.h"

/* Where there is no terminal to say how many. */
#define PLAIN_COLUMNS	120

static struct {
	const char *delay;
	const char *sort;
	uint64_t count;
	bool reverse;
	bool once;
	bool json;
} opts = { .sort = "inuse" };

static const struct option_spec options[] = {
	{ 'd', "delay", "SECONDS", OPTION_TEXT, &opts.delay, "between two looks, 1 otherwise" },
	{ 's', "sort", "KEY", OPTION_TEXT, &opts.sort, "a column's name, inuse otherwise" },
	{ 'r', "reverse", NULL, OPTION_FLAG, &opts.reverse, "the other way round" },
	{ 'n', "count", "N", OPTION_NUMBER, &opts.count, "end after so many looks" },
	{ 'o', "once", NULL, OPTION_FLAG, &opts.once, "one table, as for --count 1 and a script" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "a document of JSON at each look" },
};

enum column {
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
 * struct look - all heaps at one moment
 * @heaps: they, in the order wanted
 * @n: how many
 * @all: whether these are all there are
 * @when: ticks_now()
 * @seconds: since the last look, on which the rates are based
 */
struct look {
	struct top_heap *heaps;
	size_t n;
	bool all;
	double when;
	double seconds;
};

/**
 * struct view - how they are shown
 * @columns: of the terminal
 * @lines: of the terminal
 * @color: with colours
 * @utf8: with block characters
 * @key: the column they are sorted by
 * @reverse: the other way round
 * @selected: the line with the cursor
 * @first: the line shown first
 */
struct view {
	unsigned int columns;
	unsigned int lines;
	bool color;
	bool utf8;
	enum column key;
	bool reverse;
	size_t selected;
	size_t first;
};

static const struct {
	const char *name;
	int width;		/* 0 for the name's, which varies */
} columns[NUM_COLUMNS] = {
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

static double figure(const struct top_heap *t, enum column column)
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
static int by_column(const struct top_heap *x, const struct top_heap *y, enum column column)
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

static bool find_column(const char *name, enum column *column)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sort_words); i++)
		if (!strcmp(sort_words[i].name, name))
			name = sort_words[i].column;
	for (i = 0; i < NUM_COLUMNS; i++) {
		if (!strcmp(columns[i].name, name)) {
			*column = i;
			return true;
		}
	}
	return false;
}

static const struct view *sorted_by;

static int compare(const void *a, const void *b)
{
	const struct top_heap *x = a, *y = b;
	int d = by_column(x, y, sorted_by->key);

	if (sorted_by->reverse)
		d = -d;
	return d ? d : by_column(x, y, COL_ID);
}

static void sort(struct look *l, const struct view *v)
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
static bool take_look(struct look *l, const struct look *last)
{
	struct list_heap *heaps;
	int partial;
	size_t i, k;

	*l = (struct look){ 0 };
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

static void style(FILE *to, const struct view *v, const char *codes)
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
static void write_bar(FILE *to, const struct view *v, const struct list_heap *h,
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

static void widths(const struct view *v, unsigned int *name, unsigned int *bar)
{
	unsigned int fixed = 0, left;
	size_t i;

	for (i = 0; i < NUM_COLUMNS; i++)
		fixed += columns[i].width + 1;
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
static void end_line(FILE *to, const struct view *v)
{
	fputs(v->lines ? "\033[K\r\n" : "\n", to);
}

static void write_titles(FILE *to, const struct view *v)
{
	unsigned int name, bar;
	size_t i;

	widths(v, &name, &bar);
	style(to, v, "7");
	for (i = 0; i < NUM_COLUMNS; i++) {
		if (i == v->key)
			style(to, v, "1;4");
		if (columns[i].width)
			fprintf(to, "%*s", columns[i].width, columns[i].name);
		else
			fprintf(to, "%-*s", (int)name, columns[i].name);
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

static void write_heap(FILE *to, const struct view *v, const struct top_heap *t, bool selected)
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

static void write_head(FILE *to, const struct view *v, const struct look *l)
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

static void write_table(FILE *to, const struct view *v, const struct look *l)
{
	size_t i;

	write_head(to, v, l);
	write_titles(to, v);
	for (i = 0; i < l->n; i++)
		write_heap(to, v, &l->heaps[i], false);
}

static void write_json(const struct look *l)
{
	size_t i;

	json_object(NULL);
	json_number("time", time(NULL));
	json_real("seconds", l->seconds);
	json_bool("all", l->all);
	json_array("heaps");
	for (i = 0; i < l->n; i++) {
		json_object(NULL);
		list_json(&l->heaps[i].h);
		json_real("mallocs_per_s", l->heaps[i].mallocs);
		json_real("frees_per_s", l->heaps[i].frees);
		json_end();
	}
	json_end();
	json_end();
}

/* Without a terminal: looks one below the other. */
static int plain(struct view *v, double delay, uint64_t count)
{
	struct look last, l;
	double next;
	uint64_t n;

	if (!take_look(&last, &(struct look){ 0 }))
		return FAILED;
	next = last.when;
	for (n = 0; !count || n < count; n++) {
		next += delay;
		ticks_wait(next);
		if (!take_look(&l, &last))
			break;
		free(last.heaps);
		sort(&l, v);
		if (opts.json) {
			write_json(&l);
		} else {
			if (n)
				putchar('\n');
			write_table(stdout, v, &l);
			fflush(stdout);
		}
		last = l;
	}
	free(last.heaps);
	return !count || n < count ? FAILED : DONE;
}

/* Lines above and below the heaps. */
#define HEAD_LINES	3
#define FOOT_LINES	2

static size_t room(const struct view *v)
{
	return v->lines > HEAD_LINES + FOOT_LINES ? v->lines - HEAD_LINES - FOOT_LINES : 1;
}

/* Keeps the cursor on a heap, and that in sight. */
static void scroll(struct view *v, const struct look *l)
{
	if (v->selected >= l->n)
		v->selected = l->n ? l->n - 1 : 0;
	if (v->selected < v->first)
		v->first = v->selected;
	if (v->selected >= v->first + room(v))
		v->first = v->selected - room(v) + 1;
	if (v->first && v->first + room(v) > l->n)
		v->first = l->n > room(v) ? l->n - room(v) : 0;
}

static void write_foot(FILE *to, const struct view *v, const struct look *l)
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
		 v->utf8 ? "↑↓" : "up/down", columns[v->key].name, v->reverse ? "d" : "");
	write_name(to, line, v->columns - 1, v->utf8);
	style(to, v, "0");
	fputs("\033[K", to);
}

static bool draw(struct view *v, const struct look *l)
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
	for (i = v->first; i < l->n && i < v->first + room(v); i++)
		write_heap(to, v, &l->heaps[i], i == v->selected);
	for (i -= v->first; i < room(v); i++)
		end_line(to, v);
	write_foot(to, v, l);
	done = !fclose(to) && screen_write(frame, len);
	free(frame);
	return done;
}

/*
 * Once it has been moved, the cursor stays with its heap; before, it stays on the
 * first line.
 */
static void select_heap(struct view *v, const struct look *l, unsigned int id)
{
	size_t i;

	for (i = 0; v->selected && i < l->n; i++) {
		if (l->heaps[i].h.id == id) {
			v->selected = i;
			return;
		}
	}
}

static unsigned int selected_heap(const struct view *v, const struct look *l)
{
	return v->selected < l->n ? l->heaps[v->selected].h.id : 0;
}

static void resort(struct view *v, struct look *l)
{
	unsigned int id = selected_heap(v, l);

	sort(l, v);
	select_heap(v, l, id);
}

/* Return: false to end. */
static bool press(struct view *v, struct look *l, int key)
{
	size_t page = room(v);

	switch (key) {
	case 'q':
	case 'Q':
	case 4:		/* Ctrl-D */
	case '\033':
		return false;
	case KEY_UP:
	case 'k':
		v->selected -= v->selected > 0;
		return true;
	case KEY_DOWN:
	case 'j':
		v->selected++;
		return true;
	case KEY_PAGE_UP:
		v->selected -= v->selected < page ? v->selected : page;
		return true;
	case KEY_PAGE_DOWN:
		v->selected += page;
		return true;
	case KEY_HOME:
		v->selected = 0;
		return true;
	case KEY_END:
		v->selected = l->n;
		return true;
	case 's':
	case '>':
	case KEY_RIGHT:
		v->key = (v->key + 1) % NUM_COLUMNS;
		break;
	case '<':
	case KEY_LEFT:
		v->key = (v->key + NUM_COLUMNS - 1) % NUM_COLUMNS;
		break;
	case 'r':
		v->reverse = !v->reverse;
		break;
	default:
		return true;
	}
	resort(v, l);
	return true;
}

/* Keys until the next look is due. Return: false to end. */
static bool listen(struct view *v, struct look *l, double until)
{
	while (ticks_now() < until) {
		int key = screen_key(until);

		if ((key != KEY_NONE && !press(v, l, key)) || !draw(v, l))
			return false;
	}
	return true;
}

static int live(struct view *v, double delay)
{
	struct look last, l;
	bool go_on = true, failed = false;
	uint64_t n = 0;

	if (!take_look(&last, &(struct look){ 0 }))
		return FAILED;
	sort(&last, v);
	if (!screen_enter()) {
		free(last.heaps);
		return FAILED;
	}
	/* The first look has no rates, and soon gets company. */
	go_on = draw(v, &last) && listen(v, &last, last.when + (delay < 0.5 ? delay : 0.5));
	while (go_on) {
		unsigned int id = selected_heap(v, &last);

		failed = !take_look(&l, &last);
		if (failed)
			break;
		free(last.heaps);
		sort(&l, v);
		select_heap(v, &l, id);
		last = l;
		n++;
		go_on = draw(v, &l) && n != opts.count && listen(v, &l, l.when + delay);
	}
	screen_leave();
	if (failed)
		complain("goalloc has gone");
	free(last.heaps);
	return failed ? FAILED : DONE;
}

static int top_run(int argc, char **argv)
{
	struct view v = { .reverse = opts.reverse };
	uint64_t count = opts.once ? 1 : opts.count;
	double delay = 1;

	if (argc)
		return usage_error("top", "unexpected: %s", argv[0]);
	if (opts.delay && !parse_seconds(opts.delay, &delay))
		return usage_error("top", "--delay: %s is no number of seconds", opts.delay);
	if (!find_column(opts.sort, &v.key))
		return usage_error("top", "--sort: there is no column %s", opts.sort);
	v.utf8 = term_utf8();
	if (!opts.json && !opts.once && isatty(STDOUT_FILENO)) {
		v.color = term_color();
		return live(&v, delay);
	}
	v.columns = PLAIN_COLUMNS;
	if (!count && !opts.json)
		count = 1;
	return plain(&v, delay, count);
}

const struct command top_command = {
	.name = "top",
	.args = "",
	.summary = "show all heaps, live",
	.help =
"Keys: q ends, arrows, Page Up and Page Down move, s or < and > choose the column to\n"
"sort by, r reverses. The bar shows what of a heap is in use, idle, and released to\n"
"the system; \"held\" is the memory behind its pages. With --once, or when the output\n"
"is no terminal, a table is printed with the rates of one delay; with --json a\n"
"document at each look, for ever unless --once or --count says otherwise.\n",
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = top_run,
};
