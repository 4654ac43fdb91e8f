/* SPDX-License-Identifier: MIT */
/* What the tests of handles share: a cache of 1,000 objects, and reports. */
#ifndef WITH_HANDLES_H
#define WITH_HANDLES_H

#include "unit/with_cache.h"

#include "cache.h"
#include "options.h"
#include "weak.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define N_OBJECTS 1000

static struct cubby_cache *trucks __attribute__((unused));
static void *objects[N_OBJECTS] __attribute__((unused));
static uint64_t seed __attribute__((unused));

static inline uint64_t
random_word(void)
{
	return random_below(&seed, 1ull << 32) << 32 |
	       random_below(&seed, 1ull << 32);
}

static inline struct cubby_cache *
make_weak_cache(const char *name)
{
	return make_cache_named(name, 24,
				&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE));
}

static inline int
setup(void **state)
{
	(void)state;
	seed = 1;
	trucks = make_weak_cache("truck");
	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = must_alloc(trucks);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free(trucks, objects[i]);
	drop_cache(trucks);
	return 0;
}

/* printf() into a text that lasts until the next one. */
CUBBY_PRINTF(1, 2)
static inline const char *
text_of(const char *format, ...)
{
	static char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return text;
}

/* --------------------------------- misuse -------------------------------- */

static unsigned n_reports __attribute__((unused));
static uint32_t reported __attribute__((unused));

static inline void
note_report(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	n_reports++;
	reported = misuse->code;
}

/* One report of this code since the last time. */
static inline void
assert_one_report(uint32_t code)
{
	assert_int_equal(n_reports, 1);
	assert_int_equal(reported, code);
	n_reports = 0;
}

/* Misuse is counted here, and the program goes on, until it is undone. */
static inline void
begin_misuse(void)
{
	assert_int_equal(cubby__options_apply("misuse=continue"), 0);
	cubby_misuse_set_hook(note_report, NULL);
	n_reports = 0;
}

static inline void
end_misuse(void)
{
	assert_int_equal(n_reports, 0);
	cubby_misuse_set_hook(NULL, NULL);
	assert_int_equal(cubby__options_apply("misuse=abort"), 0);
}

#define WITH_TRUCKS(function)                                                 \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif /* WITH_HANDLES_H */
