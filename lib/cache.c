/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: cache - creation, destruction and questions
 *
 * Lock order: registry, then a cache's slab lock, then the granule lock.
 */
#include "cache.h"

#include "annotate.h"
#include "bits.h"
#include "debug.h"
#include "defer.h"
#include "domain.h"
#include "error.h"
#include "fork.h"
#include "host.h"
#include "percpu.h"
#include "reclaim.h"
#include "registry.h"
#include "sample.h"
#include "users.h"
#include "watch.h"
#include "weak.h"
#include "weak_plan.h"
#include "weak_setup.h"

#include <cubby/debug.h>
#include <cubby/error.h>
#include <cubby/layout.h>

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS                                                           \
	(CUBBY_CACHE_ZERO | CUBBY_CACHE_HUGE_PAGES | CUBBY_CACHE_NO_MAGAZINES)

/* The fields up to and including flags: the least a caller can pass. */
#define ATTR_BYTES_MIN 16

/* More than any version will have: a size that nobody has set. */
#define ATTR_BYTES_MAX 4096

/* Objects that the detail of -CUBBY_ELIVE names. */
#define N_LIVE_NAMED 16

ERROR_ROW(CUBBY_ELIVE, "the cache still has live objects");
ERROR_ROW(CUBBY_ENOCACHE, "not a cache, or one that was destroyed");
ERROR_ROW(CUBBY_ECORRUPT, "the bookkeeping contradicts itself");

/* What to create, gathered from arguments and attributes. */
struct plan {
	struct cubby_cache_attr attr;
	const struct cubby_layout *layout;
	struct geometry geometry;
	struct debug_rules rules;
	uint64_t max_cells; /* 0: no limit */
};

/* -------------------------------- arguments ------------------------------ */

static bool
name_char_is_good(char c)
{
	return c > ' ' && c < 0x7f && strchr("\"\\,*?", c) == NULL;
}

static int
check_name(const char *name)
{
	size_t n_bytes;

	if (name == NULL)
		return cubby__error_set(-EINVAL,
					"a cache needs a name: the layout has "
					"none, and attr.name is NULL");
	n_bytes = strnlen(name, CUBBY_NAME_BYTES_MAX);
	if (n_bytes == 0)
		return cubby__error_set(-EINVAL, "the cache's name is empty");
	if (n_bytes == CUBBY_NAME_BYTES_MAX)
		return cubby__error_set(
			-EINVAL, "the cache's name is longer than %u bytes",
			CUBBY_NAME_BYTES_MAX - 1);
	for (size_t i = 0; i < n_bytes; i++)
		if (!name_char_is_good(name[i]))
			return cubby__error_set(
				-EINVAL,
				"byte %zu of the cache's name (0x%x) is not a "
				"printable ASCII character other than space "
				"and \" \\ , * ?",
				i, (unsigned char)name[i]);
	return 0;
}

/* Copy what we know, refuse what we do not. */
static int
copy_attr(struct cubby_cache_attr *known, const struct cubby_cache_attr *attr)
{
	const char *bytes = (const char *)attr;

	memset(known, 0, sizeof(*known));
	if (attr == NULL)
		return 0;
	if (attr->attr_bytes < ATTR_BYTES_MIN ||
	    attr->attr_bytes > ATTR_BYTES_MAX)
		return cubby__error_set(
			-EINVAL,
			"attr_bytes is %zu: initialise the attributes with "
			"CUBBY_CACHE_ATTR() or cubby_cache_attr_init()",
			(size_t)attr->attr_bytes);
	for (uint64_t i = sizeof(*known); i < attr->attr_bytes; i++)
		if (bytes[i] != 0)
			return cubby__error_set(
				-E2BIG,
				"the attributes have a field at byte %zu that "
				"this version of Cubby (%s) does not know",
				(size_t)i, cubby_version_string());
	memcpy(known, attr, min_u64(sizeof(*known), attr->attr_bytes));
	return 0;
}

static int
check_flags(const struct cubby_cache_attr *attr)
{
	uint64_t unknown = attr->flags & ~KNOWN_FLAGS;

	if (unknown != 0)
		return cubby__error_set(-EINVAL,
					"attr.flags has unknown bits 0x%lx",
					(unsigned long)unknown);
	if ((attr->flags & CUBBY_CACHE_ZERO) && attr->init != NULL)
		return cubby__error_set(
			-EINVAL,
			"CUBBY_CACHE_ZERO would destroy what init set up: "
			"use ctor instead of init, or do not clear");
	return 0;
}

