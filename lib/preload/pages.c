/* SPDX-License-Identifier: MIT */
/* LAYER 8: pages - runs of pages in granules */
#include "pages.h"

#include "check.h"
#include "extent.h"
#include "os.h"

#include <errno.h>

/* Granules with runs: a tebibyte of them. */
#define RECORDS_MAX ((uint32_t)1 << 16)

/* The table from granules to records, in leaves. */
#define LEAF_SHIFT 12
#define LEAF_ENTRIES ((uint64_t)1 << LEAF_SHIFT)
#define N_LEAVES ((uint64_t)1 << (48 - GRANULE_SHIFT - LEAF_SHIFT))

/* Lengths up to it have a bin each; above, eight to a power of two. */
#define EXACT_PAGES 64
#define N_BINS (EXACT_PAGES + 1 + 6 * 8 + 1)

#define DIRTY_LOOKED_AT 64

struct list {
	uint32_t first, last;
};

struct pages_totals cubby__pages_totals;

static struct record *records[RECORDS_MAX];
static uint32_t n_slots; /* of it that were ever used */
static struct record **leaves[N_LEAVES];
static struct list bins[N_BINS]; /* CLEAN */
static uint64_t bins_used[(N_BINS + 63) / 64];
static struct list dirty;
static bool is_ready;

#define totals cubby__pages_totals

/* --------------------------------- records -------------------------------- */

struct record *
cubby__pages_record(const void *address)
{
	uint64_t granule = (uintptr_t)address >> GRANULE_SHIFT;
	struct record **leaf;

	if (granule >> LEAF_SHIFT >= N_LEAVES)
		return NULL;
	leaf = __atomic_load_n(&leaves[granule >> LEAF_SHIFT],
			       __ATOMIC_ACQUIRE);
	if (leaf == NULL)
		return NULL;
	return __atomic_load_n(&leaf[granule % LEAF_ENTRIES],
			       __ATOMIC_ACQUIRE);
}

