/* Trackers: what tells which parts of one disk are to be looked at. */
#ifndef DM_JOB_TRACK_H
#define DM_JOB_TRACK_H

#include <stdio.h>

#include "base/extent.h"
#include "content/id.h"
#include "job/idfile.h"
#include "job/lane.h"
#include "volume/volume.h"

struct tracker;
struct tracker_ops {
	/* The next stretch of the disk, in rising order, into out (cleared
	 * first; it may come out empty): 1; 0 at the end; -1 with *e.  What is
	 * not named, or named EXT_SAME, is unchanged. */
	int (*next)(struct tracker *t, struct extents *out, struct err *e);
	void (*free)(struct tracker *t);
};

/* What a tracker calls about five times a second while it waits: not 0 stops
 * it (with *e). */
struct track_idle {
	int (*call)(void *arg, struct err *e);
	void *arg;
};

/* The common beginning of every tracker. */
struct tracker {
	const struct tracker_ops *ops;
	uint64_t pos;		/* bytes of the disk told about so far */
	bool reads;		/* takes time: worth progress */
	bool has_root;		/* at the end: the disk's content has this root */
	struct id root;
};
void tracker_free(struct tracker *t);

/* The volume's own word, since a point (NULL: what is not a hole). */
struct tracker *track_volume(struct volume *v, const char *since);

/* A scan: everything is read and compared with `old' (NULL: with nothing, all
 * is told); the ids found go into `new' (or NULL; a named one, whose marks can
 * be compared with old's), which is sealed at the end.
 * old and new stay the caller's. */
struct tracker *track_scan(struct volume *v, struct idfile *old,
    struct idfile *new, int algo, uint32_t chunk_size, struct lane_crew *crew,
    struct track_idle idle);

/* What the numbers in a map from elsewhere mean. */
enum map_meaning {
	MAP_CHANGES,	/* what changed; elsewhere the disk is its base */
	MAP_ALLOCATION,	/* what is allocated: for a full iteration */
	MAP_BITMAP,	/* qemu-img map of x-dirty-bitmap: data false is dirty */
};
/* A map read from f (the tracker's to close): JSON of qemu-img or nbdinfo, or
 * lines. */
struct tracker *track_map(FILE *f, const char *what, uint64_t size, enum map_meaning meaning);

#endif
