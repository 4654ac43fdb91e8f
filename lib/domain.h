/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: domain - a flavour of RCU with a back end: its thread and its rounds
 *
 * All caches that have both share a domain, and so its grace periods.  What a
 * round does is reclaim.c's; here is whose it is, and what becomes of it when
 * the program exits or forks.
 *
 * Lock: `round_owner`, held over a whole round, dtor included, which is none of
 * the ranked locks: nothing is held when it is taken.  Fork does not take it: in
 * the child what a round of another thread's had in hand goes back to wait
 * (collect.c), and the round is nobody's.
 *
 * Nor does fork wait for a round, but up to 30 ms for the end of a grace period
 * (outside of read sections) and of a dtor: the child would inherit the locks of
 * liburcu, and could not know which dtor has run.  It has a thread of its own,
 * begun by our fork handler.  The rules of liburcu about fork are the program's:
 * with other threads registered in the parent, a grace period of memb, mb or
 * qsbr in the child would wait for them for ever.
 */
#ifndef CUBBY__DOMAIN_H
#define CUBBY__DOMAIN_H

#include "compiler.h"
#include "flavor.h"

#include <cubby/cache.h>

#define DOMAINS_MAX 8

struct domain {
	/* Constant once it is in use. */
	const struct rcu_flavor_struct *flavor;
	enum cubby_reclaim reclaim;
	void *(*run)(void *domain); /* of its thread */

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
	uint32_t sleeps;            /* futex: enum in reclaim.c; 0: awake */
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

/*
 * The domain for these, and its thread: 0, -EAGAIN or -E2BIG; the detail.
 * @run: what the thread does, the same for the same back end.
 */
int cubby__domain_find(const struct rcu_flavor_struct *flavor,
		       enum cubby_reclaim reclaim, void *(*run)(void *domain),
		       struct domain **ret_domain);

/* Sleep until it is woken, for at most so long, or for ever if it is 0. */
void cubby__domain_sleep(uint32_t *word, uint32_t seen, uint64_t ns);
void cubby__domain_wake(uint32_t *word);

/* The round's lock. */
bool cubby__domain_try_round(struct domain *domain);
void cubby__domain_take_round(struct domain *domain);
void cubby__domain_leave_round(struct domain *domain);
bool cubby__domain_round_is_mine(const struct domain *domain);
bool cubby__domain_some_round_is_mine(void);

/* A grace period, here and now. */
void cubby__domain_synchronize(struct domain *domain);

/* The same by the thread, which learns from it how long frees may gather. */
void cubby__domain_synchronize_timed(struct domain *domain);

/* Around dtor, and what says that it has begun. */
void cubby__domain_call_begins(struct domain *domain);
void cubby__domain_call_ends(struct domain *domain);

/* Does the program exit?  Then the thread begins no dtor. */
bool cubby__domain_exits(void);

/*
 * For fork: no thread of ours, and none that we have called for, is inside of
 * synchronize_rcu(), if that ends soon.  In the child; _begin with all locks
 * held, _end without.  _begin: are there any domains?
 */
void cubby__domain_fork_prepare(void);
void cubby__domain_fork_parent(void);
bool cubby__domain_fork_child_begin(void);
void cubby__domain_fork_child_end(void);

#endif /* CUBBY__DOMAIN_H */
