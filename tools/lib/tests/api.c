// SPDX-License-Identifier: MIT
/* One heap and one thread: every function does what goalloc.h says. */
#include <goalloc.h>

#include "tap.h"

static struct goalloc_heap *heap;

static const size_t sizes[] = {
	1, 8, 15, 16, 17, 24, 48, 64, 100, 128, 1000, 1024, 4096, 5000, 8192, 10000, 32768, 32769,
	40000, 65536, 100000, 1 << 20, 3 << 20,
};

static struct goalloc_stats stats_now(void)
{
	struct goalloc_stats stats = { .size = sizeof(stats) };

	CHECK_EQ(goalloc_get_stats(heap, &stats), 0);
	return stats;
}

static void opened_at_base(void)
{
	void *ptr = goalloc_malloc(heap, 64);

	CHECK(ptr);
	CHECK_EQ(goalloc_address(heap, ptr), (uintptr_t)ptr);
	CHECK(goalloc_pointer(heap, (uintptr_t)ptr) == ptr);
	CHECK((uintptr_t)ptr >= 0xc000000000 && (uintptr_t)ptr < 0xc000000000 + (1ul << 40));
	CHECK(goalloc_fd(heap) >= 0);
	CHECK(!goalloc_pointer(heap, 0x1000));
	CHECK_EQ(goalloc_address(heap, &heap), 0);
	goalloc_free(heap, ptr);
}

static void sizes_and_alignment(void)
{
	unsigned char *ptr[COUNT(sizes)][3];
	size_t i, j;

	for (i = 0; i < COUNT(sizes); i++)
		for (j = 0; j < 3; j++) {
			ptr[i][j] = goalloc_malloc(heap, sizes[i]);
			if (!CHECK(ptr[i][j]))
				return;
			CHECK_EQ((uintptr_t)ptr[i][j] % 16, 0);
			CHECK(goalloc_usable_size(heap, ptr[i][j]) >= sizes[i]);
			CHECK(goalloc_usable_size(heap, ptr[i][j]) >=
			      goalloc_good_size(heap, sizes[i]));
			tap_fill(ptr[i][j], sizes[i], i * 3 + j);
		}
	for (i = 0; i < COUNT(sizes); i++)
		for (j = 0; j < 3; j++) {
			CHECK(tap_filled(ptr[i][j], sizes[i], i * 3 + j));
			CHECK_EQ(goalloc_try_free(heap, ptr[i][j]), 0);
		}
}

static void no_bytes(void)
{
	void *a = goalloc_malloc(heap, 0), *b = goalloc_malloc(heap, 0);

	CHECK(a && b && a != b);
	goalloc_free(heap, a);
	goalloc_free(heap, b);
	goalloc_free(heap, NULL);
	CHECK_EQ(goalloc_try_free(heap, NULL), 0);
	CHECK_EQ(goalloc_usable_size(heap, NULL), 0);
}

static void calloc_is_zeroed(void)
{
	size_t i, j, round;

	for (round = 0; round < 3; round++)
		for (i = 0; i < COUNT(sizes); i++) {
			unsigned char *ptr = goalloc_calloc(heap, sizes[i], 1);
			bool zero = true;

			if (!CHECK(ptr))
				return;
			for (j = 0; j < sizes[i]; j++)
				zero &= !ptr[j];
			CHECK(zero);
			memset(ptr, 0xa5, sizes[i]);
			goalloc_free(heap, ptr);
		}
	errno = 0;
	CHECK(!goalloc_calloc(heap, SIZE_MAX / 2, 3));
	CHECK_EQ(errno, ENOMEM);
}

static void realloc_keeps_bytes(void)
{
	uint64_t seed = 1;
	unsigned char *ptr = NULL;
	size_t size = 0, next, i;

	for (i = 0; i < 400; i++) {
		next = 1 + tap_random(&seed) % (i % 4 ? 3000 : 200000);
		ptr = goalloc_realloc(heap, ptr, next);
		if (!CHECK(ptr))
			return;
		CHECK(tap_filled(ptr, next < size ? next : size, i));
		tap_fill(ptr, next, i + 1);
		size = next;
	}
	CHECK(!goalloc_realloc(heap, ptr, 0));
	CHECK_EQ(goalloc_usable_size(heap, ptr), 0);
	ptr = goalloc_reallocarray(heap, NULL, 10, 10);
	CHECK(ptr && goalloc_usable_size(heap, ptr) >= 100);
	errno = 0;
	CHECK(!goalloc_reallocarray(heap, ptr, SIZE_MAX / 2, 3));
	CHECK_EQ(errno, ENOMEM);
	CHECK(goalloc_usable_size(heap, ptr) >= 100);
	goalloc_free(heap, ptr);
}

