// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine short of memory. Heaps hold most of it idle, then somebody wants four
 * fifths of it: a process, or another heap from inside its own first touches and
 * its own page allocation. Nobody gives idle memory back but the shrinker, and
 * nobody is killed.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "kheap.h"

#define OBJECT		DEV_MIB
#define KERNEL_OBJECT	3000ULL	/* of a kernel heap, where it is a small one */
#define KEPT		16	/* one of so many stays */

enum holder { NOBODY, FILE_HEAP, KERNEL_HEAP };

enum taker { PROCESS, TOUCHING, WRITING, KERNEL };

FIXTURE(idle)
{
	long background;
	int heaps;
	int fd;
	char *map;
	uint64_t total;		/* of the machine */
	uint64_t *objects;	/* that stay */
	unsigned int num_objects;
	uint64_t held;		/* bytes that the heap had at most */
	uint64_t released;	/* bytes that had no memory then, of a file's */
};

FIXTURE_VARIANT(idle)
{
	enum holder holder;
	enum taker taker;
};

#define IDLE(_holder, _taker)							\
	FIXTURE_VARIANT_ADD(idle, _holder ## _ ## _taker) {			\
		.holder = _holder, .taker = _taker,				\
	}

/* That it is not too much when nobody holds memory. */
IDLE(NOBODY, PROCESS);
IDLE(NOBODY, TOUCHING);
IDLE(NOBODY, WRITING);
IDLE(NOBODY, KERNEL);
IDLE(FILE_HEAP, PROCESS);
IDLE(FILE_HEAP, TOUCHING);
IDLE(FILE_HEAP, WRITING);
IDLE(FILE_HEAP, KERNEL);
IDLE(KERNEL_HEAP, PROCESS);
IDLE(KERNEL_HEAP, TOUCHING);
IDLE(KERNEL_HEAP, WRITING);
IDLE(KERNEL_HEAP, KERNEL);

