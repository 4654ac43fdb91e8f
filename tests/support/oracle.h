/* SPDX-License-Identifier: MIT */
/*
 * The ownership oracle: an independent record of who owns which object.
 *
 * It believes nothing that Cubby says.  A shadow table, keyed by address,
 * holds the ticket of every object that somebody owns; the object's whole body
 * is stamped with a stream that only this ticket at this address produces.
 *
 *	alloc   the address must have no ticket; it gets one and is stamped
 *	hold    the ticket must be the holder's, and every byte as stamped
 *	free    the same, then the ticket is torn up, then Cubby gets the object
 *
 * So an object that is handed out twice, given away early or written by a
 * stranger is found at the latest when its owner looks at it.  Objects that
 * overlap are found by their bytes.
 *
 * The table is a fixed array of atomic words, used with relaxed ordering only:
 * the oracle adds no synchronisation of its own that could hide a missing one
 * in Cubby from ThreadSanitizer.
 *
 * An oracle that has never caught anything proves nothing: planted bugs
 * (oracle_plant) make the wrapper around Cubby wrong on purpose.
 */
#ifndef CUBBY_TESTS_ORACLE_H
#define CUBBY_TESTS_ORACLE_H

#include <cubby/cubby.h>

#include <stdbool.h>
#include <sys/types.h>

/* Which callbacks the cache under test has. */
#define ORACLE_INIT 1u /* init and fini */
#define ORACLE_CTOR 2u /* ctor and dtor */

/* The smallest object with room for what the callbacks keep in it. */
#define ORACLE_CALLBACK_BYTES 24

enum oracle_fault {
	ORACLE_TWICE,       /* handed out while somebody owns it */
	ORACLE_NOT_OWNED,   /* held or freed by one who does not own it */
	ORACLE_OVERWRITTEN, /* a byte is not as its owner left it */
	ORACLE_STATE,       /* what init or ctor set up is gone */
	ORACLE_COUNT,       /* init and fini, ctor and dtor, or live objects */
	ORACLE_CONTRADICTED, /* verify, statistics or walk contradict */
	N_ORACLE_FAULTS
};

/* Bugs of the wrapper around Cubby; each strikes once in a while. */
enum oracle_plant {
	ORACLE_PLANT_NONE,
	ORACLE_PLANT_TWICE,    /* alloc returns an object that is owned */
	ORACLE_PLANT_EARLY,    /* an object is freed as soon as it is owned */
	ORACLE_PLANT_SCRIBBLE, /* the last byte of an owned object changes */
	ORACLE_PLANT_NO_STAMP, /* an object is not stamped */
	ORACLE_PLANT_FORGET,   /* init's state is wiped behind its back */
	ORACLE_PLANT_LEAK,     /* an object is not passed on to Cubby's free */
	N_ORACLE_PLANTS
};

struct oracle {
	struct cubby_cache *cache;
	size_t object_bytes;
	size_t state_bytes; /* at the object's start, the callbacks' */
	unsigned callbacks;
	enum oracle_plant plant;
	void *planted;
	uint64_t n_until_plant;
	struct oracle_entry *shadow;
	uint64_t sequence;
	uint64_t n_faults[N_ORACLE_FAULTS];
	char first_fault[192];
	uint64_t n_init, n_fini, n_ctor, n_dtor;
};

/*
 * Create the cache and an empty table.  `attr` may be NULL; its callbacks and
 * context are the oracle's.  Returns what cubby_cache_create_sized() did.
 */
int oracle_init(struct oracle *oracle, size_t object_bytes, unsigned callbacks,
		const struct cubby_cache_attr *attr);

/* Destroy the cache, which must be empty, and count what must be even. */
void oracle_fini(struct oracle *oracle);

/* The same for a cache that a planted bug has spoilt: by force. */
void oracle_fini_force(struct oracle *oracle);

/* `owner` is 1 .. 65535 and says who, for instance a thread's number. */
void *oracle_alloc(struct oracle *oracle, unsigned owner);
void oracle_free(struct oracle *oracle, unsigned owner, void *object);
bool oracle_alloc_bulk(struct oracle *oracle, unsigned owner, size_t n,
		       void **ret_objects);
void oracle_free_bulk(struct oracle *oracle, unsigned owner, size_t n,
		      void **objects);

/* Check an object that `owner` owns: false if it was a fault. */
bool oracle_hold(struct oracle *oracle, unsigned owner, const void *object);

/* `to` becomes the owner; called by the receiving thread. */
void oracle_hand_over(struct oracle *oracle, unsigned from, unsigned to,
		      void *object);

/* Shrink, verify, walk, count, report: whatever may happen at any moment. */
void oracle_meddle(struct oracle *oracle, uint64_t random);

/* A fault found by the caller; the first one's words are kept. */
void oracle_fault(struct oracle *oracle, enum oracle_fault fault,
		  const void *object, const char *what);
uint64_t oracle_n_faults(const struct oracle *oracle);

/* ------------------------------ for all tests ---------------------------- */

/* splitmix64; the seed is CUBBY_TEST_SEED or the time, and is printed. */
uint64_t test_random(uint64_t *state);
uint64_t test_seed(void);

/* n scaled by CUBBY_TEST_SCALE percent, at least 1. */
uint64_t test_scaled(uint64_t n);

unsigned test_n_cores(void);

/*
 * Wait for a child, at most so many seconds, then kill it: its exit status, or
 * -1 if a signal ended it.  alarm() in the child would not do: a deadlocked
 * Cubby call has every signal blocked.
 */
int test_wait_child(pid_t child, unsigned seconds);

/* Is the program under ThreadSanitizer or AddressSanitizer? */
bool test_on_tsan(void);
bool test_on_asan(void);

#endif /* CUBBY_TESTS_ORACLE_H */
