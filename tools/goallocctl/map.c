// SPDX-License-Identifier: GPL-2.0-only
/*
 * map: a picture of a heap's pages.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "map.h"

static struct {
	struct heap_choice heap;
	const char *svg;
	uint64_t cell;
	uint64_t row;
	bool ascii;
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 's', "svg", "FILE", OPTION_TEXT, &opts.svg, "a picture as SVG; - is standard output" },
	{ 'c', "cell", "PAGES", OPTION_NUMBER, &opts.cell, "pages that a character stands for" },
	{ 'r', "row", "PAGES", OPTION_NUMBER, &opts.row, "pages in a row of the SVG" },
	{ 'a', "ascii", NULL, OPTION_FLAG, &opts.ascii, "letters instead of blocks" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "all runs of pages as JSON" },
};

static int save_svg(const struct map *map)
{
	FILE *to = stdout;
	bool done = true;

	if (strcmp(opts.svg, "-")) {
		to = fopen(opts.svg, "we");
		if (!to) {
			complain("%s: %s", opts.svg, strerror(errno));
			return FAILED;
		}
	}
	map_svg(map, opts.row, to);
	if (to != stdout && (ferror(to) | fclose(to))) {
		complain("%s: %s", opts.svg, strerror(errno));
		done = false;
	}
	if (done && to != stdout && !opts.json)
		printf("%s drawn into %s\n", heap_text(map->heap), opts.svg);
	return done ? DONE : FAILED;
}

static void print_json(const struct map *map)
{
	static const char * const states[] = { "inuse", "idle", "released" };
	size_t i;

	json_object(NULL);
	heap_json(map->heap);
	json_number("page_size", HEAP_PAGE);
	json_number("pages_inuse", map->pages[MAP_INUSE]);
	json_number("pages_idle", map->pages[MAP_IDLE]);
	json_number("pages_released", map->pages[MAP_RELEASED]);
	json_number("pages_untouched", map->untouched);
	json_number("largest_free", map->largest);
	json_number("live_bytes", map->live);
	json_bool("backing_known", map->backing_known);
	json_array("runs");
	for (i = 0; i < map->n; i++) {
		const struct map_run *r = &map->runs[i];

		json_object(NULL);
		json_address("address", r->addr);
		json_number("pages", r->pages);
		json_text("state", states[r->state]);
		json_bool("backed", r->backed);
		if (r->span) {
			json_address("span", r->span->addr);
			json_text("class", span_class_text(r->span));
			json_number("object_size", r->span->size);
			json_number("slots", r->span->slots);
			json_number("live", r->span->live);
		}
		json_end();
	}
	json_end();
	json_end();
}

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static int map_run(int argc, char **argv)
{
	struct heap h;
	struct map map;
	int err = DONE;

	if (argc)
		return usage_error("map", "unexpected: %s", argv[0]);
	if (opts.cell && !is_power_of_two(opts.cell))
		return usage_error("map", "--cell: a power of two");
	if (opts.row && (!is_power_of_two(opts.row) || opts.row < 16 || opts.row > 1 << 20))
		return usage_error("map", "--row: a power of two from 16 to %d", 1 << 20);
	if (opts.json && opts.svg && !strcmp(opts.svg, "-"))
		return usage_error("map", "either --json or --svg to standard output");
	if (!heap_choose(&opts.heap, &h) || !map_take(&h, &map)) {
		heap_close(&h);
		return FAILED;
	}
	if (!map.backing_known)
		complain("which free pages have memory behind them is unknown");
	if (opts.svg)
		err = save_svg(&map);
	if (opts.json)
		print_json(&map);
	else if (!opts.svg)
		err = map_print(&map, opts.cell, opts.ascii);
	map_end(&map);
	heap_close(&h);
	return err;
}

const struct command map_command = {
	.name = "map",
	.args = "",
	.summary = "draw a heap's pages",
	.help =
"In a terminal each character stands for some pages: its height shows how much of\n"
"them is live, its colour of what class they are. NO_COLOR is respected. The SVG is\n"
"for a browser: it shows each span, and says what it is where the mouse points. If\n"
"no heap is chosen it is the only one a process has open, or the module's own if\n"
"there is none. This reads debugfs.\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = map_run,
};
