// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a heap can be told: limits, a name, to give memory back; and what it
 * tells besides its books: SEEK_DATA, poll(), fdinfo.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include "harness.h"
#include "device.h"

/* A large object that is easily multiplied. */
#define OBJECT	(5 * DEV_PAGE)

/* Idle memory is counted here to the page: the background leaves it alone. */
FIXTURE(heap)
{
	int fd;
	long background;
};

FIXTURE_SETUP(heap)
{
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	probe_begin();
}

FIXTURE_TEARDOWN(heap)
{
	close(self->fd);
	if (self->background > 0)
		dev_background(self->background);
}

/* Touches each page of an object by pwrite(). */
static bool touch(int fd, uint64_t addr, uint64_t bytes)
{
	uint64_t off;

	for (off = 0; off < bytes; off += DEV_PAGE)
		if (pwrite(fd, "t", 1, addr + off) != 1)
			return false;
	return true;
}

/* A live object whose pages all have memory, or 0. */
static uint64_t new_touched(int fd, uint64_t bytes)
{
	uint64_t addr = dev_new(fd, bytes);

	return addr && touch(fd, addr, bytes) ? addr : 0;
}

/* Idle memory that could be given back. */
static uint64_t idle(int fd)
{
	struct goalloc_memstats ms = dev_stats(fd);

	return ms.heap_idle - ms.heap_released;
}

TEST_F(heap, features)
{
	struct goalloc_info info = { .size = sizeof(info) };

	ASSERT_EQ(0, dev_ioctl(self->fd, GOALLOC_IOC_INFO, &info));
	EXPECT_EQ(GOALLOC_FEATURE_NAME | GOALLOC_FEATURE_SEEK | GOALLOC_FEATURE_POLL,
		  info.features & 7);
}

TEST_F(heap, defaults)
{
	uint64_t value;

	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_LIMIT, &value));
	EXPECT_EQ(GOALLOC_NO_LIMIT, value);
	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_MAX, &value));
	EXPECT_EQ(GOALLOC_NO_LIMIT, value);
	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_GC_PERCENT, &value));
	EXPECT_TRUE(value <= GOALLOC_GC_PERCENT_MAX || value == GOALLOC_NO_LIMIT);
}

TEST_F(heap, values)
{
	static const struct {
		uint32_t id;
		uint64_t value;
		long ret;
	} values[] = {
		{ GOALLOC_PARAM_LIMIT, 0, 0 },
		{ GOALLOC_PARAM_LIMIT, 1, 0 },
		{ GOALLOC_PARAM_LIMIT, DEV_PAGE - 1, 0 },
		{ GOALLOC_PARAM_LIMIT, DEV_GIB, 0 },
		{ GOALLOC_PARAM_LIMIT, DEV_SPACE + 1, 0 },
		{ GOALLOC_PARAM_LIMIT, 1ULL << 63, 0 },
		{ GOALLOC_PARAM_LIMIT, ~0ULL - 1, 0 },
		{ GOALLOC_PARAM_LIMIT, ~0ULL, 0 },
		{ GOALLOC_PARAM_MAX, 0, 0 },
		{ GOALLOC_PARAM_MAX, 1, 0 },
		{ GOALLOC_PARAM_MAX, DEV_PAGE + 1, 0 },
		{ GOALLOC_PARAM_MAX, DEV_SPACE, 0 },
		{ GOALLOC_PARAM_MAX, 1ULL << 63, 0 },
		{ GOALLOC_PARAM_MAX, ~0ULL - 1, 0 },
		{ GOALLOC_PARAM_MAX, ~0ULL, 0 },
		{ GOALLOC_PARAM_GC_PERCENT, 0, 0 },
		{ GOALLOC_PARAM_GC_PERCENT, 1, 0 },
		{ GOALLOC_PARAM_GC_PERCENT, 100, 0 },
		{ GOALLOC_PARAM_GC_PERCENT, 100000, 0 },
		{ GOALLOC_PARAM_GC_PERCENT, 100001, -EINVAL },
		{ GOALLOC_PARAM_GC_PERCENT, ~0U, -EINVAL },
		{ GOALLOC_PARAM_GC_PERCENT, 1ULL << 32, -EINVAL },
		{ GOALLOC_PARAM_GC_PERCENT, 1ULL << 63, -EINVAL },
		{ GOALLOC_PARAM_GC_PERCENT, ~0ULL - 1, -EINVAL },
		{ GOALLOC_PARAM_GC_PERCENT, ~0ULL, 0 },
		{ 0, 0, -EOPNOTSUPP },
		{ 4, 0, -EOPNOTSUPP },
		{ 1 << 16, 1, -EOPNOTSUPP },
		{ 1U << 31 | GOALLOC_PARAM_MAX, 1, -EOPNOTSUPP },
		{ ~0U, ~0ULL, -EOPNOTSUPP },
	};
	uint64_t last[4], seen;
	uint32_t id;
	size_t i;

	for (id = 1; id < 4; id++)
		ASSERT_EQ(0, dev_get(self->fd, id, &last[id]));
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_EQ(values[i].ret, dev_set(self->fd, values[i].id, values[i].value))
			TH_LOG("id %u, value %#" PRIx64, values[i].id, values[i].value);
		if (!values[i].ret)
			last[values[i].id] = values[i].value;
		if (values[i].ret == -EOPNOTSUPP)
			EXPECT_EQ(-EOPNOTSUPP, dev_get(self->fd, values[i].id, &seen));
		for (id = 1; id < 4; id++) {
			EXPECT_EQ(0, dev_get(self->fd, id, &seen));
			EXPECT_EQ(last[id], seen);
		}
	}
}

/* One heap's parameters are not another's. */
TEST_F(heap, values_apart)
{
	int other = dev_open();
	uint64_t value;

	ASSERT_LE(0, other);
	EXPECT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 0));
	EXPECT_EQ(0, dev_get(other, GOALLOC_PARAM_MAX, &value));
	EXPECT_EQ(GOALLOC_NO_LIMIT, value);
	EXPECT_EQ(0, dev_new(self->fd, OBJECT));
	EXPECT_NE(0, dev_new(other, OBJECT));
	close(other);
}

