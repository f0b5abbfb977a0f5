/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the supported kernels, and nothing else.
 *
 * Supported: Linux 6.1 to 6.12 on 64-bit machines. No other file looks at
 * LINUX_VERSION_CODE; callers see one spelling of everything.
 */
#ifndef GOALLOC_COMPAT_H
#define GOALLOC_COMPAT_H

#include <linux/version.h>
#include <linux/kconfig.h>
#include <linux/export.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "goalloc needs Linux 6.1 or newer"
#endif

#ifndef CONFIG_64BIT
#error "goalloc needs a 64-bit kernel: heap addresses are 64 bits wide"
#endif

/*
 * kunit/visibility.h came with 6.3. Without KUnit nothing of the module's
 * inside is exported; with it, only into the test namespace.
 */
#if IS_ENABLED(CONFIG_KUNIT) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <kunit/visibility.h>
#define GOALLOC_EXPORT_FOR_KUNIT(symbol)	EXPORT_SYMBOL_IF_KUNIT(symbol)
#else
#define GOALLOC_EXPORT_FOR_KUNIT(symbol)
#endif

/* MODULE_IMPORT_NS() takes a string since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define GOALLOC_KUNIT_IMPORT	MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING")
#else
#define GOALLOC_KUNIT_IMPORT	MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING)
#endif

/*
 * Our kmem_caches stay apart from others of the same size: what they cost is
 * seen in slabinfo, and nothing of them is left after rmmod, while a merged
 * cache's name in sysfs would be. SLAB_NO_MERGE came with 6.5; before, the
 * flag that promises most to RCU readers has the same effect.
 */
#include <linux/slab.h>
#ifdef SLAB_NO_MERGE
#define GOALLOC_SLAB_NO_MERGE	SLAB_NO_MERGE
#else
#define GOALLOC_SLAB_NO_MERGE	SLAB_TYPESAFE_BY_RCU
#endif

/*
 * Does the preempt count have any of these bits? Since 6.2 the compiler knows that it
 * is memory, which an instruction can test; before, it was read first.
 */
#include <linux/preempt.h>
#if defined(CONFIG_X86_64) && !defined(CONFIG_UML) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
static __always_inline bool goalloc_preempt_count_has(unsigned int bits)
{
	bool any;

	asm volatile("testl %2, " __percpu_arg(1)
		     : "=@ccnz" (any) : "m" (__preempt_count), "i" (bits));
	return any;
}
#else
static __always_inline bool goalloc_preempt_count_has(unsigned int bits)
{
	return preempt_count() & bits;
}
#endif

/* Where a mapping may go is a function of its own since 6.10. */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
static inline unsigned long mm_get_unmapped_area(struct mm_struct *mm, struct file *file,
						 unsigned long addr, unsigned long len,
						 unsigned long pgoff, unsigned long flags)
{
	return mm->get_unmapped_area(file, addr, len, pgoff, flags);
}
#endif

/* Since 6.4 a shrinker can say that pages it gave back were no slabs. */
#include <linux/swap.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
static inline void mm_account_reclaimed_pages(unsigned long pages)
{
	if (current->reclaim_state)
		current->reclaim_state->reclaimed_slab += pages;
}
#endif

/* Until 6.2 what may use more of the reserves had a flag of its own. */
#include <linux/gfp.h>
#ifdef __GFP_ATOMIC
#define GOALLOC_GFP_ATOMIC	__GFP_ATOMIC
#else
#define GOALLOC_GFP_ATOMIC	((__force gfp_t)0)
#endif

/* A shrinker is allocated by the kernel since 6.7, by whoever has it before. */
#include <linux/shrinker.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
static inline struct shrinker *
goalloc_shrinker_register(const char *name,
			  unsigned long (*count)(struct shrinker *, struct shrink_control *),
			  unsigned long (*scan)(struct shrinker *, struct shrink_control *),
			  int seeks)
{
	struct shrinker *shrinker = shrinker_alloc(0, "%s", name);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = seeks;
	shrinker_register(shrinker);
	return shrinker;
}

static inline void goalloc_shrinker_unregister(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}
#else
static inline struct shrinker *
goalloc_shrinker_register(const char *name,
			  unsigned long (*count)(struct shrinker *, struct shrink_control *),
			  unsigned long (*scan)(struct shrinker *, struct shrink_control *),
			  int seeks)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = seeks;
	if (!register_shrinker(shrinker, "%s", name))
		return shrinker;
	kfree(shrinker);
	return NULL;
}

static inline void goalloc_shrinker_unregister(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

#endif /* GOALLOC_COMPAT_H */
