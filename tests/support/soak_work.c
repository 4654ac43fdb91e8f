/* SPDX-License-Identifier: MIT */
/* What a thread of the soak does, one thing at random at a time; see soak.h. */
#include "soak.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

#include <cubby/debug.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BULK_MAX 40
#define OWN_STEPS_MAX 600
#define PAGE_BYTES 4096
#define NEIGHBOURS 8
#define ZONE_BYTES 16
#define WRONG_BYTE 0x33

/* Of so many steps one is a misuse. */
#define PLANT_EVERY 50

#define BP (&test_flavors[TEST_BP])

static uint64_t
draw(struct soak_worker *worker, uint64_t n)
{
	return test_random(&worker->random) % n;
}

static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static enum cubby_weak_mode
mode_of(const struct soak_cache *it)
{
	return it->sort->attr.weak;
}

/* One that all threads use; the larger the objects the more seldom. */
static struct soak_cache *
any_cache(struct soak_worker *worker)
{
	struct soak_cache *it = &worker->shared[draw(worker, soak_n_sorts)];

	if (it->object_bytes >= PAGE_BYTES && draw(worker, 10) != 0)
		it = &worker->shared[draw(worker, soak_n_sorts)];
	return it;
}

/* ---------------------------------- churn -------------------------------- */

static void
use_handle(struct soak_worker *worker, const struct soak_held *held)
{
	struct soak_cache *it = held->in;
	char copy[8];

	if (held->handle == CUBBY_WEAK_NULL)
		return;
	SOAK_REQUIRE(cubby_weak_is_live(it->cache, held->handle),
		     "a handle of what lives is dead");
	SOAK_REQUIRE(cubby_weak_of(it->cache, held->object) == held->handle,
		     "another handle of the same object");
	if (mode_of(it) == CUBBY_WEAK_RCU) {
		test_flavor_lock(BP);
		SOAK_REQUIRE(cubby_weak_get(it->cache, held->handle) ==
				     held->object,
			     "a borrow of something else");
		test_flavor_unlock(BP);
	}
	if (it->word_bytes != 0 && draw(worker, 2) == 0) {
		SOAK_REQUIRE(cubby_weak_upgrade(it->cache, held->handle) ==
				     held->object,
			     "a reference to something else");
		cubby_ref_put(it->cache, held->object);
	}
	SOAK_REQUIRE(cubby_weak_copy(it->cache, held->handle, copy, 0,
				     sizeof(copy)) == 0 &&
			     memcmp(copy, held->object, sizeof(copy)) == 0,
		     "a copy of something else");
}

static void
remember_dead(struct soak_worker *worker, const struct soak_held *held)
{
	if (held->handle != CUBBY_WEAK_NULL)
		worker->dead[draw(worker, SOAK_DEAD)] = *held;
}

static void
free_held(struct soak_worker *worker, struct soak_held *held)
{
	if (held->object == NULL)
		return;
	use_handle(worker, held);
	soak_free(held->in, held->object, &worker->random);
	remember_dead(worker, held);
	held->object = NULL;
}

static void
replace_held(struct soak_worker *worker)
{
	struct soak_held *held = &worker->held[draw(worker, SOAK_HELD)];

	free_held(worker, held);
	held->in = any_cache(worker);
	held->object = soak_alloc(held->in, &worker->random);
	held->handle = CUBBY_WEAK_NULL;
	if (held->object != NULL && mode_of(held->in) != CUBBY_WEAK_NONE &&
	    draw(worker, 2) == 0)
		held->handle = cubby_weak_of(held->in->cache, held->object);
}

/* Put an object where others find it, and free what was there. */
static void
exchange_slot(struct soak_worker *worker)
{
	struct soak_cache *it = any_cache(worker);
	void *object = soak_alloc(it, &worker->random);

	object = __atomic_exchange_n(&it->slots[draw(worker, SOAK_SLOTS)],
				     object, __ATOMIC_ACQ_REL);
	if (object != NULL)
		soak_free(it, object, &worker->random);
}

