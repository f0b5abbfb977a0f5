// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel module whose mistakes with objects are for KASAN and kmemleak to find. A line
 * written to the file checked in debugfs is done at once:
 *
 *	freed SIZE	an object is read after it was freed
 *	behind SIZE	the byte behind the bytes asked for is written
 *	exact SIZE	the same with an exact class
 *	grown SIZE	goalloc_realloc() made it one byte longer; the byte after is written
 *	bulk SIZE	an object is read after goalloc_free_bulk()
 *	elsewhere SIZE	an object is read after another CPU freed it
 *	ended SIZE	an object is read after its heap has ended
 *	usable SIZE	all of it is written once goalloc_usable_size() was asked: no mistake
 *	right SIZE	it is used as it should be: no mistake
 *	destroy		a heap, another with a class in it, and a class whose heap lives on,
 *			are made and destroyed; waits until their memory is free
 *	use WHAT SIZE	what was destroyed is used, see use_it(). What comes of that must
 *			not go far: goalloc's own allocations have to fail meanwhile
 *	interrupt WHAT SIZE
 *			the same in an interrupt
 *	lose N SIZE	N objects to which nothing refers any more
 *	keep N SIZE	N objects to which this module refers, the first by way of the second
 *	find		frees both
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/irq_work.h>
#include <linux/kasan.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "commands.h"

#define MOST	128

/* Those that are lost, in a form that is no pointer to anybody who looks for one. */
static unsigned long lost[MOST];
static u32 nlost;
static void **kept;

/* Where they were that are no more, and the heap that one of the classes had. */
static struct goalloc_heap *dead_heap;
static struct goalloc_class *dead_heaps_class;
static struct goalloc_class *dead_class;
static struct goalloc_heap *living_heap;

/* The compiler is not to know what comes of it. */
static noinline u8 look(const u8 *p)
{
	return READ_ONCE(*p);
}

static noinline void put(u8 *p)
{
	WRITE_ONCE(*p, 0x42);
}

static void free_it(void *p)
{
	goalloc_free(p);
}

static int mistake(const struct order *o)
{
	struct goalloc_heap *heap;
	const char *what = o->verb;
	size_t size = o->numbers[0];
	struct goalloc_class *cls;
	size_t usable, i;
	int err = 0;
	u8 *p;

	if (!size)
		return -EINVAL;
	heap = goalloc_heap_create(NULL);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
	if (!p) {
		err = -ENOMEM;
		goto out;
	}
	if (!strcmp(what, "freed")) {
		goalloc_free(p);
		look(p + size - 1);
	} else if (!strcmp(what, "behind")) {
		put(p + size);
		goalloc_free(p);
	} else if (!strcmp(what, "exact")) {
		cls = goalloc_class_create(heap, "checked", size, 0, 0);
		if (IS_ERR(cls)) {
			err = PTR_ERR(cls);
			goto out;
		}
		goalloc_free(p);
		p = goalloc_class_alloc(cls, GFP_KERNEL | __GFP_ZERO);
		if (p)
			put(p + size);
		goalloc_free(p);
		goalloc_class_destroy(cls);
	} else if (!strcmp(what, "grown")) {
		p = goalloc_realloc(p, size + 1, GFP_KERNEL);
		put(p + size);
		put(p + size + 1);
		goalloc_free(p);
	} else if (!strcmp(what, "bulk")) {
		goalloc_free_bulk(1, (void **)&p);
		look(p);
	} else if (!strcmp(what, "elsewhere")) {
		for (i = 0; i < 2; i++)
			if (i != raw_smp_processor_id())
				break;
		err = smp_call_function_single(i, free_it, p, true);
		look(p);
	} else if (!strcmp(what, "ended")) {
		goalloc_free(p);
		goalloc_heap_destroy(heap);
		look(p);
		return 0;
	} else if (!strcmp(what, "usable")) {
		usable = goalloc_usable_size(p);
		for (i = 0; i < usable; i++)
			put(p + i);
		goalloc_free(p);
	} else if (!strcmp(what, "right")) {
		for (i = 0; i < size; i++)
			put(p + i);
		goalloc_free(p);
	} else {
		goalloc_free(p);
		err = -EINVAL;
	}
out:
	goalloc_heap_destroy(heap);
	return err;
}

/* As KASAN has it; who does not know it cannot wait for it. */
static bool is_freed(const void *p)
{
#ifdef CONFIG_KASAN_GENERIC
	return *(const s8 *)kasan_mem_to_shadow(p) < 0;
#else
	return true;
#endif
}

/* All are used here: there are spans, and what this CPU has of each. */
static long destroy_here(void *unused)
{
	struct goalloc_heap *heap = goalloc_heap_create(NULL);

	dead_heap = goalloc_heap_create(NULL);
	living_heap = goalloc_heap_create(NULL);
	if (IS_ERR(heap) || IS_ERR(dead_heap) || IS_ERR(living_heap))
		return -ENOMEM;
	dead_heaps_class = goalloc_class_create(heap, "dead", 200, 0, 0);
	dead_class = goalloc_class_create(living_heap, "dead", 200, 0, 0);
	if (IS_ERR(dead_heaps_class) || IS_ERR(dead_class))
		return -ENOMEM;
	goalloc_free(goalloc_heap_alloc(dead_heap, 100, 0, GFP_KERNEL));
	goalloc_free(goalloc_class_alloc(dead_heaps_class, GFP_KERNEL));
	goalloc_free(goalloc_class_alloc(dead_class, GFP_KERNEL));
	goalloc_class_destroy(dead_class);
	goalloc_heap_destroy(heap);
	goalloc_heap_destroy(dead_heap);
	return 0;
}

