/* HTTP requests over libcurl: kept connections, deadlines, retries.  Calls on
 * one client may come from several threads. */
#ifndef DM_HTTP_CLIENT_H
#define DM_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct http_client;

/* What an answer means.  The classes of failures are those of err.h. */
enum http_verdict {
	HTTP_TAKE,	/* done, whatever the status: the caller looks at it */
	HTTP_REFUSED,	/* permanent; verdict's sentence says why */
	HTTP_THROTTLED,
	HTTP_BROKEN,	/* on their side: again */
	HTTP_EARLY,	/* not yet: again, and no failure */
	HTTP_SIGN,	/* credentials or clock: fresh ones, then again */
};

/* A header of the answer that the caller wants; value "" if it did not come. */
struct http_want {
	const char *name;	/* lower case */
	char value[256];
};

struct http_reply {
	int status;
	struct buf body;	/* at most max bytes; longer is a failure */
	size_t max;
	bool fixed;		/* body.p is the caller's, with room for max */
	struct http_want *want;
	size_t nwant;
};

struct http_request {
	const char *method, *url;
	const void *body;	/* NULL: none */
	size_t len;
	/* Before every attempt: more header lines, each "Name: value" and a NUL.
	 * `fresh': the last attempt was HTTP_SIGN.  0 or -1. */
	int (*headers)(void *arg, bool fresh, struct buf *lines, struct err *e);
	/* NULL: 2xx taken, 429 and 503 throttled, other 5xx broken, the rest
	 * refused.  A sentence about the failure goes to why. */
	enum http_verdict (*verdict)(void *arg, const struct http_reply *r, char why[200]);
	void *arg;
	unsigned attempt_s;	/* deadline of one attempt, 0: 60 */
	unsigned total_s;	/* of all of them, 0: 300 */
	bool once;		/* never try again */
};

/* limit: requests in flight at a time, 0: no limit; rate: requests per second,
 * 0: no limit.  NULL with *e. */
struct http_client *http_client_new(unsigned limit, double rate, struct err *e);
void http_client_free(struct http_client *c);

/* 0, or -1 with *e (its class says how the last attempt failed).  The reply's
 * body is the caller's to free either way. */
int http_do(struct http_client *c, const struct http_request *q, struct http_reply *r, struct err *e);
void http_reply_free(struct http_reply *r);	/* harmless twice */

/* Seconds since the epoch of a header Date, -1 if it is none, or so late that
 * nanoseconds cannot hold it (date.c). */
int64_t http_date(const char *s);

#endif
