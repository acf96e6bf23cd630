#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "job/track.h"

#define STEP GIB(1)	/* asked for at a time: bounds the answer */

struct volume_tracker {
	struct tracker t;
	struct volume *v;
	char *since;
};

static int next(struct tracker *t, struct extents *out, struct err *e)
{
	struct volume_tracker *vt = (struct volume_tracker *)t;
	uint64_t len = min64(volume_size(vt->v) - t->pos, STEP);

	extents_clear(out);
	if (!len)
		return 0;
	if (volume_extents(vt->v, vt->since, t->pos, len, out) != 0)
		return volume_error(vt->v, e);
	t->pos += len;
	return 1;
}

static void free_tracker(struct tracker *t)
{
	free(((struct volume_tracker *)t)->since);
	free(t);
}

struct tracker *track_volume(struct volume *v, const char *since)
{
	static const struct tracker_ops ops = { next, free_tracker };
	struct volume_tracker *vt = x_alloc(sizeof(*vt));

	vt->t.ops = &ops;
	vt->v = v;
	vt->since = since ? x_strdup(since) : NULL;
	return &vt->t;
}

void tracker_free(struct tracker *t)
{
	if (t)
		t->ops->free(t);
}
