/* SPDX-License-Identifier: MIT */
/*
 * percpu_end - who looks whether all is well in percpu.pml: a drainer or a child
 */
/* --------------------------------- audits -------------------------------- */

/* Magazine `number` is here, with this count. */
inline audit_magazine(n)
{
	assert(!found[number]);
	found[number] = 1;
	i = 0;
	do
	:: i < n ->
		n_places[PLACE(number, i)]++;
		i++
	:: else -> break
	od
}

inline audit_word(word)
{
	number = MAGAZINE_OF(word);
	if
	:: number != 0 -> audit_magazine(COUNT_OF(word))
	:: else
	fi
}

inline audit_stack(stack)
{
	number = stack;
	do
	:: number != 0 ->
		audit_magazine(count[number]);
		number = next[number]
	:: else -> break
	od
}

/* Each magazine and cell is in one place; or lost, if they may be. */
inline audit(may_be_lost)
{
	d_step {
		audit_word(LOADED(0));
		audit_word(PREVIOUS(0));
		audit_word(LOADED(1));
		audit_word(PREVIOUS(1));
		audit_stack(young);
		audit_stack(empties);
		audit_stack(spare);
		number = 1;
		do
		:: number <= N_MAGAZINES ->
			assert(found[number] || may_be_lost);
			found[number] = 0;
			number++
		:: else -> break
		od;
		number = 1;
		do
		:: number <= N_CELLS ->
			i = n_places[number] + in_slab[number] +
			    (owner[number] != 0);
			assert(i == 1 || i == 0 && may_be_lost);
			n_places[number] = 0;
			number++
		:: else -> break
		od;
		assert(n_places[0] == 0);
		number = 0;
		i = 0
	}
}

#define AUDITOR \
	byte number, i; \
	byte n_places[N_CELLS + 1]; \
	bool found[N_MAGAZINES + 1]

/* -------------------------------- the drainer ---------------------------- */

inline drain_word(word)
{
	number = MAGAZINE_OF(word);
	if
	:: number != 0 ->
		d_step {
			count[number] = COUNT_OF(word);
			word = 0;
			empty_locked(number)
		}
	:: else
	fi
}

inline drain()
{
	drain_word(LOADED(0));
	drain_word(PREVIOUS(0));
	drain_word(LOADED(1));
	drain_word(PREVIOUS(1));
	do
	:: young != 0 ->
		d_step {
			number = young;
			young = next[number];
			empty_locked(number)
		}
	:: else -> break
	od
}

/* membarrier: one CPU after the other. */
inline fence()
{
	section[0] = 0;
	section[1] = 0
}

/* The sum, CPU by CPU; looked at again when something has changed. */
inline wait_for_hands()
{
#ifdef NO_COUNT
	quiet = 1
#else
	do
	:: hand = in_hand[0];
		if
		:: d_step { hand + in_hand[1] == 0 -> quiet = 1 } -> break
		:: hand + in_hand[1] != 0 && in_hand[0] != hand
		fi
	od;
	hand = 0
#endif
}

proctype drainer(byte me)
{
	AUDITOR;
	short hand;

#ifdef EARLY_FENCE
	fence();
#endif
	lock_acquire();
	gate = 0;
	lock_release();
#ifndef EARLY_FENCE
	fence();
#endif
	wait_for_hands();
	lock_acquire();
	audit(false);
	drain();
	audit(false);
	d_step {
		quiet = 0;
		gate = 1
	}
	lock_release()
}

/* --------------------------------- the child ----------------------------- */

inline mark_word(word)
{
	found[MAGAZINE_OF(word)] = 1
}

inline mark_stack(stack)
{
	number = stack;
	do
	:: number != 0 ->
		assert(!found[number]);
		found[number] = 1;
		number = next[number]
	:: else -> break
	od
}

#ifdef ADOPT_BY_COUNT
#define ORPHAN_COUNT count[number]
#else
#define ORPHAN_COUNT \
	(state[number] == IN_BLOCK -> COUNT_OF(left_at[number]) : count[number])
#endif

inline adopt_orphans()
{
	mark_word(LOADED(0));
	mark_word(PREVIOUS(0));
	mark_word(LOADED(1));
	mark_word(PREVIOUS(1));
	mark_stack(young);
	mark_stack(empties);
	number = 1;
	do
	:: number <= N_MAGAZINES ->
		if
		:: !found[number] ->
			count[number] = ORPHAN_COUNT;
			if
			:: count[number] == 0 ->
				next[number] = empties;
				empties = number
			:: else ->
				next[number] = young;
				young = number
			fi
		:: else
		fi;
		found[number] = 0;
		number++
	:: else -> break
	od;
	found[0] = 0
}
