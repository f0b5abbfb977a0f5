/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program has while it runs, and what its arguments mean then.
 */
#ifndef FUZZ_STATE_H
#define FUZZ_STATE_H

#include "fuzz_cover.h"
#include "fuzz_program.h"
#include "fuzz_ring.h"

/* A thread that runs calls: 0 goes through the program, 1 does what races with it. */
struct thread {
	unsigned int number;
	uint64_t *trace;
	bool news;
	struct ring ring;
	char bytes[MEM_ROOM];
};

/* Where mappings are: the first where addresses are pointers, at nobody's else. */
static inline uint64_t map_room(uint64_t map)
{
	return map ? 2 * DEV_SPACE : DEV_SPACE;
}

static inline uint64_t map_base(uint64_t map)
{
	return map ? 0x200000000000ULL + map * 2 * DEV_SPACE : DEV_BASE;
}

#define PAGE_DOWN(x)	((x) & ~(uint64_t)(MEM_PAGE - 1))
/* So much is touched at once at most. */
#define TOUCH_BYTES	DEV_MIB

/* What a program has, of which both threads make use as they like. */
static struct {
	const struct program *program;
	volatile int fd[NUM_FDS];
	volatile uint32_t id[NUM_FDS];	/* of the heap, once that was asked for */
	volatile int file[NUM_FILES];
	volatile int pipe[2];
	struct {
		volatile uint64_t len, offset;
	} map[NUM_MAPS];
	struct {
		volatile uint64_t addr, bytes;
	} object[NUM_OBJECTS];
	volatile uint32_t num_objects;
	/* Others have its heaps as well, and nothing can be said about answers. */
	bool disturbed;
	bool tuned;	/* the module's parameters are not what they were */
	bool child;
} run;

static struct thread threads[MEM_THREADS] = { { .number = 0 }, { .number = 1 } };

/* The racing one. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	const struct call *call;
	volatile bool busy;
	bool alive;
	pthread_t thread;
} racer = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

/* Whether the answer depends on this call only. */
static bool alone(const struct thread *t)
{
	/* What a thread asked for by its ring may be done after its call. */
	return !t->number && !racer.busy && !run.disturbed &&
	       !threads[0].ring.inflight && !threads[1].ring.inflight;
}

static uint64_t address(uint64_t arg)
{
	int64_t delta = (int64_t)(arg << 16) >> 16;

	switch (arg >> 56 & 3) {
	case ADDR_OBJECT:
		return run.object[(arg >> 48 & 0xff) % NUM_OBJECTS].addr + delta;
	case ADDR_BASE:
		return DEV_BASE + (arg & 0xffffffffffffULL);
	default:
		return arg & 1 ? ~0ULL : arg & 0xffffffffffffULL;
	}
}

/* A heap address in a mapping, or what stands for it there. */
static char *map_pointer(uint64_t map, uint64_t addr)
{
	map %= NUM_MAPS;
	return (char *)(uintptr_t)(map_base(map) + (addr - run.map[map].offset) % map_room(map));
}

/* As many bytes from there on, in whole pages and in the mapping's room. */
static uint64_t map_len(uint64_t map, const char *at, uint64_t len)
{
	uint64_t left = map_base(map % NUM_MAPS) + map_room(map % NUM_MAPS) - (uintptr_t)at;

	len = PAGE_DOWN(len + MEM_PAGE - 1);
	return len < left ? len : left;
}

static char *put(struct thread *t, unsigned int piece, uint64_t mem, const void *bytes, size_t len)
{
	char *heap = map_pointer(MEM_MAP(mem), address(ADDR_MAKE(ADDR_OBJECT, MEM_OBJECT(mem), 0)));

	return mem_put(t->number, piece, mem, bytes, len, heap - MEM_BEFORE(mem));
}

static int heap_fd(uint64_t arg)
{
	return run.fd[arg % NUM_FDS];
}

/* Only heaps: what was duplicated may have been closed, and its number another file's. */
static int heap_only(int fd)
{
	struct goalloc_info info = { .size = sizeof(info) };

	if (fd < 0 || !dev_ioctl(fd, GOALLOC_IOC_INFO, &info))
		return fd;
	close(fd);
	return -1;
}

static void heap_set(uint64_t arg, int new)
{
	int fd = heap_only(new);
	int old = __atomic_exchange_n(&run.fd[arg % NUM_FDS], fd, __ATOMIC_ACQ_REL);

	run.id[arg % NUM_FDS] = 0;
	if (old >= 0)
		close(old);
}

static void object_add(uint64_t addr, uint64_t bytes)
{
	uint32_t i = run.num_objects++ % NUM_OBJECTS;

	run.object[i].addr = addr;
	run.object[i].bytes = bytes;
}

#endif /* FUZZ_STATE_H */
