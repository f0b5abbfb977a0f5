// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may do what, and what nobody may see: the device and its tree in debugfs
 * are root's; a file may be passed on; neither kernel pointers nor bytes of
 * another heap or of the kernel come out of them.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "harness.h"
#include "device.h"

#define NOBODY	65534
#define MARK	0xc7	/* what other heaps and the kernel's memory are filled with */

static bool become_nobody(void)
{
	return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
	       !setresuid(NOBODY, NOBODY, NOBODY) && !prctl(PR_SET_DUMPABLE, 1);
}

FIXTURE(access)
{
	int fd;
	uint64_t addr;
};

FIXTURE_SETUP(access)
{
	if (geteuid())
		SKIP(return, "root is needed to become somebody else");
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	self->addr = dev_new(self->fd, DEV_LARGE);
	ASSERT_NE(0, self->addr);
	ASSERT_EQ(5, pwrite(self->fd, "root", 5, self->addr));
}

FIXTURE_TEARDOWN(access)
{
	close(self->fd);
}

TEST_F(access, mode)
{
	struct stat st;

	ASSERT_EQ(0, stat(DEV_PATH, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
}

/* As nobody: no heap of one's own, whatever way of opening is tried. */
TEST_F(access, not_opened_by_others)
{
	static const int flags[] = {
		O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK, O_RDWR | O_SYNC,
	};
	char path[64];
	size_t i;

	ASSERT_TRUE(become_nobody());
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(-1, open(DEV_PATH, flags[i]));
		EXPECT_EQ(EACCES, errno);
	}
	/* The file that was passed on does not open the device again. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	EXPECT_EQ(-1, open(path, O_RDWR));
	EXPECT_EQ(EACCES, errno);
}

/* A file that was passed on is all that is needed to use its heap. */
TEST_F(access, used_by_others)
{
	uint64_t addr, value, addrs[3], sizes[3] = { 1, 100, 100000 };
	struct goalloc_query q;
	char *p, buf[8];

	ASSERT_TRUE(become_nobody());
	p = dev_map(self->fd, self->addr, DEV_LARGE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_STREQ("root", p);
	strcpy(p, "other");
	EXPECT_EQ(6, pread(self->fd, buf, 6, self->addr));
	EXPECT_STREQ("other", buf);
	EXPECT_EQ(6, pwrite(self->fd, "nobody", 6, self->addr + 4096));
	EXPECT_EQ(0, dev_alloc(self->fd, 1000, 0, &addr));
	EXPECT_EQ(0, dev_query(self->fd, addr, &q));
	EXPECT_EQ(0, dev_free(self->fd, addr));
	EXPECT_EQ(3, dev_alloc_batch(self->fd, sizes, addrs, 3));
	EXPECT_EQ(3, dev_free_batch(self->fd, addrs, 3));
	EXPECT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, DEV_GIB));
	EXPECT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_MAX, &value));
	EXPECT_EQ(DEV_GIB, value);
	EXPECT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT));
	EXPECT_EQ(0, dev_set_name(self->fd, "nobody's"));
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_TRUE(dev_balanced(self->fd));
	EXPECT_TRUE(dev_fdinfo(self->fd, "heap-objects", &value));
	EXPECT_EQ(1, value);
}

/* Every file of the tree, by a function that is told its path. */
static unsigned int walk(const char *dir, void (*fn)(struct __test_metadata *, const char *path),
			 struct __test_metadata *_metadata)
{
	struct dirent *entry;
	unsigned int n = 0;
	char path[512];
	DIR *d;

	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_type == DT_DIR) {
			n += walk(path, fn, _metadata);
			continue;
		}
		fn(_metadata, path);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static void expect_private(struct __test_metadata *_metadata, const char *path)
{
	struct stat st;

	/* Other heaps come and go. */
	if (stat(path, &st))
		return;
	EXPECT_EQ(0, st.st_mode & 07077) TH_LOG("%s has mode %o", path, st.st_mode);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(access, tree)
{
	char path[256];

	if (!dev_tree())
		SKIP(return, "debugfs is not to be had");
	snprintf(path, sizeof(path), "%s", dev_tree_path(self->fd, "summary"));
	/* Not by its place alone, which a mount option may open. */
	EXPECT_LT(40, walk(DEV_TREE, expect_private, _metadata));
	ASSERT_TRUE(become_nobody());
	EXPECT_EQ(-1, open(path, O_RDONLY));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, open(DEV_TREE "/version", O_RDONLY));
	EXPECT_EQ(EACCES, errno);
}

