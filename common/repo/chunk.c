/* Chunks into the store and out of it. */
#include "repo/chunk.h"

#include <string.h>

#include "base/bytes.h"
#include "repo/overlay.h"

/* Frames as they came, or made here; raw when that saves nothing. */
static int choose_form(struct store *st, struct work *w, const struct store_chunk *c, const void **data,
    size_t *len, uint32_t *frame, unsigned n, struct err *e)
{
	int codec = CODEC_ZSTD;

	if (c->stored && c->codec == CODEC_ZSTD) {
		*data = c->stored;
		*len = c->stored_len;
	} else {
		*data = w->packed;
		*len = codec_pack(w->codec, st->site->level, c->plain, c->len, w->packed);
		codec = *len ? CODEC_ZSTD : CODEC_RAW;
	}
	if (codec == CODEC_RAW) {
		*data = c->plain;
		*len = c->len;
		return CODEC_RAW;
	}
	return codec_frames(*data, *len, c->len, frame, n, e) ? -1 : CODEC_ZSTD;
}

int chunk_put_whole(struct store *st, struct work *w, const struct store_chunk *c, uint64_t *added, struct err *e)
{
	unsigned n = leaf_count(st->site->chunk_size, c->len);
	struct record r = { .type = REC_CHUNK, .plain = c->len, .id = c->id };
	uint32_t frame[LEAVES_MAX];
	uint8_t lens[LEAVES_MAX * 4];
	struct iovec iov[3];
	const void *data;
	size_t len;
	int codec = choose_form(st, w, c, &data, &len, frame, n, e);

	if (codec < 0)
		return -1;
	for (unsigned i = 0; i < n && codec == CODEC_ZSTD; i++)
		put32(lens + 4 * i, frame[i]);
	r.codec = (uint8_t)codec;
	iov[0] = (struct iovec){ (void *)c->leaf, n * ID_LEN };
	iov[1] = (struct iovec){ lens, codec == CODEC_ZSTD ? n * 4 : 0 };
	iov[2] = (struct iovec){ (void *)data, len };
	return store_append(st, &r, iov, 3, added, e);
}

static unsigned leaves_differing(const struct chain *base, const struct store_chunk *c, unsigned n)
{
	unsigned d = 0;

	for (unsigned i = 0; i < n; i++)
		d += i >= base->nleaf || !id_equal(&base->leaf[i], &c->leaf[i]);
	return d;
}

/* The content over its base: where most leaves differ, comparing their bytes
 * would only cost. */
static int put_on(struct store *st, struct work *w, const struct store_chunk *c, uint64_t *added, struct err *e)
{
	uint32_t size = leaf_size(st->site->chunk_size);
	unsigned n = leaf_count(st->site->chunk_size, c->len);
	struct chain base;
	struct patch p = { .base = &base, .base_len = c->base_len, .len = c->len, .chunk = c->chunk, .nleaf = n };
	int r = 0;

	if (chain_open(&base, st, w, c->base, c->base_len, e))
		return -1;
	if (leaves_differing(&base, c, n) * 4 > n * 3) {
		chain_close(&base);
		return chunk_put_whole(st, w, c, added, e);
	}
	memcpy(p.leaf, c->leaf, n * sizeof *c->leaf);
	p.now = (uint8_t *)c->plain;	/* all of it is ready: only read */
	for (unsigned i = 0; i < n && !r; i++) {
		p.ready[i] = true;
		if (i < base.nleaf && id_equal(&base.leaf[i], &c->leaf[i]))
			continue;
		memset(w->old, 0, size);
		if (i < base.nleaf)
			r = chain_read(&base, i, i, w->old, e);
		if (!r && i == base.nleaf - 1)	/* bytes past the base's end read as zeros */
			memset(w->old + chain_leaf_len(&base, i), 0, size - chain_leaf_len(&base, i));
		if (!r)
			patch_compare(&p, i, w->old);
	}
	if (!r)
		r = patch_store(&p, &c->id, c, false, added, e);
	chain_close(&base);
	return r;
}

int store_put_chunk(struct store *st, const struct store_chunk *c, uint64_t *added, struct err *e)
{
	struct work *w;
	bool doomed;
	int r;

	*added = 0;
	if (id_zero(&c->id))
		return 0;
	r = store_usable(st, e) ? -1 : store_known(st, &c->id, &doomed, e);
	if (r)
		return r < 0 ? -1 : 0;
	w = work_get(st, e);
	if (!w)
		return -1;
	if (!c->base || id_zero(c->base) || doomed)
		r = chunk_put_whole(st, w, c, added, e);
	else if ((r = put_on(st, w, c, added, e)) && store_again(st, e))
		r = put_on(st, w, c, added, e);
	work_put(st, w);
	return r;
}

static int read_part(struct store *st, const struct id *id, uint32_t len, uint32_t off, uint32_t n, void *p,
    struct err *e)
{
	uint32_t size = leaf_size(st->site->chunk_size);
	unsigned first = off / size, last;
	struct chain c;
	struct work *w;
	bool direct;
	int r;

	w = work_get(st, e);
	if (!w)
		return -1;
	last = (off + n - 1) / size;
	r = chain_open(&c, st, w, id, len, e);
	if (!r) {
		direct = off % size == 0 && n % size == 0;
		r = chain_read(&c, first, last, direct ? p : w->old, e);
		if (!r && !direct)
			memcpy(p, w->old + (off - first * size), n);
		chain_close(&c);
	}
	work_put(st, w);
	return r;
}

int store_read(struct store *st, const struct id *id, uint32_t len, uint32_t off, uint32_t n, void *p, struct err *e)
{
	int r;

	if (!n || off > len || n > len - off)
		return err_set(e, DM_ENV, "read of [%u, +%u) in a chunk of %u bytes", off, n, len);
	if (id_zero(id)) {
		memset(p, 0, n);
		return 0;
	}
	r = read_part(st, id, len, off, n, p, e);
	return r && store_again(st, e) ? read_part(st, id, len, off, n, p, e) : r;
}

static int read_leaves(struct store *st, const struct id *id, uint32_t len, struct id *leaf, struct err *e)
{
	struct chain c;
	struct work *w;
	int r;

	w = work_get(st, e);
	if (!w)
		return -1;
	r = chain_open(&c, st, w, id, len, e);
	if (!r) {
		memcpy(leaf, c.leaf, c.nleaf * sizeof *leaf);
		chain_close(&c);
	}
	work_put(st, w);
	return r;
}

int store_leaves(struct store *st, const struct id *id, uint32_t len, struct id *leaf, struct err *e)
{
	int r;

	if (id_zero(id)) {
		memset(leaf, 0, leaf_count(st->site->chunk_size, len) * sizeof *leaf);
		return 0;
	}
	r = read_leaves(st, id, len, leaf, e);
	return r && store_again(st, e) ? read_leaves(st, id, len, leaf, e) : r;
}
