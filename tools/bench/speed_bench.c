// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an object costs in the kernel, with goalloc and its peers. Loading the
 * module measures; what it found is in debugfs, in goalloc_speed_bench, a line for
 * each row with tabs between:
 *
 *	<part>	<case>	<bytes>	<allocator>	<alloc, free or pair>	<value>
 *
 * A value is of one object, in hundredths, the median of all rounds without the
 * loop. It is in ticks of the cycle counter, which counts instructions in QEMU with
 * -icount shift=0 and one CPU. With clock=ns it is in nanoseconds, and the least of
 * several medians: all allocators take their turns, so that what else the machine does
 * meets all alike.
 *
 *	hot		each object is freed as soon as it is made
 *	lifo		so many are made and freed, the last one first
 *	shuffled	so many are made and freed in any order, the same each time
 *	tiny		all of that for sizes that share a block in goalloc
 *	random		all of that for any size from 16 to 1024
 *	bulk		so many in one call; shuffled: of 4096 that live, in any order
 *	softirq		from a tasklet, with GFP_ATOMIC
 *	handed		so many are made there, and freed by a task in the same order
 *
 * Where as many would take more memory than the parameter live_mib, fewer are made,
 * and the case says how many.
 */
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "speed.h"

#define OBJECTS		4096
#define HOT_OBJECTS	256
#define PATH_OBJECTS	64
#define PATH_SIZE	64
#define RANDOM_MIN	16
#define RANDOM_MAX	1024
#define TEXT_SIZE	SZ_512K

/* Few objects are measured more often. */
#define FEW		256
#define FEW_WARM_UP	8
#define FEW_ROUNDS	31
#define MANY_WARM_UP	3
#define MANY_ROUNDS	9

/* Of nanoseconds: turns, and for how long a clock is beside the other before. */
#define TIMED_TURNS	5
#define TIMED_ROUNDS	9
#define CALIBRATION_MS	50

static bool backwards;
module_param(backwards, bool, 0444);
MODULE_PARM_DESC(backwards, "Sizes and allocators in the opposite order");

static bool quick;
module_param(quick, bool, 0444);
MODULE_PARM_DESC(quick, "Four sizes, and not all cases");

static bool path;
module_param(path, bool, 0444);
MODULE_PARM_DESC(path, "One size, hot and handed: for somebody who looks at each instruction");

static char *clock = "cycles";
module_param(clock, charp, 0444);
MODULE_PARM_DESC(clock, "cycles, or ns where there is no counter of them");

static unsigned int live_mib = 64;
module_param(live_mib, uint, 0444);
MODULE_PARM_DESC(live_mib, "MiB of objects that may live");

static bool speed_ns;

/* So many nanoseconds are so many ticks; one and one where those are what counts. */
static u64 calibration_ns = 1, calibration_ticks = 1;

static const char *const names[SPEED_ALLOCATORS] = {
	[SPEED_NOTHING] = "nothing",
	[SPEED_GOALLOC] = "goalloc",
	[SPEED_GOALLOC_CLASS] = "goalloc-class",
	[SPEED_GOALLOC_VARIABLE] = "goalloc-variable",
	[SPEED_KMALLOC] = "kmalloc",
	[SPEED_KMALLOC_VARIABLE] = "kmalloc-variable",
	[SPEED_CACHE] = "kmem_cache",
	[SPEED_PAGES] = "alloc_pages",
	[SPEED_KVMALLOC] = "kvmalloc",
};

/* Sizes above those of exact classes. */
#define CLASS_MAX	SZ_32K

static const u16 quick_sizes[] = { 16, 64, 512, 1024 };

static void *objs[OBJECTS], *shuffled[OBJECTS];
static u16 order_same[OBJECTS], order_lifo[OBJECTS], order_any[OBJECTS];
static u16 random_sizes[OBJECTS];

/* What each round took, as the loops give it. */
static u64 rounds_alloc[FEW_ROUNDS], rounds_free[FEW_ROUNDS], rounds_pair[FEW_ROUNDS];

/* What is found. */
static struct debugfs_blob_wrapper blob;
static struct dentry *file;

