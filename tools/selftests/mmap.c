// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps as memory: mappings of any kind show the same bytes as each other and
 * as pread(), and end where the spans in use end.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include "harness.h"
#include "device.h"

FIXTURE(map)
{
	int fd;
	long background;
};

FIXTURE_SETUP(map)
{
	/* Some want the same pages again, and it has some in its hands at times. */
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	probe_begin();
}

FIXTURE_TEARDOWN(map)
{
	close(self->fd);
	if (self->background > 0)
		dev_background(self->background);
}

TEST_F(map, anywhere)
{
	uint64_t addr = dev_new(self->fd, 100000);
	char *p, buf[64];

	ASSERT_NE(0, addr);
	p = dev_map(self->fd, addr, 100000);
	ASSERT_NE(MAP_FAILED, p);
	strcpy(p + 8190, "across two pages");
	EXPECT_EQ(17, pread(self->fd, buf, 17, addr + 8190));
	EXPECT_STREQ("across two pages", buf);
	EXPECT_EQ(5, pwrite(self->fd, "ACROS", 5, addr + 8190));
	EXPECT_STREQ("ACROSs two pages", p + 8190);
	/* Up to the last byte. */
	p[99999] = 'z';
	EXPECT_EQ(1, pread(self->fd, buf, 1, addr + 99999));
	EXPECT_EQ('z', buf[0]);
	EXPECT_EQ(0, munmap(p, 100000));
	EXPECT_EQ(SIGSEGV, probe_read(p, NULL));
}

/* At the base an object's address is its pointer, and may be kept in other objects. */
TEST_F(map, addresses_are_pointers)
{
	struct node {
		struct node *next;
		uint64_t number;
	} *head = NULL, *n;
	uint64_t addr, i;

	ASSERT_EQ((char *)DEV_BASE, dev_map_heap(self->fd));
	for (i = 0; i < 5000; i++) {
		addr = dev_new(self->fd, i % 7 ? sizeof(*n) : 40000);
		ASSERT_NE(0, addr);
		n = (struct node *)addr;
		ASSERT_TRUE(!n->next && !n->number);
		*n = (struct node){ head, i };
		head = n;
	}
	while (head) {
		struct node copy;

		ASSERT_EQ(--i, head->number);
		ASSERT_EQ(sizeof(copy), pread(self->fd, &copy, sizeof(copy), (uintptr_t)head));
		ASSERT_EQ(0, memcmp(&copy, head, sizeof(copy)));
		n = head->next;
		ASSERT_EQ(0, dev_free(self->fd, (uintptr_t)head));
		head = n;
	}
	EXPECT_EQ(0, i);
	EXPECT_EQ(0, dev_stats(self->fd).heap_objects);
	EXPECT_TRUE(dev_balanced(self->fd));
}

TEST_F(map, offset_0_is_the_base)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	char *p, *q;

	p = dev_map_at(self->fd, NULL, DEV_SPACE, PROT_READ | PROT_WRITE, 0);
	ASSERT_NE(MAP_FAILED, p);
	q = dev_map(self->fd, DEV_BASE, 1 * DEV_MIB);
	ASSERT_NE(MAP_FAILED, q);
	strcpy(p + (addr - DEV_BASE), "found");
	EXPECT_STREQ("found", q + (addr - DEV_BASE));
}

TEST_F(map, ranges)
{
	static const struct {
		uint64_t offset, len;
		int err;
	} ranges[] = {
		{ 0, 4096, 0 },
		{ 0, DEV_SPACE, 0 },
		{ 0, DEV_SPACE + 4096, EINVAL },
		{ DEV_BASE, DEV_SPACE, 0 },
		{ DEV_BASE, DEV_SPACE - 4096, 0 },
		{ DEV_BASE, DEV_SPACE + 4096, EINVAL },
		{ DEV_BASE, 2 * DEV_SPACE, EINVAL },
		{ DEV_BASE + 4096, 4096, 0 },
		{ DEV_BASE + 4096, DEV_SPACE - 4096, 0 },
		{ DEV_BASE + 4096, DEV_SPACE, EINVAL },
		{ DEV_BASE + DEV_SPACE - 4096, 4096, 0 },
		{ DEV_BASE + DEV_SPACE - 4096, 8192, EINVAL },
		{ DEV_BASE + DEV_SPACE, 4096, EINVAL },
		{ DEV_BASE + 2 * DEV_SPACE, 4096, EINVAL },
		{ DEV_BASE - 4096, 4096, EINVAL },
		{ DEV_BASE - 4096, 8192, EINVAL },
		{ 4096, 4096, EINVAL },
		{ 8192, DEV_BASE, EINVAL },
		{ 1ULL << 62, 4096, EINVAL },
		{ ~0ULL << 13, 4096, EINVAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		char *p = dev_map(self->fd, ranges[i].offset, ranges[i].len);

		EXPECT_EQ(ranges[i].err, p == MAP_FAILED ? errno : 0)
			TH_LOG("offset %#" PRIx64 ", %#" PRIx64 " bytes", ranges[i].offset,
			       ranges[i].len);
		if (p != MAP_FAILED)
			EXPECT_EQ(0, munmap(p, ranges[i].len));
	}
}

TEST_F(map, private)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE };
	size_t i;

	dev_new(self->fd, DEV_LARGE);
	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, prots[i], MAP_PRIVATE, self->fd, DEV_BASE));
		EXPECT_EQ(EINVAL, errno);
	}
}

