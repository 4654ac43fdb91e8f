/* SPDX-License-Identifier: MIT */
/*
 * Threads of all sorts free objects that wait: some liburcu knows, some it does
 * not, some end at once, some are interrupted.  And the thread of ours.
 */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

#include "annotate.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum {
	N_EACH = 5, /* less than a sheaf */
	N_THREADS = 1000,
	N_AT_ONCE = 10,
	N_POOL = 64,
	/* A sheaf waits 100 ms, and then for a round. */
	ALONE_MS = 1000
};

static struct cubby_cache *cache;

static void
make_counted(void)
{
	cache = MAKE_RCU_CACHE(.dtor = count_dtor);
}

/* Each object was destructed once, and the cache is as new. */
static void
finish(void)
{
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == n_things);
	REQUIRE(look(cache).n_live == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

/* -------------------------------- left alone ----------------------------- */

/* Nothing else happens: no call but the poll that the back end asks for. */
static void
comes_back_alone(struct cubby_cache_attr attr, size_t object_bytes)
{
	uint64_t began_ms, number = n_things;

	attr.attr_bytes = sizeof(attr);
	attr.weak = CUBBY_WEAK_RCU;
	attr.rcu = flavor->rcu;
	attr.reclaim = reclaim;
	attr.dtor = count_dtor;
	REQUIRE(cubby_cache_create_sized(&cache, "alone", object_bytes, 0,
					 &attr) == 0);
	free_taken(cache, 1);
	began_ms = now_ms();
	while (dtors_of(number) == 0 && now_ms() < began_ms + SOON_MS)
		turn(cache);
	REQUIRE(dtors_of(number) == 1);
	if (!test_is_slow())
		REQUIRE(now_ms() - began_ms <= ALONE_MS);
	REQUIRE(n_deferred(cache) == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

static void
free_of_one_object_comes_back_by_itself(void **state)
{
	(void)state;
	join_flavor();
	comes_back_alone((struct cubby_cache_attr){ 0 }, 24);
	comes_back_alone(
		(struct cubby_cache_attr){ .flags = CUBBY_CACHE_NO_MAGAZINES },
		24);
	comes_back_alone((struct cubby_cache_attr){ 0 }, 100000);
	comes_back_alone((struct cubby_cache_attr){ .magazine_capacity = 1 },
			 24);
	comes_back_alone((struct cubby_cache_attr){ .is_strong = 1 }, 24);
	leave_flavor();
}

/* A free that comes while the one before it is on its way. */
static void
free_of_one_object_again_and_again_comes_back(void **state)
{
	(void)state;
	join_flavor();
	make_counted();
	for (size_t i = 0; i < 30; i++) {
		free_taken(cache, 1);
		for (size_t n = i % 10; n != 0; n--)
			turn(cache);
	}
	finish();
	leave_flavor();
}

/* ------------------------------- threads that end ------------------------ */

static void *
free_some(void *argument)
{
	(void)argument;
	free_taken(cache, N_EACH);
	return NULL;
}

static void *
free_some_registered(void *argument)
{
	join_flavor();
	test_flavor_lock(flavor);
	free_some(argument);
	test_flavor_leave(flavor);
	leave_flavor();
	return NULL;
}

static void *
free_some_offline(void *argument)
{
	join_flavor();
	test_flavor_offline(flavor);
	free_some(argument);
	test_flavor_online(flavor);
	leave_flavor();
	return NULL;
}

static void
free_and_end(void *(*run)(void *))
{
	make_counted();
	for (size_t i = 0; i < 10; i++)
		join_thread(start_thread(run, NULL));
	finish();
}

static void
thread_exit_with_a_partial_sheaf_leaves_it(void **state)
{
	(void)state;
	join_flavor();
	free_and_end(free_some);
	leave_flavor();
}

static void
thread_exit_after_unregistering_leaves_its_sheaf(void **state)
{
	(void)state;
	join_flavor();
	free_and_end(free_some_registered);
	leave_flavor();
}

static void
free_by_offline_thread_comes_back(void **state)
{
	(void)state;
	join_flavor();
	free_and_end(free_some_offline);
	leave_flavor();
}

/* Their sheaves stay while they live and do nothing. */
static sem_t may_end, has_freed;

static void *
free_some_and_stay(void *argument)
{
	free_some(argument);
	sem_post(&has_freed);
	wait_sem(&may_end);
	return NULL;
}

static void
sheaf_of_an_idle_thread_is_fetched(void **state)
{
	pthread_t threads[N_AT_ONCE];

	(void)state;
	join_flavor();
	make_counted();
	for (size_t i = 0; i < N_AT_ONCE; i++) {
		threads[i] = start_thread(free_some_and_stay, NULL);
		wait_sem(&has_freed);
	}
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == N_AT_ONCE * N_EACH);
	for (size_t i = 0; i < N_AT_ONCE; i++)
		sem_post(&may_end);
	for (size_t i = 0; i < N_AT_ONCE; i++)
		join_thread(threads[i]);
	finish();
	leave_flavor();
}

static void
free_by_a_thousand_threads_comes_back(void **state)
{
	pthread_t threads[N_AT_ONCE];

	(void)state;
	join_flavor();
	make_counted();
	for (size_t n = 0; n < scaled(N_THREADS); n += N_AT_ONCE) {
		for (size_t i = 0; i < N_AT_ONCE; i++)
			threads[i] = start_thread(
				i % 2 == 0 ? free_some : free_some_registered,
				NULL);
		for (size_t i = 0; i < N_AT_ONCE; i++)
			join_thread(threads[i]);
		turn(cache);
	}
	finish();
	leave_flavor();
}

/* A thread's end hands its sheaf over while another destroys the cache. */
static sem_t is_done;

static void *
free_some_and_say_so(void *argument)
{
	free_some(argument);
	sem_post(&is_done);
	return NULL;
}

static void
destroy_beside_ending_threads_leaves_others(void **state)
{
	struct cubby_cache *other;
	uint64_t n_freed = 0;
	pthread_t thread;

	(void)state;
	join_flavor();
	other = MAKE_RCU_CACHE();
	for (size_t i = 0; i < scaled(300); i++) {
		make_counted();
		n_things = 0;
		memset(n_dtors, 0, 64 * sizeof(n_dtors[0]));
		thread = start_thread(free_some_and_say_so, NULL);
		wait_sem(&is_done);
		while (cubby_cache_destroy(cache) == -EBUSY)
			continue;
		join_thread(thread);
		REQUIRE(dtors_between(0, n_things) == N_EACH);
		free_taken(other, 1);
		n_freed++;
		if (i % 20 != 0)
			continue;
		REQUIRE(cubby_rcu_barrier(other) == 0);
		REQUIRE(look(other).n_reclaimed == n_freed);
	}
	cache = other;
	wait_drained(cache);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* --------------------------------- our thread ---------------------------- */

static uint64_t
mask_in_status(pid_t tid, const char *key)
{
	unsigned long long value = 0;
	char path[64], line[256];
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	stream = fopen(path, "r");
	REQUIRE(stream != NULL);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 16);
	fclose(stream);
	return value;
}

/* The only thread of that name: its number, and 0 if there is none. */
static pid_t
find_reclaimer(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	char path[512], name[32];
	pid_t found = 0;

	REQUIRE(tasks != NULL);
	while ((entry = readdir(tasks)) != NULL) {
		FILE *stream;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 entry->d_name);
		stream = fopen(path, "r");
		if (stream != NULL &&
		    fgets(name, sizeof(name), stream) != NULL &&
		    strcmp(name, "cubby-reclaim\n") == 0) {
			REQUIRE(found == 0);
			found = (pid_t)atoi(entry->d_name);
		}
		if (stream != NULL)
			fclose(stream);
	}
	closedir(tasks);
	return found;
}

static pid_t
find_reclaimer_soon(void)
{
	pid_t tid = 0;

	WAIT_UNTIL(cache, (tid = find_reclaimer()) != 0);
	return tid;
}

static volatile pid_t handled_by;

static void
note_thread(int signal_number)
{
	(void)signal_number;
	handled_by = (pid_t)syscall(SYS_gettid);
}

static void
reclaimer_has_a_name_and_no_signals(void **state)
{
	/* All but SIGKILL, SIGSTOP and what glibc keeps for itself. */
	const uint64_t all = ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) |
			       3ull << 31);
	sigset_t usr1;

	(void)state;
	join_flavor();
	make_counted();
	/* Valgrind tells the kernel masks of its own. */
	if (!cubby__annotate_on_valgrind())
		REQUIRE((mask_in_status(find_reclaimer_soon(), "SigBlk:") &
			 all) == all);
	signal(SIGUSR1, note_thread);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	/* Blocked here: it waits for us, and goes to no other thread. */
	REQUIRE(pthread_sigmask(SIG_BLOCK, &usr1, NULL) == 0);
	kill(getpid(), SIGUSR1);
	free_taken(cache, 10);
	wait_drained(cache);
	REQUIRE(handled_by == 0);
	REQUIRE(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL) == 0);
	REQUIRE(handled_by == getpid());
	finish();
	leave_flavor();
}

