// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linear backing, and which backing it is (Go: mem.go, mem_linux.go).
 */
#include <linux/rbtree.h>
/* sparse finds fault with a line of it, which has no __rcu; not with its plain twin. */
#ifdef __CHECKER__
#define rb_link_node_rcu	rb_link_node
#endif
#include <linux/rbtree_latch.h>

#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "backing.h"
#include "compat.h"
#include "counter.h"
#include "fixalloc.h"
#include "mheap.h"
#include "scavenge.h"
#include "sparse.h"

/* The smallest block is whole pages of the system, and so are all. */
static_assert(PAGE_SHIFT <= GOALLOC_GRANULE_SHIFT);

/* The order of a block. */
static unsigned int linear_order(u32 pages)
{
	return ilog2(pages) + GOALLOC_PAGE_SHIFT - PAGE_SHIFT;
}

struct spanmap goalloc_spanmap;
GOALLOC_EXPORT_FOR_KUNIT(goalloc_spanmap);

/* What stands for 2 MiB in which no heap has a block, and a new leaf begins with. */
static struct spanmap_leaf empty_leaf = {
	.spans = { [0 ... SPANMAP_LEAF_PAGES - 1] = &goalloc_emptymspan },
};

/*
 * Protects the leaves' block counts and their coming and going, and the tree of
 * mapped spans. Taken with interrupts off, in any context but NMI, inside any other lock of ours.
 */
static DEFINE_RAW_SPINLOCK(spanmap_lock);

/**
 * struct mapped_span - where a mapped span lies
 * @node: in mapped_spans
 * @base: its first byte
 * @end: behind its last one
 * @s: the span
 * @rcu: frees it
 */
struct mapped_span {
	struct latch_tree_node node;
	unsigned long base;
	unsigned long end;
	struct mspan *s;
	struct rcu_head rcu;
};

/*
 * Mapped spans by address. An address is looked up in any context, also by an interrupt
 * in the middle of a change; so it is two trees, of which one is whole at any moment.
 * Changed under spanmap_lock.
 */
static struct latch_tree_root mapped_spans = {
	.seq = SEQCNT_LATCH_ZERO(mapped_spans.seq),
};

/* A block that has a leaf counts as one more from now on. */
static void spanmap_get_again(unsigned long addr)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&spanmap_lock, flags);
	goalloc_spanmap.leaves->at[(addr - PAGE_OFFSET) >> SPANMAP_LEAF_SHIFT]->blocks++;
	raw_spin_unlock_irqrestore(&spanmap_lock, flags);
}

/* Counts a block in its leaf, which is made if need be. */
static int spanmap_get(unsigned long addr, gfp_t gfp)
{
	unsigned long i = (addr - PAGE_OFFSET) >> SPANMAP_LEAF_SHIFT;
	struct spanmap_leaf *leaf, *new = NULL;
	unsigned long flags;

	/* Memory that was plugged in since the module was loaded. */
	if (i >= goalloc_spanmap.nleaves)
		return -ENOMEM;
	for (;;) {
		raw_spin_lock_irqsave(&spanmap_lock, flags);
		leaf = goalloc_spanmap.leaves->at[i];
		if (leaf == &empty_leaf && new) {
			leaf = new;
			new = NULL;
			atomic64_add(sizeof(*leaf), &goalloc_spanmap.bytes);
			/* Readers must not see the leaf before what is in it. */
			smp_store_release(&goalloc_spanmap.leaves->at[i], leaf);
		}
		if (leaf != &empty_leaf)
			leaf->blocks++;
		raw_spin_unlock_irqrestore(&spanmap_lock, flags);
		if (leaf != &empty_leaf) {
			kfree(new);
			return 0;
		}
		if (goalloc_should_fail())
			return -ENOMEM;
		new = kmemdup(&empty_leaf, sizeof(*new),
			      (gfp & FIXALLOC_GFP & ~__GFP_ACCOUNT) | __GFP_NOWARN);
		if (!new)
			return -ENOMEM;
	}
}

