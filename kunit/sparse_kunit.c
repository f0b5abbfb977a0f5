// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_sparse: the pages of file heaps, where no process can look so closely.
 *
 * First touches by many at once, and each step of one at which its span goes,
 * another comes, or memory runs out; what is zeroed and what is not; pages that
 * somebody else still has; where data is and where holes are. What is right is
 * said by plain arrays. heap_kunit_check() looks at every page after it.
 *
 * "Pages" are units (sparse.h) unless a name says bytes: so the same is tried whatever
 * PAGE_SIZE is, and what spans that share a page do is tried apart. The seed of random cases is
 * printed; the parameter sparse_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/goalloc.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "heap_kunit.h"
#include "sparse_kunit.h"
#include "test_heap.h"

#define PAGE_BYTES	SPARSE_UNIT_SIZE
#define CHUNK_PAGES	SPARSE_CHUNK_UNITS
#define CHUNK_TABLE	(CHUNK_PAGES * sizeof(struct page *))

static ulong sparse_seed;
module_param(sparse_seed, ulong, 0444);
MODULE_PARM_DESC(sparse_seed, "seed of goalloc_sparse, 0 for any");

static void seed_random(struct kunit *test, struct rnd_state *rnd)
{
	ulong seed = sparse_seed ?: get_random_u32() | 1;

	prandom_seed_state(rnd, seed);
	kunit_info(test, "sparse_seed=%lu\n", seed);
}

/* As a test's end, and whenever it likes: nothing fails, nobody looks. */
static void no_hooks(void *unused)
{
	WRITE_ONCE(sparse_after_look, NULL);
	WRITE_ONCE(sparse_before_entry, NULL);
	goalloc_fail_nth(0);
}

static void hooks_end_with(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, no_hooks, NULL), 0);
}

/* Pages from the beginning of the heap. */
static u32 page_index(u64 addr)
{
	return (addr - GOALLOC_HEAP_BASE) / PAGE_BYTES;
}

static u64 page_addr(u32 page)
{
	return GOALLOC_HEAP_BASE + page * PAGE_BYTES;
}

static struct mspan *unit_span(struct goalloc_heap *heap, u64 n)
{
	return sparse_kunit_span(heap, n * SPARSE_UNIT_PAGES);
}

static bool all_bytes(struct goalloc_heap *heap, u64 addr, u64 len, u8 byte, u8 *buf)
{
	while (len) {
		size_t n = min_t(u64, len, PAGE_BYTES);

		if (sparse_kunit_move(heap, addr, buf, n, false) != n ||
		    memchr_inv(buf, byte, n))
			return false;
		addr += n;
		len -= n;
	}
	return true;
}

static ssize_t fill(struct goalloc_heap *heap, u64 addr, u64 len, u8 byte, u8 *buf)
{
	ssize_t done = 0;

	memset(buf, byte, PAGE_BYTES);
	while (len) {
		size_t want = min_t(u64, len, PAGE_BYTES);
		ssize_t n = sparse_kunit_move(heap, addr, buf, want, true);

		if (n <= 0)
			return n;
		done += n;
		addr += n;
		len -= n;
	}
	return done;
}

/* An object's address, or 0. */
static u64 new_object(struct goalloc_heap *heap, u64 size, u32 flags)
{
	unsigned long addr;
	u64 usable;

	return mallocgc(heap, size, 0, flags, GFP_KERNEL, &addr, &usable) ? 0 : addr;
}

#define RACE_ROUNDS	8
#define RACE_FILLER	(CHUNK_PAGES - 12)
#define RACE_PAGES	40
#define RACERS		4

static const struct race_row {
	const char *what;
	u32 stride;		/* pages from one touch to the racer's next */
	bool own;		/* each racer has pages of its own */
} race_rows[] = {
	{ "the same pages", 1, false },
	{ "neighbouring pages", RACERS, true },
	{ "the same pages, the last first", RACE_PAGES - 1, false },
};

KUNIT_ARRAY_PARAM_DESC(race, race_rows, what);

/* The pages that racers had ready, each with a reference of ours. */
static struct {
	struct page *page[RACERS * RACE_PAGES];
	atomic_t n;
} ready;

static void slow_entry(struct goalloc_heap *heap, struct page *page)
{
	u32 i = atomic_inc_return(&ready.n) - 1;

	if (i < ARRAY_SIZE(ready.page)) {
		get_page(page);
		ready.page[i] = page;
	}
	/* Time for the others to come as far. */
	usleep_range(20, 60);
}

struct race_run {
	const struct race_row *row;
	struct goalloc_heap *heap;
	u64 base;
};

static void race_crew(struct crew *crew, u32 who)
{
	struct race_run *run = crew->arg;
	u32 n = run->row->own ? RACE_PAGES / RACERS : RACE_PAGES;
	u32 page = run->row->own ? who : 0;

	for (; n; n--, page = (page + run->row->stride) % RACE_PAGES) {
		if (sparse_kunit_touch(run->heap, run->base + page * PAGE_BYTES + 100 * who,
				       1 + who) != 1)
			atomic_inc(&crew->bad);
		if (who == 3)
			cond_resched();
	}
}

/*
 * Tasks touch pages at once: each page comes once, what they wrote is all in it,
 * the pages of those who were too late go, and so do tables of chunks.
 */
static void sparse_race(struct kunit *test)
{
	struct race_run run = { .row = test->param_value };
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	bool meet = !run.row->own && num_online_cpus() > 1;
	u32 lost = 0;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	hooks_end_with(test);
	/* More of them if they have not met. */
	for (u32 round = 0; round < RACE_ROUNDS || (meet && !lost && round < 20 * RACE_ROUNDS);
	     round++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		struct mspan *filler = unit_span(heap, RACE_FILLER);
		struct mspan *s = unit_span(heap, RACE_PAGES);
		u32 missing = 0, wrong = 0, n;
		u64 tables;
		u8 byte;

		KUNIT_ASSERT_NOT_NULL(test, filler);
		KUNIT_ASSERT_NOT_NULL(test, s);
		/* So it lies in two chunks. */
		KUNIT_ASSERT_EQ(test, sparse_unit(s->start_addr), RACE_FILLER);
		tables = atomic64_read(&heap->gc_bytes);
		run.heap = heap;
		run.base = s->start_addr;
		atomic_set(&ready.n, 0);
		WRITE_ONCE(sparse_before_entry, slow_entry);
		crew_run(test, crew, RACERS, 0, race_crew, &run);
		WRITE_ONCE(sparse_before_entry, NULL);

		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), RACE_PAGES * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes) - tables, 2 * CHUNK_TABLE);
		n = atomic_read(&ready.n);
		KUNIT_EXPECT_GE(test, n, RACE_PAGES);
		KUNIT_ASSERT_LE(test, n, ARRAY_SIZE(ready.page));
		lost += n - RACE_PAGES;
		for (u32 i = 0; i < n; i++) {
			struct page *page = ready.page[i];
			u64 addr = (u64)page->index << PAGE_SHIFT;

			/* Ours is one reference, the heap's is the other. */
			if (page_count(page) == 2)
				wrong += page != sparse_kunit_page(heap, addr);
			else
				wrong += page_count(page) != 1 || page->mapping || page->index;
			put_page(page);
		}
		for (u32 i = 0; i < RACE_PAGES; i++) {
			u64 addr = s->start_addr + i * PAGE_BYTES;
			struct page *page = sparse_kunit_page(heap, addr);

			missing += !page;
			wrong += page && page_count(page) != 1;
			wrong += page && (page->index != addr >> PAGE_SHIFT ||
					  page->mapping != heap->mapping);
			for (u32 who = 0; who < RACERS; who++) {
				u8 want = !run.row->own || i % RACERS == who ? 1 + who : 0;

				if (sparse_kunit_move(heap, addr + 100 * who, &byte, 1,
						      false) != 1 || byte != want)
					wrong++;
			}
		}
		KUNIT_EXPECT_EQ(test, missing, 0);
		KUNIT_EXPECT_EQ(test, wrong, 0);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
	kunit_info(test, "%u pages were of no use\n", lost);
	/* That the race was one. */
	if (meet)
		KUNIT_EXPECT_GT(test, lost, 0);
}

