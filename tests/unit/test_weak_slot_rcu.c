/* SPDX-License-Identifier: MIT */
/* Weak slots whose objects are borrowed, in every flavour. */
#include "unit/with_slots.h"

#include "support/flavor.h"

#define SWEEPS_MAX 100000

static const struct test_flavor *flavor;

static void
make_borrowed(void **state)
{
	flavor = *state;
	make_nodes_and_leaves(&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU,
						.rcu = flavor->rcu,
						.dtor = spoil_leaf));
}

static void
begin(void)
{
	test_flavor_register(flavor);
}

static void
end(void)
{
	test_flavor_unregister(flavor);
}

static void
pass(void)
{
	test_flavor_quiesce(flavor);
}

static void
slot_get_borrows_while_it_lives(void **state)
{
	struct node *node;
	struct leaf *leaf;

	make_borrowed(state);
	begin();
	node = make_node();
	leaf = make_leaf(5);
	test_flavor_lock(flavor);
	assert_null(cubby_weak_slot_get(&node->left, leaves));
	cubby_weak_slot_set(&node->left, leaf_weak_of(leaves, leaf));
	cubby_weak_slot_copy(&node->right, &node->left);
	assert_ptr_equal(cubby_weak_slot_get(&node->left, leaves), leaf);
	leaf_free(leaves, leaf);
	assert_null(cubby_weak_slot_get(&node->left, leaves));
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	assert_int_not_equal(cubby_weak_slot_handle(&node->right),
			     CUBBY_WEAK_NULL);
	assert_true(is_whole(leaf)); /* until the section ends */
	test_flavor_leave(flavor);
	end();
	assert_ok(cubby_rcu_barrier(leaves));
	drop_nodes_and_leaves();
}

/* Objects that wait for a grace period are dead; their nodes are not live. */
static void
sweep_in_a_section_clears_what_waits(void **state)
{
	struct leaf *leaf;
	uint64_t n_cleared = 0;

	make_borrowed(state);
	begin();
	leaf = make_leaf(5);
	test_flavor_lock(flavor);
	cubby_weak_slot_set(&make_node()->left, leaf_weak_of(leaves, leaf));
	cubby_weak_slot_set(&make_node()->left,
			    leaf_weak_of(leaves, make_leaf(6)));
	leaf_free(leaves, leaf);
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 1);
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 0);
	test_flavor_leave(flavor);
	end();
	drop_nodes_and_leaves();
}

/* ------------------------ nodes that die meanwhile ----------------------- */

/* Refers to its like, and dies at any moment. */
#define TWIN_SLOTS(SLOT)                                                      \
	SLOT(uint64_t, number, "")                                            \
	SLOT(struct cubby_weak_slot, twin, "")
CUBBY_WEAK_LAYOUT(twin, TWIN_SLOTS);

enum { N_TWINS = 200, N_FREERS = 3, N_SWEEPS = 100 };

static struct cubby_cache *twins;

struct freer {
	pthread_t thread;
	struct twin *held[N_TWINS];
	uint64_t seed, n_lost;
};

/* Plain: who still looks at the object would be seen by TSan. */
static void
spoil_twin(void *object, void *context)
{
	(void)context;
	memset(object, 0, sizeof(struct twin));
}

static void
replace_twin(struct freer *self, size_t i)
{
	struct twin *last = self->held[(i + N_TWINS - 1) % N_TWINS];

	if (self->held[i] != NULL)
		twin_free(twins, self->held[i]);
	/* A sweep may look at it before it is filled in, so: by atomics. */
	self->held[i] = twin_alloc(twins);
	must(self->held[i] != NULL, "no twin");
	__atomic_store_n(&self->held[i]->number, i, __ATOMIC_RELAXED);
	cubby_weak_slot_set(&self->held[i]->twin, twin_weak_of(twins, last));
	/* Nobody has a reason to clear what refers to a live one. */
	if (last != NULL && cubby_weak_slot_handle(&self->held[i]->twin) !=
				    twin_weak_of(twins, last))
		self->n_lost++;
}

static void *
free_twins(void *argument)
{
	struct freer *self = argument;

	begin();
	while (!__atomic_load_n(&garden.is_over, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < 64; i++)
			replace_twin(self, random_below(&self->seed, N_TWINS));
		pass();
	}
	for (size_t i = 0; i < N_TWINS; i++)
		if (self->held[i] != NULL)
			twin_free(twins, self->held[i]);
	end();
	return NULL;
}

/* The sweep's section keeps what it looks at; TSan sees if it does not. */
static void
sweep_in_a_section_may_meet_frees(void **state)
{
	static struct freer freers[N_FREERS];
	const struct cubby_slot *slot;
	size_t n_sweeps = scaled(N_SWEEPS);
	uint64_t n_cleared, n_all = 0;

	flavor = *state;
	garden.is_over = 0;
	assert_ok(twin_cache_create(&twins,
				    &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU,
						      .rcu = flavor->rcu,
						      .dtor = spoil_twin)));
	assert_ok(cubby_layout_find_slot(&twin_layout, "twin", &slot));
	memset(freers, 0, sizeof(freers));
	for (size_t i = 0; i < N_FREERS; i++)
		assert_int_equal(pthread_create(&freers[i].thread, NULL,
						free_twins, &freers[i]),
				 0);
	begin();
	/* On, too, until the threads have come to free something. */
	for (size_t i = 0; i < n_sweeps || (n_all == 0 && i < SWEEPS_MAX);
	     i++) {
		test_flavor_lock(flavor);
		assert_ok(cubby_weak_sweep(twins, slot, twins, &n_cleared));
		test_flavor_leave(flavor);
		n_all += n_cleared;
		/* Walks without a pause hold up who reclaims. */
		if (i % 10 == 9)
			assert_ok(cubby_rcu_barrier(twins));
	}
	end();
	__atomic_store_n(&garden.is_over, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_FREERS; i++) {
		pthread_join(freers[i].thread, NULL);
		assert_int_equal(freers[i].n_lost, 0);
	}
	assert_int_not_equal(n_all, 0);
	assert_ok(cubby_rcu_barrier(twins));
	assert_ok(cubby_cache_destroy(twins));
}

/* --------------------------------- threads ------------------------------- */

static bool
look_by_get(struct cubby_weak_slot *slot)
{
	struct leaf *leaf;
	bool is_there;

	test_flavor_lock(flavor);
	leaf = cubby_weak_slot_get(slot, leaves);
	is_there = leaf != NULL;
	if (is_there && !is_whole(leaf))
		garden_fault(&garden.n_broken);
	test_flavor_unlock(flavor);
	return is_there;
}

static void
prepare_garden(void)
{
	garden.look = look_by_get;
	garden.begin = begin;
	garden.end = end;
	garden.pause = pass;
}

static void
slots_of_borrowed_objects_may_be_used_at_once(void **state)
{
	make_borrowed(state);
	prepare_garden();
	run_garden();
	drop_nodes_and_leaves();
}

static void
slot_that_is_set_anew_is_not_cleared(void **state)
{
	make_borrowed(state);
	prepare_garden();
	run_duel(scaled(50000));
	drop_nodes_and_leaves();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLAVOR_CASES(slot_get_borrows_while_it_lives),
		FLAVOR_CASES(sweep_in_a_section_clears_what_waits),
		FLAVOR_CASES(sweep_in_a_section_may_meet_frees),
		FLAVOR_CASES(slots_of_borrowed_objects_may_be_used_at_once),
		FLAVOR_CASES(slot_that_is_set_anew_is_not_cleared),
	};

	return cmocka_run_group_tests_name("weak_slot_rcu", tests, NULL, NULL);
}
