/* SPDX-License-Identifier: MIT */
/* CUBBY_OPTIONS with rows of the test's own beside the library's. */
#include "unit.h"

#include "options.h"
#include "os.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/stat.h>

static uint64_t flag, number, word;

OPTION_ROW(test_flag, OPTION_FLAG, &flag, NULL, "a flag");
OPTION_ROW(test_number, OPTION_NUMBER, &number, NULL, "a number");
OPTION_ROW(test_word, OPTION_WORD, &word, "zero|one|two", "a word");

#define UNTOUCHED 4711

static unsigned
apply(const char *options)
{
	flag = number = word = UNTOUCHED;
	return cubby__options_apply(options);
}

/* What a call wrote to standard error. */
struct applied {
	const char *options;
	unsigned n_refused;
};

static void
apply_in_child(void *argument)
{
	const struct applied *applied = argument;

	_exit(cubby__options_apply(applied->options) == applied->n_refused ?
		      0 :
		      1);
}

static struct ending
said(const char *options, unsigned n_refused)
{
	struct applied applied = { options, n_refused };
	struct ending ending = run_forked(apply_in_child, &applied);

	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 0);
	return ending;
}

static void
assert_refused(const char *piece)
{
	char expected[128];
	struct ending ending = said(piece, 1);

	snprintf(expected, sizeof(expected),
		 "cubby: CUBBY_OPTIONS: '%s' is ignored; known are ", piece);
	assert_memory_equal(ending.output, expected, strlen(expected));
}

static void
options_apply_nothing_changes_nothing(void **state)
{
	static const char *const empty[] = { "", ",", ",,,,", ",," };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		assert_int_equal(apply(empty[i]), 0);
		assert_int_equal(flag, UNTOUCHED);
		assert_int_equal(number, UNTOUCHED);
		assert_int_equal(word, UNTOUCHED);
		assert_string_equal(said(empty[i], 0).output, "");
	}
}

static void
options_apply_flag_becomes_1(void **state)
{
	(void)state;
	assert_int_equal(apply("test_flag"), 0);
	assert_int_equal(flag, 1);
	assert_int_equal(number, UNTOUCHED);
}

static void
options_apply_flag_with_a_value_is_refused(void **state)
{
	(void)state;
	assert_refused("test_flag=1");
	assert_refused("test_flag=");
	assert_refused("test_fla");
	assert_refused("test_flagg");
}

static void
options_apply_numbers_and_suffixes_are_exact(void **state)
{
	static const struct {
		const char *options;
		uint64_t number;
	} rows[] = {
		{ "test_number=0", 0 },
		{ "test_number=1", 1 },
		{ "test_number=00017", 17 },
		{ "test_number=1K", 1ull << 10 },
		{ "test_number=3M", 3ull << 20 },
		{ "test_number=64G", 64ull << 30 },
		{ "test_number=2T", 2ull << 40 },
		{ "test_number=0T", 0 },
		{ "test_number=16777215T", 16777215ull << 40 },
		{ "test_number=18014398509481983K",
		  18014398509481983ull << 10 },
		{ "test_number=18446744073709551609",
		  18446744073709551609ull },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(apply(rows[i].options), 0);
		assert_true(number == rows[i].number);
	}
}

static void
options_apply_bad_numbers_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[] = {
		"test_number",
		"test_number=",
		"test_number=K",
		"test_number=1k",
		"test_number=1KB",
		"test_number=1KK",
		"test_number= 1",
		"test_number=1 ",
		"test_number=-1",
		"test_number=+1",
		"test_number=0x10",
		"test_number=1.5G",
		"test_number==1",
		"test_number=1=2",
		"test_number=18446744073709551616",
		"test_number=184467440737095516100",
		"test_number=99999999999999999999999",
		"test_number=16777216T",
		"test_number=18014398509481984K",
		"Test_number=1",
		" test_number=1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_refused(bad[i]);
		flag = number = word = UNTOUCHED;
		assert_int_equal(apply(bad[i]), 1);
		assert_int_equal(number, UNTOUCHED);
	}
}

static void
options_apply_words_become_their_place(void **state)
{
	static const char *const words[] = { "test_word=zero", "test_word=one",
					     "test_word=two" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		assert_int_equal(apply(words[i]), 0);
		assert_int_equal(word, i);
	}
}

static void
options_apply_bad_words_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[] = {
		"test_word",      "test_word=",     "test_word=tw",
		"test_word=twos", "test_word=ONE",  "test_word=one|two",
		"test_word=|",    "test_word=three"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_refused(bad[i]);
		assert_int_equal(apply(bad[i]), 1);
		assert_int_equal(word, UNTOUCHED);
	}
}

