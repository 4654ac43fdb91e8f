/* SPDX-License-Identifier: MIT */
/* LAYER 1: os - memory from the kernel, and the few facts about it */
#include "os.h"

#include "bits.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Linux 5.14 and 5.18; the C library's headers may be older. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7 */
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#define OVERCOMMIT_NEVER 2
#define KEYS_WITHOUT_MALLOC 32

static uint64_t fail_at;
static uint64_t n_calls;

OPTION_ROW(fail_map, OPTION_NUMBER, &fail_at, NULL,
	   "the N-th kernel memory call and all later ones fail (0: none)");

void
cubby__os_fail_at(uint64_t nth)
{
	__atomic_store_n(&n_calls, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_at, nth, __ATOMIC_RELAXED);
}

uint64_t
cubby__os_n_calls(void)
{
	return __atomic_load_n(&n_calls, __ATOMIC_RELAXED);
}

static bool
injected_failure(void)
{
	uint64_t call = __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED);
	uint64_t nth = __atomic_load_n(&fail_at, __ATOMIC_RELAXED);

	return nth != 0 && call >= nth;
}

size_t
cubby__os_page_bytes(void)
{
	static size_t page_bytes;

	/* Every thread computes the same number. */
	if (__atomic_load_n(&page_bytes, __ATOMIC_RELAXED) == 0)
		__atomic_store_n(&page_bytes, (size_t)sysconf(_SC_PAGESIZE),
				 __ATOMIC_RELAXED);
	return __atomic_load_n(&page_bytes, __ATOMIC_RELAXED);
}

/* mmap; every way to fail means "no memory or no addresses" to callers. */
static int
map(size_t bytes, int protection, void **ret_base)
{
	int saved = errno;
	void *base;

	if (injected_failure())
		return -ENOMEM;
	base = mmap(NULL, bytes, protection, RESERVE_FLAGS, -1, 0);
	errno = saved;
	if (base == MAP_FAILED)
		return -ENOMEM;
	*ret_base = base;
	return 0;
}

/* Leave reserved memory out of core files; a refusal costs disk only. */
static void
hide_from_core(void *base, size_t bytes, bool hide)
{
	int saved = errno;

	madvise(base, bytes, hide ? MADV_DONTDUMP : MADV_DODUMP);
	errno = saved;
}

int
cubby__os_reserve(size_t bytes, size_t align_bytes, void **ret_base)
{
	size_t slack_bytes = align_bytes - cubby__os_page_bytes();
	uintptr_t start, aligned, end;
	void *base;
	int err;

	if (bytes > SIZE_MAX - slack_bytes)
		return -ENOMEM;
	err = map(bytes + slack_bytes, PROT_NONE, &base);
	if (err)
		return err;
	start = (uintptr_t)base;
	aligned = align_up(start, align_bytes);
	end = start + bytes + slack_bytes;
	if (aligned > start)
		cubby__os_unmap(base, aligned - start);
	if (end > aligned + bytes)
		cubby__os_unmap((void *)(aligned + bytes),
				end - (aligned + bytes));
	*ret_base = (void *)aligned;
	hide_from_core(*ret_base, bytes, true);
	return 0;
}

int
cubby__os_map(size_t bytes, void **ret_base)
{
	return map(bytes, PROT_READ | PROT_WRITE, ret_base);
}

int
cubby__os_map_zeroes(size_t bytes, void **ret_base)
{
	int err = map(bytes, PROT_READ, ret_base);

	if (!err)
		hide_from_core(*ret_base, bytes, true);
	return err;
}

void
cubby__os_unmap(void *base, size_t bytes)
{
	int saved = errno;

	/*
	 * Unmapping the middle of a mapping splits it and fails at the limit
	 * of mappings; the addresses then stay reserved, which costs nothing.
	 */
	munmap(base, bytes);
	errno = saved;
}

int
cubby__os_commit(void *base, size_t bytes)
{
	int saved = errno;
	int err = -ENOMEM;

	if (!injected_failure() &&
	    mprotect(base, bytes, PROT_READ | PROT_WRITE) == 0)
		err = 0;
	errno = saved;
	if (!err)
		hide_from_core(base, bytes, false);
	return err;
}

int
cubby__os_protect(void *base, size_t bytes)
{
	int saved = errno;
	int err = -ENOMEM;

	if (!injected_failure() && mprotect(base, bytes, PROT_NONE) == 0)
		err = 0;
	errno = saved;
	return err;
}

