/* verify: everything in the store is read back, and every checkpoint is
 * checked to be whole. */
#ifndef DM_REPO_VERIFY_H
#define DM_REPO_VERIFY_H

#include "base/progress.h"
#include "repo/catalog.h"
#include "repo/pack.h"

struct verify_damage {
	struct id id;
	uint8_t type;		/* enum record_type */
	uint8_t pack[PACK_ID];
	uint32_t off;
	char *why;
};
struct verify_loss {		/* a disk of a checkpoint that is not whole; disk "": its record */
	char *workload, *disk, *why;
	uint64_t seq;
};
struct verify_report {
	uint64_t records, bytes, packs;
	uint64_t checkpoints;	/* that were checked */
	uint64_t outside;	/* disks that are not in the chunk store, and unread */
	uint64_t reread;	/* those that were read back (verify_outside) */
	bool locked;		/* encrypted, and no key: only checks were compared */
	struct verify_damage *damage;
	size_t ndamage;
	struct verify_loss *loss;
	size_t nloss;
};
/* Damaged records are taken out of the index, so that the next write stores
 * their content anew; an index that is at fault itself is rebuilt.  0, whatever was found; -1: it could not be done. */
int verify_run(struct site *s, struct progress *progress, struct verify_report *r, struct err *e);
/* The second half of it: walk all checkpoints and note what is lost. */
int verify_checkpoints(struct site *s, struct verify_report *r, struct err *e);
/* Note that a disk of a checkpoint is not whole. */
void verify_lost(struct verify_report *r, const char *workload, uint64_t seq, const char *disk,
    const char *why);
void verify_report_free(struct verify_report *r);

#endif
