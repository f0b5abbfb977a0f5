// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench: what the device costs, as seen by a process: objects one at a time
 * and in batches beside malloc(), first touches beside anonymous memory.
 *
 * Each test is warmed up, and while that goes on it is found out how often it
 * has to be repeated to fill the time of a run. The figure is the median of
 * some runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dev.h"
#include "goallocctl.h"
#include "json.h"
#include "ticks.h"

#define MOST_RUNS	101
#define MOST_BATCH	1024
#define TOUCH_BYTES	(8 << 20)

static struct {
	uint64_t size;
	uint64_t runs;
	uint64_t ms;
	bool json;
} opts = { .size = 64, .runs = 5, .ms = 50 };

static const struct option_spec options[] = {
	{ 's', "size", "BYTES", OPTION_BYTES, &opts.size, "of an object, 64 otherwise" },
	{ 'r', "runs", "N", OPTION_NUMBER, &opts.runs, "whose median is taken, 5 otherwise" },
	{ 'm', "ms", "N", OPTION_NUMBER, &opts.ms, "milliseconds of a run, 50 otherwise" },
	{ 'j', "json", NULL, OPTION_FLAG, &opts.json, "one document of JSON" },
};

/**
 * struct bench - what the tests work with
 * @fd: the heap
 * @batch: objects of a batch
 * @batch_max: the most there can be
 * @sizes: of a batch's objects
 * @addrs: their addresses
 * @page: bytes of the machine's page
 */
struct bench {
	int fd;
	uint32_t batch;
	uint32_t batch_max;
	uint64_t sizes[MOST_BATCH];
	uint64_t addrs[MOST_BATCH];
	size_t page;
};

/**
 * struct test - a line of the output
 * @name: its key
 * @what: in words
 * @batch: objects of a batch, 0 for none
 * @run: does it so many times; the seconds it took, or a negative errno
 * @unit: operations in one time
 * @than: name of the test that it is compared with, or NULL
 * @as: that in words
 */
struct test {
	const char *name;
	const char *what;
	uint32_t batch;
	double (*run)(struct bench *b, uint64_t times);
	uint64_t (*unit)(const struct bench *b);
	const char *than;
	const char *as;
};

/* What came out of a test, in ns an operation. */
struct result {
	int err;
	double median;
	double least;
	double most;
};

static double run_call(struct bench *b, uint64_t times)
{
	double start = ticks_now();

	(void)b;
	while (times--)
		syscall(SYS_getppid);
	return ticks_now() - start;
}

static double run_malloc(struct bench *b, uint64_t times)
{
	double start = ticks_now();

	(void)b;
	while (times--) {
		void *p = malloc(opts.size);

		/* Or the compiler leaves out both. */
		asm volatile("" : : "r"(p) : "memory");
		free(p);
	}
	return ticks_now() - start;
}

static double run_single(struct bench *b, uint64_t times)
{
	double start = ticks_now();
	uint64_t addr, usable;
	int err;

	while (times--) {
		err = dev_alloc(b->fd, opts.size, 0, 0, &addr, &usable);
		if (!err)
			err = dev_free(b->fd, addr);
		if (err)
			return err;
	}
	return ticks_now() - start;
}

static double run_batch(struct bench *b, uint64_t times)
{
	double start = ticks_now();
	uint32_t done;
	int err;

	while (times--) {
		err = dev_alloc_batch(b->fd, b->sizes, b->addrs, b->batch, &done);
		if (!err && done < b->batch)
			err = -ENOMEM;
		if (done && dev_free_batch(b->fd, b->addrs, done, &done))
			err = -EIO;
		if (err)
			return err;
	}
	return ticks_now() - start;
}

static double touch(struct bench *b, char *at)
{
	double start = ticks_now();
	size_t i;

	for (i = 0; i < TOUCH_BYTES; i += b->page) {
		at[i] = 1;
		asm volatile("" : : : "memory");
	}
	return ticks_now() - start;
}

static double run_anonymous(struct bench *b, uint64_t times)
{
	double seconds = 0;
	char *at;

	while (times--) {
		at = mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return -errno;
		/* Page by page, as the heap's memory comes. */
		madvise(at, TOUCH_BYTES, MADV_NOHUGEPAGE);
		seconds += touch(b, at);
		munmap(at, TOUCH_BYTES);
	}
	return seconds;
}

/* A heap of its own each time, in which nothing has been touched. */
static double touch_heap(struct bench *b)
{
	uint64_t addr, usable;
	double seconds;
	char *at;
	int fd, err;

	if (!dev_open(&fd))
		return -EIO;
	err = dev_alloc(fd, TOUCH_BYTES, 0, 0, &addr, &usable);
	if (err) {
		close(fd);
		return err;
	}
	at = mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, addr);
	if (at == MAP_FAILED) {
		seconds = -errno;
	} else {
		seconds = touch(b, at);
		munmap(at, TOUCH_BYTES);
	}
	close(fd);
	return seconds;
}

static double run_touch(struct bench *b, uint64_t times)
{
	double sum = 0, seconds;

	while (times--) {
		seconds = touch_heap(b);
		if (seconds < 0)
			return seconds;
		sum += seconds;
	}
	return sum;
}

static uint64_t unit_one(const struct bench *b)
{
	(void)b;
	return 1;
}

static uint64_t unit_batch(const struct bench *b)
{
	return b->batch;
}

static uint64_t unit_pages(const struct bench *b)
{
	return TOUCH_BYTES / b->page;
}

#define BATCH(n)								\
	{ "batch_" #n, "the same, in batches of " #n, n, run_batch, unit_batch,	\
	  "single", "one at a time" }

