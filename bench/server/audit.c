/* SPDX-License-Identifier: MIT */
/*
 * audit.c - two tables with open addressing, into which entries only come:
 * from names, and from cells, to serials.
 */
#include "audit.h"

#include <cubby/weak.h>
#include <err.h>
#include <stddef.h>
#include <sys/mman.h>

struct entry {
	uint64_t key; /* 0: nobody's yet */
	uint64_t serial;
	uint64_t cell;
};

struct audit {
	uint64_t n_slots; /* a power of two, for each table */
	uint64_t n_names_max;
	uint64_t n_names;
	uint64_t n_repeated;
	uint64_t n_unaudited;
	struct entry *names, *cells;
};

static void *
map(size_t n_bytes)
{
	void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);

	if (memory == MAP_FAILED)
		err(1, "no memory for the audit");
	return memory;
}

struct audit *
audit_create(uint64_t n_names)
{
	struct audit *audit = map(sizeof(*audit));
	uint64_t n_slots = 2;

	while (n_slots < n_names * 2)
		n_slots *= 2;
	audit->n_slots = n_slots;
	audit->n_names_max = n_names;
	audit->names = map(n_slots * sizeof(struct entry));
	audit->cells = map(n_slots * sizeof(struct entry));
	return audit;
}

void
audit_destroy(struct audit *audit)
{
	if (audit == NULL)
		return;
	munmap(audit->names, audit->n_slots * sizeof(struct entry));
	munmap(audit->cells, audit->n_slots * sizeof(struct entry));
	munmap(audit, sizeof(*audit));
}

/* The key's entry; or if there is none, NULL, or with is_new one for it. */
static struct entry *
find(const struct audit *audit, struct entry *table, uint64_t key, bool is_new)
{
	uint64_t at = cubby_weak_hash(key);

	for (;; at++) {
		struct entry *entry = &table[at & (audit->n_slots - 1)];
		uint64_t is = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);

		if (is == 0 && !is_new)
			return NULL;
		if (is == 0 && __atomic_compare_exchange_n(
				       &entry->key, &is, key, false,
				       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return entry;
		if (is == key)
			return entry;
	}
}

void
audit_note(struct audit *audit, uint64_t name, uint64_t cell, uint64_t serial,
	   bool may_repeat)
{
	struct entry *entry;

	if (audit == NULL)
		return;
	/* There are never more cells than names, so one bound is enough. */
	if (__atomic_add_fetch(&audit->n_names, 1, __ATOMIC_RELAXED) >
	    audit->n_names_max) {
		__atomic_add_fetch(&audit->n_unaudited, 1, __ATOMIC_RELAXED);
		return;
	}
	entry = find(audit, audit->names, name, true);
	__atomic_store_n(&entry->cell, cell, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&entry->serial, serial, __ATOMIC_RELEASE) !=
		    0 &&
	    !may_repeat)
		__atomic_add_fetch(&audit->n_repeated, 1, __ATOMIC_RELAXED);
	entry = find(audit, audit->cells, cell, true);
	__atomic_store_n(&entry->serial, serial, __ATOMIC_RELEASE);
}

uint64_t
audit_serial(struct audit *audit, uint64_t name)
{
	struct entry *entry;

	if (audit == NULL)
		return 0;
	entry = find(audit, audit->names, name, false);
	return entry ? __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE) : 0;
}

bool
audit_is_reused(struct audit *audit, uint64_t name)
{
	struct entry *entry;
	uint64_t serial;

	if (audit == NULL)
		return false;
	entry = find(audit, audit->names, name, false);
	if (entry == NULL)
		return false;
	serial = __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE);
	entry = find(audit, audit->cells, entry->cell, false);
	return entry != NULL &&
	       __atomic_load_n(&entry->serial, __ATOMIC_ACQUIRE) > serial;
}

uint64_t
audit_n_repeated(struct audit *audit)
{
	return audit ? __atomic_load_n(&audit->n_repeated, __ATOMIC_RELAXED) :
		       0;
}

uint64_t
audit_n_unaudited(struct audit *audit)
{
	return audit ? __atomic_load_n(&audit->n_unaudited, __ATOMIC_RELAXED) :
		       0;
}
