/* SPDX-License-Identifier: MIT */
/*
 * percpu - the restartable sequences of threads that share the blocks of CPUs
 *
 * Mirrors the sequences pop, push and replace in the pseudo-code that stands
 * beside their assembly (lib/rseq.h); with percpu_exchange.pml, hand_*() of
 * lib/hand.h per CPU, cubby__percpu_enter() and _leave() of lib/percpu.c, and
 * take_previous(), put(), put_away(), load(), load_cells(), load_room(),
 * refill(), install() and what calls them of lib/front.c; with percpu_end.pml,
 * cubby__quiesce_begin(), _drain() and _end() of lib/quiesce.c with
 * cubby__percpu_wait(), and what lib/adopt.c does for one cache, with
 * cubby__percpu_forget().
 *
 * Bounds: N_CPUS CPUs; N_THREADS threads, OPS allocs and frees each, and by
 * choice a signal handler that interrupts the first of them once, wherever
 * signals are not blocked, and allocates or frees.  Then either a drainer,
 * once, or (FORK) a fork at any step at which nobody holds the slab lock: by
 * one more thread, or (IN_HANDLER) in such a handler.  N_CELLS cells, in each
 * of the places where they can be at the start; N_MAGAZINES magazines of
 * CAPACITY.  An exchange is tried once.
 *
 * Time of CPUs: a section begins on any CPU, and from then on `section` of that
 * CPU names its thread.  Another thread's section that begins there, a signal,
 * and a fence take the name away: the thread was preempted, signalled or
 * fenced, and cannot take another step of this section but go back to its
 * start, maybe on another CPU.  It may do so before every step for no reason
 * as well: migrated, or preempted by who has nothing to do with us.  Outside
 * of sections it does not matter where a thread runs.
 *
 * One step is one access of shared memory; but the gate's load goes with the
 * start of its section, and a cell's with the commit.  Stacks push and pop in
 * one step (stack.pml); with FORK a push is two, `next` and the exchange.  The
 * slabs' bits and the cells of a magazine that is flushed or filled under the
 * slab lock go in one.  To be counted in or off is a load and a replace in the
 * library, repeated until the word is what was seen; here the load is inside.
 *
 * Memory is sequentially consistent.  A store buffer would add nothing: who
 * looks at other CPUs' words has fenced them, and a switch of threads is a
 * barrier.
 *
 * Properties:
 *   a cell that is popped belonged to nobody, and no slab held it
 *   from when the drainer has seen that nothing is in hand until it opens the
 *     gate, nobody moves anything into or out of blocks, depot and empties;
 *     every magazine is in one place, once (M1), and so is every cell: the
 *     slabs, a block, the depot, or somebody's hands
 *   everybody comes to the end: no deadlock
 *   in the child, when all is adopted, every idle cell and every magazine is in
 *     one place, once, and no cell that somebody owned is in any.  If a handler
 *     forked while its thread was in an exchange: at most once, when that
 *     thread has come to its end, and then nothing is counted in hand
 *
 * Planted: PAIR_STORE, NO_COMPARE, TLS_SPARE, GATE_OUTSIDE, EARLY_FENCE,
 * NO_COUNT, UNGATED_ENTER; with FORK, ADOPT_BY_COUNT and LATE_LEFT, and with
 * IN_HANDLER, COUNT_BY_RECORD.
 */
#ifndef N_CPUS
#define N_CPUS 2
#endif
#ifndef N_THREADS
#define N_THREADS 2
#endif
#ifndef OPS
#define OPS 1
#endif
#ifndef N_CELLS
#define N_CELLS 1
#endif
#ifndef N_MAGAZINES
#define N_MAGAZINES 3
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif

/* A cursor tells the magazine and its count; 0 is that of a zero block. */
#define CURSOR(number, count) ((number) * 4 + (count))
#define MAGAZINE_OF(cursor) ((cursor) / 4)
#define COUNT_OF(cursor) ((cursor) % 4)
#define PLACE(number, i) object[(number) * CAPACITY + (i)]

mtype = { EMPTY, IN_BLOCK, IN_DEPOT, IN_FLIGHT };

