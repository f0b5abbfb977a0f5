// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random work by many at once: on every CPU tasks, softirqs and hardirqs that allocate
 * and free as they like, each after its own sequence of random numbers, and hand
 * objects on to each other. What must be true of an object is in random_model.c;
 * scripts, one operation after the other, are in random_script.c.
 *
 * A program (machines/random.c) tells it what to do by the file control in debugfs:
 *
 *	start LANES SLOTS MIB SEED	so many tasks, softirqs and hardirqs, with so many
 *					objects each, and MIB together
 *	run MILLISECONDS OPERATIONS	until either is over, then everything is looked at
 *	race				the same objects freed by all at the same time
 *	sweep HEAP PERCENT NUMBER	a cycle in which so many objects are marked;
 *					needs a kernel with KUnit
 *	swept				to the end of the cycles
 *	end				all objects, classes and heaps go
 *	tight				limits are low from now on, or no longer
 *	plant HEAP			scripts write to an object they do not have
 *	reset				as if nothing had been done
 *
 * What came of it is in the files result and books.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "commands.h"
#include "random_model.h"

#define LANES_MAX	16
#define CELLS		1024
#define TASK_STEPS	64	/* between two looks at the rest of the world */
#define SOFT_STEPS	32
#define HARD_STEPS	16
#define SHARED_CLASSES	6
#define SHARED_FIRST	100	/* and from here on they count */
#define RACE_MAX	4096
#define RACE_IRQ	64

/* How sizes are chosen. */
enum sizes {
	SIZES_TINY,
	SIZES_ONE,
	SIZES_SMALL,
	SIZES_LOG,
	SIZES_MEDIUM,
	SIZES_LARGE,
	SIZES_HUGE,
};

/* Where an object waits for somebody else. Nobody waits for a cell. */
struct cell {
	atomic_t taken;
	struct slot slot;
} ____cacheline_aligned;

struct race {
	void *p;
	u32 size;
	atomic_t won;
};

/* For the look at everything: who lies where. */
struct place {
	u8 *p;
	u32 usable;
};

static struct dentry *dir;
static struct cell *cells;
static struct lane *task_lanes[LANES_MAX];
static struct lane *soft_lanes[LANES_MAX];
static struct lane *hard_lanes[LANES_MAX];
static u32 nlanes;
static struct model_class shared_classes[SHARED_CLASSES];

static DECLARE_WAIT_QUEUE_HEAD(idle);
static atomic_t running;
static unsigned long deadline;

static struct race *racers;
static u32 nracers;
static bool racing;
static atomic64_t race_extra;
static atomic64_t race_wild;
static atomic64_t nmis;
static atomic64_t pokes;
static u64 rounds, looked;

static void pick_weather(struct lane *l)
{
	static const u16 chances[] = { 24, 64, 128, 160, 200, 250 };
	struct weather *w = &l->weather;
	u64 r = model_random(&l->random);

	w->free = chances[(r & 255) % ARRAY_SIZE(chances)];
	w->alloc = chances[(r >> 8 & 255) % ARRAY_SIZE(chances)];
	w->sizes = (r >> 16 & 255) % (SIZES_MEDIUM + 1);
	if (!(r >> 24 & 15))
		w->sizes = SIZES_LARGE;
	w->size = 16U << (r >> 28 & 7);
	w->size += (r >> 32) % w->size;
	w->heap = r >> 56 & 3;
	w->left = 64 + (r >> 40 & 1023);
}

static __always_inline u32 pick_size(struct lane *l, u64 r)
{
	u32 more = r >> 32, size;
	u8 sizes = l->weather.sizes;

	/* Now and then another one. */
	if (!(r >> 24 & 31))
		sizes = r >> 29 & 3 ? SIZES_LOG : (more & 31) ? SIZES_TINY :
			(more & 1023) ? SIZES_LARGE : SIZES_HUGE;
	switch (sizes) {
	case SIZES_TINY:
		size = 1 + more % 15;
		break;
	case SIZES_ONE:
		size = l->weather.size - more % (l->weather.size / 4);
		break;
	case SIZES_SMALL:
		size = 16 + (more & 511);
		break;
	case SIZES_LOG:
		size = 1U << (more % 15);
		size += (more >> 4) & (size - 1);
		break;
	case SIZES_MEDIUM:
		size = 1024 + (more & 32767) % 31745;
		break;
	case SIZES_LARGE:
		size = 32769 + (more & 0x3ffff);
		break;
	default:
		size = (1 << 20) + (more >> 10) % (3 << 20);
		break;
	}
	if (l->bytes + size > l->budget)
		size = 1 + (size & 127);
	return size;
}

