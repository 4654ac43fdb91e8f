/* SPDX-License-Identifier: MIT */
/*
 * Who owns what, under every way of using a cache at once.
 *
 * Each way below runs with 2 and with 16 threads a core and with caches of all
 * kinds (support/crew.h), watched by the oracle (support/oracle.h).
 *
 * CUBBY_TEST_SEED repeats the choices of a run, though not its schedule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <unistd.h>

#include "support/crew.h"

#define BURST_MAX 400 /* more than the library's own batch of 256 */
#define RING_SIZE 32
#define N_FORKERS 4 /* workers that fork, and how often */
#define N_FORKS 3
#define CHILD_SECONDS 60

/* How many objects at once; not more than there is work. */
static size_t
some(struct worker *worker)
{
	uint64_t most = worker->n_objects < BURST_MAX ? worker->n_objects :
							BURST_MAX;

	return 1 + worker_below(worker, most);
}

/* Objects on their way from a producer to its consumer. */
struct ring {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void *objects[RING_SIZE];
	unsigned n_put, n_got;
};

static struct ring rings[CREW_MAX / 2];

/* -------------------------------- workloads ------------------------------ */

/* A stack of objects that grows and shrinks; each held one is looked at. */
static void
churn(struct worker *worker)
{
	void *held[CREW_HELD];
	unsigned n_held = 0;
	uint64_t n_left = worker->n_objects;

	while (n_left > 0 || n_held > 0) {
		if (n_left > 0 && n_held < CREW_HELD &&
		    worker_below(worker, 2)) {
			n_left--;
			held[n_held++] = worker_alloc(worker);
		} else if (n_held > 0) {
			worker_free(worker, held[--n_held]);
		}
		if (n_held > 0)
			oracle_hold(worker->oracle, worker->owner,
				    held[worker_below(worker, n_held)]);
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
		size_t n = some(worker);

		for (size_t i = 0; i < n; i++)
			objects[i] = worker_alloc(worker);
		for (size_t i = n; i > 0; i--) {
			swap(&objects[i - 1],
			     &objects[worker_below(worker, i)]);
			worker_free(worker, objects[i - 1]);
		}
		done += n;
	}
}

static void
replace(struct worker *worker)
{
	void *held[CREW_HELD] = { NULL };

	for (uint64_t i = 0; i < worker->n_objects; i++)
		worker_replace(worker, held);
	worker_free_all(worker, held);
}

/* Bulk calls of every size, mixed with single frees. */
static void
bulk(struct worker *worker)
{
	void *objects[BURST_MAX];

	for (uint64_t done = 0; done < worker->n_objects;) {
		size_t n = some(worker);
		size_t split = worker_below(worker, n + 1);

		if (!oracle_alloc_bulk(worker->oracle, worker->owner, n,
				       objects))
			oracle_fault(worker->oracle, ORACLE_COUNT, NULL,
				     "no memory for a bulk");
		for (size_t i = 0; i < split; i++)
			worker_free(worker, objects[i]);
		oracle_free_bulk(worker->oracle, worker->owner, n - split,
				 objects + split);
		done += n;
	}
}

/* NULL is the last one. */
static void
ring_put(struct ring *ring, void *object)
{
	pthread_mutex_lock(&ring->mutex);
	while (ring->n_put - ring->n_got == RING_SIZE)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	ring->objects[ring->n_put++ % RING_SIZE] = object;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->mutex);
}

static void *
ring_get(struct ring *ring)
{
	void *object;

	pthread_mutex_lock(&ring->mutex);
	while (ring->n_put == ring->n_got)
		pthread_cond_wait(&ring->changed, &ring->mutex);
	object = ring->objects[ring->n_got++ % RING_SIZE];
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->mutex);
	return object;
}

/* Even workers allocate, odd ones free: every free is another thread's. */
static void
hand_over(struct worker *worker)
{
	struct ring *ring = &rings[worker->number / 2];
	void *object;

	if (worker->number % 2 == 0) {
		for (uint64_t i = 0; i < 2 * worker->n_objects; i++)
			ring_put(ring, worker_alloc(worker));
		ring_put(ring, NULL);
		return;
	}
	while ((object = ring_get(ring)) != NULL) {
		oracle_hand_over(worker->oracle, worker->owner - 1,
				 worker->owner, object);
		worker_free(worker, object);
	}
}

/* In the child only this thread lives; the other threads' objects stay. */
static int
live_as_child(struct worker *worker, void **held)
{
	void *more[CREW_HELD];

	worker_in_child(worker);
	oracle_meddle_walk(worker->oracle);
	for (unsigned i = 0; i < CREW_HELD; i++)
		more[i] = worker_alloc(worker);
	oracle_meddle_walk(worker->oracle);
	worker_free_all(worker, more);
	worker_free_all(worker, held);
	oracle_meddle_walk(worker->oracle);
	oracle_meddle_stats(worker->oracle);
	cubby_cache_shrink(worker->oracle->cache, NULL);
	return cubby_cache_verify(worker->oracle->cache) != 0;
}

static void
fork_at_will(struct worker *worker)
{
	void *held[CREW_HELD] = { NULL };
	uint64_t n_between = worker->n_objects / test_scaled(N_FORKS) + 1;
	pid_t child;

	for (uint64_t i = 0; i < worker->n_objects; i++) {
		worker_replace(worker, held);
		if (worker->number >= N_FORKERS ||
		    i % n_between != n_between / 2)
			continue;
		child = fork();
		if (child == 0)
			_exit(live_as_child(worker, held));
		if (child < 0 || test_wait_child(child, CHILD_SECONDS) != 0)
			oracle_fault(worker->oracle, ORACLE_CONTRADICTED, NULL,
				     "a child did not end well");
	}
	worker_free_all(worker, held);
}

#define WORKLOAD_CASES(work)                                                  \
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
	struct work

WORKLOAD_CASES(churn);
WORKLOAD_CASES(burst);
WORKLOAD_CASES(replace);
WORKLOAD_CASES(bulk);
WORKLOAD_CASES(hand_over);
WORKLOAD_CASES(fork_at_will);

#define WORKLOAD_TESTS(work)                                                  \
	cmocka_unit_test(work##_2_threads_a_core_keeps_owners),               \
		cmocka_unit_test(work##_16_threads_a_core_keeps_owners)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORKLOAD_TESTS(churn),     WORKLOAD_TESTS(burst),
		WORKLOAD_TESTS(replace),   WORKLOAD_TESTS(bulk),
		WORKLOAD_TESTS(hand_over), WORKLOAD_TESTS(fork_at_will),
	};

	crew_seed = test_seed();
	for (unsigned i = 0; i < CREW_MAX / 2; i++) {
		pthread_mutex_init(&rings[i].mutex, NULL);
		pthread_cond_init(&rings[i].changed, NULL);
	}
	return cmocka_run_group_tests_name("stress_ownership", tests, NULL,
					   NULL);
}
