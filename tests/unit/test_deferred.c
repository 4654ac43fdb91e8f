/* SPDX-License-Identifier: MIT */
/*
 * Objects that wait for a grace period, with a flavour whose grace periods the
 * test ends by hand: what waits and what does not, and what is seen of it before,
 * while and after a round.
 */
#include "unit/with_modes.h"

static struct mode none = { "none", CUBBY_WEAK_NONE, 0 };

static struct cubby_cache *cache;
static size_t n_dtor, n_watched;
static uint8_t dtor_of[20000]; /* by the object's number */

static void
on_dtor(void *object, void *context)
{
	(void)context;
	assert_int_equal(dtor_of[*(uint64_t *)object], 0);
	dtor_of[*(uint64_t *)object] = 1;
	n_dtor++;
}

static void
begin(void)
{
	n_dtor = n_watched = 0;
	memset(dtor_of, 0, sizeof(dtor_of));
	fake_begin(0);
}

/* @...: more attributes. */
#define BEGIN(as, ...)                                                        \
	do {                                                                  \
		const struct mode *it = (as);                                 \
		begin();                                                      \
		cache = make_cache_named(                                     \
			"truck", 24,                                          \
			&CUBBY_CACHE_ATTR(.weak = it->weak,                   \
					  .is_strong = it->is_strong,         \
					  .rcu = &fake_flavor,                \
					  .reclaim = CUBBY_RECLAIM_POLL,      \
					  ##__VA_ARGS__));                    \
	} while (0)

static void *
make(uint64_t number)
{
	uint64_t *object = must_alloc(cache);

	*object = number;
	return object;
}

static void
make_all(size_t n, bool taken)
{
	for (size_t i = 0; i < n; i++) {
		objects[i] = make(i);
		if (taken)
			(void)must_handle(cache, objects[i]);
	}
}

static uint64_t
n_deferred(void)
{
	struct cubby_cache_stats stats = stats_of(cache);

	assert_int_equal(stats.deferred_bytes,
			 stats.n_deferred * stats.cell_bytes);
	return stats.n_deferred;
}

static size_t
n_walked(void)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;

	assert_ok(cubby_walk_create(&walk, cache));
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	return n;
}

/* ------------------------------- what waits ------------------------------ */

static void
objects_with_handles_wait_and_are_seen_by_nobody(void **state)
{
	struct cubby_cache_stats stats;

	BEGIN(*state, .dtor = on_dtor);
	make_all(N_OBJECTS, true);
	for (size_t i = 0; i < N_OBJECTS; i += 2)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_dtor, 0);
	assert_int_equal(n_deferred(), N_OBJECTS / 2);
	assert_int_equal(n_walked(), N_OBJECTS / 2);
	for (size_t i = 0; i < N_OBJECTS; i++)
		assert_int_equal(cubby_is_live(cache, objects[i]), i % 2);
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	/* That was a barrier, which has brought them back. */
	assert_int_equal(fake.n_grace_periods > 0, 1);
	assert_int_equal(n_dtor, N_OBJECTS / 2);
	stats = stats_of(cache);
	assert_int_equal(stats.n_deferred, 0);
	assert_int_equal(stats.n_reclaimed, N_OBJECTS / 2);
	assert_true(stats.n_grace_periods >= 1);
	assert_true(stats.n_deferred_peak <= N_OBJECTS / 2);
	for (size_t i = 1; i < N_OBJECTS; i += 2)
		cubby_free(cache, objects[i]);
	drop_cache(cache);
	assert_int_equal(n_dtor, N_OBJECTS);
}

static void
objects_without_handles_do_not_wait(void **state)
{
	BEGIN(*state, .dtor = on_dtor);
	make_all(N_OBJECTS, false);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		cubby_free(cache, objects[i]);
		assert_int_equal(n_dtor, i + 1);
	}
	assert_int_equal(n_deferred(), 0);
	settle(cache);
	assert_int_equal(fake.n_grace_periods, 0);
	drop_cache(cache);
}

static void
free_rcu_waits_whatever_the_object_has(void **state)
{
	BEGIN(*state, .dtor = on_dtor);
	make_all(N_OBJECTS, false);
	for (size_t i = 0; i < N_OBJECTS; i++)
		if (i % 3 == 0 && cache->weak.mode != CUBBY_WEAK_NONE)
			(void)must_handle(cache, objects[i]);
	errno = EXDEV;
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free_rcu(cache, objects[i]);
	cubby_free_rcu(cache, NULL);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(n_dtor, 0);
	assert_int_equal(n_deferred(), N_OBJECTS);
	settle(cache);
	assert_int_equal(n_dtor, N_OBJECTS);
	assert_int_equal(n_deferred(), 0);
	drop_cache(cache);
}

