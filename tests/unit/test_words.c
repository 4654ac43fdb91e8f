/* SPDX-License-Identifier: MIT */
/*
 * State words in an array beside the cells and in front of objects: their
 * generations outlive the pages that they are in (W1), or the pages stay.
 */
#include "unit.h"

#include "bits.h"
#include "granule.h"
#include "os.h"
#include "slab.h"

#define INLINE_BYTES 1024
#define OBJECT_BYTES 1000
#define TAKEN 1u

struct form {
	bool with_prefix;
};

static const struct form forms[] = { { false }, { true } };

#define IN_FORM(function, number, suffix)                                     \
	{                                                                     \
#function suffix, function, NULL, NULL,                       \
			(void *)(uintptr_t)&forms[number]                     \
	}
#define IN_BOTH_FORMS(function)                                               \
	IN_FORM(function, 0, "_side"), IN_FORM(function, 1, "_prefix")

/* As a cache with handles has it. */
static struct {
	struct region region;
	struct slab_set set;
	struct cell_side sides[2]; /* words, and a bit a cell */
	uint64_t records[INLINE_BYTES / 8];
} f;

static void
start(const struct form *form, size_t object_bytes)
{
	struct geometry geometry;

	memset(&f, 0, sizeof(f));
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__geometry_init(&geometry, object_bytes, 0,
					      form->with_prefix, 0),
			 0);
	assert_int_equal(cubby__region_init(&f.region, &geometry, 1, 0, false),
			 0);
	f.sides[0].bits_per_cell = form->with_prefix ? 8 : 32;
	f.sides[1].bits_per_cell = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			cubby__side_init(&f.sides[i].side, NULL, 0,
					 cell_side_bytes(&f.sides[i],
							 f.region.max_cells)),
			0);
	cubby__slab_init(&f.set, &f.region, f.records, INLINE_BYTES, 0,
			 f.sides, 2);
	f.set.stays_readable = true;
	f.set.words.region = &f.region;
	f.set.words.array = form->with_prefix ? NULL : &f.sides[0];
	f.set.words.max_slabs = div_up(f.region.max_cells,
				       geometry_slab_cells(&geometry));
}

static void
finish(void)
{
	cubby__slab_fini(&f.set);
	for (int i = 0; i < 2; i++)
		cubby__side_fini(&f.sides[i].side);
	cubby__region_fini(&f.region);
}

static uint64_t
slab_cells(void)
{
	return geometry_slab_cells(&f.region.geometry);
}

static void
open_slabs(uint64_t n_slabs)
{
	uint64_t n = n_slabs * slab_cells();
	uint64_t *cells = malloc(n * sizeof(*cells));
	enum slab_refusal refusal;

	assert_non_null(cells);
	assert_int_equal(cubby__slab_take(&f.set, n, cells, &refusal), n);
	free(cells);
}

static uint64_t
end_slab(uint64_t slab)
{
	uint64_t chosen, first = slab_first_cell(&f.set, slab);

	for (uint64_t i = 0; i < slab_cells(); i++)
		cubby__slab_give(&f.set, first + i);
	assert_true(cubby__slab_reclaim_begin(&f.set, 0, &chosen));
	assert_int_equal(chosen, slab);
	return cubby__slab_reclaim_end(&f.set, chosen);
}

static uint32_t
word(uint64_t cell)
{
	return *word_of(&f.set.words, cell);
}

static void
set_word(uint64_t cell, uint32_t generation)
{
	*word_of(&f.set.words, cell) = generation << 1;
}

static void
assert_words(uint64_t slab, uint32_t generation)
{
	uint64_t first = slab_first_cell(&f.set, slab);

	for (uint64_t i = 0; i < slab_cells(); i++)
		assert_int_equal(word(first + i), generation << 1);
}

static bool
words_are_gone(uint64_t slab)
{
	/* Of the middle: the ends may share their pages. */
	return word(slab_first_cell(&f.set, slab) + slab_cells() / 2) == 0;
}

/* --------------------------------- places -------------------------------- */

static void
word_of_each_cell_is_its_own_and_in_no_object(void **state)
{
	const struct form *form = *state;

	start(form, OBJECT_BYTES);
	open_slabs(3);
	for (uint64_t cell = 0; cell < f.set.n_cells; cell++) {
		memset(region_object(&f.region, cell), 0xff, OBJECT_BYTES);
		*word_of(&f.set.words, cell) = (uint32_t)cell;
	}
	for (uint64_t cell = 0; cell < f.set.n_cells; cell++) {
		const unsigned char *object = region_object(&f.region, cell);

		assert_int_equal(word(cell), cell);
		for (size_t i = 0; i < OBJECT_BYTES; i++)
			assert_int_equal(object[i], 0xff);
		if (form->with_prefix)
			assert_ptr_equal(word_of(&f.set.words, cell) + 1,
					 object);
	}
	finish();
}

/* --------------------------------- floors -------------------------------- */

