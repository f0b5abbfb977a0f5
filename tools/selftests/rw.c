// SPDX-License-Identifier: GPL-2.0-only
/*
 * read, write and their kin: an object's address is its offset in the file.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "heap.h"

static int fd;

#define IO_RET(call) ((call) < 0 ? -errno : 0)

static void positioned(void)
{
	uint64_t addr;
	char buf[200];

	fd = heap_open();
	addr = heap_new(fd, 200);
	CHECK_EQ(pwrite(fd, "hello, heap", 12, addr), 12);
	CHECK_EQ(pread(fd, buf, 12, addr), 12);
	CHECK(!strcmp(buf, "hello, heap"));
	CHECK_EQ(pwrite(fd, "H", 1, addr + 7), 1);
	CHECK_EQ(pread(fd, buf, 200, addr), 200);
	CHECK(!strcmp(buf, "hello, Heap"));
	CHECK(is_zero(buf + 12, 188));
	/* The position has not moved. */
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

static void seeking(void)
{
	uint64_t addr;
	char buf[32];

	fd = heap_open();
	addr = heap_new(fd, 1000);
	CHECK_EQ(lseek(fd, addr, SEEK_SET), addr);
	CHECK_EQ(write(fd, "one", 3), 3);
	CHECK_EQ(write(fd, "two", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), addr + 6);
	CHECK_EQ(lseek(fd, -6, SEEK_CUR), addr);
	CHECK_EQ(read(fd, buf, 2), 2);
	CHECK_EQ(read(fd, buf + 2, 4), 4);
	CHECK(!memcmp(buf, "onetwo", 6));
	CHECK_EQ(lseek(fd, addr + 100, SEEK_SET), addr + 100);
	CHECK_EQ(read(fd, buf, 10), 10);
	CHECK(is_zero(buf, 10));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), addr + 110);
	/* No position is below 0, and a refused one changes nothing. */
	CHECK_RET(IO_RET(lseek(fd, -1, SEEK_SET)), -EINVAL);
	CHECK_RET(IO_RET(lseek(fd, 0, 99)), -EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), addr + 110);
	/* A failed read does not move it either. */
	CHECK_EQ(lseek(fd, 8, SEEK_SET), 8);
	CHECK_RET(IO_RET(read(fd, buf, 1)), -EFAULT);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
}

/* Any offset and length against a copy in memory. */
static void across_pages(void)
{
	enum { BYTES = 10 * 8192 + 777, ROUNDS = 1500 };
	uint64_t state = rnd_seed(), addr;
	char *shadow, *buf;
	int round;

	fd = heap_open();
	/* Not the first page of the heap. */
	heap_new(fd, 100);
	addr = heap_new(fd, BYTES);
	shadow = calloc(1, BYTES);
	buf = malloc(BYTES);
	REQUIRE(addr && shadow && buf);
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
			CHECK_EQ(pwrite(fd, buf, len, addr + off), len);
		} else {
			memset(buf, 0x55, len);
			CHECK_EQ(pread(fd, buf, len, addr + off), len);
			CHECK(!memcmp(buf, shadow + off, len));
		}
	}
	CHECK_EQ(pread(fd, buf, BYTES, addr), BYTES);
	CHECK(!memcmp(buf, shadow, BYTES));
	free(shadow);
	free(buf);
}

