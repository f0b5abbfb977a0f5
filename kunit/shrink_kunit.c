// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_shrink: idle memory for a system that is short of it.
 *
 * How much there is to give, by count and in fact; who gives first; and in the
 * contexts that reclaim runs in, with lockdep looking on, while heaps come and go.
 * Memory that others in the kernel make idle or take is not here: nobody else
 * allocates from a heap meanwhile.
 *
 * Units: heap pages unless a name says bytes.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/goalloc.h>
#include <linux/notifier.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>

#include "heap_kunit.h"
#include "sparse_kunit.h"

#define PAGE_BYTES	GOALLOC_PAGE_SIZE

/* What no heap has: so much is wanted that all goes. */
#define ALL_OF_IT	(GOALLOC_NO_LIMIT - 1)

/* As a reclaimer the task has a flag more. */
static unsigned int reclaimer_begin(void)
{
	/* The scheduler looks at its flags meanwhile, and nothing of that is marked. */
	return data_race(memalloc_noreclaim_save());
}

static void reclaimer_end(unsigned int flags)
{
	/* As above. */
	data_race(({ memalloc_noreclaim_restore(flags); 0; }));
}

/* A reclaimer in the middle of a page allocation. */
static u64 reclaim(u64 bytes)
{
	unsigned int flags;
	u64 released;

	fs_reclaim_acquire(GFP_KERNEL);
	flags = reclaimer_begin();
	released = scavenge_all(bytes, SCAVENGE_RECLAIM);
	reclaimer_end(flags);
	fs_reclaim_release(GFP_KERNEL);
	return released;
}

/* The kernel asks its shrinkers, ours among them. */
static bool ask_shrinkers(void)
{
	struct file *f = filp_open("/proc/sys/vm/drop_caches", O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t n;

	if (IS_ERR(f))
		return false;
	n = kernel_write(f, "2\n", 2, &pos);
	filp_close(f, NULL);
	return n == 2;
}

static s64 count(void)
{
	return percpu_counter_sum(&goalloc_idle);
}

/* Nothing is idle in any heap. */
static void begin(struct kunit *test)
{
	scavenge(goalloc_kernel_heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	scavenge_all(ALL_OF_IT, SCAVENGE_REQUEST);
	KUNIT_ASSERT_EQ(test, count(), 0);
}

/*
 * A heap with so many pages in use and, in whole blocks if it is linear, idle: there
 * with the rest of the block that those in use lie in.
 */
static struct goalloc_heap *filled(struct kunit *test, enum goalloc_backing backing, u32 in_use,
				   u32 idle)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, backing, 0);
	struct mspan *s[8];
	u32 n = 0;

	if (in_use)
		KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, in_use));
	for (u32 left = idle; left && n < ARRAY_SIZE(s); n++) {
		u32 npages = min(left, PALLOC_HALF_PAGES);

		s[n] = sparse_kunit_span(heap, npages);
		KUNIT_ASSERT_NOT_NULL(test, s[n]);
		for (u32 i = 0; backing == BACKING_SPARSE && i < npages; i++)
			KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, s[n]->start_addr +
								 i * PAGE_BYTES, 1), 1);
		left -= npages;
	}
	while (n)
		mheap_return_span(s[--n]);
	if (backing == BACKING_LINEAR)
		idle += -in_use & (PALLOC_HALF_PAGES - 1);
	KUNIT_ASSERT_EQ(test, heap->pages_idle, idle);
	return heap;
}

/* The count is what is given back, neither more nor less, and none is left. */
static void shrink_count(struct kunit *test)
{
	struct goalloc_heap *heap[5];

	begin(test);
	for (u32 round = 0; round < 3; round++) {
		heap[0] = filled(test, BACKING_SPARSE, 10, 100 + round);
		heap[1] = filled(test, BACKING_LINEAR, 256, 512);
		heap[2] = filled(test, BACKING_SPARSE, 0, 7);
		heap[3] = filled(test, BACKING_LINEAR, 10, 0);
		heap[4] = filled(test, BACKING_SPARSE, 300, 300);
		KUNIT_EXPECT_EQ(test, count(), 1165 + round);
		switch (round) {
		case 0:
			KUNIT_EXPECT_EQ(test, reclaim(ALL_OF_IT), 1165 * PAGE_BYTES);
			break;
		case 1:
			/* What one of them gives no other one does. */
			KUNIT_EXPECT_EQ(test, scavenge(heap[4], ALL_OF_IT, SCAVENGE_REQUEST),
					300 * PAGE_BYTES);
			KUNIT_EXPECT_EQ(test, count(), 866);
			KUNIT_EXPECT_EQ(test, reclaim(ALL_OF_IT), 866 * PAGE_BYTES);
			break;
		default:
			/* A heap that ends takes its own with it. */
			heap_kunit_end(test, heap[0]);
			heap[0] = heap[4];
			KUNIT_EXPECT_EQ(test, count(), 1065);
			KUNIT_EXPECT_EQ(test, reclaim(ALL_OF_IT), 1065 * PAGE_BYTES);
		}
		KUNIT_EXPECT_EQ(test, count(), 0);
		KUNIT_EXPECT_EQ(test, reclaim(ALL_OF_IT), 0);
		for (u32 i = 0; i < ARRAY_SIZE(heap); i++) {
			KUNIT_EXPECT_EQ(test, heap[i]->pages_idle, 0);
			heap_kunit_check(test, heap[i], 0);
		}
		for (u32 i = 1; i < ARRAY_SIZE(heap); i++)
			heap_kunit_end(test, heap[i]);
		if (round < 2)
			heap_kunit_end(test, heap[0]);
	}
}

