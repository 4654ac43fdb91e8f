/* SPDX-License-Identifier: MIT */
/*
 * Goal S4: one thread allocates, another frees: nanoseconds an object of wall
 * time.
 *
 * The pointers go in batches through a ring, and whoever must wait spins.  The
 * producer writes each object; in the second row the consumer reads it too, as
 * a program does, and adds up what it reads.  The threads stand on two CPUs, if
 * there are two.  Each measurement is a child process of its own.
 */
#define _GNU_SOURCE
#include "calls.h"
#include "context.h"
#include "gb.h"
#include "isolate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	OBJECT_BYTES = 64,
	BATCH_OBJECTS = 256,
	RING_BATCHES = 64,
	N_WARM_BATCHES = 16384,
	N_BATCHES = 8192, /* that are timed: 5 to 100 ms */
	LINE_BYTES = 64,

	/* Spins before the CPU is left to others. */
	SPINS_MAX = 10000
};

/* Batches so far; each is written by one thread. */
static struct ring {
	_Alignas(LINE_BYTES) uint64_t n_filled;
	_Alignas(LINE_BYTES) uint64_t n_emptied;
	_Alignas(LINE_BYTES) void *batches[RING_BATCHES][BATCH_OBJECTS];
} ring;

/* Wait until a count of the other thread's has reached n. */
static inline void
wait_for(const uint64_t *count, uint64_t n)
{
	unsigned n_spins = 0;

	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < n) {
		if (++n_spins % SPINS_MAX == 0)
			sched_yield();
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
}

/* ------------------------------- the loops -------------------------------- */

/* Fill the batches up to `end`. */
CALLS_INLINE void
produce(const struct calls *calls, void *pool, uint64_t end)
{
	for (uint64_t n = ring.n_filled; n < end;) {
		void **batch = ring.batches[n % RING_BATCHES];

		if (n >= RING_BATCHES)
			wait_for(&ring.n_emptied, n - RING_BATCHES + 1);
		for (size_t i = 0; i < BATCH_OBJECTS; i++) {
			void *object = calls->alloc(pool, OBJECT_BYTES);

			/* The other thread waits for it: end them both. */
			if (!object)
				_exit(ENOMEM);
			calls_stamp(object, n * BATCH_OBJECTS + i);
			batch[i] = object;
		}
		__atomic_store_n(&ring.n_filled, ++n, __ATOMIC_RELEASE);
	}
}

/* Empty the batches up to `end`: the sum of what was read. */
CALLS_INLINE uint64_t
consume(const struct calls *calls, void *pool, uint64_t end, int is_read)
{
	uint64_t sum = 0;

	for (uint64_t n = 0; n < end;) {
		void **batch = ring.batches[n % RING_BATCHES];

		wait_for(&ring.n_filled, n + 1);
		for (size_t i = 0; i < BATCH_OBJECTS; i++) {
			if (is_read)
				sum += *(const uint64_t *)batch[i];
			calls->free(pool, batch[i]);
		}
		__atomic_store_n(&ring.n_emptied, ++n, __ATOMIC_RELEASE);
	}
	return sum;
}

typedef void produce_fn(void *pool, uint64_t end);
typedef uint64_t consume_fn(void *pool, uint64_t end);

