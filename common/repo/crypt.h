/* Encryption at rest: records, catalog and states of a site whose config says
 * so, and the keys for them.  dm-repository(5), ENCRYPTION; dm-crypto(7). */
#ifndef DM_REPO_CRYPT_H
#define DM_REPO_CRYPT_H

#include <jansson.h>

#include "base/bytes.h"
#include "content/key.h"
#include "repo/pack.h"

#define CRYPT_NONCE 24u
#define CRYPT_TAG 16u
#define CRYPT_EXTRA (CRYPT_NONCE + CRYPT_TAG)	/* bytes a sealed body is longer */

#define CRYPT_FEATURE "encryption"		/* in the config's features */
#define CRYPT_SLOTS_MAX 32u

/* What the master wraps. */
struct crypt {
	struct key data, ids;
};

/* One way to the keys, as the config has it. */
struct crypt_slot {
	char *name;
	bool phrase;			/* of a passphrase, else of a key file */
	uint8_t salt[KEY_SALT_LEN];
	struct key_cost cost;		/* phrase only */
	uint8_t wrapped[CRYPT_NONCE + 2 * KEY_LEN + CRYPT_TAG];
};
struct crypt_slots {
	struct crypt_slot v[CRYPT_SLOTS_MAX];
	size_t n;
};
/* From and to the config's member "encryption".  0; or -1 with *e (DM_BAD), and
 * s is empty. */
int crypt_slots_parse(const json_t *j, struct crypt_slots *s, struct err *e);
json_t *crypt_slots_json(const struct crypt_slots *s);
void crypt_slots_free(struct crypt_slots *s);

/* Wrap the keys for a secret as slot `name' (DM_NO: there is one). */
int crypt_slot_add(struct crypt_slots *s, const char *name, const struct secret *secret,
    const struct crypt *c, const uint8_t site[16], struct err *e);
/* The keys, of whichever slot the secret opens; its number in *at.  DM_NO when
 * it opens none. */
int crypt_slots_open(const struct crypt_slots *s, const struct secret *secret,
    const uint8_t site[16], struct crypt *c, size_t *at, struct err *e);

/* The name under which an id's record is stored; itself in a plain site.  The
 * zero id stays. */
void crypt_id(const struct site *s, const struct id *id, struct id *out);

/* Seal a record: *r, whose body is these pieces, becomes as it is stored
 * (names, lengths), and *out header and body.  0 or -1. */
int crypt_record_seal(const struct site *s, struct record *r, const struct iovec *body, int n,
    struct buf *out, struct err *e);
/* Open one in place: p, len bytes, as stored under `id' (the content's; NULL:
 * not known, then its name stays), becomes header and body as a plain site has
 * them.  *len shrinks.  0 or -1 with *e (DM_BAD). */
int crypt_record_open(const struct site *s, const struct id *id, uint8_t *p, uint32_t *len,
    struct err *e);
/* Bytes by which a stored record of this type is longer than a plain one. */
uint32_t crypt_overhead(const struct site *s, uint8_t type);

/* Whole files: bound to the site and to `name', what the file is.  In a plain
 * site the text goes through.  *out is the caller's.  0 or -1 with *e. */
int crypt_text_seal(const struct site *s, const char *name, const char *text, struct buf *out,
    struct err *e);
char *crypt_text_open(const struct site *s, const char *name, char *text, size_t *len,
    struct err *e);	/* frees text; NULL with *e (DM_BAD) */

#endif
