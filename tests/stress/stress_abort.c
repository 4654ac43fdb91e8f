/* SPDX-License-Identifier: MIT */
/*
 * An interruption at every instruction: of every restartable sequence, the
 * library's and those that were compiled into this program, and of the code
 * between them that handlers may interrupt.
 *
 * Each way through alloc and free is traced once.  Then, for every instruction
 * on it and every kind of interruption, a cache is brought into the state in
 * which the call takes that way, the call is interrupted there, and everything
 * is counted.  An interruption allocates and frees on the same cache,
 * migrates, makes the cache stand still, or forks; where there are handles it
 * uses them, and where frees wait for a grace period it has one pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define CUBBY_INLINE
#include "support/light.h"

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include "stress/abort.h"
#include "stress/abort_weak.h"

#define N_BULK 10
#define N_KEPT 2
#define N_SWING (3 * CAPACITY + 1)
#define MISSES_MAX 20 /* one in so many points */
#define N_PAIRS 200   /* of each way */
#define WEAK_PART 4   /* caches with handles are dear: so much less */
#define CHILD_SECONDS 60
#define DEADLOCK_SECONDS 250
#define SECTIONS_MAX 256
#define QUICK_SECTIONS 3
#define SECTIONS_LEFT_OUT 2 /* compilers copy code to where nothing leads */

static bool is_child;
static uint64_t n_strikes, n_in_sections, n_twice, n_missed;
static bool is_entered[SECTIONS_MAX];
static bool was_quick; /* with handles, in one range */
static uint64_t seed;

/* ------------------------------ interruptions ----------------------------- */

static void
do_nothing(void)
{
}

static void
alloc_one(void)
{
	alloc_held(1);
	free_held(1);
}

/* Every magazine of the block is another one afterwards. */
static void
swing(void)
{
	alloc_held(N_SWING);
	free_held(N_SWING);
}

static void
keep_some(void)
{
	alloc_held(N_KEPT);
}

static void
give_some(void)
{
	free_held(n_held < CAPACITY + 1 ? n_held : CAPACITY + 1);
}

static void
migrate(void)
{
	go_to_cpu(cpus[1]);
}

static void
swing_elsewhere(void)
{
	go_to_cpu(cpus[1]);
	swing();
	go_to_cpu(cpus[0]);
}

static void
shrink(void)
{
	was_busy(cubby_cache_shrink(light.cache, NULL));
}

static void
walk(void)
{
	struct cubby_walk *it;
	struct cubby_run run;
	size_t n = 0;

	if (was_busy(cubby_walk_create(&it, light.cache)))
		return;
	while (cubby_walk_next(it, &run))
		n += run.n_objects;
	cubby_walk_destroy(it);
	die_unless(n >= n_held && n <= n_held + n_passing,
		   "a walk sees what is not live, or not what is");
}

static void
grow_and_shrink(void)
{
	swing();
	shrink();
	keep_some();
}

/* Both go on with the call; the child ends when it has counted everything. */
static void
fork_here(void)
{
	pid_t child = is_child ? -1 : fork();

	is_child |= child == 0;
	if (child > 0)
		die_unless(test_wait_child(child, CHILD_SECONDS) == 0,
			   "a child");
}

static const struct {
	void (*act)(void);
	unsigned per_mille; /* of the points; ten times that in sections */
} interruptions[] = {
	{ do_nothing, 100 },
	{ alloc_one, 100 },
	{ swing, 100 },
	{ keep_some, 100 },
	{ give_some, 100 },
	{ migrate, 30 },
	{ swing_elsewhere, 30 },
	{ shrink, 100 },
	{ walk, 50 },
	{ grow_and_shrink, 50 },
	{ fork_here, 5 },
	/* Where there are handles, or a flavour. */
	{ free_one_taken, 50 },
	{ free_some_taken, 50 },
	{ use_handles, 50 },
	{ wait_for_all, 50 },
	{ poll_here, 50 },
};

#define N_INTERRUPTIONS (sizeof(interruptions) / sizeof(interruptions[0]))
#define N_WEAK_INTERRUPTIONS 5

static void
interrupt(void)
{
	int saved = errno;

	interruptions[interruption].act();
	interruption = next_interruption;
	errno = saved;
}

/* ---------------------------------- calls --------------------------------- */

static void __attribute__((noinline)) call_alloc(void)
{
	passing[0] = (cubby_alloc)(light.cache);
}

static void __attribute__((noinline)) call_alloc_inline(void)
{
	passing[0] = cubby_alloc(light.cache);
}

static void __attribute__((noinline)) call_zalloc(void)
{
	passing[0] = cubby_zalloc(light.cache);
}

