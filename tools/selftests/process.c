// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that share a heap, and their ends: whatever a process was at when it
 * was killed, the heap is whole, and what nobody refers to any more is gone.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include "harness.h"
#include "device.h"

/* The first bytes of an object in the shared heap, made from its address. */
struct stamp {
	uint64_t addr;
	uint64_t bytes;
	uint64_t check;
};

static uint64_t stamp_check(uint64_t addr, uint64_t bytes)
{
	return (addr ^ bytes * 0x9e3779b97f4a7c15ULL) | 1;
}

static void stamp_put(uint64_t addr, uint64_t bytes)
{
	struct stamp *first = (struct stamp *)addr;

	*first = (struct stamp){ addr, bytes, stamp_check(addr, bytes) };
	/* And in the last word, which is on another page of large objects. */
	*(uint64_t *)(addr + bytes / 8 * 8 - 8) = first->check;
}

static bool stamp_is(uint64_t addr)
{
	struct stamp *first = (struct stamp *)addr;

	return first->addr == addr && first->check == stamp_check(addr, first->bytes) &&
	       *(uint64_t *)(addr + first->bytes / 8 * 8 - 8) == first->check;
}

static uint64_t some_size(uint64_t *state)
{
	uint64_t r = dev_random(state);

	return 32 + (r % 16 ? (r >> 8) % 600 : r % 256 ? (r >> 8) % 30000 : (r >> 8) % 200000);
}

FIXTURE(shared)
{
	int fd;
	int heaps;
};

FIXTURE_SETUP(shared)
{
	self->heaps = dev_heaps();
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
}

FIXTURE_TEARDOWN(shared)
{
	munmap((void *)DEV_BASE, DEV_SPACE);
	close(self->fd);
	/* Nothing of it is left, however its users ended. */
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

/* A market: everybody puts objects in and frees what others made. */
enum { STALLS = 256 };

struct market {
	int fd;
	unsigned int rounds;
	uint64_t stalls[STALLS];
	uint64_t made;
	uint64_t freed;
	unsigned int wrong;
};

static struct market *market;

static void take_away(uint64_t addr)
{
	if (!addr)
		return;
	if (!stamp_is(addr) || dev_free(market->fd, addr))
		__atomic_fetch_add(&market->wrong, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&market->freed, 1, __ATOMIC_RELAXED);
}

static void *trade(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg, sizes[16], addrs[16];
	unsigned int i;
	long n, k;

	for (i = 0; i < market->rounds; i++) {
		if (i % 4) {
			sizes[0] = some_size(&state);
			n = !dev_alloc(market->fd, sizes[0], 0, addrs);
		} else {
			for (k = 0; k < 16; k++)
				sizes[k] = some_size(&state);
			n = dev_alloc_batch(market->fd, sizes, addrs, 16);
		}
		if (n <= 0)
			__atomic_fetch_add(&market->wrong, 1, __ATOMIC_RELAXED);
		for (k = 0; k < n; k++) {
			stamp_put(addrs[k], sizes[k]);
			__atomic_fetch_add(&market->made, 1, __ATOMIC_RELAXED);
			take_away(__atomic_exchange_n(&market->stalls[dev_random(&state) % STALLS],
						      addrs[k], __ATOMIC_ACQ_REL));
		}
	}
	return NULL;
}

static void trade_in_threads(unsigned long number)
{
	pthread_t threads[3];
	unsigned long i;

	for (i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, trade, (void *)(number * 1000 + i)))
			__atomic_fetch_add(&market->wrong, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

TEST_F_TIMEOUT(shared, threads_and_processes, 60)
{
	struct goalloc_memstats ms;
	unsigned long i;
	pid_t pids[3];

	market = mmap(NULL, sizeof(*market), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, market);
	market->fd = self->fd;
	market->rounds = dev_slow() ? 150 : 400;
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			trade_in_threads(i + 1);
			_exit(0);
		}
	}
	trade_in_threads(0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, dev_wait(pids[i]));
	EXPECT_EQ(0, market->wrong);
	ms = dev_stats(self->fd);
	EXPECT_EQ(market->made, ms.mallocs);
	EXPECT_EQ(market->freed, ms.frees);
	EXPECT_TRUE(dev_balanced(self->fd));
	for (i = 0; i < STALLS; i++)
		take_away(market->stalls[i]);
	EXPECT_EQ(0, market->wrong);
	EXPECT_EQ(market->made, market->freed);
	EXPECT_EQ(0, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(0, dev_stats(self->fd).heap_alloc);
}

/*
 * Where the heap's pages end. That is not where as many pages would end as there
 * are: a process that is killed while it makes the heap grow, and others behind
 * it, leaves a hole.
 */
static uint64_t grown_end(int fd)
{
	FILE *file = fopen(dev_tree_path(fd, "pagealloc"), "re");
	unsigned long long end = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file) &&
	       sscanf(line, "end %llx", &end) != 1)
		;
	if (file)
		fclose(file);
	return end;
}

