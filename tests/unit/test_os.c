/* SPDX-License-Identifier: MIT */
/* The four states of an address, asked of the kernel and not of the code. */
#include "unit.h"

#include "bits.h"
#include "os.h"

#include <fcntl.h>

#define SENTINEL 4711 /* no errno */

/* errno as it was after a statement that must not change it. */
#define KEEPS_ERRNO(statement)                                                \
	do {                                                                  \
		errno = SENTINEL;                                             \
		statement;                                                    \
		assert_int_equal(errno, SENTINEL);                            \
	} while (0)

static char *
reserve(size_t bytes, size_t align_bytes)
{
	void *base;
	int err;

	KEEPS_ERRNO(err = cubby__os_reserve(bytes, align_bytes, &base));
	assert_int_equal(err, 0);
	return base;
}

static void
commit(char *base, size_t bytes)
{
	int err;

	KEEPS_ERRNO(err = cubby__os_commit(base, bytes));
	assert_int_equal(err, 0);
}

static void
unmap(void *base, size_t bytes)
{
	KEEPS_ERRNO(cubby__os_unmap(base, bytes));
}

static void
os_page_bytes_any_is_the_kernels(void **state)
{
	(void)state;
	assert_int_equal(cubby__os_page_bytes(), page_bytes());
	assert_int_equal(cubby__os_page_bytes(), page_bytes());
}

static void
os_reserve_any_alignment_is_met_exactly(void **state)
{
	(void)state;
	for (size_t align = page_bytes(); align <= 64 * MIB; align *= 4) {
		for (size_t bytes = page_bytes(); bytes <= 32 * MIB;
		     bytes *= 16) {
			char *base = reserve(bytes, align);

			assert_int_equal((uintptr_t)base % align, 0);
			assert_true(is_mapped(base));
			assert_true(is_mapped(base + bytes - 1));
			unmap(base, bytes);
			assert_false(is_mapped(base));
			assert_false(is_mapped(base + bytes - 1));
		}
	}
}

/* Addresses in use, in pages. */
static uint64_t
mapped_pages(void)
{
	return cubby__os_read_number("/proc/self/statm", 0);
}

static void
os_reserve_slack_is_unmapped(void **state)
{
	uint64_t before, after;
	char *base;

	(void)state;
	mapped_pages();
	before = mapped_pages();
	base = reserve(MIB, 64 * MIB);
	after = mapped_pages();
	assert_int_equal(after - before, MIB / page_bytes());
	unmap(base, MIB);
	assert_int_equal(mapped_pages(), before);
}

static void
os_reserve_fresh_is_inaccessible(void **state)
{
	char *base = reserve(4 * page_bytes(), page_bytes());

	(void)state;
	assert_int_equal(signal_of_reading(base), SIGSEGV);
	assert_int_equal(signal_of_writing(base + page_bytes()), SIGSEGV);
	unmap(base, 4 * page_bytes());
}

static void
os_reserve_impossible_size_is_enomem(void **state)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 16 * MIB,
					(size_t)1 << 62, (size_t)1 << 57 };
	void *base = &base;
	int err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = align_down(sizes[i], page_bytes());

		KEEPS_ERRNO(err = cubby__os_reserve(bytes, 16 * MIB, &base));
		assert_int_equal(err, -ENOMEM);
		assert_ptr_equal(base, &base); /* written only on success */
	}
}

static void
os_map_fresh_is_zero_and_writable(void **state)
{
	void *base;
	int err;
	char *bytes;

	(void)state;
	KEEPS_ERRNO(err = cubby__os_map(3 * page_bytes(), &base));
	assert_int_equal(err, 0);
	bytes = base;
	for (size_t i = 0; i < 3 * page_bytes(); i++)
		assert_int_equal(bytes[i], 0);
	memset(bytes, 0xaa, 3 * page_bytes());
	assert_true(is_resident(bytes));
	unmap(base, 3 * page_bytes());
}

