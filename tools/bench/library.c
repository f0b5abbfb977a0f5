// SPDX-License-Identifier: GPL-2.0-only
/*
 * What malloc() costs in a process, a line for each thing measured, with tabs between:
 *
 *	library	<case>	<bytes>	<allocator>	alloc|free|pair	<instructions>
 *
 * library ALLOCATOR [backwards]: ALLOCATOR is a name for what malloc() is in this
 * run, with or without libgoalloc-preload.so; "mmap" has each object from mmap()
 * and gives it to munmap(), which nobody does with small ones.
 *
 * Instructions are of one object, in tenths, the median of all rounds, without the
 * loop; those of the kernel on this CPU are in them. The cycle counter counts them:
 * this is for QEMU with -icount shift=0 and one CPU, and the program refuses to run
 * where it counts anything else.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#define WARM_UP		4
#define ROUNDS		15
#define HOT		1024		/* pairs a round */
#define LIVE		4096
#define LIVE_BIG	256		/* of more than RANDOM_SIZE bytes */
#define RANDOM_SIZE	1024
#define LARGE		(1UL << 20)
#define LARGE_HOT	8		/* pairs a round */
#define PAGE		4096UL

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const size_t sizes[] = { 16, 64, 256, 1024, 4096, 16384 };

static const char *name;
static bool backwards, mapped;

static void *objects[LIVE];
static uint32_t order[LIVE], places[LIVE], bytes[LIVE];
static uint64_t rounds_alloc[ROUNDS], rounds_free[ROUNDS];

static uint64_t now(void)
{
	return __rdtsc();
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

/* The cycle counter has to count instructions. Others may run now and then. */
static void check_clock(void)
{
	const uint64_t n = 1000000;
	uint64_t begin, took, i;
	int tries;

	for (tries = 0; tries < 20; tries++) {
		i = n;
		begin = now();
		asm volatile("1: dec %0; jnz 1b" : "+r"(i));
		took = now() - begin;
		if (took >= 2 * n && took < 2 * n + n / 50)
			return;
	}
	errx(1, "%llu instructions took %llu cycles: this is no QEMU with -icount shift=0",
	     (unsigned long long)(2 * n), (unsigned long long)took);
}

/* The kind of thing that a loop is measured for. */
enum what { NOTHING, MALLOC, MMAP };

/* What an object is for: the compiler does not know, so it has to be made. */
static inline void *use(void *p)
{
	asm volatile("" : "+r"(p) : : "memory");
	return p;
}

static inline __attribute__((always_inline)) void *make(enum what what, size_t size)
{
	void *p = objects;

	if (what == MALLOC)
		p = malloc(size);
	else if (what == MMAP)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (what != NOTHING && (!p || p == MAP_FAILED))
		err(1, "%zu bytes", size);
	return use(p);
}

static inline __attribute__((always_inline)) void unmake(enum what what, void *p, size_t size)
{
	p = use(p);
	if (what == MALLOC)
		free(p);
	else if (what == MMAP)
		munmap(p, size);
}

static uint32_t next_random(void)
{
	static uint64_t seed = 20261122;

	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * 2685821657736338717ULL) >> 32;
}

static uint32_t random_below(uint32_t n)
{
	return ((uint64_t)next_random() * n) >> 32;
}

static void report(const char *what, size_t size, const char *metric, uint64_t took,
		   uint64_t nothing, uint64_t n)
{
	uint64_t tenths = (took > nothing ? took - nothing : 0) * 10 / n;

	printf("library\t%s\t%zu\t%s\t%s\t%llu.%llu\n", what, size, name, metric,
	       (unsigned long long)tenths / 10, (unsigned long long)tenths % 10);
}

/* A free follows each allocation; with @touch each page is written to. */
static inline __attribute__((always_inline))
uint64_t hot(enum what what, size_t size, unsigned int n, bool touch)
{
	unsigned int r, i;
	size_t at;

	for (r = 0; r < WARM_UP + ROUNDS; r++) {
		uint64_t begin = now();

		for (i = 0; i < n; i++) {
			char *p = make(what, size);

			for (at = 0; touch && what != NOTHING && at < size; at += PAGE)
				*(volatile char *)(p + at) = 1;
			unmake(what, p, size);
		}
		rounds_alloc[r < WARM_UP ? 0 : r - WARM_UP] = now() - begin;
	}
	return median(rounds_alloc);
}

