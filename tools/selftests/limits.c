// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits of one heap and of all together, by the module's parameters: the hard ones
 * hold to the page whoever grows at once, the soft one takes idle memory from any
 * heap and refuses nobody.
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "harness.h"
#include "device.h"

#define OBJECT	(5 * DEV_PAGE)

FIXTURE(all)
{
	long background;
};

FIXTURE_SETUP(all)
{
	self->background = dev_background(0);
	ASSERT_LE(0, self->background);
	ASSERT_EQ(0, dev_module_set("limit", "none"));
	ASSERT_EQ(0, dev_module_set("max", "none"));
}

FIXTURE_TEARDOWN(all)
{
	EXPECT_EQ(0, dev_module_set("limit", "none"));
	EXPECT_EQ(0, dev_module_set("max", "none"));
	dev_background(self->background);
}

static void expect_value(struct __test_metadata *_metadata, const char *name, const char *value)
{
	char *text = dev_module_get(name);

	ASSERT_NE(NULL, text);
	EXPECT_STREQ(value, text) TH_LOG("%s", name);
	free(text);
}

TEST_F(all, values)
{
	static const struct {
		const char *written;
		long ret;
		const char *read;	/* or what was there */
	} values[] = {
		{ "none", 0, "none" },
		{ "1G", 0, "1073741824" },
		{ "none\n", 0, "none" },
		{ "123456789012", 0, "123456789012" },
		{ "12K\n", 0, "12288" },
		{ "12k", 0, "12288" },
		{ "3M", 0, "3145728" },
		{ "much", -EINVAL, NULL },
		{ "", -EINVAL, NULL },
		{ "-1", -EINVAL, NULL },
		{ "1X", -EINVAL, NULL },
		{ "1G1", -EINVAL, NULL },
		{ "1 G", -EINVAL, NULL },
		{ "99999999999999999999999", -EINVAL, NULL },
		{ "none at all", -EINVAL, NULL },
	};
	static const char *const names[] = { "limit", "max" };
	const char *last = "none";
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(names); k++) {
		for (i = 0; i < ARRAY_SIZE(values); i++) {
			long ret = dev_module_set(names[k], values[i].written);

			/* Nothing written is nothing heard. */
			if (*values[i].written)
				EXPECT_EQ(values[i].ret, ret)
					TH_LOG("%s: '%s'", names[k], values[i].written);
			if (values[i].read)
				last = values[i].read;
			expect_value(_metadata, names[k], last);
		}
		ASSERT_EQ(0, dev_module_set(names[k], "none"));
		last = "none";
	}
}

TEST_F(all, percent)
{
	expect_value(_metadata, "scavenge_percent", "0");
	EXPECT_EQ(0, dev_module_set("scavenge_percent", "100"));
	expect_value(_metadata, "scavenge_percent", "100");
	EXPECT_EQ(0, dev_module_set("scavenge_percent", "1\n"));
	EXPECT_EQ(-EINVAL, dev_module_set("scavenge_percent", "101"));
	EXPECT_EQ(-EINVAL, dev_module_set("scavenge_percent", "-1"));
	EXPECT_EQ(-EINVAL, dev_module_set("scavenge_percent", "all"));
	expect_value(_metadata, "scavenge_percent", "1");
}

static void drop(int cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		_exit(98);
	data[cap / 32].effective &= ~(1U << cap % 32);
	data[cap / 32].permitted &= ~(1U << cap % 32);
	if (syscall(SYS_capset, &header, data))
		_exit(99);
}

/* Root in a container may not, and nobody else. */
TEST_F(all, who_may)
{
	static const char *const names[] = { "limit", "max", "scavenge_percent" };
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			drop(CAP_SYS_ADMIN);
			_exit(dev_module_set(names[i], "50") == -EPERM ? 0 : 1);
		}
		EXPECT_EQ(0, dev_wait(pid)) TH_LOG("%s of root without CAP_SYS_ADMIN", names[i]);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(!setresuid(65534, 65534, 65534) &&
			      dev_module_set(names[i], "50") == -EACCES ? 0 : 1);
		EXPECT_EQ(0, dev_wait(pid)) TH_LOG("%s of nobody", names[i]);
	}
	expect_value(_metadata, "max", "none");
}

