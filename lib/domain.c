/* SPDX-License-Identifier: MIT */
/* LAYER 5: domain - a flavour of RCU with a back end: its thread and its rounds */
#include "domain.h"

#include "annotate.h"
#include "bits.h"
#include "error.h"
#include "lock.h"
#include "os.h"
#include "stripe.h"

#include <cubby/inline/abi.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
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

ERROR_ROW(EAGAIN,
	  "try again: the kernel refuses a thread, or a descriptor is full");

static uint32_t is_exiting;
static uint32_t n_forking; /* futex */
static struct domain domains[DOMAINS_MAX];
static pthread_mutex_t domains_lock = PTHREAD_MUTEX_INITIALIZER;
static bool stops; /* at exit; under the lock */

/* ---------------------------------- sleeping ----------------------------- */

void
cubby__domain_sleep(uint32_t *word, uint32_t seen, uint64_t ns)
{
	struct timespec timeout = { .tv_sec = (time_t)(ns / NS_PER_S),
				    .tv_nsec = (long)(ns % NS_PER_S) };
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen,
		ns != 0 ? &timeout : NULL, NULL, 0);
	errno = saved;
}

void
cubby__domain_wake(uint32_t *word)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

/* --------------------------------- its rounds ---------------------------- */

/*
 * Whose the round is, is one word, so that a fork at any moment, also from a
 * handler, finds it right.
 */
bool
cubby__domain_try_round(struct domain *domain)
{
	uintptr_t nobody = 0;

	return __atomic_compare_exchange_n(&domain->round_owner, &nobody,
					   cubby__stripe_self(), false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

void
cubby__domain_take_round(struct domain *domain)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&domain->n_left,
						__ATOMIC_SEQ_CST);

		if (cubby__domain_try_round(domain))
			return;
		__atomic_add_fetch(&domain->n_taking, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&domain->round_owner, __ATOMIC_SEQ_CST) !=
		    0)
			cubby__domain_sleep(&domain->n_left, seen, 0);
		__atomic_sub_fetch(&domain->n_taking, 1, __ATOMIC_SEQ_CST);
	}
}

void
cubby__domain_leave_round(struct domain *domain)
{
	__atomic_store_n(&domain->round_owner, 0, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&domain->n_left, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&domain->n_taking, __ATOMIC_SEQ_CST) != 0)
		cubby__domain_wake(&domain->n_left);
}

bool
cubby__domain_round_is_mine(const struct domain *domain)
{
	return __atomic_load_n(&domain->round_owner, __ATOMIC_RELAXED) ==
	       cubby__stripe_self();
}

bool
cubby__domain_some_round_is_mine(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++)
		if (cubby__domain_round_is_mine(&domains[i]))
			return true;
	return false;
}

/* ------------------------- grace periods and dtor ------------------------ */

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
		cubby__domain_sleep(&n_forking, n_forks, 0);
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
cubby__domain_call_begins(struct domain *domain)
{
	enter(&domain->n_in_calls);
}

void
cubby__domain_call_ends(struct domain *domain)
{
	leave(&domain->n_in_calls);
}

void
cubby__domain_synchronize(struct domain *domain)
{
	enter(&domain->n_in_sync);
	domain->flavor->update_synchronize_rcu();
	leave(&domain->n_in_sync);
	cubby__annotate_acquire(domain->flavor);
}

void
cubby__domain_synchronize_timed(struct domain *domain)
{
	uint64_t began_ns = cubby__os_now_ns();
	uint64_t took_ns;

	cubby__domain_synchronize(domain);
	took_ns = cubby__os_now_ns() - began_ns;
	domain->delay_ns = min_u64(
		max_u64(DELAY_PER_SYNC * took_ns, DELAY_NS_MIN), DELAY_NS_MAX);
}

/* -------------------------------- its thread ----------------------------- */

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
	pthread_t thread;
	int err = start(&thread, domain->run, domain);

	if (err)
		return err;
	pthread_detach(thread);
	domain->has_thread = true;
	return 0;
}

static int
init_domain(struct domain *domain, const struct rcu_flavor_struct *flavor,
	    enum cubby_reclaim reclaim, void *(*run)(void *domain))
{
	pthread_t thread;
	int err;

	domain->flavor = flavor;
	domain->reclaim = reclaim;
	domain->run = run;
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

bool
cubby__domain_exits(void)
{
	return unlikely(__atomic_load_n(&is_exiting, __ATOMIC_SEQ_CST));
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
		       !cubby__domain_round_is_mine(&domains[i]) &&
		       cubby__os_now_ns() < deadline_ns)
			cubby__os_nap(NS_PER_S / 1000);
}

static int
find_domain(const struct rcu_flavor_struct *flavor, enum cubby_reclaim reclaim,
	    void *(*run)(void *domain), struct domain **ret_domain)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct domain *domain = &domains[i];

		*ret_domain = domain;
		if (!domain->is_used) {
			if (!stops)
				stops = atexit(stop) == 0;
			return init_domain(domain, flavor, reclaim, run);
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
cubby__domain_find(const struct rcu_flavor_struct *flavor,
		   enum cubby_reclaim reclaim, void *(*run)(void *domain),
		   struct domain **ret_domain)
{
	int err;

	/* The code of the thread must stay: this may be in a plugin. */
	cubby__inline_pin((const void *)(uintptr_t)run);
	pthread_mutex_lock(&domains_lock);
	err = find_domain(flavor, reclaim, run, ret_domain);
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
		 !cubby__domain_round_is_mine(domain))) &&
	       cubby__os_now_ns() < deadline_ns)
		cubby__os_nap(FORK_NAP_NS);
}

void
cubby__domain_fork_prepare(void)
{
	__atomic_add_fetch(&n_forking, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++)
		wait_until_outside(&domains[i]);
}

void
cubby__domain_fork_parent(void)
{
	__atomic_sub_fetch(&n_forking, 1, __ATOMIC_SEQ_CST);
	cubby__domain_wake(&n_forking);
}

bool
cubby__domain_fork_child_begin(void)
{
	pthread_mutex_init(&domains_lock, NULL);
	n_forking = 0;
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++) {
		struct domain *domain = &domains[i];

		domain->listed = NULL;
		domain->has_thread = false;
		domain->is_pending = 1;
		domain->sleeps = 0;
		domain->n_waiters = 0;
		domain->n_taking = 0;
		domain->n_in_sync = 0;
		domain->n_in_calls = cubby__domain_round_is_mine(domain);
		if (cubby__domain_round_is_mine(domain))
			continue;
		domain->round_owner = 0;
		domain->calls_back = 0;
		domain->in_round = NULL;
		domain->awaits = false;
		domain->n_granted = domain->n_asked;
	}
	return domains[0].is_used;
}

void
cubby__domain_fork_child_end(void)
{
	if (cubby__annotate_on_tsan())
		return; /* it dies of threads in a child of threads */
	for (size_t i = 0; i < DOMAINS_MAX && domains[i].is_used; i++)
		start_thread(&domains[i]);
}
