/* Sessions of a site in an object store: leases beside "open/HEX.json", and
 * the one object that decides whether a session commits or was given up.
 * Private to the sessions; dm-repository(5) tells why it is so. */
#ifndef DM_REPO_SESSION_STORE_H
#define DM_REPO_SESSION_STORE_H

#include "repo/lease.h"
#include "repo/session.h"

/* Take part: a lease.  NULL: DM_NO it was given up. */
struct lease *session_store_join(struct site *s, const char *name, struct err *e);
/* With the lock file held alone: 0 nobody else is at work on it, and from now
 * on it cannot commit, unless *committing; 1 somebody is, or it is gone; -1. */
int session_store_alone(struct site *s, const char *name, bool *committing, struct err *e);
/* Does another directory work on it?  1, 0, -1; 2: it has ended. */
int session_store_alive(struct site *s, const char *name, struct err *e);
/* State and leases. */
int session_store_remove(struct site *s, const char *name, struct err *e);
/* Forget about sessions that ended long ago. */
int session_store_clean(struct site *s, struct err *e);

#endif
