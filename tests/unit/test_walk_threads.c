/* SPDX-License-Identifier: MIT */
/*
 * Walks while other threads allocate and free: what is held from before
 * cubby_walk_create() until after cubby_walk_destroy() is visited exactly
 * once, anything else at most once.
 *
 * All objects are in a table of slots that every thread may empty and fill.  A
 * slot is one word, {turn:16, address:48}, and each change counts the turn up:
 * a word that is the same before and after a walk was the same all the time.
 * It is set after the allocation has returned and cleared before the object is
 * freed, so that what it holds is live.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <sched.h>

enum {
	N_SLOTS = 3000,
	N_STEADY = 100, /* slots at the end that nobody empties */
	N_CHURNED = N_SLOTS - N_STEADY,
	N_CHURNERS = 3,
	N_WALKERS = 2,
	N_BURST = 150,   /* more than a magazine */
	N_RESERVED = 50, /* that nobody may visit */
	N_LIFE = 400,    /* steps of a thread, then another one goes on */
	N_SEEN_MAX = 4 * N_SLOTS
};

#define TURN_SHIFT 48
#define ADDRESS_MASK (((uint64_t)1 << TURN_SHIFT) - 1)

static struct {
	struct cubby_cache *cache;
	uint64_t slots[N_SLOTS];
	uint32_t stop;
	size_t n_walks;
	uint32_t n_faults;
	const char *fault;
	uint64_t n_steady, n_others; /* objects that were visited */
} play;

static void
fault(const char *what)
{
	__atomic_store_n(&play.fault, what, __ATOMIC_RELAXED);
	__atomic_add_fetch(&play.n_faults, 1, __ATOMIC_RELAXED);
}

static void *
address_of(uint64_t word)
{
	return (void *)(uintptr_t)(word & ADDRESS_MASK);
}

/* ---------------------------------- churn --------------------------------- */

