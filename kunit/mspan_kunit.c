// SPDX-License-Identifier: GPL-2.0-only
/*
 * goalloc_mspan: slots, their two bits, places, and tiny blocks.
 *
 * The spans here are records without pages behind them. Tables first, one row
 * a case, then random work against an array with one byte a slot, then two
 * CPUs at one span. The seed is printed; the parameter mspan_seed repeats a
 * run.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../goalloc/compat.h"
#include "../goalloc/fixalloc.h"
#include "test_heap.h"

static ulong mspan_seed;
module_param(mspan_seed, ulong, 0444);
MODULE_PARM_DESC(mspan_seed, "seed of goalloc_mspan, 0 for any");

/* Where the pages of the spans would be. */
#define BASE	0xffff888000000000UL

static void seed_rnd(struct kunit *test, struct rnd_state *rnd)
{
	u64 seed = mspan_seed ?: get_random_u64();

	kunit_info(test, "mspan_seed=%llu\n", seed);
	prandom_seed_state(rnd, seed);
}

static void end_span(void *arg)
{
	struct mspan *s = arg;

	fixalloc_mspan_free_now(s->heap, s);
}

static struct mspan *new_span(struct kunit *test, struct goalloc_heap *heap, u8 spc)
{
	u8 class = spanclass_sizeclass(spc);
	u64 npages = class ? goalloc_class_to_allocnpages[class] : 5;
	u64 size = class ? goalloc_class_to_size[class] : npages << GOALLOC_PAGE_SHIFT;
	struct mspan *s = fixalloc_mspan(heap, spc, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	mspan_init(s, heap, spc, GOALLOC_HEAP_BASE, npages, size);
	s->base = BASE;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, end_span, s), 0);
	return s;
}

/* All slots of a span are live. */
static void take_all(struct mspan *s)
{
	for (u32 w = 0; w < s->nwords; w++) {
		s->words[w].free = 0;
		s->words[w].kept = mspan_word_slots(s, w);
	}
}

/* Fresh spans of every class: every slot free, every bit past the last not. */
static void mspan_fresh(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);

	for (u32 spc = 0; spc < GOALLOC_NUM_CENTRALS; spc++) {
		struct mspan *s = new_span(test, heap, spc);
		u32 n = spc < 2 ? 1 : goalloc_class_to_nelems[spanclass_sizeclass(spc)];

		KUNIT_ASSERT_EQ(test, s->nelems, n);
		KUNIT_ASSERT_EQ(test, s->nwords, DIV_ROUND_UP(n, 32));
		for (u32 i = 0; i < s->nwords * 32; i++) {
			union mspan_word v = test_word(s, i);
			u32 bit = BIT(i % 32);

			KUNIT_ASSERT_EQ_MSG(test, !!(v.free & bit), i < n,
					    "span class %u slot %u", spc, i);
			KUNIT_ASSERT_EQ_MSG(test, !(v.kept & bit), i >= n,
					    "span class %u slot %u", spc, i);
			KUNIT_ASSERT_EQ(test, !(mspan_word_slots(s, i / 32) & bit), i >= n);
			KUNIT_ASSERT_FALSE(test, mspan_slot_live(s, i));
		}
		KUNIT_EXPECT_EQ(test, mspan_live(s), 0);
		KUNIT_EXPECT_TRUE(test, mspan_all_free(s));
		KUNIT_EXPECT_TRUE(test, mspan_has_free(s));
		KUNIT_EXPECT_EQ(test, s->place, MSPAN_HELD);
		KUNIT_EXPECT_EQ(test, s->owner, MSPAN_NO_OWNER);
		KUNIT_EXPECT_EQ(test, !!s->tiny, spc == GOALLOC_TINY_SPAN_CLASS);

		/* With every slot live, and after a merge, the invalid bits are as they were. */
		take_all(s);
		KUNIT_EXPECT_EQ(test, mspan_live(s), n);
		KUNIT_EXPECT_FALSE(test, mspan_has_free(s));
		KUNIT_EXPECT_FALSE(test, mspan_merge(s));
		KUNIT_ASSERT_EQ(test, mspan_free_remote(s, n - 1), 0);
		KUNIT_EXPECT_TRUE(test, mspan_has_free(s));
		KUNIT_EXPECT_TRUE(test, mspan_merge(s));
		KUNIT_EXPECT_EQ(test, test_word(s, n - 1).free, BIT((n - 1) % 32));
		KUNIT_EXPECT_EQ(test, ~test_word(s, n - 1).kept,
				~mspan_word_slots(s, s->nwords - 1));
		KUNIT_EXPECT_EQ(test, mspan_live(s), n - 1);
		for (u32 i = n; i < s->nwords * 32; i++) {
			KUNIT_ASSERT_EQ(test, mspan_free_remote(s, i), -EALREADY);
			KUNIT_ASSERT_EQ(test, mspan_free_owned(s, i), -EALREADY);
		}
	}
}