/* Longer than what CPUs set pages aside for, so each has its place. */
#define ENTRY_BELOW	20
#define ENTRY_PAGES	17

/* What happens when a page is ready to be entered in its table. */
enum entry_act {
	ACT_RETURN,		/* the span goes back to the heap */
	ACT_RETURN_SCAVENGE,	/* and all that is idle to the system */
	ACT_REUSE,		/* and another takes the same page */
	ACT_TAKEN,		/* and another is just being made of it */
	ACT_GOING,		/* the span cannot be found any more */
	ACT_BACK,		/* somebody else backs the page */
	ACT_BACK_AND_GO,	/* and then it goes, with its span */
	ACT_TABLES_GO,		/* the span goes, and its chunk */
	ACT_TABLES_ANEW,	/* and both come again */
};

static const struct entry_row {
	const char *what;
	enum entry_act act;
	bool in_use;		/* afterwards; else it was too late for the page */
} entry_rows[] = {
	{ "the span goes", ACT_RETURN, false },
	{ "the span goes, idle memory is given back", ACT_RETURN_SCAVENGE, false },
	{ "another span has the page", ACT_REUSE, true },
	{ "a span is being made", ACT_TAKEN, false },
	{ "the span is going", ACT_GOING, false },
	{ "somebody else was first", ACT_BACK, true },
	{ "somebody else was first, and all goes", ACT_BACK_AND_GO, false },
	{ "the tables go", ACT_TABLES_GO, false },
	{ "the tables go and come again", ACT_TABLES_ANEW, true },
};

KUNIT_ARRAY_PARAM_DESC(entry, entry_rows, what);

static struct {
	enum entry_act act;
	struct mspan *s, *below, *other;
	u64 addr, released, tables;
	struct page *page;
	u32 calls;
	ssize_t inner;
} entry;

static void entry_hook(struct goalloc_heap *heap, struct page *page)
{
	struct mspan *s = entry.s;
	unsigned long flags;

	WRITE_ONCE(sparse_before_entry, NULL);
	entry.calls++;
	get_page(page);
	entry.page = page;
	switch (entry.act) {
	case ACT_RETURN:
	case ACT_RETURN_SCAVENGE:
	case ACT_REUSE:
		mheap_return_span(s);
		if (entry.act == ACT_RETURN_SCAVENGE)
			entry.released = scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		if (entry.act == ACT_REUSE)
			entry.other = unit_span(heap, ENTRY_PAGES);
		break;
	case ACT_TAKEN:
		mheap_return_span(s);
		flags = mheap_lock(heap);
		atomic64_sub(pagealloc_alloc_range(&heap->pages, entry.addr, SPARSE_UNIT_PAGES),
			     &heap->pages_released);
		mheap_unlock(heap, flags);
		break;
	case ACT_GOING:
		sparse_unmap_span(heap, s, true);
		break;
	case ACT_BACK:
	case ACT_BACK_AND_GO:
		entry.inner = sparse_kunit_touch(heap, entry.addr + 1, 0x22);
		if (entry.act == ACT_BACK)
			break;
		mheap_return_span(s);
		entry.released = scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		break;
	case ACT_TABLES_GO:
	case ACT_TABLES_ANEW:
		mheap_return_span(s);
		mheap_return_span(entry.below);
		entry.tables = mheap_release_tables(heap, 0, 0);
		if (entry.act == ACT_TABLES_GO)
			break;
		entry.below = unit_span(heap, ENTRY_BELOW);
		entry.other = unit_span(heap, ENTRY_PAGES);
		break;
	}
}

/* An entry is made while a span is there, or not at all. */
static void sparse_touch_and_go(struct kunit *test)
{
	const struct entry_row *row = test->param_value;
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct mspan *s;
	unsigned long flags;
	u64 released, all;
	u8 bytes[2];

	memset(&entry, 0, sizeof(entry));
	entry.below = unit_span(heap, ENTRY_BELOW);
	s = unit_span(heap, ENTRY_PAGES);
	entry.s = s;
	KUNIT_ASSERT_NOT_NULL(test, entry.below);
	KUNIT_ASSERT_NOT_NULL(test, s);
	hooks_end_with(test);
	entry.act = row->act;
	entry.addr = s->start_addr + 2 * PAGE_BYTES;
	released = mheap_pages_released(heap);
	all = released + s->npages;
	WRITE_ONCE(sparse_before_entry, entry_hook);
	KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, entry.addr, 0x11),
			row->in_use ? 1 : -EFAULT);
	KUNIT_ASSERT_EQ(test, entry.calls, 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), row->in_use ? PAGE_BYTES : 0);
	KUNIT_EXPECT_EQ(test, !!heap_kunit_span_of(heap, entry.addr), row->in_use);

	/* The page that was to be entered is the heap's, or nobody's but ours. */
	if (row->in_use && row->act != ACT_BACK) {
		KUNIT_EXPECT_EQ(test, page_count(entry.page), 2);
		KUNIT_EXPECT_PTR_EQ(test, entry.page, sparse_kunit_page(heap, entry.addr));
	} else {
		KUNIT_EXPECT_EQ(test, page_count(entry.page), 1);
		KUNIT_EXPECT_PTR_EQ(test, entry.page->mapping, NULL);
		KUNIT_EXPECT_PTR_NE(test, entry.page, sparse_kunit_page(heap, entry.addr));
	}
	put_page(entry.page);

	switch (row->act) {
	case ACT_RETURN_SCAVENGE:
		KUNIT_EXPECT_EQ(test, entry.released, 0);
		fallthrough;
	case ACT_RETURN:
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), all);
		break;
	case ACT_TABLES_ANEW:
		KUNIT_ASSERT_NOT_NULL(test, entry.below);
		fallthrough;
	case ACT_REUSE:
		KUNIT_ASSERT_NOT_NULL(test, entry.other);
		KUNIT_ASSERT_EQ(test, entry.other->start_addr, entry.addr - 2 * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), released);
		break;
	case ACT_TAKEN:
		/* Given back as it was taken: nothing has come behind it. */
		flags = mheap_lock(heap);
		pagealloc_set_scavenged(&heap->pages, entry.addr, SPARSE_UNIT_PAGES);
		atomic64_add(SPARSE_UNIT_PAGES, &heap->pages_released);
		pagealloc_free(&heap->pages, entry.addr, SPARSE_UNIT_PAGES);
		mheap_chunk_changed(heap, mheap_chunk(heap, entry.addr), entry.addr);
		mheap_unlock(heap, flags);
		break;
	case ACT_GOING:
		mheap_return_span(s);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), all);
		break;
	case ACT_BACK:
		KUNIT_EXPECT_EQ(test, entry.inner, 1);
		KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, entry.addr, bytes, 2, false), 2);
		KUNIT_EXPECT_EQ(test, bytes[0], 0x11);
		KUNIT_EXPECT_EQ(test, bytes[1], 0x22);
		break;
	case ACT_BACK_AND_GO:
		KUNIT_EXPECT_EQ(test, entry.inner, 1);
		KUNIT_EXPECT_EQ(test, entry.released, PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), all);
		break;
	case ACT_TABLES_GO:
		KUNIT_EXPECT_EQ(test, heap->pages_sys, 0);
		break;
	}
	if (entry.act == ACT_TABLES_GO || entry.act == ACT_TABLES_ANEW)
		KUNIT_EXPECT_GT(test, entry.tables, 0);
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST), 0);
	heap_kunit_check(test, heap, 0);
	/* No table stays, and nothing that was made for one. */
	if (entry.act == ACT_TABLES_GO)
		KUNIT_EXPECT_LE(test, atomic64_read(&heap->gc_bytes), SZ_16K);
}

