/* SPDX-License-Identifier: MIT */
/* Codes, and a detail text for each thread that outlives its successes. */
#include "unit.h"

#include "error.h"
#include "os.h"

#include <cubby/cache.h>

#include <pthread.h>

static const struct {
	int code;
	const char *name;
} codes[] = {
	{ EINVAL, "EINVAL" },
	{ ENOMEM, "ENOMEM" },
	{ E2BIG, "E2BIG" },
	{ EBUSY, "EBUSY" },
	{ CUBBY_ENOSLOT, "CUBBY_ENOSLOT" },
	{ CUBBY_ELAYOUT, "CUBBY_ELAYOUT" },
	{ CUBBY_ELIVE, "CUBBY_ELIVE" },
	{ CUBBY_ENOCACHE, "CUBBY_ENOCACHE" },
	{ CUBBY_ECORRUPT, "CUBBY_ECORRUPT" },
};

/* The rows of a module are there if the program links it. */
static int (*const link_all_modules[])(struct cubby_cache **,
				       const struct cubby_layout *,
				       const struct cubby_cache_attr *)
	__attribute__((used)) = { cubby_cache_create };

static void
error_name_every_code_is_its_identifier(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_string_equal(cubby_error_name(codes[i].code),
				    codes[i].name);
		assert_string_equal(cubby_error_name(-codes[i].code),
				    codes[i].name);
	}
}

static void
error_text_every_code_has_its_own_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		const char *text = cubby_error_text(codes[i].code);

		assert_ptr_equal(cubby_error_text(-codes[i].code), text);
		assert_true(strlen(text) > 8);
		assert_string_not_equal(text, "unknown error");
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(
				text, cubby_error_text(codes[j].code));
	}
}

static void
error_name_unknown_number_says_so(void **state)
{
	static const int unknown[] = { 0,    1,       -1,        4095,
				       4101, -100000, INT32_MAX, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_string_equal(cubby_error_name(unknown[i]),
				    "unknown error");
		assert_string_equal(cubby_error_text(unknown[i]),
				    "unknown error");
	}
}

static void
error_detail_no_failure_yet_is_empty(void **state)
{
	(void)state;
	assert_string_equal(cubby_error_detail(), "");
}

static void
error_set_any_returns_its_code_and_keeps_errno(void **state)
{
	(void)state;
	errno = 4711;
	assert_int_equal(cubby__error_set(-EINVAL, "slot %d of '%s'", 3, "t"),
			 -EINVAL);
	assert_int_equal(errno, 4711);
	assert_string_equal(cubby_error_detail(), "slot 3 of 't'");
	assert_int_equal(cubby__error_set(-CUBBY_ELIVE, "%zu", (size_t)17),
			 -CUBBY_ELIVE);
	assert_string_equal(cubby_error_detail(), "17");
}

static void
error_detail_success_leaves_it(void **state)
{
	struct cubby_cache *cache;

	(void)state;
	cubby__error_set(-EINVAL, "stays");
	assert_int_equal(cubby_cache_create_sized(&cache, "c", 8, 0, NULL), 0);
	assert_int_equal(cubby_cache_destroy(cache), 0);
	assert_string_equal(cubby_error_detail(), "stays");
}

static void
error_set_long_text_is_cut_to_the_page(void **state)
{
	size_t n_bytes = 2 * page_bytes();
	char *text = malloc(n_bytes + 1);
	size_t used;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n_bytes);
	text[n_bytes] = '\0';
	cubby__error_set(-EINVAL, "%s", text);
	used = strlen(cubby_error_detail());
	assert_in_range(used, page_bytes() - 64, page_bytes() - 1);
	assert_memory_equal(cubby_error_detail(), text, used);
	free(text);
}

static void *
fail_and_look(void *argument)
{
	bool right = cubby_error_detail()[0] == '\0';

	cubby__error_set(-ENOMEM, "of thread %d", *(int *)argument);
	right &= atoi(cubby_error_detail() + strlen("of thread ")) ==
		 *(int *)argument;
	return (void *)(uintptr_t)right;
}

static void
error_detail_other_thread_has_its_own(void **state)
{
	(void)state;
	cubby__error_set(-EINVAL, "mine");
	for (int i = 0; i < 3; i++) {
		pthread_t thread;
		void *right;

		assert_int_equal(
			pthread_create(&thread, NULL, fail_and_look, &i), 0);
		pthread_join(thread, &right);
		assert_true((uintptr_t)right);
		assert_string_equal(cubby_error_detail(), "mine");
	}
}

/* Ended threads leave their record to the next one: one mapping for all. */
static void
error_set_threads_in_sequence_share_a_record(void **state)
{
	(void)state;
	cubby__error_set(-EINVAL, "the first record is mine");
	cubby__os_fail_at(0);
	for (int i = (int)scaled(300); i > 0; i--) {
		pthread_t thread;
		void *right;

		assert_int_equal(
			pthread_create(&thread, NULL, fail_and_look, &i), 0);
		pthread_join(thread, &right);
		assert_true((uintptr_t)right);
		assert_int_equal(cubby__os_n_calls(), 1);
	}
}

