// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_scavenge: idle memory back to the system.
 *
 * Which pages go for how many bytes, on file heaps page by page and on kernel
 * heaps block by block and then page by page: from tables, and at random against
 * a plain array. Then the same with others at work in the heap, and what a soft
 * limit does. heap_kunit_check() looks at every page after it.
 *
 * Layouts are strings, a number and a letter for so many pages (of a linear
 * heap: blocks) of a kind:
 *
 *	U	in use, backed
 *	u	in use, not backed (of a linear heap: in use in part)
 *	B	idle, backed
 *	H	idle, backed, somebody has a reference
 *	.	idle, not backed
 *
 * Units: heap pages unless a name says bytes. The seed of random cases is
 * printed; the parameter scavenge_seed repeats a run.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/goalloc.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../goalloc/param.h"
#include "heap_kunit.h"
#include "sparse_kunit.h"

#define PAGE_BYTES	GOALLOC_PAGE_SIZE
#define ALL		GOALLOC_NO_LIMIT

static ulong scavenge_seed;
module_param(scavenge_seed, ulong, 0444);
MODULE_PARM_DESC(scavenge_seed, "seed of goalloc_scavenge, 0 for any");

static ulong seed_random(struct kunit *test, struct rnd_state *rnd)
{
	ulong seed = scavenge_seed ?: get_random_u32() | 1;

	prandom_seed_state(rnd, seed);
	kunit_info(test, "scavenge_seed=%lu\n", seed);
	return seed;
}

static void stop_failing(void *unused)
{
	goalloc_fail_nth(0);
}

static u64 request(struct goalloc_heap *heap, u64 bytes)
{
	return scavenge(heap, bytes, SCAVENGE_REQUEST);
}

#define LAYOUT_MAX	(3 * PALLOC_CHUNK_PAGES)

/* A layout written out: one letter a page. Returns how many there are. */
static u32 layout_expand(struct kunit *test, const char *layout, char *out)
{
	u32 len = 0;

	while (*layout) {
		u32 n = 0;

		while (isdigit(*layout))
			n = n * 10 + *layout++ - '0';
		n = n ?: 1;
		KUNIT_ASSERT_LE(test, len + n, LAYOUT_MAX);
		memset(out + len, *layout++, n);
		len += n;
	}
	out[len] = 0;
	return len;
}

/* And back, for people. */
static const char *layout_shrink(struct kunit *test, const char *in)
{
	char *out = kunit_kzalloc(test, 256, GFP_KERNEL);
	u32 len = 0, n;

	KUNIT_ASSERT_NOT_NULL(test, out);
	for (; *in && len < 240; in += n) {
		for (n = 1; in[n] == *in; n++)
			;
		if (n > 1)
			len += scnprintf(out + len, 256 - len, "%u", n);
		out[len++] = *in;
	}
	return out;
}

struct layout {
	struct goalloc_heap *heap;
	u32 n;				/* pages */
	char *want, *got;
	struct page **held;
};

static struct layout *layout_new(struct kunit *test)
{
	struct layout *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, l);
	l->want = kunit_kzalloc(test, LAYOUT_MAX + 1, GFP_KERNEL);
	l->got = kunit_kzalloc(test, LAYOUT_MAX + 1, GFP_KERNEL);
	l->held = kunit_kcalloc(test, LAYOUT_MAX, sizeof(*l->held), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, l->want);
	KUNIT_ASSERT_NOT_NULL(test, l->got);
	KUNIT_ASSERT_NOT_NULL(test, l->held);
	return l;
}

/* A sparse heap with this layout from its first page on. */
static void layout_build(struct kunit *test, struct layout *l, const char *layout)
{
	struct mspan **s = kunit_kcalloc(test, LAYOUT_MAX, sizeof(*s), GFP_KERNEL);
	u32 n = 0, i, len, missing = 0;

	KUNIT_ASSERT_NOT_NULL(test, s);
	l->heap = sparse_kunit_heap(test, 0);
	l->n = layout_expand(test, layout, l->want);
	for (i = 0; i < l->n; i += len) {
		for (len = 1; l->want[i + len] == l->want[i]; len++)
			;
		s[n] = sparse_kunit_span(l->heap, len);
		KUNIT_ASSERT_NOT_NULL(test, s[n]);
		KUNIT_ASSERT_EQ(test, goalloc_page_index(s[n]->start_addr), i);
		for (u32 p = i; p < i + len; p++)
			if (strchr("UBH", l->want[p]))
				missing += sparse_kunit_touch(l->heap, goalloc_page_addr(p),
							      p) != 1;
		n++;
	}
	KUNIT_ASSERT_EQ(test, missing, 0);
	while (n--) {
		u32 first = goalloc_page_index(s[n]->start_addr);

		if (strchr("BH.", l->want[first]))
			mheap_return_span(s[n]);
	}
	for (i = 0; i < l->n; i++)
		if (l->want[i] == 'H') {
			l->held[i] = sparse_kunit_page(l->heap, goalloc_page_addr(i));
			get_page(l->held[i]);
		}
	kunit_kfree(test, s);
}

static void layout_let_go(struct layout *l)
{
	for (u32 i = 0; i < LAYOUT_MAX; i++) {
		if (l->held[i])
			put_page(l->held[i]);
		l->held[i] = NULL;
	}
}

/* What there is now is what is wanted. */
static void layout_check(struct kunit *test, struct layout *l, const char *layout)
{
	u32 backed = 0, released = 0;

	KUNIT_ASSERT_EQ(test, layout_expand(test, layout, l->want), l->n);
	for (u32 i = 0; i < l->n; i++) {
		u64 addr = goalloc_page_addr(i);
		bool page = sparse_kunit_page(l->heap, addr);

		if (heap_kunit_span_of(l->heap, addr))
			l->got[i] = page ? 'U' : 'u';
		else
			l->got[i] = !page ? '.' : l->held[i] ? 'H' : 'B';
		backed += page;
		released += l->want[i] == '.';
	}
	l->got[l->n] = 0;
	if (strcmp(l->got, l->want))
		KUNIT_FAIL(test, "got %s, want %s", layout_shrink(test, l->got),
			   layout_shrink(test, l->want));
	/* The rest of the last chunk was never used. */
	released += l->heap->pages_sys - l->n;
	KUNIT_EXPECT_EQ(test, mheap_pages_released(l->heap), released);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->backed), backed * PAGE_BYTES);
}

