/* Reading disk trees. */
#include "repo/tree.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/tree_priv.h"

#define NODE_CACHE 256	/* nodes kept by a tree */

struct cached_node {
	struct id id;
	struct id child[NODE_WAYS];
};
struct tree {
	struct store *st;
	struct root_info info;
	uint64_t chunks;
	pthread_mutex_t lock;		/* of the cache */
	struct cached_node *cache;	/* by the first bytes of the id */
};

struct tree *tree_open(struct store *st, const struct id *root, struct err *e)
{
	struct tree *t = x_alloc(sizeof *t);

	t->st = st;
	pthread_mutex_init(&t->lock, NULL);
	if (root && store_root(st, root, &t->info, e)) {
		tree_close(t);
		return NULL;
	}
	t->chunks = div_up(t->info.size, store_site(st)->chunk_size);
	t->cache = x_array(NODE_CACHE, sizeof *t->cache);
	return t;
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->cache);
	free(t);
}

const struct site *tree_site(const struct tree *t)
{
	return store_site(t->st);
}

uint64_t tree_size(const struct tree *t)
{
	return t->info.size;
}

int tree_node(struct tree *t, const struct id *id, struct id child[NODE_WAYS], struct err *e)
{
	struct cached_node *c = &t->cache[get64(id->b) % NODE_CACHE];
	bool hit;

	pthread_mutex_lock(&t->lock);
	hit = id_equal(&c->id, id);
	if (hit)
		memcpy(child, c->child, sizeof c->child);
	pthread_mutex_unlock(&t->lock);
	if (hit)
		return 0;
	if (store_node(t->st, id, child, e)) {
		/* The index knows every node of a tree that was committed. */
		if (e->code == DM_NO)
			e->code = DM_BAD;
		return -1;
	}
	pthread_mutex_lock(&t->lock);
	c->id = *id;
	memcpy(c->child, child, sizeof c->child);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* Chunks under a node of this level, in shifts. */
static unsigned span_bits(unsigned level)
{
	return 4 * level;
}

int tree_sub(struct tree *t, unsigned level, uint64_t index, struct tree_sub *out, struct err *e)
{
	struct id at = t->info.top, child[NODE_WAYS];

	memset(out, 0, sizeof *out);
	if (level > t->info.height) {
		out->above = index == 0 && !id_zero(&at);
		return 0;
	}
	if (span_bits(t->info.height - level) < 64 && index >> span_bits(t->info.height - level))
		return 0;
	for (unsigned l = t->info.height; l > level && !id_zero(&at); l--) {
		if (tree_node(t, &at, child, e))
			return -1;
		at = child[index >> span_bits(l - 1 - level) & (NODE_WAYS - 1)];
	}
	out->id = at;
	return 0;
}


int tree_chunk(struct tree *t, uint64_t n, struct id *out, struct err *e)
{
	struct tree_sub s;

	if (n >= t->chunks) {
		memset(out, 0, sizeof *out);
		return 0;
	}
	if (tree_sub(t, 0, n, &s, e))
		return -1;
	*out = s.id;
	return 0;
}

/* First chunk behind the subtree of this level that holds n. */
static uint64_t behind(uint64_t n, unsigned level)
{
	uint64_t span = 1ull << span_bits(level);

	return (n & ~(span - 1)) + span;
}

int tree_next(struct tree *t, uint64_t *n, struct id *id, struct err *e)
{
	struct id child[NODE_WAYS];
	uint64_t at = *n;

	while (at < t->chunks && !id_zero(&t->info.top)) {
		unsigned l = t->info.height;

		*id = t->info.top;
		for (; l && !id_zero(id); l--) {
			if (tree_node(t, id, child, e))
				return -1;
			*id = child[at >> span_bits(l - 1) & (NODE_WAYS - 1)];
		}
		if (!id_zero(id)) {
			*n = at;
			return 1;
		}
		at = behind(at, l);
	}
	return 0;
}

int tree_next_diff(struct tree *t, struct tree *base, uint64_t *n, struct id *id, struct id *base_id, struct err *e)
{
	uint64_t chunks = max64(t->chunks, base->chunks), at = *n;
	unsigned top = t->info.height > base->info.height ? t->info.height : base->info.height;
	struct tree_sub a = { 0 }, b = { 0 };

	while (at < chunks) {
		unsigned l = top;

		/* Down while they differ; `above' is never known to be equal. */
		for (;; l--) {
			if (tree_sub(t, l, at >> span_bits(l), &a, e) ||
			    tree_sub(base, l, at >> span_bits(l), &b, e))
				return -1;
			if (!l || (!a.above && !b.above && id_equal(&a.id, &b.id)))
				break;
		}
		if (!id_equal(&a.id, &b.id)) {
			*n = at;
			*id = a.id;
			*base_id = b.id;
			return 1;
		}
		at = behind(at, l);
	}
	return 0;
}
