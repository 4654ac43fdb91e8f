/* SPDX-License-Identifier: MIT */
/*
 * mistakes [WHAT]: one mistake, or none, with objects of malloc() or, compiled with
 * -DWITH_CUBBY, of Cubby.  What a tool says of it must be the same.
 */
#include <cubby/cubby.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NODE_BYTES 40
#define N_MANY 1000
#define N_THREADS 4

struct node {
	struct node *next;
	char bytes[NODE_BYTES - sizeof(struct node *)];
};

static struct cubby_cache *cache;
static int races;
static struct node *shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *handed; /* under the lock */
static pthread_barrier_t together;

#ifdef WITH_CUBBY
#define ALLOC() cubby_alloc(cache)
#define FREE(node) cubby_free(cache, node)
#else
#define ALLOC() malloc(sizeof(struct node))
#define FREE(node) free(node)
#endif

static __attribute__((noinline)) struct node *
make(void)
{
	return ALLOC();
}

static __attribute__((noinline)) void
drop(struct node *node)
{
	FREE(node);
}

static __attribute__((noinline)) void
lose_a_list(size_t n)
{
	struct node *first = NULL;

	for (size_t i = 0; i < n; i++) {
		struct node *node = make();

		memset(node, 0, sizeof(*node));
		node->next = first;
		first = node;
	}
}

/* No old pointer is left where a search would find it. */
static __attribute__((noinline)) void
wipe_stack(void)
{
	char bytes[8192];

	memset(bytes, 0, sizeof(bytes));
	__asm__ volatile("" ::"r"(bytes) : "memory");
}

/* Objects pass from thread to thread, as they should. */
static void *
work(void *unused)
{
	(void)unused;
	for (int i = 0; i < 200; i++) {
		struct node *node = make(), *other;

		memset(node, i, sizeof(*node));
		pthread_mutex_lock(&lock);
		other = handed;
		handed = node;
		pthread_mutex_unlock(&lock);
		if (other != NULL) {
			other->bytes[0]++;
			drop(other);
		}
	}
	pthread_barrier_wait(&together);
	if (races)
		shared->bytes[1]++;
	return NULL;
}

static void
work_together(void)
{
	pthread_t threads[N_THREADS];

	shared = make();
	memset(shared, 0, sizeof(*shared));
	pthread_barrier_init(&together, NULL, N_THREADS);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	drop(handed);
	drop(shared);
}

static void
use_many(void)
{
	static struct node *many[N_MANY];

	for (size_t i = 0; i < N_MANY; i++)
		many[i] = make();
	for (size_t i = 0; i < N_MANY; i++)
		drop(many[i]);
}

/* What a destroyed cache had is anybody's, when its addresses are free again. */
static void
destroy_many(void)
{
	char *first = NULL, *page = MAP_FAILED;

	for (int i = 0; i < 200 && page == MAP_FAILED; i++) {
		struct cubby_cache *other;
		char *object;

		if (cubby_cache_create_sized(&other, "other", 24, 0, NULL) !=
		    0)
			abort();
		object = cubby_alloc(other);
		object[0] = 1;
		cubby_free(other, object);
		if (cubby_cache_destroy(other) != 0)
			abort();
		if (first == NULL)
			first = object;
		page = mmap((char *)((uintptr_t)first & ~(uintptr_t)4095),
			    4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			    -1, 0);
	}
	if (page == MAP_FAILED)
		fprintf(stderr, "its addresses are not free\n");
	else
		first[0] = page[0] + 1;
}

static int
set_up(void *object, void *context)
{
	(void)context;
	memset(object, 7, NODE_BYTES);
	return 0;
}

static void
look_and_clear(void *object, void *context)
{
	(void)context;
	if (((char *)object)[3] != 7)
		abort();
	memset(object, 0, NODE_BYTES);
}

/* Cells without an object that may be touched: by init and fini, and to copy. */
static void
use_states(void)
{
	static void *objects[500];
	struct cubby_cache *kept, *reused;
	int sum = 0;

	if (cubby_cache_create_sized(
		    &kept, "kept", NODE_BYTES, 0,
		    &CUBBY_CACHE_ATTR(.init = set_up,
				      .fini = look_and_clear)) != 0 ||
	    cubby_cache_create_sized(
		    &reused, "reused", NODE_BYTES, 0,
		    &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE)) != 0)
		abort();
	for (int turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < 500; i++) {
			objects[i] = cubby_alloc(kept);
			sum += ((char *)objects[i])[5];
		}
		cubby_free_bulk(kept, 500, objects);
		if (cubby_cache_shrink(kept, NULL) != 0)
			abort();
	}
	objects[0] = cubby_zalloc(reused);
	cubby_free(reused, objects[0]);
	sum += ((volatile char *)objects[0])[5];
	if (sum != 3 * 500 * 7 || cubby_cache_destroy(kept) != 0 ||
	    cubby_cache_destroy(reused) != 0)
		abort();
}

/* What only an object refers to is not lost. */
static void
keep_in_an_object(void)
{
	struct node *node = make();
	char *text = malloc(333);

	memcpy(&node->next, &text, sizeof(text));
	shared = node;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "nothing";
	struct node *a, *b;

	if (cubby_cache_create_sized(&cache, "node", NODE_BYTES, 0, NULL) != 0)
		return 1;
	a = make();
	b = make();
	memset(a, 1, sizeof(*a));
	memset(b, 1, sizeof(*b));
	if (strcmp(what, "behind") == 0)
		((char *)a)[NODE_BYTES] = 1;
	if (strcmp(what, "before") == 0)
		((volatile char *)a)[-1] = 1;
	drop(b);
	if (strcmp(what, "after-free") == 0)
		printf("%d\n", b->bytes[3]);
	if (strcmp(what, "twice") == 0)
		drop(b);
	b = make();
	if (strcmp(what, "uninitialised") == 0 && b->bytes[7])
		puts("once");
	drop(b);
	if (strcmp(what, "lost") == 0)
		lose_a_list(10);
	if (strcmp(what, "many") == 0)
		use_many();
	if (strcmp(what, "again") == 0)
		destroy_many();
	if (strcmp(what, "states") == 0)
		use_states();
	if (strcmp(what, "kept") == 0)
		keep_in_an_object();
	races = strcmp(what, "race") == 0;
	if (races || strcmp(what, "threads") == 0)
		work_together();
	drop(a);
	a = b = NULL;
	wipe_stack();
	return 0;
}
