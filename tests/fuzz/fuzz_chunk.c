/* Any bytes as records of one chunk, each upon one before it: overlays and whole
 * chunks as the input has them, under the id that their leaf table gives, or
 * made right, with fragments of the input and a true table.  Reading gives an
 * error or content of that id; what is put upon them then is read back. */
#include <string.h>

#include "base/bytes.h"
#include "repo/chunk.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define CS (128u << 10)
#define CONTENTS 4u
#define HEAD 6u		/* what, the one below, length, bytes taken */

enum { OVERLAY = 1, ZSTD = 2, MADE = 4, NO_BASE = 8 };

struct content { struct id id; uint32_t len; bool made; uint8_t plain[CS]; };
static struct content content[CONTENTS];
static unsigned n;
static struct codec_ctx *codec;

/* The input, again and again. */
static void tile(uint8_t *to, size_t room, const uint8_t *p, size_t len)
{
	for (size_t at = 0; at < room; at += len)
		memcpy(to + at, p, min64(len, room - at));
}

static void append(struct store *st, struct record *r, struct buf *body, const struct id *leaf)
{
	struct iovec v = { body->p, body->len };
	struct err e = { 0 };
	uint64_t added;

	id_chunk(ID_BLAKE3, leaf, leaf_count(CS, r->plain), &r->id);
	content[n].id = r->id;
	content[n].len = r->plain;
	if (!id_zero(&r->id))
		assert(!store_append(st, r, &v, 1, &added, &e));
}

/* As it comes: of leaf ids the first bytes. */
static void given(struct store *st, struct record *r, const uint8_t *p, size_t len)
{
	struct id leaf[LEAVES_MAX] = { { { 0 } } };
	struct buf b = { 0 };

	buf_put(&b, p, len);
	memcpy(leaf, p, min64(len, leaf_count(CS, r->plain) * ID_LEN));
	content[n].made = false;
	append(st, r, &b, leaf);
	buf_free(&b);
}

/* A whole chunk, a frame for each leaf when it is packed. */
static void whole(struct record *r, struct buf *data)
{
	const uint8_t *plain = content[n].plain;
	uint8_t lens[LEAVES_MAX * 4];
	unsigned k = leaf_count(CS, r->plain);
	struct buf frames = { 0 };

	for (unsigned i = 0; r->codec == CODEC_ZSTD && i < k; i++) {
		uint32_t len = min64(LEAF_MAX, r->plain - i * LEAF_MAX);
		size_t got = codec_pack_step(codec, 1, plain + i * LEAF_MAX, len, buf_room(&frames, codec_bound(len)));

		assert(got);
		frames.len -= codec_bound(len) - got;
		put32(lens + 4 * i, (uint32_t)got);
	}
	buf_put(data, r->codec == CODEC_ZSTD ? lens : plain, r->codec == CODEC_ZSTD ? 4 * k : r->plain);
	if (frames.len)
		buf_put(data, frames.p, frames.len);
	buf_free(&frames);
}

/* Fragments, a gap and a length of four bytes each; their content is the input's. */
static void overlay(struct record *r, const uint8_t *p, size_t len, struct buf *data)
{
	static uint8_t bytes[CS];
	size_t packed, sum = 0, head = data->len, at = 0;
	uint32_t k = 0;

	put64(buf_room(data, 8), 0);
	for (const uint8_t *q = p; q + 4 <= p + len && at < r->plain; q += 4, k++) {
		size_t off = at + get16(q) * 3u, take = 1 + get16(q + 2) * 3u;

		if (off >= r->plain)
			break;
		take = min64(take, r->plain - off);
		tile(content[n].plain + off, take, p, len);
		put32(buf_room(data, 4), (uint32_t)off);
		put32(buf_room(data, 4), (uint32_t)take);
		memcpy(bytes + sum, content[n].plain + off, take);
		sum += take;
		at = off + take;
	}
	put32(data->p + head, k);
	put32(data->p + head + 4, (uint32_t)sum);
	if (r->codec != CODEC_ZSTD) {
		buf_put(data, bytes, sum);
		return;
	}
	packed = codec_pack(codec, 1, bytes, sum, buf_room(data, codec_bound(sum)));
	data->len -= codec_bound(sum) - packed;
	if (!packed) {
		r->codec = CODEC_RAW;
		buf_put(data, bytes, sum);
	}
}

