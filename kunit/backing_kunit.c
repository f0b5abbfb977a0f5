// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_backing: what stands behind heap pages.
 *
 * Linear: blocks, how they get smaller when large ones are not to be had, and
 * tasks that put one behind the same pages at once. Sparse: pages at the first
 * touch, what reading and writing says at the ends of spans, and pages that
 * come while their span goes. heap_kunit_check() looks at every page after it.
 *
 * Units: heap pages unless a name says bytes.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/goalloc.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "../goalloc/fixalloc.h"
#include "../goalloc/malloc.h"
#include "../goalloc/scavenge.h"
#include "heap_kunit.h"
#include "sparse.h"
#include "sparse_kunit.h"

static struct mspan *new_span(struct goalloc_heap *heap, u64 npages)
{
	return heap_kunit_span(heap, npages, 1);
}

static void stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

/* A block holds many runs; the whole of it is backed by its first. */
static void backing_blocks(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *s[6];

	s[0] = new_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_EQ(test, mheap_chunk(heap, s[0]->start_addr)->palloc.block_pages[0],
			PALLOC_HALF_PAGES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 << 20);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_HALF_PAGES);
	for (u32 i = 1; i < 5; i++) {
		s[i] = new_span(heap, 50);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_EXPECT_EQ(test, s[i]->base, s[0]->base +
				(s[i]->start_addr - s[0]->start_addr));
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 << 20);
	/* 201 pages are taken; the next 56 would reach over the end. */
	s[5] = new_span(heap, 56);
	KUNIT_ASSERT_NOT_NULL(test, s[5]);
	KUNIT_EXPECT_EQ(test, s[5]->start_addr, GOALLOC_HEAP_BASE + (2 << 20));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 4 << 20);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), 0);
	heap_kunit_check(test, heap, 0);
	for (u32 i = 0; i < ARRAY_SIZE(s); i++)
		mheap_return_span(s[i]);
	/* Idle, and backed. */
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), 0);
	heap_kunit_check(test, heap, 0);
}

/*
 * @fail: attempts to get a block that fail, of 2 MiB first. @block: pages of
 * the block that it comes to; 0: mapped, none of those that hold it is had.
 */
static const struct split_row {
	const char *what;
	u64 npages;
	u32 fail;
	u32 block;
} split_rows[] = {
	{ "one page, 2 MiB", 1, 0, 256 },
	{ "one page, 1 MiB", 1, 1, 128 },
	{ "one page, 512 KiB", 1, 2, 64 },
	{ "one page, 256 KiB", 1, 3, 32 },
	{ "one page, 128 KiB", 1, 4, 16 },
	{ "16 pages, 128 KiB", 16, 4, 16 },
	{ "20 pages, 256 KiB", 20, 3, 32 },
	{ "20 pages, mapped", 20, 4, 0 },
	{ "128 pages, 1 MiB", 128, 1, 128 },
	{ "129 pages, mapped", 129, 1, 0 },
	{ "256 pages, mapped", 256, 1, 0 },
};

KUNIT_ARRAY_PARAM_DESC(split, split_rows, what);

static void backing_split(struct kunit *test)
{
	const struct split_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *first, *s, *more[8];
	struct goalloc_chunk *c;

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	/* The first half is full, so the second is what the span gets. */
	first = new_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, first);
	c = mheap_chunk(heap, GOALLOC_HEAP_BASE);

	/* The first allocation is the span's record. */
	goalloc_fail_run(2, row->fail);
	s = new_span(heap, row->npages);
	KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
	goalloc_fail_nth(0);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, s->vmapped, !row->block);
	if (row->block) {
		KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], row->block);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed),
				(2 << 20) + (row->block << GOALLOC_PAGE_SHIFT));
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_HALF_PAGES - row->block);
	} else {
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed),
				(2 << 20) + (row->npages << GOALLOC_PAGE_SHIFT));
	}
	memset((void *)s->base, 0x11, row->npages << GOALLOC_PAGE_SHIFT);
	heap_kunit_check(test, heap, 0);

	/* What comes next lives with blocks of that size. */
	for (u32 i = 0; i < ARRAY_SIZE(more); i++) {
		more[i] = new_span(heap, 5);
		KUNIT_ASSERT_NOT_NULL(test, more[i]);
		memset((void *)more[i]->base, 0x22, 5 << GOALLOC_PAGE_SHIFT);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv((void *)s->base, 0x11,
					   row->npages << GOALLOC_PAGE_SHIFT));
	heap_kunit_check(test, heap, 0);
	for (u32 i = 0; i < ARRAY_SIZE(more); i++)
		mheap_return_span(more[i]);
	mheap_return_span(s);
	mheap_return_span(first);
	heap_kunit_check(test, heap, 0);
}

