/* SPDX-License-Identifier: MIT */
/* LAYER 5: reclaim - rounds: grace periods, and who waits for them */
#include "reclaim.h"

#include "annotate.h"
#include "bits.h"
#include "cache.h"
#include "check.h"
#include "collect.h"
#include "defer.h"
#include "error.h"
#include "os.h"
#include "registry.h"

#include <cubby/inline/abi.h>
#include <cubby/weak.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DELAY_NS_MIN ((uint64_t)100 * 1000)
#define DELAY_NS_MAX ((uint64_t)1000 * 1000)
#define DELAY_PER_SYNC 10

/*
 * How long fork waits for the end of a grace period: longer than one of
 * urcu-bp's, which are 10 ms.
 */
#define FORK_WAIT_NS ((uint64_t)30 * 1000 * 1000)
#define FORK_NAP_NS ((uint64_t)20 * 1000)

/* How long exit waits for a dtor that runs. */
#define STOP_WAIT_NS NS_PER_S

/* How the thread of a domain sleeps. */
enum { AWAKE, GATHERS, IDLE };

ERROR_ROW(EAGAIN,
	  "try again: the kernel refuses a thread, or a descriptor is full");
ERROR_ROW(EDEADLK, "it would wait for the thread that calls");

static uint32_t is_exiting;
static uint32_t n_forking; /* futex */
static struct domain domains[DOMAINS_MAX];
static pthread_mutex_t domains_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---------------------------------- sleeping ----------------------------- */

/* For at most so long, or for ever if it is 0. */
static void
sleep_on(uint32_t *word, uint32_t seen, uint64_t ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(ns / NS_PER_S),
				    .tv_nsec = (long)(ns % NS_PER_S) };
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen,
		ns != 0 ? &timeout : NULL, NULL, 0);
	errno = saved;
}

static void
wake(uint32_t *word)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

static void
wake_thread(struct domain *domain, bool urgent)
{
	uint32_t seen = __atomic_load_n(&domain->sleeps, __ATOMIC_SEQ_CST);

	if (seen == IDLE || (urgent && seen == GATHERS)) {
		__atomic_store_n(&domain->sleeps, AWAKE, __ATOMIC_SEQ_CST);
		wake(&domain->sleeps);
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

/*
 * What a fork had better not come in the middle of.  A child inherits what
 * liburcu holds inside of synchronize_rcu(), for ever; and as its memory is
 * copied page by page while our threads run on, it would not know which objects'
 * dtor has run.  So forks wait for us a while, and we for them.
 */
static void
enter(uint32_t *n_inside)
{
	for (;;) {
		uint32_t n_forks;

		__atomic_add_fetch(n_inside, 1, __ATOMIC_SEQ_CST);
		n_forks = __atomic_load_n(&n_forking, __ATOMIC_SEQ_CST);
		if (likely(n_forks == 0))
			return;
		__atomic_sub_fetch(n_inside, 1, __ATOMIC_SEQ_CST);
		sleep_on(&n_forking, n_forks, 0);
	}
}

/* It is 0 in a child that a handler of this thread has forked meanwhile. */
static void
leave(uint32_t *n_inside)
{
	if (__atomic_load_n(n_inside, __ATOMIC_SEQ_CST) != 0)
		__atomic_sub_fetch(n_inside, 1, __ATOMIC_SEQ_CST);
}

void
cubby__reclaim_call_begins(const struct cubby_cache *cache)
{
	enter(&cache->defer.domain->n_in_calls);
}

void
cubby__reclaim_call_ends(const struct cubby_cache *cache)
{
	leave(&cache->defer.domain->n_in_calls);
}

void
cubby__reclaim_synchronize(struct domain *domain)
{
	enter(&domain->n_in_sync);
	domain->flavor->update_synchronize_rcu();
	leave(&domain->n_in_sync);
	cubby__annotate_acquire(domain->flavor);
}

/*
 * Whose the round is, is one word, so that a fork at any moment, also from a
 * handler, finds it right.
 */
static bool
try_round(struct domain *domain)
{
	uintptr_t nobody = 0;

	return __atomic_compare_exchange_n(&domain->round_owner, &nobody,
					   cubby__stripe_self(), false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static void
take_round(struct domain *domain)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&domain->n_left,
						__ATOMIC_SEQ_CST);

		if (try_round(domain))
			return;
		__atomic_add_fetch(&domain->n_taking, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&domain->round_owner, __ATOMIC_SEQ_CST) !=
		    0)
			sleep_on(&domain->n_left, seen, 0);
		__atomic_sub_fetch(&domain->n_taking, 1, __ATOMIC_SEQ_CST);
	}
}

static void
leave_round(struct domain *domain)
{
	__atomic_store_n(&domain->round_owner, 0, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&domain->n_left, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&domain->n_taking, __ATOMIC_SEQ_CST) != 0)
		wake(&domain->n_left);
}