/* Idle memory of the heap's own goes before a first touch fails. */
static void sparse_short(struct kunit *test)
{
	for (u32 fails = 1; fails <= 2; fails++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		struct mspan *low = unit_span(heap, 8), *high;
		u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, low);
		KUNIT_ASSERT_NOT_NULL(test, buf);
		hooks_end_with(test);
		high = unit_span(heap, 40);
		KUNIT_ASSERT_NOT_NULL(test, high);
		KUNIT_EXPECT_EQ(test, fill(heap, high->start_addr, 40 * PAGE_BYTES, 1, buf),
				40 * PAGE_BYTES);
		mheap_return_span(high);
		goalloc_fail_run(1, fails);
		KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, low->start_addr, 1),
				fails == 1 ? 1 : -ENOMEM);
		KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
		goalloc_fail_nth(0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed),
				40 * PAGE_BYTES - SZ_128K + (fails == 1 ? PAGE_BYTES : 0));
		heap_kunit_check(test, heap, 0);
	}
}

#define LOOK_PAGES	400

/* What happens when a page was seen and nobody has a reference to it yet. */
static struct {
	struct mspan *s;
	struct page *page;
	struct page *got[LOOK_PAGES];
	u32 n;
} look;

/*
 * The page goes back to the system, and then is had by somebody else. As scavenge()
 * does it, but that may sleep.
 */
static void look_hook(struct goalloc_heap *heap, struct page *page)
{
	u64 addr = look.s->start_addr, n = look.s->npages;
	unsigned long flags;

	WRITE_ONCE(sparse_after_look, NULL);
	mheap_return_span(look.s);
	flags = mheap_lock(heap);
	atomic64_sub(pagealloc_alloc_range(&heap->pages, addr, n), &heap->pages_released);
	mheap_unlock(heap, flags);
	/* What is freed on a CPU is what it is given next, if nobody comes in between. */
	local_bh_disable();
	sparse_release(heap, addr, n);
	flags = mheap_lock(heap);
	pagealloc_set_scavenged(&heap->pages, addr, n);
	atomic64_add(n, &heap->pages_released);
	pagealloc_free(&heap->pages, addr, n);
	mheap_chunk_changed(heap, mheap_chunk(heap, addr), addr);
	mheap_unlock(heap, flags);
	while (look.n < LOOK_PAGES && look.page != page) {
		look.page = alloc_page(GFP_ATOMIC);
		if (!look.page)
			break;
		look.got[look.n++] = look.page;
	}
	local_bh_enable();
	if (look.page == page)
		memset(page_address(page), 0x77, PAGE_SIZE);
}

static void look_put(void *unused)
{
	while (look.n)
		__free_page(look.got[--look.n]);
}

/*
 * A page was seen, goes, and is somebody else's before the one who saw it has a
 * reference: it is not looked at.
 */
static void sparse_look_and_go(struct kunit *test)
{
	hooks_end_with(test);
	test_pin(test, cpumask_first(cpu_online_mask));
	for (u32 write = 0; write < 2; write++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		u8 bytes[16];
		u64 addr;

		memset(&look, 0, sizeof(look));
		KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, look_put, NULL), 0);
		look.s = unit_span(heap, 3);
		KUNIT_ASSERT_NOT_NULL(test, look.s);
		addr = look.s->start_addr + PAGE_BYTES;
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, addr, 0x55), 1);
		look.page = NULL;
		memset(bytes, 0x33, sizeof(bytes));
		WRITE_ONCE(sparse_after_look, look_hook);
		/* It is not there to be read, and of no span to be written. */
		KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, addr, bytes, sizeof(bytes), write),
				write ? -EFAULT : sizeof(bytes));
		KUNIT_EXPECT_PTR_EQ(test, READ_ONCE(sparse_after_look), NULL);
		KUNIT_ASSERT_NOT_NULL(test, look.page);
		KUNIT_ASSERT_LT_MSG(test, look.n, LOOK_PAGES, "nobody took the page");
		if (!write)
			KUNIT_EXPECT_NULL(test, memchr_inv(bytes, 0, sizeof(bytes)));
		KUNIT_EXPECT_NULL(test, memchr_inv(page_address(look.page), 0x77, PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, page_count(look.page), 1);
		KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST), 0);
		heap_kunit_check(test, heap, 0);
		kunit_release_action(test, look_put, NULL);
	}
}

/* Each allocation of a first touch fails in turn, and then none. */
static void sparse_failures(struct kunit *test)
{
	u32 nth;

	hooks_end_with(test);
	for (nth = 1; ; nth++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		struct mspan *filler = unit_span(heap, CHUNK_PAGES - 2);
		struct mspan *s = unit_span(heap, 20);
		u8 *buf = kunit_kmalloc(test, 4 * PAGE_BYTES, GFP_KERNEL);
		u32 pages = 0;
		ssize_t n;
		bool failed;
		u64 tables;

		KUNIT_ASSERT_NOT_NULL(test, filler);
		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_ASSERT_NOT_NULL(test, buf);
		KUNIT_ASSERT_EQ(test, sparse_unit(s->start_addr), CHUNK_PAGES - 2);
		tables = atomic64_read(&heap->gc_bytes);
		memset(buf, 0x77, 4 * PAGE_BYTES);
		/* Two chunks, four pages: six allocations. */
		goalloc_fail_nth(nth);
		n = sparse_kunit_move(heap, s->start_addr + 5, buf, 4 * PAGE_BYTES - 5, true);
		failed = !goalloc_fail_left();
		goalloc_fail_nth(0);

		for (u32 i = 0; i < 4; i++)
			pages += !!sparse_kunit_page(heap, s->start_addr + i * PAGE_BYTES);
		if (pages)
			KUNIT_EXPECT_EQ(test, n, pages * PAGE_BYTES - 5);
		else
			KUNIT_EXPECT_EQ(test, n, -ENOMEM);
		KUNIT_EXPECT_EQ(test, pages == 4, !failed);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), pages * PAGE_BYTES);
		KUNIT_EXPECT_LE(test, atomic64_read(&heap->gc_bytes) - tables, 2 * CHUNK_TABLE);
		heap_kunit_check(test, heap, 0);

		/* The rest reads zeroes, and comes when there is memory again. */
		n = pages ? n : 0;
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, s->start_addr + 5 + n,
						  4 * PAGE_BYTES - 5 - n, 0, buf));
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), pages * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, fill(heap, s->start_addr, 4 * PAGE_BYTES, 0x66, buf),
				4 * PAGE_BYTES);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, s->start_addr, 4 * PAGE_BYTES, 0x66,
						  buf));
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 4 * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->gc_bytes) - tables, 2 * CHUNK_TABLE);
		heap_kunit_check(test, heap, 0);
		mheap_return_span(s);
		mheap_return_span(filler);
		KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
				4 * PAGE_BYTES);
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
		kunit_kfree(test, buf);
		if (!failed)
			break;
		KUNIT_ASSERT_LT(test, nth, 20);
	}
	KUNIT_EXPECT_EQ(test, nth, 7);
}

/* Ranges of the first 10 pages of a span, in two chunks, as plain bytes. */
#define ZERO_PAGES	10
#define ZERO_BYTES	(ZERO_PAGES * PAGE_BYTES)

struct zero {
	struct goalloc_heap *heap;
	u64 base;
	u8 *want, *got;
	bool backed[ZERO_PAGES];
};

static void zero_check(struct kunit *test, const struct zero *z, const char *what)
{
	u32 wrong = 0;

	KUNIT_EXPECT_EQ(test, sparse_kunit_move(z->heap, z->base, z->got, ZERO_BYTES, false),
			ZERO_BYTES);
	if (memcmp(z->got, z->want, ZERO_BYTES)) {
		u32 i = 0;

		while (z->got[i] == z->want[i])
			i++;
		KUNIT_FAIL(test, "%s: byte %u is %#x, want %#x", what, i, z->got[i],
			   z->want[i]);
	}
	for (u32 p = 0; p < ZERO_PAGES; p++)
		wrong += z->backed[p] != !!sparse_kunit_page(z->heap, z->base + p * PAGE_BYTES);
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "%s: other pages are backed", what);
}

