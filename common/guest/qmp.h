/* The JSON lines that QEMU's monitor and the agent in a guest speak on a
 * Unix-domain socket; after QEMU's docs/interop/qmp-spec.txt and
 * qga/qapi-schema.json.  One thread at a time. */
#ifndef DM_GUEST_QMP_H
#define DM_GUEST_QMP_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

struct qmp;

enum qmp_kind { QMP_MONITOR, QMP_AGENT };

/* Connect and greet.  A monitor serves one client at a time: one that says
 * nothing within timeout_ms is taken by another program.  NULL with *e
 * (DM_ENV).  path stays the caller's. */
struct qmp *qmp_open(enum qmp_kind kind, const char *path, int timeout_ms, struct err *e);
/* The same over a connected socket, which it takes over also when it fails. */
struct qmp *qmp_over(enum qmp_kind kind, int fd, int timeout_ms, struct err *e);
void qmp_close(struct qmp *q);			/* NULL is harmless */
/* How long each later call may take. */
void qmp_timeout(struct qmp *q, int timeout_ms);
/* The process at the other end: pid and uid of who listens. */
pid_t qmp_peer(const struct qmp *q, uid_t *uid);

/* Run a command; args (NULL: none) is taken over.  What it returned, a new
 * reference; or NULL with *e: DM_NO when the command was refused, whose text
 * is the other side's sentence; DM_ENV when there was no answer. */
json_t *qmp_call(struct qmp *q, const char *command, json_t *args, struct err *e);
/* The same when only success counts.  0 or -1. */
int qmp_do(struct qmp *q, const char *command, json_t *args, struct err *e);

/* The next event, a new reference, waiting at most timeout_ms (0: none is
 * waited for); NULL without one, with *e set if the connection ended. */
json_t *qmp_event(struct qmp *q, int timeout_ms, struct err *e);
int qmp_fd(const struct qmp *q);		/* readable: ask for events */

#endif