FIXTURE_SETUP(idle)
{
	self->heaps = dev_heaps();
	self->background = dev_background(0);
	self->total = dev_memory("MemTotal");
	ASSERT_LT(256 * DEV_MIB, self->total);
	self->objects = calloc(self->total / OBJECT, sizeof(*self->objects));
	ASSERT_NE(NULL, self->objects);
	ASSERT_EQ(0, module_load("kheap", ""));
	ASSERT_EQ(0, kheap("create 0"));
	ASSERT_EQ(0, kheap("create 1"));
	self->fd = dev_open();
	ASSERT_LE(0, self->fd);
	self->map = dev_map_heap(self->fd);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(idle)
{
	munmap(self->map, DEV_SPACE);
	close(self->fd);
	EXPECT_EQ(0, module_unload("kheap"));
	EXPECT_TRUE(dev_wait_heaps(self->heaps));
	if (self->background > 0)
		dev_background(self->background);
}

/* What FIXTURE_DATA() stands for, which checkpatch takes for a product. */
static uint64_t scavenger(const struct _test_data_idle *self, enum holder holder, const char *name,
			  int word)
{
	return holder == KERNEL_HEAP ? kheap_tree(0, "scavenger", name, word) :
				       dev_tree_value(self->fd, "scavenger", name, word);
}

/*
 * So much is idle. The kernel may have begun to take it: what is in neither figure
 * just now comes into one.
 */
static bool has_idle(const struct _test_data_idle *self, enum holder holder, uint64_t bytes)
{
	int i;

	for (i = 0; i < 600; i++) {
		if (scavenger(self, holder, "idle_backed", 1) +
		    scavenger(self, holder, "reclaim", 2) >= bytes)
			return true;
		usleep(100000);
	}
	return false;
}

/* A file heap gets so much memory, and keeps a sixteenth of it in use. */
static bool hold_in_file(struct _test_data_idle *self, uint64_t bytes)
{
	int fd = self->fd;
	uint64_t *all = calloc(bytes / OBJECT, sizeof(*all)), i;
	bool ok = true;

	for (i = 0; i < bytes / OBJECT; i++) {
		all[i] = dev_new(fd, OBJECT);
		ok &= !!all[i];
		pattern_put((char *)all[i], OBJECT, i);
	}
	self->held = scavenger(self, FILE_HEAP, "held", 1);
	self->released = dev_stats(fd).heap_released;
	for (i = 0; i < bytes / OBJECT; i++)
		if (i % KEPT)
			ok &= !dev_free(fd, all[i]);
		else
			self->objects[self->num_objects++] = all[i];
	free(all);
	return ok;
}

/* What stays are the last ones, so that whole blocks are idle. */
static bool hold_in_kernel(struct _test_data_idle *self, uint64_t bytes)
{
	if (kheap("fill 0 -1 %llu %llu 1", KERNEL_OBJECT, bytes) || kheap_value("bytes") < bytes)
		return false;
	/* And a block in the kernel's hands just now. */
	self->held = scavenger(self, KERNEL_HEAP, "held", 1) + 2 * DEV_MIB;
	return !kheap("free 0 %d 0", 100 - 100 / KEPT);
}

static bool take_as_process(uint64_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t off;

	if (p == MAP_FAILED)
		return false;
	for (off = 0; off < bytes; off += 4096)
		*(uint64_t *)(p + off) = off;
	for (off = 0; off < bytes; off += 4096)
		if (*(uint64_t *)(p + off) != off)
			return false;
	return true;
}

/* In a heap of its own. */
static bool take_in_file(uint64_t bytes, bool touch)
{
	int fd = dev_open();
	char *map = dev_map_at(fd, NULL, DEV_SPACE, PROT_READ | PROT_WRITE, DEV_BASE);
	uint64_t done, off, value, first = 0;

	if (map == MAP_FAILED)
		return false;
	for (done = 0; done < bytes; done += OBJECT) {
		uint64_t addr = dev_new(fd, OBJECT);

		if (!addr)
			return false;
		if (!first)
			first = addr;
		for (off = 0; off < OBJECT; off += DEV_PAGE)
			if (touch)
				*(uint64_t *)(map + (addr - DEV_BASE) + off) = addr + off;
			else if (pwrite(fd, &(uint64_t){ addr + off }, 8, addr + off) != 8)
				return false;
	}
	for (off = 0; off < bytes; off += DEV_PAGE)
		if (pread(fd, &value, 8, first + off) != 8 || value != first + off)
			return false;
	return dev_backed(fd) >= bytes;
}

static bool take_in_kernel(uint64_t bytes)
{
	return !kheap("fill 1 -1 %llu %llu 1", KERNEL_OBJECT, bytes) &&
	       kheap_value("bytes") >= bytes && !kheap("look 1") && !kheap_value("wrong") &&
	       !kheap("destroy 1");
}

/* The exit status of a process that takes it: 0 if it got all, -1 if it was killed. */
static int take(enum taker taker, uint64_t bytes)
{
	pid_t pid = fork();
	bool ok = false;

	if (pid)
		return pid < 0 ? 2 : dev_wait(pid);
	/* If somebody must go, then not the one who tells. */
	dev_write_file("/proc/self/oom_score_adj", "1000");
	if (taker == PROCESS)
		ok = take_as_process(bytes);
	else if (taker == KERNEL)
		ok = take_in_kernel(bytes);
	else
		ok = take_in_file(bytes, taker == TOUCHING);
	_exit(!ok);
}

/* Reclaim from inside our own allocations is what lockdep is to see. */
static bool tried_when_slow(enum holder holder, enum taker taker)
{
	if (holder == KERNEL_HEAP)
		return taker == WRITING;
	return holder == FILE_HEAP && (taker == TOUCHING || taker == KERNEL);
}

TEST_F_TIMEOUT(idle, taken, 120)
{
	uint64_t wanted = self->total / 5 * 4, held = self->total / 5 * 3;
	uint64_t reclaimed = 0, given = 0, available, i;
	double begin;

	if (dev_slow() && !tried_when_slow(variant->holder, variant->taker))
		SKIP(return, "tried on the kernels that are quick");
	EXPECT_LE(0, self->background) TH_LOG("the background cannot be turned off");
	/* A block of 2 MiB at the end of each object is what a kernel heap may add. */
	if (variant->taker == KERNEL)
		wanted = self->total / 4 * 3;
	if (variant->holder == FILE_HEAP) {
		ASSERT_TRUE(hold_in_file(self, held));
		EXPECT_TRUE(has_idle(self, FILE_HEAP, held / KEPT * (KEPT - 1) - 2 * OBJECT));
	} else if (variant->holder == KERNEL_HEAP) {
		ASSERT_TRUE(hold_in_kernel(self, held));
		EXPECT_TRUE(has_idle(self, KERNEL_HEAP, held / KEPT * (KEPT - 1)));
	}
	/* What is used is in the way of whoever takes. */
	if (variant->holder != NOBODY) {
		wanted -= held / KEPT;
		given = scavenger(self, variant->holder, "reclaim", 2);
	}
	available = dev_memory("MemAvailable");
	begin = dev_seconds();
	EXPECT_EQ(0, take(variant->taker, wanted));
	if (variant->holder != NOBODY)
		reclaimed = scavenger(self, variant->holder, "reclaim", 2);
	TH_LOG("%" PRIu64 " MiB of %" PRIu64 " taken where %" PRIu64
	       " were available, %" PRIu64 " given back, in %.1f s", wanted / DEV_MIB,
	       self->total / DEV_MIB, available / DEV_MIB, (reclaimed - given) / DEV_MIB,
	       dev_seconds() - begin);
	if (variant->holder == NOBODY)
		return;
	ASSERT_NE(~0ULL, reclaimed) TH_LOG("the scavenger says nothing of reclaim");
	EXPECT_LT(wanted, available + reclaimed - given + self->total / 20);
	EXPECT_LE(reclaimed, self->held);
	if (variant->holder == KERNEL_HEAP) {
		ASSERT_EQ(0, kheap("look 0"));
		EXPECT_EQ(0, kheap_value("wrong"));
		EXPECT_EQ(0, kheap("fill 0 -1 %llu %llu 1", KERNEL_OBJECT, held / KEPT));
		EXPECT_EQ(0, kheap("look 0"));
		EXPECT_EQ(0, kheap_value("wrong"));
		return;
	}
	/* Whoever reclaims may be at it still. */
	for (i = 0; i < 600 && self->released + reclaimed != dev_stats(self->fd).heap_released;
	     i++) {
		usleep(100000);
		reclaimed = scavenger(self, FILE_HEAP, "reclaim", 2);
	}
	EXPECT_EQ(self->released + reclaimed, dev_stats(self->fd).heap_released);
	EXPECT_TRUE(dev_balanced(self->fd));
	for (i = 0; i < self->num_objects; i++)
		EXPECT_TRUE(pattern_is((char *)self->objects[i], OBJECT, i * KEPT));
	for (i = 0; i < 8; i++) {
		uint64_t addr = dev_new(self->fd, OBJECT);

		ASSERT_NE(0, addr);
		EXPECT_TRUE(bytes_are((char *)addr, OBJECT, 0));
	}
}

/*
 * A heap whose own holes are what is idle: too small for what it is asked for, so
 * that it wants new memory while it holds as much.
 */
FIXTURE(holes)
{
	FIXTURE_DATA(idle) of;
};

FIXTURE_SETUP(holes)
{
	idle_setup(_metadata, &self->of, NULL);
}

FIXTURE_TEARDOWN(holes)
{
	idle_teardown(_metadata, &self->of, NULL);
}

TEST_F_TIMEOUT(holes, taken, 120)
{
	uint64_t total = self->of.total, held = total / 5 * 3, n = held / DEV_LARGE, i, off;
	uint64_t *objects, reclaimed, wanted = total / 5 * 4 - held / KEPT;
	int fd = self->of.fd;

	objects = calloc(n, sizeof(*objects));
	for (i = 0; i < n; i++) {
		objects[i] = dev_new(fd, DEV_LARGE);
		ASSERT_NE(0, objects[i]);
		pattern_put((char *)objects[i], DEV_LARGE, i);
	}
	for (i = 0; i < n; i++)
		if (i % KEPT)
			ASSERT_EQ(0, dev_free(fd, objects[i]));
	TH_LOG("%" PRIu64 " MiB of %" PRIu64 " to be taken where %" PRIu64 " are available",
	       wanted / DEV_MIB, total / DEV_MIB, dev_memory("MemAvailable") / DEV_MIB);
	for (i = 0; i < wanted; i += 4 * OBJECT) {
		uint64_t addr = dev_new(fd, 4 * OBJECT);

		ASSERT_NE(0, addr);
		for (off = 0; off < 4 * OBJECT; off += DEV_PAGE)
			*(char *)(addr + off) = 1;
	}
	reclaimed = scavenger(&self->of, FILE_HEAP, "reclaim", 2);
	TH_LOG("%" PRIu64 " MiB given back", reclaimed / DEV_MIB);
	EXPECT_LT(held / 4, reclaimed);
	for (i = 0; i < n; i += KEPT)
		EXPECT_TRUE(pattern_is((char *)objects[i], DEV_LARGE, i));
	EXPECT_TRUE(dev_balanced(fd));
	free(objects);
}

TEST_HARNESS_MAIN
