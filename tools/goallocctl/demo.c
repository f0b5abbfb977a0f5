// SPDX-License-Identifier: GPL-2.0-only
/*
 * demo: a workload through /dev/goalloc, step by step, each of them checked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "books.h"
#include "debugfs.h"
#include "dev.h"
#include "goallocctl.h"
#include "json.h"
#include "workload.h"

#define DEFAULT_OBJECTS	50000
#define LEAST_OBJECTS	100
#define MOST_OBJECTS	10000000
#define DEFAULT_SEED	42

#define TINY_BLOCK	16ULL

/* Looked at whether they are zero: one in so many. */
#define SAMPLE		8

enum { BEFORE, PEAK, AFTER, MOMENTS };

static const char * const moments[MOMENTS] = { "before", "at the peak", "after" };

/**
 * struct demo - where it stands
 * @w: the objects
 * @fd: the heap
 * @heap: its number in debugfs
 * @seed: of the random numbers
 * @books: of the heap, from debugfs, at three moments
 * @detail: what a step has to say when it is done
 * @steps: how many were done
 * @json: whether it is told as JSON
 */
struct demo {
	struct workload w;
	int fd;
	unsigned int heap;
	uint64_t seed;
	struct goalloc_memstats books[MOMENTS];
	char detail[160];
	unsigned int steps;
	bool json;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void __attribute__((format(printf, 2, 3))) detail(struct demo *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->detail, sizeof(d->detail), format, args);
	va_end(args);
}

static void json_step(struct demo *d, const char *what, bool held, double seconds)
{
	json_object(NULL);
	json_text("step", what);
	json_bool("held", held);
	json_real("seconds", seconds);
	if (held && *d->detail)
		json_text("detail", d->detail);
	if (!held && *d->w.why)
		json_text("why", d->w.why);
	json_end();
}

/* One line: what is being done, and whether it held. */
static bool step(struct demo *d, const char *what, bool (*run)(struct demo *d))
{
	double start = now(), seconds;
	bool held;

	if (!d->json)
		printf("==> %s ... ", what);
	fflush(stdout);
	d->detail[0] = '\0';
	d->w.why[0] = '\0';
	held = run(d);
	seconds = now() - start;
	d->steps++;
	if (d->json)
		json_step(d, what, held, seconds);
	else if (held)
		printf("ok (%.2f s%s%s)\n", seconds, *d->detail ? ", " : "", d->detail);
	else
		printf("FAILED%s%s\n", *d->w.why ? ": " : "", d->w.why);
	fflush(stdout);
	return held;
}

/*
 * The books as debugfs shows them. Nobody else uses this heap, so they are
 * those that the ioctl gives.
 */
static bool take_books(struct demo *d, struct goalloc_memstats *books)
{
	const struct books_field *differs;
	struct goalloc_memstats ms;
	int tries = 0;

	/* Records of spans are freed a little later than their spans. */
	do {
		if (tries)
			usleep(20000);
		if (!debugfs_summary(d->heap, books) || !debugfs_by_size(d->heap, books) ||
		    !dev_stats(d->fd, &ms))
			return workload_fail(&d->w, "no books");
		differs = books_differ(books, &ms);
	} while (differs && ++tries < 100);
	if (differs)
		return workload_fail(&d->w, "%s is %" PRIu64 " in debugfs and %" PRIu64
				     " by MEMSTATS", differs->name, books_get(books, differs),
				     books_get(&ms, differs));
	return true;
}

static bool open_device(struct demo *d)
{
	struct goalloc_info info;
	size_t n = d->w.n;

	if (!dev_open(&d->fd) || !dev_info(d->fd, &info))
		return false;
	detail(d, "ABI version %u, %u size classes", info.abi_version, info.num_size_classes);
	return workload_init(&d->w, d->fd, n, d->seed, info.batch_max);
}

