/* SPDX-License-Identifier: MIT */
/*
 * cubby/weak.h - weak handles: 64 bits that name an object for ever.
 *
 * Caveats first:
 *
 *   - A handle keeps nothing alive.  It reads as its object while that lives,
 *     and as nothing afterwards, for ever: no registration, no lock, no list.
 *   - What a thread may do with the object it reads depends on the cache's
 *     mode, which is chosen when it is created:
 *
 *	mode               a handle is used by             and the object
 *	CUBBY_WEAK_RCU     cubby_weak_get(), in a read      exists until the
 *	                   section: a borrow                section ends
 *	CUBBY_WEAK_STRONG  cubby_weak_upgrade(): a counted  exists until
 *	                   reference                        cubby_ref_put()
 *	CUBBY_WEAK_REUSE   cubby_weak_copy(): a copy that   may be freed and
 *	                   is checked afterwards            reused meanwhile
 *
 *     .is_strong = 1 adds cubby_weak_upgrade() to CUBBY_WEAK_RCU.  A call that
 *     the mode does not have is misuse (weak-mode).
 *   - Cubby opens no read section and registers no thread: the program does,
 *     with the liburcu flavour that it gave to the cache.  Its rules for
 *     threads that exit and for fork() are the program's duty.
 *   - In CUBBY_WEAK_RCU a handle that travels through memory without any
 *     ordering may read as nothing although its object lives; never the other
 *     way round.  epoll, io_uring, pipes, mutexes, and release with acquire all
 *     order it.
 *   - The object must not be written by one who only borrows it, unless the
 *     program orders that by itself.
 *
 * Shape of memory.  A handle is
 *
 *	63           33   32   31            0
 *	+--------------+-----+---------------+
 *	| generation   |  1  | cell          |   XOR the cache's key
 *	+--------------+-----+---------------+
 *
 * and every cell has a state word with its generation and a bit "taken", that a
 * handle of its present life was made: 4 bytes in an array beside the cells,
 * or, where objects are counted, 8 in front of the object, with the count.  An
 * object's death adds 1 to the generation if the bit is set, and clears it.  A
 * cell whose generation reaches the last one (2^31 - 1) is retired, not wrapped.
 *
 * Key: random, its bit 32 is 0, so no handle is 0.  A handle of another cache or
 * of another run of the program reads as nothing but for 1 in 2^32, and a
 * forged one as often as the forger guesses a generation: it may name another
 * object of this cache, and never touches memory outside of it.  The key hides
 * nothing from one who has seen a handle: give untrusted peers sealed ones.
 *
 * Order of death: the handle is dead for everyone; expiry callbacks, newest
 * first; the last reference is put, or a grace period passes; dtor; the cell is
 * free.  There is no way back.
 *
 * Threads: every function here is MT-safe.  Async-signal-safe are, where
 * liburcu allows a read section in a handler: get, upgrade, copy, is_live, free
 * and put (if the callbacks are), seal and unseal.
 *
 * Source: generations as in the handles of entity systems; type-stable memory
 * and grace periods as in P. McKenney and J. Slingwine, "Read-Copy Update",
 * 1998, and SLAB_TYPESAFE_BY_RCU of the Linux kernel; sheaves as in its
 * rcu_free sheaf (V. Babka, 2025).
 */
#ifndef CUBBY_WEAK_H
#define CUBBY_WEAK_H

#include <cubby/base.h>
#include <cubby/cache.h>
#include <cubby/layout.h>

CUBBY_BEGIN_DECLS

/* A weak handle; fits epoll_data_t, io_uring's user_data, a wire field. */
typedef uint64_t cubby_weak;

/* The handle of nothing. */
#define CUBBY_WEAK_NULL ((cubby_weak)0)

/* ------------------------------- declaration ----------------------------- */

