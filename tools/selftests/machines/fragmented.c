// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine whose free memory is in pieces of one size (modules/fragment.c). A
 * kernel heap has its memory in blocks of 2 MiB if it can, and goes down to 128 KiB:
 * it serves objects as long as there are such, and files' heaps as long as there is
 * memory at all.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "kheap.h"

#define ORDERS		11
#define SMALLEST	5	/* order of 128 KiB */
#define WHOLE		9	/* of 2 MiB */

/* How many free blocks there are of each order. */
static void free_blocks(uint64_t *blocks)
{
	FILE *f = fopen("/proc/buddyinfo", "re");
	char line[256];

	memset(blocks, 0, ORDERS * sizeof(*blocks));
	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "zone"), *end;
		int order;

		at = at ? at + strcspn(at, " ") : line;
		at += strspn(at, " ");
		at += strcspn(at, " ");
		for (order = 0; order < ORDERS; order++, at = end)
			blocks[order] += strtoull(at, &end, 10);
	}
	if (f)
		fclose(f);
}

/* Bytes that are free in blocks of at least this order. */
static uint64_t free_from(unsigned int order)
{
	uint64_t blocks[ORDERS], bytes = 0;

	for (free_blocks(blocks); order < ORDERS; order++)
		bytes += blocks[order] << (order + 12);
	return bytes;
}

/* What of the machine's pages is not to be had: the sum of a line of /proc/zoneinfo. */
static uint64_t watermarks(const char *name)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	char line[128], word[32];
	uint64_t pages, sum = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %31s %" SCNu64, word, &pages) == 2 && !strcmp(word, name))
			sum += pages * 4096;
	if (f)
		fclose(f);
	return sum;
}

FIXTURE(pieces)
{
	long background;
	int heaps;
};

FIXTURE_VARIANT(pieces)
{
	unsigned int order;	/* of the largest that are free */
};

FIXTURE_VARIANT_ADD(pieces, KIB_64) { .order = 4 };
FIXTURE_VARIANT_ADD(pieces, KIB_128) { .order = 5 };
FIXTURE_VARIANT_ADD(pieces, KIB_256) { .order = 6 };
FIXTURE_VARIANT_ADD(pieces, KIB_512) { .order = 7 };
FIXTURE_VARIANT_ADD(pieces, MIB_1) { .order = 8 };
FIXTURE_VARIANT_ADD(pieces, MIB_2) { .order = 9 };

FIXTURE_SETUP(pieces)
{
	char params[32];

	self->heaps = dev_heaps();
	self->background = dev_background(0);
	ASSERT_EQ(0, module_load("kheap", ""));
	ASSERT_EQ(0, kheap("create 0"));
	ASSERT_EQ(0, dev_write_file("/proc/sys/vm/drop_caches", "3"));
	ASSERT_EQ(0, dev_write_file("/proc/sys/vm/compact_memory", "1"));
	if (variant->order < WHOLE) {
		snprintf(params, sizeof(params), "order=%u", variant->order);
		ASSERT_EQ(0, module_load("fragment", params));
	}
}

FIXTURE_TEARDOWN(pieces)
{
	EXPECT_EQ(0, module_unload("kheap"));
	if (variant->order < WHOLE)
		EXPECT_EQ(0, module_unload("fragment"));
	EXPECT_TRUE(dev_wait_heaps(self->heaps));
	if (self->background > 0)
		dev_background(self->background);
}

/*
 * What the chunks are made of: blocks of so many heap pages. Objects lie at the
 * lowest addresses there are, so only the last half chunk can be without memory;
 * what is mapped has no blocks. The kernel may find a larger block here and there by
 * moving what was in the way.
 */
static void expect_blocks(struct __test_metadata *_metadata, unsigned int pages)
{
	FILE *f = fopen(kheap_path(0, "pagealloc"), "re");
	unsigned int free, scavenged, largest, block[2], halves = 0, larger = 0, smaller = 0, i;
	unsigned long long addr;
	char line[128];

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx %u %u %u %u,%u", &addr, &free, &scavenged, &largest,
			   &block[0], &block[1]) != 6 || scavenged == 512)
			continue;
		for (i = 0; i < 1 + (free < 256); i++) {
			halves += block[i] > 0;
			larger += block[i] > pages;
			smaller += block[i] && block[i] < pages;
		}
	}
	fclose(f);
	TH_LOG("of %u half chunks %u have blocks of more than %u pages, %u of less", halves,
	       larger, pages, smaller);
	EXPECT_LT(32, halves);
	EXPECT_LE(larger, halves / 3);
	EXPECT_LE(smaller, halves / 3);
}

/*
 * So many bytes of objects in the heap, for which others may have to go or not; how
 * many there were.
 */
static uint64_t fill(uint64_t size, uint64_t bytes, bool try)
{
	uint64_t before = kheap_value("bytes");

	return kheap("fill 0 -1 %" PRIu64 " %" PRIu64 " %d", size, bytes, try) ? 0 :
		kheap_value("bytes") - before;
}

static const uint64_t large_sizes[] = { 40000, 65536, 100000, 131072, 500000, 1048576, 3000000 };

