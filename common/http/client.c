#include "http/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/jitter.h"
#include "base/timefmt.h"
#include "http/retry.h"

#define CONNECT_S 10L
#define STALL_S 20L		/* less than one byte a second for so long */
#define SIGN_AGAIN 2
#define RECEIVE 131072L		/* bytes at a time */

struct idle {
	CURL *h;
	struct idle *next;
};

struct http_client {
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct idle *idle;		/* handles with their connections */
	unsigned limit, busy;
	double rate;
	int64_t next;			/* no request before, ns of the monotonic clock */
	struct retry_budget budget;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode started;

static void start(void)
{
	started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(unsigned limit, double rate, struct err *e)
{
	struct http_client *c;

	pthread_once(&once, start);
	if (started != CURLE_OK) {
		err_set(e, DM_ENV, "curl: %s", curl_easy_strerror(started));
		return NULL;
	}
	c = x_alloc(sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->room, NULL);
	retry_budget_init(&c->budget);
	c->limit = limit;
	c->rate = rate;
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	while (c->idle) {
		struct idle *i = c->idle;

		c->idle = i->next;
		curl_easy_cleanup(i->h);
		free(i);
	}
	retry_budget_destroy(&c->budget);
	pthread_cond_destroy(&c->room);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void http_reply_free(struct http_reply *r)
{
	if (!r->fixed)
		buf_free(&r->body);
}

static void sleep_until(int64_t when)
{
	struct timespec t = { (time_t)(when / SECOND), (long)(when % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- a place among the requests in flight, and a handle ---- */

static struct idle *handle_take(struct http_client *c)
{
	struct idle *i;
	int64_t now, when;

	pthread_mutex_lock(&c->lock);
	while (c->limit && c->busy >= c->limit)
		pthread_cond_wait(&c->room, &c->lock);
	c->busy++;
	i = c->idle;
	if (i)
		c->idle = i->next;
	now = time_mono();
	when = c->next > now ? c->next : now;
	if (c->rate > 0)
		c->next = when + (int64_t)((double)SECOND / c->rate);
	pthread_mutex_unlock(&c->lock);
	if (when > now)
		sleep_until(when);
	if (!i) {
		i = x_alloc(sizeof(*i));
		i->h = curl_easy_init();
	}
	return i;
}

static void handle_give(struct http_client *c, struct idle *i)
{
	if (i->h)
		curl_easy_reset(i->h);
	pthread_mutex_lock(&c->lock);
	c->busy--;
	i->next = c->idle;
	c->idle = i;
	pthread_cond_signal(&c->room);
	pthread_mutex_unlock(&c->lock);
}

/* ---- one attempt ---- */

static size_t take_body(char *p, size_t one, size_t n, void *arg)
{
	struct http_reply *r = arg;

	(void)one;
	if (n > r->max - r->body.len)
		return 0;	/* ends the transfer */
	if (r->fixed) {
		memcpy(r->body.p + r->body.len, p, n);
		r->body.len += n;
	} else {
		buf_put(&r->body, p, n);
	}
	return n;
}

static size_t take_header(char *p, size_t one, size_t n, void *arg)
{
	struct http_reply *r = arg;
	size_t name = 0, end = n;

	(void)one;
	while (name < n && p[name] != ':')
		name++;
	if (name == n)
		return n;
	while (end > name + 1 && isspace((unsigned char)p[end - 1]))
		end--;
	for (size_t i = 0; i < r->nwant; i++) {
		struct http_want *w = &r->want[i];
		size_t at = name + 1;

		if (strlen(w->name) != name || strncasecmp(p, w->name, name) != 0)
			continue;
		while (at < end && isspace((unsigned char)p[at]))
			at++;
		if (end - at < sizeof(w->value)) {
			memcpy(w->value, p + at, end - at);
			w->value[end - at] = 0;
		}
	}
	return n;
}

/* Without the headers that curl would add: it calls every body a form, and an
 * empty one too, which servers take at its word. */
static struct curl_slist *header_list(const struct buf *lines)
{
	struct curl_slist *first = curl_slist_append(NULL, "Expect:");
	struct curl_slist *l = first ? curl_slist_append(first, "Content-Type:") : NULL;

	if (!l)
		curl_slist_free_all(first);
	for (size_t at = 0; l && at < lines->len; at += strlen((char *)lines->p + at) + 1) {
		struct curl_slist *more = curl_slist_append(l, (char *)lines->p + at);

		if (!more) {
			curl_slist_free_all(l);
			return NULL;
		}
		l = more;
	}
	return l;
}

static void set_body(CURL *h, const struct http_request *q)
{
	if (q->body) {
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->body);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->len);
	} else if (strcmp(q->method, "GET") != 0) {
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
}

static void reply_clear(struct http_reply *r)
{
	r->status = 0;
	r->body.len = 0;
	for (size_t i = 0; i < r->nwant; i++)
		*r->want[i].value = 0;
}

static CURLcode perform(CURL *h, const struct http_request *q, struct curl_slist *headers,
    int64_t left, struct http_reply *r)
{
	int64_t limit = (int64_t)(q->attempt_s ? q->attempt_s : 60) * SECOND;
	long status = 0;
	CURLcode rc;

	curl_easy_setopt(h, CURLOPT_URL, q->url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, STALL_S);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)((left < limit ? left : limit) / 1000000 + 1));
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, RECEIVE);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, r);
	set_body(h, q);
	rc = curl_easy_perform(h);
	if (rc == CURLE_OK) {
		curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
		r->status = (int)status;
	}
	return rc;
}

/* ---- what it means ---- */

static enum http_verdict plain_verdict(const struct http_reply *r, char why[200])
{
	snprintf(why, 200, "answered %d", r->status);
	if (r->status >= 200 && r->status < 300)
		return HTTP_TAKE;
	if (r->status == 429 || r->status == 503)
		return HTTP_THROTTLED;
	return r->status >= 500 ? HTTP_BROKEN : HTTP_REFUSED;
}

static enum err_class curl_class(CURLcode rc, const struct http_reply *r)
{
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT:
		return CLASS_TIMEOUT;
	case CURLE_WRITE_ERROR:		/* take_body's: too long */
		return r->body.len <= r->max ? CLASS_PERMANENT : CLASS_TRANSIENT;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_OUT_OF_MEMORY:
		return CLASS_PERMANENT;
	default:
		return CLASS_TRANSIENT;
	}
}

