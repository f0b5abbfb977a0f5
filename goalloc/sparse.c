// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sparse backing: pages at first touch, mappings, reading and writing.
 */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "compat.h"
#include "fixalloc.h"
#include "mheap.h"
#include "scavenge.h"
#include "sparse.h"

/* Pages of the kernel's that a unit is made of. */
#define SPARSE_UNIT_NR		((u32)(SPARSE_UNIT_SIZE / PAGE_SIZE))
#define SPARSE_UNIT_ORDER	ilog2(SPARSE_UNIT_NR)

#define SPARSE_TABLE_BYTES	(SPARSE_CHUNK_UNITS * sizeof(struct page *))

/* What lies in one page and in one heap page. */
#define SPARSE_STEP		min_t(u64, PAGE_SIZE, GOALLOC_PAGE_SIZE)

/* What of the heap's own idle memory goes before others' has to. */
#define SPARSE_SHORT_BYTES	SZ_128K

/*
 * Where the page behind an address is entered, or NULL. For those who have a span
 * or pages in the chunk, or hold rcu_read_lock().
 */
static struct page **sparse_entry(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	struct page **pages = c ? READ_ONCE(c->pages) : NULL;

	return pages ? &pages[sparse_unit(addr)] : NULL;
}

static bool sparse_in_use(struct goalloc_heap *heap, u64 addr)
{
	bool used;

	rcu_read_lock();
	used = span_of_heap(heap, addr);
	rcu_read_unlock();
	return used;
}

/* Is any of the unit's heap pages in a span in use? Under rcu_read_lock(). */
static bool sparse_unit_in_use(struct goalloc_heap *heap, u64 addr)
{
	u32 i;

	addr = round_down(addr, SPARSE_UNIT_SIZE);
	for (i = 0; i < SPARSE_UNIT_PAGES; i++, addr += GOALLOC_PAGE_SIZE)
		if (span_of_heap(heap, addr))
			return true;
	return false;
}

/* Can the unit be touched in a mapping, which knows only pages? */
static bool sparse_touchable(struct goalloc_heap *heap, u64 addr)
{
	bool can;

	rcu_read_lock();
	can = sparse_unit_in_use(heap, addr);
	rcu_read_unlock();
	return can;
}

/* Page to span, in the chunks' tables. */
int sparse_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	const size_t size = PALLOC_CHUNK_PAGES * sizeof(struct mspan *);
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

	/* What is backed only later may come with a neighbour's old bytes. */
	if (SPARSE_UNIT_PAGES > 1)
		s->needzero = 1;
	while (addr < end) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		u32 page = goalloc_chunk_page(addr);
		u32 n = min_t(u64, PALLOC_CHUNK_PAGES - page, (end - addr) >> GOALLOC_PAGE_SHIFT);

		if (n == PALLOC_CHUNK_PAGES) {
			rcu_assign_pointer(c->whole, s);
		} else {
			struct mspan __rcu **spans = READ_ONCE(c->spans);

			if (!spans) {
				struct mspan __rcu **old;

				spans = (struct mspan __rcu **)
					persistentalloc(heap, &heap->gc_bytes, size, gfp);
				if (!spans)
					return -ENOMEM;
				old = cmpxchg(&c->spans, NULL, spans);
				if (old) {
					persistentfree(&heap->gc_bytes, (void *)spans, size);
					spans = old;
				}
			}
			for (; n; n--, page++, addr += GOALLOC_PAGE_SIZE)
				rcu_assign_pointer(spans[page], s);
			continue;
		}
		addr += PALLOC_CHUNK_SIZE;
		if (gfpflags_allow_blocking(gfp))
			cond_resched();
	}
	return 0;
}

/*
 * Calls a function for each page of a range of whole units, up to @end. Nobody else
 * changes the entries: they are of a span that the caller takes apart.
 */
static void sparse_for_each(struct goalloc_heap *heap, u64 addr, u64 end,
			    void (*fn)(struct goalloc_heap *heap, struct page **e))
{
	while (addr < end) {
		struct page **e = sparse_entry(heap, addr);
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);

		for (; e && addr < next; e++, addr += SPARSE_UNIT_SIZE)
			if (READ_ONCE(*e))
				fn(heap, e);
		addr = next;
		cond_resched();
	}
}

