/* Object stores that speak S3: the module behind base/object.h. */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/object.h"
#include "base/timefmt.h"
#include "http/aws_sign.h"
#include "http/client.h"
#include "http/s3_list.h"

#define PARALLEL 32u		/* requests in flight */
#define ATTEMPT_S 300u		/* one transfer; a silent one ends sooner (client.c) */
#define EMPTY_MAX 1000u		/* pages of a list, one after another */
#define ANSWER_MAX (4u << 20)	/* 1,000 lines of a list are about 400 KB */

struct s3 {
	struct http_client *http;
	struct aws_credentials *cred;
	char *base;		/* "https://host[:port][/bucket]" */
	char *host;		/* points into it: what Host says, "host[:port]" */
	char *path;		/* "" or "/bucket" */
	char *prefix;		/* "" or "a/b/" */
	char *region;
};

extern const struct object_ops object_s3;

/* ---- where ---- */

static int place_set(struct s3 *s, const struct object_place *w, struct err *e)
{
	char *endpoint = w->endpoint ? x_strdup(w->endpoint) : aws_endpoint(w->profile, "s3");
	const char *host;
	int r = 0;

	if (!endpoint && !strchr(w->bucket, '.')) {
		s->base = x_printf("https://%s.s3.%s.amazonaws.com", w->bucket, s->region);
		s->path = x_strdup("");
	} else {
		if (!endpoint)
			endpoint = x_printf("https://s3.%s.amazonaws.com", s->region);
		for (size_t n = strlen(endpoint); n && endpoint[n - 1] == '/';)
			endpoint[--n] = 0;
		s->base = x_strdup(endpoint);
		s->path = x_printf("/%s", w->bucket);
	}
	host = strstr(s->base, "://");
	if (!host || strncmp(s->base, "http", 4) || !host[3] || strpbrk(host + 3, "/?#@ "))
		r = err_set(e, DM_USAGE, "endpoint %s: an http:// or https:// URL with a host and a port is wanted", s->base);
	else
		s->host = x_strdup(host + 3);
	free(endpoint);
	return r;
}

static void s3_close(void *at)
{
	struct s3 *s = at;

	http_client_free(s->http);
	aws_credentials_free(s->cred);
	free(s->base);
	free(s->host);
	free(s->path);
	free(s->prefix);
	free(s->region);
	free(s);
}

static void *s3_open(const struct object_place *w, struct err *e)
{
	struct s3 *s = x_alloc(sizeof(*s));

	s->region = w->region ? x_strdup(w->region) : aws_region(w->profile);
	/* Stores that are not Amazon's have none, and sign with this one. */
	if (!s->region && w->endpoint)
		s->region = x_strdup("us-east-1");
	s->prefix = w->prefix && *w->prefix ? x_printf("%s/", w->prefix) : x_strdup("");
	if (!s->region) {
		err_set(e, DM_USAGE, "s3://%s: no AWS region: set AWS_REGION, or say --region", w->bucket);
	} else if (place_set(s, w, e) == 0) {
		s->cred = aws_credentials_new(w->profile);
		s->http = http_client_new(PARALLEL, 0, e);
		if (s->http)
			return s;
	}
	s3_close(s);
	return NULL;
}

/* ---- one request ---- */

enum { WANT_DATE, WANT_RANGE, WANT_SUM, WANTS };

struct call {
	struct s3 *s3;
	struct sigv4_request sig;
	struct http_pair header[6];
	char payload[65], sum[48];
	const struct object_put *put;
	int (*still)(void *arg, struct err *e);
	void *arg;
	unsigned attempts;	/* begun */
};

static int call_headers(void *arg, bool fresh, struct buf *lines, struct err *e)
{
	struct call *c = arg;

	if (c->still && c->still(c->arg, e))
		return -1;
	c->attempts++;
	return aws_sign(c->s3->cred, fresh, &c->sig, c->s3->region, "s3", 0, lines, e);
}

