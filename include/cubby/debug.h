/* SPDX-License-Identifier: MIT */
/*
 * cubby/debug.h - caches that watch their objects.
 *
 *	CUBBY_DEBUG=FZPU,conn* ./server
 *
 * Caveats first:
 *
 *   - A cache is watched from its creation on, or never: the attributes and the
 *     environment are read once.  It takes more memory (see below), and its calls
 *     take no fast path; caches that nobody watches pay nothing.
 *   - What is found is damage, not the instruction that did it: a write past
 *     an object's end is seen at its free, one after its free when its cell is
 *     allocated again, both by cubby_cache_validate().  What is read, not
 *     written, is not seen; Valgrind and AddressSanitizer see that.
 *   - What a program may still look at is not poisoned: objects with init or
 *     fini, whose state stays, and those of CUBBY_WEAK_REUSE, which are copied
 *     from while they die.  Objects that wait for a grace period are poisoned
 *     after it.
 *
 * Letters and words are those of the kernel's slab_debug=:
 *
 *	letter  word       what it does
 *	F       checks     free finds in the call that an object is not live, or
 *	                   is none, whatever the front end
 *	Z       red-zone   16 bytes and more on both sides of each object, which
 *	                   nobody may write
 *	P       poison     what is free is filled with 0x6b (and 0xa5 at the end),
 *	                   what is new with 0x5a
 *	U       user       call stack, thread and time of each object's last alloc
 *	                   and free, for reports; and cubby_cache_destroy()
 *	                   that is refused tells who allocated what is live
 *	T       trace      a line on standard error for each alloc and free
 *	O                  understood, and without a meaning here
 *	-       off        none of these
 *	        all        FZPU
 *	        quarantine=SIZE  cells that were freed wait, first in, first out,
 *	                         until so many bytes of them do: P finds more
 *	        guard=N          see below
 *	        fail-nth=N       the N-th allocation fails, once; not of a reserve
 *	        fail-every=N     each N-th fails
 *	        fail-ppm=N       of a million allocations N fail, by a sequence
 *	                         that is the same in each run
 *
 * Several words are joined by +, as in CUBBY_DEBUG=poison+quarantine=1M.  After a
 * comma come names of caches, in which * is any text and ? any character; without
 * them all caches are meant; names alone, as in ",conn*", ask for FZPU.  Blocks
 * are separated by semicolons; the first that names a cache counts, and otherwise
 * the last that names none:
 *
 *	CUBBY_DEBUG='FZ;FZPU,conn*,timer;-,log'
 *
 * Sampled guard pages, for production: with guard=N and nothing else one object of
 * about N lies at the end or the beginning of pages of its own, between pages that
 * nobody may access, which its own ones become when it is free.  A read or write there
 * is reported in the instruction that does it, with the stacks of who does, who
 * allocated and who freed; and the bytes beside it are compared at its free.  The
 * fast path stays as it is but for the next N / 128 frees, which come out of line, so
 * that the object's own free is seen; after them it is guarded against what goes
 * beyond its ends alone.  Up to 8 objects a cache are guarded at a time.  Not done:
 * with handles or flavours of RCU, max_objects or max_bytes, huge pages, cells above
 * 16 KiB, without magazines, in 4 GiB of address space or less, and where the cache
 * is watched otherwise.  The handler of SIGSEGV, installed with the first such cache,
 * passes on what is not ours.  n_sampled of the statistics counts.
 *
 * Each but guard implies F.  What is not understood is reported once and ignored; setuid
 * programs ignore all of it.  What attributes ask for is added, but for `-`,
 * which turns it off.
 *
 * Memory, beside the cells: 1 byte a cell; with U 32 more, and 16 MiB of address
 * space for stacks, each of which is kept once.  Z makes cells larger.
 */
#ifndef CUBBY_DEBUG_H
#define CUBBY_DEBUG_H

#include <cubby/cache.h>

CUBBY_BEGIN_DECLS

/* Bits of cubby_cache_attr.debug. */
#define CUBBY_DEBUG_CHECKS (1ull << 0)
#define CUBBY_DEBUG_RED_ZONE (1ull << 1)
#define CUBBY_DEBUG_POISON (1ull << 2)
#define CUBBY_DEBUG_USER (1ull << 3)
#define CUBBY_DEBUG_TRACE (1ull << 4)

/*
 * Look at every cell of a watched cache: red zones of what is live, and of what
 * is free with its poison.  Each damaged object is reported on standard error
 * and to the hook, and repaired, so that the next call finds nothing.
 *
 * Returns how many objects were damaged, 0 also for a cache that is not watched;
 * or -EBUSY if a thread does not go on in the middle of an allocation or free.
 * At most 64 are reported in one call.  Never aborts.
 *
 * Threads: MT-safe.  Cost: the cache stands still for the time that it takes to
 * read all of its red zones and free cells.
 */
CUBBY_API int64_t cubby_cache_validate(struct cubby_cache *cache);

/*
 * Write who allocated what is live, most bytes first:
 *
 *	cubby: cache 'conn': 3 live objects of 120 bytes, 360 bytes in all
 *	cubby:   2 objects, 240 bytes, 12 to 1203 ms old, the first at 0x7f...,
 *	    allocated at
 *	cubby:     /usr/bin/server+0x1b2c
 *	cubby:     ...
 *
 * Objects that idle in magazines, or wait for a grace period or in a quarantine, are
 * not live.  Without CUBBY_DEBUG_USER nobody knows who allocated them: all are
 * one group.
 *
 * Returns the number of live objects, or a negative code as
 * cubby_cache_report_live() does.
 */
CUBBY_API int64_t cubby_cache_report_users(struct cubby_cache *cache, int fd);

CUBBY_END_DECLS

#endif /* CUBBY_DEBUG_H */
