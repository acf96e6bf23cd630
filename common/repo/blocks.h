/* A bounded cache of pieces of packs that lie in an object store: 1 MiB each,
 * 64 of them in all.  Where reading goes forward the next ones are fetched
 * ahead, several at a time.  Private to common/repo; calls may come from
 * several threads. */
#ifndef DM_REPO_BLOCKS_H
#define DM_REPO_BLOCKS_H

#include "base/object.h"
#include "repo/pack.h"

struct blocks;
struct blocks *blocks_new(struct objects *o);
void blocks_free(struct blocks *b);	/* NULL is harmless */

/* [off, off+len) of a pack into p.  size: of the pack, 0 when it is not known.
 * 0; DM_NO: the pack is gone; DM_BAD: it is shorter. */
int blocks_read(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t size, void *p, size_t len, uint64_t off,
    struct err *e);

/* What is kept may be damaged: all of it is got anew when it is asked for. */
void blocks_forget(struct blocks *b);

#define PACK_OBJECT 48u
char *pack_object(const uint8_t id[PACK_ID], char name[PACK_OBJECT]);	/* "packs/<digits>.pack" */

#endif
