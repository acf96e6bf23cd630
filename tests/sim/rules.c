/* What the law is compared with: a fixed window, additive increase with
 * multiplicative decrease, and a gradient of latencies. */
#include "sim.h"

#define LEAST 1.0
#define MOST 64.0
#define START 32.0

void plain_init(struct plain_rule *p, const struct rule *r)
{
	*p = (struct plain_rule){ .kind = r->kind, .cut_at = -1e9,
	    .window = r->kind == RULE_FIXED ? r->fixed : START };
}

static double bound(double w)
{
	return w < LEAST ? LEAST : w > MOST ? MOST : w;
}

/* As in the well-known concurrency limiter: a slow mean of latencies over the
 * present one, one and a half times of it tolerated, and room for four more. */
static void gradient_step(struct plain_rule *p, double flight, double now)
{
	double rtt = p->sum / p->n, g;

	p->long_rtt = p->long_rtt > 0 ? p->long_rtt + (rtt - p->long_rtt) / 60 : rtt;
	if (p->long_rtt / rtt > 2)
		p->long_rtt *= 0.95;
	g = 1.5 * p->long_rtt / rtt;
	g = g < 0.5 ? 0.5 : g > 1 ? 1 : g;
	if (flight >= p->window / 2)
		p->window = bound(0.8 * p->window + 0.2 * (p->window * g + 4));
	p->sum = 0;
	p->n = 0;
	p->since = now;
}

void plain_ack(struct plain_rule *p, double took, double flight, double now)
{
	if (p->kind == RULE_AIMD && flight >= 0.8 * p->window)
		p->window = bound(p->window + 1 / p->window);
	if (p->kind != RULE_GRADIENT)
		return;
	p->sum += took;
	p->n++;
	if (now - p->since > 0.1 && p->n >= 8)
		gradient_step(p, flight, now);
}

void plain_nak(struct plain_rule *p, double now)
{
	if (p->kind == RULE_FIXED || now - p->cut_at < 0.1)
		return;
	p->cut_at = now;
	p->window = bound(p->window / 2);
}
