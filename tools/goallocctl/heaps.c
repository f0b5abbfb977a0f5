// SPDX-License-Identifier: GPL-2.0-only
/*
 * heaps: all of them, a line each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "debugfs.h"
#include "json.h"
#include "goallocctl.h"
#include "list.h"

static struct {
	bool json;
} opts;

static const struct option_spec options[] = {
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static void print(const struct list_heap *heaps, size_t n)
{
	size_t i;

	printf("%6s %-24s %12s %12s %12s %12s %8s\n", "heap", "name", "objects", "bytes",
	       "in spans", "held", "pid");
	for (i = 0; i < n; i++) {
		const struct list_heap *h = &heaps[i];
		char pid[16] = "-";

		if (h->pid)
			snprintf(pid, sizeof(pid), "%d", h->pid);
		printf("%6u %-24s %12s %12s %12s %12s %8s\n", h->id, h->name,
		       count_text(h->objects), bytes_text(h->alloc), bytes_text(h->inuse),
		       bytes_text(h->held), pid);
	}
}

static void print_json(const struct list_heap *heaps, size_t n, bool all)
{
	size_t i;

	json_object(NULL);
	json_bool("all", all);
	json_array("heaps");
	for (i = 0; i < n; i++) {
		json_object(NULL);
		list_json(&heaps[i]);
		json_end();
	}
	json_end();
	json_end();
}

static int heaps_run(int argc, char **argv)
{
	struct list_heap *heaps;
	size_t n;
	int partial;

	if (argc)
		return usage_error("heaps", "unexpected: %s", argv[0]);
	if (!list_heaps(&heaps, &n, &partial))
		return FAILED;
	if (opts.json)
		print_json(heaps, n, !partial);
	else
		print(heaps, n);
	if (partial) {
		debugfs_complain(partial);
		complain("so these are only the heaps of processes that may be looked into");
	}
	free(heaps);
	return DONE;
}

const struct command heaps_command = {
	.name = "heaps",
	.args = "",
	.summary = "list all heaps",
	.help =
"Heap 0 is the module's own; the others were made by kernel modules, or by opening\n"
"/dev/goalloc, and are named by their makers. \"in spans\" counts addresses, \"held\"\n"
"the memory that is behind a heap's pages. \"pid\" is a process that has it open.\n"
"Without the right to read debugfs, only heaps of one's own processes are listed.\n",
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = heaps_run,
};
