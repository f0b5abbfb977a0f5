// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_malloc: the kernel API and the paths behind it.
 *
 * Random work is held against a list of live objects, gone through from its
 * beginning each time: no two overlap, each is aligned as its size asks, each
 * keeps what was written to all of its usable size (I7). Every pointer that is
 * no live object, whether it was one before or never came from the module, is
 * refused with the right answer, counted, and changes nothing (I2).
 *
 * A bad pointer is given to goalloc_try_free() only: goalloc_free() warns.
 *
 * Units: bytes. The seed of random cases is printed; the parameter malloc_seed
 * repeats a run.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/goalloc.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include "../goalloc/malloc.h"
#include "heap_kunit.h"
#include "sparse.h"

#define LIVE_MAX	500
#define RANDOM_OPS	12000
#define VMAPPED_SIZE	(3UL << 20)

static ulong malloc_seed;
module_param(malloc_seed, ulong, 0444);
MODULE_PARM_DESC(malloc_seed, "seed of goalloc_malloc, 0 for any");

static void seed_random(struct kunit *test, struct rnd_state *rnd)
{
	ulong seed = malloc_seed ?: get_random_u32() | 1;

	prandom_seed_state(rnd, seed);
	kunit_info(test, "malloc_seed=%lu\n", seed);
}

static u32 below(struct rnd_state *rnd, u32 n)
{
	return prandom_u32_state(rnd) % n;
}

/* What DESIGN promises for a size on a kernel heap. */
static size_t promised_align(size_t size, bool noscan)
{
	if (noscan && size < 16)
		return size % 8 == 0 ? 8 : size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;
	if (size <= GOALLOC_MAX_SMALL_SIZE) {
		size_t slot = goalloc_class_to_size[goalloc_size_to_class(size)];

		return min_t(size_t, slot & -slot, 8192);
	}
	return PAGE_SIZE;
}

struct object {
	u8 *p;
	size_t size;
	size_t usable;
	u8 fill;
	u8 heap;
};

struct model {
	struct rnd_state rnd;
	struct goalloc_heap *heaps[3];	/* the last is the module's own */
	u64 live[3];
	u64 own_before;
	u32 n;
	struct object objs[LIVE_MAX];
};

static void model_free_all(void *data)
{
	struct model *m = data;

	while (m->n)
		goalloc_free(m->objs[--m->n].p);
}

static struct model *new_model(struct kunit *test)
{
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	KUNIT_ASSERT_NOT_NULL(test, ms);
	seed_random(test, &m->rnd);
	m->heaps[0] = heap_kunit_create(test, BACKING_LINEAR, 0);
	m->heaps[1] = heap_kunit_create(test, BACKING_LINEAR, 0);
	m->heaps[2] = goalloc_kernel_heap;
	readmemstats(goalloc_kernel_heap, ms);
	m->own_before = ms->heap_objects;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, model_free_all, m), 0);
	return m;
}

static size_t random_size(struct rnd_state *rnd)
{
	switch (below(rnd, 100)) {
	case 0 ... 29:
		return 1 + below(rnd, 16);
	case 30 ... 79:
		return 1 + below(rnd, 1024);
	case 80 ... 92:
		return 1 + below(rnd, GOALLOC_MAX_SMALL_SIZE);
	case 93 ... 98:
		return 1 + below(rnd, 400 << 10);
	default:
		return 1 + below(rnd, 5 << 20);
	}
}

static void model_add(struct kunit *test, struct model *m, struct object o, bool noscan)
{
	KUNIT_ASSERT_NOT_NULL(test, o.p);
	o.usable = goalloc_usable_size(o.p);
	o.fill = prandom_u32_state(&m->rnd);
	KUNIT_EXPECT_GE(test, o.usable, o.size);
	KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)o.p, promised_align(o.size, noscan)),
			      "%zu bytes at %lx", o.size, (unsigned long)o.p);
	for (u32 i = 0; i < m->n; i++)
		if (o.p < m->objs[i].p + m->objs[i].usable && m->objs[i].p < o.p + o.usable)
			KUNIT_FAIL(test, "%lx, %zu bytes, overlaps %lx, %zu bytes",
				   (unsigned long)o.p, o.usable,
				   (unsigned long)m->objs[i].p, m->objs[i].usable);
	memset(o.p, o.fill, o.usable);
	m->live[o.heap]++;
	m->objs[m->n++] = o;
}

static void model_check(struct kunit *test, const struct object *o, size_t bytes)
{
	KUNIT_EXPECT_PTR_EQ_MSG(test, memchr_inv(o->p, o->fill, bytes), NULL,
				"%lx, %zu of %zu bytes, has changed", (unsigned long)o->p,
				bytes, o->usable);
}

static void model_alloc(struct kunit *test, struct model *m)
{
	struct object o = { .size = random_size(&m->rnd), .heap = below(&m->rnd, 3) };
	bool scan = !below(&m->rnd, 4), zero = !below(&m->rnd, 4);

	o.p = goalloc_heap_alloc(o.heap == 2 ? NULL : m->heaps[o.heap], o.size,
				 scan ? GOALLOC_SCAN : 0, GFP_KERNEL | (zero ? __GFP_ZERO : 0));
	if (zero && o.p)
		KUNIT_EXPECT_NULL(test, memchr_inv(o.p, 0, goalloc_usable_size(o.p)));
	model_add(test, m, o, !scan);
}

/* Frees one, and tries to do it once more. */
static void model_free(struct kunit *test, struct model *m, u32 i)
{
	struct object o = m->objs[i];
	u64 faults = 0;
	int ret;

	model_check(test, &o, o.usable);
	m->objs[i] = m->objs[--m->n];
	m->live[o.heap]--;
	KUNIT_EXPECT_EQ(test, goalloc_try_free(o.p), 0);
	for (u32 h = 0; h < 3; h++)
		faults += heap_kunit_faults(m->heaps[h]);
	ret = goalloc_try_free(o.p);
	KUNIT_EXPECT_TRUE_MSG(test, ret == -EALREADY || ret == -ENOENT,
			      "second free of %zu bytes: %d", o.size, ret);
	for (u32 h = 0; h < 3; h++)
		faults -= heap_kunit_faults(m->heaps[h]);
	KUNIT_EXPECT_EQ(test, faults, (u64)-1);
}

/* The allocator against the list; the books of all heaps now and then. */
static void malloc_random(struct kunit *test)
{
	struct model *m = new_model(test);

	for (u32 op = 0; op < RANDOM_OPS; op++) {
		u32 grow = op / 2000 % 2 ? 40 : 60;
		u32 what = below(&m->rnd, 110);

		if (!m->n || (what < grow && m->n < LIVE_MAX))
			model_alloc(test, m);
		else if (what < 100)
			model_free(test, m, below(&m->rnd, m->n));
		else if (what < 105)
			model_check(test, &m->objs[0], m->objs[0].usable);
		if (op % 4000 == 3999) {
			heap_kunit_check(test, m->heaps[0], m->live[0]);
			heap_kunit_check(test, m->heaps[1], m->live[1]);
			heap_kunit_check(test, m->heaps[2], m->own_before + m->live[2]);
		}
		cond_resched();
	}
	while (m->n)
		model_free(test, m, m->n - 1);
	heap_kunit_check(test, m->heaps[0], 0);
	heap_kunit_check(test, m->heaps[1], 0);
	heap_kunit_check(test, m->heaps[2], m->own_before);
}

