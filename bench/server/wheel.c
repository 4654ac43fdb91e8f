/* SPDX-License-Identifier: MIT */
/*
 * wheel.c - one turn of slots, each an array of names.
 *
 * A name that is due later than a turn from now goes into the last slot, is
 * found not to be due and goes in again.
 *
 * Source: G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels",
 * 1987.
 */
#include "wheel.h"

#include <err.h>
#include <pthread.h>
#include <stdlib.h>

enum { N_SLOTS = 256, SLOT_NAMES_MIN = 64 };

struct slot {
	uint64_t *names;
	size_t n, n_max;
};

struct wheel {
	pthread_mutex_t lock;
	uint64_t tick_ms;
	uint64_t tick; /* the last one that was run */
	uint64_t n_names;
	struct slot slots[N_SLOTS];
	struct slot spare; /* the array of the slot that was run last */
};

struct wheel *
wheel_create(uint64_t now_ms, uint64_t tick_ms)
{
	struct wheel *wheel = calloc(1, sizeof(*wheel));

	if (wheel == NULL)
		err(1, "wheel");
	pthread_mutex_init(&wheel->lock, NULL);
	wheel->tick_ms = tick_ms;
	wheel->tick = now_ms / tick_ms;
	return wheel;
}

void
wheel_destroy(struct wheel *wheel)
{
	if (wheel == NULL)
		return;
	for (size_t i = 0; i < N_SLOTS; i++)
		free(wheel->slots[i].names);
	free(wheel->spare.names);
	pthread_mutex_destroy(&wheel->lock);
	free(wheel);
}

void
wheel_add(struct wheel *wheel, uint64_t name, uint64_t due_ms)
{
	/* Not before it is due: round up. */
	uint64_t tick = (due_ms + wheel->tick_ms - 1) / wheel->tick_ms;
	struct slot *slot;

	pthread_mutex_lock(&wheel->lock);
	if (tick <= wheel->tick)
		tick = wheel->tick + 1;
	if (tick >= wheel->tick + N_SLOTS)
		tick = wheel->tick + N_SLOTS - 1;
	slot = &wheel->slots[tick % N_SLOTS];
	if (slot->n == slot->n_max) {
		slot->n_max = slot->n_max ? slot->n_max * 2 : SLOT_NAMES_MIN;
		slot->names = realloc(slot->names,
				      slot->n_max * sizeof(uint64_t));
		if (slot->names == NULL)
			err(1, "wheel");
	}
	slot->names[slot->n++] = name;
	wheel->n_names++;
	pthread_mutex_unlock(&wheel->lock);
}

/* Swap the array of the next slot that is due with the empty one. */
static int
take_slot(struct wheel *wheel, uint64_t until)
{
	struct slot taken;
	int is_due;

	pthread_mutex_lock(&wheel->lock);
	is_due = wheel->tick < until;
	if (is_due) {
		wheel->tick++;
		taken = wheel->slots[wheel->tick % N_SLOTS];
		wheel->slots[wheel->tick % N_SLOTS] = wheel->spare;
		wheel->spare = taken;
		wheel->n_names -= taken.n;
	}
	pthread_mutex_unlock(&wheel->lock);
	return is_due;
}

void
wheel_tick(struct wheel *wheel, uint64_t now_ms,
	   void (*due)(uint64_t name, void *context), void *context)
{
	while (take_slot(wheel, now_ms / wheel->tick_ms)) {
		for (size_t i = 0; i < wheel->spare.n; i++)
			due(wheel->spare.names[i], context);
		wheel->spare.n = 0;
	}
}

uint64_t
wheel_n_names(struct wheel *wheel)
{
	uint64_t n_names;

	pthread_mutex_lock(&wheel->lock);
	n_names = wheel->n_names;
	pthread_mutex_unlock(&wheel->lock);
	return n_names;
}