/* The right to administrate is asked for even of root. */
TEST_F(access, settings_need_a_capability)
{
	static const struct {
		const char *file, *value;
	} settings[] = {
		{ "limit", "1000000000" },
		{ "max", "1000000000" },
		{ "gc_percent", "50" },
		{ "scavenge", "all" },
	};
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t limit, max, gc, idle;
	uint64_t other;
	size_t i;

	if (!dev_tree())
		SKIP(return, "debugfs is not to be had");
	ASSERT_NE(0, dev_new(self->fd, 16 * DEV_MIB));
	other = dev_new(self->fd, DEV_LARGE);
	ASSERT_EQ(1, pwrite(self->fd, "t", 1, other));
	ASSERT_EQ(0, dev_free(self->fd, other));
	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_LIMIT, &limit));
	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_MAX, &max));
	ASSERT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_GC_PERCENT, &gc));
	idle = dev_stats(self->fd).heap_released;

	ASSERT_EQ(0, syscall(SYS_capget, &header, data));
	data[CAP_SYS_ADMIN / 32].effective &= ~(1U << CAP_SYS_ADMIN % 32);
	ASSERT_EQ(0, syscall(SYS_capset, &header, data));
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		EXPECT_EQ(-EPERM, dev_write_file(dev_tree_path(self->fd, settings[i].file),
						 settings[i].value))
			TH_LOG("%s", settings[i].file);
	EXPECT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_LIMIT, &other));
	EXPECT_EQ(limit, other);
	EXPECT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_MAX, &other));
	EXPECT_EQ(max, other);
	EXPECT_EQ(0, dev_get(self->fd, GOALLOC_PARAM_GC_PERCENT, &other));
	EXPECT_EQ(gc, other);
	EXPECT_EQ(idle, dev_stats(self->fd).heap_released);

	data[CAP_SYS_ADMIN / 32].effective |= 1U << CAP_SYS_ADMIN % 32;
	ASSERT_EQ(0, syscall(SYS_capset, &header, data));
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		EXPECT_EQ(0, dev_write_file(dev_tree_path(self->fd, settings[i].file),
					    settings[i].value))
			TH_LOG("%s", settings[i].file);
	EXPECT_LT(idle, dev_stats(self->fd).heap_released);
}

/* A number with sixteen hexadecimal digits that begin with ffff, but ~0. */
static bool has_kernel_pointer(const char *text)
{
	const char *c;

	for (c = text; *c; c++) {
		size_t digits;

		if (c > text && isxdigit((unsigned char)c[-1]))
			continue;
		digits = strspn(c, "0123456789abcdefABCDEF");
		if (digits == 16 && !strncasecmp(c, "ffff", 4) &&
		    strncasecmp(c, "ffffffffffffffff", 16))
			return true;
	}
	return false;
}

static void expect_no_pointer(struct __test_metadata *_metadata, const char *path)
{
	char *text;

	if (access(path, R_OK))
		return;
	text = dev_read_file(path);
	if (!text)
		return;
	EXPECT_FALSE(has_kernel_pointer(text)) TH_LOG("a kernel pointer in %s:\n%s", path, text);
	free(text);
}

