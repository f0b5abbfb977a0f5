// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that left the heap, or a span of it, left every mapping before. So a
 * stale mapping, another process's view of it, or a reference the kernel took
 * for somebody never shows what has since become of the page elsewhere.
 *
 * Everywhere below one heap's bytes are under 0x80, and FOREIGN is what another
 * heap is filled with, whose memory may be what the first one gave back.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include "harness.h"
#include "device.h"

#define OLD	0x11
#define NEW	0x22
#define FOREIGN	0xf7

enum { PAGES = 64, BYTES = PAGES * 8192, HALVES = PAGES * 2 };

/* Takes memory that is free by now, and fills it. */
static bool fill_other_heap(int fd, uint64_t bytes)
{
	uint64_t addr = dev_new(fd, bytes);
	char *p = dev_map(fd, addr, bytes);

	if (!addr || p == MAP_FAILED)
		return false;
	memset(p, FOREIGN, bytes);
	munmap(p, bytes);
	return true;
}

FIXTURE(stale)
{
	int fd;
	int other;
	long background;	/* it would give back what is counted here */
	uint64_t addr;
	char *p;
};

FIXTURE_SETUP(stale)
{
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	self->other = dev_open();
	ASSERT_LE(0, self->other);
	self->addr = dev_new(self->fd, BYTES);
	ASSERT_NE(0, self->addr);
	self->p = dev_map(self->fd, self->addr, BYTES);
	ASSERT_NE(MAP_FAILED, self->p);
	memset(self->p, OLD, BYTES);
	probe_begin();
}

FIXTURE_TEARDOWN(stale)
{
	munmap(self->p, BYTES);
	close(self->fd);
	close(self->other);
	if (self->background > 0)
		dev_background(self->background);
}

/* A process that holds a mapping, and says what it sees in it when asked. */
struct holder {
	pid_t pid;
	int ask[2];
	int answer[2];
	char *p;	/* where its mapping is */
};

static bool holder_start(struct holder *h, int fd, uint64_t addr)
{
	int i, sig;

	if (pipe(h->ask) || pipe(h->answer))
		return false;
	h->pid = fork();
	if (h->pid < 0)
		return false;
	if (h->pid) {
		close(h->ask[0]);
		close(h->answer[1]);
		h->p = (char *)dev_hear(h->answer[0]);
		return h->p != MAP_FAILED;
	}
	close(h->ask[1]);
	close(h->answer[0]);
	h->p = dev_map(fd, addr, BYTES);
	/* Its pages are in its page tables. */
	for (i = 0; h->p != MAP_FAILED && i < HALVES; i++)
		probe_read(h->p + i * 4096, NULL);
	dev_tell(h->answer[1], (uintptr_t)h->p);
	while (dev_hear(h->ask[0]) != ~0ULL) {
		uint64_t seen = 0;

		for (i = 0; i < HALVES; i++) {
			unsigned char byte = 0;

			sig = probe_read(h->p + i * 4096 + 123, &byte);
			seen |= 1ULL << (sig == SIGBUS ? 63 : sig ? 62 : byte >> 2);
		}
		dev_tell(h->answer[1], seen);
	}
	_exit(0);
}

/* Bit 63: SIGBUS, 62: another signal, else the upper six bits of the bytes. */
static uint64_t holder_sees(struct holder *h)
{
	dev_tell(h->ask[1], 0);
	return dev_hear(h->answer[0]);
}

static int holder_end(struct holder *h)
{
	close(h->ask[1]);
	close(h->answer[0]);
	return dev_wait(h->pid);
}

#define SEES_BUS	(1ULL << 63)
#define SEES(byte)	(1ULL << ((byte) >> 2))

/*
 * What a third process gets of another's memory by reading it as a debugger
 * does: how many of its pages can be read, ~0 if something foreign was.
 */
static uint64_t read_remotely(struct __test_metadata *_metadata, struct holder *h)
{
	uint64_t readable = 0;
	char path[64], byte;
	int file, i;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)h->pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_LE(0, file);
	for (i = 0; i < HALVES; i++) {
		struct iovec here = { &byte, 1 }, there = { h->p + i * 4096 + 99, 1 };
		ssize_t by_file, by_call;

		by_file = pread(file, &byte, 1, (uintptr_t)there.iov_base);
		if (by_file == 1 && byte == (char)FOREIGN)
			readable = ~0ULL;
		by_call = process_vm_readv(h->pid, &here, 1, &there, 1, 0);
		if (by_call == 1 && byte == (char)FOREIGN)
			readable = ~0ULL;
		if (by_call < 0 && errno == ENOSYS)
			by_call = by_file;
		EXPECT_EQ(by_file, by_call);
		if (readable != ~0ULL)
			readable += by_file == 1;
	}
	close(file);
	return readable;
}

