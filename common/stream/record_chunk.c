/* Content on its way: CHUNK, ZERO, REF, HELD, and the WRITTEN that answers. */
#include "content/codec.h"
#include "stream/record_impl.h"

#define WRITTEN_FIXED 8

int chunk_check(const struct chunk *c, struct err *e)
{
	unsigned long long index = c->en.index;

	if (c->codec > CODEC_ZSTD)
		return err_set(e, DM_BAD, "chunk %llu: unknown codec %u", index, c->codec);
	if (c->en.flags & (EF_RUN | EF_ZERO))
		return err_set(e, DM_BAD, "chunk %llu: its entry is a run or zero", index);
	if (c->plain != entry_bytes(&c->en) || !c->stored ||
	    (c->codec == CODEC_RAW && c->stored != c->plain))
		return err_set(e, DM_BAD, "chunk %llu: its lengths do not agree", index);
	return 0;
}

int chunk_decode(const struct frame *f, const struct hello *h, struct chunk *c, struct err *e)
{
	struct cursor cur = body_of(f);
	uint32_t reserved;

	if (entry_decode(&cur, h, f->disk, &c->en, e) < 0)
		return -1;
	c->plain = cur_u32(&cur);
	c->stored = cur_u32(&cur);
	c->attempt = cur_u16(&cur);
	c->codec = cur_u8(&cur);
	reserved = cur_u8(&cur);
	reserved |= cur_u32(&cur);
	c->data = cur_bytes(&cur, c->stored);
	if (body_end(&cur, f, e) < 0)
		return -1;
	if (reserved)
		return err_set(e, DM_BAD, "chunk %llu: reserved bytes are not zero",
		    (unsigned long long)c->en.index);
	return chunk_check(c, e);
}

int chunk_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct chunk *c,
    struct err *e)
{
	uint8_t head[ENTRY_MAX + CHUNK_FIXED];
	size_t len = entry_encode(&c->en, head);
	uint8_t *p = head + len;
	struct iovec v[2] = {
		{ head, len + CHUNK_FIXED },
		{ (void *)c->data, c->stored },
	};

	put32(p, c->plain);
	put32(p + 4, c->stored);
	put16(p + 8, c->attempt);
	p[10] = c->codec;
	p[11] = 0;
	put32(p + 12, 0);
	return frame_put(o, FT_CHUNK, 0, disk, epoch, v, 2, e);
}

int entry_frame_decode(const struct frame *f, const struct hello *h, struct entry *en,
    struct err *e)
{
	struct cursor c = body_of(f);

	if (entry_decode(&c, h, f->disk, en, e) < 0 || body_end(&c, f, e) < 0)
		return -1;
	if (f->type == FT_REF && !(en->flags & EF_ID))
		return err_set(e, DM_BAD, "ref %llu: it has no id", (unsigned long long)en->index);
	return 0;
}

int entry_frame_put(struct frame_out *o, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, struct err *e)
{
	uint8_t body[ENTRY_MAX];

	return frame_put1(o, type, 0, disk, epoch, body, entry_encode(en, body), e);
}

int written_decode(const struct frame *f, const struct hello *h, struct written *w,
    struct err *e)
{
	struct cursor c = body_of(f);
	uint32_t reserved;

	w->service_us = cur_u32(&c);
	w->how = cur_u8(&c);
	reserved = cur_u8(&c);
	reserved |= cur_u16(&c);
	if (c.bad)
		return body_end(&c, f, e);
	if (w->how > HOW_HELD || reserved)
		return err_set(e, DM_BAD, "written frame: unknown way %u", w->how);
	if (entry_decode(&c, h, f->disk, &w->en, e) < 0)
		return -1;
	return body_end(&c, f, e);
}

int written_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct written *w,
    struct err *e)
{
	uint8_t body[WRITTEN_FIXED + ENTRY_MAX];
	size_t len;

	memset(body, 0, WRITTEN_FIXED);
	put32(body, w->service_us);
	body[4] = w->how;
	len = WRITTEN_FIXED + entry_encode(&w->en, body + WRITTEN_FIXED);
	return frame_put1(o, FT_WRITTEN, 0, disk, epoch, body, len, e);
}
