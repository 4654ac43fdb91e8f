/* SPDX-License-Identifier: MIT */
/*
 * fork - what a child makes of exchanges that were cut short
 *
 * Mirrors settle(), take_previous(), put(), put_away(), load(), load_cells(),
 * load_room(), install() and cubby__front_empty_block() of lib/front.c, with
 * hand_replace() of lib/hand.h as it is per thread; prepare(),
 * cubby__depot_put() and _get() of lib/depot.c; cubby__magazine_take_empty()
 * and _give_empty() of lib/magazine.c; and what lib/adopt.c does for one cache,
 * with cubby__stripe_fork_child() of lib/stripe.c.  (percpu.pml has the forks
 * of the other front end.)
 *
 * Bounds: one cache; two threads that are inside or outside of brackets, OPS
 * allocs or frees each, and a third that forks, at any step at which nobody
 * holds the slab lock.  All three have a stripe.  N_CELLS cells, in each of
 * the places where they can be; N_MAGAZINES magazines of CAPACITY.  One step is
 * one store to shared memory, with loads of what nobody else writes; a push is
 * two, `next` and the exchange, a pop is one.  What is done to slabs and
 * `preparing` under the slab lock is one step, as no fork falls into it.
 *
 * The child goes on with the memory as it is at the fork: a fork's copy is
 * that of one moment, and has the stores of each thread up to one of them.
 *
 * Properties, in the child, when all is adopted:
 *   a cell that was idle is in one place, once: the slabs, a block, the depot
 *   a cell that somebody owned is in none: it may leak, but has one owner
 *   a magazine is in one place, once (M1), and its cells are whole (M3)
 *
 * Planted: ADOPT_BY_STATE, LATE_LEFT, ADOPT_BY_COUNT.
 */
#ifndef OPS
#define OPS 1
#endif
#ifndef N_CELLS
#define N_CELLS 3
#endif
#ifndef N_MAGAZINES
#define N_MAGAZINES 4
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#define N_STRIPES 3
#define FORKER 2

#define CURSOR(number, count) ((number) * 4 + (count))
#define MAGAZINE_OF(cursor) ((cursor) / 4)
#define COUNT_OF(cursor) ((cursor) % 4)
#define PLACE(number, i) object[(number) * CAPACITY + (i)]

mtype = { EMPTY, IN_BLOCK, IN_DEPOT, IN_FLIGHT, REACHED };

bool busy[N_STRIPES];
byte loaded[N_STRIPES];
byte previous[N_STRIPES];

mtype state[N_MAGAZINES + 1];
byte count[N_MAGAZINES + 1];
byte left_at[N_MAGAZINES + 1]; /* the library's `cursor`: M3 */
byte next[N_MAGAZINES + 1];
byte object[(N_MAGAZINES + 1) * CAPACITY];
byte young, empties, preparing;

bool locked, forked;
bool in_slab[N_CELLS + 1];
bool owned[N_CELLS + 1]; /* for the properties: somebody was given it */

/* A step of a thread.  After the fork there are none. */
#define STEP(what) d_step { !forked; what }

inline lock_acquire()
{
	atomic { !locked && !forked -> locked = 1 }
}

inline lock_release()
{
	locked = 0
}

inline pop(stack, number)
{
	STEP(number = stack; stack = next[number])
}

inline push(stack, number)
{
	STEP(next[number] = stack);
	STEP(next[number] = stack; stack = number)
}

inline give_empty(number)
{
	STEP(count[number] = 0);
	STEP(state[number] = EMPTY);
	push(empties, number);
	number = 0
}

inline take_empty(number)
{
	pop(empties, number);
	if
	:: number != 0 ->
		STEP(count[number] = 0);
		STEP(state[number] = IN_FLIGHT)
	:: else
	fi
}

inline depot_put(number)
{
	if
	:: count[number] == 0 -> give_empty(number)
	:: else ->
		STEP(state[number] = IN_DEPOT);
		push(young, number);
		number = 0
	fi
}

