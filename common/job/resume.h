/* Taking up an interrupted iteration: which entries its session has already. */
#ifndef DM_JOB_RESUME_H
#define DM_JOB_RESUME_H

#include "stream/record.h"

struct resume;
/* Look in the site for the session this stream would take over.  Having none
 * is no failure: nothing is held then.  NULL with *e. */
struct resume *resume_open(const char *site, const struct hello *h, struct err *e);
void resume_close(struct resume *r);
/* FT_HELD when the session holds what this entry of one chunk asks for, else
 * FT_DESC; -1 with *e. */
int resume_classify(struct resume *r, uint32_t disk, const struct entry *en, struct err *e);

#endif
