/* SPDX-License-Identifier: MIT */
/*
 * The soak: all that watching can do, on at once, in caches of all sorts which many
 * threads use, while others validate, walk, count, trim, report and fork.  All
 * that is planted is found, once; nothing else is; and memory does not grow.
 *
 * It goes in rounds of equal work, each with caches and threads of its own: so many
 * as CUBBY_SOAK_ROUNDS says, or with CUBBY_SOAK_S=3600 for so many seconds
 * (make check-soak).  CUBBY_TEST_SEED of a round repeats it as the first one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/flavor.h"
#include "support/soak.h"
#include "support/sums.h"

#include <cubby/debug.h>

#define N_ROUNDS 15
#define ROUND_STEPS 400000 /* of all workers */
#define LIVES 4 /* threads, one after the other, of a worker in a round */
#define THREADS_PER_CORE 4
#define WORKERS_MAX 64
#define CHILD_OWNER (SOAK_OWNERS_MAX - 1) /* found first */
#define CHILD_STEPS 300
#define CHILD_SECONDS 120
#define FORK_PAUSE_US 20000
#define LOOK_PAUSE_US 300
#define NICENESS 10

/* So that no machine is too slow for it; of CUBBY_TEST_SCALE=100 and less. */
#define SECONDS_MAX 200

#define BP (&test_flavors[TEST_BP])

static struct soak_cache *shared;
static struct soak_worker workers[WORKERS_MAX], child_worker;
static unsigned n_workers;
static uint64_t n_steps; /* of a worker's thread */
static uint64_t round_seed;
static int null;
static bool is_done;
static uint64_t n_forks, n_looks;

static bool
is_over(void)
{
	return __atomic_load_n(&is_done, __ATOMIC_RELAXED);
}

static pthread_t
start(void *(*fn)(void *context), void *context)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, context) != 0)
		soak_die("no thread");
	return thread;
}

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --------------------------------- workers ------------------------------- */

static void *
live(void *context)
{
	for (uint64_t i = 0; i < n_steps; i++)
		soak_step(context);
	return NULL;
}

/* Threads come and go; what they have and know stays. */
static void *
work(void *context)
{
	for (unsigned i = 0; i < LIVES; i++)
		pthread_join(start(live, context), NULL);
	soak_end(context);
	return NULL;
}

/* ------------------------- looks at all caches --------------------------- */

/* A thread that gets no CPU for long may be in the middle of something. */
static void
allow_busy(int64_t answer, const char *what)
{
	if (answer < 0 && answer != -EBUSY)
		soak_die("%s: %s", what, cubby_error_detail());
}

static void
walk(struct cubby_cache *cache)
{
	struct cubby_walk *it;
	struct cubby_run run;
	int err = cubby_walk_create(&it, cache);

	allow_busy(err, "walk");
	while (err == 0 && cubby_walk_next(it, &run)) {
		char *last = (char *)run.first +
			     (run.n_objects - 1) * run.stride_bytes;

		if (cubby_cache_of(run.first) != cache ||
		    cubby_cache_of(last) != cache)
			soak_die("a run of %s that is none",
				 cubby_cache_name(cache));
	}
	if (err == 0)
		cubby_walk_destroy(it);
}

static void
count(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	SOAK_REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0,
		     "no statistics");
	SOAK_REQUIRE(sum_of_cells(&stats) == stats.n_cells &&
			     stats.populated_bytes <= stats.committed_bytes &&
			     stats.n_live <= stats.n_live_peak,
		     "statistics do not add up");
}

static void
verify(struct cubby_cache *cache)
{
	size_t n = cubby_cache_verify(cache);

	if (n > 1 || (n == 1 && strstr(cubby_error_detail(),
				       "in the middle of") == NULL))
		soak_die("verify: %s", cubby_error_detail());
}

static int
look(struct cubby_cache *cache, void *context)
{
	uint64_t *random = context;

	n_looks++;
	switch (test_random(random) % 12) {
	case 0:
	case 1:
		allow_busy(cubby_cache_validate(cache), "validate");
		break;
	case 2:
		walk(cache);
		break;
	case 3:
	case 4:
		count(cache);
		break;
	case 5:
		verify(cache);
		break;
	case 6:
		allow_busy(cubby_cache_shrink(cache, NULL), "shrink");
		break;
	case 7:
		allow_busy(cubby_cache_report_users(cache, null), "users");
		break;
	case 8:
		allow_busy(cubby_cache_report_live(cache, null), "live");
		break;
	default: /* -EINVAL where others reclaim */
		(void)cubby_rcu_poll(cache);
	}
	return 0;
}

