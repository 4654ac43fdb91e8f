/* SPDX-License-Identifier: MIT */
/* LAYER 5: sample - one of many objects, alone on its page */
#include "sample.h"

#include "bits.h"
#include "finding.h"
#include "magazine.h"
#include "os.h"
#include "report.h"
#include "sample_fault.h"
#include "stacks.h"

#include <errno.h>
#include <string.h>

/* What is on an object's pages beside it. */
#define FILL 0xcc

/* ----------------------------------- area -------------------------------- */

static uint64_t
page_after(uint64_t address)
{
	return align_up(address, cubby__os_page_bytes());
}

/*
 * The pages from `from` on until the next one without access, for the first whole
 * cell there; odd slots have that one, others the last one that fits.
 */
static bool
place_slot(const struct cubby_cache *cache, struct sample *sample,
	   uint64_t from, uint64_t area_end)
{
	const struct region *region = &cache->region;
	uint64_t cell_bytes = region->geometry.cell_bytes;
	uint64_t first = slab_first_cell(&cache->slabs, sample->slab);
	uint64_t base = (uintptr_t)region_cell(region, first);
	uint64_t cell = div_up(from - base, cell_bytes);
	uint64_t end = page_after(base + (cell + 1) * cell_bytes);
	struct sample_slot *slot = &sample->slots[sample->n_slots];

	if (end + cubby__os_page_bytes() > area_end)
		return false;
	if (sample->n_slots % 2 == 0)
		cell = (end - base) / cell_bytes - 1;
	*slot = (struct sample_slot){
		.cell = first + cell,
		.pages = (char *)from,
		.n_bytes = end - from,
	};
	sample->n_slots++;
	return true;
}

static void
place_slots(const struct cubby_cache *cache, struct sample *sample,
	    uint64_t start, uint64_t end)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	uint64_t from = start + page_bytes;

	sample->n_slots = 0;
	while (sample->n_slots < SAMPLE_SLOTS_MAX && from < end &&
	       place_slot(cache, sample, from, end)) {
		const struct sample_slot *slot =
			&sample->slots[sample->n_slots - 1];

		from = (uintptr_t)slot->pages + slot->n_bytes + page_bytes;
	}
}

static void
give_cells(struct cubby_cache *cache, uint64_t slab)
{
	uint64_t first = slab_first_cell(&cache->slabs, slab);
	uint32_t n_cells = slab_record(&cache->slabs, slab)->n_cells;

	for (uint64_t cell = first; cell < first + n_cells; cell++)
		cubby__slab_give(&cache->slabs, cell);
}

/* Nothing if there is no memory, or no room for a slot. */
static void
make_area(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;
	struct slab_set *slabs = &cache->slabs;
	uint64_t first, start, end;

	/* What is beside objects is written, so no cell may have its state. */
	if (cubby__slab_take_whole(slabs, cache->inited == NULL,
				   &sample->slab) != 0)
		return;
	first = slab_first_cell(slabs, sample->slab);
	start = page_after((uintptr_t)region_cell(&cache->region, first));
	end = align_down(
		(uintptr_t)region_cell(&cache->region, first) +
			slab_record(slabs, sample->slab)->n_cells *
				(uint64_t)cache->region.geometry.cell_bytes,
		cubby__os_page_bytes());
	place_slots(cache, sample, start, end);
	if (sample->n_slots == 0 ||
	    cubby__os_protect((void *)start, end - start) != 0) {
		/* Of several mappings the first ones may have been protected. */
		if (cubby__os_commit((void *)start, end - start) == 0)
			give_cells(cache, sample->slab);
		return;
	}
	__atomic_store_n(&sample->end, (char *)end, __ATOMIC_RELAXED);
	__atomic_store_n(&sample->start, (char *)start, __ATOMIC_RELAXED);
}

static struct sample_slot *
slot_of(struct sample *sample, uint64_t cell)
{
	for (uint32_t i = 0; sample->start != NULL && i < sample->n_slots; i++)
		if (sample->slots[i].cell == cell)
			return &sample->slots[i];
	return NULL;
}

/* ---------------------------------- waiting ------------------------------ */

/* Where frees have no stage of their own, they are in line but for now. */
static void
set_waiting(struct cubby_cache *cache, bool waits)
{
	if (cache->free_stages[FREE_DTOR] == NULL)
		__atomic_store_n(&cache->fast.full_mask,
				 waits ? FULL_MASK_STAGED : FULL_MASK_OPEN,
				 __ATOMIC_RELAXED);
}

