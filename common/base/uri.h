/* Volume names: [NAME=]URI, and percent-coding. */
#ifndef DM_BASE_URI_H
#define DM_BASE_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct uri {
	char *scheme;	/* "file" when none is written */
	char *path;	/* after "scheme:", decoded for file:, raw otherwise;
			 * without query and fragment */
	char *query;	/* after '?', or NULL */
	char *fragment;	/* after '#', or NULL */
};
/* A word without "scheme:" is a file path, taken as it is.  0 or -1. */
int uri_parse(const char *s, struct uri *u, struct err *e);
/* Value of key in the query, decoded into an allocation, or NULL. */
char *uri_query(const struct uri *u, const char *key);
/* len bytes with %XX decoded into an allocation; NULL when malformed or when
 * they hide a NUL. */
char *uri_decode(const char *s, size_t len);
void uri_free(struct uri *u);
/* "file:PATH", coded so that it parses to this path; an allocation. */
char *uri_of_file(const char *path);

/* A volume argument: "NAME=URI", or "URI" whose name is the last part of its
 * path without a suffix like .raw.  Names: 1 to 64 of [A-Za-z0-9._-], not
 * starting with '.' or '-'. */
struct volume_arg {
	char *name;
	char *uri;
	bool named;	/* NAME= was given */
};
int volume_arg_parse(const char *s, struct volume_arg *a, struct err *e);
void volume_arg_free(struct volume_arg *a);
bool name_valid(const char *s);

#endif