/*
 * Every byte of a span of every class: a slot's first byte or none's. What is found
 * in the tail is a slot that is neither live nor free, in the record all the same.
 */
static void mspan_slots(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);

	for (u32 class = 1; class < GOALLOC_NUM_SIZE_CLASSES; class++) {
		struct mspan *s = new_span(test, heap, make_spanclass(class, true));
		u32 size = goalloc_class_to_size[class], slot = 0, in = 0, wrong = 0;

		take_all(s);
		for (u32 off = 0; off < mspan_bytes(s); off++) {
			long want = -1;
			u64 at;

			if (!in && slot < s->nelems)
				want = slot;
			if ((mspan_divide(s, BASE + off, &at) != !in || at != slot) && !wrong++)
				KUNIT_FAIL(test, "class %u, offset %u: slot %llu, not %u\n", class,
					   off, at, slot);
			if (!in && mspan_word_live(test_word(s, slot)) >> (slot % 32) & 1 &&
			    slot >= s->nelems && !wrong++)
				KUNIT_FAIL(test, "class %u: slot %u is live\n", class, slot);
			if (!in && test_word(s, slot).free >> (slot % 32) & 1 && !wrong++)
				KUNIT_FAIL(test, "class %u: slot %u is free\n", class, slot);
			if (mspan_slot_of(s, BASE + off) != want && !wrong++)
				KUNIT_FAIL(test, "class %u, offset %u: slot %ld, not %ld\n", class,
					   off, mspan_slot_of(s, BASE + off), want);
			if (++in == size) {
				slot++;
				in = 0;
			}
		}
		for (slot = 0; slot < s->nelems; slot++)
			KUNIT_ASSERT_EQ(test, mspan_slot_of(s, mspan_slot_addr(s, slot)), slot);
		cond_resched();
	}
	/* One large object: its first byte. */
	KUNIT_EXPECT_EQ(test, mspan_slot_of(new_span(test, heap, 0), BASE), 0);
	KUNIT_EXPECT_EQ(test, mspan_slot_of(new_span(test, heap, 1), BASE + 1), -1);
	KUNIT_EXPECT_EQ(test, mspan_slot_of(new_span(test, heap, 1), BASE + 8192), -1);
}

enum op { OWNED, REMOTE, MERGE };

