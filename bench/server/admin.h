/* SPDX-License-Identifier: MIT */
/*
 * admin.h - another port, one line a command:
 *
 *	stats       all figures, and "end"
 *	hold        "ok", when no worker takes events any more
 *	release     "ok", when they do again; so does the end of the connection
 */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "server.h"

/* Serve it, one client at a time, until SIGTERM or SIGINT; blocks both. */
void admin_run(struct server *server, int listener, int signals);

#endif /* SERVER_ADMIN_H */
