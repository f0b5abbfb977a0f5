// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps: each open file has one of its own, which lives until the last
 * reference to the file is gone, however that comes about.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "tree.h"

/* Two heaps that have done nothing yet. */
FIXTURE(heaps)
{
	int one;
	int two;
};

FIXTURE_SETUP(heaps)
{
	self->one = heap_open();
	self->two = heap_open();
}

FIXTURE_TEARDOWN(heaps)
{
	EXPECT_RET(0, IO_RET(close(self->one)));
	EXPECT_RET(0, IO_RET(close(self->two)));
}

/* No heaps, but the number of those that there are. */
FIXTURE(counted)
{
	int before;
};

FIXTURE_SETUP(counted)
{
	if (!tree_mounted())
		SKIP(return, "debugfs is not mounted");
	ASSERT_RET(0, IO_RET(access(TREE, F_OK)));
	self->before = tree_heaps(NULL, 0);
	ASSERT_GE(self->before, 1);
}

FIXTURE_TEARDOWN(counted)
{
}

/* The same address in two files holds different things. */
TEST_F(heaps, private_memory)
{
	uint64_t a, b, sizes[] = { 5, 16, 100, 5000, 100000 };
	int one = self->one, two = self->two;
	size_t i;

	EXPECT_TRUE(pin_to_cpu(0));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		a = heap_new(one, sizes[i]);
		b = heap_new(two, sizes[i]);
		/* As the two have done the same, in the same place. */
		EXPECT_EQ(b, a);
		EXPECT_TRUE(obj_write(one, a, sizes[i], 1));
		EXPECT_TRUE(obj_is_zero(two, b, sizes[i]));
		EXPECT_TRUE(obj_write(two, b, sizes[i], 2));
		EXPECT_TRUE(obj_is(one, a, sizes[i], 1));
		EXPECT_TRUE(obj_is(two, b, sizes[i], 2));
	}
	EXPECT_EQ(ARRAY_SIZE(sizes), heap_stats(one).heap_objects);
	EXPECT_EQ(ARRAY_SIZE(sizes), heap_stats(two).heap_objects);
	unpin();
}

/* An address of one heap means nothing in another. */
TEST_F(heaps, foreign_address)
{
	static const uint64_t sizes[] = { 3, 16, 1000, 32768, 1 * MIB };
	int owner = self->one, other = self->two;
	struct goalloc_memstats before;
	struct goalloc_query q;
	uint64_t addr, own;
	char byte;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		addr = heap_new(owner, sizes[i]);
		EXPECT_TRUE(obj_write(owner, addr, sizes[i], i));
		EXPECT_RET(-ENOENT, heap_free(other, addr));
		EXPECT_RET(-ENOENT, heap_query(other, addr, &q));
		EXPECT_RET(-EFAULT, IO_RET(pread(other, &byte, 1, addr)));
		EXPECT_RET(-EFAULT, IO_RET(pwrite(other, "x", 1, addr)));
		EXPECT_TRUE(obj_is(owner, addr, sizes[i], i));
	}
	/* Nor when the other heap has something of its own in that span. */
	own = heap_new(other, 1000);
	before = heap_stats(other);
	for (i = 0; i < 6; i++) {
		addr = heap_new(owner, 1000);
		if (addr != own)
			EXPECT_LT(heap_free(other, addr), 0);
		EXPECT_RET(0, heap_free(owner, addr));
	}
	EXPECT_UNCHANGED(&before, other);
	EXPECT_EQ(ARRAY_SIZE(sizes), heap_stats(owner).heap_objects);
}

/* No byte of a heap that is gone turns up in another, even where none is zeroed. */
TEST_F_TIMEOUT(heaps, no_old_bytes, LONG_TEST)
{
	uint64_t addr, bytes = 8 * MIB;
	int fd, round;

	for (round = 0; round < 4; round++) {
		fd = heap_open();
		addr = heap_new(fd, bytes);
		EXPECT_TRUE(obj_write(fd, addr, bytes, round));
		EXPECT_RET(0, IO_RET(close(fd)));
		fd = heap_open();
		EXPECT_RET(0, heap_alloc(fd, bytes, GOALLOC_UNINIT, &addr, NULL));
		EXPECT_TRUE(obj_is_zero(fd, addr, bytes));
		EXPECT_RET(0, IO_RET(close(fd)));
	}
}

