// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine of two nodes, whose CPUs come and go: memory is of the node of the CPU
 * that asks for it as long as that has some, and the books are kept whoever goes.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "harness.h"
#include "kheap.h"

#define CPUS	4
#define BYTES	(8 * DEV_MIB)
#define BLOCK	(2 * DEV_MIB)

static int node_of_cpu(int cpu)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node1/cpu%d", cpu);
	return !access(path, F_OK);
}

/* Where the second node's memory begins. */
static uint64_t second_node(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	uint64_t pfn, least = ~0ULL;
	char line[128];
	int node = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d,", &node) == 1)
			continue;
		if (node == 1 && sscanf(line, " start_pfn: %" SCNu64, &pfn) == 1 && pfn &&
		    pfn < least)
			least = pfn;
	}
	if (f)
		fclose(f);
	return least;
}

/* Bytes of a mapping that lie on the second node; ~0 if a page is not there. */
static uint64_t bytes_on_second(const char *p, uint64_t bytes)
{
	uint64_t begin = second_node(), entry, off, sum = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (off = 0; off < bytes; off += 4096) {
		if (pread(fd, &entry, 8, ((uintptr_t)p + off) / 4096 * 8) != 8 ||
		    !(entry >> 63)) {
			sum = ~0ULL;
			break;
		}
		sum += (entry & ((1ULL << 55) - 1)) >= begin ? 4096 : 0;
	}
	close(fd);
	return sum;
}

static bool run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* Bytes of the second node that are free in blocks of 2 MiB and more. */
static uint64_t blocks_of_second(void)
{
	FILE *f = fopen("/proc/buddyinfo", "re");
	uint64_t bytes = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		uint64_t blocks;
		int at = 0, n;
		unsigned int order;

		/* Its number, the zone's name, and for each order how many. */
		if (sscanf(line, "Node 1, zone %*s%n", &at) < 0 || !at)
			continue;
		for (order = 0; sscanf(line + at, "%" SCNu64 "%n", &blocks, &n) == 1;
		     order++, at += n)
			bytes += order < 9 ? 0 : blocks << (order + 12);
	}
	if (f)
		fclose(f);
	return bytes;
}

FIXTURE(nodes)
{
	long background;
	int heaps;
	int fd;
	uint64_t memory;
};

FIXTURE_SETUP(nodes)
{
	ASSERT_EQ(CPUS, sysconf(_SC_NPROCESSORS_ONLN));
	ASSERT_TRUE(!node_of_cpu(0) && node_of_cpu(CPUS - 1));
	self->heaps = dev_heaps();
	self->background = dev_background(0);
	self->memory = dev_memory_free();
	ASSERT_EQ(0, module_load("kheap", ""));
	ASSERT_EQ(0, kheap("create 0"));
	self->fd = dev_open();
	ASSERT_LE(0, self->fd);
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
}

FIXTURE_TEARDOWN(nodes)
{
	int cpu, wait;

	for (cpu = 1; cpu < CPUS; cpu++)
		dev_cpu(cpu, true);
	munmap((void *)DEV_BASE, DEV_SPACE);
	close(self->fd);
	EXPECT_EQ(0, module_unload("kheap"));
	EXPECT_TRUE(dev_wait_heaps(self->heaps));
	if (self->background > 0)
		dev_background(self->background);
	for (wait = 0; wait < 600 && dev_memory_free() + 32 * DEV_MIB < self->memory; wait++)
		usleep(100000);
	EXPECT_LE(self->memory, dev_memory_free() + 32 * DEV_MIB);
}

/* A heap of each CPU lies where the CPU is. */
TEST_F(nodes, kernel_heap_of_a_cpu)
{
	int cpu;

	for (cpu = 0; cpu < CPUS; cpu++) {
		ASSERT_EQ(0, kheap("create 1"));
		ASSERT_EQ(0, kheap("fill 1 %d 8192 %llu 1", cpu, BYTES));
		EXPECT_EQ(BYTES, kheap_value(node_of_cpu(cpu) ? "node1" : "node0"))
			TH_LOG("CPU %d", cpu);
		ASSERT_EQ(0, kheap("destroy 1"));
	}
}

/* Of one heap, the blocks that each CPU asks for; it may use up another's first. */
TEST_F(nodes, kernel_heap_of_all)
{
	int cpu;

	for (cpu = 0; cpu < CPUS; cpu++)
		ASSERT_EQ(0, kheap("fill 0 %d 8192 %llu 1", cpu, BYTES));
	EXPECT_LE(2 * (BYTES - BLOCK), kheap_value("node0"));
	EXPECT_LE(2 * (BYTES - BLOCK), kheap_value("node1"));
}

