/* SPDX-License-Identifier: MIT */
/*
 * truck.c - run the main job for one rival and print one line of JSON.
 *
 *	truck [--n N] [--id text|integer] RIVAL
 *	truck --list
 *
 * One process per rival and run, so that none finds memory that another left.
 * scripts/quickstart runs them all, in random order, and makes the table.
 */
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "truck_measure.h"

#define N_DEFAULT 1000000u
#define SHUFFLE_SEED 0x9e3779b97f4a7c15u

static const struct rival {
	const char *name;
	truck_job_fn *text;
	truck_job_fn *integer;
} rivals[] = {
	{ "cubby", truck_cubby_text, truck_cubby_integer },
	{ "cubby-bulk", truck_cubby_bulk_text, truck_cubby_bulk_integer },
	{ "array", truck_array_text, truck_array_integer },
	{ "malloc", truck_malloc_text, truck_malloc_integer },
	{ "shared-keys", truck_shared_text, truck_shared_integer },
	{ "glib", truck_glib_text, truck_glib_integer },
};
#define N_RIVALS (sizeof(rivals) / sizeof(rivals[0]))

/* ------------------------- what the jobs call on ------------------------- */

uint64_t
truck_id_read(const char id[TRUCK_ID_BYTES])
{
	uint64_t number = 0;

	if (memcmp(id, "TRK-", 4) != 0 || id[TRUCK_ID_BYTES - 1] != '\0')
		errx(1, "a truck has lost its id");
	for (const char *digit = id + 4; *digit; digit++)
		number = number * 10 + (uint64_t)(*digit - '0');
	return number;
}

/* xorshift64 by G. Marsaglia, "Xorshift RNGs", 2003. */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void
fleet_shuffle(struct fleet *fleet)
{
	uint64_t state = SHUFFLE_SEED;

	memcpy(fleet->visit, fleet->trucks, fleet->n * sizeof(void *));
	for (size_t i = fleet->n; i > 1; i--) {
		const size_t j = next_random(&state) % i;
		void *last = fleet->visit[i - 1];

		fleet->visit[i - 1] = fleet->visit[j];
		fleet->visit[j] = last;
	}
}

