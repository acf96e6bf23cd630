/* Holding and dropping checkpoints whose records are objects: there is no lock
 * on those (dm-repository(5)).  Private to the catalog. */
#ifndef DM_REPO_CATALOG_STORE_H
#define DM_REPO_CATALOG_STORE_H

#include "repo/catalog.h"

/* A record's text and whether it is pinned: 1, 0 not there, -1.  The text comes
 * from a copy in the directory, if there is one: a record never changes. */
int catalog_store_get(struct site *s, const char *workload, uint64_t seq, char **text, size_t *len, bool *pinned,
    struct err *e);
/* As catalog_hold and catalog_drop. */
int catalog_store_hold(struct site *s, const struct checkpoint *c, struct err *e);
int catalog_store_drop(struct site *s, const struct checkpoint *c, bool external, struct err *e);
bool checkpoint_is_external(const struct checkpoint *c);	/* some disk lies outside of the chunk store */

#endif
