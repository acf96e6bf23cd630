/* A session's state as JSON. */
#ifndef DM_REPO_SESSION_TEXT_H
#define DM_REPO_SESSION_TEXT_H

#include "repo/session.h"

#define SESSION_TEXT_MAX (16u << 20)

/* An allocation, or NULL with *e. */
char *session_text(const struct session *se, int algo, struct err *e);
/* Parse and check; roots must be of this algorithm.  fd is -1.  NULL with *e
 * (DM_BAD). */
struct session *session_parse(const char *text, size_t len, int algo, struct err *e);

#endif
