/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Heaps: address space, arenas, spans of pages (Go: mheap.go).
 *
 * Go has one mheap; here each heap is one, with its own addresses from
 * GOALLOC_HEAP_BASE on. An address finds its span in O(1) steps: arena table
 * (two levels, as Go's arenas on big address spaces), arena, chunk,
 * spans[page].
 *
 * Lock order, outermost first:
 *
 *	1. goalloc_heaps_mutex	the list of heaps, their making and end
 *	2. mcentral.lock	one class's spans
 *	3. goalloc_heap.lock	pages, arenas' growth, the list of all spans
 *
 * 2 and 3 are raw, held for short and bounded sections with interrupts off,
 * and under neither is memory allocated or freed, user memory touched, or
 * anything waited for.
 */
#ifndef GOALLOC_MHEAP_H
#define GOALLOC_MHEAP_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/goalloc.h>

#include "layout.h"
#include "mcache.h"
#include "mcentral.h"
#include "mspan.h"
#include "pagealloc.h"

struct address_space;
struct dentry;
struct goalloc_class;
struct mem_cgroup;

#define GOALLOC_ARENA_L2_BITS	7
#define GOALLOC_ARENA_L2	BIT(GOALLOC_ARENA_L2_BITS)
#define GOALLOC_ARENA_L1	\
	(1 << (GOALLOC_HEAP_SHIFT - GOALLOC_ARENA_SHIFT - GOALLOC_ARENA_L2_BITS))

/* 128 KiB: the smallest block a linear chunk is backed with. */
#define GOALLOC_GRANULE_SHIFT	17
#define GOALLOC_GRANULE_PAGES	(1 << (GOALLOC_GRANULE_SHIFT - GOALLOC_PAGE_SHIFT))
#define GOALLOC_CHUNK_GRANULES	(1 << (PALLOC_CHUNK_SHIFT - GOALLOC_GRANULE_SHIFT))

enum goalloc_backing {
	BACKING_LINEAR,		/* kernel heaps: objects have kernel pointers */
	BACKING_SPARSE,		/* file heaps: objects have heap addresses only */
};

/**
 * struct goalloc_chunk - 4 MiB of a heap's address space
 * @palloc: its part of the page allocator (heap lock)
 * @whole: the span that covers all of the chunk, or NULL
 * @spans: the span of each page, or NULL; sparse heaps only, built when the
 *	first span that is not @whole comes
 * @pages: sparse heaps: the memory of each page, or NULL; built when the first
 *	page of the chunk is touched (sparse.h)
 * @granule: linear heaps: kernel address behind each 128 KiB, or NULL.
 *	Only the entry of a block's first granule is set (heap lock; read
 *	without by whoever has a run in the block).
 */
struct goalloc_chunk {
	struct palloc_chunk palloc;
	struct mspan __rcu *whole;
	struct mspan __rcu **spans;
	struct page **pages;
	void *granule[GOALLOC_CHUNK_GRANULES];
};

/* Go's heapArena. */
struct goalloc_arena {
	struct goalloc_chunk *chunks[GOALLOC_ARENA_CHUNKS];
};

struct goalloc_arena_l2 {
	struct goalloc_arena *arenas[GOALLOC_ARENA_L2];
};

/* Bad frees and what was done about them. See Documentation for each. */
enum goalloc_fault {
	GOALLOC_FAULT_DOUBLE,		/* freed already */
	GOALLOC_FAULT_STRAY,		/* not an object's first byte */
	GOALLOC_FAULT_WILD,		/* in no span in use */
	GOALLOC_FAULT_LATE,		/* double free found when a word was merged */
	GOALLOC_NUM_FAULTS,
};

/* Why memory was given back. */
enum goalloc_scavenge_cause {
	SCAVENGE_REQUEST,		/* somebody asked */
	SCAVENGE_LIMIT,			/* the soft limit was near */
	SCAVENGE_CAUSES,
};

/**
 * struct goalloc_heap - Go's mheap
 * @lock: protects what is marked (lock)
 * @backing: kind of heap
 * @id: number in debugfs
 * @name: shown to people
 * @pages: the page allocator (lock)
 * @arenas: address to arena; entries are installed by compare-and-swap
 * @cur_arena: where the address space not yet given to @pages begins (lock)
 * @limit: soft limit in bytes
 * @max: hard limit in bytes of pages in spans
 * @gc_percent: GOGC
 * @pages_in_use: heap pages in spans (lock)
 * @pages_sys: heap pages of address space given to @pages (lock)
 * @pages_released: of those idle and not backed (lock)
 * @allspans: every span in use (lock)
 * @nspans: how many (lock)
 * @locks: how often @lock was taken (lock)
 * @backed: bytes of memory behind the heap
 * @large_alloc: bytes of large objects made
 * @large_alloc_count: large objects made
 * @large_free: bytes of large objects freed
 * @large_free_count: large objects freed
 * @frees: frees of CPUs that have no mcache for the heap
 * @tinyfrees: likewise, tiny objects
 * @faults: bad frees by kind
 * @lookups: QUERYs
 * @mspan_bytes: span records
 * @mcache_bytes: mcaches
 * @gc_bytes: arenas, chunks, marks; the page allocator counts its own nodes
 * @other_bytes: the heap's own struct and per-CPU pointers, tables of vmapped
 *	spans
 * @sweepgen: Go's; moves by 2 a cycle (I5)
 * @sweepdone: no unswept span is left
 * @pages_swept: pages swept this cycle
 * @sweep_pages_per_byte: proportional sweeping, in 2^-32 pages a byte
 * @sweep_span_bytes: bytes of spans handed out this cycle
 * @sweep_index: mcentral the next sweeper begins with
 * @bgsweep: the background sweeper
 * @num_gc: cycles begun
 * @num_forced_gc: of those the ones asked for
 * @last_gc: when
 * @pause_total_ns: how long the heap stood still for them
 * @mcache: per-CPU mcaches
 * @mapping: sparse heaps of files: what the mappings of the file hang on
 * @mapped: the file was mapped at some time
 * @memcg: whom the heap's memory is charged to, or NULL
 * @limit_wait: those who wait for the soft limit to be reached
 * @scav_addr: nothing at or above it can be given back (lock)
 * @scav_count: how often memory was given back, by cause
 * @scav_bytes: and how much
 * @list: in the list of all heaps (goalloc_heaps_mutex)
 * @debugfs: its directory
 * @central: by span class; built with the heap's first object
 * @classes: GOALLOC_MAX_EXACT exact classes, or NULL if there never was one
 *	(goalloc_heaps_mutex; entries go under the lock as well)
 * @exact_mallocs: objects that exact classes which are gone had made (lock)
 * @exact_frees: objects of them that were freed (lock)
 * @exact_bytes: bytes of @exact_mallocs (lock)
 */
struct goalloc_heap {
	raw_spinlock_t lock;
	enum goalloc_backing backing;
	u32 id;
	char name[48];

	struct pagealloc pages;
	struct goalloc_arena_l2 *arenas[GOALLOC_ARENA_L1];
	u64 cur_arena;
	u64 limit;
	u64 max;
	u64 gc_percent;
	u64 pages_in_use;
	u64 pages_sys;
	u64 pages_released;
	struct list_head allspans;
	u64 nspans;
	u64 locks;

	atomic64_t backed;
	atomic64_t large_alloc;
	atomic64_t large_alloc_count;
	atomic64_t large_free;
	atomic64_t large_free_count;
	atomic64_t frees[GOALLOC_ALL_CENTRALS];
	atomic64_t tinyfrees;
	atomic64_t faults[GOALLOC_NUM_FAULTS];
	atomic64_t lookups;
	atomic64_t mspan_bytes;
	atomic64_t mcache_bytes;
	atomic64_t gc_bytes;
	atomic64_t other_bytes;

	u32 sweepgen;
	bool sweepdone;
	atomic64_t pages_swept;
	u64 sweep_pages_per_byte;
	atomic64_t sweep_span_bytes;
	u32 sweep_index;
	struct delayed_work bgsweep;
	u64 num_gc;
	u64 num_forced_gc;
	u64 last_gc;
	u64 pause_total_ns;

	struct mcache_pcpu __percpu *mcache;
	struct address_space *mapping;
	bool mapped;
	struct mem_cgroup *memcg;
	wait_queue_head_t limit_wait;
	u64 scav_addr;
	atomic64_t scav_count[SCAVENGE_CAUSES];
	atomic64_t scav_bytes[SCAVENGE_CAUSES];
	struct list_head list;
	struct dentry *debugfs;

	struct mcentral *central;
	struct goalloc_class **classes;
	u64 exact_mallocs;
	u64 exact_frees;
	u64 exact_bytes;
};

/* The exact class in a place, or NULL. */
static inline struct goalloc_class *mheap_class(const struct goalloc_heap *heap, u32 i)
{
	struct goalloc_class **classes = READ_ONCE(heap->classes);

	return classes ? READ_ONCE(classes[i]) : NULL;
}

extern struct mutex goalloc_heaps_mutex;
extern struct list_head goalloc_heaps;
extern struct goalloc_heap *goalloc_kernel_heap;	/* heap 0 */
extern struct workqueue_struct *goalloc_wq;
extern bool goalloc_panic_on_fault;

int mheap_module_init(void);
void mheap_module_exit(void);

/* Making and ending: sleep. @quiet: what is left at the end is no leak. */
struct goalloc_heap *mheap_create(const struct goalloc_heap_params *params,
				  enum goalloc_backing backing);
void mheap_destroy(struct goalloc_heap *heap, bool quiet);
bool mheap_build_central(struct goalloc_heap *heap, gfp_t gfp);

struct mspan *mheap_alloc_span(struct goalloc_heap *heap, u64 npages, u64 align_pages,
			       u8 spc, u64 elemsize, gfp_t gfp);
void mheap_return_span(struct mspan *s);
void mheap_free_span(struct mspan *s);
struct goalloc_chunk *mheap_chunk(struct goalloc_heap *heap, u64 addr);
struct mspan *span_of_heap(struct goalloc_heap *heap, u64 addr);
unsigned long mheap_lock(struct goalloc_heap *heap);
void mheap_unlock(struct goalloc_heap *heap, unsigned long flags);
void mheap_fault(struct goalloc_heap *heap, enum goalloc_fault fault);

#endif /* GOALLOC_MHEAP_H */
