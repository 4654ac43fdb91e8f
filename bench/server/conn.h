/* SPDX-License-Identifier: MIT */
/*
 * conn.h - a connection: an object of a Cubby cache, found by its name.
 *
 * Whoever wants to touch a connection visits it: visit_begin() finds it by
 * name, and returns with its lock held; visit_end() lets go, and frees it if it
 * was closed in between.  Between the two nobody else touches it, and in no mode
 * can its memory become another connection.
 */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "server.h"

#include <cubby/cubby.h>

enum {
	CONN_IN_BYTES = 512, /* the longest request */
	CONN_OUT_BYTES = 1024,
	CONN_REPLY_BYTES_MAX = CONN_IN_BYTES + 32 /* of one request */
};

struct conn {
	pthread_mutex_t lock; /* the cell's: made once, kept across reuse */
	uint64_t name;
	uint64_t serial;
	uint64_t deadline_ms;
	uint32_t idle_ms;
	int fd;
	bool is_open;
	bool is_leaving; /* to be closed when its replies are written */
	uint16_t in_at, in_end, out_at, out_end;
	char in[CONN_IN_BYTES], out[CONN_OUT_BYTES];
};

#define CONN_SLOTS(SLOT)                                                      \
	SLOT(uint64_t, name, "what its events carry")                         \
	SLOT(uint64_t, serial, "from 1, never twice")                         \
	SLOT(uint64_t, deadline_ms, "closed if idle then")                    \
	SLOT(uint32_t, idle_ms, "how long it may be idle")                    \
	SLOT(int32_t, fd, "its socket, or -1")
CUBBY_WEAK_LAYOUT_OF(conn, CONN_SLOTS);

struct visit {
	struct worker *worker;
	struct conn *conn;
	enum purpose purpose;
	bool is_wrong; /* it is not the one that was meant */
	bool is_over;  /* it was closed */
	bool is_ours;  /* by this visit, which frees it */
};

/* The cache of a server's connections; exits if it cannot be made. */
struct cubby_cache *conn_cache_make(const struct config *config);

/*
 * Make a connection of a socket and have the epoll watch it.
 * Returns 0, or -1, and then the socket is the caller's as before.
 */
int conn_open(struct worker *worker, int fd);

/*
 * Find a connection.
 * Returns true, or false if there is none of that name (any more).
 */
bool visit_begin(struct visit *visit, struct worker *worker, uint64_t name,
		 enum purpose purpose);
void visit_end(struct visit *visit);

/* Close it; the rest is done by visit_end(). */
void visit_close(struct visit *visit);

/*
 * Let go of the lock, not of the connection, until n more were opened, or for
 * some seconds.  It may be closed meanwhile, but its memory must be the same
 * connection's as before.
 */
void visit_stay(struct visit *visit, uint64_t n_more);

/* Let its next event come. */
void visit_arm(struct visit *visit);

/* It has been heard of; or is to be heard of within so many ms from now on. */
void visit_touch(struct visit *visit);
void visit_set_idle(struct visit *visit, uint32_t idle_ms);

/* How a connection is named to its peer, and back. */
uint64_t conn_peer_name(struct server *server, const struct conn *conn);
uint64_t conn_name_of_peer(struct server *server, uint64_t peer_name);

/* A worker begins and ends its life. */
void conn_thread_begin(struct server *server);
void conn_thread_end(struct server *server);

/* Wait until the cells of what was closed are free; outside of visits. */
void conn_barrier(struct server *server);

/* Close all; no worker runs any more. */
void conn_close_all(struct worker *worker);

#endif /* SERVER_CONN_H */
