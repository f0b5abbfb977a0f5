// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bitmaps of a chunk, and summaries of them: see pallocbits.h.
 *
 * Both the summary and the search read the eight words of the bitmap once, and
 * carry the length of the run that reaches the end of a word over to the next
 * one. What happens at the two ends of a word is counting zeros; runs inside
 * a word are found by shifting the word over itself, so that neither depends
 * on how many runs there are. A wall between two words ends the run that was
 * carried. Blocks shorter than a word have their walls inside of it, and are
 * taken one by one.
 */
#include <linux/bitops.h>
#include <linux/math.h>
#include <linux/minmax.h>

#include "compat.h"
#include "pallocbits.h"

#define PALLOC_WORDS	(PALLOC_CHUNK_PAGES / BITS_PER_LONG)

static_assert(BITS_PER_LONG == 64);

/* No beginning seen yet. */
#define START_UNSET	(~0U)

/*
 * Which bits of @free have @n - 1 more set bits right above them. A run of
 * a + b is one of a with one of b right above its beginning, so the length at
 * hand doubles with each step.
 */
static unsigned long runs_of(unsigned long free, u32 n)
{
	u32 have = 1;

	while (free && have < n) {
		u32 step = min(have, n - have);

		free &= free >> step;
		have += step;
	}
	return free;
}

/* The longest run of set bits in @free, if it is above @max; else @max. */
static u32 longest_run(unsigned long free, u32 max)
{
	unsigned long runs;

	if (max >= BITS_PER_LONG)
		return max;
	for (runs = runs_of(free, max + 1); runs; runs &= runs >> 1)
		max++;
	return max;
}

/* The block length around page @i if it is below a word's, or 0. */
static u32 short_block(const struct palloc_chunk *c, u32 i)
{
	u32 block = c->block_pages[i / PALLOC_HALF_PAGES];

	return block < BITS_PER_LONG ? block : 0;
}

/**
 * palloc_wall() - Is there a wall below a page?
 * @c: the chunk
 * @i: the page, 0 to PALLOC_CHUNK_PAGES; the last means behind the chunk
 *
 * Of the walls at the two ends of a chunk it knows the chunk's own: the
 * neighbour may have one where this chunk has none.
 *
 * Context: Any; lock held.
 * Return: true if no run may hold both page @i - 1 and page @i.
 */
bool palloc_wall(const struct palloc_chunk *c, u32 i)
{
	u32 above, below;

	below = i ? c->block_pages[(i - 1) / PALLOC_HALF_PAGES] : 0;
	above = i < PALLOC_CHUNK_PAGES ?
		c->block_pages[i / PALLOC_HALF_PAGES] : 0;

	/* Lengths are powers of two that divide a half. */
	return (below && !(i & (below - 1))) || (above && !(i & (above - 1)));
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_wall);

/**
 * palloc_summarize() - Make the summary of a chunk from its bits
 * @c: the chunk
 *
 * After pallocBits.summarize() of Go's mpallocbits.go.
 *
 * Context: Any; lock held. Reads the bits once.
 * Return: the summary, in heap pages; 0 of a chunk that is not ready.
 */
pallocsum palloc_summarize(const struct palloc_chunk *c)
{
	u32 start = START_UNSET, max = 0, run = 0, block = 0, mask = ~0U;

	if (!c->ready || bitmap_full(c->data.alloc.b, PALLOC_CHUNK_PAGES))
		return 0;

	for (u32 i = 0; i < PALLOC_CHUNK_PAGES; i += BITS_PER_LONG) {
		unsigned long used = c->data.alloc.b[i / BITS_PER_LONG];
		bool wall = !(i & mask);

		/* A half's blocks are the same in all of its words. */
		if (!(i & (PALLOC_HALF_PAGES - 1))) {
			wall = block;
			block = c->block_pages[i / PALLOC_HALF_PAGES];
			wall |= block;
			mask = block - 1;	/* without blocks no index */
		}
		if (wall || !~used) {
			max = max(max, run);
			if (start == START_UNSET)
				start = run;
			run = 0;
			if (!~used)
				continue;
		}
		if (!used && mask >= BITS_PER_LONG - 1) {
			run += BITS_PER_LONG;
			continue;
		}

		if (mask < BITS_PER_LONG - 1) {
			/* Walled in on both sides: only max is of interest. */
			for (u32 at = 0; at < BITS_PER_LONG; at += block)
				max = longest_run((~used >> at) &
						  GENMASK(block - 1, 0), max);
			continue;
		}

		run += __ffs(used);
		if (start == START_UNSET)
			start = run;
		max = max(max, run);
		/* Both ends count first: what is longer in between is seldom there. */
		run = BITS_PER_LONG - 1 - __fls(used);
		max = longest_run(~used, max(max, run));
	}

	max = max(max, run);
	if (start == START_UNSET)
		start = run;
	/* A wall behind the chunk. */
	return pallocsum_pack(start, max, block ? 0 : run);
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_summarize);

