/* Any bytes as lines for dm-json -r (the first byte: bit 0 is --renumber):
 * refused with 3, or frames come out that can be shown again. */
#include <assert.h>
#include <stdlib.h>

#include "file.h"
#include "segment.h"
#include "stream/stream_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* Frames of good lines must be good frames. */
static void show(int fd)
{
	struct frame_in *in = frame_in_new(fd, "made");
	struct stream_json *s = stream_json_new();
	struct buf out = { 0 };
	struct err e = { 0 };
	struct frame f;

	fuzz_sink_read(fd);
	while (!stream_json_ended(s) && frame_read(in, &f, &e) > 0)
		assert(!json_print(s, &f, true, &out, &e));
	assert(e.code == 0 || e.code == DM_ENV);
	buf_free(&out);
	stream_json_free(s);
	frame_in_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct stream_json *s;
	const uint8_t *end = p + len;
	struct err e = { 0 };
	struct frame_out *o;
	bool renumber;
	int fd, rc = 0;

	if (!len)
		return 0;
	renumber = *p++ & 1;
	s = stream_json_new();
	fd = fuzz_sink();
	o = frame_out_new(fd, "made", &e);
	assert(o);
	while (!rc && p < end && stream_json_ended(s) != FT_ABORT) {
		const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

		rc = json_parse(s, (const char *)p, n, renumber, o, &e);
		p += n + (nl ? 1 : 0);
	}
	assert(rc == 0 || e.code == DM_BAD);
	e = (struct err){ 0 };
	if (stream_json_ended(s) == FT_END && !rc)
		assert(!json_finish(s, o, &e));
	else
		assert(!json_flush(s, o, &e));
	show(fd);
	stream_json_free(s);
	frame_out_free(o);
	return 0;
}
