/* SPDX-License-Identifier: MIT */
/*
 * gb.cc - Google Benchmark behind gb.h; the only C++ outside the header tests.
 *
 * A gb_state is a benchmark::State and a gb_bench the library's own Benchmark
 * under another name: both are only ever handed back to the functions here.
 */
#include "gb.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace
{

using benchmark::Counter;
using benchmark::State;

/* Benchmark has moved between namespaces; its pointer has not. */
using native_bench = std::remove_pointer<decltype(benchmark::RegisterBenchmark(
	"", std::declval<void (*)(State &)>()))>::type;

std::atomic<bool> any_error{ false };

State &
native(gb_state *state)
{
	return *reinterpret_cast<State *>(state);
}

const State &
native(const gb_state *state)
{
	return *reinterpret_cast<const State *>(state);
}

native_bench *
native(gb_bench *bench)
{
	return reinterpret_cast<native_bench *>(bench);
}

/*
 * The library's hooks are plain functions without an argument (1.7), so each
 * of ours needs a function of its own to be told apart.
 */
struct hook {
	gb_hook fn;
	void *arg;
};

hook hooks[GB_HOOKS_MAX];
std::size_t n_hooks;

template <std::size_t i>
void
run_hook(const State &state)
{
	hooks[i].fn(reinterpret_cast<gb_state *>(const_cast<State *>(&state)),
		    hooks[i].arg);
}

using native_hook = void (*)(const State &);

template <std::size_t i = 0>
native_hook
nth_hook(std::size_t n)
{
	if constexpr (i < GB_HOOKS_MAX)
		return n == i ? run_hook<i> : nth_hook<i + 1>(n);
	std::fprintf(stderr, "gb: more than %d hooks\n", GB_HOOKS_MAX);
	std::abort();
}

native_hook
add_hook(gb_hook fn, void *arg)
{
	native_hook added = nth_hook(n_hooks);

	hooks[n_hooks++] = { fn, arg };
	return added;
}

/* Nearest rank: below 100 values it is the maximum. */
double
percentile_99(const std::vector<double> &values)
{
	std::vector<double> sorted(values);
	std::size_t rank = std::ceil(0.99 * sorted.size());

	std::sort(sorted.begin(), sorted.end());
	return sorted[rank - 1];
}

} /* namespace */

int
gb_main(int argc, char **argv)
{
	std::size_t n_run;

	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	n_run = benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return n_run == 0 || any_error;
}

gb_bench *
gb_register(const char *name, gb_fn fn, void *arg)
{
	return reinterpret_cast<gb_bench *>(
		benchmark::RegisterBenchmark(name, [fn, arg](State &state) {
			fn(reinterpret_cast<gb_state *>(&state), arg);
		}));
}

void
gb_ranges(gb_bench *bench, size_t n, const int64_t *limits)
{
	std::vector<std::pair<int64_t, int64_t>> ranges;

	for (size_t i = 0; i < n; i++)
		ranges.emplace_back(limits[2 * i], limits[2 * i + 1]);
	native(bench)->Ranges(ranges);
}

void
gb_unit(gb_bench *bench, enum gb_unit unit)
{
	static const benchmark::TimeUnit units[] = { benchmark::kNanosecond,
						     benchmark::kMicrosecond,
						     benchmark::kMillisecond,
						     benchmark::kSecond };

	native(bench)->Unit(units[unit]);
}

void
gb_statistic(gb_bench *bench, enum gb_statistic statistic)
{
	using list = const std::vector<double> &;

	if (statistic == GB_STATISTIC_P99)
		native(bench)->ComputeStatistics("p99", percentile_99);
	else if (statistic == GB_STATISTIC_MIN)
		native(bench)->ComputeStatistics("min", [](list v) {
			return *std::min_element(v.begin(), v.end());
		});
	else
		native(bench)->ComputeStatistics("max", [](list v) {
			return *std::max_element(v.begin(), v.end());
		});
}

void
gb_complexity(gb_bench *bench, enum gb_big_o big_o)
{
	using namespace benchmark;
	static const BigO orders[] = { o1,    oN,     oNSquared, oNCubed,
				       oLogN, oNLogN, oAuto };

	native(bench)->Complexity(orders[big_o]);
}

