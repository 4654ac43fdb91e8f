/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: os - memory from the kernel, and the few facts about it
 *
 * The only file that calls mmap, mprotect, madvise and munmap.  Everything
 * returns 0 or a negative errno and leaves errno alone.
 *
 * Four states of an address:  reserved (PROT_NONE, charged to nobody),
 * committed (accessible, without a page until it is touched), populated
 * (with a page), and again committed when the page was dropped.
 *
 * Only committed memory is dumped into core files: a debugger that writes one
 * would otherwise write every reserved gigabyte as zeroes.
 */
#ifndef CUBBY__OS_H
#define CUBBY__OS_H

#include "compiler.h"

#include <pthread.h>
#include <sys/types.h>

size_t cubby__os_page_bytes(void);

/*
 * Reserve address space; nothing is charged against overcommit.
 *
 * @align_bytes: a power of two, at least a page.
 * Returns 0 and *ret_base, or -ENOMEM.
 */
int cubby__os_reserve(size_t bytes, size_t align_bytes, void **ret_base);

/* Reserve and commit; zeroed. */
int cubby__os_map(size_t bytes, void **ret_base);

/* Like map, but read-only until committed: reads see zeroes for free. */
int cubby__os_map_zeroes(size_t bytes, void **ret_base);

void cubby__os_unmap(void *base, size_t bytes);

/* Make reserved pages accessible: 0 or -ENOMEM. */
int cubby__os_commit(void *base, size_t bytes);

/* Nobody may access them until they are committed; what is in them stays. */
int cubby__os_protect(void *base, size_t bytes);

/* Make reserved pages readable: as zeroes, for free.  0 or -ENOMEM. */
int cubby__os_show_zeroes(void *base, size_t bytes);

/*
 * The reverse of both: the pages and the charge for them go back, the addresses stay
 * reserved.  0 or -ENOMEM (too many mappings), with everything as it was.
 */
int cubby__os_decommit(void *base, size_t bytes);

/* The same, but the addresses read as zeroes, at every moment. */
int cubby__os_decommit_readable(void *base, size_t bytes);

/*
 * Give pages back and keep the addresses accessible; they read as zeroes
 * then.  0, or a negative errno if the kernel keeps the pages (locked memory
 * on a kernel before 5.18).
 */
int cubby__os_drop(void *base, size_t bytes);

/*
 * Have what is in committed pages at `to`, instead of what is there; those at
 * `from` read as zeroes then.  No byte is copied.  0, or -ENOMEM, and `from` as it
 * was and zeroes at `to` perhaps (also before Linux 5.7, and before 6.17 where the
 * pages are of several mappings); or -EEXIST: somebody has got the addresses at
 * `to` meanwhile.
 */
int cubby__os_move(void *from, void *to, size_t bytes);

/* Populate committed pages now: 0 or -ENOMEM. */
int cubby__os_populate(void *base, size_t bytes);

/*
 * The same of whole pages that are going to be written soon, if it can be had in one
 * call.  Nothing that is in them changes.
 */
void cubby__os_populate_soon(void *base, size_t bytes);

/* Bytes of the pages that overlap [base, base + bytes) and are in memory. */
uint64_t cubby__os_resident_bytes(void *base, size_t bytes);

/* Advice on transparent huge pages; a refusal is ignored. */
void cubby__os_advise_huge(void *base, size_t bytes, bool want);

/* Does the kernel charge memory when it is committed (overcommit mode 2)? */
bool cubby__os_charges_commit(void);

/* Answer so from now on, whatever the kernel does: for tests. */
void cubby__os_pretend_charging(bool charges);

/* Bytes that RLIMIT_AS still allows, or UINT64_MAX. */
uint64_t cubby__os_address_space_left_bytes(void);

/* Most bits that a user-space address can have: 47 on x86-64, 48 on aarch64. */
unsigned cubby__os_address_bits(void);

/* Bits that this process's can have; aarch64 kernels differ: 36 to 48. */
unsigned cubby__os_user_space_bits(void);

/* The first number in a small text file, or `otherwise`. */
uint64_t cubby__os_read_number(const char *path, uint64_t otherwise);

/* The whole of a small text file, NUL-terminated: its length or -errno. */
ssize_t cubby__os_read_text(const char *path, char *buffer,
			    size_t buffer_bytes);

/* Where a symbolic link leads, NUL-terminated: the length or -errno. */
ssize_t cubby__os_read_link(const char *path, char *buffer,
			    size_t buffer_bytes);

/* Of the monotonic clock. */
#define NS_PER_S ((uint64_t)1000000000)
uint64_t cubby__os_now_ns(void);
uint64_t cubby__os_coarse_ns(void); /* to some ms, at a fraction of the cost */

/* Sleep; signals that are not blocked end it early. */
void cubby__os_nap(uint64_t ns);

/*
 * A key for a value of each thread's, of which setting never allocates (glibc
 * keeps those below 32 in the thread itself): false if there is none.
 */
bool cubby__os_key_create(pthread_key_t *ret_key,
			  void (*at_exit)(void *value));

/* write(2) until all is out: 0 or a negative errno. */
int cubby__os_write(int fd, const char *bytes, size_t n_bytes);

/*
 * Let the n-th call of reserve, map, commit, decommit or populate from now on
 * fail, and all later ones: how tests reach every failure.  0: none.
 */
void cubby__os_fail_at(uint64_t nth);

/* Such calls since the last cubby__os_fail_at(). */
uint64_t cubby__os_n_calls(void);

#endif /* CUBBY__OS_H */
