/* SPDX-License-Identifier: MIT */
/*
 * Ways of stress_abort through caches with handles or a flavour of RCU: what
 * may be called there, what may interrupt it, and what is counted.
 *
 * The flavour is one whose grace periods end when they are waited for, and the
 * program polls: so the only other thread is one that lets grace periods pass,
 * and dtor runs in this one.
 */
#ifndef ABORT_WEAK_H
#define ABORT_WEAK_H

#include "stress/abort.h"
#include "unit/fake_flavor.h"

#include "domain.h"
#include "reclaim.h"

#include <cubby/weak.h>

#define N_USED 3 /* objects whose handles are used; never freed by handlers */

struct kind {
	enum cubby_weak_mode mode;
	bool is_strong, has_flavor, has_dtor;
};

static const struct kind rcu = { CUBBY_WEAK_RCU, false, true, false };
static const struct kind rcu_dtor = { CUBBY_WEAK_RCU, false, true, true };
static const struct kind rcu_strong = { CUBBY_WEAK_RCU, true, true, false };
static const struct kind strong = { CUBBY_WEAK_STRONG, true, false, false };
static const struct kind strong_dtor = { CUBBY_WEAK_STRONG, true, false,
					 true };
static const struct kind reuse = { CUBBY_WEAK_REUSE, false, false, false };
static const struct kind no_handles = { CUBBY_WEAK_NONE, false, true, false };

/* The object of a call that frees. */
enum stage {
	UNTAKEN,
	TAKEN, /* it has a handle */
	DYING  /* it had one, and there is a last reference */
};

struct way {
	const char *name;
	void (*call)(void);
	bool (*is_ready)(void);
	unsigned callbacks;
	bool frees;
	size_t n;                /* objects of the call */
	const struct kind *kind; /* NULL: neither handles nor a flavour */
	enum stage stage;
};

static const struct kind *kind; /* of the cache */
static cubby_weak handle;       /* of the object of the call, or none */
static uint64_t n_waited; /* objects for whom a grace period has to end */
static uint64_t n_dtor;
static bool is_round; /* the call reclaims */

static void
count_dtor(void *object, void *context)
{
	const uint64_t *words = object;

	(void)context;
	die_unless(words[0] == 0 && words[light.last] == 0,
		   "dtor of an object that is owned");
	n_dtor++;
}

static void
set_attr(struct cubby_cache_attr *attr)
{
	attr->weak = kind->mode;
	attr->is_strong = kind->mode == CUBBY_WEAK_RCU && kind->is_strong;
	attr->rcu = kind->has_flavor ? &fake_flavor : NULL;
	attr->reclaim = kind->has_flavor ? CUBBY_RECLAIM_POLL : 0;
	attr->dtor = kind->has_dtor ? count_dtor : NULL;
}

/* ------------------------------ interruptions ----------------------------- */

static void
look_at_the_dead(cubby_weak dead)
{
	die_unless(cubby_weak_is_live(light.cache, dead) == 0 &&
			   cubby_weak_free(light.cache, dead) == -ESTALE,
		   "the handle of a dead object");
}

/* By pointer and by handle in turn; what was never freed before. */
static void
free_taken(size_t n)
{
	while (n-- > 0) {
		cubby_weak dead = CUBBY_WEAK_NULL;
		void *object;

		if (kind->mode != CUBBY_WEAK_NONE)
			dead = cubby_weak_of(light.cache, held[n_held - 1]);
		object = let_go();
		n_waited += kind->has_flavor;
		if (kind->mode == CUBBY_WEAK_NONE)
			cubby_free_rcu(light.cache, object);
		else if (n % 2 != 0)
			(cubby_free)(light.cache, object);
		else
			die_unless(cubby_weak_free(light.cache, dead) == 0,
				   "an object that is not free by its handle");
		if (kind->mode != CUBBY_WEAK_NONE)
			look_at_the_dead(dead);
	}
}

static void
free_one_taken(void)
{
	alloc_held(1);
	free_taken(1);
}

/* More than one sheaf has room for. */
static void
free_some_taken(void)
{
	alloc_held(CAPACITY + 2);
	free_taken(CAPACITY + 2);
}

