/* SPDX-License-Identifier: MIT */
/*
 * Goal S5: what S1 and S3 cost each of T threads that do the same at the same
 * time, T = 1, 2, 4 .. the cores of the machine.
 *
 * All threads use one pool.  Each stands on a core of its own; only when all
 * cores have one do second hardware threads get theirs.  A thread does its
 * pairs in slices and goes on until all threads have done theirs, so that no
 * slice runs beside fewer threads.  What a thread reports is the median of its
 * slices: in CPU time, but in wall time where it gave up its CPU to wait.
 *
 * This program needs neither Google Benchmark nor a network, so that it can be
 * built, or brought, where there are many cores.  Its result has the form of
 * Google Benchmark's, and of its options it knows
 *
 *	--benchmark_filter=REGEX       of names like S5/cubby/64B-1000-in-order-T2
 *	--benchmark_out=FILE           instead of stdout
 *	--benchmark_context=KEY=VALUE
 *
 * and one more, --cores=N: at most so many, where a container may use fewer
 * CPUs than it sees.
 */
#define _GNU_SOURCE
#include "loops.h"

#include "isolate.h"
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	N_THREADS_MAX = 512,
	N_WARM_PAIRS = 3000000,
	N_SLICES = 99,
	N_SLICE_PAIRS = 20000, /* 0.1 ms: most are not interrupted */
	NAME_BYTES_MAX = 96
};

/* One CPU of each core, then the others. */
static struct {
	size_t n_cpus, n_cores;
	int cpus[N_THREADS_MAX];
} machine;

static const struct shape {
	size_t object_bytes;
	size_t n_objects;
	enum way way;
} shapes[] = {
	{ 24, 1, PAIR },
	{ 64, 1000, IN_ORDER },
	{ 64, 1000, RANDOM_ORDER },
	{ 64, 10000, IN_ORDER },
	{ 64, 10000, RANDOM_ORDER },
	{ 64, 100000, REPLACE },
};

struct bench {
	const struct loops_kind *kind;
	const struct shape *shape;
	size_t n_threads;
};

struct result {
	double ns_per_pair; /* of the threads' medians the mean */
	double slowest_ns_per_pair;
	double wall_ns_per_pair; /* the mean, all in wall time */
	struct rival_proof proof;
};

void *loops_global_pool;

/* -------------------------------- the machine ----------------------------- */

/* A number that hardware threads of one core share. */
static long
core_of(int cpu)
{
	static const char *const files[] = { "physical_package_id",
					     "core_id" };
	long core = 0;

	for (size_t i = 0; i < 2; i++) {
		char path[128];
		long number = cpu;
		FILE *file;

		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/%s", cpu,
			 files[i]);
		file = fopen(path, "re");
		if (!file || fscanf(file, "%ld", &number) != 1)
			number = cpu;
		if (file)
			fclose(file);
		core = core * CPU_SETSIZE + number;
	}
	return core;
}

static void
find_cpus(size_t n_cores_max)
{
	int siblings[CPU_SETSIZE];
	long cores[N_THREADS_MAX];
	size_t n_siblings = 0;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		err(1, "sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		long core = core_of(cpu);
		size_t i = 0;

		if (!CPU_ISSET(cpu, &allowed) ||
		    machine.n_cores + n_siblings == N_THREADS_MAX)
			continue;
		while (i < machine.n_cores && cores[i] != core)
			i++;
		if (i < machine.n_cores) {
			siblings[n_siblings++] = cpu;
			continue;
		}
		cores[machine.n_cores] = core;
		machine.cpus[machine.n_cores++] = cpu;
	}
	machine.n_cpus = machine.n_cores;
	for (size_t i = 0; i < n_siblings; i++)
		machine.cpus[machine.n_cpus++] = siblings[i];
	if (machine.n_cores > n_cores_max)
		machine.n_cores = machine.n_cpus = n_cores_max;
}

/* -------------------------------- the threads ----------------------------- */

struct crew {
	const struct bench *bench;
	void *pool;
	pthread_barrier_t barrier;
	size_t n_running; /* threads that have not done their slices */
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	size_t index;
	struct task task;
	size_t n_pairs;
	double ns_per_pair;
	double wall_ns_per_pair;
};

static double
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void
pin(size_t index)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(machine.cpus[index % machine.n_cpus], &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
		err(1, "pthread_setaffinity_np");
}

/* Memory that is no malloc's; populated, so that no loop faults on it. */
static void *
map(size_t n_bytes)
{
	void *address = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			     0);

	if (address == MAP_FAILED)
		err(1, "mmap");
	return address;
}