/* Each page comes when it is touched, with zeroes in it, and not before. */
TEST_F(map, first_touch)
{
	enum { PAGES = 128 };
	uint64_t addr = dev_new(self->fd, PAGES * DEV_PAGE), before;
	char *p = dev_map(self->fd, addr, PAGES * DEV_PAGE);
	unsigned char byte;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	before = dev_backed(self->fd);
	ASSERT_NE(~0ULL, before);
	for (i = 0; i < PAGES; i += 2) {
		char *at = p + i * DEV_PAGE + (i % 8) * 1024;

		/* By reading, by writing, in one half and the other. */
		EXPECT_EQ(0, i % 4 ? probe_write(at, 0) : probe_read(at, &byte));
	}
	EXPECT_EQ(before + PAGES / 2 * DEV_PAGE, dev_backed(self->fd));
	EXPECT_TRUE(bytes_are(p, PAGES * DEV_PAGE, 0));
	EXPECT_EQ(before + PAGES * DEV_PAGE, dev_backed(self->fd));
}

/* The same pages, used before: zeroes all the same. */
TEST_F(map, zeroed_again)
{
	char *heap = dev_map_heap(self->fd);
	uint64_t addr, last[2] = { 0 };
	int round, same = 0;

	/* Another CPU would set pages of its own aside. */
	ASSERT_TRUE(dev_stay());
	ASSERT_EQ((char *)DEV_BASE, heap);
	for (round = 0; round < 20; round++) {
		uint64_t bytes = round % 2 ? 1024 : 20 * DEV_PAGE;

		addr = dev_new(self->fd, bytes);
		ASSERT_NE(0, addr);
		same += addr == last[round % 2];
		last[round % 2] = addr;
		EXPECT_TRUE(bytes_are((void *)addr, bytes, 0));
		memset((void *)addr, 0xaa, bytes);
		EXPECT_EQ(0, dev_free(self->fd, addr));
		if (round == 11)
			EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	}
	/* They were the same. */
	EXPECT_LT(5, same);
}

/*
 * A process can write to all of a span as soon as it has one object there. What is
 * made in it then is zero all the same.
 */
static void span_written(struct __test_metadata *_metadata, uint64_t bytes, uint32_t flags,
			 bool by_file)
{
	int fd = dev_open();
	char *heap = dev_map_heap(fd), *ones, *span;
	uint64_t first, len;
	struct goalloc_query q;
	unsigned int i;

	ASSERT_EQ((char *)DEV_BASE, heap);
	ASSERT_EQ(0, dev_alloc(fd, bytes, flags, &first));
	ASSERT_EQ(0, dev_query(fd, first, &q));
	span = heap + (q.span_base - DEV_BASE);
	len = q.span_pages * DEV_PAGE;
	ones = malloc(len);
	ASSERT_NE(NULL, ones);
	memset(ones, 0xff, len);
	if (!by_file)
		memcpy(span, ones, len);
	else
		len = pwrite(fd, ones, len, q.span_base);
	ASSERT_EQ(q.span_pages * DEV_PAGE, len);
	for (i = 0; i < 3; i++) {
		struct goalloc_alloc arg = { .size = sizeof(arg), .flags = flags, .bytes = bytes };

		ASSERT_EQ(0, dev_ioctl(fd, GOALLOC_IOC_ALLOC, &arg));
		EXPECT_GT(len, arg.addr - q.span_base);
		EXPECT_LE(bytes, arg.usable);
		EXPECT_TRUE(bytes_are((void *)arg.addr, arg.usable, 0))
			TH_LOG("%" PRIu64 " bytes, flags %u, by file %d", bytes, flags, by_file);
	}
	EXPECT_TRUE(bytes_are((void *)first, bytes, 0xff));
	free(ones);
	EXPECT_EQ(0, munmap(heap, DEV_SPACE));
	EXPECT_EQ(0, close(fd));
}

TEST(zeroed_where_written)
{
	static const uint64_t sizes[] = { 1, 2, 5, 8, 12, 15, 16, 24, 112, 1024, 3072, 10240 };
	unsigned int i, how;

	/* Another CPU would have a span of its own. */
	ASSERT_TRUE(dev_stay());
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (how = 0; how < 4; how++)
			span_written(_metadata, sizes[i], how & 1 ? GOALLOC_SCAN : 0, how & 2);
}

/* Any access through any mapping, and by pread() and pwrite(), against a copy. */
TEST_F(map, same_bytes)
{
	enum { BYTES = 12 * 8192 + 500, MAPPINGS = 3, ROUNDS = 2000 };
	uint64_t addr = dev_new(self->fd, BYTES), state = dev_seed();
	char *maps[MAPPINGS], *shadow = calloc(1, BYTES), *buf = malloc(BYTES);
	int i, rounds = dev_slow() ? ROUNDS / 2 : ROUNDS;

	ASSERT_TRUE(addr && shadow && buf);
	for (i = 0; i < MAPPINGS; i++) {
		maps[i] = dev_map(self->fd, addr, BYTES);
		ASSERT_NE(MAP_FAILED, maps[i]);
	}
	for (i = 0; i < rounds; i++) {
		size_t off = dev_random(&state) % BYTES;
		size_t len = dev_random(&state) % (i % 20 ? 300 : BYTES) + 1;
		unsigned int by = dev_random(&state) % (MAPPINGS + 1);

		len = len < BYTES - off ? len : BYTES - off;
		if (dev_random(&state) % 2) {
			memset(buf, dev_random(&state), len);
			memcpy(shadow + off, buf, len);
			if (by < MAPPINGS)
				memcpy(maps[by] + off, buf, len);
			else
				ASSERT_EQ(len, pwrite(self->fd, buf, len, addr + off));
		} else if (by < MAPPINGS) {
			ASSERT_EQ(0, memcmp(maps[by] + off, shadow + off, len));
		} else {
			ASSERT_EQ(len, pread(self->fd, buf, len, addr + off));
			ASSERT_EQ(0, memcmp(buf, shadow + off, len));
		}
		/* Mappings come and go meanwhile. */
		if (i % 50 == 0) {
			ASSERT_EQ(0, munmap(maps[i / 50 % MAPPINGS], BYTES));
			maps[i / 50 % MAPPINGS] = dev_map(self->fd, addr, BYTES);
			ASSERT_NE(MAP_FAILED, maps[i / 50 % MAPPINGS]);
		}
	}
	for (i = 0; i < MAPPINGS; i++)
		EXPECT_EQ(0, memcmp(maps[i], shadow, BYTES));
}

