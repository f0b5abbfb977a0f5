// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_param: what users set of a heap, to its bounds, and a hard limit that
 * many CPUs run into at once.
 *
 * Units: bytes. The seed of random cases is printed; the parameter param_seed
 * repeats a run's random numbers, not its order.
 */
#include <kunit/test.h>
#include <linux/goalloc.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/string.h>

#include "../goalloc/param.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

static ulong param_seed;
module_param(param_seed, ulong, 0444);
MODULE_PARM_DESC(param_seed, "seed of goalloc_param, 0 for any");

static const u32 param_ids[] = {
	GOALLOC_PARAM_LIMIT, GOALLOC_PARAM_MAX, GOALLOC_PARAM_GC_PERCENT,
};

static const struct param_row {
	const char *what;
	u32 id;
	u64 value;
	int err;
} param_rows[] = {
	{ "limit 0", GOALLOC_PARAM_LIMIT, 0, 0 },
	{ "limit 1", GOALLOC_PARAM_LIMIT, 1, 0 },
	{ "limit 2^63", GOALLOC_PARAM_LIMIT, BIT_ULL(63), 0 },
	{ "limit ~0 - 1", GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT - 1, 0 },
	{ "limit none", GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT, 0 },
	{ "max 0", GOALLOC_PARAM_MAX, 0, 0 },
	{ "max 8191", GOALLOC_PARAM_MAX, 8191, 0 },
	{ "max ~0 - 1", GOALLOC_PARAM_MAX, GOALLOC_NO_LIMIT - 1, 0 },
	{ "max none", GOALLOC_PARAM_MAX, GOALLOC_NO_LIMIT, 0 },
	{ "gc_percent 0", GOALLOC_PARAM_GC_PERCENT, 0, 0 },
	{ "gc_percent 100", GOALLOC_PARAM_GC_PERCENT, 100, 0 },
	{ "gc_percent 100000", GOALLOC_PARAM_GC_PERCENT, 100000, 0 },
	{ "gc_percent 100001", GOALLOC_PARAM_GC_PERCENT, 100001, -EINVAL },
	{ "gc_percent 2^32", GOALLOC_PARAM_GC_PERCENT, BIT_ULL(32), -EINVAL },
	{ "gc_percent 2^63", GOALLOC_PARAM_GC_PERCENT, BIT_ULL(63), -EINVAL },
	{ "gc_percent ~0 - 1", GOALLOC_PARAM_GC_PERCENT, GOALLOC_NO_LIMIT - 1, -EINVAL },
	{ "gc_percent off", GOALLOC_PARAM_GC_PERCENT, GOALLOC_NO_LIMIT, 0 },
	{ "id 0", 0, 0, -EOPNOTSUPP },
	{ "id 4", 4, 0, -EOPNOTSUPP },
	{ "id 2^16 + 1", BIT(16) + 1, 0, -EOPNOTSUPP },
	{ "id ~0", ~0U, GOALLOC_NO_LIMIT, -EOPNOTSUPP },
};

KUNIT_ARRAY_PARAM_DESC(param, param_rows, what);

/* One is set, or none is, and the others stay what they were. */
static void param_values(struct kunit *test)
{
	const struct param_row *row = test->param_value;
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };

	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		struct goalloc_heap *heap = heap_kunit_create(test, backings[b], 0);
		u64 value = 0x5a;

		KUNIT_EXPECT_EQ(test, mheap_get_param(heap, row->id, &value),
				row->err == -EOPNOTSUPP ? row->err : 0);
		/* A new heap has no limits; what is not known is not written. */
		KUNIT_EXPECT_EQ(test, value,
				row->err == -EOPNOTSUPP ? 0x5a : GOALLOC_NO_LIMIT);
		for (u32 i = 0; i < ARRAY_SIZE(param_ids); i++)
			KUNIT_ASSERT_EQ(test, mheap_set_param(heap, param_ids[i], 77 + i), 0);
		KUNIT_EXPECT_EQ(test, mheap_set_param(heap, row->id, row->value), row->err);
		for (u32 i = 0; i < ARRAY_SIZE(param_ids); i++) {
			bool set = param_ids[i] == row->id && !row->err;

			KUNIT_EXPECT_EQ(test, mheap_get_param(heap, param_ids[i], &value), 0);
			KUNIT_EXPECT_EQ(test, value, set ? row->value : 77 + i);
		}
		heap_kunit_check(test, heap, 0);
	}
}

