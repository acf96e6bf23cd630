/* Any bytes as a stream: refused with 3 or 4, or shown.  When the first byte
 * is odd, headers get right lengths, numbers and checks, so that the bodies
 * are reached. */
#include <assert.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "file.h"
#include "segment.h"
#include "stream/stream_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void seal(uint8_t *p, size_t len)
{
	uint64_t seq = 0;
	size_t i = STREAM_PREFACE_LEN;

	if (len < i)
		return;
	memcpy(p, STREAM_PREFACE, i);
	while (len - i >= FRAME_HEADER + FRAME_CHECK) {
		uint8_t *h = p + i;
		size_t most = len - i - FRAME_HEADER - FRAME_CHECK;
		size_t body = get32(h + FH_LEN) % (most + 1);

		put32(h + FH_MAGIC, FRAME_MAGIC);
		put16(h + FH_STREAM, 0);
		put64(h + FH_SEQ, seq++);
		put32(h + FH_LEN, (uint32_t)body);
		put32(h + FH_CHECK, (uint32_t)XXH3_64bits(h, FH_CHECK));
		put64(h + FRAME_HEADER + body, XXH3_64bits(h, FRAME_HEADER + body));
		i += FRAME_HEADER + body + FRAME_CHECK;
	}
}

static void read_all(int fd)
{
	struct frame_in *in = frame_in_new(fd, "input");
	struct stream_json *s = stream_json_new();
	struct buf out = { 0 };
	struct err e = { 0 };
	struct frame f;

	while (!stream_json_ended(s) && frame_read(in, &f, &e) > 0) {
		assert(f.len <= FRAME_BODY_MAX);
		out.len = 0;
		if (json_print(s, &f, true, &out, &e) < 0)
			break;
	}
	if (!e.code && stream_json_ended(s) == FT_END)
		frame_in_close(in, &e);
	assert(!e.code || e.code == DM_BAD || e.code == DM_ENV);
	buf_free(&out);
	stream_json_free(s);
	frame_in_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint8_t *copy;

	if (!len)
		return 0;
	copy = malloc(len);
	assert(copy);
	memcpy(copy, p + 1, len - 1);
	if (p[0] & 1)
		seal(copy, len - 1);
	read_all(fuzz_file(copy, len - 1));
	free(copy);
	return 0;
}
