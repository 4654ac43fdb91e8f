/* SPDX-License-Identifier: MIT */
/* A table of canaries, and what threads do to it; see aviary.h. */
#define CUBBY_INLINE /* both paths: what finds nothing inline calls */

#include "aviary.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "support/flavor.h"
#include "weak.h"

#define N_CELLS 64
#define N_DEAD 8 /* handles of a cell's that are known to be dead */
#define N_PARCELS 16
#define N_HOT 4 /* cells that many want at a time */
#define BURST_MAX 600

enum kind { BY_HANDLE, BY_POINTER, PUBLISHED, UNNAMED, N_KINDS };

struct cell {
	cubby_weak handle;
	struct canary *object;
	cubby_weak dead[N_DEAD];
};

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

struct aviary_counts aviary_counts;

static const struct trial *trial;
static const struct variant *variant;
static struct canary_book book;
static struct cell cells[N_CELLS];
static struct canary *parcels[N_PARCELS]; /* references on their way */

/* Initial-exec in a program, so that handlers may use it. */
static __thread struct keeper *self;

static void
count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t
below(uint64_t limit)
{
	return test_random(&self->random) % limit;
}

static bool
one_in(uint64_t n)
{
	return below(n) == 0;
}

static struct cubby_cache *
cache(void)
{
	return book.cache;
}

/* ------------------------------ the row's rules -------------------------- */

static bool
has_handles(void)
{
	return trial->weak != CUBBY_WEAK_NONE;
}

static bool
may_borrow(void)
{
	return trial->weak == CUBBY_WEAK_RCU;
}

static bool
may_upgrade(void)
{
	return trial->weak == CUBBY_WEAK_STRONG || trial->is_strong;
}

static enum kind
kind_of(const struct cell *cell)
{
	enum kind kind = (unsigned)(cell - cells) % N_KINDS;

	if (!has_handles() && (kind == BY_HANDLE || kind == BY_POINTER))
		return PUBLISHED;
	if (trial->flavor == NULL && kind == PUBLISHED)
		return BY_POINTER;
	return kind;
}

/* Handles that come without any order, of objects that need none. */
static bool
is_early(const struct cell *cell)
{
	return kind_of(cell) == BY_POINTER &&
	       ((unsigned)(cell - cells) / N_KINDS) % 2 != 0;
}

static void
enter_section(void)
{
	if (trial->flavor != NULL)
		test_flavor_lock(trial->flavor);
}

static void
leave_section(void)
{
	if (trial->flavor != NULL)
		test_flavor_leave(trial->flavor);
}

/* Stay for a while, with what was found. */
static void
dwell(void)
{
	uint64_t choice = below(512);

	if (choice == 0)
		usleep(1000);
	else if (choice < 8)
		usleep(20);
	else if (choice < 64)
		sched_yield();
}

static struct cell *
any_cell(void)
{
	return &cells[below(one_in(4) ? N_HOT : N_CELLS)];
}

/* -------------------------------- dead handles --------------------------- */

static void
note_dead(struct cell *cell, cubby_weak handle, uint64_t choice)
{
	if (handle != 0)
		__atomic_store_n(&cell->dead[choice % N_DEAD], handle,
				 __ATOMIC_RELEASE);
}

static void __attribute__((noreturn))
false_hit(const char *how, cubby_weak handle)
{
	test_die("%s: %#llx is dead, and was found", how,
		 (unsigned long long)handle);
}

/* No call finds it. */
static void
check_dead(cubby_weak handle)
{
	uint64_t word;

	if (cubby_weak_is_live(cache(), handle))
		false_hit("is_live", handle);
	if (cubby_weak_copy(cache(), handle, &word, 0, sizeof(word)) !=
	    -ESTALE)
		false_hit("copy", handle);
	if (may_upgrade() && cubby_weak_upgrade(cache(), handle) != NULL)
		false_hit("upgrade", handle);
	if (may_borrow()) {
		enter_section();
		if (cubby_weak_get(cache(), handle) != NULL)
			false_hit("get", handle);
		leave_section();
	}
	if (cubby_weak_free(cache(), handle) != -ESTALE)
		false_hit("free", handle);
}

static void
follow_dead(void)
{
	cubby_weak handle = __atomic_load_n(&any_cell()->dead[below(N_DEAD)],
					    __ATOMIC_ACQUIRE);

	if (handle != 0)
		check_dead(handle);
}

