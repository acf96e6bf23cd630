/* Inside the catalog: its directories and file names. */
#ifndef DM_REPO_CATALOG_DIR_H
#define DM_REPO_CATALOG_DIR_H

#include "repo/catalog.h"

#define CATALOG_NAME 32		/* room for "18446744073709551615.json" */

/* catalog/WORKLOAD, made when `make' is set.  fd; -1 with *e, or with e->code
 * 0 when it is not there. */
int catalog_dir(struct site *s, const char *workload, bool make, struct err *e);

/* "SEQ.json" or "SEQ.pin" into name. */
char *catalog_name(char name[CATALOG_NAME], uint64_t seq, const char *suffix);

/* "catalog/WORKLOAD/SEQ.json", for files.h. */
#define CATALOG_PATH 128
char *catalog_file(char path[CATALOG_PATH], const char *workload, uint64_t seq, const char *suffix);

/* What a sealed record is bound to: "checkpoint WORKLOAD/SEQ". */
#define CATALOG_PLACE 128
char *catalog_place(char place[CATALOG_PLACE], const char *workload, uint64_t seq);

#endif
