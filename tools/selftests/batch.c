// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: many objects by one call, and exactly what was done before the
 * first failure.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "heap.h"

static int fd;
static uint32_t batch_max;
static uint64_t *sizes, *addrs;

static void setup(void)
{
	struct goalloc_info info = { .size = sizeof(info) };

	fd = heap_open();
	CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_INFO, &info), 0);
	batch_max = info.batch_max;
	CHECK(batch_max >= 1024);
	sizes = realloc(sizes, (batch_max + 1) * sizeof(*sizes));
	addrs = realloc(addrs, (batch_max + 1) * sizeof(*addrs));
}

static long batch_alloc(const uint64_t *from, uint64_t *to, uint32_t count, uint32_t flags,
			uint32_t *done)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .flags = flags, .count = count, .done = 12345,
		.sizes = (uintptr_t)from, .addrs = (uintptr_t)to,
	};
	long ret = heap_ioctl(fd, GOALLOC_IOC_ALLOC_BATCH, &arg);

	*done = arg.done;
	return ret;
}

static long batch_free(const uint64_t *from, uint32_t count, uint32_t *done)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .count = count, .done = 12345, .addrs = (uintptr_t)from,
	};
	long ret = heap_ioctl(fd, GOALLOC_IOC_FREE_BATCH, &arg);

	*done = arg.done;
	return ret;
}

/* As many as there can be, of all sizes: each is as if made alone. */
static void full_batch(void)
{
	uint64_t state = rnd_seed();
	struct obj *objs;
	uint32_t done, i;

	setup();
	objs = calloc(batch_max, sizeof(*objs));
	for (i = 0; i < batch_max; i++)
		sizes[i] = i == 7 ? 0 : rnd_size(&state, 17);
	CHECK_RET(batch_alloc(sizes, addrs, batch_max, 0, &done), 0);
	CHECK_EQ(done, batch_max);
	CHECK_EQ(addrs[7], GOALLOC_ZERO_ADDR);
	CHECK_EQ(heap_stats(fd).heap_objects, batch_max - 1);
	for (i = 0; i < batch_max; i++) {
		objs[i] = (struct obj){ .addr = addrs[i], .bytes = sizes[i], .seed = i };
		CHECK_EQ(addrs[i] % (sizes[i] ? natural_align(sizes[i], 8) : 1), 0);
		CHECK(obj_is_zero(fd, addrs[i], sizes[i]));
		CHECK(obj_write(fd, addrs[i], sizes[i], i));
	}
	CHECK_EQ(obj_overlaps(objs, batch_max), 0);
	for (i = 0; i < batch_max; i++)
		CHECK(obj_is(fd, addrs[i], sizes[i], i));
	CHECK_RET(batch_free(addrs, batch_max, &done), 0);
	CHECK_EQ(done, batch_max);
	heap_check_empty(fd);
	free(objs);
}

/* Mixed with calls for one object. */
static void one_at_a_time(void)
{
	uint64_t size = 100, addr;
	uint32_t done;

	setup();
	CHECK_RET(batch_alloc(&size, &addr, 1, 0, &done), 0);
	CHECK_EQ(done, 1);
	CHECK(obj_write(fd, addr, 100, 1));
	CHECK(obj_is(fd, addr, 100, 1));
	CHECK_RET(heap_free(fd, addr), 0);
	addr = heap_new(fd, 100);
	CHECK_RET(batch_free(&addr, 1, &done), 0);
	CHECK_EQ(done, 1);
	heap_check_empty(fd);
}

static void flags(void)
{
	struct goalloc_query q;
	uint32_t done;

	setup();
	sizes[0] = 8;
	sizes[1] = 100;
	CHECK_RET(batch_alloc(sizes, addrs, 2, GOALLOC_SCAN | GOALLOC_UNINIT, &done), 0);
	CHECK_RET(heap_query(fd, addrs[0], &q), 0);
	CHECK_EQ(q.spanclass, 1 << 1);
	CHECK_RET(heap_query(fd, addrs[1], &q), 0);
	CHECK_EQ(q.spanclass, 9 << 1);
	CHECK_RET(batch_free(addrs, 2, &done), 0);
}

