// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user who means harm: forged addresses, numbers at the ends of 64 bits, arrays that
 * change during the call, calls that last long, mistakes by the ten thousand. It has
 * the file and nothing else. See also stale.c, for what is left in pages, and
 * stalled.c, for calls that stand still.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>
#include "harness.h"
#include "device.h"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

enum { USER = 1000 };	/* in no group */

static bool slow;	/* a user cannot tell */

FIXTURE(user)
{
	int fd;
	int heaps;
};

/* Opened as root, as somebody may have passed it on; from then on it is nobody. */
FIXTURE_SETUP(user)
{
	slow = dev_slow();
	self->heaps = dev_heaps();
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
	if (!geteuid())
		ASSERT_EQ(0, setresuid(USER, USER, 0));
	probe_begin();
}

FIXTURE_TEARDOWN(user)
{
	EXPECT_TRUE(dev_balanced(self->fd));
	close(self->fd);
	if (!setresuid(0, 0, 0) && self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

/* What lives, to know what is forged. */
enum { LIVE = 260 };

struct live {
	uint64_t addr[LIVE];
	uint64_t usable[LIVE];
};

static const uint64_t sizes[] = { 1, 5, 8, 15, 16, 24, 48, 112, 1000, 3072, 8192, 28000, 40000 };

static bool live_make(int fd, struct live *l)
{
	struct goalloc_query q;
	int i;

	for (i = 0; i < LIVE; i++) {
		l->addr[i] = dev_new(fd, sizes[i % ARRAY_SIZE(sizes)]);
		if (!l->addr[i] || dev_query(fd, l->addr[i], &q))
			return false;
		l->usable[i] = q.usable;
	}
	return true;
}

static bool is_live(const struct live *l, uint64_t addr)
{
	int i;

	for (i = 0; i < LIVE; i++)
		if (l->addr[i] == addr)
			return true;
	/* What the kernel takes for nothing. */
	return !addr || addr == GOALLOC_ZERO_ADDR;
}

/* Is any live object's byte there? */
static bool is_inside(const struct live *l, uint64_t addr)
{
	int i;

	for (i = 0; i < LIVE; i++)
		if (addr - l->addr[i] < l->usable[i])
			return true;
	return false;
}

struct forged {
	unsigned int tried;
	unsigned int freed;
	unsigned int strange;
};

static void forge(int fd, const struct live *l, uint64_t addr, struct forged *f)
{
	struct goalloc_query q;
	char byte;
	long ret;

	if (is_live(l, addr))
		return;
	f->tried++;
	ret = dev_free(fd, addr);
	f->freed += !ret;
	f->strange += ret != -ENOENT && ret != -EINVAL && ret != -EALREADY;
	/* Within an object it is never taken for one that was freed. */
	f->strange += is_inside(l, addr) && ret != -EINVAL;
	ret = dev_query(fd, addr, &q);
	f->strange += ret && ret != -ENOENT && ret != -EINVAL;
	if (!ret)
		f->strange += addr < q.base || addr - q.base >= q.usable ||
			      q.base < DEV_BASE || q.base + q.usable > DEV_BASE + DEV_SPACE;
	if (pread(fd, &byte, 1, addr) != 1)
		f->strange += errno != EFAULT && errno != EINVAL;
	if (lseek(fd, addr, SEEK_DATA) < 0)
		f->strange += errno != ENXIO;
}

/* Every address that differs from an object's in few bits, or by a multiple of it. */
TEST_F_TIMEOUT(user, forged_addresses, 120)
{
	uint64_t state = dev_seed(), before;
	struct forged f = { 0 };
	static struct live l;
	int i, k;

	ASSERT_TRUE(live_make(self->fd, &l));
	before = dev_stats(self->fd).frees;
	for (i = 0; i < LIVE; i += slow ? 7 : 3) {
		for (k = 0; k < 64; k++) {
			forge(self->fd, &l, l.addr[i] ^ 1ULL << k, &f);
			forge(self->fd, &l, l.addr[i] + (1ULL << k), &f);
			forge(self->fd, &l, l.addr[i] - (1ULL << k), &f);
			forge(self->fd, &l, l.addr[i] + (l.usable[i] << k), &f);
			forge(self->fd, &l, l.addr[i] - (l.usable[i] << k), &f);
			forge(self->fd, &l, l.addr[i] * (2 * k + 3), &f);
			/* What, times the size, is 0 in 64 bits or nearly. */
			forge(self->fd, &l, l.addr[i] + ~0ULL / l.usable[i] * k, &f);
			forge(self->fd, &l, l.addr[i] + (~0ULL / l.usable[i] + 1) * k, &f);
		}
		for (k = 0; k < 64; k++) {
			forge(self->fd, &l, dev_random(&state), &f);
			forge(self->fd, &l, DEV_BASE + dev_random(&state) % DEV_SPACE, &f);
			forge(self->fd, &l, DEV_BASE + dev_random(&state) % (8 * DEV_MIB), &f);
		}
	}
	TH_LOG("%u addresses", f.tried);
	EXPECT_LT(slow ? 10000 : 50000, f.tried);
	EXPECT_EQ(0, f.freed);
	EXPECT_EQ(0, f.strange);
	EXPECT_EQ(before, dev_stats(self->fd).frees);
	for (i = 0; i < LIVE; i++)
		EXPECT_EQ(0, dev_free(self->fd, l.addr[i]));
}

/* And among good ones in a batch, where many are looked at as one. */
TEST_F_TIMEOUT(user, forged_in_a_batch, 120)
{
	enum { N = 16 };
	uint64_t all[3] = { 16, 112, 1000 }, want[N], addrs[N + 2], before;
	unsigned int tried = 0, wrong = 0;
	size_t s;
	int k, i;

	before = dev_stats(self->fd).heap_objects;
	for (s = 0; s < ARRAY_SIZE(all); s++) {
		struct goalloc_query q;

		for (i = 0; i < N; i++)
			want[i] = all[s];
		for (k = 0; k < 128; k++) {
			uint64_t far;

			ASSERT_EQ(N, dev_alloc_batch(self->fd, want, addrs, N));
			ASSERT_EQ(0, dev_query(self->fd, addrs[0], &q));
			far = k < 64 ? 1ULL << k : (q.usable << (k - 64)) + k % 2;
			/* Good ones, a forged one, good ones. */
			memmove(addrs + 9, addrs + 8, 8 * sizeof(*addrs));
			addrs[8] = addrs[7] + far;
			/* A neighbour is not forged. */
			for (i = 0; i < N + 1 && (i == 8 || addrs[i] != addrs[8]); i++)
				;
			if (i < N + 1)
				addrs[8] = addrs[7] + 1;
			tried++;
			wrong += dev_free_batch(self->fd, addrs, N + 1) != 8;
			wrong += dev_free_batch(self->fd, addrs + 8, 9) >= 0;
			wrong += dev_free_batch(self->fd, addrs + 9, 8) != 8;
		}
	}
	TH_LOG("%u batches", tried);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(before, dev_stats(self->fd).heap_objects);
}

/* Numbers where 64 bits end, and where anything of the heap does. */
static unsigned int numbers(uint64_t *n)
{
	static const uint64_t at[] = {
		DEV_BASE, DEV_BASE + DEV_SPACE, DEV_SPACE, DEV_PAGE, 32768, 1 << 26, 1 << 22,
		0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffffffff80000000,
	};
	unsigned int count = 0, k;
	int d;

	for (k = 0; k < 64; k++)
		for (d = -1; d <= 1; d++)
			n[count++] = (1ULL << k) + d;
	for (k = 0; k < ARRAY_SIZE(at); k++)
		for (d = -1; d <= 1; d++) {
			n[count++] = at[k] + d;
			n[count++] = -at[k] + d;
		}
	for (k = 0; k < 4; k++)
		n[count++] = ~0ULL - k * DEV_PAGE;
	return count;
}

TEST_F_TIMEOUT(user, numbers, 200)
{
	struct goalloc_memstats ms;
	uint64_t n[300], pair[2], got[2], addr, room[2];
	unsigned int count = numbers(n), i, k;
	char *page;
	int bad = 0;

	/* A page with nothing behind it. */
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + 4096, 4096));
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 256 * DEV_MIB));
	addr = dev_new(self->fd, DEV_LARGE);
	ASSERT_NE(0, addr);
	ASSERT_EQ(2, pwrite(self->fd, "ab", 2, addr));
	for (i = 0; i < count; i++) {
		struct goalloc_alloc a = { .size = sizeof(a), .bytes = n[i] };
		struct iovec iov = { page, n[i] };
		long ret;
		char *p;

		/* Sizes, alone and with alignments, and in batches. */
		for (k = 0; k < 4; k++) {
			a.align = k ? n[(i + k * 7) % count] : 0;
			ret = dev_ioctl(self->fd, GOALLOC_IOC_ALLOC, &a);
			bad += ret && ret != -ENOMEM && ret != -EFBIG && ret != -EINVAL;
			if (ret)
				continue;
			bad += a.usable < n[i] || (n[i] && (a.addr < DEV_BASE ||
				a.addr + a.usable > DEV_BASE + DEV_SPACE));
			bad += a.align && n[i] && a.addr % a.align;
			bad += !!dev_free(self->fd, a.addr);
		}
		pair[0] = 8;
		pair[1] = n[i];
		ret = dev_alloc_batch(self->fd, pair, got, 2);
		bad += ret != 1 && ret != 2;
		bad += dev_free_batch(self->fd, got, ret) != ret;
		/* Offsets, lengths, bytes to give back. */
		ret = pread(self->fd, room, 2, n[i]);
		bad += ret < 0 && errno != EFAULT && errno != EINVAL;
		ret = pwrite(self->fd, room, 0, n[i]);
		bad += ret < 0 && errno != EINVAL;
		ret = preadv(self->fd, &iov, 1, addr);
		bad += ret > 4096 || (ret < 0 && errno != EFAULT && errno != EINVAL);
		for (k = 0; k < 5; k++) {
			off_t at = lseek(self->fd, n[i], k);

			bad += at < 0 && errno != EINVAL && errno != ENXIO && errno != EOVERFLOW;
		}
		bad += dev_scavenge(self->fd, n[i]) < 0;
		p = mmap(NULL, n[i], PROT_READ, MAP_SHARED, self->fd, DEV_BASE);
		if (p != MAP_FAILED)
			bad += n[i] > DEV_SPACE || munmap(p, n[i]);
		p = mmap(NULL, 3 * DEV_PAGE, PROT_READ, MAP_SHARED, self->fd, n[i] & ~4095ULL);
		if (p != MAP_FAILED) {
			bad += (n[i] & ~4095ULL) && (n[i] < DEV_BASE ||
				n[i] >= DEV_BASE + DEV_SPACE);
			munmap(p, 3 * DEV_PAGE);
		}
		/* Limits of any kind, and then work under them. */
		bad += !!dev_set(self->fd, GOALLOC_PARAM_LIMIT, n[i]);
		ret = dev_alloc(self->fd, 2 * DEV_PAGE, 0, got);
		bad += !!ret;
		bad += pwrite(self->fd, "x", 1, got[0]) != 1 || dev_free(self->fd, got[0]);
		bad += !!dev_set(self->fd, GOALLOC_PARAM_MAX, n[i]);
		ms = dev_stats(self->fd);
		ret = dev_alloc(self->fd, DEV_LARGE, 0, got);
		bad += !ret && dev_stats(self->fd).heap_inuse > n[i];
		bad += ret && ms.heap_inuse + DEV_LARGE <= n[i];
		bad += !ret && dev_free(self->fd, got[0]);
		ret = dev_set(self->fd, GOALLOC_PARAM_GC_PERCENT, n[i]);
		bad += ret != (n[i] <= 100000 || !~n[i] ? 0 : -EINVAL);
		bad += !!dev_set(self->fd, GOALLOC_PARAM_MAX, 256 * DEV_MIB);
		bad += !!dev_set(self->fd, GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT);
		EXPECT_EQ(0, bad) TH_LOG("%#" PRIx64, n[i]);
		if (bad)
			break;
	}
	TH_LOG("%u numbers", i);
	EXPECT_EQ(1, dev_stats(self->fd).heap_objects);
	EXPECT_EQ(2, pread(self->fd, room, 2, addr));
	EXPECT_EQ(0, memcmp(room, "ab", 2));
}

