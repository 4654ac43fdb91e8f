/* SPDX-License-Identifier: MIT */
/*
 * orders.c - an exchange: books of orders, as a program of small objects.
 *
 *	orders [MESSAGES]
 *
 * Messages place, cancel, change and match orders in a few books.  A book has
 * two trees of prices (treaps), each price a queue of orders; orders are found
 * by number in a hash table.  What is matched becomes a fill, which is reported
 * in batches; some orders have an expiry, on a wheel.  So four kinds of objects
 * live in four caches, for some messages or for very many, and nearly all that
 * is done is to follow pointers from one to the next.
 *
 * Prints one line of JSON, which is the same in every run.  Exits with 1 if an
 * object is left over.
 */
#include <cubby/cubby.h>

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGES = 1000000,
	N_BOOKS = 16,
	N_CHAINS = 1 << 15,
	N_SPOKES = 4096,  /* of the wheel, a message each */
	N_REPORTED = 256, /* fills at once */
	PRICE_MIDDLE = 10000,
	PRICE_SPREAD = 400,
	LOT_MAX = 100
};

enum side { BUY, SELL, N_SIDES };

struct price {
	int64_t ticks;
	struct price *left, *right;
	uint32_t rank; /* of the treap: a parent's is the largest */
	uint32_t n_orders;
	struct order *first, *last;
};

struct order {
	uint64_t number;
	struct order *next_in_chain;
	struct order *next, *before; /* at the same price */
	struct price *price;
	struct expiry *expiry; /* NULL: none */
	uint32_t n_lots;
	uint16_t book;
	uint16_t side;
	char client[16];
};

struct expiry {
	struct expiry *next;
	uint64_t at;
	struct order *order; /* NULL: it has gone */
};

struct fill {
	struct fill *next;
	uint64_t taker, maker;
	int64_t ticks;
	uint32_t n_lots;
};

static struct cubby_cache *prices, *orders, *expiries, *fills;

static struct price *books[N_BOOKS][N_SIDES];
static struct order *chains[N_CHAINS];
static struct expiry *wheel[N_SPOKES];
static struct fill *unreported;
static unsigned n_unreported;

static uint64_t now, random_state = 88172645463325252u;

static struct {
	uint64_t placed, cancelled, changed, filled, expired, traded, sum;
} total;

static uint32_t
random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * limit >> 32);
}

static void *
allocate(struct cubby_cache *cache)
{
	void *object = cubby_alloc(cache);

	if (!object)
		errx(1, "out of memory");
	return object;
}

/* ---------------------------------- prices ------------------------------- */

static struct price *
merge(struct price *low, struct price *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->rank > high->rank) {
		low->right = merge(low->right, high);
		return low;
	}
	high->left = merge(low, high->left);
	return high;
}

/* Below @ticks, and the rest. */
static void
split(struct price *tree, int64_t ticks, struct price **ret_low,
      struct price **ret_high)
{
	if (!tree) {
		*ret_low = *ret_high = NULL;
	} else if (tree->ticks < ticks) {
		split(tree->right, ticks, &tree->right, ret_high);
		*ret_low = tree;
	} else {
		split(tree->left, ticks, ret_low, &tree->left);
		*ret_high = tree;
	}
}

static struct price *
price_at(struct price **tree, int64_t ticks)
{
	struct price *price = *tree, *low, *high;

	while (price && price->ticks != ticks)
		price = ticks < price->ticks ? price->left : price->right;
	if (price)
		return price;
	price = allocate(prices);
	*price = (struct price){ .ticks = ticks, .rank = random_below(~0u) };
	split(*tree, ticks, &low, &high);
	*tree = merge(merge(low, price), high);
	return price;
}

static void
price_remove(struct price **tree, struct price *price)
{
	while (*tree != price)
		tree = price->ticks < (*tree)->ticks ? &(*tree)->left :
						       &(*tree)->right;
	*tree = merge(price->left, price->right);
	cubby_free(prices, price);
}

/* What somebody on the other side would have first. */
static struct price *
price_best(struct price *tree, enum side side)
{
	struct price *next;

	while (tree && (next = side == BUY ? tree->right : tree->left))
		tree = next;
	return tree;
}

/* ---------------------------------- orders ------------------------------- */

static struct order **
order_place(uint64_t number)
{
	struct order **place =
		&chains[number * 0x9e3779b97f4a7c15u >> 49 & (N_CHAINS - 1)];

	while (*place && (*place)->number != number)
		place = &(*place)->next_in_chain;
	return place;
}

static void
order_queue(struct order *order, int64_t ticks)
{
	struct price *price = price_at(&books[order->book][order->side],
				       ticks);

	order->price = price;
	order->next = NULL;
	order->before = price->last;
	*(price->last ? &price->last->next : &price->first) = order;
	price->last = order;
	price->n_orders++;
}

static void
order_unqueue(struct order *order)
{
	struct price *price = order->price;

	*(order->before ? &order->before->next : &price->first) = order->next;
	*(order->next ? &order->next->before : &price->last) = order->before;
	if (--price->n_orders == 0)
		price_remove(&books[order->book][order->side], price);
}

static void
order_end(struct order *order)
{
	struct order **place = order_place(order->number);

	*place = order->next_in_chain;
	order_unqueue(order);
	if (order->expiry)
		order->expiry->order = NULL;
	cubby_free(orders, order);
}

