// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that stand still in the middle: a page of what the kernel copies from or to
 * is not there, or may not be written to, and the handler of such faults
 * (userfaultfd) takes its time. Whatever a call stands at, all others go on, a kill
 * ends it, and the heap is whole.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/syscall.h>
#include "harness.h"
#include "device.h"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

enum {
	PAGE = 4096,
	ROOM = 16 * PAGE,
	COUNT = 256,		/* objects of a batch */
	FIRST = 100,		/* of those, what is in the first page of an array */
	AT_ONCE = 64,		/* so many elements are copied at once */
	BYTES = 64 * 1024,	/* an object to read from and write to */
};

/* Where things are in the room. */
enum {
	STRUCT = 1 * PAGE,	/* the page before and the page behind are its own, too */
	SIZES = 5 * PAGE,
	ADDRS = 9 * PAGE,
};

enum what {
	WHOLE,			/* the whole struct is missing */
	REST,			/* all but its size is */
	ANSWER,			/* it cannot be written to */
	IN,			/* the array that is read is missing */
	IN_LATER,		/* but for the first elements */
	OUT,			/* the array that is written to cannot be */
	OUT_LATER,		/* but for the first elements */
	LAST,			/* as IN_LATER, and then as ANSWER */
};

/**
 * struct stall - a call that stands still
 * @name: for messages
 * @cmd: the ioctl, 0 for pread(), 1 for pwrite()
 * @bytes: of its struct
 * @what: where
 * @left: of COUNT objects that there were before (FREE_BATCH), or that it was to
 *	make, how many there are once it was killed
 */
struct stall {
	const char *name;
	unsigned int cmd;
	size_t bytes;
	enum what what;
	unsigned int left;
};

#define ALLOCS	GOALLOC_IOC_ALLOC_BATCH
#define FREES	GOALLOC_IOC_FREE_BATCH
#define BATCH	sizeof(struct goalloc_batch)