/* Arrays that another thread changes all the time. */
enum { BATCH = 512 };

static struct {
	uint64_t sizes[BATCH];
	uint64_t addrs[BATCH];
	uint64_t frees[BATCH];
	bool stop;
} arrays;

static void *change(void *arg)
{
	uint64_t state = dev_seed() + (uintptr_t)arg, r;

	while (!__atomic_load_n(&arrays.stop, __ATOMIC_RELAXED)) {
		int i, at = dev_random(&state) % BATCH;

		for (i = 0; i < 64; i++, at = (at + 1) % BATCH) {
			r = dev_random(&state);
			arrays.sizes[at] = r % 40 ? r % 2000 : r % 3 ? ~0ULL : r % 300000;
			arrays.addrs[at] = r;
			/* Others' addresses, twice the same, and any. */
			arrays.frees[at] = r % 5 ? arrays.frees[r % BATCH] :
					   DEV_BASE + r % DEV_MIB / 16 * 16;
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(user, changing_arrays, 60)
{
	uint64_t made = 0, freed = 0, asked = 0, kept[BATCH];
	double until = dev_seconds() + (slow ? 4 : 2);
	struct goalloc_memstats ms;
	pthread_t threads[2];
	unsigned long i;
	long n;

	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 64 * DEV_MIB));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, change, (void *)i));
	do {
		n = dev_alloc_batch(self->fd, arrays.sizes, arrays.addrs, BATCH);
		ASSERT_TRUE(n >= 0 || n == -EFBIG || n == -ENOMEM);
		made += n > 0 ? n : 0;
		asked++;
		/* Those that are known, in an array that is not what it was. */
		for (i = 0; i < BATCH; i++)
			kept[i] = 16 + i;
		n = dev_alloc_batch(self->fd, kept, kept, BATCH);
		made += n > 0 ? n : 0;
		if (n > 0)
			memcpy(arrays.frees, kept, n * sizeof(*kept));
		for (i = 0; i < 8; i++) {
			n = dev_free_batch(self->fd, arrays.frees + i, BATCH - i);
			ASSERT_TRUE(n >= 0 || n == -EALREADY || n == -EINVAL || n == -ENOENT);
			freed += n > 0 ? n : 0;
		}
		/* Full: the books are what counts, and they begin anew. */
		if (dev_stats(self->fd).heap_inuse > 48 * DEV_MIB) {
			ms = dev_stats(self->fd);
			/* Objects of no bytes are told as made and are none. */
			EXPECT_LE(ms.mallocs, made);
			EXPECT_LE(ms.frees, freed);
			EXPECT_TRUE(dev_balanced(self->fd));
			close(self->fd);
			ASSERT_EQ(0, setresuid(0, 0, 0));
			self->fd = dev_open();
			ASSERT_EQ(0, setresuid(USER, USER, 0));
			ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, 64 * DEV_MIB));
			made = 0;
			freed = 0;
		}
	} while (dev_seconds() < until);
	arrays.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ms = dev_stats(self->fd);
	TH_LOG("%" PRIu64 " rounds", asked);
	EXPECT_LE(ms.mallocs, made);
	EXPECT_LE(ms.frees, freed);
	EXPECT_EQ(ms.heap_objects, ms.mallocs - ms.frees);
}

