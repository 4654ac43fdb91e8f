/* SPDX-License-Identifier: MIT */
/* LAYER 8: foreign - pointers that are no blocks of this malloc */
#include "foreign.h"

#include "class.h"
#include "malloc.h"
#include "report.h"
#include "setting.h"

#include <errno.h>

MISUSE_ROW(CUBBY_MISUSE_WRONG_SIZE, "wrong-size",
	   "pass the size that it was allocated with");

static uint64_t n_foreign;

uint64_t
cubby__foreign_count(void)
{
	return __atomic_load_n(&n_foreign, __ATOMIC_RELAXED);
}

static uint64_t
policy(void)
{
	if (cubby__setting_foreign != FOREIGN_UNSET)
		return cubby__setting_foreign;
	return cubby__setting_checked ? FOREIGN_ABORT : FOREIGN_IGNORE;
}

void
cubby__foreign_found(const char *call, const void *block)
{
	struct report report;

	__atomic_fetch_add(&n_foreign, 1, __ATOMIC_RELAXED);
	cubby__setting_read();
	if (policy() == FOREIGN_IGNORE)
		return;
	cubby__report_open(&report, CUBBY_MISUSE_FOREIGN_FREE, NULL, block,
			   "%s() of %p, which is no block of this malloc",
			   call, block);
	cubby__report_close(&report, policy() == FOREIGN_ABORT);
}

void
cubby__foreign_report_extent(enum extent_answer answer, const void *block)
{
	if (likely(answer == EXTENT_BLOCK))
		return;
	if (answer == EXTENT_INTERIOR)
		cubby__report_misuse(CUBBY_MISUSE_INTERIOR_FREE, NULL, block,
				     "%p is inside of a large block, or was",
				     block);
	else if (answer == EXTENT_FREE)
		cubby__report_misuse(CUBBY_MISUSE_DOUBLE_FREE, NULL, block,
				     "large block %p is already free", block);
	else
		cubby__report_misuse(CUBBY_MISUSE_DOUBLE_FREE, NULL, block,
				     "%p is in no large block that is live",
				     block);
}

/* An aligned block's class may be any larger one, and realloc() leaves some. */
bool
cubby__foreign_check_size(const void *block, size_t bytes, size_t align_bytes)
{
	size_t usable_bytes = cubby__malloc_usable_bytes(block);
	size_t least = bytes <= CLASS_BYTES_MAX ?
			       class_bytes(class_of(bytes)) :
			       bytes;

	if (usable_bytes == 0 || usable_bytes == least ||
	    (usable_bytes > least &&
	     (align_bytes != 0 || bytes > CLASS_BYTES_MAX ||
	      cubby__malloc_stays(usable_bytes, bytes))))
		return true;
	cubby__report_misuse(CUBBY_MISUSE_WRONG_SIZE, NULL, block,
			     "%p, a block of %zu bytes, is freed as one of "
			     "%zu",
			     block, usable_bytes, bytes);
	return false;
}
