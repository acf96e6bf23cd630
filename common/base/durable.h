/* Making things durable.  A failed fsync is final: callers stop. */
#ifndef DM_BASE_DURABLE_H
#define DM_BASE_DURABLE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* fsync the directory `path' (relative to dirfd).  0 or -1 with *e. */
int durable_dir(int dirfd, const char *path, struct err *e);

/* The same of the directory that `name' (relative to dirfd) stands in. */
int durable_name(int dirfd, const char *name, struct err *e);
/* The directory part of a name, "." if it has none; an allocation. */
char *durable_parent(const char *name);

/* Create `name' under dirfd with these bytes, only if it does not exist yet:
 * temporary file, fsync, linkat, fsync of the directory.  Mode 0600.
 * 0; 1 if the name existed; -1 with *e. */
int durable_create(int dirfd, const char *name, const void *p, size_t len,
    struct err *e);

/* The same, replacing what is there (rename).  0 or -1 with *e. */
int durable_replace(int dirfd, const char *name, const void *p, size_t len,
    struct err *e);

/* fdatasync / fsync with the error recorded against `what'. */
int durable_sync(int fd, const char *what, struct err *e);

/* mkdir -p of an absolute or relative path, mode 0700, parents synced. */
int durable_mkdirs(const char *path, struct err *e);

/* An unlinked temporary file (in $TMPDIR, else /var/tmp); fd or -1 with *e. */
int durable_tmp(struct err *e);

#endif
