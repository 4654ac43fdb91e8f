/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: annotate - which tool is watching
 *
 * Valgrind and the sanitizers are found at run time, so that one binary of
 * the library serves with and without them.
 */
#ifndef CUBBY__ANNOTATE_H
#define CUBBY__ANNOTATE_H

#include "compiler.h"

/* Running under a tool of Valgrind?  A process cannot change that. */
bool cubby__annotate_on_valgrind(void);

/* Is ThreadSanitizer's run-time in the process? */
bool cubby__annotate_on_tsan(void);

/*
 * All that was before a grace period of this flavour has happened before what
 * follows: ThreadSanitizer does not see that by itself.  Pairs with a
 * __tsan_release() of the same address by who leaves a read section.
 */
void cubby__annotate_acquire(const void *address);

#endif /* CUBBY__ANNOTATE_H */
