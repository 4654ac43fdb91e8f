/* SPDX-License-Identifier: MIT */
/*
 * Handles under fire, in every line of the table of modes (cubby/cache.h) with
 * every flavour of liburcu: more threads than cores make objects, publish their
 * handles, follow those of others, living and long dead, free by pointer and by
 * handle, several at once, watch, walk, shrink and wait, while signals interrupt
 * them with handlers that do the same.  What they do, and how it is known to be
 * right: support/aviary.h, support/canary.h.
 *
 * CUBBY_CANARY=pattern runs the cases with such names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "weak.h"

#include "support/aviary.h"
#include "support/flavor.h"

#define N_OPERATIONS 3000 /* of a thread */
#define N_OPERATIONS_SLOW 1000
#define N_TIMES_AT_ONCE 8 /* where nothing waits for grace periods */
#define DISTURB_PAUSE_US 200

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static const struct variant variants[] = {
	{ 12, true, 0, 0, 0 },
	{ 7, false, 512, 4, 0 },
	{ 25, true, 0, 0, CUBBY_CACHE_NO_MAGAZINES },
};

static struct keeper keepers[KEEPERS_MAX];
static unsigned n_threads;
static unsigned n_finished;
static uint64_t n_operations;
static uint64_t seed;
static cpu_set_t all_cpus;

/* ---------------------------------- a run -------------------------------- */

static void
on_signal(int number)
{
	(void)number;
	keeper_on_signal();
}

static void
set_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
}

static void *
work(void *context)
{
	keeper_begin(context);
	set_signals(SIG_UNBLOCK);
	for (uint64_t i = 0; i < n_operations; i++)
		keeper_operate();
	set_signals(SIG_BLOCK);
	keeper_end();
	__atomic_add_fetch(&n_finished, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void
start_threads(void)
{
	n_finished = 0;
	for (unsigned i = 0; i < n_threads; i++) {
		struct keeper *it = &keepers[i];

		memset(it, 0, sizeof(*it));
		it->number = i;
		it->random = test_random(&seed);
		it->handler_random = test_random(&seed);
		assert_int_equal(pthread_create(&it->thread, NULL, work, it),
				 0);
	}
}

/* To one CPU, or to wherever it likes. */
static void
migrate(pthread_t thread, uint64_t choice)
{
	cpu_set_t set = all_cpus;

	if (choice % 2 != 0) {
		int n = (int)(choice / 2 % (unsigned)CPU_COUNT(&all_cpus));

		CPU_ZERO(&set);
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &all_cpus) && n-- == 0)
				CPU_SET(cpu, &set);
	}
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

/* Until they have finished. */
static void
disturb_threads(void)
{
	uint64_t random = test_random(&seed);

	while (__atomic_load_n(&n_finished, __ATOMIC_ACQUIRE) < n_threads) {
		uint64_t choice = test_random(&random);
		pthread_t thread = keepers[choice % n_threads].thread;

		usleep(DISTURB_PAUSE_US);
		pthread_kill(thread, SIGUSR1);
		migrate(thread, test_random(&random));
	}
	for (unsigned i = 0; i < n_threads; i++)
		assert_int_equal(pthread_join(keepers[i].thread, NULL), 0);
}

static void
canaries_live_once(void **state)
{
	const struct trial *trial = *state;

	n_operations = test_scaled(test_is_slow() ? N_OPERATIONS_SLOW :
						    N_OPERATIONS);
	if (trial->flavor == NULL)
		n_operations *= N_TIMES_AT_ONCE;
	for (size_t i = 0; i < N_ELEMENTS(variants); i++) {
		aviary_open(trial, &variants[i]);
		start_threads();
		disturb_threads();
		aviary_close(keepers, n_threads);
		test_count_operations(n_operations * n_threads);
	}
}

/* ---------------------------------- cases -------------------------------- */

#define TRIALS_MAX 32

static struct trial trials[TRIALS_MAX];
static char names[TRIALS_MAX][64];
static struct CMUnitTest tests[TRIALS_MAX];
static size_t n_trials;

static void
add_trial(const struct trial *line, const struct test_flavor *flavor,
	  enum cubby_reclaim reclaim)
{
	struct trial *it = &trials[n_trials];
	char *name = names[n_trials];

	*it = *line;
	it->flavor = flavor;
	it->reclaim = reclaim;
	if (flavor == NULL)
		snprintf(name, sizeof(names[0]), "%s_canaries_live_once",
			 line->name);
	else
		snprintf(name, sizeof(names[0]), "%s_%s_%s_canaries_live_once",
			 line->name, flavor->name,
			 reclaim == CUBBY_RECLAIM_POLL ? "poll" : "thread");
	tests[n_trials++] = (struct CMUnitTest){ name, canaries_live_once,
						 NULL, NULL, it };
}

static void
add_trials(void)
{
	static const struct trial with_flavor[] = {
		{ .name = "pointers", .weak = CUBBY_WEAK_NONE },
		{ .name = "borrow", .weak = CUBBY_WEAK_RCU },
		{ .name = "borrow_and_upgrade",
		  .weak = CUBBY_WEAK_RCU,
		  .is_strong = true },
	};
	static const struct trial without[] = {
		{ .name = "upgrade", .weak = CUBBY_WEAK_STRONG },
		{ .name = "copy", .weak = CUBBY_WEAK_REUSE },
	};

	for (size_t i = 0; i < N_ELEMENTS(with_flavor); i++)
		for (size_t j = 0; j < N_TEST_FLAVORS; j++) {
			add_trial(&with_flavor[i], &test_flavors[j],
				  CUBBY_RECLAIM_THREAD);
			add_trial(&with_flavor[i], &test_flavors[j],
				  CUBBY_RECLAIM_POLL);
		}
	for (size_t i = 0; i < N_ELEMENTS(without); i++)
		add_trial(&without[i], NULL, CUBBY_RECLAIM_THREAD);
}

static void
report(void)
{
	printf("# %llu hits, %llu misses, %llu refused, %llu signals, "
	       "%llu cells retired\n",
	       (unsigned long long)aviary_counts.n_hits,
	       (unsigned long long)aviary_counts.n_misses,
	       (unsigned long long)aviary_counts.n_refused,
	       (unsigned long long)aviary_counts.n_signals,
	       (unsigned long long)aviary_counts.n_retired);
	if (CUBBY_GENERATION_BITS < 31 && aviary_counts.n_retired == 0)
		test_die("generations are narrow, and no cell is retired");
}

int
main(void)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };
	int status;

	seed = test_seed();
	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
	n_threads = 2 * test_n_cores() + 2;
	if (n_threads > KEEPERS_MAX)
		n_threads = KEEPERS_MAX;
	set_signals(SIG_BLOCK);
	sigaction(SIGUSR1, &action, NULL);
	add_trials();
	if (getenv("CUBBY_CANARY") != NULL)
		cmocka_set_test_filter(getenv("CUBBY_CANARY"));
	status = _cmocka_run_group_tests("stress_canary", tests, n_trials,
					 NULL, NULL);
	report();
	return status;
}
