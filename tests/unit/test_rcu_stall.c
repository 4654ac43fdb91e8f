/* SPDX-License-Identifier: MIT */
/*
 * A reader that does not leave its section: it is told once, the numbers say
 * so, frees go on, and afterwards all is as before.
 */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

enum {
	N_FREED = 500,
	MAGAZINE_CELLS = 120,
	STALL_MS = 100,
	LATE_MS = 5000 /* on a machine that is busy */
};

static struct cubby_cache *cache;
static struct reader reader;

static uint64_t n_told;
static struct cubby_stall told;

static void
note_stall(struct cubby_cache *of, const struct cubby_stall *stall,
	   void *context)
{
	REQUIRE(of == cache && context == &n_told);
	told = *stall;
	__atomic_add_fetch(&n_told, 1, __ATOMIC_SEQ_CST);
	/* No lock is held: calls are allowed. */
	REQUIRE(cubby_cache_verify(of) == 0);
}

static void
begin(struct cubby_cache_attr attr)
{
	/* liburcu need not know who frees, but who polls. */
	if (reclaim == CUBBY_RECLAIM_POLL)
		join_flavor();
	attr.on_stall = note_stall;
	if (attr.stall_ms == 0)
		attr.stall_ms = STALL_MS;
	attr.context = &n_told;
	cache = make_rcu_cache(attr);
}

