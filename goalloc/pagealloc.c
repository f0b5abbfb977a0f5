// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page allocator: see pagealloc.h for the tree, its invariants and units.
 *
 * Inside this file a page or a chunk is an index counted from the base of the
 * address space; addresses appear at the interface only.
 *
 * What a call touches: one of a run inside one chunk looks at the bits of that
 * chunk, at one node a level on its way and at the root, however large the heap
 * is. Two cases take longer: a run over many chunks, in proportion to them, and
 * a search for an aligned run, which looks into up to PAGEALLOC_ALIGN_LOOKS nodes
 * and chunks in vain, as summaries say nothing of alignment.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "pagealloc.h"

/* A root entry: what divides the base of the address space, and suffices. */
#define PAGEALLOC_ALIGN_MAX	BIT_ULL(PALLOCSUM_BITS)

/* An aligned run is looked for in so many nodes and chunks that may have none. */
#define PAGEALLOC_ALIGN_LOOKS	16

/* In bytes: how far off a CPU's share of meta_total may be. */
#define META_BATCH		SZ_256K

/* How many chunks are looked at for a new end of what is grown. */
#define BOUND_STEPS		64

static struct kmem_cache *node_cache;

/* log2 of the chunks an entry of @level covers. */
static u32 chunk_shift(u32 level)
{
	return (PAGEALLOC_LEAF - level) * PAGEALLOC_NODE_BITS;
}

/* The place in its node (or in the root) of the entry that covers @chunk. */
static u32 slot_of(u32 level, u32 chunk)
{
	u32 idx = chunk >> chunk_shift(level);

	return level ? idx & (PAGEALLOC_NODE_ENTRIES - 1) : idx;
}

/* What a link points to, a node or a chunk, or NULL. */
static void *follow(void **link)
{
	/*
	 * Pairs with smp_store_release() in pagealloc_prepare(): a node is
	 * seen zeroed or later, never earlier.
	 */
	return smp_load_acquire(link);
}

/* The node of @level, 1 or more, with the entry that covers @chunk, or NULL. */
static struct pagealloc_node *node_of(struct pagealloc *p, u32 level, u32 chunk)
{
	struct pagealloc_node *node;

	node = follow(&p->child[slot_of(0, chunk)]);
	for (u32 l = 1; node && l < level; l++)
		node = follow(&node->child[slot_of(l, chunk)]);
	return node;
}

/* The chunk's entry in the tree, or NULL if its leaf node is missing. */
static pallocsum *sum_of(struct pagealloc *p, u32 level, u32 chunk)
{
	struct pagealloc_node *node;

	if (!level)
		return &p->sum[slot_of(0, chunk)];
	node = node_of(p, level, chunk);
	return node ? &node->sum[slot_of(level, chunk)] : NULL;
}

/*
 * A range, chunk by chunk: what of it is in the chunk at hand. The first two
 * members are set to the range, then each next_piece() moves on.
 */
struct piece {
	u64 page;			/* where the next piece begins */
	u64 left;			/* pages from there on */
	struct pagealloc_node *leaf;	/* NULL: nothing prepared here */
	struct palloc_chunk *chunk;	/* NULL: not prepared */
	u32 slot;			/* of the chunk in its leaf */
	u32 i;				/* first page, inside the chunk */
	u32 n;				/* pages, inside the chunk */
};

static bool next_piece(struct pagealloc *p, struct piece *x)
{
	u32 chunk = x->page >> PALLOC_CHUNK_PAGE_SHIFT;

	if (!x->left)
		return false;
	x->slot = slot_of(PAGEALLOC_LEAF, chunk);
	/* A leaf serves eight chunks. */
	if (!x->leaf || !x->slot)
		x->leaf = node_of(p, PAGEALLOC_LEAF, chunk);
	x->chunk = x->leaf ? follow(&x->leaf->child[x->slot]) : NULL;
	x->i = x->page & (PALLOC_CHUNK_PAGES - 1);
	x->n = min_t(u64, x->left, PALLOC_CHUNK_PAGES - x->i);
	x->page += x->n;
	x->left -= x->n;
	return true;
}

static bool range_valid(u64 base, u64 npages)
{
	return goalloc_addr_in_space(base) &&
	       IS_ALIGNED(base, GOALLOC_PAGE_SIZE) && npages &&
	       npages <= GOALLOC_NR_PAGES - goalloc_page_index(base);
}

/* Is every page of the piece grown, and as @used says? */
static bool piece_is(const struct piece *x, bool used)
{
	return x->chunk && x->chunk->ready &&
	       palloc_bits_popcount(&x->chunk->data.alloc, x->i, x->n) == (used ? x->n : 0);
}

static bool range_is(struct pagealloc *p, u64 page, u64 npages, bool used)
{
	struct piece x = { .page = page, .left = npages };

	while (next_piece(p, &x))
		if (!piece_is(&x, used))
			return false;
	return true;
}

static bool range_ready(struct pagealloc *p, u64 page, u64 npages)
{
	struct piece x = { .page = page, .left = npages };

	while (next_piece(p, &x))
		if (!x.chunk || !x.chunk->ready)
			return false;
	return true;
}

