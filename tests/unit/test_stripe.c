/* SPDX-License-Identifier: MIT */
/* Stripes: threads that come and go, block numbers, brackets and waiting. */
#include "unit.h"

#include "granule.h"
#include "options.h"
#include "stripe.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

/* As stripe.c: block 0, and the room of two that the header took. */
#define N_BLOCKS_LESS 3
#define N_THREADS 8
#define WAIT_NS 100000000

static unsigned n_exits;
static struct stripe *exited;
static bool mine_at_exit;

static void
on_exit_of(struct stripe *stripe)
{
	n_exits++;
	exited = stripe;
	mine_at_exit = cubby__stripe_mine() != NULL;
}

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(cubby__granule_init(), 0);
	/* Also where the suite runs without magazines. */
	assert_int_equal(cubby__options_apply("front=thread"), 0);
	cubby__stripe_init(on_exit_of);
	assert_true(cubby__stripe_works());
	return 0;
}

/* A thread that stops where it is told to, and goes on when it may. */
struct partner {
	pthread_t thread;
	sem_t reached, may_go;
	struct stripe *stripe;
	pid_t tid;
	bool in_bracket;
};

static void *
attach_and_stop(void *argument)
{
	struct partner *partner = argument;

	partner->stripe = cubby__stripe_mine();
	partner->tid = gettid();
	if (partner->in_bracket)
		stripe_enter(partner->stripe);
	sem_post(&partner->reached);
	while (sem_wait(&partner->may_go) != 0)
		continue;
	if (partner->in_bracket)
		stripe_leave(partner->stripe);
	return NULL;
}

static void
start(struct partner *partner, bool in_bracket)
{
	partner->in_bracket = in_bracket;
	sem_init(&partner->reached, 0, 0);
	sem_init(&partner->may_go, 0, 0);
	assert_int_equal(pthread_create(&partner->thread, NULL,
					attach_and_stop, partner),
			 0);
	while (sem_wait(&partner->reached) != 0)
		continue;
}

static void
end(struct partner *partner)
{
	sem_post(&partner->may_go);
	assert_int_equal(pthread_join(partner->thread, NULL), 0);
}

/* ----------------------------- come and go -------------------------------- */

static void
stripe_mine_is_one_for_the_threads_life(void **state)
{
	struct stripe *mine = cubby__stripe_mine();

	(void)state;
	assert_non_null(mine);
	assert_ptr_equal(cubby__stripe_mine(), mine);
	assert_ptr_equal(cubby__stripe_current(), mine);
	assert_ptr_equal(cubby__my_stripe, STRIPE_FENCED ? NULL : mine);
	assert_int_equal(mine->state, STRIPE_USED);
	assert_int_equal(mine->tid, gettid());
	assert_int_equal(mine->busy, 0);
	assert_ptr_equal(mine->magazines, cubby__magazine_base);
	assert_ptr_equal(stripe_block(mine, 0), &mine->blocks[0]);
}

static void *
only_look(void *nothing)
{
	return cubby__stripe_current() == NULL ? nothing : &n_exits;
}

static void
stripe_current_does_not_attach(void **state)
{
	uint32_t n = cubby__stripe_n();
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, only_look, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(cubby__stripe_n(), n);
}

static void
stripe_of_ended_thread_is_the_next_ones(void **state)
{
	struct partner first, second;
	uint32_t n;

	(void)state;
	start(&first, false);
	n = cubby__stripe_n();
	n_exits = 0;
	first.stripe->blocks[5].deferred = 17; /* what is left is kept */
	end(&first);
	assert_int_equal(n_exits, 1);
	assert_ptr_equal(exited, first.stripe);
	assert_false(mine_at_exit);
	assert_int_equal(first.stripe->state, STRIPE_FREE);
	assert_int_equal(first.stripe->tid, 0);
	start(&second, false);
	assert_ptr_equal(second.stripe, first.stripe);
	assert_int_equal(second.stripe->tid, second.tid);
	assert_int_equal(second.stripe->blocks[5].deferred, 17);
	second.stripe->blocks[5].deferred = 0;
	assert_int_equal(cubby__stripe_n(), n);
	end(&second);
}