/* Whoever found the span and enters a page is waited for. */
static void sparse_pass_entering(struct goalloc_heap *heap, u64 addr, u64 end)
{
	for (; addr < end; addr = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);

		raw_spin_lock_irq(&c->lock);
		raw_spin_unlock_irq(&c->lock);
		cond_resched();
	}
}

/* Whoever found the span and has a page's lock is waited for. */
static void sparse_pass_lock(struct goalloc_heap *heap, struct page **e)
{
	struct page *page = READ_ONCE(*e);
	u32 i;

	for (i = 0; i < SPARSE_UNIT_NR; i++) {
		lock_page(&page[i]);
		unlock_page(&page[i]);
	}
}

#if IS_ENABLED(CONFIG_KUNIT)
/* A test maps the heap when its span cannot be found any more. */
void (*sparse_after_unset)(struct goalloc_heap *heap);

GOALLOC_EXPORT_FOR_KUNIT(sparse_after_unset);

static void sparse_unset(struct goalloc_heap *heap)
{
	void (*act)(struct goalloc_heap *heap) = READ_ONCE(sparse_after_unset);

	if (act)
		act(heap);
}
#else
static void sparse_unset(struct goalloc_heap *heap)
{
}
#endif

/*
 * No address finds the span any more, and none of its pages is in a page table
 * any more or can come there, unless other spans share it. False if that has to
 * sleep and the caller may not: it is done again by one who may.
 */
bool sparse_unmap_span(struct goalloc_heap *heap, struct mspan *s, bool may_sleep)
{
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

	while (addr < end) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		u32 page = goalloc_chunk_page(addr);
		u32 n = min_t(u64, PALLOC_CHUNK_PAGES - page, (end - addr) >> GOALLOC_PAGE_SHIFT);
		/* Somebody with another span in the chunk may be just making it. */
		struct mspan __rcu **spans = READ_ONCE(c->spans);

		if (n == PALLOC_CHUNK_PAGES)
			RCU_INIT_POINTER(c->whole, NULL);
		else if (spans)
			for (; n; n--, page++)
				RCU_INIT_POINTER(spans[page], NULL);
		addr = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1;
		if (s->npages > PALLOC_CHUNK_PAGES)
			cond_resched();
	}
	sparse_unset(heap);
	/*
	 * Pairs with the one in sparse_mmap(): a mapping that is not seen here
	 * is of one who will not find the span.
	 */
	smp_mb();
	if (!READ_ONCE(heap->mapped))
		return true;
	if (!may_sleep)
		return false;
	might_sleep();
	addr = round_down(s->start_addr, SPARSE_UNIT_SIZE);
	end = round_up(end, SPARSE_UNIT_SIZE);
	sparse_pass_entering(heap, addr, end);
	sparse_for_each(heap, addr, end, sparse_pass_lock);
	unmap_mapping_range(heap->mapping, addr, end - addr, 1);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_unmap_span);

/* Which of the heap pages are backed; all are of one word of the chunk's bits. */
static u64 sparse_backed(struct page **pages, u32 first, u32 n)
{
	u64 bits = 0;
	u32 i;

	for (i = first; pages && i < first + n; i++)
		if (pages[i / SPARSE_UNIT_PAGES])
			bits |= BIT_ULL(i % 64);
	return bits;
}

/**
 * sparse_decommit - makes the scavenged bits of a span right
 * @heap: the heap
 * @s: the span, which nobody finds any more
 *
 * While the pages were in use nobody looked at their bits. From now on they say
 * which of them are backed: nobody can enter a page any more. Where several heap
 * pages share one, a neighbour can, and clears the bits.
 *
 * Context: any but NMI.
 */