/* The same parameters in debugfs. */
TEST_F(heap, values_in_debugfs)
{
	static const struct {
		const char *file;
		uint32_t id;
	} files[] = {
		{ "limit", GOALLOC_PARAM_LIMIT },
		{ "max", GOALLOC_PARAM_MAX },
		{ "gc_percent", GOALLOC_PARAM_GC_PERCENT },
	};
	uint64_t value;
	char *text;
	size_t i;

	if (!dev_tree())
		SKIP(return, "debugfs is not to be had");
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		EXPECT_EQ(0, dev_set(self->fd, files[i].id, 12345));
		text = dev_read_file(dev_tree_path(self->fd, files[i].file));
		ASSERT_NE(NULL, text);
		EXPECT_STREQ("12345\n", text);
		free(text);
		EXPECT_EQ(0, dev_write_file(dev_tree_path(self->fd, files[i].file), "54321\n"));
		EXPECT_EQ(0, dev_get(self->fd, files[i].id, &value));
		EXPECT_EQ(54321, value);
		EXPECT_EQ(0, dev_write_file(dev_tree_path(self->fd, files[i].file), "none"));
		EXPECT_EQ(0, dev_get(self->fd, files[i].id, &value));
		EXPECT_EQ(GOALLOC_NO_LIMIT, value);
		EXPECT_EQ(-EINVAL, dev_write_file(dev_tree_path(self->fd, files[i].file), "much"));
		EXPECT_EQ(-EINVAL, dev_write_file(dev_tree_path(self->fd, files[i].file), "-1"));
		EXPECT_EQ(0, dev_get(self->fd, files[i].id, &value));
		EXPECT_EQ(GOALLOC_NO_LIMIT, value);
	}
	EXPECT_EQ(-EINVAL, dev_write_file(dev_tree_path(self->fd, "gc_percent"), "100001"));
}

/* The hard limit. */

TEST_F(heap, max_to_the_page)
{
	static const struct {
		uint64_t max;
		unsigned int objects;
	} maxima[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ OBJECT - 1, 0 },
		{ OBJECT, 1 },
		{ OBJECT + 1, 1 },
		{ 3 * OBJECT - 1, 2 },
		{ 3 * OBJECT, 3 },
		{ 3 * OBJECT + DEV_PAGE - 1, 3 },
		{ 4 * OBJECT - DEV_PAGE, 3 },
		{ 25 * OBJECT, 25 },
	};
	uint64_t addrs[32];
	unsigned int n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(maxima); i++) {
		struct goalloc_memstats before;

		ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, maxima[i].max));
		for (n = 0; n < maxima[i].objects; n++) {
			addrs[n] = dev_new(self->fd, OBJECT);
			ASSERT_NE(0, addrs[n]) TH_LOG("max %" PRIu64 ", object %u",
						      maxima[i].max, n);
		}
		before = dev_stats(self->fd);
		EXPECT_EQ(n * OBJECT, before.heap_inuse);
		EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, OBJECT, 0, &addrs[n]));
		EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, DEV_GIB, 0, &addrs[n]));
		/* That changed nothing. */
		EXPECT_EQ(before.mallocs, dev_stats(self->fd).mallocs);
		EXPECT_EQ(before.heap_inuse, dev_stats(self->fd).heap_inuse);
		/* One goes, one may come. */
		if (n) {
			EXPECT_EQ(0, dev_free(self->fd, addrs[n - 1]));
			addrs[n - 1] = dev_new(self->fd, OBJECT);
			EXPECT_NE(0, addrs[n - 1]);
			EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, OBJECT, 0, &addrs[n]));
			EXPECT_EQ(n, dev_free_batch(self->fd, addrs, n));
		}
		EXPECT_EQ(0, dev_stats(self->fd).heap_inuse);
	}
}

/* Small objects come in spans: the last of them is cut off, no page is added. */
TEST_F(heap, max_of_small_objects)
{
	uint64_t sizes[1024], addrs[1024], max = 64 * DEV_PAGE, made = 0;
	long n;
	int i;

	/* Another CPU would have a span of its own. */
	ASSERT_TRUE(dev_stay());
	for (i = 0; i < 1024; i++)
		sizes[i] = 100;
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, max));
	while ((n = dev_alloc_batch(self->fd, sizes, addrs, 1024)) > 0) {
		made += n;
		EXPECT_LE(dev_stats(self->fd).heap_inuse, max);
		ASSERT_GT(10000, made);
	}
	EXPECT_EQ(-ENOMEM, n);
	/* 73 in a page. */
	EXPECT_LE(60 * 73, made);
	EXPECT_LE(made, 64 * 73);
	EXPECT_EQ(made, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(max, dev_stats(self->fd).heap_inuse);
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, max + DEV_PAGE));
	EXPECT_EQ(73, dev_alloc_batch(self->fd, sizes, addrs, 1024));
}

/* What one CPU has kept of a heap is no reason for another to fail. */
static void max_on_any_cpu(struct __test_metadata *_metadata, int fd)
{
	const uint64_t most = 4 * DEV_PAGE;
	unsigned int round, cpus, i;
	uint64_t addrs[4], more;
	cpu_set_t all, one;
	int cpu;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	ASSERT_EQ(0, dev_set(fd, GOALLOC_PARAM_MAX, most));
	for (round = 0; round < 4; round++) {
		for (cpu = 0, cpus = 0; cpu < CPU_SETSIZE && cpus < 8; cpu++) {
			if (!CPU_ISSET(cpu, &all))
				continue;
			cpus++;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
			/* In turn one to a span, many, and all of it. */
			for (i = 0; i < 4; i++) {
				addrs[i] = dev_new(fd, round % 2 ? DEV_PAGE : i % 2 ? 2000 : 1000);
				EXPECT_NE(0, addrs[i]) TH_LOG("round %u, CPU %d", round, cpu);
			}
			EXPECT_EQ(-ENOMEM, dev_alloc(fd, most, 0, &more));
			for (i = 0; i < 4; i++)
				EXPECT_EQ(0, dev_free(fd, addrs[i]));
			EXPECT_EQ(0, dev_alloc(fd, most, 0, &more));
			EXPECT_EQ(0, dev_free(fd, more));
		}
	}
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), &all));
	ASSERT_EQ(0, dev_set(fd, GOALLOC_PARAM_MAX, GOALLOC_NO_LIMIT));
}

TEST_F(heap, max_on_any_cpu)
{
	max_on_any_cpu(_metadata, self->fd);
	/* When it is mapped, spans may return a little later. */
	ASSERT_NE(MAP_FAILED, dev_map(self->fd, DEV_BASE, DEV_MIB));
	max_on_any_cpu(_metadata, self->fd);
}

