/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cycles begin, and spans are swept, cached, freed into, and closed meanwhile (I5). Two
 * spans of one class. Each has an object that lives for ever and is marked in each cycle,
 * and a slot: in span 0 with an object, which somebody frees at any time, in span 1 free.
 * Nobody allocates while the collector marks and begins a cycle, frees go on.
 *
 * No object dies that is marked; a span handed to an allocation is swept; and when
 * sweepdone is set and a cycle may begin all spans are swept.
 *
 * What matters here is in which order lists are changed and looked at, and all of that
 * is done by fully ordered operations; so this has no store buffers.
 *
 * run	FREER MCACHE
 * run	FREER THIN
 * run	MCACHE THIN
 * fail	FREER MCACHE PEEK_ENDS
 * fail	THIN THIN_BESIDE
 * fail	MCACHE MARK_EARLY
 * fail	MCACHE NO_FLUSH
 * fail	MCACHE NO_BG_CANCEL NO_GEN_CHECK
 */
#define CYCLES	2

#define HELD	0
#define CACHED	1
#define PARTIAL	2
#define FULL	3

#define SET(g)	(((g) / 2) & 1)

byte h = 2;		/* heap->sweepgen */
bool sweepdone = true;
byte sweepers;		/* heap->sweepers */
bool lock;		/* mcentral.lock */
bool world = true;	/* allocations go on */
bool allocating;	/* one is under way */
bool thinning;		/* the mutex of who closes spans and who begins a cycle */
bool bg;		/* the background sweeper is to run ... */
bool bg_runs;		/* ... or does */
bool over;		/* the collector is through */

byte gen[2] = 2;	/* mspan.sweepgen */
byte place[2];
byte set[2];		/* the set a span is in ... */
byte kind[2];		/* ... FULL or PARTIAL, or 0 */
bool marked[2];		/* mspan.gcmark_bits, with the mark of the object */
bool slot[2];		/* its other slot is free */
byte cached = 2;	/* the span that the mcache has, or none */

#define IN(s, k, st)	(kind[s] == (k) && set[s] == (st))

inline get_lock()
{
	atomic { !lock -> lock = true }
}

/* Into the set that its generation says: mcentral_set() */
inline enlist(s, k)
{
	atomic { assert(!kind[s]); kind[s] = k; set[s] = SET(gen[s]); place[s] = k }
}

inline delist(s)
{
	atomic { assert(kind[s]); kind[s] = 0 }
}

/* mcentral_put() */
inline mcentral_put(s)
{
	get_lock();
	if
	:: slot[s] -> enlist(s, PARTIAL)
	:: else -> enlist(s, FULL)
	fi;
	lock = false
}

/* mspan_sweep(): what is not marked dies, and the marks go */
inline mspan_sweep(s)
{
	m_ = marked[s];
	assert(m_);
	m_ = false;
	marked[s] = false;
	gen[s]++
}

#ifdef NO_GEN_CHECK	/* mutant: what is in the set needs sweeping */
#define GEN_OK(g, sg)	true
#else
#define GEN_OK(g, sg)	(g == sg - 2)
#endif

/*
 * mcentral_take_unswept() of both lists, @first and then the other: 2 if none was found.
 * @peek: a list that is empty is not looked at with the lock.
 */
inline take_unswept(s, sg, first, peek)
{
	s = 2;
	k_ = first;
	do
	:: s == 2 && k_ ->
		if
		:: peek && !IN(0, k_, !SET(sg)) && !IN(1, k_, !SET(sg))
		:: else ->
			get_lock();
			if
			:: IN(0, k_, !SET(sg)) -> s = 0
			:: IN(1, k_, !SET(sg)) -> s = 1
			:: else
			fi;
			if
			:: s != 2 && GEN_OK(gen[s], sg) ->
				delist(s);
				place[s] = HELD;
				gen[s] = sg - 1
			:: else -> s = 2
			fi;
			lock = false
		fi;
		k_ = (k_ == first -> FULL + PARTIAL - k_ : 0)
	:: else -> break
	od;
	k_ = 0
}

/* sweepone(): 2 if none was left */
inline sweepone(s, sg)
{
	s = 2;
	sg = h;
	if
	:: !sweepdone ->
		sweepers++;
		take_unswept(s, sg, FULL, true);
#ifndef PEEK_ENDS	/* mutant: a look without the lock ends the cycle */
		if
		:: s == 2 -> take_unswept(s, sg, FULL, false)
		:: else
		fi;
#endif
		if
		:: s != 2 -> mspan_sweep(s); mcentral_put(s)
		:: else ->
			if
			:: h == sg -> sweepdone = true
			:: else
			fi
		fi;
		sweepers--
	:: else
	fi;
	sg = 0
}

/* mcentral_uncache_span() */
inline mcentral_uncache_span(s)
{
	if
	:: gen[s] == h + 1 ->
		gen[s] = h - 1;
		get_lock();
		place[s] = HELD;
		lock = false;
		mspan_sweep(s);
		mcentral_put(s)
	:: else -> gen[s] = h; mcentral_put(s)
	fi
}