/*
 * Page by page, of whom it comes. Of @order each letter is the heap that gives
 * one page; a heap is as empty as the part of it that is idle is large.
 */
static const struct order_row {
	const char *what;
	u32 in_use[3], idle[3];
	const char *order;
} order_rows[] = {
	{ "one", { 5, 5, 5 }, { 0, 3, 0 }, "bbb" },
	{ "nothing in use", { 10, 0, 10 }, { 2, 2, 1 }, "bbaac" },
	{ "less in use", { 30, 20, 10 }, { 1, 1, 1 }, "cba" },
	{ "more idle", { 10, 10, 10 }, { 1, 2, 3 }, "cbcabc" },
	{ "half, a third, a fourth", { 3, 2, 1 }, { 1, 1, 1 }, "cba" },
	{ "large and small", { 400, 4, 40 }, { 100, 1, 9 }, "" },
};

KUNIT_ARRAY_PARAM_DESC(order, order_rows, what);

static void shrink_order(struct kunit *test)
{
	const struct order_row *row = test->param_value;
	struct goalloc_heap *heap[3];
	u32 left = 0, first, wrong = 0;

	begin(test);
	for (u32 i = 0; i < 3; i++) {
		heap[i] = filled(test, BACKING_SPARSE, row->in_use[i], row->idle[i]);
		left += row->idle[i];
	}
	for (u32 n = 0; left; n++, left--) {
		u64 idle[3], best = 0, who = 3;

		for (u32 i = 0; i < 3; i++) {
			idle[i] = heap[i]->pages_idle;
			/* In millionths; alike are those that differ by less. */
			best = max(best, idle[i] * 1000000 / max(idle[i] + row->in_use[i], 1ULL));
		}
		KUNIT_ASSERT_EQ(test, reclaim(PAGE_BYTES), PAGE_BYTES);
		for (u32 i = 0; i < 3; i++)
			if (heap[i]->pages_idle != idle[i])
				who = i;
		KUNIT_ASSERT_LT(test, who, 3);
		KUNIT_EXPECT_EQ(test, heap[who]->pages_idle, idle[who] - 1);
		wrong += idle[who] * 1000000 / (idle[who] + row->in_use[who]) != best;
		first = n < strlen(row->order) ? row->order[n] - 'a' : who;
		KUNIT_EXPECT_EQ_MSG(test, who, first, "page %u", n);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, count(), 0);
}

/* Through the kernel's own way of asking. */
static void shrink_by_kernel(struct kunit *test)
{
	struct goalloc_heap *sparse, *linear;
	u64 runs;

	begin(test);
	sparse = filled(test, BACKING_SPARSE, 3, 200);
	linear = filled(test, BACKING_LINEAR, 256, 768);
	runs = atomic64_read(&sparse->scav_count[SCAVENGE_RECLAIM]);
	if (!ask_shrinkers())
		kunit_skip(test, "no /proc");
	/* It asks for a bounded number at a time, and as long as it gets some. */
	for (u32 i = 0; i < 200 && count(); i++)
		ask_shrinkers();
	KUNIT_EXPECT_EQ(test, count(), 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&sparse->scav_count[SCAVENGE_RECLAIM]), runs);
	KUNIT_EXPECT_EQ(test, atomic64_read(&sparse->scav_bytes[SCAVENGE_RECLAIM]),
			200 * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&linear->scav_bytes[SCAVENGE_RECLAIM]),
			768 * PAGE_BYTES);
	heap_kunit_check(test, sparse, 0);
	heap_kunit_check(test, linear, 0);
}

