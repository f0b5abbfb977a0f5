// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wrong uses, and what comes of them: Documentation/reliability.rst has a line for
 * each. Those of a kernel module are made by modules/misuse.c.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "harness.h"
#include "device.h"
#include "kheap.h"

#define FILE_OF_MODULE	"/sys/kernel/debug/misuse"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* In a kernel module. */

FIXTURE(module)
{
	long background;	/* it makes holes in blocks */
	int heaps;
};

FIXTURE_SETUP(module)
{
	self->heaps = dev_heaps();
	if (geteuid() || self->heaps < 0)
		SKIP(return, "for root, and with debugfs");
	self->background = dev_background(0);
	ASSERT_EQ(0, module_load("misuse", ""));
}

FIXTURE_TEARDOWN(module)
{
	EXPECT_EQ(0, module_unload("misuse"));
	dev_background(self->background);
	/* Nothing is left of what was misused. */
	EXPECT_EQ(self->heaps, dev_heaps());
}

static uint64_t module_says(const char *name)
{
	uint64_t value;

	dev_line(FILE_OF_MODULE, name, 1, &value);
	return value;
}

static void misuse(struct __test_metadata *_metadata, const char *what, uint64_t least)
{
	ASSERT_EQ(0, dev_write_file(FILE_OF_MODULE, what));
	EXPECT_EQ(0, module_says("wrong")) TH_LOG("line %" PRIu64, module_says("line"));
	EXPECT_LE(least, module_says("tried"));
	TH_LOG("%" PRIu64 " answers", module_says("tried"));
}

/* An object knows its heap. */
TEST_F(module, freed_among_another_heaps)
{
	misuse(_metadata, "heaps", 40);
}

TEST_F_TIMEOUT(module, freed_by_two_cpus_at_once, 120)
{
	misuse(_metadata, "twice", 400 * 64 * 3);
	EXPECT_EQ(400 * 64, module_says("pairs"));
	/*
	 * How many depends on how closely the two keep step, which is the machine's.
	 * On a file's heap there are none, see threads.double_free_race.
	 */
	EXPECT_GT(400 * 64, module_says("late"));
	TH_LOG("%" PRIu64 " pairs, %" PRIu64 " told late", module_says("pairs"),
	       module_says("late"));
}

TEST_F_TIMEOUT(module, freed_inside, 60)
{
	misuse(_metadata, "interior", 10000);
}

TEST_F_TIMEOUT(module, written_over, 120)
{
	misuse(_metadata, "overflow", 10000);
}

TEST_F(module, heap_destroyed)
{
	dev_expect(1, "goalloc: heap [0-9]+ .misuse. destroyed with 12 objects");
	dev_expect(9, "goalloc:   class [0-9]+ .[0-9]+ bytes.: [0-9]+ not freed");
	misuse(_metadata, "destroyed", 20);
}

TEST_F(module, class_destroyed)
{
	dev_expect(1, "goalloc: class .misuse. of heap [0-9]+ destroyed with 20 objects");
	misuse(_metadata, "class", 40);
}

/* Of a heap nothing is left but files that somebody has open, and they lead nowhere. */
TEST_F(module, files_of_a_destroyed_heap)
{
	static const struct {
		const char *name;
		int mode;
	} files[] = {
		{ "name", O_RDWR }, { "limit", O_RDWR }, { "max", O_RDWR },
		{ "gc_percent", O_RDWR }, { "scavenge", O_WRONLY }, { "summary", O_RDONLY },
		{ "faults", O_RDONLY }, { "spans", O_RDONLY }, { "memstats/by_size", O_RDONLY },
	};
	int fds[ARRAY_SIZE(files)];
	char byte = '1';
	unsigned int i;

	ASSERT_EQ(0, module_load("kheap", ""));
	ASSERT_EQ(0, kheap("create 0"));
	ASSERT_EQ(0, kheap("fill 0 -1 100 100000 1"));
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fds[i] = open(kheap_path(0, files[i].name), files[i].mode | O_CLOEXEC);
		EXPECT_LE(0, fds[i]) TH_LOG("%s", files[i].name);
	}
	ASSERT_EQ(0, kheap("destroy 0"));
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (files[i].mode != O_WRONLY) {
			EXPECT_EQ(-1, read(fds[i], &byte, 1)) TH_LOG("%s", files[i].name);
			EXPECT_EQ(EIO, errno);
		}
		if (files[i].mode != O_RDONLY) {
			EXPECT_EQ(-1, write(fds[i], &byte, 1)) TH_LOG("%s", files[i].name);
			EXPECT_EQ(EIO, errno);
		}
		close(fds[i]);
	}
	EXPECT_EQ(0, module_unload("kheap"));
}