/*
 * Declare a layout whose objects may have handles (as CUBBY_LAYOUT and
 * CUBBY_LAYOUT_OF), with typed wrappers:
 *
 *	cubby_weak tag_weak_of(struct cubby_cache *, const struct tag *);
 *	struct tag *tag_weak_get(struct cubby_cache *, cubby_weak);
 *	struct tag *tag_weak_upgrade(struct cubby_cache *, cubby_weak);
 *
 * A cache with a weak mode needs such a layout, or none.
 */
#define CUBBY_WEAK_LAYOUT(tag, SLOTS)                                         \
	CUBBY__LAYOUT_OPTIONS(tag, SLOTS, CUBBY_LAYOUT_WEAK)                  \
	CUBBY__WEAK_WRAPPERS(tag)                                             \
	struct tag

#define CUBBY_WEAK_LAYOUT_OF(tag, SLOTS)                                      \
	CUBBY__LAYOUT_OF_OPTIONS(tag, SLOTS, CUBBY_LAYOUT_WEAK)               \
	CUBBY__WEAK_WRAPPERS(tag)                                             \
	struct tag

/*
 * For cubby_cache_attr.rcu, after #include <urcu.h>, or with URCU_API_MAP
 * defined before <urcu/urcu-memb.h> (or another flavour's header): the flavour
 * that liburcu's short names stand for.  Else name it: &urcu_memb_flavor,
 * &urcu_qsbr_flavor ...
 */
#define CUBBY_RCU_FLAVOR (&rcu_flavor)

/* --------------------------------- handles ------------------------------- */

/*
 * Make the handle of an object, the same one every time.
 *
 * @object: live, and the caller's, who owns it or has a reference to it.  Who
 *	borrows it has its handle already; a walker, or one who found it by a
 *	published pointer, asks cubby_weak_known(): for the object may be freed
 *	at any moment, and a handle that is made of the dead would name whatever
 *	comes after it.  Debug builds report that when the cell is reused.
 *
 * Returns the handle.  CUBBY_WEAK_NULL for NULL, for an object that is dying
 * and exists only by references, and for what is no object of the cache, which
 * is misuse.  The first time for an object an atomic instruction, later a load.
 */
CUBBY_API CUBBY_MUST_USE cubby_weak cubby_weak_of(struct cubby_cache *cache,
						  const void *object);

/*
 * The handle of an object if one was made and it is alive, else
 * CUBBY_WEAK_NULL: for those who read it in a section without owning it.
 * Writes nothing.
 */
CUBBY_API CUBBY_MUST_USE cubby_weak cubby_weak_known(struct cubby_cache *cache,
						     const void *object);

/*
 * Borrow: the object, or NULL if it is dead or the handle is not one of this
 * cache's.  For CUBBY_WEAK_RCU.
 *
 * The caller is in a read section of the cache's flavour; the pointer is good
 * until its outermost end.  What was written to the object before its handle
 * was handed out is visible (acquire).
 * Cost: two loads and two compares, compiled into the program; writes nothing.
 */
CUBBY_API CUBBY_MUST_USE void *cubby_weak_get(struct cubby_cache *cache,
					      cubby_weak handle);

/*
 * 1 if the object lives now, else 0; any mode, any thread, no section.  The
 * answer may be old when it arrives.
 */
CUBBY_API CUBBY_MUST_USE int cubby_weak_is_live(struct cubby_cache *cache,
						cubby_weak handle);

/*
 * Free the object of a handle.
 *
 * Returns 0 to the one caller whose call ends its life, and -ESTALE to everyone
 * else, then and for ever (also where the object was freed by pointer): so many
 * threads may try.  Without a detail, as it is no error.
 *
 * Where objects are counted, the reference that alloc gave ends with it.
 */
CUBBY_API int cubby_weak_free(struct cubby_cache *cache, cubby_weak handle);

/* The same handle?  Handles of different caches are never the same object's. */
static inline int
cubby_weak_equal(cubby_weak a, cubby_weak b)
{
	return a == b;
}