TEST_F_TIMEOUT(counted, closed, LONG_TEST)
{
	int fd, i;

	for (i = 0; i < 30; i++) {
		fd = heap_open();
		heap_new(fd, 5);
		heap_new(fd, 100);
		heap_new(fd, 1 * MIB);
		EXPECT_EQ(self->before + 1, tree_heaps(NULL, 0));
		EXPECT_RET(0, IO_RET(close(fd)));
		EXPECT_EQ(self->before, tree_wait_heaps(self->before));
	}
}

/* A byte goes to @ready when everything is there that it wants. */
static void fill_and_wait(struct __test_metadata *_metadata, int ready)
{
	int fd = heap_open(), other = heap_open(), i;
	uint64_t addr;

	for (i = 0; i < 3000; i++) {
		addr = heap_new(fd, 1 + i % 2000);
		EXPECT_TRUE(obj_write(fd, addr, 1, i));
	}
	addr = heap_new(other, 48 * MIB);
	EXPECT_TRUE(obj_write(other, addr, 48 * MIB, 1));
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* A process that is killed leaves nothing. */
TEST_F_TIMEOUT(counted, killed, LONG_TEST)
{
	uint64_t memory = memory_free();
	int status, pipes[2], wait;
	pid_t pid;
	char byte;

	ASSERT_RET(0, IO_RET(pipe(pipes)));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		fill_and_wait(_metadata, pipes[1]);
	close(pipes[1]);
	EXPECT_EQ(1, read(pipes[0], &byte, 1));
	close(pipes[0]);
	EXPECT_EQ(self->before + 2, tree_heaps(NULL, 0));
	EXPECT_RET(0, IO_RET(kill(pid, SIGKILL)));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		TH_LOG("wait status %#x", status);
	EXPECT_EQ(self->before, tree_wait_heaps(self->before));
	/* Of more than 48 MiB. */
	for (wait = 0; wait < 600 && memory_free() + 16 * MIB < memory; wait++)
		usleep(100000);
	EXPECT_GT(memory_free() + 16 * MIB, memory);
}

/* A heap is shared by whoever has the file: parent and child see one heap. */
TEST_F(heaps, forked)
{
	int fd = self->one, status, i;
	uint64_t addr[3];
	pid_t pid;

	for (i = 0; i < 3; i++)
		addr[i] = heap_new(fd, 1000);
	EXPECT_TRUE(obj_write(fd, addr[0], 1000, 1));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		EXPECT_TRUE(obj_is(fd, addr[0], 1000, 1));
		EXPECT_TRUE(obj_write(fd, addr[0], 1000, 2));
		EXPECT_RET(0, heap_free(fd, addr[1]));
		EXPECT_NE(0, heap_new(fd, 77));
		EXPECT_EQ(3, heap_stats(fd).heap_objects);
		_exit(0);
	}
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(obj_is(fd, addr[0], 1000, 2));
	EXPECT_RET(-EALREADY, heap_free(fd, addr[1]));
	EXPECT_RET(0, heap_free(fd, addr[0]));
	EXPECT_RET(0, heap_free(fd, addr[2]));
	EXPECT_EQ(1, heap_stats(fd).heap_objects);
}

/* The child outlives the parent's hold on the file. */
TEST_F(counted, last_reference)
{
	uint64_t addr;
	int fd, copy;

	fd = heap_open();
	copy = dup(fd);
	ASSERT_GE(copy, 0);
	addr = heap_new(fd, 500);
	EXPECT_EQ(self->before + 1, tree_heaps(NULL, 0));
	EXPECT_TRUE(obj_write(fd, addr, 500, 9));
	EXPECT_RET(0, IO_RET(close(fd)));
	EXPECT_EQ(self->before + 1, tree_heaps(NULL, 0));
	EXPECT_TRUE(obj_is(copy, addr, 500, 9));
	EXPECT_RET(0, heap_free(copy, addr));
	EXPECT_EMPTY(copy);
	EXPECT_RET(0, IO_RET(close(copy)));
	EXPECT_EQ(self->before, tree_wait_heaps(self->before));
}

static bool send_file(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1;
}

