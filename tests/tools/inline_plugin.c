/* SPDX-License-Identifier: MIT */
/* Inline code that inline_host loads and unloads. */
#ifdef WITHOUT_PIN
/* What would be if the header did not see to it. */
#include <cubby/inline/abi.h>
#define cubby__inline_pin(address) ((void)(address))
#endif
#include <cubby/cubby.h>

struct cubby_cache *plugin_create(void);
void plugin_run(struct cubby_cache *cache);

struct cubby_cache *
plugin_create(void)
{
	struct cubby_cache *cache = NULL;

	return cubby_cache_create_sized(&cache, "plugin", 24, 0, NULL) == 0 ?
		       cache :
		       NULL;
}

/* The last that the thread does is a sequence of this object. */
void
plugin_run(struct cubby_cache *cache)
{
	for (int i = 0; i < 1000; i++) {
		void *object = cubby_alloc(cache);

		if (object == NULL)
			__builtin_trap();
		cubby_free(cache, object);
	}
}
