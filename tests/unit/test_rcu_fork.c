/* SPDX-License-Identifier: MIT */
/*
 * fork() in every state of deferral: in the child handles read as in the parent
 * at that moment, what waits there is destructed once at the most, and all cells
 * come back.
 *
 * Forks keep liburcu's rules: of memb, mb and qsbr no thread is registered, bp
 * has its hooks around, and so has the flavour's call_rcu() where it is used.
 */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

#include <sys/time.h>
#include <unistd.h>

enum {
	N_MOST = 6000, /* max_objects */
	N_HELD = 100,  /* live at the fork */
	N_SOME = 5,    /* less than a sheaf */
	N_MANY = 700,  /* more than one */
	N_CHURNERS = 3,
	CHILD_SECONDS = 20
};

static struct cubby_cache *cache;
static struct thing *held[N_HELD];
static cubby_weak handles[N_HELD];
static cubby_weak dead[N_HELD];

/* Destructed by nobody in the child: what another thread's dtor had begun. */
static uint64_t n_may_be_lost;

/* ------------------------------------ fork ------------------------------- */

static bool is_in_child;

/* Whether a sheaf is left alone, which takes 100 ms. */
static bool is_patient = true;

/* Under ThreadSanitizer a child has no thread of ours. */
static void
need_a_thread_in_children(void)
{
	if (test_on_tsan())
		skip_case("a child has no threads under ThreadSanitizer");
}

static pid_t
fork_by_the_rules(void)
{
	bool with_hooks = reclaim == CUBBY_RECLAIM_POLL ||
			  !flavor->needs_registration;
	bool was_registered = is_registered && flavor->needs_registration;
	pid_t pid;

	if (was_registered)
		leave_flavor();
	if (with_hooks)
		test_flavor_before_fork(flavor);
	pid = fork();
	REQUIRE(pid >= 0);
	if (with_hooks)
		test_flavor_after_fork(flavor, pid == 0);
	if (was_registered)
		join_flavor();
	is_in_child |= pid == 0;
	is_patient = is_patient && !(is_in_child && test_on_tsan());
	return pid;
}

static void
await_child(pid_t pid)
{
	if (is_registered)
		test_flavor_offline(flavor);
	REQUIRE(test_wait_child(pid, CHILD_SECONDS) == 0);
	if (is_registered)
		test_flavor_online(flavor);
}

/* --------------------------------- the cache ----------------------------- */

static void
make_held(struct cubby_cache_attr attr)
{
	attr.max_objects = N_MOST;
	cache = make_rcu_cache(attr);
	for (size_t i = 0; i < N_HELD; i++)
		cubby_free(cache, make_taken(cache, &dead[i]));
	for (size_t i = 0; i < N_HELD; i++)
		held[i] = make_taken(cache, &handles[i]);
}

static void
check_handles(void)
{
	for (size_t i = 0; i < N_HELD; i++) {
		REQUIRE(reads_as(cache, handles[i], held[i]));
		REQUIRE(reads_as(cache, dead[i], NULL));
	}
}

/* What a dtor leaves, for who gets the cell next. */
#define DESTRUCTED 1
static bool leaves_stamps;

/* Every cell that is not live can be allocated, and was destructed. */
static void
use_up(uint64_t n_in_use)
{
	static void *objects[N_MOST];
	size_t n = 0, n_whole = 0;

	while (n < N_MOST && (objects[n] = cubby_alloc(cache)) != NULL) {
		n_whole += ((struct thing *)objects[n])->stamp > DESTRUCTED;
		((struct thing *)objects[n])->number = 0;
		((struct thing *)objects[n])->stamp = ~(uint64_t)0;
		n++;
	}
	if (n + n_in_use != N_MOST)
		fprintf(stderr, "%zu cells, and %lu in use\n", n,
			(unsigned long)n_in_use);
	REQUIRE(n + n_in_use == N_MOST);
	/* One dtor of a round may have been begun and not done. */
	REQUIRE(!leaves_stamps || n_whole <= 1);
	cubby_free_bulk(cache, n, objects);
	__atomic_store_n(&n_dtors[0], 0, __ATOMIC_SEQ_CST);
}

/* All that was freed, but for what a dtor that is no more had begun. */
static void
check_dtors(uint64_t n_live)
{
	uint64_t n_dead = n_things - n_live;
	uint64_t n = dtors_between(1, n_things);

	REQUIRE(n <= n_dead);
	if (n + 1 + n_may_be_lost < n_dead)
		fprintf(stderr, "%lu of %lu were destructed\n",
			(unsigned long)n, (unsigned long)n_dead);
	REQUIRE(n + 1 + n_may_be_lost >= n_dead);
}