static __always_inline u8 pick_flags(u64 r)
{
	u8 flags = RANDOM_TRY;

	if (!(r >> 40 & 7))
		flags |= RANDOM_ZERO;
	if (!(r >> 43 & 3))
		flags |= RANDOM_SCAN;
	if (!(r >> 45 & 7))
		flags |= RANDOM_ATOMIC;
	if (r >> 48 & 1)
		flags |= RANDOM_OWN;
	return flags;
}

static __always_inline u8 pick_heap(struct lane *l, u64 r)
{
	if (!(r >> 50 & 15) && l->own_heap)
		return l->own_heap;
	return r >> 54 & 3 ? l->weather.heap : r >> 56 & 3;
}

/* Exchanges what is in a slot with a cell, which others see. */
static void exchange(struct lane *l, struct slot *s, u32 which)
{
	struct cell *c = &cells[which % CELLS];
	struct slot other;

	if ((s->p && s->own) || atomic_cmpxchg_acquire(&c->taken, 0, 1))
		return;
	other = c->slot;
	c->slot = *s;
	atomic_set_release(&c->taken, 0);
	if (s->p) {
		l->bytes -= s->usable;
		lane_trace(l, RANDOM_NOTHING, s->heap, s - l->slots, s->size, s->p);
	}
	*s = other;
	if (s->p)
		l->bytes += s->usable;
}

static void class_alloc(struct lane *l, struct slot *s, u64 r, u8 flags)
{
	u32 i = r >> 32 & 0xffff, n = 1 + (r >> 52 & 31);
	struct model_class *c;
	u8 cls;

	if (i & 1 && l->classes[(i >> 1) % RANDOM_CLASSES].cls) {
		i = (i >> 1) % RANDOM_CLASSES;
		c = &l->classes[i];
		cls = i + 1;
	} else {
		i = (i >> 1) % SHARED_CLASSES;
		c = &shared_classes[i];
		cls = SHARED_FIRST + i;
		if (!c->cls)
			return;
	}
	/* As often as many of a size are made at once. */
	if (r >> 48 & 15 || c->size > 2048)
		lane_class_alloc(l, s, c, cls, flags);
	else
		lane_class_alloc_bulk(l, s, n, c, cls, flags);
}

static void step_full(struct lane *l, struct slot *s, u64 r)
{
	static const u8 bads[] = {
		RANDOM_BAD_INSIDE, RANDOM_BAD_INSIDE, RANDOM_BAD_WILD, RANDOM_BAD_OTHERS,
		RANDOM_BAD_NOTHING, RANDOM_BAD_HUGE, RANDOM_BAD_FLAG, RANDOM_BAD_INSIDE,
	};

	switch (r >> 8 & 15) {
	case 0:
		lane_realloc(l, s, pick_size(l, r), pick_flags(r));
		break;
	case 1:
		if (r >> 12 & 1)
			lane_bad(l, s, bads[r >> 40 & 7], r >> 43);
		else
			lane_free_bulk(l, s, 1 + (r >> 40 & 31));
		break;
	case 2 ... 7:
		exchange(l, s, r >> 32);
		break;
	default:
		lane_look(l, s);
		break;
	}
}

static void step_empty(struct lane *l, struct slot *s, u64 r)
{
	u8 flags = pick_flags(r);

	switch (r >> 8 & 31) {
	case 0:
		lane_alloc_bulk(l, s, 1 + (r >> 27 & 31), pick_heap(l, r),
				min(pick_size(l, r), 2048U), flags);
		break;
	case 1 ... 3:
		class_alloc(l, s, r, flags);
		break;
	case 4 ... 5:
		lane_const_alloc(l, s, l->bytes < l->budget ? r >> 32 : 0, flags);
		break;
	default:
		lane_alloc(l, s, pick_heap(l, r), pick_size(l, r), flags);
		break;
	}
}

