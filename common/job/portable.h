/* Checkpoints as portable archives: pax tars that plain tar reads.
 * dm-checkpoint(1), export and import. */
#ifndef DM_JOB_PORTABLE_H
#define DM_JOB_PORTABLE_H

#include "base/bytes.h"
#include "repo/catalog.h"
#include "repo/store.h"

#define ARCHIVE_FORMAT 1
#define ARCHIVE_MANIFEST "manifest.json"
#define ARCHIVE_SUMS "B2SUMS"
#define ARCHIVE_TEXT_MAX (16u << 20)
/* A line of B2SUMS. */
void portable_sum(struct buf *sums, const char *name, const void *p, size_t len);
/* Around the use of libarchive, which ends the program with code 1 where it has
 * no memory: that becomes DM_ENV. */
void portable_begin(void);
void portable_end(void);

/* Write c, whose record the caller holds, to fd.  level 0: not compressed,
 * else of zstd.  0 or -1 with *e. */
int portable_export(struct site *s, const struct checkpoint *c, int fd, int level, struct err *e);

struct import_how {
	const char *workload;	/* of which it becomes a checkpoint; NULL: the one it was of */
	bool recovery;		/* keep the recovery configuration: it names programs to run */
	bool left_out;		/* out: there was one, and it was not kept */
};
/* Read one from fd and make a checkpoint of it, in *out, the caller's.  Nothing
 * is made unless all of it was right.  0 or -1 with *e (DM_BAD: no such
 * archive, or damaged). */
int portable_import(struct site *s, int fd, struct import_how *how, struct checkpoint **out,
    struct err *e);

#endif