static void malloc_realloc_random(struct kunit *test)
{
	struct model *m = new_model(test);

	for (u32 op = 0; op < 2000; op++) {
		if (m->n < 60) {
			/* No alignment but the least is kept by a shrunk object. */
			struct object o = { .size = 16 * (1 + below(&m->rnd, 64)),
					    .heap = below(&m->rnd, 3) };

			o.p = goalloc_heap_alloc(m->heaps[o.heap], o.size, GOALLOC_SCAN,
						 GFP_KERNEL);
			model_add(test, m, o, false);
		} else {
			u32 i = below(&m->rnd, m->n);
			struct object o = m->objs[i];
			size_t size = 1 + below(&m->rnd, 60 << 10), old = o.usable;
			u8 *p = goalloc_realloc(o.p, size, GFP_KERNEL);

			KUNIT_ASSERT_NOT_NULL(test, p);
			if (size <= old && size >= old / 2)
				KUNIT_EXPECT_PTR_EQ(test, p, o.p);
			o.p = p;
			model_check(test, &o, min(old, size));
			o.size = size;
			o.usable = goalloc_usable_size(p);
			KUNIT_EXPECT_GE(test, o.usable, size);
			memset(p, o.fill, o.usable);
			m->objs[i] = o;
		}
		cond_resched();
	}
	for (u32 i = 0; i < m->n; i++)
		model_check(test, &m->objs[i], m->objs[i].usable);
	for (u32 h = 0; h < 2; h++)
		heap_kunit_check(test, m->heaps[h], m->live[h]);
	heap_kunit_check(test, m->heaps[2], m->own_before + m->live[2]);
}

/* Every size up to a few classes, and both sides of the others' borders. */
static void malloc_sizes(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);

	for (u32 scan = 0; scan <= 1; scan++) {
		for (size_t size = 1; size <= 3 << 20;
		     size = size < 1100 ? size + 1 : size < 40000 ? size + 63 : size * 5 / 4) {
			void *p = goalloc_heap_alloc(heap, size, scan, GFP_KERNEL);
			size_t usable = goalloc_usable_size(p), want;

			KUNIT_ASSERT_NOT_NULL(test, p);
			if (size <= __GOALLOC_PACKED_MAX && !scan)
				want = 0;
			else if (size <= GOALLOC_MAX_SMALL_SIZE)
				want = goalloc_class_to_size[goalloc_size_to_class(size)];
			else
				want = round_up(size, GOALLOC_PAGE_SIZE);
			if (want)
				KUNIT_EXPECT_EQ(test, usable, want);
			KUNIT_EXPECT_GE(test, usable, size);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p,
							   promised_align(size, !scan)));
			memset(p, 0x5a, usable);
			KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
			cond_resched();
		}
	}
	heap_kunit_check(test, heap, 0);
}

static const struct align_row {
	u64 size, align;
} align_rows[] = {
	{ 1, 1 }, { 1, 2 }, { 1, 8 }, { 7, 16 }, { 8, 64 }, { 24, 32 }, { 100, 4096 },
	{ 8192, 8192 }, { 3000, 8192 }, { 32768, 8192 }, { 32769, 8192 }, { 1, 16384 },
	{ 100, 65536 }, { 40000, 65536 }, { 10 << 20, 65536 }, { 1, 1 << 20 }, { 5000, 2 << 20 },
	{ 2 << 20, 2 << 20 }, { 5 << 20, 2 << 20 },
};

/* Asked-for alignment, on file heaps, beside objects that break up the pages. */
static void malloc_aligned(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	unsigned long addr, between;
	u64 usable, n = 0;

	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(align_rows); i++) {
			const struct align_row *row = &align_rows[i];

			KUNIT_ASSERT_EQ(test, mallocgc(heap, 8192, 0, 0, GFP_KERNEL, &between,
						       &usable), 0);
			KUNIT_ASSERT_EQ(test, mallocgc(heap, row->size, row->align, 0,
						       GFP_KERNEL, &addr, &usable), 0);
			n += 2;
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(addr, row->align),
					      "%llu bytes at %lx, not a multiple of %llu",
					      row->size, addr, row->align);
			KUNIT_EXPECT_GE(test, usable, row->size);
		}
	}
	heap_kunit_check(test, heap, n);
}

static const size_t zero_sizes[] = {
	1, 7, 8, 15, 16, 17, 48, 100, 1000, 1024, 5000, 8192, 20000, 32768, 32769, 100000,
	1 << 20, 2 << 20, VMAPPED_SIZE,
};

/*
 * Memory that was dirty, in spans that were kept and in pages that went back,
 * is zero over the whole usable size when that is asked for (I7).
 */
static void malloc_zeroed(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	void *p[24];

	for (u32 i = 0; i < ARRAY_SIZE(zero_sizes); i++) {
		size_t size = zero_sizes[i];
		u32 n = size > 100000 ? 2 : ARRAY_SIZE(p);

		for (u32 round = 0; round < 4; round++) {
			for (u32 k = 0; k < n; k++) {
				size_t usable;

				p[k] = goalloc_heap_alloc(heap, size, round & 1,
							  GFP_KERNEL | __GFP_ZERO);
				KUNIT_ASSERT_NOT_NULL(test, p[k]);
				usable = goalloc_usable_size(p[k]);
				KUNIT_EXPECT_PTR_EQ_MSG(test, memchr_inv(p[k], 0, usable), NULL,
							"%zu bytes, round %u", size, round);
				memset(p[k], 0xa5, usable);
			}
			for (u32 k = 0; k < n; k++)
				goalloc_free(p[k]);
			if (round == 1)
				heap_kunit_settle(heap);
		}
	}
	heap_kunit_check(test, heap, 0);
}

/* What is read of a file heap at once at most. */
#define READ_BYTES	40000

/* An object of a file heap, which reads as zeroes: its address and what of it was read. */
static unsigned long new_zeroed(struct kunit *test, struct goalloc_heap *heap, size_t size,
				u8 *buf, size_t *len)
{
	struct kvec kvec = { .iov_base = buf };
	struct iov_iter iter;
	unsigned long addr;
	u64 usable;

	KUNIT_ASSERT_EQ(test, mallocgc(heap, size, 0, 0, GFP_KERNEL, &addr, &usable), 0);
	*len = min(usable, READ_BYTES);
	kvec.iov_len = *len;
	memset(buf, 0xee, *len);
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, *len);
	KUNIT_ASSERT_EQ(test, sparse_iter(heap, addr, &iter, false), (ssize_t)*len);
	KUNIT_EXPECT_PTR_EQ_MSG(test, memchr_inv(buf, 0, *len), NULL, "%zu bytes", size);
	return addr;
}

