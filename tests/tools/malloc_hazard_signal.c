/* SPDX-License-Identifier: MIT */
/*
 * Handlers of a timer allocate and free, in the middle of whatever the program
 * allocates and frees, in all of its threads.
 */
#include "malloc_check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define PERIOD_US 200
#define N_SIGNALS 2000
#define N_THREADS 2
#define N_BLOCKS 64

static int n_signals;

/* Every size there is, now and then a large one. */
static void
churn(void **blocks, uint64_t *state)
{
	size_t at = random_below(state, N_BLOCKS);
	size_t bytes = 1 + random_below(state, random_below(state, 100) ?
						       1000 :
						       200000);
	uint32_t seed = (uint32_t)at;

	if (blocks[at] != NULL)
		CHECK(stamp_holds(blocks[at], 1, 1, seed), ==, 1);
	if (random_below(state, 3) == 0) {
		blocks[at] = realloc(blocks[at], bytes);
	} else {
		free(blocks[at]);
		blocks[at] = malloc(bytes);
	}
	CHECK(blocks[at], !=, NULL);
	stamp_write(blocks[at], bytes, seed);
	CHECK(stamp_holds(blocks[at], bytes, bytes, seed), ==, 1);
}

static void
handler(int number)
{
	static void *blocks[N_BLOCKS];
	static uint64_t state = 77;
	static int is_busy;

	(void)number;
	__atomic_add_fetch(&n_signals, 1, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&is_busy, 1, __ATOMIC_ACQUIRE))
		return;
	for (int i = 0; i < 10; i++)
		churn(blocks, &state);
	__atomic_store_n(&is_busy, 0, __ATOMIC_RELEASE);
}

static void *
work(void *argument)
{
	void *blocks[N_BLOCKS] = { NULL };
	uint64_t state = (uintptr_t)argument;

	while (__atomic_load_n(&n_signals, __ATOMIC_RELAXED) < N_SIGNALS)
		churn(blocks, &state);
	for (int i = 0; i < N_BLOCKS; i++)
		free(blocks[i]);
	return NULL;
}

int
main(void)
{
	struct itimerval timer = { { 0, PERIOD_US }, { 0, PERIOD_US } };
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = SA_RESTART };
	pthread_t ids[N_THREADS];

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&ids[i], NULL, work,
			       (void *)(uintptr_t)(i + 10));
	work((void *)3);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(ids[i], NULL);
	signal(SIGALRM, SIG_IGN);
	return check_end();
}
