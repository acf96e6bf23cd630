/* What AWS and stores like S3 answer, in place of the client of HTTP: the first
 * byte says who asks.  Each answer of the input is the index of its status, the
 * length of its headers and of its body, the values of the headers that are
 * wanted with a newline behind each, the body.  Refused with a sentence, or
 * understood. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/no_http.h"
#include "base/object.h"
#include "file.h"
#include "http/aws_profile.h"
#include "http/aws_sources.h"
#include "volume/drv_ebs.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

extern const struct object_ops object_s3;

#define ATTEMPTS 3

/* ---- the client ---- */

static const uint8_t *at, *end;

static void take_headers(struct http_reply *r, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < r->nwant; i++) {
		struct http_want *w = &r->want[i];
		const uint8_t *nl = len ? memchr(p, '\n', len) : NULL;
		size_t n = nl ? (size_t)(nl - p) : len, fits = min64(n, sizeof(w->value) - 1);

		memcpy(w->value, p, fits);
		w->value[fits] = 0;
		n += nl ? 1 : 0;
		p += n;
		len -= n;
	}
}

/* The next answer; false when there is none, or it is too long. */
static bool take_answer(struct http_reply *r)
{
	static const int status[] = { 200, 200, 200, 206, 204, 301, 400, 403, 404, 409, 412, 416, 429, 500, 503 };
	size_t head, body;

	if (end - at < 4)
		return false;
	r->status = status[at[0] % LEN(status)];
	head = at[1] % ((size_t)(end - at) - 3);
	body = get16(at + 2) % ((size_t)(end - at) - 3 - head);
	take_headers(r, at + 4, head);
	at += 4 + head;
	r->body.len = 0;
	if (body > r->max)
		return false;
	if (r->fixed) {
		memcpy(r->body.p, at, body);
		r->body.len = body;
	} else if (body) {
		buf_put(&r->body, at, body);
	}
	at += body;
	return true;
}

int http_do(struct http_client *c, const struct http_request *q, struct http_reply *r, struct err *e)
{
	enum http_verdict v = HTTP_TAKE;
	char why[200] = "answered wrongly";

	assert(c == &client && !strncmp(q->url, "http", 4));
	for (int i = 0; i < ATTEMPTS; i++) {
		struct buf lines = { 0 };

		if (q->headers && q->headers(q->arg, v == HTTP_SIGN, &lines, e) < 0) {
			buf_free(&lines);
			return -1;
		}
		assert(!lines.len || !lines.p[lines.len - 1]);
		buf_free(&lines);
		if (!take_answer(r))
			return err_set(e, DM_ENV, "no answer");
		v = q->verdict ? q->verdict(q->arg, r, why) : r->status < 300 ? HTTP_TAKE : HTTP_REFUSED;
		assert(strlen(why) < sizeof(why));
		if (v == HTTP_TAKE)
			return 0;
		if (v == HTTP_REFUSED)
			break;
	}
	return err_set(e, v == HTTP_REFUSED ? DM_NO : DM_ENV, "%s", why);
}

/* ---- who asks ---- */

static void failed(const struct err *e)
{
	assert((e->code == DM_ENV || e->code == DM_NO || e->code == DM_USAGE) && *e->text);
}

static void blocks(struct ebs_api *a)
{
	struct err e = { 0 };
	struct ebs_reader *r = ebs_reader_new(a, "snap-0123456789abcdef0", &e);
	uint64_t at_block = 0, index;
	uint8_t *p;
	bool has;
	int rc = 0;

	if (!r) {
		failed(&e);
		return;
	}
	p = malloc(ebs_reader_block(r));
	assert(p && ebs_reader_volume(r) % ebs_reader_block(r) == 0);
	for (int i = 0; i < 4 && (rc = ebs_reader_next(r, at_block, &index, &e)) > 0; i++) {
		assert(index >= at_block);
		at_block = index + 1;
		if (ebs_reader_get(r, index, p, &has, &e) == 0)
			continue;
		failed(&e);
		e = (struct err){ 0 };
	}
	if (rc < 0)
		failed(&e);
	free(p);
	ebs_reader_free(r);
}

static void changes(struct ebs_api *a)
{
	struct err e = { 0 };
	struct ebs_page page = { .from = 3 };

	if (ebs_list(a, "snap-1", "snap-0", 1000, &page, &e) < 0) {
		failed(&e);
		return;
	}
	for (size_t i = 0; i < page.n; i++) {
		assert(page.block[i].index >= 3 && page.block[i].index < page.to);
		assert(!i || page.block[i - 1].index < page.block[i].index);
	}
	ebs_page_free(&page);
}

