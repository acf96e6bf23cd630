/* Trees of disks whose content is not known, or not all of it. */
#include <string.h>

#include "base/bytes.h"
#include "repo/tree_priv.h"

#define LEVELS 17u

struct blank {
	struct store *st;
	uint64_t whole, chunks;		/* of full length, and with the tail */
	struct id level[LEVELS];	/* a node over nothing but full chunks */
	unsigned known;			/* levels made so far */
	struct id tail;
};

/* The node over whole chunks alone, one for each level. */
static int even_node(struct blank *b, unsigned level, struct id *out, struct err *e)
{
	struct id child[NODE_WAYS];
	uint64_t added;

	for (; b->known <= level; b->known++) {
		for (unsigned i = 0; i < NODE_WAYS; i++)
			child[i] = b->level[b->known - 1];
		if (store_put_node(b->st, child, &b->level[b->known], &added, e))
			return -1;
	}
	*out = b->level[level];
	return 0;
}

static int build(struct blank *b, unsigned level, uint64_t first, struct id *out, struct err *e)
{
	uint64_t span = 1ull << 4 * level, added;
	struct id child[NODE_WAYS];

	memset(out, 0, sizeof(*out));
	if (first >= b->chunks)
		return 0;
	if (first + span <= b->whole)
		return even_node(b, level, out, e);
	if (level == 0) {
		*out = b->tail;
		return 0;
	}
	for (unsigned i = 0; i < NODE_WAYS; i++)
		if (build(b, level - 1, first + i * (span / NODE_WAYS), &child[i], e))
			return -1;
	return store_put_node(b->st, child, out, &added, e);
}

int tree_unknown(struct store *st, uint64_t size, struct id *root, struct err *e)
{
	uint32_t cs = store_site(st)->chunk_size;
	struct blank b = { .st = st, .whole = size / cs, .chunks = div_up(size, cs), .known = 1 };
	struct id leaf[LEAVES_MAX], top;

	memset(leaf, 0xff, sizeof(leaf));
	if ((b.whole && store_put_leaves(st, leaf, cs, &b.level[0], e)) ||
	    (size % cs && store_put_leaves(st, leaf, (uint32_t)(size % cs), &b.tail, e)) ||
	    build(&b, tree_height(b.chunks), 0, &top, e))
		return -1;
	return store_put_root(st, size, &top, root, e);
}

int tree_has_unknown(struct tree *t, struct err *e)
{
	const struct site *s = tree_site(t);
	uint64_t size = tree_size(t), n = 0;
	struct id whole, tail, id;
	int r;

	id_chunk_unknown(s->algo, s->chunk_size, s->chunk_size, NULL, &whole);
	id_chunk_unknown(s->algo, s->chunk_size, (uint32_t)(size % s->chunk_size), NULL, &tail);
	while ((r = tree_next(t, &n, &id, e)) == 1) {
		if (id_equal(&id, &whole) || (size % s->chunk_size && id_equal(&id, &tail)))
			return 1;
		n++;
	}
	return r;
}
