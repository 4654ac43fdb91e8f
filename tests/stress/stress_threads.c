/* SPDX-License-Identifier: MIT */
/*
 * Threads that end: with full magazines, in storms, and with destructors of
 * other keys that free and allocate before and after the library's own ran;
 * and reserves, which belong to one thread at a time.  The oracle watches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <limits.h>
#include <string.h>

#include "support/crew.h"

#define POOL_MAX 256
#define LEGACY 16      /* objects that a short-lived thread leaves behind */
#define MAYFLY_WORK 60 /* and those that it frees itself */
#define STORM_THREADS 300
#define STORM_OBJECTS 50
#define RESERVE_MAX 100

/* Where glibc stops calling destructors that set their value again. */
#define ROUNDS_MAX 4

/* Calls of a thread's destructors; in the last round TSan is gone already. */
static unsigned n_calls_max;

/* Objects whose owner is gone, or will not free them itself. */
static struct {
	pthread_mutex_t mutex;
	unsigned n;
	struct {
		void *object;
		unsigned owner;
	} places[POOL_MAX];
} pool = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* Made before the library's own key, and after it. */
static pthread_key_t early_key, late_key;

/* A thread that lives for a moment, on behalf of a worker. */
struct mayfly {
	struct worker worker;
	void *legacy[LEGACY];
	void *held[CREW_HELD]; /* freed by destructors */
	unsigned n_calls;      /* of destructors */
};

static void
hatch(struct mayfly *mayfly, const struct worker *worker, unsigned number,
      void *(*live)(void *mayfly))
{
	memset(mayfly, 0, sizeof(*mayfly));
	mayfly->worker = *worker;
	mayfly->worker.owner += CREW_OWNER_MAX + number;
	if (pthread_create(&mayfly->worker.thread, NULL, live, mayfly) != 0)
		test_die("no thread");
}

/* ---------------------------- full magazines ------------------------------ */

/* Put an object with its owner into the pool, or free one from there. */
static void
pool_exchange(struct worker *worker, unsigned owner, void *object)
{
	bool put = object != NULL;

	pthread_mutex_lock(&pool.mutex);
	if (put && pool.n < POOL_MAX) {
		pool.places[pool.n].object = object;
		pool.places[pool.n++].owner = owner;
		object = NULL;
	} else if (!put && pool.n > 0) {
		object = pool.places[--pool.n].object;
		owner = pool.places[pool.n].owner;
	}
	pthread_mutex_unlock(&pool.mutex);
	if (object == NULL)
		return;
	oracle_hand_over(worker->oracle, owner, worker->owner, object);
	worker_free(worker, object);
}

static void *
live_briefly(void *context)
{
	struct mayfly *mayfly = context;
	void *own[MAYFLY_WORK];

	for (unsigned i = 0; i < MAYFLY_WORK; i++) {
		own[i] = worker_alloc(&mayfly->worker);
		if (i < LEGACY)
			mayfly->legacy[i] = worker_alloc(&mayfly->worker);
	}
	for (unsigned i = 0; i < MAYFLY_WORK; i++)
		worker_free(&mayfly->worker, own[i]);
	return NULL;
}

/* Threads that die and leave their objects to whoever frees them. */
static void
exit_often(struct worker *worker)
{
	uint64_t n_rounds = worker->n_objects / (LEGACY + MAYFLY_WORK) + 1;

	for (uint64_t i = 0; i < n_rounds; i++) {
		struct mayfly mayfly;

		hatch(&mayfly, worker, 0, live_briefly);
		pthread_join(mayfly.worker.thread, NULL);
		for (unsigned j = 0; j < LEGACY; j++) {
			pool_exchange(worker, mayfly.worker.owner,
				      mayfly.legacy[j]);
			if (worker_below(worker, 2))
				pool_exchange(worker, 0, NULL);
		}
	}
	for (unsigned i = 0; i < POOL_MAX; i++)
		pool_exchange(worker, 0, NULL);
}

/* ------------------------------- destructors ------------------------------ */

/* One round: some of what is held goes, something comes, and we come again. */
static void
destructor(void *context)
{
	struct mayfly *mayfly = context;

	for (unsigned i = 0; i < CREW_HELD / 4; i++)
		worker_replace(&mayfly->worker, mayfly->held);
	if (++mayfly->n_calls >= n_calls_max) {
		worker_free_all(&mayfly->worker, mayfly->held);
		memset(mayfly->held, 0, sizeof(mayfly->held));
		return;
	}
	pthread_setspecific(early_key, mayfly);
	pthread_setspecific(late_key, mayfly);
}

static void *
live_with_keys(void *context)
{
	struct mayfly *mayfly = context;

	for (unsigned i = 0; i < CREW_HELD; i++)
		worker_replace(&mayfly->worker, mayfly->held);
	pthread_setspecific(early_key, mayfly);
	pthread_setspecific(late_key, mayfly);
	return NULL;
}

