// SPDX-License-Identifier: GPL-2.0-only
/*
 * One heap, many threads: objects made by one and freed by another, the same
 * object freed by two at once, and books that balance afterwards.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "tree.h"

enum { THREADS = 8 };

FIXTURE(threads)
{
	int fd;
};

FIXTURE_SETUP(threads)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(threads)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

/* What every thread of a test gets. */
struct worker {
	struct __test_metadata *_metadata;
	int fd;
	pthread_t thread;
	uint64_t state;
	unsigned int number;
	unsigned int ops;
	unsigned int size_bits;
	unsigned int done;
};

static void start(struct __test_metadata *_metadata, int fd, struct worker *w,
		  void *(*run)(void *))
{
	w->_metadata = _metadata;
	w->fd = fd;
	ASSERT_RET(0, -pthread_create(&w->thread, NULL, run, w));
}

static void finish(struct __test_metadata *_metadata, struct worker *w)
{
	EXPECT_RET(0, -pthread_join(w->thread, NULL));
}

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

static void retire(struct __test_metadata *_metadata, int fd, struct obj *o)
{
	if (!o)
		return;
	EXPECT_TRUE(obj_is(fd, o->addr, o->bytes, o->seed))
		TH_LOG("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
	EXPECT_RET(0, heap_free(fd, o->addr));
	free(o);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct __test_metadata *_metadata = w->_metadata;

	for (w->done = 0; w->done < w->ops; w->done++) {
		struct obj *o = malloc(sizeof(*o));

		o->bytes = rnd_size(&w->state, w->size_bits);
		o->seed = rnd(&w->state);
		if (!EXPECT_RET(0, heap_alloc(w->fd, o->bytes, o->seed & GOALLOC_SCAN, &o->addr,
					      &o->usable))) {
			free(o);
			break;
		}
		EXPECT_TRUE(obj_is_zero(w->fd, o->addr, o->bytes))
			TH_LOG("object at %#" PRIx64 ", %" PRIu64 " bytes", o->addr, o->bytes);
		EXPECT_TRUE(obj_write(w->fd, o->addr, o->bytes, o->seed));
		retire(_metadata, w->fd, swap(rnd_below(&w->state, SLOTS), o));
	}
	return NULL;
}

static void run_workers(struct __test_metadata *_metadata, int fd, unsigned int ops,
			unsigned int size_bits)
{
	uint64_t seed = rnd_seed(), sum = 0;
	struct worker workers[THREADS];
	struct goalloc_memstats ms;
	double begun = seconds();
	size_t i;

	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.state = seed + i * 1000, .ops = paced(ops / THREADS),
			.size_bits = size_bits,
		};
		start(_metadata, fd, &workers[i], work);
	}
	for (i = 0; i < THREADS; i++) {
		finish(_metadata, &workers[i]);
		sum += workers[i].done;
	}
	TH_LOG("%" PRIu64 " objects by %d threads in %.2f s", sum, THREADS, seconds() - begun);
	ms = heap_stats(fd);
	EXPECT_EQ(sum, ms.mallocs);
	for (i = 0; i < SLOTS; i++)
		retire(_metadata, fd, swap(i, NULL));
	ms = heap_stats(fd);
	EXPECT_EQ(sum, ms.mallocs);
	EXPECT_EQ(sum, ms.frees);
	EXPECT_EMPTY(fd);
}

TEST_F_TIMEOUT(threads, small_objects, LONG_TEST)
{
	run_workers(_metadata, self->fd, 24000, 11);
}

TEST_F_TIMEOUT(threads, tiny_objects, LONG_TEST)
{
	run_workers(_metadata, self->fd, 24000, 4);
}

TEST_F_TIMEOUT(threads, all_sizes, LONG_TEST)
{
	run_workers(_metadata, self->fd, 8000, 17);
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
	struct worker *w = arg;
	struct __test_metadata *_metadata = w->_metadata;
	unsigned int round;
	size_t i;

	for (round = 0; round < rounds; round++) {
		pthread_barrier_wait(&barrier);
		for (i = w->number; i < BATCH; i += THREADS)
			EXPECT_RET(0, heap_free(w->fd, given[i]));
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, freed_by_others, LONG_TEST)
{
	static const uint64_t sizes[] = { 1, 7, 16, 48, 100, 1024, 8192, 32768, 65536 };
	struct worker workers[THREADS];
	uint64_t sum = 0, inuse;
	unsigned int round;
	size_t i;

	rounds = paced(45);
	ASSERT_RET(0, -pthread_barrier_init(&barrier, NULL, THREADS + 1));
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .number = i };
		start(_metadata, self->fd, &workers[i], free_given);
	}
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < BATCH; i++, sum++)
			given[i] = heap_new(self->fd, sizes[round % ARRAY_SIZE(sizes)]);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		EXPECT_EQ(0, heap_stats(self->fd).heap_objects);
	}
	for (i = 0; i < THREADS; i++)
		finish(_metadata, &workers[i]);
	pthread_barrier_destroy(&barrier);
	EXPECT_EQ(sum, heap_stats(self->fd).mallocs);
	EXPECT_EMPTY(self->fd);
	/* Some spans in the caches, none of those that went through here. */
	inuse = heap_stats(self->fd).heap_inuse;
	TH_LOG("%" PRIu64 " KiB in use by spans without objects", inuse / 1024);
	EXPECT_LT(inuse, 4 * MIB);
}

/* All threads free the same object: one of them does, the others are told. */
static uint64_t raced;
static unsigned int races, wins, refusals, odd;

