/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: boot - malloc() that is called while it makes a cache
 *
 * Making a cache calls nothing that allocates.  But another preloaded library
 * may have put itself in front of what it calls, sysconf() or
 * pthread_atfork(), and allocate there; then this thread's blocks come from a
 * small arena that is never given back.
 *
 * For the same reason memory is asked for by system calls here, and not by the
 * functions of the C library: those are called under locks.
 */
#ifndef CUBBY__BOOT_H
#define CUBBY__BOOT_H

#include "compiler.h"

/* This thread makes a cache from here to there; brackets nest. */
void cubby__boot_begin(void);
void cubby__boot_end(void);

/* Is this thread between the two? */
bool cubby__boot_is_on(void);

/* Then, a block of zeroes; NULL: the arena is used up. */
void *cubby__boot_alloc(size_t bytes, size_t align_bytes);

/* How large is this block of the arena?  0: it is not in it. */
size_t cubby__boot_usable_bytes(const void *block);

#endif /* CUBBY__BOOT_H */
