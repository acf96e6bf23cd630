/* What must hold before an iteration may become a checkpoint. */
#include <stdio.h>

#include "base/bytes.h"
#include "job/commit_impl.h"

bool commit_in_store(const struct final *f)
{
	return !strncmp(f->point, "root:", 5);
}

/* --- HELLO: the base ---------------------------------------------------- */

static bool has_base(const struct disk *d)
{
	return (d->flags & DF_BASE_ROOT) || *d->base_point;
}

static bool is_base(const struct disk *d, const struct checkpoint_disk *is)
{
	if ((d->flags & DF_BASE_ROOT) && (is->has_root || is->has_tree))
		return (is->has_root && id_equal(&d->base_root, &is->root)) ||
		    (is->has_tree && id_equal(&d->base_root, &is->tree));
	return *d->base_point && !strcmp(d->base_point, is->source_point);
}

/* Which checkpoint of the workload has the state this disk starts from?  0 if
 * none. */
static uint64_t find_base(struct commit *c, const struct disk *d)
{
	struct err ignored = { 0 };
	struct checkpoint **v;
	uint64_t seq = 0;
	size_t n;

	if (catalog_list(c->site, c->how->workload, &v, &n, &ignored))
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct checkpoint_disk *is = checkpoint_disk(v[i], d->name);

		if (is && is_base(d, is))
			seq = v[i]->seq;
	}
	catalog_list_free(v, n);
	return seq;
}

static int refuse_base(struct commit *c, const struct disk *d, struct err *e)
{
	unsigned long long latest = c->latest->seq, found = find_base(c, d);
	char from[64] = "an unknown state";

	if (found)
		snprintf(from, sizeof(from), "checkpoint %llu", found);
	return err_set(e, DM_NO, "the changes of disk %s start from %s, but the latest of %s is "
	    "checkpoint %llu: --since, --against or --base must be made from that one",
	    d->name, from, c->how->workload, latest);
}

static int check_base(struct commit *c, const struct disk *d, struct err *e)
{
	const struct checkpoint_disk *is;

	if (!has_base(d))
		return 0;
	if (!c->latest)
		return err_set(e, DM_NO, "disk %s comes as changes, but %s has no checkpoint yet: "
		    "send a full iteration first", d->name, c->how->workload);
	is = checkpoint_disk(c->latest, d->name);
	if (!is)
		return err_set(e, DM_NO, "disk %s comes as changes, but checkpoint %llu of %s has no "
		    "such disk: send it in full", d->name, (unsigned long long)c->latest->seq,
		    c->how->workload);
	return is_base(d, is) ? 0 : refuse_base(c, d, e);
}

int commit_check_hello(struct commit *c, struct err *e)
{
	char session[33];

	hex_put(session, c->hello.session, sizeof(c->hello.session));
	c->again = c->latest && !strcmp(c->latest->session, session);
	if (c->again)
		return 0;
	if (c->hello.kind == KIND_IDS)
		return err_set(e, DM_BAD, "input: a stream of ids makes no checkpoint");
	if (c->hello.algo != c->site->algo)
		return err_set(e, DM_NO, "the stream uses %s, the site %s",
		    id_algo_name(c->hello.algo), id_algo_name(c->site->algo));
	for (uint32_t i = 0; i < c->hello.ndisks; i++)
		if (check_base(c, &c->hello.disk[i], e))
			return -1;
	if (commit_join(c, e)) {
		if (e->code != DM_NO)
			return -1;
		*e = (struct err){ 0 };	/* another kind of target; see FINAL */
	}
	return 0;
}

/* --- END ---------------------------------------------------------------- */

static int roots_agree(const struct commit *c, uint32_t disk, const struct id *want,
    const char *whose, struct err *e)
{
	const struct final *target = commit_final(c, disk, SIDE_TARGET);

	if (!(target->flags & FINAL_ROOT) || (target->flags & FINAL_PARTIAL) ||
	    id_equal(&target->root, want))
		return 0;
	return err_set(e, DM_BAD, "disk %s: what was written is not what was sent: its root differs "
	    "from %s", c->hello.disk[disk].name, whose);
}

static int check_disk(const struct commit *c, uint32_t i, struct err *e)
{
	const struct disk *d = &c->hello.disk[i];
	const struct final *source = commit_final(c, i, SIDE_SOURCE);

	if (!commit_final(c, i, SIDE_TARGET))
		return err_set(e, DM_BAD, "input: no FINAL from the target for disk %s", d->name);
	if (source && (source->flags & FINAL_ROOT) && !(source->flags & FINAL_PARTIAL) &&
	    roots_agree(c, i, &source->root, "the one its source found", e))
		return -1;
	if ((d->flags & DF_TARGET_ROOT) &&
	    roots_agree(c, i, &d->target_root, "the one announced", e))
		return -1;
	return 0;
}

int commit_check_end(struct commit *c, const struct tally *end, struct err *e)
{
	if (!iset_full(c->done, end->count))
		return err_set(e, DM_BAD, "input: %llu chunks were asked for, %llu acknowledged",
		    (unsigned long long)end->count, (unsigned long long)iset_count(c->done));
	if (!tally_equal(&c->tally, end))
		return err_set(e, DM_BAD, "input: what was acknowledged is not what END tells");
	if (c->last_epoch > c->durable_epoch)
		return err_set(e, DM_BAD, "input: epoch %u was written but never durable",
		    c->last_epoch);
	if (c->durable != end->count)
		return err_set(e, DM_BAD, "input: %llu chunks of %llu are durable",
		    (unsigned long long)c->durable, (unsigned long long)end->count);
	for (uint32_t i = 0; i < c->hello.ndisks; i++)
		if (check_disk(c, i, e))
			return -1;
	return 0;
}