static void
os_map_zeroes_reads_but_does_not_write(void **state)
{
	void *base;
	int err;
	char *bytes;

	(void)state;
	KEEPS_ERRNO(err = cubby__os_map_zeroes(2 * page_bytes(), &base));
	assert_int_equal(err, 0);
	bytes = base;
	assert_int_equal(bytes[0], 0);
	assert_int_equal(bytes[2 * page_bytes() - 1], 0);
	assert_int_equal(signal_of_writing(bytes), SIGSEGV);
	commit(bytes, page_bytes());
	bytes[0] = 7;
	assert_int_equal(signal_of_writing(bytes + page_bytes()), SIGSEGV);
	unmap(base, 2 * page_bytes());
}

static void
os_commit_part_leaves_the_rest_alone(void **state)
{
	char *base = reserve(4 * page_bytes(), page_bytes());

	(void)state;
	commit(base + page_bytes(), 2 * page_bytes());
	assert_false(is_resident(base + page_bytes()));
	base[page_bytes()] = 1;
	base[3 * page_bytes() - 1] = 1;
	assert_true(is_resident(base + page_bytes()));
	assert_int_equal(signal_of_writing(base), SIGSEGV);
	assert_int_equal(signal_of_writing(base + 3 * page_bytes()), SIGSEGV);
	unmap(base, 4 * page_bytes());
}

static void
os_commit_unmapped_is_enomem(void **state)
{
	char *base = reserve(page_bytes(), page_bytes());
	int err;

	(void)state;
	unmap(base, page_bytes());
	KEEPS_ERRNO(err = cubby__os_commit(base, page_bytes()));
	assert_int_equal(err, -ENOMEM);
}

static void
os_decommit_used_pages_are_gone_but_reserved(void **state)
{
	char *base = reserve(2 * page_bytes(), page_bytes());
	int err;

	(void)state;
	commit(base, 2 * page_bytes());
	memset(base, 0x55, 2 * page_bytes());
	KEEPS_ERRNO(err = cubby__os_decommit(base, page_bytes()));
	assert_int_equal(err, 0);
	assert_true(is_mapped(base));
	assert_false(is_resident(base));
	assert_int_equal(signal_of_reading(base), SIGSEGV);
	assert_int_equal(base[page_bytes()], 0x55);
	commit(base, page_bytes());
	assert_int_equal(base[0], 0);
	unmap(base, 2 * page_bytes());
}

/* Who looks at an address at any moment reads what was there, or zeroes. */
static void
os_decommit_readable_used_pages_read_as_zeroes(void **state)
{
	char *base = reserve(3 * page_bytes(), page_bytes());
	int err;

	(void)state;
	commit(base, 3 * page_bytes());
	memset(base, 0x55, 3 * page_bytes());
	KEEPS_ERRNO(err = cubby__os_decommit_readable(base + page_bytes(),
						      page_bytes()));
	assert_int_equal(err, 0);
	assert_false(is_resident(base + page_bytes()));
	for (size_t i = 0; i < page_bytes(); i++)
		assert_int_equal(base[page_bytes() + i], 0);
	assert_int_equal(base[page_bytes() - 1], 0x55);
	assert_int_equal(base[2 * page_bytes()], 0x55);
	assert_int_equal(signal_of_writing(base + page_bytes()), SIGSEGV);
	commit(base + page_bytes(), page_bytes());
	assert_int_equal(base[page_bytes()], 0);
	base[page_bytes()] = 1;
	unmap(base, 3 * page_bytes());
}

static void
os_drop_used_pages_read_as_zeroes(void **state)
{
	char *base = reserve(3 * page_bytes(), page_bytes());
	int err;

	(void)state;
	commit(base, 3 * page_bytes());
	memset(base, 0x55, 3 * page_bytes());
	KEEPS_ERRNO(err = cubby__os_drop(base + page_bytes(), page_bytes()));
	assert_int_equal(err, 0);
	assert_true(is_resident(base));
	assert_false(is_resident(base + page_bytes()));
	assert_true(is_resident(base + 2 * page_bytes()));
	for (size_t i = 0; i < page_bytes(); i++)
		assert_int_equal(base[page_bytes() + i], 0);
	assert_int_equal(base[0], 0x55);
	base[page_bytes()] = 1;
	unmap(base, 3 * page_bytes());
}

