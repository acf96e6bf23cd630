/* A stream out of any bytes: what is behind the checks of its frames is
 * reached, and, where that is wanted, what is behind its numbers and sums. */
#ifndef DM_FUZZ_FRAMES_H
#define DM_FUZZ_FRAMES_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "stream/record.h"

enum {
	FRAMES_COUNTED = 1,	/* entries get rising numbers, the ids of their content; sums fit */
	FRAMES_ONE_ODD = 2,	/* of one frame (the number above these bits) only the check is made right */
	FRAMES_LARGE = 4,	/* one of more bytes than are read ahead comes second */
};
#define FRAMES_ODD_SHIFT 3

struct fuzz_frames {
	struct buf *out;
	unsigned how;
	uint64_t seq, next;
	struct hello hello;
	struct tally tally;
	bool has_hello;
};

/* The entry at p, with what is before and behind it in [p, end): numbered,
 * named after its leaves, and counted when it is one. */
static inline bool fuzz_entry(struct fuzz_frames *x, uint32_t disk, uint8_t *p, const uint8_t *end, struct entry *en)
{
	struct cursor c = { .p = p, .end = end };
	struct err e = { 0 };

	if (end - p < ENTRY_FIXED)
		return false;
	put64(p, x->next);
	if (entry_decode(&c, &x->hello, disk, en, &e) < 0)
		return false;
	if (en->flags & EF_ID && en->nleaves) {
		id_chunk(x->hello.algo, en->leaf, en->nleaves, &en->id);
		entry_encode(en, p);
	}
	x->next += entry_count(en, x->hello.chunk_size);
	tally_add(&x->tally, disk, en, x->hello.chunk_size);
	return true;
}

/* The id of a whole chunk that is here as it is. */
static inline void fuzz_chunk(struct fuzz_frames *x, struct frame *f, uint8_t *body)
{
	struct err e = { 0 };
	struct chunk c;
	struct id id;

	if (chunk_decode(f, &x->hello, &c, &e) < 0 || !(c.en.flags & EF_ID) || c.en.flags & EF_FRAGS || c.codec)
		return;
	id_content(x->hello.algo, x->hello.chunk_size, c.data, c.plain, NULL, &id);
	memcpy(body + ENTRY_FIXED, id.b, ID_LEN);
}

static inline void fuzz_list(struct fuzz_frames *x, const struct frame *f, uint8_t *body)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };
	struct err e = { 0 };
	struct extent ext;
	struct entry en;

	while (cur_left(&c)) {
		if (f->type == FT_EXTENT) {
			if (extent_decode(&c, &x->hello, f->disk, &ext, &e) < 0)
				return;
			tally_add_extent(&x->tally, f->disk, &ext);
		} else {
			if (!fuzz_entry(x, f->disk, body + (c.p - f->body), c.end, &en))
				return;
			c.p += entry_len(&en);
		}
	}
}

static inline void fuzz_count(struct fuzz_frames *x, struct frame *f, uint8_t *body)
{
	struct err e = { 0 };
	struct entry en;

	if (f->type == FT_HELLO && !x->has_hello) {
		x->has_hello = hello_decode(f, &x->hello, &e) == 0;
		if (x->has_hello)
			tally_init(&x->tally, &x->hello);
	}
	if (!x->has_hello)
		return;
	if (f->type == FT_EXTENT || f->type == FT_DESC)
		fuzz_list(x, f, body);
	if (f->type == FT_CHUNK)
		fuzz_chunk(x, f, body);
	if (f->type == FT_CHUNK || f->type == FT_ZERO || f->type == FT_REF || f->type == FT_HELD)
		fuzz_entry(x, f->disk, body, body + f->len, &en);
	if (f->type == FT_WRITTEN && f->len > 8)
		fuzz_entry(x, f->disk, body + 8, body + f->len, &en);
	if ((f->type == FT_BARRIER && f->len == 16) || (f->type == FT_END && f->len == 48)) {
		put64(body, x->tally.count);
		put64(body + 8, x->tally.bytes);
		for (int i = 0; i < 4 && f->type == FT_END; i++)
			put64(body + 16 + 8 * i, x->tally.root[i]);
	}
}

/* One frame with this header and body. */
static inline void fuzz_frame(struct fuzz_frames *x, const uint8_t *head, const uint8_t *body, size_t len)
{
	uint8_t *h = buf_room(x->out, FRAME_HEADER + len + FRAME_CHECK);
	struct frame f = { .type = head[FH_TYPE], .disk = get32(head + FH_DISK), .len = (uint32_t)len,
		.body = h + FRAME_HEADER };

	memcpy(h, head, FRAME_HEADER);
	memcpy(h + FRAME_HEADER, body, len);
	if (x->how & FRAMES_COUNTED)
		fuzz_count(x, &f, h + FRAME_HEADER);
	if (!(x->how & FRAMES_ONE_ODD) || x->seq != x->how >> FRAMES_ODD_SHIFT) {
		put32(h + FH_MAGIC, FRAME_MAGIC);
		put16(h + FH_STREAM, 0);
		put64(h + FH_SEQ, x->seq);
		put32(h + FH_LEN, (uint32_t)len);
	}
	x->seq++;
	put32(h + FH_CHECK, (uint32_t)XXH3_64bits(h, FH_CHECK));
	put64(h + FRAME_HEADER + len, XXH3_64bits(h, FRAME_HEADER + len));
}

/* Onto out, which is emptied. */
static inline void fuzz_frames(struct buf *out, const uint8_t *p, size_t len, unsigned how)
{
	static const uint8_t large[300u << 10], other[FRAME_HEADER] = { [FH_TYPE] = 200, [FH_FLAGS] = FF_MAY_IGNORE };
	struct fuzz_frames x = { .out = out, .how = how };
	size_t least = FRAME_HEADER + FRAME_CHECK, i = STREAM_PREFACE_LEN;

	out->len = 0;
	if (len < i)
		return;
	buf_put(out, STREAM_PREFACE, i);
	while (len - i >= least) {
		size_t body = get32(p + i + FH_LEN) % (len - i - least + 1);

		fuzz_frame(&x, p + i, p + i + FRAME_HEADER, body);
		if (x.seq == 1 && how & FRAMES_LARGE)
			fuzz_frame(&x, other, large, sizeof(large));
		i += least + body;
	}
	buf_put(out, p + i, len - i);
	hello_free(&x.hello);
}

#endif