/*
 * After a fork, in the child and in the parent: the cache is whole, and goes on.
 * @counted: it counts dtors.
 */
static void
use_and_destroy(bool counted)
{
	uint64_t n_live;

	check_handles();
	for (size_t i = 0; i < N_HELD; i += 2) {
		cubby_free(cache, held[i]);
		held[i] = NULL;
	}
	check_handles();
	/* The reclaimer, or polling, works. */
	free_taken_together(cache, N_SOME);
	if (is_patient)
		wait_drained(cache);
	free_taken_together(cache, N_MANY);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	n_live = look(cache).n_live;
	REQUIRE(n_live == N_HELD / 2);
	if (counted)
		check_dtors(n_live);
	use_up(n_live);
	for (size_t i = 1; i < N_HELD; i += 2)
		cubby_free(cache, held[i]);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	if (counted)
		check_dtors(0);
}

static void
fork_and_use(bool counted)
{
	pid_t pid = fork_by_the_rules();

	if (pid == 0) {
		use_and_destroy(counted);
		_exit(0);
	}
	await_child(pid);
	is_patient = false;
}

/* ----------------------------- states of one thread ---------------------- */

static void
fork_while_idle_takes_all_over(void **state)
{
	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	wait_drained(cache);
	fork_and_use(true);
	use_and_destroy(true);
	leave_flavor();
}

static void
fork_with_sheaves_takes_them_over(void **state)
{
	static const size_t n_freed[] = { N_SOME, N_MANY };

	(void)state;
	join_flavor();
	for (size_t i = 0; i < 4; i++) {
		uint64_t flags = i < 2 ? 0 : CUBBY_CACHE_NO_MAGAZINES;

		n_things = 0;
		memset(n_dtors, 0, sizeof(n_dtors));
		make_held((struct cubby_cache_attr){ .dtor = count_dtor,
						     .flags = flags });
		free_taken_together(cache, n_freed[i % 2]);
		fork_and_use(true);
		use_and_destroy(true);
	}
	leave_flavor();
}

static void
fork_of_counted_objects_takes_all_over(void **state)
{
	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor,
					     .is_strong = 1 });
	free_taken_together(cache, N_MANY);
	fork_and_use(true);
	use_and_destroy(true);
	leave_flavor();
}

static void
fork_without_dtor_takes_all_over(void **state)
{
	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = NULL });
	free_taken_together(cache, N_MANY);
	fork_and_use(false);
	use_and_destroy(false);
	leave_flavor();
}

static void
fork_in_a_child_takes_all_over_again(void **state)
{
	pid_t pid;

	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	free_taken_together(cache, N_MANY);
	pid = fork_by_the_rules();
	if (pid == 0) {
		free_taken_together(cache, N_SOME);
		fork_and_use(true);
		use_and_destroy(true);
		_exit(0);
	}
	await_child(pid);
	use_and_destroy(true);
	leave_flavor();
}

/* What nothing waits for has waited for no time: no stall is reported. */
static uint64_t n_stalls;

static void
count_stall(struct cubby_cache *of, const struct cubby_stall *stall,
	    void *context)
{
	(void)of;
	(void)stall;
	(void)context;
	n_stalls++;
}