static const struct sparse_row {
	const char *what;
	const char *before;
	u64 bytes;
	u64 released;		/* pages */
	const char *after;
} sparse_rows[] = {
	{ "nothing there", "", 1, 0, "" },
	{ "nothing idle", "10U5u", ALL, 0, "10U5u" },
	{ "nothing backed", "5.3u5.", ALL, 0, "5.3u5." },
	{ "no bytes", "8B", 0, 0, "8B" },
	{ "a byte", "8B", 1, 1, "7B1." },
	{ "a page", "8B", PAGE_BYTES, 1, "7B1." },
	{ "a page and a byte", "8B", PAGE_BYTES + 1, 2, "6B2." },
	{ "a byte less than two", "8B", 2 * PAGE_BYTES - 1, 2, "6B2." },
	{ "all there are", "8B", 8 * PAGE_BYTES, 8, "8." },
	{ "one more than there are", "8B", 9 * PAGE_BYTES, 8, "8." },
	{ "all but the last byte", "8B", ALL - 1, 8, "8." },
	{ "all", "8B", ALL, 8, "8." },
	{ "in use above", "8B8U", 3 * PAGE_BYTES, 3, "5B3.8U" },
	{ "in use in between", "4B4U4B", 6 * PAGE_BYTES, 6, "2B2.4U4." },
	{ "not backed in between", "4B4.4B", 6 * PAGE_BYTES, 6, "2B10." },
	{ "each other page", "BUBUBUBU", 2 * PAGE_BYTES, 2, "BUBU.U.U" },
	{ "in use, unbacked, idle", "3U3u3B3.3B3u", ALL, 6, "3U3u9.3u" },
	{ "a word", "64B", ALL, 64, "64." },
	{ "two words", "128B", 70 * PAGE_BYTES, 70, "58B70." },
	{ "over a word's end", "60U8B60U", 5 * PAGE_BYTES, 5, "60U3B5.60U" },
	{ "the first page of a word", "64UB63U", ALL, 1, "64U1.63U" },
	{ "the last page of a word", "63UB64U", ALL, 1, "63U1.64U" },
	{ "a chunk", "512B", ALL, 512, "512." },
	{ "most of a chunk", "512B", 511 * PAGE_BYTES, 511, "B511." },
	{ "over a chunk's end", "510U4B2U", 3 * PAGE_BYTES, 3, "510U1B3.2U" },
	{ "the first page of a chunk", "512UBU", 1, 1, "512U.U" },
	{ "the last page of a chunk", "511UBU", 1, 1, "511U.U" },
	{ "the very first page", "B1200U", 1, 1, ".1200U" },
	{ "three chunks", "3B1500u20B", 22 * PAGE_BYTES, 22, "1B2.1500u20." },
	{ "all of three chunks", "1536B", ALL, 1536, "1536." },
	{ "held", "8H", ALL, 0, "8H" },
	{ "held above", "8B4H", 3 * PAGE_BYTES, 3, "5B3.4H" },
	{ "held in between", "6BHBHB", 4 * PAGE_BYTES, 4, "4B2.H.H." },
	{ "held below", "HHBBB", ALL, 3, "HH3." },
	{ "held, all of a word", "64B64H", 65 * PAGE_BYTES, 64, "64.64H" },
	{ "held over a chunk's end", "508B8H4U", 9 * PAGE_BYTES, 9, "499B9.8H4U" },
};

KUNIT_ARRAY_PARAM_DESC(sparse, sparse_rows, what);

static void scavenge_sparse_table(struct kunit *test)
{
	const struct sparse_row *row = test->param_value;
	struct layout *l = layout_new(test);
	u64 n = row->released * PAGE_BYTES, all = 0;

	layout_build(test, l, row->before);
	layout_check(test, l, row->before);
	KUNIT_EXPECT_EQ(test, request(l->heap, row->bytes), n);
	layout_check(test, l, row->after);
	heap_kunit_check(test, l->heap, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_count[SCAVENGE_REQUEST]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_bytes[SCAVENGE_REQUEST]), n);

	/* The rest is found by the next one, and what was held, once it is not. */
	layout_let_go(l);
	for (u32 i = 0; i < l->n; i++)
		all += l->got[i] == 'B' || l->got[i] == 'H';
	KUNIT_EXPECT_EQ(test, request(l->heap, ALL), all * PAGE_BYTES);
	n += all * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, request(l->heap, ALL), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(l->heap),
			l->heap->pages_sys - mheap_pages_in_use(l->heap));
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_count[SCAVENGE_REQUEST]), 3);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_bytes[SCAVENGE_REQUEST]), n);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_count[SCAVENGE_LIMIT]), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_bytes[SCAVENGE_LIMIT]), 0);
	heap_kunit_check(test, l->heap, 0);
}

/*
 * Linear heaps. @block: pages of each block; the second half chunk is cut into
 * small ones, and the first one is full then. Of a block in use in part the first
 * half is idle, and:
 *
 *	u	backed
 *	p	in part holes
 *	h	nothing but holes
 */
static const struct linear_row {
	const char *what;
	u32 block;
	const char *before;
	u64 bytes;
	u64 released;		/* pages */
	const char *after;
} linear_rows[] = {
	{ "nothing idle", 256, "4U", ALL, 0, "4U" },
	{ "no bytes", 256, "4B", 0, 0, "4B" },
	{ "a byte", 256, "4B", 1, 256, "3B1." },
	{ "a block", 256, "4B", SZ_2M, 256, "3B1." },
	{ "a block and a byte", 256, "4B", SZ_2M + 1, 2 * 256, "2B2." },
	{ "all", 256, "5B", ALL, 5 * 256, "5." },
	{ "in use above", 256, "2BUu", SZ_2M, 256, "1B1.Uu" },
	{ "in use in between", 256, "BUBuB", 2 * SZ_2M, 2 * 256, "BU.u." },
	{ "more than there is", 256, "UBU", 9 * SZ_2M, 256, "U.U" },
	{ "small, a byte", 16, "8B", 1, 16, "7B1." },
	{ "small, a block", 16, "16B", SZ_128K, 16, "15B1." },
	{ "small, a block and a byte", 16, "16B", SZ_128K + 1, 2 * 16, "14B2." },
	{ "small, all", 16, "16B", ALL, 16 * 16, "16." },
	{ "small, in use in between", 16, "BUBuBUB", 3 * SZ_128K, 3 * 16, "BU.u.U." },
	{ "middle", 64, "BuBB", 2 * SZ_512K, 2 * 64, "Bu.." },
	{ "in part, no bytes", 256, "4u", 0, 0, "4u" },
	{ "in part, a byte", 256, "2uU", 1, SPARSE_UNIT_PAGES, "upU" },
	{ "in part, some", 256, "u", SZ_256K + SZ_512K, 96, "p" },
	{ "in part, one", 256, "2u", SZ_1M, 128, "uh" },
	{ "in part, one and some", 256, "3u", SZ_1M + SZ_64K, 136, "uph" },
	{ "in part, all", 256, "4u", ALL, 4 * 128, "4h" },
	{ "in part, whole ones first", 256, "uBu", SZ_2M, 256, "u.u" },
	{ "in part, whole ones and some", 256, "uBu", SZ_2M + SZ_64K, 264, "u.p" },
	{ "in part, more than there is", 256, "uUBu", 9 * SZ_2M, 2 * 128 + 256, "hU.h" },
	{ "small, in part", 16, "3uB", ALL, 3 * 8 + 16, "3h." },
	{ "small, in part, some", 16, "UuuU", SZ_64K, 8, "UuhU" },
	{ "small, in part, all", 16, "16u", ALL, 16 * 8, "16h" },
	{ "middle, in part", 64, "uBuU", SZ_512K + SZ_128K, 64 + 16, "u.pU" },
};

KUNIT_ARRAY_PARAM_DESC(linear, linear_rows, what);

struct linear {
	struct goalloc_heap *heap;
	u32 block, first, n;		/* pages a block, page of the first, blocks */
	char want[64], got[64];
};