/* One operation on one word, of 32 slots or, where @few is set, of 7. */
static const struct word_case {
	const char *name;
	bool few;
	u32 free, remote;
	enum op op;
	u32 slot;
	int ret;
	u32 free_after, remote_after;
	u32 late;
} word_cases[] = {
	{ "owner frees a live slot", false, 0x10, 0, OWNED, 3, 0, 0x18, 0 },
	{ "owner frees beside a remote free", false, 0, 0x1, OWNED, 31, 0, 0x80000000, 0x1 },
	{ "owner frees twice", false, 0x8, 0, OWNED, 3, -EALREADY, 0x8, 0 },
	{ "owner frees what is freed remotely", false, 0, 0x8, OWNED, 3, -EALREADY, 0, 0x8 },
	{ "owner frees past the last slot", true, 0, 0xffffff80, OWNED, 7, -EALREADY,
	  0, 0xffffff80 },
	{ "remote free of a live slot", false, 0x10, 0x20, REMOTE, 3, 0, 0x10, 0x28 },
	{ "remote free twice", false, 0, 0x8, REMOTE, 3, -EALREADY, 0, 0x8 },
	{ "remote free of a free slot", false, 0x8, 0, REMOTE, 3, -EALREADY, 0x8, 0 },
	{ "remote free of a slot with both", false, 0x8, 0x8, REMOTE, 3, -EALREADY, 0x8, 0x8 },
	{ "remote free past the last slot", true, 0, 0xffffff80, REMOTE, 7, -EALREADY,
	  0, 0xffffff80 },
	{ "merge of nothing", false, 0, 0, MERGE, 0, false, 0, 0 },
	{ "merge of free slots only", false, 0x6, 0, MERGE, 0, true, 0x6, 0 },
	{ "merge", false, 0x6, 0x80000011, MERGE, 0, true, 0x80000017, 0 },
	{ "merge of all", false, 0, ~0U, MERGE, 0, true, ~0U, 0 },
	{ "merge of nothing, few slots", true, 0, 0xffffff80, MERGE, 0, false, 0, 0xffffff80 },
	{ "merge, few slots", true, 0x1, 0xffffffc0, MERGE, 0, true, 0x41, 0xffffff80 },
	{ "late double free", false, 0x8, 0x8, MERGE, 0, true, 0x8, 0, 1 },
	{ "late double frees among others", true, 0x55, 0xffffff8f, MERGE, 0, true, 0x5f,
	  0xffffff80, 2 },
};

KUNIT_ARRAY_PARAM_DESC(word, word_cases, name);

static void mspan_word_ops(struct kunit *test)
{
	const struct word_case *row = test->param_value;
	struct goalloc_heap *heap = test_heap(test);
	/* 1152 bytes: 7 slots. 256 bytes: 32. */
	u8 spc = make_spanclass(row->few ? 33 : 18, false);
	struct mspan *s = new_span(test, heap, spc);
	int ret;

	KUNIT_ASSERT_EQ(test, s->nelems, row->few ? 7 : 32);
	s->words[0].free = row->free;
	s->words[0].kept = ~row->remote;
	switch (row->op) {
	case OWNED:
		ret = mspan_free_owned(s, row->slot);
		break;
	case REMOTE:
		ret = mspan_free_remote(s, row->slot);
		break;
	default:
		ret = mspan_merge(s);
	}
	KUNIT_EXPECT_EQ(test, ret, row->ret);
	KUNIT_EXPECT_EQ(test, s->words[0].free, row->free_after);
	KUNIT_EXPECT_EQ(test, ~s->words[0].kept, row->remote_after);
	/* The merge tells of the second free, and takes its count back. */
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), row->late);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->frees[spc]), -(s64)row->late);
}

/* Both bits set by hand, as the race described in mspan.h leaves them. */
static void mspan_late(struct kunit *test)
{
	struct goalloc_heap *heap = test_heap(test);
	struct mspan *s = new_span(test, heap, make_spanclass(18, false));
	struct mcache_alloc a = {
		.word = s->words, .base = s->base, .elemsize = s->elemsize32, .span = s,
	};

	take_all(s);
	s->words[0].free = BIT(5) | BIT(9);
	s->words[0].kept = (u32)~BIT(5);
	KUNIT_EXPECT_EQ(test, mspan_live(s), 30);
	KUNIT_EXPECT_FALSE(test, mspan_slot_live(s, 5));
	/* Not handed out as long as it is free and not kept, but others are, */
	KUNIT_EXPECT_EQ(test, test_next_free(&a), mspan_slot_addr(s, 9));
	KUNIT_EXPECT_EQ(test, test_next_free(&a), 0);
	KUNIT_EXPECT_EQ(test, a.nmalloc, 1);
	KUNIT_EXPECT_EQ(test, s->words[0].free, BIT(5));
	KUNIT_EXPECT_EQ(test, s->words[0].kept, (u32)~BIT(5));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 0);
	/* and once after the merge. */
	KUNIT_EXPECT_TRUE(test, mspan_merge(s));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 1);
	KUNIT_EXPECT_EQ(test, test_next_free(&a), mspan_slot_addr(s, 5));
	KUNIT_EXPECT_EQ(test, test_next_free(&a), 0);
	KUNIT_EXPECT_FALSE(test, mspan_merge(s));
	KUNIT_EXPECT_EQ(test, a.nmalloc, 2);
}

