/* SPDX-License-Identifier: MIT */
/*
 * malloc_dlopen PLUGIN FUNCTION [N [deep]]: load PLUGIN, call its int
 * FUNCTION(void), unload it; N times.  With `deep`, by RTLD_DEEPBIND.
 */
#include "malloc_check.h"

int
main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[3]) : 1;
	int flags = RTLD_NOW | RTLD_LOCAL | (argc > 4 ? RTLD_DEEPBIND : 0);
	int (*function)(void);
	int status = 0;

	if (argc < 3)
		return 2;
	for (int i = 0; i < n && status == 0; i++) {
		void *plugin = dlopen(argv[1], flags);
		char *text = strdup("between");

		if (plugin == NULL) {
			fprintf(stderr, "%s\n", dlerror());
			return 2;
		}
		*(void **)&function = dlsym(plugin, argv[2]);
		if (function == NULL)
			return 2;
		status = function();
		dlclose(plugin);
		free(text);
	}
	return status;
}
