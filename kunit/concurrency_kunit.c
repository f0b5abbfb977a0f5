// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_concurrency: everybody allocates, everybody frees.
 *
 * Actors are threads, timers (softirq) and irq_works (hardirq) on every CPU; an
 * irq_work is set off from other CPUs, so it comes at any instruction.
 * A ticket is what is known of one object: where, how long, and the number that
 * its bytes were written with. An actor makes an object for the ticket it has
 * in hand, exchanges the ticket for another one in a random slot of an array,
 * checks the object of that one and frees it. So objects die where they were
 * not born, and one that was handed out twice shows, because two actors wrote
 * different numbers into it.
 *
 * What an actor finds wrong it counts and describes in its crowd; the test
 * reports it. Every wait has an end: actors stop when the work is done, when
 * they are told to, and when time is up, which is a failure.
 *
 * Operations are objects made and objects freed. concurrency_ops says how many
 * in all cases together; concurrency_seed repeats a run's random numbers, not
 * its order.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/goalloc.h>

#include "../goalloc/class.h"
#include "../goalloc/compat.h"
#include "../goalloc/mcache.h"
#include "../goalloc/mheap.h"
#include "../goalloc/mstats.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"

/* Exchange slots, each with a ticket: so many objects live at a time. */
#define SLOTS		4096

/* Steps, of two operations each, between two looks at the rest of the world. */
#define THREAD_STEPS	64
#define TIMER_STEPS	32
#define IRQ_STEPS	8

/* Tickets of one pile in larson, and of one ring between two CPUs. */
#define PILE		512
#define RING		1024

/* Exact classes. */
#define CLASSES		2

/* A case that takes longer hangs. KUnit itself gives up after 300. */
#define CASE_SECONDS	240

/* What is not done by then on a slow machine need not be. */
#define WORK_SECONDS	60

static ulong concurrency_ops = 10000000;
module_param(concurrency_ops, ulong, 0444);
MODULE_PARM_DESC(concurrency_ops, "operations of goalloc_concurrency, all cases together");

static ulong concurrency_seed;
module_param(concurrency_seed, ulong, 0444);
MODULE_PARM_DESC(concurrency_seed, "seed of goalloc_concurrency, 0 for any");

/*
 * struct ticket - what is known of an object
 * @obj: the object, or NULL
 * @size: bytes asked for
 * @seq: what its bytes are made of; no other object of the case has it
 */
struct ticket {
	void *obj;
	u32 size;
	u64 seq;
};

struct ring {
	struct ticket ticket[RING];
	struct ticket kept[THREAD_STEPS / 2];
	bool full[RING];
	bool ended;
	bool close;
};

/*
 * The ticket at a place of a ring belongs to the consumer while it is full, and
 * to the producer else. Who looks takes over what the other one wrote before.
 */
static bool ring_full(struct ring *r, u32 at)
{
	/* Pairs with ring_set(). */
	return smp_load_acquire(&r->full[at % RING]);
}

static void ring_set(struct ring *r, u32 at, bool full)
{
	/* Pairs with ring_full(). */
	smp_store_release(&r->full[at % RING], full);
}

struct crowd;

/*
 * struct actor - somebody who allocates and frees
 * @batch: some of its work; threads and timers go on until it returns false
 * @cpu: where it stays, or -1
 * @hand: the ticket it has in hand
 * @heap: where it allocates, the crowd's
 * @at: place in @ring, or how often it does something still
 * @size: bytes of all its objects, or 0
 * @made: heaps made
 * @poked: @poke is under way
 * @cls: a class of its own for some of its objects, or NULL
 * @exact: objects made of @cls
 * @classes: objects made, by size class; tiny ones under @tiny
 */
struct actor {
	struct crowd *crowd;
	struct goalloc_heap *heap;
	struct goalloc_class *cls;
	bool (*batch)(struct actor *a);
	enum mcache_context ctx;
	int cpu;
	u64 rnd;
	u64 seq;
	struct ticket *hand;
	struct ticket **pile;
	struct ring *ring;
	u32 at;
	u32 size;
	u32 made;
	struct task_struct *task;
	struct timer_list timer;
	struct irq_work irq_work;
	call_single_data_t poke;
	atomic_t poked;

	u64 mallocs;
	u64 frees;
	u64 nomem;
	u64 tiny;
	u64 exact;
	u64 classes[GOALLOC_NUM_SIZE_CLASSES];
};

/*
 * struct crowd - actors and what they share
 * @classes: exact classes of the heap
 * @left: operations still to be done
 * @whole: all of them are
 * @running: threads that are not done
 * @idle: wakes the test when none is
 * @nheapers: threads that still make heaps
 * @wrong: how often an actor found something wrong
 * @what: the first such thing
 */
struct crowd {
	struct kunit *test;
	struct goalloc_heap *heap;
	struct ticket *slots[SLOTS];
	struct ticket ***piles;
	u32 npiles;
	struct actor *actors;
	u32 nactors;
	struct ticket *tickets;
	u32 ntickets;
	struct goalloc_class *classes[CLASSES];
	u32 nclasses;
	atomic64_t left;
	bool whole;
	atomic_t running;
	atomic_t nheapers;
	wait_queue_head_t idle;
	bool stop;
	atomic_t wrong;
	char what[160];
	u64 seed;
	u64 nflush;
};

