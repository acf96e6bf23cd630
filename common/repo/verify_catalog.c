/* verify: are the checkpoints whole? */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/catalog_chain.h"
#include "repo/tree_check.h"
#include "repo/verify.h"

void verify_lost(struct verify_report *r, const char *workload, uint64_t seq, const char *disk,
    const char *why)
{
	r->loss = x_grow(r->loss, r->nloss + 1, sizeof(*r->loss));
	r->loss[r->nloss++] = (struct verify_loss){
		.workload = x_strdup(workload), .disk = x_strdup(disk), .why = x_strdup(why),
		.seq = seq,
	};
}

/* The tree of a disk's state that is here, or NULL. */
static const struct id *tree_of(const struct checkpoint_disk *d)
{
	return checkpoint_disk_stored(d) ? &d->root : d->has_tree ? &d->tree : NULL;
}

/* Was this disk of the checkpoint before found whole?  Then only what differs
 * needs a look. */
static const struct id *whole_before(const struct verify_report *r, const struct checkpoint *before,
    const char *workload, const char *disk, bool stored)
{
	const struct checkpoint_disk *d;

	if (!before)
		return NULL;
	d = checkpoint_disk(before, disk);
	if (!d || !tree_of(d) || checkpoint_disk_stored(d) != stored)
		return NULL;
	for (size_t i = 0; i < r->nloss; i++)
		if (r->loss[i].seq == before->seq &&
		    !strcmp(r->loss[i].workload, workload) &&
		    !strcmp(r->loss[i].disk, disk))
			return NULL;
	return tree_of(d);
}

static int check_disk(struct verify_report *r, struct tree_check *t, const struct checkpoint *c,
    const struct checkpoint_disk *d, const struct checkpoint *before, struct err *e)
{
	bool stored = checkpoint_disk_stored(d);
	const struct id *known = whole_before(r, before, c->workload, d->name, stored);

	return stored ? tree_check_root(t, tree_of(d), known, e) : tree_check_ids(t, tree_of(d), known, e);
}

static int check_checkpoint(struct verify_report *r, struct tree_check *t, const struct checkpoint *c,
    const struct checkpoint *before, struct err *e)
{
	for (size_t i = 0; i < c->ndisks; i++) {
		const struct checkpoint_disk *d = &c->disk[i];
		struct err why = { 0 };

		r->outside += !checkpoint_disk_stored(d);
		if (!tree_of(d) || check_disk(r, t, c, d, before, &why) == 0)
			continue;
		if (why.code == DM_ENV) {
			*e = why;
			return -1;
		}
		verify_lost(r, c->workload, c->seq, d->name, why.text);
	}
	r->checkpoints++;
	return 0;
}

/* The walk over the catalog; `before' is held, so that it can be compared with. */
struct walk {
	struct site *site;
	struct verify_report *r;
	struct tree_check *t;
	struct checkpoint *before;
	int held;
	bool torn;		/* a record since `before' could not be read */
	struct pruned pruned;	/* of this workload, once it was needed */
};

static void note_break(struct walk *w, const struct checkpoint *c, uint64_t at)
{
	const struct checkpoint *older = w->before;
	char why[160];

	if (at == c->seq)
		snprintf(why, sizeof(why), "it is not chained to the one before, which is: it was replaced");
	else if (older && at == older->seq)
		snprintf(why, sizeof(why), "it is not the one that checkpoint %llu was made after: "
		    "one of the two was replaced", (unsigned long long)c->seq);
	else
		snprintf(why, sizeof(why), "what is noted of it, which was pruned, does not fit "
		    "checkpoint %llu: note or checkpoint were replaced", (unsigned long long)c->seq);
	verify_lost(w->r, c->workload, at ? at : c->seq, "", why);
}

/* Is `before' what c was made after? */
static int check_chain(struct walk *w, const struct checkpoint *c, struct err *e)
{
	const struct checkpoint *older = w->before;
	enum chain_state state;
	char why[160];
	uint64_t at;

	if (w->torn)
		return 0;
	state = chain_follow(&w->pruned, older, c, NULL, &at);
	if (state == CHAIN_MISSING || state == CHAIN_CUT) {
		pruned_free(&w->pruned);
		if (pruned_read(w->site, c->workload, &w->pruned, e))
			return -1;
		state = chain_follow(&w->pruned, older, c, NULL, &at);
	}
	if (state == CHAIN_BROKEN)
		note_break(w, c, at);
	if (state == CHAIN_MISSING)
		verify_lost(w->r, c->workload, at, "", "it is gone, and prune did not drop it");
	if (state == CHAIN_CUT) {
		snprintf(why, sizeof(why), "it was pruned, and what was noted of it is gone: nothing "
		    "links checkpoint %llu to those before it", (unsigned long long)c->seq);
		verify_lost(w->r, c->workload, at, "", why);
	}
	return 0;
}

/* One record; what cannot be read is a loss, and the others are looked at. */
static int walk_seq(struct walk *w, const char *workload, uint64_t seq, struct err *e)
{
	struct err why = { 0 };
	struct checkpoint *c = catalog_read(w->site, workload, seq, &why);
	int rc, fd;

	if (!c && why.code == DM_BAD) {
		verify_lost(w->r, workload, seq, "", why.text);
		w->torn = true;
		return 0;
	}
	fd = c ? catalog_hold(w->site, c, &why) : -1;
	if (fd < 0) {
		checkpoint_free(c);
		if (why.code == DM_NO)
			return 0;	/* pruned meanwhile */
		*e = why;
		return -1;
	}
	rc = check_chain(w, c, e) || check_checkpoint(w->r, w->t, c, w->before, e) ? -1 : 0;
	w->torn = false;
	checkpoint_free(w->before);
	w->before = c;
	fd_close(w->held);
	w->held = fd;
	return rc;
}

static int walk_workload(struct walk *w, const char *workload, struct err *e)
{
	uint64_t *seq;
	size_t n;
	int rc = 0;

	if (catalog_seqs(w->site, workload, &seq, &n, e))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = walk_seq(w, workload, seq[i], e);
	free(seq);
	pruned_free(&w->pruned);
	checkpoint_free(w->before);
	fd_close(w->held);
	w->before = NULL;
	w->held = -1;
	w->torn = false;
	return rc;
}

int verify_checkpoints(struct site *s, struct verify_report *r, struct err *e)
{
	struct walk w = { .site = s, .r = r, .held = -1, .t = tree_check_new(s, e) };
	char **names;
	size_t n;
	int rc = 0;

	if (!w.t)
		return -1;
	if (catalog_workloads(s, &names, &n, e)) {
		tree_check_free(w.t);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = walk_workload(&w, names[i], e);
	catalog_names_free(names, n);
	tree_check_free(w.t);
	return rc;
}
