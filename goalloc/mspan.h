/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Spans: runs of heap pages cut into equal slots (Go: mheap.go mspan,
 * mbitmap.go allocBits).
 *
 * A span's state lives here, never in its pages. For each 32 slots there is
 * one 64-bit word in two halves:
 *
 *	free	bit = 1: the slot is free. Written by the span's holder only, with
 *		plain stores (I1). Takes the place of Go's allocBits and
 *		allocCache.
 *	kept	bit = 0: somebody who is not the holder has freed the slot, a
 *		remote free. Cleared by a compare-and-swap of the whole word,
 *		which succeeds only while the slot is live, so that of several
 *		frees of one object one wins and the others know (I2). Set by
 *		the holder, who makes the slot free in the same swap.
 *
 * A slot is live when it is kept and not free (I2). Bits past the last slot are 0
 * in both halves for ever, so that they can be neither freed nor handed out.
 *
 * The holder's free is a load and a store, not a locked instruction. When it
 * meets a remote free of the same object, a double free from two CPUs at the
 * same instant, the slot ends up free and not kept, and both callers saw success.
 * It is free once all the same: next_free_fast() does not hand it out before the
 * halves are merged, and the merge counts the second free as the fault that it
 * is. Only if the holder allocates the slot again in that very instant is the
 * second free one of the new object, as with any double free that comes after
 * its slot was reused. File heaps know no holder's free: there every free
 * swaps, and one of several wins.
 *
 * Who holds a span is its place. It changes under the lock of the span's
 * mcentral and is read without it by whoever has just freed a slot remotely:
 *
 *	  from \ to   CACHED  PARTIAL  FULL  HELD
 *	  HELD          x        x      x
 *	  CACHED                 x      x     x
 *	  PARTIAL       x                      x
 *	  FULL                   x             x
 *
 *	HELD	in no list: being made, swept, or given back to the heap
 *	CACHED	the mcache of one CPU and context allocates from it
 *	PARTIAL	in a partial set of its mcentral
 *	FULL	in a full set of its mcentral; every large object's span
 *
 * Of a kernel heap's span in which few slots live the pages of the system without
 * a live one may go back. It is closed then, and stays so: it is FULL whatever is
 * free in it, nobody allocates from it, and it returns to the heap when the last
 * object dies (backing.c).
 *
 * A free that finds FULL makes the span PARTIAL, or HELD if all of it is free and
 * none is kept in reserve; one that finds its word all free looks whether the whole
 * span is, and gives it back (I4). Whoever moves
 * a span to FULL or PARTIAL looks at the remote bits after the store of the
 * place, and whoever frees looks at the place after the store of the remote
 * bit, both with a full barrier between the two: one of them sees the other
 * (I3).
 *
 * A tiny block, 16 bytes of packed objects, has a word of its own beside the
 * span's, with one bit for each byte in two masks: where objects began since
 * the block was taken, and which of those live. From then on every change of it
 * is one compare-and-swap, by the allocating mcache as by those who free, so
 * that exactly one of them sees the last object go. Taking it is a plain store:
 * nothing lives in it, and only a live object can be freed. An object always begins at
 * byte 0, so that bit of the first mask is free to say that an mcache still
 * packs objects into the block. The slot is freed by whoever takes away the
 * last of the two: the last live object, or that mark.
 */
#ifndef GOALLOC_MSPAN_H
#define GOALLOC_MSPAN_H

#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "layout.h"
#include "sizeclass.h"

struct goalloc_heap;
struct mcache_alloc;
struct mcentral;

/*
 * Span classes: Go's size class << 1 | noscan, and one of ours. Go packs tiny
 * blocks into spans of span class 5, among other 16-byte objects. Here they
 * have spans of their own, which alone carry the blocks' masks, and which are
 * span class 5 to the outside.
 */
#define GOALLOC_NUM_SPAN_CLASSES	(GOALLOC_NUM_SIZE_CLASSES << 1)
#define GOALLOC_TINY_SPAN_CLASS		(GOALLOC_NUM_SPAN_CLASSES)
#define GOALLOC_NUM_CENTRALS		(GOALLOC_NUM_SPAN_CLASSES + 1)

