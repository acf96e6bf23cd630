/* Sealed streams: what was sealed is opened by the holder of the key, and
 * nothing that was changed, moved, repeated, cut or left open is. */
#include <sys/mman.h>

#include "../lib/streams.h"
#include "base/fdio.h"
#include "stream/seal.h"

#define CHUNKS 6u
#define VECTOR_KEY_ID "41c9a2d7c02d169f"
#define VECTOR_SEALED "2925f145f9e35ad5b25b8f2c9d40dba9e724cdfe7e16"

static const struct key key = { "a key of the tests, 32 bytes" };

/* A whole sealed stream, and where its frames begin. */
struct sealed {
	uint8_t *p;
	size_t len;
	size_t at[32];
	unsigned n;		/* frames; at[n] is the end */
};

static size_t frame_size(const uint8_t *h)
{
	return FRAME_HEADER + get32(h + FH_LEN) + (h[FH_FLAGS] & FF_SEALED ? FRAME_SEAL : FRAME_CHECK);
}

static void sealed_take(struct sealed *s, struct making *m)
{
	int fd = making_fd(m);
	off_t len = lseek(fd, 0, SEEK_END);

	s->len = (size_t)len;
	s->p = malloc(s->len);
	CHECK(s->p && fd_pread_full(fd, s->p, s->len, 0) == len);
	s->n = 0;
	for (size_t at = STREAM_PREFACE_LEN; at < s->len; at += frame_size(s->p + at))
		s->at[s->n++] = at;
	s->at[s->n] = s->len;
}

static void sealed_make(struct sealed *s, struct seal *seal)
{
	static uint8_t data[CHUNK_MIN];
	struct making m;

	making_start(&m, "vdb", CHUNK_MIN, CHUNKS * CHUNK_MIN);
	frame_out_seal(m.o, seal);
	making_hello(&m);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct entry en = { .index = i, .off = i * CHUNK_MIN, .len = CHUNK_MIN };

		memset(data, (int)i + 1, sizeof(data));
		making_chunk(&m, 1, &en, data);
	}
	making_end(&m);
	sealed_take(s, &m);
	making_free(&m);
}

static struct sealed one_way(const char *session, bool pad)
{
	struct seal *seal = seal_new(&key, SEAL_WRITER, session, pad);
	struct sealed s;

	sealed_make(&s, seal);
	seal_free(seal);
	return s;
}

/* Read these bytes: the code of the error, 0 if END came and nothing behind
 * it; `frames' counts what was opened. */
static int read_with(struct seal *seal, const uint8_t *p, size_t len, unsigned *frames)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	struct err e = { 0 };
	struct frame_in *in;
	struct frame f = { 0 };

	CHECK(fd >= 0 && fd_pwrite_full(fd, p, len, 0) == 0);
	in = frame_in_new(fd, "input");
	frame_in_seal(in, seal);
	*frames = 0;
	while (!e.code && f.type != FT_END && frame_read(in, &f, &e) == 1)
		++*frames;
	if (!e.code)
		(void)frame_in_close(in, &e);
	frame_in_free(in);
	close(fd);
	return e.code;
}

static int read_one_way(const struct key *k, const char *session, const uint8_t *p, size_t len,
    unsigned *frames)
{
	struct seal *seal = seal_new(k, SEAL_READER, session, false);
	int code = read_with(seal, p, len, frames);

	seal_free(seal);
	return code;
}

static void goes_through(void)
{
	for (int pad = 0; pad < 2; pad++) {
		struct sealed s = one_way("monday", pad);
		unsigned frames;

		CHECK(read_one_way(&key, "monday", s.p, s.len, &frames) == 0);
		CHECK(frames == CHUNKS + 2);
		CHECK(s.n == CHUNKS + 3);
		free(s.p);
	}
}

/* Neither content nor names can be seen. */
static void hides(void)
{
	struct sealed s = one_way(NULL, false);
	uint8_t row[64];

	CHECK(!memmem(s.p, s.len, "vdb", 3));
	memset(row, 1, sizeof(row));
	CHECK(!memmem(s.p, s.len, row, sizeof(row)));
	free(s.p);
}

static void other_key_or_session(void)
{
	const struct key other = { "another key of the tests" };
	struct sealed s = one_way("monday", false);
	unsigned frames;

	CHECK(read_one_way(&other, "monday", s.p, s.len, &frames) == DM_NO && frames == 0);
	CHECK(read_one_way(&key, "tuesday", s.p, s.len, &frames) == DM_BAD && frames == 0);
	CHECK(read_one_way(&key, NULL, s.p, s.len, &frames) == DM_BAD && frames == 0);
	free(s.p);
}

