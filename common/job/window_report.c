/* dm-window's report: how far each disk is, as JSON in a file that is replaced
 * as a whole each second and goes away with the process. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/window_impl.h"

#define SPAN 61			/* seconds a rate is taken over, and one */
#define RATE_LEAST 2		/* seconds before it is told */

struct report {
	char *path, *tmp;
	int64_t started, due;
	unsigned n;		/* samples taken */
	int64_t at[SPAN];	/* when */
	uint64_t *fetched;	/* SPAN of each disk */
};

/* Bytes per second over the last samples; -1: too early to say. */
static json_int_t rate_of(const struct report *r, uint32_t disk)
{
	unsigned last = (r->n - 1) % SPAN, first = r->n > SPAN ? r->n % SPAN : 0;
	const uint64_t *v = r->fetched + (size_t)disk * SPAN;
	int64_t span = r->at[last] - r->at[first];

	if (span < RATE_LEAST * SECOND)
		return -1;
	return (json_int_t)((double)(v[last] - v[first]) * SECOND / (double)span);
}

static json_t *disk_json(const struct window *w, uint32_t i)
{
	const struct window_law *l = schedule_law(w->schedule, i);
	const struct window_disk *d = &w->disk[i];
	json_int_t rate = rate_of(w->report, i);

	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:s}",
	    "name", w->hello.disk[i].name, "size", (json_int_t)w->hello.disk[i].size,
	    "scanned", (json_int_t)d->scanned, "to_scan", (json_int_t)d->to_scan,
	    "found", (json_int_t)d->found,
	    "done", (json_int_t)d->written, "rate", rate < 0 ? json_null() : json_integer(rate),
	    "window", (json_int_t)l->window, "flight", (json_int_t)l->flight,
	    "reason", law_reason_name(l->reason));
}

static json_t *report_json(const struct window *w)
{
	const struct report *r = w->report;
	json_t *disks = json_array();
	char session[33];

	hex_put(session, w->hello.session, sizeof w->hello.session);
	for (uint32_t i = 0; i < w->hello.ndisks; i++)
		json_array_append_new(disks, disk_json(w, i));
	return json_pack("{s:s, s:s, s:i, s:f, s:f, s:b, s:o}", "session", session,
	    "workload", w->hello.workload, "pid", (int)getpid(),
	    "time", (double)time_now() / SECOND,
	    "seconds", (double)(time_mono() - r->started) / SECOND, "complete", w->input_ended,
	    "disks", disks);
}

static int file_put(const struct report *r, const char *text)
{
	int fd = open(r->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -1;
	if (fd_write_full(fd, text, strlen(text)) < 0 || fd_write_full(fd, "\n", 1) < 0) {
		fd_close(fd);
		return -1;
	}
	return close(fd) < 0 ? -1 : rename(r->tmp, r->path);
}

/* 0, or -1 with errno. */
static int report_put(struct window *w)
{
	struct report *r = w->report;
	int64_t now = time_mono();
	json_t *j;
	char *text;
	int rc;

	r->due = now + SECOND;
	r->at[r->n % SPAN] = now;
	for (uint32_t i = 0; i < w->hello.ndisks; i++)
		r->fetched[(size_t)i * SPAN + r->n % SPAN] = w->disk[i].fetched;
	r->n++;
	j = report_json(w);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	errno = ENOMEM;
	rc = text ? file_put(r, text) : -1;
	free(text);
	return rc;
}

int window_report_open(struct window *w, struct err *e)
{
	struct report *r;

	if (!w->o->report)
		return 0;
	r = w->report = x_alloc(sizeof *r);
	r->path = x_strdup(w->o->report);
	r->tmp = x_printf("%s.tmp", r->path);
	r->started = time_mono();
	r->fetched = x_array((size_t)w->hello.ndisks * SPAN, sizeof *r->fetched);
	return report_put(w) < 0 ? err_sys(e, DM_ENV, errno, "%s", r->path) : 0;
}

/* What cannot be told any more is not to be believed as it was: nothing is
 * better than an old file.  The work goes on. */
void window_report_turn(struct window *w)
{
	if (w->report && time_mono() >= w->report->due && report_put(w) < 0)
		unlink(w->report->path);
}

void window_report_close(struct window *w)
{
	struct report *r = w->report;

	if (!r)
		return;
	unlink(r->tmp);
	unlink(r->path);
	free(r->fetched);
	free(r->path);
	free(r->tmp);
	free(r);
}