/* The same on a file heap, where pages come at the first touch. */
static void malloc_zeroed_sparse(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	u8 *buf = kunit_kzalloc(test, READ_BYTES, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (u32 i = 0; i < ARRAY_SIZE(zero_sizes); i++) {
		for (u32 round = 0; round < 4; round++) {
			struct kvec kvec = { .iov_base = buf };
			struct iov_iter iter;
			unsigned long addr;

			addr = new_zeroed(test, heap, zero_sizes[i], buf, &kvec.iov_len);
			memset(buf, 0xa5, kvec.iov_len);
			iov_iter_kvec(&iter, ITER_SOURCE, &kvec, 1, kvec.iov_len);
			KUNIT_ASSERT_EQ(test, sparse_iter(heap, addr, &iter, true),
					(ssize_t)kvec.iov_len);
			KUNIT_EXPECT_EQ(test, mallocgc_free(heap, addr), 0);
			if (round == 1)
				heap_kunit_settle(heap);
		}
	}
	heap_kunit_check(test, heap, 0);
}

/*
 * One object's process can write to all of the span: what is made there next is zero
 * (I7), of tiny ones also in the same block.
 */
static void malloc_zeroed_written(struct kunit *test)
{
	u8 *buf = kunit_kmalloc(test, READ_BYTES, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (u32 i = 0; i < ARRAY_SIZE(zero_sizes); i++) {
		struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
		struct kvec kvec = { .iov_base = buf };
		struct goalloc_query q = {};
		struct iov_iter iter;
		unsigned long addr;
		size_t len;
		u64 usable;

		KUNIT_ASSERT_EQ(test, mallocgc(heap, zero_sizes[i], 0, 0, GFP_KERNEL, &addr,
					       &usable), 0);
		KUNIT_ASSERT_EQ(test, mallocgc_query(heap, addr, &q), 0);
		kvec.iov_len = min_t(u64, q.span_pages * GOALLOC_PAGE_SIZE, READ_BYTES);
		memset(buf, 0xa5, kvec.iov_len);
		iov_iter_kvec(&iter, ITER_SOURCE, &kvec, 1, kvec.iov_len);
		KUNIT_EXPECT_EQ(test, sparse_iter(heap, q.span_base, &iter, true),
				(ssize_t)kvec.iov_len);
		for (u32 k = 0; k < 4; k++)
			new_zeroed(test, heap, zero_sizes[i], buf, &len);
		heap_kunit_check(test, heap, 5);
	}
}

static void malloc_zero_size(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	unsigned long addr;
	u64 usable = 1;

	KUNIT_EXPECT_PTR_EQ(test, goalloc_alloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_heap_alloc(NULL, 0, GOALLOC_SCAN, GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(ZERO_SIZE_PTR), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(NULL), 0);
	goalloc_free(ZERO_SIZE_PTR);
	goalloc_free(NULL);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(ZERO_SIZE_PTR), 0);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(NULL), 0);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, 0, 0, 0, GFP_KERNEL, &addr, &usable), 0);
	KUNIT_EXPECT_EQ(test, addr, GOALLOC_ZERO_ADDR);
	KUNIT_EXPECT_EQ(test, usable, 0);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, GOALLOC_ZERO_ADDR), 0);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, 0), 0);
	heap_kunit_check(test, heap, 0);
}

/* More than any heap has, and flags that mean nothing. */
static void malloc_impossible(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	unsigned long addr;
	void *p = NULL;
	u64 usable;

	KUNIT_EXPECT_NULL(test, goalloc_alloc(SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, goalloc_alloc(GOALLOC_HEAP_SPACE + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, goalloc_heap_alloc(NULL, 8, BIT(7), GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(NULL, 8, BIT(7), GFP_KERNEL, 1, &p), 0);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, GOALLOC_HEAP_SPACE + 1, 0, 0, GFP_KERNEL, &addr,
				       &usable), -EFBIG);
	KUNIT_EXPECT_EQ(test, mallocgc(heap, U64_MAX, 0, 0, GFP_KERNEL, &addr, &usable), -EFBIG);
	heap_kunit_check(test, heap, 0);
}

/* Tiny objects by one task that stays on its CPU: which block each goes to. */
static void malloc_tiny(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u8 *a, *b, *c, *d, *one[16];
	size_t used[2];
	int ret[4];

	/* The mcache is made first, so that nothing below leaves the CPU. */
	a = heap_kunit_tiny(heap, 9, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, a);
	goalloc_free(a);

	preempt_disable();
	a = heap_kunit_tiny(heap, 15, GFP_ATOMIC);
	b = heap_kunit_tiny(heap, 6, GFP_ATOMIC);
	used[0] = goalloc_usable_size(b);
	/* Does not fit behind b, whose block is the emptier one and stays. */
	c = heap_kunit_tiny(heap, 12, GFP_ATOMIC);
	d = heap_kunit_tiny(heap, 4, GFP_ATOMIC);
	used[1] = goalloc_usable_size(c);
	preempt_enable();
	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_EXPECT_PTR_EQ(test, d, b + 8);
	KUNIT_EXPECT_EQ(test, used[0], 6);
	KUNIT_EXPECT_EQ(test, used[1], 16);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)b, 16));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)c, 16));

	/* b dies, d lives on in the same block; then the block dies. */
	memset(d, 0x77, 4);
	ret[0] = goalloc_try_free(b);
	ret[1] = goalloc_try_free(b);
	ret[2] = goalloc_try_free(b + 1);
	ret[3] = goalloc_try_free(d + 3);
	KUNIT_EXPECT_EQ(test, ret[0], 0);
	KUNIT_EXPECT_EQ(test, ret[1], -EALREADY);
	KUNIT_EXPECT_EQ(test, ret[2], -EINVAL);
	KUNIT_EXPECT_EQ(test, ret[3], -EINVAL);
	KUNIT_EXPECT_NULL(test, memchr_inv(d, 0x77, 4));
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(b), 0);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(d), 4);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(d), 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(d), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(b), -EALREADY);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(a), 0);
	heap_kunit_check(test, heap, 1);

	/* Sixteen of one byte fill a block, in order; each dies alone. */
	preempt_disable();
	for (u32 i = 0; i < 16; i++)
		one[i] = heap_kunit_tiny(heap, 1, GFP_ATOMIC);
	preempt_enable();
	for (u32 i = 1; i < 16; i++)
		KUNIT_EXPECT_PTR_EQ(test, one[i], one[0] + i);
	heap_kunit_check(test, heap, 17);
	for (u32 i = 0; i < 16; i++) {
		u32 k = i * 7 % 16;

		KUNIT_EXPECT_EQ(test, goalloc_try_free(one[k]), 0);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(one[k]), -EALREADY);
	}
	KUNIT_EXPECT_EQ(test, goalloc_try_free(c), 0);
	heap_kunit_check(test, heap, 0);
}

/* Padding between tiny objects is usable, but never what a later one has. */
static void malloc_tiny_usable(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct rnd_state rnd;
	static const u32 n = 400;
	struct object *o = kunit_kcalloc(test, n, sizeof(*o), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, o);
	seed_random(test, &rnd);
	for (u32 i = 0; i < n; i++) {
		o[i].size = 1 + below(&rnd, 15);
		o[i].p = heap_kunit_tiny(heap, o[i].size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, o[i].p);
		o[i].usable = goalloc_usable_size(o[i].p);
		o[i].fill = i;
		KUNIT_EXPECT_GE(test, o[i].usable, o[i].size);
		KUNIT_EXPECT_LE(test, o[i].usable, 16 - ((unsigned long)o[i].p & 15));
		memset(o[i].p, i, o[i].usable);
	}
	for (u32 i = 0; i < n; i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(o[i].p, o[i].fill, o[i].usable));
		KUNIT_EXPECT_GE(test, goalloc_usable_size(o[i].p), o[i].usable);
	}
	heap_kunit_check(test, heap, n);
	for (u32 i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free(o[i].p), 0);
	heap_kunit_check(test, heap, 0);
}

static const struct bad_row {
	const char *what;
	size_t size;
	u32 flags;
	int again;	/* the second free, nothing else alive in the span */
	int later;	/* and one when nothing is cached any more */
} bad_rows[] = {
	{ "tiny", 4, 0, -EALREADY, -EALREADY },
	{ "tiny, odd", 5, 0, -EALREADY, -EALREADY },
	{ "6 bytes", 6, 0, -EALREADY, -EALREADY },
	{ "8 bytes", 8, 0, -EALREADY, -EALREADY },
	{ "8 bytes, scan", 8, GOALLOC_SCAN, -EALREADY, -EALREADY },
	{ "48 bytes", 48, 0, -EALREADY, -EALREADY },
	{ "1 KiB", 1024, 0, -EALREADY, -EALREADY },
	{ "27 KiB, with a tail", 27264, 0, -EALREADY, -EALREADY },
	{ "32 KiB", 32768, GOALLOC_SCAN, -EALREADY, -EALREADY },
	{ "large", 100000, 0, -EALREADY, -ENOENT },
	{ "the largest that is kept", 1 << 20, GOALLOC_SCAN, -EALREADY, -ENOENT },
	{ "larger", (1 << 20) + 1, 0, -ENOENT, -ENOENT },
	{ "a whole block", 2 << 20, 0, -ENOENT, -ENOENT },
	{ "mapped", VMAPPED_SIZE, 0, -ENOENT, -ENOENT },
};

