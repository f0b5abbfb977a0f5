// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots, bits and places of spans. mspan.h has the whole story.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/lockdep.h>
#include <linux/numa.h>

#include "compat.h"
#include "mheap.h"
#include "mspan.h"

/**
 * mspan_init - makes a span of the pages it was given (Go: mspan.init)
 * @s: the record, zeroed
 * @heap: the heap the pages are of
 * @spc: span class, 0 or 1 for a large object
 * @start: heap address of the first page
 * @npages: heap pages
 * @elemsize: bytes of a slot; all of a large object's
 *
 * All slots are free afterwards. @s->base is left to the backing.
 *
 * Context: any; the caller holds the span.
 */
void mspan_init(struct mspan *s, struct goalloc_heap *heap, u8 spc, u64 start,
		u64 npages, u64 elemsize)
{
	u32 w;

	s->heap = heap;
	s->central = &heap->central[spc];
	s->spanclass = spc;
	s->start_addr = start;
	s->npages = npages;
	s->elemsize = elemsize;
	s->owner = MSPAN_NO_OWNER;
	s->nid = NUMA_NO_NODE;
	s->place = MSPAN_HELD;
	INIT_LIST_HEAD(&s->list);

	if (spc < 2) {
		s->nelems = 1;
		s->divmul = 1;
	} else if (spanclass_is_exact(spc)) {
		s->elemsize32 = elemsize;
		s->divmul = s->central->divmul;
		s->nelems = s->central->nelems;
	} else {
		u8 class = spanclass_sizeclass(spc);

		s->elemsize32 = elemsize;
		s->divmul = goalloc_class_to_divmagic[class];
		s->nelems = goalloc_class_to_nelems[class];
	}
	s->nwords = DIV_ROUND_UP(s->nelems, MSPAN_WORD_SLOTS);
	for (w = 0; w < s->nwords; w++) {
		s->words[w].free = mspan_word_slots(s, w);
		s->words[w].kept = mspan_word_slots(s, w);
	}
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_init);

/**
 * mspan_free_remote - frees a slot of a span that the caller does not hold
 * @s: the span
 * @slot: the slot
 *
 * The swap succeeds only on a live slot, so of several frees of one object
 * one wins (I2). It is a full barrier: the caller then reads the place of the
 * span (I3), in mcentral_freed().
 *
 * Context: any. RCU keeps @s: preemption off or rcu_read_lock() held.
 * Return: 0, or -EALREADY and nothing has changed.
 */
int mspan_free_remote(struct mspan *s, u32 slot)
{
	union mspan_word *w = &s->words[slot / MSPAN_WORD_SLOTS];

	return mspan_word_free_remote(w, BIT(slot % MSPAN_WORD_SLOTS)) ? 0 : -EALREADY;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_free_remote);

/**
 * mspan_free_owned - frees a slot of a span that the caller holds
 * @s: the span
 * @slot: the slot
 *
 * Context: the span's holder (I1), which nothing of its own kind interrupts.
 * Return: 0, or -EALREADY and nothing has changed.
 */
int mspan_free_owned(struct mspan *s, u32 slot)
{
	union mspan_word *w = &s->words[slot / MSPAN_WORD_SLOTS];
	u32 mask = BIT(slot % MSPAN_WORD_SLOTS);
	u32 free = READ_ONCE(w->free);

	if (!(READ_ONCE(w->kept) & ~free & mask))
		return -EALREADY;
	WRITE_ONCE(w->free, free | mask);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_free_owned);

/*
 * Takes the remote frees of a word over into its free half. Both change in one swap,
 * so a slot is never seen live in between. A slot that was free and not kept is a
 * double free that no caller was told of (mspan.h); it was counted as a free,
 * which is taken back here.
 */
static void mspan_merge_word(struct mspan *s, u32 w)
{
	u32 slots = mspan_word_slots(s, w);
	union mspan_word *word = &s->words[w];
	union mspan_word old, new;
	u32 late;

	old.both = READ_ONCE(word->both);
	do {
		if (old.kept == slots)
			return;
		new.free = old.free | (slots & ~old.kept);
		new.kept = slots;
	} while (!try_cmpxchg(&word->both, &old.both, new.both));

	late = old.free & ~old.kept;
	if (unlikely(late)) {
		atomic64_add(hweight32(late), &s->heap->faults[GOALLOC_FAULT_LATE]);
		atomic64_sub(hweight32(late), &s->heap->frees[s->spanclass]);
	}
}

/**
 * mspan_merge - takes over what others have freed
 * @s: the span
 *
 * Context: the span's holder (I1): its mcache, whoever has it HELD, or the
 * holder of its mcentral's lock while it is in one of its sets.
 * Return: true if a slot is free.
 */