static void spanmap_put(unsigned long addr)
{
	unsigned long i = (addr - PAGE_OFFSET) >> SPANMAP_LEAF_SHIFT;
	struct spanmap_leaf *leaf;
	unsigned long flags;

	raw_spin_lock_irqsave(&spanmap_lock, flags);
	leaf = goalloc_spanmap.leaves->at[i];
	if (--leaf->blocks)
		leaf = NULL;
	else
		WRITE_ONCE(goalloc_spanmap.leaves->at[i], &empty_leaf);
	raw_spin_unlock_irqrestore(&spanmap_lock, flags);
	if (leaf) {
		atomic64_sub(sizeof(*leaf), &goalloc_spanmap.bytes);
		kfree_rcu(leaf, rcu);
	}
}

/* The span of each heap page of a span; pages of a block are contiguous. */
static void spanmap_set(unsigned long addr, u64 npages, struct mspan *s)
{
	for (; npages; npages--, addr += GOALLOC_PAGE_SIZE) {
		unsigned long off = addr - PAGE_OFFSET;
		struct spanmap_leaf *leaf =
			goalloc_spanmap.leaves->at[off >> SPANMAP_LEAF_SHIFT];

		/* Pairs with the address dependency in span_of(). */
		smp_store_release(&leaf->spans[(off >> GOALLOC_PAGE_SHIFT) &
					       (SPANMAP_LEAF_PAGES - 1)], s);
	}
}

/*
 * A span is found no more. Of one that was closed some pages may be behind another
 * span by now, of whatever heap, and are found as that.
 */
static void spanmap_clear(struct mspan *s)
{
	unsigned long off = s->base - PAGE_OFFSET;
	u64 i;

	for (i = 0; i < s->npages; i++, off += GOALLOC_PAGE_SIZE) {
		struct spanmap_leaf *leaf =
			goalloc_spanmap.leaves->at[off >> SPANMAP_LEAF_SHIFT];

		cmpxchg(&leaf->spans[(off >> GOALLOC_PAGE_SHIFT) & (SPANMAP_LEAF_PAGES - 1)],
			s, &goalloc_emptymspan);
	}
}

static struct mapped_span *mapped_of(struct latch_tree_node *node)
{
	return container_of(node, struct mapped_span, node);
}

static bool mapped_less(struct latch_tree_node *a, struct latch_tree_node *b)
{
	return mapped_of(a)->base < mapped_of(b)->base;
}

static int mapped_comp(void *key, struct latch_tree_node *node)
{
	unsigned long addr = (unsigned long)key;
	struct mapped_span *m = mapped_of(node);

	return addr < m->base ? -1 : addr >= m->end;
}

static const struct latch_tree_ops mapped_ops = {
	.less = mapped_less,
	.comp = mapped_comp,
};

/* As span_of_mapped(), or spanmap_lock held. */
static struct mapped_span *mapped_find(unsigned long addr)
{
	struct latch_tree_node *node = latch_tree_find((void *)addr, &mapped_spans, &mapped_ops);

	return node ? mapped_of(node) : NULL;
}

/**
 * span_of_mapped - finds the mapped span of a kernel address
 * @addr: any value outside the direct map
 *
 * Context: any; preemption off or rcu_read_lock() held as long as the span is
 * looked at.
 * Return: the span or NULL.
 */
struct mspan *span_of_mapped(unsigned long addr)
{
	struct mapped_span *m = mapped_find(addr);

	return m ? m->s : NULL;
}

GOALLOC_EXPORT_FOR_KUNIT(span_of_mapped);

/* Does half a chunk have any block? The heap lock is held. */
static bool linear_half_backed(const struct goalloc_chunk *c, u32 half)
{
	return memchr_inv(&c->granule[half * GOALLOC_CHUNK_GRANULES / 2], 0,
			  GOALLOC_CHUNK_GRANULES / 2 * sizeof(*c->granule));
}

/* The block a page lies in: its first granule, and its pages. */
static u32 linear_block(const struct goalloc_chunk *c, u64 addr, u32 *granule)
{
	u32 page = goalloc_chunk_page(addr);
	u32 pages = READ_ONCE(c->palloc.block_pages[page / PALLOC_HALF_PAGES]);

	*granule = pages ? round_down(page, pages) / GOALLOC_GRANULE_PAGES : 0;
	return pages;
}