/* Nobody's: it may name an object by chance, in what is ours. */
static void
follow_forged(void)
{
	cubby_weak handle = one_in(2) ? book.foreign :
					test_random(&self->random);

#ifndef CUBBY_DEBUG /* whose keys are 0 */
	if (handle == book.foreign)
		check_dead(handle);
#endif
	if (may_borrow()) {
		void *object;

		enter_section();
		object = cubby_weak_get(cache(), handle);
		if (object != NULL && cubby_cache_of(object) != cache())
			test_die("a forged handle leads astray");
		leave_section();
	}
}

/* ------------------------------- living handles -------------------------- */

/* Of one who does not own it: its handle, or none, if it is dead. */
static void
check_known(const struct canary *canary, cubby_weak handle)
{
	cubby_weak known = cubby_weak_known(cache(), canary);

	if (known != handle && known != CUBBY_WEAK_NULL)
		test_die("a second handle of one life");
	if (known == CUBBY_WEAK_NULL && cubby_weak_is_live(cache(), handle))
		test_die("it lives, and has no handle");
}

static void
borrow(cubby_weak handle, bool nests)
{
	struct canary *canary;
	uint64_t mark;

	enter_section();
	canary = cubby_weak_get(cache(), handle);
	count(canary != NULL ? &aviary_counts.n_hits :
			       &aviary_counts.n_misses);
	if (canary != NULL) {
		mark = canary_check(&book, canary, handle, "borrow");
		if (nests && !trial->flavor->is_qsbr) {
			test_flavor_lock(trial->flavor);
			dwell();
			test_flavor_unlock(trial->flavor);
		}
		dwell();
		if (canary_check(&book, canary, handle,
				 "borrow, at its end") != mark)
			test_die("borrow: another life");
	}
	leave_section();
}

/* Give up a reference, or leave that to another thread. */
static void
put(struct canary *canary)
{
	struct canary **parcel = &parcels[below(N_PARCELS)];

	if (one_in(4))
		canary = __atomic_exchange_n(parcel, canary, __ATOMIC_ACQ_REL);
	if (canary == NULL)
		return;
	canary_check(&book, canary, 0, "put");
	cubby_ref_put(cache(), canary);
}

static void
upgrade(cubby_weak handle)
{
	struct canary *canary = cubby_weak_upgrade(cache(), handle);
	uint64_t mark;

	count(canary != NULL ? &aviary_counts.n_hits :
			       &aviary_counts.n_misses);
	if (canary == NULL)
		return;
	mark = canary_check(&book, canary, handle, "upgrade");
	if (one_in(8)) {
		cubby_weak again = cubby_weak_of(cache(), canary);

		if (again != handle && again != CUBBY_WEAK_NULL)
			test_die("a second handle of one life");
		check_known(canary, handle);
	}
	if (one_in(4)) {
		if (cubby_ref_get(cache(), canary) != canary)
			test_die("no more references");
		put(canary);
	}
	dwell();
	if (canary_check(&book, canary, handle, "upgrade, at its end") != mark)
		test_die("upgrade: another life");
	put(canary);
}

static void
copy(cubby_weak handle)
{
	if (book.is_copied)
		count(canary_copy(&book, handle) ? &aviary_counts.n_hits :
						   &aviary_counts.n_misses);
}

/* Found without a handle: it may have one, which finds it, or nothing. */
static void
follow_known(const struct canary *canary)
{
	cubby_weak known;
	void *found;

	if (!may_borrow())
		return;
	known = cubby_weak_known(cache(), canary);
	found = cubby_weak_get(cache(), known);
	if (found != NULL && found != canary)
		test_die("its handle is another one's");
}

/* What is read by pointer. */
static void
read_published(struct cell *cell)
{
	struct canary *canary;
	uint64_t mark;

	enter_section();
	canary = __atomic_load_n(&cell->object, __ATOMIC_ACQUIRE);
	if (canary != NULL) {
		count(&aviary_counts.n_hits);
		mark = canary_check(&book, canary, 0, "pointer");
		follow_known(canary);
		dwell();
		if (canary_check(&book, canary, 0, "pointer, at its end") !=
		    mark)
			test_die("pointer: another life");
	}
	leave_section();
}

static void
follow(void)
{
	struct cell *cell = any_cell();
	cubby_weak handle = __atomic_load_n(&cell->handle,
					    is_early(cell) ? __ATOMIC_RELAXED :
							     __ATOMIC_ACQUIRE);

	if (kind_of(cell) == PUBLISHED && (handle == 0 || one_in(2))) {
		read_published(cell);
		return;
	}
	if (handle == 0 || kind_of(cell) == UNNAMED)
		return;
	if (may_borrow() && one_in(2))
		borrow(handle, one_in(8));
	else if (may_upgrade())
		upgrade(handle);
	else
		copy(handle);
	if (one_in(8))
		copy(handle);
}

