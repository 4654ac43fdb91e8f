/* SPDX-License-Identifier: MIT */
/*
 * The rows of a snapshot add up (S1 to S4 of stats.h) and are exact after
 * every step of a random program, with magazines, reserves, walks and threads
 * that come and go; walk, is_live, report_live and verify agree with it.
 *
 * A program is one cache and some workers.  A round is a few random calls by
 * each worker at the same time; then all stand still and what the library says
 * is compared with what the workers know.
 */
#include "unit/fake_flavor.h"
#include "unit/with_cache.h"

#include <pthread.h>
#include <semaphore.h>

enum {
	N_HELD_MAX = 2000, /* objects of a worker */
	N_RESERVES = 3,
	N_WALKS = 2,
	N_WORKERS_MAX = 4,
	N_GONE = 32, /* places of freed objects that are looked at */
	N_SAMPLES = 8,
	ALL_EVERY = 50, /* rounds: ask about every object */
	REPORT_EVERY = 10,
	BARRIER_EVERY = 7,
	LINE_BYTES = 128
};

#define ATTR(...)                                                             \
	{                                                                     \
		.attr_bytes = sizeof(struct cubby_cache_attr), __VA_ARGS__    \
	}

/* -------------------------------- callbacks ------------------------------- */

#define MARK 0x1234567890abcdefull

/* What init and ctor set up, at the start of an object. */
struct marks {
	uint64_t inited, alive;
};

static struct {
	uint64_t n_init, n_fini, n_ctor, n_dtor, n_faults;
} calls;

static void
count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void
expect(bool holds)
{
	if (!holds)
		count(&calls.n_faults);
}

static int
on_init(void *object, void *context)
{
	(void)context;
	((struct marks *)object)->inited = MARK;
	count(&calls.n_init);
	return 0;
}

static void
on_fini(void *object, void *context)
{
	(void)context;
	expect(((struct marks *)object)->inited == MARK);
	((struct marks *)object)->inited = 0;
	count(&calls.n_fini);
}

static int
on_ctor(void *object, void *context)
{
	(void)context;
	((struct marks *)object)->alive = MARK;
	count(&calls.n_ctor);
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	(void)context;
	expect(((struct marks *)object)->alive == MARK);
	((struct marks *)object)->alive = 0;
	count(&calls.n_dtor);
}

/* ---------------------------------- kinds --------------------------------- */

#define CELLS .init = on_init, .fini = on_fini
#define OBJECTS .ctor = on_ctor, .dtor = on_dtor
#define WEAK(mode) .weak = CUBBY_WEAK_##mode
/* Nobody but the program reclaims. */
#define WAITS .rcu = &fake_flavor, .reclaim = CUBBY_RECLAIM_POLL

struct kind {
	const char *name;
	size_t object_bytes;
	size_t n_most; /* objects of a worker, reserved ones included */
	struct cubby_cache_attr attr;
};

