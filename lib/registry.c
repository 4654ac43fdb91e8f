/* SPDX-License-Identifier: MIT */
/* LAYER 5: registry - the table of all caches, and how others find it */
#include "registry.h"

#include "bits.h"
#include "check.h"
#include "cpu.h"
#include "error.h"
#include "granule.h"
#include "percpu.h"
#include "side.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#define FIELD(member)                                                         \
	{                                                                     \
#member, offsetof(struct cubby_cache, member),                \
			sizeof(((struct cubby_cache *)0)->member)             \
	}
#define NESTED_FIELD(name, member)                                            \
	{                                                                     \
		name, offsetof(struct cubby_cache, member),                   \
			sizeof(((struct cubby_cache *)0)->member)             \
	}

static const struct registry_field fields[] = {
	FIELD(id),
	FIELD(state),
	FIELD(name),
	FIELD(layout),
	NESTED_FIELD("object_bytes", region.geometry.object_bytes),
	NESTED_FIELD("cell_bytes", region.geometry.cell_bytes),
	NESTED_FIELD("prefix_bytes", region.geometry.prefix_bytes),
	NESTED_FIELD("slab_shift", region.geometry.slab_shift),
	NESTED_FIELD("range_base", region.base),
	NESTED_FIELD("range_cells", region.range_cells),
	NESTED_FIELD("chunk_shift", region.chunk_shift),
	NESTED_FIELD("chunks", region.chunks.base),
	NESTED_FIELD("n_chunks", region.n_chunks),
	NESTED_FIELD("records", slabs.records.base),
	NESTED_FIELD("record_bytes", slabs.record_bytes),
	NESTED_FIELD("n_slabs", slabs.n_slabs),
	NESTED_FIELD("n_cells", slabs.n_cells),
	NESTED_FIELD("n_in_use", slabs.n_live),
	NESTED_FIELD("block", front.block),
	NESTED_FIELD("young", front.young),
	NESTED_FIELD("aged_first", front.aged_first),
};

struct registry cubby__registry = {
	.magic = REGISTRY_MAGIC,
	.version = REGISTRY_VERSION,
	.registry_bytes = sizeof(struct registry),
	.descriptor_bytes = CACHE_BYTES,
	.n_fields = ARRAY_SIZE(fields),
};

/*
 * The note.  The distance is relative, so the section needs no relocation and
 * can stay read-only in a shared object.
 */
__asm__(".pushsection .note.cubby, \"a\", %note\n"
	"	.balign 4\n"
	"	.long 6, 8, 1\n" /* bytes of name and description; type */
	"	.asciz \"Cubby\"\n"
	"	.balign 4\n"
	"1:	.quad cubby__registry - 1b\n"
	"	.popsection\n");

static struct lock lock = LOCK_INIT(LOCK_RANK_REGISTRY);
static struct side table; /* of descriptors */
static uint64_t n_created;
static uint64_t n_destroyed;

const void *
cubby__registry_copy(void)
{
	return &cubby__registry;
}

static struct cubby_cache *
descriptor(uint64_t i)
{
	return (struct cubby_cache *)(table.base + i * CACHE_BYTES);
}

static uint64_t
n_descriptors(void)
{
	return __atomic_load_n(&cubby__registry.n_descriptors,
			       __ATOMIC_ACQUIRE);
}

static int
init_locked(void)
{
	uint64_t most = min_u64(CACHES_MAX,
				cubby__granule_budget_bytes() / MIB);
	int err;

	if (table.base != NULL)
		return 0;
	err = cubby__side_init(&table, NULL, 0, most * CACHE_BYTES);
	if (err)
		return err;
	cubby__registry.n_cpus = cubby__cpu_n_possible();
	cubby__registry.rseq_bytes = cubby__cpu_rseq_bytes();
	cubby__front_init();
	cubby__registry.front_index = cubby__percpu_index();
	if (cubby__percpu_works) {
		cubby__registry.blocks = cubby__percpu_block(0);
		cubby__registry.blocks_shift = CUBBY__STRIPE_SHIFT;
	}
	cubby__registry.fields = (uintptr_t)fields;
	__atomic_store_n(&cubby__registry.table, (uintptr_t)table.base,
			 __ATOMIC_RELEASE);
	return 0;
}

/* Dead descriptors, the one that died first in front: ids, 0 for none. */
static uint32_t first_dead;
static uint32_t last_dead;

