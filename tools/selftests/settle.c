// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap that nobody uses any more comes to rest by itself: the background gives
 * idle memory back until a tenth of what is in use is left, or 5 % are free under the
 * soft limit, and takes a hundredth of a CPU for that.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "kheap.h"

#define OBJECT	(5 * DEV_PAGE)	/* a span of its own */
#define BLOCK	(2 * DEV_MIB)	/* what a kernel heap gives back at once */
#define LEFT	10		/* one of so many stays */

/* Of a machine that checks itself at every step nobody expects 1 %. */
#define PERCENT	(dev_slow() ? 20 : 1)

FIXTURE(settle)
{
	long background;
	int fd;
	uint64_t *addrs;
	uint64_t num;		/* of those that live */
	uint64_t most;
};

/* Makes objects until there are as many as there can be, each with its own bytes. */
static bool fill(int fd, uint64_t *addrs, uint64_t *num, uint64_t most)
{
	for (; *num < most; ++*num) {
		addrs[*num] = dev_new(fd, OBJECT);
		if (!addrs[*num])
			return false;
		/* By the address: they need not lie in the order they were made in. */
		pattern_put((char *)addrs[*num], OBJECT, (addrs[*num] - DEV_BASE) / OBJECT);
	}
	return true;
}

FIXTURE_SETUP(settle)
{
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	self->most = (dev_slow() ? 16 : 64) * DEV_MIB / OBJECT;
	self->addrs = calloc(self->most, sizeof(*self->addrs));
	ASSERT_NE(NULL, self->addrs);
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	/* What several CPUs set aside might be more than a heap may keep. */
	ASSERT_TRUE(dev_stay());
	self->num = 0;
	ASSERT_TRUE(fill(self->fd, self->addrs, &self->num, self->most));
}

FIXTURE_TEARDOWN(settle)
{
	munmap((void *)DEV_BASE, DEV_SPACE);
	close(self->fd);
	free(self->addrs);
	if (self->background >= 0)
		dev_background(self->background);
}

/* Frees all but one in LEFT, any; those that stay are the first of the array. */
static bool free_most(int fd, uint64_t *addrs, uint64_t *num)
{
	uint64_t state = dev_seed(), i, k, kept = *num / LEFT, swap;
	bool ok = true;

	for (i = 0; i < kept; i++) {
		k = i + dev_random(&state) % (*num - i);
		swap = addrs[i];
		addrs[i] = addrs[k];
		addrs[k] = swap;
	}
	for (; i < *num; i++)
		ok &= !dev_free(fd, addrs[i]);
	*num = kept;
	return ok;
}

static uint64_t idle_backed(int fd)
{
	struct goalloc_memstats ms = dev_stats(fd);

	return ms.heap_idle - ms.heap_released;
}

static uint64_t background_ns(int fd)
{
	return dev_tree_value(fd, "scavenger", "background_ns", 1);
}

static bool settled(int fd)
{
	return idle_backed(fd) <= dev_stats(fd).heap_inuse / 10 + DEV_PAGE;
}

static bool settled_under_limit(int fd)
{
	uint64_t limit;

	return !dev_get(fd, GOALLOC_PARAM_LIMIT, &limit) &&
	       dev_tree_value(fd, "scavenger", "held", 1) <= limit - limit / 20;
}

/* Seconds until it is so; a negative number if it does not come to that. */
static double wait_until(bool (*is_so)(int fd), int fd, double most)
{
	double begin = dev_seconds();

	while (!is_so(fd)) {
		if (dev_seconds() > begin + most)
			return -1;
		usleep(50000);
	}
	return dev_seconds() - begin;
}

static bool adds_up(int fd)
{
	return dev_stats(fd).heap_inuse + idle_backed(fd) == dev_backed(fd);
}

/*
 * What the background takes of a CPU until the heap is settled, in per cent: the least
 * that was seen after half of the work, from its beginning. It sleeps for a piece when
 * that is done, so there is no share to be had at the end; and if a CPU stands still
 * meanwhile, a piece is as long as that. Negative if nobody looked, or it takes too long.
 */
