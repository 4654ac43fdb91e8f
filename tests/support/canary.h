/* SPDX-License-Identifier: MIT */
/*
 * Canaries: objects that say what life they are of, for caches with handles.
 *
 *	mark      unique to a life; 0 while nobody has filled the object in
 *	state     fresh, made by ctor, filled in, or destructed
 *	handle    of this life, or 0: it has none, or it came later
 *	hash[]    of the mark, to the object's end
 *
 * All but `handle` is written before the handle is made, which comes last, and
 * not at all with CANARY_EARLY: then nothing but Cubby orders what a reader of
 * the handle sees.  dtor poisons all of it.
 *
 * Whoever finds an object by a handle, holds or borrows it looks at it with
 * canary_check(), at the beginning and at the end: a life that ended meanwhile,
 * or another's object, does not look the same.
 *
 * What must be counted is counted here: lives, their ends, calls of ctor, dtor
 * and on_expire; and the generations that a cell has had.
 *
 * A fault ends the program.
 */
#ifndef CUBBY_TESTS_CANARY_H
#define CUBBY_TESTS_CANARY_H

#include "oracle.h"

#include <cubby/weak.h>

#define CANARY_OWNERS_MAX 64
#define CANARY_WORDS_MAX 32

/* What is written before the handle is all that there will be. */
#define CANARY_EARLY 1u
/* Its dtor is counted for its owner, who is in the mark. */
#define CANARY_PRIVATE 2u

struct canary {
	uint64_t mark;
	uint64_t state;
	uint64_t handle;
	uint64_t n_expired;
	uint64_t hash[CANARY_WORDS_MAX - 4];
};

/* What became of a watch. */
struct watched {
	cubby_weak handle;
	uint32_t n_called;
	uint32_t n_cancelled;
};

struct canary_book {
	struct cubby_cache *cache;
	unsigned n_words; /* of an object */
	bool has_callbacks;
	bool has_handles;

	/*
	 * Objects are copied while they are written, which is a race that only
	 * atomic stores make harmless; others must need none.
	 */
	bool is_copied;

	struct cubby_cache *other;
	cubby_weak foreign; /* a handle of its */

	/* Atomic. */
	uint64_t n_lives, n_taken, n_ends;
	uint64_t n_ctor, n_dtor, n_expired;
	uint64_t n_private_dtor[CANARY_OWNERS_MAX];
	uint32_t *generations; /* the last one of each cell, and 1 */
};

/*
 * Create the cache and an empty book.  The callbacks and the context of `attr`
 * are the book's.  What cubby_cache_create_sized() returned.
 */
int canary_init(struct canary_book *book, unsigned n_words, bool has_callbacks,
		const struct cubby_cache_attr *attr);

/*
 * All lives have ended and nothing waits any more: do the numbers add up?  Then
 * destroy the cache.  How many cells are retired.
 */
uint64_t canary_fini(struct canary_book *book);

/* A new life, filled in; NULL: there is no memory.  `flags`: CANARY_*. */
struct canary *canary_alloc(struct canary_book *book, unsigned owner,
			    uint64_t serial, unsigned flags);

/* Its handle, by its owner, the first time. */
cubby_weak canary_name(struct canary_book *book, struct canary *canary);

/* A life has ended by a call of ours. */
void canary_count_end(struct canary_book *book);

/*
 * Is it as its owner left it?  @handle: that it was found by, or 0.  Its mark.
 */
uint64_t canary_check(const struct canary_book *book,
		      const struct canary *canary, cubby_weak handle,
		      const char *who);

/* Copy it, and look at the copy: false if it is dead. */
bool canary_copy(const struct canary_book *book, cubby_weak handle);

/* What a walk has seen. */
#define CANARY_LOOKS_MAX 64

struct canary_looks {
	size_t n;
	const struct canary *canaries[CANARY_LOOKS_MAX];
	uint64_t marks[CANARY_LOOKS_MAX];
};

/*
 * Look at some objects of a run, as the bits of `choice` say, and notice those
 * that are filled in.  For caches with dtor: else what is handed out just now
 * looks as its last life did.
 */
void canary_look(const struct canary_book *book, struct canary_looks *looks,
		 const struct cubby_run *run, uint64_t choice);

/* They are what they were. */
void canary_look_again(const struct canary_book *book,
		       const struct canary_looks *looks);

/*
 * Watch the object of a handle: false if it is dead.  The record is the watch's
 * until all lives have ended; then it has been called or cancelled, once.
 */
bool canary_watch(struct canary_book *book, cubby_weak handle,
		  struct watched *watched, cubby_watch *ret_name);
void canary_unwatch(struct canary_book *book, struct watched *watched,
		    cubby_watch name);
void canary_check_watch(const struct watched *watched);

/* What must be true of a cache at any moment. */
void canary_audit(const struct canary_book *book, bool all);

#endif /* CUBBY_TESTS_CANARY_H */
