/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The background closes a span in which few slots live, gives pages of it back, and
 * later more of them, while others free its objects and an mcache wants spans (I1, I3,
 * I4, I7). Two words, each on a page of its own: 2 slots of which one lives, and 1 that
 * is live or free. No page goes that has a live object, nobody gets an object of a page
 * that has gone, and the span goes with its last object.
 *
 * run	TSO MCACHE
 * run	TSO THINNER
 * run	WEAK THINNER
 * fail	TSO NO_MB_CLOSED
 * fail	TSO MCACHE NO_CLOSED_PUT
 * fail	TSO MCACHE CLOSE_UNLOCKED
 * fail	TSO MCACHE CLOSE_LATE
 * fail	TSO NO_PLACE_RECHECK
 * fail	TSO THINNER THIN_UNLOCKED
 * fail	TSO NO_OVER_LOOK
 */
#define CPUS		4
#define WORDS		2
#define SLOTS(w)	(w == 0 -> 3 : 1)
#define MAXEMPTY	0

#include "span.pml"

byte pages_gone;	/* mspan.gone: a bit for each page, so for each word */

/* backing_thin(): what is behind no live slot */
inline backing_thin()
{
	w_ = 0;
	do
	:: w_ < WORDS ->
		load_word(w_);
		atomic {
			if
			:: !(k_ & ~f_) -> assert(!live[w_]); pages_gone = pages_gone | (1 << w_)
			:: else
			fi;
			f_ = 0; k_ = 0;
			w_++
		}
	:: else -> break
	od;
	w_ = 0
}

/* bgscavenge_thin() */
proctype background(byte me)
{
	SPAN_LOCALS;
	bool got, gone;

	/* mcentral_close_some(): mcentral_take_thin(), mcentral_thin() */
#ifndef CLOSE_UNLOCKED	/* mutant: the span is taken without the lock */
	spin_lock(LOCK);
#endif
	got = set == PARTIAL;
	if
	:: got ->
		mcentral_remove();
		mspan_set_place(HELD);
#ifndef CLOSE_LATE	/* mutant: it is closed once it is in a set again */
		ST(BAND, true)
#endif
	:: else
	fi;
#ifndef CLOSE_UNLOCKED
	spin_unlock(LOCK);
#endif
	if
	:: got ->
		backing_thin();
		mcentral_put(gone);
#ifdef CLOSE_LATE
		ST(BAND, true)
#endif
	:: else -> goto out
	fi;

#ifdef THINNER
	/* mcentral_thin_some(): mcentral_take_thinner(), mcentral_thin() */
	spin_lock(LOCK);
	got = set == FULL;
	if
#ifdef THIN_UNLOCKED	/* mutant: the span stays in its set meanwhile */
	:: got -> skip
#else
	:: got -> mcentral_remove(); mspan_set_place(HELD)
#endif
	:: else
	fi;
	spin_unlock(LOCK);
	if
	:: got ->
		backing_thin();
#ifdef THIN_UNLOCKED
		assert(!returned)
#else
		mcentral_put(gone)
#endif
	:: else
	fi;
#endif
out:
	running--
}

proctype mcache(byte me)
{
	SPAN_LOCALS;
	bool got, any, gone;
	byte mask;

	mcentral_cache_span_fast(got);
	if
	:: got ->
		mspan_merge(any);
		any = false;
		next_free_fast(0, mask);
		assert(!mask || !(pages_gone & 1));
		mask = 0;
		mcentral_put(gone)
	:: else
	fi;
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
		mem[PLACE] = PARTIAL;
		set = PARTIAL;
		mem[FREE(0)] = 2;
		mem[KEPT(0)] = 3;
		mem[KEPT(1)] = 1;
		live[0] = 1;
		live[1] = 1;
		running = 3;
		run background(0);
#ifdef MCACHE
		running++;
		run mcache(1);
#endif
		run freer(2, 0, 1);
		run freer(3, 1, 1)
	};
	running == 0 && ALL_DRAINED;
	check_quiet()
}