/* A broken call: the caller has changed nothing yet, and will not. */
static int refuse(struct pagealloc *p, const char *what, u64 base, u64 n)
{
	p->refused++;
	WARN_ONCE(!p->test, "goalloc: %s refused: %llu at %#llx\n", what, n,
		  base);
	return -EINVAL;
}

static bool valid_align(struct pagealloc *p, u64 npages, u64 align_pages)
{
	if (is_power_of_2(align_pages) && align_pages <= PAGEALLOC_ALIGN_MAX)
		return true;
	refuse(p, "alignment", align_pages, npages);
	return false;
}

/* Brings the summary of a piece's chunk up to date; true if it changed. */
static bool update_leaf(const struct piece *x)
{
	pallocsum sum = palloc_summarize(x->chunk);

	if (x->leaf->sum[x->slot] == sum)
		return false;
	WRITE_ONCE(x->leaf->sum[x->slot], sum);
	return true;
}

/* The levels above the leaves, as far as something changes. */
static void update_above(struct pagealloc *p, u64 page, u64 npages)
{
	u32 first = page >> PALLOC_CHUNK_PAGE_SHIFT;
	u32 last = (page + npages - 1) >> PALLOC_CHUNK_PAGE_SHIFT;
	bool changed = true;

	for (u32 level = PAGEALLOC_LEAF; level-- && changed;) {
		u32 shift = chunk_shift(level);

		changed = false;
		for (u32 i = first >> shift; i <= last >> shift; i++) {
			struct pagealloc_node *node;
			pallocsum *entry, sum;

			node = node_of(p, level + 1, i << shift);
			sum = pallocsum_merge(node->sum, PAGEALLOC_NODE_ENTRIES,
					      pagealloc_level_shift(level + 1));
			entry = sum_of(p, level, i << shift);
			if (*entry != sum) {
				WRITE_ONCE(*entry, sum);
				changed = true;
			}
		}
	}
}

/*
 * Bring the summaries of a range up to date with its bits, from the leaves to
 * the root, or to the level where nothing changed. All chunks of the range
 * are prepared.
 */
static void update(struct pagealloc *p, u64 page, u64 npages)
{
	struct piece x = { .page = page, .left = npages };
	bool changed = false;

	while (next_piece(p, &x))
		changed |= update_leaf(&x);
	if (changed)
		update_above(p, page, npages);
}

/* As update(), of a range in one chunk, with its only piece. */
static void update_piece(struct pagealloc *p, const struct piece *x)
{
	if (update_leaf(x))
		update_above(p, x->page - x->n, x->n);
}

/* Take a range that is known to be free; returns what was scavenged of it. */
static u64 take_range(struct pagealloc *p, u64 page, u64 npages)
{
	struct piece x = { .page = page, .left = npages };
	u64 scav = 0;

	while (next_piece(p, &x))
		scav += palloc_alloc_range(x.chunk, x.i, x.n);
	/* Nearly all runs lie in one chunk, which is looked up once then. */
	if (x.n == npages)
		update_piece(p, &x);
	else
		update(p, page, npages);
	return scav;
}

/*
 * The lowest free run of @npages whose index is a multiple of @align, as
 * the index of its first page; GOALLOC_NR_PAGES if there is none. *@first is
 * where free pages begin, as closely as the search happened to see: no page
 * below it is free.
 *
 * The tree is walked in order of address, and a node entered only when the
 * entry above it says that a run inside is long enough. A run may also
 * straddle entries, so the length @run of the one right below @page is carried
 * along. A run that is long enough may lie so that no aligned one is in it; after
 * some of those only longer ones count, in which there always is one.
 */