/* The slow span: a byte a slot. */
enum slot { LIVE, FREE, GONE, BOTH };

struct slow {
	u8 slot[GOALLOC_MAX_OBJS_PER_SPAN];
};

static void expect_slow(struct kunit *test, const struct mspan *s, const struct slow *slow)
{
	u32 live = 0, has_free = 0;

	for (u32 w = 0; w < s->nwords; w++) {
		u32 free = 0, remote = 0, used = 0;

		for (u32 b = 0; b < 32; b++) {
			u32 i = w * 32 + b;
			u8 is = i < s->nelems ? slow->slot[i] : GONE;

			free |= (is == FREE || is == BOTH) << b;
			remote |= (u32)(is == GONE || is == BOTH) << b;
			used += is == LIVE;
			has_free += i < s->nelems && is != LIVE;
		}
		KUNIT_ASSERT_EQ_MSG(test, s->words[w].free, free, "word %u", w);
		KUNIT_ASSERT_EQ_MSG(test, ~s->words[w].kept, remote, "word %u", w);
		KUNIT_ASSERT_EQ(test, mspan_word_all_free(s, w), !used);
		live += used;
	}
	KUNIT_ASSERT_EQ(test, mspan_live(s), live);
	KUNIT_ASSERT_EQ(test, mspan_all_free(s), !live);
	KUNIT_ASSERT_EQ(test, mspan_has_free(s), !!has_free);
}

static void mspan_random(struct kunit *test)
{
	static const u8 classes[] = { 1, 3, 17, 33, 40, 67 };
	struct slow *slow = kunit_kzalloc(test, sizeof(*slow), GFP_KERNEL);
	struct goalloc_heap *heap = test_heap(test);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, slow);
	seed_rnd(test, &rnd);
	for (u32 k = 0; k < ARRAY_SIZE(classes); k++) {
		struct mspan *s = new_span(test, heap, make_spanclass(classes[k], false));
		struct mcache_alloc a = { .elemsize = s->elemsize32, .span = s };
		s64 late = atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]);

		memset(slow->slot, FREE, sizeof(slow->slot));
		for (u32 step = 0; step < 1500; step++) {
			u32 i = prandom_u32_state(&rnd) % s->nelems, w = i / 32;
			u32 op = prandom_u32_state(&rnd) % 64, first, end;
			unsigned long got, want = 0;

			switch (op) {
			case 0:
				for (u32 n = 0; n < s->nelems; n++) {
					late += slow->slot[n] == BOTH;
					if (slow->slot[n] != LIVE)
						slow->slot[n] = FREE;
				}
				mspan_merge(s);
				break;
			case 1:
				/* What two frees at the same instant leave. */
				if (slow->slot[i] == LIVE) {
					s->words[w].free |= BIT(i % 32);
					s->words[w].kept &= (u32)~BIT(i % 32);
					slow->slot[i] = BOTH;
				}
				break;
			case 2 ... 31:
				a.word = &s->words[w];
				a.base = mspan_slot_addr(s, w * 32);
				end = min(w * 32 + 32, (u32)s->nelems);
				for (first = w * 32; first < end; first++)
					if (slow->slot[first] == FREE)
						break;
				if (first < end) {
					want = mspan_slot_addr(s, first);
					slow->slot[first] = LIVE;
				}
				got = test_next_free(&a);
				KUNIT_ASSERT_EQ(test, got, want);
				break;
			case 32 ... 47:
				KUNIT_ASSERT_EQ(test, mspan_free_owned(s, i),
						slow->slot[i] == LIVE ? 0 : -EALREADY);
				if (slow->slot[i] == LIVE)
					slow->slot[i] = FREE;
				break;
			default:
				KUNIT_ASSERT_EQ(test, mspan_free_remote(s, i),
						slow->slot[i] == LIVE ? 0 : -EALREADY);
				if (slow->slot[i] == LIVE)
					slow->slot[i] = GONE;
			}
			KUNIT_ASSERT_EQ(test, mspan_slot_live(s, i), slow->slot[i] == LIVE);
			expect_slow(test, s, slow);
		}
		KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), late);
		cond_resched();
	}
}