int
cubby__pages_set_record(const void *address, struct record *record)
{
	uint64_t granule = (uintptr_t)address >> GRANULE_SHIFT;
	struct record ***leaf = &leaves[granule >> LEAF_SHIFT];
	void *memory;

	if (granule >> LEAF_SHIFT >= N_LEAVES)
		return -ENOMEM;
	if (*leaf == NULL) {
		if (record == NULL)
			return 0;
		if (cubby__os_map(LEAF_ENTRIES * sizeof(**leaf), &memory) != 0)
			return -ENOMEM;
		__atomic_store_n(leaf, memory, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&(*leaf)[granule % LEAF_ENTRIES], record,
			 __ATOMIC_RELEASE);
	return 0;
}

struct run *
cubby__pages_run(uint32_t number)
{
	return &records[number / RUN_PAGES_MAX]->runs[number % RUN_PAGES_MAX];
}

char *
cubby__pages_address(uint32_t number)
{
	return records[number / RUN_PAGES_MAX]->base +
	       (number % RUN_PAGES_MAX) * RUN_PAGE_BYTES;
}

/* ---------------------------------- lists --------------------------------- */

static void
append(struct list *list, uint32_t number)
{
	struct run *run = cubby__pages_run(number);

	run->next = RUN_NONE;
	run->previous = list->last;
	if (list->last != RUN_NONE)
		cubby__pages_run(list->last)->next = number;
	else
		list->first = number;
	list->last = number;
}

static void
unlink_run(struct list *list, uint32_t number)
{
	const struct run *run = cubby__pages_run(number);

	if (run->previous != RUN_NONE)
		cubby__pages_run(run->previous)->next = run->next;
	else
		list->first = run->next;
	if (run->next != RUN_NONE)
		cubby__pages_run(run->next)->previous = run->previous;
	else
		list->last = run->previous;
}

/* The bin of the runs that have at least as many pages as its shortest. */
static unsigned
bin_of(uint32_t n_pages)
{
	unsigned top;

	if (n_pages <= EXACT_PAGES)
		return n_pages;
	top = 31 - (unsigned)__builtin_clz(n_pages);
	return EXACT_PAGES + 1 + (top - 6) * 8 + ((n_pages >> (top - 3)) & 7);
}

/* The first bin from this one on that is not empty, or N_BINS. */
static unsigned
used_bin(unsigned bin)
{
	for (unsigned word = bin / 64; word < ARRAY_SIZE(bins_used); word++) {
		uint64_t bits = bins_used[word];

		if (word == bin / 64)
			bits &= ~(uint64_t)0 << (bin % 64);
		if (bits != 0)
			return word * 64 + (unsigned)__builtin_ctzl(bits);
	}
	return N_BINS;
}

/* A free run into its list, or out of it. */
static void
enlist(uint32_t number)
{
	const struct run *run = cubby__pages_run(number);
	unsigned bin = bin_of(run->n_pages);

	if (run->state == RUN_DIRTY) {
		append(&dirty, number);
		totals.n_dirty += run->n_pages;
		return;
	}
	append(&bins[bin], number);
	bins_used[bin / 64] |= (uint64_t)1 << (bin % 64);
	totals.n_clean += run->n_pages;
}

static void
delist(uint32_t number)
{
	const struct run *run = cubby__pages_run(number);
	unsigned bin = bin_of(run->n_pages);

	if (run->state == RUN_DIRTY) {
		unlink_run(&dirty, number);
		totals.n_dirty -= run->n_pages;
		return;
	}
	unlink_run(&bins[bin], number);
	if (bins[bin].first == RUN_NONE)
		bins_used[bin / 64] &= ~((uint64_t)1 << (bin % 64));
	totals.n_clean -= run->n_pages;
}

/* ----------------------------------- runs --------------------------------- */

static uint32_t
page_in_granule(uint32_t number)
{
	return number % RUN_PAGES_MAX;
}

static void
set_run(uint32_t number, uint32_t n_pages, enum run_state state)
{
	struct run *run = cubby__pages_run(number);

	run->state = state;
	run->n_pages = (uint16_t)n_pages;
	run[n_pages - 1].n_back = (uint16_t)n_pages;
}

static void
count_used(uint32_t number, int32_t n_pages)
{
	struct record *record = records[number / RUN_PAGES_MAX];

	totals.n_empty -= record->n_used_pages == 0;
	record->n_used_pages += (uint32_t)n_pages;
	totals.n_empty += record->n_used_pages == 0;
}

/* Not by us, and without the lock, a run becomes RECENT and USED again. */
static enum run_state
state_of(uint32_t number)
{
	return (enum run_state)__atomic_load_n(
		&cubby__pages_run(number)->state, __ATOMIC_RELAXED);
}

static bool
is_free(uint32_t number)
{
	return state_of(number) > RUN_RECENT;
}

/* The run behind, if it is free; RUN_NONE. */
static uint32_t
free_behind(uint32_t number)
{
	uint32_t behind = number + cubby__pages_run(number)->n_pages;

	if (page_in_granule(behind) == 0 || !is_free(behind))
		return RUN_NONE;
	return behind;
}

/* A run that is in no list becomes free, and one with such neighbours. */
static void
set_free(uint32_t number, enum run_state state)
{
	uint32_t n_pages = cubby__pages_run(number)->n_pages;
	uint32_t behind = free_behind(number);
	uint32_t before;

	if (behind != RUN_NONE && state_of(behind) == state) {
		delist(behind);
		n_pages += cubby__pages_run(behind)->n_pages;
		cubby__pages_run(behind)->state = RUN_INSIDE;
	}
	if (page_in_granule(number) != 0) {
		before = number - cubby__pages_run(number - 1)->n_back;
		if (state_of(before) == state) {
			delist(before);
			n_pages += cubby__pages_run(before)->n_pages;
			cubby__pages_run(number)->state = RUN_INSIDE;
			number = before;
		}
	}
	set_run(number, n_pages, state);
	enlist(number);
}

/* Two runs of one state, in no list; the first stays. */
static uint32_t
split(uint32_t number, uint32_t n_first)
{
	struct run *run = cubby__pages_run(number);
	uint32_t n_pages = run->n_pages;

	set_run(number + n_first, n_pages - n_first, run->state);
	set_run(number, n_first, run->state);
	return number + n_first;
}

void
cubby__pages_give(uint32_t number)
{
	count_used(number, -(int32_t)cubby__pages_run(number)->n_pages);
	set_free(number, RUN_DIRTY);
}

/* ---------------------------------- take ---------------------------------- */

/* Where in a free run n aligned pages begin, from its start; RUN_NONE. */
static uint32_t
fit(uint32_t number, uint32_t n_pages, uint32_t n_align)
{
	uint32_t n_skipped = (uint32_t)align_up(page_in_granule(number),
						n_align) -
			     page_in_granule(number);

	return n_skipped + n_pages <= cubby__pages_run(number)->n_pages ?
		       n_skipped :
		       RUN_NONE;
}

static uint32_t
find_dirty(uint32_t n_pages, uint32_t n_align)
{
	uint32_t best = RUN_NONE;
	uint32_t least = UINT32_MAX;
	unsigned n_left = DIRTY_LOOKED_AT;

	/* The newest ones: they are warm, and the list may be long. */
	for (uint32_t number = dirty.last; number != RUN_NONE && n_left-- > 0;
	     number = cubby__pages_run(number)->previous) {
		uint32_t n_here = cubby__pages_run(number)->n_pages;

		if (n_here < least &&
		    fit(number, n_pages, n_align) != RUN_NONE) {
			best = number;
			least = n_here;
		}
	}
	return best;
}

static uint32_t
find_clean(uint32_t n_pages, uint32_t n_align)
{
	for (unsigned bin = used_bin(bin_of(n_pages)); bin < N_BINS;
	     bin = used_bin(bin + 1))
		for (uint32_t number = bins[bin].first; number != RUN_NONE;
		     number = cubby__pages_run(number)->next)
			if (fit(number, n_pages, n_align) != RUN_NONE)
				return number;
	return RUN_NONE;
}

static void
init_lists(void)
{
	if (is_ready)
		return;
	dirty = (struct list){ RUN_NONE, RUN_NONE };
	for (unsigned bin = 0; bin < N_BINS; bin++)
		bins[bin] = dirty;
	is_ready = true;
}

bool
cubby__pages_fits_dirty(uint32_t n_pages, uint32_t n_align)
{
	return is_ready && find_dirty(n_pages, n_align) != RUN_NONE;
}

static uint64_t
record_bytes(void)
{
	return align_up(sizeof(struct record) +
				RUN_PAGES_MAX * sizeof(struct run),
			cubby__os_page_bytes());
}

/* Addresses for a record's granule: 0 or -ENOMEM. */
static int
reserve_granule(struct record *record)
{
	struct granule_owner owner = { EXTENT_ID, 0 };
	int err = cubby__granule_take(GRANULE_BYTES, owner, &record->base);

	if (err)
		return err;
	record->bytes = GRANULE_BYTES;
	if (!cubby__os_charges_commit())
		err = cubby__os_commit(record->base, GRANULE_BYTES);
	if (!err)
		err = cubby__pages_set_record(record->base, record);
	if (err)
		cubby__granule_give(record->base, GRANULE_BYTES);
	return err;
}

/* Another granule, CLEAN: its number, or RUN_NONE. */
static uint32_t
add_granule(void)
{
	struct record *record;
	uint32_t slot = 0;
	void *memory;

	while (slot < n_slots && records[slot] != NULL)
		slot++;
	if (slot == RECORDS_MAX || cubby__os_map(record_bytes(), &memory) != 0)
		return RUN_NONE;
	record = memory;
	record->number = slot;
	if (reserve_granule(record) != 0) {
		cubby__os_unmap(memory, record_bytes());
		return RUN_NONE;
	}
	records[slot] = record;
	n_slots = (uint32_t)max_u64(n_slots, slot + 1);
	totals.n_records++;
	totals.n_empty++;
	set_run(slot * RUN_PAGES_MAX, RUN_PAGES_MAX, RUN_CLEAN);
	enlist(slot * RUN_PAGES_MAX);
	return slot * RUN_PAGES_MAX;
}

static uint32_t
find(uint32_t n_pages, uint32_t n_align)
{
	uint32_t number = find_dirty(n_pages, n_align);

	if (number == RUN_NONE)
		number = find_clean(n_pages, n_align);
	if (number != RUN_NONE || totals.n_dirty < n_pages)
		return number != RUN_NONE ? number : add_granule();
	/* Perhaps they are apart because they differ. */
	while (number == RUN_NONE && cubby__pages_purge() != 0)
		number = find_clean(n_pages, n_align);
	return number != RUN_NONE ? number : add_granule();
}

uint32_t
cubby__pages_take(uint32_t n_pages, uint32_t n_align, enum run_state *ret_was)
{
	uint32_t number, rest, n_skipped;

	init_lists();
	number = find(n_pages, n_align);
	if (number == RUN_NONE)
		return RUN_NONE;
	delist(number);
	*ret_was = (enum run_state)cubby__pages_run(number)->state;
	n_skipped = fit(number, n_pages, n_align);
	if (n_skipped != 0) {
		uint32_t head = number;

		number = split(head, n_skipped);
		enlist(head);
	}
	if (cubby__pages_run(number)->n_pages > n_pages) {
		rest = split(number, n_pages);
		enlist(rest);
	}
	if (*ret_was == RUN_CLEAN && cubby__os_charges_commit() &&
	    cubby__os_commit(cubby__pages_address(number),
			     n_pages * RUN_PAGE_BYTES) != 0) {
		set_free(number, RUN_CLEAN);
		return RUN_NONE;
	}
	set_run(number, n_pages, RUN_USED);
	count_used(number, (int32_t)n_pages);
	return number;
}

static bool
grow(uint32_t number, uint32_t n_pages)
{
	uint32_t n_old = cubby__pages_run(number)->n_pages;
	uint32_t behind = free_behind(number);
	uint32_t n_more = n_pages - n_old;
	enum run_state state;

	if (behind == RUN_NONE || cubby__pages_run(behind)->n_pages < n_more)
		return false;
	state = (enum run_state)cubby__pages_run(behind)->state;
	if (state == RUN_CLEAN && cubby__os_charges_commit() &&
	    cubby__os_commit(cubby__pages_address(behind),
			     n_more * RUN_PAGE_BYTES) != 0)
		return false;
	delist(behind);
	if (cubby__pages_run(behind)->n_pages > n_more)
		enlist(split(behind, n_more));
	cubby__pages_run(behind)->state = RUN_INSIDE;
	set_run(number, n_pages, RUN_USED);
	count_used(number, (int32_t)n_more);
	return true;
}

bool
cubby__pages_resize(uint32_t number, uint32_t n_pages)
{
	uint32_t n_old = cubby__pages_run(number)->n_pages;

	if (n_pages > n_old)
		return grow(number, n_pages);
	if (n_pages < n_old) {
		uint32_t rest = split(number, n_pages);

		cubby__pages_give(rest);
	}
	return true;
}

/* ---------------------------------- return -------------------------------- */

static int
drop(uint32_t number, uint32_t n_pages)
{
	char *start = cubby__pages_address(number);
	uint64_t bytes = n_pages * RUN_PAGE_BYTES;

	if (cubby__os_charges_commit())
		return cubby__os_decommit(start, bytes);
	return cubby__os_drop(start, bytes);
}

uint32_t
cubby__pages_purge(void)
{
	uint32_t number = dirty.first;
	uint32_t n_pages;

	if (!is_ready || number == RUN_NONE)
		return 0;
	n_pages = cubby__pages_run(number)->n_pages;
	if (drop(number, n_pages) != 0)
		return 0; /* locked memory, or too many mappings */
	delist(number);
	set_free(number, RUN_CLEAN);
	return n_pages;
}

void
cubby__pages_release(uint32_t n_kept)
{
	for (uint32_t i = 0; totals.n_empty > n_kept && i < n_slots; i++) {
		struct record *record = records[i];
		const struct run *whole;

		if (record == NULL || record->n_used_pages != 0)
			continue;
		whole = &record->runs[0];
		if (whole->state != RUN_CLEAN ||
		    whole->n_pages != RUN_PAGES_MAX)
			continue;
		delist(i * RUN_PAGES_MAX);
		cubby__pages_set_record(record->base, NULL);
		cubby__granule_give(record->base, GRANULE_BYTES);
		records[i] = NULL;
		totals.n_records--;
		totals.n_empty--;
		cubby__os_unmap(record, record_bytes());
	}
}

/* ---------------------------------- verify -------------------------------- */

static size_t
verify_record(const struct record *record, uint64_t *n_free)
{
	uint32_t n_used = 0, last = RUN_INSIDE, page = 0;
	size_t n_faults = 0;

	while (page < RUN_PAGES_MAX) {
		const struct run *run = &record->runs[page];
		uint32_t state = __atomic_load_n(&run->state,
						 __ATOMIC_RELAXED);

		if (run->n_pages == 0 || page + run->n_pages > RUN_PAGES_MAX)
			return n_faults + 1; /* E1 */
		n_faults += state == RUN_INSIDE;
		n_faults += run[run->n_pages - 1].n_back != run->n_pages;
		n_faults += state == last && state > RUN_RECENT; /* E2 */
		if (state > RUN_RECENT)
			n_free[state] += run->n_pages;
		else
			n_used += run->n_pages;
		last = state;
		page += run->n_pages;
	}
	return n_faults + (n_used != record->n_used_pages);
}

size_t
cubby__pages_verify(void)
{
	uint64_t n_free[RUN_CLEAN + 1] = { 0 }, n_listed = 0;
	size_t n_faults = 0;

	for (uint32_t i = 0; i < n_slots; i++)
		if (records[i] != NULL)
			n_faults += verify_record(records[i], n_free);
	for (uint32_t number = is_ready ? dirty.first : RUN_NONE;
	     number != RUN_NONE; number = cubby__pages_run(number)->next) {
		n_faults += cubby__pages_run(number)->state != RUN_DIRTY;
		n_listed += cubby__pages_run(number)->n_pages;
	}
	n_faults += n_free[RUN_DIRTY] != totals.n_dirty;
	n_faults += n_free[RUN_CLEAN] != totals.n_clean;
	return n_faults + (n_listed != totals.n_dirty); /* E3 */
}
