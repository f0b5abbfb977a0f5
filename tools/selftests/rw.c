// SPDX-License-Identifier: GPL-2.0-only
/*
 * read, write and their kin: an object's address is its offset in the file.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "heap.h"

FIXTURE(rw)
{
	int fd;
};

FIXTURE_SETUP(rw)
{
	self->fd = heap_open();
}

FIXTURE_TEARDOWN(rw)
{
	EXPECT_RET(0, IO_RET(close(self->fd)));
}

TEST_F(rw, positioned)
{
	uint64_t addr;
	char buf[200];

	addr = heap_new(self->fd, 200);
	EXPECT_EQ(12, pwrite(self->fd, "hello, heap", 12, addr));
	EXPECT_EQ(12, pread(self->fd, buf, 12, addr));
	EXPECT_STREQ("hello, heap", buf);
	EXPECT_EQ(1, pwrite(self->fd, "H", 1, addr + 7));
	EXPECT_EQ(200, pread(self->fd, buf, 200, addr));
	EXPECT_STREQ("hello, Heap", buf);
	EXPECT_TRUE(is_zero(buf + 12, 188));
	/* The position has not moved. */
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_CUR));
}

TEST_F(rw, seeking)
{
	uint64_t addr;
	char buf[32];

	addr = heap_new(self->fd, 1000);
	EXPECT_EQ(addr, lseek(self->fd, addr, SEEK_SET));
	EXPECT_EQ(3, write(self->fd, "one", 3));
	EXPECT_EQ(3, write(self->fd, "two", 3));
	EXPECT_EQ(addr + 6, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(addr, lseek(self->fd, -6, SEEK_CUR));
	EXPECT_EQ(2, read(self->fd, buf, 2));
	EXPECT_EQ(4, read(self->fd, buf + 2, 4));
	EXPECT_EQ(0, memcmp(buf, "onetwo", 6));
	EXPECT_EQ(addr + 100, lseek(self->fd, addr + 100, SEEK_SET));
	EXPECT_EQ(10, read(self->fd, buf, 10));
	EXPECT_TRUE(is_zero(buf, 10));
	EXPECT_EQ(addr + 110, lseek(self->fd, 0, SEEK_CUR));
	/* No position is below 0, and a refused one changes nothing. */
	EXPECT_RET(-EINVAL, IO_RET(lseek(self->fd, -1, SEEK_SET)));
	EXPECT_RET(-EINVAL, IO_RET(lseek(self->fd, 0, 99)));
	EXPECT_EQ(addr + 110, lseek(self->fd, 0, SEEK_CUR));
	/* A failed read does not move it either. */
	EXPECT_EQ(8, lseek(self->fd, 8, SEEK_SET));
	EXPECT_RET(-EFAULT, IO_RET(read(self->fd, buf, 1)));
	EXPECT_EQ(8, lseek(self->fd, 0, SEEK_CUR));
}

/* Any offset and length against a copy in memory. */
TEST_F_TIMEOUT(rw, across_pages, LONG_TEST)
{
	enum { BYTES = 10 * 8192 + 777, ROUNDS = 1500 };
	uint64_t state = rnd_seed(), addr;
	char *shadow, *buf;
	int round;

	/* Not the first page of the heap. */
	heap_new(self->fd, 100);
	addr = heap_new(self->fd, BYTES);
	shadow = calloc(1, BYTES);
	buf = malloc(BYTES);
	ASSERT_TRUE(addr && shadow && buf);
	for (round = 0; round < ROUNDS; round++) {
		size_t off = rnd_below(&state, BYTES);
		size_t len = rnd_below(&state, round % 10 ? 300 : BYTES) + 1;

		if (round % 3 == 0)	/* near a page's end */
			off = (off & ~8191UL) + 8192 - rnd_below(&state, 20);
		if (off >= BYTES)
			off = 0;
		if (len > BYTES - off)
			len = BYTES - off;
		if (rnd_below(&state, 2)) {
			pattern_fill(buf, len, rnd(&state));
			memcpy(shadow + off, buf, len);
			EXPECT_EQ(len, pwrite(self->fd, buf, len, addr + off));
		} else {
			memset(buf, 0x55, len);
			EXPECT_EQ(len, pread(self->fd, buf, len, addr + off));
			EXPECT_EQ(0, memcmp(buf, shadow + off, len));
		}
	}
	EXPECT_EQ(BYTES, pread(self->fd, buf, BYTES, addr));
	EXPECT_EQ(0, memcmp(buf, shadow, BYTES));
	free(shadow);
	free(buf);
}

TEST_F(rw, vectors)
{
	char a[5] = "aaaaa", b[9000], c[3] = "ccc", all[9008];
	struct iovec iov[] = {
		{ a, sizeof(a) }, { b, 0 }, { b, sizeof(b) }, { c, sizeof(c) },
	};
	uint64_t addr;

	addr = heap_new(self->fd, 40000);
	memset(b, 'b', sizeof(b));
	EXPECT_EQ(sizeof(all), pwritev(self->fd, iov, 4, addr + 8000));
	EXPECT_EQ(sizeof(all), pread(self->fd, all, sizeof(all), addr + 8000));
	EXPECT_EQ(0, memcmp(all, a, 5));
	EXPECT_EQ(0, memcmp(all + 5, b, 9000));
	EXPECT_EQ(0, memcmp(all + 9005, c, 3));
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	memset(c, 0, sizeof(c));
	EXPECT_EQ(addr + 8000, lseek(self->fd, addr + 8000, SEEK_SET));
	EXPECT_EQ(sizeof(all), readv(self->fd, iov, 4));
	EXPECT_EQ(0, memcmp(all, a, 5));
	EXPECT_EQ(0, memcmp(all + 5, b, 9000));
	EXPECT_EQ(0, memcmp(all + 9005, c, 3));
	EXPECT_EQ(addr, lseek(self->fd, addr, SEEK_SET));
	EXPECT_EQ(sizeof(all), writev(self->fd, iov, 4));
	EXPECT_EQ(addr + sizeof(all), lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(sizeof(all), preadv(self->fd, iov, 4, addr));
	EXPECT_EQ(0, memcmp(all, a, 5));
	EXPECT_EQ(0, memcmp(all + 5, b, 9000));
	EXPECT_EQ(0, memcmp(all + 9005, c, 3));
}

/* Outside of every span in use. */
TEST_F(rw, outside)
{
	static const uint64_t addrs[] = {
		0, 1, GOALLOC_ZERO_ADDR, 4096, HEAP_BASE - 1, HEAP_BASE + 1 * GIB,
		HEAP_BASE + HEAP_MAX - 1, HEAP_BASE + HEAP_MAX, HEAP_BASE + 2 * HEAP_MAX,
		0x7ffffffffffff000,
	};
	char buf[16] = "untouched";
	size_t i;

	EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, buf, 1, HEAP_BASE)));
	EXPECT_RET(-EFAULT, IO_RET(pwrite(self->fd, buf, 1, HEAP_BASE)));
	heap_new(self->fd, 100);
	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, buf, sizeof(buf), addrs[i])));
		EXPECT_RET(-EFAULT, IO_RET(pwrite(self->fd, buf, sizeof(buf), addrs[i])));
	}
	EXPECT_STREQ("untouched", buf);
	EXPECT_RET(-EINVAL, IO_RET(pread(self->fd, buf, 1, -1)));
	EXPECT_RET(-EINVAL, IO_RET(pwrite(self->fd, buf, 1, -8192)));
}

