/* SPDX-License-Identifier: MIT */
/*
 * cubby/error.h - how Cubby says no.
 *
 * Three situations, three mechanisms:
 *
 *   an expected failure of a slow call    int: 0, or a negative code (-EINVAL,
 *                                         -ENOMEM, ..., or one of ours below);
 *                                         cubby_error_detail() has the words
 *   a hot allocation without memory       NULL and errno = ENOMEM, no words
 *   misuse or corruption                  one report on standard error, the
 *                                         program's hook, then abort()
 *
 * A call that fails has changed nothing: out-parameters are written only on
 * success.  A call that succeeds leaves errno as it was.  Except for misuse
 * reports, a line on each word in CUBBY_OPTIONS and CUBBY_DEBUG that it does not
 * know, and what these ask for (traces, what is live at exit), the library never
 * prints unasked.
 */
#ifndef CUBBY_ERROR_H
#define CUBBY_ERROR_H

#include <cubby/base.h>

CUBBY_BEGIN_DECLS

/*
 * Codes of our own, returned negative like an errno; they start above every
 * errno of Linux.  A number is never given a second meaning.
 */
enum cubby_error {
	CUBBY_ENOSLOT = 4096,  /* the layout has no slot of that name */
	CUBBY_ELAYOUT = 4097,  /* the layout's tables contradict themselves */
	CUBBY_ELIVE = 4098,    /* the cache still has live objects */
	CUBBY_ENOCACHE = 4099, /* not a cache, or one that was destroyed */
	CUBBY_ECORRUPT = 4100  /* a verify call found contradictions */
};

/*
 * The name of a code, "CUBBY_ENOSLOT" or "ENOMEM"; "unknown error" for a
 * number that Cubby never returns.
 *
 * @error: a code as a call returned it; the sign does not matter.
 *
 * Ownership: static text.  Threads: MT-safe, async-signal-safe.
 */
CUBBY_API const char *cubby_error_name(int error);

/* One sentence on a code: static text, never NULL.  Otherwise as above. */
CUBBY_API const char *cubby_error_text(int error);

/*
 * What exactly went wrong in the last Cubby call of this thread that returned
 * a negative code: which object, what was wrong, what to do; "" if none has
 * failed yet.
 *
 * Ownership: the library's; good until the next failing call of this thread.
 * Threads: MT-safe; each thread sees its own.  The record is one page, mapped
 * when a thread first fails; if it cannot be mapped the text is that of
 * cubby_error_text().
 */
CUBBY_API const char *cubby_error_detail(void);

/*
 * Misuse: what Cubby reports when it catches a call that no correct program
 * makes.  Numbers are never reused; `name` in the report is the word in the
 * comment.
 */
enum cubby_misuse_code {
	CUBBY_MISUSE_DOUBLE_FREE = 1,    /* double-free */
	CUBBY_MISUSE_FOREIGN_FREE = 2,   /* foreign-free */
	CUBBY_MISUSE_INTERIOR_FREE = 3,  /* interior-free */
	CUBBY_MISUSE_WRONG_CACHE = 4,    /* wrong-cache */
	CUBBY_MISUSE_BAD_CACHE = 5,      /* bad-cache */
	CUBBY_MISUSE_DEAD_CACHE = 6,     /* dead-cache */
	CUBBY_MISUSE_OTHER_COPY = 7,     /* other-copy; by slow calls only */
	CUBBY_MISUSE_ZERO_INIT = 8,      /* zero-init */
	CUBBY_MISUSE_CORRUPTION = 9,     /* corruption */
	CUBBY_MISUSE_WEAK_MODE = 10,     /* weak-mode */
	CUBBY_MISUSE_REF_UNDERFLOW = 11, /* ref-underflow */
	CUBBY_MISUSE_NO_SECTION = 12,    /* no-section; debug builds only */
	CUBBY_MISUSE_NOT_AN_OBJECT = 13, /* not-an-object */
	CUBBY_MISUSE_WEAK_OF_DEAD = 14, /* weak-of-dead; where it is watched */
	CUBBY_MISUSE_RED_ZONE = 15,     /* red-zone; see cubby/debug.h */
	CUBBY_MISUSE_USE_AFTER_FREE = 16, /* use-after-free; the same */
	CUBBY_MISUSE_GUARD_PAGE = 17,     /* guard-page; the same */
	CUBBY_MISUSE_WRONG_SIZE = 18      /* wrong-size; cubby-malloc(7) */
};

/* A report, as the hook gets it.  All pointers end with the hook's return. */
struct cubby_misuse {
	uint32_t misuse_bytes; /* sizeof(struct cubby_misuse) in the library */
	uint32_t code;         /* enum cubby_misuse_code */
	const char *name;      /* the code's word: "double-free" */
	const char *text;      /* the whole report line, without its newline */
	const char *cache;     /* name of the cache, or NULL */
	const void *address;   /* the offending pointer, or NULL */
};

typedef void (*cubby_misuse_fn)(const struct cubby_misuse *misuse,
				void *context);

/*
 * Have `hook` called for every misuse, after the report was written and before
 * abort(): to write a core-file note, to flush a log, or, in a test, to leave
 * by longjmp().  NULL takes the hook away.
 *
 * With CUBBY_OPTIONS=misuse=continue the report is written, the hook is
 * called, and the offending call then returns without having done anything; a
 * bulk free skips the offending pointer and frees the others.
 *
 * Threads: MT-safe; the hook runs on the misusing thread with no lock of
 * Cubby's held (except for corruption that a debug build finds), and may call
 * Cubby.
 */
CUBBY_API void cubby_misuse_set_hook(cubby_misuse_fn hook, void *context);

/*
 * Misuses reported by this process so far, so that a test can assert the
 * exact number.  Threads: MT-safe, async-signal-safe.
 */
CUBBY_API uint64_t cubby_misuse_count(void);

CUBBY_END_DECLS

#endif /* CUBBY_ERROR_H */
