/* Payload codecs.  CODEC_ZSTD is a sequence of Zstandard frames, one for each
 * 64 KiB of plain bytes (the last may be shorter), each with its content size
 * in its header: as a whole a legal zstd stream (RFC 8878), and each leaf of a
 * stored chunk can be read alone.  The wire and the packs use the same form,
 * so what was compressed once is stored as it came. */
#ifndef DM_CONTENT_CODEC_H
#define DM_CONTENT_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum codec { CODEC_RAW = 0, CODEC_ZSTD = 1 };

#define CODEC_STEP 65536u	/* plain bytes in one frame */
/* Unless told otherwise: in such frames as quick as level 1, and smaller. */
#define CODEC_LEVEL 2

/* Largest stored length of `plain' bytes. */
size_t codec_bound(size_t plain);

/* A context for one thread. */
struct codec_ctx;
struct codec_ctx *codec_new(void);
void codec_free(struct codec_ctx *c);

/* Compress; returns the stored length, or 0 when it saves under 6 % (send or
 * store it raw).  out has codec_bound(len) bytes. */
size_t codec_pack(struct codec_ctx *c, int level, const void *p, size_t len,
    void *out);

/* Compress one step, at most CODEC_STEP bytes, to a frame of its own, whether
 * that saves anything or not: its length, 0 when there is no memory.  out has
 * codec_bound(len) bytes. */
size_t codec_pack_step(struct codec_ctx *c, int level, const void *p, size_t len,
    void *out);

/* Undo: exactly `plain' bytes must come out, every frame must be of the form
 * above, and nothing may be left over.  0 or -1 with *e (DM_BAD). */
int codec_unpack(struct codec_ctx *c, int codec, const void *p, size_t len,
    void *out, size_t plain, struct err *e);

/* Find the frames without decompressing: len[i] = stored bytes of the frame
 * of step i; n must be div_up(plain, CODEC_STEP).  0 or -1 (DM_BAD). */
int codec_frames(const void *p, size_t len, size_t plain, uint32_t *frame_len,
    size_t n, struct err *e);

#endif
