/* SPDX-License-Identifier: MIT */
/* Caches of all sorts, and objects that can be checked; see soak.h. */
#include "soak.h"

/* By name, for the Makefile. */
#include "support/flavor.h"
#include "sums.h"

#include <cubby/debug.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FZP (CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE | CUBBY_DEBUG_POISON)
#define FZPU (FZP | CUBBY_DEBUG_USER)

#define BUSY_US 500
#define BUSY_TRIES 20000

/* Where callbacks keep their state, and what it is, but for the address. */
#define CTOR_OFFSET 0
#define INIT_OFFSET 8
#define CTOR_STATE 0x63746f72
#define INIT_STATE 0x696e6974

/* Of so many objects ctor refuses one. */
#define REFUSE_EVERY 500

/* Larger objects are stamped here and there, but for their end. */
#define DENSE_BYTES 512
#define SPARSE_BYTES 512
#define STAMP_STEP 0x9e3779b97f4a7c15u

/* -------------------------------- the sorts ------------------------------ */

#define BP (&test_flavors[TEST_BP])

/* The flavour is filled in when the cache is made: its address is no constant. */
const struct soak_sort soak_sorts[] = {
	{ .name = "plain", .object_bytes = 40 },
	{ .name = "least", .object_bytes = 8 },
	{ .name = "odd", .object_bytes = 13 },
	{ .name = "aligned", .object_bytes = 192, .align_bytes = 64 },
	{ .name = "page", .object_bytes = 4096, .align_bytes = 4096 },
	{ .name = "big", .object_bytes = 70000 },
	{ .name = "called", .object_bytes = 200, .has_ctor = true },
	{ .name = "kept", .object_bytes = 96, .has_init = true },
	{ .name = "both",
	  .object_bytes = 1000,
	  .has_init = true,
	  .has_ctor = true },
	{ .name = "direct",
	  .object_bytes = 24,
	  .attr = { .flags = CUBBY_CACHE_NO_MAGAZINES } },
	{ .name = "zeroed",
	  .object_bytes = 56,
	  .attr = { .flags = CUBBY_CACHE_ZERO } },
	{ .name = "limited",
	  .object_bytes = 64,
	  .attr = { .max_objects = 400 } },
	{ .name = "small_magazines",
	  .object_bytes = 48,
	  .attr = { .magazine_capacity = 6, .max_idle_bytes = 4096 } },
	{ .name = "strong",
	  .object_bytes = 48,
	  .attr = { .weak = CUBBY_WEAK_STRONG } },
	{ .name = "strong_called",
	  .object_bytes = 120,
	  .has_ctor = true,
	  .attr = { .weak = CUBBY_WEAK_STRONG } },
	{ .name = "reuse",
	  .object_bytes = 64,
	  .attr = { .weak = CUBBY_WEAK_REUSE } },
	{ .name = "rcu",
	  .object_bytes = 72,
	  .has_flavor = true,
	  .attr = { .weak = CUBBY_WEAK_RCU } },
	{ .name = "rcu_poll",
	  .object_bytes = 104,
	  .has_flavor = true,
	  .has_ctor = true,
	  .attr = { .weak = CUBBY_WEAK_RCU,
		    .is_strong = 1,
		    .reclaim = CUBBY_RECLAIM_POLL } },
	{ .name = "rcu_plain",
	  .object_bytes = 32,
	  .has_flavor = true,
	  .attr = { .flags = CUBBY_CACHE_NO_MAGAZINES } },
};

const size_t soak_n_sorts = sizeof(soak_sorts) / sizeof(soak_sorts[0]);

static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static uint64_t
get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* -------------------------------- callbacks ------------------------------ */

static uint64_t
get_word(const void *object, size_t offset)
{
	uint64_t word;

	memcpy(&word, (const char *)object + offset, sizeof(word));
	return word;
}

static void
set_word(void *object, size_t offset, uint64_t word)
{
	memcpy((char *)object + offset, &word, sizeof(word));
}

static int
on_init(void *object, void *context)
{
	struct soak_cache *it = context;

	add(&it->n_init, 1);
	set_word(object, INIT_OFFSET, INIT_STATE ^ (uintptr_t)object);
	return 0;
}

static void
on_fini(void *object, void *context)
{
	struct soak_cache *it = context;

	add(&it->n_fini, 1);
	SOAK_REQUIRE(get_word(object, INIT_OFFSET) ==
			     (INIT_STATE ^ (uintptr_t)object),
		     "fini of what init did not leave");
	set_word(object, INIT_OFFSET, 0);
}

