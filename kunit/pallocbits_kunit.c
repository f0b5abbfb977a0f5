// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_pallocbits: the bitmaps of a chunk and their summaries.
 *
 * Tables first, one row a case. Bits are written as bitmap_parselist() reads
 * them and %*pbl prints them, "0-9,20,500-511", so that a row, and what is
 * reported of one that fails, can be read. Then random chunks against
 * an array of bytes, one a page, that is looked at page by page.
 *
 * Units: heap pages. The seed of random cases is printed; the parameter
 * pallocbits_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../goalloc/compat.h"
#include "../goalloc/pallocbits.h"

#define PAGES	PALLOC_CHUNK_PAGES

static ulong pallocbits_seed;
module_param(pallocbits_seed, ulong, 0444);
MODULE_PARM_DESC(pallocbits_seed, "seed of goalloc_pallocbits, 0 for any");

/* The slow chunk: a byte a page. */
struct slow {
	u8 used[PAGES];
	u8 scavenged[PAGES];
	u32 block[2];
};

struct sum {
	u32 start, max, end;
};

/* Ends of blocked halves, and the places where blocks meet. */
static bool slow_wall(const struct slow *s, u32 i)
{
	for (u32 half = 0; half < 2; half++) {
		u32 lo = half * 256, hi = lo + 256;

		if (!s->block[half])
			continue;
		for (u32 at = lo; at <= hi; at += s->block[half])
			if (at == i)
				return true;
	}
	return false;
}

static bool slow_fits(const struct slow *s, u32 i, u32 n)
{
	if (i + n > PAGES)
		return false;
	for (u32 k = i; k < i + n; k++)
		if (s->used[k] || (k > i && slow_wall(s, k)))
			return false;
	return true;
}

static struct sum slow_summary(const struct slow *s)
{
	struct sum sum = {};
	u32 run = 0;
	bool first = true;

	for (u32 i = 0; i < PAGES; i++) {
		if (slow_wall(s, i) || s->used[i])
			first = false;
		if (slow_wall(s, i))
			run = 0;
		run = s->used[i] ? 0 : run + 1;
		sum.start += first;
		sum.max = max(sum.max, run);
	}
	sum.end = slow_wall(s, PAGES) ? 0 : run;
	return sum;
}

static u32 slow_find(const struct slow *s, u32 n, u32 align)
{
	for (u32 i = 0; i < PAGES; i += align)
		if (slow_fits(s, i, n))
			return i;
	return PALLOC_NONE;
}

static u32 slow_first_free(const struct slow *s)
{
	for (u32 i = 0; i < PAGES; i++)
		if (!s->used[i])
			return i;
	return PALLOC_NONE;
}

/* The highest run that can be given back, and all pages that can. */
static u32 slow_candidate(const struct slow *s, u32 lo, u32 hi, u32 min,
			  u32 max, u32 *n, u32 *idle)
{
	u32 at = PALLOC_NONE;
	bool open = true;

	*n = 0;
	*idle = 0;
	for (u32 unit = PAGES; unit; unit -= min) {
		bool can = unit - min >= lo && unit <= hi;

		for (u32 i = unit - min; i < unit; i++)
			can &= !s->used[i] && !s->scavenged[i];
		*idle += can ? min : 0;
		if (can && open && (!*n || *n < max)) {
			at = unit - min;
			*n += min;
		} else if (*n) {
			open = false;
		}
	}
	return at;
}

static struct palloc_chunk *new_chunk(struct kunit *test)
{
	struct palloc_chunk *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->ready = true;
	return c;
}

static void parse(struct kunit *test, struct palloc_bits *bits, const char *list)
{
	KUNIT_ASSERT_EQ_MSG(test, bitmap_parselist(list, bits->b, PAGES), 0,
			    "the table says \"%s\"", list);
}

static void expect_bits(struct kunit *test, const struct palloc_bits *got,
			const struct palloc_bits *want, const char *what)
{
	struct palloc_bits diff;

	if (bitmap_equal(got->b, want->b, PAGES))
		return;
	bitmap_xor(diff.b, got->b, want->b, PAGES);
	KUNIT_FAIL(test, "%s differ at %*pbl\n got: %*pbl\nwant: %*pbl\n", what,
		   PAGES, diff.b, PAGES, got->b, PAGES, want->b);
}

