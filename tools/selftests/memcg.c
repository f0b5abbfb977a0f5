// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory cgroups: the opener's group pays for the heap, whoever touches it, and
 * its limit holds.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include "harness.h"
#include "device.h"

#define CGROUPS		"/sys/fs/cgroup"
#define BYTES		(8 * DEV_MIB)
#define RECORDS		(4 * DEV_MIB)	/* of spans and tables */
#define SLACK		(2 * DEV_MIB)	/* what is charged in advance, page tables, and the like */

static long group_write(const char *group, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), CGROUPS "/%s/%s", group, file);
	return dev_write_file(path, text);
}

/* The number in a file, or the one after a word in it; ~0 if there is none. */
static uint64_t group_read(const char *group, const char *file, const char *word)
{
	uint64_t value = ~0ULL;
	char path[128], *text, *at;

	snprintf(path, sizeof(path), CGROUPS "/%s/%s", group, file);
	text = dev_read_file(path);
	at = text && word ? strstr(text, word) : text;
	if (at)
		value = strtoull(at + (word ? strlen(word) : 0), NULL, 10);
	free(text);
	return value;
}

static bool group_enter(const char *group)
{
	return !group_write(group, "cgroup.procs", "0");
}

static uint64_t charged(const char *group)
{
	return group_read(group, "memory.current", NULL);
}

/* What is freed after a grace period is charged until then. */
static bool wait_charged_below(const char *group, uint64_t bytes)
{
	int wait;

	for (wait = 0; wait < 1200; wait++) {
		if (charged(group) < bytes)
			return true;
		usleep(50000);
	}
	return false;
}

static bool group_remove(const char *group)
{
	char path[128];
	int wait;

	snprintf(path, sizeof(path), CGROUPS "/%s", group);
	for (wait = 0; wait < 3000 && rmdir(path); wait++) {
		if (errno == ENOENT)
			return true;
		usleep(20000);
	}
	return wait < 3000;
}

FIXTURE(memcg)
{
	bool mounted;
};

FIXTURE_SETUP(memcg)
{
	char *controllers;
	bool memory;

	if (geteuid())
		SKIP(return, "root is needed to make groups");
	if (access(CGROUPS "/cgroup.controllers", F_OK)) {
		if (mount("cgroup2", CGROUPS, "cgroup2", 0, NULL))
			SKIP(return, "no cgroup v2 at " CGROUPS);
		self->mounted = true;
	}
	controllers = dev_read_file(CGROUPS "/cgroup.controllers");
	memory = controllers && strstr(controllers, "memory");
	free(controllers);
	if (!memory || group_write(".", "cgroup.subtree_control", "+memory")) {
		if (self->mounted)
			umount(CGROUPS);
		SKIP(return, "no memory controller of cgroup v2");
	}
	group_remove("goalloc-a");
	group_remove("goalloc-b");
	ASSERT_EQ(0, mkdir(CGROUPS "/goalloc-a", 0755));
	ASSERT_EQ(0, mkdir(CGROUPS "/goalloc-b", 0755));
	probe_begin();
}

FIXTURE_TEARDOWN(memcg)
{
	EXPECT_TRUE(group_enter("."));
	EXPECT_TRUE(group_remove("goalloc-a"));
	EXPECT_TRUE(group_remove("goalloc-b"));
	if (self->mounted)
		umount(CGROUPS);
}

