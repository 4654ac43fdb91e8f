/* SPDX-License-Identifier: MIT */
/* LAYER 1: task - what the kernel says of the threads of this process */
#ifndef CUBBY__TASK_H
#define CUBBY__TASK_H

#include "compiler.h"

#include <sys/types.h>

/*
 * The state of a thread as in proc(5): 'R' and 'D' want to run, 'T' and 't'
 * are stopped; 0 if it is gone or /proc is not there.
 */
char cubby__task_state(pid_t tid);

/*
 * A thread that is stopped, by a signal or a debugger; 0: none is.  And how many
 * want to run.
 */
pid_t cubby__task_find_stopped(unsigned *ret_n_want_to_run);

#endif /* CUBBY__TASK_H */
