// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel module that uses goalloc wrongly, one mistake a command. A word written to
 * the file misuse in debugfs is done at once:
 *
 *	heaps		objects of two heaps are freed together, as if they were one's
 *	twice		two CPUs free the same object at the same time
 *	interior	every address in and around an object but its own
 *	overflow	all memory around objects is written over
 *	destroyed	a heap ends with objects in it, which are used afterwards
 *	class		the same with an exact class
 *
 * What is read afterwards: "tried N", how many answers were looked at, "wrong N", and
 * "line N", where in this file the first wrong one was; of twice also "pairs N" and
 * "late N", pairs of frees that both were told of success.
 *
 * KASAN would stop what is written beyond an object, so this file is built without.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "commands.h"

/* A block of a kernel heap is a multiple of this, in size and in address. */
#define BLOCK		SZ_128K

#define OBJECTS		600
#define PAIRS		64
#define ROUNDS		400

static u64 tried, wrong, line, pairs, late;

static void want(bool ok, u32 at)
{
	tried++;
	if (ok)
		return;
	wrong++;
	line = line ?: at;
}

#define WANT(what)	want(what, __LINE__)

/* Tiny, small, of two heap pages and more, large, and mapped page by page. */
static const size_t sizes[] = { 3, 8, 12, 16, 48, 100, 1024, 3000, 8192, 32768, 40000, SZ_4M };

static struct goalloc_heap *make_heap(const char *name)
{
	struct goalloc_heap_params params = { .name = name };
	struct goalloc_heap *heap = goalloc_heap_create(&params);

	return IS_ERR(heap) ? NULL : heap;
}

/* Without the compiler's or the kernel's memset(): see above. */
static void fill(void *p, size_t n, u8 byte)
{
	u8 *to = p;

	while (n--)
		WRITE_ONCE(*to++, byte);
}

static bool is_filled(const void *p, size_t n, u8 byte)
{
	const u8 *from = p;

	while (n--)
		if (READ_ONCE(*from++) != byte)
			return false;
	return true;
}

/* Which heap an object is from it knows itself: there is no wrong one to free it to. */
static int heaps(const struct order *o)
{
	struct goalloc_heap *one = make_heap("misuse one"), *two = make_heap("misuse two");
	void *objs[2 * ARRAY_SIZE(sizes)];
	u32 i, n = ARRAY_SIZE(objs);

	WANT(one && two);
	for (i = 0; one && two && i < n; i++) {
		objs[i] = goalloc_heap_alloc(i & 1 ? one : two, sizes[i / 2], 0, GFP_KERNEL);
		WANT(objs[i]);
	}
	if (!wrong) {
		goalloc_free_bulk(n, objs);
		/* Each once, wherever it was: the heaps end without a word. */
		for (i = 0; i < n; i++)
			WANT(goalloc_try_free(objs[i]) == -EALREADY ||
			     goalloc_try_free(objs[i]) == -ENOENT);
	}
	goalloc_heap_destroy(one);
	goalloc_heap_destroy(two);
	return 0;
}

/* Twice. */

struct twice {
	struct completion done[2];
	atomic_t at[2];			/* rounds that each has come to */
	void *objs[PAIRS];
	int told[2][PAIRS];
};

static struct twice twice;

static bool meet(int me, int round)
{
	u32 spins = 0;

	atomic_set_release(&twice.at[me], round);
	while (atomic_read_acquire(&twice.at[!me]) < round) {
		cpu_relax();
		if (!(++spins % 10000))
			cond_resched();
		if (spins > 1000000000)
			return false;
	}
	return true;
}

static void twice_count(void)
{
	u32 i;

	for (i = 0; i < PAIRS; i++) {
		int a = twice.told[0][i], b = twice.told[1][i];

		pairs++;
		late += !a && !b;
		WANT(!a || a == -EALREADY || a == -ENOENT);
		WANT(!b || b == -EALREADY || b == -ENOENT);
		WANT(!a || !b);
	}
}

/* Once both are done each object is free exactly once, and comes out once. */
static void twice_look(struct goalloc_heap *heap, size_t size)
{
	void *again[PAIRS];
	u32 i, k;

	for (i = 0; i < PAIRS; i++) {
		again[i] = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
		for (k = 0; k < i; k++)
			WANT(again[i] != again[k]);
	}
	for (i = 0; i < PAIRS; i++)
		WANT(!goalloc_try_free(again[i]));
}