static void expect_sum(struct kunit *test, pallocsum got, struct sum want,
		       const char *what)
{
	if (pallocsum_start(got) != want.start ||
	    pallocsum_max(got) != want.max || pallocsum_end(got) != want.end)
		KUNIT_FAIL(test, "%s: got (%u, %u, %u), want (%u, %u, %u)\n",
			   what, pallocsum_start(got), pallocsum_max(got),
			   pallocsum_end(got), want.start, want.max, want.end);
}

/* Ranges: what setting one and then clearing one leaves. */
static const struct range_case {
	const char *name;
	u32 set_i, set_n, clear_i, clear_n;
	const char *after;
	u32 count_i, count_n, count;
} range_cases[] = {
	{ "lowest",		0, 1, 511, 1, "0", 0, 1, 1 },
	{ "highest",		511, 1, 0, 1, "511", 511, 1, 1 },
	{ "within a word",	129, 5, 131, 1, "129-130,132-133", 130, 3, 2 },
	{ "one word",		64, 64, 0, 64, "64-127", 64, 64, 64 },
	{ "to a word's end",	60, 4, 60, 1, "61-63", 60, 8, 3 },
	{ "over a word's end",	60, 8, 64, 1, "60-63,65-67", 63, 3, 2 },
	{ "over three words",	63, 66, 64, 64, "63,128", 63, 66, 2 },
	{ "half",		256, 256, 300, 10, "256-299,310-511", 0, 512,
				246 },
	{ "all, less the ends",	0, 512, 0, 1, "1-511", 0, 512, 511 },
	{ "all and none",	0, 512, 0, 512, "", 0, 512, 0 },
};

KUNIT_ARRAY_PARAM_DESC(range, range_cases, name);

static void pallocbits_ranges(struct kunit *test)
{
	const struct range_case *row = test->param_value;
	struct palloc_bits got = {}, want;

	parse(test, &want, row->after);
	palloc_bits_set(&got, row->set_i, row->set_n);
	palloc_bits_clear(&got, row->clear_i, row->clear_n);
	expect_bits(test, &got, &want, "bits");
	KUNIT_EXPECT_EQ(test, palloc_bits_popcount(&got, row->count_i,
						   row->count_n), row->count);
	for (u32 i = 0; i < PAGES; i++)
		KUNIT_ASSERT_EQ(test, palloc_bits_test(&got, i),
				test_bit(i, want.b));
}

/* Summaries, and where runs are found: what is not listed is in use. */
#define NONE	PALLOC_NONE