/* Writes new bytes over all that is backed. */
static void zero_refill(struct kunit *test, struct zero *z, u8 seed)
{
	memset(z->want, 0, ZERO_BYTES);
	for (u32 p = 0; p < ZERO_PAGES; p++) {
		if (!z->backed[p])
			continue;
		for (u32 i = 0; i < PAGE_BYTES; i++)
			z->want[p * PAGE_BYTES + i] = 1 + (seed + i * 7 + p) % 255;
		KUNIT_EXPECT_EQ(test, sparse_kunit_move(z->heap, z->base + p * PAGE_BYTES,
							z->want + p * PAGE_BYTES, PAGE_BYTES,
							true), PAGE_BYTES);
	}
}

static const struct zero_row {
	const char *what;
	u64 off, len;
} zero_rows[] = {
	{ "nothing", 100, 0 },
	{ "a byte", 100, 1 },
	{ "the first byte", 0, 1 },
	{ "the last byte of a page", PAGE_BYTES - 1, 1 },
	{ "over a page's end", PAGE_BYTES - 3, 7 },
	{ "up to a page's end", PAGE_BYTES - 3, 3 },
	{ "a page", PAGE_BYTES, PAGE_BYTES },
	{ "over a chunk's end", 4 * PAGE_BYTES - 1, 2 },
	{ "up to a chunk's end", 3 * PAGE_BYTES + 1, PAGE_BYTES - 1 },
	{ "from a chunk's beginning", 4 * PAGE_BYTES, 17 },
	{ "pages and parts of two", 1000, 7 * PAGE_BYTES },
	{ "all", 0, ZERO_BYTES },
	{ "the last byte", ZERO_BYTES - 1, 1 },
};

static void sparse_zero_ranges(struct kunit *test)
{
	/* None, all, one chunk's or the other's, and each other page of both. */
	static const u32 masks[] = { 0, 0x3ff, 0x00f, 0x3f0, 0x155, 0x2aa };
	struct zero *z = kunit_kzalloc(test, sizeof(*z), GFP_KERNEL);
	struct rnd_state rnd;
	struct mspan *filler, *s;

	KUNIT_ASSERT_NOT_NULL(test, z);
	seed_random(test, &rnd);
	z->want = kunit_kmalloc(test, ZERO_BYTES, GFP_KERNEL);
	z->got = kunit_kmalloc(test, ZERO_BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, z->want);
	KUNIT_ASSERT_NOT_NULL(test, z->got);
	for (u32 m = 0; m < ARRAY_SIZE(masks); m++) {
		z->heap = sparse_kunit_heap(test, 0);
		filler = unit_span(z->heap, CHUNK_PAGES - 4);
		s = unit_span(z->heap, ZERO_PAGES + 10);
		KUNIT_ASSERT_NOT_NULL(test, filler);
		KUNIT_ASSERT_NOT_NULL(test, s);
		z->base = s->start_addr;
		KUNIT_ASSERT_EQ(test, sparse_unit(z->base), CHUNK_PAGES - 4);
		for (u32 p = 0; p < ZERO_PAGES; p++)
			z->backed[p] = masks[m] & BIT(p);
		for (u32 i = 0; i < ARRAY_SIZE(zero_rows); i++) {
			const struct zero_row *row = &zero_rows[i];

			zero_refill(test, z, i);
			sparse_zero(z->heap, z->base + row->off, row->len);
			memset(z->want + row->off, 0, row->len);
			zero_check(test, z, row->what);
		}
		zero_refill(test, z, 99);
		for (u32 i = 0; i < 25; i++) {
			u32 off = prandom_u32_state(&rnd) % ZERO_BYTES;
			u32 len = prandom_u32_state(&rnd) % (i & 1 ? 300 : ZERO_BYTES);

			len = min(len, (u32)ZERO_BYTES - off);
			sparse_zero(z->heap, z->base + off, len);
			memset(z->want + off, 0, len);
			if (i % 5 == 4) {
				zero_check(test, z, "random ranges");
				zero_refill(test, z, i);
			}
		}
		heap_kunit_check(test, z->heap, 0);
		heap_kunit_end(test, z->heap);
	}
}

/* Chunks without tables in between, and more than a chunk at once. */
static void sparse_zero_far(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	static const u64 touched[] = { 0, CHUNK_PAGES - 1, CHUNK_PAGES, 3 * CHUNK_PAGES - 1,
				       4 * CHUNK_PAGES };
	const u32 npages = 4 * CHUNK_PAGES + 50;
	struct mspan *s = unit_span(heap, npages);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (u32 i = 0; i < ARRAY_SIZE(touched); i++)
		KUNIT_EXPECT_EQ(test, fill(heap, s->start_addr + touched[i] * PAGE_BYTES,
					   PAGE_BYTES, 0x41, buf), PAGE_BYTES);
	sparse_zero(heap, s->start_addr + 10, npages * PAGE_BYTES - 10);
	for (u32 i = 0; i < ARRAY_SIZE(touched); i++) {
		u64 addr = s->start_addr + touched[i] * PAGE_BYTES;

		KUNIT_EXPECT_TRUE(test, all_bytes(heap, addr + (i ? 0 : 10),
						  PAGE_BYTES - (i ? 0 : 10), 0, buf));
	}
	KUNIT_EXPECT_TRUE(test, all_bytes(heap, s->start_addr, 10, 0x41, buf));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), ARRAY_SIZE(touched) * PAGE_BYTES);
	heap_kunit_check(test, heap, 0);
}

/*
 * Small objects: what has no memory is not zeroed. What was written to before it was
 * an object's is, and what was used before.
 */
static const u32 small_sizes[] = { 16, 48, 1024, 2048, 4096 };

static void small_desc(const u32 *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u bytes", *size);
}

KUNIT_ARRAY_PARAM(small, small_sizes, small_desc);

static void always_needzero(struct kunit *test)
{
	if (SPARSE_UNIT_PAGES > 1)
		kunit_skip(test, "a page may be a neighbour's too: everything is zeroed");
}

static void sparse_needzero_small(struct kunit *test)
{
	u32 size = *(const u32 *)test->param_value;
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);
	u64 *obj = kunit_kcalloc(test, PAGE_BYTES / 16 + 1, sizeof(*obj), GFP_KERNEL);
	u64 uninit, usable, other, again = 0;
	struct mspan *s;
	u32 n;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	always_needzero(test);
	test_pin(test, cpumask_first(cpu_online_mask));

	/* A free alone says so, too, though nothing is there. */
	other = new_object(heap, 96, GOALLOC_SCAN);
	KUNIT_ASSERT_NE(test, other, 0);
	s = heap_kunit_span_of(heap, other);
	KUNIT_EXPECT_EQ(test, s->needzero, 0);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, other), 0);
	KUNIT_EXPECT_EQ(test, s->needzero, 1);

	obj[0] = new_object(heap, size, GOALLOC_SCAN);
	KUNIT_ASSERT_NE(test, obj[0], 0);
	s = heap_kunit_span_of(heap, obj[0]);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_LE(test, s->nelems, PAGE_BYTES / 16);
	usable = s->elemsize;
	KUNIT_EXPECT_EQ(test, s->needzero, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, fill(heap, s->start_addr, mspan_bytes(s), 0xaa, buf),
			mspan_bytes(s));
	KUNIT_EXPECT_EQ(test, s->needzero, 1);
	for (n = 1; n < s->nelems; n++) {
		obj[n] = new_object(heap, size, GOALLOC_SCAN);
		KUNIT_ASSERT_PTR_EQ(test, heap_kunit_span_of(heap, obj[n]), s);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[n], usable, 0, buf));
	}
	KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[0], usable, 0xaa, buf));
	KUNIT_EXPECT_EQ(test, fill(heap, s->start_addr, mspan_bytes(s), 0xaa, buf),
			mspan_bytes(s));

	/* One is freed, and comes again: all of it is zero, and nothing beside. */
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj[1]), 0);
	KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[1], usable, 0xaa, buf));
	while (again != obj[1]) {
		again = new_object(heap, size, GOALLOC_SCAN);
		KUNIT_ASSERT_NE(test, again, 0);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, again, usable, 0, buf));
		KUNIT_ASSERT_LT(test, n++, 3000);
		if (again != obj[1])
			continue;
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[0], usable, 0xaa, buf));
		if (s->nelems > 2)
			KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[2], usable, 0xaa, buf));
	}

	/* Not zeroed, who does not want it: the bytes of the one before. */
	KUNIT_EXPECT_EQ(test, fill(heap, obj[1], usable, 0xbb, buf), usable);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj[1]), 0);
	for (uninit = 0; uninit != obj[1]; n++) {
		uninit = new_object(heap, size, GOALLOC_SCAN | GOALLOC_UNINIT);
		KUNIT_ASSERT_NE(test, uninit, 0);
		KUNIT_ASSERT_LT(test, n, 6000);
	}
	KUNIT_EXPECT_TRUE(test, all_bytes(heap, uninit, usable, 0xbb, buf));
	heap_kunit_check(test, heap, ANY_OBJECTS);
}

