/* SPDX-License-Identifier: MIT */
/*
 * rcu_exit FLAVOR CASE: the program ends while objects wait, or are destructed.
 * What waits is destructed by who destroys its cache, and never after exit
 * handlers have freed what destructors use.
 */
#include <cubby/cubby.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

/* Of several flavours' headers in one file only the first declares its table. */
extern const struct rcu_flavor_struct urcu_memb_flavor;
extern const struct rcu_flavor_struct urcu_mb_flavor;
extern const struct rcu_flavor_struct urcu_qsbr_flavor;

enum { N_OBJECTS = 1000, SHORT_US = 20000 };

static const struct {
	const char *name;
	const struct rcu_flavor_struct *rcu;
} flavors[] = {
	{ "memb", &urcu_memb_flavor },
	{ "mb", &urcu_mb_flavor },
	{ "qsbr", &urcu_qsbr_flavor },
	{ "bp", &urcu_bp_flavor },
};

static const struct rcu_flavor_struct *rcu;
static struct cubby_cache *cache;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_destructed, dtor_us;
static int handlers_are_over, is_reading;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s; %s\n", what, cubby_error_detail());
	_exit(1);
}

/* -------------------------------- destructors ---------------------------- */

static void
count(void *object, void *context)
{
	(void)object;
	(void)context;
	check(!__atomic_load_n(&handlers_are_over, __ATOMIC_SEQ_CST),
	      "a dtor after the exit handlers");
	__atomic_add_fetch(&n_destructed, 1, __ATOMIC_SEQ_CST);
}

static void
count_slowly(void *object, void *context)
{
	usleep(dtor_us);
	count(object, context);
}

static void
count_locked(void *object, void *context)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	count(object, context);
}

static void
exit_in_dtor(void *object, void *context)
{
	count(object, context);
	exit(0);
}

/* --------------------------------- the cache ----------------------------- */

static void
create(cubby_dtor_fn dtor)
{
	check(cubby_cache_create_sized(
		      &cache, "exit", 24, 0,
		      &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU, .rcu = rcu,
					.dtor = dtor)) == 0,
	      "no cache");
}

static void
free_all(void)
{
	void *objects[N_OBJECTS];

	check(cubby_alloc_bulk(cache, N_OBJECTS, objects) == 0, "no objects");
	for (int i = 0; i < N_OBJECTS; i++)
		check(cubby_weak_of(cache, objects[i]) != 0, "no handle");
	cubby_free_bulk(cache, N_OBJECTS, objects);
}

static void
destroy(void)
{
	check(cubby_cache_destroy(cache) == 0, "not destroyed at exit");
	check(n_destructed == N_OBJECTS, "not all were destructed");
}

static void
note_end_of_handlers(void)
{
	__atomic_store_n(&handlers_are_over, 1, __ATOMIC_SEQ_CST);
	usleep(SHORT_US);
}

static void *
read_for_ever(void *context)
{
	(void)context;
	rcu->register_thread();
	rcu->read_lock();
	__atomic_store_n(&is_reading, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

static void
start_reader(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, read_for_ever, NULL) == 0,
	      "no thread");
	while (!__atomic_load_n(&is_reading, __ATOMIC_SEQ_CST))
		usleep(100);
}

/* ----------------------------------- cases ------------------------------- */

/*
 * Made first, so called last: after it no destructor is begun, although there is
 * enough for seconds.
 */
static void
exit_beside_dtor(void)
{
	dtor_us = 3000;
	atexit(note_end_of_handlers);
	create(count_slowly);
	free_all();
	while (__atomic_load_n(&n_destructed, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
}

static void
exit_beside_stalled_reader(void)
{
	atexit(note_end_of_handlers);
	create(count);
	start_reader();
	free_all();
	usleep(SHORT_US);
}

/* What the dtor waits for is held by who exits. */
static void
exit_beside_stuck_dtor(void)
{
	create(count_locked);
	pthread_mutex_lock(&lock);
	free_all();
	usleep(SHORT_US);
}

static void
exit_from_dtor(void)
{
	create(exit_in_dtor);
	free_all();
	for (;;)
		pause();
}

/* A handler from before the first cache, and one from after it. */
static void
destroy_in_early_handler(void)
{
	atexit(destroy);
	create(count);
	free_all();
}

static void
destroy_in_late_handler(void)
{
	create(count);
	atexit(destroy);
	free_all();
}

static void
destroy_slowly_in_early_handler(void)
{
	dtor_us = 100;
	atexit(destroy);
	create(count_slowly);
	free_all();
	while (__atomic_load_n(&n_destructed, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "beside_dtor", exit_beside_dtor },
	{ "beside_stalled_reader", exit_beside_stalled_reader },
	{ "beside_stuck_dtor", exit_beside_stuck_dtor },
	{ "from_dtor", exit_from_dtor },
	{ "destroy_in_early_handler", destroy_in_early_handler },
	{ "destroy_in_late_handler", destroy_in_late_handler },
	{ "destroy_slowly", destroy_slowly_in_early_handler },
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(flavors) / sizeof(*flavors);
	     i++)
		if (strcmp(argv[1], flavors[i].name) == 0)
			rcu = flavors[i].rcu;
	check(rcu != NULL, "usage: rcu_exit FLAVOR CASE");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(argv[2], cases[i].name) == 0) {
			cases[i].run();
			return 0;
		}
	check(0, "no such case");
	return 1;
}