/**
 * linear_drop - a block that is nothing but holes goes
 * @heap: a linear heap
 * @addr: heap address of the block
 *
 * Its addresses can be used again. Of any other block nothing changes.
 *
 * Context: the heap lock held; the caller sees to the indices.
 * Return: what linear_dropped() is told once the lock is free, or 0.
 */
unsigned long linear_drop(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	u32 g, pages = linear_block(c, addr, &g);
	u32 first = g * GOALLOC_GRANULE_PAGES;
	unsigned long base;

	lockdep_assert_held(&heap->lock);
	if (!pages || palloc_count_holes(&c->palloc, first, pages) < pages)
		return 0;
	base = (unsigned long)granule_base(c->granule[g]);
	WRITE_ONCE(c->granule[g], NULL);
	addr = round_down(addr, (u64)pages << GOALLOC_PAGE_SHIFT);
	one_writer_add(heap->pages_holes, -pagealloc_open_holes(&heap->pages, addr, pages));
	linear_released(heap, addr, pages);
	return base;
}

GOALLOC_EXPORT_FOR_KUNIT(linear_drop);

/**
 * linear_dropped - nothing of a block is left
 * @base: from linear_drop(), may be 0
 *
 * Context: any but NMI; no lock held.
 */
void linear_dropped(unsigned long base)
{
	if (base)
		spanmap_put(base);
}

/*
 * No block of this size is to be had: the half chunk makes do with blocks of half
 * the size. Those that have memory keep it, as two, unless one has but holes; it was
 * one allocation and is given back page by page then. Who has a run without memory
 * that now lies in two blocks will see it in linear_commit() and take another one.
 */
static bool linear_split(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr,
			 u32 pages)
{
	u32 half = goalloc_chunk_page(addr) / PALLOC_HALF_PAGES;
	u32 step = pages / GOALLOC_GRANULE_PAGES, g = half * GOALLOC_CHUNK_GRANULES / 2;
	u32 end = g + GOALLOC_CHUNK_GRANULES / 2, n = 0;
	unsigned long gone[GOALLOC_CHUNK_GRANULES / 2], flags;
	bool ok;

	if (pages == PALLOC_BLOCK_MIN)
		return false;
	flags = mheap_lock(heap);
	ok = c->palloc.block_pages[half] == pages;
	for (; ok && g < end; g += step) {
		unsigned long base = (unsigned long)granule_base(c->granule[g]);

		if (!base)
			continue;
		if (!granule_is_split(c->granule[g]))
			split_page(virt_to_page((void *)base), linear_order(pages));
		spanmap_get_again(base);
		WRITE_ONCE(c->granule[g], (void *)(base | GRANULE_SPLIT));
		WRITE_ONCE(c->granule[g + step / 2],
			   (void *)((base + GOALLOC_GRANULE_SIZE * step / 2) | GRANULE_SPLIT));
	}
	if (ok) {
		u64 at = round_down(addr, (u64)PALLOC_HALF_PAGES << GOALLOC_PAGE_SHIFT);

		pagealloc_set_block(&heap->pages, addr, pages / 2);
		for (; n < 2 * PALLOC_HALF_PAGES / pages; n++) {
			gone[n] = linear_drop(heap, at);
			at += (u64)(pages / 2) << GOALLOC_PAGE_SHIFT;
		}
		mheap_chunk_changed(heap, c, addr);
	}
	mheap_unlock(heap, flags);
	while (n)
		linear_dropped(gone[--n]);
	return ok;
}

/*
 * Makes a block the one behind its pages, unless somebody with another span in
 * it was first, or found that blocks here must be smaller.
 */
