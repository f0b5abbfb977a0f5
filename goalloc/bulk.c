// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects made and freed several at a time: slots of one word of bits at once. Go has
 * nothing like it; the slots are those of malloc.c.
 */
#include <linux/goalloc.h>
#include <linux/preempt.h>

#include "backing.h"
#include "checkers.h"
#include "class.h"
#include "compat.h"
#include "counter.h"
#include "malloc.h"
#include "mcache.h"
#include "mcentral.h"
#include "mheap.h"
#include "mspan.h"

/*
 * Frees objects in a row that share a word of bits in a span that others have, or
 * nobody: as mspan_free_remote() does one, all with one swap. Preemption off. Of
 * *@gone the caller disposes with preemption on. Returns how many; what comes next
 * lies elsewhere, or needs a closer look.
 */
static __always_inline size_t free_remote_bulk(struct mspan *s, size_t n, const u64 *addrs,
					       struct mspan **gone)
{
	enum mcache_context ctx = mcache_context();
	union mspan_word *w, old, new;
	unsigned long base;
	struct mcache *mc;
	size_t i;
	u64 slot;
	u32 live;

	if (unlikely(mspan_is_large(s) || s->tiny || ctx == MCACHE_NMI))
		return 0;
	if (unlikely(!mspan_divide(s, addrs[0], &slot)))
		return 0;
	w = &s->words[slot / MSPAN_WORD_SLOTS];
	base = mspan_slot_addr(s, round_down(slot, MSPAN_WORD_SLOTS));
	mark_needzero(s);
	old.both = READ_ONCE(w->both);
	do {
		live = mspan_word_live(old);
		for (i = 0; i < n; i++) {
			/* An object elsewhere is in no slot of the word, or no multiple. */
			if (mul_halves(addrs[i] - base, &s->divmul, &slot) >= s->divmul ||
			    slot >= MSPAN_WORD_SLOTS || !test_and_clear_slot(&live, slot))
				break;
		}
		if (!i)
			return 0;
		checkers_freeing_slots(s, w - s->words, mspan_word_live(old) & ~live);
		new = old;
		new.kept &= ~(mspan_word_live(old) & ~live);
	} while (!try_cmpxchg(&w->both, &old.both, new.both));

	mc = this_mcache(s->heap, ctx);
	if (likely(mc != &goalloc_emptymcache))
		one_writer_add(mc->alloc[s->spanclass].nfree, i);
	else
		atomic64_add(i, &s->heap->frees[s->spanclass]);
	if (READ_ONCE(s->place) != MSPAN_CACHED && mcentral_freed(s, w - s->words))
		*gone = s;
	return i;
}

/**
 * mallocgc_free_bulk - frees objects of a sparse heap that lie together
 * @heap: the heap
 * @n: how many there are
 * @addrs: their heap addresses, any values
 *
 * Context: task, may sleep.
 * Return: how many of the first ones were freed; if none, the first is for
 * mallocgc_free().
 */
size_t mallocgc_free_bulk(struct goalloc_heap *heap, size_t n, const u64 *addrs)
{
	struct mspan *s, *gone = NULL;
	size_t done = 0;

	preempt_disable();
	s = span_of_heap(heap, addrs[0]);
	if (s)
		done = free_remote_bulk(s, n, addrs, &gone);
	preempt_enable();
	if (gone)
		mheap_return_span(gone);
	return done;
}

GOALLOC_EXPORT_FOR_KUNIT(mallocgc_free_bulk);

/* Takes up to @n free slots of the current word. Returns how many there were. */
static __always_inline size_t next_free_bulk(struct mcache_alloc *a, size_t n, void **objs)
{
	union mspan_word *w = a->word;
	u32 free = READ_ONCE(w->free), can = free & READ_ONCE(w->kept), left = can;
	void **obj = objs, **end = objs + n;
	unsigned long base = a->base;
	u32 elemsize = a->elemsize;

	/* The empty mcache is nobody's to write. */
	if (!can)
		return 0;
	while (left && obj < end) {
		*obj++ = (void *)(base + first_slot(left) * elemsize);
		left &= left - 1;
	}
	WRITE_ONCE(w->free, free & ~(can ^ left));
	one_writer_add(a->nmalloc, obj - objs);
	return obj - objs;
}

/* Word by word. Returns how many were made; @size bytes of each were asked for. */
static __always_inline size_t alloc_bulk(struct goalloc_heap *heap, u8 spc, u32 elemsize,
					 u32 size, gfp_t gfp, size_t n, void **objs)
{
	size_t done = 0, from;

	while (done < n) {
		struct mcache *mc;
		unsigned long v;
		size_t taken;

		preempt_disable();
		mc = this_mcache(heap, mcache_context());
		taken = next_free_bulk(&mc->alloc[spc], n - done, objs + done);
		if (!taken && (mcache_next_word(mc, spc) || mcache_next_span(mc, spc)))
			taken = next_free_bulk(&mc->alloc[spc], n - done, objs + done);
		preempt_enable();
		done += taken;
		if (!taken) {
			v = malloc_small_slow(heap, spc, gfp, NULL);
			if (!v)
				break;
			objs[done++] = (void *)v;
		}
	}
	if (gfp & __GFP_ZERO)
		for (from = 0; from < done; from++)
			malloc_zero(heap, (unsigned long)objs[from], elemsize);
	for (from = 0; GOALLOC_CHECKERS && from < done; from++)
		checkers_made((unsigned long)objs[from], size, gfp);
	return done;
}

