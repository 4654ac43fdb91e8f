/* SPDX-License-Identifier: MIT */
/*
 * The soak: caches of all sorts that watch their objects, used rightly by many
 * threads, and wrongly at times that are known.
 *
 * A misuse is planted: who is going to do it writes down what must be reported
 * and of which address, does it, and waits for the report.  A report that nobody
 * has planted ends the program, as does a planted one that does not come; so each
 * is found exactly once, and nothing else is.
 *
 * Objects are stamped with a stream that only their ticket at their address
 * produces, and that is in their first word: who finds one by a slot or by a
 * handle can check it without knowing whose it was.
 *
 * What each cache has answered is counted, and compared with its statistics at
 * its end: allocations that were made to fail, damaged objects, calls of ctor,
 * dtor, init, fini and of watches.
 *
 * The first fault ends the program.
 */
#ifndef CUBBY_TESTS_SOAK_H
#define CUBBY_TESTS_SOAK_H

#include "oracle.h"

#include <cubby/weak.h>

/* --------------------------------- faults -------------------------------- */

/* Say why, and with which seed the round began, and end the program. */
__attribute__((format(printf, 1, 2), noreturn)) void
soak_die(const char *format, ...);

#define SOAK_REQUIRE(condition, what)                                         \
	do {                                                                  \
		if (!(condition))                                             \
			soak_die("%s:%d: %s; %s", __FILE__, __LINE__, what,   \
				 cubby_error_detail());                       \
	} while (0)

/* The seed of the round that begins. */
void soak_set_seed(uint64_t seed);

/* --------------------------------- plants -------------------------------- */

#define SOAK_OWNERS_MAX 128
#define SOAK_CODES_MAX 32

/* From now on the hook expects reports that were planted, and no others. */
void soak_expect_plants(void);

/* An owner has one plant at a time: a report of this code and address. */
void soak_plant(unsigned owner, enum cubby_misuse_code code,
		const void *address);

/* Has it been reported? */
bool soak_is_found(unsigned owner);

/* It has been by now, or is being reported by another thread: wait for that. */
void soak_harvest(unsigned owner);

/* In a fork child others' plants may be found once more, or never. */
void soak_plants_in_child(void);

/* All threads have ended: as many reports as plants.  How many there were. */
uint64_t soak_count_plants(void);
void soak_print_plants(void);

/* --------------------------------- caches -------------------------------- */

#define SOAK_SLOTS 64

struct soak_sort {
	const char *name;
	size_t object_bytes;
	size_t align_bytes;
	struct cubby_cache_attr attr;
	bool has_init;
	bool has_ctor;
	bool has_flavor;
};

struct soak_cache {
	struct cubby_cache *cache;
	const struct soak_sort *sort;
	size_t object_bytes;
	size_t state_bytes; /* in front, the callbacks' */
	size_t word_bytes;  /* before a counted object, and not guarded */
	uint64_t debug;     /* CUBBY_DEBUG_* that it has */
	uint64_t fail_nth, fail_every;
	bool poisons;
	bool may_be_full; /* allocations fail for other reasons, too */
	bool is_own;      /* one thread's: what fails is known in advance */

	/* Atomic. */
	uint64_t n_tries, n_null, n_damaged;
	uint64_t n_refused, n_refused_of_reserves; /* by ctor */
	uint64_t n_init, n_fini, n_ctor, n_dtor;
	uint64_t n_published, n_unpublished;
	uint64_t n_watched, n_cancelled, n_expired;
	void *slots[SOAK_SLOTS];        /* objects that anybody may take */
	cubby_weak handles[SOAK_SLOTS]; /* objects that anybody may free */
};

extern const struct soak_sort soak_sorts[];
extern const size_t soak_n_sorts;

/* Create one, watched in a way that is drawn; not `is_own`: by all threads. */
void soak_open(struct soak_cache *it, const struct soak_sort *sort,
	       const char *name, bool is_own, uint64_t *random);

/*
 * Nobody uses it any more and its owner has freed his objects: free what lies in
 * slots and tables, count everything, destroy it.
 */
void soak_close(struct soak_cache *it);

/* Can writes beside an object be found, and into a free one? */
bool soak_has_zones(const struct soak_cache *it);
bool soak_has_poison(const struct soak_cache *it);
bool soak_is_watched(const struct soak_cache *it);

/* A stamped object, or NULL: it was made to fail, or the cache is full. */
void *soak_alloc(struct soak_cache *it, uint64_t *random);
bool soak_alloc_bulk(struct soak_cache *it, size_t n, void **ret_objects,
		     uint64_t *random);

/* Is it as its owner left it? */
void soak_check(const struct soak_cache *it, const void *object,
		const char *who);

/* Check it, and free it in one of the ways that there are. */
void soak_free(struct soak_cache *it, void *object, uint64_t *random);

/* What was freed is destructed now. */
void soak_barrier(struct soak_cache *it);

/* cubby_cache_validate(), again if a thread does not go on. */
void soak_validate(struct soak_cache *it);

/* --------------------------------- workers ------------------------------- */

#define SOAK_HELD 48
#define SOAK_DEAD 16
#define SOAK_OWN_MAX 64

struct soak_held {
	struct soak_cache *in;
	void *object;      /* NULL: none */
	cubby_weak handle; /* of it, or CUBBY_WEAK_NULL */
};

/* For one thread at a time. */
struct soak_worker {
	unsigned owner; /* less than SOAK_OWNERS_MAX */
	uint64_t random;
	struct soak_cache *shared; /* one of each sort */
	struct soak_held held[SOAK_HELD], dead[SOAK_DEAD];
	int null; /* a descriptor of /dev/null */

	/* A cache that nobody else allocates from; it comes and goes. */
	struct soak_cache own;
	void *objects[SOAK_OWN_MAX];
	unsigned n_objects, n_own_steps;
};

void soak_begin(struct soak_worker *worker, unsigned owner,
		struct soak_cache *shared, uint64_t seed);
void soak_step(struct soak_worker *worker);
void soak_end(struct soak_worker *worker);

#endif /* CUBBY_TESTS_SOAK_H */