/* Two CPUs free every slot of a span remotely: each slot is freed once (I2). */
#define TWICE_ROUNDS	200

struct twice {
	struct mspan *s;
	u32 won[2];
	u32 wrong;
};

static void twice_fn(struct test_pair *p, int who)
{
	struct twice *t = p->arg;
	u32 round = 0;

	for (u32 k = 0; k < TWICE_ROUNDS && test_pair_again(p, who, ++round); k++) {
		if (!who)
			take_all(t->s);
		t->won[who] = 0;
		test_pair_meet(p, ++round);
		for (u32 i = 0; i < t->s->nelems; i++)
			t->won[who] += !mspan_free_remote(t->s, i);
		test_pair_meet(p, ++round);
		if (!who && t->won[0] + t->won[1] != t->s->nelems)
			t->wrong++;
	}
}

static void mspan_race_double(struct kunit *test)
{
	struct twice t = {};

	t.s = new_span(test, test_heap(test), make_spanclass(10, false));
	test_pair_run(test, twice_fn, &t);
	KUNIT_EXPECT_EQ(test, t.wrong, 0);
	KUNIT_EXPECT_TRUE(test, mspan_all_free(t.s));
}

/*
 * A holder, which takes and frees with plain stores, and somebody who frees
 * slots of the same words: nothing is lost, nothing handed out twice (I1).
 */
#define OWNER_OBJECTS	30000

struct owner {
	struct mspan *s;
	u8 live[GOALLOC_MAX_OBJS_PER_SPAN];
	u16 ring[64];
	u32 head, tail;
	u32 twice, refused;
	bool done;
};

static void owner_hold(struct owner *o)
{
	struct mspan *s = o->s;
	struct mcache_alloc a = {
		.word = s->words, .base = s->base, .elemsize = s->elemsize32, .span = s,
	};
	u32 made = 0;

	while (made < OWNER_OBJECTS) {
		unsigned long v = test_next_free(&a);
		u32 slot;

		if (!v) {
			u32 w = (a.word - s->words + 1) % s->nwords;

			a.word = &s->words[w];
			a.base = mspan_slot_addr(s, w * 32);
			if (!w)
				mspan_merge(s);
			continue;
		}
		slot = mspan_slot_of(s, v);
		made++;
		if (xchg(&o->live[slot], 1))
			o->twice++;
		if (made % 3 == 0) {
			WRITE_ONCE(o->live[slot], 0);
			if (mspan_free_owned(s, slot))
				o->refused++;
			continue;
		}
		/* Pairs with the release of @tail: the entry was read. */
		while (o->head - smp_load_acquire(&o->tail) == ARRAY_SIZE(o->ring))
			cpu_relax();
		o->ring[o->head % ARRAY_SIZE(o->ring)] = slot;
		/* The entry before the head. */
		smp_store_release(&o->head, o->head + 1);
	}
	/* The last head before the end. */
	smp_store_release(&o->done, true);
}

static void owner_free(struct owner *o)
{
	for (;;) {
		/* Pairs with the release of @done: then the head is the last one. */
		bool done = smp_load_acquire(&o->done);
		u32 slot;

		/* Pairs with the release of @head. */
		if (smp_load_acquire(&o->head) == o->tail) {
			if (done)
				return;
			cpu_relax();
			continue;
		}
		slot = o->ring[o->tail % ARRAY_SIZE(o->ring)];
		WRITE_ONCE(o->live[slot], 0);
		if (mspan_free_remote(o->s, slot))
			o->refused++;
		/* The entry may be used anew. */
		smp_store_release(&o->tail, o->tail + 1);
	}
}