/* A change of any byte, also of headers, is seen before the frame is. */
static void any_bit(void)
{
	struct sealed s = one_way(NULL, false);
	uint64_t dice = 5;
	unsigned frames;

	for (size_t at = 0; at < s.len; at += at < 400 || at + 200 > s.len ? 1 : 1 + rnd(&dice) % 97) {
		uint8_t bit = (uint8_t)(1u << rnd(&dice) % 8);
		unsigned whole = 0;
		int code;

		while (whole < s.n && s.at[whole + 1] <= at)
			whole++;
		s.p[at] ^= bit;
		code = read_one_way(&key, NULL, s.p, s.len, &frames);
		s.p[at] ^= bit;
		/* A changed length may ask for more than there is; a changed key
		 * id is another key's. */
		CHECK(code == DM_BAD || code == DM_ENV || (code == DM_NO && whole == 0));
		CHECK(frames <= (whole ? whole - 1 : 0));
	}
	free(s.p);
}

static void cut_anywhere(void)
{
	struct sealed s = one_way(NULL, true);
	unsigned frames;

	for (size_t len = 0; len < s.len; len += len < 300 ? 1 : 61)
		CHECK(read_one_way(&key, NULL, s.p, len, &frames) == DM_ENV && frames < CHUNKS + 2);
	for (unsigned i = 0; i < s.n; i++)
		CHECK(read_one_way(&key, NULL, s.p, s.at[i], &frames) == DM_ENV);
	free(s.p);
}

/* The stream with its frames in this order, numbered anew, header checks made
 * anew: as somebody who knows the format but not the key would. */
static int reordered(const struct sealed *s, const unsigned *order, unsigned n, unsigned *frames)
{
	struct buf b = { 0 };
	int code;

	buf_put(&b, s->p, STREAM_PREFACE_LEN);
	for (unsigned i = 0; i < n; i++) {
		unsigned j = order[i];
		uint8_t *p = buf_room(&b, s->at[j + 1] - s->at[j]);

		memcpy(p, s->p + s->at[j], s->at[j + 1] - s->at[j]);
	}
	code = read_one_way(&key, NULL, b.p, b.len, frames);
	buf_free(&b);
	return code;
}

