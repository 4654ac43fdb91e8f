/* SPDX-License-Identifier: MIT */
/* The formats of the fast path, played with on real memory. */
#include "unit.h"

#include "magazine.h"

#define N_MAGAZINES 3

/* M2: header, NULL word and cells do not meet, for every capacity. */
static void
magazine_null_offset_every_capacity_fits(void **state)
{
	(void)state;
	for (uint32_t capacity = 0; capacity <= MAGAZINE_CAPACITY_MAX;
	     capacity++) {
		uint32_t offset = magazine_null_offset(capacity);

		assert_int_equal(offset, 1016 - 8 * capacity); /* M2 */
		assert_true(offset >= MAGAZINE_HEADER_BYTES);  /* M2 */
		assert_int_equal(offset + 8 + 8 * capacity, MAGAZINE_BYTES);
	}
}

/* M1: every cursor finds its magazine, the full one at its end included. */
static void
magazine_of_cursor_every_position_is_its_own(void **state)
{
	const uint64_t array = 0x7f0000000400;

	(void)state;
	for (uint64_t n = 0; n < N_MAGAZINES; n++) {
		uint64_t magazine = array + n * MAGAZINE_BYTES;

		for (uint32_t offset = 8; offset <= MAGAZINE_BYTES;
		     offset += 8)
			assert_int_equal(magazine_of_cursor(magazine + offset),
					 magazine); /* M1 */
	}
}

static void
magazine_cursor_count_every_fill_is_exact(void **state)
{
	const uint64_t magazine = 0x10000;

	(void)state;
	for (uint32_t capacity = 1; capacity <= MAGAZINE_CAPACITY_MAX;
	     capacity++) {
		uint64_t empty = magazine + magazine_null_offset(capacity) + 8;

		for (uint32_t count = 0; count <= capacity; count++) {
			uint64_t cursor = empty + 8 * count;

			assert_int_equal(magazine_cursor_count(cursor,
							       capacity),
					 count);
			assert_int_equal((cursor & FULL_MASK_OPEN) == 0,
					 count == capacity);
			assert_int_equal(cursor & FULL_MASK_STAGED, 0);
		}
	}
}

/* The three lines of pseudo-code in the header. */
static bool
push(uint64_t **cursor, uint64_t cell, uint32_t full_mask)
{
	if (((uintptr_t)*cursor & full_mask) == 0)
		return false;
	*(*cursor)++ = cell;
	return true;
}

static uint64_t
pop(uint64_t **cursor)
{
	uint64_t cell = (*cursor)[-1];

	if (cell != 0)
		(*cursor)--;
	return cell;
}

static void
magazine_push_and_pop_capacity_is_reached_and_no_more(void **state)
{
	static char magazine[MAGAZINE_BYTES]
		__attribute__((aligned(MAGAZINE_BYTES)));

	(void)state;
	for (uint32_t capacity = 1; capacity <= MAGAZINE_CAPACITY_MAX;
	     capacity++) {
		struct magazine_header *header = (void *)magazine;
		uint64_t *cursor;

		memset(magazine, 0xff, sizeof(magazine));
		*header = (struct magazine_header){
			.capacity = (uint16_t)capacity
		};
		memset(magazine + magazine_null_offset(capacity), 0, 8);
		cursor = (uint64_t *)(magazine +
				      magazine_null_offset(capacity) + 8);
		assert_int_equal(pop(&cursor), 0);
		assert_false(push(&cursor, 1, FULL_MASK_STAGED));
		for (uint64_t cell = 1; cell <= capacity; cell++)
			assert_true(push(&cursor, cell, FULL_MASK_OPEN));
		assert_false(push(&cursor, 1, FULL_MASK_OPEN));
		assert_int_equal(magazine_cursor_count((uintptr_t)cursor,
						       capacity),
				 capacity);
		for (uint64_t cell = capacity; cell > 0; cell--)
			assert_int_equal(pop(&cursor), cell);
		assert_int_equal(pop(&cursor), 0);
		assert_int_equal(header->capacity, capacity); /* M2 */
		assert_int_equal(header->next, 0);            /* M2 */
	}
}

/* A block of zeroes has no capacity: nothing pops, nothing pushes. */
static void
block_of_zeroes_has_zero_capacity(void **state)
{
	static char area[2 * MAGAZINE_BYTES]
		__attribute__((aligned(MAGAZINE_BYTES)));
	const struct block block = { 0 };
	uint64_t *cursor = (uint64_t *)(area + MAGAZINE_BYTES + block.loaded);

	(void)state;
	assert_int_equal(pop(&cursor), 0);
	assert_false(push(&cursor, 1, FULL_MASK_OPEN));
	assert_int_equal(MAGAZINE_UNUSED, 0);
	assert_int_equal(offsetof(struct block, previous), 8);
	assert_int_equal(offsetof(struct block, deferred), 16);
	assert_int_equal(offsetof(struct cubby_fast, full_mask), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(magazine_null_offset_every_capacity_fits),
		cmocka_unit_test(magazine_of_cursor_every_position_is_its_own),
		cmocka_unit_test(magazine_cursor_count_every_fill_is_exact),
		cmocka_unit_test(
			magazine_push_and_pop_capacity_is_reached_and_no_more),
		cmocka_unit_test(block_of_zeroes_has_zero_capacity),
	};

	return cmocka_run_group_tests_name("magazine", tests, NULL, NULL);
}
