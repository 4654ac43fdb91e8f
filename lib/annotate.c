/* SPDX-License-Identifier: MIT */
/* LAYER 1: annotate - which tools are watching, and telling them of objects */
#include "annotate.h"

#include "host.h"
#include "options.h"
#include "piece.h"

#if __has_include(<valgrind/memcheck.h>) && __has_include(<valgrind/helgrind.h>)
#include <valgrind/helgrind.h>
#include <valgrind/memcheck.h>
#include <valgrind/valgrind.h>
#define KNOWS_VALGRIND 1
#define TYPE_DIGITS 9 /* 262,143 caches of a process, also of its past */
#else
#define KNOWS_VALGRIND 0
#endif

#include <stdlib.h>
#include <string.h>

enum { HOW_AUTO, HOW_OFF, HOW_TYPES };
static uint64_t how;
OPTION_ROW(annotate, OPTION_WORD, &how, "auto|off|types",
	   "whether tools are told of objects, and of their types");

static bool
is_off(void)
{
	return how == HOW_OFF;
}

static uint64_t passes_option;
OPTION_ROW(passthrough, OPTION_FLAG, &passes_option, NULL,
	   "each object is a block of malloc(), as under DHAT");

/* Defined by the run-time of an instrumented program, absent otherwise. */
extern void __tsan_init(void) WEAK_SYMBOL;
extern void __tsan_acquire(void *address) WEAK_SYMBOL;
extern void __tsan_release(void *address) WEAK_SYMBOL;
extern void __asan_poison_memory_region(const volatile void *start,
					size_t n_bytes) WEAK_SYMBOL;
extern void __asan_unpoison_memory_region(const volatile void *start,
					  size_t n_bytes) WEAK_SYMBOL;
extern void
__asan_set_error_report_callback(void (*fn)(const char *report)) WEAK_SYMBOL;
extern void *__asan_get_report_address(void) WEAK_SYMBOL;
extern void __lsan_register_root_region(const void *start,
					size_t n_bytes) WEAK_SYMBOL;
extern void __lsan_unregister_root_region(const void *start,
					  size_t n_bytes) WEAK_SYMBOL;
extern void __msan_allocated_memory(const volatile void *start,
				    size_t n_bytes) WEAK_SYMBOL;
extern void heaptrack_malloc(void *start, size_t n_bytes) WEAK_SYMBOL;
extern void heaptrack_free(void *start) WEAK_SYMBOL;

/* --------------------------------- Valgrind ------------------------------ */

/* @part: of the path of what a tool puts before all others. */
static bool
is_preloaded(const char *part)
{
	const char *preload = secure_getenv("LD_PRELOAD");
	struct piece pattern = { part, strlen(part) };

	return preload != NULL && cubby__piece_matches(pattern, preload);
}

#if KNOWS_VALGRIND

bool
cubby__annotate_on_valgrind(void)
{
	return RUNNING_ON_VALGRIND != 0;
}

/* Only memcheck knows which bits are valid. */
static bool
on_memcheck(void)
{
	char byte = 0, bits = 0;

	return RUNNING_ON_VALGRIND && VALGRIND_GET_VBITS(&byte, &bits, 1) == 1;
}

/* An object, or, without one, the name of a type. */
struct news {
	void *object;
	size_t object_bytes;
	bool is_defined;
	const char *name;
};

/* Nothing, but the same in no two places: these are not made one. */
#define HERE(n) __asm__ volatile("" : : "i"(n) : "memory")

static ALWAYS_INLINE void
tell_news(const struct news *news)
{
	if (news->object == NULL) {
		VALGRIND_PRINTF_BACKTRACE("cubby: type %s\n", news->name);
		HERE(4); /* no tail call: cubby-massif counts frames */
		return;
	}
	VALGRIND_MALLOCLIKE_BLOCK(news->object, news->object_bytes, 0,
				  news->is_defined);
}

/*
 * Massif knows stacks and no types, so a stack spells the type: a frame a digit,
 * the outermost the lowest, by which of these calls it will return to.  Their
 * addresses are in the log, too, where the type got its name: cubby-massif.
 */
static __attribute__((noinline)) void
spell(uint64_t type, unsigned n_digits, const struct news *news)
{
	if (n_digits-- == 0) {
		tell_news(news);
		return;
	}
	switch (type % 4) {
	case 0:
		spell(type / 4, n_digits, news);
		HERE(0);
		break;
	case 1:
		spell(type / 4, n_digits, news);
		HERE(1);
		break;
	case 2:
		spell(type / 4, n_digits, news);
		HERE(2);
		break;
	default:
		spell(type / 4, n_digits, news);
		HERE(3);
		break;
	}
}

static void
tell_valgrind_type(uint64_t type, const char *name)
{
	spell(type, TYPE_DIGITS, &(struct news){ .name = name });
}

static void
tell_valgrind_alloc(void *object, size_t object_bytes, bool is_defined,
		    uint64_t type)
{
	spell(type, type != 0 ? TYPE_DIGITS : 0,
	      &(struct news){ object, object_bytes, is_defined, NULL });
	VALGRIND_HG_CLEAN_MEMORY(object, object_bytes);
	ANNOTATE_HAPPENS_AFTER(object);
}

static void
tell_valgrind_free(void *object)
{
	ANNOTATE_HAPPENS_BEFORE(object);
	VALGRIND_FREELIKE_BLOCK(object, 0);
}

static void
tell_valgrind_wrong_free(void *address)
{
	VALGRIND_FREELIKE_BLOCK(address, 0);
}