/* No block of any size: nothing has changed, and later there is one. */
static void backing_nothing_to_be_had(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *s = new_span(heap, PALLOC_HALF_PAGES);
	u64 released;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	released = mheap_pages_released(heap);
	for (u32 i = 0; i < 3; i++) {
		goalloc_fail_run(2, 5);
		KUNIT_EXPECT_NULL(test, new_span(heap, 1));
		KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
		goalloc_fail_nth(0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 << 20);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
		heap_kunit_check(test, heap, 0);
		/* Nothing is in the half: it does not stay with the smallest blocks. */
		KUNIT_EXPECT_EQ(test, mheap_chunk(heap, GOALLOC_HEAP_BASE)->palloc.block_pages[1],
				0);
		/* So there are as many attempts again, and one more is not needed. */
		goalloc_fail_run(2, 6);
		KUNIT_EXPECT_NULL(test, new_span(heap, 1));
		KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 1);
		goalloc_fail_nth(0);
		if (i < 2) {
			heap_kunit_end(test, heap);
			heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
			s = new_span(heap, PALLOC_HALF_PAGES);
			KUNIT_ASSERT_NOT_NULL(test, s);
			released = mheap_pages_released(heap);
		}
	}
	s = new_span(heap, 1);
	KUNIT_EXPECT_NOT_NULL(test, s);
	heap_kunit_check(test, heap, 0);
}

/* Addresses beside what a heap has find nothing. */
static void backing_neighbours(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *s = new_span(heap, 3), *m = new_span(heap, 300);
	unsigned long block;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_NULL(test, m);
	block = round_down(s->base, 2UL << 20);
	KUNIT_EXPECT_EQ(test, block, s->base);
	KUNIT_EXPECT_PTR_EQ(test, heap_kunit_span_of(heap, s->base), s);
	KUNIT_EXPECT_PTR_EQ(test, heap_kunit_span_of(heap, s->base + 3 * 8192 - 1), s);
	KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, s->base + 3 * 8192));
	for (u32 i = 3; i < PALLOC_HALF_PAGES; i++)
		KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, block + i * 8192));
	/* The blocks beside it are not of this heap; of another they may be. */
	for (long d = -1; d <= 256; d += 257) {
		struct mspan *other = heap_kunit_span_of(heap, block + d * 8192);

		KUNIT_EXPECT_TRUE(test, !other || other->heap != heap);
	}
	KUNIT_EXPECT_PTR_EQ(test, heap_kunit_span_of(heap, m->base), m);
	KUNIT_EXPECT_PTR_EQ(test, heap_kunit_span_of(heap, m->base + 300 * 8192 - 1), m);
	KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, m->base + 300 * 8192));
	KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, m->base - 1));
	mheap_return_span(m);
	mheap_return_span(s);
	KUNIT_EXPECT_NULL(test, heap_kunit_span_of(heap, block));
	heap_kunit_check(test, heap, 0);
}

#define RACE_ROUNDS	40
#define RACERS		4
#define RACE_SPANS	12

struct racer {
	struct goalloc_heap *heap;
	struct task_struct *task;
	struct completion *start;
	struct completion done;
	struct mspan *s[RACE_SPANS];
	u32 missing;
};

static int race(void *data)
{
	struct racer *r = data;

	wait_for_completion(r->start);
	for (u32 i = 0; i < RACE_SPANS; i++) {
		r->s[i] = new_span(r->heap, 10);
		r->missing += !r->s[i];
		if (r->s[i])
			*(u64 *)r->s[i]->base = (unsigned long)r->s[i];
	}
	complete(&r->done);
	return 0;
}