static bool find_heap(struct demo *d)
{
	char name[64];

	if (!debugfs_own_heap(&d->heap) || !debugfs_name(d->heap, name, sizeof(name)) ||
	    !take_books(d, &d->books[BEFORE]))
		return false;
	detail(d, "heap %u, named %s", d->heap, name);
	return true;
}

static bool make_all(struct demo *d)
{
	detail(d, "%s asked for", bytes_text(d->w.bytes));
	return workload_make(&d->w, 0, d->w.n);
}

static bool check_addresses(struct demo *d)
{
	return workload_check_addresses(&d->w);
}

static bool check_sample_zero(struct demo *d)
{
	size_t looked;

	if (!workload_check_zero(&d->w, 0, d->w.n, SAMPLE, &looked))
		return false;
	detail(d, "%s objects", count_text(looked));
	return true;
}

static bool write_all(struct demo *d)
{
	detail(d, "%s", bytes_text(d->w.bytes));
	return workload_write(&d->w, 0, d->w.n);
}

static bool check_all(struct demo *d)
{
	detail(d, "%s", bytes_text(d->w.bytes));
	return workload_check_contents(&d->w);
}

/* The objects from the middle on, which by then are any half of them. */
static bool free_half(struct demo *d)
{
	workload_shuffle(&d->w, 0, d->w.n);
	detail(d, "%s objects", count_text(d->w.n - d->w.n / 2));
	return workload_free(&d->w, d->w.n / 2, d->w.n);
}

static bool refill(struct demo *d)
{
	size_t looked;

	workload_resize(&d->w, d->w.n / 2, d->w.n);
	if (!workload_make(&d->w, d->w.n / 2, d->w.n) ||
	    !workload_check_zero(&d->w, d->w.n / 2, d->w.n, SAMPLE, &looked))
		return false;
	detail(d, "%s looked at", count_text(looked));
	return workload_write(&d->w, d->w.n / 2, d->w.n);
}

static bool check_peak(struct demo *d)
{
	struct goalloc_memstats *books = &d->books[PEAK];
	size_t live = workload_live(&d->w);

	if (!take_books(d, books))
		return false;
	if (books->heap_objects != live || books->mallocs - books->frees != live)
		return workload_fail(&d->w, "%zu objects live, %" PRIu64 " in the books", live,
				     (uint64_t)books->heap_objects);
	if (books->heap_alloc < d->w.bytes || books->heap_inuse < books->heap_alloc)
		return workload_fail(&d->w, "less in use than was asked for");
	detail(d, "%s live, %s asked for, %s in slots, %s in spans", count_text(live),
	       bytes_text(d->w.bytes), bytes_text(books->heap_alloc),
	       bytes_text(books->heap_inuse));
	return true;
}

/* A free that must be refused with this errno, and must change nothing. */
static bool must_refuse(struct demo *d, uint64_t addr, int wanted)
{
	struct goalloc_memstats before, after;
	int err;

	if (!dev_stats(d->fd, &before))
		return false;
	err = dev_free(d->fd, addr);
	if (!dev_stats(d->fd, &after))
		return false;
	if (err != -wanted)
		return workload_fail(&d->w, "freeing %#" PRIx64 ": %s, not %s", addr,
				     errno_text(err), errno_text(wanted));
	if (before.mallocs != after.mallocs || before.frees != after.frees ||
	    before.heap_alloc != after.heap_alloc || before.heap_inuse != after.heap_inuse)
		return workload_fail(&d->w, "freeing %#" PRIx64 " has changed the books", addr);
	detail(d, "%#" PRIx64 ": %s", addr, errno_text(err));
	return true;
}

/*
 * A live object of this kind that has another one in its span, or a tiny one
 * in its block: that keeps the place as it is when the object is freed.
 */
static struct object *find_object(struct demo *d, uint64_t least, uint64_t most)
{
	struct goalloc_query q;
	uint64_t base, bytes;
	size_t i, k;