void sparse_decommit(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

	while (addr < end) {
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		u32 i = goalloc_chunk_page(addr);
		u32 left = (next - addr) >> GOALLOC_PAGE_SHIFT;
		u64 mask[PALLOC_CHUNK_PAGES / 64], bits[PALLOC_CHUNK_PAGES / 64];
		unsigned long *scavenged = c->palloc.data.scavenged.b;
		u32 first = i / 64, w = first, n;
		unsigned long flags, heap_flags;

		raw_spin_lock_irqsave(&c->lock, flags);
		for (; left; i += n, left -= n, w++) {
			n = min(left, 64 - i % 64);
			mask[w] = GENMASK_ULL(i % 64 + n - 1, i % 64);
			bits[w] = mask[w] & ~sparse_backed(c->pages, i, n);
		}
		/* The heap lock is everybody's, so not for longer than must be. */
		heap_flags = mheap_lock(heap);
		while (w-- > first)
			scavenged[w] = (scavenged[w] & ~mask[w]) | bits[w];
		mheap_unlock(heap, heap_flags);
		raw_spin_unlock_irqrestore(&c->lock, flags);
		addr = next;
		if (s->npages > PALLOC_CHUNK_PAGES)
			cond_resched();
	}
}

#if IS_ENABLED(CONFIG_KUNIT)
/*
 * A test acts when a page was seen and has no reference yet, and when one is ready
 * to be entered into its chunk's table.
 */
void (*sparse_after_look)(struct goalloc_heap *heap, struct page *page);
void (*sparse_before_entry)(struct goalloc_heap *heap, struct page *page);

GOALLOC_EXPORT_FOR_KUNIT(sparse_after_look);
GOALLOC_EXPORT_FOR_KUNIT(sparse_before_entry);

static void sparse_looked(struct goalloc_heap *heap, struct page *page)
{
	void (*act)(struct goalloc_heap *heap, struct page *page) =
		READ_ONCE(sparse_after_look);

	if (act)
		act(heap, page);
}

static void sparse_enters(struct goalloc_heap *heap, struct page *page)
{
	void (*act)(struct goalloc_heap *heap, struct page *page) =
		READ_ONCE(sparse_before_entry);

	if (act)
		act(heap, page);
}
#else
static void sparse_looked(struct goalloc_heap *heap, struct page *page)
{
}

static void sparse_enters(struct goalloc_heap *heap, struct page *page)
{
}
#endif

/* The page of an entry, with a reference, or NULL. As for sparse_entry(). */
static struct page *sparse_get_entry(struct goalloc_heap *heap, struct page **e)
{
	struct page *page;

	for (;;) {
		page = READ_ONCE(*e);
		if (!page)
			return NULL;
		sparse_looked(heap, page);
		/* It may just be leaving, and be somebody else's by now. */
		if (likely(get_page_unless_zero(page))) {
			if (likely(page == READ_ONCE(*e)))
				return page;
			put_page(page);
		}
		cpu_relax();
	}
}

/* A backed page, with a reference, or NULL. */
static struct page *sparse_get(struct goalloc_heap *heap, u64 addr)
{
	struct page **e, *page = NULL;

	rcu_read_lock();
	e = sparse_entry(heap, addr);
	if (e)
		page = sparse_get_entry(heap, e);
	rcu_read_unlock();
	return page;
}

/*
 * Memory for a unit. It is of one piece, for the kernel's own use, and made of
 * pages on their own where processes are concerned: much of the kernel takes a
 * compound page in a mapping for a huge page that it may split.
 */
static struct page *sparse_alloc(struct goalloc_heap *heap, u64 addr, gfp_t gfp)
{
	struct page *page;
	u32 i;

	if (goalloc_should_fail())
		return NULL;
	page = alloc_pages(gfp | __GFP_ZERO, SPARSE_UNIT_ORDER);
	if (!page)
		return NULL;
	split_page(page, SPARSE_UNIT_ORDER);
	/*
	 * They belong to the mapping of the heap's inode, though they are in no
	 * page cache: it is by mapping and index that a futex is known.
	 */
	for (i = 0; heap->mapping && i < SPARSE_UNIT_NR; i++) {
		page[i].mapping = heap->mapping;
		page[i].index = (addr >> PAGE_SHIFT) + i;
	}
	return page;
}