/* The object, or NULL if it is dead; where it is dying, that is the answer. */
static void
use_handle(cubby_weak it, void *object, bool is_live)
{
	void *found = object;

	if (kind->mode == CUBBY_WEAK_RCU) {
		fake_lock();
		found = cubby_weak_get(light.cache, it);
		fake_unlock();
		die_unless(found == object || (found == NULL && !is_live),
			   "get");
	}
	if (kind->is_strong) {
		found = cubby_weak_upgrade(light.cache, it);
		die_unless(found == object || (found == NULL && !is_live),
			   "upgrade");
		cubby_ref_put(light.cache, found);
	}
}

static void
use_handles(void)
{
	uint64_t word;

	if (kind->mode == CUBBY_WEAK_NONE)
		return;
	for (size_t i = 0; i < N_USED; i++) {
		cubby_weak it = cubby_weak_of(light.cache, held[i]);

		use_handle(it, held[i], true);
		die_unless(cubby_weak_copy(light.cache, it, &word, 0,
					   sizeof(word)) == 0 &&
				   word == *(uint64_t *)held[i],
			   "copy");
	}
	if (handle != CUBBY_WEAK_NULL)
		use_handle(handle, passing[0], false);
}

static void
wait_for_all(void)
{
	int err = cubby_rcu_barrier(light.cache);

	if (!is_round || err != -EDEADLK)
		was_busy(err);
}

static void
poll_here(void)
{
	if (kind->has_flavor)
		die_unless(cubby_rcu_poll(light.cache) >= 0, "poll");
}

/* ---------------------------------- calls --------------------------------- */

static void __attribute__((noinline)) call_weak_free(void)
{
	die_unless(cubby_weak_free(light.cache, handle) == 0,
		   "the handle was not its object's");
}

static void __attribute__((noinline)) call_free_rcu(void)
{
	cubby_free_rcu(light.cache, passing[0]);
}

static void __attribute__((noinline)) call_ref_put(void)
{
	cubby_ref_put(light.cache, passing[0]);
}

static void __attribute__((noinline)) call_barrier(void)
{
	die_unless(cubby_rcu_barrier(light.cache) == 0, "barrier");
}

static void __attribute__((noinline)) call_poll(void)
{
	die_unless(cubby_rcu_poll(light.cache) >= 0, "poll");
}

/* ---------------------------------- states -------------------------------- */

/* Is it by what waits that the state is reached? */
static bool
waits(const struct way *way)
{
	return way->kind != NULL && way->kind->has_flavor &&
	       (way->stage != UNTAKEN || way->call == call_free_rcu ||
		(way->frees && way->n == 0));
}

/* A round has begun by polling, and its grace period is over. */
static void
begin_to_poll(void)
{
	const struct domain *domain = light.cache->defer.domain;

	die_unless(cubby_rcu_poll(light.cache) == 0, "poll");
	while (__atomic_load_n(&domain->n_granted, __ATOMIC_ACQUIRE) !=
	       domain->n_asked)
		sched_yield();
	free_some_taken();
}

/* The cache is in the state; now the object of the call. */
static void
prepare_object(const struct way *way)
{
	is_round = way->frees && way->n == 0;
	if (way->call == call_poll)
		begin_to_poll();
	if (way->stage != UNTAKEN)
		handle = cubby_weak_of(light.cache, passing[0]);
	if (way->stage == DYING) {
		die_unless(cubby_weak_upgrade(light.cache, handle) ==
				   passing[0],
			   "upgrade");
		die_unless(cubby_weak_free(light.cache, handle) == 0, "free");
	}
	n_waited += way->n != 0 && waits(way);
}

/* ---------------------------------- counts -------------------------------- */

static void
check_counts(bool is_settled)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	die_unless(cubby_cache_stats_snapshot(light.cache, &stats) == 0 &&
			   stats.is_exact && stats.n_live == n_held,
		   "objects are lost, or too many");
	die_unless(stats.n_deferred + stats.n_reclaimed == n_waited,
		   "objects that wait are lost, or too many");
	die_unless(!is_settled || stats.n_deferred == 0,
		   "objects wait behind a barrier");
	die_unless(!is_settled || kind == NULL || !kind->has_dtor ||
			   n_dtor == n_freed,
		   "dtor was not called once for each");
}

/* All that was freed is free. */
static void
check_weak(void)
{
	is_round = false;
	if (handle != CUBBY_WEAK_NULL)
		look_at_the_dead(handle);
	handle = CUBBY_WEAK_NULL;
	use_handles();
	die_unless(cubby_rcu_barrier(light.cache) == 0, "barrier at the end");
	die_unless(cubby_cache_verify(light.cache) == 0,
		   "verify behind a barrier");
	check_counts(true);
}

#endif /* ABORT_WEAK_H */