static void
options_apply_list_takes_every_good_piece(void **state)
{
	(void)state;
	assert_int_equal(apply(",test_word=two,,nonsense,test_number=5K,"
			       "test_flag=2,test_flag,"),
			 2);
	assert_int_equal(word, 2);
	assert_int_equal(number, 5 << 10);
	assert_int_equal(flag, 1);
	assert_int_equal(apply("test_number=5,test_number=6"), 0);
	assert_int_equal(number, 6); /* the last one holds */
}

/* Names every row, in the order of the linker's table. */
static void
options_apply_unknown_is_reported_in_one_exact_line(void **state)
{
	struct ending ending = said("test_flag,colour=red,test_number=1", 1);
	const char *start =
		"cubby: CUBBY_OPTIONS: 'colour=red' is ignored; known are ";

	(void)state;
	assert_memory_equal(ending.output, start, strlen(start));
	assert_non_null(strstr(ending.output, " test_flag"));
	assert_null(strstr(ending.output, "test_flag="));
	assert_non_null(strstr(ending.output, " test_number=N"));
	assert_non_null(strstr(ending.output, " test_word=zero|one|two"));
	assert_non_null(strstr(ending.output, " fail_map=N"));
	assert_ptr_equal(strchr(ending.output, '\n'),
			 ending.output + strlen(ending.output) - 1);
}

static void
options_apply_long_unknown_piece_is_cut(void **state)
{
	char piece[2000], expected[256];
	struct ending ending;

	(void)state;
	memset(piece, 'q', sizeof(piece) - 1);
	piece[sizeof(piece) - 1] = '\0';
	ending = said(piece, 1);
	snprintf(expected, sizeof(expected),
		 "cubby: CUBBY_OPTIONS: '%.63s' is ignored; known are", piece);
	assert_memory_equal(ending.output, expected, strlen(expected));
}

/* --------------------------- reading once -------------------------------- */

static void
read_twice(void *argument)
{
	(void)argument;
	setenv("CUBBY_OPTIONS", "unheard-of,test_number=7", 1);
	cubby__options_read();
	if (number != 7)
		_exit(1);
	setenv("CUBBY_OPTIONS", "other,test_number=8", 1);
	cubby__options_read();
	_exit(number == 7 ? 0 : 2);
}

static void
options_read_second_call_reads_and_reports_nothing(void **state)
{
	struct ending ending = run_forked(read_twice, NULL);
	const char *first;

	(void)state;
	assert_int_equal(ending.code, 0);
	first = strstr(ending.output, "'unheard-of' is ignored");
	assert_non_null(first);
	assert_null(strstr(strchr(first, '\n'), "is ignored"));
}

static void
read_none(void *argument)
{
	(void)argument;
	unsetenv("CUBBY_OPTIONS");
	cubby__options_read();
}

static void
options_read_no_variable_is_quiet(void **state)
{
	struct ending ending = run_forked(read_none, NULL);

	(void)state;
	assert_int_equal(ending.signal, 0);
	assert_string_equal(ending.output, "");
}

static void *
read_in_thread(void *argument)
{
	(void)argument;
	cubby__options_read();
	return (void *)(uintptr_t)number;
}

static void
options_read_many_threads_all_see_the_value(void **state)
{
	pthread_t threads[8];
	void *seen;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						read_in_thread, NULL),
				 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &seen);
		assert_int_equal((uintptr_t)seen, 9);
	}
}

/* ------------------------------ setuid ----------------------------------- */

#define NOBODY 65534
#define EXIT_NOT_SECURE 77
#define PRIVILEGED "a-privileged-program"

/* main() of the copy that is run as somebody else's program. */
static int
read_as_privileged(void)
{
	if (getauxval(AT_SECURE) == 0)
		return EXIT_NOT_SECURE;
	number = UNTOUCHED;
	cubby__options_read();
	return number == UNTOUCHED ? 0 : 1;
}

static bool
copy_self(const char *path)
{
	char buffer[65536];
	int from = open("/proc/self/exe", O_RDONLY);
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ssize_t n = -1;

	while (from >= 0 && to >= 0 &&
	       (n = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)n) != n)
			break;
	close(from);
	close(to);
	return n == 0 && chown(path, NOBODY, NOBODY) == 0 &&
	       chmod(path, 04755) == 0;
}

static void
exec_privileged(void *path)
{
	setenv("CUBBY_OPTIONS", "test_number=5,rubbish", 1);
	unsetenv("LD_PRELOAD");
	execl(path, path, PRIVILEGED, (char *)NULL);
	_exit(EXIT_NOT_SECURE);
}

