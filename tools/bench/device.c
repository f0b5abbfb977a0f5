// SPDX-License-Identifier: GPL-2.0-only
/*
 * What /dev/goalloc costs, a line for each thing measured, with tabs between:
 *
 *	device	<case>	<bytes>	<zeroing>	<state>	<instructions>
 *	touch	<mapping>	<step>	<kind>	-	<instructions>
 *	memory	<case>	-	<kind>	-	<bytes>
 *
 * Instructions are of one object or one touched page, in tenths, the median of
 * all rounds, without the loop; those of the kernel on this CPU are in them. The
 * cycle counter counts them: this is for QEMU with -icount shift=0 and one CPU,
 * and the program refuses to run where it counts anything else.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/goalloc.h>

#define OBJECTS		1024
#define WARM_UP		8
#define ROUNDS		31
#define TOUCH_WARM_UP	1
#define TOUCH_ROUNDS	7
#define TOUCH_BYTES	(16UL << 20)
#define FILES		200

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const unsigned int sizes[] = { 16, 64, 512, 1024 };

static bool backwards;

static uint64_t now(void)
{
	return __rdtsc();
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* The cycle counter has to count instructions. Others may run now and then. */
static void check_clock(void)
{
	const uint64_t n = 1000000;
	uint64_t begin, took, i;
	int tries;

	for (tries = 0; tries < 20; tries++) {
		i = n;
		begin = now();
		asm volatile("1: dec %0; jnz 1b" : "+r"(i));
		took = now() - begin;
		if (took >= 2 * n && took < 2 * n + n / 50)
			return;
	}
	errx(1, "%llu instructions took %llu cycles: this is no QEMU with -icount shift=0",
	     (unsigned long long)(2 * n), (unsigned long long)took);
}

static int heap_open(void)
{
	int fd = open("/dev/goalloc", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/goalloc");
	return fd;
}

/* Objects by ioctl. */

static uint64_t heap_base;

static void heap_info(void)
{
	struct goalloc_info info = { .size = sizeof(info) };
	int fd = heap_open();

	if (ioctl(fd, GOALLOC_IOC_INFO, &info) || info.batch_max < OBJECTS)
		err(1, "INFO");
	heap_base = info.heap_base;
	close(fd);
}

static uint64_t batch_sizes[OBJECTS];
static uint64_t addrs[OBJECTS];

static void batch_alloc(int fd, uint32_t flags)
{
	struct goalloc_batch batch = {
		.size = sizeof(batch),
		.flags = flags,
		.sizes = (uintptr_t)batch_sizes,
		.addrs = (uintptr_t)addrs,
		.count = OBJECTS,
	};

	if (ioctl(fd, GOALLOC_IOC_ALLOC_BATCH, &batch) || batch.done != OBJECTS)
		err(1, "ALLOC_BATCH");
}

static void batch_free(int fd)
{
	struct goalloc_batch batch = {
		.size = sizeof(batch),
		.addrs = (uintptr_t)addrs,
		.count = OBJECTS,
	};

	if (ioctl(fd, GOALLOC_IOC_FREE_BATCH, &batch) || batch.done != OBJECTS)
		err(1, "FREE_BATCH");
}

static void single_alloc(int fd, uint32_t flags)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++) {
		struct goalloc_alloc alloc = {
			.size = sizeof(alloc),
			.flags = flags,
			.bytes = batch_sizes[0],
		};

		if (ioctl(fd, GOALLOC_IOC_ALLOC, &alloc))
			err(1, "ALLOC");
		addrs[i] = alloc.addr;
	}
}

static void single_free(int fd)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++) {
		struct goalloc_free free = {
			.size = sizeof(free),
			.addr = addrs[i],
		};

		if (ioctl(fd, GOALLOC_IOC_FREE, &free))
			err(1, "FREE");
	}
}

static uint64_t rounds_alloc[ROUNDS], rounds_free[ROUNDS];

/* An ioctl that does not exist: the way in and out. */
static void measure_nothing(void)
{
	int fd = heap_open();
	unsigned int i, r;

	for (r = 0; r < ROUNDS; r++) {
		uint64_t begin = now();

		for (i = 0; i < OBJECTS; i++)
			if (!ioctl(fd, _IO(GOALLOC_IOC_MAGIC, 0xff), 0) || errno != ENOTTY)
				errx(1, "an ioctl that should not be there is");
		rounds_alloc[r] = now() - begin;
	}
	close(fd);
	printf("device\tnothing\t0\t-\t-\t%llu\n",
	       (unsigned long long)median(rounds_alloc, ROUNDS) * 10 / OBJECTS);
}

/*
 * "dirty" is a heap whose pages have memory and whose objects are written to
 * before they are freed.
 */
