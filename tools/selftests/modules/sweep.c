// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel API with failing allocations. A line written to the file sweep in
 * debugfs is done at once, in the task that writes (machines/sweep.c has the other
 * half):
 *
 *	begin OPERATION		a heap, if there is none, and what the operation needs there
 *	run N			the operation itself, in which the N-th allocation
 *				fails; 0 for none, or where another attribute is to
 *				decide
 *	again			the operation once more if it was refused
 *	finish			a look at every object, then they go, and CPUs keep nothing
 *	end			the heap goes
 *	list			nothing but what is read next
 *
 * What is read then: "ret N", what came of the operation; "again N", what came of
 * its second try; "fired N", whether the N-th allocation was asked for; "wrong N",
 * what was not as it should be; "objects N", how many live on the heap. After list
 * it is the names of all operations, one a line, with "fresh" behind those that are
 * about a heap in which nothing was made before: there "end" follows each "finish".
 */
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "commands.h"

#define OBJECTS_MAX	1100	/* of two tries */

struct object {
	void *p;
	size_t size;
};

/* What operations work on. */
struct stage {
	struct goalloc_heap *heap;
	struct goalloc_heap *other;
	struct goalloc_class *cls;
	struct goalloc_class *own;	/* that the operation made */
	struct object objects[OBJECTS_MAX];
	u32 n;
	void *bulk[OBJECTS_MAX];
};

/*
 * @prepare makes what is there before, without failures. @run does it: 0, or a
 * negative errno and nothing has changed but what it noted itself. @fresh: each time
 * on a new heap.
 */
struct operation {
	const char *name;
	int (*prepare)(struct stage *st, const struct operation *op);
	int (*run)(struct stage *st, const struct operation *op);
	size_t size;
	u32 flags;
	gfp_t gfp;
	u32 count;
	u64 limit;
	u64 max;
	bool fresh;
};

static struct stage *stage;
static const struct operation *current_op;
static bool list_wanted;
static int ret, again;
static bool fired;
static u32 wrong;

/* The same byte for all of an object tells it from its neighbours. */
static u8 object_byte(const void *p)
{
	return ((unsigned long)p >> 3) * 0x9d | 1;
}

static void object_add(struct stage *st, void *p, size_t size)
{
	if (WARN_ON(st->n == OBJECTS_MAX))
		return;
	memset(p, object_byte(p), size);
	st->objects[st->n++] = (struct object){ p, size };
}

static bool object_is_whole(const struct object *o)
{
	return goalloc_usable_size(o->p) >= o->size &&
	       !memchr_inv(o->p, object_byte(o->p), o->size);
}

static void object_free(struct stage *st, u32 i)
{
	struct object *o = &st->objects[i];

	wrong += !object_is_whole(o);
	wrong += goalloc_try_free(o->p) != 0;
	*o = st->objects[--st->n];
}

/* Notes it, if it is one, and sees that it is as it was asked for. */
static int made(struct stage *st, void *p, size_t size, gfp_t gfp)
{
	if (!p)
		return -ENOMEM;
	wrong += (gfp & __GFP_ZERO) && memchr_inv(p, 0, size);
	wrong += goalloc_usable_size(p) < size;
	object_add(st, p, size);
	return 0;
}

static int run_alloc(struct stage *st, const struct operation *op)
{
	return made(st, goalloc_heap_alloc(st->heap, op->size, op->flags, op->gfp), op->size,
		    op->gfp);
}

/* On the module's own heap, with its fast path. */
static int run_alloc_own(struct stage *st, const struct operation *op)
{
	size_t size = op->size;

	return made(st, goalloc_alloc(size, op->gfp), size, op->gfp);
}

/* Until a span, a word or a cache is used up somewhere in it. What was made stays. */
static int run_alloc_many(struct stage *st, const struct operation *op)
{
	u32 i;

	for (i = 0; i < op->count; i++) {
		int err = run_alloc(st, op);

		if (err)
			return err;
	}
	return 0;
}

/* Where the task may not sleep. */
static int run_alloc_locked(struct stage *st, const struct operation *op)
{
	int err;

	preempt_disable();
	err = run_alloc(st, op);
	preempt_enable();
	return err;
}

struct elsewhere {
	struct irq_work work;
	struct stage *st;
	const struct operation *op;
	int err;
};