static void vectors(void)
{
	char a[5] = "aaaaa", b[9000], c[3] = "ccc", all[9008];
	struct iovec iov[] = {
		{ a, sizeof(a) }, { b, 0 }, { b, sizeof(b) }, { c, sizeof(c) },
	};
	uint64_t addr;

	fd = heap_open();
	addr = heap_new(fd, 40000);
	memset(b, 'b', sizeof(b));
	CHECK_EQ(pwritev(fd, iov, 4, addr + 8000), sizeof(all));
	CHECK_EQ(pread(fd, all, sizeof(all), addr + 8000), sizeof(all));
	CHECK(!memcmp(all, a, 5) && !memcmp(all + 5, b, 9000) && !memcmp(all + 9005, c, 3));
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	memset(c, 0, sizeof(c));
	CHECK_EQ(lseek(fd, addr + 8000, SEEK_SET), addr + 8000);
	CHECK_EQ(readv(fd, iov, 4), sizeof(all));
	CHECK(!memcmp(all, a, 5) && !memcmp(all + 5, b, 9000) && !memcmp(all + 9005, c, 3));
	CHECK_EQ(lseek(fd, addr, SEEK_SET), addr);
	CHECK_EQ(writev(fd, iov, 4), sizeof(all));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), addr + sizeof(all));
	CHECK_EQ(preadv(fd, iov, 4, addr), sizeof(all));
	CHECK(!memcmp(all, a, 5) && !memcmp(all + 5, b, 9000) && !memcmp(all + 9005, c, 3));
}

/* Outside of every span in use. */
static void outside(void)
{
	static const uint64_t addrs[] = {
		0, 1, GOALLOC_ZERO_ADDR, 4096, HEAP_BASE - 1, HEAP_BASE + 1 * GIB,
		HEAP_BASE + HEAP_MAX - 1, HEAP_BASE + HEAP_MAX, HEAP_BASE + 2 * HEAP_MAX,
		0x7ffffffffffff000,
	};
	char buf[16] = "untouched";
	size_t i;

	fd = heap_open();
	CHECK_RET(IO_RET(pread(fd, buf, 1, HEAP_BASE)), -EFAULT);
	CHECK_RET(IO_RET(pwrite(fd, buf, 1, HEAP_BASE)), -EFAULT);
	heap_new(fd, 100);
	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		CHECK_RET(IO_RET(pread(fd, buf, sizeof(buf), addrs[i])), -EFAULT);
		CHECK_RET(IO_RET(pwrite(fd, buf, sizeof(buf), addrs[i])), -EFAULT);
	}
	CHECK(!strcmp(buf, "untouched"));
	CHECK_RET(IO_RET(pread(fd, buf, 1, -1)), -EINVAL);
	CHECK_RET(IO_RET(pwrite(fd, buf, 1, -8192)), -EINVAL);
}

/* What begins inside and runs out is short. */
static void short_at_the_end(void)
{
	uint64_t addr, usable, end;
	struct goalloc_query q;
	char buf[20000];

	fd = heap_open();
	REQUIRE(CHECK_RET(heap_alloc(fd, 40000, 0, &addr, &usable), 0));
	end = addr + usable;
	REQUIRE(CHECK_RET(heap_query(fd, end, &q), -ENOENT));
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(pwrite(fd, buf, sizeof(buf), end - 10000), 10000);
	CHECK_EQ(pwrite(fd, buf, 2, end - 1), 1);
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(pread(fd, buf, sizeof(buf), end - 10000), 10000);
	CHECK(buf[0] == 'x' && buf[9999] == 'x' && is_zero(buf + 10000, 10000));
	CHECK_EQ(pread(fd, buf, 100, end - 1), 1);
	CHECK_RET(IO_RET(pread(fd, buf, 100, end)), -EFAULT);
	CHECK_RET(IO_RET(pwrite(fd, buf, 100, end)), -EFAULT);
	/* It begins before the span: nothing of it is read. */
	CHECK_RET(heap_query(fd, HEAP_BASE - 1, &q), -ENOENT);
	CHECK_RET(IO_RET(pread(fd, buf, 100, HEAP_BASE - 50)), -EFAULT);
	/* The position moves by what was done. */
	CHECK_EQ(lseek(fd, end - 10, SEEK_SET), end - 10);
	CHECK_EQ(read(fd, buf, 100), 10);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), end);
	CHECK_RET(IO_RET(read(fd, buf, 100)), -EFAULT);
}

