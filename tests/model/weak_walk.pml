/* SPDX-License-Identifier: MIT */
/*
 * weak_walk - frees while a walk of the same cache is opened
 *
 * Mirrors the theory of lib/death.h for one cell of a cache with a flavour of
 * RCU: end_seen_by_walks() and give() of lib/death.c; claim() and
 * cubby__direct_give() of lib/direct.c; cubby__defer() of lib/defer.c;
 * reclaim_sheaves() and reclaim_bits() of lib/collect.c; push_any() of
 * lib/front.c; and cubby_walk_create() with the gates of lib/quiesce.c (F6).
 *
 * Bounds: N_THREADS threads that allocate and free, with or without having made
 * a handle; the reclaimer; two walkers, of which each opens a read section,
 * creates a walk, looks at what its snapshot names, and ends both, in any
 * order.  All go on for ever.  With DTOR the cache has a dtor.
 *
 * A push and a pop are restartable sections here: they begin by reading a gate,
 * and do not commit after a fence.  The exchange that ends a free with dtor is
 * counted in and off, and a quiesce waits for the count; it may find no room in
 * magazines.  (percpu.pml has all of that in full.)  A block and the depot are
 * one place, MAGAZINE; sheaves, the bits of cells without one, and the sheaves
 * of the reclaimer are one, SHEAF, which may be reclaimed as either.  A grace
 * period notes the open sections in one step.  Memory is sequentially
 * consistent.
 *
 * Properties:
 *   what a walker's snapshot names is whole, and is neither destructed nor
 *     given out anew until its walk or its section ends
 *   alloc finds a cell that is not dying
 *
 * Planted: GATE_OUTSIDE, SHEAVES_NAMED, LATE_SECTION; with DTOR, LATE_BIT,
 * EARLY_CLEAR, FULL_CLEARED, LATE_COUNT.
 */
#ifndef N_THREADS
#define N_THREADS 2
#endif
#define N_WALKERS 2

mtype = { IN_SLAB, MAGAZINE, HANDS, SHEAF };

mtype place = IN_SLAB;
bool whole;   /* the object: constructed, and not destructed */
bool dying;   /* the cell's bit */
byte n_walks; /* open now */

bool locked;
byte n_closed;
bool gate = 1;      /* 0: closed */
bool free_gate = 1; /* by which frees find the block */
byte in_hand;       /* exchanges */
bool restartable[2]; /* who is in a section that was not aborted */

bool reads[N_WALKERS]; /* in a read section */
bool awaited[N_WALKERS];
bool named[N_WALKERS]; /* the walker may look at it */

#define IS_NAMED (named[0] || named[1])

inline lock_acquire()
{
	atomic { !locked -> locked = 1 }
}

inline lock_release()
{
	locked = 0
}

/* ------------------------------- the front -------------------------------- */

/* Do `what` in a section, if the gate is open: `done`, or it was closed. */
#define SECTION(the_gate, what)                                               \
	do                                                                    \
	:: d_step {                                                           \
		restartable[me] = 1;                                          \
		is_open = the_gate                                            \
	}                                                                     \
		if                                                            \
		:: !is_open ->                                                \
			restartable[me] = 0;                                  \
			break                                                 \
		:: d_step {                                                   \
			is_open && restartable[me] ->                         \
			what;                                                 \
			restartable[me] = 0;                                  \
			done = 1                                              \
		}                                                             \
			break                                                 \
		:: d_step {                                                   \
			is_open && !restartable[me] ->                        \
			is_open = 0                                           \
		}                                                             \
		fi                                                            \
	od;                                                                   \
	is_open = 0

#ifdef GATE_OUTSIDE
#define PUSH()                                                                \
	if                                                                    \
	:: free_gate ->                                                       \
		place = MAGAZINE;                                             \
		done = 1                                                      \
	:: else                                                               \
	fi
#else
#define PUSH() SECTION(free_gate, place = MAGAZINE)
#endif

inline destruct()
{
	d_step {
		assert(whole && !IS_NAMED);
		whole = 0
	}
}

inline defer()
{
	SECTION(gate, place = SHEAF);
	if
	:: done
	:: !done ->
		lock_acquire();
		place = SHEAF;
		lock_release()
	fi;
	done = 0
}

