/* SPDX-License-Identifier: MIT */
/* store.c - a table of chains in each shard; it does not grow. */
#include "store.h"

#include <cubby/cubby.h>
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { N_SHARDS = 64, N_CHAINS = 1024 };

struct entry {
	struct entry *next;
	uint16_t key_bytes, value_bytes;
	char key[STORE_KEY_BYTES_MAX], value[STORE_VALUE_BYTES_MAX];
};

#define ENTRY_SLOTS(SLOT)                                                     \
	SLOT(struct entry *, next, "of the same chain")                       \
	SLOT(uint16_t, key_bytes, "used of key")                              \
	SLOT(uint16_t, value_bytes, "used of value")                          \
	SLOT(char[STORE_KEY_BYTES_MAX], key, "")                              \
	SLOT(char[STORE_VALUE_BYTES_MAX], value, "")
CUBBY_LAYOUT_OF(entry, ENTRY_SLOTS);

struct shard {
	pthread_mutex_t lock;
	struct entry *chains[N_CHAINS];
};

struct store {
	struct cubby_cache *entries;
	struct shard shards[N_SHARDS];
};

struct store *
store_create(void)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		err(1, "store");
	if (entry_cache_create(&store->entries, NULL) != 0)
		errx(1, "store: %s", cubby_error_detail());
	for (size_t i = 0; i < N_SHARDS; i++)
		pthread_mutex_init(&store->shards[i].lock, NULL);
	return store;
}

size_t
store_destroy(struct store *store)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	for (size_t i = 0; i < N_SHARDS * N_CHAINS; i++) {
		struct shard *shard = &store->shards[i / N_CHAINS];
		struct entry *entry = shard->chains[i % N_CHAINS], *next;

		for (; entry != NULL; entry = next) {
			next = entry->next;
			entry_free(store->entries, entry);
		}
	}
	if (cubby_cache_stats_snapshot(store->entries, &stats) != 0 ||
	    cubby_cache_destroy(store->entries) != 0)
		errx(1, "store: %s", cubby_error_detail());
	free(store);
	return stats.n_live;
}

/* Source: FNV-1a, G. Fowler, L. C. Noll, K.-P. Vo. */
static uint64_t
hash_of(const char *key, size_t key_bytes)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < key_bytes; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3ull;
	return cubby_weak_hash(hash);
}

/* Lock its shard; where its entry hangs, or would. */
static struct entry **
find(struct store *store, const char *key, size_t key_bytes,
     struct shard **ret_shard)
{
	uint64_t hash = hash_of(key, key_bytes);
	struct shard *shard = &store->shards[hash % N_SHARDS];
	struct entry **place = &shard->chains[hash / N_SHARDS % N_CHAINS];

	pthread_mutex_lock(&shard->lock);
	while (*place != NULL && ((*place)->key_bytes != key_bytes ||
				  memcmp((*place)->key, key, key_bytes) != 0))
		place = &(*place)->next;
	*ret_shard = shard;
	return place;
}

bool
store_set(struct store *store, const char *key, size_t key_bytes,
	  const char *value, size_t value_bytes)
{
	struct entry **place, *entry;
	struct shard *shard;

	if (key_bytes > STORE_KEY_BYTES_MAX ||
	    value_bytes > STORE_VALUE_BYTES_MAX)
		return false;
	place = find(store, key, key_bytes, &shard);
	entry = *place;
	if (entry == NULL && (entry = entry_alloc(store->entries)) != NULL) {
		entry->next = NULL;
		entry->key_bytes = (uint16_t)key_bytes;
		memcpy(entry->key, key, key_bytes);
		*place = entry;
	}
	if (entry != NULL) {
		entry->value_bytes = (uint16_t)value_bytes;
		memcpy(entry->value, value, value_bytes);
	}
	pthread_mutex_unlock(&shard->lock);
	return entry != NULL;
}

bool
store_get(struct store *store, const char *key, size_t key_bytes,
	  char *ret_value, size_t *ret_value_bytes)
{
	struct shard *shard;
	struct entry *entry = *find(store, key, key_bytes, &shard);

	if (entry != NULL) {
		memcpy(ret_value, entry->value, entry->value_bytes);
		*ret_value_bytes = entry->value_bytes;
	}
	pthread_mutex_unlock(&shard->lock);
	return entry != NULL;
}

bool
store_delete(struct store *store, const char *key, size_t key_bytes)
{
	struct shard *shard;
	struct entry **place = find(store, key, key_bytes, &shard);
	struct entry *entry = *place;

	if (entry != NULL)
		*place = entry->next;
	pthread_mutex_unlock(&shard->lock);
	entry_free(store->entries, entry);
	return entry != NULL;
}
