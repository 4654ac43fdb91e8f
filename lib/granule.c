/* SPDX-License-Identifier: MIT */
/* LAYER 3: granule - the process's address space, in pieces of 16 MiB */
#include "granule.h"

#include "annotate.h"
#include "bits.h"
#include "budget.h"
#include "check.h"
#include "host.h"
#include "lock.h"
#include "options.h"
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One part in so many of the budget is for bookkeeping alone. */
#define PLAIN_PART 64

/* A cache that may grow gets one part in so many of what remains. */
#define RANGE_PART 1024

#define RETIRED_MAX 64
#define UNIT_BYTES_MIN 4096
#define UNITS_MAX (GRANULE_BYTES / UNIT_BYTES_MIN)

/* Granules of malloc()'s: as many as a client of Valgrind has. */
#define FOREIGN_MAX 8192
#define FOREIGN_FLAG 0x40000000u
#define FOREIGN_UNIT_BYTES 16
#define FOREIGN_UNITS (GRANULE_BYTES / FOREIGN_UNIT_BYTES)

/* The tables are made writable in steps of so many bytes. */
#define TABLE_STEP_BYTES ((uint64_t)64 << 10)

/*
 * The record of a shared granule, mapped when the granule is:
 *
 *	0      base, next_unit, n_used_units
 *	24     used[]     one bit a unit
 *	...    owners[]   8 bytes a unit
 */
struct shared {
	char *base;
	uint64_t next_unit; /* where the next search starts: delays reuse */
	uint64_t n_used_units;
	uint64_t used[UNITS_MAX / 64];
	struct granule_owner owners[UNITS_MAX];
};

/* Of one that is not ours, and where objects are all the same. */
struct foreign {
	uint64_t index; /* in the table */
	struct granule_owner owners[FOREIGN_UNITS];
};

struct range {
	char *base;
	uint64_t bytes;
};

static struct lock lock = LOCK_INIT(LOCK_RANK_GRANULE);

/* Written under the lock, once; read without it after init. */
uint32_t *cubby__granule_table;
uint64_t cubby__granule_n; /* 0 until there is a table */
static uint32_t *ordinals;
static bool is_small;

/* Under the lock. */
static uint64_t budget_bytes;
static uint64_t used_bytes; /* cells and bookkeeping */
static uint64_t cell_bytes; /* of them, retired ranges included */
static struct shared *shared[GRANULES_SHARED_MAX];
static uint32_t n_shared;
struct granule_owner *cubby__granule_units[GRANULES_SHARED_MAX];
unsigned cubby__granule_unit_shift;
static struct foreign *foreign[FOREIGN_MAX];
static uint32_t n_foreign;
static struct range retired[RETIRED_MAX];
static uint64_t n_retired_ever; /* also the place of the next one */
static uint64_t n_retired;
static uint64_t retired_bytes;

static uint64_t
unit_bytes(void)
{
	return max_u64(UNIT_BYTES_MIN, cubby__os_page_bytes());
}

/*
 * Bytes that may still be reserved.  Cells leave a part of the budget to
 * bookkeeping: a cache that has address space must not starve for want of a
 * place for its records.
 */
static uint64_t
left_bytes(bool for_cells)
{
	uint64_t total = used_bytes < budget_bytes ?
				 budget_bytes - used_bytes :
				 0;
	uint64_t cell_limit = budget_bytes - budget_bytes / PLAIN_PART;

	if (!for_cells)
		return total;
	return cell_bytes < cell_limit ?
		       min_u64(total, cell_limit - cell_bytes) :
		       0;
}

