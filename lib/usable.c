/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: usable - the gate that every pointer of the program's goes through
 *
 * A cache pointer is compared with the table before it is dereferenced, so
 * garbage is reported and not followed.  (The fast path does follow it.)
 */
#include "annotate.h"
#include "cache.h"
#include "error.h"
#include "finding.h"
#include "registry.h"
#include "report.h"
#include "stacks.h"

#include <unistd.h>

MISUSE_ROW(CUBBY_MISUSE_DOUBLE_FREE, "double-free",
	   "it was freed twice, or freed through a stale pointer");
MISUSE_ROW(
	CUBBY_MISUSE_FOREIGN_FREE, "foreign-free",
	"free what cubby_alloc() returned, once, before its cache is destroyed");
MISUSE_ROW(CUBBY_MISUSE_INTERIOR_FREE, "interior-free",
	   "free the pointer that cubby_alloc() returned");
MISUSE_ROW(CUBBY_MISUSE_WRONG_CACHE, "wrong-cache",
	   "free it there, or with cubby_free_any()");
MISUSE_ROW(CUBBY_MISUSE_BAD_CACHE, "bad-cache",
	   "pass what cubby_cache_create() wrote");
MISUSE_ROW(CUBBY_MISUSE_DEAD_CACHE, "dead-cache",
	   "a cache must not be used after cubby_cache_destroy()");
MISUSE_ROW(CUBBY_MISUSE_OTHER_COPY, "other-copy",
	   "two copies of Cubby are in this process; link one");

static COLD void
report_cache(const struct cubby_cache *cache, const char *call)
{
	if (cubby__registry_is_descriptor(cache)) {
		cubby__report_misuse(
			CUBBY_MISUSE_DEAD_CACHE, cache->name, cache,
			"%s() on a cache that %s destroyed", call,
			__atomic_load_n(&cache->state, __ATOMIC_RELAXED) ==
					CACHE_DYING ?
				"is being" :
				"was");
		return;
	}
	if (cache != NULL && cubby__registry_is_foreign(cache))
		cubby__report_misuse(
			CUBBY_MISUSE_OTHER_COPY, NULL, cache,
			"%s() on cache %p, which another copy of Cubby made",
			call, (const void *)cache);
	else if (cache == NULL)
		cubby__report_misuse(CUBBY_MISUSE_BAD_CACHE, NULL, NULL,
				     "%s() on NULL, which is not a cache",
				     call);
	else
		cubby__report_misuse(CUBBY_MISUSE_BAD_CACHE, NULL, cache,
				     "%s() on %p, which is not a cache", call,
				     (const void *)cache);
}

bool
cubby__usable(const struct cubby_cache *cache, const char *call)
{
	if (likely(cubby__registry_is_descriptor(cache) &&
		   __atomic_load_n(&cache->state, __ATOMIC_ACQUIRE) ==
			   CACHE_LIVE &&
		   cache->copy == cubby__registry_copy()))
		return true;
	report_cache(cache, call);
	return false;
}

int
cubby__usable_or_error(const struct cubby_cache *cache, const char *call)
{
	if (cubby__usable(cache, call))
		return 0;
	return cubby__error_set(
		-CUBBY_ENOCACHE,
		"%s() on what is not a live cache of this copy "
		"of Cubby",
		call);
}

/*
 * A free is looked at when its magazine goes back to the slabs; until then the
 * cell may have had two owners.
 */
static const char *
lateness(const struct cubby_cache *cache, bool in_call)
{
	return cache != NULL && cache->front.block != 0 && !in_call ?
		       " (freed earlier; with CUBBY_DEBUG=checks it is "
		       "found in the call)" :
		       "";
}

/* Who makes the call, if anybody has asked for stacks. */
static void
tell_call(bool in_call)
{
	uint32_t stack = in_call ? cubby__stacks_take() : 0;

	if (stack == 0)
		return;
	cubby__report_more("by thread %d at", (int)gettid());
	cubby__finding_stack(stack);
}

