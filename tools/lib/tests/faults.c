// SPDX-License-Identifier: MIT
/* Bad frees: every kind is caught, told apart, and changes nothing. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <goalloc.h>

#include "tap.h"

static struct goalloc_heap *heap;
static struct goalloc_fault last;
static unsigned int faults;

static void note(struct goalloc_heap *of, const struct goalloc_fault *fault, void *arg)
{
	CHECK(of == heap);
	CHECK(arg == &faults);
	last = *fault;
	faults++;
}

static const size_t sizes[] = { 16, 48, 64, 1024, 5000, 32768, 40000, 1 << 20, 5 << 20 };

static void double_free(void)
{
	size_t i;

	for (i = 0; i < COUNT(sizes); i++) {
		void *ptr = goalloc_malloc(heap, sizes[i]);
		int ret;

		CHECK_EQ(goalloc_try_free(heap, ptr), 0);
		ret = goalloc_try_free(heap, ptr);
		/* What is larger than a thread keeps is in no span any more. */
		CHECK_EQ(ret, sizes[i] > 4 << 20 ? -ENOENT : -EALREADY);
		CHECK_EQ(goalloc_try_free(heap, ptr), ret);
	}
}

static void interior_free(void)
{
	size_t i;

	for (i = 0; i < COUNT(sizes); i++) {
		char *ptr = goalloc_malloc(heap, sizes[i]);

		CHECK_EQ(goalloc_try_free(heap, ptr + 1), -EINVAL);
		CHECK_EQ(goalloc_try_free(heap, ptr + 8), -EINVAL);
		CHECK_EQ(goalloc_try_free(heap, ptr + sizes[i] - 1), -EINVAL);
		if (sizes[i] > 16)
			CHECK_EQ(goalloc_try_free(heap, ptr + 16), -EINVAL);
		if (sizes[i] > 8192)
			CHECK_EQ(goalloc_try_free(heap, ptr + 8192), -EINVAL);
		/* None of that has changed anything. */
		memset(ptr, 1, sizes[i]);
		CHECK_EQ(goalloc_try_free(heap, ptr), 0);
	}
}

static void wild_free(void)
{
	static char global[64];
	char local[64];

	CHECK_EQ(goalloc_try_free(heap, global), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, local), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)16), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)1), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)-16), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)0x7fffffffffff), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)0xc000000000 + ((size_t)1 << 39)), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, (void *)(0xc000000000 - 16)), -ENOENT);
}

/* Back in the kernel's hands it is no better. */
static void freed_and_flushed(void)
{
	enum { N = 5000 };
	static void *ptr[N];
	int i;

	for (i = 0; i < N; i++)
		ptr[i] = goalloc_malloc(heap, 96);
	for (i = 0; i < N; i++)
		goalloc_free(heap, ptr[i]);
	goalloc_flush(heap);
	for (i = 0; i < N; i++) {
		int ret = goalloc_try_free(heap, ptr[i]);

		CHECK(ret == -EALREADY || ret == -ENOENT);
	}
}

static bool done;

static void *free_in_thread(void *ptr)
{
	goalloc_free(heap, ptr);
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		usleep(1000);
	return NULL;
}

/* It lies in the stock of another thread. */
static void freed_by_another(void)
{
	void *ptr = goalloc_malloc(heap, 64);
	pthread_t thread;

	pthread_create(&thread, NULL, free_in_thread, ptr);
	while (goalloc_usable_size(heap, ptr))
		usleep(1000);
	CHECK_EQ(goalloc_try_free(heap, ptr), -EALREADY);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CHECK(goalloc_try_free(heap, ptr) < 0);
}

static void *race_target;
static unsigned int race_won;
static pthread_barrier_t race_start;

static void *race(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 300; i++) {
		pthread_barrier_wait(&race_start);
		if (!goalloc_try_free(heap, race_target))
			__atomic_fetch_add(&race_won, 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&race_start);
	}
	return NULL;
}

/* Two threads free one object: exactly one of them does. */
static void freed_at_once(void)
{
	pthread_t thread[2];
	int i;

	pthread_barrier_init(&race_start, NULL, 3);
	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, race, NULL);
	for (i = 0; i < 300; i++) {
		race_target = goalloc_malloc(heap, i % 2 ? 64 : 40000);
		race_won = 0;
		pthread_barrier_wait(&race_start);
		pthread_barrier_wait(&race_start);
		CHECK_EQ(race_won, 1);
	}
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

static void handler_is_told(void)
{
	char *ptr = goalloc_malloc(heap, 100);
	unsigned int before = faults;

	errno = 4711;
	goalloc_free(heap, ptr + 20);
	CHECK_EQ(errno, 4711);
	CHECK_EQ(faults, before + 1);
	CHECK_EQ(last.error, -EINVAL);
	CHECK(last.ptr == ptr + 20);
	CHECK(last.object == ptr);
	CHECK_EQ(last.size, goalloc_usable_size(heap, ptr));
	CHECK(!strcmp(last.function, "goalloc_free"));
	goalloc_free(heap, ptr);
	CHECK_EQ(faults, before + 1);
	goalloc_free(heap, ptr);
	CHECK_EQ(faults, before + 2);
	CHECK_EQ(last.error, -EALREADY);
	CHECK(!goalloc_realloc(heap, ptr, 200));
	CHECK_EQ(faults, before + 3);
	CHECK_EQ(last.error, -EALREADY);
	CHECK(!strcmp(last.function, "goalloc_realloc"));
}

static void counted(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };
	uint64_t before;

	goalloc_get_stats(heap, &stats);
	before = stats.faults;
	goalloc_try_free(heap, &stats);
	goalloc_get_stats(heap, &stats);
	CHECK_EQ(stats.faults, before + 1);
}

static void other_heap(void)
{
	struct goalloc_heap *other = goalloc_open(NULL);
	void *a = goalloc_malloc(heap, 64), *b;

	if (!CHECK(other))
		return;
	b = goalloc_malloc(other, 64);
	CHECK_EQ(goalloc_try_free(heap, b), -ENOENT);
	CHECK_EQ(goalloc_try_free(other, a), -ENOENT);
	CHECK_EQ(goalloc_try_free(heap, a), 0);
	CHECK_EQ(goalloc_try_free(other, b), 0);
	goalloc_close(other);
}

static void die(void *arg)
{
	static const struct rlimit none;
	struct goalloc_heap *plain = goalloc_open(NULL);
	void *ptr = goalloc_malloc(plain, 64);

	(void)arg;
	setrlimit(RLIMIT_CORE, &none);
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	goalloc_free(plain, ptr);
	goalloc_free(plain, ptr);
}

/* Without a handler it is the end. */
static void abort_by_default(void)
{
	int status = tap_child(die, NULL);

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(double_free), TEST(interior_free), TEST(wild_free), TEST(freed_and_flushed),
		TEST(freed_by_another), TEST(freed_at_once), TEST(handler_is_told), TEST(counted),
		TEST(other_heap), TEST(abort_by_default),
	};
	struct goalloc_options options = {
		.size = sizeof(options),
		.on_fault = note,
		.on_fault_arg = &faults,
	};

	heap = goalloc_open(&options);
	if (!heap) {
		printf("Bail out! %s\n", goalloc_last_error());
		return 1;
	}
	return tap_run(tests, COUNT(tests));
}