static void reorder_drop_repeat(void)
{
	const unsigned swapped[] = { 0, 1, 3, 2, 4, 5, 6, 7, 8 }, dropped[] = { 0, 1, 2, 4, 5, 6, 7, 8 };
	const unsigned repeated[] = { 0, 1, 2, 2, 3, 4, 5, 6, 7, 8 }, early[] = { 0, 1, 2, 8 };
	const unsigned twice[] = { 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct sealed s = one_way(NULL, false);
	unsigned frames;

	CHECK(s.n == 9);
	CHECK(reordered(&s, swapped, LEN(swapped), &frames) == DM_BAD && frames == 1);
	CHECK(reordered(&s, dropped, LEN(dropped), &frames) == DM_BAD && frames == 2);
	CHECK(reordered(&s, repeated, LEN(repeated), &frames) == DM_BAD && frames == 2);
	CHECK(reordered(&s, early, LEN(early), &frames) == DM_BAD && frames == 2);
	CHECK(reordered(&s, twice, LEN(twice), &frames) == DM_BAD && frames == 0);
	free(s.p);
}

/* A frame of another stream with the same key, in the same place. */
static void splice_frames(void)
{
	struct sealed a = one_way(NULL, false), b = one_way(NULL, false);
	unsigned frames;

	CHECK(a.len == b.len);
	memcpy(a.p + a.at[3], b.p + b.at[3], b.at[4] - b.at[3]);
	CHECK(read_one_way(&key, NULL, a.p, a.len, &frames) == DM_BAD && frames == 2);
	/* Its opening before our frames. */
	memcpy(a.p, b.p, b.at[1]);
	CHECK(read_one_way(&key, NULL, a.p, a.len, &frames) == DM_BAD && frames == 0);
	free(a.p);
	free(b.p);
}

/* Plain frames where sealed ones are due, and the other way about. */
static void downgrade(void)
{
	struct sealed plain, s = one_way(NULL, false);
	struct buf b = { 0 };
	unsigned frames;

	sealed_make(&plain, NULL);
	CHECK(read_one_way(&key, NULL, plain.p, plain.len, &frames) == DM_BAD && frames == 0);
	CHECK(read_with(NULL, plain.p, plain.len, &frames) == 0);
	CHECK(read_with(NULL, s.p, s.len, &frames) == DM_BAD);
	buf_put(&b, s.p, s.at[1]);
	buf_put(&b, plain.p + plain.at[1], plain.len - plain.at[1]);
	CHECK(read_one_way(&key, NULL, b.p, b.len, &frames) == DM_BAD && frames == 0);
	buf_free(&b);
	free(plain.p);
	free(s.p);
}

/* Lengths of a padded stream say little: neighbours look alike. */
static void padding(void)
{
	struct seal *s = seal_new(&key, SEAL_WRITER, NULL, true);
	size_t kinds = 0, last = 0;

	for (size_t len = 0; len <= FRAME_BODY_MAX - 4; len += len < 2048 ? 1 : 997) {
		size_t whole = seal_len(s, len);

		CHECK(whole >= len + 4 && whole <= FRAME_BODY_MAX && whole >= last);
		CHECK(len < 4096 || whole <= len + 4 + len * 12 / 100);
		kinds += whole != last;
		last = whole;
	}
	CHECK(kinds < 300);
	CHECK(seal_len(s, FRAME_BODY_MAX - 4) == FRAME_BODY_MAX);
	seal_free(s);
}

static void talk_open(struct seal *a, struct seal *b)
{
	uint8_t oa[SEAL_OPENING], ob[SEAL_OPENING];
	struct err e = { 0 };

	seal_opening(a, oa);
	seal_opening(b, ob);
	CHECK(!seal_ready(a) && !seal_ready(b));
	CHECK_ERR(!seal_heard(a, ob, sizeof(ob), "a", &e), &e);
	CHECK_ERR(!seal_heard(b, oa, sizeof(oa), "b", &e), &e);
	CHECK(seal_ready(a) && seal_ready(b));
}

/* Both directions of a conversation, and an old one played again. */
static void conversation(void)
{
	struct seal *a = seal_new(&key, SEAL_ASKER, NULL, false);
	struct seal *b = seal_new(&key, SEAL_ANSWERER, NULL, true);
	struct sealed asked, answered;
	unsigned frames;
	struct seal *fresh;

	talk_open(a, b);
	sealed_make(&asked, a);
	sealed_make(&answered, b);
	fresh = seal_new(&key, SEAL_ASKER, NULL, false);
	/* To another asker the recorded answers are of another conversation; so
	 * are an asker's own words, sent back to it. */
	CHECK(read_with(fresh, answered.p, answered.len, &frames) == DM_BAD && frames == 0);
	seal_free(fresh);
	fresh = seal_new(&key, SEAL_ANSWERER, NULL, false);
	CHECK(read_with(fresh, asked.p, asked.len, &frames) == DM_BAD && frames == 0);
	seal_free(fresh);
	CHECK(read_with(a, answered.p, answered.len, &frames) == 0 && frames == CHUNKS + 2);
	CHECK(read_with(b, asked.p, asked.len, &frames) == 0 && frames == CHUNKS + 2);
	free(asked.p);
	free(answered.p);
	seal_free(a);
	seal_free(b);
}

static void reflection(void)
{
	struct seal *a = seal_new(&key, SEAL_ASKER, NULL, false);
	uint8_t own[SEAL_OPENING];
	struct sealed s;
	struct err e = { 0 };
	unsigned frames;

	seal_opening(a, own);
	CHECK_ERR(!seal_heard(a, own, sizeof(own), "a", &e), &e);
	sealed_make(&s, a);
	CHECK(read_with(a, s.p, s.len, &frames) == DM_BAD && frames == 0);
	free(s.p);
	seal_free(a);
}

/* Nothing is said before the other side's nonce is here, and the two ways of
 * sealing are not taken for each other. */
static void order_and_kind(void)
{
	struct seal *a = seal_new(&key, SEAL_ASKER, NULL, false);
	struct sealed s = one_way(NULL, false);
	struct making m;
	unsigned frames;

	making_start(&m, "vdb", CHUNK_MIN, CHUNK_MIN);
	frame_out_seal(m.o, a);
	frame_open(m.o);
	CHECK(hello_put(m.o, &m.h, &m.e) < 0 && m.e.code == DM_ENV);
	making_free(&m);
	CHECK(read_with(a, s.p, s.len, &frames) == DM_BAD && frames == 0);
	free(s.p);
	seal_free(a);
}

/* Fixed numbers give fixed bytes (made by another program): what an implementation elsewhere can check
 * itself against (dm-stream(5)). */
static void vectors(void)
{
	static const uint8_t nonce[SEAL_NONCE] = { 1, 2, 3 };
	struct key zero = { { 0 } };
	struct seal *s = seal_new(&zero, SEAL_WRITER, "session", false);
	uint8_t h[FRAME_HEADER] = { 0 }, p[1 + 5 + 16], id[KEY_ID_LEN];
	char hex[2 * sizeof(p) + 1];

	key_id(&zero, id);
	hex_put(hex, id, sizeof(id));
	CHECK(!strcmp(hex, VECTOR_KEY_ID));
	seal_fix(s, nonce);
	put32(h + FH_LEN, 5);
	h[FH_TYPE] = FT_CHUNK;
	memcpy(p + 1, "hello", 5);
	seal_push(s, h, p, 5);
	hex_put(hex, p, sizeof(p));
	CHECK(!strcmp(hex, VECTOR_SEALED));
	seal_free(s);
}

int main(void)
{
	work_dir();
	RUN(goes_through);
	RUN(hides);
	RUN(other_key_or_session);
	RUN(any_bit);
	RUN(cut_anywhere);
	RUN(reorder_drop_repeat);
	RUN(splice_frames);
	RUN(downgrade);
	RUN(padding);
	RUN(conversation);
	RUN(reflection);
	RUN(order_and_kind);
	RUN(vectors);
	work_dir_remove();
	return 0;
}