int
cubby__os_show_zeroes(void *base, size_t bytes)
{
	int saved = errno;
	int err = -ENOMEM;

	if (!injected_failure() && mprotect(base, bytes, PROT_READ) == 0)
		err = 0;
	errno = saved;
	return err;
}

static int
decommit(void *base, size_t bytes, int access)
{
	int saved = errno;
	int err = -ENOMEM;

	if (!injected_failure() &&
	    mmap(base, bytes, access, RESERVE_FLAGS | MAP_FIXED, -1, 0) !=
		    MAP_FAILED)
		err = 0;
	errno = saved;
	if (!err)
		hide_from_core(base, bytes, true);
	return err;
}

int
cubby__os_decommit(void *base, size_t bytes)
{
	return decommit(base, bytes, PROT_NONE);
}

int
cubby__os_decommit_readable(void *base, size_t bytes)
{
	return decommit(base, bytes, PROT_READ);
}

int
cubby__os_drop(void *base, size_t bytes)
{
	int saved = errno;
	int err = 0;

	/* EINVAL is the kernel's answer for locked pages. */
	if (madvise(base, bytes, MADV_DONTNEED) != 0 &&
	    (errno != EINVAL ||
	     madvise(base, bytes, MADV_DONTNEED_LOCKED) != 0))
		err = -errno;
	errno = saved;
	return err;
}

/* What a call that failed has unmapped is mapped again: 0 or -EEXIST. */
static int
map_again(void *base, size_t bytes)
{
	unsigned char page;

	if (mincore(base, cubby__os_page_bytes(), &page) == 0 ||
	    errno != ENOMEM)
		return 0; /* it is there still */
	return mmap(base, bytes, PROT_READ | PROT_WRITE,
		    RESERVE_FLAGS | MAP_FIXED_NOREPLACE, -1, 0) == base ?
		       0 :
		       -EEXIST;
}

int
cubby__os_move(void *from, void *to, size_t bytes)
{
	int saved = errno;
	int err = -ENOMEM;

	if (!injected_failure() &&
	    mremap(from, bytes, bytes,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   to) != MAP_FAILED)
		err = 0;
	/* Before 6.17 it unmaps first, and then looks whether it can. */
	else if (map_again(to, bytes) != 0)
		err = -EEXIST;
	errno = saved;
	return err;
}

/* Populate by hand, for kernels before 5.14: write back what is read. */
static void
touch(char *base, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += cubby__os_page_bytes())
		__atomic_fetch_add(base + i, 0, __ATOMIC_RELAXED);
}

int
cubby__os_populate(void *base, size_t bytes)
{
	int saved = errno;
	int err = 0;

	if (injected_failure())
		return -ENOMEM;
	if (madvise(base, bytes, MADV_POPULATE_WRITE) != 0) {
		if (errno == EINVAL)
			touch(base, bytes);
		else
			err = -ENOMEM;
	}
	errno = saved;
	return err;
}

void
cubby__os_populate_soon(void *base, size_t bytes)
{
	static bool is_unknown; /* before Linux 5.14 */
	int saved = errno;

	if (__atomic_load_n(&is_unknown, __ATOMIC_RELAXED))
		return;
	/* EINVAL says, too, that pages may not be written; of none, not that. */
	if (madvise(base, bytes, MADV_POPULATE_WRITE) != 0 &&
	    errno == EINVAL && madvise(base, 0, MADV_POPULATE_WRITE) != 0)
		__atomic_store_n(&is_unknown, true, __ATOMIC_RELAXED);
	errno = saved;
}

uint64_t
cubby__os_resident_bytes(void *base, size_t bytes)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	char *at = (char *)align_down((uintptr_t)base, page_bytes);
	char *end = (char *)align_up((uintptr_t)base + bytes, page_bytes);
	unsigned char pages[1024];
	uint64_t n_resident = 0;
	int saved = errno;

	while (at < end) {
		uint64_t n = min_u64((uint64_t)(end - at) / page_bytes,
				     sizeof(pages));

		if (mincore(at, n * page_bytes, pages) == 0)
			for (uint64_t i = 0; i < n; i++)
				n_resident += pages[i] & 1;
		at += n * page_bytes;
	}
	errno = saved;
	return n_resident * page_bytes;
}

