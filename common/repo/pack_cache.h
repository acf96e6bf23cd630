/* Open packs, for reading: a bounded number of them. */
#ifndef DM_REPO_PACK_CACHE_H
#define DM_REPO_PACK_CACHE_H

#include <pthread.h>

#include "repo/index.h"

#define PACK_CACHE 64

struct pack_cache {
	pthread_mutex_t lock;
	uint64_t clock;
	struct cached_pack {
		struct pack_in *in;	/* NULL: empty */
		uint32_t ordinal;
		unsigned refs;
		uint64_t used;
	} slot[PACK_CACHE];
};
void pack_cache_init(struct pack_cache *c);
void pack_cache_free(struct pack_cache *c);
/* A pack to read from, given back with pack_cache_put; NULL: DM_NO when
 * the pack is gone from the index or the disk. */
struct pack_in *pack_cache_get(struct pack_cache *c, struct site *s, struct index *ix, uint32_t ordinal, struct err *e);
void pack_cache_put(struct pack_cache *c, struct pack_in *in);

#endif