KUNIT_ARRAY_PARAM_DESC(bad, bad_rows, what);

static u64 one_fault(struct goalloc_heap *heap, enum goalloc_fault fault)
{
	return atomic64_read(&heap->faults[fault]);
}

/* A bad free: the answer, one count of its kind, and nothing else changes. */
static void expect_bad(struct kunit *test, struct goalloc_heap *heap, const void *p, int want)
{
	static const struct {
		int err;
		enum goalloc_fault fault;
	} kinds[] = {
		{ -EALREADY, GOALLOC_FAULT_DOUBLE },
		{ -EINVAL, GOALLOC_FAULT_STRAY },
		{ -ENOENT, GOALLOC_FAULT_WILD },
	};
	struct goalloc_memstats *ms = kunit_kcalloc(test, 2, sizeof(*ms), GFP_KERNEL);
	u64 before[ARRAY_SIZE(kinds)];
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, ms);
	/* No span is known to a wild one, so no heap: the first heap counts it. */
	if (want == -ENOENT)
		heap = goalloc_kernel_heap;
	readmemstats(heap, &ms[0]);
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		before[i] = one_fault(heap, kinds[i].fault);
	ret = goalloc_try_free(p);
	readmemstats(heap, &ms[1]);
	KUNIT_EXPECT_EQ_MSG(test, ret, want, "%lx", (unsigned long)p);
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		KUNIT_EXPECT_EQ(test, one_fault(heap, kinds[i].fault),
				before[i] + (kinds[i].err == want));
	KUNIT_EXPECT_MEMEQ(test, &ms[0], &ms[1], sizeof(*ms));
	kunit_kfree(test, ms);
}

static void malloc_bad_frees(struct kunit *test)
{
	const struct bad_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct mspan *s;
	size_t usable;
	u64 end;
	u8 *p;

	p = goalloc_heap_alloc(heap, row->size, row->flags, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	usable = goalloc_usable_size(p);
	memset(p, 0x3c, usable);
	s = heap_kunit_span_of(heap, (unsigned long)p);
	KUNIT_ASSERT_NOT_NULL(test, s);
	end = s->base + (s->vmapped ? s->elemsize : mspan_bytes(s));

	/* Not its first byte. */
	expect_bad(test, heap, p + 1, -EINVAL);
	expect_bad(test, heap, p + usable / 2, -EINVAL);
	expect_bad(test, heap, p + usable - 1, -EINVAL);
	if (s->elemsize32 && s->base + (u64)s->nelems * s->elemsize32 < end)
		expect_bad(test, heap, (void *)(s->base + (u64)s->nelems * s->elemsize32),
			   -EINVAL);
	/* A slot that was never handed out. */
	if (s->nelems > 1)
		expect_bad(test, heap, (void *)mspan_slot_addr(s, s->nelems - 1), -EALREADY);
	/* Behind the span: idle pages of the block, a guard page. */
	if (mspan_bytes(s) != 2 << 20)
		expect_bad(test, heap, (void *)end, -ENOENT);
	if (s->vmapped)
		expect_bad(test, heap, p - 1, -ENOENT);

	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x3c, usable));
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
	expect_bad(test, heap, p, row->again);
	heap_kunit_check(test, heap, 0);
	expect_bad(test, heap, p, row->later);
}

/*
 * A second free is a double one while the span is what it was, and wild once
 * its pages went back; then they serve another class, and it is a stray one.
 */
static void malloc_second_free(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	static const u32 n = 3 * 8192 / 1024;
	u8 *p[3 * 8192 / 1024], *q;
	u32 gone = 0, stray = 0;

	for (u32 i = 0; i < n; i++) {
		p[i] = goalloc_heap_alloc(heap, 1024, 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	heap->central[make_spanclass(32, true)].maxempty = 1;
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p[1]), 0);
	expect_bad(test, heap, p[1], -EALREADY);
	heap_kunit_settle(heap);
	expect_bad(test, heap, p[1], -EALREADY);
	for (u32 i = 0; i < n; i++)
		if (i != 1)
			KUNIT_EXPECT_EQ(test, goalloc_try_free(p[i]), 0);
	heap_kunit_settle(heap);
	/* All but the spare of the class went back. */
	for (u32 i = 0; i < n; i++) {
		int ret = goalloc_try_free(p[i]);

		KUNIT_EXPECT_TRUE(test, ret == -ENOENT || ret == -EALREADY);
		gone += ret == -ENOENT;
	}
	KUNIT_EXPECT_EQ(test, gone, n - 8192 / 1024);

	q = goalloc_heap_alloc(heap, 100000, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	for (u32 i = 0; i < n; i++) {
		if (p[i] == q)
			continue;
		stray += goalloc_try_free(p[i]) == -EINVAL;
	}
	KUNIT_EXPECT_GT(test, stray, 0);
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(q), 0);
	heap_kunit_check(test, heap, 0);
}

static int some_data = 1;

/* Pointers the module never made. */
static void malloc_alien(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	void *kmalloced = kunit_kmalloc(test, 100, GFP_KERNEL);
	u8 *live = goalloc_heap_alloc(heap, 100, 0, GFP_KERNEL), *idle;
	void *vmalloced = vmalloc(PAGE_SIZE);
	u64 on_stack = 0;
	struct mspan *s;

	KUNIT_EXPECT_NOT_NULL(test, vmalloced);
	KUNIT_ASSERT_NOT_NULL(test, kmalloced);
	KUNIT_ASSERT_NOT_NULL(test, live);
	s = heap_kunit_span_of(heap, (unsigned long)live);
	idle = (u8 *)s->base + 64 * GOALLOC_PAGE_SIZE;

	{
		const void *const aliens[] = {
			kmalloced, kmalloced + 8, &on_stack, vmalloced, vmalloced + 16,
			malloc_alien, kfree, &some_data, "a string",
			idle, idle + 8,
			(void *)17, (void *)0x1000, (void *)0x400000, (void *)0x7ffffffff000,
			(void *)GOALLOC_HEAP_BASE, (void *)(TASK_SIZE_MAX - 8),
			(void *)0x8000000000000000, (void *)0xdead000000000100,
			(void *)0x0001000000000000, (void *)(PAGE_OFFSET - 1),
			(void *)PAGE_OFFSET, high_memory, high_memory - 1,
			(void *)VMALLOC_START, (void *)VMALLOC_END, (void *)~0UL,
			(void *)(~0UL - 4095), ERR_PTR(-ENOMEM),
		};

		for (u32 i = 0; i < ARRAY_SIZE(aliens); i++) {
			expect_bad(test, heap, aliens[i], -ENOENT);
			KUNIT_EXPECT_EQ(test, goalloc_usable_size(aliens[i]), 0);
		}
	}
	vfree(vmalloced);
	expect_bad(test, heap, vmalloced, -ENOENT);
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(live), 0);
}

