// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scripts: operations one after the other, by a single task, each in the context that
 * it names. What is written to the file is done at once.
 */
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "random_model.h"

/* So many are copied at a time. */
#define CHUNK		4096

/* Operations of one context in a row. */
struct stretch {
	struct hrtimer timer;
	struct completion done;
	const struct random_op *op;
	size_t n;
};

static DEFINE_MUTEX(mutex);
static struct lane *lane;

struct lane *script_lane(void)
{
	return lane;
}

/* Lengths that make sense, whatever was written. */
static u32 op_size(const struct random_op *op)
{
	return clamp_t(u32, op->size, 1, 8 << 20);
}

/* Where an object is to be made: is there no heap, or one there already? */
static bool may_make(struct slot *s, u8 heap)
{
	return !s->p && model_heaps[heap].there;
}

static void make_class(struct lane *l, const struct random_op *op, u8 heap)
{
	struct model_class *c = &l->classes[op->slot % RANDOM_CLASSES];

	if (!c->cls && model_heaps[heap].there)
		lane_class_make(l, c, heap, min_t(u32, op_size(op), MODEL_MAX_SMALL),
				op->arg, op->flags & RANDOM_SCAN);
}

static void end_heap(struct lane *l, u8 heap)
{
	if (!heap || !model_heaps[heap].there)
		return;
	lane_free_heap(l, heap);
	goalloc_heap_destroy(model_heaps[heap].heap);
	l->ops++;
	model_heaps[heap] = (struct model_heap){};
	memset(&l->counts[heap], 0, sizeof(l->counts[heap]));
}

/* What only a task does. */
static void script_task_op(struct lane *l, const struct random_op *op, u8 heap)
{
	char name[16];
	u32 i;

	switch (op->code) {
	case RANDOM_HEAP_MAKE:
		if (!heap || model_heaps[heap].there)
			break;
		snprintf(name, sizeof(name), "random%u", heap);
		model_heap_make(l, heap, name);
		l->ops++;
		break;
	case RANDOM_HEAP_END:
		end_heap(l, heap);
		break;
	case RANDOM_CLASS_MAKE:
		make_class(l, op, heap);
		break;
	case RANDOM_CLASS_END:
		lane_class_end(l, op->slot % RANDOM_CLASSES);
		break;
	case RANDOM_SWEEP:
		if (!heap || !model_heaps[heap].there)
			break;
		while (model_sweep_one(heap))
			cond_resched();
		lane_mark(l, heap, op->arg & 255, op->arg >> 8);
		if (!IS_ENABLED(CONFIG_KUNIT))
			break;
		model_sweep_start(heap);
		lane_forget(l, heap, op->arg & 255, op->arg >> 8);
		l->ops++;
		break;
	case RANDOM_SWEEP_ONE:
		for (i = 0; heap && model_heaps[heap].there && i < op->arg % 64; i++)
			model_sweep_one(heap);
		break;
	default:
		break;
	}
}

static void script_op(struct lane *l, const struct random_op *op)
{
	struct slot *s = &l->slots[op->slot % RANDOM_SLOTS];
	struct model_class *c = &l->classes[op->arg % RANDOM_CLASSES];
	u8 heap = op->heap % RANDOM_HEAPS;

	switch (op->code) {
	case RANDOM_ALLOC:
		if (may_make(s, heap))
			lane_alloc(l, s, heap, op_size(op), op->flags);
		break;
	case RANDOM_CLASS_ALLOC:
		if (!s->p && c->cls)
			lane_class_alloc(l, s, c, op->arg % RANDOM_CLASSES + 1, op->flags);
		break;
	case RANDOM_CONST_ALLOC:
		if (!s->p)
			lane_const_alloc(l, s, op->arg, op->flags);
		break;
	case RANDOM_REALLOC:
		if (s->p)
			lane_realloc(l, s, op_size(op), op->flags);
		break;
	case RANDOM_FREE:
		if (s->p)
			lane_free(l, s, op->flags);
		break;
	case RANDOM_LOOK:
		if (s->p)
			lane_look(l, s);
		break;
	case RANDOM_ALLOC_BULK:
		if (may_make(s, heap))
			lane_alloc_bulk(l, s, op->arg, heap, op_size(op), op->flags);
		break;
	case RANDOM_FREE_BULK:
		lane_free_bulk(l, s, op->arg);
		break;
	case RANDOM_BAD_FREE:
		lane_bad(l, s, (op->arg & 255) % RANDOM_BADS, op->arg >> 8);
		break;
	default:
		if (l->context == RANDOM_TASK)
			script_task_op(l, op, heap);
		break;
	}
}

