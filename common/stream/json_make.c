/* Pieces of lines: values, entries, hello. */
#include <sodium.h>
#include <stdlib.h>

#include "stream/json_impl.h"

/* Numbers that a double does not hold exactly are strings. */
#define EXACT (1ull << 53)

static _Noreturn void no_memory(void)
{
	err_warn("out of memory");
	exit(DM_ENV);
}

void json_set(json_t *j, const char *key, json_t *v)
{
	if (json_object_set_new(j, key, v) < 0)
		no_memory();	/* keys and values are ours, and right */
}

void json_set_u64(json_t *j, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	json_set(j, key, v < EXACT ? json_integer((json_int_t)v) : json_string(text));
}

void json_set_text(json_t *j, const char *key, const char *s)
{
	json_set(j, key, json_string(s));
}

json_t *json_hex(const uint8_t *p, size_t len)
{
	char text[2 * ID_LEN + 1];

	hex_put(text, p, len);
	return json_string(text);
}

void json_set_base64(json_t *j, const char *key, const uint8_t *p, size_t len)
{
	size_t room = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	char *text = x_alloc(room);

	sodium_bin2base64(text, room, p, len, sodium_base64_VARIANT_ORIGINAL);
	json_set_text(j, key, text);
	free(text);
}

/* The word for n, or n itself when a later version made it. */
void json_set_word(json_t *j, const char *key, const struct words *w, int n)
{
	const char *s = word_of(w, n);

	json_set(j, key, s ? json_string(s) : json_integer(n));
}

void json_line(json_t *j, struct buf *out)
{
	char *text = json_dumps(j, JSON_COMPACT);

	if (!text)
		no_memory();
	buf_put(out, text, strlen(text));
	buf_put(out, "\n", 1);
	free(text);
	json_decref(j);
}

json_t *json_frame(const struct frame *f, bool disk, bool epoch)
{
	json_t *j = json_object();

	json_set_text(j, "type", word_of(&words_type, f->type));
	if (disk)
		json_set_u64(j, "disk", f->disk);
	if (epoch)
		json_set_u64(j, "epoch", f->epoch);
	return j;
}

static json_t *disk_json(const struct disk *d)
{
	json_t *j = json_object();

	json_set_text(j, "name", d->name);
	json_set_u64(j, "size", d->size);
	json_set_u64(j, "block", d->block);
	json_set(j, "frozen", json_boolean(d->flags & DF_FROZEN));
	if (d->flags & DF_BASE_ROOT)
		json_set(j, "base_root", json_hex(d->base_root.b, ID_LEN));
	json_set_text(j, "base_point", d->base_point);
	if (d->flags & DF_TARGET_ROOT)
		json_set(j, "target_root", json_hex(d->target_root.b, ID_LEN));
	json_set_text(j, "target_point", d->target_point);
	return j;
}

void json_hello(const struct hello *h, json_t *j)
{
	json_t *codecs = json_array(), *disks = json_array();

	json_set_u64(j, "version_min", h->version_min);
	json_set_u64(j, "version_max", h->version_max);
	json_set_u64(j, "incompat", h->incompat);
	json_set_u64(j, "rocompat", h->rocompat);
	json_set_u64(j, "compat", h->compat);
	json_set(j, "session", json_hex(h->session, sizeof(h->session)));
	json_set_u64(j, "chunk_size", h->chunk_size);
	json_set_text(j, "algo", id_algo_name(h->algo));
	json_set_word(j, "kind", &words_kind, h->kind);
	for (int i = 0; i < 16; i++) {
		const char *s = word_of(&words_codec, i);

		if (h->codecs >> i & 1)
			json_array_append_new(codecs, s ? json_string(s) : json_integer(i));
	}
	json_set(j, "codecs", codecs);
	json_set_text(j, "plan", h->plan);
	json_set_text(j, "workload", h->workload);
	for (uint32_t i = 0; i < h->ndisks; i++)
		json_array_append_new(disks, disk_json(&h->disk[i]));
	json_set(j, "disks", disks);
}

void json_entry(const struct entry *en, json_t *j)
{
	json_set_u64(j, "index", en->index);
	json_set_u64(j, "off", en->off);
	json_set_u64(j, "len", en->len);
	if (en->flags & EF_ZERO)
		json_set(j, "zero", json_true());
	if (en->flags & EF_RUN)
		json_set(j, "run", json_true());
	if (en->flags & EF_FRAGS) {
		json_t *frags = json_array();

		for (unsigned i = 0; i < en->nfrags; i++)
			json_array_append_new(frags, json_pack("[I,I]", (json_int_t)en->frag[i].off,
			    (json_int_t)en->frag[i].len));
		json_set(j, "frags", frags);
	}
	if (en->flags & EF_REST_ZERO)
		json_set(j, "rest_zero", json_true());
	if (en->flags & EF_ID)
		json_set(j, "id", json_hex(en->id.b, ID_LEN));
	if (en->flags & EF_LEAVES) {
		json_t *leaves = json_array();

		for (unsigned i = 0; i < en->nleaves; i++)
			json_array_append_new(leaves, json_hex(en->leaf[i].b, ID_LEN));
		json_set(j, "leaves", leaves);
	}
}