/* Put an object (or NULL) into a slot: what was in it. */
static void *
exchange(size_t i, void *object)
{
	uint64_t word = __atomic_load_n(&play.slots[i], __ATOMIC_RELAXED);
	uint64_t turn;

	do
		turn = (word >> TURN_SHIFT) + 1;
	while (!__atomic_compare_exchange_n(
		&play.slots[i], &word,
		turn << TURN_SHIFT | (uint64_t)(uintptr_t)object, false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return address_of(word);
}

static void *
alloc(void)
{
	uint64_t *object = cubby_alloc(play.cache);

	if (object == NULL)
		fault("alloc failed");
	else /* after the callbacks' state, and beside the walker's look */
		__atomic_store_n(object, (uintptr_t)object, __ATOMIC_RELAXED);
	return object;
}

static void
replace_one(uint64_t *seed)
{
	size_t i = random_below(seed, N_CHURNED);

	cubby_free(play.cache, exchange(i, alloc()));
}

static void
empty_one(uint64_t *seed)
{
	size_t i = random_below(seed, N_CHURNED);

	cubby_free(play.cache, exchange(i, NULL));
}

static void
burst(uint64_t *seed)
{
	size_t n = 1 + random_below(seed, N_BURST);
	size_t first = random_below(seed, N_CHURNED - n);
	void *objects[N_BURST];

	if (cubby_alloc_bulk(play.cache, n, objects) != 0) {
		fault("bulk failed");
		return;
	}
	for (size_t i = 0; i < n; i++)
		objects[i] = exchange(first + i, objects[i]);
	cubby_free_bulk(play.cache, n, objects);
}

static void
use_reserve(uint64_t *seed)
{
	size_t n = 1 + random_below(seed, 20);
	struct cubby_reserve *reserve;

	if (cubby_reserve_create(&reserve, play.cache, n) != 0) {
		fault("no reserve");
		return;
	}
	for (size_t i = 0; i < n / 2; i++)
		cubby_free(play.cache, exchange(random_below(seed, N_CHURNED),
						cubby_reserve_alloc(reserve)));
	cubby_reserve_destroy(reserve);
}

static void *
live_and_die(void *argument)
{
	uint64_t seed = *(uint64_t *)argument;

	for (size_t i = 0; i < N_LIFE; i++) {
		size_t what = random_below(&seed, 100);

		if (what < 60)
			replace_one(&seed);
		else if (what < 90)
			empty_one(&seed);
		else if (what < 97)
			burst(&seed);
		else
			use_reserve(&seed);
	}
	*(uint64_t *)argument = seed;
	return NULL;
}

static void *
churn(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	pthread_t thread;

	while (!__atomic_load_n(&play.stop, __ATOMIC_RELAXED)) {
		if (pthread_create(&thread, NULL, live_and_die, &seed) != 0) {
			fault("no thread");
			break;
		}
		pthread_join(thread, NULL);
	}
	return NULL;
}

/* ---------------------------------- walks --------------------------------- */

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
read_slots(uint64_t *words)
{
	for (size_t i = 0; i < N_SLOTS; i++)
		words[i] = __atomic_load_n(&play.slots[i], __ATOMIC_ACQUIRE);
}

/* Visit all, slowly: others work on meanwhile. */
static size_t
collect(uint64_t *seen)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	uint64_t *object;
	size_t n = 0;

	if (cubby_walk_create(&walk, play.cache) != 0) {
		fault("no walk");
		return 0;
	}
	while (cubby_walk_next(walk, &run)) {
		CUBBY_RUN_FOR_EACH (object, &run) {
			__atomic_load_n(object, __ATOMIC_RELAXED);
			if (n < N_SEEN_MAX)
				seen[n++] = (uintptr_t)object;
		}
		if (n % 64 == 0)
			sched_yield();
	}
	cubby_walk_destroy(walk);
	return n;
}

/* Compare a walk with what was in the slots before and after it. */
static void
judge(uint64_t *seen, size_t n_seen, const uint64_t *before,
      const uint64_t *after)
{
	size_t n_steady = 0;

	/* Idle cells would be more than the threads can have in hand. */
	if (n_seen > N_SLOTS + N_CHURNERS * (N_BURST + 1))
		fault("more visited than can be live");
	qsort(seen, n_seen, sizeof(*seen), compare);
	for (size_t i = 1; i < n_seen; i++)
		if (seen[i - 1] == seen[i])
			fault("visited twice");
	for (size_t i = 0; i < N_SLOTS; i++) {
		uint64_t address = before[i] & ADDRESS_MASK;

		if (address == 0 || before[i] != after[i])
			continue;
		n_steady++;
		if (bsearch(&address, seen, n_seen, sizeof(*seen), compare) ==
		    NULL)
			fault("not visited");
	}
	__atomic_add_fetch(&play.n_steady, n_steady, __ATOMIC_RELAXED);
	__atomic_add_fetch(&play.n_others, n_seen - n_steady,
			   __ATOMIC_RELAXED);
}

static void *
walk_often(void *argument)
{
	uint64_t *before = calloc(N_SLOTS, sizeof(*before));
	uint64_t *after = calloc(N_SLOTS, sizeof(*after));
	uint64_t *seen = calloc(N_SEEN_MAX, sizeof(*seen));

	(void)argument;
	for (size_t i = 0; i < play.n_walks; i++) {
		size_t n_seen;

		read_slots(before);
		n_seen = collect(seen);
		read_slots(after);
		judge(seen, n_seen, before, after);
	}
	free(before);
	free(after);
	free(seen);
	return NULL;
}

/* ---------------------------------- cases --------------------------------- */

/* With all threads gone a walk visits what is live, and nothing idle. */
static void
check_quiet(size_t n_live, size_t n_reserved)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	static uint64_t seen[N_SEEN_MAX];

	assert_ok(cubby_cache_stats_snapshot(play.cache, &stats));
	assert_int_equal(stats.is_exact, 1);
	assert_int_equal(stats.n_live, n_live);
	assert_int_equal(stats.n_reserved, n_reserved);
	assert_int_equal(stats.n_walks, 0);
	assert_int_equal(collect(seen), n_live);
	if (cubby_cache_verify(play.cache) != 0)
		fail_msg("%s", cubby_error_detail());
}

