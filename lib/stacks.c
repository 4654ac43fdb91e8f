/* SPDX-License-Identifier: MIT */
/* LAYER 1: stacks - call stacks, each kept once */
#include "stacks.h"

#include "bits.h"
#include "os.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#define ARENA_BYTES ((size_t)16 << 20)
#define N_HEADS ((uint32_t)1 << 14)
#define PLACE_BYTES 8 /* places are counted in these */
#define FRAMES_OF_TOOLS 3

/* Of the C library, where it has one. */
extern int backtrace(void **buffer, int size) WEAK_SYMBOL;

struct stack {
	uint64_t hash;
	uint32_t next; /* place of the next in its chain; constant once it is in */
	uint32_t number;
	uint64_t n_frames;
	void *frames[];
};

/* By number: the place of each. */
#define PLACES_OFFSET (N_HEADS * sizeof(uint32_t))
#define NUMBERS_MAX ((uint32_t)1 << 16)

/* The path of the program. */
#define PROGRAM_OFFSET (PLACES_OFFSET + NUMBERS_MAX * sizeof(uint32_t))
#define PROGRAM_BYTES 512
#define STACKS_OFFSET (PROGRAM_OFFSET + PROGRAM_BYTES)

static char *arena; /* heads, places, program, stacks */
static uint64_t used_bytes = STACKS_OFFSET; /* may run beyond its end */
static uint32_t n_numbers;                  /* given */

static uint32_t *
heads(void)
{
	return (uint32_t *)arena;
}

static uint32_t *
places(void)
{
	return (uint32_t *)(arena + PLACES_OFFSET);
}

static struct stack *
stack_at(uint32_t place)
{
	return (struct stack *)(arena + (uint64_t)place * PLACE_BYTES);
}