static int pages_present(pid_t pid, const char *p)
{
	int i, n = 0;

	for (i = 0; i < HALVES; i++)
		n += dev_page_present(pid, p + i * 4096) == 1;
	return n;
}

TEST_F(stale, after_free)
{
	struct holder h;
	char byte;
	int i;

	ASSERT_TRUE(holder_start(&h, self->fd, self->addr));
	EXPECT_EQ(SEES(OLD), holder_sees(&h));
	EXPECT_EQ(HALVES, pages_present(h.pid, h.p));
	EXPECT_EQ(HALVES, pages_present(getpid(), self->p));
	EXPECT_EQ(HALVES, read_remotely(_metadata, &h));

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	EXPECT_EQ(0, pages_present(h.pid, h.p));
	EXPECT_EQ(0, pages_present(getpid(), self->p));
	EXPECT_EQ(SEES_BUS, holder_sees(&h));
	EXPECT_EQ(0, read_remotely(_metadata, &h));
	for (i = 0; i < HALVES; i++)
		EXPECT_EQ(SIGBUS, probe_write(self->p + i * 4096, NEW));
	EXPECT_EQ(-1, pread(self->fd, &byte, 1, self->addr));
	EXPECT_EQ(EFAULT, errno);

	/* The same addresses in use again: memory again, and nothing in it. */
	ASSERT_EQ(self->addr, dev_new(self->fd, BYTES));
	EXPECT_EQ(SEES(0), holder_sees(&h));
	EXPECT_TRUE(bytes_are(self->p, BYTES, 0));
	memset(self->p, NEW, BYTES);
	EXPECT_EQ(SEES(NEW), holder_sees(&h));
	EXPECT_EQ(0, holder_end(&h));
}

TEST_F(stale, after_scavenging)
{
	struct holder h;
	int64_t released;

	ASSERT_TRUE(holder_start(&h, self->fd, self->addr));
	EXPECT_EQ(SEES(OLD), holder_sees(&h));
	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	released = dev_scavenge(self->fd, GOALLOC_NO_LIMIT);
	EXPECT_LE(0, released);
	EXPECT_EQ(0, dev_backed(self->fd));

	/* More than was given back, so that much of it is what was. */
	ASSERT_TRUE(fill_other_heap(self->other, 8 * BYTES));
	EXPECT_EQ(SEES_BUS, holder_sees(&h));
	EXPECT_EQ(0, pages_present(h.pid, h.p));
	EXPECT_EQ(0, pages_present(getpid(), self->p));
	EXPECT_EQ(0, read_remotely(_metadata, &h));
	EXPECT_EQ(SIGBUS, probe_read(self->p, NULL));

	ASSERT_EQ(self->addr, dev_new(self->fd, BYTES));
	EXPECT_EQ(SEES(0), holder_sees(&h));
	EXPECT_EQ(HALVES, read_remotely(_metadata, &h));
	EXPECT_EQ(0, holder_end(&h));
}

/* Only a part of the heap's idle pages is given back, and some pages live on. */
TEST_F(stale, scavenged_beside_live_pages)
{
	uint64_t behind = dev_new(self->fd, DEV_LARGE);
	char *live = dev_map(self->fd, behind, DEV_LARGE);
	struct holder h;

	ASSERT_NE(MAP_FAILED, live);
	pattern_put(live, DEV_LARGE, 1);
	ASSERT_TRUE(holder_start(&h, self->fd, self->addr));
	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	EXPECT_LE(0, dev_scavenge(self->fd, 3 * DEV_PAGE));
	ASSERT_TRUE(fill_other_heap(self->other, BYTES));
	EXPECT_EQ(SEES_BUS, holder_sees(&h));
	EXPECT_TRUE(pattern_is(live, DEV_LARGE, 1));
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	ASSERT_TRUE(fill_other_heap(self->other, BYTES));
	EXPECT_EQ(SEES_BUS, holder_sees(&h));
	EXPECT_TRUE(pattern_is(live, DEV_LARGE, 1));
	EXPECT_EQ(DEV_LARGE, dev_backed(self->fd));
	EXPECT_EQ(0, holder_end(&h));
}