/* @n objects are made and then freed in the order of order[]. */
static inline __attribute__((always_inline))
void batches(enum what what, size_t size, unsigned int n, uint64_t *alloc, uint64_t *freed)
{
	unsigned int r, i;

	for (r = 0; r < WARM_UP + ROUNDS; r++) {
		unsigned int k = r < WARM_UP ? 0 : r - WARM_UP;
		uint64_t begin = now();

		for (i = 0; i < n; i++)
			objects[i] = make(what, size);
		rounds_alloc[k] = now() - begin;
		begin = now();
		for (i = 0; i < n; i++)
			unmake(what, objects[order[i]], size);
		rounds_free[k] = now() - begin;
	}
	*alloc = median(rounds_alloc);
	*freed = median(rounds_free);
}

/* Any of LIVE objects is freed, one of any size made in its place. */
static inline __attribute__((always_inline)) uint64_t replace(enum what what)
{
	unsigned int r, i;
	uint64_t took;

	for (i = 0; i < LIVE; i++)
		objects[i] = make(what, bytes[i]);
	for (r = 0; r < WARM_UP + ROUNDS; r++) {
		uint64_t begin;

		/* Others each time, drawn outside of what is measured. */
		for (i = 0; i < LIVE; i++) {
			places[i] = random_below(LIVE);
			bytes[i] = 1 + random_below(RANDOM_SIZE);
		}
		begin = now();
		for (i = 0; i < LIVE; i++) {
			void **place = &objects[places[i]];

			unmake(what, *place, RANDOM_SIZE);
			*place = make(what, bytes[i]);
		}
		rounds_alloc[r < WARM_UP ? 0 : r - WARM_UP] = now() - begin;
	}
	took = median(rounds_alloc);
	for (i = 0; i < LIVE; i++)
		unmake(what, objects[i], RANDOM_SIZE);
	return took;
}

static void order_backwards(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		order[i] = n - 1 - i;
}

static void order_shuffle(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n - 1; i > 0; i--) {
		unsigned int j = random_below(i + 1);
		uint32_t t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
}

static void measure_batches(const char *kind, size_t size, unsigned int n)
{
	uint64_t none_alloc, none_free, alloc, freed;
	char what[32];

	snprintf(what, sizeof(what), "%s-%u", kind, n);

	batches(NOTHING, size, n, &none_alloc, &none_free);
	batches(MALLOC, size, n, &alloc, &freed);
	report(what, size, "alloc", alloc, none_alloc, n);
	report(what, size, "free", freed, none_free, n);
	report(what, size, "pair", alloc + freed, none_alloc + none_free, n);
}

static void measure_small(size_t size)
{
	unsigned int n = size > RANDOM_SIZE ? LIVE_BIG : LIVE;

	report("hot", size, "pair", hot(MALLOC, size, HOT, false),
	       hot(NOTHING, size, HOT, false), HOT);
	order_backwards(n);
	measure_batches("lifo", size, n);
	order_shuffle(n);
	measure_batches("shuffled", size, n);
}

static void measure_random(void)
{
	unsigned int i;
	uint64_t none;

	for (i = 0; i < LIVE; i++)
		bytes[i] = 1 + random_below(RANDOM_SIZE);
	none = replace(NOTHING);
	report("random", RANDOM_SIZE, "pair", replace(MALLOC), none, LIVE);
}

static void measure_large(size_t size, unsigned int n)
{
	uint64_t none = hot(NOTHING, size, n, false);

	if (mapped) {
		report("hot", size, "pair", hot(MMAP, size, n, false), none, n);
		report("hot-touched", size, "pair", hot(MMAP, size, n, true), none, n);
		return;
	}
	if (size == LARGE)
		report("hot", size, "pair", hot(MALLOC, size, n, false), none, n);
	report("hot-touched", size, "pair", hot(MALLOC, size, n, true), none, n);
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc < 2)
		errx(1, "whose malloc is it?");
	name = argv[1];
	mapped = !strcmp(name, "mmap");
	backwards = argc > 2 && !strcmp(argv[2], "backwards");
	check_clock();
	/* The buffer of stdout is had now. */
	if (setvbuf(stdout, NULL, _IOLBF, BUFSIZ))
		err(1, "stdout");
	memset(objects, 1, sizeof(objects));

	if (backwards)
		measure_large(LARGE, LARGE_HOT);
	measure_large(PAGE, HOT);
	for (i = 0; !mapped && i < ARRAY_SIZE(sizes); i++)
		measure_small(sizes[backwards ? ARRAY_SIZE(sizes) - 1 - i : i]);
	if (!mapped)
		measure_random();
	if (!backwards)
		measure_large(LARGE, LARGE_HOT);
	return 0;
}
