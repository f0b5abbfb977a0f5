/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of io_uring as it takes to read and write a file by it, at once or in
 * one of its own threads, and to leave what was begun under way.
 */
#ifndef FUZZ_RING_H
#define FUZZ_RING_H

#include <linux/io_uring.h>
#include <poll.h>
#include <sys/syscall.h>
#include "fuzz.h"

#define RING_ENTRIES	8

struct ring {
	int fd;
	bool tried;
	volatile unsigned int inflight;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
};

static bool ring_begin(struct ring *r)
{
	struct io_uring_params p = {};
	char *rings;

	r->tried = true;
	r->fd = syscall(SYS_io_uring_setup, RING_ENTRIES, &p);
	if (r->fd < 0)
		return false;
	rings = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		     PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || r->sqes == MAP_FAILED ||
	    !(p.features & IORING_FEAT_SINGLE_MMAP)) {
		close(r->fd);
		r->fd = -1;
		return false;
	}
	r->sq_tail = (void *)(rings + p.sq_off.tail);
	r->sq_mask = (void *)(rings + p.sq_off.ring_mask);
	r->sq_array = (void *)(rings + p.sq_off.array);
	r->cq_head = (void *)(rings + p.cq_off.head);
	r->cq_tail = (void *)(rings + p.cq_off.tail);
	return true;
}

/* Takes what is done, and waits for so many. */
static void ring_wait(struct ring *r, unsigned int n)
{
	unsigned int tail, head;

	if (n)
		syscall(SYS_io_uring_enter, r->fd, 0, n, IORING_ENTER_GETEVENTS, NULL, 0);
	tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
	head = *r->cq_head;
	r->inflight -= tail - head;
	__atomic_store_n(r->cq_head, tail, __ATOMIC_RELEASE);
}

static void ring_drain(struct ring *r)
{
	while (r->inflight)
		ring_wait(r, r->inflight);
}

static void ring_call(struct ring *r, unsigned int how, int fd, uint64_t addr, char *buf,
		      size_t len)
{
	static const uint8_t opcodes[] = {
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_POLL_ADD, IORING_OP_FSYNC,
	};
	struct io_uring_sqe *sqe;
	unsigned int tail;

	if ((!r->tried && !ring_begin(r)) || r->fd < 0)
		return;
	if (r->inflight == RING_ENTRIES)
		ring_drain(r);
	tail = *r->sq_tail;
	sqe = &r->sqes[tail & *r->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcodes[how % 8 == 2 ? 2 : how % 8 == 3 ? 3 : how & 1];
	sqe->flags = how & 4 ? IOSQE_ASYNC : 0;
	sqe->fd = fd;
	if (sqe->opcode == IORING_OP_POLL_ADD) {
		sqe->poll32_events = POLLIN | POLLOUT;	/* which there always are */
	} else if (sqe->opcode != IORING_OP_FSYNC) {
		sqe->off = addr;
		sqe->addr = (uintptr_t)buf;
		sqe->len = len;
	}
	r->sq_array[tail & *r->sq_mask] = tail & *r->sq_mask;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1)
		r->inflight++;
	ring_wait(r, how & 8 ? 0 : r->inflight);
}

#endif /* FUZZ_RING_H */
