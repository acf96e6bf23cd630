/* The reader of acks. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/commit_impl.h"

#define ABORT_MS 2000	/* for an ABORT to reach dm-window */
#define END_MS 5000	/* for the last acks */

static int take_hello(struct commit *c, const struct frame *f, struct err *e)
{
	if (c->greeted)
		return err_set(e, DM_BAD, "input: a second HELLO");
	if (hello_decode(f, &c->hello, e))
		return -1;
	c->greeted = true;
	c->began = time_now();
	c->disk = x_try(c->hello.ndisks, sizeof(*c->disk), e);
	if (!c->disk)
		return -1;
	tally_init(&c->tally, &c->hello);
	return commit_check_hello(c, e);
}

static int take_written(struct commit *c, const struct frame *f, struct err *e)
{
	struct written w;
	uint64_t n;
	int rc;

	if (written_decode(f, &c->hello, &w, e))
		return -1;
	if (f->epoch <= c->durable_epoch)
		return err_set(e, DM_BAD, "input: chunk %llu acknowledged in epoch %u, which was "
		    "durable already", (unsigned long long)w.en.index, f->epoch);
	n = entry_count(&w.en, c->hello.chunk_size);
	rc = iset_add(c->done, w.en.index, n);
	if (rc > 0)
		return err_set(e, DM_BAD, "input: chunk %llu acknowledged twice",
		    (unsigned long long)w.en.index);
	if (rc < 0)
		return err_set(e, DM_ENV, "out of memory");
	tally_add(&c->tally, f->disk, &w.en, c->hello.chunk_size);
	c->disk[f->disk].changed += entry_bytes(&w.en);
	if (f->epoch > c->last_epoch)
		c->last_epoch = f->epoch;
	return 0;
}

static int take_durable(struct commit *c, const struct frame *f, struct err *e)
{
	uint64_t count;

	if (durable_decode(f, &count, e))
		return -1;
	if (f->epoch < c->durable_epoch)
		return err_set(e, DM_BAD, "input: epoch %u durable after epoch %u", f->epoch,
		    c->durable_epoch);
	if (count < c->durable || count > iset_count(c->done))
		return err_set(e, DM_BAD, "input: %llu chunks durable of %llu acknowledged",
		    (unsigned long long)count, (unsigned long long)iset_count(c->done));
	c->durable_epoch = f->epoch;
	c->durable = count;
	return 0;
}

static int take_final(struct commit *c, const struct frame *f, struct err *e)
{
	struct final x;
	struct commit_disk *d;

	if (final_decode(f, &x, e))
		return -1;
	if (f->disk >= c->hello.ndisks) {
		final_free(&x);
		return err_set(e, DM_BAD, "input: FINAL for disk %u of %u", f->disk,
		    c->hello.ndisks);
	}
	d = &c->disk[f->disk];
	if (d->has_final[x.side - 1]) {
		final_free(&x);
		return err_set(e, DM_BAD, "input: a second FINAL for disk %s",
		    c->hello.disk[f->disk].name);
	}
	d->final[x.side - 1] = x;
	d->has_final[x.side - 1] = true;
	return 0;
}

/* END goes on to dm-window only when the checkpoint stands. */
static int take_end(struct commit *c, struct frame *f, struct err *e)
{
	struct tally end = { 0 };

	if (end_decode(f, &end, e) || commit_check_end(c, &end, e))
		return -1;
	frame_keep(f);
	c->end = *f;
	c->end_kept = true;
	c->ended = true;
	return 0;
}

static int take(struct commit *c, struct frame *f, struct err *e)
{
	int rc;

	if (f->type == FT_ABORT)
		return abort_decode(f, e);
	if (f->type != FT_HELLO && !c->greeted)
		return err_set(e, DM_BAD, "input: %s before HELLO", frame_type_name(f->type));
	switch (f->type) {
	case FT_HELLO:
		rc = take_hello(c, f, e);
		break;
	case FT_WRITTEN:
		rc = take_written(c, f, e);
		break;
	case FT_DURABLE:
		rc = take_durable(c, f, e);
		break;
	case FT_FINAL:
		rc = take_final(c, f, e);
		break;
	case FT_END:
		return take_end(c, f, e);
	case FT_NAK:
	case FT_STAT:
	case FT_PROGRESS:
		rc = passed_check(f, &c->hello, e);
		break;
	default:
		if (f->flags & FF_MAY_IGNORE)
			return 0;
		return err_set(e, DM_BAD, "input: a frame of type %s is no ack",
		    frame_type_name(f->type));
	}
	return rc ? -1 : ack_feed_pass(c->feed, f, e);
}

/* All frames that are here.  0 or -1. */
static int take_all(struct commit *c, struct err *e)
{
	struct frame f;
	int rc = 0;

	while (!c->ended && (rc = frame_next(c->in, &f, e)) == 1)
		if (take(c, &f, e))
			return -1;
	return rc < 0 ? -1 : 0;
}

/* Read to END; acks go on as they come. */
static int read_acks(struct commit *c, int fd, struct err *e)
{
	struct pollfd p[2];

	for (;;) {
		int wait;

		if (take_all(c, e) || ack_feed_pump(c->feed, e))
			return -1;
		if (c->ended)
			return frame_in_close(c->in, e);
		wait = ack_feed_poll(c->feed, &p[1]);
		p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (poll(p, 2, wait) > 0 && p[0].revents) {
			long n = frame_fill(c->in, e);

			if (n < 0 && e->code)
				return -1;
			if (n == 0)
				return err_cut(e, "input");
		}
	}
}

static int prepare(struct commit *c, struct err *e)
{
	c->site = site_open(c->how->site, e);
	if (!c->site)
		return -1;
	c->lock = catalog_lock_workload(c->site, c->how->workload, e);
	if (c->lock < 0)
		return -1;
	c->latest = catalog_latest(c->site, c->how->workload, e);
	if (!c->latest)
		return e->code ? -1 : 0;
	return catalog_trust(c->site, c->latest, e);
}

static void clean(struct commit *c)
{
	for (uint32_t i = 0; c->disk && i < c->hello.ndisks; i++)
		for (int side = 0; side < 2; side++)
			if (c->disk[i].has_final[side])
				final_free(&c->disk[i].final[side]);
	free(c->disk);
	hello_free(&c->hello);
	if (c->end_kept)
		frame_drop(&c->end);
	session_close(c->session);
	frame_in_free(c->in);
	iset_free(c->done);
	checkpoint_free(c->latest);
	fd_close(c->lock);
	site_close(c->site);
	ack_feed_free(c->feed);
}

/* Tell dm-window how it ended; what fails here changes nothing any more. */
static void tell(struct commit *c, const struct err *why)
{
	struct err ignored = { 0 };

	if (why->code && ack_feed_abort(c->feed, why, &ignored) == 0)
		ack_feed_finish(c->feed, ABORT_MS, &ignored);
	if (!why->code && ack_feed_pass(c->feed, &c->end, &ignored) == 0)
		ack_feed_finish(c->feed, END_MS, &ignored);
}

int commit_run(const struct commit_how *how, int fd, struct checkpoint **out, struct err *e)
{
	struct commit c = { .how = how, .lock = -1 };
	int rc;

	*out = NULL;
	c.feed = ack_feed_new(how->acks, e);
	if (!c.feed)
		return -1;
	c.in = frame_in_new(fd, "input");
	c.done = iset_new();
	rc = prepare(&c, e) || read_acks(&c, fd, e) || commit_publish(&c, out, e);
	tell(&c, e);
	clean(&c);
	return rc ? -1 : 0;
}