inline depot_get(number)
{
	pop(young, number);
	if
	:: number != 0 -> STEP(state[number] = IN_FLIGHT)
	:: else
	fi
}

/* Before a block's word is written, and after. */
#ifdef LATE_LEFT
#define LEAVES(number, cursor) skip
#define HAS_LEFT(number, cursor) STEP(left_at[number] = cursor)
#else
#define LEAVES(number, cursor) STEP(left_at[number] = cursor)
#define HAS_LEFT(number, cursor) skip
#endif

/* It is in hand: only when the count is right does the state say so (M3). */
inline settle(number)
{
	HAS_LEFT(number, cursor);
	STEP(count[number] = COUNT_OF(cursor));
	STEP(state[number] = IN_FLIGHT)
}

inline comes(number)
{
	STEP(left_at[number] = CURSOR(number, count[number]));
	STEP(state[number] = IN_BLOCK)
}

inline take_previous(s)
{
	cursor = previous[s];
	prev = MAGAZINE_OF(cursor);
	if
	:: prev != 0 ->
		LEAVES(prev, cursor);
		STEP(previous[s] = 0);
		settle(prev)
	:: else
	fi;
	cursor = 0
}

inline put_previous(s, number)
{
	comes(number);
	STEP(previous[s] = CURSOR(number, count[number]));
	number = 0
}

inline swap_loaded(s)
{
	comes(incoming);
	cursor = loaded[s];
	old = MAGAZINE_OF(cursor);
	if
	:: old != 0 -> LEAVES(old, cursor)
	:: else
	fi;
	STEP(loaded[s] = CURSOR(incoming, count[incoming]));
	incoming = 0;
	if
	:: old != 0 -> settle(old)
	:: else
	fi;
	cursor = 0
}

inline put_old(s)
{
	if
	:: old == 0
	:: old != 0 && previous[s] == 0 -> put_previous(s, old)
	:: old != 0 && previous[s] != 0 -> depot_put(old)
	fi
}

inline load_cells(s)
{
	take_previous(s);
	if
	:: prev != 0 && count[prev] != 0 ->
		incoming = prev;
		prev = 0
	:: else ->
		depot_get(incoming);
		if
		:: prev != 0 -> put_previous(s, prev)
		:: else
		fi
	fi;
	if
	:: incoming != 0 ->
		swap_loaded(s);
		put_old(s)
	:: else
	fi
}

inline load_room(s)
{
	take_previous(s);
	if
	:: prev != 0 && count[prev] < CAPACITY ->
		incoming = prev;
		prev = 0
	:: else ->
		take_empty(incoming);
		if
		:: prev != 0 && incoming == 0 -> put_previous(s, prev)
		:: prev != 0 && incoming != 0 -> depot_put(prev)
		:: prev == 0
		fi
	fi;
	if
	:: incoming != 0 ->
		swap_loaded(s);
		put_old(s)
	:: else
	fi
}

/* The child may find it in the hands of nobody, or idle. */
inline block_pop(s)
{
	cursor = loaded[s];
	if
	:: COUNT_OF(cursor) != 0 ->
		cell = PLACE(MAGAZINE_OF(cursor), COUNT_OF(cursor) - 1);
		STEP(loaded[s] = cursor - 1; owned[cell] = 1)
	:: else
	fi;
	cursor = 0
}

inline block_push(s)
{
	cursor = loaded[s];
	if
	:: cursor != 0 && COUNT_OF(cursor) < CAPACITY ->
		STEP(PLACE(MAGAZINE_OF(cursor), COUNT_OF(cursor)) = cell);
		STEP(loaded[s] = cursor + 1; owned[cell] = 0);
		cell = 0
	:: else
	fi;
	cursor = 0
}

inline enter(s)
{
	STEP(busy[s] = 1)
}

inline leave(s)
{
	STEP(busy[s] = 0)
}

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
	assert(!in_slab[result] && !owned[result]);
	in_slab[result] = 1
}