/*
 * A realtime task that lets no worker run on its CPU: who waits there for what it has
 * cached can be killed. (Since 6.12 others have their part for all that.)
 */
TEST_F_TIMEOUT(heap, max_beside_a_hog, 120)
{
	const char *const runtime = "/proc/sys/kernel/sched_rt_runtime_us";
	struct sched_param fifo = { .sched_priority = 1 };
	double begin, until;
	char *was = dev_read_file(runtime);
	volatile int *const stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cpu_set_t all, first, other;
	pid_t hog, waiter;
	int cpu, status;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&first);
	CPU_ZERO(&other);
	for (cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&other); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, CPU_COUNT(&first) ? &other : &first);
	if (!CPU_COUNT(&other) || !was)
		SKIP(return, "there is one CPU");
	ASSERT_NE(MAP_FAILED, stop);
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, DEV_PAGE));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(other), &other));
	ASSERT_EQ(0, dev_free(self->fd, dev_new(self->fd, DEV_PAGE)));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(first), &first));
	ASSERT_EQ(0, dev_write_file(runtime, "-1"));
	/* It has to be set back whatever happens. */
	until = dev_seconds() + 60;
	hog = fork();
	if (!hog) {
		if (sched_setaffinity(0, sizeof(other), &other) ||
		    sched_setscheduler(0, SCHED_FIFO, &fifo))
			_exit(1);
		*stop = -1;
		while (*stop != 1 && dev_seconds() < until)
			;
		_exit(0);
	}
	while (hog > 0 && !*stop && dev_seconds() < until)
		usleep(1000);
	waiter = fork();
	if (!waiter)
		_exit(!dev_new(self->fd, 100));
	usleep(300000);
	if (waiter > 0) {
		kill(waiter, SIGKILL);
		begin = dev_seconds();
		EXPECT_EQ(waiter, waitpid(waiter, &status, 0));
		TH_LOG("gone after %.3f s", dev_seconds() - begin);
		/* Before the hog has gone by itself. */
		EXPECT_LT(dev_seconds(), until);
	}
	*stop = 1;
	EXPECT_LT(0, waiter);
	EXPECT_LT(0, hog);
	if (hog > 0) {
		EXPECT_EQ(hog, waitpid(hog, &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(0, dev_write_file(runtime, was));
	EXPECT_NE(0, dev_new(self->fd, 100));
	free(was);
	munmap((void *)stop, 4096);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(all), &all));
}

TEST_F(heap, max_below_use)
{
	uint64_t addrs[10], more;
	int i;

	for (i = 0; i < 10; i++) {
		addrs[i] = new_touched(self->fd, OBJECT);
		ASSERT_NE(0, addrs[i]);
	}
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 4 * OBJECT));
	/* What is there stays, and works. */
	EXPECT_EQ(10 * OBJECT, dev_stats(self->fd).heap_inuse);
	for (i = 0; i < 10; i++)
		EXPECT_TRUE(touch(self->fd, addrs[i], OBJECT));
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, OBJECT, 0, &more));
		EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, 100, 0, &more));
		EXPECT_EQ(0, dev_free(self->fd, addrs[i]));
	}
	EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, OBJECT, 0, &more));
	EXPECT_EQ(0, dev_free(self->fd, addrs[6]));
	EXPECT_EQ(0, dev_alloc(self->fd, OBJECT, 0, &more));
	EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, OBJECT, 0, &more));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, GOALLOC_NO_LIMIT));
	EXPECT_EQ(0, dev_alloc(self->fd, OBJECT, 0, &more));
}

/* Everybody against the hard limit at once: threads, in several processes. */
enum { CROWD_MAX = 3 * 1024 * 1024 };

struct crowd {
	int fd;
	double until;
	unsigned int over;	/* samples in which more was in use */
	unsigned int samples;
	unsigned int refused;
	unsigned int odd;
	unsigned int made;
};

static struct crowd *crowd;

/* For some time, and until everything has happened that should. */
static bool crowd_goes_on(void)
{
	double now = dev_seconds();

	return now < crowd->until ||
	       (now < crowd->until + 60 &&
		!(__atomic_load_n(&crowd->refused, __ATOMIC_RELAXED) &&
		  __atomic_load_n(&crowd->made, __ATOMIC_RELAXED) &&
		  __atomic_load_n(&crowd->samples, __ATOMIC_RELAXED)));
}

static void count(unsigned int *what)
{
	__atomic_fetch_add(what, 1, __ATOMIC_RELAXED);
}

static void *press(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg, addrs[64] = { 0 };

	while (crowd_goes_on()) {
		uint64_t r = dev_random(&state), i = r % 64;
		long ret;

		if (addrs[i]) {
			if (dev_free(crowd->fd, addrs[i]))
				count(&crowd->odd);
			addrs[i] = 0;
			continue;
		}
		ret = dev_alloc(crowd->fd, r & 64 ? r % 3000 + 16 : r % 200000 + 16, 0, &addrs[i]);
		if (!ret)
			count(&crowd->made);
		else if (ret == -ENOMEM)
			count(&crowd->refused);
		else
			count(&crowd->odd);
	}
	if (arg)
		return NULL;
	/* The last word is a sample of one who has objects still. */
	if (dev_stats(crowd->fd).heap_inuse > CROWD_MAX)
		count(&crowd->over);
	return NULL;
}

static void *sample(void *arg)
{
	(void)arg;
	while (crowd_goes_on()) {
		count(&crowd->samples);
		if (dev_stats(crowd->fd).heap_inuse > CROWD_MAX)
			count(&crowd->over);
	}
	return NULL;
}

static void press_together(void)
{
	pthread_t threads[4];
	uintptr_t i;

	for (i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, press, (void *)(i + getpid() * 16UL)))
			count(&crowd->odd);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

