// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_limits: what a heap is to hold, and who sees to it.
 *
 * What the background scavenger finds too much, from a table; its turns, called
 * one by one, and on its own. Soft limits, of a heap and of all, that nothing
 * fails for and that cost who allocates a bounded piece of work; and max, to the
 * page, with threads in several heaps.
 *
 * The background is off when the suites run; cases turn it on and off again.
 * Units: heap pages unless a name says bytes.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/goalloc.h>
#include <linux/jiffies.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/workqueue.h>

#include "../goalloc/param.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

#define PAGE_BYTES	GOALLOC_PAGE_SIZE

static void quiet(void *unused)
{
	WRITE_ONCE(goalloc_limit, GOALLOC_NO_LIMIT);
	WRITE_ONCE(goalloc_max, GOALLOC_NO_LIMIT);
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
}

/* Whatever the test sets for all heaps is set back at its end. */
static void quiet_at_end(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, quiet, NULL), 0);
}

/* A file heap with so many pages in use, and so many idle ones above them. */
static struct goalloc_heap *filled(struct kunit *test, u32 in_use, u32 idle)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct mspan *s = NULL;

	if (in_use)
		KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, in_use));
	if (idle)
		s = sparse_kunit_span(heap, idle);
	for (u32 i = 0; s && i < idle; i++)
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, s->start_addr + i * PAGE_BYTES,
							 1), 1);
	if (s)
		mheap_return_span(s);
	KUNIT_ASSERT_EQ(test, heap->pages_idle, idle);
	return heap;
}

#define ANY	GOALLOC_NO_LIMIT

static const struct excess_row {
	const char *what;
	u64 idle, in_use;
	u64 limit, held;	/* bytes */
	bool all_over;		/* all heaps together hold more than they are to */
	u64 excess;
} excess_rows[] = {
	{ "nothing", 0, 0, ANY, 0, false, 0 },
	{ "nothing idle", 0, 1000, ANY, 1 << 20, false, 0 },
	{ "nothing idle, over the limit", 0, 1000, 1, 1 << 20, false, 0 },
	{ "nothing idle, all over", 0, 1000, ANY, 1 << 20, true, 0 },
	{ "nothing in use", 7, 0, ANY, 7 << 13, false, 7 },
	{ "a tenth", 100, 1000, ANY, 1100 << 13, false, 0 },
	{ "a tenth and a page", 101, 1000, ANY, 1101 << 13, false, 1 },
	{ "a tenth of few", 1, 9, ANY, 10 << 13, false, 1 },
	{ "a tenth of ten", 1, 10, ANY, 11 << 13, false, 0 },
	{ "much", 5000, 1000, ANY, 6000 << 13, false, 4900 },
	{ "under the limit", 100, 1000, 2000 << 13, 1100 << 13, false, 0 },
	{ "under the limit, too much idle", 200, 1000, 2000 << 13, 1200 << 13, false, 100 },
	{ "at the goal", 100, 1800, 2000 << 13, 1900 << 13, false, 0 },
	{ "over the goal, less than a tenth idle", 100, 1820, 2000 << 13, 1920 << 13, false, 20 },
	{ "over the goal, more idle than that", 300, 1620, 2000 << 13, 1920 << 13, false, 138 },
	{ "far over the goal", 50, 1000, 100 << 13, 1050 << 13, false, 50 },
	{ "no memory allowed", 50, 1000, 0, 1050 << 13, false, 50 },
	{ "all over", 50, 1000, ANY, 1050 << 13, true, 50 },
	{ "all over, and this one", 50, 1000, 1, 1050 << 13, true, 50 },
};

KUNIT_ARRAY_PARAM_DESC(excess, excess_rows, what);

static void limits_excess(struct kunit *test)
{
	const struct excess_row *row = test->param_value;
	struct goalloc_heap *heap = kunit_kzalloc(test, sizeof(*heap), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, heap);
	quiet_at_end(test);
	heap->backing = BACKING_SPARSE;
	heap->pages_idle = row->idle;
	atomic64_set(&heap->pages_in_use, row->in_use);
	heap->limit = row->limit;
	atomic64_set(&heap->backed, row->held);
	/* The module's own heap holds more than that. */
	if (row->all_over)
		WRITE_ONCE(goalloc_limit, 1);
	KUNIT_EXPECT_EQ(test, scavenge_excess(heap), row->excess * PAGE_BYTES);
}

