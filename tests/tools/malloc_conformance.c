/* SPDX-License-Identifier: MIT */
/*
 * What a program may expect of malloc and its family, edge by edge; the same
 * program for the malloc of glibc and for others.
 */
#include "malloc_family.h"

#include <errno.h>
#include <stdbool.h>

#define HUGE_ALIGN (MIB)
#define LARGEST_BYTES (40 * MIB)
#define KEPT_ERRNO 77 /* no error has this number */

/* Where mallocs differ on purpose; a line each. */
static struct {
	size_t small_align;     /* of requests of at most 8 bytes */
	bool has_exact_8;       /* those have 8 usable bytes */
	bool refuses_odd_align; /* aligned_alloc: EINVAL, as glibc since 2.38 */
	bool frees_at_0;        /* realloc(p, 0) frees and returns NULL */
	bool refuses_huge_align; /* memalign: EINVAL */
	bool sets_errno;         /* always, where NULL is returned */
	bool has_all; /* of the names, those that glibc does not know too */
	bool good_is_usable; /* malloc_good_size(n) is what malloc(n) has */
} expect;

static void
set_expectations(void)
{
	enum malloc_kind kind = malloc_kind();

	expect.small_align = kind == KIND_GLIBC ? 16 : 8;
	expect.has_exact_8 = kind == KIND_CUBBY;
	expect.refuses_odd_align = kind == KIND_CUBBY;
	expect.frees_at_0 = kind != KIND_OTHER;
	expect.refuses_huge_align = kind != KIND_OTHER;
	expect.sets_errno = kind != KIND_OTHER;
	expect.has_all = kind == KIND_CUBBY;
	expect.good_is_usable = kind == KIND_CUBBY;
}

/* The compiler shall not know these. */
static volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
static volatile size_t most = SIZE_MAX;
static volatile size_t nothing;

static size_t
align_of(size_t bytes)
{
	return bytes <= 8 ? expect.small_align : 16;
}

/* All of its usable bytes can be written. */
static size_t
check_block(void *block, size_t bytes, size_t align_bytes)
{
	size_t usable_bytes;

	CHECK(block, !=, NULL);
	usable_bytes = my.malloc_usable_size(block);
	CHECK((uintptr_t)block % align_bytes, ==, 0);
	CHECK(usable_bytes, >=, bytes);
	if (expect.has_exact_8 && bytes <= 8 && align_bytes <= 8)
		CHECK(usable_bytes, ==, 8);
	memset(block, 0xa7, usable_bytes);
	return usable_bytes;
}

static void
check_realloc(size_t from_bytes, size_t to_bytes)
{
	size_t kept_bytes = from_bytes < to_bytes ? from_bytes : to_bytes;
	uint32_t seed = (uint32_t)(from_bytes * 31 + to_bytes);
	void *block = my.malloc(from_bytes), *moved;

	CHECK(block, !=, NULL);
	stamp_write(block, from_bytes, seed);
	moved = my.realloc(block, to_bytes);
	CHECK(moved, !=, NULL);
	CHECK((uintptr_t)moved % align_of(to_bytes), ==, 0);
	CHECK(my.malloc_usable_size(moved), >=, to_bytes);
	CHECK(stamp_holds(moved, from_bytes, kept_bytes, seed), ==, 1);
	my.free(moved);
}

/* What calloc() gives is zero, also where there was something. */
static void
check_calloc(size_t bytes)
{
	void *dirty[8];
	size_t n = bytes > MIB ? 1 : N_ELEMENTS(dirty);
	unsigned char *zero;

	for (size_t i = 0; i < n; i++) {
		dirty[i] = my.malloc(bytes);
		memset(dirty[i], 0xff, my.malloc_usable_size(dirty[i]));
	}
	for (size_t i = 0; i < n; i++)
		my.free(dirty[i]);
	for (size_t i = 0; i < n; i++) {
		zero = dirty[i] = my.calloc(i % 2 ? 1 : bytes,
					    i % 2 ? bytes : 1);
		CHECK(zero, !=, NULL);
		CHECK(is_filled(zero, bytes, 0), ==, 1);
		CHECK((uintptr_t)zero % align_of(bytes), ==, 0);
		memset(zero, 0xff, bytes);
	}
	for (size_t i = 0; i < n; i++)
		my.free(dirty[i]);
}

