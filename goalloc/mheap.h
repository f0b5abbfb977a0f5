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
 *	3. page_cache.lock	the pages that one CPU has set aside
 *	4. goalloc_chunk.lock	the pages behind a chunk of a sparse heap
 *	5. goalloc_heap.lock	pages, the tables, their growing and shrinking
 *
 * 2 to 5 are raw, held for short and bounded sections with interrupts off, and
 * under none of them is memory allocated or freed, user memory touched, or
 * anything waited for.
 *
 * Tables go when the heap shrinks: an entry of the tables is looked at with the
 * heap lock or rcu_read_lock() held, or by somebody who has a span or pages in
 * what it stands for.
 */
#ifndef GOALLOC_MHEAP_H
#define GOALLOC_MHEAP_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu_counter.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
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
#define GOALLOC_GRANULE_SIZE	BIT(GOALLOC_GRANULE_SHIFT)
#define GOALLOC_GRANULE_PAGES	(1 << (GOALLOC_GRANULE_SHIFT - GOALLOC_PAGE_SHIFT))
#define GOALLOC_CHUNK_GRANULES	(1 << (PALLOC_CHUNK_SHIFT - GOALLOC_GRANULE_SHIFT))

enum goalloc_backing {
	BACKING_LINEAR,		/* kernel heaps: objects have kernel pointers */
	BACKING_SPARSE,		/* file heaps: objects have heap addresses only */
};

/* What chunks are looked for by; see struct goalloc_heap, index. */
enum mheap_index {
	INDEX_IDLE,		/* memory in it can be given back */
	INDEX_BLOCK,		/* a whole block of it can: nothing in it is in use */
	INDEX_WHOLE,		/* one of 2 MiB can */
	INDEX_EMPTY,		/* nothing in use, nothing backed: its tables can go */
	MHEAP_INDICES,
};

/**
 * struct goalloc_chunk - 4 MiB of a heap's address space
 * @palloc: its part of the page allocator (heap lock)
 * @indexed: the indices it is in, as bits (heap lock)
 * @idle: heap pages whose memory can be given back (heap lock)
 * @idle_whole: linear heaps: of those the ones in blocks with nothing in use
 *	(heap lock)
 * @lock: protects the entries of @pages; raw, taken outside the heap lock
 * @whole: sparse heaps: the span that covers all of the chunk, or NULL
 * @spans: sparse heaps: the span of each page, or NULL; built when the first
 *	span that is not @whole comes
 * @pages: sparse heaps: the memory of each page, or NULL; built when the first
 *	page of the chunk is touched (sparse.h)
 * @next: links chunks that have left the heap
 * @mapped: linear heaps: the mapped span that covers a half, or NULL
 * @granule: linear heaps only, and there GOALLOC_CHUNK_GRANULES of them:
 *	kernel address behind each 128 KiB, or NULL, with GRANULE_SPLIT if the
 *	block was part of a larger one, or has or had holes. Only the entry of a
 *	block's first granule is set (heap lock; read without by whoever has a run
 *	in the block)
 */
struct goalloc_chunk {
	struct palloc_chunk palloc;
	u8 indexed;
	u16 idle;
	u16 idle_whole;
	raw_spinlock_t lock;
	union {
		struct {
			struct mspan __rcu *whole;
			struct mspan __rcu **spans;
			struct page **pages;
		};
		struct mspan __rcu *mapped[2];
	};
	struct goalloc_chunk *next;
	void *granule[];
};

#define GRANULE_SPLIT		1UL

static inline void *granule_base(const void *entry)
{
	return (void *)((unsigned long)entry & ~GRANULE_SPLIT);
}

static inline bool granule_is_split(const void *entry)
{
	return (unsigned long)entry & GRANULE_SPLIT;
}

/**
 * struct goalloc_arena - Go's heapArena
 * @chunks: its chunks; entries come and go under the heap lock
 * @index: a bit for each chunk, by enum mheap_index (heap lock)
 * @next: links arenas that have left the heap
 */
struct goalloc_arena {
	struct goalloc_chunk *chunks[GOALLOC_ARENA_CHUNKS];
	u16 index[MHEAP_INDICES];
	struct goalloc_arena *next;
};

#define GOALLOC_L2_CHUNKS	(GOALLOC_ARENA_L2 * GOALLOC_ARENA_CHUNKS)

/* Pages that are freed, or added to the heap, under one taking of the lock. */
#define MHEAP_PIECE_PAGES	(8 * PALLOC_CHUNK_PAGES)

/**
 * struct goalloc_arena_l2 - 8 GiB of arenas
 * @arenas: the arenas; entries come and go under the heap lock
 * @index: a bit for each arena that has one (heap lock)
 * @gaps: a bit for each chunk below cur_arena that is not the page allocator's
 *	(heap lock)
 * @ngaps: how many (heap lock)
 */