/*
 * What lives in a heap, found by asking it about every place there is. Returns
 * how many objects; the first @room of their addresses go to @addrs.
 */
static uint64_t enumerate(int fd, uint64_t *addrs, uint64_t room)
{
	uint64_t addr = DEV_BASE, end = grown_end(fd), n = 0;
	struct goalloc_query q;

	while (addr < end) {
		uint64_t span_end;

		if (dev_query(fd, addr, &q)) {
			addr += DEV_PAGE;
			continue;
		}
		span_end = q.span_base + q.span_pages * DEV_PAGE;
		while (addr < span_end && !dev_query(fd, addr, &q) && q.usable) {
			if (q.state != GOALLOC_QUERY_FREE) {
				if (n < room)
					addrs[n] = q.base;
				n++;
			}
			addr = q.base + q.usable;
		}
		/* A tail that no slot fits in. */
		addr = span_end;
	}
	return n;
}

/* The books say what there is, and what there is can be freed, all of it. */
static void expect_whole(struct __test_metadata *_metadata, int fd)
{
	/* Who was to be killed in a moment may have had seconds. */
	enum { ROOM = 1 << 20 };
	static uint64_t addrs[ROOM];
	struct goalloc_memstats ms = dev_stats(fd);
	uint64_t n = enumerate(fd, addrs, ROOM), i;

	EXPECT_TRUE(dev_balanced(fd));
	EXPECT_EQ(n, ms.heap_objects);
	ASSERT_LE(n, ROOM);
	for (i = 0; i < n; i += 1024)
		EXPECT_EQ(n - i < 1024 ? n - i : 1024,
			  dev_free_batch(fd, addrs + i, n - i < 1024 ? n - i : 1024));
	ms = dev_stats(fd);
	EXPECT_EQ(0, ms.heap_objects);
	EXPECT_EQ(0, ms.heap_alloc);
	/* The background may have a piece in its hands, which it gives back by itself. */
	for (i = 0; i < 6000; i++) {
		EXPECT_LE(0, dev_scavenge(fd, GOALLOC_NO_LIMIT));
		ms = dev_stats(fd);
		if (ms.heap_idle == ms.heap_released && dev_backed(fd) <= ms.heap_inuse)
			break;
		usleep(10000);
	}
	EXPECT_EQ(ms.heap_idle, ms.heap_released);
	EXPECT_LE(dev_backed(fd), ms.heap_inuse);
	EXPECT_TRUE(dev_balanced(fd));
}

/* What a process is at when it is killed. */

static void do_alloc(int fd, uint64_t *state)
{
	uint64_t addr;

	dev_alloc(fd, some_size(state), dev_random(state) % 4, &addr);
	if (dev_random(state) % 2)
		dev_free(fd, addr);
}

static void do_batches(int fd, uint64_t *state)
{
	uint64_t sizes[1024], addrs[1024];
	long i, n;

	for (i = 0; i < 1024; i++)
		sizes[i] = 16 + dev_random(state) % 200;
	n = dev_alloc_batch(fd, sizes, addrs, 1024);
	dev_free_batch(fd, addrs, n - dev_random(state) % 3);
}

static void do_large(int fd, uint64_t *state)
{
	uint64_t addr;

	if (!dev_alloc(fd, dev_random(state) % 2 ? 5 * DEV_MIB : 50000, 0, &addr) &&
	    dev_random(state) % 8)
		dev_free(fd, addr);
}

static void do_faults(int fd, uint64_t *state)
{
	uint64_t addr = dev_new(fd, 64 * DEV_PAGE), i;

	for (i = 0; i < 64; i++)
		*(char *)(addr + i * DEV_PAGE + dev_random(state) % DEV_PAGE) = 1;
	dev_free(fd, addr);
}

static void do_mappings(int fd, uint64_t *state)
{
	uint64_t addr = dev_new(fd, 64 * DEV_PAGE), pages = 1 + dev_random(state) % 128;
	char *p = dev_map(fd, addr, 64 * DEV_PAGE), *moved;

	/* There are as many mappings as there may be, if nobody kills it for long. */
	if (p == MAP_FAILED) {
		dev_free(fd, addr);
		return;
	}
	moved = mremap(p, 64 * DEV_PAGE, pages * DEV_PAGE, MREMAP_MAYMOVE);
	/* It need not be possible to grow; see mmap.c. */
	if (moved != MAP_FAILED)
		p = moved;
	else
		pages = 64;
	*p = 1;
	/* No more than it is: behind it another thread's may begin. */
	munmap(p, (1 + dev_random(state) % pages) * DEV_PAGE);
	dev_free(fd, addr);
}