static int
plan_geometry(struct plan *plan, size_t object_bytes, size_t align_bytes)
{
	int err = cubby__geometry_init(
		&plan->geometry, object_bytes, align_bytes,
		cubby__weak_setup_has_prefix(&plan->attr),
		cubby__debug_zone_bytes(&plan->rules));

	if (err == -E2BIG)
		return cubby__error_set(
			err, "an object of %zu bytes is larger than %zu",
			object_bytes, OBJECT_BYTES_MAX);
	if (err && object_bytes == 0)
		return cubby__error_set(err, "an object has at least 1 byte");
	if (err)
		return cubby__error_set(
			err,
			"an alignment of %zu is not a power of two up to %u",
			align_bytes, ALIGN_BYTES_MAX);
	return 0;
}

static int
plan_limits(struct plan *plan)
{
	const struct cubby_cache_attr *attr = &plan->attr;
	uint64_t by_bytes = attr->max_bytes / plan->geometry.cell_bytes;

	if (attr->max_objects > CELLS_MAX)
		return cubby__error_set(
			-E2BIG,
			"max_objects is %zu: a cache holds at most %zu",
			(size_t)attr->max_objects, (size_t)CELLS_MAX);
	if (attr->max_bytes != 0 && by_bytes == 0)
		return cubby__error_set(-EINVAL,
					"max_bytes is %zu: a cell alone is %u",
					(size_t)attr->max_bytes,
					plan->geometry.cell_bytes);
	plan->max_cells = attr->max_objects;
	if (attr->max_bytes != 0 &&
	    (plan->max_cells == 0 || by_bytes < plan->max_cells))
		plan->max_cells = by_bytes;
	if (attr->magazine_capacity > CUBBY_MAGAZINE_CAPACITY_MAX)
		return cubby__error_set(-EINVAL,
					"magazine_capacity is %zu: a magazine "
					"holds at most %u cells",
					(size_t)attr->magazine_capacity,
					CUBBY_MAGAZINE_CAPACITY_MAX);
	if (attr->prefault_objects > CELLS_MAX ||
	    (plan->max_cells != 0 && attr->prefault_objects > plan->max_cells))
		return cubby__error_set(
			-EINVAL,
			"prefault_objects is %zu: more than the cache may hold",
			(size_t)attr->prefault_objects);
	return 0;
}

static int
make_plan(struct plan *plan, size_t object_bytes, size_t align_bytes)
{
	int err = check_name(plan->attr.name);

	if (!err)
		err = check_flags(&plan->attr);
	if (!err)
		err = cubby__weak_plan_check(&plan->attr, plan->layout);
	if (!err)
		err = cubby__debug_plan(&plan->attr, &plan->rules);
	if (!err)
		err = plan_geometry(plan, object_bytes, align_bytes);
	if (!err)
		err = plan_limits(plan);
	return err;
}

/* -------------------------------- creation ------------------------------- */

static void
set_stages(struct cubby_cache *cache, uint64_t flags)
{
	if (flags & CUBBY_CACHE_ZERO)
		cache->alloc_stages[ALLOC_ZERO] = cubby__alloc_stage_zero;
	if (cache->ctor != NULL)
		cache->alloc_stages[ALLOC_CTOR] = cubby__alloc_stage_ctor;
	if (cache->dtor != NULL)
		cache->free_stages[FREE_DTOR] = cubby__alloc_stage_dtor;
}

int
cubby__cache_add_side(struct cubby_cache *cache, uint32_t bits_per_cell,
		      uint32_t skipped_bytes, struct cell_side **ret_side)
{
	struct cell_side *array = &cache->cell_sides[cache->n_cell_sides];
	int err;

	array->bits_per_cell = bits_per_cell;
	array->skipped_bytes = skipped_bytes;
	err = cubby__side_init(&array->side, NULL, 0,
			       cell_side_bytes(array,
					       cache->region.max_cells));
	if (err)
		return err;
	cache->n_cell_sides++;
	*ret_side = array;
	return 0;
}

