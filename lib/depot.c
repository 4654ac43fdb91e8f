/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: depot - magazines between the threads and the slabs
 *
 * Theory
 *
 * The depot of a cache has lock-free stacks of magazines (`young`), one for each
 * of a few groups of CPUs, which the exchanges of front.c use, and a queue of
 * aged ones under the slab lock.
 *
 * Refill (slab lock): a few magazines are filled with the lowest free cells,
 * aged magazines first; one is loaded, the others go to the depot.  Fresh pages are
 * asked for in one call where a cache grows, and is large beside a batch.
 *
 * Flush (slab lock): when the depot holds more than its bound, two magazines
 * are merged; the low half of their cells is kept, as an aged magazine, and
 * the high half goes back to the slabs.  As each visit takes the oldest aged
 * one and a young one, what is kept wanders down, and the top of the range
 * empties: 10,000 idle cells then pin a few slabs and not all.
 *
 * Where few cells are in use, and so those in the blocks of idle threads count,
 * a flush takes these back as well, from a few threads at a visit; every 10 ms,
 * and at each visit where the cache only frees.
 *
 * What follows traffic, decided at refills and flushes only:
 *
 *	batch     doubles at each refill from the slabs, up to 4 magazines or
 *	          64 KiB; a magazine has room for 4 batches or 120 cells, where the
 *	          cache only frees for one
 *	bound     doubles when 8 times in turn a refill came within 100 ms of a
 *	          flush by the same thread: waves that the depot is too small
 *	          for; halves when 16 bounds were flushed without a refill
 *
 * When 4 bounds were flushed without a refill the cache only frees.  Then the
 * batch follows the cells in use down, as a 256th of them, and the depot as a
 * 64th, so that it ends with small magazines and a small depot.  The next
 * refill ends that.
 */
#include "bits.h"
#include "cache.h"
#include "host.h"
#include "merge.h"
#include "options.h"
#include "os.h"

#include <errno.h>

#define BATCH_BYTES_MAX (64 * KIB)

/*
 * Cells idle in the blocks of all threads: 512 KiB a cache, but magazines of
 * 64 cells however many threads there are.
 */
#define BLOCKS_BYTES_MAX (512 * KIB)
#define CAPACITY_FAIR_MIN 64

/* Room for more than came at once: a level that swings swaps less often. */
#define CAPACITY_BATCHES 4

#define BATCH_START 16
#define BATCH_MIN 8

/* Least batch where fresh slabs are populated; and least slabs of cells in use. */
#define POPULATE_BYTES_MIN (24 * KIB)
#define POPULATE_SHARE 16

/* A cache begins with no more than lies on a page, or with two. */
#define BATCH_START_BYTES 4096

/* Different places of what is handed out first. */
#define COLOURS 64

/* As many batches fit into the cells in use, at least. */
#define BATCHES_IN_USE 256

#define BOUND_BYTES_MIN (16 * KIB)
#define BOUND_BYTES_MAX (64 * MIB)

/* How traffic is judged. */
#define SOON_MS 100
#define WAVES 8
#define ONLY_FREES_BOUNDS 4
#define WINDOW_BOUNDS 16

/*
 * A flush also empties the blocks of so many threads where idle cells may be a
 * sixteenth of all in use.
 */
#define STRIPES_PER_VISIT 4
#define THINNED_PER_VISIT 4
#define SWEEP_SHARE 16

/* While the cache allocates as well, no sooner again than: each interrupts CPUs. */
#define SWEEP_MS 10

/* Empty magazines for the blocks of the threads that free. */
#define EMPTIES_READY 16
#define EMPTIES_READY_MAX 4096

static uint64_t idle_option = UINT64_MAX; /* the host's */
OPTION_ROW(idle, OPTION_NUMBER, &idle_option, NULL,
	   "bytes that all depots together should not exceed");

static int64_t idle_bytes;

static uint64_t
idle_limit_bytes(void)
{
	return idle_option != UINT64_MAX ? idle_option :
					   cubby__host.idle_bytes;
}

static uint64_t
all_idle_bytes(void)
{
	int64_t bytes = __atomic_load_n(&idle_bytes, __ATOMIC_RELAXED);

	return bytes > 0 ? (uint64_t)bytes : 0;
}

/* ------------------------------- young and aged --------------------------- */

