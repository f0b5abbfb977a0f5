/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What random.ko and the program that drives it (machines/random.c) have in common:
 * the operations of a script, sixteen bytes each, which are written to a file.
 *
 * An operation that has no meaning where it stands, as to free what is not there,
 * does nothing: so every part of a script is a script, and one that fails can be
 * made shorter by leaving operations out.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <linux/types.h>

#define RANDOM_SLOTS		4096	/* objects of a script, by number */
#define RANDOM_CLASSES		8	/* exact classes of a script */
#define RANDOM_HEAPS		4	/* heaps that all share; 0 is the module's own */
#define RANDOM_BULK_MAX		48
#define RANDOM_CONSTANTS	8	/* sizes known when the driver is compiled */

enum random_code {
	RANDOM_NOTHING,
	RANDOM_HEAP_MAKE,	/* heap */
	RANDOM_HEAP_END,	/* heap: its classes and objects go first */
	RANDOM_CLASS_MAKE,	/* slot is the class; heap, size; arg: alignment */
	RANDOM_CLASS_END,	/* slot is the class: its objects go first */
	RANDOM_ALLOC,		/* slot, heap, size */
	RANDOM_CLASS_ALLOC,	/* slot; arg: the class */
	RANDOM_CONST_ALLOC,	/* slot; arg: which size */
	RANDOM_REALLOC,		/* slot, size */
	RANDOM_FREE,		/* slot */
	RANDOM_LOOK,		/* slot */
	RANDOM_ALLOC_BULK,	/* slot and those behind it; heap, size; arg: how many */
	RANDOM_FREE_BULK,	/* slot and those behind it; arg: how many */
	RANDOM_BAD_FREE,	/* slot; arg: enum random_bad and a number << 8 */
	RANDOM_SWEEP,		/* heap; arg: marked per cent and a number << 8 */
	RANDOM_SWEEP_ONE,	/* heap; arg: spans */
	RANDOM_KERNEL_CODES,
	/* What the program does. */
	RANDOM_SCAVENGE = RANDOM_KERNEL_CODES,	/* heap; size in KiB, 0 for all */
	RANDOM_LIMIT,		/* heap; size in KiB over what is held, 0 for none */
	RANDOM_MAX,		/* heap; size in KiB over what is in use, 0 for none */
	RANDOM_DROP,		/* the system wants memory back */
	RANDOM_CPU,		/* arg: CPU << 1 | online */
	RANDOM_READ,		/* heap; arg: which of its files */
	RANDOM_BOOKS,		/* do they balance, and are they the model's */
	RANDOM_CODES,
};

enum random_bad {
	RANDOM_BAD_INSIDE,	/* not an object's first byte */
	RANDOM_BAD_AGAIN,	/* freed before; scripts only */
	RANDOM_BAD_WILD,	/* no memory at all */
	RANDOM_BAD_OTHERS,	/* memory of others */
	RANDOM_BAD_NOTHING,	/* NULL, and the object of no bytes */
	RANDOM_BAD_HUGE,	/* not a free: more than there can be is asked for */
	RANDOM_BAD_FLAG,	/* not a free: an unknown flag */
	RANDOM_BADS,
};

enum random_context {
	RANDOM_TASK,
	RANDOM_SOFTIRQ,
	RANDOM_HARDIRQ,
	RANDOM_NMI,
	RANDOM_CONTEXTS,
};

/* Flags of an operation. */
#define RANDOM_ZERO		1	/* __GFP_ZERO */
#define RANDOM_SCAN		2	/* GOALLOC_SCAN */
#define RANDOM_ATOMIC		4	/* may not sleep */
#define RANDOM_TRY		8	/* goalloc_try_free() */
#define RANDOM_OWN		16	/* goalloc_alloc() for heap 0 */

/*
 * struct random_op - an operation
 * @code: enum random_code
 * @heap: 0 is the module's own
 * @context: enum random_context, where it is done
 * @flags: RANDOM_*
 * @slot: which object
 * @size: bytes
 * @arg: as the code wants it
 */
struct random_op {
	__u8 code;
	__u8 heap;
	__u8 context;
	__u8 flags;
	__u32 slot;
	__u32 size;
	__u32 arg;
};

#define RANDOM_DIR	"/sys/kernel/debug/goalloc_random"

#endif /* RANDOM_H */
