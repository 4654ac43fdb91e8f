/* SPDX-License-Identifier: MIT */
/*
 * The C wrapper of Google Benchmark: one run of gb_main() over benchmarks that
 * write down what they saw; then each case looks at that, or at the JSON that
 * the run left.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../bench/gb.h"

enum {
	N_ITERATIONS = 1000,
	N_REPETITIONS = 3,
	N_THREADS = 2,
	BATCH = 256,
	PAUSE_MICROSECONDS = 200000,
	JSON_BYTES_MAX = 1 << 18
};

static const double MANUAL_SECONDS = 0.25;

/* ------------------------- what the benchmarks saw ------------------------ */

static struct {
	size_t n_loop;
	int64_t n_after_loop;
	void *arg;
} seen_loop;

static size_t seen_batched;
static size_t n_repeated;
static int64_t seen_args[2][2];
static size_t n_args;
static int64_t seen_ranges[16];
static size_t n_ranges;
static int seen_threads[N_THREADS];
static int seen_n_threads;
static size_t seen_after_skip = SIZE_MAX;
static size_t seen_hooks[4];
static size_t n_hooks;
static int64_t seen_hook_range;

static int exit_status;
static char json[JSON_BYTES_MAX];

static void
spin(struct gb_state *state)
{
	size_t n = gb_start(state);

	for (size_t i = 0; i < n; i++)
		GB_KEEP(i);
	gb_stop(state);
}

static void
bench_loop(struct gb_state *state, void *arg)
{
	size_t n = gb_start(state);

	for (size_t i = 0; i < n; i++)
		seen_loop.n_loop++;
	gb_stop(state);
	seen_loop.n_after_loop = gb_n_iterations(state);
	seen_loop.arg = arg;
}

static void
bench_batch(struct gb_state *state, void *arg)
{
	(void)arg;
	while (gb_batch(state, BATCH))
		seen_batched += BATCH;
}

static void
bench_repeated(struct gb_state *state, void *arg)
{
	(void)arg;
	spin(state);
	n_repeated++;
	gb_counter(state, "turn", (double)n_repeated, GB_PLAIN);
}

static void
bench_args(struct gb_state *state, void *arg)
{
	(void)arg;
	spin(state);
	seen_args[n_args][0] = gb_range(state, 0);
	seen_args[n_args][1] = gb_range(state, 1);
	n_args++;
}

static void
bench_ranges(struct gb_state *state, void *arg)
{
	(void)arg;
	spin(state);
	gb_complexity_n(state, gb_range(state, 0));
	seen_ranges[n_ranges++] = gb_range(state, 0);
}

static void
bench_threads(struct gb_state *state, void *arg)
{
	(void)arg;
	spin(state);
	__atomic_add_fetch(&seen_threads[gb_thread_index(state)], 1,
			   __ATOMIC_RELAXED);
	__atomic_store_n(&seen_n_threads, gb_n_threads(state),
			 __ATOMIC_RELAXED);
	gb_counter(state, "sum", 21, GB_PLAIN);
	gb_counter(state, "average", 21, GB_AVERAGE_THREADS);
}

static void
bench_manual(struct gb_state *state, void *arg)
{
	(void)arg;
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, MANUAL_SECONDS);
	gb_stop(state);
	gb_counter(state, "rate", 3, GB_RATE);
	gb_counter(state, "inverse", 4, GB_INVERT);
	gb_counter(state, "inverse_rate", 1, GB_RATE | GB_INVERT);
	gb_counter(state, "each", 5, GB_ITERATION_INVARIANT);
	gb_counter(state, "per_iteration", 6, GB_AVERAGE_ITERATIONS);
	gb_items_processed(state, 7);
	gb_bytes_processed(state, 8);
	gb_label(state, "a label");
}

static void
bench_paused(struct gb_state *state, void *arg)
{
	size_t n = gb_start(state);

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		gb_pause(state);
		usleep(PAUSE_MICROSECONDS);
		gb_resume(state);
	}
	gb_stop(state);
}

static void
bench_skipped(struct gb_state *state, void *arg)
{
	(void)arg;
	gb_skip_with_error(state, "nothing to do");
	seen_after_skip = gb_start(state);
	gb_stop(state);
}

static void
note_hook(struct gb_state *state, void *arg)
{
	seen_hook_range = gb_range(state, 0);
	seen_hooks[n_hooks++] = (size_t)arg;
}

/* ------------------------------ the one run ------------------------------- */

static struct gb_bench *
add(const char *name, gb_fn fn)
{
	struct gb_bench *bench = gb_register(name, fn, &seen_loop);

	gb_iterations(bench, N_ITERATIONS);
	return bench;
}

static void
add_with_args(void)
{
	static const char *const names[] = { "width", "height" };
	static const int64_t first[] = { 3, 4 };
	static const int64_t second[] = { 5, 6 };
	static const int64_t limits[] = { 1, 64 };
	struct gb_bench *bench = add("args", bench_args);

	gb_arg_names(bench, 2, names);
	gb_args(bench, 2, first);
	gb_args(bench, 2, second);

	bench = add("ranges", bench_ranges);
	gb_range_multiplier(bench, 4);
	gb_ranges(bench, 1, limits);
	gb_arg(bench, 100);
	gb_arg_range(bench, 200, 800);
	gb_complexity(bench, GB_O_1);
}