static void
fork_while_idle_is_no_stall(void **state)
{
	pid_t pid;

	(void)state;
	need_a_thread_in_children();
	join_flavor();
	cache = MAKE_RCU_CACHE(.on_stall = count_stall, .stall_ms = 200);
	free_taken(cache, N_SOME);
	wait_drained(cache);
	pid = fork_by_the_rules();
	if (pid == 0) {
		n_stalls = 0;
		for (uint64_t end = now_ms() + 300; now_ms() < end;)
			turn(cache);
		REQUIRE(look(cache).oldest_deferred_ms == 0);
		REQUIRE(n_stalls == 0);
		_exit(0);
	}
	await_child(pid);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* --------------------------- states of other threads --------------------- */

static sem_t has_freed, may_end;

static void *
free_some_and_stay(void *argument)
{
	(void)argument;
	free_taken(cache, N_SOME);
	sem_post(&has_freed);
	wait_sem(&may_end);
	return NULL;
}

static void
fork_beside_partial_sheaves_takes_them_over(void **state)
{
	pthread_t threads[N_CHURNERS];

	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	for (size_t i = 0; i < N_CHURNERS; i++) {
		threads[i] = start_thread(free_some_and_stay, NULL);
		wait_sem(&has_freed);
	}
	fork_and_use(true);
	for (size_t i = 0; i < N_CHURNERS; i++)
		sem_post(&may_end);
	for (size_t i = 0; i < N_CHURNERS; i++)
		join_thread(threads[i]);
	use_and_destroy(true);
	leave_flavor();
}

/* A round stands still in the dtor of this object, if there is one. */
static uint64_t stopping_number;
static sem_t is_stopped, may_go_on;

static void
stop_in_dtor(void *object, void *context)
{
	struct thing *thing = object;

	count_dtor(object, context);
	if (thing->number != stopping_number || is_in_child)
		return;
	sem_post(&is_stopped);
	wait_sem(&may_go_on);
}

static void *
do_barrier(void *argument)
{
	REQUIRE(cubby_rcu_barrier(argument) == 0);
	return NULL;
}

/*
 * With a round of another thread's in the middle of dtor.  After that more is
 * freed, which waits in full sheaves.
 */
static void
fork_in_the_middle_of_dtor(uint64_t flags)
{
	pthread_t thread;

	n_things = 0;
	memset(n_dtors, 0, sizeof(n_dtors));
	stopping_number = ~(uint64_t)0;
	make_held((struct cubby_cache_attr){ .dtor = stop_in_dtor,
					     .flags = flags });
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	stopping_number = n_things + N_MANY / 2;
	free_taken_together(cache, N_MANY);
	thread = start_thread(do_barrier, cache);
	if (is_registered)
		test_flavor_offline(flavor);
	wait_sem(&is_stopped);
	if (is_registered)
		test_flavor_online(flavor);
	free_taken_together(cache, N_MANY);
	n_may_be_lost = 1;
	fork_and_use(true);
	n_may_be_lost = 0;
	sem_post(&may_go_on);
	join_thread(thread);
	use_and_destroy(true);
}

static void
fork_in_the_middle_of_a_round_takes_it_over(void **state)
{
	(void)state;
	join_flavor();
	fork_in_the_middle_of_dtor(0);
	fork_in_the_middle_of_dtor(CUBBY_CACHE_NO_MAGAZINES);
	leave_flavor();
}

/* The round is of another cache, which is not used any more. */
static void
fork_beside_a_round_of_another_cache(void **state)
{
	struct cubby_cache *other;
	pthread_t thread;

	(void)state;
	join_flavor();
	other = MAKE_RCU_CACHE(.dtor = stop_in_dtor);
	stopping_number = 0;
	free_taken(other, 1);
	thread = start_thread(do_barrier, other);
	if (is_registered)
		test_flavor_offline(flavor);
	wait_sem(&is_stopped);
	if (is_registered)
		test_flavor_online(flavor);
	make_held((struct cubby_cache_attr){ .dtor = NULL });
	free_taken_together(cache, N_MANY);
	fork_and_use(false);
	sem_post(&may_go_on);
	join_thread(thread);
	use_and_destroy(false);
	REQUIRE(cubby_cache_destroy(other) == 0);
	leave_flavor();
}

/* In bp other threads may be reading: they are not in the child. */
static void
fork_beside_readers_goes_on(void **state)
{
	struct reader reader;
	pid_t pid;

	(void)state;
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	start_reader(&reader);
	/* Nothing waits, for bp's hook would wait with the reclaimer. */
	pid = fork_by_the_rules();
	if (pid == 0) {
		free_taken_together(cache, N_MANY);
		use_and_destroy(true);
		_exit(0);
	}
	await_child(pid);
	end_reader(&reader);
	free_taken_together(cache, N_MANY);
	use_and_destroy(true);
}

/* ------------------------------ from callbacks --------------------------- */

static pid_t forked;

static void
fork_once(void)
{
	if (forked == 0 && !is_in_child)
		forked = fork_by_the_rules();
}

static void
fork_in_dtor(void *object, void *context)
{
	struct thing *thing = object;

	count_dtor(object, context);
	if (thing->number == stopping_number && gettid() == getpid())
		fork_once();
}

/*
 * In the child the round, and then this thread, go on.  The thread of ours may
 * have been first, so more than one barrier may be needed.
 */
static void
fork_in_dtor_of_a_barrier(uint64_t flags)
{
	n_things = 0;
	forked = 0;
	memset(n_dtors, 0, sizeof(n_dtors));
	stopping_number = ~(uint64_t)0;
	make_held((struct cubby_cache_attr){ .dtor = fork_in_dtor,
					     .flags = flags });
	while (forked == 0 && !is_in_child) {
		REQUIRE(cubby_rcu_barrier(cache) == 0);
		n_things = 2 * N_HELD; /* numbers are not for ever */
		memset(&n_dtors[n_things], 0, sizeof(n_dtors) / 2);
		stopping_number = n_things + N_MANY / 2;
		free_taken_together(cache, N_MANY);
		REQUIRE(cubby_rcu_barrier(cache) == 0);
		REQUIRE(dtors_of(stopping_number) == 1);
	}
	use_and_destroy(true);
	if (is_in_child)
		_exit(0);
	await_child(forked);
}

static void
fork_in_dtor_goes_on_in_both(void **state)
{
	(void)state;
	/* Not registered: fork() is in the barrier. */
	fork_in_dtor_of_a_barrier(0);
	fork_in_dtor_of_a_barrier(CUBBY_CACHE_NO_MAGAZINES);
}

/* On the thread of ours: what goes on in the child is that thread alone. */
static uint64_t n_to_destruct;

static void
fork_and_end_in_dtor(void *object, void *context)
{
	struct thing *thing = object;

	count_dtor(object, context);
	if (thing->number == stopping_number)
		fork_once();
	if (is_in_child && dtors_between(0, n_to_destruct) == n_to_destruct)
		_exit(0);
}

static void
fork_in_dtor_of_the_reclaimer_goes_on(void **state)
{
	(void)state;
	cache = MAKE_RCU_CACHE(.dtor = fork_and_end_in_dtor);
	n_to_destruct = N_MANY;
	/* The last that is freed: in memb a thread that is not registered has
	 * no sections, and what it has yet to free is not freed in the child.
	 */
	stopping_number = N_MANY - 1;
	free_taken_together(cache, N_MANY);
	wait_drained(cache);
	REQUIRE(forked > 0);
	await_child(forked);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	REQUIRE(dtors_between(0, N_MANY) == N_MANY);
}

static void
fork_in_expire(struct cubby_cache *of, void *object, uint64_t handle,
	       void *context)
{
	struct thing *thing = object;

	(void)of;
	(void)handle;
	(void)context;
	if (thing->number == stopping_number)
		fork_once();
}

static void
fork_in_on_expire_goes_on_in_both(void **state)
{
	(void)state;
	stopping_number = 2 * N_HELD + N_MANY / 2;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor,
					     .on_expire = fork_in_expire });
	free_taken_together(cache, N_MANY);
	use_and_destroy(true);
	if (is_in_child)
		_exit(0);
	await_child(forked);
	leave_flavor();
}

