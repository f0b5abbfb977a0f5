// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_fixalloc: metadata is counted, and every allocation may fail.
 *
 * The sweep runs each operation of a table with its first allocation failing,
 * then with its second, and so on until it runs through without having asked
 * for that many. An operation either does without, or says -ENOMEM; then no
 * object, page in use or span came or went, and the same operation succeeds
 * when it is tried once more. A heap that ends with metadata left over warns.
 */
#include <kunit/test.h>
#include <linux/goalloc.h>
#include <linux/module.h>
#include <linux/uio.h>

#include "../goalloc/fixalloc.h"
#include "../goalloc/malloc.h"
#include "../goalloc/sweep.h"
#include "heap_kunit.h"
#include "sparse.h"

/* More than any operation asks for. */
#define FAILURES_MAX	400

/* What an operation made, to be undone. */
struct made {
	struct kunit *test;
	struct goalloc_heap *heap;
	struct goalloc_heap *other;
	u64 before;		/* address of an object made beforehand */
	u64 addr;		/* of the object that the operation made */
	void *bulk[24];
	size_t n;
};

static int op_alloc(struct made *m, u64 size, u32 flags, gfp_t gfp)
{
	unsigned long addr;
	u64 usable;
	void *p;
	int ret;

	if (m->heap->backing == BACKING_LINEAR) {
		p = goalloc_heap_alloc(m->heap, size, flags, gfp);
		m->addr = (unsigned long)p;
		return p ? 0 : -ENOMEM;
	}
	ret = mallocgc(m->heap, size, 0, flags, gfp, &addr, &usable);
	if (!ret)
		m->addr = addr;
	return ret;
}

static int free_addr(struct goalloc_heap *heap, u64 addr)
{
	return heap->backing == BACKING_LINEAR ? goalloc_try_free((void *)addr) :
						 mallocgc_free(heap, addr);
}

static int op_tiny(struct made *m)
{
	return op_alloc(m, 3, 0, GFP_KERNEL);
}

static int op_small(struct made *m)
{
	return op_alloc(m, 8, GOALLOC_SCAN, GFP_KERNEL);
}

static int op_small_atomic(struct made *m)
{
	return op_alloc(m, 1000, 0, GFP_ATOMIC);
}

static int op_small_large_span(struct made *m)
{
	return op_alloc(m, 27264, 0, GFP_KERNEL);
}

static int op_large(struct made *m)
{
	return op_alloc(m, 100000, 0, GFP_KERNEL);
}

static int op_block(struct made *m)
{
	return op_alloc(m, 2 << 20, 0, GFP_KERNEL);
}

static int op_mapped(struct made *m)
{
	return op_alloc(m, 9 << 20, 0, GFP_KERNEL);
}

static int op_many_chunks(struct made *m)
{
	return op_alloc(m, (u64)70 << 20, 0, GFP_KERNEL);
}

static int op_aligned(struct made *m)
{
	unsigned long addr;
	u64 usable;
	int ret = mallocgc(m->heap, 5000, 1 << 20, 0, GFP_KERNEL, &addr, &usable);

	if (!ret)
		m->addr = addr;
	return ret;
}

static int op_bulk(struct made *m)
{
	m->n = goalloc_alloc_bulk(m->heap, 8192, 0, GFP_KERNEL, ARRAY_SIZE(m->bulk), m->bulk);
	if (m->n == ARRAY_SIZE(m->bulk))
		return 0;
	/* What was made is good, and is the caller's. */
	goalloc_free_bulk(m->n, m->bulk);
	m->n = 0;
	return -ENOMEM;
}

