/* SPDX-License-Identifier: MIT */
/*
 * What the tests of watched caches share: all sorts of caches, and reports, which
 * are counted as the kernel's tests of its own allocator do.
 */
#ifndef WITH_WATCH_H
#define WITH_WATCH_H

#include "unit/fake_flavor.h"
#include "unit/with_cache.h"

#include "support/oracle.h"

#include <fcntl.h>
#include <pthread.h>

#define N_OBJECTS 300
#define OBJECT_BYTES 40
#define FZPU                                                                  \
	(CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE | CUBBY_DEBUG_POISON |     \
	 CUBBY_DEBUG_USER)
#define FZP (FZPU & ~CUBBY_DEBUG_USER)

/* --------------------------------- reports ------------------------------- */

static uint32_t last_code;
static char last_text[1024];
static uint64_t n_before;

static inline void
keep_report(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	last_code = misuse->code;
	snprintf(last_text, sizeof(last_text), "%s", misuse->text);
}

/* Since the last call. */
static inline uint64_t
n_reports(void)
{
	uint64_t n = cubby_misuse_count() - n_before;

	n_before += n;
	return n;
}

#define assert_reported(code)                                                 \
	do {                                                                  \
		assert_int_equal(n_reports(), 1);                             \
		assert_int_equal(last_code, code);                            \
	} while (0)
#define assert_no_report() assert_int_equal(n_reports(), 0)

/* ---------------------------------- caches ------------------------------- */

static struct cubby_cache *cache;
static unsigned n_ctor, n_dtor;

static inline int
count_ctor(void *object, void *context)
{
	(void)context;
	memset(object, 0x77, 8);
	__atomic_add_fetch(&n_ctor, 1, __ATOMIC_RELAXED);
	return 0;
}

static inline void
count_dtor(void *object, void *context)
{
	(void)object, (void)context;
	__atomic_add_fetch(&n_dtor, 1, __ATOMIC_RELAXED);
}

static inline int
init_it(void *object, void *context)
{
	(void)context;
	memset(object, 0x33, OBJECT_BYTES);
	return 0;
}

struct sort {
	const char *name;
	struct cubby_cache_attr attr;
	bool keeps_bytes; /* no poison */
};

#define SORT(name, keeps, ...)                                                \
	{                                                                     \
		name,                                                         \
			{ .attr_bytes = sizeof(struct cubby_cache_attr),      \
			  ##__VA_ARGS__ },                                    \
			keeps                                                 \
	}

static const struct sort sorts[] = {
	SORT("plain", false),
	SORT("direct", false, .flags = CUBBY_CACHE_NO_MAGAZINES),
	SORT("called", false, .ctor = count_ctor, .dtor = count_dtor),
	SORT("called_direct", false, .ctor = count_ctor, .dtor = count_dtor,
	     .flags = CUBBY_CACHE_NO_MAGAZINES),
	SORT("init", true, .init = init_it),
	SORT("strong", false, .weak = CUBBY_WEAK_STRONG),
	SORT("reuse", true, .weak = CUBBY_WEAK_REUSE, .dtor = count_dtor),
	SORT("rcu", false, .weak = CUBBY_WEAK_RCU, .rcu = &fake_flavor,
	     .reclaim = CUBBY_RECLAIM_POLL),
	SORT("rcu_direct", false, .weak = CUBBY_WEAK_RCU, .rcu = &fake_flavor,
	     .reclaim = CUBBY_RECLAIM_POLL, .flags = CUBBY_CACHE_NO_MAGAZINES),
	SORT("rcu_strong_called", false, .weak = CUBBY_WEAK_RCU,
	     .is_strong = 1, .rcu = &fake_flavor,
	     .reclaim = CUBBY_RECLAIM_POLL, .dtor = count_dtor),
	SORT("rcu_called_direct", false, .rcu = &fake_flavor,
	     .reclaim = CUBBY_RECLAIM_POLL, .dtor = count_dtor,
	     .flags = CUBBY_CACHE_NO_MAGAZINES),
};

#define N_SORTS (sizeof(sorts) / sizeof(sorts[0]))

static inline void
begin(const struct sort *sort, uint64_t debug, uint64_t quarantine_bytes)
{
	struct cubby_cache_attr attr = sort->attr;

	fake_begin(0);
	n_ctor = n_dtor = 0;
	attr.debug = debug;
	attr.quarantine_bytes = quarantine_bytes;
	cache = make_cache_named("conn", OBJECT_BYTES, &attr);
	n_reports();
}

/* Nothing waits any more, and nothing is damaged. */
static inline void
end(void)
{
	assert_ok(cubby_rcu_barrier(cache));
	assert_int_equal(cubby_cache_validate(cache), 0);
	stats_of(cache);
	drop_cache(cache);
	assert_no_report();
}

/* Dead and waited for, so that its cell is free. */
static inline void
free_now(void *object)
{
	cubby_free(cache, object);
	assert_ok(cubby_rcu_barrier(cache));
}

#define IN_SORTS(function)                                                    \
	for (size_t i = 0; i < N_SORTS; i++) {                                \
		snprintf(names[n], sizeof(names[n]), "%s_%s", #function,      \
			 sorts[i].name);                                      \
		tests[n] = (struct CMUnitTest){ names[n], function, NULL,     \
						NULL, (void *)&sorts[i] };    \
		n++;                                                          \
	}
#define ONCE(function)                                                        \
	tests[n++] = (struct CMUnitTest)                                      \
	{                                                                     \
#function, function, NULL, NULL, (void *)&sorts[0]            \
	}

#endif /* WITH_WATCH_H */