static void __attribute__((noinline)) call_alloc_bulk(void)
{
	die_unless(cubby_alloc_bulk(light.cache, N_BULK, passing) == 0,
		   "no bulk");
}

static void __attribute__((noinline)) call_free(void)
{
	(cubby_free)(light.cache, passing[0]);
}

static void __attribute__((noinline)) call_free_inline(void)
{
	cubby_free(light.cache, passing[0]);
}

static void __attribute__((noinline)) call_free_any(void)
{
	cubby_free_any(passing[0]);
}

static void __attribute__((noinline)) call_free_bulk(void)
{
	cubby_free_bulk(light.cache, N_BULK, passing);
}

/* ----------------------------------- ways --------------------------------- */

#define ALLOC(call, state)                                                    \
	{                                                                     \
#call " when it " #state, call, state, 0, false, 1, NULL,     \
			UNTAKEN                                               \
	}
#define FREE(call, state)                                                     \
	{                                                                     \
#call " when it " #state, call, state, 0, true, 1, NULL,      \
			UNTAKEN                                               \
	}

#define WEAK(kind, stage, call, state)                                        \
	{                                                                     \
#kind ", " #stage ": " #call " when it " #state, call, state, \
			0, true, 1, &kind, stage                              \
	}
#define ROUND(kind, call, state)                                              \
	{                                                                     \
#kind ": " #call " when it " #state, call, state, 0, true, 0, \
			&kind, UNTAKEN                                        \
	}

static const struct way ways[] = {
	ALLOC(call_alloc, has_some),
	ALLOC(call_alloc, has_one_in_previous),
	ALLOC(call_alloc, has_one_in_depot),
	ALLOC(call_alloc, has_none),
	ALLOC(call_alloc_inline, has_some),
	ALLOC(call_alloc_inline, has_one_in_previous),
	ALLOC(call_zalloc, has_some),
	ALLOC(call_zalloc, has_one_in_depot),
	{ "with init, it has none", call_alloc, has_none, ORACLE_INIT, false,
	  1, NULL, UNTAKEN },
	{ "bulk alloc", call_alloc_bulk, has_some, 0, false, N_BULK, NULL,
	  UNTAKEN },
	{ "bulk alloc of none", call_alloc_bulk, has_none, 0, false, N_BULK,
	  NULL, UNTAKEN },
	FREE(call_free, has_some),
	FREE(call_free, has_room_in_previous),
	FREE(call_free, has_no_room),
	FREE(call_free, has_nothing_loaded),
	FREE(call_free, overflows),
	FREE(call_free_inline, has_some),
	FREE(call_free_inline, has_room_in_previous),
	FREE(call_free_any, has_some),
	FREE(call_free_any, has_no_room),
	{ "bulk free", call_free_bulk, has_some, 0, true, N_BULK, NULL,
	  UNTAKEN },
	{ "bulk free that overflows", call_free_bulk, overflows, 0, true,
	  N_BULK, NULL, UNTAKEN },
	WEAK(rcu, TAKEN, call_free, has_room_in_sheaf),
	WEAK(rcu, TAKEN, call_free, has_full_sheaf),
	WEAK(rcu, TAKEN, call_free, has_no_sheaf),
	WEAK(rcu, TAKEN, call_free_any, has_room_in_sheaf),
	WEAK(rcu, TAKEN, call_weak_free, has_room_in_sheaf),
	WEAK(rcu, UNTAKEN, call_free, has_some),
	WEAK(rcu, UNTAKEN, call_free, has_no_room),
	WEAK(rcu, UNTAKEN, call_free_rcu, has_full_sheaf),
	WEAK(rcu_dtor, TAKEN, call_free, has_full_sheaf),
	WEAK(rcu_dtor, UNTAKEN, call_free, has_room_in_previous),
	WEAK(rcu_strong, TAKEN, call_free, has_room_in_sheaf),
	WEAK(rcu_strong, UNTAKEN, call_free, has_some),
	WEAK(rcu_strong, TAKEN, call_ref_put, has_full_sheaf),
	WEAK(rcu_strong, DYING, call_ref_put, has_room_in_sheaf),
	WEAK(strong, TAKEN, call_free, has_some),
	WEAK(strong, TAKEN, call_weak_free, has_no_room),
	WEAK(strong_dtor, UNTAKEN, call_ref_put, has_some),
	WEAK(strong_dtor, DYING, call_ref_put, has_room_in_previous),
	WEAK(reuse, TAKEN, call_free, has_some),
	WEAK(reuse, TAKEN, call_free, has_no_room),
	WEAK(reuse, TAKEN, call_free_any, has_some),
	WEAK(reuse, TAKEN, call_weak_free, has_some),
	WEAK(reuse, UNTAKEN, call_free, has_some),
	WEAK(no_handles, UNTAKEN, call_free, has_some),
	WEAK(no_handles, UNTAKEN, call_free_rcu, has_room_in_sheaf),
	ROUND(rcu, call_barrier, has_sheaf_that_waits),
	ROUND(rcu_dtor, call_barrier, has_room_in_sheaf),
	ROUND(rcu_strong, call_poll, has_sheaf_that_waits),
};