/* In a program. */

FIXTURE(heap)
{
	int fd;
	int heaps;
};

FIXTURE_SETUP(heap)
{
	self->heaps = dev_heaps();
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	probe_begin();
}

FIXTURE_TEARDOWN(heap)
{
	close(self->fd);
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

/*
 * A process writes over all of its heap that there is: every page of every span, to
 * the last byte. Nothing that the allocator goes by is there.
 */
TEST_F_TIMEOUT(heap, written_over, 60)
{
	static const uint64_t sizes[] = { 3, 8, 12, 48, 100, 1024, 3000, 32768, 40000, 300000 };
	enum { N = 1000 };
	uint64_t addrs[N], again[N], end = DEV_BASE, addr, n;
	struct goalloc_memstats ms;
	unsigned int byte, i;

	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	for (byte = 0; byte < 3; byte++) {
		for (i = 0; i < N; i++) {
			addrs[i] = dev_new(self->fd, sizes[i % ARRAY_SIZE(sizes)]);
			ASSERT_NE(0, addrs[i]);
			if (addrs[i] + sizes[i % ARRAY_SIZE(sizes)] > end)
				end = addrs[i] + sizes[i % ARRAY_SIZE(sizes)];
		}
		for (addr = DEV_BASE, n = 0; addr < end; addr++)
			if (!probe_write((char *)addr, byte ? byte * 0x77 : 0xff))
				n++;
			else
				addr |= DEV_PAGE - 1;	/* no span is there */
		ms = dev_stats(self->fd);
		EXPECT_LE(ms.heap_alloc, n);
		EXPECT_EQ(N, ms.heap_objects);
		EXPECT_TRUE(dev_balanced(self->fd));
		for (i = 0; i < N; i++) {
			EXPECT_GT(0, dev_free(self->fd, addrs[i] + 1));
			ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
			EXPECT_GT(0, dev_free(self->fd, addrs[i]));
		}
		EXPECT_EQ(0, dev_stats(self->fd).heap_objects);
	}
	/* What is made now is zeroed all the same, and nothing comes out twice. */
	for (i = 0; i < N; i++) {
		again[i] = dev_new(self->fd, 1000);
		EXPECT_TRUE(bytes_are((void *)again[i], 1024, 0));
		memset((void *)again[i], 0x42, 1024);
	}
	for (i = 0; i < N; i++)
		EXPECT_EQ(0, dev_free(self->fd, again[i]));
	EXPECT_TRUE(dev_balanced(self->fd));
	munmap((void *)DEV_BASE, DEV_SPACE);
}

/* Children that close the file, unmap it, end, or become something else. */
static void *go_on(void *arg)
{
	int fd = (intptr_t)arg, i;
	static unsigned long bad;
	uint64_t addr;

	for (i = 0; i < 3000; i++) {
		addr = dev_new(fd, 1 + i % 9000);
		*(volatile char *)addr = i;
		bad += *(volatile char *)addr != (char)i || dev_free(fd, addr);
	}
	return (void *)bad;
}

TEST_F_TIMEOUT(heap, closed_by_children, 60)
{
	uint64_t addr, before;
	pthread_t thread;
	void *bad;
	int i, status;

	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	addr = dev_new(self->fd, DEV_LARGE);
	ASSERT_NE(0, addr);
	memset((void *)addr, 0x5a, DEV_LARGE);
	before = dev_stats(self->fd).heap_objects;
	ASSERT_EQ(0, pthread_create(&thread, NULL, go_on, (void *)(intptr_t)self->fd));
	for (i = 0; i < 24; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			switch (i % 4) {
			case 0:
				close(self->fd);
				_exit(*(char *)addr != 0x5a);
			case 1:
				munmap((void *)DEV_BASE, DEV_SPACE);
				close(self->fd);
				_exit(fcntl(self->fd, F_GETFD) != -1);
			case 2:
				close(STDERR_FILENO);
				execl("/proc/self/exe", "misuse", "-h", NULL);
				_exit(99);
			default:
				kill(getpid(), SIGKILL);
			}
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (i % 4 < 2)
			EXPECT_EQ(0, status);
	}
	ASSERT_EQ(0, pthread_join(thread, &bad));
	EXPECT_EQ(NULL, bad);
	EXPECT_TRUE(bytes_are((void *)addr, DEV_LARGE, 0x5a));
	EXPECT_EQ(before, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(0, dev_free(self->fd, addr));
	EXPECT_TRUE(dev_balanced(self->fd));
	munmap((void *)DEV_BASE, DEV_SPACE);
}

/* A file that is closed while others are in the middle of calls with it. */
static volatile int shared_fd;
static volatile bool closing_over;
static unsigned int rounds_of_calls;

static void *call_on(void *arg)
{
	static const uint64_t sizes[64] = { 64, 128, 70000, 9 };
	uint64_t addrs[64], n = 0;
	char byte;

	(void)arg;
	while (!closing_over) {
		int fd = shared_fd;
		long done = dev_alloc_batch(fd, sizes, addrs, 64);

		if (done > 0) {
			if (pread(fd, &byte, 1, addrs[2]) == 1) {
				n++;
				__atomic_fetch_add(&rounds_of_calls, 1, __ATOMIC_RELAXED);
			}
			dev_free_batch(fd, addrs, done);
		}
		dev_scavenge(fd, GOALLOC_NO_LIMIT);
	}
	return (void *)n;
}

TEST_F_TIMEOUT(heap, closed_during_calls, 60)
{
	double until = dev_seconds() + 2;
	pthread_t threads[3];
	unsigned int i, closed;
	uint64_t done = 0;
	void *n;

	shared_fd = dev_open();
	ASSERT_LE(0, shared_fd);
	closing_over = false;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call_on, NULL));
	for (closed = 0; dev_seconds() < until ||
	     (!__atomic_load_n(&rounds_of_calls, __ATOMIC_RELAXED) && dev_seconds() < until + 60);
	     closed++) {
		int next = dev_open(), old = shared_fd;

		ASSERT_LE(0, next);
		shared_fd = next;
		usleep(closed % 700);
		close(old);
	}
	closing_over = true;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &n));
		done += (uintptr_t)n;
	}
	close(shared_fd);
	TH_LOG("%u files closed, %" PRIu64 " rounds of calls", closed, done);
	EXPECT_LT(0, done);
	/* The fixture waits until none of the heaps is left. */
}