/* What one attempt came to. */
struct outcome {
	bool done;
	bool sign;	/* needs fresh credentials */
	bool early;	/* takes nothing from the budget */
	char why[200];
};

/* CLASS_PERMANENT ends, unless done. */
static enum err_class attempt(struct http_client *c, const struct http_request *q,
    int64_t left, struct http_reply *r, struct outcome *o, struct err *e)
{
	struct buf lines = { 0 };
	struct curl_slist *headers;
	enum err_class cls = CLASS_PERMANENT;
	struct idle *i;
	CURLcode rc;

	reply_clear(r);
	if (q->headers && q->headers(q->arg, o->sign, &lines, e) < 0) {
		cls = e->cls;
		goto out;
	}
	headers = header_list(&lines);
	i = handle_take(c);
	rc = i->h && headers ? perform(i->h, q, headers, left, r) : CURLE_OUT_OF_MEMORY;
	handle_give(c, i);
	curl_slist_free_all(headers);
	*o = (struct outcome){ 0 };
	if (rc != CURLE_OK) {
		cls = curl_class(rc, r);
		snprintf(o->why, sizeof(o->why), "%s", rc == CURLE_WRITE_ERROR ? "the answer is too long" :
		    curl_easy_strerror(rc));
		goto out;
	}
	switch (q->verdict ? q->verdict(q->arg, r, o->why) : plain_verdict(r, o->why)) {
	case HTTP_TAKE:
		o->done = true;
		break;
	case HTTP_REFUSED:
		break;
	case HTTP_THROTTLED:
		cls = CLASS_THROTTLE;
		break;
	case HTTP_EARLY:
		o->early = true;
		/* fallthrough */
	case HTTP_BROKEN:
		cls = CLASS_TRANSIENT;
		break;
	case HTTP_SIGN:
		cls = CLASS_TRANSIENT;
		o->sign = true;
		break;
	}
out:
	buf_free(&lines);
	return cls;
}

/* The URL without its query, which may hold tokens. */
static int failed(struct err *e, const struct http_request *q, enum err_class cls, const char *why)
{
	if (!e->code) {
		err_set(e, cls == CLASS_PERMANENT ? DM_NO : DM_ENV, "%s %.*s: %s", q->method,
		    (int)strcspn(q->url, "?"), q->url, why);
		e->cls = cls;
	}
	return -1;
}

int http_do(struct http_client *c, const struct http_request *q, struct http_reply *r, struct err *e)
{
	int64_t end = time_mono() + (int64_t)(q->total_s ? q->total_s : 300) * SECOND, prev = 0;
	struct outcome o = { 0 };
	unsigned signings = 0;

	for (;;) {
		enum err_class cls = attempt(c, q, end - time_mono(), r, &o, e);
		int64_t wait;

		if (o.done) {
			retry_budget_give(&c->budget);
			return 0;
		}
		if (o.sign && ++signings > SIGN_AGAIN)
			cls = CLASS_PERMANENT;
		if (e->code || cls == CLASS_PERMANENT || q->once)
			return failed(e, q, cls, o.why);
		if (!o.early && !retry_budget_take(&c->budget, cls))
			return failed(e, q, cls, o.why);
		wait = prev = o.sign ? 0 : jitter_next(prev);
		if (time_mono() + wait >= end)
			return failed(e, q, cls, o.why);
		sleep_until(time_mono() + wait);
	}
}
