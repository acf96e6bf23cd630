#include "http/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/bytes.h"

#define SCHEME "AWS4-HMAC-SHA256"

void sha256_of(const void *p, size_t len, uint8_t out[32])
{
	/* Fails only when the library has no SHA-256 at all. */
	if (EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

void sha256_hex(const void *p, size_t len, char out[65])
{
	uint8_t sum[32];

	sha256_of(p, len, sum);
	hex_put(out, sum, sizeof(sum));
}

static void hmac(const void *key, size_t key_len, const char *text, uint8_t out[32])
{
	unsigned len = 32;

	if (!HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text, strlen(text), out, &len))
		abort();
}

static bool unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

static void encode_to(struct buf *b, const char *s, size_t len, bool slash)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (unreserved(c) || (slash && c == '/'))
			buf_put(b, &c, 1);
		else
			buf_printf(b, "%%%02X", c);
	}
}

static char *buf_string(struct buf *b)
{
	buf_put(b, "", 1);
	return (char *)b->p;
}

char *sigv4_encode(const char *s, bool slash)
{
	struct buf b = { 0 };

	encode_to(&b, s, strlen(s), slash);
	return buf_string(&b);
}

static int pair_order(const void *a, const void *b)
{
	const struct http_pair *p = a, *q = b;
	int r = strcmp(p->name, q->name);

	return r ? r : strcmp(p->value, q->value);
}

char *sigv4_query(const struct http_pair *query, size_t n)
{
	struct http_pair *sorted = x_array(n + 1, sizeof(*sorted));
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++) {
		sorted[i].name = sigv4_encode(query[i].name, false);
		sorted[i].value = sigv4_encode(query[i].value, false);
	}
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), pair_order);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s%s=%s", i ? "&" : "", sorted[i].name, sorted[i].value);
		free((char *)sorted[i].name);
		free((char *)sorted[i].value);
	}
	free(sorted);
	return buf_string(&b);
}

/* RFC 3986 section 5.2.4: without ".", ".." and empty segments. */
static char *path_normal(const char *path)
{
	size_t len = strlen(path);
	struct buf b = { 0 };
	const char *p = path;

	buf_put(&b, "/", 1);
	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !memcmp(p, "..", 2)) {
			if (b.len > 1)
				b.len--;
			while (b.len > 0 && b.p[b.len - 1] != '/')
				b.len--;
		} else if (n > 0 && !(n == 1 && *p == '.')) {
			buf_put(&b, p, n);
			buf_put(&b, "/", 1);
		}
		p += n + (p[n] == '/');
	}
	if (b.len > 1 && path[len - 1] != '/')
		b.len--;
	return buf_string(&b);
}

/* For all but S3 what the URL has encoded is encoded again. */
static char *canonical_path(const struct sigv4_request *r)
{
	char *path, *out;

	if (r->as_is)
		return x_strdup(r->path);
	path = path_normal(r->path);
	out = sigv4_encode(path, true);
	free(path);
	return out;
}

/* Without blanks at the ends, runs of blanks as one. */
static void put_trimmed(struct buf *b, const char *s)
{
	bool gap = false, some = false;

	for (; *s; s++) {
		if (*s == ' ' || *s == '\t' || *s == '\n') {
			gap = some;
			continue;
		}
		if (gap)
			buf_put(b, " ", 1);
		buf_put(b, s, 1);
		gap = false;
		some = true;
	}
}

/* All headers to be signed, sorted by name, those of one name in their order. */
static struct http_pair *headers_sorted(const struct sigv4_request *r, const char *date, size_t *n)
{
	struct http_pair *h = x_array(r->nheaders + 2, sizeof(*h));

	*n = 0;
	for (size_t i = 0; i < r->nheaders + 2; i++) {
		struct http_pair p = i < r->nheaders ? r->header[i] :
		    i == r->nheaders ? (struct http_pair){ "host", r->host } :
		    (struct http_pair){ "x-amz-date", date };
		size_t at = (*n)++;

		while (at > 0 && strcmp(h[at - 1].name, p.name) > 0) {
			h[at] = h[at - 1];
			at--;
		}
		h[at] = p;
	}
	return h;
}

static void put_headers(struct buf *b, const struct http_pair *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && !strcmp(h[i].name, h[i - 1].name))
			buf_put(b, ",", 1);
		else
			buf_printf(b, "%s%s:", i ? "\n" : "", h[i].name);
		put_trimmed(b, h[i].value);
	}
	buf_printf(b, "\n\n");
}

static void put_names(struct buf *b, const struct http_pair *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(h[i].name, h[i - 1].name) != 0)
			buf_printf(b, "%s%s", i ? ";" : "", h[i].name);
}

char *sigv4_canonical(const struct sigv4_request *r, const struct sigv4_scope *s)
{
	size_t n;
	struct http_pair *h = headers_sorted(r, s->date, &n);
	char *path = canonical_path(r), *query = sigv4_query(r->query, r->nquery);
	struct buf b = { 0 };

	buf_printf(&b, "%s\n", r->method);
	buf_put(&b, path, strlen(path));
	buf_printf(&b, "\n");
	buf_put(&b, query, strlen(query));
	buf_printf(&b, "\n");
	put_headers(&b, h, n);
	put_names(&b, h, n);
	buf_printf(&b, "\n%s", r->payload);
	free(path);
	free(query);
	free(h);
	return buf_string(&b);
}

static void signing_key(const struct sigv4_scope *s, uint8_t key[32])
{
	char *first = x_printf("AWS4%s", s->secret), day[9] = "";

	memcpy(day, s->date, strnlen(s->date, 8));
	hmac(first, strlen(first), day, key);
	hmac(key, 32, s->region, key);
	hmac(key, 32, s->service, key);
	hmac(key, 32, "aws4_request", key);
	OPENSSL_cleanse(first, strlen(first));
	free(first);
}

char *sigv4_authorization(const struct sigv4_request *r, const struct sigv4_scope *s)
{
	char *canonical = sigv4_canonical(r, s), *scope, *text, *out, digest[65], signature[65];
	struct buf names = { 0 };
	uint8_t key[32], sum[32];
	size_t n;
	struct http_pair *h = headers_sorted(r, s->date, &n);

	put_names(&names, h, n);
	buf_put(&names, "", 1);
	scope = x_printf("%.8s/%s/%s/aws4_request", s->date, s->region, s->service);
	sha256_hex(canonical, strlen(canonical), digest);
	text = x_printf(SCHEME "\n%s\n%s\n%s", s->date, scope, digest);
	signing_key(s, key);
	hmac(key, sizeof(key), text, sum);
	hex_put(signature, sum, sizeof(sum));
	out = x_printf(SCHEME " Credential=%s/%s, SignedHeaders=%s, Signature=%s", s->key_id, scope,
	    (char *)names.p, signature);
	OPENSSL_cleanse(key, sizeof(key));
	buf_free(&names);
	free(canonical);
	free(scope);
	free(text);
	free(h);
	return out;
}
