/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: weak - the calls that make and follow handles
 *
 * What a handle means, and why it is right, is in weak.h; how lives end is in
 * death.c.
 */
#include "weak.h"

#include "bits.h"
#include "cache.h"
#include "debug.h"
#include "domain.h"
#include "error.h"
#include "finding.h"
#include "flavor.h"
#include "report.h"

#include <errno.h>
#include <string.h>

/* The calls that are compiled into programs are functions here. */
#undef cubby_weak_get
#undef cubby_weak_upgrade

ERROR_ROW(ESTALE, "the object is dead: it was freed, here or elsewhere");

MISUSE_ROW(CUBBY_MISUSE_WEAK_MODE, "weak-mode",
	   "see the table of modes in cubby/weak.h");
MISUSE_ROW(
	CUBBY_MISUSE_NO_SECTION, "no-section",
	"borrow between read_lock and read_unlock of the cache's flavour, in "
	"a thread that is registered with it (in QSBR: and online)");
MISUSE_ROW(CUBBY_MISUSE_NOT_AN_OBJECT, "not-an-object",
	   "pass the first byte of an object of this cache; cubby_cache_of() "
	   "tells whose an address is");

/* -------------------------------- the words ------------------------------ */

static uint32_t *
word(const struct cubby_cache *cache, uint64_t cell)
{
	return word_of(&cache->slabs.words, cell);
}

static uint64_t
n_cells(const struct cubby_cache *cache)
{
	return __atomic_load_n(&cache->slabs.n_cells, __ATOMIC_ACQUIRE);
}

cubby_weak
cubby__weak_encode(const struct cubby_cache *cache, uint64_t cell,
		   uint32_t generation)
{
	return ((uint64_t)(generation << 1 | WEAK_TAKEN) << 32 | cell) ^
	       cache->weak_fast.key;
}

bool
cubby__weak_decode(struct cubby_cache *cache, cubby_weak handle,
		   uint64_t *ret_cell, uint32_t *ret_generation)
{
	uint64_t plain = handle ^ cache->weak_fast.key;

	*ret_cell = (uint32_t)plain;
	*ret_generation = weak_generation((uint32_t)(plain >> 32));
	return *ret_cell < n_cells(cache) && (plain & TAKEN_IN_HANDLE) != 0;
}

uint32_t *
cubby__weak_find_word(struct cubby_cache *cache, cubby_weak handle,
		      uint64_t *ret_cell, uint32_t *ret_wanted)
{
	uint32_t generation;

	if (!cubby__weak_decode(cache, handle, ret_cell, &generation))
		return NULL;
	*ret_wanted = generation << 1 | WEAK_TAKEN;
	return word(cache, *ret_cell);
}

bool
cubby__weak_is_retired(const struct cubby_cache *cache, uint64_t cell)
{
	return __atomic_load_n(&cache->weak.n_retired, __ATOMIC_RELAXED) !=
		       0 &&
	       weak_is_retired(
		       __atomic_load_n(word(cache, cell), __ATOMIC_RELAXED)) &&
	       (!cache->weak.is_strong ||
		!(__atomic_load_n(
			  strong_word(region_object(&cache->region, cell)),
			  __ATOMIC_RELAXED) &
		  DYING));
}

uint64_t
cubby__weak_count_held(const struct cubby_cache *cache)
{
	uint64_t n = 0;

	for (uint64_t cell = 0;
	     cache->weak.is_strong && cell < cache->slabs.n_cells; cell++)
		n += cubby__slab_is_live(&cache->slabs, cell) &&
		     (__atomic_load_n(
			      strong_word(region_object(&cache->region, cell)),
			      __ATOMIC_RELAXED) &
		      DYING) != 0;
	return n;
}

void
cubby__weak_for_each_retired(struct cubby_cache *cache,
			     void (*visit)(void *context, const void *object),
			     void *context)
{
	if (__atomic_load_n(&cache->weak.n_retired, __ATOMIC_RELAXED) == 0)
		return;
	for (uint64_t cell = 0; cell < cache->slabs.n_cells; cell++)
		if (cubby__slab_is_live(&cache->slabs, cell) &&
		    cubby__weak_is_retired(cache, cell))
			visit(context, region_object(&cache->region, cell));
}

/* ---------------------------------- misuse ------------------------------- */

bool
cubby__weak_usable(struct cubby_cache *cache, const char *call)
{
	if (unlikely(!cubby__usable(cache, call)))
		return false;
	if (likely(cache->weak.mode != CUBBY_WEAK_NONE))
		return true;
	cubby__report_misuse(CUBBY_MISUSE_WEAK_MODE, cache->name, NULL,
			     "%s() on a cache without handles", call);
	return false;
}

