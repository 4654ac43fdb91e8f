/* SPDX-License-Identifier: MIT */
/*
 * The cache that stress_abort interrupts, what its handlers do with it by
 * calls, and what its blocks hold.
 */
#ifndef ABORT_H
#define ABORT_H

#include "support/light.h"
#include "support/probe.h"

#include "cache.h"
#include "percpu.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define OBJECT_BYTES 32
#define CAPACITY 4    /* of a magazine: exchanges are near */
#define IDLE_CELLS 40 /* most in the depot */
#define IDLE_BYTES (IDLE_CELLS * (OBJECT_BYTES + 1024 / CAPACITY))
#define HELD_MAX 256

static struct light light;
static void *held[HELD_MAX]; /* stamped */
static size_t n_held;
static void *passing[HELD_MAX]; /* of the call: live or not, no stamps */
static size_t n_passing;
static unsigned interruption, next_interruption; /* indices */
static unsigned first_interruption;
static uint64_t ticket;
static uint64_t n_freed;
static int cpus[2];
static const char *way_name;

static void __attribute__((noreturn)) die(const char *what)
{
	test_die("%s, interruptions %u and %u, last at %#lx: %s: %s", way_name,
		 first_interruption, next_interruption,
		 (unsigned long)(probe.at - (uintptr_t)__executable_start),
		 what, cubby_error_detail());
}

static void
die_unless(bool good, const char *what)
{
	if (!good)
		die(what);
}

static void
go_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	die_unless(sched_setaffinity(0, sizeof(set), &set) == 0, "affinity");
}

static void
hold(void *object)
{
	die_unless(object != NULL && n_held < HELD_MAX, "no object");
	light_take(&light, object, ++ticket);
	held[n_held++] = object;
}

/* The last one that is held is free of stamps, and to be freed. */
static void *
let_go(void)
{
	void *object = held[--n_held];

	light_give(&light, object);
	n_freed++;
	return object;
}

/* By calls of the library, as most handlers do. */
static void
alloc_held(size_t n)
{
	while (n-- > 0)
		hold((cubby_alloc)(light.cache));
}

static void
free_held(size_t n)
{
	while (n-- > 0)
		(cubby_free)(light.cache, let_go());
}

/* -EBUSY, at once, is the right answer inside of an exchange only. */
static bool
was_busy(int err)
{
	die_unless(err == 0 || err == -EBUSY, "neither 0 nor -EBUSY");
	if (err == -EBUSY && cubby__percpu_works)
		die_unless(cubby__percpu_has_any(), "busy without reason");
	return err != 0;
}

/* ---------------------------------- states -------------------------------- */

/* What this CPU's block and the depot have. */
struct fill {
	uint32_t loaded, previous, deferred;
	bool has_previous, has_loaded, is_full;
	bool has_sheaf, is_sheaf_full;
	int64_t depot;
	bool has_young, has_aged;
};

static struct fill
look(void)
{
	const struct block *block;
	struct fill fill;

	block = cubby__percpu_works ?
			cubby__front_block(light.cache,
					   cubby__percpu_number()) :
			stripe_block(cubby__stripe_mine(),
				     light.cache->front.block);
	fill.loaded = magazine_cells_below(block->loaded);
	fill.previous = magazine_cells_below(block->previous);
	fill.deferred = magazine_cells_below(block->deferred);
	fill.has_loaded = block->loaded != 0;
	fill.has_previous = block->previous != 0;
	fill.is_full = (block->loaded & FULL_MASK_OPEN) == 0;
	fill.has_sheaf = block->deferred != 0;
	fill.is_sheaf_full = (block->deferred & FULL_MASK_OPEN) == 0;
	fill.depot = cubby__depot_n_cells(&light.cache->front);
	fill.has_young = cubby__quiesce_count_young(light.cache) != 0;
	fill.has_aged = light.cache->front.aged_first != 0;
	return fill;
}

static bool
has_some(void)
{
	struct fill fill = look();

	return fill.loaded != 0 && !fill.is_full;
}

static bool
has_one_in_previous(void)
{
	struct fill fill = look();

	return fill.loaded == 0 && fill.previous != 0;
}

static bool
has_one_in_depot(void)
{
	struct fill fill = look();

	return fill.loaded == 0 && fill.previous == 0 && fill.has_young;
}

static bool
has_none(void)
{
	struct fill fill = look();

	return fill.loaded == 0 && fill.previous == 0 && !fill.has_young &&
	       !fill.has_aged;
}

static bool
has_room_in_previous(void)
{
	struct fill fill = look();

	return fill.has_loaded && fill.is_full && fill.has_previous &&
	       fill.previous == 0;
}

static bool
has_no_room(void)
{
	struct fill fill = look();

	return fill.has_loaded && fill.is_full && fill.previous == CAPACITY &&
	       fill.depot <= IDLE_CELLS / 2;
}

static bool
has_nothing_loaded(void)
{
	return !look().has_loaded;
}

static bool
overflows(void)
{
	struct fill fill = look();

	return fill.has_loaded && fill.is_full && fill.previous == CAPACITY &&
	       (uint64_t)fill.depot + CAPACITY >
		       cubby__depot_bound(&light.cache->front);
}

/* The same of what waits for a grace period. */
static bool
has_no_sheaf(void)
{
	return !look().has_sheaf;
}

static bool
has_room_in_sheaf(void)
{
	struct fill fill = look();

	return fill.has_sheaf && !fill.is_sheaf_full && fill.deferred != 0;
}

static bool
has_full_sheaf(void)
{
	struct fill fill = look();

	return fill.has_sheaf && fill.is_sheaf_full;
}

static bool
has_sheaf_that_waits(void)
{
	return has_room_in_sheaf() &&
	       magazine_stack_top(&light.cache->defer.waiting) != 0;
}

#endif /* ABORT_H */