/*
 * Calls that last. Whatever they are at, a kill ends them soon, and where it can be
 * seen how far they came, in the middle. The heap is the parent's as well, so that its
 * end is not a part of it.
 */
enum { MANY = 1024 };	/* objects of a batch */

static uint64_t last_addr, last_addrs[MANY];

static uint64_t last_bytes(void)
{
	return (slow ? 32 : 128) * DEV_MIB;
}

static void nothing(int fd)
{
	(void)fd;
}

static void some_space(int fd)
{
	last_addr = dev_new(fd, (slow ? 8 : 128) * DEV_GIB);
}

static void some_less(int fd)
{
	dev_new(fd, (slow ? 4 : 16) * DEV_GIB);
}

static void idle_memory(int fd)
{
	uint64_t addr = dev_new(fd, last_bytes()), off;
	char *p = dev_map(fd, addr, last_bytes());

	for (off = 0; p != MAP_FAILED && off < last_bytes(); off += DEV_PAGE)
		p[off] = 1;
	munmap(p, last_bytes());
	dev_free(fd, addr);
}

static void make_many(int fd)
{
	uint64_t bytes[MANY];
	int i;

	for (i = 0; i < MANY; i++)
		bytes[i] = (slow ? 8 : 128) * DEV_MIB;
	dev_alloc_batch(fd, bytes, last_addrs, MANY);
}

