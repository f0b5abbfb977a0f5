/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/goalloc for the tests: the ioctls as functions that return 0 or a
 * negative errno, and objects with contents that can be checked.
 *
 * What begins with EXPECT_ or ASSERT_ here, heap_open(), heap_new() and
 * heap_stats() check like the harness's own macros, and like those want a
 * _metadata where they are used: a function that tests call has it as its
 * first argument, a thread finds it in what it was started with. They are
 * macros so that a failure is told with the line of the test.
 *
 * Any thread may use EXPECT_*(): that a test failed is never forgotten. But
 * the harness has one flag for all threads that tells whether to print the
 * words after a failed EXPECT_*(), so those may be missing or be printed twice;
 * EXPECT_RET() does not use it. ASSERT_*() is for the test's first thread.
 */
#ifndef HEAP_H
#define HEAP_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/goalloc.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include "harness.h"

#define HEAP_DEVICE	"/dev/goalloc"
#define HEAP_BASE	0xc000000000ULL
#define HEAP_MAX	(1ULL << 40)
#define HEAP_PAGE	8192ULL
#define TINY_BLOCK	16
#define MAX_SMALL	32768
#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)

/*
 * Seconds for a test that works for long, in a kernel that checks every step
 * of it on a processor that is emulated and not ours alone.
 */
#define LONG_TEST	120

/* What a call that returns a number or -1 and errno came to: 0 or a negative errno. */
#define IO_RET(call)	((call) < 0 ? -errno : 0)

static inline const char *errno_name(long ret)
{
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	return name ? name : ret < 0 ? "an unknown errno" : "success";
}

/*
 * Expects 0 or a negative errno of a call, and names both when another comes.
 * Is true if it came. One expression, unlike the harness's macros.
 */
#define EXPECT_RET(wanted, call) ({					\
	long _wanted = (wanted), _ret = (call);				\
									\
	if (_ret != _wanted) {						\
		TH_LOG("%s gave %ld (%s), not %ld (%s)", #call, _ret,	\
		       errno_name(_ret), _wanted, errno_name(_wanted));	\
		_metadata->exit_code = KSFT_FAIL;			\
	}								\
	_ret == _wanted;						\
})

/* As EXPECT_RET(), and ends the test if it did not come. */
#define ASSERT_RET(wanted, call) do {					\
	if (!EXPECT_RET(wanted, call))					\
		__bail(1, _metadata);					\
} while (0)

static inline long heap_open_file(int *fd)
{
	*fd = open(HEAP_DEVICE, O_RDWR | O_CLOEXEC);
	return IO_RET(*fd);
}

/* A new heap's file; without the device the test ends here. */
#define heap_open() ({							\
	int _fd;							\
									\
	ASSERT_RET(0, heap_open_file(&_fd));				\
	_fd;								\
})

static inline long heap_ioctl(int fd, unsigned long cmd, void *arg)
{
	return IO_RET(ioctl(fd, cmd, arg));
}

/* Allocates; @usable may be NULL. */
static inline long heap_alloc_aligned(int fd, uint64_t bytes, uint64_t align, uint32_t flags,
				      uint64_t *addr, uint64_t *usable)
{
	struct goalloc_alloc arg = {
		.size = sizeof(arg), .flags = flags, .bytes = bytes, .align = align,
	};
	long ret = heap_ioctl(fd, GOALLOC_IOC_ALLOC, &arg);

	*addr = ret ? 0 : arg.addr;
	if (usable)
		*usable = ret ? 0 : arg.usable;
	return ret;
}

static inline long heap_alloc(int fd, uint64_t bytes, uint32_t flags, uint64_t *addr,
			      uint64_t *usable)
{
	return heap_alloc_aligned(fd, bytes, 0, flags, addr, usable);
}

/* The address of a new object, or 0 and a failed check. */
#define heap_new(fd, bytes) ({						\
	uint64_t _new;							\
									\
	EXPECT_RET(0, heap_alloc(fd, bytes, 0, &_new, NULL));		\
	_new;								\
})