/* ------------------------------ at any moment ---------------------------- */

static uint32_t must_stop;

/* liburcu does not know these threads. */
static void *
churn(void *argument)
{
	uint64_t random = (uintptr_t)argument;

	while (!__atomic_load_n(&must_stop, __ATOMIC_RELAXED)) {
		struct thing *things[60];
		size_t n = 1 + random_below(&random, 60);

		for (size_t i = 0; i < n; i++) {
			things[i] = cubby_alloc(cache);
			REQUIRE(things[i] != NULL);
			things[i]->number = 0;
			things[i]->stamp = ~(uint64_t)0;
			if (i % 4 != 0)
				REQUIRE(cubby_weak_of(cache, things[i]) != 0);
		}
		for (size_t i = 0; i < n; i++)
			cubby_free(cache, things[i]);
		if (random_below(&random, 8) == 0)
			sleep_us(200);
	}
	return NULL;
}

/* What they had allocated, or freed and not deferred yet, is live for ever. */
static void
check_busy_child(void)
{
	uint64_t n_live;

	REQUIRE(cubby_rcu_barrier(cache) == 0);
	n_live = look(cache).n_live;
	REQUIRE(n_live >= N_HELD);
	REQUIRE(n_live <= N_HELD + N_CHURNERS * 61);
	check_handles();
	use_up(n_live);
	for (size_t i = 0; i < N_HELD; i++)
		cubby_free(cache, held[i]);
	free_taken_together(cache, N_SOME);
	if (is_patient)
		wait_drained(cache);
	else
		REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(look(cache).n_live == n_live - N_HELD);
	REQUIRE(cubby_cache_destroy_force(cache) == 0);
	_exit(0);
}

static void
leave_stamp(void *object, void *context)
{
	(void)context;
	((struct thing *)object)->stamp = DESTRUCTED;
}

static void
fork_beside_busy_threads_loses_nothing(void **state)
{
	pthread_t threads[N_CHURNERS];
	uint64_t n_forks = scaled(15);

	(void)state;
	leaves_stamps = true;
	make_held((struct cubby_cache_attr){ .dtor = leave_stamp,
					     .soft_deferred_objects = 1 });
	for (uintptr_t i = 0; i < N_CHURNERS; i++)
		threads[i] = start_thread(churn, (void *)(i + 1));
	for (uint64_t i = 0; i < n_forks; i++) {
		pid_t pid = fork_by_the_rules();

		if (pid == 0)
			check_busy_child();
		await_child(pid);
		is_patient = false;
	}
	__atomic_store_n(&must_stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_CHURNERS; i++)
		join_thread(threads[i]);
	use_and_destroy(false);
}

