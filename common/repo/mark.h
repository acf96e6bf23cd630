/* Marking what is referred to: a bit for each record of the index.  Private
 * to common/repo. */
#ifndef DM_REPO_MARK_H
#define DM_REPO_MARK_H

#include "repo/store_priv.h"

struct mark {
	struct store *st;
	uint8_t *bits;
	uint8_t *ids;		/* those of trees of ids alone: the chunks below a node
				 * marked here only are not marked, so it is entered
				 * again for a tree with content; NULL: none */
	uint64_t n;		/* records with a higher ordinal are newer than
				 * the mark and count as marked */
	uint64_t missing;	/* chunks that are referred to and not there */
};
/* Empty.  0 or -1. */
int mark_begin(struct mark *m, struct store *st, struct err *e);
void mark_end(struct mark *m);
/* Everything that is reached from all checkpoints, open sessions and pins.  A
 * node that cannot be read is a failure: nothing may be removed then. */
int mark_all(struct mark *m, struct err *e);
/* Everything that is reached from one root, and from that of a tree whose content
 * is elsewhere. */
int mark_root(struct mark *m, const struct id *root, struct err *e);
int mark_tree(struct mark *m, const struct id *root, struct err *e);
bool mark_has(const struct mark *m, uint64_t ordinal);

#endif
