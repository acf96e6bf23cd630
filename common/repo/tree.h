/* Disk trees: 16-way nodes over chunk ids. */
#ifndef DM_REPO_TREE_H
#define DM_REPO_TREE_H

#include "repo/store.h"

/* A disk's state being read.  Not thread-safe unless said; memory: one path. */
struct tree;
struct tree *tree_open(struct store *st, const struct id *root, struct err *e);	/* NULL root: empty, all zero */
void tree_close(struct tree *t);
uint64_t tree_size(const struct tree *t);
/* Id of chunk number n (zero id past the end).  Thread-safe. */
int tree_chunk(struct tree *t, uint64_t n, struct id *out, struct err *e);
/* The next chunk >= *n whose id is not zero: 1, *n and *id set; 0 none; -1.
 * Skips zero subtrees in one step.  Thread-safe. */
int tree_next(struct tree *t, uint64_t *n, struct id *id, struct err *e);
/* The next chunk >= *n that differs from `base' (equal subtrees are skipped);
 * ids of both.  1, 0, -1. */
int tree_next_diff(struct tree *t, struct tree *base, uint64_t *n, struct id *id, struct id *base_id, struct err *e);

/* The tree of a disk of which nothing is known (id_chunk_unknown). */
int tree_unknown(struct store *st, uint64_t size, struct id *root, struct err *e);
/* Is there a chunk that is not known?  1, 0, -1. */
int tree_has_unknown(struct tree *t, struct err *e);

/* New root from a base root (NULL: empty) and changed chunks. */
struct chunk_update { uint64_t n, count; struct id id; };	/* count > 1 only with the zero id */
/* `up' is sorted by n, not overlapping.  size: bytes of the new disk; what
 * lies beyond it is dropped.  Nodes are put into the store.  When the size
 * changes, chunks whose own length changes with it must be among the updates:
 * their ids are of their true length. */
int tree_update(struct store *st, const struct id *base, uint64_t size,
    const struct chunk_update *up, size_t n, struct id *root, struct err *e);

#endif