static void
os_drop_locked_pages_go_or_are_kept_whole(void **state)
{
	char *base = reserve(page_bytes(), page_bytes());
	int err;

	(void)state;
	commit(base, page_bytes());
	if (mlock(base, page_bytes()) != 0) {
		skip_because("may not lock memory");
	}
	base[0] = 3;
	KEEPS_ERRNO(err = cubby__os_drop(base, page_bytes()));
	if (err == 0)
		assert_int_equal(base[0], 0);
	else
		assert_int_equal(base[0], 3);
	unmap(base, page_bytes());
}

static void
os_drop_unmapped_is_a_negative_errno(void **state)
{
	char *base = reserve(page_bytes(), page_bytes());
	int err;

	(void)state;
	unmap(base, page_bytes());
	KEEPS_ERRNO(err = cubby__os_drop(base, page_bytes()));
	assert_int_equal(err, -ENOMEM);
}

static void
os_populate_committed_is_resident_and_unchanged(void **state)
{
	char *base = reserve(4 * page_bytes(), page_bytes());
	int err;

	(void)state;
	commit(base, 4 * page_bytes());
	base[0] = 9;
	KEEPS_ERRNO(err = cubby__os_populate(base, 3 * page_bytes()));
	assert_int_equal(err, 0);
	for (size_t i = 0; i < 3; i++)
		assert_true(is_resident(base + i * page_bytes()));
	assert_false(is_resident(base + 3 * page_bytes()));
	assert_int_equal(base[0], 9);
	assert_int_equal(base[page_bytes()], 0);
	unmap(base, 4 * page_bytes());
}

static void
os_populate_unmapped_is_enomem(void **state)
{
	char *base = reserve(page_bytes(), page_bytes());
	int err;

	(void)state;
	unmap(base, page_bytes());
	KEEPS_ERRNO(err = cubby__os_populate(base, page_bytes()));
	assert_int_equal(err, -ENOMEM);
}

/* Pages that may not be written are refused as an unknown call is. */
static void
os_populate_soon_goes_on_after_a_refusal(void **state)
{
	char *base = reserve(3 * page_bytes(), page_bytes());

	(void)state;
	commit(base, 2 * page_bytes());
	base[0] = 9;
	cubby__os_populate_soon(base + page_bytes(), page_bytes());
	if (!is_resident(base + page_bytes())) { /* before Linux 5.14 */
		unmap(base, 3 * page_bytes());
		skip();
	}
	KEEPS_ERRNO(cubby__os_populate_soon(base, 3 * page_bytes()));
	assert_false(is_resident(base + 2 * page_bytes()));
	assert_int_equal(base[0], 9);
	commit(base + 2 * page_bytes(), page_bytes());
	KEEPS_ERRNO(cubby__os_populate_soon(base, 3 * page_bytes()));
	assert_true(is_resident(base + 2 * page_bytes()));
	assert_int_equal(base[0], 9);
	unmap(base, 3 * page_bytes());
}

static void
os_advise_huge_refusal_is_ignored(void **state)
{
	char *base = reserve(4 * MIB, 2 * MIB);

	(void)state;
	KEEPS_ERRNO(cubby__os_advise_huge(base, 4 * MIB, true));
	KEEPS_ERRNO(cubby__os_advise_huge(base, 4 * MIB, false));
	unmap(base, 4 * MIB);
	KEEPS_ERRNO(cubby__os_advise_huge(base, 4 * MIB, true));
}

/* ------------------------------- moved pages ----------------------------- */

static void
fill_pages(char *base, size_t n_pages)
{
	for (size_t i = 0; i < n_pages * page_bytes(); i++)
		base[i] = (char)(1 + i % 101);
}

static bool
holds_pages(const char *base, size_t n_pages)
{
	for (size_t i = 0; i < n_pages * page_bytes(); i++)
		if (base[i] != (char)(1 + i % 101))
			return false;
	return true;
}

static bool
is_zero(const char *base, size_t n_pages)
{
	for (size_t i = 0; i < n_pages * page_bytes(); i++)
		if (base[i] != 0)
			return false;
	return true;
}

/* Not by kernels before 5.7, nor by Valgrind. */
static bool
can_move(void)
{
	char *from = reserve(page_bytes(), page_bytes());
	char *to = reserve(page_bytes(), page_bytes());
	bool can;

	can = mremap(from, page_bytes(), page_bytes(),
		     MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		     to) != MAP_FAILED;
	unmap(from, page_bytes());
	unmap(to, page_bytes());
	return can;
}

