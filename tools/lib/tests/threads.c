// SPDX-License-Identifier: MIT
/* Many threads: objects freed by others, threads that come and go. */
#include <pthread.h>

#include <goalloc.h>

#include "tap.h"

static struct goalloc_heap *heap;

static struct goalloc_stats stats_now(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };

	CHECK_EQ(goalloc_get_stats(heap, &stats), 0);
	return stats;
}

struct object {
	size_t size;
	unsigned int tag;
};

/* A ring of one writer and one reader. */
enum { RING = 512, PASSED = 20000 };

struct ring {
	struct object *slot[RING];
	size_t in, out;
};

static struct object *object_make(uint64_t *seed)
{
	size_t size = sizeof(struct object) +
		      tap_random(seed) % (tap_random(seed) % 256 ? 600 : 50000);
	struct object *object = goalloc_malloc(heap, size);

	if (!CHECK(object))
		exit(1);
	object->size = size;
	object->tag = tap_random(seed);
	tap_fill((unsigned char *)(object + 1), size - sizeof(*object), object->tag);
	return object;
}

static void object_free(struct object *object)
{
	CHECK(tap_filled((unsigned char *)(object + 1), object->size - sizeof(*object),
			 object->tag));
	CHECK_EQ(goalloc_try_free(heap, object), 0);
}

static void *produce(void *arg)
{
	struct ring *ring = arg;
	uint64_t seed = (uintptr_t)ring;
	size_t i;

	for (i = 0; i < PASSED; i++) {
		struct object *object = object_make(&seed);

		while (i - __atomic_load_n(&ring->out, __ATOMIC_ACQUIRE) >= RING)
			sched_yield();
		ring->slot[i % RING] = object;
		__atomic_store_n(&ring->in, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct ring *ring = arg;
	size_t i;

	for (i = 0; i < PASSED; i++) {
		while (__atomic_load_n(&ring->in, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
		object_free(ring->slot[i % RING]);
		__atomic_store_n(&ring->out, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void producers_and_consumers(void)
{
	enum { PAIRS = 3 };
	static struct ring ring[PAIRS];
	pthread_t producer[PAIRS], consumer[PAIRS];
	struct goalloc_stats stats;
	int i;

	for (i = 0; i < PAIRS; i++) {
		pthread_create(&producer[i], NULL, produce, &ring[i]);
		pthread_create(&consumer[i], NULL, consume, &ring[i]);
	}
	for (i = 0; i < PAIRS; i++) {
		pthread_join(producer[i], NULL);
		pthread_join(consumer[i], NULL);
	}
	stats = stats_now();
	CHECK_EQ(stats.mallocs, stats.frees);
	/* Their stocks went with them. */
	CHECK_EQ(stats.heap_objects, stats.cached_objects);
	CHECK(stats.threads <= 1);
}

static void *churn(void *arg)
{
	enum { LIVE = 256 };
	struct object *live[LIVE] = {};
	uint64_t seed = (uintptr_t)arg;
	int i;

	for (i = 0; i < 20000; i++) {
		unsigned int at = tap_random(&seed) % LIVE;

		if (live[at])
			object_free(live[at]);
		live[at] = object_make(&seed);
	}
	for (i = 0; i < LIVE; i++)
		if (live[i])
			object_free(live[i]);
	return NULL;
}

static void all_at_once(void)
{
	pthread_t thread[6];
	size_t i;

	for (i = 0; i < COUNT(thread); i++)
		pthread_create(&thread[i], NULL, churn, (void *)(i + 1));
	for (i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(stats_now().mallocs, stats_now().frees);
}

static void *short_life(void *arg)
{
	void *ptr = goalloc_malloc(heap, 100);

	goalloc_free(heap, arg);
	return ptr;
}

/* Each frees what the one before has left behind. */
static void threads_come_and_go(void)
{
	uint64_t before = stats_now().heap_objects;
	void *ptr = NULL;
	int i;

	for (i = 0; i < 500; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, short_life, ptr), 0);
		pthread_join(thread, &ptr);
		CHECK(ptr);
	}
	goalloc_free(heap, ptr);
	goalloc_flush(heap);
	CHECK(stats_now().heap_objects <= before);
}

static pthread_key_t late_key;
static unsigned int late_calls;

static void late(void *ptr)
{
	goalloc_free(heap, ptr);
	if (++late_calls % 3)
		pthread_setspecific(late_key, goalloc_malloc(heap, 64));
}

static void *with_late_destructor(void *arg)
{
	(void)arg;
	pthread_setspecific(late_key, goalloc_malloc(heap, 64));
	return NULL;
}

/* Destructors of thread-specific data that run after the library's own. */
static void after_the_end(void)
{
	pthread_t thread;

	pthread_key_create(&late_key, late);
	pthread_create(&thread, NULL, with_late_destructor, NULL);
	pthread_join(thread, NULL);
	CHECK_EQ(late_calls, 3);
	CHECK_EQ(stats_now().mallocs, stats_now().frees);
	pthread_key_delete(late_key);
}

static bool stop;

static void *idle(void *arg)
{
	enum { N = 100 };
	void *ptr[N];
	int i;

	for (i = 0; i < N; i++)
		ptr[i] = goalloc_malloc(heap, 512);
	for (i = 0; i < N; i++)
		goalloc_free(heap, ptr[i]);
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		usleep(1000);
	/* Now it learns that its stock is wanted. */
	for (i = 0; i < N; i++)
		ptr[i] = goalloc_malloc(heap, 768);
	for (i = 0; i < N; i++)
		goalloc_free(heap, ptr[i]);
	return NULL;
}

static uint64_t cached_of(uint64_t size)
{
	struct goalloc_size_class class = { .size = sizeof(class) };
	unsigned int index = 0;

	while (goalloc_next_class(heap, &index, &class) == 1)
		if (class.object_size == size)
			return class.cached;
	return 0;
}

/* A trim reaches stocks of other threads when they look. */
static void trim_reaches_others(void)
{
	bool ready = false;
	pthread_t thread;

	pthread_create(&thread, NULL, idle, &ready);
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	CHECK(cached_of(512) >= 100);
	CHECK_EQ(goalloc_trim(heap, NULL), 0);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	while (cached_of(512))
		usleep(1000);
	pthread_join(thread, NULL);
	CHECK_EQ(cached_of(512), 0);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(producers_and_consumers), TEST(all_at_once), TEST(threads_come_and_go),
		TEST(after_the_end), TEST(trim_reaches_others),
	};

	heap = goalloc_open(NULL);
	if (!heap) {
		printf("Bail out! %s\n", goalloc_last_error());
		return 1;
	}
	return tap_run(tests, COUNT(tests));
}
