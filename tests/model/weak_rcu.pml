/* SPDX-License-Identifier: MIT */
/*
 * weak_rcu - handles that are borrowed in read sections
 *
 * Mirrors the theory of lib/weak.h for one cell of a cache with
 * CUBBY_WEAK_RCU: take(), cubby_weak_known() and cubby_weak_get() of
 * lib/weak.c; free_side(), end_side() and cubby_weak_free() of lib/death.c;
 * what lib/collect.c does with a cell after a grace period; and what lib/words.c
 * does with its word when the slab's pages go back.
 *
 * Bounds: N_LIVES lives, generations up to GENERATION_LAST; an owner who
 * allocates, may make a handle, and frees by pointer, by pointer that readers
 * may have found, or by handle; a rival who frees by the same handle, then or
 * much later; two readers, for ever; the reclaimer.  A reader finds the object
 * by a handle or by its published pointer, may ask for its handle then
 * (cubby_weak_known(): he makes none), and may free by that, if the owner does.
 * One step is one access of shared memory.
 *
 * A reader has every handle, forged ones too: get is a load, and if that has
 * the bit, there is one handle that matches.  What get does with all others
 * nobody sees.
 *
 * A grace period notes in one step which sections are open, and waits for
 * these: the shortest that a flavour can give.  Memory is sequentially
 * consistent.
 *
 * Properties:
 *   get finds the life that the handle was made for, initialised, which stays
 *     until the section ends (W2); and so does who finds its pointer
 *   what a reader is told to be the handle of what he looks at, is that
 *   a life whose bit is clear has no handle that matches, and two lives never
 *     have the same one (W1)
 *   one call ends a life (W3)
 *   a retired cell is never handed out (W5)
 *
 * Planted: NO_GRACE, LATE_BUMP, NO_WAIT, WRAP, EARLY_PUBLISH, NO_FLOOR,
 * END_BY_STORE, BORROWER_MAKES.
 */
#ifndef N_LIVES
#define N_LIVES 4
#endif
#ifndef GENERATION_LAST
#define GENERATION_LAST 3
#endif
#define N_READERS 2

#define GENERATION(w) ((w) >> 1)
#define TAKEN(w) ((w) & 1)
#define WORD(generation) ((generation) << 1)

/* The word after the end of the life that `w` is of: the bit is clear. */
#ifdef WRAP
#define NEXT(w) WORD((GENERATION(w) + 1) % GENERATION_LAST)
#else
#define NEXT(w)                                                               \
	(GENERATION(w) < GENERATION_LAST -> WORD(GENERATION(w) + 1) :         \
					    WORD(GENERATION_LAST))
#endif

mtype = { FREE, OWNED, DEFERRED, RETIRED };

byte word;
byte floor;
bool dropped; /* the word's page: it reads 0 */
mtype place = FREE;
byte body;      /* which life's object is there, whole; 0: none */
bool published; /* a pointer to it, without a handle */
byte offered;   /* a handle to free by, or 0 */

bool in_section[N_READERS];
bool awaited[N_READERS]; /* by the grace period */
bool ended; /* the owner has done what it does */

/* For the properties. */
byte life;       /* the one that is, or was last */
byte last_ended; /* of these */
byte made_for[GENERATION_LAST + 1]; /* the life that has the handle */

/* ------------------------------- the word --------------------------------- */

/* By the owner. */
inline weak_of(whose, handle)
{
	d_step {
		word = word | 1;
		handle = word;
		assert(made_for[GENERATION(word)] == 0 ||
		       made_for[GENERATION(word)] == whose);
		made_for[GENERATION(word)] = whose
	}
}

/* By who looks at the object; it may be dead. */
inline known(whose, handle)
{
	d_step {
		handle = (TAKEN(word) -> word : 0);
		assert(handle == 0 || made_for[GENERATION(word)] == whose)
	}
}

/* In the step that ends it. */
inline ends(whose)
{
	assert(whose > last_ended);
	last_ended = whose
}

inline defer()
{
	d_step {
		assert(place == OWNED);
#ifdef NO_WAIT
		body = 0;
		place = (GENERATION(word) == GENERATION_LAST -> RETIRED : FREE)
#else
		place = DEFERRED
#endif
	}
}

