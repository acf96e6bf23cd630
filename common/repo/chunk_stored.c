/* Chunks out of the store in their stored form.
 *
 * What goes out unread is checked as a record, and its leaf table against the
 * id; the reader at the other end checks the content. */
#include "repo/chunk.h"

#include <string.h>

#include "base/bytes.h"
#include "repo/chain.h"

struct stored {
	uint8_t *p;		/* codec_bound(len of the chunk) */
	size_t len;
	int codec;
};

static int damaged(struct store *st, const struct id *id, struct err *e)
{
	char text[80];

	return err_set(e, DM_BAD, "%s: the record of %s is damaged", st->site->path,
	    id_format(st->site->algo, id, text));
}

/* A whole chunk, as its record has it: 1, -1. */
static int take_whole(struct store *st, struct work *w, const struct id *id, uint32_t len, struct stored *out,
    struct err *e)
{
	unsigned n = leaf_count(st->site->chunk_size, len);
	uint32_t tables = n * ID_LEN;
	struct id leaf[LEAVES_MAX], is;
	struct record r;

	if (store_record(st, id, REC_CHUNK, true, w->rec, &r, e))
		return -1;
	if (r.codec == CODEC_ZSTD)
		tables += n * 4;
	if (r.plain != len || r.stored < tables || r.stored - tables > codec_bound(len))
		return damaged(st, id, e);
	memcpy(leaf, w->rec + RECORD_HEADER, n * sizeof *leaf);
	id_chunk(st->site->algo, leaf, n, &is);
	if (!id_equal(&is, id))
		return damaged(st, id, e);
	out->codec = r.codec;
	out->len = r.stored - tables;
	memcpy(out->p, w->rec + RECORD_HEADER + tables, out->len);
	return 1;
}

/* Is all that its overlays leave of the whole chunk at its old place? */
static bool same_length(const struct chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].plain != c->len)
			return false;
	return c->has_whole && c->base_len == c->len;
}

/* The whole chunk's record into w->rec, checked. */
static int load_whole(struct chain *c, struct err *e)
{
	uint8_t *rec = c->w->rec;
	uint32_t len = c->whole.en.len;

	if (store_pread(c->st, &c->whole, 0, rec, len, e))
		return -1;
	if (c->data != RECORD_HEADER + c->nleaf * (ID_LEN + 4) ||
	    !record_intact(rec, rec + RECORD_HEADER, len - RECORD_HEADER))
		return damaged(c->st, &c->v[c->n - 1].id, e);
	return 0;
}

/* Which leaves do the overlays change?  Those come out of the chain as plain
 * bytes, each where it belongs in w->old. */
static int read_changed(struct chain *c, bool changed[LEAVES_MAX], struct err *e)
{
	uint32_t size = leaf_size(c->st->site->chunk_size);
	struct id was[LEAVES_MAX];

	if (store_pread(c->st, &c->whole, RECORD_HEADER, was, c->nleaf * ID_LEN, e))
		return -1;
	for (unsigned i = 0; i < c->nleaf; i++) {
		changed[i] = !id_equal(&was[i], &c->leaf[i]);
		if (changed[i] && chain_read(c, i, i, c->w->old + i * size, e))
			return -1;
	}
	return 0;
}

/* The frames of the whole chunk, with new ones where overlays changed it. */
static int take_patched(struct chain *c, struct stored *out, struct err *e)
{
	uint32_t size = leaf_size(c->st->site->chunk_size);
	const uint8_t *frame = c->w->rec + c->data;
	bool changed[LEAVES_MAX];

	if (read_changed(c, changed, e) || load_whole(c, e))
		return -1;
	out->codec = CODEC_ZSTD;
	out->len = 0;
	for (unsigned i = 0; i < c->nleaf; frame += c->frame[i], i++) {
		size_t n = c->frame[i];

		if (!changed[i] && n <= codec_bound(chain_leaf_len(c, i)))
			memcpy(out->p + out->len, frame, n);
		else if (!changed[i])
			return damaged(c->st, &c->v[c->n - 1].id, e);
		else
			n = codec_pack_step(c->w->codec, c->st->site->level, c->w->old + i * size,
			    chain_leaf_len(c, i), out->p + out->len);
		if (!n)
			return 0;	/* no memory: plainly */
		out->len += n;
	}
	return 1;
}

static int take_overlaid(struct store *st, struct work *w, const struct id *id, uint32_t len, struct stored *out,
    struct err *e)
{
	struct chain c;
	int res = 0;

	if (chain_open(&c, st, w, id, len, e))
		return -1;
	if (same_length(&c) && c.codec == CODEC_ZSTD)
		res = take_patched(&c, out, e);
	chain_close(&c);
	return res;
}

static int read_stored(struct store *st, const struct id *id, uint32_t len, void *p, int *codec, size_t *stored_len,
    struct err *e)
{
	struct stored out = { .p = p };
	struct loc l;
	struct work *w;
	bool whole;
	int res = store_locate(st, id, &l, e);

	if (res <= 0)
		return res ? -1 : store_unknown(st, id, e);
	whole = l.en.type == REC_CHUNK;
	store_release(st, &l);
	w = work_get(st, e);
	if (!w)
		return -1;
	res = whole ? take_whole(st, w, id, len, &out, e) : take_overlaid(st, w, id, len, &out, e);
	*codec = out.codec;
	*stored_len = out.len;
	work_put(st, w);
	return res;
}

int store_read_stored(struct store *st, const struct id *id, uint32_t len, void *p, int *codec, size_t *stored_len,
    struct err *e)
{
	int r = read_stored(st, id, len, p, codec, stored_len, e);

	return r < 0 && store_again(st, e) ? read_stored(st, id, len, p, codec, stored_len, e) : r;
}
