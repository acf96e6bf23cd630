/* verify: the catalog is held against links that were noted elsewhere. */
#ifndef DM_JOB_VERIFY_EXPECT_H
#define DM_JOB_VERIFY_EXPECT_H

#include <jansson.h>

#include "repo/verify.h"

/* What was noted: what `list --json' or `show --json' printed.  Of each
 * workload the newest noted checkpoint that is still there must have the link
 * that was noted, and the chain must lead to it from the newest; what does not
 * is a loss.  Those that were found so are added to *found, an array.  0,
 * whatever was found; -1 (DM_USAGE: it is not what was printed). */
int verify_expect(struct site *s, const json_t *noted, struct verify_report *r, json_t *found, struct err *e);

#endif
