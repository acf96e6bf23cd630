/* What the files of prune share. */
#ifndef DM_REPO_PRUNE_PRIV_H
#define DM_REPO_PRUNE_PRIV_H

#include "repo/lease.h"
#include "repo/mark.h"
#include "repo/prune.h"

struct prune {
	struct site *site;
	struct store *st;	/* NULL in a dry run */
	const struct prune_how *how;
	struct prune_report *report;
	bool gave_reserve;
};

/* prune_doom.c: the first phase. */
/* Show again what is marked, and, when more is to be doomed, hide what is not.
 * Counts what is doomed then. */
int prune_doom(struct prune *p, const struct mark *m, bool more, struct err *e);
/* May what was doomed be deleted?  1, 0, -1.  `fresh': it was doomed just now,
 * so every session alive counts; else those noted earlier. */
int prune_may_delete(struct prune *p, bool fresh, struct err *e);
/* Forget whom the doomed records wait for. */
int prune_forget(struct prune *p, struct err *e);

/* prune_sweep.c: the second. */
/* Delete doomed records that are not marked. */
int prune_sweep(struct prune *p, const struct mark *m, struct err *e);

static inline bool prune_deletable(const struct mark *m, const struct index_entry *en)
{
	return en->doomed && !mark_has(m, en->ordinal);
}

#endif