static void aligned(void)
{
	size_t align, i;

	for (align = 1; align <= 2 << 20; align *= 2)
		for (i = 0; i < COUNT(sizes); i++) {
			unsigned char *ptr = goalloc_aligned_alloc(heap, align, sizes[i]);

			if (!CHECK(ptr))
				return;
			CHECK_EQ((uintptr_t)ptr % align, 0);
			CHECK(goalloc_usable_size(heap, ptr) >= sizes[i]);
			ptr[0] = 1;
			ptr[sizes[i] - 1] = 1;
			CHECK_EQ(goalloc_try_free(heap, ptr), 0);
		}
	errno = 0;
	CHECK(!goalloc_aligned_alloc(heap, 48, 100));
	CHECK_EQ(errno, EINVAL);
	CHECK(!goalloc_aligned_alloc(heap, 4 << 20, 100));
	CHECK_EQ(errno, ENOMEM);
}

/* Much more than a stock holds, in two orders. */
static void many(void)
{
	enum { N = 20000 };
	static unsigned char *ptr[N];
	static size_t size[N];
	uint64_t seed = 2;
	size_t i;

	for (i = 0; i < N; i++) {
		size[i] = 1 + tap_random(&seed) % 500;
		ptr[i] = goalloc_malloc(heap, size[i]);
		if (!CHECK(ptr[i]))
			return;
		tap_fill(ptr[i], size[i], i);
	}
	for (i = 0; i < N; i += 2) {
		CHECK(tap_filled(ptr[i], size[i], i));
		goalloc_free(heap, ptr[i]);
	}
	for (i = N; i--;)
		if (i % 2) {
			CHECK(tap_filled(ptr[i], size[i], i));
			goalloc_free(heap, ptr[i]);
		}
}

/* After the first few, a pair makes no system call. */
static void no_system_calls(void)
{
	uint64_t before;
	int i;

	goalloc_free(heap, goalloc_malloc(heap, 64));
	before = stats_now().system_calls;
	for (i = 0; i < 100000; i++)
		goalloc_free(heap, goalloc_malloc(heap, 64));
	CHECK_EQ(stats_now().system_calls, before);
}

static void statistics(void)
{
	struct goalloc_stats before = stats_now(), after;
	struct { size_t size; uint64_t mallocs, guard; } small = { 16, 0, 77 };
	struct goalloc_stats unset = {};
	void *ptr[100];
	int i;

	for (i = 0; i < 100; i++)
		ptr[i] = goalloc_malloc(heap, 200);
	after = stats_now();
	CHECK_EQ(after.mallocs - before.mallocs, 100);
	CHECK_EQ(after.frees - before.frees, 0);
	CHECK_EQ(after.mallocs - after.frees, after.heap_objects - after.cached_objects);
	CHECK(after.peak_bytes >= after.heap_alloc);
	CHECK(after.heap_sys == after.heap_inuse + after.heap_idle);
	CHECK_EQ(after.threads, 1);
	for (i = 0; i < 100; i++)
		goalloc_free(heap, ptr[i]);
	after = stats_now();
	CHECK_EQ(after.frees - before.frees, 100);
	CHECK_EQ(goalloc_get_stats(heap, (void *)&small), 0);
	CHECK_EQ(small.mallocs, after.mallocs);
	CHECK_EQ(small.guard, 77);
	CHECK_EQ(goalloc_get_stats(heap, &unset), -EINVAL);
}

static void classes(void)
{
	struct goalloc_size_class class = { .size = sizeof(class) };
	uint64_t last = 0, cached = 0;
	unsigned int index = 0, n = 0;
	int ret;

	while ((ret = goalloc_next_class(heap, &index, &class)) == 1) {
		CHECK(class.object_size > last);
		CHECK(class.mallocs >= class.frees);
		CHECK(class.used == !(class.object_size % 16));
		if (class.used)
			CHECK_EQ(goalloc_good_size(heap, class.object_size), class.object_size);
		last = class.object_size;
		cached += class.cached;
		n++;
	}
	CHECK_EQ(ret, 0);
	CHECK(n > 10);
	CHECK_EQ(goalloc_good_size(heap, last + 1) % 8192, 0);
	CHECK(cached <= stats_now().cached_objects);
}