/* xorshift64*: the same numbers each time. */
static u64 seed = 20261122;

static u32 random_below(u32 n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return ((seed * 2685821657736338717ULL >> 32) * n) >> 32;
}

/* Of the first @n. */
static void draw_order(u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		order_same[i] = i;
		order_lifo[i] = n - 1 - i;
		order_any[i] = i;
	}
	seed = 20261122;
	for (i = n; i > 1; i--) {
		u32 other = random_below(i);

		swap(order_any[i - 1], order_any[other]);
	}
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *values, u32 n)
{
	sort(values, n, sizeof(*values), compare, NULL);
	return values[n / 2];
}

static void report(const char *part, const char *name, size_t size, const char *allocator,
		   const char *metric, s64 took, u32 n)
{
	u64 hundredths = div64_u64(max_t(s64, took, 0) * 100 * calibration_ns,
				   n * calibration_ticks);
	char bytes[24] = "16-1024";

	if (size)
		snprintf(bytes, sizeof(bytes), "%zu", size);
	blob.size += scnprintf(blob.data + blob.size, TEXT_SIZE - blob.size,
			       "%s\t%s\t%s\t%s\t%s\t%llu\n", part, name, bytes, allocator,
			       metric, hundredths);
}

/* What is run, and where. */
enum speed_mode { MODE_HOT, MODE_HOT_ALLOC, MODE_PHASES, MODE_HANDED };

struct measurement {
	const struct speed_loops *loops;
	const struct speed_loops *nothing;
	struct speed_run run;
	enum speed_mode mode;
	bool ok;
};

/* In a softirq: a whole measurement, or one loop. */
static struct {
	struct measurement *measurement;
	void (*loop)(struct speed_run *r);
	struct speed_run *run;
	struct completion done;
} in_softirq;

static void measure(struct measurement *m);

static void softirq_work(struct tasklet_struct *unused)
{
	if (in_softirq.measurement)
		measure(in_softirq.measurement);
	else
		in_softirq.loop(in_softirq.run);
	complete(&in_softirq.done);
}

static DECLARE_TASKLET(softirq, softirq_work);

static void run_softirq(void)
{
	local_bh_disable();
	tasklet_schedule(&softirq);
	local_bh_enable();
	wait_for_completion(&in_softirq.done);
}

static void measure_in_softirq(struct measurement *m)
{
	in_softirq.measurement = m;
	run_softirq();
	in_softirq.measurement = NULL;
}

static void loop_in_softirq(void (*loop)(struct speed_run *r), struct speed_run *r)
{
	in_softirq.loop = loop;
	in_softirq.run = r;
	run_softirq();
}

static bool run_once(struct speed_run *r, const struct speed_loops *loops, enum speed_mode mode)
{
	u32 k;

	memset(r->objs, 0, r->n * sizeof(*r->objs));
	switch (mode) {
	case MODE_HOT:
		loops->hot(r);
		break;
	case MODE_HOT_ALLOC:
		loops->hot_alloc(r);
		break;
	case MODE_PHASES:
		loops->make(r);
		loops->discard(r);
		break;
	case MODE_HANDED:
		loop_in_softirq(loops->make, r);
		loops->discard(r);
		break;
	}
	if (mode >= MODE_PHASES)
		r->pair = r->alloc + r->free;
	for (k = 0; k < r->n; k++)
		if (!r->objs[k] && loops->allocator != SPEED_NOTHING)
			return false;
	return true;
}

/* Medians of many rounds, in the place of the rounds. */
static bool run_rounds(struct speed_run *r, const struct speed_loops *loops,
		       enum speed_mode mode)
{
	u32 i, few = r->n <= FEW;
	u32 warm_up = few ? FEW_WARM_UP : MANY_WARM_UP;
	u32 rounds = few ? FEW_ROUNDS : speed_ns ? TIMED_ROUNDS : MANY_ROUNDS;

