/* dm-recv's loop with workers.  It never blocks on any descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fdio.h"
#include "job/failure.h"
#include "job/workers_impl.h"

#define TELL_WITHIN (30 * SECOND)

static int workers_start(struct workers *x, struct err *e)
{
	x->input_flags = fcntl(STDIN_FILENO, F_GETFL);
	x->output_flags = fcntl(STDOUT_FILENO, F_GETFL);
	if (x->o->progress)
		x->progress = progress_new("dm-recv", true);
	x->table = requests_new();
	x->epoch = x->gate = 1;
	x->n = (unsigned)(x->o->streams * x->o->ncommands);
	x->worker = x_array(x->n, sizeof *x->worker);
	for (unsigned i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		w->all = x;
		w->command = x->o->command[i % x->o->ncommands];
		w->child = (struct child){ .in = -1, .out = -1 };
		w->restart_at = INT64_MAX;
		snprintf(w->name, sizeof w->name, "worker %u", i + 1);
	}
	retry_init(x);
	x->out = frame_out_new(STDOUT_FILENO, "output", e);
	if (!x->out)
		return -1;
	x->output_open = true;
	frame_out_nonblock(x->out);
	if (fd_nonblock(STDIN_FILENO, true) < 0 || fd_nonblock(STDOUT_FILENO, true) < 0)
		return err_sys(e, DM_ENV, errno, "standard input or output");
	x->in = frame_in_new(STDIN_FILENO, "input");
	x->input_open = true;
	/* They connect while the first request is still on its way.  What goes
	 * wrong now goes wrong again, and is said, when they are needed. */
	for (unsigned i = 0; i < x->n; i++) {
		struct err none = { 0 };

		(void)worker_spawn(&x->worker[i], &none);
	}
	return 0;
}

static void workers_free(struct workers *x)
{
	if (x->output_flags >= 0)
		fcntl(STDOUT_FILENO, F_SETFL, x->output_flags);
	if (x->input_flags >= 0)
		fcntl(STDIN_FILENO, F_SETFL, x->input_flags);
	progress_end(x->progress);
	for (unsigned i = 0; i < x->n; i++)
		worker_free(&x->worker[i]);
	free(x->worker);
	requests_free(x->table);
	if (x->has_frame)
		frame_drop(&x->frame);
	for (uint32_t i = 0; x->point && i < x->hello.ndisks; i++)
		free(x->point[i]);
	free(x->point);
	free(x->past);
	frame_in_free(x->in);
	frame_out_free(x->out);
	if (x->has_hello) {
		taken_free(&x->asked);
		hello_free(&x->hello);
	}
}

bool workers_ending(const struct workers *x)
{
	return x->input_ended && !x->has_frame && !requests_n(x->table);
}

/* Everything is passed on: hear the workers out, then say END. */
static int workers_finish(struct workers *x, struct err *e)
{
	bool all = true, ended = false;

	if (!workers_ending(x) || x->finished)
		return 0;
	for (unsigned i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		ended |= w->state == WORKER_ENDED;
		if (w->state == WORKER_ENDED || w->state == WORKER_SPARED)
			continue;
		all = false;
		if (worker_runs(w) && w->greeted && !w->end_sent && worker_end(w, e) < 0)
			return -1;
	}
	/* One that is to be started again is not waited for when another has
	 * told that the source did not change. */
	for (unsigned i = 0; ended && i < x->n; i++)
		if (x->worker[i].state == WORKER_OFF)
			x->worker[i].state = WORKER_SPARED;
	/* Behind END comes the end of file; but a wrapper around its writer may
	 * hold the descriptor open. */
	if (!all || (x->input_open && time_mono() - x->ended_at < SECOND))
		return 0;
	x->finished = true;
	return end_put(x->out, &x->gave, e);
}

static int output_pump(struct workers *x, struct err *e)
{
	if (x->output_open && frame_out_queued(x->out) && frame_pump(x->out, e) < 0) {
		x->output_open = false;
		return -1;
	}
	return 0;
}

