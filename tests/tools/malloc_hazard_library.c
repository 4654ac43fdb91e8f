/* SPDX-License-Identifier: MIT */
/*
 * A library whose constructor is among the first code of a program: it
 * allocates, registers a thread key and handlers of fork(), and frees at the
 * very end.  As a plugin, hazard_work() is called after it was loaded.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "malloc_hazard.h"

/*
 * Not of strdup(): loaded by RTLD_DEEPBIND this is over glibc's malloc(), but
 * glibc's strdup() is over the one that was preloaded.
 */
#define TEXT "made early"

struct hazard_early hazard_early;

static void *kept[64];

static void
touch(void)
{
	for (size_t i = 0; i < 64; i++) {
		free(kept[i]);
		kept[i] = malloc(i * i);
		memset(kept[i], (int)i, i * i);
	}
}

/* With the locks of the malloc held or not: these allocate. */
static void
before_fork(void)
{
	free(strdup("before fork"));
	hazard_early.n_prepared++;
}

static void
after_fork(void)
{
	void *block = malloc(4000);

	free(realloc(block, 100000));
	hazard_early.n_after++;
}

static void
end_of_thread(void *value)
{
	free(value);
	free(strdup("end of thread"));
}

__attribute__((constructor(101))) static void
begin(void)
{
	touch();
	hazard_early.block = malloc(sizeof(TEXT));
	memcpy(hazard_early.block, TEXT, sizeof(TEXT));
	pthread_key_create(&hazard_early.key, end_of_thread);
	if (getenv("HAZARD_EARLY_ATFORK") != NULL)
		pthread_atfork(before_fork, after_fork, after_fork);
}

__attribute__((destructor(101))) static void
end(void)
{
	touch();
	for (size_t i = 0; i < 64; i++)
		free(kept[i]);
	free(hazard_early.block);
}

int
hazard_work(void)
{
	int n_wrong = 0;

	for (int i = 0; i < 20; i++) {
		touch();
		for (size_t j = 1; j < 64; j++)
			n_wrong += *(unsigned char *)kept[j] != j;
	}
	return n_wrong != 0 || strcmp(hazard_early.block, TEXT) != 0;
}
