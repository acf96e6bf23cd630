/* When dm-recv goes on trying and when it gives up: a budget of retries for
 * workers that work and fail, a deadline for when nothing works. */
#include <stdio.h>
#include <string.h>

#include "job/workers_impl.h"

#define TOKENS 500		/* for each eight workers */
#define TOKENS_ERROR 5
#define TOKENS_TIMEOUT 10
#define FAILURES_FIRST 5	/* of each worker, before any ever answered */
#define FAILURES_SAID 3		/* in a row, when it is said */
#define TELL_EVERY (5 * SECOND)

void retry_init(struct workers *x)
{
	x->tokens_most = x->tokens = TOKENS * (int)div_up(x->n, 8);
	x->alive_at = x->told_at = time_mono();
}

void retry_earn(struct workers *x)
{
	if (x->tokens < x->tokens_most)
		x->tokens++;
}

/* What the worker's own program said does not name the worker yet. */
static void say(const struct worker *w, const char *what, const char *then)
{
	bool named = !strncmp(what, w->name, strlen(w->name));
	char text[700];

	snprintf(text, sizeof text, "%s%s%s%s", named ? "" : w->name, named ? "" : ": ", what, then);
	if (w->all->o->warn)
		w->all->o->warn(text);
}

/* It could never begin, and so could none of the others. */
static bool hopeless(const struct workers *x)
{
	for (unsigned i = 0; i < x->n; i++)
		if (x->worker[i].state != WORKER_SPARED && x->worker[i].failures < FAILURES_FIRST)
			return false;
	return !x->ever_ready;
}

int retry_lost(struct worker *w, bool had_begun, const struct err *why, struct err *e)
{
	struct workers *x = w->all;

	w->failures++;
	x->last = *why;
	if (hopeless(x)) {
		*e = *why;
		return -1;
	}
	/* Who cannot even begin puts no load on anybody. */
	if (had_begun)
		x->tokens -= why->cls == CLASS_TIMEOUT ? TOKENS_TIMEOUT : TOKENS_ERROR;
	if (x->tokens < 0) {
		*e = *why;
		return err_prefix(e, "workers fail too often, the last");
	}
	if (w->failures == FAILURES_SAID && x->ever_ready) {
		w->said = true;
		say(w, why->text, " (three times in a row; it is tried on)");
	}
	return 0;
}

void retry_back(struct worker *w)
{
	w->failures = 0;
	w->backoff = 0;
	if (w->said)
		say(w, "works again", "");
	w->said = false;
}

/* Of no use whatever is tried: others go on if they are others. */
int retry_refuse(struct worker *w, const struct err *why, struct err *e)
{
	const struct workers *x = w->all;

	for (unsigned i = 0; i < x->n; i++) {
		const struct worker *o = &x->worker[i];

		if (o->state == WORKER_SPARED || o->command == w->command)
			continue;
		w->state = WORKER_SPARED;
		say(w, why->text, " (it is not used any more)");
		return 0;
	}
	*e = *why;
	return -1;
}

int retry_watch(struct workers *x, int64_t now, struct err *e)
{
	int64_t limit = (int64_t)x->o->give_up * SECOND;
	struct progress_rec p = { .stage = STAGE_READ, .done = x->passed };

	/* Who is owed nothing, or does not listen, is not kept waiting. */
	if ((!requests_n(x->table) && !workers_ending(x)) || x->finished ||
	    frame_out_queued(x->out) >= OUTPUT_QUEUE)
		x->alive_at = now;
	if (now - x->alive_at >= limit) {
		*e = x->last;
		if (!e->code)
			err_set(e, DM_ENV, "no worker answered");
		e->cls = CLASS_TIMEOUT;
		return err_prefix(e, "nothing came for %llu seconds, the last failure",
		    (unsigned long long)x->o->give_up);
	}
	wake_at(x, x->alive_at + limit);
	/* Whoever waits behind us sees that we are still there. */
	if (!requests_n(x->table) || x->finished || now - x->told_at < TELL_EVERY || frame_out_queued(x->out))
		return 0;
	x->told_at = now;
	return progress_put(x->out, 0, &p, e);
}