static int
on_ctor(void *object, void *context)
{
	struct soak_cache *it = context;

	if (__atomic_add_fetch(&it->n_ctor, 1, __ATOMIC_RELAXED) %
		    REFUSE_EVERY ==
	    0) {
		add(&it->n_refused, 1);
		return 1;
	}
	set_word(object, CTOR_OFFSET, CTOR_STATE ^ (uintptr_t)object);
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	struct soak_cache *it = context;

	add(&it->n_dtor, 1);
	SOAK_REQUIRE(get_word(object, CTOR_OFFSET) ==
			     (CTOR_STATE ^ (uintptr_t)object),
		     "dtor of what ctor did not make");
	set_word(object, CTOR_OFFSET, 0);
}

/* ---------------------------------- stamps ------------------------------- */

static uint64_t
mix(uint64_t word)
{
	return test_random(&word);
}

/* Write the stream, or compare with it: false at the first difference. */
static bool
stream(const struct soak_cache *it, char *object, uint64_t ticket, bool write)
{
	uint64_t word = mix(ticket ^ (uintptr_t)object);
	size_t end = it->object_bytes;
	size_t n, at = it->state_bytes;

	/* The ticket comes first, where there is room for it and more. */
	if (end - at >= 2 * sizeof(ticket))
		at += sizeof(ticket);
	for (; at < end; at += at < DENSE_BYTES ? n : SPARSE_BYTES) {
		n = end - at < sizeof(word) ? end - at : sizeof(word);
		if (write)
			memcpy(object + at, &word, n);
		else if (memcmp(object + at, &word, n) != 0)
			return false;
		word += STAMP_STEP;
	}
	if (end <= DENSE_BYTES)
		return true;
	if (write)
		object[end - 1] = (char)word;
	return object[end - 1] == (char)word;
}

static uint64_t
ticket_of(const struct soak_cache *it, const void *object)
{
	return it->object_bytes - it->state_bytes >= 2 * sizeof(uint64_t) ?
		       get_word(object, it->state_bytes) :
		       0;
}

static void
stamp(struct soak_cache *it, void *object, uint64_t *random)
{
	uint64_t ticket = test_random(random);

	if (it->object_bytes - it->state_bytes >= 2 * sizeof(ticket))
		set_word(object, it->state_bytes, ticket);
	else
		ticket = 0;
	stream(it, object, ticket, true);
}

void
soak_check(const struct soak_cache *it, const void *object, const char *who)
{
	if (!stream(it, (char *)(uintptr_t)object, ticket_of(it, object),
		    false))
		soak_die("cache '%s', object %p: not as its owner left it, "
			 "found by %s",
			 cubby_cache_name(it->cache), object, who);
	if (it->sort->has_ctor &&
	    get_word(object, CTOR_OFFSET) != (CTOR_STATE ^ (uintptr_t)object))
		soak_die("object %p: ctor's state is gone", object);
	if (it->sort->has_init &&
	    get_word(object, INIT_OFFSET) != (INIT_STATE ^ (uintptr_t)object))
		soak_die("object %p: init's state is gone", object);
}

/* --------------------------------- creation ------------------------------ */

static uint64_t
draw(uint64_t *random, uint64_t n)
{
	return test_random(random) % n;
}

static void
draw_debug(struct cubby_cache_attr *attr, uint64_t *random)
{
	static const uint64_t flags[] = {
		0,
		CUBBY_DEBUG_CHECKS,
		CUBBY_DEBUG_RED_ZONE,
		FZP,
		CUBBY_DEBUG_POISON,
		FZP,
		FZPU,
		CUBBY_DEBUG_USER,
		FZPU,
		FZPU,
		FZPU,
		FZPU,
	};
	static const uint64_t quarantines[] = { 0, 0, 4096, 65536, 1 << 20 };

	attr->debug = flags[draw(random, sizeof(flags) / sizeof(flags[0]))];
	if (attr->debug == 0)
		return;
	attr->quarantine_bytes = quarantines[draw(random, 5)];
	switch (draw(random, 4)) {
	case 0:
		attr->fail_nth = 1 + draw(random, 1000);
		break;
	case 1:
		attr->fail_every = 20 + draw(random, 500);
		break;
	case 2:
		attr->fail_ppm = draw(random, 20000);
		break;
	}
}

