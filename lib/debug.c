/* SPDX-License-Identifier: MIT */
/* LAYER 5: debug - caches that watch their objects */
#include "debug.h"

#include "annotate.h"
#include "bits.h"
#include "error.h"
#include "finding.h"
#include "os.h"
#include "report.h"
#include "stacks.h"
#include "text.h"

#include <cubby/debug.h>

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_FLAGS                                                           \
	(CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE | CUBBY_DEBUG_POISON |     \
	 CUBBY_DEBUG_USER | CUBBY_DEBUG_TRACE)

/* Of the address budget, for who uses the cells of one cache. */
#define USERS_BUDGET_SHARE 64

#define QUARANTINE_CELLS_MAX ((uint64_t)1 << 24)
#define PARTS_PER_MILLION 1000000
#define LOCK_TRIES 1000

/* Memory is reused late where a tool can see that it is used too late. */
#define QUARANTINE_BYTES_OF_TOOLS MIB
#define ZONE_BYTES_OF_MEMCHECK 32

/* --------------------------------- creation ------------------------------ */

static void
add_attr(const struct cubby_cache_attr *attr, struct debug_rules *rules)
{
	rules->flags |= attr->debug;
	if (rules->quarantine_bytes == 0)
		rules->quarantine_bytes = attr->quarantine_bytes;
	if (rules->fail_nth == 0)
		rules->fail_nth = attr->fail_nth;
	if (rules->fail_every == 0)
		rules->fail_every = attr->fail_every;
	if (rules->fail_ppm == 0)
		rules->fail_ppm = attr->fail_ppm;
	if (rules->guard_every == 0)
		rules->guard_every = attr->guard_every;
	if (rules->flags != 0 || rules->quarantine_bytes != 0 ||
	    rules->fail_nth != 0 || rules->fail_every != 0 ||
	    rules->fail_ppm != 0)
		rules->flags |= CUBBY_DEBUG_CHECKS;
}

int
cubby__debug_plan(const struct cubby_cache_attr *attr,
		  struct debug_rules *ret_rules)
{
	if (attr->debug & ~KNOWN_FLAGS)
		return cubby__error_set(
			-EINVAL, "attr.debug has unknown bits 0x%lx",
			(unsigned long)(attr->debug & ~KNOWN_FLAGS));
	if (attr->fail_ppm > PARTS_PER_MILLION)
		return cubby__error_set(-EINVAL,
					"attr.fail_ppm is %zu: of a million "
					"at most a million can fail",
					(size_t)attr->fail_ppm);
	cubby__debug_rules_find(attr->name, ret_rules);
	if (ret_rules->is_off)
		*ret_rules = (struct debug_rules){ 0 };
	else
		add_attr(attr, ret_rules);
	if (cubby__annotate_passes()) { /* what is free is not there */
		ret_rules->flags &= ~(uint64_t)(CUBBY_DEBUG_RED_ZONE |
						CUBBY_DEBUG_POISON);
		ret_rules->quarantine_bytes = 0;
	}
	ret_rules->annotates = cubby__annotate_objects();
	if (cubby__annotate_accesses() && ret_rules->quarantine_bytes == 0)
		ret_rules->quarantine_bytes = QUARANTINE_BYTES_OF_TOOLS;
	return 0;
}

size_t
cubby__debug_zone_bytes(const struct debug_rules *rules)
{
	/* The first one is not to be near the beginning of its chunk's block. */
	if (cubby__annotate_searches())
		return ZONE_BYTES_OF_MEMCHECK;
	if ((rules->flags & CUBBY_DEBUG_RED_ZONE) ||
	    cubby__annotate_accesses())
		return GUARD_ZONE_BYTES;
	return 0;
}

