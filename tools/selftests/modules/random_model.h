/* SPDX-License-Identifier: GPL-2.0-only */
/* The model of what lives: see random_model.c. */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/interrupt.h>
#include <linux/rbtree.h>
#include <linux/smp.h>
#include <linux/goalloc.h>

#include "random.h"

#define MODEL_SIZE_CLASSES	68
#define MODEL_TINY		MODEL_SIZE_CLASSES	/* counted by themselves, */
#define MODEL_EXACT		(MODEL_TINY + 1)	/* and these */
#define MODEL_KINDS		(MODEL_EXACT + 1)
#define MODEL_MAX_SMALL		32768U
#define MODEL_PAGE		8192U

#define MODEL_LANES		64	/* a heap of its own each may have */
#define MODEL_ALL_HEAPS		(RANDOM_HEAPS + MODEL_LANES)
#define MODEL_TRACE		512

/*
 * struct slot - an object
 * @p: where it is, or NULL
 * @tag: what its bytes are made of
 * @size: bytes asked for
 * @usable: bytes that are written, at least @size
 * @heap: where it lies
 * @cls: its exact class, counted from 1, or 0
 * @kind: its size class, or MODEL_TINY, or MODEL_EXACT
 * @scan: it may hold pointers
 * @own: it may not be handed on
 */
struct slot {
	u8 *p;
	u64 tag;
	u32 size;
	u32 usable;
	u8 heap;
	u8 cls;
	u8 kind;
	bool scan : 1;
	bool own : 1;
};

struct model_heap {
	struct goalloc_heap *heap;	/* NULL for the module's own */
	bool there;
};

struct model_class {
	struct goalloc_class *cls;	/* NULL if there is none */
	u32 size;
	u32 usable;
	u32 align;
	u8 heap;
	bool scan;
};

struct model_counts {
	u64 mallocs[MODEL_KINDS];
	u64 frees[MODEL_KINDS];
	u64 stray;
	u64 wild;
};

struct trace {
	u8 code;
	u8 heap;
	u16 slot;
	u32 size;
	void *p;
};

/*
 * struct weather - what a lane does for a while
 * @free: of 256 steps that meet an object so many free it
 * @alloc: and of those that meet none so many make one
 * @sizes: how sizes are chosen
 * @size: around which
 * @heap: where most objects are made
 * @left: steps until it changes
 */
struct weather {
	u16 free;
	u16 alloc;
	u8 sizes;
	u8 heap;
	u32 size;
	u32 left;
};

/*
 * struct lane - somebody who allocates and frees, in one context
 * @classes: exact classes of its own
 * @nodes: scripts: the objects by address
 * @ghosts: scripts: what was freed
 * @away: it was sent to some CPU, and is not back
 */
struct lane {
	u32 id;
	enum random_context context;
	u64 random;
	u32 mask;
	struct slot *slots;
	u64 bytes;
	u64 budget;
	u64 ops;
	u64 objects;
	u64 refused;
	u64 quota;
	struct weather weather;
	u8 own_heap;
	struct model_class classes[RANDOM_CLASSES];
	u32 traced;
	struct trace trace[MODEL_TRACE];
	struct model_counts counts[MODEL_ALL_HEAPS];

	struct rb_root tree;
	struct rb_node *nodes;
	void **ghosts;
	u32 nghosts;

	struct task_struct *task;
	call_single_data_t csd;
	struct irq_work irq_work;
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	atomic_t away;
};

/*
 * An interrupt that is one on PREEMPT_RT, too. Elsewhere lockdep knows by this that what
 * it does need not be possible there.
 */
#define MODEL_HARD	(IS_ENABLED(CONFIG_PREEMPT_RT) ? HRTIMER_MODE_REL_HARD : HRTIMER_MODE_REL)

extern struct model_heap model_heaps[MODEL_ALL_HEAPS];
extern atomic_t model_tight;
extern bool model_stop;
extern unsigned int model_plant;

static __always_inline u64 model_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

static __always_inline void lane_trace(struct lane *l, u8 code, u8 heap, u32 slot, u32 size,
				       void *p)
{
	l->trace[l->traced++ % MODEL_TRACE] = (struct trace){ code, heap, slot, size, p };
}

int model_init(void);
void model_exit(void);
void model_reset(void);
const char *model_report(void);
__printf(3, 4) void model_wrong(struct lane *l, const void *p, const char *format, ...);

struct lane *lane_make(u32 id, enum random_context context, u32 slots, bool script);
void lane_end(struct lane *l);

void lane_alloc(struct lane *l, struct slot *s, u8 heap, u32 size, u8 flags);
void lane_class_alloc(struct lane *l, struct slot *s, struct model_class *c, u8 cls, u8 flags);
void lane_const_alloc(struct lane *l, struct slot *s, u32 which, u8 flags);
void lane_realloc(struct lane *l, struct slot *s, u32 size, u8 flags);
void lane_free(struct lane *l, struct slot *s, u8 flags);
void lane_look(struct lane *l, struct slot *s);
void lane_alloc_bulk(struct lane *l, struct slot *s, u32 n, u8 heap, u32 size, u8 flags);
void lane_class_alloc_bulk(struct lane *l, struct slot *s, u32 n, struct model_class *c, u8 cls,
			   u8 flags);
void lane_free_bulk(struct lane *l, struct slot *s, u32 n);
void lane_bad(struct lane *l, struct slot *s, enum random_bad bad, u32 number);
void lane_class_make(struct lane *l, struct model_class *c, u8 heap, u32 size, u32 align,
		     bool scan);
void lane_class_end(struct lane *l, u32 i);
void lane_free_heap(struct lane *l, u8 heap);
void lane_drop(struct lane *l, struct slot *s);
bool model_check(struct slot *s);
void lane_mark(struct lane *l, u8 heap, u32 percent, u32 number);
void lane_forget(struct lane *l, u8 heap, u32 percent, u32 number);
bool model_sweep_one(u8 heap);
void model_sweep_start(u8 heap);
void model_heap_make(struct lane *l, u8 heap, const char *name);

struct dentry;

int script_init(struct dentry *dir);
void script_exit(void);
void script_reset(void);
struct lane *script_lane(void);

#endif /* RANDOM_MODEL_H */