int64_t
cubby__depot_n_cells(const struct front *front)
{
	return cubby__magazine_sum_shards(front->young) +
	       __atomic_load_n(&front->n_aged, __ATOMIC_RELAXED);
}

static void
count_cells(int64_t *n, int64_t n_cells)
{
	__atomic_add_fetch(n, n_cells, __ATOMIC_RELAXED);
}

void
cubby__depot_put(struct front *front, uint32_t number)
{
	struct magazine *it = magazine(number);
	struct magazine_shard *shard;

	if (it->count == 0) {
		cubby__magazine_give_empty(number);
		return;
	}
	magazine_set_state(it, MAGAZINE_IN_DEPOT);
	shard = &front->young[magazine_my_shard()];
	count_cells(&shard->n, it->count);
	cubby__magazine_push(&shard->stack, number);
}

uint32_t
cubby__depot_get(struct front *front)
{
	struct magazine_shard *shard;
	uint32_t number = cubby__magazine_pop_shards(front->young, &shard);

	if (number != 0) {
		magazine_set_state(magazine(number), MAGAZINE_IN_FLIGHT);
		count_cells(&shard->n, -(int64_t)magazine(number)->count);
	}
	return number;
}

static void
push_aged(struct front *front, uint32_t number)
{
	magazine_set_next(number, 0);
	magazine_set_state(magazine(number), MAGAZINE_IN_DEPOT);
	count_cells(&front->n_aged, magazine(number)->count);
	if (front->aged_last != 0)
		magazine_set_next(front->aged_last, number);
	else
		front->aged_first = number;
	front->aged_last = number;
}

static uint32_t
pop_aged(struct front *front)
{
	uint32_t number = front->aged_first;

	if (number == 0)
		return 0;
	front->aged_first = magazine_next(number);
	if (front->aged_first == 0)
		front->aged_last = 0;
	magazine_set_state(magazine(number), MAGAZINE_IN_FLIGHT);
	count_cells(&front->n_aged, -(int64_t)magazine(number)->count);
	return number;
}

/* --------------------------- what follows traffic ------------------------- */

static uint64_t
now_ms(void)
{
	return cubby__os_coarse_ns() / (NS_PER_S / 1000);
}

/* The largest magazine, so that all threads' do not hold too much idle. */
static uint64_t
capacity_limit(const struct cubby_cache *cache)
{
	uint64_t fair = BLOCKS_BYTES_MAX /
			(2 * max_u64(cubby__front_n_blocks(), 1) *
			 cache->region.geometry.cell_bytes);

	return min_u64(max_u64(fair, CAPACITY_FAIR_MIN),
		       cache->front.capacity_max);
}

static void
set_batch(struct cubby_cache *cache, uint64_t batch)
{
	struct front *front = &cache->front;
	uint32_t room = front->only_frees ? 1 : CAPACITY_BATCHES;

	front->batch = (uint32_t)max_u64(min_u64(batch, front->batch_max), 1);
	__atomic_store_n(&front->capacity,
			 (uint32_t)min_u64(room * front->batch,
					   capacity_limit(cache)),
			 __ATOMIC_RELAXED);
}

static void
set_bound(struct front *front, uint64_t bound_cells)
{
	__atomic_store_n(&front->bound_cells, bound_cells, __ATOMIC_RELAXED);
}

/* What an idle cell costs: itself, and its part of a magazine. */
static uint64_t
idle_bytes_per_cell(const struct cubby_cache *cache)
{
	uint64_t capacity = max_u64(cache->front.capacity_max, 1);

	return cache->region.geometry.cell_bytes + MAGAZINE_BYTES / capacity;
}

/* The cache's part of what all depots hold: right at each lock visit. */
void
cubby__depot_count_process(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	int64_t n_cells = cubby__depot_n_cells(front);
	uint64_t bytes = (uint64_t)(n_cells > 0 ? n_cells : 0) *
			 idle_bytes_per_cell(cache);

	__atomic_add_fetch(&idle_bytes,
			   (int64_t)(bytes - front->counted_bytes),
			   __ATOMIC_RELAXED);
	front->counted_bytes = bytes;
}