static const struct find_case {
	const char *name;
	const char *free;
	u32 block[2];
	struct sum sum;
	struct {
		u32 n, align, at;
	} find[6];
} find_cases[] = {
	{ "none free", "", {}, { 0, 0, 0 }, { { 1, 1, NONE } } },
	{ "all free", "0-511", {}, { 512, 512, 512 },
	  { { 1, 1, 0 }, { 512, 1, 0 }, { 512, 512, 0 }, { 256, 256, 0 } } },
	{ "beginning", "0-9", {}, { 10, 10, 0 },
	  { { 10, 1, 0 }, { 11, 1, NONE }, { 2, 16, 0 } } },
	{ "end", "472-511", {}, { 0, 40, 40 },
	  { { 1, 1, 472 }, { 40, 1, 472 }, { 41, 1, NONE }, { 1, 64, NONE },
	    { 32, 32, 480 }, { 33, 32, NONE } } },
	{ "both ends", "0-10,489-511", {}, { 11, 23, 23 },
	  { { 12, 1, 489 }, { 11, 1, 0 } } },
	{ "ends and a middle", "0-3,50-149,508-511", {}, { 4, 100, 4 },
	  { { 5, 1, 50 }, { 100, 1, 50 }, { 101, 1, NONE }, { 10, 64, 64 },
	    { 23, 128, NONE }, { 22, 128, 128 } } },
	{ "single pages", "1,3,5,509", {}, { 0, 1, 0 },
	  { { 1, 1, 1 }, { 2, 1, NONE }, { 1, 2, NONE } } },
	{ "inside a word", "35-36,40-44,100-104", {}, { 0, 5, 0 },
	  { { 1, 1, 35 }, { 3, 1, 40 }, { 5, 1, 40 }, { 4, 4, 40 } } },
	{ "longest of a word last", "2,4-6,8-12,14-20,22-50", {}, { 0, 29, 0 },
	  { { 2, 1, 4 }, { 5, 1, 8 }, { 7, 1, 14 }, { 8, 1, 22 } } },
	{ "over a word's end", "60-67", {}, { 0, 8, 0 },
	  { { 4, 1, 60 }, { 5, 1, 60 }, { 8, 1, 60 }, { 4, 64, 64 } } },
	{ "a word", "64-127", {}, { 0, 64, 0 },
	  { { 64, 1, 64 }, { 64, 64, 64 }, { 65, 1, NONE } } },
	{ "a word and a page", "63-127", {}, { 0, 65, 0 },
	  { { 65, 1, 63 }, { 64, 64, 64 } } },
	{ "a word but for its ends", "65-126", {}, { 0, 62, 0 },
	  { { 62, 1, 65 }, { 63, 1, NONE } } },
	{ "over the middle", "250-260", {}, { 0, 11, 0 },
	  { { 11, 1, 250 }, { 2, 256, 256 } } },

	/* Walls. */
	{ "two blocks", "0-511", { 256, 256 }, { 0, 256, 0 },
	  { { 256, 1, 0 }, { 257, 1, NONE }, { 1, 256, 0 } } },
	{ "two blocks, first begun", "1-511", { 256, 256 }, { 0, 256, 0 },
	  { { 255, 1, 1 }, { 256, 1, 256 }, { 1, 256, 256 } } },
	{ "low half a block", "0-511", { 256, 0 }, { 0, 256, 256 },
	  { { 256, 1, 0 }, { 257, 1, NONE } } },
	{ "high half a block", "0-511", { 0, 256 }, { 256, 256, 0 },
	  { { 256, 1, 0 }, { 257, 1, NONE } } },
	{ "a wall in the middle", "250-260", { 256, 0 }, { 0, 6, 0 },
	  { { 6, 1, 250 }, { 7, 1, NONE }, { 5, 256, 256 } } },
	{ "the same from above", "251-260", { 0, 256 }, { 0, 5, 0 },
	  { { 5, 1, 251 }, { 6, 1, NONE } } },
	{ "blocks of 128", "0-511", { 128, 128 }, { 0, 128, 0 },
	  { { 128, 1, 0 }, { 129, 1, NONE } } },
	{ "blocks of 128, cut", "1-127,130-383", { 128, 128 }, { 0, 128, 0 },
	  { { 127, 1, 1 }, { 128, 1, 256 }, { 126, 1, 1 } } },
	{ "blocks of 64", "0-511", { 64, 64 }, { 0, 64, 0 },
	  { { 64, 1, 0 }, { 65, 1, NONE } } },
	{ "blocks of 64, odd", "30-90", { 64, 64 }, { 0, 34, 0 },
	  { { 34, 1, 30 }, { 35, 1, NONE }, { 27, 64, 64 } } },
	{ "blocks of 32", "0-511", { 32, 32 }, { 0, 32, 0 },
	  { { 32, 1, 0 }, { 33, 1, NONE } } },
	{ "blocks of 32, odd", "20-50,510-511", { 32, 32 }, { 0, 19, 0 },
	  { { 12, 1, 20 }, { 13, 1, 32 }, { 20, 1, NONE } } },
	{ "blocks of 16", "0-511", { 16, 16 }, { 0, 16, 0 },
	  { { 16, 1, 0 }, { 17, 1, NONE }, { 16, 32, 0 } } },
	{ "blocks of 16, odd", "10-40", { 16, 16 }, { 0, 16, 0 },
	  { { 6, 1, 10 }, { 7, 1, 16 }, { 9, 1, 16 }, { 16, 1, 16 } } },
	{ "blocks of 16 and none", "200-400", { 16, 0 }, { 0, 145, 0 },
	  { { 8, 1, 200 }, { 9, 1, 208 }, { 17, 1, 256 } } },
	{ "none and blocks of 16", "200-400", { 0, 16 }, { 0, 56, 0 },
	  { { 56, 1, 200 }, { 57, 1, NONE }, { 16, 256, 256 } } },
	{ "blocks of two lengths", "0-511", { 64, 128 }, { 0, 128, 0 },
	  { { 64, 1, 0 }, { 65, 1, 256 }, { 129, 1, NONE } } },
	{ "pages at walls", "0,15-16,255-256,511", { 16, 16 }, { 0, 1, 0 },
	  { { 1, 1, 0 }, { 2, 1, NONE } } },
};

KUNIT_ARRAY_PARAM_DESC(find, find_cases, name);

static struct palloc_chunk *find_chunk(struct kunit *test,
				       const struct find_case *row)
{
	struct palloc_chunk *c = new_chunk(test);
	struct palloc_bits free;

	parse(test, &free, row->free);
	bitmap_complement(c->data.alloc.b, free.b, PAGES);
	c->block_pages[0] = row->block[0];
	c->block_pages[1] = row->block[1];
	return c;
}

