// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_sizeclass: the size-class tables.
 *
 * tools/mksizeclasses makes the tables. Here the rules are stated a second
 * time, in another form, and the two lookups, from a size to its class and
 * from an offset to its slot, are tried on everything they can be given. All
 * figures are exact, so nothing here is random.
 *
 * Units: bytes, but for span lengths, which are in heap pages.
 */
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/goalloc_sizeclass.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/math64.h>
#include <linux/module.h>

#include "../goalloc/compat.h"
#include "../goalloc/sizeclass.h"

/* A heap page, said anew: the tables are measured against it. */
#define HEAP_PAGE	8192

static u32 span_bytes(u32 class)
{
	return goalloc_class_to_allocnpages[class] * HEAP_PAGE;
}

/* The smallest class that holds @size, found by looking at all of them. */
static u32 slow_class(u32 size)
{
	u32 best = 0;

	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u32 have = goalloc_class_to_size[class];

		if (have >= size && (!best || have < goalloc_class_to_size[best]))
			best = class;
	}
	return best;
}

static void sizeclass_lookup(struct kunit *test)
{
	for (u32 size = 1; size <= GOALLOC_MAX_SMALL_SIZE; size++)
		KUNIT_ASSERT_EQ_MSG(test, goalloc_size_to_class(size),
				    slow_class(size), "size %u", size);
}

/* What callers with a constant size find is the same, here with any size. */
static void sizeclass_constant(struct kunit *test)
{
	for (u32 size = 1; size <= GOALLOC_MAX_SMALL_SIZE; size++)
		KUNIT_ASSERT_EQ_MSG(test, __goalloc_constant_class(size),
				    slow_class(size), "size %u", size);
	KUNIT_EXPECT_EQ(test, __goalloc_constant_class(0), 0);
	KUNIT_EXPECT_EQ(test, __goalloc_constant_class(GOALLOC_MAX_SMALL_SIZE + 1), 0);
	KUNIT_EXPECT_EQ(test, __goalloc_constant_class(SIZE_MAX), 0);
}

/* Up to and with the end of the span, where a pointer past it would fall. */
static void sizeclass_divide(struct kunit *test)
{
	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u64 magic = goalloc_class_to_divmagic[class];
		u32 size = goalloc_class_to_size[class];

		for (u32 off = 0; off <= span_bytes(class); off++)
			KUNIT_ASSERT_EQ_MSG(test, goalloc_div(off, magic),
					    off / size, "class %u, offset %u",
					    class, off);
	}
}

/* The sizes that are considered: from the end of the row before, in steps. */
static const struct {
	u32 last;
	u32 step;
} spacing[] = {
	{    32,   8 },
	{   256,  16 },
	{   512,  32 },
	{  1024,  64 },
	{  2048, 128 },
	{ 32768, 256 },
};

/* The candidate that follows @size, or 0 behind the last one. */
static u32 next_candidate(u32 size)
{
	for (u32 row = 0; row < ARRAY_SIZE(spacing); row++)
		if (size < spacing[row].last)
			return size + spacing[row].step;
	return 0;
}

/* Fewest heap pages that lose no more than 12.5 % behind the last object. */
static u32 candidate_pages(u32 size)
{
	for (u32 pages = 1;; pages++) {
		u32 span = pages * HEAP_PAGE;
		u32 used = 0;

		while (used + size <= span)
			used += size;
		if ((span - used) * 1000 <= span * 125)
			return pages;
	}
}

/* Whether the next candidate makes as many objects of as many pages. */
static bool candidate_is_merged(u32 size)
{
	u32 pages = candidate_pages(size);
	u32 next = next_candidate(size);

	return next && candidate_pages(next) == pages &&
	       pages * HEAP_PAGE / next == pages * HEAP_PAGE / size;
}