/* Each page that goes has many places to go from. */
static void many_mapped(int fd)
{
	int i;

	for (i = 0; i < (slow ? 100 : 500); i++)
		if (dev_map_at(fd, NULL, DEV_SPACE / 4, PROT_READ, DEV_BASE) == MAP_FAILED)
			break;
	make_many(fd);
}

static void last_alloc(int fd)
{
	dev_free(fd, dev_new(fd, (slow ? 16 : 256) * DEV_GIB));
}

static void last_frees(int fd)
{
	dev_free_batch(fd, last_addrs, MANY);
}

static void last_scavenge(int fd)
{
	dev_scavenge(fd, GOALLOC_NO_LIMIT);
}

static void last_limit(int fd)
{
	dev_set(fd, GOALLOC_PARAM_LIMIT, 0);
}

/* What is used again is zeroed first. */
static void last_zeroing(int fd)
{
	dev_new(fd, last_bytes());
}

static void last_vector(int fd, bool write)
{
	static char buf[DEV_MIB];
	struct iovec iov[1000];
	int i;

	for (i = 0; i < 1000; i++)
		iov[i] = (struct iovec){ buf, sizeof(buf) };
	if (write)
		pwritev(fd, iov, last_bytes() / DEV_MIB, last_addr);
	else
		preadv(fd, iov, slow ? 100 : 1000, last_addr);
}

