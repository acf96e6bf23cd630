/* Does a record agree with those around it? */
#include <stdlib.h>

#include "repo/catalog_chain.h"

/* The records that are there next to number seq of a workload: NULL where
 * there is none that can be read.  0 or -1. */
static int neighbours(struct site *s, const struct checkpoint *c, struct checkpoint **older,
    struct checkpoint **newer, struct err *e)
{
	uint64_t *seq, below = 0, above = 0;
	struct err skip = { 0 };
	size_t n;

	if (catalog_seqs(s, c->workload, &seq, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (seq[i] < c->seq)
			below = seq[i];
		if (seq[i] > c->seq && !above)
			above = seq[i];
	}
	free(seq);
	*older = below ? catalog_read(s, c->workload, below, &skip) : NULL;
	*newer = above ? catalog_read(s, c->workload, above, &skip) : NULL;
	return 0;
}

static int contradiction(const struct checkpoint *a, const struct checkpoint *b, struct err *e)
{
	return err_set(e, DM_NO, "checkpoints %llu and %llu of %s do not belong together: the record "
	    "of one was replaced after it was made; dm-checkpoint verify says more",
	    (unsigned long long)a->seq, (unsigned long long)b->seq, a->workload);
}

int catalog_trust(struct site *s, const struct checkpoint *c, struct err *e)
{
	struct checkpoint *older = NULL, *newer = NULL;
	struct pruned p = { 0 };
	uint64_t at;
	int rc = neighbours(s, c, &older, &newer, e);

	/* Read after them: what was dropped before is in it. */
	if (rc == 0 && ((older && older->seq + 1 < c->seq) || (newer && c->seq + 1 < newer->seq)))
		rc = pruned_read(s, c->workload, &p, e);
	if (rc == 0 && older && chain_follow(&p, older, c, NULL, &at) == CHAIN_BROKEN)
		rc = contradiction(older, c, e);
	if (rc == 0 && newer && chain_follow(&p, c, newer, NULL, &at) == CHAIN_BROKEN)
		rc = contradiction(c, newer, e);
	pruned_free(&p);
	checkpoint_free(older);
	checkpoint_free(newer);
	return rc;
}
