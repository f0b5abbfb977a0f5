// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mstats: the books.
 *
 * What readmemstats() says is compared with the test's own counts, and, by
 * heap_kunit_check(), with what a walk over all pages and spans finds (I6).
 *
 * The seed of random cases is printed; the parameter mstats_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/goalloc.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../goalloc/class.h"
#include "../goalloc/malloc.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"

#define OBJECTS		400
#define OPS		8000

static ulong mstats_seed;
module_param(mstats_seed, ulong, 0444);
MODULE_PARM_DESC(mstats_seed, "seed of goalloc_mstats, 0 for any");

/* The test's own books. */
struct own {
	u64 mallocs, frees, tiny;
	u64 class_mallocs[GOALLOC_NUM_SIZE_CLASSES];
	u64 class_frees[GOALLOC_NUM_SIZE_CLASSES];
	u64 bytes, total;		/* tiny objects left out */
};

struct object {
	u64 addr;
	u64 bytes;
	u8 class;
	bool tiny;
};

static int free_addr(struct goalloc_heap *heap, u64 addr)
{
	return heap->backing == BACKING_LINEAR ? goalloc_try_free((void *)addr) :
						 mallocgc_free(heap, addr);
}

static u64 alloc_addr(struct goalloc_heap *heap, u64 size, u32 flags)
{
	unsigned long addr;
	u64 usable;

	if (heap->backing == BACKING_LINEAR)
		return (unsigned long)goalloc_heap_alloc(heap, size, flags, GFP_KERNEL);
	return mallocgc(heap, size, 0, flags, GFP_KERNEL, &addr, &usable) ? 0 : addr;
}

static void own_alloc(struct kunit *test, struct goalloc_heap *heap, struct rnd_state *rnd,
		      struct own *own, struct object *o)
{
	u32 r = prandom_u32_state(rnd), flags = r >> 31;
	u64 size = 1 + (r & 0xffff) % (r & BIT(20) ? 24 : r & BIT(21) ? 50000 : 1500);

	if (!(r & 0x7f000000))
		size = 1 + (r & 0x3fffff);
	*o = (struct object){ .addr = alloc_addr(heap, size, flags) };
	KUNIT_ASSERT_NE(test, o->addr, 0);
	own->mallocs++;
	if (!flags && size <= (heap->backing == BACKING_SPARSE ? GOALLOC_TINY_SIZE - 1 :
								 __GOALLOC_PACKED_MAX)) {
		o->tiny = true;
		own->tiny++;
		return;
	}
	o->class = size <= GOALLOC_MAX_SMALL_SIZE ? goalloc_size_to_class(size) : 0;
	o->bytes = o->class ? goalloc_class_to_size[o->class] :
			      round_up(size, GOALLOC_PAGE_SIZE);
	own->class_mallocs[o->class]++;
	own->bytes += o->bytes;
	own->total += o->bytes;
}

static void own_free(struct kunit *test, struct goalloc_heap *heap, struct own *own,
		     const struct object *o)
{
	KUNIT_EXPECT_EQ(test, free_addr(heap, o->addr), 0);
	own->frees++;
	if (o->tiny) {
		own->tiny--;
		return;
	}
	own->class_frees[o->class]++;
	own->bytes -= o->bytes;
}

static void own_check(struct kunit *test, struct goalloc_heap *heap, const struct own *own)
{
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	u64 blocks = 0, taken = 0;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	heap_kunit_check(test, heap, own->mallocs - own->frees);
	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->by_size_count, GOALLOC_NUM_SIZE_CLASSES);
	KUNIT_EXPECT_EQ(test, ms->mallocs, own->mallocs);
	KUNIT_EXPECT_EQ(test, ms->frees, own->frees);
	for (u32 c = 0; c < GOALLOC_NUM_SIZE_CLASSES; c++) {
		struct goalloc_by_size *b = &ms->by_size[c];

		KUNIT_EXPECT_EQ(test, b->object_size, goalloc_class_to_size[c]);
		if (c == GOALLOC_TINY_SIZE_CLASS) {
			/* Blocks are counted, not what is packed into them. */
			taken = b->mallocs - own->class_mallocs[c];
			blocks = taken - (b->frees - own->class_frees[c]);
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, b->mallocs, own->class_mallocs[c], "class %u", c);
		KUNIT_EXPECT_EQ_MSG(test, b->frees, own->class_frees[c], "class %u", c);
	}
	KUNIT_EXPECT_LE(test, blocks, own->tiny);
	KUNIT_EXPECT_GE(test, blocks * 16, own->tiny);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, own->bytes + blocks * 16);
	KUNIT_EXPECT_EQ(test, ms->total_alloc, own->total + taken * 16);
	kunit_kfree(test, ms);
}

