/* SPDX-License-Identifier: MIT */
/* A comparison for machines: one object, in seconds and bytes. */
#include <inttypes.h>
#include <locale.h>
#include <string.h>
#include <sys/wait.h>
#include <wchar.h>

#include "run.h"

enum { KIB = 1024 };

/* Bytes that are no UTF-8 become U+FFFD. */
static void
print_string(const char *string)
{
	mbstate_t state = { 0 };
	wchar_t letter;
	size_t n, left = strlen(string);

	putchar('"');
	for (; left; string += n, left -= n) {
		n = mbrtowc(&letter, string, left, &state);
		if (n == (size_t)-1 || n == (size_t)-2) {
			memset(&state, 0, sizeof(state));
			printf("\\ufffd");
			n = 1;
		} else if (letter < ' ') {
			printf("\\u%04x", (unsigned)letter);
		} else {
			if (letter == '"' || letter == '\\')
				putchar('\\');
			fwrite(string, 1, n, stdout);
		}
	}
	putchar('"');
}

static void
print_or_null(const char *key, const char *string)
{
	printf("\"%s\": ", key);
	if (string)
		print_string(string);
	else
		printf("null");
}

static const char *
word(bool is_so)
{
	return is_so ? "true" : "false";
}

static void
print_bytes(const char *key, double kib)
{
	if (kib < 0)
		printf("\"%s\": null", key);
	else
		printf("\"%s\": %.0f", key, kib * KIB);
}

static void
print_status(int status)
{
	if (WIFEXITED(status))
		printf("\"exit\": %d, \"signal\": null", WEXITSTATUS(status));
	else
		printf("\"exit\": null, \"signal\": %d", WTERMSIG(status));
}

static void
print_summary(const char *key, const struct summary *summary, const char *low,
	      const char *high)
{
	printf("\"%s\": {\"median\": %.6f, \"%s\": %.6f, \"%s\": %.6f}", key,
	       summary->median, low, summary->low, high, summary->high);
}

static void
print_run(const struct run *run)
{
	printf("      {\"cpu_s\": %.6f, \"wall_s\": %.6f, ", run->cpu_s,
	       run->wall_s);
	print_bytes("peak_rss_bytes", (double)run->peak_kib);
	printf(", ");
	print_bytes("final_rss_bytes", (double)run->final_kib);
	printf(", ");
	print_status(run->status);
	printf(",\n       \"stdout_bytes\": %" PRId64
	       ", \"stdout_fnv1a64\": \"%016" PRIx64 "\"}",
	       run->output_bytes, run->output_hash);
}

static void
print_allocator(const struct comparison *all, const struct allocator *one,
		const char *end)
{
	printf("   {");
	print_or_null("name", one->name);
	printf(", ");
	print_or_null("library", one->file);
	printf(", \"available\": %s", word(one->is_there));
	if (!one->is_there) {
		printf("}%s\n", end);
		return;
	}
	printf(", \"loaded\": %s,\n    ", word(!one->not_loaded));
	print_summary("cpu_s", &one->cpu, "min", "max");
	printf(",\n    ");
	print_summary("wall_s", &one->wall, "min", "max");
	printf(",\n    ");
	print_summary("cpu_ratio", &one->ratio, "low", "high");
	printf(",\n    ");
	print_bytes("peak_rss_bytes", one->peak_kib);
	printf(", ");
	print_bytes("final_rss_bytes", one->final_kib);
	printf(",\n    ");
	print_status(one->status);
	printf(", \"may_be_fastest\": %s",
	       word(all->may_be_fastest[one - all->allocators]));
	printf(", \"status_differs\": %s, \"output_differs\": %s,\n"
	       "    \"runs\": [\n",
	       word(one->status_differs), word(one->output_differs));
	for (int i = 0; i < all->n_runs; i++) {
		print_run(&one->runs[i]);
		printf("%s\n", i + 1 < all->n_runs ? "," : "");
	}
	printf("    ]}%s\n", end);
}

void
print_json(const struct comparison *all)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	printf("{\"command\": [");
	for (char **arg = all->argv; *arg; arg++) {
		printf("%s", arg == all->argv ? "" : ", ");
		print_string(*arg);
	}
	printf("],\n \"n_runs\": %d, \"confidence\": %.4f, "
	       "\"output_varies\": %s,\n ",
	       all->n_runs, all->confidence, word(all->output_varies));
	print_or_null("fastest", all->allocators[all->fastest].name);
	printf(", ");
	print_or_null("smallest", all->allocators[all->smallest].name);
	printf(",\n \"allocators\": [\n");
	for (int i = 0; i < all->n_allocators; i++) {
		print_allocator(all, &all->allocators[i],
				i + 1 < all->n_allocators ? "," : "");
	}
	printf(" ]}\n");
}
