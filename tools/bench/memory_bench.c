// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory a mix of objects takes. Loading the module runs one workload on one
 * allocator; what it found is in debugfs, in goalloc_memory_bench, two lines for each
 * phase with tabs between:
 *
 *	memory	<workload>	<phase>	<allocator>	asked	<bytes asked for by live objects>
 *	memory	<workload>	<phase>	<allocator>	backed	<bytes that the machine has less>
 *
 * Backed is what there was of free pages before, less what there is now, those that
 * CPUs keep at hand counted as free: all of what the allocator took, its books too.
 * Before is before the heap, the classes or the caches are made, and after all memory
 * of the module itself was had. The guest's script sees to it that slabs have nothing
 * free in them then.
 *
 * Workloads and their phases are in Documentation/benchmarks/memory.rst. The same
 * random numbers serve all allocators, and each time.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/goalloc.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#define OBJECTS		(3U << 20)	/* room for so many */
#define COPIES		16		/* of a trace, side by side */
#define TURN		64		/* events of a copy at a time, at most */
#define CHURN_SIZES	32		/* of a round */
#define CHURN_LARGE	512		/* one object of so many is a buffer */
#define MAX_SIZES	3		/* that have caches of their own */

static char *allocator = "goalloc";
module_param(allocator, charp, 0400);
MODULE_PARM_DESC(allocator, "goalloc, kmalloc, goalloc-class or kmem_cache");

static char *workload = "uniform-1-2048";
module_param(workload, charp, 0400);
MODULE_PARM_DESC(workload, "a mix, <trace> or thin-<trace>");

static char *trace = "";
module_param(trace, charp, 0400);
MODULE_PARM_DESC(trace, "file with a trace of allocations");

struct object {
	void *p;
	u32 size;
} __packed;

static struct object *objs;
static u32 nobjs;		/* of a mix: the live ones, of a trace: all */
static u64 live;

static u64 seed;

/* xorshift64*. */
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

/* Mixes of sizes. */

struct mix {
	const char *name;
	u32 (*draw)(void);
	u32 sizes[MAX_SIZES];	/* if there are no others */
	u32 live;
	u32 rounds;
	u32 free_percent;	/* of all, after the churn */
	bool churn;
};

static const struct mix *mix;

static u32 draw_2048(void)
{
	return 1 + random_below(2048);
}

static u32 draw_4096(void)
{
	return 100 + random_below(4096 - 100 + 1);
}

static u32 draw_zswap(void)
{
	return 1024 + random_below(3584 - 1024 + 1);
}

static u32 draw_fixed(void)
{
	return mix->sizes[random_below(MAX_SIZES)];
}

static u32 churn_sizes[CHURN_SIZES];

/* From 16 bytes to 4096, as many between 16 and 32 as between 2048 and 4096. */
static void churn_draw_sizes(void)
{
	u32 i;

	for (i = 0; i < CHURN_SIZES; i++) {
		u32 octave = 16 << (i / 4);

		churn_sizes[i] = octave + octave / 4 * (i % 4) + random_below(octave / 4);
	}
}

/* Small ones are made more often; now and then one has up to 64 KiB. */
static u32 draw_churn(void)
{
	u32 i = random_below(CHURN_SIZES), j = random_below(CHURN_SIZES);

	if (!random_below(CHURN_LARGE))
		return SZ_4K + random_below(SZ_64K - SZ_4K) + 1;
	return churn_sizes[min(i, j)];
}

static const struct mix mixes[] = {
	{ "uniform-1-2048",	draw_2048, {},			SZ_64M, 1, 90, true },
	{ "uniform-100-4096",	draw_4096, {},			SZ_64M, 1, 90, true },
	{ "zswap",		draw_zswap, {},			SZ_64M, 1, 90, true },
	{ "network",		draw_fixed, { 256, 704, 2304 },	SZ_64M, 1, 90, true },
	{ "3.5-4-4.5K",		draw_fixed, { 3584, 4096, 4608 }, SZ_64M, 1, 50, false },
	{ "churn",		draw_churn, {},			SZ_256M, 4, 90, true },
};

/* Allocators. */

struct ops {
	const char *name;
	int (*begin)(void);
	void (*end)(void);
	void *(*alloc)(u32 size, gfp_t gfp);
	void *(*realloc)(void *p, u32 old, u32 size);
	void (*free)(void *p, u32 size);
};

static const struct ops *ops;

static struct goalloc_heap *heap;

static int heap_begin(void)
{
	const struct goalloc_heap_params params = { .name = "memory" };

	heap = goalloc_heap_create(&params);
	return PTR_ERR_OR_ZERO(heap);
}

static void heap_end(void)
{
	goalloc_heap_destroy(heap);
}

