/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One span and its mcentral: the functions of goalloc/mspan.c, mcache.c and
 * mcentral.c that change its bits and its place, each under its own name. Lists are
 * only touched with the lock held, so of them is left in which one the span is.
 *
 * Who includes this defines WORDS and SLOTS(w), the bits of word @w that stand for
 * slots, MAXEMPTY, and the number of CPUs.
 */
#define LOCK	0		/* mcentral.lock */
#define PLACE	1		/* mspan.place */
#define BAND	2		/* mspan.band is MSPAN_CLOSED */
#define FREE(w)	(3 + 2 * (w))	/* mspan.words[w].free */
#define KEPT(w)	(4 + 2 * (w))	/* mspan.words[w].kept */
#ifndef VARS
#define VARS	(3 + 2 * WORDS)
#endif

#include "weak.pml"

#define HELD	0
#define CACHED	1
#define PARTIAL	2
#define FULL	3

/* What no CPU sees. */
byte set;			/* the set that the span is in, PARTIAL or FULL, or 0 */
bool s_empty;			/* mspan.empty */
byte spares;			/* mcentral.nempty */
byte returned;			/* mheap_return_span() was called so often */
byte late;			/* double frees that a merge has found */
byte live[WORDS];		/* slots with an object that somebody has */

#define LIVE(w)		(mem[KEPT(w)] & ~mem[FREE(w)])

#define SPAN_LOCALS	LOCALS; byte f_, k_, p_, w_; bool b_

/* mspan_set_place(), and its table */
inline mspan_set_place(to)
{
	LD(p_, PLACE);
	assert((p_ == HELD && to != HELD) || (p_ == CACHED && to != CACHED) ||
	       (p_ == PARTIAL && (to == CACHED || to == HELD)) ||
	       (p_ == FULL && (to == PARTIAL || to == HELD)));
	p_ = 0;
	ST(PLACE, to)
}

/*
 * mspan_free_remote(), and the same in free_remote_fast(), free_remote_bulk(): one
 * compare-and-swap of both halves, tried until it succeeds or the slot does not live.
 */
inline mspan_free_remote(w, mask, ok)
{
#ifdef SPLIT_FREE	/* mutant: look, then write */
	LD(f_, FREE(w));
	LD(k_, KEPT(w));
	if
	:: k_ & ~f_ & (mask) -> DRAINED; ST(KEPT(w), k_ & ~(mask)); DRAINED; ok = true
	:: else -> ok = false
	fi;
	f_ = 0; k_ = 0
#else
	atomic {
		DRAINED;
		ok = (LIVE(w) & (mask)) != 0;
		if
		:: ok -> mem[KEPT(w)] = mem[KEPT(w)] & ~(mask)
		:: else
		fi
	}
#endif
}

/* mspan_free_owned(), free_fast(): two loads and a store */
inline mspan_free_owned(w, mask, ok)
{
	LD(f_, FREE(w));
	LD(k_, KEPT(w));
	if
	:: k_ & ~f_ & (mask) -> ST(FREE(w), f_ | (mask)); ok = true
	:: else -> ok = false
	fi;
	f_ = 0; k_ = 0
}

/* mspan_merge_word(): one compare-and-swap of both halves */
inline mspan_merge_word(w)
{
#ifdef SPLIT_MERGE	/* mutant: look, then write both */
	LD(f_, FREE(w));
	LD(k_, KEPT(w));
	ST(FREE(w), f_ | (SLOTS(w) & ~k_));
	ST(KEPT(w), SLOTS(w));
	f_ = 0; k_ = 0
#else
	atomic {
		LD(k_, KEPT(w));
		if
		:: k_ != SLOTS(w) ->
			DRAINED;
			f_ = mem[FREE(w)] & ~mem[KEPT(w)];	/* free and not kept */
			late = late + (f_ & 1) + ((f_ >> 1) & 1);
			mem[FREE(w)] = mem[FREE(w)] | (SLOTS(w) & ~mem[KEPT(w)]);
			mem[KEPT(w)] = SLOTS(w)
		:: else
		fi;
		f_ = 0; k_ = 0
	}
#endif
}

/* mspan_merge() */
inline mspan_merge(any)
{
	any = false;
	w_ = 0;
	do
	:: w_ < WORDS ->
		mspan_merge_word(w_);
		LD(f_, FREE(w_));
		any = any || f_;
		f_ = 0;
		w_++
	:: else -> break
	od;
	w_ = 0
}

/* READ_ONCE(words[w].both): both halves in one load */
inline load_word(w)
{
	atomic { LD(f_, FREE(w)); LD(k_, KEPT(w)) }
}

/* mspan_all_free() */
inline mspan_all_free(all)
{
	all = true;
	w_ = 0;
	do
	:: all && w_ < WORDS -> load_word(w_); all = !(k_ & ~f_); w_++
	:: else -> break
	od;
	f_ = 0; k_ = 0; w_ = 0
}

