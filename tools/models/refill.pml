/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last object of a span in a partial set is freed while mcaches come for the span,
 * and while spans in reserve are given back (I1, I4, I7). One word of 2 slots, one
 * live. Each mcache that gets the span allocates from it, may free what it got, and
 * gives it up. Whoever frees the object may be late: the span may be in an mcache, back,
 * or gone by then.
 *
 * run	TSO
 * run	WEAK
 * run	TSO RESERVE
 * fail	TSO NO_MB_PARTIAL
 * fail	TSO RESERVE NO_MB_PARTIAL
 * fail	TSO NO_PLACE_RECHECK
 * fail	TSO POP_UNLOCKED
 * fail	TSO RESERVE NO_EMPTY_CLEAR
 * fail	TSO NO_RETIRE_LOOK
 * fail	TSO NO_CAS_MB
 */
#define CPUS		3
#define WORDS		1
#define SLOTS(w)	3
#ifdef RESERVE
#define MAXEMPTY	1
#else
#define MAXEMPTY	0
#endif

#include "span.pml"

byte holders;

proctype mcache(byte me)
{
	SPAN_LOCALS;
	bool got, any, gone, ok;
	byte mask;

	mcentral_cache_span_fast(got);
	if
	:: got ->
		/* I1 */
		atomic { holders++; assert(holders == 1 && !returned) };
		mspan_merge(any);
		any = false;
		next_free_fast(0, mask);
		if
		:: mask -> gives_up(0, mask); mspan_free_owned(0, mask, ok); assert(ok); ok = false
		:: skip
		fi;
		mask = 0;
		got = false;
		holders--;
		mspan_merge(any);
		any = false;
		mcentral_put(gone)
	:: else
	fi;
	running--
}

proctype freer(byte me)
{
	SPAN_LOCALS;
	bool ok, gone;

	gives_up(0, 1);
	free_remote(0, 1, ok, gone);
	assert(ok);
	running--
}

/* scavenge_reserves(), bgscavenge_thin() */
proctype reserve(byte me)
{
	SPAN_LOCALS;
	bool gone;

	mcentral_release_spares(gone);
	running--
}

init
{
	SPAN_LOCALS;

	atomic {
		mem[PLACE] = PARTIAL;
		set = PARTIAL;
		mem[FREE(0)] = 2;
		mem[KEPT(0)] = 3;
		live[0] = 1;
		running = 3;
		run mcache(0);
		run mcache(1);
		run freer(2);
#ifdef RESERVE
		running++;
		run reserve(1)
#endif
	};
	running == 0 && ALL_DRAINED;
	assert(late == 0);
	check_quiet()
}