static u64 search_tree(struct pagealloc *p, u64 npages, u64 align, u64 *first)
{
	/* The entry at hand; and those above it, by level. */
	struct pagealloc_node *path[PAGEALLOC_LEVELS] = {};
	u32 slots[PAGEALLOC_LEVELS] = {};
	u32 level = 0, slot = pagealloc_level_index(0, p->search_addr);
	u32 entries = PAGEALLOC_ROOT_ENTRIES;
	u64 size = 1ULL << pagealloc_level_shift(0), page = slot * size;
	const pallocsum *sums = p->sum;
	void **children = p->child;
	u64 run = 0;
	/* Where to look for a run that is aligned by chance. */
	u32 looks = p->align_looks;
	/* *@first is an entry of level @seen - 1, which ends at @bound. */
	u64 bound = GOALLOC_NR_PAGES;
	u32 seen = 0;

	*first = GOALLOC_NR_PAGES;
	for (;; page += size, slot++) {
		u32 lead, longest, trail, i, free_idx;
		pallocsum sum;
		u64 at;

		/* Back up; @page is where the entry above ends, too. */
		while (slot == entries) {
			if (!level)
				return GOALLOC_NR_PAGES;
			slot = slots[--level] + 1;
			size = 1ULL << pagealloc_level_shift(level);
			sums = level ? path[level]->sum : p->sum;
			children = level ? path[level]->child : p->child;
			entries = level ? PAGEALLOC_NODE_ENTRIES :
					  PAGEALLOC_ROOT_ENTRIES;
		}

		sum = sums[slot];
		if (!sum) {
			run = 0;
			continue;
		}
		/* Most entries have no run that is long enough, nor complete one. */
		if (level < seen && !(sum & PALLOCSUM_ALL_FREE) &&
		    pallocsum_max(sum) < min(npages, size) &&
		    run + pallocsum_start(sum) < npages) {
			run = pallocsum_end(sum);
			continue;
		}

		/* The first on its level, in the first of the level above. */
		if (level >= seen && page < bound) {
			*first = page;
			bound = page + size;
			seen = level + 1;
		}

		pallocsum_unpack(sum, &lead, &longest, &trail);
		at = round_up(page - run, align);
		if (at + npages <= page + lead)
			return at;
		if (lead == size) {
			run += size;
			continue;
		}

		if (longest >= (looks ? npages : npages + align - 1)) {
			void *child = children[slot];

			if (WARN_ON_ONCE(!child))
				goto carry;
			looks -= !!looks;
			if (level < PAGEALLOC_LEAF) {
				slots[level++] = slot;
				path[level] = child;
				size = 1ULL << pagealloc_level_shift(level);
				sums = path[level]->sum;
				children = path[level]->child;
				entries = PAGEALLOC_NODE_ENTRIES;
				/* To its first entry, which is at @page. */
				slot = -1;
				page -= size;
				continue;
			}

			if (align == 1) {
				i = palloc_find(child, npages, 0, &free_idx);
				if (*first == page && free_idx != PALLOC_NONE)
					*first += free_idx;
				WARN_ON_ONCE(i == PALLOC_NONE);
			} else if (IS_ALIGNED(page, align)) {
				i = palloc_find_aligned(child, npages,
							min_t(u64, align,
							      PALLOC_CHUNK_PAGES));
			} else {
				/* Coarser than a chunk, and between two. */
				i = PALLOC_NONE;
			}
			if (i != PALLOC_NONE)
				return page + i;
		}
carry:
		run = trail;
	}
}

/* As search_tree(), but first where search_addr points to. */
static u64 search(struct pagealloc *p, u64 npages, u64 align, u64 *first)
{
	u32 chunk_idx, i, found, free_idx;
	struct pagealloc_node *leaf;
	u32 slot;

	*first = GOALLOC_NR_PAGES;
	if (p->search_addr >= p->end)
		return GOALLOC_NR_PAGES;

	chunk_idx = goalloc_chunk_index(p->search_addr);
	i = goalloc_chunk_page(p->search_addr);
	if (align > 1 || npages > PALLOC_CHUNK_PAGES - i)
		return search_tree(p, npages, align, first);

	leaf = node_of(p, PAGEALLOC_LEAF, chunk_idx);
	slot = slot_of(PAGEALLOC_LEAF, chunk_idx);
	if (!leaf || pallocsum_max(leaf->sum[slot]) < npages)
		return search_tree(p, npages, align, first);

	found = palloc_find(leaf->child[slot], npages, i, &free_idx);
	if (WARN_ON_ONCE(found == PALLOC_NONE))
		return search_tree(p, npages, align, first);
	*first = ((u64)chunk_idx << PALLOC_CHUNK_PAGE_SHIFT) + free_idx;
	return *first - free_idx + found;
}

/* No page below @page is free. */
static void raise_search_addr(struct pagealloc *p, u64 page)
{
	p->search_addr = max(p->search_addr, goalloc_page_addr(page));
}

static u64 alloc_run(struct pagealloc *p, u64 npages, u64 align, u64 *scav)
{
	u64 page, first;

	page = search(p, npages, align, &first);
	if (page == GOALLOC_NR_PAGES) {
		raise_search_addr(p, first);
		return 0;
	}
	*scav = take_range(p, page, npages);
	raise_search_addr(p, first == page ? page + npages : first);
	return goalloc_page_addr(page);
}

/**
 * pagealloc_module_init() - Make what all page allocators share
 *
 * Context: Process context; may sleep.
 * Return: 0 or -ENOMEM.
 */
int pagealloc_module_init(void)
{
	node_cache = kmem_cache_create("goalloc_pagealloc_node",
				       sizeof(struct pagealloc_node),
				       __alignof__(struct pagealloc_node),
				       GOALLOC_SLAB_NO_MERGE, NULL);
	return node_cache ? 0 : -ENOMEM;
}

/**
 * pagealloc_module_exit() - Undo pagealloc_module_init()
 *
 * Context: Process context; may sleep. Every page allocator was destroyed.
 */
void pagealloc_module_exit(void)
{
	kmem_cache_destroy(node_cache);
	node_cache = NULL;
}

/**
 * pagealloc_init() - Make an empty page allocator
 * @p: the page allocator, with any content
 * @lock: the lock its callers will hold
 *
 * After pageAlloc.init() of Go's mpagealloc.go.
 *
 * Context: Any.
 */
void pagealloc_init(struct pagealloc *p, raw_spinlock_t *lock)
{
	memset(p, 0, sizeof(*p));
	p->lock = lock;
	p->search_addr = PAGEALLOC_NOTHING_FREE;
	p->align_looks = PAGEALLOC_ALIGN_LOOKS;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_init);

