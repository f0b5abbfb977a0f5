// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tiny, small and large objects, and the kernel API (Go: malloc.go).
 *
 * The map of the whole, for an object of a heap, each part in the file of its
 * name:
 *
 *	malloc		which path: tiny, small, large; free
 *	bulk		several objects at a time
 *	sizeclass	small sizes to size classes
 *	mcache		each CPU and context: a span of each class to take from
 *	mcentral	each class: the spans that no mcache has
 *	mheap		the heap: spans from runs of pages
 *	arena		its address space: chunks of pages, addresses to spans
 *	pagecache	runs of pages that each CPU has set aside
 *	pagealloc	runs of pages: a radix tree over the bitmaps of pallocbits
 *	backing		memory behind pages: alloc_pages(), in blocks on kernel heaps
 *	sparse		and a page at a time on file heaps, mapped by processes
 *	scavenge	idle memory back to the system
 *	mspan		slots, and who may write their bits
 *	sweep		slots that a cycle found dead
 *	fixalloc	memory for the records of all of these
 *	mstats		the books
 *	chardev, ioctl	/dev/goalloc
 *	debugfs		what goes on
 *	main		the module
 */
#include <linux/align.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "backing.h"
#include "checkers.h"
#include "class.h"
#include "compat.h"
#include "malloc.h"
#include "mcache.h"
#include "mheap.h"
#include "mspan.h"
#include "sparse.h"
#include "sweep.h"

/* A request for more than any address space has. */
#define MALLOC_MAX	GOALLOC_HEAP_SPACE

/**
 * malloc_zero - makes part of an object zero
 * @heap: the heap
 * @addr: where; on a sparse heap that is no pointer
 * @len: bytes
 *
 * Context: any but NMI.
 * Return: false if the task is to end before all of a large object is zero.
 */
bool malloc_zero(struct goalloc_heap *heap, unsigned long addr, u64 len)
{
	if (heap->backing == BACKING_SPARSE)
		return sparse_zero(heap, addr, len);
	checkers_open(addr, len);
	memset((void *)addr, 0, len);
	return true;
}

/**
 * malloc_small_slow - takes a slot of a class when the span at hand has none
 * @heap: the heap
 * @spc: span class
 * @gfp: how to get a span
 * @needzero: whether there may be old bytes in it; may be NULL
 *
 * Apart from the fast path, which then needs no stack of its own.
 *
 * Context: as @gfp says; preemption as the caller has it.
 * Return: the slot's address, or 0.
 */
noinline unsigned long malloc_small_slow(struct goalloc_heap *heap, u8 spc, gfp_t gfp,
					 bool *needzero)
{
	struct mspan *span;
	unsigned long v = mcache_next_free(heap, spc, gfp, &span);

	if (v) {
		if (needzero)
			*needzero = READ_ONCE(span->needzero);
		preempt_enable();
	}
	return v;
}

/*
 * Takes a slot of a class. @needzero, if not NULL, says whether there may be
 * old bytes in it: who frees sets the span's flag before the slot's bit.
 */
static __always_inline unsigned long malloc_small(struct goalloc_heap *heap, unsigned int spc,
						  gfp_t gfp, bool *needzero)
{
	struct mcache_alloc *a;
	unsigned long v;

	preempt_disable();
	a = &this_mcache(heap, mcache_context())->alloc[spc];
	if (unlikely(!next_free_fast(a, &v))) {
		preempt_enable();
		return malloc_small_slow(heap, spc, gfp, needzero);
	}
	if (needzero)
		*needzero = READ_ONCE(a->span->needzero);
	preempt_enable();
	return v;
}

/* What a tiny object's address is a multiple of, by its size, as in Go. */
static u32 tiny_align(u32 off, u32 size)
{
	if (!(size & 7))
		return ALIGN(off, 8);
	if (!(size & 3))
		return ALIGN(off, 4);
	if (!(size & 1))
		return ALIGN(off, 2);
	return off;
}

/*
 * Packs the object behind the last one of this mcache's tiny block. If it does
 * not fit, a new block is taken, and of the two the emptier one is kept; unless
 * all objects of the old one are dead, when it is as good as a new one.
 */