static __always_inline void step(struct lane *l)
{
	u64 r = model_random(&l->random);
	struct slot *s = &l->slots[(r >> 13) & l->mask];
	u32 chance = r & 255;

	if (s->p) {
		if (chance < l->weather.free)
			lane_free(l, s, r >> 60 ? RANDOM_TRY : 0);
		else
			step_full(l, s, r);
	} else if (chance < l->weather.alloc) {
		step_empty(l, s, r);
	} else {
		exchange(l, s, r >> 32);
	}
}

static void steps(struct lane *l, u32 n)
{
	if (!l->weather.left--)
		pick_weather(l);
	for (; n && !READ_ONCE(model_stop); n--)
		step(l);
}

/* Some of the objects that all free at the same time. */
static void race(struct lane *l, u32 from, u32 stride, u32 n)
{
	for (; n; n--, from += stride) {
		struct race *r = &racers[from % nracers];
		int err = goalloc_try_free(r->p);

		l->ops++;
		if (!err)
			atomic_inc(&r->won);
		else if (err == -ENOENT)
			atomic64_inc(&race_wild);
		else if (err != -EALREADY)
			model_wrong(l, r->p, "one of several frees of %u bytes says %d", r->size,
				    err);
	}
}

/* Interrupts. */

#if defined(CONFIG_X86) && !defined(CONFIG_UML)
/* From there nothing is to be had, and nothing may break. */
static int in_nmi_handler(unsigned int type, struct pt_regs *regs)
{
	static const u16 sizes[] = { 8, 13, 64, 1000, 20000, 50000 };
	struct lane *l = hard_lanes[0];
	u32 i;

	for (i = 0; l && i < ARRAY_SIZE(sizes); i++)
		if (goalloc_alloc(sizes[i], GFP_ATOMIC | __GFP_NOWARN) ||
		    goalloc_heap_alloc(model_heaps[1].heap, sizes[i], 0, GFP_ATOMIC))
			model_wrong(l, NULL, "%u bytes from NMI", sizes[i]);
	atomic64_inc(&nmis);
	return NMI_HANDLED;
}

static void nmi_here(void)
{
	asm volatile("int $2" : : : "memory");
}

static int nmis_begin(void)
{
	return register_nmi_handler(NMI_LOCAL, in_nmi_handler, 0, "goalloc_random");
}

static void nmis_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "goalloc_random");
}
#else
static void nmi_here(void)
{
}

static int nmis_begin(void)
{
	return 0;
}

static void nmis_end(void)
{
}
#endif

static void in_softirq_work(struct tasklet_struct *t)
{
	struct lane *l = container_of(t, struct lane, tasklet);

	if (READ_ONCE(racing))
		race(l, model_random(&l->random) % nracers, 1, RACE_IRQ);
	else
		steps(l, SOFT_STEPS);
}

static void in_hardirq_work(struct lane *l)
{
	u64 r = model_random(&l->random);

	if (READ_ONCE(racing))
		race(l, r % nracers, 1, RACE_IRQ);
	else
		steps(l, HARD_STEPS);
	if (!(r >> 32 & 255))
		nmi_here();
	if (!(r >> 40 & 1))
		tasklet_schedule(&soft_lanes[(r >> 42) % nlanes]->tasklet);
	/* From here on somebody else may send it elsewhere. */
	atomic_set_release(&l->away, 0);
}

#ifdef CONFIG_SMP
static void hard_irq_work(struct irq_work *work)
{
	in_hardirq_work(container_of(work, struct lane, irq_work));
}

/* What is called on an idle CPU need not be in an interrupt yet. */
static void hard_arrived(void *data)
{
	struct lane *l = data;

	irq_work_queue(&l->irq_work);
}

static void hard_init(struct lane *l)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		l->irq_work = IRQ_WORK_INIT_HARD(hard_irq_work);
	else
		init_irq_work(&l->irq_work, hard_irq_work);
	INIT_CSD(&l->csd, hard_arrived, l);
}