byte section[2]; /* whose section goes on there; 0: nobody's */
byte block[4];   /* loaded of both CPUs, previous of both */
short in_hand[2];

#define THE_LOADED 0
#define THE_PREVIOUS 2
#define LOADED(cpu) block[THE_LOADED + (cpu)]
#define PREVIOUS(cpu) block[THE_PREVIOUS + (cpu)]

mtype state[N_MAGAZINES + 1];
byte left_at[N_MAGAZINES + 1]; /* `cursor` of the library's magazines */
byte count[N_MAGAZINES + 1];
byte next[N_MAGAZINES + 1];
byte object[(N_MAGAZINES + 1) * CAPACITY];
byte young, empties;

bool gate = 1; /* 0: closed */
bool locked;
bool in_slab[N_CELLS + 1];
byte owner[4]; /* of cells, for the properties; 0: nobody, it is idle */
byte spare;              /* TLS_SPARE: of the first thread */

bool quiet;    /* the drainer has seen that nobody has anything in hand */
bool masked;   /* signals are blocked in the first thread */
bool handling; /* a handler runs: the first thread does not */
bool forked;   /* this is the child */
bool resumed;  /* in which the first thread goes on */
bool ended;    /* to its end */

/* The first thread's record of its exchange, for a handler that forks. */
bool hands;
bool told;  /* the record says: the child has counted this exchange in `rest` */
short rest; /* counts what no CPU does */

#define THREAD_0 1
#define THREAD_1 2
#define THREAD_2 3
#define HANDLER 4
#define DRAINER 5

#ifdef LATE_LEFT
#define NOTE(before) skip
#else
#define NOTE(before) left_at[MAGAZINE_OF(before)] = (before)
#endif

#define MINE (me == THREAD_0 || me == HANDLER)
#define RUNS \
	((me != THREAD_0 || !handling) && (!forked || me == THREAD_0 && resumed))

/* A step outside of sections. */
#define STEP(what) d_step { RUNS; what }
#ifdef FORK
#define HEADER(what) STEP(what)
#else
#define HEADER(what) skip /* only a child looks at it */
#endif

/* With the signals: to be interrupted while waiting is as just before it. */
inline lock_acquire()
{
	atomic {
		RUNS && !locked;
		locked = 1;
		masked = masked || MINE
	}
}

inline lock_release()
{
	d_step {
		locked = 0;
		masked = masked && !MINE
	}
}

/* -------------------------------- sections ------------------------------- */

#define LET_GO \
	section[c] = (section[c] == me -> 0 : section[c]); c = 0; open = 0

/* Begin on any CPU, and load the gate. */
inline start()
{
#ifdef GATE_OUTSIDE
	STEP(open = gate);
#endif
	atomic {
		if
		:: RUNS -> c = 0
#if N_CPUS > 1
		:: RUNS -> c = 1
#endif
		fi;
#ifndef GATE_OUTSIDE
		open = gate;
#endif
		section[c] = me
	}
}

/* A step of it, where this holds; and that it is aborted. */
#define IN(holds, what) \
	d_step { RUNS && section[c] == me && (holds) -> what }
#define ABORTED d_step { RUNS -> LET_GO; cursor = 0; hand = 0 }

#define POPS (open && COUNT_OF(LOADED(c)) != 0)

inline pop()
{
	do
	:: start();
		if
		:: ABORTED
		:: IN(!POPS, LET_GO) -> break
		:: IN(POPS, cursor = LOADED(c)) ->
			if
			:: ABORTED
			:: IN(true,
			      cell = PLACE(MAGAZINE_OF(cursor), COUNT_OF(cursor) - 1);
			      LOADED(c) = cursor - 1;
			      LET_GO;
			      assert(!quiet && cell != 0);
			      assert(owner[cell] == 0 && !in_slab[cell]);
			      owner[cell] = me) -> break
			fi
		fi
	od;
	cursor = 0
}

#define PUSHES \
	(open && LOADED(c) != 0 && COUNT_OF(LOADED(c)) < CAPACITY)

