/* SPDX-License-Identifier: MIT */
/*
 * Each restartable sequence alone, on stripes and magazines of the test's own:
 * every outcome, what is written, and that nothing else is.
 *
 * The words of the ABI lead to a number that the test chooses, while the
 * kernel's rseq area stays in use.  Where it has none (an emulator, Valgrind) a
 * word stands in for it, and the sequences are plain code.
 */
#include "unit.h"

#include "cpu.h"
#include "percpu.h"
#include "rseq.h"

enum {
	N_GUARDS = 2,
	N_STRIPES = 3,
	STRIPE_BYTES = 1 << CUBBY__STRIPE_SHIFT,
	PAGE = 4096,    /* of a stripe that may be used */
	BLOCK = 5 * 32, /* the cache's block in a stripe */
	CAPACITY = 7,
	N_MAGAZINES = 4,
	OFFSET_CPU_ID = 4,
	OFFSET_CS = 8
};

static char *area;    /* guards, then stripes */
static char *stripes; /* of number 0 on */
static char *magazines;
static struct {
	char stripes[N_GUARDS + N_STRIPES][PAGE];
	char magazines[N_MAGAZINES * MAGAZINE_BYTES];
} seen; /* as all was before a sequence */

static uint64_t gate, closed;
static uint32_t n_stripes;
static const uint32_t open_mask = FULL_MASK_OPEN;
static const uint32_t staged_mask = FULL_MASK_STAGED;

/* What the sequences find by the thread pointer. */
static __thread struct {
	int32_t id;
	uint64_t cs;
} own __attribute__((tls_model("initial-exec")));

static char cells[256]; /* of objects only the addresses are used */

/* --------------------------------- fixture -------------------------------- */

static char *
thread_pointer(void)
{
	return __builtin_thread_pointer();
}