static struct cubby_cache_stats
look(struct soak_cache *it)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	SOAK_REQUIRE(cubby_cache_stats_snapshot(it->cache, &stats) == 0,
		     "no statistics");
	SOAK_REQUIRE(sum_of_cells(&stats) == stats.n_cells,
		     "cells do not add up");
	return stats;
}

void
soak_open(struct soak_cache *it, const struct soak_sort *sort,
	  const char *name, bool is_own, uint64_t *random)
{
	struct cubby_cache_attr attr = sort->attr;

	memset(it, 0, sizeof(*it));
	it->sort = sort;
	it->object_bytes = sort->object_bytes;
	it->state_bytes = sort->has_init || sort->has_ctor ? 16 : 0;
	it->is_own = is_own;
	it->may_be_full = attr.max_objects != 0;
	it->word_bytes = attr.weak == CUBBY_WEAK_STRONG || attr.is_strong ? 8 :
									    0;
	attr.attr_bytes = sizeof(attr);
	attr.context = it;
	attr.init = sort->has_init ? on_init : NULL;
	attr.fini = sort->has_init ? on_fini : NULL;
	attr.ctor = sort->has_ctor ? on_ctor : NULL;
	attr.dtor = sort->has_ctor ? on_dtor : NULL;
	if (sort->has_flavor)
		attr.rcu = BP->rcu;
	draw_debug(&attr, random);
	it->fail_nth = attr.fail_nth;
	it->fail_every = attr.fail_every;
	SOAK_REQUIRE(cubby_cache_create_sized(&it->cache, name,
					      sort->object_bytes,
					      sort->align_bytes, &attr) == 0,
		     "no cache");
	/* CUBBY_DEBUG may have added to it. */
	it->debug = look(it).debug;
	it->poisons = (it->debug & CUBBY_DEBUG_POISON) && !sort->has_init &&
		      attr.weak != CUBBY_WEAK_REUSE;
}

bool
soak_has_zones(const struct soak_cache *it)
{
	return it->debug & CUBBY_DEBUG_RED_ZONE;
}

bool
soak_has_poison(const struct soak_cache *it)
{
	return it->poisons;
}

bool
soak_is_watched(const struct soak_cache *it)
{
	return it->debug != 0;
}

/* --------------------------------- objects ------------------------------- */

/* What the rules of a cache that only one thread uses say of its next call. */
static bool
must_fail(const struct soak_cache *it, uint64_t before, uint64_t n)
{
	uint64_t last = before + n;

	if (it->fail_nth > before && it->fail_nth <= last)
		return true;
	return it->fail_every != 0 &&
	       last / it->fail_every != before / it->fail_every;
}

static void
count_tries(struct soak_cache *it, uint64_t n, bool failed)
{
	uint64_t before = __atomic_fetch_add(&it->n_tries, n,
					     __ATOMIC_RELAXED);

	if (failed)
		add(&it->n_null, 1);
	if (it->is_own && !failed && must_fail(it, before, n))
		soak_die("allocation %llu of '%s' did not fail",
			 (unsigned long long)(before + 1),
			 cubby_cache_name(it->cache));
}

static bool
is_zero(const struct soak_cache *it, const char *object)
{
	for (size_t at = it->state_bytes; at < it->object_bytes; at++)
		if (object[at] != 0)
			return false;
	return true;
}

void *
soak_alloc(struct soak_cache *it, uint64_t *random)
{
	bool clears = !it->sort->has_init && draw(random, 8) == 0;
	void *object;

	errno = 0;
	object = clears ? cubby_zalloc(it->cache) : cubby_alloc(it->cache);
	count_tries(it, 1, object == NULL);
	if (object == NULL) {
		SOAK_REQUIRE(errno == ENOMEM, "NULL for another reason");
		return NULL;
	}
	if (clears || (it->sort->attr.flags & CUBBY_CACHE_ZERO))
		SOAK_REQUIRE(is_zero(it, object), "what is new is not zero");
	stamp(it, object, random);
	return object;
}

bool
soak_alloc_bulk(struct soak_cache *it, size_t n, void **ret_objects,
		uint64_t *random)
{
	bool failed = cubby_alloc_bulk(it->cache, n, ret_objects) != 0;

	count_tries(it, n, failed);
	for (size_t i = 0; !failed && i < n; i++)
		stamp(it, ret_objects[i], random);
	return !failed;
}

