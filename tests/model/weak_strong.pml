/* SPDX-License-Identifier: MIT */
/*
 * weak_strong - references that are counted in the word of the generation
 *
 * Mirrors the word of <cubby/inline/weak.h>; take_strong(),
 * cubby_weak_upgrade() and cubby_ref_get() of lib/weak.c; end_strong(),
 * after_end_strong(), finish_strong(), cubby__death_settle() and
 * cubby_ref_put() of lib/death.c:
 *
 *	alive    { g, taken?, 0, holds }
 *	dying    { g + 1, 0, DYING, holds }
 *	free     { g + 1, 0, 0, 0 }
 *
 * A put lowers the low half by 1.  From 0 that gives { g, taken?, DYING, all },
 * which nobody changes until who put exchanges it for the dying word.
 *
 * Bounds: one cell, N_LIVES lives, generations up to GENERATION_LAST, a count of
 * HOLDS at most, which 3 reaches and 7 does not, but for that put; an owner
 * who allocates, may make a handle, and ends the life by pointer, by handle, or
 * by a put as of any other reference; two holders, for ever, who upgrade, have
 * two references at most, make handles of what they hold, and free by a handle
 * that the owner has handed out for that, then or much later.  A dtor asks for
 * the handle of what it destructs.
 *
 * With RCU there is also a borrower, who reads the high half of the word in a
 * section, or finds the object by its published pointer, and may ask for its
 * handle (cubby_weak_known()); the last put is then followed by a grace period,
 * as short as it may be, unless the object has no handle and was not published.
 * Without, the cell is reused at once.
 *
 * Who upgrades has every handle, forged ones too, as in weak_rcu.pml.  A
 * compare-exchange that is repeated until it succeeds is one step.  Memory is
 * sequentially consistent.
 *
 * Properties:
 *   upgrade gives the life that the handle was made for, which stays whole
 *     until the last reference to it is put (W4); what is borrowed, until its
 *     section ends (W2)
 *   who has put the last reference finds the word as its put left it
 *   one call ends a life (W3), and one runs dtor, when nobody has a reference
 *   a cell that is handed out has the word of an object with one reference
 *   two lives never have the same handle, and a retired cell is never handed
 *     out (W1, W5)
 *
 * Planted: SPLIT_WORD, ADD_UNDO, FINISH_BY_LOOK, DROP_BY_STORE,
 * EARLY_FREE_WORD, LATE_FREE_WORD, WEAK_OF_DYING, WEAK_OF_BY_OR, FULL_UPGRADED,
 * NO_ROOM (with HOLDS=3), WIDE_PUT.
 */
#ifndef N_LIVES
#define N_LIVES 3
#endif
#ifndef GENERATION_LAST
#define GENERATION_LAST 2
#endif

#ifndef HOLDS
#define HOLDS 7
#endif

/* { generation, taken, dying, holds }, as in the library, but narrower. */
#define DYING (HOLDS + 1)
#define LOW (DYING | HOLDS)
#define TAKEN (LOW + 1)
#define HIGH(w) ((w) / TAKEN)
#define GENERATION(w) ((w) / (2 * TAKEN))
#define WORD(generation) ((generation) * (2 * TAKEN))

/* Whether one more may hold it; one beyond is for who ends the life. */
#ifdef NO_ROOM
#define HAS_ROOM(w) (((w) & HOLDS) < HOLDS)
#else
#define HAS_ROOM(w) (((w) & HOLDS) < HOLDS - 1)
#endif

#ifdef FULL_UPGRADED
#define MATCHES(w) ((w) & TAKEN)
#else
#define MATCHES(w) (((w) & TAKEN) && HAS_ROOM(w))
#endif

/* The generation that follows this life; the bit is clear. */
#define NEXT(w) WORD(GENERATION(w) + ((w) & TAKEN) / TAKEN)

mtype = { FREE, LIVE, DEFERRED, RETIRED };

byte word;
mtype place = FREE;
byte whole; /* the life whose object is there; 0: none, or dtor has begun */
byte offered; /* a handle to free by, or 0 */
bool ended; /* the owner has done what it does */

