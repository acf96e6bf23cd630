/* What a reader of chunks has taken: each index once, in open epochs, and in
 * the end what END stands for. */
#ifndef DM_JOB_TAKEN_H
#define DM_JOB_TAKEN_H

#include "base/extent.h"
#include "job/epochs.h"

struct taken {
	const struct hello *h;
	struct epochs epochs;
	struct iset *seen;	/* indices taken */
	struct iset *refs;	/* of those, the ones that came as references */
	struct iset *redone;	/* of those, the ones that came again as data */
	struct tally tally;
};
/* h outlives it. */
void taken_init(struct taken *t, const struct hello *h);
void taken_free(struct taken *t);
/* An entry in a frame of this type.  A reference that the target could not
 * follow comes a second time, with data, and counts once: then 1, else 0, or
 * -1 with *e (DM_BAD). */
int taken_add(struct taken *t, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, struct err *e);
/* END: does it stand for this?  0 or -1 (DM_BAD). */
int taken_end(const struct taken *t, const struct tally *end, const char *what, struct err *e);

#endif