/* Nor do CPUs keep what they have set aside, when what is idle does not do. */
static void shrink_page_caches(struct kunit *test)
{
	struct goalloc_heap *heap;
	struct mspan *s;

	begin(test);
	heap = filled(test, BACKING_SPARSE, 0, 64);
	if (SPARSE_UNIT_PAGES > 1)
		kunit_skip(test, "no page caches");
	heap->page_caches = true;
	s = sparse_kunit_span(heap, 1);
	KUNIT_ASSERT_NOT_NULL(test, s);
	mheap_return_span(s);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 1);
	KUNIT_EXPECT_EQ(test, reclaim(ALL_OF_IT), PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 63 * PAGE_BYTES);
	if (!ask_shrinkers())
		kunit_skip(test, "no /proc");
	/* That is done once a second. */
	for (u32 i = 0; i < 1200 && atomic64_read(&heap->backed); i++) {
		msleep(50);
		ask_shrinkers();
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	heap_kunit_check(test, heap, 0);
}

/* Whoever reclaims is told that there was progress: else somebody is killed for it. */
static void shrink_is_progress(struct kunit *test)
{
	struct reclaim_state *old = current->reclaim_state, mine = {};
	struct goalloc_heap *heap;
	u32 i;

	begin(test);
	heap = filled(test, BACKING_SPARSE, 3, 200);
	for (i = 0; i < 200 && count(); i++) {
		/* It is a reclaimer, and what it allocates reclaims nothing for it. */
		unsigned int flags = reclaimer_begin();
		bool asked;

		current->reclaim_state = &mine;
		asked = ask_shrinkers();
		current->reclaim_state = old;
		reclaimer_end(flags);
		if (!asked)
			kunit_skip(test, "no /proc");
	}
	KUNIT_EXPECT_EQ(test, count(), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	/* Others give some, too. */
	KUNIT_EXPECT_GE(test, mine.reclaimed, 200 * PAGE_BYTES >> PAGE_SHIFT);
}

/*
 * Before somebody is killed all goes, what CPUs have set aside with it, and at once.
 * As the kernel calls it, but for its lock, which it has to itself.
 */
static void shrink_before_a_kill(struct kunit *test)
{
	const struct notifier_block *nb = &goalloc_oom_notifier;
	struct goalloc_heap *sparse, *linear;
	unsigned long freed = 5;
	struct mspan *s;
	unsigned int flags;

	begin(test);
	linear = filled(test, BACKING_LINEAR, 256, 256);
	sparse = filled(test, BACKING_SPARSE, 0, 64);
	if (SPARSE_UNIT_PAGES == 1) {
		sparse->page_caches = true;
		s = sparse_kunit_span(sparse, 1);
		KUNIT_ASSERT_NOT_NULL(test, s);
		mheap_return_span(s);
		KUNIT_EXPECT_EQ(test, sparse->pages_idle, 1);
	}
	for (u32 round = 0; round < 2; round++) {
		fs_reclaim_acquire(GFP_KERNEL);
		flags = reclaimer_begin();
		KUNIT_EXPECT_EQ(test, nb->notifier_call((void *)nb, 0, &freed), NOTIFY_OK);
		reclaimer_end(flags);
		fs_reclaim_release(GFP_KERNEL);
		/* It adds what it gave back to what others gave; the second time nothing. */
		KUNIT_EXPECT_EQ(test, freed, 5 + (320 * PAGE_BYTES >> PAGE_SHIFT));
		KUNIT_EXPECT_EQ(test, count(), 0);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&sparse->backed), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&linear->backed), 256 * PAGE_BYTES);
	heap_kunit_check(test, sparse, 0);
	heap_kunit_check(test, linear, 0);
}

/*
 * Heaps whose idle pages all stay, as others have references to them: a few are tried,
 * others the next time, and at last the one that has something to give. Who wants all
 * asks all of them.
 */
#define STUCK	20