static void *heap_alloc(u32 size, gfp_t gfp)
{
	return goalloc_heap_alloc(heap, size, 0, gfp);
}

/* The object that stands for no bytes is in no heap. */
static void *heap_realloc(void *p, u32 old, u32 size)
{
	if (ZERO_OR_NULL_PTR(p))
		return heap_alloc(size, GFP_KERNEL);
	return goalloc_realloc(p, size, GFP_KERNEL);
}

static void heap_free(void *p, u32 size)
{
	goalloc_free(p);
}

static int nothing_begin(void)
{
	return 0;
}

static void nothing_end(void)
{
}

/* As callers do who do not know how much it will be. */
static void *slab_alloc(u32 size, gfp_t gfp)
{
	return size <= PAGE_SIZE ? kmalloc(size, gfp) : kvmalloc(size, gfp);
}

static void *slab_realloc(void *p, u32 old, u32 size)
{
	void *new;

	if (!is_vmalloc_addr(p) && size <= PAGE_SIZE)
		return krealloc(p, size, GFP_KERNEL);
	if (is_vmalloc_addr(p) ? size <= PAGE_ALIGN(old) : size <= ksize(p))
		return p;
	new = kvmalloc(size, GFP_KERNEL);
	if (!new)
		return NULL;
	memcpy(new, p, min(old, size));
	kvfree(p);
	return new;
}

static void slab_free(void *p, u32 size)
{
	kvfree(p);
}

/* For mixes of few sizes: each has a class or a cache of its own. */

static struct goalloc_class *classes[MAX_SIZES];
static struct kmem_cache *caches[MAX_SIZES];

static u32 size_index(u32 size)
{
	u32 i = 0;

	while (mix->sizes[i] != size)
		i++;
	return i;
}

static void class_end(void)
{
	u32 i;

	for (i = 0; i < MAX_SIZES; i++)
		if (!IS_ERR_OR_NULL(classes[i]))
			goalloc_class_destroy(classes[i]);
	goalloc_heap_destroy(heap);
}

static int class_begin(void)
{
	int err = heap_begin();
	u32 i;

	if (err)
		return err;
	for (i = 0; i < MAX_SIZES; i++) {
		classes[i] = goalloc_class_create(heap, "memory", mix->sizes[i], 0, 0);
		if (IS_ERR(classes[i])) {
			err = PTR_ERR(classes[i]);
			class_end();
			return err;
		}
	}
	return 0;
}

static void *class_alloc(u32 size, gfp_t gfp)
{
	return goalloc_class_alloc(classes[size_index(size)], gfp);
}

static void cache_end(void)
{
	u32 i;

	for (i = 0; i < MAX_SIZES; i++)
		kmem_cache_destroy(caches[i]);
}

static int cache_begin(void)
{
	static const char * const names[MAX_SIZES] = { "memory-0", "memory-1", "memory-2" };
	u32 i;

	for (i = 0; i < MAX_SIZES; i++) {
		caches[i] = kmem_cache_create(names[i], mix->sizes[i], 0, 0, NULL);
		if (!caches[i]) {
			cache_end();
			return -ENOMEM;
		}
	}
	return 0;
}

static void *cache_alloc(u32 size, gfp_t gfp)
{
	return kmem_cache_alloc(caches[size_index(size)], gfp);
}

static void cache_free(void *p, u32 size)
{
	kmem_cache_free(caches[size_index(size)], p);
}

static const struct ops all_ops[] = {
	{ "goalloc", heap_begin, heap_end, heap_alloc, heap_realloc, heap_free },
	{ "kmalloc", nothing_begin, nothing_end, slab_alloc, slab_realloc, slab_free },
	{ "goalloc-class", class_begin, class_end, class_alloc, NULL, heap_free },
	{ "kmem_cache", cache_begin, cache_end, cache_alloc, NULL, cache_free },
};

/* What is found. */

static char text[SZ_8K];
static struct debugfs_blob_wrapper blob = { .data = text };
static struct dentry *file;

/* Free pages of the machine before. */
static u64 free_before;

/* Pages that the machine has left, those that CPUs keep at hand too. */
static u64 pages_free(void)
{
	int i, cpu, nid;
	u64 n = 0;

	for_each_online_node(nid) {
		struct zone *zones = NODE_DATA(nid)->node_zones;

		for (i = 0; i < MAX_NR_ZONES; i++) {
			if (!populated_zone(&zones[i]))
				continue;
			n += zone_page_state_snapshot(&zones[i], NR_FREE_PAGES);
			for_each_online_cpu(cpu)
				n += per_cpu_ptr(zones[i].per_cpu_pageset, cpu)->count;
		}
	}
	return n;
}

static void report_row(const char *phase, const char *what, u64 value)
{
	blob.size += scnprintf(text + blob.size, sizeof(text) - blob.size,
			       "memory\t%s\t%s\t%s\t%s\t%llu\n", workload, phase,
			       ops->name, what, value);
}