/* The heap's references go; who else has one keeps a page of nobody. */
static void sparse_free(struct page *page)
{
	u32 i;

	for (i = 0; i < SPARSE_UNIT_NR; i++) {
		page[i].mapping = NULL;
		page[i].index = 0;
		put_page(&page[i]);
	}
}

/*
 * struct sparse_new - what a first touch needs, made beforehand
 * @page: the unit's page, or NULL
 * @table: its chunk's table if it had none, or NULL
 */
struct sparse_new {
	struct page *page;
	struct page **table;
};

static bool sparse_needs_table(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c;
	bool needs;

	rcu_read_lock();
	c = mheap_chunk(heap, addr);
	needs = c && !READ_ONCE(c->pages);
	rcu_read_unlock();
	return needs;
}

/* What is made stays if something else cannot be. */
static bool sparse_try_prepare(struct goalloc_heap *heap, u64 addr, gfp_t gfp,
			       struct sparse_new *new)
{
	/* Whoever touches it, the opener of the file pays. */
	struct mem_cgroup *old = set_active_memcg(heap->memcg);
	bool table = !new->table && sparse_needs_table(heap, addr);

	if (table)
		new->table = persistentalloc(heap, &heap->gc_bytes, SPARSE_TABLE_BYTES, gfp);
	if (!new->page && (!table || new->table))
		new->page = sparse_alloc(heap, addr, gfp);
	set_active_memcg(old);
	return new->page && (!table || new->table);
}

/*
 * Where there is no memory to be had, or none that the memory cgroup allows, what
 * is idle in the heap goes first, and only then somebody is killed for it.
 */
static bool sparse_prepare(struct goalloc_heap *heap, u64 addr, struct sparse_new *new)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;

	if (READ_ONCE(heap->pages_idle)) {
		if (likely(sparse_try_prepare(heap, addr, gfp | __GFP_NORETRY, new)))
			return true;
		scavenge(heap, SPARSE_SHORT_BYTES, SCAVENGE_LIMIT);
	}
	return sparse_try_prepare(heap, addr, gfp, new);
}

/* The heap pages of a unit that are idle are backed as well now (chunk's lock). */
static void sparse_unit_backed(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr)
{
	u32 i = goalloc_chunk_page(addr);
	u64 unit = GENMASK_ULL(i % 64 + SPARSE_UNIT_PAGES - 1, i % 64);
	struct palloc_data *data = &c->palloc.data;
	unsigned long flags = mheap_lock(heap);
	u64 was = data->scavenged.b[i / 64] & unit;

	data->scavenged.b[i / 64] &= ~unit;
	atomic64_sub(hweight64(was & ~data->alloc.b[i / 64]), &heap->pages_released);
	mheap_chunk_changed(heap, c, addr);
	mheap_unlock(heap, flags);
}

/*
 * From the first memory on a span's slots hold what its process writes there, also
 * where it has no object yet (I7). Units of several heap pages see sparse_map_span().
 */
static void sparse_span_backed(struct goalloc_heap *heap, u64 addr)
{
	struct mspan *s = span_of_heap(heap, addr);

	if (s)
		mark_needzero(s);
}

/*
 * Enters the page, unless somebody else was first, and gives the unit's page with
 * a reference. What is not needed stays with @new. -EFAULT if no span is there;
 * -EAGAIN if the chunk is another one now, which has no table.
 */
static int sparse_enter(struct goalloc_heap *heap, u64 addr, struct sparse_new *new,
			struct page **page)
{
	struct goalloc_chunk *c;
	unsigned long flags;
	struct page **e;
	int ret = 0;