/* Pages that were one class's objects become those of others. */
static void sparse_needzero_span(struct kunit *test)
{
	static const u32 sizes[] = { 1, 8, 24, 100, 512, 1024, 3000, 8192, 20000, 32768, 40000 };
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);
	struct mspan *s = unit_span(heap, 200);
	u64 from, to;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	from = s->start_addr;
	to = from + mspan_bytes(s);
	/* The lower half is backed, and each other page of the upper one. */
	for (u32 p = 0; p < 200; p += p < 100 ? 1 : 2)
		KUNIT_EXPECT_EQ(test, fill(heap, from + p * PAGE_BYTES, PAGE_BYTES, 0xcc, buf),
				PAGE_BYTES);
	mheap_return_span(s);
	for (u32 i = 0; i < 44; i++) {
		u32 size = sizes[i % ARRAY_SIZE(sizes)];
		u64 obj = new_object(heap, size, i & 16 ? GOALLOC_SCAN : 0);

		KUNIT_ASSERT_GE(test, obj, from);
		KUNIT_ASSERT_LT(test, obj, to);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj, size, 0, buf));
	}
	/* Who touches nothing backs nothing. */
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 150 * PAGE_BYTES);
	heap_kunit_check(test, heap, 44);
}

/* Large objects on pages that were one's before, some of them untouched. */
static void sparse_needzero_large(struct kunit *test)
{
	static const u64 sizes[] = { 140000, 300000, 5 << 20 };
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	always_needzero(test);
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		u64 size = sizes[i], last = round_down(size - 1, PAGE_BYTES);
		u64 obj = new_object(heap, size, 0);

		KUNIT_ASSERT_NE(test, obj, 0);
		KUNIT_EXPECT_EQ(test, heap_kunit_span_of(heap, obj)->needzero, 0);
		KUNIT_EXPECT_EQ(test, fill(heap, obj + PAGE_BYTES, PAGE_BYTES, 0xdd, buf),
				PAGE_BYTES);
		/* To the end of what may be used. */
		KUNIT_EXPECT_EQ(test, fill(heap, obj + last, PAGE_BYTES, 0xdd, buf), PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj), 0);

		KUNIT_EXPECT_EQ(test, new_object(heap, size, GOALLOC_UNINIT), obj);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj, PAGE_BYTES, 0, buf));
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj + PAGE_BYTES, PAGE_BYTES, 0xdd,
						  buf));
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj + last, PAGE_BYTES, 0xdd, buf));
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj), 0);

		KUNIT_EXPECT_EQ(test, new_object(heap, size, 0), obj);
		KUNIT_EXPECT_EQ(test, heap_kunit_span_of(heap, obj)->needzero, 1);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj, last + PAGE_BYTES, 0, buf));
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 2 * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, fill(heap, obj + last, PAGE_BYTES, 0xee, buf), PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj), 0);

		/* Given back, it is as new whatever is asked for. */
		KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
				2 * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, new_object(heap, size, GOALLOC_UNINIT), obj);
		KUNIT_EXPECT_EQ(test, heap_kunit_span_of(heap, obj)->needzero, 0);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj, last + PAGE_BYTES, 0, buf));
		heap_kunit_check(test, heap, 1);
	}
}

/* Blocks of tiny objects: all 16 bytes of one are zero when it is taken anew. */
static void sparse_needzero_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);
	u64 *obj = kunit_kcalloc(test, 512, sizeof(*obj), GFP_KERNEL);
	struct mspan *s;
	u32 again = 0;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	test_pin(test, cpumask_first(cpu_online_mask));
	/* All blocks of a span, each by one object. */
	for (u32 i = 0; i < 512; i++) {
		obj[i] = new_object(heap, 9, 0);
		KUNIT_ASSERT_NE(test, obj[i], 0);
	}
	s = heap_kunit_span_of(heap, obj[0]);
	KUNIT_ASSERT_PTR_EQ(test, heap_kunit_span_of(heap, obj[511]), s);
	KUNIT_EXPECT_EQ(test, fill(heap, s->start_addr, mspan_bytes(s), 0xab, buf),
			mspan_bytes(s));
	for (u32 i = 0; i < 512; i += 2)
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj[i]), 0);
	for (u32 i = 0; i < 256; i++) {
		/* What lies behind it in its block belongs to no object. */
		u64 addr = new_object(heap, 9, 0);
		bool same = addr - s->start_addr < GOALLOC_PAGE_SIZE;

		KUNIT_ASSERT_NE(test, addr, 0);
		again += same;
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, addr, 16, 0, buf));
		/* The next in the same block finds what is zero still. */
		addr = new_object(heap, 7, 0);
		KUNIT_ASSERT_NE(test, addr, 0);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, addr, 7, 0, buf));
	}
	KUNIT_EXPECT_GT(test, again, 200);
	for (u32 i = 1; i < 512; i += 2)
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj[i], 16, 0xab, buf));

	/* A block whose objects are all dead while an mcache packs into it. */
	again = 0;
	for (u32 i = 0; i < 100; i++) {
		u64 a = new_object(heap, 12, 0), b;

		KUNIT_ASSERT_NE(test, a, 0);
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, a, 12, 0, buf));
		KUNIT_EXPECT_EQ(test, fill(heap, round_down(a, 16), 16, 0xcd, buf), 16);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, a), 0);
		b = new_object(heap, 15, 0);
		KUNIT_ASSERT_NE(test, b, 0);
		again += b == a;
		KUNIT_EXPECT_TRUE(test, all_bytes(heap, b, 15, 0, buf));
		KUNIT_EXPECT_EQ(test, fill(heap, b, 15, 0xef, buf), 15);
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, b), 0);
	}
	KUNIT_EXPECT_GT(test, again, 0);
	heap_kunit_check(test, heap, 256 + 512);
}