static bool linear_install(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr,
			   u32 pages, u32 g, void *base)
{
	u64 first = round_down(addr, (u64)pages << GOALLOC_PAGE_SHIFT);
	unsigned long flags = mheap_lock(heap);
	bool ok = !c->granule[g] &&
		c->palloc.block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES] == pages;

	if (ok) {
		/* Whoever gives a page of it back takes that off. */
		mheap_count(&heap->backed, (u64)pages << GOALLOC_PAGE_SHIFT);
		/* All of the block is backed now, not only the span. */
		atomic64_sub(pagealloc_clear_scavenged(&heap->pages, first, pages),
			     &heap->pages_released);
		WRITE_ONCE(c->granule[g], base);
		mheap_chunk_changed(heap, c, addr);
	}
	mheap_unlock(heap, flags);
	if (!ok)
		return false;
	/* Nor only what is in the page allocator. */
	mheap_back_cached(heap, first, pages);
	return true;
}

/*
 * Memory for a block, from the node of the CPU that asks if it has some. Large
 * blocks are nice to have: nobody waits for memory that is reclaimed for them, and
 * nothing is taken from reserves. Whose object is the first in it does not pay for all
 * of it.
 */
static struct page *linear_alloc(u32 pages, gfp_t gfp)
{
	gfp = (gfp & FIXALLOC_GFP & ~__GFP_ACCOUNT) | __GFP_NOWARN;
	if (pages > PALLOC_BLOCK_MIN)
		gfp = (gfp | __GFP_NORETRY | __GFP_NOMEMALLOC) &
		      ~(__GFP_RETRY_MAYFAIL | __GFP_DIRECT_RECLAIM | __GFP_MEMALLOC | __GFP_HIGH |
			GOALLOC_GFP_ATOMIC);
	return goalloc_should_fail() ? NULL :
		alloc_pages_node(numa_mem_id(), gfp, linear_order(pages));
}

static int linear_commit(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	struct goalloc_chunk *c = mheap_chunk(heap, s->start_addr);
	u32 page = goalloc_chunk_page(s->start_addr);
	u32 pages, g;
	void *base;

	for (;;) {
		struct page *block;

		pages = linear_block(c, s->start_addr, &g);
		if ((page & (pages - 1)) + s->npages > pages)
			return -EAGAIN;
		base = granule_base(READ_ONCE(c->granule[g]));
		if (base && pages == linear_block(c, s->start_addr, &g))
			break;

		if (gfpflags_allow_blocking(gfp))
			scavenge_for_limit(heap, (u64)pages << GOALLOC_PAGE_SHIFT);
		block = linear_alloc(pages, gfp);
		if (!block) {
			if (s->npages <= pages / 2 && linear_split(heap, c, s->start_addr, pages))
				continue;
			if (pages != linear_block(c, s->start_addr, &g) ||
			    READ_ONCE(c->granule[g]))
				continue;
			return -ENOMEM;
		}
		base = page_address(block);
		if (spanmap_get((unsigned long)base, gfp)) {
			__free_pages(block, linear_order(pages));
			return -ENOMEM;
		}
		if (linear_install(heap, c, s->start_addr, pages, g, base)) {
			scavenge_at_limit(heap);
			break;
		}
		spanmap_put((unsigned long)base);
		__free_pages(block, linear_order(pages));
	}
	s->base = (unsigned long)base +
		  ((unsigned long)(page & (pages - 1)) << GOALLOC_PAGE_SHIFT);
	return 0;
}

/* Frees a block by its granule's entry. @holes: from bit @at on, or NULL. */
static void linear_free(struct goalloc_heap *heap, void *entry, u32 pages,
			const unsigned long *holes, u32 at)
{
	unsigned long base = (unsigned long)granule_base(entry), i;
	u32 freed = 0;

	spanmap_put(base);
	if (granule_is_split(entry)) {
		for (i = 0; i < BIT(linear_order(pages)); i++) {
			if (holes && test_bit(at + (i << PAGE_SHIFT >> GOALLOC_PAGE_SHIFT), holes))
				continue;
			free_page(base + i * PAGE_SIZE);
			freed++;
		}
	} else {
		free_pages(base, linear_order(pages));
		freed = BIT(linear_order(pages));
	}
	mheap_count(&heap->backed, -((s64)freed << PAGE_SHIFT));
}

