/* SPDX-License-Identifier: MIT */
/*
 * A malloc family to preload: it serves everybody but libcubby.  A call that
 * comes from its text, or from anywhere (libc, on its behalf) while the
 * program says that it is inside of it, is written down and aborts.
 */
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own names of what is replaced here. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align_bytes, size_t bytes);
void __libc_free(void *memory);

void trap_forbid(int on);
int trap_n_ranges(void);

#define RANGES_MAX 8

static struct {
	uintptr_t start, end;
} text_of_cubby[RANGES_MAX];
static int n_ranges;
static __thread int forbidden __attribute__((tls_model("initial-exec")));

/* From here on (1) no allocation of this thread is right; 0 ends that. */
void
trap_forbid(int on)
{
	forbidden = on;
}

/* How many pieces of libcubby's text are watched. */
int
trap_n_ranges(void)
{
	return n_ranges;
}

static int
note_object(struct dl_phdr_info *info, size_t info_bytes, void *context)
{
	const char *slash = strrchr(info->dlpi_name, '/');

	(void)info_bytes;
	(void)context;
	if (strncmp(slash ? slash + 1 : info->dlpi_name, "libcubby.so", 11))
		return 0;
	for (int i = 0; i < info->dlpi_phnum && n_ranges < RANGES_MAX; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		text_of_cubby[n_ranges].start = info->dlpi_addr +
						header->p_vaddr;
		text_of_cubby[n_ranges].end = info->dlpi_addr +
					      header->p_vaddr +
					      header->p_memsz;
		n_ranges++;
	}
	return 0;
}

__attribute__((constructor)) static void
find_cubby(void)
{
	dl_iterate_phdr(note_object, NULL);
}

static void
say(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static void
check(void *return_address, const char *function)
{
	uintptr_t caller = (uintptr_t)return_address;
	int is_cubby = 0;

	for (int i = 0; i < n_ranges; i++)
		is_cubby |= caller >= text_of_cubby[i].start &&
			    caller < text_of_cubby[i].end;
	if (!is_cubby && !forbidden)
		return;
	forbidden = 0; /* abort() may do as it likes */
	say("trap: ");
	say(function);
	say(is_cubby ? " called by libcubby\n" :
		       " called inside of libcubby\n");
	abort();
}

#define CHECK() check(__builtin_return_address(0), __func__)

void *
malloc(size_t bytes)
{
	CHECK();
	return __libc_malloc(bytes);
}

void *
calloc(size_t n, size_t bytes)
{
	CHECK();
	return __libc_calloc(n, bytes);
}

void *
realloc(void *memory, size_t bytes)
{
	CHECK();
	return __libc_realloc(memory, bytes);
}

void *
reallocarray(void *memory, size_t n, size_t bytes)
{
	size_t all_bytes;

	CHECK();
	return __builtin_mul_overflow(n, bytes, &all_bytes) ?
		       NULL :
		       __libc_realloc(memory, all_bytes);
}

void *
memalign(size_t align_bytes, size_t bytes)
{
	CHECK();
	return __libc_memalign(align_bytes, bytes);
}

void *
aligned_alloc(size_t align_bytes, size_t bytes)
{
	CHECK();
	return __libc_memalign(align_bytes, bytes);
}

int
posix_memalign(void **ret_memory, size_t align_bytes, size_t bytes)
{
	CHECK();
	*ret_memory = __libc_memalign(align_bytes, bytes);
	return *ret_memory ? 0 : 12; /* ENOMEM */
}

void *
valloc(size_t bytes)
{
	CHECK();
	return __libc_memalign((size_t)sysconf(_SC_PAGESIZE), bytes);
}

void
free(void *memory)
{
	CHECK();
	__libc_free(memory);
}
