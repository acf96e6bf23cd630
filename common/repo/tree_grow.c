#include "repo/tree_grow.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"

#define UPDATES_MAX (128u << 10)	/* collected at most, before they are merged */

struct tree_grow {
	struct store *st;
	uint64_t size;

	pthread_mutex_t merging;	/* of root */
	bool has_root;
	bool shaped;			/* root is of this size */
	struct id root;			/* the tree so far */

	pthread_mutex_t lock;		/* of the updates */
	struct chunk_update *up;
	size_t n, cap;
};

struct tree_grow *tree_grow_new(struct store *st, const struct id *from, uint64_t size)
{
	struct tree_grow *g = x_alloc(sizeof(*g));

	g->st = st;
	g->size = size;
	g->has_root = from;
	if (from)
		g->root = *from;
	pthread_mutex_init(&g->merging, NULL);
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void tree_grow_free(struct tree_grow *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->merging);
	pthread_mutex_destroy(&g->lock);
	free(g->up);
	free(g);
}

static int by_number(const void *a, const void *b)
{
	const struct chunk_update *x = a, *y = b;

	return (x->n > y->n) - (x->n < y->n);
}

int tree_grow_root(struct tree_grow *g, struct id *root, struct err *e)
{
	struct chunk_update *up;
	size_t n;
	int r = 0;

	pthread_mutex_lock(&g->merging);
	pthread_mutex_lock(&g->lock);
	up = g->up;
	n = g->n;
	g->up = NULL;
	g->n = g->cap = 0;
	pthread_mutex_unlock(&g->lock);
	if (n || !g->shaped) {
		if (n)
			qsort(up, n, sizeof(*up), by_number);
		r = tree_update(g->st, g->has_root ? &g->root : NULL, g->size, up, n, &g->root, e);
		g->shaped = g->shaped || !r;
		g->has_root = g->has_root || !r;
	}
	if (root)
		*root = g->root;
	pthread_mutex_unlock(&g->merging);
	free(up);
	return r;
}

int tree_grow_put(struct tree_grow *g, uint64_t n, uint64_t count, const struct id *id, struct err *e)
{
	bool full;

	pthread_mutex_lock(&g->lock);
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 256;
		g->up = x_grow(g->up, g->cap, sizeof(*g->up));
	}
	g->up[g->n++] = (struct chunk_update){ .n = n, .count = count, .id = *id };
	full = g->n >= UPDATES_MAX;
	pthread_mutex_unlock(&g->lock);
	return full ? tree_grow_root(g, NULL, e) : 0;
}
