// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: many objects by one call, and exactly what was done before the
 * first failure.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "heap.h"

FIXTURE(batch)
{
	int fd;
	uint32_t max;		/* objects in a batch */
	uint64_t *sizes;	/* room for one more than that */
	uint64_t *addrs;
};

FIXTURE_SETUP(batch)
{
	struct goalloc_info info = { .size = sizeof(info) };

	self->fd = heap_open();
	ASSERT_RET(0, heap_ioctl(self->fd, GOALLOC_IOC_INFO, &info));
	self->max = info.batch_max;
	ASSERT_GE(self->max, 1024);
	self->sizes = calloc(self->max + 1, sizeof(*self->sizes));
	self->addrs = calloc(self->max + 1, sizeof(*self->addrs));
	ASSERT_TRUE(self->sizes && self->addrs);
}

FIXTURE_TEARDOWN(batch)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
	free(self->sizes);
	free(self->addrs);
}

static long batch_alloc(int fd, const uint64_t *from, uint64_t *to, uint32_t count,
			uint32_t flags, uint32_t *done)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .flags = flags, .count = count, .done = 12345,
		.sizes = (uintptr_t)from, .addrs = (uintptr_t)to,
	};
	long ret = heap_ioctl(fd, GOALLOC_IOC_ALLOC_BATCH, &arg);

	*done = arg.done;
	return ret;
}

static long batch_free(int fd, const uint64_t *from, uint32_t count, uint32_t *done)
{
	struct goalloc_batch arg = {
		.size = sizeof(arg), .count = count, .done = 12345, .addrs = (uintptr_t)from,
	};
	long ret = heap_ioctl(fd, GOALLOC_IOC_FREE_BATCH, &arg);

	*done = arg.done;
	return ret;
}

/* As many as there can be, of all sizes: each is as if made alone. */
TEST_F_TIMEOUT(batch, full_batch, LONG_TEST)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	uint64_t state = rnd_seed();
	struct obj *objs;
	uint32_t done, i;

	objs = calloc(self->max, sizeof(*objs));
	for (i = 0; i < self->max; i++)
		sizes[i] = i == 7 ? 0 : rnd_size(&state, 17);
	EXPECT_RET(0, batch_alloc(self->fd, sizes, addrs, self->max, 0, &done));
	EXPECT_EQ(self->max, done);
	EXPECT_EQ(GOALLOC_ZERO_ADDR, addrs[7]);
	EXPECT_EQ(self->max - 1, heap_stats(self->fd).heap_objects);
	for (i = 0; i < self->max; i++) {
		objs[i] = (struct obj){ .addr = addrs[i], .bytes = sizes[i], .seed = i };
		EXPECT_EQ(0, addrs[i] % (sizes[i] ? natural_align(sizes[i], 8) : 1));
		EXPECT_TRUE(obj_is_zero(self->fd, addrs[i], sizes[i]));
		EXPECT_TRUE(obj_write(self->fd, addrs[i], sizes[i], i));
	}
	EXPECT_EQ(0, obj_overlaps(objs, self->max));
	for (i = 0; i < self->max; i++)
		EXPECT_TRUE(obj_is(self->fd, addrs[i], sizes[i], i));
	EXPECT_RET(0, batch_free(self->fd, addrs, self->max, &done));
	EXPECT_EQ(self->max, done);
	EXPECT_EMPTY(self->fd);
	free(objs);
}

/* Mixed with calls for one object. */
TEST_F(batch, one_at_a_time)
{
	uint64_t size = 100, addr;
	uint32_t done;

	EXPECT_RET(0, batch_alloc(self->fd, &size, &addr, 1, 0, &done));
	EXPECT_EQ(1, done);
	EXPECT_TRUE(obj_write(self->fd, addr, 100, 1));
	EXPECT_TRUE(obj_is(self->fd, addr, 100, 1));
	EXPECT_RET(0, heap_free(self->fd, addr));
	addr = heap_new(self->fd, 100);
	EXPECT_RET(0, batch_free(self->fd, &addr, 1, &done));
	EXPECT_EQ(1, done);
	EXPECT_EMPTY(self->fd);
}