TEST_F_TIMEOUT(heap, max_in_a_crowd, 60)
{
	uint64_t addrs[128];
	pthread_t sampler;
	pid_t pids[2];
	int i, n;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, crowd);
	crowd->fd = self->fd;
	crowd->until = dev_seconds() + 3;
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, CROWD_MAX));
	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			press_together();
			_exit(0);
		}
	}
	ASSERT_EQ(0, pthread_create(&sampler, NULL, sample, NULL));
	press_together();
	pthread_join(sampler, NULL);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, dev_wait(pids[i]));
	TH_LOG("%u objects, %u refused, %u samples", crowd->made, crowd->refused,
	       crowd->samples);
	EXPECT_EQ(0, crowd->over);
	EXPECT_EQ(0, crowd->odd);
	EXPECT_LT(0, crowd->made);
	EXPECT_LT(0, crowd->refused);
	EXPECT_LT(0, crowd->samples);
	EXPECT_LE(dev_stats(self->fd).heap_inuse, CROWD_MAX);
	EXPECT_TRUE(dev_balanced(self->fd));
	/* Fill what is left to the last page. */
	for (n = 0; n < 128 && !dev_alloc(self->fd, OBJECT, 0, &addrs[n]); n++)
		;
	EXPECT_LE(dev_stats(self->fd).heap_inuse, CROWD_MAX);
	EXPECT_GT(dev_stats(self->fd).heap_inuse, CROWD_MAX - OBJECT);
}

/* The soft limit. */

TEST_F(heap, limit_gives_back_first)
{
	uint64_t hole, mine, before;
	int i;

	/* A hole of 4 MiB of idle memory, which the next object does not fit in. */
	hole = new_touched(self->fd, 4 * DEV_MIB);
	ASSERT_NE(0, hole);
	ASSERT_NE(0, new_touched(self->fd, OBJECT));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 8 * DEV_MIB));
	ASSERT_EQ(0, dev_free(self->fd, hole));
	mine = dev_new(self->fd, 6 * DEV_MIB);
	ASSERT_LT(hole, mine);
	before = dev_stats(self->fd).heap_released;
	ASSERT_TRUE(touch(self->fd, mine, 6 * DEV_MIB));
	EXPECT_LE(dev_backed(self->fd), 8 * DEV_MIB);
	EXPECT_LE(before + 2 * DEV_MIB, dev_stats(self->fd).heap_released);

	/* And beyond the limit, where nothing is idle any more. */
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 1 * DEV_MIB));
	EXPECT_EQ(0, idle(self->fd));
	for (i = 0; i < 10; i++)
		EXPECT_NE(0, new_touched(self->fd, 300000));
	EXPECT_LT(8 * DEV_MIB, dev_backed(self->fd));
	EXPECT_TRUE(dev_balanced(self->fd));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 0));
	EXPECT_NE(0, new_touched(self->fd, 300000));
}

/* Touching through a mapping is held to the same. */
TEST_F(heap, limit_of_a_mapping)
{
	uint64_t hole = new_touched(self->fd, 4 * DEV_MIB), mine, off;
	char *p;

	ASSERT_NE(0, hole);
	ASSERT_NE(0, dev_new(self->fd, OBJECT));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 6 * DEV_MIB));
	ASSERT_EQ(0, dev_free(self->fd, hole));
	mine = dev_new(self->fd, 8 * DEV_MIB);
	p = dev_map(self->fd, mine, 8 * DEV_MIB);
	ASSERT_NE(MAP_FAILED, p);
	for (off = 0; off < 8 * DEV_MIB; off += DEV_PAGE)
		ASSERT_EQ(0, probe_write(p + off, 1));
	EXPECT_EQ(0, idle(self->fd));
	EXPECT_EQ(8 * DEV_MIB, dev_backed(self->fd));
}

/* SCAVENGE. Most of the heap is in use, so that nobody else thinks of it. */

FIXTURE(scavenge)
{
	int fd;
	long background;
	uint64_t addr;	/* an object, touched, with something live on both sides */
};

enum { SCAV_PAGES = 64 };

FIXTURE_SETUP(scavenge)
{
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_NE(0, new_touched(self->fd, 6 * DEV_MIB));
	self->addr = new_touched(self->fd, SCAV_PAGES * DEV_PAGE);
	ASSERT_NE(0, self->addr);
	ASSERT_NE(0, new_touched(self->fd, OBJECT));
}

FIXTURE_TEARDOWN(scavenge)
{
	close(self->fd);
	if (self->background > 0)
		dev_background(self->background);
}

FIXTURE_VARIANT(scavenge)
{
	uint64_t bytes;
	uint64_t released;
};

#define SCAVENGE_VARIANT(_name, _bytes, _released)			\
	FIXTURE_VARIANT_ADD(scavenge, _name) {				\
		.bytes = _bytes, .released = _released,			\
	}

SCAVENGE_VARIANT(nothing, 0, 0);
SCAVENGE_VARIANT(byte, 1, DEV_PAGE);
SCAVENGE_VARIANT(page, DEV_PAGE, DEV_PAGE);
SCAVENGE_VARIANT(page_and_a_byte, DEV_PAGE + 1, 2 * DEV_PAGE);
SCAVENGE_VARIANT(all_but_one, (SCAV_PAGES - 1) * DEV_PAGE, (SCAV_PAGES - 1) * DEV_PAGE);
SCAVENGE_VARIANT(all, SCAV_PAGES * DEV_PAGE, SCAV_PAGES * DEV_PAGE);
SCAVENGE_VARIANT(more_than_there_is, SCAV_PAGES * DEV_PAGE + 1, SCAV_PAGES * DEV_PAGE);
SCAVENGE_VARIANT(much_more, 1ULL << 62, SCAV_PAGES * DEV_PAGE);
SCAVENGE_VARIANT(almost_no_limit, ~0ULL - 1, SCAV_PAGES * DEV_PAGE);
SCAVENGE_VARIANT(no_limit, ~0ULL, SCAV_PAGES * DEV_PAGE);

/* What a CPU has set aside for itself is idle, too. */
TEST_F(heap, scavenge_what_is_set_aside)
{
	const uint64_t pages = 64, bytes = pages * DEV_PAGE;
	struct goalloc_memstats ms;
	uint64_t addr;

	ASSERT_TRUE(dev_stay());
	addr = new_touched(self->fd, bytes);
	ASSERT_NE(0, addr);
	ASSERT_TRUE(touch(self->fd, addr, bytes));
	ASSERT_EQ(0, dev_free(self->fd, addr));
	ASSERT_NE(0, dev_new(self->fd, 8));
	ms = dev_stats(self->fd);
	ASSERT_LT(16 * DEV_PAGE, ms.heap_idle - ms.heap_released);
	EXPECT_EQ(DEV_PAGE, dev_scavenge(self->fd, DEV_PAGE));
	EXPECT_EQ(10 * DEV_PAGE, dev_scavenge(self->fd, 10 * DEV_PAGE));
	EXPECT_EQ(ms.heap_released + 11 * DEV_PAGE, dev_stats(self->fd).heap_released);
	EXPECT_TRUE(dev_balanced(self->fd));
}

