/* SPDX-License-Identifier: MIT */
/*
 * cubby/cache.h - caches: objects of one type, exactly as large as declared.
 *
 * Caveats first:
 *
 *   - Freeing twice, freeing what is not an object, using an object after its
 *     free and writing over its end are errors of the program.  cubby_free()
 *     puts a pointer into a magazine without looking at it; the first two are
 *     reported (cubby/error.h) when its cell goes back to a slab, and until
 *     then a wrong pointer may be handed out again.  A cell that was freed
 *     twice may by then have two owners, and the report may name the innocent
 *     one.  CUBBY_DEBUG=all finds all of these (cubby/debug.h), the first two for
 *     certain in the call that does it, and so do Valgrind and the sanitizers.
 *     In a cache that nobody watches an overrun reaches the next object.
 *   - cubby_alloc() does not clear memory and cubby_free() does not touch it:
 *     a new object holds whatever its cell's last object left there (zeroes,
 *     the first time).
 *   - A cache is for many objects of a type.  For a dozen, use malloc.
 *   - init, fini, ctor and dtor must not call into their own cache.  init, fini,
 *     dtor and what is called at an object's expiry must return: a longjmp out of
 *     one leaves cells unusable, or stops the reclaiming of a flavour.
 *   - A signal handler that interrupts an allocation or a free must return, if
 *     objects are to be allocated and freed in handlers: after a siglongjmp out
 *     of one, calls that need the cache to stand still may fail with -EBUSY.
 *   - After vfork(), or in a child made by clone(CLONE_VM), Cubby must not be
 *     called.  After fork() it may, in the child as in the parent.
 *
 * Shape of memory: a cache is one array of cells in an address range of its
 * own; cell i begins at base + i * cell_bytes, with no header in front of
 * it and none between cells.  Each CPU (or thread: see cubby/stats.h) holds up
 * to two magazines (arrays of at most 120 free cells) of each cache that is used
 * there, and the cache a depot of them; they are filled with the lowest free
 * cells of the fullest slabs, and what overflows goes back to the slabs, the
 * highest cells first, so that the pages at the top empty and go back to the
 * kernel.  Nothing needs to be called for that, and no thread runs for it.
 *
 * Threads: every function here is MT-safe unless it says otherwise, with two
 * duties for the caller: a cache must not be in use when it is destroyed, and
 * an object must not be freed while another thread still reads it.
 */
#ifndef CUBBY_CACHE_H
#define CUBBY_CACHE_H

#include <cubby/base.h>
#include <cubby/layout.h>

CUBBY_BEGIN_DECLS

struct cubby_cache; /* opaque */

/* liburcu's table of a flavour's functions (urcu/flavor.h). */
struct rcu_flavor_struct;

/* The largest alignment an object can ask for: one page. */
#define CUBBY_ALIGN_BYTES_MAX 4096u

/* Longest name of a cache, with its NUL. */
#define CUBBY_NAME_BYTES_MAX 64u

/* Bits of cubby_cache_attr.flags. */
#define CUBBY_CACHE_ZERO (1ull << 0)       /* every alloc is cleared */
#define CUBBY_CACHE_HUGE_PAGES (1ull << 1) /* ask for huge pages at once */
/* Every call takes a lock; nothing idles; misuse of free is found at once. */
#define CUBBY_CACHE_NO_MAGAZINES (1ull << 2)

/* The largest magazine that a cache can ask for. */
#define CUBBY_MAGAZINE_CAPACITY_MAX 120u

/*
 * Cell callbacks: init before a cell's first object (and again before the
 * first after its page went back), fini before that page goes back.  State
 * that init sets up (a mutex, a buffer) is there in every object that the cell
 * holds in between; the program hands objects back in that state.  init runs
 * on a magazine of cells at a time, so on more of them than are allocated; and
 * fini, also one without an init, on as many.
 *
 * Object callbacks: once per object, at alloc and at death.
 *
 * `init` and `ctor` return 0, or anything else to refuse: the allocation then
 * fails with ENOMEM and the cell is free as before.  All four run outside
 * every lock of Cubby's, on the thread whose call caused them; but dtor of an
 * object that has waited for a grace period on a thread of Cubby's, or the one
 * that polls, and it must not wait for a grace period itself.
 */