TEST_F(access, no_kernel_pointers)
{
	uint64_t sizes[1024], addrs[1024], i;
	struct goalloc_memstats ms;
	struct goalloc_query q;
	char path[64];

	/* The scanner itself. */
	ASSERT_TRUE(has_kernel_pointer("at 0xffff888012345678,"));
	ASSERT_TRUE(has_kernel_pointer("FFFFFFFF81000000"));
	ASSERT_FALSE(has_kernel_pointer("18446744073709551615 0xc000000000 ffffffffffffffff"));

	for (i = 0; i < 1024; i++)
		sizes[i] = 1 + i * i / 16;
	ASSERT_EQ(1024, dev_alloc_batch(self->fd, sizes, addrs, 1024));
	for (i = 0; i < 1024; i += 3)
		ASSERT_EQ(0, dev_free(self->fd, addrs[i]));
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	expect_no_pointer(_metadata, path);
	if (dev_tree())
		EXPECT_LT(40, walk(DEV_TREE, expect_no_pointer, _metadata));

	/* What ioctls answer: addresses of the heap, and numbers far below the kernel's. */
	ms = dev_stats(self->fd);
	for (i = 8; i < sizeof(ms); i += 8) {
		uint64_t word;

		memcpy(&word, (char *)&ms + i, sizeof(word));
		EXPECT_TRUE(word < 1ULL << 62 || word == ~0ULL) TH_LOG("MEMSTATS at %" PRIu64, i);
	}
	for (i = 1; i < 1024; i += 3) {
		EXPECT_LT(addrs[i] - DEV_BASE, DEV_SPACE);
		ASSERT_EQ(0, dev_query(self->fd, addrs[i], &q));
		EXPECT_LT(q.base - DEV_BASE, DEV_SPACE);
		EXPECT_LT(q.span_base - DEV_BASE, DEV_SPACE);
		EXPECT_EQ(0, q.reserved);
	}
}

/*
 * Memory that was not zeroed for its owner's sake is zeroed for its former
 * owner's sake.
 */

/* Memory of processes, of files and of pipes, which the kernel has again afterwards. */
static void soil_memory(void)
{
	enum { BYTES = 24 * 1024 * 1024 };
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int file = memfd_create("soil", MFD_CLOEXEC), pipes[2], i;

	if (p == MAP_FAILED)
		return;
	memset(p, MARK, BYTES);
	if (file >= 0) {
		for (i = 0; i < 4; i++)
			if (write(file, p, 1024 * 1024) < 0)
				break;
		close(file);
	}
	for (i = 0; i < 16 && !pipe2(pipes, O_NONBLOCK); i++) {
		if (write(pipes[1], p, 65536) < 0)
			break;
		close(pipes[0]);
		close(pipes[1]);
	}
	munmap(p, BYTES);
}

/* Heaps full of MARK, in objects of all sizes, that are gone again. */
static bool soil_heaps(void)
{
	int heap, ways = 3;

	for (heap = 0; heap < 3 * ways; heap++) {
		uint64_t bytes = 8 * DEV_MIB, addr, n = 0;
		int fd = dev_open();
		char *p = dev_map_at(fd, NULL, DEV_SPACE, PROT_READ | PROT_WRITE, 0);

		if (fd < 0 || p == MAP_FAILED)
			return false;
		if (heap % ways) {
			addr = dev_new(fd, bytes);
			memset(p + (addr - DEV_BASE), MARK, bytes);
			if (heap % ways == 1)
				dev_free(fd, addr);
			dev_scavenge(fd, GOALLOC_NO_LIMIT);
		} else {
			for (; n < 1500; n++) {
				addr = dev_new(fd, 16 + n * 3);
				memset(p + (addr - DEV_BASE), MARK, 16 + n * 3);
			}
		}
		munmap(p, DEV_SPACE);
		close(fd);
	}
	return true;
}

