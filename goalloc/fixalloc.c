// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metadata, counted (Go: mfixalloc.go, and persistentalloc of malloc.go).
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
/* Does not include what it needs before 6.2. */
#include <linux/fault-inject.h>

#include "compat.h"
#include "fixalloc.h"
#include "mcache.h"
#include "mheap.h"

/*
 * Span records by how many words they have room for. 4 words hold 128 slots:
 * all classes from 64 bytes up; 16 words 512: 16 to 48 bytes; 32 words 1024:
 * 8 bytes.
 */
enum {
	SPAN_WORDS_4,
	SPAN_WORDS_16,
	SPAN_WORDS_32,
	SPAN_TINY,
	SPAN_CACHES,
};

static const struct {
	const char *name;
	unsigned int size;
} span_layout[SPAN_CACHES] = {
	[SPAN_WORDS_4]	= { "goalloc_mspan_4", MSPAN_RECORD_SIZE(4) },
	[SPAN_WORDS_16]	= { "goalloc_mspan_16", MSPAN_RECORD_SIZE(16) },
	[SPAN_WORDS_32]	= { "goalloc_mspan_32", MSPAN_RECORD_SIZE(32) },
	[SPAN_TINY]	= { "goalloc_mspan_tiny",
			    MSPAN_RECORD_SIZE(16) + sizeof(struct tiny_blocks) },
};

static struct kmem_cache *span_cache[SPAN_CACHES];
static struct kmem_cache *mcache_cache;
static struct kmem_cache *chunk_cache[2];	/* by enum goalloc_backing */

#ifdef CONFIG_FAULT_INJECTION
/*
 * The kernel's fault injection decides. Tests set it to let the n-th
 * allocation from now on fail; so does who writes to debugfs' fail_goalloc/, or to
 * /proc/PID/fail-nth.
 */
static DECLARE_FAULT_ATTR(fail_goalloc);
static struct dentry *fail_dir;

/* Not a word of each failure, unless somebody asks for it: loading may be to fail. */
static void fail_init(void)
{
	fail_goalloc.verbose = 0;
	fail_dir = fault_create_debugfs_attr("fail_goalloc", NULL, &fail_goalloc);
}

static void fail_exit(void)
{
	debugfs_remove(fail_dir);
}

/**
 * goalloc_should_fail - is this allocation to fail for a test
 *
 * Context: any.
 * Return: true if so.
 */
bool goalloc_should_fail(void)
{
	/* A test that sets it does not wait for those who allocate just now. */
	return data_race(should_fail(&fail_goalloc, 1));
}

GOALLOC_EXPORT_FOR_KUNIT(goalloc_should_fail);

/**
 * goalloc_fail_run - makes allocations in a row fail
 * @nth: the first of them, from now on, 1 for the next; 0 for none
 * @times: how many
 *
 * Context: task.
 */
void goalloc_fail_run(int nth, int times)
{
	fail_goalloc.verbose = 0;
	fail_goalloc.interval = 1;
	fail_goalloc.probability = nth ? 100 : 0;
	/* Each allocation takes 1 off as long as more than that is left. */
	atomic_set(&fail_goalloc.space, nth);
	atomic_set(&fail_goalloc.times, nth ? times : 0);
}

GOALLOC_EXPORT_FOR_KUNIT(goalloc_fail_run);

/**
 * goalloc_fail_nth - makes one allocation fail
 * @nth: which one from now on, 1 for the next; 0 for none
 *
 * Context: task.
 */
void goalloc_fail_nth(int nth)
{
	goalloc_fail_run(nth, 1);
}

GOALLOC_EXPORT_FOR_KUNIT(goalloc_fail_nth);

/**
 * goalloc_fail_left - has the failure happened yet
 *
 * Context: task.
 * Return: how many are still to come.
 */
int goalloc_fail_left(void)
{
	return atomic_read(&fail_goalloc.times);
}

GOALLOC_EXPORT_FOR_KUNIT(goalloc_fail_left);
#else
static void fail_init(void)
{
}

static void fail_exit(void)
{
}
#endif

static size_t chunk_size(enum goalloc_backing backing)
{
	return struct_size_t(struct goalloc_chunk, granule,
			     backing == BACKING_LINEAR ? GOALLOC_CHUNK_GRANULES : 0);
}