	for (i = 0; i < d->w.n; i++) {
		struct object *o = &d->w.objects[i];

		if (!o->addr || o->bytes < least || o->bytes > most ||
		    dev_query(d->fd, o->addr, &q))
			continue;
		bytes = q.state == GOALLOC_QUERY_TINY ? TINY_BLOCK : q.span_pages * HEAP_PAGE;
		base = q.state == GOALLOC_QUERY_TINY ? o->addr & -TINY_BLOCK : q.span_base;
		for (k = 0; k < d->w.n; k++)
			if (k != i && d->w.objects[k].addr - base < bytes)
				return o;
	}
	return NULL;
}

static bool free_twice(struct demo *d, uint64_t least, uint64_t most)
{
	struct object *o = find_object(d, least, most);
	uint64_t usable;
	int err;

	if (!o)
		return workload_fail(&d->w, "no two such objects side by side");
	err = dev_free(d->fd, o->addr);
	if (err)
		return workload_fail(&d->w, "the first time: %s", errno_text(err));
	if (!must_refuse(d, o->addr, EALREADY))
		return false;
	/* Another one in its place, as it will be freed with the others. */
	err = dev_alloc(d->fd, o->bytes, 0, 0, &o->addr, &usable);
	return !err || workload_fail(&d->w, "nothing in its place: %s", errno_text(err));
}

static bool double_free(struct demo *d)
{
	return free_twice(d, 16, 1024);
}

static bool tiny_double_free(struct demo *d)
{
	return free_twice(d, 1, 8);
}

static bool stray_free(struct demo *d)
{
	struct object *o = find_object(d, 64, 1024);

	if (!o)
		return workload_fail(&d->w, "no such object");
	return must_refuse(d, o->addr + 8, EINVAL);
}

static bool wild_free(struct demo *d)
{
	struct goalloc_info info;

	return dev_info(d->fd, &info) &&
	       must_refuse(d, info.heap_base + info.heap_max - info.page_size, ENOENT);
}

static bool free_all(struct demo *d)
{
	workload_shuffle(&d->w, 0, d->w.n);
	detail(d, "%s objects", count_text(d->w.n));
	return workload_free(&d->w, 0, d->w.n);
}

static bool balance(struct demo *d)
{
	struct goalloc_memstats *books = &d->books[AFTER];
	uint64_t mallocs = 0, frees = 0;
	unsigned int i;

	if (!take_books(d, books))
		return false;
	for (i = 0; i < GOALLOC_BY_SIZE_MAX; i++) {
		mallocs += books->by_size[i].mallocs;
		frees += books->by_size[i].frees;
	}
	if (books->mallocs != books->frees || books->heap_objects || books->heap_alloc)
		return workload_fail(&d->w, "%" PRIu64 " made, %" PRIu64 " freed, %" PRIu64
				     " bytes live", (uint64_t)books->mallocs,
				     (uint64_t)books->frees, (uint64_t)books->heap_alloc);
	if (mallocs != frees)
		return workload_fail(&d->w, "%" PRIu64 " slots taken, %" PRIu64 " given back",
				     mallocs, frees);
	if (books->heap_inuse + books->heap_idle != books->heap_sys)
		return workload_fail(&d->w, "in use and idle do not add up");
	detail(d, "%s made = %s freed", count_text(books->mallocs), count_text(books->frees));
	return true;
}

static bool close_device(struct demo *d)
{
	int tries;

	close(d->fd);
	d->fd = -1;
	for (tries = 0; debugfs_has_heap(d->heap) && tries < 6000; tries++)
		usleep(10000);
	if (debugfs_has_heap(d->heap))
		return workload_fail(&d->w, "heap %u is still there", d->heap);
	return true;
}