	rcu_read_lock();
	c = mheap_chunk(heap, addr);
	if (!c) {
		rcu_read_unlock();
		return -EFAULT;
	}
	raw_spin_lock_irqsave(&c->lock, flags);
	if (!sparse_unit_in_use(heap, addr)) {
		ret = -EFAULT;
		goto unlock;
	}
	/* Or of the chunk that has its place by now; one that left never comes back. */
	if (unlikely(mheap_chunk(heap, addr) != c)) {
		ret = -EAGAIN;
		goto unlock;
	}
	if (!c->pages) {
		if (!new->table) {
			ret = -EAGAIN;
			goto unlock;
		}
		/* Readers must not see the table before its zeroes. */
		smp_store_release(&c->pages, new->table);
		new->table = NULL;
	}
	e = &c->pages[sparse_unit(addr)];
	*page = *e;
	if (!*page) {
		*page = new->page;
		new->page = NULL;
		sparse_span_backed(heap, addr);
		/* Nor the page. */
		smp_store_release(e, *page);
		mheap_count(&heap->backed, SPARSE_UNIT_SIZE);
		if (SPARSE_UNIT_PAGES > 1)
			sparse_unit_backed(heap, c, addr);
	}
	/* With a span there it does not leave. */
	get_page(*page);
unlock:
	raw_spin_unlock_irqrestore(&c->lock, flags);
	rcu_read_unlock();
	return ret;
}

/*
 * First touch: the unit's page with a reference, or an error. The span may be on
 * its way back to the heap meanwhile; then it is too late for it.
 */
static int sparse_back(struct goalloc_heap *heap, u64 addr, struct page **page)
{
	struct sparse_new new = {};
	int ret;

	addr = round_down(addr, SPARSE_UNIT_SIZE);
	scavenge_for_limit(heap, SPARSE_UNIT_SIZE);
	do {
		if (!sparse_prepare(heap, addr, &new)) {
			ret = -ENOMEM;
			break;
		}
		sparse_enters(heap, new.page);
		ret = sparse_enter(heap, addr, &new, page);
	} while (ret == -EAGAIN);
	if (new.page)
		sparse_free(new.page);
	persistentfree(&heap->gc_bytes, new.table, SPARSE_TABLE_BYTES);
	if (!ret)
		scavenge_at_limit(heap);
	return ret;
}

/* Nobody has a reference but the heap, and nobody gets one until it is unfrozen. */
static bool sparse_freeze(struct page *page)
{
	u32 i;

	for (i = 0; i < SPARSE_UNIT_NR; i++)
		if (!page_ref_freeze(&page[i], 1))
			break;
	if (i == SPARSE_UNIT_NR)
		return true;
	while (i)
		page_ref_unfreeze(&page[--i], 1);
	return false;
}

static void sparse_unfreeze(struct page *page)
{
	u32 i;

	for (i = 0; i < SPARSE_UNIT_NR; i++)
		page_ref_unfreeze(&page[i], 1);
}

/**
 * sparse_release - gives back pages that are not in use (Go: sysUnused)
 * @heap: the heap
 * @addr: of the first page
 * @npages: how many, within a chunk and in whole units; the caller has taken them
 *	from the page allocator
 *
 * A page that somebody still has a reference to stays. Nobody enters one meanwhile,
 * nor until the pages are free again and a span has them.
 *
 * Context: any but NMI; no lock held.
 * Return: how many were given back.
 */
u32 sparse_release(struct goalloc_heap *heap, u64 addr, u32 npages)
{
	struct page **e = sparse_entry(heap, addr);
	u32 i, n = 0;

	for (i = 0; e && i < npages / SPARSE_UNIT_PAGES; i++) {
		struct page *page = READ_ONCE(e[i]);

		if (!page)
			continue;
		/* Who sees it frozen waits. */
		preempt_disable();
		if (!sparse_freeze(page)) {
			preempt_enable();
			continue;
		}
		WRITE_ONCE(e[i], NULL);
		sparse_unfreeze(page);
		preempt_enable();
		sparse_free(page);
		n += SPARSE_UNIT_PAGES;
	}
	mheap_count(&heap->backed, -((s64)n << GOALLOC_PAGE_SHIFT));
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_release);

/**
 * sparse_is_backed - has a page memory behind it
 * @heap: the heap
 * @addr: heap address of a page that the caller has taken from the page allocator,
 *	and all of its unit; or any, with the heap lock or rcu_read_lock() held
 *
 * Context: any.
 * Return: true if so.
 */
bool sparse_is_backed(struct goalloc_heap *heap, u64 addr)
{
	struct page **e = sparse_entry(heap, addr);

	return e && READ_ONCE(*e);
}

