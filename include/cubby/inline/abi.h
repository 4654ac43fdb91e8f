/* SPDX-License-Identifier: MIT */
/*
 * cubby/inline/abi.h - what code that was compiled into a program reads of the
 * library.
 *
 * Included by <cubby/inline/fast.h>; not for other use.  The words below are
 * the whole contract between the inline fast path and libcubby.  Their symbol
 * carries the version: when one of them, or what an inline sequence assumes,
 * changes, the symbol becomes cubby__fast_abi_2, and a program that was
 * compiled against the old one does not link or load with the new one.  The
 * struct never grows under one symbol, for its size is part of an executable
 * that copies it.
 *
 * Beyond these words inline code assumes:
 *
 *   - struct cubby__fast stands 8 bytes into every cache
 *   - the cache's block of CPU i is i << CUBBY__STRIPE_SHIFT bytes after that of
 *     CPU 0, which is at `gate`; its first word is the cursor of the loaded
 *     magazine
 *   - `magazines + cursor` is the place of the next cell to be pushed; the word
 *     below is the next cell to be popped, or NULL
 *   - a cursor with (cursor & full_mask) == 0 has no room for a push
 *   - i is the signed word at id_offset.  In a thread without restartable
 *     sequences it is -1 or -2, and the block there is zero for ever: its
 *     cursor 0 finds NULL below, and no room above
 */
#ifndef CUBBY_INLINE_ABI_H
#define CUBBY_INLINE_ABI_H

#include <cubby/base.h>

CUBBY_BEGIN_DECLS

#define CUBBY__STRIPE_SHIFT 18

/* Of a cache. */
struct cubby__fast {
	uint64_t gate;        /* address of its block of CPU 0, or of zeroes */
	uint32_t full_mask;   /* 0: each free is out of line, for now */
	uint32_t thread_gate; /* the library's own */
};

#define CUBBY__FAST_OF(cache)                                                 \
	((const struct cubby__fast *)(const void *)((const char *)(cache) + 8))

/* Of the process; constant from the first cache on, but for the last word. */
struct cubby__fast_abi {
	char *magazines;   /* where cursors count from */
	int64_t cs_offset; /* of rseq_cs, from the thread pointer */
	int64_t id_offset; /* of the field that is the stripe's number */
	uint64_t reserved[5];
	uint64_t n_aborts; /* sequences that began again; counted atomically */
	uint64_t reserved_too[7];
};

extern CUBBY_API struct cubby__fast_abi cubby__fast_abi_1;

/*
 * See to it that the object (executable or library) that contains this
 * address is never unloaded: the kernel may read a sequence's descriptor
 * whenever a thread that last ran it is preempted.
 */
CUBBY_API void cubby__inline_pin(const void *address);

CUBBY_END_DECLS

#endif /* CUBBY_INLINE_ABI_H */
