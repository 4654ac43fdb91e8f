/* SPDX-License-Identifier: MIT */
/* What may happen to a cache at any moment, and must be true; see oracle.h. */
#include "oracle.h"
#include "sums.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whom the meddler's own objects belong to. */
#define MEDDLER_OWNER 65535

/* Answers -EBUSY that a few threads may cause on a crowded machine. */
#define N_BUSY_MAX 3

static void
contradict(struct oracle *oracle, const void *object, const char *what)
{
	oracle_fault(oracle, ORACLE_CONTRADICTED, object, what);
}

static void
note_busy(struct oracle *oracle)
{
	if (__atomic_add_fetch(&oracle->n_busy, 1, __ATOMIC_RELAXED) >=
		    N_BUSY_MAX &&
	    !oracle->may_be_busy)
		contradict(oracle, NULL, cubby_error_detail());
}

/* Was it -EBUSY?  Anything else but 0 is a fault. */
static bool
was_busy(struct oracle *oracle, int err)
{
	if (err == -EBUSY)
		note_busy(oracle);
	else if (err != 0)
		contradict(oracle, NULL, cubby_error_detail());
	return err == -EBUSY;
}

/* ---------------------------------- walks -------------------------------- */

#define SUSPECTS_MAX 4096

/*
 * A walk is compared with two copies of the table, from before and after.
 *
 * It may also have visited objects that a call had just taken and not returned
 * when it began: the table does not know those yet.  Such suspects are no more
 * than there are calls in progress, counted in the moment of the judgement.
 */
struct census {
	struct oracle *oracle;
	uint64_t n_before; /* entries */
	uint64_t *before;  /* their tickets */
	unsigned char *n_visits;
	uint64_t n_suspects;
	const void *suspects[SUSPECTS_MAX];
};

#define CENSUS_ENTRIES ((uint64_t)1 << 20)
#define CENSUS_BYTES                                                          \
	(sizeof(struct census) + CENSUS_ENTRIES * (sizeof(uint64_t) + 1))

static struct census *
take_census(struct oracle *oracle)
{
	struct census *census = test_map(CENSUS_BYTES);
	const void *object;

	census->oracle = oracle;
	census->n_before = oracle_n_entries(oracle);
	census->before = (uint64_t *)(census + 1);
	census->n_visits = (unsigned char *)(census->before + CENSUS_ENTRIES);
	for (uint64_t i = 0; i < census->n_before; i++)
		census->before[i] = oracle_ticket(oracle, i, &object);
	return census;
}

static void
suspect(struct census *census, const void *object)
{
	if (census->n_suspects < SUSPECTS_MAX)
		census->suspects[census->n_suspects++] = object;
}

static void
visit(struct census *census, const void *object)
{
	uint64_t entry = oracle_entry_of(census->oracle, object);

	if (oracle_plant_strikes(census->oracle, ORACLE_PLANT_BLIND))
		return;
	if (entry == ORACLE_NO_ENTRY)
		suspect(census, object);
	else if (census->n_visits[entry]++ != 0)
		contradict(census->oracle, object, "visited twice");
}

/* Is the object one of which the table still says that nobody has it? */
static bool
is_unexplained(const struct census *census, const void *object)
{
	uint64_t entry = oracle_entry_of(census->oracle, object);
	uint64_t ticket;

	if (entry == ORACLE_NO_ENTRY)
		return true;
	ticket = oracle_ticket(census->oracle, entry, &object);
	if (oracle_state(ticket) == ORACLE_OWNED)
		return false;
	return entry >= census->n_before ? ticket == 0 :
					   ticket == census->before[entry];
}

static void
judge_suspects(struct census *census)
{
	uint64_t n_ended = oracle_n_ended(census->oracle);
	uint64_t n_unexplained = 0;
	const void *last = NULL;

	for (uint64_t i = 0; i < census->n_suspects; i++)
		if (is_unexplained(census, census->suspects[i])) {
			n_unexplained++;
			last = census->suspects[i];
		}
	if (n_unexplained > oracle_n_begun(census->oracle) - n_ended)
		contradict(census->oracle, last, "visited, but it is idle");
}