static void last_read(int fd)
{
	last_vector(fd, false);
}

static void last_write(int fd)
{
	last_vector(fd, true);
}

/* There is no data, and there are no holes to speak of. */
static void last_seek(int fd)
{
	lseek(fd, DEV_BASE, SEEK_DATA);
	lseek(fd, DEV_BASE, SEEK_HOLE);
}

static void last_tables(int fd)
{
	static const char * const tables[] = { "spans", "pages", "arenas", "pagealloc" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		free(dev_read_file(dev_tree_path(fd, tables[i])));
}

/* Did it come to an end in the middle? */
static bool memory_halfway(int fd)
{
	uint64_t bytes = dev_backed(fd);

	return bytes > 0 && bytes < last_bytes();
}

static bool objects_halfway(int fd)
{
	uint64_t n = dev_stats(fd).heap_objects;

	return n > 0 && n < MANY;
}

FIXTURE(lasting)
{
	int fd;
	int heaps;
	long background;	/* it would do the same */
};

FIXTURE_VARIANT(lasting)
{
	void (*prepare)(int fd);
	void (*act)(int fd);
	bool (*halfway)(int fd);	/* NULL if that cannot be seen */
};

#define LASTING(_name, _prepare, _halfway)	\
	FIXTURE_VARIANT_ADD(lasting, _name) { _prepare, last_##_name, _halfway }
#define last_makes	make_many

LASTING(alloc, nothing, NULL);
LASTING(makes, nothing, objects_halfway);
LASTING(frees, many_mapped, objects_halfway);
LASTING(scavenge, idle_memory, memory_halfway);
LASTING(limit, idle_memory, memory_halfway);
LASTING(zeroing, idle_memory, NULL);
LASTING(read, some_space, NULL);
LASTING(write, some_space, memory_halfway);
LASTING(seek, some_space, NULL);
LASTING(tables, some_less, NULL);

FIXTURE_SETUP(lasting)
{
	slow = dev_slow();
	self->heaps = dev_heaps();
	self->background = dev_background(0);
	self->fd = dev_open();
	ASSERT_LE(0, self->fd) TH_LOG("%s: %s", DEV_PATH, strerror(errno));
}

FIXTURE_TEARDOWN(lasting)
{
	EXPECT_TRUE(dev_balanced(self->fd));
	close(self->fd);
	dev_background(self->background);
	if (self->heaps > 0)
		EXPECT_TRUE(dev_wait_heaps(self->heaps));
}

/* Begins the call in a child, which tells when it does, or how long all of it took. */
static pid_t begin_to_last(void (*prepare)(int), void (*act)(int), int fd, bool whole, int tell)
{
	pid_t pid = fork();
	double begin;

	if (pid)
		return pid;
	prepare(fd);
	if (!whole)
		dev_tell(tell, 0);
	begin = dev_seconds();
	act(fd);
	if (whole)
		dev_tell(tell, (dev_seconds() - begin) * 1e6);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(lasting, killed_soon, 200)
{
	double most = 0, begin;
	int round, status, pipes[2], halfway = 0;
	uint64_t state = dev_seed(), once = 0, told;
	pid_t pid;

	for (round = -1; round < 4 || (variant->halfway && !halfway && round < 60); round++) {
		/* A heap for each: what the last one had is in the way. */
		close(self->fd);
		self->fd = dev_open();
		ASSERT_LE(0, self->fd);
		ASSERT_EQ(0, pipe(pipes));
		pid = begin_to_last(variant->prepare, variant->act, self->fd, round < 0, pipes[1]);
		ASSERT_LE(0, pid);
		close(pipes[1]);
		told = dev_hear(pipes[0]);
		close(pipes[0]);
		ASSERT_NE(~0ULL, told);
		if (round < 0)
			once = told;
		else
			/* Once may have taken long by chance, a thousand times as long. */
			usleep((once * (10 + dev_random(&state) % 70) / 100) >> round % 12);
		begin = dev_seconds();
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		begin = dev_seconds() - begin;
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		most = begin > most ? begin : most;
		if (variant->halfway) {
			/* The first one came to its own end. */
			EXPECT_TRUE(round >= 0 || !variant->halfway(self->fd));
			halfway += variant->halfway(self->fd);
		}
	}
	TH_LOG("takes %.3f s, gone at most %.3f s after the kill, %d of %d times halfway",
	       once / 1e6, most, halfway, round);
	/* That it ended before it was done says more than how long that took. */
	EXPECT_GT(60, most);
	if (variant->halfway)
		EXPECT_LT(0, halfway);
}

/* Lines of the kernel's log since the last look that are about goalloc or its memory. */
static int lines_about_us(int kmsg)
{
	static const char * const about[] = {
		"goalloc:", "allocation failure", "WARNING", "BUG", "percpu:", "lockup", "stall",
	};
	char line[2048];
	int found = 0;
	ssize_t n;
	size_t i;

	for (;;) {
		n = read(kmsg, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return found;
		line[n] = '\0';
		for (i = 0; i < ARRAY_SIZE(about); i++)
			found += !!strstr(line, about[i]);
	}
}

/* Mistakes by the ten thousand, of every kind: the kernel counts, and says nothing. */
TEST_F_TIMEOUT(user, silence, 120)
{
	int kmsg, i, n = slow ? 500 : 3000, fds[64], made = 0;
	struct rlimit files = { 64, 64 };
	uint64_t addr, freed, big[2] = { ~0ULL, 8 };
	struct goalloc_query q;
	char *p;

	ASSERT_EQ(0, setresuid(0, 0, 0));
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, kmsg);
	ASSERT_LE(0, lseek(kmsg, 0, SEEK_END));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	/* As many heaps as it may have files. */
	while (made < 64 && (fds[made] = dev_open()) >= 0)
		made++;
	EXPECT_EQ(EMFILE, errno);
	EXPECT_LT(40, made);
	while (made)
		close(fds[--made]);
	ASSERT_EQ(0, setresuid(USER, USER, 0));
	/* What is freed shares its span with what lives. */
	ASSERT_TRUE(dev_stay());
	addr = dev_new(self->fd, 1000);
	ASSERT_NE(0, dev_new(self->fd, 1000));
	freed = dev_new(self->fd, 1000);
	ASSERT_EQ(0, dev_free(self->fd, freed));
	p = dev_map_at(self->fd, NULL, DEV_GIB, PROT_READ | PROT_WRITE, DEV_BASE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, dev_set(self->fd, GOALLOC_PARAM_MAX, DEV_MIB));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(-EALREADY, dev_free(self->fd, freed));
		EXPECT_EQ(-EINVAL, dev_free(self->fd, addr + 1));
		EXPECT_EQ(-ENOENT, dev_free(self->fd, i + 17));
		EXPECT_EQ(-ENOENT, dev_query(self->fd, ~0ULL - i, &q));
		EXPECT_EQ(-ENOMEM, dev_alloc(self->fd, 2 * DEV_MIB, 0, big));
		big[0] = ~0ULL;
		EXPECT_EQ(-EFBIG, dev_alloc_batch(self->fd, big, big, 2));
		EXPECT_EQ(-EFAULT, dev_ioctl(self->fd, GOALLOC_IOC_ALLOC, (void *)8));
		EXPECT_EQ(-ENOTTY, dev_ioctl(self->fd, _IO(GOALLOC_IOC_MAGIC, 200), &q));
		EXPECT_EQ(-1, pread(self->fd, &q, 1, DEV_BASE + DEV_GIB));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, DEV_PAGE, PROT_READ, MAP_PRIVATE, self->fd, 0));
		EXPECT_EQ(SIGBUS, probe_read(p + DEV_GIB / 2, NULL));
		EXPECT_EQ(-EINVAL, dev_set_name(self->fd, "a\nname"));
	}
	EXPECT_EQ(0, lines_about_us(kmsg));
	/* But for those that are all the time there, it would be deaf. */
	ASSERT_EQ(0, setresuid(0, 0, 0));
	dev_write_file("/dev/kmsg", "<6>hostile: not a BUG, only heard\n");
	EXPECT_LE(1, lines_about_us(kmsg));
	close(kmsg);
	munmap(p, DEV_GIB);
}

TEST_HARNESS_MAIN