static void
push_dead(struct cubby_cache *cache)
{
	cache->next_dead = 0;
	if (last_dead != 0)
		descriptor(last_dead - 1)->next_dead = cache->id;
	else
		first_dead = cache->id;
	last_dead = cache->id;
}

/* The one that has been dead for longest, if for so many destructions. */
static struct cubby_cache *
pop_dead(uint64_t least_age)
{
	struct cubby_cache *cache;

	if (first_dead == 0)
		return NULL;
	cache = descriptor(first_dead - 1);
	if (n_destroyed - cache->dead_at < least_age)
		return NULL;
	first_dead = cache->next_dead;
	if (first_dead == 0)
		last_dead = 0;
	cubby__granule_forget(cache->id);
	return cache;
}

/*
 * Zero a descriptor, but for its lock: that is initialised once and for ever,
 * so that fork may hold it whatever the descriptor's state.
 */
static void
wipe(struct cubby_cache *cache)
{
	char *lock_start = (char *)&cache->lock;
	char *lock_end = lock_start + sizeof(cache->lock);

	memset(cache, 0, (size_t)(lock_start - (char *)cache));
	memset(lock_end, 0, (size_t)((char *)cache + CACHE_BYTES - lock_end));
}

static int
make_locked(struct cubby_cache **ret_cache)
{
	struct cubby_cache *cache;
	uint64_t n = n_descriptors();
	int err = init_locked();

	if (err)
		return err;
	cache = pop_dead(REUSE_AFTER);
	if (cache == NULL) {
		err = cubby__side_reach(&table, (n + 1) * CACHE_BYTES);
		/* Where no other is to be had, late uses are less certain. */
		cache = err ? pop_dead(0) : descriptor(n);
		if (cache == NULL)
			return err;
	}
	wipe(cache);
	cache->copy = cubby__registry_copy();
	cache->id = (uint32_t)(((char *)cache - table.base) / CACHE_BYTES) + 1;
	cache->state = CACHE_MAKING;
	if (cache == descriptor(n)) {
		cubby__lock_init(&cache->lock, LOCK_RANK_SLAB);
		__atomic_store_n(&cubby__registry.n_descriptors, n + 1,
				 __ATOMIC_RELEASE);
	}
	*ret_cache = cache;
	return 0;
}

int
cubby__registry_make(struct cubby_cache **ret_cache)
{
	sigset_t saved;
	int err;

	err = cubby__granule_init();
	if (err)
		return err;
	cubby__lock_acquire(&lock, &saved);
	err = make_locked(ret_cache);
	cubby__lock_release(&lock, &saved);
	return err;
}

static void
set_state(struct cubby_cache *cache, enum cache_state state)
{
	__atomic_store_n(&cache->state, state, __ATOMIC_RELEASE);
}

void
cubby__registry_publish(struct cubby_cache *cache)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	cache->created_at = ++n_created;
	set_state(cache, CACHE_LIVE);
	cubby__lock_release(&lock, &saved);
}

int
cubby__registry_condemn(struct cubby_cache *cache)
{
	sigset_t saved;
	int err = 0;

	cubby__lock_acquire(&lock, &saved);
	if (cache->state != CACHE_LIVE)
		err = -CUBBY_ENOCACHE;
	else if (cache->n_pins != 0)
		err = -EBUSY;
	else
		set_state(cache, CACHE_DYING);
	cubby__lock_release(&lock, &saved);
	return err;
}

void
cubby__registry_bury(struct cubby_cache *cache)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	cache->dead_at = ++n_destroyed;
	push_dead(cache);
	set_state(cache, CACHE_DEAD);
	cubby__lock_release(&lock, &saved);
}

struct cubby_cache *
cubby__registry_by_id(uint32_t id)
{
	return id != 0 && id <= n_descriptors() ? descriptor(id - 1) : NULL;
}

bool
cubby__registry_is_descriptor(const void *pointer)
{
	uint64_t table_address = __atomic_load_n(&cubby__registry.table,
						 __ATOMIC_ACQUIRE);
	uint64_t offset_bytes = (uintptr_t)pointer - table_address;

	return table_address != 0 &&
	       offset_bytes < n_descriptors() * CACHE_BYTES &&
	       offset_bytes % CACHE_BYTES == 0;
}

/* ------------------------------ other copies ----------------------------- */

/* Our note as it lies in memory. */
struct note {
	Elf64_Nhdr header;
	char owner[8]; /* "Cubby", NUL, padded */
	int64_t distance_bytes;
} __attribute__((packed));