/* The classes are those that the rules give, one by one and no others. */
static void sizeclass_rules(struct kunit *test)
{
	u32 class = 0;

	KUNIT_EXPECT_EQ(test, goalloc_class_to_size[0], 0);
	KUNIT_EXPECT_EQ(test, goalloc_class_to_allocnpages[0], 0);
	KUNIT_EXPECT_EQ(test, goalloc_class_to_nelems[0], 0);

	for (u32 size = 8; size; size = next_candidate(size)) {
		u32 pages = candidate_pages(size);
		u32 span = pages * HEAP_PAGE;
		u32 count = span / size;
		u32 wide = size;

		if (candidate_is_merged(size))
			continue;

		/* The largest multiple of 128 of which a span holds as many. */
		for (u32 more = round_up(size, 128); more * count <= span;
		     more += 128)
			wide = more;

		class++;
		KUNIT_ASSERT_LT(test, class, GOALLOC_NUM_SIZE_CLASSES);
		KUNIT_EXPECT_EQ_MSG(test, goalloc_class_to_size[class], wide,
				    "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, goalloc_class_to_allocnpages[class],
				    pages, "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, goalloc_class_to_nelems[class], count,
				    "class %u", class);
	}
	KUNIT_EXPECT_EQ(test, class, GOALLOC_NUM_SIZE_CLASSES - 1);
}

/* Larger classes have larger sizes; a span is cut into all that it holds. */
static void sizeclass_order(struct kunit *test)
{
	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u32 size = goalloc_class_to_size[class];
		u32 used = size * goalloc_class_to_nelems[class];

		KUNIT_EXPECT_GT_MSG(test, size, goalloc_class_to_size[class - 1],
				    "class %u", class);
		KUNIT_EXPECT_GE_MSG(test, goalloc_class_to_nelems[class], 1,
				    "class %u", class);
		KUNIT_EXPECT_LE_MSG(test, used, span_bytes(class),
				    "class %u", class);
		KUNIT_EXPECT_GT_MSG(test, used + size, span_bytes(class),
				    "class %u", class);
	}
}

/* The constants say of the tables what is so, and no more than is needed. */
static void sizeclass_limits(struct kunit *test)
{
	u32 objs = 0, pages = 0, align = 0;

	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		objs = max_t(u32, objs, goalloc_class_to_nelems[class]);
		pages = max_t(u32, pages, goalloc_class_to_allocnpages[class]);
		align = max_t(u32, align, goalloc_class_align(class));
	}
	KUNIT_EXPECT_EQ(test, objs, GOALLOC_MAX_OBJS_PER_SPAN);
	KUNIT_EXPECT_EQ(test, pages, GOALLOC_MAX_SPAN_PAGES);
	KUNIT_EXPECT_EQ(test, align, GOALLOC_MAX_CLASS_ALIGN);

	KUNIT_EXPECT_EQ(test, GOALLOC_NUM_SIZE_CLASSES, 68);
	KUNIT_EXPECT_EQ(test, GOALLOC_MAX_SMALL_SIZE, 32768);
	KUNIT_EXPECT_EQ(test, GOALLOC_MAX_SMALL_SIZE,
			goalloc_class_to_size[GOALLOC_NUM_SIZE_CLASSES - 1]);
	KUNIT_EXPECT_EQ(test, GOALLOC_TINY_SIZE, 16);
	KUNIT_EXPECT_EQ(test, GOALLOC_TINY_SIZE,
			goalloc_class_to_size[GOALLOC_TINY_SIZE_CLASS]);
	KUNIT_EXPECT_EQ(test, GOALLOC_TINY_SIZE_CLASS,
			goalloc_size_to_class(GOALLOC_TINY_SIZE));
}

/* The class's alignment is that of all its slots, and the largest such. */
static void sizeclass_align(struct kunit *test)
{
	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u32 align = goalloc_class_align(class);
		u32 size = goalloc_class_to_size[class];
		u32 bits = HEAP_PAGE;

		/* What all the slots' offsets in a page-aligned run share. */
		for (u32 slot = 0; slot < goalloc_class_to_nelems[class]; slot++)
			bits |= slot * size;
		if (goalloc_class_to_nelems[class] == 1)
			bits |= size;
		KUNIT_EXPECT_EQ_MSG(test, align, BIT(__ffs(bits)),
				    "class %u", class);
		KUNIT_EXPECT_GE_MSG(test, align, size >= 32 ? 16 : 8,
				    "class %u", class);
		if (size > GOALLOC_SMALL_SIZE_MAX)
			KUNIT_EXPECT_GE_MSG(test, align, GOALLOC_LARGE_SIZE_DIV,
					    "class %u", class);
	}
}

