/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "piece.h"

#include <string.h>

static struct piece
piece(const char *text)
{
	return (struct piece){ text, strlen(text) };
}

static void
cut_leaves_what_is_behind_the_separator(void **state)
{
	struct piece rest = piece("a,,bc,");

	(void)state;
	assert_true(cubby__piece_is(cubby__piece_cut(&rest, ','), "a"));
	assert_true(cubby__piece_is(cubby__piece_cut(&rest, ','), ""));
	assert_true(cubby__piece_is(cubby__piece_cut(&rest, ','), "bc"));
	assert_int_equal(rest.n_bytes, 0);
	assert_true(cubby__piece_is(cubby__piece_cut(&rest, ','), ""));
}

static void
number_takes_suffixes_and_refuses_the_rest(void **state)
{
	static const char *const bad[] = {
		"",         "x",   "-1",
		"1k",       "1KB", "0x10",
		"K",        " 1",  "18446744073709551616",
		"16777216T"
	};
	uint64_t number = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(cubby__piece_number(piece(bad[i]), &number));
		assert_int_equal(number, 7);
	}
	assert_true(cubby__piece_number(piece("0"), &number));
	assert_int_equal(number, 0);
	assert_true(cubby__piece_number(piece("64K"), &number));
	assert_int_equal(number, 65536);
	assert_true(
		cubby__piece_number(piece("18446744073709551615"), &number));
	assert_true(number == UINT64_MAX);
	assert_true(cubby__piece_number(piece("16777215T"), &number));
	assert_true(number == UINT64_MAX << 40);
}

static void
patterns_match_as_a_shell_s(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} known[] = {
		{ "conn", "conn", true },
		{ "conn", "con", false },
		{ "conn", "connx", false },
		{ "conn*", "conn", true },
		{ "conn*", "connection", true },
		{ "*", "x", true },
		{ "*", "", true },
		{ "", "", true },
		{ "", "x", false },
		{ "?", "x", true },
		{ "?", "", false },
		{ "*er", "timer", true },
		{ "*er", "timers", false },
		{ "t*e*", "the", true },
		{ "*a*b*", "xxaxxbxx", true },
		{ "*a*b*", "xxbxxaxx", false },
		{ "*ab", "aab", true },
		{ "**x", "x", true },
		{ "a?c*", "abcd", true },
		{ "*aab", "aaaab", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (cubby__piece_matches(piece(known[i].pattern),
					 known[i].text) != known[i].matches)
			fail_msg("'%s' and '%s'", known[i].pattern,
				 known[i].text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_leaves_what_is_behind_the_separator),
		cmocka_unit_test(number_takes_suffixes_and_refuses_the_rest),
		cmocka_unit_test(patterns_match_as_a_shell_s),
	};

	return cmocka_run_group_tests_name("piece", tests, NULL, NULL);
}