static int
add_sides(struct cubby_cache *cache, struct debug_cache *debug)
{
	struct region *region = &cache->region;
	int err;

	/* Room for all cells that there may be is reserved at once. */
	if (debug->flags & CUBBY_DEBUG_USER)
		region->max_cells = min_u64(
			region->max_cells,
			max_u64(region->range_cells,
				cubby__granule_budget_bytes() /
					USERS_BUDGET_SHARE /
					sizeof(struct debug_user)));
	err = cubby__cache_add_side(cache, 8, 0, &debug->states);
	if (!err && (debug->flags & CUBBY_DEBUG_USER)) {
		err = cubby__cache_add_side(cache,
					    8 * sizeof(struct debug_user), 0,
					    &debug->users);
		if (!err && !cubby__stacks_init())
			err = -ENOMEM;
	}
	return err;
}

/* Not again: the program may have a callback of its own. */
static void
describe_once(void)
{
	static uint32_t is_set;

	if (__atomic_exchange_n(&is_set, 1, __ATOMIC_RELAXED) == 0)
		cubby__annotate_set_callback(cubby__finding_describe);
}

int
cubby__debug_init(struct cubby_cache *cache, const struct debug_rules *rules)
{
	const struct geometry *geometry = &cache->region.geometry;
	uint64_t n_most = min_u64(div_up(rules->quarantine_bytes,
					 geometry->cell_bytes),
				  QUARANTINE_CELLS_MAX);
	uint64_t bytes = align_up(sizeof(struct debug_cache) +
					  n_most * sizeof(void *),
				  cubby__os_page_bytes());
	struct debug_cache *debug;
	void *memory;

	if (rules->flags == 0 && !rules->annotates)
		return 0;
	if (cubby__os_map(bytes, &memory) != 0)
		return -ENOMEM;
	debug = memory;
	debug->flags = rules->flags;
	debug->mapped_bytes = bytes;
	debug->n_most = n_most;
	debug->fail_nth = rules->fail_nth;
	debug->fail_every = rules->fail_every;
	debug->fail_ppm = rules->fail_ppm;
	debug->may_fail = rules->fail_nth != 0 || rules->fail_every != 0 ||
			  rules->fail_ppm != 0;
	debug->guard.geometry = geometry;
	debug->guard.word_bytes = cache->weak.is_strong ? PREFIX_BYTES_MIN : 0;
	debug->is_annotated = rules->annotates;
	debug->is_read_dead = cache->weak.mode == CUBBY_WEAK_REUSE;
	debug->ends_at_once = cache->front.block != 0 && cache->dtor == NULL &&
			      !cache->weak.is_staged &&
			      !(rules->flags &
				(CUBBY_DEBUG_USER | CUBBY_DEBUG_TRACE));
	debug->guard.has_zones = (rules->flags & CUBBY_DEBUG_RED_ZONE) &&
				 !cubby__annotate_accesses();
	debug->guard.poisons = (rules->flags & CUBBY_DEBUG_POISON) &&
			       !cubby__annotate_accesses() &&
			       cache->init == NULL && cache->fini == NULL &&
			       cache->weak.mode != CUBBY_WEAK_REUSE;
	if (rules->annotates) {
		describe_once();
		debug->type = cubby__annotate_type(cache->name);
	}
	cache->debug = debug;
	cache->alloc_stages[ALLOC_DEBUG] = cubby__debug_stage_alloc;
	cache->free_stages[FREE_DEBUG] = cubby__debug_stage_free;
	return add_sides(cache, debug);
}

void
cubby__debug_fini(struct cubby_cache *cache)
{
	if (cache->debug == NULL)
		return;
	cubby__os_unmap(cache->debug, cache->debug->mapped_bytes);
	cache->debug = NULL;
}

/* ---------------------------------- states ------------------------------- */

static enum debug_state
get_state(const struct debug_cache *debug, uint64_t cell)
{
	return (enum debug_state)(
		__atomic_load_n(debug_state(debug, cell), __ATOMIC_RELAXED) &
		~DEBUG_LOCKED);
}

/*
 * Nobody else has it for longer than a look at one cell takes, but a thread that
 * our handler has interrupted.
 */
static enum debug_state
lock_cell(const struct debug_cache *debug, uint64_t cell)
{
	enum debug_state state;

	for (unsigned n = 0; n < LOCK_TRIES; n++) {
		if (likely(debug_try_lock(debug, cell, &state)))
			break;
		sched_yield();
	}
	return state;
}

