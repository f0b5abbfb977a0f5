// SPDX-License-Identifier: GPL-2.0-only
/*
 * classes: size classes with what they hold, what they waste, how fast they
 * change.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugfs.h"
#include "heap.h"
#include "json.h"
#include "tables.h"
#include "ticks.h"

static struct {
	struct heap_choice heap;
	bool all;
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 'a', "all", NULL, OPTION_FLAG, &opts.all, "also classes that were never used" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json,
	  "JSON, with an interval one document a line" },
};

/**
 * struct class_use - a class at one moment
 * @name: of an exact class, otherwise NULL
 * @class: size class, 0 for large objects; span class of an exact class
 * @size: bytes of a slot, 0 for large objects
 * @slots: slots of a span
 * @worst: how much of a full span is lost at most, by rounding up and at its end
 * @spans: spans, if @spans_known
 * @capacity: their slots
 * @span_bytes: their bytes
 * @live_bytes: of that, bytes of live slots
 * @mallocs: slots handed out
 * @frees: slots that came back
 */
struct class_use {
	const char *name;
	unsigned int class;
	uint32_t size;
	uint32_t slots;
	double worst;
	uint64_t spans;
	uint64_t capacity;
	uint64_t span_bytes;
	uint64_t live_bytes;
	uint64_t mallocs;
	uint64_t frees;
};

/**
 * struct moment - all classes of a heap
 * @when: ticks_now()
 * @uses: size classes by number, exact ones behind them
 * @n: how many
 * @exact: what the exact ones' names are in
 * @known: whether there is debugfs, which tells of spans
 */
struct moment {
	double when;
	struct class_use *uses;
	size_t n;
	struct exact_row *exact;
	bool known;
};

static void moment_end(struct moment *m)
{
	free(m->uses);
	free(m->exact);
	memset(m, 0, sizeof(*m));
}

/*
 * Of the objects of a class the smallest lose most: those one byte larger than
 * the next smaller class's slots.
 */
static double worst_waste(const struct class_row *rows, unsigned int class)
{
	const struct class_row *r = &rows[class];
	uint64_t least = rows[class - 1].size + 1;

	return r->span_bytes ? 100.0 * (r->span_bytes - r->slots * least) / r->span_bytes : 0;
}

static void take_sizes(struct moment *m, const struct goalloc_memstats *ms,
		       const struct class_row *rows)
{
	unsigned int i;

	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		struct class_use *u = &m->uses[i];

		u->class = i;
		u->size = ms->by_size[i].object_size;
		u->mallocs = ms->by_size[i].mallocs;
		u->frees = ms->by_size[i].frees;
		u->slots = rows[i].slots;
		u->worst = i ? worst_waste(rows, i) : 0;
	}
	m->n = GOALLOC_BY_SIZE_MAX;
}

static void take_exact(struct moment *m, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct exact_row *e = &m->exact[i];
		struct class_use *u = &m->uses[m->n++];

		u->name = e->name;
		u->class = e->spanclass;
		u->size = e->slot_size;
		u->slots = e->slots;
		u->worst = e->span_bytes ?
			100.0 * (e->span_bytes - (double)e->slots * e->size) / e->span_bytes : 0;
		u->mallocs = e->mallocs;
		u->frees = e->frees;
	}
}

static void take_spans(struct moment *m, const struct span_row *spans, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		const struct span_row *s = &spans[i];
		struct class_use *u;

		k = s->spanclass >> 1;
		if (k >= GOALLOC_BY_SIZE_MAX)
			for (k = GOALLOC_BY_SIZE_MAX; k < m->n; k++)
				if (m->uses[k].class == s->spanclass)
					break;
		if (k == m->n)
			continue;
		u = &m->uses[k];
		u->spans++;
		u->capacity += s->slots;
		u->span_bytes += s->pages * HEAP_PAGE;
		u->live_bytes += s->live * s->size;
	}
}

static bool take_moment(struct heap *h, struct moment *m)
{
	struct class_row rows[GOALLOC_BY_SIZE_MAX] = { 0 };
	size_t num_exact = 0, num_spans = 0;
	struct span_row *spans = NULL;
	struct goalloc_memstats ms;
	bool done;

	memset(m, 0, sizeof(*m));
	m->known = h->id != HEAP_NO_ID && debugfs_readable();
	if (!heap_stats(h, &ms))
		return false;
	m->when = ticks_now();
	done = !m->known || (tables_classes(h->id, rows, ARRAY_SIZE(rows)) &&
			     tables_exact(h->id, &m->exact, &num_exact) &&
			     tables_spans(h->id, &spans, &num_spans));
	if (done) {
		m->uses = calloc(GOALLOC_BY_SIZE_MAX + num_exact, sizeof(*m->uses));
		if (!m->uses)
			complain("out of memory");
		done = m->uses;
	}
	if (done) {
		take_sizes(m, &ms, rows);
		take_exact(m, num_exact);
		take_spans(m, spans, num_spans);
	} else {
		moment_end(m);
	}
	free(spans);
	return done;
}

/* As it was then; classes that are new began with nothing. */
static struct class_use use_before(const struct moment *last, const struct class_use *u)
{
	size_t i;

	for (i = 0; i < last->n; i++)
		if (last->uses[i].class == u->class && !last->uses[i].name == !u->name)
			return last->uses[i];
	return (struct class_use){ 0 };
}

