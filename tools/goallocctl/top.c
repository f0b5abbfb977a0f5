// SPDX-License-Identifier: GPL-2.0-only
/*
 * top: heaps and how they change, live.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "screen.h"
#include "term.h"
#include "ticks.h"
#include "top.h"

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

static void write_json(const struct top_look *l)
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
static int plain(struct top_view *v, double delay, uint64_t count)
{
	struct top_look last, l;
	double next;
	uint64_t n;

	if (!top_take(&last, &(struct top_look){ 0 }))
		return FAILED;
	next = last.when;
	for (n = 0; !count || n < count; n++) {
		next += delay;
		ticks_wait(next);
		if (!top_take(&l, &last))
			break;
		free(last.heaps);
		top_sort(&l, v);
		if (opts.json) {
			write_json(&l);
		} else {
			if (n)
				putchar('\n');
			top_write(stdout, v, &l);
			fflush(stdout);
		}
		last = l;
	}
	free(last.heaps);
	return !count || n < count ? FAILED : DONE;
}

/*
 * Once it has been moved, the cursor stays with its heap; before, it stays on the
 * first line.
 */
static void select_heap(struct top_view *v, const struct top_look *l, unsigned int id)
{
	size_t i;

	for (i = 0; v->selected && i < l->n; i++) {
		if (l->heaps[i].h.id == id) {
			v->selected = i;
			return;
		}
	}
}

static unsigned int selected_heap(const struct top_view *v, const struct top_look *l)
{
	return v->selected < l->n ? l->heaps[v->selected].h.id : 0;
}

static void resort(struct top_view *v, struct top_look *l)
{
	unsigned int id = selected_heap(v, l);

	top_sort(l, v);
	select_heap(v, l, id);
}

/* Return: false to end. */
static bool press(struct top_view *v, struct top_look *l, int key)
{
	size_t page = top_room(v);

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
static bool listen(struct top_view *v, struct top_look *l, double until)
{
	while (ticks_now() < until) {
		int key = screen_key(until);

		if ((key != KEY_NONE && !press(v, l, key)) || !top_draw(v, l))
			return false;
	}
	return true;
}

static int live(struct top_view *v, double delay)
{
	struct top_look last, l;
	bool go_on = true, failed = false;
	uint64_t n = 0;

	if (!top_take(&last, &(struct top_look){ 0 }))
		return FAILED;
	top_sort(&last, v);
	if (!screen_enter()) {
		free(last.heaps);
		return FAILED;
	}
	/* The first look has no rates, and soon gets company. */
	go_on = top_draw(v, &last) && listen(v, &last, last.when + (delay < 0.5 ? delay : 0.5));
	while (go_on) {
		unsigned int id = selected_heap(v, &last);

		failed = !top_take(&l, &last);
		if (failed)
			break;
		free(last.heaps);
		top_sort(&l, v);
		select_heap(v, &l, id);
		last = l;
		n++;
		go_on = top_draw(v, &l) && n != opts.count && listen(v, &l, l.when + delay);
	}
	screen_leave();
	if (failed)
		complain("goalloc has gone");
	free(last.heaps);
	return failed ? FAILED : DONE;
}

static int top_run(int argc, char **argv)
{
	struct top_view v = { .reverse = opts.reverse };
	uint64_t count = opts.once ? 1 : opts.count;
	double delay = 1;

	if (argc)
		return usage_error("top", "unexpected: %s", argv[0]);
	if (opts.delay && !parse_seconds(opts.delay, &delay))
		return usage_error("top", "--delay: %s is no number of seconds", opts.delay);
	if (!top_find_column(opts.sort, &v.key))
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