void
cubby__os_advise_huge(void *base, size_t bytes, bool want)
{
	int saved = errno;

	madvise(base, bytes, want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	errno = saved;
}

/*
 * open, read, close and write are cancellation points, and Cubby holds locks
 * with all signals blocked: a thread must not end inside.
 */
static int
forbid_cancellation(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static void
restore_cancellation(int before)
{
	pthread_setcancelstate(before, NULL);
}

static ssize_t
read_file(const char *path, char *buffer, size_t buffer_bytes)
{
	ssize_t n_bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n_bytes = read(fd, buffer, buffer_bytes);
	if (n_bytes < 0)
		n_bytes = -errno;
	close(fd);
	return n_bytes;
}

ssize_t
cubby__os_read_link(const char *path, char *buffer, size_t buffer_bytes)
{
	ssize_t n_bytes = readlink(path, buffer, buffer_bytes - 1);

	if (n_bytes < 0)
		return -errno;
	buffer[n_bytes] = '\0';
	return n_bytes;
}

static uint64_t
ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t
cubby__os_now_ns(void)
{
	return ns_of(CLOCK_MONOTONIC);
}

uint64_t
cubby__os_coarse_ns(void)
{
	return ns_of(CLOCK_MONOTONIC_COARSE);
}

bool
cubby__os_key_create(pthread_key_t *ret_key, void (*at_exit)(void *value))
{
	if (pthread_key_create(ret_key, at_exit) != 0)
		return false;
	if (*ret_key < KEYS_WITHOUT_MALLOC)
		return true;
	pthread_key_delete(*ret_key);
	return false;
}

void
cubby__os_nap(uint64_t ns)
{
	struct timespec time = { .tv_nsec = (long)ns };
	int saved = errno;
	int cancel = forbid_cancellation();

	nanosleep(&time, NULL);
	restore_cancellation(cancel);
	errno = saved;
}

ssize_t
cubby__os_read_text(const char *path, char *buffer, size_t buffer_bytes)
{
	int saved = errno;
	int cancel = forbid_cancellation();
	ssize_t n_bytes = read_file(path, buffer, buffer_bytes - 1);

	buffer[n_bytes < 0 ? 0 : n_bytes] = '\0';
	restore_cancellation(cancel);
	errno = saved;
	return n_bytes;
}

uint64_t
cubby__os_read_number(const char *path, uint64_t otherwise)
{
	char text[128];
	uint64_t number = 0;
	const char *p = text;

	if (cubby__os_read_text(path, text, sizeof(text)) <= 0 || *p < '0' ||
	    *p > '9')
		return otherwise;
	for (; *p >= '0' && *p <= '9'; p++)
		number = number * 10 + (uint64_t)(*p - '0');
	return number;
}

static int charges_commit; /* 0: not asked yet, 1: no, 2: yes */

void
cubby__os_pretend_charging(bool charges)
{
	__atomic_store_n(&charges_commit, 1 + charges, __ATOMIC_RELAXED);
}

bool
cubby__os_charges_commit(void)
{
	int known = __atomic_load_n(&charges_commit, __ATOMIC_RELAXED);

	if (known == 0) {
		known = 1 + (cubby__os_read_number(
				     "/proc/sys/vm/overcommit_memory", 0) ==
			     OVERCOMMIT_NEVER);
		__atomic_store_n(&charges_commit, known, __ATOMIC_RELAXED);
	}
	return known == 2;
}

uint64_t
cubby__os_address_space_left_bytes(void)
{
	int saved = errno;
	struct rlimit limit;
	uint64_t used_bytes;

	if (getrlimit(RLIMIT_AS, &limit) != 0 ||
	    limit.rlim_cur == RLIM_INFINITY) {
		errno = saved;
		return UINT64_MAX;
	}
	used_bytes = cubby__os_read_number("/proc/self/statm", 0) *
		     cubby__os_page_bytes();
	return used_bytes < limit.rlim_cur ? limit.rlim_cur - used_bytes : 0;
}

unsigned
cubby__os_address_bits(void)
{
#if defined(__aarch64__)
	return 48;
#else
	return 47;
#endif
}

unsigned
cubby__os_user_space_bits(void)
{
	/* On the first stack, which is at the top of user space. */
	uintptr_t near_top = getauxval(AT_EXECFN);
	unsigned bits = cubby__os_address_bits();

	return near_top == 0 ?
		       bits :
		       (unsigned)min_u64(bit_highest(near_top) + 1, bits);
}

static int
write_all(int fd, const char *bytes, size_t n_bytes)
{
	while (n_bytes > 0) {
		ssize_t n = write(fd, bytes, n_bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			n_bytes -= (size_t)n;
		}
	}
	return 0;
}

int
cubby__os_write(int fd, const char *bytes, size_t n_bytes)
{
	int saved = errno;
	int cancel = forbid_cancellation();
	int err = write_all(fd, bytes, n_bytes);

	restore_cancellation(cancel);
	errno = saved;
	return err;
}
