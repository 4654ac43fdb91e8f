/* SPDX-License-Identifier: MIT */
/*
 * weak_rival.h - ways to refer to objects that may be dead.
 *
 *	weak_way    from a reference to its object: S7 and S8
 *	weak_lives  whole lives of objects that were referred to: S9 and M6
 *	weak_kind   what an object and the means to refer to it take: M2
 *
 * Of each there are Cubby's, in weak_cubby.c and weak_lives.c, and rivals':
 * std::weak_ptr, GWeakRef, a hash table of ids under RCU, call_rcu().  What is
 * in these files goes into the benches of weak handles only: they need
 * liburcu and GObject.
 */
#ifndef BENCH_RIVALS_WEAK_RIVAL_H
#define BENCH_RIVALS_WEAK_RIVAL_H

#include "rival.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The objects of S7, S8, S9 and M6: four words, the first of which is read. */
enum { WEAK_OBJECT_WORDS = 4, WEAK_OBJECT_BYTES = 32, WEAK_ALIGN_BYTES = 8 };

/* As in calls.h, which is not C++. */
#define WEAK_INLINE static inline __attribute__((always_inline))
#define WEAK_INSTANCE static __attribute__((noinline, aligned(64)))

/* ---------------------------------- ways ---------------------------------- */

struct weak_way {
	const char *name;

	/* n objects, of which number i holds i + 1; NULL: out of memory. */
	void *(*create)(size_t n_objects);

	/* References to objects targets[0 .. n); NULL: out of memory. */
	void *(*refer)(void *pool, size_t n, const uint32_t *targets);

	/*
	 * Around all that a thread does: registers it, and keeps a read section
	 * open, where the way has one that is left open.  NULL: nothing.
	 */
	void (*enter)(void);
	void (*leave)(void);

	/*
	 * Follow all references, n_turns times: the sum of what the objects
	 * hold, to which a dead one adds nothing.
	 */
	uint64_t (*follow)(void *pool, const void *refs, size_t n,
			   size_t n_turns);

	/* End the life of one; no thread has entered.  NULL: none notices. */
	void (*end)(void *pool, size_t object);
};

extern const struct weak_way weak_pointer; /* the floor: nothing is checked */
extern const struct weak_way weak_cubby;   /* a section is open */
extern const struct weak_way weak_cubby_pair;    /* a section for each */
extern const struct weak_way weak_cubby_counted; /* RCU and is_strong */
extern const struct weak_way weak_cubby_copy;    /* REUSE, 8 bytes */
extern const struct weak_way weak_cubby_strong;  /* upgrade and put */
extern const struct weak_way weak_cubby_both;    /* the same, with RCU too */
extern const struct weak_way weak_lfht, weak_lfht_pair;
extern const struct weak_way weak_ptr;  /* lock(), and drop */
extern const struct weak_way weak_gref; /* g_weak_ref_get(), and unref */

/* What a way does with one reference: what the object holds, or 0. */
typedef uint64_t weak_read_fn(void *pool, const void *refs, size_t i);

/* The loop that each way's follow() is an instance of. */
WEAK_INLINE uint64_t
weak_follow(weak_read_fn *read, void *pool, const void *refs, size_t n,
	    size_t n_turns)
{
	uint64_t sum = 0;

	for (size_t turn = 0; turn < n_turns; turn++) {
		for (size_t i = 0; i < n; i++)
			sum += read(pool, refs, i);
		/* Or the compiler may take one turn's sum for all. */
		__asm__ volatile("" : : : "memory");
	}
	return sum;
}

/* ---------------------------------- lives --------------------------------- */

struct weak_lives_count {
	uint64_t n_ended;        /* reclaimed, or freed at once */
	uint64_t n_waiting_peak; /* for a grace period */
	uint64_t bytes_each;     /* of those */
	uint64_t n_overruns;
	uint64_t n_grace_periods; /* 0: it does not say */
	struct rival_proof proof;
};

struct weak_lives {
	const char *name;
	const void *setting; /* for create() */

	/*
	 * @limit_bytes: of objects that wait, if it can be told; 0: none.
	 * Returns NULL when out of memory.
	 */
	void *(*create)(const void *setting, uint64_t limit_bytes);

	/* The thread that lives them, and one that reads meanwhile. */
	void (*enter)(void *pool);
	void (*leave)(void *pool);
	/* A read section: NULL, or not to be called, where nothing waits. */
	void (*lock)(void *pool);
	void (*unlock)(void *pool);

	/*
	 * n times: allocate an object, write to it, take a reference, free it.
	 * n is a multiple of WEAK_LIVES_PER_TURN.  Returns how many were done:
	 * fewer if one could not be allocated.
	 */
	size_t (*live)(void *pool, size_t n);

	/* Wait until all have ended. */
	void (*settle)(void *pool);

	/* 0, or -EBADMSG if something is not as it should be. */
	int (*count)(void *pool, uint64_t n_done,
		     struct weak_lives_count *ret_count);
};

/* All of Cubby's; ends with one without a name. */
extern const struct weak_lives weak_lives_cubby[];
/* malloc, a word that says whether it lives, and call_rcu(); flavour memb. */
extern const struct weak_lives weak_lives_call_rcu;
/* The same, and its id in a hash table meanwhile. */
extern const struct weak_lives weak_lives_lfht;
extern const struct weak_lives weak_lives_ptr; /* freed at once */

/* Lives after which a thread does what an event loop does at each turn. */
enum { WEAK_LIVES_PER_TURN = 1024 };

/* ---------------------------------- kinds --------------------------------- */

/* What the program keeps for an object: its pointer and its reference. */
struct weak_place {
	uint64_t words[4];
};

struct weak_kind {
	const char *name;
	size_t place_bytes; /* used of a struct weak_place */

	/* NULL: out of memory, or none of that size. */
	void *(*create)(size_t object_bytes);
	void (*destroy)(void *pool);

	/* An object that has been referred to, and its address; or NULL. */
	void *(*make)(void *pool, struct weak_place *ret_place);
	/* By the reference: NULL if it is dead. */
	void *(*find)(void *pool, const struct weak_place *place);
	void (*end)(void *pool, struct weak_place *place);
};

extern const struct weak_kind weak_kind_plain; /* Cubby, no handles: M1 */
extern const struct weak_kind weak_kind_rcu, weak_kind_reuse;
extern const struct weak_kind weak_kind_strong, weak_kind_both;
extern const struct weak_kind weak_kind_ptr, weak_kind_gref;

#ifdef __cplusplus
}
#endif

#endif /* BENCH_RIVALS_WEAK_RIVAL_H */
