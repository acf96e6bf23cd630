/* dm-send's two ways of working: requests answered, or whole volumes. */
#include "job/emit_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "job/inlet.h"
#include "job/resume.h"

/* ---- sources ---- */

/* May this disk differ from its point? */
static bool may_change(const struct emit *m, const struct disk *d)
{
	return m->how->allow_change && !(d->flags & DF_FROZEN);
}

static int check_point(const struct emit *m, struct disk *d, struct volume *v, struct err *e)
{
	bool frozen;
	char *now = volume_point(v, &frozen);

	if (!now)
		return volume_error(v, e);
	if (!*d->target_point) {
		free(d->target_point);
		d->target_point = now;
		return 0;
	}
	if (strcmp(now, d->target_point) && !may_change(m, d))
		err_set(e, DM_NO, "%s: disk %s is at \"%s\" but \"%s\" is asked for: "
		    "start again from its present state", volume_uri(v), d->name, now, d->target_point);
	free(now);
	return e->code ? -1 : 0;
}

static int open_disk(struct emit *m, uint32_t i, struct err *e)
{
	struct disk *d = &m->hello.disk[i];
	const struct volume_arg *a = grants_find(m->how->grants, &m->hello, i);
	struct volume_how how = {
		.mode = VOL_READ, .disk = d->name, .chunk_size = m->hello.chunk_size,
		.algo = m->hello.algo, .point = *d->target_point && !may_change(m, d) ? d->target_point : NULL,
	};
	struct volume *v;

	if (!a)
		return err_set(e, DM_NO, "disk %s is asked for, which this command line does not "
		    "grant (%s=VOLUME would)", d->name, d->name);
	if (volume_open(&m->disk[i].vol, a->uri, &how, e) < 0)
		return -1;
	v = m->disk[i].vol;
	if (volume_size(v) != d->size)
		return err_set(e, DM_NO, "%s: disk %s has %llu bytes but %llu are asked for",
		    volume_uri(v), d->name, (unsigned long long)volume_size(v),
		    (unsigned long long)d->size);
	return check_point(m, d, v, e);
}

int emit_open(struct emit *m, struct err *e)
{
	m->disk = x_array(m->hello.ndisks, sizeof(*m->disk));
	for (uint32_t i = 0; i < m->hello.ndisks; i++)
		if (open_disk(m, i, e) < 0)
			return -1;
	return 0;
}

int emit_unchanged(struct emit *m, struct err *e)
{
	for (uint32_t i = 0; i < m->hello.ndisks; i++) {
		const struct disk *d = &m->hello.disk[i];
		struct volume *v = m->disk[i].vol;
		bool frozen;
		char *now = volume_point(v, &frozen);

		if (!now)
			return volume_error(v, e);
		if (strcmp(now, d->target_point) && !may_change(m, d))
			err_set(e, DM_ENV, "%s: changed while being read: read a snapshot or a "
			    "reflink clone (cp --reflink) of it, or give --allow-change",
			    volume_uri(v));
		free(now);
		if (e->code)
			return -1;
	}
	return 0;
}

void emit_close(struct emit *m)
{
	for (uint32_t i = 0; m->disk && i < m->hello.ndisks; i++)
		volume_close(m->disk[i].vol);
	free(m->disk);
	hello_free(&m->hello);
}

int emit_end(struct emit *m, struct err *e)
{
	for (uint32_t i = 0; i < m->hello.ndisks; i++)
		if (emit_say_stat(m, i, e) < 0)
			return -1;
	if (end_put(m->out, &m->tally, e) < 0)
		return -1;
	return frame_flush(m->out, e);
}

/* ---- requests ---- */

int emit_ask(struct emit *m, uint32_t disk, uint32_t epoch, struct entry *en)
{
	struct entry one;
	bool more;

	if (en->flags & EF_ZERO)
		return emit_ask_entry(m, FT_ZERO, disk, epoch, en);
	if (!(en->flags & EF_RUN))
		return emit_ask_chunk(m, disk, epoch, en);
	do {
		more = entry_cut(en, m->hello.chunk_size, &one);
		if (emit_ask_chunk(m, disk, epoch, &one) < 0)
			return -1;
	} while (more);
	return 0;
}


struct requests {
	struct emit *m;
	struct frame_in *in;
	int fd;
	struct tally tally;	/* of what was asked */
};

static int take_desc(struct requests *q, const struct frame *f, struct err *e)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };
	struct entry en;

	while (cur_left(&c)) {
		if (entry_decode(&c, &q->m->hello, f->disk, &en, e) < 0)
			return -1;
		tally_add(&q->tally, f->disk, &en, q->m->hello.chunk_size);
		if (emit_ask(q->m, f->disk, f->epoch, &en) < 0)
			return cause_take(&q->m->cause, e);
	}
	return 0;
}

static int take_entry(struct requests *q, const struct frame *f, struct err *e)
{
	struct entry en;

	if (entry_frame_decode(f, &q->m->hello, &en, e) < 0)
		return -1;
	tally_add(&q->tally, f->disk, &en, q->m->hello.chunk_size);
	if (emit_ask_entry(q->m, f->type, f->disk, f->epoch, &en) < 0)
		return cause_take(&q->m->cause, e);
	return 0;
}

static int take_end(struct requests *q, const struct frame *f, struct err *e)
{
	struct tally t;

	if (end_decode(f, &t, e) < 0)
		return -1;
	if (!tally_equal(&t, &q->tally))
		return err_set(e, DM_BAD, "input: its END speaks of %llu chunks, %llu came, or others",
		    (unsigned long long)t.count, (unsigned long long)q->tally.count);
	if (frame_in_close(q->in, e) < 0)
		return -1;
	return 1;
}