/* Up to the end of the stretch, or to what is wrong. */
static void stretch_run(struct stretch *t)
{
	for (; t->n && !model_stop; t->n--, t->op++)
		script_op(lane, t->op);
}

static enum hrtimer_restart stretch_timer(struct hrtimer *timer)
{
	struct stretch *t = container_of(timer, struct stretch, timer);

	stretch_run(t);
	complete(&t->done);
	return HRTIMER_NORESTART;
}

/* Does operations of one context. Returns how many. */
static size_t stretch(const struct random_op *op, size_t n)
{
	enum hrtimer_mode mode = op->context == RANDOM_HARDIRQ ? MODEL_HARD :
								 HRTIMER_MODE_REL_SOFT;
	struct stretch t = { .op = op, .n = n };

	lane->context = op->context;
	if (op->context == RANDOM_TASK) {
		stretch_run(&t);
		return n - t.n;
	}
	init_completion(&t.done);
	hrtimer_init_on_stack(&t.timer, CLOCK_MONOTONIC, mode);
	t.timer.function = stretch_timer;
	hrtimer_start(&t.timer, 0, mode);
	wait_for_completion(&t.done);
	hrtimer_cancel(&t.timer);
	destroy_hrtimer_on_stack(&t.timer);
	return n - t.n;
}

static size_t script_run(struct random_op *ops, size_t n)
{
	size_t i, end, done, most;

	for (i = 0; i < n && !model_stop; i += done) {
		ops[i].context %= RANDOM_NMI;
		/* Nobody waits for an interrupt to end for long. */
		most = ops[i].context ? min(n, i + 64) : n;
		for (end = i + 1; end < most && ops[end].context == ops[i].context; end++)
			;
		done = stretch(ops + i, end - i);
		cond_resched();
	}
	/* What is wrong counts as done. */
	return model_stop ? min(i + 1, n) : n;
}

static ssize_t script_write(struct file *unused, const char __user *from, size_t len, loff_t *pos)
{
	size_t done = 0, n, of = len / sizeof(struct random_op), ran;
	struct random_op *ops;

	if (!of || len % sizeof(*ops))
		return -EINVAL;
	ops = kvmalloc_array(CHUNK, sizeof(*ops), GFP_KERNEL);
	if (!ops)
		return -ENOMEM;
	mutex_lock(&mutex);
	while (done < of && !model_stop && !fatal_signal_pending(current)) {
		n = min_t(size_t, of - done, CHUNK);
		if (copy_from_user(ops, from + done * sizeof(*ops), n * sizeof(*ops)))
			break;
		ran = script_run(ops, n);
		done += ran;
		if (ran < n)
			break;
	}
	mutex_unlock(&mutex);
	kvfree(ops);
	return done ? done * sizeof(struct random_op) : -EFAULT;
}

static const struct file_operations script_fops = {
	.owner		= THIS_MODULE,
	.write		= script_write,
	.llseek		= noop_llseek,
};

/* As if nothing had been done yet. */
void script_reset(void)
{
	struct slot *s;
	u32 i;

	mutex_lock(&mutex);
	lane->context = RANDOM_TASK;
	for (i = 0; i < RANDOM_CLASSES; i++)
		lane_class_end(lane, i);
	for (s = lane->slots; s <= lane->slots + lane->mask; s++)
		if (s->p)
			lane_free(lane, s, RANDOM_TRY);
	for (i = 1; i < RANDOM_HEAPS; i++)
		end_heap(lane, i);
	lane->nghosts = 0;
	lane->ops = 0;
	lane->bytes = 0;
	lane->traced = 0;
	lane->random = 1;
	memset(lane->counts, 0, sizeof(lane->counts));
	mutex_unlock(&mutex);
}

int script_init(struct dentry *dir)
{
	lane = lane_make(MODEL_LANES - 1, RANDOM_TASK, RANDOM_SLOTS, true);
	if (!lane)
		return -ENOMEM;
	debugfs_create_file("script", 0200, dir, NULL, &script_fops);
	return 0;
}

void script_exit(void)
{
	script_reset();
	lane_end(lane);
}