/* mspan_has_free(); of a span with any slot free, mspan_live() != nelems */
inline mspan_has_free(any)
{
	any = false;
	w_ = 0;
	do
	:: !any && w_ < WORDS -> load_word(w_); any = (k_ & ~f_) != SLOTS(w_); w_++
	:: else -> break
	od;
	f_ = 0; k_ = 0; w_ = 0
}

inline mcentral_push(which)
{
	mspan_set_place(which);
	assert(!set);
	set = which
}

/* mcentral_remove() */
inline mcentral_remove()
{
	atomic {
		/* list_del() of what is in no list */
		assert(set);
		set = 0;
		if
#ifndef NO_EMPTY_CLEAR	/* mutant: it still counts as one kept in reserve */
		:: s_empty -> s_empty = false; spares--
#endif
		:: else
		fi
	}
}

/* mcentral_is_over() */
inline mcentral_is_over(gone)
{
#ifdef NO_OVER_LOOK	/* mutant: a word drained, so the span did */
	gone = true;
#else
	mspan_all_free(gone);
#endif
	if
	:: gone -> mcentral_remove(); mspan_set_place(HELD)
	:: else
	fi
}

/* mcentral_retire() */
inline mcentral_retire(gone)
{
	if
	:: s_empty -> gone = false
	:: else ->
#ifdef NO_RETIRE_LOOK	/* mutant: it was all free before the lock was taken */
		gone = true;
#else
		mspan_all_free(gone);
#endif
		if
		:: gone && spares < MAXEMPTY -> s_empty = true; spares++; gone = false
		:: gone && spares >= MAXEMPTY -> mcentral_remove(); mspan_set_place(HELD)
		:: else
		fi
	fi
}

/* The barrier of mcentral_put_locked() behind the place that was set. */
inline place_before_bits(mutant)
{
	if
	:: mutant
	:: else -> smp_mb()
	fi
}

#ifdef NO_MB_FULL
#define NO_MB_FULL_	1
#else
#define NO_MB_FULL_	0
#endif
#ifdef NO_MB_PARTIAL
#define NO_MB_PARTIAL_	1
#else
#define NO_MB_PARTIAL_	0
#endif
#ifdef NO_MB_CLOSED
#define NO_MB_CLOSED_	1
#else
#define NO_MB_CLOSED_	0
#endif

/* mcentral_put_locked() */
inline mcentral_put_locked(gone)
{
#ifndef NO_CLOSED_PUT	/* mutant: a closed span is put as any other */
	LD(b_, BAND);
#endif
	if
	:: b_ ->
		mcentral_push(FULL);
		place_before_bits(NO_MB_CLOSED_);
		mcentral_is_over(gone)
	:: else ->
		gone = false;
		mspan_has_free(b_);
		if
		:: !b_ ->
			mcentral_push(FULL);
			place_before_bits(NO_MB_FULL_);
#ifndef NO_SECOND_LOOK	/* mutant: the span is full, it was just found so */
			mspan_has_free(b_);
			if
			:: b_ -> mcentral_remove()
			:: else
			fi
#endif
		:: else
		fi;
		if
		:: b_ ->
			mcentral_push(PARTIAL);
			place_before_bits(NO_MB_PARTIAL_);
#ifndef NO_PUT_RETIRE	/* mutant: who frees the last slot will see to that */
			mcentral_retire(gone)
#endif
		:: else
		fi
	fi;
	b_ = false
}

/* mheap_return_span(): nothing of it lives, and it goes once */
inline mheap_return_span()
{
	atomic {
		returned++;
		assert(returned == 1);
		w_ = 0;
		do
		:: w_ < WORDS -> assert(!LIVE(w_) && !live[w_]); w_++
		:: else -> break
		od;
		w_ = 0
	}
}

/* mcentral_put(), as the last step of mcentral_uncache_span() */
inline mcentral_put(gone)
{
	spin_lock(LOCK);
	mcentral_put_locked(gone);
	spin_unlock(LOCK);
	if
	:: gone -> mheap_return_span(); gone = false
	:: else
	fi
}

/* mcentral_pop_partial() by mcentral_cache_span_fast() */
inline mcentral_cache_span_fast(got)
{
#ifndef POP_UNLOCKED	/* mutant: pop without the lock */
	spin_lock(LOCK);
#endif
	got = set == PARTIAL;
	if
	:: got -> mcentral_remove(); mspan_set_place(CACHED)
	:: else
	fi;
#ifndef POP_UNLOCKED
	spin_unlock(LOCK)
#endif
}

/* mcentral_take_empty() by mcentral_release_spares() */
inline mcentral_release_spares(gone)
{
	spin_lock(LOCK);
	gone = s_empty;
	if
	:: gone -> mcentral_remove(); mspan_set_place(HELD)
	:: else
	fi;
	spin_unlock(LOCK);
	if
	:: gone -> mheap_return_span(); gone = false
	:: else
	fi
}