/* What the block is now; adds the pages that it has memory for. */
static char linear_kind(struct linear *l, u32 i, u32 *backed)
{
	u32 first = l->first + i * l->block, used = 0, holes = 0;
	struct goalloc_chunk *c = mheap_chunk(l->heap, goalloc_page_addr(first));

	for (u32 p = first; p < first + l->block; p++) {
		u32 at = p % PALLOC_CHUNK_PAGES;

		holes += heap_kunit_hole(c, at);
		used += test_bit(at, c->palloc.data.alloc.b) && !heap_kunit_hole(c, at);
	}
	if (!heap_kunit_linear_page(c, first % PALLOC_CHUNK_PAGES))
		return used || holes ? '?' : '.';
	*backed += l->block - holes;
	if (holes)
		return used != l->block / 2 ? '?' : holes == l->block / 2 ? 'h' : 'p';
	return !used ? 'B' : used == l->block ? 'U' : 'u';
}

static void linear_check(struct kunit *test, struct linear *l, const char *layout)
{
	u32 backed = l->first;

	KUNIT_ASSERT_EQ(test, layout_expand(test, layout, l->want), l->n);
	for (u32 i = 0; i < l->n; i++)
		l->got[i] = linear_kind(l, i, &backed);
	l->got[l->n] = 0;
	KUNIT_EXPECT_STREQ(test, l->got, l->want);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->backed), backed * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(l->heap), l->heap->pages_sys - backed);
}

static void scavenge_linear_table(struct kunit *test)
{
	const struct linear_row *row = test->param_value;
	struct linear *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);
	struct mspan *s[32];
	u64 n = row->released * PAGE_BYTES, all;
	u32 words;

	KUNIT_ASSERT_NOT_NULL(test, l);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_failing, NULL), 0);
	l->heap = heap_kunit_first_fit(test, BACKING_LINEAR, 0);
	l->block = row->block;
	l->n = layout_expand(test, row->before, l->want);
	if (row->block < PALLOC_HALF_PAGES) {
		KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(l->heap, PALLOC_HALF_PAGES));
		l->first = PALLOC_HALF_PAGES;
		/* The first allocation is the span's record. */
		goalloc_fail_run(2, ilog2(PALLOC_HALF_PAGES / row->block));
	}
	/* Each block is two spans. */
	words = row->block / 2;
	for (u32 i = 0; i < 2 * l->n; i++) {
		s[i] = sparse_kunit_span(l->heap, words);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		stop_failing(NULL);
		KUNIT_ASSERT_EQ(test, goalloc_page_index(s[i]->start_addr),
				l->first + i * words);
		*(u64 *)s[i]->base = i;
	}
	for (u32 i = 0; i < l->n; i++) {
		if (strchr("Bu", l->want[i]))
			mheap_return_span(s[2 * i]);
		if (l->want[i] == 'B')
			mheap_return_span(s[2 * i + 1]);
	}
	linear_check(test, l, row->before);
	KUNIT_EXPECT_EQ(test, request(l->heap, row->bytes), n);
	linear_check(test, l, row->after);
	heap_kunit_check(test, l->heap, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&l->heap->scav_bytes[SCAVENGE_REQUEST]), n);
	for (u32 i = 0; i < l->n; i++) {
		if (l->got[i] == 'U')
			KUNIT_EXPECT_EQ(test, *(u64 *)s[2 * i]->base, 2 * i);
		if (strchr("uphU", l->got[i]))
			KUNIT_EXPECT_EQ(test, *(u64 *)s[2 * i + 1]->base, 2 * i + 1);
	}
	all = l->heap->pages_sys - mheap_pages_in_use(l->heap) - mheap_pages_released(l->heap);
	KUNIT_EXPECT_EQ(test, request(l->heap, ALL), all * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, request(l->heap, ALL), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(l->heap),
			l->heap->pages_sys - mheap_pages_in_use(l->heap));
	heap_kunit_check(test, l->heap, 0);
	for (u32 i = 0; i < l->n; i++)
		if (strchr("uphU", l->got[i]))
			KUNIT_EXPECT_EQ(test, *(u64 *)s[2 * i + 1]->base, 2 * i + 1);

	/* What was given back serves again. */
	for (u32 i = 0; i < l->n; i++) {
		s[i] = sparse_kunit_span(l->heap, words);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		memset((void *)s[i]->base, 0x5a, words * PAGE_BYTES);
	}
	heap_kunit_check(test, l->heap, 0);
}

/*
 * Random work against a plain array of pages. It knows what scavenging any
 * number of bytes gives back: the highest pages that are idle and backed and
 * that nobody holds; so a page that is overlooked shows.
 */
#define MODEL_PAGES	(2 * PALLOC_CHUNK_PAGES)
#define MODEL_SPANS	60
#define MODEL_OPS	1200

struct model {
	struct goalloc_heap *heap;
	u8 used[MODEL_PAGES], backed[MODEL_PAGES];
	struct page *held[MODEL_PAGES];
	struct mspan *s[MODEL_SPANS];
	u32 n, nheld, scavenges;
};

static void model_let_go(void *data)
{
	struct model *m = data;

	for (u32 i = 0; i < MODEL_PAGES; i++) {
		if (m->held[i])
			put_page(m->held[i]);
		m->held[i] = NULL;
	}
	m->nheld = 0;
}

static void model_alloc(struct kunit *test, struct model *m, u32 r)
{
	u32 npages = 1 + (r & 3 ? (r >> 8) % 12 : (r >> 8) % 90), first;
	struct mspan *s;

	/* The model has no more pages than this. */
	s = sparse_kunit_span(m->heap, npages);
	if (!s)
		return;
	first = goalloc_page_index(s->start_addr);
	KUNIT_ASSERT_LE(test, first + npages, MODEL_PAGES);
	for (u32 i = first; i < first + npages; i++) {
		KUNIT_ASSERT_FALSE(test, m->used[i]);
		m->used[i] = 1;
	}
	m->s[m->n++] = s;
}

static void model_touch(struct kunit *test, struct model *m, struct mspan *s, u32 r)
{
	u32 first = goalloc_page_index(s->start_addr) + (r >> 8) % s->npages;
	u32 n = 1 + (r >> 16) % s->npages;

	for (u32 i = first; i < first + n && i < MODEL_PAGES && m->used[i]; i++) {
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(m->heap, goalloc_page_addr(i), i), 1);
		m->backed[i] = 1;
	}
}

static void model_hold(struct model *m, u32 i)
{
	if (m->held[i]) {
		put_page(m->held[i]);
		m->held[i] = NULL;
		m->nheld--;
	} else if (m->backed[i] && m->nheld < 12) {
		m->held[i] = sparse_kunit_page(m->heap, goalloc_page_addr(i));
		get_page(m->held[i]);
		m->nheld++;
	}
}

