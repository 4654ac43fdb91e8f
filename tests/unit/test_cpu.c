/* SPDX-License-Identifier: MIT */
/* The list parser, and the table of what a registered rseq area offers. */
#include "unit.h"

#include "cpu.h"

static void
cpu_parse_list_kernel_lists_give_one_more_than_the_highest(void **state)
{
	static const struct {
		const char *list;
		uint32_t n;
	} rows[] = {
		{ "0", 1 },
		{ "0\n", 1 },
		{ "0-1\n", 2 },
		{ "0-3,8,10-11\n", 12 },
		{ "0-15", 16 },
		{ "7,3,5", 8 },
		{ "63,0-3\n", 64 },
		{ "0-4095\n", 4096 },
		{ "100,200-300,4", 301 },
		{ "1023\n", 1024 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(cubby__cpu_parse_list(rows[i].list),
				 rows[i].n);
}

static void
cpu_parse_list_malformed_gives_0(void **state)
{
	static const char *const lists[] = { "",       "\n",  "x",    "-3",
					     ",0",     " 0",  "0 1",  "0;1",
					     "0-3 ,4", "0x3", "0-3\t" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		assert_int_equal(cubby__cpu_parse_list(lists[i]), 0);
}

static void
cpu_parse_list_random_lists_agree_with_the_maximum(void **state)
{
	(void)state;
	for (unsigned round = scaled(2000); round > 0; round--) {
		uint32_t highest = 0;
		char list[256] = "";
		size_t used = 0;

		for (unsigned n = 1 + random_below(8); n > 0; n--) {
			uint32_t number = (uint32_t)random_below(10000);

			highest = number > highest ? number : highest;
			used += snprintf(list + used, sizeof(list) - used,
					 "%u%s", number,
					 n == 1          ? "" :
					 random_below(2) ? "-" :
							   ",");
		}
		assert_int_equal(cubby__cpu_parse_list(list), highest + 1);
	}
}

static void
cpu_parse_list_random_bytes_do_not_crash(void **state)
{
	static const char alphabet[] = "0123456789-,\n x";

	(void)state;
	for (unsigned round = scaled(20000); round > 0; round--) {
		size_t n = random_below(40);
		char *list = malloc(n + 1); /* so that ASan sees its end */

		assert_non_null(list);
		for (size_t i = 0; i < n; i++)
			list[i] = alphabet[random_below(sizeof(alphabet) - 1)];
		list[n] = '\0';
		if (cubby__cpu_parse_list(list) != 0)
			assert_in_range(list[0], '0', '9');
		free(list);
	}
}

static void
cpu_n_possible_any_holds_every_cpu(void **state)
{
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t n;

	(void)state;
	errno = 4711;
	n = cubby__cpu_n_possible();
	assert_int_equal(errno, 4711);
	assert_true(configured <= 0 || n >= (uint32_t)configured);
	assert_true(n >= 1 && n <= 65536);
}

static void
cpu_rseq_rule_size_and_feature_follow_the_table(void **state)
{
	static const uint64_t features[] = { 0, 20, 28, 40 };
	static const struct {
		uint32_t size;
		uint32_t usable[4]; /* by feature */
	} rows[] = {
		{ 0, { 0, 0, 0, 0 } },      { 20, { 20, 20, 28, 32 } },
		{ 28, { 28, 28, 28, 28 } }, { 32, { 20, 20, 28, 32 } },
		{ 33, { 33, 33, 33, 33 } }, { 64, { 64, 64, 64, 64 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t j = 0; j < ARRAY_SIZE(features); j++)
			assert_int_equal(cubby__cpu_rseq_rule(rows[i].size,
							      features[j]),
					 rows[i].usable[j]);
	assert_int_equal(cubby__cpu_rseq_rule(32, UINT64_MAX), 32);
}

static void
cpu_rseq_bytes_here_is_nothing_or_a_usable_area(void **state)
{
	uint32_t bytes = cubby__cpu_rseq_bytes();

	(void)state;
	assert_true(bytes == 0 || bytes >= RSEQ_BYTES_CPU_ID);
	assert_int_equal(cubby__cpu_rseq_bytes(), bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			cpu_parse_list_kernel_lists_give_one_more_than_the_highest),
		cmocka_unit_test(cpu_parse_list_malformed_gives_0),
		cmocka_unit_test(
			cpu_parse_list_random_lists_agree_with_the_maximum),
		cmocka_unit_test(cpu_parse_list_random_bytes_do_not_crash),
		cmocka_unit_test(cpu_n_possible_any_holds_every_cpu),
		cmocka_unit_test(
			cpu_rseq_rule_size_and_feature_follow_the_table),
		cmocka_unit_test(
			cpu_rseq_bytes_here_is_nothing_or_a_usable_area),
	};

	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