/* Aside from the threads' steps: by the holder of the lock, or a child. */
inline flush_locked(number)
{
	d_step {
		do
		:: count[number] != 0 ->
			count[number]--;
			slab_give(PLACE(number, count[number]))
		:: else -> break
		od;
		state[number] = EMPTY;
		next[number] = empties;
		empties = number;
		number = 0
	}
}

/* gather(), prepare() with the lock let go while init runs, install() */
inline refill(s)
{
	lock_acquire();
	d_step {
		incoming = empties;
		if
		:: incoming != 0 ->
			empties = next[incoming];
			slab_take(PLACE(incoming, 0));
			count[incoming] = (PLACE(incoming, 0) != 0);
#if CAPACITY > 1
			slab_take(PLACE(incoming, 1));
			count[incoming] = count[incoming] +
					  (PLACE(incoming, 1) != 0);
#endif
			state[incoming] = IN_FLIGHT;
			next[incoming] = preparing;
			preparing = incoming
		:: else
		fi
	}
	if
	:: skip
	:: lock_release();
		lock_acquire()
	fi;
	d_step {
		if
		:: incoming != 0 && preparing == incoming ->
			preparing = next[incoming]
		:: incoming != 0 && preparing != incoming ->
			next[preparing] = next[incoming]
		:: else
		fi
	}
	if
	:: incoming != 0 && count[incoming] == 0 -> give_empty(incoming)
	:: incoming != 0 && count[incoming] != 0 ->
		STEP(count[incoming]--;
		     cell = PLACE(incoming, count[incoming]);
		     owned[cell] = 1);
		enter(s);
		if
		:: count[incoming] != 0 && COUNT_OF(loaded[s]) == 0 ->
			swap_loaded(s);
			put_old(s)
		:: else -> depot_put(incoming)
		fi;
		leave(s)
	:: incoming == 0
	fi;
	lock_release()
}

inline allocate(s)
{
	enter(s);
	block_pop(s);
	if
	:: cell == 0 ->
		load_cells(s);
		block_pop(s)
	:: else
	fi;
	leave(s);
	if
	:: cell == 0 -> refill(s)
	:: else
	fi;
	cell = 0
}

inline give_back(s)
{
	enter(s);
	block_push(s);
	if
	:: cell != 0 ->
		load_room(s);
		block_push(s)
	:: else
	fi;
	leave(s);
	if
	:: cell != 0 ->
		lock_acquire();
		d_step {
			owned[cell] = 0;
			slab_give(cell)
		}
		lock_release();
		cell = 0
	:: else
	fi
}

proctype thread(byte s, mine)
{
	byte cell, cursor, prev, incoming, old, n_ops;

	do
	:: n_ops < OPS && !forked ->
		n_ops++;
		if
		:: allocate(s)
		:: mine != 0 ->
			cell = mine;
			mine = 0;
			give_back(s)
		fi
	:: else -> break
	od
}

/* --------------------------------- the child ----------------------------- */

inline child_push(stack)
{
	next[number] = stack;
	stack = number
}

inline child_put_young()
{
	if
	:: count[number] == 0 ->
		state[number] = EMPTY;
		child_push(empties)
	:: else ->
		state[number] = IN_DEPOT;
		child_push(young)
	fi
}

inline empty_word(word)
{
	number = MAGAZINE_OF(word);
	if
	:: number != 0 ->
		count[number] = COUNT_OF(word);
		word = 0;
		child_put_young()
	:: else
	fi
}

inline bury(s)
{
	others_were_busy = others_were_busy || busy[s];
	empty_word(loaded[s]);
	empty_word(previous[s]);
	busy[s] = 0
}

inline mark_stack(stack)
{
	number = stack;
	do
	:: number != 0 ->
		assert(state[number] != REACHED);
		state[number] = REACHED;
		number = next[number]
	:: else -> break
	od
}

inline mark_word(word)
{
	number = MAGAZINE_OF(word);
	if
	:: number != 0 -> state[number] = REACHED
	:: else
	fi
}