/* On any CPU that is there, at whatever instruction it is. */
static void hard_send(struct lane *l, u64 r)
{
	preempt_disable();
	/* One that has gone has its own instead. */
	if (smp_call_function_single_async((u32)r % nr_cpu_ids, &l->csd))
		irq_work_queue(&l->irq_work);
	preempt_enable();
}

static void hard_end(struct lane *l)
{
	while (atomic_read_acquire(&l->away))
		usleep_range(100, 1000);
	irq_work_sync(&l->irq_work);
}
#else
static enum hrtimer_restart hard_timer(struct hrtimer *timer)
{
	in_hardirq_work(container_of(timer, struct lane, timer));
	return HRTIMER_NORESTART;
}

static void hard_init(struct lane *l)
{
	hrtimer_init(&l->timer, CLOCK_MONOTONIC, MODEL_HARD);
	l->timer.function = hard_timer;
}

static void hard_send(struct lane *l, u64 r)
{
	hrtimer_start(&l->timer, ns_to_ktime(r & 0x7ffff), MODEL_HARD);
}

static void hard_end(struct lane *l)
{
	while (atomic_read_acquire(&l->away))
		usleep_range(100, 1000);
	hrtimer_cancel(&l->timer);
}
#endif

static void poke(struct lane *l)
{
	u64 r = model_random(&l->random);
	struct lane *hard = hard_lanes[(r >> 32) % nlanes];

	/* It is not sent to two places. */
	if (atomic_xchg(&hard->away, 1))
		return;
	atomic64_inc(&pokes);
	hard_send(hard, r);
}

/* Tasks. */

/* Heaps and classes of its own come and go. */
static void change_own(struct lane *l)
{
	u64 r = model_random(&l->random);
	u32 i = r >> 8 & (RANDOM_CLASSES - 1);
	u8 heap = RANDOM_HEAPS + l->id;
	char name[16];

	switch (r & 15) {
	case 0:
		if (!l->own_heap) {
			snprintf(name, sizeof(name), "own%u", l->id);
			model_heap_make(l, heap, name);
			l->own_heap = model_stop ? 0 : heap;
		} else if (r >> 20 & 1) {
			lane_free_heap(l, heap);
			l->own_heap = 0;
			goalloc_heap_destroy(model_heaps[heap].heap);
			model_heaps[heap] = (struct model_heap){};
			memset(&l->counts[heap], 0, sizeof(l->counts[heap]));
		}
		l->ops++;
		break;
	case 1:
	case 2:
		if (l->classes[i].cls)
			lane_class_end(l, i);
		else
			lane_class_make(l, &l->classes[i],
					l->own_heap && r >> 20 & 1 ? l->own_heap : r >> 21 & 3,
					1 + (r >> 24) % (r >> 60 ? 3000 : MODEL_MAX_SMALL),
					1U << (r >> 56) % 8, r >> 22 & 1);
		break;
	default:
		break;
	}
}

/* Elsewhere from now on, or anywhere. */
static void move(struct lane *l)
{
	u64 r = model_random(&l->random);
	int cpu = (u32)r % nr_cpu_ids;

	if (r >> 32 & 3 || !cpu_online(cpu))
		set_cpus_allowed_ptr(current, cpu_possible_mask);
	else
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
}

static int task_thread(void *data)
{
	struct lane *l = data;
	u32 i = 0;

	if (READ_ONCE(racing)) {
		/* All begin together, each somewhere else, and end together. */
		if (atomic_dec_return(&running) == (int)nlanes)
			wake_up_all(&idle);
		wait_event(idle, atomic_read(&running) <= (int)nlanes || READ_ONCE(model_stop));
		poke(l);
		race(l, 0, 1 + 2 * (l->id & 1), nracers);
		race(l, l->id * (nracers / nlanes), 1, nracers);
	}
	while (!READ_ONCE(racing) && !READ_ONCE(model_stop) && l->ops < l->quota &&
	       time_before(jiffies, READ_ONCE(deadline))) {
		steps(l, TASK_STEPS);
		poke(l);
		if (!(++i & 255)) {
			change_own(l);
			move(l);
		}
		cond_resched();
	}
	if (atomic_dec_and_test(&running))
		wake_up(&idle);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 0;
}