static unsigned long malloc_tiny(struct goalloc_heap *heap, u32 size, gfp_t gfp)
{
	struct mcache *mc;
	struct mcache_alloc *a;
	unsigned long v;
	struct mspan *s;
	u32 off, slot;

	preempt_disable();
	mc = this_mcache(heap, mcache_context());
	a = &mc->alloc[GOALLOC_TINY_SPAN_CLASS];
	off = tiny_align(mc->tinyoffset, size);
	if (mc->tiny && off + size > GOALLOC_TINY_SIZE &&
	    !tiny_any_live(a->span, mc->tinyslot)) {
		/* Full, and nothing lives in it: take the same block anew. */
		malloc_zero(heap, mc->tiny, GOALLOC_TINY_SIZE);
		tiny_take(a->span, mc->tinyslot);
		off = 0;
	}
	if (mc->tiny && off + size <= GOALLOC_TINY_SIZE) {
		v = mc->tiny + off;
		mc->tinyoffset = off + size;
		/* The block counts as a slot taken while an object lives in it. */
		if (tiny_add(a->span, mc->tinyslot, off, size))
			one_writer_add(a->nmalloc, 1);
		one_writer_add(mc->tinyallocs, 1);
		preempt_enable();
		return v;
	}

	if (unlikely(!next_free_fast(a, &v))) {
		preempt_enable();
		v = mcache_next_free(heap, GOALLOC_TINY_SPAN_CLASS, gfp, &s);
		if (!v)
			return 0;
		mc = this_mcache(heap, mcache_context());
		a = &mc->alloc[GOALLOC_TINY_SPAN_CLASS];
	}
	s = a->span;
	slot = (v - s->base) / GOALLOC_TINY_SIZE;
	if (heap->backing == BACKING_LINEAR)
		checkers_open(v, GOALLOC_TINY_SIZE);
	/* All of it: an object may use what lies between it and the next (I7). */
	if (READ_ONCE(s->needzero))
		malloc_zero(heap, v, GOALLOC_TINY_SIZE);
	tiny_take(s, slot);
	tiny_add(s, slot, 0, size);
	one_writer_add(mc->tinyallocs, 1);
	if (!mc->tiny || size < mc->tinyoffset) {
		mcache_release_tiny(mc);
		mc->tiny = v;
		mc->tinyslot = slot;
		mc->tinyoffset = size;
	} else if (tiny_release(s, slot)) {
		/* The object lives, but for a bad free of its address. */
		mspan_free_owned(s, slot);
	}
	preempt_enable();
	return v;
}

/* A span of its own. Large objects are rare: everything counts in the heap. */
static unsigned long malloc_large(struct goalloc_heap *heap, u64 size, u64 align, bool noscan,
				  bool zero, gfp_t gfp)
{
	u64 npages = DIV_ROUND_UP_ULL(size, GOALLOC_PAGE_SIZE);
	u64 bytes = npages << GOALLOC_PAGE_SHIFT, align_pages;
	union mspan_word taken = {};
	struct mspan *s;
	unsigned long v;

	if (unlikely(in_nmi()))
		return 0;
	/* What the kernel has for itself begins a page, where that is larger, too. */
	if (heap->backing == BACKING_LINEAR)
		align = max_t(u64, align, PAGE_SIZE);
	s = npages <= LARGE_CACHE_PAGES ?
	    large_cache_take(heap, make_spanclass(0, noscan), npages, align) : NULL;
	if (s) {
		/* As good as a new one, and swept like one: it has no marks (I5). */
		WRITE_ONCE(s->sweepgen, READ_ONCE(heap->sweepgen));
	} else {
		align_pages = align > GOALLOC_PAGE_SIZE ? align >> GOALLOC_PAGE_SHIFT : 1;
		deduct_sweep_credit(heap, bytes);
		s = mheap_alloc_span(heap, npages, align_pages, make_spanclass(0, noscan),
				     bytes, gfp);
		if (!s)
			return 0;
	}
	v = s->base;
	if (zero && READ_ONCE(s->needzero) && !malloc_zero(heap, v, bytes)) {
		mheap_return_span(s);
		return 0;
	}
	/* Its one slot is taken, whoever freed it last. */
	taken.kept = 1;
	WRITE_ONCE(s->words[0].both, taken.both);
	atomic64_add(bytes, &heap->large_alloc);
	atomic64_inc(&heap->large_alloc_count);
	mcentral_put_large(s);
	return v;
}

/*
 * The smallest class that holds the size and whose slots are all aligned. Span
 * bases are aligned to a heap page.
 */
static u8 aligned_class(u32 size, u32 align)
{
	u8 class = goalloc_size_to_class(size);

	while (class < GOALLOC_NUM_SIZE_CLASSES && goalloc_class_to_size[class] % align)
		class++;
	return class;
}

/**
 * mallocgc - makes an object (Go: mallocgc)
 * @heap: the heap
 * @size: bytes
 * @align: what its address is to be a multiple of, a power of two; 0 for what
 *	its size gives
 * @flags: GOALLOC_SCAN, GOALLOC_UNINIT
 * @gfp: how to get memory
 * @addr: the object's address: a kernel address, or a heap address on a sparse
 *	heap; GOALLOC_ZERO_ADDR for 0 bytes
 * @usable: bytes of it that may be used
 *
 * Context: any, as @gfp says; from NMI it fails.
 * Return: 0, -EFBIG if no address space is that large, or -ENOMEM.
 */