/**
 * linear_release - gives blocks back (Go: sysUnused)
 * @heap: a linear heap
 * @addr: heap address of the first, within half a chunk
 * @npages: heap pages of all, which the caller has taken from the page allocator
 * @holes: those of them that were holes; NULL for none
 *
 * Others may make the blocks of the half shorter meanwhile, so which there are is
 * seen once.
 *
 * Context: task; no lock held.
 */
void linear_release(struct goalloc_heap *heap, u64 addr, u32 npages,
		    const unsigned long *holes)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	u32 g = goalloc_chunk_page(addr) / GOALLOC_GRANULE_PAGES, i, pages;
	void *blocks[GOALLOC_CHUNK_GRANULES / 2];
	unsigned long flags;

	npages /= GOALLOC_GRANULE_PAGES;
	flags = mheap_lock(heap);
	pages = c->palloc.block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES];
	for (i = 0; i < npages; i++) {
		blocks[i] = c->granule[g + i];
		WRITE_ONCE(c->granule[g + i], NULL);
	}
	mheap_unlock(heap, flags);
	for (i = 0; i < npages; i++)
		if (blocks[i])
			linear_free(heap, blocks[i], pages, holes, i * GOALLOC_GRANULE_PAGES);
}

/* The block of a page becomes pages of their own. Returns where the page is. */
static unsigned long linear_open(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	unsigned long flags = mheap_lock(heap), base;
	u32 g, pages = linear_block(c, addr, &g);

	base = (unsigned long)granule_base(c->granule[g]);
	if (!granule_is_split(c->granule[g])) {
		split_page(virt_to_page((void *)base), linear_order(pages));
		WRITE_ONCE(c->granule[g], (void *)(base | GRANULE_SPLIT));
	}
	mheap_unlock(heap, flags);
	return base + ((unsigned long)(goalloc_chunk_page(addr) & (pages - 1)) <<
		       GOALLOC_PAGE_SHIFT);
}

/**
 * linear_punch - gives the memory behind pages of a block back
 * @heap: a linear heap
 * @addr: heap address of the first
 * @npages: how many, whole pages of the system; the caller has taken them from the
 *	page allocator and lets them be holes
 *
 * The block was one allocation and is pages of their own from then on.
 *
 * Context: task; no lock held.
 */
void linear_punch(struct goalloc_heap *heap, u64 addr, u32 npages)
{
	unsigned long base = linear_open(heap, addr), i;
	unsigned long bytes = (unsigned long)npages << GOALLOC_PAGE_SHIFT;

	for (i = 0; i < bytes; i += PAGE_SIZE)
		free_page(base + i);
	mheap_count(&heap->backed, -(s64)bytes);
}

/**
 * linear_released - pages are free again
 * @heap: a linear heap
 * @addr: heap address of the first
 * @npages: how many
 *
 * A half chunk that is free and has no memory forgets how long its blocks were: the
 * next ones may be larger, or a mapped span may come.
 *
 * Context: the heap lock held.
 */
void linear_released(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 end = addr + (npages << GOALLOC_PAGE_SHIFT);

	lockdep_assert_held(&heap->lock);
	for (; addr < end; addr = (addr | (SZ_2M - 1)) + 1) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		u32 half = goalloc_chunk_page(addr) / PALLOC_HALF_PAGES;

		if (c->palloc.block_pages[half] && !linear_half_backed(c, half) &&
		    !palloc_bits_popcount(&c->palloc.data.alloc, half * PALLOC_HALF_PAGES,
					  PALLOC_HALF_PAGES))
			pagealloc_set_block(&heap->pages, addr, 0);
	}
}

/* A mapped span has pages of its own: the blocks behind its run go back. */
static void mapped_release_blocks(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr, end = s->start_addr + mspan_bytes(s);

	for (addr = s->start_addr; addr < end; addr += PALLOC_HALF_PAGES << GOALLOC_PAGE_SHIFT) {
		linear_release(heap, addr, PALLOC_HALF_PAGES, NULL);
		cond_resched();
	}
}

/* The mapped span of each half chunk of its run. */
static void mapped_set(struct goalloc_heap *heap, struct mspan *s, struct mspan *value)
{
	u64 addr, end = s->start_addr + mspan_bytes(s);

	for (addr = s->start_addr; addr < end; addr += PALLOC_HALF_PAGES << GOALLOC_PAGE_SHIFT) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);

		rcu_assign_pointer(c->mapped[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES], value);
		cond_resched();
	}
}

