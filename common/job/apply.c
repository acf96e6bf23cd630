/* dm-write: targets opened, the stream taken, the end made. */
#include "job/apply_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "job/inlet.h"
#include "job/verify_base.h"

/* ---- targets ---- */

static void rows_make(const struct hello *h, struct disk_row *row)
{
	for (uint32_t i = 0; i < h->ndisks; i++) {
		const struct disk *d = &h->disk[i];
		bool has_root = d->flags & DF_BASE_ROOT;

		row[i] = (struct disk_row){
			.name = d->name, .size = d->size, .block = d->block,
			.base_point = d->base_point, .target_point = d->target_point,
			.full = h->kind != KIND_INCREMENTAL || (!has_root && !*d->base_point),
			.frozen = d->flags & DF_FROZEN,
			.has_base_root = has_root, .base_root = d->base_root,
		};
	}
}

static int open_disk(struct apply *a, uint32_t i, const struct disk_table *t, struct err *e)
{
	const struct disk_row *r = &t->row[i];
	const struct volume_arg *arg = grants_find(a->how->targets, &a->hello, i);
	struct volume_how how = {
		.mode = VOL_WRITE, .disk = r->name, .group = a->group, .size = r->size,
		.block = r->block, .chunk_size = a->hello.chunk_size, .algo = a->hello.algo,
		.full = r->full, .base_point = r->base_point,
		.base_root = r->has_base_root ? &r->base_root : NULL,
		.target_point = r->target_point, .frozen = r->frozen,
		.session = a->hello.session, .workload = a->hello.workload,
		.site = a->ids ? idtree_site(a->ids) : NULL,
		.force = a->how->force, .verify_base = a->how->verify_base, .disks = t,
		.work = a->ids ? idtree_work(a->ids, i) : NULL,
		.wait = { apply_wait, &a->disk[i] },
	};

	a->disk[i].a = a;
	if (!arg)
		return err_set(e, DM_USAGE, "the stream has a disk %s, for which there is no target "
		    "(%s=VOLUME would be one)", r->name, r->name);
	if (volume_open(&a->disk[i].vol, arg->uri, &how, e) < 0 ||
	    (a->ids && idtree_target(a->ids, i, a->disk[i].vol, e) < 0))
		return -1;
	a->disk[i].wants_ids = volume_wants_ids(a->disk[i].vol) || a->ids;
	a->threads = (unsigned)min64(max64(a->threads, volume_calls(a->disk[i].vol)), APPLY_THREADS_MAX);
	if (!volume_unproved(a->disk[i].vol))
		return 0;
	return verify_base(a->disk[i].vol, &a->hello, &a->hello.disk[i], e);
}

/* Targets that are a repository keep their ids; those of all others go to the
 * site. */
static int open_ids(struct apply *a, struct err *e)
{
	uint32_t keep = 0;

	for (uint32_t i = 0; a->how->site && i < a->hello.ndisks; i++) {
		const struct volume_arg *arg = grants_find(a->how->targets, &a->hello, i);

		keep += arg && volume_keeps_ids(arg->uri);
	}
	if (!a->how->site || keep == a->hello.ndisks)
		return 0;
	if (keep)
		return err_set(e, DM_USAGE, "--site: some of the targets are in a repository, which keeps "
		    "ids itself; all disks of an iteration go there, or none");
	a->ids = idtree_open(a->how->site, &a->hello, e);
	return a->ids ? 0 : -1;
}

static int open_all(struct apply *a, struct err *e)
{
	const char *unused = grants_unused(a->how->targets, &a->hello);
	struct disk_row *row;
	struct disk_table t;
	int rc = 0;

	if (a->hello.kind == KIND_IDS)
		return err_set(e, DM_BAD, "input: a stream of identities has nothing to write");
	if (hello_writable(&a->hello, e) < 0)
		return -1;
	if (unused)
		return err_set(e, DM_USAGE, "target %s: the stream has no disk of that name", unused);
	a->disk = x_array(a->hello.ndisks, sizeof(*a->disk));
	if (open_ids(a, e) < 0)
		return -1;
	a->threads = 1;
	row = x_array(a->hello.ndisks, sizeof(*row));
	rows_make(&a->hello, row);
	t = (struct disk_table){ .n = a->hello.ndisks, .row = row };
	for (uint32_t i = 0; rc == 0 && i < a->hello.ndisks; i++) {
		const struct disk *d = &a->hello.disk[i];

		a->disk[i].has_root = d->flags & DF_TARGET_ROOT;
		a->disk[i].root = d->target_root;
		rc = open_disk(a, i, &t, e);
	}
	free(row);
	if (rc == 0 && a->ids)
		rc = idtree_start(a->ids, e);
	if (a->how->threads)
		a->threads = a->how->threads;
	return rc;
}

