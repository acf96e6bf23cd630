/* What steers an iteration: barriers, acknowledgements of them, refusals,
 * points made, figures, and the first failure. */
#include <stdlib.h>

#include "stream/record_impl.h"

#define FINAL_FIXED (16 + ID_LEN)
#define FINAL_KNOWN (FINAL_ROOT | FINAL_PARTIAL)
#define STAT_LEN 10

int barrier_decode(const struct frame *f, struct barrier *b, struct err *e)
{
	struct cursor c = body_of(f);

	b->count = cur_u64(&c);
	b->bytes = cur_u64(&c);
	return body_end(&c, f, e);
}

int barrier_put(struct frame_out *o, uint32_t epoch, const struct barrier *b, struct err *e)
{
	uint8_t body[16];

	put64(body, b->count);
	put64(body + 8, b->bytes);
	return frame_put1(o, FT_BARRIER, 0, 0, epoch, body, sizeof(body), e);
}

int durable_decode(const struct frame *f, uint64_t *count, struct err *e)
{
	struct cursor c = body_of(f);

	*count = cur_u64(&c);
	return body_end(&c, f, e);
}

int durable_put(struct frame_out *o, uint32_t epoch, uint64_t count, struct err *e)
{
	uint8_t body[8];

	put64(body, count);
	return frame_put1(o, FT_DURABLE, 0, 0, epoch, body, sizeof(body), e);
}

int nak_decode(const struct frame *f, struct nak *n, struct err *e)
{
	struct cursor c = body_of(f);
	uint16_t reserved;

	n->index = cur_u64(&c);
	n->cls = cur_u8(&c);
	n->again = cur_u8(&c);
	reserved = cur_u16(&c);
	n->retry_ms = cur_u32(&c);
	if (body_end(&c, f, e) < 0)
		return -1;
	if (n->cls > CLASS_TIMEOUT || n->again > 1 || reserved)
		return err_set(e, DM_BAD, "nak frame: unknown class %u", n->cls);
	return 0;
}

int nak_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct nak *n,
    struct err *e)
{
	uint8_t body[16] = { 0 };

	put64(body, n->index);
	body[8] = n->cls;
	body[9] = n->again;
	put32(body + 12, n->retry_ms);
	return frame_put1(o, FT_NAK, 0, disk, epoch, body, sizeof(body), e);
}

int final_decode(const struct frame *f, struct final *x, struct err *e)
{
	struct cursor c = body_of(f);
	uint32_t reserved;
	uint16_t len;
	const uint8_t *p;

	memset(x, 0, sizeof(*x));
	x->side = cur_u8(&c);
	x->flags = cur_u8(&c);
	len = cur_u16(&c);
	reserved = cur_u32(&c);
	x->stored = cur_u64(&c);
	p = cur_bytes(&c, ID_LEN);
	if (p)
		memcpy(x->root.b, p, ID_LEN);
	p = cur_bytes(&c, len);
	if (body_end(&c, f, e) < 0)
		return -1;
	if (x->side < SIDE_SOURCE || x->side > SIDE_TARGET || x->flags & ~FINAL_KNOWN ||
	    reserved || (!(x->flags & FINAL_ROOT) && !id_zero(&x->root)))
		return err_set(e, DM_BAD, "final frame: unknown side or flags");
	if (len > HELLO_STR_MAX || !text_valid(p, len))
		return err_set(e, DM_BAD, "final frame: the point is too long or not UTF-8");
	x->point = x_alloc((size_t)len + 1);
	memcpy(x->point, p, len);
	return 0;
}

int final_put(struct frame_out *o, uint32_t disk, const struct final *x, struct err *e)
{
	uint8_t body[FINAL_FIXED + HELLO_STR_MAX] = { 0 };
	size_t len = x->point ? strlen(x->point) : 0;

	if (len > HELLO_STR_MAX || !text_valid(x->point, len))
		return err_set(e, DM_ENV, "a point is too long or not UTF-8");
	body[0] = x->side;
	body[1] = x->flags;
	put16(body + 2, (uint16_t)len);
	put64(body + 8, x->stored);
	if (x->flags & FINAL_ROOT)
		memcpy(body + 16, x->root.b, ID_LEN);
	if (len)
		memcpy(body + FINAL_FIXED, x->point, len);
	return frame_put1(o, FT_FINAL, 0, disk, 0, body, FINAL_FIXED + len, e);
}