/* Who walks reads what its snapshot names. */
static void
objects_wait_while_a_walk_is_open(void **state)
{
	struct cubby_walk *walk;
	struct cubby_run run;

	BEGIN(*state, .dtor = on_dtor);
	make_all(N_OBJECTS, false);
	assert_ok(cubby_walk_create(&walk, cache));
	for (size_t i = 0; i < N_OBJECTS / 2; i++)
		cubby_free(cache, objects[i]);
	cubby_free_bulk(cache, 10, objects + N_OBJECTS / 2);
	assert_int_equal(n_dtor, 0);
	assert_int_equal(n_deferred(), N_OBJECTS / 2 + 10);
	for (size_t n = 0; cubby_walk_next(walk, &run); n += run.n_objects)
		assert_true(n + run.n_objects <= N_OBJECTS);
	cubby_walk_destroy(walk);
	/* And only while it is. */
	cubby_free(cache, objects[N_OBJECTS - 1]);
	assert_int_equal(n_dtor, 1);
	settle(cache);
	assert_int_equal(n_dtor, N_OBJECTS / 2 + 11);
	assert_int_equal(n_deferred(), 0);
	for (size_t i = N_OBJECTS / 2 + 10; i < N_OBJECTS - 1; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_dtor, N_OBJECTS);
	drop_cache(cache);
}

static void
peak_counts_also_without_magazines(void **state)
{
	BEGIN(*state, .flags = CUBBY_CACHE_NO_MAGAZINES);
	make_all(N_OBJECTS, false);
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free_rcu(cache, objects[i]);
	settle(cache);
	assert_int_equal(n_deferred(), 0);
	assert_int_equal(stats_of(cache).n_deferred_peak, N_OBJECTS);
	drop_cache(cache);
}

/* The same without dtor, where a push is all. */
static void
objects_without_dtor_wait_while_a_walk_is_open(void **state)
{
	struct cubby_walk *walks[2];

	BEGIN(*state);
	make_all(N_OBJECTS, false);
	assert_ok(cubby_walk_create(&walks[0], cache));
	assert_ok(cubby_walk_create(&walks[1], cache));
	for (size_t i = 0; i < 300; i++)
		cubby_free(cache, objects[i]);
	cubby_walk_destroy(walks[0]);
	for (size_t i = 300; i < 600; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_deferred(), 600);
	cubby_walk_destroy(walks[1]);
	for (size_t i = 600; i < N_OBJECTS; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_deferred(), 600);
	settle(cache);
	assert_int_equal(n_deferred(), 0);
	drop_cache(cache);
}

static size_t n_named;

static void
walk_in_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	n_named = n_walked();
	n_dtor++;
}

/* Who owns a counted object may put it instead. */
static void
end_life(void *object)
{
	if (cache->weak.is_strong)
		cubby_ref_put(cache, object);
	else
		cubby_free(cache, object);
}

static void
check_walks_in_dtor(void)
{
	for (size_t i = 0; i < 10; i++)
		objects[i] = make(i);
	for (size_t i = 0; i < 5; i++) {
		if (i % 2 != 0)
			cubby_free(cache, objects[i]);
		else
			end_life(objects[i]);
		assert_int_equal(n_named, 9 - i);
	}
	for (size_t i = 5; i < 10; i++) {
		cubby_free_rcu(cache, objects[i]);
		settle(cache);
		assert_int_equal(n_named, 9 - i);
	}
	assert_int_equal(n_dtor, 10);
	drop_cache(cache);
}

/* What is being destructed is neither live nor free. */
static void
walk_opened_by_dtor_does_not_name_its_object(void **state)
{
	BEGIN(*state, .dtor = walk_in_dtor);
	check_walks_in_dtor();
	BEGIN(*state, .dtor = walk_in_dtor, .flags = CUBBY_CACHE_NO_MAGAZINES);
	check_walks_in_dtor();
}

/* --------------------------------- a round ------------------------------- */

static cubby_weak watched;