static void pallocbits_summarize(struct kunit *test)
{
	const struct find_case *row = test->param_value;
	struct palloc_chunk *c = find_chunk(test, row);

	expect_sum(test, palloc_summarize(c), row->sum, row->name);

	/* What was not grown has nothing free. */
	c->ready = false;
	KUNIT_EXPECT_EQ(test, palloc_summarize(c), 0);
}

static void pallocbits_find(struct kunit *test)
{
	const struct find_case *row = test->param_value;
	struct palloc_chunk *c = find_chunk(test, row);
	u32 want = find_first_zero_bit(c->data.alloc.b, PAGES);

	if (want == PAGES)
		want = NONE;
	for (u32 k = 0; k < ARRAY_SIZE(row->find) && row->find[k].n; k++) {
		u32 n = row->find[k].n, align = row->find[k].align;
		u32 at = row->find[k].at, first;

		KUNIT_EXPECT_EQ_MSG(test, palloc_find_aligned(c, n, align),
				    at, "%u pages, aligned to %u", n, align);
		if (align > 1)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, palloc_find(c, n, 0, &first), at,
				    "%u pages", n);
		KUNIT_EXPECT_EQ_MSG(test, first, want, "%u pages", n);
		if (want == NONE)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, palloc_find(c, n, want, &first), at,
				    "%u pages from the first free one", n);
		KUNIT_EXPECT_EQ_MSG(test, first, want,
				    "%u pages from the first free one", n);
	}
}

/*
 * What can be given back: looks at [lo, hi) in units of @min for a run of at
 * most @max, and where it is found; @idle is how many pages of [lo, hi) can go.
 */
