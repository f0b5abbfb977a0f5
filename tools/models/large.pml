/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Spans of large objects, which CPUs keep for the next object (I2, I3, I7). Two
 * objects are freed, and their spans kept in a place for one. A task and an interrupt
 * come for what is kept, others empty the place. With BAD one object is freed a second
 * time; should its span have a new object by then that one is freed, and the span must
 * go or be kept all the same.
 *
 * run	TSO
 * run	WEAK
 * run	TSO BAD
 * run	WEAK BAD
 * fail	TSO SPLIT_TAKE
 * fail	TSO SPLIT_PUT
 * fail	TSO SPLIT_FLUSH
 * fail	TSO SPLIT_FREE
 * fail	TSO BAD NO_MB_LARGE
 * fail	TSO BAD NO_LOOK_LARGE
 * fail	TSO BAD NO_CAS_MB
 */
#define CPUS	3
#define LOCK		0		/* mcentral.lock */
#define KEEP		1		/* a place of mcache_pcpu.large: a span + 1, or 0 */
#define PLACE(s)	(2 + 2 * (s))	/* mspan.place */
#define SLOT(s)		(3 + 2 * (s))	/* its one slot: live or not */
#define VARS		6

#include "weak.pml"

#define HELD	0
#define FULL	3

bool listed[2];		/* in the full set */
byte returned[2];	/* mheap_return_span() */
bool had[2];		/* somebody has the object */

#define LARGE_LOCALS	LOCALS; byte v_, p_; bool b_

inline mheap_free_span(s)
{
	atomic {
		returned[s]++;
		assert(returned[s] == 1 && !listed[s]);
		assert(mem[SLOT(s)] == 0 && !had[s])
	}
}

/* mcentral_take_freed(): the lock is held */
inline mcentral_take_freed(s, gone)
{
	LD(p_, PLACE(s));
	LD(v_, SLOT(s));
	gone = p_ == FULL && !v_;
	if
	:: gone ->
		atomic { assert(listed[s]); listed[s] = false };
		ST(PLACE(s), HELD)
	:: else
	fi;
	p_ = 0; v_ = 0
}

/* large_cache_put() */
inline large_cache_put(s)
{
#ifdef SPLIT_PUT	/* mutant: load, then store */
	LD(v_, KEEP);
	ST(KEEP, s + 1);
#else
	atomic { DRAINED -> v_ = mem[KEEP]; mem[KEEP] = s + 1 };
#endif
	if
	:: v_ -> mheap_free_span(v_ - 1)
	:: else
	fi;
	v_ = 0
}

/* large_cache_flush_cpu() */
proctype flusher(byte me)
{
	LARGE_LOCALS;

	LD(v_, KEEP);
	if
	:: v_ ->
#ifdef SPLIT_FLUSH	/* mutant: what was there is still there */
		ST(KEEP, 0);
#else
		atomic { DRAINED -> v_ = mem[KEEP]; mem[KEEP] = 0 };
#endif
		if
		:: v_ -> mheap_free_span(v_ - 1)
		:: else
		fi
	:: else
	fi;
	running--
}

/* malloc_large(): large_cache_take(), mcentral_put_large() */
proctype allocator(byte me)
{
	LARGE_LOCALS;
	bool gone;
	byte s;

	LD(s, KEEP);
	if
	:: s ->
#ifdef SPLIT_TAKE	/* mutant: what was there is still there */
		ST(KEEP, 0);
#else
		atomic {
			DRAINED;
			if
			:: mem[KEEP] == s -> mem[KEEP] = 0
			:: else -> s = 0
			fi
		}
#endif
	:: else
	fi;
	if
	:: s ->
		s--;
		atomic { assert(!had[s] && !returned[s] && !listed[s]); had[s] = true };
		ST(SLOT(s), 1);
		spin_lock(LOCK);
		ST(PLACE(s), FULL);
		atomic { assert(!listed[s]); listed[s] = true };
#ifndef NO_MB_LARGE	/* mutant: no barrier between place and bits */
		smp_mb();
#endif
#ifndef NO_LOOK_LARGE	/* mutant: nobody can have freed it */
		mcentral_take_freed(s, gone);
#endif
		spin_unlock(LOCK);
		if
		:: gone -> mheap_free_span(s)
		:: else
		fi;
		s = 0
	:: else
	fi;
	running--
}

/* free_large(): mspan_free_remote(), mcentral_freed_large(), large_cache_put() */
proctype freer(byte me; byte s; bool second)
{
	LARGE_LOCALS;
	bool ok, gone;

#ifdef NO_CAS_MB	/* mutant: the place is loaded before the swap */
	LD(p_, PLACE(s));
#endif
#ifdef SPLIT_FREE	/* mutant: look, then write */
	LD(v_, SLOT(s));
	ok = v_;
	v_ = 0;
	if
	:: ok -> DRAINED; ST(SLOT(s), 0); DRAINED; had[s] = false
	:: else
	fi;
#else
	atomic {
		DRAINED;
		ok = mem[SLOT(s)];
		if
		:: ok -> mem[SLOT(s)] = 0; had[s] = false
		:: else
		fi
	};
#endif
	if
	:: ok ->
#ifndef NO_CAS_MB
		LD(p_, PLACE(s));
#endif
		if
		:: p_ == FULL ->
			spin_lock(LOCK);
			mcentral_take_freed(s, gone);
			spin_unlock(LOCK)
		:: else
		fi;
		p_ = 0;
		if
		:: gone -> large_cache_put(s)
		:: else
		fi
	:: else -> assert(second)
	fi;
	running--
}

#define QUIET(s)	(returned[s] + (mem[KEEP] == s + 1) + listed[s] == 1 && \
			 (!listed[s] || mem[SLOT(s)] == 1) && listed[s] == (mem[PLACE(s)] == FULL))

init
{
	atomic {
		mem[PLACE(0)] = FULL;
		mem[PLACE(1)] = FULL;
		mem[SLOT(0)] = 1;
		mem[SLOT(1)] = 1;
		listed[0] = true;
		listed[1] = true;
		had[0] = true;
		had[1] = true;
		running = 4;
		run freer(0, 0, true);
		run allocator(0);
		run flusher(1);
#ifdef BAD
		run freer(2, 0, true)
#elif defined(SPLIT_FREE)
		running++;
		run freer(1, 1, false);
		run freer(2, 0, true)
#else
		running++;
		run freer(1, 1, false);
		run allocator(0)
#endif
	};
	running == 0 && ALL_DRAINED;
	/* Nothing is lost: each is gone, or kept, or has a live object. */
	assert(QUIET(0) && QUIET(1))
}
