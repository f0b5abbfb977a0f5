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

/* The same address in two files holds different things. */
static void private_memory(void)
{
	uint64_t a, b, sizes[] = { 5, 16, 100, 5000, 100000 };
	int one = heap_open(), two = heap_open();
	size_t i;

	CHECK(pin_to_cpu(0));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		a = heap_new(one, sizes[i]);
		b = heap_new(two, sizes[i]);
		/* As the two have done the same, in the same place. */
		CHECK_EQ(a, b);
		CHECK(obj_write(one, a, sizes[i], 1));
		CHECK(obj_is_zero(two, b, sizes[i]));
		CHECK(obj_write(two, b, sizes[i], 2));
		CHECK(obj_is(one, a, sizes[i], 1));
		CHECK(obj_is(two, b, sizes[i], 2));
	}
	CHECK_EQ(heap_stats(one).heap_objects, ARRAY_SIZE(sizes));
	CHECK_EQ(heap_stats(two).heap_objects, ARRAY_SIZE(sizes));
	unpin();
}

/* An address of one heap means nothing in another. */
static void foreign_address(void)
{
	static const uint64_t sizes[] = { 3, 16, 1000, 32768, 1 * MIB };
	int owner = heap_open(), other = heap_open();
	struct goalloc_memstats before;
	struct goalloc_query q;
	uint64_t addr, own;
	char byte;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		addr = heap_new(owner, sizes[i]);
		CHECK(obj_write(owner, addr, sizes[i], i));
		CHECK_RET(heap_free(other, addr), -ENOENT);
		CHECK_RET(heap_query(other, addr, &q), -ENOENT);
		CHECK(pread(other, &byte, 1, addr) < 0 && errno == EFAULT);
		CHECK(pwrite(other, "x", 1, addr) < 0 && errno == EFAULT);
		CHECK(obj_is(owner, addr, sizes[i], i));
	}
	/* Nor when the other heap has something of its own in that span. */
	own = heap_new(other, 1000);
	before = heap_stats(other);
	for (i = 0; i < 6; i++) {
		addr = heap_new(owner, 1000);
		if (addr != own)
			CHECK(heap_free(other, addr) < 0);
		CHECK_RET(heap_free(owner, addr), 0);
	}
	heap_check_unchanged(&before, other);
	CHECK_EQ(heap_stats(owner).heap_objects, ARRAY_SIZE(sizes));
}

/* No byte of a heap that is gone turns up in another, even where none is zeroed. */
static void no_old_bytes(void)
{
	uint64_t addr, bytes = 8 * MIB;
	int fd, round;

	for (round = 0; round < 4; round++) {
		fd = heap_open();
		addr = heap_new(fd, bytes);
		CHECK(obj_write(fd, addr, bytes, round));
		heap_close(fd);
		fd = heap_open();
		CHECK_RET(heap_alloc(fd, bytes, GOALLOC_UNINIT, &addr, NULL), 0);
		CHECK(obj_is_zero(fd, addr, bytes));
		heap_close(fd);
	}
}

static void closed(void)
{
	int before, fd, i;

	tree_need();
	before = tree_heaps(NULL, 0);
	for (i = 0; i < 30; i++) {
		fd = heap_open();
		heap_new(fd, 5);
		heap_new(fd, 100);
		heap_new(fd, 1 * MIB);
		CHECK_EQ(tree_heaps(NULL, 0), before + 1);
		heap_close(fd);
		CHECK(tree_wait_heaps(before));
	}
}

struct killed {
	int ready;		/* a byte comes when the child has all it wants */
};