static const struct kind kinds[] = {
	{ "plain", 64, N_HELD_MAX, ATTR() },
	{ "small", 8, N_HELD_MAX, ATTR() },
	{ "odd", 13, N_HELD_MAX, ATTR() },
	{ "init", 48, N_HELD_MAX, ATTR(CELLS) },
	{ "ctor", 48, N_HELD_MAX, ATTR(OBJECTS) },
	{ "both", 3000, 300, ATTR(CELLS, OBJECTS) },
	{ "objects", 64, N_HELD_MAX, ATTR(.max_objects = 1000) },
	{ "bytes", 200, N_HELD_MAX, ATTR(.max_bytes = 200000) },
	{ "limited", 48, N_HELD_MAX, ATTR(.max_objects = 77, CELLS) },
	{ "large", 20000, 60, ATTR() },
	{ "giant", 70000, 20, ATTR() },
	{ "prefault", 128, N_HELD_MAX, ATTR(.prefault_objects = 5000) },
	{ "huge", 256, N_HELD_MAX, ATTR(.flags = CUBBY_CACHE_HUGE_PAGES) },
	{ "zero", 40, N_HELD_MAX, ATTR(.flags = CUBBY_CACHE_ZERO) },
	{ "reuse", 40, N_HELD_MAX, ATTR(WEAK(REUSE)) },
	{ "strong", 40, N_HELD_MAX, ATTR(WEAK(STRONG), CELLS, OBJECTS) },
	{ "rcu", 40, N_HELD_MAX, ATTR(WEAK(RCU), WAITS, OBJECTS) },
	{ "push", 24, N_HELD_MAX, ATTR(WEAK(RCU), WAITS) },
	{ "counted", 40, N_HELD_MAX,
	  ATTR(WEAK(RCU), .is_strong = 1, WAITS, OBJECTS) },
	{ "late", 70000, 20, ATTR(WEAK(RCU), WAITS) },
	{ "walked", 40, N_HELD_MAX, ATTR(WAITS, OBJECTS) },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* --------------------------------- programs ------------------------------- */

struct worker {
	struct program *program;
	uint64_t seed;
	void *held[N_HELD_MAX];
	bool taken[N_HELD_MAX]; /* has a handle */
	size_t n_held;
	size_t n_waiting, n_freed; /* since the last barrier; that must */
	struct cubby_reserve *reserves[N_RESERVES];
	struct cubby_walk *walks[N_WALKS];
	void *gone[N_GONE];
	size_t n_gone;
	pthread_t thread;
	sem_t go, done;
	bool quits;
	const char *fault; /* the first one */
};

struct program {
	const struct kind *kind;
	struct cubby_cache *cache;
	size_t n_workers, n_calls; /* of each worker in a round */
	uint64_t seed;
	uint64_t n_live_peak, n_deferred;
	uint64_t n_rounds;
	struct worker workers[N_WORKERS_MAX];
};

static void
claim(struct worker *worker, bool holds, const char *what)
{
	if (!holds && worker->fault == NULL)
		worker->fault = what;
}

static size_t
n_reserved_of(const struct worker *worker)
{
	size_t n = 0;

	for (size_t i = 0; i < N_RESERVES; i++)
		if (worker->reserves[i] != NULL)
			n += cubby_reserve_count(worker->reserves[i]);
	return n;
}

static size_t
room_of(const struct worker *worker)
{
	return worker->program->kind->n_most - worker->n_held -
	       n_reserved_of(worker);
}

/* 1 .. n, small ones more often. */
static size_t
some(struct worker *worker, size_t n)
{
	n = random_below(&worker->seed, 4) ? n / 8 + 1 : n;
	return 1 + random_below(&worker->seed, n);
}

/*
 * With one worker it is known whether n more objects are too many; with more
 * of them only that a cache without limit never refuses.
 */
static void
claim_answer(struct worker *worker, size_t n_before, size_t n, bool refused)
{
	struct program *program = worker->program;
	const struct cubby_cache_attr *attr = &program->kind->attr;
	size_t limit = attr->max_objects ?
			       attr->max_objects :
		       attr->max_bytes ?
			       attr->max_bytes /
				       cubby_cache_cell_bytes(program->cache) :
			       SIZE_MAX;

	if (program->n_workers == 1)
		claim(worker, refused == (n_before + n > limit),
		      "a limit that is not exact");
	else
		claim(worker, !refused || limit != SIZE_MAX,
		      "refused without a limit");
}

/* The object's last word says which it is; all workers may check it. */
static void
stamp(struct worker *worker, void *object)
{
	size_t bytes = worker->program->kind->object_bytes;
	char *last = (char *)object + bytes - sizeof(object);

	if (worker->program->kind->attr.flags & CUBBY_CACHE_ZERO)
		claim(worker, last[0] == 0 && *(char *)object == 0,
		      "not cleared");
	memcpy(last, &object, sizeof(object));
	if (worker->program->kind->attr.weak != 0)
		worker->taken[worker->n_held] =
			random_below(&worker->seed, 2) &&
			cubby_weak_of(worker->program->cache, object) != 0;
	worker->held[worker->n_held++] = object;
}

static bool
has_walks(const struct worker *worker)
{
	for (size_t k = 0; k < N_WALKS; k++)
		if (worker->walks[k] != NULL)
			return true;
	return false;
}

static void *
unhold(struct worker *worker)
{
	size_t i = random_below(&worker->seed, worker->n_held);
	size_t bytes = worker->program->kind->object_bytes;
	void *object = worker->held[i];

	claim(worker,
	      memcmp((char *)object + bytes - sizeof(object), &object,
		     sizeof(object)) == 0,
	      "overwritten");
	worker->n_freed++;
	worker->n_waiting += worker->taken[i] || has_walks(worker);
	worker->taken[i] = worker->taken[worker->n_held - 1];
	worker->held[i] = worker->held[--worker->n_held];
	worker->gone[worker->n_gone++ % N_GONE] = object;
	return object;
}

/* ----------------------------------- calls -------------------------------- */

static void
call_alloc(struct worker *worker)
{
	size_t n = some(worker, 40);

	for (; n > 0 && room_of(worker) > 0; n--) {
		size_t n_before = worker->n_held + n_reserved_of(worker);
		void *object = cubby_alloc(worker->program->cache);

		claim_answer(worker, n_before, 1, object == NULL);
		if (object != NULL)
			stamp(worker, object);
	}
}

static void
call_free(struct worker *worker)
{
	size_t n = some(worker, 40);

	for (; n > 0 && worker->n_held > 0; n--)
		cubby_free(worker->program->cache, unhold(worker));
}

static void
call_alloc_bulk(struct worker *worker)
{
	size_t n_before = worker->n_held + n_reserved_of(worker);
	void *objects[N_HELD_MAX];
	size_t n;
	int err;

	if (room_of(worker) == 0)
		return;
	n = some(worker, room_of(worker));
	err = cubby_alloc_bulk(worker->program->cache, n, objects);
	claim_answer(worker, n_before, n, err != 0);
	for (size_t i = 0; !err && i < n; i++)
		stamp(worker, objects[i]);
}

static void
call_free_bulk(struct worker *worker)
{
	void *objects[N_HELD_MAX];
	size_t n, i;

	if (worker->n_held == 0)
		return;
	n = some(worker, worker->n_held);
	for (i = 0; i < n; i++)
		objects[i] = unhold(worker);
	cubby_free_bulk(worker->program->cache, n, objects);
}

static void
call_reserve_create(struct worker *worker)
{
	size_t n_before = worker->n_held + n_reserved_of(worker);
	size_t k = random_below(&worker->seed, N_RESERVES);
	size_t n;
	int err;

	if (worker->reserves[k] != NULL || room_of(worker) == 0)
		return;
	n = some(worker, room_of(worker) / 2 + 1);
	err = cubby_reserve_create(&worker->reserves[k],
				   worker->program->cache, n);
	claim_answer(worker, n_before, n, err != 0);
}

static void
call_reserve_alloc(struct worker *worker)
{
	size_t k = random_below(&worker->seed, N_RESERVES);
	size_t n = some(worker, 40);

	if (worker->reserves[k] == NULL)
		return;
	for (; n > 0 && cubby_reserve_count(worker->reserves[k]) > 0; n--) {
		void *object = cubby_reserve_alloc(worker->reserves[k]);

		claim(worker, object != NULL, "a reserve that fails");
		if (object != NULL)
			stamp(worker, object);
	}
}

static void
call_reserve_refill(struct worker *worker)
{
	size_t n_before = worker->n_held + n_reserved_of(worker);
	size_t k = random_below(&worker->seed, N_RESERVES);
	size_t n, n_had;
	int err;

	if (worker->reserves[k] == NULL || room_of(worker) == 0)
		return;
	n_had = cubby_reserve_count(worker->reserves[k]);
	n = n_had + some(worker, room_of(worker) / 2 + 1);
	err = cubby_reserve_refill(worker->reserves[k], n);
	if (err == -EINVAL) /* more than it was created for */
		return;
	claim_answer(worker, n_before, n - n_had, err != 0);
}

static void
call_reserve_destroy(struct worker *worker)
{
	size_t k = random_below(&worker->seed, N_RESERVES);

	cubby_reserve_destroy(worker->reserves[k]);
	worker->reserves[k] = NULL;
}

static void
call_shrink(struct worker *worker)
{
	int err;

	if (random_below(&worker->seed, 2))
		err = cubby_cache_shrink(worker->program->cache, NULL);
	else
		err = cubby_shrink_all(NULL);
	if (worker->program->n_workers == 1)
		claim(worker, (err == -EBUSY) == has_walks(worker),
		      "shrink and walks");
}

/* Open one, move one on, or close one. */
static void
call_walk(struct worker *worker)
{
	struct cubby_walk **walk =
		&worker->walks[random_below(&worker->seed, N_WALKS)];
	struct cubby_run run;

	if (*walk == NULL) {
		claim(worker,
		      cubby_walk_create(walk, worker->program->cache) == 0,
		      "no walk");
	} else if (!cubby_walk_next(*walk, &run) ||
		   random_below(&worker->seed, 3) == 0) {
		cubby_walk_destroy(*walk);
		*walk = NULL;
	}
}

static const struct {
	void (*call)(struct worker *worker);
	unsigned weight;
} menu[] = {
	{ call_alloc, 30 },         { call_free, 28 },
	{ call_alloc_bulk, 8 },     { call_free_bulk, 8 },
	{ call_reserve_create, 5 }, { call_reserve_alloc, 6 },
	{ call_reserve_refill, 3 }, { call_reserve_destroy, 3 },
	{ call_shrink, 2 },         { call_walk, 7 },
};

static void
random_call(struct worker *worker)
{
	unsigned at = (unsigned)random_below(&worker->seed, 100);
	size_t i = 0;

	for (; at >= menu[i].weight; i++)
		at -= menu[i].weight;
	menu[i].call(worker);
}

/* ---------------------------------- checks -------------------------------- */

/* Every object that some worker holds, sorted. */
struct census {
	size_t n, n_reserved, n_walks, n_waiting, n_freed;
	void *objects[N_WORKERS_MAX * N_HELD_MAX];
};

static int
compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (void *const *)a;
	uintptr_t y = (uintptr_t) * (void *const *)b;

	return (x > y) - (x < y);
}

