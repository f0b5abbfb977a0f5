/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several free one object at the same instant (I2). A word of 2 slots in an mcache's
 * span. The owner frees an object with its plain stores, and two others swap for it.
 * Of the swaps one succeeds at most; of the owner's free and a swap both may, and then
 * a merge finds it, and the slot is not handed out before. With FILE the owner does not
 * free, as on file heaps, and exactly one of several frees is told of success.
 *
 * With EARLY the owner gives the span up while the others are at it: the swap that met
 * his last free is found by his merge, or finds the slot free.
 *
 * A free that comes when its slot was reused hits the new object, whatever one does.
 * So the owner allocates only when the others are through.
 *
 * run	TSO
 * run	WEAK
 * run	TSO IRQ
 * run	TSO FILE
 * run	TSO EARLY
 * run	WEAK EARLY
 * fail	TSO SPLIT_FREE
 * fail	TSO FILE SPLIT_FREE
 * fail	TSO IGNORE_KEPT
 * fail	TSO SPLIT_MERGE
 * fail	TSO NO_LAST_MERGE
 * fail	TSO EARLY NO_MB_MERGE
 */
#define CPUS		3
#define WORDS		1
#define SLOTS(w)	3
#define MAXEMPTY	0

#include "span.pml"

byte won;		/* frees that were told of success */
byte freers;		/* that have not come to their end */

proctype owner(byte me)
{
	SPAN_LOCALS;
	bool any, gone, ok;
	byte mask;

#ifndef FILE
	mspan_free_owned(0, 1, ok);
	won = won + ok;
#endif
#ifdef EARLY
	/* mcache_flush_class(), mcache_make_room() */
#ifndef NO_MB_MERGE	/* mutant: the free may not be seen yet when the merge looks */
	smp_mb();
#endif
	mspan_merge(any);
	any = false;
	mcentral_put(gone);
	freers == 0;
	live[0] = live[0] & ~1;
	running--;
	goto out;
#endif
	/* mcache_next_word(), at any time */
	if
	:: mspan_merge(any)
	:: skip
	fi;
	any = false;
	freers == 0;
	/* Of all that is said of the object nothing is to come any more. */
	live[0] = live[0] & ~1;
	next_free_fast(0, mask);
	mask = 0;
#ifndef NO_LAST_MERGE	/* mutant: mcache_flush_class() does not merge */
	mspan_merge(any);
	any = false;
#endif
	next_free_fast(0, mask);
	mask = 0;
	mcentral_put(gone);
	running--;
out:
	skip
}

proctype freer(byte me)
{
	SPAN_LOCALS;
	bool ok, gone;

	free_remote(0, 1, ok, gone);
	d_step { won = won + ok; freers--; running-- }
}

init
{
	SPAN_LOCALS;

	atomic {
		mem[PLACE] = CACHED;
		mem[KEPT(0)] = 3;
		live[0] = 3;
		running = 3;
		freers = 2;
		run owner(0);
#ifdef IRQ
		run freer(0);
#else
		run freer(1);
#endif
		run freer(2)
	};
	running == 0 && ALL_DRAINED;
	assert(won == 1 + late);
	check_quiet()
}
