/* A sealed stream, with all that somebody in between can do to it, and
 * all that a writer with the key can put into it.  The first byte says how:
 *   bit 0  frames of the bytes are sealed as they should be, header and body
 *          as they come; else the bytes are the stream
 *   bit 1  of what bit 0 made, one byte is changed then: it must not be taken
 *   bit 2  sealed with padding
 *   bit 3  as one side of a conversation */
#include <assert.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "file.h"
#include "segment.h"
#include "stream/seal.h"
#include "stream/stream_json.h"

#define MADE 1
#define CHANGED 2
#define PADDED 4
#define TALK 8
#define FRAME_GIVEN 12	/* type, flags, disk, epoch, length of a frame */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const struct key key = { { 7 } };
static const uint8_t nonce[SEAL_NONCE] = { 1, 2, 3 }, theirs[SEAL_NONCE] = { 4 };

static uint8_t *header(struct buf *out, uint8_t type, uint8_t flags, uint64_t seq, size_t body)
{
	uint8_t *h = buf_room(out, FRAME_HEADER);

	memset(h, 0, FRAME_HEADER);
	put32(h + FH_MAGIC, FRAME_MAGIC);
	h[FH_TYPE] = type;
	h[FH_FLAGS] = flags;
	put64(h + FH_SEQ, seq);
	put32(h + FH_LEN, (uint32_t)body);
	return h;
}

static void opening(struct seal *s, struct buf *out)
{
	uint8_t *h;
	size_t at;

	buf_put(out, STREAM_PREFACE, STREAM_PREFACE_LEN);
	at = out->len;
	h = header(out, FT_HELLO, 0, 0, SEAL_OPENING);
	put32(h + FH_CHECK, (uint32_t)XXH3_64bits(h, FH_CHECK));
	seal_opening(s, buf_room(out, SEAL_OPENING));
	put64(buf_room(out, FRAME_CHECK), XXH3_64bits(out->p + at, FRAME_HEADER + SEAL_OPENING));
}

/* One frame of the input; what it took. */
static size_t put_one(struct seal *s, const uint8_t *p, size_t len, uint64_t seq, struct buf *out)
{
	size_t body = get16(p + 10) % (len - FRAME_GIVEN + 1), whole = seal_len(s, body), at = out->len;
	uint8_t *h;

	buf_room(out, FRAME_HEADER + whole + FRAME_SEAL);
	out->len = at;
	h = header(out, p[0], (p[1] & FF_MAY_IGNORE) | seal_flags(s), seq, whole);
	put32(h + FH_DISK, get32(p + 2));
	put32(h + FH_EPOCH, get32(p + 6));
	put32(h + FH_CHECK, (uint32_t)XXH3_64bits(h, FH_CHECK));
	buf_room(out, whole + FRAME_SEAL);
	memcpy(h + FRAME_HEADER + 1, p + FRAME_GIVEN, body);
	seal_push(s, h, h + FRAME_HEADER, body);
	return FRAME_GIVEN + body;
}

/* The reader; in a conversation it is heard by the writer too. */
static struct seal *reader(bool talk, struct seal *writer)
{
	struct seal *s = seal_new(&key, talk ? SEAL_ANSWERER : SEAL_READER, "fuzz", false);
	uint8_t body[SEAL_OPENING];
	struct err e = { 0 };

	if (!talk)
		return s;
	seal_fix(s, theirs);
	seal_opening(s, body);
	assert(!writer || !seal_heard(writer, body, sizeof(body), "fuzz", &e));
	return s;
}

static void make(const uint8_t *p, size_t len, unsigned how, struct buf *out)
{
	struct seal *s = seal_new(&key, how & TALK ? SEAL_ASKER : SEAL_WRITER, "fuzz", how & PADDED);

	seal_fix(s, nonce);
	seal_free(reader(how & TALK, s));
	opening(s, out);
	for (uint64_t seq = 1; len >= FRAME_GIVEN; seq++) {
		size_t took = put_one(s, p, len, seq, out);

		p += took;
		len -= took;
	}
	seal_free(s);
}

/* How many frames were opened. */
static unsigned read_all(int fd, bool talk)
{
	struct frame_in *in = frame_in_new(fd, "input");
	struct seal *s = reader(talk, NULL);
	struct stream_json *j = stream_json_new();
	struct buf out = { 0 };
	struct err e = { 0 };
	struct frame f;
	unsigned n = 0;

	frame_in_seal(in, s);
	while (!stream_json_ended(j) && frame_read(in, &f, &e) > 0) {
		assert(f.len <= FRAME_BODY_MAX);
		n++;
		out.len = 0;
		if (json_print(j, &f, true, &out, &e) < 0)
			break;
	}
	if (!e.code && stream_json_ended(j) == FT_END)
		frame_in_close(in, &e);
	assert(!e.code || e.code == DM_BAD || e.code == DM_ENV || e.code == DM_NO);
	buf_free(&out);
	stream_json_free(j);
	frame_in_free(in);
	seal_free(s);
	return n;
}

static unsigned take(const uint8_t *p, size_t len, bool talk)
{
	return read_all(fuzz_file(p, len), talk);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct buf b = { 0 };
	unsigned whole;

	if (len < 4)
		return 0;
	if (!(p[0] & MADE)) {
		take(p + 4, len - 4, p[0] & TALK);
		return 0;
	}
	make(p + 4, len - 4, p[0], &b);
	whole = take(b.p, b.len, p[0] & TALK);
	if (p[0] & CHANGED) {
		size_t at = (get16(p + 1) | (size_t)p[3] << 16) % b.len;

		b.p[at] ^= 1 << (p[0] >> 5);
		/* What comes before it may be; it is the last then. */
		assert(take(b.p, b.len, p[0] & TALK) <= whole);
	}
	buf_free(&b);
	return 0;
}