static int mapped_commit(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	void *p;

	if (goalloc_should_fail())
		return -ENOMEM;
	scavenge_for_limit(heap, s->elemsize);
	p = __vmalloc(s->elemsize, (gfp & FIXALLOC_GFP) | __GFP_NOWARN);
	if (!p)
		return -ENOMEM;
	mapped_release_blocks(heap, s);
	mheap_count(&heap->backed, PAGE_ALIGN(s->elemsize));
	scavenge_at_limit(heap);
	s->base = (unsigned long)p;
	return 0;
}

/**
 * backing_commit - puts memory behind a span (Go: sysUsed)
 * @heap: the heap
 * @s: the span, not yet to be found by anybody; its base is set
 * @gfp: the caller's flags
 *
 * On sparse heaps there is nothing to do: memory comes at the first touch.
 *
 * Context: as @gfp says; no lock held.
 * Return: 0, or -ENOMEM and nothing has changed, or -EAGAIN when the run lies in
 * two blocks by now and another one is to be taken.
 */
int backing_commit(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	if (heap->backing == BACKING_SPARSE) {
		s->base = s->start_addr;
		return 0;
	}
	/* What the kernel hands out is not zeroed, new to the heap or not. */
	s->needzero = 1;
	if (s->vmapped)
		return mapped_commit(heap, s, gfp);
	return linear_commit(heap, s, gfp);
}

/**
 * backing_block - the memory of the block that a linear page lies in
 * @heap: a linear heap
 * @addr: heap address
 *
 * Context: the heap lock held, so that a block that comes just now either is
 * seen or will clear the scavenged bits itself.
 * Return: where the block begins to the kernel, or NULL if it has no memory.
 */
void *backing_block(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	u32 g;

	lockdep_assert_held(&heap->lock);
	return linear_block(c, addr, &g) ? granule_base(READ_ONCE(c->granule[g])) : NULL;
}

static int mapped_map(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	struct mapped_span *m = persistentalloc(heap, &heap->gc_bytes, sizeof(*m), gfp);
	unsigned long flags;

	if (!m)
		return -ENOMEM;
	/* Where an object is mapped is no reference to it. */
	kmemleak_scan_area(&m->node, sizeof(m->node), gfp & FIXALLOC_GFP);
	m->base = s->base;
	m->end = s->base + s->elemsize;
	m->s = s;
	mapped_set(heap, s, s);
	raw_spin_lock_irqsave(&spanmap_lock, flags);
	latch_tree_insert(&m->node, &mapped_spans, &mapped_ops);
	raw_spin_unlock_irqrestore(&spanmap_lock, flags);
	return 0;
}

/* Also of one that could not be mapped. */
static void mapped_unmap(struct goalloc_heap *heap, struct mspan *s)
{
	struct mapped_span *m;
	unsigned long flags;

	raw_spin_lock_irqsave(&spanmap_lock, flags);
	m = mapped_find(s->base);
	if (m)
		latch_tree_erase(&m->node, &mapped_spans, &mapped_ops);
	raw_spin_unlock_irqrestore(&spanmap_lock, flags);
	if (m) {
		mheap_count(&heap->gc_bytes, -(s64)sizeof(*m));
		kfree_rcu(m, rcu);
	}
	mapped_set(heap, s, NULL);
}

/**
 * backing_map_span - lets addresses in the span find it (Go: setSpans)
 * @heap: the heap
 * @s: the span, backed and otherwise complete
 * @gfp: the caller's flags
 *
 * Context: as @gfp says; no lock held.
 * Return: 0, or -ENOMEM and the caller calls backing_unmap_span().
 */
int backing_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	if (heap->backing == BACKING_SPARSE)
		return sparse_map_span(heap, s, gfp);
	if (s->vmapped)
		return mapped_map(heap, s, gfp);
	spanmap_set(s->base, s->npages, s);
	return 0;
}