/* A block of one byte, as far as memcheck knows; free() takes all of it. */
static void
tell_valgrind_hide(void *start, size_t n_bytes)
{
	VALGRIND_RESIZEINPLACE_BLOCK(start, n_bytes, 1, 0);
	(void)VALGRIND_MAKE_MEM_DEFINED(start, n_bytes);
}

static void
tell_valgrind_access(void *start, size_t n_bytes, bool may_access)
{
	if (may_access)
		(void)VALGRIND_MAKE_MEM_DEFINED(start, n_bytes);
	else
		(void)VALGRIND_MAKE_MEM_NOACCESS(start, n_bytes);
}

#else

bool
cubby__annotate_on_valgrind(void)
{
	/* Built without Valgrind's headers: its preloaded part gives it away. */
	return is_preloaded("*vgpreload_*");
}

static bool
on_memcheck(void)
{
	return false;
}

static void
tell_valgrind_type(uint64_t type, const char *name)
{
	(void)type, (void)name;
}

static void
tell_valgrind_alloc(void *object, size_t object_bytes, bool is_defined,
		    uint64_t type)
{
	(void)object, (void)object_bytes, (void)is_defined, (void)type;
}

static void
tell_valgrind_free(void *object)
{
	(void)object;
}

static void
tell_valgrind_wrong_free(void *address)
{
	(void)address;
}

static void
tell_valgrind_hide(void *start, size_t n_bytes)
{
	(void)start, (void)n_bytes;
}

static void
tell_valgrind_access(void *start, size_t n_bytes, bool may_access)
{
	(void)start, (void)n_bytes, (void)may_access;
}

#endif

/* --------------------------------- questions ----------------------------- */

bool
cubby__annotate_on_tsan(void)
{
	return __tsan_init != NULL;
}

bool
cubby__annotate_passes(void)
{
	cubby__options_read();
	if (cubby__host.is_malloc)
		return false;
	return passes_option || (!is_off() && cubby__annotate_on_valgrind() &&
				 is_preloaded("*vgpreload_dhat*"));
}

bool
cubby__annotate_objects(void)
{
	return !cubby__annotate_passes() && !is_off() &&
	       ((KNOWS_VALGRIND && cubby__annotate_on_valgrind()) ||
		(!cubby__host.is_malloc &&
		 (__asan_poison_memory_region != NULL ||
		  __msan_allocated_memory != NULL ||
		  cubby__annotate_on_tsan() || heaptrack_malloc != NULL)));
}

bool
cubby__annotate_accesses(void)
{
	return !cubby__annotate_passes() && !is_off() &&
	       (on_memcheck() || __asan_poison_memory_region != NULL);
}

bool
cubby__annotate_searches(void)
{
	return !cubby__host.is_malloc && !cubby__annotate_passes() &&
	       !is_off() && on_memcheck();
}

void
cubby__annotate_hide(void *start, size_t n_bytes)
{
	tell_valgrind_hide(start, n_bytes);
}

/* ---------------------------------- objects ------------------------------ */

uint64_t
cubby__annotate_type(const char *name)
{
	static uint64_t last;
	uint64_t type;

	if (how != HOW_TYPES || !cubby__annotate_on_valgrind())
		return 0;
	type = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	tell_valgrind_type(type, name);
	return type;
}

void
cubby__annotate_alloc(void *object, size_t object_bytes, bool is_defined,
		      uint64_t type)
{
	if (__asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(object, object_bytes);
	if (__msan_allocated_memory != NULL && !is_defined)
		__msan_allocated_memory(object, object_bytes);
	if (__tsan_acquire != NULL)
		__tsan_acquire(object);
	if (heaptrack_malloc != NULL)
		heaptrack_malloc(object, object_bytes);
	tell_valgrind_alloc(object, object_bytes, is_defined, type);
}

void
cubby__annotate_free(void *object, size_t object_bytes)
{
	tell_valgrind_free(object);
	if (heaptrack_free != NULL)
		heaptrack_free(object);
	if (__tsan_release != NULL)
		__tsan_release(object);
	if (__asan_poison_memory_region != NULL)
		__asan_poison_memory_region(object, object_bytes);
}

void
cubby__annotate_wrong_free(void *address)
{
	tell_valgrind_wrong_free(address);
}

void
cubby__annotate_no_access(void *start, size_t n_bytes)
{
	if (__asan_poison_memory_region != NULL)
		__asan_poison_memory_region(start, n_bytes);
	tell_valgrind_access(start, n_bytes, false);
}

void
cubby__annotate_access(void *start, size_t n_bytes)
{
	if (__asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(start, n_bytes);
	tell_valgrind_access(start, n_bytes, true);
}

void
cubby__annotate_roots(void *start, size_t n_bytes, bool are_roots)
{
	if (is_off() || __lsan_register_root_region == NULL ||
	    __lsan_unregister_root_region == NULL)
		return;
	if (are_roots)
		__lsan_register_root_region(start, n_bytes);
	else
		__lsan_unregister_root_region(start, n_bytes);
}

/* ----------------------------------- others ------------------------------ */

void
cubby__annotate_set_callback(void (*callback)(const char *report))
{
	if (__asan_set_error_report_callback != NULL)
		__asan_set_error_report_callback(callback);
}

void *
cubby__annotate_reported(void)
{
	return __asan_get_report_address != NULL ?
		       __asan_get_report_address() :
		       NULL;
}

void
cubby__annotate_acquire(const void *address)
{
	if (__tsan_acquire != NULL)
		__tsan_acquire((void *)(uintptr_t)address);
}
