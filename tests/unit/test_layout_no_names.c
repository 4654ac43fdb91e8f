/* SPDX-License-Identifier: MIT */
/*
 * A program built with CUBBY_NO_NAMES: its layouts work, have no names, and
 * none of a list's text is in the program.
 */
#define CUBBY_NO_NAMES

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cubby/cubby.h>

#include <errno.h>
#include <link.h>

/* Written in halves, so that only a list's text can make it whole. */
#define DOC_HALF_1 "documentation that "
#define DOC_HALF_2 "nobody links"

static const char control[] = "a text that is linked";

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "")                                          \
	SLOT(double, lat, "documentation that nobody links")                  \
	SLOT(double, lon, "")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

struct search {
	const char *text;
	size_t text_bytes;
	bool found;
};

/* By bytes and unchecked: it passes over what the sanitizers fence off. */
__attribute__((no_sanitize_address)) static bool
contains(const char *start, size_t n_bytes, const char *text,
	 size_t text_bytes)
{
	for (size_t i = 0; i + text_bytes <= n_bytes; i++) {
		size_t j = 0;

		while (j < text_bytes && start[i + j] == text[j])
			j++;
		if (j == text_bytes)
			return true;
	}
	return false;
}

/* The first object is the program; its read-only segments hold its text. */
static int
search_program(struct dl_phdr_info *info, size_t info_bytes, void *context)
{
	struct search *search = context;

	(void)info_bytes;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD &&
		    (segment->p_flags & (PF_R | PF_W)) == PF_R &&
		    contains((const char *)info->dlpi_addr + segment->p_vaddr,
			     segment->p_memsz, search->text,
			     search->text_bytes))
			search->found = true;
	}
	return 1;
}

static bool
program_has(const char *text)
{
	struct search search = { text, strlen(text), false };

	dl_iterate_phdr(search_program, &search);
	return search.found;
}

static void
no_names_layout_is_valid_without_text(void **state)
{
	(void)state;
	assert_null(truck_layout.names);
	assert_int_equal(truck_layout.n_slots, 3);
	assert_int_equal(truck_layout.object_bytes, sizeof(struct truck));
	assert_int_equal(truck_layout.slots[1].offset_bytes,
			 offsetof(struct truck, lat));
	assert_int_equal(truck_layout.slots[1].type, CUBBY_F64);
	assert_int_equal(cubby_layout_verify(&truck_layout), 0);
	assert_null(
		cubby_layout_slot_name(&truck_layout, &truck_layout.slots[1]));
}

static void
no_names_find_slot_says_why_not(void **state)
{
	const struct cubby_slot *slot = NULL;

	(void)state;
	assert_int_equal(cubby_layout_find_slot(&truck_layout, "lat", &slot),
			 -EINVAL);
	assert_string_equal(cubby_error_detail(),
			    "the layout has no names, so slot 'lat' cannot be "
			    "found: was it compiled with CUBBY_NO_NAMES?");
	assert_null(slot);
}

static void
no_names_list_text_is_not_linked(void **state)
{
	char doc[sizeof(DOC_HALF_1) + sizeof(DOC_HALF_2)];
	const char *volatile second_half = DOC_HALF_2;

	(void)state;
	strcpy(doc, DOC_HALF_1);
	strcat(doc, second_half);
	assert_true(program_has(control));
	assert_false(program_has(doc));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_names_layout_is_valid_without_text),
		cmocka_unit_test(no_names_find_slot_says_why_not),
		cmocka_unit_test(no_names_list_text_is_not_linked),
	};

	return cmocka_run_group_tests_name("layout_no_names", tests, NULL,
					   NULL);
}