static void
exit_with_destructors(struct worker *worker)
{
	uint64_t n_rounds = worker->n_objects / (4 * CREW_HELD) + 1;

	for (uint64_t i = 0; i < n_rounds; i++) {
		struct mayfly mayfly;

		hatch(&mayfly, worker, 0, live_with_keys);
		pthread_join(mayfly.worker.thread, NULL);
		if (mayfly.n_calls < n_calls_max)
			test_die("destructors ran %u times", mayfly.n_calls);
		/* What the last round left is ours: the thread is no more. */
		worker_free_all(&mayfly.worker, mayfly.held);
	}
}

/* --------------------------------- reserves ------------------------------- */

static void
use_reserve(struct worker *worker)
{
	size_t n = 1 + worker_below(worker, RESERVE_MAX);
	size_t n_used = worker_below(worker, n + 1);
	void *objects[2 * RESERVE_MAX];
	struct cubby_reserve *reserve;
	size_t n_objects = 0;

	if (cubby_reserve_create(&reserve, worker->oracle->cache, n) != 0)
		test_die("no reserve: %s", cubby_error_detail());
	for (size_t i = 0; i < n_used; i++)
		objects[n_objects++] = oracle_reserve_alloc(
			worker->oracle, worker->owner, reserve);
	if (worker_below(worker, 2) && cubby_reserve_refill(reserve, n) != 0)
		test_die("no refill: %s", cubby_error_detail());
	while (cubby_reserve_count(reserve) > n / 2)
		objects[n_objects++] = oracle_reserve_alloc(
			worker->oracle, worker->owner, reserve);
	cubby_reserve_destroy(reserve);
	for (size_t i = 0; i < n_objects; i++) {
		if (objects[i] == NULL)
			test_die("a reserve was empty too soon");
		worker_free(worker, objects[i]);
	}
}

static void
reserve_at_will(struct worker *worker)
{
	void *held[CREW_HELD] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i += 2 * RESERVE_MAX) {
		use_reserve(worker);
		for (unsigned j = 0; j < RESERVE_MAX; j++)
			worker_replace(worker, held);
	}
	worker_free_all(worker, held);
}

/* ---------------------------------- cases --------------------------------- */

#define CASES(work)                                                           \
	static void work##_2_threads_a_core_keeps_owners(void **state)        \
	{                                                                     \
		(void)state;                                                  \
		crew_run_kinds(work, 2);                                      \
	}                                                                     \
	static void work##_16_threads_a_core_keeps_owners(void **state)       \
	{                                                                     \
		(void)state;                                                  \
		crew_run_kinds(work, 16);                                     \
	}                                                                     \
	struct worker

CASES(exit_often);
CASES(exit_with_destructors);
CASES(reserve_at_will);

static struct mayfly storm[STORM_THREADS];

static void *
live_in_storm(void *context)
{
	struct mayfly *mayfly = context;
	void *objects[STORM_OBJECTS];

	for (unsigned i = 0; i < STORM_OBJECTS; i++)
		objects[i] = worker_alloc(&mayfly->worker);
	for (unsigned i = 0; i < STORM_OBJECTS; i++)
		worker_free(&mayfly->worker, objects[i]);
	return NULL;
}

/* One worker, which lets hundreds live at a time. */
static void
raise_storm(struct worker *worker)
{
	uint64_t n_rounds = worker->n_objects /
				    (STORM_THREADS * STORM_OBJECTS) +
			    1;

	for (uint64_t i = 0; i < n_rounds; i++) {
		for (unsigned j = 0; j < STORM_THREADS; j++)
			hatch(&storm[j], worker, j, live_in_storm);
		for (unsigned j = 0; j < STORM_THREADS; j++)
			pthread_join(storm[j].worker.thread, NULL);
	}
}

static void
storm_of_short_threads_keeps_owners(void **state)
{
	struct oracle oracle;

	(void)state;
	assert_int_equal(oracle_init(&oracle, 24, 0, NULL), 0);
	crew_run(&oracle, raise_storm, 1, test_scaled(200000));
	oracle_fini(&oracle);
}

#define TESTS(work)                                                           \
	cmocka_unit_test(work##_2_threads_a_core_keeps_owners),               \
		cmocka_unit_test(work##_16_threads_a_core_keeps_owners)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(exit_often),
		TESTS(exit_with_destructors),
		TESTS(reserve_at_will),
		cmocka_unit_test(storm_of_short_threads_keeps_owners),
	};
	struct cubby_cache *first;

	crew_seed = test_seed();
	n_calls_max = test_on_tsan() ? 2 * ROUNDS_MAX - 3 : 2 * ROUNDS_MAX;
	/* glibc runs destructors in the order in which the keys were made. */
	if (pthread_key_create(&early_key, destructor) != 0 ||
	    cubby_cache_create_sized(&first, "first", 8, 0, NULL) != 0 ||
	    cubby_cache_destroy(first) != 0 ||
	    pthread_key_create(&late_key, destructor) != 0)
		test_die("no keys");
	return cmocka_run_group_tests_name("stress_threads", tests, NULL,
					   NULL);
}
