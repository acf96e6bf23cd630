#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "job/describe.h"
#include "job/describe_stream.h"
#include "job/digest.h"

#define FLUSH_EVERY 100000000	/* ns */

struct describing {
	struct hello hello;
	struct frame_in *in;
	struct frame_out *o;
	struct describe *d;
	struct digest *g;		/* NULL: no ids asked for */
	struct desc_batch batch;
	struct tally taken, tally;	/* of extents, of descriptors */
	bool regrid;			/* our chunk size is not the input's */
	uint64_t index;
	int64_t flushed;
};

/* The last station: number, count, write. */
static int put_entry(void *arg, uint32_t disk, const struct entry *en, struct err *e)
{
	struct describing *s = arg;
	struct entry mine = *en;

	mine.index = s->index;
	s->index += entry_count(&mine, s->hello.chunk_size);
	tally_add(&s->tally, disk, &mine, s->hello.chunk_size);
	return desc_add(s->o, &s->batch, disk, &mine, e);
}

/* Nothing that could go on stays here. */
static int flush_all(struct describing *s, struct err *e)
{
	s->flushed = time_mono();
	if (describe_flush(s->d, e) != 0 || (s->g && digest_flush(s->g, e) != 0))
		return -1;
	return desc_flush(s->o, &s->batch, e) == 0 ? frame_flush(s->o, e) : -1;
}

static int take_extents(struct describing *s, const struct frame *f, struct err *e)
{
	struct cursor c = { f->body, f->body + f->len, false };
	struct extent x;

	while (cur_left(&c)) {
		if (extent_decode(&c, &s->hello, f->disk, &x, e) != 0)
			return -1;
		tally_add_extent(&s->taken, f->disk, &x);
		if (describe_extent(s->d, f->disk, &x, e) != 0)
			return -1;
	}
	return 0;
}

static int take_end(struct describing *s, const struct frame *f, struct err *e)
{
	struct tally said = { 0 };

	if (end_decode(f, &said, e) != 0)
		return -1;
	if (!tally_equal(&said, &s->taken))
		return err_set(e, DM_BAD, "input: END does not agree with the extents that came");
	if (frame_in_close(s->in, e) != 0)
		return -1;
	if (describe_end(s->d, e) != 0 || flush_all(s, e) != 0)
		return -1;
	return end_put(s->o, &s->tally, e) == 0 ? frame_flush(s->o, e) : -1;
}

static int pass(struct describing *s, const struct frame *f, struct err *e)
{
	return passed_check(f, &s->hello, e) == 0 ? frame_pass(s->o, f, e) : -1;
}

/* A root holds for one chunk size only. */
static int take_final(struct describing *s, const struct frame *f, struct err *e)
{
	struct final x;
	int r = final_decode(f, &x, e);

	if (r == 0 && s->regrid && (x.flags & FINAL_ROOT))
		r = err_set(e, DM_USAGE, "--chunk-size: the input's roots hold for its own chunk size");
	final_free(&x);
	return r == 0 ? pass(s, f, e) : -1;
}

/* One frame: 0 go on, 1 that was END, -1. */
static int take_frame(struct describing *s, const struct frame *f, struct err *e)
{
	switch (f->type) {
	case FT_EXTENT:
		return take_extents(s, f, e);
	case FT_END:
		return take_end(s, f, e) == 0 ? 1 : -1;
	case FT_ABORT:
		return abort_decode(f, e);
	case FT_FINAL:
		return take_final(s, f, e);
	case FT_BARRIER:
	case FT_STAT:
	case FT_PROGRESS:
		return pass(s, f, e);
	default:
		if (f->flags & FF_MAY_IGNORE)
			return frame_pass(s->o, f, e);
		return err_set(e, DM_BAD, "input: unexpected %s frame: not a stream of extents",
		    frame_type_name(f->type));
	}
}

/* Read more; before waiting for it, let go of everything. */
static int wait_input(struct describing *s, int in_fd, struct err *e)
{
	struct pollfd p = { .fd = in_fd, .events = POLLIN };
	long n;

	if (poll(&p, 1, 0) == 0 && flush_all(s, e) != 0)
		return -1;
	n = frame_fill(s->in, e);
	if (n == 0)
		return err_cut(e, "input");
	if (n < 0 && !e->code)	/* non-blocking input */
		return poll(&p, 1, -1) < 0 && errno != EINTR ? err_sys(e, DM_ENV, errno, "input") : 0;
	return n < 0 ? -1 : 0;
}

static int describe_frames(struct describing *s, int in_fd, struct err *e)
{
	struct frame f;
	int r = 0;

	while (r == 0) {
		r = frame_next(s->in, &f, e);
		if (r == 1)
			r = take_frame(s, &f, e);
		else if (r == 0)
			r = wait_input(s, in_fd, e);
		if (r == 0 && time_mono() - s->flushed > FLUSH_EVERY)
			r = flush_all(s, e);
	}
	return r == 1 ? 0 : -1;
}

static int begin(struct describing *s, int out_fd, const struct describe_opts *opt, struct err *e)
{
	struct hello *h = &s->hello;

	if (hello_read(s->in, h, e) != 0)
		return -1;
	s->regrid = opt->chunk_size && opt->chunk_size != h->chunk_size;
	for (uint32_t i = 0; s->regrid && i < h->ndisks; i++)
		if (h->disk[i].flags & (DF_BASE_ROOT | DF_TARGET_ROOT))
			return err_set(e, DM_USAGE, "--chunk-size: the input's roots hold for its own chunk size");
	if (opt->chunk_size)
		h->chunk_size = opt->chunk_size;
	tally_init(&s->tally, h);
	tally_init(&s->taken, h);
	s->batch.epoch = 1;
	if (opt->nvolumes) {
		s->g = digest_new(h, opt->volume, opt->nvolumes, out_fd, put_entry, s, e);
		if (!s->g)
			return -1;
	}
	s->d = describe_new(h, s->g ? digest_entry : put_entry, s->g ? (void *)s->g : s);
	return hello_put(s->o, h, e);
}

int describe_stream(int in_fd, struct frame_out *o, int out_fd, const struct describe_opts *opt,
    struct err *e)
{
	struct describing s = { .o = o, .in = frame_in_new(in_fd, "input") };
	int r;

	frame_in_seal(s.in, opt->unseal);
	r = begin(&s, out_fd, opt, e);
	if (r == 0)
		r = describe_frames(&s, in_fd, e);
	digest_free(s.g);
	describe_free(s.d);
	buf_free(&s.batch.body);
	frame_in_free(s.in);
	hello_free(&s.hello);
	return r;
}