struct goalloc_arena_l2 {
	struct goalloc_arena *arenas[GOALLOC_ARENA_L2];
	DECLARE_BITMAP(index[MHEAP_INDICES], GOALLOC_ARENA_L2);
	DECLARE_BITMAP(gaps, GOALLOC_L2_CHUNKS);
	u32 ngaps;
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
	SCAVENGE_LIMIT,			/* a soft limit was near */
	SCAVENGE_BACKGROUND,		/* the heap held more than its goal */
	SCAVENGE_RECLAIM,		/* the system was short of memory */
	SCAVENGE_CAUSES,
};

/**
 * struct goalloc_heap - Go's mheap
 * @lock: protects what is marked (lock)
 * @backing: kind of heap
 * @id: number in debugfs
 * @rcu: frees it
 * @name: shown to people
 * @page_caches: short runs come from the CPUs' page caches, and CPUs keep spans
 * @pages: the page allocator (lock)
 * @arenas: address to arena; entries come under the lock, and stay
 * @index: which entries of @arenas have chunks of a kind below them: by bits
 *	here, in them, and in the arenas a chunk is found in a few steps (lock)
 * @cur_arena: where the address space not yet given to @pages begins (lock)
 * @ngaps: chunks below it that are not in @pages and nobody is about to add
 *	(lock)
 * @gap_first: no entry of @arenas below it has a gap (lock)
 * @limit: soft limit in bytes
 * @max: hard limit in bytes of pages in spans
 * @gc_percent: GOGC
 * @pages_sys: heap pages of address space given to @pages (lock)
 * @pages_idle: of those the ones whose memory can be given back (lock)
 * @pages_whole: of these the ones in blocks with nothing in use (lock)
 * @pages_holes: holes, which count in @pages_released (lock)
 * @holes_max: with so many no more are made, as each takes address space that
 *	cannot be used before its block has gone; a test changes it
 * @idle_low: the least @pages_idle since @idle_since (lock)
 * @idle_before: and in the time before that, a second or more (lock)
 * @idle_since: in jiffies (lock)
 * @pages_in_use: heap pages in spans; goes up after @pages_released went down, and
 *	down with the lock held, or that of the page cache the pages go to
 * @pages_released: heap pages idle and not backed
 * @pages_charged: @pages_in_use and what is about to be: what @max bounds
 * @nspans: spans in use
 * @locks: how often @lock was taken (lock)
 * @contended: and how often somebody else had it (lock)
 * @lock_since: when it was taken last, if that is measured (lock)
 * @lock_max: the longest it was held, in ns (lock)
 * @backed: bytes of memory behind the heap
 * @thin_bytes: of closed spans, that went back
 * @thin_looks: as often, a second apart, the background will look for more
 *	(background)
 * @thin_class: and there it is (background),
 * @thin_list: in this list of the class, counted from 1,
 * @thin_left: and has so many spans of it still to look at
 * @large_alloc: bytes of large objects made
 * @large_alloc_count: large objects made
 * @large_free: bytes of large objects freed
 * @large_free_count: large objects freed
 * @large_kept: CPUs may have spans of large objects, and the background is to look
 * @large_seen: @large_alloc_count when it did (the background)
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
 * @sweepdone: no set has an unswept span; somebody may still have taken one
 * @sweepers: those who may have
 * @thin_mutex: while a span is closed no cycle begins
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
 * @users: those who give memory back in others' names, and the heap itself
 * @unused: the last of them is gone
 * @ending: it leaves the list of heaps, or has (goalloc_heaps_mutex)
 * @returning: work items and tasks that are to return spans
 * @scav_pass: the last search for the emptiest heap that found it
 * @refills: how often a page cache was filled (lock)
 * @bg_refills: that, when the background scavenger was here last
 * @bg_next: it does not come before, in jiffies
 * @scav_again: one who wants a bounded piece passes it by until then, in jiffies
 * @scav_below: where the next search for a bounded piece goes on, when the last
 *	one met too many pages that somebody has references to
 * @scav_count: how often memory was given back, by cause
 * @scav_bytes: and how much
 * @list: in the list of all heaps (goalloc_heaps_mutex; read under RCU)
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
	u64 id;
	struct rcu_head rcu;
	char name[48];
	bool page_caches;

	struct pagealloc pages;
	struct goalloc_arena_l2 *arenas[GOALLOC_ARENA_L1];
	DECLARE_BITMAP(index[MHEAP_INDICES], GOALLOC_ARENA_L1);
	u64 cur_arena;
	u32 ngaps;
	u32 gap_first;
	u64 limit;
	u64 max;
	u64 gc_percent;
	u64 pages_sys;
	u64 pages_idle;
	u64 pages_whole;
	u64 pages_holes;
	u64 holes_max;
	u64 idle_low;
	u64 idle_before;
	unsigned long idle_since;
	atomic64_t pages_in_use;
	atomic64_t pages_released;
	atomic64_t pages_charged;
	atomic64_t nspans;
	u64 locks;
	u64 contended;
#ifdef GOALLOC_LOCK_TIMES
	u64 lock_since;
	u64 lock_max;
#endif

	atomic64_t backed;
	atomic64_t thin_bytes;
	u8 thin_looks;
	u8 thin_class;
	u8 thin_list;
	u32 thin_left;
	atomic64_t large_alloc;
	atomic64_t large_alloc_count;
	atomic64_t large_free;
	atomic64_t large_free_count;
	bool large_kept;
	u64 large_seen;
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
	atomic_t sweepers;
	struct mutex thin_mutex;	/* no cycle begins while a span is closed */
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
	refcount_t users;
	struct completion unused;
	bool ending;
	atomic_t returning;
	atomic64_t scav_pass;
	u64 refills;
	u64 bg_refills;
	unsigned long bg_next;
	unsigned long scav_again;
	u64 scav_below;
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

	/* What the class has in its mcentral is seen, too: see goalloc_class_create(). */
	return classes ? smp_load_acquire(&classes[i]) : NULL;
}

