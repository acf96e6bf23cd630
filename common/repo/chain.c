#include "repo/chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static int damaged(struct chain *c, const struct id *id, struct err *e)
{
	char text[80];

	return err_set(e, DM_BAD, "%s: what is stored of %s is damaged", c->st->site->path,
	    id_format(c->st->site->algo, id, text));
}

/* A leaf table must come to the id that names it. */
static int take_leaves(struct chain *c, const struct id *id, const uint8_t *table, struct err *e)
{
	struct id is;

	memcpy(c->leaf, table, c->nleaf * sizeof *c->leaf);
	id_chunk(c->st->site->algo, c->leaf, c->nleaf, &is);
	return id_equal(&is, id) ? 0 : damaged(c, id, e);
}

/* Header of the record at l, agreeing with id. */
static int take_header(struct chain *c, const struct id *id, const struct loc *l, const uint8_t *p,
    struct record *r, struct err *e)
{
	struct err bad = { 0 };

	if (record_decode(p, r, &bad) || !id_equal(&r->id, id) || r->stored != l->en.len - RECORD_HEADER ||
	    (r->type != REC_CHUNK && r->type != REC_OVERLAY) || !r->plain ||
	    r->plain > c->st->site->chunk_size)
		return damaged(c, id, e);
	return 0;
}

/* The whole chunk at the bottom: its tables only; frames are read later.
 * Holds l on success. */
static int open_whole(struct chain *c, const struct id *id, const struct record *r, struct loc *l,
    const uint8_t *rec, struct err *e)
{
	unsigned n = leaf_count(c->st->site->chunk_size, r->plain);
	uint32_t tables = n * ID_LEN + (r->codec == CODEC_ZSTD ? n * 4 : 0);
	uint64_t sum = 0;

	if (r->stored < tables || (r->codec != CODEC_ZSTD && r->codec != CODEC_RAW))
		return damaged(c, id, e);
	c->codec = r->codec;
	c->base_len = r->plain;
	c->data = RECORD_HEADER + tables;
	for (unsigned i = 0; i < n && r->codec == CODEC_ZSTD; i++) {
		c->frame[i] = get32(rec + RECORD_HEADER + n * ID_LEN + i * 4);
		sum += c->frame[i];
	}
	if (r->codec == CODEC_RAW)
		sum = r->plain;
	if (sum != r->stored - tables)
		return damaged(c, id, e);
	if (c->n == 0 && take_leaves(c, id, rec + RECORD_HEADER, e))
		return -1;
	c->whole_stored = r->stored;
	c->has_whole = true;
	c->whole = *l;
	*l = (struct loc){ .pack = NULL };
	return 0;
}

static bool frags_inside(const struct layer *y, uint32_t bytes)
{
	uint64_t at = 0, sum = 0;

	for (uint32_t i = 0; i < y->nfrags; i++) {
		uint64_t off = get32(y->frags + 8 * i), len = get32(y->frags + 8 * i + 4);

		if (off < at || !len || off + len > y->plain)
			return false;
		at = off + len;
		sum += len;
	}
	return sum == bytes;
}

static int open_overlay(struct chain *c, struct layer *y, const struct record *r, struct loc *l,
    struct err *e)
{
	unsigned n = leaf_count(c->st->site->chunk_size, r->plain);
	uint32_t head = overlay_head(n), bytes, stored;
	const uint8_t *body;

	y->rec = x_try(l->en.len, 1, e);
	if (!y->rec || store_pread(c->st, l, 0, y->rec, l->en.len, e))
		return -1;
	body = y->rec + RECORD_HEADER;
	if (r->stored < head)
		return damaged(c, &y->id, e);
	if (c->n == 0 && take_leaves(c, &y->id, body, e))
		return -1;
	y->nfrags = get32(body + n * ID_LEN);
	bytes = get32(body + n * ID_LEN + 4);
	y->frags = body + head;
	if (y->nfrags > (r->stored - head) / 8 || bytes > y->plain)
		return damaged(c, &y->id, e);
	stored = r->stored - head - y->nfrags * 8;
	if (!frags_inside(y, bytes))
		return damaged(c, &y->id, e);
	y->bytes = (uint8_t *)y->frags + y->nfrags * 8;
	if (r->codec == CODEC_RAW)
		return stored == bytes ? 0 : damaged(c, &y->id, e);
	y->own_bytes = true;
	y->bytes = x_try(bytes + 1, 1, e);
	if (!y->bytes)
		return -1;
	if (codec_unpack(c->w->codec, r->codec, y->frags + y->nfrags * 8, stored, y->bytes, bytes, e))
		return damaged(c, &y->id, e);
	return 0;
}

/* One record: *id moves to its base, or to the zero id at the bottom. */
static int open_layer(struct chain *c, struct id *id, struct err *e)
{
	struct layer *y = &c->v[c->n];
	struct record r;
	struct loc l;
	char text[80];
	uint32_t first;
	int res = store_locate(c->st, id, &l, e);

	if (res < 0)
		return -1;
	if (!res)
		return err_set(e, c->n ? DM_BAD : DM_NO, "%s: %s is not there", c->st->site->path,
		    id_format(c->st->site->algo, id, text));
	/* Enough for all tables of a whole chunk. */
	first = (uint32_t)min64(l.en.len, RECORD_HEADER + LEAVES_MAX * (ID_LEN + 4));
	res = store_pread(c->st, &l, 0, c->w->rec, first, e);
	if (!res)
		res = take_header(c, id, &l, c->w->rec, &r, e);
	if (!res && c->n == 0 && r.plain != c->len)
		res = err_set(e, DM_BAD, "%s: %s is of %u bytes, not %u", c->st->site->path,
		    id_format(c->st->site->algo, id, text), r.plain, c->len);
	if (!res) {
		*y = (struct layer){ .id = *id, .depth = r.depth, .tier = r.tier, .plain = r.plain };
		res = r.type == REC_CHUNK ? open_whole(c, id, &r, &l, c->w->rec, e) :
		    open_overlay(c, y, &r, &l, e);
		c->n++;
		*id = r.base;
	}
	store_release(c->st, &l);
	return res;
}