static void
add_all(void)
{
	struct gb_bench *bench;

	gb_context("wrapper", "in C");
	add("loop", bench_loop);
	add("batch", bench_batch);
	add_with_args();

	bench = add("repeated", bench_repeated);
	gb_repetitions(bench, N_REPETITIONS);
	gb_aggregates_only(bench);
	gb_statistic(bench, GB_STATISTIC_MIN);
	gb_statistic(bench, GB_STATISTIC_MAX);
	gb_statistic(bench, GB_STATISTIC_P99);

	bench = add("threads", bench_threads);
	gb_threads(bench, N_THREADS);
	gb_real_time(bench);
	bench = add("thread_range", bench_loop);
	gb_thread_range(bench, 1, 1);
	gb_process_cpu_time(bench);

	bench = gb_register("manual", bench_manual, NULL);
	gb_iterations(bench, 2);
	gb_manual_time(bench);
	gb_unit(bench, GB_MILLISECOND);
	bench = gb_register("paused", bench_paused, NULL);
	gb_iterations(bench, 1);
	gb_real_time(bench);
	gb_unit(bench, GB_MICROSECOND);

	add("skipped", bench_skipped);
	bench = gb_register("timed", bench_batch, NULL);
	gb_min_time(bench, 0.01);
	gb_min_warmup_time(bench, 0.01);

	bench = gb_register("hooked", bench_ranges, NULL);
	gb_iterations(bench, 1);
	gb_arg(bench, 77);
	gb_setup(bench, note_hook, (void *)1);
	gb_teardown(bench, note_hook, (void *)2);
}

static int
run_all(void **test_state)
{
	char path[] = "/tmp/test_gb.XXXXXX";
	char option[64];
	char program[] = "test_gb";
	char *argv[] = { program, option, NULL };
	int fd = mkstemp(path);
	ssize_t n_read;

	(void)test_state;
	if (fd < 0)
		return -1;
	snprintf(option, sizeof(option), "--benchmark_out=%s", path);
	add_all();
	exit_status = gb_main(2, argv);
	n_read = read(fd, json, sizeof(json) - 1);
	close(fd);
	unlink(path);
	return n_read > 0 ? 0 : -1;
}

/* ------------------------------ reading JSON ------------------------------ */

/* What stands behind `"key": ` in the entry named `run`. */
static const char *
find_value(const char *run, const char *key)
{
	char pattern[128];
	const char *entry, *value;

	snprintf(pattern, sizeof(pattern), "\"name\": \"%s\"", run);
	entry = strstr(json, pattern);
	if (!entry)
		fail_msg("no run is named %s", run);
	snprintf(pattern, sizeof(pattern), "\"%s\": ", key);
	value = strstr(entry, pattern);
	if (!value || value > strchr(entry, '}'))
		fail_msg("%s has no %s", run, key);
	return value + strlen(pattern);
}

static void
assert_number(const char *run, const char *key, double expected)
{
	double value = strtod(find_value(run, key), NULL);

	if (value < 0.999999 * expected || value > 1.000001 * expected)
		fail_msg("%s of %s: %g is not %g", key, run, value, expected);
}

static void
assert_text(const char *run, const char *key, const char *expected)
{
	const char *value = find_value(run, key);

	if (strncmp(value, expected, strlen(expected)))
		fail_msg("%s of %s: %.20s is not %s", key, run, value,
			 expected);
}

/* --------------------------------- cases ---------------------------------- */

static void
gb_start_once_gives_all_iterations(void **test_state)
{
	(void)test_state;
	/* "loop" and "thread_range" run the same function. */
	assert_int_equal(seen_loop.n_loop, 2 * N_ITERATIONS);
	assert_int_equal(seen_loop.n_after_loop, N_ITERATIONS);
	assert_ptr_equal(seen_loop.arg, &seen_loop);
	assert_number("loop/iterations:1000", "iterations", N_ITERATIONS);
}

static void
gb_batch_with_remainder_rounds_up(void **test_state)
{
	(void)test_state;
	assert_true(seen_batched >= N_ITERATIONS);
	assert_int_equal(seen_batched % BATCH, 0);
	assert_number("batch/iterations:1000", "iterations",
		      (N_ITERATIONS + BATCH - 1) / BATCH * BATCH);
}

static void
gb_repetitions_three_give_statistics(void **test_state)
{
	(void)test_state;
	assert_int_equal(n_repeated, N_REPETITIONS);
	assert_number("repeated/iterations:1000/repeats:3_median", "turn", 2);
	assert_number("repeated/iterations:1000/repeats:3_min", "turn", 1);
	assert_number("repeated/iterations:1000/repeats:3_max", "turn", 3);
	assert_number("repeated/iterations:1000/repeats:3_p99", "turn", 3);
	/* aggregates only */
	assert_null(strstr(json, "\"name\": \"repeated/iterations:1000"
				 "/repeats:3\""));
}

