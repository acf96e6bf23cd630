/* Any bytes as a pack.  The first byte says how much is made right around
 * them, so that the checks do not keep the fuzzer out: bit 0 the header, bit 1
 * the trailer over a table of as many records as bits 2 to 7 say. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "file.h"
#include "repo/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const uint8_t id[PACK_ID] = { 1, 2, 3 };

static int make_file(struct site *s, const uint8_t *p, size_t len)
{
	struct pack_trailer t = { .records = p[0] >> 2 };
	size_t table = t.records * PACK_ENTRY;
	struct buf b = { 0 };
	int fd;

	buf_put(&b, p + 1, len - 1);
	if (p[0] & 1 && b.len >= PACK_HEADER)
		pack_header_encode(s, id, b.p);
	if (p[0] & 2 && b.len >= PACK_HEADER + table) {
		uint8_t *tail = buf_room(&b, PACK_TRAILER);

		t.size = b.len;
		t.table = (uint32_t)(b.len - PACK_TRAILER - table);
		pack_trailer_encode(id, &t, b.p + t.table, table, tail);
	}
	fd = dup(fuzz_file(b.p, b.len));
	buf_free(&b);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static uint8_t rec[RECORD_HEADER + RECORD_BODY_MAX];
	struct site s = { .path = (char *)"fuzz", .chunk_size = CHUNK_MAX, .algo = ID_BLAKE3, .level = 1 };
	struct pack_entry *v = NULL;
	struct err e = { 0 };
	struct record r;
	uint64_t size;
	bool damaged;
	size_t n = 0;
	struct pack_in *in;

	if (!len)
		return 0;
	in = pack_open_fd(&s, make_file(&s, p, len), id);
	if (pack_read(&s, in, id, &v, &n, &size, &damaged, &e))
		assert(e.code == DM_BAD);
	for (size_t i = 0; v && i < n; i++) {
		memset(&e, 0, sizeof e);
		if (pack_record(in, &v[i], rec, &r, &e))
			assert(e.code == DM_BAD && !damaged);
	}
	free(v);
	pack_close(in);
	return 0;
}