static bool steps(struct demo *d)
{
	char what[64];

	snprintf(what, sizeof(what), "allocating %s objects of 0 bytes to 4 MiB",
		 count_text(d->w.n));
	return step(d, "opening " DEVICE, open_device) &&
	       step(d, "finding the heap in debugfs", find_heap) &&
	       step(d, what, make_all) &&
	       step(d, "checking addresses: none overlap, all are aligned", check_addresses) &&
	       step(d, "reading a sample: memory is zero", check_sample_zero) &&
	       step(d, "writing known contents into each", write_all) &&
	       step(d, "reading them back: nothing has changed", check_all) &&
	       step(d, "freeing half of them in random order", free_half) &&
	       step(d, "refilling with other sizes: reused memory is zero", refill) &&
	       step(d, "checking addresses again", check_addresses) &&
	       step(d, "reading all back: nothing has changed", check_all) &&
	       step(d, "comparing the books with what lives", check_peak) &&
	       step(d, "freeing an object twice: refused", double_free) &&
	       step(d, "freeing a tiny object twice: refused", tiny_double_free) &&
	       step(d, "freeing the middle of an object: refused", stray_free) &&
	       step(d, "freeing where nothing is: refused", wild_free) &&
	       step(d, "freeing everything in another random order", free_all) &&
	       step(d, "balancing the books", balance) &&
	       step(d, "closing the file: the heap is gone", close_device);
}

static void print_end(struct demo *d, bool held, double seconds)
{
	if (!held) {
		printf("\nStep %u did not hold.\n", d->steps);
		return;
	}
	printf("\nThe heap's books:\n\n");
	books_print(moments, d->books, MOMENTS);
	printf("\nThe size classes used most:\n\n");
	books_print_sizes(&d->books[PEAK], 12);
	printf("\nAll %u steps held, in %.1f s.\n", d->steps, seconds);
}

static void json_end_demo(struct demo *d, bool held, double seconds)
{
	static const char * const keys[MOMENTS] = { "before", "peak", "after" };
	size_t i;

	json_end();
	json_bool("held", held);
	json_number("seed", d->seed);
	json_real("seconds", seconds);
	for (i = 0; held && i < MOMENTS; i++) {
		json_object(keys[i]);
		books_json(&d->books[i]);
		json_end();
	}
	json_end();
}

static int demo(size_t n, uint64_t seed, bool json)
{
	struct demo d = { .fd = -1, .seed = seed, .w.n = n, .json = json };
	double start = now();
	bool held;

	if (json) {
		json_object(NULL);
		json_array("steps");
	} else {
		printf("goalloc demo, random seed %" PRIu64 "\n\n", seed);
	}
	held = steps(&d);
	(json ? json_end_demo : print_end)(&d, held, now() - start);
	if (d.fd >= 0)
		close(d.fd);
	workload_end(&d.w);
	return held ? DONE : FAILED;
}

static struct {
	uint64_t objects;
	uint64_t seed;
	bool json;
} opts = { DEFAULT_OBJECTS, DEFAULT_SEED, false };

static const struct option_spec options[] = {
	{ 'n', "objects", "N", OPTION_NUMBER, &opts.objects,
	  "how many objects, 50000 unless said otherwise" },
	{ 's', "seed", "N", OPTION_NUMBER, &opts.seed, "for other random sizes and orders" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

static int demo_run(int argc, char **argv)
{
	if (argc)
		return usage_error("demo", "unexpected: %s", argv[0]);
	if (opts.objects < LEAST_OBJECTS || opts.objects > MOST_OBJECTS)
		return usage_error("demo", "--objects: from %d to %d", LEAST_OBJECTS,
				   MOST_OBJECTS);
	return demo(opts.objects, opts.seed, opts.json);
}

const struct command demo_command = {
	.name = "demo",
	.args = "",
	.summary = "put a heap to work and check everything about it",
	.help =
"Objects of all sizes are made by " DEVICE ", written, read back and compared,\n"
"half of them freed in random order and made anew, all freed in another order;\n"
"mistakes are tried and must be refused; the books are compared with what is\n"
"known to live. Then the books are shown as debugfs had them before, at the peak\n"
"and after. The command fails at the first thing that is not as it should be.\n",
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = demo_run,
};