static void close_all(struct apply *a)
{
	for (uint32_t i = 0; a->disk && i < a->hello.ndisks; i++) {
		volume_close(a->disk[i].vol);
		free(a->disk[i].point);
	}
	free(a->disk);
	idtree_close(a->ids);
	volume_group_free(a->group);
	taken_free(&a->taken);
	hello_free(&a->hello);
}

/* ---- the stream ---- */

static int pass(struct apply *a, const struct frame *f, struct err *e)
{
	struct frame_out *o = acks_begin(a->acks);
	int rc = 0;

	if (o) {
		rc = frame_pass(o, f, e);
		acks_end(a->acks);
	}
	return rc;
}

/* CHUNK, ZERO, REF, HELD. */
static int take_job(struct apply *a, struct frame *f, struct err *e)
{
	struct apply_job *j = apply_job_new(a, e);
	int rc;

	if (!j)
		return -1;
	j->type = f->type;
	j->disk = f->disk;
	j->epoch = f->epoch;
	rc = f->type == FT_CHUNK ? chunk_decode(f, &a->hello, &j->c, e) :
	    entry_frame_decode(f, &a->hello, &j->c.en, e);
	if (rc == 0)
		rc = taken_add(&a->taken, f->type, f->disk, f->epoch, &j->c.en, e);
	if (rc < 0) {
		apply_job_drop(a, j);
		return -1;
	}
	if (f->type == FT_CHUNK) {
		frame_keep(f);
		j->frame = *f;
	}
	apply_job_give(a, j);
	return 0;
}

static int take_barrier(struct apply *a, const struct frame *f, struct err *e)
{
	struct barrier b;

	if (barrier_decode(f, &b, e) < 0 || epochs_close(&a->taken.epochs, f->epoch, &b, e) < 0)
		return -1;
	return apply_barrier(a, f->epoch, e);
}

/* The source's last word on a disk: its root goes to the target to compare. */
static int take_final(struct apply *a, const struct frame *f, struct err *e)
{
	struct final x;
	struct apply_disk *d;

	if (final_decode(f, &x, e) < 0)
		return -1;
	if (f->disk >= a->hello.ndisks || x.side != SIDE_SOURCE) {
		final_free(&x);
		return err_set(e, DM_BAD, "input: a final frame that is not a source's");
	}
	d = &a->disk[f->disk];
	if ((x.flags & FINAL_ROOT) && !(x.flags & FINAL_PARTIAL)) {
		d->has_root = true;
		d->root = x.root;
	}
	if (*x.point) {
		free(d->point);
		d->point = x_strdup(x.point);
	}
	final_free(&x);
	return pass(a, f, e);
}

static int take_end(struct apply *a, struct frame_in *in, const struct frame *f, struct err *e)
{
	struct tally t;

	if (end_decode(f, &t, e) < 0)
		return -1;
	if (taken_end(&a->taken, &t, "input", e) < 0)
		return -1;
	return frame_in_close(in, e) < 0 ? -1 : 1;
}

/* 1 after END. */
static int take_frame(struct apply *a, struct frame_in *in, struct frame *f, struct err *e)
{
	switch (f->type) {
	case FT_CHUNK:
	case FT_ZERO:
	case FT_REF:
	case FT_HELD:
		return take_job(a, f, e);
	case FT_BARRIER:
		return take_barrier(a, f, e);
	case FT_FINAL:
		return take_final(a, f, e);
	case FT_ABORT:
		return abort_decode(f, e);
	case FT_END:
		return take_end(a, in, f, e);
	}
	if (f->flags & FF_MAY_IGNORE)
		return passed_check(f, &a->hello, e) < 0 ? -1 : pass(a, f, e);
	return err_set(e, DM_BAD, "input: a %s frame among chunks", frame_type_name(f->type));
}

static int take_all(struct apply *a, struct frame_in *in, int in_fd, struct err *e)
{
	struct frame f;
	int rc;

	do {
		rc = inlet_next(in, in_fd, -1, a->cause, &f, e);
		if (rc == 1)
			rc = take_frame(a, in, &f, e);
	} while (rc == 0);
	/* What came after the last barrier ends with the stream. */
	if (rc == 1)
		rc = a->given > a->closed ? apply_barrier(a, a->given, e) : 0;
	return rc;
}

/* ---- the end ---- */

static int not_as_read(const struct apply *a, uint32_t i, struct err *e)
{
	return err_set(e, DM_NO, "disk %s: what was written is not what the source read: "
	    "their roots differ", a->hello.disk[i].name);
}

/* What is known of a disk's new state. */
struct outcome {
	bool has_root, has_tree;
	struct id root, tree;	/* tree: of ids, perhaps not all known */
};