static void
note(const struct cubby_cache *cache, uint64_t cell, bool is_alloc)
{
	const struct debug_cache *debug = cache->debug;
	struct debug_user *user;
	struct debug_event *event;

	if (debug->users == NULL)
		return;
	user = debug_user(debug, cell);
	event = is_alloc ? &user->alloc : &user->free;
	cubby__finding_note(event);
}

static COLD void
trace(const struct cubby_cache *cache, const char *what, const void *object,
      uint64_t cell)
{
	char buffer[256];
	struct text line;

	cubby__text_init(&line, buffer, sizeof(buffer));
	cubby__text_printf(&line,
			   "cubby: trace: cache '%s': %s %p (cell %zu) by "
			   "thread %d\n",
			   cache->name, what, object, (size_t)cell,
			   (int)gettid());
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

static void
report_damage(struct cubby_cache *cache, uint64_t cell,
	      const struct guard_damage *damage, const char *when)
{
	__atomic_add_fetch(&cache->debug->n_damaged, 1, __ATOMIC_RELAXED);
	cubby__finding_report(cache, cell, damage, when, true);
}

/* ----------------------------------- tools ------------------------------- */

static void
close_zone(const struct guard *guard, const void *object,
	   enum guard_place place)
{
	size_t n_bytes;
	const uint8_t *start = cubby__guard_place(guard, object, place,
						  &n_bytes);

	cubby__annotate_no_access((void *)(uintptr_t)start, n_bytes);
}

static void
tell_alloc(struct cubby_cache *cache, void *object)
{
	const struct guard *guard = &cache->debug->guard;

	cubby__annotate_alloc(object, guard->geometry->object_bytes,
			      cache->init != NULL || cache->fini != NULL,
			      cache->debug->type);
	if (!cubby__annotate_accesses())
		return;
	close_zone(guard, object, GUARD_BEFORE);
	close_zone(guard, object, GUARD_AFTER);
}

static void
tell_free(struct cubby_cache *cache, void *object)
{
	size_t n_bytes = cache->debug->guard.geometry->object_bytes;

	cubby__annotate_free(object, n_bytes);
	if (cache->debug->is_read_dead)
		cubby__annotate_access(object, n_bytes);
}

void
cubby__debug_open(struct cubby_cache *cache, void *object)
{
	if (cache->debug != NULL && cache->debug->is_annotated)
		cubby__annotate_access(object,
				       cache->region.geometry.object_bytes);
}

/* ----------------------------------- alloc ------------------------------- */

bool
cubby__debug_fails(struct cubby_cache *cache, uint64_t n)
{
	struct debug_cache *debug = cache->debug;
	uint64_t last, before;
	bool fails;

	if (likely(debug == NULL || !debug->may_fail))
		return false;
	last = __atomic_add_fetch(&debug->n_tries, n, __ATOMIC_RELAXED);
	before = last - n;
	fails = debug->fail_nth > before && debug->fail_nth <= last;
	if (debug->fail_every != 0)
		fails |= last / debug->fail_every !=
			 before / debug->fail_every;
	for (uint64_t i = before; debug->fail_ppm != 0 && i < last; i++)
		fails |= hash_u64(i + 1) % PARTS_PER_MILLION < debug->fail_ppm;
	if (unlikely(fails))
		__atomic_add_fetch(&debug->n_failed, 1, __ATOMIC_RELAXED);
	return fails;
}

/*
 * Damage is reported without the cell's lock, as a hook may not come back; the cell
 * is NEW meanwhile, so that cubby_cache_validate() does not find it once more.
 */
static void
acquire(struct cubby_cache *cache, void *object)
{
	const struct debug_cache *debug = cache->debug;
	struct guard_damage damage;
	enum debug_state state;
	bool is_whole = true;
	uint64_t cell;

	cubby__region_find(&cache->region, object, &cell);
	state = lock_cell(debug, cell);
	if (state == DEBUG_FREE)
		is_whole = cubby__guard_check_free(&debug->guard, object,
						   &damage);
	if (unlikely(!is_whole || state == DEBUG_LIVE ||
		     state == DEBUG_DYING)) {
		debug_unlock(debug, cell, is_whole ? state : DEBUG_NEW);
		if (is_whole) /* B1 */
			cubby__finding_taken_twice(cache, cell);
		else /* B2 */
			report_damage(cache, cell, &damage,
				      "at the next allocation");
		lock_cell(debug, cell);
	}
	if (debug->is_annotated)
		tell_alloc(cache, object);
	cubby__guard_fill_live(&debug->guard, object);
	debug_unlock(debug, cell, DEBUG_LIVE);
	note(cache, cell, true);
	if (unlikely(debug->flags & CUBBY_DEBUG_TRACE))
		trace(cache, "alloc", object, cell);
}

size_t
cubby__debug_stage_alloc(struct cubby_cache *cache, size_t n,
			 void *const *objects)
{
	for (size_t i = 0; i < n; i++)
		acquire(cache, objects[i]);
	return n;
}

/* ----------------------------------- free -------------------------------- */

/* Who frees it is known now; who ends its life may be another thread. */
static void
note_free(struct cubby_cache *cache, uint64_t cell)
{
	note(cache, cell, false);
	if (unlikely(cache->debug->flags & CUBBY_DEBUG_TRACE))
		trace(cache, "free", region_object(&cache->region, cell),
		      cell);
}

bool
cubby__debug_claim(struct cubby_cache *cache, uint64_t cell)
{
	enum debug_state state = lock_cell(cache->debug, cell);

	debug_unlock(cache->debug, cell,
		     state == DEBUG_LIVE ? DEBUG_DYING : state);
	if (state != DEBUG_LIVE)
		return false;
	note_free(cache, cell);
	return true;
}

bool
cubby__debug_is_free(const struct cubby_cache *cache, uint64_t cell)
{
	enum debug_state state;

	if (cache->debug == NULL)
		return false;
	state = get_state(cache->debug, cell);
	return state == DEBUG_FREE || state == DEBUG_NEW;
}

/* Unlocks the cell, which is free then. */
static void
release_locked(struct cubby_cache *cache, void *object, uint64_t cell,
	       enum debug_state state)
{
	struct debug_cache *debug = cache->debug;
	struct guard_damage damage;

	/* A child of fork does not know what others were about to do with it. */
	if (state != DEBUG_NEW && unlikely(!cubby__guard_check_live(
					  &debug->guard, object, &damage))) {
		debug_unlock(debug, cell, DEBUG_NEW);
		report_damage(cache, cell, &damage, "at its free");
		lock_cell(debug, cell);
	}
	cubby__guard_fill_free(&debug->guard, object);
	if (debug->is_annotated)
		tell_free(cache, object);
	debug_unlock(debug, cell, DEBUG_FREE);
}

/* Claim and release, where nothing comes between. */
static bool
end_at_once(struct cubby_cache *cache, void *object, uint64_t cell)
{
	enum debug_state state = lock_cell(cache->debug, cell);

	if (likely(state == DEBUG_LIVE))
		release_locked(cache, object, cell, state);
	else
		debug_unlock(cache->debug, cell, state);
	return state == DEBUG_LIVE;
}

bool
cubby__debug_claim_pointer(struct cubby_cache *cache, void *object)
{
	uint64_t cell;
	enum free_fault fault = cubby__direct_find(cache, object, &cell);

	if (fault == FREE_OK &&
	    !(cache->debug->ends_at_once ? end_at_once(cache, object, cell) :
					   cubby__debug_claim(cache, cell)))
		fault = FREE_NOT_LIVE;
	if (likely(fault == FREE_OK))
		return true;
	if (cache->debug->is_annotated)
		cubby__annotate_wrong_free(object);
	cubby__usable_report_now(cache, object, cell, fault);
	return false;
}

void
cubby__debug_release(struct cubby_cache *cache, void *object, uint64_t cell)
{
	enum debug_state state = lock_cell(cache->debug, cell);

	if (unlikely(state == DEBUG_FREE)) { /* in the parent of a fork */
		debug_unlock(cache->debug, cell, state);
		return;
	}
	release_locked(cache, object, cell, state);
	if (unlikely(state == DEBUG_LIVE)) /* with all others of its cache */
		note_free(cache, cell);
}

void
cubby__debug_stage_free(struct cubby_cache *cache, size_t n,
			void *const *objects)
{
	uint64_t cell;

	for (size_t i = 0; i < n; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		cubby__debug_release(cache, objects[i], cell);
	}
}

void
cubby__debug_undo(struct cubby_cache *cache, size_t n, void *const *objects)
{
	uint64_t cell;

	for (size_t i = 0; i < n; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		lock_cell(cache->debug, cell);
		cubby__guard_fill_free(&cache->debug->guard, objects[i]);
		if (cache->debug->is_annotated)
			tell_free(cache, objects[i]);
		debug_unlock(cache->debug, cell, DEBUG_FREE);
	}
}

void
cubby__debug_forget(struct cubby_cache *cache, uint64_t cell)
{
	if (cache->debug != NULL)
		debug_unlock(cache->debug, cell, DEBUG_NEW);
}

void
cubby__debug_fork_child(struct cubby_cache *cache)
{
	for (uint64_t cell = 0;
	     cache->debug != NULL && cell < cache->slabs.n_cells; cell++)
		if (*debug_state(cache->debug, cell) & DEBUG_LOCKED)
			cubby__debug_forget(cache, cell);
}

/* -------------------------------- quarantine ----------------------------- */

/* The oldest goes back to its slab. */
static void
give_oldest(struct cubby_cache *cache, struct faults *faults)
{
	struct debug_cache *debug = cache->debug;
	void *object = debug->waiting[debug->first];

	debug->waiting[debug->first] = NULL; /* memcheck would find it there */
	debug->first = (debug->first + 1) % debug->n_most;
	debug->n_waiting--;
	cubby__direct_give_locked(cache, object, faults);
}

bool
cubby__debug_drain_locked(struct cubby_cache *cache, struct faults *faults)
{
	struct debug_cache *debug = cache->debug;

	if (debug == NULL || debug->n_waiting == 0)
		return false;
	while (debug->n_waiting != 0)
		give_oldest(cache, faults);
	return true;
}

bool
cubby__debug_keep_locked(struct cubby_cache *cache, void *object,
			 struct faults *faults)
{
	struct debug_cache *debug = cache->debug;
	uint64_t cell;

	if (debug == NULL || debug->n_most == 0)
		return false;
	/* To a walk it is idle from now on, and dying no more. */
	if (cache->dying != NULL) {
		cubby__region_find(&cache->region, object, &cell);
		cell_side_clear(cache->dying, cell);
	}
	if (debug->n_waiting == debug->n_most)
		give_oldest(cache, faults);
	debug->waiting[(debug->first + debug->n_waiting++) % debug->n_most] =
		object;
	return true;
}

bool
cubby__debug_keep(struct cubby_cache *cache, void *object)
{
	struct faults faults = { 0 };
	sigset_t saved;

	if (likely(cache->debug == NULL || cache->debug->n_most == 0))
		return false;
	cubby__lock_acquire(&cache->lock, &saved);
	cubby__debug_keep_locked(cache, object, &faults);
	cubby__direct_trim_locked(cache, cubby__direct_kept_empty(cache),
				  &saved);
	cubby__lock_release(&cache->lock, &saved);
	cubby__direct_report(cache, &faults);
	return true;
}

uint64_t
cubby__debug_count(const struct cubby_cache *cache)
{
	return cache->debug != NULL ? cache->debug->n_waiting : 0;
}

void
cubby__debug_for_each(const struct cubby_cache *cache,
		      void (*visit)(void *context, const void *object),
		      void *context)
{
	const struct debug_cache *debug = cache->debug;

	for (uint64_t i = 0; debug != NULL && i < debug->n_waiting; i++)
		visit(context,
		      debug->waiting[(debug->first + i) % debug->n_most]);
}
