/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: quick - the fast way of an allocation and of a free
 *
 * One text for alloc.c and for the malloc of lib/preload.  alloc.c says what
 * falls out of it, and where to.
 */
#ifndef CUBBY__QUICK_H
#define CUBBY__QUICK_H

#include "cache.h"
#include "hand.h"

static inline uint32_t
quick_published(const struct cubby_cache *cache)
{
	return __atomic_load_n(&cache->fast.thread_gate, __ATOMIC_ACQUIRE);
}

/* Per thread: enter the bracket and pass the gate; NULL, and no bracket. */
static ALWAYS_INLINE struct block *
quick_enter(struct stripe *stripe, const struct cubby_cache *cache)
{
	uint32_t gate = 0;

	if (unlikely(stripe == NULL))
		return NULL;
	if (PLANTED(NO_RECHECK))
		gate = quick_published(cache);
	PLANT_DELAY(NO_RECHECK);
	if (unlikely(!stripe_enter_unfenced(stripe)))
		return NULL;
	if (!PLANTED(NO_RECHECK))
		gate = quick_published(cache);
	return stripe_block(stripe, gate);
}

/* Per CPU: where the gate is read.  A planted bug has read it already. */
static ALWAYS_INLINE const uint64_t *
quick_gate_of(const struct cubby_cache *cache, uint64_t *early)
{
	if (!PLANTED(GATE_OUTSIDE))
		return &cache->fast.gate;
	*early = __atomic_load_n(&cache->fast.gate, __ATOMIC_RELAXED);
	PLANT_DELAY(GATE_OUTSIDE);
	return early;
}

/* The fast way: false if there is no object. */
static ALWAYS_INLINE bool
quick_pop(struct cubby_cache *cache, void **ret_object)
{
	struct stripe *stripe;
	struct block *block;
	uint64_t early;

	if (likely(cubby__percpu_works))
		return cubby__rseq_pop(quick_gate_of(cache, &early),
				       ret_object);
	stripe = cubby__my_stripe;
	block = quick_enter(stripe, cache);
	if (unlikely(block == NULL))
		return false;
	*ret_object = block_pop(block, stripe->magazines);
	stripe_leave(stripe);
	return *ret_object != NULL;
}

/* The fast way: false if the object is still to be freed. */
static ALWAYS_INLINE bool
quick_push(struct cubby_cache *cache, void *object)
{
	struct stripe *stripe;
	struct block *block;
	uint64_t early;
	bool pushed;

	if (likely(cubby__percpu_works))
		return cubby__rseq_push(quick_gate_of(cache, &early),
					&cache->fast.full_mask, object);
	stripe = cubby__my_stripe;
	block = quick_enter(stripe, cache);
	if (unlikely(block == NULL))
		return false;
	pushed = block_push(block, stripe->magazines,
			    __atomic_load_n(&cache->fast.full_mask,
					    __ATOMIC_RELAXED),
			    object);
	stripe_leave(stripe);
	return pushed;
}

#endif /* CUBBY__QUICK_H */
