/* dm-recv's requests: taken apart, remembered, given to workers. */
#include <unistd.h>

#include "base/fdio.h"
#include "job/workers_impl.h"

/* Requests that may be open.  More wait in the pipe: whoever asks does not
 * block there. */
#define OWED_BYTES MIB(256)
#define OWED_MAX 16384
/* What one of several workers may owe: enough for its line, and little enough
 * to be asked for again. */
#define WORKER_BYTES MIB(8)
#define WORKER_OWED 2048
#define COST_MIN KIB(4)
#define BARRIERS_OPEN (EPOCHS_AHEAD / 2)

bool workers_want_input(const struct workers *x)
{
	return x->cost < OWED_BYTES && requests_n(x->table) < OWED_MAX &&
	    frame_out_queued(x->out) < OUTPUT_QUEUE && x->epoch - x->gate < BARRIERS_OPEN;
}

void workers_settle(struct workers *x, struct request *r)
{
	x->left[r->epoch % EPOCHS_AHEAD]--;
	x->cost -= r->cost;
	requests_remove(x->table, r);
}

int workers_gates(struct workers *x, struct err *e)
{
	while (x->gate < x->epoch && !x->left[x->gate % EPOCHS_AHEAD]) {
		if (barrier_put(x->out, x->gate, &x->barrier[x->gate % EPOCHS_AHEAD], e) < 0)
			return -1;
		x->gate++;
	}
	return 0;
}

/* What needs no data is answered here. */
static int answer(struct workers *x, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, struct err *e)
{
	tally_add(&x->gave, disk, en, x->hello.chunk_size);
	return entry_frame_put(x->out, type, disk, epoch, en, e);
}

static int ask(struct workers *x, uint32_t disk, uint32_t epoch, const struct entry *en,
    bool again, struct err *e)
{
	struct request *r = requests_add(x->table, FT_DESC, disk, epoch, en,
	    x->hello.chunk_size, e);

	if (!r)
		return -1;
	r->cost = max64(entry_bytes(en), COST_MIN);
	x->cost += r->cost;
	x->left[epoch % EPOCHS_AHEAD]++;
	request_append(&x->todo, r);
	if (!again)
		tally_add(&x->gave, disk, en, x->hello.chunk_size);
	return 0;
}

/* The next entry of the frame being taken apart, or the next chunk of a run:
 * 1; 0 the frame is done; -1. */
static int next_entry(struct workers *x, struct err *e)
{
	struct entry one;
	int r;

	if (!x->has_run) {
		if (!cur_left(&x->cur))
			return 0;
		if (entry_decode(&x->cur, &x->hello, x->frame.disk, &x->run, e) < 0)
			return -1;
		r = taken_add(&x->asked, FT_DESC, x->frame.disk, x->frame.epoch, &x->run, e);
		if (r < 0)
			return -1;
		x->run_again = r;
		if (x->run.flags & EF_ZERO)
			return answer(x, FT_ZERO, x->frame.disk, x->frame.epoch, &x->run, e) < 0 ?
			    -1 : 1;
	}
	x->has_run = entry_cut(&x->run, x->hello.chunk_size, &one);
	return ask(x, x->frame.disk, x->frame.epoch, &one, x->run_again, e) < 0 ? -1 : 1;
}

static int take_hello(struct workers *x, const struct frame *f, struct err *e)
{
	if (x->has_hello)
		return err_set(e, DM_BAD, "input: a second HELLO");
	if (hello_decode(f, &x->hello, e) < 0)
		return -1;
	x->has_hello = true;
	if (x->hello.kind == KIND_IDS)
		return err_set(e, DM_USAGE, "input: a stream of identities asks for nothing");
	taken_init(&x->asked, &x->hello);
	tally_init(&x->gave, &x->hello);
	x->point = x_array(x->hello.ndisks, sizeof *x->point);
	x->past = x_array(x->hello.ndisks, sizeof *x->past);
	for (unsigned i = 0; i < x->n; i++)
		x->worker[i].restart_at = 0;	/* at once */
	return frame_pass(x->out, f, e);
}

static int take_entry(struct workers *x, const struct frame *f, struct err *e)
{
	struct entry en;

	if (entry_frame_decode(f, &x->hello, &en, e) < 0 ||
	    taken_add(&x->asked, f->type, f->disk, f->epoch, &en, e) < 0)
		return -1;
	return answer(x, f->type, f->disk, f->epoch, &en, e);
}

static int take_barrier(struct workers *x, const struct frame *f, struct err *e)
{
	struct barrier b;

	if (barrier_decode(f, &b, e) < 0 || epochs_close(&x->asked.epochs, f->epoch, &b, e) < 0)
		return -1;
	x->barrier[f->epoch % EPOCHS_AHEAD] = b;
	x->epoch = f->epoch + 1;
	return 0;
}