static const struct test tests[] = {
	{ "call", "a system call, getppid()", 0, run_call, unit_one, NULL, NULL },
	{ "malloc", "malloc() and free()", 0, run_malloc, unit_one, "call", "a system call" },
	{ "single", "ALLOC and FREE, one at a time", 0, run_single, unit_one, "malloc",
	  "malloc()" },
	BATCH(16),
	BATCH(64),
	BATCH(256),
	BATCH(1024),
	{ "touch_anonymous", "first touch of anonymous memory, a page", 0, run_anonymous,
	  unit_pages, NULL, NULL },
	{ "touch", "first touch of a heap's memory, a page", 0, run_touch, unit_pages,
	  "touch_anonymous", "anonymous memory" },
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct result measure(struct bench *b, const struct test *t)
{
	double seconds = 0, want = opts.ms / 1e3, ns[MOST_RUNS];
	struct result r = { 0 };
	uint64_t times = 1, i;

	b->batch = t->batch;
	if (t->batch > b->batch_max)
		return (struct result){ .err = -EINVAL };
	for (;;) {
		seconds = t->run(b, times);
		if (seconds < 0)
			return (struct result){ .err = seconds };
		if (seconds >= want / 2 || times >= 1ULL << 32)
			break;
		times *= 2;
	}
	if (seconds < want)
		times = times * want / seconds + 1;
	for (i = 0; i < opts.runs; i++) {
		seconds = t->run(b, times);
		if (seconds < 0)
			return (struct result){ .err = seconds };
		ns[i] = seconds * 1e9 / times / t->unit(b);
	}
	qsort(ns, opts.runs, sizeof(ns[0]), by_value);
	r.median = opts.runs % 2 ? ns[opts.runs / 2] :
		(ns[opts.runs / 2 - 1] + ns[opts.runs / 2]) / 2;
	r.least = ns[0];
	r.most = ns[opts.runs - 1];
	return r;
}

/* How it compares; 0 if there is nothing to compare it with. */
static double ratio(const struct result *results, size_t test)
{
	size_t i;

	for (i = 0; tests[test].than && i < test; i++)
		if (!strcmp(tests[i].name, tests[test].than) && !results[i].err &&
		    results[i].median > 0)
			return results[test].median / results[i].median;
	return 0;
}

static void print(const struct result *results, size_t test)
{
	const struct test *t = &tests[test];
	const struct result *r = &results[test];
	double times = ratio(results, test);

	if (r->err) {
		printf("%-42s %s\n", t->what, errno_text(r->err));
		return;
	}
	printf("%-42s %9.1f %9.1f %9.1f", t->what, r->median, r->least, r->most);
	if (times > 0)
		printf("  %6.2f x %s", times, t->as);
	putchar('\n');
}

static void print_json(const struct result *results, size_t test)
{
	const struct result *r = &results[test];
	double times = ratio(results, test);

	json_object(NULL);
	json_text("test", tests[test].name);
	if (tests[test].batch)
		json_number("batch", tests[test].batch);
	if (r->err) {
		json_text("errno", errno_name(r->err));
	} else {
		json_real("ns", r->median);
		json_real("ns_least", r->least);
		json_real("ns_most", r->most);
		if (times > 0) {
			json_text("beside", tests[test].than);
			json_real("ratio", times);
		}
	}
	json_end();
}

static int bench(struct bench *b)
{
	struct result results[ARRAY_SIZE(tests)];
	int err = DONE;
	size_t i;

	if (opts.json) {
		json_object(NULL);
		json_number("size", opts.size);
		json_number("runs", opts.runs);
		json_number("run_ms", opts.ms);
		json_number("page_size", b->page);
		json_array("tests");
	} else {
		printf("Objects of %s; the median of %" PRIu64 " runs of %" PRIu64
		       " ms, the fastest and the slowest; ns an object or page of %zu bytes\n\n"
		       "%-42s %9s %9s %9s\n", bytes_text(opts.size), opts.runs, opts.ms, b->page,
		       "", "median", "fastest", "slowest");
	}
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		results[i] = measure(b, &tests[i]);
		(opts.json ? print_json : print)(results, i);
		if (results[i].err)
			err = FAILED;
	}
	if (opts.json) {
		json_end();
		json_end();
	}
	return err;
}

static int bench_run(int argc, char **argv)
{
	static struct bench b;
	struct goalloc_info info;
	size_t i;
	int err;

	if (argc)
		return usage_error("bench", "unexpected: %s", argv[0]);
	if (!opts.runs || opts.runs > MOST_RUNS)
		return usage_error("bench", "--runs: 1 to %d", MOST_RUNS);
	if (!opts.ms || opts.ms > 60000)
		return usage_error("bench", "--ms: 1 to 60000");
	if (!opts.size || opts.size > 1 << 20)
		return usage_error("bench", "--size: 1 byte to 1M");
	if (!dev_open(&b.fd))
		return FAILED;
	if (!dev_info(b.fd, &info)) {
		close(b.fd);
		return FAILED;
	}
	b.batch_max = info.batch_max;
	b.page = sysconf(_SC_PAGESIZE);
	for (i = 0; i < MOST_BATCH; i++)
		b.sizes[i] = opts.size;
	err = bench(&b);
	close(b.fd);
	return err;
}

const struct command bench_command = {
	.name = "bench",
	.args = "",
	.summary = "measure what the device costs",
	.help =
"Objects are made and freed one at a time and in batches; memory is touched for the\n"
"first time through mmap(), page by page, and beside it anonymous memory. All is\n"
"compared in the same process. Nothing else should run meanwhile.\n",
	.options = options,
	.num_options = ARRAY_SIZE(options),
	.run = bench_run,
};
