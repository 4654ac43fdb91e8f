/* SPDX-License-Identifier: MIT */
/*
 * Who owns what, under every way of using a cache at once.
 *
 * Workers use one cache in one of the ways below while a meddler shrinks,
 * walks, verifies, reports and counts it at any moment; the oracle
 * (support/oracle.h) watches every object.  Each way runs with 2 and with 16
 * threads a core and with caches of all kinds.
 *
 * CUBBY_TEST_SEED repeats the choices of a run, though not its schedule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/oracle.h"

/* The work of one run, shared by its threads: whichever is less. */
#define RUN_OBJECTS 20000
#define RUN_BYTES ((uint64_t)64 << 20)

#define HELD_MAX 64   /* objects that a churning thread holds */
#define BURST_MAX 400 /* more than the library's own batch of 256 */
#define RING_SIZE 32
#define POOL_MAX 256
#define LEGACY 16 /* objects that a short-lived thread leaves behind */
#define FORKS_PER_THREAD 3
#define CHILD_SECONDS 60
#define THREADS_MAX 256
#define MEDDLER_PAUSE_NS 100000

static uint64_t seed;

static const struct kind {
	size_t object_bytes;
	unsigned callbacks;
} kinds[] = {
	{ 8, 0 },
	{ 13, 0 },
	{ 24, ORACLE_INIT },
	{ 24, ORACLE_CTOR },
	{ 200, 0 },
	{ 200, ORACLE_INIT | ORACLE_CTOR },
	{ 4100, 0 },
	{ 4100, ORACLE_INIT | ORACLE_CTOR },
	{ 70000, ORACLE_INIT },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Objects on their way from a producer to its consumer. */
struct ring {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void *objects[RING_SIZE];
	unsigned n_put, n_got;
	bool closed;
};

/* Objects whose owner is gone, or will not free them itself. */
struct pool {
	pthread_mutex_t mutex;
	unsigned n;
	struct {
		void *object;
		unsigned owner;
	} places[POOL_MAX];
};

struct worker {
	struct oracle *oracle;
	struct worker *partner;
	struct ring *ring; /* shared by two partners */
	struct pool *pool; /* shared by all */
	unsigned number;
	unsigned owner; /* what the oracle knows us by */
	uint64_t random;
	uint64_t n_objects; /* to allocate */
	pthread_t thread;
};

typedef void (*work_fn)(struct worker *worker);

static uint64_t
below(struct worker *worker, uint64_t limit)
{
	return test_random(&worker->random) % limit;
}

static void *
must_alloc(struct worker *worker)
{
	void *object = oracle_alloc(worker->oracle, worker->owner);

	if (object == NULL)
		oracle_fault(worker->oracle, ORACLE_COUNT, NULL,
			     "no memory for an object");
	return object;
}

/* -------------------------------- workloads ------------------------------ */

/* A stack of objects that grows and shrinks; each held one is looked at. */
static void
churn(struct worker *worker)
{
	void *held[HELD_MAX];
	unsigned n_held = 0;
	uint64_t n_left = worker->n_objects;

	while (n_left > 0 || n_held > 0) {
		if (n_left > 0 && n_held < HELD_MAX && below(worker, 2)) {
			n_left--;
			held[n_held++] = must_alloc(worker);
		} else if (n_held > 0) {
			oracle_free(worker->oracle, worker->owner,
				    held[--n_held]);
		}
		if (n_held > 0)
			oracle_hold(worker->oracle, worker->owner,
				    held[below(worker, n_held)]);
	}
}

static void
swap(void **a, void **b)
{
	void *c = *a;

	*a = *b;
	*b = c;
}

static void
burst(struct worker *worker)
{
	void *objects[BURST_MAX];

	for (uint64_t done = 0; done < worker->n_objects;) {
		size_t n = 1 + below(worker, BURST_MAX);

		for (size_t i = 0; i < n; i++)
			objects[i] = must_alloc(worker);
		for (size_t i = n; i > 0; i--) {
			swap(&objects[i - 1], &objects[below(worker, i)]);
			oracle_free(worker->oracle, worker->owner,
				    objects[i - 1]);
		}
		done += n;
	}
}

static void
replace(struct worker *worker)
{
	void *held[HELD_MAX] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		void **place = &held[below(worker, HELD_MAX)];

		oracle_free(worker->oracle, worker->owner, *place);
		*place = must_alloc(worker);
	}
	for (unsigned i = 0; i < HELD_MAX; i++)
		oracle_free(worker->oracle, worker->owner, held[i]);
}

