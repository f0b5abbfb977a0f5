// SPDX-License-Identifier: MIT
/* fork(): what was one memory is two, unless it is to remain one. */
#include <pthread.h>
#include <signal.h>

#include <goalloc.h>

#include "tap.h"

enum { N = 3000 };

static struct goalloc_heap *heap;
static unsigned char *ptr[N];
static size_t size[N];

static void all_make(void)
{
	uint64_t seed = 9;
	int i;

	for (i = 0; i < N; i++) {
		size[i] = 1 + tap_random(&seed) % (i % 50 ? 400 : 60000);
		ptr[i] = goalloc_malloc(heap, size[i]);
		tap_fill(ptr[i], size[i], i);
	}
}

static void all_check(unsigned int tag)
{
	int i;

	for (i = 0; i < N; i++)
		CHECK(tap_filled(ptr[i], size[i], tag + i));
}

static void all_fill(unsigned int tag)
{
	int i;

	for (i = 0; i < N; i++)
		tap_fill(ptr[i], size[i], tag + i);
}

static void all_free(void)
{
	int i;

	for (i = 0; i < N; i++)
		CHECK_EQ(goalloc_try_free(heap, ptr[i]), 0);
}

/* Frees half of it, makes other objects, and reallocates what remains. */
static void all_churn(void)
{
	uint64_t seed = 10;
	int i;

	for (i = 0; i < N; i += 2) {
		CHECK_EQ(goalloc_try_free(heap, ptr[i]), 0);
		CHECK(goalloc_try_free(heap, ptr[i]) < 0);
		CHECK_EQ(goalloc_usable_size(heap, ptr[i]), 0);
	}
	for (i = 0; i < N; i += 2) {
		size[i] = 1 + tap_random(&seed) % 3000;
		ptr[i] = goalloc_malloc(heap, size[i]);
		if (!CHECK(ptr[i]))
			return;
		tap_fill(ptr[i], size[i], i);
	}
	for (i = 1; i < N; i += 2) {
		ptr[i] = goalloc_realloc(heap, ptr[i], size[i] + 100);
		CHECK(ptr[i] && tap_filled(ptr[i], size[i], i));
		CHECK(goalloc_usable_size(heap, ptr[i]) >= size[i] + 100);
	}
	all_check(0);
}

static void child_writes(void *arg)
{
	(void)arg;
	all_check(0);
	all_fill(100);
	all_check(100);
}

static void writes_stay_apart(void)
{
	CHECK_EQ(tap_child(child_writes, NULL), 0);
	all_check(0);
}

static void child_churns(void *arg)
{
	(void)arg;
	all_churn();
	all_free();
}

static void both_go_on(void)
{
	int i;

	for (i = 0; i < 3; i++) {
		CHECK_EQ(tap_child(child_churns, NULL), 0);
		all_check(0);
	}
}

/* The parent changes everything while the child looks. */
static void child_looks(void *arg)
{
	char byte;

	CHECK_EQ(read(*(int *)arg, &byte, 1), 1);
	all_check(0);
	all_free();
}

static void parent_goes_on(void)
{
	int pipes[2], status;
	pid_t pid;

	if (!CHECK(!pipe(pipes)))
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		tap_failures = 0;
		child_looks(&pipes[0]);
		fflush(stdout);
		_exit(tap_failures != 0);
	}
	all_churn();
	all_free();
	goalloc_trim(heap, NULL);
	CHECK_EQ(write(pipes[1], "", 1), 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	close(pipes[0]);
	close(pipes[1]);
	all_make();
}

static void generation(void *arg)
{
	size_t depth = (size_t)arg;

	all_churn();
	if (depth)
		CHECK_EQ(tap_child(generation, (void *)(depth - 1)), 0);
	all_check(0);
	all_free();
}

static void children_of_children(void)
{
	CHECK_EQ(tap_child(generation, (void *)5), 0);
	all_check(0);
}

static bool stop;

static void *busy(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	void *live[64] = {};
	int i;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		unsigned int at = tap_random(&seed) % 64;

		goalloc_free(heap, live[at]);
		live[at] = goalloc_malloc(heap, 1 + tap_random(&seed) % 40000);
		*(char *)live[at] = at;
	}
	for (i = 0; i < 64; i++)
		goalloc_free(heap, live[i]);
	return NULL;
}