/* Pages to which somebody has a reference stay the heap's until he lets go. */
static void sparse_held(struct kunit *test)
{
	static const u32 held[] = { 0, 1, 63, 64, 66, 100, 511, 512, 513 };
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);
	struct mspan *s = unit_span(heap, 520);
	struct page *pages[ARRAY_SIZE(held)], *part[ARRAY_SIZE(held)];
	u64 base;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	base = s->start_addr;
	KUNIT_EXPECT_EQ(test, fill(heap, base, 520 * PAGE_BYTES, 0x91, buf), 520 * PAGE_BYTES);
	for (u32 i = 0; i < ARRAY_SIZE(held); i++) {
		pages[i] = sparse_kunit_page(heap, base + held[i] * PAGE_BYTES);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		/* Any part of it will do. */
		part[i] = pages[i] + (i & (PAGE_BYTES / PAGE_SIZE - 1));
		get_page(part[i]);
	}
	mheap_return_span(s);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
			(520 - ARRAY_SIZE(held)) * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), ARRAY_SIZE(held) * PAGE_BYTES);
	for (u32 i = 0; i < ARRAY_SIZE(held); i++) {
		u64 addr = base + held[i] * PAGE_BYTES;

		KUNIT_EXPECT_PTR_EQ(test, sparse_kunit_page(heap, addr), pages[i]);
		KUNIT_EXPECT_EQ(test, page_count(part[i]), 2);
		KUNIT_EXPECT_EQ(test, pages[i]->index, addr >> PAGE_SHIFT);
		KUNIT_EXPECT_NULL(test, memchr_inv(page_address(pages[i]), 0x91, PAGE_BYTES));
	}
	heap_kunit_check(test, heap, 0);
	/* Again: nothing goes, nothing changes. */
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST), 0);
	heap_kunit_check(test, heap, 0);

	/* One by one they are let go, and go. */
	for (u32 i = 0; i < ARRAY_SIZE(held); i++) {
		put_page(part[i]);
		KUNIT_EXPECT_EQ(test, scavenge(heap, i & 1 ? 1 : GOALLOC_NO_LIMIT,
					       SCAVENGE_REQUEST), PAGE_BYTES);
		KUNIT_EXPECT_NULL(test, sparse_kunit_page(heap, base + held[i] * PAGE_BYTES));
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
	heap_kunit_check(test, heap, 0);
}

/* A held page serves its heap meanwhile, and outlives it. */
static void sparse_held_reused(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	u8 *buf = kunit_kmalloc(test, PAGE_BYTES, GFP_KERNEL);
	u64 obj = new_object(heap, 5 * PAGE_BYTES, 0);
	struct page *page;

	KUNIT_ASSERT_NE(test, obj, 0);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, fill(heap, obj, 5 * PAGE_BYTES, 0x92, buf), 5 * PAGE_BYTES);
	page = sparse_kunit_page(heap, obj + 2 * PAGE_BYTES);
	KUNIT_ASSERT_NOT_NULL(test, page);
	get_page(page);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, obj), 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST),
			4 * PAGE_BYTES);

	/* The same page behind the same address, and it was one with old bytes. */
	KUNIT_EXPECT_EQ(test, new_object(heap, 5 * PAGE_BYTES, 0), obj);
	KUNIT_EXPECT_PTR_EQ(test, sparse_kunit_page(heap, obj + 2 * PAGE_BYTES), page);
	KUNIT_EXPECT_TRUE(test, all_bytes(heap, obj, 5 * PAGE_BYTES, 0, buf));
	KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, obj + 2 * PAGE_BYTES, 0x93), 1);
	KUNIT_EXPECT_EQ(test, *(u8 *)page_address(page), 0x93);
	heap_kunit_check(test, heap, 1);

	heap_kunit_end(test, heap);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	KUNIT_EXPECT_EQ(test, page->index, 0);
	KUNIT_EXPECT_EQ(test, *(u8 *)page_address(page), 0x93);
	put_page(page);
}

/* What is known of a page, as a plain array knows it. */
enum { SEEK_IDLE, SEEK_IDLE_BACKED, SEEK_USED, SEEK_USED_BACKED };

#define SEEK_PAGES	(3 * CHUNK_PAGES)

static u64 plain_seek(const u8 *state, u64 addr, bool data)
{
	while (addr < GOALLOC_HEAP_BASE + SEEK_PAGES * PAGE_BYTES) {
		bool is_data = state[page_index(addr)] == SEEK_USED_BACKED;

		if (data == is_data)
			return addr;
		addr = round_down(addr, PAGE_BYTES) + PAGE_BYTES;
	}
	return data ? GOALLOC_HEAP_END : addr;
}

/*
 * Three chunks of spans of all lengths, some backed in part, some idle. In the
 * second heap the middle chunk has no table.
 */
static void sparse_seek_all(struct kunit *test)
{
	u8 *state = kunit_kmalloc(test, SEEK_PAGES, GFP_KERNEL);
	struct mspan **s = kunit_kcalloc(test, SEEK_PAGES, sizeof(*s), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, state);
	KUNIT_ASSERT_NOT_NULL(test, s);
	seed_random(test, &rnd);
	for (u32 round = 0; round < 3; round++) {
		struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
		u32 n = 0, page = 0, wrong = 0;
		u64 addr;

		/* Nothing there yet. */
		KUNIT_EXPECT_EQ(test, sparse_seek(heap, GOALLOC_HEAP_BASE, true),
				GOALLOC_HEAP_END);
		KUNIT_EXPECT_EQ(test, sparse_seek(heap, GOALLOC_HEAP_BASE, false),
				GOALLOC_HEAP_BASE);
		memset(state, SEEK_IDLE, SEEK_PAGES);
		while (page < SEEK_PAGES) {
			u32 len = PAGE_CACHE_RUN_MAX + 1 +
				  prandom_u32_state(&rnd) % (round & 1 ? CHUNK_PAGES / 2 : 20);
			u32 left = CHUNK_PAGES - page % CHUNK_PAGES;
			u32 often = prandom_u32_state(&rnd) % 4;

			/* Each chunk is full before the next one is begun. */
			if (left - min(len, left) <= PAGE_CACHE_RUN_MAX)
				len = left;
			s[n] = unit_span(heap, len);
			KUNIT_ASSERT_NOT_NULL(test, s[n]);
			KUNIT_ASSERT_EQ(test, page_index(s[n]->start_addr), page);
			for (u32 i = 0; i < len; i++, page++) {
				state[page] = SEEK_USED;
				if (prandom_u32_state(&rnd) % 4 > often ||
				    (round == 2 && page / CHUNK_PAGES == 1))
					continue;
				state[page] = SEEK_USED_BACKED;
				addr = page_addr(page);
				KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, addr, 1), 1);
			}
			n++;
		}
		while (n--) {
			u32 from = page_index(s[n]->start_addr);
			u32 len = s[n]->npages / SPARSE_UNIT_PAGES;

			if (prandom_u32_state(&rnd) % 4)
				continue;
			mheap_return_span(s[n]);
			for (u32 i = from; i < from + len; i++)
				state[i] = state[i] == SEEK_USED ? SEEK_IDLE : SEEK_IDLE_BACKED;
		}
		KUNIT_ASSERT_EQ(test, heap->cur_arena,
				GOALLOC_HEAP_BASE + SEEK_PAGES * PAGE_BYTES);
		for (page = 0; page < SEEK_PAGES; page += 1 + prandom_u32_state(&rnd) % 5) {
			u64 off = prandom_u32_state(&rnd) % PAGE_BYTES;

			addr = page_addr(page);
			for (u32 data = 0; data < 2; data++) {
				wrong += sparse_seek(heap, addr, data) !=
					 plain_seek(state, addr, data);
				wrong += sparse_seek(heap, addr + off, data) !=
					 plain_seek(state, addr + off, data);
			}
		}
		KUNIT_EXPECT_EQ(test, wrong, 0);
		/* Behind it all. */
		for (addr = heap->cur_arena; addr < GOALLOC_HEAP_END;
		     addr += GOALLOC_HEAP_SPACE / 5) {
			KUNIT_EXPECT_EQ(test, sparse_seek(heap, addr + 5, true),
					GOALLOC_HEAP_END);
			KUNIT_EXPECT_EQ(test, sparse_seek(heap, addr + 5, false), addr + 5);
		}
		heap_kunit_check(test, heap, 0);
		heap_kunit_end(test, heap);
	}
}

#define READ_PAGES	24

struct read_run {
	struct goalloc_heap *heap, *other;
	atomic64_t read, zero, refused, cycles;
};