/* One turn of the background, here and now; never two at once, as elsewhere. */
static void turn(void)
{
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	goalloc_bgscavenge.work.func(&goalloc_bgscavenge.work);
}

/* Heaps that others left with too much would have turns, too. */
static void begin_turns(struct kunit *test)
{
	quiet_at_end(test);
	scavenge(goalloc_kernel_heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	scavenge_all(GOALLOC_NO_LIMIT - 1, SCAVENGE_REQUEST);
	/* Nothing comes by itself; it has only what the test calls. */
	cancel_delayed_work_sync(&goalloc_bgscavenge);
}

/* Is the work neither due nor running? While it runs it may make itself due again. */
static bool background_is_over(void)
{
	if (delayed_work_pending(&goalloc_bgscavenge))
		return false;
	flush_work(&goalloc_bgscavenge.work);
	return !delayed_work_pending(&goalloc_bgscavenge);
}

/* Heaps take turns, by number, until each has what it is to have. */
static void limits_turns(struct kunit *test)
{
	struct goalloc_heap *heap[3];
	u64 done[3] = {};
	u32 last = 3, turns = 0, in_row = 0, single = 0;

	begin_turns(test);
	for (u32 i = 0; i < 3; i++)
		heap[i] = filled(test, 100, 400);
	/* So that the next turn, which comes by itself, is not there before it is cancelled. */
	WRITE_ONCE(goalloc_scavenge_percent, 1);
	while (scavenge_excess(heap[0]) || scavenge_excess(heap[1]) || scavenge_excess(heap[2])) {
		u32 who = 3, n = 0;
		bool over;

		turn();
		/* It may even be there by now, and have found nothing more. */
		over = background_is_over();
		cancel_delayed_work_sync(&goalloc_bgscavenge);
		for (u32 i = 0; over && i < 3; i++)
			KUNIT_EXPECT_EQ(test, scavenge_excess(heap[i]), 0);
		for (u32 i = 0; i < 3; i++) {
			u64 now = atomic64_read(&heap[i]->scav_bytes[SCAVENGE_BACKGROUND]);

			if (now != done[i]) {
				who = i;
				n++;
			}
			done[i] = now;
		}
		KUNIT_ASSERT_LT(test, turns++, 1000);
		/* Somebody else's, or it was there after all. */
		if (n != 1) {
			last = n ? 3 : last;
			continue;
		}
		/* The one after the last one that still has something. */
		in_row += last != 3 && who != (last + 1) % 3 &&
			  scavenge_excess(heap[(last + 1) % 3]);
		last = who;
		single++;
	}
	KUNIT_EXPECT_GE(test, single, 3);
	KUNIT_EXPECT_EQ(test, in_row, 0);
	for (u32 i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, heap[i]->pages_idle, 10);
		/* The highest addresses went. */
		for (u32 p = 0; p < 400; p++) {
			u64 addr = goalloc_page_addr(100 + p);

			KUNIT_EXPECT_EQ(test, !!sparse_kunit_page(heap[i], addr), p < 10);
		}
		heap_kunit_check(test, heap[i], 0);
	}
	/* Nothing to do: it ends, once others have had their turns. */
	for (turns = 0; turns < 1200; turns++) {
		cancel_delayed_work_sync(&goalloc_bgscavenge);
		turn();
		if (background_is_over())
			break;
		msleep(50);
	}
	KUNIT_EXPECT_LT(test, turns, 1200);
	/* And it does not begin if it is not to. */
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	scavenge_kick(1);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&goalloc_bgscavenge));
}