static void
take_census(const struct program *program, struct census *census)
{
	memset(census, 0, offsetof(struct census, objects));
	for (size_t i = 0; i < program->n_workers; i++) {
		const struct worker *worker = &program->workers[i];

		memcpy(census->objects + census->n, worker->held,
		       worker->n_held * sizeof(void *));
		census->n += worker->n_held;
		census->n_reserved += n_reserved_of(worker);
		census->n_waiting += worker->n_waiting;
		census->n_freed += worker->n_freed;
		for (size_t k = 0; k < N_WALKS; k++)
			census->n_walks += worker->walks[k] != NULL;
	}
	qsort(census->objects, census->n, sizeof(void *), compare);
	for (size_t i = 1; i < census->n; i++)
		assert_ptr_not_equal(census->objects[i - 1],
				     census->objects[i]);
}

static bool
is_held(const struct census *census, const void *object)
{
	return bsearch(&object, census->objects, census->n, sizeof(object),
		       compare) != NULL;
}

static void
check_sums(const struct cubby_cache_stats *s)
{
	assert_int_equal(s->n_cells, sum_of_cells(s)); /* S1 */
	assert_int_equal(s->deferred_bytes, s->n_deferred * s->cell_bytes);
	assert_int_equal(s->reserved_bytes,
			 s->committed_bytes + s->uncommitted_bytes); /* S2 */
	assert_true(s->populated_bytes <= s->committed_bytes);       /* S3 */
	assert_true(s->n_live <= s->n_live_peak);                    /* S4 */
	assert_int_equal(s->n_slabs, s->n_slabs_full + s->n_slabs_partial +
					     s->n_slabs_empty +
					     s->n_slabs_returned);
	assert_int_equal(s->n_slabs_opened - s->n_slabs_closed,
			 s->n_slabs - s->n_slabs_returned);
	assert_int_equal(s->populated_bytes,
			 (s->n_cells - s->n_returned) * s->cell_bytes);
	assert_true(s->n_depot_gets <= s->n_depot_puts);
	if (s->max_cells != 0)
		assert_true(s->n_cells <= s->max_cells);
	if (s->front_end == CUBBY_FRONT_NONE)
		assert_int_equal(s->n_idle_in_blocks + s->n_idle_in_depot, 0);
}