int mallocgc(struct goalloc_heap *heap, u64 size, u64 align, u32 flags, gfp_t gfp,
	     unsigned long *addr, u64 *usable)
{
	bool noscan = !(flags & GOALLOC_SCAN), zero = !(flags & GOALLOC_UNINIT);
	u8 class = GOALLOC_NUM_SIZE_CLASSES;
	bool needzero = false;
	unsigned long v;

	if (!size) {
		*addr = GOALLOC_ZERO_ADDR;
		*usable = 0;
		return 0;
	}
	if (size > MALLOC_MAX)
		return -EFBIG;
	if (size <= GOALLOC_MAX_SMALL_SIZE && align <= GOALLOC_PAGE_SIZE) {
		/* A user's word, by which tables are looked up (Spectre v1). */
		size = array_index_nospec(size, GOALLOC_MAX_SMALL_SIZE + 1);
		class = aligned_class(size, align ?: 1);
	}

	if (noscan && size < GOALLOC_TINY_SIZE && align <= 1) {
		/* Blocks are zeroed as they are taken; its process may write to all of one. */
		v = malloc_tiny(heap, size, gfp);
		needzero = heap->backing == BACKING_SPARSE;
		*usable = size;
	} else if (class < GOALLOC_NUM_SIZE_CLASSES) {
		v = malloc_small(heap, make_spanclass(class, noscan), gfp, &needzero);
		*usable = goalloc_class_to_size[class];
	} else {
		v = malloc_large(heap, size, align, noscan, zero, gfp);
		*usable = round_up(size, GOALLOC_PAGE_SIZE);
	}
	if (!v)
		return -ENOMEM;
	if (zero && needzero)
		malloc_zero(heap, v, *usable);
	if (heap->backing == BACKING_LINEAR)
		checkers_made(v, size, gfp);
	*addr = v;
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(mallocgc);

static __always_inline void count_free_large(struct mspan *s)
{
	atomic64_add(s->elemsize, &s->heap->large_free);
	atomic64_inc(&s->heap->large_free_count);
}

/*
 * A slot or an object of this class was freed here. Counted in this CPU's
 * mcache if it has one. Preemption off.
 */
static __always_inline void count_free(struct mspan *s, struct mcache *mc)
{
	struct goalloc_heap *heap = s->heap;

	if (mspan_is_large(s))
		count_free_large(s);
	else if (likely(mc != &goalloc_emptymcache))
		one_writer_add(mc->alloc[s->spanclass].nfree, 1);
	else
		atomic64_inc(&heap->frees[s->spanclass]);
}

static void count_tiny_free(struct mspan *s, struct mcache *mc)
{
	if (likely(mc != &goalloc_emptymcache))
		one_writer_add(mc->tinyfrees, 1);
	else
		atomic64_inc(&s->heap->tinyfrees);
}

/*
 * Frees an object of a span that this CPU has in this context: plain loads and
 * stores. Preemption off. False if it is no live object: then nothing has changed.
 */
static __always_inline bool free_owned(struct mspan *s, unsigned long addr)
{
	u64 slot, word;
	u32 free;

	/* The slot behind the last one is neither live nor free. */
	if (unlikely(!mspan_divide(s, addr, &slot)))
		return false;
	word = slot / MSPAN_WORD_SLOTS;
	free = READ_ONCE(s->words[word].free);
	if (unlikely(test_and_set_slot(&free, slot)))
		return false;
	if (unlikely(!(READ_ONCE(s->words[word].kept) >> (slot % MSPAN_WORD_SLOTS) & 1)))
		return false;
	checkers_freeing(s, addr);
	WRITE_ONCE(s->words[word].free, free);
	one_writer_add(s->cache->nfree, 1);
	return true;
}

/* The same if a task does it, the case that matters most. False as well if not. */
static __always_inline bool free_fast(struct mspan *s, unsigned long addr)
{
	/* A span's owner is a task's mcache, and ours, only if this is a task. */
	if (unlikely(!mcache_in_task()))
		return false;
	/* Not that of a tiny span, or of no span: see MSPAN_TINY_OWNER. */
	if (unlikely(READ_ONCE(s->owner) != smp_processor_id()))
		return false;
	return free_owned(s, addr);
}

static int free_tiny(struct mspan *s, unsigned long addr, struct mcache *mc, bool mine,
		     struct mspan **gone)
{
	u32 off = addr - s->base, slot = off / GOALLOC_TINY_SIZE;
	int ret;

	mark_needzero(s);
	checkers_tiny_freeing(s, slot, off % GOALLOC_TINY_SIZE);
	ret = tiny_free(s, slot, off % GOALLOC_TINY_SIZE);

	if (ret < 0)
		return ret;
	count_tiny_free(s, mc);
	if (ret == TINY_FREED)
		return 0;
	count_free(s, mc);
	if (ret == TINY_BLOCK_DEAD)
		return 0;
	/* Ours alone to free: see the head of mspan.h. */
	checkers_tiny_dead(s, slot);
	if (mine)
		mspan_free_owned(s, slot);
	else if (!mspan_free_remote(s, slot) && mcentral_freed(s, slot / MSPAN_WORD_SLOTS))
		*gone = s;
	return 0;
}

/*
 * Frees an object of a span. Preemption off. Of *@gone the caller disposes with
 * preemption on. On a file heap every free is a remote one: next to an ioctl a
 * compare-and-swap is nothing, and of several frees of one object at the same
 * instant exactly one is told of success.
 */
static int free_object(struct mspan *s, unsigned long addr, struct mspan **gone)
{
	enum mcache_context ctx = mcache_context();
	struct mcache *mc = this_mcache(s->heap, ctx);
	bool mine = s->heap->backing == BACKING_LINEAR &&
		    (READ_ONCE(s->owner) & ~MSPAN_TINY_OWNER) == owner_here();
	long slot;
	int ret;

	*gone = NULL;
	if (s->tiny)
		return free_tiny(s, addr, mc, mine, gone);
	slot = mspan_slot_of(s, addr);
	if (unlikely(slot < 0))
		return -EINVAL;
	mark_needzero(s);
	if (GOALLOC_CHECKERS && mspan_slot_live(s, slot))
		checkers_freeing(s, addr);
	ret = mine ? mspan_free_owned(s, slot) : mspan_free_remote(s, slot);
	if (ret)
		return ret;
	count_free(s, mc);
	if (!mine && mcentral_freed(s, slot / MSPAN_WORD_SLOTS))
		*gone = s;
	return 0;
}

static void count_fault(struct goalloc_heap *heap, int err)
{
	mheap_fault(heap, err == -EALREADY ? GOALLOC_FAULT_DOUBLE :
			  err == -EINVAL ? GOALLOC_FAULT_STRAY : GOALLOC_FAULT_WILD);
}

/**
 * mallocgc_free - frees an object of a sparse heap
 * @heap: the heap
 * @addr: the object's heap address; 0 and GOALLOC_ZERO_ADDR are fine
 *
 * Context: task, may sleep.
 * Return: 0; -EALREADY if the slot is free, -EINVAL if no object begins there,
 * -ENOENT if no span in use is there. Nothing has changed then.
 */
int mallocgc_free(struct goalloc_heap *heap, u64 addr)
{
	struct mspan *s, *gone = NULL;
	int ret = -ENOENT;

	if (!addr || addr == GOALLOC_ZERO_ADDR)
		return 0;
	preempt_disable();
	s = span_of_heap(heap, addr);
	if (s)
		ret = free_object(s, addr, &gone);
	preempt_enable();
	if (unlikely(ret))
		count_fault(heap, ret);
	if (gone)
		mheap_return_span(gone);
	return ret;
}

GOALLOC_EXPORT_FOR_KUNIT(mallocgc_free);

/**
 * mallocgc_query - says what lies at an address of a sparse heap
 * @heap: the heap
 * @addr: the address, anywhere in an object
 * @q: what is filled in
 *
 * Context: any.
 * Return: 0; -ENOENT if no span in use is there; -EINVAL in the tail of a span
 * or a tiny block that hold no object.
 */
int mallocgc_query(struct goalloc_heap *heap, u64 addr, struct goalloc_query *q)
{
	struct mspan *s;
	u64 slot;
	int ret = 0;

	atomic64_inc(&heap->lookups);
	rcu_read_lock();
	s = span_of_heap(heap, addr);
	if (!s) {
		ret = -ENOENT;
		goto out;
	}
	slot = mspan_is_large(s) ? 0 : goalloc_div(addr - s->base, s->divmul);
	if (slot >= s->nelems) {
		ret = -EINVAL;
		goto out;
	}
	q->span_base = s->start_addr;
	q->span_pages = s->npages;
	q->spanclass = spanclass_public(s->spanclass);
	q->base = mspan_slot_addr(s, slot);
	q->usable = s->elemsize;
	q->state = mspan_slot_live(s, slot) ? GOALLOC_QUERY_LIVE : GOALLOC_QUERY_FREE;
	if (s->tiny && q->state == GOALLOC_QUERY_LIVE) {
		u32 start, end;
		bool live;

		if (tiny_object_at(s, slot, addr - q->base, false, &start, &end, &live)) {
			q->base += start;
			q->usable = end - start;
			q->state = live ? GOALLOC_QUERY_TINY : GOALLOC_QUERY_FREE;
		}
	}
out:
	rcu_read_unlock();
	return ret;
}

GOALLOC_EXPORT_FOR_KUNIT(mallocgc_query);

static __always_inline void *heap_alloc_large(struct goalloc_heap *heap, size_t size,
					      bool noscan, gfp_t gfp)
{
	unsigned long v;

	if (unlikely(size > MALLOC_MAX))
		return NULL;
	v = malloc_large(heap, size, 0, noscan, gfp & __GFP_ZERO, gfp);
	return checkers_made(v, size, gfp);
}

/* Kernel heaps: the object, zeroed if that is asked for. */
static __always_inline void *heap_alloc(struct goalloc_heap *heap, size_t size, bool noscan,
					gfp_t gfp)
{
	size_t zero = size;
	unsigned long v;
	unsigned int class;

	if (unlikely(size - 1 >= GOALLOC_MAX_SMALL_SIZE))
		return size ? heap_alloc_large(heap, size, noscan, gfp) : ZERO_SIZE_PTR;
	if (noscan && is_packed(size)) {
		v = malloc_tiny(heap, size, gfp);
	} else {
		class = goalloc_size_to_class(size);
		v = malloc_small(heap, make_spanclass(class, noscan), gfp, NULL);
		if (unlikely(gfp & __GFP_ZERO))
			zero = goalloc_class_to_size[class];
	}
	if (unlikely(gfp & __GFP_ZERO) && v)
		malloc_zero(heap, v, zero);
	return checkers_made(v, size, gfp);
}

/* Sizes up to this have the entry of their class in a table. */
#define ENTRY_SIZE_MAX	GOALLOC_SMALL_SIZE_MAX

/*
 * From a size to its entry in an mcache, in bytes: what goalloc_size_to_class()
 * finds, in one step. Sizes that have no slots of their own have entry 0, which
 * never has a free slot.
 */
static u16 size_to_entry[ENTRY_SIZE_MAX + 1] __ro_after_init __aligned(SMP_CACHE_BYTES);

static_assert(MCACHE_ENTRY(GOALLOC_ALL_CENTRALS) <= U16_MAX);
static_assert(MCACHE_ENTRY_SIZE == __GOALLOC_ENTRY_SIZE);

/**
 * malloc_module_init - fills the table
 *
 * Context: task.
 */
void __init malloc_module_init(void)
{
	u32 size;

	size_to_entry[0] = MCACHE_ENTRY(0);
	for (size = 1; size <= ENTRY_SIZE_MAX; size++)
		size_to_entry[size] =
			MCACHE_ENTRY(is_packed(size) ? 0 :
				     make_spanclass(goalloc_size_to_class(size), true));
}

/*
 * Takes a slot of a task's mcache of this CPU, from the entry so many bytes into
 * it. False if there is none, or this is no task.
 */
static __always_inline bool entry_alloc(struct mcache_pcpu __percpu *pcpu, unsigned long entry,
					unsigned long *v)
{
	struct mcache *mc;
	bool taken;

	preempt_disable();
	if (unlikely(!mcache_in_task())) {
		preempt_enable();
		return false;
	}
	mc = __this_cpu_read(pcpu->ctx[MCACHE_TASK]);
	taken = next_free_fast((void *)mc + entry, v);
	preempt_enable();
	return taken;
}

static noinline void *kernel_alloc_large(size_t size, gfp_t gfp)
{
	return heap_alloc_large(goalloc_kernel_heap, size, true, gfp);
}

/* Apart from the fast path, which jumps here and has no stack of its own. */
static noinline void *kernel_alloc_slow(size_t size, gfp_t gfp)
{
	return heap_alloc(goalloc_kernel_heap, size, true, gfp);
}

/* Of a class, in an interrupt or when the entry has no free slot at hand. */
static noinline void *kernel_alloc_entry_slow(size_t size, unsigned long entry, gfp_t gfp)
{
	unsigned long v = malloc_small(goalloc_kernel_heap, entry / MCACHE_ENTRY_SIZE - 1, gfp,
				       NULL);

	return checkers_made(v, size, gfp);
}

/**
 * goalloc_alloc - makes an object on the module's own heap
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @gfp: how to get memory; with __GFP_ZERO all of the object's usable size is
 *	zero. Zone modifiers and __GFP_NOFAIL have no effect.
 *
 * The object holds no pointers (Go: noscan). It is aligned by its size: below
 * 16 bytes to 8, 4, 2 or 1, up to 32 KiB to the largest power of two that its
 * size class is a multiple of, above to PAGE_SIZE at least.
 *
 * Where @size and @gfp are constants linux/goalloc.h finds the size class when it
 * is compiled.
 *
 * Context: task, softirq or hardirq, as @gfp says; from NMI, NULL. On PREEMPT_RT
 * with preemption off only what is cached can be had.
 * Return: the object, to be freed with goalloc_free(), or NULL.
 */
#undef goalloc_alloc
void *goalloc_alloc(size_t size, gfp_t gfp)
{
	unsigned long v, entry;

	if (unlikely(gfp & __GFP_ZERO))
		return kernel_alloc_slow(size, gfp);
	if (likely(size <= ENTRY_SIZE_MAX))
		entry = size_to_entry[size];
	else if (likely(size <= GOALLOC_MAX_SMALL_SIZE))
		entry = MCACHE_ENTRY(make_spanclass(goalloc_size_to_class(size), true));
	else
		return kernel_alloc_large(size, gfp);
	if (likely(entry_alloc(&goalloc_kernel_mcache, entry, &v)))
		return checkers_made(v, size, gfp);
	if (likely(entry != MCACHE_ENTRY(0)))
		return kernel_alloc_entry_slow(size, entry, gfp);
	return kernel_alloc_slow(size, gfp);
}
EXPORT_SYMBOL_GPL(goalloc_alloc);

static u32 entry_size(unsigned long entry)
{
	return goalloc_class_to_size[spanclass_sizeclass(entry / MCACHE_ENTRY_SIZE - 1)];
}

/**
 * __goalloc_alloc_entry - goalloc_alloc() for a size class
 * @entry: where the entry of its noscan span class lies in an mcache
 * @gfp: as for goalloc_alloc(), without __GFP_ZERO
 *
 * For linux/goalloc.h only.
 *
 * Context: as goalloc_alloc().
 * Return: the object, to be freed with goalloc_free(), or NULL.
 */
void *__goalloc_alloc_entry(unsigned long entry, gfp_t gfp)
{
	unsigned long v;

	if (likely(entry_alloc(&goalloc_kernel_mcache, entry, &v)))
		return checkers_made(v, entry_size(entry), gfp);
	return kernel_alloc_entry_slow(entry_size(entry), entry, gfp);
}
EXPORT_SYMBOL_GPL(__goalloc_alloc_entry);

static noinline void *class_alloc_slow(struct goalloc_class *cls, gfp_t gfp)
{
	return checkers_made(malloc_small(cls->heap, cls->spc, gfp, NULL), cls->size, gfp);
}

static noinline void *class_alloc_zeroed(struct goalloc_class *cls, gfp_t gfp)
{
	unsigned long v = malloc_small(cls->heap, cls->spc, gfp, NULL);

	if (v)
		malloc_zero(cls->heap, v, cls->heap->central[cls->spc].elemsize);
	return checkers_made(v, cls->size, gfp);
}

/**
 * goalloc_class_alloc - makes an object of an exact class
 * @cls: from goalloc_class_create()
 * @gfp: as for goalloc_alloc()
 *
 * Context: as goalloc_alloc().
 * Return: the object, to be freed with goalloc_free(), or NULL.
 */
#undef goalloc_class_alloc
void *goalloc_class_alloc(struct goalloc_class *cls, gfp_t gfp)
{
	unsigned long v;

	if (unlikely(gfp & __GFP_ZERO))
		return class_alloc_zeroed(cls, gfp);
	if (likely(entry_alloc(cls->mcache, cls->entry, &v)))
		return checkers_made(v, cls->size, gfp);
	return class_alloc_slow(cls, gfp);
}
EXPORT_SYMBOL_GPL(goalloc_class_alloc);

/**
 * __goalloc_class_alloc_uninit - goalloc_class_alloc() without __GFP_ZERO
 * @cls: the class
 * @gfp: as for goalloc_alloc(), without __GFP_ZERO
 *
 * For linux/goalloc.h only.
 *
 * Context: as goalloc_alloc().
 * Return: the object, to be freed with goalloc_free(), or NULL.
 */
void *__goalloc_class_alloc_uninit(struct goalloc_class *cls, gfp_t gfp)
{
	unsigned long v;

	if (likely(entry_alloc(cls->mcache, cls->entry, &v)))
		return checkers_made(v, cls->size, gfp);
	return class_alloc_slow(cls, gfp);
}
EXPORT_SYMBOL_GPL(__goalloc_class_alloc_uninit);

/**
 * goalloc_heap_alloc - makes an object on a heap
 * @heap: from goalloc_heap_create(), or NULL for the module's own
 * @size: bytes; 0 gives ZERO_SIZE_PTR
 * @flags: GOALLOC_SCAN if the object may hold pointers to others of the heap
 * @gfp: as for goalloc_alloc()
 *
 * Context: as goalloc_alloc().
 * Return: the object, or NULL: no memory, the heap's max reached, or an unknown
 * flag.
 */
void *goalloc_heap_alloc(struct goalloc_heap *heap, size_t size, u32 flags, gfp_t gfp)
{
	if (unlikely(flags & ~(GOALLOC_SCAN | GOALLOC_UNINIT)))
		return NULL;
	return heap_alloc(heap ?: goalloc_kernel_heap, size, !(flags & GOALLOC_SCAN), gfp);
}
EXPORT_SYMBOL_GPL(goalloc_heap_alloc);

/*
 * Whatever is not free_fast(): all contexts, all kinds of spans, all errors.
 * Preemption is off, and on afterwards.
 */
static noinline int free_slow(const void *obj)
{
	struct mspan *s = span_of((unsigned long)obj), *gone = NULL;
	int ret = -ENOENT;

	if (s && !WARN_ON_ONCE(in_nmi()))
		ret = free_object(s, (unsigned long)obj, &gone);
	else if (!obj || obj == ZERO_SIZE_PTR)
		ret = 0;
	if (unlikely(ret))
		count_fault(s ? s->heap : NULL, ret);
	preempt_enable();
	if (gone && !large_cache_put(gone))
		mheap_free_span(gone);
	return ret;
}

#if IS_ENABLED(CONFIG_KUNIT)
/* A test counts the bad frees that it makes. */
atomic_t *malloc_expected_faults;

GOALLOC_EXPORT_FOR_KUNIT(malloc_expected_faults);

static bool is_tests_bad_free(void)
{
	atomic_t *n = READ_ONCE(malloc_expected_faults);

	if (n)
		atomic_inc(n);
	return n;
}
#else
static bool is_tests_bad_free(void)
{
	return false;
}
#endif

static noinline void free_slow_or_warn(const void *obj)
{
	int err = free_slow(obj);
	const char *what = err == -EALREADY ? "double free" :
			   err == -EINVAL ? "free of an address inside an object" :
			   "free of an address that is no object's";

	if (likely(!err) || is_tests_bad_free())
		return;
	/* Whoever sets it does so with a plain store. */
	if (data_race(goalloc_panic_on_fault))
		panic("goalloc: %s: %p\n", what, obj);
	WARN_ONCE(1, "goalloc: %s: %p\n", what, obj);
}

/*
 * Frees an object of a span that others allocate from, or nobody, the second case
 * that matters: one locked instruction. Of one that an interrupt made here it frees
 * as free_fast() does. Preemption is off, and on afterwards if this was the way;
 * else nothing has changed.
 */
static __always_inline bool free_remote_fast(struct mspan *s, unsigned long addr)
{
	enum mcache_context ctx = mcache_context();
	struct mspan *gone = NULL;
	union mspan_word *w;
	u64 slot;
	u32 mask;

	if (unlikely(s->tiny || ctx == MCACHE_NMI))
		return false;
	if (READ_ONCE(s->owner) == owner_here()) {
		if (unlikely(!free_owned(s, addr)))
			return false;
		preempt_enable();
		return true;
	}
	if (unlikely(!mspan_divide(s, addr, &slot)))
		return false;
	w = &s->words[slot / MSPAN_WORD_SLOTS];
	mask = 1U << slot % MSPAN_WORD_SLOTS;
	mark_needzero(s);
	if (GOALLOC_CHECKERS && mspan_slot_live(s, slot))
		checkers_freeing(s, addr);
	if (unlikely(!mspan_word_free_remote(w, mask)))
		return false;
	count_free(s, this_mcache(s->heap, ctx));
	/* As mcentral_freed() looks at it first. */
	if (READ_ONCE(s->place) != MSPAN_CACHED && unlikely(mcentral_freed(s, w - s->words)))
		gone = s;
	preempt_enable();
	if (unlikely(gone))
		mheap_free_span(gone);
	return true;
}

/*
 * Frees a large object. Preemption is off, and on afterwards if this was the way;
 * else nothing has changed.
 */
static noinline bool free_large(struct mspan *s, unsigned long addr)
{
	bool gone;

	if (unlikely(s == &goalloc_emptymspan || addr != s->base || in_nmi()))
		return false;
	mark_needzero(s);
	if (GOALLOC_CHECKERS && mspan_large_live(s))
		checkers_freeing(s, addr);
	if (unlikely(!mspan_word_free_remote(&s->words[0], 1)))
		return false;
	count_free_large(s);
	gone = mcentral_freed_large(s);
	preempt_enable();
	if (gone && !large_cache_put(s))
		mheap_free_span(s);
	return true;
}

static __always_inline bool free_quick(const void *obj, struct mspan *s)
{
	return mspan_is_large(s) ? free_large(s, (unsigned long)obj) :
				   free_remote_fast(s, (unsigned long)obj);
}

/**
 * free_elsewhere_or_warn - frees what is not of this CPU and context, or warns
 * @obj: any value
 * @s: its span in the direct map, or &goalloc_emptymspan
 *
 * Context: as goalloc_free(), with preemption off, which it turns on.
 */
noinline void free_elsewhere_or_warn(const void *obj, struct mspan *s)
{
	if (!free_quick(obj, s))
		free_slow_or_warn(obj);
}

static noinline int free_elsewhere(const void *obj, struct mspan *s)
{
	return free_quick(obj, s) ? 0 : free_slow(obj);
}

/**
 * goalloc_try_free - frees an object, and says if it was one
 * @obj: the object; NULL and ZERO_SIZE_PTR are fine
 *
 * Any value at all may be given: what is no object is refused and counted, and
 * changes nothing.
 *
 * Context: task, softirq or hardirq; not NMI.
 * Return: 0; -EALREADY if it was freed before, -EINVAL if it is no object's
 * first byte, -ENOENT if it lies in no span in use.
 */
int goalloc_try_free(const void *obj)
{
	struct mspan *s;

	preempt_disable();
	s = span_of_direct((unsigned long)obj);
	if (unlikely(!free_fast(s, (unsigned long)obj)))
		return free_elsewhere(obj, s);
	preempt_enable();
	return 0;
}
EXPORT_SYMBOL_GPL(goalloc_try_free);

/**
 * goalloc_free - frees an object
 * @obj: the object; NULL and ZERO_SIZE_PTR are fine
 *
 * As goalloc_try_free(), for callers that have no use for the answer: a bad
 * free is refused, counted and warned of once.
 *
 * Context: task, softirq or hardirq; not NMI.
 */
void goalloc_free(const void *obj)
{
	struct mspan *s;

	preempt_disable();
	s = span_of_direct((unsigned long)obj);
	if (unlikely(!free_fast(s, (unsigned long)obj))) {
		free_elsewhere_or_warn(obj, s);
		return;
	}
	preempt_enable();
}
EXPORT_SYMBOL_GPL(goalloc_free);

/*
 * Bytes of the object at an address, or 0 if none lives there. For the last
 * object of a tiny block that is still filled it ends where it ends, or what
 * comes next would be overwritten.
 */
static size_t object_size(unsigned long addr, struct goalloc_heap **heap, bool *noscan)
{
	struct mspan *s;
	size_t n = 0;
	long slot;

	preempt_disable();
	s = span_of(addr);
	if (!s)
		goto out;
	*heap = s->heap;
	*noscan = s->central->noscan;
	if (s->tiny) {
		u32 off = addr - s->base, start, end;
		bool live;

		slot = off / GOALLOC_TINY_SIZE;
		off %= GOALLOC_TINY_SIZE;
		if (tiny_object_at(s, slot, off, true, &start, &end, &live) && live &&
		    start == off)
			n = end - start;
		goto out;
	}
	slot = mspan_slot_of(s, addr);
	if (slot >= 0 && mspan_slot_live(s, slot))
		n = s->elemsize;
out:
	preempt_enable();
	return n;
}

/**
 * goalloc_usable_size - how many bytes of an object may be used
 * @obj: a live object; NULL and ZERO_SIZE_PTR have 0
 *
 * Context: any.
 * Return: bytes, at least what was asked for; 0 if @obj is no live object.
 */
size_t goalloc_usable_size(const void *obj)
{
	struct goalloc_heap *heap;
	bool noscan;
	size_t n = object_size((unsigned long)obj, &heap, &noscan);

	/* Who has asked may use it. A tiny object's block is open anyway. */
	if (n)
		checkers_open((unsigned long)obj, round_down(n, 8));
	return n;
}
EXPORT_SYMBOL_GPL(goalloc_usable_size);

static void *resize_in_place(void *obj, size_t old, size_t size, gfp_t gfp)
{
	if (gfp & __GFP_ZERO) {
		checkers_open((unsigned long)obj, round_down(old, 8));
		memset(obj + size, 0, old - size);
	}
	checkers_resized((unsigned long)obj, size, gfp);
	return obj;
}

/**
 * goalloc_realloc - changes the size of an object
 * @obj: a live object of any kernel heap; NULL and ZERO_SIZE_PTR are as none
 * @size: bytes it is to have; 0 frees it
 * @gfp: as for goalloc_alloc()
 *
 * The object stays where it is if it fits and would not waste more than half
 * of its slot, whose alignment it keeps; else its bytes move to a new one on the
 * same heap. With __GFP_ZERO what is new is zero, if it was made with __GFP_ZERO and
 * had it each time it was resized: what is beyond its bytes then stays zero.
 *
 * Context: as goalloc_alloc().
 * Return: the object, which takes the place of @obj; ZERO_SIZE_PTR for @size 0;
 * NULL if there is no memory or @obj is no object, and @obj is as it was.
 */
void *goalloc_realloc(const void *obj, size_t size, gfp_t gfp)
{
	struct goalloc_heap *heap = goalloc_kernel_heap;
	bool noscan = true;
	size_t old;
	void *new;

	if (!size) {
		goalloc_free(obj);
		return ZERO_SIZE_PTR;
	}
	if (!obj || obj == ZERO_SIZE_PTR)
		return goalloc_alloc(size, gfp);
	old = object_size((unsigned long)obj, &heap, &noscan);
	if (!old) {
		goalloc_free(obj);
		return NULL;
	}
	if (size <= old && size >= old / 2)
		return resize_in_place((void *)obj, old, size, gfp);
	new = heap_alloc(heap, size, noscan, gfp);
	if (!new)
		return size <= old ? resize_in_place((void *)obj, old, size, gfp) : NULL;
	checkers_open((unsigned long)obj, round_down(old, 8));
	memcpy(new, obj, min(old, size));
	goalloc_free(obj);
	return new;
}
EXPORT_SYMBOL_GPL(goalloc_realloc);