static void
open_elsewhere(struct report *report, const struct cubby_cache *cache,
	       const struct cubby_cache *other, const void *address,
	       const char *late)
{
	const char *name = cache ? cache->name : NULL;

	if (other == NULL)
		cubby__report_open(report, CUBBY_MISUSE_FOREIGN_FREE, name,
				   address, "%p lies in no cache%s%s", address,
				   cubby__annotate_passes() ?
					   " (in passthrough, what is free "
					   "lies in none)" :
					   "",
				   late);
	else if (other == cache)
		cubby__report_open(report, CUBBY_MISUSE_FOREIGN_FREE, name,
				   address,
				   "%p lies in this cache's range, but in no "
				   "cell of it%s",
				   address, late);
	else if (other->state == CACHE_LIVE)
		cubby__report_open(report, CUBBY_MISUSE_WRONG_CACHE, name,
				   address, "%p belongs to cache '%s'%s",
				   address, other->name, late);
	else
		cubby__report_open(
			report, CUBBY_MISUSE_FOREIGN_FREE, name, address,
			"%p was in cache '%s', which was destroyed%s", address,
			other->name, late);
}

/* The address is in no cell of `cache` (or NULL); say where it is instead. */
static void
report_elsewhere(const struct cubby_cache *cache, const void *address,
		 bool in_call)
{
	struct cubby_cache *other = NULL;
	struct granule_owner owner;
	struct report report;
	uint64_t cell;

	if (cubby__granule_find(address, &owner))
		other = cubby__registry_by_id(owner.id);
	open_elsewhere(&report, cache, other, address,
		       lateness(cache, in_call));
	tell_call(in_call);
	if (other != NULL && other != cache && cache_is_live(other) &&
	    cubby__direct_find(other, address, &cell) == FREE_OK)
		cubby__finding_history(other, cell);
	cubby__report_close(&report, true);
}

/* Where the cell is known, who used it is, too, in a cache that is watched. */
static void
report_cell(const struct cubby_cache *cache, const void *address,
	    uint64_t cell, enum free_fault fault, bool in_call)
{
	const void *object = region_object(&cache->region, cell);
	const char *late = lateness(cache, in_call);
	struct report report;

	switch (fault) {
	case FREE_INTERIOR:
		cubby__report_open(
			&report, CUBBY_MISUSE_INTERIOR_FREE, cache->name,
			address, "%p is %zd bytes into object %p (cell %zu)%s",
			address, (const char *)address - (const char *)object,
			object, (size_t)cell, late);
		break;
	case FREE_UNOPENED:
		cubby__report_open(&report, CUBBY_MISUSE_FOREIGN_FREE,
				   cache->name, address,
				   "%p (cell %zu) was never allocated%s",
				   address, (size_t)cell, late);
		break;
	default:
		cubby__report_open(&report, CUBBY_MISUSE_DOUBLE_FREE,
				   cache->name, address,
				   "object %p (cell %zu) is already free%s",
				   address, (size_t)cell, late);
	}
	tell_call(in_call);
	cubby__finding_history(cache, cell);
	cubby__report_close(&report, true);
}

static void
report(const struct cubby_cache *cache, const void *address, uint64_t cell,
       enum free_fault fault, bool in_call)
{
	if (fault == FREE_FOREIGN)
		report_elsewhere(cache, address, in_call);
	else
		report_cell(cache, address, cell, fault, in_call);
}

void
cubby__usable_report_free(const struct cubby_cache *cache, const void *address,
			  uint64_t cell, enum free_fault fault)
{
	report(cache, address, cell, fault, false);
}

void
cubby__usable_report_now(const struct cubby_cache *cache, const void *address,
			 uint64_t cell, enum free_fault fault)
{
	report(cache, address, cell, fault, true);
}