static void owner_fn(struct test_pair *p, int who)
{
	test_pair_meet(p, 1);
	if (who)
		owner_free(p->arg);
	else
		owner_hold(p->arg);
}

static void mspan_race_owner(struct kunit *test)
{
	struct owner *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
	struct goalloc_heap *heap = test_heap(test);

	KUNIT_ASSERT_NOT_NULL(test, o);
	/* Two words: the two are often at the same one. */
	o->s = new_span(test, heap, make_spanclass(10, false));
	KUNIT_ASSERT_EQ(test, o->s->nwords, 2);
	test_pair_run(test, owner_fn, o);
	KUNIT_EXPECT_EQ(test, o->twice, 0);
	KUNIT_EXPECT_EQ(test, o->refused, 0);
	KUNIT_EXPECT_EQ(test, mspan_live(o->s), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->faults[GOALLOC_FAULT_LATE]), 0);
}

/* The moves of the table in mspan.h, each on the way it is reached. */
static void mspan_places(struct kunit *test)
{
	static const u8 ways[][8] = {
		{ MSPAN_CACHED, MSPAN_PARTIAL, MSPAN_CACHED, MSPAN_FULL, MSPAN_PARTIAL,
		  MSPAN_HELD, MSPAN_CACHED, MSPAN_HELD },
		{ MSPAN_FULL, MSPAN_HELD, MSPAN_PARTIAL, MSPAN_HELD, MSPAN_FULL, MSPAN_PARTIAL,
		  MSPAN_CACHED, MSPAN_FULL },
	};
	struct goalloc_heap *heap = test_heap(test);

	for (u32 i = 0; i < ARRAY_SIZE(ways); i++) {
		struct mspan *s = new_span(test, heap, 5);

		for (u32 k = 0; k < ARRAY_SIZE(ways[i]); k++) {
			mspan_set_place(s, ways[i][k]);
			KUNIT_EXPECT_EQ(test, s->place, ways[i][k]);
		}
	}
}

/* Tiny blocks: what each operation answers, in order, on one block. */
enum tiny_op { END, TAKE, ADD, RELEASE, DIES, KILL };

static const struct tiny_case {
	const char *name;
	struct {
		enum tiny_op op;
		u32 off, size;
		int ret;
		u32 word;
	} step[12];
} tiny_cases[] = {
	{ "one object, held", {
		{ TAKE, 0, 0, 0, 0x00000001 },
		{ ADD, 0, 8, 1, 0x00010001 },
		{ DIES, 0, 0, TINY_BLOCK_DEAD, 0x00000001 },
		{ DIES, 0, 0, -EALREADY, 0x00000001 },
		{ ADD, 8, 8, 1, 0x01000101 },
		{ RELEASE, 0, 0, 0, 0x01000100 },
		{ DIES, 4, 0, -EINVAL, 0x01000100 },
		{ DIES, 0, 0, -EALREADY, 0x01000100 },
		{ DIES, 8, 0, TINY_SLOT_FREE, 0x00000100 },
		{ DIES, 8, 0, -EALREADY, 0x00000100 },
		{ TAKE, 0, 0, 0, 0x00000001 },
		{ DIES, 8, 0, -EINVAL, 0x00000001 },
	} },
	{ "released last", {
		{ TAKE, 0, 0, 0, 0x00000001 },
		{ ADD, 0, 1, 1, 0x00010001 },
		{ ADD, 15, 1, 0, 0x80018001 },
		{ DIES, 0, 0, TINY_FREED, 0x80008001 },
		{ DIES, 15, 0, TINY_BLOCK_DEAD, 0x00008001 },
		{ RELEASE, 0, 0, 1, 0x00008000 },
		{ DIES, 15, 0, -EALREADY, 0x00008000 },
		{ DIES, 14, 0, -EINVAL, 0x00008000 },
	} },
	{ "released with two", {
		{ TAKE, 0, 0, 0, 0x00000001 },
		{ ADD, 0, 4, 1, 0x00010001 },
		{ ADD, 4, 4, 0, 0x00110011 },
		{ RELEASE, 0, 0, 0, 0x00110010 },
		{ DIES, 4, 0, TINY_FREED, 0x00010010 },
		{ DIES, 4, 0, -EALREADY, 0x00010010 },
		{ DIES, 0, 0, TINY_SLOT_FREE, 0x00000010 },
	} },
	{ "killed", {
		{ TAKE, 0, 0, 0, 0x00000001 },
		{ ADD, 0, 2, 1, 0x00010001 },
		{ ADD, 2, 2, 0, 0x00050005 },
		{ ADD, 4, 8, 0, 0x00150015 },
		{ RELEASE, 0, 0, 0, 0x00150014 },
		{ DIES, 2, 0, TINY_FREED, 0x00110014 },
		{ KILL, 0, 0, 2, 0x00000014 },
		{ KILL, 0, 0, 0, 0x00000014 },
		{ DIES, 4, 0, -EALREADY, 0x00000014 },
	} },
};

