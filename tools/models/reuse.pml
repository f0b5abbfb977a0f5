/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bad free finds a span in the index over the direct map while that span goes, its
 * record becomes that of another one, and a new span comes at its address (I2, I7). Nobody
 * but bad frees is about; none may succeed, whatever it finds.
 *
 * The memory of a record held anything before: here, a slot that looks live. With
 * CLOSED the span that goes is a closed one, whose page somebody else, another heap, has
 * already, with a span of his own entered for it: that entry must stay.
 *
 * run	TSO
 * run	WEAK
 * run	WEAK CLOSED
 * fail	TSO NO_GRACE
 * fail	WEAK PLAIN_PUBLISH
 * fail	TSO PUBLISH_FIRST
 * fail	WEAK CLOSED PLAIN_CLEAR
 */
#define CPUS	3
#define INDEX		0		/* spanmap_leaf.spans[]: a record + 1, or 0 */
#define SLOT(r)		(1 + (r))	/* the slot at the address looks live */
#define VARS		4

#include "weak.pml"

bool reading[CPUS];	/* preemption is off since ... */
bool later[CPUS];	/* ... the grace period began */
bool theirs;		/* somebody else's span is entered */

/* free_object() of an address of which no object begins, or which was freed */
proctype bad_free(byte me)
{
	LOCALS;
	byte s;
	bool ok;

	/* preempt_disable() is rcu_read_lock() */
	atomic { reading[me] = true; later[me] = false };
	LD(s, INDEX);
	if
	:: s ->
		/* mspan_free_remote() */
		atomic {
			DRAINED;
			ok = mem[SLOT(s - 1)];
			assert(!ok)
		}
	:: else
	fi;
	s = 0;
	reading[me] = false;
	running--
}

/* mheap_return_span(), and whose record it is then */
proctype returner(byte me)
{
	LOCALS;

#ifdef PLAIN_CLEAR	/* mutant: backing_unmap_span() stores without a look */
	ST(INDEX, 0);
#else
	/* spanmap_clear() */
	atomic {
		DRAINED;
		if
		:: mem[INDEX] == 1 -> mem[INDEX] = 0
		:: else
		fi
	};
#endif
	/* fixalloc_mspan_free(): call_rcu(). Who looks now is waited for. */
	atomic { later[0] = true; later[1] = true; later[2] = true };
#ifndef NO_GRACE	/* mutant: the record is free at once */
	DRAINED;
	!(reading[1] && later[1]) && !(reading[2] && later[2]);
#endif
	/* Another span's by now, of another address, where an object lives. */
	ST(SLOT(0), 1);
	running--
}

/* mheap_try_span(): mspan_init(), backing_map_span() */
proctype maker(byte me)
{
	LOCALS;

#ifdef CLOSED
	/* Its page was given back before the closed span goes. */
	skip;
#else
	/* The pages are the page heap's when the other one has been unmapped. */
	mem[INDEX] == 0;
#endif
#ifdef PUBLISH_FIRST	/* mutant: entered, and then made */
	ST(INDEX, 2);
	ST(SLOT(1), 0);
#else
	ST(SLOT(1), 0);
#ifdef PLAIN_PUBLISH	/* mutant: spanmap_set() with a plain store */
	ST(INDEX, 2);
#else
	smp_store_release(INDEX, 2);
#endif
#endif
	theirs = true;
	running--
}

init
{
	atomic {
		mem[INDEX] = 1;
		mem[SLOT(0)] = 0;	/* all of it is free */
		mem[SLOT(1)] = 1;	/* what was in the memory of the record */
		running = 4;
		run returner(0);
		run maker(1);
		run bad_free(1);
		run bad_free(2)
	};
	running == 0 && ALL_DRAINED;
	assert(!theirs || mem[INDEX] == 2)
}
