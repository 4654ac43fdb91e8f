/* SPDX-License-Identifier: MIT */
/*
 * gate - the bracket of an owner against who needs its blocks to stand still
 *
 * Mirrors stripe_enter(), stripe_leave(), block_pop(), block_push() of
 * lib/stripe.h; enter(), take_previous(), put_previous(), swap_loaded(),
 * put_old(), load_cells(), load_room(), refill(), install() and what calls
 * them in lib/front.c; cubby__depot_put(), _get() and _flush() of lib/depot.c;
 * cubby__quiesce_begin(), _drain() and _end() of lib/quiesce.c with
 * cubby__stripe_wait() of lib/stripe.c; and, of lib/direct.c, that a cell is
 * taken from or given to the slabs under the slab lock.
 *
 * Bounds: two threads, OPS allocs and frees each; one signal handler that
 * interrupts the first of them once, at any step at which signals are not
 * blocked, and allocates or frees; a drainer, once.  N_CELLS cells, in each of
 * the places where they can be at the start; N_MAGAZINES magazines.  One step
 * is one access of shared memory, but: the stacks push and pop in one step
 * (stack.pml), and the slabs' bits and the cells of a magazine that is flushed
 * or filled under the slab lock go in one, as nobody else may look at them.
 * Not here: n_depot and the aged magazines, which only the lock's holder sees.
 *
 * Memory: each thread has a store buffer of one entry, as of a TSO processor.
 * What may wait in it, for ever, is busy = 1; loads pass it; a later store of
 * the same thread, or a compare-exchange, empties it first.  membarrier empties
 * all.  The other stores are not delayed: the release in stripe_leave() orders
 * them, and first in, first out does on such a processor.
 *
 * Properties:
 *   a cell that is popped belonged to nobody, and no slab held it
 *   while the drainer holds the cache, every cell is in one place, once: the
 *     slabs, a block, the depot, or a thread's hands; after the drain it is in
 *     the first or the last
 *   everybody comes to the end: no deadlock, T3
 *
 * Planted: NO_RECHECK, SWING, LOCKED_WAIT, NO_FENCE.
 */
#ifndef OPS_0
#define OPS_0 1
#endif
#ifndef OPS_1
#define OPS_1 1
#endif
#ifndef N_CELLS
#define N_CELLS 2
#endif
#ifndef N_MAGAZINES
#define N_MAGAZINES 3
#endif
#define CAPACITY 1

#define N_STRIPES 2
#define NO_STRIPE 2 /* the place of the drainer in the tables */
/* A cursor tells the magazine and its count; 0 is that of a zero block. */
#define CURSOR(number, count) ((number) * 2 + (count))
#define MAGAZINE_OF(cursor) ((cursor) / 2)
#define COUNT_OF(cursor) ((cursor) % 2)

bool busy[N_STRIPES + 1];     /* in memory */
bool buffered[N_STRIPES + 1]; /* busy = 1 has not reached it yet */
byte loaded[N_STRIPES + 1];
byte previous[N_STRIPES + 1];

byte count[N_MAGAZINES + 1];
byte next[N_MAGAZINES + 1];
byte object[N_MAGAZINES + 1]; /* the one place of each */
byte young, empties;

bool gate = 1; /* 0: closed */
bool locked;
bool in_slab[N_CELLS + 1];
byte owner[N_CELLS + 1]; /* for the properties; 0: nobody, it is idle */

bool masked[N_STRIPES + 1]; /* signals are blocked */
bool handling;              /* a handler runs: the first thread does not */

#define THREAD_0 1
#define THREAD_1 2
#define HANDLER 3
#define DRAINER 4

#define RUNS (me != THREAD_0 || !handling)

/* Each access of shared memory; before a store is seen, earlier ones are. */
#define FLUSH(s) busy[s] = busy[s] || buffered[s]; buffered[s] = 0
#define LOAD(what) d_step { RUNS; what }
#define STORE(s, what) d_step { RUNS; FLUSH(s); what }
#define BUSY_SEEN(s) (busy[s] || buffered[s])

/* With the signals: to be interrupted while waiting is as just before it. */
inline lock_acquire(s)
{
	atomic {
		RUNS && !locked;
		locked = 1;
		masked[s] = 1
	}
}

inline lock_release(s)
{
	d_step {
		locked = 0;
		masked[s] = 0
	}
}

