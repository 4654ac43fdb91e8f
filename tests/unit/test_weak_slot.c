/* SPDX-License-Identifier: MIT */
/*
 * Weak slots and the sweep, of counted objects and of reused ones; those that
 * are borrowed are test_weak_slot_rcu's.
 */
#include "unit/with_slots.h"

static int
setup_strong(void **state)
{
	(void)state;
	make_nodes_and_leaves(&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_STRONG,
						.dtor = spoil_leaf));
	return 0;
}

static int
setup_reuse(void **state)
{
	(void)state;
	make_nodes_and_leaves(&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE));
	return 0;
}

static int
teardown_both(void **state)
{
	(void)state;
	drop_nodes_and_leaves();
	return 0;
}

/* --------------------------------- a slot -------------------------------- */

static void
slot_set_holds_the_objects_handle(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(1);

	(void)state;
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	assert_int_not_equal(cubby_weak_slot_handle(&node->left),
			     CUBBY_WEAK_NULL);
	assert_int_equal(cubby_weak_slot_handle(&node->left),
			 leaf_weak_of(leaves, leaf));
	assert_int_equal(cubby_weak_slot_handle(&node->right),
			 CUBBY_WEAK_NULL);
}

static void
slot_clear_and_set_of_null_empty_it(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(1);

	(void)state;
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	cubby_weak_slot_clear(&node->left);
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	cubby_weak_slot_set(&node->left, CUBBY_WEAK_NULL);
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	cubby_weak_slot_set(&node->left, CUBBY_WEAK_NULL);
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
}

static void
slot_copy_and_copy_of_the_object_copy_it(void **state)
{
	struct node *first = make_node(), *second = make_node();
	struct leaf *leaf = make_leaf(1);

	(void)state;
	cubby_weak_slot_set(&first->left, cubby_weak_of(leaves, leaf));
	*second = *first;
	cubby_weak_slot_copy(&first->right, &second->left);
	assert_int_equal(cubby_weak_slot_handle(&first->right),
			 leaf_weak_of(leaves, leaf));
	leaf_free(leaves, leaf);
	assert_null(cubby_weak_slot_upgrade(&second->left, leaves));
	assert_int_equal(cubby_weak_slot_handle(&second->left),
			 CUBBY_WEAK_NULL);
	/* each expires by itself */
	assert_int_not_equal(cubby_weak_slot_handle(&first->left),
			     CUBBY_WEAK_NULL);
	cubby_weak_slot_copy(&first->left, &second->left);
	assert_int_equal(cubby_weak_slot_handle(&first->left),
			 CUBBY_WEAK_NULL);
}

static void
slot_upgrade_gives_a_reference_while_it_lives(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(5);

	(void)state;
	assert_null(cubby_weak_slot_upgrade(&node->left, leaves));
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	assert_ptr_equal(cubby_weak_slot_upgrade(&node->left, leaves), leaf);
	leaf_free(leaves, leaf);
	assert_true(is_whole(leaf)); /* by the reference */
	assert_null(cubby_weak_slot_upgrade(&node->left, leaves));
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	cubby_ref_put(leaves, leaf);
}

/* It exists, by a reference, and gives no handle any more. */
static void
slot_set_of_a_dying_object_empties_it(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(5);

	(void)state;
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	assert_ptr_equal(cubby_weak_slot_upgrade(&node->left, leaves), leaf);
	leaf_free(leaves, leaf);
	cubby_weak_slot_set(&node->right, cubby_weak_of(leaves, make_leaf(6)));
	cubby_weak_slot_set(&node->right, cubby_weak_of(leaves, leaf));
	assert_int_equal(cubby_weak_slot_handle(&node->right),
			 CUBBY_WEAK_NULL);
	cubby_ref_put(leaves, leaf);
}

/* No room for one more reference is not death. */
static void
slot_upgrade_without_room_keeps_the_handle(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(5);
	uint64_t word = 0;

	(void)state;
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	word = *strong_word(leaf);
	*strong_word(leaf) |= HOLDS_MAX;
	assert_null(cubby_weak_slot_upgrade(&node->left, leaves));
	assert_int_equal(cubby_weak_slot_handle(&node->left),
			 leaf_weak_of(leaves, leaf));
	*strong_word(leaf) = word;
	assert_ptr_equal(cubby_weak_slot_upgrade(&node->left, leaves), leaf);
	cubby_ref_put(leaves, leaf);
	leaf_free(leaves, leaf);
}

