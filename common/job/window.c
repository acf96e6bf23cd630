/* dm-window's loop.  It never blocks on any descriptor: whoever dies first,
 * it sees the end of file, the broken pipe or the ABORT, and ends too. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/extent.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/failure.h"
#include "job/window_impl.h"

/* After our END and theirs: for the end of file behind it. */
#define LEAVE_AFTER (2 * SECOND)
/* After a failure: for the ABORT to go out, or for one to come in. */
#define TELL_WITHIN (30 * SECOND)
#define HEAR_WITHIN (5 * SECOND)

static int acks_open(struct window *w, struct err *e)
{
	struct stat st;

	w->ack_fd = open(w->o->acks, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (w->ack_fd < 0)
		return err_sys(e, errno == ENOENT ? DM_USAGE : DM_ENV, errno,
		    "%s (make it with mkfifo)", w->o->acks);
	if (fstat(w->ack_fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return err_set(e, DM_USAGE, "%s: no FIFO (make one with mkfifo)", w->o->acks);
	w->acks = frame_in_new(w->ack_fd, "acks");
	w->ack_open = true;
	return 0;
}

static int window_start(struct window *w, struct err *e)
{
	w->ack_fd = -1;
	w->moved = time_mono();
	w->wall = time_now() - w->moved;
	w->input_flags = fcntl(STDIN_FILENO, F_GETFL);
	w->output_flags = fcntl(STDOUT_FILENO, F_GETFL);
	w->out = frame_out_new(STDOUT_FILENO, "output", e);
	if (!w->out)
		return -1;
	w->output_open = true;
	frame_out_nonblock(w->out);
	frame_out_seal(w->out, w->o->seal);
	if (window_share_open(w, e) < 0 || (w->o->acks && acks_open(w, e) < 0))
		return -1;
	if (fd_nonblock(STDIN_FILENO, true) < 0 || fd_nonblock(STDOUT_FILENO, true) < 0)
		return err_sys(e, DM_ENV, errno, "standard input or output");
	w->in = frame_in_new(STDIN_FILENO, "input");
	frame_in_seal(w->in, w->o->unseal);
	w->input_open = true;
	w->seen = iset_new();
	return 0;
}

static void window_free(struct window *w)
{
	if (w->output_open && w->output_flags >= 0)
		fcntl(STDOUT_FILENO, F_SETFL, w->output_flags);
	if (w->input_flags >= 0)
		fcntl(STDIN_FILENO, F_SETFL, w->input_flags);
	progress_end(w->progress);
	window_report_close(w);
	free(w->disk);
	budget_close(w->budget);
	for (size_t i = 0; i < w->nback; i++)
		free(w->back[i].body);
	free(w->back);
	buf_free(&w->batch.body);
	schedule_free(w->schedule);
	resume_close(w->resume);
	have_close(w->have);
	if (w->seen)
		iset_free(w->seen);
	frame_in_free(w->acks);
	fd_close(w->ack_fd);
	frame_in_free(w->in);
	frame_out_free(w->out);
	if (w->has_hello)
		hello_free(&w->hello);
}

static int emit_end(struct window *w, struct err *e)
{
	for (size_t i = 0; i < w->nback; i++)
		if (frame_put1(w->out, FT_FINAL, 0, w->back[i].disk, schedule_epoch(w->schedule),
		    w->back[i].body, w->back[i].len, e) < 0)
			return -1;
	w->end_sent = true;
	return end_put(w->out, &w->gave, e);
}

static int emit_issue(struct window *w, const struct issue *x, struct err *e)
{
	if (x->type == FT_BARRIER) {
		if (desc_flush(w->out, &w->batch, e) < 0)
			return -1;
		return barrier_put(w->out, x->epoch, &x->barrier, e);
	}
	if (!x->again)
		tally_add(&w->gave, x->disk, x->en, w->hello.chunk_size);
	if (!w->o->acks) {
		w->written += entry_bytes(x->en);
		w->disk[x->disk].written += entry_bytes(x->en);
		w->disk[x->disk].fetched += x->type == FT_HELD ? 0 : entry_bytes(x->en);
	}
	if (x->type == FT_DESC) {
		w->batch.epoch = x->epoch;
		return desc_add(w->out, &w->batch, x->disk, x->en, e);
	}
	return entry_frame_put(w->out, x->type, x->disk, x->epoch, x->en, e);
}

/* Behind END comes the end of file; but a wrapper around its writer may hold
 * the descriptor open. */
static bool nothing_follows(const struct window *w)
{
	return !w->input_open || time_mono() - w->ended_at > SECOND;
}

int window_emit(struct window *w, struct err *e)
{
	struct issue x;
	int r;

	w->more = false;
	if (!w->schedule || w->end_sent)
		return 0;
	if (window_share_turn(w, e) < 0)
		return -1;
	for (;;) {
		w->more = frame_out_queued(w->out) + w->batch.body.len >= WINDOW_QUEUE;
		if (w->more)
			break;
		r = schedule_next(w->schedule, &x, window_clock(w), e);
		if (r < 0)
			return -1;
		if (!r)
			break;
		if (emit_issue(w, &x, e) < 0)
			return -1;
	}
	if (desc_flush(w->out, &w->batch, e) < 0)
		return -1;
	/* Without acks nothing is in flight; with them everything came back. */
	return schedule_done(w->schedule) && nothing_follows(w) ? emit_end(w, e) : 0;
}

void window_show(struct window *w)
{
	char note[96] = "", size[16], *p = note;
	uint64_t sent = 0, read = 0, scanned = 0, to_scan = 0;
	enum law_reason why;

	if (!w->progress)
		return;
	for (uint32_t i = 0; i < w->hello.ndisks; i++) {
		sent += w->disk[i].sent;
		read += w->disk[i].read;
		scanned += w->disk[i].scanned;
		to_scan += w->disk[i].to_scan;
	}
	if (!w->input_ended && to_scan)
		p += snprintf(p, 32, "scanned %u%%",
		    (unsigned)(100.0 * (double)scanned / (double)to_scan));
	if (sent)
		p += snprintf(p, 24, "%s%.1f:1", *note ? ", " : "", (double)read / (double)sent);
	if (w->hello.ndisks > 1)
		p += snprintf(p, 24, "%s%u disks", *note ? ", " : "", w->hello.ndisks);
	if (w->schedule && w->o->acks && !w->end_sent) {
		size_format(window_mean(w, &why), size);
		snprintf(p, 40, "%swindow %s (%s)", *note ? ", " : "", size, law_reason_name(why));
	}
	progress_set(w->progress, w->written, w->input_ended ? w->took.bytes : 0, note);
}

/* Nobody reads the output any more, or nothing is left to be said. */
static void output_close(struct window *w)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fcntl(STDOUT_FILENO, F_SETFL, w->output_flags);
	w->output_open = false;
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
		close(STDOUT_FILENO);
	fd_close(null);
}

/* The output broke: its reader failed, and the acks may say why. */
static int output_lost(struct window *w, struct err *e)
{
	output_close(w);
	return err_sys(e, DM_ENV, EPIPE, "output");
}

static int output_pump(struct window *w, struct err *e)
{
	size_t before = frame_out_queued(w->out);

	if (!w->output_open || !before)
		return 0;
	if (frame_pump(w->out, e) < 0) {
		output_close(w);
		return -1;
	}
	if (frame_out_queued(w->out) < before)
		w->moved = time_mono();
	return 0;
}

struct events {
	short input, acks, output;
};

static int64_t window_deadline(const struct window *w)
{
	return w->leave_at ? w->leave_at : w->moved + (int64_t)w->o->timeout * SECOND;
}

/* Wait until something can be done or the deadline passes: 1 something, 0
 * the deadline. */
static int window_wait(struct window *w, struct events *ev)
{
	struct pollfd p[3] = {
		{ .fd = w->input_open ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = w->ack_open ? w->ack_fd : -1, .events = POLLIN },
		{ .fd = w->output_open ? STDOUT_FILENO : -1,
		  .events = frame_out_queued(w->out) ? POLLOUT : 0 },
	};
	int64_t left, due;

	/* Without acks the pipe is the window, and a reader may take its time:
	 * a pipe holds the requests for many gigabytes. */
	if (!w->o->acks && !w->leave_at && frame_out_queued(w->out))
		w->moved = time_mono();
	if (w->schedule && schedule_paced(w->schedule))
		w->moved = time_mono();
	left = window_deadline(w) - time_mono();
	if (left <= 0)
		return 0;
	left = left / 1000000 + 1;
	left = left > 1000 ? 1000 : left;
	due = w->schedule && !w->end_sent ? (window_share_due(w) - window_clock(w)) / 1000000 + 1 : left;
	if (due < left)
		left = due > 0 ? due : 0;
	if (w->more && frame_out_queued(w->out) < WINDOW_QUEUE)
		left = 0;	/* it was full, and is not any more */
	if (poll(p, 3, (int)left) < 0)
		p[0].revents = p[1].revents = p[2].revents = 0;
	*ev = (struct events){ p[0].revents, p[1].revents, p[2].revents };
	return 1;
}

/* One round while all is well: 1 go on, 0 done, -1 with *e. */
static int window_turn(struct window *w, struct err *e)
{
	struct events ev;

	if (window_emit(w, e) < 0 || output_pump(w, e) < 0)
		return -1;
	if (w->end_sent && w->output_open && !frame_out_queued(w->out)) {
		if (!w->o->acks)
			return 0;
		output_close(w);	/* its reader waits for the end of file */
	}
	if (w->ack_ended && !w->ack_open)
		return 0;
	if (w->ack_ended && !w->leave_at)
		w->leave_at = time_mono() + LEAVE_AFTER;
	if (!window_wait(w, &ev)) {
		if (w->ack_ended)
			return 0;
		err_set(e, DM_ENV, "nothing moved for %llu seconds",
		    (unsigned long long)w->o->timeout);
		e->cls = CLASS_TIMEOUT;
		return -1;
	}
	window_show(w);
	window_report_turn(w);
	/* The acks first: their ABORT is nearer to the cause than our output
	 * breaking. */
	if (ev.acks && window_take_acks(w, e) < 0)
		return -1;
	if (ev.input && window_take_input(w, e) < 0)
		return -1;
	if (ev.output & (POLLERR | POLLHUP | POLLNVAL))
		return output_lost(w, e);
	return 1;
}

/* Pass the cause on, downstream. */
static void window_tell(struct window *w, struct err *e)
{
	struct err e2 = { 0 };
	struct events ev;

	w->input_open = w->ack_open = false;
	w->leave_at = time_mono() + TELL_WITHIN;
	if (abort_put(w->out, e, &e2) < 0)
		return;
	while (output_pump(w, &e2) == 0 && frame_out_queued(w->out)) {
		if (!window_wait(w, &ev))
			return;
		if (ev.output & (POLLERR | POLLHUP | POLLNVAL))
			e2.quiet = 1;
		if (e2.quiet)
			break;
	}
	if (e2.quiet)
		failure_unheard(e);
	else if (!e2.code)
		failure_told(STDOUT_FILENO, e);
}

/* Our reader went away without a word: whoever sends the acks may know why,
 * and that code is ours then. */
static void window_hear(struct window *w, struct err *e)
{
	struct err e2 = { 0 };
	struct events ev;

	w->input_open = false;
	w->leave_at = time_mono() + HEAR_WITHIN;
	while (w->ack_open && window_wait(w, &ev)) {
		if (!ev.acks || window_take_acks(w, &e2) == 0)
			continue;
		if (e2.relayed) {
			*e = e2;
			e->quiet = 1;
		}
		return;
	}
}

int window_run(const struct window_options *o, struct err *e)
{
	struct window w = { .o = o };
	int r = window_start(&w, e);

	while (!r) {
		r = window_turn(&w, e);
		if (r == 0)
			break;
		r = r < 0 ? -1 : 0;
	}
	if (r < 0 && w.output_open)
		window_tell(&w, e);
	if (r < 0 && w.ack_abort)
		e->quiet = 1;
	else if (r < 0 && !w.output_open && e->quiet && w.acks && frame_in_started(w.acks))
		window_hear(&w, e);
	window_free(&w);
	return r;
}
