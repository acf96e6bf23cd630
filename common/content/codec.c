/* Payload codecs: zstd in frames of 64 KiB of plain bytes. */
#include <stdlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "content/codec.h"

struct codec_ctx {
	ZSTD_CCtx *pack;	/* made when first needed: most programs */
	ZSTD_DCtx *unpack;	/* use one of the two */
};

size_t codec_bound(size_t plain)
{
	size_t rest = plain % CODEC_STEP;

	return plain / CODEC_STEP * ZSTD_compressBound(CODEC_STEP) +
	    (rest ? ZSTD_compressBound(rest) : 0);
}

struct codec_ctx *codec_new(void)
{
	return x_alloc(sizeof(struct codec_ctx));
}

void codec_free(struct codec_ctx *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->pack);
	ZSTD_freeDCtx(c->unpack);
	free(c);
}

/* One frame, or 0. */
static size_t pack_step(struct codec_ctx *c, int level, const void *p, size_t len, void *out, size_t room)
{
	size_t n;

	if (!c->pack)
		c->pack = ZSTD_createCCtx();
	if (!c->pack)
		return 0;
	n = ZSTD_compressCCtx(c->pack, out, room, p, len, level);
	return ZSTD_isError(n) ? 0 : n;
}

size_t codec_pack_step(struct codec_ctx *c, int level, const void *p, size_t len, void *out)
{
	return pack_step(c, level, p, len, out, codec_bound(len));
}

size_t codec_pack(struct codec_ctx *c, int level, const void *p, size_t len, void *out)
{
	const uint8_t *in = p;
	size_t worth = len - div_up(len * 6, 100);	/* more than this is not */
	size_t room = codec_bound(len), done = 0;

	for (size_t off = 0; off < len; off += CODEC_STEP) {
		size_t n = pack_step(c, level, in + off, min64(CODEC_STEP, len - off),
		    (uint8_t *)out + done, room - done);

		if (!n)
			return 0;	/* no memory: raw is always right */
		done += n;
		if (done > worth)
			return 0;
	}
	return done;
}

/* Length of the zstd frame at p, whose content must be `step' bytes; or -1. */
static long frame_len(const void *p, size_t len, size_t step, struct err *e)
{
	size_t n;

	/* Skippable frames have no content, so they fail here too. */
	if (ZSTD_getFrameContentSize(p, len) != step)
		return err_set(e, DM_BAD, "compressed data: a frame is not of %zu bytes", step);
	if (ZSTD_getDictID_fromFrame(p, len))
		return err_set(e, DM_BAD, "compressed data: a frame wants a dictionary");
	n = ZSTD_findFrameCompressedSize(p, len);
	if (ZSTD_isError(n))
		return err_set(e, DM_BAD, "compressed data: %s", ZSTD_getErrorName(n));
	return (long)n;
}

static int unpack_zstd(struct codec_ctx *c, const uint8_t *p, size_t len,
    uint8_t *out, size_t plain, struct err *e)
{
	if (!c->unpack)
		c->unpack = ZSTD_createDCtx();
	if (!c->unpack)
		return err_set(e, DM_ENV, "out of memory");
	for (size_t off = 0; off < plain; off += CODEC_STEP) {
		size_t step = min64(CODEC_STEP, plain - off), got;
		long n = frame_len(p, len, step, e);

		if (n < 0)
			return -1;
		got = ZSTD_decompressDCtx(c->unpack, out + off, step, p, (size_t)n);
		if (ZSTD_isError(got))
			return err_set(e, DM_BAD, "compressed data: %s", ZSTD_getErrorName(got));
		if (got != step)
			return err_set(e, DM_BAD, "compressed data: a frame gave %zu bytes "
			    "of %zu", got, step);
		p += n;
		len -= (size_t)n;
	}
	if (len)
		return err_set(e, DM_BAD, "compressed data: %zu bytes too many", len);
	return 0;
}

int codec_unpack(struct codec_ctx *c, int codec, const void *p, size_t len,
    void *out, size_t plain, struct err *e)
{
	switch (codec) {
	case CODEC_RAW:
		if (len != plain)
			return err_set(e, DM_BAD, "raw data: %zu bytes instead of %zu", len, plain);
		memcpy(out, p, len);
		return 0;
	case CODEC_ZSTD:
		return unpack_zstd(c, p, len, out, plain, e);
	}
	return err_set(e, DM_BAD, "unknown codec %d", codec);
}

int codec_frames(const void *p, size_t len, size_t plain, uint32_t *frame,
    size_t n, struct err *e)
{
	const uint8_t *at = p;

	if (n != div_up(plain, CODEC_STEP))
		return err_set(e, DM_BAD, "compressed data: %zu frames cannot hold %zu bytes",
		    n, plain);
	for (size_t i = 0; i < n; i++) {
		size_t step = min64(CODEC_STEP, plain - i * CODEC_STEP);
		long l = frame_len(at, len, step, e);

		if (l < 0)
			return -1;
		frame[i] = (uint32_t)l;
		at += l;
		len -= (size_t)l;
	}
	if (len)
		return err_set(e, DM_BAD, "compressed data: %zu bytes too many", len);
	return 0;
}
