/* SPDX-License-Identifier: MIT */
/*
 * wheel.h - timers that name connections.
 *
 * An entry is a name and nothing else: when it comes due, whoever finds the
 * connection asks it whether its time is up, and if not puts the name in again.
 * So nothing is ever cancelled or moved, and a connection that closes leaves its
 * entries where they are; they find nothing.
 *
 * Threads: MT-safe; a tick is run by one thread at a time.
 */
#ifndef SERVER_WHEEL_H
#define SERVER_WHEEL_H

#include <stdint.h>

struct wheel;

/* Exits if there is no memory, as wheel_add() does. */
struct wheel *wheel_create(uint64_t now_ms, uint64_t tick_ms);
void wheel_destroy(struct wheel *wheel);

/* At this time or earlier; never before the next tick. */
void wheel_add(struct wheel *wheel, uint64_t name, uint64_t due_ms);

/* Call `due` for all names that are due. */
void wheel_tick(struct wheel *wheel, uint64_t now_ms,
		void (*due)(uint64_t name, void *context), void *context);

/* Names in it. */
uint64_t wheel_n_names(struct wheel *wheel);

#endif /* SERVER_WHEEL_H */