/**
 * backing_unmap_span - no address finds the span any more
 * @heap: the heap
 * @s: the span
 * @may_sleep: the caller is a task that may sleep, as it has to for a vmapped span,
 *	and for one of a heap that is mapped
 *
 * Nor is it in the page tables of any process any more.
 *
 * Context: any but NMI.
 * Return: false if it has to sleep after all, as the heap was mapped just now: then
 * all of it is to be done again where that is allowed.
 */
bool backing_unmap_span(struct goalloc_heap *heap, struct mspan *s, bool may_sleep)
{
	if (heap->backing == BACKING_SPARSE)
		return sparse_unmap_span(heap, s, may_sleep);
	if (s->vmapped)
		mapped_unmap(heap, s);
	else
		spanmap_clear(s);
	return true;
}

/**
 * backing_decommit - gives back what only this span has
 * @heap: the heap
 * @s: the span, which nobody finds any more
 *
 * The pages of a mapped span go. Blocks and sparse pages stay with the heap's
 * idle pages, and the scavenged bits of a sparse run are right afterwards.
 *
 * Context: any but NMI; a task that may sleep for a vmapped span.
 */
void backing_decommit(struct goalloc_heap *heap, struct mspan *s)
{
	if (heap->backing == BACKING_SPARSE) {
		sparse_decommit(heap, s);
	} else if (s->vmapped) {
		vfree((void *)s->base);
		mheap_count(&heap->backed, -(s64)PAGE_ALIGN(s->elemsize));
	}
}

/* How many of the system's pages a span of a block lies in. */
static u32 thin_pages(const struct mspan *s)
{
	return DIV_ROUND_UP(offset_in_page(s->base) + mspan_bytes(s), PAGE_SIZE);
}

/*
 * Which of them have no live slot, 0 of a span of more than 64. One that the span
 * does not have all of is none.
 */
static u64 thin_map(const struct mspan *s)
{
	u32 n = thin_pages(s), w;
	u64 used = 0;

	if (n > 64 || !s->elemsize32)
		return 0;
	if (offset_in_page(s->base))
		used |= BIT_ULL(0);
	if (offset_in_page(s->base + mspan_bytes(s)))
		used |= BIT_ULL(n - 1);
	for (w = 0; w < s->nwords; w++) {
		union mspan_word v;
		u32 live;

		v.both = READ_ONCE(s->words[w].both);
		for (live = mspan_word_live(v); live; live &= live - 1) {
			u32 slot = w * MSPAN_WORD_SLOTS + __ffs(live);
			u32 first = offset_in_page(s->base) + slot * s->elemsize32;
			u32 last = first + s->elemsize32 - 1;

			used |= GENMASK_ULL(last >> PAGE_SHIFT, first >> PAGE_SHIFT);
		}
	}
	return ~used & GENMASK_ULL(n - 1, 0);
}

/**
 * backing_is_thin - is half a span's memory, or more, behind no live slot
 * @s: a span of a kernel heap
 *
 * Context: any. A true answer lasts as long as nobody can allocate from the span.
 * Return: true if so.
 */
bool backing_is_thin(const struct mspan *s)
{
	u32 live;

	if (s->heap->backing != BACKING_LINEAR || s->vmapped)
		return false;
	/* So many are in more than half of it. */
	live = mspan_live(s);
	if (live > s->nelems / 2)
		return false;
	return (u64)hweight64(thin_map(s)) << PAGE_SHIFT >= mspan_bytes(s) / 2;
}

GOALLOC_EXPORT_FOR_KUNIT(backing_is_thin);

/**
 * backing_is_thinner - is more memory of a closed span behind no live slot
 * @s: a closed span
 *
 * Context: any but its holder's, the lock of its mcentral held.
 * Return: true if some has not gone yet.
 */
bool backing_is_thinner(const struct mspan *s)
{
	return thin_map(s) & ~s->gone;
}

GOALLOC_EXPORT_FOR_KUNIT(backing_is_thinner);

/**
 * backing_thin - gives the memory of a closed span back that is behind no live slot
 * @heap: a linear heap
 * @s: the span, HELD
 *
 * The span's pages stay in use, in the books. What is in other pages of the system
 * goes when the span does.
 *
 * Context: task; no lock held.
 */
