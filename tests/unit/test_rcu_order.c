/* SPDX-License-Identifier: MIT */
/*
 * The order of death with readers of a real flavour: the handle is dead, then
 * it expires with the object whole, then the last reference is put, then a grace
 * period passes, then dtor; and there is no way back.
 */
#include "support/flavor.h"
#include "unit/with_rcu.h"

enum step { EXPIRED = 1, WATCHED, DESTRUCTED };

#define STEPS_MAX 8

static struct {
	struct cubby_cache *cache;
	struct thing *thing;
	cubby_weak handle;
	unsigned n_steps;
	enum step steps[STEPS_MAX];
} scene;

/* Steps are made by this thread, or by one that it waits for. */
static void
note_step(enum step step)
{
	unsigned n = __atomic_load_n(&scene.n_steps, __ATOMIC_ACQUIRE);

	REQUIRE(n < STEPS_MAX);
	scene.steps[n] = step;
	__atomic_store_n(&scene.n_steps, n + 1, __ATOMIC_RELEASE);
}

#define ASSERT_STEPS(...)                                                     \
	do {                                                                  \
		const enum step wanted[] = { __VA_ARGS__ };                   \
		unsigned n = __atomic_load_n(&scene.n_steps,                  \
					     __ATOMIC_ACQUIRE);               \
                                                                              \
		REQUIRE(n == sizeof(wanted) / sizeof(wanted[0]));             \
		for (unsigned i = 0; i < n; i++)                              \
			REQUIRE(scene.steps[i] == wanted[i]);                 \
	} while (0)

#define ASSERT_NO_STEP()                                                      \
	REQUIRE(__atomic_load_n(&scene.n_steps, __ATOMIC_ACQUIRE) == 0)

static void
expect_whole(const struct thing *thing)
{
	REQUIRE(thing == scene.thing);
	REQUIRE(thing->stamp == ~thing->number);
}

static void
on_expire(struct cubby_cache *cache, void *object, uint64_t handle,
	  void *context)
{
	(void)context;
	expect_whole(object);
	REQUIRE(handle == scene.handle);
	REQUIRE(cubby_weak_is_live(cache, handle) == 0);
	REQUIRE(cubby_weak_free(cache, handle) == -ESTALE);
	note_step(EXPIRED);
}

static void
on_watch(struct cubby_cache *cache, void *object, uint64_t handle,
	 void *context)
{
	(void)context;
	expect_whole(object);
	REQUIRE(handle == scene.handle);
	REQUIRE(cubby_weak_is_live(cache, handle) == 0);
	note_step(WATCHED);
}

static void
on_dtor(void *object, void *context)
{
	(void)context;
	expect_whole(object);
	REQUIRE(cubby_weak_is_live(scene.cache, scene.handle) == 0);
	note_step(DESTRUCTED);
}

static void
make_scene(uint64_t is_strong)
{
	cubby_watch watch;

	scene.n_steps = 0;
	scene.cache = MAKE_RCU_CACHE(.is_strong = is_strong, .dtor = on_dtor,
				     .max_objects = 1, .on_expire = on_expire);
	scene.thing = make_taken(scene.cache, &scene.handle);
	REQUIRE(cubby_weak_watch(scene.cache, scene.handle, on_watch, NULL, 0,
				 &watch) == 0);
}

/* While somebody may be borrowing it. */
static void
assert_dead_and_whole(void)
{
	ASSERT_STEPS(WATCHED, EXPIRED);
	expect_whole(scene.thing);
	REQUIRE(reads_as(scene.cache, scene.handle, NULL));
	REQUIRE(cubby_weak_free(scene.cache, scene.handle) == -ESTALE);
	REQUIRE(cubby_is_live(scene.cache, scene.thing) == 0);
	REQUIRE(look(scene.cache).n_live == 0);
	REQUIRE(look(scene.cache).n_deferred == 1);
}

static void
end_scene(void)
{
	struct thing *next;

	WAIT_UNTIL(scene.cache,
		   __atomic_load_n(&scene.n_steps, __ATOMIC_ACQUIRE) == 3);
	ASSERT_STEPS(WATCHED, EXPIRED, DESTRUCTED);
	wait_drained(scene.cache);
	next = make_thing(scene.cache);
	REQUIRE(next == scene.thing);
	REQUIRE(cubby_weak_of(scene.cache, next) != scene.handle);
	REQUIRE(reads_as(scene.cache, scene.handle, NULL));
	REQUIRE(cubby_weak_free(scene.cache, scene.handle) == -ESTALE);
	/* This one has no watch of its own. */
	scene.n_steps = 0;
	scene.handle = cubby_weak_of(scene.cache, next);
	cubby_free(scene.cache, next);
	REQUIRE(cubby_rcu_barrier(scene.cache) == 0);
	ASSERT_STEPS(EXPIRED, DESTRUCTED);
	REQUIRE(cubby_cache_destroy(scene.cache) == 0);
}

/* Enough for a round, if there was one. */
static void
let_time_pass(void)
{
	for (int i = 0; i < 40; i++)
		turn(scene.cache);
	rest_us(150000); /* partial sheaves are fetched after 100 ms */
	turn(scene.cache);
}

/* ---------------------------------- cases -------------------------------- */