static const struct registry *
registry_of_note(const struct note *note)
{
	const struct registry *other;

	if (note->header.n_type != REGISTRY_NOTE_TYPE ||
	    note->header.n_descsz != sizeof(note->distance_bytes) ||
	    note->header.n_namesz != sizeof("Cubby") ||
	    memcmp(note->owner, "Cubby", sizeof("Cubby")) != 0)
		return NULL;
	other = (const struct registry *)((const char *)&note->distance_bytes +
					  note->distance_bytes);
	return other->magic == REGISTRY_MAGIC ? other : NULL;
}

static bool
is_in_table(const struct registry *other, const void *pointer)
{
	uint64_t table_address = __atomic_load_n(&other->table,
						 __ATOMIC_ACQUIRE);

	return other != &cubby__registry && table_address != 0 &&
	       (uintptr_t)pointer - table_address <
		       other->n_descriptors * other->descriptor_bytes;
}

static int
look_at_object(struct dl_phdr_info *info, size_t info_bytes UNUSED,
	       void *pointer)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr +
						header->p_vaddr);
		const char *end = at + header->p_memsz;

		if (header->p_type != PT_NOTE)
			continue;
		while (at + sizeof(Elf64_Nhdr) <= end) {
			const struct note *note = (const struct note *)at;
			const struct registry *other = registry_of_note(note);

			if (other != NULL && is_in_table(other, pointer))
				return 1;
			at += sizeof(Elf64_Nhdr) +
			      align_up(note->header.n_namesz, 4) +
			      align_up(note->header.n_descsz, 4);
		}
	}
	return 0;
}

bool
cubby__registry_is_foreign(const void *pointer)
{
	return dl_iterate_phdr(look_at_object, (void *)pointer) != 0;
}

/* ------------------------------ find and walk ---------------------------- */

struct cubby_cache *
cubby_cache_find(const char *name)
{
	struct cubby_cache *oldest = NULL;
	sigset_t saved;

	if (name == NULL)
		return NULL;
	cubby__lock_acquire(&lock, &saved);
	for (uint64_t i = 0; i < n_descriptors(); i++) {
		struct cubby_cache *cache = descriptor(i);

		if (cache->state == CACHE_LIVE &&
		    strcmp(cache->name, name) == 0 &&
		    (oldest == NULL || cache->created_at < oldest->created_at))
			oldest = cache;
	}
	cubby__lock_release(&lock, &saved);
	return oldest;
}

/* Pin the next live cache from place *i on; NULL at the end. */
static struct cubby_cache *
pin_next(uint64_t *i)
{
	struct cubby_cache *found = NULL;
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	for (; found == NULL && *i < n_descriptors(); (*i)++) {
		struct cubby_cache *cache = descriptor(*i);

		if (cache->state == CACHE_LIVE) {
			cache->n_pins++;
			found = cache;
		}
	}
	cubby__lock_release(&lock, &saved);
	return found;
}

static void
unpin(struct cubby_cache *cache)
{
	sigset_t saved;

	cubby__lock_acquire(&lock, &saved);
	cache->n_pins--;
	cubby__lock_release(&lock, &saved);
}

int
cubby_cache_for_each(cubby_cache_fn fn, void *context)
{
	struct cubby_cache *cache;
	uint64_t i = 0;
	int answer = 0;

	while (answer == 0 && (cache = pin_next(&i)) != NULL) {
		answer = fn(cache, context);
		unpin(cache);
	}
	return answer;
}

/*
 * Every state has an initialised lock, so none needs to be told apart.  A fork
 * handler of the host's may create caches in between: those are not seized.
 */
static uint64_t n_seized;

void
cubby__registry_fork_prepare(void)
{
	cubby__lock_seize(&lock);
	n_seized = n_descriptors();
	for (uint64_t i = 0; i < n_seized; i++)
		cubby__lock_seize(&descriptor(i)->lock);
}

void
cubby__registry_fork_done(void)
{
	for (uint64_t i = n_seized; i-- > 0;)
		cubby__lock_unseize(&descriptor(i)->lock);
	cubby__lock_unseize(&lock);
}

void
cubby__registry_fork_child(void)
{
	for (uint64_t i = 0; i < n_seized; i++)
		if (descriptor(i)->state == CACHE_LIVE) {
			cubby__adopt_cache(descriptor(i));
			cubby__slab_reclaim_abandon(&descriptor(i)->slabs);
		}
}
