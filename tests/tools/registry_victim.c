/* SPDX-License-Identifier: MIT */
/*
 * A program with two caches that finds them through its own note, prints what
 * it found, and with an argument then dumps core.
 */
#include <cubby/cubby.h>

#include "unit/outside_reader.h"
#include "tools/registry_print.h"

#include <link.h>
#include <stdlib.h>

static bool
read_self(uint64_t address, void *buffer, size_t bytes, void *context)
{
	(void)context;
	memcpy(buffer, (const void *)(uintptr_t)address, bytes);
	return true;
}

static int
look_for_note(struct dl_phdr_info *info, size_t info_bytes, void *context)
{
	struct outside outside = { .read = read_self };

	(void)info_bytes;
	(void)context;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE &&
		    outside_open(&outside,
				 info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
				 info->dlpi_phdr[i].p_memsz))
			return print_caches(&outside) ? 1 : -1;
	return 0;
}

int
main(int argc, char **argv)
{
	struct cubby_cache *trucks, *buses, *gone;
	void *objects[5000];

	(void)argv;
	if (cubby_cache_create_sized(&trucks, "truck", 32, 0, NULL) != 0 ||
	    cubby_cache_create_sized(&gone, "gone", 8, 0, NULL) != 0 ||
	    cubby_cache_create_sized(&buses, "bus", 100, 0, NULL) != 0 ||
	    cubby_alloc_bulk(buses, 5000, objects) != 0 ||
	    cubby_alloc(trucks) == NULL || cubby_cache_destroy(gone) != 0)
		return 2;
	cubby_free_bulk(buses, 1000, objects);
	cubby_shrink_all(NULL); /* nothing is idle: bits are objects */
	if (dl_iterate_phdr(look_for_note, NULL) != 1)
		return 3;
	fflush(stdout);
	if (argc > 1)
		abort();
	return 0;
}
