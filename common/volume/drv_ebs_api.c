/* ebs: volumes, requests: signed, and their failures told apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "http/aws_sign.h"
#include "volume/drv_ebs.h"

#define SKEW_MAX 120		/* seconds */
#define ANSWER_MAX (8u << 20)	/* 10,000 blocks of a list are about 2 MB */

static const char *const service_name[] = { "ebs", "ec2" };

/* "https://host[:port]" without a path; *host points into it. */
static int endpoint_set(struct ebs_api *a, enum ebs_service s, char *given, struct err *e)
{
	char *host;

	a->endpoint[s] = given ? given :
	    x_printf("https://%s.%s.amazonaws.com", service_name[s], a->region);
	host = strstr(a->endpoint[s], "://");
	if (!host || (strncmp(a->endpoint[s], "http", 4) != 0))
		return err_set(e, DM_USAGE, "endpoint %s: no http:// or https:// URL", a->endpoint[s]);
	host += 3;
	while (*host && host[strlen(host) - 1] == '/')
		host[strlen(host) - 1] = 0;
	if (!*host || strpbrk(host, "/?#@ "))
		return err_set(e, DM_USAGE, "endpoint %s: only a host and a port may be named", a->endpoint[s]);
	a->host[s] = x_strdup(host);
	return 0;
}

/* timeout=SECONDS, 60 unless given. */
static int timeout_set(struct ebs_api *a, const struct uri *u, struct err *e)
{
	char *word = uri_query(u, "timeout");
	uint64_t n = 60;
	int rc = 0;

	if (word && u64_parse(word, 1, 3600, &n) < 0)
		rc = err_set(e, DM_USAGE, "timeout=%s: seconds, 1 to 3600", word);
	a->attempt_s = (unsigned)n;
	free(word);
	return rc;
}

int ebs_api_open(struct ebs_api *a, const struct uri *u, struct err *e)
{
	char *profile = uri_query(u, "profile"), *given[2];
	int rc = -1;

	a->region = uri_query(u, "region");
	if (!a->region)
		a->region = aws_region(profile);
	given[EBS_DIRECT] = uri_query(u, "endpoint");
	if (!given[EBS_DIRECT])
		given[EBS_DIRECT] = aws_endpoint(profile, "ebs");
	given[EBS_EC2] = uri_query(u, "ec2-endpoint");
	if (!given[EBS_EC2])
		given[EBS_EC2] = aws_endpoint(profile, "ec2");
	if (!a->region) {
		err_set(e, DM_USAGE, "no AWS region: set AWS_REGION, or write ebs:...?region=NAME");
		free(given[EBS_DIRECT]);
		free(given[EBS_EC2]);
	} else if ((endpoint_set(a, EBS_DIRECT, given[EBS_DIRECT], e) |
	    endpoint_set(a, EBS_EC2, given[EBS_EC2], e)) == 0 && timeout_set(a, u, e) == 0) {
		a->cred = aws_credentials_new(profile);
		a->http = http_client_new(EBS_PARALLEL, EBS_RATE, e);
		rc = a->http ? 0 : -1;
	}
	free(profile);
	return rc;
}

void ebs_api_close(struct ebs_api *a)
{
	http_client_free(a->http);
	aws_credentials_free(a->cred);
	free(a->region);
	for (int i = 0; i < 2; i++) {
		free(a->endpoint[i]);
		free(a->host[i]);
	}
	*a = (struct ebs_api){ 0 };
}

/* ---- signing ---- */

struct attempt {
	struct ebs_api *api;
	const struct ebs_call *c;
	char payload[65];
};

enum { WANT_ERROR, WANT_DATE };	/* of EBS_WANTS */

static int sign(void *arg, bool fresh, struct buf *lines, struct err *e)
{
	const struct attempt *t = arg;
	const struct ebs_call *c = t->c;
	const struct sigv4_request r = { .method = c->method, .host = t->api->host[c->service], .path = c->path,
		.query = c->query, .nquery = c->nquery, .header = c->header, .nheaders = c->nheaders,
		.payload = t->payload };

	return aws_sign(t->api->cred, fresh, &r, t->api->region, service_name[c->service], t->api->skew, lines, e);
}

/* ---- failures ---- */

static bool has(const char *s, const char *part)
{
	return strstr(s, part) != NULL;
}

/* The first element's text in EC2's <Code>, <Message>. */
static void xml_word(const char *body, const char *tag, char *out, size_t room)
{
	char open[32];
	const char *at;

	snprintf(open, sizeof(open), "<%s>", tag);
	at = strstr(body, open);
	if (at) {
		at += strlen(open);
		snprintf(out, room, "%.*s", (int)strcspn(at, "<"), at);
	}
}

/* Name and sentence of a failure, from header, JSON or XML. */
static void error_words(const struct http_reply *r, char name[64], char text[160])
{
	const char *type = r->want[WANT_ERROR].value;
	char *body = x_printf("%.*s", (int)min64(r->body.len, 64u << 10), r->body.p ? (char *)r->body.p : "");
	json_t *v = json_loads(body, 0, NULL);
	const char *s = json_string_value(json_object_get(v, "Message"));

	if (!*type)
		type = json_string_value(json_object_get(v, "__type"));
	if (!s)
		s = json_string_value(json_object_get(v, "message"));
	snprintf(name, 64, "%.*s", type ? (int)strcspn(type, ":") : 0, type ? type : "");
	snprintf(text, 160, "%s", s ? s : "");
	xml_word(body, "Code", name, *name ? 0 : 64);
	xml_word(body, "Message", text, *text ? 0 : 160);
	json_decref(v);
	free(body);
}

