/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: registry - the table of all caches, and how others find it
 *
 * The table is reserved once for CACHES_MAX descriptors and never unmapped;
 * it is committed as it grows.  A descriptor of a destroyed cache is reused
 * only after REUSE_AFTER later destructions, so that use of a stale cache
 * pointer meets a DEAD descriptor and not a stranger's; sooner only where the
 * table cannot grow (a small budget makes it short).
 *
 * From outside (a debugger, a core dump, another copy of the library in the
 * same process) the table is found through an ELF note that every copy
 * carries in an allocated section, so that it survives strip and static
 * linking:
 *
 *	owner "Cubby", type 1, description: 8 bytes, the distance from
 *	the description's own address to struct registry
 *
 * struct registry says where everything is; a reader needs no header of ours.
 *
 * Locks: one of rank LOCK_RANK_REGISTRY around creation, destruction and the
 * steps of for_each.
 */
#ifndef CUBBY__REGISTRY_H
#define CUBBY__REGISTRY_H

#include "cache.h"
#include "compiler.h"

#define REGISTRY_MAGIC 0x5942425543ull /* "CUBBY", little-endian */
#define REGISTRY_VERSION 1
#define REGISTRY_NOTE_TYPE 1

#define CACHES_MAX ((uint64_t)1 << 20)
#define REUSE_AFTER 1024

/* What outside readers start from.  Grows at its end only. */
struct registry {
	uint64_t magic;
	uint32_t version;
	uint32_t registry_bytes;
	uint64_t table;         /* address of descriptor 0, id 1; 0: none */
	uint64_t n_descriptors; /* ever used */
	uint32_t descriptor_bytes;
	uint32_t n_cpus;     /* possible CPU ids; 0: the kernel does not say */
	uint32_t rseq_bytes; /* usable of glibc's area */
	uint32_t n_fields;
	uint64_t fields;       /* address of struct registry_field[n_fields] */
	uint64_t blocks;       /* address of CPU 0's; 0: CPUs have none */
	uint32_t blocks_shift; /* of the distance between two CPUs' */
	uint32_t front_index;  /* enum cubby_front_index */
};

/* Where a value lies in a descriptor. */
struct registry_field {
	char name[24]; /* NUL-terminated */
	uint32_t offset_bytes;
	uint32_t size_bytes;
};

/* What identifies this copy of the library in a cache's first word. */
const void *cubby__registry_copy(void);

/*
 * A zeroed descriptor in state MAKING, with its id and copy: 0 or -ENOMEM.
 * Then either publish it or let it die.
 */
int cubby__registry_make(struct cubby_cache **ret_cache);
void cubby__registry_publish(struct cubby_cache *cache);

/*
 * LIVE to DYING: 0, or -EBUSY while it is pinned, or -CUBBY_ENOCACHE if it is
 * not LIVE.  Then let it die.
 */
int cubby__registry_condemn(struct cubby_cache *cache);
void cubby__registry_bury(struct cubby_cache *cache);

/* The descriptor of an owner's id; NULL if no such was ever used. */
struct cubby_cache *cubby__registry_by_id(uint32_t id);

/* Does the pointer lie on a descriptor of this copy's table? */
bool cubby__registry_is_descriptor(const void *pointer);

/*
 * Does the pointer lie in the table of another copy of the library in this
 * process?  Walks the notes of all loaded objects: for reports only.
 */
bool cubby__registry_is_foreign(const void *pointer);

/* For fork: hold the registry's and every slab lock across it. */
void cubby__registry_fork_prepare(void);
void cubby__registry_fork_done(void);

/* In the child, before fork_done: end what other threads were doing. */
void cubby__registry_fork_child(void);

#endif /* CUBBY__REGISTRY_H */
