/* Buffers whose pages move into a pipe instead of being copied. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/frame_impl.h"

/* Until a reader has copied it out, a moved page is still ours to spoil.  A
 * pipe holds at most its size, so a buffer is free when that much has followed
 * it; twice as much, so that one relay in between which moves pages on into a
 * pipe of its own (pv does) is safe too. */
#define PIPES_BEHIND 2

/* Shorter payloads are copied: the buffer is free again at once, and so at
 * most PIPES_BEHIND * pipe / move_min + 1 buffers wait. */
#define MOVE_SHARE 4

struct slot {
	uint64_t end;		/* last byte moved from here, 0: none is under way */
	bool taken;
};

struct ring {
	struct frame_out *o;
	uint8_t *p;
	size_t each;		/* bytes from one buffer to the next */
	size_t bytes;		/* of the mapping */
	size_t move_min;
	unsigned n;
	struct slot slot[];
};

struct ring *ring_new(struct frame_out *o, size_t len, unsigned extra, struct err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;
	unsigned n = extra + (o->pipe ? PIPES_BEHIND * MOVE_SHARE + 1 : 0);
	struct ring *r;

	if (!extra)
		n++;
	len = (len + page - 1) / page * page;
	r = x_try(1, sizeof(*r) + n * sizeof(r->slot[0]), e);
	if (!r)
		return NULL;
	bytes = n * len;
	r->p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->p == MAP_FAILED) {
		err_set(e, DM_ENV, "out of memory");
		free(r);
		return NULL;
	}
	r->o = o;
	r->each = len;
	r->bytes = bytes;
	r->n = n;
	r->move_min = o->pipe / MOVE_SHARE > PIECE_LARGE ? o->pipe / MOVE_SHARE : PIECE_LARGE;
	if (o->pipe)
		o->ring = r;
	return r;
}

static struct slot *slot_of(struct ring *r, const void *p)
{
	return &r->slot[(size_t)((const uint8_t *)p - r->p) / r->each];
}

bool ring_holds(const struct ring *r, const void *p, size_t len)
{
	uintptr_t at = (uintptr_t)p, from = (uintptr_t)r->p;

	return len >= r->move_min && at >= from && at < from + r->bytes;
}

void ring_moved(struct ring *r, const void *p, uint64_t end)
{
	slot_of(r, p)->end = end;
}

/* The first free one, not the next in turn: those in use stay few and warm. */
void *ring_take(struct ring *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct slot *s = &r->slot[i];

		if (s->end && r->o->written - s->end >= PIPES_BEHIND * r->o->pipe)
			s->end = 0;
		if (s->taken || s->end)
			continue;
		s->taken = true;
		return r->p + i * r->each;
	}
	return NULL;
}

void ring_sent(struct ring *r, void *p)
{
	slot_of(r, p)->taken = false;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	if (r->o->ring == r)
		r->o->ring = NULL;
	munmap(r->p, r->bytes);
	free(r);
}
