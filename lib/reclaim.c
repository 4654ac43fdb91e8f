/* SPDX-License-Identifier: MIT */
/* LAYER 5: reclaim - rounds: grace periods, and who waits for them */
#include "reclaim.h"

#include "annotate.h"
#include "bits.h"
#include "cache.h"
#include "check.h"
#include "collect.h"
#include "defer.h"
#include "domain.h"
#include "error.h"
#include "os.h"
#include "registry.h"

#include <cubby/weak.h>

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How the thread of a domain sleeps. */
enum { AWAKE, GATHERS, IDLE };

ERROR_ROW(EDEADLK, "it would wait for the thread that calls");

/* ---------------------------------- sleeping ----------------------------- */

static void
wake_thread(struct domain *domain, bool urgent)
{
	uint32_t seen = __atomic_load_n(&domain->sleeps, __ATOMIC_SEQ_CST);

	if (seen == IDLE || (urgent && seen == GATHERS)) {
		__atomic_store_n(&domain->sleeps, AWAKE, __ATOMIC_SEQ_CST);
		cubby__domain_wake(&domain->sleeps);
	}
}

/* ----------------------------------- list -------------------------------- */

/* A handler that forks in here would put it in, and then we would again. */
static void
list(struct domain *domain, struct cubby_cache *cache)
{
	struct cubby_cache *first;
	sigset_t saved;

	cubby__lock_block_signals(&saved);
	if (__atomic_exchange_n(&cache->defer.is_listed, 1,
				__ATOMIC_SEQ_CST) == 0) {
		first = __atomic_load_n(&domain->listed, __ATOMIC_RELAXED);
		do {
			cache->defer.next_listed = first;
		} while (!__atomic_compare_exchange_n(
			&domain->listed, &first, cache, true, __ATOMIC_SEQ_CST,
			__ATOMIC_RELAXED));
	}
	cubby__lock_restore_signals(&saved);
}

void
cubby__reclaim_notify(struct cubby_cache *cache, bool urgent)
{
	struct domain *domain = cache->defer.domain;

	/* What waits is there: it is collected, or the cache is not listed. */
	FENCE(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&cache->defer.is_listed, __ATOMIC_SEQ_CST))
		list(domain, cache);
	if (!__atomic_load_n(&domain->is_pending, __ATOMIC_SEQ_CST))
		__atomic_store_n(&domain->is_pending, 1, __ATOMIC_SEQ_CST);
	wake_thread(domain, urgent);
}

/* ---------------------------------- rounds ------------------------------- */

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return min_u64(a, b);
}

static void
begin_cache(struct domain *domain, struct cubby_cache *cache, uint64_t now,
	    uint64_t *ret_due_ns)
{
	uint64_t due_ns;

	if (cubby__collect_begin(cache, now, &due_ns) != 0 &&
	    !cache->defer.is_in_round) {
		cache->defer.is_in_round = true;
		cache->defer.next_in_round = domain->in_round;
		domain->in_round = cache;
	}
	if (due_ns != 0)
		list(domain, cache);
	*ret_due_ns = sooner(*ret_due_ns, due_ns);
}

/*
 * The first half: what waits in the listed caches is in their `grace` after it.
 * When partial sheaves are due that were not, or 0; and whether there is
 * anything.
 * @wanted: a cache that is looked at in any case: one that is marked as listed
 *	may still be on its way into the list.  Or NULL.
 */
static bool
begin_round(struct domain *domain, struct cubby_cache *wanted,
	    uint64_t *ret_due_ns)
{
	struct cubby_cache *cache, *next;
	uint64_t now = cubby__os_now_ns();
	sigset_t saved;

	*ret_due_ns = 0;
	/* A handler that forks would find half a list, and make another one. */
	cubby__lock_block_signals(&saved);
	__atomic_store_n(&domain->is_pending, 0, __ATOMIC_SEQ_CST);
	cache = __atomic_exchange_n(&domain->listed, NULL, __ATOMIC_SEQ_CST);
	for (; cache != NULL; cache = next) {
		next = cache->defer.next_listed;
		/* Whoever frees from now on lists it again. */
		__atomic_store_n(&cache->defer.is_listed, 0, __ATOMIC_SEQ_CST);
		FENCE(__ATOMIC_SEQ_CST); /* pairs with notify */
		begin_cache(domain, cache, now, ret_due_ns);
	}
	if (wanted != NULL)
		begin_cache(domain, wanted, now, ret_due_ns);
	cubby__lock_restore_signals(&saved);
	return domain->in_round != NULL;
}

bool
cubby__reclaim_must_stop(const struct cubby_cache *cache)
{
	return cubby__domain_exits() &&
	       __atomic_load_n(&cache->defer.domain->calls_back,
			       __ATOMIC_RELAXED);
}

static void
tell_waiters(struct domain *domain)
{
	__atomic_add_fetch(&domain->n_rounds, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&domain->n_waiters, __ATOMIC_SEQ_CST) != 0)
		cubby__domain_wake(&domain->n_rounds);
}