static bool among(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

static enum http_verdict classify(const struct call *c, int status, const char *code)
{
	static const char *const sign[] = { "ExpiredToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
		"InvalidToken", "TokenRefreshRequired" };
	static const char *const transit[] = { "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch",
		"IncompleteBody", "OperationAborted", "ConditionalRequestConflict", "InternalError" };

	if (!strcmp(code, "SlowDown") || status == 429 || status == 503)
		return HTTP_THROTTLED;
	if (among(code, sign, LEN(sign)))
		return HTTP_SIGN;
	if (among(code, transit, LEN(transit)))
		return HTTP_BROKEN;
	if (!strcmp(code, "NoSuchBucket"))
		return HTTP_REFUSED;
	if (status == 404 && !c->put)
		return HTTP_TAKE;
	if (status == 412 && c->put && c->put->create)
		return HTTP_TAKE;
	/* A put under a condition while another one runs. */
	if (status == 409 && c->put)
		return HTTP_BROKEN;
	/* Past the end of what is there, or nothing at all: of a get only. */
	if (status == 416 && !strcmp(c->sig.method, "GET"))
		return HTTP_TAKE;
	return status >= 500 && status != 501 ? HTTP_BROKEN : HTTP_REFUSED;
}

static enum http_verdict call_verdict(void *arg, const struct http_reply *r, char why[200])
{
	const struct call *c = arg;
	char code[64], message[160];

	if (r->status >= 200 && r->status < 300) {
		/* What was stored must be what was sent. */
		if (!c->put || !*r->want[WANT_SUM].value || !strcmp(r->want[WANT_SUM].value, c->sum))
			return HTTP_TAKE;
		snprintf(why, 200, "the store's checksum differs from what was sent");
		return HTTP_BROKEN;
	}
	s3_error_parse(r->body.p, r->body.len, code, message);
	if (*code || *message)
		snprintf(why, 200, "%.30s%s%s", code, *message ? ": " : "", message);
	else
		snprintf(why, 200, "answered %d", r->status);
	return classify(c, r->status, code);
}

/* The path as it stands in the URL, an allocation. */
static char *path_of(const struct s3 *s, const char *name)
{
	char *key = x_printf("%s%s", s->prefix, name), *coded = sigv4_encode(key, true), *path;

	path = x_printf("%s/%s", s->path, coded);
	free(key);
	free(coded);
	return path;
}

static int call_do(struct call *c, const void *body, size_t len, unsigned total_s, struct http_reply *r,
    struct err *e)
{
	struct http_want want[WANTS] = { { .name = "date" }, { .name = "content-range" },
		{ .name = "x-amz-checksum-sha256" } };
	struct http_request q = { .method = c->sig.method, .body = body, .len = len, .headers = call_headers,
		.verdict = call_verdict, .arg = c, .attempt_s = ATTEMPT_S, .total_s = total_s ? total_s : 180 };
	char *query = sigv4_query(c->sig.query, c->sig.nquery);
	char *url = x_printf("%s%s%s%s", c->s3->base, c->sig.path, *query ? "?" : "", query);
	int rc;

	c->sig.host = c->s3->host;
	c->sig.header = c->header;
	c->sig.payload = c->payload;
	c->sig.as_is = true;
	q.url = url;
	if (!*c->payload)
		sha256_hex("", 0, c->payload);
	if (!r->want) {
		r->want = want;
		r->nwant = WANTS;
	}
	rc = http_do(c->s3->http, &q, r, e);
	if (r->want == want) {
		r->want = NULL;
		r->nwant = 0;
	}
	free(url);
	free(query);
	return rc;
}

/* ---- the calls ---- */

static int s3_put(void *at, const struct object_put *p, struct err *e)
{
	struct s3 *s = at;
	char *path = path_of(s, p->name);
	struct call c = { .s3 = s, .put = p, .still = p->still, .arg = p->arg,
		.sig = { .method = "PUT", .path = path, .nheaders = 2 } };
	struct http_reply r = { .max = ANSWER_MAX };
	uint8_t sum[32];
	int rc;

	sha256_of(p->p, p->len, sum);
	hex_put(c.payload, sum, sizeof(sum));
	EVP_EncodeBlock((unsigned char *)c.sum, sum, sizeof(sum));
	c.header[0] = (struct http_pair){ "content-type", "application/octet-stream" };
	c.header[1] = (struct http_pair){ "x-amz-checksum-sha256", c.sum };
	if (p->create)
		c.header[c.sig.nheaders++] = (struct http_pair){ "if-none-match", "*" };
	rc = call_do(&c, p->len ? p->p : NULL, p->len, p->total_s ? p->total_s : 900, &r, e);
	if (rc == 0 && r.status == 412)
		rc = c.attempts > 1 ? 2 : 1;
	http_reply_free(&r);
	free(path);
	return rc;
}

/* "bytes 0-63/1234": the last number. */
static int whole_size(const char *range, uint64_t *size)
{
	const char *slash = strchr(range, '/');

	return slash ? u64_parse(slash + 1, 0, INT64_MAX, size) : -1;
}

static int get_take(struct http_reply *r, const struct http_want *want, const char *name, uint64_t off, size_t len,
    struct buf *out, uint64_t *size, struct err *e)
{
	if (r->status == 404)
		return 0;
	*size = r->body.len;
	if (r->status == 416) {
		/* Past the end, or nothing at all. */
		if (whole_size(want[WANT_RANGE].value, size))
			*size = 0;
		return 1;
	}
	if (r->status == 206 && whole_size(want[WANT_RANGE].value, size))
		return err_set(e, DM_ENV, "get %s: an answer without its range", name);
	if (r->status == 206) {
		uint64_t from = off == OBJECT_TAIL ? *size - min64(*size, len) : off;

		if (from > *size || r->body.len != min64(len, *size - from))
			return err_set(e, DM_ENV, "get %s: another range came than was asked for", name);
	} else {
		/* The whole of it, where only a part was asked for. */
		uint64_t from = off == OBJECT_TAIL ? *size - min64(*size, len) : min64(off, *size);

		if (from < *size)
			buf_put(out, r->body.p + from, (size_t)min64(len, *size - from));
		return 1;
	}
	if (!out->p) {
		*out = r->body;
		r->body = (struct buf){ 0 };
	} else {
		buf_put(out, r->body.p, r->body.len);
	}
	return 1;
}

static int s3_get(void *at, const char *name, uint64_t off, size_t len, struct buf *out, uint64_t *size,
    struct err *e)
{
	struct s3 *s = at;
	char *path = path_of(s, name), range[64];
	struct http_want want[WANTS] = { { .name = "date" }, { .name = "content-range" },
		{ .name = "x-amz-checksum-sha256" } };
	struct call c = { .s3 = s, .sig = { .method = "GET", .path = path, .nheaders = 1 } };
	struct http_reply r = { .max = len + ANSWER_MAX, .want = want, .nwant = WANTS };
	int rc;

	if (off == OBJECT_TAIL)
		snprintf(range, sizeof(range), "bytes=-%zu", len);
	else
		snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)off,
		    (unsigned long long)(off + len - 1));
	c.header[0] = (struct http_pair){ "range", range };
	rc = call_do(&c, NULL, 0, 0, &r, e);
	if (rc == 0)
		rc = get_take(&r, want, name, off, len, out, size, e);
	http_reply_free(&r);
	free(path);
	return rc;
}