static void do_scavenging(int fd, uint64_t *state)
{
	uint64_t addr = dev_new(fd, 64 * DEV_PAGE);

	memset((char *)addr, 1, 64 * DEV_PAGE);
	dev_free(fd, addr);
	dev_scavenge(fd, dev_random(state) % 2 ? GOALLOC_NO_LIMIT : 100000);
}

static void do_reading(int fd, uint64_t *state)
{
	static __thread char buf[40 * 8192];
	uint64_t addr = dev_new(fd, sizeof(buf));

	if (pwrite(fd, buf, sizeof(buf), addr) == sizeof(buf))
		dev_random(state);
	if (pread(fd, buf, sizeof(buf), addr + 77) < 0)
		abort();
	dev_free(fd, addr);
}

static void do_questions(int fd, uint64_t *state)
{
	struct goalloc_name name = { .size = sizeof(name), .name = "killed" };
	struct goalloc_query q;
	uint64_t value, i;

	for (i = 0; i < 20; i++)
		dev_query(fd, DEV_BASE + dev_random(state) % 100000, &q);
	dev_stats(fd);
	dev_get(fd, GOALLOC_PARAM_LIMIT, &value);
	dev_set(fd, GOALLOC_PARAM_LIMIT, dev_random(state) % 2 ? GOALLOC_NO_LIMIT : 1000000);
	dev_ioctl(fd, GOALLOC_IOC_SET_NAME, &name);
	lseek(fd, 0, SEEK_DATA);
}

static void do_opening(int fd, uint64_t *state)
{
	static unsigned int left;
	int other = dev_open();
	uint64_t addr = dev_new(other, DEV_LARGE);
	char *p = dev_map(other, addr, DEV_LARGE);

	(void)fd;
	*p = 1;
	close(other);
	/* Each half keeps a heap: not so many that the machine is full before the kill. */
	if (dev_random(state) % 2 || __atomic_add_fetch(&left, 1, __ATOMIC_RELAXED) > 300)
		munmap(p, DEV_LARGE);
	else
		munmap(p, DEV_LARGE / 2);
}

FIXTURE(killed)
{
	int fd;
	int heaps;
};

FIXTURE_VARIANT(killed)
{
	void (*act)(int fd, uint64_t *state);
};

#define KILLED(_name) FIXTURE_VARIANT_ADD(killed, _name) { .act = do_##_name }

KILLED(alloc);
KILLED(batches);
KILLED(large);
KILLED(faults);
KILLED(mappings);
KILLED(scavenging);
KILLED(reading);
KILLED(questions);
KILLED(opening);

FIXTURE_SETUP(killed)
{
	self->heaps = dev_heaps();
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	ASSERT_NE(MAP_FAILED, dev_map_heap(self->fd));
}

FIXTURE_TEARDOWN(killed)
{
	munmap((void *)DEV_BASE, DEV_SPACE);
	close(self->fd);
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

static void *act_for_ever(void *arg);

struct actor {
	int fd;
	void (*act)(int fd, uint64_t *state);
	uint64_t state;
};

static void *act_for_ever(void *arg)
{
	struct actor *actor = arg;

	for (;;)
		actor->act(actor->fd, &actor->state);
	return NULL;
}

/* Starts a process that acts until it is killed, in @threads threads. */
static pid_t start_acting(int fd, void (*act)(int, uint64_t *), uint64_t seed, int threads)
{
	pid_t pid = fork();
	pthread_t thread;
	int i;

	if (pid)
		return pid;
	for (i = 0; i < threads; i++) {
		struct actor *actor = malloc(sizeof(*actor));

		*actor = (struct actor){ fd, act, seed + i };
		if (i == threads - 1)
			act_for_ever(actor);
		if (pthread_create(&thread, NULL, act_for_ever, actor))
			_exit(1);
	}
	_exit(1);
}

/* One by one, each somewhere else in what it does. */
TEST_F_TIMEOUT(killed, at_any_moment, 60)
{
	uint64_t state = dev_seed();
	int round, status, rounds = dev_slow() ? 6 : 12;
	pid_t pid;

	for (round = 0; round < rounds; round++) {
		pid = start_acting(self->fd, variant->act, state, 1);
		ASSERT_LT(0, pid);
		usleep(dev_random(&state) % 15000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* It left nothing behind but objects. */
		EXPECT_TRUE(dev_balanced(self->fd));
		if (round % 4 == 3)
			expect_whole(_metadata, self->fd);
		if (self->heaps > 0)
			EXPECT_TRUE(dev_wait_heaps(self->heaps + 1));
	}
	expect_whole(_metadata, self->fd);
}

/* Several at once, of many threads, while their parent goes on. */
TEST_F_TIMEOUT(killed, in_a_crowd, 60)
{
	uint64_t state = dev_seed() * 3, mine = 0;
	int round, i, status, rounds = dev_slow() ? 1 : 2;
	pid_t pids[3];

	for (round = 0; round < rounds; round++) {
		double until;

		for (i = 0; i < 3; i++) {
			pids[i] = start_acting(self->fd, variant->act, state + i * 100, 3);
			ASSERT_LT(0, pids[i]);
		}
		until = dev_seconds() + 0.05 + dev_random(&state) % 50000 / 1e6;
		do {
			uint64_t addr = dev_new(self->fd, 3000), last = addr;

			ASSERT_NE(0, addr);
			stamp_put(addr, 3000);
			ASSERT_TRUE(stamp_is(last));
			ASSERT_EQ(0, dev_free(self->fd, addr));
			mine++;
		} while (dev_seconds() < until);
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, kill(pids[i], SIGKILL));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
			EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
				TH_LOG("status %#x", status);
		}
		expect_whole(_metadata, self->fd);
	}
	EXPECT_LT(0, mine);
}

