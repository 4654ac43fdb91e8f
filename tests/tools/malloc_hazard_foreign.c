/* SPDX-License-Identifier: MIT */
/*
 * malloc_hazard_foreign WHAT free|realloc|size: give malloc a pointer that it
 * never returned.  The address goes to standard output before, and "went on"
 * after it, if all is well then.
 */
#include "malloc_check.h"

#include <malloc.h>
#include <sys/mman.h>

#define N_BLOCKS 1000

static char data[256] __attribute__((aligned(64)));

/* Of the malloc of another libc, in a namespace of its own. */
static void *
of_other_libc(void)
{
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW | RTLD_LOCAL);
	void *(*other_malloc)(size_t);

	if (libc == NULL)
		exit(77);
	*(void **)&other_malloc = dlsym(libc, "malloc");
	return other_malloc(100);
}

static void *
mapped(void)
{
	return mmap(NULL, MIB, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *
unmapped(void)
{
	void *at = mapped();

	munmap(at, MIB);
	return at;
}

static void *
pointer_to(const char *what)
{
	static const struct {
		const char *what;
		uintptr_t address;
	} constants[] = {
		{ "first-page", 16 },
		{ "high", 0x00007ffffffff000 },
		{ "kernel", 0xffff888000001000 },
		{ "highest", UINTPTR_MAX - 15 },
		{ "no-address", 0x1234567890abcdf0 },
	};

	for (size_t i = 0; i < N_ELEMENTS(constants); i++)
		if (strcmp(what, constants[i].what) == 0)
			return (void *)constants[i].address;
	if (strcmp(what, "mmap") == 0)
		return mapped();
	if (strcmp(what, "within-mmap") == 0)
		return (char *)mapped() + 4096 * 3 + 48;
	if (strcmp(what, "unmapped") == 0)
		return unmapped();
	if (strcmp(what, "data") == 0)
		return data + 64;
	if (strcmp(what, "brk") == 0)
		return (char *)sbrk(4096) + 64;
	if (strcmp(what, "code") == 0)
		return (void *)(uintptr_t)pointer_to;
	if (strcmp(what, "other-libc") == 0)
		return of_other_libc();
	exit(2);
}

/* What follows is as if nothing had been. */
static void
check_sane(void)
{
	static void *blocks[N_BLOCKS];

	for (size_t i = 0; i < N_BLOCKS; i++) {
		blocks[i] = malloc(i * 7 % 3000);
		CHECK(blocks[i], !=, NULL);
		stamp_write(blocks[i], i * 7 % 3000, (uint32_t)i);
	}
	for (size_t i = 0; i < N_BLOCKS; i++) {
		CHECK(stamp_holds(blocks[i], i * 7 % 3000, i * 7 % 3000,
				  (uint32_t)i),
		      ==, 1);
		free(blocks[i]);
	}
}

int
main(int argc, char **argv)
{
	char on_stack[256] __attribute__((aligned(64)));
	void *pointer;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "stack") == 0)
		pointer = on_stack + 64;
	else
		pointer = pointer_to(argv[1]);
	printf("%p\n", pointer);
	fflush(stdout);
	if (strcmp(argv[2], "free") == 0)
		free(pointer);
	else if (strcmp(argv[2], "realloc") == 0)
		free(realloc(pointer, 1000));
	else
		CHECK(malloc_usable_size(pointer), <, 64 * MIB);
	check_sane();
	puts("went on");
	return n_faults != 0;
}
