#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/audit.h"
#include "job/changes.h"
#include "stream/record.h"

#define TURN_DATA MIB(64)	/* of one disk before the next disk's turn */
#define PROGRESS_EVERY 500000000	/* ns */

struct emitter {
	struct changes *c;
	struct frame_out *o;
	int out_fd;
	struct extent_batch batch;
	int64_t told;		/* when progress was last said */
	uint64_t *said;		/* by disk: what it was */
	struct tally tally;
};

static void describe_disk(const struct subject *s, struct disk *d)
{
	d->name = x_strdup(s->arg.name);
	d->size = volume_size(s->v);
	d->block = 512;
	if (volume_limits(s->v).preferred <= 4096)
		d->block = volume_limits(s->v).preferred;
	d->flags = s->frozen ? DF_FROZEN : 0;
	if (!s->full && s->has_base_root) {
		d->flags |= DF_BASE_ROOT;
		d->base_root = s->base_root;
	}
	d->base_point = x_strdup(!s->full && s->base_point ? s->base_point : "");
	d->target_point = x_strdup(s->point);
}

static int put_hello(struct emitter *em, struct err *e)
{
	struct changes *c = em->c;
	struct hello h = { .version_min = STREAM_VERSION, .version_max = STREAM_VERSION,
		.chunk_size = c->chunk_size, .algo = (uint8_t)c->algo, .kind = KIND_FULL, .codecs = 3 };
	int r;

	hello_new_session(&h);
	h.plan = x_strdup(c->opt->plan ? c->opt->plan : "");
	h.workload = x_strdup(c->opt->workload ? c->opt->workload : "");
	h.disk = x_array(c->n, sizeof(*h.disk));
	h.ndisks = (uint32_t)c->n;
	for (size_t i = 0; i < c->n; i++) {
		describe_disk(&c->s[i], &h.disk[i]);
		if (!c->s[i].full)
			h.kind = KIND_INCREMENTAL;
	}
	tally_init(&em->tally, &h);
	r = hello_put(em->o, &h, e);
	hello_free(&h);
	return r == 0 ? frame_flush(em->o, e) : -1;
}

static int put_progress(struct emitter *em, struct err *e)
{
	for (size_t i = 0; i < em->c->n; i++) {
		struct subject *s = &em->c->s[i];
		struct progress_rec p = { STAGE_SCAN, s->t->pos, volume_size(s->v) };

		if (!s->t->reads || em->said[i] == s->t->pos)
			continue;
		em->said[i] = s->t->pos;
		if (progress_put(em->o, (uint32_t)i, &p, e) != 0)
			return -1;
	}
	return 0;
}

/* While a tracker works: is our reader there, and how far are we? */
static int idle(void *arg, struct err *e)
{
	struct emitter *em = arg;
	int64_t now = time_mono();

	if (fd_reader_gone(em->out_fd))
		return err_sys(e, DM_ENV, EPIPE, "output");
	if (now - em->told < PROGRESS_EVERY)
		return 0;
	em->told = now;
	if (extent_flush(em->o, &em->batch, e) != 0 || put_progress(em, e) != 0)
		return -1;
	return frame_flush(em->o, e);
}

static int start_tracker(struct emitter *em, struct subject *s, struct err *e)
{
	struct changes *c = em->c;
	struct track_idle how = { idle, em };
	bool in = s->extents && !strcmp(s->extents, "-");
	FILE *f = NULL;

	if (s->extents) {
		f = in ? stdin : fopen(s->extents, "re");
		if (!f)
			return err_sys(e, DM_ENV, errno, "%s", s->extents);
		s->t = track_map(f, in ? "input" : s->extents, volume_size(s->v), c->map);
	} else if (s->scan) {
		if (s->state) {
			char *tmp = x_printf("%s.tmp", s->state);

			s->new = idfile_create(tmp, c->algo, c->chunk_size, volume_size(s->v),
			    s->old, e);
			free(tmp);
			if (!s->new)
				return -1;
		}
		s->t = track_scan(s->v, s->full ? NULL : s->old, s->new, c->algo,
		    c->chunk_size, c->crew, how);
	} else {
		s->t = track_volume(s->v, s->since);
	}
	return 0;
}