/* All small and medium sizes, and large ones. */
static void expect_served(struct __test_metadata *_metadata, bool try)
{
	static const uint64_t sizes[] = { 32, 48, 300, 1024, 3000, 8192, 20000, 32768 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_LE(2 * DEV_MIB, fill(sizes[i], 2 * DEV_MIB, try))
			TH_LOG("objects of %" PRIu64 " bytes", sizes[i]);
	for (i = 0; i < ARRAY_SIZE(large_sizes); i++)
		EXPECT_EQ(3 * large_sizes[i], fill(large_sizes[i], 3 * large_sizes[i], try))
			TH_LOG("objects of %" PRIu64 " bytes", large_sizes[i]);
}

static void expect_whole(struct __test_metadata *_metadata)
{
	EXPECT_EQ(0, kheap("look 0"));
	EXPECT_EQ(0, kheap_value("wrong"));
	EXPECT_EQ(kheap_value("objects"), kheap_tree(0, "summary", "heap_objects", 1));
	EXPECT_EQ(kheap_tree(0, "summary", "heap_sys", 1),
		  kheap_tree(0, "summary", "heap_idle", 1) +
		  kheap_tree(0, "summary", "heap_inuse", 1));
}

static void expect_file_heap(struct __test_metadata *_metadata)
{
	int fd = dev_open();
	uint64_t addr, off;
	char *p;

	ASSERT_LE(0, fd);
	addr = dev_new(fd, 16 * DEV_MIB);
	p = dev_map(fd, addr, 16 * DEV_MIB);
	ASSERT_NE(MAP_FAILED, p);
	for (off = 0; off < 16 * DEV_MIB; off += DEV_PAGE)
		p[off] = 1;
	EXPECT_EQ(16 * DEV_MIB, dev_backed(fd));
	EXPECT_TRUE(dev_balanced(fd));
	munmap(p, 16 * DEV_MIB);
	close(fd);
}

TEST_F_TIMEOUT(pieces, served, 300)
{
	uint64_t before = free_from(SMALLEST), memory = dev_memory_free(), left, bound, served;
	unsigned int i;

	EXPECT_LE(0, self->background);
	/* There are hardly any larger blocks, and plenty of these. */
	if (variant->order < WHOLE)
		EXPECT_GT(16 * DEV_MIB, free_from(variant->order + 1));
	EXPECT_LT(64 * DEV_MIB, free_from(variant->order));
	if (variant->order < SMALLEST) {
		/* But for what the kernel makes by moving what is in the way. */
		EXPECT_GT(16 * DEV_MIB, before);
		EXPECT_GT(64 * DEV_MIB, fill(300, 64 * DEV_MIB, false));
		EXPECT_GT(64 * DEV_MIB, fill(32768, 64 * DEV_MIB, false));
		/* Where pages need not lie together. */
		EXPECT_EQ(9000000, fill(3000000, 9000000, false));
		expect_file_heap(_metadata);
		expect_whole(_metadata);
		return;
	}
	expect_served(_metadata, false);
	expect_file_heap(_metadata);
	/* Of many, so that some that the kernel finds do not count. */
	EXPECT_LE(80 * DEV_MIB, fill(1000, 80 * DEV_MIB, false));
	expect_blocks(_metadata, 1 << (variant->order - 1));
	expect_whole(_metadata);

	/*
	 * On and on, until there are no blocks. Watermarks are raised for a while where
	 * memory is in pieces, and what stayed for that is to be had later.
	 */
	for (i = 0; i < 600; i++) {
		while (fill(1000, 4 * DEV_MIB, false) >= 4 * DEV_MIB)
			;
		bound = watermarks("high") + 2 * DEV_MIB;
		left = free_from(SMALLEST);
		if (left <= bound)
			break;
		usleep(100000);
	}
	served = kheap_tree(0, "summary", "heap_inuse", 1);
	TH_LOG("%" PRIu64 " MiB in blocks, %" PRIu64 " MiB served, of %" PRIu64
	       " held, %" PRIu64 " KiB of blocks left, %" PRIu64 " may be, after %u more tries",
	       before / DEV_MIB, served / DEV_MIB,
	       kheap_tree(0, "scavenger", "held", 1) / DEV_MIB, left / DEV_KIB,
	       bound / DEV_KIB, i);
	EXPECT_LT(before / 20 * 17, served);
	EXPECT_LE(left, bound);
	expect_whole(_metadata);
	/* And again, when some of it is free, and what is mapped has memory of others. */
	ASSERT_EQ(0, kheap("free 0 50 0"));
	expect_served(_metadata, true);
	expect_whole(_metadata);
	ASSERT_EQ(0, kheap("free 0 100 0"));
	EXPECT_EQ(0, dev_write_file(kheap_path(0, "scavenge"), "all"));
	EXPECT_EQ(0, kheap_tree(0, "summary", "heap_objects", 1));
	TH_LOG("%" PRIu64 " KiB are held for nothing",
	       kheap_tree(0, "scavenger", "held", 1) / DEV_KIB);
	ASSERT_EQ(0, kheap("destroy 0"));
	for (i = 0; i < 600 && dev_memory_free() + DEV_MIB * 16 < memory; i++)
		usleep(100000);
	EXPECT_LE(memory, dev_memory_free() + DEV_MIB * 16);
}

TEST_HARNESS_MAIN
