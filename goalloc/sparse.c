// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sparse backing: pages at first touch, mappings, reading and writing.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "fixalloc.h"
#include "mheap.h"
#include "scavenge.h"
#include "sparse.h"

/*
 * A heap page is one allocation of its own size. Where PAGE_SIZE is larger
 * than a heap page several of them would have to share one.
 */
static_assert(PAGE_SHIFT <= GOALLOC_PAGE_SHIFT);
#define HEAP_PAGE_ORDER		(GOALLOC_PAGE_SHIFT - PAGE_SHIFT)
#define HEAP_PAGE_NR		BIT(HEAP_PAGE_ORDER)

/* Where the page behind an address is entered, or NULL. */
static struct page **sparse_entry(struct goalloc_heap *heap, u64 addr)
{
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	struct page **pages = c ? READ_ONCE(c->pages) : NULL;

	return pages ? &pages[goalloc_chunk_page(addr)] : NULL;
}

/* The same, and the chunk's table is made if need be; of a span in use. */
static struct page **sparse_make_entry(struct goalloc_heap *heap, u64 addr, gfp_t gfp)
{
	const size_t size = PALLOC_CHUNK_PAGES * sizeof(struct page *);
	struct goalloc_chunk *c = mheap_chunk(heap, addr);
	struct page **pages = READ_ONCE(c->pages);

	if (!pages) {
		pages = persistentalloc(heap, &heap->gc_bytes, size, gfp);
		if (!pages)
			return NULL;
		if (cmpxchg(&c->pages, NULL, pages)) {
			persistentfree(&heap->gc_bytes, pages, size);
			pages = READ_ONCE(c->pages);
		}
	}
	return &pages[goalloc_chunk_page(addr)];
}

static bool sparse_in_use(struct goalloc_heap *heap, u64 addr)
{
	bool used;

	rcu_read_lock();
	used = span_of_heap(heap, addr);
	rcu_read_unlock();
	return used;
}

/* Page to span, in the chunks' tables. */
int sparse_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp)
{
	const size_t size = PALLOC_CHUNK_PAGES * sizeof(struct mspan *);
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

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
 * Calls a function for each backed page of a range, up to @end. The page has no
 * reference of its own: it is one of a span in use, or of one that the caller
 * takes apart.
 */
static void sparse_for_each(struct goalloc_heap *heap, u64 addr, u64 end, bool resched,
			    void (*fn)(struct page *page, u64 addr, void *arg), void *arg)
{
	while (addr < end) {
		struct page **e = sparse_entry(heap, addr);
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);

		for (; e && addr < next; e++, addr += GOALLOC_PAGE_SIZE) {
			struct page *page = READ_ONCE(*e);

			if (page)
				fn(page, addr, arg);
		}
		addr = next;
		if (resched)
			cond_resched();
	}
}

/* Whoever found the span and has a page's lock is waited for. */
static void sparse_pass_lock(struct page *page, u64 addr, void *arg)
{
	u32 i;

	for (i = 0; i < HEAP_PAGE_NR; i++) {
		lock_page(&page[i]);
		unlock_page(&page[i]);
	}
}

/*
 * No address finds the span any more, and none of its pages is in a page table
 * any more or can come there.
 */
void sparse_unmap_span(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

	while (addr < end) {
		struct goalloc_chunk *c = mheap_chunk(heap, addr);
		u32 page = goalloc_chunk_page(addr);
		u32 n = min_t(u64, PALLOC_CHUNK_PAGES - page, (end - addr) >> GOALLOC_PAGE_SHIFT);

		if (n == PALLOC_CHUNK_PAGES)
			RCU_INIT_POINTER(c->whole, NULL);
		else if (c->spans)
			for (; n; n--, page++)
				RCU_INIT_POINTER(c->spans[page], NULL);
		addr = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1;
		if (s->npages > PALLOC_CHUNK_PAGES)
			cond_resched();
	}
	/*
	 * Pairs with the one in sparse_mmap(): a mapping that is not seen here
	 * is of one who will not find the span. Pairs with the compare-and-swap
	 * in sparse_back(): a page that is not seen is of one who will look for
	 * the span again, and not find it.
	 */
	smp_mb();
	if (!READ_ONCE(heap->mapped))
		return;
	might_sleep();
	sparse_for_each(heap, s->start_addr, end, true, sparse_pass_lock, NULL);
	unmap_mapping_range(heap->mapping, s->start_addr, mspan_bytes(s), 1);
}

static void sparse_clear_scavenged(struct page *page, u64 addr, void *arg)
{
	struct goalloc_heap *heap = arg;

	pagealloc_clear_scavenged(&heap->pages, addr, 1);
}