/* A refill found nothing in the depot and goes to the slabs. */
static void
adapt_to_refill(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	bool soon = front->flushed_at_ms != 0 &&
		    now_ms() - front->flushed_at_ms < SOON_MS;

	front->n_refills++;
	if (front->flushed_at_ms != 0 &&
	    front->flushed_by == cubby__stripe_self())
		front->n_waves = soon ? front->n_waves + 1 : 0;
	if (front->n_waves >= WAVES) {
		front->n_waves = 0;
		front->bound_usual = min_u64(2 * front->bound_usual,
					     front->bound_max);
	}
	front->flushed_at_ms = 0;
	front->flushed_cells = 0;
	front->only_frees = false;
	set_bound(front, front->bound_usual);
	set_batch(cache, front->batch * 2);
}

static void
adapt_to_flush(struct cubby_cache *cache, uint64_t n_cells)
{
	struct front *front = &cache->front;
	uint64_t least = max_u64(BATCH_MIN,
				 cache->slabs.n_live / BATCHES_IN_USE);

	front->n_flushes++;
	front->flushed_at_ms = now_ms();
	front->flushed_by = cubby__stripe_self();
	front->flushed_cells += n_cells;
	if (front->flushed_cells >= ONLY_FREES_BOUNDS * front->bound_usual)
		front->only_frees = true;
	if (front->flushed_cells >= WINDOW_BOUNDS * front->bound_usual) {
		front->flushed_cells = 0;
		front->bound_usual = max_u64(front->bound_usual / 2,
					     front->bound_start);
	}
	if (!front->only_frees)
		return;
	set_batch(cache, min_u64(least, front->batch));
	set_bound(front, min_u64(4 * least, front->bound_cells));
}

/* The bound as things stand in the process. */
uint64_t
cubby__depot_bound(const struct front *front)
{
	if (unlikely(all_idle_bytes() > idle_limit_bytes()))
		return front->bound_min;
	return __atomic_load_n(&front->bound_cells, __ATOMIC_RELAXED);
}

void
cubby__depot_note_peak(struct cubby_cache *cache)
{
	int64_t n_depot = cubby__depot_n_cells(&cache->front);
	int64_t n_live = (int64_t)cache->slabs.n_live - n_depot;
	uint64_t n_preparing = 0;

	cubby__magazine_count_list(cache->front.preparing, &n_preparing);
	n_live -= (int64_t)n_preparing;
	if (n_live > 0)
		cache->front.n_live_peak = max_u64(cache->front.n_live_peak,
						   (uint64_t)n_live);
}

/* ---------------------------------- refill -------------------------------- */

/*
 * The ranges of all caches begin at the same lines of the processor's caches.
 * So what an unused cache hands out first, and the words where it stands, are
 * somewhat further up in one cache than in the next.  (J. Bonwick, The Slab
 * Allocator, USENIX 1994, colours slabs.)
 */
static uint32_t
colour(const struct cubby_cache *cache)
{
	bool is_unused = cache->front.n_refills == 1 &&
			 cache->slabs.n_live == 0;

	return is_unused ? cache->id / 2 % COLOURS : 0;
}

/*
 * Fill an empty magazine with the lowest free cells, the lowest on top, or the
 * one that is `turn` further up.
 */
static uint32_t
fill_from_slabs(struct cubby_cache *cache, uint32_t number, uint32_t n,
		uint32_t turn)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	uint64_t cells[MAGAZINE_CAPACITY_MAX];
	struct region_piece piece = { 0 };
	enum slab_refusal why;

	n = (uint32_t)cubby__slab_take(&cache->slabs, min_u64(n, it->capacity),
				       cells, &why);
	/* Behind the last one comes the first: no division for each. */
	turn = n != 0 ? turn % n : 0;
	for (uint32_t i = 0; i < n; i++, turn = turn + 1 < n ? turn + 1 : 0)
		objects[n - 1 - i] = region_object_near(&cache->region, &piece,
							cells[turn]);
	magazine_set_count(it, n);
	return n;
}

/* How many cells a refill should take: a few near a limit. */
static uint32_t
batch_now(const struct cubby_cache *cache)
{
	const struct slab_set *slabs = &cache->slabs;
	uint64_t n_left = slabs->max_cells - slabs->n_live;

	if (!slabs->max_is_limit)
		return cache->front.batch;
	return (uint32_t)min_u64(cache->front.batch, max_u64(n_left / 8, 1));
}

