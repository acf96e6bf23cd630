/* The events: requests go out, the store queues and writes or refuses them,
 * answers come back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "job/share.h"
#include "sim.h"

#define STEP 0.01		/* how often clocks and shares are looked at */
#define CHUNK MIB(1)
#define FACTORS 4096
#define BUCKETS 1024		/* of latencies, 1.5 % apart, from 1 ms */
#define NS 1e9
#define EPOCH 1000000000000ll	/* the law's clock at the start */

enum event_kind { EV_ACK, EV_NAK, EV_RETRY };

struct event {
	double at;
	uint8_t kind;
	uint8_t disk;
	float back;		/* the last backoff */
	double issued;
};

struct disk {
	struct plain_rule plain;
	unsigned flight;
	uint64_t share;
	double backlog;		/* chunks a tiny disk has to write */
	uint64_t done[SPANS_MAX];
};

struct sim {
	const struct sim_case *c;
	enum rule_kind kind;
	uint64_t random;
	double now, busy_until;
	struct event *heap;
	size_t n, cap;
	struct disk disk[DISKS_MAX];
	struct window_law law[DISKS_MAX];
	struct law_node node[DISKS_MAX];
	unsigned pipes;
	unsigned flight;
	double factor[FACTORS];
	uint64_t answers, refusals;
	uint32_t hist[SPANS_MAX][BUCKETS], tiny_hist[SPANS_MAX][BUCKETS];
	double window_sum[SPANS_MAX];
	unsigned window_n[SPANS_MAX];
	unsigned trace_done;
	struct sim_result *out;
};

/* ---- chance ---- */

