/* Any bytes as a payload (the first four: codec and plain length): refused
 * with 3, or all of it comes out; what is packed comes back. */
#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "content/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void unpack(struct codec_ctx *c, int codec, const uint8_t *p, size_t len, size_t plain)
{
	uint8_t *out = malloc(plain + 1);
	uint32_t frame[32];
	struct err e = { 0 };
	int rc;

	assert(out);
	rc = codec_unpack(c, codec, p, len, out, plain, &e);
	assert(rc == 0 || e.code == DM_BAD);
	if (!rc && codec == CODEC_ZSTD) {
		size_t n = div_up(plain, CODEC_STEP), sum = 0;

		assert(!codec_frames(p, len, plain, frame, n, &e));
		for (size_t i = 0; i < n; i++)
			sum += frame[i];
		assert(sum == len);
	}
	free(out);
}

static void pack(struct codec_ctx *c, const uint8_t *p, size_t len)
{
	uint8_t *mid = malloc(codec_bound(len) + 1), *out = malloc(len + 1);
	struct err e = { 0 };
	size_t n;

	assert(mid && out);
	n = codec_pack(c, 1, p, len, mid);
	if (n) {
		assert(!codec_unpack(c, CODEC_ZSTD, mid, n, out, len, &e));
		assert(!memcmp(out, p, len));
	}
	free(mid);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct codec_ctx *c;

	if (len < 4)
		return 0;
	c = codec_new();
	unpack(c, p[3] % 3, p + 4, len - 4, get32(p) & 0xfffff);
	pack(c, p + 4, len - 4);
	codec_free(c);
	return 0;
}