static unsigned int mspan_layout(u32 nelems, bool tiny)
{
	if (tiny)
		return SPAN_TINY;
	if (nelems <= 4 * MSPAN_WORD_SLOTS)
		return SPAN_WORDS_4;
	return nelems <= 16 * MSPAN_WORD_SLOTS ? SPAN_WORDS_16 : SPAN_WORDS_32;
}

/**
 * fixalloc_gfp - how to get memory for what describes a heap
 * @heap: the heap
 * @gfp: the caller's flags
 *
 * Context: any.
 * Return: flags for zeroed memory, charged to whoever opened the heap's file.
 */
gfp_t fixalloc_gfp(const struct goalloc_heap *heap, gfp_t gfp)
{
	gfp &= FIXALLOC_GFP;
	/* What describes objects of several is nobody's. */
	if (heap->backing == BACKING_SPARSE)
		gfp |= __GFP_ACCOUNT;
	else
		gfp &= ~__GFP_ACCOUNT;
	return gfp | __GFP_ZERO | __GFP_NOWARN;
}

/**
 * fixalloc_mspan - makes a span record
 * @heap: the heap it counts for
 * @spc: span class, which decides its size
 * @gfp: the caller's flags
 *
 * Context: as @gfp says.
 * Return: a zeroed record or NULL.
 */
struct mspan *fixalloc_mspan(struct goalloc_heap *heap, u8 spc, gfp_t gfp)
{
	u32 nelems = spc < 2 ? 1 :
		     spanclass_is_exact(spc) ? heap->central[spc].nelems :
		     goalloc_class_to_nelems[spanclass_sizeclass(spc)];
	unsigned int l = mspan_layout(nelems, spc == GOALLOC_TINY_SPAN_CLASS);
	struct mspan *s;

	if (goalloc_should_fail())
		return NULL;
	s = kmem_cache_alloc(span_cache[l], fixalloc_gfp(heap, gfp));
	if (!s)
		return NULL;
	if (l == SPAN_TINY)
		s->tiny = (void *)&s->words[16];
	s->spanclass = spc;
	s->nelems = nelems;
	mheap_count(&heap->mspan_bytes, span_layout[l].size);
	return s;
}

GOALLOC_EXPORT_FOR_KUNIT(fixalloc_mspan);

static void mspan_rcu_free(struct rcu_head *head)
{
	struct mspan *s = container_of(head, struct mspan, rcu);

	kmem_cache_free(span_cache[mspan_layout(s->nelems, s->tiny)], s);
}

/**
 * fixalloc_mspan_free - frees a span record that others may still look at
 * @heap: the heap it counted for
 * @s: the record, which can no longer be found
 *
 * Context: any but NMI. The memory goes after an RCU grace period.
 */
void fixalloc_mspan_free(struct goalloc_heap *heap, struct mspan *s)
{
	mheap_count(&heap->mspan_bytes,
		    -(s64)span_layout[mspan_layout(s->nelems, s->tiny)].size);
	call_rcu(&s->rcu, mspan_rcu_free);
}

/**
 * fixalloc_mspan_free_now - frees a span record that nobody has seen
 * @heap: the heap it counted for
 * @s: the record
 *
 * Context: any but NMI.
 */
void fixalloc_mspan_free_now(struct goalloc_heap *heap, struct mspan *s)
{
	mheap_count(&heap->mspan_bytes,
		    -(s64)span_layout[mspan_layout(s->nelems, s->tiny)].size);
	mspan_rcu_free(&s->rcu);
}

GOALLOC_EXPORT_FOR_KUNIT(fixalloc_mspan_free_now);

/**
 * fixalloc_mcache - makes an mcache
 * @heap: the heap it counts for
 * @gfp: the caller's flags
 *
 * Context: as @gfp says.
 * Return: a zeroed mcache or NULL.
 */
struct mcache *fixalloc_mcache(struct goalloc_heap *heap, gfp_t gfp)
{
	struct mcache *mc;

	if (goalloc_should_fail())
		return NULL;
	mc = kmem_cache_alloc(mcache_cache, fixalloc_gfp(heap, gfp));
	if (mc)
		mheap_count(&heap->mcache_bytes, sizeof(*mc));
	return mc;
}

/**
 * fixalloc_mcache_free - frees an mcache that nobody can find any more
 * @heap: the heap it counted for
 * @mc: the mcache
 *
 * Context: any but NMI.
 */
void fixalloc_mcache_free(struct goalloc_heap *heap, struct mcache *mc)
{
	mheap_count(&heap->mcache_bytes, -(s64)sizeof(*mc));
	kmem_cache_free(mcache_cache, mc);
}

