/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the loop.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "server.h"

/* The main function of a thread; its argument is its struct worker. */
void *worker_main(void *worker);

/* Have the epoll watch one of the server's own descriptors. */
void worker_watch(struct server *server, int fd, uint64_t name);

/*
 * Hold: returns when every worker has finished its batch and waits, and none
 * takes events.  What comes meanwhile is kept by the kernel, in order, and is
 * one batch for the worker that is first when they are released.
 */
void gate_init(struct gate *gate);
void gate_hold(struct server *server);
void gate_release(struct server *server);

/* The workers end after their batch, also where they are held. */
void gate_stop(struct server *server);

#endif /* SERVER_WORKER_H */
