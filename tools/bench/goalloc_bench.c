// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an object costs in the kernel. Loading the module measures; what it found
 * is in debugfs, in goalloc_bench, a line for each row with tabs between:
 *
 *	kernel	<case>	<bytes>	<zeroing>	<state>	<instructions>
 *
 * Instructions are of one object, in tenths, the median of all rounds, without
 * the loop. The cycle counter counts them: this is for QEMU with -icount shift=0
 * and one CPU, and of no use elsewhere.
 *
 * A round makes OBJECTS objects and frees them in the same order, which fills
 * spans and empties them. "steady" rounds are on one heap that has seen several,
 * "fresh" ones each on a heap that was just made.
 */
#include <linux/compiler.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/goalloc.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/sort.h>
#include <linux/timex.h>

#define OBJECTS	1024
#define WARM_UP	8
#define ROUNDS	31

static bool backwards;
module_param(backwards, bool, 0444);
MODULE_PARM_DESC(backwards, "The largest size first");

static const size_t sizes[] = { 16, 64, 512, 1024 };

static void *objs[OBJECTS];

/* Instructions of each round. */
static u64 rounds_alloc[ROUNDS];
static u64 rounds_free[ROUNDS];

/* What is found. */
static char text[SZ_8K];
static struct debugfs_blob_wrapper blob = { .data = text };
static struct dentry *file;

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *values)
{
	sort(values, ROUNDS, sizeof(*values), compare, NULL);
	return values[ROUNDS / 2];
}

/* One row; @took is what @n of them took. */
static void report(const char *what, size_t size, const char *zeroing, const char *state,
		   u64 took, u32 n)
{
	blob.size += scnprintf(text + blob.size, sizeof(text) - blob.size,
			       "kernel\t%s\t%zu\t%s\t%s\t%llu\n", what, size, zeroing, state,
			       took * 10 / n);
}

/*
 * One round. Inlined, so that both functions are called directly.
 */
static __always_inline bool one_round(struct goalloc_heap *heap, size_t size, gfp_t gfp, u32 r,
				      void *(*alloc)(struct goalloc_heap *heap, size_t size,
						     u32 flags, gfp_t gfp),
				      void (*free)(const void *obj))
{
	u64 begin, middle, end;
	bool ok = true;
	u32 i;

	begin = get_cycles();
	for (i = 0; i < OBJECTS; i++) {
		objs[i] = alloc(heap, size, 0, gfp);
		ok &= !!objs[i];
	}
	middle = get_cycles();
	for (i = 0; i < OBJECTS; i++)
		free(objs[i]);
	end = get_cycles();
	rounds_alloc[r] = middle - begin;
	rounds_free[r] = end - middle;
	return ok;
}

static noinline void *nothing_alloc(struct goalloc_heap *heap, size_t size, u32 flags, gfp_t gfp)
{
	barrier();
	return objs;
}

static noinline void nothing_free(const void *obj)
{
	barrier();
}

/* What this takes is the loop, the call and the return. */
static noinline bool round_nothing(u32 r)
{
	return one_round(NULL, 64, GFP_KERNEL, r, nothing_alloc, nothing_free);
}

static noinline bool round_goalloc(struct goalloc_heap *heap, size_t size, gfp_t gfp, u32 r)
{
	return one_round(heap, size, gfp, r, goalloc_heap_alloc, goalloc_free);
}

static u64 loop_alloc, loop_free;

static void report_rounds(size_t size, gfp_t gfp, const char *state)
{
	const char *zeroing = gfp & __GFP_ZERO ? "zeroed" : "uninit";

	report("alloc", size, zeroing, state, median(rounds_alloc) - loop_alloc, OBJECTS);
	report("free", size, zeroing, state, median(rounds_free) - loop_free, OBJECTS);
}

static void measure_loop(void)
{
	u32 r;

	for (r = 0; r < ROUNDS; r++)
		round_nothing(r);
	loop_alloc = median(rounds_alloc);
	loop_free = median(rounds_free);
}

/* The part of a first touch that nobody is spared. */
static int measure_clear_page(void)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);
	u32 r;

	if (!page)
		return -ENOMEM;
	for (r = 0; r < ROUNDS; r++) {
		u64 begin = get_cycles();

		clear_page(page);
		rounds_alloc[r] = get_cycles() - begin;
	}
	free_page((unsigned long)page);
	report("clear-page", PAGE_SIZE, "-", "-", median(rounds_alloc), 1);
	return 0;
}

static int measure_steady(size_t size, gfp_t gfp)
{
	const struct goalloc_heap_params params = { .name = "bench" };
	struct goalloc_heap *heap = goalloc_heap_create(&params);
	bool ok = true;
	u32 r;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	for (r = 0; ok && r < WARM_UP; r++)
		ok = round_goalloc(heap, size, gfp, r);
	for (r = 0; ok && r < ROUNDS; r++)
		ok = round_goalloc(heap, size, gfp, r);
	goalloc_heap_destroy(heap);
	if (!ok)
		return -ENOMEM;
	report_rounds(size, gfp, "steady");
	return 0;
}

static int measure_fresh(size_t size, gfp_t gfp)
{
	const struct goalloc_heap_params params = { .name = "bench" };
	u32 r;

	for (r = 0; r < ROUNDS; r++) {
		struct goalloc_heap *heap = goalloc_heap_create(&params);
		bool ok;

		if (IS_ERR(heap))
			return PTR_ERR(heap);
		ok = round_goalloc(heap, size, gfp, r);
		goalloc_heap_destroy(heap);
		if (!ok)
			return -ENOMEM;
		cond_resched();
	}
	report_rounds(size, gfp, "fresh");
	return 0;
}

static int __init bench_init(void)
{
	int err;
	u32 i;

	measure_loop();
	err = measure_clear_page();
	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[backwards ? ARRAY_SIZE(sizes) - 1 - i : i];

		err = measure_steady(size, GFP_KERNEL) ?:
		      measure_steady(size, GFP_KERNEL | __GFP_ZERO) ?:
		      measure_fresh(size, GFP_KERNEL) ?:
		      measure_fresh(size, GFP_KERNEL | __GFP_ZERO);
	}
	if (!err && blob.size == sizeof(text) - 1)
		err = -E2BIG;
	if (!err)
		file = debugfs_create_blob("goalloc_bench", 0400, NULL, &blob);
	return err;
}

static void __exit bench_exit(void)
{
	debugfs_remove(file);
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("What goalloc's objects cost in the kernel");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
