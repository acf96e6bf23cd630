#include <stdlib.h>

#include "job/requests.h"

struct requests {
	struct request **slot;
	size_t slots;		/* power of two */
	uint64_t n;
};

#define SLOTS_MIN 256

void request_append(struct request_list *l, struct request *r)
{
	r->next = NULL;
	r->prev = l->last;
	if (l->last)
		l->last->next = r;
	else
		l->first = r;
	l->last = r;
	l->n++;
	l->cost += r->cost;
}

void request_unlink(struct request_list *l, struct request *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		l->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		l->last = r->prev;
	r->next = r->prev = NULL;
	l->n--;
	l->cost -= r->cost;
}

void request_splice(struct request_list *to, struct request_list *from)
{
	struct request *r;

	while ((r = from->first)) {
		request_unlink(from, r);
		request_append(to, r);
	}
}

struct requests *requests_new(void)
{
	struct requests *t = x_alloc(sizeof *t);

	t->slots = SLOTS_MIN;
	t->slot = x_array(t->slots, sizeof *t->slot);
	return t;
}

void requests_free(struct requests *t)
{
	struct request *r;

	if (!t)
		return;
	for (size_t i = 0; i < t->slots; i++) {
		while ((r = t->slot[i])) {
			t->slot[i] = r->hash;
			free(r);
		}
	}
	free(t->slot);
	free(t);
}

static struct request **slot_of(struct request **slot, size_t slots, uint64_t index)
{
	return &slot[(index * 0x9e3779b97f4a7c15u) >> 20 & (slots - 1)];
}

static void table_double(struct requests *t)
{
	size_t slots = t->slots * 2;
	struct request **to = x_array(slots, sizeof *to), **p, *r;

	for (size_t i = 0; i < t->slots; i++) {
		while ((r = t->slot[i])) {
			t->slot[i] = r->hash;
			p = slot_of(to, slots, r->index);
			r->hash = *p;
			*p = r;
		}
	}
	free(t->slot);
	t->slot = to;
	t->slots = slots;
}

struct request *requests_find(const struct requests *t, uint64_t index)
{
	struct request *r = *slot_of(t->slot, t->slots, index);

	while (r && r->index != index)
		r = r->hash;
	return r;
}

struct request *requests_add(struct requests *t, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, uint32_t chunk_size, struct err *e)
{
	size_t len = entry_len(en);
	struct request *r, **p;

	if (requests_find(t, en->index)) {
		err_set(e, DM_BAD, "entry %llu was asked for twice", (unsigned long long)en->index);
		return NULL;
	}
	if (t->n >= t->slots)
		table_double(t);
	r = x_try(1, sizeof *r + len, e);
	if (!r)
		return NULL;
	r->index = en->index;
	r->count = entry_count(en, chunk_size);
	r->type = type;
	r->disk = disk;
	r->epoch = epoch;
	r->len = (uint16_t)len;
	entry_encode(en, r->enc);
	p = slot_of(t->slot, t->slots, r->index);
	r->hash = *p;
	*p = r;
	t->n++;
	return r;
}

void requests_remove(struct requests *t, struct request *r)
{
	struct request **p = slot_of(t->slot, t->slots, r->index);

	while (*p != r)
		p = &(*p)->hash;
	*p = r->hash;
	t->n--;
	free(r);
}

uint64_t requests_n(const struct requests *t)
{
	return t->n;
}

bool request_matches(const struct request *r, uint32_t disk, const struct entry *en)
{
	uint8_t enc[ENTRY_MAX];

	if (r->disk != disk || r->len != entry_len(en))
		return false;
	entry_encode(en, enc);
	return !memcmp(r->enc, enc, r->len);
}

int request_entry(const struct request *r, const struct hello *h, struct entry *en, struct err *e)
{
	struct cursor c = { .p = r->enc, .end = r->enc + r->len };

	return entry_decode(&c, h, r->disk, en, e);
}
