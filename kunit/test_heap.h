/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What several suites need: a heap that goes with the test, work on a chosen
 * CPU and in a chosen context, two CPUs at one piece of work, and the books
 * held against the spans.
 */
#ifndef GOALLOC_TEST_HEAP_H
#define GOALLOC_TEST_HEAP_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include "../goalloc/backing.h"
#include "../goalloc/mheap.h"
#include "../goalloc/mstats.h"

static inline void test_heap_end(void *heap)
{
	mheap_destroy(heap, true);
}

/*
 * A kernel heap that ends with the test, its mcentrals built. An mcache has one
 * span of a class, and an mcentral one that is empty.
 */
static inline struct goalloc_heap *test_heap(struct kunit *test)
{
	struct goalloc_heap *heap = mheap_create(NULL, BACKING_LINEAR);

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, test_heap_end, heap), 0);
	KUNIT_ASSERT_TRUE(test, mheap_build_central(heap, GFP_KERNEL));
	for (int i = 0; i < GOALLOC_ALL_CENTRALS; i++) {
		heap->central[i].maxcached = 1;
		heap->central[i].maxempty = i >= 2;
	}
	return heap;
}

/* The test stays on this CPU from here on. */
static inline void test_pin(struct kunit *test, int cpu)
{
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpu)), 0);
}

static inline struct mspan *test_span(const void *obj)
{
	return span_of((unsigned long)obj);
}

/* Takes the next free slot of the entry's word; 0 if there is none. */
static inline unsigned long test_next_free(struct mcache_alloc *a)
{
	unsigned long v;

	return next_free_fast(a, &v) ? v : 0;
}

/* Both halves of the word of a slot. */
static inline union mspan_word test_word(const struct mspan *s, u32 slot)
{
	return (union mspan_word){ .both = READ_ONCE(s->words[slot / 32].both) };
}

/*
 * Makes objects on this CPU until a second span is begun, so that the first
 * one is full. The objects of the first span are in @objs, and the one that
 * began the second comes behind them. Returns how many the span has.
 */
static inline u32 test_fill_span(struct kunit *test, struct goalloc_heap *heap, size_t size,
				 void **objs)
{
	u32 n = 0;

	for (;; n++) {
		objs[n] = goalloc_heap_alloc(heap, size, GOALLOC_SCAN, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objs[n]);
		if (test_span(objs[n]) != test_span(objs[0]))
			return n;
	}
}

struct test_call {
	void (*fn)(void *arg);
	void *arg;
	enum mcache_context ctx;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
	struct completion done;
	bool right;
};

static inline void test_call_here(struct test_call *c)
{
	c->right = mcache_context() == c->ctx;
	c->fn(c->arg);
	complete(&c->done);
}

static inline void test_call_tasklet(struct tasklet_struct *t)
{
	test_call_here(container_of(t, struct test_call, tasklet));
}

static inline void test_call_irq(struct irq_work *w)
{
	test_call_here(container_of(w, struct test_call, irq_work));
}

static inline int test_call_start(void *arg)
{
	struct test_call *c = arg;

	switch (c->ctx) {
	case MCACHE_SOFTIRQ:
		local_bh_disable();
		tasklet_schedule(&c->tasklet);
		local_bh_enable();
		break;
	case MCACHE_HARDIRQ:
		irq_work_queue(&c->irq_work);
		break;
	default:
		test_call_here(c);
	}
	wait_for_completion(&c->done);
	tasklet_kill(&c->tasklet);
	irq_work_sync(&c->irq_work);
	return 0;
}

/* Calls a function on a CPU: in a task, a tasklet, or a hard interrupt. */
static inline void test_call_on(struct kunit *test, int cpu, enum mcache_context ctx,
				void (*fn)(void *arg), void *arg)
{
	struct test_call *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->fn = fn;
	c->arg = arg;
	c->ctx = ctx;
	tasklet_setup(&c->tasklet, test_call_tasklet);
	c->irq_work = IRQ_WORK_INIT(test_call_irq);
	init_completion(&c->done);
	KUNIT_ASSERT_EQ(test, smp_call_on_cpu(cpu, test_call_start, c, false), 0);
	KUNIT_ASSERT_TRUE_MSG(test, c->right, "this was to be context %u", ctx);
}

struct test_alloc {
	struct goalloc_heap *heap;
	size_t size;
	void *obj;
};

static inline void test_alloc_fn(void *arg)
{
	struct test_alloc *a = arg;

	a->obj = goalloc_heap_alloc(a->heap, a->size, a->size < 16 ? 0 : GOALLOC_SCAN,
				    GFP_ATOMIC);
}