/* In the grace period: dead, whole, and nobody else's. */
static void
look_around(void)
{
	n_watched++;
	assert_int_equal(n_dtor, 0);
	assert_int_equal(cubby_weak_is_live(cache, watched), 0);
	assert_int_equal(cubby_weak_free(cache, watched), -ESTALE);
	assert_int_equal(cubby_is_live(cache, objects[0]), 0);
	assert_int_equal(stats_of(cache).n_deferred, N_OBJECTS);
	for (uint64_t i = 0; i < N_OBJECTS; i++)
		assert_int_equal(*(uint64_t *)objects[i], i);
}

static void
grace_period_comes_before_dtor_and_reuse(void **state)
{
	BEGIN(*state, .dtor = on_dtor, .max_objects = N_OBJECTS);
	make_all(N_OBJECTS, true);
	watched = cubby_weak_of(cache, objects[0]);
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free(cache, objects[i]);
	fake.during = look_around;
	assert_ok(cubby_rcu_barrier(cache));
	assert_true(n_watched >= 1);
	assert_int_equal(fake.n_grace_periods, 1);
	fake.during = NULL;
	assert_int_equal(n_dtor, N_OBJECTS);
	make_all(N_OBJECTS, true); /* as many as there were */
	n_dtor = 0;
	memset(dtor_of, 0, sizeof(dtor_of));
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free(cache, objects[i]);
	drop_cache(cache);
	assert_int_equal(n_dtor, N_OBJECTS);
}

/* In the first grace period all others die; in the second none is free. */
static void
free_all_others(void)
{
	if (n_watched++ == 0)
		for (size_t i = 1; i < N_OBJECTS; i++)
			cubby_free(cache, objects[i]);
	else
		assert_int_equal(n_dtor, 1);
}

/* What dies in a grace period waits for another one (D2). */
static void
objects_freed_in_a_grace_period_wait_for_the_next(void **state)
{
	BEGIN(*state, .dtor = on_dtor);
	make_all(N_OBJECTS, true);
	cubby_free(cache, objects[0]);
	fake.during = free_all_others;
	assert_ok(cubby_rcu_barrier(cache));
	fake.during = NULL;
	if (fake.n_grace_periods == 1)
		assert_int_equal(n_dtor, 1);
	assert_int_equal(dtor_of[0], 1);
	settle(cache);
	assert_int_equal(n_dtor, N_OBJECTS);
	assert_true(fake.n_grace_periods > 1);
	drop_cache(cache);
}

