/* SPDX-License-Identifier: MIT */
/*
 * malloc_model SEED N_OPERATIONS N_THREADS: random calls of malloc and its
 * family; each block is compared with a model of its size and contents before
 * it is changed or given back.  Threads hand blocks to each other through a
 * table.  One seed is one sequence of calls in each thread.
 *
 * With -DFUZZ a target of libFuzzer: the bytes are the calls of one thread.
 */
#include "malloc_check.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#define N_SLOTS 512 /* of a thread */
#define N_SHARED 256
#define N_THREADS_MAX 16
#define LIVE_MAX (192 * MIB) /* of all threads; above it, small blocks only */

struct block {
	void *at;
	size_t bytes;
	uint32_t seed;
};

static struct block *shared[N_SHARED];
static size_t live_bytes;

/* Where the numbers come from: a generator, or the bytes of a fuzzer. */
struct thread {
	pthread_t id;
	uint64_t state;
	const uint8_t *data, *end;
	size_t n_operations;
	bool has_failed;
	struct block slots[N_SLOTS];
};

static size_t
pick(struct thread *thread, size_t n)
{
	size_t number = 0;

	if (thread->end == NULL)
		return random_below(&thread->state, n);
	for (size_t most = 1; most < n && thread->data < thread->end;
	     most <<= 8)
		number = number << 8 | *thread->data++;
	return number % n;
}

/* 90 of 100 small; edges of classes; large; rarely huge. */
static size_t
pick_bytes(struct thread *thread)
{
	size_t what = pick(thread, 1000);
	size_t power;

	if (__atomic_load_n(&live_bytes, __ATOMIC_RELAXED) > LIVE_MAX)
		return pick(thread, 1025);
	if (what < 650)
		return pick(thread, 257);
	if (what < 850)
		return pick(thread, 4097);
	if (what < 950) {
		power = (size_t)16 << pick(thread, 13);
		return power + power / 8 * pick(thread, 8) + pick(thread, 3) -
		       1;
	}
	if (what < 998)
		return 64 * KIB +
		       pick(thread, what < 990 ? 256 * KIB : 2 * MIB);
	return 16 * MIB + pick(thread, 8 * MIB);
}

static bool
holds(struct thread *thread, const struct block *block, size_t kept_bytes,
      const char *call)
{
	if (stamp_holds(block->at, block->bytes, kept_bytes, block->seed))
		return true;
	fprintf(stderr, "%p of %zu bytes has other contents after %s\n",
		block->at, block->bytes, call);
	thread->has_failed = true;
	return false;
}

static void
took(struct thread *thread, struct block *block, void *at, size_t bytes,
     size_t align_bytes)
{
	if (at == NULL || (uintptr_t)at % align_bytes != 0 ||
	    malloc_usable_size(at) < bytes) {
		fprintf(stderr, "%p for %zu bytes, aligned to %zu\n", at,
			bytes, align_bytes);
		thread->has_failed = true;
		return;
	}
	block->at = at;
	block->bytes = bytes;
	block->seed = (uint32_t)pick(thread, 1 << 16);
	stamp_write(at, bytes, block->seed);
	__atomic_add_fetch(&live_bytes, bytes, __ATOMIC_RELAXED);
}

static void
drop(struct thread *thread, struct block *block)
{
	if (block->at == NULL || !holds(thread, block, block->bytes, "life"))
		return;
	__atomic_sub_fetch(&live_bytes, block->bytes, __ATOMIC_RELAXED);
	free(block->at);
	block->at = NULL;
}

static size_t
align_for(size_t bytes)
{
	return bytes <= 8 ? 8 : 16;
}

static void
make(struct thread *thread, struct block *block)
{
	size_t bytes = pick_bytes(thread), align_bytes;
	size_t what = pick(thread, 16);
	void *at = NULL;

	drop(thread, block);
	if (what < 11) {
		took(thread, block, malloc(bytes), bytes, align_for(bytes));
	} else if (what < 14) {
		at = calloc(1 + what % 2, (bytes + what % 2) / (1 + what % 2));
		if (at != NULL && !is_filled(at, bytes, 0)) {
			fprintf(stderr, "calloc: %zu bytes are not zero\n",
				bytes);
			thread->has_failed = true;
		}
		took(thread, block, at, bytes, align_for(bytes));
	} else {
		align_bytes = (size_t)8 << pick(thread, 14);
		if (posix_memalign(&at, align_bytes, bytes) != 0)
			at = NULL;
		took(thread, block, at, bytes, align_bytes);
	}
}