/* One heap's mapping shows nothing of another heap. */
TEST_F(map, heaps_apart)
{
	int other = dev_open();
	uint64_t a, b;
	char *p, *q;

	ASSERT_LE(0, other);
	a = dev_new(self->fd, DEV_LARGE);
	b = dev_new(other, DEV_LARGE);
	EXPECT_EQ(a, b);
	p = dev_map(self->fd, a, DEV_LARGE);
	q = dev_map(other, b, DEV_LARGE);
	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	memset(p, 'p', DEV_LARGE);
	EXPECT_TRUE(bytes_are(q, DEV_LARGE, 0));
	memset(q, 'q', DEV_LARGE);
	EXPECT_TRUE(bytes_are(p, DEV_LARGE, 'p'));
	close(other);
}

/* A mapping passed on by fork, and what is allocated only after it. */
TEST_F(map, forked)
{
	char *heap = dev_map_heap(self->fd);
	uint64_t mine = dev_new(self->fd, 1000), theirs;
	int pipes[2];
	pid_t pid;

	ASSERT_EQ((char *)DEV_BASE, heap);
	ASSERT_EQ(0, pipe(pipes));
	strcpy((char *)mine, "from the parent");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		theirs = dev_new(self->fd, DEV_LARGE);
		if (strcmp((char *)mine, "from the parent") || !theirs)
			_exit(1);
		strcpy((char *)theirs, "from the child");
		strcpy((char *)mine, "seen");
		dev_tell(pipes[1], theirs);
		_exit(0);
	}
	theirs = dev_hear(pipes[0]);
	ASSERT_EQ(0, dev_wait(pid));
	EXPECT_STREQ("from the child", (char *)theirs);
	EXPECT_STREQ("seen", (char *)mine);
	EXPECT_EQ(0, dev_free(self->fd, theirs));
	EXPECT_EQ(SIGBUS, probe_read((char *)theirs, NULL));
}

/* What another process that got the file otherwise says of an object in it. */
static int judge_object(int fd, uint64_t addr)
{
	char *p = dev_map(fd, addr, DEV_LARGE);

	if (fd < 0 || p == MAP_FAILED || strcmp(p, "passed on"))
		return 1;
	strcpy(p + DEV_PAGE, "passed back");
	return 0;
}

TEST_F(map, passed_over_a_socket)
{
	uint64_t addr;
	int sockets[2];
	pid_t pid;
	char *p;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP(return, "this kernel has no sockets");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->fd);
		addr = dev_hear(sockets[1]);
		_exit(judge_object(dev_receive_file(sockets[1]), addr));
	}
	/* Opened since, so that the child has it by the socket alone. */
	close(self->fd);
	self->fd = dev_open();
	addr = dev_new(self->fd, DEV_LARGE);
	p = dev_map(self->fd, addr, DEV_LARGE);
	ASSERT_NE(MAP_FAILED, p);
	strcpy(p, "passed on");
	ASSERT_TRUE(dev_tell(sockets[0], addr));
	ASSERT_TRUE(dev_send_file(sockets[0], self->fd));
	EXPECT_EQ(0, dev_wait(pid));
	EXPECT_STREQ("passed back", p + DEV_PAGE);
}

/* The heap of a process that is gone by now. */
TEST_F(map, taken_by_pidfd)
{
	int there[2], back[2], pidfd, fd, theirs;
	uint64_t addr;
	pid_t pid;

	ASSERT_TRUE(!pipe(there) && !pipe(back));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char *p;

		fd = dev_open();
		addr = dev_new(fd, DEV_LARGE);
		p = dev_map(fd, addr, DEV_LARGE);
		if (p == MAP_FAILED)
			_exit(1);
		strcpy(p, "passed on");
		dev_tell(there[1], fd);
		dev_tell(there[1], addr);
		dev_hear(back[0]);
		_exit(strcmp(p + DEV_PAGE, "passed back"));
	}
	theirs = dev_hear(there[0]);
	addr = dev_hear(there[0]);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_LE(0, pidfd);
	fd = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, judge_object(fd, addr));
	ASSERT_TRUE(dev_tell(back[1], 0));
	EXPECT_EQ(0, dev_wait(pid));
	EXPECT_EQ(0, judge_object(fd, addr));
	EXPECT_EQ(0, dev_free(fd, addr));
	EXPECT_EQ(0, dev_stats(fd).heap_objects);
	close(fd);
}

/* A mapping may begin and end in the middle of a heap page. */
TEST_F(map, part_of_a_page)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	char *whole = dev_map(self->fd, addr, DEV_LARGE);
	char *part = dev_map(self->fd, addr + 4096, 8192);

	ASSERT_TRUE(whole != MAP_FAILED && part != MAP_FAILED);
	/* Touched through the part first: the other half is there as well. */
	strcpy(part + 4090, "halves");
	EXPECT_STREQ("halves", whole + 8186);
	EXPECT_EQ(0, whole[0]);
	strcpy(whole + 4096, "second half");
	EXPECT_STREQ("second half", part);
}

