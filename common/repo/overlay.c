#include "repo/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/chunk.h"

static void map_set(struct patch *p, uint32_t g)
{
	p->map[g / 64] |= 1ull << (g % 64);
}

static bool map_has(const struct patch *p, uint32_t g)
{
	return p->map[g / 64] >> (g % 64) & 1;
}

static uint32_t leaf_len(const struct patch *p, unsigned i)
{
	uint32_t size = leaf_size(p->base->st->site->chunk_size), off = i * size;

	return p->len - off < size ? p->len - off : size;
}

void patch_compare(struct patch *p, unsigned i, const uint8_t *base)
{
	uint32_t off = i * leaf_size(p->base->st->site->chunk_size), len = leaf_len(p, i);

	for (uint32_t at = 0; at < len; at += OVERLAY_GRAIN) {
		uint32_t n = len - at < OVERLAY_GRAIN ? len - at : OVERLAY_GRAIN;

		if (memcmp(p->now + off + at, base + at, n))
			map_set(p, (off + at) / OVERLAY_GRAIN);
	}
}

/* The map as fragments: their number and bytes; the table at f (8 bytes each)
 * and the bytes at out when they are not NULL. */
static uint32_t map_frags(const struct patch *p, uint8_t *f, uint8_t *out, uint32_t *bytes)
{
	uint32_t grains = (uint32_t)div_up(p->len, OVERLAY_GRAIN), n = 0;

	*bytes = 0;
	for (uint32_t g = 0; g < grains; g++) {
		uint32_t from = g * OVERLAY_GRAIN, to;

		if (!map_has(p, g))
			continue;
		while (g + 1 < grains && map_has(p, g + 1))
			g++;
		to = (uint32_t)min64((uint64_t)(g + 1) * OVERLAY_GRAIN, p->len);
		if (f) {
			put32(f + 8 * n, from);
			put32(f + 8 * n + 4, to - from);
			memcpy(out + *bytes, p->now + from, to - from);
		}
		n++;
		*bytes += to - from;
	}
	return n;
}

/* Make sure the new content of leaf i is there: it is the base's. */
static int fill_leaf(struct patch *p, unsigned i, struct err *e)
{
	uint32_t off = i * leaf_size(p->base->st->site->chunk_size);

	if (p->ready[i])
		return 0;
	if (chain_read(p->base, i, i, p->now + off, e))
		return -1;
	p->ready[i] = true;
	return 0;
}

static int store_whole(struct patch *p, const struct id *id, const struct store_chunk *form, uint64_t *added,
    struct err *e)
{
	struct store_chunk c;

	if (form)
		return chunk_put_whole(p->base->st, p->base->w, form, added, e);
	for (unsigned i = 0; i < p->nleaf; i++)
		if (fill_leaf(p, i, e))
			return -1;
	c = (struct store_chunk){ .id = *id, .leaf = p->leaf, .plain = p->now, .len = p->len };
	return chunk_put_whole(p->base->st, p->base->w, &c, added, e);
}

/* Body of an overlay from the map; 1 when it is not worth it: the fragments
 * come to more than three quarters of the whole chunk below. */
static int encode(struct patch *p, uint8_t *head, uint8_t *table, uint8_t *plain, struct iovec iov[3], int *codec)
{
	struct work *w = p->base->w;
	uint32_t bytes, n = map_frags(p, table, plain, &bytes);
	uint64_t limit = p->base->has_whole ? p->base->whole_stored : p->len;
	size_t packed = bytes ? codec_pack(w->codec, p->base->st->site->level, plain, bytes, w->packed) : 0;

	*codec = packed ? CODEC_ZSTD : CODEC_RAW;
	memcpy(head, p->leaf, p->nleaf * ID_LEN);
	put32(head + p->nleaf * ID_LEN, n);
	put32(head + p->nleaf * ID_LEN + 4, bytes);
	iov[0] = (struct iovec){ head, overlay_head(p->nleaf) };
	iov[1] = (struct iovec){ table, 8 * (size_t)n };
	iov[2] = packed ? (struct iovec){ w->packed, packed } : (struct iovec){ plain, bytes };
	return (iov[1].iov_len + iov[2].iov_len) * 4 > limit * 3;
}

static int store_overlay(struct patch *p, const struct id *id, const struct layer *on, uint8_t tier,
    const struct store_chunk *form, uint64_t *added, struct err *e)
{
	uint8_t head[LEAVES_MAX * ID_LEN + 8];
	uint8_t *table = x_try(OVERLAY_GRAINS / 2 + 1, 8, e), *plain = x_try(p->len, 1, e);
	struct record r = {
		.type = REC_OVERLAY, .plain = p->len, .id = *id, .base = on->id,
		.depth = (uint8_t)(on->depth + 1), .tier = tier,
	};
	struct iovec iov[3];
	int codec, res = -1;

	if (table && plain) {
		res = encode(p, head, table, plain, iov, &codec);
		r.codec = (uint8_t)codec;
		if (res)
			res = store_whole(p, id, form, added, e);
		else
			res = store_append(p->base->st, &r, iov, 3, added, e);
	}
	free(table);
	free(plain);
	return res;
}

/* Let the map also cover the fragments of the layers above `below', and of
 * what a change of length cut off or added. */
static int merge(struct patch *p, unsigned below, struct err *e)
{
	uint32_t grain = OVERLAY_GRAIN, size = leaf_size(p->base->st->site->chunk_size);

	for (unsigned i = 0; i < below; i++) {
		const struct layer *y = &p->base->v[i];
		uint32_t under = p->base->v[i + 1].plain;

		for (uint32_t k = 0; k < y->nfrags; k++) {
			uint32_t off = get32(y->frags + 8 * k), end = off + get32(y->frags + 8 * k + 4);

			for (uint32_t g = off / grain; g * grain < end && g * grain < p->len; g++)
				map_set(p, g);
		}
		/* A layer shorter than the one under it hides that one's end. */
		for (uint32_t g = y->plain / grain; y->plain < under && g * grain < p->len; g++)
			map_set(p, g);
	}
	for (uint32_t g = 0; g * grain < p->len; g++)
		if (map_has(p, g) && fill_leaf(p, g * grain / size, e))
			return -1;
	return 0;
}

int patch_store(struct patch *p, const struct id *id, const struct store_chunk *form, bool whole,
    uint64_t *added, struct err *e)
{
	struct chain *c = p->base;
	uint64_t mix = p->chunk * 0x9e3779b97f4a7c15ull >> 60;
	unsigned small_max = 5 + (mix & 3), tier_max = 5 + (mix >> 2 & 3);
	unsigned small, below = 0;

	if (whole || !c->n)
		return store_whole(p, id, form, added, e);
	small = c->v[0].depth - c->v[0].tier;
	if (small + 1 < small_max)
		return store_overlay(p, id, &c->v[0], c->v[0].tier, form, added, e);
	while (below < c->n && c->v[below].depth > c->v[below].tier)
		below++;
	if (below == c->n || c->v[below].tier + 1u > tier_max)
		return store_whole(p, id, form, added, e);
	if (merge(p, below, e))
		return -1;
	return store_overlay(p, id, &c->v[below], (uint8_t)(c->v[below].tier + 1), form, added, e);
}