/* What the handles of each mode are for. */
static const char *const mode_uses[] = {
	[CUBBY_WEAK_RCU] = "CUBBY_WEAK_RCU: take cubby_weak_get(), or create "
			   "it with is_strong",
	[CUBBY_WEAK_STRONG] = "CUBBY_WEAK_STRONG: take cubby_weak_upgrade() "
			      "and cubby_ref_put()",
	[CUBBY_WEAK_REUSE] = "CUBBY_WEAK_REUSE: take cubby_weak_copy()",
};

static COLD void
report_mode(const struct cubby_cache *cache, const char *call)
{
	cubby__report_misuse(CUBBY_MISUSE_WEAK_MODE, cache->name, NULL,
			     "%s() on a cache of %s", call,
			     mode_uses[cache->weak.mode]);
}

static bool
borrow_usable(struct cubby_cache *cache)
{
	if (!cubby__weak_usable(cache, "cubby_weak_get"))
		return false;
	if (unlikely(cache->weak.mode != CUBBY_WEAK_RCU)) {
		report_mode(cache, "cubby_weak_get");
		return false;
	}
#ifdef CUBBY_DEBUG
	if (!cache->defer.domain->flavor->read_ongoing()) {
		cubby__report_misuse(CUBBY_MISUSE_NO_SECTION, cache->name,
				     NULL,
				     "cubby_weak_get() outside of a read "
				     "section");
		return false;
	}
#endif
	return true;
}

bool
cubby__weak_strong_usable(struct cubby_cache *cache, const char *call)
{
	if (!cubby__weak_usable(cache, call))
		return false;
	if (likely(cache->weak.is_strong))
		return true;
	report_mode(cache, call);
	return false;
}

/* The address is in no cell of the cache; say where it is instead. */
static COLD void
report_elsewhere(const struct cubby_cache *cache, const void *object,
		 const char *call)
{
	const struct cubby_cache *other = cubby_cache_of(object);

	if (other != NULL && other != cache)
		cubby__report_misuse(CUBBY_MISUSE_NOT_AN_OBJECT, cache->name,
				     object, "%s(): %p is in cache '%s'", call,
				     object, other->name);
	else
		cubby__report_misuse(CUBBY_MISUSE_NOT_AN_OBJECT, cache->name,
				     object, "%s(): %p is in no cell of it",
				     call, object);
}

static COLD void
report_cell(const struct cubby_cache *cache, const void *address,
	    uint64_t cell, const char *call)
{
	const char *object;

	if (cell >= n_cells(cache)) {
		cubby__report_misuse(CUBBY_MISUSE_NOT_AN_OBJECT, cache->name,
				     address,
				     "%s(): %p (cell %zu) was never allocated",
				     call, address, (size_t)cell);
		return;
	}
	object = region_object(&cache->region, cell);
	cubby__report_misuse(CUBBY_MISUSE_NOT_AN_OBJECT, cache->name, address,
			     "%s(): %p is %zd bytes into object %p (cell %zu)",
			     call, address, (const char *)address - object,
			     object, (size_t)cell);
}

bool
cubby__weak_find_cell(struct cubby_cache *cache, const void *object,
		      const char *call, uint64_t *ret_cell)
{
	enum region_answer answer = cubby__region_find(&cache->region, object,
						       ret_cell);

	if (likely(answer == REGION_OBJECT && *ret_cell < n_cells(cache)))
		return true;
	if (answer == REGION_OUTSIDE)
		report_elsewhere(cache, object, call);
	else
		report_cell(cache, object, *ret_cell, call);
	return false;
}

/* ----------------------------- make and follow --------------------------- */

static uint32_t
take(uint32_t *place)
{
	/* Pairs with the acquire of get: what the object holds is visible. */
	if (PLANTED(RELAXED))
		return __atomic_fetch_or(place, WEAK_TAKEN, __ATOMIC_RELAXED);
	return __atomic_fetch_or(place, WEAK_TAKEN, __ATOMIC_RELEASE);
}

