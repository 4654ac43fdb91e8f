/* SPDX-License-Identifier: MIT */
/*
 * The ownership oracle: an independent record of who owns which object.
 *
 * It believes nothing that Cubby says.  A shadow table, keyed by address,
 * holds the ticket of every object that somebody owns; the object's body
 * is stamped with a stream that only this ticket at this address produces (all
 * of its first 512 bytes, and a word in each 512 after them).
 *
 *	alloc   the address must have no ticket; it gets one and is stamped
 *	hold    the ticket must be the holder's, and the body as stamped
 *	free    the same, then the ticket is torn up, then Cubby gets the object
 *	walk    what has the same ticket before and after is visited once; what
 *	        lay free before and after, not at all
 *
 * So an object that is handed out twice, given away early or written by a
 * stranger is found at the latest when its owner looks at it.  Objects that
 * overlap are found by their bytes.
 *
 * The table is a fixed array of atomic words, used with relaxed ordering only:
 * the oracle adds no synchronisation of its own that could hide a missing one
 * in Cubby from ThreadSanitizer.
 *
 * The first fault ends the program: what an allocator does after one proves
 * nothing, and may hang.
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
	ORACLE_PLANT_BLIND,    /* a walk's visit is overlooked */
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
	uint32_t *order; /* places in shadow[], in order of entry */
	uint64_t n_entries;
	uint64_t sequence;
	uint64_t n_begun, n_ended; /* calls, as objects */
	uint64_t n_faults[N_ORACLE_FAULTS];
	uint64_t n_busy; /* answers -EBUSY that nothing explains */
	bool may_be_busy;
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

/* An object of an open reserve; NULL: it is empty. */
void *oracle_reserve_alloc(struct oracle *oracle, unsigned owner,
			   struct cubby_reserve *reserve);

/* Check an object that `owner` owns: false if it was a fault. */
bool oracle_hold(struct oracle *oracle, unsigned owner, const void *object);

/* `to` becomes the owner; called by the receiving thread. */
void oracle_hand_over(struct oracle *oracle, unsigned from, unsigned to,
		      void *object);

/*
 * meddle.c: shrink, verify, walk, count, report, ask: whatever may happen at
 * any moment.  A cache stands still within 100 ms, or the answer is -EBUSY;
 * more than a few of those are a fault unless may_be_busy: too many threads
 * for the cores, or walks that others hold open.
 */
void oracle_meddle(struct oracle *oracle, uint64_t random);
void oracle_meddle_walk(struct oracle *oracle);
void oracle_meddle_stats(struct oracle *oracle);

/* A fault found by the caller: ends the program unless a bug is planted. */
void oracle_fault(struct oracle *oracle, enum oracle_fault fault,
		  const void *object, const char *what);
uint64_t oracle_n_faults(const struct oracle *oracle);

bool oracle_plant_strikes(struct oracle *oracle, enum oracle_plant plant);

/*
 * The table, for walks: entries have numbers below n_entries; their tickets
 * and addresses; and the objects that calls may have taken which have no
 * ticket yet.
 */
#define ORACLE_NO_ENTRY UINT64_MAX

enum oracle_state {
	ORACLE_PASSING, /* in a call of Cubby's: live or not */
	ORACLE_OWNED,
	ORACLE_FREE
};

uint64_t oracle_n_entries(const struct oracle *oracle);
uint64_t oracle_entry_of(const struct oracle *oracle, const void *object);
uint64_t oracle_ticket(const struct oracle *oracle, uint64_t entry,
		       const void **object);
enum oracle_state oracle_state(uint64_t ticket);
uint64_t oracle_n_begun(const struct oracle *oracle);
uint64_t oracle_n_ended(const struct oracle *oracle);

/* ------------------------------ for all tests ---------------------------- */

/* splitmix64; the seed is CUBBY_TEST_SEED or the time, and is printed. */
uint64_t test_random(uint64_t *state);
uint64_t test_seed(void);

/* n scaled by CUBBY_TEST_SCALE percent, at least 1. */
uint64_t test_scaled(uint64_t n);

unsigned test_n_cores(void);

/* Say why on stderr and end the program with 1; in a handler too. */
__attribute__((format(printf, 1, 2), noreturn)) void
test_die(const char *format, ...);

/* Zeroed memory that no test runs out of; for munmap(). */
void *test_map(size_t bytes);

/* Allocs and frees that were made; the sum is printed at the end. */
void test_count_operations(uint64_t n);

/*
 * Wait for a child, at most so many seconds, then kill it: its exit status, or
 * -1 if a signal ended it.  alarm() in the child would not do: a deadlocked
 * Cubby call has every signal blocked.
 */
int test_wait_child(pid_t child, unsigned seconds);

/* Is the program under ThreadSanitizer, AddressSanitizer, or slower yet? */
bool test_on_tsan(void);
bool test_on_asan(void);
bool test_is_slow(void);

#endif /* CUBBY_TESTS_ORACLE_H */
