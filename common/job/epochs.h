/* Epochs and barriers as a reader of chunks sees them.  Entries of later
 * epochs may overtake a barrier, those of earlier ones may not follow it, and
 * a barrier says how much was asked for before it. */
#ifndef DM_JOB_EPOCHS_H
#define DM_JOB_EPOCHS_H

#include "stream/record.h"

#define EPOCHS_AHEAD 64u	/* barriers that may be outstanding */

struct epochs {
	uint32_t now;		/* the epoch whose barrier comes next */
	uint64_t count, bytes;	/* of all epochs closed */
	struct barrier open[EPOCHS_AHEAD];	/* of now, now + 1, ... by number */
};

void epochs_init(struct epochs *x);
/* Is this the number of an epoch that is still open?  0 or -1 (DM_BAD). */
int epochs_check(const struct epochs *x, uint32_t epoch, struct err *e);
/* An entry of `count' indices and `bytes' was taken.  0 or -1 (DM_BAD). */
int epochs_take(struct epochs *x, uint32_t epoch, uint64_t count, uint64_t bytes, struct err *e);
/* Its barrier came: the numbers must agree.  0 or -1 (DM_BAD). */
int epochs_close(struct epochs *x, uint32_t epoch, const struct barrier *b, struct err *e);

#endif