static const struct name_row {
	const char *what;
	const char *name;
	bool ok;
} name_rows[] = {
	{ "empty", "", false },
	{ "a byte", "x", true },
	{ "a space", " ", true },
	{ "all but the letters", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true },
	{ "47 bytes", "0123456789abcdef0123456789abcdef0123456789abcde", true },
	{ "48 bytes", "0123456789abcdef0123456789abcdef0123456789abcdef", false },
	{ "49 bytes", "0123456789abcdef0123456789abcdef0123456789abcdefg", false },
	{ "UTF-8", "gro\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\xb9", true },
	{ "47 bytes of UTF-8", "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
	  "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
	  "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6.", true },
	{ "no UTF-8", "\x80\xff\xfe\xc0", true },
	{ "a line", "line\n", false },
	{ "an escape sequence", "\x1b[31mred", false },
};

KUNIT_ARRAY_PARAM_DESC(name, name_rows, what);

/* A name is taken whole, or the old one stays. */
static void param_name(struct kunit *test)
{
	const struct name_row *row = test->param_value;
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	char buf[GOALLOC_NAME_MAX + 16], name[GOALLOC_NAME_MAX];
	size_t len = strlen(row->name);

	/* Behind the NUL, or the last byte it may read, anything may be. */
	memset(buf, 0x01, sizeof(buf));
	memcpy(buf, row->name, min(len + 1, sizeof(buf)));
	KUNIT_ASSERT_EQ(test, mheap_set_name(heap, "old"), 0);
	KUNIT_EXPECT_EQ(test, mheap_set_name(heap, buf), row->ok ? 0 : -EINVAL);
	memset(name, 0xee, sizeof(name));
	mheap_get_name(heap, name);
	KUNIT_EXPECT_STREQ(test, name, row->ok ? row->name : "old");
	/* No more than there is room for is read of one without a NUL. */
	memset(buf, 'n', sizeof(buf));
	KUNIT_EXPECT_EQ(test, mheap_set_name(heap, buf), -EINVAL);
	mheap_get_name(heap, name);
	KUNIT_EXPECT_STREQ(test, name, row->ok ? row->name : "old");
	heap_kunit_check(test, heap, 0);
}

/* Each byte there is, in each place. */
static void param_name_bytes(struct kunit *test)
{
	static const u32 places[] = { 0, 1, 20, 46 };
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	char buf[GOALLOC_NAME_MAX], name[GOALLOC_NAME_MAX];

	for (u32 byte = 1; byte < 256; byte++) {
		bool ok = byte >= ' ' && byte != 0x7f;

		for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
			memset(buf, 'n', sizeof(buf));
			buf[GOALLOC_NAME_MAX - 1] = 0;
			buf[places[i]] = byte;
			KUNIT_ASSERT_EQ(test, mheap_set_name(heap, "old"), 0);
			KUNIT_EXPECT_EQ_MSG(test, mheap_set_name(heap, buf), ok ? 0 : -EINVAL,
					    "byte %#x at %u", byte, places[i]);
			mheap_get_name(heap, name);
			KUNIT_EXPECT_STREQ(test, name, ok ? buf : "old");
		}
	}
	heap_kunit_check(test, heap, 0);
}

/* Some set names of one letter, of several lengths; who reads sees one of them. */
static void name_crew(struct crew *crew, u32 who)
{
	struct goalloc_heap *heap = crew->arg;
	char name[GOALLOC_NAME_MAX];

	for (u32 i = 0; i % 64 || crew_go_on(crew); i++) {
		size_t len = 1 + (i * 7 + who) % (GOALLOC_NAME_MAX - 1);

		if (who < 2) {
			memset(name, 'a' + who, len);
			name[len] = 0;
			if (mheap_set_name(heap, name))
				atomic_inc(&crew->bad);
		} else {
			memset(name, 0xee, sizeof(name));
			mheap_get_name(heap, name);
			len = strnlen(name, sizeof(name));
			if (!len || len == sizeof(name) ||
			    memchr_inv(name, name[0], len) ||
			    (name[0] != 'a' && name[0] != 'b'))
				atomic_inc(&crew->bad);
		}
	}
}