size_t
gb_start(gb_state *state)
{
	State &s = native(state);

	return s.KeepRunningBatch(s.max_iterations) ? s.max_iterations : 0;
}

void
gb_stop(gb_state *state)
{
	/* Nothing is left since gb_start(), so this stops the clock. */
	native(state).KeepRunningBatch(1);
}

void
gb_skip_with_error(gb_state *state, const char *text)
{
	any_error = true;
	native(state).SkipWithError(text);
}

void
gb_counter(gb_state *state, const char *name, double value, unsigned int flags)
{
	static const std::pair<unsigned int, Counter::Flags> pairs[] = {
		{ GB_RATE, Counter::kIsRate },
		{ GB_AVERAGE_THREADS, Counter::kAvgThreads },
		{ GB_ITERATION_INVARIANT, Counter::kIsIterationInvariant },
		{ GB_AVERAGE_ITERATIONS, Counter::kAvgIterations },
		{ GB_INVERT, Counter::kInvert }
	};
	Counter::Flags native_flags = Counter::kDefaults;

	for (const auto &pair : pairs)
		if (flags & pair.first)
			native_flags = native_flags | pair.second;
	native(state).counters[name] = Counter(
		value, native_flags,
		flags & GB_1024 ? Counter::kIs1024 : Counter::kIs1000);
}

/* The rest is one call each. */
/* clang-format off */
void gb_context(const char *key, const char *value) { benchmark::AddCustomContext(key, value); }
void gb_args(gb_bench *b, size_t n, const int64_t *v) { native(b)->Args({v, v + n}); }
void gb_arg_names(gb_bench *b, size_t n, const char *const *v) { native(b)->ArgNames({v, v + n}); }
void gb_arg(gb_bench *b, int64_t value) { native(b)->Arg(value); }
void gb_arg_range(gb_bench *b, int64_t lo, int64_t hi) { native(b)->Range(lo, hi); }
void gb_range_multiplier(gb_bench *b, int n) { native(b)->RangeMultiplier(n); }
void gb_threads(gb_bench *b, int n) { native(b)->Threads(n); }
void gb_thread_range(gb_bench *b, int lo, int hi) { native(b)->ThreadRange(lo, hi); }
void gb_real_time(gb_bench *b) { native(b)->UseRealTime(); }
void gb_manual_time(gb_bench *b) { native(b)->UseManualTime(); }
void gb_process_cpu_time(gb_bench *b) { native(b)->MeasureProcessCPUTime(); }
void gb_iterations(gb_bench *b, int64_t n) { native(b)->Iterations(n); }
void gb_min_time(gb_bench *b, double seconds) { native(b)->MinTime(seconds); }
void gb_min_warmup_time(gb_bench *b, double seconds) { native(b)->MinWarmUpTime(seconds); }
void gb_repetitions(gb_bench *b, int n) { native(b)->Repetitions(n); }
void gb_aggregates_only(gb_bench *b) { native(b)->ReportAggregatesOnly(); }
void gb_setup(gb_bench *b, gb_hook fn, void *arg) { native(b)->Setup(add_hook(fn, arg)); }
void gb_teardown(gb_bench *b, gb_hook fn, void *arg) { native(b)->Teardown(add_hook(fn, arg)); }

int gb_batch(gb_state *s, size_t n) { return native(s).KeepRunningBatch(n); }
void gb_pause(gb_state *s) { native(s).PauseTiming(); }
void gb_resume(gb_state *s) { native(s).ResumeTiming(); }
void gb_iteration_time(gb_state *s, double seconds) { native(s).SetIterationTime(seconds); }
int64_t gb_range(const gb_state *s, size_t i) { return native(s).range(i); }
int gb_thread_index(const gb_state *s) { return native(s).thread_index(); }
int gb_n_threads(const gb_state *s) { return native(s).threads(); }
int64_t gb_n_iterations(const gb_state *s) { return native(s).iterations(); }
void gb_label(gb_state *s, const char *text) { native(s).SetLabel(text); }
void gb_items_processed(gb_state *s, int64_t n) { native(s).SetItemsProcessed(n); }
void gb_bytes_processed(gb_state *s, int64_t n) { native(s).SetBytesProcessed(n); }
void gb_complexity_n(gb_state *s, int64_t n) { native(s).SetComplexityN(n); }
/* clang-format on */