static const struct candidate_case {
	const char *name;
	const char *used, *scavenged;
	struct {
		u32 lo, hi, min, max, at, n, idle;
	} look[6];
} candidate_cases[] = {
	{ "all of it", "", "",
	  { { 0, 512, 1, 512, 0, 512, 512 }, { 0, 512, 64, 512, 0, 512, 512 },
	    { 0, 512, 256, 512, 0, 512, 512 }, { 0, 512, 1, 10, 502, 10, 512 },
	    { 0, 512, 16, 10, 496, 16, 512 },
	    { 0, 512, 256, 0, 256, 256, 512 } } },
	{ "in use", "0-511", "",
	  { { 0, 512, 1, 512, NONE, 0, 0 }, { 0, 512, 64, 1, NONE, 0, 0 } } },
	{ "scavenged", "", "0-511",
	  { { 0, 512, 1, 512, NONE, 0, 0 }, { 0, 512, 256, 1, NONE, 0, 0 } } },
	{ "in use or scavenged", "0-99,300-511", "100-299",
	  { { 0, 512, 1, 512, NONE, 0, 0 }, { 0, 512, 2, 512, NONE, 0, 0 } } },
	{ "in use and scavenged", "0-300", "200-400",
	  { { 0, 512, 1, 512, 401, 111, 111 }, { 0, 401, 1, 512, NONE, 0, 0 },
	    { 0, 512, 32, 512, 416, 96, 96 },
	    { 0, 512, 256, 512, NONE, 0, 0 } } },
	{ "the lowest page", "1-511", "",
	  { { 0, 512, 1, 512, 0, 1, 1 }, { 0, 512, 2, 512, NONE, 0, 0 },
	    { 1, 512, 1, 512, NONE, 0, 0 }, { 0, 1, 1, 1, 0, 1, 1 } } },
	{ "the highest page", "0-510", "",
	  { { 0, 512, 1, 512, 511, 1, 1 }, { 0, 511, 1, 512, NONE, 0, 0 },
	    { 511, 512, 1, 512, 511, 1, 1 },
	    { 0, 512, 2, 512, NONE, 0, 0 } } },
	{ "every other page", "0-511:1/2", "",
	  { { 0, 512, 1, 512, 511, 1, 256 }, { 0, 512, 2, 512, NONE, 0, 0 },
	    { 0, 101, 1, 512, 99, 1, 50 } } },
	{ "every other pair", "0-511:2/4", "",
	  { { 0, 512, 1, 512, 510, 2, 256 }, { 0, 512, 2, 512, 510, 2, 256 },
	    { 0, 512, 1, 1, 511, 1, 256 }, { 0, 512, 4, 512, NONE, 0, 0 },
	    { 0, 511, 2, 512, 506, 2, 254 } } },
	{ "pairs that are not aligned", "0,3-4,7-8,11-511", "",
	  { { 0, 512, 1, 512, 9, 2, 6 }, { 0, 512, 2, 512, NONE, 0, 0 },
	    { 0, 10, 1, 512, 9, 1, 5 } } },
	{ "every other eight", "", "0-511:8/16",
	  { { 0, 512, 8, 512, 504, 8, 256 }, { 0, 512, 4, 4, 508, 4, 256 },
	    { 0, 512, 16, 512, NONE, 0, 0 } } },
	{ "every other word", "", "0-511:64/128",
	  { { 0, 512, 64, 512, 448, 64, 256 }, { 0, 512, 1, 512, 448, 64, 256 },
	    { 0, 512, 128, 512, NONE, 0, 0 },
	    { 65, 512, 64, 512, 448, 64, 192 },
	    { 0, 448, 32, 32, 352, 32, 192 } } },
	{ "cut to units", "0-2,20,100-511", "",
	  { { 0, 512, 1, 512, 21, 79, 96 }, { 0, 512, 2, 512, 22, 78, 94 },
	    { 0, 512, 4, 512, 24, 76, 92 }, { 0, 512, 8, 512, 24, 72, 80 },
	    { 0, 512, 16, 512, 32, 64, 64 }, { 0, 512, 64, 64, NONE, 0, 0 } } },
	{ "over words", "0-60,450-511", "",
	  { { 0, 512, 1, 512, 61, 389, 389 }, { 0, 512, 1, 100, 350, 100, 389 },
	    { 0, 512, 32, 512, 64, 384, 384 },
	    { 0, 512, 64, 65, 320, 128, 384 },
	    { 0, 512, 128, 512, 128, 256, 256 },
	    { 0, 512, 256, 512, NONE, 0, 0 } } },
	{ "longer than a word wants", "0-63,128-511", "",
	  { { 0, 512, 1, 64, 64, 64, 64 }, { 0, 512, 1, 63, 65, 63, 64 },
	    { 0, 512, 64, 1, 64, 64, 64 }, { 0, 512, 128, 1, NONE, 0, 0 } } },
	{ "halves", "255", "",
	  { { 0, 512, 256, 512, 256, 256, 256 }, { 0, 256, 1, 512, 0, 255, 255 },
	    { 0, 256, 128, 512, 0, 128, 128 },
	    { 0, 256, 256, 512, NONE, 0, 0 },
	    { 256, 512, 256, 1, 256, 256, 256 } } },
	{ "inside a range", "", "",
	  { { 100, 200, 1, 512, 100, 100, 100 },
	    { 100, 200, 8, 512, 104, 96, 96 },
	    { 100, 200, 64, 512, 128, 64, 64 },
	    { 100, 200, 128, 512, NONE, 0, 0 },
	    { 130, 131, 1, 9, 130, 1, 1 }, { 70, 120, 1, 9, 111, 9, 50 } } },
	{ "an empty range", "", "",
	  { { 0, 0, 1, 512, NONE, 0, 0 }, { 64, 64, 1, 512, NONE, 0, 0 },
	    { 512, 512, 16, 1, NONE, 0, 0 } } },
};

KUNIT_ARRAY_PARAM_DESC(candidate, candidate_cases, name);

static void pallocbits_candidate(struct kunit *test)
{
	const struct candidate_case *row = test->param_value;
	struct palloc_chunk *c = new_chunk(test);

	parse(test, &c->data.alloc, row->used);
	parse(test, &c->data.scavenged, row->scavenged);
	for (u32 k = 0; k < ARRAY_SIZE(row->look) && row->look[k].min; k++) {
		u32 lo = row->look[k].lo, hi = row->look[k].hi, n = 0;
		u32 min = row->look[k].min, max = row->look[k].max;

		KUNIT_EXPECT_EQ_MSG(test,
				    palloc_find_scavenge_candidate(c, lo, hi,
								   min, max,
								   &n),
				    row->look[k].at, "look %u", k);
		KUNIT_EXPECT_EQ_MSG(test, n, row->look[k].n, "look %u", k);
		KUNIT_EXPECT_EQ_MSG(test, palloc_count_idle(c, lo, hi, min),
				    row->look[k].idle, "look %u", k);

		/* Nothing of a chunk that was not grown. */
		c->ready = false;
		n = 0;
		KUNIT_EXPECT_EQ(test,
				palloc_find_scavenge_candidate(c, lo, hi, min,
							       max, &n), NONE);
		KUNIT_EXPECT_EQ(test, n, 0);
		KUNIT_EXPECT_EQ(test, palloc_count_idle(c, lo, hi, min), 0);
		c->ready = true;
	}
}