static void param_name_race(struct kunit *test)
{
	struct goalloc_heap *heap = heap_kunit_create(test, BACKING_SPARSE, 0);
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	KUNIT_ASSERT_EQ(test, mheap_set_name(heap, "a"), 0);
	crew_run(test, crew, 4, 1500, name_crew, heap);
	heap_kunit_check(test, heap, 0);
}

static int alloc_on(struct goalloc_heap *heap, u64 size, u64 *obj)
{
	unsigned long addr = 0;
	u64 usable;
	int err = 0;

	if (heap->backing == BACKING_SPARSE) {
		err = mallocgc(heap, size, 0, 0, GFP_KERNEL, &addr, &usable);
	} else {
		addr = (unsigned long)goalloc_heap_alloc(heap, size, 0, GFP_KERNEL);
		if (!addr)
			err = -ENOMEM;
	}
	*obj = addr;
	return err;
}

static int free_on(struct goalloc_heap *heap, u64 obj)
{
	return heap->backing == BACKING_SPARSE ? mallocgc_free(heap, obj) :
		goalloc_try_free((void *)(unsigned long)obj);
}

/*
 * A max under what is in use is no error: there is nothing new until enough
 * was freed, and what there is can be used meanwhile.
 */
static void param_max_below(struct kunit *test)
{
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };
	const u64 size = 5 << GOALLOC_PAGE_SHIFT;
	u64 obj[20], small, extra;

	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		struct goalloc_heap *heap = heap_kunit_create(test, backings[b], 0);
		u32 n = ARRAY_SIZE(obj);

		for (u32 i = 0; i < n; i++)
			KUNIT_ASSERT_EQ(test, alloc_on(heap, size, &obj[i]), 0);
		/* With a slot to spare in its span. */
		KUNIT_ASSERT_EQ(test, alloc_on(heap, 64, &small), 0);
		KUNIT_ASSERT_EQ(test, mheap_pages_in_use(heap), 101);

		KUNIT_ASSERT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX, 50 << 13), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 101);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, size, &extra), -ENOMEM);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &extra), -ENOMEM);
		if (heap->backing == BACKING_SPARSE)
			KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, obj[7] + 9000, 7), 1);
		else
			*(u8 *)(unsigned long)(obj[7] + 9000) = 7;

		/* 101, 96, ... pages: the first that fits 5 more is 41 of 50. */
		while (n > 9) {
			KUNIT_ASSERT_EQ(test, free_on(heap, obj[--n]), 0);
			heap_kunit_settle(heap);
			KUNIT_ASSERT_EQ(test, mheap_pages_in_use(heap), n * 5 + 1);
			if (n > 8)
				KUNIT_EXPECT_EQ(test, alloc_on(heap, size, &extra), -ENOMEM);
		}
		/* 46 pages: four more, then the fifth is too many. */
		for (u32 i = 0; i < 4; i++)
			KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &obj[n + i]), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 50);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &extra), -ENOMEM);
		/* Slots of spans in use are no growth. */
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 64, &extra), 0);
		heap_kunit_check(test, heap, n + 4 + 2);

		KUNIT_ASSERT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX, 0), 0);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &extra), -ENOMEM);
		KUNIT_ASSERT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX,
						      (51 << 13) + 8191), 0);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &extra), 0);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 8192, &extra), -ENOMEM);
		KUNIT_ASSERT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX,
						      GOALLOC_NO_LIMIT), 0);
		KUNIT_EXPECT_EQ(test, alloc_on(heap, 100 << 13, &extra), 0);
		heap_kunit_check(test, heap, n + 4 + 2 + 2);
	}
}

#define MAX_PAGES	301
#define MAX_OBJECTS	200

struct max_run {
	struct goalloc_heap *heap;
	ulong seed;
	atomic_t made, refused, freed;
};

