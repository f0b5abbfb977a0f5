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
 *	limit		a page is wanted, and with it the heap would hold more than
 *			95 % of its soft limit
 *
 * The unit is a heap page on a sparse heap and a block on a linear one.
 */
#ifndef GOALLOC_SCAVENGE_H
#define GOALLOC_SCAVENGE_H

#include <linux/types.h>

#include "mheap.h"

u64 scavenge(struct goalloc_heap *heap, u64 bytes, enum goalloc_scavenge_cause cause);
void scavenge_make_room(struct goalloc_heap *heap, u64 bytes);
void scavenge_tell(struct goalloc_heap *heap);
u64 scavenge_goal(u64 limit);
u64 mheap_held(struct goalloc_heap *heap);

/* Pages became idle (heap lock): the next search begins no lower. */
static inline void scavenge_freed(struct goalloc_heap *heap, u64 addr, u64 npages)
{
	u64 end = addr + (npages << GOALLOC_PAGE_SHIFT);

	lockdep_assert_held(&heap->lock);
	if (end > heap->scav_addr)
		heap->scav_addr = round_up(end, PALLOC_CHUNK_SIZE);
}

/*
 * A page is about to be backed. Soft: if there is nothing to give back for it,
 * the limit is passed.
 */
static inline void scavenge_for_limit(struct goalloc_heap *heap, u64 bytes)
{
	if (unlikely(READ_ONCE(heap->limit) != GOALLOC_NO_LIMIT))
		scavenge_make_room(heap, bytes);
}

/* The heap holds more now: those who poll want to know when the limit is reached. */
static inline void scavenge_at_limit(struct goalloc_heap *heap)
{
	if (unlikely(READ_ONCE(heap->limit) != GOALLOC_NO_LIMIT))
		scavenge_tell(heap);
}

#endif /* GOALLOC_SCAVENGE_H */
