// SPDX-License-Identifier: MIT
/* Limits, and what happens when there is no memory. */
#define _GNU_SOURCE
#include <pthread.h>

#include <goalloc.h>

#include "tap.h"

enum { MIB = 1 << 20 };

static struct goalloc_heap *heap;

static struct goalloc_stats stats_now(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };

	CHECK_EQ(goalloc_get_stats(heap, &stats), 0);
	return stats;
}

static void set_and_get(void)
{
	uint64_t bytes;

	CHECK_EQ(goalloc_get_limit(heap, &bytes), 0);
	CHECK_EQ(bytes, 32 * MIB);
	CHECK_EQ(goalloc_get_max(heap, &bytes), 0);
	CHECK_EQ(bytes, 16 * MIB);
	CHECK_EQ(goalloc_set_limit(heap, GOALLOC_UNLIMITED), 0);
	CHECK_EQ(goalloc_get_limit(heap, &bytes), 0);
	CHECK(bytes == GOALLOC_UNLIMITED);
	CHECK_EQ(goalloc_set_limit(heap, 12345678), 0);
	CHECK_EQ(goalloc_get_limit(heap, &bytes), 0);
	CHECK_EQ(bytes, 12345678);
}

/* Takes all there is in objects of a size. Return: a list through them. */
static void **fill_up(size_t size, size_t *n)
{
	void **list = NULL, **ptr;

	*n = 0;
	errno = 0;
	while ((ptr = goalloc_malloc(heap, size))) {
		*ptr = list;
		list = ptr;
		++*n;
	}
	CHECK_EQ(errno, ENOMEM);
	CHECK(strstr(goalloc_last_error(), "max"));
	return list;
}

static void empty(void **list)
{
	void **next;

	for (; list; list = next) {
		next = *list;
		CHECK_EQ(goalloc_try_free(heap, list), 0);
	}
}

static void max_holds(size_t size)
{
	size_t n, again;
	void **list = fill_up(size, &n);

	CHECK(stats_now().heap_inuse <= 16 * MIB);
	/* Slots that stocks and the last spans hold apart, all of it is to be had. */
	CHECK(n * goalloc_good_size(heap, size) >= 15 * MIB);
	CHECK(!goalloc_calloc(heap, 1, MIB));
	CHECK(!goalloc_aligned_alloc(heap, 4096, size));
	empty(list);
	list = fill_up(size, &again);
	CHECK(again + again / 16 >= n);
	empty(list);
}

static void max_holds_small(void)
{
	max_holds(64);
}

static void max_holds_large(void)
{
	max_holds(100000);
}

/* What one size has in stock does not keep another from being made. */
static void stocks_make_room(void)
{
	size_t n;
	void *ptr;
	int i;

	for (i = 0; i < 6; i++)
		empty(fill_up(64 << (2 * i), &n));
	ptr = goalloc_malloc(heap, 14 * MIB);
	CHECK(ptr);
	goalloc_free(heap, ptr);
}

static void *fill_and_empty(void *size)
{
	int i;

	for (i = 0; i < 3; i++) {
		void **list = NULL, **ptr;

		while ((ptr = goalloc_malloc(heap, (uintptr_t)size))) {
			*ptr = list;
			list = ptr;
		}
		CHECK(stats_now().heap_inuse <= 16 * MIB);
		empty(list);
	}
	goalloc_flush(heap);
	return NULL;
}

static void max_holds_against_threads(void)
{
	pthread_t thread[4];
	size_t i;

	for (i = 0; i < COUNT(thread); i++)
		pthread_create(&thread[i], NULL, fill_and_empty, (void *)(size_t)(48 << (2 * i)));
	for (i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(stats_now().mallocs, stats_now().frees);
}

static void failed_realloc_keeps(void)
{
	unsigned char *ptr = goalloc_malloc(heap, 1000);

	tap_fill(ptr, 1000, 5);
	CHECK(!goalloc_realloc(heap, ptr, 17 * MIB));
	CHECK_EQ(errno, ENOMEM);
	CHECK(tap_filled(ptr, 1000, 5));
	CHECK_EQ(goalloc_try_free(heap, ptr), 0);
}

static void too_large(void)
{
	CHECK_EQ(goalloc_set_max(heap, GOALLOC_UNLIMITED), 0);
	errno = 0;
	CHECK(!goalloc_malloc(heap, (size_t)2 << 40));
	CHECK_EQ(errno, ENOMEM);
	CHECK(!goalloc_malloc(heap, SIZE_MAX));
	CHECK(!goalloc_malloc(heap, SIZE_MAX - 15));
	CHECK(!goalloc_malloc(heap, PTRDIFF_MAX));
	CHECK(!goalloc_aligned_alloc(heap, 4096, SIZE_MAX - 100));
	CHECK_EQ(goalloc_good_size(heap, SIZE_MAX), 0);
}

/* Bytes of the heap that have memory. */
static off_t backed(void)
{
	off_t data, hole = 0xc000000000, sum = 0;

	while ((data = lseek(goalloc_fd(heap), hole, SEEK_DATA)) >= 0) {
		hole = lseek(goalloc_fd(heap), data, SEEK_HOLE);
		if (!CHECK(hole > data))
			break;
		sum += hole - data;
	}
	return sum;
}

/* 1 GiB costs what is written to it. */
static void sparse(void)
{
	unsigned char *ptr;

	CHECK_EQ(goalloc_trim(heap, NULL), 0);
	ptr = goalloc_calloc(heap, 1, 1024 * MIB);

	if (!CHECK(ptr))
		return;
	ptr[0] = 1;
	ptr[700 * MIB] = 2;
	CHECK_EQ(ptr[500 * MIB] + ptr[700 * MIB + 1], 0);
	ptr = goalloc_realloc(heap, ptr, 3000ul * MIB);
	if (!CHECK(ptr))
		return;
	CHECK_EQ(ptr[0], 1);
	CHECK_EQ(ptr[700 * MIB], 2);
	CHECK_EQ(ptr[500 * MIB] + ptr[700 * MIB + 1] + ptr[1023 * MIB], 0);
	/* A few pages of 8 KiB have memory. */
	CHECK(backed() < MIB);
	CHECK_EQ(goalloc_try_free(heap, ptr), 0);
	CHECK(stats_now().peak_bytes >= 1024 * MIB);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(set_and_get), TEST(max_holds_small), TEST(max_holds_large),
		TEST(stocks_make_room), TEST(max_holds_against_threads),
		TEST(failed_realloc_keeps), TEST(too_large), TEST(sparse),
	};
	struct goalloc_options options = {
		.size = sizeof(options),
		.name = "limits",
		.limit = 32 * MIB,
		.max = 16 * MIB,
	};

	heap = goalloc_open(&options);
	if (!heap) {
		printf("Bail out! %s\n", goalloc_last_error());
		return 1;
	}
	return tap_run(tests, COUNT(tests));
}