static void
check_size(size_t bytes)
{
	void *block = my.malloc(bytes);
	size_t usable_bytes = check_block(block, bytes, align_of(bytes));

	if (my.malloc_size != NULL)
		CHECK(my.malloc_size(block), ==, usable_bytes);
	if (my.nallocx != NULL && bytes > 0 && expect.has_all)
		CHECK(my.nallocx(bytes, 0), ==, usable_bytes);
	if (expect.good_is_usable)
		CHECK(my.malloc_good_size(bytes), ==, usable_bytes);
	my.free(block);
	check_calloc(bytes);
	check_realloc(bytes, bytes + 1);
	if (bytes > 0)
		check_realloc(bytes + 1, bytes);
	check_realloc(bytes, bytes / 2 + 1);
	check_realloc(bytes, bytes * 2 + 1);
	check_realloc(bytes / 3, bytes + 9);
}

static void
check_sizes(void)
{
	static const int near[] = { -17, -16, -9, -8, -1, 0, 1, 8, 16, 17 };

	for (size_t bytes = 0; bytes <= 2100; bytes++)
		check_size(bytes);
	for (size_t power = 4 * KIB; power <= 4 * MIB; power *= 2)
		for (size_t i = 0; i < N_ELEMENTS(near); i++) {
			if (power > 128 * KIB && i % 3 != 1)
				continue;
			check_size(power + (size_t)near[i]);
			check_size(power / 2 * 3 + (size_t)near[i]);
		}
	check_size(LARGEST_BYTES);
	check_size(LARGEST_BYTES + 1);
	for (size_t bytes = 1; bytes < LARGEST_BYTES;
	     bytes = bytes * 5 / 2 + 3) {
		check_realloc(LARGEST_BYTES, bytes);
		check_realloc(bytes, LARGEST_BYTES);
	}
}

/* Up and down in one block, by small steps. */
static void
check_ladder(void)
{
	size_t bytes = 1, before_bytes;
	void *block = my.malloc(bytes);

	stamp_write(block, bytes, 5);
	for (int i = 0; i < 120; i++) {
		before_bytes = bytes;
		bytes = i < 60 ? bytes * 5 / 4 + 7 : bytes * 4 / 5 + 1;
		block = my.realloc(block, bytes);
		CHECK(block, !=, NULL);
		CHECK(stamp_holds(block, before_bytes,
				  bytes < before_bytes ? bytes : before_bytes,
				  5),
		      ==, 1);
		stamp_write(block, bytes, 5);
	}
	my.free(block);
}

static void
check_aligned_size(size_t align_bytes, size_t bytes)
{
	void *block = NULL, *moved;

	CHECK(my.posix_memalign(&block, align_bytes, bytes), ==, 0);
	check_block(block, bytes, align_bytes);
	stamp_write(block, bytes, 9);
	moved = my.realloc(block, bytes + 1000);
	CHECK(stamp_holds(moved, bytes, bytes, 9), ==, 1);
	my.free(moved);

	block = my.aligned_alloc(align_bytes, bytes);
	check_block(block, bytes, align_bytes);
	if (my.free_aligned_sized != NULL)
		my.free_aligned_sized(block, align_bytes, bytes);
	else
		my.free(block);

	block = my.memalign(align_bytes, bytes);
	check_block(block, bytes, align_bytes);
	if (my.sdallocx != NULL && bytes > 0)
		my.sdallocx(block, bytes, __builtin_ctzl(align_bytes));
	else
		my.free(block);
}