typedef int (*cubby_init_fn)(void *object, void *context);
typedef void (*cubby_fini_fn)(void *object, void *context);
typedef int (*cubby_ctor_fn)(void *object, void *context);
typedef void (*cubby_dtor_fn)(void *object, void *context);

/*
 * Called when an allocation has met max_objects or max_bytes.  It may free
 * objects of this cache (the one callback that may); return non-zero to have
 * the allocation tried once more, 0 to let it fail with ENOMEM.
 */
typedef int (*cubby_limit_fn)(struct cubby_cache *cache, void *context);

/* How handles of a cache's objects may be used: see cubby/weak.h. */
enum cubby_weak_mode {
	CUBBY_WEAK_NONE,   /* there are none */
	CUBBY_WEAK_RCU,    /* borrowed in a read section */
	CUBBY_WEAK_STRONG, /* upgraded to counted references */
	CUBBY_WEAK_REUSE   /* copied from, and then checked */
};

/* Who frees what has waited for a grace period. */
enum cubby_reclaim {
	CUBBY_RECLAIM_THREAD, /* one thread of ours for each flavour */
	CUBBY_RECLAIM_POLL    /* the program, in cubby_rcu_poll() */
};

/*
 * Called for every object that had a handle, when it dies: see
 * cubby_weak_watch(), for which it is the same.
 */
typedef void (*cubby_expire_fn)(struct cubby_cache *cache, void *object,
				uint64_t handle, void *context);

/* Objects that wait for a grace period that does not end. */
struct cubby_stall {
	uint64_t age_ms; /* of the oldest */
	uint64_t n_objects;
	uint64_t n_bytes;
};

/*
 * Called once for each time that objects have waited longer than stall_ms: some
 * thread stays in a read section (or, in QSBR, passes no quiescent state), or
 * more is freed than the reclaimer keeps up with.  On
 * a thread that frees, allocates, polls or takes a snapshot, outside of locks;
 * it may be a signal handler.
 */
typedef void (*cubby_stall_fn)(struct cubby_cache *cache,
			       const struct cubby_stall *stall, void *context);

/*
 * What a cache can be asked for.  Zero in a field means its default.
 *
 * In C:     CUBBY_CACHE_ATTR(.max_objects = 1000000, .flags = ...)
 * Plain:    struct cubby_cache_attr attr;
 *           cubby_cache_attr_init(&attr);
 *           attr.max_objects = 1000000;
 *
 * The struct may grow at its end.  A library that is older than the program's
 * headers accepts a longer struct as long as the fields that it does not know
 * are zero, and refuses it with -E2BIG otherwise.
 */
struct cubby_cache_attr {
	uint64_t attr_bytes; /* sizeof; set by the macro or by _attr_init() */
	uint64_t flags;      /* CUBBY_CACHE_* */

	/*
	 * 1 .. 63 printable ASCII characters other than space and any of
	 * " \ , * ?; copied.  Default: the layout's name.
	 */
	const char *name;

	/* Exactly so many objects; address space for them, in 16 MiB units. */
	uint64_t max_objects;

	/*
	 * At most so many bytes of cells, live or idle; at least one cell's.
	 * Address space is reserved as if there were no limit.
	 */
	uint64_t max_bytes;

	/*
	 * Pages of so many first cells are populated by create.  Memory that
	 * the kernel promises and does not have ends in its OOM killer.
	 */
	uint64_t prefault_objects;

	cubby_limit_fn on_limit;
	cubby_init_fn init;
	cubby_fini_fn fini;
	cubby_ctor_fn ctor;
	cubby_dtor_fn dtor;
	void *context; /* passed to all callbacks of this struct */

	/*
	 * Most cells in a magazine, of which a CPU (or thread) holds two:
	 * fewer waste less, more take the lock less often.  Means nothing where
	 * there are no magazines.  Default: 120, or what 64 KiB hold of larger
	 * cells, or what is fair among many.
	 */
	uint64_t magazine_capacity;

	/*
	 * About the most bytes of idle cells in the depot, the magazines that
	 * no CPU or thread holds, these included; kept by whole magazines.
	 * Default: starts at 256 KiB, follows repeated bursts up to 64 MiB, and
	 * the cells in use down while the cache only frees.
	 */
	uint64_t max_idle_bytes;