KUNIT_ARRAY_PARAM_DESC(tiny, tiny_cases, name);

static void mspan_tiny_ops(struct kunit *test)
{
	const struct tiny_case *row = test->param_value;
	struct mspan *s = new_span(test, test_heap(test), GOALLOC_TINY_SPAN_CLASS);
	const u32 slot = 77;

	for (u32 i = 0; i < ARRAY_SIZE(row->step) && row->step[i].op; i++) {
		u32 off = row->step[i].off;
		int ret = 0;

		switch (row->step[i].op) {
		case TAKE:
			tiny_take(s, slot);
			break;
		case ADD:
			ret = tiny_add(s, slot, off, row->step[i].size);
			break;
		case RELEASE:
			ret = tiny_release(s, slot);
			break;
		case DIES:
			ret = tiny_free(s, slot, off);
			break;
		default:
			ret = tiny_kill(s, slot);
		}
		KUNIT_EXPECT_EQ_MSG(test, ret, row->step[i].ret, "step %u", i);
		KUNIT_EXPECT_EQ_MSG(test, s->tiny->word[slot], row->step[i].word, "step %u", i);
	}
	/* The other blocks were left alone. */
	for (u32 i = 0; i < s->nelems; i++)
		KUNIT_EXPECT_TRUE(test, i == slot || !s->tiny->word[i]);
}

/* The slow block: one entry a byte. */
struct slow_block {
	bool held;
	bool began[16], lives[16];
	u32 used;
};

static u32 slow_living(const struct slow_block *b)
{
	u32 n = 0;

	for (u32 i = 0; i < 16; i++)
		n += b->lives[i];
	return n;
}

static void expect_block(struct kunit *test, const struct mspan *s, u32 slot,
			 const struct slow_block *b)
{
	bool known = b->held;

	for (u32 i = 0; i < 16; i++)
		known |= b->lives[i] || (i && b->began[i]);
	for (u32 off = 0; off < 16; off++) {
		for (u32 held_used = 0; held_used < 2; held_used++) {
			u32 from = off, to = off + 1, start, end;
			bool live, found;

			found = tiny_object_at(s, slot, off, held_used, &start, &end, &live);
			KUNIT_ASSERT_EQ(test, found, known);
			if (!found)
				continue;
			while (from && !b->began[from])
				from--;
			while (to < 16 && !b->began[to])
				to++;
			if (to == 16 && held_used && b->held)
				to = b->used;
			KUNIT_ASSERT_EQ_MSG(test, start, from, "byte %u", off);
			KUNIT_ASSERT_EQ_MSG(test, end, to, "byte %u", off);
			KUNIT_ASSERT_EQ_MSG(test, live, b->lives[from], "byte %u", off);
		}
	}
}