static size_t
empty_all(void)
{
	size_t n = 0;

	for (size_t i = 0; i < N_SLOTS; i++) {
		void *object = exchange(i, NULL);

		n += object != NULL;
		cubby_free(play.cache, object);
	}
	return n;
}

static void
run_play(size_t object_bytes, size_t n_walks,
	 const struct cubby_cache_attr *attr)
{
	pthread_t churners[N_CHURNERS], walkers[N_WALKERS];
	struct cubby_reserve *reserve;
	uint64_t seed = object_bytes;
	size_t n_held = 0;

	memset(&play, 0, sizeof(play));
	play.cache = make_cache(object_bytes, attr);
	play.n_walks = n_walks;
	assert_ok(cubby_reserve_create(&reserve, play.cache, N_RESERVED));
	for (size_t i = 0; i < N_SLOTS; i++)
		exchange(i, alloc());
	for (uintptr_t i = 0; i < N_CHURNERS; i++)
		assert_int_equal(pthread_create(&churners[i], NULL, churn,
						(void *)(seed + i)),
				 0);
	for (size_t i = 0; i < N_WALKERS; i++)
		assert_int_equal(pthread_create(&walkers[i], NULL, walk_often,
						NULL),
				 0);
	for (size_t i = 0; i < N_WALKERS; i++)
		pthread_join(walkers[i], NULL);
	__atomic_store_n(&play.stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_CHURNERS; i++)
		pthread_join(churners[i], NULL);
	if (play.n_faults != 0)
		fail_msg("%u faults, one of them: %s", play.n_faults,
			 play.fault);
	for (size_t i = 0; i < N_SLOTS; i++)
		n_held += address_of(play.slots[i]) != NULL;
	check_quiet(n_held, N_RESERVED);
	print_message("%zu-byte objects: %llu held throughout, %llu others\n",
		      object_bytes, (unsigned long long)play.n_steady,
		      (unsigned long long)play.n_others);
	assert_true(play.n_steady >= n_walks * N_WALKERS * N_STEADY);
	assert_int_equal(empty_all(), n_held);
	cubby_reserve_destroy(reserve);
	check_quiet(0, 0);
	drop_cache(play.cache);
}

static int
do_init(void *object, void *context)
{
	(void)context;
	__atomic_store_n((uint64_t *)object + 1, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
do_fini(void *object, void *context)
{
	(void)context;
	__atomic_store_n((uint64_t *)object + 1, 0, __ATOMIC_RELAXED);
}

static void
walk_beside_threads_visits_what_is_held_once(void **state)
{
	(void)state;
	run_play(64, scaled(200), NULL);
	run_play(8, scaled(200), NULL);
	run_play(3000, scaled(100), NULL);
}

static void
walk_beside_callbacks_visits_what_is_held_once(void **state)
{
	(void)state;
	run_play(48, scaled(100),
		 &CUBBY_CACHE_ATTR(.init = do_init, .fini = do_fini));
	run_play(40, scaled(100),
		 &CUBBY_CACHE_ATTR(.ctor = do_init, .dtor = do_fini));
}

/* Near its limit a cache takes idle cells back, beside the walks. */
static void
walk_beside_a_limit_visits_what_is_held_once(void **state)
{
	(void)state;
	run_play(64, scaled(100),
		 &CUBBY_CACHE_ATTR(.max_objects = N_SLOTS +
						  N_CHURNERS * 2 * N_BURST));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_beside_threads_visits_what_is_held_once),
		cmocka_unit_test(
			walk_beside_callbacks_visits_what_is_held_once),
		cmocka_unit_test(walk_beside_a_limit_visits_what_is_held_once),
	};

	return cmocka_run_group_tests_name("test_walk_threads", tests, NULL,
					   NULL);
}
