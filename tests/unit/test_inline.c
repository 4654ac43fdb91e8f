/* SPDX-License-Identifier: MIT */
/*
 * cubby_alloc() and cubby_free() compiled into the program: they do what the
 * library's do, on any cache and whoever else uses it.  In builds where the
 * header makes plain calls these cases are about those.
 */
#define CUBBY_INLINE
#include "unit/with_cache.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

enum { OBJECT_BYTES = 48, N_MOST = 3000 };

static void *objects[N_MOST];

/* ------------------------------ as in a function -------------------------- */

static void
free_of_null_is_a_no_op(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	void *volatile nothing = NULL;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < 100; i++) {
		cubby_free(cache, objects[i]);
		cubby_free(cache, nothing);
		cubby_free(cache, NULL);
	}
	/* Had a NULL been pushed, it would hide what lies below. */
	assert_int_equal(stats_of(cache).n_live, 0);
	for (size_t i = 0; i < 100; i++)
		assert_non_null(objects[i] = must_alloc(cache));
	assert_int_equal(stats_of(cache).n_live, 100);
	for (size_t i = 0; i < 100; i++)
		cubby_free(cache, objects[i]);
	drop_cache(cache);
}

static void
arguments_are_evaluated_once(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct cubby_cache *caches[] = { cache, NULL, NULL };
	struct cubby_cache **next = caches;
	void **place = objects;

	(void)state;
	*place++ = cubby_alloc(*next++);
	assert_ptr_equal(next, &caches[1]);
	assert_ptr_equal(place, &objects[1]);
	next = caches;
	place = objects;
	cubby_free(*next++, *place++);
	assert_ptr_equal(next, &caches[1]);
	assert_ptr_equal(place, &objects[1]);
	drop_cache(cache);
}

static void
calls_are_expressions(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	void *object, *other = NULL;

	(void)state;
	if ((object = cubby_alloc(cache)) != NULL)
		cubby_free(cache, object);
	else
		fail();
	object = other != NULL ? other : cubby_alloc(cache);
	for (; object != NULL; cubby_free(cache, object), object = NULL)
		*(char *)object = 1;
	(void)(cubby_free(cache, cubby_alloc(cache)), 0);
	(cubby_free)(cache, (cubby_alloc)(cache));
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

static void
errno_stays_as_it_is(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

	(void)state;
	errno = EILSEQ;
	for (size_t i = 0; i < N_MOST; i++)
		objects[i] = cubby_alloc(cache);
	for (size_t i = 0; i < N_MOST; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(errno, EILSEQ);
	drop_cache(cache);
}

/* The library's functions, through what only an address gives. */
static void
address_is_that_of_the_function(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	void *(*volatile alloc)(struct cubby_cache *) = cubby_alloc;
	void (*volatile give)(struct cubby_cache *, void *) = &cubby_free;

	(void)state;
	assert_true(alloc == &cubby_alloc && give == cubby_free);
	for (size_t i = 0; i < N_MOST; i++)
		objects[i] = i % 2 ? alloc(cache) : cubby_alloc(cache);
	assert_int_equal(stats_of(cache).n_live, N_MOST);
	for (size_t i = 0; i < N_MOST; i++)
		if (i % 3)
			give(cache, objects[i]);
		else
			cubby_free(cache, objects[i]);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

/* -------------------------------- any cache -------------------------------- */

#define POINT_SLOTS(SLOT)                                                     \
	SLOT(uint64_t, x, "")                                                 \
	SLOT(uint64_t, y, "")
CUBBY_LAYOUT(point, POINT_SLOTS);

static void
typed_functions_are_inline_too(void **state)
{
	struct cubby_cache *cache = NULL;
	struct point *point;

	(void)state;
	assert_ok(point_cache_create(&cache, NULL));
	for (uint64_t i = 0; i < N_MOST; i++) {
		objects[i] = point = point_alloc(cache);
		assert_non_null(point);
		*point = (struct point){ .x = i, .y = ~i };
	}
	for (uint64_t i = 0; i < N_MOST; i++) {
		point = objects[i];
		assert_true(point->x == i && point->y == ~i);
		point_free(cache, point);
	}
	drop_cache(cache);
}

static unsigned n_made, n_unmade;

static int
make(void *object, void *context)
{
	(void)context;
	memset(object, 0x5a, OBJECT_BYTES);
	n_made++;
	return 0;
}

static void
unmake(void *object, void *context)
{
	(void)object;
	(void)context;
	n_unmade++;
}

/* What has stages is not done by a pop or a push alone. */
static void
callbacks_run_for_each_object(void **state)
{
	const struct cubby_cache_attr attrs[] = {
		CUBBY_CACHE_ATTR(.ctor = make, .dtor = unmake),
		CUBBY_CACHE_ATTR(.ctor = make),
		CUBBY_CACHE_ATTR(.dtor = unmake),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		struct cubby_cache *cache = make_cache(OBJECT_BYTES,
						       &attrs[i]);

		n_made = n_unmade = 0;
		for (unsigned n = 1; n <= N_MOST; n++) {
			unsigned char *object = must_alloc(cache);

			if (attrs[i].ctor != NULL)
				assert_int_equal(object[OBJECT_BYTES - 1],
						 0x5a);
			memset(object, 0, OBJECT_BYTES);
			cubby_free(cache, object);
			assert_int_equal(n_made, attrs[i].ctor ? n : 0);
			assert_int_equal(n_unmade, attrs[i].dtor ? n : 0);
		}
		drop_cache(cache);
	}
}

static void
zero_cache_gives_zeroes(void **state)
{
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES, &CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_ZERO));

	(void)state;
	for (unsigned i = 0; i < N_MOST; i++) {
		unsigned char *object = must_alloc(cache);

		for (unsigned j = 0; j < OBJECT_BYTES; j++)
			assert_int_equal(object[j], 0);
		memset(object, 0xff, OBJECT_BYTES);
		cubby_free(cache, object);
	}
	drop_cache(cache);
}

static void
max_objects_is_kept(void **state)
{
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N_MOST; i++)
			objects[i] = must_alloc(cache);
		errno = 0;
		assert_null(cubby_alloc(cache));
		assert_int_equal(errno, ENOMEM);
		for (unsigned i = 0; i < N_MOST; i++)
			cubby_free(cache, objects[i]);
	}
	drop_cache(cache);
}