TEST_F(scavenge, amount)
{
	uint64_t backed = dev_backed(self->fd), page;
	struct goalloc_memstats before, after;

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	before = dev_stats(self->fd);
	ASSERT_EQ(SCAV_PAGES * DEV_PAGE, before.heap_idle - before.heap_released);
	EXPECT_EQ(variant->released, dev_scavenge(self->fd, variant->bytes));
	after = dev_stats(self->fd);
	EXPECT_EQ(before.heap_released + variant->released, after.heap_released);
	EXPECT_EQ(before.heap_idle, after.heap_idle);
	EXPECT_EQ(before.heap_inuse, after.heap_inuse);
	EXPECT_EQ(before.heap_objects, after.heap_objects);
	EXPECT_EQ(backed - variant->released, dev_backed(self->fd));
	EXPECT_TRUE(dev_balanced(self->fd));

	/* The highest addresses went: of the same object's pages the last ones. */
	ASSERT_EQ(self->addr, dev_new(self->fd, SCAV_PAGES * DEV_PAGE));
	for (page = 0; page < SCAV_PAGES; page++) {
		uint64_t at = self->addr + page * DEV_PAGE;
		bool kept = page * DEV_PAGE < SCAV_PAGES * DEV_PAGE - variant->released;

		EXPECT_EQ(kept, (uint64_t)lseek(self->fd, at, SEEK_DATA) == at);
		EXPECT_EQ(!kept, (uint64_t)lseek(self->fd, at, SEEK_HOLE) == at);
	}
	EXPECT_EQ(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
}

/* So much no CPU sets aside: freed, it is the heap's at once. */
#define HOLE	(20 * DEV_PAGE)

/* Idle pages here and there, given back one by one: from the highest down. */
TEST_F(heap, scavenged_from_the_top)
{
	uint64_t addrs[12], kept = dev_new(self->fd, 512 * DEV_MIB);
	int i, k, left;

	ASSERT_NE(0, kept);
	for (i = 0; i < 12; i++) {
		addrs[i] = new_touched(self->fd, i == 5 ? 9 * DEV_MIB : HOLE);
		ASSERT_NE(0, addrs[i]);
		ASSERT_TRUE(!i || addrs[i - 1] < addrs[i]);
	}
	for (i = 0; i < 12; i += 2)
		ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
	for (left = 10; left >= 0; left -= 4) {
		/* Two of the holes at a time, of which the lower holds the rest. */
		EXPECT_EQ(2 * HOLE - DEV_PAGE, dev_scavenge(self->fd, 2 * HOLE - DEV_PAGE));
		EXPECT_EQ((left - 2) / 2 * HOLE + DEV_PAGE, idle(self->fd));
		EXPECT_EQ(DEV_PAGE, dev_scavenge(self->fd, DEV_PAGE));
	}
	EXPECT_EQ(0, idle(self->fd));
	/* Which ones they were is seen by who still has memory when used again. */
	for (i = 0; i < 12; i += 2)
		ASSERT_EQ(addrs[i], dev_new(self->fd, HOLE));
	for (i = 0; i < 12; i += 2)
		ASSERT_TRUE(touch(self->fd, addrs[i], HOLE));
	for (i = 0; i < 12; i += 2)
		ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
	EXPECT_EQ(3 * HOLE, dev_scavenge(self->fd, 3 * HOLE));
	for (i = 0; i < 12; i += 2)
		ASSERT_EQ(addrs[i], dev_new(self->fd, HOLE));
	for (i = 0; i < 12; i += 2)
		for (k = 0; k < (int)(HOLE / DEV_PAGE); k++)
			EXPECT_EQ(i < 6, (uint64_t)lseek(self->fd, addrs[i] + k * DEV_PAGE,
							 SEEK_DATA) == addrs[i] + k * DEV_PAGE);
}

/* Empty spans that size classes keep at hand are idle to the one who wants all. */
TEST_F(heap, scavenged_from_reserve)
{
	uint64_t sizes[1024], addrs[1024];
	struct goalloc_memstats ms;
	int i, class;

	ASSERT_TRUE(dev_stay());
	for (class = 16; class <= 4096; class *= 2) {
		for (i = 0; i < 1024; i++)
			sizes[i] = class;
		ASSERT_EQ(1024, dev_alloc_batch(self->fd, sizes, addrs, 1024));
		for (i = 0; i < 1024; i += 2)
			ASSERT_EQ(4, pwrite(self->fd, "used", 4, addrs[i]));
		ASSERT_EQ(1024, dev_free_batch(self->fd, addrs, 1024));
	}
	EXPECT_LT(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	ms = dev_stats(self->fd);
	EXPECT_EQ(0, ms.heap_objects);
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
	/* A CPU may hold a span of each of the nine classes. */
	EXPECT_LE(ms.heap_inuse, 2 * 9 * DEV_PAGE);
	EXPECT_LE(dev_backed(self->fd), ms.heap_inuse);
	EXPECT_TRUE(dev_balanced(self->fd));
}

TEST_F(heap, scavenge_arguments)
{
	struct goalloc_scavenge arg;
	uint64_t addr = new_touched(self->fd, OBJECT);
	int bit;

	/* A heap in which nothing is idle, and nothing to be had of it. */
	ASSERT_NE(0, addr);
	EXPECT_EQ(0, dev_scavenge(self->fd, 0));
	EXPECT_EQ(0, dev_scavenge(self->fd, 1));
	EXPECT_EQ(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	ASSERT_NE(0, new_touched(self->fd, OBJECT));
	ASSERT_EQ(0, dev_free(self->fd, addr));
	for (bit = 0; bit < 32; bit++) {
		arg = (struct goalloc_scavenge){
			.size = sizeof(arg), .flags = 1U << bit, .bytes = ~0ULL, .released = 77,
		};
		EXPECT_EQ(-EOPNOTSUPP, dev_ioctl(self->fd, GOALLOC_IOC_SCAVENGE, &arg));
		EXPECT_EQ(77, arg.released);
	}
	EXPECT_EQ(OBJECT, idle(self->fd));
}

/* What is live is not touched by it. */
TEST_F(heap, scavenged_beside_the_living)
{
	enum { OBJECTS = 40 };
	uint64_t addrs[OBJECTS], buf[OBJECT / 8], state = dev_seed();
	int i;

	for (i = 0; i < OBJECTS; i++) {
		addrs[i] = dev_new(self->fd, OBJECT);
		pattern_put(buf, OBJECT, i);
		ASSERT_EQ(OBJECT, pwrite(self->fd, buf, OBJECT, addrs[i]));
	}
	for (i = 0; i < OBJECTS; i += 2)
		ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
	while (dev_scavenge(self->fd, dev_random(&state) % 100000) > 0)
		;
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(OBJECTS / 2 * OBJECT, dev_backed(self->fd));
	for (i = 1; i < OBJECTS; i += 2) {
		ASSERT_EQ(OBJECT, pread(self->fd, buf, OBJECT, addrs[i]));
		EXPECT_TRUE(pattern_is(buf, OBJECT, i));
	}
}

/* SEEK_DATA and SEEK_HOLE. */

static int64_t seek(int fd, uint64_t offset, int whence)
{
	off_t ret = lseek(fd, offset, whence);

	return ret < 0 ? -errno : ret;
}

TEST_F(heap, seek)
{
	uint64_t addr;
	char byte;

	EXPECT_EQ(-ENXIO, seek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(-ENXIO, seek(self->fd, DEV_BASE, SEEK_DATA));
	EXPECT_EQ(0, seek(self->fd, 0, SEEK_HOLE));
	EXPECT_EQ(DEV_BASE, seek(self->fd, DEV_BASE, SEEK_HOLE));
	addr = dev_new(self->fd, 10 * DEV_PAGE);
	ASSERT_NE(0, addr);
	EXPECT_EQ(-ENXIO, seek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(addr, seek(self->fd, addr, SEEK_HOLE));

	/* Pages 2, 3 and 7; reading adds none. */
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, addr + 2 * DEV_PAGE + 5000));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, addr + 4 * DEV_PAGE - 1));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, addr + 7 * DEV_PAGE));
	EXPECT_EQ(1, pread(self->fd, &byte, 1, addr + 5 * DEV_PAGE));
	EXPECT_EQ(addr + 2 * DEV_PAGE, seek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(addr + 2 * DEV_PAGE, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(addr + 2 * DEV_PAGE, seek(self->fd, addr, SEEK_DATA));
	EXPECT_EQ(addr + 2 * DEV_PAGE, seek(self->fd, addr + 2 * DEV_PAGE - 1, SEEK_DATA));
	EXPECT_EQ(addr + 2 * DEV_PAGE + 77, seek(self->fd, addr + 2 * DEV_PAGE + 77, SEEK_DATA));
	EXPECT_EQ(addr + 4 * DEV_PAGE, seek(self->fd, addr + 2 * DEV_PAGE, SEEK_HOLE));
	EXPECT_EQ(addr + 4 * DEV_PAGE, seek(self->fd, addr + 3 * DEV_PAGE + 1, SEEK_HOLE));
	EXPECT_EQ(addr + 4 * DEV_PAGE + 9, seek(self->fd, addr + 4 * DEV_PAGE + 9, SEEK_HOLE));
	EXPECT_EQ(addr + 7 * DEV_PAGE, seek(self->fd, addr + 4 * DEV_PAGE, SEEK_DATA));
	EXPECT_EQ(addr + 8 * DEV_PAGE, seek(self->fd, addr + 7 * DEV_PAGE, SEEK_HOLE));
	EXPECT_EQ(addr + 8 * DEV_PAGE, lseek(self->fd, 0, SEEK_CUR));

	/* Behind the last one, and behind the end. A failure moves nothing. */
	EXPECT_EQ(-ENXIO, seek(self->fd, addr + 8 * DEV_PAGE, SEEK_DATA));
	EXPECT_EQ(DEV_BASE + DEV_SPACE - 1, seek(self->fd, DEV_BASE + DEV_SPACE - 1, SEEK_HOLE));
	EXPECT_EQ(-ENXIO, seek(self->fd, DEV_BASE + DEV_SPACE, SEEK_HOLE));
	EXPECT_EQ(-ENXIO, seek(self->fd, DEV_BASE + DEV_SPACE, SEEK_DATA));
	EXPECT_EQ(-ENXIO, seek(self->fd, 1ULL << 62, SEEK_DATA));
	EXPECT_EQ(-ENXIO, seek(self->fd, -1, SEEK_DATA));
	EXPECT_EQ(DEV_BASE + DEV_SPACE - 1, lseek(self->fd, 0, SEEK_CUR));

	/* With the object its data goes. */
	EXPECT_EQ(0, dev_free(self->fd, addr));
	EXPECT_EQ(-ENXIO, seek(self->fd, 0, SEEK_DATA));
}

/* All data there is adds up to what is behind the heap. */
TEST_F(heap, seek_through)
{
	uint64_t state = dev_seed(), addrs[30], data, sum = 0;
	int64_t at;
	int i;

	for (i = 0; i < 30; i++) {
		uint64_t bytes = 33000 + dev_random(&state) % 900000;

		addrs[i] = dev_new(self->fd, i % 10 ? bytes : 5 * DEV_MIB);
		ASSERT_NE(0, addrs[i]);
		for (at = dev_random(&state) % 30000; at < (int64_t)bytes;
		     at += dev_random(&state) % 60000)
			ASSERT_EQ(1, pwrite(self->fd, "d", 1, addrs[i] + at));
	}
	for (i = 0; i < 30; i += 3)
		ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
	ASSERT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	for (at = 0; (at = seek(self->fd, at, SEEK_DATA)) >= 0; ) {
		EXPECT_EQ(0, at % DEV_PAGE);
		data = at;
		at = seek(self->fd, at, SEEK_HOLE);
		ASSERT_LT(data, at);
		EXPECT_EQ(0, at % DEV_PAGE);
		sum += at - data;
	}
	EXPECT_EQ(-ENXIO, at);
	EXPECT_LT(100 * DEV_PAGE, sum);
	EXPECT_EQ(dev_backed(self->fd), sum);
}

/* poll() */

static short poll_now(int fd)
{
	struct pollfd p = { .fd = fd, .events = ~POLLNVAL };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

#define ALWAYS	(POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

TEST_F(heap, poll)
{
	struct epoll_event event = { .events = EPOLLPRI, .data.u64 = 42 }, seen;
	uint64_t addr;
	int ep;

	ep = epoll_create1(0);
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &event));
	EXPECT_EQ(ALWAYS, poll_now(self->fd));
	addr = new_touched(self->fd, 4 * DEV_MIB);
	ASSERT_NE(0, addr);
	EXPECT_EQ(ALWAYS, poll_now(self->fd));
	EXPECT_EQ(0, epoll_wait(ep, &seen, 1, 0));

	/* A limit above what it holds, and one under it. */
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 64 * DEV_MIB));
	EXPECT_EQ(ALWAYS, poll_now(self->fd));
	EXPECT_EQ(0, epoll_wait(ep, &seen, 1, 0));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 4 * DEV_MIB));
	EXPECT_EQ(ALWAYS | POLLPRI, poll_now(self->fd));
	EXPECT_EQ(1, epoll_wait(ep, &seen, 1, 60000));
	EXPECT_EQ(EPOLLPRI, seen.events);
	EXPECT_EQ(42, seen.data.u64);
	/* As long as it is so. */
	EXPECT_EQ(1, epoll_wait(ep, &seen, 1, 0));
	EXPECT_EQ(ALWAYS | POLLPRI, poll_now(self->fd));

	ASSERT_EQ(0, dev_free(self->fd, addr));
	ASSERT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(ALWAYS, poll_now(self->fd));
	EXPECT_EQ(0, epoll_wait(ep, &seen, 1, 0));

	/* The heap itself is more than nothing. */
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 0));
	EXPECT_EQ(ALWAYS | POLLPRI, poll_now(self->fd));
	EXPECT_EQ(1, epoll_wait(ep, &seen, 1, 60000));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT));
	EXPECT_EQ(ALWAYS, poll_now(self->fd));
	EXPECT_EQ(0, epoll_wait(ep, &seen, 1, 0));
	close(ep);
}

