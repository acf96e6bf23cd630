/* A tree that grows while its chunks come, in any order and from several
 * threads: they are collected in memory, up to a bound, and merged. */
#ifndef DM_REPO_TREE_GROW_H
#define DM_REPO_TREE_GROW_H

#include "repo/tree.h"

struct tree_grow;
/* From a root (NULL: all zero); size: bytes of the disk.  Never NULL. */
struct tree_grow *tree_grow_new(struct store *st, const struct id *from, uint64_t size);
void tree_grow_free(struct tree_grow *g);	/* NULL is harmless */
/* Chunk n (count > 1: as many, of the zero id) has this id now. */
int tree_grow_put(struct tree_grow *g, uint64_t n, uint64_t count, const struct id *id, struct err *e);
/* The root with everything that was put before the call, and perhaps more;
 * its nodes are in the store, and durable after store_flush. */
int tree_grow_root(struct tree_grow *g, struct id *root, struct err *e);

#endif