static int outcome(struct apply *a, uint32_t i, struct outcome *o, struct err *e)
{
	const struct apply_disk *d = &a->disk[i];
	bool partial;

	*o = (struct outcome){ .has_root = d->has_root, .root = d->root, .has_tree = a->ids };
	if (!a->ids)
		return 0;
	if (idtree_root(a->ids, i, d->vol, &o->tree, &partial, e) < 0)
		return -1;
	if (partial)
		return 0;
	if (d->has_root && !id_equal(&o->tree, &d->root))
		return not_as_read(a, i, e);
	o->has_root = true;
	o->root = o->tree;
	return 0;
}

static int finalize_disk(struct apply *a, uint32_t i, struct final *x, struct err *e)
{
	struct apply_disk *d = &a->disk[i];
	struct volume_final f = {0};
	struct outcome o;
	int rc;

	if (outcome(a, i, &o, e) < 0)
		return -1;
	rc = volume_finalize(d->vol, d->point ? d->point : a->hello.disk[i].target_point,
	    o.has_root ? &o.root : o.has_tree ? &o.tree : NULL, &f);
	if (rc < 0)
		return volume_error(d->vol, e);
	if (o.has_tree) {	/* one that is partial is no proof */
		f.has_root = o.has_root;
		f.root = o.root;
	}
	*x = (struct final){
		.side = SIDE_TARGET, .flags = f.has_root ? FINAL_ROOT : 0, .root = f.root,
		.stored = f.stored ? f.stored : d->added, .point = f.point ? f.point : x_strdup(""),
	};
	if (f.has_root && d->has_root && !id_equal(&f.root, &d->root))
		return not_as_read(a, i, e);
	return a->ids ? idtree_final(a->ids, i, &o.tree, e) : 0;
}

static int say_final(struct apply *a, uint32_t i, const struct final *x, struct err *e)
{
	struct stats s = {0};
	struct frame_out *o = acks_begin(a->acks);
	int rc;

	if (!o)
		return 0;
	s.v[STAT_STORED] = x->stored;
	s.v[STAT_DEDUP] = a->disk[i].dedup;
	rc = final_put(o, i, x, e);
	if (rc == 0)
		rc = stat_put(o, i, &s, e);
	acks_end(a->acks);
	return rc;
}

static int say_end(struct apply *a, struct err *e)
{
	struct frame_out *o = acks_begin(a->acks);
	int rc = 0;

	if (o) {
		rc = end_put(o, &a->written, e);
		acks_end(a->acks);
	}
	return rc;
}

static int finish(struct apply *a, struct apply_sum *sum, struct err *e)
{
	if (!tally_equal(&a->written, &a->taken.tally))
		return err_set(e, DM_BAD, "input: ended while the target still lacks what was referred to");
	acks_owe(a->acks, 1);	/* END, which is ours to make from now on */
	sum->disks = a->hello.ndisks;
	sum->chunks = a->written.count;
	sum->bytes = a->written.bytes;
	for (uint32_t i = 0; i < a->hello.ndisks; i++) {
		struct final x = {0};
		int rc = finalize_disk(a, i, &x, e);

		if (rc == 0)
			rc = say_final(a, i, &x, e);
		sum->stored += x.stored;
		sum->dedup += a->disk[i].dedup;
		if (sum->points && rc == 0)
			json_object_set_new(sum->points, a->hello.disk[i].name, json_string(x.point));
		final_free(&x);
		if (rc < 0)
			return -1;
	}
	return say_end(a, e);
}

static int run(struct apply *a, struct frame_in *in, int in_fd, struct err *e)
{
	struct frame_out *o = acks_begin(a->acks);
	int rc = 0;

	if (o) {
		rc = hello_put(o, &a->hello, e);
		acks_end(a->acks);
	}
	if (rc < 0)
		return -1;
	rc = apply_start(a, e);
	if (rc == 0)
		rc = take_all(a, in, in_fd, e);
	return apply_stop(a, rc == 0, e) < 0 ? -1 : 0;
}

int apply_run(const struct apply_how *how, int in_fd, struct acks *acks,
    struct cause *c, struct apply_sum *sum, struct err *e)
{
	struct apply a = { .how = how, .acks = acks, .cause = c };
	struct frame_in *in = frame_in_new(in_fd, "input");
	int rc = -1;

	a.group = volume_group_new();
	if (hello_read(in, &a.hello, e) == 0) {
		taken_init(&a.taken, &a.hello);
		if (open_all(&a, e) == 0 && run(&a, in, in_fd, e) == 0)
			rc = finish(&a, sum, e);
	}
	close_all(&a);
	frame_in_free(in);
	return rc;
}