static int destroy(const struct order *o)
{
	int err, i;

	goalloc_heap_destroy(living_heap);
	err = work_on_cpu(cpumask_first(cpu_online_mask), destroy_here, NULL);
	/* Heaps go after a grace period, and kvfree_rcu() takes its time with them. */
	for (i = 0; !err && i < 3000; i++) {
		if (is_freed(dead_heap) && is_freed(dead_heaps_class) && is_freed(dead_class))
			return 0;
		msleep(20);
	}
	return err ?: -ETIME;
}

struct use {
	struct irq_work work;
	const char *what;
	size_t size;
	void *got;
};

/*
 * On a CPU that had nothing of the heap: where some is its locks are gone with it, and
 * nobody comes back from those.
 */
static void use_it(struct use *u)
{
	gfp_t gfp = in_task() ? GFP_KERNEL : GFP_ATOMIC;
	void *objs[4];

	if (!strcmp(u->what, "alloc"))
		u->got = goalloc_heap_alloc(dead_heap, u->size, 0, gfp);
	else if (!strcmp(u->what, "zeroed"))
		u->got = goalloc_heap_alloc(dead_heap, u->size, GOALLOC_SCAN, gfp | __GFP_ZERO);
	else if (!strcmp(u->what, "bulk"))
		u->got = (void *)goalloc_alloc_bulk(dead_heap, u->size, 0, gfp, ARRAY_SIZE(objs),
						    objs);
	else if (!strcmp(u->what, "create"))
		u->got = goalloc_class_create(dead_heap, "more", u->size, 0, 0);
	else if (!strcmp(u->what, "class"))
		u->got = goalloc_class_alloc(dead_class, GFP_ATOMIC);
	else if (!strcmp(u->what, "class-zeroed"))
		u->got = goalloc_class_alloc(dead_class, gfp | __GFP_ZERO);
	else if (!strcmp(u->what, "class-bulk"))
		u->got = (void *)goalloc_class_alloc_bulk(dead_class, gfp, ARRAY_SIZE(objs), objs);
	else if (!strcmp(u->what, "class-of-heap"))
		u->got = goalloc_class_alloc(dead_heaps_class, GFP_ATOMIC);
	else if (!strcmp(u->what, "class-destroy"))
		goalloc_class_destroy(dead_class);
	else
		u->got = ERR_PTR(-ENOENT);
}

static long use_in_task(void *arg)
{
	use_it(arg);
	return 0;
}

static void use_work(struct irq_work *work)
{
	use_it(container_of(work, struct use, work));
}

/* A call to a CPU that happens to be this one is no interrupt; irq_work always is. */
static long use_in_interrupt(void *arg)
{
	struct use *u = arg;

	init_irq_work(&u->work, use_work);
	irq_work_queue(&u->work);
	irq_work_sync(&u->work);
	return 0;
}

/* What was got is nobody's, and stays. */
static int use(const struct order *o)
{
	struct use u = { .what = o->word, .size = o->numbers[0] };
	unsigned int cpu = cpumask_next(cpumask_first(cpu_online_mask), cpu_online_mask);
	bool interrupt = !strcmp(o->verb, "interrupt");
	int err;

	if (!living_heap || cpu >= nr_cpu_ids)
		return -ENODEV;
	err = work_on_cpu(cpu, interrupt ? use_in_interrupt : use_in_task, &u);
	if (err || u.got == ERR_PTR(-ENOENT))
		return err ?: -ENOENT;
	return IS_ERR_OR_NULL(u.got) ? 0 : -EEXIST;
}

static int lose(const struct order *o)
{
	u64 n = o->numbers[0], size = o->numbers[1];

	if (n > MOST - nlost)
		return -EINVAL;
	while (n--) {
		void *p = goalloc_alloc(size, GFP_KERNEL | __GFP_ZERO);

		if (!p)
			return -ENOMEM;
		lost[nlost++] = ~(unsigned long)p;
	}
	return 0;
}

/* Each has the address of the one before, so that the last leads to all. */
static int keep(const struct order *o)
{
	u64 n = o->numbers[0], size = o->numbers[1];

	if (size < sizeof(void *))
		return -EINVAL;
	while (n--) {
		void **p = goalloc_alloc(size, GFP_KERNEL | __GFP_ZERO);

		if (!p)
			return -ENOMEM;
		*p = kept;
		kept = p;
	}
	return 0;
}

static int find(const struct order *o)
{
	while (nlost)
		goalloc_free((void *)~lost[--nlost]);
	while (kept) {
		void **p = kept;

		kept = *p;
		goalloc_free(p);
	}
	return 0;
}

static const struct command table[] = {
	{ "destroy",	destroy },
	{ "use",	use,		.word = true, .numbers = 1 },
	{ "interrupt",	use,		.word = true, .numbers = 1 },
	{ "lose",	lose,		.numbers = 2 },
	{ "keep",	keep,		.numbers = 2 },
	{ "find",	find },
	{ NULL,		mistake,	.numbers = 1 },
};

static struct commands commands = {
	.name	= "checked",
	.table	= table,
};

static int __init checked_init(void)
{
	return commands_begin(&commands, NULL);
}

static void __exit checked_exit(void)
{
	commands_end(&commands);
	goalloc_heap_destroy(living_heap);
	find(NULL);
}

module_init(checked_init);
module_exit(checked_exit);

MODULE_DESCRIPTION("Mistakes for the kernel's checkers to find");
MODULE_LICENSE("GPL");
