// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's checkers know the objects of kernel heaps: KASAN reports who uses one
 * after its end or beyond it, kmemleak those to which nothing refers. The guest goes on
 * after a report (kasan_multi_shot).
 */
#define _GNU_SOURCE
#include "harness.h"
#include "kheap.h"

#define CHECKED		"/sys/kernel/debug/checked"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define FAIL_GOALLOC	"/sys/kernel/debug/fail_goalloc/"

#define USE_AFTER_FREE	"BUG: KASAN: slab-use-after-free"

/* Lines of the kernel log from now on; -1 if it cannot be read. */
static int log_from_now(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* The next one that announces nothing; false if that was the last. */
static bool log_line(int fd, char *line, size_t room)
{
	ssize_t n;

	for (;;) {
		n = read(fd, line, room - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return false;
		line[n] = 0;
		if (!strstr(line, "goalloc-expect"))
			return true;
	}
}

/* How many of them have both words. */
static int log_count(int fd, const char *word, const char *and)
{
	char line[2048];
	int found = 0;

	while (log_line(fd, line, sizeof(line)))
		found += strstr(line, word) && strstr(line, and);
	return found;
}

static long checked(const char *what, unsigned int size)
{
	char line[64];

	snprintf(line, sizeof(line), "%s %u", what, size);
	return dev_write_file(CHECKED, line);
}

FIXTURE(checkers)
{
	int log;
};

FIXTURE_SETUP(checkers)
{
	ASSERT_EQ(0, module_load("checked", ""));
	self->log = log_from_now();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(checkers)
{
	close(self->log);
	EXPECT_EQ(0, module_unload("checked"));
}

static const struct {
	const char *what;
	unsigned int size;
	const char *report;
} mistakes[] = {
	/* Small, of a class with many slots and with few, large, and with pages of its own. */
	{ "freed", 6, "use-after-free" },
	{ "freed", 16, "use-after-free" },
	{ "freed", 64, "use-after-free" },
	{ "freed", 1000, "use-after-free" },
	{ "freed", 32768, "use-after-free" },
	{ "freed", 100000, "use-after-free" },
	/* A block of tiny objects is dead with its last, once no mcache fills it. */
	{ "ended", 3, "use-after-free" },
	{ "ended", 64, "use-after-free" },
	{ "bulk", 64, "use-after-free" },
	{ "bulk", 2048, "use-after-free" },
	{ "elsewhere", 64, "use-after-free" },
	/* Within the slot; at its end KASAN has the kind from the next one, which is free. */
	{ "behind", 33, "out-of-bounds" },
	{ "behind", 1001, "out-of-bounds" },
	{ "behind", 33000, "out-of-bounds" },
	{ "behind", 12, "use-after-free" },
	{ "behind", 17, "use-after-free" },
	{ "behind", 60, "use-after-free" },
	{ "behind", 64, "use-after-free" },
	{ "exact", 700, "use-after-free" },
	{ "exact", 3584, "use-after-free" },
	{ "grown", 50, "out-of-bounds" },
	{ "grown", 100, "out-of-bounds" },
};

TEST_F_TIMEOUT(checkers, kasan_reports, 120)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		dev_expect(1, "BUG: KASAN: [a-z-]+ in (look|put)");
		ASSERT_EQ(0, checked(mistakes[i].what, mistakes[i].size));
		EXPECT_EQ(1, log_count(self->log, "BUG: KASAN: ", mistakes[i].report))
			TH_LOG("%s %u is not reported", mistakes[i].what, mistakes[i].size);
	}
}

/* Who does nothing wrong is not reported: not for one byte that may be used. */
TEST_F_TIMEOUT(checkers, kasan_is_silent, 120)
{
	unsigned int size;

	for (size = 1; size <= 40000; size += size < 40 ? 1 : size < 300 ? 13 : 1997) {
		ASSERT_EQ(0, checked("right", size));
		ASSERT_EQ(0, checked("usable", size));
	}
	EXPECT_EQ(0, log_count(self->log, "BUG: KASAN: ", ""));
}

/* Objects that two scans did not find a reference to, so many bytes long. */
static int leaks(unsigned int size)
{
	char want[32], *text, *line;
	int found = 0;

	if (dev_write_file(KMEMLEAK, "scan"))
		return -1;
	/* What is younger than 5 s is no leak yet. */
	sleep(6);
	if (dev_write_file(KMEMLEAK, "scan"))
		return -1;
	text = dev_read_file(KMEMLEAK);
	snprintf(want, sizeof(want), "(size %u):", size);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		found += !strncmp(line, "unreferenced object", 19) && strstr(line, want);
	free(text);
	return found;
}

TEST_F_TIMEOUT(checkers, kmemleak_reports, 200)
{
	/* The last slots of the words of a span, and the first; large ones, and mapped. */
	const unsigned int size[] = { 600, 1700, 50000, 3 << 20 }, n[] = { 40, 20, 3, 4 };
	unsigned int i;
	char line[32];

	ASSERT_EQ(0, dev_write_file(KMEMLEAK, "clear"));
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		snprintf(line, sizeof(line), "lose %u %u", n[i], size[i]);
		ASSERT_EQ(0, dev_write_file(CHECKED, line));
		snprintf(line, sizeof(line), "keep %u %u", n[i], size[i]);
		ASSERT_EQ(0, dev_write_file(CHECKED, line));
	}
	/* A stale copy of an address on a stack may hide one or another, for a scan or for all. */
	dev_write_file("/dev/kmsg",
		       "<6>goalloc-expect: any kmemleak: [0-9]+ new suspected memory leaks\n");
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		int found = leaks(size[i]), tries = 0;

		while (found >= 0 && found < (int)n[i] - 2 && ++tries < 5)
			found = leaks(size[i]);
		EXPECT_LE((int)n[i] - 2, found);
		EXPECT_GE((int)n[i], found);
	}
	ASSERT_EQ(0, dev_write_file(CHECKED, "find"));
	for (i = 0; i < ARRAY_SIZE(size); i++)
		EXPECT_EQ(0, leaks(size[i]));
	ASSERT_EQ(0, dev_write_file(KMEMLEAK, "clear"));
}