static void
check_stats(struct program *program, const struct census *census)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_ok(cubby_cache_stats_snapshot(program->cache, &stats));
	check_sums(&stats);
	assert_int_equal(stats.is_exact, 1);
	assert_int_equal(stats.n_live, census->n);
	assert_int_equal(stats.n_reserved, census->n_reserved);
	assert_int_equal(stats.n_walks, census->n_walks);
	assert_int_equal(stats.n_retired, 0);
	if (program->kind->attr.rcu == NULL || program->n_workers == 1)
		assert_int_equal(stats.n_deferred, program->kind->attr.rcu ?
							   census->n_waiting :
							   0);
	else /* somebody else's walk may have been open */
		assert_in_range(stats.n_deferred, census->n_waiting,
				census->n_freed);
	program->n_deferred = stats.n_deferred;
	assert_true(stats.n_live_peak >= program->n_live_peak);
	program->n_live_peak = stats.n_live_peak;
	if (cubby_cache_verify(program->cache) != 0)
		fail_msg("%s", cubby_error_detail());
}

static void
check_walk(const struct program *program, const struct census *census)
{
	static void *seen[N_WORKERS_MAX * N_HELD_MAX];
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;
	char *object;

	assert_ok(cubby_walk_create(&walk, program->cache));
	while (cubby_walk_next(walk, &run)) {
		assert_true(n + run.n_objects <= census->n);
		CUBBY_RUN_FOR_EACH (object, &run)
			seen[n++] = object;
	}
	cubby_walk_destroy(walk);
	assert_int_equal(n, census->n);
	qsort(seen, n, sizeof(void *), compare); /* chunks are in no order */
	if (n != 0)
		assert_memory_equal(seen, census->objects, n * sizeof(void *));
}