/* Bulk calls of every size, mixed with single frees. */
static void
bulk(struct worker *worker)
{
	void *objects[BURST_MAX];

	for (uint64_t done = 0; done < worker->n_objects;) {
		size_t n = 1 + below(worker, BURST_MAX);
		size_t split = below(worker, n + 1);

		if (!oracle_alloc_bulk(worker->oracle, worker->owner, n,
				       objects)) {
			oracle_fault(worker->oracle, ORACLE_COUNT, NULL,
				     "no memory for a bulk");
			return;
		}
		for (size_t i = 0; i < split; i++)
			oracle_free(worker->oracle, worker->owner, objects[i]);
		oracle_free_bulk(worker->oracle, worker->owner, n - split,
				 objects + split);
		done += n;
	}
}

static void
ring_put(struct ring *ring, void *object)
{
	pthread_mutex_lock(&ring->mutex);
	while (ring->n_put - ring->n_got == RING_SIZE)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	if (object == NULL)
		ring->closed = true;
	else
		ring->objects[ring->n_put++ % RING_SIZE] = object;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->mutex);
}

/* NULL: the producer is done. */
static void *
ring_get(struct ring *ring)
{
	void *object = NULL;

	pthread_mutex_lock(&ring->mutex);
	while (ring->n_put == ring->n_got && !ring->closed)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	if (ring->n_put != ring->n_got)
		object = ring->objects[ring->n_got++ % RING_SIZE];
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->mutex);
	return object;
}

/* Even workers allocate, odd ones free: every free is another thread's. */
static void
hand_over(struct worker *worker)
{
	void *object;

	if (worker->number % 2 == 0) {
		for (uint64_t i = 0; i < 2 * worker->n_objects; i++) {
			object = must_alloc(worker);
			if (object != NULL)
				ring_put(worker->ring, object);
		}
		ring_put(worker->ring, NULL);
		return;
	}
	while ((object = ring_get(worker->ring)) != NULL) {
		oracle_hand_over(worker->oracle, worker->partner->owner,
				 worker->owner, object);
		oracle_free(worker->oracle, worker->owner, object);
	}
}