TEST_F(batch, flags)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	struct goalloc_query q;
	uint32_t done;

	sizes[0] = 8;
	sizes[1] = 100;
	EXPECT_RET(0, batch_alloc(self->fd, sizes, addrs, 2, GOALLOC_SCAN | GOALLOC_UNINIT, &done));
	EXPECT_RET(0, heap_query(self->fd, addrs[0], &q));
	EXPECT_EQ(1 << 1, q.spanclass);
	EXPECT_RET(0, heap_query(self->fd, addrs[1], &q));
	EXPECT_EQ(9 << 1, q.spanclass);
	EXPECT_RET(0, batch_free(self->fd, addrs, 2, &done));
}

TEST_F(batch, bad_count)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	struct goalloc_memstats before;
	uint64_t keep;
	uint32_t done;

	keep = heap_new(self->fd, 100);
	addrs[0] = keep;
	sizes[0] = 100;
	before = heap_stats(self->fd);
	EXPECT_RET(-EINVAL, batch_alloc(self->fd, sizes, addrs, 0, 0, &done));
	EXPECT_RET(-EINVAL, batch_alloc(self->fd, sizes, addrs, self->max + 1, 0, &done));
	EXPECT_RET(-EINVAL, batch_alloc(self->fd, sizes, addrs, ~0U, 0, &done));
	EXPECT_RET(-EINVAL, batch_free(self->fd, addrs, 0, &done));
	EXPECT_RET(-EINVAL, batch_free(self->fd, addrs, self->max + 1, &done));
	EXPECT_RET(-EINVAL, batch_free(self->fd, addrs, ~0U, &done));
	EXPECT_UNCHANGED(&before, self->fd);
	EXPECT_EQ(keep, addrs[0]);
}

/* A batch that frees has no sizes. */
TEST_F(batch, sizes_to_free)
{
	uint64_t *addrs = self->addrs;
	struct goalloc_batch arg = { .size = sizeof(arg), .count = 1 };

	addrs[0] = heap_new(self->fd, 100);
	arg.addrs = (uintptr_t)addrs;
	arg.sizes = (uintptr_t)addrs;
	EXPECT_RET(-EOPNOTSUPP, heap_ioctl(self->fd, GOALLOC_IOC_FREE_BATCH, &arg));
	EXPECT_EQ(1, heap_stats(self->fd).heap_objects);
}

/* It ends at the first that fails, and says how many did not. */
TEST_F(batch, stops_at_failure)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	uint32_t done, i;

	for (i = 0; i < 10; i++) {
		sizes[i] = 100;
		addrs[i] = 0xdead;
	}
	sizes[6] = ~0ULL;
	EXPECT_RET(0, batch_alloc(self->fd, sizes, addrs, 10, 0, &done));
	EXPECT_EQ(6, done);
	for (i = 0; i < 10; i++)
		EXPECT_EQ(i >= 6, addrs[i] == 0xdead);
	EXPECT_EQ(6, heap_stats(self->fd).heap_objects);
	/* What fails at once fails as a whole. */
	EXPECT_RET(-EFBIG, batch_alloc(self->fd, sizes + 6, addrs + 6, 4, 0, &done));
	sizes[6] = HEAP_MAX;
	EXPECT_RET(-ENOMEM, batch_alloc(self->fd, sizes + 6, addrs + 6, 4, 0, &done));
	EXPECT_EQ(6, heap_stats(self->fd).heap_objects);

	addrs[3]++;
	EXPECT_RET(0, batch_free(self->fd, addrs, 6, &done));
	EXPECT_EQ(3, done);
	EXPECT_EQ(3, heap_stats(self->fd).heap_objects);
	EXPECT_RET(-EINVAL, batch_free(self->fd, addrs + 3, 3, &done));
	addrs[3]--;
	EXPECT_RET(-EALREADY, batch_free(self->fd, addrs, 6, &done));
	EXPECT_RET(0, batch_free(self->fd, addrs + 3, 3, &done));
	EXPECT_EQ(3, done);
	addrs[0] = HEAP_BASE + 1 * GIB;
	EXPECT_RET(-ENOENT, batch_free(self->fd, addrs, 1, &done));
	EXPECT_EMPTY(self->fd);
}

