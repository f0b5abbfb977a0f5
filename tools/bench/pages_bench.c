// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a run of pages costs, in heaps of all sizes: page allocators of 64 MiB
 * to 1 TiB with nothing behind their pages. Loading the module measures; what
 * it found is in debugfs, in goalloc_pages_bench, a line for each row with
 * tabs between:
 *
 *	pages	<case>	<pages>	<heap>	<median or worst>	<instructions>
 *	lock	<case>	<pages>	-	worst			<instructions>
 *
 * Instructions are of one call, in tenths, without reading the counter, and
 * with interrupts off. As goalloc_bench.c it is for QEMU with -icount shift=0
 * and one CPU. It has a page allocator of its own, with the cache of the module's
 * name, so goalloc is not loaded beside it.
 *
 * A heap begins half full: runs of 1 to 16 pages, each of them in use or free by a
 * coin, and in each part of it a hole for the longest run. A hole is plugged by
 * a page in its middle, but for one hole at a time. What is done in a round is
 * undone after it, so that the heap stays as it is.
 */
#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timex.h>

#include "../../goalloc/pagealloc.h"

/* Above 4 MiB, so no chunk has room for it, however it lies. */
#define LONG_RUN	520
#define MAX_HOLES	16

/* A round's runs at most, and how many calls are measured of each length. */
#define BATCH		64
#define CALLS		1024

/* What is taken or freed under the lock at once: 64 MiB. */
#define PIECE_CHUNKS	16
#define PIECE		(PIECE_CHUNKS * PALLOC_CHUNK_PAGES)

static bool backwards;
module_param(backwards, bool, 0444);
MODULE_PARM_DESC(backwards, "The largest heap first");

static const struct {
	const char *name;
	u64 chunks;
} sizes[] = {
	{ "64M", SZ_64M / PALLOC_CHUNK_SIZE },
	{ "1G", SZ_1G / PALLOC_CHUNK_SIZE },
	{ "64G", 64ULL * SZ_1G / PALLOC_CHUNK_SIZE },
	{ "1T", GOALLOC_NR_CHUNKS },
};

static const struct {
	u32 pages, batch;
	bool random;		/* any pages in use are freed; else those taken */
} lengths[] = {
	{ 1, BATCH, true }, { 4, BATCH, true }, { 16, BATCH, true }, { 64, 2 },
	{ LONG_RUN, 1 },
};

struct heap {
	struct pagealloc p;
	raw_spinlock_t lock;
	struct rnd_state rnd;
	struct palloc_chunk *chunks;
	u32 nr_chunks;
	u64 nr_pages;
	u64 holes[MAX_HOLES];
	u32 nr_holes;
};

static u64 took_alloc[CALLS], took_free[CALLS];
static u64 runs[BATCH], holes[BATCH];

/* Reading the counter twice. */
static u64 nothing;

/* What is found. */
static char text[SZ_8K];
static struct debugfs_blob_wrapper blob = { .data = text };
static struct dentry *file;

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *group, const char *what, u64 pages, const char *heap,
		   const char *kind, u64 took)
{
	blob.size += scnprintf(text + blob.size, sizeof(text) - blob.size,
			       "%s\t%s\t%llu\t%s\t%s\t%llu\n", group, what, pages, heap, kind,
			       took * 10);
}

static void report_calls(const char *what, u64 pages, const char *heap, u64 *took, u32 n)
{
	sort(took, n, sizeof(*took), compare, NULL);
	report("pages", what, pages, heap, "median", took[n / 2]);
	report("pages", what, pages, heap, "worst", took[n - 1]);
}

/* What @call takes, under the lock. */
#define TOOK(h, call) ({						\
	struct heap *heap_ = (h);					\
	unsigned long flags_;						\
	u64 begin_, end_;						\
									\
	raw_spin_lock_irqsave(&heap_->lock, flags_);			\
	begin_ = get_cycles();						\
	call;								\
	end_ = get_cycles();						\
	raw_spin_unlock_irqrestore(&heap_->lock, flags_);		\
	end_ - begin_ - nothing;					\
})

/* The same, not measured. */
#define LOCKED(h, call)	((void)TOOK(h, call))

static u64 below(struct heap *h, u64 n)
{
	u64 r = prandom_u32_state(&h->rnd);

	return mul_u64_u64_shr(r << 32 | prandom_u32_state(&h->rnd), n, 64);
}