int chain_open(struct chain *c, struct store *st, struct work *w, const struct id *id, uint32_t len, struct err *e)
{
	struct id at = *id;

	*c = (struct chain){ .st = st, .w = w, .len = len, .whole.pack = NULL };
	if (!len || len > st->site->chunk_size)
		return err_set(e, DM_BAD, "a chunk of %u bytes", len);
	c->nleaf = leaf_count(st->site->chunk_size, len);
	while (!id_zero(&at) && !c->has_whole) {
		if (c->n == CHAIN_MAX) {
			err_set(e, DM_BAD, "%s: more than %u overlays on one chunk", st->site->path, CHAIN_MAX);
			goto fail;
		}
		if (open_layer(c, &at, e))
			goto fail;
	}
	return 0;
fail:
	chain_close(c);
	return -1;
}

void chain_close(struct chain *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		if (c->v[i].own_bytes)
			free(c->v[i].bytes);
		free(c->v[i].rec);
	}
	store_release(c->st, &c->whole);
	c->n = 0;
}

/* Leaves [first, last] of the whole chunk at the bottom, as far as it goes. */
static int read_whole(struct chain *c, unsigned first, unsigned last, uint8_t *p, struct err *e)
{
	uint32_t size = leaf_size(c->st->site->chunk_size), from = c->data, len = 0, plain;

	if (first * size >= c->base_len)
		return 0;
	last = (unsigned)min64(last, (c->base_len - 1) / size);
	plain = (uint32_t)min64((uint64_t)(last + 1) * size, c->base_len) - first * size;
	if (c->codec == CODEC_RAW)
		return store_pread(c->st, &c->whole, c->data + first * size, p, plain, e);
	for (unsigned i = 0; i <= last; i++)
		*(i < first ? &from : &len) += c->frame[i];
	if (store_pread(c->st, &c->whole, from, c->w->rec, len, e))
		return -1;
	for (unsigned i = first, at = 0; i <= last; at += c->frame[i], i++) {
		uint32_t n = (uint32_t)min64(size, c->base_len - i * size);

		if (codec_unpack(c->w->codec, CODEC_ZSTD, c->w->rec + at, c->frame[i],
		    p + (i - first) * size, n, e))
			return -1;
	}
	return 0;
}

/* Lay the fragments of y over [lo, hi), whose bytes are at p. */
static void apply(const struct layer *y, uint32_t lo, uint32_t hi, uint8_t *p)
{
	const uint8_t *from = y->bytes;

	for (uint32_t i = 0; i < y->nfrags; i++) {
		uint32_t off = get32(y->frags + 8 * i), len = get32(y->frags + 8 * i + 4);
		uint32_t a = off > lo ? off : lo, b = off + len < hi ? off + len : hi;

		if (a < b)
			memcpy(p + (a - lo), from + (a - off), b - a);
		from += len;
	}
}

int chain_read(struct chain *c, unsigned first, unsigned last, uint8_t *p, struct err *e)
{
	uint32_t size = leaf_size(c->st->site->chunk_size), lo = first * size;
	uint32_t hi = (uint32_t)min64((uint64_t)(last + 1) * size, c->len), room = hi - lo;
	struct id is;

	if (!c->n) {
		memset(p, 0, room);
		return 0;
	}
	/* The bottom may be longer or shorter than the chunk is now. */
	if (!c->has_whole || c->base_len < hi)
		memset(p, 0, room);
	if (c->has_whole && read_whole(c, first, last, p, e))
		return -1;
	for (unsigned i = c->n; i--;) {
		const struct layer *y = &c->v[i];

		if (y->rec)
			apply(y, lo, hi, p);
		/* Beyond the end of a layer nothing of what lies below shows. */
		if (y->plain < hi)
			memset(p + (y->plain > lo ? y->plain - lo : 0), 0,
			    hi - (y->plain > lo ? y->plain : lo));
	}
	for (unsigned i = first; i <= last; i++) {
		id_leaf(c->st->site->algo, p + (i - first) * size, chain_leaf_len(c, i), &is);
		if (!id_equal(&is, &c->leaf[i]))
			return damaged(c, &c->v[0].id, e);
	}
	return 0;
}

int chain_stands(struct store *st, const struct id *id, struct err *e)
{
	uint8_t head[RECORD_HEADER];
	struct err why = { 0 };
	struct id at = *id;
	struct record r;
	struct loc l;

	for (unsigned i = 0; i < CHAIN_MAX && !id_zero(&at); i++) {
		int res = store_locate(st, &at, &l, &why);

		if (res == 1 && l.en.type != REC_OVERLAY) {
			store_release(st, &l);
			return 1;
		}
		if (res == 1) {
			res = store_pread(st, &l, 0, head, sizeof head, &why) ? -1 : 1;
			store_release(st, &l);
		}
		if (res < 0 && why.code == DM_ENV) {
			*e = why;
			return -1;
		}
		if (res != 1 || record_decode(head, &r, &why))
			return 0;
		at = r.base;
	}
	return id_zero(&at);
}
