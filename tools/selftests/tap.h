/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test program is a table of functions, run in order and reported as KTAP
 * with the plan first.  A function says what holds:
 *
 *	CHECK(condition)		go on if it does not hold
 *	CHECK_EQ(value, wanted)		two integers
 *	CHECK_RET(call, wanted)		0 or a negative errno, named when wrong
 *	REQUIRE(condition)		end the test if it does not hold
 *	SKIP(reason)			end it, the machine lacks something
 *
 * The checks may be used from several threads, REQUIRE and SKIP only from the
 * one that runs the test. A failed check is told with its place; the first
 * TAP_DETAILS of a test are printed, all are counted.
 */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAP_DETAILS	20
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct tap_test {
	const char *name;
	void (*run)(void);
};

#define TEST(function)	{ #function, function }

static unsigned int tap_failures;	/* of the test that runs */
static const char *tap_skipped;
static jmp_buf tap_end;			/* where it is called */

static inline void __attribute__((format(printf, 1, 2))) tap_note(const char *format, ...)
{
	va_list args;

	flockfile(stdout);
	fputs("# ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	funlockfile(stdout);
}

/* Counts a failure. Return: whether there is still room to tell about it. */
static inline bool tap_fail(void)
{
	return __atomic_fetch_add(&tap_failures, 1, __ATOMIC_RELAXED) < TAP_DETAILS;
}

static inline bool tap_check(bool holds, const char *what, const char *file, int line)
{
	if (!holds && tap_fail())
		tap_note("%s:%d: does not hold: %s", file, line, what);
	return holds;
}

static inline bool tap_check_eq(uint64_t value, uint64_t wanted, const char *what,
				const char *file, int line)
{
	if (value != wanted && tap_fail())
		tap_note("%s:%d: %s is %llu (%#llx), not %llu (%#llx)", file, line, what,
			 (unsigned long long)value, (unsigned long long)value,
			 (unsigned long long)wanted, (unsigned long long)wanted);
	return value == wanted;
}

static inline const char *tap_errno_name(long ret)
{
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	return name ? name : ret < 0 ? "an unknown errno" : "success";
}

static inline bool tap_check_ret(long ret, long wanted, const char *what, const char *file,
				 int line)
{
	if (ret != wanted && tap_fail())
		tap_note("%s:%d: %s gave %ld (%s), not %ld (%s)", file, line, what, ret,
			 tap_errno_name(ret), wanted, tap_errno_name(wanted));
	return ret == wanted;
}

/* Calls a test, which may leave it by tap_leave(). */
static inline void tap_call(void (*run)(void *), void *arg)
{
	if (!setjmp(tap_end))
		run(arg);
}

static inline void __attribute__((noreturn)) tap_leave(void)
{
	longjmp(tap_end, 1);
}

static inline void tap_require(bool holds)
{
	if (!holds)
		tap_leave();
}

static inline void __attribute__((noreturn)) tap_skip(const char *reason)
{
	tap_skipped = reason;
	tap_leave();
}

#define CHECK(condition)	tap_check(condition, #condition, __FILE__, __LINE__)
#define CHECK_EQ(value, wanted)	tap_check_eq(value, wanted, #value, __FILE__, __LINE__)
#define CHECK_RET(call, wanted)	tap_check_ret(call, wanted, #call, __FILE__, __LINE__)

#define REQUIRE(condition)	tap_require(CHECK(condition))
#define SKIP(reason)		tap_skip(reason)

/* Ends the program where going on makes no sense: the plan stays unfulfilled. */
static inline void __attribute__((format(printf, 1, 2), noreturn))
tap_bail_out(const char *format, ...)
{
	va_list args;

	fputs("Bail out! ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(1);
}

static inline double tap_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/*
 * Runs a function in a child and waits for it. Its failed checks are printed
 * by the child and count as one here, as does a child that did not live to
 * the end.
 */
static inline void tap_in_child(void (*run)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		tap_bail_out("fork: %s", strerror(errno));
	if (!pid) {
		tap_failures = 0;
		tap_call(run, arg);
		fflush(stdout);
		_exit(tap_failures ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			tap_bail_out("waitpid: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		tap_fail();
		tap_note("child %d ended with wait status %#x", (int)pid, status);
	}
}

static inline void tap_run_test(void *test)
{
	((const struct tap_test *)test)->run();
}

/*
 * Runs the table. @cleanup, unless NULL, is called after each test, whether
 * it ended early or not. Return: the program's exit status.
 */
static inline int tap_run(const struct tap_test *tests, size_t n, void (*cleanup)(void))
{
	unsigned int failed = 0;
	double start;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%zu\n", n);
	for (i = 0; i < n; i++) {
		tap_failures = 0;
		tap_skipped = NULL;
		start = tap_seconds();
		tap_call(tap_run_test, (void *)&tests[i]);
		if (cleanup)
			cleanup();
		if (tap_failures > TAP_DETAILS)
			tap_note("%u checks failed in all", tap_failures);
		tap_note("%.2f s", tap_seconds() - start);
		printf("%s %zu %s%s%s\n", tap_failures ? "not ok" : "ok", i + 1,
		       tests[i].name, tap_skipped ? " # SKIP " : "",
		       tap_skipped ? tap_skipped : "");
		failed += tap_failures != 0;
	}
	return failed ? 1 : 0;
}

#endif /* TAP_H */