static inline long heap_free(int fd, uint64_t addr)
{
	struct goalloc_free arg = { .size = sizeof(arg), .addr = addr };

	return heap_ioctl(fd, GOALLOC_IOC_FREE, &arg);
}

static inline long heap_query(int fd, uint64_t addr, struct goalloc_query *q)
{
	memset(q, 0xff, sizeof(*q));
	q->size = sizeof(*q);
	q->flags = 0;
	q->addr = addr;
	return heap_ioctl(fd, GOALLOC_IOC_QUERY, q);
}

/* The books. */
#define heap_stats(fd) ({						\
	struct goalloc_memstats _ms = { .size = sizeof(_ms) };		\
									\
	EXPECT_RET(0, heap_ioctl(fd, GOALLOC_IOC_MEMSTATS, &_ms));	\
	_ms;								\
})

/* Nothing lives: what must be so of a heap whose objects are all freed. */
#define EXPECT_EMPTY(fd) do {						\
	struct goalloc_memstats _now = heap_stats(fd);			\
									\
	EXPECT_EQ(0, _now.heap_objects);				\
	EXPECT_EQ(0, _now.mallocs - _now.frees);			\
	EXPECT_EQ(0, _now.heap_alloc);					\
} while (0)

/* A look at the books since another, between which nothing may have changed. */
#define EXPECT_UNCHANGED(before, fd) do {				\
	const struct goalloc_memstats *_then = (before);		\
	struct goalloc_memstats _now = heap_stats(fd);			\
									\
	EXPECT_EQ(_then->mallocs, _now.mallocs);			\
	EXPECT_EQ(_then->frees, _now.frees);				\
	EXPECT_EQ(_then->heap_objects, _now.heap_objects);		\
	EXPECT_EQ(_then->heap_alloc, _now.heap_alloc);			\
	EXPECT_EQ(_then->heap_inuse, _now.heap_inuse);			\
} while (0)

static inline double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Random numbers: splitmix64. The seed is printed, and taken from $SEED. */
static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t rnd_below(uint64_t *state, uint64_t below)
{
	return rnd(state) % below;
}

#define rnd_seed() ({							\
	const char *_given = getenv("SEED");				\
	uint64_t _seed = _given ? strtoull(_given, NULL, 0) : 20241122;	\
									\
	TH_LOG("seed %" PRIu64 " (SEED=... for another)", _seed);	\
	_seed;								\
})

/* 1 to 2^bits bytes, each power of two as likely as another. */
static inline uint64_t rnd_size(uint64_t *state, unsigned int bits)
{
	uint64_t top = 1ULL << rnd_below(state, bits);

	return top + rnd_below(state, top + (top == 1ULL << (bits - 1)));
}

/* Contents: the eight bytes at offset 8 * i follow from the seed and i. */
static inline uint64_t pattern_word(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed + i) * 0x9e3779b97f4a7c15ULL;

	return (x ^ (x >> 29)) | 0x0101010101010101ULL;	/* no byte of it is 0 */
}

static inline void pattern_fill(void *buf, size_t len, uint64_t seed)
{
	size_t off;

	for (off = 0; off < len; off += 8) {
		uint64_t word = pattern_word(seed, off / 8);

		memcpy((char *)buf + off, &word, len - off < 8 ? len - off : 8);
	}
}

static inline bool pattern_holds(const void *buf, size_t len, uint64_t seed)
{
	size_t off;

	for (off = 0; off < len; off += 8) {
		uint64_t word = pattern_word(seed, off / 8);

		if (memcmp((const char *)buf + off, &word, len - off < 8 ? len - off : 8))
			return false;
	}
	return true;
}

static inline bool is_zero(const void *buf, size_t len)
{
	const char *p = buf;

	return !len || (!*p && !memcmp(p, p + 1, len - 1));
}

#define OBJ_PIECE	(64 * 1024)