struct sleeper {
	pthread_t thread;
	int fd;
	bool by_epoll;
	int woken;	/* what poll() returned */
	unsigned int events;
	bool awake;
	double slept;
};

/* Who is not woken looks again when this is over, and sees that he might have been. */
#define SLEEP_MS	60000

static void *sleep_until_limit(void *arg)
{
	struct epoll_event event = { .events = EPOLLPRI }, seen = { 0 };
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLPRI };
	double begin = dev_seconds();
	int ep;

	if (s->by_epoll) {
		ep = epoll_create1(0);
		epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &event);
		s->woken = epoll_wait(ep, &seen, 1, SLEEP_MS);
		s->events = seen.events;
		close(ep);
	} else {
		s->woken = poll(&p, 1, SLEEP_MS);
		s->events = p.revents;
	}
	s->slept = dev_seconds() - begin;
	__atomic_store_n(&s->awake, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Those who sleep until the limit is reached, woken by what may reach it. */
static void wake_sleepers(struct __test_metadata *_metadata, int fd, bool (*reach)(int fd))
{
	struct sleeper sleepers[3];
	int i;

	for (i = 0; i < 3; i++) {
		sleepers[i] = (struct sleeper){ .fd = fd, .by_epoll = i == 1 };
		ASSERT_EQ(0, pthread_create(&sleepers[i].thread, NULL, sleep_until_limit,
					    &sleepers[i]));
	}
	usleep(300000);
	for (i = 0; i < 3; i++)
		EXPECT_FALSE(__atomic_load_n(&sleepers[i].awake, __ATOMIC_ACQUIRE));
	EXPECT_TRUE(reach(fd));
	for (i = 0; i < 3; i++) {
		pthread_join(sleepers[i].thread, NULL);
		EXPECT_EQ(1, sleepers[i].woken);
		EXPECT_EQ(POLLPRI, sleepers[i].events);
		EXPECT_GT(SLEEP_MS / 1000 - 1, sleepers[i].slept);
	}
}

static bool reach_by_writing(int fd)
{
	return new_touched(fd, 3 * DEV_MIB) != 0;
}

static bool reach_by_touching(int fd)
{
	uint64_t addr = dev_new(fd, 3 * DEV_MIB), off;
	char *p = dev_map(fd, addr, 3 * DEV_MIB);

	for (off = 0; p != MAP_FAILED && off < 3 * DEV_MIB; off += DEV_PAGE)
		p[off] = 1;
	return p != MAP_FAILED;
}

/* Without a touch: the spans' own records are memory as well. */
static bool reach_by_allocating(int fd)
{
	int i;

	for (i = 0; i < 20; i++)
		if (!dev_new(fd, 64 * DEV_MIB + i * DEV_PAGE))
			return false;
	for (i = 0; i < 5000; i++)
		if (!dev_new(fd, 32768))
			return false;
	return true;
}

static bool reach_by_setting(int fd)
{
	return !dev_set(fd, GOALLOC_PARAM_LIMIT, 1);
}

TEST_F(heap, poll_woken_by_write)
{
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 2 * DEV_MIB));
	wake_sleepers(_metadata, self->fd, reach_by_writing);
}