static void
check_is_live(struct program *program, const struct census *census)
{
	bool all = program->n_rounds % ALL_EVERY == 0;
	size_t n = census->n == 0 ? 0 : all ? census->n : N_SAMPLES;

	for (size_t i = 0; i < n; i++)
		assert_true(cubby_is_live(
			program->cache,
			census->objects[all ? i :
					      random_below(&program->seed,
							   census->n)]));
	for (size_t i = 0; i < program->n_workers * N_SAMPLES; i++) {
		const struct worker *worker = &program->workers[i / N_SAMPLES];
		const void *gone =
			worker->gone[random_below(&program->seed, N_GONE)];

		if (gone != NULL)
			assert_int_equal(cubby_is_live(program->cache, gone),
					 is_held(census, gone));
	}
}

static void
check_report(const struct program *program, const struct census *census)
{
	FILE *file = tmpfile();
	char line[LINE_BYTES];
	size_t n_lines = 0, n_live;
	void *object;

	assert_non_null(file);
	assert_ok(cubby_cache_report_live(program->cache, fileno(file)));
	rewind(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_int_equal(
		sscanf(line, "cubby: cache '%*[^']': %zu live", &n_live), 1);
	assert_int_equal(n_live, census->n);
	while (fgets(line, sizeof(line), file) != NULL) {
		assert_int_equal(sscanf(line, " %p cell", &object), 1);
		assert_true(is_held(census, object));
		n_lines++;
	}
	assert_int_equal(n_lines, census->n);
	fclose(file);
}

static void
check_calls(const struct program *program, const struct census *census)
{
	assert_int_equal(calls.n_faults, 0);
	if (program->kind->attr.ctor != NULL)
		assert_int_equal(calls.n_ctor - calls.n_dtor,
				 census->n + program->n_deferred);
	if (program->kind->attr.init != NULL)
		assert_true(calls.n_init - calls.n_fini >=
			    census->n + census->n_reserved);
}

/* Once in a while all that waits comes back. */
static void
end_grace_period(struct program *program)
{
	assert_ok(cubby_rcu_barrier(program->cache));
	for (size_t i = 0; i < program->n_workers; i++)
		program->workers[i].n_waiting = program->workers[i].n_freed = 0;
}

static void
check(struct program *program)
{
	static struct census census;

	if (program->n_rounds % BARRIER_EVERY == 0)
		end_grace_period(program);
	program->n_rounds++;
	for (size_t i = 0; i < program->n_workers; i++)
		if (program->workers[i].fault != NULL)
			fail_msg("%s: %s", program->kind->name,
				 program->workers[i].fault);
	take_census(program, &census);
	check_stats(program, &census);
	check_walk(program, &census);
	check_is_live(program, &census);
	if (program->n_rounds % REPORT_EVERY == 0)
		check_report(program, &census);
	check_stats(program, &census); /* looking changed nothing */
	check_calls(program, &census);
}

/* ---------------------------------- drivers ------------------------------- */

static void
play_round(struct worker *worker)
{
	for (size_t i = 0; i < worker->program->n_calls; i++)
		random_call(worker);
}

static void *
work(void *argument)
{
	struct worker *worker = argument;

	for (;;) {
		while (sem_wait(&worker->go) != 0)
			continue;
		if (worker->quits)
			return NULL;
		play_round(worker);
		sem_post(&worker->done);
	}
}

static void
hire(struct worker *worker)
{
	worker->quits = false;
	assert_int_equal(pthread_create(&worker->thread, NULL, work, worker),
			 0);
}

/* The thread ends; what it holds is the next one's. */
static void
fire(struct worker *worker)
{
	worker->quits = true;
	sem_post(&worker->go);
	assert_int_equal(pthread_join(worker->thread, NULL), 0);
}

static struct program *
start(const struct kind *kind, size_t n_workers, size_t n_calls, uint64_t seed)
{
	struct program *program = calloc(1, sizeof(*program));

	memset(&calls, 0, sizeof(calls));
	program->kind = kind;
	program->n_workers = n_workers;
	program->n_calls = n_calls;
	program->seed = seed;
	program->cache = make_cache_named(kind->name, kind->object_bytes,
					  &kind->attr);
	for (size_t i = 0; i < n_workers; i++) {
		program->workers[i].program = program;
		program->workers[i].seed = seed + i;
		sem_init(&program->workers[i].go, 0, 0);
		sem_init(&program->workers[i].done, 0, 0);
	}
	return program;
}

static void
end(struct program *program)
{
	for (size_t i = 0; i < program->n_workers; i++) {
		struct worker *worker = &program->workers[i];

		for (size_t k = 0; k < N_WALKS; k++)
			cubby_walk_destroy(worker->walks[k]);
		for (size_t k = 0; k < N_RESERVES; k++)
			cubby_reserve_destroy(worker->reserves[k]);
		memset(worker->walks, 0, sizeof(worker->walks));
		memset(worker->reserves, 0, sizeof(worker->reserves));
		while (worker->n_held > 0)
			cubby_free(program->cache, unhold(worker));
		sem_destroy(&worker->go);
		sem_destroy(&worker->done);
	}
	check(program);
	drop_cache(program->cache);
	assert_int_equal(calls.n_init, calls.n_fini);
	free(program);
}

static void
snapshot_after_each_call_of_one_thread_adds_up(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_KINDS; k++) {
		struct program *program = start(&kinds[k], 1, 1, 100 + k);

		for (size_t i = 0; i < scaled(600); i++) {
			play_round(&program->workers[0]);
			check(program);
		}
		end(program);
	}
}

