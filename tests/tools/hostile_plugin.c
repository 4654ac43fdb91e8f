/* SPDX-License-Identifier: MIT */
/* What hostile_dlopen loads and unloads: a user of the shared library. */
#include <cubby/cubby.h>

#include <string.h>

int plugin_run(void);

/* Use the library, fail once so that it keeps something for this thread. */
int
plugin_run(void)
{
	struct cubby_cache *cache;
	void *objects[300];

	if (cubby_cache_create_sized(&cache, "", 8, 0, NULL) == 0 ||
	    strstr(cubby_error_detail(), "empty") == NULL)
		return 1;
	if (cubby_cache_create_sized(&cache, "plugin", 24, 0, NULL) != 0)
		return 2;
	if (cubby_alloc_bulk(cache, 300, objects) != 0)
		return 3;
	cubby_free_bulk(cache, 300, objects);
	return cubby_cache_verify(cache) != 0 ||
	       cubby_cache_destroy(cache) != 0;
}
