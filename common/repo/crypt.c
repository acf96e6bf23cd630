/* Records and files of an encrypted site, sealed and opened. */
#include "repo/crypt.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAGIC "dm-sealed/1\n"
#define TEXT_MAGIC_LEN (sizeof(TEXT_MAGIC) - 1)
/* Of a record's header, all but the check in front is bound to its body. */
#define BOUND_FROM 16u
#define BOUND_LEN (RECORD_HEADER - BOUND_FROM + 16u)

_Static_assert(CRYPT_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(CRYPT_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

void crypt_id(const struct site *s, const struct id *id, struct id *out)
{
	if (!s->crypt || id_zero(id)) {
		*out = *id;
		return;
	}
	crypto_generichash(out->b, ID_LEN, id->b, ID_LEN, s->crypt->ids.b, KEY_LEN);
}

/* Only an overlay has a base, whose own name goes inside. */
static uint32_t inner_len(uint8_t type)
{
	return type == REC_OVERLAY ? ID_LEN : 0;
}

uint32_t crypt_overhead(const struct site *s, uint8_t type)
{
	return s->sealed ? CRYPT_EXTRA + inner_len(type) : 0;
}

static void bound_make(const struct site *s, const uint8_t *head, uint8_t ad[BOUND_LEN])
{
	memcpy(ad, head + BOUND_FROM, RECORD_HEADER - BOUND_FROM);
	memcpy(ad + RECORD_HEADER - BOUND_FROM, s->id, 16);
}

int crypt_record_seal(const struct site *s, struct record *r, const struct iovec *body, int n,
    struct buf *out, struct err *e)
{
	uint32_t inner = inner_len(r->type), plain = inner;
	uint8_t *p, *at, ad[BOUND_LEN];
	struct id base = r->base;
	struct iovec stored;

	for (int i = 0; i < n; i++)
		plain += (uint32_t)body[i].iov_len;
	if (plain + CRYPT_EXTRA > RECORD_BODY_MAX)
		return err_set(e, DM_ENV, "a record of %u bytes is too long", plain);
	p = buf_room(out, RECORD_HEADER + plain + CRYPT_EXTRA);
	at = p + RECORD_HEADER + CRYPT_NONCE;
	memcpy(at, base.b, inner);
	at += inner;
	for (int i = 0; i < n; i++) {
		if (body[i].iov_len)
			memcpy(at, body[i].iov_base, body[i].iov_len);
		at += body[i].iov_len;
	}
	crypt_id(s, &r->id, &r->id);
	crypt_id(s, &base, &r->base);
	r->stored = plain + CRYPT_EXTRA;
	/* The check of the header comes last: it covers what is stored. */
	record_encode(r, NULL, 0, p);
	bound_make(s, p, ad);
	at = p + RECORD_HEADER;
	randombytes_buf(at, CRYPT_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(at + CRYPT_NONCE, NULL, at + CRYPT_NONCE, plain,
	    ad, BOUND_LEN, NULL, at, s->crypt->data.b);
	stored = (struct iovec){ at, r->stored };
	record_encode(r, &stored, 1, p);
	return 0;
}

int crypt_record_open(const struct site *s, const struct id *id, uint8_t *p, uint32_t *len,
    struct err *e)
{
	uint8_t *body = p + RECORD_HEADER, *inside = body + CRYPT_NONCE, ad[BOUND_LEN];
	struct record r;
	struct id name;
	uint32_t plain, inner;

	if (*len < RECORD_HEADER || record_decode(p, &r, e) < 0 ||
	    r.stored != *len - RECORD_HEADER || r.stored < crypt_overhead(s, r.type))
		return err_set(e, DM_BAD, "a record's header is damaged");
	if (id) {
		crypt_id(s, id, &name);
		if (!id_equal(&name, &r.id))
			return err_set(e, DM_BAD, "a record has another name than its place says");
	}
	plain = r.stored - CRYPT_EXTRA;
	inner = inner_len(r.type);
	bound_make(s, p, ad);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(inside, NULL, NULL, inside,
	    plain + CRYPT_TAG, ad, BOUND_LEN, body, s->crypt->data.b) < 0)
		return err_set(e, DM_BAD, "a record does not open: it is damaged, or of another site");
	if (id)
		r.id = *id;
	memcpy(r.base.b, inside, inner);
	r.stored = plain - inner;
	memmove(body, inside + inner, r.stored);
	record_encode(&r, &(struct iovec){ body, r.stored }, 1, p);
	*len = RECORD_HEADER + r.stored;
	return 0;
}

/* ---- whole files ---- */

static void text_bound(const struct site *s, const char *name, struct buf *ad)
{
	buf_put(ad, s->id, 16);
	buf_put(ad, name, strlen(name));
}

int crypt_text_seal(const struct site *s, const char *name, const char *text, struct buf *out,
    struct err *e)
{
	size_t len = strlen(text);
	struct buf ad = { 0 };
	uint8_t *p;

	if (!s->sealed) {
		buf_put(out, text, len);
		return 0;
	}
	if (!s->crypt)
		return site_locked(s, e);
	text_bound(s, name, &ad);
	buf_put(out, TEXT_MAGIC, TEXT_MAGIC_LEN);
	p = buf_room(out, CRYPT_NONCE + len + CRYPT_TAG);
	randombytes_buf(p, CRYPT_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(p + CRYPT_NONCE, NULL, (const uint8_t *)text, len,
	    ad.p, ad.len, NULL, p, s->crypt->data.b);
	buf_free(&ad);
	return 0;
}

char *crypt_text_open(const struct site *s, const char *name, char *text, size_t *len, struct err *e)
{
	const size_t extra = TEXT_MAGIC_LEN + CRYPT_EXTRA;
	struct buf ad = { 0 };
	char *out = NULL;

	if (!text || !s->sealed)
		return text;
	if (!s->crypt) {
		site_locked(s, e);
	} else if (*len < extra || memcmp(text, TEXT_MAGIC, TEXT_MAGIC_LEN)) {
		err_set(e, DM_BAD, "not sealed, in an encrypted site");
	} else {
		uint8_t *p = (uint8_t *)text + TEXT_MAGIC_LEN;

		text_bound(s, name, &ad);
		out = x_alloc(*len - extra + 1);
		if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)out, NULL, NULL,
		    p + CRYPT_NONCE, *len - extra + CRYPT_TAG, ad.p, ad.len, p, s->crypt->data.b) < 0) {
			err_set(e, DM_BAD, "does not open: damaged, or not written for this place");
			free(out);
			out = NULL;
		}
		buf_free(&ad);
		*len -= extra;
	}
	free(text);
	return out;
}
