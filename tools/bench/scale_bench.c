// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often locks are taken, and how often somebody else has them. Loading the
 * module does one kind of work on all CPUs, on a heap of its own; what it found is
 * in debugfs, in goalloc_scale_bench, a line for each row with tabs between:
 *
 *	locks <work> <CPUs> mcentral <slot> <allocations> <locks> <contended> <spans>
 *	locks <work> <CPUs> mcentral - <allocations> <locks> <contended> <spans>
 *	locks <work> <CPUs> heap - <allocations> <locks> <contended> <spans>
 *
 * A line of mcentral for each class of objects the work has, by the bytes of a slot,
 * one for all of them and one for the page heap. An allocation is counted with the free
 * of its object, once. These are counts, not times: any machine will do, and QEMU
 * without -icount.
 *
 * The works, each with a thread bound to each CPU unless something else is said:
 *
 *	private		A thread has 1024 objects and replaces one of them at random: frees
 *			it, makes another.
 *	private-many	The same with 16384 objects.
 *	pairs		Of two CPUs one makes objects and the other one frees them, first
 *			in, first out; up to 256 are on their way in a ring. He who finds the
 *			ring full or empty sleeps until it is half so.
 *	pairs-deep	The same with 4096.
 *	larson		Each thread has an array of 1024 objects, replaces 1024 times one
 *			at random, and hands the array to the next CPU's thread.
 *	softirq		A softirq makes a burst of 64 objects, as a driver fills its
 *			ring; the task of the same CPU frees the oldest ones when more than
 *			256 wait, as a socket's owner does.
 *	stress		For correctness, not for counting: everybody exchanges objects
 *			with everybody, of all sizes, one by one or in bulk, zeroed or
 *			not, from tasks, softirqs and hardirqs.
 *
 * On one CPU pairs and larson have two threads on it.
 *
 * Sizes are 16 to 1024: first an octave, each as often, then any size in it. softirq
 * has 256, 704 and 2304, each as often. stress has 1 to 262144.
 *
 * Each object is filled with what depends on who made it, on its size and on its
 * address, and that is looked at before it is freed.
 *
 * A quarter of the work is done to warm up, and private fills its arrays before. Then
 * the counters are looked at, the rest is done, and they are looked at again. All
 * objects are freed after that; the heap stays until the module goes, so that its books
 * can be read.
 */
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "../../goalloc/mheap.h"

#define OBJECTS		1024	/* of a thread */
#define MANY		16384
#define SHALLOW		256
#define DEEP		4096	/* a power of two */
#define BURST		64
#define BACKLOG		256
#define SHARED		4096	/* objects that all have together */
#define BULK		48	/* of them replaced at once at most */
#define OCTAVES		6
#define SMALLEST	16
#define STEP		8	/* objects are counted by their size, in steps */
#define STEPS		(2304 / STEP)
#define NR_WORKERS	64

static char *work = "private";
module_param(work, charp, 0444);
MODULE_PARM_DESC(work, "What is done: private, private-many, pairs, pairs-deep, larson, softirq, stress");

static unsigned int ops = 1000000;
module_param(ops, uint, 0444);
MODULE_PARM_DESC(ops, "Allocations of all threads together, after those that warm up");

struct object {
	void *p;
	u32 size;
	u32 owner;
};

/* From one CPU to another: one puts, one takes. */
struct ring {
	struct object objs[DEEP];
	u32 put;		/* counts up, written by who puts */
	u32 taken;		/* written by who takes */
	bool done;		/* no more will be put in this stage */
	wait_queue_head_t wait;
};

struct array {
	u32 n;
	struct object objs[];
};

/* Who makes objects: a worker in one context. Only that touches it. */
struct maker {
	u64 seed;
	u32 owner;
	u32 failed;		/* allocations that failed */
	u32 made[STEPS + 1];	/* objects by size */
};

struct worker {
	struct maker task;
	struct maker softirq;
	struct maker hardirq;
	struct completion done;
	int cpu;
	u32 index;
	u64 quota;		/* allocations of this stage; 0: free what is left */
	struct array *array;
	struct array *mailbox;	/* larson: from the thread before */
	struct worker *next;
	wait_queue_head_t wait;
	struct ring *ring;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
};

struct shared {
	spinlock_t lock;	/* protects what follows; irqs off */
	struct object obj;
};