	/*
	 * Weak handles, and frees that wait for a grace period (cubby/weak.h).
	 *
	 *	weak                rcu        is_strong  reclaim
	 *	CUBBY_WEAK_NONE     NULL       0          0
	 *	CUBBY_WEAK_NONE     a flavour  0          THREAD, POLL
	 *	CUBBY_WEAK_RCU      a flavour  0, 1       THREAD, POLL
	 *	CUBBY_WEAK_STRONG   NULL       0          0
	 *	CUBBY_WEAK_REUSE    NULL       0          0
	 *
	 * Every flavour of liburcu (memb, mb, qsbr, bp) is as good in each line;
	 * anything that is in no line is refused.
	 */
	uint64_t weak;      /* enum cubby_weak_mode */
	uint64_t is_strong; /* 1: references besides borrows */
	const struct rcu_flavor_struct *rcu; /* it outlives the cache */
	uint64_t reclaim;                    /* enum cubby_reclaim */

	/*
	 * Objects that wait for a grace period, by bytes of their cells (what
	 * else they need is 9 bytes a cell).  Above the soft limits the
	 * reclaimer is woken at once (default: 1 MiB).  Above the hard ones a
	 * thread that frees outside of a read section waits for the reclaimer,
	 * up to 10 ms for each magazine (or 64 objects, where there are none), and
	 * then goes on; who polls does not wait.  Above twice the hard ones
	 * allocations fail with ENOMEM.  0: threads that free wait above 64
	 * MiB, and nothing is refused.
	 */
	uint64_t soft_deferred_objects, soft_deferred_bytes;
	uint64_t max_deferred_objects, max_deferred_bytes;

	cubby_expire_fn on_expire;
	cubby_stall_fn on_stall;
	uint64_t stall_ms; /* default: 1,000 */

	/*
	 * Watch the objects (cubby/debug.h); CUBBY_DEBUG in the environment adds
	 * to it.  A quarantine holds about so many bytes of cells that were freed;
	 * allocations fail as asked: the nth, each so many, so many of a
	 * million.
	 */
	uint64_t debug; /* CUBBY_DEBUG_* */
	uint64_t quarantine_bytes;
	uint64_t fail_nth, fail_every, fail_ppm;

	/*
	 * One of about so many objects gets pages of its own, beside which
	 * and, once it is free, in which each access is reported; 0: none.
	 */
	uint64_t guard_every;
};

static inline void
cubby_cache_attr_init(struct cubby_cache_attr *attr)
{
	__builtin_memset(attr, 0, sizeof(*attr));
	attr->attr_bytes = sizeof(*attr);
}

#ifndef __cplusplus
#define CUBBY_CACHE_ATTR(...)                                                 \
	((struct cubby_cache_attr){                                           \
		.attr_bytes = sizeof(struct cubby_cache_attr), __VA_ARGS__ })
#endif

/* ------------------------------ life of a cache -------------------------- */

/*
 * Create a cache for the objects of a layout.
 *
 * @ret_cache: the cache; written only on success.
 * @layout: of the objects; not copied: it must outlive the cache.
 * @attr: NULL for all defaults.
 *
 * Returns 0, or
 *   -EINVAL         a NULL or impossible argument, a bad name, an attribute
 *                   that contradicts another (ZERO with init)
 *   -CUBBY_ELAYOUT  the layout does not verify
 *   -E2BIG          an object over 1 MiB (by size; a layout is ELAYOUT then);
 *                   more than 2^31 objects; attributes from the future; more
 *                   than 8 pairs of a flavour and a way to reclaim
 *   -ENOMEM         no address space, no memory for prefault_objects
 *   -EAGAIN         the kernel refuses the thread that a flavour needs
 * with a detail that names the argument.
 *
 * Shape: reserves address space (16 MiB to 32 GiB unless max_objects says
 * how much), populates nothing but 2.4 KiB of bookkeeping.
 * Cost: a few system calls.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_cache_create(struct cubby_cache **ret_cache,
		   const struct cubby_layout *layout,
		   const struct cubby_cache_attr *attr);

/*
 * The same without a layout: a name, a size and an alignment.
 *
 * @name: as in cubby_cache_attr, where it may then be NULL or the same.
 * @object_bytes: 1 .. 1 MiB, used as it is: 13 gives cells of 13 bytes; under
 *	8 becomes 8.
 * @align_bytes: a power of two up to 4096; the size is rounded up to it.  0
 *	means the largest power of two that divides the size, at most 16, which
 *	suits every C type of that size.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_cache_create_sized(struct cubby_cache **ret_cache, const char *name,
			 size_t object_bytes, size_t align_bytes,
			 const struct cubby_cache_attr *attr);

/*
 * Destroy an empty cache: fini for every cell that was initialised, then its
 * memory goes back.  Its address range is not used for anything else for a
 * while, so that late frees into it are recognised (not where 4 GiB of address
 * budget or less are left).
 *
 * Returns 0 (also for NULL), or, with the cache unchanged and usable,
 *   -CUBBY_ELIVE   objects are still live; the detail counts them and names
 *                  the first ones, cubby_cache_report_live() names them all
 *   -EBUSY         a walk or a reserve of this cache is open, or
 *                  cubby_cache_for_each() is looking at it, or a thread has
 *                  been stopped (by a debugger) in the middle of an allocation
 *                  or free; the detail names it
 *   -EDEADLK       in a read section of the cache's flavour, if it has one: it
 *                  first waits, as long as it takes, for a grace period of what
 *                  was freed
 */