static int receive_file(int socket)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	int fd = -1;

	if (recvmsg(socket, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* While it is under way nobody has the file open, and the heap lives. */
TEST_F(heaps, passed_on)
{
	int fd, sockets[2];
	uint64_t addr;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP(return, "this kernel has no sockets");
	fd = heap_open();
	addr = heap_new(fd, 3000);
	EXPECT_TRUE(obj_write(fd, addr, 3000, 4));
	EXPECT_TRUE(send_file(sockets[0], fd));
	EXPECT_RET(0, IO_RET(close(fd)));
	fd = receive_file(sockets[1]);
	ASSERT_GE(fd, 0);
	EXPECT_TRUE(obj_is(fd, addr, 3000, 4));
	EXPECT_RET(0, heap_free(fd, addr));
	EXPECT_EMPTY(fd);
	EXPECT_RET(0, IO_RET(close(fd)));
	close(sockets[0]);
	close(sockets[1]);
}

/* Names are the opener's, whatever the process calls itself later. */
TEST_F(counted, named_by_opener)
{
	char *name, *again;
	int id;

	heap_open();
	id = tree_own_heap();
	ASSERT_GT(id, 0);
	name = tree_read_heap(id, "name");
	EXPECT_RET(0, IO_RET(prctl(PR_SET_NAME, "back\\slash\nline")));
	again = tree_read_heap(id, "name");
	ASSERT_TRUE(name && again);
	EXPECT_STREQ(name, again);
	free(again);
	/* A name that would break a table does not. */
	heap_open();
	again = tree_read_heap(id + 1, "name");
	ASSERT_NE(NULL, again);
	EXPECT_EQ(again + strlen(again) - 1, strchr(again, '\n'))
		TH_LOG("it is %s", again);
	EXPECT_RET(0, IO_RET(prctl(PR_SET_NAME, "heaps")));
	free(name);
	free(again);
}

/*
 * What an idle file costs, and what its first object adds. A kernel that
 * checks itself pays more for everything, so that there is no saying.
 */
TEST_F_TIMEOUT(heaps, cost_of_a_heap, LONG_TEST)
{
	enum { FILES = 400 };
	long long idle, first, before, after;
	int fds[FILES], i;

	if (slow_kernel())
		SKIP(return, "a kernel with checkers in it");
	/* What the kernel builds but once. */
	fds[0] = heap_open();
	heap_new(fds[0], 100);
	EXPECT_RET(0, IO_RET(close(fds[0])));
	usleep(200000);
	EXPECT_TRUE(pin_to_cpu(0));
	before = memory_free();
	for (i = 0; i < FILES; i++)
		fds[i] = heap_open();
	after = memory_free();
	idle = (before - after) / FILES;
	for (i = 0; i < FILES; i++)
		heap_new(fds[i], 100);
	before = after;
	after = memory_free();
	first = (before - after) / FILES;
	TH_LOG("an idle file costs %lld bytes, its first object %lld more", idle, first);
	/* Others may take some of it, or give some back. */
	EXPECT_LT(idle, 128 * 1024);
	EXPECT_LT(first, 256 * 1024);
	unpin();
}

/* Many at once, from many processes. */
static void open_and_use(struct __test_metadata *_metadata, uint64_t state)
{
	unsigned int times = paced(32), i;

	for (i = 0; i < times; i++) {
		int fd = heap_open(), k;
		struct obj objs[30];

		for (k = 0; k < 30; k++) {
			objs[k].bytes = rnd_size(&state, 17);
			objs[k].seed = rnd(&state);
			objs[k].addr = heap_new(fd, objs[k].bytes);
			EXPECT_TRUE(obj_write(fd, objs[k].addr, objs[k].bytes, objs[k].seed));
		}
		for (k = 0; k < 30; k++)
			EXPECT_TRUE(obj_is(fd, objs[k].addr, objs[k].bytes, objs[k].seed));
		EXPECT_RET(0, IO_RET(close(fd)));
	}
}

TEST_F_TIMEOUT(counted, many_at_once, LONG_TEST)
{
	int status, i;
	pid_t pids[6];

	for (i = 0; i < 6; i++) {
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		if (!pids[i]) {
			open_and_use(_metadata, i + 1);
			_exit(0);
		}
	}
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(self->before, tree_wait_heaps(self->before));
}

TEST_HARNESS_MAIN
