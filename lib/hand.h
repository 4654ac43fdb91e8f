/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: hand - a block of a cache in use by an exchange
 *
 * One set of words for both front ends.
 *
 *	            per CPU                         per thread
 *	enter       counted in, gated               bracket, gate read inside
 *	block       of the CPU, at each step anew   of the thread
 *	a step      one sequence (rseq.h)           plain loads and stores
 *	may fail    by another thread or a handler  never
 *	leave       counted off                     end of the bracket
 *
 * An exchange is written for the harder of the two: what hand_read() saw may
 * have changed when hand_replace() comes, which then fails, and what the
 * exchange has in hand it must put somewhere else.
 */
#ifndef CUBBY__HAND_H
#define CUBBY__HAND_H

#include "cache.h"
#include "percpu.h"
#include "rseq.h"

struct hand {
	struct cubby_cache *cache;
	const uint64_t *gate; /* per CPU: where it is read */
	struct percpu_slot *slot;
	struct stripe *stripe; /* per thread; NULL: per CPU */
	struct block *block;
	uint64_t early_gate; /* of a planted bug */
};

/* The words of a block that an exchange changes. */
enum hand_word {
	HAND_LOADED = offsetof(struct block, loaded),
	HAND_PREVIOUS = offsetof(struct block, previous),
	HAND_DEFERRED = offsetof(struct block, deferred)
};

static const uint32_t hand_full_mask = FULL_MASK_OPEN;

static inline uint64_t
hand_gate(const struct hand *hand)
{
	return __atomic_load_n(hand->gate, __ATOMIC_ACQUIRE);
}

static inline void
hand_leave(const struct hand *hand)
{
	if (hand->stripe != NULL)
		stripe_leave(hand->stripe);
	else
		cubby__percpu_leave(hand->slot, &hand->cache->front.opened,
				    &hand->cache->front.n_in_hand_rest);
}

static inline bool
hand_enter_thread(struct hand *hand)
{
	struct stripe *stripe = cubby__stripe_mine();
	uint64_t gate = PLANTED(NO_RECHECK) ? hand_gate(hand) : 0;

	PLANT_DELAY(NO_RECHECK);
	/* It is busy if this is a handler in the thread's own bracket. */
	if (stripe == NULL || !stripe_enter(stripe))
		return false;
	if (!PLANTED(NO_RECHECK))
		gate = hand_gate(hand);
	if (stripe->n_blocks <= gate / BLOCK_BYTES)
		stripe->n_blocks = (uint32_t)gate / BLOCK_BYTES + 1;
	hand->stripe = stripe;
	hand->block = stripe_block(stripe, (uint32_t)gate);
	if (gate != 0)
		return true;
	stripe_leave(stripe);
	return false;
}

/*
 * Begin an exchange: false, and none has begun, if the gate is closed or this
 * thread cannot have one now.
 * @gate: of the cache: front.gate, or front.free_gate for a free.
 */
static inline bool
hand_enter(struct hand *hand, struct cubby_cache *cache, const uint64_t *gate)
{
	*hand = (struct hand){ .cache = cache, .gate = gate };
	if (!cubby__percpu_works)
		return hand_enter_thread(hand);
	if (PLANTED(GATE_OUTSIDE)) {
		hand->early_gate = hand_gate(hand);
		hand->gate = &hand->early_gate;
		PLANT_DELAY(GATE_OUTSIDE);
	}
	hand->slot = cubby__percpu_enter(hand->gate, cache->id,
					 &cache->front.n_in_hand_rest);
	return hand->slot != NULL;
}

/* A word of the block as it is now; another CPU's if we migrate. */
static inline uint64_t
hand_read(const struct hand *hand, enum hand_word word)
{
	if (hand->stripe == NULL)
		return cubby__percpu_read(hand->gate, word);
	return block_get((uint64_t *)((char *)hand->block + word));
}

/*
 * Make a word `with` if it is still what was seen.  A magazine that leaves is
 * told its cursor before (M3).
 */
static inline bool
hand_replace(const struct hand *hand, enum hand_word word, uint64_t seen,
	     uint64_t with)
{
	uint64_t none;
	uint64_t *note = seen == 0 ?
				 &none :
				 &magazine(magazine_of_cursor(seen))->cursor;

	if (hand->stripe == NULL && PLANTED(NO_COMPARE)) {
		PLANT_DELAY(NO_COMPARE);
		return rseq_replace(hand->gate, &cubby__front_closed,
				    &cubby__percpu_n_stripes, word,
				    hand_read(hand, word), with, note);
	}
	if (hand->stripe == NULL)
		return rseq_replace(hand->gate, &cubby__front_closed,
				    &cubby__percpu_n_stripes, word, seen, with,
				    note);
	__atomic_store_n(note, seen, __ATOMIC_RELAXED);
	block_set((uint64_t *)((char *)hand->block + word), with);
	return true;
}

/* Put a magazine into a word that was seen: false if that has changed. */
static inline bool
hand_put(const struct hand *hand, enum hand_word word, uint64_t seen,
	 uint32_t number, enum magazine_state state)
{
	uint64_t cursor = magazine_cursor_of(number);

	magazine(number)->cursor = cursor;
	__atomic_signal_fence(__ATOMIC_RELEASE); /* M3 */
	magazine_set_state(magazine(number), state);
	if (hand_replace(hand, word, seen, cursor))
		return true;
	magazine_set_state(magazine(number), MAGAZINE_IN_FLIGHT);
	return false;
}

/* A cell of the loaded magazine, or NULL. */
static inline void *
hand_pop(const struct hand *hand)
{
	void *object;

	if (hand->stripe != NULL)
		return block_pop(hand->block, hand->stripe->magazines);
	return cubby__rseq_pop(hand->gate, &object) ? object : NULL;
}

/* A cell into the loaded magazine: false if that is full. */
static inline bool
hand_push(const struct hand *hand, void *object)
{
	if (hand->stripe != NULL)
		return block_push(hand->block, hand->stripe->magazines,
				  FULL_MASK_OPEN, object);
	return cubby__rseq_push(hand->gate, &hand_full_mask, object);
}

/* The same into the sheaf. */
static inline bool
hand_push_deferred(const struct hand *hand, void *object)
{
	if (hand->stripe != NULL)
		return block_push_to(&hand->block->deferred,
				     hand->stripe->magazines, FULL_MASK_OPEN,
				     object);
	return rseq_push_deferred(hand->gate, &hand_full_mask, object);
}

/* The same for as many of n as there are, or as there is room: how many. */
static inline size_t
hand_pop_many(const struct hand *hand, size_t n, void **objects)
{
	if (hand->stripe != NULL)
		return block_pop_many(hand->block, n, objects);
	return rseq_pop_many(hand->gate, n, objects);
}

static inline size_t
hand_push_many(const struct hand *hand, size_t n, void *const *objects)
{
	if (hand->stripe != NULL)
		return block_push_many(hand->block, n, objects);
	return rseq_push_many(hand->gate, &hand_full_mask, n, objects);
}

#endif /* CUBBY__HAND_H */