static int
init_locked(void)
{
	uint64_t entries = (uint64_t)1
			   << (cubby__os_address_bits() - GRANULE_SHIFT);
	uint64_t table_bytes = entries * sizeof(*cubby__granule_table);
	void *base;
	int err;

	if (cubby__granule_table != NULL)
		return 0;
	budget_bytes = cubby__budget_choose();
	cubby__granule_unit_shift = bit_highest(unit_bytes());
	/* In small budgets no chunk is a granule: ordinals are in records. */
	is_small = budget_bytes < SMALL_BUDGET_BYTES;
	used_bytes = is_small ? table_bytes : 2 * table_bytes;
	err = cubby__os_map_zeroes(used_bytes, &base);
	if (err)
		return err;
	if (!is_small)
		ordinals = (uint32_t *)((char *)base + table_bytes);
	/* Pairs with the acquire in cubby__granule_find. */
	__atomic_store_n(&cubby__granule_table, base, __ATOMIC_RELEASE);
	/* Pairs with the acquire in granule_id(), which reads this first. */
	__atomic_store_n(&cubby__granule_n, entries, __ATOMIC_RELEASE);
	return 0;
}

int
cubby__granule_init(void)
{
	sigset_t saved;
	int err;

	if (__atomic_load_n(&cubby__granule_table, __ATOMIC_ACQUIRE) != NULL)
		return 0;
	cubby__options_read();
	cubby__lock_acquire(&lock, &saved);
	err = init_locked();
	cubby__lock_release(&lock, &saved);
	return err;
}

bool
cubby__granule_wants_units(void)
{
	sigset_t saved;
	bool few;

	cubby__lock_acquire(&lock, &saved);
	few = left_bytes(true) < SMALL_BUDGET_BYTES;
	cubby__lock_release(&lock, &saved);
	return is_small || few;
}

uint64_t
cubby__granule_budget_bytes(void)
{
	return budget_bytes;
}

uint64_t
cubby__granule_used_bytes(void)
{
	uint64_t bytes;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	bytes = used_bytes;
	cubby__lock_release(&lock, &saved);
	return bytes;
}

uint64_t
cubby__granule_unit_bytes(void)
{
	return unit_bytes();
}

/* --------------------------------- the table ----------------------------- */

static bool
index_of(const void *address, uint64_t *ret_index)
{
	*ret_index = (uintptr_t)address >> GRANULE_SHIFT;
	return *ret_index < cubby__granule_n;
}

/* Make the pages of `table` writable that hold entries first .. last. */
static int
commit_entries(uint32_t *table, uint64_t first, uint64_t last)
{
	uintptr_t start = align_down((uintptr_t)&table[first],
				     TABLE_STEP_BYTES);
	uintptr_t end = align_up((uintptr_t)&table[last + 1],
				 TABLE_STEP_BYTES);

	/* The table is not aligned to a step: stay inside it. */
	start = max_u64(start, (uintptr_t)table);
	end = min_u64(end, (uintptr_t)&table[cubby__granule_n]);
	return cubby__os_commit((void *)start, end - start);
}

/* Write a range's entries; with id 0, forget them. */
static int
set_owner(const char *base, uint64_t bytes, uint32_t id, uint32_t ordinal)
{
	uint64_t first, last;
	int err;

	if (!index_of(base, &first) || !index_of(base + bytes - 1, &last))
		return -ENOMEM;
	if (id != 0) {
		err = commit_entries(cubby__granule_table, first, last);
		if (!err && ordinal != 0)
			err = commit_entries(ordinals, first, last);
		if (err)
			return err;
	}
	for (uint64_t i = first; i <= last; i++) {
		if (ordinals != NULL && ordinals[i] != ordinal)
			__atomic_store_n(&ordinals[i], ordinal,
					 __ATOMIC_RELAXED);
		/* Release: whoever sees the owner sees its ordinal. */
		__atomic_store_n(&cubby__granule_table[i], id,
				 __ATOMIC_RELEASE);
	}
	return 0;
}

static uint64_t
offset_bytes(const void *address)
{
	return (uintptr_t)address & (GRANULE_BYTES - 1);
}