/* Nobody does anything any more. */
static void quiesce(void)
{
	u32 i;

	for (i = 0; i < nlanes; i++)
		hard_end(hard_lanes[i]);
	for (i = 0; i < nlanes; i++)
		tasklet_kill(&soft_lanes[i]->tasklet);
}

static int run_threads(u32 count)
{
	int err = 0;
	u32 i;

	atomic_set(&running, count);
	for (i = 0; i < nlanes; i++) {
		struct lane *l = task_lanes[i];

		l->task = kthread_create(task_thread, l, "random/%u", i);
		if (IS_ERR(l->task)) {
			err = PTR_ERR(l->task);
			break;
		}
		get_task_struct(l->task);
	}
	if (err) {
		while (i--) {
			kthread_stop(task_lanes[i]->task);
			put_task_struct(task_lanes[i]->task);
		}
		return err;
	}
	for (i = 0; i < nlanes; i++)
		wake_up_process(task_lanes[i]->task);
	if (wait_event_killable(idle, !atomic_read(&running))) {
		WRITE_ONCE(model_stop, true);
		wake_up_all(&idle);
		err = -EINTR;
	}
	for (i = 0; i < nlanes; i++) {
		kthread_stop(task_lanes[i]->task);
		put_task_struct(task_lanes[i]->task);
	}
	quiesce();
	return err;
}

/* Everybody stands still: everything is looked at. */

/* The slots of all lanes and of the cells, one after the other; NULL at the end. */
static struct slot *slot_number(u64 n)
{
	u32 i;

	for (i = 0; i < 3 * nlanes; i++) {
		struct lane **of = i < nlanes ? task_lanes :
				   i < 2 * nlanes ? soft_lanes : hard_lanes;
		struct lane *l = of[i % nlanes];

		if (n <= l->mask)
			return &l->slots[n];
		n -= l->mask + 1;
	}
	return n < CELLS ? &cells[n].slot : NULL;
}

static int place_cmp(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->p < y->p ? -1 : x->p > y->p;
}

static void look_at_all(void)
{
	struct lane *l = task_lanes[0];
	struct place *places;
	struct slot *s;
	u64 n, found = 0;

	for (n = 0; slot_number(n); n++)
		found += !!slot_number(n)->p;
	places = kvmalloc_array(found + 1, sizeof(*places), GFP_KERNEL);
	found = 0;
	for (n = 0; (s = slot_number(n)); n++) {
		if (!s->p)
			continue;
		if (!model_check(s))
			model_wrong(l, s->p, "at rest: an object of %u bytes is not as it was",
				    s->size);
		if (places)
			places[found++] = (struct place){ s->p, s->usable };
		if (!(n & 1023))
			cond_resched();
	}
	looked += found;
	if (!places)
		return;
	sort(places, found, sizeof(*places), place_cmp, NULL);
	for (n = 1; n < found; n++)
		if (places[n - 1].p + places[n - 1].usable > places[n].p)
			model_wrong(l, places[n].p, "an object of %u bytes begins in one of %u",
				    places[n].usable, places[n - 1].usable);
	kvfree(places);
}

/* What is told to it. */

static void end_lanes(struct lane **of)
{
	u32 i;

	for (i = 0; i < LANES_MAX; i++) {
		lane_end(of[i]);
		of[i] = NULL;
	}
}

static void end(void)
{
	struct slot *s;
	u64 n;
	u32 i, k;

	if (!nlanes)
		return;
	/* Own classes and heaps with what is in them, then what is left. */
	for (i = 0; i < nlanes; i++) {
		struct lane *l = task_lanes[i];

		for (k = 0; k < RANDOM_CLASSES; k++)
			lane_class_end(l, k);
		if (!l->own_heap)
			continue;
		lane_free_heap(l, l->own_heap);
		goalloc_heap_destroy(model_heaps[l->own_heap].heap);
		model_heaps[l->own_heap] = (struct model_heap){};
		l->own_heap = 0;
	}
	for (n = 0; (s = slot_number(n)); n++) {
		if (!s->p)
			continue;
		goalloc_free(s->p);
		task_lanes[0]->counts[s->heap].frees[s->kind]++;
		s->p = NULL;
		if (!(n & 255))
			cond_resched();
	}
	for (i = 0; i < SHARED_CLASSES; i++)
		if (shared_classes[i].cls)
			goalloc_class_destroy(shared_classes[i].cls);
	memset(shared_classes, 0, sizeof(shared_classes));
}