static bool in_use(struct heap *h, u64 page)
{
	return palloc_bits_test(&h->chunks[page / PALLOC_CHUNK_PAGES].data.alloc,
				page % PALLOC_CHUNK_PAGES);
}

static void heap_free(struct heap *h)
{
	if (h->p.lock)
		pagealloc_destroy(&h->p);
	kvfree(h->chunks);
	kvfree(h);
}

static struct heap *heap_make(u32 chunks)
{
	struct heap *h = kvzalloc(sizeof(*h), GFP_KERNEL);
	int err = 0;

	if (!h)
		return NULL;
	raw_spin_lock_init(&h->lock);
	pagealloc_init(&h->p, &h->lock);
	prandom_seed_state(&h->rnd, 73);
	h->nr_chunks = chunks;
	h->nr_pages = (u64)chunks * PALLOC_CHUNK_PAGES;
	h->chunks = kvcalloc(chunks, sizeof(*h->chunks), GFP_KERNEL);
	if (!h->chunks)
		err = -ENOMEM;

	for (u32 i = 0; !err && i < chunks; i++) {
		err = pagealloc_prepare(&h->p, goalloc_chunk_base(i), &h->chunks[i], GFP_KERNEL);
		cond_resched();
	}
	for (u32 i = 0; !err && i < chunks; i += PIECE_CHUNKS)
		LOCKED(h, err = pagealloc_grow(&h->p, goalloc_chunk_base(i),
					       min_t(u32, chunks - i, PIECE_CHUNKS)));
	if (!err)
		return h;
	heap_free(h);
	return NULL;
}

/* The bits first, chunk by chunk, and then their summaries. */
static int heap_fill(struct heap *h)
{
	bool used = false;
	u32 left = 0;
	int err = 0;

	for (u32 i = 0; i < h->nr_chunks; i++) {
		for (u32 page = 0; page < PALLOC_CHUNK_PAGES;) {
			u32 n;

			if (!left) {
				left = 1 + prandom_u32_state(&h->rnd) % 16;
				used = prandom_u32_state(&h->rnd) & 1;
			}
			n = min_t(u32, left, PALLOC_CHUNK_PAGES - page);
			if (used)
				palloc_alloc_range(&h->chunks[i], page, n);
			left -= n;
			page += n;
		}
		cond_resched();
	}

	h->nr_holes = min_t(u64, MAX_HOLES, h->nr_pages / (8 * LONG_RUN));
	for (u32 i = 0; i < h->nr_holes; i++) {
		u64 part = div_u64(h->nr_pages, h->nr_holes);
		u64 page = i * part + 1 + below(h, part - LONG_RUN - 2);

		h->holes[i] = page;
		for (u64 at = page - 1; at <= page + LONG_RUN; at++) {
			struct palloc_chunk *c = &h->chunks[at / PALLOC_CHUNK_PAGES];
			bool keep = at < page || at == page + LONG_RUN / 2 ||
				    at == page + LONG_RUN;

			__assign_bit(at % PALLOC_CHUNK_PAGES, c->data.alloc.b, keep);
		}
	}

	/* The walls do not change; each chunk is looked at for it. */
	for (u32 i = 0; !err && i < h->nr_chunks; i++) {
		LOCKED(h, err = pagealloc_set_block(&h->p, goalloc_chunk_base(i), 0));
		cond_resched();
	}
	return err;
}

/* Pages that are all in use, picked at random. */
static bool pick(struct heap *h, u32 n, u64 *page)
{
	for (u32 tries = 0; tries < 10000; tries++) {
		u32 i = 0;

		*page = below(h, h->nr_pages - n);
		while (i < n && in_use(h, *page + i))
			i++;
		if (i == n)
			return true;
	}
	return false;
}

/* So many pages are freed here and there, then as many runs taken. */
static int round_random(struct heap *h, u32 n, u32 batch, u32 call)
{
	u64 scav, got = 0;
	int err = 0;

	for (u32 i = 0; i < batch; i++) {
		if (!pick(h, n, &holes[i]))
			return -ENOENT;
		took_free[call + i] = TOOK(h, err |= pagealloc_free(&h->p,
								    goalloc_page_addr(holes[i]),
								    n));
	}
	for (u32 i = 0; i < batch; i++) {
		took_alloc[call + i] = TOOK(h, runs[i] = pagealloc_alloc(&h->p, n, &scav));
		if (!runs[i])
			return -ENOSPC;
	}

	for (u32 i = 0; i < batch; i++)
		LOCKED(h, err |= pagealloc_free(&h->p, runs[i], n));
	for (u32 i = 0; i < batch; i++) {
		LOCKED(h, got = pagealloc_alloc_range(&h->p, goalloc_page_addr(holes[i]), n));
		if (got == PAGEALLOC_REFUSED)
			return -EINVAL;
	}
	return err;
}