/* In a granule that is in units of so many bytes. */
static bool
find_unit(const struct granule_owner *units, uint64_t bytes,
	  const void *address, struct granule_owner *ret_owner)
{
	const struct granule_owner *unit =
		&units[offset_bytes(address) / bytes];

	ret_owner->id = __atomic_load_n(&unit->id, __ATOMIC_ACQUIRE);
	ret_owner->ordinal = __atomic_load_n(&unit->ordinal, __ATOMIC_RELAXED);
	return ret_owner->id != 0;
}

static void
set_unit(struct granule_owner *unit, struct granule_owner owner)
{
	__atomic_store_n(&unit->ordinal, owner.ordinal, __ATOMIC_RELAXED);
	__atomic_store_n(&unit->id, owner.id, __ATOMIC_RELEASE);
}

bool
cubby__granule_find(const void *address, struct granule_owner *ret_owner)
{
	uint32_t *table = __atomic_load_n(&cubby__granule_table,
					  __ATOMIC_ACQUIRE);
	uint64_t i;
	uint32_t id;

	if (table == NULL || !index_of(address, &i))
		return false;
	id = __atomic_load_n(&table[i], __ATOMIC_ACQUIRE);
	if (id == 0)
		return false;
	if (id & GRANULE_SHARED)
		return find_unit(cubby__granule_units[id & ~GRANULE_SHARED],
				 unit_bytes(), address, ret_owner);
	if (id & FOREIGN_FLAG)
		return find_unit(__atomic_load_n(&foreign[id & ~FOREIGN_FLAG],
						 __ATOMIC_ACQUIRE)
					 ->owners,
				 FOREIGN_UNIT_BYTES, address, ret_owner);
	ret_owner->id = id;
	ret_owner->ordinal = ordinals ? __atomic_load_n(&ordinals[i],
							__ATOMIC_RELAXED) :
					0;
	return true;
}

/* -------------------------------- the budget ----------------------------- */

static void
unmap_oldest_retired(void)
{
	struct range *range =
		&retired[(n_retired_ever - n_retired) % RETIRED_MAX];

	set_owner(range->base, range->bytes, 0, 0);
	cubby__os_unmap(range->base, range->bytes);
	used_bytes -= range->bytes;
	cell_bytes -= range->bytes;
	retired_bytes -= range->bytes;
	n_retired--;
}

static int
reserve_locked(uint64_t bytes, uint64_t align_bytes, bool for_cells,
	       char **ret_base)
{
	void *base;
	int err;

	if (bytes > left_bytes(for_cells) + retired_bytes)
		return -ENOMEM;
	while (bytes > left_bytes(for_cells) && n_retired > 0)
		unmap_oldest_retired();
	if (bytes > left_bytes(for_cells))
		return -ENOMEM;
	err = cubby__os_reserve(bytes, align_bytes, &base);
	if (err)
		return err;
	used_bytes += bytes;
	if (for_cells)
		cell_bytes += bytes;
	*ret_base = base;
	return 0;
}

static void
release_locked(char *base, uint64_t bytes, bool for_cells)
{
	cubby__os_unmap(base, bytes);
	used_bytes -= bytes;
	if (for_cells)
		cell_bytes -= bytes;
}

uint64_t
cubby__granule_default_range_bytes(void)
{
	uint64_t bytes;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	bytes = left_bytes(true) / RANGE_PART;
	cubby__lock_release(&lock, &saved);
	bytes = align_down(bytes, GRANULE_BYTES);
	return min_u64(max_u64(bytes, GRANULE_BYTES),
		       cubby__host.range_bytes_max);
}

static int
take_locked(uint64_t bytes, struct granule_owner owner, char **ret_base)
{
	char *base;
	int err = reserve_locked(bytes, GRANULE_BYTES, true, &base);

	if (err)
		return err;
	err = set_owner(base, bytes, owner.id, owner.ordinal);
	if (err) {
		release_locked(base, bytes, true);
		return err;
	}
	*ret_base = base;
	return 0;
}

int
cubby__granule_take(uint64_t bytes, struct granule_owner owner,
		    char **ret_base)
{
	sigset_t saved;
	int err;

	cubby__lock_acquire(&lock, &saved);
	err = take_locked(bytes, owner, ret_base);
	cubby__lock_release(&lock, &saved);
	return err;
}