/*
 * The scavenged bits of a span's pages say again which of them are not backed;
 * while they were in use nobody looked at them.
 */
void sparse_decommit(struct goalloc_heap *heap, struct mspan *s)
{
	u64 addr = s->start_addr, end = addr + mspan_bytes(s);

	while (addr < end) {
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);
		unsigned long flags = mheap_lock(heap);

		pagealloc_set_scavenged(&heap->pages, addr, (next - addr) >> GOALLOC_PAGE_SHIFT);
		sparse_for_each(heap, addr, next, false, sparse_clear_scavenged, heap);
		mheap_unlock(heap, flags);
		addr = next;
		if (s->npages > PALLOC_CHUNK_PAGES)
			cond_resched();
	}
}

#if IS_ENABLED(CONFIG_KUNIT)
/*
 * A test acts when a page was seen and has no reference yet, and just before one
 * is entered into its chunk's table.
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

/* A backed page, with a reference, or NULL. */
static struct page *sparse_get(struct goalloc_heap *heap, u64 addr)
{
	struct page **e = sparse_entry(heap, addr), *page;

	while (e) {
		page = READ_ONCE(*e);
		if (!page)
			break;
		sparse_looked(heap, page);
		/* It may just be leaving, and be somebody else's by now. */
		if (likely(get_page_unless_zero(page))) {
			if (likely(page == READ_ONCE(*e)))
				return page;
			put_page(page);
		}
		cpu_relax();
	}
	return NULL;
}

/*
 * Memory for a heap page. It is of one piece, for the kernel's own use, and made
 * of pages on their own where processes are concerned: much of the kernel takes a
 * compound page in a mapping for a huge page that it may split.
 */
static struct page *sparse_alloc(struct goalloc_heap *heap, u64 addr)
{
	struct page *page;
	u32 i;

	page = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN, HEAP_PAGE_ORDER);
	if (!page)
		return NULL;
	split_page(page, HEAP_PAGE_ORDER);
	/*
	 * They belong to the mapping of the heap's inode, though they are in no
	 * page cache: it is by mapping and index that a futex is known.
	 */
	for (i = 0; heap->mapping && i < HEAP_PAGE_NR; i++) {
		page[i].mapping = heap->mapping;
		page[i].index = (addr >> PAGE_SHIFT) + i;
	}
	return page;
}

/* The heap's references go; who else has one keeps a page of nobody. */
static void sparse_free(struct page *page)
{
	u32 i;

	for (i = 0; i < HEAP_PAGE_NR; i++) {
		page[i].mapping = NULL;
		page[i].index = 0;
		put_page(&page[i]);
	}
}

/*
 * First touch. The span may be on its way back to the heap meanwhile: then the
 * page belongs to idle memory, which must say that it is backed.
 */
static struct page *sparse_back(struct goalloc_heap *heap, u64 addr)
{
	struct page *page = NULL, **e;
	struct mem_cgroup *old;
	unsigned long flags;

	addr = round_down(addr, GOALLOC_PAGE_SIZE);
	scavenge_for_limit(heap, GOALLOC_PAGE_SIZE);
	/* Whoever touches it, the opener of the file pays. */
	old = set_active_memcg(heap->memcg);
	e = sparse_make_entry(heap, addr, GFP_KERNEL_ACCOUNT);
	if (e && !goalloc_should_fail())
		page = sparse_alloc(heap, addr);
	set_active_memcg(old);
	if (!page)
		return NULL;
	get_page(page);
	sparse_enters(heap, page);
	if (cmpxchg(e, NULL, page)) {
		put_page(page);
		sparse_free(page);
		return sparse_get(heap, addr);
	}
	atomic64_add(GOALLOC_PAGE_SIZE, &heap->backed);
	scavenge_at_limit(heap);

	if (unlikely(!sparse_in_use(heap, addr))) {
		flags = mheap_lock(heap);
		if (pagealloc_clear_scavenged(&heap->pages, addr, 1) &&
		    !palloc_bits_test(&pagealloc_chunk(&heap->pages, addr)->data.alloc,
				      goalloc_chunk_page(addr))) {
			heap->pages_released--;
			scavenge_freed(heap, addr, 1);
		}
		mheap_unlock(heap, flags);
	}
	return page;
}

/* Nobody has a reference but the heap, and nobody gets one until it is unfrozen. */
static bool sparse_freeze(struct page *page)
{
	u32 i;

	for (i = 0; i < HEAP_PAGE_NR; i++)
		if (!page_ref_freeze(&page[i], 1))
			break;
	if (i == HEAP_PAGE_NR)
		return true;
	while (i)
		page_ref_unfreeze(&page[--i], 1);
	return false;
}