static int s3_remove(void *at, const char *name, int (*still)(void *arg, struct err *e), void *arg, struct err *e)
{
	struct s3 *s = at;
	char *path = path_of(s, name);
	struct call c = { .s3 = s, .still = still, .arg = arg, .sig = { .method = "DELETE", .path = path } };
	struct http_reply r = { .max = ANSWER_MAX };
	int rc = call_do(&c, NULL, 0, 0, &r, e);

	http_reply_free(&r);
	free(path);
	return rc;
}

static int page_get(struct s3 *s, const char *prefix, const char *token, struct s3_page *page, int64_t *now,
    struct err *e)
{
	struct http_want want[WANTS] = { { .name = "date" }, { .name = "content-range" },
		{ .name = "x-amz-checksum-sha256" } };
	char *path = x_printf("%s/", s->path), *full = x_printf("%s%s", s->prefix, prefix);
	struct http_pair query[4] = { { "list-type", "2" }, { "prefix", full }, { "encoding-type", "url" },
		{ "continuation-token", token } };
	struct call c = { .s3 = s, .sig = { .method = "GET", .path = path, .query = query, .nquery = token ? 4 : 3 } };
	struct http_reply r = { .max = ANSWER_MAX, .want = want, .nwant = WANTS };
	int rc = call_do(&c, NULL, 0, 0, &r, e);

	if (rc == 0 && r.status != 200)
		rc = err_set(e, DM_NO, "list of %s: answered %d", full, r.status);
	if (rc == 0)
		rc = s3_page_parse(r.body.p, r.body.len, page, e);
	*now = http_date(want[WANT_DATE].value) * SECOND;
	if (rc == 0 && *now < 0)
		rc = err_set(e, DM_ENV, "list of %s: an answer that does not tell the time", full);
	http_reply_free(&r);
	free(path);
	free(full);
	return rc;
}

/* Whoever asks goes by the names beginning so: no matter what a store lists. */
static int page_tell(const struct s3 *s, const char *prefix, const struct s3_page *p,
    int (*each)(const struct object_row *row, void *arg), void *arg)
{
	size_t skip = strlen(s->prefix);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->n; i++) {
		struct object_row row = { .size = p->row[i].size, .modified = p->row[i].modified };

		if (strncmp(p->row[i].key, s->prefix, skip) || strncmp(p->row[i].key + skip, prefix, strlen(prefix)))
			continue;
		row.name = p->row[i].key + skip;
		rc = each(&row, arg);
	}
	return rc;
}

static int s3_list(void *at, const char *prefix, int (*each)(const struct object_row *row, void *arg), void *arg,
    int64_t *now, struct err *e)
{
	struct s3 *s = at;
	char *token = NULL;
	unsigned empty = 0;
	int rc = 0;

	do {
		struct s3_page page = { .n = 0 };

		rc = page_get(s, prefix, token, &page, now, e);
		if (rc == 0)
			rc = page_tell(s, prefix, &page, each, arg);
		empty = page.n ? 0 : empty + 1;
		if (rc == 0 && page.next && (empty > EMPTY_MAX || (token && !strcmp(token, page.next))))
			rc = err_set(e, DM_ENV, "list of %s%s: it does not end", s->prefix, prefix);
		free(token);
		token = page.next;
		page.next = NULL;
		s3_page_free(&page);
	} while (rc == 0 && token);
	free(token);
	return rc;
}

const struct object_ops object_s3 = {
	.open = s3_open,
	.close = s3_close,
	.put = s3_put,
	.get = s3_get,
	.remove = s3_remove,
	.list = s3_list,
};