/* Runs longer than any in use: they are taken, and then freed in any order. */
static int round_taken(struct heap *h, u32 n, u32 batch, u32 call)
{
	u64 scav, plug, got = 0;
	int err = 0;

	plug = goalloc_page_addr(h->holes[below(h, h->nr_holes)] + LONG_RUN / 2);
	if (n == LONG_RUN)
		LOCKED(h, err = pagealloc_free(&h->p, plug, 1));
	for (u32 i = 0; i < batch; i++) {
		took_alloc[call + i] = TOOK(h, runs[i] = pagealloc_alloc(&h->p, n, &scav));
		if (!runs[i])
			return -ENOSPC;
	}
	for (u32 i = 0; i < batch; i++) {
		u32 other = i + below(h, batch - i);

		swap(runs[i], runs[other]);
		took_free[call + i] = TOOK(h, err |= pagealloc_free(&h->p, runs[i], n));
	}
	if (n == LONG_RUN)
		LOCKED(h, got = pagealloc_alloc_range(&h->p, plug, 1));
	return got == PAGEALLOC_REFUSED ? -EINVAL : err;
}

static int measure_heap(const char *name, u32 chunks)
{
	struct heap *h = heap_make(chunks);
	int err;

	if (!h)
		return -ENOMEM;
	err = heap_fill(h);
	for (u32 k = 0; !err && k < ARRAY_SIZE(lengths); k++) {
		u32 n = lengths[k].pages, batch = lengths[k].batch;

		for (u32 call = 0; !err && call < CALLS; call += batch)
			err = lengths[k].random ? round_random(h, n, batch, call) :
						  round_taken(h, n, batch, call);
		report_calls("alloc", n, name, took_alloc, CALLS);
		report_calls("free", n, name, took_free, CALLS);
		cond_resched();
	}
	if (!err && h->p.refused)
		err = -EINVAL;
	heap_free(h);
	return err;
}

/*
 * The longest that each call may hold the lock: 64 MiB, taken and freed, which do
 * not begin with a chunk; sets, where 64 pages are free one by one; and a chunk
 * that leaves with all its nodes, while nothing below it is grown for as far as
 * is looked.
 */
static int measure_lock(void)
{
	struct heap *h = heap_make(GOALLOC_NR_CHUNKS);
	u64 worst[6] = {}, base = goalloc_chunk_base(4096 - 8) + 100 * GOALLOC_PAGE_SIZE;
	static const struct {
		const char *name;
		u64 pages;
	} calls[6] = {
		{ "alloc", PIECE }, { "free", PIECE }, { "take-set", 64 }, { "give-set", 64 },
		{ "ungrow", PALLOC_CHUNK_PAGES }, { "grow", PIECE },
	};
	struct pagealloc_node *gone = NULL;
	u64 scav, addr = 0, last = GOALLOC_NR_CHUNKS - 1;
	struct pagealloc_set set;
	bool got = true;
	int err = 0;

	if (!h)
		return -ENOMEM;

	/* All is in use below the pages, and they are between two root entries. */
	for (u32 i = 0; i < goalloc_chunk_index(base); i++) {
		LOCKED(h, addr = pagealloc_alloc(&h->p, PALLOC_CHUNK_PAGES, &scav));
		if (!addr)
			goto out;
		cond_resched();
	}
	LOCKED(h, addr = pagealloc_alloc(&h->p, 100, &scav));
	for (u32 i = 0; i < 64; i++) {
		worst[0] = max(worst[0], TOOK(h, addr = pagealloc_alloc(&h->p, PIECE, &scav)));
		if (addr != base)
			goto out;
		worst[1] = max(worst[1], TOOK(h, err |= pagealloc_free(&h->p, addr, PIECE)));
	}

	/* Every other page of 64, at the end of the first root entry. */
	addr = goalloc_chunk_base(4095) + (PALLOC_CHUNK_PAGES - 64) * GOALLOC_PAGE_SIZE;
	LOCKED(h, scav = pagealloc_alloc(&h->p, PIECE, &scav));
	for (u32 i = 0; i < 64; i += 2)
		LOCKED(h, err |= pagealloc_free(&h->p, addr + i * GOALLOC_PAGE_SIZE, 1));
	for (u32 i = 0; i < 64; i++) {
		worst[2] = max(worst[2], TOOK(h, got &= pagealloc_take_set(&h->p, &set)));
		worst[3] = max(worst[3], TOOK(h, err |= pagealloc_give_set(&h->p, &set)));
		if (set.base != addr)
			goto out;
	}

	/*
	 * Everything from the second half on leaves but for the last chunk, and
	 * what is right below that is prepared only.
	 */
	for (u32 i = GOALLOC_NR_CHUNKS / 2; i < last; i++) {
		LOCKED(h, err |= pagealloc_ungrow(&h->p, goalloc_chunk_base(i), &gone));
		cond_resched();
	}
	pagealloc_free_nodes(&h->p, gone);
	gone = NULL;
	for (u32 i = 1; i < 100; i++)
		err |= pagealloc_prepare(&h->p, goalloc_chunk_base(last - 8 - i),
					 &h->chunks[last - 8 - i], GFP_KERNEL);
	worst[4] = TOOK(h, err |= pagealloc_ungrow(&h->p, goalloc_chunk_base(last), &gone));
	pagealloc_free_nodes(&h->p, gone);

	/* And 64 MiB come back. */
	last = GOALLOC_NR_CHUNKS - PIECE_CHUNKS - 8;
	for (u32 i = 0; i < PIECE_CHUNKS; i++)
		err |= pagealloc_prepare(&h->p, goalloc_chunk_base(last + i),
					 &h->chunks[last + i], GFP_KERNEL);
	worst[5] = TOOK(h, err |= pagealloc_grow(&h->p, goalloc_chunk_base(last), PIECE_CHUNKS));

	if (err || !got || h->p.refused)
		goto out;
	for (u32 i = 0; i < ARRAY_SIZE(calls); i++)
		report("lock", calls[i].name, calls[i].pages, "-", "worst", worst[i]);
	heap_free(h);
	return 0;
out:
	heap_free(h);
	return err ?: -EINVAL;
}

