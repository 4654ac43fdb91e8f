/* SPDX-License-Identifier: MIT */
/*
 * Tests of the copy of liburcu's table (lib/flavor.h), of the tests' own table
 * of flavours, and that each flavour does what Cubby counts on.
 */
#include "unit.h"

/* Theirs under another name: ours is the same struct. */
#define rcu_flavor_struct urcu_flavor_struct
#include <urcu/flavor.h>
#undef rcu_flavor_struct
#include <urcu/call-rcu.h>

#include "flavor.h"
#include "support/flavor.h"
#include "support/oracle.h"

#include <cubby/cubby.h>

#include <pthread.h>

/* Long enough to see that somebody waits, and for any of them to be through. */
#define A_WHILE_US 20000
#define CHILD_SECONDS 30

#define SAME_PLACE(member)                                                    \
	_Static_assert(offsetof(struct rcu_flavor_struct, member) ==          \
			       offsetof(struct urcu_flavor_struct, member),   \
		       #member " is elsewhere in liburcu's struct");

#define SAME(member)                                                           \
	SAME_PLACE(member)                                                     \
	_Static_assert(                                                        \
		__builtin_types_compatible_p(                                  \
			__typeof__(((struct rcu_flavor_struct *)0)->member),   \
			__typeof__(((struct urcu_flavor_struct *)0)->member)), \
		#member " is something else in liburcu's struct");

SAME(read_lock)
SAME(read_unlock)
SAME(read_ongoing)
SAME(read_quiescent_state)
SAME(update_call_rcu)
SAME(update_synchronize_rcu)
SAME(update_defer_rcu)
SAME(thread_offline)
SAME(thread_online)
SAME(register_thread)
SAME(unregister_thread)
SAME(barrier)
SAME_PLACE(register_rculfhash_atfork)
SAME_PLACE(unregister_rculfhash_atfork)

#define N_MEMBERS 14
_Static_assert(sizeof(struct rcu_flavor_struct) == N_MEMBERS * sizeof(void *),
	       "a member of the copy is not compared above");
_Static_assert(sizeof(struct rcu_flavor_struct) <=
		       sizeof(struct urcu_flavor_struct),
	       "liburcu's struct is shorter than the copy");

/* --------------------------------- tables -------------------------------- */

static void
table_is_whole_in_each_flavour(void **state)
{
	const struct test_flavor *flavor = *state;
	void *members[N_MEMBERS];

	memcpy(members, flavor->rcu, sizeof(members));
	for (size_t i = 0; i < N_MEMBERS; i++)
		assert_non_null(members[i]);
	for (size_t i = 0; i < N_TEST_FLAVORS; i++)
		if (&test_flavors[i] != flavor)
			assert_ptr_not_equal(test_flavors[i].rcu, flavor->rcu);
}

/* -------------------------------- sections ------------------------------- */

static void
lock_nests_and_is_seen_as_ongoing(void **state)
{
	const struct test_flavor *flavor = *state;

	test_flavor_register(flavor);
	assert_int_equal(test_flavor_is_reading(flavor), flavor->is_qsbr);
	test_flavor_lock(flavor);
	assert_true(test_flavor_is_reading(flavor));
	test_flavor_lock(flavor);
	test_flavor_unlock(flavor);
	assert_true(test_flavor_is_reading(flavor));
	test_flavor_leave(flavor);
	test_flavor_offline(flavor);
	assert_false(test_flavor_is_reading(flavor));
	test_flavor_online(flavor);
	assert_int_equal(test_flavor_is_reading(flavor), flavor->is_qsbr);
	test_flavor_unregister(flavor);
}

/* ----------------------------- grace periods ----------------------------- */

struct scene {
	const struct test_flavor *flavor;
	uint64_t *published; /* what the reader borrows */
	int is_reading, may_leave, is_synchronized, n_calls;
	uint64_t seen;
};

static void
set(int *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

static int
is_set(const int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void
wait_for(const int *flag)
{
	while (!is_set(flag))
		usleep(100);
}

static void *
read_for_long(void *context)
{
	struct scene *scene = context;
	uint64_t *borrowed;

	test_flavor_register(scene->flavor);
	test_flavor_lock(scene->flavor);
	borrowed = __atomic_load_n(&scene->published, __ATOMIC_ACQUIRE);
	set(&scene->is_reading);
	wait_for(&scene->may_leave);
	scene->seen = *borrowed;
	test_flavor_leave(scene->flavor);
	test_flavor_unregister(scene->flavor);
	return NULL;
}

static void *
replace(void *context)
{
	struct scene *scene = context;
	uint64_t *old = scene->published;

	test_flavor_register(scene->flavor);
	__atomic_store_n(&scene->published, NULL, __ATOMIC_RELEASE);
	test_flavor_synchronize(scene->flavor);
	set(&scene->is_synchronized);
	*old = 0; /* not before the reader is through with it */
	free(old);
	test_flavor_unregister(scene->flavor);
	return NULL;
}

static void
synchronize_waits_for_a_reader(void **state)
{
	struct scene scene = { .flavor = *state };
	pthread_t reader, writer;

	scene.published = malloc(sizeof(*scene.published));
	assert_non_null(scene.published);
	*scene.published = 42;
	assert_int_equal(pthread_create(&reader, NULL, read_for_long, &scene),
			 0);
	wait_for(&scene.is_reading);
	assert_int_equal(pthread_create(&writer, NULL, replace, &scene), 0);
	usleep(A_WHILE_US);
	assert_false(is_set(&scene.is_synchronized));
	set(&scene.may_leave);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	assert_true(is_set(&scene.is_synchronized));
	assert_int_equal(scene.seen, 42);
}

static void
count_call(void *context)
{
	struct scene *scene = context;

	scene->n_calls++; /* barrier is what makes it seen */
}

static void
barrier_waits_for_all_calls(void **state)
{
	struct scene scene = { .flavor = *state };

	test_flavor_register(scene.flavor);
	for (int i = 0; i < 100; i++)
		test_flavor_call(scene.flavor, count_call, &scene);
	test_flavor_barrier(scene.flavor);
	assert_int_equal(scene.n_calls, 100);
	test_flavor_unregister(scene.flavor);
}

static void
set_called(void *context)
{
	set(context);
}

static void
call_waits_for_a_reader(void **state)
{
	struct scene scene = { .flavor = *state };
	uint64_t number = 42;
	pthread_t reader;
	int is_called = 0;

	scene.published = &number;
	assert_int_equal(pthread_create(&reader, NULL, read_for_long, &scene),
			 0);
	wait_for(&scene.is_reading);
	test_flavor_register(scene.flavor);
	test_flavor_call(scene.flavor, set_called, &is_called);
	test_flavor_offline(scene.flavor);
	usleep(A_WHILE_US);
	assert_false(is_set(&is_called));
	set(&scene.may_leave);
	pthread_join(reader, NULL);
	wait_for(&is_called);
	test_flavor_online(scene.flavor);
	test_flavor_unregister(scene.flavor);
}

/* ---------------------------------- fork --------------------------------- */

/* With liburcu's hooks a child has what its parent has. */
static void
fork_leaves_the_flavour_whole(void **state)
{
	struct scene scene = { .flavor = *state };
	pid_t pid;

	if (test_on_tsan())
		skip_because("no threads after such a fork");
	test_flavor_register(scene.flavor);
	test_flavor_call(scene.flavor, count_call, &scene);
	test_flavor_barrier(scene.flavor);
	test_flavor_unregister(scene.flavor);
	fflush(NULL);
	test_flavor_before_fork(scene.flavor);
	pid = fork();
	test_flavor_after_fork(scene.flavor, pid == 0);
	assert_true(pid >= 0);
	test_flavor_register(scene.flavor);
	test_flavor_call(scene.flavor, count_call, &scene);
	test_flavor_synchronize(scene.flavor);
	test_flavor_barrier(scene.flavor);
	test_flavor_unregister(scene.flavor);
	if (pid == 0)
		_exit(scene.n_calls != 2);
	assert_int_equal(test_wait_child(pid, CHILD_SECONDS), 0);
	assert_int_equal(scene.n_calls, 2);
}

/* --------------------------------- caches -------------------------------- */

#define TRUCK_SLOTS(SLOT) SLOT(long, number, "on its plate")
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);

/* The lines of the table at struct cubby_cache_attr that have a flavour. */
static void
cache_of_each_line_works_in_each_flavour(void **state)
{
	static const struct {
		uint64_t weak, is_strong, reclaim;
	} lines[] = {
		{ CUBBY_WEAK_NONE, 0, CUBBY_RECLAIM_THREAD },
		{ CUBBY_WEAK_NONE, 0, CUBBY_RECLAIM_POLL },
		{ CUBBY_WEAK_RCU, 0, CUBBY_RECLAIM_THREAD },
		{ CUBBY_WEAK_RCU, 0, CUBBY_RECLAIM_POLL },
		{ CUBBY_WEAK_RCU, 1, CUBBY_RECLAIM_THREAD },
		{ CUBBY_WEAK_RCU, 1, CUBBY_RECLAIM_POLL },
	};
	const struct test_flavor *flavor = *state;

	test_flavor_register(flavor);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct cubby_cache *trucks;
		struct truck *truck;

		assert_int_equal(
			truck_cache_create(
				&trucks,
				&CUBBY_CACHE_ATTR(.weak = lines[i].weak,
						  .is_strong =
							  lines[i].is_strong,
						  .rcu = flavor->rcu,
						  .reclaim = lines[i].reclaim)),
			0);
		truck = truck_alloc(trucks);
		assert_non_null(truck);
		if (lines[i].weak != CUBBY_WEAK_NONE)
			assert_true(truck_weak_of(trucks, truck) !=
				    CUBBY_WEAK_NULL);
		cubby_free_rcu(trucks, truck);
		assert_int_equal(cubby_rcu_barrier(trucks), 0);
		assert_int_equal(cubby_cache_destroy(trucks), 0);
	}
	test_flavor_unregister(flavor);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		FLAVOR_CASES(table_is_whole_in_each_flavour),
		FLAVOR_CASES(lock_nests_and_is_seen_as_ongoing),
		FLAVOR_CASES(synchronize_waits_for_a_reader),
		FLAVOR_CASES(call_waits_for_a_reader),
		FLAVOR_CASES(barrier_waits_for_all_calls),
		FLAVOR_CASES(fork_leaves_the_flavour_whole),
		FLAVOR_CASES(cache_of_each_line_works_in_each_flavour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