/* rmmod. */

static long unload(void)
{
	return module_unload("goalloc");
}

static bool loaded(void)
{
	return !access("/sys/module/goalloc", F_OK);
}

static long load_again(void)
{
	int fd = open("/goalloc.ko", O_RDONLY | O_CLOEXEC);
	long ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	close(fd);
	return ret;
}

FIXTURE(rmmod)
{
	int fd;
};

FIXTURE_SETUP(rmmod)
{
	if (geteuid() || access("/goalloc.ko", R_OK))
		SKIP(return, "for root, where the module is at hand");
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
}

FIXTURE_TEARDOWN(rmmod)
{
	close(self->fd);
	/* Whatever went wrong, those that follow want it. */
	if (!loaded())
		EXPECT_EQ(0, load_again());
}

/* Who has anything of it keeps it. */
TEST_F(rmmod, refused)
{
	char path[256];
	char *p;
	int fd;

	EXPECT_EQ(-EWOULDBLOCK, unload());
	/* A mapping without a file. */
	p = dev_map(self->fd, dev_new(self->fd, DEV_LARGE), DEV_LARGE);
	ASSERT_NE(MAP_FAILED, p);
	snprintf(path, sizeof(path), "%s", dev_tree_path(self->fd, "summary"));
	close(self->fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	*p = 1;
	/* A file of its heap in debugfs, and then nothing else. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_TRUE(fd >= 0 || !dev_tree());
	EXPECT_EQ(-EWOULDBLOCK, unload());
	munmap(p, DEV_LARGE);
	if (fd >= 0) {
		EXPECT_EQ(-EWOULDBLOCK, unload());
		/* The heap is gone meanwhile. */
		EXPECT_EQ(-1, read(fd, path, 1));
		EXPECT_EQ(EIO, errno);
		close(fd);
	}
	/* A module that uses it. */
	ASSERT_EQ(0, module_load("misuse", ""));
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(0, module_unload("misuse"));
	EXPECT_TRUE(loaded());
	self->fd = dev_open();
	EXPECT_LE(0, self->fd);
	EXPECT_NE(0, dev_new(self->fd, 100));
}

