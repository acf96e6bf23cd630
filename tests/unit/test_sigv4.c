/* Signature Version 4 against the vectors that its vendor published. */
#include <jansson.h>
#include <string.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "http/sigv4.h"

#define VECTORS "tests/golden/sigv4/vectors.json"

static const struct sigv4_scope scope = {
	.key_id = "AKIDEXAMPLE",
	.secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	.region = "us-east-1",
	.service = "service",
	.date = "20150830T123600Z",
};

static const char *word(const json_t *v, const char *key)
{
	const char *s = json_string_value(json_object_get(v, key));

	CHECK(s);
	return s;
}

static size_t pairs(const json_t *list, struct http_pair *out, size_t max)
{
	size_t i, n = 0;
	json_t *p;

	json_array_foreach(list, i, p) {
		CHECK(n < max);
		out[n++] = (struct http_pair){ json_string_value(json_array_get(p, 0)),
			json_string_value(json_array_get(p, 1)) };
	}
	return n;
}

/* What the signer of a vector adds to its headers; takes "host" out, which is
 * named apart. */
static void vector_headers(const json_t *v, struct sigv4_request *r, struct http_pair *h, char *digest)
{
	size_t n = pairs(json_object_get(v, "headers"), h, 12), kept = 0;
	const char *body = word(v, "body");

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(h[i].name, "host"))
			r->host = h[i].value;
		else
			h[kept++] = h[i];
	}
	sha256_hex(body, strlen(body), digest);
	r->payload = digest;
	if (json_is_true(json_object_get(v, "sign_body")))
		h[kept++] = (struct http_pair){ "x-amz-content-sha256", digest };
	if (json_is_true(json_object_get(v, "token_signed")))
		h[kept++] = (struct http_pair){ "x-amz-security-token", word(v, "token") };
	r->header = h;
	r->nheaders = kept;
}

static void check_vector(const json_t *v)
{
	struct http_pair query[12], header[16];
	struct sigv4_request r = { .method = word(v, "method"), .query = query };
	char digest[65], *path = NULL, *canonical, *authorization;
	const char *signature = word(v, "signature");

	vector_headers(v, &r, header, digest);
	r.nquery = pairs(json_object_get(v, "query"), query, LEN(query));
	r.path = word(v, "path");
	r.as_is = !json_is_true(json_object_get(v, "normalize"));
	if (r.as_is)
		r.path = path = sigv4_encode(r.path, true);
	canonical = sigv4_canonical(&r, &scope);
	if (strcmp(canonical, word(v, "canonical")) != 0)
		fprintf(stderr, "%s:\n%s\n--- not\n%s\n", word(v, "name"), canonical, word(v, "canonical"));
	CHECK(!strcmp(canonical, word(v, "canonical")));
	authorization = sigv4_authorization(&r, &scope);
	CHECK(strlen(authorization) > 64);
	CHECK(!strcmp(authorization + strlen(authorization) - 64, signature));
	CHECK(!strncmp(authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
	    "aws4_request, SignedHeaders=", 92));
	free(path);
	free(canonical);
	free(authorization);
}

static void vectors(void)
{
	json_error_t je;
	json_t *all = json_load_file(VECTORS, 0, &je), *v;
	size_t i;

	if (!all)
		fprintf(stderr, "%s: %s\n", VECTORS, je.text);
	CHECK(json_array_size(all) >= 30);
	json_array_foreach(all, i, v)
		check_vector(v);
	json_decref(all);
}

static void encoding(void)
{
	char *s = sigv4_encode("a b/c+~\xc3\xa4", false);

	CHECK(!strcmp(s, "a%20b%2Fc%2B~%C3%A4"));
	free(s);
	s = sigv4_query((struct http_pair[]){ { "b", "2" }, { "a", "x=" }, { "a", "" } }, 3);
	CHECK(!strcmp(s, "a=&a=x%3D&b=2"));
	free(s);
	s = sigv4_query(NULL, 0);
	CHECK(!*s);
	free(s);
}

int main(void)
{
	RUN(vectors);
	RUN(encoding);
	return 0;
}