static u64 rnd64(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static __printf(2, 3) void wrong(struct crowd *c, const char *fmt, ...)
{
	va_list args;

	if (atomic_inc_return(&c->wrong) != 1)
		return;
	va_start(args, fmt);
	vsnprintf(c->what, sizeof(c->what), fmt, args);
	va_end(args);
}

/* The bytes of an object: all of a short one, both ends of others. */
static u64 ticket_stamp(const struct ticket *t)
{
	return (t->seq + 1) * 0x9e3779b97f4a7c15ULL;
}

static void ticket_write(const struct ticket *t)
{
	u64 stamp = ticket_stamp(t), end = ~stamp;

	if (t->size >= sizeof(end))
		memcpy(t->obj + t->size - sizeof(end), &end, sizeof(end));
	memcpy(t->obj, &stamp, min_t(u32, t->size, sizeof(stamp)));
}

static bool ticket_right(const struct ticket *t)
{
	u64 stamp = ticket_stamp(t), end = ~stamp;
	u32 skip = t->size < 2 * sizeof(end) ? 2 * sizeof(end) - t->size : 0;

	if (memcmp(t->obj, &stamp, min_t(u32, t->size, sizeof(stamp))))
		return false;
	/* Of what both ends would cover the front is what was written last. */
	if (skip >= sizeof(end))
		return true;
	return !memcmp(t->obj + t->size - sizeof(end) + skip, (u8 *)&end + skip,
		       sizeof(end) - skip);
}

/* A third is tiny, most is small, little is large. */
static u32 pick_size(u64 r, bool may_sleep)
{
	u32 kind = r & 1023, more = r >> 32;

	if (kind < 340)
		return 1 + more % 15;
	if (kind < 800)
		return 16 + more % 496;
	if (kind < 980)
		return 512 + more % 3584;
	if (kind < 1022 || (r >> 10 & 7))
		return 4096 + more % (GOALLOC_MAX_SMALL_SIZE - 4096 + 1);
	if (kind < 1023 || !may_sleep || (r >> 13 & 15))
		return GOALLOC_MAX_SMALL_SIZE + 1 + more % SZ_128K;
	return SZ_2M + 1 + more % SZ_256K;
}

/* Counts an object that was made for a ticket, and writes it. */
static void ticket_made(struct actor *a, struct ticket *t, u32 flags, bool exact)
{
	a->mallocs++;
	if (exact)
		a->exact++;
	else if (t->size > GOALLOC_MAX_SMALL_SIZE)
		a->classes[0]++;
	else if (t->size <= __GOALLOC_PACKED_MAX && !flags)
		a->tiny++;
	else
		a->classes[goalloc_size_to_class(t->size)]++;
	ticket_write(t);
}

/* Makes an object for a ticket without one. */
static void ticket_fill(struct actor *a, struct ticket *t)
{
	bool may_sleep = a->ctx == MCACHE_TASK;
	u64 r = rnd64(&a->rnd);
	u32 flags = (r >> 20 & 3) ? 0 : GOALLOC_SCAN;

	t->size = a->size ?: pick_size(r, may_sleep);
	t->seq = a->seq++;
	if (a->cls && (r >> 24 & 3) == 0) {
		t->size = a->cls->size;
		t->obj = goalloc_class_alloc(a->cls, GFP_ATOMIC | __GFP_NOWARN);
	} else {
		t->obj = goalloc_heap_alloc(a->heap, t->size, flags,
					    (may_sleep ? GFP_KERNEL : GFP_ATOMIC) | __GFP_NOWARN);
	}
	if (!t->obj) {
		a->nomem++;
		return;
	}
	ticket_made(a, t, flags, a->cls && (r >> 24 & 3) == 0);
}

/* Frees the object of a ticket, if it has one. */
static void ticket_drain(struct actor *a, struct ticket *t)
{
	int ret;

	if (!t->obj)
		return;
	if (!ticket_right(t))
		wrong(a->crowd, "object %llx of %u bytes: begins with %*ph", t->seq, t->size,
		      (int)min(t->size, 16U), t->obj);
	ret = goalloc_try_free(t->obj);
	if (ret)
		wrong(a->crowd, "object %llx of %u bytes: free says %d", t->seq, t->size, ret);
	a->frees++;
	t->obj = NULL;
}

/* Takes work; false if there is none left. */
static bool crowd_take(struct crowd *c, u32 steps)
{
	return !READ_ONCE(c->stop) && atomic64_sub_return(2 * steps, &c->left) >= 0;
}

static void exchange(struct actor *a)
{
	struct crowd *c = a->crowd;

	ticket_fill(a, a->hand);
	a->hand = xchg(&c->slots[rnd64(&a->rnd) % SLOTS], a->hand);
	ticket_drain(a, a->hand);
}

static bool batch_exchange(struct actor *a)
{
	static const u32 steps[] = {
		[MCACHE_TASK] = THREAD_STEPS,
		[MCACHE_SOFTIRQ] = TIMER_STEPS,
		[MCACHE_HARDIRQ] = IRQ_STEPS,
	};
	struct crowd *c = a->crowd;
	u32 i;

	if (mcache_context() != a->ctx)
		wrong(c, "context %u is %u", a->ctx, mcache_context());
	if (!crowd_take(c, steps[a->ctx]))
		return false;
	for (i = 0; i < steps[a->ctx]; i++) {
		exchange(a);
		/* Somebody is interrupted, wherever it is just now. */
		if (a->ctx == MCACHE_TASK && i % 16 == 0) {
			struct actor *b = &c->actors[rnd64(&a->rnd) % c->nactors];

			if (b->ctx == MCACHE_HARDIRQ && !atomic_xchg(&b->poked, 1))
				smp_call_function_single_async(b->cpu, &b->poke);
		}
	}
	return true;
}

/*
 * As above, so many at a time, of one size: makes them, exchanges their tickets, and
 * frees the others' objects.
 */
#define BULK		16

static bool batch_bulk(struct actor *a)
{
	struct crowd *c = a->crowd;
	u32 size, flags, i, n, round;
	void *objs[BULK];

	if (!crowd_take(c, THREAD_STEPS))
		return false;
	for (round = 0; round < THREAD_STEPS / BULK; round++) {
		u64 r = rnd64(&a->rnd);

		size = pick_size(r, true);
		flags = (r >> 20 & 3) ? 0 : GOALLOC_SCAN;
		n = goalloc_alloc_bulk(a->heap, size, flags, GFP_KERNEL | __GFP_NOWARN, BULK, objs);
		a->nomem += BULK - n;
		for (i = 0; i < BULK; i++) {
			struct ticket *t = a->pile[i];

			t->obj = i < n ? objs[i] : NULL;
			t->size = size;
			t->seq = a->seq++;
			if (t->obj)
				ticket_made(a, t, flags, false);
			a->pile[i] = xchg(&c->slots[rnd64(&a->rnd) % SLOTS], t);
		}
		for (i = 0; i < BULK; i++) {
			struct ticket *t = a->pile[i];

			objs[i] = t->obj;
			if (!t->obj)
				continue;
			if (!ticket_right(t))
				wrong(c, "object %llx of %u bytes: begins with %*ph", t->seq,
				      t->size, (int)min(t->size, 16U), t->obj);
			a->frees++;
			t->obj = NULL;
		}
		/* Which warns of a bad one. */
		goalloc_free_bulk(BULK, objs);
	}
	return true;
}

/* As Larson's server: replaces objects of a pile, then passes the pile on. */
static bool batch_larson(struct actor *a)
{
	struct crowd *c = a->crowd;
	u32 i;

	if (!crowd_take(c, THREAD_STEPS))
		return false;
	for (i = 0; i < THREAD_STEPS; i++) {
		struct ticket *t = a->pile[rnd64(&a->rnd) % PILE];

		ticket_drain(a, t);
		ticket_fill(a, t);
	}
	if (++a->at % 16 == 0)
		a->pile = xchg(&c->piles[rnd64(&a->rnd) % c->npiles], a->pile);
	return true;
}

static bool batch_produce(struct actor *a)
{
	struct ring *r = a->ring;
	u32 i;

	if (ring_full(r, a->at + THREAD_STEPS)) {
		schedule_timeout_uninterruptible(1);
		if (!READ_ONCE(a->crowd->stop))
			return true;
		goto end;
	}
	if (!crowd_take(a->crowd, THREAD_STEPS))
		goto end;
	for (i = 0; i < THREAD_STEPS; i++, a->at = (a->at + 1) % RING) {
		if (ring_full(r, a->at))
			break;
		ticket_fill(a, &r->ticket[a->at]);
		ring_set(r, a->at, true);
	}
	return true;
end:
	/* After all it has made: batch_consume() reads them the other way round. */
	smp_store_release(&r->ended, true);
	return false;
}

/*
 * Objects of one size, so of one word of a span: every other one is freed by the
 * consumer at once, while this CPU still takes the next ones, fills the span up
 * and gives it away; the rest is freed here while the consumer frees those.
 */
static bool batch_close(struct actor *a)
{
	static const u32 sizes[] = { 8192, 24, 4096, 8, 10240, 512, 8192, 48 };
	struct crowd *c = a->crowd;
	struct ring *r = a->ring;
	u32 i;

	/* Close behind: what is in the ring is no longer of this word. */
	if (ring_full(r, a->at + RING - THREAD_STEPS / 2)) {
		cpu_relax();
		return !READ_ONCE(c->stop);
	}
	if (!crowd_take(c, THREAD_STEPS)) {
		/* As in batch_produce(). */
		smp_store_release(&r->ended, true);
		return false;
	}
	a->size = sizes[a->seq / (64 * THREAD_STEPS) % ARRAY_SIZE(sizes)];
	for (i = 0; i < THREAD_STEPS; i++) {
		if (i % 2) {
			ticket_fill(a, &r->ticket[a->at]);
			ring_set(r, a->at, true);
			a->at = (a->at + 1) % RING;
		} else {
			ticket_fill(a, &r->kept[i / 2]);
		}
	}
	for (i = 0; i < THREAD_STEPS / 2; i++)
		ticket_drain(a, &r->kept[i]);
	return true;
}

static bool batch_consume(struct actor *a)
{
	struct ring *r = a->ring;
	/* Pairs with batch_produce(): if it has ended, all it made is seen. */
	bool ended = smp_load_acquire(&r->ended);
	u32 i;

	for (i = 0; i < RING; i++, a->at = (a->at + 1) % RING) {
		if (!ring_full(r, a->at))
			break;
		ticket_drain(a, &r->ticket[a->at]);
		ring_set(r, a->at, false);
	}
	if (!i && !ended && !r->close)
		schedule_timeout_uninterruptible(1);
	return !READ_ONCE(a->crowd->stop) && (i || !ended);
}

static int actor_thread(void *arg)
{
	struct actor *a = arg;

	while (!kthread_should_stop() && !fatal_signal_pending(current) && a->batch(a))
		cond_resched();
	if (atomic_dec_and_test(&a->crowd->running))
		wake_up(&a->crowd->idle);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 0;
}

static void actor_timer(struct timer_list *timer)
{
	struct actor *a = container_of(timer, struct actor, timer);

	if (a->batch(a))
		mod_timer(&a->timer, jiffies + 1);
}

static void actor_irq(struct irq_work *work)
{
	struct actor *a = container_of(work, struct actor, irq_work);

	a->batch(a);
}

/* On the actor's CPU, because somebody on another one says so. */
static void actor_poke(void *arg)
{
	struct actor *a = arg;

	atomic_set(&a->poked, 0);
	irq_work_queue(&a->irq_work);
}

/* Has come when all that was sent to its CPU before has. */
static void actor_poked(void *unused)
{
}

static void crowd_heap_end(void *heap)
{
	goalloc_heap_destroy(heap);
}

static struct crowd *crowd_make(struct kunit *test, u32 nactors, u32 ntickets)
{
	const struct goalloc_heap_params params = { .name = "concurrency" };
	struct crowd *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->test = test;
	c->seed = concurrency_seed ?: get_random_u64();
	kunit_info(test, "concurrency_seed=%llu\n", c->seed);
	c->actors = kunit_kcalloc(test, nactors, sizeof(*c->actors), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->actors);
	if (ntickets) {
		c->tickets = kunit_kcalloc(test, ntickets, sizeof(*c->tickets), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, c->tickets);
		c->ntickets = ntickets;
	}
	init_waitqueue_head(&c->idle);
	c->heap = goalloc_heap_create(&params);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->heap));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, crowd_heap_end, c->heap), 0);
	return c;
}