/* What nodes take has changed by so many of them. */
static void account_nodes(struct pagealloc *p, s64 nr)
{
	s64 bytes = nr * kmem_cache_size(node_cache);

	atomic64_add(bytes, &p->meta_bytes);
	if (p->meta_total)
		percpu_counter_add_batch(p->meta_total, bytes, META_BATCH);
}

/* As deep as the tree has levels. */
static void free_nodes(struct pagealloc *p, void **child, u32 n, u32 level)
{
	for (u32 i = 0; i < n; i++) {
		struct pagealloc_node *node = child[i];

		if (!node)
			continue;
		if (level < PAGEALLOC_LEAF)
			free_nodes(p, node->child, PAGEALLOC_NODE_ENTRIES,
				   level + 1);
		kmem_cache_free(node_cache, node);
		account_nodes(p, -1);
	}
}

/**
 * pagealloc_destroy() - Free the nodes of a page allocator
 * @p: the page allocator, used by no one any more
 *
 * Nodes that left the tree earlier have been freed by pagealloc_free_nodes().
 * The chunks are their owner's and stay as they are. @p is then as
 * pagealloc_init() leaves it.
 *
 * Context: Any but NMI; lock not held.
 */
void pagealloc_destroy(struct pagealloc *p)
{
	free_nodes(p, p->child, PAGEALLOC_ROOT_ENTRIES, 1);
	pagealloc_init(p, p->lock);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_destroy);

static struct pagealloc_node *new_node(struct pagealloc *p, gfp_t gfp)
{
	if (p->fail_node && p->fail_node(p))
		return NULL;
	return kmem_cache_zalloc(node_cache, gfp);
}

/*
 * Under the lock: install @c and the nodes on its path that are missing, which
 * are taken from @spare. If those @have do not suffice nothing is installed.
 * Returns how many are missing, or -EEXIST.
 */
static int install(struct pagealloc *p, u32 chunk, struct palloc_chunk *c,
		   struct pagealloc_node **spare, int have)
{
	void **link = &p->child[slot_of(0, chunk)];
	struct pagealloc_node *node;
	void *below = c;
	u32 level = 1;
	int missing;

	for (; level <= PAGEALLOC_LEAF && *link; level++) {
		node = *link;
		link = &node->child[slot_of(level, chunk)];
	}
	if (level > PAGEALLOC_LEAF && *link)
		return *link == c ? 0 : -EEXIST;

	missing = PAGEALLOC_LEAF + 1 - level;
	if (missing > have)
		return missing;

	/* From the chunk upwards: readers see the path as a whole. */
	for (u32 l = PAGEALLOC_LEAF; l >= level; l--) {
		node = spare[l - level];
		node->child[slot_of(l, chunk)] = below;
		below = node;
	}
	/* Pairs with smp_load_acquire() in follow(). */
	smp_store_release(link, below);
	account_nodes(p, missing);
	return missing;
}

/**
 * pagealloc_prepare() - Build the path to a chunk
 * @p: the page allocator
 * @chunk_addr: address of the chunk
 * @c: its state, filled with zeroes; it stays until it has been ungrown, or
 *	@p is destroyed
 * @gfp: how the nodes may be allocated
 *
 * The chunk has nothing free before pagealloc_grow(). Anyone may prepare the
 * same chunk with the same @c again, at the same time and later. A failure
 * changes nothing.
 *
 * After pageAlloc.sysGrow() of Go's mpagealloc_64bit.go.
 *
 * Context: As @gfp allows; takes the lock, so it is not held.
 * Return: 0, -ENOMEM, -EINVAL if @chunk_addr is no chunk's address, -EEXIST
 * if the chunk has another state already.
 */
int pagealloc_prepare(struct pagealloc *p, u64 chunk_addr,
		      struct palloc_chunk *c, gfp_t gfp)
{
	struct pagealloc_node *spare[PAGEALLOC_LEAF];
	unsigned long flags;
	int have = 0, used;
	u32 chunk;

	if (!goalloc_addr_in_space(chunk_addr) ||
	    !IS_ALIGNED(chunk_addr, PALLOC_CHUNK_SIZE))
		return -EINVAL;
	chunk = goalloc_chunk_index(chunk_addr);

	/* Nodes come and go while the lock is free: look again each time. */
	for (;;) {
		raw_spin_lock_irqsave(p->lock, flags);
		used = install(p, chunk, c, spare, have);
		raw_spin_unlock_irqrestore(p->lock, flags);
		if (used <= have)
			break;
		while (have < used) {
			spare[have] = new_node(p, gfp);
			if (!spare[have])
				break;
			have++;
		}
		if (have < used) {
			used = -ENOMEM;
			break;
		}
	}

	while (have > max(used, 0))
		kmem_cache_free(node_cache, spare[--have]);
	return min(used, 0);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_prepare);

