/* dm-recv with workers: requests in, chunks of 1..N workers out. */
#ifndef DM_JOB_WORKERS_H
#define DM_JOB_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct key;

#define WORKERS_MAX 64

struct workers_options {
	char ***command;	/* different ones, each NULL at its end */
	size_t ncommands;
	uint64_t streams;	/* how many workers of each; WORKERS_MAX of all */
	uint64_t timeout;	/* seconds; a worker that owes and is silent is hung */
	uint64_t give_up;	/* seconds without anything from any worker */
	void (*warn)(const char *text);	/* what is amiss and does not end it; or NULL */
	const struct key *key;	/* to talk sealed; NULL: plain */
	bool pad;
	bool progress;
};

/* From standard input to standard output, which are made non-blocking and
 * put back.  0, or -1 with *e, which is quiet when an ABORT told it. */
int workers_run(const struct workers_options *o, struct err *e);

#endif