static void
stripe_mine_of_many_threads_is_each_ones_own(void **state)
{
	static struct partner partners[N_THREADS];

	(void)state;
	for (int i = 0; i < N_THREADS; i++) {
		start(&partners[i], false);
		assert_non_null(partners[i].stripe);
		assert_ptr_not_equal(partners[i].stripe, cubby__stripe_mine());
		for (int j = 0; j < i; j++)
			assert_ptr_not_equal(partners[i].stripe,
					     partners[j].stripe);
	}
	assert_true(cubby__stripe_n() > N_THREADS);
	for (int i = 0; i < N_THREADS; i++)
		end(&partners[i]);
}

static struct stripe *mine_late;

static void
late_destructor(void *value)
{
	mine_late = cubby__stripe_mine();
	(void)value;
}

static void *
attach_and_set_key(void *key)
{
	cubby__stripe_mine();
	pthread_setspecific(*(pthread_key_t *)key, key);
	return NULL;
}

/* Keys' destructors run in the keys' order; this one was made after ours. */
static void
stripe_mine_in_a_late_destructor_is_null(void **state)
{
	uint32_t n = cubby__stripe_n();
	pthread_t thread;
	pthread_key_t key;

	(void)state;
	mine_late = exited;
	assert_int_equal(pthread_key_create(&key, late_destructor), 0);
	assert_int_equal(
		pthread_create(&thread, NULL, attach_and_set_key, &key), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_null(mine_late);
	assert_int_equal(cubby__stripe_n(), n);
	assert_int_equal(pthread_key_delete(key), 0);
}

/* ------------------------------ block numbers ----------------------------- */

static void
stripe_take_block_each_once_until_none_is_left(void **state)
{
	struct stripe *mine = cubby__stripe_mine();
	uint32_t n = 0, offset, n_expected;
	struct partner partner;

	(void)state;
	start(&partner, false); /* two stripes tell how large they are */
	n_expected = (uint32_t)((char *)cubby__stripe_at(1) -
				(char *)cubby__stripe_at(0)) /
			     BLOCK_BYTES -
		     N_BLOCKS_LESS;
	while ((offset = cubby__stripe_take_block()) != 0) {
		assert_int_equal(offset, ++n * BLOCK_BYTES); /* the lowest */
		assert_int_equal(stripe_block(mine, offset)->loaded, 0);
	}
	assert_int_equal(n, n_expected);
	assert_int_equal(cubby__stripe_take_block(), 0);
	cubby__stripe_give_block(700 * BLOCK_BYTES);
	cubby__stripe_give_block(3 * BLOCK_BYTES);
	cubby__stripe_give_block(0); /* of a cache without one */
	assert_int_equal(cubby__stripe_take_block(), 3 * BLOCK_BYTES);
	assert_int_equal(cubby__stripe_take_block(), 700 * BLOCK_BYTES);
	assert_int_equal(cubby__stripe_take_block(), 0);
	for (uint32_t i = 1; i <= n; i++)
		cubby__stripe_give_block(i * BLOCK_BYTES);
	end(&partner);
}

/* --------------------------------- brackets ------------------------------- */

static void
stripe_enter_refuses_a_second_bracket(void **state)
{
	struct stripe *mine = cubby__stripe_mine();

	(void)state;
	assert_true(stripe_enter(mine));
	assert_false(stripe_enter(mine));
	assert_false(stripe_enter_unfenced(mine));
	stripe_leave(mine);
	assert_true(stripe_enter_unfenced(mine));
	assert_false(stripe_enter(mine));
	stripe_leave(mine);
	assert_int_equal(mine->busy, 0);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void
stripe_wait_names_the_thread_that_stays(void **state)
{
	struct partner quiet, busy;
	uint64_t start_ns;
	pid_t tid = -1;

	(void)state;
	assert_int_equal(cubby__stripe_wait(&tid), 0);
	start(&quiet, false);
	start(&busy, true);
	start_ns = now_ns();
	assert_int_equal(cubby__stripe_wait(&tid), -EBUSY);
	assert_true(now_ns() - start_ns >= WAIT_NS);
	assert_int_equal(tid, busy.tid);
	end(&busy);
	end(&quiet);
	assert_int_equal(cubby__stripe_wait(&tid), 0);
}

/* A handler that waits for its own thread would wait for ever. */
static void
stripe_wait_for_itself_is_refused(void **state)
{
	struct stripe *mine = cubby__stripe_mine();
	pid_t tid = -1;

	(void)state;
	assert_true(stripe_enter(mine));
	assert_int_equal(cubby__stripe_wait(&tid), -EBUSY);
	assert_int_equal(tid, gettid());
	stripe_leave(mine);
	assert_int_equal(cubby__stripe_wait(&tid), 0);
}

/* What a bracket stored is seen by who has waited for its end. */
static void *
count_in_brackets(void *argument)
{
	uint64_t *words = argument; /* gate, count, is over */
	struct stripe *mine = cubby__stripe_mine();
	bool open = true;

	while (open) {
		stripe_enter(mine);
		open = __atomic_load_n(&words[0], __ATOMIC_ACQUIRE);
		if (open)
			block_set(&words[1], block_get(&words[1]) + 1);
		stripe_leave(mine);
	}
	return NULL;
}

static void
stripe_wait_after_closing_sees_the_last_store(void **state)
{
	unsigned n_rounds = scaled(200);
	pid_t tid;

	(void)state;
	for (unsigned i = 0; i < n_rounds; i++) {
		uint64_t words[2] = { 1, 0 };
		pthread_t thread;
		uint64_t seen;

		assert_int_equal(pthread_create(&thread, NULL,
						count_in_brackets, words),
				 0);
		while (block_get(&words[1]) < i % 50)
			sched_yield();
		__atomic_store_n(&words[0], 0, __ATOMIC_RELEASE);
		/* A machine that is busy may keep it from running. */
		while (cubby__stripe_wait(&tid) != 0)
			continue;
		seen = words[1]; /* nobody writes it any more (T4) */
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(words[1], seen);
	}
}

/* ---------------------------------- fork ---------------------------------- */

static struct stripe *buried[N_THREADS];
static unsigned n_buried;

static void
bury(struct stripe *stripe)
{
	if (stripe->busy && n_buried < N_THREADS)
		buried[n_buried++] = stripe;
	if (stripe == cubby__stripe_current())
		n_buried = N_THREADS; /* not one's own */
}

/* In the child: what is wrong, or 0. */
static int
check_child(const struct partner *busy)
{
	struct stripe *mine = cubby__stripe_current();

	cubby__stripe_fork_child(bury);
	cubby__stripe_fork_done();
	if (n_buried != 1 || buried[0] != busy->stripe)
		return 1;
	if (busy->stripe->busy || busy->stripe->state != STRIPE_FREE)
		return 2;
	if (mine->tid != gettid() || cubby__stripe_mine() != mine)
		return 3;
	return cubby__stripe_wait(&(pid_t){ 0 }) == 0 ? 0 : 4;
}

static void
stripe_fork_child_buries_the_others(void **state)
{
	struct partner busy;
	int status = -1;
	pid_t pid;

	(void)state;
	cubby__stripe_mine();
	start(&busy, true);
	cubby__stripe_fork_prepare();
	pid = _Fork(); /* which calls no handlers: only this module */
	if (pid == 0)
		_exit(check_child(&busy));
	cubby__stripe_fork_done();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(busy.stripe->busy, 1); /* the parent's goes on */
	end(&busy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stripe_mine_is_one_for_the_threads_life),
		cmocka_unit_test(stripe_current_does_not_attach),
		cmocka_unit_test(stripe_of_ended_thread_is_the_next_ones),
		cmocka_unit_test(stripe_mine_of_many_threads_is_each_ones_own),
		cmocka_unit_test(stripe_mine_in_a_late_destructor_is_null),
		cmocka_unit_test(
			stripe_take_block_each_once_until_none_is_left),
		cmocka_unit_test(stripe_enter_refuses_a_second_bracket),
		cmocka_unit_test(stripe_wait_names_the_thread_that_stays),
		cmocka_unit_test(stripe_wait_for_itself_is_refused),
		cmocka_unit_test(
			stripe_wait_after_closing_sees_the_last_store),
		cmocka_unit_test(stripe_fork_child_buries_the_others),
	};

	return cmocka_run_group_tests_name("stripe", tests, setup, NULL);
}