static void end_all(void)
{
	u32 i;

	end();
	for (i = 1; i < RANDOM_HEAPS && nlanes; i++) {
		if (model_heaps[i].there)
			goalloc_heap_destroy(model_heaps[i].heap);
		model_heaps[i] = (struct model_heap){};
	}
	end_lanes(task_lanes);
	end_lanes(soft_lanes);
	end_lanes(hard_lanes);
	nlanes = 0;
}

static struct lane *start_lane(u32 id, enum random_context context, u32 slots, u64 bytes, u64 seed)
{
	struct lane *l = lane_make(id, context, slots, false);

	if (!l)
		return NULL;
	l->budget = bytes;
	l->random = seed * 0x9e3779b97f4a7c15ULL + (id + 1) * 0xbf58476d1ce4e5b9ULL;
	l->random |= 1ULL << 33;
	model_random(&l->random);
	tasklet_setup(&l->tasklet, in_softirq_work);
	if (context == RANDOM_HARDIRQ)
		hard_init(l);
	return l;
}

static int start(u32 count, u32 slots, u64 bytes, u64 seed)
{
	static const struct { u32 size, align; bool scan; } classes[SHARED_CLASSES] = {
		{ 24, 0 }, { 56, 8, true }, { 200, 64 }, { 1000, 0 }, { 5000, 512 }, { 70, 2 },
	};
	char name[16];
	u32 i;

	if (nlanes || !count || count > LANES_MAX || slots < 64 || slots & (slots - 1))
		return -EINVAL;
	script_reset();
	bytes /= count;
	for (i = 0; i < count; i++) {
		task_lanes[i] = start_lane(i, RANDOM_TASK, slots, bytes / 4 * 3, seed);
		soft_lanes[i] = start_lane(count + i, RANDOM_SOFTIRQ, slots / 4, bytes / 8, seed);
		hard_lanes[i] = start_lane(2 * count + i, RANDOM_HARDIRQ, slots / 4, bytes / 8,
					   seed);
		if (!task_lanes[i] || !soft_lanes[i] || !hard_lanes[i]) {
			end_all();
			return -ENOMEM;
		}
	}
	for (i = 1; i < RANDOM_HEAPS; i++) {
		snprintf(name, sizeof(name), "random%u", i);
		model_heap_make(task_lanes[0], i, name);
	}
	nlanes = count;
	for (i = 0; i < SHARED_CLASSES; i++)
		lane_class_make(task_lanes[0], &shared_classes[i], i % RANDOM_HEAPS,
				classes[i].size, classes[i].align, classes[i].scan);
	rounds = 0;
	looked = 0;
	atomic64_set(&pokes, 0);
	atomic64_set(&race_extra, 0);
	atomic64_set(&race_wild, 0);
	return model_stop ? -EIO : 0;
}

static int run(u32 ms, u64 ops)
{
	int err;
	u32 i;

	if (!nlanes)
		return -ENOENT;
	deadline = jiffies + msecs_to_jiffies(ms);
	for (i = 0; i < nlanes; i++)
		task_lanes[i]->quota = task_lanes[i]->ops + ops / nlanes + 1;
	err = run_threads(nlanes);
	if (!err)
		look_at_all();
	rounds++;
	return err;
}