CUBBY_API CUBBY_MUST_USE int cubby_cache_destroy(struct cubby_cache *cache);

/*
 * Destroy a cache whatever it holds: dtor for every live object in order of
 * cells, fini for every initialised cell, then as above.  The objects are
 * gone: pointers to them must not be used.
 *
 * Returns 0 (also for NULL), or -EBUSY as above.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_cache_destroy_force(struct cubby_cache *cache);

/*
 * Take the idle cells out of all magazines, also of other CPUs and threads, and give
 * every slab's pages back that holds no live object.  Cubby does most of that
 * by itself, but keeps what the next burst needs: some magazines, and up to
 * two empty slabs a cache.
 *
 * @ret_bytes: bytes given back; may be NULL.
 *
 * Returns 0, or -EBUSY while a walk of this cache is open, or a thread has been
 * stopped in the middle of an allocation or free.
 * Cost: a few microseconds, and proportional to the idle cells and the empty
 * slabs; runs fini on the cells of the latter.
 */
CUBBY_API int cubby_cache_shrink(struct cubby_cache *cache,
				 uint64_t *ret_bytes);

/*
 * The same for every cache, and for the magazines that are empty.
 *
 * Returns 0, or -EBUSY if a cache could not be shrunk; the others were.
 */
CUBBY_API int cubby_shrink_all(uint64_t *ret_bytes);

/*
 * Check the bookkeeping of the cache's slabs (invariants L1 to L6) and
 * magazines (M1, M2, F3, F4), and of the process's shared granules.
 *
 * Returns the number of contradictions found, 0 in a healthy cache; the detail
 * describes the first.  1 if a thread has been stopped in the middle of an
 * allocation or free, which the detail says.  Never aborts.
 * Cost: proportional to the cells; the cache is locked meanwhile.
 */
CUBBY_API CUBBY_MUST_USE size_t cubby_cache_verify(struct cubby_cache *cache);

/* --------------------------------- objects ------------------------------- */

/*
 * Allocate an object: uninitialised, aligned as the cache says.
 *
 * Returns the object, or NULL with errno = ENOMEM: no memory, max_objects or
 * max_bytes reached, init or ctor refused.  Before that it takes back what is
 * idle in the magazines of other threads, and where the last free cells are
 * held up by another thread's fini, it waits for that, up to 100 ms.  A cache
 * that was destroyed is misuse (dead-cache).  What never was one crashes, and
 * one of another copy of the library in the process is recognised by slow
 * calls only (other-copy): until then it may yield an object of another cache.
 *
 * Ownership: the caller's until cubby_free().
 * Threads: MT-safe; async-signal-safe if the cache's callbacks are.
 * Cost: about the call itself, mostly: no lock, no atomic instruction, no line
 * that other threads write.  Once per magazine an exchange of a few atomic
 * instructions, and at most once per magazine a lock and two system calls.
 * Source: exact-fit slabs and magazines after J. Bonwick, "The Slab Allocator:
 * An Object-Caching Kernel Memory Allocator", USENIX 1994, and J. Bonwick and
 * J. Adams, "Magazines and Vmem", USENIX 2001.
 */
CUBBY_API CUBBY_MUST_USE void *cubby_alloc(struct cubby_cache *cache);

/*
 * The same, all zero before ctor runs.  On a cache with `init` it would
 * destroy the state that init keeps in the cell: misuse (zero-init).
 */
CUBBY_API CUBBY_MUST_USE void *cubby_zalloc(struct cubby_cache *cache);

