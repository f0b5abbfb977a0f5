// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects of kernel heaps as KASAN and kmemleak see them: see checkers.h.
 */
#include <linux/bits.h>
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

#include "backing.h"
#include "checkers.h"
#include "compat.h"
#include "mheap.h"
#include "mspan.h"

#if GOALLOC_CHECKERS

#if IS_ENABLED(CONFIG_DEBUG_KMEMLEAK)
/* What takes much more than an allocation, and some 300 bytes for an object. */
static bool goalloc_kmemleak __read_mostly = true;
module_param_named(kmemleak, goalloc_kmemleak, bool, 0644);
MODULE_PARM_DESC(kmemleak, "Tell kmemleak of the objects of kernel heaps");

/* What vmalloc() has made for an object it knows from there. */
static void leak_made(unsigned long addr, size_t size, gfp_t gfp)
{
	if (READ_ONCE(goalloc_kmemleak) && !is_vmalloc_addr((void *)addr))
		kmemleak_alloc((void *)addr, size, 1, gfp);
}

/* One that it was not told of is none to it. */
static void leak_freeing(unsigned long addr)
{
	if (!is_vmalloc_addr((void *)addr))
		kmemleak_free((void *)addr);
}
#else
static void leak_made(unsigned long addr, size_t size, gfp_t gfp) {}
static void leak_freeing(unsigned long addr) {}
#endif

#if GOALLOC_KASAN
/* KASAN's words for a page that is free and for what lies behind an object in one. */
#define SHADOW_FREE		0xff
#define SHADOW_REDZONE		0xfe

#define GRANULE			BIT(KASAN_SHADOW_SCALE_SHIFT)

static bool has_shadow(unsigned long addr)
{
	return IS_ENABLED(CONFIG_KASAN_VMALLOC) || !is_vmalloc_addr((void *)addr);
}

/* Whole granules. The compiler would have the shadow's own shadow looked at. */
static void shadow_set(unsigned long addr, u64 bytes, u8 value)
{
	if (has_shadow(addr))
		__memset(kasan_mem_to_shadow((void *)addr), value,
			 bytes >> KASAN_SHADOW_SCALE_SHIFT);
}

/* The first @size bytes of a slot may be used. Slots are whole granules. */
static void shadow_object(unsigned long addr, u64 size, u64 slot)
{
	u64 whole = round_down(size, GRANULE);

	shadow_set(addr, whole, 0);
	if (size > whole) {
		shadow_set(addr + whole, GRANULE, size - whole);
		whole += GRANULE;
	}
	shadow_set(addr + whole, slot - whole, SHADOW_REDZONE);
}
#else
#define SHADOW_FREE		0

static void shadow_set(unsigned long addr, u64 bytes, u8 value) {}
static void shadow_object(unsigned long addr, u64 size, u64 slot) {}
#endif

static bool is_pointers(const struct mspan *s)
{
	return s->heap->backing == BACKING_LINEAR;
}

/**
 * checkers_span - a span was made, nothing in it lives
 * @s: the span
 *
 * Context: any.
 */
void checkers_span(const struct mspan *s)
{
	/* What is mapped ends with the object. */
	if (is_pointers(s))
		shadow_set(s->base, s->vmapped ? s->elemsize : mspan_bytes(s), SHADOW_FREE);
}

/**
 * checkers_span_ends - what still lives in a span goes with it
 * @s: the span, of a heap or a class that ends
 *
 * Context: any but NMI.
 */
void checkers_span_ends(const struct mspan *s)
{
	u32 w;

	if (!is_pointers(s))
		return;
	for (w = 0; w < s->nwords; w++) {
		union mspan_word word = { .both = READ_ONCE(s->words[w].both) };

		checkers_freeing_slots(s, w, mspan_word_live(word));
	}
}

/**
 * checkers_open - memory of a slot that was taken is about to be written
 * @addr: where it begins
 * @bytes: how much of it
 *
 * Context: any.
 */
void checkers_open(unsigned long addr, u64 bytes)
{
	shadow_set(addr, bytes, 0);
}

GOALLOC_EXPORT_FOR_KUNIT(checkers_open);

/**
 * checkers_made - an object was made
 * @addr: the object, or 0 for none
 * @size: bytes that were asked for
 * @gfp: the caller's flags
 *
 * Tiny objects share granules, so that KASAN knows their blocks only.
 *
 * Context: any but NMI, as @gfp says; preemption as the caller has it.
 * Return: the object.
 */
void *checkers_made(unsigned long addr, size_t size, gfp_t gfp)
{
	struct mspan *s;

	if (!addr)
		return NULL;
	preempt_disable();
	s = span_of(addr);
	if (s && !s->tiny)
		shadow_object(addr, size, s->elemsize);
	preempt_enable();
	leak_made(addr, size, gfp);
	return (void *)addr;
}

GOALLOC_EXPORT_FOR_KUNIT(checkers_made);

/**
 * checkers_resized - an object stays where it is with another size
 * @addr: the object
 * @size: bytes it has from now on
 * @gfp: the caller's flags
 *
 * Context: any but NMI, as @gfp says.
 */
void checkers_resized(unsigned long addr, size_t size, gfp_t gfp)
{
	leak_freeing(addr);
	checkers_made(addr, size, gfp);
}

/**
 * checkers_freeing - an object is about to be freed
 * @s: its span
 * @addr: the object, live and not tiny
 *
 * Context: any but NMI.
 */
void checkers_freeing(const struct mspan *s, unsigned long addr)
{
	if (!is_pointers(s))
		return;
	leak_freeing(addr);
	shadow_set(addr, s->elemsize, SHADOW_FREE);
}

/**
 * checkers_freeing_slots - objects of a span are about to be freed
 * @s: the span
 * @w: which word of it
 * @slots: their bits in the word
 *
 * Context: any but NMI.
 */
void checkers_freeing_slots(const struct mspan *s, u32 w, u32 slots)
{
	u32 slot, off;

	if (!is_pointers(s))
		return;
	for (; slots; slots &= slots - 1) {
		slot = w * MSPAN_WORD_SLOTS + __ffs(slots);
		if (!s->tiny) {
			checkers_freeing(s, mspan_is_large(s) ? s->base :
					    mspan_slot_addr(s, slot));
			continue;
		}
		for (off = 0; off < GOALLOC_TINY_SIZE; off++)
			checkers_tiny_freeing(s, slot, off);
		checkers_tiny_dead(s, slot);
	}
}

/**
 * checkers_tiny_freeing - a tiny object is about to be freed
 * @s: its span
 * @slot: its block
 * @off: where in the block an object begins, or not
 *
 * Context: any but NMI.
 */
void checkers_tiny_freeing(const struct mspan *s, u32 slot, u32 off)
{
	if (is_pointers(s) && READ_ONCE(s->tiny->word[slot]) >> TINY_LIVE_SHIFT & BIT(off))
		leak_freeing(s->base + slot * GOALLOC_TINY_SIZE + off);
}

GOALLOC_EXPORT_FOR_KUNIT(checkers_tiny_freeing);

/**
 * checkers_tiny_dead - a tiny block is about to be freed
 * @s: its span
 * @slot: the block
 *
 * Context: any.
 */
void checkers_tiny_dead(const struct mspan *s, u32 slot)
{
	if (is_pointers(s))
		shadow_set(s->base + slot * GOALLOC_TINY_SIZE, GOALLOC_TINY_SIZE, SHADOW_FREE);
}

#endif /* GOALLOC_CHECKERS */
