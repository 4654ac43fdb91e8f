/* SPDX-License-Identifier: MIT */
/*
 * Caches at their limit: never an object more than max_objects, and never one
 * less because others lie idle in the magazines of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <semaphore.h>

#include "support/crew.h"

#define N_MAX 300 /* max_objects */
#define OBJECTS 40000

static struct oracle oracle;

static void
create(unsigned callbacks)
{
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.max_objects = N_MAX);

	assert_int_equal(oracle_init(&oracle, 200, callbacks, &attr), 0);
}

static void
check_and_destroy(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_int_equal(cubby_cache_stats_snapshot(oracle.cache, &stats), 0);
	assert_in_range(stats.n_live_peak, 1, N_MAX);
	assert_in_range(stats.n_cells, 1, N_MAX);
	oracle_fini(&oracle);
}

/* --------------------------- more than there are -------------------------- */

/* Some get NULL; whoever frees makes room. */
static void
fight_for_cells(struct worker *worker)
{
	void *held[CREW_HELD] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		void **place = &held[worker_below(worker, CREW_HELD)];

		worker_free(worker, *place);
		*place = oracle_alloc(worker->oracle, worker->owner);
	}
	worker_free_all(worker, held);
}

static void
alloc_over_max_objects_never_hands_out_more(void **state)
{
	(void)state;
	create(ORACLE_INIT | ORACLE_CTOR);
	crew_run(&oracle, fight_for_cells, 4 * test_n_cores() + 2,
		 test_scaled(OBJECTS));
	check_and_destroy();
}

/* ------------------------- exactly as many as there are ------------------- */

static sem_t sleepers_ready, sleepers_may_end;

/* Free some objects, which stay in our magazines, and sleep. */
static void *
sleep_on_idle(void *context)
{
	unsigned owner = (unsigned)(uintptr_t)context;
	void *objects[CREW_HELD];

	for (unsigned i = 0; i < CREW_HELD; i++)
		objects[i] = oracle_alloc(&oracle, owner);
	for (unsigned i = 0; i < CREW_HELD; i++)
		oracle_free(&oracle, owner, objects[i]);
	sem_post(&sleepers_ready);
	while (sem_wait(&sleepers_may_end) != 0)
		;
	return NULL;
}

static void
allocate_all(void)
{
	static void *objects[N_MAX];

	for (unsigned i = 0; i < N_MAX; i++) {
		objects[i] = oracle_alloc(&oracle, 1);
		if (objects[i] == NULL)
			fail_msg("object %u of %u was refused", i, N_MAX);
	}
	assert_null(oracle_alloc(&oracle, 1));
	for (unsigned i = 0; i < N_MAX; i++)
		oracle_free(&oracle, 1, objects[i]);
}

static void
alloc_of_max_objects_beside_idle_threads_succeeds(void **state)
{
	unsigned n_threads = 2 * test_n_cores();
	uint64_t n_rounds = test_scaled(50);
	pthread_t threads[CREW_MAX];

	(void)state;
	n_threads = n_threads < CREW_MAX ? n_threads : CREW_MAX;
	create(0);
	for (uint64_t round = 0; round < n_rounds; round++) {
		for (uintptr_t i = 0; i < n_threads; i++) {
			int err = pthread_create(&threads[i], NULL,
						 sleep_on_idle,
						 (void *)(i + 2));

			assert_int_equal(err, 0);
		}
		for (unsigned i = 0; i < n_threads; i++)
			while (sem_wait(&sleepers_ready) != 0)
				;
		allocate_all();
		for (unsigned i = 0; i < n_threads; i++)
			sem_post(&sleepers_may_end);
		for (unsigned i = 0; i < n_threads; i++)
			pthread_join(threads[i], NULL);
	}
	check_and_destroy();
}

/* ------------------------------ with a claim ------------------------------ */

static sem_t claims;

static bool
claim(void)
{
	return sem_trywait(&claims) == 0;
}

/*
 * As many claims go round as there are cells; who has one must be served,
 * wherever the free cells lie at that moment.
 */
static void
alloc_by_claim(struct worker *worker)
{
	void *held[CREW_HELD] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		void **place = &held[worker_below(worker, CREW_HELD)];

		if (*place != NULL) {
			worker_free(worker, *place);
			*place = NULL;
			sem_post(&claims);
		}
		if (claim())
			*place = worker_alloc(worker);
	}
	for (unsigned i = 0; i < CREW_HELD; i++)
		if (held[i] != NULL) {
			worker_free(worker, held[i]);
			sem_post(&claims);
		}
}

/* The meddler wants an object now and then. */
#define CLAIMS (N_MAX - 1)

static void
alloc_by_claim_on_plain_cache_is_never_refused(void **state)
{
	(void)state;
	create(0);
	sem_init(&claims, 0, CLAIMS);
	crew_run(&oracle, alloc_by_claim, 4 * test_n_cores() + 2,
		 test_scaled(OBJECTS));
	check_and_destroy();
}

static void
alloc_by_claim_on_cache_with_callbacks_is_never_refused(void **state)
{
	(void)state;
	create(ORACLE_INIT | ORACLE_CTOR);
	sem_init(&claims, 0, CLAIMS);
	crew_run(&oracle, alloc_by_claim, 4 * test_n_cores() + 2,
		 test_scaled(OBJECTS));
	check_and_destroy();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc_over_max_objects_never_hands_out_more),
		cmocka_unit_test(
			alloc_of_max_objects_beside_idle_threads_succeeds),
		cmocka_unit_test(
			alloc_by_claim_on_plain_cache_is_never_refused),
		cmocka_unit_test(
			alloc_by_claim_on_cache_with_callbacks_is_never_refused),
	};

	crew_seed = test_seed();
	sem_init(&sleepers_ready, 0, 0);
	sem_init(&sleepers_may_end, 0, 0);
	return cmocka_run_group_tests_name("stress_limit", tests, NULL, NULL);
}