/* What a heap's pages are made of. */
#define READ_OURS	0x55
#define READ_OTHERS	0x99

/*
 * Two heaps make, write, return and give back pages all the time, so that a
 * page of one is one of the other soon after; the others read in one of them.
 */
static void read_crew(struct crew *crew, u32 who)
{
	struct read_run *run = crew->arg;
	struct goalloc_heap *heap = who == 1 ? run->other : run->heap;
	const u32 step = min_t(u32, PAGE_SIZE, GOALLOC_PAGE_SIZE);
	u8 byte = who == 1 ? READ_OTHERS : READ_OURS;
	u8 *buf = kmalloc(PAGE_BYTES, GFP_KERNEL);

	if (!buf) {
		atomic_inc(&crew->bad);
		return;
	}
	for (u32 i = 0; crew_go_on(crew); i++) {
		if (who < 2) {
			struct mspan *s = unit_span(heap, READ_PAGES);

			if (!s || s->start_addr != GOALLOC_HEAP_BASE ||
			    fill(heap, s->start_addr, mspan_bytes(s), byte, buf) !=
			    READ_PAGES * PAGE_BYTES)
				atomic_inc(&crew->bad);
			if (s)
				mheap_return_span(s);
			scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
			atomic64_inc(&run->cycles);
		} else {
			u64 page = (i * 5 + who) % READ_PAGES;
			u64 addr = GOALLOC_HEAP_BASE + page * PAGE_BYTES;
			ssize_t n = sparse_kunit_move(heap, addr, buf, PAGE_BYTES, false);

			/* The span may go in the middle of a read. */
			if (n != -EFAULT && (n <= 0 || n % step))
				atomic_inc(&crew->bad);
			atomic64_inc(n < 0 ? &run->refused :
				     !buf[0] ? &run->zero : &run->read);
			for (ssize_t b = 0; b < n; b++)
				if (buf[b] && buf[b] != READ_OURS) {
					atomic_inc(&crew->bad);
					break;
				}
		}
	}
	kfree(buf);
}

static bool read_met(struct crew *crew)
{
	struct read_run *run = crew->arg;

	return atomic64_read(&run->cycles) > 2 &&
	       atomic64_read(&run->read) + atomic64_read(&run->zero);
}

static void sparse_readers(struct kunit *test)
{
	struct read_run run = {
		.heap = sparse_kunit_heap(test, 0),
		.other = sparse_kunit_heap(test, 0),
	};
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	crew->met = read_met;
	crew_run(test, crew, 4, 2000, read_crew, &run);
	kunit_info(test, "%lld cycles, %lld pages read, %lld unbacked, %lld refused\n",
		   atomic64_read(&run.cycles), atomic64_read(&run.read),
		   atomic64_read(&run.zero), atomic64_read(&run.refused));
	KUNIT_EXPECT_GT(test, atomic64_read(&run.cycles), 2);
	KUNIT_EXPECT_GT(test, atomic64_read(&run.read) + atomic64_read(&run.zero), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&run.heap->backed) / PAGE_BYTES * PAGE_BYTES,
			atomic64_read(&run.heap->backed));
	/* What a reader held when its span went is idle, and goes now. */
	scavenge(run.heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	scavenge(run.other, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, atomic64_read(&run.heap->backed), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&run.other->backed), 0);
	heap_kunit_check(test, run.heap, 0);
	heap_kunit_check(test, run.other, 0);
}

#define LATE_PAGES	24

struct late_run {
	struct goalloc_heap *heap;
	u64 cycles, came;
	atomic64_t touched, refused;
};

/*
 * One makes spans at one place and returns them; the others write there. Once a
 * span is returned no page comes there until there is another one.
 */
static void late_crew(struct crew *crew, u32 who)
{
	struct late_run *run = crew->arg;

	for (u32 i = who; crew_go_on(crew); i++) {
		u64 addr = GOALLOC_HEAP_BASE + i * 5 % LATE_PAGES * PAGE_BYTES;
		struct mspan *s;
		ssize_t n;
		s64 backed;

		if (who) {
			n = sparse_kunit_touch(run->heap, addr, who);
			if (n != 1 && n != -EFAULT)
				atomic_inc(&crew->bad);
			atomic64_inc(n < 0 ? &run->refused : &run->touched);
			continue;
		}
		s = unit_span(run->heap, LATE_PAGES);
		if (!s || s->start_addr != GOALLOC_HEAP_BASE) {
			atomic_inc(&crew->bad);
			break;
		}
		usleep_range(20, 200);
		mheap_return_span(s);
		backed = atomic64_read(&run->heap->backed);
		WRITE_ONCE(run->came, run->came + (backed > 0));
		usleep_range(20, 200);
		if (atomic64_read(&run->heap->backed) != backed)
			atomic_inc(&crew->bad);
		scavenge(run->heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
		run->cycles++;
	}
}

static bool late_met(struct crew *crew)
{
	struct late_run *run = crew->arg;

	return READ_ONCE(run->came) && atomic64_read(&run->refused);
}

static void sparse_late(struct kunit *test)
{
	struct late_run run = { .heap = sparse_kunit_heap(test, 0) };
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	crew->met = late_met;
	crew_run(test, crew, 4, 1500, late_crew, &run);
	kunit_info(test, "%llu cycles, in %llu pages came; %lld touched, %lld refused\n",
		   run.cycles, run.came, atomic64_read(&run.touched),
		   atomic64_read(&run.refused));
	KUNIT_EXPECT_GT(test, run.came, 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&run.refused), 0);
	heap_kunit_check(test, run.heap, 0);
	scavenge(run.heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST);
	KUNIT_EXPECT_EQ(test, atomic64_read(&run.heap->backed), 0);
	heap_kunit_check(test, run.heap, 0);
}

static struct mspan *heap_pages(struct kunit *test, struct goalloc_heap *heap, u64 n)
{
	struct mspan *s = sparse_kunit_span(heap, n);

	KUNIT_ASSERT_NOT_NULL(test, s);
	return s;
}

/* Two spans in one page: what one does backs the other, and keeps its memory. */
static void sparse_shared(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct mspan *a, *b;
	u8 bytes[4];
	u64 addr;

	if (SPARSE_UNIT_PAGES == 1)
		kunit_skip(test, "a page has one heap page at most");
	a = heap_pages(test, heap, 1);
	b = heap_pages(test, heap, 1);
	addr = a->start_addr;
	KUNIT_ASSERT_EQ(test, addr, GOALLOC_HEAP_BASE);
	KUNIT_ASSERT_EQ(test, b->start_addr, addr + GOALLOC_PAGE_SIZE);
	/* Over the border of the two. */
	memset(bytes, 0x31, sizeof(bytes));
	KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, b->start_addr - 2, bytes, 4, true), 4);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), SPARSE_UNIT_SIZE);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys - SPARSE_UNIT_PAGES);
	heap_kunit_check(test, heap, 0);

	/* The file knows heap pages. */
	mheap_return_span(a);
	KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, b->start_addr - 2, bytes, 4, true), -EFAULT);
	KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, b->start_addr, bytes, 4, true), 4);
	KUNIT_EXPECT_EQ(test, sparse_seek(heap, addr, true), b->start_addr);
	KUNIT_EXPECT_EQ(test, sparse_seek(heap, b->start_addr, false),
			b->start_addr + GOALLOC_PAGE_SIZE);
	/* What is idle cannot be given back, and is not said to be. */
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	KUNIT_EXPECT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT, SCAVENGE_REQUEST), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys - SPARSE_UNIT_PAGES);
	heap_kunit_check(test, heap, 0);

	/* Old bytes are there for the next one. */
	a = heap_pages(test, heap, 1);
	KUNIT_ASSERT_EQ(test, a->start_addr, addr);
	KUNIT_EXPECT_EQ(test, a->needzero, 1);
	KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, b->start_addr - 2, bytes, 4, false), 4);
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes, 0x31, 4));
	sparse_zero(heap, addr, GOALLOC_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, sparse_kunit_move(heap, b->start_addr - 2, bytes, 4, false), 4);
	KUNIT_EXPECT_EQ(test, bytes[1], 0);
	KUNIT_EXPECT_EQ(test, bytes[2], 0x31);

	mheap_return_span(a);
	mheap_return_span(b);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, SPARSE_UNIT_PAGES);
	KUNIT_EXPECT_EQ(test, scavenge(heap, 1, SCAVENGE_REQUEST), SPARSE_UNIT_SIZE);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	heap_kunit_check(test, heap, 0);
}

