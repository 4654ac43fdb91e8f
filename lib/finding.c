/* SPDX-License-Identifier: MIT */
/* LAYER 5: finding - what a watched cache has found, for people */
#include "finding.h"

#include "annotate.h"
#include "bits.h"
#include "debug.h"
#include "os.h"
#include "registry.h"
#include "report.h"
#include "sample.h"
#include "stacks.h"

#include <unistd.h>

#define BYTES_PER_LINE 16
#define LINES_AT_START 8
#define LINES_AT_DAMAGE 4

MISUSE_ROW(CUBBY_MISUSE_RED_ZONE, "red-zone",
	   "the object, or its neighbour, was written beyond its end");
MISUSE_ROW(CUBBY_MISUSE_USE_AFTER_FREE, "use-after-free",
	   "somebody has kept a pointer to it");

/* ----------------------------------- users ------------------------------- */

static void
tell_frames(void *const *frames, size_t first, size_t n)
{
	char buffer[REPORT_BYTES_MAX];
	struct text text;

	for (size_t i = first; i < n; i++) {
		cubby__text_init(&text, buffer, sizeof(buffer));
		cubby__stacks_describe(&text, frames[i]);
		cubby__report_more("  %s", buffer);
	}
	if (n == 0)
		cubby__report_more("  (its stack is not known)");
}

void
cubby__finding_stack(uint32_t stack)
{
	void *const *frames;
	size_t n = cubby__stacks_frames(stack, &frames);

	tell_frames(frames, cubby__stacks_n_ours(frames, n), n);
}

void
cubby__finding_stack_from(uint32_t stack, const void *pc)
{
	void *const *frames;
	size_t n = cubby__stacks_frames(stack, &frames);
	size_t first = 0;

	while (first < n && frames[first] != pc)
		first++;
	tell_frames(frames,
		    first < n ? first : cubby__stacks_n_ours(frames, n), n);
}

static uint64_t
event_ns(const struct debug_event *event)
{
	return __atomic_load_n(&event->at_ns, __ATOMIC_RELAXED);
}

void
cubby__finding_note(struct debug_event *event)
{
	/* Others read it in reports, without a lock. */
	__atomic_store_n(&event->at_ns, cubby__os_now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&event->thread, (uint32_t)gettid(), __ATOMIC_RELAXED);
	__atomic_store_n(&event->stack, cubby__stacks_take(),
			 __ATOMIC_RELAXED);
}

static void
tell_event(const char *what, const struct debug_event *event)
{
	uint64_t at_ns = event_ns(event);
	uint64_t now = cubby__os_now_ns();

	if (at_ns == 0)
		return;
	cubby__report_more(
		"%s %zu ms ago by thread %u at", what,
		(size_t)((now - min_u64(at_ns, now)) / (NS_PER_S / 1000)),
		__atomic_load_n(&event->thread, __ATOMIC_RELAXED));
	cubby__finding_stack(__atomic_load_n(&event->stack, __ATOMIC_RELAXED));
}

void
cubby__finding_events(const struct debug_user *user)
{
	tell_event("allocated", &user->alloc);
	tell_event(event_ns(&user->free) < event_ns(&user->alloc) ?
			   "freed before that" :
			   "freed",
		   &user->free);
}

void
cubby__finding_history(const struct cubby_cache *cache, uint64_t cell)
{
	const struct debug_cache *debug = cache->debug;
	const struct debug_user *sampled = cubby__sample_user(cache, cell);

	if (sampled != NULL)
		cubby__finding_events(sampled);
	if (debug != NULL && debug->users != NULL &&
	    cell < __atomic_load_n(&cache->slabs.n_cells, __ATOMIC_RELAXED))
		cubby__finding_events(debug_user(debug, cell));
}

/* ----------------------------------- bytes ------------------------------- */

static void
put_byte(struct text *text, uint8_t byte)
{
	cubby__text_printf(text, " %c%c", "0123456789abcdef"[byte >> 4],
			   "0123456789abcdef"[byte & 15]);
}

static void
dump_line(const char *name, const void *address, const uint8_t *start,
	  size_t n_bytes)
{
	char buffer[128];
	struct text text;

	cubby__text_init(&text, buffer, sizeof(buffer));
	for (size_t i = 0; i < n_bytes; i++)
		put_byte(&text, start[i]);
	for (size_t i = n_bytes; i < BYTES_PER_LINE; i++)
		cubby__text_printf(&text, "   ");
	cubby__text_printf(&text, "  ");
	for (size_t i = 0; i < n_bytes; i++)
		cubby__text_printf(
			&text, "%c",
			start[i] >= ' ' && start[i] < 0x7f ? start[i] : '.');
	cubby__report_more("%s %p:%s", name, address, buffer);
}

