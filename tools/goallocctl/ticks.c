// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that show something again and again, as vmstat does.
 */
#include <time.h>

#include "goallocctl.h"
#include "ticks.h"

double ticks_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A moment of ticks_now(). */
void ticks_wait(double until)
{
	struct timespec t = { .tv_sec = until };

	t.tv_nsec = (until - t.tv_sec) * 1e9;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

/* Return: DONE or USAGE. */
int ticks_parse(const char *command, int argc, char **argv, struct ticks *t)
{
	*t = (struct ticks){ 0 };
	if (argc > 2)
		return usage_error(command, "unexpected: %s", argv[2]);
	if (argc && !parse_seconds(argv[0], &t->interval))
		return usage_error(command, "%s is no number of seconds (for a heap: --heap)",
				   argv[0]);
	if (argc > 1 && (!parse_number(argv[1], &t->count) || !t->count))
		return usage_error(command, "%s is not how often", argv[1]);
	return DONE;
}