/* The first byte that is not zero of what a fresh heap gives unasked for zeroes, or -1. */
static int scan_fresh_heap(uint64_t *scanned)
{
	static const uint64_t sizes[] = {
		1, 8, 16, 24, 48, 100, 500, 1024, 3000, 8192, 10000, 32768, 40000, 100000,
	};
	static char buf[131072];
	int fd = dev_open(), found = -1;
	uint64_t addr, usable, round;
	struct goalloc_query q;
	size_t i, k;
	char *p;

	p = dev_map_at(fd, NULL, DEV_SPACE, PROT_READ | PROT_WRITE, 0);
	if (fd < 0 || p == MAP_FAILED)
		return -2;
	for (round = 0; round < 12; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes) && found < 0; i++) {
			uint32_t flags = GOALLOC_UNINIT | (round & GOALLOC_SCAN);

			if (dev_alloc(fd, sizes[i], flags, &addr) || dev_query(fd, addr, &q))
				return -2;
			usable = q.usable;
			*scanned += usable;
			if (round % 3 == 0) {
				if (pread(fd, buf, usable, addr) != (ssize_t)usable)
					return -2;
			} else {
				/* Touched by reading or by writing. */
				if (round % 3 == 1)
					p[addr - DEV_BASE] = 0;
				memcpy(buf, p + (addr - DEV_BASE), usable);
			}
			for (k = 0; k < usable && found < 0; k++)
				if (buf[k])
					found = (unsigned char)buf[k];
		}
	}
	/* And all there is around them, in spans but in no object. */
	for (addr = DEV_BASE; found < 0; addr += DEV_PAGE) {
		addr = lseek(fd, addr, SEEK_DATA);
		if (addr == ~0ULL)
			break;
		*scanned += DEV_PAGE;
		for (k = 0; k < DEV_PAGE && found < 0; k++)
			if (p[addr - DEV_BASE + k])
				found = (unsigned char)p[addr - DEV_BASE + k];
	}
	munmap(p, DEV_SPACE);
	close(fd);
	return found;
}

TEST_F_TIMEOUT(access, uninitialised_memory, 60)
{
	int round, rounds = dev_slow() ? 1 : 3;
	uint64_t scanned = 0;

	for (round = 0; round < rounds; round++) {
		soil_memory();
		ASSERT_TRUE(soil_heaps());
		EXPECT_EQ(-1, scan_fresh_heap(&scanned));
	}
	TH_LOG("%" PRIu64 " KiB looked at", scanned / 1024);
	EXPECT_LT(rounds * 2 * DEV_MIB, scanned);
}

/*
 * In its own heap the owner may find what it left, if it asks for that: the control.
 * Of a run of 16 pages, which no CPU sets aside, and with the background off, which has
 * pages in its hands at times.
 */
TEST_F(access, own_bytes)
{
	long background = dev_background(0);
	uint64_t addr = dev_new(self->fd, 2 * DEV_LARGE), again;
	char buf[4096];

	EXPECT_LE(0, background);
	memset(buf, MARK, sizeof(buf));
	ASSERT_EQ(sizeof(buf), pwrite(self->fd, buf, sizeof(buf), addr));
	ASSERT_EQ(0, dev_free(self->fd, addr));
	ASSERT_EQ(0, dev_alloc(self->fd, 2 * DEV_LARGE, GOALLOC_UNINIT, &again));
	ASSERT_EQ(addr, again);
	ASSERT_EQ(sizeof(buf), pread(self->fd, buf, sizeof(buf), again));
	EXPECT_TRUE(bytes_are(buf, sizeof(buf), MARK) || bytes_are(buf, sizeof(buf), 0));
	ASSERT_EQ(0, dev_free(self->fd, again));
	/* Asked for zeroes it gets them. */
	ASSERT_EQ(addr, dev_new(self->fd, 2 * DEV_LARGE));
	ASSERT_EQ(sizeof(buf), pread(self->fd, buf, sizeof(buf), addr));
	EXPECT_TRUE(bytes_are(buf, sizeof(buf), 0));
	if (background > 0)
		dev_background(background);
}

TEST_HARNESS_MAIN