	for (i = 0; i < warm_up + rounds; i++) {
		u32 to = i < warm_up ? 0 : i - warm_up;

		if (!run_once(r, loops, mode))
			return false;
		rounds_alloc[to] = r->alloc;
		rounds_free[to] = r->free;
		rounds_pair[to] = r->pair;
		if (!in_serving_softirq())
			cond_resched();
	}
	r->alloc = median(rounds_alloc, rounds);
	r->free = median(rounds_free, rounds);
	r->pair = median(rounds_pair, rounds);
	return true;
}

/* Less what the loop takes without an allocator. */
static bool run_both(struct measurement *m, enum speed_mode mode)
{
	struct speed_run empty = m->run;

	if (!run_rounds(&empty, m->nothing, mode) || !run_rounds(&m->run, m->loops, mode))
		return false;
	m->run.alloc -= empty.alloc;
	m->run.free -= empty.free;
	m->run.pair -= empty.pair;
	return true;
}

static void measure(struct measurement *m)
{
	struct speed_run *r = &m->run;

	m->ok = run_both(m, m->mode);
	if (m->ok && m->mode == MODE_HOT && !speed_ns) {
		u64 pair = r->pair;

		m->ok = run_both(m, MODE_HOT_ALLOC);
		r->pair = pair;
		r->free = pair - r->alloc;
	}
}

/* What one allocator took at best in its turns. */
struct best {
	s64 alloc, free, pair;
};

static void best_keep(struct best *b, const struct speed_run *r, u32 turn)
{
	b->alloc = turn ? min_t(s64, b->alloc, r->alloc) : r->alloc;
	b->free = turn ? min_t(s64, b->free, r->free) : r->free;
	b->pair = turn ? min_t(s64, b->pair, r->pair) : r->pair;
}

static void best_report(const struct best *b, const char *part, const char *name, size_t size,
			const char *allocator, u32 n, bool parts)
{
	report(part, name, size, allocator, "pair", b->pair, n);
	if (!parts)
		return;
	report(part, name, size, allocator, "alloc", b->alloc, n);
	report(part, name, size, allocator, "free", b->free, n);
}

static u32 turns(void)
{
	return speed_ns ? TIMED_TURNS : 1;
}

/* A kmem_cache and a class of one size. */
struct caches {
	struct kmem_cache *cache;
	struct goalloc_class *class;
};

static void caches_destroy(struct caches *c)
{
	kmem_cache_destroy(c->cache);
	if (!IS_ERR_OR_NULL(c->class))
		goalloc_class_destroy(c->class);
}

static int caches_create(struct caches *c, size_t size)
{
	c->class = NULL;
	c->cache = kmem_cache_create("goalloc_speed", size, 0, 0, NULL);
	if (!c->cache)
		return -ENOMEM;
	if (size <= CLASS_MAX)
		c->class = goalloc_class_create(NULL, "speed", size, 0, 0);
	if (!IS_ERR(c->class))
		return 0;
	caches_destroy(c);
	return PTR_ERR(c->class);
}

/* What a loop is told, or an error pointer if there is no such thing. */
static void *cache_of(const struct caches *c, enum speed_allocator allocator)
{
	switch (allocator) {
	case SPEED_CACHE:
		return c->cache;
	case SPEED_GOALLOC_CLASS:
		return c->class ?: ERR_PTR(-ENOENT);
	default:
		return NULL;
	}
}

enum speed_pattern { HOT, LIFO, SHUFFLED, HANDED };

static const char *const pattern_names[] = { "hot", "lifo", "shuffled", "handed" };