/* What begins inside and runs out is short. */
TEST_F(rw, short_at_the_end)
{
	uint64_t addr, usable, end;
	struct goalloc_query q;
	char buf[20000];

	ASSERT_RET(0, heap_alloc(self->fd, 40000, 0, &addr, &usable));
	end = addr + usable;
	ASSERT_RET(-ENOENT, heap_query(self->fd, end, &q));
	memset(buf, 'x', sizeof(buf));
	EXPECT_EQ(10000, pwrite(self->fd, buf, sizeof(buf), end - 10000));
	EXPECT_EQ(1, pwrite(self->fd, buf, 2, end - 1));
	memset(buf, 0, sizeof(buf));
	EXPECT_EQ(10000, pread(self->fd, buf, sizeof(buf), end - 10000));
	EXPECT_EQ('x', buf[0]);
	EXPECT_EQ('x', buf[9999]);
	EXPECT_TRUE(is_zero(buf + 10000, 10000));
	EXPECT_EQ(1, pread(self->fd, buf, 100, end - 1));
	EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, buf, 100, end)));
	EXPECT_RET(-EFAULT, IO_RET(pwrite(self->fd, buf, 100, end)));
	/* It begins before the span: nothing of it is read. */
	EXPECT_RET(-ENOENT, heap_query(self->fd, HEAP_BASE - 1, &q));
	EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, buf, 100, HEAP_BASE - 50)));
	/* The position moves by what was done. */
	EXPECT_EQ(end - 10, lseek(self->fd, end - 10, SEEK_SET));
	EXPECT_EQ(10, read(self->fd, buf, 100));
	EXPECT_EQ(end, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_RET(-EFAULT, IO_RET(read(self->fd, buf, 100)));
}

