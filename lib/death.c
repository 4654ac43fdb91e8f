/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: death - how the life of an object ends, in caches with handles or a
 * flavour of RCU
 */
#include "death.h"

#include "bits.h"
#include "cache.h"
#include "debug.h"
#include "defer.h"
#include "hand.h"
#include "report.h"
#include "watch.h"
#include "weak.h"

#include <errno.h>

/* What is compiled into programs is a function here. */
#undef cubby_ref_put

MISUSE_ROW(CUBBY_MISUSE_REF_UNDERFLOW, "ref-underflow",
	   "put each reference once");
MISUSE_ROW(CUBBY_MISUSE_WEAK_OF_DEAD, "weak-of-dead",
	   "who does not own an object asks cubby_weak_known()");

/* -------------------------------- last steps ----------------------------- */

/* As of corruption, debug builds tell of it at once, whatever lock is held. */
static COLD void
report_made_of_dead(struct cubby_cache *cache, const void *object,
		    uint64_t cell)
{
#ifdef CUBBY_DEBUG
	cubby__report_misuse(CUBBY_MISUSE_WEAK_OF_DEAD, cache->name, object,
			     "a handle was made of object %p (cell %zu) after "
			     "its free",
			     object, (size_t)cell);
#else
	(void)cache, (void)object, (void)cell;
#endif
}

bool
cubby__death_settle(struct cubby_cache *cache, void *object, uint64_t cell)
{
	uint32_t seen, word;

	if (!words_exist(&cache->slabs.words))
		return true;
	seen = __atomic_load_n(word_of(&cache->slabs.words, cell),
			       __ATOMIC_RELAXED);
	word = seen;
	if (unlikely(word & WEAK_TAKEN)) {
		if (!PLANTED(LATE_BUMP))
			report_made_of_dead(cache, object, cell);
		word = weak_next_word(word);
	}
	if (cache->weak.is_strong)
		__atomic_store_n(strong_word(object), (uint64_t)word << 32,
				 __ATOMIC_RELAXED);
	else if (unlikely(word != seen))
		__atomic_store_n(word_of(&cache->slabs.words, cell), word,
				 __ATOMIC_RELAXED);
	if (likely(!weak_is_retired(word)))
		return true;
	__atomic_add_fetch(&cache->weak.n_retired, 1,
			   __ATOMIC_RELAXED); /* W5 */
	return false;
}

/* The cell goes to a magazine, or by the lock. */
static void
give(struct cubby_cache *cache, void *object, uint64_t cell)
{
	if (cache->debug != NULL)
		cubby__debug_release(cache, object, cell);
	if (cubby__death_settle(cache, object, cell) &&
	    !cubby__debug_keep(cache, object) &&
	    !cubby__front_free(cache, object))
		cubby__direct_give(cache, object);
}

/* Pairs with the fence of cubby_weak_copy(). */
static void
word_before_contents(void)
{
	FENCE(__ATOMIC_RELEASE);
}

void
cubby__death_finish(struct cubby_cache *cache, void *object, uint64_t cell)
{
	word_before_contents();
	if (cache->dtor != NULL)
		cache->dtor(object, cache->context);
	give(cache, object, cell);
}

/*
 * In a cache without magazines every cell that is used is an object, and a
 * second free of it is found before dtor could run on it twice.
 */
static bool
claim(struct cubby_cache *cache, const void *object)
{
	sigset_t saved;
	uint64_t cell;
	bool live;

	cubby__lock_acquire(&cache->lock, &saved);
	live = cubby__direct_check(cache, object, &cell) == FREE_OK;
	if (live && cache->dying != NULL)
		cell_side_set(cache->dying, cell);
	cubby__lock_release(&cache->lock, &saved);
	return live;
}

/* Nobody has a handle, but a walker may be looking. */
static void
end_seen_by_walks(struct cubby_cache *cache, void *object, uint64_t cell)
{
	if (cache->dying == NULL) {
		cubby__death_settle(cache, object, cell);
		if (!cubby__front_free(cache, object))
			cubby__direct_free(cache, 1, &object);
		return;
	}
	/* Without magazines claim() has set it, but for who puts references. */
	if (unlikely(cell_side_claim(cache->dying, cell)) &&
	    cache->front.block != 0) {
		cubby__usable_report_now(cache, object, cell, FREE_NOT_LIVE);
		return;
	}
	PLANT_DELAY(NO_WALK_GATE);
	if (__atomic_load_n(&cache->n_walks, __ATOMIC_SEQ_CST) != 0 &&
	    !PLANTED(NO_WALK_GATE)) {
		cubby__defer_odd(cache, object);
		return;
	}
	if (cache->dtor != NULL)
		cache->dtor(object, cache->context);
	give(cache, object, cell);
}