/* --------------------------------- making -------------------------------- */

static struct canary *
make(unsigned flags)
{
	struct canary *canary = canary_alloc(&book, self->number,
					     self->n_serials++, flags);

	if (canary != NULL)
		return canary;
	if (errno != ENOMEM || variant->max_deferred == 0)
		test_die("no object: %s", strerror(errno));
	count(&aviary_counts.n_refused);
	return NULL;
}

/* By pointer, by its owner; nobody else frees it. */
static void
end_by_owner(struct canary *canary, bool waits)
{
	canary_check(&book, canary, 0, "free");
	canary_count_end(&book);
	if (waits || (trial->flavor != NULL && one_in(16)))
		cubby_free_rcu(cache(), canary);
	else if (may_upgrade() && one_in(4))
		cubby_ref_put(cache(), canary);
	else
		cubby_free(cache(), canary);
}

static bool
end_by_handle(struct cell *cell, cubby_weak handle, uint64_t choice)
{
	int err = cubby_weak_free(cache(), handle);

	if (err == 0)
		canary_count_end(&book);
	else if (err != -ESTALE)
		test_die("free by handle: %d", err);
	note_dead(cell, handle, choice);
	return err == 0;
}

static void
replace_by_handle(struct cell *cell, struct canary *canary)
{
	cubby_weak handle = canary_name(&book, canary);
	cubby_weak before = __atomic_exchange_n(&cell->handle, handle,
						__ATOMIC_ACQ_REL);

	if (before != 0)
		end_by_handle(cell, before, below(N_DEAD));
}

static void
replace_by_pointer(struct cell *cell, struct canary *canary)
{
	bool waits = kind_of(cell) == PUBLISHED;
	bool has_name = kind_of(cell) == BY_POINTER ||
			(kind_of(cell) == PUBLISHED && has_handles() &&
			 one_in(2));
	cubby_weak handle = has_name ? canary_name(&book, canary) : 0;
	struct canary *before = __atomic_exchange_n(&cell->object, canary,
						    __ATOMIC_ACQ_REL);

	if (has_name)
		__atomic_store_n(&cell->handle, handle,
				 is_early(cell) ? __ATOMIC_RELAXED :
						  __ATOMIC_RELEASE);
	if (before != NULL)
		end_by_owner(before, waits);
}

static void
replace(void)
{
	struct cell *cell = any_cell();
	struct canary *canary = make(is_early(cell) ? CANARY_EARLY : 0);

	if (canary == NULL)
		return;
	if (kind_of(cell) == BY_HANDLE)
		replace_by_handle(cell, canary);
	else
		replace_by_pointer(cell, canary);
}

/* Whoever likes: many want the same. */
static void
free_any(void)
{
	struct cell *cell = &cells[below(N_CELLS / N_KINDS) * N_KINDS];
	cubby_weak handle;

	if (one_in(2))
		cell = &cells[BY_HANDLE];
	handle = __atomic_load_n(&cell->handle, __ATOMIC_ACQUIRE);
	if (handle != 0 && kind_of(cell) == BY_HANDLE)
		end_by_handle(cell, handle, below(N_DEAD));
}

/* Ours alone: it is found until we free it, and not after. */
static void
keep_private(void)
{
	struct canary *canary = make(CANARY_PRIVATE);
	cubby_weak handle;

	if (canary == NULL)
		return;
	self->n_private++;
	if (!has_handles() || one_in(4)) {
		end_by_owner(canary, false);
		return;
	}
	handle = canary_name(&book, canary);
	if (!cubby_weak_is_live(cache(), handle) ||
	    cubby_weak_of(cache(), canary) != handle)
		test_die("is_live: it lives, and is not found");
	if (may_borrow()) {
		enter_section();
		if (cubby_weak_get(cache(), handle) != canary)
			test_die("get: it lives, and is not found");
		leave_section();
	}
	if (may_upgrade()) {
		if (cubby_weak_upgrade(cache(), handle) != canary)
			test_die("upgrade: it lives, and is not found");
		cubby_ref_put(cache(), canary);
	}
	copy(handle);
	if (one_in(2))
		end_by_owner(canary, false);
	else if (!end_by_handle(any_cell(), handle, below(N_DEAD)))
		test_die("free: it lives, and is not found");
	check_dead(handle);
}

