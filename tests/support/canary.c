/* SPDX-License-Identifier: MIT */
/* Objects that say what life they are of; see canary.h. */
#include "canary.h"
#include "sums.h"

#include <errno.h>
#include <sys/mman.h>

#include "weak.h"

#define CELLS_MAX ((uint64_t)1 << 20)
#define POISON 0xdeadbeefdeadbeefull
#define OWNER_SHIFT 48
#define SERIAL_SHIFT 8

enum { FRESH = 0, MADE = 0x6d616465, FILLED = 0x66696c6c, DEAD = 0x64656164 };

/* splitmix64 of what it is and where. */
static uint64_t
hash_of(uint64_t mark, unsigned i)
{
	uint64_t state = mark + i;

	return test_random(&state);
}

static void
put(const struct canary_book *book, uint64_t *word, uint64_t value)
{
	if (book->is_copied)
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
	else
		*word = value;
}

static void
count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t
counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static unsigned
n_hashes(const struct canary_book *book)
{
	return book->n_words - 4;
}

static void __attribute__((noreturn))
fault(const struct canary *canary, const char *who, const char *what,
      uint64_t seen, uint64_t wanted)
{
	test_die("canary %p: %s: %s: %#llx, not %#llx", (const void *)canary,
		 who, what, (unsigned long long)seen,
		 (unsigned long long)wanted);
}

/* ------------------------------- callbacks ------------------------------- */

static int
ctor(void *object, void *context)
{
	struct canary_book *book = context;
	struct canary *canary = object;
	uint64_t state = __atomic_load_n(&canary->state, __ATOMIC_RELAXED);

	if (state != FRESH && state != DEAD)
		fault(canary, "ctor", "it is not dead", state, DEAD);
	put(book, &canary->state, MADE);
	put(book, &canary->handle, 0);
	put(book, &canary->n_expired, 0);
	__atomic_store_n(&canary->mark, 0, __ATOMIC_RELAXED);
	count(&book->n_ctor);
	return 0;
}

static void
dtor(void *object, void *context)
{
	struct canary_book *book = context;
	struct canary *canary = object;
	uint64_t mark = __atomic_load_n(&canary->mark, __ATOMIC_RELAXED);

	if (canary->state != FILLED)
		fault(canary, "dtor", "not once a life", canary->state,
		      FILLED);
	canary_check(book, canary, 0, "dtor");
	if (mark & CANARY_PRIVATE)
		count(&book->n_private_dtor[mark >> OWNER_SHIFT]);
	__atomic_store_n(&canary->mark, POISON, __ATOMIC_RELAXED);
	put(book, &canary->state, DEAD);
	put(book, &canary->handle, POISON);
	for (unsigned i = 0; i < n_hashes(book); i++)
		put(book, &canary->hash[i], POISON);
	count(&book->n_dtor);
}

/* The handle is dead, the object whole, and this is the first time. */
static void
expire(struct cubby_cache *cache, void *object, uint64_t handle, void *context)
{
	struct canary_book *book = context;
	struct canary *canary = object;

	canary_check(book, canary, handle, "on_expire");
	if (cubby_weak_is_live(cache, handle))
		fault(canary, "on_expire", "the handle lives", handle, 0);
	if (canary->n_expired != 0)
		fault(canary, "on_expire", "calls", canary->n_expired, 0);
	put(book, &canary->n_expired, 1);
	count(&book->n_expired);
}

/* --------------------------------- lives --------------------------------- */

struct canary *
canary_alloc(struct canary_book *book, unsigned owner, uint64_t serial,
	     unsigned flags)
{
	struct canary *canary = cubby_alloc(book->cache);
	uint64_t mark = (uint64_t)owner << OWNER_SHIFT |
			(serial + 1) << SERIAL_SHIFT | flags;

	if (canary == NULL)
		return NULL;
	if (book->has_callbacks && canary->state != MADE)
		fault(canary, "alloc", "ctor was not here", canary->state,
		      MADE);
	__atomic_store_n(&canary->mark, 0, __ATOMIC_RELAXED);
	put(book, &canary->handle, 0);
	put(book, &canary->n_expired, 0);
	for (unsigned i = 0; i < n_hashes(book); i++)
		put(book, &canary->hash[i], hash_of(mark, i));
	put(book, &canary->state, FILLED);
	__atomic_store_n(&canary->mark, mark, __ATOMIC_RELEASE);
	count(&book->n_lives);
	return canary;
}