static void model_check(struct kunit *test, struct model *m, u32 op)
{
	u32 backed = 0, released = m->heap->pages_sys, wrong = 0;

	for (u32 i = 0; i < MODEL_PAGES; i++) {
		wrong += m->backed[i] != !!sparse_kunit_page(m->heap, goalloc_page_addr(i));
		backed += m->backed[i];
		released -= m->used[i] || m->backed[i];
	}
	KUNIT_ASSERT_EQ_MSG(test, wrong, 0, "op %u", op);
	KUNIT_ASSERT_EQ_MSG(test, mheap_pages_released(m->heap), released, "op %u", op);
	KUNIT_ASSERT_EQ_MSG(test, atomic64_read(&m->heap->backed), backed * PAGE_BYTES,
			    "op %u", op);
}

static void model_scavenge(struct kunit *test, struct model *m, struct rnd_state *rnd, u32 op)
{
	u32 r = prandom_u32_state(rnd);
	u64 bytes = r & 15 ? (r >> 4) % (r & 1 ? 20 * PAGE_BYTES : 300 * PAGE_BYTES) : ALL;
	u64 left = DIV_ROUND_UP_ULL(bytes == ALL ? ALL - PAGE_BYTES : bytes, PAGE_BYTES);
	u32 n = 0;

	for (u32 i = MODEL_PAGES; i-- && left;) {
		if (m->used[i] || !m->backed[i] || m->held[i])
			continue;
		m->backed[i] = 0;
		left--;
		n++;
	}
	KUNIT_ASSERT_EQ_MSG(test, request(m->heap, bytes), n * PAGE_BYTES,
			    "op %u, %llu bytes", op, bytes);
	m->scavenges++;
	model_check(test, m, op);
}

static void scavenge_model_sparse(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = sparse_kunit_heap(test, MODEL_PAGES / 2 * PAGE_BYTES);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, model_let_go, m), 0);
	seed_random(test, &rnd);
	for (u32 op = 0; op < MODEL_OPS; op++) {
		u32 r = prandom_u32_state(&rnd), i = m->n ? (r >> 8) % m->n : 0;

		switch (r % 8) {
		case 0:
		case 1:
		case 2:
			if (m->n < MODEL_SPANS)
				model_alloc(test, m, prandom_u32_state(&rnd));
			break;
		case 3:
		case 4:
			if (m->n)
				model_touch(test, m, m->s[i], prandom_u32_state(&rnd));
			break;
		case 5:
			if (!m->n)
				break;
			for (u32 p = 0; p < m->s[i]->npages; p++)
				m->used[goalloc_page_index(m->s[i]->start_addr) + p] = 0;
			mheap_return_span(m->s[i]);
			m->s[i] = m->s[--m->n];
			break;
		case 6:
			model_hold(m, (r >> 8) % MODEL_PAGES);
			model_hold(m, (r >> 8) % 100);
			break;
		case 7:
			model_scavenge(test, m, &rnd, op);
			break;
		}
		if (op % 300 == 299)
			heap_kunit_check(test, m->heap, 0);
	}
	KUNIT_EXPECT_GT(test, m->scavenges, MODEL_OPS / 16);
	model_let_go(m);
	while (m->n)
		mheap_return_span(m->s[--m->n]);
	request(m->heap, ALL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&m->heap->backed), 0);
	heap_kunit_check(test, m->heap, 0);
}

/*
 * The same on a linear heap, whose pages are used, idle, holes, or not backed. What
 * is backed is a block of which a span was ever used, but for its holes; what is
 * scavenged are first the blocks with nothing in use, then the highest idle pages.
 */
#define MODEL_BLOCKS	8
#define MODEL_PLACES	128		/* blocks of address space */

enum { NONE, IDLE, USED, HOLE };

struct linear_model {
	struct goalloc_heap *heap;
	u8 page[MODEL_PLACES * PALLOC_HALF_PAGES];
	u32 highest;			/* block */
	struct mspan *s[MODEL_SPANS];
	u32 n, punched, opened;
};

static u32 linear_model_count(const struct linear_model *m, u32 block, u8 what)
{
	u32 n = 0;

	for (u32 i = 0; i < PALLOC_HALF_PAGES; i++)
		n += m->page[block * PALLOC_HALF_PAGES + i] == what;
	return n;
}

static void linear_model_alloc(struct kunit *test, struct linear_model *m, u32 r)
{
	struct mspan *s = sparse_kunit_span(m->heap, 1 + r % (r & BIT(30) ? 16 : 256));
	u32 first, block, wrong = 0;
	u8 *page;

	if (!s)
		return;		/* The max is reached. */
	first = goalloc_page_index(s->start_addr);
	block = first / PALLOC_HALF_PAGES;
	page = &m->page[block * PALLOC_HALF_PAGES];
	KUNIT_ASSERT_LT(test, block, MODEL_PLACES);
	m->highest = max(m->highest, block);
	if (s->vmapped) {
		/* None of the block stays. */
		KUNIT_EXPECT_EQ(test, linear_model_count(m, block, USED), 0);
		KUNIT_EXPECT_EQ(test, linear_model_count(m, block, HOLE), 0);
		memset(page, NONE, PALLOC_HALF_PAGES);
		mheap_return_span(s);
		return;
	}
	/* Memory is not as short here as to make them smaller. */
	KUNIT_ASSERT_EQ(test, mheap_chunk(m->heap, s->start_addr)->palloc.block_pages[block % 2],
			PALLOC_HALF_PAGES);
	if (page[first % PALLOC_HALF_PAGES] == NONE) {
		KUNIT_EXPECT_EQ(test, linear_model_count(m, block, NONE), PALLOC_HALF_PAGES);
		memset(page, IDLE, PALLOC_HALF_PAGES);
	}
	for (u32 i = first; i < first + s->npages; i++) {
		wrong += m->page[i] != IDLE;
		m->page[i] = USED;
	}
	KUNIT_ASSERT_EQ(test, wrong, 0);
	memset((void *)s->base, s->npages, s->npages * PAGE_BYTES);
	m->s[m->n++] = s;
}

static void linear_model_free(struct kunit *test, struct linear_model *m, u32 i)
{
	struct mspan *s = m->s[i];
	u32 first = goalloc_page_index(s->start_addr);

	KUNIT_EXPECT_NULL(test, memchr_inv((void *)s->base, (u8)s->npages,
					   s->npages * PAGE_BYTES));
	memset(&m->page[first], IDLE, s->npages);
	mheap_return_span(s);
	m->s[i] = m->s[--m->n];
}

static void linear_model_scavenge(struct kunit *test, struct linear_model *m, u64 bytes, u32 op)
{
	u64 left = DIV_ROUND_UP_ULL(min_t(u64, bytes, SZ_1G), PAGE_BYTES), n = 0;

	for (u32 b = m->highest + 1; b-- && n < left;) {
		u32 idle = linear_model_count(m, b, IDLE);

		if (!idle || linear_model_count(m, b, USED))
			continue;
		m->opened += linear_model_count(m, b, HOLE);
		memset(&m->page[b * PALLOC_HALF_PAGES], NONE, PALLOC_HALF_PAGES);
		n += idle;
	}
	for (u32 i = (m->highest + 1) * PALLOC_HALF_PAGES; i-- && n < left;) {
		if (m->page[i] != IDLE)
			continue;
		m->page[i] = HOLE;
		m->punched++;
		n++;
	}
	KUNIT_ASSERT_EQ_MSG(test, request(m->heap, bytes), n * PAGE_BYTES, "op %u, %llu bytes",
			    op, bytes);
}