static void
cache_without_magazines_takes_the_lock(void **state)
{
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES,
		&CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_NO_MAGAZINES));

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		objects[i] = must_alloc(cache);
	for (unsigned i = 0; i < 100; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(stats_of(cache).n_direct_allocs, 100);
	assert_int_equal(stats_of(cache).n_direct_frees, 100);
	drop_cache(cache);
}

static jmp_buf out_of_hook;

static void
leave(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	longjmp(out_of_hook, (int)misuse->code);
}

/* The closed gate of a dead cache leads to the library, which reports. */
static void
destroyed_cache_is_reported(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	void *volatile object = must_alloc(cache);
	volatile int code;

	(void)state;
	cubby_free(cache, object);
	drop_cache(cache);
	cubby_misuse_set_hook(leave, NULL);
	code = setjmp(out_of_hook);
	if (code == 0)
		object = cubby_alloc(cache);
	assert_int_equal(code, CUBBY_MISUSE_DEAD_CACHE);
	code = setjmp(out_of_hook);
	if (code == 0)
		cubby_free(cache, object);
	assert_int_equal(code, CUBBY_MISUSE_DEAD_CACHE);
	cubby_misuse_set_hook(NULL, NULL);
}

/* ------------------------- beside everything else -------------------------- */

/* Every way to get and give an object, over the same magazines. */
static void
random_calls_of_all_kinds_keep_count(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	uint64_t seed = 4;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < scaled(20000); i++) {
		size_t many = random_below(&seed, 200);

		switch (random_below(&seed, 8)) {
		case 0:
			if (n + many <= N_MOST) {
				assert_ok(cubby_alloc_bulk(cache, many,
							   objects + n));
				n += many;
			}
			break;
		case 1:
			many = many < n ? many : n;
			n -= many;
			cubby_free_bulk(cache, many, objects + n);
			break;
		case 2:
			if (n < N_MOST)
				objects[n++] = cubby_zalloc(cache);
			break;
		case 3:
			if (n > 0)
				cubby_free_any(objects[--n]);
			break;
		case 4:
			if (i % 64 == 0)
				assert_int_equal(stats_of(cache).n_live, n);
			else if (i % 64 == 1)
				assert_ok(cubby_cache_shrink(cache, NULL));
			break;
		default:
			for (; many > 0 && n < N_MOST; many--)
				objects[n++] = must_alloc(cache);
			many = random_below(&seed, 200);
			for (; many > 0 && n > 0; many--)
				cubby_free(cache, objects[--n]);
		}
	}
	cubby_free_bulk(cache, n, objects);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