static void
judge(struct census *census)
{
	for (uint64_t i = 0; i < census->n_before; i++) {
		const void *object;
		uint64_t ticket = oracle_ticket(census->oracle, i, &object);

		if (ticket != census->before[i])
			continue;
		if (oracle_state(ticket) == ORACLE_OWNED &&
		    census->n_visits[i] == 0)
			contradict(census->oracle, object, "not visited");
		if (oracle_state(ticket) == ORACLE_FREE &&
		    census->n_visits[i] != 0)
			suspect(census, object);
	}
	judge_suspects(census);
}

static void
check_run(struct oracle *oracle, const struct cubby_run *run)
{
	const char *last = (const char *)run->first +
			   (run->n_objects - 1) * run->stride_bytes;

	if (run->n_objects == 0 || run->stride_bytes < oracle->object_bytes ||
	    cubby_cache_of(run->first) != oracle->cache ||
	    cubby_cache_of(last) != oracle->cache)
		contradict(oracle, run->first,
			   "a run of a walk is not in the cache");
}

void
oracle_meddle_walk(struct oracle *oracle)
{
	struct census *census = take_census(oracle);
	struct cubby_walk *walk;
	struct cubby_run run;
	const void *object;

	if (was_busy(oracle, cubby_walk_create(&walk, oracle->cache))) {
		munmap(census, CENSUS_BYTES);
		return;
	}
	while (cubby_walk_next(walk, &run)) {
		check_run(oracle, &run);
		CUBBY_RUN_FOR_EACH (object, &run)
			visit(census, object);
	}
	cubby_walk_destroy(walk);
	judge(census);
	munmap(census, CENSUS_BYTES);
}

/* ------------------------------- other meddling -------------------------- */

void
oracle_meddle_stats(struct oracle *oracle)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (cubby_cache_stats_snapshot(oracle->cache, &stats) != 0)
		contradict(oracle, NULL, "no statistics");
	if (stats.n_cells != sum_of_cells(&stats))
		contradict(oracle, NULL, "S1: cells do not add up");
	if (stats.reserved_bytes !=
		    stats.committed_bytes + stats.uncommitted_bytes ||
	    stats.populated_bytes > stats.committed_bytes)
		contradict(oracle, NULL, "S2 or S3 does not hold");
	if (stats.n_live > stats.n_live_peak)
		contradict(oracle, NULL, "S4: more live than the peak");
	if (!stats.is_exact)
		note_busy(oracle);
}

static void
meddle_report(struct oracle *oracle)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	was_busy(oracle, cubby_cache_report_live(oracle->cache, fd));
	close(fd);
}

static void
meddle_verify(struct oracle *oracle)
{
	if (cubby_cache_verify(oracle->cache) == 0)
		return;
	/* Nothing was contradicted if nothing could be looked at. */
	if (strstr(cubby_error_detail(), "has been stopped") != NULL)
		note_busy(oracle);
	else
		contradict(oracle, NULL, cubby_error_detail());
}

static void
meddle_is_live(struct oracle *oracle)
{
	void *object = oracle_alloc(oracle, MEDDLER_OWNER);
	int live;

	if (object == NULL)
		return; /* at a limit */
	live = cubby_is_live(oracle->cache, object);
	if (live == -EBUSY)
		note_busy(oracle);
	else if (live != 1)
		contradict(oracle, object, "live, but is_live denies it");
	live = cubby_is_live(oracle->cache, (char *)object + 1);
	if (live == -EBUSY)
		note_busy(oracle);
	else if (live != 0)
		contradict(oracle, object, "its second byte is live");
	oracle_free(oracle, MEDDLER_OWNER, object);
}

void
oracle_meddle(struct oracle *oracle, uint64_t random)
{
	switch (random % 8) {
	case 0:
		was_busy(oracle, cubby_cache_shrink(oracle->cache, NULL));
		break;
	case 1:
		was_busy(oracle, cubby_shrink_all(NULL));
		break;
	case 2:
	case 3:
		oracle_meddle_walk(oracle);
		break;
	case 4:
		meddle_report(oracle);
		break;
	case 5:
		oracle_meddle_stats(oracle);
		break;
	case 6:
		meddle_is_live(oracle);
		break;
	default:
		meddle_verify(oracle);
	}
}