static void *
look_at_all(void *context)
{
	uint64_t random = round_seed + SOAK_OWNERS_MAX + (uintptr_t)context;

	while (!is_over()) {
		cubby_cache_for_each(look, &random);
		if (test_random(&random) % 32 == 0)
			allow_busy(cubby_shrink_all(NULL), "shrink all");
		usleep(LOOK_PAUSE_US);
	}
	return NULL;
}

/* ---------------------------------- forks -------------------------------- */

static int
validate(struct cubby_cache *cache, void *context)
{
	(void)context;
	allow_busy(cubby_cache_validate(cache), "validate");
	count(cache);
	return 0;
}

static void __attribute__((noreturn)) be_child(uint64_t seed)
{
	soak_plants_in_child();
	soak_begin(&child_worker, CHILD_OWNER, shared, seed);
	for (unsigned i = 0; i < CHILD_STEPS; i++)
		soak_step(&child_worker);
	soak_end(&child_worker);
	cubby_cache_for_each(validate, NULL);
	_exit(0);
}

static void *
fork_often(void *context)
{
	uint64_t random = round_seed + SOAK_OWNERS_MAX + (uintptr_t)context;
	int status;
	pid_t pid;

	while (!is_over()) {
		usleep((useconds_t)(test_random(&random) % FORK_PAUSE_US));
		test_flavor_before_fork(BP);
		pid = fork();
		test_flavor_after_fork(BP, pid == 0);
		if (pid == 0)
			be_child(test_random(&random));
		if (pid < 0)
			soak_die("no fork");
		status = test_wait_child(pid, CHILD_SECONDS);
		if (status != 0)
			soak_die("a fork child: status %d", status);
		n_forks++;
	}
	return NULL;
}

/* ---------------------------------- rounds ------------------------------- */

static void
run_round(void)
{
	pthread_t threads[WORKERS_MAX], looker, forker;
	bool forks = !test_on_tsan(); /* which allows no such child */
	uint64_t random = round_seed;

	soak_set_seed(round_seed);
	is_done = false;
	for (size_t i = 0; i < soak_n_sorts; i++)
		soak_open(&shared[i], &soak_sorts[i], soak_sorts[i].name,
			  false, &random);
	for (unsigned i = 0; i < n_workers; i++) {
		soak_begin(&workers[i], i, shared, test_random(&random));
		threads[i] = start(work, &workers[i]);
	}
	looker = start(look_at_all, (void *)1);
	if (forks)
		forker = start(fork_often, (void *)2);
	for (unsigned i = 0; i < n_workers; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&is_done, true, __ATOMIC_RELAXED);
	pthread_join(looker, NULL);
	if (forks)
		pthread_join(forker, NULL);
	for (size_t i = 0; i < soak_n_sorts; i++)
		soak_close(&shared[i]);
	soak_count_plants();
}

/* ---------------------------------- memory ------------------------------- */

/* What may come and go by itself: malloc, stacks of threads, page tables. */
#define RESIDENT_SLACK_KB 4096
#define MAPPINGS_SLACK 64
#define ROUNDS_TO_WARM_UP 3

struct memory {
	uint64_t resident_kb, n_mappings;
};

static struct memory
measure(void)
{
	struct memory memory = { 0 };
	char line[512];
	FILE *file = fopen("/proc/self/status", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "VmRSS:", 6) == 0)
			memory.resident_kb = strtoull(line + 6, NULL, 10);
	if (file != NULL)
		fclose(file);
	file = fopen("/proc/self/maps", "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		memory.n_mappings += strchr(line, '\n') != NULL;
	if (file != NULL)
		fclose(file);
	return memory;
}

static void
compare_memory(const struct memory *early, const struct memory *late)
{
	printf("# %llu KB resident, %llu later; %llu mappings, %llu later\n",
	       (unsigned long long)early->resident_kb,
	       (unsigned long long)late->resident_kb,
	       (unsigned long long)early->n_mappings,
	       (unsigned long long)late->n_mappings);
	if (test_is_slow()) /* keeps what is freed */
		return;
	if (late->resident_kb > early->resident_kb + RESIDENT_SLACK_KB ||
	    late->n_mappings > early->n_mappings + MAPPINGS_SLACK)
		soak_die("memory grows");
}

/* ---------------------------------- the soak ----------------------------- */