/* The number of KiB behind `key` in a file under /proc; no malloc meanwhile. */
static uint64_t
proc_kib_as_bytes(const char *path, const char *key)
{
	char text[8192];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;
	const char *line;

	if (fd < 0)
		err(1, "%s", path);
	while (used < sizeof(text) - 1 &&
	       (got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	text[used] = '\0';

	line = strstr(text, key);
	if (!line)
		errx(1, "%s: no %s", path, key + 1);
	return strtoull(line + strlen(key), NULL, 10) * 1024;
}

/*
 * smaps_rollup counts page by page; the counters of /proc/self/statm are kept
 * per CPU and lag behind.
 */
struct footprint
truck_footprint(void)
{
	return (struct footprint){
		.rss_bytes = proc_kib_as_bytes("/proc/self/smaps_rollup",
					       "\nRss:"),
		.page_table_bytes = proc_kib_as_bytes("/proc/self/status",
						      "\nVmPTE:"),
	};
}

/* ------------------------------- one run --------------------------------- */

/* Allocated and populated before anything is measured. */
static void **
pointers(size_t n)
{
	void **pointer = malloc(n * sizeof(*pointer));

	if (!pointer)
		err(1, "pointers");
	for (size_t i = 0; i < n; i++)
		pointer[i] = &pointer[i];
	return pointer;
}

static struct truck_sums
expected_sums(size_t n, double (*lat)(size_t))
{
	struct truck_sums sums = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct truck_values values = { i, lat(i), truck_lon(i) };

		truck_sums_add(&sums, &values);
	}
	return sums;
}

static void
check_count(const char *operation, size_t done, size_t asked)
{
	if (done != asked)
		errx(1, "%s: %zu asked for, %zu done", operation, asked, done);
}

/* Numbers, latitudes and longitudes are each what they should be. */
static int
same_values(const struct truck_sums *a, const struct truck_sums *b)
{
	return a->numbers == b->numbers && a->lat == b->lat &&
	       a->lon == b->lon;
}

static void
check(const struct truck_result *result, size_t n)
{
	const struct truck_sums created = expected_sums(n, truck_lat);
	const struct truck_sums set = expected_sums(n, truck_lat_set);

	check_count("create", result->n_created, n);
	check_count("get", result->n_got, n);
	check_count("scan", result->n_scanned, n);
	check_count("set", result->n_set, n);
	check_count("free", result->n_freed, n);
	if (!same_values(&result->created, &created) ||
	    result->created.pairs != created.pairs)
		errx(1, "the trucks do not hold what was put into them");
	if (result->got_sum != created.lat)
		errx(1, "get: other latitudes than were stored");
	if (result->scanned_sum != created.lat)
		errx(1, "scan: other latitudes than were stored");
	if (!same_values(&result->set, &set))
		errx(1, "the trucks do not hold what was set");
}

static void
print(const char *rival, const char *id, size_t n,
      const struct truck_result *r)
{
	printf("{\"rival\":\"%s\",\"id\":\"%s\",\"n\":%zu,", rival, id, n);
	printf("\"ns\":{\"loop\":%lu,\"create\":%lu,\"get\":%lu,"
	       "\"scan\":%lu,\"set\":%lu,\"free\":%lu},",
	       r->loop_ns, r->create_ns, r->get_ns, r->scan_ns, r->set_ns,
	       r->free_ns);
	printf("\"ops\":{\"create\":%zu,\"get\":%zu,\"scan\":%zu,"
	       "\"set\":%zu,\"free\":%zu},",
	       r->n_created, r->n_got, r->n_scanned, r->n_set, r->n_freed);
	printf("\"bytes\":{\"rss\":%lu,\"own\":%lu,\"object\":%lu,"
	       "\"boxes\":%lu,\"table\":%lu,\"page_tables\":%lu,"
	       "\"left\":%lu},",
	       r->rss_bytes, r->own_bytes, r->object_bytes, r->boxes_bytes,
	       r->table_bytes, r->page_table_bytes, r->rss_left_bytes);
	/* As text: JSON readers need not keep 64-bit integers. */
	printf("\"sums\":\"ids %lu, pairs %lu, lat %.6f, lon %.6f; "
	       "set: lat %.6f\",",
	       r->created.numbers, r->created.pairs, r->created.lat,
	       r->created.lon, r->set.lat);
	printf("\"runtime\":\"%s %s\"}\n",
#ifdef __clang__
	       "", __VERSION__
#else
	       "gcc", __VERSION__
#endif
	);
}

static int
run(const struct rival *rival, const char *id, size_t n)
{
	struct fleet fleet = {
		.n = n,
		.trucks = pointers(n),
		.visit = pointers(n),
	};
	struct truck_result result;

	if (strcmp(id, "text") == 0)
		rival->text(&fleet, &result);
	else if (strcmp(id, "integer") == 0)
		rival->integer(&fleet, &result);
	else
		errx(2, "--id is text or integer, not '%s'", id);
	check(&result, n);
	print(rival->name, id, n, &result);
	free(fleet.visit);
	free(fleet.trucks);
	return 0;
}

static int
usage(void)
{
	fprintf(stderr, "usage: truck [--n N] [--id text|integer] RIVAL\n"
			"       truck --list\n");
	return 2;
}

static int
list(void)
{
	for (size_t i = 0; i < N_RIVALS; i++)
		puts(rivals[i].name);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "n", required_argument, NULL, 'n' },
		{ "id", required_argument, NULL, 'i' },
		{ "list", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long n = N_DEFAULT;
	const char *id = "text";
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			n = strtoul(optarg, NULL, 10);
		else if (option == 'i')
			id = optarg;
		else if (option == 'l')
			return list();
		else
			return usage();
	}
	if (optind != argc - 1)
		return usage();
	if (n < 2 || n > TRUCK_N_MAX)
		errx(2, "--n is 2 to %u, not %lu", TRUCK_N_MAX, n);
	for (size_t i = 0; i < N_RIVALS; i++)
		if (strcmp(rivals[i].name, argv[optind]) == 0)
			return run(&rivals[i], id, n);
	errx(2, "no rival is named '%s'; truck --list names them",
	     argv[optind]);
}