enum { N_THREADS = 4, N_HELD = 150 };

static struct cubby_cache *shared;
static bool stop;

static void
take_and_give(struct cubby_cache *cache, uint64_t mine, size_t n)
{
	uint64_t *held[N_HELD];

	for (size_t i = 0; i < n; i++) {
		held[i] = cubby_alloc(cache);
		if (held[i] == NULL || *held[i] != 0)
			abort(); /* it has an owner */
		*held[i] = mine;
	}
	while (n-- > 0) {
		if (*held[n] != mine)
			abort();
		*held[n] = 0;
		cubby_free(cache, held[n]);
	}
}

static void
on_alarm(int signal_number)
{
	take_and_give(shared, (uint64_t)signal_number << 32, 3);
}

static void *
churn(void *context)
{
	uint64_t mine = (uintptr_t)context;

	for (uint64_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
		take_and_give(shared, mine, 1 + i % N_HELD);
	return NULL;
}

/* How often sequences in this program, not in the library, began again. */
static uint64_t
n_aborts(void)
{
#if CUBBY_INLINE_WORKS
	return __atomic_load_n(&CUBBY__ABI.n_aborts, __ATOMIC_RELAXED);
#else
	return UINT64_MAX;
#endif
}

static void
sequences_are_broken_off_by_threads_signals_and_walks(void **state)
{
	const struct itimerval often = { { 0, 200 }, { 0, 200 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	pthread_t threads[N_THREADS];
	bool can_abort;
	time_t start = time(NULL);

	(void)state;
	shared = make_cache(OBJECT_BYTES, NULL);
	can_abort = CUBBY_INLINE_WORKS &&
		    stats_of(shared).front_end == CUBBY_FRONT_PER_CPU;
	signal(SIGALRM, on_alarm);
	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_ok(pthread_create(&threads[i], NULL, churn,
					 (void *)(i + 1)));
	setitimer(ITIMER_REAL, &often, NULL);
	for (size_t i = 0; i < scaled(200) || (can_abort && n_aborts() < 10);
	     i++) {
		if (i % 8 == 0)
			(void)stats_of(shared);
		take_and_give(shared, N_THREADS + 1, i % N_HELD);
		if (time(NULL) - start > 60)
			fail_msg("no inline sequence ever began again");
	}
	setitimer(ITIMER_REAL, &never, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stats_of(shared).n_live, 0);
	drop_cache(shared);
}

static void
child_of_fork_goes_on(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	int status = -1;
	pid_t child;

	(void)state;
	for (size_t i = 0; i < 200; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < 100; i++)
		cubby_free(cache, objects[i]);
	child = fork();
	if (child == 0) {
		for (size_t i = 0; i < N_MOST; i++)
			cubby_free(cache, cubby_alloc(cache));
		for (size_t i = 100; i < 200; i++)
			cubby_free(cache, objects[i]);
		_exit(cubby_cache_verify(cache) != 0 ||
		      cubby_cache_destroy(cache) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (size_t i = 100; i < 200; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_of_null_is_a_no_op),
		cmocka_unit_test(arguments_are_evaluated_once),
		cmocka_unit_test(calls_are_expressions),
		cmocka_unit_test(errno_stays_as_it_is),
		cmocka_unit_test(address_is_that_of_the_function),
		cmocka_unit_test(typed_functions_are_inline_too),
		cmocka_unit_test(callbacks_run_for_each_object),
		cmocka_unit_test(zero_cache_gives_zeroes),
		cmocka_unit_test(max_objects_is_kept),
		cmocka_unit_test(cache_without_magazines_takes_the_lock),
		cmocka_unit_test(destroyed_cache_is_reported),
		cmocka_unit_test(random_calls_of_all_kinds_keep_count),
		cmocka_unit_test(
			sequences_are_broken_off_by_threads_signals_and_walks),
		cmocka_unit_test(child_of_fork_goes_on),
	};

	return cmocka_run_group_tests_name("inline", tests, NULL, NULL);
}
