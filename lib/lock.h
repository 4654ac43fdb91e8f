/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: lock - ranked mutexes under which no signal handler runs
 *
 * The enum is the lock order: a thread that holds a lock may take one of a
 * higher rank only.  Debug builds check it.  Signals are blocked while any
 * lock is held, so that a handler may allocate and free: it never finds its
 * own thread inside a lock.
 */
#ifndef CUBBY__LOCK_H
#define CUBBY__LOCK_H

#include "compiler.h"

#include <pthread.h>
#include <signal.h>

enum lock_rank {
	LOCK_RANK_REGISTRY = 1, /* the table of caches; creation, destruction */
	LOCK_RANK_SLAB = 2,     /* one cache's slabs, region and side arrays */
	LOCK_RANK_ARRAY = 3,    /* growth of the magazines, of the stripes */
	LOCK_RANK_EXTENT = 4,   /* the large blocks of lib/preload */
	LOCK_RANK_GRANULE = 5   /* the process's granules and address budget */
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

#define LOCK_INIT(lock_rank)                                                  \
	{                                                                     \
		PTHREAD_MUTEX_INITIALIZER, lock_rank                          \
	}

void cubby__lock_init(struct lock *lock, enum lock_rank rank);

/* Block every signal, then lock; *ret_saved is what unlock restores. */
void cubby__lock_acquire(struct lock *lock, sigset_t *ret_saved);
void cubby__lock_release(struct lock *lock, const sigset_t *saved);

/* The same while another lock is held: signals are blocked already. */
void cubby__lock_acquire_nested(struct lock *lock);
void cubby__lock_release_nested(struct lock *lock);

/*
 * For fork: lock without regard to rank, signals blocked by the caller.
 * Between the two calls of _hold_all the thread holds every lock there is, and
 * acquire and release are no-ops for it: the host's own fork handlers may run
 * then, and may allocate.
 */
void cubby__lock_seize(struct lock *lock);
void cubby__lock_unseize(struct lock *lock);
void cubby__lock_hold_all(bool hold);
bool cubby__lock_holds_all(void);
void cubby__lock_block_signals(sigset_t *ret_saved);
void cubby__lock_restore_signals(const sigset_t *saved);

#endif /* CUBBY__LOCK_H */
