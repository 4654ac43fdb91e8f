/* SPDX-License-Identifier: MIT */
#include "unit/with_cache.h"

#include "debug_rules.h"

#include <fcntl.h>

#define F CUBBY_DEBUG_CHECKS
#define Z CUBBY_DEBUG_RED_ZONE
#define P CUBBY_DEBUG_POISON
#define U CUBBY_DEBUG_USER
#define T CUBBY_DEBUG_TRACE

static struct debug_rules
rules_of(const char *text, const char *cache)
{
	struct debug_rules rules;

	cubby__debug_rules_find_in(text, cache, &rules);
	return rules;
}

static void
letters_and_words_mean_the_same(void **state)
{
	static const struct {
		const char *text;
		uint64_t flags;
	} known[] = {
		{ "", 0 },
		{ "F", F },
		{ "fzpu", F | Z | P | U },
		{ "FZPU", F | Z | P | U },
		{ "ZT", Z | T },
		{ "O", 0 },
		{ "checks", F },
		{ "red-zone+poison", Z | P },
		{ "user+trace+checks", U | T | F },
		{ "all", F | Z | P | U },
		{ "all+T", F | Z | P | U | T },
		{ "F;Z", Z },
		{ "-", 0 },
		{ "F-", 0 },
		{ "-F", F },
		{ "off", 0 },
		{ "Z,", Z },
		{ "Z;", Z },
		{ ";;Z", Z },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(cubby__debug_rules_check(known[i].text), 0);
		assert_int_equal(rules_of(known[i].text, "conn").flags,
				 known[i].flags);
	}
	assert_true(rules_of("-", "conn").is_off);
	assert_true(rules_of("F-", "conn").is_off);
	assert_false(rules_of("-F", "conn").is_off);
}

static void
the_first_block_that_names_a_cache_counts(void **state)
{
	static const char text[] = "F;Z,conn*,time?;P,connection;-,log;U,log;T";

	(void)state;
	assert_int_equal(rules_of(text, "conn").flags, Z);
	assert_int_equal(rules_of(text, "connection").flags, Z);
	assert_int_equal(rules_of(text, "timer").flags, Z);
	assert_int_equal(rules_of(text, "timers").flags, T);
	assert_int_equal(rules_of(text, "other").flags, T);
	assert_int_equal(rules_of(text, "log").flags, 0);
	assert_true(rules_of(text, "log").is_off);
	/* As in the kernel: names alone mean all. */
	assert_int_equal(rules_of(",conn", "conn").flags, F | Z | P | U);
	assert_int_equal(rules_of(",conn", "log").flags, 0);
}

static void
values_are_numbers(void **state)
{
	struct debug_rules rules = rules_of(
		"P+quarantine=1M+fail-nth=3+fail-every=10+fail-ppm=7", "x");

	(void)state;
	assert_int_equal(rules.flags, P);
	assert_int_equal(rules.quarantine_bytes, 1 << 20);
	assert_int_equal(rules.fail_nth, 3);
	assert_int_equal(rules.fail_every, 10);
	assert_int_equal(rules.fail_ppm, 7);
}

static void
what_is_not_understood_is_ignored_and_said(void **state)
{
	static const struct {
		const char *text;
		unsigned n_refused;
		uint64_t flags;
	} bad[] = {
		{ "X", 1, 0 },
		{ "FX", 1, 0 }, /* all of the word, or nothing */
		{ "F+nonsense+Z", 1, F | Z },
		{ "poison=3", 1, 0 },
		{ "quarantine", 1, 0 },
		{ "quarantine=", 1, 0 },
		{ "quarantine=x+P", 1, P },
		{ "=", 1, 0 },
		{ "a;b;c", 3, 0 },
		{ "F, conn", 1, 0 },
		{ "F,log in,conn", 1, F },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(cubby__debug_rules_check(bad[i].text),
				 bad[i].n_refused);
		assert_int_equal(rules_of(bad[i].text, "conn").flags,
				 bad[i].flags);
	}
}

/* Any text is read to its end, and no further. */
static void
any_text_will_do(void **state)
{
	static const char letters[] = "FZPU-oxX+;,=*?19KMquarantine\xff\n";
	uint64_t seed = 5;
	int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);

	(void)state;
	dup2(null, STDERR_FILENO);
	for (size_t n = 0; n < scaled(200000); n++) {
		size_t n_bytes = random_below(&seed, 40);
		char *text = malloc(n_bytes + 1);
		struct debug_rules rules;

		for (size_t i = 0; i < n_bytes; i++)
			text[i] = letters[random_below(&seed,
						       sizeof(letters) - 1)];
		text[n_bytes] = '\0';
		if (n % 16 == 0)
			cubby__debug_rules_check(text);
		rules = rules_of(text, "conn");
		assert_true(rules.is_off <= 1);
		if (rules.is_off)
			assert_int_equal(rules.flags, 0);
		free(text);
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_and_words_mean_the_same),
		cmocka_unit_test(the_first_block_that_names_a_cache_counts),
		cmocka_unit_test(values_are_numbers),
		cmocka_unit_test(what_is_not_understood_is_ignored_and_said),
		cmocka_unit_test(any_text_will_do),
	};

	return cmocka_run_group_tests_name("debug_rules", tests, NULL, NULL);
}
