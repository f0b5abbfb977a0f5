// SPDX-License-Identifier: GPL-2.0-only
/*
 * spans: those of a heap, some of them, in an order of one's choice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "json.h"
#include "tables.h"

static struct {
	struct heap_choice heap;
	const char *class;
	const char *state;
	const char *sort;
	uint64_t most;
	bool reverse;
	bool json;
} opts = { .sort = "address", .most = UINT64_MAX };

static const struct option_spec options[] = {
	{ 'c', "class", "CLASS", OPTION_TEXT, &opts.class,
	  "a size class, \"tiny\", \"large\" or \"exact\"" },
	{ 't', "state", "STATE", OPTION_TEXT, &opts.state, "cached, partial, full or held" },
	{ 's', "sort", "KEY", OPTION_TEXT, &opts.sort,
	  "address, pages, class, live, use or free" },
	{ 'r', "reverse", NULL, OPTION_FLAG, &opts.reverse, "the other way round" },
	{ 'n', "lines", "N", OPTION_NUMBER, &opts.most, "no more than so many" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static double use(const struct span_row *s)
{
	return s->slots ? (double)s->live / s->slots : 0;
}

/* Bytes that no object has. */
static uint64_t unused(const struct span_row *s)
{
	uint64_t live = s->live * s->size, all = s->pages * HEAP_PAGE;

	return all > live ? all - live : 0;
}

static int three_way(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_address(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;

	return three_way(x->addr, y->addr);
}

/* Large figures first, except for classes. */
static int by_pages(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;
	int d = three_way(y->pages, x->pages);

	return d ? d : by_address(a, b);
}

static int by_class(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;
	int d = three_way(x->spanclass * 2 + !x->tiny, y->spanclass * 2 + !y->tiny);

	return d ? d : by_address(a, b);
}

static int by_live(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;
	int d = three_way(y->live, x->live);

	return d ? d : by_address(a, b);
}

static int by_use(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;
	int d = three_way((uint64_t)y->live * x->slots, (uint64_t)x->live * y->slots);

	return d ? d : by_address(a, b);
}

static int by_free(const void *a, const void *b)
{
	const struct span_row *x = a, *y = b;
	int d = three_way(unused(y), unused(x));

	return d ? d : by_address(a, b);
}

static const struct sort_key {
	const char *name;
	int (*compare)(const void *a, const void *b);
} sort_keys[] = {
	{ "address", by_address },
	{ "pages", by_pages },
	{ "class", by_class },
	{ "live", by_live },
	{ "use", by_use },
	{ "free", by_free },
};

static const struct sort_key *find_key(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sort_keys); i++)
		if (!strcmp(sort_keys[i].name, opts.sort))
			return &sort_keys[i];
	return NULL;
}

static bool class_wanted(const struct span_row *s)
{
	uint64_t class;

	if (!opts.class)
		return true;
	if (!strcmp(opts.class, "tiny"))
		return s->tiny;
	if (!strcmp(opts.class, "large"))
		return span_is_large(s);
	if (!strcmp(opts.class, "exact"))
		return span_is_exact(s);
	return parse_number(opts.class, &class) && !span_is_exact(s) && s->spanclass >> 1 == class;
}

static int check_options(void)
{
	static const char * const states[] = { "cached", "partial", "full", "held" };
	uint64_t class;
	size_t i;

	if (!find_key())
		return usage_error("spans", "%s is no order", opts.sort);
	for (i = 0; opts.state && i < ARRAY_SIZE(states) && strcmp(opts.state, states[i]); i++)
		;
	if (i == ARRAY_SIZE(states))
		return usage_error("spans", "%s is no state: cached, partial, full or held",
				   opts.state);
	if (opts.class && strcmp(opts.class, "tiny") && strcmp(opts.class, "large") &&
	    strcmp(opts.class, "exact") &&
	    (!parse_number(opts.class, &class) || class >= GOALLOC_BY_SIZE_MAX))
		return usage_error("spans", "%s is no class: 0 to %d, tiny, large or exact",
				   opts.class, GOALLOC_BY_SIZE_MAX - 1);
	return DONE;
}

/* Those that are wanted, to the front. Return: how many. */
static size_t choose(struct span_row *rows, size_t n)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++)
		if (class_wanted(&rows[i]) && (!opts.state || !strcmp(opts.state, rows[i].place)))
			rows[k++] = rows[i];
	return k;
}

static void order(struct span_row *rows, size_t n)
{
	size_t i;

	qsort(rows, n, sizeof(*rows), find_key()->compare);
	for (i = 0; opts.reverse && i < n / 2; i++) {
		struct span_row row = rows[i];

		rows[i] = rows[n - 1 - i];
		rows[n - 1 - i] = row;
	}
}

static void print(const struct heap *h, const struct span_row *rows, size_t n)
{
	uint64_t pages = 0, live = 0;
	size_t i;

	printf("%14s %10s %-10s %12s %6s %6s %5s %8s  %s\n", "address", "pages", "class", "slot",
	       "slots", "live", "use", "free", "state");
	for (i = 0; i < n; i++) {
		const struct span_row *s = &rows[i];

		pages += s->pages;
		live += s->live * s->size;
		if (i < opts.most)
			printf("%#14" PRIx64 " %10" PRIu64 " %-10s %12" PRIu64
			       " %6u %6u %4.0f%% %8s  %s\n", s->addr, s->pages,
			       span_class_text(s), s->size, s->slots, s->live, 100 * use(s),
			       size_text(unused(s)), s->place);
	}
	printf("\n%s: %s span%s of %s page%s, %s, of which %s live\n", heap_text(h),
	       count_text(n), n == 1 ? "" : "s", count_text(pages), pages == 1 ? "" : "s",
	       bytes_text(pages * HEAP_PAGE), bytes_text(live));
}

static void print_json(const struct heap *h, const struct span_row *rows, size_t n)
{
	size_t i;

	json_object(NULL);
	heap_json(h);
	json_number("found", n);
	json_array("spans");
	for (i = 0; i < n && i < opts.most; i++) {
		const struct span_row *s = &rows[i];

		json_object(NULL);
		json_address("address", s->addr);
		json_number("pages", s->pages);
		json_number("spanclass", s->spanclass);
		json_text("class", span_class_text(s));
		json_number("object_size", s->size);
		json_number("slots", s->slots);
		json_number("live", s->live);
		json_number("free_bytes", unused(s));
		json_text("state", s->place);
		json_number("sweepgen", s->sweepgen);
		json_end();
	}
	json_end();
	json_end();
}

static int spans_run(int argc, char **argv)
{
	struct span_row *rows;
	struct heap h;
	size_t n;

	if (argc)
		return usage_error("spans", "unexpected: %s", argv[0]);
	if (check_options())
		return USAGE;
	if (!heap_choose(&opts.heap, &h) || !heap_need_id(&h, "spans") ||
	    !tables_spans(h.id, &rows, &n))
		return FAILED;
	n = choose(rows, n);
	order(rows, n);
	(opts.json ? print_json : print)(&h, rows, n);
	free(rows);
	return DONE;
}

const struct command spans_command = {
	.name = "spans",
	.args = "",
	.summary = "list a heap's spans",
	.help =
"A span is a run of pages cut into slots of one size. \"use\" is how many of them are\n"
"live, \"free\" how many bytes no object has. A span is cached (a CPU allocates from\n"
"it), partial or full (in its class's central list) or held (being changed). If no\n"
"heap is chosen it is the only one a process has open, or the module's own if there\n"
"is none. This reads debugfs.\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = spans_run,
};