/* A cell's generation never falls, and never stays: W1. */
static void
check_generation(struct canary_book *book, const struct canary *canary,
		 cubby_weak handle)
{
	uint32_t generation, before;
	uint64_t cell;

	if (!cubby__weak_decode(book->cache, handle, &cell, &generation))
		fault(canary, "name", "no handle of this cache", handle, 0);
	if (cell >= CELLS_MAX)
		return;
	before = __atomic_exchange_n(&book->generations[cell], generation + 1,
				     __ATOMIC_RELAXED);
	if (before >= generation + 1)
		fault(canary, "name", "the generation is no new one",
		      generation, before - 1);
	if (generation >= GENERATION_LAST)
		fault(canary, "name", "its cell is retired", generation,
		      GENERATION_LAST - 1);
}

cubby_weak
canary_name(struct canary_book *book, struct canary *canary)
{
	cubby_weak handle = cubby_weak_of(book->cache, canary);

	if (handle == CUBBY_WEAK_NULL)
		fault(canary, "name", "no handle", 0, 1);
	check_generation(book, canary, handle);
	if (!(canary->mark & CANARY_EARLY))
		put(book, &canary->handle, handle);
	count(&book->n_taken);
	return handle;
}

void
canary_count_end(struct canary_book *book)
{
	count(&book->n_ends);
}

/* --------------------------------- looking ------------------------------- */

static void
check_hashes(const struct canary_book *book, const struct canary *canary,
	     uint64_t mark, const char *who)
{
	for (unsigned i = 0; i < n_hashes(book); i++)
		if (canary->hash[i] != hash_of(mark, i))
			fault(canary, who, "hash", canary->hash[i],
			      hash_of(mark, i));
}

uint64_t
canary_check(const struct canary_book *book, const struct canary *canary,
	     cubby_weak handle, const char *who)
{
	uint64_t mark = __atomic_load_n(&canary->mark, __ATOMIC_RELAXED);

	if (mark == 0 || mark == POISON)
		fault(canary, who, "mark", mark, 1);
	if (canary->state != FILLED)
		fault(canary, who, "state", canary->state, FILLED);
	check_hashes(book, canary, mark, who);
	if (handle != 0 && !(mark & CANARY_EARLY) && canary->handle != handle)
		fault(canary, who, "handle", canary->handle, handle);
	return mark;
}

bool
canary_copy(const struct canary_book *book, cubby_weak handle)
{
	struct canary to;
	size_t n_bytes = book->n_words * sizeof(uint64_t);

	if (cubby_weak_copy(book->cache, handle, &to, 0, n_bytes) != 0)
		return false;
	canary_check(book, &to, handle, "copy");
	return true;
}

void
canary_look(const struct canary_book *book, struct canary_looks *looks,
	    const struct cubby_run *run, uint64_t choice)
{
	const struct canary *canary;

	CUBBY_RUN_FOR_EACH (canary, run) {
		uint64_t mark;

		if (looks->n == CANARY_LOOKS_MAX)
			return;
		choice = choice >> 1 | choice << 63;
		mark = __atomic_load_n(&canary->mark, __ATOMIC_ACQUIRE);
		/* Its ctor is still to run; or it is being filled in. */
		if (choice & 1 || mark == POISON || mark == 0)
			continue;
		check_hashes(book, canary, mark, "walk");
		looks->canaries[looks->n] = canary;
		looks->marks[looks->n++] = mark;
	}
}

void
canary_look_again(const struct canary_book *book,
		  const struct canary_looks *looks)
{
	for (size_t i = 0; i < looks->n; i++) {
		const struct canary *canary = looks->canaries[i];
		uint64_t mark = __atomic_load_n(&canary->mark,
						__ATOMIC_ACQUIRE);

		if (mark != looks->marks[i])
			fault(canary, "walk", "mark", mark, looks->marks[i]);
		check_hashes(book, canary, mark, "walk, at its end");
	}
}

/* --------------------------------- watches ------------------------------- */

static void
on_death(struct cubby_cache *cache, void *object, uint64_t handle,
	 void *context)
{
	struct watched *watched = context;
	struct canary *canary = object;

	if (handle != watched->handle)
		fault(canary, "watch", "handle", handle, watched->handle);
	if (cubby_weak_is_live(cache, handle))
		fault(canary, "watch", "the handle lives", handle, 0);
	if (canary->state != FILLED)
		fault(canary, "watch", "state", canary->state, FILLED);
	if (__atomic_add_fetch(&watched->n_called, 1, __ATOMIC_RELAXED) != 1)
		fault(canary, "watch", "calls", 2, 1);
}