bool mspan_merge(struct mspan *s)
{
	bool any = false;
	u32 w;

	for (w = 0; w < s->nwords; w++) {
		mspan_merge_word(s, w);
		any |= READ_ONCE(s->words[w].free) != 0;
	}
	return any;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_merge);

/**
 * mspan_word_all_free - is no slot of a word live
 * @s: the span
 * @w: the word
 *
 * Context: any, racy unless the caller holds the span.
 * Return: true if all of its slots are free, by whomever.
 */
bool mspan_word_all_free(const struct mspan *s, u32 w)
{
	union mspan_word v;

	v.both = READ_ONCE(s->words[w].both);
	return !mspan_word_live(v);
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_word_all_free);

/**
 * mspan_all_free - is no slot live
 * @s: the span
 *
 * Context: any. A true answer lasts if nobody can allocate from the span:
 * under its mcentral's lock and in one of its sets, or HELD by the caller.
 * Return: true if all slots are free.
 */
bool mspan_all_free(const struct mspan *s)
{
	u32 w;

	for (w = 0; w < s->nwords; w++)
		if (!mspan_word_all_free(s, w))
			return false;
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_all_free);

/**
 * mspan_has_free - is any slot free
 * @s: the span
 *
 * Context: any, racy unless the caller holds the span.
 * Return: true if a slot is free, by whomever.
 */
bool mspan_has_free(const struct mspan *s)
{
	u32 w;

	for (w = 0; w < s->nwords; w++) {
		union mspan_word v;

		v.both = READ_ONCE(s->words[w].both);
		if (mspan_word_live(v) != mspan_word_slots(s, w))
			return true;
	}
	return false;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_has_free);

/**
 * mspan_live - how many slots are live
 * @s: the span
 *
 * Context: any, racy unless the caller holds the span.
 * Return: slots, tiny blocks counted as one.
 */
u32 mspan_live(const struct mspan *s)
{
	u32 live = 0, w;

	for (w = 0; w < s->nwords; w++) {
		union mspan_word v;

		v.both = READ_ONCE(s->words[w].both);
		live += hweight32(mspan_word_live(v));
	}
	return live;
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_live);

/**
 * mspan_objects - how many objects live
 * @s: the span
 *
 * Context: any, racy unless the caller holds the span.
 * Return: objects, each tiny one counted.
 */
u32 mspan_objects(const struct mspan *s)
{
	u32 n = 0, slot;

	if (!s->tiny)
		return mspan_live(s);
	for (slot = 0; slot < s->nelems; slot++)
		if (mspan_slot_live(s, slot))
			n += hweight32(READ_ONCE(s->tiny->word[slot]) & TINY_LIVE_MASK);
	return n;
}

/**
 * mspan_slot_live - is this slot live
 * @s: the span
 * @slot: the slot
 *
 * Context: any.
 * Return: true if neither the holder nor anybody else has freed it (I2).
 */
bool mspan_slot_live(const struct mspan *s, u32 slot)
{
	union mspan_word v;

	v.both = READ_ONCE(s->words[slot / MSPAN_WORD_SLOTS].both);
	return mspan_word_live(v) & BIT(slot % MSPAN_WORD_SLOTS);
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_slot_live);

const u8 mspan_moves[] = {
	[MSPAN_HELD]	= BIT(MSPAN_CACHED) | BIT(MSPAN_PARTIAL) | BIT(MSPAN_FULL),
	[MSPAN_CACHED]	= BIT(MSPAN_HELD) | BIT(MSPAN_PARTIAL) | BIT(MSPAN_FULL),
	[MSPAN_PARTIAL]	= BIT(MSPAN_CACHED) | BIT(MSPAN_HELD),
	[MSPAN_FULL]	= BIT(MSPAN_PARTIAL) | BIT(MSPAN_HELD),
};

GOALLOC_EXPORT_FOR_KUNIT(mspan_moves);

/**
 * mspan_bad_move - warns of a move that is not in the table
 * @s: the span
 * @place: where it goes
 *
 * Context: as mspan_set_place().
 */
noinline void mspan_bad_move(const struct mspan *s, enum mspan_place place)
{
	WARN_ONCE(1, "goalloc: span at %llx cannot go from place %u to %u\n", s->start_addr,
		  s->place, place);
}

GOALLOC_EXPORT_FOR_KUNIT(mspan_bad_move);

/**
 * tiny_take - makes a tiny block of a slot
 * @s: a tiny span, held by the caller
 * @slot: a slot of it, just taken; or a block that it holds, with nothing live
 *
 * Context: the mcache that holds the span.
 */
