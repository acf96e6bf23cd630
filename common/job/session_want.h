/* An iteration in the words of sessions: what a site would call it. */
#ifndef DM_JOB_SESSION_WANT_H
#define DM_JOB_SESSION_WANT_H

#include "repo/session.h"
#include "stream/record.h"

/* Fill `want', which points into h; want->disk is the caller's to free, whatever
 * comes.  outside: content goes elsewhere, so bases are trees of ids, and there
 * need be none; partial[i], unless NULL, is set when not all ids of disk i's
 * base are known.  1; 0 when the site does not know a base of content in its
 * store; -1. */
int session_want(struct site *s, const struct hello *h, bool outside, struct session *want,
    bool *partial, struct err *e);

#endif
