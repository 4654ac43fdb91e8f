/* SPDX-License-Identifier: MIT */
/*
 * A flavour of RCU that nobody will call: the programs of this folder ask for
 * caches that are refused, and are built where there is no liburcu.
 */
#ifndef ABUSE_WEAK_FLAVOR_H
#define ABUSE_WEAK_FLAVOR_H

#include "abuse.h"

#define N_FLAVOR_FUNCTIONS 14

/* liburcu's struct, as so many pointers to functions. */
struct rcu_flavor_struct {
	void (*functions[N_FLAVOR_FUNCTIONS])(void);
};

/* Where some of them stand in it. */
enum {
	FLAVOR_READ_ONGOING = 2,
	FLAVOR_CALL_RCU = 4,
	FLAVOR_SYNCHRONIZE = 5,
	FLAVOR_OFFLINE = 7,
	FLAVOR_REGISTER = 9
};

static inline void
flavor_must_not_be_called(void)
{
	fprintf(stderr, "a flavour was called for a cache that is refused\n");
	exit(2);
}

/* A whole one, but for one function (-1: none). */
static inline struct rcu_flavor_struct
flavor_without(int missing)
{
	struct rcu_flavor_struct flavor;

	for (int i = 0; i < N_FLAVOR_FUNCTIONS; i++)
		flavor.functions[i] = i == missing ? NULL :
						     flavor_must_not_be_called;
	return flavor;
}

#define FLAVOR flavor_without(-1)

/* Create a cache of trucks with these attributes. */
#define ABUSE_CREATE_WITH(...)                                                \
	abuse_create("truck", 64, 0, &CUBBY_CACHE_ATTR(__VA_ARGS__))

#endif /* ABUSE_WEAK_FLAVOR_H */