/* With place p_, band b_ and the slots of the word that live. */
inline mcentral_freed_looked(alive, gone)
{
	b_ = (p_ == FULL && !(b_ && alive)) || (p_ == PARTIAL && !(alive));
	f_ = 0; k_ = 0;
	if
	:: b_ ->
		spin_lock(LOCK);
#ifdef NO_PLACE_RECHECK	/* mutant: the place is what it was before the lock */
		skip;
#else
		LD(p_, PLACE);
#endif
		LD(b_, BAND);
		if
		:: p_ == FULL && b_ -> mcentral_is_over(gone)
		:: p_ == FULL && !b_ ->
			if
			:: spares >= MAXEMPTY -> mcentral_is_over(gone)
			:: else
			fi;
			if
			:: gone
			:: else ->
				mspan_has_free(b_);
				if
				:: b_ ->
					mcentral_remove();
					mcentral_push(PARTIAL);
					mcentral_retire(gone)
				:: else
				fi
			fi
		:: p_ == PARTIAL -> mcentral_retire(gone)
		:: else
		fi;
		spin_unlock(LOCK)
	:: else
	fi;
	p_ = 0; b_ = false
}

/*
 * mcentral_freed(). Its loads of the place, the band and the word are not ordered:
 * on arm64 each may be the first.
 */
inline mcentral_freed(w, gone)
{
	gone = false;
#ifdef WEAK
	if
	:: LD(p_, PLACE); LD(b_, BAND); load_word(w)
	:: LD(b_, BAND); LD(p_, PLACE); load_word(w)
	:: LD(b_, BAND); load_word(w); LD(p_, PLACE)
	:: load_word(w); LD(p_, PLACE); LD(b_, BAND)
	fi;
#else
	LD(p_, PLACE);
	LD(b_, BAND);
	load_word(w);
#endif
	mcentral_freed_looked(k_ & ~f_, gone)
}

/*
 * A free by somebody who is not the holder: free_remote_fast(), free_object(). Of an
 * object that the caller has; @ok says what it was told.
 */
inline free_remote(w, mask, ok, gone)
{
#ifdef NO_CAS_MB	/* mutant: the swap is no barrier, the place is loaded before it */
	LD(p_, PLACE);
	LD(b_, BAND);
	mspan_free_remote(w, mask, ok);
	if
	:: ok -> gone = false; load_word(w); mcentral_freed_looked(k_ & ~f_, gone)
	:: else -> p_ = 0; b_ = false
	fi;
#else
	mspan_free_remote(w, mask, ok);
	if
	:: ok -> mcentral_freed(w, gone)
	:: else
	fi;
#endif
	if
	:: gone -> mheap_return_span(); gone = false
	:: else
	fi
}

/* mcache_next_word(): no slot of the current word can be had, so merge */
inline mcache_next_word(any)
{
	mspan_merge(any)
}

/*
 * next_free_fast() of a word: takes the lowest slot that is free and kept. @mask is 0
 * if there is none.
 */
inline next_free_fast(w, mask)
{
	LD(f_, FREE(w));
	LD(k_, KEPT(w));
#ifdef IGNORE_KEPT	/* mutant: what is free can be had, kept or not */
	mask = f_ & -f_;
#else
	mask = (f_ & k_) & -(f_ & k_);
#endif
	if
	:: mask ->
		ST(FREE(w), f_ & ~(mask));
		/* I7: nobody has an object there */
		atomic { assert(!(live[w] & (mask))); live[w] = live[w] | (mask) }
	:: else
	fi;
	f_ = 0; k_ = 0
}

/* A caller is about to free the object that it has. */
inline gives_up(w, mask)
{
	atomic { assert(live[w] & (mask)); live[w] = live[w] & ~(mask) }
}

/*
 * What holds when all is quiet: I3, a slot that is free can be found; I4, a span with
 * nothing live goes back, or is one of the spares.
 */
inline check_quiet()
{
	atomic {
		w_ = 0; f_ = 0; k_ = 0;
		do
		:: w_ < WORDS ->
			f_ = f_ + (LIVE(w_) != SLOTS(w_));	/* words with a free slot */
			k_ = k_ + (LIVE(w_) != 0);		/* words with a live one */
			assert(LIVE(w_) == live[w_]);
			w_++
		:: else -> break
		od;
		assert(mem[LOCK] == 0);
		if
		:: returned -> assert(mem[PLACE] == HELD && !set && !k_)
		:: mem[PLACE] == CACHED
		:: else ->
			assert(set == mem[PLACE]);
			assert(set != FULL || mem[BAND] || !f_);
			assert(set != PARTIAL || f_);
			assert(k_ || s_empty);
			assert(!s_empty || (!k_ && set == PARTIAL))
		fi
	}
}
