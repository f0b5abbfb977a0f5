// SPDX-License-Identifier: GPL-2.0-only
/*
 * info, heaps, stat: look and change nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "debugfs.h"
#include "dev.h"
#include "goallocctl.h"

static int info_run(int argc, char **argv)
{
	struct goalloc_info info;
	bool done;
	int fd;

	if (argc > 1)
		return usage_error(argv[0], "unexpected: %s", argv[1]);
	if (!dev_open(&fd))
		return FAILED;
	done = dev_info(fd, &info);
	close(fd);
	if (!done)
		return FAILED;
	printf("ABI version       %u\n", info.abi_version);
	printf("features          %#" PRIx64 "\n", (uint64_t)info.features);
	printf("heap addresses    %#" PRIx64 " to %#" PRIx64 " (%s)\n", (uint64_t)info.heap_base,
	       (uint64_t)(info.heap_base + info.heap_max - 1), bytes_text(info.heap_max));
	printf("heap page         %s\n", bytes_text(info.page_size));
	printf("size classes      %u, up to %s\n", info.num_size_classes,
	       bytes_text(info.max_small_size));
	printf("objects a batch   up to %u\n", info.batch_max);
	return DONE;
}

const struct command info_command = {
	.name = "info",
	.args = "",
	.summary = "show what the module offers",
	.help = "The figures are those of GOALLOC_IOC_INFO.\n",
	.run = info_run,
};

static int heaps_run(int argc, char **argv)
{
	struct goalloc_memstats ms;
	unsigned int *ids;
	char name[64];
	size_t n, i;

	if (argc > 1)
		return usage_error(argv[0], "unexpected: %s", argv[1]);
	if (!debugfs_heaps(&ids, &n))
		return FAILED;
	printf("%6s %-24s %12s %12s %12s\n", "heap", "name", "objects", "bytes", "in spans");
	for (i = 0; i < n; i++) {
		char *summary = debugfs_read(ids[i], "summary");

		/* One that has gone meanwhile is no error. */
		if (summary && books_parse(summary, &ms) &&
		    debugfs_name(ids[i], name, sizeof(name)))
			printf("%6u %-24s %12s %12s %12s\n", ids[i], name,
			       count_text(ms.heap_objects), bytes_text(ms.heap_alloc),
			       bytes_text(ms.heap_inuse));
		free(summary);
	}
	free(ids);
	return DONE;
}

const struct command heaps_command = {
	.name = "heaps",
	.args = "",
	.summary = "list all heaps",
	.help =
"Heap 0 is the module's own; the others are named by the process that opened\n"
"/dev/goalloc, and its pid. The list is read from debugfs.\n",
	.run = heaps_run,
};

/* A heap from debugfs, a process's, or an empty one. */
static bool stat_read(const char *heap, const char *whose, struct goalloc_memstats *ms)
{
	uint64_t id;
	bool done;
	int fd;

	if (heap)
		return parse_number(heap, &id) && debugfs_summary(id, ms) &&
		       debugfs_by_size(id, ms);
	if (!(whose ? dev_borrow(whose, &fd) : dev_open(&fd)))
		return false;
	done = dev_stats(fd, ms);
	close(fd);
	return done;
}

static int stat_run(int argc, char **argv)
{
	const char *whose = NULL, *heap = NULL;
	struct goalloc_memstats ms;
	uint64_t id;
	int opt;

	while ((opt = getopt(argc, argv, ":p:")) != -1) {
		if (opt != 'p')
			return usage_error(argv[0], "option -%c %s", optopt, opt == ':' ?
					   "needs PID or PID:FD" : "is unknown");
		whose = optarg;
	}
	if (optind < argc)
		heap = argv[optind++];
	if (optind < argc)
		return usage_error(argv[0], "unexpected: %s", argv[optind]);
	if (heap && whose)
		return usage_error(argv[0], "either a heap's number or a process");
	if (heap && (!parse_number(heap, &id) || id > UINT32_MAX))
		return usage_error(argv[0], "%s is not the number of a heap", heap);
	if (!stat_read(heap, whose, &ms))
		return FAILED;
	books_print(NULL, &ms, 1);
	if (ms.mallocs) {
		putchar('\n');
		books_print_sizes(&ms, GOALLOC_BY_SIZE_MAX);
	}
	return DONE;
}

const struct command stat_command = {
	.name = "stat",
	.args = "[HEAP | -p PID[:FD]]",
	.summary = "show the books of a heap",
	.help =
"HEAP is a number that \"goallocctl heaps\" shows; its books are read from debugfs.\n"
"With neither, the books are those of a new and empty heap.\n"
"\n"
"  -p PID[:FD]  the heap that a process has open, as file FD or the first there is\n",
	.run = stat_run,
};