/* Whole blocks of 2 MiB go before small ones above them. */
static void limits_whole_first(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	struct goalloc_chunk *c;
	struct mspan *s[4];

	quiet_at_end(test);
	/* Two whole blocks, and a half with blocks of 128 KiB above them. */
	s[0] = sparse_kunit_span(heap, PALLOC_HALF_PAGES);
	s[1] = sparse_kunit_span(heap, PALLOC_HALF_PAGES);
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	s[2] = sparse_kunit_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, s[2]);
	mheap_return_span(s[2]);
	scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	goalloc_fail_run(2, 4);
	s[2] = sparse_kunit_span(heap, 16);
	goalloc_fail_nth(0);
	s[3] = sparse_kunit_span(heap, 16);
	KUNIT_ASSERT_NOT_NULL(test, s[2]);
	KUNIT_ASSERT_NOT_NULL(test, s[3]);
	KUNIT_ASSERT_EQ(test, atomic64_read(&heap->backed), 2 * SZ_2M + 2 * SZ_128K);
	for (u32 i = 0; i < 4; i++)
		mheap_return_span(s[i]);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_BACKGROUND), SZ_2M);
	KUNIT_EXPECT_NULL(test, heap_kunit_linear_page(mheap_chunk(heap, GOALLOC_HEAP_BASE), 256));
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_BACKGROUND), SZ_2M);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_BACKGROUND), SZ_128K);
	c = mheap_chunk(heap, goalloc_chunk_base(1));
	KUNIT_EXPECT_NULL(test, heap_kunit_linear_page(c, 16));
	KUNIT_EXPECT_NOT_NULL(test, heap_kunit_linear_page(c, 0));
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_BACKGROUND), SZ_128K);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_BACKGROUND), 0);
	heap_kunit_check(test, heap, 0);
}

/*
 * Pages that somebody holds: their heap is asked again, but not at once, and others
 * have their turns meanwhile.
 */
static void limits_pinned(struct kunit *test)
{
	struct goalloc_heap *heap, *other;
	unsigned long begin;
	struct page *held[20];
	u64 runs;
	u32 i;

	begin_turns(test);
	heap = filled(test, 0, ARRAY_SIZE(held));
	other = filled(test, 0, 100);
	for (i = 0; i < ARRAY_SIZE(held); i++) {
		held[i] = sparse_kunit_page(heap, goalloc_page_addr(i));
		get_page(held[i]);
	}
	WRITE_ONCE(goalloc_scavenge_percent, 1);
	begin = jiffies;
	for (i = 0; i < 1000 && scavenge_excess(other); i++)
		turn();
	for (i = 0; i < 5; i++)
		turn();
	runs = atomic64_read(&heap->scav_count[SCAVENGE_BACKGROUND]);
	if (time_before(jiffies, begin + HZ))
		KUNIT_EXPECT_EQ(test, runs, 1);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, ARRAY_SIZE(held));
	KUNIT_EXPECT_EQ(test, other->pages_idle, 0);
	KUNIT_EXPECT_FALSE(test, background_is_over());
	for (i = 0; i < ARRAY_SIZE(held); i++)
		put_page(held[i]);
	for (i = 0; i < 1200 && scavenge_excess(heap); i++)
		msleep(50);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&heap->scav_count[SCAVENGE_BACKGROUND]), 1);
	heap_kunit_check(test, heap, 0);
	heap_kunit_check(test, other, 0);
}

#define HELD_MS		300
/* Of one turn no more is counted (SCAVENGE_WAITED_NS). */
#define TURN_NS		(100 * NSEC_PER_MSEC)

struct holder {
	struct work_struct work;
	struct goalloc_heap *heap;
	bool holds;
};

static void hold(struct work_struct *work)
{
	struct holder *h = container_of(work, struct holder, work);
	unsigned long flags = mheap_lock(h->heap);

	WRITE_ONCE(h->holds, true);
	mdelay(HELD_MS);
	mheap_unlock(h->heap, flags);
}

/*
 * A turn that has to wait, here for a lock that another CPU does not give up, does not
 * silence the background for 99 times as long.
 */
