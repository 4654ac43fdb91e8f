/* SPDX-License-Identifier: MIT */
/* LAYER 1: lock - ranked mutexes under which no signal handler runs */
#include "lock.h"

#include "check.h"

/* This thread is between the two halves of fork. */
static __thread bool holds_all __attribute__((tls_model("initial-exec")));

#ifdef CUBBY_DEBUG
/* Bit r: this thread holds a lock of rank r. */
static __thread uint32_t held_ranks;

static void
note_acquire(enum lock_rank rank)
{
	CHECK_ALWAYS(held_ranks >> rank == 0);
	held_ranks |= 1u << rank;
}

static void
note_release(enum lock_rank rank)
{
	CHECK_ALWAYS(held_ranks & 1u << rank);
	held_ranks &= ~(1u << rank);
}
#else
static void
note_acquire(enum lock_rank rank UNUSED)
{
}

static void
note_release(enum lock_rank rank UNUSED)
{
}
#endif

void
cubby__lock_init(struct lock *lock, enum lock_rank rank)
{
	pthread_mutex_init(&lock->mutex, NULL);
	lock->rank = rank;
}

void
cubby__lock_block_signals(sigset_t *ret_saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, ret_saved);
}

void
cubby__lock_restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

void
cubby__lock_seize(struct lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

void
cubby__lock_unseize(struct lock *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}

void
cubby__lock_hold_all(bool hold)
{
	holds_all = hold;
}

bool
cubby__lock_holds_all(void)
{
	return holds_all;
}

void
cubby__lock_acquire_nested(struct lock *lock)
{
	note_acquire(lock->rank);
	if (likely(!holds_all))
		pthread_mutex_lock(&lock->mutex);
}

void
cubby__lock_release_nested(struct lock *lock)
{
	if (likely(!holds_all))
		pthread_mutex_unlock(&lock->mutex);
	note_release(lock->rank);
}

void
cubby__lock_acquire(struct lock *lock, sigset_t *ret_saved)
{
	cubby__lock_block_signals(ret_saved);
	cubby__lock_acquire_nested(lock);
}

void
cubby__lock_release(struct lock *lock, const sigset_t *saved)
{
	cubby__lock_release_nested(lock);
	cubby__lock_restore_signals(saved);
}
