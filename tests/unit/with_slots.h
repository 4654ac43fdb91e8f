/* SPDX-License-Identifier: MIT */
/*
 * What the tests of weak slots share: nodes, which have slots, and leaves, to
 * which they refer; and threads that use both at once.
 *
 * A leaf is whole, number and check, from before its first handle until dtor.
 */
#ifndef WITH_SLOTS_H
#define WITH_SLOTS_H

#include "unit/with_handles.h"

#include <pthread.h>

#define NODE_SLOTS(SLOT)                                                      \
	SLOT(uint32_t, number, "")                                            \
	SLOT(struct cubby_weak_slot, left, "")                                \
	SLOT(double, weight, "")                                              \
	SLOT(struct cubby_weak_slot, right, "")

/* Its own objects need no handles. */
CUBBY_LAYOUT(node, NODE_SLOTS);

#define LEAF_SLOTS(SLOT)                                                      \
	SLOT(uint64_t, number, "")                                            \
	SLOT(uint64_t, check, "~number")                                      \
	SLOT(char[13], rest, "so that its cells have no round size")

CUBBY_WEAK_LAYOUT(leaf, LEAF_SLOTS);

static const struct cubby_slot *left __attribute__((unused));
static const struct cubby_slot *right __attribute__((unused));
static struct cubby_cache *nodes __attribute__((unused));
static struct cubby_cache *leaves __attribute__((unused));

static inline void
spoil_leaf(void *object, void *context)
{
	struct leaf *leaf = object;

	(void)context;
	leaf->number = leaf->check = 0;
}

/* Threads cannot use cmocka's. */
static inline void
must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "%s: %s\n", what, cubby_error_detail());
	abort();
}

/* Atomic: of reused leaves somebody may be reading the last one's bytes. */
static inline struct leaf *
make_leaf(uint64_t number)
{
	struct leaf *leaf = leaf_alloc(leaves);

	must(leaf != NULL, "no leaf");
	__atomic_store_n(&leaf->number, number, __ATOMIC_RELAXED);
	__atomic_store_n(&leaf->check, ~number, __ATOMIC_RELAXED);
	return leaf;
}

static inline bool
is_whole(const struct leaf *leaf)
{
	return leaf->check == ~leaf->number;
}

static inline struct node *
make_node(void)
{
	struct node *node = node_zalloc(nodes);

	assert_non_null(node);
	return node;
}

static inline void
make_nodes_and_leaves(const struct cubby_cache_attr *attr)
{
	seed = 1;
	assert_ok(node_cache_create(&nodes, NULL));
	assert_ok(leaf_cache_create(&leaves, attr));
	assert_ok(cubby_layout_find_slot(&node_layout, "left", &left));
	assert_ok(cubby_layout_find_slot(&node_layout, "right", &right));
}

/* Whatever is left in them. */
static inline void
drop_nodes_and_leaves(void)
{
	assert_ok(cubby_cache_destroy_force(nodes));
	assert_ok(cubby_cache_destroy_force(leaves));
}

/* --------------------------------- threads ------------------------------- */

enum {
	N_GARDENERS = 4,
	N_SHARED = 16, /* nodes whose left slot everyone sets */
	N_OWN = 4,     /* leaves of each */
	N_STEPS = 100000,
	SWEEP_EACH = 5000
};

/* A node of his own: its right slot is set by nobody else, but all look. */
struct gardener {
	pthread_t thread;
	uint64_t seed, n_seen, n_missed;
	struct leaf *own[N_OWN];
	struct leaf *last; /* to which his node refers */
	struct node *node;
};

static struct {
	struct node *shared[N_SHARED];
	struct gardener gardeners[N_GARDENERS];
	/* Look at what a slot refers to: was there anything? */
	bool (*look)(struct cubby_weak_slot *slot);
	void (*begin)(void), (*end)(void), (*pause)(void); /* may be NULL */
	uint32_t n_lost, n_broken, is_over;
} garden __attribute__((unused));