/* Spans side by side are one stretch of memory. */
TEST_F(rw, across_spans)
{
	uint64_t first, second;
	char buf[100];

	/* Another CPU has pages elsewhere. */
	EXPECT_TRUE(pin_to_cpu(0));
	first = heap_new(self->fd, 40960);
	second = heap_new(self->fd, 40960);
	ASSERT_EQ(first + 40960, second);
	EXPECT_TRUE(obj_write(self->fd, second - 48, 96, 7));
	EXPECT_EQ(96, pread(self->fd, buf, 96, second - 48));
	EXPECT_TRUE(pattern_holds(buf, 96, 7));
	/* With the second gone it ends at the first. */
	EXPECT_RET(0, heap_free(self->fd, second));
	EXPECT_EQ(48, pread(self->fd, buf, 96, second - 48));
}

TEST_F(rw, no_bytes)
{
	uint64_t addr;
	char buf[1];

	addr = heap_new(self->fd, 10);
	EXPECT_EQ(0, pread(self->fd, buf, 0, addr));
	EXPECT_EQ(0, pwrite(self->fd, buf, 0, addr));
}

/* The caller's memory is at fault: nothing is done, or a part that is told. */
TEST_F(rw, bad_buffer)
{
	uint64_t addr;
	ssize_t n;
	char *page;

	addr = heap_new(self->fd, 40000);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + 4096, 4096));
	memset(page, 'x', 4096);

	EXPECT_RET(-EFAULT, IO_RET(pwrite(self->fd, page + 4096, 100, addr)));
	EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, page + 4096, 100, addr)));
	EXPECT_TRUE(obj_is_zero(self->fd, addr, 40000));

	n = pwrite(self->fd, page, 8192, addr);
	EXPECT_TRUE((n > 0 && n <= 4096) || (n < 0 && errno == EFAULT))
		TH_LOG("it gave %zd (%s)", n, errno_name(IO_RET(n)));
	if (n > 0) {
		char *copy = malloc(n);

		EXPECT_EQ(n, pread(self->fd, copy, n, addr));
		EXPECT_EQ(0, memcmp(copy, page, n));
		free(copy);
	}
	EXPECT_TRUE(obj_is_zero(self->fd, addr + 4096, 40000 - 4096));
	n = pread(self->fd, page, 8192, addr + 8192);
	EXPECT_TRUE((n > 0 && n <= 4096) || (n < 0 && errno == EFAULT))
		TH_LOG("it gave %zd (%s)", n, errno_name(IO_RET(n)));

	/* Read into memory that may not be written. */
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	EXPECT_RET(-EFAULT, IO_RET(pread(self->fd, page, 100, addr)));
	munmap(page, 4096);
}

/* How a file was opened holds for its contents. */
TEST_F(rw, access_modes)
{
	int reader = open(HEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	int writer = open(HEAP_DEVICE, O_WRONLY | O_CLOEXEC);
	char buf[4];

	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	EXPECT_RET(-EBADF, IO_RET(pwrite(reader, buf, 4, HEAP_BASE)));
	EXPECT_RET(-EBADF, IO_RET(pread(writer, buf, 4, HEAP_BASE)));
	close(reader);
	close(writer);
}

/* One call for more than any buffer in between may hold. */
TEST_F_TIMEOUT(rw, one_large_transfer, LONG_TEST)
{
	size_t bytes = 24 * MIB + 5;
	char *buf = malloc(bytes);
	uint64_t addr;

	addr = heap_new(self->fd, bytes);
	ASSERT_TRUE(buf && addr);
	pattern_fill(buf, bytes, 99);
	EXPECT_EQ(bytes, pwrite(self->fd, buf, bytes, addr));
	memset(buf, 0, bytes);
	EXPECT_EQ(bytes, pread(self->fd, buf, bytes, addr));
	EXPECT_TRUE(pattern_holds(buf, bytes, 99));
	free(buf);
}

TEST_HARNESS_MAIN
