/* SPDX-License-Identifier: MIT */
/* The ownership oracle; its theory is in oracle.h. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Distinct addresses that one oracle can meet: 2^20 entries of 16 bytes. */
#define SHADOW_SHIFT 20
#define SHADOW_ENTRIES ((uint64_t)1 << SHADOW_SHIFT)

#define TICKET_SHIFT 48 /* owner above, sequence below */
#define STAMP_STEP 0x9e3779b97f4a7c15u

/* What init and ctor leave at the start of an object. */
#define INIT_STATE 0x1517a1b5c0ffee01u
#define CTOR_STATE 0xc0457c7edbadcafeu
#define INIT_OFFSET 0
#define CTOR_OFFSET 8

/* A planted bug strikes at the so-manieth alloc or free. */
#define PLANT_EVERY 97

/* An address once entered stays; its ticket is 0 while nobody owns it. */
struct oracle_entry {
	uintptr_t address;
	uint64_t ticket;
};

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* --------------------------------- faults -------------------------------- */

void
oracle_fault(struct oracle *oracle, enum oracle_fault fault,
	     const void *object, const char *what)
{
	uint64_t n = 0;

	for (int i = 0; i < N_ORACLE_FAULTS; i++)
		n += __atomic_load_n(&oracle->n_faults[i], __ATOMIC_RELAXED);
	/* Two threads may both be the first: then one text wins, in part. */
	if (n == 0 && oracle->plant == ORACLE_PLANT_NONE)
		snprintf(oracle->first_fault, sizeof(oracle->first_fault),
			 "object %p of %zu bytes: %s", object,
			 oracle->object_bytes, what);
	__atomic_add_fetch(&oracle->n_faults[fault], 1, __ATOMIC_RELAXED);
}

uint64_t
oracle_n_faults(const struct oracle *oracle)
{
	uint64_t n = 0;

	for (int i = 0; i < N_ORACLE_FAULTS; i++)
		n += __atomic_load_n(&oracle->n_faults[i], __ATOMIC_RELAXED);
	return n;
}

/* --------------------------------- shadow -------------------------------- */

