/* SPDX-License-Identifier: MIT */
/*
 * The registry as others find it: through the note of this very program, by
 * the field table alone.  tests/tools/test_registry_outside.sh does the same
 * to a stripped, static program and to its core file.
 */
#include "unit/with_cache.h"

#include "unit/outside_reader.h"

#include <link.h>

static struct outside outside;

/* Our own memory, read as if it were another's. */
static bool
read_self(uint64_t address, void *buffer, size_t bytes, void *context)
{
	(void)context;
	memcpy(buffer, (const void *)(uintptr_t)address, bytes);
	return true;
}

static int
look_for_note(struct dl_phdr_info *info, size_t info_bytes, void *n_found)
{
	(void)info_bytes;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE &&
		    outside_open(&outside,
				 info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
				 info->dlpi_phdr[i].p_memsz))
			++*(int *)n_found;
	return 0;
}

static void
open_registry(void)
{
	int n_found = 0;

	outside = (struct outside){ .read = read_self };
	dl_iterate_phdr(look_for_note, &n_found);
	assert_int_equal(n_found, 1);
}

/* The place of a cache in the table, found by name. */
static uint64_t
place_of(const char *name)
{
	for (uint64_t i = 0; i < outside.registry.n_descriptors; i++) {
		char text[CUBBY_NAME_BYTES_MAX];

		assert_true(outside_field(&outside, i, "name", text,
					  sizeof(text)));
		if (outside_number(&outside, i, "state") ==
			    OUTSIDE_STATE_LIVE &&
		    strcmp(text, name) == 0)
			return i;
	}
	return UINT64_MAX;
}

static void
note_leads_to_the_registry(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);

	(void)state;
	open_registry();
	assert_true(outside.registry.registry_bytes >=
		    sizeof(outside.registry));
	assert_true(outside.registry.n_descriptors >= 1);
	assert_true(outside.registry.n_cpus >= 1);
	assert_int_equal(outside_descriptor(&outside, place_of("thing")),
			 (uintptr_t)cache);
	drop_cache(cache);
	assert_int_equal(place_of("thing"), UINT64_MAX);
}

static void
fields_say_what_the_calls_say(void **state)
{
	struct cubby_cache *cache = NULL;
	struct cubby_cache_stats stats;
	void **objects = calloc(5000, sizeof(*objects));
	uint64_t i;

	(void)state;
	assert_ok(cubby_cache_create_sized(&cache, "seen-from-outside", 99, 4,
					   NULL));
	assert_ok(cubby_alloc_bulk(cache, 5000, objects));
	for (size_t j = 0; j < 5000; j += 2)
		cubby_free(cache, objects[j]);
	assert_ok(cubby_cache_shrink(cache, NULL)); /* nothing is idle */
	stats = stats_of(cache);
	open_registry();
	i = place_of("seen-from-outside");
	assert_int_equal(outside_number(&outside, i, "id"), i + 1);
	assert_int_equal(outside_number(&outside, i, "object_bytes"), 99);
	assert_int_equal(outside_number(&outside, i, "cell_bytes"), 100);
	assert_int_equal(outside_number(&outside, i, "prefix_bytes"), 0);
	assert_int_equal(1ull << outside_number(&outside, i, "slab_shift"),
			 stats.cells_per_slab);
	assert_int_equal(outside_number(&outside, i, "n_cells"),
			 stats.n_cells);
	assert_int_equal(outside_number(&outside, i, "n_slabs"),
			 stats.n_slabs);
	assert_int_equal(outside_number(&outside, i, "n_in_use"), 2500);
	assert_int_equal(outside_number(&outside, i, "layout"), 0);
	assert_int_equal(outside_number(&outside, i, "n_chunks"),
			 stats.n_chunks);
	if (stats.n_chunks == 0)
		assert_int_equal(outside_number(&outside, i, "range_base"),
				 (uintptr_t)objects[0]);
	assert_int_equal(outside_number(&outside, i, "no_such_field"),
			 UINT64_MAX);
	assert_int_equal(outside_count_live(&outside, i), 2500);
	for (size_t j = 1; j < 5000; j += 2)
		cubby_free(cache, objects[j]);
	free(objects);
	drop_cache(cache);
}

/* A cell of an object, found as a debugger would: by range or by chunk. */
static void
fields_lead_to_every_object(void **state)
{
	struct cubby_cache *cache = make_cache(100, NULL);
	char **objects = calloc(3000, sizeof(*objects));
	uint64_t i, base, range_cells, shift, chunks;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 3000, (void **)objects));
	open_registry();
	i = place_of("thing");
	base = outside_number(&outside, i, "range_base");
	range_cells = outside_number(&outside, i, "range_cells");
	shift = outside_number(&outside, i, "chunk_shift");
	chunks = outside_number(&outside, i, "chunks");
	for (uint64_t cell = 0; cell < 3000; cell++) {
		uint64_t beyond = cell - range_cells;
		uint64_t start = base, offset = cell;

		if (cell >= range_cells) {
			offset = beyond & ((1ull << shift) - 1);
			assert_true(
				outside.read(chunks + 8 * (beyond >> shift),
					     &start, 8, NULL));
		}
		assert_int_equal(start + offset * 100,
				 (uintptr_t)objects[cell]);
	}
	cubby_free_bulk(cache, 3000, (void **)objects);
	free(objects);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(note_leads_to_the_registry),
		cmocka_unit_test(fields_say_what_the_calls_say),
		cmocka_unit_test(fields_lead_to_every_object),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