static void random_work(struct kunit *test, enum goalloc_backing backing)
{
	struct goalloc_heap *heap = heap_kunit_create(test, backing, 0);
	struct object *objs = kunit_kcalloc(test, OBJECTS, sizeof(*objs), GFP_KERNEL);
	struct own *own = kunit_kzalloc(test, sizeof(*own), GFP_KERNEL);
	ulong seed = mstats_seed ?: get_random_u32() | 1;
	struct rnd_state rnd;
	u32 n = 0;

	KUNIT_ASSERT_NOT_NULL(test, objs);
	KUNIT_ASSERT_NOT_NULL(test, own);
	prandom_seed_state(&rnd, seed);
	kunit_info(test, "mstats_seed=%lu\n", seed);
	own_check(test, heap, own);
	for (u32 op = 0; op < OPS; op++) {
		u32 r = prandom_u32_state(&rnd);

		if (!n || (n < OBJECTS && r % 100 < (op / 1000 % 2 ? 42 : 58))) {
			own_alloc(test, heap, &rnd, own, &objs[n]);
			n++;
		} else {
			u32 i = (r >> 8) % n;

			own_free(test, heap, own, &objs[i]);
			objs[i] = objs[--n];
		}
		if (op % 1600 == 1599)
			own_check(test, heap, own);
		cond_resched();
	}
	while (n)
		own_free(test, heap, own, &objs[--n]);
	own_check(test, heap, own);
}

static void mstats_random_linear(struct kunit *test)
{
	random_work(test, BACKING_LINEAR);
}

static void mstats_random_sparse(struct kunit *test)
{
	random_work(test, BACKING_SPARSE);
}

/* Blocks that objects lie in, which are packed in the order of the array. */
static u64 tiny_blocks_of(void **p, u32 n)
{
	u64 blocks = 0;

	for (u32 i = 0; i < n; i++)
		blocks += !i || ((unsigned long)p[i] ^ (unsigned long)p[i - 1]) >> 4;
	return blocks;
}

/* Each tiny object counts, by_size counts their blocks. */
static void mstats_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	void *p[40];
	u32 n = ARRAY_SIZE(p);

	KUNIT_ASSERT_NOT_NULL(test, ms);
	preempt_disable();
	for (u32 i = 0; i < n; i++)
		p[i] = goalloc_heap_alloc(heap, 1, 0, GFP_ATOMIC);
	preempt_enable();
	for (u32 i = 0; i < n; i++)
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	KUNIT_EXPECT_EQ(test, tiny_blocks_of(p, n), 3);
	while (n) {
		readmemstats(heap, ms);
		KUNIT_EXPECT_EQ(test, ms->mallocs, ARRAY_SIZE(p));
		KUNIT_EXPECT_EQ(test, ms->frees, ARRAY_SIZE(p) - n);
		KUNIT_EXPECT_EQ(test, ms->heap_objects, n);
		KUNIT_EXPECT_EQ(test, ms->by_size[2].mallocs, 3);
		KUNIT_EXPECT_EQ(test, ms->by_size[2].mallocs - ms->by_size[2].frees,
				tiny_blocks_of(p, n));
		KUNIT_EXPECT_EQ(test, ms->heap_alloc, 16 * tiny_blocks_of(p, n));
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p[--n]), 0);
	}
	heap_kunit_check(test, heap, 0);
}

