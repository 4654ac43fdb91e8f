/* SPDX-License-Identifier: MIT */
/*
 * A crew: threads that use one cache in some way, while a meddler does to it
 * whatever may happen at any moment and the oracle watches every object.
 */
#ifndef CUBBY_TESTS_CREW_H
#define CUBBY_TESTS_CREW_H

#include "oracle.h"

#include <pthread.h>

#define CREW_MAX 256

/* Owners above this are for the use of a test's own threads. */
#define CREW_OWNER_MAX (CREW_MAX + 1)

/* Objects that a worker holds at a time, in most ways of working. */
#define CREW_HELD 64

struct worker {
	struct oracle *oracle;
	unsigned number; /* from 0 */
	unsigned owner;  /* what the oracle knows it by */
	uint64_t random;
	uint64_t n_objects; /* to allocate */
	pthread_t thread;
};

typedef void (*crew_fn)(struct worker *worker);

/* One run of so many threads, which allocate about so many objects in all. */
void crew_run(struct oracle *oracle, crew_fn work, unsigned n_threads,
	      uint64_t n_objects);

/*
 * A run for each kind of cache: small and large cells, with and without
 * callbacks.  The work is scaled by CUBBY_TEST_SCALE.
 */
void crew_run_kinds(crew_fn work, unsigned threads_per_core);

/* An object of this worker's; that there is no memory is a fault. */
void *worker_alloc(struct worker *worker);
void worker_free(struct worker *worker, void *object);

/* Free one of the CREW_HELD objects and allocate another in its place. */
void worker_replace(struct worker *worker, void **held);
void worker_free_all(struct worker *worker, void **held);

/* A random number below a limit. */
uint64_t worker_below(struct worker *worker, uint64_t limit);

/* In a fork child: others' walks may be open for ever. */
void worker_in_child(struct worker *worker);

/* The seed of all workers; set by main(). */
extern uint64_t crew_seed;

#endif /* CUBBY_TESTS_CREW_H */