/**
 * pagealloc_grow() - Make chunks free
 * @p: the page allocator
 * @base: address of the first chunk
 * @nchunks: how many chunks
 *
 * They become free and wholly scavenged. Walls set before stay.
 *
 * After pageAlloc.grow() of Go's mpagealloc.go.
 *
 * Context: Lock held.
 * Return: 0, or -EINVAL with nothing changed if one of them was not prepared
 * or has been grown before.
 */
int pagealloc_grow(struct pagealloc *p, u64 base, u64 nchunks)
{
	u64 page = goalloc_page_index(base);
	u64 npages = nchunks << PALLOC_CHUNK_PAGE_SHIFT;
	struct piece range = { .page = page, .left = npages }, x;

	lockdep_assert_held(p->lock);

	if (nchunks > GOALLOC_NR_CHUNKS || !range_valid(base, npages) ||
	    !IS_ALIGNED(base, PALLOC_CHUNK_SIZE))
		return refuse(p, "growth by chunks", base, nchunks);
	for (x = range; next_piece(p, &x);)
		if (!x.chunk || x.chunk->ready)
			return refuse(p, "growth by chunks", base, nchunks);

	for (x = range; next_piece(p, &x);) {
		bitmap_zero(x.chunk->data.alloc.b, PALLOC_CHUNK_PAGES);
		bitmap_fill(x.chunk->data.scavenged.b, PALLOC_CHUNK_PAGES);
		/* Some look without the lock whether there is anything to be seen. */
		WRITE_ONCE(x.chunk->ready, true);
	}

	WRITE_ONCE(p->start, p->end ? min(p->start, base) : base);
	WRITE_ONCE(p->end, max(p->end, base + (nchunks << PALLOC_CHUNK_SHIFT)));
	p->search_addr = min(p->search_addr, base);
	update(p, page, npages);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_grow);

/*
 * The grown chunk that is nearest to @chunk, below it or above it, as its
 * index; @chunk itself is not looked at. -1 if there is none. Chunks that were
 * prepared only are passed by one by one: after BOUND_STEPS of them the last
 * one met has to do.
 */
static s64 next_grown(struct pagealloc *p, u32 chunk, bool up)
{
	s64 at = chunk, step = up ? 1 : -1;
	u32 steps = BOUND_STEPS;

	for (at += step; at >= 0 && at < GOALLOC_NR_CHUNKS; at += step) {
		void **child = p->child;
		u32 level = 0;

		for (; level < PAGEALLOC_LEAF; level++) {
			struct pagealloc_node *node = child[slot_of(level, at)];

			if (!node)
				break;
			child = node->child;
		}
		if (child[slot_of(level, at)]) {
			struct palloc_chunk *c = child[slot_of(level, at)];

			if (c->ready || !--steps)
				return at;
			continue;
		}
		/* To the last chunk below the entry that leads nowhere. */
		if (up)
			at |= (1U << chunk_shift(level)) - 1;
		else
			at &= ~((1U << chunk_shift(level)) - 1);
	}
	return -1;
}

/* The first or the last grown chunk has left. */
static void shrink_bounds(struct pagealloc *p, u32 chunk)
{
	u64 base = goalloc_chunk_base(chunk);
	s64 next;

	if (base + PALLOC_CHUNK_SIZE == p->end) {
		next = next_grown(p, chunk, false);
		WRITE_ONCE(p->end, goalloc_chunk_base(next + 1));
		if (next < 0 || p->end <= p->start) {
			WRITE_ONCE(p->start, 0);
			WRITE_ONCE(p->end, 0);
		}
	} else if (base == p->start) {
		next = next_grown(p, chunk, true);
		WRITE_ONCE(p->start, next < 0 ? p->end : goalloc_chunk_base(next));
	}
}

/**
 * pagealloc_ungrow() - Take a chunk out again
 * @p: the page allocator
 * @base: address of the chunk, which was grown and is all free
 * @gone: a chain of nodes, NULL for none, to which those are added that have
 *	no child any more
 *
 * The chunk is then as one never grown, filled with zeroes, and no longer
 * prepared. Readers under RCU may still look at it and at the nodes, so both
 * are freed, or prepared again, after a grace period only: the chunk by its
 * owner, the nodes by pagealloc_free_nodes().
 *
 * Go never does this.
 *
 * Context: Lock held.
 * Return: 0, or -EINVAL with nothing changed if the chunk was not grown or is
 * not all free.
 */
int pagealloc_ungrow(struct pagealloc *p, u64 base,
		     struct pagealloc_node **gone)
{
	pallocsum *entry[PAGEALLOC_LEVELS];
	void **link[PAGEALLOC_LEVELS];
	u32 chunk, level;

	lockdep_assert_held(p->lock);

	if (!IS_ALIGNED(base, PALLOC_CHUNK_SIZE) ||
	    !range_valid(base, PALLOC_CHUNK_PAGES) ||
	    !range_is(p, goalloc_page_index(base), PALLOC_CHUNK_PAGES, false))
		return refuse(p, "shrinking by a chunk", base, 1);
	chunk = goalloc_chunk_index(base);
	/* Who looks at it under RCU finds it as it was, or empty, or in between. */
	data_race(memset(pagealloc_chunk(p, base), 0, sizeof(struct palloc_chunk)));