static struct actor *crowd_add(struct crowd *c, enum mcache_context ctx, int cpu,
			       bool (*batch)(struct actor *a))
{
	struct actor *a = &c->actors[c->nactors++];

	a->crowd = c;
	a->heap = c->heap;
	a->ctx = ctx;
	a->cpu = cpu;
	a->batch = batch;
	a->rnd = (c->seed + c->nactors) * 0x9e3779b97f4a7c15ULL | 1;
	a->seq = (u64)c->nactors << 40;
	timer_setup(&a->timer, actor_timer, TIMER_PINNED);
	a->irq_work = IRQ_WORK_INIT(actor_irq);
	INIT_CSD(&a->poke, actor_poke, a);
	return a;
}

/* Lets floating threads run elsewhere; and in between, all mcaches are flushed. */
static void crowd_stir(struct crowd *c)
{
	u32 i, n = num_online_cpus();

	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		if (a->task && a->cpu < 0)
			set_cpus_allowed_ptr(a->task, cpumask_of(cpumask_nth((c->nflush + i) % n,
									     cpu_online_mask)));
	}
	mcache_flush_all(c->heap);
	c->nflush++;
}

/*
 * Lets the actors do so many operations. Meanwhile the test does something
 * itself every @every jiffies. False if it did not come to its end.
 */