extern struct mutex goalloc_heaps_mutex;
extern struct list_head goalloc_heaps;
extern struct goalloc_heap *goalloc_kernel_heap;	/* heap 0 */
extern struct workqueue_struct *goalloc_wq;
extern struct workqueue_struct *goalloc_flush_wq;
extern bool goalloc_panic_on_fault;

/* Of all heaps together; see scavenge.h. */
extern struct percpu_counter goalloc_held;	/* bytes of memory and metadata */
extern struct percpu_counter goalloc_idle;	/* pages_idle */
extern atomic64_t goalloc_pages_charged;
extern u64 goalloc_limit;			/* module parameters */
extern u64 goalloc_max;

/* As exact as its use, the limits, needs; a CPU keeps up to so much back. */
#define GOALLOC_HELD_BATCH	((s32)SZ_256K)

/* Counts bytes that a heap has, in a counter of its own and in that of all. */
static inline void mheap_count(atomic64_t *stat, s64 bytes)
{
	atomic64_add(bytes, stat);
	percpu_counter_add_batch(&goalloc_held, bytes, GOALLOC_HELD_BATCH);
}

static inline u64 mheap_pages_in_use(const struct goalloc_heap *heap)
{
	return atomic64_read(&heap->pages_in_use);
}

static inline u64 mheap_pages_released(const struct goalloc_heap *heap)
{
	return atomic64_read(&heap->pages_released);
}

static inline u64 mheap_nspans(const struct goalloc_heap *heap)
{
	return atomic64_read(&heap->nspans);
}

/* The heap stays until mheap_put(); false if it is just being ended. RCU held. */
static inline bool mheap_get(struct goalloc_heap *heap)
{
	return refcount_inc_not_zero(&heap->users);
}

/* Context: any. */
static inline void mheap_put(struct goalloc_heap *heap)
{
	if (refcount_dec_and_test(&heap->users))
		complete(&heap->unused);
}

/*
 * Pages are in a span now; @scav of them count as released until here. Context: any
 * but NMI.
 */
static inline void mheap_use_pages(struct goalloc_heap *heap, u64 npages, u64 scav)
{
	atomic64_sub(scav, &heap->pages_released);
	smp_mb__after_atomic(); /* for readmemstats() released pages are idle */
	atomic64_add(npages, &heap->pages_in_use);
}

struct goalloc_heap *mheap_next(struct goalloc_heap *heap);

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
void mheap_returning(struct goalloc_heap *heap);
void mheap_returned(struct goalloc_heap *heap);
struct goalloc_chunk *mheap_chunk(struct goalloc_heap *heap, u64 addr);
void mheap_chunk_changed(struct goalloc_heap *heap, struct goalloc_chunk *c, u64 addr);
void mheap_range_changed(struct goalloc_heap *heap, u64 addr, u64 npages);
u64 mheap_find_chunk(struct goalloc_heap *heap, enum mheap_index index, u64 below);
bool mheap_grow(struct goalloc_heap *heap, u64 npages, gfp_t gfp);
void mheap_destroy_tables(struct goalloc_heap *heap);
u64 mheap_release_tables(struct goalloc_heap *heap, u64 keep_pages, u64 from);
u64 mheap_release_tables_until(struct goalloc_heap *heap, u64 keep_pages, u64 from, u64 until);
void mheap_flush_page_caches(struct goalloc_heap *heap);
void linear_wall(struct goalloc_heap *heap, u64 addr);
void mheap_flush_page_cache(struct goalloc_heap *heap, struct page_cache *pc);
void mheap_back_cached(struct goalloc_heap *heap, u64 addr, u32 npages);
u64 mheap_take_cached(struct goalloc_heap *heap, u64 npages, u64 *scav);
bool mheap_puts_cached(struct goalloc_heap *heap, const struct mspan *s);
void mheap_put_cached(struct goalloc_heap *heap, u64 addr, u64 npages);
struct mspan *mheap_span_in_chunk(struct goalloc_heap *heap, u64 *addr);
struct mspan *mheap_next_span(struct goalloc_heap *heap, u64 *addr);
struct mspan *span_of_heap(struct goalloc_heap *heap, u64 addr);
unsigned long mheap_lock(struct goalloc_heap *heap);
void mheap_unlock(struct goalloc_heap *heap, unsigned long flags);
void mheap_fault(struct goalloc_heap *heap, enum goalloc_fault fault);

#endif /* GOALLOC_MHEAP_H */