static void
check_aligned(void)
{
	static const size_t sizes[] = { 0,    1,     8,      16,     24,
					100,  1000,  4000,   4096,   4097,
					5000, 70000, 300000, 2000000 };
	void *many[64];

	for (size_t align = 8; align <= HUGE_ALIGN; align *= 2) {
		/* Some align nothing for no bytes. */
		for (size_t i = malloc_kind() == KIND_OTHER;
		     i < N_ELEMENTS(sizes); i++)
			check_aligned_size(align, sizes[i]);
		for (size_t i = 0; i < N_ELEMENTS(many); i++) {
			many[i] = my.memalign(align, 1 + i * 7);
			CHECK((uintptr_t)many[i] % align, ==, 0);
			stamp_write(many[i], 1 + i * 7, (uint32_t)i);
		}
		for (size_t i = 0; i < N_ELEMENTS(many); i++) {
			CHECK(stamp_holds(many[i], 1 + i * 7, 1 + i * 7,
					  (uint32_t)i),
			      ==, 1);
			my.free(many[i]);
		}
	}
}

static void
check_pages(void)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *block;

	for (size_t bytes = 0; bytes < 3 * page_bytes; bytes += 511) {
		block = my.valloc(bytes);
		check_block(block, bytes, page_bytes);
		if (my.vfree != NULL)
			my.vfree(block);
		else
			my.free(block);
		if (my.pvalloc == NULL)
			continue;
		block = my.pvalloc(bytes);
		check_block(block,
			    (bytes + page_bytes - 1) / page_bytes * page_bytes,
			    page_bytes);
		my.free(block);
	}
}

/* memalign() rounds up; what posix_memalign() refuses changes nothing. */
static void
check_odd_align(void)
{
	static const size_t odd[] = { 0, 1, 2, 4, 12, 24, 40, 100, 4095 };
	int here;
	void *block = &here;

	for (size_t i = 0; i < N_ELEMENTS(odd); i++) {
		errno = KEPT_ERRNO;
		CHECK(my.posix_memalign(&block, odd[i], 100), ==, EINVAL);
		CHECK(block, ==, &here);
		CHECK(errno, ==, KEPT_ERRNO);
	}
	if (malloc_kind() == KIND_OTHER)
		return;
	for (size_t i = 0; i < N_ELEMENTS(odd); i++) {
		size_t align_bytes = 1;

		while (align_bytes < odd[i])
			align_bytes *= 2;
		block = my.memalign(odd[i], 100);
		check_block(block, 100, align_bytes);
		my.free(block);
		if (!expect.refuses_odd_align)
			continue;
		errno = 0;
		block = my.aligned_alloc(odd[i], 100);
		if (odd[i] > 0 && (odd[i] & (odd[i] - 1)) == 0) {
			check_block(block, 100, odd[i]);
			my.free(block);
			continue;
		}
		CHECK(block, ==, NULL);
		CHECK(errno, ==, EINVAL);
	}
}

#define REFUSED(call)                                                         \
	do {                                                                  \
		errno = 0;                                                    \
		CHECK(call, ==, NULL);                                        \
		if (expect.sets_errno)                                        \
			CHECK(errno, ==, ENOMEM);                             \
	} while (0)

static void
check_refused(size_t bytes)
{
	void *block = my.malloc(100), *untouched = block;

	stamp_write(block, 100, 3);
	REFUSED(my.malloc(bytes));
	REFUSED(my.calloc(1, bytes));
	REFUSED(my.calloc(bytes, 1));
	REFUSED(my.calloc(bytes, 2));
	REFUSED(my.realloc(NULL, bytes));
	REFUSED(my.realloc(block, bytes));
	REFUSED(my.reallocarray(block, bytes, 1));
	REFUSED(my.reallocarray(block, bytes / 8, 16));
	REFUSED(my.memalign(64, bytes));
	REFUSED(my.memalign(4096, bytes));
	REFUSED(my.aligned_alloc(64, bytes));
	REFUSED(my.valloc(bytes));
	if (my.pvalloc != NULL)
		REFUSED(my.pvalloc(bytes));
	errno = KEPT_ERRNO;
	CHECK(my.posix_memalign(&untouched, 64, bytes), ==, ENOMEM);
	CHECK(my.posix_memalign(&untouched, 4096, bytes), ==, ENOMEM);
	CHECK(untouched, ==, block);
	if (malloc_kind() == KIND_CUBBY)
		CHECK(errno, ==, KEPT_ERRNO);
	CHECK(stamp_holds(block, 100, 100, 3), ==, 1);
	if (my.reallocf != NULL)
		REFUSED(my.reallocf(block, bytes));
	else
		my.free(block);
}