static void limits_waited(struct kunit *test)
{
	int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	struct holder *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	u64 took = 0;

	if (other >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	KUNIT_ASSERT_NOT_NULL(test, h);
	begin_turns(test);
	INIT_WORK(&h->work, hold);
	WRITE_ONCE(goalloc_scavenge_percent, 1);
	/* This one may stand still until the other has it no more. */
	for (u32 i = 0; took < TURN_NS && i < 20; i++) {
		u64 before;

		h->heap = filled(test, 0, 20);
		h->holds = false;
		schedule_work_on(other, &h->work);
		while (!READ_ONCE(h->holds))
			cond_resched();
		before = scavenge_background_ns();
		turn();
		took = scavenge_background_ns() - before;
		KUNIT_EXPECT_LE(test, took, TURN_NS);
		KUNIT_EXPECT_LE(test, (long)(READ_ONCE(goalloc_bgscavenge.timer.expires) - jiffies),
				10 * HZ);
		flush_work(&h->work);
		heap_kunit_end(test, h->heap);
	}
	KUNIT_EXPECT_EQ(test, took, TURN_NS);
}

/* What a CPU has set aside and nobody comes for is too much as well. */
static void limits_set_aside(struct kunit *test)
{
	struct goalloc_heap *heap;
	struct mspan *s;

	begin_turns(test);
	heap = filled(test, 0, 64);
	if (SPARSE_UNIT_PAGES > 1)
		kunit_skip(test, "no page caches");
	heap->page_caches = true;
	s = sparse_kunit_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, s);
	mheap_return_span(s);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 1);
	WRITE_ONCE(goalloc_scavenge_percent, 100);
	for (u32 i = 0; i < 3000; i++) {
		turn();
		/* Before it is looked at, nobody is at it. */
		cancel_delayed_work_sync(&goalloc_bgscavenge);
		if (!atomic64_read(&heap->backed))
			break;
		msleep(20);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
	heap_kunit_check(test, heap, 0);
}

static bool settled(struct goalloc_heap *heap)
{
	unsigned long end = jiffies + 60 * HZ;

	while (scavenge_excess(heap) && time_before(jiffies, end))
		msleep(20);
	return !scavenge_excess(heap);
}

/* By itself: what is freed goes, down to the goal, as often as something is. */
static void limits_background(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };
	unsigned long end;
	bool over;

	quiet_at_end(test);
	WRITE_ONCE(goalloc_scavenge_percent, 100);
	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		struct goalloc_heap *heap = heap_kunit_create(test, backings[b], 0);
		u64 kept, block = b ? PALLOC_HALF_PAGES : 1;

		KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, 200));
		for (u32 round = 0; round < 2; round++) {
			struct mspan *s[8];

			for (u32 i = 0; i < ARRAY_SIZE(s); i++) {
				s[i] = sparse_kunit_span(heap, 120);
				KUNIT_ASSERT_NOT_NULL(test, s[i]);
				for (u32 p = 0; !b && p < 120; p++)
					sparse_kunit_touch(heap, s[i]->start_addr + p * PAGE_BYTES,
							   1);
			}
			for (u32 i = 0; i < ARRAY_SIZE(s); i++)
				mheap_return_span(s[i]);
			KUNIT_EXPECT_TRUE(test, settled(heap));
			kept = mheap_pages_in_use(heap) / 10;
			KUNIT_EXPECT_LE(test, heap->pages_idle, b ? max(kept, block) : kept);
			KUNIT_EXPECT_GT(test, heap->pages_idle + block, kept);
		}
		KUNIT_EXPECT_GT(test, atomic64_read(&heap->scav_count[SCAVENGE_BACKGROUND]), 0);
		heap_kunit_check(test, heap, 0);
	}
	/* Then it is gone, and not only asleep. */
	end = jiffies + 60 * HZ;
	while (!(over = background_is_over()) && time_before(jiffies, end))
		msleep(20);
	KUNIT_EXPECT_TRUE(test, over);
}