void
soak_free(struct soak_cache *it, void *object, uint64_t *random)
{
	enum cubby_weak_mode weak = it->sort->attr.weak;
	cubby_weak handle;

	soak_check(it, object, "who frees it");
	switch (draw(random, 6)) {
	case 0:
		cubby_free_any(object);
		return;
	case 1:
		cubby_free_bulk(it->cache, 1, &object);
		return;
	case 2:
		if (!it->sort->has_flavor)
			break;
		cubby_free_rcu(it->cache, object);
		return;
	case 3:
		if (weak == CUBBY_WEAK_NONE)
			break;
		handle = cubby_weak_of(it->cache, object);
		SOAK_REQUIRE(cubby_weak_free(it->cache, handle) == 0,
			     "a handle that does not free");
		SOAK_REQUIRE(!cubby_weak_is_live(it->cache, handle),
			     "a handle of the dead");
		return;
	case 4:
		if (it->word_bytes == 0)
			break;
		cubby_ref_put(it->cache, object);
		return;
	}
	cubby_free(it->cache, object);
}

void
soak_barrier(struct soak_cache *it)
{
	unsigned n = 0;

	while (it->sort->has_flavor && cubby_rcu_barrier(it->cache) != 0) {
		SOAK_REQUIRE(n++ < BUSY_TRIES, "no end of a barrier");
		usleep(BUSY_US);
	}
}

void
soak_validate(struct soak_cache *it)
{
	int64_t n;

	for (unsigned i = 0; (n = cubby_cache_validate(it->cache)) < 0; i++) {
		SOAK_REQUIRE(n == -EBUSY && i < BUSY_TRIES, "not validated");
		usleep(BUSY_US);
	}
}

/* ------------------------------------ end -------------------------------- */

static void
clear_tables(struct soak_cache *it)
{
	uint64_t random = 1;

	for (unsigned i = 0; i < SOAK_SLOTS; i++) {
		if (it->slots[i] != NULL)
			soak_free(it, it->slots[i], &random);
		if (it->handles[i] != CUBBY_WEAK_NULL &&
		    cubby_weak_free(it->cache, it->handles[i]) == 0)
			add(&it->n_unpublished, 1);
	}
}

static void
compare(const struct soak_cache *it, const char *what, uint64_t found,
	uint64_t expected)
{
	if (found != expected)
		soak_die("cache '%s': %s: %llu, expected %llu",
			 cubby_cache_name(it->cache), what,
			 (unsigned long long)found,
			 (unsigned long long)expected);
}

static void
compare_statistics(struct soak_cache *it)
{
	struct cubby_cache_stats stats = look(it);
	uint64_t n_others = get(&it->n_refused) -
			    get(&it->n_refused_of_reserves);

	compare(it, "is_exact", stats.is_exact, 1);
	compare(it, "live objects", stats.n_live, 0);
	compare(it, "deferred objects", stats.n_deferred, 0);
	compare(it, "reserved cells", stats.n_reserved, 0);
	compare(it, "watches", stats.n_watches, 0);
	compare(it, "damaged objects", stats.n_damaged, get(&it->n_damaged));
	compare(it, "allocations answered NULL", stats.n_alloc_failures,
		get(&it->n_null));
	if (!it->may_be_full)
		compare(it, "allocations made to fail", stats.n_failed,
			get(&it->n_null) - n_others);
	else if (stats.n_failed + n_others > get(&it->n_null))
		soak_die("more were made to fail than have failed");
	if (it->fail_nth != 0 && get(&it->n_tries) >= it->fail_nth)
		compare(it, "the nth failed", stats.n_failed, 1);
}

void
soak_close(struct soak_cache *it)
{
	int err;

	clear_tables(it);
	soak_barrier(it);
	compare(it, "objects published", get(&it->n_published),
		get(&it->n_unpublished));
	compare(it, "expired watches", get(&it->n_expired) + it->n_cancelled,
		get(&it->n_watched));
	soak_validate(it);
	compare_statistics(it);
	for (unsigned i = 0; (err = cubby_cache_destroy(it->cache)) != 0;
	     i++) {
		/* Somebody may look at all caches just now. */
		SOAK_REQUIRE(err == -EBUSY && i < BUSY_TRIES, "not destroyed");
		usleep(BUSY_US);
	}
	SOAK_REQUIRE(it->n_ctor == it->n_dtor + it->n_refused,
		     "dtor has not run as often as ctor");
	SOAK_REQUIRE(it->n_init == it->n_fini,
		     "fini has not run as often as init");
}