/* A heap that group A pays for; the caller is in none afterwards. */
static int open_in_a(void)
{
	int fd = -1;

	if (group_enter("goalloc-a"))
		fd = dev_open();
	if (!group_enter(".")) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool touch_by_mapping(int fd, uint64_t addr, uint64_t bytes)
{
	char *p = dev_map(fd, addr, bytes);
	uint64_t off;

	for (off = 0; p != MAP_FAILED && off < bytes; off += DEV_PAGE)
		if (probe_write(p + off, 1))
			return false;
	return p != MAP_FAILED && !munmap(p, bytes);
}

static bool touch_by_writing(int fd, uint64_t addr, uint64_t bytes)
{
	uint64_t off;

	for (off = 0; off < bytes; off += DEV_PAGE)
		if (pwrite(fd, "t", 1, addr + off) != 1)
			return false;
	return true;
}

/* No page is touched: all is records of spans and tables. */
static bool touch_by_allocating(int fd, uint64_t addr, uint64_t bytes)
{
	int i;

	(void)addr;
	while (bytes > 0) {
		struct goalloc_memstats ms = dev_stats(fd);

		if (ms.mspan_sys + ms.gc_sys + ms.other_sys >= RECORDS)
			return true;
		for (i = 0; i < 32; i++)
			if (!dev_new(fd, 3 * DEV_MIB) || !dev_new(fd, DEV_LARGE))
				return false;
	}
	return true;
}

FIXTURE(charge)
{
	bool mounted;
};

FIXTURE_VARIANT(charge)
{
	bool (*touch)(int fd, uint64_t addr, uint64_t bytes);
	uint64_t bytes;
};

FIXTURE_VARIANT_ADD(charge, mapping) { .touch = touch_by_mapping, .bytes = BYTES };
FIXTURE_VARIANT_ADD(charge, writing) { .touch = touch_by_writing, .bytes = BYTES };
FIXTURE_VARIANT_ADD(charge, records) { .touch = touch_by_allocating, .bytes = RECORDS };

FIXTURE_SETUP(charge)
{
	memcg_setup(_metadata, (FIXTURE_DATA(memcg) *)self, NULL);
}

FIXTURE_TEARDOWN(charge)
{
	memcg_teardown(_metadata, (FIXTURE_DATA(memcg) *)self, NULL);
}

/* A process of group B touches what a process of group A has opened: A pays. */
TEST_F(charge, to_the_opener)
{
	uint64_t addr, a, b;
	int fd = open_in_a(), there[2], back[2];
	pid_t pid;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(!pipe(there) && !pipe(back));
	/* What each CPU has charged in advance would count, too. */
	ASSERT_TRUE(dev_stay());
	addr = dev_new(fd, BYTES);
	ASSERT_NE(0, addr);
	a = charged("goalloc-a");
	b = charged("goalloc-b");
	ASSERT_NE(~0ULL, a);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		bool ok = group_enter("goalloc-b") && variant->touch(fd, addr, BYTES);

		dev_tell(there[1], ok);
		close(back[1]);
		dev_hear(back[0]);
		_exit(0);
	}
	ASSERT_EQ(1, dev_hear(there[0]));
	TH_LOG("A has %" PRIu64 " KiB more, B %" PRIu64, (charged("goalloc-a") - a) / 1024,
	       (charged("goalloc-b") - b) / 1024);
	EXPECT_LE(a + variant->bytes - SLACK / 2, charged("goalloc-a"));
	EXPECT_GT(a + 2 * variant->bytes + SLACK, charged("goalloc-a"));
	EXPECT_GT(b + SLACK, charged("goalloc-b"));
	close(back[1]);
	EXPECT_EQ(0, dev_wait(pid));
	/* As long as there is the heap. */
	EXPECT_LE(a + variant->bytes - SLACK / 2, charged("goalloc-a"));
	close(fd);
	EXPECT_TRUE(wait_charged_below("goalloc-a", a + SLACK / 2));
}

/* Memory that is given back is paid for no more. */
TEST_F(memcg, given_back)
{
	int fd = open_in_a();
	uint64_t addr, a;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(dev_stay());
	addr = dev_new(fd, BYTES);
	a = charged("goalloc-a");
	ASSERT_TRUE(touch_by_mapping(fd, addr, BYTES));
	EXPECT_LE(a + BYTES - SLACK / 2, charged("goalloc-a"));
	ASSERT_EQ(0, dev_free(fd, addr));
	EXPECT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
	EXPECT_TRUE(wait_charged_below("goalloc-a", a + SLACK / 2));
	close(fd);
}

