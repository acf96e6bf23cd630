/* AWS Signature Version 4 for one request, in its header form ("Signing AWS
 * API requests", AWS Identity and Access Management User Guide). */
#ifndef DM_HTTP_SIGV4_H
#define DM_HTTP_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A query parameter or a header; names of headers are in lower case.  Plain
 * text: encoding is done here. */
struct http_pair {
	const char *name, *value;
};

struct sigv4_request {
	const char *method, *host;
	const char *path;		/* as in the URL, begins with '/' */
	const struct http_pair *query;	/* in any order */
	size_t nquery;
	const struct http_pair *header;	/* to be signed beside host and x-amz-date */
	size_t nheaders;
	const char *payload;		/* hex SHA-256 of the body */
	bool as_is;			/* S3: the path is signed as it stands in the URL */
};

struct sigv4_scope {
	const char *key_id, *secret;
	const char *region, *service;
	const char *date;		/* 20150830T123600Z */
};

/* RFC 3986 percent-coding of all but unreserved bytes, and but '/' when
 * `slash'; an allocation. */
char *sigv4_encode(const char *s, bool slash);
/* "a=1&b=2": encoded and sorted, as it belongs into the URL; an allocation. */
char *sigv4_query(const struct http_pair *query, size_t n);
/* The canonical request, to be compared with what a service says it saw; an
 * allocation. */
char *sigv4_canonical(const struct sigv4_request *r, const struct sigv4_scope *s);
/* Value of the header Authorization; an allocation. */
char *sigv4_authorization(const struct sigv4_request *r, const struct sigv4_scope *s);

/* Digests of bodies: 32 bytes, and as hex with a NUL. */
void sha256_of(const void *p, size_t len, uint8_t out[32]);
void sha256_hex(const void *p, size_t len, char out[65]);

#endif