static void
free_by_pointer_goes_through_all_steps_in_order(void **state)
{
	struct reader reader;

	(void)state;
	make_scene(0);
	start_reader(&reader);
	join_flavor();
	cubby_free(scene.cache, scene.thing);
	assert_dead_and_whole();
	let_time_pass();
	assert_dead_and_whole();
	end_reader(&reader);
	end_scene();
	leave_flavor();
}

static void
free_by_handle_goes_through_all_steps_in_order(void **state)
{
	struct reader reader;

	(void)state;
	make_scene(0);
	start_reader(&reader);
	join_flavor();
	REQUIRE(cubby_weak_free(scene.cache, scene.handle) == 0);
	assert_dead_and_whole();
	let_time_pass();
	assert_dead_and_whole();
	end_reader(&reader);
	end_scene();
	leave_flavor();
}

/* The grace period begins with the last put, and not with the free. */
static void
last_put_comes_before_the_grace_period(void **state)
{
	struct reader reader;

	(void)state;
	make_scene(1);
	REQUIRE(cubby_weak_upgrade(scene.cache, scene.handle) == scene.thing);
	cubby_free(scene.cache, scene.thing);
	ASSERT_STEPS(WATCHED, EXPIRED);
	REQUIRE(cubby_weak_upgrade(scene.cache, scene.handle) == NULL);
	REQUIRE(cubby_rcu_barrier(scene.cache) == 0);
	ASSERT_STEPS(WATCHED, EXPIRED);
	REQUIRE(look(scene.cache).n_live == 1);
	start_reader(&reader);
	join_flavor();
	cubby_ref_put(scene.cache, scene.thing);
	assert_dead_and_whole();
	let_time_pass();
	assert_dead_and_whole();
	end_reader(&reader);
	end_scene();
	leave_flavor();
}

/* A borrow is good until the section ends, and is of the object as it was. */
static void
borrow_outlives_a_free_on_the_same_thread(void **state)
{
	struct thing *borrowed;

	(void)state;
	make_scene(0);
	join_flavor();
	test_flavor_lock(flavor);
	borrowed = cubby_weak_get(scene.cache, scene.handle);
	REQUIRE(borrowed == scene.thing);
	cubby_free(scene.cache, scene.thing);
	REQUIRE(cubby_weak_get(scene.cache, scene.handle) == NULL);
	for (int i = 0; i < 20; i++) {
		if (reclaim == CUBBY_RECLAIM_POLL && !flavor->is_qsbr)
			REQUIRE(cubby_rcu_poll(scene.cache) >= 0);
		sleep_us(10000);
	}
	ASSERT_STEPS(WATCHED, EXPIRED);
	expect_whole(borrowed);
	test_flavor_leave(flavor);
	end_scene();
	leave_flavor();
}

/* Nobody can be looking at what had no handle. */
static void
free_without_a_handle_waits_for_nobody(void **state)
{
	struct reader reader;

	(void)state;
	for (uint64_t is_strong = 0; is_strong < 2; is_strong++) {
		scene.n_steps = 0;
		scene.handle = 0;
		scene.cache = MAKE_RCU_CACHE(.is_strong = is_strong,
					     .dtor = on_dtor,
					     .on_expire = on_expire);
		start_reader(&reader);
		scene.thing = make_thing(scene.cache);
		cubby_free(scene.cache, scene.thing);
		ASSERT_STEPS(DESTRUCTED);
		REQUIRE(look(scene.cache).n_deferred == 0);
		end_reader(&reader);
		REQUIRE(cubby_cache_destroy(scene.cache) == 0);
	}
}

/* But what was published by pointer waits, weak cache or not. */
static void
free_rcu_waits_without_a_handle(void **state)
{
	struct reader reader;

	(void)state;
	scene.handle = 0;
	scene.cache = MAKE_RCU_CACHE(.dtor = on_dtor, .on_expire = on_expire);
	start_reader(&reader);
	join_flavor();
	scene.thing = make_thing(scene.cache);
	cubby_free_rcu(scene.cache, scene.thing);
	let_time_pass();
	ASSERT_NO_STEP();
	expect_whole(scene.thing);
	REQUIRE(look(scene.cache).n_deferred == 1);
	REQUIRE(cubby_is_live(scene.cache, scene.thing) == 0);
	end_reader(&reader);
	WAIT_UNTIL(scene.cache,
		   __atomic_load_n(&scene.n_steps, __ATOMIC_ACQUIRE) == 1);
	ASSERT_STEPS(DESTRUCTED);
	leave_flavor();
	REQUIRE(cubby_cache_destroy(scene.cache) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_CASES(free_by_pointer_goes_through_all_steps_in_order),
		ALL_CASES(free_by_handle_goes_through_all_steps_in_order),
		ALL_CASES(last_put_comes_before_the_grace_period),
		ALL_CASES(borrow_outlives_a_free_on_the_same_thread),
		ALL_CASES(free_rcu_waits_without_a_handle),
		THREAD_CASES(free_without_a_handle_waits_for_nobody),
		FRONT_CASES(free_by_pointer_goes_through_all_steps_in_order),
		FRONT_CASES(last_put_comes_before_the_grace_period),
		FRONT_CASES(free_without_a_handle_waits_for_nobody),
	};

	return cmocka_run_group_tests_name("order of death", tests, NULL,
					   NULL);
}