/*
 * An aligned run that is not to be had: 255 pages are free behind each of those
 * that are aligned, in all of the address space.
 */
static int measure_aligned(void)
{
	static const u32 pages[] = { 1, 2, 64, 255 };
	struct heap *h = heap_make(GOALLOC_NR_CHUNKS);
	u64 scav, addr = 0;
	int err = 0;

	if (!h)
		return -ENOMEM;
	for (u32 i = 0; !err && i < h->nr_chunks; i++) {
		palloc_alloc_range(&h->chunks[i], 0, 1);
		palloc_alloc_range(&h->chunks[i], PALLOC_HALF_PAGES, 1);
		LOCKED(h, err = pagealloc_set_block(&h->p, goalloc_chunk_base(i), 0));
		cond_resched();
	}
	for (u32 i = 0; !err && i < ARRAY_SIZE(pages); i++) {
		report("lock", "alloc-aligned", pages[i], "-", "worst",
		       TOOK(h, addr = pagealloc_alloc_aligned(&h->p, pages[i],
							      PALLOC_HALF_PAGES, &scav)));
		if (addr)
			err = -EINVAL;
	}
	heap_free(h);
	return err;
}

static void measure_nothing(void)
{
	u64 took = ~0ULL;

	for (u32 i = 0; i < 100; i++) {
		u64 begin = get_cycles();

		took = min(took, get_cycles() - begin);
	}
	nothing = took;
}

static int __init pages_init(void)
{
	int err = pagealloc_module_init();

	if (err)
		return err;
	measure_nothing();
	for (u32 i = 0; !err && i < ARRAY_SIZE(sizes); i++) {
		u32 k = backwards ? ARRAY_SIZE(sizes) - 1 - i : i;

		err = measure_heap(sizes[k].name, sizes[k].chunks);
	}
	if (!err)
		err = measure_lock();
	if (!err)
		err = measure_aligned();
	if (!err && blob.size == sizeof(text) - 1)
		err = -E2BIG;
	if (!err)
		file = debugfs_create_blob("goalloc_pages_bench", 0400, NULL, &blob);
	else
		pagealloc_module_exit();
	return err;
}

static void __exit pages_exit(void)
{
	debugfs_remove(file);
	pagealloc_module_exit();
}

module_init(pages_init);
module_exit(pages_exit);

MODULE_DESCRIPTION("What a run of pages costs in heaps of all sizes");
MODULE_AUTHOR("The goalloc developers");
MODULE_LICENSE("GPL");