/**
 * palloc_find() - Find the lowest free run in a chunk
 * @c: the chunk
 * @npages: length of the run in heap pages, 1 to PALLOC_CHUNK_PAGES
 * @search_idx: where to begin; no page below it is free
 * @first_free: where to put the index of the lowest free page
 *
 * *@first_free is PALLOC_NONE if no page is free. When a run is found it is
 * the search_idx of the next search, until a page below it is freed.
 *
 * After pallocBits.find() of Go's mpallocbits.go.
 *
 * Context: Any; lock held.
 * Return: the index of the run's first page, or PALLOC_NONE.
 */
u32 palloc_find(const struct palloc_chunk *c, u32 npages, u32 search_idx,
		u32 *first_free)
{
	u32 run = 0;

	*first_free = PALLOC_NONE;
	for (u32 i = round_down(search_idx, BITS_PER_LONG);
	     i < PALLOC_CHUNK_PAGES; i += BITS_PER_LONG) {
		unsigned long used = c->data.alloc.b[i / BITS_PER_LONG];
		u32 block = short_block(c, i);
		unsigned long runs;
		u32 lead;

		if (!~used) {
			run = 0;
			continue;
		}
		if (*first_free == PALLOC_NONE)
			*first_free = i + __ffs(~used);

		if (block) {
			run = 0;
			if (npages > block)
				continue;
			for (u32 at = 0; at < BITS_PER_LONG; at += block) {
				runs = runs_of((~used >> at) &
					       GENMASK(block - 1, 0), npages);
				if (runs)
					return i + at + __ffs(runs);
			}
			continue;
		}

		if (palloc_wall(c, i))
			run = 0;
		lead = used ? __ffs(used) : BITS_PER_LONG;
		if (run + lead >= npages)
			return i - run;
		if (!used) {
			run += BITS_PER_LONG;
			continue;
		}
		if (npages < BITS_PER_LONG) {
			runs = runs_of(~used, npages);
			if (runs)
				return i + __ffs(runs);
		}
		run = BITS_PER_LONG - 1 - __fls(used);
	}
	return PALLOC_NONE;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_find);

/* The lowest bit of each unit of a word, by log2 of its length. */
static const unsigned long lowest_bits[] = {
	~0UL / 0x1, ~0UL / 0x3, ~0UL / 0xf, ~0UL / 0xff, ~0UL / 0xffff,
	~0UL / 0xffffffff, 1,
};

/**
 * palloc_find_aligned() - Find the lowest free run at an aligned index
 * @c: the chunk
 * @npages: length of the run in heap pages, 1 to PALLOC_CHUNK_PAGES
 * @align_pages: its index is to be a multiple of this power of two
 *
 * As palloc_find(), and as independent of how many runs there are.
 *
 * Context: Any; lock held.
 * Return: the index of the run's first page, or PALLOC_NONE.
 */