static int
setup(void **state)
{
	bool has_rseq = cubby__cpu_rseq_bytes() >= RSEQ_BYTES_CPU_ID &&
			*(int32_t *)(thread_pointer() +
				     cubby__cpu_rseq_offset() +
				     OFFSET_CPU_ID) >= 0;

	(void)state;
	area = mmap(NULL, (N_GUARDS + N_STRIPES) * STRIPE_BYTES, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	magazines = mmap(NULL, PAGE + sizeof(seen.magazines),
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (area == MAP_FAILED || magazines == MAP_FAILED)
		return -1;
	stripes = area + N_GUARDS * STRIPE_BYTES;
	magazines += PAGE; /* below the base is NULL */
	closed = (uintptr_t)stripes;
	cubby__rseq_abi.magazines = magazines;
	cubby__rseq_abi.id_offset = (char *)&own.id - thread_pointer();
	cubby__rseq_abi.cs_offset = has_rseq ?
					    cubby__cpu_rseq_offset() +
						    OFFSET_CS :
					    (char *)&own.cs - thread_pointer();
	return 0;
}

static struct block *
block_of(int32_t number)
{
	return (struct block *)(stripes + (ptrdiff_t)number * STRIPE_BYTES +
				BLOCK);
}

/* What may be written: stripes that are none, guards and more, never. */
static void
protect(int how)
{
	for (int i = 0; i < N_GUARDS + N_STRIPES; i++)
		assert_int_equal(mprotect(area + i * STRIPE_BYTES, PAGE,
					  i < N_GUARDS ? PROT_READ : how),
				 0);
	assert_int_equal(mprotect(magazines, sizeof(seen.magazines), how), 0);
}

static void
remember(void)
{
	for (int i = 0; i < N_GUARDS + N_STRIPES; i++)
		memcpy(seen.stripes[i], area + i * STRIPE_BYTES, PAGE);
	memcpy(seen.magazines, magazines, sizeof(seen.magazines));
}

/* Zeroes, the gate open, thread on stripe 1; other blocks have cursors too. */
static int
reset(void **state)
{
	(void)state;
	protect(PROT_READ | PROT_WRITE);
	memset(magazines, 0, sizeof(seen.magazines));
	for (int i = 0; i < N_STRIPES; i++)
		memset(stripes + i * STRIPE_BYTES, 0, PAGE);
	gate = (uintptr_t)stripes + BLOCK;
	n_stripes = N_STRIPES;
	own.id = 1;
	remember();
	return 0;
}

/* The words that a sequence is expected to have written are made so. */
static void
expect(void *address, uint64_t value)
{
	char *at = address;
	ptrdiff_t offset = at - area;

	if (at >= magazines && at < magazines + sizeof(seen.magazines))
		memcpy(seen.magazines + (at - magazines), &value, 8);
	else
		memcpy(seen.stripes[offset / STRIPE_BYTES] +
			       offset % STRIPE_BYTES,
		       &value, 8);
}

static void
expect_nothing_else(void)
{
	for (int i = 0; i < N_GUARDS + N_STRIPES; i++)
		assert_memory_equal(seen.stripes[i], area + i * STRIPE_BYTES,
				    PAGE);
	assert_memory_equal(seen.magazines, magazines, sizeof(seen.magazines));
}

/* The cursor of a magazine with so many cells, cells[0] lowest. */
static uint64_t
fill(uint32_t number, uint32_t capacity, uint32_t count)
{
	uint64_t cursor = magazine_cursor(number, capacity, count);

	for (uint32_t i = 0; i < count; i++)
		((char **)(magazines +
			   cursor))[-(ptrdiff_t)count + i] = &cells[i];
	return cursor;
}

/* Magazine 1 is loaded; its neighbours are full, so that overruns show. */
static struct block *
load(uint32_t capacity, uint32_t count)
{
	struct block *block = block_of(own.id);

	reset(NULL);
	fill(2, MAGAZINE_CAPACITY_MAX, MAGAZINE_CAPACITY_MAX);
	fill(3, MAGAZINE_CAPACITY_MAX, MAGAZINE_CAPACITY_MAX);
	block->loaded = fill(1, capacity, count);
	block->previous = fill(2, MAGAZINE_CAPACITY_MAX, 60);
	block->deferred = fill(3, MAGAZINE_CAPACITY_MAX, 60);
	block->in_hand = 5;
	remember();
	return block;
}

static const uint32_t capacities[] = { 1, 2, CAPACITY, 119, 120 };

#define FOR_EACH_FILL(capacity, count)                                        \
	for (size_t i_ = 0; i_ < sizeof(capacities) / sizeof(capacities[0]);  \
	     i_++)                                                            \
		for (uint32_t capacity = capacities[i_], count = 0;           \
		     count <= capacity; count++)

/* --------------------------- where nothing is done ------------------------- */

static void *out[MAGAZINE_CAPACITY_MAX + 2];
static void *const in[] = { &cells[200], &cells[201], &cells[202] };

static bool
push_any(const uint32_t *mask)
{
	return cubby__rseq_push(&gate, mask, in[0]) ||
	       rseq_push_deferred(&gate, mask, in[0]) ||
	       rseq_push_many(&gate, mask, 3, in) != 0;
}

static bool
pop_any(void)
{
	void *object = cells;
	bool done = cubby__rseq_pop(&gate, &object) ||
		    rseq_pop_many(&gate, 3, out) != 0;

	assert_ptr_equal(object, cells);
	assert_null(out[0]);
	return done;
}

static bool
replace_any(uint64_t value)
{
	uint64_t note = 77;
	bool done = false;

	for (uint64_t word = 0; word < BLOCK_BYTES; word += 8)
		done |= rseq_replace(&gate, &closed, &n_stripes, word, value,
				     value, &note);
	assert_int_equal(note, 77);
	return done;
}

/* Nothing may be written at all: a commit of what is there would be a crash. */
static void
expect_that_all_fail(void)
{
	protect(PROT_READ);
	assert_false(push_any(&open_mask));
	assert_false(pop_any());
	assert_false(replace_any(0));
	protect(PROT_READ | PROT_WRITE);
	expect_nothing_else();
}

static void
all_with_closed_gate_write_nothing(void **state)
{
	(void)state;
	for (own.id = -N_GUARDS; own.id < N_STRIPES; own.id++) {
		gate = closed;
		remember();
		expect_that_all_fail();
	}
}

/* cpu_id of a thread that could not be registered: -1, -2. */
static void
all_without_registration_write_nothing(void **state)
{
	(void)state;
	load(CAPACITY, 3);
	for (own.id = -N_GUARDS; own.id < 0; own.id++)
		expect_that_all_fail();
}

static void
all_but_replace_on_zeroes_write_nothing(void **state)
{
	(void)state;
	protect(PROT_READ);
	for (own.id = -N_GUARDS; own.id < N_STRIPES; own.id++) {
		assert_false(push_any(&open_mask));
		assert_false(pop_any());
	}
	protect(PROT_READ | PROT_WRITE);
	expect_nothing_else();
}

/* ------------------------------- pop and push ------------------------------ */

static void
pop_of_any_fill_takes_the_top(void **state)
{
	(void)state;
	FOR_EACH_FILL(capacity, count)
	{
		struct block *block = load(capacity, count);
		uint64_t cursor = block->loaded;
		void *object = cells;

		assert_int_equal(cubby__rseq_pop(&gate, &object), count > 0);
		if (count > 0) {
			assert_ptr_equal(object, &cells[count - 1]);
			expect(&block->loaded, cursor - 8);
		}
		expect_nothing_else();
	}
}

static void
push_at_any_fill_is_on_top(void **state)
{
	(void)state;
	FOR_EACH_FILL(capacity, count)
	{
		struct block *block = load(capacity, count);
		uint64_t cursor = block->loaded;
		bool fits = count < capacity;

		assert_int_equal(cubby__rseq_push(&gate, &open_mask, in[0]),
				 fits);
		if (fits) {
			expect(magazines + cursor, (uintptr_t)in[0]);
			expect(&block->loaded, cursor + 8);
		}
		expect_nothing_else();
	}
}

static void
push_deferred_at_any_fill_is_on_top_of_the_third(void **state)
{
	(void)state;
	FOR_EACH_FILL(capacity, count)
	{
		struct block *block = load(CAPACITY, 3);
		bool fits = count < capacity;
		uint64_t cursor = fill(3, capacity, count);

		block->deferred = cursor;
		remember();
		assert_int_equal(rseq_push_deferred(&gate, &open_mask, in[0]),
				 fits);
		if (fits) {
			expect(magazines + cursor, (uintptr_t)in[0]);
			expect(&block->deferred, cursor + 8);
		}
		expect_nothing_else();
	}
}

static void
push_with_staged_mask_writes_nothing(void **state)
{
	(void)state;
	load(CAPACITY, 3);
	protect(PROT_READ);
	assert_false(push_any(&staged_mask));
	protect(PROT_READ | PROT_WRITE);
}

/* The stripe is that of the number: the neighbours' stay. */
static void
pop_and_push_by_number_use_its_stripe(void **state)
{
	(void)state;
	for (int32_t number = 0; number < N_STRIPES; number++) {
		void *object = NULL;

		own.id = number;
		load(CAPACITY, 3);
		own.id = (number + 1) % N_STRIPES;
		assert_false(cubby__rseq_pop(&gate, &object));
		assert_false(cubby__rseq_push(&gate, &open_mask, in[0]));
		expect_nothing_else();
		own.id = number;
		assert_true(cubby__rseq_pop(&gate, &object));
		assert_true(cubby__rseq_push(&gate, &open_mask, object));
		expect_nothing_else();
		own.id = 1;
	}
}

/* ---------------------------------- bulk ---------------------------------- */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void
pop_many_of_any_fill_takes_from_the_top(void **state)
{
	(void)state;
	FOR_EACH_FILL(capacity, count)
	for (size_t n = 0; n <= capacity + 1u; n += 1 + n / 8) {
		struct block *block = load(capacity, count);
		uint64_t cursor = block->loaded;
		size_t n_done = least(n, count);

		memset(out, 0, sizeof(out));
		assert_int_equal(rseq_pop_many(&gate, n, out), n_done);
		for (size_t i = 0; i < n_done; i++)
			assert_ptr_equal(out[i], &cells[count - 1 - i]);
		assert_null(out[n_done]);
		expect(&block->loaded, cursor - 8 * n_done);
		expect_nothing_else();
	}
	memset(out, 0, sizeof(out));
}

static void
push_many_at_any_fill_stops_when_full(void **state)
{
	void *many[MAGAZINE_CAPACITY_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		many[i] = &cells[i + 1];
	FOR_EACH_FILL(capacity, count)
	for (size_t n = 0; n <= capacity + 1u; n += 1 + n / 8) {
		struct block *block = load(capacity, count);
		uint64_t cursor = block->loaded;
		size_t n_done = least(n, capacity - count);

		assert_int_equal(rseq_push_many(&gate, &open_mask, n, many),
				 n_done);
		for (size_t i = 0; i < n_done; i++)
			expect(magazines + cursor + 8 * i, (uintptr_t)many[i]);
		expect(&block->loaded, cursor + 8 * n_done);
		expect_nothing_else();
	}
}

/* Neither reads the array, nor commits. */
static void
bulk_of_none_touches_nothing(void **state)
{
	(void)state;
	load(CAPACITY, 3);
	protect(PROT_READ);
	assert_int_equal(rseq_pop_many(&gate, 0, NULL), 0);
	assert_int_equal(rseq_push_many(&gate, &open_mask, 0, NULL), 0);
	protect(PROT_READ | PROT_WRITE);
}

static void
push_many_when_full_does_not_read_objects(void **state)
{
	(void)state;
	load(CAPACITY, CAPACITY);
	protect(PROT_READ);
	assert_int_equal(rseq_push_many(&gate, &open_mask, 3, NULL), 0);
	protect(PROT_READ | PROT_WRITE);
}

/* --------------------------------- replace -------------------------------- */

static void
replace_of_what_was_seen_writes_word_and_note(void **state)
{
	(void)state;
	for (own.id = 0; own.id < N_STRIPES; own.id++)
		for (uint64_t word = 0; word < BLOCK_BYTES; word += 8) {
			char *at = (char *)block_of(own.id) + word;
			uint64_t note = 77, old = own.id + 8 * word;

			*(uint64_t *)at = old;
			remember();
			assert_true(rseq_replace(&gate, &closed, &n_stripes,
						 word, old, ~old, &note));
			assert_int_equal(note, old);
			expect(at, ~old);
			expect_nothing_else();
		}
	own.id = 1;
}

/* Neither the word nor the note; all 64 bits count. */
static void
replace_of_another_word_writes_nothing(void **state)
{
	uint64_t note = 77;

	(void)state;
	load(CAPACITY, 3);
	protect(PROT_READ);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t other = block_of(1)->loaded ^ (uint64_t)1 << bit;

		assert_false(rseq_replace(&gate, &closed, &n_stripes, 0, other,
					  8, &note));
	}
	assert_int_equal(note, 77);
	protect(PROT_READ | PROT_WRITE);
}

/* The first number that is none, and what a wrong comparison would take. */
static void
replace_beyond_n_stripes_writes_nothing(void **state)
{
	static const int32_t numbers[] = { N_STRIPES, N_STRIPES + 1,
					   INT32_MAX, INT32_MIN,
					   -1,        -2 };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		own.id = numbers[i];
		assert_false(replace_any(0));
	}
	own.id = 1;
	n_stripes = 1;
	assert_false(replace_any(0));
	n_stripes = 0;
	own.id = 0;
	assert_false(replace_any(0));
	expect_nothing_else();
	n_stripes = 1;
	assert_true(rseq_replace(&gate, &closed, &n_stripes, 0, 0, 8,
				 &(uint64_t){ 0 }));
	expect(block_of(0), 8);
	expect_nothing_else();
}

/* A closed gate is the one that `closed` names, whatever block that has. */
static void
replace_compares_the_gate_with_closed(void **state)
{
	uint64_t note = 77;

	(void)state;
	closed = gate;
	assert_false(replace_any(0));
	expect_nothing_else();
	gate = (uintptr_t)stripes;
	assert_true(rseq_replace(&gate, &closed, &n_stripes, 0, 0, 8, &note));
	expect((char *)block_of(1) - BLOCK, 8);
	expect_nothing_else();
	closed = (uintptr_t)stripes;
}

static void
none_is_built_for_this(void **state)
{
	(void)state;
	skip();
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		CASE(all_with_closed_gate_write_nothing),
		CASE(all_without_registration_write_nothing),
		CASE(all_but_replace_on_zeroes_write_nothing),
		CASE(pop_of_any_fill_takes_the_top),
		CASE(push_at_any_fill_is_on_top),
		CASE(push_deferred_at_any_fill_is_on_top_of_the_third),
		CASE(push_with_staged_mask_writes_nothing),
		CASE(pop_and_push_by_number_use_its_stripe),
		CASE(pop_many_of_any_fill_takes_from_the_top),
		CASE(push_many_at_any_fill_stops_when_full),
		CASE(bulk_of_none_touches_nothing),
		CASE(push_many_when_full_does_not_read_objects),
		CASE(replace_of_what_was_seen_writes_word_and_note),
		CASE(replace_of_another_word_writes_nothing),
		CASE(replace_beyond_n_stripes_writes_nothing),
		CASE(replace_compares_the_gate_with_closed),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(
		none_is_built_for_this) };

	if (!RSEQ_WORKS)
		return cmocka_run_group_tests_name("rseq", none, NULL, NULL);
	return cmocka_run_group_tests_name("rseq", tests, setup, NULL);
}