/* Its pages are too many for 32 bits. */
static void
check_realloc_to_terabytes(void)
{
	static volatile size_t bytes = ((size_t)1 << 44) + 100000;
	void *block = my.malloc(200000);
	void *larger = my.realloc(block, bytes);

	if (larger != NULL)
		CHECK(my.malloc_usable_size(larger), >=, bytes);
	my.free(larger != NULL ? larger : block);
}

static void
check_huge(void)
{
	static const size_t below[] = { 0, 1, 15, 16, 4095, 4096, 65536 };
	void *block;

	for (size_t i = 0; i < N_ELEMENTS(below); i++) {
		check_refused(most - below[i]);
		check_refused(too_much + below[i]);
	}
	check_refused(too_much - 1);
	REFUSED(my.calloc(most / 2 + 2, 2));
	REFUSED(my.calloc((size_t)1 << 32, (size_t)1 << 32));
	REFUSED(my.calloc(((size_t)1 << 32) + 1, (size_t)1 << 32));
	REFUSED(my.memalign(too_much / 2, too_much / 2 + 1));
	if (expect.refuses_huge_align) {
		errno = 0;
		CHECK(my.memalign(too_much + 1, 8), ==, NULL);
		CHECK(errno, ==, EINVAL);
	}
	block = my.calloc((size_t)1 << 20, 3);
	CHECK(is_filled(block, 3 * MIB, 0), ==, 1);
	my.free(block);
	check_realloc_to_terabytes();
}

static void
check_zero_bytes(void)
{
	void *blocks[300];
	size_t n = N_ELEMENTS(blocks);
	void *block;

	for (size_t i = 0; i < n; i++) {
		blocks[i] = i % 3 == 0 ? my.malloc(nothing) :
			    i % 3 == 1 ? my.calloc(nothing, 8) :
					 my.memalign(64, nothing);
		CHECK(blocks[i], !=, NULL);
		for (size_t j = 0; j < i; j++)
			CHECK(blocks[j], !=, blocks[i]);
	}
	for (size_t i = 0; i < n; i++)
		my.free(blocks[i]);
	block = my.realloc(NULL, nothing);
	CHECK(block, !=, NULL);
	if (expect.frees_at_0) {
		CHECK(my.realloc(block, nothing), ==, NULL);
		CHECK(my.realloc(my.malloc(9 * MIB), nothing), ==, NULL);
		block = my.reallocarray(NULL, 3, 5);
		check_block(block, 15, 16);
		CHECK(my.reallocarray(block, 3, nothing), ==, NULL);
	} else {
		my.free(block);
	}
	CHECK(my.malloc_usable_size(NULL), ==, 0);
	if (my.malloc_size != NULL)
		CHECK(my.malloc_size(NULL), ==, 0);
}