/* So many that pages come, and go again. */
static void
burst(void)
{
	struct canary *canaries[BURST_MAX];
	cubby_weak handles[BURST_MAX];
	size_t n = 0, n_wanted = 1 + below(BURST_MAX);
	int err;

	for (; n < n_wanted; n++) {
		canaries[n] = make(0);
		if (canaries[n] == NULL)
			break;
		handles[n] = has_handles() && !one_in(8) ?
				     canary_name(&book, canaries[n]) :
				     0;
	}
	for (size_t i = 0; i < n; i++)
		end_by_owner(canaries[i], false);
	if (trial->flavor != NULL && one_in(2) &&
	    cubby_rcu_barrier(cache()) != 0)
		test_die("barrier: %s", cubby_error_detail());
	err = cubby_cache_shrink(cache(), NULL);
	if (err != 0 && err != -EBUSY)
		test_die("shrink: %d", err);
	for (size_t i = 0; i < n; i++)
		if (handles[i] != 0)
			check_dead(handles[i]);
}

/* ------------------------------ looking around --------------------------- */

/* Give it to whoever frees it next. */
static void
give_away(struct canary *canary)
{
	struct cell *cell =
		&cells[(one_in(2) ? 0 : below(N_CELLS / N_KINDS)) * N_KINDS +
		       UNNAMED];

	replace_by_pointer(cell, canary);
}

/*
 * In a section nothing that a walk visits may be reused: what it sees, unless
 * cells that are handed out just now look as their last life did; and what was
 * there before, was ours, and is freed by others meanwhile.
 */
static void
walk(void)
{
	struct canary_looks looks = { .n = 0 };
	struct canary *mine = make(0);
	uint64_t mark = mine != NULL ? mine->mark : 0;
	struct cubby_walk *walk;
	struct cubby_run run;
	int err;

	if (mine == NULL)
		return;
	enter_section();
	err = cubby_walk_create(&walk, cache());
	if (err != 0 && err != -EBUSY)
		test_die("walk: %s", cubby_error_detail());
	give_away(mine);
	while (err == 0 && cubby_walk_next(walk, &run))
		if (trial->flavor != NULL && book.has_callbacks)
			canary_look(&book, &looks, &run,
				    test_random(&self->random));
	sched_yield();
	dwell();
	for (size_t i = 0; i < looks.n; i++)
		follow_known(looks.canaries[i]);
	canary_look_again(&book, &looks);
	if (err == 0 && trial->flavor != NULL &&
	    canary_check(&book, mine, 0, "walk, of ours") != mark)
		test_die("walk: another life");
	if (err == 0)
		cubby_walk_destroy(walk);
	leave_section();
}

/* What this thread has freed is destructed. */
static void
barrier(void)
{
	int err = cubby_rcu_barrier(cache());
	uint64_t n = __atomic_load_n(&book.n_private_dtor[self->number],
				     __ATOMIC_RELAXED);

	if (err != 0)
		test_die("barrier: %s", cubby_error_detail());
	if (book.has_callbacks && n != self->n_private)
		test_die("barrier: %llu of %llu are destructed",
			 (unsigned long long)n,
			 (unsigned long long)self->n_private);
}

static void
look_around(void)
{
	canary_audit(&book, one_in(2));
}

static void
poll_round(void)
{
	if (trial->flavor != NULL && trial->reclaim == CUBBY_RECLAIM_POLL &&
	    cubby_rcu_poll(cache()) < 0)
		test_die("poll: %s", cubby_error_detail());
}

/* --------------------------------- watches ------------------------------- */

static void
watch(void)
{
	struct cell *cell = any_cell();
	cubby_weak handle = __atomic_load_n(&cell->handle, __ATOMIC_ACQUIRE);
	struct watched *watched = &self->watches[self->n_watches];
	cubby_watch name;

	if (handle == 0 || self->n_watches == KEEPER_WATCHES_MAX ||
	    !canary_watch(&book, handle, watched, &name))
		return;
	self->n_watches++;
	if (one_in(2)) {
		dwell();
		canary_unwatch(&book, watched, name);
	}
}

/* --------------------------------- signals ------------------------------- */

