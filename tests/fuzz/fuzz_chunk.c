/* Any bytes as the body of a chunk or an overlay record, under the id that
 * its leaf table gives: reading gives an error or content of that id. */
#include <string.h>

#include "base/bytes.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define CS (256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static uint8_t base[CS], out[2 * CS];
	struct store *st = fuzz_store(CS);
	struct id leaf[LEAVES_MAX];
	struct store_chunk c = { .leaf = leaf, .plain = base, .len = CS };
	struct record r = { .type = REC_CHUNK };
	struct iovec body;
	struct err e = { 0 };
	uint64_t added;
	size_t n;
	int codec;

	if (len < 4)
		return 0;
	r.plain = 1 + (p[1] | (uint32_t)p[2] << 8) * 5u % CS;
	r.codec = p[0] & 2 ? CODEC_ZSTD : CODEC_RAW;
	memset(base, 'x', CS);
	id_content(ID_BLAKE3, CS, base, CS, leaf, &c.id);
	assert(!store_put_chunk(st, &c, &added, &e));
	if (p[0] & 1) {
		r.type = REC_OVERLAY;
		r.base = c.id;
		r.depth = 1;
	}
	body = (struct iovec){ (void *)(p + 3), len - 3 };
	if (body.iov_len < leaf_count(CS, r.plain) * ID_LEN)
		return 0;
	memcpy(leaf, body.iov_base, leaf_count(CS, r.plain) * ID_LEN);
	id_chunk(ID_BLAKE3, leaf, leaf_count(CS, r.plain), &r.id);
	if (id_zero(&r.id))
		return 0;
	assert(!store_append(st, &r, &body, 1, &added, &e));
	if (store_read(st, &r.id, r.plain, 0, r.plain, out, &e)) {
		assert(e.code == DM_BAD);
	} else {
		struct id is;

		id_content(ID_BLAKE3, CS, out, r.plain, NULL, &is);
		assert(id_equal(&is, &r.id));
	}
	memset(&e, 0, sizeof e);
	assert(store_read_stored(st, &r.id, r.plain, out, &codec, &n, &e) >= 0 || e.code == DM_BAD);
	return 0;
}