/* The second half, after a grace period: how many objects. */
static uint64_t
end_round(struct domain *domain)
{
	uint64_t n = 0;

	while (domain->in_round != NULL) {
		struct cubby_cache *cache = domain->in_round;

		n += cubby__collect_end(cache);
		if (cubby__reclaim_must_stop(cache))
			break; /* who destroys the cache goes on with it */
		domain->in_round = cache->defer.next_in_round;
		cache->defer.is_in_round = false;
	}
	tell_waiters(domain);
	return n;
}

/* A whole round, by the thread; when the next is due. */
static uint64_t
do_round(struct domain *domain)
{
	uint64_t due_ns;

	cubby__domain_take_round(domain);
	if (begin_round(domain, NULL, &due_ns)) {
		cubby__domain_synchronize_timed(domain);
		/* Pairs with stop(), which says that, then looks at this. */
		__atomic_store_n(&domain->calls_back, 1, __ATOMIC_SEQ_CST);
		if (!cubby__domain_exits())
			end_round(domain);
		__atomic_store_n(&domain->calls_back, 0, __ATOMIC_SEQ_CST);
	} else {
		tell_waiters(domain); /* it was all given back already */
	}
	cubby__domain_leave_round(domain);
	return due_ns;
}

/* ------------------------------ what threads do ------------------------ */

/* Until somebody wakes it, or so long; not at all if something waits. */
static void
sleep_as(struct domain *domain, uint32_t how, uint64_t ns)
{
	__atomic_store_n(&domain->sleeps, how, __ATOMIC_SEQ_CST);
	/* Pairs with notify, which says it is pending, then looks. */
	if (how != IDLE ||
	    !__atomic_load_n(&domain->is_pending, __ATOMIC_SEQ_CST))
		cubby__domain_sleep(&domain->sleeps, how, ns);
	__atomic_store_n(&domain->sleeps, AWAKE, __ATOMIC_SEQ_CST);
}

static void *
reclaimer(void *argument)
{
	struct domain *domain = argument;

	syscall(SYS_prctl, PR_SET_NAME, "cubby-reclaim", 0, 0, 0);
	for (;;) {
		uint64_t due_ns = do_round(domain);
		uint64_t now = cubby__os_now_ns();

		if (due_ns == 0 || due_ns > now)
			sleep_as(domain, IDLE, due_ns != 0 ? due_ns - now : 0);
		sleep_as(domain, GATHERS, domain->delay_ns);
	}
	return NULL;
}

/* POLL: the thread lets grace periods pass that are asked for, no more. */
static void *
waiter(void *argument)
{
	struct domain *domain = argument;

	syscall(SYS_prctl, PR_SET_NAME, "cubby-grace", 0, 0, 0);
	for (;;) {
		uint32_t n_asked = __atomic_load_n(&domain->n_asked,
						   __ATOMIC_SEQ_CST);

		if (n_asked == domain->n_granted) {
			cubby__domain_sleep(&domain->n_asked, n_asked, 0);
			continue;
		}
		cubby__os_nap(domain->delay_ns);
		cubby__domain_synchronize_timed(domain);
		__atomic_store_n(&domain->n_granted, n_asked,
				 __ATOMIC_RELEASE);
	}
	return NULL;
}

int
cubby__reclaim_find_domain(const struct rcu_flavor_struct *flavor,
			   enum cubby_reclaim reclaim,
			   struct domain **ret_domain)
{
	bool polls = reclaim == CUBBY_RECLAIM_POLL;

	return cubby__domain_find(flavor, reclaim, polls ? waiter : reclaimer,
				  ret_domain);
}

/* ----------------------------------- waiting ----------------------------- */

/* A signal does not end it: false if the time is up. */
static bool
sleep_until_round(struct domain *domain, uint32_t seen, uint64_t ns)
{
	uint64_t now = cubby__os_now_ns(), deadline_ns = now + ns;

	while (__atomic_load_n(&domain->n_rounds, __ATOMIC_SEQ_CST) == seen) {
		if (now >= deadline_ns)
			return false;
		cubby__domain_sleep(&domain->n_rounds, seen,
				    deadline_ns - now);
		now = cubby__os_now_ns();
	}
	return true;
}

bool
cubby__reclaim_may_await(const struct cubby_cache *cache)
{
	const struct domain *domain = cache->defer.domain;

	return domain->reclaim == CUBBY_RECLAIM_THREAD && domain->has_thread &&
	       !cubby__domain_exits() &&
	       !cubby__domain_round_is_mine(domain) &&
	       !domain->flavor->read_ongoing();
}

bool
cubby__reclaim_await(struct cubby_cache *cache, uint64_t ns)
{
	struct domain *domain = cache->defer.domain;
	uint32_t seen = __atomic_load_n(&domain->n_rounds, __ATOMIC_SEQ_CST);
	bool is_over;

	if (!cubby__reclaim_may_await(cache))
		return false;
	__atomic_store_n(&cache->defer.wants_all, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&domain->n_waiters, 1, __ATOMIC_SEQ_CST);
	cubby__reclaim_notify(cache, true);
	is_over = sleep_until_round(domain, seen, ns);
	__atomic_sub_fetch(&domain->n_waiters, 1, __ATOMIC_SEQ_CST);
	return is_over;
}

