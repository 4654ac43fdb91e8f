/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: pin - objects with inline sequences stay where they are
 *
 * A thread's rseq area holds the address of the descriptor of the sequence that
 * it ran last, until the kernel looks at it.  If the plugin that contains the
 * descriptor was unloaded meanwhile, the kernel kills the process.  So whoever
 * was compiled with CUBBY_INLINE calls this from a constructor, and so does the
 * library for itself (percpu.c): it may be linked into a plugin.  (musl unloads
 * nothing.)
 */
#include "compiler.h"

#include <cubby/inline/abi.h>

#ifdef __GLIBC__
#include <dlfcn.h>
#include <link.h>

/*
 * A static executable has none of these, and unloads nothing.  dlopen() is asked
 * for by name, for its linker warns of who names it.
 */
extern __typeof__(dladdr1) dladdr1 WEAK_SYMBOL;
extern __typeof__(dlsym) dlsym WEAK_SYMBOL;

static void
pin(const void *address)
{
	struct link_map *object = NULL;
	void *(*open_object)(const char *name, int mode) = NULL;
	Dl_info info;

	if (dladdr1 == NULL || dlsym == NULL ||
	    dladdr1(address, &info, (void **)&object, RTLD_DL_LINKMAP) == 0 ||
	    object == NULL)
		return;
	/* The executable has no name. */
	if (object->l_name == NULL || object->l_name[0] == '\0')
		return;
	*(void **)&open_object = dlsym(RTLD_DEFAULT, "dlopen");
	if (open_object != NULL)
		open_object(object->l_name,
			    RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
#else
static void
pin(const void *address UNUSED)
{
}
#endif

void
cubby__inline_pin(const void *address)
{
	pin(address);
}
