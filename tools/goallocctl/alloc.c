// SPDX-License-Identifier: GPL-2.0-only
/*
 * alloc: objects made, and what they cost.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev.h"
#include "heap.h"
#include "json.h"

static struct {
	struct heap_choice heap;
	uint64_t count;
	uint64_t align;
	uint64_t fill;
	const char *hold;
	bool scan;
	bool uninit;
	bool quiet;
	bool json;
} opts = { .count = 1, .fill = UINT64_MAX };

static const struct option_spec options[] = {
	{ 'c', "count", "N", OPTION_NUMBER, &opts.count, "so many objects of each size" },
	{ 'a', "align", "BYTES", OPTION_BYTES, &opts.align, "a power of two, up to 2M" },
	{ 's', "scan", NULL, OPTION_FLAG, &opts.scan, "the objects may hold pointers" },
	{ 'u', "uninit", NULL, OPTION_FLAG, &opts.uninit, "their memory need not be zero" },
	{ 'f', "fill", "BYTE", OPTION_NUMBER, &opts.fill, "write this byte all over them" },
	{ 'q', "quiet", NULL, OPTION_FLAG, &opts.quiet, "only the sums" },
	{ 'd', "hold", "SECONDS", OPTION_TEXT, &opts.hold,
	  "keep the heap for so long, to be looked at" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

/**
 * struct sums - of all that was made
 * @objects: how many
 * @asked: bytes wanted
 * @usable: bytes got
 */
struct sums {
	uint64_t objects;
	uint64_t asked;
	uint64_t usable;
};

static bool fill(int fd, uint64_t addr, uint64_t bytes)
{
	static char block[1 << 16];
	uint64_t n;
	int err;

	memset(block, opts.fill, sizeof(block));
	for (; bytes; bytes -= n, addr += n) {
		n = bytes < sizeof(block) ? bytes : sizeof(block);
		err = dev_write(fd, addr, block, n);
		if (err) {
			complain("writing at %#" PRIx64 ": %s", addr, errno_text(err));
			return false;
		}
	}
	return true;
}

static const char *class_text(const struct goalloc_query *q)
{
	static char text[24];

	if (q->state == GOALLOC_QUERY_TINY)
		return "tiny";
	if (q->spanclass < 2)
		snprintf(text, sizeof(text), "large");
	else
		snprintf(text, sizeof(text), "%u", q->spanclass >> 1);
	if (!(q->spanclass & 1))
		strcat(text, " scan");
	return text;
}

static void show(int fd, uint64_t addr, uint64_t bytes, uint64_t usable)
{
	struct goalloc_query q = { .spanclass = 1 };
	bool known = bytes && !dev_query(fd, addr, &q);

	if (!opts.json) {
		printf("%#14" PRIx64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 "  %s\n", addr,
		       bytes, usable, usable - bytes, known ? class_text(&q) : "-");
		return;
	}
	json_object(NULL);
	json_address("address", addr);
	json_number("asked", bytes);
	json_number("usable", usable);
	json_number("waste", usable - bytes);
	if (known) {
		json_number("class", q.spanclass >> 1);
		json_bool("scan", !(q.spanclass & 1));
		json_bool("tiny", q.state == GOALLOC_QUERY_TINY);
		json_address("span", q.span_base);
		json_number("span_pages", q.span_pages);
	}
	json_end();
}

static bool make(int fd, uint64_t bytes, struct sums *sums)
{
	uint32_t flags = (opts.scan ? GOALLOC_SCAN : 0) | (opts.uninit ? GOALLOC_UNINIT : 0);
	uint64_t addr, usable;
	int err = dev_alloc(fd, bytes, opts.align, flags, &addr, &usable);

	if (err) {
		complain("alloc %" PRIu64 ": %s, %s", bytes, dev_alloc_error(err),
			 errno_text(err));
		return false;
	}
	sums->objects++;
	sums->asked += bytes;
	sums->usable += usable;
	if (opts.fill != UINT64_MAX && !fill(fd, addr, usable))
		return false;
	if (!opts.quiet)
		show(fd, addr, bytes, usable);
	return true;
}