inline push()
{
	do
	:: start();
		if
		:: ABORTED
		:: IN(!PUSHES, LET_GO) -> break
		:: IN(PUSHES, cursor = LOADED(c)) ->
			if
			:: ABORTED
			:: IN(true,
			      PLACE(MAGAZINE_OF(cursor), COUNT_OF(cursor)) = cell) ->
				if
				:: ABORTED
				:: IN(true,
				      LOADED(c) = cursor + 1;
				      LET_GO;
				      assert(!quiet);
				      owner[cell] = 0;
				      cell = 0) -> break
				fi
			fi
		fi
	od;
	cursor = 0
}

#ifdef NO_COMPARE
#define AS_SEEN(which, before) ((which) == THE_LOADED || block[(which) + c] == (before))
#else
#define AS_SEEN(which, before) (block[(which) + c] == (before))
#endif
#define REPLACES(which, before) (open && AS_SEEN(which, before))

/* ok: the word of this CPU held what was seen, and now has the new value. */
inline replace(which, before, new)
{
	do
	:: start();
		if
		:: ABORTED
		:: IN(!REPLACES(which, before), LET_GO) ->
			ok = 0;
			break
		:: IN(REPLACES(which, before), skip) ->
#ifdef FORK
			if
			:: ABORTED
			:: IN(true, NOTE(before)) ->
#endif
				if
				:: ABORTED
				:: IN(true,
				      block[which + c] = new;
				      LET_GO;
				      assert(!quiet);
				      ok = 1) -> break
				fi
#ifdef FORK
			fi
#endif
		fi
	od
}

/* The word of a CPU that we may have left when we know it. */
inline look(which, result)
{
	atomic {
		if
		:: RUNS -> result = block[which]
#if N_CPUS > 1
		:: RUNS -> result = block[which + 1]
#endif
		fi
	}
}

#ifdef UNGATED_ENTER
#define ENTERS 1
#else
#define ENTERS (open && !TOLD)
#endif

/*
 * The record is made before the exchange is counted, and taken back, in one
 * step, after it is counted off.  A child takes the record's word for it; the
 * sections look at what it was told, as this may be before or after the commit.
 */
#ifdef IN_HANDLER
#define RECORD STEP(hands = hands || MINE)
#define TAKE_BACK \
	STEP(rest = rest - TOLD; \
	     hands = hands && !MINE; \
	     told = told && !MINE)
#else
#define RECORD skip
#define TAKE_BACK skip
#endif
#ifdef COUNT_BY_RECORD
#define TOLD false
#else
#define TOLD (told && MINE)
#endif

/* ok: it is counted that we may have a magazine in hand. */
inline enter()
{
	RECORD;
	do
	:: start();
		if
		:: ABORTED
		:: IN(!ENTERS, ok = TOLD; LET_GO) -> break
		:: IN(ENTERS, hand = in_hand[c]) ->
			if
			:: ABORTED
			:: IN(true,
			      in_hand[c] = hand + 1;
			      LET_GO;
			      ok = 1) -> break
			fi
		fi
	od;
	hand = 0;
	if
	:: !ok -> TAKE_BACK
	:: else
	fi
}

/* On whatever CPU, and whether the gate is open or not. */
inline leave()
{
	do
	:: start();
		if
		:: ABORTED
		:: IN(TOLD, LET_GO) -> break
		:: IN(!TOLD, hand = in_hand[c]) ->
			if
			:: ABORTED
			:: IN(true,
			      in_hand[c] = hand - 1;
			      LET_GO) -> break
			fi
		fi
	od;
	hand = 0;
	TAKE_BACK
}

#include "percpu_exchange.pml"
#include "percpu_end.pml"

/* ---------------------------------- start -------------------------------- */

#define HAS(number) (owner[number] == me)

/* Alloc, or free something of one's own. */
inline call()
{
	if
	:: allocate()
	:: HAS(1) || HAS(2) || HAS(3) ->
		if
		:: HAS(1) -> cell = 1
		:: HAS(2) -> cell = 2
		:: HAS(3) -> cell = 3
		fi;
		give_back()
	fi
}

