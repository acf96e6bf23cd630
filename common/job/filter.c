#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/progress.h"
#include "content/codec.h"
#include "job/failure.h"
#include "job/filter.h"
#include "job/taken.h"

struct filter {
	const struct filter_options *o;
	struct frame_in *in;
	struct frame_out *out;
	struct hello hello;
	bool has_hello, ended;
	struct taken taken;
	struct codec_ctx *codec;
	uint8_t *plain;			/* one chunk, for --verify */
	struct progress *progress;
};

static int take_hello(struct filter *x, const struct frame *f, struct err *e)
{
	if (x->has_hello)
		return err_set(e, DM_BAD, "input: a second HELLO");
	if (hello_decode(f, &x->hello, e) < 0)
		return -1;
	x->has_hello = true;
	taken_init(&x->taken, &x->hello);
	if (!x->o->verify)
		return 0;
	x->codec = codec_new();
	x->plain = x_pages(x->hello.chunk_size, e);
	return x->plain ? 0 : -1;
}

/* The identity is of the whole chunk, so fragments cannot be compared. */
static int verify_content(struct filter *x, const struct chunk *c, struct err *e)
{
	struct id id;

	if (!(c->en.flags & EF_ID) || (c->en.flags & EF_FRAGS))
		return 0;
	if (codec_unpack(x->codec, c->codec, c->data, c->stored, x->plain, c->plain, e) < 0)
		return err_prefix(e, "entry %llu", (unsigned long long)c->en.index);
	id_content(x->hello.algo, x->hello.chunk_size, x->plain, c->plain, NULL, &id);
	if (!id_equal(&id, &c->en.id))
		return err_set(e, DM_BAD, "entry %llu: its content is not what its id names",
		    (unsigned long long)c->en.index);
	return 0;
}

static int take_chunk(struct filter *x, const struct frame *f, struct err *e)
{
	struct chunk c;

	if (chunk_decode(f, &x->hello, &c, e) < 0 ||
	    taken_add(&x->taken, f->type, f->disk, f->epoch, &c.en, e) < 0)
		return -1;
	return x->o->verify ? verify_content(x, &c, e) : 0;
}

static int take_entry(struct filter *x, const struct frame *f, struct err *e)
{
	struct entry en;

	if (entry_frame_decode(f, &x->hello, &en, e) < 0)
		return -1;
	return taken_add(&x->taken, f->type, f->disk, f->epoch, &en, e) < 0 ? -1 : 0;
}

static int take_barrier(struct filter *x, const struct frame *f, struct err *e)
{
	struct barrier b;

	if (barrier_decode(f, &b, e) < 0)
		return -1;
	return epochs_close(&x->taken.epochs, f->epoch, &b, e);
}

static int take_end(struct filter *x, const struct frame *f, struct err *e)
{
	struct tally end;

	if (end_decode(f, &end, e) < 0 || taken_end(&x->taken, &end, "input", e) < 0)
		return -1;
	x->ended = true;
	return 0;
}

static int take_frame(struct filter *x, const struct frame *f, struct err *e)
{
	if (f->type == FT_ABORT)
		return abort_decode(f, e);
	if (!x->has_hello && f->type != FT_HELLO)
		return err_set(e, DM_BAD, "input: does not begin with HELLO");
	switch (f->type) {
	case FT_HELLO:
		return take_hello(x, f, e);
	case FT_CHUNK:
		return take_chunk(x, f, e);
	case FT_ZERO:
	case FT_REF:
	case FT_HELD:
		return take_entry(x, f, e);
	case FT_BARRIER:
		return take_barrier(x, f, e);
	case FT_FINAL:
	case FT_NAK:
	case FT_STAT:
	case FT_PROGRESS:
		return passed_check(f, &x->hello, e);
	case FT_END:
		return take_end(x, f, e);
	case FT_DESC:
		return err_set(e, DM_USAGE, "input: requests, not chunks (dm-send belongs in front, "
		    "or behind: dm-recv -- dm-send ...)");
	default:
		return frame_misplaced(f, "input", e);
	}
}

/* Wait for input, and see at once when nobody reads the output any more. */
static int filter_wait(struct filter *x, struct err *e)
{
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN }, { .fd = STDOUT_FILENO },
	};

	if (poll(p, 2, 0) == 0) {
		/* What was verified shall not wait with us. */
		if (frame_flush(x->out, e) < 0)
			return -1;
		while (poll(p, 2, -1) < 0 && errno == EINTR)
			;
	}
	if (p[1].revents & (POLLERR | POLLNVAL))
		return err_sys(e, DM_ENV, EPIPE, "output");
	return 0;
}

static int filter_frames(struct filter *x, struct err *e)
{
	struct frame f;
	long n;
	int r;

	while ((r = frame_next(x->in, &f, e)) > 0) {
		if (take_frame(x, &f, e) < 0)
			return -1;
		if (x->ended)
			break;
		if (frame_pass(x->out, &f, e) < 0)
			return -1;
		if (x->progress)
			progress_set(x->progress, x->taken.tally.bytes, 0, NULL);
	}
	if (r < 0 || x->ended)
		return r < 0 ? -1 : 0;
	if (filter_wait(x, e) < 0)
		return -1;
	n = frame_fill(x->in, e);
	if (n < 0)
		return e->code ? -1 : 0;
	return n ? 0 : err_cut(e, "input");
}

static int filter_stream(struct filter *x, struct err *e)
{
	while (!x->ended)
		if (filter_frames(x, e) < 0)
			return -1;
	/* Only what has an end is passed on as ended. */
	if (frame_in_close(x->in, e) < 0 || end_put(x->out, &x->taken.tally, e) < 0)
		return -1;
	return frame_flush(x->out, e);
}

int filter_run(const struct filter_options *o, struct err *e)
{
	struct filter x = { .o = o };
	int r = -1;

	if (o->progress)
		x.progress = progress_new("dm-recv", true);
	x.out = frame_out_new(STDOUT_FILENO, "output", e);
	if (x.out) {
		x.in = frame_in_new(STDIN_FILENO, "input");
		frame_in_seal(x.in, o->unseal);
		r = filter_stream(&x, e);
		if (r < 0)
			failure_tell(x.out, STDOUT_FILENO, e);
	}
	progress_end(x.progress);
	if (x.has_hello) {
		taken_free(&x.taken);
		hello_free(&x.hello);
	}
	codec_free(x.codec);
	free(x.plain);
	frame_in_free(x.in);
	frame_out_free(x.out);
	return r;
}
