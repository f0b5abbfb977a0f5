// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the heap lock is held at most: heavy work of each kind on a heap of its
 * own, a line for each with tabs between:
 *
 *	lock	<work>	<ns at most>
 *
 * For QEMU with -icount shift=0 and one CPU, where a nanosecond is an instruction,
 * and a module that was built with GOALLOC_LOCK_TIMES. The exit status is 0 if no
 * lock was held for more than MOST.
 */
#define _GNU_SOURCE
#include "kheap.h"

#define MOST	20000
#define BATCH	1024
#define OBJECTS	(16 * BATCH)

static uint64_t addrs[OBJECTS];
static int status;

static void fail(const char *what)
{
	printf("locks: %s: %s\n", what, errno ? strerror(errno) : "no");
	exit(1);
}

static void result(const char *work, uint64_t ns)
{
	if (ns == ~0ULL)
		fail("pagealloc says nothing of lock_max_ns");
	printf("lock\t%s\t%" PRIu64 "\t%s\n", work, ns, ns > MOST ? "too long" : "ok");
	if (ns > MOST)
		status = 1;
}

static void must(bool ok, const char *what)
{
	if (!ok)
		fail(what);
}

static uint64_t make(int fd, uint64_t bytes)
{
	uint64_t addr = dev_new(fd, bytes);

	must(addr, "GOALLOC_IOC_ALLOC");
	return addr;
}

static void discard(int fd, uint64_t addr)
{
	must(!dev_free(fd, addr), "GOALLOC_IOC_FREE");
}

static void touch(int fd, uint64_t addr, uint64_t bytes)
{
	uint64_t off;

	for (off = 0; off < bytes; off += DEV_PAGE)
		must(pwrite(fd, "t", 1, addr + off) == 1, "pwrite");
}

static void settle(int fd)
{
	must(dev_scavenge(fd, GOALLOC_NO_LIMIT) >= 0, "GOALLOC_IOC_SCAVENGE");
	sleep(3);		/* tables go in the background */
}

static void make_many(int fd, uint64_t bytes)
{
	uint64_t sizes[BATCH], i;

	for (i = 0; i < BATCH; i++)
		sizes[i] = bytes;
	for (i = 0; i < OBJECTS; i += BATCH)
		must(dev_alloc_batch(fd, sizes, addrs + i, BATCH) == BATCH, "a batch");
}

/* Of all that make_many() made, in any order. */
static void discard_many(int fd, unsigned int percent)
{
	uint64_t state = dev_seed(), i, k, swap;

	for (i = 0; i < OBJECTS; i++) {
		k = i + dev_random(&state) % (OBJECTS - i);
		swap = addrs[i];
		addrs[i] = addrs[k];
		addrs[k] = swap;
	}
	for (i = 0; i < OBJECTS / 100 * percent; i++)
		discard(fd, addrs[i]);
}

static void whole_heap(int fd)
{
	uint64_t bytes, addr;

	/* The second time it grows into gaps. */
	for (bytes = DEV_SPACE; bytes >= DEV_SPACE / 2; bytes /= 2) {
		addr = make(fd, bytes);
		touch(fd, addr + bytes / 2, 20 * DEV_PAGE);
		discard(fd, addr);
		settle(fd);
	}
}

static void gigabytes(int fd)
{
	int i;

	for (i = 0; i < 256; i++)
		addrs[i] = make(fd, 2 * DEV_GIB);
	for (i = 0; i < 256; i += 2)
		discard(fd, addrs[i]);
	for (i = 0; i < 256; i += 2)
		addrs[i] = make(fd, DEV_GIB + i * DEV_PAGE);
	make(fd, 3 * DEV_GIB);
	for (i = 0; i < 256; i++)
		discard(fd, addrs[i]);
	settle(fd);
}

static void of_64_mib(int fd)
{
	int i, round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < 8; i++)
			addrs[i] = make(fd, 64 * DEV_MIB + i * DEV_PAGE);
		for (i = 0; i < 3; i++)
			touch(fd, addrs[i], 64 * DEV_MIB);
		for (i = 0; i < 8; i += 2)
			discard(fd, addrs[i]);
		must(dev_scavenge(fd, 1000000) > 0, "GOALLOC_IOC_SCAVENGE");
		for (i = 1; i < 8; i += 2)
			discard(fd, addrs[i]);
		settle(fd);
	}
}