/**
 * sparse_zero - makes a range zero
 * @heap: the heap
 * @addr: where
 * @len: bytes
 *
 * Only pages that are backed are touched. It is an object just made that is zeroed,
 * of which others should not know: but whoever frees addresses by guess may free
 * it meanwhile, so nothing is relied on.
 *
 * Context: any; preemption on if @len is large.
 * Return: false if the task is to end and not all of a large range is zero.
 */
bool sparse_zero(struct goalloc_heap *heap, u64 addr, u64 len)
{
	u64 end = addr + len;

	while (addr < end) {
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);
		struct page **e, *page = NULL;
		u64 off, n;

		rcu_read_lock();
		e = sparse_entry(heap, addr);
		while (e && addr < next) {
			page = sparse_get_entry(heap, e++);
			if (page)
				break;
			addr = (addr | (SPARSE_UNIT_SIZE - 1)) + 1;
		}
		rcu_read_unlock();
		if (!page) {
			addr = next;
		} else {
			off = addr & (SPARSE_UNIT_SIZE - 1);
			n = min_t(u64, SPARSE_UNIT_SIZE - off, next - addr);
			memset(page_address(page) + off, 0, n);
			put_page(page);
			addr += n;
		}
		if (len > PALLOC_CHUNK_SIZE) {
			if (fatal_signal_pending(current))
				return false;
			cond_resched();
		}
	}
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_zero);

/**
 * sparse_free_chunk_pages - frees a chunk's table
 * @heap: the heap
 * @c: the chunk, which nobody can find any more, or the heap's at its end
 *
 * Context: any but NMI.
 */
void sparse_free_chunk_pages(struct goalloc_heap *heap, struct goalloc_chunk *c)
{
	u32 i;

	for (i = 0; c->pages && i < SPARSE_CHUNK_UNITS; i++) {
		/* A page there would be lost, with a chunk that was said to be empty. */
		if (WARN_ON_ONCE(c->pages[i])) {
			sparse_free(c->pages[i]);
			mheap_count(&heap->backed, -(s64)SPARSE_UNIT_SIZE);
		}
	}
	persistentfree(&heap->gc_bytes, c->pages, SPARSE_TABLE_BYTES);
	c->pages = NULL;
}

static void sparse_destroy_page(struct goalloc_heap *heap, struct page **e)
{
	struct page *page = *e;
	u32 i;

	/* Who still has a page looks at its mapping with the lock held. */
	for (i = 0; i < SPARSE_UNIT_NR; i++) {
		lock_page(&page[i]);
		page[i].mapping = NULL;
		unlock_page(&page[i]);
	}
	*e = NULL;
	sparse_free(page);
	mheap_count(&heap->backed, -(s64)SPARSE_UNIT_SIZE);
}

/**
 * sparse_destroy - gives all pages of a heap back
 * @heap: the heap, whose spans are gone and whose chunks are not
 *
 * Context: task, sleeps.
 */
void sparse_destroy(struct goalloc_heap *heap)
{
	sparse_for_each(heap, GOALLOC_HEAP_BASE, heap->cur_arena, sparse_destroy_page);
}

/**
 * sparse_mmap - the heap is about to be mapped
 * @heap: the heap
 *
 * Context: task; before anything can fault in the mapping.
 */
void sparse_mmap(struct goalloc_heap *heap)
{
	WRITE_ONCE(heap->mapped, true);
	smp_mb(); /* pairs with the one in sparse_unmap_span() */
}

/**
 * sparse_fault - somebody touches a page in a mapping
 * @heap: the heap
 * @vmf: what is touched; offsets of the file are heap addresses
 *
 * Where the memory cgroup has no room for the page, and nobody was killed to
 * make some, it is SIGBUS: VM_FAULT_OOM would try again for ever.
 *
 * Context: task, sleeps; mmap_lock or the VMA's lock held.
 * Return: what a fault handler returns.
 */
