/* SPDX-License-Identifier: MIT */
/*
 * A hundred million operations: the same ways of using a cache as in
 * stress_ownership, at nearly full speed, under the light oracle.  Rare
 * interleavings are met by doing it often.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "support/light.h"
#include "support/sums.h"

/* Allocs and frees of all runs at scale 100, and how many runs there are. */
#define OPERATIONS 100000000
#define N_RUNS 12

#define THREADS_MAX 256
#define STACK_MAX 64
#define TABLE_MAX 4096
#define BURST_MAX 2000
#define BULK_MAX 300
#define RING_SIZE 1024
#define MAYFLY_OPERATIONS 5000
#define MEDDLER_PAUSE_NS 1000000

/* One producer, one consumer; their numbers only grow. */
struct ring {
	_Alignas(64) uint64_t n_put;
	_Alignas(64) uint64_t n_got;
	void *objects[RING_SIZE];
};

struct hand {
	unsigned number;
	uint64_t ticket; /* of the last object taken */
	uint64_t random;
	uint64_t n_operations; /* to make; at the end: made */
	void *table[TABLE_MAX];
	pthread_t thread;
};

typedef uint64_t (*work_fn)(struct hand *hand, uint64_t n_operations);

static struct light light;
static struct hand hands[THREADS_MAX];
static struct ring rings[THREADS_MAX / 2];
static work_fn work;
static bool done;
static uint64_t seed;

static uint64_t
below(struct hand *hand, uint64_t limit)
{
	/* As good as these choices need it, and quick. */
	hand->random = hand->random * 6364136223846793005u + 1;
	return (hand->random >> 33) * limit >> 31;
}

static void *
take(struct hand *hand)
{
	return light_alloc(&light, hand->ticket += THREADS_MAX);
}

/* -------------------------------- workloads ------------------------------ */

/* Each returns how many allocs and frees it made. */

static uint64_t
churn(struct hand *hand, uint64_t n_operations)
{
	unsigned n_held = 0;
	uint64_t n = 0;

	for (; n < n_operations || n_held > 0; n++) {
		if (n < n_operations &&
		    (n_held == 0 || (n_held < STACK_MAX && below(hand, 2))))
			hand->table[n_held++] = take(hand);
		else
			light_free(&light, hand->table[--n_held]);
	}
	return n;
}

static uint64_t
scatter(struct hand *hand, uint64_t n_operations)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < TABLE_MAX; i++)
		hand->table[i] = NULL;
	while (n < n_operations) {
		void **place = &hand->table[below(hand, TABLE_MAX)];

		if (*place != NULL)
			light_free(&light, *place);
		n += 1 + (*place != NULL);
		*place = take(hand);
	}
	for (unsigned i = 0; i < TABLE_MAX; i++)
		if (hand->table[i] != NULL) {
			light_free(&light, hand->table[i]);
			n++;
		}
	return n;
}

/* Freed in the order in which they came: what is idle turns round. */
static uint64_t
burst(struct hand *hand, uint64_t n_operations)
{
	uint64_t n = 0;

	while (n < n_operations) {
		size_t n_objects = 1 + below(hand, BURST_MAX);

		for (size_t i = 0; i < n_objects; i++)
			hand->table[i] = take(hand);
		for (size_t i = 0; i < n_objects; i++)
			light_free(&light, hand->table[i]);
		n += 2 * n_objects;
	}
	return n;
}

static uint64_t
bulk(struct hand *hand, uint64_t n_operations)
{
	uint64_t n = 0;

	while (n < n_operations) {
		size_t n_objects = 1 + below(hand, BULK_MAX);

		if (cubby_alloc_bulk(light.cache, n_objects, hand->table) != 0)
			test_die("no memory for a bulk");
		for (size_t i = 0; i < n_objects; i++)
			light_take(&light, hand->table[i],
				   hand->ticket += THREADS_MAX);
		for (size_t i = 0; i < n_objects; i++)
			light_give(&light, hand->table[i]);
		cubby_free_bulk(light.cache, n_objects, hand->table);
		n += 2 * n_objects;
	}
	return n;
}

static uint64_t
produce(struct hand *hand, struct ring *ring, uint64_t n_objects)
{
	for (uint64_t i = 0; i < n_objects; i++) {
		while (i - __atomic_load_n(&ring->n_got, __ATOMIC_ACQUIRE) ==
		       RING_SIZE)
			sched_yield();
		ring->objects[i % RING_SIZE] = take(hand);
		__atomic_store_n(&ring->n_put, i + 1, __ATOMIC_RELEASE);
	}
	return n_objects;
}

static uint64_t
consume(struct ring *ring, uint64_t n_objects)
{
	for (uint64_t i = 0; i < n_objects; i++) {
		while (__atomic_load_n(&ring->n_put, __ATOMIC_ACQUIRE) == i)
			sched_yield();
		light_free(&light, ring->objects[i % RING_SIZE]);
		__atomic_store_n(&ring->n_got, i + 1, __ATOMIC_RELEASE);
	}
	return n_objects;
}