/* A free that was counted twice until its span is merged leaves nothing negative. */
static void mstats_late(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	struct goalloc_class *cls = goalloc_class_create(heap, "mstats", 72, 0, 0);
	u8 class = goalloc_size_to_class(64), spc = make_spanclass(class, true);
	u64 mallocs, frees;
	void *p, *q;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(cls));
	p = goalloc_heap_alloc(heap, 64, 0, GFP_KERNEL);
	q = goalloc_class_alloc(cls, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_NOT_NULL(test, q);
	goalloc_free(p);
	goalloc_free(q);
	atomic64_inc(&heap->frees[spc]);
	atomic64_inc(&heap->frees[cls->spc]);
	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->mallocs, 2);
	KUNIT_EXPECT_EQ(test, ms->frees, 2);
	KUNIT_EXPECT_EQ(test, ms->heap_objects, 0);
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, 0);
	KUNIT_EXPECT_EQ(test, ms->by_size[class].frees, 1);
	class_counts(heap, cls->spc, &mallocs, &frees);
	KUNIT_EXPECT_EQ(test, mallocs, 1);
	KUNIT_EXPECT_EQ(test, frees, 1);
	atomic64_dec(&heap->frees[spc]);
	atomic64_dec(&heap->frees[cls->spc]);
	goalloc_class_destroy(cls);
	heap_kunit_check(test, heap, 0);
}

/* Fields that no allocation moves, or only the first. */
static void mstats_fields_move(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	struct goalloc_query q;
	u64 addr, now;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	ms->size = 4711;
	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->size, 4711);
	KUNIT_EXPECT_EQ(test, ms->heap_sys, 0);
	KUNIT_EXPECT_EQ(test, ms->mcache_inuse, 0);
	KUNIT_EXPECT_EQ(test, ms->mspan_inuse, 0);
	KUNIT_EXPECT_EQ(test, ms->gc_sys, 0);
	KUNIT_EXPECT_GE(test, ms->other_sys, sizeof(*heap));
	KUNIT_EXPECT_EQ(test, ms->lookups, 0);
	KUNIT_EXPECT_EQ(test, ms->num_gc, 0);
	KUNIT_EXPECT_EQ(test, ms->last_gc, 0);
	KUNIT_EXPECT_EQ(test, ms->next_gc, GOALLOC_NO_LIMIT);

	addr = alloc_addr(heap, 100, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_EXPECT_EQ(test, mallocgc_query(heap, addr, &q), 0);
	KUNIT_EXPECT_EQ(test, mallocgc_query(heap, 5, &q), -ENOENT);
	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->heap_sys, PALLOC_CHUNK_SIZE);
	KUNIT_EXPECT_EQ(test, ms->heap_inuse, GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, ms->heap_released, ms->heap_idle);
	KUNIT_EXPECT_GT(test, ms->mcache_inuse, 0);
	KUNIT_EXPECT_EQ(test, ms->mcache_inuse % sizeof(struct mcache), 0);
	KUNIT_EXPECT_GE(test, ms->mspan_inuse, sizeof(struct mspan));
	KUNIT_EXPECT_GE(test, ms->gc_sys, sizeof(struct goalloc_chunk));
	KUNIT_EXPECT_EQ(test, ms->lookups, 2);

	now = ktime_get_real_ns();
	KUNIT_EXPECT_EQ(test, gc_mark(heap, addr), 0);
	gc_sweep_start(heap);
	readmemstats(heap, ms);
	KUNIT_EXPECT_EQ(test, ms->num_gc, 1);
	KUNIT_EXPECT_EQ(test, ms->num_forced_gc, 1);
	KUNIT_EXPECT_GE(test, ms->last_gc, now);
	KUNIT_EXPECT_GT(test, ms->pause_total_ns, 0);
	while (sweepone(heap) != ~0ULL)
		;
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr), 0);
	heap_kunit_check(test, heap, 0);
}

#define SHARED_SLOTS	64
#define WORKERS		3

struct shared {
	struct goalloc_heap *heap;
	void *slot[SHARED_SLOTS];
	bool stop;
};

struct worker {
	struct shared *sh;
	struct task_struct *task;
	struct rnd_state rnd;
	u64 mallocs, frees, refused;
};