static void *race(void *arg)
{
	struct worker *w = arg;
	unsigned int i;
	long ret;

	for (i = 0; i < races; i++) {
		pthread_barrier_wait(&barrier);
		ret = heap_free(w->fd, raced);
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

TEST_F_TIMEOUT(threads, double_free_race, LONG_TEST)
{
	static const uint64_t sizes[] = { 16, 100, 5, 1024, 40000 };
	enum { RACERS = 3 };
	struct worker racers[RACERS];
	uint64_t keep[ARRAY_SIZE(sizes)];
	unsigned int i;

	races = paced(3000);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		keep[i] = heap_new(self->fd, sizes[i]);
	ASSERT_RET(0, -pthread_barrier_init(&barrier, NULL, RACERS + 1));
	for (i = 0; i < RACERS; i++)
		start(_metadata, self->fd, &racers[i], race);
	for (i = 0; i < races; i++) {
		raced = heap_new(self->fd, sizes[i % ARRAY_SIZE(sizes)]);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (i = 0; i < RACERS; i++)
		finish(_metadata, &racers[i]);
	pthread_barrier_destroy(&barrier);
	TH_LOG("%u frees done, %u refused", wins, refusals);
	EXPECT_EQ(races, wins);
	EXPECT_EQ(races * (RACERS - 1), refusals);
	EXPECT_EQ(0, odd);
	EXPECT_EQ(ARRAY_SIZE(sizes), heap_stats(self->fd).heap_objects);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_RET(0, heap_free(self->fd, keep[i]));
	EXPECT_EMPTY(self->fd);
}

/* Bad addresses from some threads while others work: nobody else's object is hurt. */
static bool vandals;

static void *vandalise(void *arg)
{
	struct worker *w = arg;
	struct __test_metadata *_metadata = w->_metadata;
	unsigned long refused = 0, accepted = 0;
	struct goalloc_query q;

	while (__atomic_load_n(&vandals, __ATOMIC_RELAXED)) {
		/* Odd addresses are no object of 2 bytes or more. */
		uint64_t addr = HEAP_BASE + (rnd_below(&w->state, 4 * MIB) | 1);

		if (heap_free(w->fd, addr))
			refused++;
		else
			accepted++;
		heap_query(w->fd, addr, &q);
	}
	EXPECT_EQ(0, accepted);
	TH_LOG("%lu bad frees refused", refused);
	return NULL;
}

static void *work_even(void *arg)
{
	struct worker *w = arg;
	struct __test_metadata *_metadata = w->_metadata;
	struct obj objs[100] = { 0 };
	unsigned int i;

	for (w->done = 0; w->done < w->ops; w->done++) {
		struct obj *o = &objs[rnd_below(&w->state, ARRAY_SIZE(objs))];

		if (o->addr) {
			EXPECT_TRUE(obj_is(w->fd, o->addr, o->bytes, o->seed));
			EXPECT_RET(0, heap_free(w->fd, o->addr));
		}
		o->bytes = rnd_size(&w->state, 14) + 15;
		o->seed = rnd(&w->state);
		o->addr = heap_new(w->fd, o->bytes);
		EXPECT_TRUE(obj_write(w->fd, o->addr, o->bytes, o->seed));
	}
	for (i = 0; i < ARRAY_SIZE(objs); i++) {
		EXPECT_TRUE(obj_is(w->fd, objs[i].addr, objs[i].bytes, objs[i].seed));
		EXPECT_RET(0, heap_free(w->fd, objs[i].addr));
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, bad_frees_meanwhile, LONG_TEST)
{
	struct worker workers[3];
	struct worker vandal[2];
	size_t i;

	vandals = true;
	for (i = 0; i < ARRAY_SIZE(vandal); i++) {
		vandal[i] = (struct worker){ .state = i + 1 };
		start(_metadata, self->fd, &vandal[i], vandalise);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .state = i, .ops = paced(3000) };
		start(_metadata, self->fd, &workers[i], work_even);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		finish(_metadata, &workers[i]);
	__atomic_store_n(&vandals, false, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(vandal); i++)
		finish(_metadata, &vandal[i]);
	EXPECT_EMPTY(self->fd);
}

/* The books can be read at any time, and are then at least possible. */
static bool reading;

static void *read_books(void *arg)
{
	struct worker *w = arg;
	struct __test_metadata *_metadata = w->_metadata;
	unsigned long reads = 0;

	while (__atomic_load_n(&reading, __ATOMIC_RELAXED)) {
		struct goalloc_memstats ms = heap_stats(w->fd);

		EXPECT_EQ(ms.heap_sys, ms.heap_inuse + ms.heap_idle);
		EXPECT_LE(ms.heap_released, ms.heap_idle);
		EXPECT_EQ(ms.mallocs - ms.frees, ms.heap_objects);
		EXPECT_LT(ms.heap_objects, 1ULL << 40);
		EXPECT_LT(ms.heap_alloc, 1ULL << 40);
		reads++;
	}
	TH_LOG("%lu looks at the books", reads);
	return NULL;
}

TEST_F_TIMEOUT(threads, books_meanwhile, LONG_TEST)
{
	struct worker workers[3];
	struct worker reader = { 0 };
	size_t i;

	reading = true;
	start(_metadata, self->fd, &reader, read_books);
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker){ .state = i, .ops = paced(3000) };
		start(_metadata, self->fd, &workers[i], work_even);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		finish(_metadata, &workers[i]);
	__atomic_store_n(&reading, false, __ATOMIC_RELAXED);
	finish(_metadata, &reader);
	EXPECT_EMPTY(self->fd);
}

TEST_HARNESS_MAIN