static int twice_thread(void *heap)
{
	int me = heap ? 0 : 1, i, k;

	for (i = 0; i < ROUNDS; i++) {
		/* The mapped ones take long, and are like the large ones. */
		size_t size = sizes[i % (ARRAY_SIZE(sizes) - 1)];

		for (k = 0; heap && k < PAIRS; k++)
			twice.objs[k] = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
		if (!meet(me, 3 * i + 1))
			break;
		for (k = 0; k < PAIRS; k++)
			twice.told[me][k] = goalloc_try_free(twice.objs[k]);
		if (!meet(me, 3 * i + 2))
			break;
		if (heap) {
			twice_count();
			twice_look(heap, size);
		}
		if (!meet(me, 3 * i + 3))
			break;
	}
	if (heap)
		WANT(i == ROUNDS);
	kthread_complete_and_exit(&twice.done[me], 0);
}

static int free_twice(const struct order *o)
{
	struct goalloc_heap *heap = make_heap("misuse");
	int cpu = cpumask_first(cpu_online_mask), i;
	struct task_struct *tasks[2];

	WANT(heap);
	if (!heap)
		return 0;
	for (i = 0; i < 2; i++) {
		init_completion(&twice.done[i]);
		atomic_set(&twice.at[i], 0);
		tasks[i] = kthread_create(twice_thread, i ? NULL : heap, "misuse/%d", i);
		WANT(!IS_ERR(tasks[i]));
		if (IS_ERR(tasks[i])) {
			if (i)
				kthread_stop(tasks[0]);
			goalloc_heap_destroy(heap);
			return 0;
		}
		kthread_bind(tasks[i], cpu);
		if (cpumask_next(cpu, cpu_online_mask) < nr_cpu_ids)
			cpu = cpumask_next(cpu, cpu_online_mask);
	}
	for (i = 0; i < 2; i++)
		wake_up_process(tasks[i]);
	for (i = 0; i < 2; i++)
		wait_for_completion(&twice.done[i]);
	/* Without a word about leaks: nothing lives. */
	goalloc_heap_destroy(heap);
	return 0;
}

/* Interior. */

static void not_freed(const void *p)
{
	int err = goalloc_try_free(p);

	WANT(err == -EINVAL || err == -ENOENT);
	WANT(!goalloc_usable_size(p));
}

static int interior(const struct order *o)
{
	struct goalloc_heap *heap = make_heap("misuse");
	u32 i, off;

	WANT(heap);
	if (!heap)
		return 0;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = goalloc_heap_alloc(heap, sizes[i], GOALLOC_SCAN, GFP_KERNEL);
		size_t n = goalloc_usable_size(p);

		WANT(p && n >= sizes[i]);
		if (!p)
			continue;
		fill(p, n, i);
		for (off = 1; off < min_t(size_t, n, 600); off++)
			not_freed(p + off);
		for (off = 600; off < n; off += off < SZ_64K ? 97 : 40009)
			not_freed(p + off);
		not_freed(p + n - 1);
		/* 2^64 arithmetic: what is as far from it as can be. */
		for (off = 32; off < 64; off++) {
			not_freed(p + (1ULL << off));
			not_freed(p - (1ULL << off));
		}
		WANT(is_filled(p, n, i));
		WANT(goalloc_usable_size(p) == n);
		WANT(!goalloc_try_free(p));
	}
	goalloc_heap_destroy(heap);
	return 0;
}

/* Overflow. */

/* All of the blocks that objects lie in: what lies between them and around. */
static void write_over(void **objs, u32 n, u8 byte)
{
	u32 i, k;

	for (i = 0; i < n; i++) {
		unsigned long block = round_down((unsigned long)objs[i], BLOCK);

		for (k = 0; k < i && (unsigned long)objs[k] - block >= BLOCK; k++)
			;
		if (k == i)
			fill((void *)block, BLOCK, byte);
		cond_resched();
	}
}