TEST_F(map, hole_in_the_middle)
{
	uint64_t addr = dev_new(self->fd, 8 * DEV_PAGE);
	char *p = dev_map(self->fd, addr, 8 * DEV_PAGE);
	struct goalloc_memstats before;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	pattern_put(p, 8 * DEV_PAGE, 1);
	before = dev_stats(self->fd);
	ASSERT_EQ(0, munmap(p + 2 * DEV_PAGE + 4096, 2 * DEV_PAGE));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(i >= 5 && i < 9 ? SIGSEGV : 0, probe_read(p + i * 4096, NULL));
	/* Nothing is lost by it, and it can be filled again. */
	ASSERT_EQ(p + 2 * DEV_PAGE + 4096,
		  dev_map_at(self->fd, p + 2 * DEV_PAGE + 4096, 2 * DEV_PAGE, PROT_READ,
			     addr + 2 * DEV_PAGE + 4096));
	EXPECT_TRUE(pattern_is(p, 8 * DEV_PAGE, 1));
	EXPECT_EQ(SIGSEGV, probe_write(p + 3 * DEV_PAGE, 1));
	/* The ends first, then what is left of the middle. */
	EXPECT_EQ(0, munmap(p, DEV_PAGE));
	EXPECT_EQ(0, munmap(p + 7 * DEV_PAGE, DEV_PAGE));
	EXPECT_EQ(0, munmap(p, 8 * DEV_PAGE));
	EXPECT_EQ(before.heap_inuse, dev_stats(self->fd).heap_inuse);
	EXPECT_EQ(before.heap_objects, dev_stats(self->fd).heap_objects);
}

