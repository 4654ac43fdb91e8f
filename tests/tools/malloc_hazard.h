/* SPDX-License-Identifier: MIT */
/* What malloc_hazard_library.c shows the programs that are linked to it. */
#ifndef MALLOC_HAZARD_H
#define MALLOC_HAZARD_H

#include <pthread.h>

struct hazard_early {
	char *block;             /* freed by the library's destructor */
	pthread_key_t key;       /* made before any of the program's */
	int n_prepared, n_after; /* handlers of fork() that were called */
};

extern struct hazard_early hazard_early;

int hazard_work(void);

#endif