static void
end(void)
{
	wait_drained(cache);
	REQUIRE(look(cache).oldest_deferred_ms == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	if (reclaim == CUBBY_RECLAIM_POLL)
		leave_flavor();
}

/* ------------------------------- who is told ----------------------------- */

static void
poke_by_snapshot(void)
{
	look(cache);
}

static void
poke_by_free(void)
{
	free_taken_together(cache, 2 * MAGAZINE_CELLS);
}

static void
poke_by_poll(void)
{
	REQUIRE(cubby_rcu_poll(cache) >= 0);
}

/* Until it is told, and then as long again. */
static void
stall_and_poke(void (*poke)(void), size_t n_freed)
{
	uint64_t began_ms, n_before = n_told;

	start_reader(&reader);
	began_ms = now_ms();
	free_taken_together(cache, n_freed);
	turn(cache); /* begins the grace period, where one polls */
	while (n_told == n_before && now_ms() < began_ms + LATE_MS) {
		poke();
		rest_us(1000);
	}
	REQUIRE(n_told == n_before + 1);
	REQUIRE(told.age_ms >= STALL_MS);
	REQUIRE(told.age_ms <= now_ms() - began_ms + 20);
	REQUIRE(told.n_objects >= 1);
	REQUIRE(told.n_bytes ==
		told.n_objects * cubby_cache_cell_bytes(cache));
	for (began_ms = now_ms(); now_ms() < began_ms + STALL_MS;) {
		poke();
		rest_us(5000);
	}
	REQUIRE(n_told == n_before + 1);
	REQUIRE(look(cache).n_stalls == n_told);
	end_reader(&reader);
	wait_drained(cache);
}

static void
on_stall_is_called_once_a_stall(void **state)
{
	(void)state;
	begin((struct cubby_cache_attr){ .dtor = NULL });
	stall_and_poke(poke_by_snapshot, N_FREED);
	REQUIRE(told.n_objects <= N_FREED);
	REQUIRE(told.n_objects == N_FREED);
	stall_and_poke(poke_by_snapshot, 1);
	REQUIRE(told.n_objects == 1);
	stall_and_poke(poke_by_free, 1);
	if (reclaim == CUBBY_RECLAIM_POLL)
		stall_and_poke(poke_by_poll, N_FREED);
	end();
}

/* An object that waits as a bit, and one that is alone. */
static void
on_stall_without_magazines_is_called(void **state)
{
	(void)state;
	begin((struct cubby_cache_attr){ .flags = CUBBY_CACHE_NO_MAGAZINES });
	stall_and_poke(poke_by_snapshot, 1);
	REQUIRE(told.n_objects == 1);
	stall_and_poke(poke_by_snapshot, N_FREED);
	REQUIRE(told.n_objects == N_FREED);
	end();
}

/*
 * Readers come and go: each grace period ends, and nobody is told.  But a sheaf
 * may be left alone for 100 ms.
 */
static void
on_stall_with_short_sections_is_not_called(void **state)
{
	(void)state;
	begin((struct cubby_cache_attr){ .stall_ms = 4 * STALL_MS });
	for (size_t i = 0; i < 12; i++) {
		start_reader(&reader);
		free_taken_together(cache, 2 * MAGAZINE_CELLS);
		turn(cache);
		rest_us(20000);
		end_reader(&reader);
		/* Polls begin a grace period, and end it. */
		for (size_t j = 0; j < 20; j++)
			turn(cache);
		look(cache);
	}
	REQUIRE(n_told == 0);
	end();
	REQUIRE(n_told == 0);
}

/* -------------------------------- the numbers ---------------------------- */

static void
stats_of_a_stall_say_how_old_and_how_many(void **state)
{
	struct cubby_cache_stats s;
	uint64_t began_ms, age_ms;

	(void)state;
	begin((struct cubby_cache_attr){ .dtor = count_dtor,
					 .context = NULL });
	s = look(cache);
	REQUIRE(s.n_deferred == 0 && s.oldest_deferred_ms == 0);
	start_reader(&reader);
	began_ms = now_ms();
	free_taken_together(cache, N_FREED);
	turn(cache);
	for (size_t i = 0; i < 6; i++) {
		rest_us(50000);
		s = look(cache);
		age_ms = now_ms() - began_ms;
		REQUIRE(s.n_deferred == N_FREED);
		REQUIRE(s.deferred_bytes == N_FREED * s.cell_bytes);
		REQUIRE(s.n_live == 0 && s.n_reclaimed == 0);
		REQUIRE(s.oldest_deferred_ms + 20 >= 50 * (i + 1));
		REQUIRE(s.oldest_deferred_ms <= age_ms + 20);
	}
	REQUIRE(dtors_between(0, n_things) == 0);
	end_reader(&reader);
	wait_drained(cache);
	s = look(cache);
	REQUIRE(s.n_reclaimed == N_FREED);
	REQUIRE(s.n_deferred_peak >= N_FREED - 2 * MAGAZINE_CELLS);
	REQUIRE(s.n_deferred_peak <= N_FREED);
	REQUIRE(s.n_grace_periods >= 1);
	REQUIRE(s.n_stalls == 1);
	end();
	REQUIRE(dtors_between(0, n_things) == N_FREED);
}

/* The section that a free is in itself holds it up, and deadlocks nothing. */
static void
free_in_a_section_waits_for_its_outermost_end(void **state)
{
	struct thing *thing;
	cubby_weak handle;

	(void)state;
	join_flavor();
	cache = MAKE_RCU_CACHE(.dtor = count_dtor);
	test_flavor_lock(flavor);
	test_flavor_lock(flavor);
	thing = make_taken(cache, &handle);
	REQUIRE(cubby_weak_get(cache, handle) == thing);
	cubby_free(cache, thing);
	REQUIRE(cubby_weak_get(cache, handle) == NULL);
	for (size_t i = 0; i < 10; i++)
		free_taken_together(cache, 2 * MAGAZINE_CELLS);
	test_flavor_unlock(flavor);
	for (size_t i = 0; i < 110; i++) {
		if (reclaim == CUBBY_RECLAIM_POLL)
			REQUIRE(cubby_rcu_poll(cache) == 0);
		sleep_us(1000);
	}
	REQUIRE(dtors_between(0, n_things) == 0);
	REQUIRE(thing->stamp == ~thing->number);
	test_flavor_leave(flavor);
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == n_things);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SOME_CASES(on_stall_is_called_once_a_stall),
		THREAD_CASE(on_stall_is_called_once_a_stall, TEST_QSBR,
			    "_qsbr"),
		FRONT_CASES(on_stall_without_magazines_is_called),
		POLL_CASE(on_stall_without_magazines_is_called, TEST_MEMB,
			  "_memb"),
		SOME_CASES(on_stall_with_short_sections_is_not_called),
		SOME_CASES(stats_of_a_stall_say_how_old_and_how_many),
		THREAD_CASES(free_in_a_section_waits_for_its_outermost_end),
		POLL_CASE(free_in_a_section_waits_for_its_outermost_end,
			  TEST_MEMB, "_memb"),
	};

	return cmocka_run_group_tests_name("test_rcu_stall", tests, NULL,
					   NULL);
}