/* The same objects are freed by everybody: one of them succeeds. */
static int race_all(void)
{
	struct slot *s;
	int err = 0;
	u64 n;
	u32 i;

	if (!nlanes)
		return -ENOENT;
	racers = kvcalloc(RACE_MAX, sizeof(*racers), GFP_KERNEL);
	if (!racers)
		return -ENOMEM;
	nracers = 0;
	for (n = 0; (s = slot_number(n)) && nracers < RACE_MAX; n++) {
		if (!s->p || s->own)
			continue;
		racers[nracers].p = s->p;
		racers[nracers++].size = s->size;
		task_lanes[0]->counts[s->heap].frees[s->kind]++;
		s->p = NULL;
	}
	if (nracers) {
		WRITE_ONCE(racing, true);
		err = run_threads(2 * nlanes);
		WRITE_ONCE(racing, false);
	}
	for (i = 0; i < nracers && !err; i++) {
		int won = atomic_read(&racers[i].won);

		if (!won)
			model_wrong(task_lanes[0], racers[i].p, "nobody could free %u bytes",
				    racers[i].size);
		else
			atomic64_add(won - 1, &race_extra);
	}
	for (i = 0; i < nlanes; i++) {
		struct lane *l = task_lanes[i];

		for (n = 0, l->bytes = 0; n <= l->mask; n++)
			l->bytes += l->slots[n].p ? l->slots[n].usable : 0;
	}
	kvfree(racers);
	racers = NULL;
	return err;
}

static int sweep_all(u8 heap, u32 percent, u32 number)
{
	struct slot *s;
	u32 i;

	if (!IS_ENABLED(CONFIG_KUNIT))
		return -EOPNOTSUPP;
	if (!nlanes || !heap || heap >= RANDOM_HEAPS)
		return -EINVAL;
	/* In the cells nothing is marked by anybody. */
	for (i = 0; i < CELLS; i++) {
		s = &cells[i].slot;
		if (!s->p || s->heap != heap)
			continue;
		lane_trace(task_lanes[0], RANDOM_FREE, heap, i, s->size, s->p);
		goalloc_free(s->p);
		task_lanes[0]->counts[heap].frees[s->kind]++;
		s->p = NULL;
	}
	while (model_sweep_one(heap))
		cond_resched();
	for (i = 0; i < nlanes; i++) {
		lane_mark(task_lanes[i], heap, percent, number);
		lane_mark(soft_lanes[i], heap, percent, number);
		lane_mark(hard_lanes[i], heap, percent, number);
	}
	model_sweep_start(heap);
	for (i = 0; i < nlanes; i++) {
		lane_forget(task_lanes[i], heap, percent, number);
		lane_forget(soft_lanes[i], heap, percent, number);
		lane_forget(hard_lanes[i], heap, percent, number);
	}
	return 0;
}

static int swept(void)
{
	u32 i;

	for (i = 1; i < RANDOM_HEAPS; i++)
		while (model_heaps[i].there && model_sweep_one(i))
			cond_resched();
	return 0;
}

static int before(const struct order *o)
{
	return model_stop && strcmp(o->verb, "reset") ? -EIO : 0;
}

static int do_start(const struct order *o)
{
	return start(o->numbers[0], o->numbers[1], o->numbers[2] << 20, o->numbers[3]);
}

static int do_run(const struct order *o)
{
	return run(o->numbers[0], o->numbers[1]);
}

static int do_race(const struct order *o)
{
	return race_all();
}

static int do_sweep(const struct order *o)
{
	return sweep_all(o->numbers[0], o->numbers[1], o->numbers[2]);
}

static int do_swept(const struct order *o)
{
	return swept();
}

static int do_end(const struct order *o)
{
	end();
	return 0;
}

static int do_tight(const struct order *o)
{
	atomic_inc(&model_tight);
	return 0;
}

static int do_plant(const struct order *o)
{
	model_plant = o->numbers[0];
	return 0;
}

static int do_reset(const struct order *o)
{
	end_all();
	script_reset();
	model_reset();
	return 0;
}

static const struct command table[] = {
	{ "start",	do_start,	.numbers = 4 },
	{ "run",	do_run,		.numbers = 2 },
	{ "race",	do_race },
	{ "sweep",	do_sweep,	.numbers = 3 },
	{ "swept",	do_swept },
	{ "end",	do_end },
	{ "tight",	do_tight,	.meanwhile = true },
	{ "plant",	do_plant,	.numbers = 1 },
	{ "reset",	do_reset },
	{ }
};

static struct commands commands = {
	.name	= "control",
	.table	= table,
	.before	= before,
};

