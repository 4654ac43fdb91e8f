/* SPDX-License-Identifier: MIT */
/* LAYER 5: watch - calls when an object dies */
#include "watch.h"

#include "bits.h"
#include "cache.h"
#include "error.h"
#include "weak.h"

#include <errno.h>

#define KNOWN_FLAGS CUBBY_WATCH_FINALIZER

struct watch {
	struct cubby_cache *cache;
	cubby_expire_fn expired;
	void *context;
	uint64_t flags;
	uint32_t next; /* number of its cell, and 1 */
	uint32_t cell; /* that is watched */
	uint64_t is_linked;
};

/* Made once, by one of several threads. */
static struct cubby_cache *made_once;

static struct cubby_cache *
watches(void)
{
	return __atomic_load_n(&made_once, __ATOMIC_ACQUIRE);
}

/* Also by the first of several threads that want it at once. */
static int
make_watches(void)
{
	struct cubby_cache *made, *none = NULL;
	int err;

	if (watches() != NULL)
		return 0;
	err = cubby_cache_create_sized(
		&made, "cubby-watches", sizeof(struct watch), 0,
		&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE));
	if (err)
		return err;
	if (!__atomic_compare_exchange_n(&made_once, &none, made, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		err = cubby_cache_destroy(made);
	return err;
}

static uint32_t
number_of(const struct watch *watch)
{
	uint64_t cell;

	cubby__region_find(&watches()->region, watch, &cell);
	return (uint32_t)cell + 1;
}

static struct watch *
watch_of(uint32_t number)
{
	return number != 0 ? region_object(&watches()->region, number - 1) :
			     NULL;
}

/* ------------------------------- under the lock -------------------------- */

static uint32_t *
head_of(struct cubby_cache *cache, uint64_t cell)
{
	return (uint32_t *)cache->weak.watch_heads.base + cell;
}

static bool
has_head(const struct cubby_cache *cache, uint64_t cell)
{
	return (cell + 1) * sizeof(uint32_t) <=
	       cache->weak.watch_heads.committed_bytes;
}

static int
reach_head(struct cubby_cache *cache, uint64_t cell)
{
	struct side *heads = &cache->weak.watch_heads;
	int err;

	if (heads->max_bytes == 0) {
		err = cubby__side_init(heads, NULL, 0,
				       cache->region.max_cells *
					       sizeof(uint32_t));
		if (err)
			return err;
	}
	return cubby__side_reach(heads, (cell + 1) * sizeof(uint32_t));
}

static void
count(struct cubby_cache *cache, int64_t n)
{
	__atomic_add_fetch(&cache->weak.n_watches, (uint64_t)n,
			   __ATOMIC_SEQ_CST);
}

/* Somebody may ask by an old name, under the lock of another cache. */
static void
set_linked(struct watch *watch, bool is_linked)
{
	__atomic_store_n(&watch->is_linked, is_linked, __ATOMIC_RELAXED);
}

static void
put_in(struct cubby_cache *cache, struct watch *watch)
{
	uint32_t *head = head_of(cache, watch->cell);

	watch->next = *head;
	set_linked(watch, true);
	*head = number_of(watch);
	count(cache, 1);
}

static void
take_out(struct cubby_cache *cache, struct watch *watch)
{
	uint32_t *place = head_of(cache, watch->cell);
	uint32_t number = number_of(watch);

	while (*place != number)
		place = &watch_of(*place)->next;
	*place = watch->next;
	set_linked(watch, false);
	count(cache, -1);
}

/* All of an object: the number of the newest, or 0. */
static uint32_t
take_all(struct cubby_cache *cache, uint64_t cell)
{
	uint32_t first, number;

	if (!has_head(cache, cell))
		return 0;
	first = *head_of(cache, cell);
	*head_of(cache, cell) = 0;
	for (number = first; number != 0; number = watch_of(number)->next) {
		set_linked(watch_of(number), false);
		count(cache, -1);
	}
	return first;
}

/* ---------------------------------- death -------------------------------- */

/* The watches of a list that have one of these flags, or all if 0. */
static void
call(struct cubby_cache *cache, uint32_t number, void *object,
     cubby_weak handle, uint64_t flags)
{
	while (number != 0) {
		struct watch *watch = watch_of(number);
		struct watch copy = *watch;

		number = watch->next;
		cubby_free(watches(), watch);
		if (flags == 0 || (copy.flags & flags) != 0)
			copy.expired(cache, object, handle, copy.context);
	}
}

void
cubby__watch_expire(struct cubby_cache *cache, void *object, uint64_t cell,
		    cubby_weak handle)
{
	int saved_errno = errno;
	sigset_t saved;
	uint32_t first;

	if (unlikely(__atomic_load_n(&cache->weak.n_watches,
				     __ATOMIC_SEQ_CST) != 0)) {
		cubby__lock_acquire(&cache->lock, &saved);
		first = take_all(cache, cell);
		cubby__lock_release(&cache->lock, &saved);
		call(cache, first, object, handle, 0);
	}
	if (cache->weak.on_expire != NULL)
		cache->weak.on_expire(cache, object, handle, cache->context);
	errno = saved_errno;
}

void
cubby__watch_teardown(struct cubby_cache *cache)
{
	uint64_t n_cells = cache->slabs.n_cells;

	for (uint64_t cell = 0; cell < n_cells && has_head(cache, cell);
	     cell++) {
		cubby_weak handle;
		uint32_t first;
		sigset_t saved;

		if (__atomic_load_n(&cache->weak.n_watches,
				    __ATOMIC_RELAXED) == 0)
			break;
		cubby__lock_acquire(&cache->lock, &saved);
		first = take_all(cache, cell);
		cubby__lock_release(&cache->lock, &saved);
		if (first == 0)
			continue;
		handle = cubby__weak_encode(
			cache, cell,
			weak_generation(*word_of(&cache->slabs.words, cell)));
		call(cache, first, region_object(&cache->region, cell), handle,
		     CUBBY_WATCH_FINALIZER);
	}
	cubby__side_fini(&cache->weak.watch_heads);
}

/* ---------------------------- register and cancel ------------------------ */

/* 0, -ENOMEM, or -ESTALE if the object is dead. */
static int
register_watch(struct cubby_cache *cache, cubby_weak handle,
	       struct watch *watch)
{
	uint32_t *place, wanted;
	uint64_t cell;
	sigset_t saved;
	int err;

	place = cubby__weak_find_word(cache, handle, &cell, &wanted);
	if (place == NULL)
		return -ESTALE;
	watch->cell = (uint32_t)cell;
	cubby__lock_acquire(&cache->lock, &saved);
	if (PLANTED(LOST_WATCH) &&
	    __atomic_load_n(place, __ATOMIC_SEQ_CST) != wanted) {
		cubby__lock_release(&cache->lock, &saved);
		return -ESTALE;
	}
	PLANT_DELAY(LOST_WATCH);
	err = reach_head(cache, cell);
	if (!err)
		put_in(cache, watch);
	/* Only now: W6. */
	if (!err && !PLANTED(LOST_WATCH) &&
	    __atomic_load_n(place, __ATOMIC_SEQ_CST) != wanted) {
		take_out(cache, watch);
		err = -ESTALE;
	}
	cubby__lock_release(&cache->lock, &saved);
	return err;
}

static int
check(const struct cubby_cache *cache, cubby_expire_fn expired, uint64_t flags,
      const cubby_watch *ret_watch)
{
	if (cache->weak.mode == CUBBY_WEAK_NONE)
		return cubby__error_set(-EINVAL,
					"cache '%s' has no handles: create it "
					"with a weak mode",
					cache->name);
	if (expired == NULL || ret_watch == NULL)
		return cubby__error_set(-EINVAL, "%s is NULL",
					expired == NULL ? "expired" :
							  "ret_watch");
	if (flags & ~KNOWN_FLAGS)
		return cubby__error_set(-EINVAL,
					"flags has unknown bits 0x%lx",
					(unsigned long)(flags & ~KNOWN_FLAGS));
	return 0;
}

int
cubby_weak_watch(struct cubby_cache *cache, cubby_weak handle,
		 cubby_expire_fn expired, void *context, uint64_t flags,
		 cubby_watch *ret_watch)
{
	struct watch *watch = NULL;
	cubby_watch name;
	int err = cubby__usable_or_error(cache, "cubby_weak_watch");

	if (!err)
		err = check(cache, expired, flags, ret_watch);
	if (err)
		return err;
	err = make_watches();
	if (!err)
		watch = cubby_alloc(watches());
	if (watch == NULL)
		return cubby__error_set(-ENOMEM,
					"cache '%s': no memory for a watch",
					cache->name);
	__atomic_store_n(&watch->cache, cache, __ATOMIC_RELAXED);
	set_linked(watch, false);
	watch->expired = expired;
	watch->context = context;
	watch->flags = flags;
	name = cubby_weak_of(watches(), watch);
	err = register_watch(cache, handle, watch);
	if (err) {
		cubby_free(watches(), watch);
		return cubby__error_set(err, "cache '%s': %s", cache->name,
					err == -ESTALE ?
						"the object is dead, or the "
						"handle none of this cache's" :
						"no memory for a watch");
	}
	*ret_watch = name;
	return 0;
}

int
cubby_weak_unwatch(struct cubby_cache *cache, cubby_watch watch)
{
	struct watch *it;
	uint32_t generation;
	uint64_t cell;
	sigset_t saved;
	bool is_ours;

	if (!cubby__usable(cache, "cubby_weak_unwatch") || watches() == NULL ||
	    !cubby__weak_decode(watches(), watch, &cell, &generation))
		return -ESTALE;
	it = region_object(&watches()->region, cell);
	cubby__lock_acquire(&cache->lock, &saved);
	/* What is linked is not freed while we hold the lock. */
	is_ours = __atomic_load_n(&it->cache, __ATOMIC_RELAXED) == cache &&
		  __atomic_load_n(&it->is_linked, __ATOMIC_RELAXED);
	FENCE(__ATOMIC_ACQUIRE);
	is_ours = is_ours && cubby_weak_is_live(watches(), watch);
	if (is_ours)
		take_out(cache, it);
	cubby__lock_release(&cache->lock, &saved);
	if (!is_ours)
		return -ESTALE;
	cubby_free(watches(), it);
	return 0;
}