/* Everybody takes pages until there are none. */
enum { CROWD = 4, HEAPS = 2 };

struct crowd {
	int fds[HEAPS];
	uint64_t made;
	uint64_t odd;
	bool go;
};

static struct crowd *crowd;

static void *take_all(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg, addr;
	unsigned int refused[HEAPS] = { 0 };

	while (!__atomic_load_n(&crowd->go, __ATOMIC_ACQUIRE))
		sched_yield();
	while (refused[0] < 10 || refused[1] < 10) {
		/* An object of 8 KiB is a span of one page. */
		uint64_t r = dev_random(&state), heap = r / 4 % HEAPS;
		uint64_t bytes = refused[heap] || r % 4 ? DEV_PAGE : OBJECT;
		long ret = dev_alloc(crowd->fds[heap], bytes, 0, &addr);

		if (!ret)
			__atomic_fetch_add(&crowd->made, bytes, __ATOMIC_RELAXED);
		else if (ret == -ENOMEM)
			refused[heap]++;
		else
			__atomic_fetch_add(&crowd->odd, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static uint64_t inuse_of_all(void)
{
	return dev_stats(crowd->fds[0]).heap_inuse + dev_stats(crowd->fds[1]).heap_inuse;
}

/* What the module's own heap has in use counts, too. */
static uint64_t inuse_of_kernel(void)
{
	uint64_t value;

	dev_line(DEV_TREE "/heaps/0/summary", "heap_inuse", 1, &value);
	return value;
}

static void crowd_begin(struct __test_metadata *_metadata)
{
	int i;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, crowd);
	for (i = 0; i < HEAPS; i++) {
		crowd->fds[i] = dev_open();
		ASSERT_LE(0, crowd->fds[i]);
	}
}

/* Processes that grow two heaps until there is no more; how many saw too much. */
static unsigned int grow_together(uint64_t max)
{
	unsigned int over = 0, ended = 0;
	pid_t pids[CROWD];
	uintptr_t i;

	for (i = 0; i < CROWD; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			take_all((void *)i);
			_exit(0);
		}
	}
	__atomic_store_n(&crowd->go, true, __ATOMIC_RELEASE);
	while (ended < CROWD) {
		/* They only grow, so the sum of what was seen one by one is no more. */
		over += inuse_of_all() > max;
		ended += waitpid(-1, NULL, WNOHANG) > 0;
	}
	return over;
}

static void crowd_end(void)
{
	int i;

	for (i = 0; i < HEAPS; i++)
		close(crowd->fds[i]);
	munmap(crowd, sizeof(*crowd));
}

TEST_F_TIMEOUT(all, max_of_all_to_the_page, 60)
{
	uint64_t max = 1531 * DEV_PAGE, addr, kernel = inuse_of_kernel();
	char text[32];
	int fd;

	crowd_begin(_metadata);
	/* Not a whole number of pages. */
	snprintf(text, sizeof(text), "%" PRIu64, kernel + max + (uint64_t)DEV_PAGE / 2);
	ASSERT_EQ(0, dev_module_set("max", text));
	EXPECT_EQ(0, grow_together(max));
	EXPECT_EQ(0, crowd->odd);
	EXPECT_EQ(max, inuse_of_all());
	EXPECT_EQ(max, crowd->made);
	EXPECT_LT(0, dev_stats(crowd->fds[0]).heap_inuse);
	EXPECT_LT(0, dev_stats(crowd->fds[1]).heap_inuse);
	/* Nor anybody else. */
	fd = dev_open();
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOMEM, dev_alloc(fd, DEV_PAGE, 0, &addr));
	EXPECT_EQ(-ENOMEM, dev_alloc(fd, OBJECT, 0, &addr));
	EXPECT_EQ(0, dev_stats(fd).heap_inuse);
	EXPECT_TRUE(dev_balanced(fd));
	/* What one heap gives up another may have: what its spans had, with the file. */
	crowd->made = dev_stats(crowd->fds[0]).heap_inuse;
	close(crowd->fds[0]);
	for (; crowd->made >= DEV_PAGE; crowd->made -= DEV_PAGE)
		ASSERT_EQ(0, dev_alloc(fd, DEV_PAGE, 0, &addr));
	EXPECT_EQ(-ENOMEM, dev_alloc(fd, DEV_PAGE, 0, &addr));
	ASSERT_EQ(0, dev_module_set("max", "none"));
	EXPECT_EQ(0, dev_alloc(fd, DEV_PAGE, 0, &addr));
	close(fd);
	crowd->fds[0] = -1;
	crowd_end();
}

