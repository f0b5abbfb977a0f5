// SPDX-License-Identifier: MIT
/* Several heaps in one process, adopted ones, and files that were closed. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include <goalloc.h>

#include "tap.h"

enum { HEAPS = 6 };

static struct goalloc_stats stats_of(struct goalloc_heap *heap)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };

	CHECK_EQ(goalloc_get_stats(heap, &stats), 0);
	return stats;
}

static void *use_all(void *arg)
{
	struct goalloc_heap **heap = arg;
	uint64_t seed = (uintptr_t)&seed;
	int i;

	for (i = 0; i < 3000; i++) {
		struct goalloc_heap *own = heap[tap_random(&seed) % HEAPS];
		size_t size = 1 + tap_random(&seed) % 2000;
		unsigned char *ptr = goalloc_malloc(own, size);

		tap_fill(ptr, size, i);
		CHECK(goalloc_pointer(own, goalloc_address(own, ptr)) == ptr);
		CHECK(tap_filled(ptr, size, i));
		CHECK_EQ(goalloc_try_free(own, ptr), 0);
	}
	return NULL;
}

static void several(void)
{
	struct goalloc_heap *heap[HEAPS];
	pthread_t thread[3];
	size_t i;

	for (i = 0; i < HEAPS; i++) {
		heap[i] = goalloc_open(NULL);
		if (!CHECK(heap[i]))
			return;
	}
	for (i = 0; i < COUNT(thread); i++)
		pthread_create(&thread[i], NULL, use_all, heap);
	for (i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
	use_all(heap);
	for (i = 0; i < HEAPS; i++)
		goalloc_close(heap[i]);
}

/* Threads keep nothing of a heap that is gone. */
static void opened_and_closed(void)
{
	int i;

	for (i = 0; i < 300; i++) {
		struct goalloc_heap *heap = goalloc_open(NULL);
		char *ptr;

		if (!CHECK(heap))
			return;
		ptr = goalloc_malloc(heap, 1 + i);
		CHECK(ptr);
		memset(ptr, 1, 1 + i);
		if (i % 2)
			goalloc_free(heap, ptr);
		goalloc_close(heap);
	}
}

static void not_at_the_base(void)
{
	struct goalloc_heap *first = goalloc_open(NULL), *second = goalloc_open(NULL);
	void *ptr = goalloc_malloc(second, 5000);

	CHECK(first && second);
	CHECK(goalloc_address(second, ptr) >= 0xc000000000);
	CHECK(goalloc_address(second, ptr) != (uintptr_t)ptr);
	CHECK_EQ((uintptr_t)goalloc_aligned_alloc(second, 2 << 20, 100) % (2 << 20), 0);
	CHECK_EQ(goalloc_try_free(second, (char *)ptr + 16), -EINVAL);
	CHECK_EQ(goalloc_try_free(second, ptr), 0);
	CHECK_EQ(goalloc_try_free(second, ptr), -EALREADY);
	goalloc_close(first);
	goalloc_close(second);
}

static void adopted(void)
{
	struct goalloc_heap *first = goalloc_open(NULL);
	struct goalloc_heap *second = goalloc_adopt(goalloc_fd(first), NULL);
	char *ptr = goalloc_malloc(first, 100), *seen;

	if (!CHECK(second))
		return;
	strcpy(ptr, "the same bytes");
	seen = goalloc_pointer(second, goalloc_address(first, ptr));
	CHECK(seen != ptr);
	CHECK(!strcmp(seen, "the same bytes"));
	strcpy(seen, "both ways");
	CHECK(!strcmp(ptr, "both ways"));
	ptr = goalloc_malloc(second, 40000);
	CHECK(ptr);
	goalloc_close(first);
	memset(ptr, 1, 40000);
	CHECK_EQ(goalloc_try_free(second, ptr), 0);
	goalloc_close(second);
}

/* A program closes all files before it becomes a daemon. */
static void file_closed(void)
{
	enum { N = 3000 };
	struct goalloc_heap *heap = goalloc_open(NULL);
	unsigned char *ptr[N], *large = goalloc_malloc(heap, 100000);
	int i, fd = goalloc_fd(heap);

	tap_fill(large, 100000, 3);
	for (i = 0; i < N; i++) {
		ptr[i] = goalloc_malloc(heap, 200);
		tap_fill(ptr[i], 200, i);
	}
	CHECK(fd > 63);
	close(fd);
	/* The number is taken by another file. */
	CHECK_EQ(dup2(STDOUT_FILENO, fd), fd);
	for (i = 0; i < N; i += 2) {
		CHECK(tap_filled(ptr[i], 200, i));
		CHECK_EQ(goalloc_try_free(heap, ptr[i]), 0);
	}
	for (i = 0; i < N; i += 2) {
		ptr[i] = goalloc_malloc(heap, i % 4 ? 200 : 100);
		if (!CHECK(ptr[i]))
			return;
		tap_fill(ptr[i], 100, i);
	}
	CHECK(goalloc_malloc(heap, 100000));
	CHECK(tap_filled(large, 100000, 3));
	CHECK_EQ(goalloc_try_free(heap, large), 0);
	for (i = 0; i < N; i++) {
		CHECK(tap_filled(ptr[i], 100, i));
		CHECK_EQ(goalloc_try_free(heap, ptr[i]), 0);
		CHECK(goalloc_try_free(heap, ptr[i]) < 0);
	}
	CHECK(goalloc_fd(heap) >= 0 && goalloc_fd(heap) != fd);
	CHECK_EQ(stats_of(heap).heap_objects > 0, 1);
	goalloc_close(heap);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	close(fd);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(several), TEST(opened_and_closed), TEST(not_at_the_base), TEST(adopted),
		TEST(file_closed),
	};

	return tap_run(tests, COUNT(tests));
}
