/* dm-recv without workers: chunks in, verified, out. */
#ifndef DM_JOB_FILTER_H
#define DM_JOB_FILTER_H

#include <stdbool.h>

#include "base/err.h"

struct seal;

struct filter_options {
	bool verify;	/* compare the content of whole chunks with their ids */
	struct seal *unseal;	/* of the input, or NULL */
	bool progress;
};

/* From standard input to standard output.  0, or -1 with *e, which is quiet
 * when an ABORT told it. */
int filter_run(const struct filter_options *o, struct err *e);

#endif