/* 7 pages, of which those in the middle are for the move. */
static char *
reserve_seven(void)
{
	char *base = reserve(7 * page_bytes(), page_bytes());

	commit(base, 7 * page_bytes());
	base[0] = base[7 * page_bytes() - 1] = 3;
	return base;
}

static void
assert_moves(char *from, char *to, int expected)
{
	int err;

	KEEPS_ERRNO(err = cubby__os_move(from + page_bytes(),
					 to + page_bytes(), 5 * page_bytes()));
	assert_int_equal(err, expected);
	for (size_t i = 0; i < 7; i += 6) {
		size_t last = i / 6 * (page_bytes() - 1);

		assert_int_equal(from[i * page_bytes() + last], 3);
		assert_int_equal(to[i * page_bytes() + last], 3);
	}
}

static void
os_move_used_pages_are_there_and_zeroes_here(void **state)
{
	char *from, *to;

	(void)state;
	if (!can_move())
		skip();
	from = reserve_seven();
	to = reserve_seven();
	fill_pages(from + page_bytes(), 5);
	memset(to + page_bytes(), 9, 5 * page_bytes());
	assert_moves(from, to, 0);
	assert_true(holds_pages(to + page_bytes(), 5));
	assert_true(is_zero(from + page_bytes(), 5));
	fill_pages(from + page_bytes(), 5); /* they can be used again */
	unmap(from, 7 * page_bytes());
	unmap(to, 7 * page_bytes());
}

static void
assert_fails_to_move(bool is_unmapped)
{
	char *from = reserve_seven(), *to = reserve_seven();

	fill_pages(from + page_bytes(), 5);
	if (is_unmapped)
		unmap(to + page_bytes(), 5 * page_bytes());
	cubby__os_fail_at(1);
	assert_moves(from, to, -ENOMEM);
	cubby__os_fail_at(0);
	assert_true(holds_pages(from + page_bytes(), 5));
	assert_true(is_mapped(to + page_bytes()));
	assert_true(is_zero(to + page_bytes(), 5));
	fill_pages(to + page_bytes(), 5);
	unmap(from, 7 * page_bytes());
	unmap(to, 7 * page_bytes());
}

static void
os_move_that_fails_leaves_what_was_there(void **state)
{
	(void)state;
	assert_fails_to_move(false);
}

/* As a kernel does that unmaps before it looks whether it can. */
static void
os_move_that_has_unmapped_maps_again(void **state)
{
	(void)state;
	assert_fails_to_move(true);
}

/* ---------------------------- injected failures -------------------------- */

static int
call_number(unsigned which, char *committed)
{
	void *base;
	int err;

	switch (which) {
	case 0:
		err = cubby__os_reserve(page_bytes(), page_bytes(), &base);
		break;
	case 1:
		err = cubby__os_map(page_bytes(), &base);
		break;
	case 2:
		err = cubby__os_map_zeroes(page_bytes(), &base);
		break;
	case 3:
		return cubby__os_commit(committed, page_bytes());
	case 4:
		return cubby__os_populate(committed, page_bytes());
	case 5:
		err = cubby__os_decommit(committed, page_bytes());
		if (err == 0)
			assert_int_equal(mprotect(committed, page_bytes(),
						  PROT_READ | PROT_WRITE),
					 0);
		return err;
	default:
		return cubby__os_move(committed, committed + page_bytes(),
				      page_bytes());
	}
	if (err == 0)
		cubby__os_unmap(base, page_bytes());
	return err;
}

#define N_COUNTED_CALLS 7
#define N_SURE_CALLS 6 /* Valgrind and old kernels move no pages */

static void
os_fail_at_each_kind_of_call_is_counted(void **state)
{
	char *committed = reserve(2 * page_bytes(), page_bytes());

	(void)state;
	commit(committed, 2 * page_bytes());
	committed[0] = 5;
	for (unsigned which = 0; which < N_COUNTED_CALLS; which++) {
		uint64_t pages = mapped_pages();
		int err;

		cubby__os_fail_at(1);
		assert_int_equal(cubby__os_n_calls(), 0);
		KEEPS_ERRNO(err = call_number(which, committed));
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(cubby__os_n_calls(), 1);
		assert_int_equal(mapped_pages(), pages);
		assert_int_equal(committed[0], 5);
	}
	cubby__os_fail_at(0);
	unmap(committed, 2 * page_bytes());
}

