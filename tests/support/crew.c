/* SPDX-License-Identifier: MIT */
/* Threads that use one cache, and one that meddles; see crew.h. */
#include "crew.h"

#include <time.h>

/* The work of one run, shared by its threads: whichever is less. */
#define RUN_OBJECTS 20000
#define RUN_BYTES ((uint64_t)64 << 20)

#define MEDDLER_PAUSE_NS 100000
#define MEDDLER_PAUSE_SLOW_NS 5000000

/* With more threads than that a core, one may wait 100 ms for its turn. */
#define PATIENT_THREADS_PER_CORE 4

uint64_t crew_seed;

static const struct kind {
	size_t object_bytes;
	unsigned callbacks;
} kinds[] = {
	{ 8, 0 },
	{ 13, 0 },
	{ 24, ORACLE_INIT },
	{ 24, ORACLE_CTOR },
	{ 200, 0 },
	{ 200, ORACLE_INIT | ORACLE_CTOR },
	{ 4100, 0 },
	{ 4100, ORACLE_INIT | ORACLE_CTOR },
	{ 70000, ORACLE_INIT },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct {
	struct oracle *oracle;
	crew_fn work;
	struct worker workers[CREW_MAX];
	bool done;
} run;

/* --------------------------------- workers ------------------------------- */

uint64_t
worker_below(struct worker *worker, uint64_t limit)
{
	return test_random(&worker->random) % limit;
}

void *
worker_alloc(struct worker *worker)
{
	void *object = oracle_alloc(worker->oracle, worker->owner);

	if (object == NULL)
		oracle_fault(worker->oracle, ORACLE_COUNT, NULL,
			     "no memory for an object");
	return object;
}

void
worker_free(struct worker *worker, void *object)
{
	oracle_free(worker->oracle, worker->owner, object);
}

void
worker_replace(struct worker *worker, void **held)
{
	void **place = &held[worker_below(worker, CREW_HELD)];

	worker_free(worker, *place);
	*place = worker_alloc(worker);
}

void
worker_free_all(struct worker *worker, void **held)
{
	for (unsigned i = 0; i < CREW_HELD; i++)
		worker_free(worker, held[i]);
}

void
worker_in_child(struct worker *worker)
{
	worker->oracle->may_be_busy = true;
}

/* ----------------------------------- runs -------------------------------- */

static void *
worker_main(void *context)
{
	run.work(context);
	return NULL;
}

static void *
meddler_main(void *context)
{
	uint64_t random = crew_seed;
	struct timespec pause = { 0, test_is_slow() ? MEDDLER_PAUSE_SLOW_NS :
						      MEDDLER_PAUSE_NS };

	(void)context;
	do {
		oracle_meddle(run.oracle, test_random(&random));
		nanosleep(&pause, NULL);
	} while (!__atomic_load_n(&run.done, __ATOMIC_RELAXED));
	return NULL;
}

static void
start(pthread_t *thread, void *(*fn)(void *context), void *context)
{
	if (pthread_create(thread, NULL, fn, context) != 0)
		test_die("no thread for a test");
}

void
crew_run(struct oracle *oracle, crew_fn work, unsigned n_threads,
	 uint64_t n_objects)
{
	pthread_t meddler;

	if (n_threads > CREW_MAX)
		n_threads = CREW_MAX;
	run.oracle = oracle;
	run.work = work;
	run.done = false;
	oracle->may_be_busy = test_is_slow() ||
			      n_threads > PATIENT_THREADS_PER_CORE *
						  test_n_cores();
	start(&meddler, meddler_main, NULL);
	for (unsigned i = 0; i < n_threads; i++) {
		run.workers[i] = (struct worker){
			.oracle = oracle,
			.number = i,
			.owner = i + 1,
			.random = crew_seed + i,
			.n_objects = n_objects / n_threads + 1,
		};
		start(&run.workers[i].thread, worker_main, &run.workers[i]);
	}
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(run.workers[i].thread, NULL);
	__atomic_store_n(&run.done, true, __ATOMIC_RELAXED);
	pthread_join(meddler, NULL);
}

void
crew_run_kinds(crew_fn work, unsigned threads_per_core)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		uint64_t n_objects = RUN_BYTES / kinds[i].object_bytes;
		struct oracle oracle;

		if (n_objects > RUN_OBJECTS)
			n_objects = RUN_OBJECTS;
		if (oracle_init(&oracle, kinds[i].object_bytes,
				kinds[i].callbacks, NULL) != 0)
			test_die("no cache: %s", cubby_error_detail());
		crew_run(&oracle, work, threads_per_core * test_n_cores(),
			 test_scaled(n_objects));
		oracle_fini(&oracle);
	}
}