static double least_share(int fd, double most)
{
	double begin = dev_seconds(), until = begin + most, now, share, least = -1;
	uint64_t first = background_ns(fd), idle = idle_backed(fd), ns;

	while (!settled(fd)) {
		now = dev_seconds();
		if (now > until)
			return -1;
		ns = background_ns(fd);
		if (ns == first) {
			begin = now;
		} else if (idle_backed(fd) < idle / 2 && now > begin) {
			share = (ns - first) / (now - begin) / 1e7;
			least = least < 0 || share < least ? share : least;
		}
		usleep(2000);
	}
	return least;
}

static void expect_kept(struct __test_metadata *_metadata, const uint64_t *addrs, uint64_t num)
{
	uint64_t i, wrong = 0, word;

	/* They have changed places, but not what is in them. */
	for (i = 0; i < num; i++) {
		word = (addrs[i] - DEV_BASE) / OBJECT;
		wrong += !pattern_is((char *)addrs[i], OBJECT, word);
	}
	EXPECT_EQ(0, wrong);
}

TEST_F_TIMEOUT(settle, by_itself, 150)
{
	uint64_t inuse, ns;
	double begin, share;
	int tries = 0;

	ASSERT_LE(0, self->background) TH_LOG("there is no background");
	/* Once is enough: a machine with other things to do may hide what it takes. */
	do {
		dev_background(0);
		ASSERT_TRUE(fill(self->fd, self->addrs, &self->num, self->most));
		ASSERT_TRUE(free_most(self->fd, self->addrs, &self->num));
		inuse = dev_stats(self->fd).heap_inuse;
		EXPECT_LT(8 * inuse, idle_backed(self->fd));
		ns = background_ns(self->fd);
		ASSERT_NE(~0ULL, ns);
		begin = dev_seconds();
		ASSERT_LE(0, dev_background(PERCENT));
		share = least_share(self->fd, 60);
		TH_LOG("%" PRIu64 " KiB are idle beside %" PRIu64
		       " in use after %.1f s, in which the background took %.2f %%",
		       idle_backed(self->fd) / DEV_KIB, inuse / DEV_KIB, dev_seconds() - begin,
		       share);
	} while ((share < 0 || share >= PERCENT * 1.5) && settled(self->fd) && ++tries < 6);
	EXPECT_TRUE(settled(self->fd));
	/* It has done it, and no more than it may. */
	EXPECT_LT(ns, background_ns(self->fd));
	EXPECT_LE(0, share);
	EXPECT_GT(PERCENT * 1.5, share);
	EXPECT_LE(8 * inuse, dev_tree_value(self->fd, "scavenger", "background", 2));
	/* There it stays; what it would be asked for next is not given back. */
	sleep(2);
	EXPECT_TRUE(settled(self->fd));
	EXPECT_LE(inuse / 20, idle_backed(self->fd));
	EXPECT_EQ(inuse, dev_stats(self->fd).heap_inuse);
	/* It may have a piece in its hands. */
	EXPECT_LE(0, wait_until(adds_up, self->fd, 60));
	EXPECT_TRUE(dev_balanced(self->fd));
	expect_kept(_metadata, self->addrs, self->num);
}

/*
 * The limit was passed when all was in use. Now there is room below, if less stays
 * idle than without a limit.
 */
TEST_F_TIMEOUT(settle, under_its_limit, 150)
{
	struct goalloc_memstats ms = dev_stats(self->fd);
	uint64_t tables = ms.sys - ms.heap_sys, kept = self->num / LEFT * OBJECT;
	uint64_t limit = (kept + kept / 20 + tables) / 95 * 100;
	double took;

	ASSERT_LE(0, self->background);
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, limit));
	ASSERT_TRUE(free_most(self->fd, self->addrs, &self->num));
	EXPECT_FALSE(settled_under_limit(self->fd));
	ASSERT_LE(0, dev_background(PERCENT));
	took = wait_until(settled_under_limit, self->fd, 100);
	TH_LOG("%" PRIu64 " KiB are held under a limit of %" PRIu64 " after %.1f s",
	       dev_tree_value(self->fd, "scavenger", "held", 1) / DEV_KIB, limit / DEV_KIB,
	       took);
	EXPECT_LE(0, took);
	EXPECT_TRUE(dev_balanced(self->fd));
	expect_kept(_metadata, self->addrs, self->num);
}

