/* SPDX-License-Identifier: MIT */
/*
 * audit.h - for whom an event was meant.
 *
 * Not part of what a server needs: it is how this one knows that it is right.
 * Every connection has a serial number; the audit keeps, outside of the
 * connections, which serial each name was given to, and which serial each cell
 * had last.  Whoever finds a connection by a name compares.
 *
 * So the two kinds of names are judged by the same measure, and neither by its
 * own: a handle that came up twice is seen here, too.
 *
 * Threads: MT-safe, without locks.  A cell is noted by one thread at a time.
 */
#ifndef SERVER_AUDIT_H
#define SERVER_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

struct audit;

/* Room for n_names names; exits if there is no memory. */
struct audit *audit_create(uint64_t n_names);
void audit_destroy(struct audit *audit);

/*
 * From now on the name means this serial, and the cell (an address) has it.
 * @may_repeat: the name may have meant another before.
 */
void audit_note(struct audit *audit, uint64_t name, uint64_t cell,
		uint64_t serial, bool may_repeat);

/* The serial that the name was given to last; 0 if that is not known. */
uint64_t audit_serial(struct audit *audit, uint64_t name);

/* Has the cell that the name was for been given to a later connection? */
bool audit_is_reused(struct audit *audit, uint64_t name);

/* Names that were given to two connections and may not; that found no room. */
uint64_t audit_n_repeated(struct audit *audit);
uint64_t audit_n_unaudited(struct audit *audit);

#endif /* SERVER_AUDIT_H */