/* Wherever such a call is killed nothing has happened, or it is undone. */
#define ROW(cmd, name, what)	\
	{ #cmd ", " #what, GOALLOC_IOC_##cmd, sizeof(struct goalloc_##name), what, 0 }

static const struct stall stalls[] = {
	ROW(INFO, info, WHOLE),
	ROW(INFO, info, REST),
	ROW(INFO, info, ANSWER),
	ROW(ALLOC, alloc, WHOLE),
	ROW(ALLOC, alloc, REST),
	ROW(ALLOC, alloc, ANSWER),
	ROW(FREE, free, WHOLE),
	ROW(FREE, free, REST),
	ROW(QUERY, query, WHOLE),
	ROW(QUERY, query, REST),
	ROW(QUERY, query, ANSWER),
	ROW(SET_PARAM, param, WHOLE),
	ROW(SET_PARAM, param, REST),
	ROW(GET_PARAM, param, WHOLE),
	ROW(GET_PARAM, param, REST),
	ROW(GET_PARAM, param, ANSWER),
	ROW(MEMSTATS, memstats, WHOLE),
	ROW(MEMSTATS, memstats, REST),
	ROW(MEMSTATS, memstats, ANSWER),
	ROW(SCAVENGE, scavenge, WHOLE),
	ROW(SCAVENGE, scavenge, REST),
	ROW(SCAVENGE, scavenge, ANSWER),
	ROW(SET_NAME, name, WHOLE),
	ROW(SET_NAME, name, REST),
	ROW(ALLOC_BATCH, batch, WHOLE),
	ROW(ALLOC_BATCH, batch, REST),
	ROW(ALLOC_BATCH, batch, ANSWER),
	{ "ALLOC_BATCH, sizes", ALLOCS, BATCH, IN, 0 },
	/* It has a part of the second block, and makes one before it looks. */
	{ "ALLOC_BATCH, later sizes", ALLOCS, BATCH, IN_LATER, AT_ONCE + 1 },
	{ "ALLOC_BATCH, addresses", ALLOCS, BATCH, OUT, 0 },
	{ "ALLOC_BATCH, later addresses", ALLOCS, BATCH, OUT_LATER, FIRST },
	{ "ALLOC_BATCH, number", ALLOCS, BATCH, LAST, 0 },
	{ "FREE_BATCH, whole struct", FREES, BATCH, WHOLE, COUNT },
	{ "FREE_BATCH, rest of it", FREES, BATCH, REST, COUNT },
	{ "FREE_BATCH, answer", FREES, BATCH, ANSWER, COUNT },
	{ "FREE_BATCH, addresses", FREES, BATCH, IN, COUNT },
	{ "FREE_BATCH, later addresses", FREES, BATCH, IN_LATER, COUNT - FIRST },
	{ "FREE_BATCH, number", FREES, BATCH, LAST, COUNT - FIRST },
	{ "pread", 0, 0, IN, 0 },
	{ "pwrite", 1, 0, IN, 0 },
};

FIXTURE(stalled)
{
	int fd;
	int heaps;
	long background;		/* it would give back what is counted here */
	uint64_t object;		/* to read from and write to */
	uint64_t objects[COUNT];	/* to free */
};

FIXTURE_SETUP(stalled)
{
	struct goalloc_memstats ms;

	self->heaps = dev_heaps();
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	self->object = dev_new(self->fd, BYTES);
	ASSERT_NE(0, self->object);
	memset((void *)self->object, 'o', BYTES);
	ms = dev_stats(self->fd);
	ASSERT_EQ(1, ms.heap_objects);
}

FIXTURE_TEARDOWN(stalled)
{
	munmap((void *)DEV_BASE, DEV_SPACE);
	close(self->fd);
	dev_background(self->background);
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

/* The pages that a call is stopped at: missing, or not to be written to. */
static uint64_t stall_at(const struct stall *s)
{
	uint64_t array = s->cmd == ALLOCS ? SIZES : ADDRS;

	switch (s->what) {
	case WHOLE:
	case ANSWER:
		return STRUCT;
	case REST:
		return STRUCT + PAGE;
	case IN:
		return array;
	case IN_LATER:
	case LAST:
		return array + PAGE;
	case OUT:
		return ADDRS;
	default:
		return ADDRS + PAGE;
	}
}

static bool stall_by_write(const struct stall *s)
{
	return s->what == ANSWER || s->what == OUT || s->what == OUT_LATER;
}

static void put_struct(const struct stall *s, const uint64_t *objects, char *room)
{
	uint64_t array = (uint64_t)(room + stall_at(s)), addrs = (uint64_t)(room + ADDRS);
	uint64_t object = objects[0];
	char *to = room + STRUCT;
	union {
		uint32_t size;
		struct goalloc_alloc alloc;
		struct goalloc_free free;
		struct goalloc_batch batch;
		struct goalloc_query query;
		struct goalloc_param param;
		struct goalloc_scavenge scavenge;
		struct goalloc_name name;
		struct goalloc_memstats memstats;
	} u = { 0 };

	u.size = s->bytes;
	switch (s->cmd) {
	case GOALLOC_IOC_ALLOC:
		u.alloc.bytes = 1000;
		break;
	case GOALLOC_IOC_FREE:
		u.free.addr = object;
		break;
	case GOALLOC_IOC_QUERY:
		u.query.addr = object;
		break;
	case GOALLOC_IOC_SET_PARAM:
	case GOALLOC_IOC_GET_PARAM:
		u.param.id = GOALLOC_PARAM_MAX;
		break;
	case GOALLOC_IOC_SCAVENGE:
		u.scavenge.bytes = GOALLOC_NO_LIMIT;
		break;
	case GOALLOC_IOC_SET_NAME:
		strcpy((char *)u.name.name, "killed");
		break;
	case ALLOCS:
	case FREES:
		u.batch.count = COUNT;
		if (s->what == IN_LATER || s->what == LAST)
			array -= FIRST * sizeof(uint64_t);
		if (s->what == OUT_LATER)
			addrs += PAGE - FIRST * sizeof(uint64_t);
		if (stall_by_write(s) || s->what == WHOLE || s->what == REST)
			array = (uint64_t)(room + (s->cmd == ALLOCS ? SIZES : ADDRS));
		u.batch.addrs = s->cmd == ALLOCS ? addrs : array;
		u.batch.sizes = s->cmd == ALLOCS ? array : 0;
		break;
	}
	if (s->what == WHOLE)
		return;
	if (s->what == REST)
		to += PAGE - sizeof(u.size);
	memcpy(to, &u, s->what == REST ? sizeof(u.size) : s->bytes);
}

/* The elements of the array that are there from the beginning. */
static void put_array(const struct stall *s, const uint64_t *objects, char *room)
{
	uint64_t *array = (uint64_t *)(room + (s->cmd == ALLOCS ? SIZES : ADDRS));
	unsigned int n = s->what == IN ? 0 : COUNT, i;

	if (s->what == IN_LATER || s->what == LAST) {
		array = (uint64_t *)(room + stall_at(s)) - FIRST;
		n = FIRST;
	}
	for (i = 0; i < n; i++)
		array[i] = s->cmd == ALLOCS ? 40 + i : objects[i];
	/* So that they are there, and can be kept from being written to. */
	if (s->cmd == ALLOCS)
		memset(room + ADDRS, 1, 3 * PAGE);
}

static long protect(int uffd, char *page)
{
	struct uffdio_writeprotect wp = {
		.range = { (uint64_t)page, PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

/* Faults of this process from now on are for who reads the file it returns. */
static int watch(char *room)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uint64_t)room, ROOM },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -1;
	return uffd;
}

/* A process that begins the call; what it tells is where its room is, and the file. */
static void stand_still(const struct stall *s, int fd, uint64_t object, const uint64_t *objects,
			int tell)
{
	char *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long ret = -1;
	int uffd;

	if (room == MAP_FAILED)
		_exit(100);
	/* A kernel without huge pages does not know this. */
	madvise(room, ROOM, MADV_NOHUGEPAGE);
	put_struct(s, objects, room);
	put_array(s, objects, room);
	uffd = watch(room);
	if (uffd < 0)
		_exit(101);
	if (stall_by_write(s) && protect(uffd, room + stall_at(s)))
		_exit(102);
	dev_tell(tell, (uint64_t)room);
	dev_tell(tell, uffd);
	if (s->cmd > 1)
		ret = ioctl(fd, s->cmd, room + STRUCT +
			    (s->what == REST ? PAGE - sizeof(uint32_t) : 0));
	else if (s->cmd)
		ret = pwrite(fd, room + ADDRS, 2 * PAGE, object);
	else
		ret = pread(fd, room + ADDRS, 2 * PAGE, object);
	_exit(ret < 0 ? 103 : 0);
}

struct stander {
	pid_t pid;
	int uffd;
	char *room;
};

/* Starts it; false if it does not come to stand where it should. */
static bool stander_start(struct stander *it, const struct stall *s, int fd, uint64_t object,
			  const uint64_t *objects)
{
	int pipes[2], pidfd, theirs;

	*it = (struct stander){ .uffd = -1 };
	if (pipe(pipes))
		return false;
	it->pid = fork();
	if (!it->pid)
		stand_still(s, fd, object, objects, pipes[1]);
	close(pipes[1]);
	it->room = (char *)dev_hear(pipes[0]);
	theirs = dev_hear(pipes[0]);
	close(pipes[0]);
	pidfd = syscall(SYS_pidfd_open, it->pid, 0);
	it->uffd = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	close(pidfd);
	return it->uffd >= 0;
}

/* It stands now, at that page. */
static bool stander_stands(const struct stander *it, uint64_t at, bool by_write)
{
	struct pollfd wait = { .fd = it->uffd, .events = POLLIN };
	struct uffd_msg msg;

	return poll(&wait, 1, 60000) == 1 &&
	       read(it->uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT &&
	       (msg.arg.pagefault.address & ~(PAGE - 1ULL)) == (uint64_t)it->room + at &&
	       !!(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) == by_write;
}

/* Goes on, with the page full of @byte. */
static bool stander_resume(const struct stander *it, uint64_t at, unsigned char byte)
{
	static char page[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uint64_t)it->room + at, .src = (uint64_t)page, .len = PAGE,
	};

	memset(page, byte, PAGE);
	return !ioctl(it->uffd, UFFDIO_COPY, &copy);
}

/* Seconds until it is gone; more than any limit if it did not end by the signal. */
static double stander_kill(const struct stander *it)
{
	double begin = dev_seconds();
	int status = 0;
	pid_t pid;

	kill(it->pid, SIGKILL);
	do {
		pid = waitpid(it->pid, &status, WNOHANG);
		if (!pid)
			usleep(1000);
	} while (!pid && dev_seconds() < begin + 60);
	close(it->uffd);
	if (pid != it->pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return 1000;
	return dev_seconds() - begin;
}

/* All that can be done to a heap, by somebody else; how many of it failed. */
static int all_others(int fd)
{
	uint64_t sizes[100], addrs[100], addr, value, room = 40;
	struct goalloc_query q;
	int bad = 0, other;
	char *p, *text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		sizes[i] = room * i;
	bad += dev_alloc_batch(fd, sizes, addrs, 100) != 100;
	bad += dev_free_batch(fd, addrs, 100) != 100;
	addr = dev_new(fd, BYTES);
	bad += !addr || dev_query(fd, addr, &q);
	bad += pwrite(fd, "x", 1, addr) != 1 || pread(fd, &q, 1, addr) != 1;
	p = dev_map(fd, addr, BYTES);
	bad += p == MAP_FAILED || *p != 'x';
	p[BYTES - 1] = 1;
	bad += !!dev_free(fd, addr);
	bad += munmap(p, BYTES);
	bad += dev_scavenge(fd, GOALLOC_NO_LIMIT) < 0;
	bad += dev_set(fd, GOALLOC_PARAM_LIMIT, 4 * DEV_MIB) ||
	       dev_get(fd, GOALLOC_PARAM_LIMIT, &value) ||
	       dev_set(fd, GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT);
	bad += !!dev_set_name(fd, "others");
	bad += !dev_balanced(fd);
	bad += dev_backed(fd) == ~0ULL;
	text = dev_read_file(dev_tree_path(fd, "spans"));
	bad += dev_tree() && !text;
	free(text);
	other = dev_open();
	bad += other < 0 || !dev_new(other, 100);
	close(other);
	return bad;
}

/*
 * Each call is killed at each of its copies. What nobody was told of is not there;
 * what had been told remains.
 */
TEST_F_TIMEOUT(stalled, killed, 300)
{
	double most = 0, took;
	struct goalloc_memstats before;
	uint64_t sizes[COUNT];
	size_t i;
	int k;

	for (k = 0; k < COUNT; k++)
		sizes[k] = 40 + k;
	for (i = 0; i < ARRAY_SIZE(stalls); i++) {
		const struct stall *s = &stalls[i];
		struct stander it;

		self->objects[0] = self->object;
		if (s->cmd == FREES)
			ASSERT_EQ(COUNT, dev_alloc_batch(self->fd, sizes, self->objects, COUNT));
		before = dev_stats(self->fd);
		ASSERT_TRUE(stander_start(&it, s, self->fd, self->object, self->objects))
			TH_LOG("%s", s->name);
		EXPECT_TRUE(stander_stands(&it, stall_at(s), stall_by_write(s)))
			TH_LOG("%s does not stand still", s->name);
		if (s->what == LAST) {
			EXPECT_EQ(0, protect(it.uffd, it.room + STRUCT));
			EXPECT_TRUE(stander_resume(&it, stall_at(s), 0));
			EXPECT_TRUE(stander_stands(&it, STRUCT, true))
				TH_LOG("%s does not stand still", s->name);
		}
		EXPECT_EQ(0, all_others(self->fd)) TH_LOG("beside %s", s->name);
		took = stander_kill(&it);
		/* Nobody serves its faults: without the signal it would stand for ever. */
		EXPECT_GT(60, took) TH_LOG("%s", s->name);
		most = took > most ? took : most;
		EXPECT_EQ(before.heap_objects - (s->cmd == FREES ? COUNT : 0) + s->left,
			  dev_stats(self->fd).heap_objects)
			TH_LOG("%s", s->name);
		EXPECT_TRUE(dev_balanced(self->fd)) TH_LOG("%s", s->name);
		EXPECT_TRUE(bytes_are((void *)(self->object + 2 * PAGE), BYTES - 2 * PAGE, 'o'));
		if (s->cmd == FREES)
			EXPECT_EQ(s->left, dev_free_batch(self->fd, self->objects + COUNT - s->left,
							  s->left)) TH_LOG("%s", s->name);
	}
	TH_LOG("%zu places, gone at most %.3f s after the kill", ARRAY_SIZE(stalls), most);
}

/* Bytes of other heaps: nobody who has only this one may ever see them. */
static int fill_another(uint64_t bytes, unsigned char byte, uint64_t *addr)
{
	int fd = dev_open();
	char *p;

	*addr = dev_new(fd, bytes);
	p = dev_map(fd, *addr, bytes);
	if (!*addr || p == MAP_FAILED) {
		close(fd);
		return -1;
	}
	memset(p, byte, bytes);
	munmap(p, bytes);
	return fd;
}

/* Has the other heap anything but its own byte? */
static bool another_is(int fd, uint64_t addr, uint64_t bytes, unsigned char byte)
{
	char *p = dev_map(fd, addr, bytes);
	bool ok = p != MAP_FAILED && bytes_are(p, bytes, byte);

	munmap(p, bytes);
	return ok;
}

/*
 * A write and a read that have a page in their hands when its object is freed, the
 * heap gives back what is idle, and another heap takes all it can get. The page
 * stays the heap's until they are done, and goes then.
 */
FIXTURE(held)
{
	int fd;
	int heaps;
	long background;
	uint64_t object;
	uint64_t objects[COUNT];
};

FIXTURE_VARIANT(held)
{
	struct stall stall;
	bool again;		/* the object's place is taken anew meanwhile */
};

#define HELD(_name, _cmd, _again)	\
	FIXTURE_VARIANT_ADD(held, _name) { { #_name, _cmd, 0, IN, 0 }, _again }

HELD(read, 0, false);
HELD(written, 1, false);
HELD(read_and_reused, 0, true);
HELD(written_and_reused, 1, true);

FIXTURE_SETUP(held)
{
	stalled_setup(_metadata, (FIXTURE_DATA(stalled) *)self, NULL);
}

FIXTURE_TEARDOWN(held)
{
	stalled_teardown(_metadata, (FIXTURE_DATA(stalled) *)self, NULL);
}

TEST_F_TIMEOUT(held, freed_under_it, 60)
{
	enum { OTHER = 16 * 1024 * 1024 };
	uint64_t objects[COUNT] = { self->object }, addr;
	struct stander it;
	int other, first;

	ASSERT_TRUE(stander_start(&it, &variant->stall, self->fd, self->object, objects));
	ASSERT_TRUE(stander_stands(&it, ADDRS, false));
	ASSERT_EQ(0, dev_free(self->fd, self->object));
	EXPECT_LT(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	/* The one page that it holds on to. */
	EXPECT_EQ(DEV_PAGE, dev_backed(self->fd));
	first = fill_another(OTHER, 'a', &addr);
	ASSERT_LE(0, first);
	if (variant->again) {
		ASSERT_EQ(self->object, dev_new(self->fd, BYTES));
		EXPECT_TRUE(bytes_are((void *)self->object, BYTES, 0));
	}
	EXPECT_TRUE(stander_resume(&it, ADDRS, 'w'));
	EXPECT_TRUE(another_is(first, addr, OTHER, 'a'));
	/* Its second page is in no span any more, or in that of the new object. */
	if (variant->again)
		EXPECT_TRUE(stander_stands(&it, ADDRS + PAGE, false) &&
			    stander_resume(&it, ADDRS + PAGE, 'w'));
	EXPECT_EQ(0, dev_wait(it.pid));
	close(it.uffd);
	EXPECT_TRUE(another_is(first, addr, OTHER, 'a'));
	if (variant->again)
		ASSERT_EQ(0, dev_free(self->fd, self->object));
	probe_begin();
	EXPECT_EQ(SIGBUS, probe_read((void *)self->object, NULL));
	EXPECT_LT(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(0, dev_backed(self->fd));
	/* And whoever has it now sees zeroes. */
	other = dev_open();
	addr = dev_new(other, OTHER);
	EXPECT_TRUE(another_is(other, addr, OTHER, 0));
	EXPECT_TRUE(dev_balanced(self->fd));
	close(first);
	close(other);
}

/*
 * Whoever reads a file of a heap in debugfs keeps the heap from ending, and so its
 * last user from closing it; but nobody else from anything, and a kill ends it.
 */
TEST_F_TIMEOUT(stalled, reading_debugfs, 60)
{
	struct stander it = { .uffd = -1 };
	int other, pipes[2], pidfd;
	char path[256];
	pid_t closer;

	if (!dev_tree())
		SKIP(return, "no debugfs");
	other = dev_open();
	ASSERT_LE(0, other);
	snprintf(path, sizeof(path), "%s", dev_tree_path(other, "summary"));
	ASSERT_EQ(0, pipe(pipes));
	it.pid = fork();
	ASSERT_LE(0, it.pid);
	if (!it.pid) {
		int file = open(path, O_RDONLY);
		char *own = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int uffd = watch(own);

		close(other);
		dev_tell(pipes[1], (uint64_t)own);
		dev_tell(pipes[1], uffd);
		_exit(file >= 0 && uffd >= 0 && read(file, own + ADDRS, PAGE) > 0);
	}
	it.room = (char *)dev_hear(pipes[0]);
	pidfd = syscall(SYS_pidfd_open, it.pid, 0);
	it.uffd = syscall(SYS_pidfd_getfd, pidfd, (int)dev_hear(pipes[0]), 0);
	ASSERT_LE(0, it.uffd);
	ASSERT_TRUE(stander_stands(&it, ADDRS, false));
	closer = fork();
	ASSERT_LE(0, closer);
	if (!closer) {
		/* The last one to close it, once the parent has. */
		dev_hear(pipes[0]);
		close(other);
		_exit(0);
	}
	close(other);
	dev_tell(pipes[1], 0);
	usleep(300000);
	EXPECT_EQ(0, waitpid(closer, NULL, WNOHANG));
	EXPECT_EQ(0, all_others(self->fd));
	EXPECT_GT(60, stander_kill(&it));
	EXPECT_EQ(0, dev_wait(closer));
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps + 1));
}

TEST_HARNESS_MAIN