static int overflow(const struct order *o)
{
	static const u8 bytes[] = { 0xff, 0x00, 0xa5 };
	struct goalloc_heap *heap = make_heap("misuse");
	void **objs = kvcalloc(OBJECTS, sizeof(*objs), GFP_KERNEL);
	u32 round, i, k, n = 0;
	size_t size;

	WANT(heap && objs);
	for (round = 0; heap && objs && round < ARRAY_SIZE(bytes); round++) {
		/* Several spans of most classes; those that are mapped have no block. */
		for (n = 0; n < OBJECTS; n++) {
			size = sizes[n % (ARRAY_SIZE(sizes) - 1)];
			objs[n] = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
			if (!objs[n])
				break;
		}
		WANT(n == OBJECTS);
		write_over(objs, n, bytes[round]);
		for (i = 0; i < n; i++) {
			WANT(goalloc_usable_size(objs[i]) >= sizes[i % (ARRAY_SIZE(sizes) - 1)]);
			WANT(goalloc_try_free(objs[i] + 1) < 0);
			/* A third go, a third come anew. */
			if (i % 3 == 0) {
				WANT(!goalloc_try_free(objs[i]));
				WANT(goalloc_try_free(objs[i]) < 0);
				objs[i] = goalloc_heap_alloc(heap, 100, 0, GFP_KERNEL);
				WANT(objs[i]);
				fill(objs[i], 100, i);
			}
			cond_resched();
		}
		for (i = 0; i < n; i += 3) {
			WANT(is_filled(objs[i], 100, i));
			for (k = 0; k < n; k++)
				WANT(k == i || objs[k] != objs[i]);
			cond_resched();
		}
		for (i = 0; i < n; i++)
			WANT(!goalloc_try_free(objs[i]));
		for (i = 0; i < n; i++)
			WANT(goalloc_try_free(objs[i]) < 0);
	}
	/* It finds nothing to complain of. */
	goalloc_heap_destroy(heap);
	kvfree(objs);
	return 0;
}

/* A heap, and a class, that is no more. */

static void is_gone(const void *p)
{
	WANT(goalloc_try_free(p) == -ENOENT);
	WANT(!goalloc_usable_size(p));
}

static int destroyed(const struct order *o)
{
	struct goalloc_heap *heap = make_heap("misuse");
	void *objs[ARRAY_SIZE(sizes)];
	u32 i;

	WANT(heap);
	if (!heap)
		return 0;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		objs[i] = goalloc_heap_alloc(heap, sizes[i], 0, GFP_KERNEL);
	goalloc_heap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (objs[i])
			is_gone(objs[i]);
	/* No heap at all is fine. */
	goalloc_heap_destroy(NULL);
	goalloc_heap_destroy(ERR_PTR(-ENOMEM));
	return 0;
}

static int class_destroyed(const struct order *o)
{
	struct goalloc_heap *heap = make_heap("misuse");
	struct goalloc_class *cls;
	void *objs[20];
	u32 i;

	WANT(heap);
	if (!heap)
		return 0;
	cls = goalloc_class_create(heap, "misuse", 136, 0, 0);
	WANT(!IS_ERR(cls));
	for (i = 0; !IS_ERR(cls) && i < ARRAY_SIZE(objs); i++)
		objs[i] = goalloc_class_alloc(cls, GFP_KERNEL);
	goalloc_class_destroy(cls);
	for (i = 0; !IS_ERR(cls) && i < ARRAY_SIZE(objs); i++)
		is_gone(objs[i]);
	goalloc_class_destroy(NULL);
	goalloc_class_destroy(ERR_PTR(-EINVAL));
	goalloc_heap_destroy(heap);
	return 0;
}

static int reset(const struct order *o)
{
	tried = 0;
	wrong = 0;
	line = 0;
	pairs = 0;
	late = 0;
	return 0;
}

static int show(struct seq_file *m)
{
	seq_printf(m, "tried %llu\nwrong %llu\nline %llu\npairs %llu\nlate %llu\n", tried, wrong,
		   line, pairs, late);
	return 0;
}

static const struct command table[] = {
	{ "heaps",	heaps },
	{ "twice",	free_twice },
	{ "interior",	interior },
	{ "overflow",	overflow },
	{ "destroyed",	destroyed },
	{ "class",	class_destroyed },
	{ }
};

static struct commands commands = {
	.name	= "misuse",
	.table	= table,
	.before	= reset,
	.show	= show,
};

static int __init misuse_init(void)
{
	return commands_begin(&commands, NULL);
}

static void __exit misuse_exit(void)
{
	commands_end(&commands);
}

module_init(misuse_init);
module_exit(misuse_exit);

MODULE_DESCRIPTION("Wrong uses of goalloc");
MODULE_LICENSE("GPL");