static void
os_fail_at_n_fails_the_nth_and_all_later(void **state)
{
	char *committed = reserve(2 * page_bytes(), page_bytes());

	(void)state;
	commit(committed, 2 * page_bytes());
	for (uint64_t nth = 1; nth <= 12; nth++) {
		cubby__os_fail_at(nth);
		for (uint64_t call = 1; call <= 15; call++) {
			int err = call_number(call % N_SURE_CALLS, committed);

			assert_int_equal(err, call >= nth ? -ENOMEM : 0);
			assert_int_equal(cubby__os_n_calls(), call);
		}
	}
	cubby__os_fail_at(0);
	for (unsigned call = 0; call < 20; call++)
		assert_int_equal(call_number(call % N_SURE_CALLS, committed),
				 0);
	unmap(committed, 2 * page_bytes());
}

static void
os_drop_injected_failure_is_not_for_it(void **state)
{
	char *base = reserve(page_bytes(), page_bytes());

	(void)state;
	commit(base, page_bytes());
	base[0] = 1;
	cubby__os_fail_at(1);
	assert_int_equal(cubby__os_drop(base, page_bytes()), 0);
	cubby__os_unmap(base, page_bytes());
	assert_int_equal(cubby__os_n_calls(), 0);
	cubby__os_fail_at(0);
}

/* ------------------------------- small facts ----------------------------- */

/* The path of a file in memory that holds `text`. */
static const char *
file_of(const char *text)
{
	static char path[64];
	int fd = memfd_create("text", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static void
os_read_number_text_is_parsed_or_otherwise(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} rows[] = {
		{ "0\n", 0 },
		{ "2\n", 2 },
		{ "12 34", 12 },
		{ "4194304", 4194304 },
		{ "", 77 },
		{ "x12", 77 },
		{ " 1", 77 },
		{ "-1", 77 },
		{ "18446744073709551615", UINT64_MAX },
	};
	uint64_t number;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *path = file_of(rows[i].text);

		KEEPS_ERRNO(number = cubby__os_read_number(path, 77));
		assert_int_equal(number, rows[i].number);
		close(atoi(strrchr(path, '/') + 1));
	}
	KEEPS_ERRNO(number = cubby__os_read_number("/no/such/file", 5));
	assert_int_equal(number, 5);
}

static void
os_read_text_long_file_is_cut_and_terminated(void **state)
{
	char buffer[8];
	ssize_t n;

	(void)state;
	memset(buffer, 'Z', sizeof(buffer));
	KEEPS_ERRNO(n = cubby__os_read_text(file_of("0123456789"), buffer, 6));
	assert_int_equal(n, 5);
	assert_string_equal(buffer, "01234");
	assert_int_equal(buffer[6], 'Z');
	KEEPS_ERRNO(n = cubby__os_read_text("/no/such/file", buffer, 6));
	assert_int_equal(n, -ENOENT);
	assert_string_equal(buffer, "");
	KEEPS_ERRNO(n = cubby__os_read_text("/proc", buffer, 6));
	assert_int_equal(n, -EISDIR);
	assert_string_equal(buffer, "");
}

static void
os_charges_commit_any_agrees_with_the_kernel(void **state)
{
	bool charges = cubby__os_read_number("/proc/sys/vm/overcommit_memory",
					     0) == 2;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(cubby__os_charges_commit(), charges);
}

static void
os_address_bits_any_covers_every_address(void **state)
{
	unsigned bits = cubby__os_address_bits();
	char here;

	(void)state;
	assert_true(bits >= 39 && bits <= 57);
	assert_int_equal((uintptr_t)&here >> bits, 0);
	assert_int_equal(
		(uintptr_t)reserve(page_bytes(), page_bytes()) >> bits, 0);
#if defined(__x86_64__)
	assert_int_equal(bits, 47);
#endif
}

static void
os_address_space_left_unlimited_is_the_maximum(void **state)
{
	uint64_t left;

	(void)state;
	KEEPS_ERRNO(left = cubby__os_address_space_left_bytes());
	assert_true(left == UINT64_MAX);
}