static int pump_all(struct workers *x, struct err *e)
{
	for (unsigned i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		if (worker_runs(w) && worker_pump(w, e) < 0)
			return -1;
	}
	return output_pump(x, e);
}

/* Wait for the input, the output and all workers, until x->wake at most. */
static void workers_wait(struct workers *x, struct pollfd *p)
{
	bool read_workers = frame_out_queued(x->out) < OUTPUT_QUEUE;
	int64_t now = time_mono(), left = x->wake - now;

	p[0] = (struct pollfd){
		.fd = x->input_open && workers_want_input(x) ? STDIN_FILENO : -1,
		.events = POLLIN,
	};
	p[1] = (struct pollfd){
		.fd = x->output_open ? STDOUT_FILENO : -1,
		.events = frame_out_queued(x->out) ? POLLOUT : 0,
	};
	for (unsigned i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];
		bool runs = worker_runs(w) && w->state != WORKER_ENDED;

		/* Whom we do not listen to is not silent. */
		if (!read_workers)
			w->heard = now;
		p[2 + 2 * i] = (struct pollfd){
			.fd = runs && read_workers ? w->child.out : -1, .events = POLLIN,
		};
		p[3 + 2 * i] = (struct pollfd){
			.fd = runs && !w->deaf && frame_out_queued(w->out) ? w->child.in : -1,
			.events = POLLOUT,
		};
	}
	left = left < 0 ? 0 : left / MILLISECOND + 1;
	if (poll(p, 2 + 2 * x->n, (int)left) < 0)
		for (unsigned i = 0; i < 2 + 2 * x->n; i++)
			p[i].revents = 0;
}

/* One round: 1 go on, 0 done, -1 with *e. */
static int workers_turn(struct workers *x, struct err *e)
{
	struct pollfd p[2 + 2 * WORKERS_MAX];
	int64_t now = time_mono();

	x->wake = now + SECOND;
	if (workers_take_input(x, e) < 0)
		return -1;
	for (unsigned i = 0; x->has_hello && i < x->n; i++)
		if (worker_watch(&x->worker[i], now, e) < 0)
			return -1;
	if (retry_watch(x, now, e) < 0 || workers_assign(x, e) < 0 || workers_gates(x, e) < 0 || workers_finish(x, e) < 0 ||
	    pump_all(x, e) < 0)
		return -1;
	if (x->finished && !frame_out_queued(x->out))
		return 0;
	workers_wait(x, p);
	if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		x->output_open = false;
		return err_sys(e, DM_ENV, EPIPE, "output");
	}
	for (unsigned i = 0; i < x->n; i++)
		if (p[2 + 2 * i].revents && worker_take(&x->worker[i], e) < 0)
			return -1;
	if (x->progress)
		progress_set(x->progress, x->passed, x->input_ended ? x->gave.bytes : 0, NULL);
	return 1;
}

/* Pass the cause on, downstream. */
static void workers_tell(struct workers *x, struct err *e)
{
	int64_t until = time_mono() + TELL_WITHIN;
	struct err e2 = { 0 };

	if (abort_put(x->out, e, &e2) < 0)
		return;
	while (output_pump(x, &e2) == 0 && frame_out_queued(x->out)) {
		struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
		int64_t left = until - time_mono();

		if (left <= 0)
			return;
		poll(&p, 1, (int)(left / MILLISECOND) + 1);
		if (p.revents & (POLLERR | POLLHUP | POLLNVAL))
			e2.quiet = 1;
		if (e2.quiet)
			break;
	}
	if (e2.quiet)
		failure_unheard(e);
	else if (!e2.code)
		failure_told(STDOUT_FILENO, e);
}

int workers_run(const struct workers_options *o, struct err *e)
{
	struct workers x = { .o = o };
	int r = workers_start(&x, e);

	while (!r) {
		r = workers_turn(&x, e);
		if (r == 0)
			break;
		r = r < 0 ? -1 : 0;
	}
	if (r < 0 && x.output_open)
		workers_tell(&x, e);
	workers_free(&x);
	return r;
}
