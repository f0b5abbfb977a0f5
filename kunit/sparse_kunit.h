/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites about the memory behind file heaps share: bytes into and out
 * of a heap, the pages behind it, and threads that begin together.
 */
#ifndef GOALLOC_SPARSE_KUNIT_H
#define GOALLOC_SPARSE_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/uio.h>

#include "../goalloc/fixalloc.h"
#include "../goalloc/malloc.h"
#include "../goalloc/scavenge.h"
#include "../goalloc/sparse.h"
#include "heap_kunit.h"

/*
 * A sparse heap that ends with the test. No file is behind it; its pages have
 * a mapping all the same, and must have none when they go.
 */
static inline struct goalloc_heap *sparse_kunit_heap(struct kunit *test, u64 max)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_SPARSE, max);
	static struct address_space mapping;

	heap->mapping = &mapping;
	return heap;
}

/* Moves bytes between a heap and a kernel buffer. */
static inline ssize_t sparse_kunit_move(struct goalloc_heap *heap, u64 addr, void *buf,
					size_t len, bool write)
{
	struct kvec kvec = { .iov_base = buf, .iov_len = len };
	struct iov_iter iter;

	iov_iter_kvec(&iter, write ? ITER_SOURCE : ITER_DEST, &kvec, 1, len);
	return sparse_iter(heap, addr, &iter, write);
}

static inline ssize_t sparse_kunit_touch(struct goalloc_heap *heap, u64 addr, u8 byte)
{
	return sparse_kunit_move(heap, addr, &byte, 1, true);
}

/* The page behind a heap address, or NULL. */
static inline struct page *sparse_kunit_page(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);

	return c && c->pages ? READ_ONCE(c->pages[sparse_unit(addr)]) : NULL;
}

/* Heap pages in use by nobody's object. */
static inline struct mspan *sparse_kunit_span(struct goalloc_heap *heap, u64 npages)
{
	return heap_kunit_span(heap, npages, 1);
}

#define CREW_MAX	6

struct crew;

struct crew_member {
	struct crew *crew;
	u32 who;
	struct completion done;
};

/*
 * struct crew - threads that begin together
 * @fn: what they do; returns by itself, soon after @stop is set at the latest
 * @arg: the test's
 * @end: when those who look at the clock stop
 * @stop: those who work for others have no more to do
 * @bad: what they found wrong
 */
struct crew {
	void (*fn)(struct crew *crew, u32 who);
	void *arg;
	bool (*met)(struct crew *crew);	/* has all happened that should? NULL if that is nothing */
	unsigned long end;
	bool stop;
	atomic_t bad;
	struct completion start;
	struct crew_member member[CREW_MAX];
};

static inline int crew_thread(void *data)
{
	struct crew_member *m = data;

	wait_for_completion(&m->crew->start);
	m->crew->fn(m->crew, m->who);
	kthread_complete_and_exit(&m->done, 0);
}

/* A CPU may stand still for longer than their time: then they have a minute more. */
#define CREW_PATIENCE	(60 * HZ)

static inline bool crew_go_on(struct crew *crew)
{
	cond_resched();
	if (READ_ONCE(crew->stop))
		return false;
	if (time_before(jiffies, crew->end))
		return true;
	return crew->met && !crew->met(crew) && time_before(jiffies, crew->end + CREW_PATIENCE);
}

/*
 * Runs @fn in @n threads on all CPUs, for @ms if it looks at the clock, and until all has
 * happened that crew->met wants to have happened.
 */
static inline void crew_run(struct kunit *test, struct crew *crew, u32 n, u32 ms,
			    void (*fn)(struct crew *crew, u32 who), void *arg)
{
	u32 started;

	crew->fn = fn;
	crew->arg = arg;
	crew->stop = false;
	atomic_set(&crew->bad, 0);
	init_completion(&crew->start);
	for (started = 0; started < n; started++) {
		struct crew_member *m = &crew->member[started];
		struct task_struct *task;

		m->crew = crew;
		m->who = started;
		init_completion(&m->done);
		task = kthread_create(crew_thread, m, "goalloc_crew/%u", started);
		if (IS_ERR(task))
			break;
		kthread_bind(task, cpumask_nth(started % num_online_cpus(), cpu_online_mask));
		wake_up_process(task);
	}
	if (started < n)
		crew->stop = true;
	crew->end = jiffies + msecs_to_jiffies(ms);
	complete_all(&crew->start);
	for (u32 i = 0; i < started; i++)
		wait_for_completion(&crew->member[i].done);
	KUNIT_ASSERT_EQ(test, started, n);
	KUNIT_EXPECT_EQ(test, atomic_read(&crew->bad), 0);
}

#endif /* GOALLOC_SPARSE_KUNIT_H */