	link[0] = &p->child[slot_of(0, chunk)];
	entry[0] = &p->sum[slot_of(0, chunk)];
	for (level = 1; level <= PAGEALLOC_LEAF; level++) {
		struct pagealloc_node *node = *link[level - 1];

		link[level] = &node->child[slot_of(level, chunk)];
		entry[level] = &node->sum[slot_of(level, chunk)];
	}

	/* From the leaf to the root: nodes go until one has another child. */
	WRITE_ONCE(*link[PAGEALLOC_LEAF], NULL);
	WRITE_ONCE(*entry[PAGEALLOC_LEAF], 0);
	for (level = PAGEALLOC_LEAF; level--;) {
		struct pagealloc_node *node = *link[level];
		pallocsum sum = pallocsum_merge(node->sum,
						PAGEALLOC_NODE_ENTRIES,
						pagealloc_level_shift(level + 1));

		WRITE_ONCE(*entry[level], sum);
		if (memchr_inv(node->child, 0, sizeof(node->child)))
			continue;
		WRITE_ONCE(*link[level], NULL);
		node->gone = *gone;
		*gone = node;
	}
	shrink_bounds(p, chunk);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_ungrow);

/**
 * pagealloc_free_nodes() - Free nodes that left the tree
 * @p: the page allocator
 * @gone: the chain from pagealloc_ungrow(); may be NULL
 *
 * Context: Any but NMI; lock not held. An RCU grace period has passed since
 * the last of them was added. @p has not been destroyed yet.
 */
void pagealloc_free_nodes(struct pagealloc *p, struct pagealloc_node *gone)
{
	while (gone) {
		struct pagealloc_node *next = gone->gone;

		kmem_cache_free(node_cache, gone);
		account_nodes(p, -1);
		gone = next;
	}
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_free_nodes);

/**
 * pagealloc_alloc() - Allocate the lowest run of free pages
 * @p: the page allocator
 * @npages: length of the run in heap pages
 * @scav: where to put how many of the pages are not backed; their scavenged
 *	bits are cleared. Not written when nothing fits
 *
 * After pageAlloc.alloc() of Go's mpagealloc.go.
 *
 * Context: Lock held.
 * Return: address of the run, or 0 when nothing fits.
 */
u64 pagealloc_alloc(struct pagealloc *p, u64 npages, u64 *scav)
{
	lockdep_assert_held(p->lock);

	if (!npages || npages > GOALLOC_NR_PAGES)
		return 0;
	return alloc_run(p, npages, 1, scav);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_alloc);

/**
 * pagealloc_alloc_aligned() - Allocate an aligned run of free pages
 * @p: the page allocator
 * @npages: length of the run in heap pages
 * @align_pages: alignment in heap pages, a power of two up to 2^21 (16 GiB)
 * @scav: as for pagealloc_alloc()
 *
 * It is the lowest one, unless too many runs below it are long enough but not
 * aligned; then the lowest one in a free run of @npages + @align_pages - 1. Where
 * there is such a run, so in what was just grown, one is always found. Go has no
 * such call.
 *
 * Context: Lock held.
 * Return: address of the run, or 0 when nothing fits.
 */
u64 pagealloc_alloc_aligned(struct pagealloc *p, u64 npages, u64 align_pages,
			    u64 *scav)
{
	lockdep_assert_held(p->lock);

	if (!valid_align(p, npages, align_pages) ||
	    !npages || npages > GOALLOC_NR_PAGES)
		return 0;
	return alloc_run(p, npages, align_pages, scav);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_alloc_aligned);

/**
 * pagealloc_alloc_range() - Allocate pages at an address
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * Walls are not looked at: whoever names the pages answers for that.
 *
 * After pageAlloc.allocRange() of Go's mpagealloc.go.
 *
 * Context: Lock held.
 * Return: how many of the pages were not backed; their scavenged bits are
 * cleared. PAGEALLOC_REFUSED, with nothing changed, if not all were free.
 */
u64 pagealloc_alloc_range(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages) || !range_is(p, page, npages, false)) {
		refuse(p, "allocation of pages", base, npages);
		return PAGEALLOC_REFUSED;
	}
	return take_range(p, page, npages);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_alloc_range);

/**
 * pagealloc_try_range() - Allocate pages at an address, if they are free
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * As pagealloc_alloc_range() for who does not know whether the pages are free.
 *
 * Context: Lock held.
 * Return: how many of the pages were not backed; their scavenged bits are
 * cleared. PAGEALLOC_REFUSED, with nothing changed, if not all were free.
 */
u64 pagealloc_try_range(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages)) {
		refuse(p, "allocation of pages", base, npages);
		return PAGEALLOC_REFUSED;
	}
	if (!range_is(p, page, npages, false))
		return PAGEALLOC_REFUSED;
	return take_range(p, page, npages);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_try_range);

/**
 * pagealloc_find_run() - Find the lowest run of free pages
 * @p: the page allocator
 * @npages: length of the run in heap pages
 * @align_pages: as for pagealloc_alloc_aligned()
 *
 * It is the run an allocation would take; nothing of it is taken.
 *
 * After pageAlloc.find() of Go's mpagealloc.go.
 *
 * Context: Lock held.
 * Return: address of the run, or 0 when nothing fits.
 */
