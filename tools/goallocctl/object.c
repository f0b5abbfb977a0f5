// SPDX-License-Identifier: GPL-2.0-only
/*
 * alloc, free, query: one object at a time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dev.h"
#include "goallocctl.h"
#include "object.h"

bool object_alloc(int fd, uint64_t bytes, uint64_t align, uint32_t flags, uint64_t *addr)
{
	uint64_t usable;
	int err = dev_alloc(fd, bytes, align, flags, addr, &usable);

	if (err) {
		complain("alloc %" PRIu64 ": %s, %s", bytes, dev_alloc_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 ", %" PRIu64 " bytes usable\n", *addr, usable);
	return true;
}

bool object_free(int fd, uint64_t addr)
{
	int err = dev_free(fd, addr);

	if (err) {
		complain("free %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 " freed\n", addr);
	return true;
}

bool object_query(int fd, uint64_t addr)
{
	struct goalloc_query q;
	int err = dev_query(fd, addr, &q);

	if (err) {
		complain("query %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
		return false;
	}
	printf("%#" PRIx64 " %s, %" PRIu64 " bytes, size class %u%s, in a span of %u page%s at %#"
	       PRIx64 "\n", (uint64_t)q.base, dev_state_text(q.state), (uint64_t)q.usable,
	       q.spanclass >> 1, q.spanclass & 1 ? "" : " scan", q.span_pages,
	       q.span_pages == 1 ? "" : "s", (uint64_t)q.span_base);
	return true;
}

/* What the three commands take before their numbers. */
struct options {
	const char *whose;
	uint64_t align;
	uint32_t flags;
};

/* Return: DONE or USAGE. */
static int parse_options(int argc, char **argv, const char *known, struct options *o)
{
	int opt;

	memset(o, 0, sizeof(*o));
	while ((opt = getopt(argc, argv, known)) != -1) {
		switch (opt) {
		case 'p':
			o->whose = optarg;
			break;
		case 's':
			o->flags |= GOALLOC_SCAN;
			break;
		case 'u':
			o->flags |= GOALLOC_UNINIT;
			break;
		case 'a':
			if (!parse_bytes(optarg, &o->align))
				return usage_error(argv[0], "%s is no alignment", optarg);
			break;
		default:
			return usage_error(argv[0], "option -%c %s", optopt, opt == ':' ?
					   "needs an argument" : "is unknown");
		}
	}
	if (optind == argc)
		return usage_error(argv[0], "nothing to do");
	return DONE;
}

static bool open_heap(const struct options *o, int *fd)
{
	return o->whose ? dev_borrow(o->whose, fd) : dev_open(fd);
}

static int alloc_run(int argc, char **argv)
{
	uint64_t bytes, addr;
	struct options o;
	int fd, i, err = DONE;

	if (parse_options(argc, argv, ":p:sua:", &o))
		return USAGE;
	for (i = optind; i < argc; i++)
		if (!parse_bytes(argv[i], &bytes))
			return usage_error(argv[0], "%s is no number of bytes", argv[i]);
	if (!open_heap(&o, &fd))
		return FAILED;
	for (i = optind; i < argc; i++) {
		parse_bytes(argv[i], &bytes);
		if (!object_alloc(fd, bytes, o.align, o.flags, &addr) ||
		    (bytes && !object_query(fd, addr)))
			err = FAILED;
	}
	close(fd);
	return err;
}

/* free and query: addresses, each by itself. */
static int each_address(int argc, char **argv, bool (*act)(int fd, uint64_t addr))
{
	struct options o;
	uint64_t addr;
	int fd, i, err = DONE;

	if (parse_options(argc, argv, ":p:", &o))
		return USAGE;
	for (i = optind; i < argc; i++)
		if (!parse_number(argv[i], &addr))
			return usage_error(argv[0], "%s is no address", argv[i]);
	if (!o.whose)
		return usage_error(argv[0], "a new heap has no objects: use -p, or a script");
	if (!open_heap(&o, &fd))
		return FAILED;
	for (i = optind; i < argc; i++) {
		parse_number(argv[i], &addr);
		if (!act(fd, addr))
			err = FAILED;
	}
	close(fd);
	return err;
}

static int free_run(int argc, char **argv)
{
	return each_address(argc, argv, object_free);
}

static int query_run(int argc, char **argv)
{
	return each_address(argc, argv, object_query);
}

#define HELP_WHOSE							\
"  -p PID[:FD]  in the heap that a process has open, as file FD or the first there is\n"

const struct command alloc_command = {
	.name = "alloc",
	.args = "[-p PID[:FD]] [-s] [-u] [-a ALIGN] BYTES...",
	.summary = "make objects and show where they lie",
	.help =
"The heap is a new one that ends with the command, unless -p says otherwise.\n"
"BYTES may end in K, M, G or T.\n"
"\n"
HELP_WHOSE
"  -s           the objects may hold pointers (scan)\n"
"  -u           their memory need not be zero\n"
"  -a ALIGN     a power of two, up to 2M\n",
	.run = alloc_run,
};

const struct command free_command = {
	.name = "free",
	.args = "-p PID[:FD] ADDRESS...",
	.summary = "free objects of another process's heap",
	.help =
"Their owner is not asked: this is for finding out what it makes of that. For\n"
"objects of a heap of one's own see \"goallocctl script --help\".\n"
"\n"
HELP_WHOSE,
	.run = free_run,
};

const struct command query_command = {
	.name = "query",
	.args = "-p PID[:FD] ADDRESS...",
	.summary = "show what lies at addresses of another process's heap",
	.help =
"An address may lie anywhere in an object. For objects of a heap of one's own\n"
"see \"goallocctl script --help\".\n"
"\n"
HELP_WHOSE,
	.run = query_run,
};
