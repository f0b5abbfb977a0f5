// SPDX-License-Identifier: GPL-2.0-only
/*
 * limit, scavenge: how much memory a heap may have, and how to get some back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "heap.h"
#include "json.h"

static struct {
	struct heap_choice heap;
	const char *soft;
	const char *max;
	const char *gc;
	bool json;
} opts;

static const struct option_spec limit_options[] = {
	{ 'l', "limit", "BYTES|none", OPTION_TEXT, &opts.soft, "the soft limit" },
	{ 'm', "max", "BYTES|none", OPTION_TEXT, &opts.max, "the hard limit" },
	{ 'g', "gc-percent", "N|none", OPTION_TEXT, &opts.gc, "0 to 100000, none for off" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static const struct option_spec scavenge_options[] = {
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static bool parse_limit(const char *text, uint64_t *value)
{
	if (!strcmp(text, "none") || !strcmp(text, "off")) {
		*value = GOALLOC_NO_LIMIT;
		return true;
	}
	return parse_bytes(text, value);
}

/**
 * struct param - one of the three
 * @id: of GET_PARAM and SET_PARAM
 * @name: its key
 * @typed: where what was typed for it is
 * @value: that, as a number; then what the heap has
 * @what: about it
 */
static struct param {
	uint32_t id;
	const char *name;
	const char **typed;
	uint64_t value;
	const char *what;
} params[] = {
	{ GOALLOC_PARAM_LIMIT, "limit", &opts.soft, 0,
	  "soft: above 95 % of it idle memory is given back first" },
	{ GOALLOC_PARAM_MAX, "max", &opts.max, 0,
	  "hard: allocations that need more spans fail" },
	{ GOALLOC_PARAM_GC_PERCENT, "gc_percent", &opts.gc, 0,
	  "growth that begins a collection" },
};

static int parse_params(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(params); i++)
		if (*params[i].typed && !parse_limit(*params[i].typed, &params[i].value))
			return usage_error("limit", "%s: %s is neither a number nor \"none\"",
					   params[i].name, *params[i].typed);
	return DONE;
}

/* Sets those that were typed, and gets all. */
static bool act(struct heap *h)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(params); i++)
		if (*params[i].typed && !heap_set_param(h, params[i].id, params[i].value))
			return false;
	for (i = 0; i < ARRAY_SIZE(params); i++)
		if (!heap_get_param(h, params[i].id, &params[i].value))
			return false;
	return true;
}

static void print(const struct heap *h, const struct goalloc_memstats *ms)
{
	size_t i;

	printf("%s: %s in spans, %s idle, %s of it released\n", heap_text(h),
	       bytes_text(ms->heap_inuse), bytes_text(ms->heap_idle),
	       bytes_text(ms->heap_released));
	for (i = 0; i < ARRAY_SIZE(params); i++) {
		const struct param *p = &params[i];
		bool none = p->value == GOALLOC_NO_LIMIT;
		bool bytes = p->id != GOALLOC_PARAM_GC_PERCENT;

		printf("  %-10s %20s %12s   %s\n", p->name, none ? "none" : count_text(p->value),
		       none || !bytes ? "" : bytes_text(p->value), p->what);
	}
}

static void print_json(const struct heap *h, const struct goalloc_memstats *ms)
{
	size_t i;

	json_object(NULL);
	heap_json(h);
	for (i = 0; i < ARRAY_SIZE(params); i++)
		json_limit(params[i].name, params[i].value);
	json_number("heap_inuse", ms->heap_inuse);
	json_number("heap_idle", ms->heap_idle);
	json_number("heap_released", ms->heap_released);
	json_end();
}

static int limit_run(int argc, char **argv)
{
	struct goalloc_memstats ms;
	struct heap h;
	bool done;

	if (argc > 1)
		return usage_error("limit", "unexpected: %s", argv[1]);
	if (argc && opts.soft)
		return usage_error("limit", "the soft limit is given twice");
	if (argc)
		opts.soft = argv[0];
	if (parse_params())
		return USAGE;
	if (!heap_choose(&opts.heap, &h))
		return FAILED;
	done = act(&h) && heap_stats(&h, &ms);
	if (done)
		(opts.json ? print_json : print)(&h, &ms);
	heap_close(&h);
	return done ? DONE : FAILED;
}

static int scavenge_run(int argc, char **argv)
{
	uint64_t bytes = GOALLOC_NO_LIMIT, released;
	struct goalloc_memstats ms;
	struct heap h;
	bool done;

	if (argc > 1)
		return usage_error("scavenge", "unexpected: %s", argv[1]);
	if (argc && strcmp(argv[0], "all") && !parse_bytes(argv[0], &bytes))
		return usage_error("scavenge", "%s is neither a number of bytes nor \"all\"",
				   argv[0]);
	if (!heap_choose(&opts.heap, &h))
		return FAILED;
	done = heap_scavenge(&h, bytes, &released) && heap_stats(&h, &ms);
	heap_close(&h);
	if (!done)
		return FAILED;
	if (opts.json) {
		json_object(NULL);
		heap_json(&h);
		json_limit("wanted", bytes);
		json_number("released", released);
		json_number("heap_idle", ms.heap_idle);
		json_number("heap_released", ms.heap_released);
		json_end();
	} else {
		printf("%s: %s came back (%s bytes); %s idle with memory behind it\n",
		       heap_text(&h), bytes_text(released), count_text(released),
		       bytes_text(ms.heap_idle - ms.heap_released));
	}
	return DONE;
}

const struct command limit_command = {
	.name = "limit",
	.args = "[BYTES|none]",
	.summary = "show or set a heap's limits",
	.help =
"What is given is set, then all are shown. An argument is the soft limit. BYTES may\n"
"end in K, M, G or T. If no heap is chosen it is the only one a process has open, or\n"
"the module's own if there is none.\n",
	.heap = &opts.heap,
	.options = limit_options,
	.num_options = ARRAY_SIZE(limit_options),
	.run = limit_run,
};

const struct command scavenge_command = {
	.name = "scavenge",
	.args = "[BYTES|all]",
	.summary = "give a heap's idle memory back to the system",
	.help =
"At least BYTES, all of it if nothing is said, the highest addresses first; less\n"
"when less is idle. If no heap is chosen it is the only one a process has open, or\n"
"the module's own if there is none.\n",
	.heap = &opts.heap,
	.options = scavenge_options,
	.num_options = ARRAY_SIZE(scavenge_options),
	.run = scavenge_run,
};