/* More than a node has: the rest is another's. */
TEST_F_TIMEOUT(nodes, more_than_there_is, 60)
{
	uint64_t bytes = 640 * DEV_MIB, had = blocks_of_second();

	/* The kernel's own lie anywhere. */
	EXPECT_LT(256 * DEV_MIB, had);
	ASSERT_EQ(0, kheap("fill 0 %d 8192 %llu 1", CPUS - 1, bytes));
	TH_LOG("%" PRIu64 " MiB on node 0, %" PRIu64 " on node 1, where blocks of %" PRIu64
	       " were free", kheap_value("node0") / DEV_MIB, kheap_value("node1") / DEV_MIB,
	       had / DEV_MIB);
	EXPECT_EQ(bytes, kheap_value("bytes"));
	/* But for what watermarks keep, and what came to lie in CPUs' lists. */
	EXPECT_LT(had - 64 * DEV_MIB, kheap_value("node1"));
	EXPECT_LT(0, kheap_value("node0"));
}

TEST_F(nodes, pages_of_a_file_heap)
{
	uint64_t addr, off;
	int cpu;

	for (cpu = 0; cpu < CPUS; cpu++) {
		ASSERT_TRUE(run_on(cpu));
		addr = dev_new(self->fd, BYTES);
		for (off = 0; off < BYTES; off += DEV_PAGE)
			if (off < BYTES / 2)
				*(char *)(addr + off) = 1;
			else
				ASSERT_EQ(1, pwrite(self->fd, "w", 1, addr + off));
		for (off = 0; off < BYTES; off += 4096)
			ASSERT_LE(0, *(char *)(addr + off));
		EXPECT_EQ(node_of_cpu(cpu) ? BYTES : 0, bytes_on_second((char *)addr, BYTES))
			TH_LOG("CPU %d", cpu);
	}
}

/* Objects on their way from thread to thread, as process.c has it. */
enum { STALLS = 512 };

struct market {
	int fd;
	double until;		/* at the latest, should nobody say that it is over */
	bool over;
	uint64_t stalls[STALLS];
	uint64_t made;
	uint64_t freed;
	uint64_t wrong;
};

static struct market *market;

static void count(uint64_t *what)
{
	__atomic_fetch_add(what, 1, __ATOMIC_RELAXED);
}

static void take_away(uint64_t addr)
{
	if (!addr)
		return;
	if (*(uint64_t *)addr != ~addr || dev_free(market->fd, addr))
		count(&market->wrong);
	count(&market->freed);
}

static void *trade(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg;

	while (!__atomic_load_n(&market->over, __ATOMIC_RELAXED) &&
	       dev_seconds() < market->until) {
		uint64_t r = dev_random(&state), addr;
		uint64_t bytes = 16 + (r % 16 ? (r >> 8) % 600 : r % 256 ? (r >> 8) % 30000 :
				       (r >> 8) % 300000);

		addr = dev_new(market->fd, bytes);
		if (!addr) {
			count(&market->wrong);
			continue;
		}
		*(uint64_t *)addr = ~addr;
		count(&market->made);
		take_away(__atomic_exchange_n(&market->stalls[(r >> 40) % STALLS], addr,
					      __ATOMIC_ACQ_REL));
		if (r >> 56 == 0)
			dev_scavenge(market->fd, (r >> 8) % 2 ? GOALLOC_NO_LIMIT : 1000000);
	}
	return NULL;
}

static void trade_in_threads(uintptr_t number)
{
	pthread_t threads[CPUS];
	uintptr_t i;

	for (i = 0; i < CPUS; i++)
		if (pthread_create(&threads[i], NULL, trade, (void *)(number * 100 + i)))
			count(&market->wrong);
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
}