/*
 * Tasks put a block behind the same pages at once: one does, and the others'
 * blocks go back. In some rounds large blocks are not to be had meanwhile.
 */
static void backing_race(struct kunit *test)
{
	struct racer *racers = kunit_kcalloc(test, RACERS, sizeof(*racers), GFP_KERNEL);
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);

	KUNIT_ASSERT_NOT_NULL(test, racers);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	for (u32 round = 0; round < RACE_ROUNDS; round++) {
		struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
		DECLARE_COMPLETION_ONSTACK(start);
		u32 started, missing = 0, wrong = 0;

		for (started = 0; started < RACERS; started++) {
			struct racer *r = &racers[started];

			*r = (struct racer){ .heap = heap, .start = &start };
			init_completion(&r->done);
			r->task = kthread_create(race, r, "goalloc_race/%u", started);
			if (IS_ERR(r->task))
				break;
			kthread_bind(r->task, cpumask_nth(started % num_online_cpus(),
							  cpu_online_mask));
			wake_up_process(r->task);
		}
		/* Chunks and records fail too then: that is for who asks again. */
		if (round % 4 == 3)
			goalloc_fail_run(20 + round, 3);
		complete_all(&start);
		for (u32 i = 0; i < started; i++) {
			wait_for_completion(&racers[i].done);
			missing += racers[i].missing;
		}
		goalloc_fail_nth(0);
		KUNIT_ASSERT_EQ(test, started, RACERS);
		if (round % 4 != 3)
			KUNIT_EXPECT_EQ(test, missing, 0);
		else
			/*
			 * should_fail() looks at how many are left and takes one
			 * off in two steps: others may have looked meanwhile.
			 */
			KUNIT_EXPECT_LE(test, missing, 3 + RACERS - 1);
		for (u32 i = 0; i < RACERS * RACE_SPANS; i++) {
			struct mspan *s = racers[i / RACE_SPANS].s[i % RACE_SPANS];

			wrong += s && *(u64 *)s->base != (unsigned long)s;
		}
		KUNIT_EXPECT_EQ(test, wrong, 0);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/* Moves bytes between the heap and a kernel buffer. */
static ssize_t move(struct goalloc_heap *heap, u64 addr, void *buf, size_t len, bool write)
{
	struct kvec kvec = { .iov_base = buf, .iov_len = len };
	struct iov_iter iter;

	iov_iter_kvec(&iter, write ? ITER_SOURCE : ITER_DEST, &kvec, 1, len);
	return sparse_iter(heap, addr, &iter, write);
}

static const struct iter_row {
	const char *what;
	u64 off;		/* bytes into a span of 5 pages */
	size_t len;
	ssize_t moved;
	u32 pages;		/* that a write backs */
} iter_rows[] = {
	{ "a byte", 0, 1, 1, 1 },
	{ "the last byte", 5 * 8192 - 1, 1, 1, 1 },
	{ "over a page's end", 8190, 4, 4, 2 },
	{ "up to a page's end", 8000, 192, 192, 1 },
	{ "a page", 8192, 8192, 8192, 1 },
	{ "three pages and two parts", 100, 4 * 8192, 4 * 8192, 5 },
	{ "all", 0, 5 * 8192, 5 * 8192, 5 },
	{ "over the end", 5 * 8192 - 10, 100, 10, 1 },
	{ "more than all", 0, 6 * 8192, 5 * 8192, 5 },
	{ "behind the end", 5 * 8192, 1, -EFAULT, 0 },
	{ "nothing", 77, 0, 0, 0 },
};

KUNIT_ARRAY_PARAM_DESC(iter, iter_rows, what);

static void backing_iter(struct kunit *test)
{
	const struct iter_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_SPARSE, 0);
	u8 *in = kunit_kmalloc(test, 6 * 8192, GFP_KERNEL);
	u8 *out = kunit_kmalloc(test, 6 * 8192, GFP_KERNEL);
	struct mspan *s = new_span(heap, 5);
	ssize_t n = max(row->moved, 0);

	KUNIT_ASSERT_NOT_NULL(test, in);
	KUNIT_ASSERT_NOT_NULL(test, out);
	KUNIT_ASSERT_NOT_NULL(test, s);
	/* Never touched: zeroes, and no page comes for them. */
	memset(out, 0xff, 6 * 8192);
	KUNIT_EXPECT_EQ(test, move(heap, s->base + row->off, out, row->len, false), row->moved);
	KUNIT_EXPECT_NULL(test, memchr_inv(out, 0, n));
	KUNIT_EXPECT_NULL(test, memchr_inv(out + n, 0xff, 6 * 8192 - n));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);

	for (u32 i = 0; i < 6 * 8192; i++)
		in[i] = i * 7 + 1;
	KUNIT_EXPECT_EQ(test, move(heap, s->base + row->off, in, row->len, true), row->moved);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), row->pages * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, move(heap, s->base + row->off, out, row->len, false), row->moved);
	KUNIT_EXPECT_MEMEQ(test, in, out, n);

	/* Around it there are zeroes still. */
	KUNIT_EXPECT_EQ(test, move(heap, s->base, out, 5 * 8192, false), 5 * 8192);
	KUNIT_EXPECT_NULL(test, memchr_inv(out, 0, row->off));
	if (row->off + n < 5 * 8192)
		KUNIT_EXPECT_NULL(test, memchr_inv(out + row->off + n, 0,
						   5 * 8192 - row->off - n));
	heap_kunit_check(test, heap, 0);

	/* Idle pages stay backed, and are no longer to be read. */
	mheap_return_span(s);
	KUNIT_EXPECT_EQ(test, move(heap, GOALLOC_HEAP_BASE, out, 1, false), -EFAULT);
	KUNIT_EXPECT_EQ(test, move(heap, 0, out, 1, false), -EFAULT);
	KUNIT_EXPECT_EQ(test, move(heap, U64_MAX, out, 1, true), -EFAULT);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), row->pages * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_CHUNK_PAGES - row->pages);
	heap_kunit_check(test, heap, 0);
}

