// SPDX-License-Identifier: GPL-2.0-only
/*
 * stat: the books of a heap, once, or how they change.
 */
#include <inttypes.h>
#include <stdio.h>

#include "books.h"
#include "heap.h"
#include "json.h"
#include "ticks.h"

/* Lines between headers. */
#define HEADER_EVERY	20

static struct {
	struct heap_choice heap;
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json,
	  "JSON, with an interval one document a line" },
};

static int once(struct heap *h)
{
	struct goalloc_memstats ms;

	if (!heap_stats(h, &ms))
		return FAILED;
	if (opts.json) {
		json_object(NULL);
		heap_json(h);
		books_json(&ms);
		json_end();
		return DONE;
	}
	printf("%s\n", heap_text(h));
	books_print_human(&ms);
	if (ms.mallocs) {
		putchar('\n');
		books_print_sizes(&ms, GOALLOC_BY_SIZE_MAX);
	}
	return DONE;
}

/* What happened between two moments. */
struct rates {
	double seconds;
	double mallocs;
	double frees;
	double bytes;
};

static void line_json(const struct heap *h, const struct goalloc_memstats *ms,
		      const struct rates *r)
{
	json_object(NULL);
	heap_json(h);
	json_real("seconds", r->seconds);
	json_real("mallocs_per_s", r->mallocs);
	json_real("frees_per_s", r->frees);
	json_real("bytes_per_s", r->bytes);
	books_json(ms);
	json_end();
}

static void line(const struct goalloc_memstats *ms, const struct rates *r)
{
	printf("%11" PRIu64 " %6s %6s %6s %8s %6s %11.0f %11.0f %8s\n",
	       (uint64_t)ms->heap_objects, size_text(ms->heap_alloc),
	       size_text(ms->heap_inuse), size_text(ms->heap_idle),
	       size_text(ms->heap_released), size_text(ms->sys), r->mallocs, r->frees,
	       size_text(r->bytes));
}

static int repeat(struct heap *h, const struct ticks *t)
{
	struct goalloc_memstats last, ms;
	double before, next, now;
	uint64_t n;

	if (!heap_stats(h, &last))
		return FAILED;
	before = ticks_now();
	next = before;
	for (n = 0; !t->count || n < t->count; n++) {
		struct rates r;

		next += t->interval;
		ticks_wait(next);
		if (heap_is_gone(h)) {
			complain("%s has gone", heap_text(h));
			return DONE;
		}
		if (!heap_stats(h, &ms))
			return heap_is_gone(h) ? DONE : FAILED;
		now = ticks_now();
		r.seconds = now - before;
		r.mallocs = (ms.mallocs - last.mallocs) / r.seconds;
		r.frees = (ms.frees - last.frees) / r.seconds;
		r.bytes = (ms.total_alloc - last.total_alloc) / r.seconds;
		if (!opts.json && n % HEADER_EVERY == 0)
			printf("%11s %6s %6s %6s %8s %6s %11s %11s %8s\n", "objects", "alloc",
			       "inuse", "idle", "released", "sys", "mallocs/s", "frees/s",
			       "bytes/s");
		if (opts.json)
			line_json(h, &ms, &r);
		else
			line(&ms, &r);
		last = ms;
		before = now;
	}
	return DONE;
}

static int stat_run(int argc, char **argv)
{
	struct ticks t;
	struct heap h;
	int err;

	if (ticks_parse("stat", argc, argv, &t))
		return USAGE;
	if (!heap_choose(&opts.heap, &h))
		return FAILED;
	err = t.interval > 0 ? repeat(&h, &t) : once(&h);
	heap_close(&h);
	return err;
}

const struct command stat_command = {
	.name = "stat",
	.args = "[INTERVAL [COUNT]]",
	.summary = "show the books of a heap, or how they change",
	.help =
"The fields are those of Go's MemStats. With INTERVAL, in seconds, a line is printed\n"
"at the end of each, COUNT times or until the heap has gone. If no heap is chosen it\n"
"is the only one a process has open, or the module's own if there is none.\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = stat_run,
};