static bool
round_is_mine(const struct domain *domain)
{
	return __atomic_load_n(&domain->round_owner, __ATOMIC_RELAXED) ==
	       cubby__stripe_self();
}

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
	return unlikely(__atomic_load_n(&is_exiting, __ATOMIC_SEQ_CST)) &&
	       __atomic_load_n(&cache->defer.domain->calls_back,
			       __ATOMIC_RELAXED);
}

static void
tell_waiters(struct domain *domain)
{
	__atomic_add_fetch(&domain->n_rounds, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&domain->n_waiters, __ATOMIC_SEQ_CST) != 0)
		wake(&domain->n_rounds);
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

/* A grace period by the thread, which learns how long to gather. */
static void
synchronize_timed(struct domain *domain)
{
	uint64_t began_ns = cubby__os_now_ns();
	uint64_t took_ns;

	cubby__reclaim_synchronize(domain);
	took_ns = cubby__os_now_ns() - began_ns;
	domain->delay_ns = min_u64(
		max_u64(DELAY_PER_SYNC * took_ns, DELAY_NS_MIN), DELAY_NS_MAX);
}

/* A whole round, by the thread; when the next is due. */
static uint64_t
do_round(struct domain *domain)
{
	uint64_t due_ns;

	take_round(domain);
	if (begin_round(domain, NULL, &due_ns)) {
		synchronize_timed(domain);
		/* Pairs with stop(), which says that, then looks at this. */
		__atomic_store_n(&domain->calls_back, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&is_exiting, __ATOMIC_SEQ_CST))
			end_round(domain);
		__atomic_store_n(&domain->calls_back, 0, __ATOMIC_SEQ_CST);
	} else {
		tell_waiters(domain); /* it was all given back already */
	}
	leave_round(domain);
	return due_ns;
}

/* ------------------------------ the thread's life ------------------------ */

/* Until somebody wakes it, or so long; not at all if something waits. */
static void
sleep_as(struct domain *domain, uint32_t how, uint64_t ns)
{
	__atomic_store_n(&domain->sleeps, how, __ATOMIC_SEQ_CST);
	/* Pairs with notify, which says it is pending, then looks. */
	if (how != IDLE ||
	    !__atomic_load_n(&domain->is_pending, __ATOMIC_SEQ_CST))
		sleep_on(&domain->sleeps, how, ns);
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
			sleep_on(&domain->n_asked, n_asked, 0);
			continue;
		}
		cubby__os_nap(domain->delay_ns);
		synchronize_timed(domain);
		__atomic_store_n(&domain->n_granted, n_asked,
				 __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *
probe(void *argument)
{
	struct domain *domain = argument;

	/* A thread that has entered no section is in one: that is QSBR. */
	domain->flavor->register_thread();
	domain->is_qsbr = domain->flavor->read_ongoing() != 0;
	domain->flavor->unregister_thread();
	return NULL;
}

/* Signals are not for our threads.  Their stack is the usual one, for dtor. */
static int
start(pthread_t *ret_thread, void *(*run)(void *), struct domain *domain)
{
	sigset_t saved;
	int err;

	cubby__lock_block_signals(&saved);
	err = pthread_create(ret_thread, NULL, run, domain);
	cubby__lock_restore_signals(&saved);
	return err ? -EAGAIN : 0;
}

static int
start_thread(struct domain *domain)
{
	bool polls = domain->reclaim == CUBBY_RECLAIM_POLL;
	pthread_t thread;
	int err = start(&thread, polls ? waiter : reclaimer, domain);

	if (err)
		return err;
	pthread_detach(thread);
	domain->has_thread = true;
	return 0;
}

static int
init_domain(struct domain *domain, const struct rcu_flavor_struct *flavor,
	    enum cubby_reclaim reclaim)
{
	pthread_t thread;
	int err;

	domain->flavor = flavor;
	domain->reclaim = reclaim;
	domain->delay_ns = DELAY_NS_MIN;
	err = start(&thread, probe, domain);
	if (!err)
		pthread_join(thread, NULL);
	if (!err)
		err = start_thread(domain);
	if (!err)
		__atomic_store_n(&domain->is_used, true, __ATOMIC_RELEASE);
	return err;
}

/*
 * At exit, before what the program made earlier is destructed: no dtor is begun
 * any more.
 */
static void
stop(void)
{
	uint64_t deadline_ns = cubby__os_now_ns() + STOP_WAIT_NS;

	__atomic_store_n(&is_exiting, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < DOMAINS_MAX; i++)
		while (__atomic_load_n(&domains[i].calls_back,
				       __ATOMIC_SEQ_CST) &&
		       !round_is_mine(&domains[i]) &&
		       cubby__os_now_ns() < deadline_ns)
			cubby__os_nap(NS_PER_S / 1000);
}

static bool stops; /* at exit; under the lock of domains */

static int
find_domain(const struct rcu_flavor_struct *flavor, enum cubby_reclaim reclaim,
	    struct domain **ret_domain)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct domain *domain = &domains[i];

		*ret_domain = domain;
		if (!domain->is_used) {
			if (!stops)
				stops = atexit(stop) == 0;
			return init_domain(domain, flavor, reclaim);
		}
		if (domain->flavor == flavor && domain->reclaim == reclaim)
			return domain->has_thread ||
					       cubby__annotate_on_tsan() ?
				       0 :
				       start_thread(domain); /* a child's */
	}
	return -E2BIG;
}

