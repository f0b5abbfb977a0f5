// SPDX-License-Identifier: MIT
/* An ordinary program, whose malloc() is the preloaded library's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tap.h"

/* Objects of a heap are whole units of 16 bytes, the C library's end 8 before. */
static bool of_heap(void *ptr)
{
	return malloc_usable_size(ptr) && !(malloc_usable_size(ptr) % 16);
}

static void malloc_is_ours(void)
{
	void *ptr = malloc(100);
	char *text;

	CHECK((uintptr_t)ptr >= 0xc000000000 && (uintptr_t)ptr < 0xc000000000 + (1ul << 40));
	CHECK(of_heap(ptr));
	CHECK(malloc_usable_size(ptr) >= 100);
	free(ptr);
	CHECK(asprintf(&text, "%d", 4711) == 4);
	CHECK(of_heap(text) && !strcmp(text, "4711"));
	free(text);
}

static void all_functions(void)
{
	static const char zero[100];
	size_t huge = SIZE_MAX / 4;
	void *ptr;

	/* Or the compiler would see that it cannot be. */
	__asm__("" : "+r" (huge));
	ptr = calloc(10, 10);
	CHECK(of_heap(ptr) && !memcmp(ptr, zero, 100));
	ptr = realloc(ptr, 1000);
	CHECK(of_heap(ptr) && !memcmp(ptr, zero, 100));
	ptr = reallocarray(ptr, 100, 1000);
	CHECK(of_heap(ptr) && malloc_usable_size(ptr) >= 100000);
	CHECK(!reallocarray(ptr, huge, 8));
	CHECK(!realloc(ptr, 0));
	ptr = memalign(64, 10);
	CHECK(of_heap(ptr) && !((uintptr_t)ptr % 64));
	free(ptr);
	ptr = aligned_alloc(4096, 8192);
	CHECK(of_heap(ptr) && !((uintptr_t)ptr % 4096));
	free(ptr);
	CHECK_EQ(posix_memalign(&ptr, 1 << 16, 10), 0);
	CHECK(of_heap(ptr) && !((uintptr_t)ptr % (1 << 16)));
	free(ptr);
	CHECK_EQ(posix_memalign(&ptr, 24, 10), EINVAL);
	CHECK_EQ(posix_memalign(&ptr, 16, SIZE_MAX - 4096), ENOMEM);
	ptr = valloc(10);
	CHECK(of_heap(ptr) && !((uintptr_t)ptr % 4096));
	free(ptr);
	ptr = pvalloc(10);
	CHECK(of_heap(ptr) && malloc_usable_size(ptr) >= 4096);
	free(ptr);
	CHECK_EQ(malloc_usable_size(NULL), 0);
	CHECK(mallinfo2().arena > 0);
	malloc_trim(0);
	errno = 4711;
	free(malloc(10));
	CHECK_EQ(errno, 4711);
	errno = 0;
	CHECK(!malloc(SIZE_MAX / 2));
	CHECK_EQ(errno, ENOMEM);
}

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	unsigned char *live[200] = {};
	size_t size[200] = {};
	int i;

	for (i = 0; i < 30000; i++) {
		unsigned int at = tap_random(&seed) % 200;

		CHECK(tap_filled(live[at], size[at], at));
		free(live[at]);
		size[at] = 1 + tap_random(&seed) % (i % 100 ? 1000 : 100000);
		live[at] = malloc(size[at]);
		CHECK(of_heap(live[at]));
		tap_fill(live[at], size[at], at);
	}
	for (i = 0; i < 200; i++)
		free(live[i]);
	return malloc(100);
}

static void threads(void)
{
	pthread_t thread[4];
	void *ptr;
	size_t i;

	for (i = 0; i < COUNT(thread); i++)
		pthread_create(&thread[i], NULL, churn, (void *)(i + 1));
	for (i = 0; i < COUNT(thread); i++) {
		pthread_join(thread[i], &ptr);
		CHECK(of_heap(ptr));
		free(ptr);
	}
	for (i = 0; i < 200; i++) {
		pthread_create(&thread[0], NULL, (void *(*)(void *))strdup, "a short life");
		pthread_join(thread[0], &ptr);
		CHECK(!strcmp(ptr, "a short life"));
		free(ptr);
	}
}

static char *text;

static void child(void *arg)
{
	char *more;

	(void)arg;
	CHECK(!strcmp(text, "before"));
	strcpy(text, "child");
	more = strdup(text);
	CHECK(more && !strcmp(more, "child"));
	free(more);
	free(text);
	free(churn((void *)7));
}

static void forks(void)
{
	int i;

	text = strdup("before");
	for (i = 0; i < 3; i++) {
		CHECK_EQ(tap_child(child, NULL), 0);
		CHECK(!strcmp(text, "before"));
	}
	free(text);
}

static void child_of_thread(void *arg)
{
	(void)arg;
	CHECK(!strcmp(text, "before"));
	free(text);
	fclose(fopen("/dev/null", "w"));
}

static void *fork_in_thread(void *arg)
{
	(void)arg;
	CHECK_EQ(tap_child(child_of_thread, NULL), 0);
	return NULL;
}