/*
 * 64 well mixed bits, for hash tables.
 * Source: the finaliser of MurmurHash3, A. Appleby, public domain.
 */
static inline uint64_t
cubby_weak_hash(cubby_weak handle)
{
	handle ^= handle >> 33;
	handle *= 0xff51afd7ed558ccdull;
	handle ^= handle >> 33;
	handle *= 0xc4ceb9fe1a85ec53ull;
	return handle ^ handle >> 33;
}

/*
 * Seal a handle for a peer that is not trusted: a permutation of 64 bits under
 * a random key of the cache.  A forged sealed handle is a random handle: it
 * names some object with the probability (objects with handles) / 2^64.  NULL
 * stays NULL.  Unsealing any number gives a handle, which may be nobody's.
 *
 * Cost: some 30 ns to seal, 50 to unseal.
 * Source: Speck64/128, R. Beaulieu et al., 2013.
 */
CUBBY_API CUBBY_MUST_USE uint64_t cubby_weak_seal(struct cubby_cache *cache,
						  cubby_weak handle);
CUBBY_API CUBBY_MUST_USE cubby_weak
cubby_weak_unseal(struct cubby_cache *cache, uint64_t sealed);

/*
 * Print a handle: "truck#17.3" (name of the cache, cell, generation) if the
 * cache is given and the handle can be one of its, else raw, as it is:
 * "weak:0x0123456789abcdef"; NULL is "weak:0".
 *
 * Writes at most buffer_bytes with the NUL; returns the length without it,
 * which is less than CUBBY_WEAK_TEXT_BYTES_MAX, as snprintf(3).
 * Async-signal-safe.
 */
#define CUBBY_WEAK_TEXT_BYTES_MAX (CUBBY_NAME_BYTES_MAX + 24u)
CUBBY_API size_t cubby_weak_print(struct cubby_cache *cache, cubby_weak handle,
				  char *buffer, size_t buffer_bytes);

/* What cubby_weak_parse() has read. */
enum cubby_weak_form {
	CUBBY_WEAK_FORM_RAW = 0,    /* "weak:0x..." */
	CUBBY_WEAK_FORM_DECODED = 1 /* "name#cell.generation" */
};

/*
 * Read what cubby_weak_print() has printed, all of the text.
 *
 * @cache: may be NULL, and then a decoded one is refused.
 *
 * Returns an enum cubby_weak_form, or -EINVAL with a detail that says what is
 * wrong and where (another cache's name, a cell or generation out of range).
 * The handle may be dead.
 */
CUBBY_API CUBBY_MUST_USE int cubby_weak_parse(struct cubby_cache *cache,
					      const char *text,
					      cubby_weak *ret_handle);

/* ------------------------------- references ------------------------------ */

/*
 * Take a reference by a handle, for CUBBY_WEAK_STRONG, and CUBBY_WEAK_RCU with
 * is_strong: the object, which exists until cubby_ref_put(), or NULL if it is
 * dead.  No section is needed.
 * Cost: one compare-exchange; threads that take the same object wait for its
 * line.  At most 2^31 - 2 references; more are answered NULL.
 */
CUBBY_API CUBBY_MUST_USE void *cubby_weak_upgrade(struct cubby_cache *cache,
						  cubby_weak handle);

/*
 * One more, by one who has one: the object, dying or not, or NULL if it has as
 * many as there can be.
 */
CUBBY_API void *cubby_ref_get(struct cubby_cache *cache, void *object);

/*
 * Put a reference: NULL is a no-op.  Each object has one from alloc, which
 * cubby_free() or cubby_weak_free() ends together with its life; instead, where
 * nobody owns an object more than others do, it can be put as any other, and the
 * last put ends the life.  The last one of a dead object runs dtor: in
 * CUBBY_WEAK_STRONG on this thread, in CUBBY_WEAK_RCU after a grace period, on
 * the thread that reclaims.
 *
 * A put too many is found as a second free is: late, as double-free;
 * ref-underflow is reported only while the dead object waits or is held.
 */
