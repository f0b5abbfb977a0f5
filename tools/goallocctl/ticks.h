/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands that show something again and again: [INTERVAL [COUNT]].
 */
#ifndef TICKS_H
#define TICKS_H

#include <stdint.h>

struct ticks {
	double interval;	/* seconds, 0 for once */
	uint64_t count;		/* how often, 0 for ever */
};

double ticks_now(void);
void ticks_wait(double until);
int ticks_parse(const char *command, int argc, char **argv, struct ticks *t);

#endif /* TICKS_H */