/* Told not to, kmemleak is not told. */
TEST_F_TIMEOUT(checkers, kmemleak_is_not_told, 100)
{
	ASSERT_EQ(0, dev_write_file(KMEMLEAK, "clear"));
	ASSERT_EQ(0, dev_module_set("kmemleak", "0"));
	ASSERT_EQ(0, dev_write_file(CHECKED, "lose 8 600"));
	EXPECT_EQ(0, leaks(600));
	ASSERT_EQ(0, dev_module_set("kmemleak", "1"));
	ASSERT_EQ(0, dev_write_file(CHECKED, "find"));
}

/* goalloc's own allocations fail, from this one on; 0 for none. */
static void fail_from(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	dev_write_file(FAIL_GOALLOC "verbose", "0");
	dev_write_file(FAIL_GOALLOC "interval", "1");
	dev_write_file(FAIL_GOALLOC "probability", "100");
	dev_write_file(FAIL_GOALLOC "space", text);
	dev_write_file(FAIL_GOALLOC "times", nth ? "1000000" : "0");
}

/*
 * The first words of what is freed are KASAN's: in a class they say where mcaches are, which
 * an interrupt and who wants zeroes do not look at.
 */
static const struct {
	const char *what;
	unsigned int fails;	/* from which of its own allocations on */
	int twice;		/* a free of what is free */
} uses[] = {
	{ "use alloc 5", 1, 0 },
	{ "use alloc 100", 1, 0 },
	{ "use alloc 100000", 1, 0 },
	{ "use alloc 4194304", 1, 0 },
	{ "use zeroed 100", 1, 0 },
	{ "use bulk 64", 1, 0 },
	{ "use create 300", 2, 0 },
	{ "interrupt alloc 100", 1, 0 },
	{ "interrupt class 200", 1, 0 },
	{ "interrupt class-of-heap 200", 1, 0 },
	{ "use class-zeroed 200", 1, 0 },
	{ "use class-bulk 200", 1, 0 },
	{ "use class-destroy 200", 1, 1 },
};

/*
 * A heap or a class that was destroyed. Each access to it is a report, and how many
 * there are is the compiler's; the last test, as so many are let pass.
 */
TEST_F_TIMEOUT(checkers, kasan_reports_what_was_destroyed, 120)
{
	unsigned int i;

	ASSERT_EQ(0, dev_write_file(CHECKED, "destroy"));
	EXPECT_EQ(0, log_count(self->log, "BUG: KASAN: ", ""));
	dev_write_file("/dev/kmsg", "<6>goalloc-expect: any " USE_AFTER_FREE " in .* .goalloc.\n");
	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		int used = 0, twice = 0, reports = 0;
		const char *what = uses[i].what;
		char line[2048];
		long ret;

		if (uses[i].twice)
			dev_expect(uses[i].twice, "BUG: KASAN: double-free in .* .goalloc.");
		fail_from(uses[i].fails);
		ret = dev_write_file(CHECKED, what);
		fail_from(0);
		ASSERT_EQ(0, ret) TH_LOG("%s", what);
		while (log_line(self->log, line, sizeof(line))) {
			reports += !!strstr(line, "BUG: KASAN: ");
			used += strstr(line, USE_AFTER_FREE) && strstr(line, "[goalloc]");
			twice += !!strstr(line, "double-free in ");
		}
		TH_LOG("%s: %d reports", what, reports);
		EXPECT_LT(0, used) TH_LOG("%s is not reported", what);
		EXPECT_EQ(uses[i].twice, twice);
		EXPECT_EQ(reports, used + twice);
	}
}

TEST_HARNESS_MAIN