static int
init_cell_sides(struct cubby_cache *cache, const struct plan *plan)
{
	int err = 0;

	if (cache->init != NULL || cache->fini != NULL)
		err = cubby__cache_add_side(cache, 1, 0, &cache->inited);
	/* Objects are claimed before dtor runs: direct.c, death.h. */
	if (!err && (cache->dtor != NULL || cache->debug != NULL) &&
	    (cache->front.block == 0 || plan->attr.rcu != NULL))
		err = cubby__cache_add_side(cache, 1, 0, &cache->dying);
	return err;
}

/* What init_memory() made, as far as it came; half-built is fine. */
static void
fini_memory(struct cubby_cache *cache)
{
	cubby__front_close_cache(cache);
	cubby__slab_fini(&cache->slabs);
	for (uint32_t i = 0; i < cache->n_cell_sides; i++)
		cubby__side_fini(&cache->cell_sides[i].side);
	cubby__region_fini(&cache->region);
	cubby__debug_fini(cache);
	cubby__sample_fini(cache);
}

static int
prefault(struct cubby_cache *cache, uint64_t n_objects)
{
	uint64_t n_slabs = div_up(
		n_objects, geometry_slab_cells(&cache->region.geometry));
	sigset_t saved;
	int err;

	cache->n_kept_empty = max_u64(cubby__host.n_empty_slabs, n_slabs);
	cache->slabs.n_kept_slabs = n_slabs;
	if (n_objects == 0)
		return 0;
	cubby__lock_acquire(&cache->lock, &saved);
	err = cubby__slab_prefault(&cache->slabs, n_objects);
	cubby__lock_release(&cache->lock, &saved);
	return err;
}

static int
init_memory(struct cubby_cache *cache, const struct plan *plan)
{
	int err = cubby__region_init(&cache->region, &plan->geometry,
				     cache->id, plan->attr.max_objects,
				     plan->attr.flags &
					     CUBBY_CACHE_HUGE_PAGES);

	if (err)
		return err;
	if (plan->attr.flags & CUBBY_CACHE_NO_MAGAZINES)
		cache->front.why_no_block = CUBBY_FRONT_REASON_FLAG;
	else if (cache->region.passes)
		cache->front.why_no_block = CUBBY_FRONT_REASON_PASSTHROUGH;
	else if (cubby__annotate_searches())
		cache->front.why_no_block = CUBBY_FRONT_REASON_MEMCHECK;
	else
		cubby__front_make_block(cache);
	cache->front.capacity_max = (uint32_t)plan->attr.magazine_capacity;
	cache->front.bound_max = plan->attr.max_idle_bytes;
	cache->region.keeps = cache->init != NULL || cache->fini != NULL ||
			      cache->weak.is_strong ||
			      cache->weak.mode == CUBBY_WEAK_REUSE;
	err = cubby__weak_setup_memory(cache, &plan->attr);
	if (!err)
		err = cubby__debug_init(cache, &plan->rules);
	if (!err)
		err = init_cell_sides(cache, plan);
	if (err)
		return err;
	cubby__slab_init(&cache->slabs, &cache->region, cache->records,
			 RECORDS_BYTES, plan->max_cells, cache->cell_sides,
			 cache->n_cell_sides);
	cubby__weak_setup_publish(cache);
	cache->slabs.thins = cache->inited == NULL && !cache->weak.is_strong &&
			     cache->debug == NULL && !cache->region.passes &&
			     !(plan->attr.flags & CUBBY_CACHE_HUGE_PAGES);
	err = prefault(cache, plan->attr.prefault_objects);
	if (!err)
		err = cubby__sample_init(cache, &plan->rules);
	if (!err)
		cubby__front_open_cache(cache);
	return err;
}

static void
fill(struct cubby_cache *cache, const struct plan *plan)
{
	cache->layout = plan->layout;
	cache->on_limit = plan->attr.on_limit;
	cache->init = plan->attr.init;
	cache->fini = plan->attr.fini;
	cache->ctor = plan->attr.ctor;
	cache->dtor = plan->attr.dtor;
	cache->context = plan->attr.context;
	memcpy(cache->name, plan->attr.name, strlen(plan->attr.name));
	cubby__weak_setup_plan(cache, &plan->attr);
	set_stages(cache, plan->attr.flags);
}

static int
refuse_memory(const struct plan *plan, int err)
{
	return cubby__error_set(
		err,
		"cache '%s': the kernel or the address budget of %zu bytes "
		"(%s=budget=SIZE) refuses its memory",
		plan->attr.name, (size_t)cubby__granule_budget_bytes(),
		cubby__host.options_name);
}

