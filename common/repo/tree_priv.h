/* What reading and updating trees share. */
#ifndef DM_REPO_TREE_PRIV_H
#define DM_REPO_TREE_PRIV_H

#include "repo/tree.h"

/* A place in a tree: level 0 are chunks, a node of level l spans 16^l. */
struct tree_sub {
	struct id id;		/* zero: all zero */
	bool above;		/* higher than the tree's top, which is its first
				 * descendant; id is not known */
};
const struct site *tree_site(const struct tree *t);
int tree_sub(struct tree *t, unsigned level, uint64_t index, struct tree_sub *out, struct err *e);
int tree_node(struct tree *t, const struct id *id, struct id child[NODE_WAYS], struct err *e);

#endif
