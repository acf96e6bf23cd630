/* A site: config, catalog, open sessions, chunk store; in a directory, or in
 * an object store, with a directory for the index and what is only of this
 * machine.  dm-repository(5). */
#ifndef DM_REPO_SITE_H
#define DM_REPO_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/object.h"
#include "content/id.h"

#define SITE_MACHINE 16u	/* digits */

struct site {
	char *path;
	int dir;		/* O_DIRECTORY */
	uint8_t id[16];		/* random, made by init */
	uint32_t chunk_size;
	int algo;		/* enum id_algo */
	int level;		/* zstd level for stored chunks */
	char *index_path;	/* of the LMDB environment */
	uint64_t index_map;	/* bytes its map has at first; it grows */
	bool sealed;		/* it is encrypted at rest (crypt.h) */
	struct crypt *crypt;	/* its keys; NULL: plain, or locked */

	/* Of a site that is kept in an object store: */
	struct objects *objects;	/* NULL: all of it is in the directory */
	struct blocks *blocks;		/* of packs, that were read */
	struct leases *leases;		/* NULL: none was taken */
	struct lease *turn;		/* to prune, while this process has it */
	char machine[SITE_MACHINE + 1];	/* names this directory among those of the site */
	unsigned lease_s;		/* how long a lease lasts */
	uint64_t slots_seen;		/* number of the key slots read last */
};

struct site_options {
	uint32_t chunk_size;	/* 0: 1 MiB */
	int algo;		/* 0: BLAKE3 */
	int level;		/* 0: CODEC_LEVEL */
	const char *index_path;	/* NULL: inside the site */
	uint64_t index_map;	/* 0: 256 MiB */
	bool encrypt;		/* with the key of site_use_key */
	const struct object_place *store;	/* NULL: in the directory */
	bool join;		/* the store has the site: all else comes from there */
	unsigned lease_s;	/* 0: LEASE_S */
};
/* DM_NO when a site is there already, or, to be joined, when there is none, or
 * when the store does not keep what a site needs (object_probe). */
int site_init(const char *path, const struct site_options *o, struct err *e);
/* A directory, or "s3://BUCKET/PREFIX" (site_cache.h).  DM_NO when there is
 * none, DM_BAD when its config is not understood. */
struct site *site_open(const char *path, struct err *e);
void site_close(struct site *s);

/* Encrypted sites are opened with the secret in the file that was named here,
 * else in the one that DM_KEY_FILE names.  site_open refuses (DM_NO) without
 * it, or with one that opens no slot; site_open_locked goes on without any:
 * what lies there can be counted and checked, and not understood. */
#define SITE_KEY_ENV "DM_KEY_FILE"
void site_use_key(const char *path);
const char *site_key_path(void);	/* NULL: none was named */
bool site_key_named(void);	/* by site_use_key: then a plain site is refused (DM_NO) */
struct site *site_open_locked(const char *path, struct err *e);
int site_locked(const struct site *s, struct err *e);	/* *e says so; -1 */

/* Key slots: read, change and write them back, one at a time (DM_NO: not an
 * encrypted site). */
struct crypt_slots;
int site_slots_change(struct site *s, int (*change)(struct crypt_slots *slots, void *arg, struct err *e),
    void *arg, struct err *e);
/* A look at them. */
int site_slots_read(struct site *s, struct crypt_slots *slots, struct err *e);

#endif