static bool crowd_run(struct crowd *c, u64 ops, void (*meanwhile)(struct crowd *c),
		      unsigned long every)
{
	unsigned long end = jiffies + CASE_SECONDS * HZ, enough = jiffies + WORK_SECONDS * HZ;
	u64 begin = ktime_get_ns(), ms, done[MCACHE_CONTEXTS] = {}, all = 0;
	bool ok = true;
	u32 i;

	atomic64_set(&c->left, ops);
	WRITE_ONCE(c->stop, false);
	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		done[a->ctx] -= a->mallocs + a->frees;
		a->task = NULL;
		if (a->ctx != MCACHE_TASK)
			continue;
		a->task = kthread_create(actor_thread, a, "goalloc_actor/%u", i);
		if (IS_ERR(a->task)) {
			a->task = NULL;
			wrong(c, "no thread");
			continue;
		}
		if (a->cpu >= 0)
			kthread_bind(a->task, a->cpu);
		atomic_inc(&c->running);
	}
	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		if (a->task)
			wake_up_process(a->task);
		if (a->ctx == MCACHE_SOFTIRQ) {
			a->timer.expires = jiffies + 1;
			add_timer_on(&a->timer, a->cpu);
		}
	}

	while (!wait_event_timeout(c->idle, !atomic_read(&c->running), every)) {
		if (time_after(jiffies, end) || kthread_should_stop()) {
			wrong(c, "not done: %lld operations left", atomic64_read(&c->left));
			ok = false;
			break;
		}
		if (!c->whole && time_after(jiffies, enough))
			atomic64_set(&c->left, 0);
		if (meanwhile)
			meanwhile(c);
	}
	WRITE_ONCE(c->stop, true);
	for (i = 0; i < c->nactors; i++)
		if (c->actors[i].task)
			kthread_stop(c->actors[i].task);
	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		del_timer_sync(&a->timer);
		if (a->ctx == MCACHE_HARDIRQ)
			smp_call_function_single(a->cpu, actor_poked, NULL, 1);
		irq_work_sync(&a->irq_work);
		done[a->ctx] += a->mallocs + a->frees;
	}
	atomic_set(&c->running, 0);
	ms = div_u64(ktime_get_ns() - begin, NSEC_PER_MSEC) ?: 1;
	for (i = 0; i < MCACHE_CONTEXTS; i++)
		all += done[i];
	kunit_info(c->test, "%llu operations in %llu ms, %llu/s: %llu by tasks, %llu in softirqs, %llu in hardirqs, %llu flushes\n",
		   all, ms, div64_u64(all * MSEC_PER_SEC, ms), done[MCACHE_TASK],
		   done[MCACHE_SOFTIRQ], done[MCACHE_HARDIRQ], c->nflush);
	return ok;
}

/* All that is still alive dies by the test's hand. */
static void crowd_drain(struct crowd *c)
{
	u32 i;

	for (i = 0; i < c->ntickets; i++)
		ticket_drain(&c->actors[0], &c->tickets[i]);
}

/*
 * Nothing lives. The books say what the actors counted, by class; and but for
 * the spare spans that mcentrals may keep all pages are idle.
 */
static void crowd_books(struct crowd *c, bool swept)
{
	struct kunit *test = c->test;
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	u64 mallocs = 0, frees = 0, tiny = 0, nomem = 0, counted, spares = 0, used = 0;
	struct mspan *s;
	u32 i, class;

	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&c->wrong), 0, "first: %s", c->what);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	flush_workqueue(goalloc_wq);
	mcache_flush_all(c->heap);
	readmemstats(c->heap, ms);

	for (i = 0; i < c->nactors; i++) {
		mallocs += c->actors[i].mallocs;
		frees += c->actors[i].frees;
		tiny += c->actors[i].tiny;
		nomem += c->actors[i].nomem;
	}
	if (nomem)
		kunit_info(test, "%llu times there was no memory\n", nomem);
	for (i = 0; i < c->nclasses; i++) {
		u64 taken, given, made = 0;

		class_counts(c->heap, c->classes[i]->spc, &taken, &given);
		for (u32 k = 0; k < c->nactors; k++)
			made += c->actors[k].cls == c->classes[i] ? c->actors[k].exact : 0;
		KUNIT_EXPECT_EQ(test, taken, made);
		KUNIT_EXPECT_EQ(test, given, made);
	}
	KUNIT_EXPECT_EQ(test, ms->heap_objects, 0);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, 0);
	KUNIT_EXPECT_EQ(test, ms->mallocs, mallocs);
	KUNIT_EXPECT_EQ(test, ms->frees, mallocs);
	if (!swept)
		KUNIT_EXPECT_EQ(test, frees, mallocs);
	for (class = 0; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		counted = 0;
		for (i = 0; i < c->nactors; i++)
			counted += c->actors[i].classes[class];
		KUNIT_EXPECT_EQ_MSG(test, ms->by_size[class].frees, ms->by_size[class].mallocs,
				    "class %u", class);
		if (class != GOALLOC_TINY_SIZE_CLASS) {
			KUNIT_EXPECT_EQ_MSG(test, ms->by_size[class].mallocs, counted,
					    "class %u", class);
		} else {
			/* And a block for one tiny object at the least, 16 at most. */
			KUNIT_EXPECT_LE(test, ms->by_size[class].mallocs, counted + tiny);
			KUNIT_EXPECT_GE(test, ms->by_size[class].mallocs, counted + tiny / 16);
		}
	}
	for (i = 0; i < GOALLOC_NUM_FAULTS; i++)
		KUNIT_EXPECT_EQ_MSG(test, atomic64_read(&c->heap->faults[i]), 0, "fault %u", i);

	for (u64 next = GOALLOC_HEAP_BASE; (s = mheap_next_span(c->heap, &next));) {
		used += mspan_bytes(s);
		if (s->place == MSPAN_PARTIAL && s->empty && mspan_all_free(s))
			spares += mspan_bytes(s);
	}
	KUNIT_EXPECT_EQ(test, ms->heap_inuse, used);
	KUNIT_EXPECT_EQ(test, used, spares);
	for (i = 0; c->heap->central && i < GOALLOC_ALL_CENTRALS; i++) {
		KUNIT_EXPECT_LE(test, mcentral_npartial(&c->heap->central[i]),
				c->heap->central[i].maxempty);
		KUNIT_EXPECT_EQ(test, c->heap->central[i].nfull, 0);
	}
	KUNIT_EXPECT_EQ(test, ms->heap_inuse + ms->heap_idle, ms->heap_sys);
	kunit_kfree(test, ms);
}