void
cubby__granule_give(char *base, uint64_t bytes)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	set_owner(base, bytes, 0, 0);
	release_locked(base, bytes, true);
	cubby__lock_release(&lock, &saved);
}

int
cubby__granule_take_heap(struct granule_owner owner, char **ret_base)
{
	char *base = aligned_alloc(GRANULE_BYTES, GRANULE_BYTES);
	sigset_t saved;
	int err;

	if (base == NULL)
		return -ENOMEM;
	cubby__lock_acquire(&lock, &saved);
	err = set_owner(base, GRANULE_BYTES, owner.id, owner.ordinal);
	cubby__lock_release(&lock, &saved);
	if (err) {
		free(base);
		return err;
	}
	cubby__annotate_hide(base, GRANULE_BYTES);
	*ret_base = base;
	return 0;
}

void
cubby__granule_give_heap(char *base)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	set_owner(base, GRANULE_BYTES, 0, 0);
	cubby__lock_release(&lock, &saved);
	cubby__os_commit(base, GRANULE_BYTES); /* whatever was taken of it */
	free(base);
}

void
cubby__granule_retire(char *base, uint64_t bytes)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	if (n_retired == RETIRED_MAX)
		unmap_oldest_retired();
	/* Where the kernel has no mapping left to spare, keep less. */
	if (cubby__os_decommit(base, bytes) != 0) {
		cubby__os_drop(base, bytes);
		set_owner(base, bytes, 0, 0);
		release_locked(base, bytes, true);
	} else {
		retired[n_retired_ever++ % RETIRED_MAX] = (struct range){
			base, bytes
		};
		n_retired++;
		retired_bytes += bytes;
	}
	cubby__lock_release(&lock, &saved);
}

void
cubby__granule_forget(uint32_t id)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	for (uint64_t i = 1; i <= n_retired; i++) {
		struct range *range =
			&retired[(n_retired_ever - i) % RETIRED_MAX];
		struct granule_owner owner;

		if (cubby__granule_find(range->base, &owner) && owner.id == id)
			set_owner(range->base, range->bytes, 0, 0);
	}
	cubby__lock_release(&lock, &saved);
}

int
cubby__granule_take_plain(uint64_t bytes, char **ret_base)
{
	sigset_t saved;
	int err;

	cubby__lock_acquire(&lock, &saved);
	err = reserve_locked(bytes, cubby__os_page_bytes(), false, ret_base);
	cubby__lock_release(&lock, &saved);
	return err;
}

void
cubby__granule_give_plain(char *base, uint64_t bytes)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	release_locked(base, bytes, false);
	cubby__lock_release(&lock, &saved);
}

/* ----------------------------- shared granules --------------------------- */

static uint64_t
n_units(void)
{
	return GRANULE_BYTES / unit_bytes();
}

static bool
unit_used(const struct shared *granule, uint64_t unit)
{
	return granule->used[unit / 64] >> (unit % 64) & 1;
}

/* First unit of a free run of n in [from, to), or n_units(). */
static uint64_t
find_run(const struct shared *granule, uint64_t n, uint64_t from, uint64_t to)
{
	uint64_t run = 0;

	for (uint64_t unit = from; unit < to; unit++) {
		run = unit_used(granule, unit) ? 0 : run + 1;
		if (run == n)
			return unit + 1 - n;
	}
	return n_units();
}

static void
set_units(struct shared *granule, uint64_t first, uint64_t n,
	  struct granule_owner owner)
{
	for (uint64_t unit = first; unit < first + n; unit++) {
		granule->used[unit / 64] ^= (uint64_t)1 << (unit % 64);
		set_unit(&granule->owners[unit], owner);
	}
}