static int
create(struct cubby_cache **ret_cache, const struct plan *plan)
{
	struct cubby_cache *cache;
	int err;

	cubby__fork_install();
	cubby__users_install();
	err = cubby__registry_make(&cache);
	if (err)
		return refuse_memory(plan, err);
	fill(cache, plan);
	err = init_memory(cache, plan);
	if (err) {
		fini_memory(cache);
		cubby__registry_bury(cache);
		return err == -ENOMEM ? refuse_memory(plan, err) : err;
	}
	cubby__registry_publish(cache);
	*ret_cache = cache;
	return 0;
}

int
cubby_cache_create(struct cubby_cache **ret_cache,
		   const struct cubby_layout *layout,
		   const struct cubby_cache_attr *attr)
{
	struct plan plan = { .layout = layout };
	int err;

	if (ret_cache == NULL)
		return cubby__error_set(-EINVAL, "ret_cache is NULL");
	err = cubby_layout_verify(layout);
	if (!err)
		err = copy_attr(&plan.attr, attr);
	if (err)
		return err;
	if (plan.attr.name == NULL && layout->names != NULL)
		plan.attr.name = layout->names->name;
	err = make_plan(&plan, layout->object_bytes, layout->align_bytes);
	return err ? err : create(ret_cache, &plan);
}

int
cubby_cache_create_sized(struct cubby_cache **ret_cache, const char *name,
			 size_t object_bytes, size_t align_bytes,
			 const struct cubby_cache_attr *attr)
{
	struct plan plan = { 0 };
	int err;

	if (ret_cache == NULL)
		return cubby__error_set(-EINVAL, "ret_cache is NULL");
	err = copy_attr(&plan.attr, attr);
	if (err)
		return err;
	if (name != NULL && plan.attr.name != NULL &&
	    strcmp(name, plan.attr.name) != 0)
		return cubby__error_set(-EINVAL,
					"two names for one cache: '%s' and "
					"attr.name '%s'",
					name, plan.attr.name);
	if (name != NULL)
		plan.attr.name = name;
	err = make_plan(&plan, object_bytes, align_bytes);
	return err ? err : create(ret_cache, &plan);
}

/* ------------------------------- destruction ----------------------------- */

static int
refuse_walk(const struct cubby_cache *cache)
{
	return cubby__error_set(-EBUSY, "cache '%s': a walk of it is open",
				cache->name);
}

/* @n_held: of them that are freed. */
static int
refuse_live(struct cubby_cache *cache, uint64_t n_live, uint64_t n_held,
	    size_t n_named, const uint64_t *cells)
{
	char buffer[N_LIVE_NAMED * sizeof(", 0x0123456789abcdef")];
	char held[sizeof("; 18446744073709551615 freed, and referenced still: "
			 "cubby_ref_put() is missing")];
	struct text names, rest;

	cubby__users_report_live(cache);
	cubby__text_init(&names, buffer, sizeof(buffer));
	cubby__text_init(&rest, held, sizeof(held));
	for (size_t i = 0; i < n_named; i++)
		cubby__text_printf(&names, "%s%p", i ? ", " : "",
				   region_object(&cache->region, cells[i]));
	if (n_held != 0)
		cubby__text_printf(&rest,
				   "; %zu freed, and referenced still: "
				   "cubby_ref_put() is missing",
				   (size_t)n_held);
	return cubby__error_set(
		-CUBBY_ELIVE, "cache '%s' still has %zu live object%s: %s%s%s",
		cache->name, (size_t)n_live, n_live == 1 ? "" : "s", buffer,
		n_live > n_named ?
			", ...; cubby_cache_report_live() names them all" :
			"",
		n_held != 0 ? held : "");
}

/*
 * With all idle cells back in the slabs: may the cache go?  -EBUSY, or unless
 * forced -CUBBY_ELIVE, with details; else its gate stays closed.  Not if there
 * are faults to be reported: a hook may leave us for good.
 */