static void
come_and_go(struct soak_worker *worker)
{
	struct soak_cache *it = any_cache(worker);
	void *objects[BULK_MAX];
	size_t n = 1 + draw(worker, BULK_MAX);

	if (it->object_bytes > PAGE_BYTES ||
	    !soak_alloc_bulk(it, n, objects, &worker->random))
		return;
	for (size_t i = 0; i < n; i++)
		soak_check(it, objects[i], "who has it by bulk");
	cubby_free_bulk(it->cache, n, objects);
}

static void
reserve_some(struct soak_worker *worker)
{
	struct soak_cache *it = any_cache(worker);
	size_t n = 1 + draw(worker, 8);
	struct cubby_reserve *reserve;
	void *object;

	if (cubby_reserve_create(&reserve, it->cache, n) != 0) {
		SOAK_REQUIRE(it->may_be_full, "no reserve");
		return;
	}
	for (size_t i = draw(worker, n + 1); i > 0; i--) {
		object = cubby_reserve_alloc(reserve);
		if (object != NULL) {
			cubby_free(it->cache, object);
			continue;
		}
		SOAK_REQUIRE(it->sort->has_ctor, "an empty reserve");
		add(&it->n_refused_of_reserves, 1);
	}
	cubby_reserve_destroy(reserve);
}

/* --------------------------------- handles ------------------------------- */

static struct soak_cache *
any_weak_cache(struct soak_worker *worker)
{
	struct soak_cache *it = any_cache(worker);

	while (mode_of(it) == CUBBY_WEAK_NONE)
		it = &worker->shared[draw(worker, soak_n_sorts)];
	return it;
}

static void
on_expired(struct cubby_cache *cache, void *object, cubby_weak handle,
	   void *context)
{
	struct soak_cache *it = context;

	(void)handle;
	if (cache != it->cache)
		soak_die("expired in another cache");
	soak_check(it, object, "who watched it");
	add(&it->n_expired, 1);
}

static void
free_by_handle(struct soak_cache *it, cubby_weak handle)
{
	int err = cubby_weak_free(it->cache, handle);

	SOAK_REQUIRE(err == 0 || err == -ESTALE, "not freed by its handle");
	if (err == 0)
		add(&it->n_unpublished, 1);
}

static void
publish(struct soak_worker *worker)
{
	struct soak_cache *it = any_weak_cache(worker);
	void *object = soak_alloc(it, &worker->random);
	cubby_weak handle, before;
	cubby_watch watch;
	bool is_watched;

	if (object == NULL)
		return;
	add(&it->n_published, 1);
	handle = cubby_weak_of(it->cache, object);
	is_watched = draw(worker, 4) == 0;
	if (is_watched) {
		SOAK_REQUIRE(cubby_weak_watch(it->cache, handle, on_expired,
					      it, 0, &watch) == 0,
			     "no watch");
		add(&it->n_watched, 1);
	}
	before = __atomic_exchange_n(&it->handles[draw(worker, SOAK_SLOTS)],
				     handle, __ATOMIC_ACQ_REL);
	if (before != CUBBY_WEAK_NULL)
		free_by_handle(it, before);
	if (is_watched && draw(worker, 2) == 0 &&
	    cubby_weak_unwatch(it->cache, watch) == 0)
		add(&it->n_cancelled, 1);
}

static void
look_up(struct soak_worker *worker)
{
	struct soak_cache *it = any_weak_cache(worker);
	cubby_weak handle = __atomic_load_n(
		&it->handles[draw(worker, SOAK_SLOTS)], __ATOMIC_ACQUIRE);
	const void *object;

	if (mode_of(it) == CUBBY_WEAK_RCU) {
		test_flavor_lock(BP);
		object = cubby_weak_get(it->cache, handle);
		if (object != NULL)
			soak_check(it, object, "who borrows it");
		test_flavor_unlock(BP);
	}
	if (it->word_bytes != 0) {
		object = cubby_weak_upgrade(it->cache, handle);
		if (object != NULL) {
			soak_check(it, object, "who has a reference");
			cubby_ref_put(it->cache, (void *)(uintptr_t)object);
		}
	}
	if (draw(worker, 8) == 0)
		free_by_handle(it, handle);
}