/* The highest of a slab's, wherever it is; other slabs keep theirs. */
static void
reopened_slab_begins_at_the_highest_generation_that_it_had(void **state)
{
	start(*state, OBJECT_BYTES);
	for (uint64_t at = 0; at < slab_cells(); at += slab_cells() / 4 + 1) {
		uint32_t highest = 1000 + (uint32_t)at;

		open_slabs(3 - f.set.n_live / slab_cells());
		for (uint64_t cell = 0; cell < 3 * slab_cells(); cell++)
			set_word(cell, word(cell) / 2 + 1);
		set_word(2 * slab_cells() + at, highest);
		assert_true(end_slab(2) > 0);
		assert_true(words_are_gone(2));
		open_slabs(1);
		assert_words(2, highest);
		assert_int_not_equal(word(0), 0);
	}
	finish();
}

/* {2^31 - 2, 0}: the highest of cells that are not retired. */
static void
floor_of_the_last_but_one_generation_is_kept_whole(void **state)
{
	uint32_t highest = ((uint32_t)1 << 31) - 2;

	start(*state, OBJECT_BYTES);
	open_slabs(1);
	set_word(slab_cells() - 1, highest);
	end_slab(0);
	open_slabs(1);
	assert_words(0, highest);
	finish();
}

static void
floors_of_slabs_that_go_again_and_again_only_rise(void **state)
{
	uint32_t generation = 0;

	start(*state, OBJECT_BYTES);
	open_slabs(1);
	for (int round = 0; round < 10; round++) {
		if (round % 3 == 0) { /* else nothing has lived in it */
			generation += 5;
			set_word(random_below(slab_cells()), generation);
		}
		end_slab(0);
		assert_true(words_are_gone(0));
		open_slabs(1);
		assert_words(0, generation);
	}
	finish();
}

/* Nobody has to look back at slabs in which nothing had a handle. */
static void
slab_of_generation_zero_has_no_floor(void **state)
{
	start(*state, OBJECT_BYTES);
	open_slabs(2);
	end_slab(1);
	assert_int_equal(f.set.words.floors.max_bytes, 0);
	assert_int_equal(f.set.words.floors.reserved_bytes, 0);
	open_slabs(1);
	assert_words(1, 0);
	set_word(slab_cells(), 7);
	end_slab(1);
	assert_true(f.set.words.floors.committed_bytes >= 8);
	end_slab(0);
	open_slabs(2);
	assert_words(0, 0);
	assert_words(1, 7);
	finish();
}

/* The second slab has a floor, and what is below it in the array is 0. */
static void
slab_below_a_floor_keeps_its_own_words(void **state)
{
	start(*state, OBJECT_BYTES);
	open_slabs(3);
	set_word(2 * slab_cells(), 9);
	end_slab(2);
	set_word(slab_cells(), 4);
	end_slab(1);
	open_slabs(2);
	assert_words(1, 4);
	assert_words(2, 9);
	finish();
}

/* ------------------------------- no memory ------------------------------- */

/* For the floors: then the words stay, and what is in their pages with them. */
static void
words_stay_where_there_is_no_memory_for_floors(void **state)
{
	const struct form *form = *state;
	uint64_t bytes;

	start(form, OBJECT_BYTES);
	open_slabs(2);
	for (uint64_t cell = slab_cells(); cell < 2 * slab_cells(); cell++)
		set_word(cell, 3 + (uint32_t)cell);
	cubby__os_fail_at(1);
	bytes = end_slab(1);
	cubby__os_fail_at(0);
	assert_int_equal(bytes != 0, !form->with_prefix);
	for (uint64_t cell = slab_cells(); cell < 2 * slab_cells(); cell++)
		assert_int_equal(word(cell), (3 + cell) << 1);
	open_slabs(1);
	for (uint64_t cell = slab_cells(); cell < 2 * slab_cells(); cell++)
		assert_int_equal(word(cell), (3 + cell) << 1);
	/* Now there is memory again. */
	assert_true(end_slab(1) > 0);
	open_slabs(1);
	assert_words(1, 2 + 2 * (uint32_t)slab_cells());
	finish();
}

static void
keep_floor_without_memory_says_so_and_keeps_nothing(void **state)
{
	start(*state, OBJECT_BYTES);
	open_slabs(1);
	set_word(0, 3);
	for (uint64_t nth = 1; nth <= 2; nth++) {
		cubby__os_fail_at(nth);
		assert_false(cubby__words_keep_floor(&f.set.words, 0, 0,
						     slab_cells()));
		assert_true(cubby__os_n_calls() >= nth);
		cubby__os_fail_at(0);
		cubby__words_restore(&f.set.words, 0, 0, slab_cells());
		assert_int_equal(word(0), 6);
		assert_int_equal(word(1), 0);
	}
	assert_true(cubby__words_keep_floor(&f.set.words, 0, 0, slab_cells()));
	cubby__words_restore(&f.set.words, 0, 0, slab_cells());
	assert_words(0, 3);
	finish();
}