int
cubby__reclaim_find_domain(const struct rcu_flavor_struct *flavor,
			   enum cubby_reclaim reclaim,
			   struct domain **ret_domain)
{
	int err;

	/* The code of the thread must stay: this may be in a plugin. */
	cubby__inline_pin((const void *)(uintptr_t)reclaimer);
	pthread_mutex_lock(&domains_lock);
	err = find_domain(flavor, reclaim, ret_domain);
	pthread_mutex_unlock(&domains_lock);
	if (err == -E2BIG)
		return cubby__error_set(err,
					"more than %d flavours of RCU (each "
					"with each back end) in one process",
					DOMAINS_MAX);
	if (err)
		return cubby__error_set(err,
					"no thread can be started that waits "
					"for grace periods: see RLIMIT_NPROC");
	return 0;
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
		sleep_on(&domain->n_rounds, seen, deadline_ns - now);
		now = cubby__os_now_ns();
	}
	return true;
}

bool
cubby__reclaim_may_await(const struct cubby_cache *cache)
{
	const struct domain *domain = cache->defer.domain;

	return domain->reclaim == CUBBY_RECLAIM_THREAD && domain->has_thread &&
	       !__atomic_load_n(&is_exiting, __ATOMIC_SEQ_CST) &&
	       !round_is_mine(domain) && !domain->flavor->read_ongoing();
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

	if (is_online)
		domain->flavor->thread_offline();
	take_round(domain);
	for (int i = 0; i < 2; i++) { /* bits are in two arrays, in turn */
		__atomic_store_n(&cache->defer.wants_all, sweeps,
				 __ATOMIC_SEQ_CST);
		bool any = begin_round(domain, cache, &due_ns);

		if (cache->defer.is_stuck)
			err = -EBUSY;
		if (!any)
			break;
		cubby__reclaim_synchronize(domain);
		end_round(domain);
	}
	leave_round(domain);
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

/* Its callback waits for another one's, which may wait for ours. */
static bool
some_round_is_mine(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++)
		if (round_is_mine(&domains[i]))
			return true;
	return false;
}

int
cubby__reclaim_barrier(struct cubby_cache *cache)
{
	struct domain *domain = cache->defer.domain;

	if (some_round_is_mine())
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
		wake(&domain->n_asked);
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
	if (!try_round(domain))
		return 0; /* somebody is at it, or this is a callback */
	n = poll_round(domain);
	leave_round(domain);
	return (int64_t)n;
}

/* ------------------------------------- fork ------------------------------ */

/*
 * Not for ever, for it may wait for us.  Whether it does is not asked: urcu-bp
 * would register this thread, under a lock that its own hook holds.
 */
static void
wait_until_outside(const struct domain *domain)
{
	uint64_t deadline_ns = cubby__os_now_ns() + FORK_WAIT_NS;

	while ((__atomic_load_n(&domain->n_in_sync, __ATOMIC_SEQ_CST) != 0 ||
		(__atomic_load_n(&domain->n_in_calls, __ATOMIC_SEQ_CST) != 0 &&
		 !round_is_mine(domain))) &&
	       cubby__os_now_ns() < deadline_ns)
		cubby__os_nap(FORK_NAP_NS);
}

void
cubby__reclaim_fork_prepare(void)
{
	__atomic_add_fetch(&n_forking, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++)
		wait_until_outside(&domains[i]);
}

void
cubby__reclaim_fork_parent(void)
{
	__atomic_sub_fetch(&n_forking, 1, __ATOMIC_SEQ_CST);
	wake(&n_forking);
}

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
		cubby__collect_fork_child(cache, round_is_mine(domain));
		if (!round_is_mine(domain))
			cache->defer.is_in_round = false;
		list(domain, cache);
	}
}

void
cubby__reclaim_fork_child_begin(void)
{
	pthread_mutex_init(&domains_lock, NULL);
	n_forking = 0;
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++) {
		struct domain *domain = &domains[i];

		domain->listed = NULL;
		domain->has_thread = false;
		domain->is_pending = 1;
		domain->sleeps = AWAKE;
		domain->n_waiters = 0;
		domain->n_taking = 0;
		domain->n_in_sync = 0;
		domain->n_in_calls = round_is_mine(domain);
		if (round_is_mine(domain))
			continue;
		domain->round_owner = 0;
		domain->calls_back = 0;
		domain->in_round = NULL;
		domain->awaits = false;
		domain->n_granted = domain->n_asked;
	}
	relist_all();
}

void
cubby__reclaim_fork_child_end(void)
{
	if (cubby__annotate_on_tsan())
		return; /* it dies of threads in a child of threads */
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++)
		start_thread(&domains[i]);
}
