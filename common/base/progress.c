#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/progress.h"
#include "base/timefmt.h"

#define NS 1000000000.0
#define REDRAW_NS 200000000
#define RATE_SPAN_NS 3000000000.0	/* the rate shown is of about this long */

struct progress {
	bool on, terminal, drawn;
	char label[32];
	int64_t started, last_draw, rate_at;
	uint64_t done, total, rate_done;
	double rate;			/* bytes per second, smoothed */
	char note[96];
};

struct progress *progress_new(const char *label, bool force)
{
	struct progress *p = x_alloc(sizeof *p);

	p->terminal = isatty(STDERR_FILENO);
	p->on = p->terminal || force;
	snprintf(p->label, sizeof p->label, "%s", label);
	line_clean(p->label);	/* it may come from elsewhere */
	p->started = p->rate_at = time_mono();
	return p;
}

static void update_rate(struct progress *p, int64_t now)
{
	double dt = (double)(now - p->rate_at) / NS;
	double w, inst;

	if (dt < 0.1)
		return;
	inst = p->done >= p->rate_done ? (double)(p->done - p->rate_done) / dt : 0;
	w = dt * NS / RATE_SPAN_NS;
	if (w > 1 || p->rate == 0)
		w = 1;
	p->rate += w * (inst - p->rate);
	p->rate_at = now;
	p->rate_done = p->done;
}

static void format_eta(double s, char out[24])
{
	unsigned long t = s > 359999 ? 359999 : (unsigned long)s;

	snprintf(out, 24, "%lu:%02lu:%02lu", t / 3600, t / 60 % 60, t % 60);
}

static void draw(struct progress *p, bool last)
{
	char a[16], b[16], r[16], eta[24], line[256];
	double rate = p->rate;
	int n, cols = 0;
	struct winsize ws;

	if (last) {
		double dt = (double)(time_mono() - p->started) / NS;

		rate = dt > 0 ? (double)p->done / dt : 0;
	}
	size_format(p->done, a);
	size_format((uint64_t)rate, r);
	if (p->total) {
		size_format(p->total, b);
		format_eta(rate > 0 && p->total > p->done ? (double)(p->total - p->done) / rate : 0, eta);
		n = snprintf(line, sizeof line, "%s: %s of %s  %3u%%  %s/s  %s%s%s%s", p->label, a, b,
		    (unsigned)(100.0 * (double)min64(p->done, p->total) / (double)p->total), r,
		    last ? "" : "ETA ", last ? "" : eta, *p->note ? "  " : "", p->note);
	} else {
		n = snprintf(line, sizeof line, "%s: %s  %s/s%s%s", p->label, a, r,
		    *p->note ? "  " : "", p->note);
	}
	if (n >= (int)sizeof line)
		n = sizeof line - 1;
	if (p->terminal) {
		if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1)
			cols = ws.ws_col - 1;
		if (cols && n > cols)
			line[cols] = 0;
		fprintf(stderr, "\r%s\033[K%s", line, last ? "\n" : "");
	} else {
		fprintf(stderr, "%s\n", line);
	}
	p->drawn = true;
}

void progress_set(struct progress *p, uint64_t done, uint64_t total, const char *note)
{
	int64_t now;

	if (!p->on)
		return;
	p->done = done;
	p->total = total;
	snprintf(p->note, sizeof p->note, "%s", note ? note : "");
	now = time_mono();
	if (now - p->last_draw < REDRAW_NS * (p->terminal ? 1 : 5))
		return;
	update_rate(p, now);
	p->last_draw = now;
	draw(p, false);
}

void progress_end(struct progress *p)
{
	if (!p)
		return;
	if (p->on && (p->drawn || p->done))
		draw(p, true);
	free(p);
}
