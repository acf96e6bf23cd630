/* Sealed streams: what the header of a frame does not say, nobody but the
 * holders of the key can read, and nobody else can change, reorder, repeat,
 * leave out or cut off unseen.  dm-stream(5), SEALED STREAMS; dm-crypto(7).
 *
 * One seal serves one conversation (both directions) or one stream. */
#ifndef DM_STREAM_SEAL_H
#define DM_STREAM_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "content/key.h"
#include "stream/format.h"

enum seal_role {
	SEAL_ASKER,	/* of a conversation: the one that sends requests */
	SEAL_ANSWERER,	/* and the one that answers them */
	SEAL_WRITER,	/* of a one-way stream */
	SEAL_READER,
};

struct seal;
/* `session' (NULL: "") of a one-way stream must be the same on both sides;
 * with `pad' bodies are filled up before they are sealed. */
struct seal *seal_new(const struct key *k, enum seal_role role, const char *session, bool pad);
/* The same with the key in a file.  NULL with *e. */
struct seal *seal_load(const char *path, enum seal_role role, const char *session, bool pad,
    struct err *e);
void seal_free(struct seal *s);		/* NULL is harmless */
/* Tests only: the number that else is random. */
void seal_fix(struct seal *s, const uint8_t nonce[SEAL_NONCE]);

/* Body of the first frame this side writes. */
void seal_opening(const struct seal *s, uint8_t body[SEAL_OPENING]);
/* The first frame of the other side has this body: 0, or -1 with *e (DM_NO:
 * another key; DM_BAD: no opening of this kind).  `what' names the input. */
int seal_heard(struct seal *s, const uint8_t *body, size_t len, const char *what, struct err *e);
/* Are the keys known, so that frames may be sealed? */
bool seal_ready(const struct seal *s);

/* Bytes that a body of len bytes has when it is sealed, without FRAME_SEAL,
 * and the flags its header gets.  FRAME_BODY_MAX at most. */
size_t seal_len(const struct seal *s, size_t len);
uint8_t seal_flags(const struct seal *s);
/* Seal in place: p + 1 holds the body, len bytes, and room to seal_len + 16
 * behind it; h is the finished header. */
void seal_push(struct seal *s, const uint8_t h[FRAME_HEADER], uint8_t *p, size_t len);
/* Open in place: p holds what followed the header.  The body is at p + 1
 * then, *len bytes.  0 or -1 with *e (DM_BAD). */
int seal_pull(struct seal *s, const uint8_t h[FRAME_HEADER], uint8_t *p, uint32_t *len,
    const char *what, struct err *e);

#endif