/* Summaries of neighbours. A whole entry has 2^log pages. */
static const struct merge_case {
	const char *name;
	u32 log, n;
	struct sum sums[8];
	struct sum want;
} merge_cases[] = {
	{ "one", 9, 1, { { 3, 7, 5 } }, { 3, 7, 5 } },
	{ "nothing", 9, 8, {}, {} },
	{ "all", 9, 2, { { 512, 512, 512 }, { 512, 512, 512 } },
	  { 1024, 1024, 1024 } },
	{ "max of the first", 9, 2, { { 0, 99, 0 }, { 0, 98, 0 } },
	  { 0, 99, 0 } },
	{ "max of the last", 9, 2, { { 0, 97, 0 }, { 0, 98, 0 } },
	  { 0, 98, 0 } },
	{ "joined", 9, 2, { { 1, 60, 60 }, { 50, 50, 3 } }, { 1, 110, 3 } },
	{ "joined, but not longest", 9, 2, { { 1, 90, 4 }, { 5, 5, 3 } },
	  { 1, 90, 3 } },
	{ "joined over a whole one", 9, 3,
	  { { 0, 9, 9 }, { 512, 512, 512 }, { 8, 8, 1 } }, { 0, 529, 1 } },
	{ "beginning goes on", 9, 3,
	  { { 512, 512, 512 }, { 512, 512, 512 }, { 7, 7, 0 } },
	  { 1031, 1031, 0 } },
	{ "beginning is cut", 9, 3,
	  { { 512, 512, 512 }, { 0, 1, 0 }, { 512, 512, 512 } },
	  { 512, 512, 512 } },
	{ "end goes back", 9, 3,
	  { { 0, 0, 0 }, { 0, 6, 6 }, { 512, 512, 512 } }, { 0, 518, 518 } },
	{ "walls", 9, 3, { { 0, 256, 0 }, { 512, 512, 512 }, { 0, 256, 0 } },
	  { 0, 512, 0 } },
	{ "a wall above", 9, 2, { { 256, 256, 0 }, { 512, 512, 512 } },
	  { 256, 512, 512 } },
	{ "a root entry", 18, 8,
	  { { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) } },
	  { BIT(21), BIT(21), BIT(21) } },
	{ "a root entry less a page", 18, 8,
	  { { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) }, { BIT(18), BIT(18), BIT(18) },
	    { BIT(18), BIT(18), BIT(18) },
	    { BIT(18) - 1, BIT(18) - 1, 0 } },
	  { BIT(21) - 1, BIT(21) - 1, 0 } },
};

KUNIT_ARRAY_PARAM_DESC(merge, merge_cases, name);

static void pallocbits_merge(struct kunit *test)
{
	const struct merge_case *row = test->param_value;
	pallocsum sums[8];

	for (u32 i = 0; i < row->n; i++)
		sums[i] = pallocsum_pack(row->sums[i].start, row->sums[i].max,
					 row->sums[i].end);
	expect_sum(test, pallocsum_merge(sums, row->n, row->log), row->want,
		   row->name);
}

/* What is packed comes out again, and 0 means that nothing is free. */
static void pallocbits_pack(struct kunit *test)
{
	static const struct sum sums[] = {
		{ 0, 0, 0 }, { 0, 1, 0 }, { 1, 1, 0 }, { 0, 1, 1 },
		{ 1, 3, 2 }, { 512, 512, 512 }, { 0, BIT(21) - 1, 0 },
		{ BIT(21) - 1, BIT(21) - 1, 0 },
		{ 0, BIT(21) - 1, BIT(21) - 1 }, { BIT(21), BIT(21), BIT(21) },
	};

	for (u32 i = 0; i < ARRAY_SIZE(sums); i++) {
		pallocsum sum = pallocsum_pack(sums[i].start, sums[i].max,
					       sums[i].end);

		expect_sum(test, sum, sums[i], "packed");
		KUNIT_EXPECT_EQ(test, !sum, !sums[i].max);
	}
	KUNIT_EXPECT_EQ(test, pallocsum_pack(BIT(21), BIT(21), BIT(21)),
			PALLOCSUM_ALL_FREE);
}

/* A chunk and its slow twin, in random use. */
struct twin {
	struct palloc_chunk *c;
	struct slow *s;
	struct rnd_state rnd;
};

