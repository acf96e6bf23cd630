/* A site directory: config, catalog, open sessions, chunk store.
 * dm-repository(5). */
#ifndef DM_REPO_SITE_H
#define DM_REPO_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "content/id.h"

struct site {
	char *path;
	int dir;		/* O_DIRECTORY */
	uint8_t id[16];		/* random, made by init */
	uint32_t chunk_size;
	int algo;		/* enum id_algo */
	int level;		/* zstd level for stored chunks */
	char *index_path;	/* of the LMDB environment */
	uint64_t index_map;	/* bytes its map has at first; it grows */
};

struct site_options {
	uint32_t chunk_size;	/* 0: 1 MiB */
	int algo;		/* 0: BLAKE3 */
	int level;		/* 0: CODEC_LEVEL */
	const char *index_path;	/* NULL: inside the site */
	uint64_t index_map;	/* 0: 256 MiB */
};
/* DM_NO when a site is there already. */
int site_init(const char *path, const struct site_options *o, struct err *e);
/* DM_NO when there is none, DM_BAD when its config is not understood. */
struct site *site_open(const char *path, struct err *e);
void site_close(struct site *s);

#endif
