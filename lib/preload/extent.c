/* SPDX-License-Identifier: MIT */
/* LAYER 8: extent - blocks of whole pages */
#include "extent.h"

#include "annotate.h"
#include "bits.h"
#include "boot.h"
#include "check.h"
#include "class.h"
#include "fork.h"
#include "lock.h"
#include "os.h"
#include "pages.h"
#include "recent.h"
#include "setting.h"

#include <cubby/cache.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/sysinfo.h>

#define KEEP_BYTES_MIN (128 * KIB)
#define KEEP_BYTES_MAX (64 * MIB)
#define KEEP_SHARE 8
#define SOON_NS (NS_PER_S / 10)
#define ONLY_FREES_KEEPS 2
#define EMPTY_GRANULES_KEPT 1
#define RECENT_BYTES_MAX MIB

static struct lock lock = LOCK_INIT(LOCK_RANK_EXTENT);

/* Under the lock. */
static uint64_t keep_bytes = KEEP_BYTES_MIN;
static uint64_t purged_at_ns;
static uint64_t purged_bytes; /* and not taken again */
static uint64_t missed_bytes; /* taken again soon, since keep changed */
static uint64_t freed_bytes;  /* here, since the last allocation from here */
static struct extent_stats stats; /* RECENT ones are live */

/* Of blocks with granules of their own. */
static struct cubby_cache *record_cache;

/* --------------------------------- policy --------------------------------- */

static uint64_t
most_kept_bytes(void)
{
	uint64_t bytes = max_u64(keep_bytes,
				 min_u64(stats.live_bytes / KEEP_SHARE,
					 KEEP_BYTES_MAX));

	if (unlikely(cubby__setting_zero)) /* what went back is */
		return 0;
	return min_u64(bytes, cubby__setting_keep_bytes);
}

static uint64_t
dirty_bytes(void)
{
	return cubby__pages_totals.n_dirty * RUN_PAGE_BYTES;
}

static void
set_keep(uint64_t bytes)
{
	__atomic_store_n(&keep_bytes, bytes, __ATOMIC_RELAXED);
}

/*
 * Of the runs that a group of CPUs keeps as they are.  None where all that happens
 * to a block is to be seen at once.
 */
static uint64_t
most_recent_pages(void)
{
	uint64_t bytes = __atomic_load_n(&keep_bytes, __ATOMIC_RELAXED);

	if (unlikely(cubby__annotate_objects() || cubby__setting_checked ||
		     cubby__setting_zero))
		return 0;
	bytes = min_u64(bytes, cubby__setting_keep_bytes / N_SHARDS);
	return min_u64(bytes, RECENT_BYTES_MAX) / RUN_PAGE_BYTES;
}

/* A run was taken: is it one that was purged a moment ago? */
static void
adapt_to_alloc(uint64_t bytes, bool was_clean)
{
	freed_bytes = 0;
	if (!was_clean || purged_bytes == 0)
		return;
	if (cubby__os_coarse_ns() - purged_at_ns >= SOON_NS) {
		purged_bytes = 0;
		return;
	}
	bytes = min_u64(bytes, purged_bytes);
	purged_bytes -= bytes;
	missed_bytes += bytes;
	if (missed_bytes < keep_bytes)
		return;
	missed_bytes = 0;
	set_keep(min_u64(4 * keep_bytes, KEEP_BYTES_MAX));
}

static void
adapt_to_free(uint64_t bytes)
{
	uint64_t before = freed_bytes;

	freed_bytes += bytes;
	if (before == 0 || freed_bytes < ONLY_FREES_KEEPS * keep_bytes)
		return; /* one alone, however large, says nothing */
	freed_bytes = 0;
	missed_bytes = 0;
	set_keep(max_u64(keep_bytes / 2, KEEP_BYTES_MIN));
}

static void
purge_to(uint64_t bytes)
{
	uint64_t n_recent_pages;
	uint32_t n_pages = 1;

	cubby__recent_count(&n_recent_pages);
	bytes -= min_u64(bytes, n_recent_pages * RUN_PAGE_BYTES);
	while (dirty_bytes() > bytes && n_pages != 0) {
		n_pages = cubby__pages_purge();
		purged_bytes += n_pages * RUN_PAGE_BYTES;
		purged_at_ns = cubby__os_coarse_ns();
	}
	cubby__pages_release(EMPTY_GRANULES_KEPT);
}