static inline void
garden_fault(uint32_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/*
 * Replace the leaf that his node refers to.  Nobody else sets the slot, so it
 * must have been there until now, however many have found it dead just before
 * it was set.
 */
static inline void
garden_replace_last(struct gardener *self)
{
	struct cubby_weak_slot *slot = &self->node->right;

	if (self->last != NULL) {
		if (cubby_weak_slot_handle(slot) !=
		    leaf_weak_of(leaves, self->last))
			garden_fault(&garden.n_lost);
		leaf_free(leaves, self->last);
	}
	self->last = make_leaf(random_below(&self->seed, 1u << 30));
	cubby_weak_slot_set(slot, leaf_weak_of(leaves, self->last));
}

static inline void
garden_step(struct gardener *self)
{
	struct node **shared = garden.shared;
	struct cubby_weak_slot *slot =
		&shared[random_below(&self->seed, N_SHARED)]->left;
	struct gardener *other =
		&garden.gardeners[random_below(&self->seed, N_GARDENERS)];
	struct leaf **own = &self->own[random_below(&self->seed, N_OWN)];

	switch (random_below(&self->seed, 8)) {
	case 0:
		leaf_free(leaves, *own);
		*own = make_leaf(random_below(&self->seed, 1u << 30));
		break;
	case 1:
	case 2:
		cubby_weak_slot_set(slot, cubby_weak_of(leaves, *own));
		break;
	case 3:
		cubby_weak_slot_copy(
			slot,
			&shared[random_below(&self->seed, N_SHARED)]->left);
		break;
	case 4:
		if (random_below(&self->seed, 4) == 0)
			cubby_weak_slot_clear(slot);
		garden_replace_last(self);
		break;
	case 5:
		slot = &other->node->right;
		/* fall through */
	default:
		if (garden.look(slot))
			self->n_seen++;
		else
			self->n_missed++;
	}
}

static inline void *
garden_work(void *argument)
{
	struct gardener *self = argument;
	size_t n_steps = scaled(N_STEPS);

	if (garden.begin != NULL)
		garden.begin();
	for (size_t i = 0; i < N_OWN; i++)
		self->own[i] = make_leaf(i);
	for (size_t i = 0; i < n_steps; i++) {
		garden_step(self);
		if (i % SWEEP_EACH == 0)
			must(cubby_weak_sweep(nodes, right, leaves, NULL) == 0,
			     "no sweep");
		if (garden.pause != NULL && i % 64 == 0)
			garden.pause();
	}
	for (size_t i = 0; i < N_OWN; i++)
		leaf_free(leaves, self->own[i]);
	if (garden.end != NULL)
		garden.end();
	return NULL;
}

static inline size_t
count_set_left(void)
{
	size_t n = 0;

	for (size_t i = 0; i < N_SHARED; i++)
		n += cubby_weak_slot_handle(&garden.shared[i]->left) !=
		     CUBBY_WEAK_NULL;
	return n;
}

/* All of them at once: no leaf is seen that is not whole, no handle lost. */
static inline void
run_garden(void)
{
	uint64_t n_cleared = 0, n_seen = 0, n_missed = 0, n_set;

	for (size_t i = 0; i < N_SHARED; i++)
		garden.shared[i] = make_node();
	for (size_t i = 0; i < N_GARDENERS; i++)
		garden.gardeners[i] = (struct gardener){ .seed = i,
							 .node = make_node() };
	garden.n_lost = garden.n_broken = 0;
	for (size_t i = 0; i < N_GARDENERS; i++)
		assert_int_equal(pthread_create(&garden.gardeners[i].thread,
						NULL, garden_work,
						&garden.gardeners[i]),
				 0);
	for (size_t i = 0; i < N_GARDENERS; i++) {
		pthread_join(garden.gardeners[i].thread, NULL);
		n_seen += garden.gardeners[i].n_seen;
		n_missed += garden.gardeners[i].n_missed;
	}
	assert_int_equal(garden.n_lost, 0);
	assert_int_equal(garden.n_broken, 0);
	assert_int_not_equal(n_seen, 0);
	assert_int_not_equal(n_missed, 0);

	/* Those in shared slots have all died, the last ones all live. */
	n_set = count_set_left();
	assert_ok(cubby_weak_sweep(nodes, left, leaves, &n_cleared));
	assert_int_equal(n_cleared, n_set);
	assert_int_equal(count_set_left(), 0);
	assert_ok(cubby_weak_sweep(nodes, right, leaves, &n_cleared));
	assert_int_equal(n_cleared, 0);
}

/*
 * One sets a slot anew as soon as what it refers to has died, while the others
 * look at nothing else: of those who found it dead some are late.
 */
static inline void *
duel_look(void *argument)
{
	struct gardener *self = argument;

	if (garden.begin != NULL)
		garden.begin();
	while (!__atomic_load_n(&garden.is_over, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < 64; i++)
			if (!garden.look(&self->node->right))
				__atomic_add_fetch(&self->n_missed, 1,
						   __ATOMIC_RELAXED);
		if (garden.pause != NULL)
			garden.pause();
	}
	if (garden.end != NULL)
		garden.end();
	return NULL;
}

static inline uint64_t
duel_n_missed(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < N_GARDENERS; i++)
		n += __atomic_load_n(&garden.gardeners[i].n_missed,
				     __ATOMIC_RELAXED);
	return n;
}

/* Longer where nobody was late yet: they may not even have begun. */
static inline void
run_duel(size_t n_turns)
{
	struct gardener owner = { .node = make_node() };

	garden.n_lost = garden.n_broken = garden.is_over = 0;
	for (size_t i = 0; i < N_GARDENERS; i++) {
		garden.gardeners[i] = (struct gardener){ .node = owner.node };
		assert_int_equal(pthread_create(&garden.gardeners[i].thread,
						NULL, duel_look,
						&garden.gardeners[i]),
				 0);
	}
	if (garden.begin != NULL)
		garden.begin();
	for (size_t i = 0;
	     i < n_turns || (duel_n_missed() == 0 && i < 1000 * n_turns);
	     i++) {
		garden_replace_last(&owner);
		for (size_t j = 0; j < 8; j++) /* late ones may come now */
			if (!garden.look(&owner.node->right))
				garden_fault(&garden.n_lost);
		if (garden.pause != NULL)
			garden.pause();
	}
	if (garden.end != NULL)
		garden.end();
	__atomic_store_n(&garden.is_over, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_GARDENERS; i++)
		pthread_join(garden.gardeners[i].thread, NULL);
	assert_int_equal(garden.n_lost, 0);
	assert_int_equal(garden.n_broken, 0);
	assert_int_not_equal(duel_n_missed(), 0);
}

#endif /* WITH_SLOTS_H */
