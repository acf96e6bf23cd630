/* Points of the disks of a running guest: see dm-point-qemu(1).
 *
 * A point is made by one transaction over all disks: a backup job that saves
 * what the guest is about to overwrite in a scratch image on top of the live
 * disk, a new dirty bitmap named after the point, and the end of the old one.
 * The scratch images are then served by QEMU's own NBD server. */
#ifndef DM_GUEST_POINT_H
#define DM_GUEST_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/qmp.h"

enum freeze { FREEZE_AUTO, FREEZE_NEVER, FREEZE_REQUIRE };

struct point_how {
	const char *qmp;	/* QEMU's monitor socket */
	const char *agent;	/* the guest agent's socket, or NULL */
	enum freeze freeze;
	const char *scratch;	/* directory for scratch images and the NBD socket */
	uint64_t limit;		/* bytes of one scratch image */
	const char *owner;	/* whose points these are */
	const char *base;	/* point the changes start from, or NULL */
	char **disk;		/* NAME=DEVICE */
	size_t ndisks;
};

struct point_disk {
	char *name;		/* in the workload */
	char *device;		/* as asked for */
	char *node;		/* QEMU's block node */
	uint64_t size;
	bool persistent;	/* can its image keep bitmaps? */
	bool since;		/* the bitmap of the base can be used */
	char *why;		/* why not, or NULL */
};

struct point {
	const struct point_how *how;
	struct qmp *q;
	int lock;		/* against a second holder, or -1 */
	char *dir;		/* of scratch images */
	char *socket;		/* of the NBD server */
	char *name;		/* of the point */
	struct point_disk *disk;
	size_t n;
	json_t *notes;		/* sentences */
	bool frozen;
};

/* Connect, take the lock and find the disks.  0, or -1 with *e. */
int point_open(struct point *p, const struct point_how *how, struct err *e);
/* The same over a monitor that is connected, which p owns from here on. */
int point_over(struct point *p, const struct point_how *how, struct qmp *q, struct err *e);
void point_close(struct point *p);		/* harmless after a failed open */

/* The directory for scratch images, which point_drop removes.  0 or -1. */
int point_dir_make(struct point *p, struct err *e);

/* ---- point_clean.c ---- */
/* Remove exports, jobs and scratch images of a dead run, or our own.  A guest
 * that stopped because scratch space was full goes on.  *found, when not NULL,
 * says whether there was any. */
int point_drop(struct point *p, bool *found, struct err *e);
/* Leave of the owner's bitmaps only the base's, made to hold all changes since
 * then; without a base none. */
int point_bitmaps(struct point *p, const char *base, struct err *e);

/* ---- point_make.c ---- */
int point_make(struct point *p, struct err *e);
/* The point as one JSON object, new. */
json_t *point_json(const struct point *p);

/* The owner's point or bitmap?  Names are "dm-OWNER-" and a time. */
bool point_is_ours(const struct point *p, const char *name);

/* Names of what belongs to disk i in QEMU begin so. */
#define POINT_PREFIX "dm-point-"

/* ---- hold.c ---- */
/* Make a point, say so on out, and keep it until a line on in ("committed" or
 * "abandoned"), the end of in or of life, or a fault.  0 or -1. */
int point_hold(const struct point_how *how, int in, int out, int life, struct err *e);
/* Remove what a dead run left; the base's bitmaps stay unless all is set. */
int point_clean(const struct point_how *how, bool all, struct err *e);

#endif