TEST_F(map, protection)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	char *p = dev_map(self->fd, addr, DEV_LARGE);
	unsigned char byte = 1;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, probe_write(p, 'a'));
	ASSERT_EQ(0, mprotect(p, DEV_LARGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, probe_write(p, 'b'));
	EXPECT_EQ(SEGV_ACCERR, probe_code);
	EXPECT_EQ(p, probe_addr);
	/* A page that is first touched by reading, and may be written later. */
	EXPECT_EQ(0, probe_read(p + 2 * DEV_PAGE, &byte));
	EXPECT_EQ(0, byte);
	EXPECT_EQ(SIGSEGV, probe_write(p + 4 * DEV_PAGE, 'b'));
	ASSERT_EQ(0, mprotect(p, DEV_LARGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, probe_write(p, 'c'));
	EXPECT_EQ(0, probe_write(p + 2 * DEV_PAGE, 'c'));
	EXPECT_EQ(0, probe_write(p + 4 * DEV_PAGE, 'c'));
	ASSERT_EQ(0, mprotect(p, DEV_PAGE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, probe_read(p, &byte));
	EXPECT_EQ(0, probe_read(p + 2 * DEV_PAGE, &byte));
	EXPECT_EQ('c', byte);
	ASSERT_EQ(0, mprotect(p, DEV_PAGE, PROT_READ));
	EXPECT_EQ(0, probe_read(p, &byte));
	EXPECT_EQ('c', byte);
	EXPECT_EQ(1, pread(self->fd, &byte, 1, addr + 4 * DEV_PAGE));
	EXPECT_EQ('c', byte);
}

TEST_F(map, remapped)
{
	uint64_t addr = dev_new(self->fd, 32 * DEV_PAGE);
	char *p, *q, *room;

	p = dev_map(self->fd, addr, 16 * DEV_PAGE);
	ASSERT_NE(MAP_FAILED, p);
	pattern_put(p, 16 * DEV_PAGE, 5);

	/* Smaller. */
	ASSERT_EQ(p, mremap(p, 16 * DEV_PAGE, 4 * DEV_PAGE, 0));
	EXPECT_TRUE(pattern_is(p, 4 * DEV_PAGE, 5));
	EXPECT_EQ(SIGSEGV, probe_read(p + 4 * DEV_PAGE, NULL));
	/* Larger: what is behind it in the heap. */
	q = mremap(p, 4 * DEV_PAGE, 32 * DEV_PAGE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_TRUE(pattern_is(q, 16 * DEV_PAGE, 5));
	EXPECT_TRUE(bytes_are(q + 16 * DEV_PAGE, 16 * DEV_PAGE, 0));
	q[32 * DEV_PAGE - 1] = 'e';
	/* Elsewhere. */
	room = mmap(NULL, 32 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	p = mremap(q, 32 * DEV_PAGE, 32 * DEV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ASSERT_EQ(room, p);
	EXPECT_EQ(SIGSEGV, probe_read(q, NULL));
	EXPECT_TRUE(pattern_is(p, 16 * DEV_PAGE, 5));
	EXPECT_EQ('e', p[32 * DEV_PAGE - 1]);
	/* A part of it, so that the heap's order is no more that of the addresses. */
	room = mmap(NULL, 4 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	q = mremap(p + 4 * DEV_PAGE, 4 * DEV_PAGE, 4 * DEV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   room);
	ASSERT_EQ(room, q);
	EXPECT_EQ(pattern_at(5, 4 * DEV_PAGE / 8), *(uint64_t *)q);
	/* A second mapping of the same. */
	p = mremap(q, 0, 2 * DEV_PAGE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, q, 2 * DEV_PAGE));
	p[0] ^= 1;
	EXPECT_EQ(p[0], q[0]);

	/* When the object goes it goes from all of them. */
	ASSERT_EQ(0, dev_free(self->fd, addr));
	EXPECT_EQ(SIGBUS, probe_read(p, NULL));
	EXPECT_EQ(SIGBUS, probe_read(q + 3 * DEV_PAGE, NULL));
}

/* With nothing behind it a mapping grows where it is. */
TEST_F(map, grown_in_place)
{
	uint64_t addr = dev_new(self->fd, 16 * DEV_PAGE);
	char *room, *p;

	room = mmap(NULL, 16 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 16 * DEV_PAGE));
	p = dev_map_at(self->fd, room, 4 * DEV_PAGE, PROT_READ | PROT_WRITE, addr);
	ASSERT_EQ(room, p);
	pattern_put(p, 4 * DEV_PAGE, 6);
	p = mremap(room, 4 * DEV_PAGE, 16 * DEV_PAGE, MREMAP_MAYMOVE);
	ASSERT_EQ(room, p);
	p[16 * DEV_PAGE - 1] = 'e';
	EXPECT_EQ(1, pwrite(self->fd, "f", 1, addr + 5 * DEV_PAGE));
	EXPECT_EQ('f', p[5 * DEV_PAGE]);
	EXPECT_TRUE(pattern_is(p, 4 * DEV_PAGE, 6));
}

/* Beside a mapping it could be one with, a range is looked at as well. */
TEST_F(map, joined)
{
	char *room = mmap(NULL, 8 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = room + 4 * DEV_PAGE;
	int prot = PROT_READ | PROT_WRITE, fixed = MAP_SHARED | MAP_FIXED;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(p, mmap(p, DEV_PAGE, prot, fixed, self->fd, DEV_BASE));
	ASSERT_EQ(0, munmap(p - DEV_PAGE, DEV_PAGE));
	EXPECT_EQ(MAP_FAILED, mmap(p - DEV_PAGE, DEV_PAGE, prot, fixed, self->fd,
				   DEV_BASE - DEV_PAGE));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(p, mmap(p, DEV_PAGE, prot, fixed, self->fd, DEV_BASE + DEV_SPACE - DEV_PAGE));
	ASSERT_EQ(0, munmap(p + DEV_PAGE, DEV_PAGE));
	EXPECT_EQ(MAP_FAILED, mmap(p + DEV_PAGE, DEV_PAGE, prot, fixed, self->fd,
				   DEV_BASE + DEV_SPACE));
	EXPECT_EQ(EINVAL, errno);
	/* What may be one is. */
	EXPECT_EQ(p - DEV_PAGE, mmap(p - DEV_PAGE, DEV_PAGE, prot, fixed, self->fd,
				     DEV_BASE + DEV_SPACE - 2 * DEV_PAGE));
	EXPECT_EQ(room, mremap(p - DEV_PAGE, 2 * DEV_PAGE, 2 * DEV_PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
}

/* A mapping that has grown beyond the end of the address space has nothing there. */
TEST_F(map, grown_out)
{
	char *room = mmap(NULL, 8 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to, *p;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 8 * DEV_PAGE));
	p = mmap(room, DEV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, self->fd,
		 DEV_BASE + DEV_SPACE - DEV_PAGE);
	ASSERT_EQ(room, p);
	/* It may grow where it is, not go elsewhere for it. */
	to = mmap(NULL, 8 * DEV_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, to);
	EXPECT_EQ(MAP_FAILED, mremap(p, DEV_PAGE, 8 * DEV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(EINVAL, errno);
	p = mremap(p, DEV_PAGE, 8 * DEV_PAGE, 0);
	ASSERT_EQ(room, p);
	EXPECT_EQ(SIGBUS, probe_read(p, NULL));
	EXPECT_EQ(SIGBUS, probe_read(p + DEV_PAGE, NULL));
	EXPECT_EQ(SIGBUS, probe_write(p + 8 * DEV_PAGE - 1, 0));
}

TEST_F(map, dontneed)
{
	uint64_t addr = dev_new(self->fd, 64 * DEV_PAGE), backed;
	char *p = dev_map(self->fd, addr, 64 * DEV_PAGE);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	pattern_put(p, 64 * DEV_PAGE, 9);
	backed = dev_backed(self->fd);
	ASSERT_EQ(0, madvise(p + 4096, 40 * DEV_PAGE, MADV_DONTNEED));
	EXPECT_EQ(1, dev_page_present(getpid(), p));
	for (i = 1; i < 81; i++)
		EXPECT_EQ(0, dev_page_present(getpid(), p + i * 4096));
	EXPECT_EQ(1, dev_page_present(getpid(), p + 81 * 4096));
	/* The heap has them still. */
	EXPECT_EQ(backed, dev_backed(self->fd));
	EXPECT_TRUE(pattern_is(p, 64 * DEV_PAGE, 9));
	EXPECT_EQ(-1, madvise(p, DEV_PAGE, MADV_FREE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(pattern_is(p, 64 * DEV_PAGE, 9));
}

TEST_F(map, locked_and_synced)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	char *p = dev_map(self->fd, addr, DEV_LARGE);

	ASSERT_NE(MAP_FAILED, p);
	pattern_put(p, DEV_LARGE / 2, 3);
	EXPECT_EQ(0, msync(p, DEV_LARGE, MS_SYNC));
	EXPECT_EQ(0, msync(p, DEV_LARGE, MS_ASYNC));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, fdatasync(self->fd));
	EXPECT_EQ(0, mlock(p, DEV_LARGE));
	EXPECT_TRUE(pattern_is(p, DEV_LARGE / 2, 3));
	EXPECT_EQ(0, msync(p, DEV_LARGE, MS_SYNC));
	EXPECT_EQ(0, munlock(p, DEV_LARGE));
	/* A lock holds nothing that the heap gives back. */
	EXPECT_EQ(0, mlock(p, DEV_LARGE));
	EXPECT_EQ(0, dev_free(self->fd, addr));
	EXPECT_EQ(SIGBUS, probe_read(p, NULL));
	EXPECT_EQ(0, munmap(p, DEV_LARGE));
}

TEST_F(map, populated)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE), before = dev_backed(self->fd);
	char *p;
	int i;

	p = mmap(NULL, DEV_LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self->fd,
		 addr);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(before + DEV_LARGE, dev_backed(self->fd));
	for (i = 0; i < 16; i++)
		EXPECT_EQ(1, dev_page_present(getpid(), p + i * 4096));
	EXPECT_TRUE(bytes_are(p, DEV_LARGE, 0));
}

/* How a file was opened holds for its mappings. */
TEST_F(map, read_only_file)
{
	int fd = open(DEV_PATH, O_RDONLY | O_CLOEXEC);
	uint64_t addr;
	char *p;

	ASSERT_LE(0, fd);
	addr = dev_new(fd, DEV_LARGE);
	ASSERT_NE(0, addr);
	p = mmap(NULL, DEV_LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, addr);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EACCES, errno);
	p = mmap(NULL, DEV_LARGE, PROT_READ, MAP_SHARED, fd, addr);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(bytes_are(p, DEV_LARGE, 0));
	EXPECT_EQ(SIGSEGV, probe_write(p, 1));
	EXPECT_EQ(-1, mprotect(p, DEV_LARGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, probe_write(p, 1));
	EXPECT_EQ(0, *p);
	close(fd);

	fd = open(DEV_PATH, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	p = mmap(NULL, DEV_LARGE, PROT_WRITE, MAP_SHARED, fd, DEV_BASE);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EACCES, errno);
	close(fd);
}

/* An access where no span is in use: SIGBUS, and EFAULT in a system call. */
#define EXPECT_BUS(addr) do {						\
	char *_addr = (char *)(addr);					\
									\
	probe_code = -1;						\
	EXPECT_EQ(SIGBUS, probe_read(_addr, NULL));			\
	EXPECT_EQ(BUS_ADRERR, probe_code);				\
	EXPECT_EQ(_addr, probe_addr);					\
	EXPECT_EQ(SIGBUS, probe_write(_addr, 1));			\
	EXPECT_EQ(-1, write(pipes[1], _addr, 1));			\
	EXPECT_EQ(EFAULT, errno);					\
} while (0)

TEST_F(map, no_span)
{
	char *heap = dev_map_heap(self->fd);
	struct goalloc_query q;
	uint64_t addr, small;
	int pipes[2];

	ASSERT_EQ((char *)DEV_BASE, heap);
	ASSERT_EQ(0, pipe(pipes));
	/* A heap that never had an object. */
	EXPECT_BUS(heap);
	EXPECT_BUS(heap + 12345);
	EXPECT_BUS(heap + 64 * DEV_MIB);
	EXPECT_BUS(heap + DEV_SPACE - 1);

	/* Around and behind spans; of 16 pages a CPU sets none aside. */
	small = dev_new(self->fd, 100);
	addr = dev_new(self->fd, 16 * DEV_PAGE);
	ASSERT_EQ(0, dev_query(self->fd, addr, &q));
	ASSERT_EQ(16, q.span_pages);
	ASSERT_EQ(-ENOENT, dev_query(self->fd, addr + 16 * DEV_PAGE, &q));
	EXPECT_EQ(0, probe_write((char *)addr + 16 * DEV_PAGE - 1, 1));
	EXPECT_BUS(addr + 16 * DEV_PAGE);
	EXPECT_BUS(addr + 16 * DEV_PAGE + 4096);
	EXPECT_BUS(heap + DEV_GIB);
	/* A slot that is free lies in a span in use. */
	EXPECT_EQ(0, probe_write((char *)small, 1));
	EXPECT_EQ(0, probe_write((char *)small + 112, 1));

	/* Freed, and its pages given back to the heap. */
	ASSERT_EQ(0, dev_free(self->fd, addr));
	EXPECT_BUS(addr);
	EXPECT_BUS(addr + 16 * DEV_PAGE - 1);
	EXPECT_EQ(0, probe_write((char *)small, 1));
	/* In use anew, by other spans: there again, zeroed. */
	ASSERT_EQ(addr, dev_new(self->fd, 16 * DEV_PAGE));
	EXPECT_TRUE(bytes_are((char *)addr, 16 * DEV_PAGE, 0));
	EXPECT_EQ(1, write(pipes[1], (char *)addr, 1));
}

/* Objects in the address space far apart, in a mapping of all of it. */
TEST_F(map, far_apart)
{
	char *heap = dev_map_heap(self->fd);
	uint64_t addrs[6];
	int i;

	ASSERT_EQ((char *)DEV_BASE, heap);
	for (i = 0; i < 6; i++) {
		addrs[i] = dev_new(self->fd, 96 * DEV_MIB + 1);
		ASSERT_NE(0, addrs[i]);
		memcpy((char *)addrs[i], &i, sizeof(i));
		memcpy((char *)addrs[i] + 96 * DEV_MIB - 8, &i, sizeof(i));
	}
	for (i = 0; i < 6; i++) {
		int seen;

		EXPECT_EQ(0, memcmp((char *)addrs[i], &i, sizeof(i)));
		EXPECT_EQ(4, pread(self->fd, &seen, sizeof(seen), addrs[i] + 96 * DEV_MIB - 8));
		EXPECT_EQ(i, seen);
	}
	/* Twelve pages, not half a gigabyte. */
	EXPECT_EQ(12 * DEV_PAGE, dev_backed(self->fd));
	EXPECT_EQ(0, munmap(heap, DEV_SPACE));
}

/* The kernel as the one who touches first: copies to and from user memory, GUP. */
TEST_F(map, touched_by_the_kernel)
{
	uint64_t addr = dev_new(self->fd, 64 * DEV_PAGE);
	char *p = dev_map(self->fd, addr, 64 * DEV_PAGE), buf[64];
	struct iovec here = { buf, sizeof(buf) };
	struct iovec there = { p + 30 * DEV_PAGE, sizeof(buf) };
	int pipes[2], file;
	ssize_t n;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(6, write(pipes[1], "hello", 6));
	EXPECT_EQ(6, read(pipes[0], p + DEV_PAGE - 3, 6));
	EXPECT_STREQ("hello", p + DEV_PAGE - 3);
	EXPECT_EQ(16, write(pipes[1], p + 10 * DEV_PAGE - 8, 16));
	EXPECT_EQ(16, read(pipes[0], buf, 16));
	EXPECT_TRUE(bytes_are(buf, 16, 0));

	/* From the heap to the heap, both ends untouched, across pages. */
	EXPECT_EQ(3 * DEV_PAGE, pread(self->fd, p + 20 * DEV_PAGE + 100, 3 * DEV_PAGE, addr));
	EXPECT_EQ(0, memcmp(p, p + 20 * DEV_PAGE + 100, 3 * DEV_PAGE));
	EXPECT_EQ(DEV_PAGE, pwrite(self->fd, p + DEV_PAGE / 2, DEV_PAGE, addr + 40 * DEV_PAGE + 7));
	EXPECT_STREQ("hello", p + 40 * DEV_PAGE + 7 + DEV_PAGE / 2 - 3);
	/* A page onto itself. */
	EXPECT_EQ(100, pwrite(self->fd, p, 100, addr + 10));
	EXPECT_EQ(100, pread(self->fd, p, 100, addr + 10));

	/* Through /proc, which takes hold of the pages themselves. */
	file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, file);
	EXPECT_EQ(7, pwrite(file, "by proc", 7, (uintptr_t)p + 50 * DEV_PAGE));
	EXPECT_EQ(0, memcmp(p + 50 * DEV_PAGE, "by proc", 7));
	EXPECT_EQ(7, pread(file, buf, 7, (uintptr_t)p + 50 * DEV_PAGE));
	EXPECT_EQ(0, memcmp(buf, "by proc", 7));
	close(file);

	memset(buf, 'v', sizeof(buf));
	n = process_vm_writev(getpid(), &here, 1, &there, 1, 0);
	if (n < 0 && errno == ENOSYS)
		SKIP(return, "this kernel has no process_vm_writev()");
	EXPECT_EQ(sizeof(buf), n);
	EXPECT_TRUE(bytes_are(p + 30 * DEV_PAGE, sizeof(buf), 'v'));
	memset(p + 30 * DEV_PAGE, 'w', sizeof(buf));
	EXPECT_EQ(sizeof(buf), process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	EXPECT_TRUE(bytes_are(buf, sizeof(buf), 'w'));
}

/* Threads that meet at the first touch of a page meet in the same page. */
struct meeting {
	pthread_barrier_t barrier;
	char *maps[4];
	int pages;
	int failures;
};

static void *meet(void *arg)
{
	struct meeting *m = arg;
	static int number;
	char *p = m->maps[__atomic_fetch_add(&number, 1, __ATOMIC_RELAXED) % 4];
	int i;

	for (i = 0; i < m->pages; i++) {
		pthread_barrier_wait(&m->barrier);
		__atomic_fetch_add((uint64_t *)(p + i * DEV_PAGE), 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&m->barrier);
		if (*(volatile uint64_t *)(p + i * DEV_PAGE) != 4)
			__atomic_fetch_add(&m->failures, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F(map, met_at_first_touch)
{
	struct meeting m = { .pages = dev_slow() ? 100 : 300 };
	uint64_t addr = dev_new(self->fd, m.pages * DEV_PAGE);
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++) {
		m.maps[i] = dev_map(self->fd, addr, m.pages * DEV_PAGE);
		ASSERT_NE(MAP_FAILED, m.maps[i]);
	}
	ASSERT_EQ(0, pthread_barrier_init(&m.barrier, NULL, 4));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, meet, &m));
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(0, m.failures);
	EXPECT_EQ(m.pages * DEV_PAGE, dev_backed(self->fd));
}

/* What processes that have the heap at different addresses keep in it. */
struct common {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	uint64_t counter;
	uint32_t turn;
	uint32_t word;
};

enum { COUNTED = 4000 };

static int count(struct common *c, uint32_t me)
{
	int i;

	for (i = 0; i < COUNTED; i++) {
		uint64_t seen;

		if (pthread_mutex_lock(&c->mutex))
			return 1;
		seen = c->counter;
		if (i % 256 == 0)
			sched_yield();
		c->counter = seen + 1;
		pthread_mutex_unlock(&c->mutex);
	}
	/* And in turns, which needs the one to wake the other. */
	for (i = 0; i < 100; i++) {
		if (pthread_mutex_lock(&c->mutex))
			return 1;
		while (c->turn != me)
			pthread_cond_wait(&c->cond, &c->mutex);
		c->turn = !me;
		pthread_cond_broadcast(&c->cond);
		pthread_mutex_unlock(&c->mutex);
	}
	return 0;
}

static void common_init(struct common *c, bool robust)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&c->mutex, &mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&c->cond, &cond);
}

TEST_F(map, mutex_between_processes)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	struct common *mine = (void *)dev_map(self->fd, addr, DEV_LARGE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)mine);
	common_init(mine, false);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* Nowhere near. */
		char *heap = dev_map_heap(self->fd);

		munmap(mine, DEV_LARGE);
		_exit(heap == MAP_FAILED || count((struct common *)addr, 1));
	}
	EXPECT_EQ(0, count(mine, 0));
	EXPECT_EQ(0, dev_wait(pid));
	EXPECT_EQ(2 * COUNTED, mine->counter);
}

