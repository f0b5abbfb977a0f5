// SPDX-License-Identifier: GPL-2.0-only
/*
 * free, query: addresses of another process's heap, each by itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dev.h"
#include "heap.h"
#include "json.h"
#include "object.h"

static struct {
	struct heap_choice heap;
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static void json_result(uint64_t addr, const char *member, int err)
{
	json_address("address", addr);
	json_bool(member, !err);
	if (err) {
		json_text("errno", errno_name(err));
		json_text("error", dev_address_error(err));
	}
}

static bool json_free(int fd, uint64_t addr)
{
	int err = dev_free(fd, addr);

	json_result(addr, "freed", err);
	return !err;
}

static bool json_query(int fd, uint64_t addr)
{
	struct goalloc_query q;
	int err = dev_query(fd, addr, &q);

	json_result(addr, "found", err);
	if (err)
		return false;
	json_text("state", dev_state_text(q.state));
	json_address("base", q.base);
	json_number("usable", q.usable);
	json_number("class", q.spanclass >> 1);
	json_bool("scan", !(q.spanclass & 1));
	json_address("span", q.span_base);
	json_number("span_pages", q.span_pages);
	return true;
}

static int each_address(const char *name, int argc, char **argv,
			bool (*act)(int fd, uint64_t addr),
			bool (*json_act)(int fd, uint64_t addr))
{
	struct heap h;
	uint64_t addr;
	int i, err = DONE;

	if (!argc)
		return usage_error(name, "which addresses?");
	for (i = 0; i < argc; i++)
		if (!parse_number(argv[i], &addr))
			return usage_error(name, "%s is no address, as 0xc000000000 is", argv[i]);
	if (!heap_is_chosen(&opts.heap))
		return usage_error(name, "choose a heap with --heap or --pid");
	if (!heap_choose(&opts.heap, &h) || !heap_open(&h))
		return FAILED;
	if (opts.json) {
		json_object(NULL);
		heap_json(&h);
		json_array("addresses");
	}
	for (i = 0; i < argc; i++) {
		parse_number(argv[i], &addr);
		if (opts.json)
			json_object(NULL);
		if (!(opts.json ? json_act : act)(h.fd, addr))
			err = FAILED;
		if (opts.json)
			json_end();
	}
	if (opts.json) {
		json_end();
		json_end();
	}
	heap_close(&h);
	return err;
}

static int free_run(int argc, char **argv)
{
	return each_address("free", argc, argv, object_free, json_free);
}

static int query_run(int argc, char **argv)
{
	return each_address("query", argc, argv, object_query, json_query);
}

const struct command free_command = {
	.name = "free",
	.args = "ADDRESS...",
	.summary = "free objects of another process's heap",
	.help =
"Their owner is not asked: this is for finding out what it makes of that. Every\n"
"address is answered by itself; one that is refused changes nothing, and makes the\n"
"exit status 1 when all have been tried. For objects of a heap of one's own see\n"
"\"goallocctl script --help\".\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = free_run,
};

const struct command query_command = {
	.name = "query",
	.args = "ADDRESS...",
	.summary = "show what lies at addresses of another process's heap",
	.help =
"An address may lie anywhere in an object. For objects of a heap of one's own\n"
"see \"goallocctl script --help\".\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = query_run,
};