static void
poll_reclaims_when_the_grace_period_is_over(void **state)
{
	BEGIN(*state, .dtor = on_dtor);
	fake_begin(1);
	assert_int_equal(cubby_rcu_poll(cache), 0);
	make_all(N_OBJECTS, true);
	for (size_t i = 0; i < N_OBJECTS - 1; i++)
		cubby_free(cache, objects[i]);
	while (!__atomic_load_n(&fake.n_asked, __ATOMIC_SEQ_CST)) {
		assert_int_equal(cubby_rcu_poll(cache), 0);
		usleep(1000); /* a sheaf that is not full waits for 100 ms */
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(cubby_rcu_poll(cache), 0);
	assert_int_equal(n_dtor, 0);
	cubby_free(cache, objects[N_OBJECTS - 1]);
	fake_end_grace_period();
	while (n_dtor == 0) {
		assert_in_range(cubby_rcu_poll(cache), 0, N_OBJECTS - 1);
		assert_int_equal(dtor_of[N_OBJECTS - 1], 0); /* D2 */
	}
	while (n_dtor < N_OBJECTS) {
		assert_true(cubby_rcu_poll(cache) >= 0);
		usleep(1000);
	}
	assert_int_equal(n_deferred(), 0);
	assert_int_equal(fake.n_grace_periods, 0); /* nobody has blocked */
	drop_cache(cache);
}

/* A round of polls is under way when a barrier comes. */
static void
barrier_beside_a_poll_ends_both(void **state)
{
	BEGIN(*state, .dtor = on_dtor);
	for (int round = 0; round < 3; round++) {
		fake_begin(1);
		n_dtor = 0;
		memset(dtor_of, 0, sizeof(dtor_of));
		make_all(N_OBJECTS, true);
		for (size_t i = 0; i < 600; i++)
			cubby_free(cache, objects[i]);
		assert_int_equal(cubby_rcu_poll(cache), 0);
		for (size_t i = 600; i < N_OBJECTS; i++)
			cubby_free(cache, objects[i]);
		assert_ok(cubby_rcu_barrier(cache));
		assert_int_equal(n_dtor, N_OBJECTS);
		if (round > 0)
			fake_end_grace_period();
		assert_int_equal(cubby_rcu_poll(cache), 0);
		assert_int_equal(n_deferred(), 0);
	}
	fake_end_grace_period();
	drop_cache(cache);
}

/* Several caches share a domain. */
static void
round_reclaims_all_caches_of_the_flavour(void **state)
{
	struct cubby_cache *first;

	BEGIN(*state, .dtor = on_dtor);
	first = cache;
	make_all(200, true);
	for (size_t i = 0; i < 200; i++)
		cubby_free(first, objects[i]);
	cache = make_in((const struct mode *)*state, 24);
	make_all(200, true);
	for (size_t i = 0; i < 200; i++)
		cubby_free(cache, objects[i]);
	assert_ok(cubby_rcu_barrier(cache));
	assert_int_equal(n_deferred(), 0);
	drop_cache(cache);
	drop_cache(first);
	assert_int_equal(n_dtor, 200);
}

/* Objects of all kinds mixed, in so many lives that everything wraps. */
static void
lives_of_all_kinds_end_once(void **state)
{
	struct cubby_walk *walk = NULL;
	size_t n_freed = 0;

	BEGIN(*state, .dtor = on_dtor);
	seed = 11;
	for (size_t round = 0; round < 18; round++) {
		for (size_t i = 0; i < N_OBJECTS; i++) {
			objects[i] = make(n_freed + i);
			if (random_below(&seed, 2) &&
			    cache->weak.mode != CUBBY_WEAK_NONE)
				(void)must_handle(cache, objects[i]);
		}
		if (round % 4 == 1)
			assert_ok(cubby_walk_create(&walk, cache));
		for (size_t i = 0; i < N_OBJECTS; i++)
			if (random_below(&seed, 4) == 0)
				cubby_free_rcu(cache, objects[i]);
			else
				cubby_free(cache, objects[i]);
		n_freed += N_OBJECTS;
		assert_int_equal(stats_of(cache).n_live, 0);
		if (round % 4 == 2) {
			cubby_walk_destroy(walk);
			walk = NULL;
		}
		if (round % 3 == 0)
			settle(cache);
		if (round % 5 == 0)
			(void)cubby_cache_shrink(cache, NULL);
	}
	cubby_walk_destroy(walk);
	settle(cache);
	assert_int_equal(n_dtor, n_freed);
	assert_int_equal(n_deferred(), 0);
	drop_cache(cache);
}

/* ---------------------------------- misuse ------------------------------- */

static void
barrier_in_a_section_or_callback_is_refused(void **state)
{
	BEGIN(*state);
	fake_lock();
	assert_refused(cubby_rcu_barrier(cache), -EDEADLK,
		       "cache 'truck': cubby_rcu_barrier() or destroy in a "
		       "read section would wait for itself: leave the section "
		       "first");
	assert_int_equal(cubby_cache_destroy(cache), -EDEADLK);
	fake_unlock();
	drop_cache(cache);
}

static int barrier_answer;

static void
wait_in_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	barrier_answer = cubby_rcu_barrier(cache);
}

static void
barrier_in_dtor_of_a_round_is_refused(void **state)
{
	BEGIN(*state, .dtor = wait_in_dtor);
	make_all(1, true);
	cubby_free(cache, objects[0]);
	settle(cache);
	assert_int_equal(barrier_answer, -EDEADLK);
	drop_cache(cache);
}

static void
calls_on_caches_without_a_flavour_are_refused(void **state)
{
	struct cubby_cache *plain = make_cache_named("plain", 24, NULL);
	void *object = must_alloc(plain);

	(void)state;
	assert_ok(cubby_rcu_barrier(plain));
	assert_refused(cubby_rcu_poll(plain), -EINVAL,
		       "cache 'plain' was not created with reclaim = "
		       "CUBBY_RECLAIM_POLL");
	begin_misuse();
	cubby_free_rcu(plain, object);
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	end_misuse();
	assert_int_equal(cubby_is_live(plain, object), 1);
	cubby_free(plain, object);
	drop_cache(plain);
}

static void
count_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	n_dtor++;
}

/*
 * Where nobody has magazines in this call; otherwise dtor may have run twice
 * when it is found.
 */