#define SHARED_PAGES	(4 * PALLOC_CHUNK_PAGES)
#define SHARED_SPANS	80
#define SHARED_OPS	3000

struct shared_span {
	struct mspan *s;
	u64 at, value;
};

/*
 * Spans of all lengths in heap pages come, are touched and go; what is backed is
 * given back at times. Plain arrays say of each unit if it is.
 */
static void sparse_shared_random(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct shared_span *spans = kunit_kcalloc(test, SHARED_SPANS, sizeof(*spans), GFP_KERNEL);
	u32 *users = kunit_kcalloc(test, SHARED_PAGES, sizeof(*users), GFP_KERNEL);
	bool *backed = kunit_kcalloc(test, SHARED_PAGES, sizeof(*backed), GFP_KERNEL);
	struct rnd_state rnd;
	u64 units = 0;

	KUNIT_ASSERT_NOT_NULL(test, spans);
	KUNIT_ASSERT_NOT_NULL(test, users);
	KUNIT_ASSERT_NOT_NULL(test, backed);
	seed_random(test, &rnd);
	for (u32 op = 0; op < SHARED_OPS; op++) {
		struct shared_span *sp = &spans[prandom_u32_state(&rnd) % SHARED_SPANS];
		u64 size, value, given = 0;

		if (!sp->s) {
			sp->s = heap_pages(test, heap, 1 + prandom_u32_state(&rnd) %
					   (op & 1 ? 8 : 40));
			size = mspan_bytes(sp->s);
			KUNIT_ASSERT_LE(test, sp->s->start_addr + size, GOALLOC_HEAP_BASE +
					SHARED_PAGES * GOALLOC_PAGE_SIZE);
			for (u64 a = sp->s->start_addr; a < sp->s->start_addr + size;
			     a += GOALLOC_PAGE_SIZE)
				users[page_index(a)]++;
			sp->value = 0;
		} else if (prandom_u32_state(&rnd) % 3) {
			size = mspan_bytes(sp->s);
			if (sp->value) {
				KUNIT_ASSERT_EQ(test, sparse_kunit_move(heap, sp->at, &value, 8,
									false), 8);
				KUNIT_ASSERT_EQ(test, value, sp->value);
			}
			sp->value = op + 1;
			sp->at = sp->s->start_addr + prandom_u32_state(&rnd) % (size / 8) * 8;
			KUNIT_ASSERT_EQ(test, sparse_kunit_move(heap, sp->at, &sp->value, 8,
								true), 8);
			units += !backed[page_index(sp->at)];
			backed[page_index(sp->at)] = true;
		} else {
			size = mspan_bytes(sp->s);
			for (u64 a = sp->s->start_addr; a < sp->s->start_addr + size;
			     a += GOALLOC_PAGE_SIZE)
				users[page_index(a)]--;
			mheap_return_span(sp->s);
			sp->s = NULL;
		}
		if (op % 50 == 49) {
			for (u32 i = 0; i < SHARED_PAGES; i++) {
				given += backed[i] && !users[i];
				backed[i] = backed[i] && users[i];
			}
			if (op % 100 == 49)
				KUNIT_ASSERT_EQ(test, scavenge(heap, GOALLOC_NO_LIMIT,
							       SCAVENGE_REQUEST),
						given * PAGE_BYTES);
			else
				/* As much as there is: the rest is not enough. */
				KUNIT_ASSERT_EQ(test, scavenge(heap, SZ_1G, SCAVENGE_REQUEST),
						given * PAGE_BYTES);
			units -= given;
			heap_kunit_check(test, heap, 0);
		}
		KUNIT_ASSERT_EQ(test, atomic64_read(&heap->backed), units * PAGE_BYTES);
	}
}

/*
 * A span is returned where nothing may sleep, and just then its heap is mapped for the
 * first time. It goes all the same, by way of a work item.
 */
static u32 unset_calls;

static void unset_maps(struct goalloc_heap *heap)
{
	unset_calls++;
	WRITE_ONCE(heap->mapped, true);
}

static void unset_end(void *unused)
{
	WRITE_ONCE(sparse_after_unset, NULL);
}

static void sparse_mapped_just_now(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	static struct address_space mapping;
	unsigned long end = jiffies + 60 * HZ;
	struct mspan *s;
	u64 addr;

	address_space_init_once(&mapping);
	heap->mapping = &mapping;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, unset_end, NULL), 0);
	for (u32 round = 0; round < 3; round++) {
		WRITE_ONCE(heap->mapped, round == 2);
		unset_calls = 0;
		s = sparse_kunit_span(heap, SPARSE_UNIT_PAGES);
		KUNIT_ASSERT_NOT_NULL(test, s);
		addr = s->start_addr;
		WRITE_ONCE(sparse_after_unset, round ? unset_maps : NULL);
		preempt_disable();
		mheap_free_span(s);
		preempt_enable();
		while (atomic_read(&heap->returning) && time_before(jiffies, end))
			msleep(20);
		/* Seen in the first try and in the work item's; or in the latter alone. */
		KUNIT_EXPECT_EQ(test, unset_calls, round ? 3 - round : 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&heap->returning), 0);
		rcu_read_lock();
		KUNIT_EXPECT_NULL(test, span_of_heap(heap, addr));
		rcu_read_unlock();
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->pages_charged), 0);
	}
	WRITE_ONCE(sparse_after_unset, NULL);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case sparse_cases[] = {
	KUNIT_CASE_PARAM(sparse_race, race_gen_params),
	KUNIT_CASE_PARAM(sparse_touch_and_go, entry_gen_params),
	KUNIT_CASE_SLOW(sparse_late),
	KUNIT_CASE(sparse_short),
	KUNIT_CASE(sparse_look_and_go),
	KUNIT_CASE(sparse_failures),
	KUNIT_CASE(sparse_zero_ranges),
	KUNIT_CASE(sparse_zero_far),
	KUNIT_CASE_PARAM(sparse_needzero_small, small_gen_params),
	KUNIT_CASE(sparse_needzero_span),
	KUNIT_CASE(sparse_needzero_large),
	KUNIT_CASE(sparse_needzero_tiny),
	KUNIT_CASE(sparse_held),
	KUNIT_CASE(sparse_held_reused),
	KUNIT_CASE(sparse_seek_all),
	KUNIT_CASE(sparse_shared),
	KUNIT_CASE(sparse_shared_random),
	KUNIT_CASE_SLOW(sparse_readers),
	KUNIT_CASE(sparse_mapped_just_now),
	{}
};

static unsigned int scavenge_percent;

/* What is idle stays until a test says otherwise. */
static int sparse_suite_init(struct kunit_suite *suite)
{
	scavenge_percent = goalloc_scavenge_percent;
	WRITE_ONCE(goalloc_scavenge_percent, 0);
	cancel_delayed_work_sync(&goalloc_bgscavenge);
	return 0;
}

static void sparse_suite_exit(struct kunit_suite *suite)
{
	WRITE_ONCE(goalloc_scavenge_percent, scavenge_percent);
}

static struct kunit_suite sparse_suite = {
	.name = "goalloc_sparse",
	.suite_init = sparse_suite_init,
	.suite_exit = sparse_suite_exit,
	.test_cases = sparse_cases,
};

kunit_test_suite(sparse_suite);

GOALLOC_KUNIT_IMPORT;
