/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: finding - what a watched cache has found, for people
 *
 *	cubby: red-zone: cache 'conn': 1 byte behind object 0x7f... (cell 2, 40
 *	    bytes) was written: 0x41, not 0xcc, at offset 40; found at its free;
 *	    <advice>
 *	cubby:   allocated 1203 ms ago by thread 4242 at
 *	cubby:     /usr/bin/server+0x1b2c
 *	cubby:   before 0x7f...00: cc cc cc ...  ....
 *	cubby:   object 0x7f...10: 5a 5a 5a ...  ZZZZ
 *	cubby:   after  0x7f...38: 41 cc cc ...  A...
 *	cubby:   restored, and going on
 *
 * Nothing is allocated, and no lock is taken.
 */
#ifndef CUBBY__FINDING_H
#define CUBBY__FINDING_H

#include "cache.h"
#include "guard.h"

/*
 * @when: "at its free".
 * @may_abort: false: it is repaired already, and the caller goes on.
 */
void cubby__finding_report(const struct cubby_cache *cache, uint64_t cell,
			   const struct guard_damage *damage, const char *when,
			   bool may_abort) COLD;

/* A cell was handed out that is an object already. */
void cubby__finding_taken_twice(const struct cubby_cache *cache,
				uint64_t cell) COLD;

struct debug_event;
struct debug_user;

/* It is now, by this thread, with this stack. */
void cubby__finding_note(struct debug_event *event);

/* Lines on who allocated an object and who freed it, as far as that is known. */
void cubby__finding_events(const struct debug_user *user) COLD;

void cubby__finding_history(const struct cubby_cache *cache,
			    uint64_t cell) COLD;

/*
 * Behind a report of AddressSanitizer: what the address in it is to us.  Nothing
 * if it is in no watched cache.
 */
void cubby__finding_describe(const char *report) COLD;

/* Where an offset from an object is, "behind" it for example, and how far. */
size_t cubby__finding_place(ptrdiff_t offset, size_t object_bytes,
			    const char **ret_where) COLD;

/* Lines with the frames of a stack. */
void cubby__finding_stack(uint32_t stack) COLD;

/* The same of a handler's, from where it was interrupted on. */
void cubby__finding_stack_from(uint32_t stack, const void *pc) COLD;

#endif /* CUBBY__FINDING_H */