/* One pattern for all allocators of a size; sizes differ if that is 0. */
static int measure_pattern(const struct speed_loops *loops, u32 nr_loops, const char *part,
			   size_t size, const struct caches *c, enum speed_pattern pattern, u32 n)
{
	/* A part for each pattern, or cases of one part. */
	bool own = !strcmp(part, "hot") || pattern == HANDED;
	const u16 *order = pattern == LIFO ? order_lifo :
			   pattern == HANDED ? order_same : order_any;
	struct best *all = kcalloc(nr_loops, sizeof(*all), GFP_KERNEL);
	u32 i, last = turns() - 1;
	char name[24];
	int err = 0;

	if (!all)
		return -ENOMEM;
	if (own)
		part = pattern_names[pattern];
	if (pattern == HOT)
		strscpy(name, own ? "-" : "hot", sizeof(name));
	else if (own)
		snprintf(name, sizeof(name), "%u", n);
	else
		snprintf(name, sizeof(name), "%s-%u", pattern_names[pattern], n);
	draw_order(n);
	for (i = 0; !err && i < nr_loops * turns(); i++) {
		u32 turn = i / nr_loops, k = i % nr_loops, at = backwards ? nr_loops - 1 - k : k;
		const struct speed_loops *l = &loops[at];
		struct measurement m = {
			.loops = l, .nothing = loops,
			.mode = pattern == HOT ? MODE_HOT :
				pattern == HANDED ? MODE_HANDED : MODE_PHASES,
			.run = {
				.objs = objs, .sizes = random_sizes, .size = size, .n = n,
				.order = order, .cache = cache_of(c, l->allocator),
			},
		};

		if (l->allocator == SPEED_NOTHING || IS_ERR(m.run.cache) ||
		    (l->size && l->size != size))
			continue;
		if (loops == speed_softirq && pattern != HANDED)
			measure_in_softirq(&m);
		else
			measure(&m);
		if (!m.ok)
			err = -ENOMEM;
		best_keep(&all[at], &m.run, turn);
		if (!err && turn == last)
			best_report(&all[at], part, name, size, names[l->allocator], n,
				    pattern != HOT || !speed_ns);
	}
	kfree(all);
	return err;
}

static int measure_size(const struct speed_loops *loops, u32 nr_loops, const char *part,
			size_t size)
{
	size_t most = size ? ((size_t)live_mib << 20) / size : OBJECTS;
	bool softirq = loops == speed_softirq;
	struct caches c = {};
	u32 hot, few, many;
	int err = size ? caches_create(&c, size) : 0;

	if (err)
		return err;
	few = clamp_t(size_t, most, 1, FEW);
	many = clamp_t(size_t, most, 1, OBJECTS);
	/* A clock of nanoseconds wants more of them. */
	hot = speed_ns ? OBJECTS : HOT_OBJECTS;
	err = measure_pattern(loops, nr_loops, part, size, &c, HOT, hot);
	if (!err && !quick)
		err = measure_pattern(loops, nr_loops, part, size, &c, LIFO, few);
	if (!err)
		err = measure_pattern(loops, nr_loops, part, size, &c,
				      softirq ? HANDED : SHUFFLED, few);
	if (!err && many > few && !softirq) {
		if (!quick)
			err = measure_pattern(loops, nr_loops, part, size, &c, LIFO, many);
		if (!err)
			err = measure_pattern(loops, nr_loops, part, size, &c, SHUFFLED, many);
	}
	caches_destroy(&c);
	return err;
}

static bool wanted(size_t size)
{
	u32 i;

	if (!quick)
		return true;
	for (i = 0; i < ARRAY_SIZE(quick_sizes); i++)
		if (size == quick_sizes[i])
			return true;
	return false;
}

/* Every size of a table of loops. */
static int measure_sizes(const struct speed_loops *loops, u32 nr_loops, const char *part,
			 int (*one)(const struct speed_loops *loops, u32 nr_loops,
				    const char *part, size_t size))
{
	size_t last = 0;
	int err = 0;
	u32 i;

	for (i = 0; !err && i < nr_loops; i++) {
		size_t size = loops[backwards ? nr_loops - 1 - i : i].size;

		if (!size || size == last || !wanted(size))
			continue;
		last = size;
		err = one(loops, nr_loops, part, size);
	}
	return err;
}

/* Many in one call. What there is of a loop is in the figures, it is so little. */
static __always_inline bool bulk_make(enum speed_allocator what, struct speed_run *r, size_t size,
				      u32 n, void **to)
{
	switch (what) {
	case SPEED_GOALLOC:
		return goalloc_alloc_bulk(NULL, size, 0, GFP_KERNEL, n, to) == n;
	case SPEED_GOALLOC_CLASS:
		return goalloc_class_alloc_bulk(r->cache, GFP_KERNEL, n, to) == n;
	default:
		return kmem_cache_alloc_bulk(r->cache, GFP_KERNEL, n, to) == n;
	}
}

