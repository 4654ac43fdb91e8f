/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: reclaim - rounds: grace periods, and who waits for them
 *
 * Theory
 *
 * A domain is a flavour with a back end.  All caches that have both share it,
 * and so its grace periods.
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
 *
 * Lock: a domain's `round`, held over a whole round, dtor included, which is
 * none of the ranked locks: nothing is held when it is taken.  Fork does not
 * take it: in the child what a round of another thread's had in hand goes back
 * to wait (collect.c), and the round is nobody's.
 *
 * Nor does fork wait for a round, but up to 30 ms for the end of a grace period
 * (outside of read sections) and of a dtor: the child would inherit the locks of
 * liburcu, and could not know which dtor has run.  It has
 * a reclaimer of its own, begun by our fork handler.  The
 * rules of liburcu about fork are the program's: with other threads registered
 * in the parent, a grace period of memb, mb or qsbr in the child would wait for
 * them for ever.
 */
#ifndef CUBBY__RECLAIM_H
#define CUBBY__RECLAIM_H

#include "compiler.h"
#include "flavor.h"

#include <cubby/cache.h>

#include <pthread.h>

#define DOMAINS_MAX 8

struct domain {
	/* Constant once it is in use. */
	const struct rcu_flavor_struct *flavor;
	enum cubby_reclaim reclaim;

	bool is_used;
	bool is_qsbr; /* registered threads are in a section unless offline */

	bool has_thread;

	/* Atomic: the round's lock. */
	uintptr_t round_owner; /* cubby__stripe_self(), or 0 */
	uint32_t n_left;       /* futex: that were ended */
	uint32_t n_taking;     /* that wait for it */

	/* Atomic. */
	struct cubby_cache *listed; /* caches with work, by next_listed */
	uint32_t is_pending;        /* something came since the last round */
	uint32_t sleeps;            /* futex: enum in reclaim.c */
	uint32_t n_rounds;          /* futex: that have ended */
	uint32_t n_waiters;
	uint32_t calls_back; /* dtor may be running */
	uint32_t n_in_sync;  /* threads inside of synchronize_rcu() */
	uint32_t n_in_calls; /* and inside of dtor */

	/* Of the thread. */
	uint64_t delay_ns;

	/* Of the round. */
	struct cubby_cache *in_round;
	bool awaits; /* POLL: the round is half done */

	/* POLL: grace periods, and of the thread alone. */
	uint32_t n_asked; /* futex */
	uint32_t n_granted;
};

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

/* Around dtor, and what says that it has begun. */
void cubby__reclaim_call_begins(const struct cubby_cache *cache);
void cubby__reclaim_call_ends(const struct cubby_cache *cache);

/* A grace period, here and now. */
void cubby__reclaim_synchronize(struct domain *domain);

/*
 * For fork: no thread of ours, and none that we have called for, is inside of
 * synchronize_rcu(), if that ends soon.  In the child; _begin with all locks
 * held, _end without.
 */
void cubby__reclaim_fork_prepare(void);
void cubby__reclaim_fork_parent(void);
void cubby__reclaim_fork_child_begin(void);
void cubby__reclaim_fork_child_end(void);

#endif /* CUBBY__RECLAIM_H */