/* The caller's memory faults: what was moved before counts. */
static void backing_iter_user(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_SPARSE, 0);
	struct mspan *s = new_span(heap, 5);
	unsigned long user;
	struct iov_iter iter;
	u8 back[64], *buf = kunit_kmalloc(test, 8192, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	user = kunit_vm_mmap(test, NULL, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE_MSG(test, user, 0, "no user memory");
	KUNIT_ASSERT_LT(test, user, (unsigned long)TASK_SIZE);
	KUNIT_ASSERT_EQ(test, vm_munmap(user + 2 * PAGE_SIZE, 2 * PAGE_SIZE), 0);

	memset(buf, 0x5e, 8192);
	KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)user, buf, 8192), 0);
	iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)user, 8192);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base + 5000, &iter, true), 8192);
	KUNIT_EXPECT_EQ(test, move(heap, s->base + 5000 + 8192 - 64, back, 64, false), 64);
	KUNIT_EXPECT_NULL(test, memchr_inv(back, 0x5e, 64));

	/* Runs out of user memory after 100 bytes. */
	iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)(user + 8192 - 100), 4096);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base, &iter, true), 100);
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)(user + 8192 - 100), 4096);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base, &iter, false), 100);
	/* At once; also where the page was never touched. */
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)(user + 8192), 64);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base, &iter, false), -EFAULT);
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)(user + 8192), 64);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base + 4 * 8192, &iter, false),
			-EFAULT);
	iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)(user + 8192), 64);
	KUNIT_EXPECT_EQ(test, sparse_iter(heap, s->base, &iter, true), -EFAULT);
	heap_kunit_check(test, heap, 0);
}

struct toucher {
	struct goalloc_heap *heap;
	struct task_struct *task;
	u64 addr;
	bool stop;
	u64 done;	/* written or refused */
	u64 other;
};

static u64 touched(struct toucher *t)
{
	return READ_ONCE(t->done);
}