static void object_round(int fd, char *map, bool batch, uint32_t flags, unsigned int r)
{
	uint64_t begin, end;
	unsigned int i;

	begin = now();
	if (batch)
		batch_alloc(fd, flags);
	else
		single_alloc(fd, flags);
	end = now();
	rounds_alloc[r] = end - begin;

	for (i = 0; map && i < OBJECTS; i++)
		memset(map + (addrs[i] - heap_base), 0xa5, batch_sizes[0]);

	begin = now();
	if (batch)
		batch_free(fd);
	else
		single_free(fd);
	end = now();
	rounds_free[r] = end - begin;
}

static void object_report(bool batch, unsigned int size, uint32_t flags, const char *state)
{
	const char *variant = flags & GOALLOC_UNINIT ? "uninit" : "zeroed";
	const char *how = batch ? "batch" : "single";

	printf("device\t%s-alloc\t%u\t%s\t%s\t%llu\n", how, size, variant, state,
	       (unsigned long long)median(rounds_alloc, ROUNDS) * 10 / OBJECTS);
	printf("device\t%s-free\t%u\t%s\t%s\t%llu\n", how, size, variant, state,
	       (unsigned long long)median(rounds_free, ROUNDS) * 10 / OBJECTS);
}

static void measure_objects(bool batch, unsigned int size, uint32_t flags)
{
	char *map;
	unsigned int i, r;
	int fd;

	for (i = 0; i < OBJECTS; i++)
		batch_sizes[i] = size;

	fd = heap_open();
	for (r = 0; r < WARM_UP; r++)
		object_round(fd, NULL, batch, flags, r);
	for (r = 0; r < ROUNDS; r++)
		object_round(fd, NULL, batch, flags, r);
	object_report(batch, size, flags, "steady");

	map = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		err(1, "mmap of the heap");
	for (r = 0; r < WARM_UP; r++)
		object_round(fd, map, batch, flags, r);
	for (r = 0; r < ROUNDS; r++)
		object_round(fd, map, batch, flags, r);
	object_report(batch, size, flags, "dirty");
	munmap(map, 64 << 20);
	close(fd);

	for (r = 0; r < ROUNDS; r++) {
		fd = heap_open();
		object_round(fd, NULL, batch, flags, r);
		close(fd);
	}
	object_report(batch, size, flags, "fresh");
}

/* First touch. */

enum mapping { HEAP, ANONYMOUS, SHARED, MEMFD, NUM_MAPPINGS };

static const char * const mapping_names[] = { "goalloc", "anonymous", "shared", "memfd" };

static char *mapping_make(enum mapping mapping, int *fd)
{
	int flags = MAP_SHARED;
	off_t offset = 0;
	char *p;

	*fd = -1;
	switch (mapping) {
	case HEAP: {
		struct goalloc_alloc alloc = {
			.size = sizeof(alloc),
			.bytes = TOUCH_BYTES,
		};

		*fd = heap_open();
		if (ioctl(*fd, GOALLOC_IOC_ALLOC, &alloc))
			err(1, "ALLOC of a large object");
		offset = alloc.addr;
		break;
	}
	case ANONYMOUS:
		flags = MAP_PRIVATE | MAP_ANONYMOUS;
		break;
	case SHARED:
		flags = MAP_SHARED | MAP_ANONYMOUS;
		break;
	default:
		*fd = memfd_create("bench", MFD_CLOEXEC);
		if (*fd < 0 || ftruncate(*fd, TOUCH_BYTES))
			err(1, "memfd");
	}
	p = mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, flags, *fd, offset);
	if (p == MAP_FAILED)
		err(1, "mmap for %s", mapping_names[mapping]);
	if (mapping != HEAP && madvise(p, TOUCH_BYTES, MADV_NOHUGEPAGE))
		err(1, "madvise for %s", mapping_names[mapping]);
	return p;
}

static void mapping_end(char *p, int fd)
{
	munmap(p, TOUCH_BYTES);
	if (fd >= 0)
		close(fd);
}

static uint32_t order[TOUCH_BYTES / 4096];