/* No lock: a fork child would find it held. */
bool
cubby__stacks_init(void)
{
	void *frames[2], *memory;
	char *expected = NULL, *program;

	if (__atomic_load_n(&arena, __ATOMIC_ACQUIRE) != NULL)
		return true;
	if (cubby__os_map(ARENA_BYTES, &memory) != 0)
		return false;
	program = (char *)memory + PROGRAM_OFFSET;
	if (cubby__os_read_link("/proc/self/exe", program, PROGRAM_BYTES) < 0)
		program[0] = '\0';
	if (backtrace != NULL) /* loads what it needs */
		backtrace(frames, ARRAY_SIZE(frames));
	if (!__atomic_compare_exchange_n(&arena, &expected, memory, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		cubby__os_unmap(memory, ARENA_BYTES);
	return true;
}

static uint64_t
hash_of(void *const *frames, size_t n_frames)
{
	uint64_t hash = n_frames;

	for (size_t i = 0; i < n_frames; i++) {
		hash = (hash ^ (uintptr_t)frames[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	return hash;
}

/* In a chain from one place to another, which is 0 at its end: 0 if it is not. */
static const struct stack *
find(uint32_t place, uint32_t end, uint64_t hash, void *const *frames,
     size_t n_frames)
{
	for (; place != end; place = stack_at(place)->next) {
		const struct stack *it = stack_at(place);

		if (it->hash == hash && it->n_frames == n_frames &&
		    memcmp(it->frames, frames, n_frames * sizeof(void *)) == 0)
			return it;
	}
	return NULL;
}

/* Room for a stack: its place, or 0. */
static uint32_t
make(uint64_t hash, void *const *frames, size_t n_frames)
{
	size_t bytes = sizeof(struct stack) + n_frames * sizeof(void *);
	uint64_t offset_bytes;
	struct stack *it;

	if (__atomic_load_n(&used_bytes, __ATOMIC_RELAXED) + bytes >
	    ARENA_BYTES)
		return 0;
	offset_bytes = __atomic_fetch_add(&used_bytes, bytes,
					  __ATOMIC_RELAXED);
	if (offset_bytes + bytes > ARENA_BYTES)
		return 0;
	it = (struct stack *)(arena + offset_bytes);
	it->hash = hash;
	it->n_frames = n_frames;
	memcpy(it->frames, frames, n_frames * sizeof(void *));
	return (uint32_t)(offset_bytes / PLACE_BYTES);
}

/* A number for what is about to be put in; 0: there is none left. */
static uint32_t
take_number(uint32_t place)
{
	uint32_t number;

	if (__atomic_load_n(&n_numbers, __ATOMIC_RELAXED) >= NUMBERS_MAX - 1)
		return 0;
	number = __atomic_add_fetch(&n_numbers, 1, __ATOMIC_RELAXED);
	if (number >= NUMBERS_MAX)
		return 0;
	__atomic_store_n(&places()[number], place, __ATOMIC_RELEASE);
	return number;
}

static uint32_t
put(uint64_t hash, void *const *frames, size_t n_frames)
{
	uint32_t *head = &heads()[hash % N_HEADS];
	uint32_t seen = __atomic_load_n(head, __ATOMIC_ACQUIRE);
	const struct stack *found = find(seen, 0, hash, frames, n_frames);
	uint32_t place, looked_at;

	if (found != NULL)
		return found->number;
	place = make(hash, frames, n_frames);
	if (place == 0)
		return 0;
	stack_at(place)->number = take_number(place);
	if (stack_at(place)->number == 0)
		return 0;
	for (;;) {
		looked_at = seen;
		stack_at(place)->next = seen;
		if (__atomic_compare_exchange_n(head, &seen, place, false,
						__ATOMIC_RELEASE,
						__ATOMIC_ACQUIRE))
			return stack_at(place)->number;
		found = find(seen, looked_at, hash, frames, n_frames);
		if (found != NULL)
			return found->number;
	}
}

uint32_t
cubby__stacks_take(void)
{
	void *frames[STACK_FRAMES_MAX];
	int n_frames;

	if (backtrace == NULL ||
	    __atomic_load_n(&arena, __ATOMIC_ACQUIRE) == NULL)
		return 0;
	n_frames = backtrace(frames, STACK_FRAMES_MAX);
	if (n_frames <= 0)
		return 0;
	return put(hash_of(frames, (size_t)n_frames), frames,
		   (size_t)n_frames);
}

uint32_t
cubby__stacks_end(void)
{
	return (uint32_t)min_u64(
		__atomic_load_n(&n_numbers, __ATOMIC_RELAXED) + 1,
		NUMBERS_MAX);
}

size_t
cubby__stacks_frames(uint32_t number, void *const **ret_frames)
{
	uint32_t place;

	if (number == 0 || number >= cubby__stacks_end())
		return 0;
	place = __atomic_load_n(&places()[number], __ATOMIC_ACQUIRE);
	if (place == 0)
		return 0;
	*ret_frames = stack_at(place)->frames;
	return stack_at(place)->n_frames;
}

/* ---------------------------------- names -------------------------------- */

#ifdef DLFO_EH_SEGMENT_TYPE
/* glibc 2.35: takes no lock. */
extern int _dl_find_object(void *address,
			   struct dl_find_object *ret_object) WEAK_SYMBOL;

static bool
find_module(const void *address, const char **ret_name, uintptr_t *ret_base)
{
	struct dl_find_object object;

	if (_dl_find_object == NULL ||
	    _dl_find_object((void *)(uintptr_t)address, &object) != 0 ||
	    object.dlfo_link_map == NULL)
		return false;
	*ret_name = object.dlfo_link_map->l_name;
	*ret_base = object.dlfo_link_map->l_addr;
	return true;
}
#else
static bool
find_module(const void *address, const char **ret_name, uintptr_t *ret_base)
{
	(void)address, (void)ret_name, (void)ret_base;
	return false;
}
#endif

static const char *
program_path(void)
{
	const char *start = __atomic_load_n(&arena, __ATOMIC_ACQUIRE);

	return start != NULL && start[PROGRAM_OFFSET] != '\0' ?
		       start + PROGRAM_OFFSET :
		       "program";
}

void
cubby__stacks_describe(struct text *text, const void *address)
{
	const char *name;
	uintptr_t base;

	if (!find_module(address, &name, &base)) {
		cubby__text_printf(text, "%p", address);
		return;
	}
	if (name == NULL || name[0] == '\0')
		name = program_path();
	cubby__text_printf(text, "%s+0x%lx", name,
			   (unsigned long)((uintptr_t)address - base));
}

static bool
is_ours(const void *address)
{
	const char *name = NULL, *our_name = NULL;
	uintptr_t base, our_base;

	return find_module(address, &name, &base) &&
	       find_module((const void *)(uintptr_t)cubby__stacks_n_ours,
			   &our_name, &our_base) &&
	       base == our_base && our_name != NULL && our_name[0] != '\0';
}

size_t
cubby__stacks_n_ours(void *const *frames, size_t n_frames)
{
	size_t n = 0;

	while (n < n_frames && n < FRAMES_OF_TOOLS && !is_ours(frames[n]))
		n++;
	if (n == n_frames || n == FRAMES_OF_TOOLS)
		return 0;
	while (n < n_frames && is_ours(frames[n]))
		n++;
	return n;
}