/* Values by the thousand, also near what exists. */
static void malloc_alien_random(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	static const u32 n = 16, tries = 20000;
	u32 accepted = 0, odd = 0, tried = 0;
	struct rnd_state rnd;
	u64 faults;
	u8 *p[16];

	seed_random(test, &rnd);
	for (u32 i = 0; i < n; i++) {
		p[i] = goalloc_heap_alloc(heap, 1 << i, 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		memset(p[i], i, 1 << i);
	}
	faults = heap_kunit_faults(heap) + heap_kunit_faults(goalloc_kernel_heap);
	for (u32 i = 0; i < tries; i++) {
		u64 r = (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);
		bool object = false;
		int ret;

		switch (i % 4) {
		case 0:		/* anything */
			break;
		case 1:		/* the direct map */
			r = PAGE_OFFSET + r % ((unsigned long)high_memory - PAGE_OFFSET);
			break;
		case 2:		/* around an object */
			r = (unsigned long)p[i / 4 % n] + r % (4 << 20) - (2 << 20);
			break;
		case 3:		/* around an object, slots */
			r = (unsigned long)p[i / 4 % n] + (r % 4096 - 2048) * 8;
			break;
		}
		if (r <= (unsigned long)ZERO_SIZE_PTR)
			continue;
		for (u32 k = 0; k < n; k++)
			object |= (unsigned long)p[k] == r;
		if (object)
			continue;
		tried++;
		ret = goalloc_try_free((void *)r);
		accepted += !ret;
		odd += ret && ret != -ENOENT && ret != -EINVAL && ret != -EALREADY;
	}
	KUNIT_EXPECT_EQ(test, accepted, 0);
	KUNIT_EXPECT_EQ(test, odd, 0);
	KUNIT_EXPECT_EQ(test, heap_kunit_faults(heap) + heap_kunit_faults(goalloc_kernel_heap),
			faults + tried);
	for (u32 i = 0; i < n; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv(p[i], i, 1 << i));
	heap_kunit_check(test, heap, n);
	for (u32 i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p[i]), 0);
}

