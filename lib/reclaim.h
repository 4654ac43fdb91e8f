/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: reclaim - rounds: grace periods, and who waits for them
 *
 * Theory
 *
 *	free              a sheaf is full: list the cache in its domain, once;
 *	                  wake the reclaimer if it sleeps
 *	round             take the list; for each cache, collect what waits;
 *	                  synchronize_rcu(); for each cache, give it back
 *
 * CUBBY_RECLAIM_THREAD: a thread of ours does rounds.  It sleeps for ever when
 * no cache is listed; otherwise it lets frees gather for a while first, at least
 * DELAY_NS_MIN and ten times as long as the last grace period took, but at most
 * DELAY_NS_MAX.  So grace periods cost little whatever the flavour, and cells
 * come back while they are in the processor's caches.  It is registered with no
 * flavour, for synchronize_rcu() asks for none; all signals are blocked on it.
 *
 * CUBBY_RECLAIM_POLL: cubby_rcu_poll() begins a round, asks the thread for a grace
 * period, and ends the round in a later call.  So dtor runs where the program
 * polls.  (The flavour's call_rcu() could tell as well; but it does so every
 * 10 ms, in which 0.5 million objects came to wait, at 31 to 40 ns a life.)
 *
 * A barrier does a whole round on the caller's thread.
 *
 * The list is lock-free: pushed to by anybody, taken as a whole by a round.
 */
#ifndef CUBBY__RECLAIM_H
#define CUBBY__RECLAIM_H

#include "compiler.h"
#include "flavor.h"

#include <cubby/cache.h>

struct domain;

/* The domain for these, and its thread: 0, -EAGAIN or -E2BIG; the detail. */
int cubby__reclaim_find_domain(const struct rcu_flavor_struct *flavor,
			       enum cubby_reclaim reclaim,
			       struct domain **ret_domain);

/* Something of the cache waits; @urgent: do not let more gather. */
void cubby__reclaim_notify(struct cubby_cache *cache, bool urgent);

/*
 * Wait for the end of a round that gives back something of the cache's, at most
 * so long: false if that was of no use, or this thread must not wait.
 */
bool cubby__reclaim_await(struct cubby_cache *cache, uint64_t ns);

/*
 * For who ends a round: the program exits, and this is the thread of ours, which
 * begins no dtor any more.
 */
bool cubby__reclaim_must_stop(const struct cubby_cache *cache);

/* May this thread wait for it, and is there a thread that reclaims? */
bool cubby__reclaim_may_await(const struct cubby_cache *cache);

/*
 * All that waited before the call is free after it: 0, -EDEADLK, or -EBUSY if
 * the cache does not stand still, with a detail.
 */
int cubby__reclaim_barrier(struct cubby_cache *cache);

/* The cache is closed and empty: no round will look at it again. */
void cubby__reclaim_forget(struct cubby_cache *cache);

/* For fork, in the child: nothing is in a round, and all is listed. */
void cubby__reclaim_fork_child(void);

#endif /* CUBBY__RECLAIM_H */