/* 1 after END. */
static int take_frame(struct requests *q, struct frame *f, struct err *e)
{
	switch (f->type) {
	case FT_DESC:
		return take_desc(q, f, e);
	case FT_ZERO:
	case FT_REF:
	case FT_HELD:
		return take_entry(q, f, e);
	case FT_ABORT:
		return abort_decode(f, e);
	case FT_END:
		return take_end(q, f, e);
	case FT_BARRIER:
	case FT_FINAL:
		break;
	default:
		if (!(f->flags & FF_MAY_IGNORE))
			return err_set(e, DM_BAD, "input: a %s frame among requests",
			    frame_type_name(f->type));
	}
	if (passed_check(f, &q->m->hello, e) < 0)
		return -1;
	return emit_ask_pass(q->m, f) < 0 ? cause_take(&q->m->cause, e) : 0;
}

static int take_all(struct requests *q, struct err *e)
{
	struct frame f;
	int rc;

	do {
		rc = inlet_next(q->in, q->fd, q->m->out_fd, &q->m->cause, &f, e);
		if (rc == 1)
			rc = take_frame(q, &f, e);
	} while (rc == 0);
	return rc < 0 ? -1 : 0;
}

/* With the volumes open: HELLO, the work, END. */
static int run(struct emit *m, int (*ask)(struct emit *m, void *arg, struct err *e),
    void *arg, struct err *e)
{
	struct err first = {0};
	int rc;

	m->threads = m->how->threads;
	for (uint32_t i = 0; !m->how->threads && i < m->hello.ndisks; i++)
		m->threads = (unsigned)min64(max64(m->threads, volume_calls(m->disk[i].vol)), EMIT_THREADS_MAX);
	if (hello_put(m->out, &m->hello, e) < 0 || frame_flush(m->out, e) < 0)
		return -1;
	rc = emit_start(m, e);
	if (rc == 0)
		rc = ask(m, arg, e);
	first = *e;
	if (emit_stop(m, rc == 0, &first) < 0) {
		*e = first;
		return -1;
	}
	return emit_unchanged(m, e) < 0 ? -1 : emit_end(m, e);
}

static int ask_requests(struct emit *m, void *arg, struct err *e)
{
	struct requests *q = arg;

	q->m = m;
	tally_init(&q->tally, &m->hello);
	return take_all(q, e);
}

int emit_requests(const struct emit_how *how, int in_fd, int out_fd,
    struct frame_out *o, struct err *e)
{
	struct emit m = { .how = how, .out = o, .out_fd = out_fd };
	struct requests q = { .fd = in_fd };
	int rc = -1;

	if (cause_init(&m.cause, e) < 0)
		return -1;
	q.in = frame_in_new(in_fd, "input");
	frame_in_seal(q.in, how->seal ? how->seal : how->unseal);
	if (how->seal)
		frame_open(o);	/* the other side waits for it */
	if (frame_flush(o, e) == 0 && hello_read(q.in, &m.hello, e) == 0 && emit_open(&m, e) == 0)
		rc = run(&m, ask_requests, &q, e);
	emit_close(&m);
	frame_in_free(q.in);
	cause_destroy(&m.cause);
	return rc;
}

/* ---- whole volumes ---- */

static int hello_make(struct emit *m, struct err *e)
{
	struct hello *h = &m->hello;
	const struct grants *g = m->how->grants;

	hello_new_session(h);
	h->version_min = h->version_max = STREAM_VERSION;
	h->chunk_size = m->how->chunk_size;
	h->algo = ID_BLAKE3;
	h->kind = KIND_FULL;
	h->codecs = 1u << CODEC_RAW | 1u << CODEC_ZSTD;
	h->plan = x_strdup("");
	h->workload = x_strdup("");
	h->disk = x_array(g->n, sizeof(*h->disk));
	m->disk = x_array(g->n, sizeof(*m->disk));
	for (size_t i = 0; i < g->n; i++) {
		struct volume_how how = {
			.mode = VOL_READ, .disk = g->arg[i].named ? g->arg[i].name : NULL,
			.chunk_size = h->chunk_size, .algo = h->algo,
		};
		struct disk *d = &h->disk[h->ndisks++];
		bool frozen = false;

		d->name = x_strdup(g->arg[i].name);
		d->base_point = x_strdup("");
		if (volume_open(&m->disk[i].vol, g->arg[i].uri, &how, e) < 0)
			return -1;
		d->size = volume_size(m->disk[i].vol);
		d->block = 512;
		if (volume_limits(m->disk[i].vol).preferred <= 4096)
			d->block = volume_limits(m->disk[i].vol).preferred;
		d->target_point = volume_point(m->disk[i].vol, &frozen);
		if (!d->target_point)
			return volume_error(m->disk[i].vol, e);
		d->flags = frozen ? DF_FROZEN : 0;
	}
	return 0;
}

int emit_all(const struct emit_how *how, int out_fd, struct frame_out *o, struct err *e)
{
	struct emit m = { .how = how, .out = o, .out_fd = out_fd };
	struct resume *resume = NULL;
	int rc;

	if (cause_init(&m.cause, e) < 0)
		return -1;
	rc = hello_make(&m, e);
	/* Before anyone who hears our HELLO takes the session up. */
	if (rc == 0 && how->resume) {
		resume = resume_open(how->resume, &m.hello, e);
		rc = resume ? 0 : -1;
	}
	if (rc == 0)
		rc = run(&m, emit_ask_whole, resume, e);
	resume_close(resume);
	emit_close(&m);
	cause_destroy(&m.cause);
	return rc;
}