/* A soft limit: nothing fails for it, whatever it is, and whosever. */
static void limits_soft(struct kunit *test)
{
	static const u64 limits[] = { 0, 1, SZ_64K, SZ_1M, SZ_4M, GOALLOC_NO_LIMIT };

	quiet_at_end(test);
	for (u32 i = 0; i < 4 * ARRAY_SIZE(limits); i++) {
		struct goalloc_heap *heap = heap_kunit_create(test, i & 1 ? BACKING_LINEAR :
							      BACKING_SPARSE, 0);
		struct mspan *s[12];
		u32 missing = 0;

		if (i & 2)
			WRITE_ONCE(goalloc_limit, limits[i / 4]);
		else
			KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT,
							      limits[i / 4]), 0);
		for (u32 round = 0; round < 3; round++) {
			for (u32 n = 0; n < ARRAY_SIZE(s); n++) {
				s[n] = sparse_kunit_span(heap, 1 + n * n * 2);
				missing += !s[n];
				if (!s[n])
					continue;
				if (heap->backing == BACKING_SPARSE)
					missing += sparse_kunit_touch(heap, s[n]->start_addr,
								      1) != 1;
			}
			for (u32 n = 0; n < ARRAY_SIZE(s); n++)
				if (s[n])
					mheap_return_span(s[n]);
		}
		KUNIT_EXPECT_EQ_MSG(test, missing, 0, "limit %llu", limits[i / 4]);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
		WRITE_ONCE(goalloc_limit, GOALLOC_NO_LIMIT);
	}
}

/*
 * However much is idle and however far a limit was passed, who allocates gives
 * back twice what it gets, or 1 MiB.
 */
static void limits_bounded(struct kunit *test)
{
	struct goalloc_heap *heap = filled(test, 300, 700);
	u64 before, most = 0;

	quiet_at_end(test);
	for (u32 i = 0; i < 12; i++) {
		heap->limit = i < 6 ? 1 : GOALLOC_NO_LIMIT;
		WRITE_ONCE(goalloc_limit, i < 6 ? GOALLOC_NO_LIMIT : 1);
		before = atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]);
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, goalloc_page_addr(i), 1), 1);
		most = max(most, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]) - before);
	}
	KUNIT_EXPECT_GT(test, most, 0);
	KUNIT_EXPECT_LE(test, most, SZ_1M);
	heap->limit = 1;
	WRITE_ONCE(goalloc_limit, GOALLOC_NO_LIMIT);
	if (heap->pages_idle) {
		before = atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]);
		scavenge_make_room(heap, 0);
		KUNIT_EXPECT_LE(test, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]) - before,
				SZ_1M);
	}
	heap_kunit_check(test, heap, 0);

	heap = filled(test, 0, 900);
	heap->limit = 1;
	scavenge_make_room(heap, 2 * SZ_1M);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]), 4 * SZ_1M);
	heap_kunit_check(test, heap, 0);
}

/* A limit for all: the memory that others have idle goes, the emptiest first. */
static void limits_of_all(struct kunit *test)
{
	struct goalloc_heap *half, *empty, *mine;
	struct mspan *s;
	u64 gone;

	begin_turns(test);
	half = filled(test, 300, 300);
	empty = filled(test, 10, 300);
	mine = filled(test, 0, 0);
	s = sparse_kunit_span(mine, 100);
	KUNIT_ASSERT_NOT_NULL(test, s);
	WRITE_ONCE(goalloc_limit, 1);
	for (u32 i = 0; i < 60; i++) {
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(mine, s->start_addr + i * PAGE_BYTES, 1),
				1);
		gone = atomic64_read(&empty->scav_bytes[SCAVENGE_LIMIT]) +
			atomic64_read(&half->scav_bytes[SCAVENGE_LIMIT]);
		/* 128 KiB for each page that comes. */
		KUNIT_EXPECT_EQ(test, gone, min((i + 1) * SZ_128K, 600 * PAGE_BYTES));
		/* 300 of 600 is emptier than what 10 make of the other in the end. */
		KUNIT_EXPECT_TRUE(test, empty->pages_idle <= 16 || half->pages_idle == 300);
	}
	KUNIT_EXPECT_EQ(test, half->pages_idle + empty->pages_idle, 0);
	WRITE_ONCE(goalloc_limit, GOALLOC_NO_LIMIT);
	heap_kunit_check(test, half, 0);
	heap_kunit_check(test, empty, 0);
	heap_kunit_check(test, mine, 0);
}

