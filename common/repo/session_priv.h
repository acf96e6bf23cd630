/* What the files of sessions share. */
#ifndef DM_REPO_SESSION_PRIV_H
#define DM_REPO_SESSION_PRIV_H

#include "repo/session.h"

#define SESSION_NAME 32		/* digits */
#define SESSION_PATH 64		/* room for "open/<name>.json" */

char *session_lock_path(char out[SESSION_PATH], const char *name);
char *session_state_path(char out[SESSION_PATH], const char *name);
/* The state of a session: NULL with e->code 0 when it has none (yet). */
struct session *session_read(struct site *s, const char *name, struct err *e);
int session_remove(struct site *s, const char *name, struct err *e);
/* A session as wanted, with what an interrupted one (or NULL) had. */
struct session *session_make(const char *name, const struct session *want, const struct session *old);

const struct session_disk *session_disk_named(const struct session *se, const char *name);
/* Is it an iteration of the same workload, disks and bases? */
bool session_same_work(const struct session *old, const struct session *want);
/* Are both target points frozen and equal? */
bool session_same_point(const struct session_disk *a, const struct session_disk *b);
/* The interrupted session to go on with, held alone; NULL with e->code 0 when
 * there is none.  mine: a name to leave out, or NULL. */
struct session *session_interrupted(struct site *s, const struct session *want, const char *mine, struct err *e);

#endif
