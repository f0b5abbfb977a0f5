// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must be true of objects, known in another way than the allocator knows it.
 *
 * A lane is somebody who makes and frees objects in one context. What it has is in
 * slots: where the object is, how long, and a number that its bytes are made of, no
 * other object's. All bytes of a short object are written and looked at, of a long
 * one some, at places that the number says, of one in sixteen all. Whoever frees an
 * object looks at it before. So an object that was handed out twice shows, one whose
 * memory went to somebody else, and one that another ran over.
 *
 * The sizes, alignments and answers that are expected are written down here, not
 * asked of the allocator. In scripts the objects are in a tree by address, too: no two
 * may overlap, and what is to come of any free is known.
 *
 * The first thing that is wrong is written down with what the lanes did last, and
 * everybody stops.
 */
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "random_model.h"

#if IS_ENABLED(CONFIG_KUNIT)
#include "compat.h"
#include "sweep.h"
#endif

/* Objects up to so many bytes are written whole. */
#define WHOLE		128
#define WHOLE_SOME	32768	/* one in sixteen up to this */
#define SAMPLES		6

#define GHOSTS		256

/* The first lines of these say what was wrong. */
#define REPORT_SIZE	16384
#define REPORT_EVENTS	48

/* Go's, as of 1.19. */
static const u16 class_sizes[MODEL_SIZE_CLASSES] = {
	0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256,
	288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280,
	1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144,
	6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
	19072, 20480, 21760, 24576, 27264, 28672, 32768,
};

static u8 *class_of;

struct model_heap model_heaps[MODEL_ALL_HEAPS];

/* Odd while an allocation may be refused: limits are low. Each change counts. */
atomic_t model_tight;

bool model_stop;
unsigned int model_plant;

static DEFINE_RAW_SPINLOCK(wrong_lock);
static char *report;
static struct lane *lanes[MODEL_LANES];

/*
 * struct expected - what an object must be like
 */
struct expected {
	u32 usable;
	u32 align;
	u8 kind;
};

static __always_inline struct expected expected_of(u32 size, bool scan)
{
	struct expected e;

	if (size > MODEL_MAX_SMALL) {
		e.usable = round_up(size, MODEL_PAGE);
		e.align = PAGE_SIZE;
		e.kind = 0;
	} else if (size <= 5 && !scan) {
		e.usable = size;
		e.align = size & 1 ? 1 : size & 2 ? 2 : 4;
		e.kind = MODEL_TINY;
	} else {
		e.kind = class_of[size];
		e.usable = class_sizes[e.kind];
		e.align = min(e.usable & -e.usable, MODEL_PAGE);
	}
	return e;
}

static const char * const trace_names[] = {
	[RANDOM_NOTHING]	= "handed on",
	[RANDOM_ALLOC]		= "alloc",
	[RANDOM_CLASS_ALLOC]	= "class alloc",
	[RANDOM_CONST_ALLOC]	= "constant alloc",
	[RANDOM_REALLOC]	= "realloc",
	[RANDOM_FREE]		= "free",
	[RANDOM_ALLOC_BULK]	= "bulk alloc",
	[RANDOM_FREE_BULK]	= "bulk free",
	[RANDOM_BAD_FREE]	= "bad free",
	[RANDOM_SWEEP]		= "swept",
	[RANDOM_CODES]		= NULL,
};

/* What a lane did last in the 16 KiB around an address. */
static size_t report_lane(const struct lane *l, const void *p, size_t at)
{
	u32 i, n = min_t(u32, l->traced, MODEL_TRACE), shown = 0;

	for (i = l->traced - n; i != l->traced && shown < REPORT_EVENTS; i++) {
		const struct trace *t = &l->trace[i % MODEL_TRACE];

		if (p && abs((long)t->p - (long)p) >= 8192)
			continue;
		at += scnprintf(report + at, REPORT_SIZE - at,
				"lane %u, %u before: %s heap %u slot %u size %u at %lx\n",
				l->id, l->traced - i, trace_names[t->code] ?: "", t->heap,
				t->slot, t->size, (unsigned long)t->p & 0xffffffff);
		shown++;
	}
	return at;
}

/*
 * model_wrong - something is not as it must be
 * @l: who saw it
 * @p: about which address, or NULL
 * @format: what
 */