static int op_realloc(struct made *m)
{
	void *p = goalloc_realloc((void *)m->before, 200000, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	m->before = 0;
	m->addr = (unsigned long)p;
	return 0;
}

/* Four pages of an object that was never touched. */
static int op_write(struct made *m)
{
	static u8 buf[3 * 8192];
	struct kvec kvec = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct iov_iter iter;
	ssize_t n;

	iov_iter_kvec(&iter, ITER_SOURCE, &kvec, 1, sizeof(buf));
	n = sparse_iter(m->heap, m->before + 100, &iter, true);
	/* Short, where memory ran out; then what there is can be read. */
	if (n >= 0 && n < sizeof(buf))
		return -ENOMEM;
	return n < 0 ? n : 0;
}

static int op_mark(struct made *m)
{
	return gc_mark(m->heap, m->before);
}

static int op_create(struct made *m, enum goalloc_backing backing)
{
	struct goalloc_heap *heap = mheap_create(NULL, backing);

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	m->other = heap;
	return 0;
}

static int op_create_linear(struct made *m)
{
	return op_create(m, BACKING_LINEAR);
}

static int op_create_sparse(struct made *m)
{
	return op_create(m, BACKING_SPARSE);
}

/*
 * @before: bytes of an object that is there already. @asks: how many
 * allocations there are to fail, at least: a test that reaches none is none.
 */
static const struct op {
	const char *what;
	enum goalloc_backing backing;
	int (*run)(struct made *m);
	u64 before;
	u32 asks;
} ops[] = {
	{ "kernel heap: its making", BACKING_LINEAR, op_create_linear, 0, 2 },
	{ "file heap: its making", BACKING_SPARSE, op_create_sparse, 0, 2 },
	{ "kernel heap: tiny, the first object", BACKING_LINEAR, op_tiny, 0, 8 },
	{ "kernel heap: small, the first object", BACKING_LINEAR, op_small, 0, 8 },
	{ "kernel heap: small, atomic", BACKING_LINEAR, op_small_atomic, 0, 8 },
	{ "kernel heap: small, of a span of 10 pages", BACKING_LINEAR, op_small_large_span, 0, 8 },
	{ "kernel heap: tiny, others there", BACKING_LINEAR, op_tiny, 100, 1 },
	{ "kernel heap: large", BACKING_LINEAR, op_large, 0, 6 },
	{ "kernel heap: large, others there", BACKING_LINEAR, op_large, 100, 1 },
	{ "kernel heap: a whole block", BACKING_LINEAR, op_block, 100, 2 },
	{ "kernel heap: mapped", BACKING_LINEAR, op_mapped, 0, 8 },
	{ "kernel heap: bulk", BACKING_LINEAR, op_bulk, 0, 24 },
	{ "kernel heap: realloc", BACKING_LINEAR, op_realloc, 100, 1 },
	{ "kernel heap: mark", BACKING_LINEAR, op_mark, 64, 1 },
	{ "file heap: tiny, the first object", BACKING_SPARSE, op_tiny, 0, 8 },
	{ "file heap: small, the first object", BACKING_SPARSE, op_small, 0, 8 },
	{ "file heap: large", BACKING_SPARSE, op_large, 0, 6 },
	{ "file heap: aligned", BACKING_SPARSE, op_aligned, 0, 6 },
	{ "file heap: several arenas", BACKING_SPARSE, op_many_chunks, 0, 20 },
	{ "file heap: first touch", BACKING_SPARSE, op_write, 100000, 4 },
	{ "file heap: mark", BACKING_SPARSE, op_mark, 64, 1 },
};

KUNIT_ARRAY_PARAM_DESC(op, ops, what);

static void stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

static void read_books(struct goalloc_heap *heap, struct goalloc_memstats *ms)
{
	heap_kunit_settle(heap);
	readmemstats(heap, ms);
}

static void fixalloc_sweep(struct kunit *test)
{
	const struct op *op = test->param_value;
	struct goalloc_memstats *ms = kunit_kcalloc(test, 2, sizeof(*ms), GFP_KERNEL);
	struct made *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 leaves = atomic64_read(&goalloc_spanmap.bytes);
	u32 nth, refused = 0;

	KUNIT_ASSERT_NOT_NULL(test, m);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);

	for (nth = 1; nth < FAILURES_MAX; nth++) {
		int ret, left;
		u64 nspans;

		memset(m, 0, sizeof(*m));
		m->heap = heap_kunit_create(test, op->backing, 0);
		if (op->before) {
			KUNIT_ASSERT_EQ(test, op_alloc(m, op->before, 0, GFP_KERNEL), 0);
			swap(m->before, m->addr);
		}
		read_books(m->heap, &ms[0]);
		nspans = mheap_nspans(m->heap);

		/* On another CPU it would need an mcache there as well. */
		migrate_disable();
		goalloc_fail_nth(nth);
		ret = op->run(m);
		migrate_enable();
		left = goalloc_fail_left();
		goalloc_fail_nth(0);
		if (left)
			KUNIT_EXPECT_EQ(test, ret, 0);
		if (ret) {
			refused++;
			KUNIT_EXPECT_EQ_MSG(test, ret, -ENOMEM, "failure %u", nth);
			heap_kunit_check(test, m->heap, op->before ? 1 : 0);
			read_books(m->heap, &ms[1]);
			KUNIT_EXPECT_EQ(test, ms[1].heap_objects, ms[0].heap_objects);
			KUNIT_EXPECT_EQ(test, ms[1].heap_alloc, ms[0].heap_alloc);
			/* Bulk made some, and the class keeps a spare span. */
			if (op->run != op_bulk) {
				KUNIT_EXPECT_EQ_MSG(test, ms[1].heap_inuse, ms[0].heap_inuse,
						    "failure %u", nth);
				KUNIT_EXPECT_EQ(test, ms[1].mallocs, ms[0].mallocs);
				KUNIT_EXPECT_EQ(test, mheap_nspans(m->heap), nspans);
				KUNIT_EXPECT_EQ(test, ms[1].mspan_inuse, ms[0].mspan_inuse);
			}
			KUNIT_EXPECT_EQ(test, heap_kunit_faults(m->heap), 0);
			/* Once more, with nothing in the way. */
			KUNIT_EXPECT_EQ_MSG(test, op->run(m), 0, "after failure %u", nth);
		}

		if (m->other)
			mheap_destroy(m->other, false);
		if (m->n)
			goalloc_free_bulk(m->n, m->bulk);
		if (m->addr)
			KUNIT_EXPECT_EQ(test, free_addr(m->heap, m->addr), 0);
		if (m->before)
			KUNIT_EXPECT_EQ(test, free_addr(m->heap, m->before), 0);
		heap_kunit_check(test, m->heap, 0);
		heap_kunit_end(test, m->heap);
		KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&goalloc_spanmap.bytes), leaves);
		if (left)
			break;
		cond_resched();
	}
	kunit_info(test, "%u allocations, %u refused\n", nth - 1, refused);
	KUNIT_EXPECT_LT(test, nth, FAILURES_MAX);
	KUNIT_EXPECT_GE(test, nth - 1, op->asks);
}