static int touch(void *data)
{
	struct toucher *t = data;
	u8 byte = 0x33;

	for (u32 i = 0; !READ_ONCE(t->stop); i++) {
		ssize_t n = move(t->heap, t->addr + (u64)(i % 512) * 8192, &byte, 1, true);

		WRITE_ONCE(t->done, t->done + (n == 1 || n == -EFAULT));
		t->other += n != 1 && n != -EFAULT;
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void stop_toucher(void *data)
{
	struct toucher *t = data;

	WRITE_ONCE(t->stop, true);
	kthread_stop(t->task);
	put_task_struct(t->task);
}

/* Pages get memory while their span is on its way back to the heap. */
static void backing_touch_and_free(struct kunit *test)
{
	struct toucher *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	for (u32 round = 0; round < 30; round++) {
		struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_SPARSE, 0);
		unsigned long end = jiffies + 60 * HZ;

		*t = (struct toucher){ .heap = heap, .addr = GOALLOC_HEAP_BASE };
		t->task = kthread_create(touch, t, "goalloc_touch");
		KUNIT_ASSERT_FALSE(test, IS_ERR(t->task));
		get_task_struct(t->task);
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_toucher, t), 0);
		wake_up_process(t->task);
		/* Until the other was there as well. */
		for (u32 i = 0; i < 60 || (!touched(t) && time_before(jiffies, end)); i++) {
			struct mspan *s = new_span(heap, 1 + i * 97 % 512);

			KUNIT_ASSERT_NOT_NULL(test, s);
			if (i % 4)
				schedule_timeout_uninterruptible(i % 16 == 1);
			mheap_return_span(s);
		}
		kunit_release_action(test, stop_toucher, t);
		KUNIT_EXPECT_EQ(test, t->other, 0);
		KUNIT_EXPECT_GT(test, touched(t), 0);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

/* Pages of the block behind a page of the second half, or 0. */
static u32 backed_pages(struct goalloc_heap *heap, u32 page)
{
	struct goalloc_chunk *c = mheap_chunk(heap, GOALLOC_HEAP_BASE);

	return heap_kunit_linear_page(c, page) ? c->palloc.block_pages[1] : 0;
}

/*
 * A half has blocks of @first pages, and so many of them are backed; then none of
 * that size is to be had, @fail times. What has memory keeps it.
 */
static const struct resplit_row {
	const char *what;
	u32 first, backed;	/* pages, blocks */
	u32 fail;
	u32 block;
} resplit_rows[] = {
	{ "1 MiB to 512 KiB", 128, 1, 1, 64 },
	{ "1 MiB to 128 KiB", 128, 1, 3, 16 },
	{ "512 KiB, one, to 256 KiB", 64, 1, 1, 32 },
	{ "512 KiB, three, to 256 KiB", 64, 3, 1, 32 },
	{ "512 KiB, three, to 128 KiB", 64, 3, 2, 16 },
	{ "256 KiB, seven, to 128 KiB", 32, 7, 1, 16 },
	{ "256 KiB, two, to 128 KiB", 32, 2, 1, 16 },
};

KUNIT_ARRAY_PARAM_DESC(resplit, resplit_rows, what);

static void backing_split_backed(struct kunit *test)
{
	const struct resplit_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes), backed;
	struct mspan *low, *s[8], *next;
	u32 end = PALLOC_HALF_PAGES + row->backed * row->first;
	struct goalloc_chunk *c;

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	low = new_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, low);
	c = mheap_chunk(heap, GOALLOC_HEAP_BASE);
	goalloc_fail_run(2, ilog2(PALLOC_HALF_PAGES / row->first));
	for (u32 i = 0; i < row->backed; i++) {
		s[i] = new_span(heap, row->first);
		goalloc_fail_nth(0);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		memset((void *)s[i]->base, 0x40 + i, row->first << GOALLOC_PAGE_SHIFT);
	}
	KUNIT_ASSERT_EQ(test, c->palloc.block_pages[1], row->first);
	backed = (PALLOC_HALF_PAGES + row->backed * row->first) * GOALLOC_PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, (u64)atomic64_read(&heap->backed), backed);

	goalloc_fail_run(2, row->fail);
	next = new_span(heap, 3);
	KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
	goalloc_fail_nth(0);
	KUNIT_ASSERT_NOT_NULL(test, next);
	KUNIT_EXPECT_EQ(test, next->start_addr, goalloc_page_addr(end));
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], row->block);
	backed += row->block * GOALLOC_PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&heap->backed), backed);
	for (u32 page = PALLOC_HALF_PAGES; page < PALLOC_CHUNK_PAGES; page += 16)
		KUNIT_EXPECT_EQ_MSG(test, backed_pages(heap, page),
				    page < end + row->block ? row->block : 0, "page %u", page);
	for (u32 i = 0; i < row->backed; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv((void *)s[i]->base, 0x40 + i,
						   row->first << GOALLOC_PAGE_SHIFT));
	heap_kunit_check(test, heap, 0);

	/* One of them goes, by the blocks there are now; the others stay. */
	mheap_return_span(s[0]);
	KUNIT_EXPECT_EQ(test, heap->pages_whole, row->first);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, row->first + row->block - 3);
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_REQUEST),
			row->block * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, backed_pages(heap, PALLOC_HALF_PAGES + row->first - 1), 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
			(row->first - 3) * GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, heap->pages_holes, row->block - 3);
	for (u32 i = 1; i < row->backed; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv((void *)s[i]->base, 0x40 + i,
						   row->first << GOALLOC_PAGE_SHIFT));
	/* In use in part: it still knows how long its blocks are. */
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], row->block);
	heap_kunit_check(test, heap, 0);

	/* Empty: it has forgotten, and a block of 2 MiB comes again. */
	for (u32 i = 1; i < row->backed; i++)
		mheap_return_span(s[i]);
	mheap_return_span(next);
	scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), SZ_2M);
	heap_kunit_check(test, heap, 0);
	next = new_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, next);
	KUNIT_EXPECT_EQ(test, next->start_addr, goalloc_page_addr(PALLOC_HALF_PAGES));
	KUNIT_EXPECT_FALSE(test, next->vmapped);
	KUNIT_EXPECT_EQ(test, c->palloc.block_pages[1], PALLOC_HALF_PAGES);
	heap_kunit_check(test, heap, 0);
	heap_kunit_end(test, heap);
	rcu_barrier();
	KUNIT_EXPECT_LE(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
}