static uint64_t
number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* A larger scale means more rounds, a smaller one shorter ones. */
static void
plan(uint64_t *ret_n_rounds, uint64_t *ret_end_ms)
{
	uint64_t n_rounds = number_of("CUBBY_SOAK_ROUNDS", N_ROUNDS);
	uint64_t seconds = number_of("CUBBY_SOAK_S", 0);
	uint64_t n = test_scaled(ROUND_STEPS);

	*ret_n_rounds = n_rounds;
	*ret_end_ms = SECONDS_MAX;
	if (n > ROUND_STEPS) {
		*ret_n_rounds = test_scaled(n_rounds);
		*ret_end_ms = test_scaled(SECONDS_MAX);
		n = ROUND_STEPS;
	}
	if (seconds != 0) {
		*ret_n_rounds = UINT64_MAX;
		*ret_end_ms = seconds;
	}
	*ret_end_ms = now_ms() + 1000 * *ret_end_ms;
	n_workers = THREADS_PER_CORE * test_n_cores();
	if (n_workers > WORKERS_MAX)
		n_workers = WORKERS_MAX;
	n_steps = n / LIVES / n_workers + 1;
}

static void
soak(void)
{
	struct memory early = { 0 }, late = { 0 };
	uint64_t seed = test_seed(), n, n_rounds, end_ms;

	plan(&n_rounds, &end_ms);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	shared = test_map(soak_n_sorts * sizeof(*shared));
	soak_expect_plants();
	for (n = 0; n < n_rounds && (n == 0 || now_ms() < end_ms); n++) {
		round_seed = seed + (n << 32);
		run_round();
		late = measure();
		if (n < ROUNDS_TO_WARM_UP)
			early = late;
	}
	printf("# %llu rounds of %u threads, %llu forks, %llu looks\n",
	       (unsigned long long)n, n_workers, (unsigned long long)n_forks,
	       (unsigned long long)n_looks);
	soak_print_plants();
	compare_memory(&early, &late);
}

/* ------------------------------ what it says ------------------------------ */

/* Written when all caches are destroyed: reports of leaks would come later. */
#define LAST_LINE "soak: the end"
#define LINES_KEPT 60
#define LINE_BYTES 512

/*
 * Reports of planted misuse are many: the last ones are kept for who has to know
 * what went on before a fault, and all else is passed on.  How many came too late.
 */
static unsigned
filter(FILE *from, bool *ret_ended)
{
	static char kept[LINES_KEPT][LINE_BYTES];
	uint64_t n = 0;
	unsigned n_late = 0;
	char line[LINE_BYTES];

	*ret_ended = false;
	while (fgets(line, sizeof(line), from) != NULL) {
		if (strncmp(line, LAST_LINE, strlen(LAST_LINE)) == 0) {
			*ret_ended = true;
		} else if (strncmp(line, "cubby:", 6) == 0 && !*ret_ended) {
			memcpy(kept[n++ % LINES_KEPT], line, sizeof(line));
		} else {
			n_late += *ret_ended;
			fputs(line, stderr);
		}
	}
	for (uint64_t i = n < LINES_KEPT ? 0 : n - LINES_KEPT;
	     !*ret_ended && i < n; i++)
		fputs(kept[i % LINES_KEPT], stderr);
	return n_late;
}

static void
add_options(const char *more)
{
	const char *given = getenv("CUBBY_OPTIONS");
	char options[256];

	snprintf(options, sizeof(options), "%s%s%s", given ? given : "",
		 given && given[0] ? "," : "", more);
	setenv("CUBBY_OPTIONS", options, 1);
}

static void
what_is_planted_is_found_once_and_nothing_else_is(void **state)
{
	int fds[2], status;
	bool ended;
	unsigned n_late;
	FILE *from;
	pid_t pid;

	(void)state;
	fflush(NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Its threads are many: beside other tests they count as few. */
		errno = 0;
		if (nice(NICENESS) == -1 && errno != 0)
			test_die("nice: %s", strerror(errno));
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		soak();
		fprintf(stderr, LAST_LINE "\n");
		exit(0);
	}
	close(fds[1]);
	from = fdopen(fds[0], "r");
	assert_non_null(from);
	n_late = filter(from, &ended);
	fclose(from);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(ended);
	assert_int_equal(n_late, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_is_planted_is_found_once_and_nothing_else_is),
	};

	add_options("misuse=continue,leaks");
	return cmocka_run_group_tests_name("soak", tests, NULL, NULL);
}