void model_wrong(struct lane *l, const void *p, const char *format, ...)
{
	static const char * const contexts[] = { "task", "softirq", "hardirq", "nmi" };
	unsigned long flags;
	va_list args;
	size_t at;
	u32 i;

	WRITE_ONCE(model_stop, true);
	if (!raw_spin_trylock_irqsave(&wrong_lock, flags))
		return;
	if (!report[0]) {
		va_start(args, format);
		at = vscnprintf(report, REPORT_SIZE, format, args);
		va_end(args);
		at += scnprintf(report + at, REPORT_SIZE - at,
				"\nlane %u (%s), operation %llu, CPU %d, address %lx\n", l->id,
				contexts[l->context], l->ops, raw_smp_processor_id(),
				(unsigned long)p & 0xffffffff);
		for (i = 0; i < MODEL_LANES; i++)
			if (lanes[i])
				at = report_lane(lanes[i], p, at);
	}
	raw_spin_unlock_irqrestore(&wrong_lock, flags);
}

/* What was wrong at first, or nothing. */
const char *model_report(void)
{
	return report;
}

/* Contents. */

static __always_inline u64 word_of(u64 tag, u32 i)
{
	return tag + i * 0x9e3779b97f4a7c15ULL;
}

static __always_inline bool is_whole(u64 tag, u32 len)
{
	return len <= WHOLE || (!(tag & 15) && len <= WHOLE_SOME);
}

/* The words of a long object that are written: both ends, and some between. */
static __always_inline u32 sample_at(u64 tag, u32 words, u32 k)
{
	u32 step = words / SAMPLES;

	if (k < 2)
		return k;
	if (k < 4)
		return words - 1 - (k & 1);
	return (k - 4) * step + ((tag >> 32) * step >> 32);
}

static __always_inline void fill(u8 *p, u32 len, u64 tag)
{
	u32 words = len / 8, i;
	u64 last;

	if (is_whole(tag, len)) {
		for (i = 0; i < words; i++)
			((u64 *)p)[i] = word_of(tag, i);
		if (len & 7) {
			last = word_of(tag, i);
			memcpy(p + i * 8, &last, len & 7);
		}
		return;
	}
	for (i = 0; i < SAMPLES + 4; i++) {
		u32 at = sample_at(tag, words, i);

		((u64 *)p)[at] = word_of(tag, at);
	}
}

/* The first @end bytes of what fill() wrote. */
static __always_inline bool holds(const u8 *p, u32 len, u64 tag, u32 end)
{
	u32 words = len / 8, stop = end / 8, i;
	u64 last;

	if (is_whole(tag, len)) {
		for (i = 0; i < stop; i++)
			if (((u64 *)p)[i] != word_of(tag, i))
				return false;
		last = word_of(tag, i);
		return !(end & 7) || !memcmp(p + i * 8, &last, end & 7);
	}
	for (i = 0; i < SAMPLES + 4; i++) {
		u32 at = sample_at(tag, words, i);

		if (at < stop && ((u64 *)p)[at] != word_of(tag, at))
			return false;
	}
	return true;
}

static bool is_zero(const u8 *p, u32 len, u64 random)
{
	if (len <= 1024 || !(random & 7))
		return !memchr_inv(p, 0, len);
	return !memchr_inv(p, 0, 64) && !memchr_inv(p + len - 64, 0, 64) &&
	       !memchr_inv(p + (u32)(random >> 32) % (len - 64), 0, 64);
}

/* Is the object as it was written? */
bool model_check(struct slot *s)
{
	return holds(s->p, s->usable, s->tag, s->usable);
}

static noinline void wrong_contents(struct lane *l, const struct slot *s, const char *when)
{
	u64 word = 0;
	u32 i, at = ~0U;

	for (i = 0; i < s->usable / 8 && at == ~0U; i++)
		if (is_whole(s->tag, s->usable) && ((u64 *)s->p)[i] != word_of(s->tag, i))
			at = i;
	for (i = 0; !is_whole(s->tag, s->usable) && i < SAMPLES + 4 && at == ~0U; i++)
		if (((u64 *)s->p)[sample_at(s->tag, s->usable / 8, i)] !=
		    word_of(s->tag, sample_at(s->tag, s->usable / 8, i)))
			at = sample_at(s->tag, s->usable / 8, i);
	if (at != ~0U)
		word = ((u64 *)s->p)[at];
	model_wrong(l, s->p,
		    "%s: an object of %u bytes (%u usable, heap %u) was written by somebody else: word %d is %llx",
		    when, s->size, s->usable, s->heap, (int)at, word);
}