/*
 * References that outlive the mapping: pages spliced into a pipe. Objects of
 * 4 heap pages, half a pipe of the default length.
 */
enum { PINNED = 4 * 8192 };

FIXTURE(pinned)
{
	int fd;
	int other;
	long background;
	int pipe[2];
	uint64_t addr;	/* of the object whose pages are in the pipe */
	char *p;
};

FIXTURE_SETUP(pinned)
{
	struct iovec iov;

	self->background = dev_background(0);
	/* Pages that one CPU set aside are not in another's first choice. */
	ASSERT_TRUE(dev_stay());
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	self->other = dev_open();
	ASSERT_LE(0, self->other);
	/* Something live before it and behind it. */
	ASSERT_NE(0, dev_new(self->fd, DEV_LARGE));
	self->addr = dev_new(self->fd, PINNED + 2 * DEV_PAGE);
	ASSERT_NE(0, self->addr);
	ASSERT_NE(0, dev_new(self->fd, DEV_LARGE));
	self->p = dev_map(self->fd, self->addr, PINNED + 2 * DEV_PAGE);
	ASSERT_NE(MAP_FAILED, self->p);
	memset(self->p, OLD, PINNED + 2 * DEV_PAGE);
	ASSERT_EQ(0, pipe2(self->pipe, O_NONBLOCK));
	iov = (struct iovec){ self->p, PINNED };
	ASSERT_EQ(PINNED, vmsplice(self->pipe[1], &iov, 1, 0));
	probe_begin();
}

FIXTURE_TEARDOWN(pinned)
{
	close(self->fd);
	close(self->other);
	close(self->pipe[0]);
	close(self->pipe[1]);
	munmap(self->p, PINNED + 2 * DEV_PAGE);
	if (self->background > 0)
		dev_background(self->background);
}

/* Takes @len bytes out of the pipe, and counts those that are none of @allowed. */
static long drain(int fd, long len, const char *allowed, size_t n)
{
	static char buf[PINNED];
	long bad = 0, got, i;

	while (len > 0 && (got = read(fd, buf, len)) > 0) {
		for (i = 0; i < got; i++)
			bad += !memchr(allowed, buf[i], n);
		len -= got;
	}
	return len ? -1 : bad;
}

/* The control: what was spliced is a reference to the page and no copy. */
TEST_F(pinned, is_a_reference)
{
	char byte;

	self->p[0] = NEW;
	ASSERT_EQ(1, read(self->pipe[0], &byte, 1));
	EXPECT_EQ(NEW, byte);
}