static void add_lane(const struct lane *l, u64 *ops, u64 *objects, u64 *refused)
{
	if (!l)
		return;
	*ops += READ_ONCE(l->ops);
	*objects += READ_ONCE(l->objects);
	*refused += READ_ONCE(l->refused);
}

static int result_show(struct seq_file *m, void *v)
{
	u64 ops = 0, objects = 0, refused = 0;
	u32 i;

	for (i = 0; i < nlanes; i++) {
		add_lane(task_lanes[i], &ops, &objects, &refused);
		add_lane(soft_lanes[i], &ops, &objects, &refused);
		add_lane(hard_lanes[i], &ops, &objects, &refused);
	}
	add_lane(script_lane(), &ops, &objects, &refused);
	seq_printf(m, "operations %llu\nobjects %llu\nrefused %llu\nrounds %llu\nlooked %llu\n",
		   ops, objects, refused, rounds, looked);
	seq_printf(m, "pokes %lld\nnmis %lld\nextra %lld\nfailed %u\n",
		   (s64)atomic64_read(&pokes), (s64)atomic64_read(&nmis),
		   (s64)atomic64_read(&race_extra), model_report()[0] != 0);
	seq_puts(m, model_report());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static void add_counts(struct model_counts *sum, const struct lane *l, u32 heap)
{
	u32 k;

	if (!l)
		return;
	for (k = 0; k < MODEL_KINDS; k++) {
		sum->mallocs[k] += l->counts[heap].mallocs[k];
		sum->frees[k] += l->counts[heap].frees[k];
	}
	sum->stray += l->counts[heap].stray;
	sum->wild += l->counts[heap].wild;
}

/*
 * What the books must be, while nobody does anything: of each heap what was made and
 * freed, in all, by size class, tiny and exact, and what was freed wrongly.
 */
static int books_show(struct seq_file *m, void *v)
{
	struct model_counts *sum = kzalloc(sizeof(*sum), GFP_KERNEL);
	u64 mallocs, frees;
	u32 heap, i, k;

	if (!sum)
		return -ENOMEM;
	for (heap = 0; heap < RANDOM_HEAPS; heap++) {
		if (!model_heaps[heap].there)
			continue;
		memset(sum, 0, sizeof(*sum));
		for (i = 0; i < nlanes; i++) {
			add_counts(sum, task_lanes[i], heap);
			add_counts(sum, soft_lanes[i], heap);
			add_counts(sum, hard_lanes[i], heap);
		}
		add_counts(sum, script_lane(), heap);
		if (!heap)
			sum->wild += atomic64_read(&race_wild);
		for (mallocs = 0, frees = 0, k = 0; k < MODEL_KINDS; k++) {
			mallocs += sum->mallocs[k];
			frees += sum->frees[k];
		}
		seq_printf(m, "heap%u %llu %llu %llu %llu\n", heap, mallocs, frees, sum->stray,
			   sum->wild);
		for (k = 0; k < MODEL_KINDS; k++)
			seq_printf(m, "heap%u.%u %llu %llu\n", heap, k, sum->mallocs[k],
				   sum->frees[k]);
	}
	kfree(sum);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(books);

static int __init work_init(void)
{
	int err = model_init();

	if (err)
		return err;
	cells = kvcalloc(CELLS, sizeof(*cells), GFP_KERNEL);
	dir = debugfs_create_dir("goalloc_random", NULL);
	err = cells ? script_init(dir) : -ENOMEM;
	if (!err)
		err = nmis_begin();
	if (err) {
		debugfs_remove(dir);
		kvfree(cells);
		if (script_lane())
			script_exit();
		model_exit();
		return err;
	}
	commands_begin(&commands, dir);
	debugfs_create_file("result", 0400, dir, NULL, &result_fops);
	debugfs_create_file("books", 0400, dir, NULL, &books_fops);
	return 0;
}

static void __exit work_exit(void)
{
	debugfs_remove(dir);
	end_all();
	nmis_end();
	script_exit();
	kvfree(cells);
	model_exit();
}

module_init(work_init);
module_exit(work_exit);

MODULE_DESCRIPTION("Random work, and a model of what must come of it");
MODULE_LICENSE("GPL");
