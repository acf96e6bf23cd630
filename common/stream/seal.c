/* Keys of a stream, and frames sealed and opened with libsodium's secretstream. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "stream/seal.h"

#define stream_state crypto_secretstream_xchacha20poly1305_state
#define TAG_MESSAGE crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
#define TAG_FINAL crypto_secretstream_xchacha20poly1305_TAG_FINAL
#define STREAM_HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES

#define CONTEXT_TALK "dm 2026-11 sealed conversation"
#define CONTEXT_ONE_WAY "dm 2026-11 sealed stream"

#define PAD_MIN 512u		/* shorter bodies all look alike */
#define PAD_WORD 4u

/* Offsets in an opening; its first 48 bytes are those of any HELLO. */
#define OPENING_NONCE 48
#define OPENING_KEY_ID (OPENING_NONCE + SEAL_NONCE)

_Static_assert(FRAME_SEAL == crypto_secretstream_xchacha20poly1305_ABYTES, "frame seal");
_Static_assert(SEAL_OPENING == OPENING_KEY_ID + KEY_ID_LEN, "opening");

struct seal {
	struct key key;
	enum seal_role role;
	bool pad, ready;
	char *session;
	uint8_t nonce[SEAL_NONCE];
	stream_state out, in;
};

static bool talks(const struct seal *s)
{
	return s->role == SEAL_ASKER || s->role == SEAL_ANSWERER;
}

/* The state of one direction.  Its header is derived like its key, and not
 * sent: both are of this stream alone, since the nonces are. */
static void state_derive(const struct seal *s, stream_state *state, const char *context,
    const struct key_piece *piece, size_t n)
{
	uint8_t made[64];

	key_derive(&s->key, context, piece, n, made, sizeof(made));
	crypto_secretstream_xchacha20poly1305_init_pull(state, made + KEY_LEN, made);
	key_wipe(made, sizeof(made));
	_Static_assert(KEY_LEN + STREAM_HEADER <= 64, "derived bytes");
}

static void derive_one_way(struct seal *s, const uint8_t opening[SEAL_OPENING], stream_state *state)
{
	const struct key_piece piece[] = {
		{ opening, SEAL_OPENING }, { s->session, strlen(s->session) },
	};

	state_derive(s, state, CONTEXT_ONE_WAY, piece, LEN(piece));
	s->ready = true;
}

static void derive_talk(struct seal *s, const uint8_t asker[SEAL_OPENING],
    const uint8_t answerer[SEAL_OPENING])
{
	struct key_piece piece[] = {
		{ asker, SEAL_OPENING }, { answerer, SEAL_OPENING }, { "requests", 8 },
	};
	bool asks = s->role == SEAL_ASKER;

	state_derive(s, asks ? &s->out : &s->in, CONTEXT_TALK, piece, LEN(piece));
	piece[2] = (struct key_piece){ "answers", 7 };
	state_derive(s, asks ? &s->in : &s->out, CONTEXT_TALK, piece, LEN(piece));
	s->ready = true;
}

static void seal_begin(struct seal *s)
{
	uint8_t opening[SEAL_OPENING];

	if (s->role != SEAL_WRITER)
		return;
	seal_opening(s, opening);
	derive_one_way(s, opening, &s->out);
}

struct seal *seal_new(const struct key *k, enum seal_role role, const char *session, bool pad)
{
	struct seal *s = x_alloc(sizeof(*s));

	key_startup();
	s->key = *k;
	s->role = role;
	s->session = x_strdup(session ? session : "");
	s->pad = pad;
	randombytes_buf(s->nonce, sizeof(s->nonce));
	seal_begin(s);
	return s;
}

struct seal *seal_load(const char *path, enum seal_role role, const char *session, bool pad,
    struct err *e)
{
	struct seal *s = NULL;
	struct key k;

	if (key_read(path, &k, e) == 0)
		s = seal_new(&k, role, session, pad);
	key_wipe(&k, sizeof(k));
	return s;
}

void seal_free(struct seal *s)
{
	if (!s)
		return;
	free(s->session);
	key_wipe(s, sizeof(*s));
	free(s);
}

void seal_fix(struct seal *s, const uint8_t nonce[SEAL_NONCE])
{
	memcpy(s->nonce, nonce, SEAL_NONCE);
	seal_begin(s);
}

