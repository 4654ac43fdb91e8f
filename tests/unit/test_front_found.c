/* SPDX-License-Identifier: MIT */
/*
 * What reviews found in magazines, each fault as the program that showed it:
 * forks at odd moments, ways out that skip returns, and bounds.
 *
 * Each case runs in a child of its own, as what it found hung or corrupted.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <signal.h>

#include "support/oracle.h"

enum {
	CHILD_TIMEOUT_S = 20,
	GRANDCHILD_TIMEOUT_S = 10,
	CHILD_SKIPS = 77,
	CHILD_OF_FINI_IS_WELL = 42,
	N_MOST = 4000,
	N_CACHES = 3
};

static struct cubby_cache *cache;
static void *objects[N_CACHES][N_MOST];

/* cmocka is not at hand in a child. */
#define CHILD_REQUIRE(condition)                                              \
	((condition) ? (void)0 :                                              \
		       test_die("%s:%d: in a child: !(%s); %s", __FILE__,     \
				__LINE__, #condition, cubby_error_detail()))

/* Run a case in a process whose first cache is yet to come. */
static void
in_child(void **state)
{
	void (*fn)(void) = (void (*)(void)) * state;
	pid_t child = fork();
	int status;

	if (child == 0) {
		fn();
		_exit(0);
	}
	status = test_wait_child(child, CHILD_TIMEOUT_S);
	if (status == CHILD_SKIPS)
		skip();
	assert_int_equal(status, 0);
}

static void
skip_if(bool condition)
{
	if (condition)
		_exit(CHILD_SKIPS);
}

static pthread_t
start(void *(*fn)(void *))
{
	pthread_t thread;

	CHILD_REQUIRE(pthread_create(&thread, NULL, fn, NULL) == 0);
	return thread;
}

static struct cubby_cache *
create(size_t object_bytes, const struct cubby_cache_attr *attr)
{
	struct cubby_cache *it = NULL;

	CHILD_REQUIRE(cubby_cache_create_sized(&it, "found", object_bytes, 0,
					       attr) == 0);
	return it;
}

static struct cubby_cache_stats
snapshot(struct cubby_cache *of)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	CHILD_REQUIRE(cubby_cache_stats_snapshot(of, &s) == 0);
	CHILD_REQUIRE(cubby_cache_verify(of) == 0);
	return s;
}

/* An object says who owns it: the place that points to it. */
static void
fill(struct cubby_cache *of, size_t n, void **places)
{
	for (size_t i = 0; i < n; i++) {
		places[i] = cubby_alloc(of);
		CHILD_REQUIRE(places[i] != NULL);
		*(void **)places[i] = &places[i];
	}
}

static void
empty(struct cubby_cache *of, size_t n, void **places)
{
	for (size_t i = 0; i < n; i++) {
		CHILD_REQUIRE(*(void **)places[i] == &places[i]);
		cubby_free(of, places[i]);
	}
}

enum { N_BEFORE_FORK = 40, N_ALLOCS = 100 };

static unsigned n_inits;
static bool is_grandchild;

static void
fork_and_wait(int expected)
{
	pid_t pid = fork();

	is_grandchild = pid == 0;
	CHILD_REQUIRE(is_grandchild ||
		      test_wait_child(pid, GRANDCHILD_TIMEOUT_S) == expected);
}

static int
fork_in_init(void *object, void *context)
{
	(void)object;
	(void)context;
	if (++n_inits == N_BEFORE_FORK)
		fork_and_wait(0);
	return 0;
}

static void
fork_inside_init_leaves_both_processes_well(void)
{
	struct cubby_cache *caches[N_CACHES] = {
		create(64, &CUBBY_CACHE_ATTR(.init = fork_in_init)),
		create(64, NULL), create(64, NULL)
	};
	void *first[N_ALLOCS];

	fill(caches[0], N_ALLOCS, first);
	CHILD_REQUIRE(n_inits >= N_BEFORE_FORK);
	CHILD_REQUIRE(snapshot(caches[0]).n_live == N_ALLOCS);
	for (size_t i = 0; i < N_MOST; i++)
		for (size_t k = 0; k < N_CACHES; k++)
			fill(caches[k], 1, &objects[k][i]);
	empty(caches[0], N_ALLOCS, first);
	for (size_t k = 0; k < N_CACHES; k++) {
		empty(caches[k], N_MOST, objects[k]);
		CHILD_REQUIRE(snapshot(caches[k]).n_live == 0);
		CHILD_REQUIRE(cubby_cache_destroy(caches[k]) == 0);
	}
}

static pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;

static void
host_prepare(void)
{
	pthread_mutex_lock(&host_mutex);
}

static void
host_done(void)
{
	pthread_mutex_unlock(&host_mutex);
}

/* More cells than a depot holds: some from the slabs each time. */
static void *
refill_with_host_mutex(void *argument)
{
	for (;;) {
		pthread_mutex_lock(&host_mutex);
		fill(cache, 2 * N_MOST, *objects);
		empty(cache, 2 * N_MOST, *objects);
		pthread_mutex_unlock(&host_mutex);
		usleep(1);
	}
	return argument;
}

static void
fork_with_a_mutex_of_the_hosts_does_not_deadlock(void)
{
	skip_if(test_on_tsan()); /* it takes locks of its own around fork */
	CHILD_REQUIRE(pthread_atfork(host_prepare, host_done, host_done) == 0);
	cache = create(64, NULL);
	start(refill_with_host_mutex);
	for (size_t i = 0; i < scaled(150); i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		CHILD_REQUIRE(waitpid(pid, NULL, 0) == pid);
	}
}

enum { N_THREADS = 4, N_ROUNDS = 10, N_IDLE = 20 };

static __thread bool ends;
static bool has_forked;
static pthread_key_t late_key;
static struct cubby_cache *shared_cache;

static void
fork_in_fini(void *object, void *context)
{
	(void)object;
	(void)context;
	if (ends && !has_forked) {
		has_forked = true;
		fork_and_wait(CHILD_OF_FINI_IS_WELL);
	}
}

static void *
own_and_look(void *argument)
{
	void *mine[N_MOST];

	for (size_t i = 0; i < N_ROUNDS; i++) {
		fill(shared_cache, N_MOST, mine);
		empty(shared_cache, N_MOST, mine);
	}
	return argument;
}

/* In the child, after Cubby's destructor: a stripe for each new thread. */
static void
start_threads_late(void *argument)
{
	pthread_t threads[N_THREADS];

	(void)argument;
	if (!is_grandchild)
		return;
	for (size_t i = 0; i < N_THREADS; i++)
		threads[i] = start(own_and_look);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	CHILD_REQUIRE(snapshot(shared_cache).n_live == 0);
	_exit(CHILD_OF_FINI_IS_WELL);
}

static void *
leave_idle_cells(void *argument)
{
	void *idle[N_IDLE];

	CHILD_REQUIRE(pthread_setspecific(late_key, &late_key) == 0);
	fill(cache, N_IDLE, idle);
	empty(cache, N_IDLE, idle);
	ends = true;
	return argument;
}

static void
fini_that_forks_as_its_thread_ends_gives_its_stripe_once(void)
{
	skip_if(test_on_tsan());     /* no threads after such a fork */
	add_options("front=thread"); /* CPUs' stripes are never given */
	skip_if(!has_magazines());
	cache = create(60000, &CUBBY_CACHE_ATTR(.fini = fork_in_fini,
						.max_idle_bytes = 64));
	shared_cache = create(64, NULL);
	CHILD_REQUIRE(pthread_key_create(&late_key, start_threads_late) == 0);
	pthread_join(start(leave_idle_cells), NULL);
	CHILD_REQUIRE(has_forked);
}

static void
end_thread(int signal)
{
	(void)signal;
	pthread_exit(NULL);
}

static size_t n_pairs;

static void *
alloc_for_ever(void *argument)
{
	for (;;) {
		cubby_free(cache, cubby_alloc(cache));
		__atomic_add_fetch(&n_pairs, 1, __ATOMIC_RELAXED);
	}
	return argument;
}

static void
pthread_exit_inside_alloc_keeps_shrink_walk_and_destroy(void)
{
	struct cubby_walk *walk;

	skip_if(test_on_tsan()); /* its signals wait for libc */
	cache = create(64, NULL);
	signal(SIGUSR1, end_thread);
	for (size_t i = 0; i < scaled(300); i++) {
		pthread_t thread;

		__atomic_store_n(&n_pairs, 0, __ATOMIC_RELAXED);
		thread = start(alloc_for_ever);
		/* Past its first exchange, where per CPU it must not end. */
		while (__atomic_load_n(&n_pairs, __ATOMIC_RELAXED) < 1000)
			usleep(100);
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
		CHILD_REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	}
	CHILD_REQUIRE(cubby_walk_create(&walk, cache) == 0);
	cubby_walk_destroy(walk);
	/* What a thread had just allocated or was about to free is live. */
	CHILD_REQUIRE(snapshot(cache).n_live <= scaled(300));
	CHILD_REQUIRE(cubby_cache_destroy_force(cache) == 0);
}

static jmp_buf before_destroy;

static void
leave(const struct cubby_misuse *misuse, void *context)
{
	(void)misuse;
	(void)context;
	longjmp(before_destroy, 1);
}

static void
misuse_hook_that_leaves_destroy_keeps_the_cache_fast(void)
{
	skip_if(!has_magazines());
	cache = create(64, NULL);
	fill(cache, 1, objects[0]);
	empty(cache, 1, objects[0]);
	empty(cache, 1, objects[0]);
	cubby_misuse_set_hook(leave, NULL);
	if (setjmp(before_destroy) == 0) {
		(void)!cubby_cache_destroy(cache);
		CHILD_REQUIRE(!"destroy meets the double free");
	}
	fill(cache, N_MOST, objects[0]);
	empty(cache, N_MOST, objects[0]);
	CHILD_REQUIRE(snapshot(cache).n_direct_allocs < N_MOST / 10);
	CHILD_REQUIRE(cubby_cache_destroy(cache) == 0);
}

/* What one depot holds too much, others must not; when it is gone they may. */
static void
shrink_of_one_cache_gives_others_their_bound_back(void)
{
	struct cubby_cache *full, *other;
	uint64_t usual;

	add_options("idle=1");
	skip_if(!has_magazines());
	full = create(64, NULL);
	other = create(64, NULL);
	usual = snapshot(other).depot_bound;
	fill(full, N_MOST, objects[0]);
	empty(full, N_MOST, objects[0]);
	fill(full, N_MOST, objects[0]); /* a refill counts what is left */
	empty(full, N_MOST, objects[0]);
	CHILD_REQUIRE(snapshot(full).n_idle_in_depot > 0);
	CHILD_REQUIRE(snapshot(other).depot_bound < usual);
	CHILD_REQUIRE(cubby_cache_shrink(full, NULL) == 0);
	CHILD_REQUIRE(snapshot(other).depot_bound == usual);
}

static void
free_in_slabs_of_few_cells_does_not_drop_pages_each_time(void)
{
	uint64_t flags = CUBBY_CACHE_NO_MAGAZINES;
	size_t n_small = 0;

	for (size_t bytes = 17000; bytes < 34000; bytes += 4000) {
		struct cubby_cache_stats s;

		cache = create(bytes, &CUBBY_CACHE_ATTR(.flags = flags));
		(void)!cubby_alloc(cache);
		for (size_t k = 0; k < 1000; k++)
			cubby_free(cache, cubby_alloc(cache));
		s = snapshot(cache);
		if (s.cells_per_slab == 2 || s.cells_per_slab == 3) {
			n_small++;
			CHILD_REQUIRE(s.n_thinned <= 10);
		}
		CHILD_REQUIRE(cubby_cache_destroy_force(cache) == 0);
	}
	CHILD_REQUIRE(n_small > 0);
}

static void
free_with_capacity_1_counts_the_magazines_as_idle_bytes(void)
{
	enum { COST = 8 + 1024 /* of a magazine */, BOUND_BYTES = 262144 };

	skip_if(!has_magazines());
	cache = create(8, &CUBBY_CACHE_ATTR(.magazine_capacity = 1));
	fill(cache, N_MOST / 4, objects[0]);
	empty(cache, N_MOST / 4, objects[0]);
	CHILD_REQUIRE(snapshot(cache).n_idle_in_depot * COST <=
		      BOUND_BYTES + 4 * COST);
	CHILD_REQUIRE(cubby_cache_destroy(cache) == 0);
}

#define CASE(fn)                                                              \
	{                                                                     \
#fn, in_child, NULL, NULL, fn                                 \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(fork_inside_init_leaves_both_processes_well),
		CASE(fork_with_a_mutex_of_the_hosts_does_not_deadlock),
		CASE(fini_that_forks_as_its_thread_ends_gives_its_stripe_once),
		CASE(pthread_exit_inside_alloc_keeps_shrink_walk_and_destroy),
		CASE(misuse_hook_that_leaves_destroy_keeps_the_cache_fast),
		CASE(shrink_of_one_cache_gives_others_their_bound_back),
		CASE(free_in_slabs_of_few_cells_does_not_drop_pages_each_time),
		CASE(free_with_capacity_1_counts_the_magazines_as_idle_bytes),
	};

	return cmocka_run_group_tests_name("test_front_found", tests, NULL,
					   NULL);
}
