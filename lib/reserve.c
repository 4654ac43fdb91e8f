/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: reserve - cells that are set aside for one thread
 *
 * A reserve is an array of objects, lowest on top, in a mapping of its own:
 *
 *	+----------------------+---------------------------+
 *	| struct cubby_reserve | objects[n_most]           |
 *	+----------------------+---------------------------+
 *
 * Its owner pops without a lock.  A quiescing thread reads `count` after its
 * fence; the store is sequentially consistent, so a pop that is over before
 * the fence is seen.
 */
#include "bits.h"
#include "cache.h"
#include "error.h"
#include "os.h"

#include <errno.h>

/* Objects that refill gets at a time. */
#define BATCH_OBJECTS 64

struct cubby_reserve {
	struct cubby_cache *cache;
	struct cubby_reserve *next, **link; /* under the slab lock */
	uint64_t mapped_bytes;
	uint64_t n_most;
	uint64_t count;
	void *objects[];
};

static uint64_t
count_of(const struct cubby_reserve *reserve)
{
	return __atomic_load_n(&reserve->count, __ATOMIC_SEQ_CST);
}

static void
set_count(struct cubby_reserve *reserve, uint64_t count)
{
	__atomic_store_n(&reserve->count, count, __ATOMIC_SEQ_CST);
}

uint64_t
cubby__reserve_count(const struct cubby_cache *cache)
{
	const struct cubby_reserve *reserve = cache->front.reserves;
	uint64_t n = 0;

	for (; reserve != NULL; reserve = reserve->next)
		n += count_of(reserve);
	return n;
}

void
cubby__reserve_for_each(struct cubby_cache *cache,
			void (*visit)(void *context, const void *object),
			void *context)
{
	const struct cubby_reserve *reserve = cache->front.reserves;

	for (; reserve != NULL; reserve = reserve->next) {
		uint64_t n = count_of(reserve);

		for (uint64_t i = 0; i < n; i++) {
			const void *object = __atomic_load_n(
				&reserve->objects[i], __ATOMIC_RELAXED);

			if (object != NULL) /* it is being popped */
				visit(context, object);
		}
	}
}

static void
link_reserve(struct cubby_reserve *reserve)
{
	struct front *front = &reserve->cache->front;
	sigset_t saved;

	cubby__lock_acquire(&reserve->cache->lock, &saved);
	reserve->next = front->reserves;
	reserve->link = &front->reserves;
	if (front->reserves != NULL)
		front->reserves->link = &reserve->next;
	front->reserves = reserve;
	front->n_reserves++;
	cubby__lock_release(&reserve->cache->lock, &saved);
}

static void
unlink_reserve(struct cubby_reserve *reserve)
{
	sigset_t saved;

	cubby__lock_acquire(&reserve->cache->lock, &saved);
	*reserve->link = reserve->next;
	if (reserve->next != NULL)
		reserve->next->link = reserve->link;
	reserve->cache->front.n_reserves--;
	cubby__lock_release(&reserve->cache->lock, &saved);
}

static int
populate(const struct cubby_cache *cache, size_t n, void *const *objects)
{
	const struct geometry *geometry = &cache->region.geometry;
	uint64_t page_bytes = cubby__os_page_bytes();
	uintptr_t low = 0, high = 0; /* what was populated last */

	for (size_t i = 0; i < n; i++) {
		uintptr_t cell = (uintptr_t)objects[i] -
				 geometry->prefix_bytes;
		uintptr_t start = align_down(cell, page_bytes);
		uintptr_t end = align_up(cell + geometry->cell_bytes,
					 page_bytes);
		int err;

		if (start >= low && end <= high)
			continue; /* in the page of its neighbour */
		err = cubby__os_populate((void *)start, end - start);
		if (err)
			return err;
		low = start;
		high = end;
	}
	return 0;
}

/* Get n more, the lowest of them on top: 0 or -ENOMEM and unchanged. */
static int
add(struct cubby_reserve *reserve, size_t n)
{
	void **places = &reserve->objects[reserve->count];
	int err = cubby__direct_reserve(reserve->cache, n, places,
					&reserve->count);

	if (err)
		return err;
	err = populate(reserve->cache, n, places);
	if (err) {
		cubby__direct_unreserve(reserve->cache, n, places,
					&reserve->count);
		return err;
	}
	return 0;
}

static int
fill(struct cubby_reserve *reserve, size_t n_objects)
{
	uint64_t had = reserve->count;
	int err = 0;

	while (!err && reserve->count < n_objects)
		err = add(reserve,
			  min_u64(n_objects - reserve->count, BATCH_OBJECTS));
	if (err)
		cubby__direct_unreserve(reserve->cache, reserve->count - had,
					&reserve->objects[had],
					&reserve->count);
	if (err)
		cubby__error_set(err,
				 "cache '%s': %zu objects cannot be set "
				 "aside: no memory, a limit was reached, or "
				 "init refused",
				 reserve->cache->name, n_objects);
	return err;
}

int
cubby_reserve_create(struct cubby_reserve **ret_reserve,
		     struct cubby_cache *cache, size_t n_objects)
{
	struct cubby_reserve *reserve;
	uint64_t bytes;
	void *memory;
	int err;

	if (ret_reserve == NULL)
		return cubby__error_set(-EINVAL, "ret_reserve is NULL");
	err = cubby__usable_or_error(cache, "cubby_reserve_create");
	if (err)
		return err;
	if (n_objects == 0 || n_objects > CELLS_MAX)
		return cubby__error_set(
			-EINVAL, "n_objects is %zu: a reserve holds 1 to %zu",
			n_objects, (size_t)CELLS_MAX);
	bytes = sizeof(*reserve) + n_objects * sizeof(void *);
	if (cubby__os_map(bytes, &memory) != 0)
		return cubby__error_set(
			-ENOMEM, "cache '%s': no memory for a reserve of %zu",
			cache->name, n_objects);
	reserve = memory;
	reserve->cache = cache;
	reserve->mapped_bytes = bytes;
	reserve->n_most = n_objects;
	link_reserve(reserve);
	err = fill(reserve, n_objects);
	if (err) {
		cubby_reserve_destroy(reserve);
		return err;
	}
	*ret_reserve = reserve;
	return 0;
}

void *
cubby_reserve_alloc(struct cubby_reserve *reserve)
{
	uint64_t n = reserve->count;
	void *object;

	if (n == 0)
		return NULL;
	object = reserve->objects[n - 1];
	if (cubby__alloc_stages(reserve->cache, 1, &object, false) != 1)
		return NULL;
	set_count(reserve, n - 1);
	/* memcheck's search for lost objects would find it there. */
	if (unlikely(reserve->cache->debug != NULL))
		__atomic_store_n(&reserve->objects[n - 1], NULL,
				 __ATOMIC_RELAXED);
	return object;
}

size_t
cubby_reserve_count(const struct cubby_reserve *reserve)
{
	return reserve->count;
}

int
cubby_reserve_refill(struct cubby_reserve *reserve, size_t n_objects)
{
	if (n_objects > reserve->n_most)
		return cubby__error_set(
			-EINVAL,
			"a reserve that was created for %zu objects cannot "
			"hold %zu",
			(size_t)reserve->n_most, n_objects);
	return fill(reserve, n_objects);
}

void
cubby_reserve_destroy(struct cubby_reserve *reserve)
{
	if (reserve == NULL)
		return;
	cubby__direct_unreserve(reserve->cache, reserve->count,
				reserve->objects, &reserve->count);
	unlink_reserve(reserve);
	cubby__os_unmap(reserve, reserve->mapped_bytes);
}
