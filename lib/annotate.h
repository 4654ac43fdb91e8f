/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: annotate - which tools are watching, and telling them of objects
 *
 * Valgrind and the run-times of sanitizers and of heaptrack are found at run time,
 * so that one binary of the library serves with and without them; the latter as
 * weak symbols.  A process cannot change who watches it.
 *
 *	                  an object begins      ends          red zones
 *	memcheck          MALLOCLIKE            FREELIKE      no access
 *	massif, DRD       the same              the same      -
 *	Helgrind          clean, acquire        release       -
 *	AddressSanitizer  unpoison              poison        poison
 *	MemorySanitizer   not initialised       -             -
 *	ThreadSanitizer   acquire               release       -
 *	heaptrack         malloc                free          -
 *
 * With CUBBY_OPTIONS=annotate=off none of them is told anything.
 *
 * Passthrough.  DHAT knows no requests, and sees malloc() alone: there, or with
 * CUBBY_OPTIONS=passthrough, each object is a block of malloc(), and nobody need be
 * told of it.
 */
#ifndef CUBBY__ANNOTATE_H
#define CUBBY__ANNOTATE_H

#include "compiler.h"

/* Running under a tool of Valgrind? */
bool cubby__annotate_on_valgrind(void);

/* Is ThreadSanitizer's run-time in the process? */
bool cubby__annotate_on_tsan(void);

/* Is each object to be a block of malloc()?  Then the answers below are no. */
bool cubby__annotate_passes(void);

/* Does anybody want to be told of objects? */
bool cubby__annotate_objects(void);

/* Does somebody look at each access, so that red zones are of use? */
bool cubby__annotate_accesses(void);

/*
 * Does somebody search for lost objects?  Then cells are in blocks of malloc(), for
 * memcheck takes what is in mappings for roots; and no old pointers are kept.
 */
bool cubby__annotate_searches(void);

/* Such a block is there: it is not an object itself, though what is in it are. */
void cubby__annotate_hide(void *start, size_t n_bytes);

/* A new type of objects; 0 if nobody is told of types. */
uint64_t cubby__annotate_type(const char *name);

/* An object begins; @is_defined: its bytes have been written. */
void cubby__annotate_alloc(void *object, size_t object_bytes, bool is_defined,
			   uint64_t type);
void cubby__annotate_free(void *object, size_t object_bytes);

/* A free of what is no object: Valgrind tells where it was allocated, and freed. */
void cubby__annotate_wrong_free(void *address);

/* What nobody may touch, and what may be touched outside of objects' lives. */
void cubby__annotate_no_access(void *start, size_t n_bytes);
void cubby__annotate_access(void *start, size_t n_bytes);

/* Pointers are in these bytes, wherever they are readable (LeakSanitizer). */
void cubby__annotate_roots(void *start, size_t n_bytes, bool are_roots);

/* What AddressSanitizer calls with its report, and the address that is in it. */
void cubby__annotate_set_callback(void (*callback)(const char *report));
void *cubby__annotate_reported(void);

/*
 * All that was before a grace period of this flavour has happened before what
 * follows: ThreadSanitizer does not see that by itself.  Pairs with a
 * __tsan_release() of the same address by who leaves a read section.
 */
void cubby__annotate_acquire(const void *address);

#endif /* CUBBY__ANNOTATE_H */