struct snapshot {
	u64 locks[GOALLOC_ALL_CENTRALS];
	u64 contended[GOALLOC_ALL_CENTRALS];
	u64 heap_locks;
	u64 heap_contended;
};

static struct goalloc_heap *heap;
static struct worker *workers;
static unsigned int nworkers;
static struct shared *shared;
static atomic_t corrupted = ATOMIC_INIT(0);

static char text[SZ_16K];
static struct debugfs_blob_wrapper blob = { .data = text };
static struct dentry *file;

/* xorshift64* */
static u32 next_random(struct maker *m)
{
	m->seed ^= m->seed >> 12;
	m->seed ^= m->seed << 25;
	m->seed ^= m->seed >> 27;
	return (m->seed * 2685821657736338717ULL) >> 32;
}

static u32 random_below(struct maker *m, u32 n)
{
	return ((u64)next_random(m) * n) >> 32;
}

static u32 draw_size(struct maker *m)
{
	u32 octave = SMALLEST << random_below(m, OCTAVES);

	return octave + random_below(m, octave + 1);
}

static u32 draw_packet(struct maker *m)
{
	static const u32 sizes[] = { 256, 704, 2304 };

	return sizes[random_below(m, ARRAY_SIZE(sizes))];
}

/* Tiny, small, up to the largest class, large: 10, 70, 19 and 1 of a hundred. */
static u32 draw_any_size(struct maker *m)
{
	u32 i = random_below(m, 100);

	if (i < 10)
		return 1 + random_below(m, 15);
	if (i < 80)
		return draw_size(m);
	if (i < 99)
		return 1025 + random_below(m, SZ_32K - 1024);
	return SZ_32K + 1 + random_below(m, SZ_256K - SZ_32K);
}

static u64 pattern(const struct object *o)
{
	return (((u64)o->owner << 32 | o->size) * 0x9e3779b97f4a7c15ULL) ^ (unsigned long)o->p;
}

static void fill(const struct object *o)
{
	u64 v = pattern(o);
	u8 *p = o->p;
	u32 i;

	for (i = 0; i + sizeof(v) <= o->size; i += sizeof(v))
		memcpy(p + i, &v, sizeof(v));
	memcpy(p + i, &v, o->size - i);
}

static bool intact(const struct object *o)
{
	u64 v = pattern(o), found;
	const u8 *p = o->p;
	u32 i;

	for (i = 0; i + sizeof(v) <= o->size; i += sizeof(v)) {
		memcpy(&found, p + i, sizeof(v));
		if (found != v)
			return false;
	}
	return !memcmp(p + i, &v, o->size - i);
}

/* False, and the object is NULL, if there is no memory. */
static bool make(struct maker *m, struct object *o, u32 size, gfp_t gfp)
{
	o->size = size;
	o->owner = m->owner;
	o->p = goalloc_heap_alloc(heap, size, 0, gfp);
	if (!o->p) {
		m->failed++;
		return false;
	}
	fill(o);
	if (size <= STEPS * STEP)
		m->made[DIV_ROUND_UP(size, STEP)]++;
	return true;
}

/* The first of all that is wrong. */
static void complain(const char *what, u32 size, u32 owner)
{
	if (!atomic_fetch_inc(&corrupted))
		pr_err("goalloc_scale_bench: %s: an object of %u bytes of %u's %s\n", work, size,
		       owner, what);
}

static void look_at_old(const struct object *o)
{
	if (o->p && !intact(o))
		complain("is not as it was", o->size, o->owner);
}

static void discard(struct object *o)
{
	look_at_old(o);
	if (goalloc_try_free(o->p))
		complain("is none", o->size, o->owner);
	o->p = NULL;
}

static void discard_all(struct array *array)
{
	u32 i;

	for (i = 0; i < array->n; i++)
		discard(&array->objs[i]);
}

/* private, larson: @n times one of an array at random. */
static void replace(struct maker *m, struct array *array, u64 n)
{
	while (n--) {
		struct object *o = &array->objs[random_below(m, array->n)];

		discard(o);
		make(m, o, draw_size(m), GFP_KERNEL);
		if (!(n % 256))
			cond_resched();
	}
}

