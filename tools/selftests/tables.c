// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap that was large and is small again gives back what described it: spans,
 * chunks, arenas, the page allocator's nodes.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "device.h"

#define BATCH	1024
#define OBJECT	DEV_LARGE

FIXTURE(tables)
{
	long background;
	int fd;
	uint64_t base;		/* what the tables of a small heap take */
	uint64_t num;
	uint64_t *addrs;
};

static uint64_t tables_of(int fd)
{
	struct goalloc_memstats ms = dev_stats(fd);

	return ms.gc_sys + ms.mspan_sys;
}

FIXTURE_SETUP(tables)
{
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_EQ(0, dev_free(self->fd, dev_new(self->fd, OBJECT)));
	self->base = tables_of(self->fd);
	self->num = (dev_slow() ? 1 : 4) * DEV_GIB / OBJECT;
	self->addrs = calloc(self->num, sizeof(*self->addrs));
	ASSERT_NE(NULL, self->addrs);
}

FIXTURE_TEARDOWN(tables)
{
	close(self->fd);
	free(self->addrs);
	if (self->background >= 0)
		dev_background(self->background);
}

static bool grow(int fd, uint64_t *addrs, uint64_t num)
{
	uint64_t sizes[BATCH], i;

	for (i = 0; i < BATCH; i++)
		sizes[i] = OBJECT;
	for (i = 0; i < num; i += BATCH)
		if (dev_alloc_batch(fd, sizes, addrs + i, BATCH) != BATCH)
			return false;
	return true;
}

static bool shrink(int fd, const uint64_t *addrs, uint64_t num)
{
	uint64_t i;

	for (i = 0; i < num; i += BATCH)
		if (dev_free_batch(fd, addrs + i, BATCH) != BATCH)
			return false;
	return true;
}

/* They go after a grace period, and if nobody asks, when the background comes by. */
static bool wait_tables(int fd, uint64_t bytes, double seconds)
{
	double until = dev_seconds() + seconds;

	while (tables_of(fd) > bytes && dev_seconds() < until)
		usleep(50000);
	return tables_of(fd) <= bytes;
}

static void grow_and_shrink(struct __test_metadata *_metadata, int fd, uint64_t *addrs,
			    uint64_t num, uint64_t base, bool ask)
{
	uint64_t peak, small;
	double begin;

	ASSERT_TRUE(grow(fd, addrs, num));
	peak = tables_of(fd);
	EXPECT_LT(base + num * 100, peak);
	ASSERT_TRUE(shrink(fd, addrs, num));
	small = base + (peak - base) / 50 + 64 * DEV_KIB;
	begin = dev_seconds();
	if (ask) {
		EXPECT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
		EXPECT_TRUE(wait_tables(fd, small, 60));
	} else {
		ASSERT_LE(0, dev_background(dev_slow() ? 50 : 1));
		EXPECT_TRUE(wait_tables(fd, small, 60));
		dev_background(0);
	}
	TH_LOG("tables of %" PRIu64 " KiB, %" PRIu64 " at most, %" PRIu64 " after %.1f s",
	       base / DEV_KIB, peak / DEV_KIB, tables_of(fd) / DEV_KIB, dev_seconds() - begin);
	EXPECT_TRUE(dev_balanced(fd));
	EXPECT_EQ(0, dev_stats(fd).heap_objects);
}

/* More than once: what is gone can come again. */
TEST_F_TIMEOUT(tables, on_request, 120)
{
	int i;

	for (i = 0; i < 3; i++)
		grow_and_shrink(_metadata, self->fd, self->addrs, self->num, self->base, true);
	EXPECT_EQ(DEV_BASE, dev_new(self->fd, DEV_GIB));
}

TEST_F_TIMEOUT(tables, by_itself, 150)
{
	ASSERT_LE(0, self->background) TH_LOG("there is no background");
	grow_and_shrink(_metadata, self->fd, self->addrs, self->num, self->base, false);
}

/* What lives in the midst of it stays, and can be used and found. */
TEST_F_TIMEOUT(tables, around_the_living, 120)
{
	uint64_t i, peak, kept = 0, addr;
	struct goalloc_query q;
	char word[32], seen[32];

	ASSERT_TRUE(dev_stay());
	ASSERT_TRUE(grow(self->fd, self->addrs, self->num));
	peak = tables_of(self->fd);
	/* Of every 2560 objects, more than are in two arenas, one stays. */
	for (i = 0; i < self->num; i++)
		if (i % 2560 == 77)
			self->addrs[kept++] = self->addrs[i];
		else
			ASSERT_EQ(0, dev_free(self->fd, self->addrs[i]));
	for (i = 0; i < kept; i++) {
		snprintf(word, sizeof(word), "object %" PRIu64, i);
		ASSERT_EQ(sizeof(word), pwrite(self->fd, word, sizeof(word), self->addrs[i]));
	}
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_TRUE(wait_tables(self->fd, self->base + (peak - self->base) / 8, 60));
	EXPECT_EQ(kept, dev_stats(self->fd).heap_objects);
	for (i = 0; i < kept; i++) {
		snprintf(word, sizeof(word), "object %" PRIu64, i);
		ASSERT_EQ(sizeof(seen), pread(self->fd, seen, sizeof(seen), self->addrs[i]));
		EXPECT_STREQ(word, seen);
		EXPECT_EQ(0, dev_query(self->fd, self->addrs[i] + 1000, &q));
		EXPECT_EQ(self->addrs[i], q.base);
		/* Beside it there is nothing. */
		EXPECT_EQ(-ENOENT, dev_query(self->fd, self->addrs[i] + OBJECT, &q));
		EXPECT_EQ(-1, pread(self->fd, seen, 1, self->addrs[i] + OBJECT));
		EXPECT_EQ(EFAULT, errno);
	}
	/*
	 * The holes are used again, and the heap does not grow for what fits in them;
	 * of some pages other CPUs have set aside.
	 */
	for (i = 0; i < self->num - kept - 64; i++) {
		addr = dev_new(self->fd, OBJECT);
		ASSERT_NE(0, addr);
		ASSERT_GT(DEV_BASE + self->num * OBJECT, addr);
	}
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* One object that is the whole heap, and in its place others. */
TEST_F_TIMEOUT(tables, of_a_whole_heap, 120)
{
	uint64_t bytes = dev_slow() ? DEV_SPACE / 64 : DEV_SPACE, addr, peak;
	int fd = dev_open(), i;

	ASSERT_LE(0, fd);
	if (dev_memory("MemAvailable") < 640 * DEV_MIB)
		SKIP(return, "too little memory to try");
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, dev_alloc(fd, bytes, 0, &addr));
		peak = tables_of(fd);
		EXPECT_LT(bytes / 4 / DEV_MIB * 100, peak);
		ASSERT_EQ(1, pwrite(fd, "x", 1, addr + bytes - 1));
		ASSERT_EQ(0, dev_free(fd, addr));
		EXPECT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
		EXPECT_TRUE(wait_tables(fd, self->base + peak / 50, 60));
		TH_LOG("tables of %" PRIu64 " KiB, %" PRIu64 " afterwards", peak / DEV_KIB,
		       tables_of(fd) / DEV_KIB);
		EXPECT_TRUE(dev_balanced(fd));
		/* Some tables stay, and are in the way of as much again. */
		if (!i)
			bytes /= 2;
	}
	close(fd);
}

TEST_HARNESS_MAIN