TEST_F(heap, poll_woken_by_touch)
{
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 2 * DEV_MIB));
	wake_sleepers(_metadata, self->fd, reach_by_touching);
}

TEST_F(heap, poll_woken_by_allocation)
{
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, DEV_MIB / 2));
	wake_sleepers(_metadata, self->fd, reach_by_allocating);
}

TEST_F(heap, poll_woken_by_limit)
{
	wake_sleepers(_metadata, self->fd, reach_by_setting);
}

/* Names. */

static void expect_name(struct __test_metadata *_metadata, int fd, const char *name)
{
	char seen[64] = "", *text;

	EXPECT_TRUE(dev_fdinfo_text(fd, "heap-name", seen, sizeof(seen)));
	EXPECT_STREQ(name, seen);
	if (!dev_tree())
		return;
	text = dev_read_file(dev_tree_path(fd, "name"));
	ASSERT_NE(NULL, text);
	EXPECT_EQ(0, strncmp(text, name, strlen(name))) TH_LOG("debugfs has %s", text);
	EXPECT_STREQ("\n", text + strlen(name));
	free(text);
}

TEST_F(heap, name)
{
	static const char longest[] = "12345678901234567890123456789012345678901234567";
	struct goalloc_name arg = { .size = sizeof(arg) };
	char comm[32] = "", own[64];
	int other, i;

	prctl(PR_GET_NAME, comm);
	snprintf(own, sizeof(own), "%s:%d", comm, getpid());
	expect_name(_metadata, self->fd, own);
	EXPECT_EQ(0, dev_set_name(self->fd, "cache of pictures"));
	expect_name(_metadata, self->fd, "cache of pictures");
	EXPECT_EQ(0, dev_set_name(self->fd, "x"));
	expect_name(_metadata, self->fd, "x");
	ASSERT_EQ(GOALLOC_NAME_MAX - 1, strlen(longest));
	EXPECT_EQ(0, dev_set_name(self->fd, longest));
	expect_name(_metadata, self->fd, longest);
	/* Two heaps may have one name. */
	other = dev_open();
	EXPECT_EQ(0, dev_set_name(other, longest));
	expect_name(_metadata, other, longest);
	close(other);

	/* What is refused leaves the name as it was. */
	EXPECT_EQ(-EINVAL, dev_set_name(self->fd, ""));
	memset(arg.name, 'a', sizeof(arg.name));
	EXPECT_EQ(-EINVAL, dev_ioctl(self->fd, GOALLOC_IOC_SET_NAME, &arg));
	for (i = 1; i < 0x80; i++) {
		char bad[] = { 'b', (char)i, 'd', '\0' };

		if (i < 0x20 || i == 0x7f) {
			EXPECT_EQ(-EINVAL, dev_set_name(self->fd, bad));
			EXPECT_EQ(-EINVAL, dev_set_name(self->fd, bad + 1));
		}
	}
	for (i = 0; i < 32; i++) {
		arg = (struct goalloc_name){
			.size = sizeof(arg), .flags = 1U << i, .name = "flagged",
		};
		EXPECT_EQ(-EOPNOTSUPP, dev_ioctl(self->fd, GOALLOC_IOC_SET_NAME, &arg));
	}
	expect_name(_metadata, self->fd, longest);
	/* Other alphabets, and spaces. */
	EXPECT_EQ(0, dev_set_name(self->fd, "h\xc3\xa9 ap"));
	EXPECT_EQ(0, dev_set_name(self->fd, " ~!%s%n "));
	expect_name(_metadata, self->fd, " ~!%s%n ");
}

