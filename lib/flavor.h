/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: flavor - liburcu's table of a flavour's functions
 *
 * The program gives us its own (as to cds_lfht_new_flavor()), so that we are
 * linked with no flavour and never in a domain other than its.  This is the
 * struct as it has been since liburcu 0.9, ABI of liburcu.so.6 to .8; 0.14 has
 * two more members behind these, which a program that was built with older
 * headers does not have.
 */
#ifndef CUBBY__FLAVOR_H
#define CUBBY__FLAVOR_H

struct rcu_head;

struct rcu_flavor_struct {
	void (*read_lock)(void);
	void (*read_unlock)(void);
	int (*read_ongoing)(void); /* QSBR: is the thread online? */
	void (*read_quiescent_state)(void);
	void (*update_call_rcu)(struct rcu_head *head,
				void (*func)(struct rcu_head *head));
	void (*update_synchronize_rcu)(void);
	void (*update_defer_rcu)(void (*function)(void *), void *argument);
	void (*thread_offline)(void);
	void (*thread_online)(void);
	void (*register_thread)(void);
	void (*unregister_thread)(void);
	void (*barrier)(void);
	void (*register_rculfhash_atfork)(void *atfork);
	void (*unregister_rculfhash_atfork)(void *atfork);
};

#endif /* CUBBY__FLAVOR_H */