#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

static int
on_init(void *object, void *context)
{
	(void)object;
	(void)context;
	return 0;
}

static void
make_cache(const struct way *way)
{
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.magazine_capacity = CAPACITY,
				 .max_idle_bytes = IDLE_BYTES,
				 .init = way->callbacks ? on_init : NULL);

	way_name = way->name;
	kind = way->kind;
	if (kind != NULL)
		set_attr(&attr);
	die_unless(cubby_cache_create_sized(&light.cache, "light",
					    OBJECT_BYTES, 0, &attr) == 0,
		   "no cache");
	light.last = OBJECT_BYTES / sizeof(uint64_t) - 1;
	was_quick |= light.cache->weak.is_quick;
	n_freed = n_waited = n_dtor = 0;
}

/* One object nearer to the state. */
static void
go_nearer(const struct way *way)
{
	if (waits(way))
		free_taken(1);
	else if (way->frees)
		free_held(1);
	else
		alloc_held(1);
}

/* A new cache in the state that the way needs, with objects that are held. */
static void
prepare(const struct way *way)
{
	go_to_cpu(cpus[0]);
	make_cache(way);
	alloc_held(HELD_MAX / 2);
	if (way->is_ready == has_nothing_loaded)
		shrink();
	else if (way->frees)
		free_held(1);
	else if (!way->callbacks) /* init has yet to be run on what comes */
		free_held(HELD_MAX / 4);
	for (size_t n = 0; !way->is_ready(); n++) {
		die_unless(n < HELD_MAX, "the state cannot be reached");
		go_nearer(way);
	}
	n_passing = way->n;
	for (size_t i = 0; way->frees && i < way->n; i++)
		passing[i] = let_go();
	if (kind != NULL)
		prepare_object(way);
}

/* Every object is where it belongs, and nothing else is. */
static void
check(const struct way *way)
{
	const struct front *front = &light.cache->front;

	go_to_cpu(cpus[0]);
	for (size_t i = 0; !way->frees && i < way->n; i++)
		hold(passing[i]);
	n_passing = 0;
	die_unless(!cubby__percpu_works ||
			   cubby__percpu_n_in_hand(
				   front->block, &front->n_in_hand_rest) == 0,
		   "something is in hand");
	die_unless(cubby_cache_verify(light.cache) == 0, "verify");
	walk();
	check_counts(false);
	if (kind != NULL)
		check_weak();
	free_held(n_held);
	die_unless(cubby_cache_shrink(light.cache, NULL) == 0, "shrink");
	die_unless(cubby_cache_verify(light.cache) == 0, "verify at the end");
	die_unless(cubby_cache_destroy(light.cache) == 0, "destroy");
	die_unless(kind == NULL || !kind->has_dtor || n_dtor == n_freed,
		   "dtor was not called for each");
}

/* ---------------------------------- cases --------------------------------- */

/* Once, or twice if `then` is a point too. */
static void
strike(const struct way *way, uintptr_t at, uintptr_t then)
{
	uint64_t n_aborts = cubby__percpu_n_aborts();
	unsigned n_hits;

	first_interruption = interruption;
	prepare(way);
	n_hits = probe_strike(way->call, at, then, interrupt);
	n_missed += n_hits == 0;
	n_twice += n_hits == 2;
	n_strikes += n_hits;
	if (n_hits != 0 && probe_section_of(at) != NULL &&
	    cubby__percpu_works) {
		n_in_sections++;
		die_unless(cubby__percpu_n_aborts() > n_aborts,
			   "the abort was not counted");
	}
	check(way);
	if (is_child)
		_exit(0);
}

/* Fewer of the points where caches are dear. */
static bool
is_chosen(const struct way *way, uintptr_t at, unsigned per_mille)
{
	if (probe_section_of(at) != NULL)
		per_mille *= 10;
	if (way->kind != NULL)
		per_mille /= WEAK_PART;
	return test_random(&seed) % 1000 < test_scaled(per_mille);
}