/* Its first lines, and those around the damage. */
static void
dump_place(const struct guard *guard, const void *object,
	   enum guard_place place, const char *name,
	   const struct guard_damage *damage)
{
	size_t n_bytes, damaged = SIZE_MAX;
	const uint8_t *start = cubby__guard_place(guard, object, place,
						  &n_bytes);
	bool skipped = false;

	if (damage->place == place)
		damaged = (size_t)(damage->first - start) / BYTES_PER_LINE;
	for (size_t line = 0; line * BYTES_PER_LINE < n_bytes; line++) {
		bool is_near = line + 1 >= damaged &&
			       line < damaged + LINES_AT_DAMAGE;

		if (line < LINES_AT_START || (damaged != SIZE_MAX && is_near))
			dump_line(name, start + line * BYTES_PER_LINE,
				  start + line * BYTES_PER_LINE,
				  min_u64(n_bytes - line * BYTES_PER_LINE,
					  BYTES_PER_LINE));
		else if (!skipped)
			cubby__report_more("%s ...", name);
		skipped = line >= LINES_AT_START && !is_near;
	}
}

static void
dump(const struct guard *guard, const void *object,
     const struct guard_damage *damage)
{
	if (guard->has_zones)
		dump_place(guard, object, GUARD_BEFORE, "before", damage);
	dump_place(guard, object, GUARD_OBJECT, "object", damage);
	if (guard->has_zones)
		dump_place(guard, object, GUARD_AFTER, "after ", damage);
}

/* ---------------------------------- reports ------------------------------ */

static const char *const places[] = {
	[GUARD_BEFORE] = " in front of",
	[GUARD_OBJECT] = " of",
	[GUARD_AFTER] = " behind",
};

void
cubby__finding_report(const struct cubby_cache *cache, uint64_t cell,
		      const struct guard_damage *damage, const char *when,
		      bool may_abort)
{
	const uint8_t *object = region_object(&cache->region, cell);
	bool is_poison = damage->place == GUARD_OBJECT;
	struct report report;

	cubby__report_open(
		&report,
		is_poison ? CUBBY_MISUSE_USE_AFTER_FREE :
			    CUBBY_MISUSE_RED_ZONE,
		cache->name, damage->first,
		"%zu byte%s%s object %p (cell %zu, %u bytes) %s written%s: "
		"0x%x, not 0x%x, at offset %zd; found %s",
		damage->n_bytes, damage->n_bytes == 1 ? "" : "s",
		places[damage->place], (const void *)object, (size_t)cell,
		cache->region.geometry.object_bytes,
		damage->n_bytes == 1 ? "was" : "were",
		is_poison ? " after its free" : "", damage->found,
		damage->expected, damage->first - object, when);
	cubby__finding_history(cache, cell);
	if (may_abort)
		dump(&cache->debug->guard, object, damage);
	else
		dump_line("damaged", damage->first, damage->bytes,
			  min_u64(damage->n_bytes, GUARD_BYTES_KEPT));
	if (!may_abort || !cubby__report_aborts())
		cubby__report_more("restored, and going on");
	cubby__report_close(&report, may_abort);
}

void
cubby__finding_taken_twice(const struct cubby_cache *cache, uint64_t cell)
{
	struct report report;

	cubby__report_open(&report, CUBBY_MISUSE_CORRUPTION, cache->name,
			   region_object(&cache->region, cell),
			   "object %p (cell %zu) was allocated, and is live "
			   "already",
			   region_object(&cache->region, cell), (size_t)cell);
	cubby__finding_history(cache, cell);
	cubby__report_close(&report, true);
}

size_t
cubby__finding_place(ptrdiff_t offset, size_t object_bytes,
		     const char **ret_where)
{
	if (offset < 0) {
		*ret_where = "in front of";
		return (size_t)-offset;
	}
	if ((size_t)offset >= object_bytes) {
		*ret_where = "behind";
		return (size_t)offset - object_bytes;
	}
	*ret_where = "into";
	return (size_t)offset;
}

void
cubby__finding_describe(const char *report)
{
	const uint8_t *address = cubby__annotate_reported();
	const struct cubby_cache *cache = NULL;
	struct granule_owner owner;
	const uint8_t *object;
	const char *where;
	uint64_t cell = 0;
	size_t distance;
	uint8_t state;

	(void)report;
	if (address != NULL && cubby__granule_find(address, &owner))
		cache = cubby__registry_by_id(owner.id);
	if (cache == NULL || !cache_is_live(cache) || cache->debug == NULL ||
	    cubby__direct_find(cache, address, &cell) == FREE_FOREIGN ||
	    cell >= __atomic_load_n(&cache->slabs.n_cells, __ATOMIC_RELAXED))
		return;
	object = region_object(&cache->region, cell);
	distance = cubby__finding_place(
		address - object, cache->region.geometry.object_bytes, &where);
	state = __atomic_load_n(debug_state(cache->debug, cell),
				__ATOMIC_RELAXED);
	cubby__report_more("%p is %zu bytes %s object %p (cell %zu, %u bytes) "
			   "of cache '%s', which is %s%s",
			   (const void *)address, distance, where,
			   (const void *)object, (size_t)cell,
			   cache->region.geometry.object_bytes, cache->name,
			   state == DEBUG_LIVE ? "live" : "free",
			   cache->debug->users != NULL ?
				   "" :
				   "; CUBBY_DEBUG=user tells whose it is");
	cubby__finding_history(cache, cell);
}
