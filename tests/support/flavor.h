/* SPDX-License-Identifier: MIT */
/*
 * The flavours of liburcu that a test runs with, all in one process.
 *
 * Tests go through these functions and not through liburcu's, so that each case
 * is written once, and because stock liburcu says nothing to ThreadSanitizer:
 * that a section ends before the grace period does is told by a release on the
 * flavour's address here, and an acquire in whoever has waited (Cubby does).
 *
 * A program that includes this header is linked with liburcu (see the
 * Makefile), and left out where there is none.  It includes nothing of
 * liburcu's, so a test may have Cubby's own copy of struct rcu_flavor_struct.
 */
#ifndef CUBBY_TESTS_FLAVOR_H
#define CUBBY_TESTS_FLAVOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rcu_flavor_struct;

struct test_flavor {
	const char *name;                    /* "memb", "mb", "qsbr", "bp" */
	const struct rcu_flavor_struct *rcu; /* for cubby_cache_attr.rcu */
	bool needs_registration;             /* of each thread that reads */
	bool is_qsbr; /* sections end at quiescent states, not at unlocks */
	bool is_slow; /* grace periods take 10 ms if there are readers */
};

#define N_TEST_FLAVORS 4

enum { TEST_MEMB, TEST_MB, TEST_QSBR, TEST_BP };

extern const struct test_flavor test_flavors[N_TEST_FLAVORS];

/* A case of cmocka's in each flavour: *state is its struct test_flavor. */
#define FLAVOR_CASE(function, number, suffix)                                 \
	{                                                                     \
#function suffix, function, NULL, NULL,                       \
			(void *)(uintptr_t)&test_flavors[number]              \
	}
#define FLAVOR_CASES(function)                                                \
	FLAVOR_CASE(function, TEST_MEMB, "_memb"),                            \
		FLAVOR_CASE(function, TEST_MB, "_mb"),                        \
		FLAVOR_CASE(function, TEST_QSBR, "_qsbr"),                    \
		FLAVOR_CASE(function, TEST_BP, "_bp")

/*
 * Every thread that reads, or calls the flavour's synchronize, call_rcu or
 * barrier, is between these two; a QSBR thread is then online.  Not nested.
 */
void test_flavor_register(const struct test_flavor *flavor);
void test_flavor_unregister(const struct test_flavor *flavor);

/* A read section; they nest.  In QSBR neither does anything. */
void test_flavor_lock(const struct test_flavor *flavor);
void test_flavor_unlock(const struct test_flavor *flavor);

/*
 * To be called by registered threads, outside of sections, once in a while:
 * the end of what QSBR takes for a section, and nothing in the others.
 */
void test_flavor_quiesce(const struct test_flavor *flavor);

/*
 * Around whatever may block: a QSBR thread is offline in between, and must not
 * read.  Nothing in the others.
 */
void test_flavor_offline(const struct test_flavor *flavor);
void test_flavor_online(const struct test_flavor *flavor);

/* Unlock, and in QSBR a quiescent state: nothing is borrowed any more. */
void test_flavor_leave(const struct test_flavor *flavor);

/* In a section?  In QSBR: online? */
bool test_flavor_is_reading(const struct test_flavor *flavor);

/* Wait for a grace period, or for the callbacks of call_rcu(). */
void test_flavor_synchronize(const struct test_flavor *flavor);
void test_flavor_barrier(const struct test_flavor *flavor);

/*
 * fn(argument) after a grace period, on the flavour's thread.  Allocates; the
 * memory is freed before fn is called.
 */
void test_flavor_call(const struct test_flavor *flavor, void (*fn)(void *),
		      void *argument);

/*
 * Around fork() in a program that goes on in the child: what liburcu wants.
 * Outside of sections; memb, mb and qsbr only with no thread registered.
 */
void test_flavor_before_fork(const struct test_flavor *flavor);
void test_flavor_after_fork(const struct test_flavor *flavor, bool in_child);

#endif /* CUBBY_TESTS_FLAVOR_H */