static void linear_model_check(struct kunit *test, struct linear_model *m, u32 op)
{
	u32 count[4] = {}, wrong = 0;

	for (u32 b = 0; b <= m->highest; b++) {
		u64 addr = GOALLOC_HEAP_BASE + (u64)b * SZ_2M;
		struct goalloc_chunk *c = mheap_chunk(m->heap, addr);

		for (u32 i = 0; i < PALLOC_HALF_PAGES; i++) {
			u32 at = b % 2 * PALLOC_HALF_PAGES + i;
			u8 want = m->page[b * PALLOC_HALF_PAGES + i], got = NONE;

			if (c && heap_kunit_hole(c, at))
				got = HOLE;
			else if (c && heap_kunit_linear_page(c, at))
				got = test_bit(at, c->palloc.data.alloc.b) ? USED : IDLE;
			wrong += got != want;
			count[want]++;
		}
	}
	KUNIT_ASSERT_EQ_MSG(test, wrong, 0, "op %u", op);
	KUNIT_ASSERT_EQ(test, atomic64_read(&m->heap->backed),
			(count[USED] + count[IDLE]) * PAGE_BYTES);
	KUNIT_ASSERT_EQ(test, mheap_pages_released(m->heap),
			m->heap->pages_sys - count[USED] - count[IDLE]);
	KUNIT_ASSERT_EQ(test, mheap_pages_in_use(m->heap), count[USED]);
	KUNIT_ASSERT_EQ(test, m->heap->pages_idle, count[IDLE]);
	KUNIT_ASSERT_EQ(test, m->heap->pages_holes, count[HOLE]);
}

static void scavenge_model_linear(struct kunit *test)
{
	struct linear_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, m);
	if (SPARSE_UNIT_PAGES > 1)
		kunit_skip(test, "holes are of several heap pages");
	m->heap = heap_kunit_first_fit(test, BACKING_LINEAR, MODEL_BLOCKS * (u64)SZ_2M * 3 / 4);
	seed_random(test, &rnd);
	for (u32 op = 0; op < MODEL_OPS / 2; op++) {
		u32 r = prandom_u32_state(&rnd), i = m->n ? (r >> 8) % m->n : 0;

		switch (r % 6) {
		case 0:
		case 1:
		case 2:
			if (m->n < MODEL_SPANS)
				linear_model_alloc(test, m, prandom_u32_state(&rnd));
			break;
		case 3:
		case 4:
			if (m->n)
				linear_model_free(test, m, i);
			break;
		case 5:
			r = prandom_u32_state(&rnd);
			linear_model_scavenge(test, m, r & 7 ? r % (3 * SZ_2M) : ALL, op);
			break;
		}
		linear_model_check(test, m, op);
		if (op % 100 == 99)
			heap_kunit_check(test, m->heap, 0);
	}
	kunit_info(test, "%u holes made, %u gone with their blocks\n", m->punched, m->opened);
	KUNIT_EXPECT_GT(test, m->punched, 0);
	KUNIT_EXPECT_GT(test, m->opened, 0);
	while (m->n)
		linear_model_free(test, m, m->n - 1);
	request(m->heap, ALL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&m->heap->backed), 0);
	KUNIT_EXPECT_EQ(test, m->heap->pages_holes, 0);
	heap_kunit_check(test, m->heap, 0);
}

/*
 * Tasks make objects, look that they are zero, write them, see later that what
 * they wrote is still there, and free them; others give back what is idle.
 */
#define BUSY_OBJECTS	40

struct busy {
	struct goalloc_heap *heap;
	ulong seed;
	u32 scavengers;
	u64 limit;		/* that one of them sets and takes away, or 0 */
	atomic64_t objects, released, calls;
};

struct busy_object {
	u64 addr, size;
	u8 byte;
};

static bool busy_move(struct goalloc_heap *heap, u64 addr, u8 *buf, size_t n, bool write)
{
	if (heap->backing == BACKING_SPARSE)
		return sparse_kunit_move(heap, addr, buf, n, write) == n;
	if (write)
		memcpy((void *)(unsigned long)addr, buf, n);
	else
		memcpy(buf, (void *)(unsigned long)addr, n);
	return true;
}

/* A piece at each end of the object, and some in the middle. */
static bool busy_look(struct goalloc_heap *heap, const struct busy_object *o, u8 byte, u8 *buf,
		      bool write)
{
	u64 step = max(o->size / 4, 64ULL);
	bool ok = true;

	for (u64 off = 0; ok && off < o->size; off += step) {
		size_t n = min_t(u64, 64, o->size - off);

		if (write)
			memset(buf, byte, n);
		ok = busy_move(heap, o->addr + off, buf, n, write) &&
		     (write || !memchr_inv(buf, byte, n));
	}
	return ok;
}

static bool busy_new(struct goalloc_heap *heap, struct busy_object *o, u64 size, u8 byte)
{
	unsigned long addr = 0;
	u64 usable;

	if (heap->backing == BACKING_LINEAR)
		addr = (unsigned long)goalloc_heap_alloc(heap, size, 0, GFP_KERNEL | __GFP_ZERO);
	else if (mallocgc(heap, size, 0, 0, GFP_KERNEL, &addr, &usable))
		addr = 0;
	*o = (struct busy_object){ .addr = addr, .size = size, .byte = byte };
	return addr;
}

static bool busy_free(struct goalloc_heap *heap, struct busy_object *o)
{
	u64 addr = o->addr;

	o->addr = 0;
	if (heap->backing == BACKING_LINEAR)
		return !goalloc_try_free((void *)(unsigned long)addr);
	return !mallocgc_free(heap, addr);
}

static void busy_scavenge(struct crew *crew, struct busy *b, struct rnd_state *rnd)
{
	while (crew_go_on(crew)) {
		u32 r = prandom_u32_state(rnd);
		u64 limit = r & 256 ? b->limit : GOALLOC_NO_LIMIT;

		if (b->limit && mheap_set_param(b->heap, GOALLOC_PARAM_LIMIT, limit))
			atomic_inc(&crew->bad);
		atomic64_add(request(b->heap, r & 7 ? (r >> 8) % SZ_2M : ALL), &b->released);
		atomic64_inc(&b->calls);
		usleep_range(50, 500);
	}
}

static void busy_crew(struct crew *crew, u32 who)
{
	struct busy *b = crew->arg;
	struct goalloc_heap *heap = b->heap;
	struct busy_object *o;
	struct rnd_state rnd;
	u8 *buf;

	prandom_seed_state(&rnd, b->seed + who);
	if (who < b->scavengers) {
		busy_scavenge(crew, b, &rnd);
		return;
	}
	buf = kmalloc(64, GFP_KERNEL);
	o = kcalloc(BUSY_OBJECTS, sizeof(*o), GFP_KERNEL);
	if (!buf || !o)
		atomic_inc(&crew->bad);
	while (buf && o && crew_go_on(crew)) {
		u32 r = prandom_u32_state(&rnd), i = (r >> 8) % BUSY_OBJECTS;
		u64 size = 1 + (r >> 8) % (r & 3 ? 30000 : r & 4 ? 200000 : 3 << 20);

		if (o[i].addr) {
			if (!busy_look(heap, &o[i], o[i].byte, buf, false))
				atomic_inc(&crew->bad);
			if (!busy_free(heap, &o[i]))
				atomic_inc(&crew->bad);
		} else {
			if (!busy_new(heap, &o[i], size, 1 + r % 255) ||
			    !busy_look(heap, &o[i], 0, buf, false) ||
			    !busy_look(heap, &o[i], o[i].byte, buf, true))
				atomic_inc(&crew->bad);
			atomic64_inc(&b->objects);
		}
	}
	for (u32 i = 0; o && i < BUSY_OBJECTS; i++) {
		if (!o[i].addr)
			continue;
		if (!busy_look(heap, &o[i], o[i].byte, buf, false))
			atomic_inc(&crew->bad);
		if (!busy_free(heap, &o[i]))
			atomic_inc(&crew->bad);
	}
	kfree(o);
	kfree(buf);
}