CUBBY_API void cubby_ref_put(struct cubby_cache *cache, void *object);

/* --------------------------------- copies -------------------------------- */

/*
 * Copy bytes out of an object, any mode, no section: 0, or -ESTALE if it is
 * dead, or died meanwhile, and then `to` holds nothing of meaning.
 *
 * @offset_bytes, @n_bytes: of the object; -EINVAL beyond its end.
 * What its owner writes meanwhile, with atomic stores, may be torn between
 * words of 8 aligned bytes; within one it is not.  Writes nothing shared.
 * Source: sequence locks; H.-J. Boehm, "Can Seqlocks Get Along With Programming
 * Language Memory Models?", 2012.
 */
CUBBY_API CUBBY_MUST_USE int cubby_weak_copy(struct cubby_cache *cache,
					     cubby_weak handle, void *to,
					     size_t offset_bytes,
					     size_t n_bytes);

/* ------------------------------ grace periods ---------------------------- */

/*
 * Free an object that was published by pointer: as cubby_free(), but it always
 * waits for a grace period, as cubby_free() does for an object with a handle.
 * For every cache with a flavour, weak or not.
 */
CUBBY_API void cubby_free_rcu(struct cubby_cache *cache, void *object);

/*
 * Wait until what was freed before the call is destructed and free.  Must not be
 * called in a read section or from a callback of the cache; a thread that is
 * online in QSBR passes a quiescent state.
 *
 * Returns 0, also for a cache without a flavour, and while references still
 * hold objects, for which it does not wait; -EDEADLK in a read section (as
 * far as the flavour can tell: QSBR cannot) or in a callback of reclaiming;
 * -EBUSY if a thread has been stopped in the middle of an allocation or free.
 */
CUBBY_API int cubby_rcu_barrier(struct cubby_cache *cache);

/*
 * For CUBBY_RECLAIM_POLL: have a grace period begin if something waits, and
 * reclaim what has waited for one; never waits for it.  From an event loop, for all
 * caches that have the flavour and poll.  A thread of ours waits for the grace
 * periods, and calls nothing of the program's.
 *
 * Returns how many objects were reclaimed (runs dtor here), or -EINVAL for a
 * cache that reclaims otherwise.
 */
CUBBY_API int64_t cubby_rcu_poll(struct cubby_cache *cache);

/* ------------------------------- expiry ---------------------------------- */

/* A watch; a handle, so cancelling one that is gone is harmless. */
typedef uint64_t cubby_watch;

#define CUBBY_WATCH_FINALIZER (1ull << 0) /* also when its cache goes */

/*
 * Have `expired` called when the object of a handle dies, by whatever call, on
 * the thread that ends its life, outside of our locks: the handle is dead by
 * then, the object still whole.  Of several the newest is called first, and the
 * cache's own on_expire last.  Each exactly once, or never if it is cancelled.
 * cubby_cache_destroy_force() calls finalizers only, and not on_expire either.
 *
 * It must not free into or allocate from this cache, and a finalizer not use it
 * at all.
 *
 * Returns 0; -ESTALE if the object is dead; -ENOMEM; -EINVAL for a NULL
 * function, unknown flags or a cache without handles; with a detail.
 * Cost: 48 bytes a watch, 4 a cell of those that are watched; nothing in caches
 * where nothing is watched.
 */
CUBBY_API CUBBY_MUST_USE int cubby_weak_watch(struct cubby_cache *cache,
					      cubby_weak handle,
					      cubby_expire_fn expired,
					      void *context, uint64_t flags,
					      cubby_watch *ret_watch);

/*
 * Cancel: 0, and it will not be called; or -ESTALE if it was called, is being
 * called or was cancelled.
 */
CUBBY_API int cubby_weak_unwatch(struct cubby_cache *cache, cubby_watch watch);

/* ------------------------------- weak slots ------------------------------ */