/* Magazines with cells, aged ones first: how many. */
static unsigned
gather(struct cubby_cache *cache, uint32_t *numbers)
{
	struct front *front = &cache->front;
	unsigned n = 0;
	uint32_t left, capacity, turn;

	while (n < MAGAZINES_PER_VISIT && (numbers[n] = pop_aged(front)) != 0)
		n++;
	if (n != 0)
		return n;
	cubby__depot_note_peak(cache);
	adapt_to_refill(cache);
	left = batch_now(cache);
	turn = colour(cache);
	capacity = (uint32_t)min_u64(front->capacity + turn,
				     front->capacity_max);
	/* Frees must not want for empties before the depot is full. */
	cubby__magazine_make_ready(
		min_u64(div_up(front->bound_cells, front->capacity),
			EMPTIES_READY_MAX) +
		EMPTIES_READY);
	while (n < MAGAZINES_PER_VISIT && left != 0) {
		uint32_t number = cubby__magazine_take_empty(cache->id,
							     capacity, true);
		uint32_t n_filled;

		if (number == 0)
			break;
		n_filled = fill_from_slabs(cache, number, left, turn);
		if (n_filled == 0) {
			cubby__magazine_give_empty(number);
			break;
		}
		left -= n_filled;
		numbers[n++] = number;
	}
	return n;
}

void
cubby__depot_flush_locked(struct cubby_cache *cache, uint32_t number,
			  struct faults *faults)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);

	for (uint32_t i = 0; i < it->count; i++)
		cubby__direct_give_locked(cache, objects[i], faults);
	cubby__magazine_give_empty(number);
}

static bool
needs_init(const struct cubby_cache *cache, uint32_t number)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	uint64_t cell;

	for (uint32_t i = 0; cache->inited != NULL && i < it->count; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		if (!cell_side_test(cache->inited, cell))
			return true;
	}
	return false;
}

/* Give the lowest n places' cells back, and close the gap. */
static void
give_lowest(struct cubby_cache *cache, uint32_t number, uint32_t n)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	struct faults faults = { 0 };

	for (uint32_t i = 0; i < n; i++)
		cubby__direct_give_locked(cache, objects[i], &faults);
	magazine_set_count(it, it->count - n);
	for (uint32_t i = 0; n != 0 && i < it->count; i++)
		objects[i] = objects[i + n];
}

/*
 * Run init, without the lock, on the cells of a magazine that need it, the top
 * first: how many are left when it refuses one.
 */
static uint32_t
init_cells(struct cubby_cache *cache, uint32_t number)
{
	void **objects = magazine_cells(magazine(number));
	uint32_t left = magazine(number)->count;

	while (left > 0 && cubby__direct_init(cache, 1, &objects[left - 1]))
		left--;
	return left;
}