static void bad_count(void)
{
	struct goalloc_memstats before;
	uint64_t keep;
	uint32_t done;

	setup();
	keep = heap_new(fd, 100);
	addrs[0] = keep;
	sizes[0] = 100;
	before = heap_stats(fd);
	CHECK_RET(batch_alloc(sizes, addrs, 0, 0, &done), -EINVAL);
	CHECK_RET(batch_alloc(sizes, addrs, batch_max + 1, 0, &done), -EINVAL);
	CHECK_RET(batch_alloc(sizes, addrs, ~0U, 0, &done), -EINVAL);
	CHECK_RET(batch_free(addrs, 0, &done), -EINVAL);
	CHECK_RET(batch_free(addrs, batch_max + 1, &done), -EINVAL);
	CHECK_RET(batch_free(addrs, ~0U, &done), -EINVAL);
	heap_check_unchanged(&before, fd);
	CHECK_EQ(addrs[0], keep);
}

/* A batch that frees has no sizes. */
static void sizes_to_free(void)
{
	struct goalloc_batch arg = { .size = sizeof(arg), .count = 1 };

	setup();
	addrs[0] = heap_new(fd, 100);
	arg.addrs = (uintptr_t)addrs;
	arg.sizes = (uintptr_t)addrs;
	CHECK_RET(heap_ioctl(fd, GOALLOC_IOC_FREE_BATCH, &arg), -EOPNOTSUPP);
	CHECK_EQ(heap_stats(fd).heap_objects, 1);
}

/* It ends at the first that fails, and says how many did not. */
static void stops_at_failure(void)
{
	uint32_t done, i;

	setup();
	for (i = 0; i < 10; i++) {
		sizes[i] = 100;
		addrs[i] = 0xdead;
	}
	sizes[6] = ~0ULL;
	CHECK_RET(batch_alloc(sizes, addrs, 10, 0, &done), 0);
	CHECK_EQ(done, 6);
	for (i = 0; i < 10; i++)
		CHECK((addrs[i] == 0xdead) == (i >= 6));
	CHECK_EQ(heap_stats(fd).heap_objects, 6);
	/* What fails at once fails as a whole. */
	CHECK_RET(batch_alloc(sizes + 6, addrs + 6, 4, 0, &done), -EFBIG);
	sizes[6] = HEAP_MAX;
	CHECK_RET(batch_alloc(sizes + 6, addrs + 6, 4, 0, &done), -ENOMEM);
	CHECK_EQ(heap_stats(fd).heap_objects, 6);

	addrs[3]++;
	CHECK_RET(batch_free(addrs, 6, &done), 0);
	CHECK_EQ(done, 3);
	CHECK_EQ(heap_stats(fd).heap_objects, 3);
	CHECK_RET(batch_free(addrs + 3, 3, &done), -EINVAL);
	addrs[3]--;
	CHECK_RET(batch_free(addrs, 6, &done), -EALREADY);
	CHECK_RET(batch_free(addrs + 3, 3, &done), 0);
	CHECK_EQ(done, 3);
	addrs[0] = HEAP_BASE + 1 * GIB;
	CHECK_RET(batch_free(addrs, 1, &done), -ENOENT);
	heap_check_empty(fd);
}

/* The same object twice in one batch. */
static void twice_in_a_batch(void)
{
	uint32_t done;

	setup();
	addrs[0] = heap_new(fd, 100);
	addrs[1] = heap_new(fd, 100);
	addrs[2] = addrs[0];
	addrs[3] = heap_new(fd, 100);
	CHECK_RET(batch_free(addrs, 4, &done), 0);
	CHECK_EQ(done, 2);
	CHECK_EQ(heap_stats(fd).heap_objects, 1);
}