/* The same object twice in one batch. */
TEST_F(batch, twice_in_a_batch)
{
	uint64_t *addrs = self->addrs;
	uint32_t done;

	addrs[0] = heap_new(self->fd, 100);
	addrs[1] = heap_new(self->fd, 100);
	addrs[2] = addrs[0];
	addrs[3] = heap_new(self->fd, 100);
	EXPECT_RET(0, batch_free(self->fd, addrs, 4, &done));
	EXPECT_EQ(2, done);
	EXPECT_EQ(1, heap_stats(self->fd).heap_objects);
}

/* Arrays that end in a hole, at an object's place. */
TEST_F(batch, array_in_a_hole)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	uint64_t *end;
	uint32_t done, i;

	end = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += 512;
	ASSERT_EQ(0, munmap(end, 4096));
	for (i = 0; i < 8; i++) {
		sizes[i] = 100;
		end[-8 + (int)i] = 100;
	}

	/* Sizes that cannot be read. */
	EXPECT_RET(-EFAULT, batch_alloc(self->fd, end, addrs, 8, 0, &done));
	EXPECT_RET(-EFAULT, batch_alloc(self->fd, NULL, addrs, 8, 0, &done));
	EXPECT_EQ(0, heap_stats(self->fd).heap_objects);
	EXPECT_RET(0, batch_alloc(self->fd, end - 5, addrs, 8, 0, &done));
	EXPECT_EQ(5, done);
	EXPECT_EQ(5, heap_stats(self->fd).heap_objects);
	EXPECT_RET(0, batch_free(self->fd, addrs, 5, &done));

	/* Addresses that cannot be written: those objects do not exist. */
	EXPECT_RET(-EFAULT, batch_alloc(self->fd, sizes, end, 8, 0, &done));
	EXPECT_RET(-EFAULT, batch_alloc(self->fd, sizes, NULL, 8, 0, &done));
	EXPECT_EQ(0, heap_stats(self->fd).heap_objects);
	EXPECT_RET(0, batch_alloc(self->fd, sizes, end - 3, 8, 0, &done));
	EXPECT_EQ(3, done);
	EXPECT_EQ(3, heap_stats(self->fd).heap_objects);

	/* Addresses that cannot be read. */
	EXPECT_RET(-EFAULT, batch_free(self->fd, end, 1, &done));
	EXPECT_RET(-EFAULT, batch_free(self->fd, NULL, 1, &done));
	EXPECT_RET(0, batch_free(self->fd, end - 3, 8, &done));
	EXPECT_EQ(3, done);
	EXPECT_EMPTY(self->fd);

	/* Memory that may be read only. */
	ASSERT_EQ(0, mprotect(end - 512, 4096, PROT_READ));
	EXPECT_RET(-EFAULT, batch_alloc(self->fd, sizes, end - 8, 8, 0, &done));
	EXPECT_EMPTY(self->fd);
	munmap(end - 512, 4096);
}

/* A struct that may not be written: the number done could not be told, so none is. */
TEST_F(batch, unreported)
{
	uint64_t *sizes = self->sizes, *addrs = self->addrs;
	struct goalloc_memstats before;
	struct goalloc_batch *arg;
	uint32_t done, i;
	int round;

	for (i = 0; i < 64; i++)
		sizes[i] = 1 + i * 700;
	EXPECT_RET(0, batch_alloc(self->fd, sizes, addrs, 64, 0, &done));
	arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	for (round = 0; round < 20; round++) {
		bool alloc = round % 2;
		uint64_t out[64];

		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ | PROT_WRITE));
		*arg = (struct goalloc_batch){
			.size = sizeof(*arg), .count = 64,
			.sizes = alloc ? (uintptr_t)sizes : 0,
			.addrs = alloc ? (uintptr_t)out : (uintptr_t)addrs,
		};
		ASSERT_EQ(0, mprotect(arg, 4096, PROT_READ));
		before = heap_stats(self->fd);
		EXPECT_RET(-EFAULT, heap_ioctl(self->fd, alloc ? GOALLOC_IOC_ALLOC_BATCH :
							       GOALLOC_IOC_FREE_BATCH, arg));
		EXPECT_EQ(before.heap_objects, heap_stats(self->fd).heap_objects);
		EXPECT_EQ(before.heap_alloc, heap_stats(self->fd).heap_alloc);
	}
	munmap(arg, 4096);
	EXPECT_RET(0, batch_free(self->fd, addrs, 64, &done));
	EXPECT_EQ(64, done);
	EXPECT_EMPTY(self->fd);
}

TEST_HARNESS_MAIN
