#include "http/aws_sign.h"

#include <stdlib.h>
#include <time.h>

#define HEADERS 14

int aws_sign(struct aws_credentials *cred, bool fresh, const struct sigv4_request *r, const char *region,
    const char *service, int64_t skew, struct buf *lines, struct err *e)
{
	struct http_pair header[HEADERS];
	struct sigv4_request all = *r;
	struct aws_key key = { 0 };
	time_t now = time(NULL) + (time_t)skew;
	char date[20], *authorization;
	struct tm tm;

	if (aws_credentials_get(cred, fresh, &key, e) < 0)
		return -1;
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	all.header = header;
	for (all.nheaders = 0; all.nheaders < r->nheaders && all.nheaders < HEADERS - 2; all.nheaders++)
		header[all.nheaders] = r->header[all.nheaders];
	header[all.nheaders++] = (struct http_pair){ "x-amz-content-sha256", r->payload };
	if (key.token)
		header[all.nheaders++] = (struct http_pair){ "x-amz-security-token", key.token };
	authorization = sigv4_authorization(&all, &(struct sigv4_scope){ .key_id = key.id, .secret = key.secret,
		.region = region, .service = service, .date = date });
	for (size_t i = 0; i < all.nheaders; i++)
		buf_printf(lines, "%s: %s%c", header[i].name, header[i].value, 0);
	buf_printf(lines, "x-amz-date: %s%cAuthorization: %s%c", date, 0, authorization, 0);
	free(authorization);
	aws_key_free(&key);
	return 0;
}