static u32 below(struct rnd_state *rnd, u32 n)
{
	return prandom_u32_state(rnd) % n;
}

static struct twin *new_twin(struct kunit *test)
{
	struct twin *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	ulong seed = pallocbits_seed ?: get_random_u32() | 1;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->c = new_chunk(test);
	t->s = kunit_kzalloc(test, sizeof(*t->s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->s);
	prandom_seed_state(&t->rnd, seed);
	kunit_info(test, "pallocbits_seed=%lu\n", seed);
	return t;
}

static void random_range(struct rnd_state *rnd, u32 *i, u32 *n)
{
	/* Short ones and those that end with a word as often as any. */
	switch (below(rnd, 4)) {
	case 0:
		*i = below(rnd, PAGES);
		*n = 1 + below(rnd, min_t(u32, PAGES - *i, 8));
		break;
	case 1:
		*i = below(rnd, PAGES / 64) * 64;
		*n = 64 * (1 + below(rnd, (PAGES - *i) / 64));
		break;
	default:
		*i = below(rnd, PAGES);
		*n = 1 + below(rnd, PAGES - *i);
	}
}

static u32 random_block(struct rnd_state *rnd)
{
	static const u32 blocks[] = { 0, 0, 16, 32, 64, 128, 256 };

	return blocks[below(rnd, ARRAY_SIZE(blocks))];
}

static void random_fill(struct twin *t)
{
	u32 some = 1 + below(&t->rnd, 12), i, n;
	bool used = below(&t->rnd, 2);

	/* Ranges of one kind on the other, or single pages. */
	memset(t->s->used, used, PAGES);
	if (below(&t->rnd, 4)) {
		while (some--) {
			random_range(&t->rnd, &i, &n);
			memset(&t->s->used[i], !used, n);
		}
	} else {
		for (i = 0; i < PAGES; i++)
			t->s->used[i] = used ^ !below(&t->rnd, some);
	}
	for (i = 0; i < 2; i++) {
		t->s->block[i] = random_block(&t->rnd);
		t->c->block_pages[i] = t->s->block[i];
	}
	for (i = 0; i < PAGES; i++)
		__assign_bit(i, t->c->data.alloc.b, t->s->used[i]);
}

static void pallocbits_random_find(struct kunit *test)
{
	struct twin *t = new_twin(test);

	for (u32 round = 0; round < 4000; round++) {
		struct palloc_chunk *c = t->c;
		u32 want_first, n, align, first, want, got;

		random_fill(t);
		expect_sum(test, palloc_summarize(c), slow_summary(t->s),
			   "random");
		for (u32 i = 0; i <= PAGES; i++)
			KUNIT_EXPECT_EQ(test, palloc_wall(c, i),
					slow_wall(t->s, i));

		want_first = slow_first_free(t->s);
		for (u32 k = 0; k < 4; k++) {
			n = 1 + below(&t->rnd, k & 1 ? 64 : PAGES);
			want = slow_find(t->s, n, 1);
			got = palloc_find(c, n, 0, &first);
			KUNIT_EXPECT_EQ_MSG(test, got, want, "%u pages", n);
			KUNIT_EXPECT_EQ(test, first, want_first);
			if (want_first != NONE) {
				got = palloc_find(c, n, want_first, &first);
				KUNIT_EXPECT_EQ_MSG(test, got, want,
						    "%u pages from %u", n,
						    want_first);
			}

			align = 1U << below(&t->rnd, 10);
			KUNIT_EXPECT_EQ_MSG(test,
					    palloc_find_aligned(c, n, align),
					    slow_find(t->s, n, align),
					    "%u pages, aligned to %u", n,
					    align);
		}
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "round %u, in use %*pbl, blocks %u %u\n",
				   round, PAGES, c->data.alloc.b,
				   c->block_pages[0], c->block_pages[1]);
			return;
		}
	}
}