static void
wait_locked(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;
	uint64_t n = max_u64(sample->every / SAMPLE_FREES_PART, 1);

	if (__atomic_load_n(&sample->n_frees_left, __ATOMIC_RELAXED) < 0)
		__atomic_store_n(&sample->n_frees_left, 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&sample->n_frees_left, (int64_t)n,
			   __ATOMIC_RELAXED);
	set_waiting(cache, true);
}

static void
stop_waiting_locked(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;

	set_waiting(cache, false);
	__atomic_store_n(&sample->n_frees_left, 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < sample->n_slots; i++)
		if (sample->slots[i].state == SAMPLE_LIVE)
			sample->slots[i].state = SAMPLE_LOOSE;
}

static bool
has_live(const struct sample *sample)
{
	for (uint32_t i = 0; i < sample->n_slots; i++)
		if (sample->slots[i].state == SAMPLE_LIVE)
			return true;
	return false;
}

/* Another object was freed out of line. */
static void
count_free(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;
	sigset_t saved;

	if (cache->free_stages[FREE_DTOR] != NULL ||
	    __atomic_load_n(&sample->n_frees_left, __ATOMIC_RELAXED) <= 0 ||
	    __atomic_sub_fetch(&sample->n_frees_left, 1, __ATOMIC_RELAXED) > 0)
		return;
	cubby__lock_acquire(&cache->lock, &saved);
	if (__atomic_load_n(&sample->n_frees_left, __ATOMIC_RELAXED) <= 0)
		stop_waiting_locked(cache);
	cubby__lock_release(&cache->lock, &saved);
}

/* ----------------------------------- slots ------------------------------- */

static void
fill(const struct cubby_cache *cache, const struct sample_slot *slot)
{
	char *object = region_object(&cache->region, slot->cell);
	char *behind = object + cache->region.geometry.object_bytes;

	memset(slot->pages, FILL, (size_t)(object - slot->pages));
	memset(behind, FILL, (size_t)(slot->pages + slot->n_bytes - behind));
}

/* The first byte of [start, end) that was written, or `end`. */
static const char *
written(const char *start, const char *end)
{
	while (start < end && (unsigned char)*start == FILL)
		start++;
	return start;
}

/* What was written beside the object, or NULL. */
static const char *
damage(const struct cubby_cache *cache, const struct sample_slot *slot)
{
	const char *object = region_object(&cache->region, slot->cell);
	const char *behind = object + cache->region.geometry.object_bytes;
	const char *end = slot->pages + slot->n_bytes;
	const char *found = written(slot->pages, object);

	if (found < object)
		return found;
	found = written(behind, end);
	return found < end ? found : NULL;
}

/* Its cell holds no object any more. */
static void
close_slot(struct cubby_cache *cache, struct sample_slot *slot)
{
	struct sample *sample = cache->sample;

	slot->is_open = cache->n_walks != 0 ||
			cubby__os_protect(slot->pages, slot->n_bytes) != 0;
	slot->state = SAMPLE_IDLE;
	slot->idle_since = ++sample->n_turns;
	if (!has_live(sample))
		stop_waiting_locked(cache);
}

static struct sample_slot *
open_slot_locked(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;
	struct sample_slot *best = NULL;

	if (sample->start == NULL)
		make_area(cache);
	for (uint32_t i = 0; sample->start != NULL && i < sample->n_slots;
	     i++) {
		struct sample_slot *slot = &sample->slots[i];

		if (slot->state == SAMPLE_IDLE &&
		    (best == NULL || slot->idle_since < best->idle_since))
			best = slot;
	}
	if (best == NULL) {
		if (sample->start != NULL) /* for the frees of LOOSE ones */
			wait_locked(cache);
		return NULL;
	}
	if (cubby__os_commit(best->pages, best->n_bytes) != 0)
		return NULL;
	fill(cache, best);
	best->state = SAMPLE_LIVE;
	best->is_open = false;
	best->user = (struct debug_user){ 0 };
	cubby__finding_note(&best->user.alloc);
	wait_locked(cache);
	return best;
}

/* ----------------------------------- calls ------------------------------- */