static void malloc_realloc(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u8 *p, *q;

	p = goalloc_heap_alloc(heap, 1000, GOALLOC_SCAN, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 0x42, 1000);
	/* In its slot, up and down to a half. */
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 1024, GFP_KERNEL), (void *)p);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 1000, GFP_KERNEL), (void *)p);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 512, GFP_KERNEL), (void *)p);
	/* To a smaller slot, of the same heap and as scannable as before. */
	q = goalloc_realloc(p, 100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_PTR_NE(test, q, p);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), -EALREADY);
	KUNIT_EXPECT_NULL(test, memchr_inv(q, 0x42, 100));
	KUNIT_EXPECT_PTR_EQ(test, heap_kunit_span_of(heap, (unsigned long)q)->heap, heap);
	KUNIT_EXPECT_FALSE(test, spanclass_noscan(heap_kunit_span_of(heap, (unsigned long)q)
						  ->spanclass));
	/* To large and to mapped; what is new is zero if that is asked for. */
	memset(q, 0x42, goalloc_usable_size(q));
	p = goalloc_realloc(q, 100000, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x42, 112));
	KUNIT_EXPECT_NULL(test, memchr_inv(p + 112, 0, goalloc_usable_size(p) - 112));
	/* In its slot as well: what it had there once does not come back. */
	memset(p, 0x43, 100000);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 90000, GFP_KERNEL | __GFP_ZERO), (void *)p);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 100000, GFP_KERNEL | __GFP_ZERO), (void *)p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x43, 90000));
	KUNIT_EXPECT_NULL(test, memchr_inv(p + 90000, 0, goalloc_usable_size(p) - 90000));
	memset(p, 0x43, 100000);
	q = goalloc_realloc(p, VMAPPED_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_NULL(test, memchr_inv(q, 0x43, 100000));
	heap_kunit_check(test, heap, 1);
	p = goalloc_realloc(q, 16, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x43, 16));
	/* To nothing, and from nothing. */
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(p, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), -EALREADY);
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_PTR_EQ(test, goalloc_realloc(NULL, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	p = goalloc_realloc(NULL, 20, GFP_KERNEL);
	q = goalloc_realloc(ZERO_SIZE_PTR, 20, GFP_KERNEL | __GFP_ZERO);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_NOT_NULL(test, q);
	goalloc_free(p);
	goalloc_free(q);

	/* Tiny ones: within the block only what is theirs. */
	p = goalloc_heap_alloc(heap, 3, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	memcpy(p, "abc", 3);
	p = goalloc_realloc(p, 14, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_MEMEQ(test, p, "abc", 3);
	/* Impossible: the object is as it was. */
	KUNIT_EXPECT_NULL(test, goalloc_realloc(p, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_MEMEQ(test, p, "abc", 3);
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
	heap_kunit_check(test, heap, 0);
}

/*
 * Constant sizes: each class's and one more, none, tiny ones, large ones. For them the
 * compiler finds the entry by linux/goalloc.h, the function by its table.
 */
static __always_inline void *constant_alloc(size_t size, bool zero)
{
	if (zero)
		return goalloc_alloc(size, GFP_KERNEL | __GFP_ZERO);
	return goalloc_alloc(size, GFP_KERNEL);
}

#define CONSTANT(n)	\
	static void *constant_##n(bool zero) { return constant_alloc(n, zero); }

CONSTANT(0) CONSTANT(1) CONSTANT(2) CONSTANT(3) CONSTANT(4) CONSTANT(5) CONSTANT(6)
CONSTANT(7) CONSTANT(8) CONSTANT(9) CONSTANT(10) CONSTANT(11) CONSTANT(12) CONSTANT(13)
CONSTANT(14) CONSTANT(15) CONSTANT(16) CONSTANT(17) CONSTANT(24) CONSTANT(25) CONSTANT(32)
CONSTANT(33) CONSTANT(48) CONSTANT(49) CONSTANT(64) CONSTANT(65) CONSTANT(80) CONSTANT(81)
CONSTANT(96) CONSTANT(97) CONSTANT(112) CONSTANT(113) CONSTANT(128) CONSTANT(129)
CONSTANT(144) CONSTANT(145) CONSTANT(160) CONSTANT(161) CONSTANT(176) CONSTANT(177)
CONSTANT(192) CONSTANT(193) CONSTANT(208) CONSTANT(209) CONSTANT(224) CONSTANT(225)
CONSTANT(240) CONSTANT(241) CONSTANT(256) CONSTANT(257) CONSTANT(288) CONSTANT(289)
CONSTANT(320) CONSTANT(321) CONSTANT(352) CONSTANT(353) CONSTANT(384) CONSTANT(385)
CONSTANT(416) CONSTANT(417) CONSTANT(448) CONSTANT(449) CONSTANT(480) CONSTANT(481)
CONSTANT(512) CONSTANT(513) CONSTANT(576) CONSTANT(577) CONSTANT(640) CONSTANT(641)
CONSTANT(704) CONSTANT(705) CONSTANT(768) CONSTANT(769) CONSTANT(896) CONSTANT(897)
CONSTANT(1024) CONSTANT(1025) CONSTANT(1152) CONSTANT(1153) CONSTANT(1280) CONSTANT(1281)
CONSTANT(1408) CONSTANT(1409) CONSTANT(1536) CONSTANT(1537) CONSTANT(1792) CONSTANT(1793)
CONSTANT(2048) CONSTANT(2049) CONSTANT(2304) CONSTANT(2305) CONSTANT(2688) CONSTANT(2689)
CONSTANT(3072) CONSTANT(3073) CONSTANT(3200) CONSTANT(3201) CONSTANT(3456) CONSTANT(3457)
CONSTANT(4096) CONSTANT(4097) CONSTANT(4864) CONSTANT(4865) CONSTANT(5376) CONSTANT(5377)
CONSTANT(6144) CONSTANT(6145) CONSTANT(6528) CONSTANT(6529) CONSTANT(6784) CONSTANT(6785)
CONSTANT(6912) CONSTANT(6913) CONSTANT(8192) CONSTANT(8193) CONSTANT(9472) CONSTANT(9473)
CONSTANT(9728) CONSTANT(9729) CONSTANT(10240) CONSTANT(10241) CONSTANT(10880)
CONSTANT(10881) CONSTANT(12288) CONSTANT(12289) CONSTANT(13568) CONSTANT(13569)
CONSTANT(14336) CONSTANT(14337) CONSTANT(16384) CONSTANT(16385) CONSTANT(18432)
CONSTANT(18433) CONSTANT(19072) CONSTANT(19073) CONSTANT(20480) CONSTANT(20481)
CONSTANT(21760) CONSTANT(21761) CONSTANT(24576) CONSTANT(24577) CONSTANT(27264)
CONSTANT(27265) CONSTANT(28672) CONSTANT(28673) CONSTANT(32768) CONSTANT(32769)
CONSTANT(100000)

#define ROW(n)	{ n, constant_##n }

static const struct {
	size_t size;
	void *(*alloc)(bool zero);
} constants[] = {
	ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7), ROW(8), ROW(9),
	ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15), ROW(16), ROW(17), ROW(24),
	ROW(25), ROW(32), ROW(33), ROW(48), ROW(49), ROW(64), ROW(65), ROW(80), ROW(81),
	ROW(96), ROW(97), ROW(112), ROW(113), ROW(128), ROW(129), ROW(144), ROW(145),
	ROW(160), ROW(161), ROW(176), ROW(177), ROW(192), ROW(193), ROW(208), ROW(209),
	ROW(224), ROW(225), ROW(240), ROW(241), ROW(256), ROW(257), ROW(288), ROW(289),
	ROW(320), ROW(321), ROW(352), ROW(353), ROW(384), ROW(385), ROW(416), ROW(417),
	ROW(448), ROW(449), ROW(480), ROW(481), ROW(512), ROW(513), ROW(576), ROW(577),
	ROW(640), ROW(641), ROW(704), ROW(705), ROW(768), ROW(769), ROW(896), ROW(897),
	ROW(1024), ROW(1025), ROW(1152), ROW(1153), ROW(1280), ROW(1281), ROW(1408),
	ROW(1409), ROW(1536), ROW(1537), ROW(1792), ROW(1793), ROW(2048), ROW(2049),
	ROW(2304), ROW(2305), ROW(2688), ROW(2689), ROW(3072), ROW(3073), ROW(3200),
	ROW(3201), ROW(3456), ROW(3457), ROW(4096), ROW(4097), ROW(4864), ROW(4865),
	ROW(5376), ROW(5377), ROW(6144), ROW(6145), ROW(6528), ROW(6529), ROW(6784),
	ROW(6785), ROW(6912), ROW(6913), ROW(8192), ROW(8193), ROW(9472), ROW(9473),
	ROW(9728), ROW(9729), ROW(10240), ROW(10241), ROW(10880), ROW(10881), ROW(12288),
	ROW(12289), ROW(13568), ROW(13569), ROW(14336), ROW(14337), ROW(16384), ROW(16385),
	ROW(18432), ROW(18433), ROW(19072), ROW(19073), ROW(20480), ROW(20481), ROW(21760),
	ROW(21761), ROW(24576), ROW(24577), ROW(27264), ROW(27265), ROW(28672), ROW(28673),
	ROW(32768), ROW(32769), ROW(100000),
};

static bool has_constant(size_t size)
{
	for (u32 i = 0; i < ARRAY_SIZE(constants); i++)
		if (constants[i].size == size)
			return true;
	return false;
}

static u32 constant_spanclass(size_t size)
{
	if (size > GOALLOC_MAX_SMALL_SIZE)
		return make_spanclass(0, true);
	if (size <= __GOALLOC_PACKED_MAX)
		return GOALLOC_TINY_SPAN_CLASS;
	return make_spanclass(goalloc_size_to_class(size), true);
}

static void malloc_constants(struct kunit *test)
{
	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		KUNIT_EXPECT_TRUE(test, has_constant(goalloc_class_to_size[class]));
		KUNIT_EXPECT_TRUE(test, has_constant(goalloc_class_to_size[class] + 1));
	}
	for (u32 i = 0; i < ARRAY_SIZE(constants); i++) {
		size_t size = constants[i].size;
		struct mspan *s;
		void *p[3];

		p[0] = constants[i].alloc(false);
		/* The function, and not what linux/goalloc.h makes of it. */
		p[1] = (goalloc_alloc)(size, GFP_KERNEL);
		if (!size) {
			KUNIT_EXPECT_PTR_EQ(test, p[0], ZERO_SIZE_PTR);
			KUNIT_EXPECT_PTR_EQ(test, p[1], ZERO_SIZE_PTR);
			KUNIT_EXPECT_PTR_EQ(test, constants[i].alloc(true), ZERO_SIZE_PTR);
			continue;
		}
		for (u32 k = 0; k < 2; k++) {
			KUNIT_ASSERT_NOT_NULL(test, p[k]);
			s = heap_kunit_span_of(goalloc_kernel_heap, (unsigned long)p[k]);
			KUNIT_ASSERT_NOT_NULL(test, s);
			KUNIT_EXPECT_PTR_EQ(test, s->heap, goalloc_kernel_heap);
			KUNIT_EXPECT_EQ_MSG(test, s->spanclass, constant_spanclass(size),
					    "%zu bytes, %s", size, k ? "function" : "constant");
			KUNIT_EXPECT_GE(test, goalloc_usable_size(p[k]), size);
			memset(p[k], 0x5a, goalloc_usable_size(p[k]));
			KUNIT_EXPECT_EQ(test, goalloc_try_free(p[k]), 0);
		}
		/* What was dirty just now. */
		p[2] = constants[i].alloc(true);
		KUNIT_ASSERT_NOT_NULL(test, p[2]);
		s = heap_kunit_span_of(goalloc_kernel_heap, (unsigned long)p[2]);
		KUNIT_EXPECT_EQ(test, s->spanclass, constant_spanclass(size));
		KUNIT_EXPECT_NULL(test, memchr_inv(p[2], 0, goalloc_usable_size(p[2])));
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p[2]), 0);
	}
}

/* The function's table, at every size it has and on both sides of its end. */
static void malloc_variables(struct kunit *test)
{
	for (size_t size = 1; size <= 1200; size++) {
		void *p = (goalloc_alloc)(size, GFP_KERNEL);
		struct mspan *s;

		KUNIT_ASSERT_NOT_NULL(test, p);
		s = heap_kunit_span_of(goalloc_kernel_heap, (unsigned long)p);
		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_EXPECT_EQ_MSG(test, s->spanclass, constant_spanclass(size), "%zu bytes",
				    size);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, promised_align(size, true)));
		goalloc_free(p);
	}
}

/*
 * What would be one or two to a tiny block: on kernel heaps a slot of its own, with
 * pointers or without. On file heaps it is packed.
 */
static const struct unpacked_row {
	const char *what;
	u32 size;
	u32 class;
	u32 shared;	/* how many a block of a file heap has */
} unpacked_rows[] = {
	{ "6 bytes", 6, 1, 2 },
	{ "7 bytes", 7, 1, 2 },
	{ "8 bytes", 8, 1, 2 },
	{ "9 bytes", 9, 2, 1 },
	{ "12 bytes", 12, 2, 1 },
	{ "15 bytes", 15, 2, 1 },
};

