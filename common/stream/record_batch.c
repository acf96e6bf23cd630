/* Batches of extents and of descriptors. */
#include "stream/record_impl.h"

/* A batch leaves when it has grown so far. */
#define BATCH_LEN ((size_t)KIB(32))

int desc_add(struct frame_out *o, struct desc_batch *b, uint32_t disk,
    const struct entry *en, struct err *e)
{
	if ((b->disk != disk || b->body.len >= BATCH_LEN) && desc_flush(o, b, e) < 0)
		return -1;
	b->disk = disk;
	entry_encode(en, buf_room(&b->body, entry_len(en)));
	return 0;
}

int desc_flush(struct frame_out *o, struct desc_batch *b, struct err *e)
{
	int rc = 0;

	if (b->body.len)
		rc = frame_put1(o, FT_DESC, 0, b->disk, b->epoch ? b->epoch : 1, b->body.p, b->body.len, e);
	b->body.len = 0;
	return rc;
}

void extent_encode(const struct extent *x, uint8_t p[EXTENT_LEN])
{
	put64(p, x->off);
	put64(p + 8, x->len);
	put32(p + 16, x->kind);
	put32(p + 20, 0);
}

int extent_add(struct frame_out *o, struct extent_batch *b, uint32_t disk,
    const struct extent *x, struct err *e)
{
	if ((b->disk != disk || b->body.len >= BATCH_LEN) && extent_flush(o, b, e) < 0)
		return -1;
	b->disk = disk;
	extent_encode(x, buf_room(&b->body, EXTENT_LEN));
	return 0;
}

int extent_flush(struct frame_out *o, struct extent_batch *b, struct err *e)
{
	int rc = 0;

	if (b->body.len)
		rc = frame_put1(o, FT_EXTENT, 0, b->disk, 0, b->body.p, b->body.len, e);
	b->body.len = 0;
	return rc;
}

int extent_decode(struct cursor *c, const struct hello *h, uint32_t disk,
    struct extent *x, struct err *e)
{
	uint32_t kind, reserved;
	uint64_t end;

	x->off = cur_u64(c);
	x->len = cur_u64(c);
	kind = cur_u32(c);
	reserved = cur_u32(c);
	if (c->bad)
		return err_set(e, DM_BAD, "an extent is cut short");
	if (disk >= h->ndisks)
		return err_set(e, DM_BAD, "extent frame: disk %u is not in the hello frame", disk);
	if (kind > EXT_SAME || reserved)
		return err_set(e, DM_BAD, "extent at %llu: unknown kind %u",
		    (unsigned long long)x->off, kind);
	if (!x->len || !add64(x->off, x->len, &end) || end > h->disk[disk].size)
		return err_set(e, DM_BAD, "extent at %llu: outside of disk '%s'",
		    (unsigned long long)x->off, h->disk[disk].name);
	x->kind = (enum extent_kind)kind;
	return 0;
}