#define LOOPS(kind)                                                           \
	CALLS_INSTANCE void kind##_produce(void *pool, uint64_t end)          \
	{                                                                     \
		produce(&calls_##kind, pool, end);                            \
	}                                                                     \
	CALLS_INSTANCE uint64_t kind##_consume(void *pool, uint64_t end)      \
	{                                                                     \
		return consume(&calls_##kind, pool, end, 0);                  \
	}                                                                     \
	CALLS_INSTANCE uint64_t kind##_consume_read(void *pool, uint64_t end) \
	{                                                                     \
		return consume(&calls_##kind, pool, end, 1);                  \
	}

LOOPS(cubby)
LOOPS(inline)
LOOPS(malloc)

static const struct kind {
	const struct rival *rival;
	produce_fn *produce;
	consume_fn *consume;
	consume_fn *consume_read;
} kinds[] = {
	{ &rival_cubby, cubby_produce, cubby_consume, cubby_consume_read },
	{ &rival_cubby_inline, inline_produce, inline_consume,
	  inline_consume_read },
	{ &rival_cubby_thread, cubby_produce, cubby_consume,
	  cubby_consume_read },
	{ &rival_malloc, malloc_produce, malloc_consume, malloc_consume_read },
};

/* ------------------------------- measuring -------------------------------- */

struct bench {
	const struct kind *kind;
	int is_read;
};

struct result {
	double warm_seconds; /* of the batches before: reported beside it */
	double seconds;
	struct rival_proof proof;
};

struct consumer {
	const struct bench *bench;
	void *pool;
	uint64_t end;
	uint64_t sum;
};

static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* This thread to the `turn`-th of the CPUs that the process may use. */
static void
pin(int turn)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	turn %= CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || turn-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

static void *
run_consumer(void *arg)
{
	struct consumer *consumer = arg;
	const struct bench *bench = consumer->bench;
	consume_fn *loop = bench->is_read ? bench->kind->consume_read :
					    bench->kind->consume;

	pin(1);
	consumer->sum = loop(consumer->pool, consumer->end);
	return NULL;
}

static int
check(const struct consumer *consumer, struct rival_proof *ret_proof)
{
	const struct rival *rival = consumer->bench->kind->rival;
	uint64_t n = consumer->end * BATCH_OBJECTS;

	if (ring.n_filled != consumer->end || ring.n_emptied != consumer->end)
		return -EBADMSG;
	if (consumer->bench->is_read && consumer->sum != n * (n - 1) / 2)
		return -EILSEQ;
	return rival_check(rival, 1, &consumer->pool, 2 * n, ret_proof);
}

/* What it takes until the batches up to `end` were passed and emptied. */
static double
time_until(const struct consumer *consumer, uint64_t end)
{
	double begin = now_seconds();

	consumer->bench->kind->produce(consumer->pool, end);
	wait_for(&ring.n_emptied, end);
	return now_seconds() - begin;
}

static int
measure(void *ret_result, const void *arg)
{
	const struct bench *bench = arg;
	struct consumer consumer = { bench, NULL, N_WARM_BATCHES + N_BATCHES,
				     0 };
	struct result *result = ret_result;
	pthread_t thread;
	int err;

	memset(&ring, 0, sizeof(ring));
	consumer.pool = bench->kind->rival->create(OBJECT_BYTES, 0);
	if (!consumer.pool)
		return -ENOMEM;
	err = pthread_create(&thread, NULL, run_consumer, &consumer);
	if (err)
		return -err;
	/* Not earlier: the other thread would inherit it. */
	pin(0);
	result->warm_seconds = time_until(&consumer, N_WARM_BATCHES);
	result->seconds = time_until(&consumer, consumer.end);
	pthread_join(thread, NULL);
	return check(&consumer, &result->proof);
}

static void
bench_pass(struct gb_state *state, void *arg)
{
	struct result result = { 0 };
	int err = isolate_run(measure, arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, result.seconds);
	gb_stop(state);
	if (err)
		return;
	gb_items_processed(state, N_BATCHES * BATCH_OBJECTS);
	gb_counter(state, "n_objects", N_BATCHES * BATCH_OBJECTS, GB_PLAIN);
	gb_counter(state, "ns_per_object",
		   1e9 * result.seconds / (N_BATCHES * BATCH_OBJECTS),
		   GB_PLAIN);
	gb_counter(state, "ns_per_object_warming",
		   1e9 * result.warm_seconds /
			   (N_WARM_BATCHES * BATCH_OBJECTS),
		   GB_PLAIN);
	bench_proof(state, &result.proof);
}

static void
add(const struct kind *kind, int is_read)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct gb_bench *registered;
	char name[64];

	if (!bench)
		abort();
	*bench = (struct bench){ kind, is_read };
	snprintf(name, sizeof(name), "S4/%s/%s", kind->rival->name(),
		 is_read ? "read" : "unread");
	registered = gb_register(name, bench_pass, bench);
	gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!rival_is_here(kinds[i].rival))
			continue;
		add(&kinds[i], 0);
		add(&kinds[i], 1);
	}
	return bench_main(argc, argv);
}