TEST_F_TIMEOUT(all, max_of_each_to_the_page, 60)
{
	uint64_t max = 777 * DEV_PAGE;
	int i;

	crowd_begin(_metadata);
	for (i = 0; i < HEAPS; i++)
		ASSERT_EQ(0, dev_set(crowd->fds[i], GOALLOC_PARAM_MAX, max + DEV_PAGE - 1));
	/* More than both may have. */
	ASSERT_EQ(0, dev_module_set("max", "1G"));
	EXPECT_EQ(0, grow_together(HEAPS * max));
	EXPECT_EQ(0, crowd->odd);
	for (i = 0; i < HEAPS; i++) {
		EXPECT_EQ(max, dev_stats(crowd->fds[i]).heap_inuse);
		EXPECT_TRUE(dev_balanced(crowd->fds[i]));
	}
	crowd_end();
}

/* A maximum under what is in use: nobody grows, what there is stays. */
TEST_F(all, max_below_use)
{
	int fd = dev_open(), other = dev_open();
	uint64_t addrs[10], more;
	char text[32];
	int i;

	for (i = 0; i < 10; i++) {
		addrs[i] = dev_new(fd, OBJECT);
		ASSERT_EQ(1, pwrite(fd, "x", 1, addrs[i]));
	}
	snprintf(text, sizeof(text), "%" PRIu64, inuse_of_kernel() + (uint64_t)DEV_PAGE);
	ASSERT_EQ(0, dev_module_set("max", text));
	EXPECT_EQ(-ENOMEM, dev_alloc(fd, OBJECT, 0, &more));
	EXPECT_EQ(-ENOMEM, dev_alloc(other, DEV_PAGE, 0, &more));
	EXPECT_EQ(1, pwrite(fd, "y", 1, addrs[9]));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(-ENOMEM, dev_alloc(other, DEV_PAGE, 0, &more));
		EXPECT_EQ(0, dev_free(fd, addrs[i]));
	}
	EXPECT_EQ(0, dev_alloc(other, DEV_PAGE, 0, &more));
	EXPECT_EQ(-ENOMEM, dev_alloc(other, DEV_PAGE, 0, &more));
	close(fd);
	close(other);
}

static bool touch(int fd, uint64_t addr, uint64_t bytes)
{
	uint64_t off;

	for (off = 0; off < bytes; off += DEV_PAGE)
		if (pwrite(fd, "t", 1, addr + off) != 1)
			return false;
	return true;
}

static uint64_t held_by(int fd)
{
	return dev_tree_value(fd, "scavenger", "held", 1);
}