/* The pages in which a touch comes: each once. */
static void order_make(unsigned int pages, bool random)
{
	uint32_t seed = 1;
	unsigned int i;

	for (i = 0; i < pages; i++)
		order[i] = i;
	for (i = pages - 1; random && i > 0; i--) {
		unsigned int j;
		uint32_t t;

		seed = seed * 1103515245 + 12345;
		j = (seed >> 8) % (i + 1);
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
}

static uint64_t touch(char *p, unsigned int pages, unsigned int step, bool write)
{
	uint64_t begin = now();
	unsigned int i;

	if (write)
		for (i = 0; i < pages; i++)
			asm volatile("movb $1, %0" : "=m"(p[(size_t)order[i] * step]));
	else
		for (i = 0; i < pages; i++)
			asm volatile("testb $1, %0" : : "m"(p[(size_t)order[i] * step]) : "cc");
	return now() - begin;
}

static void measure_touch(enum mapping mapping, unsigned int step, bool write, bool random)
{
	const char *kind = write ? random ? "write-random" : "write" : "read";
	unsigned int pages = TOUCH_BYTES / step, r;
	uint64_t took[TOUCH_ROUNDS], again[TOUCH_ROUNDS];

	order_make(pages, random);
	for (r = 0; r < TOUCH_WARM_UP + TOUCH_ROUNDS; r++) {
		unsigned int i = r < TOUCH_WARM_UP ? 0 : r - TOUCH_WARM_UP;
		int fd;
		char *p = mapping_make(mapping, &fd);

		took[i] = touch(p, pages, step, write);
		/* All is there now: what is left is the loop. */
		again[i] = touch(p, pages, step, write);
		mapping_end(p, fd);
	}
	printf("touch\t%s\t%u\t%s\t-\t%llu\n", mapping_names[mapping], step, kind,
	       (unsigned long long)(median(took, TOUCH_ROUNDS) - median(again, TOUCH_ROUNDS)) *
	       10 / pages);
}

static void measure_touches(unsigned int step, bool write, bool random)
{
	int m;

	for (m = 0; m < NUM_MAPPINGS; m++)
		measure_touch(backwards ? NUM_MAPPINGS - 1 - m : m, step, write, random);
}

/* Memory of the kernel. */

/* Bytes of the value of a line of the file, or the sum of those lines. */
static uint64_t value_of(const char *path, const char *format)
{
	unsigned long long sum = 0, value;
	char line[256];
	FILE *file = fopen(path, "re");

	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value) == 1)
			sum += value;
	fclose(file);
	return sum;
}

/* Free memory, with what waits in the CPUs' own lists. */
static uint64_t free_bytes(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	int i;

	/* Freed by now is what was on its way, by RCU or by a worker. */
	for (i = 0; i < 3; i++) {
		if (fd < 0 || write(fd, "3", 1) != 1)
			err(1, "drop_caches");
		usleep(200000);
	}
	close(fd);
	return value_of("/proc/meminfo", "MemFree: %llu kB") * 1024 +
	       value_of("/proc/zoneinfo", " count: %llu") * 4096;
}

static uint64_t slab_bytes(void)
{
	return value_of("/proc/meminfo", "Slab: %llu kB") * 1024;
}

static uint64_t percpu_bytes(void)
{
	return value_of("/proc/meminfo", "Percpu: %llu kB") * 1024;
}

struct memory {
	uint64_t free, slab, percpu;
};

static struct memory memory_now(void)
{
	struct memory m;

	m.free = free_bytes();
	m.slab = slab_bytes();
	m.percpu = percpu_bytes();
	return m;
}

static void memory_report(const char *what, struct memory a, struct memory b)
{
	printf("memory\t%s\t-\tall\t-\t%lld\n", what, (long long)(a.free - b.free) / FILES);
	printf("memory\t%s\t-\tslab\t-\t%lld\n", what, (long long)(b.slab - a.slab) / FILES);
	printf("memory\t%s\t-\tpercpu\t-\t%lld\n", what,
	       (long long)(b.percpu - a.percpu) / FILES);
}

static void measure_memory(void)
{
	struct memory none, null, idle, object, touched;
	static uint64_t objects[FILES];
	static int fds[FILES];
	int i, round;

	/* The first round makes what the kernel keeps, and is not told. */
	for (round = 0; round < 2; round++) {
		none = memory_now();
		for (i = 0; i < FILES; i++)
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		null = memory_now();
		for (i = 0; i < FILES; i++)
			close(fds[i]);
		if (round)
			memory_report("null", none, null);

		none = memory_now();
		for (i = 0; i < FILES; i++)
			fds[i] = heap_open();
		idle = memory_now();
		for (i = 0; i < FILES; i++) {
			struct goalloc_alloc alloc = { .size = sizeof(alloc), .bytes = 64 };

			if (ioctl(fds[i], GOALLOC_IOC_ALLOC, &alloc))
				err(1, "ALLOC");
			objects[i] = alloc.addr;
		}
		object = memory_now();
		for (i = 0; i < FILES; i++)
			if (pwrite(fds[i], "", 1, objects[i]) != 1)
				err(1, "pwrite");
		touched = memory_now();
		for (i = 0; i < FILES; i++)
			close(fds[i]);
		if (round) {
			memory_report("idle", none, idle);
			memory_report("object", idle, object);
			memory_report("touched", object, touched);
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int i;

	backwards = argc > 1 && !strcmp(argv[1], "backwards");
	check_clock();
	heap_info();
	/* Nothing of ours is to be touched first while we measure. */
	if (mlockall(MCL_CURRENT))
		err(1, "mlockall");

	measure_nothing();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int size = sizes[backwards ? ARRAY_SIZE(sizes) - 1 - i : i];

		measure_objects(true, size, 0);
		measure_objects(true, size, GOALLOC_UNINIT);
		measure_objects(false, size, 0);
		measure_objects(false, size, GOALLOC_UNINIT);
	}
	measure_touches(4096, true, false);
	measure_touches(4096, false, false);
	measure_touches(4096, true, true);
	measure_touches(8192, true, false);
	measure_memory();
	return 0;
}
