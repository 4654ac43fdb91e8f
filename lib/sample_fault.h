/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: sample_fault - an access to a page that nobody may access
 *
 * A handler of SIGSEGV is installed with the first cache that is sampled.  It looks
 * up whose the address is; if it is beside or in an object that was sampled, that
 * is reported:
 *
 *	cubby: guard-page: cache 'conn': 8 bytes into object 0x7f... (cell 2, 40
 *	    bytes), which is free, was written; <advice>
 *	cubby:   at
 *	cubby:     /usr/bin/server+0x1b2c
 *	cubby:   allocated 1203 ms ago by thread 4242 at
 *	cubby:     ...
 *	cubby:   freed 3 ms ago by thread 4243 at
 *	cubby:     ...
 *
 * With misuse=continue the page is then opened, and the access goes on.  All other
 * faults are left to whoever had the signal before, and otherwise end the process
 * as they do without us.  A program that installs its own handler later gets all of
 * them.
 */
#ifndef CUBBY__SAMPLE_FAULT_H
#define CUBBY__SAMPLE_FAULT_H

/* Once in a process, whoever calls it how often. */
void cubby__sample_fault_install(void);

#endif /* CUBBY__SAMPLE_FAULT_H */
