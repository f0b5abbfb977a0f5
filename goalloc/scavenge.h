/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Idle memory back to the system (Go: mgcscavenge.go).
 *
 * A page is idle when no span has it, and scavenged when no memory is behind
 * it. What is idle and not scavenged can be given back, the highest addresses
 * first, as first fit uses those least. Whoever gives pages back takes them out
 * of the page allocator while he does, as Go does, so that nobody allocates
 * them meanwhile.
 *
 *	request		GOALLOC_IOC_SCAVENGE, debugfs
 *	limit		memory is wanted, and with it the heap would hold more than
 *			95 % of its soft limit, or all heaps more than 95 % of theirs
 *	background	more than 10 % of what is in use is idle, or a soft limit is
 *			nearer than 5 %
 *	reclaim		the system is short of memory: the kernel's shrinkers are asked, or
 *			a process is about to be killed for it
 *
 * The unit is a page, or a heap page if that is larger. On a linear heap blocks
 * with nothing in use go first, and when there are none pages of blocks that are in
 * use in part. These leave holes (pallocbits.h), whose addresses are of no use until
 * the whole block has gone, so the background does not make one of a page that may
 * soon be wanted. At last, and only in the background, spans in which few objects
 * live are closed, and what is behind none of them goes back (mspan.h). Which
 * chunks have any idle pages is known (struct goalloc_heap, index), so that nothing
 * is searched in vain.
 */
#ifndef GOALLOC_SCAVENGE_H
#define GOALLOC_SCAVENGE_H

#include <linux/types.h>

#include "mheap.h"

int scavenge_module_init(void);
void scavenge_module_exit(void);

u64 scavenge(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause);
u64 scavenge_all(u64 bytes, enum goalloc_scavenge_cause cause);
void scavenge_blocks(struct goalloc_heap *heap);
void scavenge_make_room(struct goalloc_heap *heap, u64 bytes);
void scavenge_to_limit(struct goalloc_heap *heap);
void scavenge_tell(struct goalloc_heap *heap);
void scavenge_kick(unsigned long delay);
void scavenge_now(void);
u64 scavenge_goal(u64 limit);
u64 scavenge_excess(struct goalloc_heap *heap);
bool scavenge_retains(struct goalloc_heap *heap);
bool scavenge_has_tables(struct goalloc_heap *heap);
u64 scavenge_background_ns(void);
u64 mheap_held(struct goalloc_heap *heap);

extern unsigned int goalloc_scavenge_percent;
extern struct delayed_work goalloc_bgscavenge;
extern struct notifier_block goalloc_oom_notifier;

/* Backing is about to come: soft, if there is nothing to give back, it comes anyway. */
static inline void scavenge_for_limit(struct goalloc_heap *heap, u64 bytes)
{
	if (unlikely(READ_ONCE(heap->limit) != GOALLOC_NO_LIMIT ||
		     READ_ONCE(goalloc_limit) != GOALLOC_NO_LIMIT))
		scavenge_make_room(heap, bytes);
}

/* The heap holds more now: those who poll want to know when the limit is reached. */
static inline void scavenge_at_limit(struct goalloc_heap *heap)
{
	if (unlikely(READ_ONCE(heap->limit) != GOALLOC_NO_LIMIT))
		scavenge_tell(heap);
}

/*
 * Pages became idle: if that, or the tables of what is empty, is more than the heap
 * is to keep, the background scavenger looks at it in a while.
 */
static inline void scavenge_wake(struct goalloc_heap *heap)
{
	if (!scavenge_retains(heap) && !scavenge_has_tables(heap))
		return;
	/*
	 * Either it is seen that the work is still to run, or the work, once it is
	 * not pending, sees the pages: pairs with the barrier in the workqueue that
	 * follows the clearing of that bit.
	 */
	smp_mb();
	if (!delayed_work_pending(&goalloc_bgscavenge))
		scavenge_kick(HZ);
}

#endif /* GOALLOC_SCAVENGE_H */
