/* Answers of S3 that are XML: pages of ListObjectsV2, and failures. */
#ifndef DM_HTTP_S3_LIST_H
#define DM_HTTP_S3_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct s3_row {
	char *key;		/* plain, never empty */
	uint64_t size;
	int64_t modified;	/* ns since the epoch */
};
struct s3_page {
	struct s3_row *row;
	size_t n;
	char *next;		/* token of the page behind this one; NULL: it is the last */
};
/* One page, asked for with encoding-type=url.  0; DM_ENV when it is no such
 * answer.  The page is the caller's to free either way. */
int s3_page_parse(const void *xml, size_t len, struct s3_page *out, struct err *e);
void s3_page_free(struct s3_page *p);

/* <Error>: its Code and Message, "" where there is none. */
void s3_error_parse(const void *xml, size_t len, char code[64], char message[160]);

#endif
