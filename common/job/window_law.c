#include "base/bytes.h"
#include "job/window_law_impl.h"

#define GAIN 1.5		/* over what keeps the way busy */
#define REFUSE_EVERY (100 * MS)
#define REFUSE_KEEP 0.7
#define QUIET SECOND		/* without refusal, before the cap rises */
#define RISE 0.25		/* chunks for each window written */
#define USED 0.8		/* of a window: it is what limits */
#define HOLD_MAX_MS 60000u

const char *law_reason_name(enum law_reason r)
{
	static const char *const name[LAW_REASONS] = {
		"start", "probe", "measured", "min", "max", "refused",
	};

	return r < LAW_REASONS ? name[r] : "?";
}

void law_init(struct window_law *w, const struct law_bounds *b)
{
	*w = (struct window_law){ .b = *b };
	w->window = w->steady = max64(b->start, b->chunk);
	w->grant = UINT64_MAX;
	w->cap = (double)max64(b->max, b->chunk);
}

static bool probing(const struct law_node *n)
{
	return n->phase == LAW_DRAIN || n->phase == LAW_SAMPLE;
}

void law_window_set(struct window_law *w, const struct law_node *n)
{
	double want = (double)w->b.start;

	w->reason = LAW_START;
	if (n->latency && n->rate > 0) {
		want = (n->saturated ? 1 : GAIN) * n->rate * (double)n->latency / SECOND;
		w->reason = LAW_MEASURED;
	}
	if (want <= (double)w->b.min && w->reason == LAW_MEASURED)
		w->reason = LAW_MIN;
	if (want >= (double)w->b.max && w->reason == LAW_MEASURED)
		w->reason = LAW_MAX;
	want = want < (double)w->b.min ? (double)w->b.min : want;
	want = want > (double)w->b.max ? (double)w->b.max : want;
	if (want > w->cap) {
		want = w->cap;
		w->reason = LAW_REFUSED;
	}
	w->steady = max64((uint64_t)want, w->b.chunk);
	w->window = w->steady;
	if (!probing(n))
		return;
	w->window = min64(w->steady, max64(w->low, w->b.min));
	w->reason = LAW_PROBE;
}

/* ---- events ---- */

static bool is_timed(const struct law_node *n, int64_t issued)
{
	return n->phase != LAW_CALM && n->sample_from && issued >= n->sample_from &&
	    (n->phase == LAW_SAMPLE || issued < n->sample_to);
}

void law_issue(struct window_law *w, const struct law_node *n, uint64_t cost, int64_t now)
{
	w->flight += cost;
	w->peak = max64(w->peak, w->flight);
	if (n->phase == LAW_SAMPLE && is_timed(n, now))
		w->asked++;
}

void law_forget(struct window_law *w, uint64_t cost)
{
	w->flight -= min64(cost, w->flight);
}

/* After a while without refusals the cap rises, as additive increase does. */
static void cap_rise(struct window_law *w, const struct law_node *n, uint64_t cost, bool used,
    int64_t now)
{
	if (!used || now < w->hold || now - w->refused < QUIET || w->cap >= (double)w->b.max)
		return;
	w->cap += RISE * (double)w->b.chunk * (double)cost / (double)w->window;
	if (w->cap >= (double)w->b.max)
		w->cap = (double)w->b.max;
	law_window_set(w, n);
}

void law_ack(struct window_law *w, const struct law_node *n, uint64_t cost, int64_t issued,
    bool flushing, int64_t now)
{
	uint64_t limit = min64(w->window, w->grant);
	bool used = (double)w->flight >= USED * (double)limit || w->flight + w->b.chunk > limit;
	int64_t took = now - issued;

	w->flight -= min64(cost, w->flight);
	w->got += cost;
	w->acks++;
	w->busy += used;
	w->took += took;
	if (is_timed(n, issued) && flushing) {
		w->spoilt++;
		w->spoilt_time += took;
	} else if (is_timed(n, issued)) {
		w->timed++;
		w->time += took;
		w->squares += (double)took / SECOND * (double)took / SECOND;
	}
	if (w->refused)
		cap_rise(w, n, cost, used, now);
}

void law_nak(struct window_law *w, const struct law_node *n, enum err_class cls,
    uint32_t retry_ms, int64_t now)
{
	int64_t until = now + (int64_t)min64(retry_ms, HOLD_MAX_MS) * MS;
	int64_t every = n->latency > REFUSE_EVERY ? n->latency : REFUSE_EVERY;
	double from;

	if (cls == CLASS_PERMANENT)
		return;
	if (until > w->hold)
		w->hold = until;
	if (w->refused && now - w->refused < every)
		return;
	w->refused = now;
	from = w->cap < (double)w->window ? w->cap : (double)w->window;
	w->cap = REFUSE_KEEP * from;
	if (w->cap < (double)w->b.chunk)
		w->cap = (double)w->b.chunk;
	law_window_set(w, n);
}