static void
ask_the_dead(struct soak_worker *worker)
{
	const struct soak_held *dead = &worker->dead[draw(worker, SOAK_DEAD)];
	struct soak_cache *it = dead->in;
	char copy[8];

	if (it == NULL)
		return;
	SOAK_REQUIRE(!cubby_weak_is_live(it->cache, dead->handle),
		     "a handle of the dead is live");
	SOAK_REQUIRE(cubby_weak_free(it->cache, dead->handle) == -ESTALE,
		     "a handle of the dead frees");
	SOAK_REQUIRE(cubby_weak_copy(it->cache, dead->handle, copy, 0,
				     sizeof(copy)) == -ESTALE,
		     "a copy of the dead");
	if (it->word_bytes != 0)
		SOAK_REQUIRE(cubby_weak_upgrade(it->cache, dead->handle) ==
				     NULL,
			     "a reference to the dead");
}

/* ----------------------------- planted misuse ---------------------------- */

/*
 * Free what must not be freed, in some way.  What is written into red zones and
 * free objects races with who validates: not under ThreadSanitizer.
 */
static void
misfree(struct soak_worker *worker, struct soak_cache *it, void *pointer,
	enum cubby_misuse_code code)
{
	soak_plant(worker->owner, code, pointer);
	if (draw(worker, 2) == 0)
		cubby_free(it->cache, pointer);
	else
		cubby_free_bulk(it->cache, 1, &pointer);
	if (!soak_is_found(worker->owner))
		soak_die("misuse %u of %p in '%s' was not found in the call",
			 code, pointer, cubby_cache_name(it->cache));
	soak_harvest(worker->owner);
}

static void
plant_foreign(struct soak_worker *worker, struct soak_cache *it)
{
	uint64_t here[4];
	static uint64_t there[SOAK_OWNERS_MAX];

	misfree(worker, it, draw(worker, 2) ? &here[1] : &there[worker->owner],
		CUBBY_MISUSE_FOREIGN_FREE);
}

static void
plant_interior(struct soak_worker *worker, const struct soak_held *held)
{
	if (held->in->object_bytes > 8)
		misfree(worker, held->in, (char *)held->object + 8,
			CUBBY_MISUSE_INTERIOR_FREE);
}

static void
plant_wrong_cache(struct soak_worker *worker, const struct soak_held *held)
{
	struct soak_cache *other = any_cache(worker);

	if (other != held->in && soak_is_watched(other))
		misfree(worker, other, held->object, CUBBY_MISUSE_WRONG_CACHE);
}

/* While a reference or a section keeps the cell from being anybody else's. */
static void
plant_second_free(struct soak_worker *worker, struct soak_held *held)
{
	struct soak_cache *it = held->in;

	if (it->word_bytes != 0) {
		cubby_ref_get(it->cache, held->object);
		cubby_free(it->cache, held->object);
		misfree(worker, it, held->object, CUBBY_MISUSE_DOUBLE_FREE);
		cubby_ref_put(it->cache, held->object);
	} else if (it->sort->has_flavor) {
		test_flavor_lock(BP);
		cubby_free_rcu(it->cache, held->object);
		misfree(worker, it, held->object, CUBBY_MISUSE_DOUBLE_FREE);
		test_flavor_unlock(BP);
	} else {
		return;
	}
	remember_dead(worker, held);
	held->object = NULL;
}

static void
write_wrong_byte(struct soak_worker *worker, char *at,
		 enum cubby_misuse_code code)
{
	soak_plant(worker->owner, code, at);
	*(volatile char *)at = WRONG_BYTE;
}

