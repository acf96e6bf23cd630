#include "repo/pack_format.h"

#define XXH_STATIC_LINKING_ONLY
#include <stdio.h>
#include <xxhash.h>

#include "base/bytes.h"

#define PACK_VERSION 1

static const char head_magic[8] = "dm-pack\n";
static const char tail_magic[8] = "dm-table";

void pack_header_encode(const struct site *s, const uint8_t id[PACK_ID], uint8_t out[PACK_HEADER])
{
	memset(out, 0, PACK_HEADER);
	memcpy(out, head_magic, 8);
	put16(out + 8, PACK_VERSION);
	out[10] = (uint8_t)s->algo;
	put32(out + 12, s->chunk_size);
	memcpy(out + 16, s->id, 16);
	memcpy(out + 32, id, PACK_ID);
	put64(out + 56, XXH3_64bits(out, 56));
}

int pack_header_decode(const struct site *s, const uint8_t id[PACK_ID], const uint8_t p[PACK_HEADER], struct err *e)
{
	if (memcmp(p, head_magic, 8) || get64(p + 56) != XXH3_64bits(p, 56))
		return err_set(e, DM_BAD, "its header is damaged");
	if (get16(p + 8) != PACK_VERSION)
		return err_set(e, DM_BAD, "it has version %u, unknown here", get16(p + 8));
	if (memcmp(p + 16, s->id, 16) || p[10] != s->algo || get32(p + 12) != s->chunk_size)
		return err_set(e, DM_BAD, "it belongs to another site");
	if (memcmp(p + 32, id, PACK_ID))
		return err_set(e, DM_BAD, "it is not the pack its name says");
	return 0;
}

void pack_entry_encode(const struct pack_entry *en, uint8_t out[PACK_ENTRY])
{
	memcpy(out, en->id.b, ID_LEN);
	put32(out + 32, en->off);
	put32(out + 36, en->len);
	put32(out + 40, en->plain);
	out[44] = en->type;
	out[45] = en->codec;
	out[46] = en->depth;
	out[47] = en->tier;
}

int pack_entry_decode(const uint8_t p[PACK_ENTRY], uint32_t limit, struct pack_entry *en, struct err *e)
{
	memcpy(en->id.b, p, ID_LEN);
	en->off = get32(p + 32);
	en->len = get32(p + 36);
	en->plain = get32(p + 40);
	en->type = p[44];
	en->codec = p[45];
	en->depth = p[46];
	en->tier = p[47];
	if (en->off < PACK_HEADER || en->off > limit || en->len > limit - en->off ||
	    en->len < RECORD_HEADER || en->len > RECORD_HEADER + RECORD_BODY_MAX ||
	    en->plain > CHUNK_MAX || en->type < REC_CHUNK || en->type >= REC_TYPES || id_zero(&en->id))
		return err_set(e, DM_BAD, "its table is damaged");
	return 0;
}

static void tail_check(const uint8_t *p, const uint8_t *table, size_t len, uint8_t out[16])
{
	XXH3_state_t st;
	XXH128_canonical_t c;

	XXH3_128bits_reset(&st);
	XXH3_128bits_update(&st, table, len);
	XXH3_128bits_update(&st, p, PACK_TRAILER - 16);
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(&st));
	memcpy(out, c.digest, 16);
}

void pack_trailer_encode(const uint8_t id[PACK_ID], const struct pack_trailer *t,
    const uint8_t *table, size_t len, uint8_t out[PACK_TRAILER])
{
	memset(out, 0, PACK_TRAILER);
	memcpy(out, tail_magic, 8);
	put32(out + 8, t->records);
	put32(out + 12, t->table);
	put64(out + 16, t->size);
	memcpy(out + 24, id, PACK_ID);
	tail_check(out, table, len, out + 48);
}

int pack_trailer_decode(const uint8_t p[PACK_TRAILER], const uint8_t id[PACK_ID], uint64_t size,
    struct pack_trailer *t, struct err *e)
{
	t->records = get32(p + 8);
	t->table = get32(p + 12);
	t->size = get64(p + 16);
	if (memcmp(p, tail_magic, 8) || memcmp(p + 24, id, PACK_ID) || t->size != size ||
	    t->table < PACK_HEADER || (uint64_t)t->records * PACK_ENTRY + PACK_TRAILER + t->table != size)
		return err_set(e, DM_BAD, "its trailer is damaged");
	return 0;
}

bool pack_trailer_intact(const uint8_t p[PACK_TRAILER], const uint8_t *table, size_t len)
{
	uint8_t check[16];

	tail_check(p, table, len, check);
	return !memcmp(check, p + 48, 16);
}

void pack_path(const uint8_t id[PACK_ID], char out[PACK_NAME_LEN])
{
	char hex[2 * PACK_ID + 1];

	hex_put(hex, id, PACK_ID);
	snprintf(out, PACK_NAME_LEN, "chunks/packs/%.2s/%s.pack", hex, hex);
}

void pack_tmp_path(const uint8_t id[PACK_ID], char out[PACK_NAME_LEN])
{
	char hex[2 * PACK_ID + 1];

	hex_put(hex, id, PACK_ID);
	snprintf(out, PACK_NAME_LEN, "chunks/tmp/%s.pack", hex);
}
