/* SPDX-License-Identifier: MIT */
/*
 * Copies that are checked afterwards: an object dies, is reused, or loses its
 * pages at a known byte of the copy.  How: what is copied to begins to be
 * accessible when it is touched, and the handler of that fault does it.
 */
#include "unit/with_modes.h"

#include "os.h"

#include <signal.h>

enum { OBJECT_BYTES = 16 * 1024, AT_BYTE = 8 * 1024 };

static struct {
	struct cubby_cache *cache;
	void *object;
	void (*meanwhile)(void);
	char *to; /* AT_BYTE of it are accessible before */
	unsigned n_faults;
} scene;

static void
on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (info->si_addr != scene.to + AT_BYTE || scene.n_faults++ != 0)
		abort();
	mprotect(scene.to, OBJECT_BYTES, PROT_READ | PROT_WRITE);
	scene.meanwhile();
}

static void
fill(void *object, uint64_t mark)
{
	for (size_t i = 0; i < OBJECT_BYTES / 8; i++)
		((uint64_t *)object)[i] = mark + i;
}

/* Copy, with this between one half and the other. */
static int
copy_while(struct cubby_cache *cache, cubby_weak handle, void *object,
	   void (*meanwhile)(void))
{
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO },
			 saved;
	int err;

	scene.to = mmap(NULL, OBJECT_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(scene.to, MAP_FAILED);
	assert_int_equal(mprotect(scene.to + AT_BYTE, OBJECT_BYTES - AT_BYTE,
				  PROT_NONE),
			 0);
	scene.cache = cache;
	scene.object = object;
	scene.meanwhile = meanwhile;
	scene.n_faults = 0;
	sigaction(SIGSEGV, &action, &saved);
	err = cubby_weak_copy(cache, handle, scene.to, 0, OBJECT_BYTES);
	sigaction(SIGSEGV, &saved, NULL);
	assert_int_equal(scene.n_faults, 1);
	return err;
}

static void
assert_copied(uint64_t first, uint64_t second)
{
	const uint64_t *to = (const uint64_t *)(void *)scene.to;

	for (size_t i = 0; i < OBJECT_BYTES / 8; i++)
		assert_int_equal(to[i],
				 (i < AT_BYTE / 8 ? first : second) + i);
	munmap(scene.to, OBJECT_BYTES);
}

static struct cubby_cache *
make(const struct mode *mode)
{
	return make_in(mode, OBJECT_BYTES, .max_objects = 4);
}

/* ---------------------------------- cases -------------------------------- */

static void
nothing(void)
{
}

static void
copy_of_an_object_that_lives_on_is_whole(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	fill(object, 1000);
	assert_int_equal(copy_while(cache, handle, object, nothing), 0);
	assert_copied(1000, 1000);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void
write_to_it(void)
{
	fill(scene.object, 2000);
}

/* Its owner's business: the copy says nothing of it. */
static void
copy_of_an_object_that_is_written_to_is_of_before_and_after(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	fill(object, 1000);
	assert_int_equal(copy_while(cache, handle, object, write_to_it), 0);
	/* One word was read before it could not be stored. */
	((uint64_t *)(void *)scene.to)[AT_BYTE / 8] = ((
		uint64_t *)object)[AT_BYTE / 8];
	assert_copied(1000, 2000);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void
free_it(void)
{
	cubby_free(scene.cache, scene.object);
}

static void
copy_of_an_object_that_dies_meanwhile_is_stale(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	fill(object, 1000);
	assert_int_equal(copy_while(cache, handle, object, free_it), -ESTALE);
	munmap(scene.to, OBJECT_BYTES);
	drop_cache(cache);
}

static void *successor;

static void
reuse_it(void)
{
	cubby_free(scene.cache, scene.object);
	(void)cubby_rcu_barrier(scene.cache);
	successor = cubby_alloc(scene.cache);
	fill(successor, 2000);
	(void)!cubby_weak_of(scene.cache, successor);
}

static void
copy_of_an_object_that_is_reused_meanwhile_is_stale(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state,
					    OBJECT_BYTES, .max_objects = 1);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	fill(object, 1000);
	assert_int_equal(copy_while(cache, handle, object, reuse_it), -ESTALE);
	munmap(scene.to, OBJECT_BYTES);
	assert_ptr_equal(successor, object);
	assert_int_equal(cubby_weak_is_live(cache, handle), 0);
	assert_int_equal(
		cubby_weak_is_live(cache, cubby_weak_of(cache, successor)), 1);
	cubby_free(cache, successor);
	drop_cache(cache);
}

/* Who copies reads on, and finds zeroes. */
static void
lose_its_pages(void)
{
	cubby_free(scene.cache, scene.object);
	(void)cubby_rcu_barrier(scene.cache);
	(void)cubby_cache_shrink(scene.cache, NULL);
}

static void
copy_while_pages_go(const struct mode *mode)
{
	struct cubby_cache *cache = make(mode);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	fill(object, 1000);
	assert_int_equal(copy_while(cache, handle, object, lose_its_pages),
			 -ESTALE);
	assert_int_equal(stats_of(cache).n_free, 0);
	for (size_t i = AT_BYTE + 8; i < OBJECT_BYTES - 8; i++)
		assert_int_equal(scene.to[i], 0);
	munmap(scene.to, OBJECT_BYTES);
	assert_int_equal(cubby_weak_copy(cache, handle, &scene, 0, 8),
			 -ESTALE);
	drop_cache(cache);
}

/* Also where memory is charged, and pages are mapped away. */
static void
copy_of_an_object_whose_pages_go_meanwhile_is_stale(void **state)
{
	bool charges = cubby__os_charges_commit();

	copy_while_pages_go(*state);
	cubby__os_pretend_charging(!charges);
	copy_while_pages_go(*state);
	cubby__os_pretend_charging(charges);
}

/* Nothing waits: the cell is the next object's at once, and has no reader. */
static void
free_of_an_object_with_a_handle_makes_room_at_once(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .max_objects = 1);

	for (int i = 0; i < 100; i++) {
		void *object = must_alloc(cache);
		cubby_weak handle = must_handle(cache, object);

		if (i % 2)
			cubby_free(cache, object);
		else
			assert_int_equal(cubby_weak_free(cache, handle), 0);
		assert_int_equal(stats_of(cache).n_deferred, 0);
	}
	drop_cache(cache);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_ALL_MODES(copy_of_an_object_that_lives_on_is_whole),
		IN_ALL_MODES(
			copy_of_an_object_that_is_written_to_is_of_before_and_after),
		IN_ALL_MODES(copy_of_an_object_that_dies_meanwhile_is_stale),
		IN_ALL_MODES(
			copy_of_an_object_that_is_reused_meanwhile_is_stale),
		IN_ALL_MODES(
			copy_of_an_object_whose_pages_go_meanwhile_is_stale),
		IN_MODE(free_of_an_object_with_a_handle_makes_room_at_once,
			MODE_REUSE, "_reuse"),
		IN_MODE(free_of_an_object_with_a_handle_makes_room_at_once,
			MODE_STRONG, "_strong"),
	};

	return RUN_IN_ALL_SHAPES("copies", tests);
}