/* Idle memory of one heap goes when another would pass the limit of all. */
TEST_F_TIMEOUT(all, limit_of_all, 60)
{
	int idle = dev_open(), busy = dev_open(), i;
	uint64_t addr, before, limit, most = 0;
	char text[32];

	addr = dev_new(idle, 32 * DEV_MIB);
	ASSERT_TRUE(touch(idle, addr, 32 * DEV_MIB));
	ASSERT_EQ(0, dev_free(idle, addr));
	ASSERT_EQ(32 * DEV_MIB, dev_backed(idle));
	before = held_by(idle) + held_by(busy);
	limit = before + 4 * DEV_MIB;
	limit += limit / 19;			/* 5 % of it are left free */
	snprintf(text, sizeof(text), "%lluK", limit / DEV_KIB + 1);
	ASSERT_EQ(0, dev_module_set("limit", text));
	EXPECT_EQ(32 * DEV_MIB, dev_backed(idle));
	for (i = 0; i < 32; i++) {
		addr = dev_new(busy, DEV_MIB);
		ASSERT_NE(0, addr);
		ASSERT_TRUE(touch(busy, addr, DEV_MIB));
		if (held_by(idle) + held_by(busy) > most)
			most = held_by(idle) + held_by(busy);
	}
	TH_LOG("%" PRIu64 " KiB at most under a limit of %" PRIu64, most / DEV_KIB,
	       limit / DEV_KIB);
	/* Others may hold something as well; what each CPU has at hand goes last. */
	EXPECT_LE(most, limit);
	EXPECT_GT(5 * DEV_MIB, dev_backed(idle));
	EXPECT_LT(0, dev_tree_value(idle, "scavenger", "limit", 2));
	EXPECT_EQ(dev_stats(idle).heap_idle - dev_stats(idle).heap_released, dev_backed(idle));
	EXPECT_TRUE(dev_balanced(idle));
	EXPECT_TRUE(dev_balanced(busy));

	/* When nothing is idle it is passed, and nobody is refused. */
	for (i = 0; i < 16; i++) {
		addr = dev_new(busy, DEV_MIB);
		ASSERT_NE(0, addr);
		ASSERT_TRUE(touch(busy, addr, DEV_MIB));
		ASSERT_NE(0, dev_new(busy, 100));
	}
	EXPECT_LT(limit, held_by(idle) + held_by(busy));
	ASSERT_EQ(0, dev_module_set("limit", "0"));
	addr = dev_new(idle, DEV_MIB);
	EXPECT_NE(0, addr);
	EXPECT_TRUE(touch(idle, addr, DEV_MIB));
	close(idle);
	close(busy);
}

static bool all_below(const int *fds, int n, uint64_t bytes)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < n; i++)
		sum += dev_backed(fds[i]);
	return sum <= bytes;
}

/* With a limit under what is held the background gives back what is idle. */
TEST_F_TIMEOUT(all, limit_below_use, 60)
{
	double until;
	uint64_t addr;
	int fds[3], i;

	for (i = 0; i < 3; i++) {
		fds[i] = dev_open();
		/* Beside so much in use the rest would stay. */
		addr = dev_new(fds[i], 32 * DEV_MIB);
		ASSERT_NE(0, addr);
		addr = dev_new(fds[i], 2 * DEV_MIB);
		ASSERT_TRUE(touch(fds[i], addr, 2 * DEV_MIB));
		ASSERT_EQ(0, dev_free(fds[i], addr));
	}
	ASSERT_EQ(0, dev_background(dev_slow() ? 20 : 1));
	sleep(2);
	EXPECT_FALSE(all_below(fds, 3, 6 * DEV_MIB - 1));
	ASSERT_EQ(0, dev_module_set("limit", "1M"));
	until = dev_seconds() + 60;
	while (!all_below(fds, 3, DEV_MIB) && dev_seconds() < until)
		usleep(50000);
	EXPECT_TRUE(all_below(fds, 3, DEV_MIB));
	dev_background(0);
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(dev_balanced(fds[i]));
		close(fds[i]);
	}
}

TEST_HARNESS_MAIN