u32 palloc_find_aligned(const struct palloc_chunk *c, u32 npages,
			u32 align_pages)
{
	u32 run = 0;

	for (u32 i = 0; i < PALLOC_CHUNK_PAGES; i += BITS_PER_LONG) {
		unsigned long used = c->data.alloc.b[i / BITS_PER_LONG];
		u32 block = short_block(c, i);
		unsigned long runs, aligned;
		u32 lead, at;

		if (!~used) {
			run = 0;
			continue;
		}
		if (align_pages <= BITS_PER_LONG)
			aligned = lowest_bits[__ffs(align_pages)];
		else
			aligned = IS_ALIGNED(i, align_pages);

		if (block) {
			run = 0;
			if (npages > block)
				continue;
			for (at = 0; at < BITS_PER_LONG; at += block) {
				runs = runs_of((~used >> at) &
					       GENMASK(block - 1, 0), npages);
				runs &= aligned >> at;
				if (runs)
					return i + at + __ffs(runs);
			}
			continue;
		}

		if (palloc_wall(c, i))
			run = 0;
		lead = used ? __ffs(used) : BITS_PER_LONG;
		at = round_up(i - run, align_pages);
		if (at + npages <= i + lead)
			return at;
		if (!used) {
			run += BITS_PER_LONG;
			continue;
		}
		if (npages < BITS_PER_LONG) {
			runs = runs_of(~used, npages) & aligned;
			if (runs)
				return i + __ffs(runs);
		}
		run = BITS_PER_LONG - 1 - __fls(used);
	}
	return PALLOC_NONE;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_find_aligned);

/**
 * palloc_bits_popcount() - Count the set bits of a range
 * @bits: the bitmap
 * @i: first index
 * @n: length of the range, at least 1
 *
 * After pageBits.popcntRange() of Go's mpallocbits.go.
 *
 * Context: Any; lock held.
 * Return: how many bits of the range are set.
 */
u32 palloc_bits_popcount(const struct palloc_bits *bits, u32 i, u32 n)
{
	u32 last = i + n - 1;
	u32 word = i / BITS_PER_LONG;
	unsigned long mask = BITMAP_FIRST_WORD_MASK(i);
	u32 count = 0;

	for (; word < last / BITS_PER_LONG; word++) {
		count += hweight_long(bits->b[word] & mask);
		mask = ~0UL;
	}
	mask &= BITMAP_LAST_WORD_MASK(last + 1);
	return count + hweight_long(bits->b[word] & mask);
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_bits_popcount);

/**
 * palloc_alloc_range() - Take a range of pages, which become backed
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * After pallocData.allocRange() of Go's mpallocbits.go.
 *
 * Context: Any; lock held. The caller updates the summaries.
 * Return: how many of the pages were scavenged.
 */
u32 palloc_alloc_range(struct palloc_chunk *c, u32 i, u32 n)
{
	palloc_bits_set(&c->data.alloc, i, n);
	return palloc_scavenged_clear(c, i, n);
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_alloc_range);

/**
 * palloc_free_range() - Give a range of pages back, backed as they are
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * After pallocBits.free() of Go's mpallocbits.go.
 *
 * Context: Any; lock held. The caller updates the summaries.
 */
void palloc_free_range(struct palloc_chunk *c, u32 i, u32 n)
{
	palloc_bits_clear(&c->data.alloc, i, n);
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_free_range);

/**
 * palloc_scavenged_set() - Mark a range of pages as not backed
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held.
 * Return: how many of the pages were not marked before.
 */
u32 palloc_scavenged_set(struct palloc_chunk *c, u32 i, u32 n)
{
	u32 had = palloc_scavenged_count(c, i, n);

	if (had < n)
		palloc_bits_set(&c->data.scavenged, i, n);
	return n - had;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_scavenged_set);

/**
 * palloc_scavenged_clear() - Mark a range of pages as backed
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held.
 * Return: how many of the pages were marked as not backed before.
 */
u32 palloc_scavenged_clear(struct palloc_chunk *c, u32 i, u32 n)
{
	u32 had = palloc_scavenged_count(c, i, n);

	if (had)
		palloc_bits_clear(&c->data.scavenged, i, n);
	return had;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_scavenged_clear);

/**
 * palloc_scavenged_count() - Count the pages of a range that are not backed
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held.
 * Return: how many of the pages are marked as not backed.
 */
u32 palloc_scavenged_count(const struct palloc_chunk *c, u32 i, u32 n)
{
	return palloc_bits_popcount(&c->data.scavenged, i, n);
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_scavenged_count);