/* ------------------------- granules of a block's own ---------------------- */

static struct record *
make_record(void)
{
	struct cubby_cache *cache = cubby__class_make(&record_cache,
						      "malloc-extents",
						      sizeof(struct record), 0,
						      NULL);

	return cache != NULL ? cubby_zalloc(cache) : NULL;
}

/*
 * More than the machine has, for which mmap(2) would have no memory either unless
 * vm.overcommit_memory is 1; our reservations are not counted, so we ask.
 */
static bool
is_more_than_there_is(uint64_t bytes)
{
	struct sysinfo info;

	if (sysinfo(&info) != 0 ||
	    bytes <= (info.totalram + info.totalswap) * info.mem_unit)
		return false;
	return cubby__os_read_number("/proc/sys/vm/overcommit_memory", 0) != 1;
}

/* Address space for a block, and what it needs of it with pages. */
static bool
reserve_own(struct record *record, uint64_t bytes, uint64_t align_bytes)
{
	struct granule_owner owner = { EXTENT_ID, 0 };
	uint64_t slack = align_bytes > GRANULE_BYTES ? align_bytes : 0;

	record->bytes = align_up(bytes + slack, GRANULE_BYTES);
	record->block_bytes = bytes;
	if (cubby__granule_take(record->bytes, owner, &record->base) != 0)
		return false;
	record->block = (char *)align_up((uintptr_t)record->base,
					 max_u64(align_bytes, 1));
	if (cubby__os_commit(record->block, bytes) == 0)
		return true;
	cubby__granule_give(record->base, record->bytes);
	return false;
}

/* The granules from one on lead to the record, or to none: 0 or -ENOMEM. */
static int
set_records(const struct record *own, uint64_t from_byte,
	    struct record *record)
{
	for (uint64_t at = from_byte; at < own->bytes; at += GRANULE_BYTES)
		if (cubby__pages_set_record(own->base + at, record) != 0) {
			set_records(own, from_byte, NULL);
			return -ENOMEM;
		}
	return 0;
}

static void *
alloc_own(uint64_t bytes, uint64_t align_bytes)
{
	struct record *record;
	sigset_t saved;
	int err;

	if (is_more_than_there_is(bytes))
		return NULL;
	record = make_record();
	if (record == NULL)
		return NULL;
	if (!reserve_own(record, bytes, align_bytes)) {
		cubby_free(record_cache, record);
		return NULL;
	}
	cubby__lock_acquire(&lock, &saved);
	err = set_records(record, 0, record);
	stats.live_bytes += err ? 0 : bytes;
	stats.n_blocks += !err;
	cubby__lock_release(&lock, &saved);
	if (!err)
		return record->block;
	cubby__granule_give(record->base, record->bytes);
	cubby_free(record_cache, record);
	return NULL;
}

/* Under the lock it is nobody's; then it goes. */
static void
give_own(struct record *record)
{
	cubby__granule_give(record->base, record->bytes);
	cubby_free(record_cache, record);
}

/* ----------------------------- alloc and free ----------------------------- */

static uint32_t
n_pages_of(uint64_t bytes)
{
	uint64_t page_bytes = max_u64(RUN_PAGE_BYTES, cubby__os_page_bytes());

	return (uint32_t)(align_up(bytes, page_bytes) / RUN_PAGE_BYTES);
}

static uint64_t
run_bytes(uint32_t number)
{
	return cubby__pages_run(number)->n_pages * RUN_PAGE_BYTES;
}

static void
give_run(uint32_t number)
{
	uint64_t bytes = run_bytes(number);

	stats.live_bytes -= bytes;
	stats.n_blocks--;
	cubby__pages_give(number);
	adapt_to_free(bytes);
	purge_to(most_kept_bytes());
}

static void
set_state(uint32_t number, enum run_state state)
{
	__atomic_store_n(&cubby__pages_run(number)->state, state,
			 __ATOMIC_RELAXED);
}

/*
 * Is it a block, and from now on ours?  Until it is RECENT another thread may free
 * it without the lock.
 */