TEST_F(pinned, not_given_back)
{
	static const char old[] = { OLD };
	struct goalloc_memstats ms;

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	EXPECT_EQ(SIGBUS, probe_read(self->p, NULL));
	/* All but those in the pipe. */
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(PINNED, dev_backed(self->fd));
	ms = dev_stats(self->fd);
	EXPECT_EQ(PINNED, ms.heap_idle - ms.heap_released);
	ASSERT_TRUE(fill_other_heap(self->other, 4 * DEV_MIB));
	EXPECT_EQ(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(0, drain(self->pipe[0], PINNED / 2, old, sizeof(old)));

	/* As they are let go of they are given back. */
	EXPECT_EQ(PINNED / 2, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(PINNED / 2, dev_backed(self->fd));
	ASSERT_TRUE(fill_other_heap(self->other, 4 * DEV_MIB));
	EXPECT_EQ(0, drain(self->pipe[0], PINNED / 2, old, sizeof(old)));
	EXPECT_EQ(PINNED / 2, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	EXPECT_EQ(0, dev_backed(self->fd));
	ms = dev_stats(self->fd);
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
	EXPECT_TRUE(dev_balanced(self->fd));
}

/* The heap itself may use its page again; then that is what the pipe shows. */
TEST_F(pinned, used_again_by_its_heap)
{
	static const char own[] = { OLD, NEW, 0 };
	struct goalloc_memstats ms;

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	EXPECT_LE(0, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	ASSERT_TRUE(fill_other_heap(self->other, 4 * DEV_MIB));
	ASSERT_EQ(self->addr, dev_new(self->fd, PINNED + 2 * DEV_PAGE));
	EXPECT_TRUE(bytes_are(self->p, PINNED + 2 * DEV_PAGE, 0));
	memset(self->p, NEW, PINNED + 2 * DEV_PAGE);
	EXPECT_EQ(0, drain(self->pipe[0], PINNED, own, sizeof(own)));
	EXPECT_TRUE(bytes_are(self->p, PINNED + 2 * DEV_PAGE, NEW));
	EXPECT_EQ(0, dev_free(self->fd, self->addr));
	EXPECT_EQ(PINNED + 2 * DEV_PAGE, dev_scavenge(self->fd, GOALLOC_NO_LIMIT));
	ms = dev_stats(self->fd);
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
}

/* Not even the end of the heap takes the page from the one who holds it. */
TEST_F(pinned, outlives_its_heap)
{
	static const char old[] = { OLD };
	int heaps = dev_heaps();

	munmap(self->p, PINNED + 2 * DEV_PAGE);
	close(self->fd);
	self->fd = -1;
	if (heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(heaps - 1));
	ASSERT_TRUE(fill_other_heap(self->other, 8 * DEV_MIB));
	EXPECT_EQ(0, drain(self->pipe[0], PINNED, old, sizeof(old)));
}

/*
 * Everybody at once, for some seconds. Owners make objects, see that they are
 * zeroed, fill them, see that nobody else wrote to them, and free them. Others
 * look at the same addresses in every way there is and may find nothing there,
 * or what an owner wrote; never anything foreign.
 */
enum { SLOTS = 16 };

struct race {
	int fd;
	double until;
	bool (*met)(void);
	uint64_t slots[SLOTS];	/* addresses of objects, live or freed by now */
	unsigned int objects;
	unsigned int looks;
	unsigned int buses;
	unsigned int foreign;
	unsigned int wrong;
	unsigned int failed;
	uint64_t released;
};

static struct race *race;

/* For some seconds, and until they have met, if a CPU stands still for so long. */
static bool racing(void)
{
	double now = dev_seconds();

	return now < race->until || (now < race->until + 60 && !race->met());
}

static bool happened(const unsigned int *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED) > 0;
}

static void note(unsigned int *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

static void saw(unsigned char byte)
{
	note(&race->looks);
	if (byte >= 0x80)
		note(&race->foreign);
}

static void *own(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg;
	char *heap = (char *)DEV_BASE;

	while (racing()) {
		uint64_t pages = 5 + dev_random(&state) % 12, addr, off;
		unsigned char mark = 1 + dev_random(&state) % 0x7f;
		bool uninit = dev_random(&state) % 4 == 0;

		if (dev_alloc(race->fd, pages * DEV_PAGE, uninit ? GOALLOC_UNINIT : 0, &addr)) {
			note(&race->failed);
			continue;
		}
		__atomic_store_n(&race->slots[dev_random(&state) % SLOTS], addr,
				 __ATOMIC_RELAXED);
		/* No probes: a signal here would be wrong. */
		for (off = addr; off < addr + pages * DEV_PAGE; off += 2048) {
			char *p = heap + (off - DEV_BASE);

			if (uninit ? *p & 0x80 : *p)
				note(&race->wrong);
			*p = mark;
		}
		if (mark % 8 == 0)
			madvise(heap + (addr - DEV_BASE), pages * DEV_PAGE, MADV_DONTNEED);
		for (off = addr; off < addr + pages * DEV_PAGE; off += 2048)
			if (heap[off - DEV_BASE] != mark)
				note(&race->wrong);
		if (dev_free(race->fd, addr))
			note(&race->wrong);
		note(&race->objects);
	}
	return NULL;
}

static uint64_t some_address(uint64_t *state)
{
	uint64_t addr = __atomic_load_n(&race->slots[dev_random(state) % SLOTS],
					__ATOMIC_RELAXED);

	return (addr ? addr : DEV_BASE) + dev_random(state) % (16 * DEV_PAGE);
}

static void look(uint64_t *state)
{
	unsigned char byte;

	if (probe_read((char *)some_address(state), &byte))
		note(&race->buses);
	else
		saw(byte);
}

static void *look_on(void *arg)
{
	uint64_t state = dev_seed() * 3 + (uintptr_t)arg;

	while (racing())
		look(&state);
	return NULL;
}

static void *ask(void *arg)
{
	uint64_t state = dev_seed() * 5;
	struct goalloc_query q;
	unsigned char byte;

	(void)arg;
	while (racing()) {
		uint64_t addr = some_address(&state);
		long ret = dev_query(race->fd, addr, &q);

		if (ret && ret != -ENOENT)
			note(&race->wrong);
		if (!ret && (q.base > addr || q.base + q.usable <= addr))
			note(&race->wrong);
		if (pread(race->fd, &byte, 1, addr) == 1)
			saw(byte);
		else if (errno != EFAULT)
			note(&race->wrong);
		if (lseek(race->fd, addr, SEEK_DATA) < 0 && errno != ENXIO)
			note(&race->wrong);
	}
	return NULL;
}

static void *give_back(void *arg)
{
	uint64_t state = dev_seed() * 7;

	(void)arg;
	while (racing()) {
		int64_t got = dev_scavenge(race->fd, dev_random(&state) % 4 ?
					   dev_random(&state) % (32 * DEV_PAGE) :
					   GOALLOC_NO_LIMIT);

		if (got < 0)
			note(&race->wrong);
		else
			__atomic_fetch_add(&race->released, got, __ATOMIC_RELAXED);
		usleep(dev_random(&state) % 500);
	}
	return NULL;
}

/* Another heap takes what is given back, and lets go of it again. */
static void *be_foreign(void *arg)
{
	uint64_t state = dev_seed() * 11;

	(void)arg;
	while (racing()) {
		int fd = dev_open(), i;

		for (i = 0; i < 8 && racing(); i++)
			if (!fill_other_heap(fd, (8 + dev_random(&state) % 64) * DEV_PAGE))
				note(&race->failed);
		close(fd);
		usleep(2000);
	}
	return NULL;
}

/* All of it; what the background has in its hands it gives back by itself. */
static bool all_given_back(int fd)
{
	struct goalloc_memstats ms;
	int tries;

	for (tries = 0; tries < 6000; tries++) {
		if (dev_scavenge(fd, GOALLOC_NO_LIMIT) < 0)
			return false;
		ms = dev_stats(fd);
		if (ms.heap_idle == ms.heap_released && !dev_backed(fd))
			return true;
		usleep(10000);
	}
	return false;
}

static bool raced_met(void)
{
	return happened(&race->objects) && happened(&race->looks) && happened(&race->buses) &&
	       __atomic_load_n(&race->released, __ATOMIC_RELAXED);
}

/* The background is one of those who race. */
TEST_F_TIMEOUT(stale, raced, 60)
{
	void *(*const jobs[])(void *) = {
		own, own, own, look_on, ask, give_back, be_foreign,
	};
	pthread_t threads[ARRAY_SIZE(jobs)];
	uint64_t state = dev_seed() * 13;
	struct goalloc_memstats ms;
	pid_t pid;
	size_t i;

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, race);
	race->fd = self->fd;
	race->met = raced_met;
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	dev_background(self->background);
	race->until = dev_seconds() + 4;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		while (racing())
			look(&state);
		_exit(0);
	}
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, jobs[i], (void *)i));
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(0, dev_wait(pid));
	dev_background(0);
	TH_LOG("%u objects, %u looks, %u times SIGBUS, %" PRIu64 " KiB given back",
	       race->objects, race->looks, race->buses, race->released / 1024);
	EXPECT_EQ(0, race->foreign);
	EXPECT_EQ(0, race->wrong);
	EXPECT_EQ(0, race->failed);
	EXPECT_LT(0, race->objects);
	EXPECT_LT(0, race->looks);
	EXPECT_LT(0, race->buses);
	EXPECT_LT(0, race->released);

	EXPECT_TRUE(dev_balanced(self->fd));
	ms = dev_stats(self->fd);
	EXPECT_EQ(0, ms.heap_objects);
	EXPECT_EQ(0, ms.heap_inuse);
	EXPECT_TRUE(all_given_back(self->fd));
	ms = dev_stats(self->fd);
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
	EXPECT_EQ(0, dev_backed(self->fd));
	EXPECT_EQ(0, ms.heap_inuse + ms.heap_idle - ms.heap_sys);
}