/* The creator's mask is as before. */
static void
creation_leaves_the_signal_mask(void **state)
{
	sigset_t before, after;

	(void)state;
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
	make_counted();
	REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
	REQUIRE(memcmp(&before, &after, sizeof(after)) == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

static void
polled_cache_has_no_thread_of_ours(void **state)
{
	(void)state;
	join_flavor();
	make_counted();
	free_taken(cache, 200);
	wait_drained(cache);
	REQUIRE(find_reclaimer() == 0);
	finish();
	leave_flavor();
}

/* ----------------------------------- handlers ---------------------------- */

static cubby_weak pool[N_POOL];
static volatile uint32_t n_handled;

/* Borrow one, and replace it: all in the handler. */
static void
replace_one(int signal_number)
{
	size_t i = n_handled++ % N_POOL;
	struct thing *thing, *fresh;

	(void)signal_number;
	test_flavor_lock(flavor);
	thing = cubby_weak_get(cache, pool[i]);
	REQUIRE(thing != NULL && thing->stamp == ~thing->number);
	test_flavor_unlock(flavor);
	fresh = cubby_alloc(cache);
	if (fresh == NULL)
		return;
	fresh->number = thing->number;
	fresh->stamp = ~thing->number;
	pool[i] = cubby_weak_of(cache, fresh);
	cubby_free(cache, thing);
}

static void
use_cache(uint64_t *random)
{
	struct thing *things[20];
	cubby_weak handles[20];

	for (size_t i = 0; i < 20; i++)
		things[i] = make_taken(cache, &handles[i]);
	for (size_t i = 0; i < 20; i++) {
		size_t which = random_below(random, 20);

		test_flavor_lock(flavor);
		REQUIRE(cubby_weak_get(cache, handles[which]) ==
			things[which]);
		test_flavor_unlock(flavor);
	}
	for (size_t i = 0; i < 20; i++)
		cubby_free(cache, things[i]);
	test_flavor_quiesce(flavor);
}

static void
handlers_free_and_borrow_at_any_moment(void **state)
{
	struct itimerval often = { { 0, 100 }, { 0, 100 } };
	const struct itimerval never = { 0 };
	uint64_t random = 1, end_ms = now_ms() + scaled(150);

	(void)state;
	join_flavor();
	cache = MAKE_RCU_CACHE(.max_objects = 2000000);
	for (size_t i = 0; i < N_POOL; i++)
		make_taken(cache, &pool[i]);
	signal(SIGALRM, replace_one);
	REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (now_ms() < end_ms || n_handled == 0)
		use_cache(&random);
	REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(look(cache).n_live == N_POOL);
	for (size_t i = 0; i < N_POOL; i++)
		REQUIRE(cubby_weak_free(cache, pool[i]) == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SOME_CASES(free_of_one_object_comes_back_by_itself),
		FRONT_CASES(free_of_one_object_comes_back_by_itself),
		SOME_CASES(free_of_one_object_again_and_again_comes_back),
		SOME_CASES(thread_exit_with_a_partial_sheaf_leaves_it),
		FRONT_CASES(thread_exit_with_a_partial_sheaf_leaves_it),
		THREAD_CASES(thread_exit_after_unregistering_leaves_its_sheaf),
		FRONT_CASES(thread_exit_after_unregistering_leaves_its_sheaf),
		THREAD_CASE(free_by_offline_thread_comes_back, TEST_QSBR,
			    "_qsbr"),
		POLL_CASE(free_by_offline_thread_comes_back, TEST_QSBR,
			  "_qsbr"),
		SOME_CASES(sheaf_of_an_idle_thread_is_fetched),
		FRONT_CASES(sheaf_of_an_idle_thread_is_fetched),
		THREAD_CASES(free_by_a_thousand_threads_comes_back),
		FRONT_CASES(free_by_a_thousand_threads_comes_back),
		POLL_CASE(free_by_a_thousand_threads_comes_back, TEST_MEMB,
			  "_memb"),
		THREAD_CASE(destroy_beside_ending_threads_leaves_others,
			    TEST_MEMB, "_memb"),
		FRONT_CASES(destroy_beside_ending_threads_leaves_others),
		THREAD_CASES(reclaimer_has_a_name_and_no_signals),
		THREAD_CASE(creation_leaves_the_signal_mask, TEST_MB, "_mb"),
		POLL_CASE(polled_cache_has_no_thread_of_ours, TEST_MEMB,
			  "_memb"),
		THREAD_CASES(handlers_free_and_borrow_at_any_moment),
		FRONT_CASES(handlers_free_and_borrow_at_any_moment),
	};

	return cmocka_run_group_tests_name("test_rcu_threads", tests, NULL,
					   NULL);
}