bool
canary_watch(struct canary_book *book, cubby_weak handle,
	     struct watched *watched, cubby_watch *ret_name)
{
	int err;

	watched->handle = handle;
	err = cubby_weak_watch(book->cache, handle, on_death, watched, 0,
			       ret_name);
	if (err != 0 && err != -ESTALE)
		test_die("watch: %s", cubby_error_detail());
	return err == 0;
}

void
canary_unwatch(struct canary_book *book, struct watched *watched,
	       cubby_watch name)
{
	int err = cubby_weak_unwatch(book->cache, name);

	if (err != 0 && err != -ESTALE)
		test_die("unwatch: %d", err);
	watched->n_cancelled = err == 0;
}

void
canary_check_watch(const struct watched *watched)
{
	if (watched->n_called + watched->n_cancelled != 1)
		test_die("watch of %#llx: %u times called, %u cancelled",
			 (unsigned long long)watched->handle,
			 watched->n_called, watched->n_cancelled);
}

/* -------------------------------- the book ------------------------------- */

/* Another cache, whose handles are not ours. */
static void
make_other(struct canary_book *book)
{
	if (cubby_cache_create_sized(
		    &book->other, "foreign", 16, 0,
		    &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE)) != 0)
		test_die("no cache: %s", cubby_error_detail());
	book->foreign = cubby_weak_of(book->other, cubby_alloc(book->other));
}

int
canary_init(struct canary_book *book, unsigned n_words, bool has_callbacks,
	    const struct cubby_cache_attr *attr)
{
	struct cubby_cache_attr mine = *attr;

	*book = (struct canary_book){
		.n_words = n_words,
		.has_callbacks = has_callbacks,
		.has_handles = attr->weak != CUBBY_WEAK_NONE,
		/* Where objects exist as long as one looks, no race is. */
		.is_copied = !test_on_tsan() || attr->weak == CUBBY_WEAK_REUSE,
		.generations = test_map(CELLS_MAX * sizeof(uint32_t)),
	};
	make_other(book);
	mine.context = book;
	if (has_callbacks) {
		mine.ctor = ctor;
		mine.dtor = dtor;
		if (book->has_handles)
			mine.on_expire = expire;
	}
	return cubby_cache_create_sized(&book->cache, "canary",
					n_words * sizeof(uint64_t), 0, &mine);
}

static void
check_count(const char *what, uint64_t seen, uint64_t wanted)
{
	if (seen != wanted)
		test_die("%s: %llu, not %llu", what, (unsigned long long)seen,
			 (unsigned long long)wanted);
}

void
canary_audit(const struct canary_book *book, bool all)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	/* 1 if somebody was stopped, too. */
	if (all && cubby_cache_verify(book->cache) > 1)
		test_die("verify: %s", cubby_error_detail());
	if (cubby_cache_stats_snapshot(book->cache, &stats) != 0)
		test_die("statistics: %s", cubby_error_detail());
	check_count("S1", stats.n_live + sum_not_live(&stats), stats.n_cells);
}

static void
check_stats(const struct cubby_cache_stats *stats)
{
	check_count("exact statistics", stats->is_exact, 1);
	check_count("n_live", stats->n_live, 0);
	check_count("n_deferred", stats->n_deferred, 0);
	check_count("n_watches", stats->n_watches, 0);
	check_count("n_walks", stats->n_walks, 0);
	check_count("S1", sum_not_live(stats), stats->n_cells);
}

uint64_t
canary_fini(struct canary_book *book)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	check_count("ends of lives", counted(&book->n_ends),
		    counted(&book->n_lives));
	if (book->has_callbacks) {
		check_count("ctor", counted(&book->n_ctor),
			    counted(&book->n_lives));
		check_count("dtor", counted(&book->n_dtor),
			    counted(&book->n_lives));
		check_count("on_expire", counted(&book->n_expired),
			    counted(&book->n_taken));
	}
	check_count("verify", (uint64_t)cubby_cache_verify(book->cache), 0);
	check_count("statistics",
		    (uint64_t)cubby_cache_stats_snapshot(book->cache, &stats),
		    0);
	check_stats(&stats);
	check_count("destroy", (uint64_t)cubby_cache_destroy(book->cache), 0);
	check_count("destroy",
		    (uint64_t)cubby_cache_destroy_force(book->other), 0);
	munmap(book->generations, CELLS_MAX * sizeof(uint32_t));
	return stats.n_retired;
}
