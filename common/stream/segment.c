/* Stretches of memory that frames are read into and stay in for as long as
 * somebody keeps one of them. */
#include <stdlib.h>

#include "stream/frame_impl.h"

/* Segments a reader keeps for later, so that their pages need not be faulted
 * in again. */
#define SPARE_MAX 16

/* Spare segments; lives until the reader and all its segments are gone. */
struct spares {
	pthread_mutex_t lock;
	struct segment *list;
	unsigned n;
	bool closed;		/* the reader is gone: keep none */
	atomic_uint refs;
};

static void spares_drop(struct spares *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void segment_free(struct segment *s)
{
	struct spares *home = s->home;

	free(s->p);
	free(s);
	spares_drop(home);
}

struct segment *segment_new(struct spares *home, struct err *e)
{
	struct segment *s;

	pthread_mutex_lock(&home->lock);
	s = home->list;
	if (s) {
		home->list = s->next;
		home->n--;
	}
	pthread_mutex_unlock(&home->lock);
	if (s) {
		atomic_store(&s->refs, 1);
		return s;
	}
	s = x_try(1, sizeof(*s), e);
	if (!s)
		return NULL;
	s->p = x_pages(SEGMENT_LEN, e);
	if (!s->p) {
		free(s);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	s->home = home;
	atomic_fetch_add(&home->refs, 1);
	return s;
}

struct segment *segment_ref(struct segment *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void segment_drop(struct segment *s)
{
	struct spares *home;
	bool kept;

	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	home = s->home;
	pthread_mutex_lock(&home->lock);
	kept = !home->closed && home->n < SPARE_MAX;
	if (kept) {
		s->next = home->list;
		home->list = s;
		home->n++;
	}
	pthread_mutex_unlock(&home->lock);
	if (!kept)
		segment_free(s);
}

bool segment_alone(const struct segment *s)
{
	return atomic_load(&((struct segment *)s)->refs) == 1;
}

struct spares *spares_new(void)
{
	struct spares *x = x_alloc(sizeof(*x));

	pthread_mutex_init(&x->lock, NULL);
	atomic_init(&x->refs, 1);
	return x;
}

void spares_close(struct spares *x)
{
	struct segment *s, *next;

	pthread_mutex_lock(&x->lock);
	x->closed = true;
	s = x->list;
	x->list = NULL;
	pthread_mutex_unlock(&x->lock);
	for (; s; s = next) {
		next = s->next;
		segment_free(s);
	}
	spares_drop(x);
}