/* To the next one: `every` on average, and not to be foreseen. */
static int64_t
distance(const struct sample *sample)
{
	return (int64_t)(1 +
			 hash_u64(cubby__os_now_ns()) % (2 * sample->every));
}

/* A slot needs a page on each side, and a whole cell behind the first one. */
static bool
has_room_for_slot(const struct geometry *geometry)
{
	return geometry_slab_bytes(geometry) >=
	       2 * (uint64_t)geometry->cell_bytes + 5 * cubby__os_page_bytes();
}

int
cubby__sample_init(struct cubby_cache *cache, const struct debug_rules *rules)
{
	uint64_t bytes = page_after(sizeof(struct sample));
	void *memory;

	if (rules->guard_every == 0 || cache->debug != NULL ||
	    cache->weak.is_staged || cache->front.block == 0 ||
	    cache->slabs.max_is_limit || cache->region.in_units ||
	    cache->region.want_huge_pages ||
	    !has_room_for_slot(&cache->region.geometry))
		return 0;
	if (cubby__os_map(bytes, &memory) != 0)
		return -ENOMEM;
	cache->sample = memory;
	cache->sample->mapped_bytes = bytes;
	cache->sample->every = min_u64(rules->guard_every, INT64_MAX / 4);
	cache->sample->n_until_next = distance(cache->sample);
	if (!cubby__stacks_init())
		return -ENOMEM;
	cubby__sample_fault_install();
	return 0;
}

void
cubby__sample_fini(struct cubby_cache *cache)
{
	if (cache->sample == NULL)
		return;
	cubby__os_unmap(cache->sample, cache->sample->mapped_bytes);
	cache->sample = NULL;
}

void *
cubby__sample_alloc(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;
	struct sample_slot *slot;
	void *object = NULL;
	sigset_t saved;

	if (__atomic_sub_fetch(&sample->n_until_next,
			       cache->front.is_staged ? 1 : 0,
			       __ATOMIC_RELAXED) > 0)
		return NULL;
	__atomic_store_n(&sample->n_until_next, distance(sample),
			 __ATOMIC_RELAXED);
	cubby__lock_acquire(&cache->lock, &saved);
	slot = open_slot_locked(cache);
	if (slot != NULL)
		object = region_object(&cache->region, slot->cell);
	cubby__lock_release(&cache->lock, &saved);
	if (object == NULL)
		return NULL;
	if (cache->inited != NULL &&
	    cubby__direct_init(cache, 1, &object) != 1) {
		cubby__sample_free(cache, object);
		return NULL;
	}
	__atomic_add_fetch(&sample->n_taken, 1, __ATOMIC_RELAXED);
	return object;
}

/* Bytes beside an object were written while it lived. */
static COLD void
report_damage(const struct cubby_cache *cache, const struct sample_slot *slot,
	      const char *found, uint8_t byte)
{
	const char *object = region_object(&cache->region, slot->cell);
	struct report report;

	cubby__report_open(&report, CUBBY_MISUSE_RED_ZONE, cache->name, found,
			   "offset %zd of object %p (cell %zu, %u bytes) was "
			   "written: 0x%x, not 0x%x; found at its free",
			   found - object, (const void *)object,
			   (size_t)slot->cell,
			   cache->region.geometry.object_bytes, byte, FILL);
	cubby__finding_events(&slot->user);
	cubby__report_close(&report, true);
}

/* What was written beside it, and NULL if nothing was. */
static const char *
end_life(struct cubby_cache *cache, struct sample_slot *slot,
	 uint8_t *ret_byte)
{
	const char *found = damage(cache, slot);

	*ret_byte = found != NULL ? (uint8_t)*found : 0;
	/* Perhaps not the one that was sampled. */
	if (slot->state == SAMPLE_LOOSE)
		slot->user = (struct debug_user){ 0 };
	cubby__finding_note(&slot->user.free);
	close_slot(cache, slot);
	return found;
}

static bool
in_area(const struct sample *sample, const void *object)
{
	const char *start = __atomic_load_n(&sample->start, __ATOMIC_RELAXED);
	const char *end = __atomic_load_n(&sample->end, __ATOMIC_RELAXED);

	return start != NULL && (const char *)object >= start &&
	       (const char *)object < end;
}

