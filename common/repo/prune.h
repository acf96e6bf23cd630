/* prune: old checkpoints are dropped, and what nothing refers to any more is
 * removed from the store, while writers and readers go on (dm-repository(5)).
 *
 * Unreferenced records are first doomed: hidden from those who look for
 * content to reuse.  Sessions that were at work then may have found them
 * before.  Only when all of these have ended, and another mark has rescued
 * what they linked, are records deleted; until then this is left to the next
 * prune. */
#ifndef DM_REPO_PRUNE_H
#define DM_REPO_PRUNE_H

#include "repo/catalog.h"
#include "repo/retention.h"

struct prune_how {
	const char *workload;	/* drop only checkpoints of this one; NULL: of all */
	struct retention keep;
	uint64_t abandon;	/* give up interrupted sessions older than this (seconds) */
	bool forget_missing;	/* note records that are gone as given up */
	bool dry_run;
};
struct prune_report {
	struct checkpoint **dropped;
	size_t ndropped;
	struct checkpoint **held;	/* not kept, but read or pinned just now */
	size_t nheld;
	uint64_t kept;
	uint64_t abandoned;		/* sessions */
	uint64_t forgotten;		/* records that were gone */
	uint64_t doomed, doomed_bytes;	/* records that wait */
	uint64_t waits;			/* sessions they wait for */
	uint64_t deleted;		/* records */
	uint64_t packs_removed, packs_rewritten, packs_skipped;
	int64_t freed;			/* bytes; rewriting may cost some */
	uint64_t missing;		/* chunks referred to and not there */
};
/* 0 or -1; DM_NO when another prune is running. */
int prune_run(struct site *s, const struct prune_how *how, struct prune_report *r, struct err *e);
void prune_report_free(struct prune_report *r);

#endif
