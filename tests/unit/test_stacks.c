/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "stacks.h"

#include <pthread.h>
#include <string.h>

#define N_THREADS 8
#define N_TURNS 2000

/* A stack for each path: two bits say which of four callers a step has. */
static uint32_t take_by(uint32_t path, unsigned depth);

#define STEP(name)                                                            \
	static __attribute__((noinline)) uint32_t name(uint32_t path,         \
						       unsigned depth)        \
	{                                                                     \
		uint32_t number = take_by(path, depth);                       \
		__asm__ volatile("" ::"r"(name) : "memory");                  \
		return number;                                                \
	}
STEP(step_a)
STEP(step_b)
STEP(step_c)
STEP(step_d)

static __attribute__((noinline)) uint32_t
take_by(uint32_t path, unsigned depth)
{
	static uint32_t (*const steps[])(
		uint32_t, unsigned) = { step_a, step_b, step_c, step_d };
	uint32_t number;

	if (depth == 0)
		number = cubby__stacks_take();
	else
		number = steps[path % 4](path / 4, depth - 1);
	__asm__ volatile("" ::: "memory");
	return number;
}

static void
equal_stacks_have_one_number(void **state)
{
	uint32_t first[2] = { 0, 0 };

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		uint32_t number = take_by(i % 2 ? 5 : 6, 3);

		assert_true(number > 0 && number < cubby__stacks_end());
		if (first[i % 2] == 0)
			first[i % 2] = number;
		assert_int_equal(number, first[i % 2]);
	}
	assert_int_not_equal(first[0], first[1]);
}

static void
frames_are_the_callers(void **state)
{
	void *const *frames;
	size_t n = cubby__stacks_frames(take_by(3, 2), &frames);
	char buffer[512];
	struct text text;
	bool found = false;

	(void)state;
	assert_in_range(n, 5, STACK_FRAMES_MAX);
	for (size_t i = 0; i < n; i++) {
		uintptr_t at = (uintptr_t)frames[i];
		uintptr_t begin = (uintptr_t)frames_are_the_callers;

		found |= at > begin && at < begin + 4096;
	}
	assert_true(found);
	assert_int_equal(cubby__stacks_frames(0, &frames), 0);
	assert_int_equal(cubby__stacks_frames(cubby__stacks_end(), &frames),
			 0);
	assert_int_equal(cubby__stacks_frames(UINT32_MAX, &frames), 0);
	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__stacks_describe(&text, (const void *)(uintptr_t)take_by);
	assert_non_null(strstr(buffer, "test_stacks+0x"));
	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__stacks_describe(&text, (const void *)16);
	assert_string_equal(buffer, "0x10");
	assert_int_equal(cubby__stacks_n_ours(frames, 0), 0);
}

static void *
take_many(void *argument)
{
	uint32_t *numbers = argument;

	for (uint32_t i = 0; i < N_TURNS; i++)
		numbers[i] = take_by(i, 6);
	return NULL;
}

/* As many threads as there are put the same ones in at once. */
static void
threads_agree_on_numbers(void **state)
{
	static uint32_t numbers[N_THREADS][N_TURNS];
	pthread_t threads[N_THREADS];

	(void)state;
	for (size_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many,
						numbers[i]),
				 0);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 1; i < N_THREADS; i++)
		assert_memory_equal(numbers[i], numbers[0],
				    sizeof(numbers[0]));
	for (size_t i = 0; i < N_TURNS; i++) {
		assert_int_not_equal(numbers[0][i], 0);
		for (size_t j = i + 1; j < i + 10 && j < N_TURNS; j++)
			assert_int_not_equal(numbers[0][i], numbers[0][j]);
	}
}

static void
fill_arena(void)
{
	uint32_t number = 1;
	uint32_t n;

	for (n = 0; number != 0 && n < 1u << 17; n++)
		number = take_by(n, 9);
	assert_int_equal(number, 0);
	assert_in_range(n, 1000, 1 << 16);
}

/* When there is no room for more, new ones are not known, old ones are. */
static void
a_full_arena_keeps_what_it_has(void **state)
{
	volatile unsigned n_turns = 2; /* so that it is one place */
	uint32_t first = 0;

	(void)state;
	for (volatile unsigned turn = 0; turn < n_turns; turn++) {
		uint32_t number = take_by(1, 1);

		if (turn == 0) {
			first = number;
			fill_arena();
		}
		assert_int_equal(number, first);
	}
	assert_true(cubby__stacks_end() <= 1 << 16);
}

static int
init(void **state)
{
	(void)state;
	return cubby__stacks_init() ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_stacks_have_one_number),
		cmocka_unit_test(frames_are_the_callers),
		cmocka_unit_test(threads_agree_on_numbers),
		cmocka_unit_test(a_full_arena_keeps_what_it_has),
	};

	return cmocka_run_group_tests_name("stacks", tests, init, NULL);
}