static void report(const char *phase)
{
	s64 backed;

	/* What waits for the end of a grace period is as good as free. */
	rcu_barrier();
	backed = free_before - pages_free();
	report_row(phase, "asked", live);
	report_row(phase, "backed", max_t(s64, backed, 0) << PAGE_SHIFT);
}

/* At once, and when whoever gives back memory in the background had his time. */
static void report_free(const char *phase, const char *later)
{
	report(phase);
	msleep(10 * MSEC_PER_SEC);
	report(later);
}

static bool make_object(struct object *o, u32 size, gfp_t gfp)
{
	o->p = ops->alloc(size, gfp);
	o->size = size;
	live += size;
	return o->p;
}

static void free_object(struct object *o)
{
	ops->free(o->p, o->size);
	live -= o->size;
	o->p = NULL;
}

static void free_random(u32 keep)
{
	while (nobjs > keep) {
		struct object *o = &objs[random_below(nobjs)];

		free_object(o);
		*o = objs[--nobjs];
		if (!(nobjs % 1024))
			cond_resched();
	}
}

static int grow(u64 until)
{
	while (live < until) {
		if (nobjs == OBJECTS)
			return -E2BIG;
		if (!make_object(&objs[nobjs++], mix->draw(), GFP_KERNEL))
			return -ENOMEM;
		if (!(nobjs % 1024))
			cond_resched();
	}
	return 0;
}

static int replace_all(void)
{
	u32 i;

	for (i = 0; i < nobjs; i++) {
		struct object *o = &objs[random_below(nobjs)];

		free_object(o);
		if (!make_object(o, mix->draw(), GFP_KERNEL))
			return -ENOMEM;
		if (!(i % 1024))
			cond_resched();
	}
	return 0;
}

static int run_mix(void)
{
	char phase[32], later[32];
	u32 round;
	int err;

	for (round = 1; round <= mix->rounds; round++) {
		churn_draw_sizes();
		err = grow(mix->live);
		if (err)
			return err;
		snprintf(phase, sizeof(phase), mix->rounds > 1 ? "peak-%u" : "peak", round);
		report(phase);
		if (mix->churn) {
			err = replace_all();
			if (err)
				return err;
			snprintf(phase, sizeof(phase), mix->rounds > 1 ? "used-%u" : "used",
				 round);
			report(phase);
		}
		free_random((u64)nobjs * (100 - mix->free_percent) / 100);
		snprintf(phase, sizeof(phase), mix->rounds > 1 ? "freed-%u" : "freed", round);
		snprintf(later, sizeof(later), mix->rounds > 1 ? "later-%u" : "later", round);
		report_free(phase, later);
		if (round == mix->rounds)
			break;
		err = grow(mix->live / 4);
		if (err)
			return err;
	}
	return 0;
}

/* Traces, see tools/bench/record/README.rst. */

#define TRACE_MAGIC	"GOALTRC1"

enum op { OP_MALLOC, OP_CALLOC, OP_FREE, OP_REALLOC };

static u8 *trace_data;
static size_t trace_size;
static u32 trace_objects;		/* made in one run */

/* One of several runs of the trace that take turns. */
static struct copy {
	size_t at;
	struct object *objs;
	u32 made;
} copies[COPIES];