static uint64_t random_next(struct sim *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

static double uniform(struct sim *s)
{
	return (double)(random_next(s) >> 11) / 9007199254740992.0;
}

/* Lognormal with mean 1. */
static void factors_make(struct sim *s, double sigma)
{
	for (unsigned i = 0; i < FACTORS; i++) {
		double z = sqrt(-2 * log(1 - uniform(s))) * cos(2 * M_PI * uniform(s));

		s->factor[i] = exp(sigma * z - sigma * sigma / 2);
	}
}

static double factor(struct sim *s)
{
	return s->factor[random_next(s) >> 20 & (FACTORS - 1)];
}

/* ---- the heap ---- */

static void event_put(struct sim *s, struct event e)
{
	size_t i = s->n++;

	if (s->n > s->cap) {
		s->cap = 2 * s->cap + 1024;
		s->heap = x_grow(s->heap, s->cap, sizeof *s->heap);
	}
	for (; i && s->heap[(i - 1) / 2].at > e.at; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct event event_take(struct sim *s)
{
	struct event top = s->heap[0], last = s->heap[--s->n];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < s->n) {
		if (k + 1 < s->n && s->heap[k + 1].at < s->heap[k].at)
			k++;
		if (s->heap[k].at >= last.at)
			break;
		s->heap[i] = s->heap[k];
		i = k;
	}
	s->heap[i] = last;
	return top;
}

/* ---- measuring ---- */

static unsigned bucket(double took)
{
	double b = log(took / 0.001) / log(1.015);

	return b < 0 ? 0 : b >= BUCKETS ? BUCKETS - 1 : (unsigned)b;
}

static double hist_median(const uint32_t *h)
{
	uint64_t all = 0, sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += h[i];
	for (unsigned i = 0; i < BUCKETS; i++)
		if ((sum += h[i]) * 2 >= all)
			return 0.001 * pow(1.015, i + 0.5);
	return 0;
}

static bool is_tiny(const struct sim_case *c, unsigned d)
{
	return c->tiny_last && d == c->disks - 1;
}

static void count(struct sim *s, unsigned d, double took)
{
	unsigned b = bucket(took);

	for (unsigned i = 0; i < SPANS_MAX; i++) {
		if (s->now < s->c->span[i].from || s->now >= s->c->span[i].to)
			continue;
		s->disk[d].done[i]++;
		(is_tiny(s->c, d) ? s->tiny_hist : s->hist)[i][b]++;
	}
}

static void measure(struct sim *s)
{
	const struct sim_case *c = s->c;

	for (unsigned i = 0; i < SPANS_MAX && c->span[i].to > 0; i++) {
		struct measure *m = &s->out->span[i];
		double sum = 0, squares = 0, all = 0;
		unsigned n = 0;

		for (unsigned d = 0; d < c->disks; d++) {
			double x = (double)s->disk[d].done[i];

			all += x;
			if (is_tiny(c, d))
				continue;
			sum += x;
			squares += x * x;
			n++;
		}
		m->rate = all / (c->span[i].to - c->span[i].from);
		m->median = hist_median(s->hist[i]);
		m->tiny = hist_median(s->tiny_hist[i]);
		m->jain = squares > 0 ? sum * sum / (n * squares) : 0;
		m->window = s->window_n[i] ? s->window_sum[i] / s->window_n[i] : 0;
	}
	s->out->refused = s->answers ? (double)s->refusals / (double)s->answers : 0;
}

/* ---- windows ---- */

static int64_t ns(double t)
{
	return EPOCH + (int64_t)(t * NS);
}

static struct law_node *node_of(struct sim *s, unsigned d)
{
	return &s->node[d / s->c->per_pipe];
}

static double window_of(const struct sim *s, unsigned d)
{
	if (s->kind != RULE_LAW)
		return s->disk[d].plain.window;
	return (double)s->law[d].window / CHUNK;
}

static bool started(const struct sim *s, unsigned d)
{
	return s->now >= s->c->apart * (d / s->c->per_pipe * s->c->per_pipe);
}

static void shares_set(struct sim *s)
{
	struct share sh[DISKS_MAX];

	for (unsigned d = 0; d < s->c->disks; d++) {
		double w = started(s, d) ? window_of(s, d) : 0;

		if (is_tiny(s->c, d) && w > s->disk[d].flight + s->disk[d].backlog)
			w = s->disk[d].flight + s->disk[d].backlog;
		sh[d] = (struct share){ .want = (uint64_t)w, .weight = 1 };
	}
	share_fill(sh, s->c->disks, (uint64_t)s->c->budget);
	for (unsigned d = 0; d < s->c->disks; d++) {
		s->disk[d].share = max64(sh[d].got, 1);
		s->law[d].grant = s->disk[d].share * CHUNK;
	}
}

/* To the store and back, or refused. */
static void send(struct sim *s, unsigned d, double issued, double back)
{
	const struct sim_case *c = s->c;
	double at = s->now + c->latency / 2, start = fmax(at, s->busy_until);
	bool slow = start >= c->slow_from && start < c->slow_to;
	double service = (0.8 + 0.4 * uniform(s)) / (slow ? c->rate / 4 : c->rate);
	bool refuse = c->reject > 0 && start - at > c->reject;
	double end = refuse && !c->reject_late ? at : start + service;

	if (!refuse || c->reject_late)
		s->busy_until = start + service;
	event_put(s, (struct event){ .at = end + c->latency / 2 * factor(s), .disk = (uint8_t)d,
	    .kind = refuse ? EV_NAK : EV_ACK, .issued = issued, .back = (float)back });
}

static void pump(struct sim *s, unsigned d)
{
	struct disk *k = &s->disk[d];
	bool tiny = is_tiny(s->c, d);

	while (started(s, d) && k->flight + 1 <= window_of(s, d) && (!tiny || k->backlog >= 1)) {
		if (s->c->budget > 0 && (s->flight + 1 > s->c->budget || k->flight + 1 > k->share))
			break;
		k->flight++;
		s->flight++;
		if (s->flight > s->out->most)
			s->out->most = s->flight;
		if (tiny)
			k->backlog--;
		if (s->kind == RULE_LAW)
			law_issue(&s->law[d], node_of(s, d), CHUNK, ns(s->now));
		send(s, d, s->now, 0);
	}
}

static void ack(struct sim *s, const struct event *e)
{
	struct disk *k = &s->disk[e->disk];

	s->answers++;
	count(s, e->disk, s->now - e->issued);
	if (s->kind == RULE_LAW)
		law_ack(&s->law[e->disk], node_of(s, e->disk), CHUNK, ns(e->issued), false, ns(s->now));
	else
		plain_ack(&k->plain, s->now - e->issued, k->flight, s->now);
	k->flight--;
	s->flight--;
	if (s->trace_done < TRACE_MAX)
		s->out->trace_rate[(unsigned)(s->now / TRACE_STEP) % TRACE_MAX] += 1 / TRACE_STEP;
	pump(s, e->disk);
}

/* The client of the store waits and tries again: that is not the window's. */
static void nak(struct sim *s, const struct event *e)
{
	double back = 0.05 + uniform(s) * fmax(3 * e->back - 0.05, 0.05);

	s->answers++;
	s->refusals++;
	if (s->kind == RULE_LAW)
		law_nak(&s->law[e->disk], node_of(s, e->disk), CLASS_THROTTLE, 0, ns(s->now));
	else
		plain_nak(&s->disk[e->disk].plain, s->now);
	event_put(s, (struct event){ .at = s->now + fmin(back, 20), .kind = EV_RETRY,
	    .disk = e->disk, .back = (float)fmin(back, 20), .issued = e->issued });
}

static void laws_turn(struct sim *s)
{
	unsigned per = s->c->per_pipe;

	for (unsigned p = 0; p < s->pipes; p++) {
		struct law_peer peer[DISKS_MAX];
		size_t n = 0;

		if (!started(s, p * per))
			continue;
		for (unsigned q = 0; q < s->pipes; q++) {
			if (q == p || !started(s, q * per))
				continue;
			peer[n++] = s->node[q].own;
			if (s->node[q].summons > s->node[p].summons)
				s->node[p].summons = s->node[q].summons;
		}
		law_turn(&s->node[p], &s->law[p * per], per, peer, n, ns(s->now));
	}
}

static void step(struct sim *s)
{
	unsigned last = s->c->disks - 1;

	if (s->c->tiny_last && (unsigned)s->now != (unsigned)(s->now - STEP))
		s->disk[last].backlog += 1;
	if (s->kind == RULE_LAW)
		laws_turn(s);
	if (s->c->budget > 0)
		shares_set(s);
	/* Not always the same disk first. */
	for (unsigned i = 0, first = (unsigned)(random_next(s) >> 32); i < s->c->disks; i++)
		pump(s, (first + i) % s->c->disks);
	for (unsigned i = 0; i < SPANS_MAX; i++) {
		if (s->now < s->c->span[i].from || s->now >= s->c->span[i].to)
			continue;
		s->window_sum[i] += window_of(s, 0);
		s->window_n[i]++;
	}
	s->trace_done = (unsigned)(s->now / TRACE_STEP);
	if (s->trace_done < TRACE_MAX) {
		s->out->trace_window[s->trace_done] = window_of(s, 0);
		s->out->trace_n = s->trace_done + 1;
	}
}

static void begin(struct sim *s, const struct rule *r)
{
	const struct law_bounds b = { .chunk = CHUNK, .min = MIB(16), .start = MIB(32), .max = MIB(64) };

	s->pipes = s->c->disks / s->c->per_pipe;
	factors_make(s, s->c->sigma);
	for (unsigned d = 0; d < s->c->disks; d++) {
		plain_init(&s->disk[d].plain, r);
		law_init(&s->law[d], &b);
		s->disk[d].share = UINT64_MAX;
	}
	for (unsigned p = 0; p < s->pipes; p++)
		law_node_init(&s->node[p], ns(s->c->apart * p * s->c->per_pipe));
}

void sim_run(const struct sim_case *c, const struct rule *r, unsigned seed, struct sim_result *out)
{
	struct sim *s = x_alloc(sizeof *s);
	double next = 0;

	*out = (struct sim_result){ 0 };
	s->c = c;
	s->kind = r->kind;
	s->out = out;
	s->random = 0x9e3779b97f4a7c15u * (seed + 1) | 1;
	/* Its first numbers are as regular as the seed. */
	for (int i = 0; i < 32; i++)
		random_next(s);
	begin(s, r);
	while (s->now < c->length) {
		struct event e;

		if (!s->n || next <= s->heap[0].at) {
			s->now = next;
			next += STEP;
			step(s);
			continue;
		}
		e = event_take(s);
		s->now = e.at;
		if (e.kind == EV_ACK)
			ack(s, &e);
		else if (e.kind == EV_NAK)
			nak(s, &e);
		else
			send(s, e.disk, e.issued, e.back);
	}
	measure(s);
	free(s->heap);
	free(s);
}
