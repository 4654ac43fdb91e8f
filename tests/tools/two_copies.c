/* SPDX-License-Identifier: MIT */
/*
 * A program over libcubby.so that loads a plugin with a copy of its own:
 * either works, knows its own caches only, and recognises the other's.  To be
 * run with CUBBY_OPTIONS=misuse=continue; the script reads what it reports.
 *
 *	two_copies PLUGIN
 */
#include "two_copies.h"

#include "unit/outside_reader.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(condition)                                                       \
	do {                                                                  \
		if (!(condition)) {                                           \
			printf("FAIL: %s:%d: %s\n", __func__, __LINE__,       \
			       #condition);                                   \
			exit(1);                                              \
		}                                                             \
	} while (0)

static int
count(struct cubby_cache *cache, void *context)
{
	(void)cache;
	++*(int *)context;
	return 0;
}

/* A copy with one cache works, and sees that cache only. */
static void
use(const struct copy *copy, struct cubby_cache *cache)
{
	enum { N = 3000 };
	static void *objects[N];
	int n_caches = 0;

	MUST(copy->find("truck") == cache);
	MUST(copy->for_each(count, &n_caches) == 0 && n_caches == 1);
	for (int i = 0; i < N; i++) {
		objects[i] = copy->alloc(cache);
		MUST(objects[i] != NULL && copy->of(objects[i]) == cache);
		memset(objects[i], i, 64);
	}
	for (int i = 0; i < N; i++)
		copy->free_any(objects[i]);
	MUST(copy->verify(cache) == 0);
}

/* What `theirs` made is not taken for `mine`. */
static void
confuse(const struct copy *mine, struct cubby_cache *my_cache,
	const struct copy *theirs, struct cubby_cache *their_cache)
{
	uint64_t n_before = mine->misuse_count();
	uint64_t n_theirs = theirs->misuse_count();
	void *their_object = theirs->alloc(their_cache);
	struct cubby_walk *walk = NULL;

	MUST(mine->of(their_object) == NULL);
	errno = 0;
	MUST(mine->alloc(their_cache) == NULL && errno == ENOMEM);
	mine->free(their_cache, their_object);
	MUST(mine->walk(&walk, their_cache) == -CUBBY_ENOCACHE);
	MUST(strcmp(mine->detail(),
		    "cubby_walk_create() on what is not a live "
		    "cache of this copy of Cubby") == 0);
	mine->free(my_cache, their_object);
	mine->free_any(their_object);
	MUST(mine->misuse_count() == n_before + 5);
	MUST(theirs->misuse_count() == n_theirs);
	theirs->free(their_cache, their_object);
	MUST(theirs->misuse_count() == n_theirs);
}

/* ------------------------------ by the notes ----------------------------- */

static bool
read_self(uint64_t address, void *buffer, size_t bytes, void *context)
{
	(void)context;
	memcpy(buffer, (const void *)(uintptr_t)address, bytes);
	return true;
}

/* The caches that the notes of this process lead to. */
struct found {
	int n_notes;
	int n_caches;
	uint64_t caches[4];
};

static void
note_caches(struct outside *outside, struct found *found)
{
	char name[64];

	for (uint64_t i = 0; i < outside->registry.n_descriptors; i++) {
		if (outside_number(outside, i, "state") != OUTSIDE_STATE_LIVE)
			continue;
		MUST(outside_field(outside, i, "name", name, sizeof(name)));
		MUST(strcmp(name, "truck") == 0);
		MUST(found->n_caches < 4);
		found->caches[found->n_caches++] = outside_descriptor(outside,
								      i);
	}
}

static int
look_for_note(struct dl_phdr_info *info, size_t info_bytes, void *context)
{
	struct outside outside = { .read = read_self };
	struct found *found = context;

	(void)info_bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_NOTE ||
		    !outside_open(&outside,
				  info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
				  info->dlpi_phdr[i].p_memsz))
			continue;
		found->n_notes++;
		note_caches(&outside, found);
	}
	return 0;
}

static void
find_by_notes(struct cubby_cache *one, struct cubby_cache *other)
{
	struct found found = { .n_notes = 0 };

	dl_iterate_phdr(look_for_note, &found);
	MUST(found.n_notes == 2 && found.n_caches == 2);
	MUST((found.caches[0] == (uintptr_t)one &&
	      found.caches[1] == (uintptr_t)other) ||
	     (found.caches[1] == (uintptr_t)one &&
	      found.caches[0] == (uintptr_t)other));
}

int
main(int argc, char **argv)
{
	static const struct copy mine = THIS_COPY;
	const struct copy *(*plugin)(void);
	const struct copy *theirs;
	struct cubby_cache *my_cache = NULL, *their_cache = NULL;
	int status = 1;
	void *handle;
	pid_t pid;

	MUST(argc == 2);
	handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		printf("%s\n", dlerror());
	MUST(handle != NULL);
	*(void **)&plugin = dlsym(handle, "plugin_copy");
	MUST(plugin != NULL);
	theirs = plugin();
	MUST(theirs->create != mine.create);
	MUST(mine.create(&my_cache, "truck", 64, 0, NULL) == 0);
	MUST(theirs->find("truck") == NULL);
	MUST(theirs->create(&their_cache, "truck", 64, 0, NULL) == 0);
	use(&mine, my_cache);
	use(theirs, their_cache);
	confuse(&mine, my_cache, theirs, their_cache);
	confuse(theirs, their_cache, &mine, my_cache);
	find_by_notes(my_cache, their_cache);
	pid = fork();
	if (pid == 0) {
		use(&mine, my_cache);
		use(theirs, their_cache);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	MUST(theirs->destroy(their_cache) == 0);
	MUST(mine.destroy(my_cache) == 0);
	return 0;
}