static void
options_read_setuid_program_ignores_them(void **state)
{
	char path[] = "/tmp/cubby-options-XXXXXX";
	struct ending ending = { .code = EXIT_NOT_SECURE };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	if (geteuid() == 0 && copy_self(path))
		ending = run_forked(exec_privileged, path);
	unlink(path);
	if (ending.code == EXIT_NOT_SECURE) {
		skip_because("cannot make a setuid program here");
	}
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 0);
	assert_null(strstr(ending.output, "is ignored"));
}

/* ------------------------------ properties ------------------------------- */

/* Refusals go to standard error: not ten thousand times to a log. */
static int
mute(void)
{
	int saved = dup(STDERR_FILENO);
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDERR_FILENO);
	close(null);
	return saved;
}

static void
unmute(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static size_t
random_piece(char *piece)
{
	static const char *const parts[] = {
		"test_flag", "test_number", "test_word", "=",    "one",
		"two",       "|",           "1",         "99",   "K",
		"T",         "G",           "=",         "test", ",",
	};
	size_t used = 0;

	for (unsigned n = (unsigned)random_below(6); n > 0; n--)
		used += (size_t)sprintf(
			piece + used, "%s",
			parts[random_below(ARRAY_SIZE(parts))]);
	while (random_below(4) == 0) {
		char c = (char)random_word();

		piece[used++] = c == '\0' ? '\1' : c;
	}
	return used;
}

static void
options_apply_random_text_does_not_crash(void **state)
{
	int saved = mute();
	char text[4096];

	(void)state;
	for (unsigned round = scaled(20000); round > 0; round--) {
		size_t used = 0, n_pieces = 1;
		unsigned n_refused;
		char *exact;

		for (unsigned n = (unsigned)random_below(6); n > 0; n--)
			used += random_piece(text + used);
		exact = malloc(used + 1); /* so that ASan sees its end */
		memcpy(exact, text, used);
		exact[used] = '\0';
		for (size_t i = 0; i < used; i++)
			n_pieces += exact[i] == ',';
		n_refused = apply(exact);
		free(exact);
		if (n_refused > n_pieces || (word > 2 && word != UNTOUCHED) ||
		    (flag != 1 && flag != UNTOUCHED)) {
			unmute(saved);
			fail_msg("round %u: %u refused, flag %ju, word %ju",
				 round, n_refused, (uintmax_t)flag,
				 (uintmax_t)word);
		}
	}
	unmute(saved);
}

static void
options_apply_random_numbers_are_exact_or_refused(void **state)
{
	int saved = mute();

	(void)state;
	for (unsigned round = scaled(20000); round > 0; round--) {
		static const char suffixes[] = { 'K', 'M', 'G', 'T' };
		unsigned i = (unsigned)random_below(5);
		unsigned shift = i < 4 ? 10 * (i + 1) : 0;
		uint64_t digits = random_word() >> random_below(64);
		bool fits = digits <= UINT64_MAX >> shift;
		char options[64];
		unsigned n_refused;

		snprintf(options, sizeof(options), "test_number=%ju%.*s",
			 (uintmax_t)digits, i < 4, &suffixes[i % 4]);
		n_refused = apply(options);
		if (n_refused != !fits ||
		    number != (fits ? digits << shift : UNTOUCHED)) {
			unmute(saved);
			fail_msg("%s gave %ju, %u refused", options,
				 (uintmax_t)number, n_refused);
		}
	}
	unmute(saved);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_apply_nothing_changes_nothing),
		cmocka_unit_test(options_apply_flag_becomes_1),
		cmocka_unit_test(options_apply_flag_with_a_value_is_refused),
		cmocka_unit_test(options_apply_numbers_and_suffixes_are_exact),
		cmocka_unit_test(
			options_apply_bad_numbers_are_refused_and_change_nothing),
		cmocka_unit_test(options_apply_words_become_their_place),
		cmocka_unit_test(
			options_apply_bad_words_are_refused_and_change_nothing),
		cmocka_unit_test(options_apply_list_takes_every_good_piece),
		cmocka_unit_test(
			options_apply_unknown_is_reported_in_one_exact_line),
		cmocka_unit_test(options_apply_long_unknown_piece_is_cut),
		cmocka_unit_test(
			options_read_second_call_reads_and_reports_nothing),
		cmocka_unit_test(options_read_no_variable_is_quiet),
		CHILD_TEST(options_read_many_threads_all_see_the_value,
			   "test_number=9"),
		cmocka_unit_test(options_read_setuid_program_ignores_them),
		cmocka_unit_test(options_apply_random_text_does_not_crash),
		cmocka_unit_test(
			options_apply_random_numbers_are_exact_or_refused),
	};

	if (argc == 2 && strcmp(argv[1], PRIVILEGED) == 0)
		_exit(read_as_privileged()); /* no leak check there */
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