static bool
is_among(uint32_t number, unsigned n, const uint32_t *numbers)
{
	for (unsigned i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* Take these out of the list; others may have been put in front of them. */
static void
unlink_preparing(struct front *front, unsigned n, const uint32_t *numbers)
{
	uint32_t number = front->preparing;
	uint32_t kept = 0;

	while (number != 0) {
		uint32_t next = magazine_next(number);

		if (!is_among(number, n, numbers)) {
			magazine_set_next(number, kept);
			kept = number;
		}
		number = next;
	}
	front->preparing = kept;
}

/* These are this thread's while it lets the lock go (F5). */
static void
link_preparing(struct front *front, unsigned n, const uint32_t *numbers)
{
	for (unsigned i = 0; i < n; i++) {
		magazine_set_next(numbers[i], front->preparing);
		magazine(numbers[i])->preparing = cubby__stripe_self();
		front->preparing = numbers[i];
	}
}

/*
 * See to it that all cells of these magazines are initialised.  While the lock
 * is let go they are in the list `preparing` (F5).  What is refused goes back,
 * and all that was to come after it.  How many magazines are left.
 */
static unsigned
prepare(struct cubby_cache *cache, unsigned n, uint32_t *numbers,
	sigset_t *saved)
{
	struct front *front = &cache->front;
	uint32_t left[MAGAZINES_PER_VISIT];
	unsigned n_good = 0;
	bool refused = false;

	link_preparing(front, n, numbers);
	cubby__lock_release(&cache->lock, saved);
	for (unsigned i = 0; i < n; i++) {
		left[i] = refused ? magazine(numbers[i])->count :
				    init_cells(cache, numbers[i]);
		refused |= left[i] != 0;
	}
	cubby__lock_acquire(&cache->lock, saved);
	unlink_preparing(front, n, numbers);
	for (unsigned i = 0; i < n; i++) {
		give_lowest(cache, numbers[i], left[i]);
		if (magazine(numbers[i])->count != 0)
			numbers[n_good++] = numbers[i];
		else
			cubby__magazine_give_empty(numbers[i]);
	}
	return n_good;
}

/*
 * Would one call for the pages of a fresh slab be of use?  Not in small batches; not
 * for objects of which some pages may never be used, nor where what may lie idle is
 * more than little beside what is in use, or others are about it; nor near a limit.
 */
static bool
is_worth_populating(const struct cubby_cache *cache)
{
	const struct geometry *geometry = &cache->region.geometry;
	uint64_t batch = cache->front.batch;
	uint64_t most = max_u64(batch, geometry_slab_cells(geometry));

	return batch * geometry->cell_bytes >= POPULATE_BYTES_MIN &&
	       geometry->cell_bytes <= cubby__os_page_bytes() &&
	       most * POPULATE_SHARE <= cache->slabs.n_live &&
	       cache->front.preparing == 0 && !cache->slabs.max_is_limit &&
	       !cache->region.passes && !cache->region.want_huge_pages &&
	       cache->sample == NULL;
}

/*
 * A page fault for each page of what a cache that grows is going to use costs more
 * than one call for all of them: for the slab that was opened last, of which the next
 * refill has the rest.  The cell that was taken last is in it, and nothing else that
 * lives.  The call is made without the lock; what is in hand keeps the slab, and
 * signals stay blocked, so that no handler sees that.
 */
static void
populate(struct cubby_cache *cache, unsigned n, const uint32_t *numbers)
{
	void *const *objects = magazine_cells(magazine(numbers[n - 1]));
	uint64_t cell, slab;
	uintptr_t start, end;

	cubby__region_find(&cache->region, objects[0], &cell);
	slab = cell >> cache->region.geometry.slab_shift;
	start = align_up(slab_start(&cache->slabs, slab),
			 cubby__os_page_bytes());
	end = align_down(slab_end(&cache->slabs, slab),
			 cubby__os_page_bytes());
	if (end <= start)
		return;
	link_preparing(&cache->front, n, numbers);
	cubby__lock_release_nested(&cache->lock);
	cubby__os_populate_soon((void *)start, end - start);
	cubby__lock_acquire_nested(&cache->lock);
	unlink_preparing(&cache->front, n, numbers);
}

int
cubby__depot_refill(struct cubby_cache *cache, uint32_t *numbers,
		    unsigned *ret_n, sigset_t *saved)
{
	uint64_t n_opened = cache->slabs.n_opened;
	unsigned n_filled = gather(cache, numbers);
	unsigned n = n_filled;

	if (n != 0 && cache->slabs.n_opened != n_opened &&
	    is_worth_populating(cache))
		populate(cache, n, numbers);
	for (unsigned i = 0; i < n_filled; i++)
		if (needs_init(cache, numbers[i])) {
			n = prepare(cache, n_filled, numbers, saved);
			break;
		}
	cubby__depot_count_process(cache);
	*ret_n = n;
	if (n == 0)
		return n_filled != 0 ? -ENOMEM : -EAGAIN;
	return 0;
}

/* ---------------------------------- flush --------------------------------- */

/*
 * Frees outnumber allocations, and much of what is in use may be idle in
 * threads that do nothing: take some of that back as well.
 */
static void
sweep(struct cubby_cache *cache, struct faults *faults)
{
	struct front *front = &cache->front;
	uint64_t n_maybe_idle = (uint64_t)cubby__front_n_blocks() * 2 *
				front->capacity;
	uint64_t now = now_ms();

	if (n_maybe_idle < cache->slabs.n_live / SWEEP_SHARE ||
	    (!front->only_frees && now - front->swept_at_ms < SWEEP_MS))
		return;
	front->swept_at_ms = now;
	cubby__quiesce_sweep_locked(cache, STRIPES_PER_VISIT, faults);
}

/*
 * Where the cache only frees, what comes next would go as well: make room for some of
 * it, and visit less often.
 */
static uint32_t
flush_young(struct cubby_cache *cache, struct faults *faults)
{
	struct front *front = &cache->front;
	int64_t room_at = (int64_t)cubby__depot_bound(front) / 2;
	uint32_t number, n = 0;

	for (unsigned i = 0; i < MAGAZINES_PER_VISIT && front->only_frees &&
			     cubby__depot_n_cells(front) > room_at;
	     i++) {
		number = cubby__depot_get(front);
		if (number == 0)
			break;
		n += cubby__merge_flush(cache, number, faults);
	}
	return n;
}

/* One visit: up to four magazines, two and two, and others where it only frees. */
static void
flush_locked(struct cubby_cache *cache, sigset_t *saved, struct faults *faults)
{
	struct front *front = &cache->front;
	uint32_t n_flushed = 0;

	for (unsigned i = 0; i < MAGAZINES_PER_VISIT / 2; i++) {
		uint32_t first = cubby__depot_get(front);
		uint32_t second = pop_aged(front);
		uint32_t kept;

		if (second == 0)
			second = cubby__depot_get(front);
		if (first == 0) {
			first = second;
			second = 0;
		}
		if (first == 0)
			break;
		n_flushed += cubby__merge(cache, first, second, &kept, faults);
		if (kept != 0)
			push_aged(front, kept);
	}
	n_flushed += flush_young(cache, faults);
	sweep(cache, faults);
	if (cache->n_walks == 0)
		cubby__slab_thin_others(&cache->slabs, THINNED_PER_VISIT);
	adapt_to_flush(cache, n_flushed);
	cubby__depot_note_peak(cache);
	cubby__depot_count_process(cache);
	cubby__direct_trim_locked(cache, cubby__direct_kept_empty(cache),
				  saved);
}

COLD void
cubby__depot_flush(struct cubby_cache *cache)
{
	struct faults faults = { 0 };
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	if (front_is_open(&cache->front))
		flush_locked(cache, &saved, &faults);
	cubby__lock_release(&cache->lock, &saved);
	if (unlikely(faults.n != 0))
		cubby__direct_report(cache, &faults);
}

/*
 * Who puts cells into a shard looks at that first, and at the others' lines only
 * if it holds more than its part of the bound: if none does, all hold no more
 * than the bound.
 */
bool
cubby__depot_overflows(const struct front *front)
{
	const struct magazine_shard *mine = &front->young[magazine_my_shard()];
	int64_t n_parts = (int64_t)min_u64(cubby__front_n_blocks(), N_SHARDS);
	int64_t bound = (int64_t)cubby__depot_bound(front);

	return (__atomic_load_n(&mine->n, __ATOMIC_RELAXED) +
		__atomic_load_n(&front->n_aged, __ATOMIC_RELAXED)) *
			       n_parts >
		       bound &&
	       cubby__depot_n_cells(front) > bound;
}

void
cubby__depot_init(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	uint64_t cell_bytes = cache->region.geometry.cell_bytes;
	uint64_t idle_cell_bytes;

	if (front->capacity_max == 0)
		front->capacity_max = MAGAZINE_CAPACITY_MAX;
	front->batch_max = (uint32_t)max_u64(
		min_u64(BATCH_BYTES_MAX / cell_bytes,
			MAGAZINES_PER_VISIT * front->capacity_max),
		1);
	front->capacity_max = (uint32_t)min_u64(front->batch_max,
						front->capacity_max);
	idle_cell_bytes = idle_bytes_per_cell(cache);
	if (front->bound_max == 0)
		front->bound_max = BOUND_BYTES_MAX;
	front->bound_max = max_u64(front->bound_max / idle_cell_bytes, 1);
	front->bound_start = min_u64(
		max_u64(cubby__host.depot_bytes / idle_cell_bytes, 2),
		front->bound_max);
	front->bound_min = min_u64(max_u64(BOUND_BYTES_MIN / idle_cell_bytes,
					   1),
				   front->bound_max);
	front->bound_usual = front->bound_start;
	set_bound(front, front->bound_usual);
	set_batch(cache,
		  min_u64(BATCH_START, BATCH_START_BYTES / cell_bytes) / 2);
}

void
cubby__depot_fini(struct cubby_cache *cache)
{
	__atomic_sub_fetch(&idle_bytes, (int64_t)cache->front.counted_bytes,
			   __ATOMIC_RELAXED);
}