TEST_F(heap, fdinfo)
{
	static const struct {
		const char *key;
		size_t offset;
	} keys[] = {
		{ "heap-objects", offsetof(struct goalloc_memstats, heap_objects) },
		{ "heap-alloc", offsetof(struct goalloc_memstats, heap_alloc) },
		{ "heap-inuse", offsetof(struct goalloc_memstats, heap_inuse) },
		{ "heap-idle", offsetof(struct goalloc_memstats, heap_idle) },
		{ "heap-released", offsetof(struct goalloc_memstats, heap_released) },
		{ "heap-mallocs", offsetof(struct goalloc_memstats, mallocs) },
		{ "heap-frees", offsetof(struct goalloc_memstats, frees) },
	};
	struct goalloc_memstats ms;
	uint64_t value, wanted;
	int round, i;
	size_t k;

	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-limit", &value));
	EXPECT_EQ(18446744073709551615ULL, value);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 50 * round; i++)
			ASSERT_NE(0, new_touched(self->fd, 1 + i * 1000));
		if (round == 2)
			ASSERT_EQ(0, dev_free(self->fd, new_touched(self->fd, DEV_MIB)));
		ms = dev_stats(self->fd);
		for (k = 0; k < ARRAY_SIZE(keys); k++) {
			memcpy(&wanted, (char *)&ms + keys[k].offset, sizeof(wanted));
			EXPECT_TRUE(dev_fdinfo(self->fd, keys[k].key, &value));
			EXPECT_EQ(wanted, value) TH_LOG("%s", keys[k].key);
		}
	}
	EXPECT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, 123456789));
	EXPECT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 987654321));
	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-limit", &value));
	EXPECT_EQ(123456789, value);
	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-max", &value));
	EXPECT_EQ(987654321, value);
	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-id", &value));
	if (dev_tree())
		EXPECT_EQ(0, access(dev_tree_path(self->fd, "summary"), F_OK));
}

/* Files. */

TEST_F(heap, dup)
{
	int copy = dup(self->fd);
	uint64_t addr = dev_new(copy, 1000), value;
	char byte;

	ASSERT_NE(0, addr);
	EXPECT_EQ(1, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(0, dev_set(copy, GOALLOC_PARAM_MAX, 777));
	EXPECT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_MAX, &value));
	EXPECT_EQ(777, value);
	EXPECT_EQ(addr, lseek(copy, addr, SEEK_SET));
	EXPECT_EQ(4, write(self->fd, "dupl", 4));
	EXPECT_EQ(addr + 4, lseek(copy, 0, SEEK_CUR));
	EXPECT_EQ(0, close(self->fd));
	self->fd = -1;
	EXPECT_EQ(1, pread(copy, &byte, 1, addr));
	EXPECT_EQ('d', byte);
	EXPECT_EQ(0, dev_free(copy, addr));
	close(copy);
}

/* The exit status of this program run again to look at a file, see main(). */
static int run_again(const char *what, int fd, uint64_t addr)
{
	char number[16], address[32];
	pid_t pid = fork();

	if (!pid) {
		snprintf(number, sizeof(number), "%d", fd);
		snprintf(address, sizeof(address), "%" PRIu64, addr);
		execl("/proc/self/exe", "params", what, number, address, NULL);
		_exit(99);
	}
	return dev_wait(pid);
}

TEST_F(heap, exec)
{
	uint64_t addr = dev_new(self->fd, 1000);
	char byte;

	ASSERT_EQ(6, pwrite(self->fd, "parent", 6, addr));
	/* O_CLOEXEC holds. */
	EXPECT_EQ(0, run_again("--closed", self->fd, addr));
	/* Without it the other program has the heap, too. */
	ASSERT_EQ(0, fcntl(self->fd, F_SETFD, 0));
	EXPECT_EQ(1, run_again("--closed", self->fd, addr));
	EXPECT_EQ(0, run_again("--use", self->fd, addr));
	EXPECT_EQ(1, pread(self->fd, &byte, 1, addr));
	EXPECT_EQ('P', byte);
	EXPECT_EQ(2, dev_stats(self->fd).heap_objects);
}

static int use_inherited(int fd, uint64_t addr)
{
	char *p = dev_map(fd, addr & ~4095ULL, 4096);

	if (p == MAP_FAILED || memcmp(p + addr % 4096, "parent", 6))
		return 1;
	p[addr % 4096] = 'P';
	return dev_new(fd, 100) ? 0 : 2;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--closed"))
		return fcntl(atoi(argv[2]), F_GETFD) >= 0;
	if (argc == 4 && !strcmp(argv[1], "--use"))
		return use_inherited(atoi(argv[2]), strtoull(argv[3], NULL, 10));
	return test_harness_run(argc, argv);
}