bool
cubby__sample_free(struct cubby_cache *cache, void *object)
{
	struct sample_slot *slot, copy = { 0 };
	const char *found = NULL;
	enum free_fault fault;
	sigset_t saved;
	bool is_ours;
	uint64_t cell;
	uint8_t byte;

	if (!in_area(cache->sample, object)) {
		count_free(cache);
		return false;
	}
	fault = cubby__direct_find(cache, object, &cell);
	cubby__lock_acquire(&cache->lock, &saved);
	is_ours = in_area(cache->sample, object);
	slot = fault == FREE_OK ? slot_of(cache->sample, cell) : NULL;
	if (slot != NULL && slot->state != SAMPLE_IDLE) {
		found = end_life(cache, slot, &byte);
		copy = *slot;
	} else if (fault == FREE_OK) {
		fault = FREE_NOT_LIVE;
	}
	cubby__lock_release(&cache->lock, &saved);
	if (!is_ours) /* its area went back in between */
		return false;
	if (unlikely(found != NULL))
		report_damage(cache, &copy, found, byte);
	else if (unlikely(fault != FREE_OK))
		cubby__usable_report_now(cache, object, cell, fault);
	return true;
}

enum sample_catch
cubby__sample_catch_locked(struct cubby_cache *cache, uint64_t cell)
{
	struct sample_slot *slot;

	if (!sample_owns(cache, cell))
		return SAMPLE_NOT_OURS;
	slot = slot_of(cache->sample, cell);
	if (slot == NULL || slot->state == SAMPLE_IDLE)
		return SAMPLE_NOT_LIVE;
	slot->user = (struct debug_user){ 0 };
	close_slot(cache, slot);
	return SAMPLE_CAUGHT;
}

void
cubby__sample_end_walks_locked(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;

	for (uint32_t i = 0;
	     sample != NULL && sample->start != NULL && i < sample->n_slots;
	     i++) {
		struct sample_slot *slot = &sample->slots[i];

		if (slot->state == SAMPLE_IDLE && slot->is_open)
			slot->is_open = cubby__os_protect(slot->pages,
							  slot->n_bytes) != 0;
	}
}

bool
cubby__sample_has(const struct cubby_cache *cache, const void *object)
{
	return cache->sample != NULL && in_area(cache->sample, object);
}

/* ---------------------------------- others ------------------------------- */

const struct debug_user *
cubby__sample_user(const struct cubby_cache *cache, uint64_t cell)
{
	const struct sample_slot *slot = cache->sample != NULL ?
						 slot_of(cache->sample, cell) :
						 NULL;

	return slot != NULL && slot->state != SAMPLE_LOOSE ? &slot->user :
							     NULL;
}

/* @visit: NULL: only count. */
static uint64_t
visit_idle(const struct cubby_cache *cache,
	   void (*visit)(void *context, const void *object), void *context)
{
	struct sample *sample = cache->sample;
	uint64_t first, n_cells, n = 0;

	if (sample == NULL || sample->start == NULL)
		return 0;
	first = slab_first_cell(&cache->slabs, sample->slab);
	n_cells = slab_record(&cache->slabs, sample->slab)->n_cells;
	for (uint64_t cell = first; cell < first + n_cells; cell++) {
		const struct sample_slot *slot = slot_of(sample, cell);

		if (slot != NULL && slot->state != SAMPLE_IDLE)
			continue;
		n++;
		if (visit != NULL)
			visit(context, region_object(&cache->region, cell));
	}
	return n;
}

uint64_t
cubby__sample_count(const struct cubby_cache *cache)
{
	return visit_idle(cache, NULL, NULL);
}

void
cubby__sample_for_each(const struct cubby_cache *cache,
		       void (*visit)(void *context, const void *object),
		       void *context)
{
	visit_idle(cache, visit, context);
}

static void
give_back(void *context, const void *object)
{
	struct cubby_cache *cache = context;
	uint64_t cell;

	cubby__region_find(&cache->region, object, &cell);
	cubby__slab_give(&cache->slabs, cell);
}

void
cubby__sample_drain_locked(struct cubby_cache *cache)
{
	struct sample *sample = cache->sample;

	if (sample == NULL || sample->start == NULL ||
	    cubby__os_commit(sample->start,
			     (size_t)(sample->end - sample->start)) != 0)
		return;
	visit_idle(cache, give_back, cache);
	stop_waiting_locked(cache);
	__atomic_store_n(&sample->start, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&sample->end, NULL, __ATOMIC_RELAXED);
}