/* Behind them the exact classes that a heap's users made: see class.c. */
#define GOALLOC_MAX_EXACT		32
#define GOALLOC_ALL_CENTRALS		(GOALLOC_NUM_CENTRALS + GOALLOC_MAX_EXACT)

static_assert(GOALLOC_ALL_CENTRALS <= U8_MAX);

static inline bool spanclass_is_exact(u8 spc)
{
	return spc >= GOALLOC_NUM_CENTRALS;
}

static inline u8 make_spanclass(u8 sizeclass, bool noscan)
{
	return sizeclass << 1 | noscan;
}

/* The span class that users see. Exact classes are Go's none: class 0. */
static inline u8 spanclass_public(u8 spc)
{
	if (spc == GOALLOC_TINY_SPAN_CLASS)
		return make_spanclass(GOALLOC_TINY_SIZE_CLASS, true);
	return spanclass_is_exact(spc) ? 0 : spc;
}

static inline u8 spanclass_sizeclass(u8 spc)
{
	return spanclass_public(spc) >> 1;
}

/* Of the classes of the table; an exact class's mcentral says. */
static inline bool spanclass_noscan(u8 spc)
{
	return spanclass_public(spc) & 1;
}

/* Go's mSpanState. mSpanManual has no use here: no stacks live in a heap. */
enum mspan_state {
	MSPAN_DEAD,
	MSPAN_IN_USE,
};

enum mspan_place {
	MSPAN_HELD,
	MSPAN_CACHED,
	MSPAN_PARTIAL,
	MSPAN_FULL,
};

#define MSPAN_WORD_SLOTS	32

union mspan_word {
	struct {
		u32 free;
		u32 kept;
	};
	u64 both;
} __aligned(8);

/* The word of a tiny block: TINY_HELD or starts in the low half, live above. */
#define TINY_HELD		BIT(0)
#define TINY_LIVE_SHIFT		16
#define TINY_LIVE_MASK		GENMASK(31, 16)
#define TINY_BLOCKS		(GOALLOC_PAGE_SIZE / GOALLOC_TINY_SIZE)

/**
 * struct tiny_blocks - what is known of the tiny blocks of a span
 * @word: two masks for each block
 * @used: bytes taken of each block, written by the mcache that holds it
 */
struct tiny_blocks {
	u32 word[TINY_BLOCKS];
	u8 used[TINY_BLOCKS];
};

/* mspan.owner while no mcache allocates from the span. */
#define MSPAN_NO_OWNER		(~0U)

/* In the owner of a tiny span, so that the shortest way to free leaves it alone. */
#define MSPAN_TINY_OWNER	BIT(31)

/**
 * struct gc_bits - the marks of a span (Go: gcBits)
 * @rcu: frees them, also from where kfree() may not be called
 * @bits: one a slot
 */
struct gc_bits {
	struct rcu_head rcu;
	unsigned long bits[];
};