/* In one step each: stack.pml. */
inline pop(s, stack, number)
{
	STORE(s, number = stack; stack = next[number]; next[number] = 0)
}

inline push(s, stack, number)
{
	STORE(s, next[number] = stack; stack = number)
}

/* ------------------------------ the bracket ------------------------------ */

inline enter(s)
{
#ifdef NO_RECHECK
	LOAD(open = gate);
#endif
	LOAD(entered = !BUSY_SEEN(s));
	if
	:: entered ->
		/* At once, or when a later store or a fence drives it out. */
		if
		:: STORE(s, busy[s] = 1)
		:: LOAD(buffered[s] = 1)
		fi;
#ifndef NO_RECHECK
		LOAD(open = gate)
#endif
	:: else -> open = 0
	fi
}

inline leave(s)
{
	STORE(s, busy[s] = 0; open = 0)
}

inline block_pop(s)
{
	LOAD(cursor = (open -> loaded[s] : 0));
	if
	:: COUNT_OF(cursor) == 0
	:: else ->
		LOAD(cell = object[MAGAZINE_OF(cursor)]);
		STORE(s,
		      loaded[s] = cursor - 1;
		      assert(cell != 0 && owner[cell] == 0 && !in_slab[cell]);
		      owner[cell] = me)
	fi;
	cursor = 0
}

inline block_push(s)
{
	LOAD(cursor = (open -> loaded[s] : 0));
	if
	:: cursor == 0 || COUNT_OF(cursor) == CAPACITY
	:: else ->
		STORE(s, object[MAGAZINE_OF(cursor)] = cell);
		STORE(s,
		      loaded[s] = cursor + 1;
		      owner[cell] = 0;
		      cell = 0)
	fi;
	cursor = 0
}

/* ------------------------------- exchanges ------------------------------- */

inline give_empty(s, number)
{
	STORE(s, count[number] = 0);
	push(s, empties, number);
	number = 0
}

inline depot_put(s, number)
{
	LOAD(n = count[number]);
	if
	:: n == 0 -> give_empty(s, number)
	:: else ->
		push(s, young, number);
		number = 0
	fi;
	n = 0
}

/* The count goes to the header before the magazine leaves the block (M3). */
inline settle(s, number)
{
	number = MAGAZINE_OF(cursor);
	if
	:: number != 0 -> STORE(s, count[number] = COUNT_OF(cursor))
	:: else
	fi
}

inline take_previous(s)
{
	LOAD(cursor = previous[s]);
	settle(s, prev);
	STORE(s, previous[s] = 0);
	cursor = 0
}

inline put_previous(s, number)
{
	LOAD(cursor = CURSOR(number, count[number]));
	STORE(s, previous[s] = cursor);
	cursor = 0;
	number = 0
}

inline swap_loaded(s)
{
	LOAD(cursor = loaded[s]);
	settle(s, old);
	LOAD(cursor = CURSOR(incoming, count[incoming]));
	STORE(s, loaded[s] = cursor);
	cursor = 0;
	incoming = 0
}

inline put_old(s)
{
	if
	:: old != 0 ->
		LOAD(cursor = previous[s]);
		if
		:: cursor == 0 -> put_previous(s, old)
		:: else -> depot_put(s, old)
		fi
	:: else
	fi;
	cursor = 0
}

inline load_cells(s)
{
	take_previous(s);
	LOAD(n = count[prev]);
	if
	:: prev != 0 && n != 0 ->
		incoming = prev;
		prev = 0
	:: else ->
		pop(s, young, incoming);
		if
		:: prev != 0 -> put_previous(s, prev)
		:: else
		fi
	fi;
	if
	:: incoming != 0 ->
		swap_loaded(s);
		put_old(s);
		block_pop(s)
	:: else
	fi
}

inline load_room(s)
{
	take_previous(s);
	LOAD(n = count[prev]);
	if
	:: prev != 0 && n < CAPACITY ->
		incoming = prev;
		prev = 0
	:: else ->
		pop(s, empties, incoming);
		if
		:: prev != 0 && incoming == 0 -> put_previous(s, prev)
		:: prev != 0 && incoming != 0 -> depot_put(s, prev)
		:: prev == 0
		fi
	fi;
	if
	:: incoming != 0 ->
		swap_loaded(s);
		put_old(s);
		block_push(s)
	:: else -> no_room = 1
	fi
}