/* Every way to free keeps errno, and takes NULL. */
static void
check_free(void)
{
	static const size_t sizes[] = { 8,      40,      3000,
					200000, 3 * MIB, LARGEST_BYTES };
	static const char *const names[] = { "cfree", "vfree", "__libc_free" };
	void (*frees[3])(void *) = { my.cfree, my.vfree, my.__libc_free };

	errno = KEPT_ERRNO;
	my.free(NULL);
	for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
		void *block = my.malloc(sizes[i]);

		memset(block, 1, sizes[i]);
		errno = KEPT_ERRNO;
		my.free(block);
		CHECK(errno, ==, KEPT_ERRNO);
		if (my.free_sized == NULL)
			continue;
		block = my.malloc(sizes[i]);
		errno = KEPT_ERRNO;
		my.free_sized(block, sizes[i]);
		my.free_sized(NULL, sizes[i]);
		my.free_aligned_sized(NULL, 64, sizes[i]);
		CHECK(errno, ==, KEPT_ERRNO);
	}
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (frees[i] == NULL)
			continue;
		frees[i](NULL);
		frees[i](my.malloc(100));
	}
}

/* The names of glibc mix with the standard ones, either way. */
static void
check_libc_names(void)
{
	void *block;

	if (my.__libc_malloc == NULL)
		return;
	block = my.__libc_malloc(50);
	stamp_write(block, 50, 4);
	block = my.realloc(block, 5000);
	CHECK(stamp_holds(block, 50, 50, 4), ==, 1);
	block = my.__libc_realloc(block, 40);
	CHECK(stamp_holds(block, 50, 40, 4), ==, 1);
	my.__libc_free(block);
	block = my.__libc_calloc(70, 3);
	CHECK(is_filled(block, 210, 0), ==, 1);
	my.free(block);
	block = my.__libc_memalign(256, 10);
	check_block(block, 10, 256);
	my.free(block);
	block = my.__libc_valloc(10);
	check_block(block, 10, 4096);
	my.free(block);
	block = my.__libc_pvalloc(10);
	check_block(block, 4096, 4096);
	my.free(block);
	if (my.__posix_memalign == NULL)
		return;
	CHECK(my.__posix_memalign(&block, 512, 10), ==, 0);
	check_block(block, 10, 512);
	my.__libc_free(block);
}

/* What libc allocates for its callers is theirs to free. */
static void
check_libc_gives(void)
{
	char *line = NULL, *text;
	size_t bytes = 0;
	FILE *file = tmpfile();

	my.free(strdup("a string"));
	CHECK(asprintf(&text, "%01000d", 7), ==, 1000);
	if (file != NULL) {
		CHECK(fputs(text, file), >, 0);
		rewind(file);
		CHECK(getline(&line, &bytes, file), ==, 1000);
		CHECK(strcmp(line, text), ==, 0);
		my.free(my.realloc(line, 10));
		fclose(file);
	}
	my.free(text);
	my.free(realpath("/", NULL));
	my.free(getcwd(NULL, 0));
}

/* Many blocks at once, of all sizes: none is in another. */
static void
check_apart(void)
{
	static struct {
		void *block;
		size_t bytes;
	} all[20000];
	uint64_t state = 88172645463325252u;

	for (size_t i = 0; i < 4 * N_ELEMENTS(all); i++) {
		size_t at = random_below(&state, N_ELEMENTS(all));

		if (all[at].block != NULL)
			CHECK(stamp_holds(all[at].block, all[at].bytes,
					  all[at].bytes, (uint32_t)at),
			      ==, 1);
		my.free(all[at].block);
		all[at].bytes = random_below(&state, i % 100 == 0 ? 200000 :
						     i % 10 == 0  ? 5000 :
								    300);
		all[at].block = my.malloc(all[at].bytes);
		stamp_write(all[at].block, all[at].bytes, (uint32_t)at);
	}
	for (size_t i = 0; i < N_ELEMENTS(all); i++) {
		if (all[i].block != NULL)
			CHECK(stamp_holds(all[i].block, all[i].bytes,
					  all[i].bytes, (uint32_t)i),
			      ==, 1);
		my.free(all[i].block);
	}
}

int
main(void)
{
	family_find();
	set_expectations();
	check_sizes();
	check_ladder();
	check_aligned();
	check_pages();
	check_odd_align();
	check_huge();
	check_zero_bytes();
	check_free();
	check_libc_names();
	check_libc_gives();
	check_apart();
	return check_end();
}
