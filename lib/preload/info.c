/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: info - what malloc() tells of itself, and what it can be told
 *
 * mallinfo(), malloc_info(), malloc_stats(), mallopt() and malloc_trim() of
 * glibc; and the start and end of the shim.
 */
#include "malloc.h"

#include "bits.h"
#include "boot.h"
#include "class.h"
#include "extent.h"
#include "foreign.h"
#include "fork.h"
#include "granule.h"
#include "os.h"
#include "setting.h"
#include "text.h"

#include <cubby/stats.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/* ---------------------------------- numbers ------------------------------- */

struct totals {
	uint64_t n_live, live_bytes;
	uint64_t idle_bytes;     /* free, with pages */
	uint64_t returned_bytes; /* free, without */
	uint64_t resident_bytes;
	struct extent_stats extents;
};

static bool
snapshot(unsigned number, struct cubby_cache_stats *ret_stats)
{
	struct cubby_cache *cache = class_cache(number);

	ret_stats->stats_bytes = sizeof(*ret_stats);
	return cache != NULL &&
	       cubby_cache_stats_snapshot(cache, ret_stats) == 0;
}

static uint64_t
idle_bytes(const struct cubby_cache_stats *stats)
{
	return (stats->n_free + stats->n_idle_in_blocks +
		stats->n_idle_in_depot + stats->n_quarantined) *
	       stats->cell_bytes;
}

static void
sum(struct totals *ret_totals)
{
	struct cubby_cache_stats stats;

	*ret_totals = (struct totals){ 0 };
	for (unsigned number = 0; number < N_CLASSES; number++) {
		if (!snapshot(number, &stats))
			continue;
		ret_totals->n_live += stats.n_live;
		ret_totals->live_bytes += stats.n_live * stats.cell_bytes;
		ret_totals->idle_bytes += idle_bytes(&stats);
		ret_totals->returned_bytes += stats.n_returned *
					      stats.cell_bytes;
		ret_totals->resident_bytes += stats.resident_bytes;
	}
	cubby__extent_snapshot(&ret_totals->extents);
}

EXPORT struct mallinfo2
mallinfo2(void)
{
	struct totals totals;
	const struct extent_stats *extents = &totals.extents;

	sum(&totals);
	return (struct mallinfo2){
		.arena = totals.live_bytes + totals.idle_bytes +
			 totals.returned_bytes,
		.ordblks = 1,
		.hblks = extents->n_blocks,
		.hblkhd = extents->live_bytes,
		.uordblks = totals.live_bytes + extents->live_bytes,
		.fordblks = totals.idle_bytes + totals.returned_bytes +
			    extents->dirty_bytes,
		.keepcost = totals.idle_bytes + extents->dirty_bytes,
	};
}

/* As in glibc, numbers beyond an int are cut. */
EXPORT struct mallinfo
mallinfo(void)
{
	struct mallinfo2 all = mallinfo2();

	return (struct mallinfo){
		.arena = (int)all.arena,
		.ordblks = (int)all.ordblks,
		.hblks = (int)all.hblks,
		.hblkhd = (int)all.hblkhd,
		.uordblks = (int)all.uordblks,
		.fordblks = (int)all.fordblks,
		.keepcost = (int)all.keepcost,
	};
}

/* --------------------------------- the table ------------------------------ */

/* A number, to the right of a column. */
static void
put_number(struct text *line, uint64_t number, size_t width)
{
	char buffer[24];
	struct text digits;

	cubby__text_init(&digits, buffer, sizeof(buffer));
	cubby__text_printf(&digits, "%zu", (size_t)number);
	for (size_t i = digits.used_bytes; i < width; i++)
		cubby__text_printf(line, " ");
	cubby__text_printf(line, "%s", buffer);
}