KUNIT_ARRAY_PARAM_DESC(unpacked, unpacked_rows, what);

static void malloc_unpacked(struct kunit *test)
{
	const struct unpacked_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct goalloc_heap *file = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct goalloc_memstats *ms = kunit_kzalloc(test, sizeof(*ms), GFP_KERNEL);
	u32 slot = goalloc_class_to_size[row->class];
	struct goalloc_query q = {};
	unsigned long addr[2];
	struct mspan *s;
	u64 usable;
	u8 *p[40];

	KUNIT_ASSERT_NOT_NULL(test, ms);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = goalloc_heap_alloc(heap, row->size, i & 1 ? GOALLOC_SCAN : 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		s = heap_kunit_span_of(heap, (unsigned long)p[i]);
		KUNIT_EXPECT_EQ(test, s->spanclass, make_spanclass(row->class, !(i & 1)));
		KUNIT_EXPECT_NULL(test, s->tiny);
		KUNIT_EXPECT_EQ(test, goalloc_usable_size(p[i]), slot);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[i], slot));
		memset(p[i], i, slot);
	}
	readmemstats(heap, ms);
	for (u32 class = 1; class <= 2; class++)
		KUNIT_EXPECT_EQ(test, ms->by_size[class].mallocs,
				class == row->class ? ARRAY_SIZE(p) : 0);
	KUNIT_EXPECT_EQ(test, ms->mallocs, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, ms->heap_alloc, slot * ARRAY_SIZE(p));
	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(p[i], i, slot));
		expect_bad(test, heap, p[i] + 1, -EINVAL);
		expect_bad(test, heap, p[i] + 4, -EINVAL);
		KUNIT_EXPECT_EQ(test, goalloc_try_free(p[i]), 0);
		expect_bad(test, heap, p[i], -EALREADY);
	}
	heap_kunit_check(test, heap, 0);

	for (u32 i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, mallocgc(file, row->size, 0, 0, GFP_KERNEL, &addr[i],
					       &usable), 0);
		KUNIT_EXPECT_EQ(test, mallocgc_query(file, addr[i], &q), 0);
		KUNIT_EXPECT_EQ(test, q.state, GOALLOC_QUERY_TINY);
		KUNIT_EXPECT_EQ(test, q.spanclass, make_spanclass(2, true));
	}
	KUNIT_EXPECT_EQ(test, (addr[0] ^ addr[1]) < GOALLOC_TINY_SIZE, row->shared == 2);
	heap_kunit_check(test, file, 2);
}

static const size_t bulk_sizes[] = { 1, 8, 13, 16, 100, 8192, 32768, 50000 };

static void malloc_bulk(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	static const u32 n = 150;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (u32 i = 0; i < ARRAY_SIZE(bulk_sizes); i++) {
		for (u32 flags = 0; flags <= GOALLOC_SCAN; flags++) {
			size_t size = bulk_sizes[i];
			u32 bad = 0;

			KUNIT_ASSERT_EQ(test, goalloc_alloc_bulk(heap, size, flags,
								 GFP_KERNEL | __GFP_ZERO, n, p), n);
			for (u32 k = 0; k < n; k++) {
				bad += !!memchr_inv(p[k], 0, size);
				memset(p[k], k | 1, size);
			}
			KUNIT_EXPECT_EQ(test, bad, 0);
			for (u32 k = 0; k < n; k++)
				bad += !!memchr_inv(p[k], k | 1, size);
			KUNIT_EXPECT_EQ(test, bad, 0);
			heap_kunit_check(test, heap, n);
			p[7] = (goalloc_free(p[7]), NULL);
			goalloc_free_bulk(n, p);
			heap_kunit_check(test, heap, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(heap, 8, 0, GFP_KERNEL, 0, p), 0);
}

/* As many as the heap's max lets through, the first ones of the array. */
static void malloc_bulk_short(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 5 * GOALLOC_PAGE_SIZE);
	void *p[50] = {};

	KUNIT_EXPECT_EQ(test, goalloc_alloc_bulk(heap, 1024, 0, GFP_KERNEL, 50, p), 40);
	KUNIT_EXPECT_NOT_NULL(test, p[39]);
	KUNIT_EXPECT_NULL(test, p[40]);
	goalloc_free_bulk(40, p);
	heap_kunit_check(test, heap, 0);
}

#define CONTEXT_OBJECTS	60

/* Work for a context in which nothing may be asserted. */
struct context {
	struct goalloc_heap *heap;
	gfp_t gfp;
	void *objs[CONTEXT_OBJECTS];
	u32 made, missing, dirty, refused, mapped;
	struct completion done;
	struct irq_work irq_work;
	struct timer_list timer;
};

static size_t context_size(u32 i)
{
	static const size_t sizes[] = { 1, 8, 15, 16, 64, 512, 1024, 5000, 32768, 70000 };

	return sizes[i % ARRAY_SIZE(sizes)];
}

static void context_alloc(struct context *c)
{
	for (u32 i = 0; i < CONTEXT_OBJECTS; i++) {
		c->objs[i] = goalloc_heap_alloc(c->heap, context_size(i), 0,
						c->gfp | __GFP_ZERO | __GFP_NOWARN);
		if (!c->objs[i]) {
			c->missing++;
			continue;
		}
		c->made++;
		c->dirty += !!memchr_inv(c->objs[i], 0, context_size(i));
		memset(c->objs[i], 0xc7, context_size(i));
	}
	/* What has to sleep is not tried. */
	c->mapped += !!goalloc_heap_alloc(c->heap, VMAPPED_SIZE, 0, c->gfp | __GFP_NOWARN);
}

static void context_free(struct context *c)
{
	for (u32 i = 0; i < CONTEXT_OBJECTS; i++) {
		c->refused += !!goalloc_try_free(c->objs[i]);
		if (c->objs[i])
			c->refused += !goalloc_try_free(c->objs[i]);
		c->objs[i] = NULL;
	}
}

static void context_irq_work(struct irq_work *work)
{
	struct context *c = container_of(work, struct context, irq_work);

	if (c->made)
		context_free(c);
	else
		context_alloc(c);
	complete(&c->done);
}

static void context_timer(struct timer_list *t)
{
	struct context *c = container_of(t, struct context, timer);

	if (c->made)
		context_free(c);
	else
		context_alloc(c);
	complete(&c->done);
}

enum where { IN_TASK, IN_NOPREEMPT, IN_IRQSOFF, IN_SOFTIRQ, IN_HARDIRQ, WHERES };

static void context_run(struct context *c, enum where where)
{
	void (*work)(struct context *c) = c->made ? context_free : context_alloc;
	unsigned long flags;

	reinit_completion(&c->done);
	switch (where) {
	case IN_TASK:
		work(c);
		break;
	case IN_NOPREEMPT:
		preempt_disable();
		work(c);
		preempt_enable();
		break;
	case IN_IRQSOFF:
		local_irq_save(flags);
		work(c);
		local_irq_restore(flags);
		break;
	case IN_SOFTIRQ:
		mod_timer(&c->timer, jiffies + 1);
		wait_for_completion(&c->done);
		break;
	case IN_HARDIRQ:
		irq_work_queue(&c->irq_work);
		wait_for_completion(&c->done);
		irq_work_sync(&c->irq_work);
		break;
	default:
		break;
	}
}

/* Made in each context, freed in each other one, with each kind of flags. */
static void malloc_contexts(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	struct context *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->heap = heap;
	init_completion(&c->done);
	/* On PREEMPT_RT a task's, as whatever takes the kernel's memory must be. */
	init_irq_work(&c->irq_work, context_irq_work);
	timer_setup(&c->timer, context_timer, 0);
	for (u32 from = 0; from < WHERES; from++) {
		for (u32 to = 0; to < WHERES; to++) {
			c->gfp = (from + to) & 1 ? GFP_ATOMIC : GFP_NOWAIT;
			c->made = 0;
			context_run(c, from);
			heap_kunit_check(test, heap, c->made);
			/* Nothing to free would be taken for nothing made yet. */
			if (c->made)
				context_run(c, to);
			KUNIT_EXPECT_GT(test, c->made, 0);
			heap_kunit_check(test, heap, 0);
		}
	}
	timer_shutdown_sync(&c->timer);
	KUNIT_EXPECT_EQ(test, c->missing, 0);
	KUNIT_EXPECT_EQ(test, c->dirty, 0);
	KUNIT_EXPECT_EQ(test, c->refused, 0);
	KUNIT_EXPECT_EQ(test, c->mapped, 0);
}

/* A mapped object freed where nothing may sleep goes by way of a work item. */
static void malloc_mapped_irqs_off(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	u8 *p = goalloc_heap_alloc(heap, VMAPPED_SIZE, 0, GFP_KERNEL);
	unsigned long flags;
	int ret[2];

	KUNIT_ASSERT_NOT_NULL(test, p);
	local_irq_save(flags);
	ret[0] = goalloc_try_free(p);
	ret[1] = goalloc_try_free(p);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, ret[0], 0);
	/* Until the work item is through, on another CPU. */
	KUNIT_EXPECT_TRUE(test, ret[1] == -EALREADY || ret[1] == -ENOENT);
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), -ENOENT);
}

