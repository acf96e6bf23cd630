/* The headers that make a request one of an AWS account. */
#ifndef DM_HTTP_AWS_SIGN_H
#define DM_HTTP_AWS_SIGN_H

#include "base/bytes.h"
#include "http/aws_credentials.h"
#include "http/sigv4.h"

/* Append to lines, as struct http_request's `headers' does: r's own headers,
 * the payload's hash, token, date and signature.  fresh: the key was refused;
 * skew: seconds that our clock is behind the service's.
 * 0 or -1. */
int aws_sign(struct aws_credentials *cred, bool fresh, const struct sigv4_request *r, const char *region,
    const char *service, int64_t skew, struct buf *lines, struct err *e);

#endif