/* Scripts: the objects by address. */

static struct slot *slot_of_node(struct lane *l, struct rb_node *node)
{
	return node ? &l->slots[node - l->nodes] : NULL;
}

static void tree_add(struct lane *l, struct slot *s)
{
	struct rb_node **link = &l->tree.rb_node, *parent = NULL, *node = &l->nodes[s - l->slots];
	struct slot *other;

	while (*link) {
		parent = *link;
		link = s->p < slot_of_node(l, parent)->p ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(node, parent, link);
	rb_insert_color(node, &l->tree);
	other = slot_of_node(l, rb_prev(node));
	if (other && other->p + other->usable > s->p)
		model_wrong(l, s->p, "an object of %u bytes begins in one of %u bytes", s->size,
			    other->size);
	other = slot_of_node(l, rb_next(node));
	if (other && s->p + s->usable > other->p)
		model_wrong(l, s->p, "an object of %u bytes ends in one of %u bytes", s->size,
			    other->size);
}

static void tree_remove(struct lane *l, struct slot *s)
{
	rb_erase(&l->nodes[s - l->slots], &l->tree);
	l->ghosts[l->nghosts++ % GHOSTS] = s->p;
}

/* The object that begins at an address or last before it. */
static struct slot *tree_find(struct lane *l, u8 *p)
{
	struct rb_node *node = l->tree.rb_node;
	struct slot *found = NULL;

	while (node) {
		struct slot *s = slot_of_node(l, node);

		if (s->p <= p)
			found = s;
		node = s->p <= p ? node->rb_right : node->rb_left;
	}
	return found;
}

/* Objects come and go. */

static __always_inline gfp_t gfp_of(const struct lane *l, u8 flags)
{
	gfp_t gfp = __GFP_NOWARN | (flags & RANDOM_ZERO ? __GFP_ZERO : 0);

	if (l->context != RANDOM_TASK)
		return gfp | GFP_ATOMIC;
	return gfp | (flags & RANDOM_ATOMIC ? GFP_NOWAIT : GFP_KERNEL);
}

/* Nothing was to be had. Whoever may wait is refused only where limits are low. */
static noinline void refused(struct lane *l, u8 heap, u32 size, u8 flags, int tight)
{
	l->refused++;
	if (l->context != RANDOM_TASK || (flags & RANDOM_ATOMIC) || (tight & 1) ||
	    atomic_read(&model_tight) != tight || READ_ONCE(model_stop))
		return;
	model_wrong(l, NULL, "%u bytes of heap %u were refused, and there is no limit", size, heap);
}

/* KASAN lets nobody use more than was asked for before this was. */
static __always_inline void use_all(struct lane *l, u8 *p, u32 size, struct expected e)
{
	size_t usable;

	if (!IS_ENABLED(CONFIG_KASAN) && l->ops & 7)
		return;
	usable = goalloc_usable_size(p);
	if (unlikely(e.kind == MODEL_TINY ? usable < size || usable > 16 : usable != e.usable))
		model_wrong(l, p, "of an object of %u bytes %zu are usable, not %u", size, usable,
			    e.usable);
}

static __always_inline void made(struct lane *l, struct slot *s, u8 *p, u8 heap, u32 size,
				 struct expected e, bool scan, u8 flags)
{
	u64 tag = model_random(&l->random);

	use_all(l, p, size, e);
	if (unlikely((unsigned long)p & (e.align - 1)))
		model_wrong(l, p, "an object of %u bytes is not aligned to %u", size, e.align);
	if (unlikely(flags & RANDOM_ZERO) && unlikely(!is_zero(p, e.usable, tag)))
		model_wrong(l, p, "an object of %u bytes is not zero", size);
	s->p = p;
	s->tag = tag;
	s->size = size;
	s->usable = e.usable;
	s->heap = heap;
	s->kind = e.kind;
	s->scan = scan;
	s->cls = 0;
	s->own = heap >= RANDOM_HEAPS;
	fill(p, e.usable, tag);
	l->bytes += e.usable;
	l->objects++;
	l->counts[heap].mallocs[e.kind]++;
	if (l->nodes)
		tree_add(l, s);
}

/*
 * lane_alloc - makes an object for a slot that has none
 */
void lane_alloc(struct lane *l, struct slot *s, u8 heap, u32 size, u8 flags)
{
	bool scan = flags & RANDOM_SCAN, own = flags & RANDOM_OWN && !heap && !scan;
	int tight = atomic_read(&model_tight);
	gfp_t gfp = gfp_of(l, flags);
	void *p;

	p = own ? goalloc_alloc(size, gfp) :
		goalloc_heap_alloc(model_heaps[heap].heap, size, scan ? GOALLOC_SCAN : 0, gfp);
	l->ops++;
	lane_trace(l, RANDOM_ALLOC, heap, s - l->slots, size, p);
	if (unlikely(!p))
		refused(l, heap, size, flags, tight);
	else
		made(l, s, p, heap, size, expected_of(size, scan), scan, flags);
}

void lane_class_alloc(struct lane *l, struct slot *s, struct model_class *c, u8 cls, u8 flags)
{
	struct expected e = { c->usable, c->align, MODEL_EXACT };
	int tight = atomic_read(&model_tight);
	void *p;

	if (!(flags & RANDOM_ZERO) && l->context == RANDOM_HARDIRQ)
		p = goalloc_class_alloc(c->cls, GFP_ATOMIC | __GFP_NOWARN);
	else
		p = goalloc_class_alloc(c->cls, gfp_of(l, flags));
	l->ops++;
	lane_trace(l, RANDOM_CLASS_ALLOC, c->heap, s - l->slots, c->size, p);
	if (unlikely(!p)) {
		refused(l, c->heap, c->size, flags, tight);
		return;
	}
	made(l, s, p, c->heap, c->size, e, c->scan, flags);
	s->cls = cls;
	s->own |= cls <= RANDOM_CLASSES;
}

/* What the compiler knows it needs no look at a table for. */
static __always_inline void *const_alloc(u32 bytes, bool atomic)
{
	return atomic ? goalloc_alloc(bytes, GFP_ATOMIC | __GFP_NOWARN) :
			goalloc_alloc(bytes, GFP_KERNEL | __GFP_NOWARN);
}

static const u16 const_sizes[RANDOM_CONSTANTS] = { 8, 13, 16, 100, 512, 1500, 32768, 40000 };

void lane_const_alloc(struct lane *l, struct slot *s, u32 which, u8 flags)
{
	bool atomic = l->context != RANDOM_TASK || flags & RANDOM_ATOMIC;
	u32 size = const_sizes[which % RANDOM_CONSTANTS];
	int tight = atomic_read(&model_tight);
	void *p;

	switch (which % RANDOM_CONSTANTS) {
	case 0:
		p = const_alloc(8, atomic);
		break;
	case 1:
		p = const_alloc(13, atomic);
		break;
	case 2:
		p = const_alloc(16, atomic);
		break;
	case 3:
		p = const_alloc(100, atomic);
		break;
	case 4:
		p = const_alloc(512, atomic);
		break;
	case 5:
		p = const_alloc(1500, atomic);
		break;
	case 6:
		p = const_alloc(32768, atomic);
		break;
	default:
		p = const_alloc(40000, atomic);
		break;
	}
	l->ops++;
	lane_trace(l, RANDOM_CONST_ALLOC, 0, s - l->slots, size, p);
	if (unlikely(!p))
		refused(l, 0, size, flags, tight);
	else
		made(l, s, p, 0, size, expected_of(size, false), false, 0);
}

/* The object of a slot is gone. */
void lane_drop(struct lane *l, struct slot *s)
{
	l->counts[s->heap].frees[s->kind]++;
	l->bytes -= s->usable;
	if (l->nodes)
		tree_remove(l, s);
	s->p = NULL;
}

static __always_inline void look_before(struct lane *l, struct slot *s, const char *when)
{
	if (unlikely(!model_check(s)))
		wrong_contents(l, s, when);
}

void lane_free(struct lane *l, struct slot *s, u8 flags)
{
	void *p = s->p;
	int err;

	look_before(l, s, "at its free");
	l->ops++;
	lane_trace(l, RANDOM_FREE, s->heap, s - l->slots, s->size, p);
	lane_drop(l, s);
	if (flags & RANDOM_TRY) {
		err = goalloc_try_free(p);
		if (unlikely(err))
			model_wrong(l, p, "the free of an object of %u bytes says %d", s->size,
				    err);
	} else {
		goalloc_free(p);
	}
}

void lane_look(struct lane *l, struct slot *s)
{
	size_t usable = goalloc_usable_size(s->p);

	l->ops++;
	look_before(l, s, "a look");
	if (unlikely(s->kind == MODEL_TINY ? usable < s->size || usable > 16 : usable != s->usable))
		model_wrong(l, s->p, "of an object of %u bytes %zu are usable, not %u", s->size,
			    usable, s->usable);
}

/* The object moved: what was in it came along. */
static void moved(struct lane *l, struct slot *s, u8 *p, u32 size, u8 flags)
{
	struct expected e = expected_of(size, s->scan);
	u32 kept = min(s->usable, size), from = s->kind == MODEL_TINY ? 16 : s->usable;
	u8 heap = s->heap;

	use_all(l, p, size, e);
	if (!holds(p, s->usable, s->tag, kept))
		model_wrong(l, p, "realloc from %u to %u bytes lost some of them", s->size, size);
	if (flags & RANDOM_ZERO && e.usable > from && !is_zero(p + from, e.usable - from, 0))
		model_wrong(l, p, "realloc from %u to %u bytes: what is new is not zero", s->size,
			    size);
	if (s->kind != MODEL_TINY && size <= s->usable && size >= s->usable / 2)
		model_wrong(l, p, "realloc from %u to %u bytes moved the object", s->size, size);
	lane_drop(l, s);
	made(l, s, p, heap, size, e, s->scan, 0);
}

/* The planted fault, for the test of what makes a script shorter. */
static void plant(struct lane *l, u8 heap)
{
	u32 i;

	for (i = 0; i <= l->mask; i++) {
		struct slot *s = &l->slots[i];

		if (s->p && s->heap == heap && s->size > 1024 && s->size <= 2048) {
			s->p[0] ^= 1;
			return;
		}
	}
}

void lane_realloc(struct lane *l, struct slot *s, u32 size, u8 flags)
{
	int tight = atomic_read(&model_tight);
	u32 old = s->usable;
	u8 *was = s->p, *p;

	look_before(l, s, "before realloc");
	p = goalloc_realloc(was, size, gfp_of(l, flags));
	l->ops++;
	lane_trace(l, RANDOM_REALLOC, s->heap, s - l->slots, size, p);
	if (unlikely(!p)) {
		refused(l, s->heap, size, flags, tight);
		return;
	}
	if (p != was) {
		moved(l, s, p, size, flags);
		if (unlikely(model_plant) && old < 512 && size > 4096 && s->heap == model_plant)
			plant(l, s->heap);
		return;
	}
	if (IS_ENABLED(CONFIG_KASAN))
		goalloc_usable_size(p);
	if (flags & RANDOM_ZERO && size < old) {
		if (!holds(p, old, s->tag, size) || memchr_inv(p + size, 0, old - size))
			model_wrong(l, p, "realloc from %u to %u bytes in place, zeroed", s->size,
				    size);
		fill(p, old, s->tag);
	}
	look_before(l, s, "after realloc");
	if (s->kind != MODEL_TINY ? size > old : size > 16)
		model_wrong(l, p, "realloc from %u to %u bytes did not move the object", s->size,
			    size);
	s->size = size;
	if (s->kind == MODEL_TINY) {
		l->bytes += size - old;
		s->usable = size;
		fill(p, size, s->tag);
	}
}

/* Slots from one on that are all without objects. */
static u32 empties(struct lane *l, struct slot *s, u32 n)
{
	struct slot *end = min(s + n, l->slots + l->mask + 1);
	u32 i;

	for (i = 0; s + i < end && !s[i].p; i++)
		;
	return i;
}

void lane_alloc_bulk(struct lane *l, struct slot *s, u32 n, u8 heap, u32 size, u8 flags)
{
	bool scan = flags & RANDOM_SCAN;
	int tight = atomic_read(&model_tight);
	void *objs[RANDOM_BULK_MAX];
	size_t got, i;

	n = empties(l, s, min_t(u32, n, RANDOM_BULK_MAX));
	got = goalloc_alloc_bulk(model_heaps[heap].heap, size, scan ? GOALLOC_SCAN : 0,
				 gfp_of(l, flags), n, objs);
	l->ops++;
	if (unlikely(got > n))
		model_wrong(l, NULL, "a bulk of %u is %zu", n, got);
	for (i = 0; i < got; i++) {
		lane_trace(l, RANDOM_ALLOC_BULK, heap, s + i - l->slots, size, objs[i]);
		made(l, s + i, objs[i], heap, size, expected_of(size, scan), scan, flags);
	}
	if (unlikely(got < n))
		refused(l, heap, size, flags, tight);
}

void lane_class_alloc_bulk(struct lane *l, struct slot *s, u32 n, struct model_class *c, u8 cls,
			   u8 flags)
{
	struct expected e = { c->usable, c->align, MODEL_EXACT };
	int tight = atomic_read(&model_tight);
	void *objs[RANDOM_BULK_MAX];
	size_t got, i;

	n = empties(l, s, min_t(u32, n, RANDOM_BULK_MAX));
	got = goalloc_class_alloc_bulk(c->cls, gfp_of(l, flags), n, objs);
	l->ops++;
	if (unlikely(got > n))
		model_wrong(l, NULL, "a bulk of %u of a class is %zu", n, got);
	for (i = 0; i < got; i++) {
		lane_trace(l, RANDOM_CLASS_ALLOC, c->heap, s + i - l->slots, c->size, objs[i]);
		made(l, s + i, objs[i], c->heap, c->size, e, c->scan, flags);
		s[i].cls = cls;
		s[i].own |= cls <= RANDOM_CLASSES;
	}
	if (unlikely(got < n))
		refused(l, c->heap, c->size, flags, tight);
}

void lane_free_bulk(struct lane *l, struct slot *s, u32 n)
{
	struct slot *end = min(s + min_t(u32, n, RANDOM_BULK_MAX), l->slots + l->mask + 1);
	void *objs[RANDOM_BULK_MAX];

	for (n = 0; s < end; s++, n++) {
		objs[n] = s->p;
		if (!s->p)
			continue;
		look_before(l, s, "at its free in bulk");
		lane_trace(l, RANDOM_FREE_BULK, s->heap, s - l->slots, s->size, s->p);
		lane_drop(l, s);
	}
	l->ops++;
	goalloc_free_bulk(n, objs);
}

static void *wild_address(u32 number)
{
	u64 many = number * 0x9e3779b97f4a7c15ULL;

	switch (number % 4) {
	case 0:	/* no address of x86's at all */
		return (void *)(BIT_ULL(47) + (many >> 18));
	case 1:
		return (void *)(32 + (many >> 32) % 4000);
	case 2:
		return (void *)~(many >> 56);
	default:
		/* Under User-Mode Linux the kernel itself is there. */
		return (void *)(IS_ENABLED(CONFIG_UML) ? ~0UL : (unsigned long)many >> 18 | 1);
	}
}

static void *others_address(struct lane *l, u32 number, u32 *stack)
{
	switch (number % 5) {
	case 0:
		return (u8 *)l + number % sizeof(*l);
	case 1:
		return &model_heaps[number % MODEL_ALL_HEAPS];
	case 2:
		return stack;
	case 3:
		return (void *)((unsigned long)lane_free + number % 64);
	default:
		return report + number % REPORT_SIZE;
	}
}

static void bad_again(struct lane *l, u32 number)
{
	struct slot *s;
	u8 *p;
	int err;

	if (!l->nghosts)
		return;
	p = l->ghosts[number % min_t(u32, l->nghosts, GHOSTS)];
	s = tree_find(l, p);
	if (s && s->p == p)
		return;
	err = goalloc_try_free(p);
	if (err != -EALREADY && err != -EINVAL && err != -ENOENT)
		model_wrong(l, p, "the second free of an object says %d", err);
	if (s && p < s->p + s->usable && err != -EINVAL)
		model_wrong(l, p, "the free inside an object of %u bytes says %d", s->size, err);
}

static void bad_inside(struct lane *l, struct slot *s, u32 number)
{
	u8 *p;
	int err;

	if (!s->p || s->usable < 2)
		return;
	p = s->p + 1 + number % (s->usable - 1);
	if (number & 1 && goalloc_usable_size(p))
		model_wrong(l, p, "inside an object of %u bytes another begins", s->size);
	err = goalloc_try_free(p);
	if (err != -EINVAL)
		model_wrong(l, p, "the free of byte %zd of an object of %u says %d", p - s->p,
			    s->size, err);
	l->counts[s->heap].stray++;
}

/* Asks for what nobody can have. */
static void bad_size(struct lane *l, struct slot *s, u32 number)
{
	size_t size = number & 1 ? ~0UL - (number >> 1) : (1UL << 40) + 1 + ((size_t)number << 8);
	struct goalloc_heap *heap = model_heaps[number >> 2 & 1].heap;
	gfp_t gfp = gfp_of(l, 0);
	void *p;

	if (goalloc_alloc(size, gfp) || goalloc_heap_alloc(heap, size, 0, gfp) ||
	    goalloc_alloc_bulk(heap, size, 0, gfp, 1, &p) ||
	    (s->p && goalloc_realloc(s->p, size, gfp)))
		model_wrong(l, NULL, "%zu bytes were to be had", size);
	if (goalloc_heap_alloc(heap, 0, 0, gfp) != ZERO_SIZE_PTR)
		model_wrong(l, NULL, "the object of no bytes is another one");
}

/* Does what must be refused, and change nothing. */
void lane_bad(struct lane *l, struct slot *s, enum random_bad bad, u32 number)
{
	gfp_t gfp = gfp_of(l, 0);
	void *p = NULL;
	int err;

	l->ops++;
	switch (bad) {
	case RANDOM_BAD_INSIDE:
		bad_inside(l, s, number);
		break;
	case RANDOM_BAD_AGAIN:
		if (l->nodes)
			bad_again(l, number);
		break;
	case RANDOM_BAD_WILD:
	case RANDOM_BAD_OTHERS:
		p = bad == RANDOM_BAD_WILD ? wild_address(number) :
					     others_address(l, number, &number);
		err = goalloc_try_free(p);
		if (err != -ENOENT || goalloc_usable_size(p))
			model_wrong(l, p, "the free of %lx says %d", (unsigned long)p, err);
		l->counts[0].wild++;
		break;
	case RANDOM_BAD_NOTHING:
		p = number & 1 ? NULL : ZERO_SIZE_PTR;
		if (goalloc_try_free(p) || goalloc_usable_size(p))
			model_wrong(l, p, "the free of nothing fails");
		goalloc_free(p);
		break;
	case RANDOM_BAD_HUGE:
		bad_size(l, s, number);
		break;
	case RANDOM_BAD_FLAG:
		number = BIT(2 + number % 30);
		if (goalloc_heap_alloc(NULL, 64, number, gfp) ||
		    goalloc_alloc_bulk(NULL, 64, number, gfp, 1, &p))
			model_wrong(l, NULL, "flag %x is known", number);
		break;
	default:
		break;
	}
	lane_trace(l, RANDOM_BAD_FREE, s->heap, s - l->slots, bad, p);
}

/* Sweeping: only a kernel with KUnit lets others at it. */

#if IS_ENABLED(CONFIG_KUNIT)
/* All objects of a tiny block, or none: a block is marked as a whole. */
static bool is_marked(const struct slot *s, u32 percent, u32 number)
{
	u64 block = ((u64)(unsigned long)s->p >> 4) + number;

	return (block * 0x9e3779b97f4a7c15ULL >> 32) % 100 < percent;
}

/* Marks what is to live in the next cycle. Nobody uses the heap. */
void lane_mark(struct lane *l, u8 heap, u32 percent, u32 number)
{
	struct goalloc_heap *h = model_heaps[heap].heap;
	struct slot *s;
	int err;

	for (s = l->slots; s <= l->slots + l->mask; s++) {
		if (!s->p || s->heap != heap || !is_marked(s, percent, number))
			continue;
		err = gc_mark(h, (unsigned long)s->p);
		if (err)
			model_wrong(l, s->p, "the mark of an object of %u bytes says %d", s->size,
				    err);
	}
}

/* What was not marked is gone. */
void lane_forget(struct lane *l, u8 heap, u32 percent, u32 number)
{
	struct slot *s;

	for (s = l->slots; s <= l->slots + l->mask; s++) {
		if (!s->p || s->heap != heap || is_marked(s, percent, number))
			continue;
		lane_trace(l, RANDOM_SWEEP, heap, s - l->slots, s->size, s->p);
		lane_drop(l, s);
	}
	/* Until it is swept its free would be a good one. */
	l->nghosts = 0;
}

bool model_sweep_one(u8 heap)
{
	struct goalloc_heap *h = model_heaps[heap].heap;

	if (sweepone(h) != ~0ULL)
		return true;
	/* The background may still be at the last span, whose frees it then counts. */
	while (atomic_read_acquire(&h->sweepers))
		schedule_timeout_uninterruptible(1);
	return false;
}

void model_sweep_start(u8 heap)
{
	gc_sweep_start(model_heaps[heap].heap);
}

GOALLOC_KUNIT_IMPORT;
#else
void lane_mark(struct lane *l, u8 heap, u32 percent, u32 number)
{
}

void lane_forget(struct lane *l, u8 heap, u32 percent, u32 number)
{
}

bool model_sweep_one(u8 heap)
{
	return false;
}

void model_sweep_start(u8 heap)
{
}
#endif

/* Exact classes and heaps. */

void lane_class_make(struct lane *l, struct model_class *c, u8 heap, u32 size, u32 align,
		     bool scan)
{
	int tight = atomic_read(&model_tight);
	struct goalloc_class *cls;

	cls = goalloc_class_create(model_heaps[heap].heap, "random", size, align,
				   scan ? GOALLOC_SCAN : 0);
	l->ops++;
	if (IS_ERR(cls)) {
		/* Lanes share the places of a heap. */
		if (cls != ERR_PTR(-ENOSPC))
			refused(l, heap, size, 0, tight);
		return;
	}
	*c = (struct model_class){
		.cls = cls, .size = size, .align = max(align, 8U), .heap = heap, .scan = scan,
	};
	c->usable = round_up(size, c->align);
}

void lane_class_end(struct lane *l, u32 i)
{
	struct slot *s;

	if (!l->classes[i].cls)
		return;
	for (s = l->slots; s <= l->slots + l->mask; s++)
		if (s->p && s->own && s->cls == i + 1)
			lane_free(l, s, RANDOM_TRY);
	goalloc_class_destroy(l->classes[i].cls);
	l->ops++;
	l->classes[i].cls = NULL;
}

void lane_free_heap(struct lane *l, u8 heap)
{
	struct slot *s;
	u32 i;

	for (i = 0; i < RANDOM_CLASSES; i++)
		if (l->classes[i].heap == heap)
			lane_class_end(l, i);
	for (s = l->slots; s <= l->slots + l->mask; s++)
		if (s->p && s->heap == heap)
			lane_free(l, s, RANDOM_TRY);
}

void model_heap_make(struct lane *l, u8 heap, const char *name)
{
	struct goalloc_heap_params params = { .name = name };
	struct goalloc_heap *h = goalloc_heap_create(&params);

	if (IS_ERR(h)) {
		model_wrong(l, NULL, "no heap: %ld", PTR_ERR(h));
		return;
	}
	model_heaps[heap] = (struct model_heap){ h, true };
}

/* Lanes. */

struct lane *lane_make(u32 id, enum random_context context, u32 slots, bool script)
{
	struct lane *l = kvzalloc(sizeof(*l), GFP_KERNEL);

	if (!l)
		return NULL;
	l->id = id;
	l->context = context;
	l->mask = slots - 1;
	l->random = (id + 1) * 0x9e3779b97f4a7c15ULL;
	l->slots = kvcalloc(slots, sizeof(*l->slots), GFP_KERNEL);
	if (script) {
		l->nodes = kvcalloc(slots, sizeof(*l->nodes), GFP_KERNEL);
		l->ghosts = kcalloc(GHOSTS, sizeof(*l->ghosts), GFP_KERNEL);
	}
	if (!l->slots || (script && (!l->nodes || !l->ghosts))) {
		lane_end(l);
		return NULL;
	}
	lanes[id] = l;
	return l;
}

/* Its objects must be gone. */
void lane_end(struct lane *l)
{
	if (!l)
		return;
	lanes[l->id] = NULL;
	kvfree(l->slots);
	kvfree(l->nodes);
	kfree(l->ghosts);
	kvfree(l);
}

void model_reset(void)
{
	report[0] = 0;
	WRITE_ONCE(model_stop, false);
	model_plant = 0;
}

int model_init(void)
{
	u32 size, class = 0;

	class_of = kvmalloc(MODEL_MAX_SMALL + 1, GFP_KERNEL);
	report = kvzalloc(REPORT_SIZE, GFP_KERNEL);
	if (!class_of || !report) {
		model_exit();
		return -ENOMEM;
	}
	for (size = 0; size <= MODEL_MAX_SMALL; size++) {
		if (size > class_sizes[class])
			class++;
		class_of[size] = class;
	}
	model_heaps[0].there = true;
	return 0;
}

void model_exit(void)
{
	kvfree(class_of);
	kvfree(report);
}