static void
order_expires(struct order *order, uint64_t at)
{
	struct expiry *expiry = allocate(expiries);

	*expiry = (struct expiry){ wheel[at % N_SPOKES], at, order };
	wheel[at % N_SPOKES] = expiry;
	order->expiry = expiry;
}

static void
expire(uint64_t until)
{
	struct expiry **place = &wheel[until % N_SPOKES];

	while (*place) {
		struct expiry *expiry = *place;

		if (expiry->at > until) {
			place = &expiry->next;
			continue;
		}
		*place = expiry->next;
		if (expiry->order) {
			expiry->order->expiry = NULL;
			order_end(expiry->order);
			total.expired++;
		}
		cubby_free(expiries, expiry);
	}
}

/* ---------------------------------- fills -------------------------------- */

static void
report_fills(void)
{
	while (unreported) {
		struct fill *fill = unreported;

		unreported = fill->next;
		total.traded += fill->n_lots;
		total.sum = total.sum * 31 +
			    (fill->taker ^ fill->maker << 20) +
			    (uint64_t)fill->ticks * fill->n_lots;
		cubby_free(fills, fill);
	}
	n_unreported = 0;
}

/* Lots of @n_lots that nobody had at that price. */
static uint32_t
match(unsigned book, enum side side, int64_t ticks, uint32_t n_lots)
{
	enum side other = side == BUY ? SELL : BUY;
	struct price *best;

	while (n_lots && (best = price_best(books[book][other], other)) &&
	       (side == BUY ? best->ticks <= ticks : best->ticks >= ticks)) {
		struct order *maker = best->first;
		struct fill *fill = allocate(fills);
		uint32_t n = n_lots < maker->n_lots ? n_lots : maker->n_lots;

		*fill = (struct fill){ unreported, now, maker->number,
				       best->ticks, n };
		unreported = fill;
		n_lots -= n;
		maker->n_lots -= n;
		total.filled++;
		if (maker->n_lots == 0)
			order_end(maker);
		if (++n_unreported == N_REPORTED)
			report_fills();
	}
	return n_lots;
}

/* --------------------------------- messages ------------------------------ */

static int64_t
random_ticks(enum side side, bool is_eager)
{
	int64_t away = 1 + random_below(PRICE_SPREAD);

	if (is_eager)
		away = -away / 8;
	return side == BUY ? PRICE_MIDDLE - away : PRICE_MIDDLE + away;
}

static void
place_order(bool is_eager)
{
	unsigned book = random_below(N_BOOKS);
	enum side side = random_below(N_SIDES);
	int64_t ticks = random_ticks(side, is_eager);
	uint32_t n_lots = match(book, side, ticks, 1 + random_below(LOT_MAX));
	struct order *order;

	if (n_lots == 0)
		return;
	order = allocate(orders);
	memset(order, 0, sizeof(*order));
	order->number = now;
	order->n_lots = n_lots;
	order->book = (uint16_t)book;
	order->side = (uint16_t)side;
	snprintf(order->client, sizeof(order->client), "C%05u",
		 (unsigned)(now % 99991));
	order->next_in_chain = NULL;
	*order_place(now) = order;
	order_queue(order, ticks);
	if (random_below(4) == 0)
		order_expires(order, now + 1 + random_below(N_SPOKES - 1));
	total.placed++;
}

/* One of the last 8,192 that were placed, if it is still there. */
static struct order *
random_order(void)
{
	uint64_t ago = random_below(1 << 13);

	return ago < now ? *order_place(now - ago) : NULL;
}

static void
take_message(void)
{
	uint32_t kind = random_below(100);
	struct order *order;

	if (kind < 45) {
		place_order(false);
	} else if (kind < 55) {
		place_order(true);
	} else if ((order = random_order()) == NULL) {
		return;
	} else if (kind < 85) {
		order_end(order);
		total.cancelled++;
	} else {
		order_unqueue(order);
		order_queue(order, random_ticks(order->side, false));
		total.changed++;
	}
}

/* ------------------------------- life and end ---------------------------- */

static struct cubby_cache *
cache_of(const char *name, size_t bytes)
{
	struct cubby_cache *cache;

	if (cubby_cache_create_sized(&cache, name, bytes, 0, NULL))
		errx(1, "%s: %s", name, cubby_error_detail());
	return cache;
}

static void
end_all(void)
{
	for (size_t i = 0; i < N_CHAINS; i++)
		while (chains[i])
			order_end(chains[i]);
	for (size_t i = 0; i < N_SPOKES; i++)
		expire(now + i);
	report_fills();
	if (cubby_cache_destroy(orders) || cubby_cache_destroy(prices) ||
	    cubby_cache_destroy(expiries) || cubby_cache_destroy(fills))
		errx(1, "%s", cubby_error_detail());
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : MESSAGES;

	if (argc > 2 || n == 0)
		errx(2, "usage: orders [MESSAGES]");
	prices = cache_of("price", sizeof(struct price));
	orders = cache_of("order", sizeof(struct order));
	expiries = cache_of("expiry", sizeof(struct expiry));
	fills = cache_of("fill", sizeof(struct fill));
	for (now = 1; now <= n; now++) {
		take_message();
		expire(now);
	}
	end_all();
	printf("{\"messages\":%lu,\"placed\":%lu,\"cancelled\":%lu,"
	       "\"changed\":%lu,\"filled\":%lu,\"expired\":%lu,"
	       "\"traded\":%lu,\"sum\":\"%016lx\"}\n",
	       n, total.placed, total.cancelled, total.changed, total.filled,
	       total.expired, total.traded, total.sum);
	return 0;
}
