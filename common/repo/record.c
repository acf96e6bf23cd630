/* Records: the header in front of every body in a pack. */
#include "repo/pack.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/bytes.h"

#define RECORD_MAGIC 0x3152454du	/* reads MER1 */
#define CHECK_LEN 16

/* The check covers the header behind it and the body. */
static void check_make(const uint8_t *head, const struct iovec *body, int n, uint8_t out[CHECK_LEN])
{
	XXH3_state_t st;
	XXH128_canonical_t c;

	XXH3_128bits_reset(&st);
	XXH3_128bits_update(&st, head + CHECK_LEN, RECORD_HEADER - CHECK_LEN);
	for (int i = 0; i < n; i++)
		XXH3_128bits_update(&st, body[i].iov_base, body[i].iov_len);
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(&st));
	memcpy(out, c.digest, CHECK_LEN);
}

void record_encode(const struct record *r, const struct iovec *body, int n, uint8_t out[RECORD_HEADER])
{
	put32(out + 16, RECORD_MAGIC);
	out[20] = r->type;
	out[21] = r->codec;
	out[22] = r->depth;
	out[23] = r->tier;
	put32(out + 24, r->plain);
	put32(out + 28, r->stored);
	memcpy(out + 32, r->id.b, ID_LEN);
	memcpy(out + 64, r->base.b, ID_LEN);
	check_make(out, body, n, out);
}

int record_decode(const uint8_t p[RECORD_HEADER], struct record *r, struct err *e)
{
	if (get32(p + 16) != RECORD_MAGIC)
		return err_set(e, DM_BAD, "no record here");
	r->type = p[20];
	r->codec = p[21];
	r->depth = p[22];
	r->tier = p[23];
	r->plain = get32(p + 24);
	r->stored = get32(p + 28);
	memcpy(r->id.b, p + 32, ID_LEN);
	memcpy(r->base.b, p + 64, ID_LEN);
	if (r->type < REC_CHUNK || r->type >= REC_TYPES || r->plain > CHUNK_MAX ||
	    r->stored > RECORD_BODY_MAX || id_zero(&r->id))
		return err_set(e, DM_BAD, "a record's header is damaged");
	if (r->type == REC_OVERLAY ? !r->depth || r->tier > r->depth : r->depth || r->tier)
		return err_set(e, DM_BAD, "a record's depth is damaged");
	return 0;
}

bool record_intact(const uint8_t p[RECORD_HEADER], const void *body, size_t len)
{
	struct iovec v = { .iov_base = (void *)body, .iov_len = len };
	uint8_t check[CHECK_LEN];

	check_make(p, &v, 1, check);
	return !memcmp(check, p, CHECK_LEN);
}