static void sparse_unfreeze(struct page *page)
{
	u32 i;

	for (i = 0; i < HEAP_PAGE_NR; i++)
		page_ref_unfreeze(&page[i], 1);
}

/**
 * sparse_release - gives back pages that are not in use (Go: sysUnused)
 * @heap: the heap
 * @addr: of the first page
 * @npages: how many, within a chunk; the caller has taken them from the page
 *	allocator
 *
 * A page that somebody still has a reference to stays.
 *
 * Context: task; no lock held.
 * Return: how many were given back.
 */
u32 sparse_release(struct goalloc_heap *heap, u64 addr, u32 npages)
{
	struct page **e = sparse_entry(heap, addr);
	u32 i, n = 0;

	for (i = 0; e && i < npages; i++) {
		struct page *page = READ_ONCE(e[i]);

		if (!page || !sparse_freeze(page))
			continue;
		WRITE_ONCE(e[i], NULL);
		sparse_unfreeze(page);
		sparse_free(page);
		n++;
	}
	atomic64_sub((u64)n << GOALLOC_PAGE_SHIFT, &heap->backed);
	return n;
}

/**
 * sparse_is_backed - has a page memory behind it
 * @heap: the heap
 * @addr: heap address
 *
 * Context: any. Of a page in no span, with the heap lock held: whoever enters
 * one now will take the lock afterwards and mark it as backed.
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
 * @len: bytes, of a span in use
 *
 * Only pages that are backed are touched.
 *
 * Context: any; preemption on if @len is large.
 */
void sparse_zero(struct goalloc_heap *heap, u64 addr, u64 len)
{
	u64 end = addr + len;

	while (addr < end) {
		struct page **e = sparse_entry(heap, addr);
		u64 next = min_t(u64, end, (addr | (PALLOC_CHUNK_SIZE - 1)) + 1);

		for (; e && addr < next; e++) {
			u64 off = addr & (GOALLOC_PAGE_SIZE - 1);
			u64 n = min_t(u64, GOALLOC_PAGE_SIZE - off, next - addr);
			struct page *page = READ_ONCE(*e);

			if (page)
				memset(page_address(page) + off, 0, n);
			addr += n;
		}
		addr = next;
		if (len > PALLOC_CHUNK_SIZE)
			cond_resched();
	}
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_zero);

static void sparse_destroy_page(struct page *page, u64 addr, void *arg)
{
	struct goalloc_heap *heap = arg;
	u32 i;

	/* Who still has a page looks at its mapping with the lock held. */
	for (i = 0; i < HEAP_PAGE_NR; i++) {
		lock_page(&page[i]);
		page[i].mapping = NULL;
		unlock_page(&page[i]);
	}
	sparse_free(page);
	atomic64_sub(GOALLOC_PAGE_SIZE, &heap->backed);
}

/**
 * sparse_destroy - gives all pages of a heap back
 * @heap: the heap, whose spans are gone and whose chunks are not
 *
 * Context: task, sleeps.
 */
void sparse_destroy(struct goalloc_heap *heap)
{
	sparse_for_each(heap, GOALLOC_HEAP_BASE, heap->cur_arena, true, sparse_destroy_page,
			heap);
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
	u32 i = vmf->pgoff & (HEAP_PAGE_NR - 1);
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct page *page;

	if (!sparse_in_use(heap, addr))
		return VM_FAULT_SIGBUS;
	page = sparse_get(heap, addr);
	if (!page)
		page = sparse_back(heap, addr);
	if (!page)
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
	} else if (likely(sparse_in_use(heap, addr))) {
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
		size_t want = min_t(size_t, PAGE_SIZE - off, iov_iter_count(iter));
		u32 i = (addr >> PAGE_SHIFT) & (HEAP_PAGE_NR - 1);
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
			page = sparse_back(heap, addr);
			if (!page) {
				err = -ENOMEM;
				break;
			}
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
		struct page **e = sparse_entry(heap, addr);
		u64 next = (addr | (PALLOC_CHUNK_SIZE - 1)) + 1;

		if (!e && !data)
			return addr;
		for (; e && addr < next; e++) {
			if (data == (READ_ONCE(*e) && sparse_in_use(heap, addr)))
				return addr;
			addr = (addr | (GOALLOC_PAGE_SIZE - 1)) + 1;
		}
		addr = next;
		cond_resched();
	}
	return data ? GOALLOC_HEAP_END : addr;
}

GOALLOC_EXPORT_FOR_KUNIT(sparse_seek);