void seal_opening(const struct seal *s, uint8_t body[SEAL_OPENING])
{
	memset(body, 0, SEAL_OPENING);
	put16(body, STREAM_VERSION);
	put16(body + 2, STREAM_VERSION);
	put32(body + 4, talks(s) ? FEAT_SEALED : FEAT_SEALED_ONE_WAY);
	memcpy(body + OPENING_NONCE, s->nonce, SEAL_NONCE);
	key_id(&s->key, body + OPENING_KEY_ID);
}

int seal_heard(struct seal *s, const uint8_t *body, size_t len, const char *what, struct err *e)
{
	uint8_t own[SEAL_OPENING];
	uint32_t feature = len < 8 ? 0 : get32(body + 4);

	seal_opening(s, own);
	if (feature == (talks(s) ? FEAT_SEALED_ONE_WAY : FEAT_SEALED))
		return err_set(e, DM_BAD, "%s: sealed for %s", what, talks(s) ?
		    "one way, not for a conversation" :
		    "a conversation (dm-recv -- COMMAND), not for one way");
	if (len != SEAL_OPENING || feature != get32(own + 4))
		return err_set(e, DM_BAD, "%s: the stream is not sealed, but must be", what);
	if (memcmp(body, own, OPENING_NONCE))
		return err_set(e, DM_BAD, "%s: sealed in a way this program does not know", what);
	if (memcmp(body + OPENING_KEY_ID, own + OPENING_KEY_ID, KEY_ID_LEN))
		return err_set(e, DM_NO, "%s: sealed with another key", what);
	if (s->role == SEAL_READER)
		derive_one_way(s, body, &s->in);
	else if (s->role == SEAL_ASKER)
		derive_talk(s, own, body);
	else
		derive_talk(s, body, own);
	return 0;
}

bool seal_ready(const struct seal *s)
{
	return s->ready;
}

/* Padme (Nikitin et al. 2019): of a length only the first few bits remain, at
 * the cost of at most 12 %. */
static size_t padme(size_t len)
{
	unsigned e, bits;
	size_t mask;

	if (len <= PAD_MIN)
		return PAD_MIN;
	e = 63 - (unsigned)__builtin_clzll(len);
	bits = 32 - (unsigned)__builtin_clz(e);
	mask = ((size_t)1 << (e - bits)) - 1;
	return (len + mask) & ~mask;
}

size_t seal_len(const struct seal *s, size_t len)
{
	if (!s->pad)
		return len;
	return max64(min64(padme(len + PAD_WORD), FRAME_BODY_MAX), len + PAD_WORD);
}

uint8_t seal_flags(const struct seal *s)
{
	return s->pad ? FF_SEALED | FF_PADDED : FF_SEALED;
}

void seal_push(struct seal *s, const uint8_t h[FRAME_HEADER], uint8_t *p, size_t len)
{
	size_t whole = get32(h + FH_LEN);

	if (s->pad) {
		memset(p + 1 + len, 0, whole - len - PAD_WORD);
		put32(p + 1 + whole - PAD_WORD, (uint32_t)(whole - len));
	}
	crypto_secretstream_xchacha20poly1305_push(&s->out, p, NULL, p + 1, whole, h, FRAME_HEADER,
	    h[FH_TYPE] == FT_END ? TAG_FINAL : TAG_MESSAGE);
}

int seal_pull(struct seal *s, const uint8_t h[FRAME_HEADER], uint8_t *p, uint32_t *len,
    const char *what, struct err *e)
{
	uint32_t whole = get32(h + FH_LEN), pad = 0;
	uint8_t tag;

	if (crypto_secretstream_xchacha20poly1305_pull(&s->in, p + 1, NULL, &tag, p,
	    (uint64_t)whole + FRAME_SEAL, h, FRAME_HEADER) < 0)
		return err_set(e, DM_BAD, "%s: a sealed frame does not open: changed or moved on "
		    "its way, or sealed for another session", what);
	if (tag != (h[FH_TYPE] == FT_END ? TAG_FINAL : TAG_MESSAGE))
		return err_set(e, DM_BAD, "%s: a sealed frame has a wrong mark of its end", what);
	if (h[FH_FLAGS] & FF_PADDED) {
		pad = whole < PAD_WORD ? 0 : get32(p + 1 + whole - PAD_WORD);
		if (pad < PAD_WORD || pad > whole)
			return err_set(e, DM_BAD, "%s: a sealed frame is padded wrongly", what);
	}
	*len = whole - pad;
	return 0;
}
