/* SPDX-License-Identifier: MIT */
/*
 * malloc_hazard_process fork N|vfork|exec: new processes of a program that
 * allocates.  Linked to malloc_hazard_library.c.
 */
#include "malloc_check.h"
#include "malloc_hazard.h"

#include <stdbool.h>
#include <sys/wait.h>

#define N_THREADS 4
#define N_BLOCKS 300
#define CHILD_S 20 /* a child that takes longer hangs */

extern char **environ;

static void *blocks[N_BLOCKS];
static bool is_over;
static int n_early, n_late; /* handlers that were called */

static void
churn(uint64_t *state)
{
	size_t at = random_below(state, N_BLOCKS), bytes;
	void *block = __atomic_exchange_n(&blocks[at], NULL, __ATOMIC_ACQ_REL);

	bytes = random_below(state, random_below(state, 50) ? 2000 : 300000);
	block = realloc(block, bytes + 1);
	*(char *)block = 1;
	block = __atomic_exchange_n(&blocks[at], block, __ATOMIC_ACQ_REL);
	free(block);
}

static void *
loop(void *argument)
{
	uint64_t state = (uintptr_t)argument;

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		churn(&state);
	return NULL;
}

static void
allocate_early(void)
{
	free(realloc(strdup("early"), 30000));
	n_early++;
}

static void
allocate_late(void)
{
	free(calloc(9, 90000));
	free(strdup("late"));
	n_late++;
}

static void
await(pid_t child)
{
	int status = -1;

	CHECK(waitpid(child, &status, 0), ==, child);
	CHECK(status, ==, 0);
}

static void *
child_thread(void *argument)
{
	churn(argument);
	return NULL;
}

static void
child_work(int i, bool may_fork)
{
	uint64_t state = (uint64_t)i + 1;
	pthread_t id;
	pid_t grandchild;

	alarm(CHILD_S);
	for (int j = 0; j < 500; j++)
		churn(&state);
	if (pthread_create(&id, NULL, child_thread, &state) == 0)
		pthread_join(id, NULL);
	if (!may_fork)
		return;
	grandchild = fork();
	if (grandchild == 0) {
		child_work(i + 1000, false);
		_exit(n_faults != 0);
	}
	await(grandchild);
}

static int
test_fork(int n_forks)
{
	pthread_t ids[N_THREADS];

	pthread_atfork(allocate_early, allocate_early, allocate_early);
	for (int i = 0; i < N_THREADS; i++)
		CHECK(pthread_create(&ids[i], NULL, loop,
				     (void *)(uintptr_t)(i + 1)),
		      ==, 0);
	pthread_atfork(allocate_late, allocate_late, allocate_late);
	for (int i = 0; i < n_forks; i++) {
		pid_t child = fork();

		if (child == 0) {
			child_work(i, i % 10 == 0);
			if (i % 2 == 0)
				_exit(n_faults != 0);
			exit(n_faults != 0);
		}
		await(child);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(ids[i], NULL);
	CHECK(n_early, ==, 2 * n_forks);
	CHECK(n_late, ==, 2 * n_forks);
	if (getenv("HAZARD_EARLY_ATFORK") != NULL)
		CHECK(hazard_early.n_after, ==, n_forks);
	return check_end();
}

/* Many shells do so: the child allocates in the memory of its parent. */
static __attribute__((noinline)) pid_t
start_by_vfork(char *self)
{
	char *const arguments[] = { self, "check", NULL };
	pid_t child = vfork();

	if (child == 0) {
		uint64_t state = 5;

		for (int i = 0; i < 50; i++)
			churn(&state);
		execv(self, arguments);
		_exit(3);
	}
	return child;
}

static int
test_vfork(char *self)
{
	uint64_t state = 6;

	for (int i = 0; i < 50; i++) {
		await(start_by_vfork(self));
		for (int j = 0; j < 500; j++)
			churn(&state);
	}
	return check_end();
}

/* The environment is as main() below made it, and usable. */
static int
check_environment(void)
{
	char name[32], value[32];

	CHECK(getenv("HAZARD_GONE"), ==, NULL);
	for (int i = 0; getenv("HAZARD_0") != NULL && i < 100; i++) {
		snprintf(name, sizeof(name), "HAZARD_%d", i);
		snprintf(value, sizeof(value), "value %d", i * i);
		CHECK(getenv(name), !=, NULL);
		CHECK(strcmp(getenv(name), value), ==, 0);
	}
	free(malloc(1000));
	return n_faults != 0;
}

static void *
exec_here(void *self)
{
	char *arguments[] = { self, "check", NULL };

	execve(self, arguments, environ);
	_exit(3);
}

/* By a thread, while others allocate. */
static int
test_exec(char *self)
{
	pthread_t id;
	char name[32], value[32];

	setenv("HAZARD_GONE", "1", 1);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "HAZARD_%d", i);
		snprintf(value, sizeof(value), "value %d", i * i);
		setenv(name, value, 1);
	}
	unsetenv("HAZARD_GONE");
	for (int i = 0; i < N_THREADS; i++)
		CHECK(pthread_create(&id, NULL, loop,
				     (void *)(uintptr_t)(i + 1)),
		      ==, 0);
	CHECK(pthread_create(&id, NULL, exec_here, self), ==, 0);
	pthread_join(id, NULL);
	return 3;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc > 2 && strcmp(what, "fork") == 0)
		return test_fork(atoi(argv[2]));
	if (strcmp(what, "vfork") == 0)
		return test_vfork(argv[0]);
	if (strcmp(what, "exec") == 0)
		return test_exec(argv[0]);
	return strcmp(what, "check") == 0 ? check_environment() : 2;
}
