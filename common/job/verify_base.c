#include "job/verify_base.h"

#include "job/track.h"

static int no_idle(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static int root_of(struct volume *v, const struct hello *h, struct id *root, struct err *e)
{
	struct lane_crew *crew = lane_crew_new(volume_calls(v), e);
	struct track_idle idle = { no_idle, NULL };
	struct extents x = { 0 };
	struct tracker *t;
	int r;

	if (!crew)
		return -1;
	t = track_scan(v, NULL, NULL, h->algo, h->chunk_size, crew, idle);
	do
		r = t->ops->next(t, &x, e);
	while (r == 1);
	if (r == 0)
		*root = t->root;
	extents_free(&x);
	tracker_free(t);
	lane_crew_free(crew);
	return r;
}

int verify_base(struct volume *v, const struct hello *h, const struct disk *d, struct err *e)
{
	char is[80], base[80];
	struct id root;

	if (!(d->flags & DF_BASE_ROOT))
		return err_set(e, DM_NO, "%s: the stream names the base of disk %s without its root, so "
		    "--verify-base cannot compare; send a full iteration", volume_uri(v), d->name);
	if (root_of(v, h, &root, e) != 0)
		return -1;
	if (id_equal(&root, &d->base_root))
		return 0;
	return err_set(e, DM_NO, "%s: does not hold the base of disk %s: its root is %s, the base's %s; "
	    "send the changes since its own state, or a full iteration", volume_uri(v), d->name,
	    id_format(h->algo, &root, is), id_format(h->algo, &d->base_root, base));
}