static int
close_for_ever(struct cubby_cache *cache, bool force, struct faults *faults)
{
	uint64_t cells[N_LIVE_NAMED];
	uint64_t n_walks, n_live, n_reserves, n_deferred, n_guarded;
	uint64_t n_held = 0;
	size_t n_named = 0;
	sigset_t saved;
	int err = cubby__quiesce_begin(cache, &saved);

	if (err)
		return err;
	cubby__quiesce_drain(cache, faults);
	n_walks = cache->n_walks;
	n_reserves = cache->front.n_reserves;
	n_deferred = cubby__defer_count(cache);
	/* Its pages could not be opened, or there are none. */
	n_guarded = cubby__sample_count(cache);
	n_live = cache->slabs.n_live - n_deferred - cache->weak.n_retired -
		 n_guarded;
	if (n_walks != 0 || n_reserves != 0 || (n_live != 0 && !force)) {
		n_named = cubby__direct_next_live(cache, 0, N_LIVE_NAMED,
						  cells);
		n_held = cubby__weak_count_held(cache);
	} else if (faults->n == 0 && n_deferred == 0 && n_guarded == 0)
		cubby__quiesce_close(cache);
	cubby__quiesce_end(cache, &saved);
	if (n_walks != 0)
		return refuse_walk(cache);
	if (n_reserves != 0)
		return cubby__error_set(-EBUSY,
					"cache '%s': a reserve of it is open",
					cache->name);
	if (n_live != 0 && !force)
		return refuse_live(cache, n_live, n_held, n_named, cells);
	if (n_guarded != 0)
		return cubby__error_set(-ENOMEM,
					"cache '%s': the kernel has no memory "
					"to open its guard pages",
					cache->name);
	if (n_deferred != 0)
		return cubby__error_set(
			-EBUSY,
			"cache '%s': objects are freed into it, which wait "
			"for a grace period",
			cache->name);
	return 0;
}

/* The same; reports what is wrong with cells that were idle. */
static int
close_clean(struct cubby_cache *cache, bool force)
{
	struct faults faults;
	int err;

	do {
		faults = (struct faults){ 0 };
		err = close_for_ever(cache, force, &faults);
		cubby__direct_report(cache, &faults);
	} while (!err && faults.n != 0);
	return err;
}

static void
reopen(struct cubby_cache *cache)
{
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	cubby__quiesce_open(cache);
	cubby__lock_release(&cache->lock, &saved);
}

/* The cache is empty, closed, DYING and nobody's: fini its cells, give all. */
static void
tear_down(struct cubby_cache *cache)
{
	sigset_t saved;

	/* A fork in the meantime may have opened it in the child. */
	cubby__lock_acquire(&cache->lock, &saved);
	cubby__quiesce_close(cache);
	cubby__lock_release(&cache->lock, &saved);
	cubby__reclaim_forget(cache);
	cubby__weak_setup_fini(cache);
	cubby__direct_trim(cache, 0);
	fini_memory(cache);
	cubby__registry_bury(cache);
}

/* With its handles dead: end what still lives in it. */
static void
end_all(struct cubby_cache *cache)
{
	if (cache->defer.domain != NULL) /* for those who borrow */
		cubby__domain_synchronize(cache->defer.domain);
	cubby__watch_teardown(cache);
	cubby__direct_free_all(cache);
}

static int
destroy(struct cubby_cache *cache, bool force)
{
	int err = 0;

	if (cache->defer.domain != NULL)
		err = cubby__reclaim_barrier(cache);
	if (!err)
		err = close_clean(cache, force);
	if (err)
		return err;
	err = cubby__registry_condemn(cache);
	if (err)
		reopen(cache);
	if (err == -EBUSY)
		return cubby__error_set(
			err, "cache '%s': cubby_cache_for_each() is at it",
			cache->name);
	if (err)
		return cubby__error_set(err, "cache '%s' is being destroyed",
					cache->name);
	cubby__weak_setup_close(cache);
	if (force)
		end_all(cache);
	tear_down(cache);
	return 0;
}

int
cubby_cache_destroy(struct cubby_cache *cache)
{
	int err;

	if (cache == NULL)
		return 0;
	err = cubby__usable_or_error(cache, "cubby_cache_destroy");
	if (err)
		return err;
	/* For what is not allocated or freed again. */
	if (cache->debug != NULL)
		(void)cubby_cache_validate(cache);
	return destroy(cache, false);
}

int
cubby_cache_destroy_force(struct cubby_cache *cache)
{
	int err;

	if (cache == NULL)
		return 0;
	err = cubby__usable_or_error(cache, "cubby_cache_destroy_force");
	return err ? err : destroy(cache, true);
}

/* --------------------------- shrink, verify, is-live ---------------------- */