void tiny_take(struct mspan *s, u32 slot)
{
	WRITE_ONCE(s->tiny->used[slot], 0);
	/*
	 * Nothing lives in the block, so no free changes the word now; whoever
	 * frees in it later has got an address from tiny_add(), which orders.
	 */
	WRITE_ONCE(s->tiny->word[slot], TINY_HELD);
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_take);

/**
 * tiny_add - an object begins in a tiny block
 * @s: the span
 * @slot: the block's slot
 * @off: byte of the block at which the object begins
 * @size: bytes it takes
 *
 * Context: the mcache that holds the block.
 * Return: true if no other object lives in the block.
 */
bool tiny_add(struct mspan *s, u32 slot, u32 off, u32 size)
{
	u32 bits = BIT(off) | BIT(off + TINY_LIVE_SHIFT);
	u32 *word = &s->tiny->word[slot];
	u32 old = READ_ONCE(*word);

	while (!try_cmpxchg(word, &old, old | bits))
		;
	/* After the word: see tiny_object_at(). */
	WRITE_ONCE(s->tiny->used[slot], off + size);
	return !(old & TINY_LIVE_MASK);
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_add);

/**
 * tiny_release - no more objects will begin in a tiny block
 * @s: the span
 * @slot: the block's slot
 *
 * Context: the mcache that holds the block.
 * Return: true if no object lives in it: the caller frees the slot.
 */
bool tiny_release(struct mspan *s, u32 slot)
{
	u32 *word = &s->tiny->word[slot];
	u32 old = READ_ONCE(*word);

	while (!try_cmpxchg(word, &old, old & ~TINY_HELD))
		;
	return !(old & TINY_LIVE_MASK);
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_release);

/**
 * tiny_free - an object of a tiny block dies
 * @s: the span
 * @slot: the block's slot
 * @off: byte of the block at which the object began
 *
 * Context: any. RCU keeps @s: preemption off or rcu_read_lock() held.
 * Return: an enum tiny_free, or -EALREADY if the object was freed before or
 * never was, -EINVAL if none began there since the block was taken.
 */
int tiny_free(struct mspan *s, u32 slot, u32 off)
{
	u32 live = BIT(off + TINY_LIVE_SHIFT);
	u32 *word = &s->tiny->word[slot];
	u32 old = READ_ONCE(*word), new;

	do {
		if (off && !(old & BIT(off)))
			return -EINVAL;
		if (!(old & live))
			return -EALREADY;
		new = old & ~live;
	} while (!try_cmpxchg(word, &old, new));

	if (new & TINY_LIVE_MASK)
		return TINY_FREED;
	return new & TINY_HELD ? TINY_BLOCK_DEAD : TINY_SLOT_FREE;
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_free);

/**
 * tiny_kill - all objects of a tiny block die
 * @s: the span, held by the caller
 * @slot: the block's slot, in which no mcache packs objects any more
 *
 * Context: whoever sweeps the span.
 * Return: how many died.
 */
u32 tiny_kill(struct mspan *s, u32 slot)
{
	u32 *word = &s->tiny->word[slot];
	u32 old = READ_ONCE(*word);

	while (!try_cmpxchg(word, &old, old & ~TINY_LIVE_MASK))
		;
	return hweight32(old & TINY_LIVE_MASK);
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_kill);

/**
 * tiny_object_at - finds the tiny object that holds a byte
 * @s: the span
 * @slot: the block's slot
 * @off: the byte within the block
 * @held_used: the last object ends where the block's use ends; else at the
 *	end of the block
 * @start: where the object begins
 * @end: where the next one does, or the last one's end
 * @live: whether it lives
 *
 * Context: any.
 * Return: false if the block was never taken.
 */
bool tiny_object_at(const struct mspan *s, u32 slot, u32 off, bool held_used, u32 *start,
		    u32 *end, bool *live)
{
	u32 word, starts, above, used;

	/*
	 * How much was used when the word was this one: tiny_add() writes it
	 * after the word, so of the next object either both are seen here or
	 * neither is.
	 */
	do {
		word = READ_ONCE(s->tiny->word[slot]);
		smp_rmb(); /* word, used, word: see above */
		used = READ_ONCE(s->tiny->used[slot]);
		smp_rmb(); /* word, used, word: see above */
	} while (unlikely(word != READ_ONCE(s->tiny->word[slot])));

	if (!word)
		return false;
	starts = (word & ~TINY_LIVE_MASK) | BIT(0);
	*start = __fls(starts & GENMASK(off, 0));
	above = starts & ~GENMASK(*start, 0);
	if (above)
		*end = __ffs(above);
	else if (held_used && (word & TINY_HELD))
		/* Below the start if the object is being made just now. */
		*end = max(used, *start);
	else
		*end = GOALLOC_TINY_SIZE;
	*live = word & BIT(*start + TINY_LIVE_SHIFT);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(tiny_object_at);