/*
 * Free an object of this cache; NULL is a no-op.  Runs dtor; never fails,
 * never allocates, leaves errno as it is.
 *
 * Anything else than a live object of this cache is misuse: foreign-free,
 * interior-free, double-free (also for a cell that was never allocated but
 * whose slab is in use), wrong-cache, dead-cache.  All but the last are
 * reported when the cell goes back to its slab: at the latest by
 * cubby_cache_shrink() or cubby_cache_destroy().
 *
 * Threads: MT-safe, from any thread; async-signal-safe if dtor and fini are.
 */
CUBBY_API void cubby_free(struct cubby_cache *cache, void *object);

/* The same when only the object is known; one table look-up more. */
CUBBY_API void cubby_free_any(void *object);

/*
 * Allocate n objects, all or none.
 *
 * @ret_objects: n pointers, in address order as far as the cache's free cells
 *	allow; undefined on failure.
 *
 * Returns 0, or -ENOMEM with nothing allocated (dtor has run for objects whose
 * ctor had).
 * Cost: copies whole magazines, and gets the rest in one lock visit.
 */
CUBBY_API CUBBY_MUST_USE int cubby_alloc_bulk(struct cubby_cache *cache,
					      size_t n, void **ret_objects);

/*
 * Free n objects; NULLs among them are skipped.  As cubby_free().
 * Cost: fills whole magazines; more than the depot may hold goes to the slabs
 * at once, with a lock visit for each 256 objects.
 */
CUBBY_API void cubby_free_bulk(struct cubby_cache *cache, size_t n,
			       void *const *objects);

/* ------------------------------- questions ------------------------------- */

/*
 * The cache whose address range holds this address, live object or not; NULL
 * for any other address.
 * Threads: MT-safe, also beside the destruction of that cache, and
 * async-signal-safe.  Cost: one table look-up.
 */
CUBBY_API struct cubby_cache *cubby_cache_of(const void *address);

/*
 * 1 if `object` is the first byte of a live object of this cache, else 0; or
 * -EBUSY if a thread does not go on in the middle of an allocation or free.
 * With other threads allocating and freeing, the answer may be old when it
 * arrives.
 * Cost: the cache stands still for a few microseconds; for debugging.
 */
CUBBY_API int cubby_is_live(struct cubby_cache *cache, const void *object);

/* The cache's name; lives as long as the cache. */
CUBBY_API const char *cubby_cache_name(const struct cubby_cache *cache);

/* Bytes of one object as they were asked for. */
CUBBY_API size_t cubby_cache_object_bytes(const struct cubby_cache *cache);

/* Distance between neighbouring objects. */
CUBBY_API size_t cubby_cache_cell_bytes(const struct cubby_cache *cache);

/* The layout; NULL for a cache created by size. */
CUBBY_API const struct cubby_layout *
cubby_cache_layout(const struct cubby_cache *cache);

/*
 * The oldest cache of that name, or NULL.  Names need not be unique.  The
 * caller sees to it that nobody destroys the cache meanwhile.
 */
CUBBY_API struct cubby_cache *cubby_cache_find(const char *name);

/*
 * Call `fn` for every cache, in order of creation as far as places in the
 * table were not reused, until it returns non-zero; that value is returned,
 * else 0.  During the call the cache cannot be destroyed (-EBUSY); `fn` may
 * use it, and may create and destroy others.  Caches that are created or
 * destroyed meanwhile may or may not be seen.
 */
typedef int (*cubby_cache_fn)(struct cubby_cache *cache, void *context);
CUBBY_API int cubby_cache_for_each(cubby_cache_fn fn, void *context);

/*
 * Write a line for each live object to a file descriptor, under a heading:
 *
 *	cubby: cache 'truck': 2 live objects of 32 bytes
 *	  0x7f3a40000000 cell 0
 *	  0x7f3a40000040 cell 2
 *
 * Returns 0, -ENOMEM (no memory for the snapshot), -EBUSY (a thread has been
 * stopped in the middle of an allocation or free), or the negative errno of
 * write(2).
 */
CUBBY_API int cubby_cache_report_live(struct cubby_cache *cache, int fd);

CUBBY_END_DECLS

/* The two hottest calls without a call: see there. */
#ifdef CUBBY_INLINE
#include <cubby/inline/fast.h>
#endif

#endif /* CUBBY_CACHE_H */
