/* SPDX-License-Identifier: MIT */
/* LAYER 8: setting - CUBBY_MALLOC, the one environment variable of all this */
#ifndef CUBBY__SETTING_H
#define CUBBY__SETTING_H

#include "compiler.h"

/* "foreign=": what follows a pointer that is no block of ours. */
enum setting_foreign {
	FOREIGN_IGNORE,
	FOREIGN_REPORT,
	FOREIGN_ABORT,
	FOREIGN_UNSET
};

extern uint64_t cubby__setting_foreign __attribute__((visibility("hidden")));

/* "zero": freed blocks are cleared. */
extern uint64_t cubby__setting_zero __attribute__((visibility("hidden")));

/* "checked": sizes that are passed to free are compared. */
extern uint64_t cubby__setting_checked __attribute__((visibility("hidden")));

/* "stats": the table at exit. */
extern uint64_t cubby__setting_stats __attribute__((visibility("hidden")));

/* "keep=": freed large blocks that keep their pages; UINT64_MAX: by use. */
extern uint64_t cubby__setting_keep_bytes
	__attribute__((visibility("hidden")));

/*
 * The first call reads the environment; before it all are at their defaults.
 * What another preloaded library allocates meanwhile is from the boot arena.
 */
void cubby__setting_read(void);

#endif /* CUBBY__SETTING_H */
