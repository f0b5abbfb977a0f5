// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects of all sizes with contents that can be checked.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev.h"
#include "goallocctl.h"
#include "workload.h"

#define TINY_SIZE	16
#define SMALL_MAX	32768
#define LARGE_MAX	(4 << 20)

/* One object in so many is a large one, but there are a few in any case. */
#define LARGE_ONE_IN	2500
#define LARGE_LEAST	4

bool workload_fail(struct workload *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->why, sizeof(w->why), format, args);
	va_end(args);
	return false;
}

/* splitmix64 */
static uint64_t next_random(struct workload *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t random_between(struct workload *w, uint64_t first, uint64_t last)
{
	return first + next_random(w) % (last - first + 1);
}

/* From first to last, each doubling as likely as another. */
static uint64_t random_size(struct workload *w, uint64_t first, uint64_t last)
{
	unsigned int doublings = 0;
	uint64_t low;

	while (first << (doublings + 1) <= last)
		doublings++;
	low = first << random_between(w, 0, doublings);
	return random_between(w, low, 2 * low - 1 < last ? 2 * low - 1 : last);
}

/* 30 % tiny, 60 % up to 1 KiB, 10 % up to the largest size class. */
static uint64_t mixed_size(struct workload *w)
{
	uint64_t percent = random_between(w, 0, 99);

	if (percent < 30)
		return random_between(w, 1, TINY_SIZE - 1);
	if (percent < 90)
		return random_size(w, TINY_SIZE, 1024);
	return random_size(w, 1025, SMALL_MAX);
}

bool workload_init(struct workload *w, int fd, size_t n, uint64_t seed, uint32_t batch_max)
{
	size_t large = n / LARGE_ONE_IN, i;

	*w = (struct workload){ .fd = fd, .n = n, .batch_max = batch_max, .random = seed };
	w->objects = calloc(n, sizeof(*w->objects));
	w->buf = malloc(LARGE_MAX);
	w->sizes = calloc(batch_max, sizeof(*w->sizes));
	w->addrs = calloc(batch_max, sizeof(*w->addrs));
	if (!w->objects || !w->buf || !w->sizes || !w->addrs)
		return workload_fail(w, "out of memory");
	if (large < LARGE_LEAST)
		large = LARGE_LEAST;
	for (i = 0; i < n; i++) {
		struct object *o = &w->objects[i];

		/* One of 0 bytes, the large ones, the others. */
		if (i == large)
			o->bytes = 0;
		else if (i < large)
			o->bytes = random_size(w, SMALL_MAX + 1, LARGE_MAX);
		else
			o->bytes = mixed_size(w);
		o->seed = next_random(w);
		w->bytes += o->bytes;
	}
	workload_shuffle(w, 0, n);
	return true;
}

void workload_end(struct workload *w)
{
	free(w->objects);
	free(w->buf);
	free(w->sizes);
	free(w->addrs);
}

static bool make_one(struct workload *w, struct object *o)
{
	uint64_t usable;
	int err = dev_alloc(w->fd, o->bytes, 0, 0, &o->addr, &usable);

	if (err)
		return workload_fail(w, "%" PRIu64 " bytes: %s, %s", o->bytes,
				     dev_alloc_error(err), errno_text(err));
	if (usable < o->bytes)
		return workload_fail(w, "%" PRIu64 " bytes at %#" PRIx64 ", only %" PRIu64
				     " usable", o->bytes, o->addr, usable);
	return true;
}

static bool make_batch(struct workload *w, struct object *objects, uint32_t count)
{
	uint32_t done, i;
	int err;

	for (i = 0; i < count; i++)
		w->sizes[i] = objects[i].bytes;
	err = dev_alloc_batch(w->fd, w->sizes, w->addrs, count, &done);
	if (err)
		return workload_fail(w, "a batch of %u: %s, %s", count, dev_alloc_error(err),
				     errno_text(err));
	for (i = 0; i < done; i++)
		objects[i].addr = w->addrs[i];
	if (done < count)
		return workload_fail(w, "%u of a batch of %u were made", done, count);
	return true;
}

static bool free_one(struct workload *w, struct object *o)
{
	int err = dev_free(w->fd, o->addr);

	if (err)
		return workload_fail(w, "%#" PRIx64 ", %" PRIu64 " bytes: %s, %s", o->addr,
				     o->bytes, dev_address_error(err), errno_text(err));
	o->addr = 0;
	return true;
}

static bool free_batch(struct workload *w, struct object *objects, uint32_t count)
{
	uint32_t done, i;
	int err;

	for (i = 0; i < count; i++)
		w->addrs[i] = objects[i].addr;
	err = dev_free_batch(w->fd, w->addrs, count, &done);
	if (err)
		return workload_fail(w, "a batch of %u: %s, %s", count, dev_address_error(err),
				     errno_text(err));
	for (i = 0; i < done; i++)
		objects[i].addr = 0;
	if (done < count)
		return workload_fail(w, "%u of a batch of %u were freed", done, count);
	return true;
}

/* Half of the objects by batches, the others one by one. */
static bool each(struct workload *w, size_t from, size_t to,
		 bool (*one)(struct workload *w, struct object *o),
		 bool (*batch)(struct workload *w, struct object *objects, uint32_t count))
{
	size_t middle = from + (to - from) / 2;

	for (; from < middle; from++)
		if (!one(w, &w->objects[from]))
			return false;
	while (from < to) {
		uint32_t count = to - from < w->batch_max ? to - from : w->batch_max;

		if (!batch(w, &w->objects[from], count))
			return false;
		from += count;
	}
	return true;
}

bool workload_make(struct workload *w, size_t from, size_t to)
{
	return each(w, from, to, make_one, make_batch);
}

bool workload_free(struct workload *w, size_t from, size_t to)
{
	return each(w, from, to, free_one, free_batch);
}

void workload_shuffle(struct workload *w, size_t from, size_t to)
{
	for (; to > from + 1; to--) {
		size_t other = random_between(w, from, to - 1);
		struct object o = w->objects[to - 1];

		w->objects[to - 1] = w->objects[other];
		w->objects[other] = o;
	}
}

/* Other sizes and contents for objects that do not exist; large ones stay large. */
void workload_resize(struct workload *w, size_t from, size_t to)
{
	for (; from < to; from++) {
		struct object *o = &w->objects[from];

		w->bytes -= o->bytes;
		if (o->bytes > SMALL_MAX)
			o->bytes = random_size(w, SMALL_MAX + 1, LARGE_MAX);
		else if (o->bytes)
			o->bytes = mixed_size(w);
		w->bytes += o->bytes;
		o->seed = next_random(w);
	}
}

size_t workload_live(const struct workload *w)
{
	size_t live = 0, i;

	for (i = 0; i < w->n; i++)
		live += w->objects[i].addr && w->objects[i].bytes;
	return live;
}

/* What Go aligns an object of so many bytes to, as far as the size alone tells. */
static uint64_t natural_align(uint64_t bytes)
{
	if (bytes > SMALL_MAX)
		return HEAP_PAGE;
	if (bytes >= TINY_SIZE && bytes & (bytes - 1))
		return 8;
	bytes &= -bytes;
	return bytes < HEAP_PAGE ? bytes : HEAP_PAGE;
}

static int by_address(const void *a, const void *b)
{
	const struct object *x = *(const struct object * const *)a;
	const struct object *y = *(const struct object * const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

bool workload_check_addresses(struct workload *w)
{
	struct object **sorted = malloc(w->n * sizeof(*sorted));
	bool good = true;
	size_t i, n = 0;

	if (!sorted)
		return workload_fail(w, "out of memory");
	for (i = 0; i < w->n; i++)
		if (w->objects[i].addr && w->objects[i].bytes)
			sorted[n++] = &w->objects[i];
	qsort(sorted, n, sizeof(*sorted), by_address);
	for (i = 0; i < n && good; i++) {
		const struct object *o = sorted[i], *next = i + 1 < n ? sorted[i + 1] : NULL;

		if (o->addr % natural_align(o->bytes))
			good = workload_fail(w, "%" PRIu64 " bytes at %#" PRIx64
					     " are not aligned to %" PRIu64, o->bytes, o->addr,
					     natural_align(o->bytes));
		if (next && o->addr + o->bytes > next->addr)
			good = workload_fail(w, "%" PRIu64 " bytes at %#" PRIx64
					     " reach into those at %#" PRIx64, o->bytes, o->addr,
					     next->addr);
	}
	free(sorted);
	return good;
}

static bool read_object(struct workload *w, const struct object *o)
{
	int err = o->bytes ? dev_read(w->fd, o->addr, w->buf, o->bytes) : 0;

	if (err)
		return workload_fail(w, "reading %" PRIu64 " bytes at %#" PRIx64 ": %s", o->bytes,
				     o->addr, errno_text(err));
	return true;
}

/* Every @step'th object, and every large one. */
bool workload_check_zero(struct workload *w, size_t from, size_t to, size_t step,
			 size_t *looked)
{
	size_t i;

	for (i = from, *looked = 0; i < to; i++) {
		const struct object *o = &w->objects[i];

		if (!o->bytes || (i % step && o->bytes <= SMALL_MAX))
			continue;
		if (!read_object(w, o))
			return false;
		if (w->buf[0] || memcmp(w->buf, w->buf + 1, o->bytes - 1))
			return workload_fail(w, "%" PRIu64 " bytes at %#" PRIx64 " are not zero",
					     o->bytes, o->addr);
		++*looked;
	}
	return true;
}

/* Eight bytes at an offset of an object. */
static uint64_t contents(const struct object *o, uint64_t off)
{
	uint64_t x = (o->seed + off) * 0x9e3779b97f4a7c15ULL;

	return x ^ (x >> 31);
}

bool workload_write(struct workload *w, size_t from, size_t to)
{
	uint64_t off, word;
	size_t i;
	int err;

	for (i = from; i < to; i++) {
		const struct object *o = &w->objects[i];

		if (!o->bytes)
			continue;
		for (off = 0; off < o->bytes; off += 8) {
			word = contents(o, off);
			memcpy(w->buf + off, &word, o->bytes - off < 8 ? o->bytes - off : 8);
		}
		err = dev_write(w->fd, o->addr, w->buf, o->bytes);
		if (err)
			return workload_fail(w, "writing %" PRIu64 " bytes at %#" PRIx64 ": %s",
					     o->bytes, o->addr, errno_text(err));
	}
	return true;
}

bool workload_check_contents(struct workload *w)
{
	uint64_t off, word;
	size_t i;

	for (i = 0; i < w->n; i++) {
		const struct object *o = &w->objects[i];

		if (!o->addr)
			continue;
		if (!read_object(w, o))
			return false;
		for (off = 0; off < o->bytes; off += 8) {
			word = contents(o, off);
			if (memcmp(w->buf + off, &word, o->bytes - off < 8 ? o->bytes - off : 8))
				return workload_fail(w, "%" PRIu64 " bytes at %#" PRIx64
						     " are not what was written, from byte %"
						     PRIu64 " on", o->bytes, o->addr, off);
		}
	}
	return true;
}
