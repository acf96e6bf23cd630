/* Flat files of leaf ids: what a disk held, by position.  A header names size,
 * chunk size, algorithm and the root, which is checked on opening, so a
 * damaged or half-written file is never believed.  Zero leaves are holes.
 *
 * A named one also keeps a mark for each block of MARK_BLOCK bytes: where a leaf
 * changed, marks tell which of its blocks did.  They decide about nothing
 * else, and their hash has a secret seed. */
#ifndef DM_JOB_IDFILE_H
#define DM_JOB_IDFILE_H

#include <stdbool.h>

#include "base/err.h"
#include "content/id.h"

#define MARK_BLOCK 4096u

struct idfile {
	int fd;
	char *path;		/* NULL: unlinked, temporary */
	int algo;
	uint32_t chunk_size;
	uint64_t size;		/* of the disk, bytes */
	struct id root;		/* once opened or sealed */
	bool marked;
	uint64_t seed;		/* of the marks */
};

/* An empty one; path NULL: a temporary file, without marks.  The file at path
 * is replaced.  Marks can be compared with those of `like' (or NULL). */
struct idfile *idfile_create(const char *path, int algo, uint32_t chunk_size, uint64_t size,
    const struct idfile *like, struct err *e);
/* NULL with *e: DM_NO when there is none or it is damaged. */
struct idfile *idfile_open(const char *path, struct err *e);
void idfile_close(struct idfile *f);

/* n ids from leaf number `leaf' on; past the end they are zero.  Thread-safe
 * for different leaves. */
int idfile_get(const struct idfile *f, uint64_t leaf, struct id *id, size_t n, struct err *e);
int idfile_put(struct idfile *f, uint64_t leaf, const struct id *id, size_t n, struct err *e);
/* Marks of a leaf's blocks; 0 for one that is zero. */
static inline unsigned idfile_marks(const struct idfile *f) { return leaf_size(f->chunk_size) / MARK_BLOCK; }
void idfile_mark(const struct idfile *f, const void *leaf, size_t len, uint64_t *mark);
int idfile_get_marks(const struct idfile *f, uint64_t leaf, uint64_t *mark, struct err *e);
int idfile_put_marks(struct idfile *f, uint64_t leaf, const uint64_t *mark, size_t leaves, struct err *e);
/* A leaf >= `leaf' below which none is other than zero; leaves past the end
 * when there is none. */
uint64_t idfile_next(const struct idfile *f, uint64_t leaf);
/* The root of what it holds. */
int idfile_root(const struct idfile *f, struct id *root, struct err *e);
/* Complete: write the header with this root, make it durable. */
int idfile_seal(struct idfile *f, const struct id *root, struct err *e);

#endif
