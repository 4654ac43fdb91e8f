/* SPDX-License-Identifier: MIT */
/*
 * weak_watch - watches that are registered while their object dies
 *
 * Mirrors register_watch(), cubby_weak_unwatch() and cubby__watch_expire() of
 * lib/watch.c, with the end of a life by handle of lib/death.c.
 *
 * Bounds: one cell, N_LIVES lives of which each has a handle; the next begins
 * when the callbacks of the last are over (its grace period may be as short).
 * N_WATCHERS threads register a watch by any handle there is, and may cancel it
 * when they have its name.  Two threads end lives by handle.  When the memory
 * of the first watch is free, somebody may link it in another cache, under
 * another lock.  One step is one access of shared memory, but what only the
 * holder of the slab lock looks at is one.  Memory is sequentially consistent:
 * the change of the word and that of n_watches are full barriers.
 *
 * Properties (W6), of each watch:
 *   it is called once at most, and when the object of its own handle dies
 *   answered 0, it is called or cancelled in the end, and not both
 *   answered -ESTALE, it is never called
 *   it is taken out of the list that it is in
 * and in the end nothing is linked or counted.
 *
 * Planted: CHECK_BEFORE, LATE_RAISE, EARLY_LOOK, UNLOCKED_CHECK, LIVE_FIRST.
 */
#ifndef N_WATCHERS
#define N_WATCHERS 2
#endif
#ifndef N_LIVES
#define N_LIVES 2
#endif

/* A state word. */
#define TAKEN 1
#define LIFE(w) ((w) >> 1)
#define HANDLE(life) ((life) << 1 | TAKEN)
#define NEXT(w) ((LIFE(w) + 1) << 1)

mtype = { ASKED, REGISTERED, STALE, CANCELLED };

byte word = HANDLE(0);
byte n_watches;
bool locked;
bool in_list[N_WATCHERS]; /* of the cell */

/* The memory of a watch. */
bool is_ours[N_WATCHERS]; /* it names this cache */
bool linked[N_WATCHERS];
bool dead[N_WATCHERS]; /* for its name: it was freed */

/* For the properties. */
byte watched[N_WATCHERS]; /* a handle */
mtype answer[N_WATCHERS] = ASKED;
byte n_calls[N_WATCHERS];
byte n_left;

inline lock_acquire()
{
	atomic { !locked -> locked = 1 }
}

inline lock_release()
{
	locked = 0
}

/* ------------------------------- watchers --------------------------------- */

inline count()
{
	n_watches++
}

/* What the holder of the lock sees is one step. */
inline link()
{
	d_step {
		linked[me] = 1;
		in_list[me] = 1
	}
}

inline unlink()
{
	d_step {
		assert(in_list[me]);
		linked[me] = 0;
		in_list[me] = 0
	}
	n_watches--
}

inline look()
{
	alive = word == watched[me]
}

#if defined(CHECK_BEFORE)
inline register_watch()
{
	lock_acquire();
	look();
	if
	:: alive ->
		link();
		count()
	:: !alive
	fi;
	lock_release()
}
#elif defined(LATE_RAISE)
inline register_watch()
{
	lock_acquire();
	link();
	look();
	count();
	if
	:: alive
	:: !alive -> unlink()
	fi;
	lock_release()
}
#elif defined(UNLOCKED_CHECK)
inline register_watch()
{
	lock_acquire();
	link();
	count();
	lock_release();
	look();
	lock_acquire();
	if
	:: !alive && linked[me] -> unlink()
	:: else -> alive = 1 /* it was called, or will be */
	fi;
	lock_release()
}
#else
inline register_watch()
{
	lock_acquire();
	link();
	count();
	look();
	if
	:: alive
	:: !alive -> unlink()
	fi;
	lock_release()
}
#endif

inline unwatch()
{
	lock_acquire();
#ifdef LIVE_FIRST
	alive = !dead[me];
	alive = alive && is_ours[me];
	alive = alive && linked[me];
#else
	alive = is_ours[me];
	alive = alive && linked[me];
	alive = alive && !dead[me];
#endif
	if
	:: alive ->
		unlink();
		answer[me] = CANCELLED
	:: !alive /* it was called, or will be */
	fi;
	lock_release();
	dead[me] = dead[me] || alive
}

proctype watcher(byte me)
{
	bool alive;

	if
	:: watched[me] = HANDLE(0)
	:: word >= HANDLE(1) && N_LIVES > 1 -> watched[me] = HANDLE(1)
	fi;
	is_ours[me] = 1;
	register_watch();
	answer[me] = (alive -> REGISTERED : STALE);
	if
	:: alive -> unwatch()
	:: skip
	fi;
	n_left--
}

/* -------------------------------- death ----------------------------------- */

/* Under the lock: the list is ours, and nobody can cancel what was in it. */
inline unlink_all()
{
	d_step {
		i = 0;
		do
		:: i < N_WATCHERS ->
			mine[i] = in_list[i];
			in_list[i] = 0;
			linked[i] = linked[i] && !mine[i];
			n_watches = n_watches - mine[i];
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline call_all()
{
	do
	:: i < N_WATCHERS ->
		d_step {
			assert(!mine[i] || watched[i] == handle);
			n_calls[i] = n_calls[i] + mine[i];
			dead[i] = dead[i] || mine[i];
			mine[i] = 0;
			i++
		}
	:: else -> break
	od;
	i = 0
}

inline expire()
{
#ifndef EARLY_LOOK
	looks = n_watches != 0;
#endif
	if
	:: looks ->
		lock_acquire();
		unlink_all();
		lock_release();
		call_all()
	:: !looks
	fi
}

proctype killer()
{
	byte handle, i;
	bool looks, won;
	bool mine[N_WATCHERS];

	do
	:: d_step {
		word & TAKEN ->
		handle = word
	}
#ifdef EARLY_LOOK
		looks = n_watches != 0;
#endif
		d_step {
			won = word == handle;
			word = (won -> NEXT(word) : word)
		}
		if
		:: won ->
			expire();
			if
			:: LIFE(word) < N_LIVES -> word = word | TAKEN
			:: else
			fi
		:: !won
		fi;
		d_step {
			handle = 0;
			looks = 0;
			won = 0
		}
	:: LIFE(word) == N_LIVES -> break
	od;
	n_left--
}

/* Who has got the memory of the first. */
proctype stranger()
{
	if
	:: dead[0] ->
		is_ours[0] = 0;
		linked[0] = 1
	:: n_left == 0
	fi
}

inline check_all()
{
	do
	:: i < N_WATCHERS ->
		assert(n_calls[i] == (answer[i] == REGISTERED -> 1 : 0));
		assert(!in_list[i]);
		i++
	:: else -> break
	od;
	assert(n_watches == 0)
}

init
{
	byte i;

	n_left = N_WATCHERS + 2;
	atomic {
		do
		:: i < N_WATCHERS ->
			run watcher(i);
			i++
		:: else -> break
		od;
		i = 0;
		run killer();
		run killer();
		run stranger()
	}
	d_step {
		n_left == 0 ->
		check_all()
	}
}