#define LIMIT_BYTES (8 * GIB)

static void
os_address_space_left_limit_is_lessened_by_use(void **state)
{
	uint64_t used = mapped_pages() * page_bytes();
	struct rlimit limit = { LIMIT_BYTES, LIMIT_BYTES };
	uint64_t left;

	(void)state;
	if (used >= LIMIT_BYTES) {
		skip_because("a sanitizer uses more addresses");
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	KEEPS_ERRNO(left = cubby__os_address_space_left_bytes());
	assert_in_range(left, LIMIT_BYTES - used - 16 * MIB,
			LIMIT_BYTES - used + 16 * MIB);
	limit.rlim_cur = page_bytes();
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	left = cubby__os_address_space_left_bytes();
	limit.rlim_cur = LIMIT_BYTES; /* room for what comes after a failure */
	setrlimit(RLIMIT_AS, &limit);
	assert_int_equal(left, 0);
}

static void
os_write_pipe_arrives_whole(void **state)
{
	char buffer[16];
	int fds[2], err;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	KEEPS_ERRNO(err = cubby__os_write(fds[1], "hello", 5));
	assert_int_equal(err, 0);
	KEEPS_ERRNO(err = cubby__os_write(fds[1], "", 0));
	assert_int_equal(err, 0);
	assert_int_equal(read(fds[0], buffer, sizeof(buffer)), 5);
	assert_memory_equal(buffer, "hello", 5);
	close(fds[0]);
	close(fds[1]);
	KEEPS_ERRNO(err = cubby__os_write(fds[1], "x", 1));
	assert_int_equal(err, -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(os_page_bytes_any_is_the_kernels),
		cmocka_unit_test(os_reserve_any_alignment_is_met_exactly),
		CHILD_TEST(os_reserve_slack_is_unmapped, NULL),
		cmocka_unit_test(os_reserve_fresh_is_inaccessible),
		cmocka_unit_test(os_reserve_impossible_size_is_enomem),
		cmocka_unit_test(os_map_fresh_is_zero_and_writable),
		cmocka_unit_test(os_map_zeroes_reads_but_does_not_write),
		cmocka_unit_test(os_commit_part_leaves_the_rest_alone),
		cmocka_unit_test(os_commit_unmapped_is_enomem),
		cmocka_unit_test(os_decommit_used_pages_are_gone_but_reserved),
		cmocka_unit_test(
			os_decommit_readable_used_pages_read_as_zeroes),
		cmocka_unit_test(os_drop_used_pages_read_as_zeroes),
		cmocka_unit_test(os_drop_locked_pages_go_or_are_kept_whole),
		cmocka_unit_test(os_drop_unmapped_is_a_negative_errno),
		cmocka_unit_test(
			os_populate_committed_is_resident_and_unchanged),
		cmocka_unit_test(os_populate_unmapped_is_enomem),
		cmocka_unit_test(os_populate_soon_goes_on_after_a_refusal),
		cmocka_unit_test(os_advise_huge_refusal_is_ignored),
		cmocka_unit_test(os_move_used_pages_are_there_and_zeroes_here),
		CHILD_TEST(os_move_that_fails_leaves_what_was_there, NULL),
		CHILD_TEST(os_move_that_has_unmapped_maps_again, NULL),
		CHILD_TEST(os_fail_at_each_kind_of_call_is_counted, NULL),
		CHILD_TEST(os_fail_at_n_fails_the_nth_and_all_later, NULL),
		CHILD_TEST(os_drop_injected_failure_is_not_for_it, NULL),
		cmocka_unit_test(os_read_number_text_is_parsed_or_otherwise),
		cmocka_unit_test(os_read_text_long_file_is_cut_and_terminated),
		cmocka_unit_test(os_charges_commit_any_agrees_with_the_kernel),
		cmocka_unit_test(os_address_bits_any_covers_every_address),
		cmocka_unit_test(
			os_address_space_left_unlimited_is_the_maximum),
		CHILD_TEST(os_address_space_left_limit_is_lessened_by_use,
			   NULL),
		cmocka_unit_test(os_write_pipe_arrives_whole),
	};

	return cmocka_run_group_tests_name("os", tests, NULL, NULL);
}