/**
 * goalloc_alloc_bulk - makes several objects of one size
 * @heap: the heap, or NULL for the module's own
 * @size: bytes of each
 * @flags: as for goalloc_heap_alloc()
 * @gfp: as for goalloc_alloc()
 * @n: how many
 * @objs: where their addresses go
 *
 * Context: as goalloc_alloc().
 * Return: how many were made; the first ones of @objs.
 */
size_t goalloc_alloc_bulk(struct goalloc_heap *heap, size_t size, u32 flags, gfp_t gfp,
			  size_t n, void **objs)
{
	bool noscan = !(flags & GOALLOC_SCAN);
	size_t done = 0;
	u8 class;

	if (flags & ~(GOALLOC_SCAN | GOALLOC_UNINIT))
		return 0;
	heap = heap ?: goalloc_kernel_heap;
	if (size - 1 >= GOALLOC_MAX_SMALL_SIZE || (noscan && is_packed(size))) {
		for (; done < n; done++) {
			objs[done] = goalloc_heap_alloc(heap, size, flags, gfp);
			if (!objs[done])
				break;
		}
		return done;
	}
	class = goalloc_size_to_class(size);
	return alloc_bulk(heap, make_spanclass(class, noscan), goalloc_class_to_size[class], size,
			  gfp, n, objs);
}
EXPORT_SYMBOL_GPL(goalloc_alloc_bulk);

/**
 * goalloc_class_alloc_bulk - makes several objects of an exact class
 * @cls: from goalloc_class_create()
 * @gfp: as for goalloc_alloc()
 * @n: how many
 * @objs: where their addresses go
 *
 * Context: as goalloc_alloc().
 * Return: how many were made; the first ones of @objs.
 */
size_t goalloc_class_alloc_bulk(struct goalloc_class *cls, gfp_t gfp, size_t n, void **objs)
{
	return alloc_bulk(cls->heap, cls->spc, cls->heap->central[cls->spc].elemsize, cls->size,
			  gfp, n, objs);
}
EXPORT_SYMBOL_GPL(goalloc_class_alloc_bulk);

/*
 * Frees objects in a row that share a word of bits in a span that this CPU has in
 * this context, as free_owned() does one. Preemption off. Returns how many; what
 * comes next lies elsewhere, or is for goalloc_free().
 */
static __always_inline size_t free_owned_bulk(struct mspan *s, size_t n, void **objs)
{
	void **obj = objs, **end = objs + n;
	union mspan_word *w;
	unsigned long base;
	u32 live, was;
	u64 slot;

	if (unlikely(!mspan_divide(s, (unsigned long)objs[0], &slot)))
		return 0;
	w = &s->words[slot / MSPAN_WORD_SLOTS];
	base = mspan_slot_addr(s, round_down(slot, MSPAN_WORD_SLOTS));
	was = READ_ONCE(w->kept) & ~READ_ONCE(w->free);
	live = was;
	do {
		/* An object elsewhere is in no slot of the word, or no multiple. */
		if (mul_halves((unsigned long)*obj - base, &s->divmul, &slot) >= s->divmul ||
		    slot >= MSPAN_WORD_SLOTS)
			break;
		if (unlikely(!test_and_clear_slot(&live, slot)))
			break;
	} while (++obj < end);
	checkers_freeing_slots(s, w - s->words, was & ~live);
	WRITE_ONCE(w->free, READ_ONCE(w->free) | (was & ~live));
	one_writer_add(s->cache->nfree, obj - objs);
	return obj - objs;
}

/**
 * goalloc_free_bulk - frees several objects
 * @n: how many
 * @objs: the objects, of whatever sizes and heaps; NULL among them is fine
 *
 * Context: as goalloc_free().
 */
void goalloc_free_bulk(size_t n, void **objs)
{
	struct mspan *s, *gone;
	size_t i, freed;

	for (i = 0; i < n; i += freed) {
		gone = NULL;
		preempt_disable();
		s = span_of_direct((unsigned long)objs[i]);
		if (likely(READ_ONCE(s->owner) == owner_here()))
			freed = free_owned_bulk(s, n - i, objs + i);
		else
			freed = free_remote_bulk(s, n - i, (const u64 *)(objs + i), &gone);
		if (likely(freed)) {
			preempt_enable();
			if (unlikely(gone))
				mheap_free_span(gone);
		} else {
			free_elsewhere_or_warn(objs[i], s);
			freed = 1;
		}
	}
}
EXPORT_SYMBOL_GPL(goalloc_free_bulk);