/* Who has lost says -ESTALE. */
inline free_by_handle(handle)
{
#ifdef END_BY_STORE
	if
	:: word == handle ->
		d_step {
			ends(made_for[GENERATION(handle)]);
			word = NEXT(handle)
		}
		defer()
	:: else
	fi
#else
	atomic {
		if
		:: word == handle ->
			ends(made_for[GENERATION(handle)]);
			word = NEXT(word)
		:: else -> goto lost
		fi
	}
	defer();
lost:
#endif
	skip
}

/* ------------------------------- processes -------------------------------- */

/* The owner has the only pointer. */
inline free_object()
{
	if
	:: !TAKEN(word) ->
		d_step {
			ends(life);
			body = 0
		}
		place = FREE
	:: else ->
		d_step {
			ends(life);
#ifndef LATE_BUMP
			word = NEXT(word)
#endif
		}
		defer()
	fi
}

/* Readers may have one, which they found before it was taken away. */
inline free_rcu()
{
	published = 1;
	published = 0;
	if
	:: !TAKEN(word) -> ends(life)
	:: else ->
		d_step {
			ends(life);
			word = NEXT(word)
		}
	fi;
	defer()
}

/* Under the slab lock, where all its cells are free. */
inline drop_page()
{
#ifndef NO_FLOOR
	floor = GENERATION(word);
#endif
	d_step {
		word = 0;
		dropped = 1
	}
}

inline alloc()
{
	if
	:: dropped ->
		d_step {
			word = WORD(floor);
			dropped = 0
		}
	:: !dropped
	fi;
	d_step {
		assert(place == FREE);
		assert(GENERATION(word) != GENERATION_LAST && !TAKEN(word));
		place = OWNED;
		life++
	}
}

proctype owner()
{
	byte handle;

	do
	:: place == FREE && life < N_LIVES ->
		if
		:: !dropped -> drop_page()
		:: skip
		fi;
		alloc();
#ifdef EARLY_PUBLISH
		if
		:: weak_of(life, handle)
		:: skip
		fi;
		body = life;
#else
		body = life;
		if
		:: weak_of(life, handle)
		:: skip
		fi;
#endif
		if
		:: free_object()
		:: free_rcu()
		:: handle != 0 ->
			offered = handle;
			free_by_handle(handle)
		fi;
		handle = 0
	:: place == FREE && life == N_LIVES -> break
	:: place == RETIRED -> break
	od;
	ended = 1
}

proctype rival()
{
	byte handle;

	do
	:: atomic {
		offered != 0 ->
		handle = offered;
		offered = 0
	}
		free_by_handle(handle);
		handle = 0
	:: ended -> break
	od
}

proctype reader(byte me)
{
	byte mine; /* the life that he may look at */
	byte handle;

	do
	:: in_section[me] = 1;
		if
		:: d_step {
			TAKEN(word) ->
			mine = made_for[GENERATION(word)];
			assert(mine != 0)
		}
		:: d_step {
			published ->
			mine = life
		}
		:: !TAKEN(word) && !published
		fi;
		if
		:: mine != 0 ->
			assert(body == mine);
#ifdef BORROWER_MAKES
			weak_of(mine, handle);
#else
			known(mine, handle);
#endif
			if
			:: handle != 0 && handle == offered ->
				free_by_handle(handle)
			:: skip
			fi;
			assert(body == mine)
		:: else
		fi;
		d_step {
			mine = 0;
			handle = 0;
			in_section[me] = 0;
			awaited[me] = 0
		}
	:: ended -> break
	od
}

inline grace_period()
{
#ifndef NO_GRACE
	d_step {
		awaited[0] = in_section[0];
		awaited[1] = in_section[1]
	}
	!awaited[0] && !awaited[1]
#else
	skip
#endif
}

proctype reclaimer()
{
	do
	:: place == DEFERRED ->
		grace_period();
#ifdef LATE_BUMP
		word = NEXT(word);
#endif
		body = 0;
		place = (GENERATION(word) == GENERATION_LAST -> RETIRED : FREE)
	:: ended -> break
	od
}

init
{
	atomic {
		run owner();
		run rival();
		run reader(0);
		run reader(1);
		run reclaimer()
	}
}