/* A group may go before its heap does; then its parent pays. */
TEST_F(memcg, group_removed)
{
	int fd = open_in_a();
	uint64_t addr, other;

	ASSERT_LE(0, fd);
	addr = dev_new(fd, BYTES);
	ASSERT_TRUE(touch_by_mapping(fd, addr, BYTES / 2));
	ASSERT_TRUE(group_remove("goalloc-a"));
	EXPECT_TRUE(touch_by_mapping(fd, addr, BYTES));
	other = dev_new(fd, BYTES);
	EXPECT_NE(0, other);
	EXPECT_TRUE(touch_by_writing(fd, other, BYTES));
	EXPECT_EQ(0, dev_free(fd, addr));
	EXPECT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
	EXPECT_TRUE(dev_balanced(fd));
	close(fd);
}

/*
 * A group at its limit in which there is no process to be killed: touching is
 * SIGBUS, writing ENOMEM, and with a higher limit all is well. The kernel's log
 * has it; its report ends nowhere, so the next test's ends it.
 */
TEST_F(memcg, nobody_to_kill)
{
	int fd = open_in_a();
	uint64_t addr, off = 0;
	char *p;

	ASSERT_LE(0, fd);
	addr = dev_new(fd, 4 * BYTES);
	p = dev_map(fd, addr, 4 * BYTES);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", "12M"));
	dev_expect(2, "invoked oom-killer");
	dev_expect(2, "no killable processes");
	while (off < 4 * BYTES && !probe_write(p + off, 'w'))
		off += DEV_PAGE;
	EXPECT_LT(4 * DEV_MIB, off);
	EXPECT_EQ(BUS_ADRERR, probe_code);
	/* What other CPUs had charged in advance has become room meanwhile. */
	while (off < 4 * BYTES && pwrite(fd, "w", 1, addr + off) == 1)
		off += DEV_PAGE;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GT(12 * DEV_MIB + DEV_PAGE, off);
	EXPECT_LE(charged("goalloc-a"), 12 * DEV_MIB);
	EXPECT_EQ(0, group_read("goalloc-a", "memory.events", "oom_kill "));
	/* What is there can be used, and read what is not. */
	EXPECT_EQ(0, probe_write(p, 'x'));
	EXPECT_EQ(1, pread(fd, &(char){ 0 }, 1, addr + off));
	EXPECT_TRUE(dev_balanced(fd));

	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", "max"));
	EXPECT_TRUE(touch_by_mapping(fd, addr + off, DEV_MIB));
	EXPECT_EQ('x', *p);
	EXPECT_EQ('w', p[off - DEV_PAGE]);
	close(fd);
}

/* A process that allocates and touches for ever, and what becomes of it. */
static void devour(void)
{
	int fd = dev_open();

	/* Each larger than the limit, which so is met by touching. */
	for (;;) {
		uint64_t addr = dev_new(fd, 64 * DEV_MIB);

		if (!addr)
			_exit(ENOMEM);
		if (!touch_by_mapping(fd, addr, 64 * DEV_MIB))
			_exit(EFAULT);
	}
}

/* Everybody else goes on meanwhile. */
TEST_F(memcg, limit_holds)
{
	uint64_t addr, kept[8], bytes = 20 * DEV_MIB, peak = 0;
	int fd = dev_open(), status, i, rounds = 0;
	pid_t pid, ended;
	char *p;

	ASSERT_LE(0, fd);
	p = dev_map_heap(fd);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 8; i++) {
		kept[i] = dev_new(fd, DEV_LARGE);
		pattern_put((char *)kept[i], DEV_LARGE, i);
	}
	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", "20971520"));
	group_write("goalloc-a", "memory.swap.max", "0");
	dev_expect(1, "invoked oom-killer");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (!group_enter("goalloc-a"))
			_exit(1);
		devour();
	}
	do {
		uint64_t now = charged("goalloc-a");

		peak = now > peak ? now : peak;
		addr = dev_new(fd, 20 * DEV_PAGE);
		ASSERT_NE(0, addr);
		memset((char *)addr, rounds, 20 * DEV_PAGE);
		ASSERT_EQ(0, dev_free(fd, addr));
		ASSERT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
		rounds++;
		usleep(2000);
		ended = waitpid(pid, &status, WNOHANG);
	} while (!ended);
	ASSERT_EQ(pid, ended);
	TH_LOG("it had %" PRIu64 " KiB, and ended with status %#x", peak / 1024, status);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(1, group_read("goalloc-a", "memory.events", "oom_kill "));
	/* What it is charged while it dies is beyond the limit. */
	EXPECT_LE(peak, bytes + SLACK / 2);
	/* Who looks may come late; the group has not missed it. */
	EXPECT_LT(bytes / 2, group_read("goalloc-a", "memory.peak", NULL));
	/* All of it is free again, and nobody else's is harmed. */
	EXPECT_TRUE(wait_charged_below("goalloc-a", SLACK));
	for (i = 0; i < 8; i++)
		EXPECT_TRUE(pattern_is((char *)kept[i], DEV_LARGE, i));
	EXPECT_EQ(8, dev_stats(fd).heap_objects);
	EXPECT_TRUE(dev_balanced(fd));
	close(fd);
}