/*
 * @x with each unit of @unit bits, a power of two up to a word's, that has a
 * bit set filled: each bit is spread downwards to the lowest one of its unit,
 * and from there a multiplication makes a whole unit of it again.
 */
static unsigned long fill_units(unsigned long x, u32 unit)
{
	if (unit == 1)
		return x;
	for (u32 shift = 1; shift < unit; shift <<= 1)
		x |= x >> shift;
	return (x & lowest_bits[__ffs(unit)]) * GENMASK(unit - 1, 0);
}

/* Which pages of a word are in use, scavenged, or outside [lo, hi). */
static unsigned long busy_pages(const struct palloc_chunk *c, u32 word, u32 lo,
				u32 hi)
{
	unsigned long x = c->data.alloc.b[word] | c->data.scavenged.b[word];
	u32 i = word * BITS_PER_LONG;

	if (i < lo)
		x |= i + BITS_PER_LONG <= lo ? ~0UL : GENMASK(lo - i - 1, 0);
	if (i + BITS_PER_LONG > hi)
		x |= i >= hi ? ~0UL : ~0UL << (hi - i);
	return x;
}

/* As busy_pages(), and their whole units with them. */
static unsigned long busy_units(const struct palloc_chunk *c, u32 word, u32 lo,
				u32 hi, u32 unit)
{
	u32 words = unit / BITS_PER_LONG;

	if (unit <= BITS_PER_LONG)
		return fill_units(busy_pages(c, word, lo, hi), unit);
	for (u32 w = round_down(word, words); words; w++, words--)
		if (busy_pages(c, w, lo, hi))
			return ~0UL;
	return 0;
}

/**
 * palloc_find_scavenge_candidate() - Find the highest run that can be given back
 * @c: the chunk
 * @lo: first page of the range to look at
 * @hi: the page behind it, up to PALLOC_CHUNK_PAGES
 * @min: in heap pages, the unit in which memory is given back: a power of two
 *	up to PALLOC_HALF_PAGES. The run begins and ends at a multiple of it
 * @max: in heap pages, the longest run that is wanted, rounded up to @min
 * @n: where to put the length of the run; not written when there is none
 *
 * A run longer than @max is answered by its upper end. Walls are not looked
 * at: each page is backed by itself or by its block, and a run that crosses a
 * wall is given back in parts.
 *
 * After pallocData.findScavengeCandidate() and fillAligned() of Go's
 * mgcscavenge.go, without their care for huge pages.
 *
 * Context: Any; lock held.
 * Return: the index of the run's first page, or PALLOC_NONE; nothing of a
 * chunk that is not ready.
 */
u32 palloc_find_scavenge_candidate(const struct palloc_chunk *c, u32 lo, u32 hi,
				   u32 min, u32 max, u32 *n)
{
	u32 word, end, run;
	unsigned long busy;

	if (!c->ready || lo >= hi)
		return PALLOC_NONE;
	max = max ? round_up(min(max, PALLOC_CHUNK_PAGES), min) : min;

	for (word = DIV_ROUND_UP(hi, BITS_PER_LONG); word--;) {
		busy = busy_units(c, word, lo, hi, min);
		if (~busy)
			break;
		if (word * BITS_PER_LONG <= lo)
			return PALLOC_NONE;
	}

	end = word * BITS_PER_LONG + __fls(~busy) + 1;
	/* What is above the run must not end it. */
	if (end % BITS_PER_LONG)
		busy &= GENMASK(end % BITS_PER_LONG - 1, 0);
	for (run = end % BITS_PER_LONG ?: BITS_PER_LONG; !busy && word && run < max;
	     run += BITS_PER_LONG)
		busy = busy_units(c, --word, lo, hi, min);
	if (busy)
		run -= __fls(busy) + 1;
	*n = min(run, max);
	return end - *n;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_find_scavenge_candidate);

/**
 * palloc_count_idle() - Count the pages that can be given back
 * @c: the chunk
 * @lo: first page of the range to look at
 * @hi: the page behind it, up to PALLOC_CHUNK_PAGES
 * @min: the unit, as for palloc_find_scavenge_candidate()
 *
 * Context: Any; lock held.
 * Return: how many heap pages of the range are in units that are inside it,
 * free and not scavenged; 0 of a chunk that is not ready.
 */
