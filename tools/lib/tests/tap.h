/* SPDX-License-Identifier: MIT */
/*
 * A test program is a table of functions, told as TAP with the plan first.
 * CHECK() may be used by several threads; a failed one is told with its place.
 */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(function)	{ #function, function }

static unsigned int tap_failures;

#define CHECK(condition)	tap_check(condition, #condition, __FILE__, __LINE__)
#define CHECK_EQ(a, b)		tap_check_eq(a, b, #a, #b, __FILE__, __LINE__)

static inline bool tap_check(bool holds, const char *what, const char *file, int line)
{
	if (!holds && __atomic_fetch_add(&tap_failures, 1, __ATOMIC_RELAXED) < 20)
		printf("# %s:%d: does not hold: %s (errno %d)\n", file, line, what, errno);
	return holds;
}

static inline bool tap_check_eq(long a, long b, const char *what, const char *wanted,
				const char *file, int line)
{
	if (a != b && __atomic_fetch_add(&tap_failures, 1, __ATOMIC_RELAXED) < 20)
		printf("# %s:%d: %s is %ld (%#lx), not %s (%#lx)\n", file, line, what, a, a,
		       wanted, b);
	return a == b;
}

/* Runs a function in a child of fork(). Return: its wait status. */
static inline int tap_child(void (*run)(void *), void *arg)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		tap_failures = 0;
		run(arg);
		fflush(stdout);
		_exit(tap_failures ? 1 : 0);
	}
	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static inline int tap_run(const struct test *tests, size_t n)
{
	size_t i, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%zu\n", n);
	for (i = 0; i < n; i++) {
		tap_failures = 0;
		tests[i].run();
		printf("%s %zu %s\n", tap_failures ? "not ok" : "ok", i + 1, tests[i].name);
		failed += tap_failures != 0;
	}
	return failed != 0;
}

static inline uint32_t tap_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* What an object holds whose bytes follow from @tag. */
static inline void tap_fill(unsigned char *ptr, size_t size, unsigned int tag)
{
	size_t i;

	for (i = 0; i < size; i++)
		ptr[i] = tag + i * 7;
}

static inline bool tap_filled(const unsigned char *ptr, size_t size, unsigned int tag)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (ptr[i] != (unsigned char)(tag + i * 7))
			return false;
	return true;
}

#endif /* TAP_H */