u64 pagealloc_find_run(struct pagealloc *p, u64 npages, u64 align_pages)
{
	u64 page, first;

	lockdep_assert_held(p->lock);

	if (!valid_align(p, npages, align_pages) ||
	    !npages || npages > GOALLOC_NR_PAGES)
		return 0;
	page = search(p, npages, align_pages, &first);
	raise_search_addr(p, first);
	return page == GOALLOC_NR_PAGES ? 0 : goalloc_page_addr(page);
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_find_run);

/**
 * pagealloc_free() - Free pages
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * After pageAlloc.free() of Go's mpagealloc.go.
 *
 * Context: Lock held.
 * Return: 0, or -EINVAL with nothing changed if not all were in use.
 */
int pagealloc_free(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);
	struct piece x = { .page = page, .left = npages };
	bool one;

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages))
		return refuse(p, "freeing of pages", base, npages);
	next_piece(p, &x);
	one = !x.left;
	/* As in take_range(). */
	if (one ? !piece_is(&x, true) : !range_is(p, page, npages, true))
		return refuse(p, "freeing of pages", base, npages);
	do
		palloc_free_range(x.chunk, x.i, x.n);
	while (next_piece(p, &x));
	p->search_addr = min(p->search_addr, base);
	if (one)
		update_piece(p, &x);
	else
		update(p, page, npages);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_free);

/**
 * pagealloc_set_block() - Say how half a chunk is backed
 * @p: the page allocator
 * @addr: an address in the half of a prepared chunk
 * @block_pages: length of its blocks, PALLOC_BLOCK_MIN to PALLOC_HALF_PAGES
 *	heap pages, or 0 for none: see pallocbits.h
 *
 * Runs allocated before stay as they are.
 *
 * Context: Lock held.
 * Return: 0, or -EINVAL with nothing changed if there is no such chunk or
 * @block_pages is no such length.
 */
int pagealloc_set_block(struct pagealloc *p, u64 addr, u16 block_pages)
{
	struct palloc_chunk *c = pagealloc_chunk(p, addr);

	lockdep_assert_held(p->lock);

	if (!c || (block_pages && (!is_power_of_2(block_pages) ||
				   block_pages < PALLOC_BLOCK_MIN ||
				   block_pages > PALLOC_HALF_PAGES)))
		return refuse(p, "blocks of pages", addr, block_pages);

	/* Read without the lock by whoever has a run there. */
	WRITE_ONCE(c->block_pages[goalloc_chunk_page(addr) / PALLOC_HALF_PAGES],
		   block_pages);
	update(p, goalloc_page_index(addr), 1);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_set_block);

/**
 * pagealloc_take_set() - Allocate all free pages near the lowest free one
 * @p: the page allocator
 * @set: where to put them
 *
 * Takes every free page among the 64, aligned to 64, that the lowest free
 * page of all is one of. Their scavenged bits move to @set. Walls are not
 * looked at: the user of the set does that.
 *
 * After pageAlloc.allocToCache() of Go's mpagecache.go.
 *
 * Context: Lock held.
 * Return: false if no page is free.
 */
bool pagealloc_take_set(struct pagealloc *p, struct pagealloc_set *set)
{
	struct palloc_chunk *c;
	u64 page, first;
	u32 word;

	lockdep_assert_held(p->lock);

	page = search(p, 1, 1, &first);
	if (page == GOALLOC_NR_PAGES) {
		raise_search_addr(p, first);
		return false;
	}

	page = round_down(page, BITS_PER_LONG);
	set->base = goalloc_page_addr(page);
	c = pagealloc_chunk(p, set->base);
	word = goalloc_chunk_page(set->base) / BITS_PER_LONG;

	set->pages = ~c->data.alloc.b[word];
	set->scavenged = c->data.scavenged.b[word] & set->pages;
	c->data.alloc.b[word] = ~0UL;
	c->data.scavenged.b[word] &= ~set->scavenged;

	update(p, page, BITS_PER_LONG);
	/* A run of one page is the lowest free page wherever the walls are. */
	raise_search_addr(p, page + BITS_PER_LONG);
	return true;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_take_set);

/**
 * pagealloc_give_set() - Free a set of pages
 * @p: the page allocator
 * @set: what is left of a set from pagealloc_take_set(); may be empty
 *
 * After pageCache.flush() of Go's mpagecache.go.
 *
 * Context: Lock held.
 * Return: 0, or -EINVAL with nothing changed if not all were in use.
 */
int pagealloc_give_set(struct pagealloc *p, const struct pagealloc_set *set)
{
	struct palloc_chunk *c = pagealloc_chunk(p, set->base);
	u64 page;
	u32 word;

	lockdep_assert_held(p->lock);

	if (!set->pages)
		return 0;
	word = goalloc_chunk_page(set->base) / BITS_PER_LONG;
	if (!c || !c->ready ||
	    !IS_ALIGNED(set->base, BITS_PER_LONG * GOALLOC_PAGE_SIZE) ||
	    (set->pages & ~c->data.alloc.b[word]) ||
	    (set->scavenged & ~set->pages))
		return refuse(p, "freeing of a set", set->base,
			      hweight64(set->pages));

	c->data.alloc.b[word] &= ~set->pages;
	c->data.scavenged.b[word] |= set->scavenged;
	page = goalloc_page_index(set->base);
	p->search_addr = min(p->search_addr,
			     goalloc_page_addr(page + __ffs64(set->pages)));
	update(p, page, BITS_PER_LONG);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_give_set);