static void alloc_interrupt(struct irq_work *work)
{
	struct elsewhere *e = container_of(work, struct elsewhere, work);

	e->err = run_alloc(e->st, e->op);
}

/* In an interrupt: fail-nth is the task's, and only our own attribute counts here. */
static int run_alloc_interrupt(struct stage *st, const struct operation *op)
{
	struct elsewhere e = { .st = st, .op = op };

	init_irq_work(&e.work, alloc_interrupt);
	irq_work_queue(&e.work);
	irq_work_sync(&e.work);
	return e.err;
}

static int run_bulk(struct stage *st, const struct operation *op)
{
	size_t n = goalloc_alloc_bulk(st->heap, op->size, op->flags, op->gfp, op->count, st->bulk);
	u32 i;

	for (i = 0; i < n; i++)
		made(st, st->bulk[i], op->size, op->gfp);
	return n == op->count ? 0 : -ENOMEM;
}

/* Larger and smaller; the first bytes stay. */
static int run_realloc(struct stage *st, const struct operation *op)
{
	struct object *o = &st->objects[0];
	u8 byte = object_byte(o->p);
	void *p = goalloc_realloc(o->p, op->size, op->gfp);
	size_t kept = min(o->size, op->size);

	if (!p)
		return -ENOMEM;
	wrong += !!memchr_inv(p, byte, kept);
	wrong += goalloc_usable_size(p) < op->size;
	memset(p, object_byte(p), op->size);
	*o = (struct object){ p, op->size };
	return 0;
}

static int run_heap_create(struct stage *st, const struct operation *op)
{
	static const struct goalloc_heap_params params = {
		.name = "sweep-other", .limit = 1 << 20, .max = 1 << 30,
	};
	struct goalloc_heap *heap = goalloc_heap_create(&params);

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	st->other = heap;
	return 0;
}

static int run_heap_destroy(struct stage *st, const struct operation *op)
{
	goalloc_heap_destroy(st->other);
	st->other = NULL;
	return 0;
}

static int run_class_create(struct stage *st, const struct operation *op)
{
	struct goalloc_class *cls = goalloc_class_create(st->heap, "sweep", op->size, op->count,
							 op->flags);

	if (IS_ERR(cls))
		return PTR_ERR(cls);
	st->own = cls;
	return 0;
}

static int run_class_destroy(struct stage *st, const struct operation *op)
{
	goalloc_class_destroy(st->cls);
	st->cls = NULL;
	return 0;
}

static int run_class_alloc(struct stage *st, const struct operation *op)
{
	u32 i;

	for (i = 0; i < op->count; i++) {
		gfp_t gfp = op->gfp;
		int err = made(st, goalloc_class_alloc(st->cls, gfp), op->size, gfp);

		if (err)
			return err;
	}
	return 0;
}

static int run_class_bulk(struct stage *st, const struct operation *op)
{
	size_t n = goalloc_class_alloc_bulk(st->cls, op->gfp, op->count, st->bulk);
	u32 i;

	for (i = 0; i < n; i++)
		made(st, st->bulk[i], op->size, op->gfp);
	return n == op->count ? 0 : -ENOMEM;
}

/* Frees never fail, whatever is there to be had. */
static int run_free(struct stage *st, const struct operation *op)
{
	while (st->n)
		object_free(st, st->n - 1);
	return 0;
}

static int run_free_bulk(struct stage *st, const struct operation *op)
{
	u32 i, n = st->n;

	for (i = 0; i < n; i++) {
		wrong += !object_is_whole(&st->objects[i]);
		st->bulk[i] = st->objects[i].p;
	}
	st->n = 0;
	goalloc_free_bulk(n, st->bulk);
	return 0;
}

static int run_free_wrongly(struct stage *st, const struct operation *op)
{
	void *p = st->objects[0].p;
	int err;

	err = goalloc_try_free(p + 8);
	wrong += err != -EINVAL;
	err = goalloc_try_free(&err);
	wrong += err != -ENOENT;
	object_free(st, 0);
	err = goalloc_try_free(p);
	wrong += err != -EALREADY;
	return 0;
}

static int prepare_objects(struct stage *st, const struct operation *op)
{
	u32 i;
	int err;

	for (i = 0; i < op->count; i++) {
		err = made(st, goalloc_heap_alloc(st->heap, op->size, 0, GFP_KERNEL), op->size, 0);
		if (err)
			return err;
	}
	return 0;
}