#define LOCALS \
	byte c, cell, cursor, seen, was, prev, incoming; \
	short hand; \
	bool open, ok, no_room

proctype thread(byte me, n_ops)
{
	LOCALS;

	do
	:: n_ops != 0 ->
		call();
		n_ops--
	:: else -> break
	od;
#ifdef IN_HANDLER
	ended = ended || MINE
#endif
}

#define INTERRUPT \
	handling = 1; \
	section[0] = (section[0] == THREAD_0 -> 0 : section[0]); \
	section[1] = (section[1] == THREAD_0 -> 0 : section[1])

/* It runs in the first thread, or not at all. */
proctype handler(byte me)
{
	LOCALS;

	if
	:: atomic { !masked -> INTERRUPT };
		call();
		handling = 0
	:: skip
	fi
}

proctype forker()
{
	AUDITOR;

#ifdef IN_HANDLER
	atomic { !masked && !ended -> INTERRUPT };
#endif
	d_step {
		!locked -> forked = 1;
		in_hand[0] = 0;
		in_hand[1] = 0;
		rest = hands;
		told = hands;
		if
		:: hands
		:: else -> adopt_orphans()
		fi
	}
	if
	:: !hands -> audit(false)
	:: else ->
		handling = 0;
		resumed = 1;
		ended;
		assert(in_hand[0] + in_hand[1] + rest == 0);
		audit(true)
	fi
}

/* In the slabs, in somebody's hands, or in a magazine that has room. */
inline place(cell)
{
	if
#ifdef TLS_SPARE /* enough for it, and fewer states */
	:: cell == 1 -> fill(1)
	:: cell == 2 -> owner[cell] = THREAD_0
	:: cell == 3 -> owner[cell] = HANDLER
#else
#ifndef CELL_IDLE
	:: owner[cell] = THREAD_0
#if N_THREADS > 1
	:: cell > 1 -> owner[cell] = THREAD_1 /* the first: for symmetry */
#endif
#ifdef WITH_HANDLER
	:: owner[cell] = HANDLER
#endif
#endif
#ifndef CELL_OWNED
	:: in_slab[cell] = 1
	:: fill(1)
	:: fill(2)
	:: fill(3)
#endif
#endif
	fi
}

inline fill(number)
{
	count[number] < CAPACITY ->
	PLACE(number, count[number]) = cell;
	count[number]++
}

inline into_block(word, number)
{
	word = CURSOR(number, count[number]);
	left_at[number] = word;
	state[number] = IN_BLOCK
}

/* Loaded, what the header says becomes old: the cursor counts (M3). */
inline into_loaded(word, number)
{
	into_block(word, number);
	count[number] = CAPACITY - count[number];
	left_at[number] = CURSOR(number, count[number])
}

inline into_stack(number)
{
	if
	:: count[number] == 0 ->
		state[number] = EMPTY;
		next[number] = empties;
		empties = number
	:: else ->
		state[number] = IN_DEPOT;
		next[number] = young;
		young = number
	fi
}

init
{
	byte cell;

	atomic {
		cell = 1;
		do
		:: cell <= N_CELLS ->
			place(cell);
			cell++
		:: else -> break
		od;
		cell = 0;
		into_loaded(LOADED(0), 1);
		if
#ifndef SECOND_ELSEWHERE
		:: into_block(PREVIOUS(0), 2)
#endif
#ifndef SECOND_IN_PREVIOUS
#if N_CPUS > 1
		:: into_loaded(LOADED(1), 2)
#endif
		:: true -> into_stack(2)
#endif
		fi;
#ifdef TLS_SPARE
		if
		:: count[3] == 0 -> spare = 3
		:: else -> into_stack(3)
		fi;
#else
		into_stack(3);
#endif
		run thread(THREAD_0, OPS);
#if N_THREADS > 1
		run thread(THREAD_1, OPS);
#endif
#if N_THREADS > 2
		run thread(THREAD_2, OPS);
#endif
#ifdef WITH_HANDLER
		run handler(HANDLER);
#endif
#ifdef FORK
		run forker()
#else
		run drainer(DRAINER)
#endif
	}
}