static void made(struct store *st, struct record *r, const struct content *base, const uint8_t *p, size_t len)
{
	struct id leaf[LEAVES_MAX], id;
	struct buf data = { 0 }, b = { 0 };
	struct content *c = &content[n];

	memset(c->plain, 0, r->plain);
	if (r->type == REC_OVERLAY) {
		if (base)
			memcpy(c->plain, base->plain, min64(base->len, r->plain));
		overlay(r, p, len, &data);
	} else {
		tile(c->plain, r->plain, p, len);
		whole(r, &data);
	}
	id_content(ID_BLAKE3, CS, c->plain, r->plain, leaf, &id);
	c->made = !base || base->made;
	buf_put(&b, leaf, leaf_count(CS, r->plain) * ID_LEN);
	buf_put(&b, data.p, data.len);
	append(st, r, &b, leaf);
	buf_free(&data);
	buf_free(&b);
}

static size_t add(struct store *st, const uint8_t *p, size_t len)
{
	size_t bytes = 1 + get16(p + 4) % (len - HEAD);
	const struct content *base = n && !(p[0] & NO_BASE) ? &content[p[1] % n] : NULL;
	struct record r = { .type = p[0] & OVERLAY ? REC_OVERLAY : REC_CHUNK,
		.codec = p[0] & ZSTD ? CODEC_ZSTD : CODEC_RAW, .plain = 1 + get16(p + 2) * 5u % CS };

	if (r.type == REC_OVERLAY) {
		r.depth = (uint8_t)(1 + p[1] / 16);
		r.base = base ? base->id : r.base;
	} else {
		base = NULL;
	}
	if (p[0] & MADE)
		made(st, &r, base, p + HEAD, bytes);
	else
		given(st, &r, p + HEAD, bytes);
	if (!id_zero(&content[n].id))
		n++;
	return HEAD + bytes;
}

static void read_back(struct store *st, const struct content *c)
{
	static uint8_t out[CS], stored[CS + (CS >> 2)];
	struct id leaf[LEAVES_MAX], is;
	uint32_t off = c->len / 3;
	struct err e = { 0 };
	size_t len;
	int how;

	assert(codec_bound(CS) <= sizeof(stored));
	if (store_read(st, &c->id, c->len, 0, c->len, out, &e)) {
		assert(e.code == DM_BAD);
	} else {
		id_content(ID_BLAKE3, CS, out, c->len, NULL, &is);
		assert(id_equal(&is, &c->id));
		assert(!store_read(st, &c->id, c->len, off, c->len - off, stored, &e));
		assert(!memcmp(out + off, stored, c->len - off));
	}
	e = (struct err){ 0 };
	how = store_read_stored(st, &c->id, c->len, stored, &(int){ 0 }, &len, &e);
	assert(how >= 0 ? how == 0 || len <= codec_bound(c->len) : e.code == DM_BAD);
	e = (struct err){ 0 };
	if (store_leaves(st, &c->id, c->len, leaf, &e) == 0) {
		id_chunk(ID_BLAKE3, leaf, leaf_count(CS, c->len), &is);
		assert(id_equal(&is, &c->id));
	}
}

/* The next state of the last one, as dm-write puts it. */
static void put_upon(struct store *st, const struct content *c, uint8_t what)
{
	static uint8_t now[CS], out[CS];
	const struct frag f = { c->len / 2, 1 + c->len / 4 };
	struct id leaf[LEAVES_MAX], id;
	struct store_chunk next = { .leaf = leaf, .plain = now, .len = c->len, .base = &c->id, .base_len = c->len,
		.chunk = what };
	struct err e = { 0 };
	uint64_t added;

	memcpy(now, c->plain, c->len);
	memset(now + f.off, what, min64(f.len, c->len - f.off));
	id_content(ID_BLAKE3, CS, now, c->len, leaf, &next.id);
	if (f.off + f.len > c->len || id_zero(&next.id))
		return;
	if (what & 1 ? store_put_chunk(st, &next, &added, &e) :
	    store_patch(st, &c->id, c->len, c->len, what, &f, 1, now + f.off, NULL, &id, &added, &e)) {
		assert(e.code == DM_BAD);
		return;
	}
	assert(what & 1 || !c->made || id_equal(&id, &next.id));
	if (what & 1 && store_read(st, &next.id, c->len, 0, c->len, out, &e) == 0)
		assert(!memcmp(out, now, c->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct store *st = fuzz_store(CS);

	if (!codec)
		codec = codec_new();
	for (n = 0; n < CONTENTS && len > HEAD;) {
		size_t took = add(st, p, len);

		p += took;
		len -= took;
	}
	for (unsigned i = 0; i < n; i++)
		read_back(st, &content[i]);
	if (n)
		put_upon(st, &content[n - 1], len ? p[0] : (uint8_t)n);
	return 0;
}