static void snapshots(struct ebs_api *a)
{
	struct ebs_snapshot s, *v;
	struct err e = { 0 };
	size_t n;
	int rc = ebs_snapshot_find(a, "snap-0123456789abcdef0", true, &s, &e);

	assert(rc <= 0 || (ebs_id_valid(s.id) && s.point && s.root && s.owner && s.volume));
	ebs_snapshot_free(&s);
	e = (struct err){ 0 };
	if (ebs_snapshot_list(a, "o", &v, &n, &e) < 0) {
		failed(&e);
	} else {
		for (size_t i = 0; i < n; i++)
			assert(ebs_id_valid(v[i].id));
		ebs_snapshot_list_free(v, n);
	}
	e = (struct err){ 0 };
	if (ebs_snapshot_delete(a, "snap-0123456789abcdef0", &e) < 0)
		failed(&e);
}

static void keys(int (*from)(struct http_client *c, struct aws_key *k, struct err *e))
{
	struct aws_key k = { 0 };
	struct err e = { 0 };
	int rc = from(&client, &k, &e);

	assert(rc <= 0 ? rc == 0 || e.code : k.id && k.secret);
	aws_key_free(&k);
}

static void profile(void)
{
	const char *path = fuzz_path(at, (size_t)(end - at));
	struct aws_key k = { 0 };
	struct err e = { 0 };
	char *word;

	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	setenv("AWS_CONFIG_FILE", path, 1);
	if (aws_from_profile("p", &k, &e) < 0)
		assert(e.code == DM_USAGE);
	aws_key_free(&k);
	word = aws_region("p");
	free(word);
	word = aws_endpoint("p", "ebs");
	free(word);
	word = aws_endpoint(NULL, "s3");
	free(word);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
}

static int row(const struct object_row *r, void *arg)
{
	assert(!strncmp(r->name, "a/", 2) && r->size <= INT64_MAX);
	(*(unsigned *)arg)++;
	return 0;
}

static void store(void)
{
	const struct object_place where = { .kind = "s3", .bucket = "b", .prefix = "x", .endpoint = "http://h", .region = "r" };
	const struct object_put put = { .name = "a/b", .p = "text", .len = 4, .create = true };
	struct err e = { 0 };
	struct buf b = { 0 };
	uint64_t size = 0;
	void *s = object_s3.open(&where, &e);
	unsigned rows = 0;
	int64_t now;
	int rc;

	assert(s);
	rc = object_s3.get(s, "a/b", 10, 100, &b, &size, &e);
	assert(rc >= 0 ? b.len <= 100 : e.code);
	b.len = 0;
	e = (struct err){ 0 };
	rc = object_s3.get(s, "a/b", OBJECT_TAIL, 100, &b, &size, &e);
	assert(rc >= 0 ? b.len <= 100 : e.code);
	e = (struct err){ 0 };
	rc = object_s3.list(s, "a/", row, &rows, &now, &e);
	assert(rc == 0 ? now >= 0 : e.code);
	e = (struct err){ 0 };
	rc = object_s3.put(s, &put, &e);
	assert(rc < 0 ? e.code : rc <= 2);
	e = (struct err){ 0 };
	rc = object_s3.remove(s, "a/b", NULL, NULL, &e);
	assert(rc == 0 || e.code);
	buf_free(&b);
	object_s3.close(s);
}

static void ebs(void (*ask)(struct ebs_api *a))
{
	char uri[] = "ebs:snap-1?region=r&endpoint=http://h&ec2-endpoint=http://h";
	struct ebs_api a = { 0 };
	struct err e = { 0 };
	struct uri u;

	assert(!uri_parse(uri, &u, &e) && !ebs_api_open(&a, &u, &e));
	ask(&a);
	ebs_api_close(&a);
	uri_free(&u);
}

/* Nothing of the machine: no keys, no files, no commands. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("AWS_ACCESS_KEY_ID", "id", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://h/", 1);
	unsetenv("AWS_EC2_METADATA_DISABLED");
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	unsetenv("AWS_SESSION_TOKEN");
	unsetenv("AWS_PROFILE");
	unsetenv("AWS_REGION");
	unsetenv("AWS_DEFAULT_REGION");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	if (!len)
		return 0;
	at = p + 1;
	end = p + len;
	switch (p[0] % 7) {
	case 0:
		ebs(blocks);
		break;
	case 1:
		ebs(changes);
		break;
	case 2:
		ebs(snapshots);
		break;
	case 3:
		keys(aws_from_instance);
		break;
	case 4:
		keys(aws_from_container);
		break;
	case 5:
		profile();
		break;
	default:
		store();
	}
	return 0;
}