/**
 * struct mspan - a run of heap pages in use
 *
 * Freed after an RCU grace period: a free that raced with the span's return
 * to the heap finds every slot free and is refused (I2).
 *
 * What a free needs is in one cache line: the fields from @base on, and the
 * first words.
 *
 * @place: where the span is; changed under @central's lock, read without
 * @state: Go's state, mSpanInUse from publication to return
 * @empty: in @central's count of spans kept though all their slots are free
 *	(mcentral lock)
 * @needzero: the pages may hold old bytes
 * @vmapped: pages of its own, mapped by vmalloc()
 * @band: which of @central's partial lists it is in (mcentral lock)
 * @nid: the node its memory lies on, or NUMA_NO_NODE where that is many or
 *	does not matter
 * @sweepgen: Go's, against the heap's (I5)
 * @elemsize32: bytes of a slot; 0 for one large object
 * @start_addr: heap address of the run
 * @npages: heap pages
 * @elemsize: bytes of a slot, large objects' too
 * @heap: the heap it belongs to
 * @central: its mcentral
 * @list: in a set of @central (its lock)
 * @tiny: its tiny blocks, or NULL
 * @gcmark_bits: marks of the cycle under way, or NULL
 * @next: the next one its mcache has of this class
 * @gone: of a closed one, which of the system's pages that it lies in have no
 *	memory: whoever has it HELD writes it
 * @rcu: frees the record
 * @work: takes down the mapping of a span freed where that is not allowed
 * @base: address of the first slot: a kernel address on kernel heaps, a heap
 *	address on file heaps. Constant, as are @divmul, @nelems, @nwords,
 *	@spanclass and the sizes.
 * @divmul: 2^64 / @elemsize32, rounded up; 1 for one large object
 * @owner: cpu | context << 28 of the mcache that allocates from it, with
 *	MSPAN_TINY_OWNER if it is a tiny span; or MSPAN_NO_OWNER. Written by the
 *	holder.
 * @nelems: slots
 * @nwords: words of 32 slots
 * @spanclass: index of its mcentral
 * @cache: the entry for this span class of the owner, or of the last one
 * @words: free and kept bits
 */
struct mspan {
	u8 place;
	u8 state;
	u8 empty;
	u8 needzero;
	u8 vmapped;
	u8 band;
	s16 nid;
	u32 sweepgen;
	u32 elemsize32;
	u64 start_addr;
	u64 npages;
	u64 elemsize;
	struct goalloc_heap *heap;
	struct mcentral *central;
	struct list_head list;
	struct tiny_blocks *tiny;
	struct gc_bits *gcmark_bits;
	union {
		struct mspan *next;
		u64 gone;
	};
	union {
		struct rcu_head rcu;
		struct work_struct work;
	};

	unsigned long base __aligned(64);
	u64 divmul;
	u32 owner;
	u16 nelems;
	u8 nwords;
	u8 spanclass;
	struct mcache_alloc *cache;
	union mspan_word words[];
};

/* A record with so many words. The size of the struct itself has padding. */
#define MSPAN_RECORD_SIZE(nwords)	\
	(offsetof(struct mspan, words) + (nwords) * sizeof(union mspan_word))

/* The record of no span: no slot of it is free, or live. Never written. */
extern struct mspan goalloc_emptymspan;

static inline u64 mspan_bytes(const struct mspan *s)
{
	return s->npages << GOALLOC_PAGE_SHIFT;
}

/* In mspan.band once nobody is to allocate from the span any more. */
#define MSPAN_CLOSED		U8_MAX

static inline bool mspan_is_closed(const struct mspan *s)
{
	return READ_ONCE(s->band) == MSPAN_CLOSED;
}

static inline bool mspan_is_large(const struct mspan *s)
{
	return s->spanclass < 2;
}

/* The bits of word @w that stand for slots. */
static inline u32 mspan_word_slots(const struct mspan *s, u32 w)
{
	u32 n = s->nelems - w * MSPAN_WORD_SLOTS;

	return n >= MSPAN_WORD_SLOTS ? ~0U : ~(~0U << n);
}

/* The slots of a word that are live. */
static inline u32 mspan_word_live(union mspan_word v)
{
	return v.kept & ~v.free;
}

/*
 * The lower half of a product, and in @high its upper half. For the compiler's own
 * the second factor is in a register, and the result leaves the one it is in.
 */
static __always_inline u64 mul_halves(u64 a, const u64 *b, u64 *high)
{
#ifdef __x86_64__
	u64 low;

	asm("mulq %3" : "=a" (low), "=d" (*high) : "0" (a), "m" (*b));
	return low;
#else
	*high = mul_u64_u64_shr(a, *b, 64);
	return a * *b;
#endif
}

/*
 * Divides the address's offset by the size of a slot. True if nothing remains:
 * the lower half of the product is then a multiple of what @divmul was rounded up
 * by, and less than @divmul, and else it is not (after Lemire, Kaser and Kurz,
 * Faster remainder by direct computation). The slot may be the one behind the
 * last, whose bits are those of no slot.
 */