static size_t
n_interruptions(const struct way *way)
{
	return N_INTERRUPTIONS -
	       (way->kind == NULL ? N_WEAK_INTERRUPTIONS : 0);
}

static void
trace(const struct way *way)
{
	prepare(way);
	probe_trace(way->call);
	check(way);
	alarm(DEADLOCK_SECONDS); /* of each way */
	die_unless(probe.n_points > 10, "no points");
	for (size_t i = 0; i < probe.n_points; i++)
		for (size_t k = 0; k < probe_n_sections(); k++)
			is_entered[k] |= probe.points[i] ==
					 __start___rseq_cs_ptr_array[k]->start;
}

/*
 * A sequence that no way comes by is one that nothing here interrupts.  Where
 * cells are in chunks there is no quick way to free.
 */
static void
check_that_all_sections_were_entered(void)
{
	size_t n_left_out = SECTIONS_LEFT_OUT +
			    (was_quick ? 0 : QUICK_SECTIONS);
	size_t n = 0;

	for (size_t k = 0; k < probe_n_sections(); k++)
		n += is_entered[k];
	printf("# %zu of %zu sections were entered\n", n, probe_n_sections());
	assert_true(n > 0 && n + n_left_out >= probe_n_sections());
}

static void
report(void)
{
	printf("# %llu interruptions, %llu of them in sections, %llu second "
	       "ones, %llu calls without\n",
	       (unsigned long long)n_strikes,
	       (unsigned long long)n_in_sections, (unsigned long long)n_twice,
	       (unsigned long long)n_missed);
	assert_true(n_missed <= n_strikes / MISSES_MAX);
	assert_true(n_in_sections != 0 || !cubby__percpu_works);
	n_strikes = n_in_sections = n_twice = n_missed = 0;
}

static void
skip_if_slow(void)
{
	/* With sanitizers and emulators the text is theirs. */
	if (test_is_slow() || !cubby__stripe_works())
		skip();
}

/* The first cache decides for a front end. */
static int
setup(void **state)
{
	int err = cubby_cache_create_sized(&light.cache, "first", OBJECT_BYTES,
					   0, NULL);

	(void)state;
	probe.no_aborts = !cubby__percpu_works;
	return err != 0 || cubby_cache_destroy(light.cache) != 0;
}

static void
interruption_at_every_instruction_keeps_owners(void **state)
{
	(void)state;
	skip_if_slow();
	for (size_t w = 0; w < N_WAYS; w++) {
		trace(&ways[w]);
		for (size_t i = 0; i < probe.n_points; i++)
			for (unsigned k = 0; k < n_interruptions(&ways[w]);
			     k++) {
				interruption = k;
				if (is_chosen(&ways[w], probe.points[i],
					      interruptions[k].per_mille))
					strike(&ways[w], probe.points[i], 0);
			}
	}
	if (cubby__percpu_works)
		check_that_all_sections_were_entered();
	report();
}

static uint64_t
n_pairs(const struct way *way)
{
	return test_scaled(N_PAIRS) / (way->kind != NULL ? WEAK_PART : 1);
}

/* At the same place again, or at one that the way comes by later. */
static void
two_interruptions_of_one_call_keep_owners(void **state)
{
	(void)state;
	skip_if_slow();
	for (size_t w = 0; w < N_WAYS; w++) {
		trace(&ways[w]);
		for (uint64_t n = n_pairs(&ways[w]); n > 0; n--) {
			size_t i = test_random(&seed) % probe.n_points;
			size_t j = i +
				   test_random(&seed) % (probe.n_points - i);

			interruption = test_random(&seed) %
				       n_interruptions(&ways[w]);
			next_interruption = test_random(&seed) %
					    n_interruptions(&ways[w]);
			strike(&ways[w], probe.points[i], probe.points[j]);
		}
	}
	assert_true(n_twice > n_strikes / 4);
	report();
}

static void
choose_cpus(void)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		test_die("no affinity");
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpus[n++] = i;
	if (n == 1)
		cpus[1] = cpus[0];
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			interruption_at_every_instruction_keeps_owners),
		cmocka_unit_test(two_interruptions_of_one_call_keep_owners),
	};

	seed = test_seed();
	choose_cpus();
	alarm(DEADLOCK_SECONDS);
	if (!test_is_slow() && !probe_init())
		test_die("the text cannot be written");
	return cmocka_run_group_tests_name("stress_abort", tests, setup, NULL);
}
#else
static void
interruption_without_breakpoints_is_skipped(void **state)
{
	(void)state;
	skip();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interruption_without_breakpoints_is_skipped),
	};

	return cmocka_run_group_tests_name("stress_abort", tests, NULL, NULL);
}
#endif
