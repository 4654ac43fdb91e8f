/* SPDX-License-Identifier: MIT */
/* LAYER 8: recent - runs of pages that were freed a moment ago */
#include "recent.h"

#include "bits.h"
#include "pages.h"

#define PAGES_BITS 16

struct shard {
	uint64_t words[RECENT_WORDS];
	uint64_t turn; /* whose turn it is to go */
} __attribute__((aligned(64)));

static struct shard shards[N_SHARDS];

static uint64_t
pages_of(uint64_t word)
{
	return word & (((uint64_t)1 << PAGES_BITS) - 1);
}

static uint32_t
number_of(uint64_t word)
{
	return (uint32_t)(word >> PAGES_BITS);
}

static uint64_t
look(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

uint32_t
cubby__recent_take(uint32_t n_pages)
{
	struct shard *shard = &shards[magazine_my_shard()];

	for (unsigned i = 0; i < RECENT_WORDS; i++) {
		uint64_t word = look(&shard->words[i]);

		if (word != 0 && pages_of(word) == n_pages &&
		    __atomic_compare_exchange_n(&shard->words[i], &word, 0,
						false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return number_of(word);
	}
	return RUN_NONE;
}

/* The word that is empty, or the next in turn. */
static unsigned
place(struct shard *shard)
{
	for (unsigned i = 0; i < RECENT_WORDS; i++)
		if (look(&shard->words[i]) == 0)
			return i;
	return __atomic_fetch_add(&shard->turn, 1, __ATOMIC_RELAXED) %
	       RECENT_WORDS;
}

static uint64_t
all_pages(const struct shard *shard)
{
	uint64_t n_pages = 0;

	for (unsigned i = 0; i < RECENT_WORDS; i++)
		n_pages += pages_of(look(&shard->words[i]));
	return n_pages;
}

/* What was in the word, if there was anything. */
static bool
swap(uint64_t *word, uint64_t with, uint32_t *ret_number)
{
	uint64_t old = __atomic_exchange_n(word, with, __ATOMIC_ACQ_REL);

	*ret_number = number_of(old);
	return old != 0;
}

unsigned
cubby__recent_put(uint32_t number, uint32_t n_pages, uint64_t n_pages_max,
		  uint32_t *ret_numbers)
{
	struct shard *shard = &shards[magazine_my_shard()];
	unsigned at = place(shard);
	unsigned n = 0;

	n += swap(&shard->words[at], (uint64_t)number << PAGES_BITS | n_pages,
		  ret_numbers);
	/* It is the youngest: those behind it are the next in turn. */
	for (unsigned i = 1;
	     i < RECENT_WORDS && all_pages(shard) > n_pages_max; i++)
		n += swap(&shard->words[(at + i) % RECENT_WORDS], 0,
			  ret_numbers + n);
	return n;
}

unsigned
cubby__recent_take_all(uint32_t *ret_numbers)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RECENT_WORDS_ALL; i++)
		n += swap(&shards[i / RECENT_WORDS].words[i % RECENT_WORDS], 0,
			  ret_numbers + n);
	return n;
}

unsigned
cubby__recent_count(uint64_t *ret_n_pages)
{
	unsigned n = 0;

	*ret_n_pages = 0;
	for (unsigned i = 0; i < RECENT_WORDS_ALL; i++) {
		uint64_t word = look(
			&shards[i / RECENT_WORDS].words[i % RECENT_WORDS]);

		n += word != 0;
		*ret_n_pages += pages_of(word);
	}
	return n;
}
