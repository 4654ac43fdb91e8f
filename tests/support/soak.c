/* SPDX-License-Identifier: MIT */
/* Reports that were planted, and those that were not; see soak.h. */
#include "soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* A report may be another thread's to write, who gets no CPU for a while. */
#define HARVEST_US 200
#define HARVEST_TRIES (20 * 1000000 / HARVEST_US)

static struct plant {
	const void *address; /* NULL: there is none */
	uint32_t code;
	uint32_t n_found;
} plants[SOAK_OWNERS_MAX];

static uint64_t n_planted[SOAK_CODES_MAX], n_reported[SOAK_CODES_MAX];
static uint64_t n_before; /* reports, when these began */
static uint64_t round_seed;
static bool is_in_child;

void
soak_set_seed(uint64_t seed)
{
	round_seed = seed;
}

void
soak_die(const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	test_die("soak: %s%s\nsoak: once more with CUBBY_TEST_SEED=%llu", text,
		 is_in_child ? " (in a fork child)" : "",
		 (unsigned long long)round_seed);
}

/* --------------------------------- reports ------------------------------- */

static bool
matches(const struct plant *plant, const struct cubby_misuse *misuse)
{
	return __atomic_load_n(&plant->address, __ATOMIC_ACQUIRE) ==
		       misuse->address &&
	       plant->code == misuse->code;
}

/*
 * One that has not been found comes first: of one that has, the cell may be another
 * owner's by now, who writes to the same byte.  In a child its own comes first, which
 * is the last: what dead threads have planted stays for ever.
 */
static struct plant *
find(const struct cubby_misuse *misuse)
{
	struct plant *found = NULL;

	for (unsigned i = SOAK_OWNERS_MAX; i-- > 0;) {
		uint32_t none = 0;

		if (misuse->address == NULL || !matches(&plants[i], misuse))
			continue;
		if (__atomic_compare_exchange_n(&plants[i].n_found, &none, 1,
						false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return &plants[i];
		found = &plants[i];
	}
	if (found != NULL)
		__atomic_add_fetch(&found->n_found, 1, __ATOMIC_RELEASE);
	return found;
}

static void
on_misuse(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	__atomic_add_fetch(&n_reported[misuse->code], 1, __ATOMIC_RELAXED);
	if (find(misuse) == NULL)
		soak_die("nobody has planted this: %s", misuse->text);
}

void
soak_expect_plants(void)
{
	n_before = cubby_misuse_count();
	cubby_misuse_set_hook(on_misuse, NULL);
}

void
soak_plant(unsigned owner, enum cubby_misuse_code code, const void *address)
{
	struct plant *plant = &plants[owner];

	__atomic_store_n(&plant->n_found, 0, __ATOMIC_RELAXED);
	plant->code = code;
	__atomic_add_fetch(&n_planted[code], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&plant->address, address, __ATOMIC_RELEASE);
}

bool
soak_is_found(unsigned owner)
{
	return __atomic_load_n(&plants[owner].n_found, __ATOMIC_ACQUIRE) != 0;
}

void
soak_harvest(unsigned owner)
{
	struct plant *plant = &plants[owner];
	const void *address = plant->address;
	unsigned n;

	for (n = 0; n < HARVEST_TRIES && !soak_is_found(owner); n++)
		usleep(HARVEST_US);
	__atomic_store_n(&plant->address, NULL, __ATOMIC_RELEASE);
	n = __atomic_load_n(&plant->n_found, __ATOMIC_ACQUIRE);
	if (n != 1)
		soak_die("misuse %u of %p was reported %u times", plant->code,
			 address, n);
}

void
soak_plants_in_child(void)
{
	is_in_child = true;
}

static uint64_t
get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t
soak_count_plants(void)
{
	uint64_t sum = 0;

	for (unsigned code = 0; code < SOAK_CODES_MAX; code++) {
		if (get(&n_planted[code]) != get(&n_reported[code]))
			soak_die("misuse %u: %llu planted, %llu reported",
				 code,
				 (unsigned long long)get(&n_planted[code]),
				 (unsigned long long)get(&n_reported[code]));
		sum += get(&n_planted[code]);
	}
	if (cubby_misuse_count() - n_before != sum)
		soak_die(
			"%llu planted, %llu counted", (unsigned long long)sum,
			(unsigned long long)(cubby_misuse_count() - n_before));
	return sum;
}

void
soak_print_plants(void)
{
	static const char *const names[SOAK_CODES_MAX] = {
		[CUBBY_MISUSE_DOUBLE_FREE] = "double frees",
		[CUBBY_MISUSE_FOREIGN_FREE] = "foreign frees",
		[CUBBY_MISUSE_INTERIOR_FREE] = "interior frees",
		[CUBBY_MISUSE_WRONG_CACHE] = "frees to a wrong cache",
		[CUBBY_MISUSE_RED_ZONE] = "writes beside an object",
		[CUBBY_MISUSE_USE_AFTER_FREE] = "writes after free",
	};

	for (unsigned code = 0; code < SOAK_CODES_MAX; code++)
		if (names[code] != NULL)
			printf("# %llu %s\n",
			       (unsigned long long)get(&n_planted[code]),
			       names[code]);
}