inline pop_any(s)
{
	enter(s);
	if
	:: entered ->
		block_pop(s);
		if
		:: cell == 0 && open -> load_cells(s)
		:: else
		fi;
		leave(s)
	:: else
	fi;
	entered = 0
}

inline push_any(s)
{
	enter(s);
	if
	:: entered ->
		block_push(s);
		if
		:: cell != 0 && open -> load_room(s)
		:: else
		fi;
		leave(s)
	:: else
	fi;
	entered = 0
}

/* --------------------------- under the slab lock ------------------------- */

/* Take the lowest cell of the slabs: 0 if there is none. */
inline slab_take(result)
{
	result = N_CELLS;
	do
	:: result == 0 || in_slab[result] -> break
	:: else -> result--
	od;
	in_slab[result] = 0
}

inline slab_give(result)
{
	assert(!in_slab[result]);
	in_slab[result] = 1
}

inline flush_locked(s, number)
{
	d_step {
		if
		:: count[number] != 0 -> slab_give(object[number])
		:: else
		fi;
		object[number] = 0;
		count[number] = 0;
		next[number] = 0
	}
	push(s, empties, number);
	number = 0
}

/* gather() and install() */
inline refill_locked(s)
{
	pop(s, empties, incoming);
	if
	:: incoming != 0 ->
		d_step {
			slab_take(object[incoming]);
			n = (object[incoming] != 0);
			count[incoming] = n
		}
		if
		:: n == 0 -> give_empty(s, incoming)
		:: else ->
			enter(s);
			assert(entered && open);
			swap_loaded(s);
			put_old(s);
			block_pop(s);
			leave(s)
		fi
	:: else
	fi
}

inline refill(s)
{
	lock_acquire(s);
	LOAD(n = gate && !BUSY_SEEN(s));
	if
	:: n ->
		n = 0;
		pop_any(s);
		if
		:: cell == 0 -> refill_locked(s)
		:: else
		fi
	:: else
	fi;
	lock_release(s)
}

inline flush(s)
{
	lock_acquire(s);
	LOAD(n = gate);
	if
	:: n ->
		n = 0;
		pop(s, young, incoming);
		if
		:: incoming != 0 -> flush_locked(s, incoming)
		:: else
		fi
	:: else
	fi;
	lock_release(s)
}

inline direct_alloc(s)
{
	lock_acquire(s);
	d_step {
		slab_take(cell);
		assert(owner[cell] == 0);
		owner[cell] = (cell != 0 -> me : 0)
	}
	lock_release(s)
}

inline direct_free(s)
{
	lock_acquire(s);
	d_step {
		owner[cell] = 0;
		slab_give(cell);
		cell = 0
	}
	lock_release(s)
}

inline allocate(s)
{
	pop_any(s);
	if
	:: cell == 0 -> refill(s)
	:: else
	fi;
	if
	:: cell == 0 -> direct_alloc(s)
	:: else
	fi;
	cell = 0
}

inline give_back(s)
{
	push_any(s);
	if
	:: no_room ->
		no_room = 0;
		flush(s);
		push_any(s);
		no_room = 0
	:: else
	fi;
	if
	:: cell != 0 -> direct_free(s)
	:: else
	fi;
	if
	:: flush(s) /* the depot overflows */
	:: skip
	fi
}

/* -------------------------------- the drainer ---------------------------- */

inline drain_word(word)
{
	cursor = word;
	number = MAGAZINE_OF(cursor);
	if
	:: number != 0 ->
		count[number] = COUNT_OF(cursor);
		word = 0;
		flush_locked(NO_STRIPE, number)
	:: else
	fi
}

inline drain()
{
	drain_word(loaded[0]);
	drain_word(previous[0]);
	drain_word(loaded[1]);
	drain_word(previous[1]);
	do
	:: pop(NO_STRIPE, young, number);
		if
		:: number != 0 -> flush_locked(NO_STRIPE, number)
		:: else -> break
		fi
	od
}

#define AT(cursor, what) \
	(MAGAZINE_OF(cursor) == number && (what))
#define IN_BLOCKS(what) \
	(AT(loaded[0], what(loaded[0])) + AT(previous[0], what(previous[0])) + \
	 AT(loaded[1], what(loaded[1])) + AT(previous[1], what(previous[1])))
#define ANY(cursor) 1

inline walk(stack)
{
	number = stack;
	do
	:: number != 0 ->
		assert(!in_stack[number]);
		in_stack[number] = 1;
		number = next[number]
	:: else -> break
	od
}

