/* Payload codecs: round trips, the frame table, and damaged input. */
#include <zstd.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "content/codec.h"

/* Half of it compressible. */
static uint8_t *sample(uint64_t *r, size_t n)
{
	uint8_t *p = malloc(n + 1);

	CHECK(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 128 < 64 ? (uint8_t)rnd(r) : (uint8_t)(i >> 12);
	return p;
}

static void round_trip(struct codec_ctx *c, size_t plain, int level)
{
	uint64_t r = plain + (unsigned)level;
	uint8_t *in = sample(&r, plain), *mid = malloc(codec_bound(plain) + 1);
	uint8_t *out = malloc(plain + 1);
	size_t steps = div_up(plain, CODEC_STEP), sum = 0;
	uint32_t len[32];
	struct err e = { 0 };
	size_t n = codec_pack(c, level, in, plain, mid);

	CHECK(n > 0 && n * 100 <= plain * 94);
	CHECK_ERR(!codec_unpack(c, CODEC_ZSTD, mid, n, out, plain, &e), &e);
	CHECK(!memcmp(in, out, plain));
	CHECK_ERR(!codec_frames(mid, n, plain, len, steps, &e), &e);

	/* Each step alone gives its part. */
	for (size_t i = 0; i < steps; i++) {
		size_t part = min64(CODEC_STEP, plain - i * CODEC_STEP);

		memset(out, 0xee, part);
		CHECK_ERR(!codec_unpack(c, CODEC_ZSTD, mid + sum, len[i], out, part, &e), &e);
		CHECK(!memcmp(in + i * CODEC_STEP, out, part));
		sum += len[i];
	}
	CHECK(sum == n);
	free(in);
	free(mid);
	free(out);
}

static void not_worth_it(struct codec_ctx *c)
{
	uint64_t r = 7;
	size_t n = MIB(1);
	uint8_t *in = malloc(n), *out = malloc(codec_bound(n));

	rnd_fill(&r, in, n);
	CHECK(codec_pack(c, 1, in, n, out) == 0);
	/* 5 % of zeros do not pay, 8 % do. */
	memset(in, 0, n / 20);
	CHECK(codec_pack(c, 1, in, n, out) == 0);
	memset(in, 0, n / 12);
	CHECK(codec_pack(c, 1, in, n, out) != 0);
	CHECK(codec_pack(c, 1, "abcdefghijklmnop", 16, out) == 0);
	CHECK(codec_pack(c, 1, "", 0, out) == 0);
	free(in);
	free(out);
}

static int unpack(struct codec_ctx *c, const void *p, size_t len, size_t plain)
{
	uint8_t *out = malloc(plain + 1);
	uint32_t frame[16];
	struct err e = { 0 }, e2 = { 0 };
	int rc = codec_unpack(c, CODEC_ZSTD, p, len, out, plain, &e);
	int rc2 = codec_frames(p, len, plain, frame, div_up(plain, CODEC_STEP), &e2);

	CHECK(rc == 0 || e.code == DM_BAD);
	/* The table may be whole when the data inside is not; never the
	 * other way round. */
	CHECK(rc2 == 0 ? 1 : rc < 0 && e2.code == DM_BAD);
	free(out);
	return rc;
}

static void damaged(struct codec_ctx *c)
{
	uint64_t r = 1;
	size_t plain = CODEC_STEP + 1000;
	uint8_t *in = sample(&r, plain), *mid = malloc(2 * codec_bound(plain));
	size_t n = codec_pack(c, 1, in, plain, mid), m;

	CHECK(!unpack(c, mid, n, plain));
	for (size_t cut = 0; cut < n; cut += 1 + cut / 50)
		CHECK(unpack(c, mid, cut, plain) < 0);
	CHECK(unpack(c, mid, n + 1, plain) < 0);
	CHECK(unpack(c, mid, n, plain - 1) < 0);
	CHECK(unpack(c, mid, n, plain + 1) < 0);
	CHECK(unpack(c, mid, n, CODEC_STEP) < 0);

	/* One frame over the whole, a frame of unknown size, a skippable one. */
	m = ZSTD_compress(mid, codec_bound(plain) * 2, in, plain, 1);
	CHECK(unpack(c, mid, m, plain) < 0);
	memcpy(mid, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
	CHECK(unpack(c, mid, 12, 4) < 0);
	CHECK(unpack(c, mid, 12, 0) < 0);
	CHECK(!unpack(c, mid, 0, 0));
	free(in);
	free(mid);
}

static void raw_and_unknown(struct codec_ctx *c)
{
	char out[4];
	struct err e = { 0 };

	CHECK(!codec_unpack(c, CODEC_RAW, "abcd", 4, out, 4, &e) && !memcmp(out, "abcd", 4));
	CHECK(codec_unpack(c, CODEC_RAW, "abcd", 4, out, 3, &e) < 0 && e.code == DM_BAD);
	e.code = 0;
	CHECK(codec_unpack(c, 2, "abcd", 4, out, 4, &e) < 0 && e.code == DM_BAD);
}

int main(void)
{
	static const size_t len[] = { 100, 4096, 65535, 65536, 65537, 131072, 200001, 1048576 };
	struct codec_ctx *c = codec_new();

	for (size_t i = 0; i < LEN(len); i++)
		for (int level = -1; level <= 3; level += 2)
			round_trip(c, len[i], level);
	not_worth_it(c);
	damaged(c);
	raw_and_unknown(c);
	codec_free(c);
	codec_free(NULL);
	return 0;
}
