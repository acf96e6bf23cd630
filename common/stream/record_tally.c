/* The proof that travels in END: how many entries, how many bytes, and a sum
 * over them that does not depend on their order. */
#include <blake3.h>

#include "stream/record_impl.h"

#define TALLY_CONTEXT "dm 2026-11 stream tally"

void tally_init(struct tally *t, const struct hello *h)
{
	blake3_hasher s;

	memset(t, 0, sizeof(*t));
	blake3_hasher_init_derive_key(&s, TALLY_CONTEXT);
	blake3_hasher_update(&s, h->session, sizeof(h->session));
	blake3_hasher_finalize(&s, t->key, sizeof(t->key));
}

/* root += keyed hash of these bytes, modulo 2^256. */
static void root_add(struct tally *t, const uint8_t *in, size_t len)
{
	uint8_t out[32];
	unsigned carry = 0;
	blake3_hasher s;

	blake3_hasher_init_keyed(&s, t->key);
	blake3_hasher_update(&s, in, len);
	blake3_hasher_finalize(&s, out, sizeof(out));
	for (int i = 0; i < 4; i++) {
		uint64_t sum;
		unsigned over = __builtin_add_overflow(t->root[i], get64(out + 8 * i), &sum);

		over |= __builtin_add_overflow(sum, carry, &t->root[i]);
		carry = over;
	}
}

void tally_add(struct tally *t, uint32_t disk, const struct entry *en, uint32_t chunk_size)
{
	uint8_t in[4 + ENTRY_MAX];

	put32(in, disk);
	root_add(t, in, 4 + entry_encode(en, in + 4));
	t->count += entry_count(en, chunk_size);
	t->bytes += entry_bytes(en);
}

void tally_add_extent(struct tally *t, uint32_t disk, const struct extent *x)
{
	uint8_t in[4 + EXTENT_LEN];

	put32(in, disk);
	extent_encode(x, in + 4);
	root_add(t, in, sizeof(in));
	t->count++;
	t->bytes += x->len;
}

bool tally_equal(const struct tally *a, const struct tally *b)
{
	return a->count == b->count && a->bytes == b->bytes &&
	    !memcmp(a->root, b->root, sizeof(a->root));
}

int end_decode(const struct frame *f, struct tally *t, struct err *e)
{
	struct cursor c = body_of(f);

	memset(t, 0, sizeof(*t));
	t->count = cur_u64(&c);
	t->bytes = cur_u64(&c);
	for (int i = 0; i < 4; i++)
		t->root[i] = cur_u64(&c);
	return body_end(&c, f, e);
}

int end_put(struct frame_out *o, const struct tally *t, struct err *e)
{
	uint8_t body[48];

	put64(body, t->count);
	put64(body + 8, t->bytes);
	for (int i = 0; i < 4; i++)
		put64(body + 16 + 8 * i, t->root[i]);
	return frame_put1(o, FT_END, 0, 0, 0, body, sizeof(body), e);
}
