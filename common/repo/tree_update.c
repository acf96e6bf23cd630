/* New trees from old ones: cost grows with the changes, not with the disk. */
#include <string.h>

#include "base/bytes.h"
#include "repo/tree_priv.h"

struct job {
	struct store *st;
	struct tree *base;
	uint64_t chunks;		/* of the new disk */
	const struct chunk_update *up;
};

static uint64_t end_of(const struct chunk_update *u)
{
	return u->n + u->count;
}

/* Children of a place in the base, one level down. */
static int base_children(struct job *j, unsigned level, const struct tree_sub *s, struct tree_sub out[NODE_WAYS],
    struct err *e)
{
	struct id child[NODE_WAYS];

	memset(out, 0, NODE_WAYS * sizeof *out);
	if (s->above)
		return tree_sub(j->base, level - 1, 0, &out[0], e);
	if (id_zero(&s->id))
		return 0;
	if (tree_node(j->base, &s->id, child, e))
		return -1;
	for (unsigned i = 0; i < NODE_WAYS; i++)
		out[i].id = child[i];
	return 0;
}

/* Is the place at once what the base or one update says? */
static bool settled(const struct job *j, uint64_t first, uint64_t end, unsigned level, const struct tree_sub *base,
    size_t lo, size_t hi, struct id *out)
{
	memset(out, 0, sizeof *out);
	if (first >= j->chunks)
		return true;
	if (lo == hi) {
		if (base->above || (end > j->chunks && level > 0 && !id_zero(&base->id)))
			return false;	/* something may lie beyond the new end */
		*out = base->id;
		return true;
	}
	if (level == 0) {
		*out = j->up[lo].id;
		return true;
	}
	return id_zero(&j->up[lo].id) && j->up[lo].n <= first && end_of(&j->up[lo]) >= min64(end, j->chunks);
}

/* The new id of one place; [lo, hi) are the updates that touch it. */
static int build(struct job *j, unsigned level, uint64_t index, const struct tree_sub *base, size_t lo, size_t hi,
    struct id *out, struct err *e)
{
	unsigned bits = 4 * level;
	uint64_t first = index << bits, end = first + (1ull << bits), span = level ? 1ull << (bits - 4) : 0;
	struct tree_sub sub[NODE_WAYS];
	struct id child[NODE_WAYS];
	uint64_t added;

	if (settled(j, first, end, level, base, lo, hi, out))
		return 0;
	if (base_children(j, level, base, sub, e))
		return -1;
	for (unsigned i = 0; i < NODE_WAYS; i++) {
		uint64_t from = first + i * span, to = from + span;
		size_t stop;

		while (lo < hi && end_of(&j->up[lo]) <= from)
			lo++;
		for (stop = lo; stop < hi && j->up[stop].n < to; stop++)
			;
		if (build(j, level - 1, index * NODE_WAYS + i, &sub[i], lo, stop, &child[i], e))
			return -1;
	}
	return store_put_node(j->st, child, out, &added, e);
}

static int check_order(const struct chunk_update *up, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (!up[i].count || (up[i].count > 1 && !id_zero(&up[i].id)) ||
		    up[i].n + up[i].count < up[i].n || (i && end_of(&up[i - 1]) > up[i].n))
			return err_set(e, DM_BAD, "chunk %llu was given twice", (unsigned long long)up[i].n);
	return 0;
}

int tree_update(struct store *st, const struct id *base, uint64_t size, const struct chunk_update *up, size_t n,
    struct id *root, struct err *e)
{
	struct job j = { .st = st, .chunks = div_up(size, store_site(st)->chunk_size), .up = up };
	unsigned level = tree_height(j.chunks);
	struct tree_sub sub;
	struct id top;
	int r;

	if (check_order(up, n, e))
		return -1;
	j.base = tree_open(st, base, e);
	if (!j.base)
		return -1;
	r = tree_sub(j.base, level, 0, &sub, e);
	if (!r)
		r = build(&j, level, 0, &sub, 0, n, &top, e);
	if (!r)
		r = store_put_root(st, size, &top, root, e);
	tree_close(j.base);
	return r;
}
