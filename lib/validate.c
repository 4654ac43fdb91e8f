/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: validate - all cells of a watched cache, looked at while it stands still
 *
 * Reports are written afterwards, without the lock: of up to FOUND_MAX cells,
 * whose damage is repaired at once.  More wait for the next call.
 */
#include "debug.h"
#include "finding.h"

#include <cubby/debug.h>

#define FOUND_MAX 64

struct found {
	uint64_t cell;
	struct guard_damage damage;
};

/* Is it whole?  If not it is repaired at once. */
static bool
check_cell(struct cubby_cache *cache, uint64_t cell,
	   struct guard_damage *ret_damage)
{
	const struct debug_cache *debug = cache->debug;
	void *object = region_object(&cache->region, cell);
	enum debug_state state;
	bool is_whole = true;

	if (!debug_try_lock(debug, cell, &state))
		return true; /* its thread is looking */
	if (state == DEBUG_LIVE || state == DEBUG_DYING) {
		is_whole = cubby__guard_check_live(&debug->guard, object,
						   ret_damage);
		if (!is_whole)
			cubby__guard_fill_zones(&debug->guard, object,
						GUARD_ZONE_LIVE);
	} else if (state == DEBUG_FREE) {
		is_whole = cubby__guard_check_free(&debug->guard, object,
						   ret_damage);
		if (!is_whole)
			cubby__guard_fill_free(&debug->guard, object);
	}
	debug_unlock(debug, cell, state);
	return is_whole;
}

static bool
has_pages(const struct cubby_cache *cache, uint64_t slab)
{
	return slab_record(&cache->slabs, slab)->lane < LANE_RECLAIMING;
}

/* The first damaged cells: how many.  Under the lock, and standing still. */
static size_t
find_damaged(struct cubby_cache *cache, struct found *found)
{
	const struct slab_set *slabs = &cache->slabs;
	size_t n = 0;

	for (uint64_t slab = 0; slab < slabs->n_slabs; slab++) {
		uint64_t cell = slab_first_cell(slabs, slab);
		uint64_t end = cell + slab_record(slabs, slab)->n_cells;

		for (; has_pages(cache, slab) && cell < end && n < FOUND_MAX;
		     cell++) {
			found[n].cell = cell;
			if (check_cell(cache, cell, &found[n].damage))
				continue;
			n++;
		}
	}
	return n;
}

int64_t
cubby_cache_validate(struct cubby_cache *cache)
{
	int err = cubby__usable_or_error(cache, "cubby_cache_validate");
	struct found found[FOUND_MAX];
	sigset_t saved;
	size_t n;

	if (err || cache->debug == NULL)
		return err;
	err = cubby__quiesce_begin(cache, &saved);
	if (err)
		return err;
	n = find_damaged(cache, found);
	cubby__quiesce_end(cache, &saved);
	for (size_t i = 0; i < n; i++) {
		__atomic_add_fetch(&cache->debug->n_damaged, 1,
				   __ATOMIC_RELAXED);
		cubby__finding_report(cache, found[i].cell, &found[i].damage,
				      "by cubby_cache_validate()", false);
	}
	return (int64_t)n;
}