/* ---------------------------------- misuse ------------------------------- */

static void
slot_set_of_what_is_no_object_empties_it(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(1);

	(void)state;
	begin_misuse();
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, node));
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	cubby_weak_slot_set(&node->left, cubby_weak_of(nodes, node));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_int_equal(cubby_weak_slot_handle(&node->left), CUBBY_WEAK_NULL);
	end_misuse();
}

/* A call that the mode does not have says nothing about the object. */
static void
slot_calls_of_another_mode_keep_the_handle(void **state)
{
	struct node *node = make_node();
	cubby_weak handle = leaf_weak_of(leaves, make_leaf(1));

	(void)state;
	begin_misuse();
	node->left.handle = handle;
	assert_null(cubby_weak_slot_get(&node->left, leaves));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_int_equal(cubby_weak_slot_handle(&node->left), handle);
	assert_null(cubby_weak_slot_upgrade(&node->left, leaves));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_int_equal(cubby_weak_slot_handle(&node->left), handle);
	end_misuse();
}

static void
slot_calls_of_a_wrong_cache_keep_the_handle(void **state)
{
	struct cubby_cache *dead = make_weak_cache("dead");
	struct node *node = make_node();
	struct cubby_cache *const wrong[] = { NULL, dead, nodes };
	const uint32_t codes[] = { CUBBY_MISUSE_BAD_CACHE,
				   CUBBY_MISUSE_DEAD_CACHE,
				   CUBBY_MISUSE_WEAK_MODE };

	(void)state;
	drop_cache(dead);
	begin_misuse();
	node->left.handle = leaf_weak_of(leaves, make_leaf(1));
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
		assert_null(cubby_weak_slot_get(&node->left, wrong[i]));
		assert_one_report(codes[i]);
		assert_null(cubby_weak_slot_upgrade(&node->left, wrong[i]));
		assert_one_report(codes[i]);
		assert_int_not_equal(cubby_weak_slot_handle(&node->left), 0);
	}
	end_misuse();
}

/* ---------------------------------- sweep -------------------------------- */

enum { N_NODES = 3000, N_LEAVES = 500 };

/* Random nodes, leaves and deaths; the sweep of left clears what it should. */
static void
sweep_clears_exactly_the_dead_of_the_slot(void **state)
{
	static struct node *held[N_NODES];
	static struct leaf *targets[N_LEAVES];
	uint64_t n_expected = 0, n_cleared = UINT64_MAX;

	(void)state;
	for (size_t i = 0; i < N_LEAVES; i++)
		targets[i] = make_leaf(i);
	for (size_t i = 0; i < N_NODES; i++) {
		size_t n = random_below(&seed, N_LEAVES + 100);

		held[i] = make_node();
		held[i]->number = (uint32_t)n;
		if (n < N_LEAVES)
			cubby_weak_slot_set(&held[i]->left,
					    cubby_weak_of(leaves, targets[n]));
		cubby_weak_slot_copy(&held[i]->right, &held[i]->left);
	}
	for (size_t i = 0; i < N_LEAVES; i++) {
		uint64_t die = random_below(&seed, 4);

		if (die == 0)
			leaf_free(leaves, targets[i]);
		if (die == 1)
			assert_int_equal(
				cubby_weak_free(leaves,
						leaf_weak_of(leaves,
							     targets[i])),
				0);
		if (die < 2)
			targets[i] = NULL;
	}
	for (size_t i = 0; i < N_NODES; i++) {
		if (random_below(&seed, 3) == 0) {
			node_free(nodes, held[i]);
			held[i] = NULL;
		} else if (held[i]->number < N_LEAVES) {
			n_expected += targets[held[i]->number] == NULL;
		}
	}
	/* Cells are taken again: nobody refers to the new ones. */
	for (size_t i = 0; i < N_LEAVES / 2; i++)
		make_leaf(i);

	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, n_expected);
	assert_in_range(n_expected, N_NODES / 8, N_NODES);
	for (size_t i = 0; i < N_NODES; i++) {
		cubby_weak expected;
		struct leaf *target;

		if (held[i] == NULL)
			continue;
		target = held[i]->number < N_LEAVES ?
				 targets[held[i]->number] :
				 NULL;
		expected = target ? leaf_weak_of(leaves, target) : 0;
		assert_int_equal(cubby_weak_slot_handle(&held[i]->left),
				 expected);
		assert_int_equal(cubby_weak_slot_handle(&held[i]->right) != 0,
				 held[i]->number < N_LEAVES);
	}
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 0);
	assert_ok(cubby_weak_sweep(nodes, right, leaves, &n_cleared));
	assert_int_equal(n_cleared, n_expected);
}