/* A process that dies with a mutex of the heap leaves word of it. */
TEST_F(map, robust_mutex)
{
	uint64_t addr = dev_new(self->fd, sizeof(struct common));
	struct common *mine;
	char *heap = dev_map_heap(self->fd);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, heap);
	mine = (struct common *)addr;
	common_init(mine, true);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		pthread_mutex_lock(&mine->mutex);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(-1, dev_wait(pid));
	EXPECT_EQ(EOWNERDEAD, pthread_mutex_lock(&mine->mutex));
	EXPECT_EQ(0, pthread_mutex_consistent(&mine->mutex));
	EXPECT_EQ(0, pthread_mutex_unlock(&mine->mutex));
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0) < 0 ? -errno : 0;
}

TEST_F(map, futex)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	struct timespec minute = { .tv_sec = 60 }, brief = { .tv_nsec = 1000000 };
	uint32_t *mine = (void *)dev_map(self->fd, addr, DEV_LARGE);
	double until;
	long woken;
	int pipes[2];
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)mine);
	ASSERT_EQ(0, pipe(pipes));
	/* The page is not even there yet. */
	EXPECT_EQ(-EAGAIN, futex(mine + 1024, FUTEX_WAIT, 1, &brief));
	EXPECT_EQ(-ETIMEDOUT, futex(mine, FUTEX_WAIT, 0, &brief));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		uint32_t *theirs = (void *)dev_map_heap(self->fd);

		if (theirs == MAP_FAILED)
			_exit(1);
		theirs = (uint32_t *)addr;
		dev_tell(pipes[1], 1);
		_exit(futex(theirs, FUTEX_WAIT, 0, &minute) ? 2 : 0);
	}
	EXPECT_EQ(1, dev_hear(pipes[0]));
	/* It says so before it waits. */
	until = dev_seconds() + 60;
	do {
		woken = syscall(SYS_futex, mine, FUTEX_WAKE, 1, NULL, NULL, 0);
		usleep(1000);
	} while (!woken && dev_seconds() < until);
	EXPECT_EQ(1, woken);
	EXPECT_EQ(0, dev_wait(pid));
	/* Where no span is there is no word to wait on. */
	EXPECT_EQ(0, dev_free(self->fd, addr));
	EXPECT_EQ(-EFAULT, futex(mine, FUTEX_WAIT, 0, &brief));
}

