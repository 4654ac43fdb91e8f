/* SPDX-License-Identifier: MIT */
/*
 * percpu_exchange - what percpu.pml does between sections: magazines in hand,
 * calls, and what is done under the slab lock
 */
/* -------------------------------- magazines ------------------------------ */

/* By who is counted in hand, or holds the lock of a cache whose gate is open. */
inline push_stack(stack, number)
{
	HEADER(next[number] = stack);
	STEP(assert(!quiet);
	     next[number] = stack;
	     stack = number;
	     number = 0)
}

inline pop_stack(stack, number)
{
	STEP(number = stack;
	     assert(!quiet || number == 0);
	     stack = next[number];
	     next[number] = 0)
}

inline take_empty(number)
{
#ifdef TLS_SPARE
	STEP(number = (MINE -> spare : 0));
	if
	:: number != 0 -> STEP(spare = 0)
	:: else -> pop_stack(empties, number)
	fi;
#else
	pop_stack(empties, number);
#endif
	if
	:: number != 0 -> HEADER(state[number] = IN_FLIGHT)
	:: else
	fi
}

inline depot_get(number)
{
	pop_stack(young, number);
	if
	:: number != 0 -> HEADER(state[number] = IN_FLIGHT)
	:: else
	fi
}

inline depot_put(number)
{
	if
	:: count[number] == 0 ->
		HEADER(state[number] = EMPTY);
		push_stack(empties, number)
	:: else ->
		HEADER(state[number] = IN_DEPOT);
		push_stack(young, number)
	fi
}

/* It has left its block: the count goes from cursor to header (M3). */
inline settle(cursor_seen, number)
{
	number = MAGAZINE_OF(cursor_seen);
	STEP(count[number] = COUNT_OF(cursor_seen));
	HEADER(state[number] = IN_FLIGHT);
	cursor_seen = 0
}

inline take_previous()
{
	look(THE_PREVIOUS, was);
	if
	:: was != 0 ->
		replace(THE_PREVIOUS, was, 0);
		if
		:: ok -> settle(was, prev)
		:: else -> was = 0
		fi;
		ok = 0
	:: else
	fi
}

/* ok: it is there, and what was there before is in our hands. */
inline put(which, before, number)
{
	HEADER(left_at[number] = CURSOR(number, count[number]));
	HEADER(state[number] = IN_BLOCK);
	replace(which, before, CURSOR(number, count[number]));
	if
	:: !ok -> HEADER(state[number] = IN_FLIGHT)
	:: else
	fi
}

inline put_away(number)
{
	put(THE_PREVIOUS, 0, number);
	if
	:: ok ->
		number = 0;
		ok = 0
	:: else -> depot_put(number)
	fi
}

/* If `loaded` is still what was seen; what is in hand then is put away. */
inline load()
{
	put(THE_LOADED, seen, incoming);
	if
	:: ok ->
		ok = 0;
		incoming = 0;
		if
		:: seen != 0 -> settle(seen, incoming)
		:: else
		fi
	:: else -> seen = 0
	fi;
	if
	:: incoming != 0 -> put_away(incoming)
	:: else
	fi
}

/* ------------------------------- exchanges ------------------------------- */

#ifdef PAIR_STORE
#define SWAPS (open && COUNT_OF(PREVIOUS(c)) != 0)

/* ok: the two magazines of a block have changed places. */
inline swap()
{
	do
	:: start();
		if
		:: ABORTED
		:: IN(!SWAPS, LET_GO) -> break
		:: IN(SWAPS, cursor = LOADED(c)) ->
			if
			:: ABORTED
			:: IN(true, seen = PREVIOUS(c); PREVIOUS(c) = cursor) ->
				if
				:: ABORTED; seen = 0
				:: IN(true, LOADED(c) = seen; LET_GO) ->
					break
				fi
			fi
		fi
	od;
	cursor = 0;
	seen = 0
}
#endif

inline load_cells()
{
#ifdef PAIR_STORE
	swap();
#endif
	look(THE_LOADED, seen);
	if
	:: COUNT_OF(seen) == 0 ->
		take_previous();
		if
		:: prev != 0 && count[prev] != 0 ->
			incoming = prev;
			prev = 0
		:: else ->
			depot_get(incoming);
			if
			:: prev != 0 -> put_away(prev)
			:: else
			fi
		fi;
		if
		:: incoming != 0 -> load()
		:: else
		fi
	:: else
	fi;
	seen = 0
}

inline load_room()
{
	look(THE_LOADED, seen);
	if
	:: seen == 0 || COUNT_OF(seen) == CAPACITY ->
		take_previous();
		if
		:: prev != 0 && count[prev] < CAPACITY ->
			incoming = prev;
			prev = 0
		:: else ->
			take_empty(incoming);
			if
			:: prev != 0 && incoming == 0 -> put_away(prev)
			:: prev != 0 && incoming != 0 -> depot_put(prev)
			:: prev == 0
			fi
		fi;
		if
		:: incoming != 0 -> load()
		:: else -> no_room = 1
		fi
	:: else
	fi;
	seen = 0
}

inline pop_any()
{
	pop();
	if
	:: cell == 0 ->
		enter();
		if
		:: ok ->
			ok = 0;
			load_cells();
			pop();
			leave()
		:: else
		fi
	:: else
	fi
}

inline push_any()
{
	push();
	if
	:: cell != 0 ->
		enter();
		if
		:: ok ->
			ok = 0;
			load_room();
			push();
			leave()
		:: else
		fi
	:: else
	fi
}

/* --------------------------- under the slab lock ------------------------- */

/* Take the highest cell of the slabs: 0 if there is none. */
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
	assert(!in_slab[result] && owner[result] == 0);
	in_slab[result] = 1
}

inline empty_locked(number)
{
	do
	:: count[number] != 0 ->
		count[number]--;
		slab_give(PLACE(number, count[number]));
		PLACE(number, count[number]) = 0
	:: else -> break
	od;
	state[number] = EMPTY;
	next[number] = empties;
	empties = number;
	number = 0
}

/* One cell for who asks, the others for a block or the depot. */
inline refill()
{
	d_step {
		slab_take(cell);
		if
		:: cell != 0 ->
			assert(owner[cell] == 0);
			owner[cell] = me
		:: else
		fi
	}
#if CAPACITY > 1
	if
	:: gate && in_slab[1] ->
		take_empty(incoming);
		if
		:: incoming != 0 ->
			d_step {
				slab_take(PLACE(incoming, 0));
				count[incoming] = 1
			}
			look(THE_LOADED, seen);
			if
			:: COUNT_OF(seen) == 0 -> load()
			:: else ->
				seen = 0;
				depot_put(incoming)
			fi
		:: else
		fi
	:: else
	fi
#endif
}

inline flush()
{
	lock_acquire();
	if
	:: gate ->
		pop_stack(young, incoming);
		d_step {
			if
			:: incoming != 0 -> empty_locked(incoming)
			:: else
			fi
		}
	:: else
	fi;
	lock_release()
}

inline allocate()
{
	pop_any();
	if
	:: cell == 0 ->
		lock_acquire();
		refill();
		lock_release()
	:: else
	fi;
	cell = 0
}

inline give_back()
{
	push_any();
	if
	:: no_room ->
		no_room = 0;
		flush()
	:: else
	fi;
	if
	:: cell != 0 ->
		lock_acquire();
		d_step {
			owner[cell] = 0;
			slab_give(cell);
			cell = 0
		}
		lock_release()
	:: else
	fi
}
