/* Catalog records as text: one JSON object per checkpoint. */
#ifndef DM_REPO_CATALOG_RECORD_H
#define DM_REPO_CATALOG_RECORD_H

#include "repo/catalog.h"

#define RECORD_FORMAT 1
#define RECORD_MAX (16u << 20)		/* bytes of one record */
#define RECORD_DISKS_MAX 1024
#define RECORD_POINT_MAX 4096

/* Parse and check a record; the caller owns the result.  DM_BAD when anything
 * is missing, out of range or contradictory.  `pinned' is left false. */
struct checkpoint *checkpoint_parse(const char *text, size_t len, struct err *e);

/* The record of c; a reference of the caller. */
json_t *checkpoint_record(const struct checkpoint *c);

/* Is this checkpoint fit to be written?  0 or -1 (DM_BAD). */
int checkpoint_check(const struct checkpoint *c, struct err *e);

#define RECORD_CHECK 24u
/* Put the check into a record that is about to be written; 0 or -1. */
int record_check_put(json_t *o, struct err *e);
/* Does a record agree with the check in it?  0 or -1 (DM_BAD); one without a
 * check does. */
int record_check(const json_t *o, struct err *e);

#endif