vm_fault_t sparse_fault(struct goalloc_heap *heap, struct vm_fault *vmf)
{
	u64 addr = (u64)vmf->pgoff << PAGE_SHIFT;
	u32 i = vmf->pgoff & (SPARSE_UNIT_NR - 1);
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct page *page;

	if (!sparse_touchable(heap, addr))
		return VM_FAULT_SIGBUS;
	page = sparse_get(heap, addr);
	if (!page && sparse_back(heap, addr, &page))
		return VM_FAULT_SIGBUS;
	if (i) {
		/* While one has the first page's the others stay as well. */
		get_page(&page[i]);
		put_page(page);
		page += i;
	}
	/* See the head of sparse.h for what the lock is for. */
	lock_page(page);
	if (unlikely(PageHWPoison(page))) {
		ret = VM_FAULT_HWPOISON;
	} else if (likely(sparse_touchable(heap, addr))) {
		vmf->page = page;
		return VM_FAULT_LOCKED;
	}
	unlock_page(page);
	put_page(page);
	return ret;
}

/**
 * sparse_iter - moves bytes between a heap and a caller
 * @heap: the heap
 * @addr: heap address to begin at
 * @iter: the caller's memory
 * @write: to the heap, else from it
 *
 * Reading a page that was never touched gives zeroes and does not back it.
 *
 * Context: task, sleeps.
 * Return: bytes moved, fewer than wanted where spans in use end, the caller's
 * memory faults or a fatal signal comes; if none, -EFAULT, -ENOMEM or -EINTR.
 */
ssize_t sparse_iter(struct goalloc_heap *heap, u64 addr, struct iov_iter *iter, bool write)
{
	ssize_t done = 0, err = 0;

	while (iov_iter_count(iter)) {
		size_t off = offset_in_page(addr);
		size_t want = min_t(size_t, SPARSE_STEP - (addr & (SPARSE_STEP - 1)),
				    iov_iter_count(iter));
		u32 i = (addr >> PAGE_SHIFT) & (SPARSE_UNIT_NR - 1);
		struct page *page;
		size_t n;

		if (!sparse_in_use(heap, addr)) {
			err = -EFAULT;
			break;
		}
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		page = sparse_get(heap, addr);
		if (!page && write) {
			err = sparse_back(heap, addr, &page);
			if (err)
				break;
		}
		if (!page)
			n = iov_iter_zero(want, iter);
		else if (write)
			n = copy_page_from_iter(page + i, off, want, iter);
		else
			n = copy_page_to_iter(page + i, off, want, iter);
		if (page)
			put_page(page);
		done += n;
		addr += n;
		if (n < want) {
			err = -EFAULT;
			break;
		}
		cond_resched();
	}
	return done ?: err;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_iter);

/* As sparse_seek(), up to the end of a chunk: false, and that is the address. */
static bool sparse_seek_chunk(struct goalloc_heap *heap, u64 *addr, u64 end, bool data)
{
	struct page **e = sparse_entry(heap, *addr);
	u32 first = sparse_unit(*addr);

	if (!e) {
		if (data)
			*addr = end;
		return !data;
	}
	while (*addr < end) {
		struct page *page = READ_ONCE(e[sparse_unit(*addr) - first]);

		if (data == (page && span_of_heap(heap, *addr)))
			return true;
		*addr = (*addr | (GOALLOC_PAGE_SIZE - 1)) + 1;
	}
	return false;
}

/**
 * sparse_seek - finds the next page of a span in use that is backed, or is not
 * @heap: the heap
 * @addr: heap address to begin at
 * @data: look for one that is, else for what is not
 *
 * Context: task, sleeps.
 * Return: the first address from @addr on of which that is true;
 * GOALLOC_HEAP_END if there is none.
 */
u64 sparse_seek(struct goalloc_heap *heap, u64 addr, bool data)
{
	u64 end = READ_ONCE(heap->cur_arena);

	while (addr < end && !fatal_signal_pending(current)) {
		u64 next = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1;
		bool found;

		rcu_read_lock();
		found = sparse_seek_chunk(heap, &addr, next, data);
		rcu_read_unlock();
		if (found)
			return addr;
		cond_resched();
	}
	return data ? GOALLOC_HEAP_END : addr;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_seek);