static void busy(struct kunit *test, enum goalloc_backing backing, u64 limit)
{
	struct goalloc_heap *heap = heap_kunit_first_fit(test, backing, 0);
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct busy b = { .heap = heap, .scavengers = 2, .limit = limit };
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	b.seed = seed_random(test, &rnd);
	/* Until each has had a part, however busy the host is. */
	for (u32 round = 0; round < 20; round++) {
		crew_run(test, crew, 5, IS_ENABLED(CONFIG_KCSAN) ? 9000 : 900, busy_crew, &b);
		if (atomic64_read(&b.released) && atomic64_read(&b.objects) > 10)
			break;
	}
	kunit_info(test, "%lld objects; %lld KiB given back in %lld times\n",
		   atomic64_read(&b.objects), atomic64_read(&b.released) / 1024,
		   atomic64_read(&b.calls));
	KUNIT_EXPECT_GT(test, atomic64_read(&b.released), 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&b.objects), 10);
	heap_kunit_check(test, heap, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_bytes[SCAVENGE_REQUEST]),
			atomic64_read(&b.released));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_count[SCAVENGE_REQUEST]),
			atomic64_read(&b.calls));
	/* Nothing lives, nothing is in use, and nothing that is idle is hidden. */
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, heap->pages_idle, 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
	KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);
}

static void scavenge_busy_sparse(struct kunit *test)
{
	busy(test, BACKING_SPARSE, 0);
}

static void scavenge_busy_linear(struct kunit *test)
{
	busy(test, BACKING_LINEAR, 0);
}

/* Idle memory goes by first touches as well. */
static void scavenge_busy_limit(struct kunit *test)
{
	busy(test, BACKING_SPARSE, SZ_1M);
}

/*
 * Touches of pages whose spans come and go, and of pages that are idle and held
 * for a moment, and scavenging by several: in the end all is found.
 */
struct churn {
	struct goalloc_heap *heap;
	atomic64_t touched, cycles;
};

static void churn_crew(struct crew *crew, u32 who)
{
	struct churn *c = crew->arg;
	u8 byte;

	for (u32 i = 0; crew_go_on(crew); i++) {
		u64 addr = GOALLOC_HEAP_BASE + (u64)(i * 37 % 90) * PAGE_BYTES;
		struct mspan *s;
		ssize_t n;

		switch (who) {
		case 0:
			s = sparse_kunit_span(c->heap, 1 + i % 90);
			if (!s) {
				atomic_inc(&crew->bad);
				break;
			}
			if (i % 3)
				usleep_range(10, 60);
			mheap_return_span(s);
			atomic64_inc(&c->cycles);
			break;
		case 1:
		case 2:
			request(c->heap, (1 + i % 5) * PAGE_BYTES);
			break;
		default:
			n = sparse_kunit_touch(c->heap, addr, 1 + who);
			/* ENOMEM: somebody was first, and then all was gone. */
			if (n != 1 && n != -EFAULT && n != -ENOMEM)
				atomic_inc(&crew->bad);
			atomic64_add(n == 1, &c->touched);
			n = sparse_kunit_move(c->heap, addr, &byte, 1, false);
			if (n != -EFAULT && (n != 1 || byte > 6))
				atomic_inc(&crew->bad);
		}
	}
}

static bool churn_met(struct crew *crew)
{
	struct churn *c = crew->arg;

	return atomic64_read(&c->touched) && atomic64_read(&c->cycles);
}

static void scavenge_churn(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	u64 touched = 0, cycles = 0;

	KUNIT_ASSERT_NOT_NULL(test, crew);
	for (u32 round = 0; round < 6; round++) {
		struct churn c = { .heap = sparse_kunit_heap(test, 0) };

		crew->met = churn_met;
		crew_run(test, crew, 6, 200, churn_crew, &c);
		heap_kunit_check(test, c.heap, 0);
		request(c.heap, ALL);
		KUNIT_EXPECT_EQ(test, atomic64_read(&c.heap->backed), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(c.heap), c.heap->pages_sys);
		heap_kunit_check(test, c.heap, 0);
		heap_kunit_end(test, c.heap);
		touched += atomic64_read(&c.touched);
		cycles += atomic64_read(&c.cycles);
	}
	kunit_info(test, "%llu touches, %llu spans\n", touched, cycles);
	KUNIT_EXPECT_GT(test, touched, 0);
	KUNIT_EXPECT_GT(test, cycles, 0);
}

/*
 * Some give back pages that others hold, again and again. While one of them has
 * such a page in hand, another sees nothing idle; that must not be remembered.
 */
static void two_crew(struct crew *crew, u32 who)
{
	for (u32 i = 0; i < 4000; i++) {
		if (request(crew->arg, i & 1 ? PAGE_BYTES : ALL))
			atomic_inc(&crew->bad);
		cond_resched();
	}
}

static void scavenge_held_by_two(struct kunit *test)
{
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);
	struct layout *l = layout_new(test);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	layout_build(test, l, "10u1H3u2H500u");
	crew_run(test, crew, 3, 0, two_crew, l->heap);
	layout_check(test, l, "10u1H3u2H500u");
	layout_let_go(l);
	KUNIT_EXPECT_EQ(test, request(l->heap, ALL), 3 * PAGE_BYTES);
	layout_check(test, l, "10u1.3u2.500u");
	heap_kunit_check(test, l->heap, 0);
}

/*
 * A page becomes idle behind the back of those who search on their long way
 * down: they must not say that there is nothing up there.
 */
#define PASS_CHUNKS	200

static void pass_crew(struct crew *crew, u32 who)
{
	struct goalloc_heap *heap = crew->arg;
	unsigned long end;
	struct mspan *s;
	u32 i, tries;

	for (i = 0; crew_go_on(crew); i++) {
		if (who) {
			request(heap, ALL - 1);
			continue;
		}
		s = sparse_kunit_span(heap, 1 + i % 3);
		if (!s || sparse_kunit_touch(heap, s->start_addr, 1) != 1)
			atomic_inc(&crew->bad);
		if (s)
			mheap_return_span(s);
		/*
		 * The others find it, and if they are slow this one does. Who has it in hand
		 * may have to wait for its CPU.
		 */
		end = jiffies + CREW_PATIENCE;
		for (tries = 0; time_before(jiffies, end) && atomic64_read(&heap->backed);
		     tries++) {
			if (tries >= 20)
				request(heap, ALL);
			usleep_range(5, 20);
		}
		if (atomic64_read(&heap->backed)) {
			atomic_inc(&crew->bad);
			break;
		}
	}
	if (!who)
		WRITE_ONCE(crew->stop, true);
}