/*
 * Threads in several heaps with a max each and one for all: never a page more,
 * and in the end exactly so many can be had.
 */
#define MAX_HEAPS	3
#define MAX_SPANS	30
#define MAX_OPS		1200

struct max_work {
	struct goalloc_heap *heap[MAX_HEAPS];
	u64 max[MAX_HEAPS], all;	/* pages */
	atomic64_t had, refused;
	ulong seed;
};

static void max_crew(struct crew *crew, u32 who)
{
	struct max_work *w = crew->arg;
	struct mspan *s[MAX_SPANS] = {};
	struct rnd_state rnd;

	prandom_seed_state(&rnd, w->seed + who);
	for (u32 op = 0; op < MAX_OPS && !READ_ONCE(crew->stop); op++) {
		u32 r = prandom_u32_state(&rnd), i = (r >> 8) % MAX_SPANS;

		if (s[i] && r & 1) {
			mheap_return_span(s[i]);
			s[i] = NULL;
		} else if (!s[i]) {
			s[i] = sparse_kunit_span(w->heap[r % MAX_HEAPS], 1 + (r >> 16) % 25);
			atomic64_inc(s[i] ? &w->had : &w->refused);
		}
		for (u32 h = 0; h < MAX_HEAPS; h++)
			if (mheap_pages_in_use(w->heap[h]) > w->max[h] ||
			    atomic64_read(&w->heap[h]->pages_charged) > w->max[h])
				atomic_inc(&crew->bad);
		if (atomic64_read(&goalloc_pages_charged) > w->all)
			atomic_inc(&crew->bad);
		cond_resched();
	}
	for (u32 i = 0; i < MAX_SPANS; i++)
		if (s[i])
			mheap_return_span(s[i]);
}

static void limits_max(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct max_work *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	u64 n[MAX_HEAPS] = {}, all = 0, before;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	KUNIT_ASSERT_NOT_NULL(test, w);
	quiet_at_end(test);
	w->seed = get_random_u32();
	before = atomic64_read(&goalloc_pages_charged);
	w->all = before + 500;
	for (u32 h = 0; h < MAX_HEAPS; h++) {
		w->max[h] = 150 + 50 * h;
		/* Part of a page is none. */
		w->heap[h] = heap_kunit_create(test, h == 1 ? BACKING_LINEAR : BACKING_SPARSE,
					       w->max[h] * PAGE_BYTES + h * 1000);
	}
	WRITE_ONCE(goalloc_max, w->all * PAGE_BYTES + PAGE_BYTES - 1);
	crew_run(test, crew, 4, 0, max_crew, w);
	kunit_info(test, "%lld spans, %lld refused\n", atomic64_read(&w->had),
		   atomic64_read(&w->refused));
	KUNIT_EXPECT_GT(test, atomic64_read(&w->had), 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&w->refused), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), before);
	for (u32 h = 0; h < MAX_HEAPS; h++) {
		heap_kunit_check(test, w->heap[h], 0);
		while (sparse_kunit_span(w->heap[h], 1))
			n[h]++;
		all += n[h];
		KUNIT_EXPECT_EQ(test, n[h], min(w->max[h], 500 - (all - n[h])));
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(w->heap[h]), n[h]);
	}
	KUNIT_EXPECT_EQ(test, all, 500);
	/* The one for all was what the last one met. */
	WRITE_ONCE(goalloc_max, GOALLOC_NO_LIMIT);
	while (sparse_kunit_span(w->heap[MAX_HEAPS - 1], 1))
		n[MAX_HEAPS - 1]++;
	KUNIT_EXPECT_EQ(test, n[MAX_HEAPS - 1], w->max[MAX_HEAPS - 1]);
	for (u32 h = 0; h < MAX_HEAPS; h++)
		heap_kunit_end(test, w->heap[h]);
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), before);
}

/*
 * Who meets the max of all looks for what other heaps keep for large objects, while
 * these end.
 */
#define END_ROOM	1024
#define END_BYTES	(9UL * PAGE_BYTES)

struct end_work {
	struct goalloc_heap *heap;
	atomic_t refused, ended;
};