static void pallocbits_random_candidate(struct kunit *test)
{
	struct twin *t = new_twin(test);

	for (u32 round = 0; round < 4000; round++) {
		struct palloc_chunk *c = t->c;

		random_fill(t);
		memcpy(t->s->scavenged, t->s->used, PAGES);
		random_fill(t);
		for (u32 i = 0; i < PAGES; i++)
			__assign_bit(i, c->data.scavenged.b,
				     t->s->scavenged[i]);

		for (u32 k = 0; k < 4; k++) {
			u32 min = 1U << below(&t->rnd, 9), n = 0, want_n, idle;
			u32 max = below(&t->rnd, 2 * PAGES), want, got;
			u32 lo = 0, hi = PAGES;

			if (k) {
				lo = below(&t->rnd, PAGES + 1);
				hi = lo + below(&t->rnd, PAGES + 1 - lo);
			}
			want = slow_candidate(t->s, lo, hi, min, max, &want_n,
					      &idle);
			got = palloc_find_scavenge_candidate(c, lo, hi, min,
							     max, &n);
			KUNIT_EXPECT_EQ_MSG(test, got, want,
					    "%u to %u pages in [%u, %u)", min,
					    max, lo, hi);
			KUNIT_EXPECT_EQ_MSG(test, n, want_n,
					    "%u to %u pages in [%u, %u)", min,
					    max, lo, hi);
			KUNIT_EXPECT_EQ_MSG(test,
					    palloc_count_idle(c, lo, hi, min),
					    idle, "units of %u in [%u, %u)",
					    min, lo, hi);
		}
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "round %u, in use %*pbl, scavenged %*pbl\n",
				   round, PAGES, c->data.alloc.b, PAGES,
				   c->data.scavenged.b);
			return;
		}
	}
}

static u32 slow_set(u8 *bytes, u32 i, u32 n, u8 to)
{
	u32 changed = 0;

	for (u32 k = i; k < i + n; k++) {
		changed += bytes[k] != to;
		bytes[k] = to;
	}
	return changed;
}

static u32 slow_count(const u8 *bytes, u32 i, u32 n)
{
	u32 count = 0;

	for (u32 k = i; k < i + n; k++)
		count += bytes[k];
	return count;
}

static void pallocbits_random_use(struct kunit *test)
{
	struct twin *t = new_twin(test);
	struct palloc_chunk *c = t->c;
	struct slow *s = t->s;

	for (u32 step = 0; step < 20000; step++) {
		u32 op = below(&t->rnd, 5), got = 0, want = 0, i, n;
		struct palloc_bits used, scavenged;

		random_range(&t->rnd, &i, &n);
		switch (op) {
		case 0:
			got = palloc_alloc_range(c, i, n);
			slow_set(s->used, i, n, 1);
			want = slow_set(s->scavenged, i, n, 0);
			break;
		case 1:
			palloc_free_range(c, i, n);
			slow_set(s->used, i, n, 0);
			break;
		case 2:
			got = palloc_scavenged_set(c, i, n);
			want = slow_set(s->scavenged, i, n, 1);
			break;
		case 3:
			got = palloc_scavenged_clear(c, i, n);
			want = slow_set(s->scavenged, i, n, 0);
			break;
		case 4:
			got = palloc_scavenged_count(c, i, n);
			want = slow_count(s->scavenged, i, n);
			KUNIT_EXPECT_EQ(test, slow_count(s->used, i, n),
					palloc_bits_popcount(&c->data.alloc, i,
							     n));
			break;
		}
		KUNIT_ASSERT_EQ_MSG(test, got, want,
				    "step %u: operation %u on %u+%u", step, op,
				    i, n);

		for (u32 k = 0; k < PAGES; k++) {
			__assign_bit(k, used.b, s->used[k]);
			__assign_bit(k, scavenged.b, s->scavenged[k]);
		}
		expect_bits(test, &c->data.alloc, &used, "pages in use");
		expect_bits(test, &c->data.scavenged, &scavenged,
			    "scavenged pages");
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "step %u: operation %u on %u+%u\n",
				   step, op, i, n);
			return;
		}
	}
}

static struct kunit_case pallocbits_cases[] = {
	KUNIT_CASE_PARAM(pallocbits_ranges, range_gen_params),
	KUNIT_CASE_PARAM(pallocbits_summarize, find_gen_params),
	KUNIT_CASE_PARAM(pallocbits_find, find_gen_params),
	KUNIT_CASE_PARAM(pallocbits_candidate, candidate_gen_params),
	KUNIT_CASE_PARAM(pallocbits_merge, merge_gen_params),
	KUNIT_CASE(pallocbits_pack),
	KUNIT_CASE_SLOW(pallocbits_random_find),
	KUNIT_CASE_SLOW(pallocbits_random_candidate),
	KUNIT_CASE_SLOW(pallocbits_random_use),
	{}
};

static struct kunit_suite pallocbits_suite = {
	.name = "goalloc_pallocbits",
	.test_cases = pallocbits_cases,
};

kunit_test_suite(pallocbits_suite);

GOALLOC_KUNIT_IMPORT;