/* Put an object with its owner into the pool, or free one from there. */
static void
pool_exchange(struct worker *worker, unsigned owner, void *object)
{
	struct pool *pool = worker->pool;
	bool put = object != NULL;

	pthread_mutex_lock(&pool->mutex);
	if (put && pool->n < POOL_MAX) {
		pool->places[pool->n].object = object;
		pool->places[pool->n++].owner = owner;
		object = NULL;
	} else if (!put && pool->n > 0) {
		object = pool->places[--pool->n].object;
		owner = pool->places[pool->n].owner;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (object == NULL)
		return;
	oracle_hand_over(worker->oracle, owner, worker->owner, object);
	oracle_free(worker->oracle, worker->owner, object);
}

struct mayfly {
	struct worker worker;
	void *legacy[LEGACY];
};

static void *
live_briefly(void *context)
{
	struct mayfly *mayfly = context;

	for (unsigned i = 0; i < LEGACY; i++) {
		mayfly->legacy[i] = must_alloc(&mayfly->worker);
		oracle_free(mayfly->worker.oracle, mayfly->worker.owner,
			    must_alloc(&mayfly->worker));
	}
	return NULL;
}

/* Threads that die and leave their objects to whoever frees them. */
static void
exit_threads(struct worker *worker)
{
	uint64_t n_rounds = worker->n_objects / (4 * LEGACY) + 1;

	for (uint64_t i = 0; i < n_rounds; i++) {
		struct mayfly mayfly = { .worker = *worker };

		mayfly.worker.owner += THREADS_MAX;
		if (pthread_create(&mayfly.worker.thread, NULL, live_briefly,
				   &mayfly) != 0)
			continue;
		pthread_join(mayfly.worker.thread, NULL);
		for (unsigned j = 0; j < LEGACY; j++) {
			pool_exchange(worker, mayfly.worker.owner,
				      mayfly.legacy[j]);
			if (below(worker, 2))
				pool_exchange(worker, 0, NULL);
		}
	}
	for (unsigned i = 0; i < POOL_MAX; i++)
		pool_exchange(worker, 0, NULL);
}

/* In the child only this thread lives; the other threads' objects stay. */
static int
live_as_child(struct worker *worker, void **held)
{
	struct oracle *oracle = worker->oracle;
	void *more[HELD_MAX];

	for (unsigned i = 0; i < HELD_MAX; i++)
		more[i] = must_alloc(worker);
	for (unsigned i = 0; i < HELD_MAX; i++) {
		oracle_free(oracle, worker->owner, more[i]);
		oracle_free(oracle, worker->owner, held[i]);
	}
	cubby_cache_shrink(oracle->cache, NULL);
	if (cubby_cache_verify(oracle->cache) != 0)
		return 2;
	return oracle_n_faults(oracle) != 0;
}

static void
fork_at_will(struct worker *worker)
{
	void *held[HELD_MAX] = { NULL };
	uint64_t n_between = worker->n_objects / FORKS_PER_THREAD + 1;
	pid_t child;

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		void **place = &held[below(worker, HELD_MAX)];

		oracle_free(worker->oracle, worker->owner, *place);
		*place = must_alloc(worker);
		if (i % n_between != n_between / 2)
			continue;
		child = fork();
		if (child == 0)
			_exit(live_as_child(worker, held));
		if (child < 0 || test_wait_child(child, CHILD_SECONDS) != 0)
			oracle_fault(worker->oracle, ORACLE_CONTRADICTED, NULL,
				     "a child did not end well");
	}
	for (unsigned i = 0; i < HELD_MAX; i++)
		oracle_free(worker->oracle, worker->owner, held[i]);
}

/* ---------------------------------- runs --------------------------------- */

struct run {
	struct oracle oracle;
	work_fn work;
	unsigned n_threads;
	struct worker workers[THREADS_MAX];
	struct ring rings[THREADS_MAX / 2];
	struct pool pool;
	bool done;
};

static struct run run; /* too large for a stack */

static void *
worker_main(void *context)
{
	run.work(context);
	return NULL;
}