/* A collector: gc_mark() of all that lives, gc_sweep_start() */
proctype collector()
{
	byte cycle, s, sg, k_;
	bool m_;

	do
	:: cycle < CYCLES ->
		world = false;
		!allocating;
		/* gc_mark(): -EBUSY until then */
#ifdef MARK_EARLY	/* mutant: sweepdone says that nobody sweeps any more */
		sweepdone;
#else
		sweepdone && !sweepers;
#endif
		atomic {
			assert(gen[0] == h || gen[0] == h + 3 || place[0] == HELD);
			assert(gen[1] == h || gen[1] == h + 3 || place[1] == HELD);
			marked[0] = true;
			marked[1] = true
		};
		/* gc_sweep_start() */
#ifndef THIN_BESIDE	/* mutant: spans are closed while a cycle begins */
		atomic { !thinning -> thinning = true };
#endif
		do
		:: sweepone(s, sg);
			if
			:: s == 2 -> break
			:: else
			fi
		od;
#ifndef NO_BG_CANCEL	/* mutant: the last cycle's sweeper goes on */
		atomic { bg = false; !bg_runs };
#endif
#ifndef NO_FLUSH	/* mutant: mcaches keep their spans */
		/* mcache_flush_all() */
		if
		:: cached != 2 -> s = cached; cached = 2; mcentral_uncache_span(s)
		:: else
		fi;
#endif
		h = h + 2;
		sweepdone = false;
		bg = true;
#ifndef THIN_BESIDE
		thinning = false;
#endif
		world = true;
		s = 0;
		cycle++;
		/* The program runs for a while: until all is swept, for one. */
		if
		:: true
		:: sweepdone
		fi
	:: else -> break
	od;
	over = true
}

/* bgsweep() */
proctype background_sweeper()
{
	byte s, sg, k_;
	bool m_;

end:
	do
	:: atomic { bg -> bg_runs = true };
		sweepone(s, sg);
		atomic {
			if
			:: s == 2 -> bg = false
			:: else
			fi;
			bg_runs = false;
			s = 0
		}
	od
}

#ifdef FREER
/* mcentral_freed() of the object in span 0: from the full set to the partial one */
proctype freer()
{
	if
	:: atomic { place[0] == FULL && !lock && kind[0] == FULL -> lock = true };
		slot[0] = true;
		delist(0);
		enlist(0, PARTIAL);
		lock = false
	:: over
	fi
}
#endif

#ifdef MCACHE
/* mcache_next_free(), mcentral_cache_span() */
proctype mcache()
{
	byte s, sg, k_, n;
	bool m_;

	do
	:: n < 2 ->
		atomic { world -> allocating = true };
		n++;
		/* It gives up what it has; s is for what it gets. */
		if
		:: cached != 2 -> s = cached; cached = 2; mcentral_uncache_span(s)
		:: else
		fi;
		/* deduct_sweep_credit() */
		if
		:: sweepone(s, sg)
		:: skip
		fi;
		/* mcentral_cache_span_fast() */
		s = 2;
		get_lock();
		if
		:: IN(0, PARTIAL, SET(h)) -> s = 0
		:: IN(1, PARTIAL, SET(h)) -> s = 1
		:: else
		fi;
		if
		:: s != 2 ->
			assert(gen[s] == h);	/* I5 */
			delist(s);
			place[s] = CACHED;
			gen[s] = gen[s] + 3
		:: else
		fi;
		lock = false;
		if
		:: s == 2 && !sweepdone ->
			sweepers++;
			sg = h;
			take_unswept(s, sg, PARTIAL, true);
			if
			:: s != 2 ->
				mspan_sweep(s);
				if
				:: slot[s] ->
					/* mcentral_hand_out() */
					get_lock();
					assert(gen[s] == h);	/* I5 */
					place[s] = CACHED;
					gen[s] = gen[s] + 3;
					lock = false
				:: else -> mcentral_put(s); s = 2
				fi
			:: else
			fi;
			sg = 0;
			sweepers--
		:: else
		fi;
		cached = s;
		s = 0;
		allocating = false
	:: over -> break
	:: n == 2 -> break
	od
}
#endif

#ifdef THIN
/* mcentral_close_some(), mcentral_thin() */
proctype background_scavenger()
{
	byte s, sg, k_;
	bool m_;

	do
	:: !over ->
#ifndef THIN_BESIDE
		atomic { !thinning -> thinning = true };
#endif
		s = 2;
		get_lock();
		if
		:: IN(1, PARTIAL, SET(h)) -> s = 1; delist(1); place[1] = HELD
		:: else
		fi;
		lock = false;
		if
		:: s != 2 ->
#ifdef THIN_BESIDE	/* mutant: a look at the generation will do */
			sg = h;
			if
			:: gen[s] == sg -> mcentral_put(s)
			:: else -> gen[s] = sg - 1; mspan_sweep(s); mcentral_put(s)
			fi;
			sg = 0;
#else
			assert(gen[s] == h);
			mcentral_put(s);
#endif
			break
		:: else
		fi;
#ifndef THIN_BESIDE
		thinning = false
#endif
	:: over -> break
	od;
#ifndef THIN_BESIDE
	thinning = false
#endif
}
#endif

init
{
	atomic {
		place[0] = FULL;
		kind[0] = FULL;
		place[1] = PARTIAL;
		kind[1] = PARTIAL;
		set[0] = 1;
		set[1] = 1;
		slot[1] = true;
		run collector();
		run background_sweeper();
#ifdef FREER
		run freer();
#endif
#ifdef MCACHE
		run mcache();
#endif
#ifdef THIN
		run background_scavenger()
#endif
	}
}