/* Of realloc, @count is the size before. */
static int prepare_one(struct stage *st, const struct operation *op)
{
	return made(st, goalloc_heap_alloc(st->heap, op->count, 0, GFP_KERNEL), op->count, 0);
}

/* An object of every kind, on a heap that is there to be destroyed. */
static int prepare_other(struct stage *st, const struct operation *op)
{
	static const size_t sizes[] = { 3, 8, 100, 5000, 30000, 100000, 3 << 20 };
	struct goalloc_heap_params params = { .name = "sweep-other" };
	void *p;
	int i;

	st->other = goalloc_heap_create(&params);
	if (IS_ERR(st->other)) {
		st->other = NULL;
		return -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = goalloc_heap_alloc(st->other, sizes[i], i & 1, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		goalloc_free(p);
	}
	return 0;
}

static int prepare_class(struct stage *st, const struct operation *op)
{
	st->cls = goalloc_class_create(st->heap, "sweep", op->size, 0, op->flags);
	if (IS_ERR(st->cls)) {
		st->cls = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* That had objects, so that there is something to return. */
static int prepare_used_class(struct stage *st, const struct operation *op)
{
	int err = prepare_class(st, op);
	u32 i;

	for (i = 0; !err && i < op->count; i++)
		err = made(st, goalloc_class_alloc(st->cls, GFP_KERNEL), op->size, 0);
	return err ?: run_free(st, op);
}

/* Half of them, so that the heap has spans and pages that are partly free. */
static int prepare_holes(struct stage *st, const struct operation *op)
{
	static const size_t sizes[] = { 24, 200, 1500, 9000, 40000 };
	u32 i;
	int err = 0;

	for (i = 0; !err && i < 500; i++)
		err = made(st, goalloc_heap_alloc(st->heap, sizes[i % 5], 0, GFP_KERNEL),
			   sizes[i % 5], 0);
	for (i = 0; !err && i < st->n; i++)
		object_free(st, i);
	return err;
}

#define KERNEL	GFP_KERNEL
#define ATOMIC	(GFP_ATOMIC | __GFP_NOWARN)
#define ZERO	(GFP_KERNEL | __GFP_ZERO)
#define SCAN	GOALLOC_SCAN

#define ALLOC(_name, _size, _flags, _gfp)						\
	{ .name = "alloc-" _name, .run = run_alloc, .size = _size, .flags = _flags, .gfp = _gfp }
#define FRESH(_name, _size, _flags, _gfp)						\
	{ .name = "alloc-" _name, .run = run_alloc, .size = _size, .flags = _flags,	\
	  .gfp = _gfp, .fresh = true }
#define MANY(_name, _size, _count)							\
	{ .name = "many-" _name, .run = run_alloc_many, .size = _size, .count = _count,	\
	  .gfp = GFP_KERNEL }
#define BULK(_name, _size, _flags, _gfp, _count)					\
	{ .name = "bulk-" _name, .run = run_bulk, .size = _size, .flags = _flags,	\
	  .gfp = _gfp, .count = _count }
#define REALLOC(_name, _from, _to)							\
	{ .name = "realloc-" _name, .prepare = prepare_one, .run = run_realloc,		\
	  .size = _to, .count = _from, .gfp = GFP_KERNEL }
#define FREE(_name, _size, _count)							\
	{ .name = "free-" _name, .prepare = prepare_objects, .run = run_free,		\
	  .size = _size, .count = _count }

static const struct operation operations[] = {
	{ .name = "heap-create", .run = run_heap_create },
	{ .name = "heap-destroy", .prepare = prepare_other, .run = run_heap_destroy },
	FRESH("tiny-1", 1, 0, KERNEL),
	ALLOC("tiny-3", 3, 0, ZERO),
	ALLOC("tiny-12", 12, 0, ATOMIC),
	ALLOC("8", 8, 0, KERNEL),
	FRESH("8-scan", 8, SCAN, KERNEL),
	ALLOC("16", 16, 0, KERNEL),
	ALLOC("24-scan", 24, SCAN, ZERO),
	ALLOC("48", 48, 0, ATOMIC),
	ALLOC("64", 64, 0, KERNEL),
	ALLOC("512-scan", 512, SCAN, KERNEL),
	FRESH("1024", 1024, 0, ZERO),
	ALLOC("2048", 2048, 0, ATOMIC),
	ALLOC("8192", 8192, 0, KERNEL),
	ALLOC("27264", 27264, 0, KERNEL),
	ALLOC("32768-scan", 32768, SCAN, ATOMIC),
	FRESH("large-40000", 40000, 0, KERNEL),
	ALLOC("large-100000-scan", 100000, SCAN, ZERO),
	ALLOC("large-atomic", 100000, 0, ATOMIC),
	FRESH("block", 2 << 20, 0, KERNEL),
	FRESH("mapped", 3 << 20, 0, KERNEL),
	ALLOC("mapped-zero", 5 << 20, SCAN, ZERO),
	{ .name = "alloc-no-preemption", .run = run_alloc_locked, .size = 100, .gfp = ATOMIC,
	  .fresh = true },
	{ .name = "alloc-interrupt", .run = run_alloc_interrupt, .size = 300, .gfp = ATOMIC,
	  .fresh = true },
	{ .name = "alloc-interrupt-large", .run = run_alloc_interrupt, .size = 50000,
	  .gfp = ATOMIC },
	{ .name = "alloc-own-heap", .run = run_alloc_own, .size = 7000, .gfp = KERNEL },
	{ .name = "alloc-own-heap-zero", .run = run_alloc_own, .size = 60000, .gfp = ZERO },
	{ .name = "alloc-at-limit", .prepare = prepare_holes, .run = run_alloc, .size = 300000,
	  .gfp = KERNEL, .limit = 4 << 20 },
	{ .name = "alloc-mapped-at-limit", .prepare = prepare_holes, .run = run_alloc,
	  .size = 3 << 20, .gfp = KERNEL, .limit = 4 << 20 },
	{ .name = "alloc-under-max", .prepare = prepare_holes, .run = run_alloc, .size = 300000,
	  .gfp = KERNEL, .max = 64 << 20 },
	{ .name = "alloc-tight-max", .run = run_alloc, .size = 300000, .gfp = KERNEL,
	  .max = 303104, .fresh = true },
	MANY("16", 16, 520),
	MANY("100", 100, 100),
	MANY("8192", 8192, 20),
	MANY("60000", 60000, 12),
	BULK("tiny", 5, 0, KERNEL, 20),
	BULK("48", 48, SCAN, ZERO, 200),
	BULK("8192", 8192, 0, KERNEL, 24),
	BULK("1024-atomic", 1024, 0, ATOMIC, 24),
	BULK("large", 40000, 0, KERNEL, 5),
	REALLOC("tiny-to-small", 5, 100),
	REALLOC("small-to-small", 100, 3000),
	REALLOC("small-to-large", 3000, 200000),
	REALLOC("large-to-mapped", 200000, 3 << 20),
	REALLOC("large-to-small", 200000, 100),
	REALLOC("mapped-to-large", 3 << 20, 50000),
	{ .name = "class-create", .run = run_class_create, .size = 200, .gfp = KERNEL,
	  .fresh = true },
	{ .name = "class-create-aligned", .run = run_class_create, .size = 5000, .count = 1024,
	  .flags = SCAN, .gfp = KERNEL },
	{ .name = "class-alloc", .prepare = prepare_class, .run = run_class_alloc, .size = 200,
	  .gfp = KERNEL, .count = 1 },
	{ .name = "class-alloc-zero", .prepare = prepare_class, .run = run_class_alloc,
	  .size = 30000, .gfp = ZERO, .count = 20, .flags = SCAN },
	{ .name = "class-alloc-atomic", .prepare = prepare_class, .run = run_class_alloc,
	  .size = 40, .gfp = ATOMIC, .count = 250 },
	{ .name = "class-bulk", .prepare = prepare_class, .run = run_class_bulk, .size = 600,
	  .gfp = ZERO, .count = 40 },
	{ .name = "class-destroy", .prepare = prepare_used_class, .run = run_class_destroy,
	  .size = 500, .count = 200 },
	FREE("tiny", 4, 50),
	FREE("small", 100, 300),
	FREE("large", 100000, 4),
	FREE("mapped", 3 << 20, 2),
	{ .name = "free-bulk", .prepare = prepare_objects, .run = run_free_bulk, .size = 600,
	  .count = 300 },
	{ .name = "free-wrongly", .prepare = prepare_objects, .run = run_free_wrongly,
	  .size = 100, .count = 2 },
};

#ifdef CONFIG_FAULT_INJECTION
static void fail_begin(unsigned int nth)
{
	current->fail_nth = nth;
}

/* Whether it came. */
static bool fail_end(unsigned int nth)
{
	bool came = nth && !current->fail_nth;

	current->fail_nth = 0;
	return came;
}
#else
static void fail_begin(unsigned int nth)
{
}

static bool fail_end(unsigned int nth)
{
	return false;
}
#endif

/* The end of a class gives up what CPUs keep of all classes. */
static void stage_flush(struct stage *st)
{
	struct goalloc_class *cls = goalloc_class_create(st->heap, "flush", 8, 0, 0);

	wrong += IS_ERR(cls);
	goalloc_class_destroy(cls);
}

static void stage_clear(struct stage *st)
{
	while (st->n) {
		object_free(st, st->n - 1);
		cond_resched();
	}
	goalloc_class_destroy(st->own);
	goalloc_class_destroy(st->cls);
	goalloc_heap_destroy(st->other);
	st->own = NULL;
	st->cls = NULL;
	st->other = NULL;
}

static void stage_finish(struct stage *st)
{
	stage_clear(st);
	if (!current_op->fresh)
		stage_flush(st);
}

static void stage_end(struct stage *st)
{
	stage_clear(st);
	goalloc_heap_destroy(st->heap);
	st->heap = NULL;
}

static int begin(const struct order *o)
{
	struct goalloc_heap_params params = { .name = "sweep" };
	const struct operation *op = NULL;
	int i, err = 0;

	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (!strcmp(operations[i].name, o->word))
			op = &operations[i];
	if (!op)
		return -ENOENT;
	if (!stage->heap) {
		struct goalloc_heap *heap;

		params.limit = op->limit;
		params.max = op->max;
		heap = goalloc_heap_create(&params);
		if (IS_ERR(heap))
			return PTR_ERR(heap);
		stage->heap = heap;
	}
	wrong = 0;
	ret = 0;
	again = 0;
	fired = false;
	current_op = op;
	if (op->prepare)
		err = op->prepare(stage, op);
	if (err)
		stage_end(stage);
	return err;
}

static int run(const struct order *o)
{
	unsigned int nth = o->numbers[0];

	/* On another CPU it would ask for an mcache there as well. */
	migrate_disable();
	fail_begin(nth);
	ret = current_op->run(stage, current_op);
	fired = fail_end(nth);
	migrate_enable();
	return 0;
}

static int run_again(const struct order *o)
{
	again = ret ? current_op->run(stage, current_op) : 0;
	return 0;
}

static int finish(const struct order *o)
{
	stage_finish(stage);
	return 0;
}

static int end(const struct order *o)
{
	stage_end(stage);
	return 0;
}

static int list(const struct order *o)
{
	list_wanted = true;
	return 0;
}

static int before(const struct order *o)
{
	list_wanted = false;
	return stage->heap || o->command->act == begin || o->command->act == list ? 0 : -ENOENT;
}

static int show(struct seq_file *m)
{
	int i;

	for (i = 0; list_wanted && i < ARRAY_SIZE(operations); i++)
		seq_printf(m, "%s %s\n", operations[i].name,
			   operations[i].fresh ? "fresh" : "again");
	if (!list_wanted)
		seq_printf(m, "ret %d\nfired %d\nagain %d\nwrong %u\nobjects %u\n", -ret, fired,
			   -again, wrong, current_op && current_op->run == run_alloc_own ? 0 :
			   stage->n);
	return 0;
}

static const struct command table[] = {
	{ "begin",	begin,		.word = true },
	{ "run",	run,		.numbers = 1 },
	{ "again",	run_again },
	{ "finish",	finish },
	{ "end",	end },
	{ "list",	list },
	{ }
};

static struct commands commands = {
	.name	= "sweep",
	.table	= table,
	.before	= before,
	.show	= show,
};

static int __init sweep_init(void)
{
	int err;

	stage = kzalloc(sizeof(*stage), GFP_KERNEL);
	if (!stage)
		return -ENOMEM;
	err = commands_begin(&commands, NULL);
	if (err)
		kfree(stage);
	return err;
}

static void __exit sweep_exit(void)
{
	commands_end(&commands);
	stage_end(stage);
	kfree(stage);
}

module_init(sweep_init);
module_exit(sweep_exit);

MODULE_DESCRIPTION("The kernel API with failing allocations");
MODULE_LICENSE("GPL");