static void crowd_class_end(void *cls)
{
	goalloc_class_destroy(cls);
}

/* Of some actors a part of the objects is of a class of their own. */
static void crowd_add_classes(struct crowd *c)
{
	static const size_t sizes[CLASSES] = { 1272, 200 };
	u32 i;

	for (i = 0; i < CLASSES; i++) {
		struct goalloc_class *cls = goalloc_class_create(c->heap, "crowd", sizes[i], 0, 0);

		KUNIT_ASSERT_FALSE(c->test, IS_ERR(cls));
		c->classes[c->nclasses++] = cls;
		KUNIT_ASSERT_EQ(c->test, kunit_add_action_or_reset(c->test, crowd_class_end, cls),
				0);
	}
	for (i = 0; i < c->nactors; i++)
		if (i % 3)
			c->actors[i].cls = c->classes[i % 3 - 1];
}

/*
 * Threads that stay, threads that wander, threads that do it in bulk, timers,
 * interrupts: on each CPU.
 */
static struct crowd *crowd_make_exchange(struct kunit *test)
{
	u32 n = 5 * num_online_cpus(), next = SLOTS, i, k;
	struct crowd *c = crowd_make(test, n, SLOTS + n * BULK);
	int cpu;

	for (i = 0; i < SLOTS; i++)
		c->slots[i] = &c->tickets[i];
	for_each_online_cpu(cpu) {
		if (c->nactors + 5 > n)
			break;
		crowd_add(c, MCACHE_TASK, cpu, batch_exchange);
		crowd_add(c, MCACHE_TASK, -1, batch_exchange);
		crowd_add(c, MCACHE_SOFTIRQ, cpu, batch_exchange);
		crowd_add(c, MCACHE_HARDIRQ, cpu, batch_exchange);
		crowd_add(c, MCACHE_TASK, cpu, batch_bulk);
	}
	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		a->hand = &c->tickets[next++];
		if (a->batch != batch_bulk)
			continue;
		a->pile = kunit_kcalloc(test, BULK, sizeof(*a->pile), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, a->pile);
		for (k = 0; k < BULK; k++)
			a->pile[k] = &c->tickets[next++];
	}
	KUNIT_ASSERT_LE(test, next, c->ntickets);
	crowd_add_classes(c);
	return c;
}

static u64 share(u32 percent)
{
	return div_u64((u64)concurrency_ops * percent, 100);
}

/* Everybody at once, in all contexts, all sizes. */
static void concurrency_exchange(struct kunit *test)
{
	struct crowd *c = crowd_make_exchange(test);

	crowd_run(c, share(50), crowd_stir, HZ / 4);
	crowd_drain(c);
	crowd_books(c, false);
}

/* As above, but the mcaches are emptied as fast as it goes. */
static void concurrency_flush(struct kunit *test)
{
	struct crowd *c = crowd_make_exchange(test);
	/* With KCSAN each takes as long as much of the work. */
	u32 least = IS_ENABLED(CONFIG_KCSAN) ? 1 : 4;

	/* The work may be done before the test has its CPU. */
	for (u32 i = 0; i < 10 && c->nflush < least; i++)
		crowd_run(c, share(5), crowd_stir, 1);
	KUNIT_EXPECT_GE(test, c->nflush, least);
	crowd_drain(c);
	crowd_books(c, false);
}

static void produce(struct kunit *test, bool close)
{
	u32 n = num_online_cpus(), i = 0;
	struct ring *rings = kunit_kcalloc(test, n, sizeof(*rings), GFP_KERNEL);
	struct crowd *c;
	int cpu;

	if (n < 2)
		kunit_skip(test, "needs two CPUs");
	KUNIT_ASSERT_NOT_NULL(test, rings);
	c = crowd_make(test, 2 * n, 0);
	for_each_online_cpu(cpu) {
		int next = cpumask_next(cpu, cpu_online_mask);

		/* Close together is one to one: the first two. */
		if (i == (close ? 1 : n))
			break;
		if (next >= nr_cpu_ids)
			next = cpumask_first(cpu_online_mask);
		rings[i].close = close;
		crowd_add(c, MCACHE_TASK, cpu, close ? batch_close : batch_produce)->ring =
			&rings[i];
		crowd_add(c, MCACHE_TASK, next, batch_consume)->ring = &rings[i++];
	}
	crowd_run(c, share(close ? 4 : 10), NULL, HZ);
	for (i = 0; i < c->nactors && !close; i += 2)
		KUNIT_EXPECT_EQ(test, c->actors[i].frees, 0);
	for (i = 0; i < n * RING; i++)
		ticket_drain(&c->actors[0], &rings[i / RING].ticket[i % RING]);
	crowd_books(c, false);
}

/* From each CPU to the next: what is made here is freed there. */
static void concurrency_produce(struct kunit *test)
{
	produce(test, false);
}