/*
 * All that waits in this cache, and what the round has already.  Who has the
 * round may be waiting for us, if we are online in QSBR.
 */
static int
reclaim_all(struct cubby_cache *cache, struct domain *domain, bool sweeps)
{
	bool is_online = domain->is_qsbr && domain->flavor->read_ongoing();
	uint64_t due_ns;
	int err = 0;
	bool any;

	if (is_online)
		domain->flavor->thread_offline();
	cubby__domain_take_round(domain);
	for (int i = 0; i < 2; i++) { /* bits are in two arrays, in turn */
		__atomic_store_n(&cache->defer.wants_all, sweeps,
				 __ATOMIC_SEQ_CST);
		any = begin_round(domain, cache, &due_ns);

		if (cache->defer.is_stuck)
			err = -EBUSY;
		if (!any)
			break;
		cubby__domain_synchronize(domain);
		end_round(domain);
	}
	cubby__domain_leave_round(domain);
	/* What we took from the thread, and is not due yet, it may not know of. */
	if (due_ns != 0) {
		__atomic_store_n(&domain->is_pending, 1, __ATOMIC_SEQ_CST);
		wake_thread(domain, false);
	}
	if (is_online)
		domain->flavor->thread_online();
	return err;
}

void
cubby__reclaim_forget(struct cubby_cache *cache)
{
	if (cache->defer.domain == NULL)
		return;
	/* Nothing is in its blocks: a sweep could only fail, and list it. */
	__atomic_store_n(&cache->defer.opened_ns, 0, __ATOMIC_RELAXED);
	reclaim_all(cache, cache->defer.domain, false);
	CHECK_DEBUG(!cache->defer.is_listed && !cache->defer.is_in_round);
}

int
cubby__reclaim_barrier(struct cubby_cache *cache)
{
	struct domain *domain = cache->defer.domain;

	/* Its callback waits for another one's, which may wait for ours. */
	if (cubby__domain_some_round_is_mine())
		return cubby__error_set(-EDEADLK,
					"cache '%s': called from a callback "
					"of a round of reclaiming",
					cache->name);
	if (!domain->is_qsbr && domain->flavor->read_ongoing())
		return cubby__error_set(-EDEADLK,
					"cache '%s': cubby_rcu_barrier() or "
					"destroy in a read section would wait "
					"for itself: leave the section first",
					cache->name);
	return reclaim_all(cache, domain, true);
}

int
cubby_rcu_barrier(struct cubby_cache *cache)
{
	int err = cubby__usable_or_error(cache, "cubby_rcu_barrier");

	if (err || cache->defer.domain == NULL)
		return err;
	return cubby__reclaim_barrier(cache);
}

/* ----------------------------------- polling ----------------------------- */

static uint64_t
poll_round(struct domain *domain)
{
	uint64_t n = 0, due_ns;

	if (domain->awaits) {
		if (__atomic_load_n(&domain->n_granted, __ATOMIC_ACQUIRE) !=
		    domain->n_asked)
			return 0;
		domain->awaits = false;
		cubby__annotate_acquire(domain->flavor);
		n = end_round(domain);
	}
	if (begin_round(domain, NULL, &due_ns)) {
		domain->awaits = true;
		__atomic_store_n(&domain->n_asked, domain->n_asked + 1,
				 __ATOMIC_SEQ_CST);
		cubby__domain_wake(&domain->n_asked);
	}
	return n;
}

int64_t
cubby_rcu_poll(struct cubby_cache *cache)
{
	int err = cubby__usable_or_error(cache, "cubby_rcu_poll");
	struct domain *domain;
	uint64_t n;

	if (err)
		return err;
	domain = cache->defer.domain;
	if (domain == NULL || domain->reclaim != CUBBY_RECLAIM_POLL)
		return cubby__error_set(-EINVAL,
					"cache '%s' was not created with "
					"reclaim = CUBBY_RECLAIM_POLL",
					cache->name);
	cubby__defer_check_stall(cache);
	if (!cubby__domain_try_round(domain))
		return 0; /* somebody is at it, or this is a callback */
	n = poll_round(domain);
	cubby__domain_leave_round(domain);
	return (int64_t)n;
}

/* ------------------------------------- fork ------------------------------ */

static void
relist_all(void)
{
	struct cubby_cache *cache;

	for (uint32_t id = 1; (cache = cubby__registry_by_id(id)) != NULL;
	     id++) {
		struct domain *domain = cache->defer.domain;

		if (domain == NULL)
			continue;
		cache->defer.is_listed = 0;
		if (cache->state != CACHE_LIVE)
			continue;
		cubby__collect_fork_child(cache,
					  cubby__domain_round_is_mine(domain));
		if (!cubby__domain_round_is_mine(domain))
			cache->defer.is_in_round = false;
		list(domain, cache);
	}
}

void
cubby__reclaim_fork_child(void)
{
	if (cubby__domain_fork_child_begin())
		relist_all();
}
