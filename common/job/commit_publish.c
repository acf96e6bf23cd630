/* From a checked iteration to a record. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "job/commit_impl.h"
#include "repo/tree_check.h"

int commit_join(struct commit *c, struct err *e)
{
	c->session = session_join(c->site, c->hello.session, e);
	return c->session ? 0 : -1;
}

/* Of changes: the disk in the latest checkpoint, which was checked when it was
 * made, so only what differs from it needs a look.  Whoever sends all of a disk
 * may do so because some of it was lost. */
static const struct checkpoint_disk *known(const struct commit *c, const char *disk)
{
	return c->latest && c->hello.kind == KIND_INCREMENTAL ? checkpoint_disk(c->latest, disk) : NULL;
}

static const struct id *known_root(const struct commit *c, const char *disk)
{
	const struct checkpoint_disk *d = known(c, disk);

	return d && checkpoint_disk_stored(d) && !d->partial ? &d->root : NULL;
}

static const struct id *known_tree(const struct commit *c, const char *disk)
{
	const struct checkpoint_disk *d = known(c, disk);

	return d && d->has_tree ? &d->tree : NULL;
}

/* The tree of ids that dm-write left for a disk whose content is elsewhere. */
static const struct id *tree_left(const struct commit *c, uint32_t i)
{
	for (size_t k = 0; c->session && c->session->outside && k < c->session->ndisks; k++) {
		const struct session_disk *d = &c->session->disk[k];

		if (!strcmp(d->name, c->hello.disk[i].name))
			return d->has_final ? &d->final : NULL;
	}
	return NULL;
}

/* The session as its writer left it. */
static int join_again(struct commit *c, struct err *e)
{
	struct session *before = c->session;

	if (!before || !before->outside)
		return 0;
	if (commit_join(c, e)) {
		c->session = before;
		return -1;
	}
	session_close(before);
	return 0;
}

/* Every chunk and node of what goes into the record must be there; the
 * session, which keeps prune away, must be ours. */
static int check_store(struct commit *c, struct err *e)
{
	struct tree_check *check = NULL;
	int rc = join_again(c, e);

	for (uint32_t i = 0; rc == 0 && i < c->hello.ndisks; i++) {
		const struct final *f = commit_final(c, i, SIDE_TARGET);
		const struct id *tree = tree_left(c, i);
		bool stored = commit_in_store(f);

		if (!stored && !tree)
			continue;
		if (!check)
			check = tree_check_new(c->site, e);
		if (check)
			rc = stored ? tree_check_root(check, &f->root, known_root(c, c->hello.disk[i].name), e) :
			    tree_check_ids(check, tree, known_tree(c, c->hello.disk[i].name), e);
		else
			rc = -1;
		if (rc && e->code == DM_BAD)
			e->code = DM_NO;	/* not the acks are wrong, but what they tell of */
		if (rc)
			err_prefix(e, "disk %s", c->hello.disk[i].name);
	}
	tree_check_free(check);
	return rc;
}

/* Nobody may give the session up any more, before what it has is checked. */
static int decide(struct commit *c, struct err *e)
{
	return c->session ? session_decide(c->site, c->session, c->how->workload, c->latest ? c->latest->seq + 1 : 1, e) : 0;
}

/* Something that was written was lost: whoever took this session up again would
 * take it for done again. */
static void give_up(struct commit *c, const struct err *e)
{
	struct err ignored = { 0 };

	if (e->code == DM_NO && c->session)
		session_end(c->site, c->session, &ignored);
}

/* The session in whose chunk store the new states are. */
static int join_for_store(struct commit *c, struct err *e)
{
	for (uint32_t i = 0; !c->session && i < c->hello.ndisks; i++)
		if (commit_in_store(commit_final(c, i, SIDE_TARGET)) && commit_join(c, e))
			return err_prefix(e, "disk %s is in a chunk store, but not through a session "
			    "of %s", c->hello.disk[i].name, c->site->path);
	return 0;
}

static void fill_disk(const struct commit *c, uint32_t i, struct checkpoint_disk *out)
{
	const struct disk *d = &c->hello.disk[i];
	const struct final *source = commit_final(c, i, SIDE_SOURCE);
	const struct final *target = commit_final(c, i, SIDE_TARGET);
	const struct id *tree = commit_in_store(target) ? NULL : tree_left(c, i);
	bool from_source = source && *source->point;

	out->name = x_strdup(d->name);
	out->size = d->size;
	out->block = d->block;
	out->has_root = target->flags & FINAL_ROOT;
	out->partial = target->flags & FINAL_PARTIAL;
	out->root = target->root;
	out->has_tree = tree;
	if (tree) {
		out->tree = *tree;
		out->partial = !out->has_root || !id_equal(&out->root, tree);
	}
	out->point = x_strdup(target->point);
	out->source_point = x_strdup(from_source ? source->point : d->target_point);
	out->changed = c->disk[i].changed;
}

static struct checkpoint *make_record(const struct commit *c)
{
	struct checkpoint *r = x_alloc(sizeof(*r));

	r->workload = x_strdup(c->how->workload);
	checkpoint_follow(c->site, r, c->latest);
	hex_put(r->session, c->hello.session, sizeof(c->hello.session));
	r->algo = c->hello.algo;
	r->started = c->session ? c->session->started : c->began;
	r->time = c->how->time ? c->how->time : r->started;
	r->committed = time_now();
	r->kind = x_strdup(c->hello.kind == KIND_INCREMENTAL ? "incremental" : "full");
	r->chunks = c->tally.count;
	r->recovery = json_incref(c->how->recovery);
	r->ndisks = c->hello.ndisks;
	r->disk = x_array(r->ndisks, sizeof(*r->disk));
	for (uint32_t i = 0; i < c->hello.ndisks; i++) {
		fill_disk(c, i, &r->disk[i]);
		r->changed += r->disk[i].changed;
		r->stored += commit_final(c, i, SIDE_TARGET)->stored;
	}
	return r;
}

int commit_publish(struct commit *c, struct checkpoint **out, struct err *e)
{
	struct checkpoint *r;

	if (c->again) {
		*out = c->latest;
		c->latest = NULL;
		return 0;
	}
	if (join_for_store(c, e) || decide(c, e))
		return -1;
	if (check_store(c, e)) {
		give_up(c, e);
		return -1;
	}
	r = make_record(c);
	if (catalog_commit(c->site, r, e)) {
		checkpoint_free(r);
		return -1;
	}
	*out = r;
	if (c->session && session_end(c->site, c->session, e))
		return err_prefix(e, "checkpoint %llu of %s is committed, but its session was left "
		    "behind", (unsigned long long)r->seq, r->workload);
	return 0;
}
