/* SPDX-License-Identifier: MIT */
/* LAYER 5: users - who allocated what is live */
#ifndef CUBBY__USERS_H
#define CUBBY__USERS_H

/* At exit, tell it of all caches, if CUBBY_OPTIONS=leaks asks for it. */
void cubby__users_install(void);

struct cubby_cache;

/* A cache is not destroyed, as objects are live: who allocated them, if known. */
void cubby__users_report_live(struct cubby_cache *cache);

#endif /* CUBBY__USERS_H */
