/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sparse backing: the memory of file heaps, a heap page at a time (Go:
 * mem_linux.go, where the operating system does this).
 *
 * Each chunk has a table of the pages behind its heap pages, built at the first
 * touch in it. An entry is set once, by compare-and-swap, and cleared when the
 * page leaves the heap; no lock protects it. The heap has a reference to each
 * of its pages, every mapping of a process has one, and so has whoever uses a
 * page just now. What holds:
 *
 *  - A page leaves the heap only while the heap's reference is the only one
 *    (page_ref_freeze()). So nobody ever sees a page that is no longer the
 *    heap's, whatever mapping or reference they kept.
 *  - Where PAGE_SIZE is smaller than a heap page, its pages leave together, when
 *    all of them can. So a reference to one of them keeps them all.
 *  - An entry with whose page somebody has a reference does not change.
 *  - A page is put into page tables (by the kernel, after sparse_fault()) with its
 *    lock held and its span found in use under that lock. Whoever takes a span
 *    away first makes it impossible to be found, then takes and releases the lock
 *    of each of its pages, and then takes the range out of all page tables:
 *    nothing can come after that.
 *
 * Lock order: mmap_lock of a process, then the lock of a page; the mapping's
 * i_mmap_rwsem and page tables, as everywhere in the kernel. None of the heap's
 * locks is held when one of these is taken.
 */
#ifndef GOALLOC_SPARSE_H
#define GOALLOC_SPARSE_H

#include <linux/mm_types.h>
#include <linux/types.h>
#include <linux/uio.h>

struct goalloc_heap;
struct mspan;

int sparse_map_span(struct goalloc_heap *heap, struct mspan *s, gfp_t gfp);
void sparse_unmap_span(struct goalloc_heap *heap, struct mspan *s);
void sparse_decommit(struct goalloc_heap *heap, struct mspan *s);
void sparse_zero(struct goalloc_heap *heap, u64 addr, u64 len);
u32 sparse_release(struct goalloc_heap *heap, u64 addr, u32 npages);
bool sparse_is_backed(struct goalloc_heap *heap, u64 addr);
void sparse_destroy(struct goalloc_heap *heap);

void sparse_mmap(struct goalloc_heap *heap);
vm_fault_t sparse_fault(struct goalloc_heap *heap, struct vm_fault *vmf);
ssize_t sparse_iter(struct goalloc_heap *heap, u64 addr, struct iov_iter *iter, bool write);
u64 sparse_seek(struct goalloc_heap *heap, u64 addr, bool data);
#if IS_ENABLED(CONFIG_KUNIT)
extern void (*sparse_after_look)(struct goalloc_heap *heap, struct page *page);
extern void (*sparse_before_entry)(struct goalloc_heap *heap, struct page *page);
#endif

#endif /* GOALLOC_SPARSE_H */