/* All slabs of a group go, but the words of one must stay. */
static void
return_group_but_words(const struct form *form)
{
	uint64_t first;

	start(form, OBJECT_BYTES);
	first = 5 * slab_cells();
	open_slabs(SLABS_PER_GROUP);
	for (uint64_t i = 0; i < slab_cells(); i++)
		set_word(first + i, 77 + (uint32_t)i);
	for (uint64_t slab = SLABS_PER_GROUP; slab-- > 0;) {
		if (slab == 5)
			cubby__os_fail_at(1);
		end_slab(slab);
		cubby__os_fail_at(0);
		/* So that the array of floors reaches all of them. */
		if (slab == 5)
			assert_true(cubby__words_keep_floor(&f.set.words, 0,
							    first, 1));
	}
	for (uint64_t i = 0; i < slab_cells(); i++)
		assert_int_equal(word(first + i), (77 + i) << 1);
	open_slabs(SLABS_PER_GROUP);
	for (uint64_t i = 0; i < slab_cells(); i++)
		assert_int_equal(word(first + i), (77 + i) << 1);
	finish();
}

/*
 * Not with the pages that a slab shares with its neighbours, and not with its
 * group where memory is charged.
 */
static void
words_that_must_stay_stay_in_a_group_that_goes(void **state)
{
	bool charges = cubby__os_charges_commit();

	cubby__os_pretend_charging(false);
	return_group_but_words(*state);
	cubby__os_pretend_charging(true);
	return_group_but_words(*state);
	cubby__os_pretend_charging(charges);
}

/* Mapped away, words read as 0, and come back with their floors. */
static void
words_of_a_group_that_is_decommitted_come_back(void **state)
{
	bool charges = cubby__os_charges_commit();
	uint32_t n = SLABS_PER_GROUP;

	cubby__os_pretend_charging(true);
	start(*state, OBJECT_BYTES);
	open_slabs(n);
	for (uint32_t slab = 0; slab < n; slab++)
		set_word(slab_first_cell(&f.set, slab) + slab, 100 + slab);
	for (uint32_t slab = n; slab-- > 0;)
		end_slab(slab);
	for (uint32_t slab = 0; slab < n; slab++)
		assert_true(words_are_gone(slab));
	open_slabs(n);
	for (uint32_t slab = 0; slab < n; slab++)
		assert_words(slab, 100 + slab);
	finish();
	cubby__os_pretend_charging(charges);
}

/* --------------------------------- bounds -------------------------------- */

static void
publish_tells_cells_of_the_first_range_only(void **state)
{
	uint32_t bounds[2] = { 0, 0 };

	start(*state, OBJECT_BYTES);
	f.set.words.bounds[1] = &bounds[1];
	open_slabs(1);
	assert_int_equal(bounds[0], 0);
	assert_int_equal(bounds[1], f.region.range_cells ? f.set.n_cells : 0);
	f.set.words.bounds[0] = &bounds[0];
	open_slabs(2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bounds[i],
				 f.region.range_cells ? f.set.n_cells : 0);
	cubby__words_publish(&f.set.words, f.region.range_cells + 1000);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bounds[i], f.region.range_cells);
	cubby__words_unpublish(&f.set.words);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bounds[i], 0);
	finish();
}

static void
set_without_words_publishes_and_keeps_nothing(void **state)
{
	uint32_t bound = 42;

	start(*state, OBJECT_BYTES);
	f.set.words = (struct words){ .bounds = { &bound, NULL } };
	open_slabs(2);
	end_slab(1);
	open_slabs(1);
	assert_int_equal(bound, 42);
	assert_int_equal(f.set.words.floors.max_bytes, 0);
	finish();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_BOTH_FORMS(word_of_each_cell_is_its_own_and_in_no_object),
		IN_BOTH_FORMS(
			reopened_slab_begins_at_the_highest_generation_that_it_had),
		IN_BOTH_FORMS(
			floor_of_the_last_but_one_generation_is_kept_whole),
		IN_BOTH_FORMS(
			floors_of_slabs_that_go_again_and_again_only_rise),
		IN_BOTH_FORMS(slab_of_generation_zero_has_no_floor),
		IN_BOTH_FORMS(slab_below_a_floor_keeps_its_own_words),
		IN_BOTH_FORMS(words_stay_where_there_is_no_memory_for_floors),
		IN_BOTH_FORMS(
			keep_floor_without_memory_says_so_and_keeps_nothing),
		IN_BOTH_FORMS(words_that_must_stay_stay_in_a_group_that_goes),
		IN_BOTH_FORMS(words_of_a_group_that_is_decommitted_come_back),
		IN_BOTH_FORMS(publish_tells_cells_of_the_first_range_only),
		IN_BOTH_FORMS(set_without_words_publishes_and_keeps_nothing),
	};

	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