void backing_thin(struct goalloc_heap *heap, struct mspan *s)
{
	u64 map = thin_map(s) & ~s->gone;
	unsigned long base = s->base & PAGE_MASK;
	u32 i;

	if (!map)
		return;
	linear_open(heap, s->start_addr);
	for (i = 0; i < 64; i++)
		if (map & BIT_ULL(i))
			free_page(base + i * PAGE_SIZE);
	s->gone |= map;
	mheap_count(&heap->backed, -((s64)hweight64(map) << PAGE_SHIFT));
	atomic64_add((u64)hweight64(map) << PAGE_SHIFT, &heap->thin_bytes);
}

/**
 * backing_end_thin - gives the rest of a page back of which part has gone
 * @heap: a linear heap
 * @s: a closed span, which nobody finds any more
 * @page: which of its heap pages
 *
 * Context: any but NMI; on PREEMPT_RT a task.
 * Return: true if nothing is behind the page, which is to be a hole.
 */
bool backing_end_thin(struct goalloc_heap *heap, struct mspan *s, u32 page)
{
	u32 from = offset_in_page(s->base) + page * GOALLOC_PAGE_SIZE, i;
	u32 first = from >> PAGE_SHIFT, last = (from + GOALLOC_PAGE_SIZE - 1) >> PAGE_SHIFT;
	u64 map = GENMASK_ULL(last, first);

	if (!(s->gone & map))
		return false;
	/* If there are several pages of the system in one they are all the span's. */
	for (i = first; i <= last; i++) {
		if (s->gone & BIT_ULL(i))
			continue;
		free_page((s->base & PAGE_MASK) + i * PAGE_SIZE);
		mheap_count(&heap->backed, -(s64)PAGE_SIZE);
	}
	return true;
}

/**
 * backing_destroy - gives all memory of a heap back
 * @heap: the heap, whose spans are gone and whose chunks are not
 *
 * Context: task, sleeps.
 */
void backing_destroy(struct goalloc_heap *heap)
{
	u64 addr;

	if (heap->backing == BACKING_SPARSE) {
		sparse_destroy(heap);
		return;
	}
	for (addr = GOALLOC_HEAP_BASE; addr < heap->cur_arena; addr += PALLOC_CHUNK_SIZE) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		DECLARE_BITMAP(holes, PALLOC_CHUNK_PAGES);
		u32 g;

		if (!c)
			continue;
		bitmap_and(holes, c->palloc.data.alloc.b, c->palloc.data.scavenged.b,
			   PALLOC_CHUNK_PAGES);
		for (g = 0; g < GOALLOC_CHUNK_GRANULES; g++) {
			u32 page = g * GOALLOC_GRANULE_PAGES;
			u32 pages = c->palloc.block_pages[page / PALLOC_HALF_PAGES];
			void *base = c->granule[g];

			c->granule[g] = NULL;
			if (base)
				linear_free(heap, base, pages, holes, page);
		}
		cond_resched();
	}
}

/**
 * backing_module_init - makes the index over the direct map
 *
 * Context: task, sleeps.
 * Return: 0 or -ENOMEM.
 */
int backing_module_init(void)
{
	unsigned long bytes = (unsigned long)high_memory - PAGE_OFFSET;

	goalloc_spanmap.nleaves = DIV_ROUND_UP(bytes, 1UL << SPANMAP_LEAF_SHIFT);
	goalloc_spanmap.leaves = kvcalloc(goalloc_spanmap.nleaves,
					  sizeof(goalloc_spanmap.leaves->at[0]), GFP_KERNEL);
	if (!goalloc_spanmap.leaves)
		return -ENOMEM;
	memset64((u64 *)goalloc_spanmap.leaves->at, (u64)&empty_leaf, goalloc_spanmap.nleaves);
	return 0;
}

/**
 * backing_module_exit - frees the index
 *
 * Context: task, sleeps; no heap is left.
 */
void backing_module_exit(void)
{
	kvfree(goalloc_spanmap.leaves);
}