u32 palloc_count_idle(const struct palloc_chunk *c, u32 lo, u32 hi, u32 min)
{
	u32 count = 0;

	if (!c->ready)
		return 0;
	if (min == 1 && !lo && hi == PALLOC_CHUNK_PAGES) {
		for (u32 word = 0; word < PALLOC_CHUNK_PAGES / BITS_PER_LONG; word++)
			count += hweight_long(~(c->data.alloc.b[word] |
						c->data.scavenged.b[word]));
		return count;
	}
	for (u32 word = lo / BITS_PER_LONG;
	     word < DIV_ROUND_UP(hi, BITS_PER_LONG); word++)
		count += hweight_long(~busy_units(c, word, lo, hi, min));
	return count;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_count_idle);

/* The part of a word that is in [i, i + n). */
static unsigned long range_mask(u32 word, u32 i, u32 n)
{
	u32 first = word * BITS_PER_LONG;
	unsigned long mask = ~0UL;

	if (i > first)
		mask &= BITMAP_FIRST_WORD_MASK(i);
	if (i + n < first + BITS_PER_LONG)
		mask &= BITMAP_LAST_WORD_MASK(i + n);
	return mask;
}

/**
 * palloc_count_holes() - Count the holes of a range
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held.
 * Return: how many of the pages are holes.
 */
u32 palloc_count_holes(const struct palloc_chunk *c, u32 i, u32 n)
{
	u32 count = 0;

	for (u32 w = i / BITS_PER_LONG; w < DIV_ROUND_UP(i + n, BITS_PER_LONG); w++)
		count += hweight_long(c->data.alloc.b[w] & c->data.scavenged.b[w] &
				      range_mask(w, i, n));
	return count;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_count_holes);

/**
 * palloc_any_used() - Is a page of a range in use?
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held.
 * Return: true if one is, and is no hole.
 */
bool palloc_any_used(const struct palloc_chunk *c, u32 i, u32 n)
{
	for (u32 w = i / BITS_PER_LONG; w < DIV_ROUND_UP(i + n, BITS_PER_LONG); w++)
		if (c->data.alloc.b[w] & ~c->data.scavenged.b[w] & range_mask(w, i, n))
			return true;
	return false;
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_any_used);

/**
 * palloc_open_holes() - Make the holes of a range free pages, not backed
 * @c: the chunk
 * @i: first page
 * @n: length of the range, at least 1
 *
 * Context: Any; lock held. The caller updates the summaries.
 */
void palloc_open_holes(struct palloc_chunk *c, u32 i, u32 n)
{
	for (u32 w = i / BITS_PER_LONG; w < DIV_ROUND_UP(i + n, BITS_PER_LONG); w++)
		c->data.alloc.b[w] &= ~(c->data.scavenged.b[w] & range_mask(w, i, n));
}

GOALLOC_EXPORT_FOR_KUNIT(palloc_open_holes);

/**
 * pallocsum_merge() - Make one summary from those of neighbours
 * @sums: the summaries, by address
 * @n: how many there are, at least 1
 * @log_pages: log2 of the pages that each of them covers
 *
 * After mergeSummaries() of Go's mpagealloc.go.
 *
 * Context: Any; lock held if @sums is in a tree.
 * Return: the summary of all of them, in heap pages.
 */
pallocsum pallocsum_merge(const pallocsum *sums, u32 n, u32 log_pages)
{
	const u32 whole = 1U << log_pages;
	u32 start = START_UNSET, max = 0, run = 0;

	for (u32 i = 0; i < n; i++) {
		u32 lead, longest, trail;

		pallocsum_unpack(sums[i], &lead, &longest, &trail);
		run += lead;
		if (lead == whole)
			continue;
		if (start == START_UNSET)
			start = run;
		max = max3(max, run, longest);
		run = trail;
	}
	max = max(max, run);
	if (start == START_UNSET)
		start = run;
	return pallocsum_pack(start, max, run);
}

GOALLOC_EXPORT_FOR_KUNIT(pallocsum_merge);