static void
change(struct thread *thread, struct block *block, size_t bytes)
{
	size_t old_bytes = block->bytes;
	void *at;

	if (block->at == NULL || bytes == 0 ||
	    !holds(thread, block, old_bytes, "life"))
		return;
	at = realloc(block->at, bytes);
	if (at == NULL) {
		fprintf(stderr, "realloc to %zu bytes failed\n", bytes);
		thread->has_failed = true;
		return;
	}
	block->at = at;
	if (!holds(thread, block, old_bytes < bytes ? old_bytes : bytes,
		   "realloc"))
		return;
	__atomic_sub_fetch(&live_bytes, old_bytes, __ATOMIC_RELAXED);
	took(thread, block, at, bytes, align_for(bytes));
}

/* Up by halves and down by thirds. */
static void
climb(struct thread *thread, struct block *block)
{
	size_t n = 1 + pick(thread, 12);
	bool is_up = pick(thread, 2) == 0;

	for (size_t i = 0; i < n && block->at != NULL; i++) {
		size_t bytes = is_up ? block->bytes + block->bytes / 2 + 1 :
				       block->bytes - block->bytes / 3;

		if (bytes > 2 * MIB)
			return;
		change(thread, block, bytes);
	}
}

/* Swap a block with what lies in the table. */
static void
hand_over(struct thread *thread, struct block *block)
{
	size_t at = pick(thread, N_SHARED);
	struct block *given = malloc(sizeof(*given)), *taken;

	*given = *block;
	block->at = NULL;
	taken = __atomic_exchange_n(&shared[at], given, __ATOMIC_ACQ_REL);
	if (taken == NULL)
		return;
	*block = *taken;
	free(taken);
	if (block->at != NULL)
		holds(thread, block, block->bytes, "being handed over");
}

static void
step(struct thread *thread)
{
	struct block *block = &thread->slots[pick(thread, N_SLOTS)];
	size_t what = pick(thread, 100);

	if (what < 45)
		make(thread, block);
	else if (what < 75)
		drop(thread, block);
	else if (what < 84)
		change(thread, block, pick_bytes(thread));
	else if (what < 90)
		climb(thread, block);
	else
		hand_over(thread, block);
}

static void *
run(void *argument)
{
	struct thread *thread = argument;

	for (size_t i = 0; i < thread->n_operations && !thread->has_failed;
	     i++)
		step(thread);
	for (size_t i = 0; i < N_SLOTS && !thread->has_failed; i++)
		drop(thread, &thread->slots[i]);
	return NULL;
}

static void
empty_table(struct thread *thread)
{
	for (size_t i = 0; i < N_SHARED; i++) {
		if (shared[i] != NULL)
			drop(thread, shared[i]);
		free(shared[i]);
		shared[i] = NULL;
	}
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	static struct thread thread;

	thread.data = data;
	thread.end = data + n_bytes;
	while (thread.data < thread.end && !thread.has_failed)
		step(&thread);
	thread.n_operations = 0;
	run(&thread);
	empty_table(&thread);
	if (thread.has_failed)
		abort();
	return 0;
}

#else

static struct thread threads[N_THREADS_MAX];

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	size_t n_operations = argc > 2 ? strtoul(argv[2], NULL, 0) : 100000;
	size_t n_threads = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	bool has_failed = false;

	if (n_threads < 1 || n_threads > N_THREADS_MAX)
		return 2;
	for (size_t i = 0; i < n_threads; i++) {
		threads[i].state = (seed + 1) * 0x9e3779b97f4a7c15u + i * 77;
		threads[i].n_operations = n_operations / n_threads;
		if (pthread_create(&threads[i].id, NULL, run, &threads[i]) !=
		    0)
			return 2;
	}
	for (size_t i = 0; i < n_threads; i++) {
		pthread_join(threads[i].id, NULL);
		has_failed |= threads[i].has_failed;
	}
	if (!has_failed)
		empty_table(&threads[0]);
	has_failed |= threads[0].has_failed || live_bytes != 0;
	if (has_failed)
		fprintf(stderr, "failed: seed %llu, %zu live bytes\n",
			(unsigned long long)seed, live_bytes);
	return has_failed;
}

#endif