static void print_sums(struct heap *h, const struct sums *s, const struct goalloc_memstats *ms)
{
	double waste = s->usable ? 100.0 * (s->usable - s->asked) / s->usable : 0;

	printf("%s%s object%s: %s asked for, %s usable, %.1f %% waste\n", opts.quiet ? "" : "\n",
	       count_text(s->objects), s->objects == 1 ? "" : "s", bytes_text(s->asked),
	       bytes_text(s->usable), waste);
	printf("%s: %s objects live, %s in spans, %s idle", heap_text(h),
	       count_text(ms->heap_objects), bytes_text(ms->heap_inuse),
	       bytes_text(ms->heap_idle));
	if (!heap_is_chosen(&opts.heap))
		printf("; %s", opts.hold ? "it is kept for a while" : "it ends now");
	putchar('\n');
}

static void json_sums(const struct sums *s, const struct goalloc_memstats *ms)
{
	json_number("asked", s->asked);
	json_number("usable", s->usable);
	json_number("waste", s->usable - s->asked);
	json_number("made", s->objects);
	json_number("heap_objects", ms->heap_objects);
	json_number("heap_inuse", ms->heap_inuse);
	json_number("heap_idle", ms->heap_idle);
}

/* All sizes as often as wanted, or up to the first that is refused. */
static bool make_all(int fd, int argc, char **argv, struct sums *sums)
{
	uint64_t bytes, n;
	int i;

	for (i = 0; i < argc; i++) {
		parse_bytes(argv[i], &bytes);
		for (n = 0; n < opts.count; n++)
			if (!make(fd, bytes, sums))
				return false;
	}
	return true;
}

static bool alloc_all(struct heap *h, int argc, char **argv)
{
	struct goalloc_memstats ms;
	struct sums sums = { 0 };
	bool done;

	if (opts.json) {
		json_object(NULL);
		heap_json(h);
		json_array("objects");
	} else if (!opts.quiet) {
		printf("%14s %12s %12s %10s  %s\n", "address", "asked", "usable", "waste",
		       "class");
	}
	done = make_all(h->fd, argc, argv, &sums);
	if (opts.json)
		json_end();
	if (!dev_stats(h->fd, &ms)) {
		memset(&ms, 0, sizeof(ms));
		done = false;
	}
	if (opts.json) {
		json_sums(&sums, &ms);
		json_end();
	} else {
		print_sums(h, &sums, &ms);
	}
	return done;
}

static int alloc_run(int argc, char **argv)
{
	double seconds = 0;
	uint64_t bytes;
	struct heap h;
	bool done;
	int i;

	if (!argc)
		return usage_error("alloc", "how many bytes?");
	for (i = 0; i < argc; i++)
		if (!parse_bytes(argv[i], &bytes))
			return usage_error("alloc", "%s is no number of bytes, as 100, 4K or 1M is",
					   argv[i]);
	if (opts.fill != UINT64_MAX && opts.fill > 255)
		return usage_error("alloc", "--fill: a byte is 0 to 255");
	if (opts.hold && !parse_seconds(opts.hold, &seconds))
		return usage_error("alloc", "--hold: %s is no number of seconds", opts.hold);
	if (!heap_choose_or_new(&opts.heap, &h))
		return FAILED;
	done = alloc_all(&h, argc, argv);
	if (done && seconds > 0)
		usleep(seconds * 1e6);
	heap_close(&h);
	return done ? DONE : FAILED;
}

const struct command alloc_command = {
	.name = "alloc",
	.args = "BYTES...",
	.summary = "make objects, and show where they lie and what they cost",
	.help =
"The heap is a new one that ends with the command, unless another is chosen; then\n"
"the objects stay there until they are freed. BYTES may end in K, M, G or T.\n"
"\"usable\" is what an object may hold, \"waste\" how much of it was not asked for.\n"
"The class is a size class, \"tiny\" in a block shared with others, or \"large\".\n",
	.heap = &opts.heap,
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = alloc_run,
};
