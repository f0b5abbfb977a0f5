// SPDX-License-Identifier: GPL-2.0-only
/*
 * One heap, many threads: objects made by one and freed by another, the same
 * object freed by two at once, and books that balance afterwards.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "tree.h"

enum { THREADS = 8 };

static int fd;

/*
 * Objects in the open: a thread takes one out of a slot, which makes it its
 * own, and puts another one in.
 */
enum { SLOTS = 512 };
static struct obj *slots[SLOTS];

static struct obj *swap(size_t i, struct obj *o)
{
	return __atomic_exchange_n(&slots[i], o, __ATOMIC_ACQ_REL);
}

static void retire(struct obj *o)
{
	if (!o)
		return;
	if (!CHECK(obj_is(fd, o->addr, o->bytes, o->seed)))
		tap_note("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
	CHECK_RET(heap_free(fd, o->addr), 0);
	free(o);
}

struct worker {
	pthread_t thread;
	uint64_t state;
	unsigned int ops;
	unsigned int size_bits;
	unsigned int done;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (w->done = 0; w->done < w->ops; w->done++) {
		struct obj *o = malloc(sizeof(*o));

		o->bytes = rnd_size(&w->state, w->size_bits);
		o->seed = rnd(&w->state);
		if (!CHECK_RET(heap_alloc(fd, o->bytes, o->seed & GOALLOC_SCAN, &o->addr,
					  &o->usable), 0)) {
			free(o);
			break;
		}
		if (!CHECK(obj_is_zero(fd, o->addr, o->bytes)))
			tap_note("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
		CHECK(obj_write(fd, o->addr, o->bytes, o->seed));
		retire(swap(rnd_below(&w->state, SLOTS), o));
	}
	return NULL;
}

static void run_workers(unsigned int ops, unsigned int size_bits)
{
	uint64_t seed = rnd_seed(), sum = 0;
	struct worker workers[THREADS];
	struct goalloc_memstats ms;
	double start;
	size_t i;

	fd = heap_open();
	memset(slots, 0, sizeof(slots));
	start = tap_seconds();
	for (i = 0; i < THREADS; i++) {
		workers[i].state = seed + i * 1000;
		workers[i].ops = paced(ops / THREADS);
		workers[i].size_bits = size_bits;
		REQUIRE(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		sum += workers[i].done;
	}
	tap_note("%" PRIu64 " objects by %d threads in %.2f s", sum, THREADS,
		 tap_seconds() - start);
	ms = heap_stats(fd);
	CHECK_EQ(ms.mallocs, sum);
	for (i = 0; i < SLOTS; i++)
		retire(swap(i, NULL));
	ms = heap_stats(fd);
	CHECK_EQ(ms.mallocs, sum);
	CHECK_EQ(ms.frees, sum);
	heap_check_empty(fd);
}

static void small_objects(void)
{
	run_workers(24000, 11);
}

static void tiny_objects(void)
{
	run_workers(24000, 4);
}

static void all_sizes(void)
{
	run_workers(8000, 17);
}

/*
 * One thread makes, the others free: every slot of a span comes back from
 * elsewhere.
 */
enum { BATCH = 400 };
static uint64_t given[BATCH];
static pthread_barrier_t barrier;
static unsigned int rounds;

static void *free_given(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		for (i = me; i < BATCH; i += THREADS)
			CHECK_RET(heap_free(fd, given[i]), 0);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void freed_by_others(void)
{
	static const uint64_t sizes[] = { 1, 7, 16, 48, 100, 1024, 8192, 32768, 65536 };
	pthread_t threads[THREADS];
	uint64_t sum = 0, inuse;
	unsigned int round;
	size_t i;

	fd = heap_open();
	rounds = paced(45);
	REQUIRE(!pthread_barrier_init(&barrier, NULL, THREADS + 1));
	for (i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, free_given, (void *)i));
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < BATCH; i++, sum++)
			given[i] = heap_new(fd, sizes[round % ARRAY_SIZE(sizes)]);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		CHECK_EQ(heap_stats(fd).heap_objects, 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	CHECK_EQ(heap_stats(fd).mallocs, sum);
	heap_check_empty(fd);
	/* Some spans in the caches, none of those that went through here. */
	inuse = heap_stats(fd).heap_inuse;
	tap_note("%" PRIu64 " KiB in use by spans without objects", inuse / 1024);
	CHECK(inuse < 4 * MIB);
}

/* All threads free the same object: one of them does, the others are told. */
static uint64_t raced;
static unsigned int races, wins, refusals, odd;

static void *race(void *arg)
{
	unsigned int i;
	long ret;

	(void)arg;
	for (i = 0; i < races; i++) {
		pthread_barrier_wait(&barrier);
		ret = heap_free(fd, raced);
		if (!ret)
			__atomic_fetch_add(&wins, 1, __ATOMIC_RELAXED);
		else if (ret == -EALREADY || ret == -ENOENT)
			__atomic_fetch_add(&refusals, 1, __ATOMIC_RELAXED);
		else
			__atomic_fetch_add(&odd, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void double_free_race(void)
{
	static const uint64_t sizes[] = { 16, 100, 5, 1024, 40000 };
	enum { RACERS = 3 };
	pthread_t threads[RACERS];
	uint64_t keep[ARRAY_SIZE(sizes)];
	unsigned int i;

	fd = heap_open();
	races = paced(3000);
	wins = 0;
	refusals = 0;
	odd = 0;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		keep[i] = heap_new(fd, sizes[i]);
	REQUIRE(!pthread_barrier_init(&barrier, NULL, RACERS + 1));
	for (i = 0; i < RACERS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, race, NULL));
	for (i = 0; i < races; i++) {
		raced = heap_new(fd, sizes[i % ARRAY_SIZE(sizes)]);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	tap_note("%u frees done, %u refused", wins, refusals);
	CHECK_EQ(wins, races);
	CHECK_EQ(refusals, races * (RACERS - 1));
	CHECK_EQ(odd, 0);
	CHECK_EQ(heap_stats(fd).heap_objects, ARRAY_SIZE(sizes));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		CHECK_RET(heap_free(fd, keep[i]), 0);
	heap_check_empty(fd);
}

/* Bad addresses from some threads while others work: nobody else's object is hurt. */
static bool vandals;

static void *vandalise(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	unsigned long refused = 0, accepted = 0;
	struct goalloc_query q;

	while (__atomic_load_n(&vandals, __ATOMIC_RELAXED)) {
		/* Odd addresses are no object of 2 bytes or more. */
		uint64_t addr = HEAP_BASE + (rnd_below(&state, 4 * MIB) | 1);

		if (heap_free(fd, addr))
			refused++;
		else
			accepted++;
		heap_query(fd, addr, &q);
	}
	CHECK_EQ(accepted, 0);
	tap_note("%lu bad frees refused", refused);
	return NULL;
}

static void *work_even(void *arg)
{
	struct worker *w = arg;
	struct obj objs[100] = { 0 };
	unsigned int i;

	for (w->done = 0; w->done < w->ops; w->done++) {
		struct obj *o = &objs[rnd_below(&w->state, ARRAY_SIZE(objs))];

		if (o->addr) {
			CHECK(obj_is(fd, o->addr, o->bytes, o->seed));
			CHECK_RET(heap_free(fd, o->addr), 0);
		}
		o->bytes = rnd_size(&w->state, 14) + 15;
		o->seed = rnd(&w->state);
		o->addr = heap_new(fd, o->bytes);
		CHECK(obj_write(fd, o->addr, o->bytes, o->seed));
	}
	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		CHECK(obj_is(fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		CHECK_RET(heap_free(fd, objs[i].addr), 0);
	}
	return NULL;
}

static void bad_frees_meanwhile(void)
{
	struct worker workers[3];
	pthread_t vandal[2];
	size_t i;

	fd = heap_open();
	vandals = true;
	for (i = 0; i < ARRAY_SIZE(vandal); i++)
		REQUIRE(!pthread_create(&vandal[i], NULL, vandalise, (void *)(i + 1)));
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .state = i, .ops = paced(3000) };
		REQUIRE(!pthread_create(&workers[i].thread, NULL, work_even, &workers[i]));
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		pthread_join(workers[i].thread, NULL);
	vandals = false;
	for (i = 0; i < ARRAY_SIZE(vandal); i++)
		pthread_join(vandal[i], NULL);
	heap_check_empty(fd);
}

/* The books can be read at any time, and are then at least possible. */
static bool reading;

static void *read_books(void *arg)
{
	unsigned long reads = 0;

	(void)arg;
	while (__atomic_load_n(&reading, __ATOMIC_RELAXED)) {
		struct goalloc_memstats ms = heap_stats(fd);

		CHECK_EQ(ms.heap_inuse + ms.heap_idle, ms.heap_sys);
		CHECK(ms.heap_released <= ms.heap_idle);
		CHECK_EQ(ms.heap_objects, ms.mallocs - ms.frees);
		CHECK(ms.heap_objects < 1ULL << 40);
		CHECK(ms.heap_alloc < 1ULL << 40);
		reads++;
	}
	tap_note("%lu looks at the books", reads);
	return NULL;
}

static void books_meanwhile(void)
{
	struct worker workers[3];
	pthread_t reader;
	size_t i;

	fd = heap_open();
	reading = true;
	REQUIRE(!pthread_create(&reader, NULL, read_books, NULL));
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .state = i, .ops = paced(3000) };
		REQUIRE(!pthread_create(&workers[i].thread, NULL, work_even, &workers[i]));
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		pthread_join(workers[i].thread, NULL);
	reading = false;
	pthread_join(reader, NULL);
	heap_check_empty(fd);
}

static const struct tap_test tests[] = {
	TEST(small_objects),
	TEST(tiny_objects),
	TEST(all_sizes),
	TEST(freed_by_others),
	TEST(double_free_race),
	TEST(bad_frees_meanwhile),
	TEST(books_meanwhile),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