/* The same, but so close behind each other that they meet in every word. */
static void concurrency_close(struct kunit *test)
{
	produce(test, true);
}

static void concurrency_larson(struct kunit *test)
{
	u32 n = 2 * num_online_cpus(), npiles = 2 * n, i;
	struct crowd *c = crowd_make(test, n, npiles * PILE);
	struct ticket **all = kunit_kcalloc(test, npiles * PILE, sizeof(*all), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, all);
	c->npiles = npiles - n;
	c->piles = kunit_kcalloc(test, c->npiles, sizeof(*c->piles), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->piles);
	for (i = 0; i < npiles * PILE; i++)
		all[i] = &c->tickets[i];
	for (i = 0; i < n; i++)
		crowd_add(c, MCACHE_TASK, -1, batch_larson)->pile = &all[i * PILE];
	for (; i < npiles; i++)
		c->piles[i - n] = &all[i * PILE];

	crowd_run(c, share(20), crowd_stir, HZ / 4);
	crowd_drain(c);
	crowd_books(c, false);
}

/*
 * CPUs go while threads allocate from wherever they are, and what the dead
 * CPU's mcaches held is used by others.
 */
static void crowd_unplug(struct crowd *c)
{
	int cpu = cpumask_last(cpu_online_mask), ret;

	if (c->nflush++ % 4)
		return;
	ret = remove_cpu(cpu);
	if (!ret) {
		schedule_timeout_uninterruptible(HZ / 4);
		ret = heap_kunit_add_cpu(cpu);
	}
	if (ret)
		wrong(c, "CPU %d: %d", cpu, ret);
}

static void concurrency_cpus(struct kunit *test)
{
	u32 n = 2 * num_online_cpus(), i;
	struct crowd *c;

	if (n < 4)
		kunit_skip(test, "needs two CPUs");
	c = crowd_make(test, n, SLOTS + n);
	for (i = 0; i < SLOTS; i++)
		c->slots[i] = &c->tickets[i];
	for (i = 0; i < n; i++)
		crowd_add(c, MCACHE_TASK, -1, batch_exchange)->hand = &c->tickets[SLOTS + i];
	crowd_run(c, share(5), crowd_unplug, HZ / 8);
	crowd_drain(c);
	crowd_books(c, false);
}

/*
 * Sweeping beside all that. Between two runs everybody stands still: about
 * half of the live objects are marked and a cycle begins. The tickets of the
 * others are thrown away, some of them after a free that may or may not come
 * before the sweep. Then the crowd goes on, and sweeps when it allocates, as
 * the test does beside it. What was marked, and what was made since, must be
 * there; of the rest the books must say at the end that it is gone.
 */
#define SWEEP_ROUNDS	5

/* By 16 bytes: tiny objects of one block share its mark. */
static bool sweep_marked(const struct ticket *t, u64 salt)
{
	return ((unsigned long)t->obj / GOALLOC_TINY_SIZE * 0x9e3779b97f4a7c15ULL ^ salt) >> 40 & 1;
}

/* Frees a third of the objects while others sweep. No one allocates now. */
static bool batch_sweep_free(struct actor *a)
{
	struct crowd *c = a->crowd;
	u64 left = atomic64_dec_return(&c->left);
	struct ticket *t;
	int ret;

	if ((s64)left < 0 || READ_ONCE(c->stop))
		return false;
	t = &c->tickets[left];
	if (!t->obj || rnd64(&a->rnd) % 3)
		return true;
	if (sweep_marked(t, c->seed)) {
		ticket_drain(a, t);
		return true;
	}
	ret = goalloc_try_free(t->obj);
	if (ret && ret != -EALREADY && ret != -ENOENT)
		wrong(c, "free of an object that is swept: %d", ret);
	t->obj = NULL;
	return true;
}

static bool batch_sweep(struct actor *a)
{
	return !READ_ONCE(a->crowd->stop) && atomic64_read(&a->crowd->left) > SLOTS / 4 &&
	       sweepone(a->crowd->heap) != ~0ULL;
}

static void crowd_sweep(struct crowd *c)
{
	u32 i;

	for (i = 0; i < 8 && sweepone(c->heap) != ~0ULL; i++)
		cond_resched();
	crowd_stir(c);
}

static void concurrency_sweep(struct kunit *test)
{
	struct crowd *c = crowd_make_exchange(test);
	struct crowd *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u32 n = num_online_cpus(), i, round, marked, thrown;
	u64 live, before, after, freed = 0;
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	KUNIT_ASSERT_NOT_NULL(test, f);
	/* Those who free and sweep have the other one's tickets. */
	f->actors = kunit_kcalloc(test, 2 * n, sizeof(*f->actors), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, f->actors);
	f->test = test;
	f->whole = true;
	f->heap = c->heap;
	f->tickets = c->tickets;
	f->ntickets = c->ntickets;
	f->seed = c->seed;
	init_waitqueue_head(&f->idle);
	for (i = 0; i < n; i++) {
		crowd_add(f, MCACHE_TASK, -1, batch_sweep_free);
		crowd_add(f, MCACHE_TASK, -1, batch_sweep);
	}

	crowd_run(c, share(1), NULL, HZ);
	for (round = 0; round < SWEEP_ROUNDS; round++) {
		while (sweepone(c->heap) != ~0ULL)
			cond_resched();
		f->seed = rnd64(&c->seed);
		marked = 0;
		thrown = 0;
		for (i = 0; i < c->ntickets; i++) {
			struct ticket *t = &c->tickets[i];

			if (!t->obj || !sweep_marked(t, f->seed))
				continue;
			ret = gc_mark(c->heap, (unsigned long)t->obj);
			if (ret)
				wrong(c, "mark of an object of %u bytes: %d", t->size, ret);
			marked++;
		}
		gc_sweep_start(c->heap);
		crowd_run(f, c->ntickets, NULL, HZ);

		for (i = 0; i < c->ntickets; i++) {
			struct ticket *t = &c->tickets[i];

			if (t->obj && !sweep_marked(t, f->seed)) {
				t->obj = NULL;
				thrown++;
			}
		}
		KUNIT_EXPECT_GT(test, marked, 100);
		KUNIT_EXPECT_GT(test, thrown, 100);
		crowd_run(c, share(1), crowd_sweep, HZ / 50);
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&f->wrong), 0, "first: %s", f->what);
	}
	while (sweepone(c->heap) != ~0ULL)
		cond_resched();
	mcache_flush_all(c->heap);
	for (i = 0, live = 0; i < c->ntickets; i++)
		live += !!c->tickets[i].obj;
	readmemstats(c->heap, ms);
	KUNIT_EXPECT_EQ(test, ms->heap_objects, live);
	before = ms->frees;
	crowd_drain(c);
	readmemstats(c->heap, ms);
	after = ms->frees;
	KUNIT_EXPECT_EQ(test, after - before, live);
	for (i = 0; i < c->nactors; i++)
		freed += c->actors[i].frees;
	for (i = 0; i < f->nactors; i++)
		freed += f->actors[i].frees;
	kunit_info(test, "%u cycles swept %llu objects or more\n", SWEEP_ROUNDS, after - freed);
	KUNIT_EXPECT_GE(test, after, freed);
	/* Refused frees of what was swept before are no fault of anybody's. */
	atomic64_set(&c->heap->faults[GOALLOC_FAULT_DOUBLE], 0);
	crowd_books(c, true);
}

