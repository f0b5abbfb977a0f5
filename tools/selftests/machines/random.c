// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random work with a model (modules/random.c has the driver, random_model.c what is
 * checked). Everybody at once: tasks, softirqs and hardirqs of all CPUs share heaps,
 * hand objects on, free them wrongly and all at the same time, while memory is given
 * back, limits are moved, CPUs go and come, and the files of debugfs are read. And
 * one operation after the other: of a script that fails the shortest that still does
 * is printed.
 *
 * From the environment, or the kernel's command line: RANDOM_SECONDS or RANDOM_OPS is how
 * long everybody works, SCRIPT_SECONDS or SCRIPT_OPS how long scripts are; SEED is where
 * the numbers come from, and RANDOM_REPLAY a file with a script as it was printed.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include "harness.h"
#include "random_script.h"

#define SCRIPT_LENGTH	65536
#define FOREVER		86400

static uint64_t wanted(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int cpus(void)
{
	return sysconf(_SC_NPROCESSORS_CONF);
}

static bool has_sweeps(void)
{
	return dev_slow();
}

FIXTURE(driver)
{
	int heaps;
	long background;
};

FIXTURE_SETUP(driver)
{
	self->heaps = dev_heaps();
	ASSERT_EQ(0, module_load("goalloc_random", ""));
	self->background = dev_background(1);
	/* Where there is kmemleak, telling it of each object takes most of the time. */
	dev_module_set("kmemleak", "0");
	driver_begin();
}

FIXTURE_TEARDOWN(driver)
{
	driver("reset");
	EXPECT_EQ(0, module_unload("goalloc_random"));
	EXPECT_TRUE(dev_wait_heaps(self->heaps));
	if (self->background >= 0)
		dev_background(self->background);
	dev_module_set("kmemleak", "1");
}

/* While everybody works: all that may happen besides. */
struct world {
	atomic_bool stop;
	uint64_t random;
	unsigned int scavenges, limits, maxes, drops, offline, reads;
};

/* A hard limit a little over what is in use; in scripts nobody goes over it. */
static void world_max(struct world *w, uint64_t r)
{
	int heap = r % RANDOM_HEAPS;
	bool all = !(r >> 8 & 3);
	uint64_t max;

	driver("tight");
	max = driver_tree(heap, "summary", "heap_inuse", 1) + (r >> 16 & 1023) * DEV_KIB;
	if (all)
		driver_set_module("max", max);
	else
		driver_set(heap, "max", max);
	usleep(r >> 26 & 16383);
	if (all)
		driver_set_module("max", ~0ULL);
	else
		driver_set(heap, "max", ~0ULL);
	driver("tight");
	w->maxes++;
}

static void *world_thread(void *arg)
{
	static const char * const files[] = {
		"mcache", "mcentral", "spans", "arenas", "pagealloc", "scavenger", "size_classes",
		"metrics", "summary", "faults", "memstats/by_size",
	};
	struct world *w = arg;

	while (!atomic_load(&w->stop)) {
		uint64_t r = dev_random(&w->random);
		int cpu = cpus() > 1 ? 1 + (r >> 16) % (cpus() - 1) : 0;
		int heap = (r >> 8) % RANDOM_HEAPS;
		const char *file;
		char text[24];

		switch ((r & 63) < 62 ? r % 10 + (r >> 60 & 1) * 6 : 10) {
		case 0 ... 3:
			snprintf(text, sizeof(text), "%llu", (r >> 32) % (16 * DEV_MIB));
			dev_write_file(driver_path(heap, "scavenge"), r & 16 ? "all" : text);
			w->scavenges++;
			break;
		case 4 ... 5:
			driver_set(heap, "limit", r & 16 ? ~0ULL : (r >> 32) % (48 * DEV_MIB));
			w->limits++;
			break;
		case 6:
			driver_set_module("limit", r & 16 ? ~0ULL : (r >> 32) % (128 * DEV_MIB));
			w->limits++;
			break;
		case 7 ... 8:
			world_max(w, r >> 24);
			break;
		case 9:
			dev_write_file("/proc/sys/vm/drop_caches", "6");
			w->drops++;
			break;
		case 10:
			/* Which takes seconds of a kernel that looks at every step. */
			if (!cpu || (dev_slow() && r >> 32 & 7) || !driver_cpu(cpu, false))
				break;
			usleep((r >> 32) % 30000);
			driver_cpu(cpu, true);
			w->offline++;
			break;
		case 11:
			snprintf(text, sizeof(text), "%" PRIu64, r >> 32 & 1 ? 1 : (r >> 33) % 101);
			dev_module_set("scavenge_percent", text);
			break;
		default:
			file = files[(r >> 32) % ARRAY_SIZE(files)];
			free(dev_read_file(driver_path(heap, file)));
			w->reads++;
			break;
		}
		usleep((r >> 48) % 20000);
	}
	driver_set_module("limit", ~0ULL);
	for (int heap = 0; heap < RANDOM_HEAPS; heap++)
		driver_set(heap, "limit", ~0ULL);
	return NULL;
}

static void print_wrong(void)
{
	char *line, *rest = driver_wrong;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			printf("# %s\n", line);
	fflush(stdout);
}

/* A round of all at once, and whether the books are right afterwards. */
static bool round_of(struct world *w, unsigned int ms, uint64_t ops, uint64_t number)
{
	uint64_t r = dev_random(&w->random);
	pthread_t thread;
	bool fine;

	if (has_sweeps() && number % 2)
		driver("sweep %" PRIu64 " %" PRIu64 " %" PRIu64, 1 + r % (RANDOM_HEAPS - 1),
		       r >> 8 & 127, r >> 32);
	atomic_store(&w->stop, false);
	if (pthread_create(&thread, NULL, world_thread, w))
		return driver_fail("no thread");
	driver("run %u %" PRIu64, ms, ops);
	atomic_store(&w->stop, true);
	pthread_join(thread, NULL);
	fine = driver_well() && driver_books(true);
	if (fine && number % 2) {
		driver("race");
		fine = driver_well() && driver_books(true);
	}
	return fine;
}

TEST_F_TIMEOUT(driver, everybody, FOREVER)
{
	uint64_t seconds = wanted("RANDOM_SECONDS", dev_slow() ? 20 : 12);
	uint64_t ops = wanted("RANDOM_OPS", ~0ULL), done = 0, rounds = 0, seed = dev_seed();
	unsigned int lanes = cpus() < 4 ? 4 : cpus(), ms = dev_slow() ? 2000 : 1000;
	double begin = dev_seconds(), took;
	struct world w = { .random = seed };
	bool fine = true;

	if (ops != ~0ULL)
		seconds = FOREVER;
	if (seconds > 60)
		ms *= 4;
	/* With PREEMPT_RT our tasklets stay where a CPU is on its way offline, until it is. */
	dev_write_file("/dev/kmsg",
		       "<6>goalloc-expect: any NOHZ tick-stop error: .* pending, handler #40\n");
	TH_LOG("seed %" PRIu64 " (SEED=... for another), %u lanes in each context", seed, lanes);
	ASSERT_EQ(0, driver("start %u 2048 %llu %" PRIu64, lanes,
			    dev_memory("MemTotal") / 5 / DEV_MIB, seed));
	driver_find_heaps();
	while (fine && done < ops && dev_seconds() - begin < seconds) {
		fine = round_of(&w, ms, ops - done, rounds++);
		done = driver_value("operations");
		if (rounds % 64 == 0) {
			TH_LOG("%" PRIu64 " operations, %.0f in a second", done,
			       done / (dev_seconds() - begin));
		}
	}
	took = dev_seconds() - begin;
	TH_LOG("%" PRIu64 " operations in %.1f s, %.0f in a second", done, took, done / took);
	TH_LOG("%" PRIu64 " objects, %" PRIu64 " refused, %" PRIu64 " looked at in between, %"
	       PRIu64 " freed twice at once", driver_value("objects"), driver_value("refused"),
	       driver_value("looked"), driver_value("extra"));
	TH_LOG("%" PRIu64 " hardirqs sent, %" PRIu64 " NMIs; %" PRIu64 " rounds, %u scavenges",
	       driver_value("pokes"), driver_value("nmis"), rounds, w.scavenges);
	TH_LOG("%u limits, %u hard ones, %u caches dropped, %u times a CPU offline, %u reads",
	       w.limits, w.maxes, w.drops, w.offline, w.reads);
	if (fine) {
		EXPECT_EQ(0, driver("end"));
		fine = driver_well() && driver_books(true);
	}
	for (int heap = 0; fine && heap < RANDOM_HEAPS; heap++)
		EXPECT_EQ(heap ? 0 : driver_base.mallocs - driver_base.frees,
			  driver_tree(heap, "summary", "heap_objects", 1));
	EXPECT_TRUE(fine);
	print_wrong();
}

/* A script that fails, and a shorter one that does. */
static void report(struct random_op *ops, size_t n, uint64_t seed)
{
	unsigned int tries;
	size_t i, again, was = n;

	printf("# a script of seed %" PRIu64 " fails after %zu operations:\n", seed, n);
	fflush(stdout);
	print_wrong();
	script_reload = !access(SCRIPT_MODULE, R_OK);
	again = script_run(ops, n, 0);
	if (!again && script_reload) {
		printf("# but not with the module loaded anew\n");
		script_reload = false;
	}
	n = again ?: n;
	n = script_shrink(ops, n, 0, wanted("SHRINK_SECONDS", 60), &tries);
	printf("# %zu operations are left of %zu after %u tries:\n", n, was, tries);
	for (i = 0; i < n && i < 200; i++)
		script_print(stdout, &ops[i]);
	script_run(ops, n, 0);
	print_wrong();
}

TEST_F_TIMEOUT(driver, scripts, FOREVER)
{
	uint64_t ops = wanted("SCRIPT_OPS", ~0ULL), done, seed = dev_seed();
	uint64_t seconds = ops == ~0ULL ? wanted("SCRIPT_SECONDS", 8) : FOREVER;
	struct random_op *script = malloc(SCRIPT_LENGTH * sizeof(*script));
	const char *replay = getenv("RANDOM_REPLAY");
	double begin = dev_seconds();
	size_t failed = 0, n = SCRIPT_LENGTH;

	ASSERT_NE(NULL, script);
	/* Whatever can be is to be the same the next time. */
	dev_background(0);
	for (done = 0; done < ops && !failed && dev_seconds() - begin < seconds;
	     done += n, seed++) {
		if (replay)
			n = script_parse(replay, script, SCRIPT_LENGTH);
		else
			script_make(script, n, seed, has_sweeps());
		failed = script_run(script, n, 0);
		if (failed)
			report(script, failed, seed);
		if (replay)
			break;
	}
	TH_LOG("%" PRIu64 " operations of scripts in %.1f s", done, dev_seconds() - begin);
	EXPECT_EQ(0, failed);
	free(script);
}

/*
 * Would it find something? The driver plants a fault: when an object of a heap is made
 * much larger it writes to another one. Of many operations three are left, and the heap.
 */
TEST_F_TIMEOUT(driver, shrinks, 300)
{
	struct random_op *script = malloc(SCRIPT_LENGTH * sizeof(*script));
	unsigned int tries, makes = 0, reallocs = 0;
	double begin = dev_seconds();
	size_t failed = 0, n, i;
	uint64_t seed = dev_seed();

	if (dev_slow())
		SKIP(return, "is no other on this kernel, and takes minutes");
	ASSERT_NE(NULL, script);
	dev_background(0);
	/* Not every script has what it takes: an object of that size when another grows. */
	for (i = 0; i < 8 && !failed; i++) {
		script_make(script, SCRIPT_LENGTH / 4, seed + i, false);
		ASSERT_EQ(0, script_run(script, SCRIPT_LENGTH / 4, 0));
		failed = script_run(script, SCRIPT_LENGTH / 4, 2);
	}
	ASSERT_LT(0, failed)
		TH_LOG("what was planted was not found");
	print_wrong();
	n = script_shrink(script, failed, 2, 600, &tries);
	TH_LOG("%zu operations are left of %zu, after %u tries in %.1f s", n, failed, tries,
	       dev_seconds() - begin);
	for (i = 0; i < n; i++) {
		script_print(stdout, &script[i]);
		makes += script[i].code == RANDOM_HEAP_MAKE;
		reallocs += script[i].code == RANDOM_REALLOC;
	}
	fflush(stdout);
	EXPECT_GE(6, n);
	EXPECT_EQ(1, makes);
	/* One that makes the other object its victim's neighbour may be needed, too. */
	EXPECT_LE(1, reallocs);
	/* It fails each time, and not without the fault. */
	EXPECT_EQ(n, script_run(script, n, 2));
	EXPECT_EQ(n, script_run(script, n, 2));
	EXPECT_EQ(0, script_run(script, n, 0));
	free(script);
}

TEST_HARNESS_MAIN