static bool
claim(struct run *run)
{
	uint32_t was = RUN_USED;

	return __atomic_compare_exchange_n(&run->state, &was, RUN_RECENT,
					   false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

/* What was RECENT is free; under the lock. */
static void
give_recent(unsigned n, const uint32_t *numbers)
{
	for (unsigned i = 0; i < n; i++)
		give_run(numbers[i]);
}

static bool
give_all_recent(void)
{
	uint32_t numbers[RECENT_WORDS_ALL];
	unsigned n = cubby__recent_take_all(numbers);

	give_recent(n, numbers);
	return n != 0;
}

/* Rather than to touch other pages; under the lock. */
static void
give_recent_for(uint32_t n_pages, uint32_t n_align)
{
	uint64_t n_recent_pages;

	cubby__recent_count(&n_recent_pages);
	if (n_recent_pages >= n_pages &&
	    !cubby__pages_fits_dirty(n_pages, n_align))
		give_all_recent();
}

static void *
alloc_recent(uint32_t n_pages)
{
	uint32_t number = cubby__recent_take(n_pages);

	if (number == RUN_NONE)
		return NULL;
	set_state(number, RUN_USED);
	return cubby__pages_address(number);
}

static void *
alloc_run(uint64_t bytes, uint64_t align_bytes, bool *ret_is_zero)
{
	uint32_t n_pages = n_pages_of(bytes),
		 n_align = n_pages_of(align_bytes);
	enum run_state was = RUN_DIRTY;
	void *block = NULL;
	uint32_t number;
	sigset_t saved;

	*ret_is_zero = false;
	if (n_align == n_pages_of(1))
		block = alloc_recent(n_pages);
	if (block != NULL)
		return block;
	cubby__lock_acquire(&lock, &saved);
	give_recent_for(n_pages, n_align);
	number = cubby__pages_take(n_pages, n_align, &was);
	if (unlikely(number == RUN_NONE) && give_all_recent())
		number = cubby__pages_take(n_pages, n_align, &was);
	if (number != RUN_NONE) {
		block = cubby__pages_address(number);
		adapt_to_alloc(n_pages * RUN_PAGE_BYTES, was == RUN_CLEAN);
		stats.live_bytes += n_pages * RUN_PAGE_BYTES;
		stats.n_blocks++;
	}
	cubby__lock_release(&lock, &saved);
	*ret_is_zero = was == RUN_CLEAN;
	return block;
}

/* The first block of a process may be a large one. */
static bool
is_ready(void)
{
	int err;

	if (likely(__atomic_load_n(&cubby__granule_n, __ATOMIC_ACQUIRE) != 0))
		return true;
	cubby__boot_begin();
	cubby__fork_install();
	err = cubby__granule_init();
	cubby__boot_end();
	return err == 0;
}

void *
cubby__extent_alloc(size_t bytes, size_t align_bytes, bool *ret_is_zero)
{
	void *block;

	if (bytes > PTRDIFF_MAX - RUN_PAGE_BYTES ||
	    align_bytes > PTRDIFF_MAX || !is_ready())
		return NULL;
	*ret_is_zero = true;
	/* What is aligned may need twice as much, less a page. */
	if (bytes >= GRANULE_BYTES || align_bytes >= GRANULE_BYTES)
		block = alloc_own(align_up(bytes, cubby__os_page_bytes()),
				  align_bytes);
	else
		block = alloc_run(max_u64(bytes, 1), max_u64(align_bytes, 1),
				  ret_is_zero);
	if (block != NULL && cubby__annotate_objects())
		cubby__annotate_alloc(block, cubby__extent_usable_bytes(block),
				      *ret_is_zero, 0);
	return block;
}

/* What is at an address; *ret_record, and the number if it is a run. */
static enum extent_answer
find(const void *address, struct record **ret_record, uint32_t *ret_number)
{
	struct record *record = cubby__pages_record(address);
	uint32_t state;

	*ret_record = record;
	if (record == NULL)
		return EXTENT_NONE;
	if (record->block != NULL)
		return address == record->block ? EXTENT_BLOCK :
						  EXTENT_INTERIOR;
	*ret_number = run_number(record, address);
	if ((uintptr_t)address % RUN_PAGE_BYTES != 0)
		return EXTENT_INTERIOR;
	state = __atomic_load_n(&cubby__pages_run(*ret_number)->state,
				__ATOMIC_RELAXED);
	/* A page inside of what is free now was a block's perhaps. */
	return state == RUN_USED   ? EXTENT_BLOCK :
	       state == RUN_INSIDE ? EXTENT_INTERIOR :
				     EXTENT_FREE;
}

/* Without the lock, if a block is kept as it is: false if not. */
static bool
free_recent(void *block)
{
	uint64_t n_pages_max = most_recent_pages();
	struct record *record = cubby__pages_record(block);
	uint32_t numbers[RECENT_WORDS], number;
	unsigned n;
	struct run *run;
	sigset_t saved;

	if (n_pages_max == 0 || record == NULL || record->block != NULL ||
	    (uintptr_t)block % RUN_PAGE_BYTES != 0)
		return false;
	number = run_number(record, block);
	run = &record->runs[number % RUN_PAGES_MAX];
	if (run->n_pages > n_pages_max || !claim(run))
		return false;
	n = cubby__recent_put(number, run->n_pages, n_pages_max, numbers);
	if (n == 0)
		return true;
	cubby__lock_acquire(&lock, &saved);
	give_recent(n, numbers);
	cubby__lock_release(&lock, &saved);
	return true;
}

static enum extent_answer
free_block(void *block)
{
	struct record *record;
	enum extent_answer answer;
	bool is_own;
	uint32_t number;
	sigset_t saved;

	if (free_recent(block))
		return EXTENT_BLOCK;
	cubby__lock_acquire(&lock, &saved);
	answer = find(block, &record, &number);
	is_own = answer == EXTENT_BLOCK && record->block != NULL;
	if (is_own) {
		set_records(record, 0, NULL);
		stats.live_bytes -= record->block_bytes;
		stats.n_blocks--;
	} else if (answer == EXTENT_BLOCK) {
		if (claim(cubby__pages_run(number)))
			give_run(number);
		else
			answer = EXTENT_FREE; /* by another, just now */
	}
	cubby__lock_release(&lock, &saved);
	if (is_own)
		give_own(record);
	return answer;
}

enum extent_answer
cubby__extent_free(void *block)
{
	size_t bytes = 0;

	/* Before it can be another's. */
	if (unlikely(cubby__annotate_objects()))
		bytes = cubby__extent_usable_bytes(block);
	if (unlikely(bytes != 0))
		cubby__annotate_free(block, bytes);
	return free_block(block);
}

size_t
cubby__extent_usable_bytes(const void *block)
{
	struct record *record;
	uint32_t number;
	size_t bytes = 0;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	if (find(block, &record, &number) == EXTENT_BLOCK)
		bytes = record->block != NULL ? record->block_bytes :
						run_bytes(number);
	cubby__lock_release(&lock, &saved);
	return bytes;
}

/* --------------------------------- realloc -------------------------------- */

/* Whole granules behind a block that shrank are nobody's. */
static void
give_end(struct record *record)
{
	uint64_t kept = align_up((uint64_t)(record->block - record->base) +
					 record->block_bytes,
				 GRANULE_BYTES);

	if (kept >= record->bytes)
		return;
	set_records(record, kept, NULL);
	cubby__granule_give(record->base + kept, record->bytes - kept);
	record->bytes = kept;
}

/* Within its own granules, if it is still worth some. */
static bool
resize_own(struct record *record, uint64_t bytes)
{
	uint64_t new_bytes = align_up(bytes, cubby__os_page_bytes());
	uint64_t old_bytes = record->block_bytes;
	char *end = record->base + record->bytes;

	if (new_bytes > (uint64_t)(end - record->block) ||
	    new_bytes < GRANULE_BYTES / 2)
		return false;
	if (new_bytes > old_bytes &&
	    cubby__os_commit(record->block + old_bytes,
			     new_bytes - old_bytes) != 0)
		return false;
	if (new_bytes < old_bytes &&
	    cubby__os_decommit(record->block + new_bytes,
			       old_bytes - new_bytes) != 0)
		return true; /* it keeps what the kernel does not take */
	record->block_bytes = new_bytes;
	stats.live_bytes += new_bytes - old_bytes;
	give_end(record);
	return true;
}

static bool
resize_run(uint32_t number, uint64_t bytes)
{
	uint64_t old_bytes = run_bytes(number);
	uint32_t n_pages;
	bool done;

	if (bytes >= GRANULE_BYTES)
		return false;
	n_pages = n_pages_of(bytes);
	if (!claim(cubby__pages_run(number)))
		return false;
	done = cubby__pages_resize(number, n_pages);
	set_state(number, RUN_USED);
	if (!done)
		return false;
	stats.live_bytes += n_pages * RUN_PAGE_BYTES - old_bytes;
	if (n_pages * RUN_PAGE_BYTES < old_bytes)
		purge_to(most_kept_bytes());
	return true;
}

static bool
resize_in_place(void *block, uint64_t bytes)
{
	struct record *record;
	uint32_t number;
	bool done = false;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	if (find(block, &record, &number) == EXTENT_BLOCK)
		done = record->block != NULL ? resize_own(record, bytes) :
					       resize_run(number, bytes);
	cubby__lock_release(&lock, &saved);
	return done;
}

/*
 * Only blocks with granules of their own: of a run the pages may be of several
 * mappings, which some kernels do not move, and would be one more.
 */
static int
move_pages(void *block, void *moved, uint64_t bytes)
{
	sigset_t saved;
	int err = -ENOMEM;
	bool is_own;

	cubby__lock_acquire(&lock, &saved);
	is_own = cubby__pages_record(block)->block != NULL &&
		 cubby__pages_record(moved)->block != NULL;
	cubby__lock_release(&lock, &saved);
	if (is_own)
		err = cubby__os_move(block, moved, bytes);
	return err;
}

void *
cubby__extent_realloc(void *block, size_t bytes)
{
	size_t old_bytes = cubby__extent_usable_bytes(block);
	bool is_told = cubby__annotate_objects();
	size_t n_moved = min_u64(old_bytes, bytes);
	void *moved;
	bool is_zero;
	int err = -ENOMEM;

	if (!is_told && resize_in_place(block, bytes))
		return block;
	moved = cubby__extent_alloc(bytes, 0, &is_zero);
	if (moved == NULL)
		return NULL;
	if (!is_told)
		err = move_pages(block, moved,
				 align_up(n_moved, cubby__os_page_bytes()));
	/* What somebody else has now is never touched again. */
	if (unlikely(err == -EEXIST))
		moved = cubby__extent_alloc(bytes, 0, &is_zero);
	if (moved == NULL)
		return NULL;
	if (err)
		memcpy(moved, block, n_moved);
	cubby__extent_free(block);
	return moved;
}

enum extent_answer
cubby__extent_find(const void *address)
{
	struct record *record;
	enum extent_answer answer;
	uint32_t number;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	answer = find(address, &record, &number);
	cubby__lock_release(&lock, &saved);
	return answer;
}

/* ---------------------------- trim, stats, fork --------------------------- */

/* What is idle here: free pages, and granules with nothing in them. */
static uint64_t
idle_bytes(void)
{
	uint64_t n_recent_pages;

	cubby__recent_count(&n_recent_pages);
	return n_recent_pages * RUN_PAGE_BYTES + dirty_bytes() +
	       cubby__pages_totals.n_records * GRANULE_BYTES;
}

uint64_t
cubby__extent_trim(void)
{
	uint64_t before;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	before = idle_bytes();
	give_all_recent();
	purge_to(0);
	cubby__pages_release(0);
	CHECK_DEBUG(cubby__pages_verify() == 0); /* E1, E2, E3 */
	before -= min_u64(before, idle_bytes());
	cubby__lock_release(&lock, &saved);
	return before;
}

void
cubby__extent_snapshot(struct extent_stats *ret_stats)
{
	uint64_t n_pages;
	unsigned n;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	*ret_stats = stats;
	/* One that goes from word to word meanwhile may be counted twice. */
	n = cubby__recent_count(&n_pages);
	ret_stats->n_blocks -= min_u64(n, stats.n_blocks);
	ret_stats->live_bytes -= min_u64(n_pages * RUN_PAGE_BYTES,
					 stats.live_bytes);
	ret_stats->dirty_bytes = dirty_bytes() + n_pages * RUN_PAGE_BYTES;
	ret_stats->clean_bytes = cubby__pages_totals.n_clean * RUN_PAGE_BYTES;
	cubby__lock_release(&lock, &saved);
}

void
cubby__extent_fork_prepare(void)
{
	cubby__lock_seize(&lock);
}

void
cubby__extent_fork_done(void)
{
	cubby__lock_unseize(&lock);
}