static __always_inline void bulk_discard(enum speed_allocator what, struct speed_run *r, u32 n,
					 void **from)
{
	if (what == SPEED_CACHE)
		kmem_cache_free_bulk(r->cache, n, from);
	else
		goalloc_free_bulk(n, from);
}

/* The objects live only until the next call, or all live at once. */
static __always_inline bool bulk_round(enum speed_allocator what, struct speed_run *r, u32 n,
				       bool all)
{
	u64 begin = speed_clock(), took;
	bool ok = true;
	u32 i;

	r->alloc = 0;
	r->free = 0;
	if (!all) {
		for (i = 0; i < r->n; i += n) {
			if (speed_ns) {
				ok &= bulk_make(what, r, r->size, n, r->objs);
				bulk_discard(what, r, n, r->objs);
				continue;
			}
			r->alloc -= speed_clock();
			ok &= bulk_make(what, r, r->size, n, r->objs);
			took = speed_clock();
			r->alloc += took;
			bulk_discard(what, r, n, r->objs);
			r->free += speed_clock() - took;
		}
		r->pair = speed_ns ? speed_clock() - begin : r->alloc + r->free;
		return ok;
	}
	for (i = 0; i < r->n; i += n)
		ok &= bulk_make(what, r, r->size, n, r->objs + i);
	r->alloc = speed_clock() - begin;
	for (i = 0; i < r->n; i++)
		shuffled[r->order[i]] = r->objs[i];
	begin = speed_clock();
	for (i = 0; i < r->n; i += n)
		bulk_discard(what, r, n, shuffled + i);
	r->free = speed_clock() - begin;
	r->pair = r->alloc + r->free;
	return ok;
}

static noinline bool bulk_goalloc(struct speed_run *r, u32 n, bool all)
{
	return bulk_round(SPEED_GOALLOC, r, n, all);
}

static noinline bool bulk_class(struct speed_run *r, u32 n, bool all)
{
	return bulk_round(SPEED_GOALLOC_CLASS, r, n, all);
}

static noinline bool bulk_cache(struct speed_run *r, u32 n, bool all)
{
	return bulk_round(SPEED_CACHE, r, n, all);
}

static const struct {
	enum speed_allocator allocator;
	const char *name;
	bool (*round)(struct speed_run *r, u32 n, bool all);
} bulks[] = {
	{ SPEED_GOALLOC, "goalloc", bulk_goalloc },
	{ SPEED_GOALLOC_CLASS, "goalloc-class", bulk_class },
	{ SPEED_CACHE, "kmem_cache-bulk", bulk_cache },
};

static bool measure_bulk(const struct caches *c, u32 bulk, size_t size, u32 n, bool all,
			 struct best *best, u32 turn)
{
	u32 rounds = all ? MANY_ROUNDS : FEW_ROUNDS, warm_up = MANY_WARM_UP, i;
	struct speed_run r = {
		.objs = objs, .order = order_any, .size = size, .n = OBJECTS,
		.cache = cache_of(c, bulks[bulk].allocator),
	};
	char what[16];
	bool ok = true;

	for (i = 0; ok && i < warm_up + rounds; i++) {
		u32 to = i < warm_up ? 0 : i - warm_up;

		ok = bulks[bulk].round(&r, n, all);
		rounds_alloc[to] = r.alloc;
		rounds_free[to] = r.free;
		rounds_pair[to] = r.pair;
		cond_resched();
	}
	if (!ok)
		return false;
	r.alloc = median(rounds_alloc, rounds);
	r.free = median(rounds_free, rounds);
	r.pair = median(rounds_pair, rounds);
	best_keep(best, &r, turn);
	snprintf(what, sizeof(what), all ? "%u-shuffled" : "%u", n);
	if (turn == turns() - 1)
		best_report(best, "bulk", what, size, bulks[bulk].name, OBJECTS,
			    all || !speed_ns);
	return true;
}