static void
gb_args_two_give_each_run_its_own(void **test_state)
{
	static const int64_t expected[2][2] = { { 3, 4 }, { 5, 6 } };

	(void)test_state;
	assert_int_equal(n_args, 2);
	assert_memory_equal(seen_args, expected, sizeof(expected));
	assert_non_null(strstr(json, "\"args/width:5/height:6/"));
}

static void
gb_ranges_with_multiplier_give_powers(void **test_state)
{
	/* 77 is the run of "hooked", the last. */
	static const int64_t expected[] = { 1,   4,   16,  64, 100,
					    200, 256, 800, 77 };

	(void)test_state;
	assert_int_equal(n_ranges, sizeof(expected) / sizeof(expected[0]));
	assert_memory_equal(seen_ranges, expected, sizeof(expected));
	assert_text("ranges/iterations:1000_BigO", "big_o", "\"(1)\"");
}

static void
gb_threads_two_run_once_each(void **test_state)
{
	(void)test_state;
	assert_int_equal(seen_n_threads, N_THREADS);
	assert_int_equal(seen_threads[0], 1);
	assert_int_equal(seen_threads[1], 1);
	assert_number("threads/iterations:1000/real_time/threads:2", "sum",
		      42);
	assert_number("threads/iterations:1000/real_time/threads:2", "average",
		      21);
	assert_non_null(strstr(json, "thread_range/iterations:1000"
				     "/process_time/threads:1\""));
}

static void
gb_manual_time_is_what_is_reported(void **test_state)
{
	static const char run[] = "manual/iterations:2/manual_time";

	(void)test_state;
	assert_number(run, "real_time", 1000 * MANUAL_SECONDS);
	assert_text(run, "time_unit", "\"ms\"");
}

static void
gb_counter_flags_scale_the_value(void **test_state)
{
	static const char run[] = "manual/iterations:2/manual_time";
	const double seconds = 2 * MANUAL_SECONDS;

	(void)test_state;
	assert_number(run, "rate", 3 / seconds);
	assert_number(run, "inverse", 1.0 / 4);
	assert_number(run, "inverse_rate", seconds);
	assert_number(run, "each", 5 * 2);
	assert_number(run, "per_iteration", 6.0 / 2);
	assert_number(run, "items_per_second", 7 / seconds);
	assert_number(run, "bytes_per_second", 8 / seconds);
	assert_text(run, "label", "\"a label\"");
}

static void
gb_pause_takes_time_out(void **test_state)
{
	const char *value = find_value("paused/iterations:1/real_time",
				       "real_time");

	(void)test_state;
	/* Far more than the rest takes, on a busy machine too. */
	assert_true(strtod(value, NULL) < PAUSE_MICROSECONDS);
	assert_text("paused/iterations:1/real_time", "time_unit", "\"us\"");
}

static void
gb_skip_with_error_runs_nothing(void **test_state)
{
	(void)test_state;
	assert_int_equal(seen_after_skip, 0);
	assert_text("skipped/iterations:1000", "error_occurred", "true");
	assert_text("skipped/iterations:1000", "error_message",
		    "\"nothing to do\"");
	assert_int_equal(exit_status, 1);
}

static void
gb_setup_and_teardown_surround_the_run(void **test_state)
{
	(void)test_state;
	/* The library probes nothing here: one run, one of each. */
	assert_int_equal(n_hooks, 2);
	assert_int_equal(seen_hooks[0], 1);
	assert_int_equal(seen_hooks[1], 2);
	assert_int_equal(seen_hook_range, 77);
}

static void
gb_min_time_is_in_the_name(void **test_state)
{
	(void)test_state;
	assert_non_null(strstr(
		json, "\"timed/min_time:0.010/min_warmup_time:0.010\""));
}

static void
gb_context_is_in_the_report(void **test_state)
{
	(void)test_state;
	assert_non_null(strstr(json, "\"wrapper\": \"in C\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gb_start_once_gives_all_iterations),
		cmocka_unit_test(gb_batch_with_remainder_rounds_up),
		cmocka_unit_test(gb_repetitions_three_give_statistics),
		cmocka_unit_test(gb_args_two_give_each_run_its_own),
		cmocka_unit_test(gb_ranges_with_multiplier_give_powers),
		cmocka_unit_test(gb_threads_two_run_once_each),
		cmocka_unit_test(gb_manual_time_is_what_is_reported),
		cmocka_unit_test(gb_counter_flags_scale_the_value),
		cmocka_unit_test(gb_pause_takes_time_out),
		cmocka_unit_test(gb_skip_with_error_runs_nothing),
		cmocka_unit_test(gb_setup_and_teardown_surround_the_run),
		cmocka_unit_test(gb_min_time_is_in_the_name),
		cmocka_unit_test(gb_context_is_in_the_report),
	};

	return cmocka_run_group_tests_name("gb", tests, run_all, NULL);
}