/* A power of two has a class of its own, aligned to it up to a heap page. */
static void sizeclass_power_of_two(struct kunit *test)
{
	for (u32 size = 8; size <= GOALLOC_MAX_SMALL_SIZE; size *= 2) {
		u32 class = goalloc_size_to_class(size);

		KUNIT_EXPECT_EQ(test, goalloc_class_to_size[class], size);
		KUNIT_EXPECT_EQ(test, goalloc_class_align(class),
				min_t(u32, size, HEAP_PAGE));
	}
}

/* No span loses more than 12.5 % behind its last object. */
static void sizeclass_tail(struct kunit *test)
{
	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		u32 tail = span_bytes(class);

		for (u32 slot = 0; slot < goalloc_class_to_nelems[class]; slot++)
			tail -= goalloc_class_to_size[class];
		KUNIT_EXPECT_LE_MSG(test, tail * 1000, span_bytes(class) * 125,
				    "class %u", class);
	}
}

/*
 * The most of a full span that one request size can waste, rounding and tail
 * together, in thousandths and rounded up, for all sizes above a bound.
 */
static void sizeclass_worst_waste(struct kunit *test)
{
	static const struct {
		u32 above;
		u32 permille;
	} rows[] = {
		{    0, 875 },		/* 1 byte in 8 */
		{    8, 438 },		/* 9 bytes in 16 */
		{   16, 316 },		/* 33 bytes in 48, and a tail */
		{  128, 167 },		/* 4097 bytes in 4864, and a tail */
		{ 1024, 167 },
	};

	u32 worst[ARRAY_SIZE(rows)] = {};

	for (u32 size = 1; size <= GOALLOC_MAX_SMALL_SIZE; size++) {
		u32 class = slow_class(size);
		u32 span = span_bytes(class);
		u32 lost = span - size * goalloc_class_to_nelems[class];

		for (u32 row = 0; row < ARRAY_SIZE(rows); row++)
			if (size > rows[row].above)
				worst[row] = max_t(u32, worst[row],
						   DIV_ROUND_UP(lost * 1000, span));
	}
	for (u32 row = 0; row < ARRAY_SIZE(rows); row++)
		KUNIT_EXPECT_EQ_MSG(test, worst[row], rows[row].permille,
				    "sizes above %u", rows[row].above);
}

/*
 * What rounding up hands out beyond what was asked, in thousandths, when every
 * size up to a bound is asked for once.
 */
static void sizeclass_mean_waste(struct kunit *test)
{
	static const struct {
		u32 last;
		u32 permille;
	} rows[] = {
		{  1024, 57 },
		{  2048, 61 },
		{ 32768, 53 },
	};

	u64 extra = 0;
	u32 asked = 0;
	u32 size = 0;

	for (u32 row = 0; row < ARRAY_SIZE(rows); row++) {
		while (size < rows[row].last) {
			size++;
			asked += size;
			extra += goalloc_class_to_size[slow_class(size)] - size;
		}
		KUNIT_EXPECT_EQ_MSG(test,
				    div_u64(extra * 1000 + asked / 2, asked),
				    rows[row].permille, "sizes to %u", size);
	}
}

static struct kunit_case sizeclass_cases[] = {
	KUNIT_CASE(sizeclass_lookup),
	KUNIT_CASE(sizeclass_constant),
	KUNIT_CASE(sizeclass_divide),
	KUNIT_CASE(sizeclass_rules),
	KUNIT_CASE(sizeclass_order),
	KUNIT_CASE(sizeclass_limits),
	KUNIT_CASE(sizeclass_align),
	KUNIT_CASE(sizeclass_power_of_two),
	KUNIT_CASE(sizeclass_tail),
	KUNIT_CASE(sizeclass_worst_waste),
	KUNIT_CASE(sizeclass_mean_waste),
	{}
};

static struct kunit_suite sizeclass_suite = {
	.name = "goalloc_sizeclass",
	.test_cases = sizeclass_cases,
};

kunit_test_suite(sizeclass_suite);

GOALLOC_KUNIT_IMPORT;