/* Nothing is left once stocks are given back, and pages go too. */
static void flush_and_trim(void)
{
	uint64_t released = 0, more;
	struct goalloc_stats after;
	void *ptr[64];
	int i;

	for (i = 0; i < 64; i++) {
		ptr[i] = goalloc_malloc(heap, 30000);
		memset(ptr[i], 1, 30000);
	}
	for (i = 0; i < 64; i++)
		goalloc_free(heap, ptr[i]);
	CHECK_EQ(goalloc_flush(heap), 0);
	CHECK_EQ(stats_now().cached_objects, 0);
	CHECK_EQ(stats_now().heap_objects, 0);
	CHECK_EQ(goalloc_trim(heap, &released), 0);
	/* Each CPU keeps a span of a class that it has used. */
	CHECK(stats_now().heap_inuse < 64 * 30000);
	CHECK(released > 0);
	/* The background may have a piece in its hands, which it gives back by itself. */
	for (i = 0; i < 6000; i++) {
		after = stats_now();
		if (after.heap_idle == after.heap_released)
			break;
		usleep(10000);
		CHECK_EQ(goalloc_trim(heap, &more), 0);
	}
	CHECK_EQ(after.heap_idle, after.heap_released);
	CHECK(goalloc_malloc(heap, 64));
}

static void words(void)
{
	CHECK(strlen(goalloc_version()) >= 5);
	CHECK(strstr(goalloc_strerror(EALREADY), "double free"));
	CHECK(!strcmp(goalloc_strerror(-EALREADY), goalloc_strerror(EALREADY)));
	CHECK(goalloc_strerror(12345));
	CHECK_EQ(goalloc_set_name(heap, ""), -EINVAL);
	CHECK(strstr(goalloc_last_error(), "name"));
	CHECK_EQ(goalloc_set_name(heap, "libgoalloc test"), 0);
	CHECK_EQ(goalloc_set_name(heap, "two\nlines"), -EINVAL);
}

static void bad_options(void)
{
	struct goalloc_options options = { .size = sizeof(options) };
	struct { struct goalloc_options known; uint64_t more; } newer = {
		.known.size = sizeof(newer),
	};
	struct goalloc_heap *other;

	options.device = "/dev/goalloc.is.not.here";
	CHECK(!goalloc_open(&options));
	CHECK_EQ(errno, ENOENT);
	CHECK(strstr(goalloc_last_error(), "/dev/goalloc.is.not.here: no such file: "));
	CHECK(strstr(goalloc_last_error(), "is the module loaded? try: modprobe goalloc"));
	options.device = "/dev/null";
	CHECK(!goalloc_open(&options));
	CHECK_EQ(errno, ENOTTY);
	options.device = NULL;
	options.flags = 0x80;
	CHECK(!goalloc_open(&options));
	CHECK_EQ(errno, EINVAL);
	options.flags = GOALLOC_HEAP_AT_BASE;
	CHECK(!goalloc_open(&options));
	CHECK_EQ(errno, EEXIST);
	options.size = 0;
	CHECK(!goalloc_open(&options));
	CHECK_EQ(errno, EINVAL);
	other = goalloc_open((void *)&newer);
	CHECK(other);
	goalloc_close(other);
	newer.more = 1;
	CHECK(!goalloc_open((void *)&newer));
	CHECK_EQ(errno, E2BIG);
	CHECK(!goalloc_adopt(-1, NULL));
	CHECK_EQ(errno, EBADF);
	CHECK(!goalloc_adopt(0, NULL));
	goalloc_close(NULL);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(opened_at_base), TEST(sizes_and_alignment), TEST(no_bytes),
		TEST(calloc_is_zeroed), TEST(realloc_keeps_bytes), TEST(aligned), TEST(many),
		TEST(no_system_calls), TEST(statistics), TEST(classes), TEST(flush_and_trim),
		TEST(words), TEST(bad_options),
	};

	heap = goalloc_open(NULL);
	if (!heap) {
		printf("Bail out! %s\n", goalloc_last_error());
		return 1;
	}
	return tap_run(tests, COUNT(tests));
}
