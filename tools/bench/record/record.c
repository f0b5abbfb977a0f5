// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records what a program asks of malloc(). Preloaded, this library writes a trace to
 * the file that GOALLOC_RECORD names, in the format that README.rst describes. Only
 * the program itself is recorded, not what it forks or executes.
 *
 * The C library's own malloc does the work, under its other names. Nothing here
 * allocates: the tables are mapped, and cost what is touched of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libc.h"

#define MAGIC		"GOALTRC1"
#define SLOTS		(1UL << 24)	/* of the table, more than ever live */
#define BUFFER		(64UL << 10)
#define MAX_EVENT	20		/* two numbers of 64 bits in groups of 7 */

enum op { OP_MALLOC, OP_CALLOC, OP_FREE, OP_REALLOC };

/* An object that lives; ptr is 0 in a slot that nothing was ever in, 1 in one left. */
struct slot {
	uintptr_t ptr;
	uint64_t number;
};

#define NEVER	0
#define LEFT	1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum { UNTRIED, RECORDING, OFF } state;
static int fd;
static struct slot *slots;
static uint64_t made;
static unsigned char buffer[BUFFER];
static size_t used;

static void fail(const char *what)
{
	static const char begin[] = "record: ", end[] = "\n";

	state = OFF;
	if (write(STDERR_FILENO, begin, sizeof(begin) - 1) < 0 ||
	    write(STDERR_FILENO, what, strlen(what)) < 0 ||
	    write(STDERR_FILENO, end, sizeof(end) - 1) < 0)
		return;
}

static void flush(void)
{
	size_t done = 0;

	while (done < used) {
		ssize_t n = write(fd, buffer + done, used - done);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			fail("cannot write the trace");
			break;
		}
		done += n;
	}
	used = 0;
}

static void begin(void)
{
	const char *path = getenv("GOALLOC_RECORD");

	state = OFF;
	if (!path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		fail("cannot open the trace");
		return;
	}
	slots = mmap(NULL, SLOTS * sizeof(*slots), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots == MAP_FAILED) {
		fail("cannot map the table");
		return;
	}
	memcpy(buffer, MAGIC, 8);
	used = 8;
	state = RECORDING;
}

static void enter(void)
{
	pthread_mutex_lock(&lock);
	if (state == UNTRIED)
		begin();
}

static void leave(void)
{
	pthread_mutex_unlock(&lock);
}

static void put_number(uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		buffer[used++] = value | 0x80;
	buffer[used++] = value;
}

static void put_event(enum op op, uint64_t value)
{
	if (used > BUFFER - MAX_EVENT)
		flush();
	put_number(value << 2 | op);
}

static struct slot *slot_from(uintptr_t ptr)
{
	return &slots[(ptr >> 4) * 0x9e3779b97f4a7c15 >> 40];
}

static struct slot *slot_next(struct slot *slot)
{
	return slot == slots + SLOTS - 1 ? slots : slot + 1;
}

static struct slot *slot_find(void *ptr)
{
	struct slot *slot = slot_from((uintptr_t)ptr);

	while (slot->ptr != (uintptr_t)ptr) {
		if (slot->ptr == NEVER)
			return NULL;
		slot = slot_next(slot);
	}
	return slot;
}

static void slot_add(void *ptr, uint64_t number)
{
	struct slot *slot = slot_from((uintptr_t)ptr);

	while (slot->ptr > LEFT)
		slot = slot_next(slot);
	slot->ptr = (uintptr_t)ptr;
	slot->number = number;
}

static void note_made(enum op op, void *ptr, size_t size)
{
	if (!ptr || state != RECORDING)
		return;
	put_event(op, size);
	slot_add(ptr, made++);
}

static void note_free(void *ptr)
{
	struct slot *slot;

	if (!ptr || state != RECORDING)
		return;
	slot = slot_find(ptr);
	if (!slot)
		return;
	put_event(OP_FREE, made - 1 - slot->number);
	slot->ptr = LEFT;
}

void *malloc(size_t size)
{
	void *ptr;

	enter();
	ptr = __libc_malloc(size);
	note_made(OP_MALLOC, ptr, size);
	leave();
	return ptr;
}

void *calloc(size_t count, size_t size)
{
	void *ptr;

	enter();
	ptr = __libc_calloc(count, size);
	note_made(OP_CALLOC, ptr, count * size);
	leave();
	return ptr;
}

void free(void *ptr)
{
	enter();
	note_free(ptr);
	__libc_free(ptr);
	leave();
}

void *realloc(void *ptr, size_t size)
{
	struct slot *slot = NULL;
	void *new;

	if (!ptr)
		return malloc(size);
	if (!size) {
		free(ptr);
		return NULL;
	}
	enter();
	if (state == RECORDING)
		slot = slot_find(ptr);
	new = __libc_realloc(ptr, size);
	if (new && slot) {
		uint64_t number = slot->number;

		put_event(OP_REALLOC, made - 1 - number);
		put_number(size);
		slot->ptr = LEFT;
		slot_add(new, number);
	}
	leave();
	return new;
}

void *memalign(size_t align, size_t size)
{
	void *ptr;

	enter();
	ptr = __libc_memalign(align, size);
	note_made(OP_MALLOC, ptr, size);
	leave();
	return ptr;
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **ptr, size_t align, size_t size)
{
	int saved = errno, err = ENOMEM;
	void *new = memalign(align, size);

	errno = saved;
	if (new) {
		*ptr = new;
		err = 0;
	}
	return err;
}

/* What a child does is another program's. */
static void in_child(void)
{
	state = OFF;
	pthread_mutex_init(&lock, NULL);
}

__attribute__((constructor)) static void record_begin(void)
{
	unsetenv("LD_PRELOAD");
	pthread_atfork(NULL, NULL, in_child);
}

__attribute__((destructor)) static void record_end(void)
{
	enter();
	if (state == RECORDING)
		flush();
	state = OFF;
	leave();
}