static void
free_of_an_object_that_waits_is_a_double_free(void **state)
{
	static void (*const frees[])(struct cubby_cache *,
				     void *) = { cubby_free, cubby_free_rcu };
	bool at_once = !has_magazines();

	for (size_t first = 0; first < 2; first++)
		for (size_t second = 0; second < 2; second++) {
			BEGIN(*state, .dtor = count_dtor);
			make_all(2, cache->weak.mode != CUBBY_WEAK_NONE);
			if (first == 0 &&
			    cache->weak.mode == CUBBY_WEAK_NONE) {
				for (int i = 0; i < 2; i++)
					cubby_free(cache, objects[i]);
				drop_cache(cache);
				continue;
			}
			frees[first](cache, objects[0]);
			begin_misuse();
			frees[second](cache, objects[0]);
			if (at_once)
				assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
			settle(cache);
			(void)cubby_cache_shrink(cache, NULL);
			if (at_once)
				assert_int_equal(n_dtor, 1);
			else
				assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
			end_misuse();
			cubby_free(cache, objects[1]);
			drop_cache(cache);
		}
}

static void
free_again(void)
{
	if (n_watched++ == 0)
		cubby_free_rcu(cache, objects[0]);
}

/* It waits elsewhere then. */
static void
free_in_the_grace_period_of_an_object_is_a_double_free(void **state)
{
	bool at_once = !has_magazines();

	BEGIN(*state, .dtor = count_dtor);
	/* The places are two, in turn. */
	for (size_t round = 1; round <= 2; round++) {
		objects[0] = make(0);
		cubby_free_rcu(cache, objects[0]);
		n_watched = 0;
		fake.during = free_again;
		begin_misuse();
		assert_ok(cubby_rcu_barrier(cache));
		fake.during = NULL;
		if (at_once || n_reports != 0)
			assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
		settle(cache);
		(void)cubby_cache_shrink(cache, NULL);
		n_reports = 0; /* elsewhere it is found late */
		end_misuse();
		if (at_once)
			assert_int_equal(n_dtor, round);
	}
	drop_cache(cache);
}

int
main(void)
{
#define IN_NONE(function)                                                     \
	{                                                                     \
#function "_none", function, NULL, NULL, &none                \
	}
#define IN_RCU_MODES(function)                                                \
	IN_MODE(function, MODE_RCU, "_rcu"),                                  \
		IN_MODE(function, MODE_RCU_STRONG, "_rcu_strong")
	static const struct CMUnitTest tests[] = {
		IN_RCU_MODES(objects_with_handles_wait_and_are_seen_by_nobody),
		IN_RCU_MODES(objects_without_handles_do_not_wait),
		IN_NONE(objects_without_handles_do_not_wait),
		IN_RCU_MODES(free_rcu_waits_whatever_the_object_has),
		IN_NONE(free_rcu_waits_whatever_the_object_has),
		IN_RCU_MODES(objects_wait_while_a_walk_is_open),
		IN_NONE(objects_wait_while_a_walk_is_open),
		IN_RCU_MODES(objects_without_dtor_wait_while_a_walk_is_open),
		IN_NONE(objects_without_dtor_wait_while_a_walk_is_open),
		IN_RCU_MODES(peak_counts_also_without_magazines),
		IN_NONE(peak_counts_also_without_magazines),
		IN_RCU_MODES(grace_period_comes_before_dtor_and_reuse),
		IN_RCU_MODES(
			objects_freed_in_a_grace_period_wait_for_the_next),
		IN_RCU_MODES(poll_reclaims_when_the_grace_period_is_over),
		IN_RCU_MODES(barrier_beside_a_poll_ends_both),
		IN_RCU_MODES(round_reclaims_all_caches_of_the_flavour),
		IN_RCU_MODES(lives_of_all_kinds_end_once),
		IN_NONE(lives_of_all_kinds_end_once),
		IN_RCU_MODES(barrier_in_a_section_or_callback_is_refused),
		IN_NONE(barrier_in_a_section_or_callback_is_refused),
		IN_RCU_MODES(barrier_in_dtor_of_a_round_is_refused),
		IN_MODE(calls_on_caches_without_a_flavour_are_refused,
			MODE_RCU, ""),
		IN_RCU_MODES(walk_opened_by_dtor_does_not_name_its_object),
		IN_NONE(walk_opened_by_dtor_does_not_name_its_object),
		IN_RCU_MODES(
			free_in_the_grace_period_of_an_object_is_a_double_free),
		IN_NONE(free_in_the_grace_period_of_an_object_is_a_double_free),
		IN_RCU_MODES(free_of_an_object_that_waits_is_a_double_free),
		IN_NONE(free_of_an_object_that_waits_is_a_double_free),
	};

	return RUN_IN_ALL_SHAPES("deferred objects", tests);
}