static void many_large(int fd)
{
	make_many(fd, DEV_LARGE);
	discard_many(fd, 90);
	settle(fd);
	make_many(fd, 5 * DEV_PAGE);
	settle(fd);
}

static void many_small(int fd)
{
	static const uint64_t sizes[] = { 16, 100, 1000, 8192, 30000 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		make_many(fd, sizes[i]);
		discard_many(fd, 99);
	}
	settle(fd);
}

static void scavenging(int fd)
{
	uint64_t i;

	make_many(fd, 2 * DEV_PAGE);
	for (i = 0; i < OBJECTS; i++)
		touch(fd, addrs[i], 2 * DEV_PAGE);
	discard_many(fd, 50);
	while (dev_scavenge(fd, 300000) > 0)
		;
	settle(fd);
}

static void limited(int fd)
{
	int i, k;

	must(!dev_set(fd, GOALLOC_PARAM_LIMIT, 16 * DEV_MIB), "a limit");
	for (k = 0; k < 4; k++) {
		for (i = 0; i < 60; i++)
			touch(fd, addrs[i] = make(fd, DEV_MIB + k * DEV_PAGE), DEV_MIB);
		for (i = 0; i < 60; i++)
			discard(fd, addrs[i]);
	}
	must(!dev_set(fd, GOALLOC_PARAM_LIMIT, DEV_MIB), "a limit");
	settle(fd);
}

static void background(int fd)
{
	uint64_t i;

	must(dev_background(50) >= 0, "scavenge_percent");
	make_many(fd, DEV_PAGE);
	for (i = 0; i < OBJECTS; i++)
		touch(fd, addrs[i], DEV_PAGE);
	discard_many(fd, 90);
	for (i = 0; i < 100 && dev_tree_value(fd, "scavenger", "excess", 1); i++)
		usleep(100000);
	must(i < 100, "the background comes to its end");
	must(dev_background(1) >= 0, "scavenge_percent");
}

/* Tables of debugfs, of a heap with many arenas. */
static void read_tables(int fd)
{
	static const char *const files[] = {
		"summary", "spans", "pages", "arenas", "pagealloc", "mcache", "mcentral",
		"size_classes", "scavenger",
	};
	size_t i;
	char *text;

	make_many(fd, DEV_LARGE);
	make(fd, 300 * DEV_GIB);
	discard_many(fd, 70);
	for (i = 0; i < sizeof(files) / sizeof(*files); i++) {
		text = dev_read_file(dev_tree_path(fd, files[i]));
		must(text, files[i]);
		free(text);
	}
	lseek(fd, 0, SEEK_DATA);
}

static const struct {
	const char *name;
	void (*work)(int fd);
} works[] = {
	{ "1 TiB", whole_heap },
	{ "2 GiB", gigabytes },
	{ "64 MiB", of_64_mib },
	{ "64 KiB", many_large },
	{ "small", many_small },
	{ "scavenging", scavenging },
	{ "limit", limited },
	{ "background", background },
	{ "debugfs", read_tables },
};

static void kernel_heap(void)
{
	must(!module_load("kheap", ""), "kheap.ko");
	must(!kheap("create 0"), "a heap");
	must(!kheap("fill 0 -1 8192 %llu 1", 128 * DEV_MIB), "fill");
	must(!kheap("free 0 90 1"), "free");
	must(!kheap("fill 0 -1 3000000 %llu 1", 90 * DEV_MIB), "fill");
	must(!kheap("fill 0 -1 500 %llu 1", 32 * DEV_MIB), "fill");
	must(!kheap("free 0 80 0"), "free");
	must(!dev_write_file(kheap_path(0, "scavenge"), "all"), "scavenge");
	sleep(3);
	must(!kheap("free 0 100 0"), "free");
	must(!dev_write_file(kheap_path(0, "scavenge"), "all"), "scavenge");
	sleep(3);
	result("kernel heap", kheap_tree(0, "pagealloc", "lock_max_ns", 1));
	must(!module_unload("kheap"), "kheap.ko");
}

int main(void)
{
	size_t i;
	int fd;

	setbuf(stdout, NULL);
	for (i = 0; i < sizeof(works) / sizeof(*works); i++) {
		fd = dev_open();
		must(fd >= 0, DEV_PATH);
		works[i].work(fd);
		result(works[i].name, dev_tree_value(fd, "pagealloc", "lock_max_ns", 1));
		close(fd);
	}
	kernel_heap();
	return status;
}