/*
 * A slot of a layout that refers weakly to an object (struct cubby_weak_slot,
 * in cubby/layout.h): 8 bytes, 0 is empty.  Copying an object copies it.  Set,
 * get, clear and copy may run at once with each other, and with the sweep.
 */

/* Refer to the object of a handle, or to nothing if it is CUBBY_WEAK_NULL. */
CUBBY_API void cubby_weak_slot_set(struct cubby_weak_slot *slot,
				   cubby_weak handle);
CUBBY_API void cubby_weak_slot_clear(struct cubby_weak_slot *slot);
CUBBY_API void cubby_weak_slot_copy(struct cubby_weak_slot *to,
				    const struct cubby_weak_slot *from);

/* The handle in it, for the calls above. */
CUBBY_API CUBBY_MUST_USE cubby_weak
cubby_weak_slot_handle(const struct cubby_weak_slot *slot);

/*
 * As cubby_weak_get() and cubby_weak_upgrade() of its handle; a slot that is
 * found expired is cleared, unless it was set anew meanwhile.
 */
CUBBY_API CUBBY_MUST_USE void *
cubby_weak_slot_get(struct cubby_weak_slot *slot, struct cubby_cache *target);
CUBBY_API CUBBY_MUST_USE void *
cubby_weak_slot_upgrade(struct cubby_weak_slot *slot,
			struct cubby_cache *target);

/*
 * Clear a slot in all live objects of a cache where its target is dead.
 *
 * @slot: a weak slot of the cache's layout (cubby_layout_find_slot()).
 * @target: the cache whose objects it refers to.
 * @ret_n_cleared: may be NULL.
 *
 * The cache's objects must not be freed meanwhile, unless it has a flavour and
 * the caller is in a read section; one that is allocated meanwhile may be swept
 * before it is filled in.
 * Returns 0; -EINVAL, with a detail; or as cubby_walk_create().
 */
CUBBY_API CUBBY_MUST_USE int cubby_weak_sweep(struct cubby_cache *cache,
					      const struct cubby_slot *slot,
					      struct cubby_cache *target,
					      uint64_t *ret_n_cleared);

CUBBY_END_DECLS

#include <cubby/inline/weak.h>

/* Only calls; the functions' addresses stay those of the library. */
#if defined(CUBBY_DEBUG) || defined(CUBBY_NO_WEAK_INLINE) ||                  \
	defined(__SANITIZE_THREAD__)
#define CUBBY__WEAK_CALLS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CUBBY__WEAK_CALLS 1
#endif
#endif
#ifndef CUBBY__WEAK_CALLS
#define cubby_weak_get(...) cubby__weak_get_inline(__VA_ARGS__)
#define cubby_weak_upgrade(...) cubby__weak_upgrade_inline(__VA_ARGS__)
#define cubby_ref_put(...) cubby__ref_put_inline(__VA_ARGS__)
#endif

/* clang-format off */
#define CUBBY__WEAK_WRAPPERS(tag)                                             \
	__attribute__((unused)) CUBBY_MUST_USE static inline cubby_weak       \
	tag##_weak_of(struct cubby_cache *cache, const struct tag *object)    \
	{                                                                     \
		return cubby_weak_of(cache, object);                          \
	}                                                                     \
	__attribute__((unused)) CUBBY_MUST_USE static inline struct tag *     \
	tag##_weak_get(struct cubby_cache *cache, cubby_weak handle)          \
	{                                                                     \
		return (struct tag *)cubby_weak_get(cache, handle);           \
	}                                                                     \
	__attribute__((unused)) CUBBY_MUST_USE static inline struct tag *     \
	tag##_weak_upgrade(struct cubby_cache *cache, cubby_weak handle)      \
	{                                                                     \
		return (struct tag *)cubby_weak_upgrade(cache, handle);       \
	}
/* clang-format on */

#endif /* CUBBY_WEAK_H */