static void forks_in_threads(void)
{
	pthread_t busy, thread;
	int i;

	text = strdup("before");
	pthread_create(&busy, NULL, churn, (void *)3);
	for (i = 0; i < 5; i++) {
		pthread_create(&thread, NULL, fork_in_thread, NULL);
		pthread_join(thread, NULL);
	}
	pthread_join(busy, NULL);
	free(text);
}

static void other_programs(void)
{
	char line[64] = "";
	FILE *pipe;

	CHECK_EQ(system("exit 3"), 3 << 8);
	pipe = popen("echo hello | cat", "r");
	if (!CHECK(pipe))
		return;
	CHECK(fgets(line, sizeof(line), pipe) && !strcmp(line, "hello\n"));
	CHECK_EQ(pclose(pipe), 0);
}

static void plugin(void)
{
	char *(*make)(const char *text);
	void (*plugin_free)(char *text);
	void *library;
	char *made;
	int i;

	for (i = 0; i < 3; i++) {
		library = dlopen("./libplugin.so", RTLD_NOW);
		if (!CHECK(library))
			return;
		make = (char *(*)(const char *))dlsym(library, "plugin_make");
		plugin_free = (void (*)(char *))dlsym(library, "plugin_free");
		made = make("from the plugin");
		CHECK(of_heap(made) && !strcmp(made, "from the plugin"));
		free(made);
		plugin_free(strdup("and back"));
		dlclose(library);
	}
}

static unsigned int signals;
static bool enough;

/* The next one a while after this one is over, so that something is done in between. */
static void on_signal(int number)
{
	struct itimerval again = { .it_value.tv_usec = 200 };

	(void)number;
	if (!__atomic_load_n(&enough, __ATOMIC_RELAXED))
		setitimer(ITIMER_REAL, &again, NULL);
	__atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED);
}

/* System calls of the library are interrupted and come to an end. */
static void with_signals(void)
{
	struct itimerval off = {};

	signal(SIGALRM, on_signal);
	on_signal(0);
	signals = 0;
	free(churn((void *)5));
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(__atomic_load_n(&signals, __ATOMIC_RELAXED) > 0);
}

static void become_daemon(void *arg)
{
	char *before = strdup("before"), *after;

	(void)arg;
	close_range(3, ~0u, 0);
	after = strdup("after");
	CHECK(!strcmp(before, "before") && !strcmp(after, "after"));
	free(before);
	free(after);
	free(churn((void *)11));
	free(churn((void *)12));
	CHECK_EQ(tap_child(child, NULL), 0);
}

static void all_files_closed(void)
{
	text = strdup("before");
	CHECK_EQ(tap_child(become_daemon, NULL), 0);
	free(text);
}

/* Without permission to open another heap the C library's malloc goes on. */
static void give_up_privileges(void *arg)
{
	char *before = strdup("before"), *large = malloc(100000), *many[1000];
	int i;

	(void)arg;
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	CHECK_EQ(setuid(65534), 0);
	for (i = 0; i < 1000; i++)
		CHECK(asprintf(&many[i], "%d", i) > 0);
	for (i = 0; i < 1000; i++) {
		many[i] = realloc(many[i], 1000);
		CHECK(atoi(many[i]) == i);
		CHECK(malloc_usable_size(many[i]) >= 1000);
		free(many[i]);
	}
	before = realloc(before, 200000);
	CHECK(!strcmp(before, "before"));
	free(before);
	free(large);
	free(calloc(10, 1000));
	free(memalign(256, 1000));
	free(text);
}

static void privileges_given_up(void)
{
	if (geteuid())
		return;
	text = strdup("before");
	CHECK_EQ(tap_child(give_up_privileges, NULL), 0);
	free(text);
}

static void mistake(void *how)
{
	static const struct rlimit none;
	char *ptr, *again;

	setrlimit(RLIMIT_CORE, &none);
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	ptr = malloc(100);
	again = ptr;
	/* Or the compiler would see what is wrong. */
	__asm__("" : "+r" (again));
	switch ((uintptr_t)how) {
	case 0:
		free(ptr);
		free(again);
		break;
	case 1:
		free(again + 16);
		break;
	case 2:
		free(&text);
		break;
	case 3:
		free(ptr);
		again = realloc(again, 200);
		__asm__("" : "+r" (again));
		break;
	}
}

static void mistakes_abort(void)
{
	uintptr_t how;

	for (how = 0; how < 4; how++) {
		int status = tap_child(mistake, (void *)how);

		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

static void at_exit(void)
{
	char *ptr = malloc(1000);

	if (!of_heap(ptr))
		_exit(2);
	free(ptr);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(malloc_is_ours), TEST(all_functions), TEST(threads), TEST(forks),
		TEST(forks_in_threads), TEST(other_programs), TEST(plugin), TEST(with_signals),
		TEST(all_files_closed), TEST(privileges_given_up), TEST(mistakes_abort),
	};

	if (!getenv("LD_PRELOAD")) {
		printf("1..0 # SKIP run it with LD_PRELOAD=libgoalloc-preload.so\n");
		return 0;
	}
	atexit(at_exit);
	return tap_run(tests, COUNT(tests));
}
