/* SPDX-License-Identifier: MIT */
/*
 * store.h - short strings by short names, in memory; entries are objects of a
 * Cubby cache of their own.
 *
 * Threads: MT-safe, with a lock for each of some shards.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>

enum { STORE_KEY_BYTES_MAX = 64, STORE_VALUE_BYTES_MAX = 240 };

struct store;

/* Exits if it cannot be made. */
struct store *store_create(void);

/* With all entries.  Returns those that were left over after all: 0. */
size_t store_destroy(struct store *store);

/* False: too long, or no memory. */
bool store_set(struct store *store, const char *key, size_t key_bytes,
	       const char *value, size_t value_bytes);

/* The value is copied to the buffer, which has room for the longest. */
bool store_get(struct store *store, const char *key, size_t key_bytes,
	       char *ret_value, size_t *ret_value_bytes);

bool store_delete(struct store *store, const char *key, size_t key_bytes);

#endif /* SERVER_STORE_H */
