/* dm-window's input: descriptors, checked and queued. */
#include <stdlib.h>

#include "base/extent.h"
#include "job/window_impl.h"

/* What an interrupted iteration left comes first: it is there for sure. */
static int classify(void *arg, uint32_t disk, const struct entry *en, struct err *e)
{
	struct window *w = arg;
	int type = w->resume ? resume_classify(w->resume, disk, en, e) : FT_DESC;

	return type == FT_DESC && w->have ? have_classify(w->have, en, e) : type;
}

static int take_hello(struct window *w, const struct frame *f, struct err *e)
{
	struct schedule_options so = {
		.acked = w->o->acks, .interval = w->o->interval,
		.window = { .min = w->o->window_min, .start = w->o->window, .max = w->o->window_max },
		.classify = classify, .pace = w->own.n || w->shared.n ? window_pace : NULL, .arg = w,
	};

	if (w->has_hello)
		return err_set(e, DM_BAD, "input: a second HELLO");
	if (hello_decode(f, &w->hello, e) < 0)
		return -1;
	w->has_hello = true;
	w->disk = x_array(w->hello.ndisks, sizeof(*w->disk));
	/* With acks nobody knows more of the iteration than we do; without them
	 * other programs on the terminal may. */
	if (w->o->progress || w->o->acks)
		w->progress = progress_new(*w->hello.workload ? w->hello.workload : "dm-window",
		    w->o->progress);
	if (w->hello.kind == KIND_IDS)
		return err_set(e, DM_USAGE, "input: a stream of identities asks for nothing "
		    "(it belongs into dm-changed --against -)");
	if (w->o->resume) {
		w->resume = resume_open(w->o->resume, &w->hello, e);
		if (!w->resume)
			return -1;
	}
	if (w->o->have && !(w->have = have_open(w->o->have, &w->hello, e)))
		return -1;
	tally_init(&w->took, &w->hello);
	tally_init(&w->gave, &w->hello);
	w->schedule = schedule_new(&w->hello, &so, window_clock(w));
	if (window_share_join(w, e) < 0 || window_report_open(w, e) < 0)
		return -1;
	return frame_pass(w->out, f, e);
}

/* What a batch will be compared with, all at once. */
static void expect_ids(struct window *w, const struct frame *f)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };
	struct err ignored = { 0 };
	struct id *v = NULL;
	struct entry en;
	size_t n = 0;

	while (cur_left(&c) && entry_decode(&c, &w->hello, f->disk, &en, &ignored) == 0)
		if (en.flags & EF_ID && !id_zero(&en.id)) {
			v = x_grow(v, n + 1, sizeof(*v));
			v[n++] = en.id;
		}
	have_expect(w->have, v, n);
	free(v);
}

static int take_entries(struct window *w, const struct frame *f, struct err *e)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };
	struct entry en;

	if (w->have)
		expect_ids(w, f);

	while (cur_left(&c)) {
		if (entry_decode(&c, &w->hello, f->disk, &en, e) < 0)
			return -1;
		switch (iset_add(w->seen, en.index, entry_count(&en, w->hello.chunk_size))) {
		case 0:
			break;
		case 1:
			return err_set(e, DM_BAD, "input: descriptor %llu came twice",
			    (unsigned long long)en.index);
		default:
			return err_set(e, DM_BAD, "input: descriptor numbers overflow");
		}
		tally_add(&w->took, f->disk, &en, w->hello.chunk_size);
		w->disk[f->disk].found += entry_bytes(&en);
		if (schedule_put(w->schedule, f->disk, &en, e) < 0)
			return -1;
	}
	return 0;
}

/* What dm-changed learned at its end goes on when everything was asked for. */
static int take_final(struct window *w, const struct frame *f, struct err *e)
{
	struct final x;
	struct held_back *b;

	if (final_decode(f, &x, e) < 0)
		return -1;
	final_free(&x);
	if (f->disk >= w->hello.ndisks)
		return err_set(e, DM_BAD, "input: a final point of an unknown disk");
	for (size_t i = 0; i < w->nback; i++)
		if (w->back[i].disk == f->disk)
			return err_set(e, DM_BAD, "input: a second final point of disk %u", f->disk);
	w->back = x_grow(w->back, w->nback + 1, sizeof *w->back);
	b = &w->back[w->nback++];
	*b = (struct held_back){ .disk = f->disk, .len = f->len, .body = x_alloc(f->len) };
	memcpy(b->body, f->body, f->len);
	return 0;
}

static int take_end(struct window *w, const struct frame *f, struct err *e)
{
	struct tally end;

	if (end_decode(f, &end, e) < 0)
		return -1;
	if (!tally_equal(&end, &w->took))
		return err_set(e, DM_BAD, "input: its END stands for %llu chunks (%llu bytes), "
		    "but %llu (%llu bytes) came, or others", (unsigned long long)end.count,
		    (unsigned long long)end.bytes, (unsigned long long)w->took.count,
		    (unsigned long long)w->took.bytes);
	if (!iset_full(w->seen, w->took.count))
		return err_set(e, DM_BAD, "input: descriptor numbers are missing");
	w->input_ended = true;
	w->ended_at = time_mono();
	schedule_close(w->schedule);
	return 0;
}

/* News that may be lost: passed on while there is room. */
static int take_news(struct window *w, const struct frame *f, struct err *e)
{
	struct progress_rec p;

	if (passed_check(f, &w->hello, e) < 0)
		return -1;
	if (f->type == FT_PROGRESS) {
		if (progress_decode(f, &p, e) < 0)
			return -1;
		if (p.stage == STAGE_SCAN && f->disk < w->hello.ndisks) {
			w->disk[f->disk].scanned = p.done;
			w->disk[f->disk].to_scan = p.total;
		}
	}
	if (frame_out_queued(w->out) >= WINDOW_QUEUE)
		return 0;
	return frame_pass(w->out, f, e);
}

static int take_frame(struct window *w, struct frame *f, struct err *e)
{
	if (f->type == FT_ABORT)
		return abort_decode(f, e);
	if (!w->has_hello && f->type != FT_HELLO)
		return err_set(e, DM_BAD, "input: does not begin with HELLO");
	switch (f->type) {
	case FT_HELLO:
		return take_hello(w, f, e);
	case FT_DESC:
		return take_entries(w, f, e);
	case FT_FINAL:
		return take_final(w, f, e);
	case FT_END:
		return take_end(w, f, e);
	case FT_STAT:
	case FT_PROGRESS:
		return take_news(w, f, e);
	case FT_BARRIER:
		return 0;	/* of another dm-window's: ours are made here */
	case FT_EXTENT:
		return err_set(e, DM_USAGE, "input: extents, not descriptors "
		    "(dm-describe belongs in front of dm-window)");
	default:
		return frame_misplaced(f, "input", e) < 0 ? -1 : take_news(w, f, e);
	}
}

int window_take(struct window *w, struct frame_in *in, const char *what, bool *open,
    const bool *ended, int (*take)(struct window *, struct frame *, struct err *), struct err *e)
{
	long n = frame_fill(in, e);
	struct frame f;
	int r;

	if (n < 0)
		return e->code ? -1 : 0;
	w->moved = time_mono();
	if (n == 0) {
		*open = false;
		return *ended ? 0 : err_cut(e, what);
	}
	while ((r = frame_next(in, &f, e)) > 0)
		if (take(w, &f, e) < 0)
			return -1;
	return r;
}

int window_take_input(struct window *w, struct err *e)
{
	return window_take(w, w->in, "input", &w->input_open, &w->input_ended, take_frame, e);
}