/* A failure comes when it is asked for, and as often. */
static void fixalloc_fail_nth(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	for (u32 nth = 1; nth < 6; nth++) {
		for (u32 times = 1; times < 4; times++) {
			goalloc_fail_run(nth, times);
			for (u32 i = 1; i < 12; i++)
				KUNIT_EXPECT_EQ_MSG(test, goalloc_should_fail(),
						    i >= nth && i < nth + times,
						    "call %u of %u, %u", i, nth, times);
			KUNIT_EXPECT_EQ(test, goalloc_fail_left(), 0);
		}
	}
	goalloc_fail_nth(0);
	KUNIT_EXPECT_FALSE(test, goalloc_should_fail());
}

/* A record of each class: zeroed, large enough, counted. */
static void fixalloc_mspans(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct mspan *s[3];

	for (u32 spc = 0; spc < GOALLOC_NUM_CENTRALS; spc++) {
		u32 class = spanclass_sizeclass(spc);
		u32 slots = spc < 2 ? 1 : goalloc_class_to_nelems[class];
		u64 each = 0;

		for (u32 i = 0; i < ARRAY_SIZE(s); i++) {
			s[i] = fixalloc_mspan(heap, spc, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, s[i]);
			each = each ?: atomic64_read(&heap->mspan_bytes);
			KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&heap->mspan_bytes),
					(i + 1) * each);
			KUNIT_EXPECT_EQ(test, s[i]->spanclass, spc);
			KUNIT_EXPECT_EQ(test, !s[i]->tiny, spc != GOALLOC_TINY_SPAN_CLASS);
			KUNIT_EXPECT_EQ(test, s[i]->base, 0);
			/* KASAN sees a record that is too short. */
			for (u32 w = 0; w < DIV_ROUND_UP(slots, MSPAN_WORD_SLOTS); w++)
				KUNIT_EXPECT_EQ(test, s[i]->words[w].both, 0);
			if (s[i]->tiny)
				KUNIT_EXPECT_NULL(test, memchr_inv(s[i]->tiny, 0,
								   sizeof(*s[i]->tiny)));
		}
		KUNIT_EXPECT_GE(test, each,
				MSPAN_RECORD_SIZE(DIV_ROUND_UP(slots, MSPAN_WORD_SLOTS)));
		for (u32 i = 0; i < ARRAY_SIZE(s); i++)
			fixalloc_mspan_free_now(heap, s[i]);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->mspan_bytes), 0);
	}
}

static struct kunit_case fixalloc_cases[] = {
	KUNIT_CASE(fixalloc_fail_nth),
	KUNIT_CASE(fixalloc_mspans),
	KUNIT_CASE_PARAM(fixalloc_sweep, op_gen_params),
	{}
};

static struct kunit_suite fixalloc_suite = {
	.name = "goalloc_fixalloc",
	.test_cases = fixalloc_cases,
};

kunit_test_suite(fixalloc_suite);

GOALLOC_KUNIT_IMPORT;
