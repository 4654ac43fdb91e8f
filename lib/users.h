/* SPDX-License-Identifier: MIT */
/* LAYER 5: users - who allocated what is live */
#ifndef CUBBY__USERS_H
#define CUBBY__USERS_H

/* At exit, tell it of all caches, if CUBBY_OPTIONS=leaks asks for it. */
void cubby__users_install(void);

#endif /* CUBBY__USERS_H */
