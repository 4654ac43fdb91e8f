/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: users - who allocated what is live
 *
 * A group for each stack, in one mapping by its number; groups are written by the
 * bytes that they hold.
 */
#include "users.h"

#include "bits.h"
#include "debug.h"
#include "error.h"
#include "options.h"
#include "os.h"
#include "registry.h"
#include "stacks.h"
#include "text.h"

#include <cubby/debug.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define GROUPS_WRITTEN_MAX 100
#define LINE_BYTES_MAX 1024

static uint64_t at_exit;
OPTION_ROW(leaks, OPTION_FLAG, &at_exit, NULL,
	   "at exit, tell who allocated what is still live");

struct group {
	uint64_t n_objects;
	uint64_t oldest_ns, newest_ns; /* 0: not known */
	const void *first;
};

struct users {
	struct cubby_cache *cache;
	struct group *groups; /* by number of stack */
	uint32_t n_groups;
	uint64_t n_objects;
	int fd;
	int err;
};

static void
write_text(struct users *users, const struct text *text)
{
	if (users->err == 0)
		users->err = cubby__os_write(users->fd, text->start,
					     text->used_bytes);
}

static void
add(struct users *users, const void *object)
{
	const struct debug_cache *debug = users->cache->debug;
	uint64_t cell, at_ns = 0;
	struct group *group;
	uint32_t stack = 0;

	if (debug != NULL && debug->users != NULL) {
		const struct debug_event *event;

		cubby__region_find(&users->cache->region, object, &cell);
		event = &debug_user(debug, cell)->alloc;
		at_ns = __atomic_load_n(&event->at_ns, __ATOMIC_RELAXED);
		stack = __atomic_load_n(&event->stack, __ATOMIC_RELAXED);
	}
	/* A stack that is new since the groups were made is not known. */
	group = &users->groups[stack < users->n_groups ? stack : 0];
	if (group->n_objects++ == 0)
		group->first = object;
	if (at_ns != 0 && (group->oldest_ns == 0 || at_ns < group->oldest_ns))
		group->oldest_ns = at_ns;
	group->newest_ns = max_u64(group->newest_ns, at_ns);
	users->n_objects++;
}

static void
write_frames(struct users *users, uint32_t stack)
{
	char buffer[LINE_BYTES_MAX];
	void *const *frames;
	size_t n = cubby__stacks_frames(stack, &frames);
	struct text text;

	for (size_t i = cubby__stacks_n_ours(frames, n); i < n; i++) {
		cubby__text_init(&text, buffer, sizeof(buffer));
		cubby__text_printf(&text, "cubby:     ");
		cubby__stacks_describe(&text, frames[i]);
		cubby__text_printf(&text, "\n");
		write_text(users, &text);
	}
}

static void
write_group(struct users *users, uint32_t stack)
{
	const struct group *group = &users->groups[stack];
	uint64_t now = cubby__os_now_ns();
	char buffer[LINE_BYTES_MAX];
	struct text text;

	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__text_printf(&text, "cubby:   %zu object%s, %zu bytes",
			   group->n_objects, group->n_objects == 1 ? "" : "s",
			   group->n_objects *
				   users->cache->region.geometry.object_bytes);
	if (group->oldest_ns != 0)
		cubby__text_printf(
			&text, ", %zu to %zu ms old",
			(size_t)((now - min_u64(now, group->newest_ns)) /
				 (NS_PER_S / 1000)),
			(size_t)((now - min_u64(now, group->oldest_ns)) /
				 (NS_PER_S / 1000)));
	cubby__text_printf(&text, ", the first at %p%s\n", group->first,
			   stack != 0 ? ", allocated at" :
			   group->oldest_ns != 0 ?
					", whose stack is not known" :
					", allocated by nobody knows "
					"whom: CUBBY_DEBUG=U");
	write_text(users, &text);
	write_frames(users, stack);
}

static uint32_t
largest(const struct users *users)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i < users->n_groups; i++)
		if (users->groups[i].n_objects >
		    users->groups[found].n_objects)
			found = i;
	return found;
}

static void
write_all(struct users *users)
{
	uint32_t object_bytes = users->cache->region.geometry.object_bytes;
	char buffer[LINE_BYTES_MAX];
	uint64_t n_left = users->n_objects;
	struct text text;

	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__text_printf(&text,
			   "cubby: cache '%s': %zu live object%s of %u bytes, "
			   "%zu bytes in all\n",
			   users->cache->name, (size_t)n_left,
			   n_left == 1 ? "" : "s", object_bytes,
			   (size_t)(n_left * object_bytes));
	write_text(users, &text);
	for (unsigned n = 0; n < GROUPS_WRITTEN_MAX && n_left != 0; n++) {
		uint32_t stack = largest(users);

		write_group(users, stack);
		n_left -= users->groups[stack].n_objects;
		users->groups[stack].n_objects = 0;
	}
	if (n_left == 0)
		return;
	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__text_printf(&text,
			   "cubby:   %zu more objects, in smaller groups\n",
			   (size_t)n_left);
	write_text(users, &text);
}

static void
gather(struct users *users, struct cubby_walk *walk)
{
	struct cubby_run run;

	while (cubby_walk_next(walk, &run))
		for (size_t i = 0; i < run.n_objects; i++)
			add(users, (char *)run.first + i * run.stride_bytes);
}

/* @always: also if nothing is live. */
static int64_t
report(struct cubby_cache *cache, int fd, bool always)
{
	struct users users = { .cache = cache, .fd = fd };
	struct cubby_walk *walk;
	uint64_t bytes;
	void *memory;
	int err = cubby_walk_create(&walk, cache);

	if (err)
		return err;
	users.n_groups = cubby__stacks_end();
	bytes = users.n_groups * sizeof(struct group);
	if (cubby__os_map(bytes, &memory) != 0) {
		cubby_walk_destroy(walk);
		return cubby__error_set(-ENOMEM,
					"cache '%s': no memory for %u groups "
					"of objects",
					cache->name, users.n_groups);
	}
	users.groups = memory;
	gather(&users, walk);
	cubby_walk_destroy(walk);
	if (always || users.n_objects != 0)
		write_all(&users);
	cubby__os_unmap(memory, bytes);
	if (users.err)
		return cubby__error_set(users.err,
					"cache '%s': the report could not be "
					"written to descriptor %d: %s",
					cache->name, fd,
					cubby_error_name(users.err));
	return (int64_t)users.n_objects;
}

int64_t
cubby_cache_report_users(struct cubby_cache *cache, int fd)
{
	return report(cache, fd, true);
}

void
cubby__users_report_live(struct cubby_cache *cache)
{
	if (cache->debug != NULL && cache->debug->users != NULL)
		report(cache, STDERR_FILENO, false);
}

/* --------------------------------- at exit ------------------------------- */

static int
report_if_live(struct cubby_cache *cache, void *context)
{
	(void)context;
	report(cache, STDERR_FILENO, false);
	return 0;
}

static void
report_leaks(void)
{
	cubby_cache_for_each(report_if_live, NULL);
}

static void
install(void)
{
	cubby__options_read();
	if (at_exit)
		atexit(report_leaks);
}

void
cubby__users_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}