/* Each makes objects of all kinds until it has many, and frees some. */
static void max_crew(struct crew *crew, u32 who)
{
	struct max_run *run = crew->arg;
	struct goalloc_heap *heap = run->heap;
	u64 *obj = kcalloc(MAX_OBJECTS, sizeof(*obj), GFP_KERNEL);
	struct rnd_state rnd;
	u32 n = 0;

	if (!obj) {
		atomic_inc(&crew->bad);
		return;
	}
	prandom_seed_state(&rnd, run->seed + who);
	while (crew_go_on(crew)) {
		u32 r = prandom_u32_state(&rnd);
		u64 size = 1 + (r >> 8) % (r & BIT(30) ? 30 << 13 : 9000);
		unsigned long flags;
		u64 pages;
		int err;

		if (n && (n == MAX_OBJECTS || r % 100 < 45)) {
			u32 i = (r >> 8) % n;

			if (free_on(heap, obj[i]))
				atomic_inc(&crew->bad);
			obj[i] = obj[--n];
			atomic_inc(&run->freed);
		} else {
			err = alloc_on(heap, size, &obj[n]);
			if (err == -ENOMEM)
				atomic_inc(&run->refused);
			else if (err)
				atomic_inc(&crew->bad);
			else
				n++;
			atomic_inc(&run->made);
		}
		flags = mheap_lock(heap);
		pages = mheap_pages_in_use(heap);
		mheap_unlock(heap, flags);
		if (pages > MAX_PAGES)
			atomic_inc(&crew->bad);
	}
	while (n)
		if (free_on(heap, obj[--n]))
			atomic_inc(&crew->bad);
	kfree(obj);
}

static bool max_met(struct crew *crew)
{
	struct max_run *run = crew->arg;

	return atomic_read(&run->refused) && atomic_read(&run->freed);
}

static void max_race(struct kunit *test, enum goalloc_backing backing)
{
	/* A part of a page does not count. */
	struct goalloc_heap *heap = heap_kunit_create(test, backing, (MAX_PAGES << 13) + 8191);
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct max_run run = { .heap = heap };

	KUNIT_ASSERT_NOT_NULL(test, crew);
	run.seed = param_seed ?: get_random_u32() | 1;
	kunit_info(test, "param_seed=%lu\n", run.seed);
	crew->met = max_met;
	crew_run(test, crew, 4, 1000, max_crew, &run);
	kunit_info(test, "%d made or refused, %d refused\n", atomic_read(&run.made),
		   atomic_read(&run.refused));
	KUNIT_EXPECT_GT(test, atomic_read(&run.refused), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&run.freed), 0);
	heap_kunit_check(test, heap, 0);
}

static void param_max_race_sparse(struct kunit *test)
{
	max_race(test, BACKING_SPARSE);
}

static void param_max_race_linear(struct kunit *test)
{
	max_race(test, BACKING_LINEAR);
}

/* One page is left, and all want it: one gets it. */
static void last_page_crew(struct crew *crew, u32 who)
{
	struct max_run *run = crew->arg;
	u64 obj;
	int err = alloc_on(run->heap, 40000 + who, &obj);

	if (!err)
		atomic_inc(&run->made);
	else if (err == -ENOMEM)
		atomic_inc(&run->refused);
	else
		atomic_inc(&crew->bad);
}

static void param_max_last(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	for (u32 round = 0; round < 15; round++) {
		struct max_run run = {
			.heap = heap_kunit_create(test, BACKING_SPARSE, 14 << 13),
		};
		u64 obj;

		KUNIT_ASSERT_EQ(test, alloc_on(run.heap, 9 << 13, &obj), 0);
		crew_run(test, crew, 4, 0, last_page_crew, &run);
		KUNIT_EXPECT_EQ(test, atomic_read(&run.made), 1);
		KUNIT_EXPECT_EQ(test, atomic_read(&run.refused), 3);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(run.heap), 14);
		heap_kunit_check(test, run.heap, 2);
		heap_kunit_end(test, run.heap);
	}
}

static struct kunit_case param_cases[] = {
	KUNIT_CASE_PARAM(param_values, param_gen_params),
	KUNIT_CASE_PARAM(param_name, name_gen_params),
	KUNIT_CASE(param_name_bytes),
	KUNIT_CASE_SLOW(param_name_race),
	KUNIT_CASE(param_max_below),
	KUNIT_CASE_SLOW(param_max_race_sparse),
	KUNIT_CASE_SLOW(param_max_race_linear),
	KUNIT_CASE(param_max_last),
	{}
};

static struct kunit_suite param_suite = {
	.name = "goalloc_param",
	.test_cases = param_cases,
};

kunit_test_suite(param_suite);

GOALLOC_KUNIT_IMPORT;