static bool end_met(struct crew *crew)
{
	struct end_work *w = crew->arg;

	return atomic_read(&w->refused) >= 30 && atomic_read(&w->ended) >= 30;
}

/* A heap that has kept a span, if it is one that does, and ends. */
static void end_one(struct end_work *w, struct crew *crew, bool linear)
{
	struct goalloc_heap *heap = mheap_create(NULL, linear ? BACKING_LINEAR : BACKING_SPARSE);

	if (IS_ERR(heap)) {
		atomic_inc(&crew->bad);
		return;
	}
	for (u32 i = 0; linear && i < 3; i++) {
		void *obj = goalloc_heap_alloc(heap, END_BYTES, 0, GFP_KERNEL);

		if (!obj)
			atomic_inc(&crew->bad);
		goalloc_free(obj);
	}
	mheap_destroy(heap, false);
	atomic_inc(&w->ended);
}

static void end_crew(struct crew *crew, u32 who)
{
	struct end_work *w = crew->arg;

	while (crew_go_on(crew)) {
		if (who & 1) {
			end_one(w, crew, who & 2);
			continue;
		}
		/* More than there is room for. */
		if (goalloc_heap_alloc(w->heap, 2 * END_ROOM * PAGE_BYTES, 0,
				       GFP_KERNEL | __GFP_NOWARN))
			atomic_inc(&crew->bad);
		atomic_inc(&w->refused);
	}
}

static void limits_max_of_ending(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct end_work *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	u64 before;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	KUNIT_ASSERT_NOT_NULL(test, w);
	quiet_at_end(test);
	w->heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	before = atomic64_read(&goalloc_pages_charged);
	WRITE_ONCE(goalloc_max, (before + END_ROOM) * PAGE_BYTES);
	crew->met = end_met;
	crew_run(test, crew, 6, 1500, end_crew, w);
	kunit_info(test, "%d refused, %d heaps ended\n", atomic_read(&w->refused),
		   atomic_read(&w->ended));
	KUNIT_EXPECT_TRUE(test, end_met(crew));
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), before);
	heap_kunit_check(test, w->heap, 0);
}

/* Of another heap what is kept goes where there is time for it, and only there. */
static void limits_max_takes_kept(struct kunit *test)
{
	struct goalloc_heap *keeper = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	void *obj;
	u64 before;

	quiet_at_end(test);
	before = atomic64_read(&goalloc_pages_charged);
	WRITE_ONCE(goalloc_max, (before + 10) * PAGE_BYTES);
	keeper->page_caches = true;
	obj = goalloc_heap_alloc(keeper, END_BYTES, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	goalloc_free(obj);
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), before + 9);
	KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(heap, END_BYTES, 0, GFP_ATOMIC | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, atomic64_read(&goalloc_pages_charged), before + 9);
	obj = goalloc_heap_alloc(heap, END_BYTES, 0, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, obj);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(keeper), 0);
	goalloc_free(obj);
	heap_kunit_check(test, heap, 0);
	heap_kunit_check(test, keeper, 0);
}

static struct kunit_case limits_cases[] = {
	KUNIT_CASE_PARAM(limits_excess, excess_gen_params),
	KUNIT_CASE(limits_turns),
	KUNIT_CASE(limits_whole_first),
	KUNIT_CASE(limits_pinned),
	KUNIT_CASE(limits_waited),
	KUNIT_CASE(limits_set_aside),
	KUNIT_CASE_SLOW(limits_background),
	KUNIT_CASE_SLOW(limits_soft),
	KUNIT_CASE(limits_bounded),
	KUNIT_CASE(limits_of_all),
	KUNIT_CASE_SLOW(limits_max),
	KUNIT_CASE_SLOW(limits_max_of_ending),
	KUNIT_CASE(limits_max_takes_kept),
	{}
};

static struct kunit_suite limits_suite = {
	.name = "goalloc_limits",
	.init = heap_kunit_stay,
	.test_cases = limits_cases,
};

kunit_test_suite(limits_suite);

GOALLOC_KUNIT_IMPORT;