/* Pages in and out of pipes, which pin and unpin them, while they are given back. */
static void *splice_on(void *arg)
{
	uint64_t state = dev_seed() * 17 + (uintptr_t)arg;
	char buf[16 * 4096];
	int pipes[2];

	if (pipe2(pipes, O_NONBLOCK))
		return arg;
	while (racing()) {
		uint64_t addr = some_address(&state) & ~4095ULL;
		struct iovec iov = { (char *)addr, 1 + dev_random(&state) % (8 * 4096) };
		ssize_t n;

		if (vmsplice(pipes[1], &iov, 1, SPLICE_F_NONBLOCK) < 0 && errno != EFAULT &&
		    errno != EAGAIN)
			note(&race->wrong);
		if (dev_random(&state) % 3 == 0)
			continue;
		while ((n = read(pipes[0], buf, sizeof(buf))) > 0)
			while (n)
				saw(buf[--n]);
	}
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

static bool spliced_met(void)
{
	return happened(&race->objects) && happened(&race->looks);
}

TEST_F_TIMEOUT(stale, spliced_in_a_race, 60)
{
	void *(*const jobs[])(void *) = { own, splice_on, splice_on, give_back, be_foreign };
	pthread_t threads[ARRAY_SIZE(jobs)];
	struct goalloc_memstats ms;
	size_t i;

	ASSERT_EQ(0, dev_free(self->fd, self->addr));
	race = calloc(1, sizeof(*race));
	race->fd = self->fd;
	race->met = spliced_met;
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	dev_background(self->background);
	race->until = dev_seconds() + 3;
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, jobs[i], (void *)i));
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		pthread_join(threads[i], NULL);
	dev_background(0);
	TH_LOG("%u objects, %u bytes spliced, %" PRIu64 " KiB given back", race->objects,
	       race->looks, race->released / 1024);
	EXPECT_EQ(0, race->foreign);
	EXPECT_EQ(0, race->wrong);
	EXPECT_EQ(0, race->failed);
	EXPECT_LT(0, race->objects);
	EXPECT_LT(0, race->looks);
	EXPECT_TRUE(dev_balanced(self->fd));
	/* Nobody holds on to anything any more. */
	EXPECT_TRUE(all_given_back(self->fd));
	ms = dev_stats(self->fd);
	EXPECT_EQ(0, ms.heap_objects);
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
	EXPECT_EQ(0, dev_backed(self->fd));
}