/* Arrays that end in a hole, at an object's place. */
static void array_in_a_hole(void)
{
	uint64_t *end;
	uint32_t done, i;

	setup();
	end = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(end != MAP_FAILED);
	end += 512;
	REQUIRE(!munmap(end, 4096));
	for (i = 0; i < 8; i++) {
		sizes[i] = 100;
		end[-8 + (int)i] = 100;
	}

	/* Sizes that cannot be read. */
	CHECK_RET(batch_alloc(end, addrs, 8, 0, &done), -EFAULT);
	CHECK_RET(batch_alloc(NULL, addrs, 8, 0, &done), -EFAULT);
	CHECK_EQ(heap_stats(fd).heap_objects, 0);
	CHECK_RET(batch_alloc(end - 5, addrs, 8, 0, &done), 0);
	CHECK_EQ(done, 5);
	CHECK_EQ(heap_stats(fd).heap_objects, 5);
	CHECK_RET(batch_free(addrs, 5, &done), 0);

	/* Addresses that cannot be written: those objects do not exist. */
	CHECK_RET(batch_alloc(sizes, end, 8, 0, &done), -EFAULT);
	CHECK_RET(batch_alloc(sizes, NULL, 8, 0, &done), -EFAULT);
	CHECK_EQ(heap_stats(fd).heap_objects, 0);
	CHECK_RET(batch_alloc(sizes, end - 3, 8, 0, &done), 0);
	CHECK_EQ(done, 3);
	CHECK_EQ(heap_stats(fd).heap_objects, 3);

	/* Addresses that cannot be read. */
	CHECK_RET(batch_free(end, 1, &done), -EFAULT);
	CHECK_RET(batch_free(NULL, 1, &done), -EFAULT);
	CHECK_RET(batch_free(end - 3, 8, &done), 0);
	CHECK_EQ(done, 3);
	heap_check_empty(fd);

	/* Memory that may be read only. */
	REQUIRE(!mprotect(end - 512, 4096, PROT_READ));
	CHECK_RET(batch_alloc(sizes, end - 8, 8, 0, &done), -EFAULT);
	heap_check_empty(fd);
	munmap(end - 512, 4096);
}

/* A struct that may not be written: the number done could not be told, so none is. */
static void unreported(void)
{
	struct goalloc_memstats before;
	struct goalloc_batch *arg;
	uint32_t done, i;
	int round;

	setup();
	for (i = 0; i < 64; i++)
		sizes[i] = 1 + i * 700;
	CHECK_RET(batch_alloc(sizes, addrs, 64, 0, &done), 0);
	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(arg != MAP_FAILED);
	for (round = 0; round < 20; round++) {
		bool alloc = round % 2;
		uint64_t out[64];

		REQUIRE(!mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		*arg = (struct goalloc_batch){
			.size = sizeof(*arg), .count = 64,
			.sizes = alloc ? (uintptr_t)sizes : 0,
			.addrs = alloc ? (uintptr_t)out : (uintptr_t)addrs,
		};
		REQUIRE(!mprotect(arg, 4096, PROT_READ));
		before = heap_stats(fd);
		CHECK_RET(heap_ioctl(fd, alloc ? GOALLOC_IOC_ALLOC_BATCH : GOALLOC_IOC_FREE_BATCH,
				     arg), -EFAULT);
		CHECK_EQ(heap_stats(fd).heap_objects, before.heap_objects);
		CHECK_EQ(heap_stats(fd).heap_alloc, before.heap_alloc);
	}
	munmap(arg, 4096);
	CHECK_RET(batch_free(addrs, 64, &done), 0);
	CHECK_EQ(done, 64);
	heap_check_empty(fd);
}

static const struct tap_test tests[] = {
	TEST(full_batch),
	TEST(one_at_a_time),
	TEST(flags),
	TEST(bad_count),
	TEST(sizes_to_free),
	TEST(stops_at_failure),
	TEST(twice_in_a_batch),
	TEST(array_in_a_hole),
	TEST(unreported),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
