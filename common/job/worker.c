/* One worker of dm-recv: started, fed, watched, replaced. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/jitter.h"
#include "base/fdio.h"
#include "job/workers_impl.h"

#define LINGER_MS 200		/* for a worker that is about to exit */

/* What is asked for is said once nobody else can read it. */
static int worker_greet(struct worker *w, struct err *e)
{
	if (w->greeted || (w->seal && !seal_ready(w->seal)))
		return 0;
	w->greeted = true;
	return hello_put(w->out, &w->all->hello, e);
}

int worker_spawn(struct worker *w, struct err *e)
{
	if (w->child.pid > 0)
		return 0;
	return child_spawn(&w->child, w->command, e) < 0 ? err_prefix(e, "%s", w->name) : 0;
}

int worker_start(struct worker *w, struct err *e)
{
	const struct workers *x = w->all;

	if (worker_spawn(w, e) < 0)
		return -1;
	if (fd_nonblock(w->child.in, true) < 0 || fd_nonblock(w->child.out, true) < 0)
		return err_sys(e, DM_ENV, errno, "%s", w->name);
	w->in = frame_in_new(w->child.out, w->name);
	w->out = frame_out_new(w->child.in, w->name, e);
	if (!w->out)
		return -1;
	frame_out_nonblock(w->out);
	w->state = WORKER_STARTED;
	w->heard = time_mono();
	w->end_sent = w->deaf = false;
	tally_init(&w->asked, &x->hello);
	tally_init(&w->gave, &x->hello);
	if (!w->stat)
		w->stat = x_array(x->hello.ndisks, sizeof *w->stat);
	w->greeted = false;
	if (x->o->key) {
		w->seal = seal_new(x->o->key, SEAL_ASKER, NULL, x->o->pad);
		frame_in_seal(w->in, w->seal);
		frame_out_seal(w->out, w->seal);
		frame_open(w->out);
	}
	return worker_greet(w, e);
}

/* Its exit status, when it exits at once by itself; -1 when it had to be
 * killed. */
static int worker_reap(struct worker *w)
{
	struct pollfd p = { .events = POLLIN };
	int status = -1;

	fd_close(w->child.in);
	fd_close(w->child.out);
	w->child.in = w->child.out = -1;
	if (w->child.pid <= 0)
		return -1;
	p.fd = (int)syscall(SYS_pidfd_open, w->child.pid, 0);
	if (p.fd >= 0 && poll(&p, 1, LINGER_MS) == 1)
		status = child_wait(&w->child);
	fd_close(p.fd);
	child_kill(&w->child);
	return status;
}

static void worker_drop(struct worker *w)
{
	frame_in_free(w->in);
	frame_out_free(w->out);
	seal_free(w->seal);
	w->in = NULL;
	w->out = NULL;
	w->seal = NULL;
	w->batch.body.len = 0;
}

/* What it owed is asked for again, before anything else. */
static int owed_again(struct worker *w, const struct err *why, struct err *e)
{
	struct workers *x = w->all;
	struct request *first = w->owed.first;

	for (struct request *r = first; r; r = r->next)
		r->owner = NULL;
	/* It may have failed of the one it was at, not of those behind. */
	if (first && w->state == WORKER_READY)
		first->attempt += w->at_fault ? ATTEMPTS_MAX / 4 : 1;
	if (first && first->attempt >= ATTEMPTS_MAX) {
		*e = *why;
		return err_prefix(e, "entry %llu, asked for again and again",
		    (unsigned long long)first->index);
	}
	request_splice(&w->owed, &x->todo);
	x->todo = w->owed;
	w->owed = (struct request_list){ 0 };
	return 0;
}

static void stats_retire(struct worker *w)
{
	for (uint32_t d = 0; d < w->all->hello.ndisks; d++)
		for (size_t k = 0; k < LEN(w->stat[d].v); k++)
			w->all->past[d].v[k] += w->stat[d].v[k];
	memset(w->stat, 0, w->all->hello.ndisks * sizeof *w->stat);
}

static void backoff_set(struct worker *w)
{
	w->backoff = jitter_next(w->backoff);
	w->restart_at = time_mono() + w->backoff;
}

static bool others_run(const struct worker *w)
{
	const struct workers *x = w->all;

	for (unsigned i = 0; i < x->n; i++)
		if (&x->worker[i] != w && (worker_runs(&x->worker[i]) ||
		    x->worker[i].state == WORKER_OFF))
			return true;
	return false;
}

/* It is of no use any more because of *why.  Others take over, or another is
 * started in its place; -1 with *e when that makes no sense. */