static void scavenge_passed_by(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct crew *crew = kunit_kzalloc(test, sizeof(*crew), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, crew);
	/* In use, and nothing is behind it. */
	KUNIT_ASSERT_NOT_NULL(test, sparse_kunit_span(heap, PASS_CHUNKS * PALLOC_CHUNK_PAGES));
	crew_run(test, crew, 3, 800, pass_crew, heap);
	request(heap, ALL);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
	heap_kunit_check(test, heap, 0);
}

/*
 * A class keeps a span in which nothing lives: in use as long as an amount is
 * asked for, and gone when all is.
 */
static void scavenge_reserve(struct kunit *test)
{
	static const u32 sizes[] = { 5, 64, 1024, 8192, 32768 };
	static const enum goalloc_backing backings[] = { BACKING_SPARSE, BACKING_LINEAR };
	u8 byte = 1;

	for (u32 b = 0; b < ARRAY_SIZE(backings); b++) {
		struct goalloc_heap *heap = heap_kunit_first_fit(test, backings[b], 0);
		bool sparse = backings[b] == BACKING_SPARSE;
		struct busy_object o[ARRAY_SIZE(sizes)];
		u64 pages, kept;

		for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
			KUNIT_ASSERT_TRUE(test, busy_new(heap, &o[i], sizes[i], 0));
			KUNIT_EXPECT_TRUE(test, busy_move(heap, o[i].addr, &byte, 1, true));
		}
		pages = mheap_pages_in_use(heap);
		KUNIT_EXPECT_EQ(test, pages, 1 + 1 + 1 + 1 + 4);
		for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
			KUNIT_EXPECT_TRUE(test, busy_free(heap, &o[i]));
		heap_kunit_check(test, heap, 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), pages);
		kept = atomic64_read(&heap->backed);
		KUNIT_EXPECT_EQ(test, kept, sparse ? 5 * PAGE_BYTES : SZ_2M);
		/* Nothing but the rest of the block. */
		KUNIT_EXPECT_EQ(test, request(heap, SZ_1G),
				sparse ? 0 : SZ_2M - pages * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, request(heap, ALL - 1), 0);
		kept = atomic64_read(&heap->backed);
		KUNIT_EXPECT_EQ(test, kept, (sparse ? 5 : pages) * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), pages);
		heap_kunit_check(test, heap, 0);

		KUNIT_EXPECT_EQ(test, request(heap, ALL), kept);
		KUNIT_EXPECT_EQ(test, mheap_pages_in_use(heap), 0);
		KUNIT_EXPECT_EQ(test, mheap_nspans(heap), 0);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), 0);
		KUNIT_EXPECT_EQ(test, mheap_pages_released(heap), heap->pages_sys);
		heap_kunit_check(test, heap, 0);
		/* What has an object is no reserve. */
		KUNIT_ASSERT_TRUE(test, busy_new(heap, &o[0], 64, 0));
		KUNIT_ASSERT_TRUE(test, busy_new(heap, &o[1], 64, 0));
		KUNIT_EXPECT_TRUE(test, busy_move(heap, o[1].addr, &byte, 1, true));
		KUNIT_EXPECT_TRUE(test, busy_free(heap, &o[0]));
		heap_kunit_settle(heap);
		/* Of a block the rest. */
		KUNIT_EXPECT_EQ(test, request(heap, ALL),
				sparse ? 0 : (PALLOC_HALF_PAGES - 1) * PAGE_BYTES);
		byte = 0;
		KUNIT_EXPECT_TRUE(test, busy_move(heap, o[1].addr, &byte, 1, false));
		KUNIT_EXPECT_EQ(test, byte, 1);
		heap_kunit_check(test, heap, 1);
	}
}

/* The module's own heap, which others may use just now. */
static void scavenge_kernel_heap(struct kunit *test)
{
	void **objs = kunit_kcalloc(test, 300, sizeof(*objs), GFP_KERNEL);
	u32 wrong = 0;

	KUNIT_ASSERT_NOT_NULL(test, objs);
	for (u32 round = 0; round < 4; round++) {
		for (u32 i = 0; i < 300; i++) {
			size_t size = 1 + i * i;

			objs[i] = goalloc_alloc(size, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, objs[i]);
			memset(objs[i], i, size);
		}
		for (u32 i = 0; i < 300; i += 2)
			goalloc_free(objs[i]);
		request(goalloc_kernel_heap, round & 1 ? ALL : SZ_4M);
		heap_kunit_check(test, goalloc_kernel_heap, ANY_OBJECTS);
		for (u32 i = 1; i < 300; i += 2) {
			wrong += !!memchr_inv(objs[i], i, 1 + i * i);
			wrong += !!goalloc_try_free(objs[i]);
		}
		request(goalloc_kernel_heap, ALL);
		heap_kunit_check(test, goalloc_kernel_heap, ANY_OBJECTS);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* The least limit of which 95 % is this many bytes. */
static u64 limit_for(u64 goal)
{
	u64 limit = goal + goal / 19;

	limit -= min(limit, 40ULL);
	while (scavenge_goal(limit) < goal)
		limit++;
	return limit;
}

static void scavenge_goals(struct kunit *test)
{
	static const u64 limits[][2] = {
		{ 0, 0 }, { 1, 1 }, { 19, 19 }, { 20, 19 }, { 100, 95 },
		{ 1 << 20, (1 << 20) - 52428 },
		{ GOALLOC_NO_LIMIT - 1, GOALLOC_NO_LIMIT - 1 - (GOALLOC_NO_LIMIT - 1) / 20 },
		{ GOALLOC_NO_LIMIT, GOALLOC_NO_LIMIT },
	};

	for (u32 i = 0; i < ARRAY_SIZE(limits); i++)
		KUNIT_EXPECT_EQ(test, scavenge_goal(limits[i][0]), limits[i][1]);
}

#define LIMIT_IDLE	200

/*
 * Under a limit idle pages go before new ones come, so many at a time, as long
 * as there are any; then the limit is passed, and nothing fails.
 */
static void scavenge_limit(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct mspan *low = sparse_kunit_span(heap, 20), *idle, *high;
	u64 goal, held, least;

	KUNIT_ASSERT_NOT_NULL(test, low);
	idle = sparse_kunit_span(heap, LIMIT_IDLE);
	high = sparse_kunit_span(heap, LIMIT_IDLE + 40);
	KUNIT_ASSERT_NOT_NULL(test, idle);
	KUNIT_ASSERT_NOT_NULL(test, high);
	for (u32 i = 0; i < LIMIT_IDLE; i++)
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, idle->start_addr +
							 i * PAGE_BYTES, 1), 1);
	mheap_return_span(idle);
	rcu_barrier();

	/* Far below, and at the very edge: nothing happens. */
	held = mheap_held(heap);
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, 2 * held), 0);
	KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, low->start_addr, 1), 1);
	held = mheap_held(heap);
	goal = held + PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, limit_for(goal)), 0);
	KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, low->start_addr + PAGE_BYTES, 1), 1);
	KUNIT_EXPECT_EQ(test, mheap_held(heap), goal);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_count[SCAVENGE_LIMIT]), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), (LIMIT_IDLE + 2) * PAGE_BYTES);

	/* One for each that comes would do; 128 KiB go at a time, the highest. */
	for (u32 i = 0; i < LIMIT_IDLE; i++) {
		u32 gone = min(LIMIT_IDLE, (i / 16 + 1) * 16);

		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, high->start_addr +
							 i * PAGE_BYTES, 1), 1);
		KUNIT_EXPECT_LE(test, mheap_held(heap), goal);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]),
				gone * PAGE_BYTES);
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_count[SCAVENGE_LIMIT]),
				i / 16 + 1);
		for (u32 p = 0; p < LIMIT_IDLE; p += 9)
			KUNIT_EXPECT_EQ(test, !!sparse_kunit_page(heap, low->start_addr +
								  (20 + p) * PAGE_BYTES),
					p < LIMIT_IDLE - gone);
	}
	KUNIT_EXPECT_EQ(test, mheap_held(heap), goal);
	heap_kunit_check(test, heap, 0);

	/* Nothing is idle any more. */
	for (u32 i = 0; i < 40; i++) {
		KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, high->start_addr +
					(LIMIT_IDLE + i) * PAGE_BYTES, 1), 1);
		KUNIT_EXPECT_EQ(test, mheap_held(heap), goal + (i + 1) * PAGE_BYTES);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_count[SCAVENGE_LIMIT]),
			DIV_ROUND_UP(LIMIT_IDLE, 16));
	heap_kunit_check(test, heap, 0);

	/* A limit that is set under what there is has its effect at once. */
	least = atomic64_read(&heap->backed) - (LIMIT_IDLE + 40) * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, GOALLOC_NO_LIMIT), 0);
	mheap_return_span(high);
	rcu_barrier();
	held = mheap_held(heap);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), least + (LIMIT_IDLE + 40) *
			PAGE_BYTES);
	goal = held - 50 * PAGE_BYTES;
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, limit_for(goal)), 0);
	KUNIT_EXPECT_EQ(test, mheap_held(heap), goal);
	goal -= PAGE_BYTES - 1;
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, limit_for(goal)), 0);
	/* No less than 128 KiB. */
	KUNIT_EXPECT_EQ(test, mheap_held(heap), held - 66 * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->backed), least);
	KUNIT_EXPECT_EQ(test, sparse_kunit_touch(heap, low->start_addr + 7 * PAGE_BYTES, 1), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]),
			(2 * LIMIT_IDLE + 40) * PAGE_BYTES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->scav_count[SCAVENGE_REQUEST]), 0);
	heap_kunit_check(test, heap, 0);
}

