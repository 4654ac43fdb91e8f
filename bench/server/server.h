/* SPDX-License-Identifier: MIT */
/*
 * server.h - an event loop whose events name their connections by handle.
 *
 * Several workers share one epoll.  What the kernel hands back with an event is
 * 64 bits: here the name of a connection.  A worker takes up to `batch` events
 * at once, and by the time it comes to one of them its connection may be gone:
 * closed by an earlier event of the batch, by another worker, by a timer.  Its
 * memory may by then hold another connection.
 *
 *	--names=handle    the name is a weak handle; such an event finds nothing
 *	--names=pointer   the name is an address; such an event finds whoever
 *			  lives there now
 *
 *	--mode=rcu        a worker looks at a connection in a read section, one
 *			  for each event
 *	--mode=strong     it takes a counted reference; no RCU
 *
 * Files, each using those before it only: audit (who an event was meant for),
 * wheel (timers), conn (the object and its names), resp (the protocol), store,
 * command, worker (the loop), admin (another port, for tests and figures), main.
 */
#ifndef SERVER_H
#define SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct audit;
struct cubby_cache;
struct store;
struct wheel;

enum {
	WORKERS_MAX = 64,
	BATCH_MAX = 1024, /* events of one epoll_wait() */
	BATCH_LARGE = 64, /* from here on a batch is counted as large */
	TICK_MS = 20      /* of the timers */
};

enum names { NAMES_HANDLE, NAMES_POINTER };
enum mode { MODE_RCU, MODE_STRONG };

/*
 * Names that are no connection's: bit 32 of every handle is set, and no object
 * has so low an address.
 */
enum { NAME_LISTENER = 1, NAME_TICK = 2, NAME_GATE = 3 };

/* Why a connection is looked for. */
enum purpose { FOR_EVENT, FOR_TIMER, FOR_CALL, N_PURPOSES };

/* Of each worker; added up when somebody asks. */
#define SERVER_COUNTERS(COUNTER)                                              \
	COUNTER(accepted)      /* connections */                              \
	COUNTER(refused)       /* too many, or no memory */                   \
	COUNTER(accept_pauses) /* for want of descriptors */                  \
	COUNTER(closed)        /* by whomever */                              \
	COUNTER(idle_closed)   /* of these: by a timer */                     \
	COUNTER(killed)        /* of these: by CLIENT KILL */                 \
	COUNTER(commands)                                                     \
	COUNTER(batches)       /* returns of epoll_wait() */                  \
	COUNTER(large_batches) /* of these: with 64 events or more */         \
	COUNTER(events)        /* that named a connection */                  \
	COUNTER(stale_events)  /* of these: it was gone */                    \
	COUNTER(stale_reused)  /* of these: its cell had a new one */         \
	COUNTER(wrong_events)  /* events given to another connection */       \
	COUNTER(timers)        /* timers that named a connection ... */       \
	COUNTER(stale_timers)                                                 \
	COUNTER(wrong_timers)                                                 \
	COUNTER(calls) /* CLIENT KILL and the like ... */                     \
	COUNTER(stale_calls)                                                  \
	COUNTER(wrong_calls)                                                  \
	COUNTER(stays)        /* DEBUG STAY */                                \
	COUNTER(overtaken)    /* of these: the cell was reused meanwhile */   \
	COUNTER(wrong_closed) /* closed by what was meant for another */

struct counters {
#define SERVER_MEMBER(name) uint64_t name;
	SERVER_COUNTERS(SERVER_MEMBER)
#undef SERVER_MEMBER
};

/* Written by its own thread only, read by others. */
static inline void
count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

struct config {
	enum names names;
	enum mode mode;
	unsigned n_workers;
	unsigned batch;
	unsigned max_clients;
	unsigned idle_ms;
	unsigned audit_names; /* how many the audit has room for; 0: none */
	unsigned port;        /* 0: any */
};

struct worker {
	struct server *server;
	pthread_t thread;
	uint64_t now_ms; /* as of the last epoll_wait() */
	struct counters counters;
} __attribute__((aligned(64)));

/* Where workers wait while somebody holds them. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_closed;
	unsigned n_parked;
	int kick; /* an eventfd: wakes all who wait for events */
};

struct server {
	struct config config;
	struct cubby_cache *conns;
	struct audit *audit;
	struct wheel *wheel;
	struct store *store;
	struct gate gate;
	int epoll, listener, tick;
	bool is_stopping;
	bool is_accept_paused; /* for want of descriptors, until a tick */
	uint64_t last_serial;
	uint64_t n_open;
	struct worker workers[WORKERS_MAX + 1]; /* the last is main()'s */
};

uint64_t server_now_ms(void);

/* All figures, "name value" a line. */
void server_print(struct server *server, int fd);

#endif /* SERVER_H */
