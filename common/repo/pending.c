#include "repo/pending.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Ids are hashes already. */
static size_t place(const struct pending *p, const struct id *id)
{
	return get64(id->b) & (p->cap - 1);
}

static struct pending_slot *probe(const struct pending *p, const struct id *id)
{
	size_t i = place(p, id);

	while (p->slot[i].in && !id_equal(&p->slot[i].en.id, id))
		i = (i + 1) & (p->cap - 1);
	return &p->slot[i];
}

static void insert(struct pending *p, const struct pending_slot *s)
{
	struct pending_slot *at = probe(p, &s->en.id);

	if (at->in && at->en.depth <= s->en.depth)
		return;
	p->n += !at->in;
	*at = *s;
}

static void rehash(struct pending *p, size_t cap, bool (*keep)(const struct opack *in))
{
	struct pending old = *p;

	*p = (struct pending){ .slot = x_array(cap, sizeof *p->slot), .cap = cap };
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i].in && (!keep || keep(old.slot[i].in)))
			insert(p, &old.slot[i]);
	free(old.slot);
}

void pending_put(struct pending *p, const struct pack_entry *en, struct opack *in)
{
	struct pending_slot s = { .en = *en, .in = in };

	if (p->n >= p->cap / 2)
		rehash(p, p->cap ? p->cap * 2 : 256, NULL);
	insert(p, &s);
}

const struct pending_slot *pending_find(const struct pending *p, const struct id *id)
{
	const struct pending_slot *s;

	if (!p->cap)
		return NULL;
	s = probe(p, id);
	return s->in ? s : NULL;
}

void pending_filter(struct pending *p, bool (*keep)(const struct opack *in))
{
	size_t n = 0, cap = 256;

	for (size_t i = 0; i < p->cap; i++)
		n += p->slot[i].in && keep(p->slot[i].in);
	while (cap / 2 <= n)
		cap *= 2;
	rehash(p, cap, keep);
}

void pending_free(struct pending *p)
{
	free(p->slot);
	*p = (struct pending){ 0 };
}
