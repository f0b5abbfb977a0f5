/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's checkers are told of the objects of kernel heaps. Without them in
 * the kernel's configuration nothing of this is compiled.
 *
 * KASAN, the generic one: memory of a span in which no object lives is poisoned, from
 * the span's making on; so is what of a slot lies behind the bytes that were asked for,
 * until goalloc_usable_size() says that all of it may be used. The shadow is written
 * directly: no function that does it is exported by all kernels.
 *
 * kmemleak: an object is one of its objects while it lives.
 *
 * An object is taken from both before its slot's bit says that it is free, as the next
 * owner tells them of it anew. Of two frees of one object at the same instant the one
 * that is refused may so hide the next owner's object from kmemleak, or poison it:
 * the bad free is counted all the same.
 *
 * Go: msan.go, asan.go; mcheckmark.go has no part here.
 */
#ifndef GOALLOC_CHECKERS_H
#define GOALLOC_CHECKERS_H

#include <linux/gfp_types.h>
#include <linux/kconfig.h>
#include <linux/types.h>

struct mspan;

/* The tag-based ones check pointers whose tags came with the memory. */
#if IS_ENABLED(CONFIG_KASAN_GENERIC) && (IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_ARM64))
#define GOALLOC_KASAN	1
#else
#define GOALLOC_KASAN	0
#endif

#define GOALLOC_CHECKERS	(GOALLOC_KASAN || IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))

#if GOALLOC_CHECKERS
void checkers_span(const struct mspan *s);
void checkers_span_ends(const struct mspan *s);
void checkers_open(unsigned long addr, u64 bytes);
void *checkers_made(unsigned long addr, size_t size, gfp_t gfp);
void checkers_resized(unsigned long addr, size_t size, gfp_t gfp);
void checkers_freeing(const struct mspan *s, unsigned long addr);
void checkers_freeing_slots(const struct mspan *s, u32 w, u32 slots);
void checkers_tiny_freeing(const struct mspan *s, u32 slot, u32 off);
void checkers_tiny_dead(const struct mspan *s, u32 slot);
#else
static inline void checkers_span(const struct mspan *s) {}
static inline void checkers_span_ends(const struct mspan *s) {}
static inline void checkers_open(unsigned long addr, u64 bytes) {}
static inline void *checkers_made(unsigned long addr, size_t size, gfp_t gfp)
{
	return (void *)addr;
}

static inline void checkers_resized(unsigned long addr, size_t size, gfp_t gfp) {}
static inline void checkers_freeing(const struct mspan *s, unsigned long addr) {}
static inline void checkers_freeing_slots(const struct mspan *s, u32 w, u32 slots) {}
static inline void checkers_tiny_freeing(const struct mspan *s, u32 slot, u32 off) {}
static inline void checkers_tiny_dead(const struct mspan *s, u32 slot) {}
#endif

#endif /* GOALLOC_CHECKERS_H */
