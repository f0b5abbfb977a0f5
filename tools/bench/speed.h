/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What speed_bench.c measures: loops over goalloc and its peers. Each is inlined
 * with the allocator, the size and the flags as constants, so that functions are
 * called directly and what an allocator decides when it is compiled is decided.
 *
 * The same loops run with SPEED_NOTHING in the place of an allocator. What they
 * take is counter and arrays, and is taken off; call, arguments and return are not.
 */
#ifndef GOALLOC_SPEED_H
#define GOALLOC_SPEED_H

#include <linux/gfp.h>
#include <linux/goalloc.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timex.h>

enum speed_allocator {
	SPEED_NOTHING,
	SPEED_GOALLOC,
	SPEED_GOALLOC_CLASS,
	SPEED_GOALLOC_VARIABLE,
	SPEED_KMALLOC,
	SPEED_KMALLOC_VARIABLE,
	SPEED_CACHE,
	SPEED_PAGES,
	SPEED_KVMALLOC,
	SPEED_ALLOCATORS,
};

/**
 * struct speed_run - one round of one loop
 * @objs: room for the objects
 * @order: which of them is freed first, second and so on
 * @sizes: of the objects, where they differ
 * @size: of all of them, where the compiler is not to know it
 * @n: how many
 * @cache: the kmem_cache or the goalloc_class
 * @alloc: what all allocations took
 * @free: what all frees took
 * @pair: both
 */
struct speed_run {
	void **objs;
	const u16 *order;
	const u16 *sizes;
	size_t size;
	u32 n;
	void *cache;
	u64 alloc;
	u64 free;
	u64 pair;
};

/**
 * struct speed_loops - the loops of an allocator and a size
 * @allocator: which
 * @size: bytes; 0 for sizes that differ
 * @hot: each object is freed as soon as it is made; gives @pair
 * @hot_alloc: the same, but for the frees; gives @alloc, and wants a clock that
 *	costs nothing
 * @make: all objects are made; gives @alloc
 * @discard: all are freed in the order asked for; gives @free
 */
struct speed_loops {
	enum speed_allocator allocator;
	size_t size;
	void (*hot)(struct speed_run *r);
	void (*hot_alloc)(struct speed_run *r);
	void (*make)(struct speed_run *r);
	void (*discard)(struct speed_run *r);
};

/* Task and softirq; sizes from the smallest up. */
extern const struct speed_loops speed_task[], speed_tiny[], speed_softirq[], speed_random[];
extern const u32 speed_nr_task, speed_nr_tiny, speed_nr_softirq, speed_nr_random;

/*
 * In ticks of the cycle counter. That of QEMU with -icount counts instructions; of any
 * other it is known how long a tick is. User-Mode Linux has the counter, too, though
 * its get_cycles() has not.
 */
static __always_inline u64 speed_clock(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return low | (u64)high << 32;
}

/*
 * Around a single call, all of whose arguments are to be between the two.
 */
static __always_inline void speed_clock_on(u64 *took)
{
	asm volatile("rdtsc; shl $32, %%rdx; or %%rdx, %%rax; sub %%rax, %0" : "+m" (*took) : :
		     "rax", "rdx", "rcx", "rsi", "rdi", "r8", "r9", "memory");
}

static __always_inline void speed_clock_off(u64 *took)
{
	asm volatile("rdtsc; shl $32, %%rdx; or %%rdx, %%rax; add %%rax, %0" : "+m" (*took) : :
		     "rax", "rdx", "memory");
}

static __always_inline void *speed_make(enum speed_allocator what, size_t size, gfp_t gfp,
					void *cache)
{
	void *p;

	switch (what) {
	case SPEED_GOALLOC:
	case SPEED_GOALLOC_VARIABLE:
		return goalloc_alloc(size, gfp);
	case SPEED_GOALLOC_CLASS:
		return goalloc_class_alloc(cache, gfp);
	case SPEED_KMALLOC:
	case SPEED_KMALLOC_VARIABLE:
		return kmalloc(size, gfp);
	case SPEED_CACHE:
		return kmem_cache_alloc(cache, gfp);
	case SPEED_PAGES:
		return alloc_pages(gfp, get_order(size));
	case SPEED_KVMALLOC:
		return kvmalloc(size, gfp);
	default:
		/* Whatever is where a function would leave its value. */
		asm volatile("" : "=a" (p) : "ri" (size));
		return p;
	}
}

