/* SPDX-License-Identifier: MIT */
/*
 * command.h - what clients may ask for.
 *
 *	PING [text]        +PONG, or the text
 *	ECHO text          the text
 *	QUIT               +OK, and the connection is closed
 *	SET key value      +OK; short ones (store.h)
 *	GET key            the value, or $-1
 *	DEL key            :1, or :0 if there was none
 *	CLIENT ID          the connection's name, sealed
 *	CLIENT KILL ID n   :1 if it was closed, :0 if there is none (any more)
 *	CLIENT IDLE ms     +OK; closes this connection when so long idle
 *	DEBUG STAY n       +OK, and looks at its connection until n more came
 *	DEBUG BARRIER      +OK, when the cells of closed connections are free
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "conn.h"
#include "resp.h"

/*
 * What a command wants done when it has run.  All but STAY are run outside of
 * its connection's visit: no other connection may be visited, and for no grace
 * period be waited, within.
 */
enum errand_kind { ERRAND_NONE, ERRAND_KILL, ERRAND_BARRIER, ERRAND_STAY };

struct errand {
	enum errand_kind kind;
	uint64_t name;   /* whom to kill */
	uint64_t n_more; /* how long to stay */
	bool is_done;    /* it was there */
};

/* Run a request: its reply is in the buffer, or an errand is to be run. */
void command_run(struct visit *visit, const struct resp_request *request,
		 struct errand *ret_errand);

/* Reply to a request whose errand was run. */
void command_finish(struct visit *visit, const struct errand *errand);

/* Reply with an error. */
void command_refuse(struct visit *visit, const char *why);

#endif /* SERVER_COMMAND_H */