/* A byte of the red zone in front of an object, or behind it. */
static char *
beside(struct soak_worker *worker, const struct soak_cache *it, void *object)
{
	size_t distance = draw(worker, ZONE_BYTES);

	if (draw(worker, 2) == 0)
		return (char *)object + it->object_bytes + distance;
	return (char *)object - it->word_bytes - 1 - distance;
}

static void
plant_overrun(struct soak_worker *worker, struct soak_held *held)
{
	struct soak_cache *it = held->in;

	if (!soak_has_zones(it) || test_on_tsan())
		return;
	write_wrong_byte(worker, beside(worker, it, held->object),
			 CUBBY_MISUSE_RED_ZONE);
	add(&it->n_damaged, 1);
	switch (draw(worker, 3)) {
	case 0:
		soak_validate(it);
		break;
	case 1:
		usleep(100); /* for who validates meanwhile */
			     /* fall through */
	default:
		free_held(worker, held);
		soak_barrier(it);
	}
	soak_harvest(worker->owner);
}

static void
plant_in_shared(struct soak_worker *worker)
{
	struct soak_held *held = &worker->held[draw(worker, SOAK_HELD)];

	if (held->object == NULL || !soak_is_watched(held->in))
		return;
	switch (draw(worker, 6)) {
	case 0:
		plant_foreign(worker, held->in);
		break;
	case 1:
		plant_interior(worker, held);
		break;
	case 2:
		plant_wrong_cache(worker, held);
		break;
	case 3:
		plant_second_free(worker, held);
		break;
	default:
		plant_overrun(worker, held);
	}
}

/* ------------------------- caches of one's own --------------------------- */

static void
open_own(struct soak_worker *worker)
{
	const struct soak_sort *sort = &soak_sorts[draw(worker, soak_n_sorts)];
	char name[CUBBY_NAME_BYTES_MAX];

	snprintf(name, sizeof(name), "own_%u_%s", worker->owner, sort->name);
	soak_open(&worker->own, sort, name, true, &worker->random);
	worker->n_own_steps = 1 + (unsigned)draw(worker, OWN_STEPS_MAX);
}

/* Nobody else allocates from it, so all that is live is known. */
static void
count_own(struct soak_worker *worker)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *cache = worker->own.cache;
	int64_t n;

	SOAK_REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0,
		     "no statistics");
	if (stats.is_exact && stats.n_live != worker->n_objects)
		soak_die("%u objects of '%s' are live, of which statistics "
			 "know %llu",
			 worker->n_objects, cubby_cache_name(cache),
			 (unsigned long long)stats.n_live);
	n = cubby_cache_report_users(cache, worker->null);
	SOAK_REQUIRE(n == -EBUSY || n == worker->n_objects,
		     "a report of users with others");
}

static void
close_own(struct soak_worker *worker)
{
	struct soak_cache *it = &worker->own;
	int err;

	if (it->cache == NULL)
		return;
	count_own(worker);
	if (worker->n_objects != 0) { /* a planted leak */
		err = cubby_cache_destroy(it->cache);
		SOAK_REQUIRE(err == -CUBBY_ELIVE || err == -EBUSY,
			     "destroyed with live objects");
	}
	while (worker->n_objects > 0)
		soak_free(it, worker->objects[--worker->n_objects],
			  &worker->random);
	soak_close(it);
	it->cache = NULL;
}

/*
 * A pair of objects of which one is in the page of the other, so that the page
 * stays as it is when the first one is free.
 */
static bool
find_pair(void *const *objects, size_t *ret_first, size_t *ret_second)
{
	for (size_t i = 0; i < NEIGHBOURS; i++)
		for (size_t j = 0; j < NEIGHBOURS; j++)
			if (i != j &&
			    (uintptr_t)objects[i] / PAGE_BYTES ==
				    (uintptr_t)objects[j] / PAGE_BYTES) {
				*ret_first = i;
				*ret_second = j;
				return true;
			}
	return false;
}