/**
 * pagealloc_set_scavenged() - Mark pages as not backed
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * Context: Lock held.
 * Return: how many of them were not marked before; 0, with nothing changed,
 * if the range is not all grown.
 */
u64 pagealloc_set_scavenged(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);
	struct piece x = { .page = page, .left = npages };
	u64 n = 0;

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages) || !range_ready(p, page, npages)) {
		refuse(p, "scavenging of pages", base, npages);
		return 0;
	}
	while (next_piece(p, &x))
		n += palloc_scavenged_set(x.chunk, x.i, x.n);
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_set_scavenged);

/**
 * pagealloc_clear_scavenged() - Mark pages as backed
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * Context: Lock held.
 * Return: how many of them were marked as not backed before; 0, with nothing
 * changed, if the range is not all grown.
 */
u64 pagealloc_clear_scavenged(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);
	struct piece x = { .page = page, .left = npages };
	u64 n = 0;

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages) || !range_ready(p, page, npages)) {
		refuse(p, "backing of pages", base, npages);
		return 0;
	}
	while (next_piece(p, &x))
		n += palloc_scavenged_clear(x.chunk, x.i, x.n);
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_clear_scavenged);

/**
 * pagealloc_count_scavenged() - Count the pages of a range that are not backed
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * Context: Lock held.
 * Return: how many of them are marked as not backed; 0 if the range is not
 * all grown.
 */
u64 pagealloc_count_scavenged(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);
	struct piece x = { .page = page, .left = npages };
	u64 n = 0;

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages))
		goto refuse;
	while (next_piece(p, &x)) {
		if (!x.chunk || !x.chunk->ready)
			goto refuse;
		n += palloc_scavenged_count(x.chunk, x.i, x.n);
	}
	return n;
refuse:
	refuse(p, "counting of pages", base, npages);
	return 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_count_scavenged);

/**
 * pagealloc_open_holes() - Make the holes of a range free pages, not backed
 * @p: the page allocator
 * @base: address of the first page
 * @npages: how many heap pages
 *
 * A hole is made with pagealloc_set_scavenged(), of a page in use: see
 * pallocbits.h. Go has none.
 *
 * Context: Lock held.
 * Return: how many there were; 0, with nothing changed, if the range is not all
 * grown.
 */
u64 pagealloc_open_holes(struct pagealloc *p, u64 base, u64 npages)
{
	u64 page = goalloc_page_index(base);
	struct piece x = { .page = page, .left = npages };
	u64 n = 0;

	lockdep_assert_held(p->lock);

	if (!range_valid(base, npages) || !range_ready(p, page, npages)) {
		refuse(p, "opening of holes", base, npages);
		return 0;
	}
	while (next_piece(p, &x)) {
		n += palloc_count_holes(x.chunk, x.i, x.n);
		palloc_open_holes(x.chunk, x.i, x.n);
	}
	if (n) {
		p->search_addr = min(p->search_addr, base);
		update(p, page, npages);
	}
	return n;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_open_holes);

/**
 * pagealloc_chunk() - The state of the chunk at an address
 * @p: the page allocator
 * @addr: any address
 *
 * Context: Lock held, or under RCU, or by whoever has pages of the chunk; with
 * the lock for looking at its bits.
 * Return: the chunk, or NULL if none was prepared there.
 */
struct palloc_chunk *pagealloc_chunk(struct pagealloc *p, u64 addr)
{
	struct pagealloc_node *leaf;
	u32 chunk;

	if (!goalloc_addr_in_space(addr))
		return NULL;
	chunk = goalloc_chunk_index(addr);
	leaf = node_of(p, PAGEALLOC_LEAF, chunk);
	return leaf ? follow(&leaf->child[slot_of(PAGEALLOC_LEAF, chunk)]) :
		      NULL;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_chunk);

/**
 * pagealloc_level_summary() - A summary of the tree, to look at
 * @p: the page allocator
 * @level: 0 for the root to PAGEALLOC_LEAF for chunks
 * @idx: the entry, counted from the base of the address space
 *
 * Without the lock, summaries read one after another need not fit together.
 *
 * Context: Lock held, or under RCU.
 * Return: the summary; 0 if it is not there.
 */
pallocsum pagealloc_level_summary(struct pagealloc *p, u32 level, u32 idx)
{
	pallocsum *sum;

	if (level > PAGEALLOC_LEAF || idx >= pagealloc_level_entries(level))
		return 0;
	sum = sum_of(p, level, idx << chunk_shift(level));
	return sum ? READ_ONCE(*sum) : 0;
}

GOALLOC_EXPORT_FOR_KUNIT(pagealloc_level_summary);