static enum http_verdict classify(const struct attempt *t, int status, const char *name, const char *text)
{
	if (has(name, "Throttl") || has(name, "RequestLimitExceeded") || status == 429 || status == 503)
		return HTTP_THROTTLED;
	if (status >= 500)
		return HTTP_BROKEN;
	if (has(name, "ExpiredToken") || has(name, "InvalidSignature") || has(name, "RequestExpired") ||
	    has(name, "SignatureDoesNotMatch") || has(name, "RequestTimeTooSkewed") || has(name, "AuthFailure"))
		return HTTP_SIGN;
	if (has(name, "Validation") && has(text, "Failed to read block data"))
		return HTTP_BROKEN;
	/* A snapshot that was just started is not known everywhere at once. */
	if (t->c->missing_ok && (status == 404 || has(name, "NotFound")))
		return HTTP_EARLY;
	return HTTP_REFUSED;
}

/* A request is signed with the time, and refused when that is minutes wrong:
 * then AWS's clock counts. */
static void take_clock(struct ebs_api *a, const char *date)
{
	int64_t there = http_date(date), here = (int64_t)time(NULL) + a->skew;

	if (there > 0 && (there - here > SKEW_MAX || here - there > SKEW_MAX))
		a->skew = there - (int64_t)time(NULL);
}

static enum http_verdict verdict(void *arg, const struct http_reply *r, char why[200])
{
	const struct attempt *t = arg;
	enum http_verdict v;
	char name[64] = "", text[160] = "";

	if (r->status >= 200 && r->status < 300)
		return HTTP_TAKE;
	error_words(r, name, text);
	if (*name || *text)
		snprintf(why, 200, "%s%s%s", name, *text ? ": " : "", text);
	else
		snprintf(why, 200, "answered %d", r->status);
	v = classify(t, r->status, name, text);
	if (v == HTTP_SIGN)
		take_clock(t->api, r->want[WANT_DATE].value);
	return v;
}

/* ---- calls ---- */

int ebs_call(struct ebs_api *a, const struct ebs_call *c, struct http_reply *r, struct err *e)
{
	struct attempt t = { .api = a, .c = c };
	struct http_want plain[] = { EBS_WANTS };
	char *query = sigv4_query(c->query, c->nquery);
	char *url = x_printf("%s%s%s%s", a->endpoint[c->service], c->path, *query ? "?" : "", query);
	struct http_request q = { .method = c->method, .url = url, .body = c->body, .len = c->len,
		.headers = sign, .verdict = verdict, .arg = &t, .attempt_s = a->attempt_s, .total_s = 300 };
	int rc;

	if (c->digest)
		hex_put(t.payload, c->digest, 32);
	else
		sha256_hex(c->body ? c->body : "", c->len, t.payload);
	if (!r->want) {
		r->want = plain;	/* cppcheck-suppress autoVariables */
		r->nwant = LEN(plain);
	}
	if (!r->max)
		r->max = ANSWER_MAX;
	rc = http_do(a->http, &q, r, e);
	if (r->want == plain) {
		r->want = NULL;
		r->nwant = 0;
	}
	free(url);
	free(query);
	return rc;
}

json_t *ebs_json(struct ebs_api *a, const struct ebs_call *c, struct err *e)
{
	struct http_reply r = { 0 };
	json_error_t je;
	json_t *v = NULL;

	if (ebs_call(a, c, &r, e) == 0) {
		v = json_loadb((char *)r.body.p, r.body.len, 0, &je);
		if (!json_is_object(v)) {
			err_set(e, DM_ENV, "%s %s: the answer is no JSON object", c->method, c->path);
			json_decref(v);
			v = NULL;
		}
	}
	http_reply_free(&r);
	return v;
}

/* ---- several at a time ---- */

#define SIDE_BY_SIDE 8u

struct part {
	int (*one)(void *arg, uint64_t i, struct err *e);
	void *arg;
	uint64_t i;
	struct err e;
	int rc;
};

static void *run_part(void *arg)
{
	struct part *p = arg;

	p->rc = p->one(p->arg, p->i, &p->e);
	return NULL;
}

int ebs_each(uint64_t first, uint64_t end, int (*one)(void *arg, uint64_t i, struct err *e), void *arg,
    struct err *e)
{
	int rc = 0;

	for (uint64_t at = first; rc == 0 && at < end; at += SIDE_BY_SIDE) {
		struct part part[SIDE_BY_SIDE];
		pthread_t thread[SIDE_BY_SIDE];
		bool own[SIDE_BY_SIDE] = { false };
		size_t n = min64(SIDE_BY_SIDE, end - at);

		for (size_t i = n; i-- > 0;) {
			part[i] = (struct part){ .one = one, .arg = arg, .i = at + i };
			own[i] = i > 0 && pthread_create(&thread[i], NULL, run_part, &part[i]) == 0;
			if (!own[i])
				run_part(&part[i]);
		}
		for (size_t i = 0; i < n; i++) {
			if (own[i])
				pthread_join(thread[i], NULL);
			if (rc == 0 && part[i].rc < 0) {
				*e = part[i].e;
				rc = -1;
			}
		}
	}
	return rc;
}

int ebs_failed(struct volume *v, const struct err *e)
{
	return volume_fail_err(v, e);
}

bool ebs_id_valid(const char *s)
{
	return !strncmp(s, "snap-", 5) && s[5] && strlen(s) < 64 &&
	    strspn(s + 5, "0123456789abcdefghijklmnopqrstuvwxyz-") == strlen(s + 5);
}
