/* Is everything there that a disk's state refers to?  Looks at the index and
 * at the lengths of packs, and reads no content: that is verify's work. */
#ifndef DM_REPO_TREE_CHECK_H
#define DM_REPO_TREE_CHECK_H

#include "repo/tree.h"

struct tree_check;
struct tree_check *tree_check_new(struct site *s, struct err *e);
void tree_check_free(struct tree_check *t);	/* NULL is harmless */

/* Every chunk of this state that `known' (NULL: none) does not share, and
 * what those chunks are patched from.  0; DM_NO when something is missing. */
int tree_check_root(struct tree_check *t, const struct id *root, const struct id *known,
    struct err *e);
/* The same for trees of content that is elsewhere: their leaf ids. */
int tree_check_ids(struct tree_check *t, const struct id *root, const struct id *known,
    struct err *e);

#endif
