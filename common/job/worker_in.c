/* What a worker of dm-recv says: compared with what it was asked, passed on. */
#include "job/workers_impl.h"

#define NAK_WAIT_MS 50		/* before a refused request is given again, at least */

/* What it sent is wrong: nothing of it is passed on, and it is replaced. */
static int fault(struct worker *w)
{
	w->at_fault = true;
	return -1;
}

/* The same disks, at the same point, or no work for it. */
static int check_hello(struct worker *w, const struct hello *h, struct err *e)
{
	struct workers *x = w->all;

	if (memcmp(h->session, x->hello.session, sizeof h->session))
		return err_set(e, DM_BAD, "%s: it answers another session", w->name);
	if (h->ndisks != x->hello.ndisks || h->chunk_size != x->hello.chunk_size ||
	    h->algo != x->hello.algo)
		return err_set(e, DM_BAD, "%s: it answers for other disks or chunks", w->name);
	for (uint32_t i = 0; i < h->ndisks; i++) {
		const struct disk *want = &x->hello.disk[i], *d = &h->disk[i];
		const char *point = *want->target_point ? want->target_point : x->point[i];

		if (strcmp(d->name, want->name))
			return err_set(e, DM_BAD, "%s: it answers for disk %s instead of %s",
			    w->name, d->name, want->name);
		if (d->size != want->size)
			return err_set(e, DM_NO, "%s: disk %s has %llu bytes there, but %llu are "
			    "asked for", w->name, d->name, (unsigned long long)d->size,
			    (unsigned long long)want->size);
		if (point && strcmp(d->target_point, point))
			return err_set(e, DM_NO, "%s: disk %s is at \"%s\" there, but \"%s\" is "
			    "asked for", w->name, d->name, d->target_point, point);
		if (!x->point[i])
			x->point[i] = x_strdup(d->target_point);
	}
	return 0;
}

static int take_hello(struct worker *w, const struct frame *f, struct err *e)
{
	struct hello h;
	int r;

	if (w->state != WORKER_STARTED) {
		err_set(e, DM_BAD, "%s: a second HELLO", w->name);
		return fault(w);
	}
	if (hello_decode(f, &h, e) < 0) {
		err_prefix(e, "%s", w->name);
		return fault(w);
	}
	r = check_hello(w, &h, e);
	hello_free(&h);
	w->refused = r < 0;
	if (r < 0)
		return -1;
	w->state = WORKER_READY;
	w->all->ever_ready = true;
	w->all->alive_at = w->heard;
	return 0;
}

/* The request this answers; NULL with *e when there is none. */
static struct request *owed_find(struct worker *w, uint64_t index, struct err *e)
{
	struct request *r = requests_find(w->all->table, index);

	if (r && r->owner == w)
		return r;
	err_set(e, DM_BAD, "%s: it sent entry %llu, which it was not asked for", w->name,
	    (unsigned long long)index);
	fault(w);
	return NULL;
}

static int take_answer(struct worker *w, struct frame *f, struct err *e)
{
	struct workers *x = w->all;
	struct request *r;
	struct chunk c;
	int rc;

	rc = f->type == FT_CHUNK ? chunk_decode(f, &x->hello, &c, e) :
	    entry_frame_decode(f, &x->hello, &c.en, e);
	if (rc < 0) {
		err_prefix(e, "%s", w->name);
		return fault(w);
	}
	r = owed_find(w, c.en.index, e);
	if (!r)
		return -1;
	if (!request_matches(r, f->disk, &c.en)) {
		err_set(e, DM_BAD, "%s: entry %llu differs from what was asked for", w->name,
		    (unsigned long long)c.en.index);
		return fault(w);
	}
	tally_add(&w->gave, f->disk, &c.en, x->hello.chunk_size);
	f->epoch = r->epoch;
	if (frame_pass_keep(x->out, f, e) < 0)
		return -1;
	x->passed += entry_bytes(&c.en);
	x->told_at = w->heard;
	retry_back(w);
	retry_earn(x);
	request_unlink(&w->owed, r);
	workers_settle(x, r);
	return 0;
}

/* The source cannot now: the window learns it, and it is asked again. */
static int take_nak(struct worker *w, struct frame *f, struct err *e)
{
	struct workers *x = w->all;
	struct request *r;
	struct nak n;

	if (nak_decode(f, &n, e) < 0) {
		err_prefix(e, "%s", w->name);
		return fault(w);
	}
	r = owed_find(w, n.index, e);
	if (!r)
		return -1;
	if (n.again || r->disk != f->disk) {
		err_set(e, DM_BAD, "%s: it refused entry %llu in a wrong way", w->name,
		    (unsigned long long)n.index);
		return fault(w);
	}
	if (!r->since)
		r->since = w->heard;
	if (w->heard - r->since > (int64_t)x->o->give_up * SECOND)
		return err_set(e, DM_ENV, "%s: it refuses entry %llu for %llu seconds", w->name,
		    (unsigned long long)n.index, (unsigned long long)x->o->give_up);
	request_unlink(&w->owed, r);
	r->owner = NULL;
	r->due = w->heard + (int64_t)max64(n.retry_ms, NAK_WAIT_MS) * MILLISECOND;
	request_append(&x->later, r);
	return frame_pass(x->out, f, e);
}

/* Figures of all workers together. */
static int take_stat(struct worker *w, const struct frame *f, struct err *e)
{
	struct workers *x = w->all;
	struct stats sum;

	if (f->disk >= x->hello.ndisks) {
		err_set(e, DM_BAD, "%s: figures of an unknown disk", w->name);
		return fault(w);
	}
	if (stat_decode(f, &w->stat[f->disk], e) < 0) {
		err_prefix(e, "%s", w->name);
		return fault(w);
	}
	sum = x->past[f->disk];
	for (unsigned i = 0; i < x->n; i++)
		for (size_t k = 0; x->worker[i].stat && k < LEN(sum.v); k++)
			sum.v[k] += x->worker[i].stat[f->disk].v[k];
	return stat_put(x->out, f->disk, &sum, e);
}

static int take_end(struct worker *w, const struct frame *f, struct err *e)
{
	struct tally t;

	if (end_decode(f, &t, e) < 0) {
		err_prefix(e, "%s", w->name);
		return fault(w);
	}
	if (!w->end_sent || w->owed.n || !tally_equal(&t, &w->gave)) {
		err_set(e, DM_BAD, "%s: its END is not that of what it was asked for", w->name);
		return fault(w);
	}
	w->state = WORKER_ENDED;
	return 0;
}

int worker_frame(struct worker *w, struct frame *f, struct err *e)
{
	if (f->type == FT_ABORT)
		return abort_decode(f, e);
	if (w->state == WORKER_STARTED && f->type != FT_HELLO) {
		err_set(e, DM_BAD, "%s: it does not begin with HELLO", w->name);
		return fault(w);
	}
	switch (f->type) {
	case FT_HELLO:
		return take_hello(w, f, e);
	case FT_CHUNK:
	case FT_ZERO:
		return take_answer(w, f, e);
	case FT_NAK:
		return take_nak(w, f, e);
	case FT_STAT:
		return take_stat(w, f, e);
	case FT_END:
		return take_end(w, f, e);
	default:
		return frame_misplaced(f, w->name, e) < 0 ? fault(w) : 0;
	}
}
