/* SPDX-License-Identifier: MIT */
/*
 * weak_wake - nothing waits for a reclaimer that sleeps for ever
 *
 * Mirrors list(), cubby__reclaim_notify(), begin_round(), do_round(),
 * reclaim_all() and sleep_as() of lib/reclaim.c, with cubby__collect_begin() of
 * lib/collect.c, for one cache of a domain.
 *
 * Bounds: N_FREERS threads that free N_FREES times each: the object opens a
 * sheaf, or fills one, and is the first in the next; the reclaimer; with
 * BARRIER a thread that frees and has a barrier, with ANOTHER one that has the
 * barrier of another cache.  One step is one access of shared memory, but what
 * an exchange and a sweep do to a block is one, as each excludes the other, and
 * so is what the slab lock guards.  A partial sheaf may be due at any time, a
 * sleep with a timer may end at any time, and a grace period is as short as can
 * be.  A barrier looks at its cache once: twice is for bits.  Memory is
 * sequentially consistent.
 *
 * Properties:
 *   when nobody can go on, and so the reclaimer sleeps without a timer, nothing
 *     waits
 *   what was freed before a barrier is reclaimed after it
 *
 * Planted: LOOK_FIRST, LATE_QUIET, LATE_UNLIST, EARLY_WAKE, DUE_DROPPED,
 * BARRIER_BY_LIST.
 */
#ifndef N_FREERS
#define N_FREERS 2
#endif
#ifndef N_FREES
#define N_FREES 1
#endif

mtype = { OWNED, WAITING, IN_GRACE, GONE };

/* Of the cache. */
bool partial;   /* a sheaf in a block, with objects */
bool opened;    /* opened_ns */
bool waiting;   /* sheaves, or bits */
bool grace;
bool is_listed;
bool wants_all;
mtype mine = OWNED; /* the object of the barrier */

/* Of the domain. */
bool listed;    /* the cache is in the list */
bool is_pending;
bool is_idle; /* `sleeps`; while it gathers it is as awake */
bool is_asleep; /* the kernel has it */
bool round;     /* the mutex */

/* --------------------------------- notify --------------------------------- */

/* Who finds it listed may find it before it is in the list. */
inline list()
{
	d_step {
		was_listed = is_listed;
		is_listed = 1
	}
	if
	:: !was_listed -> listed = 1
	:: else
	fi;
	was_listed = 0
}

inline wake_thread()
{
	if
	:: is_idle ->
		is_idle = 0;
		is_asleep = 0
	:: !is_idle
	fi
}

inline list_if_not_listed()
{
	if
	:: !is_listed -> list()
	:: is_listed
	fi
}

inline notify()
{
#ifndef EARLY_WAKE
	list_if_not_listed();
#endif
	if
	:: !is_pending -> is_pending = 1
	:: is_pending
	fi;
	wake_thread();
#ifdef EARLY_WAKE
	list_if_not_listed()
#endif
}

/* --------------------------------- rounds --------------------------------- */

inline sweep()
{
	d_step {
		opened = 0;
		waiting = waiting || partial;
		partial = 0
	}
}

inline collect_begin()
{
	all = wants_all;
	wants_all = 0;
	if
	:: all -> sweep()
	:: opened -> sweep() /* it is old enough */
	:: !all
	fi;
	due = opened;
	d_step {
		grace = grace || waiting;
		waiting = 0;
		mine = (mine == WAITING -> IN_GRACE : mine);
		all = 0
	}
}

inline unlist()
{
	if
	:: in_list -> is_listed = 0
	:: !in_list
	fi
}

/* @whole: also if somebody is about to put the cache into the list. */
inline begin_round(whole)
{
#ifndef LATE_QUIET
	is_pending = 0;
#endif
	d_step {
		in_list = listed;
		listed = 0;
		due = 0
	}
#ifdef LATE_QUIET
	is_pending = 0;
#endif
	if
	:: in_list || whole ->
#ifndef LATE_UNLIST
		unlist();
		collect_begin();
#else
		collect_begin();
		unlist();
#endif
		if
		:: due -> list()
		:: !due
		fi
	:: else
	fi;
	in_list = 0
}

inline end_round()
{
	d_step {
		grace = 0;
		mine = (mine == IN_GRACE -> GONE : mine)
	}
}

inline take_round()
{
	atomic { !round -> round = 1 }
}

/* The reclaimer may have been told of it, and has not yet looked. */
inline leave_round()
{
	round = 0;
#ifndef DUE_DROPPED
	if
	:: due ->
		is_pending = 1;
		wake_thread()
	:: !due
	fi;
#endif
	due = 0
}

/* ------------------------------- processes -------------------------------- */

inline open_sheaf()
{
	d_step {
		partial = 1;
		opened = 1
	}
}

inline fill_sheaf()
{
	d_step {
		waiting = 1;
		partial = 1;
		opened = 1
	}
}

proctype freer()
{
	bool was_listed;
	byte n;

	do
	:: n < N_FREES ->
		if
		:: !partial -> open_sheaf()
		:: partial -> fill_sheaf()
		fi;
		notify();
		n++
	:: n == N_FREES -> break
	od
}

/* Its own cache's. */
proctype barrier()
{
	bool was_listed, in_list, due, all;

	d_step {
		waiting = 1;
		mine = WAITING
	}
	notify();
	take_round();
	wants_all = 1;
	list();
#ifdef BARRIER_BY_LIST
	begin_round(0);
#else
	begin_round(1);
#endif
	end_round();
	leave_round();
	assert(mine == GONE)
}

proctype barrier_of_another()
{
	bool was_listed, in_list, due, all;

	take_round();
	begin_round(0);
	end_round();
	leave_round()
}

/* Until it is woken, or, with a timer, any time. */
inline sleep_idle()
{
#ifdef LOOK_FIRST
	all = is_pending;
	is_idle = 1;
#else
	is_idle = 1;
	all = is_pending;
#endif
	if
	:: !all ->
		is_asleep = is_idle; /* the kernel compares */
end_idle:
		if
		:: !is_asleep
		:: due -> is_asleep = 0
		fi
	:: all
	fi;
	all = 0;
	is_idle = 0
}

proctype reclaimer()
{
	bool was_listed, in_list, due, all;

	do
	:: take_round();
		begin_round(0);
		end_round();
		round = 0;
		if
		:: sleep_idle()
		:: due /* by now */
		fi;
		due = 0
	od
}

proctype monitor()
{
	timeout ->
	assert(!partial && !waiting && !grace && !listed && !is_listed)
}

init
{
	byte i;

	atomic {
		do
		:: i < N_FREERS ->
			run freer();
			i++
		:: else -> break
		od;
		i = 0;
#ifdef BARRIER
		run barrier();
#endif
#ifdef ANOTHER
		run barrier_of_another();
#endif
		run reclaimer();
		run monitor()
	}
}