#ifdef RCU
bool in_section, awaited;
bool published; /* a pointer to it */
#endif

/* For the properties. */
byte life; /* the one that is, or was last */
byte refs; /* to it */
byte made_for[GENERATION_LAST + 1]; /* the life that has the handle */

/* -------------------------------- handles --------------------------------- */

inline take(whose)
{
	word = word | TAKEN;
	assert(made_for[GENERATION(word)] == 0 ||
	       made_for[GENERATION(word)] == whose);
	made_for[GENERATION(word)] = whose
}

inline weak_of(whose)
{
#ifdef WEAK_OF_BY_OR
	if
	:: !(word & DYING) -> d_step { take(whose) }
	:: else
	fi
#else
	d_step {
		if
#ifndef WEAK_OF_DYING
		:: word & DYING
		:: else -> take(whose)
#else
		:: true -> take(whose)
#endif
		fi
	}
#endif
}

inline upgrade(mine)
{
#ifdef ADD_UNDO
	d_step {
		made_for[0] != 0 -> /* there is a handle to do it by */
		seen = word;
		word = word + 1
	}
	if
	:: d_step {
		seen & TAKEN ->
		mine = made_for[GENERATION(seen)];
		assert(whole == mine);
		refs++
	}
	:: else -> put(0)
	fi;
	seen = 0
#elif defined(SPLIT_WORD)
	seen = word;
	if
	:: MATCHES(seen) ->
		d_step {
			word = word + 1;
			mine = made_for[GENERATION(seen)];
			assert(whole == mine);
			refs++
		}
	:: else
	fi;
	seen = 0
#else
	d_step {
		if
		:: MATCHES(word) ->
			mine = made_for[GENERATION(word)];
			word = word + 1;
			assert(mine != 0 && whole == mine);
			refs++
		:: else
		fi
	}
#endif
}

/* --------------------------------- death ---------------------------------- */

/* What follows dtor; the word's generation is that of the next life. */
inline settle()
{
#ifdef LATE_FREE_WORD
	place = (GENERATION(word) == GENERATION_LAST -> RETIRED : FREE);
	word = WORD(GENERATION(word))
#else
#ifndef EARLY_FREE_WORD
	word = WORD(GENERATION(word));
#endif
	place = (GENERATION(word) == GENERATION_LAST -> RETIRED : FREE)
#endif
}

/* It may ask for the handle of what it destructs. */
inline destruct()
{
#ifdef EARLY_FREE_WORD
	word = WORD(GENERATION(word));
#endif
	d_step {
		assert(whole == life && refs == 0);
		whole = 0
	}
	weak_of(life);
	settle()
}

/* Of who has ended it: the word keeps his hold until it is settled. */
#ifdef RCU
#define NOBODY_LOOKS (won && !waits && (seen & (TAKEN | HOLDS)) == 0)
#else
#define NOBODY_LOOKS false
#endif

inline finish()
{
#ifdef RCU
	if
	:: NOBODY_LOOKS -> destruct()
	:: else ->
		d_step {
			assert(place == LIVE);
			place = DEFERRED
		}
	fi
#else
	destruct()
#endif
}

/* Its own reference becomes a hold of who ends it, until the callbacks ran. */
#define DYING_WORD(w) (NEXT(w) | DYING | (((w) & HOLDS) + 1))

#define IS_LAST(w) (((w) & (DYING | HOLDS)) == DYING)

#ifdef WIDE_PUT
#define LESS(w) ((w) - 1)
#else
#define LESS(w) (((w) & ~LOW) | (((w) - 1) & LOW))
#endif

/* One hold less: was it the last one of a dead object? */
#ifdef FINISH_BY_LOOK
#define DROP() word = LESS(word)
#define LOOK() last = IS_LAST(word)
#else
#define DROP()                                                                \
	word = LESS(word);                                                    \
	last = IS_LAST(word)
#define LOOK() skip
#endif

