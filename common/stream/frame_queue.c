/* What waits to be written on a descriptor that does not block: copies, and
 * parts of segments that are kept as they are. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "stream/frame_impl.h"

static void stretch_free(struct stretch *s)
{
	segment_drop(s->seg);
	free(s);
}

void frame_queue_free(struct frame_out *o)
{
	struct stretch *next;

	for (struct stretch *s = o->head; s; s = next) {
		next = s->next;
		stretch_free(s);
	}
}

uint8_t *frame_queue_room(struct frame_out *o, size_t len)
{
	struct stretch *t = o->tail;
	uint8_t *p;

	if (!t || t->seg || t->used + len > SMALL_MAX) {
		t = x_alloc(sizeof(*t) + (len > SMALL_MAX ? len : SMALL_MAX));
		t->p = t->own;
		if (o->tail)
			o->tail->next = t;
		else
			o->head = t;
		o->tail = t;
	}
	p = t->own + t->used;
	t->used += len;
	t->len += len;
	o->queued += len;
	return p;
}

void frame_queue_segment(struct frame_out *o, const struct frame *f)
{
	struct stretch *t = x_alloc(sizeof(*t));

	t->seg = segment_ref(f->seg);
	t->p = f->body;
	t->len = f->len;
	o->queued += f->len;
	if (o->tail)
		o->tail->next = t;
	else
		o->head = t;
	o->tail = t;
}

/* n bytes of the queue were written. */
static void queue_drop(struct frame_out *o, size_t n)
{
	o->queued -= n;
	o->written += n;
	while (n) {
		struct stretch *s = o->head;
		size_t part = min64(n, s->len);

		s->p += part;
		s->len -= part;
		n -= part;
		if (s->len)
			break;
		o->head = s->next;
		if (!o->head)
			o->tail = NULL;
		stretch_free(s);
	}
}

int frame_pump(struct frame_out *o, struct err *e)
{
	while (o->head) {
		struct iovec v[IOV_MAX_PUT];
		int k = 0;
		ssize_t n;

		for (struct stretch *s = o->head; s && k < IOV_MAX_PUT; s = s->next)
			v[k++] = (struct iovec){ (void *)s->p, s->len };
		n = writev(o->fd, v, k);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return frame_out_failed(o, errno, e);
		if (n > 0)
			queue_drop(o, (size_t)n);
	}
	return 1;
}
