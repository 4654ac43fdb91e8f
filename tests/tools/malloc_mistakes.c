/* SPDX-License-Identifier: MIT */
/*
 * malloc_mistakes WHAT: one mistake with malloc.  The address goes to standard
 * output before it, "went on" after it.
 */
#include "malloc_check.h"

#include <malloc.h>

#define SMALL_BYTES 40
#define LARGE_BYTES (3 * MIB)
#define N_OTHERS 1000
#define N_WATCHED 20000

static void (*my_free_sized)(void *, size_t);
static void *others[N_OTHERS];

static void *
shown(void *block)
{
	printf("%p\n", block);
	fflush(stdout);
	return block;
}

static void
use_others(void)
{
	for (size_t i = 0; i < N_OTHERS; i++)
		others[i] = malloc(SMALL_BYTES);
	for (size_t i = 0; i < N_OTHERS; i++)
		free(others[i]);
}

static void
twice(size_t bytes, size_t n_between)
{
	void *block = malloc(bytes);

	for (size_t i = 0; i < n_between; i++)
		others[i] = malloc(bytes);
	free(shown(block));
	for (size_t i = 0; i < n_between; i++)
		free(others[i]);
	free(block);
}

static void
within(size_t bytes, size_t offset)
{
	free(shown((char *)malloc(bytes) + offset));
}

static void
wrong_size(size_t bytes, size_t other_bytes)
{
	my_free_sized(shown(malloc(bytes)), other_bytes);
}

/* No mistake: a block that realloc() left has the size that it was asked for. */
static void
shrunk_size(size_t bytes, size_t other_bytes)
{
	my_free_sized(realloc(malloc(bytes), other_bytes), other_bytes);
}

/* One of these is beside pages without access, by and by. */
static void
many_overruns(ptrdiff_t offset, int is_read)
{
	static volatile unsigned char *blocks[N_WATCHED];
	int sum = 0;

	for (size_t i = 0; i < N_WATCHED; i++) {
		blocks[i] = malloc(SMALL_BYTES);
		if (is_read)
			sum += blocks[i][offset];
		else
			blocks[i][offset] = 1;
	}
	printf("%d\n", sum);
	for (size_t i = 0; i < N_WATCHED; i++)
		free((void *)(uintptr_t)blocks[i]);
}

static void
one_byte_at(ptrdiff_t offset)
{
	volatile char *block = shown(malloc(SMALL_BYTES));

	block[offset] = 1;
	free((void *)(uintptr_t)block);
}

static void
write_after_free(void)
{
	volatile char *block = shown(malloc(SMALL_BYTES));

	free((void *)(uintptr_t)block);
	block[9] = 1;
	use_others();
	use_others();
}

static void
stack_pointer(void)
{
	char here[64] __attribute__((aligned(64)));

	free(shown(here + 16));
}

static void
realloc_freed(size_t bytes)
{
	void *block = shown(malloc(bytes));

	free(block);
	if (realloc(block, 2 * bytes) == NULL)
		puts("refused");
}

static const struct {
	const char *what;
	void (*with_two)(size_t, size_t);
	size_t first, second;
} mistakes[] = {
	{ "twice", twice, SMALL_BYTES, 0 },
	{ "twice-8", twice, 8, 0 },
	{ "twice-20000", twice, 20000, 0 },
	{ "twice-others", twice, SMALL_BYTES, 3 },
	{ "twice-later", twice, SMALL_BYTES, N_OTHERS },
	{ "twice-large", twice, LARGE_BYTES, 0 },
	{ "twice-large-others", twice, LARGE_BYTES, 3 },
	{ "twice-huge", twice, 100 * MIB, 0 },
	{ "within", within, 64, 16 },
	{ "within-odd", within, 64, 1 },
	{ "within-20000", within, 20000, 4096 },
	{ "within-large", within, LARGE_BYTES, 65536 },
	{ "within-large-odd", within, LARGE_BYTES, 16 },
	{ "within-huge", within, 100 * MIB, 50 * MIB },
	{ "wrong-size", wrong_size, SMALL_BYTES, 400 },
	{ "wrong-size-small", wrong_size, 400, SMALL_BYTES },
	{ "wrong-size-large", wrong_size, SMALL_BYTES, LARGE_BYTES },
	{ "shrunk-size", shrunk_size, 100, 60 },
	{ "wrong-size-of-large", wrong_size, LARGE_BYTES, SMALL_BYTES },
};

static int
make_mistake(const char *what)
{
	for (size_t i = 0; i < N_ELEMENTS(mistakes); i++)
		if (strcmp(mistakes[i].what, what) == 0)
			return mistakes[i].with_two(mistakes[i].first,
						    mistakes[i].second),
			       0;
	if (strcmp(what, "stack") == 0)
		stack_pointer();
	else if (strcmp(what, "realloc-freed") == 0)
		realloc_freed(SMALL_BYTES);
	else if (strcmp(what, "realloc-freed-large") == 0)
		realloc_freed(LARGE_BYTES);
	else if (strcmp(what, "overruns") == 0)
		many_overruns(SMALL_BYTES + 8, 0);
	else if (strcmp(what, "overruns-read") == 0)
		many_overruns(SMALL_BYTES + 8, 1);
	else if (strcmp(what, "underruns") == 0)
		many_overruns(-1, 0);
	else if (strcmp(what, "behind") == 0)
		one_byte_at((ptrdiff_t)malloc_usable_size(others[0]));
	else if (strcmp(what, "before") == 0)
		one_byte_at(-1);
	else if (strcmp(what, "after-free") == 0)
		write_after_free();
	else
		return strcmp(what, "nothing") == 0 ? 0 : 2;
	return 0;
}

int
main(int argc, char **argv)
{
	*(void **)&my_free_sized = dlsym(RTLD_DEFAULT, "free_sized");
	if (argc != 2 || my_free_sized == NULL)
		return 2;
	use_others();
	others[0] = malloc(SMALL_BYTES);
	if (make_mistake(argv[1]) != 0)
		return 2;
	use_others();
	puts("went on");
	return 0;
}
