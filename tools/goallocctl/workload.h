/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Objects of all sizes with contents that can be checked: what the demo works
 * with. A function that returns a bool has said in @why what did not hold.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An object that was asked for; @addr is 0 while it does not exist. */
struct object {
	uint64_t addr;
	uint64_t bytes;
	uint64_t seed;		/* what is in it follows from this */
};

/**
 * struct workload - a list of objects and the heap they live in
 * @fd: the heap
 * @objects: all of them
 * @n: how many
 * @bytes: the sum of the bytes asked for
 * @batch_max: the most objects a batch may have
 * @random: state of the random numbers
 * @buf: as long as the largest object
 * @sizes: room for a batch
 * @addrs: room for a batch
 * @why: what did not hold
 */
struct workload {
	int fd;
	struct object *objects;
	size_t n;
	uint64_t bytes;
	uint32_t batch_max;
	uint64_t random;
	char *buf;
	uint64_t *sizes;
	uint64_t *addrs;
	char why[256];
};

bool workload_init(struct workload *w, int fd, size_t n, uint64_t seed, uint32_t batch_max);
void workload_end(struct workload *w);

bool workload_make(struct workload *w, size_t from, size_t to);
bool workload_free(struct workload *w, size_t from, size_t to);
void workload_shuffle(struct workload *w, size_t from, size_t to);
void workload_resize(struct workload *w, size_t from, size_t to);

bool workload_check_addresses(struct workload *w);
bool workload_check_zero(struct workload *w, size_t from, size_t to, size_t step,
			 size_t *looked);
bool workload_write(struct workload *w, size_t from, size_t to);
bool workload_check_contents(struct workload *w);

size_t workload_live(const struct workload *w);
bool workload_fail(struct workload *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* WORKLOAD_H */