static bool
take_run(struct shared *granule, uint64_t n, struct granule_owner owner,
	 char **ret_base)
{
	uint64_t first;

	if (granule->n_used_units + n > n_units())
		return false;
	first = find_run(granule, n, granule->next_unit, n_units());
	if (first == n_units())
		first = find_run(granule, n, 0, n_units());
	if (first == n_units())
		return false;
	set_units(granule, first, n, owner);
	granule->n_used_units += n;
	granule->next_unit = first + n;
	*ret_base = granule->base + first * unit_bytes();
	return true;
}

static uint64_t
record_bytes_of_shared(void)
{
	return align_up(sizeof(struct shared), cubby__os_page_bytes());
}

static bool
can_add_shared(void)
{
	return n_shared < GRANULES_SHARED_MAX &&
	       GRANULE_BYTES + record_bytes_of_shared() <=
		       left_bytes(true) + retired_bytes;
}

bool
cubby__granule_has_units(void)
{
	sigset_t saved;
	bool has;

	cubby__lock_acquire(&lock, &saved);
	has = n_shared > 0 || can_add_shared();
	cubby__lock_release(&lock, &saved);
	return has;
}

/* The number of a record without a granule: 0 or -ENOMEM. */
static int
reach_record(uint32_t *ret_n)
{
	uint64_t record_bytes = record_bytes_of_shared();
	void *record;
	uint32_t n;

	for (n = 0; n < n_shared; n++)
		if (shared[n]->base == NULL)
			break;
	*ret_n = n;
	if (n < n_shared)
		return 0;
	if (cubby__os_map(record_bytes, &record) != 0)
		return -ENOMEM;
	shared[n] = record;
	used_bytes += record_bytes;
	/* Before its granule has an owner: find may follow the entry at once. */
	__atomic_store_n(&cubby__granule_units[n], shared[n]->owners,
			 __ATOMIC_RELEASE);
	n_shared++;
	return 0;
}

/* No entry has ever led to it: nobody is looking at it. */
static void
drop_last_record(void)
{
	n_shared--;
	__atomic_store_n(&cubby__granule_units[n_shared], NULL,
			 __ATOMIC_RELEASE);
	cubby__os_unmap(shared[n_shared], record_bytes_of_shared());
	shared[n_shared] = NULL;
	used_bytes -= record_bytes_of_shared();
}

/* Another shared granule, and its number: 0 or -ENOMEM. */
static int
add_shared(uint32_t *ret_n)
{
	struct granule_owner owner = { 0, 0 };
	uint32_t n_before = n_shared;
	int err;

	if (!can_add_shared())
		return -ENOMEM;
	err = reach_record(ret_n);
	if (err)
		return err;
	owner.id = GRANULE_SHARED | *ret_n;
	err = take_locked(GRANULE_BYTES, owner, &shared[*ret_n]->base);
	if (err && n_shared != n_before)
		drop_last_record();
	return err;
}

/* Its record stays: somebody may be looking at it. */
static void
remove_shared(struct shared *granule)
{
	char *base = granule->base;

	granule->base = NULL;
	granule->next_unit = 0;
	set_owner(base, GRANULE_BYTES, 0, 0);
	release_locked(base, GRANULE_BYTES, true);
}

int
cubby__granule_take_units(uint64_t bytes, struct granule_owner owner,
			  char **ret_base)
{
	uint64_t n = div_up(bytes, unit_bytes());
	sigset_t saved;
	uint32_t i;
	int err = 0;

	cubby__lock_acquire(&lock, &saved);
	for (i = 0; i < n_shared; i++)
		if (shared[i]->base != NULL &&
		    take_run(shared[i], n, owner, ret_base))
			break;
	if (i == n_shared) {
		err = add_shared(&i);
		if (!err && !take_run(shared[i], n, owner, ret_base))
			err = -ENOMEM;
	}
	cubby__lock_release(&lock, &saved);
	return err;
}

