/* SPDX-License-Identifier: MIT */
/*
 * stack - the lock-free stacks of magazines
 *
 * Mirrors cubby__magazine_push(), cubby__magazine_pop() and next_word() of
 * lib/magazine.c; the third process does what flush_locked(), push_aged(),
 * pop_aged() of lib/depot.c and cubby__magazine_trim() do with magazines that
 * they hold: it writes their `next`.
 *
 * Bounds: 3 magazines; the stack of a depot and the stack of empties; two
 * threads of OPS pushes or pops each, in any order, which may hold two
 * magazines; one holder of the slab lock, once.  One step is one access of
 * shared memory.  Compare-exchanges may fail for no reason, as weak ones do.
 * Memory is sequentially consistent; the tag never wraps.
 *
 * Properties: a magazine that is popped was held by nobody; at the end each
 * is held by one or stands in one stack, once (M1).
 *
 * Planted: NO_TAG.
 */
#define N_MAGAZINES 3
#ifndef OPS
#define OPS 3
#endif

#define YOUNG 0
#define EMPTIES 1

/* {tag, number}, in a word that is read and exchanged in one step. */
#define NUMBER(word) ((word) & 7)
#ifdef NO_TAG
#define NEXT_WORD(word, number) (number)
#else
#define NEXT_WORD(word, number) ((((word) >> 3) + 1) << 3 | (number))
#endif

short stack[2];
byte next[N_MAGAZINES + 1];
byte holder[N_MAGAZINES + 1]; /* who, for the properties only; 0: nobody */
byte n_left;

#define ME (_pid + 1)

inline push(which, number)
{
	word = stack[which];
	do
	:: next[number] = NUMBER(word);
		if
		:: atomic {
			stack[which] == word ->
			stack[which] = NEXT_WORD(word, number);
			holder[number] = 0;
			break
		}
		:: word = stack[which]
		fi
	od;
	word = 0
}

inline pop(which, number)
{
	word = stack[which];
	do
	:: NUMBER(word) == 0 ->
		number = 0;
		break
	:: else ->
		after = next[NUMBER(word)];
		if
		:: atomic {
			stack[which] == word ->
			stack[which] = NEXT_WORD(word, after);
			number = NUMBER(word);
			assert(holder[number] == 0);
			holder[number] = ME;
			break
		}
		:: word = stack[which]
		fi
	od;
	word = 0;
	after = 0
}

proctype thread()
{
	short word;
	byte after, first, second, which, n_ops;

	do
	:: atomic {
		n_ops < OPS ->
		n_ops++;
		if
		:: which = YOUNG
		:: which = EMPTIES
		fi
	}
		if
		:: first == 0 -> pop(which, first)
		:: first != 0 && second == 0 -> pop(which, second)
		:: first != 0 ->
			push(which, first);
			first = second;
			second = 0
		:: second != 0 ->
			push(which, second);
			second = 0
		fi
	:: break
	od;
	n_left--
}

/* Under the slab lock: `next` of what it holds makes the list of aged ones. */
proctype locked()
{
	short word;
	byte after, first, second;

	pop(YOUNG, first);
	pop(YOUNG, second);
	if
	:: first != 0 && second != 0 ->
		next[first] = 0;
		next[second] = 0;
		next[first] = second
	:: else
	fi;
	if
	:: first != 0 ->
		if
		:: next[first] = 0 /* its page is dropped */
		:: skip
		fi;
		push(EMPTIES, first)
	:: else
	fi;
	if
	:: second != 0 -> push(YOUNG, second)
	:: else
	fi;
	n_left--
}

/* Every magazine is in one place. */
inline check_all()
{
	which = 0;
	do
	:: which < 2 ->
		number = NUMBER(stack[which]);
		do
		:: number != 0 ->
			assert(holder[number] == 0 && !seen[number]);
			seen[number] = 1;
			number = next[number]
		:: else -> break
		od;
		which++
	:: else -> break
	od;
	number = 1;
	do
	:: number <= N_MAGAZINES ->
		assert(seen[number] || holder[number] != 0);
		number++
	:: else -> break
	od
}

init
{
	byte which, number;
	bool seen[N_MAGAZINES + 1];

	d_step {
		/* 1 on 2 on 3; the empties: none. */
		next[1] = 2;
		next[2] = 3;
		stack[YOUNG] = 1;
		n_left = 3
	}
	atomic {
		run thread();
		run thread();
		run locked()
	}
	d_step {
		n_left == 0 ->
		check_all()
	}
}