/* The first step was ours, and the word was `seen`. */
inline after_end()
{
	assert(whole == life); /* the callbacks see it */
	if
	:: NOBODY_LOOKS -> last = 1
#ifdef DROP_BY_STORE
	:: !NOBODY_LOOKS ->
		word = DYING_WORD(seen) - 1;
		last = IS_LAST(DYING_WORD(seen) - 1)
#else
	:: (seen & HOLDS) == 0 && !NOBODY_LOOKS ->
		word = DYING_WORD(seen) - 1; /* a store: nobody else can */
		last = 1
	:: else ->
		d_step { DROP() }
		LOOK()
#endif
	fi
}

inline finish_if_last()
{
	if
	:: last -> finish()
	:: else
	fi;
	d_step {
		seen = 0;
		won = 0;
		last = 0;
		waits = 0
	}
}

/* @high: of a handle, or 0: whatever lives there. */
inline end(high)
{
	d_step {
		if
		:: !(word & DYING) && (high == 0 || HIGH(word) == high) ->
			seen = word;
			word = DYING_WORD(word);
			refs--;
			won = 1
		:: else
		fi
	}
	if
	:: won -> after_end()
	:: else
	fi;
	finish_if_last()
}

/* @n: of those in `refs`. */
inline put(n)
{
	d_step {
		refs = refs - n;
		assert(!IS_LAST(word)); /* ref-underflow */
		won = (word & LOW) == 0;
		DROP()
	}
	if
	:: won ->
		seen = word & ~LOW;
		d_step {
			assert(word == (seen | LOW));
			word = DYING_WORD(seen)
		}
		after_end()
	:: else -> LOOK()
	fi;
	finish_if_last()
}

/* ------------------------------- processes -------------------------------- */

inline alloc()
{
	d_step {
		assert(place == FREE && whole == 0 && refs == 0);
		assert((word & (TAKEN | DYING | HOLDS)) == 0);
		assert(GENERATION(word) < GENERATION_LAST);
		place = LIVE;
		life++;
		refs = 1
	}
	whole = life
}

proctype owner()
{
	byte seen, high;
	bool won, last, waits;

	do
	:: place == FREE && life < N_LIVES ->
		alloc();
		if
		:: weak_of(life)
		:: skip
		fi;
		if
		:: end(0)
		:: word & TAKEN ->
			high = HIGH(word);
			offered = high;
			end(high);
			high = 0
		:: put(1)
#ifdef RCU
		:: published = 1;
			published = 0;
			waits = 1; /* cubby_free_rcu() */
			end(0)
#endif
		fi
	:: place == FREE && life == N_LIVES -> break
	:: place == RETIRED -> break
	od;
	ended = 1
}

proctype holder()
{
	byte mine, n, seen, high;
	bool won, last, waits;

	do
	:: n == 0 ->
		if
		:: upgrade(mine)
		:: ended -> break
		fi;
		n = mine != 0
	:: d_step {
		n == 1 && HAS_ROOM(word) ->
		word = word + 1; /* cubby_ref_get() */
		refs++;
		n++
	}
	:: n > 0 ->
		assert(whole == mine);
		n--;
		put(1);
		mine = (n == 0 -> 0 : mine)
	:: n > 0 ->
		weak_of(mine);
		assert(whole == mine)
	:: d_step {
		offered != 0 ->
		high = offered;
		offered = 0
	}
		end(high);
		high = 0
	od
}

#ifdef RCU
proctype borrower()
{
	byte mine;

	do
	:: in_section = 1;
		if
		:: d_step {
			word & TAKEN ->
			mine = made_for[GENERATION(word)];
			assert(whole == mine)
		}
		:: d_step {
			published ->
			mine = life;
			assert(whole == mine)
		}
		:: !(word & TAKEN) && !published
		fi;
		if
		:: mine != 0 ->
			assert(!(word & TAKEN) ||
			       made_for[GENERATION(word)] == mine);
			assert(whole == mine)
		:: else
		fi;
		d_step {
			mine = 0;
			in_section = 0;
			awaited = 0
		}
	:: ended -> break
	od
}

proctype reclaimer()
{
	do
	:: place == DEFERRED ->
		awaited = in_section;
		!awaited;
		destruct()
	:: ended -> break
	od
}
#endif

init
{
	atomic {
		run owner();
		run holder();
		run holder();
#ifdef RCU
		run borrower();
		run reclaimer()
#endif
	}
}