static void
write_row(const char *name, const uint64_t *numbers, size_t n)
{
	char buffer[160];
	struct text line;

	cubby__text_init(&line, buffer, sizeof(buffer));
	cubby__text_printf(&line, "%s", name);
	while (line.used_bytes < 8)
		cubby__text_printf(&line, " ");
	for (size_t i = 0; i < n; i++)
		put_number(&line, numbers[i], 13);
	cubby__text_printf(&line, "\n");
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

static void
write_class(unsigned number)
{
	struct cubby_cache_stats stats;
	char buffer[24];
	struct text name;
	uint64_t numbers[5];

	if (!snapshot(number, &stats))
		return;
	cubby__text_init(&name, buffer, sizeof(buffer));
	cubby__text_printf(&name, "%zu", class_bytes(number));
	numbers[0] = stats.n_live;
	numbers[1] = stats.n_live * stats.cell_bytes;
	numbers[2] = idle_bytes(&stats);
	numbers[3] = stats.n_returned * stats.cell_bytes;
	numbers[4] = stats.resident_bytes;
	write_row(buffer, numbers, ARRAY_SIZE(numbers));
}

static const char title[] =
	"malloc: what is live, free with pages (idle) and without (returned)\n"
	"class          blocks   live bytes         idle     returned"
	"     resident\n";

EXPORT void
malloc_stats(void)
{
	struct totals totals;
	const struct extent_stats *extents = &totals.extents;
	int saved_errno = errno;

	cubby__os_write(STDERR_FILENO, title, sizeof(title) - 1);
	for (unsigned number = 0; number < N_CLASSES; number++)
		write_class(number);
	sum(&totals);
	write_row("pages",
		  (uint64_t[]){ extents->n_blocks, extents->live_bytes,
				extents->dirty_bytes, extents->clean_bytes,
				extents->live_bytes + extents->dirty_bytes },
		  5);
	write_row("all",
		  (uint64_t[]){ totals.n_live + extents->n_blocks,
				totals.live_bytes + extents->live_bytes,
				totals.idle_bytes + extents->dirty_bytes,
				totals.returned_bytes + extents->clean_bytes,
				totals.resident_bytes + extents->live_bytes +
					extents->dirty_bytes },
		  5);
	if (cubby__foreign_count() != 0)
		write_row("foreign", (uint64_t[]){ cubby__foreign_count() },
			  1);
	errno = saved_errno;
}

static void
print_class(FILE *file, unsigned number)
{
	struct cubby_cache_stats stats;

	if (!snapshot(number, &stats))
		return;
	fprintf(file,
		"<class bytes=\"%zu\" live=\"%zu\" idle=\"%zu\" "
		"returned=\"%zu\" resident=\"%zu\"/>\n",
		class_bytes(number), (size_t)stats.n_live,
		(size_t)(idle_bytes(&stats) / stats.cell_bytes),
		(size_t)stats.n_returned, (size_t)stats.resident_bytes);
}

EXPORT int
malloc_info(int options, FILE *file)
{
	struct totals totals;

	if (options != 0)
		return EINVAL;
	fprintf(file, "<malloc version=\"cubby-1\">\n");
	for (unsigned number = 0; number < N_CLASSES; number++)
		print_class(file, number);
	sum(&totals);
	fprintf(file,
		"<pages blocks=\"%zu\" live=\"%zu\" dirty=\"%zu\" "
		"clean=\"%zu\"/>\n",
		(size_t)totals.extents.n_blocks,
		(size_t)totals.extents.live_bytes,
		(size_t)totals.extents.dirty_bytes,
		(size_t)totals.extents.clean_bytes);
	fprintf(file,
		"<total live=\"%zu\" idle=\"%zu\" returned=\"%zu\" "
		"foreign=\"%zu\"/>\n</malloc>\n",
		(size_t)(totals.live_bytes + totals.extents.live_bytes),
		(size_t)(totals.idle_bytes + totals.extents.dirty_bytes),
		(size_t)(totals.returned_bytes + totals.extents.clean_bytes),
		(size_t)cubby__foreign_count());
	return 0;
}

/* ---------------------------------- orders -------------------------------- */

/* So long after a search for idle memory that found none there is no other. */
#define FRUITLESS_NS (NS_PER_S / 200)

static uint64_t
trim(void)
{
	uint64_t bytes = 0;

	(void)cubby_shrink_all(&bytes);
	return bytes + cubby__extent_trim();
}

EXPORT int
malloc_trim(size_t pad_bytes UNUSED)
{
	int saved_errno = errno;
	bool any = trim() != 0;

	errno = saved_errno;
	return any;
}

bool
cubby__malloc_spare_memory(size_t bytes)
{
	static uint64_t not_before_ns;
	static bool is_busy;
	int saved_errno = errno;
	uint64_t now_ns = cubby__os_now_ns();
	bool any;

	if (bytes > cubby__granule_budget_bytes() ||
	    now_ns < __atomic_load_n(&not_before_ns, __ATOMIC_RELAXED) ||
	    __atomic_exchange_n(&is_busy, true, __ATOMIC_ACQUIRE))
		return false;
	any = trim() != 0;
	/* All threads of a program that is at its limit come here each time. */
	__atomic_store_n(&not_before_ns,
			 cubby__os_now_ns() + (any ? 0 : FRUITLESS_NS),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&is_busy, false, __ATOMIC_RELEASE);
	errno = saved_errno;
	return any;
}

/* glibc's parameters are understood, and have no meaning here. */
EXPORT int
mallopt(int parameter, int value UNUSED)
{
	switch (parameter) {
	case M_MXFAST:
	case M_TRIM_THRESHOLD:
	case M_TOP_PAD:
	case M_MMAP_THRESHOLD:
	case M_MMAP_MAX:
	case M_CHECK_ACTION:
	case M_PERTURB:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}

/* ------------------------------ start and end ----------------------------- */

/* Who registers first prepares last: see fork.c. */
__attribute__((constructor(101))) static void
begin(void)
{
	cubby__boot_begin();
	cubby__fork_install();
	cubby__boot_end();
	cubby__setting_read();
}

__attribute__((destructor)) static void
end(void)
{
	if (cubby__setting_stats)
		malloc_stats();
}