/* A failure ends all threads: the others wait for us. */
static void
run_loop(struct worker *worker, size_t n_pairs)
{
	const struct bench *bench = worker->crew->bench;
	void *const pools[] = { worker->crew->pool };

	worker->task.n_pairs = n_pairs;
	if (bench->kind->loops[bench->shape->way](pools, &worker->task) !=
	    n_pairs)
		_exit(ENOMEM);
	worker->n_pairs += n_pairs;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double values[N_SLICES])
{
	qsort(values, N_SLICES, sizeof(values[0]), by_value);
	return values[N_SLICES / 2];
}

/* How often this thread waited. */
static long
n_waits(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

static void
time_slices(struct worker *worker)
{
	double wall_ns[N_SLICES], ns[N_SLICES];

	for (size_t i = 0; i < N_SLICES; i++) {
		long n_waits_before = n_waits();
		double cpu_begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
		double begin_ns = now_ns(CLOCK_MONOTONIC);

		run_loop(worker, N_SLICE_PAIRS);
		wall_ns[i] = now_ns(CLOCK_MONOTONIC) - begin_ns;
		ns[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin_ns;
		if (n_waits() != n_waits_before)
			ns[i] = wall_ns[i];
	}
	worker->ns_per_pair = median(ns) / N_SLICE_PAIRS;
	worker->wall_ns_per_pair = median(wall_ns) / N_SLICE_PAIRS;
}

static void *
work(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	const struct shape *shape = crew->bench->shape;
	const struct rival *rival = crew->bench->kind->rival;
	size_t n_live = shape->way == REPLACE ? shape->n_objects : 0;
	uint32_t *order;

	pin(worker->index);
	order = map(shape->n_objects * sizeof(*order));
	loops_shuffle(shape->n_objects, order);
	worker->task = (struct task){ shape->object_bytes, shape->n_objects, 0,
				      map(shape->n_objects * sizeof(void *)),
				      order };
	if (n_live &&
	    rival->alloc_many(crew->pool, n_live, worker->task.objects))
		_exit(ENOMEM);
	pthread_barrier_wait(&crew->barrier);
	run_loop(worker, N_WARM_PAIRS);
	pthread_barrier_wait(&crew->barrier);
	time_slices(worker);
	__atomic_sub_fetch(&crew->n_running, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&crew->n_running, __ATOMIC_RELAXED) > 0)
		run_loop(worker, N_SLICE_PAIRS);
	for (size_t i = 0; i < n_live; i++)
		rival->free(crew->pool, worker->task.objects[i]);
	return NULL;
}

static int
measure(void *ret_result, const void *arg)
{
	static struct worker workers[N_THREADS_MAX];
	const struct bench *bench = arg;
	const struct rival *rival = bench->kind->rival;
	struct crew crew = { .bench = bench, .n_running = bench->n_threads };
	struct result *result = ret_result;
	size_t n = bench->n_threads;
	uint64_t n_pairs = 0;

	crew.pool = rival->create(bench->shape->object_bytes, 0);
	if (!crew.pool)
		return -ENOMEM;
	pthread_barrier_init(&crew.barrier, NULL, (unsigned)n);
	for (size_t i = 0; i < n; i++) {
		int error;

		workers[i].crew = &crew;
		workers[i].index = i;
		error = pthread_create(&workers[i].thread, NULL, work,
				       &workers[i]);
		if (error)
			return -error;
	}
	for (size_t i = 0; i < n; i++) {
		const struct worker *worker = &workers[i];

		pthread_join(worker->thread, NULL);
		n_pairs += worker->n_pairs;
		result->ns_per_pair += worker->ns_per_pair / (double)n;
		result->wall_ns_per_pair += worker->wall_ns_per_pair /
					    (double)n;
		if (result->slowest_ns_per_pair < worker->ns_per_pair)
			result->slowest_ns_per_pair = worker->ns_per_pair;
	}
	return rival_check(rival, 1, &crew.pool, 2 * n_pairs, &result->proof);
}

/* -------------------------------- the report ------------------------------ */

static FILE *out;
static const char *separator; /* between the members of a JSON list */

static void
print_text(const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	putc('"', out);
}

static void
print_context(const char *key, const char *value)
{
	fputs(separator, out);
	print_text(key);
	fputs(": ", out);
	print_text(value);
	separator = ",\n    ";
}

static void
print_result(const struct bench *bench, const char *name,
	     const struct result *result)
{
	fprintf(out,
		"%s{\n      \"name\": \"%s\",\n      \"run_name\": \"%s\",\n"
		"      \"run_type\": \"iteration\",\n      \"threads\": %zu,\n"
		"      \"iterations\": 1,\n      \"real_time\": %.4f,\n"
		"      \"cpu_time\": %.4f,\n      \"time_unit\": \"ns\",\n"
		"      \"label\": \"%s\",\n      \"cores\": %zu,\n"
		"      \"cpus\": %zu,\n      \"ns_per_pair\": %.4f,\n"
		"      \"slowest_ns_per_pair\": %.4f",
		separator, name, name, bench->n_threads,
		result->wall_ns_per_pair, result->ns_per_pair,
		rival_front_text(&result->proof), machine.n_cores,
		machine.n_cpus, result->ns_per_pair,
		result->slowest_ns_per_pair);
#define PRINT(member)                                                         \
	fprintf(out, ",\n      \"" #member "\": %llu",                        \
		(unsigned long long)result->proof.member);
	if (result->proof.n_calls)
		RIVAL_PROOF(PRINT)
#undef PRINT
	fputs("\n    }", out);
	fflush(out);
	separator = ",\n    ";
}

/* The next number of threads: powers of 2, the cores, all CPUs. */
static size_t
next_n_threads(size_t n)
{
	size_t steps[] = { machine.n_cores, machine.n_cpus, 1 };
	size_t next = SIZE_MAX;

	while (steps[2] <= n)
		steps[2] *= 2;
	for (size_t i = 0; i < 3; i++)
		if (steps[i] > n && steps[i] < next &&
		    steps[i] <= machine.n_cpus)
			next = steps[i];
	return next;
}

static int
run_one(const struct bench *bench, const regex_t *filter)
{
	struct result result = { 0 };
	char name[NAME_BYTES_MAX];
	int error;

	snprintf(name, sizeof(name), "S5/%s/%zuB-%zu-%s-T%zu",
		 bench->kind->rival->name(), bench->shape->object_bytes,
		 bench->shape->n_objects, way_words[bench->shape->way],
		 bench->n_threads);
	if (regexec(filter, name, 0, NULL, 0))
		return 0;
	error = isolate_run(measure, bench, &result, sizeof(result));
	if (error) {
		warnx("%s: %s", name, strerror(-error));
		return 1;
	}
	print_result(bench, name, &result);
	return 0;
}

static int
run_all(const regex_t *filter)
{
	int n_failed = 0;

	for (size_t k = 0; k < LOOPS_N_KINDS; k++) {
		if (!rival_is_here(loops_kinds[k].rival))
			continue;
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
			for (size_t n = 1; n <= machine.n_cpus;
			     n = next_n_threads(n)) {
				struct bench bench = { &loops_kinds[k],
						       &shapes[s], n };

				n_failed += run_one(&bench, filter);
			}
	}
	return n_failed;
}

/* What follows `name` in the argument, or NULL. */
static const char *
value_of(const char *argument, const char *name)
{
	size_t n = strlen(name);

	return strncmp(argument, name, n) ? NULL : argument + n;
}

int
main(int argc, char **argv)
{
	size_t n_cores_max = N_THREADS_MAX;
	const char *pattern = "";
	const char *value;
	regex_t filter;
	int n_failed;

	out = stdout;
	for (int i = 1; i < argc; i++) {
		if ((value = value_of(argv[i], "--benchmark_filter=")))
			pattern = value;
		if ((value = value_of(argv[i], "--benchmark_out=")))
			out = fopen(value, "we");
		if ((value = value_of(argv[i], "--cores=")))
			n_cores_max = strtoul(value, NULL, 10);
	}
	if (!out)
		err(1, "the file of --benchmark_out");
	if (n_cores_max == 0 || regcomp(&filter, pattern, REG_EXTENDED))
		errx(1, "--cores or --benchmark_filter make no sense");
	find_cpus(n_cores_max);

	fputs("{\n  \"context\": {", out);
	separator = "\n    ";
	machine_describe(print_context);
	for (int i = 1; i < argc; i++)
		if ((value = value_of(argv[i], "--benchmark_context=")) &&
		    strchr(value, '='))
			print_context(strndupa(value, strcspn(value, "=")),
				      strchr(value, '=') + 1);
	fputs("\n  },\n  \"benchmarks\": [", out);
	separator = "\n    ";
	n_failed = run_all(&filter);
	fputs("\n  ]\n}\n", out);
	return fclose(out) || n_failed ? 1 : 0;
}
