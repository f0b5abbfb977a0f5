/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the fuzzer share: programs, the memory that all its processes
 * see, and the process that runs programs.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <pthread.h>
#include "kselftest.h"
#include "../device.h"

#define MAX_ARGS	8
#define MAX_CALLS	32
#define MAX_CORPUS	3000
#define MAX_WORKERS	8
#define MAX_EDGES	65536U

#define NUM_FDS		5	/* open heaps of a program */
#define NUM_MAPS	4	/* mappings */
#define NUM_FILES	3	/* open files of debugfs */
#define NUM_OBJECTS	32	/* objects whose addresses are known */

/* A call that a fatal signal does not end so soon is stuck. */
#define DEADLY_SECONDS	60.0
/* So long a program may take before it is ended. */
#define PROGRAM_SECONDS	240.0

/*
 * struct call - one call of a program
 * @op: which, an index of ops[]
 * @racing: another thread does it, and the program goes on
 * @arg: each of the type that ops[] says; they are numbers that are to be
 *	understood in some way whatever they are
 */
struct call {
	uint8_t op;
	uint8_t racing;
	uint64_t arg[MAX_ARGS];
};

struct program {
	uint32_t n;
	struct call call[MAX_CALLS];
};

/* A program's text is one call after the other, ";" in between. */
#define TEXT_ROOM	8192

/*
 * How a program came about, in a form short enough to be a process's name, which
 * every report of the kernel shows: changed from program @from of the corpus, with
 * something of @with in it, as @seed has it. @from is NOBODY for one made anew, and for
 * one of those that come first, which @with then numbers.
 */
#define NOBODY	0xfffU

struct origin {
	uint32_t from;
	uint32_t with;
	uint32_t seed;
};

enum trouble {
	TROUBLE_STUCK,		/* a fatal signal did not end a call */
	TROUBLE_ANSWER,		/* an answer that the interface does not have */
	TROUBLE_BOOKS,		/* the books do not balance */
	TROUBLE_DIED,		/* a worker ended though nobody wanted it */
	NUM_TROUBLES,
};

/* What all processes see. */
struct shared {
	volatile int stop;
	volatile uint32_t num_corpus;
	volatile uint64_t programs, calls, killed, slowest_us, deadly_us;
	volatile uint32_t troubles[NUM_TROUBLES];
	char first_trouble[NUM_TROUBLES][256];
	char first_trouble_in[NUM_TROUBLES][TEXT_ROOM];
	volatile uint32_t num_edges, num_points;
	volatile uint64_t op_us[256], op_calls[256];
	pthread_mutex_t lock;	/* of the corpus and of what is printed */
	struct {
		volatile double since;	/* 0: none runs */
		struct origin origin;
		struct program program;
	} running[MAX_WORKERS];
	uint8_t edge[MAX_EDGES];
	uint8_t point[1 << 16];
	struct program corpus[MAX_CORPUS];
};

static struct shared *shared;

static void program_text(const struct program *p, char *text, size_t room);

/* One line to whoever reads, in one piece. */
__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	static __thread char line[TEXT_ROOM + 512];
	const char *at = line;
	ssize_t n, done;
	va_list args;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (n > (ssize_t)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	while (n) {
		done = write(1, at, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			shared->stop = 1;
			break;
		}
		at += done;
		n -= done;
	}
}

/* What went wrong and in which program; the first few of a kind. */
__attribute__((format(printf, 3, 4)))
static void trouble(enum trouble kind, const struct program *p, const char *format, ...)
{
	static __thread char text[TEXT_ROOM], what[256];
	uint32_t before = __atomic_fetch_add(&shared->troubles[kind], 1, __ATOMIC_RELAXED);
	va_list args;

	if (before >= 5)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	say("# %s", what);
	if (p) {
		program_text(p, text, sizeof(text));
		say("# in: %s", text);
	}
	if (!before) {
		strcpy(shared->first_trouble[kind], what);
		strcpy(shared->first_trouble_in[kind], p ? text : "no program");
	}
}

/* Says the first of a kind again: what a report shows of a test comes just before it. */
static bool no_trouble(enum trouble kind)
{
	if (!shared->troubles[kind])
		return true;
	fflush(stdout);
	say("# %s", shared->first_trouble[kind]);
	say("# in: %s", shared->first_trouble_in[kind]);
	return false;
}

static inline void greatest(volatile uint64_t *of, uint64_t value)
{
	uint64_t seen = *of;

	bool done = seen >= value;

	while (!done)
		done = __atomic_compare_exchange_n(of, &seen, value, false, __ATOMIC_RELAXED,
						   __ATOMIC_RELAXED) || seen >= value;
}

#endif /* FUZZ_H */