/* Follow a handle, and sometimes free it. */
void
keeper_on_signal(void)
{
	int saved_errno = errno;
	uint64_t choice = test_random(&self->handler_random);
	struct cell *cell = &cells[choice % N_CELLS];
	cubby_weak handle = __atomic_load_n(&cell->handle, __ATOMIC_ACQUIRE);
	struct canary *canary;

	count(&aviary_counts.n_signals);
	choice /= N_CELLS;
	if (handle == 0 || is_early(cell)) {
		errno = saved_errno;
		return;
	}
	if (may_borrow() && (!trial->flavor->is_qsbr ||
			     test_flavor_is_reading(trial->flavor))) {
		test_flavor_lock(trial->flavor);
		canary = cubby_weak_get(cache(), handle);
		if (canary != NULL)
			canary_check(&book, canary, handle, "handler");
		test_flavor_unlock(trial->flavor);
	}
	if (may_upgrade()) {
		canary = cubby_weak_upgrade(cache(), handle);
		if (canary != NULL)
			canary_check(&book, canary, handle, "handler");
		cubby_ref_put(cache(), canary);
	}
	copy(handle);
	if (kind_of(cell) == BY_HANDLE && choice % 4 == 0)
		end_by_handle(cell, handle, choice / 4);
	errno = saved_errno;
}

/* ------------------------------- one at random --------------------------- */

/* Of a thousand operations; replace() has the rest. */
static const struct operation {
	unsigned per_mille;
	bool needs_handles;
	void (*run)(void);
} operations[] = {
	{ 330, false, follow },      { 60, true, follow_dead },
	{ 100, true, free_any },     { 100, false, keep_private },
	{ 20, true, follow_forged }, { 30, true, watch },
	{ 60, false, poll_round },   { 12, false, walk },
	{ 2, false, barrier },       { 4, false, look_around },
	{ 3, false, burst },
};

static void
operate(void)
{
	uint64_t choice = below(1000);

	for (size_t i = 0; i < N_ELEMENTS(operations); i++) {
		const struct operation *it = &operations[i];

		if (choice < it->per_mille) {
			if (has_handles() || !it->needs_handles)
				it->run();
			return;
		}
		choice -= it->per_mille;
	}
	replace();
}

void
keeper_operate(void)
{
	operate();
	if (trial->flavor != NULL)
		test_flavor_quiesce(trial->flavor);
}

void
keeper_begin(struct keeper *keeper)
{
	self = keeper;
	if (trial->flavor != NULL)
		test_flavor_register(trial->flavor);
}

void
keeper_end(void)
{
	if (trial->flavor != NULL)
		test_flavor_unregister(trial->flavor);
}

/* ------------------------------ beginning and end ------------------------ */

void
aviary_open(const struct trial *its_trial, const struct variant *its_variant)
{
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(
			.weak = its_trial->weak,
			.is_strong = its_trial->is_strong,
			.reclaim = its_trial->reclaim,
			.flags = its_variant->flags,
			.magazine_capacity = its_variant->magazine_capacity);

	trial = its_trial;
	variant = its_variant;
	if (trial->flavor != NULL) {
		attr.rcu = trial->flavor->rcu;
		attr.max_deferred_objects = variant->max_deferred;
	}
	memset(cells, 0, sizeof(cells));
	if (canary_init(&book, variant->n_words, variant->has_callbacks,
			&attr) != 0)
		test_die("no cache: %s", cubby_error_detail());
}

/* All that the table holds ends. */
static void
empty_table(void)
{
	for (struct cell *it = cells; it < cells + N_CELLS; it++) {
		if (kind_of(it) == BY_HANDLE && it->handle != 0)
			end_by_handle(it, it->handle, 0);
		if (it->object != NULL)
			end_by_owner(it->object, kind_of(it) == PUBLISHED);
	}
	for (unsigned i = 0; i < N_PARCELS; i++)
		if (parcels[i] != NULL)
			cubby_ref_put(cache(), parcels[i]);
	memset(parcels, 0, sizeof(parcels));
}

static void
check_table(void)
{
	for (struct cell *it = cells; it < cells + N_CELLS; it++)
		for (unsigned i = 0; i < N_DEAD && has_handles(); i++)
			if (it->dead[i] != 0 &&
			    cubby_weak_is_live(cache(), it->dead[i]))
				false_hit("at the end", it->dead[i]);
}

void
aviary_close(const struct keeper *keepers, unsigned n_keepers)
{
	struct keeper mine = { .number = KEEPERS_MAX };

	self = &mine;
	empty_table();
	self = NULL;
	if (cubby_rcu_barrier(cache()) != 0)
		test_die("barrier: %s", cubby_error_detail());
	for (unsigned i = 0; i < n_keepers; i++)
		for (unsigned j = 0; j < keepers[i].n_watches; j++)
			canary_check_watch(&keepers[i].watches[j]);
	check_table();
	aviary_counts.n_retired += canary_fini(&book);
}