/*
 * Two CPUs free the same objects at the same time. Of each one is told so, the
 * other is refused; or, if the first of them has the span, both are told so, and the
 * second one is found when the span is flushed. Either way the slot is free
 * once.
 */
#define TWICE_OBJS	64
#define TWICE_AT_ONCE	32

struct twice {
	struct kunit *test;
	struct goalloc_heap *heap;
	struct completion done[2];
	atomic_t met;
	bool stop;
	void *objs[TWICE_AT_ONCE];
	int told[2][TWICE_AT_ONCE];
	u32 rounds;
	u64 freed;
	bool more;
	unsigned long end;
	u64 both;
	u64 neither;
	u64 twice;
	u64 strange;
};

struct twice_thread {
	struct twice *t;
	int who;
};

/* Both are here for the @n-th time; false if the other one does not come. */
static bool twice_meet(struct twice *t, u32 n)
{
	unsigned long end = jiffies + 100 * HZ;

	/* What each did before the other one sees, and what it does after comes after. */
	atomic_inc_return_release(&t->met);
	while (atomic_read_acquire(&t->met) < 2 * n) {
		if (READ_ONCE(t->stop))
			return false;
		if (time_after(jiffies, end)) {
			WRITE_ONCE(t->stop, true);
			return false;
		}
		cpu_relax();
	}
	return true;
}

/* So many more of this size: is one of them there twice? */
static void twice_look(struct twice *t, size_t size, u32 flags)
{
	u8 *objs[TWICE_OBJS];
	u32 i, n = size > GOALLOC_MAX_SMALL_SIZE ? 4 : TWICE_OBJS;

	for (i = 0; i < n; i++) {
		objs[i] = goalloc_heap_alloc(t->heap, size, flags, GFP_KERNEL);
		if (objs[i])
			*objs[i] = i;
	}
	for (i = 0; i < n; i++) {
		if (objs[i] && *objs[i] != i)
			t->twice++;
		/* Not a second time then, or the count of faults would not be right. */
		if (objs[i] && *objs[i] == i)
			goalloc_free(objs[i]);
	}
}

static bool twice_refused(int ret)
{
	/* That it was freed before, or that its span is gone already. */
	return ret == -EALREADY || ret == -ENOENT;
}

static void twice_count(struct twice *t)
{
	u32 k;

	for (k = 0; k < TWICE_AT_ONCE; k++) {
		int a = t->told[0][k], b = t->told[1][k];

		if (!t->objs[k])
			continue;
		t->freed++;
		t->both += !a && !b;
		t->neither += a && b;
		t->strange += (a && !twice_refused(a)) || (b && !twice_refused(b));
	}
	t->rounds++;
}

static int twice_thread(void *arg)
{
	static const struct {
		size_t size;
		u32 flags;
	} kinds[] = {
		{ 4, 0 }, { 8, GOALLOC_SCAN }, { 16, GOALLOC_SCAN }, { 96, 0 },
		{ 1024, GOALLOC_SCAN }, { 8192, 0 }, { 40000, 0 },
	};
	struct twice_thread *me = arg;
	struct twice *t = me->t;
	u32 i, n = 0;

	for (i = 0; ; i++) {
		size_t size = kinds[i % ARRAY_SIZE(kinds)].size;
		u32 flags = kinds[i % ARRAY_SIZE(kinds)].flags, delay, k;

		if (!me->who) {
			for (k = 0; k < TWICE_AT_ONCE; k++)
				t->objs[k] = goalloc_heap_alloc(t->heap, size, flags, GFP_KERNEL);
			t->more = !t->rounds || time_before(jiffies, t->end);
		}
		if (!twice_meet(t, ++n) || !t->more)
			break;
		/* Not always in step: who comes a little later differs. */
		for (delay = i % 64 * (1 + me->who) % 64; delay; delay--)
			cpu_relax();
		for (k = 0; k < TWICE_AT_ONCE; k++)
			t->told[me->who][k] = goalloc_try_free(t->objs[k]);
		if (!twice_meet(t, ++n))
			break;
		if (!me->who) {
			twice_count(t);
			twice_look(t, size, flags);
		}
		cond_resched();
	}
	/* The last ones, made when time was up. */
	if (!me->who && !t->more)
		goalloc_free_bulk(TWICE_AT_ONCE, t->objs);
	kthread_complete_and_exit(&t->done[me->who], 0);
}

