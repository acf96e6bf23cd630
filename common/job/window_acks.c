/* dm-window's acks: credit comes back. */
#include "job/window_impl.h"

static int take_hello(struct window *w, const struct frame *f, struct err *e)
{
	struct hello h;
	int r = 0;

	if (w->ack_hello)
		return err_set(e, DM_BAD, "acks: a second HELLO");
	if (hello_decode(f, &h, e) < 0)
		return -1;
	if (!w->has_hello || memcmp(h.session, w->hello.session, sizeof h.session))
		r = err_set(e, DM_BAD, "acks: they belong to another session "
		    "(is the FIFO in use by another pipeline?)");
	w->ack_hello = true;
	hello_free(&h);
	return r;
}

static int take_written(struct window *w, const struct frame *f, struct err *e)
{
	struct window_disk *d;
	struct written x;

	if (written_decode(f, &w->hello, &x, e) < 0)
		return -1;
	if (schedule_written(w->schedule, f->disk, &x.en, window_clock(w), e) < 0)
		return err_prefix(e, "acks");
	d = &w->disk[f->disk];
	w->written += entry_bytes(&x.en);
	d->written += entry_bytes(&x.en);
	if (x.how != HOW_HELD)
		d->fetched += entry_bytes(&x.en);
	return 0;
}

static int take_durable(struct window *w, const struct frame *f, struct err *e)
{
	uint64_t count;

	if (durable_decode(f, &count, e) < 0)
		return -1;
	if (f->epoch >= schedule_epoch(w->schedule))
		return err_set(e, DM_BAD, "acks: epoch %u is durable, but its barrier was not sent",
		    f->epoch);
	schedule_durable(w->schedule, f->epoch);
	return 0;
}

static int take_nak(struct window *w, const struct frame *f, struct err *e)
{
	struct nak n;

	if (nak_decode(f, &n, e) < 0)
		return -1;
	if (f->disk >= w->hello.ndisks)
		return err_set(e, DM_BAD, "acks: a refusal for an unknown disk");
	if (schedule_nak(w->schedule, f->disk, &n, window_clock(w), e) < 0)
		return err_prefix(e, "acks");
	return 0;
}

static int take_stat(struct window *w, const struct frame *f, struct err *e)
{
	struct stats s;

	if (stat_decode(f, &s, e) < 0)
		return -1;
	if (f->disk >= w->hello.ndisks)
		return err_set(e, DM_BAD, "acks: figures of an unknown disk");
	if (s.v[STAT_SENT]) {
		w->disk[f->disk].sent = s.v[STAT_SENT];
		w->disk[f->disk].read = s.v[STAT_READ];
		window_share_sent(w, f->disk);
	}
	return 0;
}

static int take_end(struct window *w, const struct frame *f, struct err *e)
{
	struct tally t;

	if (end_decode(f, &t, e) < 0)
		return -1;
	if (!w->end_sent)
		return err_set(e, DM_BAD, "acks: END came before ours");
	if (!tally_equal(&t, &w->gave))
		return err_set(e, DM_BAD, "acks: their END differs from what was asked for");
	w->ack_ended = true;
	return 0;
}

static int take_frame(struct window *w, struct frame *f, struct err *e)
{
	if (f->type == FT_ABORT) {
		w->ack_abort = true;
		return abort_decode(f, e);
	}
	if (!w->ack_hello && f->type != FT_HELLO)
		return err_set(e, DM_BAD, "acks: they do not begin with HELLO");
	switch (f->type) {
	case FT_HELLO:
		return take_hello(w, f, e);
	case FT_WRITTEN:
		return take_written(w, f, e);
	case FT_DURABLE:
		return take_durable(w, f, e);
	case FT_NAK:
		return take_nak(w, f, e);
	case FT_STAT:
		return take_stat(w, f, e);
	case FT_END:
		return take_end(w, f, e);
	case FT_FINAL:
	case FT_PROGRESS:
		return 0;
	default:
		return frame_misplaced(f, "acks", e);
	}
}

int window_take_acks(struct window *w, struct err *e)
{
	return window_take(w, w->acks, "acks", &w->ack_open, &w->ack_ended, take_frame, e);
}