/* Writes the pattern to an object. Return: whether all of it was taken. */
static inline bool obj_write(int fd, uint64_t addr, uint64_t len, uint64_t seed)
{
	static __thread char buf[OBJ_PIECE];
	uint64_t off, n;

	for (off = 0; off < len; off += n) {
		n = len - off < OBJ_PIECE ? len - off : OBJ_PIECE;
		pattern_fill(buf, n, seed + off / 8);
		if (pwrite(fd, buf, n, addr + off) != (ssize_t)n)
			return false;
	}
	return true;
}

/* Return: whether an object can be read and holds the pattern, or zeroes. */
static inline bool obj_holds(int fd, uint64_t addr, uint64_t len, uint64_t seed, bool zero)
{
	static __thread char buf[OBJ_PIECE];
	uint64_t off, n;

	for (off = 0; off < len; off += n) {
		n = len - off < OBJ_PIECE ? len - off : OBJ_PIECE;
		memset(buf, 0x55, n);
		if (pread(fd, buf, n, addr + off) != (ssize_t)n)
			return false;
		if (zero ? !is_zero(buf, n) : !pattern_holds(buf, n, seed + off / 8))
			return false;
	}
	return true;
}

static inline bool obj_is(int fd, uint64_t addr, uint64_t len, uint64_t seed)
{
	return obj_holds(fd, addr, len, seed, false);
}

static inline bool obj_is_zero(int fd, uint64_t addr, uint64_t len)
{
	return obj_holds(fd, addr, len, 0, true);
}

/* Objects that a test keeps track of. */
struct obj {
	uint64_t addr;
	uint64_t bytes;
	uint64_t usable;
	uint64_t seed;
};

static inline int obj_cmp(const void *a, const void *b)
{
	const struct obj *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Sorts the objects by address and counts those that reach into the next. */
static inline unsigned int obj_overlaps(struct obj *objs, size_t n)
{
	unsigned int overlaps = 0;
	size_t i;

	qsort(objs, n, sizeof(*objs), obj_cmp);
	for (i = 0; i + 1 < n; i++)
		overlaps += objs[i].addr + objs[i].bytes > objs[i + 1].addr;
	return overlaps;
}

static inline void obj_shuffle(struct obj *objs, size_t n, uint64_t *state)
{
	while (n > 1) {
		size_t other = rnd_below(state, n--);
		struct obj tmp = objs[n];

		objs[n] = objs[other];
		objs[other] = tmp;
	}
}

/* What Go aligns an object of so many bytes to when nothing else is asked. */
static inline uint64_t natural_align(uint64_t bytes, uint64_t usable)
{
	if (bytes < TINY_BLOCK)
		return bytes & 1 ? 1 : bytes & 2 ? 2 : bytes & 4 ? 4 : 8;
	if (bytes > MAX_SMALL)
		return HEAP_PAGE;
	usable &= -usable;
	return usable < HEAP_PAGE ? usable : HEAP_PAGE;
}

/* Stays on one CPU, where one cache serves all allocations. */
static inline bool pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static inline void unpin(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	sched_setaffinity(0, sizeof(set), &set);
}

/* Whether this kernel checks itself at every step, and takes its time for that. */
static inline bool slow_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

/* How often to do what is worth doing often. */
static inline unsigned int paced(unsigned int times)
{
	return slow_kernel() ? (times + 3) / 4 : times;
}

/* A line of /proc/meminfo in bytes, 0 if there is none. */
static inline uint64_t meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib * 1024;
}

/*
 * Bytes of memory that nobody uses. Besides MemFree these are the pages that
 * each CPU keeps at hand, tens of MiB at times.
 */
static inline uint64_t memory_free(void)
{
	uint64_t pages = 0, count;
	char line[128];
	FILE *f;

	f = fopen("/proc/zoneinfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %" SCNu64, &count) == 1)
			pages += count;
	if (f)
		fclose(f);
	return meminfo("MemFree") + pages * sysconf(_SC_PAGESIZE);
}

#endif /* HEAP_H */