/* Random work under limits: what is held is over the goal only if nothing is idle. */
static void scavenge_limit_random(struct kunit *test)
{
	struct goalloc_heap *heap = sparse_kunit_heap(test, 0);
	struct mspan **s = kunit_kcalloc(test, MODEL_SPANS, sizeof(*s), GFP_KERNEL);
	u32 n = 0, over = 0, under = 0;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, s);
	seed_random(test, &rnd);
	/* The tables of as many chunks as spans come to lie in, so that only pages come below. */
	for (u32 i = 0; i < 4; i++) {
		s[i] = sparse_kunit_span(heap, PALLOC_CHUNK_PAGES);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, s[i]->start_addr, 1), 1);
	}
	for (u32 i = 0; i < 4; i++)
		mheap_return_span(s[i]);
	KUNIT_ASSERT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_MAX, 800 * PAGE_BYTES), 0);
	/* Chance may want more of them until both have been. */
	for (u32 op = 0; op < MODEL_OPS || (!(over && under) && op < 20 * MODEL_OPS); op++) {
		u32 r = prandom_u32_state(&rnd), i = n ? (r >> 8) % n : 0;
		u64 goal = scavenge_goal(heap->limit), idle, had;

		switch (r % 8) {
		case 0:
		case 1:
			if (n == MODEL_SPANS)
				break;
			s[n] = sparse_kunit_span(heap, 1 + (r >> 8) % 60);
			n += !!s[n];
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			if (!n)
				break;
			had = atomic64_read(&heap->backed);
			KUNIT_ASSERT_EQ(test, sparse_kunit_touch(heap, s[i]->start_addr +
					(r >> 16) % s[i]->npages * PAGE_BYTES, 1), 1);
			/* It was backed before. */
			if (atomic64_read(&heap->backed) == had && mheap_held(heap) > goal)
				break;
			idle = heap->pages_sys - mheap_pages_in_use(heap) -
				mheap_pages_released(heap);
			KUNIT_ASSERT_TRUE_MSG(test, !idle || mheap_held(heap) <= goal,
					      "op %u: holds %llu, goal %llu, %llu idle", op,
					      mheap_held(heap), goal, idle);
			over += mheap_held(heap) > goal;
			under += mheap_held(heap) <= goal && goal != GOALLOC_NO_LIMIT;
			break;
		case 6:
			if (!n)
				break;
			mheap_return_span(s[i]);
			s[i] = s[--n];
			break;
		case 7:
			had = r & 256 ? mheap_held(heap) + (r >> 9) % SZ_1M : r >> 9;
			KUNIT_EXPECT_EQ(test, mheap_set_param(heap, GOALLOC_PARAM_LIMIT, had), 0);
			break;
		}
	}
	kunit_info(test, "%u touches over the goal, %u under it\n", over, under);
	KUNIT_EXPECT_GT(test, over, 0);
	KUNIT_EXPECT_GT(test, under, 0);
	KUNIT_EXPECT_GT(test, atomic64_read(&heap->scav_bytes[SCAVENGE_LIMIT]), 0);
	heap_kunit_check(test, heap, 0);
}

static struct kunit_case scavenge_cases[] = {
	KUNIT_CASE_PARAM(scavenge_sparse_table, sparse_gen_params),
	KUNIT_CASE_PARAM(scavenge_linear_table, linear_gen_params),
	KUNIT_CASE(scavenge_model_sparse),
	KUNIT_CASE(scavenge_model_linear),
	KUNIT_CASE_SLOW(scavenge_busy_sparse),
	KUNIT_CASE_SLOW(scavenge_busy_linear),
	KUNIT_CASE_SLOW(scavenge_busy_limit),
	KUNIT_CASE_SLOW(scavenge_churn),
	KUNIT_CASE(scavenge_held_by_two),
	KUNIT_CASE(scavenge_passed_by),
	KUNIT_CASE(scavenge_reserve),
	KUNIT_CASE(scavenge_kernel_heap),
	KUNIT_CASE(scavenge_goals),
	KUNIT_CASE(scavenge_limit),
	KUNIT_CASE(scavenge_limit_random),
	{}
};

static struct kunit_suite scavenge_suite = {
	.name = "goalloc_scavenge",
	.init = heap_kunit_stay,
	.test_cases = scavenge_cases,
};

kunit_test_suite(scavenge_suite);

GOALLOC_KUNIT_IMPORT;