#define N_THREADS 4

struct barrier_and_number {
	pthread_barrier_t *barrier;
	int number;
};

static void *
fail_together(void *argument)
{
	struct barrier_and_number *mine = argument;
	uintptr_t wrong;

	pthread_barrier_wait(mine->barrier);
	cubby__error_set(-EINVAL, "%d", mine->number);
	pthread_barrier_wait(mine->barrier);
	wrong = atoi(cubby_error_detail()) != mine->number;
	pthread_barrier_wait(mine->barrier);
	return (void *)wrong;
}

static void
fail_in_threads(unsigned *n_wrong)
{
	struct barrier_and_number arguments[N_THREADS];
	pthread_t threads[N_THREADS];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, N_THREADS);
	for (int i = 0; i < N_THREADS; i++) {
		arguments[i] = (struct barrier_and_number){ &barrier, i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL,
						fail_together, &arguments[i]),
				 0);
	}
	for (int i = 0; i < N_THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		*n_wrong += wrong != NULL;
	}
	pthread_barrier_destroy(&barrier);
}

/*
 * Records come back one by one and go out one by one; never two threads in
 * one, and, as an exchange may find the stack empty for a moment, rarely a
 * mapping more than there are threads.
 */
static void
error_set_threads_at_once_never_share_a_record(void **state)
{
	unsigned rounds = scaled(200) + 50;
	unsigned n_wrong = 0;

	(void)state;
	cubby__os_fail_at(0);
	for (unsigned i = 0; i < rounds; i++)
		fail_in_threads(&n_wrong);
	assert_int_equal(n_wrong, 0);
	assert_true(cubby__os_n_calls() >= N_THREADS);
	assert_true(cubby__os_n_calls() < N_THREADS * rounds / 2);
}

/* Serial reuse after a pile of records: popped whole, the rest pushed back. */
static void
error_set_pile_of_records_is_used_up_first(void **state)
{
	unsigned n_wrong = 0;
	uint64_t mapped;

	(void)state;
	cubby__os_fail_at(0);
	fail_in_threads(&n_wrong);
	mapped = cubby__os_n_calls();
	assert_int_equal(mapped, N_THREADS);
	for (int i = 1; i <= 20; i++) {
		pthread_t thread;
		void *right;

		assert_int_equal(
			pthread_create(&thread, NULL, fail_and_look, &i), 0);
		pthread_join(thread, &right);
		assert_true((uintptr_t)right);
	}
	assert_int_equal(cubby__os_n_calls(), mapped);
	assert_int_equal(n_wrong, 0);
}

static void
error_set_no_page_gives_the_codes_own_text(void **state)
{
	(void)state;
	cubby__os_fail_at(1);
	errno = 4711;
	assert_int_equal(cubby__error_set(-CUBBY_ELIVE, "a detail"),
			 -CUBBY_ELIVE);
	assert_int_equal(errno, 4711);
	assert_string_equal(cubby_error_detail(),
			    cubby_error_text(CUBBY_ELIVE));
	cubby__error_set(-ENOMEM, "another");
	assert_string_equal(cubby_error_detail(), cubby_error_text(ENOMEM));
	cubby__os_fail_at(0);
	cubby__error_set(-ENOMEM, "a third");
	assert_string_equal(cubby_error_detail(), "a third");
}

/* When the low keys are taken, records of ended threads are lost, no more. */
static void
error_set_no_key_left_still_has_a_text(void **state)
{
	pthread_key_t key;
	unsigned n_wrong = 0;

	(void)state;
	while (pthread_key_create(&key, NULL) == 0)
		;
	fail_in_threads(&n_wrong);
	fail_in_threads(&n_wrong);
	assert_int_equal(n_wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_name_every_code_is_its_identifier),
		cmocka_unit_test(error_text_every_code_has_its_own_sentence),
		cmocka_unit_test(error_name_unknown_number_says_so),
		CHILD_TEST(error_detail_no_failure_yet_is_empty, NULL),
		CHILD_TEST(error_set_any_returns_its_code_and_keeps_errno,
			   NULL),
		CHILD_TEST(error_detail_success_leaves_it, NULL),
		CHILD_TEST(error_set_long_text_is_cut_to_the_page, NULL),
		CHILD_TEST(error_detail_other_thread_has_its_own, NULL),
		CHILD_TEST(error_set_threads_in_sequence_share_a_record, NULL),
		CHILD_TEST(error_set_threads_at_once_never_share_a_record,
			   NULL),
		CHILD_TEST(error_set_pile_of_records_is_used_up_first, NULL),
		CHILD_TEST(error_set_no_page_gives_the_codes_own_text, NULL),
		CHILD_TEST(error_set_no_key_left_still_has_a_text, NULL),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
