/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: stacks - call stacks, each kept once
 *
 * A stack is a number.  Equal stacks have equal numbers, counted from 1, and are
 * for ever.  They lie one after another in one mapping, behind two tables, chains by
 * their hash, in which they are looked for, and where each number's is, and the path
 * of the program:
 *
 *	0        64 KiB    320 KiB                            16 MiB
 *	+--------+---------+------+-------+-------+---------+
 *	| heads  | places  | path | stack | stack | ...     |
 *	+--------+---------+------+-------+-------+---------+
 *
 * The chains are lock-free and only grow: who finds that another has put in the
 * same stack meanwhile leaves his own behind, unused.
 *
 * The unwinder is the C library's backtrace(), which loads a library the first
 * time: that is done by _init(), and nothing of it allocates afterwards.  Without
 * it, as with musl, no stack is known.
 *
 * Threads: all are MT-safe, and all but _init() async-signal-safe.
 */
#ifndef CUBBY__STACKS_H
#define CUBBY__STACKS_H

#include "compiler.h"
#include "text.h"

#define STACK_FRAMES_MAX 24

/* Before the first stack is taken, by anybody; false: no memory. */
bool cubby__stacks_init(void);

/* The stack of the caller; 0: it is not known, or there is no room. */
uint32_t cubby__stacks_take(void);

/* Numbers given are below this one. */
uint32_t cubby__stacks_end(void);

/* Its return addresses, innermost first: how many. */
size_t cubby__stacks_frames(uint32_t number, void *const **ret_frames);

/* "/usr/bin/server+0x1b2c", or the address where nothing is known of it. */
void cubby__stacks_describe(struct text *text, const void *address);

/*
 * How many of the innermost frames are this library's, and of a tool that has put
 * itself before the unwinder; 0 where the library is part of the program.
 */
size_t cubby__stacks_n_ours(void *const *frames, size_t n_frames);

#endif /* CUBBY__STACKS_H */