int
cubby_cache_shrink(struct cubby_cache *cache, uint64_t *ret_bytes)
{
	sigset_t saved;
	uint64_t n_walks, bytes;
	int err = cubby__usable_or_error(cache, "cubby_cache_shrink");

	if (err)
		return err;
	cubby__lock_acquire(&cache->lock, &saved);
	n_walks = cache->n_walks;
	cubby__lock_release(&cache->lock, &saved);
	if (n_walks != 0)
		return refuse_walk(cache);
	err = cubby__quiesce_take_back(cache, 0, &bytes);
	if (err)
		return err;
	if (ret_bytes != NULL)
		*ret_bytes = bytes;
	return 0;
}

struct shrinkage {
	uint64_t bytes;
	int err;
};

static int
shrink_one(struct cubby_cache *cache, void *context)
{
	struct shrinkage *shrinkage = context;
	uint64_t bytes = 0;
	int err = cubby_cache_shrink(cache, &bytes);

	shrinkage->bytes += bytes;
	if (err)
		shrinkage->err = err;
	return 0;
}

int
cubby_shrink_all(uint64_t *ret_bytes)
{
	struct shrinkage shrinkage = { 0 };

	cubby_cache_for_each(shrink_one, &shrinkage);
	shrinkage.bytes += cubby__magazine_trim();
	if (ret_bytes != NULL)
		*ret_bytes = shrinkage.bytes;
	return shrinkage.err;
}

size_t
cubby_cache_verify(struct cubby_cache *cache)
{
	char buffer[256];
	struct text first;
	sigset_t saved;
	size_t n_faults;

	if (cubby__usable_or_error(cache, "cubby_cache_verify") != 0 ||
	    cubby__quiesce_begin(cache, &saved) != 0)
		return 1;
	cubby__text_init(&first, buffer, sizeof(buffer));
	n_faults = cubby__slab_verify(&cache->slabs, &first);
	n_faults += cubby__quiesce_verify(cache, &first);
	cubby__quiesce_end(cache, &saved);
	n_faults += cubby__granule_verify();
	if (n_faults != 0)
		cubby__error_set(-CUBBY_ECORRUPT,
				 "cache '%s': %zu contradiction%s; first: %s",
				 cache->name, n_faults,
				 n_faults == 1 ? "" : "s",
				 first.used_bytes ?
					 buffer :
					 "in the table of granules");
	return n_faults;
}

struct search {
	const void *object;
	bool found;
};

static void
compare(void *context, const void *object)
{
	struct search *search = context;

	search->found |= object == search->object;
}

int
cubby_is_live(struct cubby_cache *cache, const void *object)
{
	struct search idle = { object, false };
	sigset_t saved;
	uint64_t cell;
	bool live;
	int err;

	if (!cubby__usable(cache, "cubby_is_live"))
		return 0;
	err = cubby__quiesce_begin(cache, &saved);
	if (err)
		return err;
	live = cubby__direct_check(cache, object, &cell) == FREE_OK;
	if (live)
		cubby__quiesce_for_each(cache, compare, &idle);
	cubby__quiesce_end(cache, &saved);
	return live && !idle.found;
}

/* -------------------------------- questions ------------------------------ */

/*
 * Reads nothing of the cache but its state, so that it may be destroyed
 * meanwhile.
 */
struct cubby_cache *
cubby_cache_of(const void *address)
{
	struct granule_owner owner;
	struct cubby_cache *cache;

	if (!cubby__granule_find(address, &owner))
		return NULL;
	cache = cubby__registry_by_id(owner.id);
	if (cache == NULL ||
	    __atomic_load_n(&cache->state, __ATOMIC_ACQUIRE) != CACHE_LIVE)
		return NULL;
	return cache;
}

const char *
cubby_cache_name(const struct cubby_cache *cache)
{
	return cubby__usable(cache, "cubby_cache_name") ? cache->name : "";
}

size_t
cubby_cache_object_bytes(const struct cubby_cache *cache)
{
	return cubby__usable(cache, "cubby_cache_object_bytes") ?
		       cache->region.geometry.object_bytes :
		       0;
}

size_t
cubby_cache_cell_bytes(const struct cubby_cache *cache)
{
	return cubby__usable(cache, "cubby_cache_cell_bytes") ?
		       cache->region.geometry.cell_bytes :
		       0;
}

const struct cubby_layout *
cubby_cache_layout(const struct cubby_cache *cache)
{
	return cubby__usable(cache, "cubby_cache_layout") ? cache->layout :
							    NULL;
}
