/* SPDX-License-Identifier: MIT */
/*
 * A flavour of RCU without readers: sections are counted, and a grace period is
 * over at once where the test's own thread waits for it, which may look at the
 * world meanwhile; where a thread of ours does, when the test lets it.  So what
 * waits, for how long and in which order is known exactly.
 */
#ifndef FAKE_FLAVOR_H
#define FAKE_FLAVOR_H

#include "flavor.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
	unsigned n_grace_periods; /* that the test's thread has waited for */
	void (*during)(void);     /* called in each of these; may be NULL */

	/* Atomic. */
	unsigned n_asked; /* by other threads */
	unsigned holds;   /* these wait */
} fake __attribute__((unused));

static __thread unsigned fake_depth;
static __thread int fake_is_tester;

static inline void
fake_lock(void)
{
	fake_depth++;
}

static inline void
fake_unlock(void)
{
	fake_depth--;
}

static inline int
fake_ongoing(void)
{
	return fake_depth != 0;
}

static inline void
fake_nothing(void)
{
}

static inline void
fake_synchronize(void)
{
	if (!fake_is_tester) {
		__atomic_add_fetch(&fake.n_asked, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&fake.holds, __ATOMIC_SEQ_CST))
			usleep(100);
		return;
	}
	fake.n_grace_periods++;
	if (fake.during != NULL)
		fake.during();
}

/* By the thread that tests; @holds: others' grace periods do not end. */
static inline void
fake_begin(unsigned holds)
{
	fake_is_tester = 1;
	fake.n_grace_periods = 0;
	fake.during = NULL;
	__atomic_store_n(&fake.n_asked, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fake.holds, holds, __ATOMIC_SEQ_CST);
}

static inline void
fake_end_grace_period(void)
{
	__atomic_store_n(&fake.holds, 0, __ATOMIC_SEQ_CST);
}

/* A cache wants it to be there. */
static inline void
fake_call_rcu(struct rcu_head *head, void (*function)(struct rcu_head *head))
{
	(void)head;
	(void)function;
	abort();
}

static const struct rcu_flavor_struct fake_flavor __attribute__((unused)) = {
	.read_lock = fake_lock,
	.read_unlock = fake_unlock,
	.read_ongoing = fake_ongoing,
	.read_quiescent_state = fake_nothing,
	.update_call_rcu = fake_call_rcu,
	.update_synchronize_rcu = fake_synchronize,
	.thread_offline = fake_nothing,
	.thread_online = fake_nothing,
	.register_thread = fake_nothing,
	.unregister_thread = fake_nothing,
	.barrier = fake_nothing,
};

#endif /* FAKE_FLAVOR_H */