static const char *class_name(const struct class_use *u)
{
	static char text[80];

	if (u->name)
		return u->name;
	if (!u->class)
		return "large";
	snprintf(text, sizeof(text), "%u", u->class);
	return text;
}

static void print_class(const struct moment *m, const struct moment *last,
			const struct class_use *u)
{
	uint64_t live = u->mallocs - u->frees;

	printf("%5s ", class_name(u));
	if (u->size)
		printf("%6u ", u->size);
	else
		printf("%6s ", "-");
	if (m->known && u->class)
		printf("%5u %5.1f%% ", u->slots, u->worst);
	else
		printf("%5s %6s ", "-", "-");
	printf("%11" PRIu64 " ", live);
	if (m->known)
		printf("%8" PRIu64 " %5s %5.1f%% ", u->spans,
		       size_text(u->span_bytes - u->live_bytes),
		       u->capacity && u->class ? 100.0 * live / u->capacity :
		       u->capacity ? 100.0 : 0);
	else
		printf("%8s %5s %6s ", "-", "-", "-");
	if (last) {
		struct class_use before = use_before(last, u);
		double seconds = m->when - last->when;

		printf("%11.0f %11.0f\n", (u->mallocs - before.mallocs) / seconds,
		       (u->frees - before.frees) / seconds);
	} else {
		printf("%11" PRIu64 " %11" PRIu64 "\n", u->mallocs, u->frees);
	}
}

static void print(const struct moment *m, const struct moment *last)
{
	size_t i;

	printf("%5s %6s %5s %6s %11s %8s %5s %6s %11s %11s\n", "class", "slot", "slots", "worst",
	       "live", "spans", "free", "use", last ? "mallocs/s" : "mallocs",
	       last ? "frees/s" : "frees");
	for (i = 0; i < m->n; i++)
		if (opts.all || m->uses[i].mallocs || m->uses[i].name || m->uses[i].spans)
			print_class(m, last, &m->uses[i]);
}

static void json_class(const struct moment *m, const struct moment *last,
		       const struct class_use *u)
{
	json_object(NULL);
	json_number(u->name ? "spanclass" : "class", u->class);
	if (u->name)
		json_text("name", u->name);
	json_number("object_size", u->size);
	json_number("mallocs", u->mallocs);
	json_number("frees", u->frees);
	json_number("live", u->mallocs - u->frees);
	if (m->known) {
		json_number("slots_per_span", u->slots);
		json_real("worst_waste_percent", u->worst);
		json_number("spans", u->spans);
		json_number("slots", u->capacity);
		json_number("span_bytes", u->span_bytes);
		json_number("free_bytes", u->span_bytes - u->live_bytes);
	}
	if (last) {
		struct class_use before = use_before(last, u);

		json_real("mallocs_per_s", (u->mallocs - before.mallocs) / (m->when - last->when));
		json_real("frees_per_s", (u->frees - before.frees) / (m->when - last->when));
	}
	json_end();
}

static void print_json(const struct heap *h, const struct moment *m, const struct moment *last)
{
	size_t i;

	json_object(NULL);
	heap_json(h);
	if (last)
		json_real("seconds", m->when - last->when);
	json_array("classes");
	for (i = 0; i < m->n; i++)
		if (opts.all || m->uses[i].mallocs || m->uses[i].name || m->uses[i].spans)
			json_class(m, last, &m->uses[i]);
	json_end();
	json_end();
}

static void show(const struct heap *h, const struct moment *m, const struct moment *last)
{
	if (opts.json)
		print_json(h, m, last);
	else
		print(m, last);
}

static int repeat(struct heap *h, const struct ticks *t)
{
	struct moment last, m;
	double next;
	uint64_t n;

	if (!take_moment(h, &last))
		return FAILED;
	next = last.when;
	for (n = 0; !t->count || n < t->count; n++) {
		next += t->interval;
		ticks_wait(next);
		if (heap_is_gone(h)) {
			complain("%s has gone", heap_text(h));
			break;
		}
		if (!take_moment(h, &m)) {
			moment_end(&last);
			return heap_is_gone(h) ? DONE : FAILED;
		}
		if (n && !opts.json)
			putchar('\n');
		show(h, &m, &last);
		moment_end(&last);
		last = m;
	}
	moment_end(&last);
	return DONE;
}

static int classes_run(int argc, char **argv)
{
	struct moment m;
	struct ticks t;
	struct heap h;
	int err = DONE;

	if (ticks_parse("classes", argc, argv, &t))
		return USAGE;
	if (!heap_choose(&opts.heap, &h))
		return FAILED;
	if (t.interval > 0) {
		err = repeat(&h, &t);
	} else if (take_moment(&h, &m)) {
		show(&h, &m, NULL);
		moment_end(&m);
	} else {
		err = FAILED;
	}
	heap_close(&h);
	return err;
}

const struct command classes_command = {
	.name = "classes",
	.args = "[INTERVAL [COUNT]]",
	.summary = "show a heap's size classes: what they hold, waste and do",
	.help =
"\"slots\" is how many a span has, \"worst\" the share of a span that is lost when it\n"
"is full of the class's smallest objects. \"free\" are bytes of its spans that no\n"
"object has, \"use\" is the share of slots that are live. Tiny objects count by their\n"
"blocks, in class 2. With INTERVAL, in seconds, there are rates instead of counts,\n"
"COUNT times or until the heap has gone. Columns that only debugfs can fill are \"-\"\n"
"without it. If no heap is chosen it is the only one a process has open, or the\n"
"module's own if there is none.\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = classes_run,
};
