/* SPDX-License-Identifier: MIT */
/*
 * Blocks before main(), after it, and at the end of threads, whose destructors
 * run in rounds and free what other threads made.  Linked to
 * malloc_hazard_library.c.
 */
#include "malloc_check.h"
#include "malloc_hazard.h"

#include <limits.h>
#include <malloc.h>

#define N_THREADS 64
#define N_ROUNDS 8
#define BLOCK_BYTES 100

static void *early, *late;
static void *passed[N_THREADS]; /* from one thread to the next */
static pthread_key_t keys[3];
static int n_ended;

static void *
filled(size_t bytes)
{
	void *block = malloc(bytes);

	CHECK(block, !=, NULL);
	stamp_write(block, bytes, 1);
	return block;
}

static void
check_free(void *block, size_t bytes)
{
	CHECK(stamp_holds(block, bytes, bytes, 1), ==, 1);
	free(block);
}

__attribute__((constructor(101))) static void
before_all(void)
{
	early = filled(BLOCK_BYTES);
}

__attribute__((constructor)) static void
before_main(void)
{
	check_free(realloc(filled(BLOCK_BYTES), 5000), BLOCK_BYTES);
}

__attribute__((destructor(101))) static void
after_all(void)
{
	check_free(early, BLOCK_BYTES);
	check_free(filled(3 * MIB), 3 * MIB);
	if (n_faults != 0)
		_exit(1);
}

__attribute__((destructor)) static void
after_main(void)
{
	check_free(late, BLOCK_BYTES);
	late = filled(BLOCK_BYTES);
}

static void
at_exit(void)
{
	check_free(late, BLOCK_BYTES);
	late = filled(BLOCK_BYTES);
}

/* Comes back until the last round, as late as a destructor can run. */
struct tail {
	pthread_key_t key;
	int n_rounds;
	void *foreign; /* block of another thread */
};

static void
end_of_thread(void *value)
{
	struct tail *tail = value, *next;

	free(tail->foreign);
	check_free(filled(40), 40);
	if (++tail->n_rounds >= PTHREAD_DESTRUCTOR_ITERATIONS) {
		__atomic_add_fetch(&n_ended, 1, __ATOMIC_RELAXED);
		free(tail);
		return;
	}
	next = malloc(sizeof(*next));
	*next = *tail;
	next->foreign = malloc(BLOCK_BYTES);
	free(tail);
	pthread_setspecific(next->key, next);
}

static void *
thread(void *argument)
{
	void **mine = argument;

	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		struct tail *tail = calloc(1, sizeof(*tail));

		tail->key = keys[i];
		tail->foreign = __atomic_exchange_n(
			&passed[(mine - passed + (ptrdiff_t)i) % N_THREADS],
			filled(BLOCK_BYTES), __ATOMIC_ACQ_REL);
		pthread_setspecific(keys[i], tail);
	}
	pthread_setspecific(hazard_early.key, filled(BLOCK_BYTES));
	for (size_t i = 0; i < 200; i++)
		check_free(filled(i * 9), i * 9);
	return filled(BLOCK_BYTES);
}

static void
run_threads(void)
{
	pthread_t ids[N_THREADS];
	void *block;

	for (int i = 0; i < N_THREADS; i++)
		CHECK(pthread_create(&ids[i], NULL, thread, &passed[i]), ==,
		      0);
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(ids[i], &block);
		check_free(block, BLOCK_BYTES);
	}
}

/* Still at work while the program ends. */
static void *
endless(void *argument)
{
	for (;;)
		free(realloc(malloc(50), 500));
	return argument;
}

int
main(int argc, char **argv)
{
	pthread_t id;

	(void)argv;
	late = filled(BLOCK_BYTES);
	CHECK(atexit(at_exit), ==, 0);
	for (size_t i = 0; i < N_ELEMENTS(keys); i++)
		CHECK(pthread_key_create(&keys[i], end_of_thread), ==, 0);
	CHECK(hazard_work(), ==, 0);
	for (int i = 0; i < N_ROUNDS; i++)
		run_threads();
	CHECK(n_ended, ==, N_THREADS * N_ROUNDS * (int)N_ELEMENTS(keys));
	for (int i = 0; i < N_THREADS; i++)
		free(passed[i]);
	if (argc > 1)
		CHECK(pthread_create(&id, NULL, endless, NULL), ==, 0);
	return check_end();
}