/* How long users keep away besides, in ms; of all processes. */
static volatile unsigned int *away;

/* Uses it whenever it is there, for a moment each. */
static void use_for_ever(uint64_t state)
{
	for (;;) {
		int fd = dev_open();
		uint64_t addr = dev_new(fd, DEV_LARGE);
		char *p = dev_map(fd, addr, DEV_LARGE);

		if (fd < 0) {
			usleep(300);
			continue;
		}
		close(fd);
		if (p != MAP_FAILED && addr)
			*p = 1;
		usleep(dev_random(&state) % 1500);
		munmap(p, DEV_LARGE);
		usleep(dev_random(&state) % 1500 + *away * 1000);
	}
}

/*
 * Not a file of debugfs: when one is opened between the two stores by which a module is
 * marked as going the kernel warns, whoever's it is (full_proxy_open(), 6.12).
 */
static void read_for_ever(void)
{
	for (;;) {
		free(dev_read_file(DEV_PARAMS "limit"));
		free(dev_read_file("/sys/module/goalloc/refcnt"));
		free(dev_read_file("/proc/misc"));
		usleep(200);
	}
}

/* Unloaded and loaded while others open, map, close and ask all the time. */
TEST_F_TIMEOUT(rmmod, in_a_race, 120)
{
	unsigned int gone = 0, refused = 0, odd = 0;
	double until = dev_seconds() + (dev_slow() ? 6 : 3);
	pid_t pids[3];
	int i;

	close(self->fd);
	self->fd = -1;
	away = mmap(NULL, sizeof(*away), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)away);
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			if (i)
				use_for_ever(dev_seed() + i);
			read_for_ever();
		}
	}
	/* It needs a moment in which nobody has it, and one in which somebody has. */
	while (dev_seconds() < until || (!(gone && refused) && dev_seconds() < until + 60)) {
		long ret = unload();

		refused += ret == -EWOULDBLOCK;
		odd += ret && ret != -EWOULDBLOCK;
		if (!ret) {
			gone++;
			ASSERT_EQ(0, load_again());
		} else if (!gone && dev_seconds() > until) {
			/* Where opening and closing take long somebody has it nearly always. */
			*away = 100 + (dev_seconds() - until) * 100;
		}
	}
	for (i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	TH_LOG("unloaded %u times, refused %u times", gone, refused);
	EXPECT_LT(0, gone);
	EXPECT_LT(0, refused);
	EXPECT_EQ(0, odd);
	EXPECT_TRUE(loaded());
	self->fd = dev_open();
	EXPECT_LE(0, self->fd);
	EXPECT_NE(0, dev_new(self->fd, 100));
}

TEST_HARNESS_MAIN