/* An ioctl for which there is no room fails, and nobody is killed for it. */
TEST_F(memcg, allocation_at_the_limit)
{
	int fd = open_in_a(), i;
	uint64_t addr;
	char max[32];
	long ret = 0;

	ASSERT_LE(0, fd);
	ASSERT_NE(0, dev_new(fd, DEV_LARGE));
	snprintf(max, sizeof(max), "%llu", charged("goalloc-a") + 3 * DEV_MIB);
	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", max));
	for (i = 0; i < 200000 && !ret; i++)
		ret = dev_alloc(fd, DEV_LARGE, 0, &addr);
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_LT(100, i);
	EXPECT_TRUE(dev_balanced(fd));
	EXPECT_EQ(i, dev_stats(fd).heap_objects);
	EXPECT_EQ(0, group_read("goalloc-a", "memory.events", "oom_kill "));
	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", "max"));
	EXPECT_EQ(0, dev_alloc(fd, DEV_LARGE, 0, &addr));
	close(fd);
}

/* Files that are opened, and no more, cost their opener's group what they cost. */
TEST_F(memcg, opened_files)
{
	enum { FILES = 100 };
	int fds[FILES], i, tries = 0;
	uint64_t a;
	int64_t taken;

	/* What all heaps share is there. */
	fds[0] = open_in_a();
	ASSERT_LE(0, fds[0]);
	close(fds[0]);
	/* What the machine has free depends on others, too: they do not disturb each time. */
	do {
		EXPECT_TRUE(wait_charged_below("goalloc-a", FILES * 20 * DEV_KIB));
		a = charged("goalloc-a");
		taken = dev_memory_free();
		for (i = 0; i < FILES; i++) {
			fds[i] = open_in_a();
			ASSERT_LE(0, fds[i]);
		}
		a = (charged("goalloc-a") - a) / FILES;
		taken = (taken - (int64_t)dev_memory_free()) / FILES;
		TH_LOG("%" PRIu64 " bytes of %" PRId64 " for each", a, taken);
		for (i = 0; i < FILES; i++)
			close(fds[i]);
	} while ((a <= 20 * DEV_KIB || taken / 4 >= (int64_t)a) && ++tries < 8);
	EXPECT_LT(20 * DEV_KIB, a);
	if (!dev_slow())
		EXPECT_LT(taken / 4, (int64_t)a);
	EXPECT_TRUE(wait_charged_below("goalloc-a", FILES * 20 * DEV_KIB));
}

/* The limit of the opener's group is no limit of another heap, whoever uses it. */
TEST_F(memcg, limit_of_one_heap)
{
	int fd = open_in_a(), other;
	uint64_t addr;

	ASSERT_LE(0, fd);
	other = dev_open();
	ASSERT_LE(0, other);
	ASSERT_EQ(0, group_write("goalloc-a", "memory.max", "12M"));
	addr = dev_new(other, 2 * BYTES);
	EXPECT_TRUE(touch_by_mapping(other, addr, 2 * BYTES));
	EXPECT_TRUE(touch_by_mapping(fd, dev_new(fd, 4 * DEV_MIB), 4 * DEV_MIB));
	EXPECT_EQ(0, group_read("goalloc-a", "memory.events", "oom_kill "));
	close(fd);
	close(other);
}

TEST_HARNESS_MAIN