static void *
meddler_main(void *context)
{
	uint64_t random = seed;
	struct timespec pause = { 0, MEDDLER_PAUSE_NS };

	(void)context;
	while (!__atomic_load_n(&run.done, __ATOMIC_RELAXED)) {
		oracle_meddle(&run.oracle, test_random(&random));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void
prepare_run(work_fn work, unsigned n_threads)
{
	uint64_t n_objects = RUN_BYTES / run.oracle.object_bytes;

	run.work = work;
	run.n_threads = n_threads;
	run.done = false;
	run.pool.n = 0;
	if (n_objects > RUN_OBJECTS)
		n_objects = RUN_OBJECTS;
	n_objects = test_scaled(n_objects) / n_threads + 1;
	for (unsigned i = 0; i < n_threads; i++) {
		run.rings[i / 2].n_put = run.rings[i / 2].n_got = 0;
		run.rings[i / 2].closed = false;
		run.workers[i] = (struct worker){
			.oracle = &run.oracle,
			.partner = &run.workers[i ^ 1],
			.ring = &run.rings[i / 2],
			.pool = &run.pool,
			.number = i,
			.owner = i + 1,
			.random = seed + i,
			.n_objects = n_objects,
		};
	}
}

static void
run_threads(void)
{
	pthread_t meddler;
	int err;

	err = pthread_create(&meddler, NULL, meddler_main, NULL);
	assert_int_equal(err, 0);
	for (unsigned i = 0; i < run.n_threads; i++) {
		err = pthread_create(&run.workers[i].thread, NULL, worker_main,
				     &run.workers[i]);
		assert_int_equal(err, 0);
	}
	for (unsigned i = 0; i < run.n_threads; i++)
		pthread_join(run.workers[i].thread, NULL);
	__atomic_store_n(&run.done, true, __ATOMIC_RELAXED);
	pthread_join(meddler, NULL);
}

static void
check_faults(const struct oracle *oracle)
{
	if (oracle_n_faults(oracle) != 0)
		fail_msg("%llu faults, callbacks %u; first: %s",
			 (unsigned long long)oracle_n_faults(oracle),
			 oracle->callbacks, oracle->first_fault);
}

static void
run_all_kinds(work_fn work, unsigned threads_per_core)
{
	unsigned n_threads = threads_per_core * test_n_cores();

	if (n_threads > THREADS_MAX)
		n_threads = THREADS_MAX;
	for (size_t i = 0; i < N_KINDS; i++) {
		int err = oracle_init(&run.oracle, kinds[i].object_bytes,
				      kinds[i].callbacks, NULL);

		assert_int_equal(err, 0);
		prepare_run(work, n_threads);
		run_threads();
		oracle_fini(&run.oracle);
		check_faults(&run.oracle);
	}
}

#define WORKLOAD_CASES(work)                                                  \
	static void work##_2_threads_a_core_keeps_owners(void **state)        \
	{                                                                     \
		(void)state;                                                  \
		run_all_kinds(work, 2);                                       \
	}                                                                     \
	static void work##_16_threads_a_core_keeps_owners(void **state)       \
	{                                                                     \
		(void)state;                                                  \
		run_all_kinds(work, 16);                                      \
	}                                                                     \
	struct work

WORKLOAD_CASES(churn);
WORKLOAD_CASES(burst);
WORKLOAD_CASES(replace);
WORKLOAD_CASES(bulk);
WORKLOAD_CASES(hand_over);
WORKLOAD_CASES(exit_threads);
WORKLOAD_CASES(fork_at_will);

/*
 * Threads that meet max_objects get NULL, never an object too many; whoever
 * frees makes room.
 */
static void
fight_for_cells(struct worker *worker)
{
	void *held[HELD_MAX] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		void **place = &held[below(worker, HELD_MAX)];

		oracle_free(worker->oracle, worker->owner, *place);
		*place = oracle_alloc(worker->oracle, worker->owner);
	}
	for (unsigned i = 0; i < HELD_MAX; i++)
		oracle_free(worker->oracle, worker->owner, held[i]);
}

static void
alloc_over_max_objects_never_hands_out_more(void **state)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.max_objects = 100);
	int err = oracle_init(&run.oracle, 200, ORACLE_INIT | ORACLE_CTOR,
			      &attr);

	(void)state;
	assert_int_equal(err, 0);
	prepare_run(fight_for_cells, 2 * test_n_cores() + 2);
	run_threads();
	err = cubby_cache_stats_snapshot(run.oracle.cache, &stats);
	assert_int_equal(err, 0);
	assert_in_range(stats.n_live_peak, 1, 100);
	assert_int_equal(stats.n_cells, 100);
	oracle_fini(&run.oracle);
	check_faults(&run.oracle);
}

