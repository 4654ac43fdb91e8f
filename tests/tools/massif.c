/* SPDX-License-Identifier: MIT */
/*
 * massif.c - memory of known types, from known places, for test_massif.sh.
 *
 * At the peak 6,000 conns (3,000 from conn_alloc(), 2,000 from cubby_zalloc(), 1,000
 * from cubby_reserve_alloc()) of 96 bytes, 5,000 timers of 40 (cubby_alloc_bulk()),
 * and a block of 100,000; at the end the conns, and no timers.  The first argument is
 * the exit status; "abort" aborts, and "fork" has a child that allocates more.
 */
#include <cubby/cubby.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_INLINED __attribute__((noinline))
#define KEEP_FRAME __asm__ volatile("" ::: "memory") /* no tail call */

#define CONN_SLOTS(SLOT) SLOT(char[96], bytes, "")
CUBBY_LAYOUT(conn, CONN_SLOTS);

#define N_TIMERS 5000
#define BLOCK_BYTES 100000

static struct cubby_cache *conns, *timers;
static void *objects[20000];
static size_t n_objects;

static void
keep(void *object)
{
	if (object == NULL)
		exit(99);
	objects[n_objects++] = object;
}

NOT_INLINED static void
open_conns(size_t n)
{
	while (n-- != 0)
		keep(conn_alloc(conns));
}

NOT_INLINED static void
accept_conns(size_t n)
{
	while (n-- != 0)
		keep(cubby_zalloc(conns));
}

NOT_INLINED static void
reserve_conns(size_t n)
{
	struct cubby_reserve *reserve;

	if (cubby_reserve_create(&reserve, conns, n) != 0)
		exit(99);
	while (n-- != 0)
		keep(cubby_reserve_alloc(reserve));
	cubby_reserve_destroy(reserve);
}

NOT_INLINED static void
arm_timers(void **ret_timers)
{
	if (cubby_alloc_bulk(timers, N_TIMERS, ret_timers) != 0)
		exit(99);
	KEEP_FRAME;
}

NOT_INLINED static void *
make_block(void)
{
	void *block = malloc(BLOCK_BYTES);

	if (block == NULL)
		exit(99);
	memset(block, 1, BLOCK_BYTES);
	return block;
}

static void
fork_one(void)
{
	pid_t child = fork();

	if (child == 0) {
		open_conns(7000);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

int
main(int argc, char **argv)
{
	static void *armed[N_TIMERS];
	void *block;

	if (conn_cache_create(&conns, NULL) != 0 ||
	    cubby_cache_create_sized(&timers, "timer", 40, 0, NULL) != 0)
		return 99;
	open_conns(3000);
	accept_conns(2000);
	reserve_conns(1000);
	block = make_block();
	if (argc > 1 && strcmp(argv[1], "fork") == 0)
		fork_one();
	arm_timers(armed);
	cubby_free_bulk(timers, N_TIMERS, armed);
	if (argc > 1 && strcmp(argv[1], "abort") == 0)
		abort();
	free(block);
	return argc > 1 ? atoi(argv[1]) : 0;
}