static __always_inline bool mspan_divide(const struct mspan *s, unsigned long addr, u64 *slot)
{
	u64 rest = mul_halves(addr - s->base, &s->divmul, slot);

	return rest < s->divmul;
}

/*
 * Slot of the address, or -1 if it is no slot's first byte (objIndex in Go).
 * The address must lie in the span's pages.
 */
static inline long mspan_slot_of(const struct mspan *s, unsigned long addr)
{
	u64 slot;

	if (!mspan_divide(s, addr, &slot) || slot >= s->nelems)
		return -1;
	return slot;
}

static inline unsigned long mspan_slot_addr(const struct mspan *s, u32 slot)
{
	return s->base + (u64)slot * s->elemsize32;
}

/*
 * The swap that frees slots of a word that the caller does not hold: it succeeds only
 * while all of @mask are live, so of several frees of one object one wins (I2). It is
 * a full barrier: the caller then reads the span's place (I3).
 */
static __always_inline bool mspan_word_free_remote(union mspan_word *w, u32 mask)
{
	union mspan_word old, new;

	old.both = READ_ONCE(w->both);
	do {
		if (unlikely(mask & ~mspan_word_live(old)))
			return false;
		new = old;
		new.kept &= ~mask;
	} while (unlikely(!try_cmpxchg(&w->both, &old.both, new.both)));
	return true;
}

/* Before a slot becomes free: what comes next into it finds old bytes. */
static inline void mark_needzero(struct mspan *s)
{
	if (!READ_ONCE(s->needzero))
		WRITE_ONCE(s->needzero, 1);
}

/* The one slot of a large object's span. */
static inline bool mspan_large_live(const struct mspan *s)
{
	union mspan_word v = { .both = READ_ONCE(s->words[0].both) };

	return mspan_word_live(v) & 1;
}

void mspan_init(struct mspan *s, struct goalloc_heap *heap, u8 spc, u64 start,
		u64 npages, u64 elemsize);
int mspan_free_remote(struct mspan *s, u32 slot);
int mspan_free_owned(struct mspan *s, u32 slot);
bool mspan_merge(struct mspan *s);
bool mspan_word_all_free(const struct mspan *s, u32 w);
bool mspan_all_free(const struct mspan *s);
bool mspan_has_free(const struct mspan *s);
u32 mspan_live(const struct mspan *s);
u32 mspan_objects(const struct mspan *s);
bool mspan_slot_live(const struct mspan *s, u32 slot);

/* The table above: which places may a span go to from one, a bit each. */
extern const u8 mspan_moves[];

void mspan_bad_move(const struct mspan *s, enum mspan_place place);

/**
 * mspan_set_place - moves a span from one place to another
 * @s: the span
 * @place: where it goes
 *
 * Context: the span's holder, under its mcentral's lock or before anybody
 * else can find the span.
 */
static __always_inline void mspan_set_place(struct mspan *s, enum mspan_place place)
{
	if (unlikely(!(mspan_moves[s->place] & BIT(place))))
		mspan_bad_move(s, place);
	WRITE_ONCE(s->place, place);
}

enum tiny_free {
	TINY_FREED,		/* other objects live in the block, or it is held */
	TINY_BLOCK_DEAD,	/* the last object died, an mcache holds the block */
	TINY_SLOT_FREE,		/* the last object died: free the slot */
};

void tiny_take(struct mspan *s, u32 slot);
bool tiny_add(struct mspan *s, u32 slot, u32 off, u32 size);
bool tiny_release(struct mspan *s, u32 slot);
int tiny_free(struct mspan *s, u32 slot, u32 off);
u32 tiny_kill(struct mspan *s, u32 slot);

/* To the mcache that holds the block, no is a lasting answer. */
static inline bool tiny_any_live(const struct mspan *s, u32 slot)
{
	return READ_ONCE(s->tiny->word[slot]) & TINY_LIVE_MASK;
}

bool tiny_object_at(const struct mspan *s, u32 slot, u32 off, bool held_used, u32 *start,
		    u32 *end, bool *live);

#endif /* GOALLOC_MSPAN_H */
