/* SPDX-License-Identifier: MIT */
/* Tests of libcubby-rcu: sections of urcu-bp, and what fork() makes of them. */
#include "unit.h"

#include "support/oracle.h"

#include <cubby/rcu.h>

#include <pthread.h>
#include <urcu/urcu-bp.h>

#define A_WHILE_US 20000
#define CHILD_SECONDS 30

static int is_reading, may_leave, is_synchronized;

static void
set(int *flag, int value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

static int
is_set(const int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void
wait_for(const int *flag)
{
	while (!is_set(flag))
		usleep(100);
}

static int
start_over(void **state)
{
	(void)state;
	set(&is_reading, 0);
	set(&may_leave, 0);
	set(&is_synchronized, 0);
	return 0;
}

static void *
read_for_long(void *unused)
{
	cubby_rcu_read_lock();
	cubby_rcu_read_lock();
	cubby_rcu_read_unlock();
	set(&is_reading, 1);
	wait_for(&may_leave);
	cubby_rcu_read_unlock();
	return unused;
}

static void *
synchronize(void *unused)
{
	urcu_bp_synchronize_rcu();
	set(&is_synchronized, 1);
	return unused;
}

static pthread_t
start(void *(*fn)(void *))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, NULL), 0);
	return thread;
}

static void
flavor_is_urcu_bp(void **state)
{
	(void)state;
	assert_ptr_equal(cubby_rcu_flavor(), &urcu_bp_flavor);
	assert_ptr_equal(cubby_rcu_flavor(), cubby_rcu_flavor());
}

static void
read_lock_nests_and_holds_grace_periods_up(void **state)
{
	pthread_t reader = start(read_for_long), writer;

	(void)state;
	wait_for(&is_reading);
	writer = start(synchronize);
	usleep(A_WHILE_US);
	assert_false(is_set(&is_synchronized));
	set(&may_leave, 1);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
	assert_true(is_set(&is_synchronized));
}

static void *
end_in_a_section(void *unused)
{
	cubby_rcu_read_lock();
	return unused;
}

static void
thread_that_ends_in_a_section_holds_nothing_up(void **state)
{
	(void)state;
	pthread_join(start(end_in_a_section), NULL);
	pthread_join(start(synchronize), NULL);
	assert_true(is_set(&is_synchronized));
}

/* A reader that is not there in the child would hold it up for ever. */
static void
child_waits_for_no_reader_of_its_parent(void **state)
{
	const struct rcu_flavor_struct *flavor = cubby_rcu_flavor();
	pthread_t reader = start(read_for_long);
	pid_t pid;

	(void)state;
	assert_non_null(flavor);
	wait_for(&is_reading);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		cubby_rcu_read_lock();
		cubby_rcu_read_unlock();
		urcu_bp_synchronize_rcu();
		_exit(0);
	}
	assert_int_equal(test_wait_child(pid, CHILD_SECONDS), 0);
	set(&may_leave, 1);
	pthread_join(reader, NULL);
	pthread_join(start(synchronize), NULL);
}

/* Nor is a grace period that somebody waits for. */
static void
child_is_not_in_the_grace_period_of_its_parent(void **state)
{
	pthread_t reader, writer;
	pid_t pid;

	(void)state;
	if (test_on_tsan())
		skip_because("it misses threads that a child cannot join");
	reader = start(read_for_long);
	wait_for(&is_reading);
	writer = start(synchronize);
	usleep(A_WHILE_US);
	/* fork() waits for the grace period, which waits for the reader. */
	set(&may_leave, 1);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		urcu_bp_synchronize_rcu();
		_exit(0);
	}
	assert_int_equal(test_wait_child(pid, CHILD_SECONDS), 0);
	pthread_join(reader, NULL);
	pthread_join(writer, NULL);
}

struct called {
	struct rcu_head head;
	int flag;
};

static void
set_called(struct rcu_head *head)
{
	set(&caa_container_of(head, struct called, head)->flag, 1);
}

/* What RECLAIM_POLL asks for: call_rcu() goes on in the child. */
static void
child_has_a_call_rcu_thread(void **state)
{
	static struct called before, after;
	pid_t pid;

	(void)state;
	if (test_on_tsan())
		skip_because("no threads after such a fork");
	urcu_bp_call_rcu(&before.head, set_called);
	wait_for(&before.flag);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	urcu_bp_call_rcu(&after.head, set_called);
	wait_for(&after.flag);
	if (pid == 0)
		_exit(0);
	assert_int_equal(test_wait_child(pid, CHILD_SECONDS), 0);
}

/* By hand, where no handlers run; signals are blocked in between. */
static void
hooks_keep_the_signal_mask(void **state)
{
	sigset_t before, between, after;

	(void)state;
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	cubby_rcu_before_fork();
	pthread_sigmask(SIG_BLOCK, NULL, &between);
	cubby_rcu_after_fork_parent();
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_false(sigismember(&before, SIGUSR1));
	assert_true(sigismember(&between, SIGUSR1));
	assert_false(sigismember(&after, SIGUSR1));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(flavor_is_urcu_bp),
		cmocka_unit_test_setup(
			read_lock_nests_and_holds_grace_periods_up,
			start_over),
		cmocka_unit_test_setup(
			thread_that_ends_in_a_section_holds_nothing_up,
			start_over),
		cmocka_unit_test_setup(child_waits_for_no_reader_of_its_parent,
				       start_over),
		cmocka_unit_test_setup(
			child_is_not_in_the_grace_period_of_its_parent,
			start_over),
		cmocka_unit_test_setup(child_has_a_call_rcu_thread,
				       start_over),
		cmocka_unit_test(hooks_keep_the_signal_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
