/* The law's other half: what the disks of a node measure and share. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "job/window_law_impl.h"

#define PROBE_HALF 2		/* a probe goes down to this part of the window */
#define PROBE_LEAST (250 * MS)
#define PROBE_MOST (2 * SECOND)
#define PROBE_SETTLE 0.4	/* part of it in which nothing is timed yet */
#define PROBE_ENOUGH 4		/* requests timed, of all disks */
#define DRAIN_MOST (4 * SECOND)
#define PERIOD_LATENCIES 20	/* a period is no shorter */
#define SATURATED 1.15		/* times what the probe wrote is no more than that, */
#define DOUBTS 2		/* less so many standard errors of its latency */
#define DOUBT_FREE 0.05		/* of a latency, which need not be smoothed away */
#define DOUBT_KEEP 0.8		/* of the last doubt */
#define PULL 0.1		/* of caps towards their mean, each tick */
#define LATE 2.5		/* times the latency: probe at once */
#define LATE_ENOUGH 8		/* requests in a tick that say so */
#define LIVE (LAW_PERIOD * 2)	/* a rate is believed for so long */

void law_node_init(struct law_node *n, int64_t now)
{
	/* It begins with a probe, unless peers tell what they found. */
	*n = (struct law_node){ .phase = LAW_DRAIN, .since = now, .tick = now - now % LAW_TICK };
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static bool is_live(const struct window_law *w, int64_t now)
{
	return w->nrates && now - w->busy_at < LIVE;
}

static double rate_of(const struct window_law *w)
{
	double v[LAW_RATES];

	memcpy(v, w->rates, sizeof v);
	return median(v, w->nrates);
}

/* The mean rate over the disks that a window holds back. */
static void rate_learn(struct law_node *n, const struct window_law *w, size_t nw,
    const struct law_peer *peer, size_t npeers, int64_t now)
{
	double sum = 0;
	unsigned live = 0;

	for (size_t i = 0; i < nw; i++) {
		if (!is_live(&w[i], now))
			continue;
		sum += rate_of(&w[i]);
		live++;
	}
	n->own.live = live;
	n->own.rate = live ? sum / live : 0;
	for (size_t i = 0; i < npeers; i++) {
		sum += peer[i].rate * peer[i].live;
		live += peer[i].live;
	}
	n->rate = live ? sum / live : 0;
}

/* Refusals hit the disks of a node at random, and so would the caps differ for
 * long: what is refused to one draws the others down, and they draw it up. */
static void caps_level(struct law_node *n, struct window_law *w, size_t nw,
    const struct law_peer *peer, size_t npeers)
{
	double own = 0, sum;
	unsigned k = 0, all;

	for (size_t i = 0; i < nw; i++) {
		if (w[i].cap >= (double)w[i].b.max)
			continue;
		own += w[i].cap;
		k++;
	}
	n->own.refused = k;
	n->own.cap = k ? own / k : 0;
	sum = own;
	all = k;
	for (size_t i = 0; i < npeers; i++) {
		sum += peer[i].cap * peer[i].refused;
		all += peer[i].refused;
	}
	for (size_t i = 0; i < nw; i++)
		if (w[i].cap < (double)w[i].b.max)
			w[i].cap += PULL * (sum / all - w[i].cap);
}

/* The median latency over pipelines. */
static void latency_learn(struct law_node *n, const struct law_peer *peer, size_t npeers)
{
	double *v = x_array(npeers + 1, sizeof *v);
	size_t k = 0;

	for (size_t i = 0; i < npeers; i++)
		if (peer[i].latency)
			v[k++] = (double)peer[i].latency;
	if (n->own.latency)
		v[k++] = (double)n->own.latency;
	n->latency = k ? (int64_t)median(v, k) : 0;
	free(v);
}

/* Did the ticks since the probe write more than the probe, in which as much as
 * `low' was in flight for one latency?  (Peers see the same.) */
static void trial_judge(struct law_node *n, const struct window_law *w, size_t nw)
{
	double more = 0, low = 0;

	for (size_t i = 0; i < nw; i++) {
		if (!w[i].trials || w[i].cap < (double)w[i].b.max)
			continue;
		more += w[i].trial / w[i].trials * (double)n->latency / SECOND;
		low += (double)w[i].low;
	}
	n->saturated = low > 0 && more <= (SATURATED - DOUBTS * n->doubt) * low;
}

/* A whole tick passed.  What was written while a probe held the windows down
 * is no rate of a busy way. */
static void tick_take(struct law_node *n, struct window_law *w, size_t nw, int64_t now)
{
	int64_t clean = n->probed + n->latency;
	bool counts = n->phase != LAW_DRAIN && n->phase != LAW_SAMPLE && (!n->probed || n->tick >= clean);
	bool late = false, tried = false;

	for (size_t i = 0; i < nw; i++) {
		struct window_law *l = &w[i];
		double rate = (double)l->got * SECOND / (double)LAW_TICK;
		bool busy = l->acks && 2 * l->busy >= l->acks;

		if (counts && l->acks && (busy || (l->nrates && rate > rate_of(l)))) {
			memmove(l->rates + 1, l->rates, sizeof l->rates - sizeof l->rates[0]);
			l->rates[0] = rate;
			if (l->nrates < LAW_RATES)
				l->nrates++;
			l->busy_at = now;
			l->trial += rate;
			l->trials++;
			tried = true;
		}
		late |= l->acks >= LATE_ENOUGH && n->latency &&
		    (double)l->took > LATE * (double)n->latency * l->acks;
		l->got = 0;
		l->acks = l->busy = 0;
		l->took = 0;
		l->last_peak = l->peak;
		l->peak = l->flight;
	}
	if (tried && n->phase == LAW_CALM && n->trials < LAW_TRIALS && ++n->trials == LAW_TRIALS)
		trial_judge(n, w, nw);
	if (late && n->phase == LAW_CALM && now - n->probed > 2 * SECOND + 4 * n->latency)
		n->summons = now;
	n->tick = now - now % LAW_TICK;
}

/* ---- probes ---- */

static int64_t period_of(const struct law_node *n)
{
	int64_t p = LAW_PERIOD;

	while (p < PERIOD_LATENCIES * n->latency && p < 64 * LAW_PERIOD)
		p *= 2;
	return p;
}

/* Is one due?  One out of turn serves as the next in turn when it is near. */
static bool probe_due(const struct law_node *n, int64_t now)
{
	int64_t p = period_of(n), turn = now - now % p;

	if (n->summons > n->probed && now - n->summons < SECOND)
		return true;
	return turn > n->probed && now - turn < SECOND && now - n->probed > p / 4;
}

static void phase_set(struct law_node *n, enum law_phase phase, int64_t now)
{
	n->phase = phase;
	n->since = now;
}

static void probe_begin(struct law_node *n, struct window_law *w, size_t nw, int64_t now)
{
	phase_set(n, LAW_DRAIN, now);
	n->sample_from = n->sample_to = 0;
	for (size_t i = 0; i < nw; i++) {
		/* Half of what is used: the window, or a budget below it. */
		w[i].low = max64(min64(max64(w[i].peak, w[i].last_peak), w[i].steady) / PROBE_HALF,
		    w[i].b.min);
		w[i].asked = w[i].timed = w[i].spoilt = 0;
		w[i].time = w[i].spoilt_time = 0;
		w[i].squares = 0;
	}
}

/* Before the first request there is nothing to be timed. */
static bool drained(const struct law_node *n, const struct window_law *w, size_t nw)
{
	bool any = n->probed;

	for (size_t i = 0; i < nw; i++) {
		any |= w[i].flight;
		if (w[i].flight > w[i].window)
			return false;
	}
	return any;
}

static int64_t probe_length(const struct law_node *n)
{
	int64_t d = 3 * n->latency;

	return d < PROBE_LEAST ? PROBE_LEAST : d > PROBE_MOST ? PROBE_MOST : d;
}

static void sample_begin(struct law_node *n, int64_t now)
{
	phase_set(n, LAW_SAMPLE, now);
	n->sample_from = now + (int64_t)(PROBE_SETTLE * (double)probe_length(n));
}

static unsigned asked_by_all(const struct window_law *w, size_t nw)
{
	unsigned asked = 0;

	for (size_t i = 0; i < nw; i++)
		asked += w[i].asked;
	return asked;
}

static bool sample_over(const struct law_node *n, const struct window_law *w, size_t nw,
    int64_t now)
{
	int64_t d = probe_length(n);

	return now - n->since >= d && (asked_by_all(w, nw) >= PROBE_ENOUGH ||
	    now - n->since >= d + PROBE_MOST);
}

/* Are all timed requests back?  One that is lost is not waited for. */
static bool collected(const struct law_node *n, const struct window_law *w, size_t nw, int64_t now)
{
	int64_t most = n->latency ? SECOND + 4 * n->latency : LAW_PERIOD;

	if (now - n->since > most)
		return true;
	for (size_t i = 0; i < nw; i++)
		if (w[i].timed + w[i].spoilt < w[i].asked)
			return false;
	return true;
}

/* A probe that is in doubt itself moves what is known only a part of the way,
 * unless it differs by more than doubt explains: doubt is a part of what was
 * found, and a few slow ones that make it long make it that much less sure. */
static void latency_blend(struct law_node *n, double found)
{
	double old = (double)n->own.latency, part = DOUBT_FREE / n->doubt;
	bool other = fabs(found - old) > 3 * n->doubt * fmax(found, old);

	if (!n->own.latency || other || part > 1)
		part = 1;
	n->own.latency = (int64_t)(old + part * (found - old));
}

/* The mean over a disk's requests, the median over disks.  One that is not
 * back yet took as long as it was waited for, at least: to leave the slow ones
 * out would make the way look faster than it is. */
static void probe_end(struct law_node *n, struct window_law *w, size_t nw, int64_t now)
{
	double *v = x_array(nw + 1, sizeof *v);
	double variance = 0, now_doubt;
	unsigned timed = 0;
	size_t k = 0;

	for (size_t i = 0; i < nw; i++) {
		struct window_law *l = &w[i];
		unsigned missing = l->asked - l->timed - l->spoilt;
		double sum = (double)l->time + (double)(now - n->sample_to) * missing;
		unsigned count = l->timed + missing;

		if (!count && l->spoilt && !n->latency) {
			sum = (double)l->spoilt_time;
			count = l->spoilt;
		}
		if (!count)
			continue;
		l->latency = (int64_t)(sum / count);
		v[k++] = sum / count;
		variance += l->timed ? l->squares / (sum / SECOND) / (sum / SECOND) * l->timed - 1 : 1;
		timed += count;
		l->trial = l->trials = 0;
	}
	/* The variance is that of one request, relative to the mean. */
	now_doubt = k ? sqrt(variance > 0 ? variance / (double)k / timed : 0) : 1;
	/* Rare long ones may be missing from a sample: it is not surer for that. */
	n->doubt = now_doubt > DOUBT_KEEP * n->doubt ? now_doubt : DOUBT_KEEP * n->doubt;
	if (k)
		latency_blend(n, median(v, k));
	free(v);
	n->trials = 0;
	n->saturated = false;
	n->sample_from = n->sample_to = 0;
	phase_set(n, LAW_CALM, now);
}

/* One step from phase to phase; false when there is none to take. */
static bool phase_step(struct law_node *n, struct window_law *w, size_t nw, int64_t now)
{
	switch (n->phase) {
	case LAW_CALM:
		if (!probe_due(n, now))
			return false;
		probe_begin(n, w, nw, now);
		return true;
	case LAW_DRAIN:
		if (!drained(n, w, nw) && (!n->probed || now - n->since < DRAIN_MOST))
			return false;
		sample_begin(n, now);
		return true;
	case LAW_SAMPLE:
		if (!sample_over(n, w, nw, now))
			return false;
		n->sample_to = n->probed = now;
		phase_set(n, LAW_COLLECT, now);
		return true;
	case LAW_COLLECT:
		if (!collected(n, w, nw, now))
			return false;
		probe_end(n, w, nw, now);
		return true;
	}
	return false;
}

bool law_turn(struct law_node *n, struct window_law *w, size_t nw,
    const struct law_peer *peer, size_t npeers, int64_t now)
{
	bool first = !n->turned, tick = now - n->tick >= LAW_TICK, step;

	n->turned = true;
	if (tick)
		tick_take(n, w, nw, now);
	if (first) {
		latency_learn(n, peer, npeers);
		if (n->latency)
			phase_set(n, LAW_CALM, now);
	}
	step = phase_step(n, w, nw, now);
	if (!first && !tick && !step)
		return false;
	if (tick)
		caps_level(n, w, nw, peer, npeers);
	rate_learn(n, w, nw, peer, npeers, now);
	latency_learn(n, peer, npeers);
	for (size_t i = 0; i < nw; i++)
		law_window_set(&w[i], n);
	return true;
}

int64_t law_due(const struct law_node *n)
{
	int64_t tick = n->tick + LAW_TICK, over = n->since + probe_length(n);

	return n->phase == LAW_SAMPLE && over < tick ? over : tick;
}