/* A cell whose object is destructed. */
inline give()
{
#ifdef EARLY_CLEAR
	dying = 0;
#endif
	SECTION(free_gate, in_hand++);
	if
	:: done ->
		dying = 0;
		if
		:: place = MAGAZINE
		:: done = 0; /* there is no magazine with room */
#ifndef FULL_CLEARED
			dying = 1
#endif
		fi;
		in_hand--
	:: !done
	fi;
	if
	:: done
	:: !done ->
		lock_acquire();
		dying = 0;
		place = IN_SLAB;
		lock_release()
	fi;
	done = 0
}

/* Nobody has a handle. */
inline end_seen_by_walks()
{
#ifdef DTOR
#ifdef LATE_BIT
	waits = n_walks != 0;
	dying = 1;
#else
	dying = 1;
	waits = n_walks != 0;
#endif
	if
	:: waits -> defer()
	:: !waits ->
		destruct();
		give()
	fi;
	waits = 0
#else
	PUSH();
	if
	:: done -> done = 0
	:: !done ->
		lock_acquire();
		place = (n_walks != 0 -> SHEAF : IN_SLAB);
		lock_release()
	fi
#endif
}

/* ------------------------------- processes -------------------------------- */

/* If it is there: it is ours. */
#define TAKE_FROM(where)                                                      \
	if                                                                    \
	:: place == where ->                                                  \
		assert(!dying && !IS_NAMED);                                  \
		place = HANDS;                                                \
		whole = 1;                                                    \
		mine = 1                                                      \
	:: else                                                               \
	fi

inline alloc()
{
	SECTION(gate, TAKE_FROM(MAGAZINE));
	done = 0;
	if
	:: mine
	:: !mine ->
		lock_acquire();
		d_step { TAKE_FROM(IN_SLAB) }
		lock_release()
	fi
}

proctype thread(byte me)
{
	bool is_open, done, waits, mine;

	do
	:: place == MAGAZINE || place == IN_SLAB -> alloc()
	:: mine ->
		mine = 0;
		if
		:: end_seen_by_walks()
		:: defer() /* its handle was taken */
		fi
	od
}

inline reclaim_sheaf()
{
#ifdef DTOR
	destruct();
#endif
	lock_acquire();
	d_step {
		dying = 0;
		place = MAGAZINE
	}
	lock_release()
}

inline reclaim_bit()
{
	lock_acquire();
#ifdef DTOR
	d_step {
		dying = 1;
		place = HANDS
	}
	lock_release();
	destruct();
	lock_acquire();
#endif
	d_step {
		dying = 0;
		place = IN_SLAB
	}
	lock_release()
}

proctype reclaimer()
{
	do
	:: place == SHEAF ->
		d_step {
			awaited[0] = reads[0];
			awaited[1] = reads[1]
		}
		!awaited[0] && !awaited[1];
		if
		:: reclaim_sheaf()
		:: reclaim_bit()
		fi
	od
}

inline set_gates()
{
	d_step {
		gate = n_closed == 0;
		free_gate = n_closed == 0 && n_walks == 0
	}
}

#ifdef SHEAVES_NAMED
#define IS_LIVE (place == HANDS || place == SHEAF)
#else
#define IS_LIVE (place == HANDS)
#endif

inline quiesce_begin()
{
	lock_acquire();
#ifndef LATE_COUNT
	n_walks++;
#endif
	n_closed++;
	set_gates();
	lock_release();
	d_step { /* a fence */
		restartable[0] = 0;
		restartable[1] = 0
	}
	in_hand == 0;
	lock_acquire()
}

inline quiesce_end()
{
	n_closed--;
	set_gates();
	lock_release()
}

inline walk_create()
{
	quiesce_begin();
	is_live = IS_LIVE;
	if
	:: d_step {
		is_live && !dying ->
		assert(whole);
		named[me] = 1
	}
	:: !is_live || dying
	fi;
	is_live = 0;
#ifdef LATE_COUNT
	n_walks++;
#endif
	quiesce_end()
}

inline walk_destroy()
{
	named[me] = 0;
	lock_acquire();
	n_walks--;
	set_gates();
	lock_release()
}

inline section_end()
{
	d_step {
		named[me] = 0;
		reads[me] = 0;
		awaited[me] = 0
	}
}

proctype walker(byte me)
{
	bool is_live;

	do
	:: true ->
#ifdef LATE_SECTION
		walk_create();
		reads[me] = 1;
#else
		reads[me] = 1;
		walk_create();
#endif
		if
		:: walk_destroy();
			section_end()
		:: section_end();
			walk_destroy()
		fi
	od
}

init
{
	atomic {
		run thread(0);
#if N_THREADS > 1
		run thread(1);
#endif
		run reclaimer();
		run walker(0);
		run walker(1)
	}
}
