// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory is held after long use. Loading the module runs one trace on a heap
 * of its own and then on kmalloc; what it found is in debugfs, in
 * goalloc_churn_bench, a line for each row with tabs between:
 *
 *	churn	<round>	<phase>	<allocator>	live	<bytes asked for by live objects>
 *	churn	<round>	<phase>	<allocator>	held	<bytes that the system has less>
 *	churn	<round>	<phase>	<allocator>	took	<instructions an object>
 *
 * A round has sizes of its own and five phases:
 *
 *	grown	objects are made until LIVE bytes live
 *	used	as many objects as live are freed at random, a new one made for each
 *	thinned	at random 90 % are freed
 *	later	after 10 s
 *	again	objects of the old sizes are made until a quarter of LIVE bytes live
 *
 * Held is what there was of free pages before, less what there is now: all of
 * what the allocator takes, its books too. "took" is of each step of a phase, with
 * the loop and the random numbers, which are the same for both. The cycle counter
 * counts instructions: this is for QEMU with -icount shift=0, one CPU and one node.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#define LIVE	SZ_256M
#define ROUNDS	4
#define SIZES	32		/* of a round */
#define LARGE	512		/* one object of so many is a buffer */
#define OBJECTS	(3U << 20)	/* room for so many */

struct object {
	void *p;
	u32 size;
} __packed;

static struct object *objs;
static u32 nobjs;
static u64 live;

static u32 sizes[SIZES];
static u64 seed;

/* The heap under test, or NULL for kmalloc. */
static struct goalloc_heap *heap;

/* Free pages of the machine before. */
static u64 free_before;

/* What is found. */
static char text[SZ_8K];
static struct debugfs_blob_wrapper blob = { .data = text };
static struct dentry *file;

/* xorshift64*: the same numbers for both allocators, and each time. */
static u32 next_random(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * 2685821657736338717ULL) >> 32;
}

static u32 random_below(u32 n)
{
	return ((u64)next_random() * n) >> 32;
}

/* From 16 bytes to 4096, as many between 16 and 32 as between 2048 and 4096. */
static void draw_sizes(void)
{
	u32 i;

	for (i = 0; i < SIZES; i++) {
		u32 octave = 16 << (i / 4);

		sizes[i] = octave + octave / 4 * (i % 4) + random_below(octave / 4);
	}
}

/* Small ones are made more often; now and then one has up to 64 KiB. */
static u32 draw_size(void)
{
	u32 i = random_below(SIZES), j = random_below(SIZES);

	if (!random_below(LARGE))
		return SZ_4K + random_below(SZ_64K - SZ_4K) + 1;
	return sizes[min(i, j)];
}

static bool make_object(void)
{
	struct object *o = &objs[nobjs];

	if (nobjs == OBJECTS)
		return false;
	o->size = draw_size();
	o->p = heap ? goalloc_heap_alloc(heap, o->size, 0, GFP_KERNEL) :
	       kmalloc(o->size, GFP_KERNEL);
	if (!o->p)
		return false;
	nobjs++;
	live += o->size;
	return true;
}

static void free_object(u32 i)
{
	if (heap)
		goalloc_free(objs[i].p);
	else
		kfree(objs[i].p);
	live -= objs[i].size;
	objs[i] = objs[--nobjs];
}

/* Pages that the machine has left, those that CPUs keep at hand too. */
static u64 pages_free(void)
{
	struct zone *zones = NODE_DATA(0)->node_zones;
	u64 n = 0;
	int i, cpu;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		if (!populated_zone(&zones[i]))
			continue;
		n += zone_page_state(&zones[i], NR_FREE_PAGES);
		for_each_online_cpu(cpu)
			n += per_cpu_ptr(zones[i].per_cpu_pageset, cpu)->count;
	}
	return n;
}

static void report_row(u32 round, const char *phase, const char *what, u64 value)
{
	blob.size += scnprintf(text + blob.size, sizeof(text) - blob.size,
			       "churn\t%u\t%s\t%s\t%s\t%llu\n", round, phase,
			       heap ? "goalloc" : "kmalloc", what, value);
}

/* @steps took @cycles. */
static void report(u32 round, const char *phase, u64 cycles, u64 steps)
{
	s64 held;

	/* What waits for the end of a grace period is as good as free. */
	rcu_barrier();
	held = free_before - pages_free();
	report_row(round, phase, "live", live);
	report_row(round, phase, "held", max_t(s64, held, 0) << PAGE_SHIFT);
	if (steps)
		report_row(round, phase, "took", cycles / steps);
}

static bool grow(u32 round, const char *phase, u64 until)
{
	u64 begin = get_cycles();
	u32 before = nobjs;

	while (live < until) {
		if (!make_object())
			return false;
		if (!(nobjs % 1024))
			cond_resched();
	}
	report(round, phase, get_cycles() - begin, nobjs - before);
	return true;
}

static bool use(u32 round)
{
	u64 begin = get_cycles();
	u32 i, steps = nobjs;

	for (i = 0; i < steps; i++) {
		free_object(random_below(nobjs));
		if (!make_object())
			return false;
		if (!(i % 1024))
			cond_resched();
	}
	report(round, "used", get_cycles() - begin, steps);
	return true;
}

static void thin(u32 round)
{
	u32 before = nobjs, keep = nobjs / 10;
	u64 begin = get_cycles();

	while (nobjs > keep) {
		free_object(random_below(nobjs));
		if (!(nobjs % 1024))
			cond_resched();
	}
	report(round, "thinned", get_cycles() - begin, before - keep);
	msleep(10 * MSEC_PER_SEC);
	report(round, "later", 0, 0);
}

static bool run_trace(void)
{
	bool ok = true;
	u32 round;

	seed = 20261122;
	free_before = pages_free();
	for (round = 1; ok && round <= ROUNDS; round++) {
		draw_sizes();
		ok = grow(round, "grown", LIVE) && use(round);
		if (!ok)
			break;
		thin(round);
		ok = grow(round, "again", LIVE / 4);
	}
	while (nobjs) {
		free_object(nobjs - 1);
		if (!(nobjs % 1024))
			cond_resched();
	}
	return ok;
}

static int __init churn_init(void)
{
	const struct goalloc_heap_params params = { .name = "churn" };
	bool ok;

	objs = vmalloc(array_size(OBJECTS, sizeof(*objs)));
	if (!objs)
		return -ENOMEM;
	heap = goalloc_heap_create(&params);
	if (IS_ERR(heap)) {
		vfree(objs);
		return PTR_ERR(heap);
	}
	ok = run_trace();
	goalloc_heap_destroy(heap);
	heap = NULL;
	rcu_barrier();
	ok = ok && run_trace();
	vfree(objs);
	if (!ok)
		return -ENOMEM;
	if (blob.size == sizeof(text) - 1)
		return -E2BIG;
	file = debugfs_create_blob("goalloc_churn_bench", 0400, NULL, &blob);
	return 0;
}

static void __exit churn_exit(void)
{
	debugfs_remove(file);
}

module_init(churn_init);
module_exit(churn_exit);

MODULE_DESCRIPTION("What goalloc and kmalloc hold after long use");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