/* ------------------------------- planted bugs ---------------------------- */

#define PLANT_ROUNDS 20
#define PLANT_BURST 200

/* One thread, so that every planted bug strikes in every run. */
static void
work_with_plant(struct oracle *oracle)
{
	void *objects[PLANT_BURST];

	for (unsigned round = 0; round < PLANT_ROUNDS; round++) {
		for (unsigned i = 0; i < PLANT_BURST; i++)
			objects[i] = oracle_alloc(oracle, 1);
		for (unsigned i = 0; i < PLANT_BURST; i++)
			oracle_free(oracle, 1, objects[i]);
	}
}

static void
plant_is_caught(enum oracle_plant plant, unsigned callbacks,
		enum oracle_fault expected)
{
	struct oracle *oracle = &run.oracle;
	int err = oracle_init(oracle, 24, callbacks, NULL);

	assert_int_equal(err, 0);
	oracle->plant = plant;
	work_with_plant(oracle);
	oracle_fini_force(oracle);
	assert_true(oracle->n_faults[expected] > 0);
	for (int i = 0; i < N_ORACLE_FAULTS; i++)
		if (i != (int)expected && oracle->n_faults[i] != 0)
			fail_msg("plant %d: also %llu faults of kind %d",
				 plant,
				 (unsigned long long)oracle->n_faults[i], i);
}

static void
oracle_no_plant_finds_nothing(void **state)
{
	(void)state;
	assert_int_equal(oracle_init(&run.oracle, 24, ORACLE_INIT, NULL), 0);
	work_with_plant(&run.oracle);
	oracle_fini_force(&run.oracle);
	assert_int_equal(oracle_n_faults(&run.oracle), 0);
}

static void
oracle_object_handed_out_twice_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_TWICE, 0, ORACLE_TWICE);
}

static void
oracle_object_freed_early_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_EARLY, 0, ORACLE_TWICE);
}

static void
oracle_byte_overwritten_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_SCRIBBLE, 0, ORACLE_OVERWRITTEN);
}

static void
oracle_stamp_skipped_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_NO_STAMP, ORACLE_CTOR,
			ORACLE_OVERWRITTEN);
}

static void
oracle_init_state_lost_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_FORGET, ORACLE_INIT, ORACLE_STATE);
}

static void
oracle_object_leaked_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_LEAK, 0, ORACLE_COUNT);
}

#define WORKLOAD_TESTS(work)                                                  \
	cmocka_unit_test(work##_2_threads_a_core_keeps_owners),               \
		cmocka_unit_test(work##_16_threads_a_core_keeps_owners)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oracle_no_plant_finds_nothing),
		cmocka_unit_test(oracle_object_handed_out_twice_is_caught),
		cmocka_unit_test(oracle_object_freed_early_is_caught),
		cmocka_unit_test(oracle_byte_overwritten_is_caught),
		cmocka_unit_test(oracle_stamp_skipped_is_caught),
		cmocka_unit_test(oracle_init_state_lost_is_caught),
		cmocka_unit_test(oracle_object_leaked_is_caught),
		WORKLOAD_TESTS(churn),
		WORKLOAD_TESTS(burst),
		WORKLOAD_TESTS(replace),
		WORKLOAD_TESTS(bulk),
		WORKLOAD_TESTS(hand_over),
		WORKLOAD_TESTS(exit_threads),
		WORKLOAD_TESTS(fork_at_will),
		cmocka_unit_test(alloc_over_max_objects_never_hands_out_more),
	};

	seed = test_seed();
	for (unsigned i = 0; i < THREADS_MAX / 2; i++) {
		pthread_mutex_init(&run.rings[i].mutex, NULL);
		pthread_cond_init(&run.rings[i].changed, NULL);
	}
	pthread_mutex_init(&run.pool.mutex, NULL);
	return cmocka_run_group_tests_name("stress_ownership", tests, NULL,
					   NULL);
}
