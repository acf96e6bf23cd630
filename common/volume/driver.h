/* What a driver is: one table of operations.  The core (volume.c) supplies
 * what a NULL callback leaves out, checks ranges and tilings, and keeps the
 * message.  A driver never prints, never exits, includes no other driver. */
#ifndef DM_VOLUME_DRIVER_H
#define DM_VOLUME_DRIVER_H

#include <pthread.h>

#include "base/uri.h"
#include "volume/volume.h"

struct volume {
	const struct driver *drv;
	void *priv;			/* the driver's */
	char *uri;
	uint64_t size;			/* set by open */
	struct volume_limits limits;	/* set by open; 0: core's defaults */
	bool writable;
	bool wants_ids;
	bool write_only;		/* set by open: read fails */
	char *work;			/* set by open, see volume_work; NULL: "" */
	bool resumes;			/* set by open */
	bool unproved;			/* set by open, see driver_unproved */
	uint32_t chunk_size;
	struct volume_group *group;
	pthread_mutex_t lock;		/* of err */
	struct err err;			/* the first failure; written through
					 * volume_fail, except in open */
};

/* Record "URI: text: strerror" and return -errnum (the first failure's text is
 * kept).  ESTALE, ENOTSUP, EPERM (refusals: DM_NO) and EBADMSG (DM_BAD) carry
 * the text alone; all others are DM_ENV. */
int volume_fail(struct volume *v, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a failure that has its text already: "URI: text". */
int volume_fail_err(struct volume *v, const struct err *e);

/* A target whose base nothing proves was refused in v->err: when the caller
 * will verify it by reading, forget that and mark the volume.  0 or -1. */
int driver_unproved(struct volume *v, const struct volume_how *how);

struct driver {
	const char *scheme;	/* "file"; several are separated by spaces */
	bool keeps_ids;		/* targets keep the ids of what they hold */
	int (*open)(struct volume *v, const struct uri *u, const struct volume_how *how);	/* required; fills v->err on failure */
	void (*close)(struct volume *v);	/* required */
	int (*read)(struct volume *v, void *p, size_t len, uint64_t off);	/* NULL: cannot be a source */
	int (*write)(struct volume *v, const void *p, size_t len, uint64_t off);	/* NULL: only put, or no target */
	int (*zero)(struct volume *v, uint64_t off, uint64_t len);	/* NULL: core writes zeros */
	int (*extents)(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);	/* NULL: all DATA, since refused */
	char *(*base_point)(struct volume *v, const char *since);	/* NULL: since is refused */
	int (*put)(struct volume *v, struct volume_chunk *c);	/* NULL: write/zero pieces */
	int (*put_zero)(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch);	/* NULL: zero */
	int (*held)(struct volume *v, uint64_t off, uint32_t len, const struct id *id);	/* NULL: 0 */
	int (*ref)(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch);	/* NULL: 0 */
	int (*get_stored)(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len);	/* NULL: 0 */
	int (*flush)(struct volume *v, uint32_t epoch);	/* NULL: nothing to do */
	int (*group_flush)(struct volume_group *g, uint32_t epoch);	/* set: called once for the group instead of flush */
	char *(*point)(struct volume *v, bool *frozen);	/* NULL: "" */
	int (*sweep)(const struct uri *u, const struct volume_sweep *how, struct volume_swept *out, struct err *e);	/* NULL: its points are files, or the store's */
	int (*finalize)(struct volume *v, const char *source_point, const struct id *source_root, struct volume_final *f);	/* NULL: nothing to do */
};

/* Shared state of a group: the first volume of a driver hangs it here. */
struct volume_group {
	struct volume **member;
	size_t n;
	void *shared;			/* the driver's; freed with shared_free
					 * when the group is */
	const struct driver *shared_by;
	void (*shared_free)(void *shared);
};

/* volume_group.c, for volume.c */
void volume_group_join(struct volume_group *g, struct volume *v);
void volume_group_leave(struct volume_group *g, const struct volume *v);

/* drivers.c: the only place that names drivers. */
const struct driver *driver_find(const char *scheme);
/* A URI in parts, the caller's, and its driver; NULL with *e. */
const struct driver *driver_of(const char *uri, struct uri *u, struct err *e);
/* What a scheme's driver needs, if it is one that is loaded; NULL for all
 * others.  Of use when driver_find did not find it. */
const char *driver_lacks(const char *scheme);

#endif