static bool trace_number(size_t *at, u64 *value)
{
	u32 shift = 0;

	*value = 0;
	while (*at < trace_size && shift < 64) {
		u8 byte = trace_data[(*at)++];

		*value |= (u64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
		shift += 7;
	}
	return false;
}

static int trace_read(void)
{
	struct file *from = filp_open(trace, O_RDONLY, 0);
	loff_t at = 0;
	ssize_t n = -EINVAL;

	if (IS_ERR(from))
		return PTR_ERR(from);
	trace_size = i_size_read(file_inode(from));
	trace_data = trace_size ? vmalloc(trace_size) : NULL;
	if (trace_data)
		n = kernel_read(from, trace_data, trace_size, &at);
	filp_close(from, NULL);
	return n < 0 ? n : n == trace_size ? 0 : -EIO;
}

/* Counts the objects. No number is out of bounds afterwards. */
static int trace_check(void)
{
	size_t at = strlen(TRACE_MAGIC);
	u64 value;

	if (trace_size < at || memcmp(trace_data, TRACE_MAGIC, at))
		return -EINVAL;
	while (at < trace_size) {
		enum op op;

		if (!trace_number(&at, &value))
			return -EINVAL;
		op = value & 3;
		value >>= 2;
		if (op == OP_MALLOC || op == OP_CALLOC)
			trace_objects++;
		else if (value >= trace_objects || (op == OP_REALLOC && !trace_number(&at, &value)))
			return -EINVAL;
		if (op != OP_FREE && value > SZ_1G)
			return -EINVAL;
	}
	nobjs = trace_objects * COPIES;
	return trace_objects && trace_objects <= OBJECTS / COPIES ? 0 : -EINVAL;
}

/* With @dry only the bytes are counted. */
static bool trace_event(struct copy *copy, bool dry)
{
	struct object *o;
	u64 word, size;
	enum op op;

	trace_number(&copy->at, &word);
	op = word & 3;
	word >>= 2;
	if (op == OP_MALLOC || op == OP_CALLOC) {
		o = &copy->objs[copy->made++];
		if (!dry)
			return make_object(o, word, op == OP_CALLOC ? GFP_KERNEL | __GFP_ZERO :
					   GFP_KERNEL);
		o->size = word;
		live += word;
		return true;
	}

	o = &copy->objs[copy->made - 1 - word];
	if (op == OP_REALLOC) {
		trace_number(&copy->at, &size);
		if (!dry) {
			void *p = ops->realloc(o->p, o->size, size);

			if (!p)
				return false;
			o->p = p;
		}
		live += size - o->size;
		o->size = size;
		return true;
	}
	if (dry)
		live -= o->size;
	else
		free_object(o);
	return true;
}

/*
 * Runs all copies to the end, or to the end of the turn in which @until events were
 * done. Sets *peak to the number of events after which most bytes lived.
 */
static int trace_run(bool dry, u64 *events, u64 until, u64 *peak)
{
	u64 most = 0;
	u32 i;

	for (;;) {
		bool any = false;

		for (i = 0; i < COPIES; i++) {
			struct copy *copy = &copies[i];
			u32 n = 1 + random_below(TURN);

			while (n-- && copy->at < trace_size) {
				any = true;
				if (!trace_event(copy, dry))
					return -ENOMEM;
				(*events)++;
				if (live > most) {
					most = live;
					if (peak)
						*peak = *events;
				}
			}
			cond_resched();
			if (until && *events >= until)
				return 0;
		}
		if (!any)
			return 0;
	}
}

static void trace_begin(void)
{
	u32 i;

	memset(objs, 0, array_size(nobjs, sizeof(*objs)));
	for (i = 0; i < COPIES; i++) {
		copies[i].at = strlen(TRACE_MAGIC);
		copies[i].made = 0;
		copies[i].objs = objs + i * trace_objects;
	}
	live = 0;
	seed = 20261122;
}

/* Leaves those in objs that live. */
static void trace_gather(void)
{
	u32 i, n = 0;

	for (i = 0; i < nobjs; i++)
		if (objs[i].p)
			objs[n++] = objs[i];
	nobjs = n;
}

static int run_trace(void)
{
	bool thin = strstarts(workload, "thin-");
	u64 events = 0, peak = 0;
	int err;

	trace_begin();
	trace_run(true, &events, 0, &peak);
	trace_begin();
	events = 0;
	err = trace_run(false, &events, peak, NULL);
	if (err)
		return err;
	report("peak");
	if (!thin) {
		err = trace_run(false, &events, 0, NULL);
		if (err)
			return err;
		report_free("end", "end-later");
		return 0;
	}
	trace_gather();
	free_random(nobjs / 10);
	report_free("freed", "later");
	return 0;
}

static int prepare(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(all_ops); i++)
		if (!strcmp(allocator, all_ops[i].name))
			ops = &all_ops[i];
	for (i = 0; i < ARRAY_SIZE(mixes); i++)
		if (!strcmp(workload, mixes[i].name))
			mix = &mixes[i];
	if (!ops || (!mix && !*trace) || (!ops->realloc && !(mix && mix->sizes[0])))
		return -EINVAL;
	return mix ? 0 : trace_read() ?: trace_check();
}

static int __init memory_init(void)
{
	int err;

	objs = vzalloc(array_size(OBJECTS, sizeof(*objs)));
	if (!objs)
		return -ENOMEM;
	err = prepare();
	if (err)
		goto out;

	seed = 20261122;
	rcu_barrier();
	free_before = pages_free();
	err = ops->begin();
	if (err)
		goto out;
	err = mix ? run_mix() : run_trace();
	trace_gather();
	free_random(0);
	ops->end();
	if (!err && blob.size == sizeof(text) - 1)
		err = -E2BIG;
	if (!err)
		file = debugfs_create_blob("goalloc_memory_bench", 0400, NULL, &blob);
out:
	vfree(trace_data);
	vfree(objs);
	return err;
}

static void __exit memory_exit(void)
{
	debugfs_remove(file);
}

module_init(memory_init);
module_exit(memory_exit);

MODULE_DESCRIPTION("What memory goalloc and kmalloc take for a mix of objects");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
