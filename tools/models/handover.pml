/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An mcache gives a used-up span to its mcentral while others free its objects
 * (I1, I2, I3, I4). Two words: 2 slots and 1, all live. The owner frees one of them by
 * its plain stores, or not, allocates what it can get, or not, and gives the span up:
 * because it is used up, because it is flushed, or, after its CPU died, by another CPU.
 * Two others free the other two objects.
 *
 * run	TSO
 * run	WEAK
 * run	TSO DEAD
 * run	TSO IRQ
 * fail	TSO NO_MB_FULL
 * fail	TSO NO_MB_PARTIAL
 * fail	TSO NO_SECOND_LOOK
 * fail	TSO NO_PUT_RETIRE
 * fail	WEAK NO_CAS_MB
 * fail	TSO NO_CAS_MB
 * fail	TSO NO_PLACE_RECHECK
 * fail	TSO SPLIT_MERGE
 * fail	TSO TWO_OWNERS
 */
#define CPUS		3
#define WORDS		2
#define SLOTS(w)	(w == 0 -> 3 : 1)
#define MAXEMPTY	0

#include "span.pml"

bool dead;

proctype owner(byte me)
{
	SPAN_LOCALS;
	bool any, gone, ok;
	byte mask;

	/* free_fast() */
	if
	:: gives_up(0, 2); mspan_free_owned(0, 2, ok); assert(ok); ok = false
	:: skip
	fi;
	if
	:: next_free_fast(0, mask); mask = 0
	:: skip
	fi;
#if defined(DEAD) || defined(TWO_OWNERS)
	/* The CPU is dead: whoever flushes it sees all it did. */
#ifndef TWO_OWNERS	/* mutant: it is flushed while it runs */
	DRAINED;
#endif
	dead = true;
#ifdef TWO_OWNERS
	if
	:: next_free_fast(0, mask); mask = 0
	:: skip
	fi;
#endif
#else
	/* mcache_next_free(): used up; or mcache_flush_class() */
	mcache_next_word(any);
	if
	:: any -> next_free_fast(0, mask); mask = 0
	:: any -> skip
	:: else
	fi;
	any = false;
	mcentral_put(gone);
#endif
	running--
}

/* mheap_cpu_dead(), mcache_flush_cpu() */
proctype flusher(byte me)
{
	SPAN_LOCALS;
	bool any, gone;

	dead;
	mspan_merge(any);
	any = false;
	mcentral_put(gone);
	running--
}

proctype freer(byte me; byte w; byte mask)
{
	SPAN_LOCALS;
	bool ok, gone;

	gives_up(w, mask);
	free_remote(w, mask, ok, gone);
	assert(ok);
	running--
}

init
{
	SPAN_LOCALS;

	atomic {
		mem[PLACE] = CACHED;
		mem[KEPT(0)] = 3;
		mem[KEPT(1)] = 1;
		live[0] = 3;
		live[1] = 1;
		running = 3;
		run owner(0);
#ifdef IRQ
		run freer(0, 0, 1);
#else
		run freer(1, 0, 1);
#endif
		run freer(2, 1, 1);
#if defined(DEAD) || defined(TWO_OWNERS)
		running++;
		run flusher(1)
#endif
	};
	running == 0 && ALL_DRAINED;
	assert(late == 0);
	check_quiet()
}