void final_free(struct final *x)
{
	free(x->point);
	x->point = NULL;
}

int stat_decode(const struct frame *f, struct stats *s, struct err *e)
{
	struct cursor c = body_of(f);

	memset(s, 0, sizeof(*s));
	while (cur_left(&c) && !c.bad) {
		uint16_t key = cur_u16(&c);
		uint64_t value = cur_u64(&c);

		if (key < LEN(s->v))	/* others are of a later version */
			s->v[key] = value;
	}
	return body_end(&c, f, e);
}

int stat_put(struct frame_out *o, uint32_t disk, const struct stats *s, struct err *e)
{
	uint8_t body[STAT_LEN * LEN(s->v)];
	size_t len = 0;

	for (uint16_t key = 0; key < LEN(s->v); key++) {
		if (!s->v[key])
			continue;
		put16(body + len, key);
		put64(body + len + 2, s->v[key]);
		len += STAT_LEN;
	}
	return frame_put1(o, FT_STAT, FF_MAY_IGNORE, disk, 0, body, len, e);
}

int progress_decode(const struct frame *f, struct progress_rec *p, struct err *e)
{
	struct cursor c = body_of(f);

	p->stage = cur_u8(&c);
	cur_bytes(&c, 7);
	p->done = cur_u64(&c);
	p->total = cur_u64(&c);
	return body_end(&c, f, e);
}

int progress_put(struct frame_out *o, uint32_t disk, const struct progress_rec *p,
    struct err *e)
{
	uint8_t body[24] = { p->stage };

	put64(body + 8, p->done);
	put64(body + 16, p->total);
	return frame_put1(o, FT_PROGRESS, FF_MAY_IGNORE, disk, 0, body, sizeof(body), e);
}

int abort_decode(const struct frame *f, struct err *e)
{
	struct cursor c = body_of(f);
	uint8_t code = cur_u8(&c), cls = cur_u8(&c);
	char text[sizeof(e->text)];
	size_t len;

	cur_u16(&c);
	if (c.bad || code < DM_NO || code > DM_ENV || cls > CLASS_TIMEOUT)
		return err_set(e, DM_BAD, "abort frame: unknown code %u or class %u", code, cls);
	if (e->code)
		return -1;
	len = text_clean((const char *)c.p, cur_left(&c), text, sizeof(text) - 1);
	text[len] = 0;
	err_set(e, code, "%s", text);
	e->cls = (enum err_class)cls;
	e->relayed = 1;
	return -1;
}

int abort_put(struct frame_out *o, const struct err *e, struct err *e2)
{
	uint8_t body[4 + sizeof(e->text)] = { (uint8_t)e->code, (uint8_t)e->cls };
	char *text = e->relayed ? x_strdup(e->text) : x_printf("%s: %s", err_program(), e->text);
	size_t len = 4 + text_clean(text, strlen(text), (char *)body + 4, sizeof(e->text) - 1);

	free(text);
	return frame_put1(o, FT_ABORT, 0, 0, 0, body, len, e2);
}

int passed_check(const struct frame *f, const struct hello *h, struct err *e)
{
	struct progress_rec p;
	struct barrier b;
	struct stats st;
	struct final x;
	struct nak n;
	int rc;

	switch (f->type) {
	case FT_BARRIER:
		return barrier_decode(f, &b, e);
	case FT_PROGRESS:
		return progress_decode(f, &p, e);
	case FT_NAK:
		rc = nak_decode(f, &n, e);
		break;
	case FT_STAT:
		rc = stat_decode(f, &st, e);
		break;
	case FT_FINAL:
		rc = final_decode(f, &x, e);
		final_free(&x);
		break;
	default:
		return 0;
	}
	return rc < 0 ? -1 : disk_check(f, h, e);
}
