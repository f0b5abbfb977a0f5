/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tiny block: an mcache packs objects into it, lets go of it or takes it anew, others
 * free the objects, one frees one of them twice, one asks what an object's length is.
 * The slot of the block is freed once, by whoever takes away the last live object or the
 * mcache's mark (I2, I3); nothing is handed out while it lives (I7).
 *
 * Two objects: A at byte 0, B at 8. What is left of the block's word are a live bit for
 * each of them, a bit that B began, and the mark that an mcache holds the block.
 *
 * With LENGTH one who has A asks how long it is, while B is packed behind it.
 *
 * run	TSO
 * run	WEAK
 * run	TSO LENGTH
 * run	WEAK LENGTH
 * run	WEAK LENGTH FIRST_RMB
 * fail	TSO SPLIT_ADD
 * fail	TSO SPLIT_RELEASE
 * fail	TSO SPLIT_FREE
 * fail	TSO NO_HELD
 * fail	TSO NO_LIVE_LOOK
 * fail	WEAK LENGTH NO_RMB
 * fail	TSO LENGTH USED_FIRST
 * fail	TSO LENGTH NO_WORD_RECHECK
 */
#define CPUS	4
#define WORD	0	/* tiny_blocks.word[slot] */
#define USED	1	/* tiny_blocks.used[slot] */
#define SLOT	2	/* the slot of the block is free: free or not kept */
#define HAVE_A	3	/* the caller of the mcache handed the object on */
#define HAVE_B	4
#define VARS	5

#include "weak.pml"

#define HELD	1
#define BEGAN	2
#define LIVE_A	4
#define LIVE_B	8
#define LIVE	(LIVE_A | LIVE_B)

byte alive;		/* objects that somebody has */
byte freed;		/* the slot was freed so often */
byte objects;		/* made */
byte frees;		/* that were told of success */
bool packed;		/* no more objects will come */

/* mspan_free_owned(), mspan_free_remote(): by the one who alone may */
inline free_slot()
{
	atomic {
		assert(!mem[SLOT]);
		assert(!alive);
		mem[SLOT] = 1;
		freed++
	}
}

/* tiny_take() */
inline tiny_take()
{
	ST(USED, 0);
	ST(WORD, HELD)
}

/* tiny_add(): a compare-and-swap, and then the length */
inline tiny_add(bits, end)
{
	atomic { assert(!(alive & (bits) & LIVE)); alive = alive | ((bits) & LIVE); objects++ }
#ifdef USED_FIRST	/* mutant: the length is written first */
	ST(USED, end);
#endif
#ifdef SPLIT_ADD	/* mutant: look, then write */
	LD(v_, WORD);
	ST(WORD, v_ | (bits));
	v_ = 0;
#else
	atomic { DRAINED -> mem[WORD] = mem[WORD] | (bits) };
#endif
#ifndef USED_FIRST
	ST(USED, end)
#endif
}

/* tiny_release() */
inline tiny_release(last)
{
#ifdef SPLIT_RELEASE
	LD(v_, WORD);
	last = !(v_ & LIVE);
	ST(WORD, v_ & ~HELD);
	v_ = 0
#else
	atomic { DRAINED -> last = !(mem[WORD] & LIVE); mem[WORD] = mem[WORD] & ~HELD }
#endif
}

/* tiny_free(): @ok is what it says, @last is TINY_SLOT_FREE */
inline tiny_free(bits, ok, last)
{
#ifdef SPLIT_FREE
	LD(v_, WORD);
	ok = (v_ & (bits)) != 0;
	if
	:: ok -> DRAINED; ST(WORD, v_ & ~(bits)); DRAINED; v_ = v_ & ~(bits)
	:: else
	fi;
	last = ok && !(v_ & LIVE) && !(v_ & HELD);
	v_ = 0
#else
	atomic {
		DRAINED;
		ok = (mem[WORD] & (bits)) != 0;
		if
		:: ok -> mem[WORD] = mem[WORD] & ~(bits)
		:: else
		fi;
#ifdef NO_HELD	/* mutant: nobody asks if an mcache holds the block */
		last = ok && !(mem[WORD] & LIVE)
#else
		last = ok && !(mem[WORD] & LIVE) && !(mem[WORD] & HELD)
#endif
	}
#endif
}

