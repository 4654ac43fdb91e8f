/* SPDX-License-Identifier: MIT */
/*
 * cubby/rcu.h - a flavour of RCU for programs that know none.
 *
 * Not of libcubby but of libcubby-rcu, which needs liburcu-bp (`pkg-config
 * cubby-rcu` knows both).  With it, borrows of CUBBY_WEAK_RCU need no word of
 * liburcu:
 *
 *	CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU, .rcu = cubby_rcu_flavor())
 *
 *	cubby_rcu_read_lock();
 *	truck = truck_weak_get(trucks, handle);
 *	if (truck != NULL)
 *		look_at(truck);
 *	cubby_rcu_read_unlock();
 *
 * Caveats first:
 *
 *   - A program that uses liburcu gives its own flavour to its caches instead,
 *     and then nothing of this: a section of one flavour protects nothing
 *     from the grace periods of another.  urcu-bp itself is the same flavour as
 *     this one, however it is called.
 *   - It is the flavour that asks least, not the fastest.  No thread need be
 *     registered, and a thread may end at any point; but a pair of calls costs
 *     some 10 ns, where urcu-memb takes less than 1.
 *   - A grace period that meets a reader waits for it in steps of 10 ms, and
 *     all signals are blocked in the thread that waits.  So memory comes back
 *     some 10 ms after it was freed, where threads read all the time.
 *   - In a read section nobody may wait for a grace period
 *     (cubby_rcu_barrier()), nor for anyone who does.
 *
 * Fork.  Since the first cubby_rcu_flavor(), fork() runs the three functions
 * below by itself (pthread_atfork(3)): before it, after the handlers that were
 * registered later have run; after it, before they do.  So a handler that
 * takes a lock which threads hold while they wait for a grace period must be
 * registered after that first call, or it waits for ever: create the caches
 * first.  _Fork() and clone() run no handlers, and a program that goes on in
 * the child without exec calls the three itself.  A program that calls
 * urcu_bp_before_fork() itself must not use cubby_rcu_flavor(): it gives
 * &urcu_bp_flavor to its caches.  A fork waits for the grace period that is
 * under way; with CUBBY_RECLAIM_POLL also for liburcu's thread, which looks up
 * every 10 ms.
 */
#ifndef CUBBY_RCU_H
#define CUBBY_RCU_H

#include <cubby/base.h>

CUBBY_BEGIN_DECLS

struct rcu_flavor_struct;

/*
 * The flavour, for cubby_cache_attr.rcu: &urcu_bp_flavor.  The first call
 * installs the handlers of fork().
 *
 * Threads: MT-safe; not in a signal handler.  Never fails: where there is no
 * memory for the handlers, fork() goes without.
 */
CUBBY_API CUBBY_MUST_USE const struct rcu_flavor_struct *
cubby_rcu_flavor(void);

/*
 * Begin and end a read section.  They nest; what was borrowed is good until the
 * outermost end.  A thread's first section registers it, which takes a lock
 * and may map memory; it is unregistered when it ends, also in a section.
 *
 * Threads: MT-safe.  Async-signal-safe in a thread that was in a section
 * before; a handler ends what it began.  Not after the thread's last key
 * destructors, and not in the child of vfork().
 * Cost: some 13 ns a pair.  Orders nothing with other readers.
 */
CUBBY_API void cubby_rcu_read_lock(void);
CUBBY_API void cubby_rcu_read_unlock(void);

/*
 * Around a fork that runs no handlers (see above): before it, and after it in
 * the parent and in the child.  Outside of read sections.  All signals are
 * blocked from the first to the second, and nobody's grace period goes on.
 */
CUBBY_API void cubby_rcu_before_fork(void);
CUBBY_API void cubby_rcu_after_fork_parent(void);
CUBBY_API void cubby_rcu_after_fork_child(void);

CUBBY_END_DECLS

#endif /* CUBBY_RCU_H */