/* Puts objects where others take and free them. */
static int work(void *data)
{
	struct worker *w = data;

	while (!READ_ONCE(w->sh->stop)) {
		u32 r = prandom_u32_state(&w->rnd);
		size_t size = 1 + (r & 0xffff) % (r & BIT(20) ? 30 : r & BIT(21) ? 40000 : 600);
		void *p = goalloc_heap_alloc(w->sh->heap, size, r >> 31, GFP_KERNEL);

		w->mallocs += !!p;
		p = xchg(&w->sh->slot[(r >> 16) % SHARED_SLOTS], p);
		if (p) {
			w->frees++;
			w->refused += !!goalloc_try_free(p);
		}
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void stop_worker(void *data)
{
	struct worker *w = data;

	WRITE_ONCE(w->sh->stop, true);
	kthread_stop(w->task);
	put_task_struct(w->task);
}

/* Read while others allocate and free each other's objects: never negative. */
static void mstats_racing(struct kunit *test)
{
	struct shared *sh = kunit_kzalloc(test, sizeof(*sh), GFP_KERNEL);
	struct worker *w = kunit_kcalloc(test, WORKERS, sizeof(*w), GFP_KERNEL);
	struct goalloc_memstats *ms = kunit_kcalloc(test, 2, sizeof(*ms), GFP_KERNEL);
	u64 negative = 0, back = 0, apart = 0, mallocs = 0, frees = 0;

	KUNIT_ASSERT_NOT_NULL(test, sh);
	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	sh->heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	for (u32 i = 0; i < WORKERS; i++) {
		w[i].sh = sh;
		prandom_seed_state(&w[i].rnd, (mstats_seed ?: 1) + i);
		w[i].task = kthread_create(work, &w[i], "goalloc_mstats/%u", i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(w[i].task));
		get_task_struct(w[i].task);
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_worker, &w[i]), 0);
		kthread_bind(w[i].task, cpumask_nth(i % num_online_cpus(), cpu_online_mask));
		wake_up_process(w[i].task);
	}
	/* KCSAN looks at each of many accesses. */
	for (u32 n = 0; n < (IS_ENABLED(CONFIG_KCSAN) ? 300 : 3000); n++) {
		struct goalloc_memstats *now = &ms[n & 1], *last = &ms[!(n & 1)];

		readmemstats(sh->heap, now);
		negative += (s64)now->heap_objects < 0 || (s64)now->heap_alloc < 0;
		for (u32 c = 0; c < GOALLOC_NUM_SIZE_CLASSES; c++)
			negative += now->by_size[c].mallocs < now->by_size[c].frees;
		apart += now->heap_inuse + now->heap_idle != now->heap_sys ||
			 now->heap_released > now->heap_idle;
		back += now->mallocs < last->mallocs || now->frees < last->frees ||
			now->total_alloc < last->total_alloc;
		cond_resched();
	}
	for (u32 i = 0; i < WORKERS; i++) {
		kunit_release_action(test, stop_worker, &w[i]);
		KUNIT_EXPECT_EQ(test, w[i].refused, 0);
		mallocs += w[i].mallocs;
		frees += w[i].frees;
	}
	kunit_info(test, "%llu objects\n", mallocs);
	KUNIT_EXPECT_EQ(test, negative, 0);
	KUNIT_EXPECT_EQ(test, apart, 0);
	KUNIT_EXPECT_EQ(test, back, 0);
	heap_kunit_check(test, sh->heap, mallocs - frees);
	for (u32 i = 0; i < SHARED_SLOTS; i++)
		goalloc_free(sh->slot[i]);
	heap_kunit_check(test, sh->heap, 0);
}

static struct kunit_case mstats_cases[] = {
	KUNIT_CASE_SLOW(mstats_random_linear),
	KUNIT_CASE_SLOW(mstats_random_sparse),
	KUNIT_CASE(mstats_tiny),
	KUNIT_CASE(mstats_late),
	KUNIT_CASE(mstats_fields_move),
	KUNIT_CASE_SLOW(mstats_racing),
	{}
};

static struct kunit_suite mstats_suite = {
	.name = "goalloc_mstats",
	.test_cases = mstats_cases,
};

kunit_test_suite(mstats_suite);

GOALLOC_KUNIT_IMPORT;