/* Blocks that were split go back when their heap ends, idle or in use. */
static void backing_split_end(struct kunit *test)
{
	struct goalloc_heap *heap;
	struct mspan *s[3];

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	for (u32 round = 0; round < 8; round++) {
		heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
		KUNIT_ASSERT_NOT_NULL(test, new_span(heap, PALLOC_HALF_PAGES));
		goalloc_fail_run(2, 1);
		s[0] = new_span(heap, 128);
		goalloc_fail_run(2, 2);
		s[1] = new_span(heap, 20);
		goalloc_fail_nth(0);
		s[2] = new_span(heap, 20);
		for (u32 i = 0; i < 3; i++) {
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			if (round & BIT(i))
				mheap_return_span(s[i]);
		}
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

/* A mapped span has pages of its own: idle blocks behind its run are given back. */
static void backing_mapped_over_blocks(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct mspan *s[2], *m;

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	s[0] = new_span(heap, PALLOC_HALF_PAGES);
	s[1] = new_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	mheap_return_span(s[0]);
	mheap_return_span(s[1]);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 2 * PALLOC_HALF_PAGES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 * SZ_2M);
	/* No record for a span in a block, so it is a mapped one. */
	goalloc_fail_nth(1);
	m = new_span(heap, 200);
	goalloc_fail_nth(0);
	KUNIT_ASSERT_NOT_NULL(test, m);
	KUNIT_ASSERT_TRUE(test, m->vmapped);
	KUNIT_EXPECT_EQ(test, m->start_addr, GOALLOC_HEAP_BASE);
	memset((void *)m->base, 0x77, 200 << GOALLOC_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed),
			SZ_2M + (200 << GOALLOC_PAGE_SHIFT));
	KUNIT_EXPECT_EQ(test, heap->pages_idle, PALLOC_HALF_PAGES);
	heap_kunit_check(test, heap, 0);
	mheap_return_span(m);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), SZ_2M);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), PALLOC_HALF_PAGES);
	heap_kunit_check(test, heap, 0);
	s[0] = new_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	heap_kunit_check(test, heap, 0);
}

