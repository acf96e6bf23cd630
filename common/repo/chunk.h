/* Writing whole chunks. */
#ifndef DM_REPO_CHUNK_H
#define DM_REPO_CHUNK_H

#include "repo/store_priv.h"

/* Store as a whole record what the store does not have.  c->plain is used
 * only when c->stored is NULL or raw. */
int chunk_put_whole(struct store *st, struct work *w, const struct store_chunk *c, uint64_t *added, struct err *e);

#endif