static void work_private(struct worker *w)
{
	struct array *array = w->array;
	u32 i;

	if (!w->quota) {
		discard_all(array);
		return;
	}
	/* To warm up. */
	for (i = 0; i < array->n; i++)
		if (!array->objs[i].p)
			make(&w->task, &array->objs[i], draw_size(&w->task), GFP_KERNEL);
	replace(&w->task, array, w->quota);
}

/* A mailbox is filled by one and emptied by one; its array goes with it. */
static bool mailbox_empty(struct worker *w)
{
	return !smp_load_acquire(&w->mailbox);	/* pairs with mailbox_set() */
}

static void mailbox_set(struct worker *w, struct array *array)
{
	smp_store_release(&w->mailbox, array);	/* pairs with mailbox_empty() */
	wake_up_all(&w->wait);
}

/* All threads have as many rounds, so each array that is handed on is taken. */
static void work_larson(struct worker *w)
{
	u64 rounds = DIV_ROUND_UP_ULL(w->quota, OBJECTS);

	if (!w->quota)
		discard_all(w->array);
	while (rounds--) {
		struct worker *next = w->next;

		replace(&w->task, w->array, OBJECTS);
		wait_event(next->wait, mailbox_empty(next));
		mailbox_set(next, w->array);
		wait_event(w->wait, !mailbox_empty(w));
		w->array = w->mailbox;
		mailbox_set(w, NULL);
	}
}

static u32 ring_used(struct ring *r)
{
	/* One is the caller's own; the other one orders: pairs with ring_moved(). */
	return smp_load_acquire(&r->put) - smp_load_acquire(&r->taken);
}

/* The caller put an object, or took one. */
static void ring_moved(struct ring *r, u32 *which, bool wake)
{
	smp_store_release(which, *which + 1);	/* pairs with ring_used() */
	if (wake && wq_has_sleeper(&r->wait))
		wake_up_all(&r->wait);
}

static bool ring_done(struct ring *r)
{
	return smp_load_acquire(&r->done);	/* pairs with ring_end() */
}

static void ring_end(struct ring *r)
{
	smp_store_release(&r->done, true);	/* pairs with ring_done() */
	wake_up_all(&r->wait);
}

static void produce(struct worker *w, u32 depth)
{
	struct ring *r = w->ring;
	u64 n;

	for (n = 0; n < w->quota; n++) {
		if (ring_used(r) == depth)
			wait_event(r->wait, ring_used(r) <= depth / 2);
		make(&w->task, &r->objs[r->put % DEEP], draw_size(&w->task), GFP_KERNEL);
		ring_moved(r, &r->put, ring_used(r) + 1 >= depth / 2);
		if (!(n % 256))
			cond_resched();
	}
	ring_end(r);
}

static void consume(struct worker *w, u32 depth)
{
	struct ring *r = w->ring;
	u32 n = 0;

	for (;;) {
		if (!ring_used(r)) {
			wait_event(r->wait, ring_used(r) >= depth / 2 || ring_done(r));
			if (!ring_used(r))
				break;
		}
		discard(&r->objs[r->taken % DEEP]);
		ring_moved(r, &r->taken, ring_used(r) - 1 <= depth / 2);
		if (!(n++ % 256))
			cond_resched();
	}
}

static void work_pairs_of(struct worker *w, u32 depth)
{
	/* Nothing is left in a ring at the end of a stage. */
	if (!w->quota)
		return;
	if (w->index % 2)
		consume(w, depth);
	else
		produce(w, depth);
}

static void work_pairs(struct worker *w)
{
	work_pairs_of(w, SHALLOW);
}

static void work_pairs_deep(struct worker *w)
{
	work_pairs_of(w, DEEP);
}

static void burst(struct tasklet_struct *t)
{
	struct worker *w = from_tasklet(w, t, tasklet);
	struct ring *r = w->ring;
	u32 i;

	for (i = 0; i < BURST; i++)
		make(&w->softirq, &r->objs[r->put++ % DEEP], draw_packet(&w->softirq),
		     GFP_ATOMIC);
}

/* What softirqs of this CPU do is never seen half done by its tasks. */
static void work_softirq(struct worker *w)
{
	struct ring *r = w->ring;
	u32 end = r->put + w->quota;

	while ((s32)(end - READ_ONCE(r->put)) > 0) {
		/* It runs when softirqs are on again, or later, in ksoftirqd. */
		local_bh_disable();
		tasklet_schedule(&w->tasklet);
		local_bh_enable();
		while (READ_ONCE(r->put) - r->taken > BACKLOG)
			discard(&r->objs[r->taken++ % DEEP]);
		cond_resched();
	}
	tasklet_kill(&w->tasklet);
	while (!w->quota && r->put != r->taken)
		discard(&r->objs[r->taken++ % DEEP]);
}