/* 64 MiB, the largest that a kernel heap is asked for. */
static void malloc_64m(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_LINEAR, 0);
	static const size_t size = 64UL << 20;
	u8 *p = goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, goalloc_usable_size(p), size);
	for (size_t off = 0; off < size; off += PAGE_SIZE)
		p[off] = off >> PAGE_SHIFT;
	p[size - 1] = 0x99;
	for (size_t off = 0; off < size; off += PAGE_SIZE)
		if (p[off] != (u8)(off >> PAGE_SHIFT)) {
			KUNIT_FAIL(test, "byte %zu has changed", off);
			break;
		}
	KUNIT_EXPECT_EQ(test, p[size - 1], 0x99);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p + PAGE_SIZE), -EINVAL);
	heap_kunit_check(test, heap, 1);
	KUNIT_EXPECT_EQ(test, goalloc_try_free(p), 0);
	heap_kunit_check(test, heap, 0);
}

struct sparse_object {
	u64 addr;
	u64 usable;
	bool tiny;
};

/* A file heap against a list: addresses, what QUERY says, what a free says. */
static void malloc_sparse_random(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct sparse_object *objs = kunit_kcalloc(test, LIVE_MAX, sizeof(*objs), GFP_KERNEL);
	struct goalloc_query q = {};
	struct rnd_state rnd;
	u32 n = 0;

	KUNIT_ASSERT_NOT_NULL(test, objs);
	seed_random(test, &rnd);
	for (u32 op = 0; op < RANDOM_OPS / 2; op++) {
		if (!n || (n < LIVE_MAX && below(&rnd, 100) < 53)) {
			struct sparse_object o = {};
			u64 size = random_size(&rnd);
			u32 flags = below(&rnd, 4);
			unsigned long addr, align;

			if (!below(&rnd, 50))
				size = (u64)below(&rnd, 64) << 20;
			if (!size)
				continue;
			KUNIT_ASSERT_EQ(test, mallocgc(heap, size, 0, flags, GFP_KERNEL, &addr,
						       &o.usable), 0);
			o.addr = addr;
			o.tiny = size < 16 && !(flags & GOALLOC_SCAN);
			KUNIT_EXPECT_GE(test, o.usable, size);
			/* A file heap promises no more than heap pages. */
			align = min_t(u64, promised_align(size, o.tiny), GOALLOC_PAGE_SIZE);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED(addr, align));
			for (u32 i = 0; i < n; i++)
				if (o.addr < objs[i].addr + objs[i].usable &&
				    objs[i].addr < o.addr + o.usable)
					KUNIT_FAIL(test, "%llx overlaps %llx", o.addr,
						   objs[i].addr);
			objs[n++] = o;
		} else {
			struct sparse_object o = objs[below(&rnd, n)];
			u32 i;
			int ret;

			for (i = 0; objs[i].addr != o.addr; i++)
				;
			KUNIT_EXPECT_EQ(test, mallocgc_query(heap, o.addr + o.usable - 1, &q), 0);
			KUNIT_EXPECT_EQ(test, q.base, o.addr);
			KUNIT_EXPECT_GE(test, q.usable, o.usable);
			KUNIT_EXPECT_EQ(test, q.state,
					o.tiny ? GOALLOC_QUERY_TINY : GOALLOC_QUERY_LIVE);
			if (o.usable > 1)
				KUNIT_EXPECT_EQ(test, mallocgc_free(heap, o.addr + o.usable - 1),
						-EINVAL);
			KUNIT_EXPECT_EQ(test, mallocgc_free(heap, o.addr), 0);
			ret = mallocgc_free(heap, o.addr);
			KUNIT_EXPECT_TRUE(test, ret == -EALREADY || ret == -ENOENT);
			objs[i] = objs[--n];
		}
		if (op % 2000 == 1999)
			heap_kunit_check(test, heap, n);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, 0x1000), -ENOENT);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, U64_MAX), -ENOENT);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, GOALLOC_HEAP_BASE - 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, GOALLOC_HEAP_END), -ENOENT);
	KUNIT_EXPECT_EQ(test, mallocgc_free(heap, GOALLOC_HEAP_END - 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, mallocgc_query(heap, GOALLOC_HEAP_END, &q), -ENOENT);
	while (n)
		KUNIT_EXPECT_EQ(test, mallocgc_free(heap, objs[--n].addr), 0);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case malloc_cases[] = {
	KUNIT_CASE_SLOW(malloc_random),
	KUNIT_CASE_SLOW(malloc_realloc_random),
	KUNIT_CASE_SLOW(malloc_sizes),
	KUNIT_CASE(malloc_aligned),
	KUNIT_CASE(malloc_zeroed),
	KUNIT_CASE(malloc_zeroed_sparse),
	KUNIT_CASE(malloc_zeroed_written),
	KUNIT_CASE(malloc_zero_size),
	KUNIT_CASE(malloc_impossible),
	KUNIT_CASE(malloc_tiny),
	KUNIT_CASE(malloc_tiny_usable),
	KUNIT_CASE_PARAM(malloc_bad_frees, bad_gen_params),
	KUNIT_CASE(malloc_second_free),
	KUNIT_CASE(malloc_alien),
	KUNIT_CASE(malloc_alien_random),
	KUNIT_CASE(malloc_realloc),
	KUNIT_CASE(malloc_constants),
	KUNIT_CASE(malloc_variables),
	KUNIT_CASE_PARAM(malloc_unpacked, unpacked_gen_params),
	KUNIT_CASE(malloc_bulk),
	KUNIT_CASE(malloc_bulk_short),
	KUNIT_CASE_SLOW(malloc_contexts),
	KUNIT_CASE(malloc_mapped_irqs_off),
	KUNIT_CASE_SLOW(malloc_64m),
	KUNIT_CASE_SLOW(malloc_sparse_random),
	{}
};

static struct kunit_suite malloc_suite = {
	.name = "goalloc_malloc",
	.init = heap_kunit_stay,
	.test_cases = malloc_cases,
};

kunit_test_suite(malloc_suite);

GOALLOC_KUNIT_IMPORT;
