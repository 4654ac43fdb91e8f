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
 * A static executable has none of these, and unloads nothing.  The version is
 * named so that its linker does not find a dlopen() to warn of.
 */
extern __typeof__(dladdr1) dladdr1 WEAK_SYMBOL;
#if __GLIBC_PREREQ(2, 34)
extern __typeof__(dlopen) open_object WEAK_SYMBOL;
__asm__(".symver open_object, dlopen@GLIBC_2.34");
#else
extern __typeof__(dlopen) open_object WEAK_SYMBOL __asm__("dlopen");
#endif

static void
pin(const void *address)
{
	struct link_map *object = NULL;
	Dl_info info;

	if (dladdr1 == NULL || open_object == NULL ||
	    dladdr1(address, &info, (void **)&object, RTLD_DL_LINKMAP) == 0 ||
	    object == NULL)
		return;
	/* The executable has no name. */
	if (object->l_name != NULL && object->l_name[0] != '\0')
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
