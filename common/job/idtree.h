/* The trees of ids of an iteration whose targets keep none: they are in the
 * chunk store of a site, without the content.  Entries are told once written;
 * functions may be called from several threads unless said. */
#ifndef DM_JOB_IDTREE_H
#define DM_JOB_IDTREE_H

#include "stream/record.h"
#include "volume/volume.h"

struct idtree;
/* Open the site and begin the iteration's session there; h outlives it.  NULL
 * with *e. */
struct idtree *idtree_open(const char *site, const struct hello *h, struct err *e);
void idtree_close(struct idtree *t);	/* NULL is harmless */
const uint8_t *idtree_site(const struct idtree *t);	/* its id, 16 bytes */
/* What an interrupted iteration left a part of this disk in, for
 * volume_how.work, or NULL. */
const char *idtree_work(const struct idtree *t, uint32_t disk);
/* The target of a disk was opened. */
int idtree_target(struct idtree *t, uint32_t disk, const struct volume *v, struct err *e);
/* All were, and nothing is written yet. */
int idtree_start(struct idtree *t, struct err *e);

/* A chunk that was put whole, by its leaf ids. */
int idtree_whole(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *leaf,
    struct err *e);
/* One of which fragments were put: what is not known of it is read from v.
 * buf has room for a leaf. */
int idtree_patched(struct idtree *t, uint32_t disk, struct volume *v, const struct volume_chunk *c,
    uint8_t *buf, struct err *e);
/* Is this chunk durable in what a target goes on with?  1, 0, -1.  id: what it
 * must be, or NULL. */
int idtree_held(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *id,
    struct err *e);
int idtree_zero(struct idtree *t, uint32_t disk, uint64_t off, uint64_t len, struct err *e);

/* One thread: what was told is settled now, and, once the targets have flushed
 * it, kept. */
int idtree_cut(struct idtree *t, struct err *e);
int idtree_keep(struct idtree *t, uint32_t epoch, struct err *e);

/* One thread, at the end.  The root of a disk's new state; *partial: some of
 * its ids are not known, so it proves nothing. */
int idtree_root(struct idtree *t, uint32_t disk, struct volume *v, struct id *root, bool *partial,
    struct err *e);
/* The target has made that state a point. */
int idtree_final(struct idtree *t, uint32_t disk, const struct id *root, struct err *e);

#endif