/* Threads that allocate all the time, and are not in the child. */
static void with_threads(void)
{
	pthread_t thread[3];
	size_t i;

	for (i = 0; i < COUNT(thread); i++)
		pthread_create(&thread[i], NULL, busy, (void *)(i + 1));
	for (i = 0; i < 10; i++) {
		CHECK_EQ(tap_child(i % 2 ? child_churns : child_writes, NULL), 0);
		all_check(0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
}

static void *churn_thread(void *arg)
{
	(void)arg;
	all_churn();
	return NULL;
}

static void child_threads(void *arg)
{
	pthread_t thread;

	(void)arg;
	CHECK_EQ(pthread_create(&thread, NULL, churn_thread, NULL), 0);
	pthread_join(thread, NULL);
	all_free();
}

static void threads_in_the_child(void)
{
	CHECK_EQ(tap_child(child_threads, NULL), 0);
	all_check(0);
}

static void child_faults(void *arg)
{
	(void)arg;
	CHECK_EQ(goalloc_try_free(heap, ptr[1]), 0);
	CHECK_EQ(goalloc_try_free(heap, ptr[1]), -EALREADY);
	CHECK_EQ(goalloc_try_free(heap, ptr[2] + 1), -EINVAL);
	CHECK_EQ(goalloc_try_free(heap, &heap), -ENOENT);
	CHECK_EQ(goalloc_fd(heap), -EBADF);
	CHECK(goalloc_malloc(heap, 77777));
	CHECK(goalloc_fd(heap) >= 0);
}

static void faults_in_the_child(void)
{
	CHECK_EQ(tap_child(child_faults, NULL), 0);
}

/* The file was closed behind the library's back, and then comes fork(). */
static void file_closed(void)
{
	int i;

	close(goalloc_fd(heap));
	CHECK_EQ(tap_child(child_churns, NULL), 0);
	all_check(0);
	for (i = 0; i < N; i += 3) {
		CHECK_EQ(goalloc_try_free(heap, ptr[i]), 0);
		ptr[i] = goalloc_malloc(heap, size[i]);
		tap_fill(ptr[i], size[i], i);
	}
	CHECK_EQ(tap_child(child_churns, NULL), 0);
	all_check(0);
	all_free();
	all_make();
}

static struct goalloc_heap *shared;
static char *word;

static void child_shares(void *arg)
{
	char **answer = arg;
	int i;

	CHECK(!strcmp(word, "from the parent"));
	strcpy(word, "from the child");
	*answer = goalloc_malloc(shared, 1000);
	strcpy(*answer, "made by the child");
	for (i = 0; i < 2000; i++)
		goalloc_free(shared, goalloc_malloc(shared, 1 + i));
}

static void shared_on_purpose(void)
{
	struct goalloc_options options = {
		.size = sizeof(options),
		.flags = GOALLOC_HEAP_SHARED,
	};
	char **answer;

	shared = goalloc_open(&options);
	if (!CHECK(shared))
		return;
	answer = goalloc_calloc(shared, 1, sizeof(*answer));
	word = goalloc_malloc(shared, 100);
	strcpy(word, "from the parent");
	CHECK_EQ(tap_child(child_shares, answer), 0);
	CHECK(!strcmp(word, "from the child"));
	if (CHECK(*answer)) {
		CHECK(!strcmp(*answer, "made by the child"));
		CHECK(goalloc_usable_size(shared, *answer) >= 1000);
		CHECK_EQ(goalloc_try_free(shared, *answer), 0);
		CHECK_EQ(goalloc_try_free(shared, *answer), -EALREADY);
	}
	CHECK_EQ(goalloc_try_free(shared, word), 0);
	goalloc_close(shared);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(writes_stay_apart), TEST(both_go_on), TEST(parent_goes_on),
		TEST(children_of_children), TEST(with_threads), TEST(threads_in_the_child),
		TEST(faults_in_the_child), TEST(file_closed), TEST(shared_on_purpose),
	};

	heap = goalloc_open(NULL);
	if (!heap) {
		printf("Bail out! %s\n", goalloc_last_error());
		return 1;
	}
	all_make();
	return tap_run(tests, COUNT(tests));
}