/* In a handler; what was interrupted goes on in the child, too. */
static volatile uint32_t n_signals;

static void
fork_in_handler(int signal_number)
{
	(void)signal_number;
	if (n_signals++ % 8 == 7)
		fork_once();
}

static void
churn_until_forked(uint64_t *random)
{
	struct thing *things[60];

	while (forked == 0 && !is_in_child) {
		size_t n = 1 + random_below(random, 60);

		for (size_t i = 0; i < n; i++)
			things[i] = make_taken(cache, NULL);
		for (size_t i = 0; i < n; i++)
			cubby_free(cache, things[i]);
	}
}

static void
fork_in_a_handler_goes_on_in_both(void **state)
{
	struct itimerval often = { { 0, 150 }, { 0, 150 } };
	const struct itimerval never = { 0 };
	uint64_t random = 1;

	(void)state;
	need_a_thread_in_children();
	make_held((struct cubby_cache_attr){ .dtor = NULL });
	signal(SIGALRM, fork_in_handler);
	for (uint64_t i = 0; i < scaled(15); i++) {
		forked = 0;
		REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
		churn_until_forked(&random);
		REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
		if (is_in_child) {
			use_and_destroy(false);
			_exit(0);
		}
		await_child(forked);
		is_patient = false;
	}
	use_and_destroy(false);
}

/* ----------------------------------- polls ------------------------------- */

static void
fork_with_a_grace_period_asked_for_goes_on(void **state)
{
	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	free_taken_together(cache, N_MANY);
	REQUIRE(cubby_rcu_poll(cache) == 0); /* asks for a grace period */
	free_taken_together(cache, N_SOME);
	fork_and_use(true);
	use_and_destroy(true);
	leave_flavor();
}

/* Each generation's grace period may be lost: there are only some. */
static void
fork_again_and_again_with_grace_periods_asked_for(void **state)
{
	pid_t pid;

	(void)state;
	join_flavor();
	make_held((struct cubby_cache_attr){ .dtor = count_dtor });
	for (size_t i = 0; i < 6; i++) {
		free_taken_together(cache, N_MANY);
		REQUIRE(cubby_rcu_poll(cache) >= 0);
		pid = fork_by_the_rules();
		if (pid == 0)
			continue;
		await_child(pid);
		if (is_in_child)
			_exit(0);
		break;
	}
	use_and_destroy(true);
	if (is_in_child)
		_exit(0);
	leave_flavor();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SOME_CASES(fork_while_idle_takes_all_over),
		SOME_CASES(fork_with_sheaves_takes_them_over),
		FRONT_CASES(fork_with_sheaves_takes_them_over),
		SOME_CASES(fork_of_counted_objects_takes_all_over),
		SOME_CASES(fork_without_dtor_takes_all_over),
		SOME_CASES(fork_in_a_child_takes_all_over_again),
		SOME_CASES(fork_while_idle_is_no_stall),
		FRONT_CASES(fork_while_idle_is_no_stall),
		SOME_CASES(fork_beside_partial_sheaves_takes_them_over),
		FRONT_CASES(fork_beside_partial_sheaves_takes_them_over),
		ALL_CASES(fork_in_the_middle_of_a_round_takes_it_over),
		FRONT_CASES(fork_in_the_middle_of_a_round_takes_it_over),
		SOME_CASES(fork_beside_a_round_of_another_cache),
		THREAD_CASE(fork_beside_readers_goes_on, TEST_BP, "_bp"),
		ALL_CASES(fork_in_dtor_goes_on_in_both),
		THREAD_CASES(fork_in_dtor_of_the_reclaimer_goes_on),
		SOME_CASES(fork_in_on_expire_goes_on_in_both),
		THREAD_CASES(fork_beside_busy_threads_loses_nothing),
		FRONT_CASES(fork_beside_busy_threads_loses_nothing),
		THREAD_CASES(fork_in_a_handler_goes_on_in_both),
		FRONT_CASES(fork_in_a_handler_goes_on_in_both),
		POLL_CASES(fork_with_a_grace_period_asked_for_goes_on),
		POLL_CASES(fork_again_and_again_with_grace_periods_asked_for),
	};

	return cmocka_run_group_tests_name("test_rcu_fork", tests, NULL, NULL);
}