/* A heap that nobody else knows goes with its process, and all of its memory. */
TEST_F_TIMEOUT(shared, killed_with_all_it_had, 60)
{
	uint64_t before = dev_memory_free(), bytes = (dev_slow() ? 32 : 64) * DEV_MIB;
	/* KASAN keeps what was freed for a while, and others take some. */
	uint64_t allowed = bytes / (dev_slow() ? 2 : 4);
	int pipes[2], heaps = dev_heaps(), round, i, status, wait;
	pid_t pid;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, pipe(pipes));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			int fd = dev_open(), other = dev_open();
			uint64_t addr, sizes[1024], addrs[1024];
			char *p;

			for (i = 0; i < 1024; i++)
				sizes[i] = 16 + i;
			for (i = 0; i < 5; i++)
				if (dev_alloc_batch(fd, sizes, addrs, 1024) != 1024)
					_exit(1);
			addr = dev_new(other, bytes);
			p = dev_map(other, addr, bytes);
			if (p == MAP_FAILED)
				_exit(1);
			for (i = 0; (uint64_t)i < bytes; i += DEV_PAGE)
				p[i] = i;
			/* Files or mappings, which of them keep a heap is all the same. */
			if (round == 1)
				close(other);
			dev_tell(pipes[1], 1);
			for (;;)
				pause();
		}
		close(pipes[1]);
		ASSERT_EQ(1, dev_hear(pipes[0]));
		close(pipes[0]);
		EXPECT_GT(before, dev_memory_free() + bytes / 2);
		if (heaps > 0)
			EXPECT_EQ(heaps + 2, dev_heaps());
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (heaps > 0)
			EXPECT_TRUE(dev_wait_heaps(heaps));
		for (wait = 0; wait < 600 && dev_memory_free() + allowed < before; wait++)
			usleep(100000);
		EXPECT_LT(before, dev_memory_free() + allowed);
	}
}

/* A process that ends of itself while its threads are in the middle of things. */
TEST_F(shared, exit_among_threads)
{
	static void (*const acts[])(int, uint64_t *) = {
		do_faults, do_batches, do_scavenging, do_mappings,
	};
	struct actor actors[ARRAY_SIZE(acts)];
	pthread_t thread;
	int round, rounds = dev_slow() ? 5 : 10;
	size_t i;
	pid_t pid;

	for (round = 0; round < rounds; round++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			for (i = 0; i < ARRAY_SIZE(acts); i++) {
				actors[i] = (struct actor){ self->fd, acts[i], round * 10 + i };
				if (pthread_create(&thread, NULL, act_for_ever, &actors[i]))
					_exit(1);
			}
			usleep(round * 7000 % 30000);
			_exit(round);
		}
		EXPECT_EQ(round, dev_wait(pid));
		EXPECT_TRUE(dev_balanced(self->fd));
	}
	expect_whole(_metadata, self->fd);
}

/* A new program in the place of one that had the heap mapped. */
TEST_F(shared, exec_among_threads)
{
	struct actor actors[2];
	pthread_t thread;
	int round, i;
	pid_t pid;

	for (round = 0; round < 4; round++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			for (i = 0; i < 2; i++) {
				actors[i] = (struct actor){ self->fd, do_faults, round * 10 + i };
				if (pthread_create(&thread, NULL, act_for_ever, &actors[i]))
					_exit(1);
			}
			usleep(5000);
			close(STDERR_FILENO);
			execl("/proc/self/exe", "process", "-h", NULL);
			_exit(99);
		}
		/* Its help is told with SKIP. */
		EXPECT_EQ(KSFT_SKIP, dev_wait(pid));
	}
	expect_whole(_metadata, self->fd);
}

TEST_HARNESS_MAIN