static void
sweep_of_an_empty_cache_clears_nothing(void **state)
{
	uint64_t n_cleared = UINT64_MAX;

	(void)state;
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 0);
	assert_ok(cubby_weak_sweep(nodes, left, leaves, NULL));
}

/* An object that exists only by references is dead. */
static void
sweep_clears_the_dying(void **state)
{
	struct node *node = make_node();
	struct leaf *leaf = make_leaf(1);
	uint64_t n_cleared = 0;

	(void)state;
	cubby_weak_slot_set(&node->left, cubby_weak_of(leaves, leaf));
	assert_ptr_equal(cubby_weak_slot_upgrade(&node->left, leaves), leaf);
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 0);
	leaf_free(leaves, leaf);
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, 1);
	cubby_ref_put(leaves, leaf);
}

/* Each file that includes a declaration has a table of its own. */
static void
sweep_by_a_copy_of_the_slot_works(void **state)
{
	struct cubby_slot copy = *left;
	struct leaf *leaf = make_leaf(1);
	uint64_t n_cleared = 0;

	(void)state;
	cubby_weak_slot_set(&make_node()->left, cubby_weak_of(leaves, leaf));
	leaf_free(leaves, leaf);
	assert_ok(cubby_weak_sweep(nodes, &copy, leaves, &n_cleared));
	assert_int_equal(n_cleared, 1);
}

/* A cache may refer to its own objects, and have weak slots at any place. */
#define TWIN_SLOTS(SLOT)                                                      \
	SLOT(struct cubby_weak_slot, twin, "")                                \
	SLOT(char[5], rest, "")
CUBBY_WEAK_LAYOUT(twin, TWIN_SLOTS);

static void
sweep_of_a_cache_that_refers_to_itself_works(void **state)
{
	const struct cubby_slot *slot;
	struct twin *first, *second;
	struct cubby_cache *twins;
	uint64_t n_cleared = 0;

	(void)state;
	assert_ok(twin_cache_create(
		&twins, &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_STRONG)));
	assert_ok(cubby_layout_find_slot(cubby_cache_layout(twins), "twin",
					 &slot));
	first = twin_zalloc(twins);
	second = twin_zalloc(twins);
	assert_non_null(first);
	assert_non_null(second);
	cubby_weak_slot_set(&first->twin, cubby_weak_of(twins, second));
	cubby_weak_slot_set(&second->twin, cubby_weak_of(twins, first));
	twin_free(twins, second);
	assert_ok(cubby_weak_sweep(twins, slot, twins, &n_cleared));
	assert_int_equal(n_cleared, 1);
	assert_int_equal(cubby_weak_slot_handle(&first->twin), 0);
	twin_free(twins, first);
	drop_cache(twins);
}

static void
sweep_with_a_wrong_slot_is_refused_by_name(void **state)
{
	const struct cubby_slot *slot;
	struct cubby_slot moved = *left;
	struct cubby_cache *sized = make_weak_cache("sized");
	uint64_t n_cleared = 77;

	(void)state;
	assert_ok(cubby_layout_find_slot(&node_layout, "weight", &slot));
	assert_refused(cubby_weak_sweep(nodes, slot, leaves, &n_cleared),
		       -EINVAL,
		       "cache 'node': slot 'weight' (offset 16) has type f64: "
		       "only one of type weak can be swept");
	assert_ok(cubby_layout_find_slot(&leaf_layout, "check", &slot));
	assert_refused(
		cubby_weak_sweep(nodes, slot, leaves, &n_cleared), -EINVAL,
		"cache 'node': its layout has no u64 slot of 8 bytes at "
		"offset 8: find the slot in cubby_cache_layout()");
	moved.offset_bytes = 16;
	assert_refused(
		cubby_weak_sweep(nodes, &moved, leaves, &n_cleared), -EINVAL,
		"cache 'node': its layout has no weak slot of 8 bytes at "
		"offset 16: find the slot in cubby_cache_layout()");
	moved.offset_bytes = 1 << 30;
	assert_int_equal(cubby_weak_sweep(nodes, &moved, leaves, &n_cleared),
			 -EINVAL);
	assert_refused(cubby_weak_sweep(sized, left, leaves, &n_cleared),
		       -EINVAL,
		       "cache 'sized' was created without a layout, so it has "
		       "no weak slots");
	assert_refused(cubby_weak_sweep(nodes, NULL, leaves, &n_cleared),
		       -EINVAL, "slot is NULL");
	assert_int_equal(n_cleared, 77);
	drop_cache(sized);
}