void
cubby__granule_give_units(char *base, uint64_t bytes)
{
	uint64_t n = div_up(bytes, unit_bytes());
	struct granule_owner nobody = { 0, 0 };
	struct shared *granule;
	sigset_t saved;
	uint64_t i;

	cubby__lock_acquire(&lock, &saved);
	i = (uintptr_t)base >> GRANULE_SHIFT;
	CHECK_DEBUG(cubby__granule_table[i] & GRANULE_SHARED); /* A1 */
	granule = shared[cubby__granule_table[i] & ~GRANULE_SHARED];
	if (cubby__os_decommit(base, n * unit_bytes()) != 0)
		cubby__os_drop(base, n * unit_bytes());
	set_units(granule, offset_bytes(base) / unit_bytes(), n, nobody);
	granule->n_used_units -= n;
	if (granule->n_used_units == 0 && cubby__host.is_malloc)
		remove_shared(granule);
	cubby__lock_release(&lock, &saved);
}

/* ---------------------------- blocks of malloc() ------------------------- */

/* The record of a granule that is not ours: made if it lacks one; NULL. */
static struct foreign *
reach_foreign(uint64_t index)
{
	struct foreign *granule;
	void *record;
	uint32_t n;

	if (index >= cubby__granule_n)
		return NULL;
	if (cubby__granule_table[index] & FOREIGN_FLAG)
		return foreign[cubby__granule_table[index] & ~FOREIGN_FLAG];
	/* It may have been a retired range's in between. */
	for (n = 0; n < n_foreign; n++)
		if (foreign[n]->index == index)
			break;
	if (n == FOREIGN_MAX ||
	    commit_entries(cubby__granule_table, index, index) != 0)
		return NULL;
	if (n == n_foreign) {
		if (cubby__os_map(sizeof(*granule), &record) != 0)
			return NULL;
		granule = record;
		granule->index = index;
		__atomic_store_n(&foreign[n_foreign++], granule,
				 __ATOMIC_RELEASE);
	}
	__atomic_store_n(&cubby__granule_table[index], FOREIGN_FLAG | n,
			 __ATOMIC_RELEASE);
	return foreign[n];
}

static int
set_block_locked(uintptr_t start, uint64_t bytes, struct granule_owner owner)
{
	for (uintptr_t at = start; at < start + bytes;
	     at += FOREIGN_UNIT_BYTES) {
		struct foreign *granule = reach_foreign(at >> GRANULE_SHIFT);

		if (granule == NULL)
			return -ENOMEM;
		set_unit(&granule->owners[offset_bytes((void *)at) /
					  FOREIGN_UNIT_BYTES],
			 owner);
	}
	return 0;
}

int
cubby__granule_set_block(const void *start, uint64_t bytes,
			 struct granule_owner owner)
{
	sigset_t saved;
	int err;

	cubby__lock_acquire(&lock, &saved);
	err = set_block_locked((uintptr_t)start, bytes, owner);
	cubby__lock_release(&lock, &saved);
	return err;
}

/* ------------------------------ verify and fork -------------------------- */

static size_t
verify_shared(const struct shared *granule)
{
	size_t n_faults = 0;
	uint64_t n_used = 0;

	for (uint64_t unit = 0; unit < n_units(); unit++) {
		bool used = unit_used(granule, unit);

		n_used += used;
		n_faults += used != (granule->owners[unit].id != 0); /* A3 */
	}
	return n_faults + (n_used != granule->n_used_units);
}

size_t
cubby__granule_verify(void)
{
	size_t n_faults = 0;
	uint64_t bytes = 0;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	for (uint32_t i = 0; i < n_shared; i++)
		n_faults += verify_shared(shared[i]);
	for (uint64_t i = 1; i <= n_retired; i++)
		bytes += retired[(n_retired_ever - i) % RETIRED_MAX].bytes;
	n_faults += bytes != retired_bytes || bytes > used_bytes; /* A4 */
	cubby__lock_release(&lock, &saved);
	return n_faults;
}

void
cubby__granule_fork_prepare(void)
{
	cubby__lock_seize(&lock);
}

void
cubby__granule_fork_done(void)
{
	cubby__lock_unseize(&lock);
}
