/* SPDX-License-Identifier: MIT */
/* No handler runs under a lock, and debug builds know the order. */
#include "unit.h"

#include "lock.h"

static volatile sig_atomic_t n_handled;

static void
handle(int signal_number)
{
	(void)signal_number;
	n_handled++;
}

static sigset_t
mask_now(void)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return mask;
}

static bool
same_mask(const sigset_t *a, const sigset_t *b)
{
	for (int i = 1; i < SIGRTMAX; i++)
		if (sigismember(a, i) != sigismember(b, i))
			return false;
	return true;
}

static bool
all_blocked(void)
{
	sigset_t mask = mask_now();

	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP && !sigismember(&mask, i))
			return false;
	return true;
}

static void
lock_acquire_any_blocks_signals_until_release(void **state)
{
	struct lock lock = LOCK_INIT(LOCK_RANK_SLAB);
	sigset_t before, saved, after;

	(void)state;
	signal(SIGUSR1, handle);
	n_handled = 0;
	before = mask_now();
	assert_false(sigismember(&before, SIGUSR1));
	cubby__lock_acquire(&lock, &saved);
	assert_true(all_blocked());
	raise(SIGUSR1);
	assert_int_equal(n_handled, 0);
	cubby__lock_release(&lock, &saved);
	assert_int_equal(n_handled, 1);
	after = mask_now();
	assert_true(same_mask(&before, &saved));
	assert_true(same_mask(&before, &after));
}

static void
lock_release_own_mask_comes_back(void **state)
{
	struct lock lock;
	sigset_t mine, saved, after, old;

	(void)state;
	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mine, &old);
	cubby__lock_init(&lock, LOCK_RANK_REGISTRY);
	assert_int_equal(lock.rank, LOCK_RANK_REGISTRY);
	cubby__lock_acquire(&lock, &saved);
	cubby__lock_release(&lock, &saved);
	after = mask_now();
	assert_true(same_mask(&mine, &after));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void
lock_block_signals_restored_by_its_pair(void **state)
{
	sigset_t before = mask_now();
	sigset_t saved, after;

	(void)state;
	cubby__lock_block_signals(&saved);
	assert_true(all_blocked());
	cubby__lock_restore_signals(&saved);
	after = mask_now();
	assert_true(same_mask(&before, &after));
}

static void
lock_acquire_nested_leaves_signals_blocked(void **state)
{
	struct lock outer = LOCK_INIT(LOCK_RANK_SLAB);
	struct lock inner = LOCK_INIT(LOCK_RANK_GRANULE);
	sigset_t saved;

	(void)state;
	cubby__lock_acquire(&outer, &saved);
	cubby__lock_acquire_nested(&inner);
	assert_int_equal(pthread_mutex_trylock(&inner.mutex), EBUSY);
	assert_int_equal(pthread_mutex_trylock(&outer.mutex), EBUSY);
	cubby__lock_release_nested(&inner);
	assert_true(all_blocked());
	assert_int_equal(pthread_mutex_trylock(&inner.mutex), 0);
	pthread_mutex_unlock(&inner.mutex);
	cubby__lock_release(&outer, &saved);
	assert_int_equal(pthread_mutex_trylock(&outer.mutex), 0);
	pthread_mutex_unlock(&outer.mutex);
}

static void
lock_seize_any_order_is_allowed(void **state)
{
	struct lock low = LOCK_INIT(LOCK_RANK_REGISTRY);
	struct lock high = LOCK_INIT(LOCK_RANK_GRANULE);
	sigset_t before = mask_now();
	sigset_t after;

	(void)state;
	cubby__lock_seize(&high);
	cubby__lock_seize(&low);
	assert_int_equal(pthread_mutex_trylock(&low.mutex), EBUSY);
	cubby__lock_unseize(&high);
	cubby__lock_unseize(&low);
	assert_int_equal(pthread_mutex_trylock(&low.mutex), 0);
	pthread_mutex_unlock(&low.mutex);
	after = mask_now();
	assert_true(same_mask(&before, &after));
}

#define N_THREADS 4

struct counter {
	struct lock lock;
	unsigned rounds;
	uint64_t value;
};

static void *
count(void *argument)
{
	struct counter *counter = argument;

	for (unsigned i = 0; i < counter->rounds; i++) {
		sigset_t saved;

		cubby__lock_acquire(&counter->lock, &saved);
		counter->value++;
		cubby__lock_release(&counter->lock, &saved);
	}
	return NULL;
}

static void
lock_acquire_many_threads_exclude_each_other(void **state)
{
	struct counter counter = { LOCK_INIT(LOCK_RANK_SLAB), scaled(20000),
				   0 };
	pthread_t threads[N_THREADS];

	(void)state;
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, count, &counter), 0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter.value, (uint64_t)N_THREADS * counter.rounds);
}

#ifdef CUBBY_DEBUG
struct order {
	enum lock_rank first, second;
};

static void
acquire_in_order(void *argument)
{
	const struct order *order = argument;
	struct lock first = LOCK_INIT(order->first);
	struct lock second = LOCK_INIT(order->second);
	sigset_t saved;

	cubby__lock_acquire(&first, &saved);
	cubby__lock_acquire_nested(&second);
	cubby__lock_release_nested(&second);
	cubby__lock_release(&first, &saved);
}

static void
release_what_is_not_held(void *argument)
{
	struct lock lock = LOCK_INIT(LOCK_RANK_SLAB);

	(void)argument;
	pthread_mutex_lock(&lock.mutex);
	cubby__lock_release_nested(&lock);
}
#endif

static void
lock_acquire_wrong_rank_aborts_in_debug_builds(void **state)
{
	(void)state;
#ifdef CUBBY_DEBUG
	for (int a = LOCK_RANK_REGISTRY; a <= LOCK_RANK_GRANULE; a++) {
		for (int b = LOCK_RANK_REGISTRY; b <= LOCK_RANK_GRANULE; b++) {
			struct order order = { (enum lock_rank)a,
					       (enum lock_rank)b };
			struct ending ending = run_forked(acquire_in_order,
							  &order);

			assert_int_equal(ending.signal, a < b ? 0 : SIGABRT);
			assert_true(a < b ||
				    strstr(ending.output, "held_ranks"));
		}
	}
#else
	skip_because("ranks are checked in debug builds");
#endif
}

static void
lock_release_not_held_aborts_in_debug_builds(void **state)
{
	(void)state;
#ifdef CUBBY_DEBUG
	assert_int_equal(run_forked(release_what_is_not_held, NULL).signal,
			 SIGABRT);
#else
	skip_because("ranks are checked in debug builds");
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			lock_acquire_any_blocks_signals_until_release),
		cmocka_unit_test(lock_release_own_mask_comes_back),
		cmocka_unit_test(lock_block_signals_restored_by_its_pair),
		cmocka_unit_test(lock_acquire_nested_leaves_signals_blocked),
		cmocka_unit_test(lock_seize_any_order_is_allowed),
		cmocka_unit_test(lock_acquire_many_threads_exclude_each_other),
		cmocka_unit_test(
			lock_acquire_wrong_rank_aborts_in_debug_builds),
		cmocka_unit_test(lock_release_not_held_aborts_in_debug_builds),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