static void concurrency_twice(struct kunit *test)
{
	struct crowd *c = crowd_make(test, 1, 0);
	struct twice *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	struct twice_thread me[2];
	struct task_struct *task[2];
	int cpu = -1, i;
	s64 refused;

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	t->test = test;
	t->heap = c->heap;
	t->end = jiffies + clamp(concurrency_ops / 1000000, 2UL, 15UL) * HZ;
	for (i = 0; i < 2; i++) {
		me[i] = (struct twice_thread){ .t = t, .who = i };
		init_completion(&t->done[i]);
		task[i] = kthread_create(twice_thread, &me[i], "goalloc_twice/%d", i);
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
	if (!wait_for_completion_timeout(&t->done[0], CASE_SECONDS * HZ) ||
	    !wait_for_completion_timeout(&t->done[1], 30 * HZ)) {
		KUNIT_FAIL(test, "not done");
		WRITE_ONCE(t->stop, true);
	}
	/* They look at @stop whenever they wait: they have an end. */
	for (i = 0; i < 2; i++)
		if (READ_ONCE(t->stop))
			wait_for_completion_timeout(&t->done[i], 30 * HZ);
	KUNIT_EXPECT_FALSE_MSG(test, t->stop, "one of the two did not come");

	mcache_flush_all(c->heap);
	readmemstats(c->heap, ms);
	refused = atomic64_read(&c->heap->faults[GOALLOC_FAULT_DOUBLE]) +
		  atomic64_read(&goalloc_kernel_heap->faults[GOALLOC_FAULT_WILD]);
	kunit_info(test, "%llu objects freed twice, both told so %llu times\n", t->freed, t->both);
	KUNIT_EXPECT_GT(test, t->rounds, 0);
	KUNIT_EXPECT_EQ(test, t->neither, 0);
	KUNIT_EXPECT_EQ(test, t->strange, 0);
	KUNIT_EXPECT_EQ(test, t->twice, 0);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&c->heap->faults[GOALLOC_FAULT_LATE]), t->both);
	KUNIT_EXPECT_GE(test, (u64)refused, t->freed - t->both);
	KUNIT_EXPECT_EQ(test, ms->heap_objects, 0);
	KUNIT_EXPECT_EQ(test, ms->frees, ms->mallocs);
}

/*
 * Heaps come and go while others work. What one CPU makes in its heap a hard
 * interrupt on another one frees one half of.
 */
#define HEAP_OBJS	64

struct heap_work {
	struct actor *a;
	struct ticket t[HEAP_OBJS];
};

static void heap_irq(void *arg)
{
	struct heap_work *w = arg;
	u32 i;

	for (i = 1; i < HEAP_OBJS; i += 2) {
		if (w->t[i].obj && (!ticket_right(&w->t[i]) || goalloc_try_free(w->t[i].obj)))
			wrong(w->a->crowd, "object %llx of %u bytes of a short heap",
			      w->t[i].seq, w->t[i].size);
		w->t[i].obj = NULL;
	}
}

static bool batch_heap(struct actor *a)
{
	const struct goalloc_heap_params params = { .name = "short" };
	struct crowd *c = a->crowd;
	struct goalloc_memstats *ms;
	struct heap_work *w;
	struct actor *b;
	int cpu;
	u32 i;

	if (!a->at || READ_ONCE(c->stop)) {
		/* The others need not go on when all heaps are gone. */
		if (atomic_dec_and_test(&c->nheapers))
			WRITE_ONCE(c->stop, true);
		return false;
	}
	a->at--;
	ms = kzalloc(sizeof(*ms), GFP_KERNEL);
	w = kzalloc(sizeof(*w), GFP_KERNEL);
	b = kmemdup(a, sizeof(*a), GFP_KERNEL);
	if (!ms || !w || !b) {
		wrong(c, "no memory");
		goto out;
	}
	b->heap = goalloc_heap_create(&params);
	if (IS_ERR(b->heap)) {
		wrong(c, "no heap: %ld", PTR_ERR(b->heap));
		goto out;
	}
	w->a = a;
	b->mallocs = 0;
	b->cls = NULL;
	for (i = 0; i < HEAP_OBJS; i++)
		ticket_fill(b, &w->t[i]);
	a->seq = b->seq;
	a->rnd = b->rnd;

	for (i = 0; i < HEAP_OBJS; i += 2)
		ticket_drain(b, &w->t[i]);
	cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	smp_call_function_single(cpu < nr_cpu_ids ? cpu : 0, heap_irq, w, 1);

	readmemstats(b->heap, ms);
	if (ms->heap_objects || ms->mallocs != b->mallocs || ms->frees != b->mallocs)
		wrong(c, "a short heap with %llu objects made has %llu mallocs, %llu frees",
		      b->mallocs, ms->mallocs, ms->frees);
	goalloc_heap_destroy(b->heap);
	a->made++;
out:
	kfree(b);
	kfree(w);
	kfree(ms);
	return true;
}

static void concurrency_heaps(struct kunit *test)
{
	struct crowd *c = crowd_make_exchange(test);
	u32 i, n = 0, all, made = 0;

	/* Those who wander make heaps instead. */
	all = clamp(concurrency_ops / 500000, 5UL, 20UL);
	for (i = 0; i < c->nactors; i++) {
		struct actor *a = &c->actors[i];

		if (a->ctx == MCACHE_TASK && a->cpu < 0) {
			a->batch = batch_heap;
			a->at = all;
			n++;
		}
	}
	atomic_set(&c->nheapers, n);
	c->whole = true;
	crowd_run(c, S64_MAX / 2, NULL, HZ);
	for (i = 0; i < c->nactors; i++)
		made += c->actors[i].made;
	kunit_info(test, "%u heaps\n", made);
	KUNIT_EXPECT_EQ(test, made, n * all);
	crowd_drain(c);
	crowd_books(c, false);
}

static struct kunit_case concurrency_cases[] = {
	KUNIT_CASE_SLOW(concurrency_exchange),
	KUNIT_CASE_SLOW(concurrency_flush),
	KUNIT_CASE_SLOW(concurrency_produce),
	KUNIT_CASE_SLOW(concurrency_close),
	KUNIT_CASE_SLOW(concurrency_larson),
	KUNIT_CASE_SLOW(concurrency_cpus),
	KUNIT_CASE_SLOW(concurrency_sweep),
	KUNIT_CASE_SLOW(concurrency_twice),
	KUNIT_CASE_SLOW(concurrency_heaps),
	{}
};

static struct kunit_suite concurrency_suite = {
	.name = "goalloc_concurrency",
	.test_cases = concurrency_cases,
};

kunit_test_suite(concurrency_suite);