static int measure_bulks(const struct speed_loops *loops, u32 nr_loops, const char *part,
			 size_t size)
{
	static const u16 counts[] = { 16, 64, 256 };
	struct best few[ARRAY_SIZE(bulks)], all[ARRAY_SIZE(bulks)];
	struct caches c;
	u32 i, k;
	int err;

	if (size > SZ_8K)
		return 0;
	err = caches_create(&c, size);
	if (err)
		return err;
	draw_order(OBJECTS);
	for (i = 0; !err && i < ARRAY_SIZE(counts); i++) {
		if (quick && counts[i] != 64)
			continue;
		for (k = 0; !err && k < ARRAY_SIZE(bulks) * turns(); k++) {
			u32 turn = k / ARRAY_SIZE(bulks), bulk = k % ARRAY_SIZE(bulks);

			if (backwards)
				bulk = ARRAY_SIZE(bulks) - 1 - bulk;
			if (!measure_bulk(&c, bulk, size, counts[i], false, &few[bulk], turn) ||
			    (counts[i] == 64 &&
			     !measure_bulk(&c, bulk, size, counts[i], true, &all[bulk], turn)))
				err = -ENOMEM;
		}
	}
	caches_destroy(&c);
	return err;
}

static int measure_path(const struct speed_loops *loops, u32 nr_loops, const char *part,
			size_t size)
{
	struct caches c;
	int err;

	if (size != PATH_SIZE)
		return 0;
	err = caches_create(&c, size);
	if (err)
		return err;
	err = measure_pattern(loops, nr_loops, part, size, &c,
			      loops == speed_softirq ? HANDED : HOT, PATH_OBJECTS);
	caches_destroy(&c);
	return err;
}

static int measure_all(void)
{
	int err;

	if (path)
		return measure_sizes(speed_task, speed_nr_task, "hot", measure_path) ?:
		       measure_sizes(speed_softirq, speed_nr_softirq, "softirq", measure_path);
	err = measure_sizes(speed_task, speed_nr_task, "hot", measure_size) ?:
	      measure_sizes(speed_task, speed_nr_task, "bulk", measure_bulks);
	if (err || quick)
		return err;
	return measure_size(speed_random, speed_nr_random, "random", 0) ?:
	       measure_sizes(speed_tiny, speed_nr_tiny, "tiny", measure_size) ?:
	       measure_sizes(speed_softirq, speed_nr_softirq, "softirq", measure_size);
}

/* How long a tick is. That of User-Mode Linux's own clock is too long for a round. */
static void calibrate(void)
{
	u64 ns = ktime_get_ns(), ticks = speed_clock();

	do
		calibration_ns = ktime_get_ns() - ns;
	while (calibration_ns < CALIBRATION_MS * NSEC_PER_MSEC);
	calibration_ticks = speed_clock() - ticks;
}

static int __init speed_init(void)
{
	int err;
	u32 i;

	init_completion(&in_softirq.done);
	speed_ns = !strcmp(clock, "ns");
	if ((!speed_ns && strcmp(clock, "cycles")) || !live_mib)
		return -EINVAL;
	if (!speed_ns && !get_cycles()) {
		pr_err("goalloc_speed_bench: this machine counts no cycles, clock=ns is for it\n");
		return -ENODEV;
	}
	if (speed_ns)
		calibrate();
	blob.data = vmalloc(TEXT_SIZE);
	if (!blob.data)
		return -ENOMEM;
	for (i = 0; i < OBJECTS; i++)
		random_sizes[i] = RANDOM_MIN + random_below(RANDOM_MAX - RANDOM_MIN + 1);
	err = measure_all();
	if (!err && blob.size == TEXT_SIZE - 1)
		err = -E2BIG;
	if (!err)
		file = debugfs_create_blob("goalloc_speed_bench", 0400, NULL, &blob);
	else
		vfree(blob.data);
	return err;
}

static void __exit speed_exit(void)
{
	debugfs_remove(file);
	vfree(blob.data);
}

module_init(speed_init);
module_exit(speed_exit);

MODULE_DESCRIPTION("What an object costs with goalloc and its peers");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
