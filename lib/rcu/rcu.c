/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: rcu - urcu-bp, for programs that know no RCU
 *
 * A library of its own, so that libcubby needs no liburcu.  The calls of
 * liburcu are not compiled in: which thread-local variable stands for a reader
 * then stays its business, and so does its licence.
 *
 * Fork.  What urcu asks for, in its order: its call_rcu() thread is parked
 * first, as it may be waiting for a grace period, and so for the locks that
 * urcu_bp_before_fork() takes; afterwards the other way round.
 */
#include <cubby/rcu.h>

#include <pthread.h>
#include <urcu/urcu-bp.h>

/* ThreadSanitizer's, if it is in the process; see docs/rcu.md. */
extern void __tsan_release(void *address) __attribute__((weak));

static void
install(void)
{
	pthread_atfork(cubby_rcu_before_fork, cubby_rcu_after_fork_parent,
		       cubby_rcu_after_fork_child);
}

const struct rcu_flavor_struct *
cubby_rcu_flavor(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return &urcu_bp_flavor;
}

void
cubby_rcu_read_lock(void)
{
	urcu_bp_read_lock();
}

void
cubby_rcu_read_unlock(void)
{
	if (__tsan_release != NULL)
		__tsan_release((void *)(uintptr_t)&urcu_bp_flavor);
	urcu_bp_read_unlock();
}

void
cubby_rcu_before_fork(void)
{
	urcu_bp_call_rcu_before_fork();
	urcu_bp_before_fork();
}

void
cubby_rcu_after_fork_parent(void)
{
	urcu_bp_after_fork_parent();
	urcu_bp_call_rcu_after_fork_parent();
}

void
cubby_rcu_after_fork_child(void)
{
	urcu_bp_after_fork_child();
	urcu_bp_call_rcu_after_fork_child();
}