/* -------------------------------- first steps ---------------------------- */

static COLD void
report_dead(struct cubby_cache *cache, const void *object, uint64_t cell)
{
	uint64_t word = cache->weak.is_strong ?
				__atomic_load_n(strong_word(object),
						__ATOMIC_RELAXED) :
				0;

	if ((word & DYING) && (word & HOLDS) != 0)
		cubby__report_misuse(
			CUBBY_MISUSE_DOUBLE_FREE, cache->name, object,
			"object %p (cell %zu) was freed already, and exists "
			"by %zu reference%s, which cubby_ref_put() ends",
			object, (size_t)cell, (size_t)(word & HOLDS),
			(word & HOLDS) == 1 ? "" : "s");
	else
		cubby__usable_report_now(cache, object, cell, FREE_NOT_LIVE);
}

/*
 * End a life whose word is in the side array, and was `seen` with its bit set:
 * false if somebody else does.
 */
static bool
end_side(struct cubby_cache *cache, uint64_t cell, uint32_t seen)
{
	if (PLANTED(LATE_BUMP))
		return true;
	return __atomic_compare_exchange_n(word_of(&cache->slabs.words, cell),
					   &seen, weak_next_word(seen), false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Nobody has a handle, and dtor is not to run. */
static bool
push_quickly(struct cubby_cache *cache, void *object)
{
	return cubby__rseq_push(&cache->front.free_gate, &hand_full_mask,
				object);
}

static void
after_end_side(struct cubby_cache *cache, void *object, uint64_t cell,
	       uint32_t seen)
{
	int saved_errno;

	if (unlikely(cubby__watch_exists(cache)))
		cubby__watch_expire(cache, object, cell,
				    cubby__weak_encode(cache, cell,
						       weak_generation(seen)));
	if (cache->weak.mode == CUBBY_WEAK_RCU) {
		if (unlikely(weak_generation(seen) + 1 == GENERATION_LAST))
			cubby__defer_odd(cache, object);
		else
			cubby__defer(cache, object);
		return;
	}
	word_before_contents();
	if (cache->weak.is_quick && cache->dtor == NULL &&
	    weak_generation(seen) + 1 != GENERATION_LAST &&
	    push_quickly(cache, object))
		return;
	saved_errno = errno;
	cubby__death_finish(cache, object, cell);
	errno = saved_errno;
}

static void
free_side(struct cubby_cache *cache, void *object, uint64_t cell, bool waits)
{
	uint32_t seen = __atomic_load_n(word_of(&cache->slabs.words, cell),
					__ATOMIC_RELAXED);

	if (seen & WEAK_TAKEN) {
		if (unlikely(!end_side(cache, cell, seen)))
			report_dead(cache, object, cell);
		else
			after_end_side(cache, object, cell, seen);
	} else if (unlikely(weak_is_retired(seen))) {
		report_dead(cache, object, cell);
	} else if (waits) {
		cubby__defer(cache, object);
	} else if (cache->defer.domain != NULL) {
		end_seen_by_walks(cache, object, cell);
	} else {
		cubby__death_finish(cache, object, cell);
	}
}

/* A counted object is dead and nobody holds it. */
static void
finish_strong(struct cubby_cache *cache, void *object, uint64_t cell)
{
	if (cache->weak.mode == CUBBY_WEAK_RCU)
		cubby__defer_odd(cache, object);
	else
		cubby__death_finish(cache, object, cell);
}

/*
 * The word of a counted object whose life ends: its own reference becomes a
 * hold of who ends it.
 */
static uint64_t
dying_word(uint64_t seen)
{
	uint32_t high = (uint32_t)(seen >> 32);

	if (high & WEAK_TAKEN)
		high = weak_next_word(high);
	return (uint64_t)high << 32 | DYING | ((seen & HOLDS) + 1);
}

/* The first step was ours; the word was `seen`. */
static void
after_end_strong(struct cubby_cache *cache, void *object, uint64_t cell,
		 uint64_t seen, bool waits)
{
	bool calls;

	if (unlikely(cache->debug != NULL))
		cubby__debug_claim(cache, cell); /* if nobody has yet */
	if (cache->weak.mode == CUBBY_WEAK_RCU && !waits &&
	    (seen & (TAKEN_IN_HANDLE | HOLDS)) == 0) {
		end_seen_by_walks(cache, object, cell);
		return;
	}
	calls = (seen & TAKEN_IN_HANDLE) && cubby__watch_exists(cache);
	if (calls)
		cubby__watch_expire(
			cache, object, cell,
			cubby__weak_encode(
				cache, cell,
				weak_generation((uint32_t)(seen >> 32))));
	/*
	 * If nobody held it, nobody can come to hold it now, but in a call.
	 * Else acquire what those did who have put theirs; so does
	 * cubby_ref_put().
	 */
	if ((seen & HOLDS) == 0 && !calls)
		__atomic_store_n(strong_word(object), dying_word(seen) - 1,
				 __ATOMIC_RELAXED);
	else if ((__atomic_sub_fetch(strong_word(object), 1,
				     __ATOMIC_ACQ_REL) &
		  HOLDS) != 0)
		return; /* who puts the last one goes on */
	finish_strong(cache, object, cell);
}

/* @wanted: of a handle, or 0: whatever lives there. */
static bool
end_strong(struct cubby_cache *cache, void *object, uint64_t cell,
	   uint32_t wanted, bool waits)
{
	uint64_t *place = strong_word(object);
	uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

	do {
		if ((seen & DYING) ||
		    weak_is_retired((uint32_t)(seen >> 32)) ||
		    (wanted != 0 && (uint32_t)(seen >> 32) != wanted))
			return false;
	} while (!__atomic_compare_exchange_n(place, &seen, dying_word(seen),
					      true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	after_end_strong(cache, object, cell, seen, waits);
	return true;
}

bool
cubby__death_free_quickly(struct cubby_cache *cache, void *object)
{
	uint32_t seen = 0;
	uint64_t cell;

	if (!cache_is_live(cache) || !cache->weak.is_quick ||
	    !region_find_in_range(&cache->region, object, &cell) ||
	    cell >= __atomic_load_n(&cache->slabs.n_cells, __ATOMIC_RELAXED))
		return false;
	if (cache->weak.is_strong) {
		int saved_errno = errno;

		if (unlikely(!end_strong(cache, object, cell, 0, false)))
			report_dead(cache, object, cell);
		errno = saved_errno;
		return true;
	}
	if (cache->weak.words != NULL)
		seen = __atomic_load_n(word_of(&cache->slabs.words, cell),
				       __ATOMIC_RELAXED);
	if (!(seen & WEAK_TAKEN))
		return cache->dtor == NULL && !weak_is_retired(seen) &&
		       push_quickly(cache, object);
	if (unlikely(!end_side(cache, cell, seen)))
		report_dead(cache, object, cell);
	else
		after_end_side(cache, object, cell, seen);
	return true;
}

/* ---------------------------------- calls -------------------------------- */

/* The cell of an object that is freed; false, and misuse is reported. */
static bool
find_cell(struct cubby_cache *cache, const void *object, uint64_t *ret_cell)
{
	enum free_fault fault;

	if (likely(region_find_in_range(&cache->region, object, ret_cell) &&
		   *ret_cell < __atomic_load_n(&cache->slabs.n_cells,
					       __ATOMIC_RELAXED)))
		return true;
	fault = cubby__direct_find(cache, object, ret_cell);
	if (fault != FREE_OK)
		cubby__usable_report_now(cache, object, *ret_cell, fault);
	return fault == FREE_OK;
}

void
cubby__death_free(struct cubby_cache *cache, void *object, bool waits)
{
	uint64_t cell;

	if (!find_cell(cache, object, &cell))
		return;
	if (unlikely(cache->debug != NULL &&
		     !cubby__debug_claim(cache, cell))) {
		report_dead(cache, object, cell);
		return;
	}
	if (unlikely(cache->front.block == 0 && !claim(cache, object))) {
		report_dead(cache, object, cell);
		return;
	}
	if (cache->weak.is_strong) {
		if (unlikely(!end_strong(cache, object, cell, 0, waits)))
			report_dead(cache, object, cell);
	} else if (words_exist(&cache->slabs.words)) {
		free_side(cache, object, cell, waits);
	} else if (waits) {
		cubby__defer(cache, object);
	} else {
		end_seen_by_walks(cache, object, cell);
	}
}

int
cubby_weak_free(struct cubby_cache *cache, cubby_weak handle)
{
	int saved_errno = errno;
	uint32_t *place, wanted;
	uint64_t cell;
	void *object;
	bool ended;

	if (!cubby__weak_usable(cache, "cubby_weak_free"))
		return -ESTALE;
	place = cubby__weak_find_word(cache, handle, &cell, &wanted);
	if (place == NULL ||
	    __atomic_load_n(place, __ATOMIC_RELAXED) != wanted)
		return -ESTALE;
	object = region_object(&cache->region, cell);
	if (cache->weak.is_strong) {
		ended = end_strong(cache, object, cell, wanted, false);
	} else {
		ended = end_side(cache, cell, wanted);
		if (ended && cache->debug != NULL)
			cubby__debug_claim(cache, cell);
		if (ended)
			after_end_side(cache, object, cell, wanted);
	}
	errno = saved_errno;
	return ended ? 0 : -ESTALE;
}

void
cubby_free_rcu(struct cubby_cache *cache, void *object)
{
	int saved_errno = errno;

	if (object == NULL || !cubby__usable(cache, "cubby_free_rcu"))
		return;
	if (cache->defer.domain == NULL) {
		cubby__report_misuse(CUBBY_MISUSE_WEAK_MODE, cache->name,
				     object,
				     "cubby_free_rcu() on a cache without a "
				     "flavour of RCU");
		return;
	}
	cubby__death_free(cache, object, true);
	errno = saved_errno;
}

#ifdef __SANITIZE_THREAD__
/* It knows an atomic word by its first byte, and so no half of one. */
static int32_t
drop(void *object)
{
	uint64_t *place = strong_word(object);
	uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(
		place, &seen,
		(seen & ~(uint64_t)UINT32_MAX) | (uint32_t)(seen - 1), true,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return (int32_t)seen;
}
#else
static int32_t
drop(void *object)
{
	return __atomic_fetch_sub((int32_t *)object - 2, 1, __ATOMIC_RELEASE);
}
#endif

static COLD void
report_underflow(struct cubby_cache *cache, void *object, uint64_t cell)
{
	__atomic_add_fetch((int32_t *)object - 2, 1, __ATOMIC_RELAXED);
	cubby__report_misuse(CUBBY_MISUSE_REF_UNDERFLOW, cache->name, object,
			     "object %p (cell %zu) is dead, and its "
			     "references are put already",
			     object, (size_t)cell);
}

/* A put that has lowered the low half from `had`, which was not above 0. */
static void
after_put(struct cubby_cache *cache, void *object, uint64_t cell, int32_t had)
{
	uint64_t *place = strong_word(object);
	uint32_t holds = (uint32_t)had & HOLDS;
	uint64_t seen;

	if (had == 0) {
		/* All ones now: nobody else changes it, and we end the life. */
		seen = __atomic_load_n(place, __ATOMIC_RELAXED) &
		       ~(uint64_t)UINT32_MAX;
		if (unlikely(cubby__debug_is_free(cache, cell))) {
			__atomic_store_n(place, seen, __ATOMIC_RELAXED);
			report_dead(cache, object, cell);
			return;
		}
		__atomic_exchange_n(place, dying_word(seen), __ATOMIC_SEQ_CST);
		after_end_strong(cache, object, cell, seen, false);
	} else if (holds == 0) {
		report_underflow(cache, object, cell);
	} else if (holds == 1) {
		/* What those did who have put theirs: the put only releases. */
		(void)__atomic_load_n(place, __ATOMIC_ACQUIRE);
		finish_strong(cache, object, cell);
	}
}

void
cubby__ref_put_1(struct cubby_cache *cache, void *object, int32_t had)
{
	int saved_errno = errno;
	uint64_t cell;

	if (cubby__weak_find_cell(cache, object, "cubby_ref_put", &cell))
		after_put(cache, object, cell, had);
	errno = saved_errno;
}

void
cubby_ref_put(struct cubby_cache *cache, void *object)
{
	uint64_t cell;
	int32_t had;

	if (object == NULL ||
	    !cubby__weak_strong_usable(cache, "cubby_ref_put") ||
	    !cubby__weak_find_cell(cache, object, "cubby_ref_put", &cell))
		return;
	had = drop(object);
	if (had <= 0)
		cubby__ref_put_1(cache, object, had);
}