/* Spans side by side are one stretch of memory. */
static void across_spans(void)
{
	uint64_t first, second;
	char buf[100];

	fd = heap_open();
	first = heap_new(fd, 40960);
	second = heap_new(fd, 40960);
	REQUIRE(CHECK_EQ(second, first + 40960));
	CHECK(obj_write(fd, second - 48, 96, 7));
	CHECK_EQ(pread(fd, buf, 96, second - 48), 96);
	CHECK(pattern_holds(buf, 96, 7));
	/* With the second gone it ends at the first. */
	CHECK_RET(heap_free(fd, second), 0);
	CHECK_EQ(pread(fd, buf, 96, second - 48), 48);
}

static void no_bytes(void)
{
	uint64_t addr;
	char buf[1];

	fd = heap_open();
	addr = heap_new(fd, 10);
	CHECK_EQ(pread(fd, buf, 0, addr), 0);
	CHECK_EQ(pwrite(fd, buf, 0, addr), 0);
}

/* The caller's memory is at fault: nothing is done, or a part that is told. */
static void bad_buffer(void)
{
	uint64_t addr;
	ssize_t n;
	char *page;

	fd = heap_open();
	addr = heap_new(fd, 40000);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED);
	REQUIRE(!munmap(page + 4096, 4096));
	memset(page, 'x', 4096);

	CHECK_RET(IO_RET(pwrite(fd, page + 4096, 100, addr)), -EFAULT);
	CHECK_RET(IO_RET(pread(fd, page + 4096, 100, addr)), -EFAULT);
	CHECK(obj_is_zero(fd, addr, 40000));

	n = pwrite(fd, page, 8192, addr);
	CHECK((n > 0 && n <= 4096) || (n < 0 && errno == EFAULT));
	if (n > 0) {
		char *copy = malloc(n);

		CHECK_EQ(pread(fd, copy, n, addr), n);
		CHECK(!memcmp(copy, page, n));
		free(copy);
	}
	CHECK(obj_is_zero(fd, addr + 4096, 40000 - 4096));
	n = pread(fd, page, 8192, addr + 8192);
	CHECK((n > 0 && n <= 4096) || (n < 0 && errno == EFAULT));

	/* Read into memory that may not be written. */
	REQUIRE(!mprotect(page, 4096, PROT_READ));
	CHECK_RET(IO_RET(pread(fd, page, 100, addr)), -EFAULT);
	munmap(page, 4096);
}

/* How a file was opened holds for its contents. */
static void access_modes(void)
{
	int reader = open(HEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	int writer = open(HEAP_DEVICE, O_WRONLY | O_CLOEXEC);
	char buf[4];

	REQUIRE(reader >= 0 && writer >= 0);
	CHECK_RET(IO_RET(pwrite(reader, buf, 4, HEAP_BASE)), -EBADF);
	CHECK_RET(IO_RET(pread(writer, buf, 4, HEAP_BASE)), -EBADF);
	close(reader);
	close(writer);
}

/* One call for more than any buffer in between may hold. */
static void one_large_transfer(void)
{
	size_t bytes = 24 * MIB + 5;
	char *buf = malloc(bytes);
	uint64_t addr;

	fd = heap_open();
	addr = heap_new(fd, bytes);
	REQUIRE(buf && addr);
	pattern_fill(buf, bytes, 99);
	CHECK_EQ(pwrite(fd, buf, bytes, addr), bytes);
	memset(buf, 0, bytes);
	CHECK_EQ(pread(fd, buf, bytes, addr), bytes);
	CHECK(pattern_holds(buf, bytes, 99));
	free(buf);
}

static const struct tap_test tests[] = {
	TEST(positioned),
	TEST(seeking),
	TEST(across_pages),
	TEST(vectors),
	TEST(outside),
	TEST(short_at_the_end),
	TEST(across_spans),
	TEST(no_bytes),
	TEST(bad_buffer),
	TEST(access_modes),
	TEST(one_large_transfer),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