static void fill_and_wait(struct killed *k)
{
	int fd = heap_open(), other = heap_open(), i;

	for (i = 0; i < 3000; i++) {
		uint64_t addr = heap_new(fd, 1 + i % 2000);

		obj_write(fd, addr, 1, i);
	}
	obj_write(other, heap_new(other, 48 * MIB), 48 * MIB, 1);
	if (write(k->ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* A process that is killed leaves nothing. */
static void killed(void)
{
	uint64_t memory = memory_free();
	int before, status, pipes[2], wait;
	struct killed k;
	pid_t pid;
	char byte;

	tree_need();
	before = tree_heaps(NULL, 0);
	REQUIRE(!pipe(pipes));
	k.ready = pipes[1];
	pid = fork();
	REQUIRE(pid >= 0);
	if (!pid)
		fill_and_wait(&k);
	close(pipes[1]);
	CHECK_EQ(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	CHECK_EQ(tree_heaps(NULL, 0), before + 2);
	CHECK(!kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(tree_wait_heaps(before));
	for (wait = 0; wait < 50 && memory_free() + 4 * MIB < memory; wait++)
		usleep(100000);
	CHECK(memory_free() + 4 * MIB > memory);
}

struct shared {
	int fd;
	uint64_t addr[3];
};

static void child_of_shared(void *arg)
{
	struct shared *s = arg;

	CHECK(obj_is(s->fd, s->addr[0], 1000, 1));
	CHECK(obj_write(s->fd, s->addr[0], 1000, 2));
	CHECK_RET(heap_free(s->fd, s->addr[1]), 0);
	CHECK(heap_new(s->fd, 77) != 0);
	CHECK_EQ(heap_stats(s->fd).heap_objects, 3);
}

/* A heap is shared by whoever has the file: parent and child see one heap. */
static void forked(void)
{
	struct shared s = { .fd = heap_open() };
	int i;

	for (i = 0; i < 3; i++)
		s.addr[i] = heap_new(s.fd, 1000);
	CHECK(obj_write(s.fd, s.addr[0], 1000, 1));
	tap_in_child(child_of_shared, &s);
	CHECK(obj_is(s.fd, s.addr[0], 1000, 2));
	CHECK_RET(heap_free(s.fd, s.addr[1]), -EALREADY);
	CHECK_RET(heap_free(s.fd, s.addr[0]), 0);
	CHECK_RET(heap_free(s.fd, s.addr[2]), 0);
	CHECK_EQ(heap_stats(s.fd).heap_objects, 1);
}

/* The child outlives the parent's hold on the file. */
static void last_reference(void)
{
	int fd, copy, before;
	uint64_t addr;

	tree_need();
	fd = heap_open();
	copy = dup(fd);
	addr = heap_new(fd, 500);
	before = tree_heaps(NULL, 0);
	CHECK(obj_write(fd, addr, 500, 9));
	heap_close(fd);
	CHECK_EQ(tree_heaps(NULL, 0), before);
	CHECK(obj_is(copy, addr, 500, 9));
	CHECK_RET(heap_free(copy, addr), 0);
	heap_check_empty(copy);
	close(copy);
	CHECK(tree_wait_heaps(before - 1));
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
static void passed_on(void)
{
	int fd, sockets[2];
	uint64_t addr;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP("this kernel has no sockets");
	fd = heap_open();
	addr = heap_new(fd, 3000);
	CHECK(obj_write(fd, addr, 3000, 4));
	CHECK(send_file(sockets[0], fd));
	heap_close(fd);
	fd = receive_file(sockets[1]);
	REQUIRE(fd >= 0);
	CHECK(obj_is(fd, addr, 3000, 4));
	CHECK_RET(heap_free(fd, addr), 0);
	heap_check_empty(fd);
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
}

/* Names are the opener's, whatever the process calls itself later. */
static void named_by_opener(void)
{
	char *name, *again;
	int id;

	tree_need();
	heap_open();
	id = tree_own_heap();
	REQUIRE(id > 0);
	name = tree_read_heap(id, "name");
	CHECK(!prctl(PR_SET_NAME, "back\\slash\nline"));
	again = tree_read_heap(id, "name");
	CHECK(name && again && !strcmp(name, again));
	free(again);
	/* A name that would break a table does not. */
	heap_open();
	again = tree_read_heap(id + 1, "name");
	if (CHECK(again))
		CHECK(strchr(again, '\n') == again + strlen(again) - 1);
	CHECK(!prctl(PR_SET_NAME, "heaps"));
	free(name);
	free(again);
}

/*
 * What an idle file costs, and what its first object adds. A kernel that
 * checks itself pays more for everything, so that there is no saying.
 */
static void cost_of_a_heap(void)
{
	enum { FILES = 400 };
	long long idle, first, before, after;
	int fds[FILES], i;

	if (slow_kernel())
		SKIP("a kernel with checkers in it");
	/* What the kernel builds but once. */
	heap_new(heap_open(), 100);
	heap_close_all();
	usleep(200000);
	CHECK(pin_to_cpu(0));
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
	tap_note("an idle file costs %lld bytes, its first object %lld more", idle, first);
	CHECK(idle < 64 * 1024);
	CHECK(first < 128 * 1024);
	unpin();
}

/* Many at once, from many processes. */
static void open_and_use(void *arg)
{
	uint64_t state = (uintptr_t)arg + 1;
	unsigned int times = paced(32), i;

	for (i = 0; i < times; i++) {
		int fd = heap_open(), k;
		struct obj objs[30];

		for (k = 0; k < 30; k++) {
			objs[k].bytes = rnd_size(&state, 17);
			objs[k].seed = rnd(&state);
			objs[k].addr = heap_new(fd, objs[k].bytes);
			CHECK(obj_write(fd, objs[k].addr, objs[k].bytes, objs[k].seed));
		}
		for (k = 0; k < 30; k++)
			CHECK(obj_is(fd, objs[k].addr, objs[k].bytes, objs[k].seed));
		heap_close(fd);
	}
}

static void many_at_once(void)
{
	int before, status, i;
	pid_t pids[6];

	tree_need();
	before = tree_heaps(NULL, 0);
	fflush(stdout);
	for (i = 0; i < 6; i++) {
		pids[i] = fork();
		REQUIRE(pids[i] >= 0);
		if (!pids[i]) {
			tap_failures = 0;
			open_and_use((void *)(uintptr_t)i);
			_exit(tap_failures ? 1 : 0);
		}
	}
	for (i = 0; i < 6; i++) {
		CHECK_EQ(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_EQ(status, 0);
	}
	CHECK(tree_wait_heaps(before));
}

static const struct tap_test tests[] = {
	TEST(private_memory),
	TEST(foreign_address),
	TEST(no_old_bytes),
	TEST(closed),
	TEST(killed),
	TEST(forked),
	TEST(last_reference),
	TEST(passed_on),
	TEST(named_by_opener),
	TEST(cost_of_a_heap),
	TEST(many_at_once),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests), heap_close_all);
}