/* Counted: the word, with its bit set; 0 if the object is dying. */
static uint32_t
take_strong(const void *object)
{
	uint64_t *place = strong_word(object);
	uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

	while (!(seen & (DYING | TAKEN_IN_HANDLE)))
		if (__atomic_compare_exchange_n(
			    place, &seen, seen | TAKEN_IN_HANDLE, true,
			    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			seen |= TAKEN_IN_HANDLE;
	return seen & DYING ? 0 : (uint32_t)(seen >> 32);
}

/* A cache that is watched knows which cells are free. */
static bool
is_made_of_dead(struct cubby_cache *cache, const void *object, uint64_t cell)
{
	struct report report;

	if (likely(!cubby__debug_is_free(cache, cell)))
		return false;
	cubby__report_open(&report, CUBBY_MISUSE_WEAK_OF_DEAD, cache->name,
			   object,
			   "a handle was to be made of object %p (cell %zu) "
			   "after its free",
			   object, (size_t)cell);
	cubby__finding_history(cache, cell);
	cubby__report_close(&report, true);
	return true;
}

cubby_weak
cubby_weak_of(struct cubby_cache *cache, const void *object)
{
	uint32_t *place, seen;
	uint64_t cell;

	if (unlikely(object == NULL))
		return CUBBY_WEAK_NULL;
	if (!(cache_is_live(cache) && cache->weak.words != NULL &&
	      region_find_in_range(&cache->region, object, &cell) &&
	      cell < n_cells(cache)) &&
	    (!cubby__weak_usable(cache, "cubby_weak_of") ||
	     !cubby__weak_find_cell(cache, object, "cubby_weak_of", &cell)))
		return CUBBY_WEAK_NULL;
	if (cache->weak.is_strong) {
		if (unlikely(is_made_of_dead(cache, object, cell)))
			return CUBBY_WEAK_NULL;
		seen = take_strong(object);
		return seen == 0 ? CUBBY_WEAK_NULL :
				   cubby__weak_encode(cache, cell,
						      weak_generation(seen));
	}
	place = word(cache, cell);
	seen = __atomic_load_n(place, __ATOMIC_RELAXED);
	if (!(seen & WEAK_TAKEN)) {
		if (unlikely(is_made_of_dead(cache, object, cell)))
			return CUBBY_WEAK_NULL;
		seen = take(place);
	}
	return cubby__weak_encode(cache, cell, weak_generation(seen));
}

cubby_weak
cubby_weak_known(struct cubby_cache *cache, const void *object)
{
	uint64_t cell;
	uint32_t seen;

	if (object == NULL || !cubby__weak_usable(cache, "cubby_weak_known") ||
	    !cubby__weak_find_cell(cache, object, "cubby_weak_known", &cell))
		return CUBBY_WEAK_NULL;
	seen = __atomic_load_n(word(cache, cell), __ATOMIC_ACQUIRE);
	return seen & WEAK_TAKEN ?
		       cubby__weak_encode(cache, cell, weak_generation(seen)) :
		       CUBBY_WEAK_NULL;
}

void *
cubby_weak_get(struct cubby_cache *cache, cubby_weak handle)
{
	uint32_t *place, wanted;
	uint64_t cell;

	if (!borrow_usable(cache))
		return NULL;
	place = cubby__weak_find_word(cache, handle, &cell, &wanted);
	if (place == NULL)
		return NULL;
#ifdef __SANITIZE_THREAD__
	/* It knows atomic words by their first byte. */
	if (cache->weak.is_strong)
		(void)__atomic_load_n(
			strong_word(region_object(&cache->region, cell)),
			__ATOMIC_ACQUIRE);
#endif
	if (__atomic_load_n(place, __ATOMIC_ACQUIRE) != wanted)
		return NULL;
	return region_object(&cache->region, cell);
}

void *
cubby__weak_get_1(struct cubby_cache *cache, cubby_weak handle)
{
	return cubby_weak_get(cache, handle);
}

int
cubby_weak_is_live(struct cubby_cache *cache, cubby_weak handle)
{
	uint32_t *place, wanted;
	uint64_t cell;

	if (!cubby__weak_usable(cache, "cubby_weak_is_live"))
		return 0;
	place = cubby__weak_find_word(cache, handle, &cell, &wanted);
	return place != NULL &&
	       __atomic_load_n(place, __ATOMIC_ACQUIRE) == wanted;
}

/* Words of 8 bytes at once, as far as the object's alignment goes. */
static void
copy_atomically(void *to, const char *from, size_t n_bytes)
{
	char *bytes = to;
	size_t i = 0;

	while (i < n_bytes) {
		if (((uintptr_t)from + i) % 8 == 0 && n_bytes - i >= 8) {
			uint64_t whole = __atomic_load_n(
				(const uint64_t *)(const void *)(from + i),
				__ATOMIC_RELAXED);

			memcpy(bytes + i, &whole, sizeof(whole));
			i += sizeof(whole);
		} else {
			bytes[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
			i++;
		}
	}
}

static int
copy_live(struct cubby_cache *cache, cubby_weak handle, void *to,
	  size_t offset_bytes, size_t n_bytes)
{
	uint32_t *place, wanted;
	const char *object;
	uint64_t cell;

	place = cubby__weak_find_word(cache, handle, &cell, &wanted);
	if (place == NULL ||
	    __atomic_load_n(place, __ATOMIC_ACQUIRE) != wanted)
		return -ESTALE;
	object = region_object(&cache->region, cell);
	copy_atomically(to, object + offset_bytes, n_bytes);
	/* Pairs with the fence before a cell is reused, in cubby__death_free(). */
	FENCE(__ATOMIC_ACQUIRE);
	return __atomic_load_n(place, __ATOMIC_RELAXED) == wanted ? 0 :
								    -ESTALE;
}

int
cubby_weak_copy(struct cubby_cache *cache, cubby_weak handle, void *to,
		size_t offset_bytes, size_t n_bytes)
{
	sigset_t saved;
	int err;

	if (!cubby__weak_usable(cache, "cubby_weak_copy"))
		return -ESTALE;
	if (offset_bytes > cache->region.geometry.object_bytes ||
	    n_bytes > cache->region.geometry.object_bytes - offset_bytes)
		return cubby__error_set(
			-EINVAL,
			"cache '%s': %zu bytes from byte %zu on are beyond "
			"the end of an object of %u",
			cache->name, n_bytes, offset_bytes,
			cache->region.geometry.object_bytes);
	if (likely(!cache->region.passes))
		return copy_live(cache, handle, to, offset_bytes, n_bytes);
	/* No block goes back to malloc() meanwhile. */
	cubby__lock_acquire(&cache->lock, &saved);
	err = copy_live(cache, handle, to, offset_bytes, n_bytes);
	cubby__lock_release(&cache->lock, &saved);
	return err;
}

/* -------------------------------- references ----------------------------- */

#if CUBBY_PLANT == CUBBY_PLANT_SPLIT_WORD ||                                  \
	CUBBY_PLANT == CUBBY_PLANT_ADD_UNDO
static void *
upgrade(struct cubby_cache *cache, void *object, uint64_t plain)
{
	uint64_t *place = strong_word(object);
	uint64_t seen = PLANTED(ADD_UNDO) ?
				__atomic_fetch_add(place, 1,
						   __ATOMIC_ACQUIRE) :
				__atomic_load_n(place, __ATOMIC_ACQUIRE);

	PLANT_DELAY(SPLIT_WORD);
	if (seen >> 32 == plain >> 32) {
		if (PLANTED(SPLIT_WORD))
			__atomic_fetch_add(place, 1, __ATOMIC_ACQUIRE);
		return object;
	}
	PLANT_DELAY(ADD_UNDO);
	if (PLANTED(ADD_UNDO))
		cubby_ref_put(cache, object);
	return NULL;
}
#else
static void *
upgrade(struct cubby_cache *cache UNUSED, void *object, uint64_t plain)
{
	uint64_t *place = strong_word(object);
	uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

	/* One word: W4. */
	do {
		if (seen >> 32 != plain >> 32 || (seen & HOLDS) >= HOLDS_MAX)
			return NULL;
	} while (!__atomic_compare_exchange_n(place, &seen, seen + 1, true,
					      __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	return object;
}
#endif

void *
cubby_weak_upgrade(struct cubby_cache *cache, cubby_weak handle)
{
	uint32_t wanted;
	uint64_t cell;

	if (!cubby__weak_strong_usable(cache, "cubby_weak_upgrade") ||
	    cubby__weak_find_word(cache, handle, &cell, &wanted) == NULL)
		return NULL;
	return upgrade(cache, region_object(&cache->region, cell),
		       (uint64_t)wanted << 32);
}

void *
cubby__weak_upgrade_1(struct cubby_cache *cache, cubby_weak handle)
{
	return cubby_weak_upgrade(cache, handle);
}

void *
cubby_ref_get(struct cubby_cache *cache, void *object)
{
	uint64_t seen, cell, *place;

	if (object == NULL ||
	    !cubby__weak_strong_usable(cache, "cubby_ref_get") ||
	    !cubby__weak_find_cell(cache, object, "cubby_ref_get", &cell))
		return NULL;
	place = strong_word(object);
	seen = __atomic_load_n(place, __ATOMIC_RELAXED);
	do {
		if ((seen & HOLDS) >= HOLDS_MAX)
			return NULL;
	} while (!__atomic_compare_exchange_n(place, &seen, seen + 1, true,
					      __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return object;
}