/* malloc_tiny(), mcache_release_tiny() */
proctype mcache(byte me)
{
	LOCALS;
	byte v_, n;
	bool last;

	tiny_take();
	tiny_add(LIVE_A, 8);
	/* The caller hands the object on, which orders. */
	smp_store_release(HAVE_A, 1);
	if
	:: tiny_add(LIVE_B | BEGAN, 16); n++; smp_store_release(HAVE_B, n)
	:: skip
	fi;
	/* The next one does not fit: tiny_any_live() */
#ifdef NO_LIVE_LOOK	/* mutant: the block is full, so it is taken anew */
	v_ = 0;
#else
	LD(v_, WORD);
#endif
	if
	:: !(v_ & LIVE) ->
		assert(!alive);
		tiny_take();
		tiny_add(LIVE_B | BEGAN, 16);
		n++;
		smp_store_release(HAVE_B, n)
	:: skip
	fi;
	v_ = 0;
	tiny_release(last);
	if
	:: last -> free_slot()
	:: else
	fi;
	DRAINED;
	packed = true;
	running--
}

/*
 * tiny_object_at() for goalloc_usable_size() or goalloc_realloc() of A: if nothing is
 * packed behind it, it ends where the block's use ends, and that is its own end.
 */
inline tiny_object_at()
{
	again = true;
	do
	:: again ->
#ifdef FIRST_RMB	/* without the first smp_rmb(), which is not needed */
		if
		:: LD(word, WORD); LD(used, USED)
		:: LD(used, USED); LD(word, WORD)
		fi;
		LD(v_, WORD);
#else
		LD(word, WORD);
#ifdef NO_RMB		/* mutant: the word may be loaded anew before the length */
		if
		:: LD(used, USED); LD(v_, WORD)
		:: LD(v_, WORD); LD(used, USED)
		fi;
#else
		LD(used, USED);
		LD(v_, WORD);
#endif
#endif
#ifdef NO_WORD_RECHECK	/* mutant: the word is as it was */
		again = false
#else
		again = v_ != word
#endif
	:: else -> break
	od;
	assert(!(word & HELD) || (word & BEGAN) || used == 8);
	word = 0; used = 0; v_ = 0
}

/* free_tiny() of A, which may have been freed before */
proctype free_a(byte me)
{
	LOCALS;
	byte v_;
	bool ok, last;
#ifdef LENGTH
	bool again;
	byte word, used;
#endif

	mem[HAVE_A];
#ifdef LENGTH
	tiny_object_at();
#endif
	d_step { alive = alive & ~LIVE_A };
	tiny_free(LIVE_A, ok, last);
	d_step { frees = frees + ok; ok = false };
	if
	:: last -> free_slot()
	:: else
	fi;
	running--
}

/* free_tiny() of B, as often as it is made */
proctype free_b(byte me)
{
	LOCALS;
	byte v_, n;
	bool ok, last;

	do
	:: mem[HAVE_B] != n ->
		n++;
		d_step { alive = alive & ~LIVE_B };
		tiny_free(LIVE_B, ok, last);
		assert(ok);
		d_step { frees++; ok = false };
		if
		:: last -> free_slot(); last = false
		:: else
		fi
	:: packed && mem[HAVE_B] == n -> break
	od;
	running--
}

init
{
	atomic {
		running = 3;
		run mcache(0);
		run free_a(1);
#ifndef LENGTH
		running++;
		run free_a(2);
#endif
		run free_b(3)
	};
	running == 0 && ALL_DRAINED;
	assert(frees == objects);
	assert(freed == 1 && mem[SLOT])
}