/*
 * Objects are mapped and unmapped while interrupts on that CPU, at any instruction, ask
 * for others. What stays is found each time, and nothing is found where nothing is.
 */
#define MAPPED_BYTES	(3UL << 20)

struct mapped_work {
	struct goalloc_heap *heap;
	unsigned long stay[5];
	struct mspan *s[5];
	atomic_t made, looked, wrong;
};

static void mapped_look(void *arg)
{
	struct mapped_work *w = arg;

	for (u32 i = 0; i < ARRAY_SIZE(w->stay); i++) {
		unsigned long addr = w->stay[i];

		/* Behind it is a page that nothing is mapped to. */
		if (span_of(addr) != w->s[i] || span_of(addr + MAPPED_BYTES - 1) != w->s[i] ||
		    span_of(addr + MAPPED_BYTES))
			atomic_inc(&w->wrong);
	}
	if (span_of(0) || span_of(-1UL))
		atomic_inc(&w->wrong);
	atomic_inc(&w->looked);
}

static bool mapped_met(struct crew *crew)
{
	struct mapped_work *w = crew->arg;

	return atomic_read(&w->made) >= 10 && atomic_read(&w->looked) >= 1000;
}

static void mapped_crew(struct crew *crew, u32 who)
{
	struct mapped_work *w = crew->arg;

	while (crew_go_on(crew)) {
		void *obj;

		if (who) {
			smp_call_function_single(cpumask_first(cpu_online_mask), mapped_look, w,
						 1);
			/* It is to get on as well. */
			usleep_range(10, 50);
			continue;
		}
		obj = goalloc_heap_alloc(w->heap, MAPPED_BYTES, 0, GFP_KERNEL);
		if (!obj || goalloc_try_free(obj) || goalloc_try_free(obj) != -ENOENT)
			atomic_inc(&crew->bad);
		atomic_inc(&w->made);
	}
}

static void backing_mapped_interrupted(struct kunit *test)
{
	struct mapped_work *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_ASSERT_NOT_NULL(test, crew);
	w->heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	for (u32 i = 0; i < ARRAY_SIZE(w->stay); i++) {
		void *obj = goalloc_heap_alloc(w->heap, MAPPED_BYTES, 0, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, obj);
		w->stay[i] = (unsigned long)obj;
		w->s[i] = span_of(w->stay[i]);
		KUNIT_ASSERT_NOT_NULL(test, w->s[i]);
		KUNIT_ASSERT_TRUE(test, w->s[i]->vmapped);
	}
	crew->met = mapped_met;
	crew_run(test, crew, 2, 1000, mapped_crew, w);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->wrong), 0);
	kunit_info(test, "%d mapped, %d looks\n", atomic_read(&w->made), atomic_read(&w->looked));
	KUNIT_EXPECT_TRUE(test, mapped_met(crew));
	for (u32 i = 0; i < ARRAY_SIZE(w->stay); i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free((void *)w->stay[i]), 0);
	heap_kunit_check(test, w->heap, 0);
}

static struct kunit_case backing_cases[] = {
	KUNIT_CASE(backing_blocks),
	KUNIT_CASE_PARAM(backing_split, split_gen_params),
	KUNIT_CASE(backing_nothing_to_be_had),
	KUNIT_CASE(backing_neighbours),
	KUNIT_CASE_SLOW(backing_race),
	KUNIT_CASE_PARAM(backing_iter, iter_gen_params),
	KUNIT_CASE(backing_iter_user),
	KUNIT_CASE_SLOW(backing_touch_and_free),
	KUNIT_CASE_PARAM(backing_split_backed, resplit_gen_params),
	KUNIT_CASE(backing_split_end),
	KUNIT_CASE(backing_mapped_over_blocks),
	KUNIT_CASE_SLOW(backing_mapped_interrupted),
	{}
};

static struct kunit_suite backing_suite = {
	.name = "goalloc_backing",
	.test_cases = backing_cases,
};

kunit_test_suite(backing_suite);

GOALLOC_KUNIT_IMPORT;
