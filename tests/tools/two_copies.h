/* SPDX-License-Identifier: MIT */
/* One copy of the library, as a table: so the same checks serve either. */
#ifndef TWO_COPIES_H
#define TWO_COPIES_H

#include <cubby/cubby.h>

struct copy {
	int (*create)(struct cubby_cache **, const char *, size_t, size_t,
		      const struct cubby_cache_attr *);
	int (*destroy)(struct cubby_cache *);
	struct cubby_cache *(*find)(const char *);
	struct cubby_cache *(*of)(const void *);
	int (*for_each)(cubby_cache_fn, void *);
	void *(*alloc)(struct cubby_cache *);
	void (*free)(struct cubby_cache *, void *);
	void (*free_any)(void *);
	size_t (*verify)(struct cubby_cache *);
	int (*walk)(struct cubby_walk **, struct cubby_cache *);
	const char *(*detail)(void);
	uint64_t (*misuse_count)(void);
};

/* What the file that includes this is linked with. */
#define THIS_COPY                                                             \
	{                                                                     \
		cubby_cache_create_sized, cubby_cache_destroy,                \
			cubby_cache_find, cubby_cache_of,                     \
			cubby_cache_for_each, cubby_alloc, cubby_free,        \
			cubby_free_any, cubby_cache_verify,                   \
			cubby_walk_create, cubby_error_detail,                \
			cubby_misuse_count                                    \
	}

/* The only symbol of the plugin. */
__attribute__((visibility("default"))) const struct copy *plugin_copy(void);

#endif /* TWO_COPIES_H */
