/* What a target of one state holds, written down beside it, so that a wrong
 * base is refused.  True at every moment: before the first byte of a step it
 * says, durably, that the target is between two states. */
#ifndef DM_VOLUME_TARGET_RECORD_H
#define DM_VOLUME_TARGET_RECORD_H

#include <stdbool.h>

#include "volume/volume.h"

struct target_state {
	char *point;		/* the source's point, "" if unknown */
	bool has_root;
	struct id root;
};
struct target_record {
	enum { RECORD_NONE, RECORD_WRITING, RECORD_COMPLETE } state;
	int algo;
	struct target_state base;	/* RECORD_WRITING: what it was */
	struct target_state target;	/* what it is, or is becoming */
	bool full, frozen;
	char *identity;		/* the driver's name of the thing written to */
	char *site, *session;	/* whose step it is, in digits; "" if unknown */
};
int target_record_load(const char *path, struct target_record *r, struct err *e);	/* RECORD_NONE: no such file */
int target_record_save(const char *path, const struct target_record *r, struct err *e);
void target_record_free(struct target_record *r);
/* Does the record say that its target holds the base that `how' names? */
bool target_record_is_base(const struct target_record *r, const struct volume_how *how);
/* Is it a step from that base, or from none, to the same frozen state, that was
 * interrupted, or complete and yet is asked for again?  Then to make it once more
 * comes to the same. */
bool target_record_resumes(const struct target_record *r, const struct volume_how *how);
/* May the step that `how' asks for follow what the record, kept at `path',
 * says?  0, or -1 with DM_NO that begins with the volume's uri. */
int target_record_admit(const struct target_record *r, const char *path, const char *uri,
    const struct volume_how *how, struct err *e);
/* Fill the record for the step that `how' asks for. */
void target_record_step(struct target_record *r, const struct volume_how *how);
/* It is of the site and the session that `how' names. */
void target_record_own(struct target_record *r, const struct volume_how *how);
/* The step is done: the target holds this state, and is known as `identity',
 * which becomes the record's. */
void target_record_done(struct target_record *r, const char *point, const struct id *root,
    char *identity);

#endif