static __always_inline void speed_discard(enum speed_allocator what, void *p, size_t size,
					  void *cache)
{
	switch (what) {
	case SPEED_GOALLOC:
	case SPEED_GOALLOC_VARIABLE:
	case SPEED_GOALLOC_CLASS:
		goalloc_free(p);
		break;
	case SPEED_KMALLOC:
	case SPEED_KMALLOC_VARIABLE:
		kfree(p);
		break;
	case SPEED_CACHE:
		kmem_cache_free(cache, p);
		break;
	case SPEED_PAGES:
		__free_pages(p, get_order(size));
		break;
	case SPEED_KVMALLOC:
		kvfree(p);
		break;
	default:
		asm volatile("" : : "r" (p));
	}
}

/* A size that the compiler knows, or one for all, or each its own. */
static __always_inline size_t speed_size(const struct speed_run *r, enum speed_allocator what,
					 size_t size)
{
	return what == SPEED_GOALLOC_VARIABLE || what == SPEED_KMALLOC_VARIABLE ? r->size : size;
}

/* Objects are looked at afterwards: a failure is found, and would not be free. */
static __always_inline void speed_hot(struct speed_run *r, enum speed_allocator what,
				      size_t size, gfp_t gfp, bool random)
{
	const u16 *sizes = r->sizes;
	void **objs = r->objs, *cache = r->cache;
	u32 i, n = r->n;
	u64 begin;

	size = speed_size(r, what, size);
	begin = speed_clock();
	for (i = 0; i < n; i++) {
		objs[i] = speed_make(what, random ? sizes[i] : size, gfp, cache);
		speed_discard(what, objs[i], size, cache);
	}
	r->pair = speed_clock() - begin;
}

static __always_inline void speed_hot_alloc(struct speed_run *r, enum speed_allocator what,
					    size_t size, gfp_t gfp, bool random)
{
	const u16 *sizes = r->sizes;
	void **objs = r->objs, *cache = r->cache;
	u32 i, n = r->n;
	u64 took = 0;

	size = speed_size(r, what, size);
	for (i = 0; i < n; i++) {
		void *p;

		speed_clock_on(&took);
		p = speed_make(what, random ? sizes[i] : size, gfp, cache);
		speed_clock_off(&took);
		objs[i] = p;
		speed_discard(what, p, size, cache);
	}
	r->alloc = took;
}

static __always_inline void speed_make_all(struct speed_run *r, enum speed_allocator what,
					   size_t size, gfp_t gfp, bool random)
{
	const u16 *sizes = r->sizes;
	void **objs = r->objs, *cache = r->cache;
	u32 i, n = r->n;
	u64 begin;

	size = speed_size(r, what, size);
	begin = speed_clock();
	for (i = 0; i < n; i++)
		objs[i] = speed_make(what, random ? sizes[i] : size, gfp, cache);
	r->alloc = speed_clock() - begin;
}

static __always_inline void speed_discard_all(struct speed_run *r, enum speed_allocator what,
					      size_t size)
{
	const u16 *order = r->order;
	void **objs = r->objs, *cache = r->cache;
	u32 i, n = r->n;
	u64 begin;

	begin = speed_clock();
	for (i = 0; i < n; i++)
		speed_discard(what, objs[order[i]], size, cache);
	r->free = speed_clock() - begin;
}

/* The loops as functions, and their entry in a table. */
#define SPEED_FUNCTIONS(name, what, bytes, gfp, random)					\
static noinline void name##_hot(struct speed_run *r)					\
{											\
	speed_hot(r, what, bytes, gfp, random);						\
}											\
static noinline void name##_hot_alloc(struct speed_run *r)				\
{											\
	speed_hot_alloc(r, what, bytes, gfp, random);					\
}											\
static noinline void name##_make(struct speed_run *r)					\
{											\
	speed_make_all(r, what, bytes, gfp, random);					\
}											\
static noinline void name##_discard(struct speed_run *r)				\
{											\
	speed_discard_all(r, what, bytes);						\
}

#define SPEED_ENTRY(name, what, bytes)							\
	{ what, bytes, name##_hot, name##_hot_alloc, name##_make, name##_discard },

#endif /* GOALLOC_SPEED_H */
