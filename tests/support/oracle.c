/* SPDX-License-Identifier: MIT */
/* The ownership oracle; its theory is in oracle.h. */
#include "oracle.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Distinct addresses that one oracle can meet: 2^20 entries of 16 bytes. */
#define SHADOW_SHIFT 20
#define SHADOW_ENTRIES ((uint64_t)1 << SHADOW_SHIFT)
#define SHADOW_BYTES (SHADOW_ENTRIES * sizeof(struct oracle_entry))
#define ORDER_BYTES (SHADOW_ENTRIES * sizeof(uint32_t))

/* A ticket: the owner above, a sequence number below. */
#define TICKET_SHIFT 48
#define TICKET_FREEING ((uint64_t)1 << 47) /* owner 0: on its way to Cubby */
/* A large object is stamped densely at its start, and thinly after that. */
#define STAMP_DENSE_BYTES 512
#define STAMP_SPARSE_BYTES 512
#define STAMP_STEP 0x9e3779b97f4a7c15u

/* What init and ctor leave at the start of an object. */
#define INIT_STATE 0x1517a1b5c0ffee01u
#define CTOR_STATE 0xc0457c7edbadcafeu
#define INIT_OFFSET 0
#define CTOR_OFFSET 8

/* A planted bug strikes at the so-manieth alloc or free. */
#define PLANT_EVERY 97

/*
 * An address once entered stays, and its ticket keeps the last sequence number
 * while nobody owns it: so two equal ones, before and after a walk, say that
 * nothing happened in between.
 */