/* A new object for an old one of anybody's. */
static void swap_shared(struct maker *m, struct object *o)
{
	struct shared *s = &shared[random_below(m, SHARED)];
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	swap(*o, s->obj);
	spin_unlock_irqrestore(&s->lock, flags);
}

/* What is made anew: its usable size, and zeroes where they were asked for. */
static void look_at_new(const struct object *o, bool zero)
{
	if (goalloc_usable_size(o->p) < o->size)
		complain("is too small", o->size, o->owner);
	if (zero && memchr_inv(o->p, 0, o->size))
		complain("is not zero", o->size, o->owner);
}

static void exchange_one(struct maker *m, gfp_t gfp)
{
	struct object o = { .owner = m->owner, .size = draw_any_size(m) };
	bool zero = !random_below(m, 4);

	o.p = goalloc_heap_alloc(heap, o.size, 0, zero ? gfp | __GFP_ZERO : gfp);
	if (o.p) {
		look_at_new(&o, zero);
		fill(&o);
	}
	swap_shared(m, &o);
	discard(&o);
}

/* Objects up to 1024 bytes, tiny ones too, of one size. */
static void exchange_bulk(struct maker *m, gfp_t gfp)
{
	u32 size = random_below(m, 4) ? draw_size(m) : 1 + random_below(m, 15), i, n;
	bool zero = !random_below(m, 4);
	void *objs[BULK];

	n = goalloc_alloc_bulk(heap, size, 0, zero ? gfp | __GFP_ZERO : gfp,
			       1 + random_below(m, BULK), objs);
	for (i = 0; i < n; i++) {
		struct object o = { .owner = m->owner, .size = size, .p = objs[i] };

		look_at_new(&o, zero);
		fill(&o);
		swap_shared(m, &o);
		look_at_old(&o);
		objs[i] = o.p;
	}
	goalloc_free_bulk(n, objs);
}

/* From wherever this is. */
static void exchange(struct maker *m, u32 n, gfp_t gfp)
{
	while (n--) {
		if (random_below(m, 32))
			exchange_one(m, gfp);
		else
			exchange_bulk(m, gfp);
	}
}

static void stress_softirq(struct tasklet_struct *t)
{
	struct worker *w = from_tasklet(w, t, tasklet);

	exchange(&w->softirq, 4, GFP_ATOMIC | __GFP_NOWARN);
}

static void stress_hardirq(struct irq_work *i)
{
	struct worker *w = container_of(i, struct worker, irq_work);

	exchange(&w->hardirq, 4, GFP_ATOMIC | __GFP_NOWARN);
}

static void work_stress(struct worker *w)
{
	u32 n, i;

	for (n = 0; n < w->quota; n += 16) {
		irq_work_queue(&w->irq_work);
		exchange(&w->task, 4, GFP_KERNEL);
		tasklet_schedule(&w->tasklet);
		exchange(&w->task, 4, GFP_KERNEL);
		cond_resched();
	}
	irq_work_sync(&w->irq_work);
	tasklet_kill(&w->tasklet);
	if (!w->quota && !w->index)
		for (i = 0; i < SHARED; i++)
			discard(&shared[i].obj);
}

static const struct kind {
	const char *name;
	void (*run)(struct worker *w);
	void (*softirq)(struct tasklet_struct *t);
	bool pairs;		/* two workers to a ring, of which one makes objects */
	bool exchanges;		/* two workers at least */
	bool many;		/* MANY objects, not OBJECTS */
	bool by_class;		/* all objects have a place in made[] */
} kinds[] = {
	{ "private", work_private, .by_class = true },
	{ "private-many", work_private, .many = true, .by_class = true },
	{ "pairs", work_pairs, .pairs = true, .exchanges = true, .by_class = true },
	{ "pairs-deep", work_pairs_deep, .pairs = true, .exchanges = true, .by_class = true },
	{ "larson", work_larson, .exchanges = true, .by_class = true },
	{ "softirq", work_softirq, .softirq = burst, .by_class = true },
	{ "stress", work_stress, .softirq = stress_softirq, .exchanges = true },
};

