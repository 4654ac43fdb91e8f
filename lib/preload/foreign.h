/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: foreign - pointers that are no blocks of this malloc
 *
 * A program may free what another malloc made: the loader's, before this one was
 * there; a plugin's that was loaded with RTLD_DEEPBIND; its own.  The tables of
 * address space tell all of these.  "foreign=" says what follows: nothing, a
 * report, or a report and abort(); they are counted in any case.
 */
#ifndef CUBBY__FOREIGN_H
#define CUBBY__FOREIGN_H

#include "compiler.h"
#include "extent.h"

/* @call: what it was passed to. */
void cubby__foreign_found(const char *call, const void *block) COLD;

/* What cubby__extent_free() found: all but BLOCK is a misuse. */
void cubby__foreign_report_extent(enum extent_answer answer,
				  const void *block);

/* Could a block of so many bytes be this one?  Otherwise it is reported. */
bool cubby__foreign_check_size(const void *block, size_t bytes,
			       size_t align_bytes) COLD;

uint64_t cubby__foreign_count(void);

#endif /* CUBBY__FOREIGN_H */
