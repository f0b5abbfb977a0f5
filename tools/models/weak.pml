/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory as CPUs see it. spin's own is sequentially consistent, in which no barrier
 * is ever missed; so each CPU has a store buffer here, and memory is what is behind
 * all of them. At any moment memory may take a store out of a buffer:
 *
 *	TSO	the oldest one, as on x86
 *	WEAK	any one before which there is none of the same variable, but one that
 *		releases only as the oldest, as on arm64
 *
 * A load is answered by the youngest store of this CPU's buffer, or by memory. A full
 * barrier waits until the buffer is empty, and so does a read-modify-write operation
 * that is fully ordered, as the kernel's cmpxchg() and xchg() are when they succeed.
 * Taking a lock is fully ordered on x86 and an acquire on arm64, which stores before it
 * may come behind. Releasing it is a store that releases.
 *
 * Loads are executed in program order. Where a CPU may turn two of them round, and
 * it matters, the model does both orders itself, and says so.
 *
 * Who includes this defines CPUS (at most 4), VARS, and of TSO and WEAK one. Each
 * process has LOCALS and "me", the number of its CPU: an interrupt is a process with
 * the number of the one it interrupts.
 */
#ifndef SB
#define SB	3
#endif

typedef store_buffer {
	byte n;
	byte var[SB];
	byte val[SB]
};

store_buffer sb[CPUS];
byte mem[VARS];
byte running;		/* processes that have not come to their end */

#define LOCALS		byte i_

#define DRAINED		(sb[me].n == 0)
#define ALL_DRAINED	(sb[0].n == 0 && sb[1].n == 0 && sb[CPUS - 2].n == 0 && \
			 sb[CPUS - 1].n == 0)

/* In a buffer's var: this store releases. */
#define RELEASE		64
#define VAR(c, k)	(sb[c].var[k] & 63)

inline put(x, v)
{
	atomic {
		sb[me].n < SB;
		sb[me].var[sb[me].n] = x;
		sb[me].val[sb[me].n] = v;
		sb[me].n++
	}
}

/* WRITE_ONCE(), and a plain store */
inline ST(x, v)
{
	put(x, v)
}

/* READ_ONCE(), and a plain load */
inline LD(r, x)
{
	d_step {
		r = mem[x];
		i_ = 0;
		do
		:: i_ < sb[me].n ->
			if
			:: VAR(me, i_) == (x) -> r = sb[me].val[i_]
			:: else
			fi;
			i_++
		:: else -> break
		od;
		i_ = 0
	}
}

inline smp_mb()
{
	DRAINED
}

inline smp_store_release(x, v)
{
	put((x) + RELEASE, v)
}

inline spin_lock(x)
{
#ifdef TSO
	atomic { DRAINED && mem[x] == 0 -> mem[x] = 1 }
#else
	atomic { mem[x] == 0 -> mem[x] = 1 }
#endif
}

inline spin_unlock(x)
{
	smp_store_release(x, 0)
}

/* Memory takes store @k of CPU @c. */
inline take(c, k)
{
	d_step {
		mem[VAR(c, k)] = sb[c].val[k];
		i_ = k;
		sb[c].n--;
		do
		:: i_ < sb[c].n ->
			sb[c].var[i_] = sb[c].var[i_ + 1];
			sb[c].val[i_] = sb[c].val[i_ + 1];
			i_++
		:: else -> break
		od;
		sb[c].var[sb[c].n] = 0;
		sb[c].val[sb[c].n] = 0;
		i_ = 0
	}
}

#define OVERTAKES(c, k, j)	(sb[c].var[k] < RELEASE && VAR(c, k) != VAR(c, j))

#ifdef WEAK
#define TAKE(c)									\
	:: atomic { sb[c].n > 0 -> take(c, 0) }					\
	:: atomic { sb[c].n > 1 && OVERTAKES(c, 1, 0) -> take(c, 1) }		\
	:: atomic { sb[c].n > 2 && OVERTAKES(c, 2, 0) && OVERTAKES(c, 2, 1) -> take(c, 2) }
#else
#define TAKE(c)	:: atomic { sb[c].n > 0 -> take(c, 0) }
#endif

active proctype memory()
{
	LOCALS;

end:
	do
	TAKE(0)
	TAKE(1)
#if CPUS > 2
	TAKE(2)
#endif
#if CPUS > 3
	TAKE(3)
#endif
	od
}