/* M1, and every cell in one place. */
inline audit()
{
	d_step {
		walk(empties);
		number = 1;
		do
		:: number <= N_MAGAZINES ->
			assert(!in_stack[number] || count[number] == 0);
			number++
		:: else -> break
		od;
		walk(young);
		number = 1;
		do
		:: number <= N_MAGAZINES ->
			assert(in_stack[number] + IN_BLOCKS(ANY) == 1);
			if
			:: (in_stack[number] && count[number] != 0) ||
			   IN_BLOCKS(COUNT_OF) != 0 ->
				n_places[object[number]]++
			:: else
			fi;
			in_stack[number] = 0;
			number++
		:: else -> break
		od;
		cell = 1;
		do
		:: cell <= N_CELLS ->
			assert(n_places[cell] + in_slab[cell] +
			       (owner[cell] != 0) == 1);
			n_places[cell] = 0;
			cell++
		:: else -> break
		od;
		number = 0;
		cell = 0
	}
}

inline audit_drained()
{
	d_step {
		assert(loaded[0] + previous[0] + loaded[1] + previous[1] +
		       young == 0)
	}
	audit()
}

/* Every store before it, of every thread, has reached the memory. */
inline membarrier()
{
	d_step {
		FLUSH(0);
		FLUSH(1)
	}
}

inline wait_for_brackets()
{
#if !defined(SWING)
#ifndef NO_FENCE
	membarrier();
#endif
	!busy[0];
	!busy[1]
#else
	skip
#endif
}

proctype drainer(byte me)
{
	byte cursor, number, cell;
	byte n_places[N_CELLS + 1];
	bool in_stack[N_MAGAZINES + 1];

	lock_acquire(NO_STRIPE);
#ifndef SWING
	gate = 0;
#endif
#ifndef LOCKED_WAIT
	lock_release(NO_STRIPE);
#endif
	wait_for_brackets();
#ifndef LOCKED_WAIT
	lock_acquire(NO_STRIPE);
#endif
#ifndef SWING
	audit();
#endif
	drain();
#ifndef SWING
	audit_drained();
#endif
	gate = 1;
	lock_release(NO_STRIPE)
}

/* ------------------------------ who allocates ---------------------------- */

/* Alloc, or free something of one's own. */
inline call(s)
{
	if
	:: allocate(s)
	:: owner[1] == me -> cell = 1; give_back(s)
#if N_CELLS > 1
	:: owner[2] == me -> cell = 2; give_back(s)
#endif
#if N_CELLS > 2
	:: owner[3] == me -> cell = 3; give_back(s)
#endif
	fi
}

#define LOCALS \
	byte cell, cursor, prev, incoming, old, n; \
	bool open, entered, no_room

proctype thread(byte s, me, n_ops)
{
	LOCALS;

	do
	:: n_ops != 0 ->
		call(s);
		n_ops--
	:: else -> break
	od
}

/* It runs in the first thread, or not at all. */
proctype handler(byte s, me)
{
	LOCALS;

	if
	:: atomic { !masked[s] -> handling = 1 }
		call(s);
		handling = 0
	:: skip
	fi
}

/* A cell is in the slabs, in a magazine that has room, or in somebody's hand. */
inline place(cell)
{
	if
	:: in_slab[cell] = 1
	:: owner[cell] = THREAD_0
	:: owner[cell] = THREAD_1
#ifndef NO_HANDLER
	:: owner[cell] = HANDLER
#endif
	:: object[1] == 0 -> object[1] = cell; count[1] = 1
	:: object[2] == 0 -> object[2] = cell; count[2] = 1
	:: object[3] == 0 -> object[3] = cell; count[3] = 1
	fi
}

init
{
	atomic {
		place(1);
#if N_CELLS > 1
		place(2);
#endif
#if N_CELLS > 2
		place(3);
#endif
		loaded[0] = CURSOR(1, count[1]);
		if
		:: loaded[1] = CURSOR(2, count[2])
		:: previous[0] = CURSOR(2, count[2])
		fi;
		if
		:: count[3] == 0 -> empties = 3
		:: else -> young = 3
		fi;
		run thread(0, THREAD_0, OPS_0);
		run thread(1, THREAD_1, OPS_1);
#ifndef NO_HANDLER
		run handler(0, HANDLER);
#endif
		run drainer(DRAINER)
	}
}