static const struct kind *kind;

static int worker_main(void *data)
{
	struct worker *w = data;

	kind->run(w);
	/* Nothing of this module runs in the thread once it is done. */
	kthread_complete_and_exit(&w->done, 0);
}

/* A stage of the work, on all CPUs. */
static int run_stage(u64 total)
{
	u64 each = DIV_ROUND_UP_ULL(total, kind->pairs ? nworkers / 2 : nworkers);
	struct task_struct *task[NR_WORKERS];
	unsigned int i;

	for (i = 0; i < nworkers; i++) {
		struct worker *w = &workers[i];

		w->quota = each;
		if (w->ring)
			w->ring->done = false;
		task[i] = kthread_create(worker_main, w, "scale/%u", i);
		if (IS_ERR(task[i]))
			goto fail;
		kthread_bind(task[i], w->cpu);
	}
	for (i = 0; i < nworkers; i++)
		wake_up_process(task[i]);
	for (i = 0; i < nworkers; i++)
		wait_for_completion(&workers[i].done);
	return 0;

fail:
	/* A thread that never ran is stopped without running. */
	while (i--)
		kthread_stop(task[i]);
	return -ENOMEM;
}

static void look(struct snapshot *s)
{
	u32 i;

	/* Nobody uses the heap now. */
	for (i = 0; i < GOALLOC_ALL_CENTRALS; i++) {
		s->locks[i] = READ_ONCE(heap->central[i].locks);
		s->contended[i] = READ_ONCE(heap->central[i].contended);
	}
	s->heap_locks = READ_ONCE(heap->locks);
	s->heap_contended = READ_ONCE(heap->contended);
}

static void report(const char *where, u32 slot, u64 made, u64 locks, u64 contended, u64 spans)
{
	char of[12] = "-";

	if (slot)
		snprintf(of, sizeof(of), "%u", slot);
	blob.size += scnprintf(text + blob.size, sizeof(text) - blob.size,
			       "locks\t%s\t%u\t%s\t%s\t%llu\t%llu\t%llu\t%llu\n", work,
			       num_online_cpus(), where, of, made, locks, contended, spans);
}

/* Objects made of sizes above @from and up to @to. */
static u64 made_of(u32 from, u32 to)
{
	u64 n = 0;
	u32 i, k;

	for (i = 0; i < nworkers; i++)
		for (k = from / STEP + 1; k <= min_t(u32, to / STEP, STEPS); k++)
			n += workers[i].task.made[k] + workers[i].softirq.made[k] +
			     workers[i].hardirq.made[k];
	return n;
}

static void report_all(const struct snapshot *before, const struct snapshot *after)
{
	u64 made, spans = 0, locks = 0, contended = 0;
	u32 spc, from = 0;

	for (spc = 0; spc < GOALLOC_ALL_CENTRALS; spc++) {
		const struct mcentral *c = &heap->central[spc];
		u64 class_locks = after->locks[spc] - before->locks[spc];
		u64 class_contended = after->contended[spc] - before->contended[spc];
		u64 class_spans = atomic_read(&c->nspans);

		locks += class_locks;
		contended += class_contended;
		spans += class_spans;
		/* Small objects without pointers, from the smallest to the largest. */
		if (!kind->by_class || spc < 2 || !(spc & 1) || spc >= GOALLOC_NUM_SPAN_CLASSES)
			continue;
		made = made_of(from, c->elemsize);
		from = c->elemsize;
		if (made)
			report("mcentral", c->elemsize, made, class_locks, class_contended,
			       class_spans);
	}
	made = kind->by_class ? made_of(0, STEPS * STEP) : ops;
	report("mcentral", 0, made, locks, contended, spans);
	report("heap", 0, made, after->heap_locks - before->heap_locks,
	       after->heap_contended - before->heap_contended, spans);
}

static void forget_made(struct maker *m)
{
	memset(m->made, 0, sizeof(m->made));
}