/* Turned off, it gives nothing back; with a whole CPU all of it at once. */
TEST_F_TIMEOUT(settle, at_any_pace, 150)
{
	uint64_t idle, ns;
	double took;

	ASSERT_LE(0, self->background);
	ASSERT_TRUE(free_most(self->fd, self->addrs, &self->num));
	idle = idle_backed(self->fd);
	ns = background_ns(self->fd);
	sleep(3);
	EXPECT_EQ(idle, idle_backed(self->fd));
	EXPECT_EQ(ns, background_ns(self->fd));
	ASSERT_EQ(0, dev_background(100));
	took = wait_until(settled, self->fd, 60);
	TH_LOG("%.1f s with a whole CPU", took);
	EXPECT_LE(0, took);
}

/* What is made and freed again and again is not given back meanwhile. */
TEST_F_TIMEOUT(settle, not_while_it_is_used, 60)
{
	uint64_t given, i, rounds = 0;
	double until;

	ASSERT_LE(0, self->background);
	ASSERT_LE(0, dev_background(PERCENT));
	given = dev_tree_value(self->fd, "scavenger", "background", 2);
	until = dev_seconds() + 4;
	for (; dev_seconds() < until || rounds < 4; rounds++) {
		/* A tenth of the heap at a time. */
		for (i = 0; i < self->num / 12; i++)
			ASSERT_EQ(0, dev_free(self->fd, self->addrs[i]));
		for (i = 0; i < self->num / 12; i++) {
			self->addrs[i] = dev_new(self->fd, OBJECT);
			ASSERT_NE(0, self->addrs[i]);
			*(char *)self->addrs[i] = 1;
		}
	}
	EXPECT_EQ(given, dev_tree_value(self->fd, "scavenger", "background", 2));
}

FIXTURE(kernel)
{
	long background;
};

FIXTURE_SETUP(kernel)
{
	long ret = module_load("kheap", "");

	self->background = dev_background(0);
	if (ret == -ENOENT)
		SKIP(return, "no module of kernel heaps here");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, kheap("create 0"));
}

FIXTURE_TEARDOWN(kernel)
{
	EXPECT_EQ(0, module_unload("kheap"));
	if (self->background >= 0)
		dev_background(self->background);
}

static bool kernel_settled(int fd)
{
	(void)fd;
	return kheap_tree(0, "scavenger", "givable", 1) <=
	       kheap_tree(0, "summary", "heap_inuse", 1) / 10 + BLOCK;
}

/* A kernel heap gives back whole blocks; of those with something in them, none. */
TEST_F_TIMEOUT(kernel, by_itself, 150)
{
	double took;

	ASSERT_LE(0, self->background) TH_LOG("there is no background");
	ASSERT_EQ(0, kheap("fill 0 -1 %llu %llu 1", OBJECT, 64 * DEV_MIB));
	ASSERT_EQ(0, kheap("free 0 %d 0", 100 - 100 / LEFT));
	EXPECT_FALSE(kernel_settled(-1));
	ASSERT_LE(0, dev_background(PERCENT));
	took = wait_until(kernel_settled, -1, 100);
	TH_LOG("%" PRIu64 " KiB are held, of which %" PRIu64 " are idle, after %.1f s",
	       kheap_tree(0, "scavenger", "held", 1) / DEV_KIB,
	       kheap_tree(0, "scavenger", "idle_backed", 1) / DEV_KIB, took);
	EXPECT_LE(0, took);
	EXPECT_LT(0, kheap_tree(0, "scavenger", "background", 2));
	/* The first and the last one are in use in part, and where the living begin. */
	EXPECT_LE(kheap_tree(0, "scavenger", "idle_backed", 1),
		  kheap_tree(0, "summary", "heap_inuse", 1) / 10 + 4 * BLOCK);
	EXPECT_EQ(0, kheap("look 0"));
	EXPECT_EQ(0, kheap_value("wrong"));
}

TEST_HARNESS_MAIN
