/* Sessions: iterations in progress, as files in open/ (dm-repository(5)).
 * A session file is locked (shared, OFD) by dm-write and dm-checkpoint for as
 * long as they work on it and is made before the first look-up in the index;
 * its roots count for prune.  In an object store each of them holds a lease
 * beside that. */
#ifndef DM_REPO_SESSION_H
#define DM_REPO_SESSION_H

#include "base/err.h"
#include "content/id.h"
#include "repo/site.h"

struct session_disk {
	char *name;
	uint64_t size;
	uint32_t block;
	bool full, frozen, has_base, has_partial, has_final, has_resume;
	struct id base;		/* root of the base */
	struct id partial;	/* root of what is durable so far */
	struct id resume;	/* partial root of an interrupted iteration of
				 * another (or an unknown) target point: good only
				 * for chunks whose id is known to be wanted */
	struct id final;	/* root once finalized */
	char *base_point, *target_point;
	char *work;		/* outside: names what holds the content, "" if
				 * nobody can go on with it */
};
struct session {
	char *name;		/* hex of the 16 session bytes */
	int fd;			/* locked; -1: only read */
	struct lease *lease;	/* in an object store, beside it; NULL: only read */
	bool committing;	/* it had begun to commit, and may still come to it */
	int64_t started;
	uint32_t epoch;		/* last durable */
	struct session_disk *disk;
	size_t ndisks;
	char *workload;		/* "" until known */
	bool outside;		/* content goes to other targets: roots are those of
				 * trees of ids alone */
};
/* Take over the unlocked session of an interrupted iteration with the same
 * workload, disks and bases, renamed to this session; else make a new one.
 * What it had becomes a disk's `partial' where both target points are frozen
 * and equal, else its `resume', or nothing when its content is outside.  DM_NO: such a session is still at work.
 * `want' gives workload, names, sizes, bases, points. */
struct session *session_begin(struct site *s, const uint8_t id[16], const struct session *want, struct err *e);
/* Join one that exists, by id (dm-checkpoint). DM_NO if there is none. */
struct session *session_join(struct site *s, const uint8_t id[16], struct err *e);
/* The session that session_begin would take over, read only and unlocked (fd
 * -1), its disks in the order and with the meaning session_begin gives them; or
 * NULL with e->code 0. */
struct session *session_find(struct site *s, const struct session *want, struct err *e);
/* Settle, for a site in an object store, that this session and nobody else
 * decides about its commit as checkpoint seq of workload: from then on nobody
 * takes it for given up, and the record may be made.  DM_NO: it fell silent,
 * and was given up. */
int session_decide(struct site *s, struct session *se, const char *workload, uint64_t seq, struct err *e);
/* See to it that one that is not alive cannot commit any more. */
int session_fence(struct site *s, const char *name, struct err *e);
/* Write the state (replace, synced). */
int session_save(struct site *s, struct session *se, struct err *e);
/* Remove the file: committed, or explicitly abandoned. */
int session_end(struct site *s, struct session *se, struct err *e);
/* Give up one that nobody works on, by its name: 0 removed, or it was gone; 1
 * someone works on it; -1 (DM_USAGE: no name of a session). */
int session_abandon(struct site *s, const char *name, struct err *e);
void session_close(struct session *se);		/* keeps the file */
/* All of them; (*alive)[i]: someone holds the lock.  One that has just begun
 * has no disks yet.  A state that cannot be read is DM_BAD: its roots are not
 * known, so nothing may be removed.  Close each, free both arrays. */
int session_list(struct site *s, struct session ***out, bool **alive, size_t *n, struct err *e);

#endif