static int measure(void)
{
	struct snapshot *before = kvmalloc_array(2, sizeof(*before), GFP_KERNEL);
	u32 i;
	int err;

	if (!before)
		return -ENOMEM;
	err = run_stage(ops / 4);
	if (err)
		goto out;
	for (i = 0; i < nworkers; i++) {
		forget_made(&workers[i].task);
		forget_made(&workers[i].softirq);
		forget_made(&workers[i].hardirq);
	}
	look(&before[0]);
	err = run_stage(ops);
	if (err)
		goto out;
	look(&before[1]);
	report_all(&before[0], &before[1]);
out:
	kvfree(before);
	return err;
}

static void maker_init(struct maker *m, u32 owner)
{
	m->owner = owner;
	m->seed = 20261122 + owner;
}

static void worker_init(struct worker *w, u32 index)
{
	w->index = index;
	w->cpu = index % num_online_cpus();
	maker_init(&w->task, index);
	maker_init(&w->softirq, index | 1 << 16);
	maker_init(&w->hardirq, index | 2 << 16);
	init_completion(&w->done);
	init_waitqueue_head(&w->wait);
	if (kind->softirq)
		tasklet_setup(&w->tasklet, kind->softirq);
	init_irq_work(&w->irq_work, stress_hardirq);
	w->next = &workers[(index + 1) % nworkers];
}

static bool worker_build(struct worker *w)
{
	u32 n = kind->many ? MANY : OBJECTS;

	w->array = vzalloc(struct_size(w->array, objs, n));
	if (w->array)
		w->array->n = n;
	if (kind->pairs && w->index % 2) {
		w->ring = workers[w->index - 1].ring;
	} else {
		w->ring = vzalloc(sizeof(*w->ring));
		if (w->ring)
			init_waitqueue_head(&w->ring->wait);
	}
	return w->array && w->ring;
}

static void workers_free(void)
{
	u32 i;

	for (i = 0; i < nworkers; i++) {
		vfree(workers[i].array);
		if (!kind->pairs || !(i % 2))
			vfree(workers[i].ring);
	}
	vfree(workers);
	vfree(shared);
}

static int workers_build(void)
{
	u32 i;

	nworkers = num_online_cpus();
	if (kind->exchanges)
		nworkers = max(nworkers, 2U);
	if (kind->pairs)
		nworkers = round_down(nworkers, 2);
	if (nworkers > NR_WORKERS)
		return -E2BIG;
	workers = vzalloc(array_size(nworkers, sizeof(*workers)));
	shared = vzalloc(array_size(SHARED, sizeof(*shared)));
	if (!workers || !shared) {
		nworkers = 0;
		return -ENOMEM;
	}
	for (i = 0; i < SHARED; i++)
		spin_lock_init(&shared[i].lock);
	for (i = 0; i < nworkers; i++)
		worker_init(&workers[i], i);
	for (i = 0; i < nworkers; i++)
		if (!worker_build(&workers[i]))
			return -ENOMEM;
	return 0;
}

/* Of large objects some may fail where nothing can be waited for. */
static bool all_well(void)
{
	u32 i;

	if (atomic_read(&corrupted))
		return false;
	for (i = 0; kind->by_class && i < nworkers; i++)
		if (workers[i].task.failed || workers[i].softirq.failed)
			return false;
	return true;
}

static int __init scale_init(void)
{
	const struct goalloc_heap_params params = { .name = "scale" };
	u32 i;
	int err;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(work, kinds[i].name))
			kind = &kinds[i];
	if (!kind)
		return -EINVAL;
	err = workers_build();
	if (err)
		goto out;
	heap = goalloc_heap_create(&params);
	if (IS_ERR(heap)) {
		err = PTR_ERR(heap);
		goto out;
	}
	/* Its first object, so that it has mcentrals to look at. */
	goalloc_free(goalloc_heap_alloc(heap, SMALLEST, 0, GFP_KERNEL));
	err = measure();
	/* Without threads objects are left, and the heap says so. */
	if (run_stage(0) || !all_well())
		err = err ?: -EIO;
	if (!err && blob.size == sizeof(text) - 1)
		err = -E2BIG;
	if (err)
		goalloc_heap_destroy(heap);
	else
		file = debugfs_create_blob("goalloc_scale_bench", 0400, NULL, &blob);
out:
	workers_free();
	return err;
}

static void __exit scale_exit(void)
{
	debugfs_remove(file);
	goalloc_heap_destroy(heap);
}

module_init(scale_init);
module_exit(scale_exit);

MODULE_DESCRIPTION("How often goalloc takes locks, by the number of CPUs");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