static uint64_t
hand_over(struct hand *hand, uint64_t n_operations)
{
	struct ring *ring = &rings[hand->number / 2];

	return hand->number % 2 == 0 ? produce(hand, ring, n_operations) :
				       consume(ring, n_operations);
}

static void *
live_briefly(void *context)
{
	struct hand *hand = context;

	hand->n_operations = burst(hand, MAYFLY_OPERATIONS);
	return NULL;
}

/* Short lives: each ends with magazines that are full. */
static uint64_t
exit_often(struct hand *hand, uint64_t n_operations)
{
	uint64_t n = 0;

	while (n < n_operations) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, live_briefly, hand) != 0)
			test_die("no thread");
		pthread_join(thread, NULL);
		n += hand->n_operations;
	}
	return n;
}

/* ---------------------------------- runs --------------------------------- */

static void
look(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_walk *walk;
	struct cubby_run run;

	if (cubby_cache_stats_snapshot(light.cache, &stats) != 0 ||
	    stats.n_cells != sum_of_cells(&stats))
		test_die("S1: cells do not add up");
	if (cubby_walk_create(&walk, light.cache) != 0)
		return; /* a thread was kept from its core */
	while (cubby_walk_next(walk, &run))
		if (cubby_cache_of(run.first) != light.cache)
			test_die("a run that is not in the cache");
	cubby_walk_destroy(walk);
}

static void *
meddle(void *context)
{
	struct timespec pause = { 0, MEDDLER_PAUSE_NS };

	(void)context;
	for (unsigned i = 0; !__atomic_load_n(&done, __ATOMIC_RELAXED); i++) {
		int err = i % 4 == 0 ? cubby_shrink_all(NULL) :
			  i % 2 == 0 ? cubby_cache_shrink(light.cache, NULL) :
				       0;

		if (err != 0 && err != -EBUSY)
			test_die("%s", cubby_error_detail());
		if (i % 2 == 1)
			look();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void *
hand_main(void *context)
{
	struct hand *hand = context;

	hand->n_operations = work(hand, hand->n_operations);
	return NULL;
}

static void
start_hand(unsigned i, uint64_t n_operations)
{
	hands[i].number = i;
	hands[i].ticket = i + 1;
	hands[i].random = seed + i;
	hands[i].n_operations = n_operations;
	rings[i / 2].n_put = rings[i / 2].n_got = 0;
}

static void
check_end(void)
{
	assert_int_equal(cubby_cache_verify(light.cache), 0);
	if (cubby_cache_destroy(light.cache) != 0)
		fail_msg("%s", cubby_error_detail());
}

static void
run(work_fn how, size_t object_bytes, unsigned threads_per_core)
{
	uint64_t n_wanted = test_scaled(OPERATIONS / N_RUNS), n_made = 0;
	unsigned n_threads = threads_per_core * test_n_cores();
	pthread_t meddler;
	int err = cubby_cache_create_sized(&light.cache, "light", object_bytes,
					   0, NULL);

	assert_int_equal(err, 0);
	light.last = object_bytes / sizeof(uint64_t) - 1;
	work = how;
	done = false;
	n_threads = n_threads < THREADS_MAX ? n_threads : THREADS_MAX;
	for (unsigned i = 0; i < n_threads; i++)
		start_hand(i, n_wanted / n_threads + 1);
	err = pthread_create(&meddler, NULL, meddle, NULL);
	assert_int_equal(err, 0);
	for (unsigned i = 0; i < n_threads; i++) {
		err = pthread_create(&hands[i].thread, NULL, hand_main,
				     &hands[i]);
		assert_int_equal(err, 0);
	}
	for (unsigned i = 0; i < n_threads; i++) {
		pthread_join(hands[i].thread, NULL);
		n_made += hands[i].n_operations;
	}
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	pthread_join(meddler, NULL);
	assert_true(n_made >= n_wanted);
	test_count_operations(n_made);
	check_end();
}

/* Few threads and small objects, then many threads and larger ones. */
#define CASE(how)                                                             \
	static void how##_at_full_speed_keeps_owners(void **state)            \
	{                                                                     \
		(void)state;                                                  \
		run(how, 24, 2);                                              \
		run(how, 200, 16);                                            \
	}                                                                     \
	struct hand

CASE(churn);
CASE(scatter);
CASE(burst);
CASE(bulk);
CASE(hand_over);
CASE(exit_often);

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_at_full_speed_keeps_owners),
		cmocka_unit_test(churn_at_full_speed_keeps_owners),
		cmocka_unit_test(scatter_at_full_speed_keeps_owners),
		cmocka_unit_test(bulk_at_full_speed_keeps_owners),
		cmocka_unit_test(hand_over_at_full_speed_keeps_owners),
		cmocka_unit_test(exit_often_at_full_speed_keeps_owners),
	};

	seed = test_seed();
	return cmocka_run_group_tests_name("stress_throughput", tests, NULL,
					   NULL);
}