static void
write_after_free(struct soak_worker *worker, char *object)
{
	struct soak_cache *it = &worker->own;
	void *others[BULK_MAX];
	size_t n = 0;

	if (soak_has_poison(it) && draw(worker, 3) != 0)
		write_wrong_byte(worker,
				 object + draw(worker, it->object_bytes),
				 CUBBY_MISUSE_USE_AFTER_FREE);
	else if (soak_has_zones(it))
		write_wrong_byte(worker, object + it->object_bytes,
				 CUBBY_MISUSE_RED_ZONE);
	else
		return;
	add(&it->n_damaged, 1);
	/* It may be found when its cell comes again. */
	while (draw(worker, 2) == 0 && n < BULK_MAX &&
	       !soak_is_found(worker->owner)) {
		others[n] = soak_alloc(it, &worker->random);
		n += others[n] != NULL;
	}
	if (!soak_is_found(worker->owner))
		soak_validate(it);
	soak_harvest(worker->owner);
	while (n > 0)
		soak_free(it, others[--n], &worker->random);
}

static void
plant_in_own(struct soak_worker *worker)
{
	struct soak_cache *it = &worker->own;
	void *objects[NEIGHBOURS];
	size_t first, second;

	if (!soak_is_watched(it) || it->object_bytes > PAGE_BYTES / 4 ||
	    !soak_alloc_bulk(it, NEIGHBOURS, objects, &worker->random))
		return;
	if (find_pair(objects, &first, &second)) {
		soak_free(it, objects[first], &worker->random);
		if (draw(worker, 2) == 0 || test_on_tsan()) {
			misfree(worker, it, objects[first],
				CUBBY_MISUSE_DOUBLE_FREE);
		} else {
			soak_barrier(it);
			write_after_free(worker, objects[first]);
		}
		objects[first] = NULL;
	}
	for (size_t i = 0; i < NEIGHBOURS; i++)
		if (objects[i] != NULL)
			soak_free(it, objects[i], &worker->random);
}

static void
use_own(struct soak_worker *worker)
{
	struct soak_cache *it = &worker->own;
	uint64_t choice;
	void *object;

	if (it->cache == NULL) {
		open_own(worker);
		return;
	}
	if (worker->n_own_steps-- == 0) {
		close_own(worker);
		return;
	}
	choice = draw(worker, SOAK_OWN_MAX);
	if (draw(worker, PLANT_EVERY) == 0) {
		plant_in_own(worker);
	} else if (draw(worker, PLANT_EVERY) == 0) {
		count_own(worker);
	} else if (choice < worker->n_objects) {
		object = worker->objects[choice];
		worker->objects[choice] = worker->objects[--worker->n_objects];
		soak_free(it, object, &worker->random);
	} else {
		object = soak_alloc(it, &worker->random);
		if (object != NULL)
			worker->objects[worker->n_objects++] = object;
	}
}

/* ----------------------------------- life -------------------------------- */

void
soak_begin(struct soak_worker *worker, unsigned owner,
	   struct soak_cache *shared, uint64_t seed)
{
	memset(worker, 0, sizeof(*worker));
	worker->owner = owner;
	worker->shared = shared;
	worker->random = seed;
	worker->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	SOAK_REQUIRE(worker->null >= 0, "no /dev/null");
}

void
soak_step(struct soak_worker *worker)
{
	static void (*const steps[])(struct soak_worker * worker) = {
		replace_held,  replace_held, replace_held, exchange_slot,
		exchange_slot, come_and_go,  publish,      look_up,
		ask_the_dead,  use_own,      use_own,      use_own,
		use_own,       use_own,
	};

	if (draw(worker, PLANT_EVERY) == 0)
		plant_in_shared(worker);
	else if (draw(worker, PLANT_EVERY) == 0)
		reserve_some(worker);
	else
		steps[draw(worker, sizeof(steps) / sizeof(steps[0]))](worker);
}

void
soak_end(struct soak_worker *worker)
{
	for (unsigned i = 0; i < SOAK_HELD; i++)
		free_held(worker, &worker->held[i]);
	close_own(worker);
	close(worker->null);
}