static void shrink_stuck(struct kunit *test)
{
	struct goalloc_heap *heap[STUCK], *giver;
	struct page *pin[STUCK];
	u32 asked, all = 0;

	begin(test);
	for (u32 i = 0; i < STUCK; i++) {
		struct page **e;

		heap[i] = filled(test, BACKING_SPARSE, 0, SPARSE_UNIT_PAGES);
		e = mheap_chunk(heap[i], GOALLOC_HEAP_BASE)->pages;
		KUNIT_ASSERT_NOT_NULL(test, e[0]);
		pin[i] = e[0];
		get_page(pin[i]);
	}
	/* The one with the largest part in use. */
	giver = filled(test, BACKING_SPARSE, 10, SPARSE_UNIT_PAGES);
	for (u32 round = 0; round < 2; round++) {
		asked = 0;
		KUNIT_EXPECT_EQ(test, reclaim(PAGE_BYTES),
				round ? SPARSE_UNIT_PAGES * PAGE_BYTES : 0);
		for (u32 i = 0; i < STUCK; i++) {
			asked += atomic64_read(&heap[i]->scav_count[SCAVENGE_RECLAIM]);
			/* A moment is an hour here. */
			if (atomic64_read(&heap[i]->scav_count[SCAVENGE_RECLAIM]))
				heap[i]->scav_again = jiffies + 3600 * HZ;
		}
		KUNIT_EXPECT_EQ(test, asked, round ? STUCK : 16);
	}
	KUNIT_EXPECT_EQ(test, giver->pages_idle, 0);
	reclaim(ALL_OF_IT);
	for (u32 i = 0; i < STUCK; i++) {
		all += atomic64_read(&heap[i]->scav_count[SCAVENGE_RECLAIM]);
		put_page(pin[i]);
	}
	KUNIT_EXPECT_EQ(test, all, 2 * STUCK);
	reclaim(ALL_OF_IT);
	KUNIT_EXPECT_EQ(test, count(), 0);
}

/* Heaps come and go, allocate and free, while several reclaim. */
struct shrink_work {
	u32 rounds;
	atomic_t left;		/* who still works */
	atomic64_t released;
	ulong seed;
};

static void shrink_heaps(struct shrink_work *w, struct crew *crew, struct rnd_state *rnd)
{
	struct goalloc_heap *heap;
	struct mspan *s[12];
	u32 r = prandom_u32_state(rnd), n = 0;

	heap = mheap_create(NULL, r & 1 ? BACKING_LINEAR : BACKING_SPARSE);
	if (IS_ERR(heap)) {
		atomic_inc(&crew->bad);
		return;
	}
	for (u32 i = 0; i < 60 && !READ_ONCE(crew->stop); i++) {
		r = prandom_u32_state(rnd);
		if (n && (n == ARRAY_SIZE(s) || r & 1)) {
			u32 k = (r >> 8) % n;

			mheap_return_span(s[k]);
			s[k] = s[--n];
			continue;
		}
		s[n] = sparse_kunit_span(heap, 1 + (r >> 8) % (r & 2 ? 14 : 200));
		if (!s[n]) {
			atomic_inc(&crew->bad);
			continue;
		}
		if (heap->backing == BACKING_LINEAR)
			*(u64 *)s[n]->base = r;
		else if (sparse_kunit_touch(heap, s[n]->start_addr, 1) != 1)
			atomic_inc(&crew->bad);
		n++;
		cond_resched();
	}
	mheap_destroy(heap, true);
}

static void shrink_crew(struct crew *crew, u32 who)
{
	struct shrink_work *w = crew->arg;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, w->seed + who);
	for (u32 i = 0; who > 1 ? i < w->rounds : !i || atomic_read(&w->left); i++) {
		u32 r = prandom_u32_state(&rnd);

		cond_resched();
		if (READ_ONCE(crew->stop))
			break;
		if (who > 1)
			shrink_heaps(w, crew, &rnd);
		else
			atomic64_add(reclaim(r & 7 ? (r >> 8) % SZ_1M : ALL_OF_IT), &w->released);
	}
	if (who > 1)
		atomic_dec(&w->left);
}

static void shrink_threads(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct goalloc_heap *heap;
	struct shrink_work w = {
		.rounds = 12,
		.left = ATOMIC_INIT(3),
		.seed = get_random_u32(),
	};

	KUNIT_ASSERT_NOT_NULL(test, crew);
	begin(test);
	heap = filled(test, BACKING_SPARSE, 10, 200);
	crew_run(test, crew, 5, 0, shrink_crew, &w);
	kunit_info(test, "%lld KiB given back\n", atomic64_read(&w.released) / 1024);
	KUNIT_EXPECT_GT(test, atomic64_read(&w.released), 0);
	reclaim(ALL_OF_IT);
	KUNIT_EXPECT_EQ(test, count(), 0);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case shrink_cases[] = {
	KUNIT_CASE(shrink_count),
	KUNIT_CASE_PARAM(shrink_order, order_gen_params),
	KUNIT_CASE(shrink_by_kernel),
	KUNIT_CASE(shrink_page_caches),
	KUNIT_CASE(shrink_is_progress),
	KUNIT_CASE(shrink_before_a_kill),
	KUNIT_CASE(shrink_stuck),
	KUNIT_CASE_SLOW(shrink_threads),
	{}
};

static struct kunit_suite shrink_suite = {
	.name = "goalloc_shrink",
	.init = heap_kunit_stay,
	.test_cases = shrink_cases,
};

kunit_test_suite(shrink_suite);

GOALLOC_KUNIT_IMPORT;
