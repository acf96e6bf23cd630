/* A bounded cache of what was read from volumes, for readers that ask for a
 * few kilobytes at a time of volumes that decode larger pieces.  Blocks of 64
 * KiB; memory is bounded by what read_cache_new was given and one run of
 * READ_RUN for each caller.  Functions may be called from several threads. */
#ifndef DM_VOLUME_READ_CACHE_H
#define DM_VOLUME_READ_CACHE_H

#include "volume/volume.h"

#define READ_BLOCK 65536u
#define READ_RUN (1u << 20)	/* read at once where reading goes forward */

struct read_cache;
/* bytes: at least 2 * READ_RUN is used.  NULL with *e: no memory. */
struct read_cache *read_cache_new(size_t bytes, struct err *e);
void read_cache_free(struct read_cache *c);	/* NULL is harmless */

/* [off, off+len) of v, which does not change while it is cached, into p: 0 or
 * -errno.  Whole blocks that are not cached are read past the cache. */
int read_cache_read(struct read_cache *c, struct volume *v, void *p, size_t len, uint64_t off);
/* Read what lies in [off, off+len) into the cache, as far as half of it can
 * hold.  A failure is left to the read that will meet it. */
void read_cache_fetch(struct read_cache *c, struct volume *v, uint64_t off, uint64_t len);

#endif