struct oracle_entry {
	uintptr_t address;
	uint64_t ticket;
	uint64_t number; /* in order of entry, from 1 */
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
	__atomic_add_fetch(&oracle->n_faults[fault], 1, __ATOMIC_RELAXED);
	if (oracle->plant == ORACLE_PLANT_NONE)
		test_die("object %p of %zu bytes: %s", object,
			 oracle->object_bytes, what);
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

/* The entry of an address, or the place for it. */
static struct oracle_entry *
shadow_place(const struct oracle *oracle, uintptr_t address)
{
	uint64_t i = mix(address) & (SHADOW_ENTRIES - 1);

	for (;; i = (i + 1) & (SHADOW_ENTRIES - 1)) {
		uintptr_t there = __atomic_load_n(&oracle->shadow[i].address,
						  __ATOMIC_RELAXED);

		if (there == 0 || there == address)
			return &oracle->shadow[i];
	}
}

static struct oracle_entry *
shadow_entry(struct oracle *oracle, const void *object)
{
	uintptr_t address = (uintptr_t)object;
	uint64_t number;

	for (;;) {
		struct oracle_entry *entry = shadow_place(oracle, address);
		uintptr_t there = 0;

		if (__atomic_load_n(&entry->address, __ATOMIC_RELAXED) ==
		    address)
			return entry;
		if (!__atomic_compare_exchange_n(
			    &entry->address, &there, address, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		number = __atomic_fetch_add(&oracle->n_entries, 1,
					    __ATOMIC_RELAXED);
		__atomic_store_n(&oracle->order[number],
				 (uint32_t)(entry - oracle->shadow),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&entry->number, number + 1, __ATOMIC_RELAXED);
		return entry;
	}
}

static uint64_t
get_ticket(const struct oracle_entry *entry)
{
	return __atomic_load_n(&entry->ticket, __ATOMIC_RELAXED);
}

static unsigned
owner_of(uint64_t ticket)
{
	return (unsigned)(ticket >> TICKET_SHIFT);
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
	uint64_t ticket = get_ticket(shadow_entry(oracle, object));

	if (owner_of(ticket) == owner)
		return ticket;
	oracle_fault(oracle, ORACLE_NOT_OWNED, object,
		     owner_of(ticket) ? "owned by another" :
					"owned by nobody");
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

/*
 * Calls that may have taken objects from Cubby which have no ticket yet, as
 * objects: what a walk may find besides those with tickets.
 */
static void
begin_calls(struct oracle *oracle, size_t n)
{
	__atomic_add_fetch(&oracle->n_begun, n, __ATOMIC_RELAXED);
}

static void
end_calls(struct oracle *oracle, size_t n)
{
	__atomic_add_fetch(&oracle->n_ended, n, __ATOMIC_RELAXED);
}

uint64_t
oracle_n_begun(const struct oracle *oracle)
{
	return __atomic_load_n(&oracle->n_begun, __ATOMIC_RELAXED);
}

uint64_t
oracle_n_ended(const struct oracle *oracle)
{
	return __atomic_load_n(&oracle->n_ended, __ATOMIC_RELAXED);
}

uint64_t
oracle_n_entries(const struct oracle *oracle)
{
	return __atomic_load_n(&oracle->n_entries, __ATOMIC_RELAXED);
}

uint64_t
oracle_entry_of(const struct oracle *oracle, const void *object)
{
	const struct oracle_entry *entry = shadow_place(oracle,
							(uintptr_t)object);
	uint64_t number = __atomic_load_n(&entry->number, __ATOMIC_RELAXED);

	return number != 0 ? number - 1 : ORACLE_NO_ENTRY;
}

uint64_t
oracle_ticket(const struct oracle *oracle, uint64_t entry, const void **object)
{
	uint32_t i = __atomic_load_n(&oracle->order[entry], __ATOMIC_RELAXED);
	const struct oracle_entry *it = &oracle->shadow[i];

	*object = (const void *)__atomic_load_n(&it->address,
						__ATOMIC_RELAXED);
	/* Its number comes last: before that it is in the making. */
	return __atomic_load_n(&it->number, __ATOMIC_RELAXED) == entry + 1 ?
		       get_ticket(it) :
		       0;
}

enum oracle_state
oracle_state(uint64_t ticket)
{
	if (owner_of(ticket) != 0)
		return ORACLE_OWNED;
	return ticket == 0 || (ticket & TICKET_FREEING) ? ORACLE_PASSING :
							  ORACLE_FREE;
}

/* --------------------------------- stamps -------------------------------- */

/* Write the stream, or compare with it: false at the first difference. */
static bool
stamp(const struct oracle *oracle, char *object, uint64_t ticket, bool write)
{
	uint64_t word = mix(ticket ^ (uintptr_t)object);
	size_t end = oracle->object_bytes;
	size_t n;

	for (size_t at = oracle->state_bytes; at < end;
	     at += at < STAMP_DENSE_BYTES ? n : STAMP_SPARSE_BYTES) {
		n = end - at < sizeof(word) ? end - at : sizeof(word);
		if (write)
			memcpy(object + at, &word, n);
		else if (memcmp(object + at, &word, n) != 0)
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

bool
oracle_plant_strikes(struct oracle *oracle, enum oracle_plant plant)
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
	    oracle_plant_strikes(oracle, ORACLE_PLANT_TWICE))
		return oracle->planted;
	object = cubby_alloc(oracle->cache);
	if (object != NULL && oracle_plant_strikes(oracle, ORACLE_PLANT_EARLY))
		cubby_free(oracle->cache, object);
	return object;
}

static void
wrapped_free(struct oracle *oracle, void *object)
{
	if (oracle_plant_strikes(oracle, ORACLE_PLANT_LEAK))
		return;
	if (oracle_plant_strikes(oracle, ORACLE_PLANT_FORGET))
		set_state(object, INIT_OFFSET, 0);
	cubby_free(oracle->cache, object);
}

/* -------------------------------- operations ----------------------------- */

/* False: somebody owns it already, so the caller must not touch it. */
static bool
adopt(struct oracle *oracle, unsigned owner, void *object)
{
	struct oracle_entry *entry = shadow_entry(oracle, object);
	uint64_t ticket = new_ticket(oracle, owner);
	uint64_t before = get_ticket(entry);

	do
		if (owner_of(before) != 0) {
			oracle_fault(oracle, ORACLE_TWICE, object,
				     "handed out while it is owned");
			return false;
		}
	while (!__atomic_compare_exchange_n(&entry->ticket, &before, ticket,
					    false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED));
	check_state(oracle, object);
	if (!oracle_plant_strikes(oracle, ORACLE_PLANT_NO_STAMP))
		stamp(oracle, object, ticket, true);
	if (oracle_plant_strikes(oracle, ORACLE_PLANT_SCRIBBLE))
		((char *)object)[oracle->object_bytes - 1] ^= 1;
	if (oracle->plant == ORACLE_PLANT_TWICE && oracle->planted == NULL)
		oracle->planted = object;
	return true;
}

/* What a ticket becomes when its owner lets go. */
static uint64_t
freeing(uint64_t ticket)
{
	return (ticket & (TICKET_FREEING - 1)) | TICKET_FREEING;
}

/* Check, and take the ticket back: it, or 0: not the owner's to free. */
static uint64_t
disown(struct oracle *oracle, unsigned owner, void *object)
{
	uint64_t ticket;

	oracle_hold(oracle, owner, object);
	ticket = ticket_of(oracle, owner, object);
	return ticket != 0 && swap_ticket(oracle, object, ticket,
					  freeing(ticket)) ?
		       ticket :
		       0;
}

/* Cubby has it back, and has perhaps handed it out again. */
static void
note_freed(struct oracle *oracle, void *object, uint64_t ticket)
{
	swap_ticket(oracle, object, freeing(ticket),
		    freeing(ticket) & ~TICKET_FREEING);
}

static void *
adopt_or_null(struct oracle *oracle, unsigned owner, void *object)
{
	if (object != NULL && !adopt(oracle, owner, object))
		object = NULL;
	end_calls(oracle, 1);
	return object;
}

void *
oracle_alloc(struct oracle *oracle, unsigned owner)
{
	begin_calls(oracle, 1);
	return adopt_or_null(oracle, owner, wrapped_alloc(oracle));
}

void *
oracle_reserve_alloc(struct oracle *oracle, unsigned owner,
		     struct cubby_reserve *reserve)
{
	begin_calls(oracle, 1);
	return adopt_or_null(oracle, owner, cubby_reserve_alloc(reserve));
}

void
oracle_free(struct oracle *oracle, unsigned owner, void *object)
{
	uint64_t ticket;

	/* The oracle's own witness outlives the bug that it is there for. */
	if (object == NULL || object == oracle->planted)
		return;
	ticket = disown(oracle, owner, object);
	if (ticket == 0)
		return;
	wrapped_free(oracle, object);
	note_freed(oracle, object, ticket);
}

bool
oracle_alloc_bulk(struct oracle *oracle, unsigned owner, size_t n,
		  void **ret_objects)
{
	bool done;

	begin_calls(oracle, n);
	done = cubby_alloc_bulk(oracle->cache, n, ret_objects) == 0;
	for (size_t i = 0; done && i < n; i++)
		if (!adopt(oracle, owner, ret_objects[i]))
			ret_objects[i] = NULL;
	end_calls(oracle, n);
	return done;
}

#define BULK_MAX 512

static void
free_some(struct oracle *oracle, unsigned owner, size_t n, void **objects)
{
	uint64_t tickets[BULK_MAX];

	for (size_t i = 0; i < n; i++) {
		tickets[i] = objects[i] != NULL ?
				     disown(oracle, owner, objects[i]) :
				     0;
		if (tickets[i] == 0)
			objects[i] = NULL;
	}
	cubby_free_bulk(oracle->cache, n, objects);
	for (size_t i = 0; i < n; i++)
		if (objects[i] != NULL)
			note_freed(oracle, objects[i], tickets[i]);
}

void
oracle_free_bulk(struct oracle *oracle, unsigned owner, size_t n,
		 void **objects)
{
	for (size_t i = 0; i < n; i += BULK_MAX)
		free_some(oracle, owner, n - i < BULK_MAX ? n - i : BULK_MAX,
			  objects + i);
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
	oracle->shadow = test_map(SHADOW_BYTES);
	oracle->order = test_map(ORDER_BYTES);
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
	munmap(oracle->shadow, SHADOW_BYTES);
	munmap(oracle->order, ORDER_BYTES);
	test_count_operations(oracle->n_begun * 2);
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