static void mspan_tiny_random(struct kunit *test)
{
	struct mspan *s = new_span(test, test_heap(test), GOALLOC_TINY_SPAN_CLASS);
	struct slow_block block[3] = {};
	struct rnd_state rnd;

	seed_rnd(test, &rnd);
	for (u32 step = 0; step < 6000; step++) {
		u32 slot = prandom_u32_state(&rnd) % 3, op = prandom_u32_state(&rnd) % 16;
		u32 off = prandom_u32_state(&rnd) % 16, size = 1 + prandom_u32_state(&rnd) % 15;
		struct slow_block *b = &block[slot];
		int want;

		if (!b->held && !slow_living(b)) {
			memset(b, 0, sizeof(*b));
			b->held = true;
			tiny_take(s, slot);
			/* A block is taken for an object. */
			off = 0;
			op = 8;
		}
		switch (op) {
		case 0:
			if (!b->held)
				break;
			b->held = false;
			KUNIT_ASSERT_EQ(test, tiny_release(s, slot), !slow_living(b));
			break;
		case 1:
			/* Sweeping: nobody packs objects into the block. */
			if (b->held)
				break;
			KUNIT_ASSERT_EQ(test, tiny_kill(s, slot), slow_living(b));
			memset(b->lives, 0, sizeof(b->lives));
			break;
		case 2 ... 8:
			off = b->used ? b->used + off % 3 : 0;
			if (!b->held || off + size > 16)
				break;
			KUNIT_ASSERT_EQ(test, tiny_add(s, slot, off, size), !slow_living(b));
			b->began[off] = true;
			b->lives[off] = true;
			b->used = off + size;
			break;
		default:
			want = off && !b->began[off] ? -EINVAL : -EALREADY;
			if (b->lives[off]) {
				b->lives[off] = false;
				want = slow_living(b) ? TINY_FREED :
				       b->held ? TINY_BLOCK_DEAD : TINY_SLOT_FREE;
			}
			KUNIT_ASSERT_EQ(test, tiny_free(s, slot, off), want);
		}
		expect_block(test, s, slot, b);
	}
}

/*
 * One CPU lets go of a block while the other frees its last object: exactly
 * one of the two is told to free the slot.
 */
#define LAST_ROUNDS	3000

struct last {
	struct mspan *s;
	u32 told[2];
	u32 wrong;
};

static void last_fn(struct test_pair *p, int who)
{
	struct last *l = p->arg;
	u32 round = 0;

	for (u32 k = 0; k < LAST_ROUNDS && test_pair_again(p, who, ++round); k++) {
		if (!who) {
			tiny_take(l->s, 0);
			tiny_add(l->s, 0, 0, 8);
			tiny_add(l->s, 0, 8, 8);
		}
		test_pair_meet(p, ++round);
		if (who) {
			l->told[1] = tiny_free(l->s, 0, 0) == TINY_SLOT_FREE;
			l->told[1] += tiny_free(l->s, 0, 8) == TINY_SLOT_FREE;
		} else {
			l->told[0] = tiny_release(l->s, 0);
		}
		test_pair_meet(p, ++round);
		if (!who && l->told[0] + l->told[1] != 1)
			l->wrong++;
	}
}

static void mspan_race_tiny(struct kunit *test)
{
	struct last l = {};

	l.s = new_span(test, test_heap(test), GOALLOC_TINY_SPAN_CLASS);
	test_pair_run(test, last_fn, &l);
	KUNIT_EXPECT_EQ(test, l.wrong, 0);
}

static struct kunit_case mspan_cases[] = {
	KUNIT_CASE(mspan_fresh),
	KUNIT_CASE_SLOW(mspan_slots),
	KUNIT_CASE_PARAM(mspan_word_ops, word_gen_params),
	KUNIT_CASE(mspan_late),
	KUNIT_CASE_SLOW(mspan_random),
	KUNIT_CASE(mspan_places),
	KUNIT_CASE_PARAM(mspan_tiny_ops, tiny_gen_params),
	KUNIT_CASE(mspan_tiny_random),
	KUNIT_CASE_SLOW(mspan_race_double),
	KUNIT_CASE_SLOW(mspan_race_owner),
	KUNIT_CASE_SLOW(mspan_race_tiny),
	{}
};

static struct kunit_suite mspan_suite = {
	.name = "goalloc_mspan",
	.test_cases = mspan_cases,
};

kunit_test_suite(mspan_suite);

GOALLOC_KUNIT_IMPORT;
