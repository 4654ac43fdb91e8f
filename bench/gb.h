/* SPDX-License-Identifier: MIT */
/*
 * gb.h - Google Benchmark for C.
 *
 *	static void bench_copy(struct gb_state *state, void *arg)
 *	{
 *		size_t n = gb_start(state);
 *
 *		for (size_t i = 0; i < n; i++)
 *			GB_KEEP(copy(arg));
 *		gb_stop(state);
 *		gb_items_processed(state, n);
 *	}
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct gb_bench *bench = gb_register("copy", bench_copy, &data);
 *
 *		gb_threads(bench, 2);
 *		return gb_main(argc, argv);
 *	}
 *
 * gb_start/gb_stop is the loop: two calls a run, so an iteration costs what
 * the native C++ loop costs (0.22 ns here; a call per iteration costs 1.20).
 * Every run must reach both, also one that is skipped: gb_start() answers 0
 * then.
 *
 * Memory is reported through counters.  The library's MemoryManager is left
 * out on purpose: up to 1.9.1 its JSON holds freed memory as soon as there is
 * more than one repetition (google/benchmark #1941).
 *
 * Minimum times are best set here and not by --benchmark_min_time: 1.7 wants
 * a bare number there, 1.8 and later a number with an "s".
 */
#ifndef BENCH_GB_H
#define BENCH_GB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gb_state; /* one run, as the measured function sees it */
struct gb_bench; /* a registered benchmark; never freed by the caller */

typedef void (*gb_fn)(struct gb_state *state, void *arg);

/* Before and after all threads of a run; only the gb_range/gb_n_threads
   questions may be asked of `state`. */
typedef void (*gb_hook)(struct gb_state *state, void *arg);

/* Have the compiler take `value` for used, and all memory for read. */
#define GB_KEEP(value) __asm__ volatile("" : : "g"(value) : "memory")

/* ------------------------------- the program ----------------------------- */

/*
 * Parse the --benchmark_* options, run what they select and report.  Once a
 * process.
 *
 * Returns the exit status: 0, or 1 if an argument was not understood, nothing
 * matched the filter, or a benchmark was skipped with an error (the library
 * itself would exit with 0).
 */
int gb_main(int argc, char **argv);

/* Add a line to the context of the report. */
void gb_context(const char *key, const char *value);

/* ------------------------------ registration ----------------------------- */

/* `name` is copied; `arg` is handed to each call of `fn`. */
struct gb_bench *gb_register(const char *name, gb_fn fn, void *arg);

enum gb_unit { GB_NANOSECOND, GB_MICROSECOND, GB_MILLISECOND, GB_SECOND };

enum gb_big_o {
	GB_O_1,
	GB_O_N,
	GB_O_N_SQUARED,
	GB_O_N_CUBED,
	GB_O_LOG_N,
	GB_O_N_LOG_N,
	GB_O_AUTO
};

enum gb_statistic { GB_STATISTIC_MIN, GB_STATISTIC_MAX, GB_STATISTIC_P99 };

void gb_arg(struct gb_bench *bench, int64_t value);
void gb_args(struct gb_bench *bench, size_t n, const int64_t *values);
/* From `first` to `last` in powers of the range multiplier (8). */
void gb_arg_range(struct gb_bench *bench, int64_t first, int64_t last);
/* The product of n ranges; range i is limits[2 * i] .. limits[2 * i + 1]. */
void gb_ranges(struct gb_bench *bench, size_t n, const int64_t *limits);
void gb_range_multiplier(struct gb_bench *bench, int multiplier);
void gb_arg_names(struct gb_bench *bench, size_t n, const char *const *names);

void gb_threads(struct gb_bench *bench, int n_threads);
/* 1, 2, 4 ... threads, and `last` itself. */
void gb_thread_range(struct gb_bench *bench, int first, int last);

void gb_real_time(struct gb_bench *bench);
void gb_manual_time(struct gb_bench *bench);
void gb_process_cpu_time(struct gb_bench *bench);
void gb_unit(struct gb_bench *bench, enum gb_unit unit);

void gb_iterations(struct gb_bench *bench, int64_t n);
void gb_min_time(struct gb_bench *bench, double seconds);
void gb_min_warmup_time(struct gb_bench *bench, double seconds);
void gb_repetitions(struct gb_bench *bench, int n);
void gb_aggregates_only(struct gb_bench *bench);
void gb_statistic(struct gb_bench *bench, enum gb_statistic statistic);
void gb_complexity(struct gb_bench *bench, enum gb_big_o big_o);

/* Up to GB_HOOKS_MAX in a process, setups and teardowns together. */
#define GB_HOOKS_MAX 32
void gb_setup(struct gb_bench *bench, gb_hook hook, void *arg);
void gb_teardown(struct gb_bench *bench, gb_hook hook, void *arg);

/* -------------------------------- the loop ------------------------------- */

/* Start the clock; the number of iterations to do, all of them.  Once. */
size_t gb_start(struct gb_state *state);
/* Stop the clock. */
void gb_stop(struct gb_state *state);

/*
 * The other form, for a body that is done in batches:
 *	while (gb_batch(state, 256))
 *		... 256 iterations ...
 * The first call starts the clock, the last stops it.
 */
int gb_batch(struct gb_state *state, size_t n_iterations);

/* Within the loop, around what is not to be timed; some 200 ns a pair. */
void gb_pause(struct gb_state *state);
void gb_resume(struct gb_state *state);

/* With gb_manual_time(): what one iteration took. */
void gb_iteration_time(struct gb_state *state, double seconds);

/* ------------------------- questions and results ------------------------- */

int64_t gb_range(const struct gb_state *state, size_t index);
int gb_thread_index(const struct gb_state *state);
int gb_n_threads(const struct gb_state *state);
/* Iterations done: after gb_stop(), what gb_start() answered. */
int64_t gb_n_iterations(const struct gb_state *state);

void gb_label(struct gb_state *state, const char *text);
void gb_items_processed(struct gb_state *state, int64_t n);
void gb_bytes_processed(struct gb_state *state, int64_t n);
void gb_complexity_n(struct gb_state *state, int64_t n);

/* Report this run as failed; the loop is then left, or not entered. */
void gb_skip_with_error(struct gb_state *state, const char *text);

/* May be or-ed. */
enum gb_counter_flags {
	GB_PLAIN = 0,
	GB_RATE = 1 << 0,                /* divided by the time */
	GB_AVERAGE_THREADS = 1 << 1,     /* divided by the threads */
	GB_ITERATION_INVARIANT = 1 << 2, /* multiplied by the iterations */
	GB_AVERAGE_ITERATIONS = 1 << 3,  /* divided by the iterations */
	GB_INVERT = 1 << 4,              /* at last, 1 / value */
	GB_1024 = 1 << 5 /* print with Ki, Mi instead of k, M */
};

/* Threads' counters of one name are added up. */
void gb_counter(struct gb_state *state, const char *name, double value,
		unsigned int flags);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_GB_H */
