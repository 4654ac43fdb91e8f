/* SPDX-License-Identifier: MIT */
/*
 * The aviary: a table that many threads share, in which canaries (canary.h) live
 * and die; and all that a thread may do there.
 *
 * What a cell of the table holds depends on its number:
 *
 *	BY_HANDLE   a handle; whoever likes frees it, and one does
 *	BY_POINTER  a handle, and the object, of which who takes it is the owner
 *	PUBLISHED   an object that is read by pointer, which free_rcu is for
 *	UNNAMED     an object without a handle; only walkers look at it
 *
 * and each has some handles that are known to be dead: no call may find them.
 * Of some cells BY_POINTER the handle is stored and loaded without any order.
 */
#ifndef CUBBY_TESTS_AVIARY_H
#define CUBBY_TESTS_AVIARY_H

#include "canary.h"
#include "flavor.h"

#include <pthread.h>

#define KEEPERS_MAX 16
#define KEEPER_WATCHES_MAX 4096

/* A line of the table in cubby/cache.h, with a flavour and a back end. */
struct trial {
	const char *name;
	enum cubby_weak_mode weak;
	bool is_strong;
	const struct test_flavor *flavor; /* NULL: none */
	enum cubby_reclaim reclaim;
};

/* What a cache may have besides. */
struct variant {
	unsigned n_words;
	bool has_callbacks;
	uint64_t max_deferred; /* 0: no limit; else alloc may fail */
	uint64_t magazine_capacity;
	uint64_t flags;
};

/* A thread. */
struct keeper {
	unsigned number;
	uint64_t random;
	uint64_t handler_random;
	uint64_t n_serials;
	uint64_t n_private; /* objects that nobody else saw, and that ended */
	unsigned n_watches;
	struct watched watches[KEEPER_WATCHES_MAX];
	pthread_t thread;
};

/* Of all trials; atomic. */
struct aviary_counts {
	uint64_t n_hits, n_misses, n_refused, n_signals, n_retired;
};

extern struct aviary_counts aviary_counts;

/* A new cache, and an empty table. */
void aviary_open(const struct trial *trial, const struct variant *variant);

/* Threads are no more: all ends, and everything must add up. */
void aviary_close(const struct keeper *keepers, unsigned n_keepers);

/* By a keeper's thread: one thing at random, outside of read sections. */
void keeper_begin(struct keeper *keeper);
void keeper_operate(void);
void keeper_end(void);

/* In a signal handler of a keeper's thread. */
void keeper_on_signal(void);

#endif /* CUBBY_TESTS_AVIARY_H */