/* The mapping keeps the heap, though no file is open any more. */
TEST_F(map, outlives_the_file)
{
	int heaps = dev_heaps(), fd = dev_open();
	uint64_t addr = dev_new(fd, DEV_LARGE);
	char *p = dev_map(fd, addr, DEV_LARGE);
	char *q = dev_map(fd, addr, DEV_LARGE);

	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	strcpy(p, "still here");
	close(fd);
	EXPECT_STREQ("still here", q);
	strcpy(q + 3 * DEV_PAGE, "new");
	EXPECT_STREQ("new", p + 3 * DEV_PAGE);
	if (heaps > 0)
		EXPECT_EQ(heaps + 1, dev_heaps());
	EXPECT_EQ(0, munmap(p, DEV_LARGE));
	EXPECT_EQ(0, munmap(q, DEV_PAGE));
	EXPECT_STREQ("new", q + 3 * DEV_PAGE);
	if (heaps > 0)
		EXPECT_EQ(heaps + 1, dev_heaps());
	EXPECT_EQ(0, munmap(q, DEV_LARGE));
	if (heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(heaps));
}

/* Nor does it need the process that opened it. */
TEST_F(map, outlives_the_parent)
{
	int heaps = dev_heaps(), report[2], gone[2];
	uint64_t addr;
	pid_t pid;

	ASSERT_TRUE(!pipe(report) && !pipe(gone));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = dev_open();
		char *p;

		addr = dev_new(fd, DEV_LARGE);
		p = dev_map(fd, addr, DEV_LARGE);
		if (p == MAP_FAILED)
			_exit(1);
		strcpy(p, "inherited");
		close(fd);
		pid = fork();
		if (pid)
			_exit(pid < 0);
		/* The grandchild: wait for the parent's end. */
		close(gone[1]);
		dev_hear(gone[0]);
		strcpy(p + 5 * DEV_PAGE, "touched");
		dev_tell(report[1], !strcmp(p, "inherited"));
		_exit(0);
	}
	EXPECT_EQ(0, dev_wait(pid));
	if (heaps > 0)
		EXPECT_EQ(heaps + 1, dev_heaps());
	close(gone[0]);
	close(gone[1]);
	EXPECT_EQ(1, dev_hear(report[0]));
	if (heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(heaps));
}

/* /proc tells what is mapped. */
TEST_F(map, seen_in_proc)
{
	uint64_t addr = dev_new(self->fd, DEV_LARGE);
	char *p = dev_map(self->fd, addr, DEV_LARGE), *text, *line, begin[32];

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 1, DEV_LARGE);
	snprintf(begin, sizeof(begin), "%lx-", (unsigned long)p);
	text = dev_read_file("/proc/self/maps");
	ASSERT_NE(NULL, text);
	line = strstr(text, begin);
	ASSERT_NE(NULL, line);
	line[strcspn(line, "\n")] = '\0';
	EXPECT_NE(NULL, strstr(line, " rw-s "));
	EXPECT_NE(NULL, strstr(line, DEV_PATH));
	free(text);
	text = dev_read_file("/proc/self/smaps");
	ASSERT_NE(NULL, text);
	EXPECT_NE(NULL, strstr(text, begin));
	free(text);
}

TEST_HARNESS_MAIN
