/* Key slots: ways to the keys of an encrypted site. */
#include "repo/crypt.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/uri.h"

#define CIPHER "xchacha20poly1305"
#define CONTEXT "dm 2026-11 site slot"

/* The key that wraps the others in this slot. */
static int slot_key(const struct crypt_slot *t, const struct secret *secret, const uint8_t site[16],
    struct key *out, struct err *e)
{
	const struct key_piece piece[] = { { site, 16 }, { t->salt, KEY_SALT_LEN } };
	struct key master = secret->key;

	if (secret->phrase && key_stretch(secret->phrase, t->salt, &t->cost, &master, e) < 0)
		return -1;
	key_derive(&master, CONTEXT, piece, LEN(piece), out->b, KEY_LEN);
	key_wipe(&master, sizeof(master));
	return 0;
}

int crypt_slot_add(struct crypt_slots *s, const char *name, const struct secret *secret,
    const struct crypt *c, const uint8_t site[16], struct err *e)
{
	struct crypt_slot *t = &s->v[s->n];
	struct key k;

	key_startup();
	if (!name_valid(name))
		return err_set(e, DM_USAGE, "'%s' cannot be the name of a key", name);
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].name, name))
			return err_set(e, DM_NO, "there is a key '%s' already", name);
	if (s->n == CRYPT_SLOTS_MAX)
		return err_set(e, DM_NO, "there are %u keys already", CRYPT_SLOTS_MAX);
	*t = (struct crypt_slot){ .phrase = secret->phrase != NULL, .cost = key_cost_default };
	randombytes_buf(t->salt, sizeof(t->salt));
	if (slot_key(t, secret, site, &k, e) < 0)
		return -1;
	randombytes_buf(t->wrapped, CRYPT_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(t->wrapped + CRYPT_NONCE, NULL,
	    (const uint8_t *)c, sizeof(*c), site, 16, NULL, t->wrapped, k.b);
	key_wipe(&k, sizeof(k));
	_Static_assert(sizeof(*c) == 2 * KEY_LEN, "keys");
	t->name = x_strdup(name);
	s->n++;
	return 0;
}

int crypt_slots_open(const struct crypt_slots *s, const struct secret *secret,
    const uint8_t site[16], struct crypt *c, size_t *at, struct err *e)
{
	key_startup();
	for (size_t i = 0; i < s->n; i++) {
		const struct crypt_slot *t = &s->v[i];
		struct key k;
		int rc;

		if (t->phrase != (secret->phrase != NULL))
			continue;
		if (slot_key(t, secret, site, &k, e) < 0)
			return -1;
		rc = crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)c, NULL, NULL,
		    t->wrapped + CRYPT_NONCE, sizeof(*c) + CRYPT_TAG, site, 16, t->wrapped, k.b);
		key_wipe(&k, sizeof(k));
		if (rc == 0) {
			*at = i;
			return 0;
		}
	}
	return err_set(e, DM_NO, "this key or passphrase does not open the site");
}

static int hex_member(const json_t *j, const char *name, uint8_t *out, size_t len)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? hex_get(s, out, len) : -1;
}

static int slot_parse(const json_t *j, struct crypt_slot *t, struct err *e)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *kind = json_string_value(json_object_get(j, "kind"));
	json_int_t passes = json_integer_value(json_object_get(j, "passes"));
	json_int_t kib = json_integer_value(json_object_get(j, "kib"));

	if (!name || !name_valid(name) || !kind || (strcmp(kind, "file") && strcmp(kind, "passphrase")) ||
	    hex_member(j, "salt", t->salt, sizeof(t->salt)) < 0 ||
	    hex_member(j, "wrapped", t->wrapped, sizeof(t->wrapped)) < 0)
		return err_set(e, DM_BAD, "a key slot is damaged");
	t->phrase = *kind == 'p';
	if (t->phrase && (passes < 1 || passes > 64 || kib < 8 || kib > 4 << 20))
		return err_set(e, DM_BAD, "a key slot has impossible costs");
	t->cost = (struct key_cost){ .passes = (uint32_t)passes, .kib = (uint32_t)kib };
	t->name = x_strdup(name);
	return 0;
}

int crypt_slots_parse(const json_t *j, struct crypt_slots *s, struct err *e)
{
	const char *cipher = json_string_value(json_object_get(j, "cipher"));
	const json_t *slot = json_object_get(j, "slots");

	s->n = 0;
	if (!cipher || strcmp(cipher, CIPHER))
		return err_set(e, DM_BAD, "its cipher '%s' is unknown", cipher ? cipher : "");
	if (!json_array_size(slot) || json_array_size(slot) > CRYPT_SLOTS_MAX)
		return err_set(e, DM_BAD, "it has no key slots, or too many");
	for (size_t i = 0; i < json_array_size(slot); i++, s->n++)
		if (slot_parse(json_array_get(slot, i), &s->v[i], e) < 0) {
			crypt_slots_free(s);
			return -1;
		}
	return 0;
}

json_t *crypt_slots_json(const struct crypt_slots *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct crypt_slot *t = &s->v[i];
		char salt[2 * KEY_SALT_LEN + 1], wrapped[2 * sizeof(t->wrapped) + 1];
		json_t *o;

		hex_put(salt, t->salt, sizeof(t->salt));
		hex_put(wrapped, t->wrapped, sizeof(t->wrapped));
		o = json_pack("{s:s, s:s, s:s, s:s}", "name", t->name,
		    "kind", t->phrase ? "passphrase" : "file", "salt", salt, "wrapped", wrapped);
		if (t->phrase) {
			json_object_set_new(o, "passes", json_integer(t->cost.passes));
			json_object_set_new(o, "kib", json_integer(t->cost.kib));
		}
		json_array_append_new(a, o);
	}
	return json_pack("{s:s, s:o}", "cipher", CIPHER, "slots", a);
}

void crypt_slots_free(struct crypt_slots *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	s->n = 0;
}
