// SPDX-License-Identifier: GPL-2.0-only
/*
 * Print the frequency of this machine's time stamp counter in kHz, which an emulated
 * CPU's is, too.  A guest that finds it out by itself while the host is busy may be
 * wrong by a factor, and then its clock is.
 */

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define TRIES 1000

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* The counter and the clock at the same time, as nearly as one of many tries had it. */
static uint64_t sample(uint64_t *ns)
{
	uint64_t best = UINT64_MAX, tsc = 0;
	int i;

	for (i = 0; i < TRIES; i++) {
		uint64_t begin = now_ns(), here = __rdtsc(), end = now_ns();

		if (end - begin < best) {
			best = end - begin;
			tsc = here;
			*ns = begin + best / 2;
		}
	}
	return tsc;
}

int main(void)
{
	struct timespec tenth = { .tv_nsec = 100000000 };
	uint64_t ns[2], tsc[2];

	tsc[0] = sample(&ns[0]);
	nanosleep(&tenth, NULL);
	tsc[1] = sample(&ns[1]);
	printf("%.0f\n", (tsc[1] - tsc[0]) * 1e6 / (ns[1] - ns[0]));
	return 0;
}