static int put_extents(struct emitter *em, size_t disk, const struct extents *x, uint64_t *data,
    struct err *e)
{
	for (size_t i = 0; i < x->n; i++) {
		if (x->v[i].kind == EXT_SAME)
			continue;
		if (x->v[i].kind == EXT_DATA)
			*data += x->v[i].len;
		tally_add_extent(&em->tally, (uint32_t)disk, &x->v[i]);
		if (extent_add(em->o, &em->batch, (uint32_t)disk, &x->v[i], e) != 0)
			return -1;
	}
	return 0;
}

/* One disk's turn: 1 there may be more, 0 it is done, -1. */
static int turn(struct emitter *em, size_t disk, struct audit *audit, struct err *e)
{
	struct subject *s = &em->c->s[disk];
	struct extents x = { 0 };
	uint64_t data = 0;
	int r = 1;

	while (r == 1 && data < TURN_DATA) {
		r = s->t->ops->next(s->t, &x, e);
		if (r == 1 && audit && audit_check(audit, s->v, s->old, s->arg.name, &x, e) != 0)
			r = -1;
		if (r == 1 && put_extents(em, disk, &x, &data, e) != 0)
			r = -1;
		if (r == 1 && idle(em, e) != 0)
			r = -1;
	}
	extents_free(&x);
	if (r >= 0 && (extent_flush(em->o, &em->batch, e) != 0 || frame_flush(em->o, e) != 0))
		r = -1;
	return r;
}

static int all_turns(struct emitter *em, struct audit *audit, struct err *e)
{
	bool *done = x_array(em->c->n, sizeof(*done));
	size_t left = em->c->n;
	int r = 0;

	while (r >= 0 && left > 0)
		for (size_t i = 0; r >= 0 && i < em->c->n; i++) {
			const struct subject *s = &em->c->s[i];

			if (done[i])
				continue;
			r = turn(em, i, !s->scan && !s->full && s->old ? audit : NULL, e);
			done[i] = r == 0;
			left -= r == 0;
		}
	free(done);
	return r < 0 ? -1 : 0;
}

/* What was found out on the way: roots, and states for the next time. */
static int put_finals(struct emitter *em, struct err *e)
{
	for (size_t i = 0; i < em->c->n; i++) {
		struct subject *s = &em->c->s[i];
		struct final f = { .side = SIDE_SOURCE, .flags = FINAL_ROOT, .point = s->point };

		if (!s->t->has_root)
			continue;
		f.root = s->t->root;
		if (s->new && state_keep(s, e) != 0)
			return -1;
		if (final_put(em->o, (uint32_t)i, &f, e) != 0)
			return -1;
	}
	return 0;
}

int changes_emit(struct changes *c, struct frame_out *o, int out_fd, struct err *e)
{
	struct emitter em = { .c = c, .o = o, .out_fd = out_fd, .told = time_mono() };
	struct audit *audit = c->audit > 0 ? audit_new(c->audit, c->crew, idle, &em) : NULL;
	int r = 0;

	em.said = x_array(c->n, sizeof(*em.said));
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = start_tracker(&em, &c->s[i], e);
	if (r == 0)
		r = put_hello(&em, e);
	if (r == 0)
		r = all_turns(&em, audit, e);
	if (r == 0)
		r = put_progress(&em, e);
	if (r == 0)
		r = put_finals(&em, e);
	if (r == 0)
		r = end_put(o, &em.tally, e);
	if (r == 0)
		r = frame_flush(o, e);
	audit_free(audit);
	buf_free(&em.batch.body);
	free(em.said);
	return r;
}