static struct oracle_entry *
shadow_entry(struct oracle *oracle, const void *object)
{
	uintptr_t address = (uintptr_t)object;
	uint64_t i = mix(address) & (SHADOW_ENTRIES - 1);

	for (;; i = (i + 1) & (SHADOW_ENTRIES - 1)) {
		struct oracle_entry *entry = &oracle->shadow[i];
		uintptr_t there = 0;

		if (__atomic_compare_exchange_n(
			    &entry->address, &there, address, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
		    there == address)
			return entry;
	}
}

static uint64_t
new_ticket(struct oracle *oracle, unsigned owner)
{
	uint64_t sequence = __atomic_add_fetch(&oracle->sequence, 1,
					       __ATOMIC_RELAXED);

	return (uint64_t)owner << TICKET_SHIFT | sequence;
}

/* The ticket if `owner` owns the object, else 0 and a fault. */
static uint64_t
ticket_of(struct oracle *oracle, unsigned owner, const void *object)
{
	uint64_t ticket = __atomic_load_n(
		&shadow_entry(oracle, object)->ticket, __ATOMIC_RELAXED);

	if (ticket >> TICKET_SHIFT == owner)
		return ticket;
	oracle_fault(oracle, ORACLE_NOT_OWNED, object,
		     ticket ? "owned by another" : "owned by nobody");
	return 0;
}

static bool
swap_ticket(struct oracle *oracle, const void *object, uint64_t from,
	    uint64_t to)
{
	return __atomic_compare_exchange_n(
		&shadow_entry(oracle, object)->ticket, &from, to, false,
		__ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* --------------------------------- stamps -------------------------------- */

/* Write the stream, or compare with it: false at the first difference. */
static bool
stamp(const struct oracle *oracle, char *object, uint64_t ticket, bool write)
{
	uint64_t word = mix(ticket ^ (uintptr_t)object);
	char *end = object + oracle->object_bytes;
	size_t n;

	for (char *at = object + oracle->state_bytes; at < end; at += n) {
		n = (size_t)(end - at) < sizeof(word) ? (size_t)(end - at) :
							sizeof(word);
		if (write)
			memcpy(at, &word, n);
		else if (memcmp(at, &word, n) != 0)
			return false;
		word += STAMP_STEP;
	}
	return true;
}

static uint64_t
get_state(const void *object, size_t offset)
{
	uint64_t state;

	memcpy(&state, (const char *)object + offset, sizeof(state));
	return state ^ (uintptr_t)object;
}

static void
set_state(void *object, size_t offset, uint64_t state)
{
	state ^= (uintptr_t)object;
	memcpy((char *)object + offset, &state, sizeof(state));
}

static bool
check_state(struct oracle *oracle, const void *object)
{
	if ((oracle->callbacks & ORACLE_INIT) &&
	    get_state(object, INIT_OFFSET) != INIT_STATE) {
		oracle_fault(oracle, ORACLE_STATE, object,
			     "init's state is gone");
		return false;
	}
	if ((oracle->callbacks & ORACLE_CTOR) &&
	    get_state(object, CTOR_OFFSET) != CTOR_STATE) {
		oracle_fault(oracle, ORACLE_STATE, object,
			     "ctor's state is gone");
		return false;
	}
	return true;
}

/* -------------------------------- callbacks ------------------------------ */

static int
on_init(void *object, void *context)
{
	struct oracle *oracle = context;

	__atomic_add_fetch(&oracle->n_init, 1, __ATOMIC_RELAXED);
	set_state(object, INIT_OFFSET, INIT_STATE);
	set_state(object, CTOR_OFFSET, 0);
	return 0;
}

static void
on_fini(void *object, void *context)
{
	struct oracle *oracle = context;

	__atomic_add_fetch(&oracle->n_fini, 1, __ATOMIC_RELAXED);
	if (get_state(object, INIT_OFFSET) != INIT_STATE)
		oracle_fault(oracle, ORACLE_STATE, object,
			     "fini of a cell that init did not see");
	if (get_state(object, CTOR_OFFSET) != 0)
		oracle_fault(oracle, ORACLE_STATE, object,
			     "fini of a cell without a dtor");
	set_state(object, INIT_OFFSET, 0);
}

static int
on_ctor(void *object, void *context)
{
	struct oracle *oracle = context;

	__atomic_add_fetch(&oracle->n_ctor, 1, __ATOMIC_RELAXED);
	if ((oracle->callbacks & ORACLE_INIT) &&
	    get_state(object, CTOR_OFFSET) != 0)
		oracle_fault(oracle, ORACLE_STATE, object,
			     "ctor of an object that has lived on");
	set_state(object, CTOR_OFFSET, CTOR_STATE);
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	struct oracle *oracle = context;

	__atomic_add_fetch(&oracle->n_dtor, 1, __ATOMIC_RELAXED);
	if (get_state(object, CTOR_OFFSET) != CTOR_STATE)
		oracle_fault(oracle, ORACLE_STATE, object,
			     "dtor of an object without a ctor");
	set_state(object, CTOR_OFFSET, 0);
}

/* ------------------------------- planted bugs ---------------------------- */

static bool
plant_strikes(struct oracle *oracle, enum oracle_plant plant)
{
	return oracle->plant == plant &&
	       __atomic_add_fetch(&oracle->n_until_plant, 1,
				  __ATOMIC_RELAXED) %
			       PLANT_EVERY ==
		       0;
}

/* cubby_alloc(), unless a bug is planted in it. */
static void *
wrapped_alloc(struct oracle *oracle)
{
	void *object;

	if (oracle->planted != NULL &&
	    plant_strikes(oracle, ORACLE_PLANT_TWICE))
		return oracle->planted;
	object = cubby_alloc(oracle->cache);
	if (object != NULL && plant_strikes(oracle, ORACLE_PLANT_EARLY))
		cubby_free(oracle->cache, object);
	return object;
}

static void
wrapped_free(struct oracle *oracle, void *object)
{
	if (plant_strikes(oracle, ORACLE_PLANT_LEAK))
		return;
	if (plant_strikes(oracle, ORACLE_PLANT_FORGET))
		set_state(object, INIT_OFFSET, 0);
	cubby_free(oracle->cache, object);
}

/* -------------------------------- operations ----------------------------- */

/* False: somebody owns it already, so the caller must not touch it. */
static bool
adopt(struct oracle *oracle, unsigned owner, void *object)
{
	uint64_t ticket = new_ticket(oracle, owner);

	if (!swap_ticket(oracle, object, 0, ticket)) {
		oracle_fault(oracle, ORACLE_TWICE, object,
			     "handed out while it is owned");
		return false;
	}
	check_state(oracle, object);
	if (!plant_strikes(oracle, ORACLE_PLANT_NO_STAMP))
		stamp(oracle, object, ticket, true);
	if (plant_strikes(oracle, ORACLE_PLANT_SCRIBBLE))
		((char *)object)[oracle->object_bytes - 1] ^= 1;
	if (oracle->plant == ORACLE_PLANT_TWICE && oracle->planted == NULL)
		oracle->planted = object;
	return true;
}

/* Check, and take the ticket back; false: not the owner's to free. */
static bool
disown(struct oracle *oracle, unsigned owner, void *object)
{
	uint64_t ticket;

	oracle_hold(oracle, owner, object);
	ticket = ticket_of(oracle, owner, object);
	return ticket != 0 && swap_ticket(oracle, object, ticket, 0);
}

void *
oracle_alloc(struct oracle *oracle, unsigned owner)
{
	void *object = wrapped_alloc(oracle);

	return object != NULL && adopt(oracle, owner, object) ? object : NULL;
}

void
oracle_free(struct oracle *oracle, unsigned owner, void *object)
{
	/* The oracle's own witness outlives the bug that it is there for. */
	if (object == NULL || object == oracle->planted)
		return;
	if (disown(oracle, owner, object))
		wrapped_free(oracle, object);
}

bool
oracle_alloc_bulk(struct oracle *oracle, unsigned owner, size_t n,
		  void **ret_objects)
{
	if (cubby_alloc_bulk(oracle->cache, n, ret_objects) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!adopt(oracle, owner, ret_objects[i]))
			ret_objects[i] = NULL;
	return true;
}

void
oracle_free_bulk(struct oracle *oracle, unsigned owner, size_t n,
		 void **objects)
{
	for (size_t i = 0; i < n; i++)
		if (objects[i] != NULL && !disown(oracle, owner, objects[i]))
			objects[i] = NULL;
	cubby_free_bulk(oracle->cache, n, objects);
}

bool
oracle_hold(struct oracle *oracle, unsigned owner, const void *object)
{
	uint64_t ticket = ticket_of(oracle, owner, object);

	if (ticket == 0)
		return false;
	if (!stamp(oracle, (char *)object, ticket, false)) {
		oracle_fault(oracle, ORACLE_OVERWRITTEN, object,
			     "not as its owner stamped it");
		return false;
	}
	return check_state(oracle, object);
}

void
oracle_hand_over(struct oracle *oracle, unsigned from, unsigned to,
		 void *object)
{
	uint64_t before, after = new_ticket(oracle, to);

	oracle_hold(oracle, from, object);
	before = ticket_of(oracle, from, object);
	if (before == 0 || !swap_ticket(oracle, object, before, after))
		return;
	stamp(oracle, object, after, true);
}

/* --------------------------------- meddling ------------------------------ */

static void
meddle_stats(struct oracle *oracle)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (cubby_cache_stats_snapshot(oracle->cache, &stats) != 0 ||
	    stats.n_cells != stats.n_live + stats.n_free + stats.n_returned ||
	    stats.reserved_bytes !=
		    stats.committed_bytes + stats.uncommitted_bytes ||
	    stats.populated_bytes > stats.committed_bytes)
		oracle_fault(oracle, ORACLE_CONTRADICTED, NULL,
			     "S1, S2 or S3 does not hold");
}

static void
meddle_walk(struct oracle *oracle)
{
	struct cubby_walk *walk;
	struct cubby_run run;

	if (cubby_walk_create(&walk, oracle->cache) != 0)
		return;
	while (cubby_walk_next(walk, &run)) {
		const char *last = (const char *)run.first +
				   (run.n_objects - 1) * run.stride_bytes;

		if (run.n_objects == 0 ||
		    run.stride_bytes < oracle->object_bytes ||
		    cubby_cache_of(run.first) != oracle->cache ||
		    cubby_cache_of(last) != oracle->cache)
			oracle_fault(oracle, ORACLE_CONTRADICTED, run.first,
				     "a run of a walk is not in the cache");
	}
	cubby_walk_destroy(walk);
}

static void
meddle_report(struct oracle *oracle)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (cubby_cache_report_live(oracle->cache, fd) != 0)
		oracle_fault(oracle, ORACLE_CONTRADICTED, NULL,
			     "report_live failed");
	close(fd);
}

void
oracle_meddle(struct oracle *oracle, uint64_t random)
{
	int err;

	switch (random % 6) {
	case 0:
		err = cubby_cache_shrink(oracle->cache, NULL);
		if (err != 0 && err != -EBUSY)
			oracle_fault(oracle, ORACLE_CONTRADICTED, NULL,
				     "shrink failed");
		break;
	case 1:
		meddle_walk(oracle);
		break;
	case 2:
		meddle_report(oracle);
		break;
	case 3:
		meddle_stats(oracle);
		break;
	default:
		if (cubby_cache_verify(oracle->cache) != 0)
			oracle_fault(oracle, ORACLE_CONTRADICTED, NULL,
				     cubby_error_detail());
	}
}

/* ---------------------------------- life --------------------------------- */

int
oracle_init(struct oracle *oracle, size_t object_bytes, unsigned callbacks,
	    const struct cubby_cache_attr *attr)
{
	struct cubby_cache_attr mine;

	cubby_cache_attr_init(&mine);
	if (attr != NULL)
		mine = *attr;
	*oracle = (struct oracle){ .object_bytes = object_bytes,
				   .callbacks = callbacks };
	if (callbacks != 0)
		oracle->state_bytes = CTOR_OFFSET + sizeof(uint64_t);
	mine.init = callbacks & ORACLE_INIT ? on_init : NULL;
	mine.fini = callbacks & ORACLE_INIT ? on_fini : NULL;
	mine.ctor = callbacks & ORACLE_CTOR ? on_ctor : NULL;
	mine.dtor = callbacks & ORACLE_CTOR ? on_dtor : NULL;
	mine.context = oracle;
	oracle->shadow = mmap(NULL, SHADOW_ENTRIES * sizeof(*oracle->shadow),
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
	if (oracle->shadow == MAP_FAILED)
		return -ENOMEM;
	return cubby_cache_create_sized(&oracle->cache, "oracle", object_bytes,
					0, &mine);
}

static void
count(struct oracle *oracle)
{
	if (oracle->n_init != oracle->n_fini)
		oracle_fault(oracle, ORACLE_COUNT, NULL,
			     "fini did not run as often as init");
	if (oracle->n_ctor != oracle->n_dtor)
		oracle_fault(oracle, ORACLE_COUNT, NULL,
			     "dtor did not run as often as ctor");
	munmap(oracle->shadow, SHADOW_ENTRIES * sizeof(*oracle->shadow));
}

void
oracle_fini(struct oracle *oracle)
{
	if (cubby_cache_verify(oracle->cache) != 0)
		oracle_fault(oracle, ORACLE_CONTRADICTED, NULL,
			     cubby_error_detail());
	if (cubby_cache_destroy(oracle->cache) != 0)
		oracle_fault(oracle, ORACLE_COUNT, NULL, cubby_error_detail());
	count(oracle);
}

void
oracle_fini_force(struct oracle *oracle)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	uint64_t n_mine = oracle->planted != NULL;

	if (cubby_cache_stats_snapshot(oracle->cache, &stats) != 0 ||
	    stats.n_live != n_mine)
		oracle_fault(oracle, ORACLE_COUNT, NULL,
			     "objects live that nobody owns");
	if (cubby_cache_destroy_force(oracle->cache) != 0)
		oracle_fault(oracle, ORACLE_COUNT, NULL, cubby_error_detail());
	count(oracle);
}
