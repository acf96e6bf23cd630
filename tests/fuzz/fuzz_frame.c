/* Any bytes as a stream: refused with 3 or 4, or shown.  The first byte says
 * how much is made right around them (see frames.h): bit 0 anything at all,
 * bits 1 and 2 are that header's, bits 4 to 7 which frame is odd. */
#include <assert.h>
#include <stdlib.h>

#include "file.h"
#include "frames.h"
#include "segment.h"
#include "stream/stream_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

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
	static struct buf b;

	if (!len)
		return 0;
	b.len = 0;
	if (p[0] & 1)
		fuzz_frames(&b, p + 1, len - 1, (p[0] >> 1 & (FRAMES_COUNTED | FRAMES_ONE_ODD)) |
		    (unsigned)(p[0] >> 4) << FRAMES_ODD_SHIFT);
	else
		buf_put(&b, p + 1, len - 1);
	read_all(fuzz_file(b.p, b.len));
	return 0;
}