/* An object made on a CPU and in a context. */
static inline void *test_alloc_on(struct kunit *test, int cpu, enum mcache_context ctx,
				  struct goalloc_heap *heap, size_t size)
{
	struct test_alloc a = { .heap = heap, .size = size };

	test_call_on(test, cpu, ctx, test_alloc_fn, &a);
	KUNIT_ASSERT_NOT_NULL(test, a.obj);
	return a.obj;
}

static inline void test_free_fn(void *obj)
{
	goalloc_free(obj);
}

static inline void test_free_on(struct kunit *test, int cpu, enum mcache_context ctx, void *obj)
{
	test_call_on(test, cpu, ctx, test_free_fn, obj);
}

/* Two CPUs that do one thing together, for so long at most. */
#define TEST_PAIR_SECONDS	4

struct test_pair {
	void (*fn)(struct test_pair *p, int who);
	void *arg;
	unsigned long end;
	bool stop;
	atomic_t met;
	struct completion done[2];
};

struct test_pair_thread {
	struct test_pair *p;
	int who;
};

/* Both are here for the @round-th time, counted from 1. */
static inline void test_pair_meet(struct test_pair *p, u32 round)
{
	atomic_inc(&p->met);
	while ((u32)atomic_read(&p->met) < 2 * round)
		cpu_relax();
}

/* As test_pair_meet(); false once the two have had their time, but not the first time. */
static inline bool test_pair_again(struct test_pair *p, int who, u32 round)
{
	if (!who && round > 1 && time_after(jiffies, p->end))
		WRITE_ONCE(p->stop, true);
	test_pair_meet(p, round);
	return !READ_ONCE(p->stop);
}

static inline int test_pair_thread(void *arg)
{
	struct test_pair_thread *t = arg;

	t->p->fn(t->p, t->who);
	kthread_complete_and_exit(&t->p->done[t->who], 0);
}

static inline void test_pair_run(struct kunit *test,
				 void (*fn)(struct test_pair *p, int who), void *arg)
{
	struct test_pair *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	struct test_pair_thread t[2];
	struct task_struct *task[2];
	int cpu = -1, i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	p->fn = fn;
	p->end = jiffies + TEST_PAIR_SECONDS * HZ;
	p->arg = arg;
	for (i = 0; i < 2; i++) {
		t[i] = (struct test_pair_thread){ .p = p, .who = i };
		init_completion(&p->done[i]);
		task[i] = kthread_create(test_pair_thread, &t[i], "goalloc_pair/%d", i);
		if (IS_ERR(task[i])) {
			if (i)
				kthread_stop(task[0]);
			KUNIT_FAIL_AND_ABORT(test, "no thread");
		}
		cpu = cpumask_next(cpu, cpu_online_mask);
		kthread_bind(task[i], cpu);
	}
	for (i = 0; i < 2; i++)
		wake_up_process(task[i]);
	for (i = 0; i < 2; i++)
		wait_for_completion(&p->done[i]);
}

/*
 * The books of a heap at rest: what they say of live objects is @live, for each
 * class it is what the spans' bits say, and the pages are those of the spans.
 */
static inline void test_books(struct kunit *test, struct goalloc_heap *heap, u64 live)
{
	u64 *slots = kunit_kzalloc(test, GOALLOC_NUM_SIZE_CLASSES * sizeof(*slots), GFP_KERNEL);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	u64 pages = 0, nspans = 0;
	struct mspan *s;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, slots);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	readmemstats(heap, ms);
	for (u64 next = GOALLOC_HEAP_BASE; (s = mheap_next_span(heap, &next));) {
		pages += s->npages;
		nspans++;
		/* In no class of the table. */
		if (spanclass_is_exact(s->spanclass))
			continue;
		/* A block that an mcache holds is taken, and counts when in use. */
		for (i = 0; i < s->nelems; i++)
			slots[spanclass_sizeclass(s->spanclass)] += mspan_slot_live(s, i) &&
				(!s->tiny || s->tiny->word[i] & TINY_LIVE_MASK);
	}

	KUNIT_EXPECT_EQ(test, ms->heap_objects, live);
	KUNIT_EXPECT_EQ(test, ms->mallocs - ms->frees, live);
	for (i = 0; i < GOALLOC_NUM_SIZE_CLASSES; i++)
		KUNIT_EXPECT_EQ_MSG(test, ms->by_size[i].mallocs - ms->by_size[i].frees,
				    slots[i], "class %u", i);
	KUNIT_EXPECT_EQ(test, mheap_nspans(heap), nspans);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse, pages << GOALLOC_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse + ms->heap_idle, ms->heap_sys);
	KUNIT_EXPECT_LE(test, ms->heap_released, ms->heap_idle);
	kunit_kfree(test, ms);
	kunit_kfree(test, slots);
}

#endif /* GOALLOC_TEST_HEAP_H */