static void
sweep_with_a_wrong_cache_is_reported(void **state)
{
	uint64_t n_cleared = 77;

	(void)state;
	begin_misuse();
	assert_int_equal(cubby_weak_sweep(NULL, left, leaves, &n_cleared),
			 -CUBBY_ENOCACHE);
	assert_one_report(CUBBY_MISUSE_BAD_CACHE);
	assert_int_equal(cubby_weak_sweep(nodes, left, NULL, &n_cleared),
			 -CUBBY_ENOCACHE);
	assert_one_report(CUBBY_MISUSE_BAD_CACHE);
	assert_int_equal(cubby_weak_sweep(nodes, left, nodes, &n_cleared),
			 -EINVAL);
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_int_equal(n_cleared, 77);
	end_misuse();
}

/* --------------------------------- threads ------------------------------- */

static bool
look_by_upgrade(struct cubby_weak_slot *slot)
{
	struct leaf *leaf = cubby_weak_slot_upgrade(slot, leaves);

	if (leaf == NULL)
		return false;
	if (!is_whole(leaf))
		garden_fault(&garden.n_broken);
	cubby_ref_put(leaves, leaf);
	return true;
}

static void
slots_of_counted_objects_may_be_used_at_once(void **state)
{
	(void)state;
	garden.look = look_by_upgrade;
	run_garden();
}

static void
slot_that_is_set_anew_is_not_cleared(void **state)
{
	(void)state;
	garden.look = look_by_upgrade;
	run_duel(scaled(300000));
}

/* A copy that is checked, of objects that are reused meanwhile. */
static bool
look_by_copy(struct cubby_weak_slot *slot)
{
	cubby_weak handle = cubby_weak_slot_handle(slot);
	struct leaf copy;

	if (cubby_weak_copy(leaves, handle, &copy, 0, sizeof(copy)) != 0)
		return false;
	if (!is_whole(&copy))
		garden_fault(&garden.n_broken);
	return true;
}

static void
slots_of_reused_objects_may_be_used_at_once(void **state)
{
	(void)state;
	garden.look = look_by_copy;
	run_garden();
}

#define STRONG(function)                                                      \
	cmocka_unit_test_setup_teardown(function, setup_strong, teardown_both)
#define REUSE(function)                                                       \
	cmocka_unit_test_setup_teardown(function, setup_reuse, teardown_both)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STRONG(slot_set_holds_the_objects_handle),
		STRONG(slot_clear_and_set_of_null_empty_it),
		STRONG(slot_copy_and_copy_of_the_object_copy_it),
		STRONG(slot_upgrade_gives_a_reference_while_it_lives),
		STRONG(slot_set_of_a_dying_object_empties_it),
		STRONG(slot_upgrade_without_room_keeps_the_handle),
		REUSE(slot_set_of_what_is_no_object_empties_it),
		REUSE(slot_calls_of_another_mode_keep_the_handle),
		STRONG(slot_calls_of_a_wrong_cache_keep_the_handle),
		REUSE(sweep_clears_exactly_the_dead_of_the_slot),
		REUSE(sweep_of_an_empty_cache_clears_nothing),
		STRONG(sweep_clears_the_dying),
		REUSE(sweep_by_a_copy_of_the_slot_works),
		REUSE(sweep_of_a_cache_that_refers_to_itself_works),
		REUSE(sweep_with_a_wrong_slot_is_refused_by_name),
		STRONG(sweep_with_a_wrong_cache_is_reported),
		STRONG(slots_of_counted_objects_may_be_used_at_once),
		STRONG(slot_that_is_set_anew_is_not_cleared),
		REUSE(slots_of_reused_objects_may_be_used_at_once),
	};

	return cmocka_run_group_tests_name("weak_slot", tests, NULL, NULL);
}
