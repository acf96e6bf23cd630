#include "job/session_want.h"

#include "base/bytes.h"
#include "repo/catalog.h"

static int fill_base(struct site *s, const struct disk *d, bool outside, struct session_disk *sd,
    bool *partial, struct err *e)
{
	bool root = d->flags & DF_BASE_ROOT;
	struct catalog_base base;
	int rc;

	if (sd->full)
		return 1;
	rc = catalog_find_base(s, outside ? TREE_IDS : TREE_STORED, d->name, root ? &d->base_root : NULL,
	    d->base_point, &base, e);
	if (rc < 0 || (rc == 0 && !outside))
		return rc;
	sd->has_base = rc;
	if (rc)
		sd->base = base.tree;
	if (partial)
		*partial = !rc || base.partial;
	return 1;
}

int session_want(struct site *s, const struct hello *h, bool outside, struct session *want,
    bool *partial, struct err *e)
{
	int rc = 1;

	want->workload = h->workload;
	want->outside = outside;
	want->ndisks = h->ndisks;
	want->disk = x_array(h->ndisks, sizeof(*want->disk));
	for (uint32_t i = 0; rc > 0 && i < h->ndisks; i++) {
		const struct disk *d = &h->disk[i];

		want->disk[i] = (struct session_disk){
			.name = d->name, .size = d->size, .block = d->block,
			.full = h->kind != KIND_INCREMENTAL || (!(d->flags & DF_BASE_ROOT) && !*d->base_point),
			.frozen = d->flags & DF_FROZEN,
			.base_point = d->base_point, .target_point = d->target_point,
		};
		rc = fill_base(s, d, outside, &want->disk[i], partial ? &partial[i] : NULL, e);
	}
	return rc;
}