/**
 * fixalloc_chunk - makes a chunk's table
 * @heap: the heap it counts for
 * @gfp: the caller's flags
 *
 * Context: as @gfp says.
 * Return: a zeroed table or NULL.
 */
struct goalloc_chunk *fixalloc_chunk(struct goalloc_heap *heap, gfp_t gfp)
{
	struct goalloc_chunk *c;

	if (goalloc_should_fail())
		return NULL;
	c = kmem_cache_alloc(chunk_cache[heap->backing], fixalloc_gfp(heap, gfp));
	if (c) {
		raw_spin_lock_init(&c->lock);
		mheap_count(&heap->gc_bytes, chunk_size(heap->backing));
	}
	return c;
}

/**
 * fixalloc_chunk_free - frees a chunk's table that nobody can find any more
 * @heap: the heap it counted for
 * @c: the chunk
 *
 * Context: any but NMI.
 */
void fixalloc_chunk_free(struct goalloc_heap *heap, struct goalloc_chunk *c)
{
	mheap_count(&heap->gc_bytes, -(s64)chunk_size(heap->backing));
	kmem_cache_free(chunk_cache[heap->backing], c);
}

/**
 * persistentalloc - makes a table
 * @heap: the heap it is for
 * @stat: the counter of bytes it counts in
 * @size: bytes, at most 4 KiB
 * @gfp: the caller's flags
 *
 * Context: as @gfp says.
 * Return: zeroed memory or NULL.
 */
void *persistentalloc(struct goalloc_heap *heap, atomic64_t *stat, size_t size, gfp_t gfp)
{
	void *p;

	if (goalloc_should_fail())
		return NULL;
	p = kmalloc(size, fixalloc_gfp(heap, gfp));
	if (p)
		mheap_count(stat, size);
	return p;
}

/**
 * persistentfree - frees a table
 * @stat: the counter it counts in
 * @p: the table or NULL
 * @size: its bytes
 *
 * Context: any but NMI.
 */
void persistentfree(atomic64_t *stat, const void *p, size_t size)
{
	if (!p)
		return;
	mheap_count(stat, -(s64)size);
	kfree(p);
}

/**
 * fixalloc_module_init - makes the caches
 *
 * Context: task, sleeps.
 * Return: 0 or -ENOMEM.
 */
int fixalloc_module_init(void)
{
	int i;

	fail_init();
	/*
	 * kmemleak does not look into records of spans and mcaches: they name the first
	 * object of a span, or of a word of it, which would be no leak to it then.
	 */
	for (i = 0; i < SPAN_CACHES; i++) {
		span_cache[i] = kmem_cache_create(span_layout[i].name, span_layout[i].size,
						  __alignof__(struct mspan),
						  SLAB_HWCACHE_ALIGN | SLAB_NOLEAKTRACE |
						  GOALLOC_SLAB_NO_MERGE, NULL);
		if (!span_cache[i])
			goto fail;
	}
	mcache_cache = kmem_cache_create("goalloc_mcache", sizeof(struct mcache), 0,
					 SLAB_HWCACHE_ALIGN | SLAB_NOLEAKTRACE |
					 GOALLOC_SLAB_NO_MERGE, NULL);
	chunk_cache[BACKING_LINEAR] = kmem_cache_create("goalloc_chunk_linear",
							chunk_size(BACKING_LINEAR), 0,
							GOALLOC_SLAB_NO_MERGE, NULL);
	chunk_cache[BACKING_SPARSE] = kmem_cache_create("goalloc_chunk_sparse",
							chunk_size(BACKING_SPARSE), 0,
							GOALLOC_SLAB_NO_MERGE, NULL);
	if (mcache_cache && chunk_cache[BACKING_LINEAR] && chunk_cache[BACKING_SPARSE])
		return 0;
fail:
	fixalloc_module_exit();
	return -ENOMEM;
}

/**
 * fixalloc_module_exit - frees the caches
 *
 * Context: task, sleeps. Waits for the records that RCU still keeps.
 */
void fixalloc_module_exit(void)
{
	int i;

	fail_exit();
	rcu_barrier();
	kmem_cache_destroy(chunk_cache[BACKING_SPARSE]);
	kmem_cache_destroy(chunk_cache[BACKING_LINEAR]);
	kmem_cache_destroy(mcache_cache);
	for (i = 0; i < SPAN_CACHES; i++)
		kmem_cache_destroy(span_cache[i]);
}
