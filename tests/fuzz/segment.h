/* Segments for harnesses that read frames, instead of those of
 * stream/segment.c: a sanitizer maps and unmaps more than a megabyte for each
 * of those, which takes longer than all else that is done to an input.  These
 * stay for the next one. */
#ifndef DM_FUZZ_SEGMENT_H
#define DM_FUZZ_SEGMENT_H

#include <stdlib.h>

#include "stream/frame_impl.h"

static struct segment *fuzz_spare;

struct spares *spares_new(void)
{
	return NULL;
}

void spares_close(struct spares *x)
{
	(void)x;
}

struct segment *segment_new(struct spares *home, struct err *e)
{
	struct segment *s = fuzz_spare;

	(void)home;
	if (s) {
		fuzz_spare = s->next;
	} else {
		s = x_alloc(sizeof(*s));
		s->p = x_pages(SEGMENT_LEN, e);
	}
	atomic_init(&s->refs, 1);
	return s;
}

struct segment *segment_ref(struct segment *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void segment_drop(struct segment *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	s->next = fuzz_spare;
	fuzz_spare = s;
}

bool segment_alone(const struct segment *s)
{
	return atomic_load(&((struct segment *)s)->refs) == 1;
}

#endif
