/* SPDX-License-Identifier: MIT */
/* LAYER 8: boot - malloc() that is called while it makes a cache */
#include "boot.h"

#include "bits.h"

#include <cubby/inline/abi.h>

#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARENA_BYTES MIB

/* In front of each block: how many bytes it has. */
#define HEADER_BYTES 16

static char arena[ARENA_BYTES] __attribute__((aligned(4096)));
static uint64_t used_bytes;

static __thread unsigned depth __attribute__((tls_model("initial-exec")));

void
cubby__boot_begin(void)
{
	depth++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void
cubby__boot_end(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	depth--;
}

bool
cubby__boot_is_on(void)
{
	return unlikely(depth != 0);
}

void *
cubby__boot_alloc(size_t bytes, size_t align_bytes)
{
	uint64_t start, used;

	align_bytes = max_u64(align_bytes, HEADER_BYTES);
	if (bytes > ARENA_BYTES || align_bytes > ARENA_BYTES)
		return NULL;
	used = __atomic_load_n(&used_bytes, __ATOMIC_RELAXED);
	do {
		start = align_up((uintptr_t)arena + used + HEADER_BYTES,
				 align_bytes) -
			(uintptr_t)arena;
		if (start + bytes > ARENA_BYTES)
			return NULL;
	} while (!__atomic_compare_exchange_n(
		&used_bytes, &used, start + bytes, true, __ATOMIC_RELAXED,
		__ATOMIC_RELAXED));
	bytes = max_u64(bytes, 1); /* 0 would be no block */
	memcpy(arena + start - HEADER_BYTES, &bytes, sizeof(bytes));
	return arena + start;
}

size_t
cubby__boot_usable_bytes(const void *block)
{
	uint64_t offset = (uintptr_t)block - (uintptr_t)arena;
	size_t bytes;

	if (offset < HEADER_BYTES || offset >= ARENA_BYTES)
		return 0;
	memcpy(&bytes, arena + offset - HEADER_BYTES, sizeof(bytes));
	return bytes;
}

/* What was preloaded is never unloaded; and to pin it would call dlsym(). */
void
cubby__inline_pin(const void *address)
{
	(void)address;
}

/* ------------------------- what os.c calls, bare -------------------------- */

#define BARE __attribute__((visibility("hidden")))

BARE void *
mmap(void *address, size_t bytes, int protection, int flags, int fd,
     off_t offset)
{
	return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd,
			       offset);
}

BARE int
munmap(void *address, size_t bytes)
{
	return (int)syscall(SYS_munmap, address, bytes);
}

BARE int
mprotect(void *address, size_t bytes, int protection)
{
	return (int)syscall(SYS_mprotect, address, bytes, protection);
}

BARE int
madvise(void *address, size_t bytes, int advice)
{
	return (int)syscall(SYS_madvise, address, bytes, advice);
}

BARE void *
mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...)
{
	va_list rest;
	void *to;

	va_start(rest, flags);
	to = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
	va_end(rest);
	return (void *)syscall(SYS_mremap, old, old_bytes, new_bytes, flags,
			       to);
}
