/* What a site holds already, whatever it came from: by content. */
#ifndef DM_JOB_HAVE_H
#define DM_JOB_HAVE_H

#include "stream/record.h"

struct have;
/* NULL with *e. */
struct have *have_open(const char *site, const struct hello *h, struct err *e);
void have_close(struct have *x);
/* These entries of an input will be classified. */
void have_expect(struct have *x, const struct id *v, size_t n);
/* FT_REF when the site holds the content of this entry of one chunk, as far as
 * its id tells, else FT_DESC; -1 with *e. */
int have_classify(struct have *x, const struct entry *en, struct err *e);

#endif
