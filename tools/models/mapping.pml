/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A span of a file heap is returned while its heap is mapped for the first time and a
 * page of it is touched. When the span is gone, its page is in no page table, and not
 * entered into the heap's table of pages any more either.
 *
 * run	TSO
 * run	WEAK
 * run	TSO BACKED
 * run	WEAK BACKED
 * fail	WEAK NO_MB_MMAP
 * fail	TSO NO_MB_UNMAP
 * fail	TSO NO_FIND_AGAIN
 * fail	TSO BACKED NO_FIND_AGAIN
 * fail	WEAK NO_PASS_ENTERING
 * fail	TSO BACKED NO_PASS_LOCK
 * fail	TSO NO_FIND_ENTERING
 * run	TSO ATOMIC
 * run	WEAK ATOMIC
 * run	TSO BACKED ATOMIC
 * fail	TSO ATOMIC ONE_LOOK
 */
#define CPUS	3
#define SPAN	0	/* goalloc_chunk.spans[]: the span can be found */
#define MAPPED	1	/* goalloc_heap.mapped */
#define PAGE	2	/* goalloc_chunk.pages[]: the page */
#define CHUNK	3	/* goalloc_chunk.lock */
#define LOCKED	4	/* lock_page() */
#define VARS	5

#include "weak.pml"

bool pte;		/* the page is in a page table */
bool gone;		/* the span is, and its pages are idle */

/* mmap(): sparse_mmap(); a touch: sparse_fault() */
proctype process(byte me)
{
	LOCALS;
	bool found, page;

	ST(MAPPED, 1);
#ifndef NO_MB_MMAP	/* mutant: sparse_mmap() without its barrier */
	smp_mb();
#endif
	/* sparse_touchable() */
	LD(found, SPAN);
	if
	:: found -> LD(page, PAGE)
	:: else -> goto out
	fi;
	if
	:: !page ->
		/* sparse_enter() */
		spin_lock(CHUNK);
#ifndef NO_FIND_ENTERING	/* mutant: the span was found before */
		LD(found, SPAN);
#endif
		LD(page, PAGE);
		if
		:: found && !page -> smp_store_release(PAGE, 1); assert(!gone)
		:: else
		fi;
		spin_unlock(CHUNK);
		if
		:: !found -> goto out
		:: else
		fi
	:: else
	fi;
	spin_lock(LOCKED);
#ifndef NO_FIND_AGAIN	/* mutant: the span was found before */
	LD(found, SPAN);
#endif
	if
	:: found -> atomic { pte = true; assert(!gone) }
	:: else
	fi;
	spin_unlock(LOCKED);
out:
	running--
}

/* sparse_unmap_span() */
proctype returner(byte me)
{
	LOCALS;
	bool mapped, page, may_sleep = true;

#ifdef ATOMIC
	/* mheap_free_span(), where nothing may sleep: by way of a work item, or not? */
	LD(may_sleep, MAPPED);
#endif
	ST(SPAN, 0);
#ifndef NO_MB_UNMAP	/* mutant: without its barrier */
	smp_mb();
#endif
	LD(mapped, MAPPED);
	if
	:: mapped ->
#ifndef ONE_LOOK	/* mutant: what was seen first decides */
		may_sleep = true;
#endif
		assert(may_sleep);
#ifndef NO_PASS_ENTERING	/* mutant: pages on their way are not waited for */
		spin_lock(CHUNK);
		spin_unlock(CHUNK);
#endif
		LD(page, PAGE);
#ifndef NO_PASS_LOCK	/* mutant: whoever has the page's lock is not waited for */
		if
		:: page -> spin_lock(LOCKED); spin_unlock(LOCKED)
		:: else
		fi;
#endif
		/* unmap_mapping_range() */
		pte = false
	:: else
	fi;
	/* sparse_decommit() */
	spin_lock(CHUNK);
	spin_unlock(CHUNK);
	atomic { assert(!pte); gone = true };
	running--
}

init
{
	atomic {
		mem[SPAN] = 1;
#ifdef BACKED
		mem[PAGE] = 1;
#endif
		running = 2;
		run process(0);
		run returner(1)
	};
	running == 0 && ALL_DRAINED;
	assert(!pte)
}
