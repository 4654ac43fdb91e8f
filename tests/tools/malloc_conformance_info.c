/* SPDX-License-Identifier: MIT */
/*
 * malloc_conformance_info FILE: what a malloc tells of itself, as glibc's does.
 * malloc_info() goes to FILE.  Not for mallocs that leave this to glibc.
 */
#include "malloc_family.h"

#include <errno.h>

#define BLOCK_BYTES 1000
#define N_BLOCKS 32768
#define ALL_BYTES ((size_t)BLOCK_BYTES * N_BLOCKS)
#define SLACK_BYTES (MIB)

static void *blocks[N_BLOCKS + 1];

static void
fill(void)
{
	for (size_t i = 0; i <= N_BLOCKS; i++) {
		blocks[i] = my.malloc(BLOCK_BYTES);
		CHECK(blocks[i], !=, NULL);
		memset(blocks[i], 1, BLOCK_BYTES);
	}
}

/* All but the last, which lies above all others in glibc's heap. */
static void
empty(void)
{
	for (size_t i = 0; i < N_BLOCKS; i++)
		my.free(blocks[i]);
}

static void
check_mallinfo(void)
{
	struct mallinfo2 before = my.mallinfo2(), full, after;
	struct mallinfo old;

	fill();
	full = my.mallinfo2();
	old = my.mallinfo();
	CHECK(full.uordblks, >=, before.uordblks + ALL_BYTES);
	CHECK(full.uordblks, <=,
	      before.uordblks + ALL_BYTES + ALL_BYTES / 8 + SLACK_BYTES);
	CHECK(full.arena + full.hblkhd, >=, full.uordblks);
	CHECK(old.uordblks, >=, full.uordblks);
	CHECK(old.uordblks, <=, full.uordblks + SLACK_BYTES);
	empty();
	after = my.mallinfo2();
	CHECK(after.uordblks, <=, before.uordblks + SLACK_BYTES);
	my.free(blocks[N_BLOCKS]);
}

static void
check_mallinfo_large(void)
{
	struct mallinfo2 before = my.mallinfo2(), full, after;
	void *block = my.malloc(40 * MIB);

	full = my.mallinfo2();
	CHECK(full.uordblks + full.hblkhd, >=,
	      before.uordblks + before.hblkhd + 40 * MIB);
	my.free(block);
	after = my.mallinfo2();
	CHECK(after.uordblks, <=, before.uordblks + SLACK_BYTES);
}

static void
check_trim(void)
{
	size_t full_bytes;

	fill();
	full_bytes = resident_bytes();
	empty();
	CHECK(my.malloc_trim(0), ==, 1);
	CHECK(resident_bytes(), <=, full_bytes - ALL_BYTES / 2);
	my.free(blocks[N_BLOCKS]);
	(void)my.malloc_trim(0);
	fill();
	empty();
	my.free(blocks[N_BLOCKS]);
}

/* malloc_stats() writes to descriptor 2, whatever stderr is. */
static void
check_stats(void)
{
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);
	off_t bytes;

	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	my.malloc_stats();
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	bytes = lseek(fileno(file), 0, SEEK_END);
	CHECK(bytes, >, 20);
	fclose(file);
	close(before);
}

static void
check_mallopt(void)
{
	static const int known[][2] = {
		{ M_MXFAST, 64 },      { M_TRIM_THRESHOLD, 131072 },
		{ M_TOP_PAD, 131072 }, { M_MMAP_THRESHOLD, 131072 },
		{ M_MMAP_MAX, 65536 }, { M_ARENA_TEST, 8 },
		{ M_ARENA_MAX, 8 },    { M_PERTURB, 0 },
	};

	for (size_t i = 0; i < N_ELEMENTS(known); i++)
		CHECK(my.mallopt(known[i][0], known[i][1]), ==, 1);
	/* glibc takes all it does not know for something of later. */
	CHECK(my.mallopt(-1234, 1), ==, malloc_kind() == KIND_GLIBC);
	my.free(my.malloc(100));
}

static void
check_info(const char *path)
{
	FILE *file = fopen(path, "we");

	CHECK(file, !=, NULL);
	for (int i = 0; i < 100; i++)
		blocks[i] = my.malloc((size_t)i * 100);
	CHECK(my.malloc_info(0, file), ==, 0);
	CHECK(ftell(file), >, 20);
	CHECK(my.malloc_info(1, file), !=, 0);
	CHECK(fclose(file), ==, 0);
	for (int i = 0; i < 100; i++)
		my.free(blocks[i]);
}

int
main(int argc, char **argv)
{
	family_find();
	if (argc != 2 || malloc_kind() == KIND_OTHER)
		return 2;
	check_info(argv[1]);
	check_mallinfo();
	check_mallinfo_large();
	check_trim();
	check_stats();
	check_mallopt();
	return check_end();
}