/* An object whose place it has again when it is freed: no CPU sets so much aside. */
#define RACE_BYTES	(16 * DEV_PAGE)

/*
 * A fault that began while the object lived may end after it was freed: it must
 * not leave the page behind in a page table.
 */
static void *touch_all_the_time(void *arg)
{
	uint64_t state = dev_seed() * 19 + (uintptr_t)arg;

	while (racing()) {
		int i;

		for (i = 0; i < 64; i++)
			if (probe_read((char *)race->slots[0] + dev_random(&state) % RACE_BYTES,
				       NULL))
				note(&race->buses);
			else
				note(&race->looks);
	}
	return NULL;
}

static bool touched_met(void)
{
	return happened(&race->looks) && happened(&race->buses);
}

TEST_F_TIMEOUT(stale, freed_while_touched, 60)
{
	uint64_t entries[RACE_BYTES / 4096], addr;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), i;
	pthread_t threads[3];

	ASSERT_LE(0, pagemap);
	race = calloc(1, sizeof(*race));
	race->fd = self->fd;
	race->met = touched_met;
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
	addr = dev_new(self->fd, RACE_BYTES);
	ASSERT_NE(0, addr);
	race->slots[0] = addr;
	race->until = dev_seconds() + 3;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, touch_all_the_time,
					    (void *)(uintptr_t)i));
	for (; racing(); race->objects++) {
		ASSERT_EQ(0, dev_free(self->fd, addr));
		ASSERT_EQ(sizeof(entries), pread(pagemap, entries, sizeof(entries),
						 addr / 4096 * sizeof(*entries)));
		for (i = 0; i < (int)(RACE_BYTES / 4096); i++)
			race->wrong += entries[i] >> 62 != 0;
		ASSERT_EQ(addr, dev_new(self->fd, RACE_BYTES));
	}
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("%u objects, %u touches, %u times SIGBUS", race->objects, race->looks,
	       race->buses);
	EXPECT_EQ(0, race->wrong);
	EXPECT_LT(0, race->looks);
	EXPECT_LT(0, race->buses);
	close(pagemap);
}

TEST_HARNESS_MAIN
