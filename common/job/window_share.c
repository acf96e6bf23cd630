/* dm-window's part in what the node shares: budget, probes, rate limits; and
 * what it tells of its windows. */
#include "base/timefmt.h"
#include "job/window_impl.h"

/* How soon a clock that has passed is looked at again. */
#define IDLE_TURN 10000000ll

static int limits_take(struct pace *p, const char **text, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (pace_add(p, text[i], e) < 0)
			return -1;
	return 0;
}

int window_share_open(struct window *w, struct err *e)
{
	const struct window_options *o = w->o;

	pace_init(&w->own);
	pace_init(&w->shared);
	if (limits_take(&w->own, o->limit, o->nlimits, e) < 0 ||
	    limits_take(&w->shared, o->shared, o->nshared, e) < 0)
		return -1;
	if (o->budget && !(w->budget = budget_open(o->budget, e)))
		return -1;
	if (!o->nshared)
		return 0;
	w->shared.next = budget_pace(w->budget, o->shared_name, e);
	return w->shared.next ? 0 : -1;
}

int window_share_join(struct window *w, struct err *e)
{
	if (!w->budget)
		return 0;
	if (budget_join(w->budget, w->hello.workload, (unsigned)w->o->priority, w->hello.ndisks,
	    w->hello.chunk_size, e) < 0)
		return -1;
	schedule_credit(w->schedule, 0);	/* until it is settled */
	return 0;
}

int64_t window_pace(void *arg, uint64_t bytes, int64_t now)
{
	struct window *w = arg;
	int64_t until = pace_ask(&w->shared, bytes, now);

	if (until)
		return until;
	until = pace_ask(&w->own, bytes, now);
	if (until)
		pace_return(&w->shared, bytes);
	return until;
}

void window_share_sent(struct window *w, uint32_t disk)
{
	/* Of the same moment: what was acknowledged meanwhile says nothing, as
	 * whoever sent it may not have told yet. */
	struct window_disk *d = &w->disk[disk];
	uint64_t saved = d->read > d->sent ? d->read - d->sent : 0;

	if (saved <= d->refunded)
		return;
	pace_return(&w->own, saved - d->refunded);
	pace_return(&w->shared, saved - d->refunded);
	d->refunded = saved;
}

/* Steps of the windows, for whoever looks at the stream: no more than once a
 * second, and only while there is room. */
static int tell_steps(struct window *w, struct err *e)
{
	uint32_t chunk = w->hello.chunk_size;

	if (!w->o->acks || time_mono() - w->told < SECOND)
		return 0;
	for (uint32_t d = 0; d < w->hello.ndisks; d++) {
		const struct window_law *l = schedule_law(w->schedule, d);
		uint64_t window = l->steady / chunk;
		struct stats s = { 0 };

		if (window == w->disk[d].told || frame_out_queued(w->out) >= WINDOW_QUEUE)
			continue;
		w->told = time_mono();
		w->disk[d].told = window;
		s.v[STAT_WINDOW] = window;
		s.v[STAT_FLIGHT] = l->flight / chunk;
		s.v[STAT_WHY] = l->reason;
		if (stat_put(w->out, d, &s, e) < 0)
			return -1;
	}
	return 0;
}

uint64_t window_mean(const struct window *w, enum law_reason *why)
{
	uint64_t sum = 0;

	for (uint32_t d = 0; d < w->hello.ndisks; d++)
		sum += schedule_law(w->schedule, d)->window;
	*why = w->hello.ndisks ? schedule_law(w->schedule, 0)->reason : LAW_START;
	return w->hello.ndisks ? sum / w->hello.ndisks : 0;
}

static void credit_take(struct window *w, int64_t now)
{
	struct budget_news n = {
		.want = schedule_want(w->schedule), .flight = schedule_flight_bytes(w->schedule),
		.done = w->written, .total = w->input_ended ? w->took.bytes : 0,
		.node = schedule_node(w->schedule),
	};

	n.window = window_mean(w, &n.reason);
	schedule_credit(w->schedule, budget_turn(w->budget, &n, now));
}

int window_share_turn(struct window *w, struct err *e)
{
	const struct law_peer *peer = NULL;
	int64_t now = window_clock(w);
	struct law_node *n = schedule_node(w->schedule);
	size_t npeers = 0;

	w->turned = now;
	if (w->budget && now >= schedule_due(w->schedule)) {
		peer = budget_peers(w->budget, &npeers);
		n->summons = budget_summons(w->budget, n->summons);
	}
	if (schedule_turn(w->schedule, peer, npeers, now) && tell_steps(w, e) < 0)
		return -1;
	if (w->budget)
		credit_take(w, now);
	return 0;
}

int64_t window_share_due(const struct window *w)
{
	int64_t due = schedule_due(w->schedule), other;

	other = w->budget ? budget_due(w->budget) : due;
	due = other < due ? other : due;
	/* What was due at the last turn and is not done waits for a request to
	 * come back, and that wakes us: a clock that has passed must not. */
	return due > w->turned ? due : w->turned + IDLE_TURN;
}