/* Everything is used at once while CPUs go and come again. */
TEST_F_TIMEOUT(nodes, hotplug, 120)
{
	double until = dev_seconds() + 8;
	unsigned int changes = 0;
	uint64_t value, inuse;
	pid_t pids[3];
	int cpu, i;

	market = mmap(NULL, sizeof(*market), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, market);
	market->fd = self->fd;
	market->until = until + 100;
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i] && i < 2)
			trade_in_threads(i);
		if (!pids[i])
			_exit(i == 2 && kheap("load 0 8000"));
	}
	/* A change takes a tenth of a second, or seconds of a machine that is busy. */
	while (dev_seconds() < until - 0.5 ||
	       (dev_seconds() < until + 90 &&
		(changes <= 12 || __atomic_load_n(&market->made, __ATOMIC_RELAXED) <= 1000))) {
		cpu = 1 + changes / 2 % (CPUS - 1);
		/* Each goes and comes; every fourth time all are gone for a moment. */
		EXPECT_EQ(0, dev_cpu(cpu, changes % 2));
		changes++;
		if (changes % 24 == 0) {
			for (i = 1; i < CPUS; i++)
				EXPECT_EQ(0, dev_cpu(i, false));
			for (i = 1; i < CPUS; i++)
				EXPECT_EQ(0, dev_cpu(i, true));
		}
		usleep(20000);
	}
	__atomic_store_n(&market->over, true, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, dev_wait(pids[i]));
	TH_LOG("%u changes; %" PRIu64 " objects of the file heap, %" PRIu64
	       " of the kernel heap", changes, market->made, kheap_value("made"));
	EXPECT_LT(12, changes);
	EXPECT_LT(1000, market->made);
	EXPECT_LT(1000, kheap_value("made"));

	/* The file heap's books, while some objects live and when none does. */
	EXPECT_EQ(0, market->wrong);
	EXPECT_EQ(market->made, dev_stats(self->fd).mallocs);
	EXPECT_EQ(market->freed, dev_stats(self->fd).frees);
	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-objects", &value));
	EXPECT_EQ(market->made - market->freed, value);
	EXPECT_TRUE(dev_balanced(self->fd));
	for (i = 0; i < STALLS; i++)
		take_away(market->stalls[i]);
	EXPECT_EQ(0, market->wrong);
	EXPECT_EQ(0, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(0, dev_stats(self->fd).heap_alloc);
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(dev_stats(self->fd).heap_idle, dev_stats(self->fd).heap_released);
	EXPECT_LE(dev_backed(self->fd), dev_stats(self->fd).heap_inuse);
	EXPECT_TRUE(dev_balanced(self->fd));

	/* The kernel heap's. */
	EXPECT_EQ(0, kheap_value("wrong"));
	EXPECT_EQ(0, kheap_value("refused"));
	EXPECT_EQ(0, kheap_tree(0, "summary", "heap_objects", 1));
	EXPECT_EQ(0, kheap_tree(0, "summary", "heap_alloc", 1));
	EXPECT_EQ(kheap_value("made"), kheap_tree(0, "summary", "mallocs", 1));
	EXPECT_EQ(kheap_value("made"), kheap_tree(0, "summary", "frees", 1));
	EXPECT_EQ(0, dev_line(kheap_path(0, "faults"), "double_free", 1, &value) ? value : ~0ULL);

	/* With the CPUs goes what they held: each has had objects, and keeps a span at least. */
	for (i = 1; i < CPUS; i++)
		EXPECT_EQ(0, dev_cpu(i, true));
	for (i = 0; i < CPUS; i++)
		ASSERT_EQ(0, kheap("fill 0 %d 1024 %llu 1", i, DEV_MIB));
	ASSERT_EQ(0, kheap("free 0 100 0"));
	EXPECT_EQ(0, dev_write_file(kheap_path(0, "scavenge"), "all"));
	inuse = kheap_tree(0, "summary", "heap_inuse", 1);
	for (i = 1; i < CPUS; i++)
		EXPECT_EQ(0, dev_cpu(i, false));
	EXPECT_EQ(0, dev_write_file(kheap_path(0, "scavenge"), "all"));
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	TH_LOG("without objects %" PRIu64 " KiB are in use, %" PRIu64 " when the CPUs are gone",
	       inuse / DEV_KIB, kheap_tree(0, "summary", "heap_inuse", 1) / DEV_KIB);
	EXPECT_EQ(0, kheap_tree(0, "summary", "heap_objects", 1));
	EXPECT_LE(kheap_tree(0, "summary", "heap_inuse", 1), inuse - (CPUS - 1) * DEV_PAGE);
	EXPECT_EQ(kheap_tree(0, "summary", "heap_sys", 1),
		  kheap_tree(0, "summary", "heap_idle", 1) +
		  kheap_tree(0, "summary", "heap_inuse", 1));
	EXPECT_TRUE(dev_balanced(self->fd));
	for (i = 1; i < CPUS; i++)
		EXPECT_EQ(0, dev_cpu(i, true));
}

TEST_HARNESS_MAIN
