/* Any bytes as the body of a frame (first byte: its type, second: its disk):
 * refused with 3, or understood, and then written back as the same bytes. */
#include <assert.h>
#include <stdlib.h>

#include "file.h"
#include "segment.h"
#include "stream/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static struct disk disk[2] = {
	{ .name = (char *)"a", .size = (10 << 16) + 1000, .block = 512, .base_point = (char *)"",
	  .target_point = (char *)"" },
	{ .name = (char *)"b", .size = INT64_MAX, .block = 4096, .base_point = (char *)"",
	  .target_point = (char *)"" },
};
static const struct hello hello = {
	.version_min = 1, .version_max = 1, .chunk_size = 1 << 16, .algo = ID_BLAKE3,
	.kind = KIND_FULL, .plan = (char *)"", .workload = (char *)"", .disk = disk, .ndisks = 2,
};

/* Decode f; when that works, put it on o.  1: written back as it came, 0:
 * understood, but what is read need not be what is written. */
static int there_and_back(const struct frame *f, struct frame_out *o, struct err *e)
{
	static union {
		struct chunk chunk;
		struct entry entry;
		struct written written;
	} u;
	struct barrier barrier;
	struct nak nak;
	struct final final;
	struct stats stats;
	struct progress_rec progress;
	struct hello h;
	struct tally tally;
	uint64_t count;
	int rc;

	switch (f->type) {
	case FT_HELLO:
		if (hello_decode(f, &h, e) < 0)
			return -1;
		rc = hello_put(o, &h, e);
		assert(!rc);
		rc = !h.compat;
		hello_free(&h);
		return rc;
	case FT_CHUNK:
		return chunk_decode(f, &hello, &u.chunk, e) < 0 ? -1 :
		    !chunk_put(o, f->disk, 1, &u.chunk, e) && !u.chunk.attempt;
	case FT_ZERO: case FT_REF: case FT_HELD:
		return entry_frame_decode(f, &hello, &u.entry, e) < 0 ? -1 :
		    !entry_frame_put(o, f->type, f->disk, 1, &u.entry, e);
	case FT_WRITTEN:
		return written_decode(f, &hello, &u.written, e) < 0 ? -1 :
		    !written_put(o, f->disk, 1, &u.written, e);
	case FT_BARRIER:
		return barrier_decode(f, &barrier, e) < 0 ? -1 : !barrier_put(o, 1, &barrier, e);
	case FT_DURABLE:
		return durable_decode(f, &count, e) < 0 ? -1 : !durable_put(o, 1, count, e);
	case FT_NAK:
		return nak_decode(f, &nak, e) < 0 ? -1 : !nak_put(o, f->disk, 1, &nak, e);
	case FT_FINAL:
		if (final_decode(f, &final, e) < 0)
			return -1;
		rc = !final_put(o, f->disk, &final, e);
		final_free(&final);
		return rc;
	case FT_STAT:
		return stat_decode(f, &stats, e) < 0 ? -1 : (stat_put(o, f->disk, &stats, e), 0);
	case FT_PROGRESS:
		return progress_decode(f, &progress, e) < 0 ? -1 :
		    (progress_put(o, f->disk, &progress, e), 0);
	case FT_END:
		return end_decode(f, &tally, e) < 0 ? -1 : !end_put(o, &tally, e);
	case FT_ABORT:
		abort_decode(f, e);
		assert(e->code);
		return e->relayed ? 0 : -1;
	}
	return 0;
}

static void batch(const struct frame *f, struct err *e)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };

	while (cur_left(&c)) {
		const uint8_t *from = c.p;
		static struct entry en;
		uint8_t again[ENTRY_MAX];
		struct extent x;

		if (f->type == FT_EXTENT ? extent_decode(&c, &hello, f->disk, &x, e) < 0
		    : entry_decode(&c, &hello, f->disk, &en, e) < 0)
			return;
		assert(c.p > from && c.p <= c.end);
		if (f->type == FT_EXTENT)
			continue;
		assert(entry_encode(&en, again) == (size_t)(c.p - from));
		assert(!memcmp(again, from, (size_t)(c.p - from)));
		assert(entry_count(&en, hello.chunk_size) && entry_bytes(&en) <= en.len);
	}
}

static void compare(int fd, const struct frame *f)
{
	struct frame_in *in = frame_in_new(fd, "again");
	struct err e = { 0 };
	struct frame g;

	fuzz_sink_read(fd);
	assert(frame_read(in, &g, &e) == 1);
	assert(g.type == f->type && g.len == f->len && !memcmp(g.body, f->body, f->len));
	frame_in_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct frame f = { .type = len ? p[0] : 0, .disk = len > 1 ? p[1] : 0 };
	struct err e = { 0 };
	struct frame_out *o;
	int fd, rc;

	if (len < 2 || len - 2 > FRAME_BODY_MAX)
		return 0;
	f.body = p + 2;
	f.len = (uint32_t)len - 2;
	if (f.type == FT_DESC || f.type == FT_EXTENT) {
		batch(&f, &e);
		return 0;
	}
	fd = fuzz_sink();
	o = frame_out_new(fd, "again", &e);
	assert(o);
	rc = there_and_back(&f, o, &e);
	assert(rc >= 0 || e.code == DM_BAD);
	if (rc > 0) {
		assert(!frame_flush(o, &e));
		compare(fd, &f);
	}
	frame_out_free(o);
	return 0;
}