#ifdef ADOPT_BY_COUNT
#define ORPHAN_COUNT count[number]
#else
#define ORPHAN_COUNT \
	(state[number] == IN_BLOCK -> COUNT_OF(left_at[number]) : count[number])
#endif

#ifdef ADOPT_BY_STATE
#define IS_ORPHAN (state[number] == IN_FLIGHT)
#else
#define IS_ORPHAN (state[number] != REACHED)
#endif

inline adopt_orphans()
{
#ifndef ADOPT_BY_STATE
	mark_word(loaded[FORKER]);
	mark_word(previous[FORKER]);
	mark_stack(young);
	mark_stack(empties);
#endif
	number = 1;
	do
	:: number <= N_MAGAZINES ->
		if
		:: IS_ORPHAN ->
			count[number] = ORPHAN_COUNT;
			child_put_young()
		:: else
		fi;
		number++
	:: else -> break
	od
}

inline adopt()
{
	do
	:: preparing != 0 ->
		number = preparing;
		preparing = next[number];
		flush_locked(number)
	:: else -> break
	od;
#ifdef ADOPT_BY_STATE
	adopt_orphans();
#endif
	bury(0);
	bury(1);
#ifndef ADOPT_BY_STATE
	if
	:: others_were_busy -> adopt_orphans()
	:: else
	fi
#endif
}

/* Magazine `number` is here, with this count. */
inline check_magazine(n)
{
	assert(!found[number]);
	found[number] = 1;
	i = 0;
	do
	:: i < n ->
		assert(PLACE(number, i) != 0);
		n_places[PLACE(number, i)]++;
		i++
	:: else -> break
	od
}

inline check_word(word)
{
	number = MAGAZINE_OF(word);
	if
	:: number != 0 -> check_magazine(COUNT_OF(word))
	:: else
	fi
}

inline check_stack(stack)
{
	number = stack;
	do
	:: number != 0 ->
		check_magazine(count[number]);
		number = next[number]
	:: else -> break
	od
}

inline check_all()
{
	check_word(loaded[FORKER]);
	check_word(previous[FORKER]);
	check_stack(young);
	check_stack(empties);
	number = 1;
	do
	:: number <= N_MAGAZINES ->
		assert(found[number]);
		number++
	:: else -> break
	od;
	i = 1;
	do
	:: i <= N_CELLS ->
		assert(n_places[i] + in_slab[i] == !owned[i]);
		i++
	:: else -> break
	od
}

/* No handler's fork: the forking thread is outside of any bracket. */
proctype forker()
{
	byte number, i;
	bool others_were_busy;
	bool found[N_MAGAZINES + 1];
	byte n_places[N_CELLS + 1];

	d_step {
		!locked -> forked = 1;
		adopt();
		check_all()
	}
}

/* ---------------------------------- start -------------------------------- */

inline fill(number)
{
	count[number] < CAPACITY ->
	PLACE(number, count[number]) = i;
	count[number]++
}

/* In the slabs, in a thread's hands, or in a magazine that has room. */
inline place_cell()
{
	if
	:: in_slab[i] = 1
	:: mine_0 == 0 -> mine_0 = i; owned[i] = 1
	:: mine_1 == 0 -> mine_1 = i; owned[i] = 1
	:: fill(1)
	:: fill(2)
	:: fill(3)
	:: fill(4)
	fi
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
	byte mine_0, mine_1, i;

	atomic {
		i = 1;
		do
		:: i <= N_CELLS ->
			place_cell();
			i++
		:: else -> break
		od;
		into_loaded(loaded[0], 1);
		if
		:: into_block(previous[0], 2)
		:: into_loaded(loaded[FORKER], 2)
		:: true -> into_stack(2)
		fi;
		if
		:: into_loaded(loaded[1], 3)
		:: true -> into_stack(3)
		fi;
		into_stack(4);
		run thread(0, mine_0);
		run thread(1, mine_1);
		run forker();
		i = 0;
		mine_0 = 0;
		mine_1 = 0
	}
}