static void
run_threads(const struct kind *kind, uint64_t seed)
{
	struct program *program = start(kind, N_WORKERS_MAX, 10, seed);

	for (size_t i = 0; i < N_WORKERS_MAX; i++)
		hire(&program->workers[i]);
	for (size_t round = 0; round < scaled(100); round++) {
		for (size_t i = 0; i < N_WORKERS_MAX; i++)
			sem_post(&program->workers[i].go);
		for (size_t i = 0; i < N_WORKERS_MAX; i++)
			while (sem_wait(&program->workers[i].done) != 0)
				continue;
		check(program);
		if (random_below(&program->seed, 4) == 0) {
			struct worker *worker =
				&program->workers[round % N_WORKERS_MAX];

			fire(worker);
			check(program);
			hire(worker);
		}
	}
	for (size_t i = 0; i < N_WORKERS_MAX; i++)
		fire(&program->workers[i]);
	end(program);
}

static void
snapshot_after_each_round_of_threads_adds_up(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_KINDS; k++)
		run_threads(&kinds[k], 200 + k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			snapshot_after_each_call_of_one_thread_adds_up),
		cmocka_unit_test(snapshot_after_each_round_of_threads_adds_up),
	};

	return cmocka_run_group_tests_name("test_stats_sums", tests, NULL,
					   NULL);
}