static int pass(struct workers *x, const struct frame *f, struct err *e)
{
	return passed_check(f, &x->hello, e) < 0 ? -1 : frame_pass(x->out, f, e);
}

static int take_end(struct workers *x, const struct frame *f, struct err *e)
{
	struct tally end;

	if (end_decode(f, &end, e) < 0 || taken_end(&x->asked, &end, "input", e) < 0)
		return -1;
	x->input_ended = true;
	x->ended_at = time_mono();
	return 0;
}

static int take_frame(struct workers *x, struct frame *f, struct err *e)
{
	if (f->type == FT_ABORT)
		return abort_decode(f, e);
	if (!x->has_hello && f->type != FT_HELLO)
		return err_set(e, DM_BAD, "input: does not begin with HELLO");
	switch (f->type) {
	case FT_HELLO:
		return take_hello(x, f, e);
	case FT_DESC:
		frame_keep(f);
		x->frame = *f;
		x->has_frame = true;
		x->cur = (struct cursor){ .p = f->body, .end = f->body + f->len };
		/* Requests of later epochs than the open one have lost a barrier. */
		return f->epoch == x->epoch ? 0 : err_set(e, DM_BAD,
		    "input: requests of epoch %u in epoch %u", f->epoch, x->epoch);
	case FT_ZERO:
	case FT_REF:
	case FT_HELD:
		return take_entry(x, f, e);
	case FT_BARRIER:
		return take_barrier(x, f, e);
	case FT_FINAL:
		return pass(x, f, e);
	case FT_END:
		return take_end(x, f, e);
	case FT_CHUNK:
		return err_set(e, DM_USAGE, "input: chunks, not requests "
		    "(without a command dm-recv takes chunks)");
	default:
		return frame_misplaced(f, "input", e) < 0 ? -1 : pass(x, f, e);
	}
}

/* Go on with what was read, as far as there is room. */
static int take_frames(struct workers *x, struct err *e)
{
	struct frame f;
	int r;

	while (workers_want_input(x)) {
		if (x->has_frame) {
			r = next_entry(x, e);
			if (r < 0)
				return -1;
			if (r)
				continue;
			frame_drop(&x->frame);
			x->has_frame = false;
		}
		r = frame_next(x->in, &f, e);
		if (r <= 0)
			return r;
		if (take_frame(x, &f, e) < 0)
			return -1;
	}
	return 0;
}

int workers_take_input(struct workers *x, struct err *e)
{
	long n;

	/* First what is here already; only then read more. */
	if (take_frames(x, e) < 0)
		return -1;
	if (!x->input_open || !workers_want_input(x))
		return 0;
	n = frame_fill(x->in, e);
	if (n < 0)
		return e->code ? -1 : 0;
	if (n > 0)
		return take_frames(x, e);
	x->input_open = false;
	return x->input_ended ? 0 : err_cut(e, "input");
}

static struct worker *least_loaded(struct workers *x)
{
	struct worker *best = NULL;

	for (unsigned i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		if (w->state != WORKER_READY || w->end_sent)
			continue;
		if (x->n > 1 && w->owed.n &&
		    (w->owed.cost >= WORKER_BYTES || w->owed.n >= WORKER_OWED))
			continue;
		if (!best || w->owed.cost < best->owed.cost)
			best = w;
	}
	return best;
}

static int give(struct workers *x, struct worker *w, struct request *r, struct err *e)
{
	struct entry en;

	if (request_entry(r, &x->hello, &en, e) < 0)
		return -1;
	request_unlink(&x->todo, r);
	if (!w->owed.n)
		w->heard = time_mono();
	request_append(&w->owed, r);
	r->owner = w;
	tally_add(&w->asked, r->disk, &en, x->hello.chunk_size);
	if (w->batch.epoch != r->epoch && desc_flush(w->out, &w->batch, e) < 0)
		return -1;
	w->batch.epoch = r->epoch;
	return desc_add(w->out, &w->batch, r->disk, &en, e);
}

int workers_assign(struct workers *x, struct err *e)
{
	struct request *r, *next;
	struct worker *w;
	int64_t now = x->later.first ? time_mono() : 0;

	for (r = x->later.first; r; r = next) {
		next = r->next;
		if (r->due > now) {
			wake_at(x, r->due);
			continue;
		}
		request_unlink(&x->later, r);
		request_append(&x->todo, r);
	}
	while ((r = x->todo.first) && (w = least_loaded(x)))
		if (give(x, w, r, e) < 0)
			return -1;
	for (unsigned i = 0; i < x->n; i++)
		if (worker_runs(&x->worker[i]) &&
		    desc_flush(x->worker[i].out, &x->worker[i].batch, e) < 0)
			return -1;
	return 0;
}
