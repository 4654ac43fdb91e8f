/* SPDX-License-Identifier: MIT */
/*
 * Prints what this process is charged for, in bytes, with an empty cache, a
 * full one and an empty one again; fails unless the charge comes and goes with
 * the objects.  Only where vm.overcommit_memory is 2 is anything charged.
 */
#include <cubby/cubby.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_BYTES 200
#define N_OBJECTS 400000 /* 80 MB */
#define SLACK_BYTES ((size_t)8 << 20)
#define N_ROUNDS 3

static struct cubby_cache *cache;
static void *objects[N_OBJECTS];

/* The sum of the mappings that the kernel accounts: VmFlags has "ac". */
static size_t
charged_bytes(void)
{
	char line[512];
	size_t bytes = 0, size_kib = 0;
	FILE *file = fopen("/proc/self/smaps", "re");

	if (file == NULL)
		exit(2);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "Size:", 5) == 0)
			size_kib = strtoul(line + 5, NULL, 10);
		if (strncmp(line, "VmFlags:", 8) == 0 &&
		    strstr(line, " ac") != NULL)
			bytes += size_kib * 1024;
	}
	fclose(file);
	return bytes;
}

static int
fill_and_empty(size_t before_bytes)
{
	size_t full_bytes, after_bytes;

	if (cubby_alloc_bulk(cache, N_OBJECTS, objects) != 0)
		return 1;
	full_bytes = charged_bytes();
	cubby_free_bulk(cache, N_OBJECTS, objects);
	if (cubby_cache_shrink(cache, NULL) != 0)
		return 1;
	after_bytes = charged_bytes();
	printf("charged: empty %zu, full %zu, empty again %zu bytes\n",
	       before_bytes, full_bytes, after_bytes);
	return full_bytes < before_bytes + (size_t)N_OBJECTS * OBJECT_BYTES ||
	       after_bytes > before_bytes + SLACK_BYTES ||
	       cubby_cache_verify(cache) != 0;
}

int
main(void)
{
	size_t before_bytes;

	if (cubby_cache_create_sized(&cache, "charged", OBJECT_BYTES, 0,
				     NULL) != 0)
		return 1;
	before_bytes = charged_bytes();
	for (int i = 0; i < N_ROUNDS; i++)
		if (fill_and_empty(before_bytes) != 0)
			return 1;
	return cubby_cache_destroy(cache) != 0;
}