static int worker_lost(struct worker *w, struct err *why, struct err *e)
{
	bool ending = workers_ending(w->all), had_begun = w->state != WORKER_STARTED;
	int status = worker_reap(w);
	struct err no = { 0 };

	worker_drop(w);
	stats_retire(w);
	if (owed_again(w, why, e) < 0)
		return -1;
	w->state = WORKER_OFF;
	w->at_fault = false;
	/* A usage error or a definite no will not be better next time; it
	 * printed the reason itself. */
	if (status > 0 && (status < DM_ENV || status == 126 || status == 127)) {
		err_set(&no, status < DM_ENV ? status : DM_ENV, "%s: %s ended with status %d",
		    w->name, w->command[0], status);
		return retry_refuse(w, &no, e);
	}
	if (status > 0 && status < 256) {
		size_t len = strlen(why->text);

		snprintf(why->text + len, sizeof why->text - len, " (status %d)", status);
	}
	if (ending && others_run(w)) {
		w->state = WORKER_SPARED;
		return 0;
	}
	if (retry_lost(w, had_begun, why, e) < 0)
		return -1;
	backoff_set(w);
	return 0;
}

/* What it said is wrong, or that it cannot go on. */
static int worker_failed(struct worker *w, struct err *why, struct err *e)
{
	if (w->at_fault)
		return worker_lost(w, why, e);
	/* It told itself that another time may be better. */
	if (why->relayed && why->code == DM_ENV && why->cls != CLASS_PERMANENT && w->all->ever_ready)
		return worker_lost(w, why, e);
	if (w->refused || why->relayed) {
		child_kill(&w->child);
		worker_drop(w);
		stats_retire(w);
		if (owed_again(w, why, e) < 0)
			return -1;
		return retry_refuse(w, why, e);
	}
	*e = *why;
	return -1;
}

int worker_take(struct worker *w, struct err *e)
{
	struct err why = { 0 };
	struct frame f;
	long n;
	int r;

	n = frame_fill(w->in, &why);
	if (n < 0 && !why.code)
		return 0;
	if (n < 0)
		return worker_lost(w, &why, e);
	if (n == 0) {
		if (w->state == WORKER_ENDED)
			return 0;
		err_cut(&why, w->name);
		return worker_lost(w, &why, e);
	}
	w->heard = time_mono();
	if (w->state == WORKER_READY)
		w->all->alive_at = w->heard;
	while ((r = frame_next(w->in, &f, &why)) > 0)
		if (worker_frame(w, &f, &why) < 0)
			return worker_failed(w, &why, e);
	if (r == 0)
		return worker_greet(w, e);
	/* Who has no key, or another one, will not have it next time. */
	if (w->seal && !seal_ready(w->seal) && why.code != DM_ENV) {
		w->refused = true;
		return worker_failed(w, &why, e);
	}
	/* Damaged on its way: another line may be better. */
	return worker_lost(w, &why, e);
}

int worker_pump(struct worker *w, struct err *e)
{
	struct err why = { 0 };

	if (w->deaf || w->child.in < 0)
		return 0;
	if (frame_pump(w->out, &why) >= 0) {
		if (w->end_sent && !frame_out_queued(w->out)) {
			/* It waits for the end of file behind our END. */
			fd_close(w->child.in);
			w->child.in = -1;
		}
		return 0;
	}
	if (why.errnum != EPIPE)
		return worker_lost(w, &why, e);
	/* It went away, but may have said why. */
	w->deaf = true;
	return 0;
}

int worker_watch(struct worker *w, int64_t now, struct err *e)
{
	int64_t limit = w->heard + (int64_t)w->all->o->timeout * SECOND;
	struct err why = { 0 };

	if (w->state == WORKER_OFF) {
		if (now >= w->restart_at)
			return worker_start(w, &why) < 0 ? retry_refuse(w, &why, e) : 0;
		wake_at(w->all, w->restart_at);
		return 0;
	}
	if (!worker_runs(w) || w->state == WORKER_ENDED)
		return 0;
	if (w->state == WORKER_READY && !w->owed.n && !w->end_sent)
		return 0;
	if (now < limit) {
		wake_at(w->all, limit);
		return 0;
	}
	err_set(&why, DM_ENV, "%s: silent for %llu seconds", w->name,
	    (unsigned long long)w->all->o->timeout);
	why.cls = CLASS_TIMEOUT;
	child_kill(&w->child);
	return worker_lost(w, &why, e);
}

int worker_end(struct worker *w, struct err *e)
{
	w->end_sent = true;
	w->heard = time_mono();
	return end_put(w->out, &w->asked, e);
}

void worker_free(struct worker *w)
{
	if (w->state == WORKER_ENDED)
		worker_reap(w);
	else
		child_kill(&w->child);
	worker_drop(w);
	buf_free(&w->batch.body);
	free(w->stat);
}
